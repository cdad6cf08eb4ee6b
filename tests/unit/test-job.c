/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs over JSON-RPC: what is one, its life and events, detached calls, cancelling, deadlines, waiting, limits. */
#include "job-fixture.h"

#include "daemon/once-internal.h"
#include "daemon/reach.h"
#include "hung-fs.h"

/* A start: it is seen while it runs, its call is answered as ever, its result is kept. */
static void test_life(void **state)
{
	struct fixture *f = *state;
	struct domain *slow = fixture_define(f, "slow", "fake=no-reply", "");
	struct json_object *info;

	expect(f, REQUEST("1", "ListJobs", "[]"), RESULT("1", "{\"jobs\":[]}"));
	fixture_define(f, "a", "", "");
	say(&c1, REQUEST("1", "StartDomain", "[\"slow\"]") "\n");
	RUN_UNTIL(f, slow->phase == DOMAIN_STARTING);
	info = job(f, "GetJob", 1);
	assert_string_equal(word(info, "operation"), "start");
	assert_string_equal(word(info, "domain"), "slow");
	assert_string_equal(word(info, "state"), "running");
	assert_true(streq(word(info, "stage"), "process") || streq(word(info, "stage"), "machine"));
	assert_string_equal(word(info, "cancellable"), "true");
	assert_true(number(info, "elapsed_ms") >= 0);
	assert_int_equal(number(info, "percent"), -1);
	json_object_put(info);
	expect(f, REQUEST("2", "CancelJob", "[1]"), RESULT("2", "{}"));
	assert_true(BEGINS(hear(f, &c1), FAILED("1", "-32020")));
	expect(f, REQUEST("3", "StartDomain", "[\"a\"]"), RESULT("3", "{}"));
	info = job(f, "GetJob", 2);
	assert_string_equal(word(info, "state"), "done");
	assert_string_equal(word(info, "cancellable"), "false");
	assert_int_equal(number(info, "percent"), 100);
	assert_true(number(info, "ended_us") >= number(info, "started_us"));
	json_object_put(info);
	/* What is answered at once, well or badly, was no job, and is not counted. */
	expect(f, REQUEST("2", "StartDomain", "[\"a\"]"), FAILED("2", "-32006"));
	expect(f, REQUEST("3", "SuspendDomain", "[\"a\"]"), RESULT("3", "{}"));
	expect(f, REQUEST("4", "GetJob", "[3]"), FAILED("4", "-32019"));
	expect(f, REQUEST("5", "ListJobs", "[1]"), RESULT("5", "{\"jobs\":[]}"));
	expect(f, REQUEST("6", "ListJobs", "[2]"),
		"{\"jsonrpc\":\"2.0\",\"id\":6,\"result\":{\"jobs\":[{\"job\":1,");
	expect(f, REQUEST("7", "ListJobs", "[4]"), FAILED("7", "-32010"));
	expect_counts(f, "start", 0, 1, 0, 1);
}

/* Memory that is allocated at the start is progress in bytes. */
static void test_allocation(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "fake=no-reply",
		"<memoryBacking><allocation mode='immediate'/></memoryBacking>");
	struct json_object *info;

	say(&c1, REQUEST("1", "StartDomain", "[\"a\"]") "\n");
	RUN_UNTIL(f, d->phase == DOMAIN_STARTING && d->run->resources.n == 0);
	assert_int_equal(d->live->vm.memory_allocation, VM_ALLOCATION_IMMEDIATE);
	info = job(f, "GetJob", 1);
	assert_string_equal(word(info, "stage"), "machine");
	assert_int_equal(number(info, "bytes_total"), MIB(16));
	json_object_put(info);
	expect(f, REQUEST("2", "CancelJob", "[1]"), RESULT("2", "{}"));
	assert_non_null(strstr(hear(f, &c1), "-32020"));
}

