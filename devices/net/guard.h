/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a port may say: the checks of its frames against its configuration (struct net_port_config), by whoever forwards
 * or receives them. Frames to it are not checked here, and VLANs, isolation, storms and rates are the switch's.
 *
 *	reserved	always, but for NET_PORT_ALLOW_BPDU: to 01:80:c2:00:00:0x, MAC control and slow protocols (0x8808,
 *			0x8809), Cisco's spanning tree and link protocols (01:00:0c:cc:cc:cc, …:cd)
 *	source MAC	the port's own, but for NET_PORT_ALLOW_FORGED; never a group or zero
 *	ARP, ND		NET_PORT_GUARD_ARP: senders of ARP, source, target and link-layer options of ND
 *	IP source	NET_PORT_GUARD_IP
 *	DHCP		NET_PORT_GUARD_DHCP: nothing from a server's port or to a client's, DHCPv4 and DHCPv6
 *	RA		NET_PORT_GUARD_RA: router advertisements and redirects, of ICMPv6 (RFC 6105, 7113) and ICMPv4
 *
 * The port's own addresses are those of the configuration, those that were learned (NET_PORT_LEARN_IPS), and for IPv6 the
 * link-local address made of the MAC address (RFC 4291, A; addresses made otherwise must be configured or learned). With
 * none, GUARD_ARP and GUARD_IP let nothing pass but questions for an address: ARP probes, DHCP, router solicitations and
 * reports of multicast listeners.
 *
 * With any guard on, what cannot be judged is dropped: IP and ARP that do not parse, IPv6 whose upper header is too far
 * behind extension headers, in first fragments too (RFC 7112), ND in fragments (RFC 6980), more tags than are looked
 * behind, and SNAP, in which some receivers look for IP.
 *
 * Threads: none of its own.
 */
#pragma once

#include "devices/net/frame.h"

#define GUARD_MAX_LEARNED  16
#define GUARD_LEARNED_IPV4 1 /* of GUARD_MAX_LEARNED, from ARP: as libvirt's learning */

/* Embedded in the port's owner; all zeroes is "nothing yet". */
struct guard_learned {
	uint32_t n;
	bool dhcp; /* the IPv4 address is a server's word */
	struct net_ip ips[GUARD_MAX_LEARNED];
};

/* May this frame go on? In the order of the table above. 'learned' may be NULL. */
enum net_drop guard_check(const struct net_port_config *config, const struct guard_learned *learned,
	const struct frame *frame);

/* Learn from a frame of the port itself, before guard_check(): with NET_PORT_LEARN_IPS, the first IPv4 address of ARP
 * unless DHCP gave one, and the first IPv6 addresses of ND, while there is room. Of a family in which addresses are
 * configured nothing is learned. True when something was. */
bool guard_learn(struct guard_learned *learned, const struct net_port_config *config,
	const struct frame *frame);

/* Learn from a frame towards the port, that its sender was allowed to send: an acknowledgement of DHCP for the port's MAC
 * address. The address takes the place of the IPv4 addresses learned before. True when that changed anything. */
bool guard_learn_dhcp(struct guard_learned *learned, const struct net_port_config *config,
	const struct frame *frame);
