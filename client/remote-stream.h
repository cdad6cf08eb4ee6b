/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A stream of JSON-RPC (docs/rpc.md) in the place of a descriptor that the connection cannot carry: one end of a socketpair, like the one that
 * would have come, and the pump between the other end and the connection. What the user of the fd does not read waits here, within the
 * window that vmmd keeps to, so that a session which stands still holds up nothing.
 *
 * One thread: the pump runs in the session's loop. Tested by tests/unit/test-remote-stream.c.
 */
#pragma once

#include "client/pump.h"
#include "client/remote-link.h"

struct remote_stream;

/* What a method answered that was asked for a stream of this window. '*ret_fd' is the caller's. 0, -EBADMSG (it is no such answer), or
 * another errno. */
int remote_stream_new(struct rpc_link *link, struct json_object *result, uint32_t window,
	struct remote_stream **ret_stream, int *ret_fd);
struct pump *remote_stream_pump(struct remote_stream *stream);
/* When the other host's CLOCK_MONOTONIC began, in ns since 1970. */
uint64_t remote_stream_epoch_ns(const struct remote_stream *stream);

/* The parameters of a notification rpc.stream. */
void remote_stream_take(struct remote_stream *stream, struct json_object *params);

/* Send what was written, and close it. 0, or -errno with '*ret_why' (borrowed) when it did not end as it should: -ECONNRESET, the
 * connection is lost; -EREMOTEIO, vmmd's word; -EPROTO, vmmd sends more than it may, or something else. */
int remote_stream_finish(struct remote_stream *stream, const char **ret_why);
struct remote_stream *remote_stream_free(struct remote_stream *stream);
