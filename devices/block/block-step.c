/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The steps of a disk request: which operation on the image comes next, and what its answer means. block.c moves
 * requests between its lists and decides about errors; here is what O_DIRECT, fallocate(2) and short transfers
 * need.
 *
 * Tested by tests/unit/test-block.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "devices/block/block-internal.h"

#define MAX_RETRIES 64

/* Forget the first 'n' bytes of the buffers. */
static void consume(struct block_request *req, uint64_t n)
{
	req->at += n;
	while (n) {
		size_t part = MIN((uint64_t)req->iov->iov_len, n);

		req->iov->iov_base = (uint8_t *)req->iov->iov_base + part;
		req->iov->iov_len -= part;
		n -= part;
		if (!req->iov->iov_len) {
			req->iov++;
			req->n_iov--;
		}
	}
}

/* Copy 'n' bytes between the front of the buffers and 'p'. */
static void copy(struct block_request *req, uint8_t *p, uint64_t n, bool to_guest)
{
	for (unsigned i = 0; n; i++) {
		size_t part = MIN((uint64_t)req->iov[i].iov_len, n);

		if (to_guest)
			memcpy(req->iov[i].iov_base, p, part);
		else
			memcpy(p, req->iov[i].iov_base, part);
		p += part;
		n -= part;
	}
}

