/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection: bytes in, bytes out, and when to wait for which. See rpc.h. Tested by tests/unit/test-rpc.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "daemon/rpc-internal.h"
#include "daemon/rpc-message.h"
#include "daemon/turn.h"
#include "vmm-core/base/log.h"

#define REQUESTS_AT_ONCE 32 /* then others have their turn */

static int on_more(sd_event_source *source, void *userdata);

static void ask_for_turn(struct rpc_conn *c)
{
	(void)turn_ask(c->rpc->event, &c->more, on_more, c);
}

static void free_out(struct rpc_out *o)
{
	list_del(&o->link);
	(void)safe_close(o->fd);
	free(o);
}

struct rpc_conn *rpc_conn_free(struct rpc_conn *c)
{
	if (!c)
		return NULL;
	rpc_call_orphan(c);
	rpc_stream_free_all(c);
	while (!list_empty(&c->out))
		free_out(list_entry(c->out.next, struct rpc_out, link));
	sd_event_source_disable_unref(c->io_source);
	sd_event_source_disable_unref(c->more);
	sd_event_source_disable_unref(c->in_timer);
	sd_event_source_disable_unref(c->out_timer);
	c->io->ops->free(c->io);
	rpc_frames_done(&c->in);
	list_del(&c->link);
	c->rpc->n_connections--;
	c->rpc->n_plain -= c->plain;
	free(c);
	return NULL;
}

/* Later, from the loop: whoever finds that it is over may be called by one who still uses it. */
static void kill_conn(struct rpc_conn *c, const char *why)
{
	if (c->dead)
		return;
	c->dead = true;
	/* Whoever may connect must not fill the log. */
	if (why && !c->plain) {
		char who[API_CALLER_MAX];

		api_peer_text(&c->peer, who);
		log_notice("JSON-RPC: a connection of %s is closed: %s", who, why);
	}
	(void)sd_event_source_set_enabled(c->io_source, SD_EVENT_OFF);
	ask_for_turn(c);
}

static bool may_read(const struct rpc_conn *c)
{
	return !c->eof && !c->batch && c->n_calls < rpc_conn_max_calls(c) &&
		c->out_bytes < RPC_OUT_HIGH;
}

