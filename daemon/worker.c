/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A worker's process: spawned, adopted, watched, killed: see worker.h. The conversation is worker-proto.c's. */
#include "daemon/worker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/process.h"
#include "daemon/spawner.h"
#include "daemon/worker-internal.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

/* Reap the child, or note that an adopted process ended, and say how in one line. */
static void describe_exit(struct worker *w, struct worker_exit *ret)
{
	siginfo_t si = {0};
	char jail[256];
	ssize_t n = -1;

	ret->violation = w->violation;
	ret->killed = w->killed;
	if (w->jail_error_fd >= 0)
		n = read(w->jail_error_fd, jail, sizeof(jail) - 1);
	if (w->violation)
		(void)snprintf(
			ret->text, sizeof(ret->text), "killed: it sent %.200s", w->violation_text);
	if (waitid(P_PIDFD, (id_t)w->pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0) {
		ret->by_other = !w->killed;
		if (!w->violation)
			(void)snprintf(ret->text, sizeof(ret->text), "the worker ended");
	} else if (w->violation) {
		return;
	} else if (n > 0) {
		jail[n] = 0;
		(void)snprintf(ret->text, sizeof(ret->text), "cannot start the worker: %s", jail);
	} else if (si.si_code == CLD_EXITED) {
		(void)snprintf(ret->text, sizeof(ret->text), "the worker ended with exit status %d",
			si.si_status);
	} else {
		ret->by_other = !w->killed && si.si_status == SIGKILL;
		(void)snprintf(ret->text, sizeof(ret->text),
			"the worker was killed by signal %d (%s)%s", si.si_status,
			strsignal(si.si_status), si.si_status == SIGSYS ? ": seccomp" : "");
	}
	text_clean(ret->text);
}

static int on_pidfd(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct worker *w = userdata;
	struct worker_exit how = {0};

	(void)source;
	(void)fd;
	(void)revents;
	if (w->is_gone)
		return 0;
	/* What it said before it died still counts; a dead process says no more than what is queued. */
	for (unsigned i = 0; i < 64 && w->fd >= 0 && worker_drain(w, WORKER_MAX_BATCH); i++)
		;
	w->is_gone = true;
	w->pid_source = sd_event_source_disable_unref(w->pid_source);
	w->exit_timer = sd_event_source_disable_unref(w->exit_timer);
	describe_exit(w, &how);
	worker_disconnect(w, -ECONNRESET);
	w->ops->gone(w->opaque, &how);
	return 0;
}

static struct worker *worker_new(
	sd_event *event, const uint8_t uuid[16], const struct worker_ops *ops, void *opaque)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->event = sd_event_ref(event);
	w->ops = ops;
	w->opaque = opaque;
	w->fd = w->pidfd = w->jail_error_fd = -EBADF;
	memcpy(w->uuid, uuid, 16);
	return w;
}

struct worker *worker_free(struct worker *w)
{
	if (!w)
		return NULL;
	for (size_t i = 0; i < WORKER_MAX_PENDING; i++)
		w->pending[i].timer = sd_event_source_disable_unref(w->pending[i].timer);
	(void)sd_event_source_disable_unref(w->io_source);
	(void)sd_event_source_disable_unref(w->hello_timer);
	(void)sd_event_source_disable_unref(w->exit_timer);
	(void)sd_event_source_disable_unref(w->pid_source);
	(void)safe_close(w->fd);
	(void)safe_close(w->pidfd);
	(void)safe_close(w->jail_error_fd);
	sd_event_unref(w->event);
	free(w);
	return NULL;
}

static int watch_process(struct worker *w)
{
	int r;

	r = sd_event_add_io(w->event, &w->pid_source, w->pidfd, EPOLLIN, on_pidfd, w);
	if (r < 0)
		return r;
	/* After the control socket: last words first. */
	return sd_event_source_set_priority(w->pid_source, SD_EVENT_PRIORITY_NORMAL + 1);
}

