/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams in the place of descriptors: a console by the API, bytes both ways and in order, windows, callers that do not read and
 * sockets that do not take, packets, ends of all kinds, limits, and who may not. */
#include "rpc-fixture.h"

#include <stddef.h>
#include <sys/un.h>

#include "vmm-core/base/base64.h"
#include "vmm-core/base/names.h"

#define TOTAL  (1024U * 1024)
#define WINDOW 65536U

/* The answer that a stream begins with. */
#define STREAM(id, stream, window, packets)                                                        \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":{\"stream\":" stream ",\"window\":" window  \
	",\"packets\":" packets ",\"epoch_ns\":"

static struct rpc *server;
static struct client c1, c2 = {.fd = -EBADF, .got_fd = -EBADF};
static unsigned n_fds;

static int setup(void **state)
{
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(connect_client(&c1, server), 0);
	n_fds = fixture_count_fds();
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

static struct rpc_conn *last_conn(void)
{
	return list_entry(server->connections.prev, struct rpc_conn, link);
}

static int open_stream(struct rpc_conn *conn, int fd, uint32_t window, struct error *error)
{
	struct json_object *out = NULL;
	int r = rpc_stream_open(conn, fd, window, &out, error);

	json_object_put(out);
	return r;
}

/* The other end of a new stream of 'c's connection, which was made last. */
static int add_stream(int type, uint32_t window)
{
	struct error e = {0};
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	if (open_stream(last_conn(), pair[0], window, &e) < 0)
		fail_msg("%s", e.message);
	close(pair[0]);
	return pair[1];
}

/* What one notification of stream 'id' brought. */
struct heard {
	char data[RPC_STREAM_PACKET];
	size_t size;
	uint64_t taken;
	bool end;
};

static void take_stream(const char *line, unsigned id, struct heard *ret)
{
	struct json_object *o = json_tokener_parse(line), *v;
	struct json_object *params = json_object_object_get(o, "params");
	const char *method = json_object_get_string(json_object_object_get(o, "method"));

	*ret = (struct heard){0};
	if (!method || !streq(method, "rpc.stream") ||
		json_object_get_int(json_object_object_get(params, "stream")) != (int)id)
		fail_msg("'%s' is nothing of stream %u", line, id);
	if (json_object_object_get_ex(params, "data", &v)) {
		const char *text = json_object_get_string(v);

		ret->size = base64_size(text, strlen(text));
		assert_true(ret->size > 0 && ret->size <= sizeof(ret->data));
		assert_int_equal(base64_decode(text, strlen(text), ret->data), 0);
	}
	ret->taken = json_object_get_uint64(json_object_object_get(params, "taken"));
	ret->end = json_object_get_boolean(json_object_object_get(params, "end"));
	assert_int_equal((ret->size > 0) + (ret->taken > 0) + ret->end, 1);
	json_object_put(o);
}

static const struct heard *hear_stream(struct fixture *f, struct client *c, unsigned id)
{
	static struct heard heard;

	take_stream(hear(f, c), id, &heard);
	return &heard;
}

static void expect_data(struct fixture *f, struct client *c, unsigned id, const char *text)
{
	const struct heard *h = hear_stream(f, c, id);

	assert_int_equal(h->size, strlen(text));
	assert_memory_equal(h->data, text, h->size);
}

static const char *write_request(const char *id, unsigned stream, const void *data, size_t size)
{
	static char text[256 * 1024];
	size_t n = (size_t)snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",%s%s%s\"method\":\"rpc.write\",\"params\":{\"stream\":%u,"
		"\"data\":\"",
		id ? "\"id\":" : "", id ?: "", id ? "," : "", stream);

	base64_encode(data, size, text + n);
	strcpy(text + n + BASE64_LEN(size), "\"}}");
	return text;
}

static void ack(struct client *c, unsigned stream, uint64_t taken)
{
	char text[160];

	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"method\":\"rpc.ack\",\"params\":[%u,%llu]}\n", stream,
		(unsigned long long)taken);
	say(c, text);
}

/* The answer; what comes of streams before it is left out. */
static const char *ask_past(struct fixture *f, struct client *c, const char *text)
{
	const char *line = ask(f, c, text);

	while (BEGINS(line, "{\"jsonrpc\":\"2.0\",\"method\":\"rpc.stream\","))
		line = hear(f, c);
	return line;
}

