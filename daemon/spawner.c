/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a worker's process comes to be: see spawner.h. */
#include "daemon/spawner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/process.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/proto.h"

#define MAX_FDS (SPAWN_FDS + JAIL_MAX_CGROUPS)

#define MAX_DYING 16

struct spawner {
	int fd;
	pid_t pid;
	bool broken;            /* it was found to be gone */
	pid_t dying[MAX_DYING]; /* children that were killed, and are not waited for: 0: none */
};

/* Both ends are one program, forked: a struct is its own encoding. */
struct request {
	char name[SPAWN_NAME_MAX];
	bool has_fd[SPAWN_FDS], has_jail;
	struct jail_plan jail; /* its cgroup_fds are what comes behind the other fds */
};

struct answer {
	pid_t pid; /* or -errno */
};

/* The daemon's end is the child's, until it is told START. It may have been before this was said. */
static int die_with_daemon(char *stage, size_t size)
{
	struct pollfd daemon = {.fd = PROTO_CONTROL_FD};

	(void)snprintf(stage, size, "tie it to the daemon");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	if (poll(&daemon, 1, 0) < 0)
		return -errno;
	return daemon.revents & POLLHUP ? -EOWNERDEAD : 0;
}

static _noreturn_ void child(const struct spawn_spec *spec)
{
	char name[SPAWN_NAME_MAX];
	char *const argv[] = {(char[]){"vmmd-worker"}, name, NULL};
	char *const envp[] = {NULL};
	char stage[256];
	int fds[SPAWN_FDS];
	int r;

	memcpy(fds, spec->fds, sizeof(fds));
	(void)str_copy(name, sizeof(name), spec->name);
	r = jail_arrange_fds(spec->jail, fds, stage, sizeof(stage));
	if (r == 0 && spec->jail)
		r = jail_enter(spec->jail, stage, sizeof(stage));
	/* After the change of user, which would undo it. */
	if (r == 0)
		r = die_with_daemon(stage, sizeof(stage));
	if (r == 0) {
		(void)syscall(SYS_execveat, JAIL_FD_EXE, "", argv, envp, AT_EMPTY_PATH);
		r = -errno;
		(void)snprintf(stage, sizeof(stage), "execveat");
	}
	(void)snprintf(stage + strlen(stage), sizeof(stage) - strlen(stage), ": %s", strerror(-r));
	/* Not JAIL_FD_ERROR, which may still be any file of the daemon's. */
	(void)!write(fds[4], stage, strlen(stage));
	_exit(125);
}

static pid_t clone_child(const struct spawn_spec *spec, uint64_t more_flags, int *ret_pidfd)
{
	uint64_t flags = spec->jail ? jail_clone_flags(spec->jail) : 0;
	pid_t pid = jail_clone(flags | more_flags, ret_pidfd);

	if (pid == 0)
		child(spec);
	return pid < 0 ? -errno : pid;
}

/* The spawner's side. */

static pid_t make(struct request *request, const int *fds, unsigned n_fds)
{
	struct spawn_spec spec = {
		.name = request->name, .jail = request->has_jail ? &request->jail : NULL};
	unsigned next = 0;
	int pidfd;
	pid_t pid;

	for (unsigned i = 0; i < SPAWN_FDS; i++)
		spec.fds[i] = request->has_fd[i] && next < n_fds ? fds[next++] : -EBADF;
	for (unsigned i = 0; i < request->jail.n_cgroups; i++)
		request->jail.cgroup_fds[i] = next < n_fds ? fds[next++] : -EBADF;
	/* The daemon opens another pidfd: this one has no business here. */
	pid = clone_child(&spec, CLONE_PARENT, &pidfd);
	if (pid > 0)
		(void)safe_close(pidfd);
	return pid;
}

static _noreturn_ void serve(int fd)
{
	for (;;) {
		struct request request;
		struct answer answer;
		int fds[MAX_FDS];
		unsigned n_fds = 0;
		ssize_t n = recv_packet(fd, &request, sizeof(request), fds, MAX_FDS, &n_fds);

		if (n != sizeof(request))
			_exit(0); /* the daemon ended */
		answer.pid = make(&request, fds, n_fds);
		for (unsigned i = 0; i < n_fds; i++)
			(void)safe_close(fds[i]);
		if (send_packet(fd, &answer, sizeof(answer), NULL, 0) < 0)
			_exit(0);
	}
}

