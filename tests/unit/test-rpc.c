/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON-RPC end to end over socketpairs: calls and their answers, batches, late answers, fds, callers that are slow, rude or gone,
 * limits, and what rpc.discover says. */
#include "rpc-fixture.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "daemon/rpc-message.h"

static struct rpc *server;
static struct client c1, c2 = {.fd = -EBADF, .got_fd = -EBADF};

static void open_server(struct fixture *f, const struct rpc_options *options)
{
	assert_int_equal(rpc_new(f->manager, options, &server), 0);
}

static int setup(void **state)
{
	fixture_setup(state);
	open_server(*state, &(struct rpc_options){0});
	assert_int_equal(connect_client(&c1, server), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	client_done(&c1);
	client_done(&c2);
	server = rpc_free(server);
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	return fixture_teardown(state);
}

/* The answer to 'text' begins so. */
static void expect(struct fixture *f, const char *text, const char *begin)
{
	const char *line = ask(f, &c1, text);

	if (strncmp(line, begin, strlen(begin)) != 0)
		fail_msg("'%s' was answered by '%s'", text, line);
}

/* How many calls of a method ended so, as metrics tell it. */
static uint64_t counted(struct fixture *f, const char *method, enum error_code code)
{
	size_t i = (size_t)(api_find_method(method) - api_methods);

	return f->manager->api_counts[i * ERROR_CODE_X_MAX + code];
}

static void test_calls(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "a", "", "");
	expect(f, REQUEST("1", "Ping", "{}"), RESULT("1", "{}"));
	expect(f, REQUEST("\"x\"", "Ping", "[]"), RESULT("\"x\"", "{}"));
	expect(f, "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"Ping\"}", RESULT("null", "{}"));
	expect(f, REQUEST("2", "GetDomain", "[\"a\"]"),
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"info\":{\"name\":\"a\",");
	expect(f, REQUEST("3", "GetDomain", "{\"domain\":\"b\"}"),
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32001,\"message\":\"Domain not "
		"found: no "
		"domain with matching name "
		"'b'\",\"data\":{\"class\":\"NoDomain\",\"object\":{\"domain\":\"b\"},");
	expect(f, REQUEST("4", "GetDomain", "{\"domain\":1}"),
		"{\"jsonrpc\":\"2.0\",\"id\":4,\"error\":{\"code\":-32602,");
	expect(f, REQUEST("5", "Nothing", "{}"),
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"error\":{\"code\":-32601,");
	expect(f, "{\"jsonrpc\":\"2.0\",\"id\":6}",
		"{\"jsonrpc\":\"2.0\",\"id\":6,\"error\":{\"code\":-32600,");
	expect(f, "{\"jsonrpc\"", "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,");
	/* And the connection has survived all of that. */
	expect(f, REQUEST("7", "Ping", "{}"), RESULT("7", "{}"));
	assert_int_equal(counted(f, "Ping", ERROR_NONE), 4);
	assert_int_equal(counted(f, "GetDomain", ERROR_NONE), 1);
	assert_int_equal(counted(f, "GetDomain", ERROR_NO_DOMAIN), 1);
	assert_int_equal(counted(f, "StartDomain", ERROR_NONE), 0);
	assert_int_equal(rpc_n_connections(server), 1);
	assert_int_equal(rpc_n_subscriptions(server), 0);
}

/* No answer to a notification, whether it works or not; but it is done. */
static void test_notifications(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "a", "", "");
	say(&c1,
		"{\"jsonrpc\":\"2.0\",\"method\":\"SetAutostart\",\"params\":[\"a\",true]}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"SetAutostart\",\"params\":[\"b\",true]}\n"
		"{\"jsonrpc\":\"2.0\",\"method\":\"Nothing\"}\n");
	expect(f, REQUEST("1", "Ping", "{}"), RESULT("1", "{}"));
	assert_non_null(
		strstr(ask(f, &c1, REQUEST("2", "GetDomain", "[\"a\"]")), "\"autostart\":true"));
}

