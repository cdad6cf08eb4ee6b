/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc says about a process: see process.h. */
#include "daemon/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"

struct stat_fields {
	uint64_t utime, stime, start;
};

static int read_stat(pid_t pid, struct stat_fields *ret)
{
	_cleanup_(freep) char *text = NULL;
	struct stat_fields s;
	char path[64], *p;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = read_file(AT_FDCWD, path, 4096, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* The name may hold anything, parentheses too: the last one ends it. */
	p = strrchr(text, ')');
	if (!p ||
		sscanf(p + 1,
			" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
			" %*d %*d %*d %*d %*d %*d %" SCNu64,
			&s.utime, &s.stime, &s.start) != 3)
		return -EBADMSG;
	*ret = s;
	return 0;
}

int process_start_time(pid_t pid, uint64_t *ret_ticks)
{
	struct stat_fields s;
	int r = read_stat(pid, &s);

	if (r == 0)
		*ret_ticks = s.start;
	return r;
}

int process_cpu_time(pid_t pid, uint64_t *ret_user_ns, uint64_t *ret_system_ns)
{
	uint64_t tick_ns = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	struct stat_fields s;
	int r = read_stat(pid, &s);

	if (r < 0)
		return r;
	*ret_user_ns = s.utime * tick_ns;
	*ret_system_ns = s.stime * tick_ns;
	return 0;
}

int process_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

int process_kill(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}

bool process_is_gone(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}
