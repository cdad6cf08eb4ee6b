/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of the store's folders, replaced and removed so that a power cut, a kill or a failing call leaves old or new: see store.h.
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

#define OLD_PREFIX   STORE_TMP_PREFIX "old-"
#define TMP_NAME_MAX (STORE_FILE_NAME_MAX + sizeof(OLD_PREFIX))

static int fault(struct store *store, enum store_step step)
{
	return store->fault ? store->fault(store->fault_opaque, step) : 0;
}

static void tmp_name(const char *prefix, const char *name, char ret[TMP_NAME_MAX])
{
	(void)snprintf(ret, TMP_NAME_MAX, "%s%.*s", prefix, STORE_FILE_NAME_MAX - 1, name);
}

int store_sync_dir(struct store *store, int dir_fd)
{
	int r = fault(store, STORE_STEP_SYNC_DIR);

	if (r < 0)
		return r;
	return fsync(dir_fd) < 0 ? -errno : 0;
}

/* Give 'tmp' its name, durably or not at all: the file whose place it takes is kept until then. */
static int rename_durably(struct store *store, int dir_fd, const char *tmp, const char *name)
{
	char old[TMP_NAME_MAX];
	bool had_old, can_go_back;
	int r;

	tmp_name(OLD_PREFIX, name, old);
	(void)unlinkat(dir_fd, old, 0);
	had_old = linkat(dir_fd, name, dir_fd, old, 0) == 0;
	can_go_back = had_old || errno == ENOENT;
	/* There are file systems without links; a folder that cannot be synced leaves the new file there. */
	if (!can_go_back && errno != EPERM && errno != EOPNOTSUPP)
		return -errno;
	if (renameat(dir_fd, tmp, dir_fd, name) < 0) {
		r = -errno;
		(void)unlinkat(dir_fd, old, 0);
		return r;
	}
	r = store_sync_dir(store, dir_fd);
	if (r < 0 && can_go_back)
		(void)(had_old ? renameat(dir_fd, old, dir_fd, name) : unlinkat(dir_fd, name, 0));
	else if (had_old)
		(void)unlinkat(dir_fd, old, 0);
	return r;
}

/* Write, sync and rename; what is left behind by a failure is removed unless the process dies here. */
static int write_steps(struct store *store, int dir_fd, int fd, const char *tmp, const char *name,
	const char *text, enum store_sync sync)
{
	int r;

	r = fault(store, STORE_STEP_WRITE);
	if (r == 0)
		r = write_full(fd, text, strlen(text));
	if (r < 0)
		return r;
	r = fault(store, STORE_STEP_SYNC);
	if (r == 0 && sync >= STORE_SYNC_FILE && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = fault(store, STORE_STEP_RENAME);
	if (r < 0)
		return r;
	if (sync == STORE_SYNC_ALL)
		return rename_durably(store, dir_fd, tmp, name);
	return renameat(dir_fd, tmp, dir_fd, name) < 0 ? -errno : 0;
}

int store_save_file(
	struct store *store, int dir_fd, const char *name, const char *text, enum store_sync sync)
{
	_cleanup_(closep) int fd = -EBADF;
	char tmp[TMP_NAME_MAX];
	int r;

	tmp_name(STORE_TMP_PREFIX, name, tmp);
	r = fault(store, STORE_STEP_CREATE);
	if (r < 0)
		return r;
	/* A left-over of an earlier failure would make O_EXCL fail for ever. */
	(void)unlinkat(dir_fd, tmp, 0);
	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = write_steps(store, dir_fd, fd, tmp, name, text, sync);
	if (r < 0)
		(void)unlinkat(dir_fd, tmp, 0);
	return r;
}

int store_remove_file(struct store *store, int dir_fd, const char *name)
{
	char tmp[TMP_NAME_MAX];
	int r;

	tmp_name(STORE_TMP_PREFIX, name, tmp);
	if (renameat(dir_fd, name, dir_fd, tmp) < 0) {
		/* Another name may need room in the folder, and this is how room is made. */
		if ((errno == ENOSPC || errno == EDQUOT) && unlinkat(dir_fd, name, 0) == 0)
			return store_sync_dir(store, dir_fd);
		return errno == ENOENT ? 0 : -errno;
	}
	r = store_sync_dir(store, dir_fd);
	if (r < 0)
		(void)renameat(dir_fd, tmp, dir_fd, name);
	else
		(void)unlinkat(dir_fd, tmp, 0);
	return r;
}
