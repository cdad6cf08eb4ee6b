/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * io_uring, as little of it as disks need, straight on the system calls.
 *
 * io_uring passes seccomp by, so the ring is locked to its purpose before it is enabled: it is set up
 * disabled, its files are registered, and it is restricted to reads, writes, fsync and fallocate on these
 * files. Once uring_new() has returned, not even this process can make it do anything else, and
 * io_uring_enter(2) is the only system call that it still takes.
 *
 * The ring's fd becomes readable when there is something to reap, so it is a source of the event loop like any
 * other: no eventfd to read. The wait for it may be interrupted (EINTR) by the kernel's own work.
 *
 * No more operations may be in flight than uring_entries(), so that the completion ring, twice as large, can
 * never overflow; uring_sqe() answers NULL before that.
 *
 * Threads: one at a time. An operation belongs to the thread that submitted it (its completion may interrupt that
 * thread's system calls, and it is cancelled when the thread ends), so the loop's thread should be the only one.
 */
#pragma once

#include <linux/io_uring.h>
#include <stdint.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"

#define URING_MAX_ENTRIES 1024
#define URING_MAX_FILES   16
/* Kernel threads for what cannot be done without blocking, of each of the kernel's two kinds: of a submitting thread,
 * however many rings it has. They count as tasks of this process (pids cgroup, RLIMIT_NPROC). */
#define URING_MAX_WORKERS 4

struct uring;

struct uring_completion {
	uint64_t user_data;
	int32_t result; /* as the system call: bytes or -errno */
};

/* A ring for 'entries' (a power of two, at most URING_MAX_ENTRIES) operations in flight on the files
 * fds[n_fds], which an operation names by index; they stay the caller's. Returns 0 or -errno: -ENOSYS, -EPERM or
 * -EACCES mean that this host has no io_uring for us (sysctl kernel.io_uring_disabled, an old kernel, a filter). */
int uring_new(unsigned entries, const int *fds, unsigned n_fds, struct uring **ret_ring);
struct uring *uring_free(struct uring *ring);
DEFINE_CLEANUP(struct uring *, uring_free);

/* The next free submission entry, zeroed but for the flag that its 'fd' is an index of a registered file; NULL
 * when as many operations as the ring has entries are queued or in flight. It is submitted by the next
 * uring_submit() whatever happens: fill it in before. */
struct io_uring_sqe *uring_sqe(struct uring *ring);

/* Hand all filled entries to the kernel. Returns 0, or -errno (-EAGAIN, -EBUSY: short of memory) when some are
 * still waiting: call again later. Completions are reaped by uring_reap(), whatever this answers. */
int uring_submit(struct uring *ring);

/* Take up to 'max' completions. Never blocks. Returns how many. */
unsigned uring_reap(struct uring *ring, struct uring_completion *ret_completions, unsigned max);

/* Queued, not yet taken by the kernel. */
unsigned uring_n_queued(const struct uring *ring);
/* Queued or taken, and not reaped. */
unsigned uring_n_in_flight(const struct uring *ring);

/* uring_submit(), and wait until there is something to reap. For programs without a loop: tests, benchmarks,
 * tear-down. */
int uring_wait(struct uring *ring);

int uring_fd(const struct uring *ring);
unsigned uring_entries(const struct uring *ring);
