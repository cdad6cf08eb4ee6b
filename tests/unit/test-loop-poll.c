/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop's pollers, on a fake clock: what is looked at before a sleep, for how long, and that a sleeper has asked. */
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
#include "vmm-core/base/poll-window.h"

#define MAX_NS UINT64_C(20000)

/* Memory that somebody else fills, and a bell that he rings when he was asked to. */
struct source {
	struct loop *loop;
	struct loop_poller poller;
	struct loop_source *watch;
	int bell;
	uint64_t due_ns;   /* there is work from then on; LOOP_NEVER: none */
	uint64_t sleep_ns; /* when parked: the bell is rung after so long */
	bool rings, refuses, rests;
	struct source *stops;
	unsigned n_looks, n_parks, n_done, n_bells;
};

static void do_work(struct source *s)
{
	s->n_done++;
	s->due_ns = LOOP_NEVER;
	s->rests = loop_rest(&s->poller);
}

static bool poll(struct loop_poller *poller)
{
	struct source *s = container_of(poller, struct source, poller);

	s->n_looks++;
	if (s->stops)
		loop_poller_stop(&s->stops->poller);
	if (loop_now_ns(s->loop) < s->due_ns)
		return false;
	do_work(s);
	return true;
}

static bool park(struct loop_poller *poller)
{
	struct source *s = container_of(poller, struct source, poller);
	uint64_t one = 1;

	s->n_parks++;
	if (s->refuses) {
		s->refuses = false;
		s->due_ns = 0;
		return false;
	}
	loop_fake_advance(s->loop, s->sleep_ns);
	if (s->rings)
		assert_int_equal(write(s->bell, &one, sizeof(one)), sizeof(one));
	return true;
}

static void on_bell(void *opaque, uint32_t events)
{
	struct source *s = opaque;
	uint64_t count;

	(void)events;
	assert_int_equal(read(s->bell, &count, sizeof(count)), sizeof(count));
	s->n_bells++;
	do_work(s);
}

static void add_source(struct source *s, struct loop *loop, uint64_t max_ns)
{
	*s = (struct source){.loop = loop, .due_ns = LOOP_NEVER, .bell = eventfd(0, EFD_NONBLOCK)};
	loop_poller_init(&s->poller, loop, max_ns, poll, park);
	assert_int_equal(loop_add_fd(loop, s->bell, EPOLLIN, on_bell, s, &s->watch), 0);
}

static void remove_source(struct source *s)
{
	loop_poller_stop(&s->poller);
	s->watch = loop_source_remove(s->watch);
	(void)close(s->bell);
}

/* A wait that the bell ends after 'ns'. */
static void sleep_and_wake(struct source *s, uint64_t ns)
{
	uint64_t one = 1;
	unsigned n = s->n_done;

	if (s->rests) {
		s->sleep_ns = ns;
		s->rings = true;
	} else {
		assert_int_equal(write(s->bell, &one, sizeof(one)), sizeof(one));
	}
	assert_int_equal(loop_run_once(s->loop, LOOP_NEVER), 1);
	assert_int_equal(s->n_done, n + 1);
	s->rings = false;
	s->sleep_ns = 0;
}

static void test_off(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct source s;

	(void)state;
	assert_int_equal(loop_new_fake(0, &loop), 0);
	add_source(&s, loop, 0);
	for (unsigned i = 0; i < 10; i++) {
		sleep_and_wake(&s, 0);
		assert_false(s.rests);
	}
	assert_int_equal(s.n_looks + s.n_parks, 0);
	assert_int_equal(loop_now_ns(loop), 0);
	remove_source(&s);
}

/* The first wakes come by the bell, and short sleeps make it worth while to look. */
static void open_window(struct source *s, uint64_t max_ns)
{
	add_source(s, s->loop, max_ns);
	sleep_and_wake(s, 0);
	for (unsigned i = 0; i < 2 * POLL_WINDOW_BACKOFF_MAX && !s->rests; i++)
		sleep_and_wake(s, 0);
	assert_true(s->rests);
}

static void test_looks_then_parks(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct source s = {0};
	uint64_t begin_ns;

	(void)state;
	assert_int_equal(loop_new_fake(0, &loop), 0);
	s.loop = loop;
	open_window(&s, MAX_NS);
	/* Found: it was not parked, and rests again. */
	s.due_ns = loop_now_ns(loop) + LOOP_FAKE_LOOK_NS;
	assert_int_equal(loop_run_once(loop, LOOP_NEVER), 1);
	assert_int_equal(s.n_done, 3);
	assert_int_equal(s.n_bells, 2);
	assert_int_equal(s.n_parks, 0);
	assert_true(s.rests);
	/* Nothing comes: it is looked for as long as the window is, once parked, and the loop sleeps. */
	begin_ns = loop_now_ns(loop);
	s.n_looks = 0;
	assert_int_equal(loop_run_once(loop, NSEC_PER_MSEC), 0);
	assert_int_equal(s.n_parks, 1);
	assert_in_range(loop_now_ns(loop) - begin_ns, 2000, 5000);
	assert_int_equal(s.n_looks, (loop_now_ns(loop) - begin_ns) / LOOP_FAKE_LOOK_NS);
	/* Idle: nobody looks any more. */
	s.n_looks = 0;
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(loop_run_once(loop, NSEC_PER_MSEC), 0);
	assert_int_equal(s.n_looks, 0);
	assert_int_equal(s.n_parks, 1);
	remove_source(&s);
}