static void expect_error(struct fixture *f, struct client *c, const char *text, const char *class)
{
	char wanted[64];
	const char *line = ask_past(f, c, text);

	snprintf(wanted, sizeof(wanted), "\"class\":\"%s\"", class);
	if (!strstr(line, wanted))
		fail_msg("'%s' was answered by '%s'", text, line);
}

/* Bytes that differ, with a period that no buffer has. */
static char pattern(size_t i)
{
	return (char)((i * 2654435761U) >> 13 ^ i);
}

/* These lines, in any order: streams and answers do not wait for each other. */
static void expect_lines(struct fixture *f, struct client *c, const char *const *lines, unsigned n)
{
	unsigned seen = 0;

	for (unsigned i = 0; i < n; i++) {
		const char *line = hear(f, c);
		unsigned k = 0;

		while (k < n && ((seen >> k & 1) || !strstr(line, lines[k])))
			k++;
		if (k == n)
			fail_msg("'%s' was not expected", line);
		seen |= 1U << k;
	}
}
#define EXPECT_LINES(f, c, ...)                                                                    \
	do {                                                                                       \
		const char *const lines_[] = {__VA_ARGS__};                                        \
		expect_lines(f, c, lines_, ARRAY_SIZE(lines_));                                    \
	} while (0)

static void test_console(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, fixture_define(f, "a", "", ""));
	n_fds = fixture_count_fds();
	assert_true(BEGINS(
		ask(f, &c1, REQUEST("1", "OpenConsole", "{\"domain\":\"a\",\"stream\":65536}")),
		STREAM("1", "1", "65536", "false")));
	assert_int_equal(c1.got_fd, -EBADF);
	expect_data(f, &c1, 1, "fake console\r\n");
	say(&c1, REQUEST("2", "ResizeConsole", "[\"a\",\"\",132,43]") "\n");
	EXPECT_LINES(f, &c1, RESULT("2", "{}"), "{\"stream\":1,\"data\":\"MCAwIGlzIDEzMng0Mw0K\"}");
	say(&c1, write_request("3", 1, "ls\n", 3));
	say(&c1, "\n");
	EXPECT_LINES(f, &c1, RESULT("3", "{\"taken\":3}"), "{\"stream\":1,\"data\":\"bHMK\"}");
	/* One at a time, and by force the other one: the first stream ends. */
	expect_error(f, &c1, REQUEST("4", "OpenConsole", "[\"a\",\"\",0,1]"), "OperationFailed");
	say(&c1, REQUEST("5", "OpenConsole", "[\"a\",\"\",1,65536]") "\n");
	EXPECT_LINES(f, &c1, "\"id\":5,\"result\":{\"stream\":2,", "{\"stream\":1,\"end\":true}",
		"{\"stream\":2,\"data\":\"ZmFrZSBjb25zb2xlDQo=\"}");
	assert_string_equal(ask(f, &c1, REQUEST("6", "rpc.close", "[2]")), RESULT("6", "{}"));
	assert_int_equal(server->n_streams, 0);
	assert_int_equal(fixture_count_fds(), n_fds);
}

/* Nobody learns the number, or somebody does not want it any more: no stream, and no descriptor. */
static void test_no_answer(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, fixture_define(f, "a", "", ""));
	n_fds = fixture_count_fds();
	say(&c1, "{\"jsonrpc\":\"2.0\",\"method\":\"OpenConsole\",\"params\":[\"a\",\"\",1,9]}\n");
	say(&c1, REQUEST("1", "OpenConsole", "[\"a\",\"\",1,9]") "\n");
	say(&c1, REQUEST("2", "rpc.cancel", "[1]") "\n");
	assert_true(
		BEGINS(hear(f, &c1), "{\"jsonrpc\":\"2.0\",\"id\":1,\"error\":{\"code\":-32051,"));
	assert_string_equal(hear(f, &c1), RESULT("2", "{\"cancelled\":true}"));
	/* The worker answers in order: this one is the last. */
	assert_true(strstr(ask(f, &c1, REQUEST("3", "OpenConsole", "[\"a\",\"\",1,9]")),
			    "\"stream\":1") != NULL);
	assert_int_equal(server->n_streams, 1);
	assert_int_equal(fixture_count_fds(), n_fds + 1);
	expect_error(
		f, &c1, "[" REQUEST("4", "OpenConsole", "[\"a\",\"\",1,9]") "]", "InvalidArgument");
	/* Its caller is gone before the answer. */
	say(&c1, REQUEST("5", "OpenConsole", "[\"a\",\"\",1,9]") "\n");
	client_done(&c1);
	RUN_UNTIL(f, server->n_connections == 0);
	assert_int_equal(server->n_streams, 0);
	RUN_UNTIL(f,
		f->manager->api_counts[(size_t)(api_find_method("OpenConsole") - api_methods) *
			ERROR_CODE_X_MAX] == 4);
	assert_int_equal(fixture_count_fds(), n_fds - 2);
}

