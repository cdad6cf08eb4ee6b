/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What does the host's side of a disk: reads, writes, syncs and allocates ranges of one image.
 *
 * block.c makes of a guest's request one or more struct block_io, one after the other, and gives them to a
 * backend; the backend answers each by done(), with what the system call would have returned. A backend knows
 * neither cache modes nor error policies nor alignment: what it is told it does.
 *
 *	block-uring.c    io_uring with a registered file and restrictions
 *	block-threads.c  a pool of threads, where the host has no io_uring
 *	tests            a fake that fails on demand
 *
 * Threads: submit and commit are for the loop's thread with its lock held, free for any that has it; done() and sweep()
 * are called on the loop's thread, from commit() or from the loop.
 */
#pragma once

#include <sys/uio.h>

#include "vmm-core/base/list.h"
#include "vmm-core/base/loop.h"

#define BLOCK_DEPTH   256 /* operations a backend has in flight */
#define BLOCK_THREADS 4   /* of block-threads.c */

enum block_io_op {
	BLOCK_IO_READ,
	BLOCK_IO_WRITE,
	BLOCK_IO_SYNC,     /* fdatasync */
	BLOCK_IO_ALLOCATE, /* fallocate(mode) */
	BLOCK_IO_OP_X_MAX
};

/* One operation; embedded in the request it belongs to, valid until done(). */
struct block_io {
	struct list link; /* the backend's, while it has the operation */
	enum block_io_op op;
	bool dsync;              /* WRITE: durable before it is answered */
	int mode;                /* ALLOCATE: FALLOC_FL_… */
	const struct iovec *iov; /* READ, WRITE: n_iov >= 1, as many as fit IOV_MAX are used */
	unsigned n_iov;
	uint64_t offset, len; /* 'len': ALLOCATE only */
	int64_t result;       /* the backend's */
};

struct block_backend;

struct block_backend_ops {
	const char *name;
	/* Queue 'io'. Returns 0, or -EAGAIN when there is no room: try again after the next done(). Calls no done(). */
	int (*submit)(struct block_backend *backend, struct block_io *io);
	/* Start everything queued; may call done() for what has completed already, and then sweep(). */
	void (*commit)(struct block_backend *backend);
	/* Nothing is in flight any more when this returns: it waits for what is. Calls no done(). */
	void (*free)(struct block_backend *backend);
};

struct block_backend {
	const struct block_backend_ops *ops;
	/* Set by block.c before the first submit(). 'result': bytes, 0 or -errno. */
	void (*done)(void *opaque, struct block_io *io, int64_t result);
	/* After one or more done() in a row: the moment to tell the guest of all of them. */
	void (*sweep)(void *opaque);
	void *opaque;
};

/* 'fd' stays the caller's and must outlive the backend. -ENOSYS, -EPERM, -EACCES: the host has no io_uring for us. */
int block_uring_new(struct loop *loop, int fd, struct block_backend **ret_backend);

/* 'enter', if not NULL, is the first thing each thread calls (to close the sandbox around itself); when it
 * fails the thread answers every operation with -EIO. */
int block_threads_new(struct loop *loop, int fd, int (*enter)(void *opaque), void *opaque,
	struct block_backend **ret_backend);

static inline struct block_backend *block_backend_free(struct block_backend *backend)
{
	if (backend)
		backend->ops->free(backend);
	return NULL;
}
DEFINE_CLEANUP(struct block_backend *, block_backend_free);
