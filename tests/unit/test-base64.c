/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RFC 4648's test vectors, every byte there and back, and texts that are not base64. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "vmm-core/base/base64.h"

/* Section 10. */
static void test_vectors(void **state)
{
	static const struct {
		const char *bytes, *text;
	} rows[] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t size = strlen(rows[i].bytes), len = strlen(rows[i].text);
		char text[16] = "", bytes[16] = "";

		assert_int_equal(BASE64_LEN(size), len);
		base64_encode(rows[i].bytes, size, text);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(base64_size(text, len), size);
		assert_int_equal(base64_decode(text, len, bytes), 0);
		assert_string_equal(bytes, rows[i].bytes);
	}
}

/* Exactly as much is written as was said, in buffers that end there. */
static void test_all_bytes(void **state)
{
	(void)state;
	for (size_t size = 0; size <= 300; size++) {
		uint8_t *bytes = malloc(size + 1), *back = malloc(size + 1);
		char *text = malloc(BASE64_LEN(size) + 1);

		bytes[size] = back[size] = 0xa5;
		text[BASE64_LEN(size)] = '!';
		for (size_t i = 0; i < size; i++)
			bytes[i] = (uint8_t)(i * 151 + size);
		base64_encode(bytes, size, text);
		assert_int_equal(text[BASE64_LEN(size)], '!');
		assert_int_equal(base64_size(text, BASE64_LEN(size)), size);
		assert_int_equal(base64_decode(text, BASE64_LEN(size), back), 0);
		assert_memory_equal(bytes, back, size + 1);
		free(bytes);
		free(back);
		free(text);
	}
}

static void test_refused(void **state)
{
	static const char *const rows[] = {"Z", "Zg", "Zg=", "Zg==Zg==", "Zm9v\n",
		"Zm9v Zg==", "Zm-v", "Zm_v", "====", "A===", "Zh==", "Zm9=", "Zm8=\n", "=m9v",
		"Zm9vY", "\xc3\xa9Zm", "Zg= "};
	uint8_t bytes[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (base64_decode(rows[i], strlen(rows[i]), bytes) != -EINVAL)
			fail_msg("'%s' was decoded", rows[i]);
	assert_int_equal(base64_decode("Zm\0v", 4, bytes), -EINVAL);
	assert_int_equal(base64_size("Zm9vY", 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_all_bytes),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
