/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The real-time clock by its data sheet. The wall clock follows the fake loop's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <time.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/fuzz-device.h"

enum { SEC, SEC_A, MIN_, MIN_A, HOUR, HOUR_A, WDAY, DAY, MON, YEAR, A, B, C, D, CENT = 0x32 };

/* 2024-02-28 23:59:58 UTC, a Wednesday, when the test starts. */
#define START_S INT64_C(1709164798)

struct fixture {
	struct fake_machine *f;
	struct device *dev;
	int64_t jump_ns; /* of the host's wall clock */
};

static int64_t wall_clock(void *opaque)
{
	const struct fixture *x = opaque;

	return START_S * (int64_t)NSEC_PER_SEC +
		(int64_t)(machine_now_ns(&x->f->m) - NSEC_PER_SEC) + x->jump_ns;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->f = fake_machine_new(MIB(64));
	assert_int_equal(device_new(&mc146818_class, &x->f->m, 0, &x->dev), 0);
	mc146818_set_wall_clock(x->dev, wall_clock, x);
	device_write(x->dev, 0, 0, 1, C);
	(void)device_read(x->dev, 0, 1, 1);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	(void)device_free(x->dev);
	(void)fake_machine_free(x->f);
	free(x);
	return 0;
}

static void out(struct fixture *x, unsigned reg, uint8_t value)
{
	device_write(x->dev, 0, 0, 1, reg);
	device_write(x->dev, 0, 1, 1, value);
}

static uint8_t in(struct fixture *x, unsigned reg)
{
	device_write(x->dev, 0, 0, 1, reg | 0x80); /* bit 7 is not the index's */
	return (uint8_t)device_read(x->dev, 0, 1, 1);
}

static void advance(struct fixture *x, uint64_t ns)
{
	loop_fake_advance(x->f->m.loop, ns);
}

static bool line(struct fixture *x)
{
	return irq_line_level(x->f->m.irq, LAYOUT_GSI_RTC);
}

static void assert_time(struct fixture *x, const char *expected)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%02x%02x-%02x-%02x/%02x %02x:%02x:%02x", in(x, CENT),
		in(x, YEAR), in(x, MON), in(x, DAY), in(x, WDAY), in(x, HOUR), in(x, MIN_),
		in(x, SEC));
	assert_string_equal(text, expected);
}

static void test_calendar(void **state)
{
	struct fixture *x = *state;

	assert_time(x, "2024-02-28/04 23:59:58");
	advance(x, 2 * NSEC_PER_SEC);
	assert_time(x, "2024-02-29/05 00:00:00"); /* a leap year */
	advance(x, 86400 * NSEC_PER_SEC);
	assert_time(x, "2024-03-01/06 00:00:00");
	x->f->m.wall_offset_s = -86400 * 366LL;
	assert_time(x, "2023-03-01/04 00:00:00");
}

/* Against the C library, over a few thousand years. */
static void test_calendar_against_libc(void **state)
{
	struct fixture *x = *state;
	uint64_t seed = 4711;

	for (unsigned i = 0; i < 20000; i++) {
		int64_t t = (int64_t)(fuzz_random(&seed) % 300000000000ULL) - 60000000000LL;
		struct tm tm;
		time_t tt = t;
		char text[64];

		x->f->m.wall_offset_s = t - START_S;
		assert_non_null(gmtime_r(&tt, &tm));
		(void)snprintf(text, sizeof(text), "%04d-%02d-%02d/%02d %02d:%02d:%02d",
			tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_wday + 1, tm.tm_hour,
			tm.tm_min, tm.tm_sec);
		assert_time(x, text);
	}
}

static void test_formats(void **state)
{
	struct fixture *x = *state;

	out(x, B, 0x06); /* binary, 24 h */
	assert_int_equal(in(x, HOUR), 23);
	assert_int_equal(in(x, SEC), 58);
	out(x, B, 0x00);                     /* BCD, 12 h */
	assert_int_equal(in(x, HOUR), 0x91); /* 11 pm */
	advance(x, 3600 * NSEC_PER_SEC);
	assert_int_equal(in(x, HOUR), 0x12); /* midnight is 12 am */
	advance(x, 12 * 3600 * NSEC_PER_SEC);
	assert_int_equal(in(x, HOUR), 0x92); /* noon is 12 pm */
	advance(x, 3600 * NSEC_PER_SEC);
	out(x, B, 0x04);
	assert_int_equal(in(x, HOUR), 0x81);
}

