/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for the disk, without anybody who waits: see store-internal.h. By the kernel's own asynchronous I/O, whose syncs run beside each
 * other; unlike io_uring, no host switches it off. What the kernel does not take is synced in the ordinary way.
 *
 * Tested by tests/unit/test-store-checkpoint.c and tests/unit/test-store-stuck.c.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "daemon/store-internal.h"

/* A checkpoint's, and a record. */
#define MAX_SYNCS (STORE_MAX_SAVES + 1)

int store_sync_init(struct store *store)
{
	store->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return store->event_fd < 0 ? -errno : 0;
}

/* Returns how many of them, from the first on, the kernel has taken; none, or less: it does not do it. */
static long submit(struct store *store, uint64_t serial, const int *fds, size_t n, unsigned opcode)
{
	struct iocb blocks[STORE_MAX_SAVES], *list[STORE_MAX_SAVES];
	aio_context_t context = store->aio;

	if (!context && syscall(SYS_io_setup, MAX_SYNCS, &context) < 0)
		return -1;
	store->aio = context;
	for (size_t i = 0; i < n; i++) {
		blocks[i] = (struct iocb){.aio_data = serial * STORE_MAX_SAVES + i,
			.aio_lio_opcode = (uint16_t)opcode,
			.aio_fildes = (uint32_t)fds[i],
			.aio_flags = IOCB_FLAG_RESFD,
			.aio_resfd = (uint32_t)store->event_fd};
		list[i] = &blocks[i];
	}
	return syscall(SYS_io_submit, context, (long)n, list);
}

static void note(struct store_wait *wait, size_t i, int r)
{
	if (r >= 0)
		return;
	wait->results[i] = r;
	if (wait->result == 0)
		wait->result = r;
}

int store_sync_begin(struct store *store, struct store_wait *wait, const int *fds, size_t n)
{
	bool is_record = wait == &store->commit.wait;
	long taken;

	assert(n <= STORE_MAX_SAVES);
	*wait = (struct store_wait){.serial = ++store->sync_serial};
	taken = submit(store, wait->serial, fds, n, is_record ? IOCB_CMD_FDSYNC : IOCB_CMD_FSYNC);
	wait->n_left = taken > 0 ? (unsigned)taken : 0;
	for (size_t i = wait->n_left; i < n; i++)
		note(wait, i, (is_record ? fdatasync(fds[i]) : fsync(fds[i])) < 0 ? -errno : 0);
	return 0;
}

static void take(struct store_wait *wait, const struct io_event *event)
{
	/* Of one that was given up nobody wants to know. */
	if (event->data / STORE_MAX_SAVES != wait->serial)
		return;
	wait->n_left--;
	/* -EAGAIN is ours: not yet. */
	note(wait, event->data % STORE_MAX_SAVES, event->res == -EAGAIN ? -EIO : (int)event->res);
}

static void give_up(struct store_wait *wait, int r)
{
	if (wait->n_left)
		*wait = (struct store_wait){.result = r};
}

void store_sync_reap(struct store *store, bool block)
{
	struct store_wait *record = &store->commit.wait, *files = &store->journal.wait;
	struct timespec no_time = {0}, *patience = block ? NULL : &no_time;
	struct io_event events[MAX_SYNCS];
	uint64_t count;
	long n;

	/* Also when what it told of is known already. */
	(void)!read(store->event_fd, &count, sizeof(count));
	if (!record->n_left && !files->n_left)
		return;
	do
		n = syscall(SYS_io_getevents, (aio_context_t)store->aio, block ? 1L : 0L,
			(long)MAX_SYNCS, events, patience);
	while (n < 0 && errno == EINTR);
	for (long i = 0; i < n; i++) {
		take(record, &events[i]);
		take(files, &events[i]);
	}
	/* Only a kernel that does not know what it was asked for says no. */
	if (n < 0) {
		const int r = -errno;

		give_up(record, r);
		give_up(files, r);
	}
}

int store_sync_end(const struct store_wait *wait)
{
	return wait->n_left ? -EAGAIN : wait->result;
}

void store_sync_done(struct store *store)
{
	if (store->aio)
		(void)syscall(SYS_io_destroy, (aio_context_t)store->aio);
	store->aio = 0;
	store->event_fd = safe_close(store->event_fd);
}
