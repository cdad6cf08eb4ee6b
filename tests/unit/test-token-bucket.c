/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rates on a virtual clock: averages, bursts and peaks, debt, questions that cost nothing, and numbers at their ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm-core/base/macro.h"
#include "vmm-core/base/token-bucket.h"

#define START_NS UINT64_C(123456789)

/* Send pieces of 'piece' units as fast as the bucket lets them from '*now_ns' to 'end_ns'; how many units went. */
static uint64_t flood(struct token_bucket *b, uint64_t *now_ns, uint64_t end_ns, uint64_t piece)
{
	uint64_t sent = 0;

	for (;;) {
		uint64_t at = token_bucket_ready_ns(b, *now_ns);

		assert_true(at >= *now_ns);
		if (at >= end_ns)
			break;
		*now_ns = at;
		/* The answer is the truth, and asking again changes nothing. */
		assert_int_equal(token_bucket_ready_ns(b, at), at);
		token_bucket_charge(b, at, piece);
		sent += piece;
	}
	*now_ns = end_ns;
	return sent;
}

static void assert_about(uint64_t value, uint64_t expected, unsigned percent)
{
	uint64_t slack = expected / 100 * percent + 1;

	if (value + slack < expected || value > expected + slack)
		fail_msg("%llu is not %llu", (unsigned long long)value,
			(unsigned long long)expected);
}

static void test_average(void **state)
{
	static const struct {
		uint64_t rate, piece;
	} rows[] = {
		{1000, 1}, {7, 1}, /* 10^9 / 7 has a remainder */
		{333333333, 4096}, {1000003, 517}, {UINT64_C(10) << 20, 65536},
		{UINT64_C(100) << 30, 1 << 20}, {UINT64_C(1000000000000), 1 << 30},
		{3000000000, 9999}, /* 3333 ns apart, and not quite */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct token_bucket b;
		uint64_t now = START_NS, sent;

		token_bucket_init(&b, &(struct token_limit){.rate = rows[i].rate});
		/* What is in a full one comes on top. */
		sent = flood(&b, &now, START_NS + 1, rows[i].piece);
		assert_true(sent <= rows[i].rate / 10 + rows[i].piece);
		sent = flood(&b, &now, START_NS + 10 * NSEC_PER_SEC, rows[i].piece);
		assert_about(sent, 10 * rows[i].rate, 1);
	}
}

/* Sevenths of a nanosecond add up: after a day not one operation is missing. */
static void test_no_drift(void **state)
{
	struct token_bucket b;
	uint64_t now = START_NS, sent;

	(void)state;
	token_bucket_init(&b, &(struct token_limit){.rate = 7, .burst = 1});
	sent = flood(&b, &now, START_NS + 86400 * NSEC_PER_SEC, 1);
	/* One in the bucket, and one that may go on debt. */
	assert_true(sent >= 7 * 86400 && sent <= 7 * 86400 + 2);
}

static void test_burst(void **state)
{
	struct token_bucket b;
	uint64_t now = START_NS, sent;

	(void)state;
	token_bucket_init(&b, &(struct token_limit){.rate = 1000, .burst = 500});
	/* At once: the bucket, and one on debt. */
	assert_int_equal(flood(&b, &now, START_NS + 1, 1), 501);
	sent = flood(&b, &now, START_NS + 10 * NSEC_PER_SEC, 1);
	assert_about(sent, 10000, 1);
	/* It fills by time, up to its depth and no further. */
	now += NSEC_PER_SEC / 4;
	assert_about(flood(&b, &now, now + 1, 1), 250, 1);
	now += 3600 * NSEC_PER_SEC;
	assert_int_equal(flood(&b, &now, now + 1, 1), 501);
}