static void test_events(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "a", "", "");
	expect(f, REQUEST("1", "rpc.subscribe", "{\"events\":[\"job\"],\"domain\":\"a\"}"),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\"");
	say(&c1, REQUEST("1", "StartDomain", "[\"a\"]") "\n");
	assert_non_null(strstr(hear(f, &c2), "\"event\":\"job\",\"domain\":{\"name\":\"a\""));
	RUN_UNTIL(f, has_line(&c1));
	assert_non_null(
		strstr(hear(f, &c2), "\"detail\":\"Done\",\"job\":\"1\",\"operation\":\"start\""));
}

/* Detached: the number at once; the result by WaitJob. */
static void test_detached(void **state)
{
	struct fixture *f = *state;
	struct json_object *xml, *info;
	char text[8192];

	fixture_define(f, "a", "", "");
	expect(f, REQUEST("1", "StartDomain", "{\"domain\":\"a\",\"detach\":true}"),
		RESULT("1", "{\"job\":1}"));
	expect_state(f, 1, "done");
	xml = json_object_new_string(fixture_xml(f, "b", "", ""));
	snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"CreateDomain\",\"params\":{\"xml\":%s,"
		"\"detach\":true}}",
		json_object_to_json_string(xml));
	json_object_put(xml);
	expect(f, text, RESULT("2", "{\"job\":2}"));
	info = job(f, "WaitJob", 2);
	assert_string_equal(word(info, "domain"), "b");
	assert_string_equal(word(json_object_object_get(info, "result"), "name"), "b");
	json_object_put(info);
	/* What fails at once says so; what fails later is the job's. */
	expect(f, REQUEST("3", "StartDomain", "{\"domain\":\"a\",\"detach\":true}"),
		FAILED("3", "-32006"));
	fixture_define(f, "c", "fake=fail-start", "");
	expect(f, REQUEST("4", "StartDomain", "{\"domain\":\"c\",\"detach\":true}"),
		RESULT("4", "{\"job\":3}"));
	info = job(f, "WaitJob", 3);
	assert_string_equal(word(info, "state"), "failed");
	assert_string_equal(word(info, "error"), "Internal");
	json_object_put(info);
	expect(f, REQUEST("5", "Ping", "{\"detach\":true}"), FAILED("5", "-32602"));
	expect_counts(f, "start", 0, 1, 1, 0);
	expect_counts(f, "create", 0, 1, 0, 0);
}

/* With a key: the same job, while it runs and after that; after a restart of the daemon another number, the same result. */
static void test_detached_key(void **state)
{
	struct fixture *f = *state;
	static const char text[] = REQUEST(
		"1", "StartDomain", "{\"domain\":\"a\",\"idempotency_key\":\"k\",\"detach\":true}");
	struct domain *d = fixture_define(f, "a", "", "");

	expect(f, text, RESULT("1", "{\"job\":1}"));
	assert_int_equal(d->phase, DOMAIN_STARTING);
	expect(f, text, RESULT("1", "{\"job\":1}"));
	expect_state(f, 1, "done");
	expect(f, text, RESULT("1", "{\"job\":1}"));
	expect(f, REQUEST("2", "StartDomain", "{\"domain\":\"a\",\"idempotency_key\":\"k\"}"),
		RESULT("2", "{}"));
	close_server();
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	open_server(f);
	expect(f, REQUEST("3", "GetJob", "[1]"), FAILED("3", "-32019"));
	expect(f, text, RESULT("1", "{\"job\":1025}"));
	expect_state(f, 1025, "done");
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "fake=no-reply", "");

	say(&c1, REQUEST("1", "StartDomain", "[\"a\"]") "\n");
	RUN_UNTIL(f, d->phase == DOMAIN_STARTING);
	expect_counts(f, "start", 1, 0, 0, 0);
	expect(f, REQUEST("2", "CancelJob", "[1]"), RESULT("2", "{}"));
	assert_true(BEGINS(hear(f, &c1), FAILED("1", "-32020")));
	expect_state(f, 1, "cancelled");
	expect_counts(f, "start", 0, 0, 0, 1);
	assert_int_equal(d->phase, DOMAIN_IDLE);
	expect(f, REQUEST("3", "CancelJob", "[1]"), FAILED("3", "-32006"));
	expect(f, REQUEST("4", "CancelJob", "[7]"), FAILED("4", "-32019"));
}

