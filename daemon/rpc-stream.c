/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Streams of a JSON-RPC connection: see rpc-stream.h. */
#include "daemon/rpc-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "daemon/rpc-internal.h"
#include "vmm-core/base/base64.h"

#define HEAD "{\"jsonrpc\":\"2.0\",\"method\":\"rpc.stream\",\"params\":{\"stream\":%u,"

struct rpc_stream {
	struct rpc_conn *conn;
	struct list link; /* of the connection's */
	unsigned id;
	int fd;
	bool packets, refuses /* the socket takes nothing any more */;
	sd_event_source *source;
	uint32_t window;
	uint64_t n_sent, n_acked; /* bytes to the caller */
	uint64_t n_taken,
		n_told; /* bytes of the caller's that the socket took; those that it was told of */
	char *waiting;  /* RPC_STREAM_WINDOW bytes, or NULL: nothing waits */
	size_t n_waiting, n_begin; /* of them; behind so many that are gone */
};

static void stream_free(struct rpc_stream *s)
{
	list_del(&s->link);
	s->conn->n_streams--;
	s->conn->rpc->n_streams--;
	sd_event_source_disable_unref(s->source);
	(void)safe_close(s->fd);
	free(s->waiting);
	free(s);
}

void rpc_stream_free_all(struct rpc_conn *conn)
{
	while (!list_empty(&conn->streams))
		stream_free(list_entry(conn->streams.next, struct rpc_stream, link));
}

/* What is said beside data. */
static void tell(const struct rpc_stream *s, const char *what)
{
	char text[256];
	int n = snprintf(text, sizeof(text), HEAD "%s}}", s->id, what);

	rpc_conn_send_text(s->conn, text, (size_t)n, -EBADF);
}

/* The socket has ended: 'error' 0, or a negative errno. */
static void end(struct rpc_stream *s, int error)
{
	char text[160];

	if (error)
		(void)snprintf(
			text, sizeof(text), "\"end\":true,\"error\":\"%s\"", strerror(-error));
	tell(s, error ? text : "\"end\":true");
	stream_free(s);
}

static void send_data(struct rpc_stream *s, const void *data, size_t size)
{
	char head[96];
	size_t len = (size_t)snprintf(head, sizeof(head), HEAD "\"data\":\"", s->id);
	_cleanup_(freep) char *text = malloc(len + BASE64_LEN(size) + 3);

	if (!text) {
		end(s, -ENOMEM);
		return;
	}
	memcpy(text, head, len);
	base64_encode(data, size, text + len);
	len += BASE64_LEN(size);
	memcpy(text + len, "\"}}", 3);
	s->n_sent += size;
	rpc_conn_send_text(s->conn, text, len + 3, -EBADF);
}

/* What its caller has not asked for, or cannot take now, stays in the socket. */
static bool may_send(const struct rpc_stream *s)
{
	const struct rpc_conn *conn = s->conn;

	return !conn->dead && !conn->eof && conn->out_bytes < RPC_STREAM_OUT &&
		s->n_sent - s->n_acked < s->window;
}

/* One piece. The stream may be gone then. */
static void read_some(struct rpc_stream *s)
{
	char data[RPC_STREAM_PACKET];
	ssize_t n = recv(
		s->fd, data, s->packets ? sizeof(data) : (size_t)RPC_STREAM_CHUNK, MSG_DONTWAIT);

	if (n > 0)
		send_data(s, data, (size_t)n);
	else if (n == 0 || errno == ECONNRESET)
		end(s, 0);
	else if (errno != EAGAIN && errno != EINTR)
		end(s, -errno);
}

/* So many bytes are gone: to the socket, or because it takes no more. */
static void took(struct rpc_stream *s, size_t n)
{
	char text[64];

	s->n_taken += n;
	if (s->n_taken - s->n_told < RPC_STREAM_WINDOW / 2)
		return;
	s->n_told = s->n_taken;
	(void)snprintf(text, sizeof(text), "\"taken\":%" PRIu64, s->n_taken);
	tell(s, text);
}

/* How many of the bytes go now. */
static size_t write_some(struct rpc_stream *s, const char *data, size_t size)
{
	size_t done = 0;

	while (done < size && !s->refuses) {
		ssize_t n = send(s->fd, data + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			return done;
		else if (errno != EINTR)
			s->refuses = true;
	}
	/* Its end is told when what it said before is read. */
	return size;
}

static void write_waiting(struct rpc_stream *s)
{
	size_t n = write_some(s, s->waiting + s->n_begin, s->n_waiting);

	s->n_begin += n;
	s->n_waiting -= n;
	if (s->n_waiting == 0) {
		free(s->waiting);
		s->waiting = NULL;
		s->n_begin = 0;
	}
	took(s, n);
}

/* Off rather than waiting for nothing: a hang-up is always told. */
static void update(struct rpc_stream *s)
{
	uint32_t events = (may_send(s) ? EPOLLIN : 0U) | (s->waiting ? EPOLLOUT : 0U);

	if (events)
		(void)sd_event_source_set_io_events(s->source, events);
	(void)sd_event_source_set_enabled(s->source, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

void rpc_stream_update(struct rpc_conn *conn)
{
	struct list *pos;

	list_for_each (pos, &conn->streams)
		update(list_entry(pos, struct rpc_stream, link));
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct rpc_stream *s = userdata;
	struct rpc_conn *conn = s->conn;

	(void)source;
	(void)fd;
	if ((revents & ~(uint32_t)EPOLLIN) && s->waiting)
		write_waiting(s);
	if ((revents & ~(uint32_t)EPOLLOUT) && may_send(s))
		read_some(s);
	rpc_stream_update(conn);
	return 0;
}

int rpc_stream_check(const struct rpc_conn *conn, struct error *error)
{
	unsigned max = conn->plain ? RPC_PLAIN_STREAMS : RPC_MAX_STREAMS;

	if (conn->n_streams >= max)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"a connection has at most %u streams: close one with rpc.close", max);
	if (conn->rpc->n_streams >= RPC_MAX_STREAMS_ALL)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"vmmd has as many streams as it takes, %u", RPC_MAX_STREAMS_ALL);
	return 0;
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec t = {0};

	(void)clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

static struct json_object *describe(const struct rpc_stream *s)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, "stream", json_object_new_int64(s->id));
	json_object_object_add(
		out, "window", json_object_new_int64(s->packets ? 0 : RPC_STREAM_WINDOW));
	json_object_object_add(out, "packets", json_object_new_boolean(s->packets));
	/* Packets have times of this host's clock, which their reader may not have. */
	json_object_object_add(out, "epoch_ns",
		json_object_new_int64(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC)));
	return out;
}

