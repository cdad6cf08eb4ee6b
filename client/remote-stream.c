/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stream of JSON-RPC as an fd: see remote-stream.h. */
#include "client/remote-stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client/ctl.h"
#include "vmm-core/base/base64.h"
#include "vmm-core/base/list.h"

#define CHUNK       16384
#define MAX_PIECE   (128U * 1024) /* more than vmmd sends in one message */
#define FINISH_MSEC 1000

/* What has come and was not given yet. */
struct piece {
	struct list link;
	size_t len, off;
	char data[];
};

struct remote_stream {
	struct pump pump;
	struct rpc_link *link;
	unsigned id;
	int fd; /* the pump's end; -EBADF: all is given, and no more will come */
	bool packets, ended, closed /* nothing more is to be sent */;
	int error; /* how it ended; 0: as it should */
	char why[128];
	uint32_t window, their_window;
	uint64_t n_got, n_given, n_acked; /* from vmmd, to the session, as vmmd was told */
	uint64_t n_sent, n_taken;         /* from the session to vmmd, and on */
	uint64_t epoch_ns;
	struct list pieces;
};

static void end(struct remote_stream *s, int error, const char *why)
{
	if (s->ended)
		return;
	s->ended = true;
	s->error = error;
	(void)snprintf(s->why, sizeof(s->why), "%s", why);
}

static void drop(struct piece *p)
{
	list_del(&p->link);
	free(p);
}