/* The guest is asked to end, and takes its time. */
static void test_not_cancellable(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, fixture_define(f, "a", "fake=ignore-quit", ""));
	say(&c1, REQUEST("1", "DestroyDomain", "[\"a\"]") "\n");
	RUN_UNTIL(f, manager_find_name(f->manager, "a")->destroying);
	expect(f, REQUEST("2", "CancelJob", "[1]"), FAILED("2", "-32014"));
	expect(f, REQUEST("3", "GetDomain", "[\"a\"]"), "{\"jsonrpc\":\"2.0\",\"id\":3,\"result\"");
	client_done(&c1);
}

/* In time, or not at all; what cannot be cancelled goes on without the caller. */
static void test_deadline(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "fake=no-reply", "");

	expect(f, REQUEST("1", "StartDomain", "{\"domain\":\"a\",\"timeout_ms\":50}"),
		FAILED("1", "-32013"));
	assert_int_equal(d->phase, DOMAIN_IDLE);
	expect_state(f, 1, "cancelled");
	d = fixture_define(f, "b", "fake=ignore-quit", "");
	expect(f, REQUEST("2", "StartDomain", "{\"domain\":\"b\",\"timeout_ms\":60000}"),
		RESULT("2", "{}"));
	expect(f, REQUEST("3", "DestroyDomain", "{\"domain\":\"b\",\"timeout_ms\":50}"),
		FAILED("3", "-32013"));
	assert_int_equal(d->phase, DOMAIN_ACTIVE);
	expect_state(f, 3, "done");
	assert_int_equal(d->phase, DOMAIN_IDLE);
}