static bool is_all_zero(const uint8_t *p, size_t len)
{
	/* Every byte equals the one before it, and the first is zero. */
	return !len || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static bool has_only_zeroes(const struct block_request *req)
{
	for (unsigned i = 0; i < req->n_iov; i++)
		if (!is_all_zero(req->iov[i].iov_base, req->iov[i].iov_len))
			return false;
	return true;
}

static bool is_aligned(const struct block *block, const struct block_request *req)
{
	uint64_t bits = req->offset + req->at;

	if (block->align == 1)
		return true;
	for (unsigned i = 0; i < req->n_iov; i++)
		if (req->iov[i].iov_len)
			bits |= (uint64_t)(uintptr_t)req->iov[i].iov_base | req->iov[i].iov_len;
	return IS_ALIGNED(bits, (uint64_t)block->align);
}

static enum block_effect zero_effect(const struct block *block, bool may_unmap)
{
	if (may_unmap && block->options.discard && !block->no_punch)
		return EFFECT_PUNCH_ZERO;
	return block->no_zero_range ? EFFECT_ZERO_WRITE : EFFECT_ZERO_RANGE;
}

/* Decide what is to be done. Returns false when that is nothing. */
static bool begin(struct block *block, struct block_request *req)
{
	switch (req->op) {
	case BLOCK_READ:
		req->effect = EFFECT_READ;
		break;
	case BLOCK_WRITE:
		req->effect = EFFECT_WRITE;
		if (block->options.detect_zeroes && has_only_zeroes(req))
			req->effect = zero_effect(block, block->options.detect_unmap);
		break;
	case BLOCK_FLUSH:
		req->effect = EFFECT_FLUSH;
		return !block->options.unsafe && !block->options.readonly;
	case BLOCK_DISCARD:
		req->effect = EFFECT_PUNCH;
		return block->options.discard && !block->no_punch && req->len > 0;
	case BLOCK_WRITE_ZEROES:
		req->effect = zero_effect(block, req->may_unmap);
		break;
	case BLOCK_OP_X_MAX:
		assert(false);
	}
	return req->len > 0;
}

/* A free buffer: 0, -EAGAIN when all are in use, -ENOMEM. */
static int bounce_get(struct block *block, uint8_t **ret_bounce)
{
	unsigned i = 0;

	while (i < BLOCK_MAX_BOUNCE && block->bounce_busy[i])
		i++;
	if (i == BLOCK_MAX_BOUNCE)
		return -EAGAIN;
	if (!block->bounce[i])
		block->bounce[i] = aligned_alloc(BLOCK_MAX_ALIGN, BLOCK_BOUNCE_SIZE);
	if (!block->bounce[i])
		return -ENOMEM;
	block->bounce_busy[i] = true;
	*ret_bounce = block->bounce[i];
	return 0;
}

void block_step_release(struct block *block, struct block_request *req)
{
	for (unsigned i = 0; i < BLOCK_MAX_BOUNCE; i++)
		if (req->bounce && block->bounce[i] == req->bounce)
			block->bounce_busy[i] = false;
	req->bounce = NULL;
	if (block->exclusive == req)
		block->exclusive = NULL;
}

/* Where the next window through the bounce buffer lies. */
static void place_window(struct block *block, struct block_request *req)
{
	uint64_t align = block->align, end = req->offset + req->len;

	req->window_start = ALIGN_DOWN(req->offset + req->at, align);
	end = MIN(ALIGN_UP(end, align), req->window_start + BLOCK_BOUNCE_SIZE);
	req->window_len = (uint32_t)(end - req->window_start);
	req->window_at = 0;
}

/* The guest's bytes in the window: *ret_skip bytes into it, that many. */
static uint32_t window_payload(const struct block_request *req, uint32_t *ret_skip)
{
	uint64_t start = req->offset + req->at;
	uint64_t end = MIN(req->offset + req->len, req->window_start + req->window_len);

	*ret_skip = (uint32_t)(start - req->window_start);
	return (uint32_t)(end - start);
}

static void fill_window(struct block_request *req)
{
	uint32_t skip, n = window_payload(req, &skip);

	if (req->effect == EFFECT_ZERO_WRITE)
		memset(req->bounce + skip, 0, n);
	else
		copy(req, req->bounce + skip, n, /* to_guest= */ false);
}

/* Choose the stage for the data that is left. Returns 0, -EAGAIN or -ENOMEM. */
static int choose_data_stage(struct block *block, struct block_request *req)
{
	enum block_stage stage = STAGE_BOUNCE_WRITE;
	uint32_t skip;
	int r;

	if (req->effect != EFFECT_ZERO_WRITE && is_aligned(block, req)) {
		req->stage = STAGE_DATA;
		return 0;
	}
	place_window(block, req);
	if (req->effect == EFFECT_READ)
		stage = STAGE_BOUNCE_READ;
	else if (window_payload(req, &skip) != req->window_len)
		stage = STAGE_PATCH_READ;
	/* Others may be writing to the same blocks, in any order: alone, then. */
	if (stage == STAGE_PATCH_READ && block->n_in_flight)
		return -EAGAIN;

	r = bounce_get(block, &req->bounce);
	if (r < 0)
		return r;
	if (stage == STAGE_PATCH_READ)
		block->exclusive = req;
	if (stage == STAGE_BOUNCE_WRITE)
		fill_window(req);
	req->stage = stage;
	return 0;
}

static int choose_stage(struct block *block, struct block_request *req)
{
	switch ((enum block_effect)req->effect) {
	case EFFECT_READ:
	case EFFECT_WRITE:
	case EFFECT_ZERO_WRITE:
		return choose_data_stage(block, req);
	case EFFECT_FLUSH:
		req->stage = STAGE_SYNC;
		return 0;
	case EFFECT_PUNCH:
	case EFFECT_PUNCH_ZERO:
	case EFFECT_ZERO_RANGE:
		req->stage = STAGE_ALLOCATE;
		return 0;
	}
	return -EINVAL;
}

static bool writes_through(const struct block *block)
{
	return !block->options.write_cache && !block->options.unsafe;
}

static void fill_io(struct block *block, struct block_request *req)
{
	struct block_io *io = &req->io;

	*io = (struct block_io){.offset = req->offset + req->at, .dsync = false};
	switch ((enum block_stage)req->stage) {
	case STAGE_DATA:
		io->op = req->effect == EFFECT_READ ? BLOCK_IO_READ : BLOCK_IO_WRITE;
		io->iov = req->iov;
		io->n_iov = req->n_iov;
		break;
	case STAGE_BOUNCE_READ:
	case STAGE_PATCH_READ:
	case STAGE_BOUNCE_WRITE:
		io->op = req->stage == STAGE_BOUNCE_WRITE ? BLOCK_IO_WRITE : BLOCK_IO_READ;
		req->window_iov = (struct iovec){
			.iov_base = req->bounce + req->window_at,
			.iov_len = req->window_len - req->window_at,
		};
		io->iov = &req->window_iov;
		io->n_iov = 1;
		io->offset = req->window_start + req->window_at;
		break;
	case STAGE_ALLOCATE:
		io->op = BLOCK_IO_ALLOCATE;
		io->offset = req->offset;
		io->len = req->len;
		io->mode = FALLOC_FL_KEEP_SIZE |
			(req->effect == EFFECT_ZERO_RANGE ? FALLOC_FL_ZERO_RANGE
							  : FALLOC_FL_PUNCH_HOLE);
		break;
	case STAGE_SYNC:
		io->op = BLOCK_IO_SYNC;
		break;
	case STAGE_NEW:
	case STAGE_FINISHED:
		assert(false);
	}
	io->dsync = io->op == BLOCK_IO_WRITE && writes_through(block);
}

int block_step_start(struct block *block, struct block_request *req)
{
	int r;

	if (!req->started) {
		req->started = true;
		if (!begin(block, req))
			return 1;
	}
	if (req->stage == STAGE_NEW) {
		r = choose_stage(block, req);
		if (r < 0)
			return r;
	}
	if (req->stage == STAGE_SYNC && block->sync_error)
		return block->sync_error;
	fill_io(block, req);

	r = block->backend->ops->submit(block->backend, &req->io);
	if (r < 0 && req->stage != STAGE_SYNC) {
		/* What the window holds is not worth keeping a buffer for. */
		block_step_release(block, req);
		req->stage = STAGE_NEW;
	}
	return r;
}

/* A transfer into or out of the window was answered with 'n' > 0 bytes. */
static int window_done(struct block *block, struct block_request *req, uint32_t n)
{
	uint32_t skip, payload;

	req->window_at += MIN(n, req->window_len - req->window_at);
	if (req->window_at < req->window_len)
		return 1;
	if (req->stage == STAGE_PATCH_READ) {
		fill_window(req);
		req->stage = STAGE_BOUNCE_WRITE;
		req->window_at = 0;
		return 1;
	}
	payload = window_payload(req, &skip);
	if (req->stage == STAGE_BOUNCE_READ)
		copy(req, req->bounce + skip, payload, /* to_guest= */ true);
	block_step_release(block, req);
	if (req->effect == EFFECT_ZERO_WRITE)
		req->at += payload;
	else
		consume(req, payload);
	req->stage = STAGE_NEW;
	return req->at < req->len;
}

/* fallocate() failed: what else could do. Returns 1 (another step), 0 (that was all), or 'error'. */
static int allocate_failed(struct block *block, struct block_request *req, int error)
{
	bool unsupported = error == -EOPNOTSUPP || error == -ENOSYS || error == -ENODEV;

	/* EINVAL: this range is not aligned as a block device wants it. */
	if (!unsupported && error != -EINVAL)
		return error;
	if (req->effect == EFFECT_ZERO_RANGE)
		block->no_zero_range |= unsupported;
	else
		block->no_punch |= unsupported;
	req->stage = STAGE_NEW;
	switch ((enum block_effect)req->effect) {
	case EFFECT_PUNCH:
		return 0;
	case EFFECT_PUNCH_ZERO:
		req->effect = block->no_zero_range ? EFFECT_ZERO_WRITE : EFFECT_ZERO_RANGE;
		return 1;
	case EFFECT_ZERO_RANGE:
		req->effect = EFFECT_ZERO_WRITE;
		return 1;
	case EFFECT_READ:
	case EFFECT_WRITE:
	case EFFECT_FLUSH:
	case EFFECT_ZERO_WRITE:
		break;
	}
	return error;
}

static int step_failed(struct block *block, struct block_request *req, int error)
{
	if ((error == -EINTR || error == -EAGAIN) && req->retries < MAX_RETRIES) {
		req->retries++;
		return 1;
	}
	if (req->stage == STAGE_ALLOCATE)
		return allocate_failed(block, req, error);
	if (req->stage == STAGE_SYNC && !block->sync_error)
		block->sync_error = error;
	return error;
}

int block_step_done(struct block *block, struct block_request *req, int64_t result)
{
	if (result < 0)
		return step_failed(block, req, (int)result);
	switch ((enum block_stage)req->stage) {
	case STAGE_DATA:
		/* The image ends before the disk does: somebody cut it short. */
		if (result == 0)
			return -EIO;
		consume(req, MIN((uint64_t)result, req->len - req->at));
		req->stage = STAGE_NEW;
		return req->at < req->len;
	case STAGE_BOUNCE_READ:
	case STAGE_PATCH_READ:
	case STAGE_BOUNCE_WRITE:
		if (result == 0)
			return -EIO;
		return window_done(block, req, (uint32_t)MIN(result, (int64_t)req->window_len));
	case STAGE_ALLOCATE:
		if (!writes_through(block))
			return 0;
		req->stage = STAGE_SYNC;
		return 1;
	case STAGE_SYNC:
		return 0;
	case STAGE_NEW:
	case STAGE_FINISHED:
		break;
	}
	return -EIO;
}