/* One after the other, as far as the session's socket has room. */
static void give(struct remote_stream *s)
{
	while (!list_empty(&s->pieces)) {
		struct piece *p = list_entry(s->pieces.next, struct piece, link);
		ssize_t n =
			send(s->fd, p->data + p->off, p->len - p->off, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* Nobody reads any more: it counts as read. */
		if (n < 0)
			n = (ssize_t)(p->len - p->off);
		p->off += (size_t)n;
		s->n_given += (size_t)n;
		if (p->off == p->len)
			drop(p);
	}
	if (s->ended)
		s->fd = safe_close(s->fd);
}

static struct json_object *about(const struct remote_stream *s)
{
	struct json_object *params = json_object_new_object();

	json_object_object_add(params, "stream", json_object_new_int64(s->id));
	return params;
}

/* Often enough that vmmd always has half of the window. */
static void acknowledge(struct remote_stream *s)
{
	struct json_object *params;

	if (s->ended || s->n_given - s->n_acked < (s->window + 1) / 2)
		return;
	s->n_acked = s->n_given;
	params = about(s);
	json_object_object_add(params, "taken", json_object_new_uint64(s->n_given));
	rpc_link_post(s->link, "rpc.ack", params);
}

static size_t room(const struct remote_stream *s)
{
	return s->ended || s->closed || rpc_link_waits(s->link)
		? 0
		: (size_t)(s->their_window - (s->n_sent - s->n_taken));
}

/* What the session has written, as far as vmmd takes it. */
static void take(struct remote_stream *s)
{
	while (s->fd >= 0 && room(s)) {
		char data[CHUNK], text[BASE64_LEN(CHUNK)];
		ssize_t n = recv(s->fd, data, MIN(room(s), sizeof(data)), MSG_DONTWAIT);
		struct json_object *params;

		if (n <= 0)
			return;
		base64_encode(data, (size_t)n, text);
		params = about(s);
		json_object_object_add(params, "data",
			json_object_new_string_len(text, (int)BASE64_LEN((size_t)n)));
		s->n_sent += (size_t)n;
		rpc_link_post(s->link, "rpc.write", params);
	}
}

static void run(struct pump *pump, struct pollfd fds[PUMP_FDS])
{
	struct remote_stream *s = container_of(pump, struct remote_stream, pump);

	if (!s->ended && rpc_link_move(s->link) < 0)
		end(s, -ECONNRESET, "the connection to vmmd was lost");
	give(s);
	acknowledge(s);
	take(s);
	if (!s->ended) {
		fds[0].fd = rpc_link_fd(s->link);
		fds[0].events = (short)(POLLIN | (rpc_link_waits(s->link) ? POLLOUT : 0));
	}
	fds[1].events = (short)((list_empty(&s->pieces) ? 0 : POLLOUT) | (room(s) ? POLLIN : 0));
	fds[1].fd = fds[1].events ? s->fd : -1;
}

int remote_stream_new(struct rpc_link *link, struct json_object *result, uint32_t window,
	struct remote_stream **ret_stream, int *ret_fd)
{
	int64_t id = json_number(result, "stream", -1), theirs = json_number(result, "window", -1);
	struct remote_stream *s;
	int pair[2];

	if (id <= 0 || id > UINT32_MAX || theirs < 0 || theirs > UINT32_MAX)
		return -EBADMSG;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->packets = json_flag(result, "packets");
	if (socketpair(AF_UNIX, (s->packets ? SOCK_SEQPACKET : SOCK_STREAM) | SOCK_CLOEXEC, 0,
		    pair) < 0) {
		free(s);
		return -errno;
	}
	s->pump.run = run;
	s->link = link;
	s->id = (unsigned)id;
	s->window = window;
	s->their_window = s->packets ? 0 : (uint32_t)theirs;
	s->fd = pair[1];
	s->epoch_ns = (uint64_t)json_number(result, "epoch_ns", 0);
	list_init(&s->pieces);
	*ret_stream = s;
	*ret_fd = pair[0];
	return 0;
}

struct pump *remote_stream_pump(struct remote_stream *s)
{
	return &s->pump;
}

uint64_t remote_stream_epoch_ns(const struct remote_stream *s)
{
	return s->epoch_ns;
}

static void take_data(struct remote_stream *s, const char *text)
{
	size_t len = strlen(text), size = base64_size(text, len);
	struct piece *p;

	if (size == 0)
		return;
	/* By no more than one message beyond the window. */
	if (size > MAX_PIECE || s->n_got - s->n_acked >= s->window) {
		end(s, -EPROTO, "vmmd sends more than it may");
		return;
	}
	p = malloc(sizeof(*p) + size);
	if (!p || base64_decode(text, len, p->data) < 0) {
		end(s, -EPROTO, p ? "what vmmd sent is not base64" : "out of memory");
		free(p);
		return;
	}
	p->len = size;
	p->off = 0;
	s->n_got += size;
	list_add_tail(&s->pieces, &p->link);
}

void remote_stream_take(struct remote_stream *s, struct json_object *params)
{
	int64_t taken = json_number(params, "taken", -1);
	const char *why = json_string(params, "error", "");

	/* Of one that was closed something may still come. */
	if (s->ended || json_number(params, "stream", -1) != s->id)
		return;
	take_data(s, json_string(params, "data", ""));
	if (taken >= 0 && ((uint64_t)taken > s->n_sent || (uint64_t)taken < s->n_taken))
		end(s, -EPROTO, "vmmd took what was not sent");
	else if (taken >= 0)
		s->n_taken = (uint64_t)taken;
	if (json_flag(params, "end"))
		end(s, *why ? -EREMOTEIO : 0, why);
}

int remote_stream_finish(struct remote_stream *s, const char **ret_why)
{
	if (!s->ended) {
		/* What has come meanwhile may say that there is room for the rest. */
		rpc_link_flush(s->link, FINISH_MSEC);
		(void)rpc_link_move(s->link);
		take(s);
		rpc_link_post(s->link, "rpc.close", about(s));
		s->closed = true;
		rpc_link_flush(s->link, FINISH_MSEC);
	}
	*ret_why = s->why;
	return s->error;
}

struct remote_stream *remote_stream_free(struct remote_stream *s)
{
	if (!s)
		return NULL;
	while (!list_empty(&s->pieces))
		drop(list_entry(s->pieces.next, struct piece, link));
	(void)safe_close(s->fd);
	free(s);
	return NULL;
}
