/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that wait for the disk: how much of them is kept, of one caller and of all, and that all of it is given back. */
#include "daemon/api-park.h"

#include "daemon-fixture.h"
#include "daemon/auth.h"

#define MIB_LESS ((1U << 20) - 1024)

static struct {
	unsigned n_answered, n_failed, n_busy, n_released;
	char message[ERROR_MESSAGE_MAX];
} seen;

static struct json_object *next_in;

static int read_args(struct api_call *call, struct json_object **ret_in, struct error *error)
{
	(void)call;
	(void)error;
	*ret_in = next_in;
	next_in = NULL;
	return 0;
}

static void on_reply(struct api_call *call, struct json_object *out, int fd)
{
	(void)call;
	(void)out;
	(void)fd;
	seen.n_answered++;
}

static void on_fail(struct api_call *call, const struct error *error)
{
	(void)call;
	seen.n_failed++;
	seen.n_busy += error->code == ERROR_RESOURCE_BUSY;
	(void)snprintf(seen.message, sizeof(seen.message), "%s", error->message);
}

static void on_release(struct api_call *call)
{
	(void)call;
	seen.n_released++;
}

static const struct api_call_ops ops = {
	.read_args = read_args, .reply = on_reply, .fail = on_fail, .release = on_release};

/* 'value' is argument 'name'. */
static void dispatch(
	struct fixture *f, const char *method, const char *name, const char *value, uid_t uid)
{
	struct api_call *call = api_call_new(api_find_method(method), f->manager, &ops, NULL);

	next_in = json_object_new_object();
	json_object_object_add(next_in, name, json_object_new_string(value));
	call->peer = (struct api_peer){.role = API_ROLE_ADMINISTRATOR,
		.user = {.uid_known = true, .uid = uid},
		.transport = "unix"};
	api_dispatch(call, NULL);
}

/* A call that waits behind a definition, with 1 MiB in its arguments. */
static void dispatch_large(struct fixture *f, uid_t uid)
{
	static char large[MIB_LESS + 1];

	memset(large, 'x', MIB_LESS);
	dispatch(f, "GetDomain", "domain", large, uid);
}

/* The disk does not answer, as the store has something of its own to write; then it does. */
static void stop_disk(struct fixture *f)
{
	struct store_journal *j = &f->manager->store->journal;

	j->retiring = &j->files[!j->active];
	j->step = STORE_CHECKPOINT_CARRY;
	assert_true(store_is_carrying(f->manager->store));
}

static void start_disk(struct fixture *f)
{
	f->manager->store->journal.retiring = NULL;
	manager_go_on_defining(f->manager);
}

static void define(struct fixture *f, const char *name, uid_t uid)
{
	stop_disk(f);
	dispatch(f, "DefineDomain", "xml", fixture_xml(f, name, "", ""), uid);
}

/* All have been answered, and nothing of them is kept. */
static void run_to_end(struct fixture *f, unsigned n)
{
	start_disk(f);
	RUN_UNTIL(f, seen.n_released == n);
	assert_int_equal(f->manager->parked_bytes, 0);
	assert_true(list_empty(&f->manager->parked));
	memset(&seen, 0, sizeof(seen));
}

static void test_one_caller(void **state)
{
	struct fixture *f = *state;

	define(f, "a", 1000);
	assert_true(f->manager->parked_bytes > 0);
	for (unsigned i = 0; i < 15; i++)
		dispatch_large(f, 1000);
	assert_int_equal(seen.n_released, 0);
	dispatch_large(f, 1000);
	dispatch_large(f, 1000);
	assert_in_range(seen.n_busy, 1, 2);
	assert_non_null(strstr(seen.message, "of this caller's calls wait for definitions"));
	/* So is a definition; others go on. */
	seen.n_busy = 0;
	dispatch_large(f, 1001);
	assert_int_equal(seen.n_busy, 0);
	run_to_end(f, 19);
	/* There is room again. */
	define(f, "b", 1000);
	dispatch_large(f, 1000);
	assert_int_equal(seen.n_busy, 0);
	run_to_end(f, 2);
}

static void test_all_callers(void **state)
{
	struct fixture *f = *state;
	unsigned n;

	define(f, "a", 999);
	for (n = 0; n < 200 && seen.n_busy == 0; n++)
		dispatch_large(f, 1000 + n);
	assert_in_range(n, 60, 65);
	assert_non_null(strstr(seen.message, "bytes of calls wait for definitions"));
	define(f, "b", 998);
	run_to_end(f, n + 2);
}

/* What alone is more than a caller may keep. */
static void test_one_alone(void **state)
{
	struct fixture *f = *state;
	char *huge = malloc(API_PARK_MAX_CALLER_BYTES + 2);

	memset(huge, 'x', API_PARK_MAX_CALLER_BYTES + 1);
	huge[API_PARK_MAX_CALLER_BYTES + 1] = 0;
	define(f, "a", 1000);
	dispatch(f, "GetDomain", "domain", huge, 1001);
	assert_int_equal(seen.n_busy, 0);
	dispatch_large(f, 1001);
	assert_int_equal(seen.n_busy, 1);
	run_to_end(f, 3);
	free(huge);
}

/* Nobody waits: nothing is counted. */
static void test_without_waiting(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 40; i++)
		dispatch_large(f, 1000);
	assert_int_equal(seen.n_busy, 0);
	assert_int_equal(seen.n_failed, 40);
	run_to_end(f, 40);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
		T(test_one_caller),
		T(test_all_callers),
		T(test_one_alone),
		T(test_without_waiting),
	};

	log_init("test-api-park", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
