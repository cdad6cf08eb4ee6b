/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers at their limits, UUIDs in their spellings, UTF-8 by its rules. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm-core/base/strutil.h"

static void test_numbers(void **state)
{
	static const struct {
		const char *s;
		uint64_t max;
		int r;
		uint64_t v;
	} rows[] = {
		{"0", 10, 0, 0},
		{"10", 10, 0, 10},
		{"11", 10, -ERANGE, 0},
		{"0x1F", 100, 0, 31},
		{"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999", UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999x", UINT64_MAX, -EINVAL, 0},
		{"", 10, -EINVAL, 0},
		{"0x", 10, -EINVAL, 0},
		{" 1", 10, -EINVAL, 0},
		{"1 ", 10, -EINVAL, 0},
		{"+1", 10, -EINVAL, 0},
		{"-1", 10, -EINVAL, 0},
		{"1e3", 10000, -EINVAL, 0},
		{"0b1", 10, -EINVAL, 0},
	};
	int64_t i;

	(void)state;
	for (unsigned n = 0; n < ARRAY_SIZE(rows); n++) {
		uint64_t v = 0;

		assert_int_equal(parse_u64(rows[n].s, rows[n].max, &v), rows[n].r);
		assert_true(v == rows[n].v);
	}
	assert_int_equal(parse_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &i), 0);
	assert_true(i == INT64_MIN);
	assert_int_equal(parse_i64("9223372036854775808", INT64_MIN, INT64_MAX, &i), -ERANGE);
	assert_int_equal(parse_i64("-9223372036854775809", INT64_MIN, INT64_MAX, &i), -ERANGE);
	assert_int_equal(parse_i64("-5", -4, 4, &i), -ERANGE);
	assert_int_equal(parse_i64("--5", -9, 9, &i), -EINVAL);
}

static void test_uuid(void **state)
{
	uint8_t a[16], b[16];
	char s[UUID_STRING_LEN + 1];

	(void)state;
	assert_int_equal(uuid_parse("65A927f1-f665-46ed-acd0-0fe2c9b3ef83", a), 0);
	assert_int_equal(uuid_parse("65a927f1f66546edacd00fe2c9b3ef83", b), 0);
	assert_memory_equal(a, b, 16);
	uuid_format(a, s);
	assert_string_equal(s, "65a927f1-f665-46ed-acd0-0fe2c9b3ef83");
	assert_int_equal(uuid_parse("65a927f1-f665-46ed-acd0-0fe2c9b3ef8", b), -EINVAL);
	assert_int_equal(uuid_parse("65a927f1-f665-46ed-acd0-0fe2c9b3ef833", b), -EINVAL);
	assert_int_equal(uuid_parse("-65a927f1f66546edacd00fe2c9b3ef83", b), -EINVAL);
	assert_int_equal(uuid_parse("", b), -EINVAL);
	assert_int_equal(uuid_generate(a), 0);
	assert_int_equal(a[6] >> 4, 4);
	assert_int_equal(a[8] >> 6, 2);
	assert_false(uuid_is_null(a));
}

static void test_utf8(void **state)
{
	(void)state;
	assert_true(str_is_clean_utf8("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\n\t"));
	assert_false(str_is_clean_utf8("\xc0\xaf"));         /* overlong */
	assert_false(str_is_clean_utf8("\xed\xa0\x80"));     /* surrogate */
	assert_false(str_is_clean_utf8("\xf4\x90\x80\x80")); /* beyond U+10FFFF */
	assert_false(str_is_clean_utf8("\xe2\x82"));         /* cut */
	assert_false(str_is_clean_utf8("\x80"));
	assert_false(str_is_clean_utf8("a\x1b[2J"));
	assert_false(str_is_clean_utf8("\x7f"));
}

static void test_copy(void **state)
{
	char dst[4] = "xyz";

	(void)state;
	assert_int_equal(str_copy(dst, sizeof(dst), "abcd"), -ENAMETOOLONG);
	assert_string_equal(dst, "xyz");
	assert_int_equal(str_copy(dst, sizeof(dst), "abc"), 0);
	assert_string_equal(dst, "abc");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_uuid),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_copy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
