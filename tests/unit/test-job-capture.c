/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Captures as jobs: counts while they run, every way that one ends, who may see them, what a caller is told. */
#include "job-fixture.h"

#include "vmm-core/base/capture-record.h"

#define OPEN_NET(options)                                                                          \
	REQUEST("1", "OpenNetworkCapture",                                                         \
		"{\"network\":\"net-keep\",\"uplink\":\"\",\"direction\":3,\"snaplen\":"           \
		"100" options "}")
#define OPENED(job) RESULT("1", "{\"job\":" job ",\"capture\":0}")

static void create_network(struct fixture *f)
{
	expect(f,
		REQUEST("1", "CreateNetwork",
			"{\"xml\":\"<network><name>net-keep</name></network>\"}"),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\"");
}

/* The reader's end of capture number 'job' of the network. */
static int open_network(struct fixture *f, const char *text, const char *answer)
{
	int fd;

	expect(f, text, answer);
	fd = c2.got_fd;
	c2.got_fd = -EBADF;
	assert_true(fd >= 0);
	return fd;
}

/* What was on its way, and then the end. */
static void expect_end(int fd)
{
	struct proto_capture what;

	assert_int_equal(read(fd, &what, sizeof(what)), sizeof(what));
	assert_int_equal(what.snaplen, 100);
	assert_int_equal(read(fd, &what, sizeof(what)), 0);
	close(fd);
}

static void expect_over(
	struct fixture *f, unsigned id, const char *state, const char *code, const char *ended)
{
	struct json_object *info = job(f, "WaitJob", id), *result;

	assert_string_equal(word(info, "state"), state);
	assert_string_equal(word(info, "error"), code);
	result = json_object_object_get(info, "result");
	assert_int_equal(number(result, "frames"), 7);
	assert_int_equal(number(result, "bytes"), 700);
	assert_int_equal(number(result, "lost"), 1);
	assert_string_equal(word(result, "ended"), ended);
	json_object_put(info);
}

/* Its number comes with its descriptor, and it runs on behind the answer; a job that is cancelled gives its reader the end. */
static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct json_object *info;
	int fd;

	create_network(f);
	fd = open_network(f, OPEN_NET(""), OPENED("2"));
	info = job(f, "GetJob", 2);
	assert_string_equal(word(info, "operation"), "net-capture");
	assert_string_equal(word(info, "network"), "net-keep");
	assert_string_equal(word(info, "state"), "running");
	assert_string_equal(word(info, "cancellable"), "true");
	assert_int_equal(number(info, "frames"), 7);
	assert_int_equal(number(info, "bytes"), 700);
	assert_int_equal(number(info, "lost"), 1);
	assert_int_equal(number(info, "percent"), -1);
	assert_int_equal(number(info, "bytes_total"), -1);
	json_object_put(info);
	expect_counts(f, "net-capture", 1, 0, 0, 0);
	expect(f, REQUEST("3", "CancelJob", "[2]"), RESULT("3", "{}"));
	expect_end(fd);
	expect_over(f, 2, "cancelled", "Cancelled", "cancelled");
	expect_counts(f, "net-capture", 0, 0, 0, 1);
	expect(f, REQUEST("4", "CancelJob", "[2]"), FAILED("4", "-32006"));
}

static void test_reader_goes(void **state)
{
	struct fixture *f = *state;

	create_network(f);
	close(open_network(f, OPEN_NET(""), OPENED("2")));
	expect_over(f, 2, "done", "(none)", "reader");
}

static void test_source_goes(void **state)
{
	struct fixture *f = *state;
	struct domain *d;
	int fd;

	create_network(f);
	fd = open_network(f, OPEN_NET(""), OPENED("2"));
	expect(f, REQUEST("3", "DestroyNetwork", "[\"net-keep\"]"), RESULT("3", "{}"));
	expect_end(fd);
	expect_over(f, 2, "failed", "OperationFailed", "source");
	/* A vNIC that is pulled out, of a machine that goes on. */
	create_network(f);
	f->devices = "<interface type='network'><mac address='52:54:00:00:00:01'/><source "
		     "network='net-keep'/></interface>";
	d = fixture_define(f, "a", "fake=keep-capture", "");
	fixture_start(f, d);
	expect(f, REQUEST("1", "OpenCapture", "[\"a\",\"vnet0\",3,100]"), OPENED("5"));
	fd = c2.got_fd;
	c2.got_fd = -EBADF;
	expect(f,
		REQUEST("4", "DetachDevice",
			"{\"domain\":\"a\",\"xml\":\"<interface type='network'><mac "
			"address='52:54:00:00:00:01'/></interface>\",\"flags\":1}"),
		RESULT("4", "{\"gone\":true}"));
	expect_end(fd);
	expect_over(f, 5, "failed", "OperationFailed", "source");
	assert_int_equal(d->phase, DOMAIN_ACTIVE);
}

static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct json_object *info;
	int fd;

	create_network(f);
	fd = open_network(f, OPEN_NET(",\"timeout_ms\":50"), OPENED("2"));
	info = job(f, "WaitJob", 2);
	assert_string_equal(word(info, "message"),
		"Timed out during operation: net-capture of 'net-keep' was not done in 50 ms: it "
		"is "
		"cancelled");
	json_object_put(info);
	expect_end(fd);
	expect_over(f, 2, "cancelled", "Timeout", "cancelled");
}