static void test_batches(void **state)
{
	struct fixture *f = *state;
	char *many = malloc(128 * (RPC_MAX_BATCH + 1) + 8);

	assert_string_equal(
		ask(f, &c1,
			"[" REQUEST("1", "Ping", "{}") ",7,{\"jsonrpc\":\"2.0\",\"method\":"
						       "\"Ping\"}," REQUEST("2", "Ping", "{}") "]"),
		"[" RESULT("1",
			"{}") ",{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,"
			      "\"message\":\"a request is an object\"}}," RESULT("2", "{}") "]");
	/* Nothing but notifications: nothing comes. */
	say(&c1,
		"[{\"jsonrpc\":\"2.0\",\"method\":\"Ping\"},{\"jsonrpc\":\"2.0\",\"method\":"
		"\"Ping\"}]\n");
	expect(f, "[]", "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,");
	for (unsigned over = 0; over < 2; over++) {
		strcpy(many, "[");
		for (unsigned i = 0; i < RPC_MAX_BATCH + over; i++)
			strcat(many + (i ? strlen(many) - 1 : 0), i ? ",1" : "1");
		strcat(many, "]");
		expect(f, many,
			over ? "{\"jsonrpc\":\"2.0\",\"id\":null"
			     : "[{\"jsonrpc\":\"2.0\",\"id\":null");
	}
	free(many);
}

/* An answer is of all that was asked for, or none. */
static void test_many_names(void **state)
{
	static char many[8 * 5000];
	struct fixture *f = *state;

	assert_int_equal(f->manager->n_domains, 0);
	(void)fixture_define(f, "a", "", "");
	strcpy(many, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"GetDomainStats\",\"params\":[[");
	for (unsigned i = 0; i < 4097; i++)
		strcat(many + (i ? strlen(many) - 4 : 0), i ? ",\"a\"" : "\"a\"");
	strcat(many, "],1]}");
	assert_non_null(strstr(ask(f, &c1, many), "4097 domains are named; name at most 4096"));
}

/* Answers come as they are ready; a batch waits for its last one. */
static void test_late_answers(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "a", "", "");
	fixture_define(f, "b", "", "");
	say(&c1, REQUEST("1", "StartDomain", "[\"a\"]") "\n");
	expect(f, REQUEST("2", "Ping", "{}"), RESULT("2", "{}"));
	assert_string_equal(hear(f, &c1), RESULT("1", "{}"));
	assert_string_equal(ask(f, &c1,
				    "[" REQUEST("3", "StartDomain", "[\"b\"]") "," REQUEST(
					    "4", "Ping", "{}") "]"),
		"[" RESULT("4", "{}") "," RESULT("3", "{}") "]");
	assert_string_equal(
		ask(f, &c1, REQUEST("5", "DestroyDomain", "[\"a\"]")), RESULT("5", "{}"));
}

/* An fd comes with its message, and with no other; a batch has none. */
static void test_fds(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "a", "", "");
	assert_string_equal(ask(f, &c1, REQUEST("1", "StartDomain", "[\"a\"]")), RESULT("1", "{}"));
	assert_int_equal(c1.got_fd, -EBADF);
	assert_string_equal(ask(f, &c1, REQUEST("2", "OpenConsole", "[\"a\"]")),
		RESULT("2", "{\"console\":0}"));
	assert_true(c1.got_fd >= 0);
	assert_true(fcntl(c1.got_fd, F_GETFD) & FD_CLOEXEC);
	c1.got_fd = safe_close(c1.got_fd);
	expect(f, "[" REQUEST("3", "OpenConsole", "[\"a\",\"\",1]") "]",
		"[{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32602,");
	assert_int_equal(c1.got_fd, -EBADF);
}

/* What a client passes is closed, and does no harm. */
static void test_passed_fds(void **state)
{
	struct fixture *f = *state;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int) * 200)];
	} control = {0};
	char text[] = REQUEST("1", "Ping", "{}") "\n";
	struct iovec iov = {text, sizeof(text) - 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	unsigned n = fixture_count_fds();

	control.header.cmsg_level = SOL_SOCKET;
	control.header.cmsg_type = SCM_RIGHTS;
	control.header.cmsg_len = CMSG_LEN(sizeof(int) * 200);
	for (unsigned i = 0; i < 200; i++)
		memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &c1.fd, sizeof(int));
	assert_int_equal(sendmsg(c1.fd, &m, 0), iov.iov_len);
	assert_string_equal(hear(f, &c1), RESULT("1", "{}"));
	assert_int_equal(fixture_count_fds(), n);
}