static void test_both_ways(void **state)
{
	struct fixture *f = *state;
	int fd = add_stream(SOCK_STREAM, WINDOW);
	char text[64] = "";

	assert_int_equal(write(fd, "one", 3), 3);
	expect_data(f, &c1, 1, "one");
	say(&c1, write_request(NULL, 1, "a", 1));
	say(&c1, "\n");
	say(&c1, write_request(NULL, 1, "b\0c", 3));
	say(&c1, "\n");
	assert_string_equal(
		ask(f, &c1, write_request("1", 1, "d", 1)), RESULT("1", "{\"taken\":5}"));
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_memory_equal(text, "ab\0cd", 5);
	assert_string_equal(
		ask(f, &c1, write_request("2", 1, "", 0)), RESULT("2", "{\"taken\":5}"));
	expect_error(f, &c1, REQUEST("3", "rpc.write", "[1,\"YQ\"]"), "InvalidArgument");
	expect_error(f, &c1, REQUEST("3", "rpc.write", "[1,\"YQ =\"]"), "InvalidArgument");
	expect_error(f, &c1, REQUEST("3", "rpc.write", "[1,5]"), "InvalidArgument");
	expect_error(f, &c1, REQUEST("3", "rpc.write", "[2,\"YQ==\"]"), "InvalidArgument");
	expect_error(f, &c1, REQUEST("3", "rpc.write", "[0,\"YQ==\"]"), "InvalidArgument");
	expect_error(f, &c1, REQUEST("3", "rpc.ack", "[1,4]"), "InvalidArgument");
	assert_string_equal(ask(f, &c1, REQUEST("4", "rpc.ack", "[1,3]")), RESULT("4", "{}"));
	expect_error(f, &c1, REQUEST("5", "rpc.ack", "[1,2]"), "InvalidArgument");
	assert_int_equal(read(fd, text, sizeof(text)), -1);
	assert_string_equal(ask(f, &c1, REQUEST("6", "rpc.close", "[1]")), RESULT("6", "{}"));
	assert_int_equal(read(fd, text, sizeof(text)), 0);
	expect_error(f, &c1, REQUEST("7", "rpc.close", "[1]"), "InvalidArgument");
	expect_error(f, &c1, write_request("7", 1, "x", 1), "InvalidArgument");
	close(fd);
}

