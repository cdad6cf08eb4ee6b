/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The line of the progress bar: widths, what is not known, text that a terminal could take for a command; and no bar without a terminal. */
#include "client/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char *line(const char *job, unsigned columns)
{
	static char text[PROGRESS_LINE_MAX];
	struct json_object *o = json_tokener_parse(job);

	assert_non_null(o);
	progress_format(o, columns, text);
	json_object_put(o);
	assert_true(strlen(text) <= columns);
	return text;
}

#define START "\"domain\":\"t1\",\"operation\":\"start\",\"stage\":\"machine\""

static void test_line(void **state)
{
	(void)state;
	assert_string_equal(line("{" START "}", 79), "t1: start (machine)");
	assert_string_equal(
		line("{" START ",\"left_ms\":1001}", 79), "t1: start (machine), 2 s left");
	assert_string_equal(line("{" START ",\"percent\":50,\"left_ms\":0}", 60),
		"t1: start (machine) [==========           ]  50 %, 0 s left");
	assert_string_equal(line("{" START ",\"percent\":100}", 159),
		"t1: start (machine) [========================================] 100 %");
	assert_string_equal(line("{" START ",\"percent\":0,\"bytes_per_s\":1048576}", 30),
		"t1: start (machine)   0 %, 1 M");
	assert_string_equal(line("{" START ",\"percent\":101}", 79), "t1: start (machine)");
	assert_string_equal(line("{}", 79), ": ");
	assert_string_equal(
		line("{\"domain\":\"a\\u001b[2J\\u00e9\",\"operation\":\"x\"}", 79), "a?[2J??: x");
}

static void test_no_terminal(void **state)
{
	struct ctl ctl = {0};
	struct progress p;
	int saved = dup(STDERR_FILENO), fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	progress_start(&ctl, "x", &p);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	close(saved);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(p.pid, 0);
	progress_stop(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_no_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
