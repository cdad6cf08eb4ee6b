/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network inside its worker: no machine, one switch, a link for each vNIC, the host's port, the uplinks. vmm-core only
 * declares it for control-start.c and control-net.c; devices/fabric/network.c implements it, as devices/registry.c implements
 * device_class_find().
 *
 * Threads: the loop's, which is the only one of the process.
 */
#pragma once

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/loop.h"
#include "vmm-core/proto.h"

/* The fds of START_NETWORK, by kind; -EBADF: none. Owned by the network from network_new() on. */
struct network_fds {
	int stats, host_tap, rtnetlink;
	int uplinks[NET_MAX_UPLINKS];
};

struct network_owner {
	/* Something for the daemon; control-events.c limits how many. False: it was not sent. */
	bool (*event)(void *opaque, const struct proto_net_event *event);
	/* TEAM_STATE or TEAM_REPORT, which the network itself limits. 0; -ENOTCONN: nobody listens, network_connected() tells
	 * when; -EAGAIN: not now. */
	int (*team)(void *opaque, enum proto_type type, const void *payload, size_t len);
	void *opaque;
};

struct network;

void network_fds_init(struct network_fds *fds);
void network_fds_done(struct network_fds *fds);

/* Make the network and its uplinks. 'fds' is taken over, whatever the answer. On failure the answer is negative and
 * ret_reason[PROTO_REASON_MAX] says why. */
int network_new(const struct net_config *config, struct network_fds *fds, struct loop *loop,
	const struct network_owner *owner, struct network **ret_network, char *ret_reason);
struct network *network_free(struct network *network);
DEFINE_CLEANUP(struct network *, network_free);

/* fds[PROTO_LINK_FDS] are taken over, whatever the answer. -EINVAL (number, config, mirrors), -EEXIST (number or address), or what
 * ring_open() says. */
int network_port_add(struct network *network, const struct proto_port *port, int *fds);
int network_port_set(struct network *network, const struct proto_port *port);
int network_port_remove(struct network *network, unsigned port);
/* A NIC that was gone is back, another has come in its place, or (index: behind the last) a new one. 'fd' is taken over, whatever
 * the answer. -EINVAL (no such uplink, or not one that can be), -EEXIST (it is not gone). */
int network_uplink_add(struct network *network, const struct proto_uplink *uplink, int fd);
/* It is used no more; others carry on with what it carried. Its number is free for another. -EINVAL: no such uplink. */
int network_uplink_remove(struct network *network, unsigned index);
/* Frames that pass, or those of one uplink, for a reader outside (devices/net/capture.h). The fds are taken over, whatever the
 * answer. -ENODEV (no such uplink), or what captures_add() says. */
int network_capture(
	struct network *network, const struct proto_capture *capture, int fd, int counts_fd);

/* A new daemon listens. */
void network_connected(struct network *network);
/* The state of the team is told (owner.team) before these return. -ENOENT: the network has no uplinks. */
int network_team_look(struct network *network);
int network_team_test(struct network *network, const struct proto_team_test *test);
