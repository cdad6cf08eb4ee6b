/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long to look for work: what opens the window, what closes it, and how often it is tried in vain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vmm-core/base/macro.h"
#include "vmm-core/base/poll-window.h"

#define MAX_NS UINT64_C(50000)

static void test_opens(void **state)
{
	struct poll_window w = {0};

	(void)state;
	/* A long sleep would not have been saved. */
	poll_window_slept(&w, false, MAX_NS + 1, MAX_NS);
	assert_int_equal(w.ns, 0);
	poll_window_slept(&w, false, 10000, MAX_NS);
	assert_int_equal(w.ns, 20000);
	poll_window_slept(&w, false, 1, MAX_NS);
	assert_int_equal(w.ns, POLL_WINDOW_MIN_NS);
	/* Never beyond the limit, however small that is. */
	poll_window_slept(&w, false, MAX_NS, MAX_NS);
	assert_int_equal(w.ns, MAX_NS);
	poll_window_slept(&w, false, 1, 1000);
	assert_int_equal(w.ns, 1000);
	poll_window_slept(&w, false, UINT64_MAX, UINT64_MAX);
	assert_int_equal(w.ns, UINT64_MAX);
}

static void test_grows_with_success(void **state)
{
	struct poll_window w = {.ns = 10000};

	(void)state;
	poll_window_found(&w, 1000, MAX_NS);
	assert_int_equal(w.ns, 10000);
	poll_window_found(&w, 9000, MAX_NS);
	assert_int_equal(w.ns, 18000);
	poll_window_found(&w, 30000, MAX_NS);
	assert_int_equal(w.ns, MAX_NS);
	/* The limit has become smaller. */
	poll_window_found(&w, 1, 4000);
	assert_int_equal(w.ns, 4000);
}

static void test_closes(void **state)
{
	struct poll_window w = {.ns = 10000};

	(void)state;
	poll_window_slept(&w, true, 12000, MAX_NS);
	assert_int_equal(w.ns, 0);
	/* One is passed over, then it is tried again; a success forgets the failure. */
	poll_window_slept(&w, false, 12000, MAX_NS);
	assert_int_equal(w.ns, 0);
	poll_window_slept(&w, false, 12000, MAX_NS);
	assert_int_equal(w.ns, 24000);
	poll_window_found(&w, 12000, MAX_NS);
	poll_window_slept(&w, true, 60000, MAX_NS);
	poll_window_slept(&w, false, 12000, MAX_NS);
	poll_window_slept(&w, false, 12000, MAX_NS);
	assert_int_equal(w.ns, 24000);
	/* Long sleeps neither try nor count. */
	poll_window_slept(&w, false, MAX_NS + 1, MAX_NS);
	assert_int_equal(w.ns, 0);
}

/* Who makes the work waits for this processor: looking never helps, and is hardly ever done. */
static void test_in_vain(void **state)
{
	struct poll_window w = {0};
	unsigned n_looks = 0;

	(void)state;
	for (unsigned i = 0; i < 100 * (POLL_WINDOW_BACKOFF_MAX + 2); i++) {
		bool looks = w.ns > 0;

		n_looks += looks;
		poll_window_slept(&w, looks, 20000, MAX_NS);
	}
	assert_in_range(n_looks, 90, 110);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opens),
		cmocka_unit_test(test_grows_with_success),
		cmocka_unit_test(test_closes),
		cmocka_unit_test(test_in_vain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
