/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who wants which multicast group: RFC 4541 (IGMP and MLD snooping), fed with what snoop.h reads out of frames.
 *
 * Ports are numbers below NET_MAX_PORTS, groups are multicast MAC addresses (fdb_mac()) in a VLAN: several IP groups share
 * one, which costs a receiver a frame that it did not ask for and never one that it did.
 *
 * A frame goes to everybody unless all of this holds: the group is of IP and not one that is never reported
 * (224.0.0.x, ff02::1); somebody asked in the last MCAST_QUERIER_NS who wants what in this VLAN and for this IP version,
 * and the time for answers to the first such query is over; and somebody did want the group. Without a
 * querier memberships are not renewed, and a member could be missed: so nothing is filtered then (as the Linux bridge does).
 *
 * Memberships last MCAST_MEMBER_NS after the last report. A leave shortens that to MCAST_LEAVE_NS, in which another
 * member behind the same port may answer the querier. Ports that ask are router ports and get every group for
 * MCAST_QUERIER_NS. A port that wants more than MCAST_MAX_JOINS groups, or one more than the table holds, gets every group
 * too: it misses nothing, and makes nobody else miss anything.
 *
 * Threads: one at a time. Joins allocate; looking up does not.
 */
#pragma once

#include "devices/net/vlan.h"
#include "vmm-core/base/cleanup.h"

#define MCAST_MAX_GROUPS 1024                 /* of all ports together */
#define MCAST_MAX_JOINS  128                  /* of one port */
#define MCAST_MEMBER_NS  (260 * NSEC_PER_SEC) /* RFC 3376, 8.4: Group Membership Interval */
#define MCAST_QUERIER_NS (255 * NSEC_PER_SEC) /* 8.5: Other Querier Present Interval */
#define MCAST_LEAVE_NS   (2 * NSEC_PER_SEC)   /* 8.8 and 8.9: Last Member Query Time */
#define MCAST_ANSWER_NS                                                                            \
	(10 * NSEC_PER_SEC) /* 8.3: Query Response Interval; the least that is waited */

struct mcast;

struct mcast_set {
	uint64_t words[NET_MAX_PORTS / 64];
};

static inline bool mcast_set_has(const struct mcast_set *set, unsigned port)
{
	return set->words[port / 64] >> (port % 64) & 1;
}

static inline void mcast_set_add(struct mcast_set *set, unsigned port)
{
	set->words[port / 64] |= UINT64_C(1) << (port % 64);
}

int mcast_new(const uint64_t seed[2], struct mcast **ret_mcast);
struct mcast *mcast_free(struct mcast *m);
DEFINE_CLEANUP(struct mcast *, mcast_free);

/* What a port reported. Unicast and never-reported addresses are ignored. */
void mcast_join(struct mcast *m, unsigned port, uint64_t mac, uint16_t vid, uint64_t now_ns);
void mcast_leave(struct mcast *m, unsigned port, uint64_t mac, uint16_t vid, uint64_t now_ns);
/* The port is to get every group, for MCAST_MEMBER_NS. */
void mcast_join_all(struct mcast *m, unsigned port, uint64_t now_ns);
/* A general query, to be answered within 'answer_ns': a router, or a switch in its place, is behind this port. */
void mcast_query(struct mcast *m, unsigned port, uint16_t vid, bool ipv6, uint64_t answer_ns,
	uint64_t now_ns);
/* All that is known of a port goes. */
void mcast_remove_port(struct mcast *m, unsigned port);
/* The port's VLANs have changed: memberships in others go. */
void mcast_prune_port(struct mcast *m, unsigned port, const struct vlan *vlan);

/* True: '*ret_set' are the members and router ports; false: everybody. */
bool mcast_find(
	struct mcast *m, uint64_t mac, uint16_t vid, uint64_t now_ns, struct mcast_set *ret_set);

/* Who is to hear reports: router ports alone, since a member that hears another's report keeps its own to itself (IGMPv1, v2,
 * MLDv1) and would be missed. False: everybody, as nobody asks in this VLAN. */
bool mcast_routers(
	struct mcast *m, uint16_t vid, bool ipv6, uint64_t now_ns, struct mcast_set *ret_set);

/* Forget what is too old; when that is next wanted, UINT64_MAX for never. */
void mcast_age(struct mcast *m, uint64_t now_ns);
uint64_t mcast_deadline(const struct mcast *m);

/* Each membership. */
void mcast_each(const struct mcast *m,
	void (*found)(void *opaque, uint64_t mac, uint16_t vid, unsigned port, uint64_t expires_ns),
	void *opaque);
