/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON-RPC by TLS with GnuTLS at both ends: who is let in and as whom, who is not and what he is told, who has to go, and crowds. The
 * bytes are test-rpc-io-tls.c's. */
#include "rpc-tls-fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* Each of a certificate's kinds of names; what the map says of it is what the caller is. */
static void test_names(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct pki_plan plan;
		enum api_role role;
		const char *user, *certificate;
	} rows[] = {
		{{.cn = "op"}, API_ROLE_OPERATOR, "", "cn:op"},
		{{.cn = "x", .dns = "reader.example"}, API_ROLE_READER, "", "dns:reader.example"},
		{{.uri = "urn:owner:1"}, API_ROLE_NONE, "alice", "uri:urn:owner:1"},
		{{.cn = "nobody", .any_purpose = true}, API_ROLE_NONE, "", "cn:nobody"},
		{{.cn = "admin", .cn2 = "y"}, API_ROLE_ADMINISTRATOR, "", "cn:admin"},
		{{.cn = "a, b = c"}, API_ROLE_READER, "", "cn:a\\, b = c"},
		{{.cn = "admin", .n_names = TLS_NAMES_MAX}, API_ROLE_ADMINISTRATOR, "", "cn:admin"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct rpc_conn *conn;

		connect_as(f, &p1, &rows[i].plan);
		assert_string_equal(
			peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
		conn = last_conn();
		assert_int_equal(conn->peer.role, rows[i].role);
		assert_string_equal(conn->peer.user.name, rows[i].user);
		assert_false(conn->peer.user.uid_known);
		assert_string_equal(conn->peer.certificate, rows[i].certificate);
		assert_string_equal(conn->peer.transport, "tls");
		assert_int_equal(conn->plain, rows[i].role == API_ROLE_NONE);
		assert_int_equal(gnutls_protocol_get_version(p1.session), GNUTLS_TLS1_3);
		assert_false(gnutls_session_get_flags(p1.session) & GNUTLS_SFLAGS_SESSION_TICKET);
		peer_done(&p1);
		RUN_UNTIL(f, server->n_connections == 0);
	}
}

/* The role is looked at before arguments are; an owner sees what is his, and his certificate is in the records. */
static void test_roles(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "a", "",
		"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='alice'/></metadata>");
	fixture_define(f, "b", "", "");
	connect_as(f, &p1, &(struct pki_plan){.cn = "op"});
	assert_non_null(strstr(peer_ask(f, &p1, REQUEST("1", "DefineDomain", "{\"nonsense\":1}")),
		"\"code\":-32012,"));
	assert_true(journald_take(&journald));
	assert_string_equal(journald_field(&journald, "VMMD_CERTIFICATE"), "cn:op");
	assert_string_equal(journald_field(&journald, "VMMD_RESULT"), "denied");
	assert_null(journald_field(&journald, "VMMD_UID"));
	assert_string_equal(
		peer_ask(f, &p1, REQUEST("2", "StartDomain", "[\"b\"]")), RESULT("2", "{}"));
	connect_as(f, &p2, &(struct pki_plan){.uri = "urn:owner:1"});
	assert_non_null(strstr(peer_ask(f, &p2, REQUEST("1", "ListDomains", "[]")), "\"a\""));
	assert_null(strstr(peer_ask(f, &p2, REQUEST("2", "ListDomains", "[]")), "\"b\""));
	assert_string_equal(
		peer_ask(f, &p2, REQUEST("3", "StartDomain", "[\"a\"]")), RESULT("3", "{}"));
	assert_non_null(strstr(
		peer_ask(f, &p2, REQUEST("4", "DestroyDomain", "[\"b\"]")), "\"code\":-32012,"));
	do
		assert_true(journald_take(&journald));
	while (!journald_field(&journald, "VMMD_USER"));
	assert_string_equal(journald_field(&journald, "VMMD_USER"), "alice");
	assert_string_equal(journald_field(&journald, "MESSAGE"),
		"uri:urn:owner:1 (user alice) (tls a local socket): StartDomain a: done");
}