/* What it said before it went is told first; then nobody is there to write to. */
static void test_hang_up(void **state)
{
	struct fixture *f = *state;
	int fd = add_stream(SOCK_STREAM, WINDOW);

	assert_int_equal(write(fd, "last words", 10), 10);
	close(fd);
	/* It is refused by the socket; the caller need not know before the end. */
	say(&c1, write_request(NULL, 1, "x", 1));
	say(&c1, "\n");
	expect_data(f, &c1, 1, "last words");
	assert_true(hear_stream(f, &c1, 1)->end);
	expect_error(f, &c1, write_request("1", 1, "x", 1), "InvalidArgument");
	assert_int_equal(fixture_count_fds(), n_fds);
	/* Of one whose window is full the rest comes when there is room. */
	fd = add_stream(SOCK_STREAM, 1);
	assert_int_equal(write(fd, "ab", 2), 2);
	expect_data(f, &c1, 2, "ab");
	close(fd);
	assert_string_equal(ask(f, &c1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	ack(&c1, 2, 2);
	assert_true(hear_stream(f, &c1, 2)->end);
	assert_int_equal(fixture_count_fds(), n_fds);
}

/* A guest that floods, and a caller that takes its time: no more than the window, a piece and the answers are on the way; then
 * everything comes, as it was. */
static void test_to_caller(void **state)
{
	struct fixture *f = *state;
	int fd = add_stream(SOCK_STREAM, WINDOW);
	size_t written = 0, got = 0, acked = 0;
	char data[4096];

	while (got < TOTAL) {
		const struct heard *h;

		while (written < TOTAL) {
			for (size_t i = 0; i < sizeof(data); i++)
				data[i] = pattern(written + i);
			ssize_t n = write(fd, data, MIN(sizeof(data), TOTAL - written));

			if (n < 0)
				break;
			written += (size_t)n;
		}
		if (got - acked >= WINDOW) {
			/* It stands still, but for calls. */
			assert_true(got - acked < WINDOW + RPC_STREAM_CHUNK);
			assert_string_equal(
				ask(f, &c1, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
			ack(&c1, 1, got);
			acked = got;
		}
		h = hear_stream(f, &c1, 1);
		assert_true(h->size <= RPC_STREAM_CHUNK);
		for (size_t i = 0; i < h->size; i++)
			assert_int_equal(h->data[i], pattern(got + i));
		got += h->size;
	}
	close(fd);
	ack(&c1, 1, got);
	assert_true(hear_stream(f, &c1, 1)->end);
}

/* A connection that is not read: its streams stop long before its answers do, whatever the windows are; others notice nothing. */
static void test_not_read(void **state)
{
	struct fixture *f = *state;
	struct rpc_conn *conn = last_conn();
	int fds[3], size = 8192;
	char data[8192] = "";
	unsigned still = 0;

	(void)setsockopt(conn->io->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = add_stream(SOCK_STREAM, RPC_STREAM_MAX_WINDOW);
	while (still < 20) {
		bool moved = false;

		for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
			moved |= write(fds[i], data, sizeof(data)) > 0;
		still = moved ? 0 : still + 1;
		assert_true(sd_event_run(f->event, 0) >= 0);
		assert_true(conn->out_bytes < RPC_STREAM_OUT + 2 * RPC_STREAM_CHUNK);
	}
	assert_true(conn->out_bytes >= RPC_STREAM_OUT);
	assert_int_equal(connect_client(&c2, server), 0);
	assert_string_equal(ask(f, &c2, REQUEST("1", "Ping", "{}")), RESULT("1", "{}"));
	/* It is still read from, and when it reads, its answer is behind what had gone. */
	say(&c1, REQUEST("2", "Ping", "{}") "\n");
	for (size_t n = 0;; n++) {
		const char *line = hear(f, &c1);

		if (BEGINS(line, RESULT("2", "{}")))
			break;
		assert_true(BEGINS(line, "{\"jsonrpc\":\"2.0\",\"method\":\"rpc.stream\","));
		assert_true(n < 100);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* Streams take turns: none is behind another by more than a few pieces. */
static void test_fair(void **state)
{
	struct fixture *f = *state;
	char data[16384] = "";
	int fds[4];
	unsigned n[5] = {0};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = add_stream(SOCK_STREAM, RPC_STREAM_MAX_WINDOW);
	for (unsigned round = 0; round < 40; round++) {
		struct json_object *o;

		for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
			while (write(fds[i], data, sizeof(data)) > 0)
				;
		o = json_tokener_parse(hear(f, &c1));
		n[json_object_get_int(
			json_object_object_get(json_object_object_get(o, "params"), "stream"))]++;
		json_object_put(o);
	}
	for (unsigned i = 1; i <= ARRAY_SIZE(fds); i++) {
		assert_in_range(n[i], 7, 13);
		close(fds[i - 1]);
	}
}

/* A guest that reads slowly: a caller that keeps to the window is never refused, and everything arrives as it was. */
static void test_to_socket(void **state)
{
	struct fixture *f = *state;
	int fd = add_stream(SOCK_STREAM, WINDOW);
	size_t sent = 0, got = 0;
	uint64_t taken = 0;
	char data[8192];

	while (got < TOTAL) {
		ssize_t n;

		while (sent < TOTAL && sent - taken + sizeof(data) <= RPC_STREAM_WINDOW) {
			for (size_t i = 0; i < sizeof(data); i++)
				data[i] = pattern(sent + i);
			say(&c1, write_request(NULL, 1, data, sizeof(data)));
			say(&c1, "\n");
			sent += sizeof(data);
		}
		assert_true(sd_event_run(f->event, 0) >= 0);
		while (has_line(&c1))
			taken = hear_stream(f, &c1, 1)->taken;
		assert_true(taken <= sent);
		n = read(fd, data, 1000);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(data[i], pattern(got + (size_t)i));
		got += n > 0 ? (size_t)n : 0;
	}
	assert_true(TOTAL - taken < RPC_STREAM_WINDOW / 2);
	close(fd);
}

/* And one that does not read at all: the socket's own buffer and the window take so much, and what is more is refused, as a whole and
 * every time. Then it reads: there is what was taken, in order. */
static void test_refused(void **state)
{
	struct fixture *f = *state;
	int fd = add_stream(SOCK_STREAM, WINDOW);
	size_t sent = 0, got = 0;
	char data[5000];

	for (;;) {
		for (size_t i = 0; i < sizeof(data); i++)
			data[i] = pattern(sent + i);
		if (!strstr(ask_past(f, &c1, write_request("1", 1, data, sizeof(data))),
			    "\"result\""))
			break;
		sent += sizeof(data);
		assert_true(sent < 8 * TOTAL);
	}
	assert_true(sent > RPC_STREAM_WINDOW);
	for (unsigned i = 0; i < 10; i++)
		expect_error(f, &c1, write_request("2", 1, data, sizeof(data)), "ResourceBusy");
	assert_string_equal(ask(f, &c1, REQUEST("3", "Ping", "{}")), RESULT("3", "{}"));
	while (got < sent) {
		ssize_t n = read(fd, data, sizeof(data));

		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(data[i], pattern(got + (size_t)i));
		got += n > 0 ? (size_t)n : 0;
		assert_true(sd_event_run(f->event, 0) >= 0);
	}
	while (has_line(&c1))
		assert_true(hear_stream(f, &c1, 1)->taken <= sent);
	assert_true(strstr(ask(f, &c1, write_request("4", 1, data, sizeof(data))), "\"result\""));
	close(fd);
}

/* Each packet is one notification; nothing goes the other way. */
static void test_packets(void **state)
{
	struct fixture *f = *state;
	int fd = add_stream(SOCK_SEQPACKET, 3);
	char data[RPC_STREAM_PACKET];
	const struct heard *h;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = pattern(i);
	assert_int_equal(send(fd, "ab", 2, 0), 2);
	assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
	assert_int_equal(send(fd, "c", 1, 0), 1);
	expect_data(f, &c1, 1, "ab");
	h = hear_stream(f, &c1, 1);
	assert_int_equal(h->size, sizeof(data));
	assert_memory_equal(h->data, data, sizeof(data));
	expect_error(f, &c1, write_request("1", 1, "x", 1), "OperationInvalid");
	ack(&c1, 1, sizeof(data) + 2);
	expect_data(f, &c1, 1, "c");
	close(fd);
	assert_true(hear_stream(f, &c1, 1)->end);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct error e = {0};
	int fds[RPC_MAX_STREAMS];

	fixture_start(f, fixture_define(f, "a", "", ""));
	for (unsigned i = 0; i < RPC_MAX_STREAMS; i++)
		fds[i] = add_stream(SOCK_STREAM, 1);
	/* Before anything is opened: nobody loses a console for it. */
	expect_error(f, &c1, REQUEST("1", "OpenConsole", "[\"a\",\"\",1,1]"), "ResourceBusy");
	assert_true(ask(f, &c1, REQUEST("2", "OpenConsole", "[\"a\"]")) && c1.got_fd >= 0);
	assert_int_equal(open_stream(last_conn(), fds[0], 1, &e), -EBUSY);
	assert_int_equal(connect_client(&c2, server), 0);
	server->n_streams = RPC_MAX_STREAMS_ALL;
	assert_int_equal(open_stream(last_conn(), fds[0], 1, &e), -EBUSY);
	server->n_streams = RPC_MAX_STREAMS;
	assert_int_equal(open_stream(last_conn(), fds[0], 1, &e), 0);
	assert_string_equal(ask(f, &c1, REQUEST("3", "rpc.close", "[16]")), RESULT("3", "{}"));
	expect_error(
		f, &c1, REQUEST("4", "OpenConsole", "[\"a\",\"\",1,16777217]"), "InvalidArgument");
	assert_true(strstr(ask(f, &c1, REQUEST("5", "OpenConsole", "[\"a\",\"\",1,16777216]")),
			    "\"stream\":17") != NULL);
	for (unsigned i = 0; i < RPC_MAX_STREAMS; i++)
		close(fds[i]);
}

/* Connections that end in the middle: those of who goes, of who says no more, and the server's end. */
static void test_connection_ends(void **state)
{
	struct fixture *f = *state;
	char data[8192] = "", byte;
	int fd;

	for (unsigned how = 0; how < 3; how++) {
		if (how)
			assert_int_equal(connect_client(&c1, server), 0);
		fd = add_stream(SOCK_STREAM, WINDOW);
		while (write(fd, data, sizeof(data)) > 0)
			assert_true(sd_event_run(f->event, 0) >= 0);
		say(&c1, write_request(NULL, 1, data, 100));
		say(&c1, "\n");
		if (how == 0)
			client_done(&c1);
		if (how == 1)
			assert_int_equal(shutdown(c1.fd, SHUT_WR), 0);
		if (how < 2)
			RUN_UNTIL(f, c1.fd < 0 ? server->n_connections == 0 : client_ended(&c1));
		if (how == 2)
			server = rpc_free(server);
		else
			assert_int_equal(server->n_streams, 0);
		client_done(&c1);
		while (read(fd, data, sizeof(data)) > 0)
			;
		assert_true(read(fd, &byte, 1) <= 0 && errno != EAGAIN);
		close(fd);
	}
}

/* A role's rows, and an owner's, are those of the method: a stream gives nobody more. */
static void test_roles(void **state)
{
	static const struct {
		enum api_role role;
		uid_t uid;
		bool may;
	} rows[] = {
		{API_ROLE_NONE, 4712, false},
		{API_ROLE_READER, 4712, false},
		{API_ROLE_NONE, 4711, true},
		{API_ROLE_OPERATOR, 4712, true},
	};
	struct fixture *f = *state;

	fixture_start(f,
		fixture_define(f, "a", "",
			"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='4711'/></metadata>"));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct api_peer peer = {
			.role = rows[i].role, .user = {.uid_known = true, .uid = rows[i].uid}};
		struct error e = {0};
		int pair[2];

		client_done(&c1);
		assert_int_equal(
			socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
			0);
		c1 = (struct client){.fd = pair[1], .got_fd = -EBADF};
		assert_int_equal(rpc_conn_new(server, rpc_io_new_unix(pair[0]), &peer), 0);
		if (!rows[i].may) {
			expect_error(f, &c1, REQUEST("1", "OpenConsole", "[\"a\",\"\",1,9]"),
				"AccessDenied");
			continue;
		}
		expect_error(f, &c1, REQUEST("1", "OpenCapture", "[\"a\",\"vnet0\",3,64,9]"),
			"AccessDenied");
		assert_true(BEGINS(ask(f, &c1, REQUEST("2", "OpenConsole", "[\"a\",\"\",1,9]")),
			"{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{\"stream\":1,"));
		for (unsigned n = 1; rows[i].role == API_ROLE_NONE && n < RPC_PLAIN_STREAMS; n++)
			assert_int_equal(open_stream(last_conn(), pair[1], 1, &e), 0);
		if (rows[i].role == API_ROLE_NONE)
			assert_int_equal(open_stream(last_conn(), pair[1], 1, &e), -EBUSY);
	}
}

/* Behind a bridge no descriptor arrives: who asks for none gets a stream, who asks for one hears what to ask for. */
static void test_bridge(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX}, own = {.sun_family = AF_UNIX};
	int n;

	fixture_start(f, fixture_define(f, "a", "", ""));
	client_done(&c1);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/rpc.sock", f->runtime);
	assert_int_equal(rpc_listen(server, rpc_open_socket(address.sun_path, 0600, 0)), 0);
	c1 = (struct client){.got_fd = -EBADF,
		.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
	n = snprintf(own.sun_path + 1, sizeof(own.sun_path) - 1, VMMD_BRIDGE_NAME "%d", getpid());
	assert_int_equal(
		bind(c1.fd, (struct sockaddr *)&own,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)),
		0);
	assert_int_equal(connect(c1.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	expect_error(f, &c1, REQUEST("1", "OpenConsole", "[\"a\"]"), "NoSupport");
	assert_non_null(strstr(ask(f, &c1, REQUEST("2", "OpenConsole", "[\"a\"]")),
		"ask for a stream instead, with \\\"stream\\\": 65536"));
	assert_true(BEGINS(ask(f, &c1, REQUEST("3", "OpenConsole", "[\"a\",\"\",0,65536]")),
		STREAM("3", "1", "65536", "false")));
	expect_data(f, &c1, 1, "fake console\r\n");
	assert_int_equal(c1.got_fd, -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_console, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hang_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_to_caller, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fair, setup, teardown),
		cmocka_unit_test_setup_teardown(test_to_socket, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_packets, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_connection_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_roles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bridge, setup, teardown),
	};

	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
