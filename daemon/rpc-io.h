/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of a JSON-RPC connection, whatever carries them. Non-blocking; one owner, the connection.
 *
 * Tested by tests/unit/test-rpc.c.
 */
#pragma once

#include <sys/types.h>

#include "daemon/api.h"

struct rpc_io;

struct rpc_io_ops {
	/* Bytes, 0 at the end, -EAGAIN, or another errno: the connection is over. */
	ssize_t (*read)(struct rpc_io *io, void *buf, size_t size);
	/* Bytes taken (at least 1), -EAGAIN (then the next one has the same bytes), or another errno. 'pass_fd' (>= 0; only if it
	 * passes_fds) goes with the first of them; it stays the caller's. */
	ssize_t (*write)(struct rpc_io *io, const void *buf, size_t len, int pass_fd);
	/* What to wait for (EPOLLIN, EPOLLOUT), to read and, if 'writing', to write. */
	uint32_t (*events)(struct rpc_io *io, bool reading, bool writing);
	/* Bytes are here that the kernel does not tell about. */
	bool (*pending)(struct rpc_io *io);
	void (*free)(struct rpc_io *io); /* closes the fd */
	bool passes_fds;                 /* to the caller: 'pass_fd' may be one */
};

struct rpc_io {
	const struct rpc_io_ops *ops;
	int fd;
};

/* A connected unix stream socket, which is taken over. NULL: no memory, and the socket is closed. One that is bound to a name that
 * begins with NUL and VMMD_BRIDGE_NAME is a bridge's (client/bridge.h), behind which no descriptor gets. */
struct rpc_io *rpc_io_new_unix(int fd);

/* Who is at the other end of a unix socket: root and 'own_uid' are administrators; others have the greatest role of whose group
 * (gids[role]; 0: there is none) they were members when they connected, or none. */
void rpc_io_unix_peer(
	int fd, uid_t own_uid, const gid_t gids[API_ROLE_X_MAX], struct api_peer *ret);
