/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Log lines: levels, %m, one line whatever is in it, and the limit on what a guest can cause. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/log.h"

/* What 'write_lines' puts on standard error. */
static const char *captured(void (*write_lines)(void))
{
	static char text[65536];
	int saved = dup(STDERR_FILENO), fds[2];
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	write_lines();
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
	(void)close(fds[1]);
	n = read(fds[0], text, sizeof(text) - 1);
	(void)close(fds[0]);
	text[n > 0 ? n : 0] = 0;
	return text;
}

static void lines(void)
{
	log_init("prog", LOG_INFO, /* with_priority= */ false);
	log_info("one %d", 1);
	log_debug("not shown");
	errno = 77;
	assert_int_equal(log_error_errno(-ENOENT, "cannot: %m"), -ENOENT);
	assert_int_equal(log_error_errno(ENOENT, "cannot: %m"), -ENOENT);
	assert_int_equal(errno, 77);
	assert_int_equal(log_debug_errno(EIO, "not shown"), -EIO);
	log_init("prog", LOG_INFO, /* with_priority= */ true);
	log_warning("for the journal");
	log_init("prog", LOG_INFO, /* with_priority= */ false);
}

static void test_lines(void **state)
{
	(void)state;
	assert_string_equal(captured(lines),
		"prog: one 1\n"
		"prog: cannot: No such file or directory\n"
		"prog: cannot: No such file or directory\n"
		"<4>for the journal\n");
}

static void hostile_lines(void)
{
	char text[4000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	log_info("a\nforged: line\x1b[2J\ttab");
	log_info("%s", text);
}

static void test_one_line_each(void **state)
{
	const char *text, *second;

	(void)state;
	text = captured(hostile_lines);
	assert_non_null(strstr(text, "prog: a?forged: line?[2J\ttab\n"));
	second = strchr(text, '\n') + 1;
	assert_true(strlen(second) < 2100);
	assert_ptr_equal(strchr(second, '\n'), second + strlen(second) - 1);
}

static void flood(void)
{
	for (unsigned i = 0; i < 1000; i++)
		log_guest("the guest did it again: %u", i);
}

static void test_guest_limit(void **state)
{
	unsigned n = 0;

	(void)state;
	for (const char *p = captured(flood); *p; p++)
		n += *p == '\n';
	assert_int_equal(n, LOG_GUEST_BURST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_one_line_each),
		cmocka_unit_test(test_guest_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