static void test_lengths(void **state)
{
	struct fixture *f = *state;
	static const char text[] = REQUEST("1", "Ping", "{}");
	char message[sizeof(text) + 3] = {0, 0, 0, (char)(sizeof(text) - 1)};
	static const char answer[] = RESULT("1", "{}");

	memcpy(message + 4, text, sizeof(text) - 1);
	assert_int_equal(send(c1.fd, message, sizeof(message), 0), sizeof(message));
	RUN_UNTIL(f, (take_bytes(&c1), c1.len >= 4 + sizeof(answer) - 1));
	assert_int_equal(c1.len, 4 + sizeof(answer) - 1);
	assert_int_equal(c1.buffer[3], sizeof(answer) - 1);
	assert_memory_equal(c1.buffer + 4, answer, sizeof(answer) - 1);
}

/* Ten thousand requests at once, by a caller that reads only then: all are answered, in order, and meanwhile the server
 * keeps no more than it may. */
static void test_pipelining(void **state)
{
	struct fixture *f = *state;
	const unsigned n = 10000;
	size_t len = 0, sent = 0;
	char *text = malloc(n * 64), expected[64];
	struct rpc_conn *conn = list_entry(server->connections.next, struct rpc_conn, link);

	for (unsigned i = 0; i < n; i++)
		len += (size_t)sprintf(
			text + len, "{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"Ping\"}\n", i);
	for (unsigned turn = 0; turn < 100; turn++) {
		ssize_t k = send(c1.fd, text + sent, len - sent, MSG_NOSIGNAL);

		sent += k > 0 ? (size_t)k : 0;
		assert_true(sd_event_run(f->event, 0) >= 0);
		assert_true(conn->out_bytes <= RPC_OUT_HIGH + 65536);
		assert_true(conn->n_calls <= RPC_MAX_CALLS);
	}
	for (unsigned i = 0; i < n; i++) {
		ssize_t k = sent < len ? send(c1.fd, text + sent, len - sent, MSG_NOSIGNAL) : 0;

		sent += k > 0 ? (size_t)k : 0;
		snprintf(expected, sizeof(expected), RESULT("%u", "{}"), i);
		assert_string_equal(hear(f, &c1), expected);
	}
	free(text);
}

/* A connection has as many calls under way as it may: what it has sent beyond waits, and goes on by itself when they are done. */
static void test_full(void **state)
{
	struct fixture *f = *state;
	char text[128];

	fixture_define(f, "a", "", "");
	for (unsigned i = 0; i < RPC_MAX_CALLS; i++) {
		snprintf(text, sizeof(text),
			REQUEST("%u", "StartDomain",
				"{\"domain\":\"a\",\"idempotency_key\":\"k\"}") "\n",
			i);
		say(&c1, text);
	}
	say(&c1, REQUEST("1000", "Ping", "{}") "\n");
	for (unsigned i = 0; i < RPC_MAX_CALLS; i++)
		assert_non_null(strstr(hear(f, &c1), "\"result\":{}"));
	assert_string_equal(hear(f, &c1), RESULT("1000", "{}"));
}

/* The caller goes while its call is under way: what it began goes on. */
static void test_gone(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");

	say(&c1,
		REQUEST("1", "StartDomain", "[\"a\"]") "\n[" REQUEST(
			"2", "StartDomain", "[\"a\"]") "]\n");
	RUN_UNTIL(f, d->phase == DOMAIN_STARTING);
	client_done(&c1);
	RUN_UNTIL(f, d->state == DOMAIN_STATE_RUNNING);
	RUN_UNTIL(f, server->n_connections == 0);
}

/* A caller that closes its half is still answered, and then the connection ends. Its last line needs no newline. */
static void test_half_closed(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "a", "", "");
	say(&c1, REQUEST("1", "StartDomain", "[\"a\"]"));
	assert_int_equal(shutdown(c1.fd, SHUT_WR), 0);
	assert_string_equal(hear(f, &c1), RESULT("1", "{}"));
	RUN_UNTIL(f, client_ended(&c1));
	RUN_UNTIL(f, server->n_connections == 0);
}

