/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks held to a rate: see block-throttle.h. */
#include "devices/block/block-throttle.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/block/block-internal.h"
#include "vmm-core/base/token-bucket.h"

struct block_throttle {
	unsigned n_refs;
	struct loop_timer timer;
	struct list lanes; /* whose turn it is, first */
	uint64_t size_iops;
	struct token_bucket buckets[VM_IOTUNE_X_MAX];
};

static void on_timer(struct loop_timer *timer, uint64_t now_ns);

static uint64_t scaled(uint64_t rate, uint64_t unit)
{
	uint64_t product;

	return __builtin_mul_overflow(rate, unit, &product) ? UINT64_MAX : product;
}

int block_throttle_new(
	struct loop *loop, const struct vm_iotune *tune, struct block_throttle **ret_throttle)
{
	struct block_throttle *t;
	bool any = false;

	for (unsigned i = 0; i < VM_IOTUNE_X_MAX; i++)
		any |= tune->rate[i] != 0;
	if (!any)
		return -ENOENT;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->n_refs = 1;
	/* An operation is worth this many tokens, so that parts of one count. */
	t->size_iops = MAX(tune->size_iops, UINT64_C(1));
	for (unsigned i = 0; i < VM_IOTUNE_X_MAX; i++) {
		uint64_t unit = i >= VM_IOTUNE_TOTAL_IOPS ? t->size_iops : 1;
		const struct token_limit limit = {
			.rate = scaled(tune->rate[i], unit),
			.peak = scaled(tune->max[i], unit),
			.peak_length_ms = scaled(MAX(tune->max_length_s[i], UINT64_C(1)), 1000),
		};

		token_bucket_init(&t->buckets[i], &limit);
	}
	list_init(&t->lanes);
	loop_timer_init(&t->timer, loop, on_timer);
	*ret_throttle = t;
	return 0;
}

struct block_throttle *block_throttle_ref(struct block_throttle *t)
{
	t->n_refs++;
	return t;
}

struct block_throttle *block_throttle_unref(struct block_throttle *t)
{
	if (!t || --t->n_refs)
		return NULL;
	assert(list_empty(&t->lanes));
	loop_timer_stop(&t->timer);
	free(t);
	return NULL;
}

void block_throttle_attach(struct block_throttle *t, struct block *block)
{
	block->throttle = block_throttle_ref(t);
	for (unsigned i = 0; i < BLOCK_LANES; i++) {
		struct block_lane *lane = &block->lanes[i];

		lane->block = block;
		list_init(&lane->requests);
		list_add_tail(&t->lanes, &lane->link);
	}
}

void block_throttle_detach(struct block *block)
{
	if (!block->throttle)
		return;
	for (unsigned i = 0; i < BLOCK_LANES; i++)
		list_del(&block->lanes[i].link);
	block->throttle = block_throttle_unref(block->throttle);
}

void block_throttle_queue(struct block *block, struct block_request *req)
{
	struct block_lane *lane =
		&block->lanes[req->op == BLOCK_READ ? BLOCK_LANE_READ : BLOCK_LANE_WRITE];

	list_add_tail(&lane->requests, &req->link);
}

/* What a request costs, and which buckets it is paid from: the total and one part, of bytes and of operations. */
struct cost {
	uint64_t bytes, operations;
	unsigned part; /* 1: read, 2: write */
};

static struct cost cost_of(const struct block_throttle *t, const struct block_request *req)
{
	bool moves_data = req->op != BLOCK_FLUSH && req->op != BLOCK_DISCARD;
	uint64_t bytes = moves_data ? req->len : 0;

	return (struct cost){
		.bytes = bytes,
		/* Without size_iops each is one. */
		.operations = t->size_iops > 1 ? MAX(bytes, t->size_iops) : 1,
		.part = req->op == BLOCK_READ ? 1 : 2,
	};
}

static uint64_t ready_ns(const struct block_throttle *t, const struct cost *cost, uint64_t now_ns)
{
	const unsigned buckets[] = {VM_IOTUNE_TOTAL_IOPS, VM_IOTUNE_TOTAL_IOPS + cost->part,
		VM_IOTUNE_TOTAL_BYTES, VM_IOTUNE_TOTAL_BYTES + cost->part};
	uint64_t at = now_ns;

	/* What has no bytes does not wait for those of others. */
	for (unsigned i = 0; i < (cost->bytes ? 4U : 2U); i++)
		at = MAX(at, token_bucket_ready_ns(&t->buckets[buckets[i]], now_ns));
	return at;
}

static void charge(struct block_throttle *t, const struct cost *cost, uint64_t now_ns)
{
	for (unsigned i = 0; i <= cost->part; i += cost->part) {
		token_bucket_charge(&t->buckets[VM_IOTUNE_TOTAL_BYTES + i], now_ns, cost->bytes);
		token_bucket_charge(
			&t->buckets[VM_IOTUNE_TOTAL_IOPS + i], now_ns, cost->operations);
	}
}

/* Its requests may go by themselves when their time comes. */
static bool lane_is_open(const struct block_lane *lane)
{
	return !list_empty(&lane->requests) && !lane->block->held && !lane->block->stopped;
}

/* Let the lane's first request go if it may. Returns 'now_ns' then, or when to ask again. */
static uint64_t serve(struct block_throttle *t, struct block_lane *lane, uint64_t now_ns)
{
	struct list *first = lane->requests.next;
	struct cost cost = cost_of(t, list_entry(first, struct block_request, link));
	uint64_t at = ready_ns(t, &cost, now_ns);

	if (at > now_ns)
		return at;
	charge(t, &cost, now_ns);
	list_del(first);
	list_add_tail(&lane->block->pending, first);
	lane->block->let_go = true;
	/* Behind the others. */
	list_del(&lane->link);
	list_add_tail(&t->lanes, &lane->link);
	return now_ns;
}

static void run(struct block_throttle *t, uint64_t now_ns)
{
	struct list *pos = t->lanes.next;
	uint64_t next_ns = LOOP_NEVER;

	while (pos != &t->lanes) {
		struct block_lane *lane = list_entry(pos, struct block_lane, link);
		uint64_t at = lane_is_open(lane) ? serve(t, lane, now_ns) : LOOP_NEVER;

		if (at == now_ns) {
			/* The turns have changed, and what is left in the buckets as well. */
			pos = t->lanes.next;
			next_ns = LOOP_NEVER;
		} else {
			next_ns = MIN(next_ns, at);
			pos = lane->link.next;
		}
	}
	if (next_ns != t->timer.deadline_ns)
		(void)loop_timer_set(&t->timer, next_ns);
}

static struct block *next_let_go(struct block_throttle *t)
{
	struct list *pos;

	list_for_each (pos, &t->lanes) {
		struct block *block = list_entry(pos, struct block_lane, link)->block;

		if (block->let_go)
			return block;
	}
	return NULL;
}

void block_throttle_run(struct block *block)
{
	struct block_throttle *t = block->throttle;
	struct block *other;

	run(t, loop_now_ns(t->timer.loop));
	block->let_go = false;
	/* They may be in the middle of something: each in a turn of the loop of its own. */
	while ((other = next_let_go(t))) {
		other->let_go = false;
		block_wake(other);
	}
}

static void on_timer(struct loop_timer *timer, uint64_t now_ns)
{
	struct block_throttle *t = container_of(timer, struct block_throttle, timer);
	struct block *block;

	run(t, now_ns);
	while ((block = next_let_go(t))) {
		block->let_go = false;
		block_commit(block);
	}
}