/* The worker says nothing: the call can be cancelled all the same. What it says later is heard by nobody. */
static void test_cancel_before(void **state)
{
	struct fixture *f = *state;
	struct domain *d;

	create_network(f);
	f->devices = "<interface type='network'><source network='net-keep'/></interface>";
	d = fixture_define(f, "a", "fake=mute", "");
	fixture_start(f, d);
	say(&c1, REQUEST("1", "OpenCapture", "[\"a\",\"vnet0\",3,100]") "\n");
	RUN_UNTIL(f, !BEGINS(ask(f, &c2, REQUEST("2", "GetJob", "[2]")), FAILED("2", "-32019")));
	expect(f, REQUEST("3", "CancelJob", "[2]"), RESULT("3", "{}"));
	assert_true(BEGINS(hear(f, &c1), FAILED("1", "-32020")));
	assert_true(c1.got_fd < 0);
	expect_state(f, 2, "cancelled");
}

/* Over a connection that passes no descriptors the stream has the number, too. */
static void test_stream(void **state)
{
	struct fixture *f = *state;
	const char *line;

	create_network(f);
	line = ask(f, &c1, OPEN_NET(",\"stream\":65536"));
	assert_non_null(strstr(line, "\"stream\":1,"));
	assert_non_null(strstr(line, "\"job\":2"));
	assert_non_null(strstr(hear(f, &c1), "\"data\":"));
	expect(f, REQUEST("3", "CancelJob", "[2]"), RESULT("3", "{}"));
	assert_non_null(strstr(hear(f, &c1), "\"end\":true"));
	expect_state(f, 2, "cancelled");
}

static void test_not_detached(void **state)
{
	struct fixture *f = *state;

	create_network(f);
	expect(f, OPEN_NET(",\"detach\":true"), FAILED("1", "-32602"));
	expect(f, REQUEST("2", "ListJobs", "[1]"), RESULT("2", "{\"jobs\":[]}"));
}

/* Whose domain it is may not capture it, and does not see who does. */
static void test_owner(void **state)
{
	static const char owned[] =
		"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='4711'/></metadata>";
	struct fixture *f = *state;
	struct rpc_conn *his = list_entry(server->connections.prev, struct rpc_conn, link);

	create_network(f);
	f->devices = "<interface type='network'><source network='net-keep'/></interface>";
	fixture_start(f, fixture_define(f, "a", "fake=keep-capture", owned));
	expect(f, REQUEST("1", "OpenCapture", "[\"a\",\"vnet0\",3,100]"), OPENED("2"));
	his->peer.role = API_ROLE_NONE;
	his->peer.user.uid = 4711;
	expect(f, REQUEST("2", "GetDomain", "[\"a\"]"), "{\"jsonrpc\":\"2.0\",\"id\":2,\"result\"");
	expect(f, REQUEST("3", "OpenCapture", "[\"a\",\"vnet0\",3,100]"), FAILED("3", "-32012"));
	expect(f, REQUEST("4", "ListJobs", "[]"), RESULT("4", "{\"jobs\":[]}"));
	expect(f, REQUEST("5", "CancelJob", "[2]"), FAILED("5", "-32019"));
	/* Nor hears of it, not even afterwards. */
	expect(f, REQUEST("5", "rpc.subscribe", "{\"events\":[\"job\"],\"instance\":\"another\"}"),
		"{\"jsonrpc\":\"2.0\",\"id\":5,\"result\"");
	expect(f, REQUEST("5", "Ping", "{}"), RESULT("5", "{}"));
	his->peer.role = API_ROLE_READER;
	expect(f, REQUEST("6", "GetJob", "[2]"), "{\"jsonrpc\":\"2.0\",\"id\":6,\"result\"");
	expect(f, REQUEST("7", "CancelJob", "[2]"), FAILED("7", "-32019"));
	his->peer.role = API_ROLE_ADMINISTRATOR;
	expect(f, REQUEST("8", "CancelJob", "[2]"), RESULT("8", "{}"));
}

/* It is no business of a daemon that ends: the reader reads on. */
static void test_daemon_goes(void **state)
{
	struct fixture *f = *state;
	struct proto_capture what;
	int fd;

	create_network(f);
	fd = open_network(f, OPEN_NET(""), OPENED("2"));
	close_server();
	f->manager = manager_free(f->manager);
	assert_int_equal(read(fd, &what, sizeof(what)), sizeof(what));
	assert_int_equal(recv(fd, &what, sizeof(what), MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	fixture_open_manager(f);
	open_server(f);
	expect(f, REQUEST("3", "GetJob", "[2]"), FAILED("3", "-32019"));
	RUN_UNTIL(f, network_find(f->manager, "net-keep", NULL)->phase == NETWORK_ACTIVE);
	expect(f, REQUEST("4", "DestroyNetwork", "[\"net-keep\"]"), RESULT("4", "{}"));
	assert_int_equal(read(fd, &what, sizeof(what)), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_source_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel_before, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_detached, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_daemon_goes, setup, teardown),
	};

	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
