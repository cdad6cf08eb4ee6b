/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Distances between words, and which candidate is offered. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "client/suggest.h"

static void test_distance(void **state)
{
	char long_word[SUGGEST_MAX_LEN + 2];

	(void)state;
	assert_int_equal(word_distance("", ""), 0);
	assert_int_equal(word_distance("list", "list"), 0);
	assert_int_equal(word_distance("", "abc"), 3);
	assert_int_equal(word_distance("abc", ""), 3);
	assert_int_equal(word_distance("lsit", "list"), 1);
	assert_int_equal(word_distance("lisst", "list"), 1);
	assert_int_equal(word_distance("lit", "list"), 1);
	assert_int_equal(word_distance("kitten", "sitting"), 3);
	memset(long_word, 'x', sizeof(long_word));
	long_word[SUGGEST_MAX_LEN] = 0;
	assert_int_equal(word_distance(long_word, long_word), 0);
	long_word[SUGGEST_MAX_LEN] = 'x';
	long_word[SUGGEST_MAX_LEN + 1] = 0;
	assert_int_equal(word_distance(long_word, "x"), UINT_MAX);
}

static const char *nearest(const char *word)
{
	static const char *const candidates[] = {"start", "list", "destroy", "domid", "domname"};
	struct suggestion s = {.word = word};
	const char *const *c;

	FOREACH_ELEMENT (c, candidates)
		suggestion_try(&s, *c);
	return s.best;
}

static void test_nearest(void **state)
{
	(void)state;
	assert_string_equal(nearest("sttart"), "start");
	assert_string_equal(nearest("destory"), "destroy");
	assert_string_equal(nearest("lst"), "list");
	assert_string_equal(nearest("dominame"), "domname");
	assert_null(nearest("frobnicate"));
	assert_null(nearest("li"));
	assert_null(nearest(""));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
