/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the files of virtio-net (virtio 1.2, 5.1), a vNIC for the fabric (devices/net/nic.h):
 *
 *	virtio-net.c		features, configuration window, life, state, what the host asks
 *	virtio-net-io.c		frames: transmit queues, receive queues, which of them
 *	virtio-net-ctrl.c	the control queue, and the receive filter that it sets
 *
 * Pair n of queues is queue 2n (receive) and 2n + 1 (transmit); the control queue follows the last pair that the driver
 * can have: all of them with MQ, one without (5.1.2). Pairs beyond 'pairs' rest, whatever is in them.
 *
 * A frame is copied once in each direction, nothing is allocated for it, and it is never kept: a transmit chain is given
 * back as soon as the nic has dealt with it, or stays in the ring. So there is never anything in flight, and a save is
 * complete at any time.
 *
 * Who counts: what passes, and what has no room, is counted by the switch at the vNIC's port; here only what the switch
 * never sees, since it is no frame.
 *
 * Threads: the machine's lock held; frames on the loop's thread only.
 */
#pragma once

#include "devices/net/nic.h"
#include "devices/virtio/virtio-pci.h"

/* Feature bits (5.1.3). */
#define NET_F_CSUM                0
#define NET_F_GUEST_CSUM          1
#define NET_F_CTRL_GUEST_OFFLOADS 2
#define NET_F_MTU                 3
#define NET_F_MAC                 5
#define NET_F_GUEST_TSO4          7
#define NET_F_GUEST_TSO6          8
#define NET_F_GUEST_ECN           9
#define NET_F_GUEST_UFO           10
#define NET_F_HOST_TSO4           11
#define NET_F_HOST_TSO6           12
#define NET_F_HOST_ECN            13
#define NET_F_HOST_UFO            14
#define NET_F_MRG_RXBUF           15
#define NET_F_STATUS              16
#define NET_F_CTRL_VQ             17
#define NET_F_CTRL_RX             18
#define NET_F_CTRL_VLAN           19
#define NET_F_CTRL_RX_EXTRA       20
#define NET_F_GUEST_ANNOUNCE      21
#define NET_F_MQ                  22
#define NET_F_CTRL_MAC_ADDR       23
#define NET_F_GUEST_USO4          54
#define NET_F_GUEST_USO6          55
#define NET_F_HOST_USO            56
#define NET_F_SPEED_DUPLEX        63

#define NET_GUEST_OFFLOADS                                                                         \
	(VIRTIO_BIT(NET_F_GUEST_CSUM) | VIRTIO_BIT(NET_F_GUEST_TSO4) |                             \
		VIRTIO_BIT(NET_F_GUEST_TSO6) | VIRTIO_BIT(NET_F_GUEST_ECN) |                       \
		VIRTIO_BIT(NET_F_GUEST_UFO) | VIRTIO_BIT(NET_F_GUEST_USO4) |                       \
		VIRTIO_BIT(NET_F_GUEST_USO6))

/* Modes of VIRTIO_NET_CTRL_RX, a bit each by the number of its command. */
#define NET_RX_PROMISC  (1U << 0)
#define NET_RX_ALLMULTI (1U << 1)
#define NET_RX_ALLUNI   (1U << 2)
#define NET_RX_NOMULTI  (1U << 3)
#define NET_RX_NOUNI    (1U << 4)
#define NET_RX_NOBCAST  (1U << 5)
/* A table was given more addresses than it holds: then it accepts all of its kind. */
#define NET_RX_MANY_UNI   (1U << 6)
#define NET_RX_MANY_MULTI (1U << 7)

#define NET_MAX_FILTER_MACS 64 /* of one table */
#define NET_VLAN_BYTES      (4096 / 8)

struct net_mac_table {
	uint16_t n;
	uint8_t macs[NET_MAX_FILTER_MACS][NET_MAC_LEN];
};

/* What the driver wants to see. All zeroes after a reset. */
struct net_filter {
	uint8_t mode; /* NET_RX_* */
	struct net_mac_table uni, multi;
	uint8_t vlans[NET_VLAN_BYTES]; /* a bit each */
};

/* Which pair a flow was last sent by (5.1.6.5.6), direct-mapped by the flow's hash: the hash without its low bits, and
 * there the pair + 1. Collisions cost a flow its queue, nothing else. */
#define NET_STEERING_SIZE 1024

struct virtio_net {
	struct virtio_device v;
	const struct vm_nic *config;
	struct net_port_config place; /* as the host wants it */
	struct nic *nic;
	struct port port;
	struct net_port_counters own_counters; /* where nobody shares them */
	unsigned max_pairs;
	uint32_t max_frame; /* MTU and Ethernet's header */

	/* The driver's wishes. */
	uint16_t pairs;
	uint64_t offloads; /* of NET_GUEST_OFFLOADS, as bits of features */
	uint8_t mac[NET_MAC_LEN];
	bool announce; /* it was asked, and has not said that it heard */
	struct net_filter filter;

	/* At work; a bit for each pair. */
	uint32_t
		tx_allowed; /* of negotiated offloads: 1 << NET_HDR_GSO_*, bit 0 checksums, NET_HDR_GSO_ECN */
	uint32_t tx_stopped; /* the first frame found no room */
	uint32_t tx_retry;   /* of these: it is tried once more */
	uint32_t rx_pushed;  /* there is something to publish */
	uint64_t seed[2];    /* of the flows' hash; random */
	uint32_t steering[NET_STEERING_SIZE];
};

static inline struct virtio_net *virtio_net_of(struct virtio_device *v)
{
	return container_of(v, struct virtio_net, v);
}

static inline unsigned virtio_net_rx_queue(unsigned pair)
{
	return 2 * pair;
}

static inline unsigned virtio_net_tx_queue(unsigned pair)
{
	return 2 * pair + 1;
}

/* virtio-net.c */

/* Take part in the fabric by 'config', with address 'mac'. nic_reconfigure()'s errors, with everything as it was. */
int virtio_net_set_place(struct virtio_net *net, const struct net_port_config *config,
	const uint8_t mac[NET_MAC_LEN]);
/* Bring the window up to date. Answers whether it changed. */
bool virtio_net_fill_window(struct virtio_net *net);
/* Tell the nic what the guest takes. */
void virtio_net_apply_offloads(struct virtio_net *net);

/* virtio-net-io.c */

extern const struct port_ops virtio_net_port_ops;
/* What the transmit queues may ask for, by the negotiated features. */
void virtio_net_apply_features(struct virtio_net *net);
/* The transmit queue of a pair was kicked. */
void virtio_net_tx(struct virtio_net *net, unsigned pair);
/* The nic has room again. */
void virtio_net_space(struct port *port);

/* virtio-net-ctrl.c */

/* The control queue was kicked. */
void virtio_net_ctrl(struct virtio_net *net, unsigned index);
/* Does the driver want to see a frame that comes with this tag (-1: none)? */
bool virtio_net_wants(const struct virtio_net *net, const struct frame *frame, int32_t tci);
void virtio_net_save_filter(const struct net_filter *filter, struct state_writer *w);
/* Returns 0 or -EBADMSG. */
int virtio_net_load_filter(struct net_filter *ret_filter, struct state_reader *r);
