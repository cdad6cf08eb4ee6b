/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON-RPC by TLS, its bytes: other protocols, handshakes that stall or break, bytes that come singly, ends of all kinds, large requests
 * and answers to a caller that does not read, new keys, and what the other transports' tests show of calls. */
#include "rpc-tls-fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
