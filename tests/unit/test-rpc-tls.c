/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON-RPC by TLS with GnuTLS at both ends: who is let in and as whom, who is not and what he is told, handshakes that stall or break, bytes
 * that come singly, ends of all kinds, large answers to a caller that does not read, and what the other transports' tests show of calls. */
#include "rpc-fixture.h"
#include "journal-fixture.h"
#include "tls-fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "daemon/rpc-message.h"
#include "daemon/rpc-tls.h"

struct peer {
	int fd;
	gnutls_session_t session;
	gnutls_certificate_credentials_t cred;
	bool shaken, ended;
	int error; /* that ended it; 0: close_notify */
	char buffer[256 * 1024];
	size_t len;
};

static struct pki pki;
static struct rpc *server;
static struct rpc_tls *tls;
static struct journald journald;
static struct peer p1 = {.fd = -EBADF}, p2 = {.fd = -EBADF};

static void open_server(struct fixture *f, const struct rpc_tls_options *options)
{
	struct rpc_tls_options o = *options;

	o.dir = pki.dir;
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(rpc_tls_new(server, &o, &tls), 0);
}

static int setup(void **state)
{
	char dir[96];
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	snprintf(dir, sizeof(dir), "%s/tls", f->dir);
	pki_open(&pki, dir);
	pki_write_text(&pki, "roles", 0600,
		"cn:admin = administrator\ncn:op = operator\ndns:reader.example = reader\n"
		"uri:urn:owner:1 = none alice\ncn:nobody = none\n"
		"cn:a\\, b = c = reader\n");
	journald_open(&journald, f->dir);
	open_server(f, &(struct rpc_tls_options){0});
	return 0;
}

static void peer_done(struct peer *p)
{
	if (p->session)
		gnutls_deinit(p->session);
	if (p->cred)
		gnutls_certificate_free_credentials(p->cred);
	p->fd = safe_close(p->fd);
	*p = (struct peer){.fd = -EBADF};
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	peer_done(&p1);
	peer_done(&p2);
	tls = rpc_tls_free(tls);
	server = rpc_free(server);
	journald_close(&journald);
	pki_done(&pki);
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	return fixture_teardown(state);
}

/* The server's end of a new connection, whose other end is p->fd. */
static void connect_raw(struct peer *p)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*p = (struct peer){.fd = pair[1]};
	assert_int_equal(rpc_tls_accept(tls, pair[0]), 0);
}

#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

static void begin_session(struct peer *p, const struct pki_pair *pair, const char *priority)
{
	assert_int_equal(
		gnutls_init(&p->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL), 0);
	assert_int_equal(gnutls_priority_set_direct(p->session, priority, NULL), 0);
	assert_int_equal(gnutls_certificate_allocate_credentials(&p->cred), 0);
	if (pair)
		assert_int_equal(gnutls_certificate_set_x509_key(p->cred,
					 (gnutls_x509_crt_t *)(uintptr_t)&pair->crt, 1, pair->key),
			0);
	assert_int_equal(gnutls_credentials_set(p->session, GNUTLS_CRD_CERTIFICATE, p->cred), 0);
	gnutls_transport_set_int(p->session, p->fd);
}

/* Handshake, and what is there to read. */
static void step(struct peer *p)
{
	ssize_t n = 0;

	if (!p->shaken && !p->ended) {
		int r = gnutls_handshake(p->session);

		p->shaken = r == 0;
		p->ended = r < 0 && gnutls_error_is_fatal(r);
		p->error = p->ended ? r : 0;
	}
	while (p->shaken && !p->ended) {
		n = gnutls_record_recv(
			p->session, p->buffer + p->len, sizeof(p->buffer) - 1 - p->len);
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			break;
		if (n > 0)
			p->len += (size_t)n;
		else
			p->ended = true;
		p->error = n < 0 ? (int)n : 0;
		p->buffer[p->len] = 0;
		if (p->len + 1 == sizeof(p->buffer))
			break;
	}
}

