/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's side of networks: packet sockets on NICs, taps, and what ioctl(2) can do to an interface. Each call is one
 * or a few system calls that do not block.
 *
 * Threads: the daemon's one. Errors name the interface.
 */
#pragma once

#include "config/net-config.h"
#include "daemon/error.h"

/* What a packet socket shows of the frames to the NIC's own address, which are the host's. All others it shows in any case:
 * addresses behind a network come and go while the socket's filter stays what it is. */
enum host_net_view {
	HOST_NET_OTHERS, /* none of them */
	HOST_NET_ANSWERS, /* ARP replies and neighbour advertisements, for a team that asks for targets */
	HOST_NET_ALL, /* all of them: the host does not use this NIC */
	HOST_NET_VIEW_X_MAX
};

/* A socket on NIC 'ifname', as devices/net/port-packet.h wants it: receives what the NIC receives, promiscuously, as far as
 * 'view' shows it. Who has the socket cannot change that: the filter is locked. '*ret_mac' is the NIC's address. Refuses
 * what is no Ethernet. */
int host_net_open_packet(const char *ifname, enum host_net_view view, int *ret_fd,
	uint8_t ret_mac[NET_MAC_LEN], struct error *error);

/* A tap named 'ifname' ("%d" in it is replaced by the kernel; made anew; it goes with its last fd), as devices/net/port-tap.h wants it, with this address and MTU
 * and up. 'mac' all zero: the kernel's choice. */
int host_net_make_tap(const char *ifname, const uint8_t mac[NET_MAC_LEN], unsigned mtu, int *ret_fd,
	struct error *error);

/* Parts of that, for host-link.h. A tap, made anew, down; a tap that is there (-EINVAL: it is none; -EBUSY, -EPERM). */
int host_net_create_tap(const char *ifname, int *ret_fd, struct error *error);
int host_net_attach_tap(const char *ifname, int *ret_fd);
/* Offload headers, and what the kernel may leave to us. 'ifname' NULL: a macvtap, whose name cannot be chosen. */
int host_net_set_tap_features(int fd, const char *ifname);
/* Address (all zero: as it is), MTU (0: as it is), and up. */
int host_net_set_up(const char *ifname, const uint8_t mac[NET_MAC_LEN], unsigned mtu, bool up);

/* Make the tap 'fd' a port of the host's bridge. */
int host_net_join_bridge(int fd, const char *bridge, struct error *error);

/* Give 'ifname' an address (4 or 6) with its prefix. */
int host_net_add_address(const char *ifname, const struct net_ip *ip, struct error *error);

/* The host has an interface whose network has addresses in common with that of 'ip' (address and prefix). Returns 0 with
 * its name, -ENOENT or another negative errno. The loopback does not count. */
int host_net_find_overlap(const struct net_ip *ip, char ret_ifname[NET_IFNAME_MAX]);

/* A netlink socket that hears of links that change. */
int host_net_open_rtnetlink(int *ret_fd, struct error *error);