#define MANY      300
#define MANY_LONG 40000

static struct rpc_conn *first_conn(void)
{
	return list_entry(server->connections.next, struct rpc_conn, link);
}

/* All that came before the end is answered, however many turns of the loop that takes: answers that nobody takes hold up what is here, and
 * when they are taken the end is read before the last message is looked at. */
/* While a definition is on its way to the disk, methods of the connection itself are answered at once: what they are about may be gone
 * when that has come to its end. */
static void test_own_methods_wait_for_nobody(void **state)
{
	struct fixture *f = *state;
	char text[8192];

	assert_int_equal(connect_client(&c2, server), 0);
	for (unsigned i = 0; i < 20; i++) {
		char name[16];

		snprintf(name, sizeof(name), "d%u", i);
		snprintf(text, sizeof(text),
			REQUEST("1", "DefineDomain",
				"{\"xml\":\"%s\",\"source\":\"x\",\"flags\":0}") "\n" REQUEST("2",
				"rpc.cancel", "{\"id\":\"9\"}") "\n",
			fixture_xml(f, name, "", ""));
		say(&c1, text);
		assert_string_equal(hear(f, &c1), RESULT("2", "{\"cancelled\":false}"));
		assert_true(BEGINS(hear(f, &c1), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\""));
		/* Who goes meanwhile. */
		snprintf(name, sizeof(name), "e%u", i);
		snprintf(text, sizeof(text),
			REQUEST("1", "DefineDomain",
				"{\"xml\":\"%s\",\"source\":\"x\",\"flags\":0}") "\n",
			fixture_xml(f, name, "", ""));
		say(&c1, text);
		say(&c2, REQUEST("1", "rpc.unsubscribe", "{\"subscription\":1}") "\n");
		client_done(&c2);
		assert_true(BEGINS(hear(f, &c1), "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\""));
		assert_int_equal(connect_client(&c2, server), 0);
	}
}

static void test_half_closed_with_many(void **state)
{
	struct fixture *f = *state;
	static const char ping[] = REQUEST("1", "Ping", "{}") "\n";
	static const char discover[] = REQUEST("2", "rpc.discover", "{}") "\n";
	static char text[MANY_LONG + 20 * sizeof(discover) + MANY * sizeof(ping)];
	char *end = text + MANY_LONG;

	/* One long line first: there is room for what follows. */
	memset(text, 'x', MANY_LONG);
	end = stpcpy(end, "\n");
	for (unsigned i = 0; i < 18; i++)
		end = stpcpy(end, discover);
	for (unsigned i = 0; i < MANY; i++)
		end = stpcpy(end, ping);
	say(&c1, text);
	assert_int_equal(shutdown(c1.fd, SHUT_WR), 0);
	RUN_UNTIL(f, first_conn()->out_bytes >= RPC_OUT_HIGH);
	assert_true(BEGINS(hear(f, &c1), "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\""));
	for (unsigned i = 0; i < 18; i++)
		assert_true(BEGINS(hear(f, &c1), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\""));
	for (unsigned i = 0; i < MANY; i++)
		assert_string_equal(hear(f, &c1), RESULT("1", "{}"));
	RUN_UNTIL(f, client_ended(&c1));
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");

	say(&c1,
		REQUEST("1", "StartDomain", "[\"a\"]") "\n" REQUEST("2", "rpc.cancel", "[1]") "\n");
	assert_true(
		BEGINS(hear(f, &c1), "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32051,"));
	assert_string_equal(hear(f, &c1), RESULT("2", "{\"cancelled\":true}"));
	RUN_UNTIL(f, d->state == DOMAIN_STATE_RUNNING);
	assert_string_equal(ask(f, &c1, REQUEST("3", "rpc.cancel", "[1]")),
		RESULT("3", "{\"cancelled\":false}"));
}

