/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The switch: IEEE 802.1Q forwarding between ports, with the policy of each. It knows ports and frames, no devices, no
 * processes, no sockets and no clock; so it is tested with fake ports and invented time.
 *
 * It is used twice. In the network worker it is the whole switch: a port for each vNIC of the network, the host's port,
 * the uplinks' team. In a machine's worker there is one for each vNIC, with the vNIC and its links to others: the
 * star (to the network worker) and direct links; there the star is the default uplink.
 *
 *	kind	unknown unicast goes there	to an uplink	policy of senders
 *	VNIC	only if promiscuous or learning	yes		all of struct net_port_config
 *	HOST	likewise			yes		all, by its own config
 *	UPLINK	yes (the default uplink)	never		VLANs, reflection; all, if 'guarded'
 *	MIRROR	never; copies only		never		may not send
 *
 * The default uplink is the way to the rest of the world: floods and unknown addresses go there. It is the first UPLINK port
 * that was added and is not guarded; a network has one, its team. Other UPLINK ports get frames for the addresses that
 * vswitch_add_address() gives them, and nothing else: direct links.
 *
 * Addresses of ports (net_port_config.mac) are static: authoritative, in every VLAN of the port, never moved by what
 * others send. The MAC of an UPLINK's configuration is none of these. Ports with NET_PORT_LEARN (which may
 * therefore send from any address) teach theirs, up to a limit, aged; uplinks teach nothing: what is not here is there. A frame from an uplink whose source is an address of a local
 * port is a reflection and goes no further; a learned address counts as local for VSWITCH_REFLECT_NS after it was seen,
 * then it has moved out.
 *
 * A frame is checked in this order, and the first that fails counts: link, VLAN, reserved addresses, source MAC, ARP/ND,
 * IP, DHCP, RA, storm, rate. A refusal of one receiver never ends a flood.
 *
 * Reserved addresses (01:80:c2:00:00:00 … 0f) go from ports with NET_PORT_ALLOW_BPDU and from uplinks to such ports and the
 * default uplink. Pause frames and slow protocols (LACP) are between neighbours and never forwarded.
 *
 * Counters. Each frame that a port sends is counted once there: in tx_packets when the checks let it pass (but see blame_sender), or under
 * its reason in tx_drops (vswitch_drop() counts there too). Each frame that a port should have been given is counted once
 * there: in rx_packets, or in rx_drops with what was wrong with the receiver: LINK_DOWN, MTU, RATE, FULL, NO_UPLINK, PEER
 * (and VLAN: its bytes hide a second tag, see vlan.h). Ports that a flood does not concern count nothing. Bytes are
 * without the outer tag.
 *
 * Limits. NET_DROP_STORM: broadcast_pps and multicast_pps of the sender; unknown_pps counts unknown unicast only as far as
 * it is shown to ports that did not ask for it (learning ports), not what goes to the default uplink. <bandwidth>
 * outbound is backpressure: -EAGAIN, and vswitch_retry_ns() says when; inbound drops at the receiver. A port's floor
 * is its part of the network's inbound average, which the others cannot take; who configures ports sees to it that floors are
 * together no more than that average.
 *
 * Frames are given on at once (run to completion); ports publish in flush(), which vswitch_flush() calls for those that
 * were written to: once per batch of its caller.
 *
 * Threads: one at a time; in a worker, the machine's lock. In transmit() and in vswitch_ops nothing of a switch may be called but
 * the walks and lookups. flush() may remove ports.
 */
#pragma once

#include "devices/net/frame.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/list.h"

struct vswitch;
struct port;

enum port_kind { PORT_VNIC, PORT_HOST, PORT_UPLINK, PORT_MIRROR, PORT_KIND_X_MAX };

struct port_ops {
	/* Take the frame towards the owner of the port: copy what is to be kept. 'tci': the tag to put in, by the port's
	 * VLAN rules, -1 for none. Returns 0, -EAGAIN (no room now: the caller may try again, see vswitch_input()) or another
	 * negative errno: the frame is lost, for NET_DROP_FULL (-ENOBUFS), NO_UPLINK (-ENETDOWN), MTU (-EMSGSIZE), LINK_DOWN
	 * (-ENOLINK) or else PEER. Only the port's own state may change in here: no vswitch_input(). */
	int (*transmit)(struct port *port, const struct frame *frame, int32_t tci);
	/* transmit() was called since the last flush(): publish, kick, interrupt. May be NULL. */
	void (*flush)(struct port *port);
};

