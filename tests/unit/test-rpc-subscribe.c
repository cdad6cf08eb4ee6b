/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Subscriptions: events as they come, filters, replay, gaps, and a reader that does not read. */
#include "rpc-fixture.h"

static struct rpc *server;
static struct client c1;

static int setup(void **state)
{
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(connect_client(&c1, server), 0);
	return 0;
}

static int teardown(void **state)
{
	client_done(&c1);
	server = rpc_free(server);
	return fixture_teardown(state);
}

static void expect_line(struct fixture *f, const char *begin)
{
	const char *line = hear(f, &c1);

	if (strncmp(line, begin, strlen(begin)) != 0)
		fail_msg("'%s' came, not '%s'", line, begin);
}

static void emit(struct fixture *f, const struct domain *d, unsigned n)
{
	while (n--)
		manager_emit(f->manager, EVENT_REBOOT, d, "", "");
}

#define EVENT(subscription, sequence)                                                              \
	"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.event\",\"params\":{\"subscription\":" subscription \
	",\"sequence\":" sequence ","

static void test_events(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", ""), *b = fixture_define(f, "b", "", "");

	/* Two lifecycle events are past; nobody wanted them. */
	assert_true(BEGINS(ask(f, &c1, REQUEST("1", "rpc.subscribe", "{}")),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"subscription\":1,\"sequence\":2,"));
	(void)ask(f, &c1,
		REQUEST("2", "rpc.subscribe", "{\"domain\":\"b\",\"events\":[\"reboot\"]}"));
	emit(f, a, 1);
	expect_line(f, EVENT("1", "3") "\"event\":\"reboot\",\"domain\":{\"name\":\"a\"");
	emit(f, b, 1);
	expect_line(f, EVENT("1", "4"));
	expect_line(f, EVENT("2", "4"));
	assert_string_equal(ask(f, &c1, REQUEST("3", "rpc.unsubscribe", "[1]")), RESULT("3", "{}"));
	emit(f, a, 1);
	emit(f, b, 1);
	expect_line(f, EVENT("2", "6"));
	assert_non_null(strstr(ask(f, &c1, REQUEST("4", "rpc.unsubscribe", "[1]")), "-32010"));
	assert_non_null(strstr(ask(f, &c1, REQUEST("5", "rpc.unsubscribe", "[0]")), "-32010"));
	assert_non_null(strstr(
		ask(f, &c1, REQUEST("6", "rpc.subscribe", "{\"events\":[\"no\"]}")), "-32010"));
}

static void test_replay(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", "");
	char text[256];

	emit(f, a, 3);
	snprintf(text, sizeof(text),
		REQUEST("1", "rpc.subscribe", "{\"since\":2,\"instance\":\"%s\"}"),
		server->log->instance);
	assert_non_null(strstr(ask(f, &c1, text), "\"result\""));
	expect_line(f, EVENT("1", "3"));
	expect_line(f, EVENT("1", "4"));
	emit(f, a, 1);
	expect_line(f, EVENT("1", "5"));
	/* Numbers of another run mean nothing: all that there is, from the beginning. */
	assert_non_null(strstr(
		ask(f, &c1, REQUEST("2", "rpc.subscribe", "{\"since\":4,\"instance\":\"other\"}")),
		"\"result\""));
	expect_line(f, EVENT("2", "1") "\"event\":\"lifecycle\"");
	for (char n = '2'; n <= '5'; n++) {
		snprintf(text, sizeof(text), EVENT("2", "%c"), n);
		expect_line(f, text);
	}
}

/* A reader that stops: the daemon keeps no more for it than its buffer; when it reads again, it is told what it has missed, and
 * then has everything that is left, in order. */
static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", "");
	const unsigned n = 3 * RPC_LOG_EVENTS;
	struct rpc_conn *conn = list_entry(server->connections.next, struct rpc_conn, link);
	uint64_t last = 1, gaps = 0;

	(void)ask(f, &c1, REQUEST("1", "rpc.subscribe", "{}"));
	emit(f, a, n);
	assert_true(conn->out_bytes < 512U * 1024);
	while (last < n + 1) {
		struct json_object *m = json_tokener_parse(hear(f, &c1)), *params, *v;

		params = json_object_object_get(m, "params");
		if (json_object_object_get_ex(params, "from", &v)) {
			gaps++;
			assert_int_equal(json_object_get_uint64(v), last + 1);
			last = json_object_get_uint64(json_object_object_get(params, "to"));
		} else {
			assert_int_equal(
				json_object_get_uint64(json_object_object_get(params, "sequence")),
				++last);
		}
		json_object_put(m);
	}
	assert_int_equal(gaps, 1);
	assert_int_equal(last, n + 1);
	emit(f, a, 1);
	assert_non_null(strstr(hear(f, &c1), "rpc.event"));
}

