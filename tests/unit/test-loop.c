/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop: timer order on a fake clock, fds, removal inside callbacks, wake-up from another thread. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm-core/base/loop.h"

struct tick {
	struct loop_timer timer;
	unsigned id;
	uint64_t every_ns;
};

static unsigned order[64], n_fired;
static uint64_t times[64];

static void on_tick(struct loop_timer *timer, uint64_t now_ns)
{
	struct tick *t = container_of(timer, struct tick, timer);

	if (n_fired < ARRAY_SIZE(order)) {
		order[n_fired] = t->id;
		times[n_fired] = now_ns;
	}
	n_fired++;
	if (t->every_ns)
		(void)loop_timer_set(timer, now_ns + t->every_ns);
}

static void test_timers(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct tick ticks[20];

	(void)state;
	n_fired = 0;
	assert_int_equal(loop_new_fake(1000, &loop), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(ticks); i++) {
		ticks[i] = (struct tick){.id = i};
		loop_timer_init(&ticks[i].timer, loop, on_tick);
		assert_int_equal(loop_timer_set(&ticks[i].timer, 1000 + (i * 7 % 20) * 10), 0);
	}
	loop_timer_stop(&ticks[3].timer);
	loop_timer_stop(&ticks[3].timer);
	assert_int_equal(loop_timer_set(&ticks[5].timer, 1195), 0); /* moved, not added */
	loop_fake_advance(loop, 195);
	assert_int_equal(n_fired, 19);
	for (unsigned i = 1; i < n_fired; i++)
		assert_true(times[i - 1] <= times[i]);
	assert_int_equal(order[18], 5);
	assert_int_equal(times[18], 1195);
	assert_int_equal(loop_now_ns(loop), 1195);
	/* A periodic timer catches up each period, at its own time. */
	n_fired = 0;
	ticks[0].every_ns = 100;
	assert_int_equal(loop_timer_set(&ticks[0].timer, 2000), 0);
	loop_fake_advance(loop, 2000);
	assert_int_equal(n_fired, 12);
	assert_int_equal(times[11], 3100);
	loop_timer_stop(&ticks[0].timer);
}

static struct loop_source *sources[2];
static unsigned n_calls;

static void remove_both(void *opaque, uint32_t events)
{
	(void)opaque;
	(void)events;
	n_calls++;
	sources[0] = loop_source_remove(sources[0]);
	sources[1] = loop_source_remove(sources[1]);
}

