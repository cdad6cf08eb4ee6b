/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A real file system on a loop device, in a mount namespace of the test's own, which can lose its power: what its log does not
 * have on the disk then is gone. Needs root, loop devices, and mkfs.TYPE.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm-core/base/strutil.h"

#define LOOP_FS_BYTES          (300L << 20) /* the least that mkfs.xfs takes; sparse */
#define LOOP_FS_SHUTDOWN       _IOR('X', 125, uint32_t)
#define LOOP_FS_NO_LOG_FLUSH   2
#define LOOP_FS_MOUNT_TRIES    200
#define LOOP_FS_MOUNT_TRY_USEC 50000

struct loop_fs {
	const char *type; /* "ext4", "xfs" */
	char dir[64], image[96], mount[96],
		device[32]; /* 'dir' has the other two, and room for more */
};

static inline bool loop_fs_run(const char *format, ...) _printf_(1, 2);
static inline bool loop_fs_run(const char *format, ...)
{
	char command[512];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	return system(command) == 0;
}

/* The power goes: whatever is on 'fd' of it fails from now on. 0 or -1 with errno. */
static inline int loop_fs_cut(int fd)
{
	uint32_t how = LOOP_FS_NO_LOG_FLUSH;

	return ioctl(fd, LOOP_FS_SHUTDOWN, &how);
}

/* The kernel lets go of a file system that was shut down when it likes. */
static inline bool loop_fs_mount(const struct loop_fs *fs)
{
	for (unsigned i = 0; i < LOOP_FS_MOUNT_TRIES; i++) {
		if (mount(fs->device, fs->mount, fs->type, 0, NULL) == 0)
			return true;
		if (errno != EBUSY)
			return false;
		(void)usleep(LOOP_FS_MOUNT_TRY_USEC);
	}
	return false;
}

static inline void loop_fs_unmount(const struct loop_fs *fs)
{
	for (unsigned i = 0; i < LOOP_FS_MOUNT_TRIES && umount(fs->mount) < 0 && errno == EBUSY;
		i++)
		(void)usleep(LOOP_FS_MOUNT_TRY_USEC);
}

static inline bool loop_fs_attach(struct loop_fs *fs)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	int image = open(fs->image, O_RDWR | O_CLOEXEC), loop;
	struct loop_config config = {.fd = (uint32_t)image};

	snprintf(fs->device, sizeof(fs->device), "/dev/loop%d", number);
	loop = number < 0 ? -1 : open(fs->device, O_RDWR | O_CLOEXEC);
	if (loop < 0 || ioctl(loop, LOOP_CONFIGURE, &config) < 0)
		fs->device[0] = 0;
	close(loop);
	close(image);
	close(control);
	return fs->device[0];
}

static inline void loop_fs_done(struct loop_fs *fs)
{
	int loop = *fs->device ? open(fs->device, O_RDWR | O_CLOEXEC) : -1;

	loop_fs_unmount(fs);
	if (loop >= 0)
		(void)ioctl(loop, LOOP_CLR_FD, 0);
	close(loop);
	(void)loop_fs_run("rm -rf %s", fs->dir);
}

/* False: it cannot be had here, and that has been said. */
static inline bool loop_fs_new(struct loop_fs *fs, const char *type)
{
	const char *why = NULL;

	*fs = (struct loop_fs){.type = type, .dir = "/tmp/test-disk-XXXXXX"};
	if (!mkdtemp(fs->dir))
		return false;
	snprintf(fs->image, sizeof(fs->image), "%s/image", fs->dir);
	snprintf(fs->mount, sizeof(fs->mount), "%s/mount", fs->dir);
	(void)mkdir(fs->mount, 0700);
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
		mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		why = "needs root";
	else if (!loop_fs_run("truncate -s %ld %s && mkfs.%s -q %s >/dev/null 2>&1", LOOP_FS_BYTES,
			 fs->image, type, fs->image))
		why = "mkfs does not work";
	else if (!loop_fs_attach(fs))
		why = "there is no loop device";
	else if (!loop_fs_mount(fs))
		why = "it cannot be mounted";
	if (!why)
		return true;
	fprintf(stderr, "%s on a loop device: %s\n", type, why);
	loop_fs_done(fs);
	return false;
}
