/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of a disk request, error policies and statistics: see block.h. The steps are in block-step.c, opening an
 * image in block-raw.c. */
#include "devices/block/block.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "devices/block/block-internal.h"
#include "vmm-core/base/log.h"

/* How often the owner's sweep may find that its own new requests are done already, before the loop gets its turn. */
#define MAX_SWEEPS 4

static const char *const op_names[BLOCK_OP_X_MAX] = {
	[BLOCK_READ] = "read",
	[BLOCK_WRITE] = "write",
	[BLOCK_FLUSH] = "flush",
	[BLOCK_DISCARD] = "discard",
	[BLOCK_WRITE_ZEROES] = "write zeroes",
};

static void list_add_head(struct list *head, struct list *node)
{
	list_add_tail(head->next, node);
}

static void account(struct block *block, const struct block_request *req)
{
	struct vm_stats_disk *s = block->stats;
	uint64_t ns = loop_now_ns(block->loop) - req->start_ns;

	switch (req->op) {
	case BLOCK_READ:
		stat_add(&s->rd_reqs, 1);
		stat_add(&s->rd_bytes, req->len);
		stat_add(&s->rd_ns, ns);
		break;
	case BLOCK_WRITE:
	case BLOCK_WRITE_ZEROES:
		stat_add(&s->wr_reqs, 1);
		stat_add(&s->wr_bytes, req->len);
		stat_add(&s->wr_ns, ns);
		break;
	case BLOCK_FLUSH:
		stat_add(&s->fl_reqs, 1);
		stat_add(&s->fl_ns, ns);
		break;
	case BLOCK_DISCARD:
	case BLOCK_OP_X_MAX:
		break;
	}
}

/* The request is its owner's again. */
static void answer(struct block *block, struct block_request *req, int error)
{
	block_step_release(block, req);
	req->stage = STAGE_FINISHED;
	if (!error)
		account(block, req);
	block->n_done++;
	req->done(req, error);
}

static bool policy_stops(const struct block *block, const struct block_request *req, int error)
{
	unsigned policy =
		req->op == BLOCK_READ ? block->options.read_policy : block->options.write_policy;
	bool no_space = error == -ENOSPC || error == -EDQUOT;

	return policy == VM_DISK_ERROR_STOP || (policy == VM_DISK_ERROR_ENOSPACE && no_space);
}

static bool policy_ignores(const struct block *block, const struct block_request *req)
{
	unsigned policy =
		req->op == BLOCK_READ ? block->options.read_policy : block->options.write_policy;

	return policy == VM_DISK_ERROR_IGNORE;
}

static void fail(struct block *block, struct block_request *req, int error)
{
	/* A flush that failed cannot be repeated: what it should have written is gone. Stopping once shows the
	 * operator; after that the guest has to know. */
	bool final = req->stage == STAGE_SYNC && block->sync_told;

	stat_add(&block->stats->errors, 1);
	block->sync_told |= req->stage == STAGE_SYNC;
	block_step_release(block, req);
	req->stage = STAGE_NEW;
	req->retries = 0;
	log_guest("disk %s: %s of %" PRIu64 " bytes at %" PRIu64 " failed: %s",
		block->options.name ?: "?", op_names[req->op], req->len, req->offset,
		strerrordesc_np(-error) ?: "unknown error");
	if (policy_stops(block, req, error) && !final) {
		bool first = !block->stopped;

		list_add_tail(&block->kept, &req->link);
		block->stopped = true;
		/* Not answered, but the owner may wait for the block to be quiet. */
		block->n_done++;
		if (first && block->options.stopped)
			block->options.stopped(block->options.opaque, error);
		return;
	}
	if (policy_ignores(block, req)) {
		answer(block, req, 0);
		return;
	}
	if (block->options.reported)
		block->options.reported(block->options.opaque, error);
	answer(block, req, error);
}

/* Start the next step of a request that is in no list. */
static void start(struct block *block, struct block_request *req)
{
	int r = block_step_start(block, req);

	if (r == 0)
		block->n_in_flight++;
	else if (r == -EAGAIN)
		list_add_head(&block->pending, &req->link);
	else if (r == 1)
		answer(block, req, 0);
	else
		fail(block, req, r);
}

/* Start what waits, in order, until one has to go on waiting. */
static void pump(struct block *block)
{
	if (block->pumping)
		return;
	block->pumping = true;
	while (!list_empty(&block->pending) && !block->exclusive && !block->stopped) {
		struct list *first = block->pending.next;

		list_del(first);
		start(block, list_entry(first, struct block_request, link));
		if (block->pending.next == first)
			break;
	}
	block->pumping = false;
}

static void on_done(void *opaque, struct block_io *io, int64_t result)
{
	struct block *block = opaque;
	struct block_request *req = container_of(io, struct block_request, io);
	int r;

	block->n_in_flight--;
	r = block_step_done(block, req, result);
	if (r == 1)
		start(block, req);
	else if (r == 0)
		answer(block, req, 0);
	else
		fail(block, req, r);
	pump(block);
}

void block_wake(struct block *block)
{
	uint64_t one = 1;

	(void)!write(block->wake_fd, &one, sizeof(one));
}

/* Tell the owner of all that was answered. Its sweep may submit more, which may be done at once. */
static void sweep(void *opaque)
{
	struct block *block = opaque;

	if (block->in_sweep)
		return;
	block->in_sweep = true;
	for (unsigned i = 0; block->n_done && i < MAX_SWEEPS; i++) {
		block->n_done = 0;
		if (block->options.sweep)
			block->options.sweep(block->options.opaque);
	}
	block->in_sweep = false;
	if (block->n_done)
		block_wake(block);
}