/* 5000 for two seconds, then 1000. */
static void test_peak(void **state)
{
	const struct token_limit limit = {.rate = 1000, .peak = 5000, .peak_length_ms = 2000};
	struct token_bucket b;
	uint64_t now = START_NS;

	(void)state;
	token_bucket_init(&b, &limit);
	assert_about(flood(&b, &now, START_NS + NSEC_PER_SEC, 1), 5500, 1);
	assert_about(flood(&b, &now, START_NS + 2 * NSEC_PER_SEC, 1), 4600, 1);
	assert_about(flood(&b, &now, START_NS + 12 * NSEC_PER_SEC, 1), 10000, 1);
	/* A peak that is the rate is no burst. */
	token_bucket_init(&b, &(struct token_limit){.rate = 1000, .peak = 1000});
	now = START_NS;
	assert_about(flood(&b, &now, START_NS + NSEC_PER_SEC, 1), 1100, 1);
	/* A burst in units at a peak. */
	token_bucket_init(&b, &(struct token_limit){.rate = 1000, .peak = 2000, .burst = 3000});
	now = START_NS;
	assert_about(flood(&b, &now, START_NS + 3 * NSEC_PER_SEC, 1), 6000, 4);
	assert_about(flood(&b, &now, START_NS + 13 * NSEC_PER_SEC, 1), 10000, 1);
}

/* Larger than the bucket: it passes, and the next waits until it is paid for. */
static void test_debt(void **state)
{
	struct token_bucket b;
	uint64_t now = START_NS;

	(void)state;
	token_bucket_init(&b, &(struct token_limit){.rate = 1000, .burst = 10});
	assert_int_equal(token_bucket_ready_ns(&b, now), now);
	token_bucket_charge(&b, now, 5010);
	assert_int_equal(token_bucket_ready_ns(&b, now), now + 5 * NSEC_PER_SEC);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(token_bucket_ready_ns(&b, now + i), now + 5 * NSEC_PER_SEC);
	now += 5 * NSEC_PER_SEC;
	assert_int_equal(token_bucket_ready_ns(&b, now), now);
	token_bucket_charge(&b, now, 5000);
	assert_int_equal(token_bucket_ready_ns(&b, now), now + 5 * NSEC_PER_SEC);
	/* Nothing costs nothing. */
	token_bucket_charge(&b, now, 0);
	assert_int_equal(token_bucket_ready_ns(&b, now), now + 5 * NSEC_PER_SEC);
}

static void test_no_limit(void **state)
{
	struct token_bucket b;

	(void)state;
	token_bucket_init(&b, &(struct token_limit){.peak = 5, .burst = 7});
	for (unsigned i = 0; i < 100; i++) {
		token_bucket_charge(&b, 0, UINT64_MAX);
		assert_int_equal(token_bucket_ready_ns(&b, 0), 0);
	}
}

static void test_extremes(void **state)
{
	static const uint64_t values[] = {
		1, 2, 1000000007, UINT64_MAX / 2, UINT64_MAX - 1, UINT64_MAX};
	const unsigned n = ARRAY_SIZE(values);

	(void)state;
	for (unsigned i = 0; i < n * n * n * n; i++) {
		const struct token_limit limit = {
			.rate = values[i % n],
			.burst = i % 2 ? 0 : values[i / n % n],
			.peak = values[i / n % n],
			.peak_length_ms = values[i / n / n % n],
		};
		uint64_t now = i % 3 ? 0 : values[i / n / n / n], last;
		struct token_bucket b;

		token_bucket_init(&b, &limit);
		for (unsigned k = 0; k < 8; k++) {
			token_bucket_charge(&b, now, values[i / n / n / n]);
			last = token_bucket_ready_ns(&b, now);
			assert_true(last >= now && last - now <= UINT64_MAX / 2);
		}
		/* Time heals everything. */
		if (last < UINT64_MAX)
			assert_int_equal(token_bucket_ready_ns(&b, last), last);
	}
	/* As fast as can be: 2^64 bytes a second. */
	{
		struct token_bucket b;

		token_bucket_init(&b, &(struct token_limit){.rate = UINT64_MAX, .burst = 1});
		token_bucket_charge(&b, START_NS, UINT64_MAX);
		assert_int_equal(token_bucket_ready_ns(&b, START_NS), START_NS + NSEC_PER_SEC);
		token_bucket_charge(&b, START_NS, UINT64_MAX);
		assert_int_equal(token_bucket_ready_ns(&b, START_NS), START_NS + 2 * NSEC_PER_SEC);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_average),
		cmocka_unit_test(test_no_drift),
		cmocka_unit_test(test_burst),
		cmocka_unit_test(test_peak),
		cmocka_unit_test(test_debt),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
