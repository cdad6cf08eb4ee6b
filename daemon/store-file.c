/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of the store's folders, replaced and removed so that a kill or a failing call leaves old or new: see store.h. What a power cut
 * leaves of them is the journal's to mend.
 *
 * Tested by tests/unit/test-store.c, tests/unit/test-power-cut.c and tests/unit/test-faults.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/store-internal.h"
#include "vmm-core/base/fdio.h"

int store_fault(struct store *store, enum store_step step, const char *name)
{
	return store->fault ? store->fault(store->fault_opaque, step, name) : 0;
}

int store_sync_dir(struct store *store, int dir_fd)
{
	int r = store_fault(store, STORE_STEP_SYNC_DIR, NULL);

	if (r < 0)
		return r;
	return fsync(dir_fd) < 0 ? -errno : 0;
}

static int write_tmp(struct store *store, int dir_fd, const char *tmp, const char *text)
{
	const char *name = tmp + strlen(STORE_TMP_PREFIX);
	_cleanup_(closep) int fd = -EBADF;
	int r = store_fault(store, STORE_STEP_CREATE, name);

	if (r < 0)
		return r;
	/* A left-over of an earlier failure would make O_EXCL fail for ever. */
	(void)unlinkat(dir_fd, tmp, 0);
	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = store_fault(store, STORE_STEP_WRITE, name);
	return r < 0 ? r : write_full(fd, text, strlen(text));
}

int store_save_file(struct store *store, int dir_fd, const char *name, const char *text)
{
	char tmp[STORE_FILE_NAME_MAX + sizeof(STORE_TMP_PREFIX)];
	int r;

	(void)snprintf(tmp, sizeof(tmp), STORE_TMP_PREFIX "%.*s", STORE_FILE_NAME_MAX - 1, name);
	r = write_tmp(store, dir_fd, tmp, text);
	if (r == 0)
		r = store_fault(store, STORE_STEP_RENAME, name);
	if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, tmp, 0);
	return r;
}

int store_remove_file(struct store *store, int dir_fd, const char *name)
{
	int r = store_fault(store, STORE_STEP_REMOVE, name);

	if (r < 0)
		return r;
	return unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}