static void arm(sd_event_source *timer, bool on, uint64_t usec)
{
	if (on)
		(void)sd_event_source_set_time_relative(timer, usec);
	(void)sd_event_source_set_enabled(timer, on ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

static void update(struct rpc_conn *c)
{
	bool reading = may_read(c), partial = reading && rpc_frames_partial(&c->in);

	if (c->dead)
		return;
	/* Nobody reads what is left, and nothing will be answered any more. */
	if (c->drained && c->n_calls == 0 && list_empty(&c->out)) {
		kill_conn(c, NULL);
		return;
	}
	if (partial != c->in_armed) {
		arm(c->in_timer, partial, c->rpc->options.stall_usec);
		c->in_armed = partial;
	}
	(void)sd_event_source_set_io_events(
		c->io_source, c->io->ops->events(c->io, reading, !list_empty(&c->out)));
	rpc_stream_update(c);
}

static void flush(struct rpc_conn *c)
{
	bool was_full = c->out_bytes >= RPC_OUT_HIGH, moved = false;

	while (!c->dead && !list_empty(&c->out)) {
		struct rpc_out *o = list_entry(c->out.next, struct rpc_out, link);
		ssize_t n = c->io->ops->write(
			c->io, o->data + o->off, o->len - o->off, o->off ? -EBADF : o->fd);

		if (n == -EAGAIN)
			break;
		if (n < 0) {
			kill_conn(c, NULL);
			return;
		}
		moved = true;
		o->off += (size_t)n;
		c->out_bytes -= (size_t)n;
		if (o->off == o->len)
			free_out(o);
	}
	if (moved)
		arm(c->out_timer, !list_empty(&c->out), c->rpc->options.stall_usec);
	/* Messages that are here already, and events, wait for room, whoever makes it. */
	if ((was_full && c->out_bytes < RPC_OUT_HIGH) || (c->hungry && list_empty(&c->out)))
		rpc_conn_wake(c);
}

static struct rpc_out *new_out(struct rpc_conn *c, const char *text, size_t len)
{
	bool counted = c->in.framing == RPC_FRAMING_LENGTH;
	struct rpc_out *o = malloc(sizeof(*o) + len + 4);
	uint32_t be = htobe32((uint32_t)len);
	size_t head = counted ? sizeof(be) : 0;

	if (!o)
		return NULL;
	memcpy(o->data, &be, head);
	memcpy(o->data + head, text, len);
	o->len = head + len;
	if (!counted)
		o->data[o->len++] = '\n';
	o->off = 0;
	o->fd = -EBADF;
	return o;
}

void rpc_conn_send_text(struct rpc_conn *c, const char *text, size_t len, int fd)
{
	struct rpc_out *o;

	if (c->dead)
		return;
	if (c->out_bytes + len > RPC_OUT_LIMIT) {
		kill_conn(c, "it does not take what it asks for");
		return;
	}
	o = new_out(c, text, len);
	if (o && fd >= 0) {
		o->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (o->fd < 0) {
			free(o);
			o = NULL;
		}
	}
	if (!o) {
		kill_conn(c, "an answer cannot be kept");
		return;
	}
	if (list_empty(&c->out))
		arm(c->out_timer, true, c->rpc->options.stall_usec);
	list_add_tail(&c->out, &o->link);
	c->out_bytes += o->len;
	flush(c);
	update(c);
}

void rpc_conn_send(struct rpc_conn *c, struct json_object *message, int fd)
{
	size_t len = 0;
	const char *text = message
		? json_object_to_json_string_length(
			  message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len)
		: NULL;

	if (text)
		rpc_conn_send_text(c, text, len, fd);
	else
		kill_conn(c, "an answer cannot be made: out of memory");
	json_object_put(message);
}

void rpc_conn_end(struct rpc_conn *c, struct json_object *message)
{
	rpc_conn_send(c, message, -EBADF);
	kill_conn(c, NULL);
}

static void too_long(struct rpc_conn *c)
{
	char why[64];

	(void)snprintf(why, sizeof(why), "a message is at most %u bytes",
		c->plain ? RPC_PLAIN_MESSAGE : RPC_MAX_MESSAGE);
	rpc_conn_send(c, rpc_error(NULL, RPC_INVALID_REQUEST, why, NULL), -EBADF);
	kill_conn(c, "its message is too long");
}

/* The next message, which has come whole. False: there is none. */
static bool take_message(struct rpc_conn *c)
{
	const char *text;
	size_t len;
	int r = rpc_frames_next(&c->in, &text, &len);

	if (r < 0)
		too_long(c);
	if (r == 0)
		c->drained = c->eof;
	if (r <= 0)
		return false;
	/* The next message has its own time, if it has begun. */
	if (c->in_armed)
		arm(c->in_timer, false, 0);
	c->in_armed = false;
	rpc_call_message(c, text, len);
	return true;
}

/* A batch goes on whatever waits to be taken: its answers are counted by themselves. */
static bool may_take(const struct rpc_conn *c)
{
	return !c->dead &&
		(c->batch || (c->n_calls < rpc_conn_max_calls(c) && c->out_bytes < RPC_OUT_HIGH));
}

static void take_messages(struct rpc_conn *c)
{
	size_t bytes = 0;

	for (unsigned n = 0; may_take(c); n++) {
		if (n == REQUESTS_AT_ONCE || bytes >= RPC_OUT_HIGH) {
			ask_for_turn(c);
			break;
		}
		if (c->batch)
			bytes += rpc_call_go_on(c);
		else if (!take_message(c))
			break;
	}
	update(c);
}

static void read_some(struct rpc_conn *c)
{
	size_t size;
	char *data;
	ssize_t n;
	int r;

	do {
		r = rpc_frames_room(&c->in, &data, &size);
		if (r < 0) {
			if (r == -EMSGSIZE)
				too_long(c);
			else
				kill_conn(c, "out of memory");
			return;
		}
		n = c->io->ops->read(c->io, data, size);
		if (n == -EAGAIN)
			break;
		if (n < 0) {
			kill_conn(c, NULL);
			return;
		}
		if (n == 0) {
			c->eof = true;
			/* The end is the end of the last line, too. */
			*data = '\n';
			n = c->in.framing == RPC_FRAMING_LINES;
		}
		rpc_frames_filled(&c->in, (size_t)n);
		take_messages(c);
	} while (!c->dead && may_read(c) && c->io->ops->pending(c->io));
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct rpc_conn *c = userdata;

	(void)source;
	(void)fd;
	flush(c);
	rpc_feed(c);
	take_messages(c);
	if (!c->dead && may_read(c))
		read_some(c);
	else if (revents & EPOLLERR)
		kill_conn(c, NULL);
	/* Gone for good, and whatever is in the socket is not wanted. */
	else if (revents & EPOLLHUP)
		kill_conn(c, NULL);
	update(c);
	return 0;
}

static int on_more(sd_event_source *source, void *userdata)
{
	struct rpc_conn *c = userdata;

	(void)source;
	if (c->dead) {
		(void)rpc_conn_free(c);
		return 0;
	}
	rpc_feed(c);
	take_messages(c);
	/* The bytes may be with the io, and the kernel knows nothing of them. */
	if (!c->dead && may_read(c) && c->io->ops->pending(c->io))
		read_some(c);
	return 0;
}

void rpc_conn_wake(struct rpc_conn *c)
{
	if (!c->dead)
		ask_for_turn(c);
}

static int on_stall(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct rpc_conn *c = userdata;

	(void)usec;
	kill_conn(c,
		source == c->in_timer ? "it does not finish its message"
				      : "it does not take its answers");
	return 0;
}

int rpc_conn_new(struct rpc *rpc, struct rpc_io *io, const struct api_peer *peer)
{
	struct rpc_conn *c = calloc(1, sizeof(*c));
	int r;

	if (!c) {
		io->ops->free(io);
		return -ENOMEM;
	}
	c->rpc = rpc;
	c->io = io;
	c->peer = *peer;
	c->plain = peer->role <= API_ROLE_NONE;
	c->in.max = c->plain ? RPC_PLAIN_MESSAGE : RPC_MAX_MESSAGE;
	list_init(&c->out);
	list_init(&c->calls);
	list_init(&c->streams);
	list_add_tail(&rpc->connections, &c->link);
	rpc->n_connections++;
	rpc->n_plain += c->plain;
	r = sd_event_add_io(
		rpc->event, &c->io_source, io->fd, io->ops->events(io, true, false), on_io, c);
	if (r >= 0)
		r = sd_event_add_defer(rpc->event, &c->more, on_more, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->more, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(rpc->event, &c->in_timer, CLOCK_MONOTONIC, 0, 0, on_stall, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->in_timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(
			rpc->event, &c->out_timer, CLOCK_MONOTONIC, 0, 0, on_stall, c);
	if (r >= 0)
		r = sd_event_source_set_enabled(c->out_timer, SD_EVENT_OFF);
	if (r < 0)
		(void)rpc_conn_free(c);
	else if (io->ops->pending(io))
		rpc_conn_wake(c);
	return r < 0 ? r : 0;
}