static void test_remove_in_callback(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	int fds[2];

	(void)state;
	n_calls = 0;
	assert_int_equal(loop_new(&loop), 0);
	for (unsigned i = 0; i < 2; i++) {
		fds[i] = eventfd(1, EFD_CLOEXEC);
		assert_int_equal(
			loop_add_fd(loop, fds[i], EPOLLIN, remove_both, NULL, &sources[i]), 0);
	}
	assert_int_equal(loop_run_once(loop, NSEC_PER_SEC), 1);
	assert_int_equal(n_calls, 1);
	assert_int_equal(loop_run_once(loop, 0), 0);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* A source that takes 'busy_ns', and makes a timer that takes time, too. */
struct costly {
	struct loop *loop;
	int fd;
	uint64_t busy_ns;
	struct loop_source *source;
	struct loop_timer timer;
};

static void spend(struct loop *loop, uint64_t ns)
{
	uint64_t end = loop_now_ns(loop) + ns;

	while (loop_now_ns(loop) < end)
		;
}

static void on_timer_spend(struct loop_timer *timer, uint64_t now_ns)
{
	struct loop_timer another;

	(void)now_ns;
	spend(timer->loop, 4000000);
	loop_timer_init(&another, timer->loop, on_timer_spend);
	assert_int_equal(another.account, timer->account);
}

static void on_costly(void *opaque, uint32_t events)
{
	struct costly *c = opaque;
	uint64_t n;

	(void)events;
	assert_int_equal(read(c->fd, &n, sizeof(n)), sizeof(n));
	spend(c->loop, c->busy_ns);
	/* What is made here is of the same account. */
	if (!c->timer.loop)
		loop_timer_init(&c->timer, c->loop, on_timer_spend);
	assert_int_equal(loop_timer_set(&c->timer, 1), 0);
}

/* Each callback's time is in the account of who made it; the time between is in none. */
static void test_ledger(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	_Atomic uint64_t ns[4] = {0};
	struct costly costly[2] = {{.busy_ns = 2000000}, {.busy_ns = 1000000}};
	uint64_t begin_ns, all_ns;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	loop_set_ledger(loop, ns);
	for (unsigned i = 0; i < 2; i++) {
		costly[i].loop = loop;
		costly[i].fd = eventfd(1, EFD_CLOEXEC);
		assert_int_equal(loop_set_account(loop, i + 1), 0);
		assert_int_equal(loop_add_fd(loop, costly[i].fd, EPOLLIN, on_costly, &costly[i],
					 &costly[i].source),
			0);
		assert_int_equal(loop_set_account(loop, 0), i + 1);
	}
	begin_ns = loop_now_ns(loop);
	(void)usleep(20000);
	while (ns[1] < 6000000 || ns[2] < 5000000)
		assert_true(loop_run_once(loop, NSEC_PER_SEC) > 0);
	all_ns = loop_now_ns(loop) - begin_ns;
	assert_int_equal(ns[0] + ns[3], 0);
	assert_true(ns[1] + ns[2] <= all_ns - 20000000);
	/* Not counted any more. */
	all_ns = ns[1];
	loop_set_ledger(loop, NULL);
	assert_int_equal(eventfd_write(costly[0].fd, 1), 0);
	assert_int_equal(loop_run_once(loop, NSEC_PER_SEC), 1);
	assert_int_equal(ns[1], all_ns);
	for (unsigned i = 0; i < 2; i++) {
		loop_timer_stop(&costly[i].timer);
		(void)loop_source_remove(costly[i].source);
		close(costly[i].fd);
	}
}

static void on_exit_tick(struct loop_timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	loop_exit(timer->loop, 7);
}

static void *arm_from_thread(void *arg)
{
	struct loop_timer *timer = arg;

	loop_lock(timer->loop);
	assert_false(loop_is_mine(timer->loop));
	(void)loop_timer_set(timer, loop_now_ns(timer->loop));
	loop_unlock(timer->loop);
	return NULL;
}

static void test_wake_by_thread(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct loop_timer timer;
	pthread_t thread;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	assert_true(loop_is_mine(loop));
	loop_set_locking(loop, true);
	loop_timer_init(&timer, loop, on_exit_tick);
	assert_int_equal(pthread_create(&thread, NULL, arm_from_thread, &timer), 0);
	/* Without the wake-up this would never come back. */
	assert_int_equal(loop_run(loop), 7);
	(void)pthread_join(thread, NULL);
}

static void test_rearm_same_deadline(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct loop_timer a, b;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	loop_timer_init(&a, loop, on_exit_tick);
	loop_timer_init(&b, loop, on_exit_tick);
	assert_int_equal(loop_timer_set(&a, LOOP_NEVER), 0);
	assert_int_equal(loop_timer_set(&a, loop_now_ns(loop) + NSEC_PER_SEC * 3600), 0);
	assert_int_equal(loop_timer_set(&b, 1), 0);
	loop_timer_stop(&b);
	assert_int_equal(loop_run_once(loop, 0), 0);
	assert_int_equal(loop_timer_set(&b, 1), 0);
	assert_int_equal(loop_run(loop), 7);
	loop_timer_stop(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers),
		cmocka_unit_test(test_remove_in_callback),
		cmocka_unit_test(test_ledger),
		cmocka_unit_test(test_wake_by_thread),
		cmocka_unit_test(test_rearm_same_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
