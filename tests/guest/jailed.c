/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A worker in its jail: see jailed.h. */
#include "tests/guest/jailed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"

int jailed_init(struct jailed *j, const char *worker, unsigned slot, uint64_t memory_bytes)
{
	struct jail_env env = {
		.euid = geteuid(),
		.egid = getegid(),
		.user_ns_allowed = true,
		.uid_base = JAIL_UID_BASE,
		.slot = slot,
		.mount_dir = j->mount_dir,
		.n_vcpus = 4,
		.n_disks = 4,
		.memory_bytes = memory_bytes,
	};

	(void)snprintf(j->mount_dir, sizeof(j->mount_dir), "/tmp/vmmd-jail-XXXXXX");
	j->exe_fd = open(worker, O_RDONLY | O_CLOEXEC);
	if (j->exe_fd < 0 || !mkdtemp(j->mount_dir))
		return -errno;
	env.exe_is_static = jail_exe_is_static(j->exe_fd);
	return jail_plan_make(&env, &j->plan);
}

void jailed_done(struct jailed *j)
{
	j->exe_fd = safe_close(j->exe_fd);
	(void)rmdir(j->mount_dir);
}

static _noreturn_ void child(const struct jailed *j, int fds[5])
{
	static char name[] = "vmmd-worker";
	char *argv[] = {name, NULL}, *envp[] = {NULL};
	char stage[128] = "";

	if (jail_arrange_fds(&j->plan, fds, stage, sizeof(stage)) < 0 ||
		jail_enter(&j->plan, stage, sizeof(stage)) < 0) {
		(void)dprintf(2, "jail: %s: %m\n", stage);
		_exit(127);
	}
	(void)syscall(SYS_execveat, JAIL_FD_EXE, "", argv, envp, AT_EMPTY_PATH);
	_exit(127);
}

int jailed_spawn(struct jailed *j, struct harness *h)
{
	_cleanup_(closep) int theirs = -EBADF, listen_fd = -EBADF, err = -EBADF, pidfd = -EBADF;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	h->control_fd = pair[0];
	theirs = pair[1];
	err = open("/dev/null", O_WRONLY | O_CLOEXEC);
	listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	h->pid = jail_clone(jail_clone_flags(&j->plan), &pidfd);
	if (h->pid < 0)
		return (int)h->pid;
	if (h->pid == 0) {
		int fds[5] = {theirs, listen_fd, -EBADF, j->exe_fd, err};

		child(j, fds);
	}
	return 0;
}