static void test_setting(void **state)
{
	struct fixture *x = *state;

	/* As Linux: SET, divider reset, time, divider, SET off. */
	advance(x, 300 * NSEC_PER_MSEC);
	out(x, B, 0x82);
	out(x, A, 0x76);
	out(x, CENT, 0x19);
	out(x, YEAR, 0x99);
	out(x, MON, 0x12);
	out(x, DAY, 0x31);
	out(x, HOUR, 0x23);
	out(x, MIN_, 0x59);
	out(x, SEC, 0x59);
	advance(x, 10 * NSEC_PER_SEC);
	assert_time(x, "1999-12-31/04 23:59:59"); /* stands */
	out(x, B, 0x02);
	out(x, A, 0x26);
	advance(x, 400 * NSEC_PER_MSEC);
	assert_int_equal(in(x, SEC), 0x59);
	advance(x, 100 * NSEC_PER_MSEC);
	assert_time(
		x, "2000-01-01/07 00:00:00"); /* the first update half a second after the reset */
	/* Without SET the fraction goes on. */
	advance(x, 700 * NSEC_PER_MSEC);
	out(x, MIN_, 0x30);
	assert_time(x, "2000-01-01/07 00:30:00");
	advance(x, 300 * NSEC_PER_MSEC);
	assert_time(x, "2000-01-01/07 00:30:01");
}

static void test_nonsense_is_bent(void **state)
{
	struct fixture *x = *state;

	out(x, B, 0x86);
	for (unsigned reg = 0; reg < 10; reg++)
		out(x, reg, 0xff);
	out(x, CENT, 0xff);
	out(x, B, 0x06);
	assert_int_equal(in(x, DAY), 31);
	assert_int_equal(in(x, MON), 12);
	assert_int_equal(in(x, YEAR), 99);
	out(x, DAY, 0);
	assert_int_equal(in(x, DAY), 1);
}

static void test_update_in_progress(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(in(x, A), 0x26);
	advance(x, 999700 * NSEC_PER_USEC);
	assert_int_equal(in(x, A), 0x26);
	advance(x, 100 * NSEC_PER_USEC);
	assert_int_equal(in(x, A), 0xa6);
	out(x, B, 0x82);
	assert_int_equal(in(x, A), 0x26);
	out(x, B, 0x02);
	assert_int_equal(in(x, A), 0xa6);
	advance(x, 200 * NSEC_PER_USEC);
	assert_int_equal(in(x, A), 0x26);
	out(x, A, 0xa6);
	assert_int_equal(in(x, A), 0x26); /* read-only */
}

static void test_update_interrupt(void **state)
{
	struct fixture *x = *state;

	out(x, A, 0x20); /* no periodic flag */
	out(x, HOUR_A, 0x12);
	advance(x, NSEC_PER_SEC);
	assert_false(line(x));
	assert_int_equal(in(x, C), 0x10); /* the flag comes without being enabled */
	assert_int_equal(in(x, C), 0);
	out(x, B, 0x12);
	for (unsigned i = 0; i < 3; i++) {
		advance(x, 999999999);
		assert_false(line(x));
		advance(x, 1);
		assert_true(line(x));
		assert_int_equal(in(x, C), 0x90);
		assert_false(line(x));
	}
	out(x, B, 0x92); /* setting ends it */
	assert_int_equal(in(x, B), 0x82);
}

static void test_wall_clock_jumps(void **state)
{
	struct fixture *x = *state;

	out(x, B, 0x12);
	x->jump_ns = -3600 * (int64_t)NSEC_PER_SEC;
	advance(x, 3 * NSEC_PER_SEC);
	assert_true(line(x)); /* an hour back: updates go on */
	assert_int_equal(in(x, HOUR), 0x23);
}

static void test_alarm(void **state)
{
	struct fixture *x = *state;

	out(x, A, 0x20); /* no periodic flag */
	out(x, SEC_A, 0x03);
	out(x, MIN_A, 0x00);
	out(x, HOUR_A, 0x00);
	out(x, B, 0x22);
	advance(x, 4999999999);
	assert_false(line(x));
	advance(x, 1);
	assert_true(line(x));
	assert_int_equal(in(x, C), 0xb0);
	advance(x, 86399 * NSEC_PER_SEC);
	assert_false(line(x));
	advance(x, NSEC_PER_SEC);
	assert_true(line(x)); /* each day */
	(void)in(x, C);
	out(x, HOUR_A, 0xc0); /* any hour */
	advance(x, 3600 * NSEC_PER_SEC);
	assert_true(line(x));
	(void)in(x, C);
	out(x, MIN_A, 0xff);
	out(x, SEC_A, 0xff); /* any second */
	advance(x, NSEC_PER_SEC);
	assert_true(line(x));
	(void)in(x, C);
	out(x, SEC_A, 0x77); /* no second at all */
	advance(x, 172800 * NSEC_PER_SEC);
	assert_false(line(x));
	/* Polled: found afterwards. */
	out(x, B, 0x02);
	(void)in(x, C);
	out(x, SEC_A, 0x10);
	advance(x, 100 * NSEC_PER_SEC);
	assert_int_equal(in(x, C), 0x30);
}