int worker_open_program(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static pid_t spawn(const struct worker_spec *spec, int control_fd, int error_fd, int *ret_pidfd)
{
	const struct spawn_spec process = {
		.name = spec->name,
		.fds = {control_fd, spec->listen_fd, spec->log_fd, spec->exe_fd, error_fd},
		.jail = spec->jail,
	};

	return spawner_spawn(spec->spawner, &process, ret_pidfd);
}

int worker_spawn(sd_event *event, const struct worker_spec *spec, const struct worker_ops *ops,
	void *opaque, struct worker **ret_worker, struct error *error)
{
	_cleanup_(worker_freep) struct worker *w = worker_new(event, spec->uuid, ops, opaque);
	_cleanup_(closep) int ours = -EBADF, theirs = -EBADF, error_out = -EBADF;
	int pair[2], pipe_fds[2], r;

	if (!w)
		return error_set(error, ERROR_NO_MEMORY, "worker");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return error_set_errno(error, errno, "cannot make the control socket");
	ours = pair[0];
	theirs = pair[1];
	if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_set_errno(error, errno, "cannot make a pipe");
	w->jail_error_fd = pipe_fds[0];
	error_out = pipe_fds[1];
	/* The worker's end blocks or not as the worker likes. */
	(void)fd_set_nonblock(theirs, false);

	w->pid = spawn(spec, theirs, error_out, &w->pidfd);
	if (w->pid < 0)
		return error_set_errno(error, w->pid, "cannot start the worker");
	r = process_start_time(w->pid, &w->start_time);
	if (r == 0)
		r = watch_process(w);
	if (r == 0)
		r = worker_connect_fd(w, ours);
	if (r < 0) {
		siginfo_t si;

		(void)process_kill(w->pidfd);
		(void)waitid(P_PIDFD, (id_t)w->pidfd, &si, WEXITED);
		return error_set_errno(error, r, "cannot watch the worker");
	}
	(void)TAKE_FD(ours);
	*ret_worker = TAKE_PTR(w);
	return 0;
}

/* The socket's path by its folder's fd: no limit of 108 bytes, no race with a renamed parent. */
static socklen_t control_address(int dir_fd, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/control", dir_fd);
	return sizeof(*ret);
}

int worker_listen(int dir_fd)
{
	_cleanup_(closep) int fd =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	socklen_t len = control_address(dir_fd, &sa);

	if (fd < 0)
		return -errno;
	(void)unlinkat(dir_fd, "control", 0);
	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 4) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int connect_control(int dir_fd)
{
	_cleanup_(closep) int fd =
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa;
	socklen_t len = control_address(dir_fd, &sa);

	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int worker_adopt(sd_event *event, const uint8_t uuid[16], pid_t pid, uint64_t start_time,
	int dir_fd, const struct worker_ops *ops, void *opaque, struct worker **ret_worker)
{
	_cleanup_(worker_freep) struct worker *w = worker_new(event, uuid, ops, opaque);
	uint64_t found;
	int fd, r;

	if (!w)
		return -ENOMEM;
	w->adopted = true;
	w->pid = pid;
	w->start_time = start_time;
	w->pidfd = process_open(pid);
	if (w->pidfd < 0)
		return w->pidfd;
	/* Asked after pidfd_open: if it is the same process now, the pidfd is its. */
	r = process_start_time(pid, &found);
	if (r < 0)
		return r;
	if (found != start_time || process_is_gone(w->pidfd))
		return -ESRCH;
	r = watch_process(w);
	if (r < 0)
		return r;
	fd = connect_control(dir_fd);
	if (fd < 0)
		(void)log_warning_errno(fd, "worker %d does not take connections: %m", (int)pid);
	r = worker_connect_fd(w, fd);
	if (r < 0) {
		(void)safe_close(fd);
		return r;
	}
	*ret_worker = TAKE_PTR(w);
	return 0;
}

void worker_kill(struct worker *w)
{
	w->killed = true;
	if (!w->is_gone)
		(void)process_kill(w->pidfd);
}

pid_t worker_pid(const struct worker *w)
{
	return w->pid;
}

int worker_pidfd(const struct worker *w)
{
	return w->pidfd;
}

sd_event *worker_event(const struct worker *w)
{
	return w->event;
}

uint64_t worker_start_time(const struct worker *w)
{
	return w->start_time;
}

bool worker_is_connected(const struct worker *w)
{
	return w->fd >= 0 && w->hello;
}
