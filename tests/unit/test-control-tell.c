/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker tells of itself: whoever reads late, or is flooded, hears the last of each state. */
#include "vmm-core/control-tell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

/* What there is to tell, a socket with so much room, and what came by it. */
static struct {
	struct loop *loop;
	struct tell tell;
	unsigned is[TELL_X_MAX], heard[TELL_X_MAX];
	unsigned room, n_heard;
	bool is_gone;
} w;

static int send_one(void *opaque, unsigned what)
{
	assert_ptr_equal(opaque, &w);
	if (w.is_gone)
		return -ENOTCONN;
	if (!w.room)
		return -EAGAIN;
	w.room--;
	w.heard[what] = w.is[what];
	w.n_heard++;
	return 0;
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	assert_int_equal(loop_new_fake(100 * NSEC_PER_SEC, &w.loop), 0);
	tell_init(&w.tell, w.loop, send_one, &w);
	w.room = 1000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	tell_done(&w.tell);
	loop_free(w.loop);
	return 0;
}

static void change(unsigned what)
{
	w.is[what]++;
	tell_changed(&w.tell, what);
}

static void expect_all_heard(void)
{
	for (unsigned i = 0; i < TELL_X_MAX; i++)
		assert_int_equal(w.heard[i], w.is[i]);
	assert_int_equal(w.tell.untold, 0);
}

static void test_at_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < TELL_X_MAX; i++)
		change(i);
	assert_int_equal(w.n_heard, TELL_X_MAX);
	expect_all_heard();
}

/* No room: all that changes meanwhile comes once, as it is then. */
static void test_full(void **state)
{
	(void)state;
	w.room = 0;
	for (unsigned k = 0; k < 100; k++)
		for (unsigned i = 0; i < TELL_X_MAX; i++)
			change(i);
	assert_int_equal(w.n_heard, 0);
	w.room = 3;
	loop_fake_advance(w.loop, 10 * NSEC_PER_SEC);
	tell_again(&w.tell);
	assert_int_equal(w.n_heard, 3);
	assert_int_equal(w.heard[TELL_STATE], 100);
	w.room = 1000;
	loop_fake_advance(w.loop, 10 * NSEC_PER_SEC);
	tell_again(&w.tell);
	assert_int_equal(w.n_heard, TELL_X_MAX);
	expect_all_heard();
}

/* More than the rate allows: the last size comes a second later, and what is no guest's to flood comes at once. */
static void test_flood(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 1000; k++)
		change(TELL_MEMORY + k % 3);
	assert_int_equal(w.n_heard, TELL_MAX_NOTICES);
	change(TELL_STATE);
	assert_int_equal(w.heard[TELL_STATE], 1);
	assert_false(tell_may_notice(&w.tell));
	loop_fake_advance(w.loop, NSEC_PER_SEC);
	expect_all_heard();
	/* And then nothing: a loop that idles sleeps. */
	assert_true(w.tell.timer.deadline_ns == LOOP_NEVER);
}

/* Events have used the rate up. */
static void test_events(void **state)
{
	(void)state;
	while (tell_may_notice(&w.tell))
		;
	change(TELL_BALLOON);
	assert_int_equal(w.heard[TELL_BALLOON], 0);
	loop_fake_advance(w.loop, NSEC_PER_SEC);
	expect_all_heard();
}

/* The next daemon hears what the last one did not, but for what it was told when it came. */
static void test_nobody(void **state)
{
	(void)state;
	w.is_gone = true;
	change(TELL_STATE);
	change(TELL_MEMORY + VM_MAX_MEMORIES - 1);
	w.is_gone = false;
	tell_forget(&w.tell, UINT32_C(1) << TELL_STATE);
	tell_again(&w.tell);
	assert_int_equal(w.n_heard, 1);
	assert_int_equal(w.heard[TELL_MEMORY + VM_MAX_MEMORIES - 1], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_at_once),
		T(test_full),
		T(test_flood),
		T(test_events),
		T(test_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
