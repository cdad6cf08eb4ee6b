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

/* The file whose place another one took. */
struct replaced {
	bool had_old, can_go_back;
};

/* Give 'tmp' its name; the file whose place it takes is kept until finish_rename(). */
static int rename_keeping(int dir_fd, const char *tmp, const char *name, struct replaced *ret)
{
	char old[TMP_NAME_MAX];
	int r;

	tmp_name(OLD_PREFIX, name, old);
	(void)unlinkat(dir_fd, old, 0);
	ret->had_old = linkat(dir_fd, name, dir_fd, old, 0) == 0;
	ret->can_go_back = ret->had_old || errno == ENOENT;
	/* There are file systems without links; a folder that cannot be synced leaves the new file there. */
	if (!ret->can_go_back && errno != EPERM && errno != EOPNOTSUPP)
		return -errno;
	if (renameat(dir_fd, tmp, dir_fd, name) < 0) {
		r = -errno;
		(void)unlinkat(dir_fd, old, 0);
		return r;
	}
	return 0;
}

/* The folder is synced, or ('r') it is not: then it is as if nothing had been renamed. */
static void finish_rename(int dir_fd, const char *name, const struct replaced *replaced, int r)
{
	char old[TMP_NAME_MAX];

	tmp_name(OLD_PREFIX, name, old);
	if (r < 0 && replaced->can_go_back)
		(void)(replaced->had_old ? renameat(dir_fd, old, dir_fd, name)
					 : unlinkat(dir_fd, name, 0));
	else if (replaced->had_old)
		(void)unlinkat(dir_fd, old, 0);
}

static int rename_durably(struct store *store, int dir_fd, const char *tmp, const char *name)
{
	struct replaced replaced;
	int r = rename_keeping(dir_fd, tmp, name, &replaced);

	if (r < 0)
		return r;
	r = store_sync_dir(store, dir_fd);
	finish_rename(dir_fd, name, &replaced, r);
	return r;
}

/* A temporary file with this text in it. Returns its fd; after a failure it is not there. */
static int write_tmp(struct store *store, int dir_fd, const char *tmp, const char *text)
{
	_cleanup_(closep) int fd = -EBADF;
	int r = fault(store, STORE_STEP_CREATE);

	if (r < 0)
		return r;
	/* A left-over of an earlier failure would make O_EXCL fail for ever. */
	(void)unlinkat(dir_fd, tmp, 0);
	fd = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = fault(store, STORE_STEP_WRITE);
	if (r == 0)
		r = write_full(fd, text, strlen(text));
	if (r < 0) {
		(void)unlinkat(dir_fd, tmp, 0);
		return r;
	}
	return TAKE_FD(fd);
}

int store_save_file(
	struct store *store, int dir_fd, const char *name, const char *text, enum store_sync sync)
{
	_cleanup_(closep) int fd = -EBADF;
	char tmp[TMP_NAME_MAX];
	int r;

	tmp_name(STORE_TMP_PREFIX, name, tmp);
	fd = write_tmp(store, dir_fd, tmp, text);
	if (fd < 0)
		return fd;
	r = fault(store, STORE_STEP_SYNC);
	if (r == 0 && sync >= STORE_SYNC_FILE && fsync(fd) < 0)
		r = -errno;
	if (r == 0)
		r = fault(store, STORE_STEP_RENAME);
	if (r == 0 && sync == STORE_SYNC_ALL)
		r = rename_durably(store, dir_fd, tmp, name);
	else if (r == 0 && renameat(dir_fd, tmp, dir_fd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dir_fd, tmp, 0);
	return r;
}

/* Write all, and wait for all; what fails is not there. */
static void write_files(struct store *store, int dir_fd, struct store_file *files, size_t n)
{
	int fds[STORE_MAX_SAVES] = {0}, results[STORE_MAX_SAVES];
	size_t which[STORE_MAX_SAVES], n_open = 0;
	char tmp[TMP_NAME_MAX];

	for (size_t i = 0; i < n; i++) {
		tmp_name(STORE_TMP_PREFIX, files[i].name, tmp);
		files[i].result = write_tmp(store, dir_fd, tmp, files[i].text);
		if (files[i].result < 0)
			continue;
		fds[n_open] = files[i].result;
		which[n_open++] = i;
	}
	for (size_t k = 0; k < n_open; k++)
		files[which[k]].result = fault(store, STORE_STEP_SYNC);
	store_sync_files(store, fds, results, n_open);
	for (size_t k = 0; k < n_open; k++) {
		struct store_file *file = &files[which[k]];

		(void)close(fds[k]);
		if (file->result == 0)
			file->result = results[k];
		tmp_name(STORE_TMP_PREFIX, file->name, tmp);
		if (file->result < 0)
			(void)unlinkat(dir_fd, tmp, 0);
	}
}

void store_save_files(struct store *store, int dir_fd, struct store_file *files, size_t n)
{
	struct replaced replaced[STORE_MAX_SAVES];
	bool any = false;
	int r = 0;

	write_files(store, dir_fd, files, n);
	for (size_t i = 0; i < n; i++) {
		char tmp[TMP_NAME_MAX];

		if (files[i].result < 0)
			continue;
		tmp_name(STORE_TMP_PREFIX, files[i].name, tmp);
		files[i].result = fault(store, STORE_STEP_RENAME);
		if (files[i].result == 0)
			files[i].result = rename_keeping(dir_fd, tmp, files[i].name, &replaced[i]);
		if (files[i].result < 0)
			(void)unlinkat(dir_fd, tmp, 0);
		else
			any = true;
	}
	if (any)
		r = store_sync_dir(store, dir_fd);
	for (size_t i = 0; i < n; i++)
		if (files[i].result == 0) {
			finish_rename(dir_fd, files[i].name, &replaced[i], r);
			files[i].result = r;
		}
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
