/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that is free stays for a while, and then goes; nothing wakes a loop at rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/heap.h"

#define DELAY_USEC UINT64_C(50000)
#define PIECES     20000
#define PIECE      400

static size_t resident(void)
{
	size_t total = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu %zu", &total, &pages), 2);
	(void)fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Eight megabytes, and one piece behind them that stays: what is free is no end that malloc would cut off. */
static void *use_much(void)
{
	static void *pieces[PIECES];
	void *last;

	for (size_t i = 0; i < PIECES; i++) {
		pieces[i] = malloc(PIECE);
		assert_non_null(pieces[i]);
		memset(pieces[i], 1, PIECE);
	}
	last = malloc(PIECE);
	assert_non_null(last);
	for (size_t i = 0; i < PIECES; i++)
		free(pieces[i]);
	return last;
}

static void test_given_back(void **state)
{
	_cleanup_(heap_freep) struct heap *heap = NULL;
	size_t before, used;
	sd_event *event;
	void *last;

	(void)state;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(heap_new(event, DELAY_USEC, &heap), 0);
	heap_look(heap);
	/* Nothing has grown: there is nothing to wait for. */
	assert_int_equal(sd_event_run(event, 0), 0);

	for (unsigned turn = 0; turn < 2; turn++) {
		before = resident();
		last = use_much();
		used = resident();
		assert_true(used > before + (size_t)PIECES * PIECE / 2);
		heap_look(heap);
		heap_look(heap);
		assert_int_equal(sd_event_run(event, UINT64_MAX), 1);
		assert_true(resident() < before + (used - before) / 2);
		heap_look(heap);
		assert_int_equal(sd_event_run(event, 2 * DELAY_USEC), 0);
		free(last);
	}
	heap = heap_free(heap);
	assert_null(heap_free(NULL));
	sd_event_unref(event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_given_back)};

#if defined(__SANITIZE_ADDRESS__)
#define OTHER_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OTHER_MALLOC 1
#endif
#endif
#ifdef OTHER_MALLOC
	(void)tests;
	printf("skipped: the sanitizer has a malloc of its own\n");
	return 77;
#endif
	heap_set_up();
	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
