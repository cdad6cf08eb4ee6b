/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The wall clock jumps, by ten years in both directions, to 1970, beyond 2038 and 2106, in the middle of what takes time: starts,
 * deadlines, restarts that are limited, keys, jobs, a caller that stalls, a worker that hangs. Nothing ends before its time and nothing
 * waits longer. That no other code reads that clock is checked by tests/static/check-clocks.py.
 *
 * The clock is stepped for this process alone: its clock_gettime() is here, before libc's, also for the libraries that it uses.
 */
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

#include "daemon/job.h"
#include "daemon/once-internal.h"
#include "rpc-fixture.h"
#include "tests/unit/tally.h"

#define YEAR (INT64_C(31556952))

static int64_t offset_s;
static unsigned n_reads; /* of the wall clock */

int clock_gettime(clockid_t clock, struct timespec *ret)
{
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (r == 0 && clock == CLOCK_REALTIME) {
		ret->tv_sec += offset_s;
		n_reads++;
	}
	return r;
}

time_t time(time_t *ret)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec;
	return now.tv_sec;
}

/* The loop's time, from which its timers count: that of its last turn. */
static uint64_t loop_usec(struct fixture *f)
{
	uint64_t now;

	assert_true(sd_event_now(f->event, CLOCK_MONOTONIC, &now) >= 0);
	return now;
}

/* From now to there; 0: as it is. */
static const struct {
	const char *what;
	int64_t to_s, by_s;
} jumps[] = {
	{"ten years back", 0, -10 * YEAR},
	{"ten years on", 0, 10 * YEAR},
	{"1970", 1, 0},
	{"2038", INT64_C(0x7fffffff) + 10, 0},
	{"2106", INT64_C(0xffffffff) + 10, 0},
	{"an hour back", 0, -3600},
	{"a second on", 0, 1},
	{"2500", INT64_C(16725225600), 0},
};

static void jump(size_t i)
{
	struct timespec now;

	(void)syscall(SYS_clock_gettime, CLOCK_REALTIME, &now);
	offset_s = jumps[i].to_s ? jumps[i].to_s - now.tv_sec : offset_s + jumps[i].by_s;
}

static void test_start(struct fixture *f, size_t i)
{
	struct domain *d = fixture_define(f, "start", "", "");
	unsigned n = f->n_done;

	assert_int_equal(domain_start(d, 0, fixture_done, f, &f->error), 0);
	jump(i);
	RUN_UNTIL(f, f->n_done > n);
	assert_int_equal(f->done_error.code, 0);
	assert_int_equal(d->state, DOMAIN_STATE_RUNNING);
	jump(i);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
}

static int replied;

static void on_reply(void *userdata, int error, const char *text)
{
	(void)userdata;
	(void)text;
	replied = error;
}

/* A deadline of 100 ms: not before, and it does come. */
static void test_deadline(struct fixture *f, size_t i)
{
	struct domain *d = fixture_define(f, "mute", "fake=mute", "");
	uint64_t before;

	fixture_start(f, d);
	before = loop_usec(f);
	replied = 1;
	assert_int_equal(
		worker_request(d->worker, PROTO_PAUSE, NULL, 0, NULL, 0, 100000, on_reply, NULL),
		0);
	jump(i);
	RUN_UNTIL(f, replied != 1);
	assert_int_equal(replied, -ETIMEDOUT);
	assert_true(loop_usec(f) - before >= 100000);
	worker_kill(d->worker);
	RUN_UNTIL(f, d->phase == DOMAIN_IDLE);
	assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
}

/* The limit of restarts within a minute holds, and holds no longer. */
static void test_restarts(struct fixture *f, size_t i)
{
	struct domain *d = fixture_define(f, "rises", "", "<on_crash>restart</on_crash>");

	fixture_start(f, d);
	for (unsigned k = 0; k <= DOMAIN_RESTART_BURST; k++) {
		pid_t pid = worker_pid(d->worker);

		assert_int_equal(kill(pid, SIGKILL), 0);
		jump(i);
		RUN_UNTIL(f,
			d->phase == DOMAIN_IDLE ||
				(d->phase == DOMAIN_ACTIVE && worker_pid(d->worker) != pid));
		assert_int_equal(d->phase == DOMAIN_IDLE, k == DOMAIN_RESTART_BURST);
	}
	assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
}

/* A key is known after the jump; uids rest as long as before. */
static void test_key(struct fixture *f, size_t i)
{
	static struct client c;
	struct rpc *server;
	static const char text[] =
		REQUEST("1", "StartDomain", "{\"domain\":\"key\",\"idempotency_key\":\"k\"}");
	struct domain *d = fixture_define(f, "key", "", "");
	struct once_entry *e;

	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(connect_client(&c, server), 0);
	assert_string_equal(ask(f, &c, text), RESULT("1", "{}"));
	jump(i);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_string_equal(ask(f, &c, text), RESULT("1", "{}"));
	assert_int_equal(d->phase, DOMAIN_IDLE);
	e = list_entry(f->manager->once->entries.next, struct once_entry, link);
	once_file_remove(e);
	(void)once_entry_free(e);
	client_done(&c);
	(void)rpc_free(server);
	assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
}

/* Who stalls is dropped after 100 ms, not before. */
static void test_stall(struct fixture *f, size_t i)
{
	static struct client c;
	uint64_t before;
	struct rpc *server;

	assert_int_equal(
		rpc_new(f->manager, &(struct rpc_options){.stall_usec = 100000}, &server), 0);
	assert_int_equal(connect_client(&c, server), 0);
	before = loop_usec(f);
	say(&c, "{");
	jump(i);
	RUN_UNTIL(f, client_ended(&c));
	assert_true(loop_usec(f) - before >= 100000);
	client_done(&c);
	(void)rpc_free(server);
}

static void test_hung(struct fixture *f, size_t i)
{
	struct domain *d = fixture_define(f, "hung", "", "");
	uint64_t before;

	worker_answer_usec = 100000;
	fixture_start(f, d);
	assert_int_equal(kill(worker_pid(d->worker), SIGSTOP), 0);
	before = loop_usec(f);
	assert_true(worker_probe(d->worker));
	jump(i);
	RUN_UNTIL(f, d->degraded);
	assert_true(loop_usec(f) - before >= 100000);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
}

/* The daemon ends and the next one comes in another century: it finds what runs. */
static void test_next_daemon(struct fixture *f, size_t i)
{
	struct domain *d = fixture_define(f, "next", "", "");
	pid_t pid;

	fixture_start(f, d);
	pid = worker_pid(d->worker);
	f->manager = manager_free(f->manager);
	jump(i);
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "next");
	RUN_UNTIL(f, worker_is_connected(d->worker));
	assert_int_equal(worker_pid(d->worker), pid);
	assert_int_equal(d->state, DOMAIN_STATE_RUNNING);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
}

static void test_jumps(void **state)
{
	static void (*const tests[])(struct fixture * f, size_t i) = {test_start, test_deadline,
		test_restarts, test_key, test_stall, test_hung, test_next_daemon};
	struct fixture *f = *state;
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(jumps); i++)
		for (size_t t = 0; t < ARRAY_SIZE(tests); t++, n++) {
			offset_s = 0;
			tests[t](f, i);
		}
	offset_s = 0;
	/* It was this clock that was read, by daemon and libraries. */
	assert_true(n_reads > n);
	print_message("%u times in the middle of something\n", n);
	tally(TALLY_FAULTS, n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_jumps, fixture_setup, fixture_teardown),
	};

	log_init("test", LOG_CRIT, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