/* It has read all that there was, and something else was sent before the loop had a look: then nothing waits for the socket any more, and
 * the rest comes all the same. */
static void test_room_by_others(void **state)
{
	struct fixture *f = *state;
	struct domain *a = fixture_define(f, "a", "", "");
	struct rpc_conn *conn = list_entry(server->connections.next, struct rpc_conn, link);

	(void)ask(f, &c1, REQUEST("1", "rpc.subscribe", "{}"));
	while (sd_event_run(f->event, 0) > 0)
		;
	emit(f, a, 3000);
	assert_false(list_empty(&conn->out));
	while (!list_empty(&conn->out)) {
		for (size_t had = SIZE_MAX; had != c1.len;) {
			had = c1.len;
			take_bytes(&c1);
		}
		rpc_conn_send_text(conn, "{}", 2, -EBADF);
	}
	assert_null(strstr(c1.buffer, "\"sequence\":3001,"));
	RUN_UNTIL(f, (take_bytes(&c1), strstr(c1.buffer, "\"sequence\":3001,")));
}

/* Who is no reader gets what happens to his own domains: now, and by replay; the end of one, too, and what was his when it happened. */
static void test_own_only(void **state)
{
	static const char owned[] =
		"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='4711'/></metadata>";
	struct fixture *f = *state;
	struct rpc_conn *conn = list_entry(server->connections.next, struct rpc_conn, link);
	struct domain *hers = fixture_define(f, "hers", "", ""),
		      *his = fixture_define(f, "his", "", owned);
	struct network *n = NULL;
	char text[256];

	conn->peer.role = API_ROLE_NONE;
	conn->peer.user.uid = 4711;
	(void)ask(f, &c1, REQUEST("1", "rpc.subscribe", "{}"));
	emit(f, hers, 1);
	emit(f, his, 1);
	expect_line(f, EVENT("1", "4") "\"event\":\"reboot\",\"domain\":{\"name\":\"his\"");
	assert_int_equal(network_define(f->manager, "<network><name>red</name></network>", "n", 0,
				 &n, NULL, &f->error),
		0);
	assert_int_equal(manager_undefine(f->manager, his, &f->error), 0);
	expect_line(f, EVENT("1", "6") "\"event\":\"lifecycle\",\"domain\":{\"name\":\"his\"");
	snprintf(text, sizeof(text),
		REQUEST("2", "rpc.subscribe", "{\"since\":1,\"instance\":\"%s\"}"),
		server->log->instance);
	(void)ask(f, &c1, text);
	expect_line(f, EVENT("2", "2") "\"event\":\"lifecycle\",\"domain\":{\"name\":\"his\"");
	expect_line(f, EVENT("2", "4"));
	expect_line(f, EVENT("2", "6"));
	/* By another's name, nothing. */
	(void)ask(f, &c1, REQUEST("3", "rpc.subscribe", "{\"domain\":\"hers\"}"));
	emit(f, hers, 1);
	assert_string_equal(ask(f, &c1, REQUEST("4", "Ping", "{}")), RESULT("4", "{}"));
}

/* It goes while its batch is being worked on: nothing of that is left (the sanitizers look), nothing more of it is done. */
static void test_gone_in_batch(void **state)
{
	struct fixture *f = *state;
	struct rpc_conn *conn = list_entry(server->connections.next, struct rpc_conn, link);
	unsigned n = rpc_n_connections(server);

	emit(f, fixture_define(f, "a", "", ""), 1);
	assert_true(conn->subscriptions[0].id == 0);
	say(&c1,
		"[" REQUEST("1", "rpc.subscribe", "{}") "," REQUEST(
			"2", "rpc.subscribe", "{\"since\":0,\"instance\":\"x\"}") "," REQUEST("3",
			"UndefineDomain", "[\"a\"]") "]\n");
	client_done(&c1);
	RUN_UNTIL(f, rpc_n_connections(server) < n);
	assert_non_null(manager_find_name(f->manager, "a"));
}

static void test_limit(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < RPC_MAX_SUBSCRIPTIONS; i++)
		assert_non_null(
			strstr(ask(f, &c1, REQUEST("1", "rpc.subscribe", "{}")), "\"result\""));
	assert_non_null(strstr(ask(f, &c1, REQUEST("1", "rpc.subscribe", "{}")), "-32016"));
	assert_string_equal(ask(f, &c1, REQUEST("2", "rpc.unsubscribe", "[3]")), RESULT("2", "{}"));
	assert_non_null(
		strstr(ask(f, &c1, REQUEST("3", "rpc.subscribe", "{}")), "\"subscription\":17"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_room_by_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_in_batch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
	};

	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
