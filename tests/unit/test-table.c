/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The output contract of tables, against what virsh 9.0 printed. */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "client/table.h"

#define CELLS(...) ((const char *const[]){__VA_ARGS__})

static void assert_prints(const struct table *table, bool with_header, const char *want)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	table_print(table, out, with_header);
	(void)fclose(out);
	assert_string_equal(text, want);
}

static void test_layout(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new(CELLS("Id", "Name", "State"), 3);

	(void)state;
	assert_non_null(t);
	assert_prints(t, true,
		" Id   Name   State\n"
		"--------------------\n");
	assert_int_equal(table_add_row(t, CELLS("4", "t1", "running")), 0);
	assert_int_equal(table_add_row(t, CELLS(NULL, "t2", "shut off")), 0);
	assert_prints(t, true,
		" Id   Name   State\n"
		"-----------------------\n"
		" 4    t1     running\n"
		" -    t2     shut off\n");
	assert_prints(t, false,
		" 4   t1   running\n"
		" -   t2   shut off\n");
}

static void test_last_cell_is_not_padded(void **state)
{
	_cleanup_(table_freep) struct table *t =
		table_new(CELLS("Id", "Name", "State", "Title"), 4);

	(void)state;
	assert_int_equal(table_add_row(t, CELLS("4", "t1", "running", "")), 0);
	assert_int_equal(table_add_row(t, CELLS("-", "t2", "shut off", "x")), 0);
	assert_prints(t, true,
		" Id   Name   State      Title\n"
		"-------------------------------\n"
		" 4    t1     running    \n"
		" -    t2     shut off   x\n");
}

static void test_many_rows(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new(CELLS("N"), 1);
	_cleanup_(freep) char *text = NULL;
	size_t size;
	FILE *out;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(table_add_row(t, CELLS("1")), 0);
	out = open_memstream(&text, &size);
	table_print(t, out, true);
	(void)fclose(out);
	assert_int_equal(size, strlen(" N\n----\n") + 1000 * strlen(" 1\n"));
}

static void test_width_is_display_columns(void **state)
{
	_cleanup_(table_freep) struct table *t = table_new(CELLS("Name", "State"), 2);

	(void)state;
	/* "ä" is one column of two bytes, each of the CJK characters two columns of three bytes. */
	assert_int_equal(
		table_add_row(t, CELLS("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", "on")), 0);
	assert_int_equal(table_add_row(t, CELLS("\xe6\x97\xa5\xe6\x9c\xac", "off")), 0);
	assert_prints(t, true,
		" Name    State\n"
		"----------------\n"
		" \xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4   on\n"
		" \xe6\x97\xa5\xe6\x9c\xac    off\n");
}

static void assert_printable(const char *text, const char *want, size_t want_width)
{
	_cleanup_(freep) char *got = NULL;
	size_t width;

	got = text_printable(text, &width);
	assert_string_equal(got, want);
	assert_int_equal(width, want_width);
}

static void test_nothing_reaches_the_terminal_raw(void **state)
{
	(void)state;
	assert_printable("plain", "plain", 5);
	assert_printable("\x1b[2J", "\\x1b[2J", 7);
	assert_printable("a\nb", "a\\x0ab", 6);
	assert_printable("\xff\xfe", "\\xff\\xfe", 8);
	assert_printable("\xc3", "\\xc3", 4);
	assert_printable("\xc2\x9b", "\\xc2\\x9b", 8); /* CSI in one character */
	assert_printable("", "", 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_last_cell_is_not_padded),
		cmocka_unit_test(test_many_rows),
		cmocka_unit_test(test_width_is_display_columns),
		cmocka_unit_test(test_nothing_reaches_the_terminal_raw),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
