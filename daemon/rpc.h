/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The JSON-RPC transport of the method table: JSON-RPC 2.0 over unix stream sockets. A server has listening sockets and connections;
 * the method table, the log of events and the limits are the same for all of them.
 *
 * A connection: its caller's role is known before its first byte is read (rpc-io.h). Requests are worked on as they come,
 * and answered as they are done, in any order; a batch is answered as one array when its last one is. It takes its turns as other
 * requests do: some of it, and others have theirs. Notifications are worked on and not answered. What a call has started goes on when its connection goes.
 *
 * A method's arguments and results are the row's, as members of 'params' and 'result'; an 'h' is the number 0, and the message
 * carries the file descriptor (SCM_RIGHTS, with its first byte). Who asks for it gets a stream instead (rpc-stream.h); over a connection
 * that passes no descriptors nothing else is answered.
 *
 * Beside the table:
 *	rpc.discover				an OpenRPC document
 *	rpc.subscribe(events, domain, network, since, instance)	events from now on, or after number 'since' of that instance;
 *						they come as notifications rpc.event, and rpc.gap for what is lost
 *	rpc.unsubscribe(subscription)
 *	rpc.cancel(id)				the call with that id is answered with RPC_CANCELLED now
 *	rpc.write, rpc.ack, rpc.close		of streams
 *
 * Limits: a caller that sends no whole message, or takes nothing of what is sent, for RPC_STALL_USEC is dropped. A connection that has
 * RPC_MAX_CALLS under way or RPC_OUT_HIGH bytes unsent is not read from. Callers without a role have limits of their own (RPC_PLAIN_…).
 *
 * One thread, the daemon's. Tested by tests/unit/test-rpc.c and tests/unit/test-rpc-subscribe.c.
 */
#pragma once

#include <systemd/sd-event.h>

#include "daemon/manager.h"
#include "daemon/role.h"

#define RPC_MAX_CONNECTIONS   1024
#define RPC_MAX_CALLS         64 /* of one connection, not counting the rest of a batch */
#define RPC_MAX_SUBSCRIPTIONS 16 /* of one connection */
#define RPC_OUT_HIGH          (1024U * 1024)
#define RPC_OUT_LIMIT         (64U * 1024 * 1024) /* one answer may be large; more is not kept */
#define RPC_BATCH_ANSWERS     (16U * 1024 * 1024) /* of one batch; what has not begun then is refused */
#define RPC_STALL_USEC        (30 * UINT64_C(1000000))
#define RPC_SOCKET            "rpc.sock" /* in the folder of what runs */

/* Everybody can connect: callers without a role get less, so that others find room. */
#define RPC_PLAIN_CONNECTIONS     256 /* of all of them */
#define RPC_PLAIN_UID_CONNECTIONS 32  /* of one uid */
#define RPC_PLAIN_CALLS           4   /* under way, of one connection */
#define RPC_PLAIN_BATCH           16
#define RPC_PLAIN_MESSAGE         (64U * 1024) /* they may send no XML */

struct rpc_options {
	gid_t gids[API_ROLE_X_MAX]; /* whose members have the role; 0: no such group */
	uint64_t stall_usec;        /* 0: RPC_STALL_USEC */
	unsigned max_connections;   /* 0: RPC_MAX_CONNECTIONS */
};

struct rpc;

int rpc_new(struct manager *manager, const struct rpc_options *options, struct rpc **ret_rpc);
/* Ends the connections; calls under way go on without an answer. */
struct rpc *rpc_free(struct rpc *rpc);
DEFINE_CLEANUP(struct rpc *, rpc_free);

/* Accept connections of a listening unix stream socket, which is taken over, also on failure. */
int rpc_listen(struct rpc *rpc, int fd);
/* Make a listening socket at 'path', in the place of one that nobody listens at any more, with this mode and group (0: as it is).
 * Returns the fd, -EADDRINUSE when somebody listens there, or another errno. */
int rpc_open_socket(const char *path, mode_t mode, gid_t gid);

/* For metrics. */
unsigned rpc_n_connections(const struct rpc *rpc);
unsigned rpc_n_subscriptions(const struct rpc *rpc);

/* Serve one connected unix socket, which is taken over. */
int rpc_accept(struct rpc *rpc, int fd);