static void connect_as(struct fixture *f, struct peer *p, const struct pki_plan *plan)
{
	struct pki_pair pair = pki_make(&pki, plan);

	connect_raw(p);
	begin_session(p, &pair, TLS13);
	RUN_UNTIL(f, (step(p), p->shaken || p->ended));
	pki_pair_done(&pair);
}

static bool peer_ended(struct peer *p)
{
	step(p);
	return p->ended;
}

static void peer_send(struct peer *p, const char *text, size_t len)
{
	assert_int_equal(gnutls_record_send(p->session, text, len), len);
}

static void say_to(struct peer *p, const char *text)
{
	peer_send(p, text, strlen(text));
}

static const char *peer_hear(struct fixture *f, struct peer *p)
{
	static char line[sizeof(p->buffer)];
	size_t n;

	RUN_UNTIL(f, (step(p), memchr(p->buffer, '\n', p->len)) || p->ended);
	n = strcspn(p->buffer, "\n");
	if (n >= p->len)
		fail_msg("the connection ended: %s", gnutls_strerror(p->error));
	memcpy(line, p->buffer, n);
	line[n] = 0;
	memmove(p->buffer, p->buffer + n + 1, p->len - n - 1);
	p->len -= n + 1;
	p->buffer[p->len] = 0;
	return line;
}

static const char *peer_ask(struct fixture *f, struct peer *p, const char *text)
{
	say_to(p, text);
	say_to(p, "\n");
	return peer_hear(f, p);
}

static struct rpc_conn *last_conn(void)
{
	return list_entry(server->connections.prev, struct rpc_conn, link);
}

#define ADMIN (&(struct pki_plan){.cn = "admin"})

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

