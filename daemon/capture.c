/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A socket between a worker and a client: see capture.h. */
#include "daemon/capture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/network.h"
#include "daemon/worker.h"
#include "vmm-core/base/capture-record.h"

struct capture {
	const struct capture_ops *ops;
	void *userdata;
	int client_fd;          /* until it has begun */
	int worker_fd, process; /* copies: of the worker's end, and its pidfd */
	sd_event_source *of_fd, *of_process;
	const struct capture_counts *counts;
	bool begun, stopped;
	char whose[VM_NAME_MAX + 16];
};

struct capture *capture_free(struct capture *c)
{
	if (!c)
		return NULL;
	(void)sd_event_source_disable_unref(c->of_fd);
	(void)sd_event_source_disable_unref(c->of_process);
	(void)safe_close(c->client_fd);
	(void)safe_close(c->worker_fd);
	(void)safe_close(c->process);
	if (c->counts)
		(void)munmap((void *)(uintptr_t)c->counts, sizeof(*c->counts));
	free(c);
	return NULL;
}
DEFINE_CLEANUP(struct capture *, capture_free);

void capture_set_userdata(struct capture *c, void *userdata)
{
	c->userdata = userdata;
}

const char *capture_whose(const struct capture *c)
{
	return c->whose;
}

void capture_look(const struct capture *c, struct capture_totals *ret)
{
	*ret = (struct capture_totals){
		.frames = atomic_load_explicit(&c->counts->frames, memory_order_relaxed),
		.bytes = atomic_load_explicit(&c->counts->bytes, memory_order_relaxed),
		.lost = atomic_load_explicit(&c->counts->lost, memory_order_relaxed)};
}

static void end(struct capture *c, enum capture_why why)
{
	/* Whatever its worker does, or does not. */
	(void)shutdown(c->worker_fd, SHUT_RDWR);
	if (c->ops->ended)
		c->ops->ended(c->userdata, c, why);
	(void)capture_free(c);
}

/* A hang-up: its reader has closed, or the worker has shut it down, and has said so before. */
static int on_hangup(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct capture *c = userdata;
	uint64_t ended = atomic_load_explicit(&c->counts->ended, memory_order_relaxed);

	(void)source;
	(void)fd;
	(void)revents;
	end(c, ended == CAPTURE_ENDED_SOURCE ? CAPTURE_WHY_SOURCE : CAPTURE_WHY_READER);
	return 0;
}

static int on_process(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source;
	(void)fd;
	(void)revents;
	end(userdata, CAPTURE_WHY_SOURCE);
	return 0;
}

static void explain(const struct capture *c, int error, const char *text, struct error *e)
{
	if (error == -ETIMEDOUT)
		(void)error_set(e, ERROR_TIMEOUT, "the worker of %s does not answer", c->whose);
	else if (error == -ECONNRESET)
		(void)error_set(e, ERROR_OPERATION_FAILED,
			"the worker of %s ended before the capture began", c->whose);
	else if (error == -EBUSY)
		(void)error_set(e, ERROR_RESOURCE_BUSY,
			"%s has as many captures there as it may: end another one", c->whose);
	else
		(void)error_set_errno(
			e, error, "%s gives no capture%s%s", c->whose, *text ? ": " : "", text);
}

/* Its end is looked for from now on: it may be there already. */
static int watch(struct capture *c)
{
	int r = sd_event_source_set_enabled(c->of_fd, SD_EVENT_ON);

	return r < 0 ? r : sd_event_source_set_enabled(c->of_process, SD_EVENT_ON);
}

static void on_reply(void *userdata, int error, const char *text)
{
	struct capture *c = userdata;
	struct error e = {0};

	if (c->stopped) {
		(void)capture_free(c);
		return;
	}
	if (error == 0)
		error = watch(c);
	if (error < 0) {
		explain(c, error, text, &e);
		c->ops->begun(c->userdata, c, -EBADF, &e);
		(void)capture_free(c);
		return;
	}
	c->begun = true;
	c->ops->begun(c->userdata, c, TAKE_FD(c->client_fd), NULL);
}

