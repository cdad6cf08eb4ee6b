/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's side of one vNIC: a tap, alone or as a port of a bridge, or a macvtap on a NIC. What ioctl(2) cannot do is
 * asked of rtnetlink(7), in one request and its answer, which the kernel gives at once: nothing here blocks.
 *
 * A tap goes with its last fd. A macvtap does not: who made it removes it, if need be by its name and what it was made of
 * (host_link_remove_macvtap()), after another daemon made it.
 *
 * Interfaces have no IPv6 address of their own, where the kernel lets that be said: nothing of the host's speaks on them.
 *
 * Threads: the daemon's one. Errors name the interface, and what to do about it.
 */
#pragma once

#include "config/net-config.h"
#include "daemon/error.h"

struct host_tap {
	const char *ifname; /* must not exist */
	const uint8_t *mac; /* of the vNIC: the tap's own differs in its first byte, see below */
	unsigned mtu;       /* 0: the kernel's default */
	const char *bridge; /* NULL: none */
	bool isolated;      /* with 'bridge': never to or from another isolated port */
	const struct net_vlan *vlan; /* with 'bridge': mode ANY: as the bridge does by default */
};

/* Make it, as devices/net/port-tap.h wants it, and bring it up. Its address is the vNIC's with fe for the first byte (fa, if
 * it is that): a bridge takes the lowest of its ports' addresses, and the vNIC's own must not be the host's. Refuses (and
 * then there is no tap): a name that is taken, a bridge that is none, VLANs on a bridge without VLAN filtering. */
int host_link_make_tap(const struct host_tap *tap, int *ret_fd, struct error *error);
/* Take a tap that somebody else has made (persistent, with one queue or several): nothing of it is changed. */
int host_link_open_tap(const char *ifname, int *ret_fd, struct error *error);

/* An interface that a network has for an uplink. A tap that no program holds, and a macvtap of mode passthru, are used by
 * their devices, as devices/net/port-tap.h wants them: the network is at their other end. Of all others, a tap that another
 * program holds among them, nothing is opened: they are NICs (host_net_open_packet()). Nothing of the interface is changed. */
struct host_uplink {
	bool is_tap;
	bool is_exclusive;        /* the host has no part in it, whatever the configuration says */
	int fd;                   /* is_tap */
	uint8_t mac[NET_MAC_LEN]; /* is_tap: for the frames that a team makes itself */
};
/* Refuses an interface that is not there, and macvtaps of other modes, which are not given what is for guests. */
int host_link_open_uplink(const char *ifname, struct host_uplink *ret, struct error *error);

/* The MTU of an interface. -EIO (with 'error': "the host has no bridge …", 'what' being "bridge"): there is none. */
int host_link_mtu(const char *what, const char *ifname, unsigned *ret_mtu, struct error *error);

struct host_macvtap {
	const char *ifname; /* must not exist */
	const char *lower;  /* the NIC */
	const uint8_t *
		mac; /* the vNIC's and its own; with passthrough the NIC's too, until it is removed */
	unsigned mtu;  /* 0: the NIC's */
	uint32_t mode; /* MACVLAN_MODE_* of <linux/if_link.h>: private, vepa, bridge, passthru */
};

/* Make it and bring it up; the fd is as a tap's. */
int host_link_make_macvtap(const struct host_macvtap *macvtap, int *ret_fd, struct error *error);
/* Remove it, if an interface of this name is a macvtap on 'lower' with this address: then it is the one. 0 also when there is
 * none; -EEXIST: it is another; or what the kernel says. */
int host_link_remove_macvtap(const char *ifname, const char *lower, const uint8_t mac[NET_MAC_LEN]);