/* A start whose files do not answer: it is asked what it waits for, it is cancelled, it has a deadline. Its child goes with it. */
static void test_files(void **state)
{
	struct fixture *f = *state;
	const struct domain *d;
	struct json_object *info;

	kernel_below(f, "hung");
	if (!hang(f, "hung"))
		return;
	f->manager->options.reach_usec = REACH_PATIENT_USEC;
	d = fixture_define(f, "a", "", "");
	say(&c1, REQUEST("1", "StartDomain", "[\"a\"]") "\n");
	RUN_UNTIL(f, d->phase == DOMAIN_STARTING);
	info = job(f, "GetJob", 1);
	assert_string_equal(word(info, "stage"), "files");
	json_object_put(info);
	assert_int_equal(f->manager->n_reaches, 1);
	expect(f, REQUEST("2", "CancelJob", "[1]"), RESULT("2", "{}"));
	assert_true(BEGINS(hear(f, &c1), FAILED("1", "-32020")));
	expect(f, REQUEST("3", "StartDomain", "{\"domain\":\"a\",\"timeout_ms\":50}"),
		FAILED("3", "-32013"));
	assert_int_equal(d->phase, DOMAIN_IDLE);
	RUN_UNTIL(f, f->manager->n_reaches == 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	unhang();
}

/* Who has no role sees, waits for and cancels the jobs of his own domains; those of others are not there, whoever began them. */
static void test_owner(void **state)
{
	static const char owned[] =
		"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='4711'/></metadata>";
	struct fixture *f = *state;
	struct rpc_conn *his_conn = list_entry(server->connections.prev, struct rpc_conn, link);
	struct domain *hers = fixture_define(f, "hers", "fake=no-reply", ""),
		      *his = fixture_define(f, "his", "fake=no-reply", owned);

	say(&c1, REQUEST("1", "StartDomain", "[\"hers\"]") "\n");
	say(&c1, REQUEST("2", "StartDomain", "[\"his\"]") "\n");
	RUN_UNTIL(f, hers->phase == DOMAIN_STARTING && his->phase == DOMAIN_STARTING);
	his_conn->peer.role = API_ROLE_NONE;
	his_conn->peer.user.uid = 4711;
	expect(f, REQUEST("1", "ListJobs", "[]"),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"jobs\":[{\"job\":2,");
	assert_null(strstr(ask(f, &c2, REQUEST("2", "ListJobs", "[]")), "hers"));
	expect(f, REQUEST("3", "GetJob", "[1]"), FAILED("3", "-32019"));
	expect(f, REQUEST("4", "WaitJob", "[1,1]"), FAILED("4", "-32019"));
	expect(f, REQUEST("5", "CancelJob", "[1]"), FAILED("5", "-32019"));
	assert_int_equal(hers->phase, DOMAIN_STARTING);
	expect(f, REQUEST("6", "CancelJob", "[2]"), RESULT("6", "{}"));
	expect_state(f, 2, "cancelled");
	assert_int_equal(his->phase, DOMAIN_IDLE);
	his_conn->peer.role = API_ROLE_ADMINISTRATOR;
	expect(f, REQUEST("7", "CancelJob", "[1]"), RESULT("7", "{}"));
}

/* Waiting has an end of its own. */
static void test_wait(void **state)
{
	struct fixture *f = *state;
	struct json_object *info;

	fixture_define(f, "a", "fake=no-reply", "");
	expect(f, REQUEST("1", "StartDomain", "{\"domain\":\"a\",\"detach\":true}"),
		RESULT("1", "{\"job\":1}"));
	info = result_of(f, REQUEST("2", "WaitJob", "[1,20]"));
	assert_string_equal(word(json_object_object_get(info, "info"), "state"), "running");
	json_object_put(info);
	say(&c1, REQUEST("3", "WaitJob", "[1]") "\n" REQUEST("4", "CancelJob", "[1]") "\n");
	assert_true(BEGINS(hear(f, &c1), RESULT("4", "{}")));
	assert_non_null(strstr(hear(f, &c1), "\"state\":\"cancelled\""));
}

static void test_networks(void **state)
{
	struct fixture *f = *state;
	struct json_object *info;

	expect(f,
		REQUEST("1", "CreateNetwork",
			"{\"xml\":\"<network><name>n</name></network>\",\"detach\":true}"),
		RESULT("1", "{\"job\":1}"));
	info = job(f, "WaitJob", 1);
	assert_string_equal(word(info, "operation"), "net-create");
	assert_string_equal(word(info, "network"), "n");
	assert_string_equal(word(info, "state"), "done");
	json_object_put(info);
	expect(f, REQUEST("2", "DestroyNetwork", "{\"network\":\"n\",\"detach\":true}"),
		RESULT("2", "{\"job\":2}"));
	expect_state(f, 2, "done");
}

/* The oldest results go. */
static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct json_object *result, *list;

	fixture_define(f, "a", "", "");
	for (unsigned i = 0; i < JOB_MAX_FINISHED / 2 + 1; i++) {
		expect(f, REQUEST("1", "StartDomain", "[\"a\"]"), RESULT("1", "{}"));
		expect(f, REQUEST("2", "DestroyDomain", "[\"a\"]"), RESULT("2", "{}"));
	}
	result = result_of(f, REQUEST("3", "ListJobs", "[]"));
	list = json_object_object_get(result, "jobs");
	assert_int_equal(json_object_array_length(list), JOB_MAX_FINISHED);
	assert_int_equal(number(json_object_array_get_idx(list, 0), "job"), 3);
	json_object_put(result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_allocation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_events, setup, teardown),
		cmocka_unit_test_setup_teardown(test_detached, setup, teardown),
		cmocka_unit_test_setup_teardown(test_detached_key, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_cancellable, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_owner, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(test_networks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
	};

	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