/* Embedded in its owner (a vNIC, a link, a tap, a team). The first part is the owner's to set before vswitch_add(). */
struct port {
	const struct port_ops *ops;
	struct net_port_counters *counters; /* never NULL; where the owner shares them */
	enum port_kind kind;
	uint32_t cookie; /* the owner's: a number for events and teams */
	/* UPLINK only: a link to one other port, whose configuration this is. Who sends there is checked by it as a VNIC is,
	 * since the other process may be hostile. On the link the VLAN is always in the tag (vlan.h, wire). */
	bool guarded;

	/* vswitch.c's. 'sw' is NULL while the port is in none. */
	struct vswitch *sw;
	struct port_state
		*state; /* configuration digested: VLAN bitmap, buckets, learned addresses */
	struct list link, dirty_link;
	bool dirty;
};

/* What a switch tells its owner. All may be NULL. */
struct vswitch_ops {
	/* 'ip' was seen to belong to 'mac' behind a VNIC port (ARP, ND, DHCP answers): new, or seen anew after a minute.
	 * Ports without guards claim what they like. */
	void (*address)(void *opaque, struct port *port, const uint8_t mac[NET_MAC_LEN],
		const struct net_ip *ip);
	/* Two VNIC ports exchange many unicast frames (VSWITCH_PAIR_FRAMES within VSWITCH_PAIR_NS): worth a direct link. At
	 * most once in VSWITCH_PAIR_TELL_NS for a pair. */
	void (*pair)(void *opaque, struct port *a, struct port *b);
};

#define VSWITCH_PAIR_FRAMES  64
#define VSWITCH_PAIR_NS      UINT64_C(100000000)
#define VSWITCH_PAIR_TELL_NS UINT64_C(1000000000)
#define VSWITCH_REFLECT_NS   UINT64_C(2000000000)

struct vswitch_config {
	uint64_t seed[2];  /* random: keys of hash tables */
	uint16_t mtu;      /* of the network; ports may have less */
	bool arp_suppress; /* ARP and ND requests for addresses of ports go to that port alone */
	bool snoop_multicast; /* IGMP and MLD decide who gets a group's frames (mcast.h); off: everybody */
	/* Of a vNIC's own switch, whose uplinks are cables that nobody reads the counters of: what the one receiver of a frame
	 * (of a flood: the default uplink) could not be given counts at its sender too: in tx_drops, and not in tx_packets. */
	bool blame_sender;
	/* The network's <bandwidth>: what all VNIC ports together are sent by the HOST port and the default uplink (in), and
	 * send there (out). What they send each other does not count. */
	struct net_bandwidth bandwidth;
};

int vswitch_new(const struct vswitch_config *config, const struct vswitch_ops *ops, void *opaque,
	struct vswitch **ret_sw);
/* Ports must have been removed. Takes NULL; answers NULL. */
struct vswitch *vswitch_free(struct vswitch *sw);
DEFINE_CLEANUP(struct vswitch *, vswitch_free);

/* Returns 0, -ENOSPC (NET_MAX_PORTS, or FDB_MAX_LEARNED addresses that all ports together may teach), -EEXIST (another port
 * has this address in a common VLAN), -EINVAL (config), -ENOMEM. 'config' is copied. A MAC of zeroes: no address. */
int vswitch_add(struct vswitch *sw, struct port *port, const struct net_port_config *config);
/* The same checks, and nothing changes if they fail; the port's counters, buckets (of limits that stay the same), memberships
 * and learned addresses stay as far as they still fit. */
int vswitch_reconfigure(
	struct vswitch *sw, struct port *port, const struct net_port_config *config);
