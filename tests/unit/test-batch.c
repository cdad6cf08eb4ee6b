/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl batch: words of a line, and what happens when a command fails. */
#include "client/batch.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm-core/base/macro.h"

static const struct {
	const char *line, *words; /* NULL: a quote is not closed */
} rows[] = {
	{"", ""},
	{"   \t ", ""},
	{"# a comment", ""},
	{"  # one more", ""},
	{"start a", "<start><a>"},
	{"\tstart  a # that one", "<start><a>"},
	{"start a#b", "<start><a#b>"},
	{"x 'a b' \"c d\"", "<x><a b><c d>"},
	{"x a' 'b\" \"c", "<x><a b c>"},
	{"x '' \"\"", "<x><><>"},
	{"x '\\' \"\\\"\" \\\\ \\ y", "<x><\\><\"><\\>< y>"},
	{"x 'it''s'", "<x><its>"},
	{"x \"'\" '\"'", "<x><'><\">"},
	{"x '#'", "<x><#>"},
	{"x\\", "<x\\>"},
	{"x '", NULL},
	{"x \"a", NULL},
	{"x 'a\\'b'", NULL},
};

static void test_words(void **state)
{
	char *words[BATCH_MAX_WORDS], line[128], text[256];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		strcpy(line, rows[i].line);
		if (!rows[i].words) {
			assert_int_equal(batch_split(line, words, &n), -EINVAL);
			continue;
		}
		assert_int_equal(batch_split(line, words, &n), 0);
		*text = 0;
		for (size_t k = 0; k < n; k++)
			sprintf(text + strlen(text), "<%s>", words[k]);
		assert_string_equal(text, rows[i].words);
	}
}

static void test_many_words(void **state)
{
	char *words[BATCH_MAX_WORDS], line[2 * BATCH_MAX_WORDS + 4];
	size_t n;

	(void)state;
	for (unsigned over = 0; over < 2; over++) {
		for (size_t i = 0; i < BATCH_MAX_WORDS + over; i++)
			memcpy(line + 2 * i, "x ", 3);
		assert_int_equal(batch_split(line, words, &n), over ? -E2BIG : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_many_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