/* Refused within the handshake: by an alert. What a stranger's certificate says of him is in no record. */
static void test_bad_certificates(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct pki_plan plan;
		gnutls_alert_description_t alert;
		const char *why, *certificate;
	} rows[] = {
		{{.cn = "admin", .other_ca = true}, GNUTLS_A_UNKNOWN_CA,
			"the certificate is not of a CA in ca.pem", NULL},
		{{.cn = "admin", .from_days = -9, .to_days = -2}, GNUTLS_A_CERTIFICATE_EXPIRED,
			"the certificate has expired", "cn:admin"},
		{{.cn = "admin", .from_days = 2, .to_days = 9}, GNUTLS_A_CERTIFICATE_EXPIRED,
			"the certificate is not valid yet", "cn:admin"},
		{{.cn = "admin", .server = true}, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
			"the certificate is not for clients", "cn:admin"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		connect_as(f, &p1, &rows[i].plan);
		RUN_UNTIL(f, peer_ended(&p1));
		assert_int_equal(p1.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
		assert_int_equal(gnutls_alert_get(p1.session), rows[i].alert);
		expect_refused(rows[i].why, rows[i].certificate);
		peer_done(&p1);
	}
	assert_int_equal(server->n_connections, 0);
}

static void test_no_certificate(void **state)
{
	struct fixture *f = *state;

	connect_raw(&p1);
	begin_session(&p1, NULL, TLS13);
	RUN_UNTIL(f, peer_ended(&p1));
	assert_int_equal(p1.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
	assert_int_equal(gnutls_alert_get(p1.session), GNUTLS_A_CERTIFICATE_REQUIRED);
	expect_refused("no certificate was shown", NULL);
}

/* Good certificates that the map does not have, or has twice: told by an error, inside. */
static void test_unknown_names(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct pki_plan plan;
		const char *why, *certificate;
	} rows[] = {
		{{.cn = "stranger"}, "no line of 'roles' names the certificate", "cn:stranger"},
		{{.cn = "Admin"}, "no line of 'roles' names the certificate", "cn:Admin"},
		{{.dns = "op"}, "no line of 'roles' names the certificate", "dns:op"},
		{{0}, "no line of 'roles' names the certificate", NULL},
		{{.cn = "admin", .dns = "reader.example"},
			"lines of 'roles' that name the certificate do not say the same",
			"cn:admin"},
		{{.cn = "admin", .n_names = TLS_NAMES_MAX + 1},
			"the certificate has too many names", "cn:admin"},
	};
	char wanted[256];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		connect_as(f, &p1, &rows[i].plan);
		/* It is sent before the answer comes, and not looked at. */
		peer_send(&p1, REQUEST("1", "Ping", "{}") "\n", 10);
		snprintf(wanted, sizeof(wanted),
			"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32052,\"message\":"
			"\"vmmd refused the certificate: %s\"}}",
			rows[i].why);
		assert_string_equal(peer_hear(f, &p1), wanted);
		RUN_UNTIL(f, peer_ended(&p1));
		assert_int_equal(p1.error, 0);
		expect_refused(rows[i].why, rows[i].certificate);
		peer_done(&p1);
	}
	assert_int_equal(server->n_connections, 0);
}

