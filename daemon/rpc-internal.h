/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between rpc.c (server), rpc-conn.c (connections), rpc-call.c (calls), rpc-subscribe.c (events), rpc-stream.c and
 * rpc-discover.c. */
#pragma once

#include <json-c/json.h>

#include "daemon/api.h"
#include "daemon/auth.h"
#include "daemon/rpc-frame.h"
#include "daemon/rpc-io.h"
#include "daemon/rpc-log.h"
#include "daemon/rpc-stream.h"
#include "daemon/rpc.h"

/* The server's part that calls need; they may outlive it. */
struct rpc_count {
	unsigned n_ref, n_calls;
};
struct rpc_count *rpc_count_ref(struct rpc_count *count);
void rpc_count_unref(struct rpc_count *count);

struct rpc {
	struct manager *manager;
	sd_event *event;
	struct auth auth;
	struct rpc_options options;
	struct list listeners, connections;
	unsigned n_connections, n_plain, n_streams;
	int reserve_fd; /* given up to answer a caller when there is no other fd left */
	sd_event_source *
		clock; /* never goes off; with it, the loop has its timerfd: a connection takes no fd but its own */
	uint64_t warned_usec;
	struct event_sink sink;
	struct rpc_log *log;
	struct rpc_count *count;
};

/* A message on its way out. */
struct rpc_out {
	struct list link;
	size_t len, off;
	int fd; /* goes with the first byte */
	char data[];
};

struct rpc_subscription {
	unsigned id; /* 0: free */
	uint64_t after;
	struct rpc_filter filter;
};

struct rpc_batch;
struct rpc_conn {
	struct rpc *rpc;
	struct list link;
	struct rpc_io *io;
	struct api_peer peer;
	bool plain; /* its caller has no role */
	sd_event_source *io_source, *more, *in_timer, *out_timer;
	struct rpc_frames in;
	bool in_armed, dead;
	bool eof, drained; /* no more comes; and of what came no message is left */
	struct list out;
	size_t out_bytes;
	struct list calls; /* struct rpc_call */
	unsigned n_calls;
	struct rpc_batch *batch; /* not all of its requests have begun; NULL: none */
	unsigned last_subscription, n_subscriptions;
	bool hungry; /* events wait for room in 'out' */
	struct rpc_subscription subscriptions[RPC_MAX_SUBSCRIPTIONS];
	struct list streams; /* struct rpc_stream */
	unsigned last_stream, n_streams;
};

static inline unsigned rpc_conn_max_calls(const struct rpc_conn *conn)
{
	return conn->plain ? RPC_PLAIN_CALLS : RPC_MAX_CALLS;
}

/* May this caller have one more connection? */
bool rpc_has_room(const struct rpc *rpc, const struct api_peer *peer);

/* rpc-conn.c */
/* 'io' is taken over, also on failure. */
int rpc_conn_new(struct rpc *rpc, struct rpc_io *io, const struct api_peer *peer);
struct rpc_conn *rpc_conn_free(struct rpc_conn *conn);
/* Queue a message, which is taken over; 'fd' (>= 0) is duplicated. Whatever goes wrong ends the connection. */
void rpc_conn_send(struct rpc_conn *conn, struct json_object *message, int fd);
void rpc_conn_send_text(struct rpc_conn *conn, const char *text, size_t len, int fd);
/* The last one, as far as there is room, and the end. */
void rpc_conn_end(struct rpc_conn *conn, struct json_object *message);
/* It may be read from again, perhaps: a call is done. */
void rpc_conn_wake(struct rpc_conn *conn);

/* rpc-call.c */
/* Of a batch that leaves all for rpc_call_go_on(). */
void rpc_call_message(struct rpc_conn *conn, const char *text, size_t len);
/* The next request of conn->batch. Returns how many bytes of answers there are more. */
size_t rpc_call_go_on(struct rpc_conn *conn);
/* The connection goes: its calls have nobody to answer to. */
void rpc_call_orphan(struct rpc_conn *conn);
/* The connection that a call of one of the rows below came by. */
struct rpc_conn *rpc_call_conn(const struct api_call *call);
/* JSON-RPC's own rows, which D-Bus has not. */
extern const struct api_method rpc_methods[];
extern const size_t n_rpc_methods;
int rpc_cancel(struct api_call *call, struct error *error);

/* rpc-subscribe.c */
int rpc_subscribe(struct api_call *call, struct error *error);
int rpc_unsubscribe(struct api_call *call, struct error *error);
/* Send what subscriptions are due, as far as there is room. */
void rpc_feed(struct rpc_conn *conn);

/* rpc-discover.c */
int rpc_discover(struct api_call *call, struct error *error);
struct json_object *rpc_openrpc(void);
