/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Streams: what a method answers as a file descriptor, over a connection that carries none. The daemon keeps the descriptor, a
 * socket, and passes on bytes that it does not look at: the one case in which data of a guest's goes through it.
 *
 *	to the caller	notifications rpc.stream {stream, data}, at last {stream, end: true[, error]}
 *	from the caller	rpc.write {stream, data}; rpc.ack {stream, taken}; rpc.close {stream}; the connection's end
 *
 * Flow control, for each stream and direction, by what the receiver has taken since the beginning:
 *
 * - The caller names a window when it opens. The socket is read from while fewer bytes than that have been sent and not acknowledged, so
 *   at most one piece more is on its way: RPC_STREAM_CHUNK bytes, or a packet.
 * - What the caller writes goes to the socket at once; what that does not take waits, up to RPC_STREAM_WINDOW bytes. What would be
 *   more is refused as a whole. rpc.stream {stream, taken} says, at each half of the window, what has gone on.
 *
 * And all streams of a connection wait while RPC_STREAM_OUT bytes of it are unsent, so an answer has no more than that, and a
 * piece, of streams before it. Pieces are small and streams take turns with everything else in the loop.
 *
 * A SOCK_SEQPACKET socket gives packets: each is one notification, and nothing can be written.
 *
 * Tested by tests/unit/test-rpc-stream.c.
 */
#pragma once

#include "daemon/error.h"

#define RPC_STREAM_WINDOW     65536U /* that callers write ahead */
#define RPC_STREAM_MAX_WINDOW (16U * 1024 * 1024)
#define RPC_STREAM_CHUNK      16384
#define RPC_STREAM_PACKET     (64 * 1024 + 256) /* a captured frame with its record; more is cut off */
#define RPC_STREAM_OUT        65536U

#define RPC_MAX_STREAMS     16  /* of one connection */
#define RPC_PLAIN_STREAMS   2   /* the same, of callers without a role */
#define RPC_MAX_STREAMS_ALL 256 /* of all connections */

struct api_call;
struct json_object;
struct rpc_conn;

/* May the connection have one more? 0, or -EBUSY with 'error' set. */
int rpc_stream_check(const struct rpc_conn *conn, struct error *error);

/* Begin one over 'fd', which stays the caller's: {stream, window, packets, epoch_ns} for the answer, which must be sent before the loop runs
 * again. 0, or a negative errno with 'error' set. */
int rpc_stream_open(struct rpc_conn *conn, int fd, uint32_t window, struct json_object **ret_out,
	struct error *error);

/* The connection's state has changed: go on reading, or do not. */
void rpc_stream_update(struct rpc_conn *conn);
/* All of them: the connection goes. */
void rpc_stream_free_all(struct rpc_conn *conn);

/* The rows. */
int rpc_write(struct api_call *call, struct error *error);
int rpc_ack(struct api_call *call, struct error *error);
int rpc_close(struct api_call *call, struct error *error);
