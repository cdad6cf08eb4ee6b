/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a switch, for its parts:
 *
 *	vswitch.c		life, walks, ageing, the end of a batch
 *	vswitch-port.c		ports: their configuration digested, addresses, mirrors
 *	vswitch-policy.c	what a sender may do; what its frames tell
 *	vswitch-forward.c	who gets a frame
 *	vswitch-deliver.c	giving it to one port; mirrors; pairs
 */
#pragma once

#include "devices/net/fdb.h"
#include "devices/net/guard.h"
#include "devices/net/mcast.h"
#include "devices/net/neigh.h"
#include "devices/net/vswitch.h"
#include "vmm-core/base/token-bucket.h"

#define NET_ETHERTYPE_MAC_CONTROL    0x8808 /* pause */
#define NET_ETHERTYPE_SLOW_PROTOCOLS 0x8809 /* LACP, marker */

enum storm { STORM_BROADCAST, STORM_MULTICAST, STORM_UNKNOWN, STORM_X_MAX };

/* A limit that may not be there: nothing is divided and nothing is looked at then. */
struct meter {
	bool on;
	struct token_limit limit;
	struct token_bucket bucket;
};

/* How many unicast frames a pair exchanged; kept at the port with the lower index. */
struct pair {
	uint64_t since_ns; /* of this count */
	uint64_t told_ns;  /* 0: never */
	uint32_t n;
};

struct port_state {
	struct port *port;
	unsigned index; /* in sw->slots */
	uint32_t flags; /* NET_PORT_* */
	uint32_t max_len;
	bool is_uplink, is_checked /* all of the policy */, is_watcher;
	struct list watch_link; /* in sw->watchers, if is_watcher */
	uint64_t retry_ns;
	uint64_t copied; /* number of the last frame that a mirror was given */
	struct fdb_port fdb;
	struct meter storms[STORM_X_MAX], in, out;
	struct meter floor; /* of what the network's limit may not take from it */
	struct pair *pairs; /* NET_MAX_PORTS, or NULL */
	struct guard_learned guard;
	struct vlan vlan;
	struct net_port_config config;
};

struct mirror {
	struct port *from, *to; /* from NULL: every port */
	unsigned dir;
};

struct vswitch {
	struct vswitch_config config;
	struct vswitch_ops ops;
	void *opaque;
	bool busy;                 /* within vswitch_input() */
	const struct port *sender; /* of the frame that is being dealt with */
	struct list ports, dirty;
	struct port_state *slots[NET_MAX_PORTS];
	unsigned n_ports;
	struct port_state *uplink; /* the default one */
	struct list watchers;      /* ports that see unicast frames that are not for them */
	unsigned n_promiscuous;    /* those of them that see all */
	unsigned n_ip_learners;    /* ports with NET_PORT_LEARN_IPS */
	struct fdb fdb;
	struct mcast *mcast; /* NULL: no snooping */
	struct neigh *neigh; /* NULL: nobody asks for addresses */
	struct meter in, out;
	struct mirror mirrors[VSWITCH_MAX_MIRRORS];
	unsigned n_mirrors;
	uint64_t n_frames; /* number of the frame that is being dealt with */
};

static inline struct port_state *fdb_port_state(struct fdb_port *port)
{
	return container_of(port, struct port_state, fdb);
}

static inline struct port_state *list_port_state(struct list *pos)
{
	return list_entry(pos, struct port, link)->state;
}

static inline bool meter_ready(const struct meter *meter, uint64_t now_ns)
{
	return !meter->on || token_bucket_ready_ns(&meter->bucket, now_ns) <= now_ns;
}

static inline void meter_charge(struct meter *meter, uint64_t now_ns, uint64_t n)
{
	if (meter->on)
		token_bucket_charge(&meter->bucket, now_ns, n);
}

/* The bucket stays when the limit does. */
void vswitch_meter_set(struct meter *meter, const struct token_limit *limit);
void vswitch_meter_set_rate(struct meter *meter, const struct net_rate *rate);

/* vswitch-policy.c */

/* May it send this? Sets frame->vid. */
enum net_drop vswitch_check(
	struct vswitch *sw, struct port_state *src, struct frame *frame, uint64_t now_ns);
/* Addresses and groups that a frame tells of. True: it reports memberships, which only routers are to hear. */
bool vswitch_snoop(
	struct vswitch *sw, struct port_state *src, const struct frame *frame, uint64_t now_ns);
/* The port that can answer what the frame asks everybody, or NULL. */
struct port_state *vswitch_answerer(struct vswitch *sw, const struct port_state *src,
	const struct frame *frame, uint64_t now_ns);

/* vswitch-deliver.c */

void vswitch_count_tx(struct port_state *src, const struct frame *frame);
/* Give it to 'dst'. Returns 0, -EAGAIN (only if 'may_wait': nothing was done), or an enum net_drop: lost for that reason, counted
 * at 'dst'. */
int vswitch_deliver(struct vswitch *sw, struct port_state *src, struct port_state *dst,
	const struct frame *frame, uint64_t now_ns, bool may_wait);
void vswitch_mirror_copies(struct vswitch *sw, const struct port_state *watched, unsigned dir,
	const struct frame *frame);
/* A unicast frame went from one to the other. */
void vswitch_count_pair(
	struct vswitch *sw, struct port_state *src, struct port_state *dst, uint64_t now_ns);

/* May a frame of one go to the other, as far as their kinds and isolation are concerned? */
static inline enum net_drop vswitch_may_reach(
	const struct port_state *src, const struct port_state *dst)
{
	if (src == dst || (src->is_uplink && dst->is_uplink))
		return NET_DROP_SELF;
	if (src->flags & dst->flags & NET_PORT_ISOLATED)
		return NET_DROP_ISOLATED;
	return NET_DROP_NONE;
}
