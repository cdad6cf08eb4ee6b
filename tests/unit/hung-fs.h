/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* File systems that never answer (FUSE, whose other end nobody reads), or answer slowly, for the domains of a fixture. */
#pragma once

#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon-fixture.h"
#include "daemon/mounts.h"

#define HUNG_MAX 9

static int hung_fds[HUNG_MAX];
static char hung_paths[HUNG_MAX][128];
static unsigned n_hung;
static bool hung_in_namespace;

/* The daemon is to look at another table of mounts. */
static inline void use_mounts(struct fixture *f, const char *table)
{
	mounts_free(f->manager->mounts);
	assert_int_equal(mounts_new(f->event, table, &f->manager->mounts), 0);
}

/* The fixture's kernel, which each domain opens first, and its folder, are 'name' from now on: on the host's own file system as yet. */
static inline void kernel_below(struct fixture *f, const char *name)
{
	snprintf(f->kernel, sizeof(f->kernel), "%s/%s", f->dir, name);
	assert_int_equal(mkdir(f->kernel, 0700), 0);
	strcat(f->kernel, "/kernel");
	fixture_write_kernel(f->kernel);
}

/* 'name' is covered by a file system that does not answer. False, with a word: this process may not mount. */
static inline bool hang(struct fixture *f, const char *name)
{
	char options[96], *path = hung_paths[n_hung];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	snprintf(path, sizeof(hung_paths[0]), "%s/%s", f->dir, name);
	assert_true(n_hung < HUNG_MAX);
	if (fd < 0 ||
		(!hung_in_namespace &&
			(unshare(CLONE_NEWNS) < 0 ||
				mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)) ||
		mount("nobody", path, "fuse.nobody", 0, options) < 0) {
		print_message("skipped: this process may mount no FUSE\n");
		(void)safe_close(fd);
		return false;
	}
	hung_in_namespace = true;
	hung_fds[n_hung++] = fd;
	/* The namespace is a new one. */
	use_mounts(f, "/proc/self/mountinfo");
	return true;
}

static inline void unhang(void)
{
	while (n_hung) {
		n_hung--;
		assert_int_equal(umount2(hung_paths[n_hung], MNT_DETACH), 0);
		hung_fds[n_hung] = safe_close(hung_fds[n_hung]);
	}
}

/* The last one answers from now on, each time after 'usec', that there is no such file. Returns the process that does so. */
static inline pid_t answer_slowly(unsigned usec)
{
	int fd = hung_fds[n_hung - 1];
	pid_t pid = fork();

	while (pid == 0) {
		union {
			struct fuse_in_header header;
			char all[2 * FUSE_MIN_READ_BUFFER];
		} in;
		struct {
			struct fuse_out_header header;
			struct fuse_init_out init;
		} out = {.init = {.major = 7, .minor = 31, .max_write = 4096}};

		if (read(fd, &in, sizeof(in)) <= 0)
			_exit(0);
		if (in.header.opcode == FUSE_FORGET || in.header.opcode == FUSE_INTERRUPT)
			continue;
		out.header.unique = in.header.unique;
		out.header.len = in.header.opcode == FUSE_INIT ? sizeof(out) : sizeof(out.header);
		out.header.error = in.header.opcode == FUSE_INIT ? 0 : -ENOENT;
		if (in.header.opcode != FUSE_INIT)
			usleep(usec);
		if (write(fd, &out, out.header.len) < 0)
			_exit(1);
	}
	assert_true(pid > 0);
	return pid;
}

static inline void stop_answering(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}