void capture_stop(struct capture *c)
{
	struct error e = {0};

	if (c->begun) {
		end(c, CAPTURE_WHY_STOPPED);
		return;
	}
	if (c->stopped)
		return;
	/* It stays until its worker has answered. */
	c->stopped = true;
	(void)shutdown(c->worker_fd, SHUT_RDWR);
	(void)error_set(&e, ERROR_CANCELLED, "the capture of %s was cancelled", c->whose);
	c->ops->begun(c->userdata, c, -EBADF, &e);
}

/* Above the host's limit, where we may. */
static void set_buffer(int fd)
{
	const int size = CAPTURE_BUFFER;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int check(const struct proto_capture *what, struct error *error)
{
	if (!what->direction || what->direction & ~(CAPTURE_IN | CAPTURE_OUT))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"direction %u: write 1 (in), 2 (out) or 3 (both)", what->direction);
	if (!what->snaplen || what->snaplen > CAPTURE_SNAPLEN_MAX)
		return error_set(error, ERROR_INVALID_ARGUMENT, "snaplen %u: write 1 to %u",
			what->snaplen, CAPTURE_SNAPLEN_MAX);
	return 0;
}

/* '*ret_fd' is for the worker. */
static int make_counts(struct capture *c, int *ret_fd)
{
	_cleanup_(closep) int fd = memfd_create("vmmd-capture", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *page;

	if (fd < 0 || ftruncate(fd, sizeof(*c->counts)) < 0 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	page = mmap(NULL, sizeof(*c->counts), PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	c->counts = page;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* '*ret_counts' is for the worker, as is c->worker_fd. */
static int make(struct capture *c, const struct worker *worker, int *ret_counts)
{
	sd_event *event = worker_event(worker);
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	c->client_fd = pair[0];
	c->worker_fd = pair[1];
	set_buffer(c->worker_fd);
	c->process = fcntl(worker_pidfd(worker), F_DUPFD_CLOEXEC, 3);
	if (c->process < 0)
		return -errno;
	r = make_counts(c, ret_counts);
	/* No events: EPOLLHUP comes unasked. */
	if (r == 0)
		r = sd_event_add_io(event, &c->of_fd, c->worker_fd, 0, on_hangup, c);
	if (r >= 0)
		r = sd_event_add_io(event, &c->of_process, c->process, EPOLLIN, on_process, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->of_fd, SD_EVENT_OFF);
	return r < 0 ? r : sd_event_source_set_enabled(c->of_process, SD_EVENT_OFF);
}

static int ask(struct worker *worker, struct capture *c, const struct proto_capture *what,
	struct error *error)
{
	_cleanup_(closep) int counts = -EBADF;
	int r = make(c, worker, &counts), fds[PROTO_CAPTURE_FDS];

	if (r < 0)
		return error_set_errno(error, r, "cannot make a capture");
	fds[0] = c->worker_fd;
	fds[1] = counts;
	r = worker_request(worker, PROTO_CAPTURE, what, sizeof(*what), fds, PROTO_CAPTURE_FDS,
		NETWORK_REQUEST_USEC, on_reply, c);
	if (r < 0)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the worker of %s takes no requests: %s", c->whose, strerror(-r));
	return 0;
}

int capture_open(struct worker *worker, const char *whose, const struct proto_capture *what,
	const struct capture_ops *ops, void *userdata, struct capture **ret_capture,
	struct error *error)
{
	_cleanup_(capture_freep) struct capture *c = NULL;
	int r;

	if (check(what, error) < 0)
		return -EINVAL;
	if (!worker)
		return error_set(error, ERROR_RESOURCE_BUSY, "%s has no worker", whose);
	c = calloc(1, sizeof(*c));
	if (!c)
		return error_set(error, ERROR_NO_MEMORY, "capture");
	*c = (struct capture){.ops = ops,
		.userdata = userdata,
		.client_fd = -EBADF,
		.worker_fd = -EBADF,
		.process = -EBADF};
	(void)snprintf(c->whose, sizeof(c->whose), "%s", whose);
	r = ask(worker, c, what, error);
	if (r < 0)
		return r;
	if (ret_capture)
		*ret_capture = c;
	(void)TAKE_PTR(c);
	return 0;
}
