/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saved state: round trip, every truncation, every flipped bit. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/state.h"

static void write_sample(struct state_writer *w)
{
	state_writer_init(w);
	state_begin(w, "first", 3, 7);
	state_put_u8(w, 0x11);
	state_put_u16(w, 0x2233);
	state_put_u32(w, 0x44556677);
	state_put_u64(w, UINT64_C(0x8899aabbccddeeff));
	state_put_bytes(w, "abc", 3);
	state_end(w);
	state_begin(w, "second", 0, 1);
	state_end(w);
	assert_int_equal(state_writer_error(w), 0);
}

static void test_round_trip(void **state)
{
	struct state_writer w;
	struct state_reader r;
	size_t offset = 0;
	char text[3];

	(void)state;
	write_sample(&w);
	assert_int_equal(state_next(w.data, w.len, &offset, &r), 1);
	assert_string_equal(r.name, "first");
	assert_int_equal(r.instance, 3);
	assert_int_equal(r.version, 7);
	assert_int_equal(state_get_u8(&r), 0x11);
	assert_int_equal(state_get_u16(&r), 0x2233);
	assert_int_equal(state_get_u32(&r), 0x44556677);
	assert_true(state_get_u64(&r) == UINT64_C(0x8899aabbccddeeff));
	assert_int_equal(state_reader_end(&r), -EBADMSG); /* three bytes are left */
	state_get_bytes(&r, text, 3);
	assert_memory_equal(text, "abc", 3);
	assert_int_equal(state_reader_end(&r), 0);
	assert_int_equal(state_get_u8(&r), 0);
	assert_int_equal(state_reader_end(&r), -EBADMSG); /* sticky */
	assert_int_equal(state_next(w.data, w.len, &offset, &r), 1);
	assert_string_equal(r.name, "second");
	assert_int_equal(state_next(w.data, w.len, &offset, &r), 0);
	state_writer_done(&w);
}

static int read_all(const uint8_t *data, size_t len)
{
	struct state_reader r;
	size_t offset = 0;
	int n, sections = 0;

	while ((n = state_next(data, len, &offset, &r)) > 0)
		sections++;
	return n < 0 ? n : sections;
}

static void test_damage(void **state)
{
	struct state_writer w;
	uint8_t *copy;
	size_t second;

	(void)state;
	write_sample(&w);
	second = w.section;
	for (size_t cut = 1; cut < w.len; cut++) {
		/* An exact copy, so that a sanitizer sees one byte too many. */
		copy = malloc(cut);
		assert_non_null(copy);
		memcpy(copy, w.data, cut);
		assert_int_equal(read_all(copy, cut), cut == second ? 1 : -EBADMSG);
		free(copy);
	}
	copy = malloc(w.len);
	assert_non_null(copy);
	for (size_t bit = 0; bit < second * 8; bit++) {
		struct state_reader r;
		size_t offset = 0;

		memcpy(copy, w.data, w.len);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		/* Version, instance and name are for the caller to judge; all else is caught here. */
		if (state_next(copy, w.len, &offset, &r) == 1)
			assert_true(r.version != 7 || r.instance != 3 ||
				strcmp(r.name, "first") != 0 ||
				memcmp(r.name + 5, w.data + 29, STATE_NAME_MAX - 5) != 0);
	}
	free(copy);
	state_writer_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