/* A record of a refusal, the next one. */
static void expect_refused(const char *why, const char *certificate)
{
	const char *got;

	while (journald_take(&journald)) {
		if (!streq(journald_field(&journald, "MESSAGE_ID"),
			    journal_message_id(JOURNAL_TLS_REFUSED)))
			continue;
		if (!strstr(journald_field(&journald, "MESSAGE"), why))
			fail_msg("'%s', not '%s'", journald_field(&journald, "MESSAGE"), why);
		assert_string_equal(journald_field(&journald, "VMMD_RESULT"), "denied");
		got = journald_field(&journald, "VMMD_CERTIFICATE");
		if (certificate ? !got || !streq(got, certificate) : got != NULL)
			fail_msg("certificate '%s'", got ? got : "");
		return;
	}
	fail_msg("no record of '%s'", why);
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

/* Older versions, and what is no TLS at all. */
static void test_other_protocols(void **state)
{
	struct fixture *f = *state;
	struct pki_pair pair = pki_make(&pki, ADMIN);
	char data[64];
	ssize_t n = -1;

	connect_raw(&p1);
	begin_session(&p1, &pair, "NORMAL:-VERS-ALL:+VERS-TLS1.2");
	RUN_UNTIL(f, peer_ended(&p1));
	assert_int_equal(p1.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
	expect_refused("no TLS 1.3", NULL);
	peer_done(&p1);
	/* Arithmetic that would hold the daemon for a tenth of a second, for whoever asks. */
	connect_raw(&p1);
	begin_session(&p1, &pair, "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-ALL:+GROUP-FFDHE8192");
	RUN_UNTIL(f, peer_ended(&p1));
	assert_int_equal(p1.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
	expect_refused("No common key share with peer.", NULL);
	peer_done(&p1);
	connect_raw(&p1);
	assert_int_equal(send(p1.fd, REQUEST("1", "Ping", "{}") "\n", 48, 0), 48);
	RUN_UNTIL(f, (n = recv(p1.fd, data, sizeof(data), 0)) >= 0);
	/* An alert. */
	assert_int_equal(n, 7);
	assert_int_equal(data[0], 21);
	RUN_UNTIL(f, recv(p1.fd, data, sizeof(data), 0) == 0);
	expect_refused("no TLS", NULL);
	pki_pair_done(&pair);
}

/* The deadline is the whole handshake's: whoever sends a byte now and then has no more time than who sends none. */
static void test_stall(void **state)
{
	struct fixture *f = *state;
	/* A ClientHello that announces more than ever comes. */
	static const uint8_t hello[] = {22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3};
	char data[64];
	size_t n = 0;

	tls = rpc_tls_free(tls);
	server = rpc_free(server);
	open_server(f, &(struct rpc_tls_options){.handshake_usec = 20000});
	for (unsigned trickle = 0; trickle < 2; trickle++) {
		connect_raw(&p1);
		(void)send(p1.fd, hello, sizeof(hello), MSG_NOSIGNAL);
		for (ssize_t k = -1; k < 0 && errno != ECONNRESET;) {
			if (trickle && n++ < 200)
				(void)send(p1.fd, "", 1, MSG_NOSIGNAL);
			assert_true(sd_event_run(f->event, trickle ? 1000 : 100000) >= 0);
			k = recv(p1.fd, data, sizeof(data), 0);
		}
		expect_refused("the handshake takes too long", NULL);
		peer_done(&p1);
	}
}

static ssize_t push_byte(gnutls_transport_ptr_t ptr, const void *data, size_t size)
{
	(void)size;
	return send((int)(intptr_t)ptr, data, 1, MSG_NOSIGNAL);
}

static ssize_t pull_byte(gnutls_transport_ptr_t ptr, void *data, size_t size)
{
	(void)size;
	return recv((int)(intptr_t)ptr, data, 1, 0);
}

static void test_byte_by_byte(void **state)
{
	struct fixture *f = *state;
	struct pki_pair pair = pki_make(&pki, ADMIN);

	connect_raw(&p1);
	begin_session(&p1, &pair, TLS13);
	gnutls_transport_set_push_function(p1.session, push_byte);
	gnutls_transport_set_pull_function(p1.session, pull_byte);
	gnutls_transport_set_ptr(p1.session, (gnutls_transport_ptr_t)(intptr_t)p1.fd);
	RUN_UNTIL(f, (step(&p1), p1.shaken));
	assert_string_equal(peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	pki_pair_done(&pair);
}

/* What was cut off is no message; what ends with close_notify is, and is answered. */
static void test_ends(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");
	static const char text[] = REQUEST("1", "SetAutostart", "[\"a\",true]");

	connect_as(f, &p1, ADMIN);
	assert_string_equal(peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	say_to(&p1, text);
	assert_int_equal(shutdown(p1.fd, SHUT_WR), 0);
	RUN_UNTIL(f, server->n_connections == 0);
	assert_false(d->autostart);
	peer_done(&p1);
	connect_as(f, &p1, ADMIN);
	say_to(&p1, text);
	assert_int_equal(gnutls_bye(p1.session, GNUTLS_SHUT_WR), 0);
	assert_string_equal(peer_hear(f, &p1), RESULT("1", "{}"));
	assert_true(d->autostart);
	RUN_UNTIL(f, peer_ended(&p1));
	assert_int_equal(p1.error, 0);
	RUN_UNTIL(f, server->n_connections == 0);
}

/* Gone at each moment: within the handshake, within a record, with calls under way. */
static void test_gone(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");
	struct pki_pair pair = pki_make(&pki, ADMIN);
	static const uint8_t half[] = {23, 3, 3, 0, 200, 1, 2, 3};

	connect_raw(&p1);
	peer_done(&p1);
	assert_true(sd_event_run(f->event, 100000) >= 0);
	/* Nothing was said: that is no news. */
	assert_false(journald_take(&journald));
	connect_raw(&p1);
	begin_session(&p1, &pair, TLS13);
	step(&p1);
	assert_true(sd_event_run(f->event, 100000) >= 0);
	peer_done(&p1);
	assert_true(sd_event_run(f->event, 100000) >= 0);
	connect_as(f, &p1, ADMIN);
	assert_string_equal(peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	assert_int_equal(send(p1.fd, half, sizeof(half), 0), sizeof(half));
	peer_done(&p1);
	RUN_UNTIL(f, server->n_connections == 0);
	connect_as(f, &p1, ADMIN);
	say_to(&p1, REQUEST("1", "StartDomain", "[\"a\"]") "\n");
	RUN_UNTIL(f, d->phase == DOMAIN_STARTING);
	peer_done(&p1);
	RUN_UNTIL(f, d->state == DOMAIN_STATE_RUNNING);
	RUN_UNTIL(f, server->n_connections == 0);
	pki_pair_done(&pair);
}

/* A record that somebody has changed on its way. */
static void test_forged(void **state)
{
	struct fixture *f = *state;
	uint8_t forged[5 + 64] = {23, 3, 3, 0, 64};

	connect_as(f, &p1, ADMIN);
	assert_string_equal(peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	assert_int_equal(send(p1.fd, forged, sizeof(forged), 0), sizeof(forged));
	RUN_UNTIL(f, peer_ended(&p1));
	assert_int_equal(p1.error, GNUTLS_E_FATAL_ALERT_RECEIVED);
	assert_int_equal(gnutls_alert_get(p1.session), GNUTLS_A_BAD_RECORD_MAC);
	RUN_UNTIL(f, server->n_connections == 0);
}

/* Many large answers to a caller that does not read: the server keeps no more than it may, and all of them come. */
static void test_large(void **state)
{
	struct fixture *f = *state;
	static const char text[] = REQUEST("1", "rpc.discover", "{}") "\n";
	const unsigned n = 100;
	struct rpc_conn *conn;
	unsigned sent = 0;
	size_t len, total;

	connect_as(f, &p1, ADMIN);
	len = strlen(peer_ask(f, &p1, REQUEST("1", "rpc.discover", "{}")));
	assert_true(len > 20000);
	conn = last_conn();
	for (unsigned i = 0; i < n; i++) {
		ssize_t k = sent < n ? gnutls_record_send(p1.session, text, strlen(text)) : 0;

		sent += k > 0;
		assert_true(sd_event_run(f->event, 0) >= 0);
		assert_true(conn->out_bytes <= RPC_OUT_HIGH + 2 * len);
	}
	assert_true(conn->out_bytes > RPC_OUT_HIGH / 2);
	total = 0;
	while (total < n) {
		ssize_t k = sent < n ? gnutls_record_send(p1.session, text, strlen(text)) : 0;

		sent += k > 0;
		assert_int_equal(strlen(peer_hear(f, &p1)), len);
		total++;
	}
	assert_string_equal(peer_ask(f, &p1, REQUEST("2", "Ping", "{}")), RESULT("2", "{}"));
}

/* A request of many records. */
static void test_large_request(void **state)
{
	struct fixture *f = *state;
	const size_t n = RPC_MAX_MESSAGE - 1000;
	char *text = malloc(n + 100);
	size_t sent = 0, len;

	memset(text, ' ', n);
	strcpy(text + n, REQUEST("1", "Ping", "{}") "\n");
	len = strlen(text);
	connect_as(f, &p1, ADMIN);
	RUN_UNTIL(f, ({
		ssize_t k = gnutls_record_send(p1.session, text + sent, len - sent);

		sent += k > 0 ? (size_t)k : 0;
		sent == len;
	}));
	assert_string_equal(peer_hear(f, &p1), RESULT("1", "{}"));
	free(text);
}

/* Lengths, a batch, events, late answers, and what cannot come this way. */
static void test_calls(void **state)
{
	struct fixture *f = *state;
	static const char text[] = REQUEST("1", "Ping", "{}"), answer[] = RESULT("1", "{}");
	char message[sizeof(text) + 3] = {0, 0, 0, (char)(sizeof(text) - 1)};

	fixture_define(f, "a", "", "");
	connect_as(f, &p1, ADMIN);
	assert_string_equal(
		peer_ask(f, &p1,
			"[" REQUEST("1", "Ping", "{}") ",7," REQUEST("2", "Ping", "{}") "]"),
		"[" RESULT("1",
			"{}") ",{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
			      "\"message\":\"a request is an object\"}}," RESULT("2", "{}") "]");
	assert_non_null(strstr(peer_ask(f, &p1, REQUEST("1", "rpc.subscribe", "[[\"lifecycle\"]]")),
		"\"subscription\":1"));
	say_to(&p1, REQUEST("2", "StartDomain", "[\"a\"]") "\n" REQUEST("3", "Ping", "{}") "\n");
	for (unsigned seen = 0; seen != 7;) {
		const char *line = peer_hear(f, &p1);

		if (streq(line, RESULT("2", "{}")))
			seen |= 1;
		else if (streq(line, RESULT("3", "{}")))
			seen |= 2;
		else if (strstr(line, "\"detail\":\"Started\""))
			seen |= 4;
	}
	/* An fd does not go over a network, and nothing is lost by asking for one. */
	assert_non_null(strstr(peer_ask(f, &p1, REQUEST("4", "OpenConsole", "[\"a\"]")),
		"\"class\":\"NoSupport\""));
	assert_non_null(
		strstr(peer_ask(f, &p1, REQUEST("5", "OpenConsole", "[\"a\",\"\",0,65536]")),
			"\"stream\":1"));
	connect_as(f, &p2, ADMIN);
	memcpy(message + 4, text, sizeof(text) - 1);
	peer_send(&p2, message, sizeof(message));
	RUN_UNTIL(f, (step(&p2), p2.len >= 4 + sizeof(answer) - 1));
	assert_int_equal(p2.buffer[3], sizeof(answer) - 1);
	assert_memory_equal(p2.buffer + 4, answer, sizeof(answer) - 1);
}

/* New keys, which a peer may ask for, are no new caller. */
static void test_new_keys(void **state)
{
	struct fixture *f = *state;

	connect_as(f, &p1, ADMIN);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(gnutls_session_key_update(p1.session, GNUTLS_KU_PEER), 0);
		assert_string_equal(
			peer_ask(f, &p1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	}
}

/* Keys of calls are the certificate's: another caller's are others. */
static bool has_read_all(const struct rpc_conn *conn)
{
	return recv(conn->io->fd, &(char){0}, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
}

/* So they are for one who asks while the socket is full of answers: nothing is said twice. GnuTLS wants no more than eight a second. */
static void test_new_keys_meanwhile(void **state)
{
	struct fixture *f = *state;
	const unsigned n = 6;
	struct rpc_conn *conn;
	size_t len;

	connect_as(f, &p1, ADMIN);
	len = strlen(peer_ask(f, &p1, REQUEST("1", "rpc.discover", "{}")));
	conn = last_conn();
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < n; i++)
			say_to(&p1, REQUEST("1", "rpc.discover", "{}") "\n");
		RUN_UNTIL(f, has_read_all(conn));
		assert_true(conn->out_bytes > 0 && conn->out_bytes < RPC_OUT_HIGH);
		for (unsigned i = 0; i < 2; i++) {
			assert_int_equal(gnutls_session_key_update(p1.session, GNUTLS_KU_PEER), 0);
			say_to(&p1, REQUEST("2", "Ping", "{}") "\n");
			RUN_UNTIL(f, has_read_all(conn));
		}
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(strlen(peer_hear(f, &p1)), len);
		for (unsigned i = 0; i < 2; i++)
			assert_string_equal(peer_hear(f, &p1), RESULT("2", "{}"));
	}
}

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

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
		CASE(test_other_protocols),
		CASE(test_stall),
		CASE(test_byte_by_byte),
		CASE(test_ends),
		CASE(test_gone),
		CASE(test_forged),
		CASE(test_large),
		CASE(test_large_request),
		CASE(test_calls),
		CASE(test_new_keys),
		CASE(test_new_keys_meanwhile),
		CASE(test_callers),
		CASE(test_plain),
		CASE(test_crowd),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