/* A list of what is revoked counts as soon as it is there. */
static void test_revoked(void **state)
{
	struct fixture *f = *state;
	struct pki_pair pair = pki_make(&pki, ADMIN);
	static const struct {
		bool revoked;
		int next_days;
		const char *why;
	} rows[] = {
		{true, 30, "the certificate was revoked"},
		{false, 30, NULL},
		{false, -1, "crl.pem is out of date"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pki_write_crl(&pki, rows[i].revoked ? pair.crt : NULL, rows[i].next_days);
		connect_raw(&p1);
		begin_session(&p1, &pair, TLS13);
		if (rows[i].why) {
			RUN_UNTIL(f, peer_ended(&p1));
			assert_int_equal(p1.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
			expect_refused(rows[i].why, "cn:admin");
		} else {
			RUN_UNTIL(f, (step(&p1), p1.shaken));
			assert_string_equal(
				peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
		}
		peer_done(&p1);
	}
	pki_pair_done(&pair);
}

/* A handshake that comes to nothing makes the files be looked at. */
static void look(struct fixture *f)
{
	connect_as(f, &p2, &(struct pki_plan){.cn = "stranger"});
	peer_done(&p2);
}

static void connect_pair(struct fixture *f, struct peer *p, const struct pki_pair *pair)
{
	connect_raw(p);
	begin_session(p, pair, TLS13);
	RUN_UNTIL(f, (step(p), p->shaken));
	assert_string_equal(peer_ask(f, p, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
}

static void expect_end(struct fixture *f, struct peer *p, const char *why)
{
	char text[300];

	(void)snprintf(text, sizeof(text), "vmmd refused the certificate: %s", why);
	assert_non_null(strstr(peer_hear(f, p), text));
	RUN_UNTIL(f, peer_ended(p));
	assert_int_equal(p->error, 0);
	peer_done(p);
}

/* Whoever is in goes when the files say so, and not before; nobody else does. */
static void test_review(void **state)
{
	struct fixture *f = *state;
	struct pki_pair pair = pki_make(&pki, ADMIN);
	static struct peer others[20];

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		connect_as(f, &others[i], &(struct pki_plan){.cn = "op"});
	connect_pair(f, &p1, &pair);
	pki_write_crl(&pki, NULL, 30);
	look(f);
	assert_string_equal(peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	pki_write_crl(&pki, pair.crt, 30);
	look(f);
	expect_end(f, &p1, "the certificate was revoked");
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_string_equal(
			peer_ask(f, &others[i], REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	/* Another list, another map. */
	pki_write_crl(&pki, NULL, 30);
	connect_pair(f, &p1, &pair);
	pki_write_text(&pki, "roles", 0600, "cn:admin = reader\ncn:op = operator\n");
	look(f);
	expect_end(f, &p1, "'roles' says something else of it now");
	connect_pair(f, &p1, &pair);
	pki_write_text(&pki, "roles", 0600, "cn:op = operator\n");
	look(f);
	expect_end(f, &p1, "no line of 'roles' names the certificate");
	/* A list that runs out, with nothing changed. */
	assert_string_equal(peer_ask(f, &others[0], REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	pki_write_crl(&pki, NULL, -1);
	connect_raw(&p2);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		expect_end(f, &others[i], "crl.pem is out of date");
	RUN_UNTIL(f, server->n_connections == 0);
	pki_pair_done(&pair);
}

/* Nobody has all of the connections. */
static void test_shares(void **state)
{
	struct fixture *f = *state;
	static struct peer many[RPC_TLS_CERTIFICATE];

	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		connect_as(f, &many[i], &(struct pki_plan){.dns = "reader.example"});
	connect_as(f, &p1, &(struct pki_plan){.dns = "reader.example"});
	assert_non_null(strstr(peer_hear(f, &p1), "\"code\":-32050,"));
	connect_as(f, &p2, &(struct pki_plan){.cn = "op"});
	assert_string_equal(peer_ask(f, &p2, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		peer_done(&many[i]);
}

/* Files that are wrong let nobody in, until they are right; who is in, stays. */
static void test_files(void **state)
{
	struct fixture *f = *state;
	int pair[2];

	connect_as(f, &p1, ADMIN);
	pki_write_text(&pki, "roles", 0600, "cn:admin = administrator\ncn:op = root\n");
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(rpc_tls_accept(tls, pair[0]), -EINVAL);
	close(pair[1]);
	assert_string_equal(peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	pki_write_text(&pki, "roles", 0600, "cn:op = reader\n");
	connect_as(f, &p2, &(struct pki_plan){.cn = "op"});
	assert_string_equal(peer_ask(f, &p2, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	assert_int_equal(last_conn()->peer.role, API_ROLE_READER);
}

/* Keys of calls are the certificate's: another caller's are others. */
static void test_callers(void **state)
{
	struct fixture *f = *state;
	static const char text[] = REQUEST("1", "SetAutostart", "{\"domain\":\"a\",\"on\":true}");
	char who[API_CALLER_MAX];

	fixture_define(f, "a", "", "");
	connect_as(f, &p1, ADMIN);
	assert_string_equal(peer_ask(f, &p1, text), RESULT("1", "{}"));
	api_peer_text(&last_conn()->peer, who);
	assert_string_equal(who, "certificate cn:admin");
}

/* Who has no role has few connections, each certificate its own. */
static void test_plain(void **state)
{
	struct fixture *f = *state;
	static struct peer many[RPC_PLAIN_UID_CONNECTIONS];

	for (unsigned i = 0; i < RPC_PLAIN_UID_CONNECTIONS; i++)
		connect_as(f, &many[i], &(struct pki_plan){.cn = "nobody"});
	connect_as(f, &p1, &(struct pki_plan){.cn = "nobody"});
	assert_non_null(strstr(peer_hear(f, &p1), "\"code\":-32050,"));
	connect_as(f, &p2, &(struct pki_plan){.uri = "urn:owner:1"});
	assert_string_equal(peer_ask(f, &p2, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	for (unsigned i = 0; i < RPC_PLAIN_UID_CONNECTIONS; i++)
		peer_done(&many[i]);
}

/* By TCP, from an address of the loopback's. */
static int connect_tcp(const struct sockaddr_in *to, unsigned from)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(0x7f000001 + from)}};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)to, sizeof(*to)), 0);
	return fd;
}

static bool is_closed(int fd)
{
	char last_words[64];
	ssize_t n;

	do
		n = recv(fd, last_words, sizeof(last_words), MSG_DONTWAIT);
	while (n > 0);
	return n == 0 || errno != EAGAIN;
}

static unsigned count_open(const int *fds, unsigned n)
{
	unsigned n_open = 0;

	for (unsigned i = 0; i < n; i++)
		n_open += !is_closed(fds[i]);
	return n_open;
}

/* A crowd that says nothing: of one address only so many, in all only so many, and the oldest make room. */
static void test_crowd(void **state)
{
	struct fixture *f = *state;
	const unsigned per_address = RPC_TLS_ADDRESS - 1, n = RPC_TLS_HANDSHAKES + 6;
	int fds[RPC_TLS_HANDSHAKES + 6], more[RPC_TLS_ADDRESS + 4];
	int listener = rpc_tls_open_socket("127.0.0.1:0");
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(a);

	/* Any port but none at all. */
	assert_int_equal(listener, -EINVAL);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 200), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	assert_int_equal(rpc_tls_listen(tls, listener), 0);
	for (unsigned i = 0; i < n; i++)
		fds[i] = connect_tcp(&a, i / per_address);
	RUN_UNTIL(f, is_closed(fds[5]));
	/* Not by their deadline, which would close them in the same order. */
	expect_refused("too many handshakes are under way", NULL);
	assert_int_equal(count_open(fds, n), RPC_TLS_HANDSHAKES);
	assert_true(is_closed(fds[0]));
	assert_false(is_closed(fds[6]));
	for (unsigned i = 0; i < ARRAY_SIZE(more); i++)
		more[i] = connect_tcp(&a, 100);
	RUN_UNTIL(f, is_closed(more[ARRAY_SIZE(more) - 1]));
	assert_int_equal(count_open(more, ARRAY_SIZE(more)), RPC_TLS_ADDRESS);
	/* And one that speaks is let in all the same. */
	{
		struct pki_pair pair = pki_make(&pki, ADMIN);

		p1 = (struct peer){.fd = connect_tcp(&a, 101)};
		assert_int_equal(fd_set_nonblock(p1.fd, true), 0);
		begin_session(&p1, &pair, TLS13);
		RUN_UNTIL(f, (step(&p1), p1.shaken));
		assert_string_equal(
			peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
		assert_non_null(strstr(last_conn()->peer.address, "127.0.0.102:"));
		pki_pair_done(&pair);
	}
	for (unsigned i = 0; i < n; i++)
		close(fds[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(more); i++)
		close(more[i]);
}

static void test_addresses(void **state)
{
	static const char *const bad[] = {"", ":1", "localhost", "localhost:1", "127.0.0.1:0",
		"127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:", "::1", "[::1", "[::1]x", "[::1]:0",
		"[127.0.0.1]:1"};
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (rpc_tls_open_socket(bad[i]) != -EINVAL)
			fail_msg("'%s' is taken", bad[i]);
	/* No such address here: it was understood. */
	assert_int_equal(rpc_tls_open_socket("192.0.2.1"), -EADDRNOTAVAIL);
	assert_int_equal(rpc_tls_open_socket("[2001:db8::1]:1"), -EADDRNOTAVAIL);
	fd = rpc_tls_open_socket("127.5.6.7:41234");
	assert_true(fd >= 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_names),
		CASE(test_roles),
		CASE(test_bad_certificates),
		CASE(test_no_certificate),
		CASE(test_unknown_names),
		CASE(test_revoked),
		CASE(test_review),
		CASE(test_shares),
		CASE(test_files),
		CASE(test_callers),
		CASE(test_plain),
		CASE(test_crowd),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
