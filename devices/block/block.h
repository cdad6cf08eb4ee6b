/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * struct block: a disk's image as a device model sees it: requests of whole 512-byte sectors in, one completion
 * each out. Between the model (virtio-blk.c) and the host's system calls (backend.h) this layer decides
 *
 *  - cache modes: with the write cache off, a write is durable before it is answered; `unsafe` answers flushes at
 *    once. O_DIRECT is a property of the fd, set by who opened it. Buffers or ranges that O_DIRECT does not take
 *    go through a few bounce buffers; a write that covers blocks in part waits until nothing else is in flight,
 *    reads the blocks, and writes them back;
 *  - discard and write-zeroes by fallocate(2), with what the host turned out not to support remembered, and zeroes
 *    written out as the last resort; detection of zeroes in writes;
 *  - errors: a failed fdatasync(2) fails the disk's flushes for good (the kernel has dropped the dirty pages: a
 *    second fdatasync would lie). With the policy `stop` a failed request is kept, the owner is told once, and
 *    block_resume() does it again; `report` gives the error to the guest; `ignore` calls it a success; `enospace`
 *    stops when space ran out and reports all else.
 *
 *  - rates: with a throttle (block-throttle.h) requests wait in front of all this until they may go.
 *
 * Ownership: a request belongs to the block from block_submit() until its done(), its buffers as well.
 *
 * Threads: all functions want the lock of the loop. done() and sweep() are called from block_commit() and from the loop,
 * never from block_submit(). The I/O itself is only started on the loop's thread: from any other one block_commit() and
 * block_resume() send a wake-up there.
 */
#pragma once

#include <sys/uio.h>

#include "config/vm-config.h"
#include "devices/block/backend.h"
#include "vmm-core/stats.h"

#define BLOCK_SECTOR      512
#define BLOCK_BOUNCE_SIZE (256 * 1024)
#define BLOCK_MAX_BOUNCE  4
#define BLOCK_MAX_ALIGN   4096

struct block;
struct block_throttle;

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_DISCARD,
	BLOCK_WRITE_ZEROES,
	BLOCK_OP_X_MAX
};

struct block_request {
	/* By the owner, before block_submit(). */
	enum block_op op;
	bool may_unmap;       /* WRITE_ZEROES: the range may be deallocated */
	unsigned n_iov;       /* READ, WRITE: > 0; at most what fits 'len' */
	struct iovec *iov;    /* READ, WRITE: 'len' bytes in all; the block changes the entries */
	uint64_t offset, len; /* bytes, multiples of BLOCK_SECTOR, within the capacity; FLUSH: 0 */
	/* Answered: 0 or -errno. The request is the owner's again, and may be submitted again. */
	void (*done)(struct block_request *req, int error);

	/* The block's own. */
	struct list link;
	struct block *block;
	struct block_io io;
	struct iovec window_iov;
	uint64_t start_ns;
	uint64_t at;           /* bytes done */
	uint64_t window_start; /* of the range that goes through the bounce buffer */
	uint32_t window_len, window_at;
	uint8_t *bounce;
	uint8_t stage, effect, retries;
	bool started;
};

struct block_options {
	bool readonly;
	bool write_cache;                /* a write may be answered before it is durable */
	bool unsafe;                     /* flushes are answered and not done */
	bool discard;                    /* DISCARD, and WRITE_ZEROES that may unmap, deallocate */
	bool detect_zeroes;              /* writes of zeroes become WRITE_ZEROES … */
	bool detect_unmap;               /* … that may unmap */
	bool threads;                    /* no io_uring, please */
	uint8_t read_policy;             /* enum vm_disk_error_policy, not DEFAULT */
	uint8_t write_policy;            /* likewise; everything but reads */
	const char *name;                /* for messages; must stay valid */
	struct vm_stats_disk *stats;     /* may be NULL */
	struct block_throttle *throttle; /* the block takes a reference of its own; may be NULL */
	/* For the backend's own threads; see block_threads_new(). May be NULL. */
	int (*enter_thread)(void *opaque);
	void *enter_thread_opaque;
	/* After one or more done() in a row. May be NULL. */
	void (*sweep)(void *opaque);
	/* A request is kept because of 'error': the vm should stop. Called once until block_resume(). */
	void (*stopped)(void *opaque, int error);
	/* 'error' is about to be given to the owner by done(): the host has failed. Called for each. May be NULL. */
	void (*reported)(void *opaque, int error);
	void *opaque;
};

/* What <driver cache= discard= detect_zeroes= error_policy= rerror_policy=> mean. Leaves name, stats, throttle,
 * the callbacks and enter_thread empty. */
void block_options_from_config(const struct vm_disk *disk, struct block_options *ret_options);

/* Stand on the open image 'fd' (a regular file or a block device; taken over on success). Finds capacity and
 * alignment and makes the backend: io_uring, or threads where there is none. A size that is no multiple of 512 is
 * rounded down. Returns 0, -EMEDIUMTYPE (neither file nor block device), -EBADF (not open for writing and not
 * 'readonly'), or -errno. */
int block_open(
	struct loop *loop, int fd, const struct block_options *options, struct block **ret_block);

/* Stand on 'backend' (taken over on success) with 'capacity' bytes, and ranges and buffers aligned to 'align' (a power
 * of two; 1: no matter). */
int block_new(struct loop *loop, struct block_backend *backend, uint64_t capacity, uint32_t align,
	const struct block_options *options, struct block **ret_block);

/* Waits for what is in flight; its done() is not called. */
struct block *block_free(struct block *block);
DEFINE_CLEANUP(struct block *, block_free);

/* Queue a request. Returns 0, or -EINVAL when it does not fit the disk (range, direction, read-only): then it is not
 * taken. */
int block_submit(struct block *block, struct block_request *req);

/* Start what was queued: once after a batch of block_submit(). */
void block_commit(struct block *block);

/* No request is with the kernel or waiting to get there. (Kept requests do not count, nor do those that the throttle
 * holds after block_hold(): they wait for block_resume().) */
bool block_is_quiet(const struct block *block);

/* A request is kept by the policy `stop`. */
bool block_is_stopped(const struct block *block);

/* Let no more requests through the throttle: what waits there goes on waiting until block_resume(). So a pause does not
 * last as long as a slow limit takes. Without a throttle nothing changes. */
void block_hold(struct block *block);

/* Do the kept requests again, in the order in which they failed, and then those that came after. Ends block_hold(). */
void block_resume(struct block *block);

/* Answer all requests that are not with the kernel, kept and throttled ones included, with -ECANCELED. Ends
 * block_hold(). */
void block_cancel(struct block *block);

/* The write cache. Switching it off makes what was answered before durable as well, at the next commit. */
void block_set_write_cache(struct block *block, bool on);
bool block_write_cache(const struct block *block);

uint64_t block_capacity(const struct block *block); /* bytes */
uint32_t block_align(const struct block *block);    /* what O_DIRECT wants; 1 without */
const char *block_backend_name(const struct block *block);