/* With its addresses, memberships and mirrors. It is not flushed: what was transmitted stays with the port's owner. */
void vswitch_remove(struct vswitch *sw, struct port *port);
/* Further addresses that are reached by this port, beside its own: of a link, those behind its peer. Returns 0 (also when
 * it has it already), -EEXIST, -EINVAL (not a unicast address), -ENOSPC or -ENOMEM; -ENOENT when there is none to remove. */
int vswitch_add_address(struct vswitch *sw, struct port *port, const uint8_t mac[NET_MAC_LEN]);
int vswitch_remove_address(struct vswitch *sw, struct port *port, const uint8_t mac[NET_MAC_LEN]);
/* What 'from' (NULL: any port) sends and the checks let pass (dir & TX) and what it is given (dir & RX) goes to 'to' (kind MIRROR)
 * as well, with the tag of its VLAN, or (AS_SEEN) with the one that 'from' sees; dir 0 ends it. A mirror gets a frame once,
 * whatever it watches; one that has no room loses copies, never delays the frame. Returns 0, -EINVAL ('to' is no MIRROR,
 * 'from' is one), or -ENOSPC (VSWITCH_MAX_MIRRORS). Costs a frame nothing while there is none. */
#define VSWITCH_MAX_MIRRORS    12
#define VSWITCH_MIRROR_TX      1
#define VSWITCH_MIRROR_RX      2
#define VSWITCH_MIRROR_AS_SEEN 4
int vswitch_mirror(struct vswitch *sw, struct port *from, unsigned dir, struct port *to);

/* A frame from 'port'. The frame's vid is set here. Returns 0 when it was dealt with (delivered or dropped, counted), or
 * -EAGAIN: a unicast frame for a port without room, or any frame of a port that sends faster than it may. Then nothing
 * was delivered, counted or charged; the caller may keep it and come again, or give it up with vswitch_drop(). A receiver of
 * a flood that has no room loses its copy: that is never answered with -EAGAIN. */
int vswitch_input(struct vswitch *sw, struct port *port, struct frame *frame, uint64_t now_ns);
/* After -EAGAIN: when to come again, if it was for a limit of the rate; 0: for a receiver without room, which says so itself. */
uint64_t vswitch_retry_ns(const struct port *port);
/* Count a frame of 'port' that the owner gave up. */
void vswitch_drop(struct port *port, enum net_drop reason);
/* End of a batch. */
void vswitch_flush(struct vswitch *sw);

/* When vswitch_poll() is next wanted; UINT64_MAX while nothing ages. What is too old is not used even if that is late: it
 * only takes room. */
uint64_t vswitch_deadline(const struct vswitch *sw);
void vswitch_poll(struct vswitch *sw, uint64_t now_ns);

/* Lookups. */

/* The port that has this address in this VLAN; NULL: none that is known. '*ret_age_ns': since the address was last seen; of a
 * static one 0. */
struct port *vswitch_find(const struct vswitch *sw, const uint8_t mac[NET_MAC_LEN], uint16_t vid,
	uint64_t now_ns, uint64_t *ret_age_ns);
/* The IP addresses of the VNIC or host port behind which 'mac' is in this VLAN, as far as they are configured or were seen
 * lately (by a switch that tells addresses, or suppresses ARP), at most 'max'. Returns their number. */
unsigned vswitch_ips_of(const struct vswitch *sw, const uint8_t mac[NET_MAC_LEN], uint16_t vid,
	uint64_t now_ns, struct net_ip *ret_ips, unsigned max);
/* Within transmit(): whose frame it is. */
const struct port *vswitch_sender(const struct vswitch *sw);
/* The switch's copy. */
const struct net_port_config *vswitch_port_config(const struct port *port);

/* Walks for status: each learned or static address; each membership in a multicast group. */
struct vswitch_entry {
	uint8_t mac[NET_MAC_LEN];
	uint16_t vid; /* static: 0 */
	bool is_static;
	const struct port *port;
	uint64_t age_ns; /* since it was last seen; of a membership: until it ends */
};
void vswitch_each_address(const struct vswitch *sw, uint64_t now_ns,
	void (*found)(void *opaque, const struct vswitch_entry *entry), void *opaque);
void vswitch_each_group(const struct vswitch *sw, uint64_t now_ns,
	void (*found)(void *opaque, const struct vswitch_entry *entry), void *opaque);