int rpc_stream_open(struct rpc_conn *conn, int fd, uint32_t window, struct json_object **ret_out,
	struct error *error)
{
	struct rpc_stream *s;
	int type, r = rpc_stream_check(conn, error);
	socklen_t len = sizeof(type);

	if (r < 0)
		return r;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return error_set_errno(error, errno, "cannot make a stream");
	s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(error, ERROR_NO_MEMORY, "stream");
	s->conn = conn;
	s->packets = type == SOCK_SEQPACKET;
	s->window = window;
	s->id = ++conn->last_stream;
	list_add_tail(&conn->streams, &s->link);
	conn->n_streams++;
	conn->rpc->n_streams++;
	s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	r = s->fd < 0 ? -errno
		      : sd_event_add_io(conn->rpc->event, &s->source, s->fd, EPOLLIN, on_io, s);
	if (r < 0) {
		stream_free(s);
		return error_set_errno(error, r, "cannot make a stream");
	}
	*ret_out = describe(s);
	return 0;
}

static struct rpc_stream *find_stream(const struct api_call *call, struct error *error)
{
	struct rpc_conn *conn = rpc_call_conn(call);
	uint32_t id = api_arg_uint(call, "stream");
	struct list *pos;

	list_for_each (pos, &conn->streams) {
		struct rpc_stream *s = list_entry(pos, struct rpc_stream, link);

		if (s->id == id)
			return s;
	}
	(void)error_set(error, ERROR_INVALID_ARGUMENT,
		"this connection has no stream %" PRIu32 ", or has it no more", id);
	return NULL;
}

/* What the socket does not take now. There is room for it. */
static int keep(struct rpc_stream *s, const char *data, size_t size)
{
	if (size == 0)
		return 0;
	if (!s->waiting)
		s->waiting = malloc(RPC_STREAM_WINDOW);
	if (!s->waiting)
		return -ENOMEM;
	if (s->n_begin + s->n_waiting + size > RPC_STREAM_WINDOW) {
		memmove(s->waiting, s->waiting + s->n_begin, s->n_waiting);
		s->n_begin = 0;
	}
	memcpy(s->waiting + s->n_begin + s->n_waiting, data, size);
	s->n_waiting += size;
	return 0;
}

static int write_data(
	struct rpc_stream *s, const char *text, size_t len, size_t size, struct error *error)
{
	_cleanup_(freep) char *data = malloc(size + 1);
	size_t n;

	if (!data)
		return error_set(error, ERROR_NO_MEMORY, "data");
	if (base64_decode(text, len, data) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"'data' is not base64 (RFC 4648, section 4, with padding)");
	n = s->waiting ? 0 : write_some(s, data, size);
	if (keep(s, data + n, size - n) < 0)
		return error_set(error, ERROR_NO_MEMORY, "data");
	took(s, n);
	update(s);
	return 0;
}

int rpc_write(struct api_call *call, struct error *error)
{
	struct rpc_stream *s = find_stream(call, error);
	const char *text = api_arg_string(call, "data");
	size_t len = strlen(text), size = base64_size(text, len);
	struct json_object *out;
	int r;

	if (!s)
		return -EINVAL;
	if (s->packets)
		return error_set(error, ERROR_OPERATION_INVALID,
			"stream %u gives packets, and takes nothing", s->id);
	if (size > RPC_STREAM_WINDOW - s->n_waiting)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"stream %u has room for %zu bytes, not for %zu: wait until more are taken",
			s->id, RPC_STREAM_WINDOW - s->n_waiting, size);
	r = write_data(s, text, len, size, error);
	if (r < 0)
		return r;
	out = json_object_new_object();
	json_object_object_add(out, "taken", json_object_new_uint64(s->n_taken));
	api_call_reply(call, out);
	return 0;
}

int rpc_ack(struct api_call *call, struct error *error)
{
	struct rpc_stream *s = find_stream(call, error);
	uint64_t taken = api_arg_uint64(call, "taken");

	if (!s)
		return -EINVAL;
	if (taken < s->n_acked || taken > s->n_sent)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"of stream %u, %" PRIu64 " bytes were taken, and %" PRIu64 " sent", s->id,
			s->n_acked, s->n_sent);
	s->n_acked = taken;
	update(s);
	api_call_reply(call, NULL);
	return 0;
}

int rpc_close(struct api_call *call, struct error *error)
{
	struct rpc_stream *s = find_stream(call, error);

	if (!s)
		return -EINVAL;
	stream_free(s);
	api_call_reply(call, NULL);
	return 0;
}
