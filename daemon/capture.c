/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A socket between a worker and a client: see capture.h. */
#include "daemon/capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/network.h"
#include "daemon/worker.h"
#include "vmm-core/base/capture-record.h"

struct request {
	domain_fd_fn done;
	void *userdata;
	int fd; /* the client's end */
	char whose[VM_NAME_MAX + 16];
};

static void on_reply(void *userdata, int error, const char *text)
{
	struct request *request = userdata;
	struct error e = {0};

	if (error == -ETIMEDOUT)
		(void)error_set(
			&e, ERROR_TIMEOUT, "the worker of %s does not answer", request->whose);
	else if (error == -ECONNRESET)
		(void)error_set(&e, ERROR_OPERATION_FAILED,
			"the worker of %s ended before the capture began", request->whose);
	else if (error == -EBUSY)
		(void)error_set(&e, ERROR_RESOURCE_BUSY,
			"%s has as many captures there as it may: end another one", request->whose);
	else if (error < 0)
		(void)error_set_errno(&e, error, "%s gives no capture%s%s", request->whose,
			*text ? ": " : "", text);
	request->done(request->userdata, error < 0 ? -EBADF : TAKE_FD(request->fd),
		error < 0 ? &e : NULL);
	(void)safe_close(request->fd);
	free(request);
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

int capture_open(struct worker *worker, const char *whose, const struct proto_capture *what,
	domain_fd_fn done, void *userdata, struct error *error)
{
	_cleanup_(closep) int theirs = -EBADF, ours = -EBADF;
	struct request *request;
	int pair[2], r;

	if (check(what, error) < 0)
		return -EINVAL;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return error_set_errno(error, errno, "cannot make a socket");
	ours = pair[0];
	theirs = pair[1];
	set_buffer(theirs);
	request = calloc(1, sizeof(*request));
	if (!request)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*request = (struct request){.done = done, .userdata = userdata, .fd = ours};
	(void)snprintf(request->whose, sizeof(request->whose), "%s", whose);
	r = worker ? worker_request(worker, PROTO_CAPTURE, what, sizeof(*what), &theirs, 1,
			     NETWORK_REQUEST_USEC, on_reply, request)
		   : -ENOTCONN;
	if (r < 0) {
		free(request);
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the worker of %s takes no requests: %s", whose, strerror(-r));
	}
	(void)TAKE_FD(ours);
	return 0;
}