/* However the work comes, a look never takes longer than the limit. */
static void test_bound(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct source s = {0};
	unsigned longest = 0;

	(void)state;
	assert_int_equal(loop_new_fake(0, &loop), 0);
	s.loop = loop;
	open_window(&s, MAX_NS);
	for (unsigned i = 0; i < 300; i++) {
		uint64_t begin_ns = loop_now_ns(loop), slept_ns = i * 997 % 20000;

		s.n_looks = 0;
		if (s.rests)
			s.due_ns = i % 31 ? begin_ns + i % 31 * 500 : LOOP_NEVER;
		sleep_and_wake(&s, slept_ns);
		assert_true(s.n_looks <= MAX_NS / LOOP_FAKE_LOOK_NS);
		longest = MAX(longest, s.n_looks);
	}
	assert_int_equal(longest, MAX_NS / LOOP_FAKE_LOOK_NS);
	remove_source(&s);
}

static void test_refuses_to_sleep(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct source s = {0};

	(void)state;
	assert_int_equal(loop_new_fake(0, &loop), 0);
	s.loop = loop;
	open_window(&s, MAX_NS);
	s.refuses = true;
	/* Otherwise this would never come back. */
	assert_int_equal(loop_run_once(loop, LOOP_NEVER), 1);
	assert_int_equal(s.n_parks, 1);
	assert_int_equal(s.n_done, 3);
	remove_source(&s);
}

/* What comes by fds is not kept waiting, and the one that rests is not parked for it. */
static void test_fds_meanwhile(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct source s = {0}, other;
	uint64_t one = 1, begin_ns;

	(void)state;
	assert_int_equal(loop_new_fake(0, &loop), 0);
	s.loop = loop;
	add_source(&other, loop, 0);
	open_window(&s, MAX_NS);
	begin_ns = loop_now_ns(loop);
	assert_int_equal(write(other.bell, &one, sizeof(one)), sizeof(one));
	assert_int_equal(loop_run_once(loop, LOOP_NEVER), 1);
	assert_int_equal(other.n_done, 1);
	assert_int_equal(s.n_parks, 0);
	assert_int_equal(loop_now_ns(loop) - begin_ns, LOOP_FAKE_LOOK_NS);
	/* Neither when there is always something in memory. */
	s.due_ns = 0;
	assert_int_equal(write(other.bell, &one, sizeof(one)), sizeof(one));
	assert_int_equal(loop_run_once(loop, LOOP_NEVER), 2);
	assert_int_equal(other.n_done, 2);
	/* A loop that only others keep busy does not look for this one for ever. */
	for (unsigned i = 0; i < 10; i++) {
		assert_int_equal(write(other.bell, &one, sizeof(one)), sizeof(one));
		assert_int_equal(loop_run_once(loop, LOOP_NEVER), 1);
	}
	assert_int_equal(s.n_parks, 1);
	s.n_looks = 0;
	assert_int_equal(write(other.bell, &one, sizeof(one)), sizeof(one));
	assert_int_equal(loop_run_once(loop, LOOP_NEVER), 1);
	assert_int_equal(s.n_looks, 0);
	remove_source(&other);
	remove_source(&s);
}

static void test_stop_another(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = NULL;
	struct source a = {0}, b = {0};

	(void)state;
	assert_int_equal(loop_new_fake(0, &loop), 0);
	a.loop = b.loop = loop;
	open_window(&a, MAX_NS);
	add_source(&b, loop, MAX_NS);
	assert_true(loop_rest(&b.poller));
	assert_true(loop_rest(&b.poller));
	a.stops = &b;
	a.n_looks = 0;
	assert_int_equal(loop_run_once(loop, NSEC_PER_MSEC), 0);
	assert_true(a.n_looks > 0);
	assert_int_equal(b.n_looks + b.n_parks, 0);
	assert_int_equal(a.n_parks, 1);
	/* Itself. */
	a.stops = NULL;
	remove_source(&a);
	open_window(&a, MAX_NS);
	a.stops = &a;
	assert_int_equal(loop_run_once(loop, NSEC_PER_MSEC), 0);
	assert_int_equal(a.n_looks, 1);
	assert_int_equal(a.n_parks, 0);
	loop_poller_stop(&(struct loop_poller){0});
	remove_source(&a);
	remove_source(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_off),
		cmocka_unit_test(test_looks_then_parks),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_refuses_to_sleep),
		cmocka_unit_test(test_fds_meanwhile),
		cmocka_unit_test(test_stop_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