static _noreturn_ void begin(int fd, pid_t daemon)
{
	(void)prctl(PR_SET_NAME, "vmmd-spawner", 0, 0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != daemon)
		_exit(0);
	/* No terminal's signals: the daemon may have to make workers until it has ended. */
	(void)setsid();
	if (fd != 3 && dup3(fd, 3, O_CLOEXEC) < 0)
		_exit(1);
	(void)syscall(SYS_close_range, 4, ~0U, 0);
	serve(3);
}

/* The daemon's side. */

int spawner_new(struct spawner **ret_spawner)
{
	const struct timeval wait = {.tv_sec = SPAWN_WAIT_S};
	pid_t daemon = getpid();
	struct spawner *s;
	int pair[2], r;

	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		r = -errno;
		free(s);
		return r;
	}
	s->fd = pair[0];
	s->pid = fork();
	if (s->pid == 0)
		begin(pair[1], daemon);
	r = s->pid < 0 ? -errno : 0;
	(void)safe_close(pair[1]);
	if (r == 0 && setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
		r = -errno;
	if (r < 0) {
		(void)spawner_free(s);
		return r;
	}
	*ret_spawner = s;
	return 0;
}

/* Those that have died since. */
static void reap(struct spawner *s)
{
	for (unsigned i = 0; i < MAX_DYING; i++)
		if (s->dying[i] && waitpid(s->dying[i], NULL, WNOHANG) != 0)
			s->dying[i] = 0;
}

/* The kernel may not let go of it for long: it is looked at when the next worker is made. Without a place it is left dead until the daemon
 * ends. */
static void kill_child(struct spawner *s, pid_t pid)
{
	unsigned i = 0;

	(void)kill(pid, SIGKILL);
	reap(s);
	while (i < MAX_DYING && s->dying[i])
		i++;
	if (i < MAX_DYING)
		s->dying[i] = pid;
	reap(s);
}

static void end(struct spawner *s)
{
	if (s->pid > 0)
		kill_child(s, s->pid);
	s->pid = 0;
	s->broken = true;
}

struct spawner *spawner_free(struct spawner *s)
{
	if (!s)
		return NULL;
	end(s);
	(void)safe_close(s->fd);
	free(s);
	return NULL;
}

/* Returns what send_packet() does. */
static int ask(const struct spawner *s, const struct spawn_spec *spec)
{
	struct request request = {.has_jail = spec->jail};
	int fds[MAX_FDS];
	unsigned n = 0;

	if (str_copy(request.name, sizeof(request.name), spec->name) < 0)
		return -ENAMETOOLONG;
	for (unsigned i = 0; i < SPAWN_FDS; i++) {
		request.has_fd[i] = spec->fds[i] >= 0;
		if (request.has_fd[i])
			fds[n++] = spec->fds[i];
	}
	if (spec->jail) {
		request.jail = *spec->jail;
		for (unsigned i = 0; i < spec->jail->n_cgroups; i++)
			fds[n++] = spec->jail->cgroup_fds[i];
	}
	return send_packet(s->fd, &request, sizeof(request), fds, n);
}

/* Its child, which is ours: it cannot go before we have waited for it. -ECONNRESET: it has not read what it was asked. */
static pid_t hear(struct spawner *s, int *ret_pidfd)
{
	struct answer answer;
	unsigned n_fds = 0;
	ssize_t n = recv_packet(s->fd, &answer, sizeof(answer), NULL, 0, &n_fds);
	int pidfd;

	if (n == -EAGAIN)
		return -ETIMEDOUT;
	if (n != sizeof(answer))
		return n < 0 ? (pid_t)n : -EPIPE;
	if (answer.pid < 0)
		return answer.pid;
	pidfd = process_open(answer.pid);
	if (pidfd < 0) {
		kill_child(s, answer.pid);
		return pidfd;
	}
	*ret_pidfd = pidfd;
	return answer.pid;
}

pid_t spawner_spawn(struct spawner *s, const struct spawn_spec *spec, int *ret_pidfd)
{
	bool asked = false;
	pid_t pid;

	if (s)
		reap(s);
	if (!s || s->broken)
		return clone_child(spec, 0, ret_pidfd);
	pid = ask(s, spec);
	if (pid == 0) {
		asked = true;
		pid = hear(s, ret_pidfd);
	}
	if (pid != -EPIPE && pid != -ECONNRESET && pid != -ETIMEDOUT)
		return pid;
	log_warning("the process that makes workers is gone: starts take longer from now on");
	end(s);
	/* It may have made a worker before it ended: then another must not be made with the same fds. */
	return asked && pid != -ECONNRESET ? pid : clone_child(spec, 0, ret_pidfd);
}

pid_t spawner_pid(const struct spawner *s)
{
	return s->pid;
}
