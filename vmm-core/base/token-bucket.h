/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A token bucket: how much of something (bytes, operations, frames) may pass in a second, and how much at once.
 *
 *	at = token_bucket_ready_ns(&b, now_ns);
 *	if (at <= now_ns) {
 *		token_bucket_charge(&b, now_ns, n);     it passes, and is paid for
 *	} else {
 *		ask again at 'at'                       nothing was charged: asking is free
 *	}
 *
 * Something that is larger than the bucket passes on debt: whoever has no debt may go, whatever it costs, and what
 * comes after waits until that is paid. So nothing waits for a fill that cannot be, and the average holds. What
 * must pass several buckets asks all of them, goes at the latest answer, and is charged to all.
 *
 * The bucket is kept as the moment at which it will be full again (with the remainder of the division, so that
 * nothing is lost over time): it fills by itself, needs no timer, and an idle one costs nothing.
 *
 * Time is the caller's: any clock in nanoseconds that does not go back. Plain data, owned by whoever embeds it; no locks.
 */
#pragma once

#include <stdint.h>

/* What a rate without a burst of its own lets pass at once: this much time's worth of it. */
#define TOKEN_BUCKET_SLACK_NS UINT64_C(100000000)

struct token_limit {
	uint64_t rate; /* units per second over time; 0: no limit */
	uint64_t
		burst; /* units at once after a pause; 0: TOKEN_BUCKET_SLACK_NS' worth, and 'peak_length_ms' */
	uint64_t
		peak; /* units per second within a burst, at least 'rate'; 0: a burst goes as fast as it can */
	/* Instead of 'burst': how long 'peak' can be had after a pause. */
	uint64_t peak_length_ms;
};

/* One rate. */
struct token_flow {
	uint64_t rate;
	uint64_t depth_ns; /* the bucket's depth: how long 'rate' takes to fill it */
	uint64_t full_ns;  /* when it is full again … */
	uint64_t rest;     /* … and rest / rate ns later; less than 'rate' */
};

struct token_bucket {
	struct token_flow average, peak;
};

/* A full bucket. */
void token_bucket_init(struct token_bucket *bucket, const struct token_limit *limit);

/* When the next thing may pass: 'now_ns' for at once, else a later time, never more than 150 years away. */
uint64_t token_bucket_ready_ns(const struct token_bucket *bucket, uint64_t now_ns);

/* 'n' units pass now, ready or not. */
void token_bucket_charge(struct token_bucket *bucket, uint64_t now_ns, uint64_t n);
