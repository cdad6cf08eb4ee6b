/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the JSON-RPC server's tests share: a server on an instance of its own, and clients at the other end of a
 * socketpair, which send text and take messages. */
#pragma once

#include <json-c/json.h>
#include <poll.h>
#include <sys/socket.h>

#include "daemon-fixture.h"
#include "daemon/rpc-internal.h"

struct client {
	int fd;
	char buffer[1024 * 1024];
	size_t len;
	int got_fd; /* what came with the last message that brought one */
	bool ended;
};

static inline int connect_client(struct client *c, struct rpc *rpc)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*c = (struct client){.fd = pair[1], .got_fd = -EBADF};
	return rpc_accept(rpc, pair[0]);
}

static inline void client_done(struct client *c)
{
	c->fd = safe_close(c->fd);
	c->got_fd = safe_close(c->got_fd);
}

static inline void say(struct client *c, const char *text)
{
	assert_int_equal(send(c->fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Read what is there. */
static inline void take_bytes(struct client *c)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {c->buffer + c->len, sizeof(c->buffer) - 1 - c->len};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(c->fd, &m, MSG_CMSG_CLOEXEC);

	if (n == 0 || (n < 0 && errno != EAGAIN))
		c->ended = true;
	if (n <= 0)
		return;
	c->len += (size_t)n;
	c->buffer[c->len] = 0;
	if (CMSG_FIRSTHDR(&m)) {
		assert_true(c->got_fd < 0);
		memcpy(&c->got_fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	}
}

static inline bool has_line(struct client *c)
{
	take_bytes(c);
	return memchr(c->buffer, '\n', c->len);
}

/* The next line that comes; good until the next call. */
static inline const char *hear(struct fixture *f, struct client *c)
{
	static char line[sizeof(c->buffer)];
	size_t n;

	RUN_UNTIL(f, has_line(c) || c->ended);
	n = strcspn(c->buffer, "\n");
	assert_true(n < c->len);
	memcpy(line, c->buffer, n);
	line[n] = 0;
	memmove(c->buffer, c->buffer + n + 1, c->len - n - 1);
	c->len -= n + 1;
	c->buffer[c->len] = 0;
	return line;
}

static inline const char *ask(struct fixture *f, struct client *c, const char *text)
{
	say(c, text);
	say(c, "\n");
	return hear(f, c);
}

static inline bool client_ended(struct client *c)
{
	take_bytes(c);
	return c->ended;
}

/* 'line' begins with the literal 'text'. */
#define BEGINS(line, text) (strncmp(line, text, sizeof(text) - 1) == 0)

#define REQUEST(id, method, params)                                                                \
	"{\"jsonrpc\":\"2.0\",\"id\":" id ",\"method\":\"" method "\",\"params\":" params "}"
#define RESULT(id, result) "{\"jsonrpc\":\"2.0\",\"id\":" id ",\"result\":" result "}"
