/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * D-Bus without a bus between: a socket, at which each administrator has a connection of his own, with the objects and methods of the bus
 * (dbus.h). A call is one write and one read at either end, where the bus daemon makes twice that and two wake-ups more. vmctl takes
 * it where it can (VMMD_DBUS_SOCKET), and the bus where it cannot.
 *
 * Who calls is what the kernel says of the socket (SO_PEERCRED, SO_PEERGROUPS), as for JSON-RPC: root, the daemon's user, and members of the
 * administrators' group are let in, with that role for all that comes by the connection, and nobody is asked for a password here.
 * The mode of the socket keeps others out; who comes all the same is sent away. They take the bus, where polkit is asked.
 *
 * Limits: DBUS_DIRECT_MAX connections; calls as on a bus; one that does not take what it is sent is closed, as soon as DBUS_DIRECT_QUEUE
 * messages wait for it. Connections end with the daemon; nothing else does.
 *
 * One thread, the daemon's. Tested by tests/unit/test-dbus-direct.c.
 */
#pragma once

#include "daemon/api.h"
#include "daemon/manager.h"

#define DBUS_DIRECT_MAX   64
#define DBUS_DIRECT_QUEUE 4096

struct dbus_direct;

/* Take connections of a listening unix stream socket, which is taken over, also on failure. 'admin_gid': whose members are let in, too; 0:
 * there is no such group. */
int dbus_direct_new(
	struct manager *manager, int listen_fd, gid_t admin_gid, struct dbus_direct **ret_direct);
struct dbus_direct *dbus_direct_free(struct dbus_direct *direct);

unsigned dbus_direct_n_connections(const struct dbus_direct *direct);

/* Serve a connected socket, which is taken over, for 'peer'. 0, -EACCES (no administrator), -EBUSY, or another errno. */
int dbus_direct_accept(struct dbus_direct *direct, int fd, const struct api_peer *peer);
