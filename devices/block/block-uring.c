/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk's backend on io_uring (vmm-core/base/uring.h): the usual one. See backend.h.
 *
 * Tested by tests/unit/test-block-raw.c.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "devices/block/backend.h"
#include "vmm-core/base/uring.h"

#define REAP_BATCH 64
/* Rounds of "submit, then see what has completed meanwhile" before the loop gets its turn again. */
#define MAX_ROUNDS 4
/* The kernel was short of memory: when to try again. */
#define RETRY_NS (10 * NSEC_PER_MSEC)
/* What one read or write may carry; the kernel stops at 2 GiB less a page. */
#define MAX_BYTES (UINT32_C(1) << 30)

struct block_uring {
	struct block_backend backend;
	struct loop *loop;
	struct uring *ring;
	struct loop_source *source;
	struct loop_timer retry;
};

static void fill_rw(struct io_uring_sqe *sqe, const struct block_io *io)
{
	bool write = io->op == BLOCK_IO_WRITE;

	if (io->n_iov == 1) {
		sqe->opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
		sqe->addr = (uint64_t)(uintptr_t)io->iov[0].iov_base;
		sqe->len = (uint32_t)MIN(io->iov[0].iov_len, (size_t)MAX_BYTES);
	} else {
		sqe->opcode = write ? IORING_OP_WRITEV : IORING_OP_READV;
		sqe->addr = (uint64_t)(uintptr_t)io->iov;
		sqe->len = MIN(io->n_iov, (unsigned)IOV_MAX);
	}
	sqe->off = io->offset;
	if (io->dsync)
		sqe->rw_flags = RWF_DSYNC;
}

static int submit(struct block_backend *backend, struct block_io *io)
{
	struct block_uring *u = container_of(backend, struct block_uring, backend);
	struct io_uring_sqe *sqe = uring_sqe(u->ring);

	if (!sqe)
		return -EAGAIN;
	sqe->user_data = (uint64_t)(uintptr_t)io;
	switch (io->op) {
	case BLOCK_IO_READ:
	case BLOCK_IO_WRITE:
		fill_rw(sqe, io);
		break;
	case BLOCK_IO_SYNC:
		sqe->opcode = IORING_OP_FSYNC;
		sqe->fsync_flags = IORING_FSYNC_DATASYNC;
		break;
	case BLOCK_IO_ALLOCATE:
		sqe->opcode = IORING_OP_FALLOCATE;
		sqe->off = io->offset;
		sqe->addr = io->len;
		sqe->len = (uint32_t)io->mode;
		break;
	case BLOCK_IO_OP_X_MAX:
		assert(false);
	}
	return 0;
}

/* Answer what has completed; the answers may queue more. Returns whether there was anything. */
static bool reap(struct block_uring *u)
{
	struct uring_completion done[REAP_BATCH];
	unsigned n = uring_reap(u->ring, done, REAP_BATCH);

	for (unsigned i = 0; i < n; i++) {
		struct block_io *io = (void *)(uintptr_t)done[i].user_data;

		u->backend.done(u->backend.opaque, io, done[i].result);
	}
	return n > 0;
}

static void run(struct block_uring *u)
{
	bool any = false, more = true;

	for (unsigned round = 0; round < MAX_ROUNDS && more; round++) {
		(void)uring_submit(u->ring);
		more = reap(u);
		any |= more;
	}
	if (uring_n_queued(u->ring) && uring_submit(u->ring) < 0)
		(void)loop_timer_set(&u->retry, loop_now_ns(u->loop) + RETRY_NS);
	/* What has completed since makes the ring readable: the loop comes back. */
	if (any)
		u->backend.sweep(u->backend.opaque);
}

static void commit(struct block_backend *backend)
{
	run(container_of(backend, struct block_uring, backend));
}

static void on_ready(void *opaque, _unused_ uint32_t events)
{
	run(opaque);
}

static void on_retry(struct loop_timer *timer, _unused_ uint64_t now_ns)
{
	run(container_of(timer, struct block_uring, retry));
}

static void uring_backend_free(struct block_backend *backend)
{
	struct block_uring *u = container_of(backend, struct block_uring, backend);
	struct uring_completion done[REAP_BATCH];

	if (u->ring) {
		/* The kernel still writes to the buffers of what is in flight: they must outlive it. */
		(void)uring_submit(u->ring);
		while (uring_n_in_flight(u->ring) > uring_n_queued(u->ring))
			if (!uring_reap(u->ring, done, REAP_BATCH) && uring_wait(u->ring) < 0)
				break;
	}
	(void)loop_source_remove(u->source);
	loop_timer_stop(&u->retry);
	(void)uring_free(u->ring);
	free(u);
}

static const struct block_backend_ops uring_ops = {
	.name = "io_uring",
	.submit = submit,
	.commit = commit,
	.free = uring_backend_free,
};

int block_uring_new(struct loop *loop, int fd, struct block_backend **ret_backend)
{
	_cleanup_(block_backend_freep) struct block_backend *backend = NULL;
	struct block_uring *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->loop = loop;
	loop_timer_init(&u->retry, loop, on_retry);
	u->backend.ops = &uring_ops;
	backend = &u->backend;

	r = uring_new(BLOCK_DEPTH, &fd, 1, &u->ring);
	if (r < 0)
		return r;

	r = loop_add_fd(loop, uring_fd(u->ring), EPOLLIN, on_ready, u, &u->source);
	if (r < 0)
		return r;

	*ret_backend = TAKE_PTR(backend);
	return 0;
}
