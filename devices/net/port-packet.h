/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A port on a physical NIC by an AF_PACKET socket, which leaves the NIC to the host as well. The socket was opened by
 * the daemon: SOCK_RAW, bound to the NIC with ETH_P_ALL, promiscuous, PACKET_IGNORE_OUTGOING, PACKET_VNET_HDR,
 * PACKET_AUXDATA, a locked filter; it does not block.
 *
 * Frames come and go with their offloads (virtio's header of 10 bytes): a NIC that merges segments gives them whole, one
 * that can segment gets them whole; what the kernel does not take whole (-EINVAL: USO, before Linux 6.2) is cut here. The kernel takes the outer VLAN tag out of what it receives and tells it beside the
 * frame; on the way out the tag is in the bytes.
 *
 * Receiving is by recvmmsg(), PORT_PACKET_BATCH frames a call. (A TPACKET_V3 ring would save a copy, but hands out whole
 * blocks: a lone frame would wait a millisecond for its block's timeout.)
 *
 * Link state and speed are asked of the NIC by the same socket (ETHTOOL_GLINK, ETHTOOL_GLINKSETTINGS; no privilege).
 *
 * Threads: the loop's.
 */
#pragma once

#include "devices/net/vswitch.h"
#include "vmm-core/base/loop.h"

#define PORT_PACKET_BATCH 16

struct port_packet_slots;

struct port_packet {
	struct port port; /* first; kind, counters and cookie are the owner's to set */
	struct loop *loop;
	struct loop_source *source;
	int fd; /* not owned */
	char ifname[NET_IFNAME_MAX];
	/* NULL: frames go to the switch at once. Else the owner's: a team looks at them first. */
	void (*input)(struct port_packet *packet, struct frame *frame, uint64_t now_ns);
	/* With 'input', which has been called for all there was for now. */
	void (*input_done)(struct port_packet *packet, uint64_t now_ns);
	struct port_packet_slots *slots;
};

int port_packet_init(struct port_packet *packet, struct loop *loop, int fd, const char *ifname);
void port_packet_done(struct port_packet *packet);

/* 1: carrier; 0: none; or -errno (-ENODEV: the NIC is gone, even if another has its name now). '*ret_mbps' (may be NULL): 0 if unknown. */
int port_packet_link(const struct port_packet *packet, uint32_t *ret_mbps);
/* Bytes that were sent and have not left the socket yet. */
uint32_t port_packet_pending(const struct port_packet *packet);