static void test_periodic(void **state)
{
	struct fixture *x = *state;
	unsigned n = 0;

	out(x, A, 0x26); /* 1024 Hz */
	(void)in(x, C);
	out(x, B, 0x42);
	for (unsigned i = 0; i < 10000; i++) {
		advance(x, 100 * NSEC_PER_USEC);
		if (!line(x))
			continue;
		assert_int_equal(in(x, C) & 0xc0, 0xc0);
		n++;
	}
	assert_in_range(n, 1023, 1024);
	/* Nobody reads register C: the line stays up and nobody is woken. */
	advance(x, 100 * NSEC_PER_SEC);
	assert_true(line(x));
	assert_int_equal(in(x, C) & 0xc0, 0xc0);
	out(x, A, 0x21); /* 256 Hz */
	(void)in(x, C);
	advance(x, 3906250);
	assert_false(line(x));
	advance(x, 1);
	assert_true(line(x));
	out(x, A, 0x20); /* off */
	(void)in(x, C);
	advance(x, NSEC_PER_SEC);
	assert_false(line(x));
}

static void test_memory(void **state)
{
	struct fixture *x = *state;

	out(x, 0x7f, 0x5a);
	out(x, 0x0f, 0x0a);
	device_reset(x->dev);
	assert_int_equal(in(x, 0x7f), 0x5a);
	assert_int_equal(in(x, 0x0f), 0x0a);
	assert_int_equal(in(x, 0x34) | in(x, 0x35) << 8, 768); /* 48 MiB above 16 */
	assert_int_equal(in(x, D), 0x80);
	out(x, D, 0);
	assert_int_equal(in(x, D), 0x80);
	assert_int_equal(device_read(x->dev, 0, 0, 1), 0xff);
}

static void test_reset_ends_interrupts(void **state)
{
	struct fixture *x = *state;

	out(x, B, 0x72);
	advance(x, NSEC_PER_SEC);
	assert_true(line(x));
	device_reset(x->dev);
	assert_false(line(x));
	assert_int_equal(in(x, B), 0x02);
	assert_int_equal(in(x, C), 0);
	assert_time(x, "2024-02-28/04 23:59:59");
	out(x, A, 0x76);
	device_reset(x->dev);
	advance(x, 10 * NSEC_PER_SEC);
	assert_time(x, "2024-02-29/05 00:00:09");
}

static void test_save_load(void **state)
{
	struct fixture *x = *state;
	struct fake_machine *f = fake_machine_new(MIB(64));
	struct fixture y = {.f = f};

	assert_int_equal(device_new(&mc146818_class, &f->m, 0, &y.dev), 0);
	mc146818_set_wall_clock(y.dev, wall_clock, x); /* the same wall, another machine clock */
	out(x, YEAR, 0x31);
	out(x, B, 0x52);
	out(x, A, 0x2f);
	advance(x, 1234567890);
	(void)in(x, C);
	advance(x, 100 * NSEC_PER_MSEC);
	assert_save_load(x->dev, y.dev);
	assert_time(&y, "2031-02-28/06 23:59:59");
	assert_int_equal(line(x), line(&y));
	advance(x, 5 * NSEC_PER_SEC);
	advance(&y, 5 * NSEC_PER_SEC);
	assert_true(line(&y));
	assert_int_equal(in(x, C), in(&y, C));
	(void)device_free(y.dev);
	(void)fake_machine_free(f);
}

static const struct fuzz_region regions[] = {{0, 2}};

static void test_corrupt_state(void **state)
{
	struct fixture *x = *state;

	out(x, B, 0x72);
	assert_survives_corruption(x->dev, regions, ARRAY_SIZE(regions));
}

static void test_fuzz(void **state)
{
	struct fixture *x = *state;
	struct fake_machine *f = fake_machine_new(MIB(64));
	struct device *fresh;
	uint64_t seed = 99;

	assert_int_equal(device_new(&mc146818_class, &f->m, 0, &fresh), 0);
	mc146818_set_wall_clock(fresh, wall_clock, x);
	fuzz_device(x->dev, fresh, regions, ARRAY_SIZE(regions));
	/* The same at the registers that do something. */
	for (unsigned i = 0; i < FUZZ_ROUNDS; i++) {
		uint64_t dice = fuzz_random(&seed);
		unsigned reg = (unsigned)(dice % 15) == 14 ? CENT : (unsigned)(dice % 15);

		out(x, reg, (uint8_t)(dice >> 8));
		(void)in(x, (unsigned)(dice >> 16) % 14);
		if ((dice >> 32) % 16 == 0)
			advance(x, (dice >> 36) % NSEC_PER_SEC);
	}
	assert_save_load(x->dev, fresh);
	(void)device_free(fresh);
	(void)fake_machine_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_calendar, setup, teardown),
		cmocka_unit_test_setup_teardown(test_calendar_against_libc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_formats, setup, teardown),
		cmocka_unit_test_setup_teardown(test_setting, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nonsense_is_bent, setup, teardown),
		cmocka_unit_test_setup_teardown(test_update_in_progress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_update_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wall_clock_jumps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alarm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_periodic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_ends_interrupts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_save_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_corrupt_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
