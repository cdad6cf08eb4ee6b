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

static void on_exit_tick(struct loop_timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	loop_exit(timer->loop, 7);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *arm_from_thread(void *arg)
{
	struct loop_timer *timer = arg;

	(void)pthread_mutex_lock(&lock);
	(void)loop_timer_set(timer, loop_now_ns(timer->loop));
	(void)pthread_mutex_unlock(&lock);
	return NULL;
}

static void test_wake_by_thread(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct loop_timer timer;
	pthread_t thread;

	(void)state;
	assert_int_equal(loop_new(&loop), 0);
	loop_set_lock(loop, &lock);
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
		cmocka_unit_test(test_wake_by_thread),
		cmocka_unit_test(test_rearm_same_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