/* The descriptor that comes too late goes nowhere, and is not kept. */
static void test_cancel_fd(void **state)
{
	struct fixture *f = *state;
	unsigned n_fds;

	fixture_start(f, fixture_define(f, "a", "", ""));
	n_fds = fixture_count_fds();
	say(&c1,
		REQUEST("1", "OpenConsole", "[\"a\"]") "\n" REQUEST("2", "rpc.cancel", "[1]") "\n");
	assert_true(
		BEGINS(hear(f, &c1), "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32051,"));
	assert_string_equal(hear(f, &c1), RESULT("2", "{\"cancelled\":true}"));
	RUN_UNTIL(f, counted(f, "OpenConsole", ERROR_NONE) == 1);
	assert_int_equal(c1.got_fd, -EBADF);
	assert_int_equal(fixture_count_fds(), n_fds);
	expect(f, REQUEST("3", "Ping", "{}"), RESULT("3", "{}"));
}

/* Part of a message has come on some connection. */
static bool any_partial(void)
{
	struct list *pos;

	list_for_each (pos, &server->connections)
		if (list_entry(pos, struct rpc_conn, link)->in_armed)
			return true;
	return false;
}

/* Who does not finish a message, and who does not take what is sent, is dropped; who is just quiet is not. */
static void test_stalls(void **state)
{
	struct fixture *f = *state;
	uint64_t end = 0;
	char text[4096];

	client_done(&c1);
	server = rpc_free(server);
	open_server(f, &(struct rpc_options){.stall_usec = 200000});
	assert_int_equal(connect_client(&c1, server), 0);
	assert_int_equal(connect_client(&c2, server), 0);
	/* A message that came in two parts is over: its time is, too. */
	say(&c2, "{\"jsonrpc\":\"2.0\",\"id\":0,");
	RUN_UNTIL(f, any_partial());
	assert_string_equal(ask(f, &c2, "\"method\":\"Ping\"}"), RESULT("0", "{}"));
	say(&c1, "{\"jsonrpc\"");
	RUN_UNTIL(f, client_ended(&c1));
	assert_int_equal(server->n_connections, 1);
	assert_false(client_ended(&c2));
	client_done(&c1);
	/* The quiet one is still there; now it asks, and asks, and does not read. */
	strcpy(text, REQUEST("1", "rpc.discover", "{}") "\n");
	assert_string_equal(ask(f, &c2, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	while (server->n_connections) {
		(void)!send(c2.fd, text, strlen(text), MSG_NOSIGNAL);
		fixture_turn(f, &end);
	}
}

static void test_too_long(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(RPC_MAX_MESSAGE + 16);
	size_t sent = 0;

	memset(text, ' ', RPC_MAX_MESSAGE + 16);
	text[0] = '{';
	while (!client_ended(&c1) && sent < RPC_MAX_MESSAGE + 16) {
		ssize_t n = send(c1.fd, text + sent, RPC_MAX_MESSAGE + 16 - sent, MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		assert_true(sd_event_run(f->event, 1000) >= 0);
	}
	RUN_UNTIL(f, client_ended(&c1));
	assert_non_null(strstr(c1.buffer, "\"code\":-32600"));
	free(text);
}

/* One connection more than there may be hears why. */
static void test_too_many(void **state)
{
	struct fixture *f = *state;

	client_done(&c1);
	server = rpc_free(server);
	open_server(f, &(struct rpc_options){.max_connections = 1});
	assert_int_equal(connect_client(&c1, server), 0);
	assert_int_equal(connect_client(&c2, server), -EBUSY);
	assert_true(BEGINS(
		hear(f, &c2), "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32050,"));
	RUN_UNTIL(f, client_ended(&c2));
	expect(f, REQUEST("1", "Ping", "{}"), RESULT("1", "{}"));
}

/* The role is looked at before arguments are. */
static void test_roles(void **state)
{
	struct fixture *f = *state;
	struct rpc_conn *conn = list_entry(server->connections.next, struct rpc_conn, link);

	assert_int_equal(conn->peer.role, API_ROLE_ADMINISTRATOR);
	conn->peer.role = API_ROLE_READER;
	expect(f, REQUEST("1", "ListDomains", "[]"), RESULT("1", "{\"domains\":[]}"));
	expect(f, REQUEST("2", "StartDomain", "{\"nonsense\":1}"),
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":-32012,");
	conn->peer.role = API_ROLE_NONE;
	expect(f, REQUEST("3", "ListNetworks", "{\"nonsense\":1}"),
		"{\"jsonrpc\":\"2.0\",\"id\":3,\"error\":{\"code\":-32012,");
	expect(f, REQUEST("4", "ListDomains", "[]"), RESULT("4", "{\"domains\":[]}"));
	expect(f, REQUEST("5", "Ping", "[]"), RESULT("5", "{}"));
}

/* In a process of its own, which may become somebody else: uid 1000 with a group, or whoever runs the test. */
static enum api_role role_in_group(gid_t group, const gid_t gids[API_ROLE_X_MAX])
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		struct api_peer peer;
		int pair[2];

		if (getuid() == 0 &&
			(setgroups(1, &group) < 0 || setresgid(65534, 65534, 65534) < 0 ||
				setresuid(1000, 1000, 1000) < 0))
			_exit(100);
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
			_exit(101);
		rpc_io_unix_peer(pair[0], 4242, gids, &peer);
		_exit(peer.user.uid_known && peer.user.uid == getuid() ? (int)peer.role : 102);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* Of all groups that the caller is in, the one with the greatest role counts. */
static void test_groups(void **state)
{
	gid_t mine = getuid() == 0 ? 4711 : getgid(), other = 65534;
	gid_t gids[API_ROLE_X_MAX] = {0};

	(void)state;
	if (getuid() != 0)
		other = mine;
	assert_int_equal(role_in_group(mine, gids), API_ROLE_NONE);
	gids[API_ROLE_READER] = 4712;
	assert_int_equal(role_in_group(mine, gids), API_ROLE_NONE);
	gids[API_ROLE_READER] = other;
	assert_int_equal(role_in_group(mine, gids), API_ROLE_READER);
	gids[API_ROLE_OPERATOR] = mine;
	assert_int_equal(role_in_group(mine, gids), API_ROLE_OPERATOR);
	gids[API_ROLE_ADMINISTRATOR] = mine;
	gids[API_ROLE_OPERATOR] = 0;
	assert_int_equal(role_in_group(mine, gids), API_ROLE_ADMINISTRATOR);
}

static void add_plain(struct fixture *f, struct client *c, uid_t uid)
{
	const struct api_peer peer = {
		.role = API_ROLE_NONE, .user = {.uid_known = true, .uid = uid}};
	int pair[2];

	(void)f;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*c = (struct client){.fd = pair[1], .got_fd = -EBADF};
	assert_int_equal(rpc_conn_new(server, rpc_io_new_unix(pair[0]), &peer), 0);
}

/* Callers without a role leave room for the others, and for each other. */
static void test_plain_connections(void **state)
{
	struct fixture *f = *state;
	struct api_peer plain = {.role = API_ROLE_NONE, .user = {.uid_known = true}},
			reader = {.role = API_ROLE_READER};
	static struct client c;
	unsigned n = 0, of_one;
	int *fds = calloc(RPC_PLAIN_CONNECTIONS, sizeof(*fds));

	for (uid_t uid = 1000; n < RPC_PLAIN_CONNECTIONS; uid++) {
		plain.user.uid = uid;
		for (of_one = 0; rpc_has_room(server, &plain); of_one++) {
			add_plain(f, &c, uid);
			fds[n++] = c.fd;
		}
		assert_int_equal(of_one, RPC_PLAIN_UID_CONNECTIONS);
	}
	plain.user.uid = 5;
	assert_false(rpc_has_room(server, &plain));
	assert_true(rpc_has_room(server, &reader));
	close(fds[--n]);
	RUN_UNTIL(f, rpc_has_room(server, &plain));
	while (n)
		close(fds[--n]);
	RUN_UNTIL(f, server->n_plain == 0);
	free(fds);
}

static void test_plain_messages(void **state)
{
	struct fixture *f = *state;
	char *text = calloc(1, RPC_PLAIN_MESSAGE + 2);

	client_done(&c1);
	add_plain(f, &c1, 1000);
	strcpy(text, "[1");
	for (unsigned i = 1; i < RPC_PLAIN_BATCH; i++)
		strcat(text, ",1");
	expect(f, strcat(text, "]"),
		"[{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,");
	strcpy(text + strlen(text) - 1, ",1]");
	expect(f, text,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"a "
		"batch has at most 16 requests\"");
	memset(text, ' ', RPC_PLAIN_MESSAGE);
	memcpy(text, REQUEST("1", "Ping", "{}"), sizeof(REQUEST("1", "Ping", "{}")) - 1);
	expect(f, text, RESULT("1", "{}"));
	text[RPC_PLAIN_MESSAGE] = ' ';
	expect(f, text,
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32600,\"message\":\"a "
		"message is at most 65536 bytes\"");
	RUN_UNTIL(f, client_ended(&c1));
	free(text);
}

static void test_socket(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[sizeof(address.sun_path)];
	struct stat st;
	int fd, stale;

	snprintf(path, sizeof(path), "%s/rpc.sock", f->runtime);
	stale = rpc_open_socket(path, 0600, 0);
	assert_true(stale >= 0);
	assert_int_equal(rpc_open_socket(path, 0600, 0), -EADDRINUSE);
	close(stale);
	/* Nobody listens there any more. */
	fd = rpc_open_socket(path, 0660, getegid());
	assert_true(fd >= 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(rpc_listen(server, fd), 0);
	client_done(&c1);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	c1 = (struct client){.got_fd = -EBADF,
		.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	assert_int_equal(connect(c1.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	expect(f, REQUEST("1", "Ping", "{}"), RESULT("1", "{}"));
	/* A file that is no socket is not touched. */
	snprintf(path, sizeof(path), "%s/vmmd.lock", f->runtime);
	assert_true(rpc_open_socket(path, 0600, 0) < 0);
	assert_int_equal(stat(path, &st), 0);
}

#define OTHER_GID 54321

static bool drop_chown(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	data[0].effective &= ~(1U << CAP_CHOWN);
	data[0].permitted &= ~(1U << CAP_CHOWN);
	data[0].inheritable = 0;
	return syscall(SYS_capset, &header, data) == 0;
}

/* The service is root without CAP_CHOWN. */
static void test_socket_of_group(void **state)
{
	struct fixture *f = *state;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	struct stat st;
	int status;
	pid_t pid;

	if (geteuid() != 0) {
		print_message("skipped: needs root\n");
		skip();
	}
	snprintf(path, sizeof(path), "%s/group.sock", f->runtime);
	pid = fork();
	if (pid == 0)
		_exit(!drop_chown()                                          ? 2
				: rpc_open_socket(path, 0660, OTHER_GID) < 0 ? 1
				: getegid() != 0                             ? 3
									     : 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_gid, OTHER_GID);
	assert_int_equal(st.st_mode & 07777, 0660);
}

/* The document names each method of both tables once, every reference leads somewhere, and each example is a call that the
 * row's signature takes. */
static void test_discover(void **state)
{
	struct fixture *f = *state;
	struct json_object *answer =
		json_tokener_parse(ask(f, &c1, REQUEST("1", "rpc.discover", "{}")));
	struct json_object *doc = json_object_object_get(answer, "result"), *methods, *errors;

	assert_non_null(doc);
	methods = json_object_object_get(doc, "methods");
	errors = json_object_object_get(json_object_object_get(doc, "components"), "errors");
	assert_int_equal(json_object_array_length(methods), n_api_methods + n_rpc_methods);
	assert_int_equal(json_object_object_length(errors), ERROR_CODE_X_MAX - 1);
	for (size_t i = 0; i < json_object_array_length(methods); i++) {
		struct json_object *m = json_object_array_get_idx(methods, i);
		struct json_object *list = json_object_object_get(m, "errors");
		const char *name = json_object_get_string(json_object_object_get(m, "name"));

		assert_true(api_find_method(name) || strncmp(name, "rpc.", 4) == 0);
		for (size_t k = 0; k < json_object_array_length(list); k++) {
			const char *ref = json_object_get_string(
				json_object_object_get(json_object_array_get_idx(list, k), "$ref"));

			assert_non_null(json_object_object_get(errors, strrchr(ref, '/') + 1));
		}
	}
	json_object_put(answer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notifications, setup, teardown),
		cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_late_answers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_passed_fds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lengths, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pipelining, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_closed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own_methods_wait_for_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_closed_with_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel_fd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stalls, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain_connections, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_socket_of_group, setup, teardown),
		cmocka_unit_test_setup_teardown(test_discover, setup, teardown),
	};

	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
