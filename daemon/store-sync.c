/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several files made durable at once: see store-internal.h. By the kernel's own asynchronous I/O, whose syncs run beside each
 * other; unlike io_uring, no host switches it off.
 *
 * Tested by tests/unit/test-store.c.
 */
#include <errno.h>
#include <linux/aio_abi.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/store-internal.h"

static void sync_in_turn(const int *fds, int *ret_results, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ret_results[i] = fsync(fds[i]) < 0 ? -errno : 0;
}

/* Returns how many of them, from the first on, the kernel has taken; none, or less: it does not do it. */
static long submit(aio_context_t context, const int *fds, struct iocb *blocks, size_t n)
{
	struct iocb *list[STORE_MAX_SAVES];

	for (size_t i = 0; i < n; i++) {
		blocks[i] = (struct iocb){.aio_data = i,
			.aio_lio_opcode = IOCB_CMD_FSYNC,
			.aio_fildes = (uint32_t)fds[i]};
		list[i] = &blocks[i];
	}
	return syscall(SYS_io_submit, context, (long)n, list);
}

/* Wait for all of them. What the kernel would not say is asked of it in the ordinary way. */
static void reap(aio_context_t context, const int *fds, int *ret_results, size_t n)
{
	struct io_event events[STORE_MAX_SAVES];
	bool told[STORE_MAX_SAVES] = {0};

	for (size_t left = n; left;) {
		long got = syscall(
			SYS_io_getevents, context, 1L, (long)left, events, (struct timespec *)NULL);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		for (long i = 0; i < got; i++) {
			ret_results[events[i].data] = (int)events[i].res;
			told[events[i].data] = true;
		}
		left -= (size_t)got;
	}
	for (size_t i = 0; i < n; i++)
		if (!told[i] || ret_results[i] == -EINVAL)
			sync_in_turn(&fds[i], &ret_results[i], 1);
}

void store_sync_files(struct store *store, const int *fds, int *ret_results, size_t n)
{
	struct iocb blocks[STORE_MAX_SAVES];
	aio_context_t context = store->aio;
	long taken = 0;

	assert(n <= STORE_MAX_SAVES);
	if (n > 1 && !context && syscall(SYS_io_setup, STORE_MAX_SAVES, &context) == 0)
		store->aio = context;
	if (n > 1 && context)
		taken = submit(context, fds, blocks, n);
	if (taken > 0)
		reap(context, fds, ret_results, (size_t)taken);
	else
		taken = 0;
	sync_in_turn(fds + taken, ret_results + taken, n - (size_t)taken);
}

void store_sync_done(struct store *store)
{
	if (store->aio)
		(void)syscall(SYS_io_destroy, (aio_context_t)store->aio);
	store->aio = 0;
}
