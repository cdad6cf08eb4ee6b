/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The uplinks of a network in its worker: one UPLINK port of its switch, with a team (devices/net/team.h) behind it, whose
 * members are NICs (port-packet.h) and taps (port-tap.h) on fds that the daemon opened. A single uplink is a team of one.
 *
 * Out: the switch's frame goes by team_transmit() to one member, with its offloads and its tag. In: each frame of a member
 * is shown to the team, and then goes to the switch, or is counted under the team's reason, or was the team's own.
 *
 * Link state is polled, every poll_ms (100): netlink alone can be a second late, as the kernel collects changes of ordinary
 * NICs for the whole host. Netlink is a hint to poll at once. A tap is up as long as it is there. A NIC that is gone stays
 * gone until uplinks_add(), though another of its name may come: its socket does not follow.
 *
 * An idle network wakes up for these polls and for nothing else. (Beacons, probes and LACP have times of their own.)
 *
 * Counters, by member, are as for ports: tx is what came in over it, rx what was sent out. Frames that no member can take
 * count as NO_UPLINK at the one that was used last.
 *
 * What the daemon is told of links, members and failovers: team-news.h. Guests' links hang on it.
 *
 * Threads: the loop's. Tested by tests/unit/test-uplinks.c, tests/net/test-uplinks.c and
 * tests/net/test-failover.c.
 */
#pragma once

#include "devices/net/team.h"
#include "devices/net/vswitch.h"
#include "vmm-core/network.h"

struct uplinks;

/* 'fds' and 'counters' (NET_MAX_UPLINKS of them) must outlive it; the fds stay the caller's. The port is in 'sw' afterwards; no
 * other port of it is an UPLINK. Links are looked at in the loop's next turn. Returns 0, -EBADF (an fd is missing), or what
 * team_new(), vswitch_add() and the ports say. */
int uplinks_new(const struct net_config *config, const struct network_fds *fds,
	const uint64_t seed[2], struct loop *loop, struct vswitch *sw,
	struct net_port_counters *counters, const struct network_owner *owner,
	struct uplinks **ret_uplinks);
/* Before the switch goes. Takes NULL; answers NULL. */
struct uplinks *uplinks_free(struct uplinks *uplinks);
DEFINE_CLEANUP(struct uplinks *, uplinks_free);

/* Ports of the switch, by their cookie. */
void uplinks_port_added(struct uplinks *uplinks, uint32_t cookie);
void uplinks_port_removed(struct uplinks *uplinks, uint32_t cookie);

/* A NIC that was gone is back on 'fd', which the caller owns as those before; the fd of the one before is not used any more. One of
 * another name is counted from 0; one behind the last is a further member. -EINVAL or -EEXIST (it is not gone). */
int uplinks_add(struct uplinks *uplinks, unsigned member, const struct net_uplink *uplink, int fd);
/* As if its NIC were gone, but its partner (LACP) is told, and it is not looked for. Its fd is not used any more. Also one that is
 * gone already. -EINVAL: no such member. */
int uplinks_remove(struct uplinks *uplinks, unsigned member);
/* Of member 'capture->index'; The fds and the answer are network_capture()'s. */
int uplinks_capture(
	struct uplinks *uplinks, const struct proto_capture *capture, int fd, int counts_fd);

/* A new daemon listens: it is told everything. */
void uplinks_connected(struct uplinks *uplinks);
/* The state goes to the daemon before these return. 0, or -ENOTCONN or -EAGAIN: it cannot be sent now. */
int uplinks_tell(struct uplinks *uplinks);
/* team_test(), and proto.h's limits. */
int uplinks_test(struct uplinks *uplinks, const struct proto_team_test *test);