void block_commit(struct block *block)
{
	if (!loop_is_mine(block->loop)) {
		block_wake(block);
		return;
	}
	if (block->throttle)
		block_throttle_run(block);
	pump(block);
	block->backend->ops->commit(block->backend);
	sweep(block);
}

static void on_wake(void *opaque, _unused_ uint32_t events)
{
	struct block *block = opaque;
	uint64_t count;

	(void)!read(block->wake_fd, &count, sizeof(count));
	block_commit(block);
}

static bool is_valid(const struct block *block, const struct block_request *req)
{
	uint64_t left = req->len;

	if (req->op >= BLOCK_OP_X_MAX ||
		!IS_ALIGNED(req->offset | req->len, (uint64_t)BLOCK_SECTOR))
		return false;
	if (block->options.readonly && req->op != BLOCK_READ && req->op != BLOCK_FLUSH)
		return false;
	if (!range_fits(req->offset, req->len, block->capacity))
		return false;
	if (req->op != BLOCK_READ && req->op != BLOCK_WRITE)
		return true;
	for (unsigned i = 0; i < req->n_iov; i++) {
		if (req->iov[i].iov_len > left)
			return false;
		left -= req->iov[i].iov_len;
	}
	return left == 0;
}

int block_submit(struct block *block, struct block_request *req)
{
	if (!is_valid(block, req))
		return -EINVAL;
	req->block = block;
	req->bounce = NULL;
	req->at = 0;
	req->retries = 0;
	req->stage = STAGE_NEW;
	req->started = false;
	req->start_ns = loop_now_ns(block->loop);
	if (block->throttle && req != &block->cache_flush)
		block_throttle_queue(block, req);
	else
		list_add_tail(&block->pending, &req->link);
	return 0;
}

static bool lanes_are_empty(const struct block *block)
{
	return !block->throttle ||
		(list_empty(&block->lanes[BLOCK_LANE_READ].requests) &&
			list_empty(&block->lanes[BLOCK_LANE_WRITE].requests));
}

bool block_is_quiet(const struct block *block)
{
	if (block->n_in_flight)
		return false;
	return block->stopped ||
		(list_empty(&block->pending) && (block->held || lanes_are_empty(block)));
}

bool block_is_stopped(const struct block *block)
{
	return block->stopped;
}

void block_hold(struct block *block)
{
	block->held = true;
}

void block_resume(struct block *block)
{
	if (!block->stopped && !block->held)
		return;
	block->stopped = block->held = false;
	while (!list_empty(&block->kept)) {
		struct list *last = block->kept.prev;

		list_del(last);
		list_add_head(&block->pending, last);
	}
	block_commit(block);
}

static void cancel_list(struct block *block, struct list *list)
{
	while (!list_empty(list)) {
		struct list *first = list->next;

		list_del(first);
		answer(block, list_entry(first, struct block_request, link), -ECANCELED);
	}
}

void block_cancel(struct block *block)
{
	block->stopped = block->held = false;
	cancel_list(block, &block->kept);
	cancel_list(block, &block->pending);
	for (unsigned i = 0; block->throttle && i < BLOCK_LANES; i++)
		cancel_list(block, &block->lanes[i].requests);
}

static void cache_flush_done(struct block_request *req, _unused_ int error)
{
	/* An error sticks to the block by itself. */
	req->block->cache_flush_busy = false;
}

void block_set_write_cache(struct block *block, bool on)
{
	bool was_on = block->options.write_cache;

	block->options.write_cache = on;
	if (on || !was_on || block->cache_flush_busy)
		return;
	block->cache_flush = (struct block_request){.op = BLOCK_FLUSH, .done = cache_flush_done};
	block->cache_flush_busy = block_submit(block, &block->cache_flush) == 0;
	block_commit(block);
}

bool block_write_cache(const struct block *block)
{
	return block->options.write_cache;
}

uint64_t block_capacity(const struct block *block)
{
	return block->capacity;
}

uint32_t block_align(const struct block *block)
{
	return block->align;
}

const char *block_backend_name(const struct block *block)
{
	return block->backend->ops->name;
}

int block_new(struct loop *loop, struct block_backend *backend, uint64_t capacity, uint32_t align,
	const struct block_options *options, struct block **ret_block)
{
	_cleanup_(block_freep) struct block *block = NULL;
	int r;

	assert(align && align <= BLOCK_MAX_ALIGN && !(align & (align - 1)));
	assert(IS_ALIGNED(capacity, (uint64_t)align));

	block = calloc(1, sizeof(*block));
	if (!block)
		return -ENOMEM;
	block->loop = loop;
	block->options = *options;
	block->stats = options->stats ?: &block->own_stats;
	block->capacity = ALIGN_DOWN(capacity, (uint64_t)BLOCK_SECTOR);
	block->align = align;
	block->fd = -EBADF;
	list_init(&block->pending);
	list_init(&block->kept);
	block->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (block->wake_fd < 0)
		return -errno;

	r = loop_add_fd(loop, block->wake_fd, EPOLLIN, on_wake, block, &block->wake_source);
	if (r < 0)
		return r;

	atomic_store_explicit(&block->stats->capacity, block->capacity, memory_order_relaxed);
	block->backend = backend;
	backend->done = on_done;
	backend->sweep = sweep;
	backend->opaque = block;
	if (options->throttle)
		block_throttle_attach(options->throttle, block);
	*ret_block = TAKE_PTR(block);
	return 0;
}

struct block *block_free(struct block *block)
{
	if (!block)
		return NULL;
	block_throttle_detach(block);
	(void)block_backend_free(block->backend);
	(void)loop_source_remove(block->wake_source);
	(void)safe_close(block->wake_fd);
	(void)safe_close(block->fd);
	for (unsigned i = 0; i < BLOCK_MAX_BOUNCE; i++)
		free(block->bounce[i]);
	free(block);
	return NULL;
}
