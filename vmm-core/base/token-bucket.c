/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A rate with bursts, on the caller's clock: see token-bucket.h. */
#include "vmm-core/base/token-bucket.h"

#include "vmm-core/base/macro.h"

/* 146 years: as good as for ever, and two of them still fit. */
#define FAR_NS (UINT64_MAX / 4)

static uint64_t capped_ns(unsigned __int128 ns)
{
	return ns > FAR_NS ? FAR_NS : (uint64_t)ns;
}

/* How long 'rate' takes for 'n' units. */
static uint64_t time_of(uint64_t n, uint64_t rate)
{
	return capped_ns((unsigned __int128)n * NSEC_PER_SEC / rate);
}

/* What the peak takes out of the bucket beyond what comes in, for as long as it may last. */
static uint64_t depth_of_peak(const struct token_limit *limit)
{
	uint64_t ns = capped_ns((unsigned __int128)limit->peak_length_ms * NSEC_PER_MSEC);

	if (limit->peak <= limit->rate)
		return 0;
	/* FAR_NS * UINT64_MAX fits 128 bits. */
	return capped_ns((unsigned __int128)(limit->peak - limit->rate) * ns / limit->rate);
}

void token_bucket_init(struct token_bucket *bucket, const struct token_limit *limit)
{
	*bucket = (struct token_bucket){.average.rate = limit->rate};
	if (!limit->rate)
		return;
	if (limit->burst)
		bucket->average.depth_ns = time_of(limit->burst, limit->rate);
	else
		bucket->average.depth_ns =
			MIN(depth_of_peak(limit) + TOKEN_BUCKET_SLACK_NS, FAR_NS);
	if (limit->peak >= limit->rate)
		bucket->peak =
			(struct token_flow){.rate = limit->peak, .depth_ns = TOKEN_BUCKET_SLACK_NS};
}

static uint64_t flow_ready_ns(const struct token_flow *f, uint64_t now_ns)
{
	uint64_t at = f->full_ns > f->depth_ns ? f->full_ns - f->depth_ns : 0;

	return MAX(at, now_ns);
}

uint64_t token_bucket_ready_ns(const struct token_bucket *bucket, uint64_t now_ns)
{
	uint64_t average = flow_ready_ns(&bucket->average, now_ns);
	uint64_t peak = flow_ready_ns(&bucket->peak, now_ns);

	return MAX(average, peak);
}

static void flow_charge(struct token_flow *f, uint64_t now_ns, uint64_t n)
{
	unsigned __int128 owed;
	uint64_t room;

	if (!f->rate)
		return;
	if (f->full_ns < now_ns) {
		f->full_ns = now_ns;
		f->rest = 0;
	}
	owed = (unsigned __int128)n * NSEC_PER_SEC + f->rest;
	f->rest = (uint64_t)(owed % f->rate);
	/* Debt piles up to FAR_NS beyond the bucket's depth, and not past the end of time. */
	room = MIN(2 * FAR_NS, UINT64_MAX - now_ns) - (f->full_ns - now_ns);
	f->full_ns += MIN(capped_ns(owed / f->rate), room);
}

void token_bucket_charge(struct token_bucket *bucket, uint64_t now_ns, uint64_t n)
{
	flow_charge(&bucket->average, now_ns, n);
	flow_charge(&bucket->peak, now_ns, n);
}
