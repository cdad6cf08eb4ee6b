/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A switch's port that keeps what it is given and refuses when told to, and frames to send: for tests of the switch and of
 * whatever sits on top of it.
 */
#pragma once

#include "devices/net/vswitch.h"

#define FAKE_PORT_KEEP 16

struct fake_port {
	struct port port;
	struct net_port_counters counters;
	int answer;       /* of transmit(): 0, or a negative errno for each frame */
	unsigned n_tries; /* calls of transmit() */
	unsigned n;       /* frames that were taken */
	unsigned n_flushes;
	unsigned n_seen; /* n at the last fake_port_new() */
	/* The last ones: kept[(n - 1) % FAKE_PORT_KEEP] is the newest. 'bytes' is the whole frame with its tag. */
	struct fake_taken {
		struct frame frame; /* body is not to be looked at */
		int32_t tci;
		uint32_t len;
		uint8_t bytes[2048]; /* as many as fit */
	} kept[FAKE_PORT_KEEP];
	/* Frames are only counted, not copied: for benchmarks. */
	bool only_count;
	/* Called for each frame that is taken. */
	void (*taken)(struct fake_port *port, const struct frame *frame, int32_t tci);
	void *opaque;
};

void fake_port_init(struct fake_port *port, enum port_kind kind, uint32_t cookie);
/* The newest frame; NULL if there was none. */
const struct fake_taken *fake_port_last(const struct fake_port *port);
/* How many frames came since the last call. */
unsigned fake_port_new(struct fake_port *port);

/* A frame with its bytes: for fake_frame_*(), which end in frame_init() and fail the test if that refuses. */
struct fake_frame {
	uint8_t bytes[FRAME_MAX + 4];
	uint32_t len;
	struct iovec iov;
	struct frame frame;
};

/* 52:54:00:00:00:NN. */
void fake_mac(unsigned n, uint8_t ret_mac[NET_MAC_LEN]);
/* Ethernet. 'tci': -1 for no tag; 'ethertype' and 'size' bytes of payload (NULL: zeroes). */
struct frame *fake_frame(struct fake_frame *f, const uint8_t dst[NET_MAC_LEN],
	const uint8_t src[NET_MAC_LEN], int32_t tci, uint16_t ethertype, const void *payload,
	size_t size);
/* ARP (RFC 826); addresses as 32-bit numbers. An answer goes to 'target_mac', a request (NULL) to everybody. */
struct frame *fake_frame_arp(struct fake_frame *f, const uint8_t src[NET_MAC_LEN],
	uint32_t sender_ip, uint32_t target_ip, const uint8_t *target_mac);
/* IGMPv2 (RFC 2236): type 0x11 query, 0x16 report, 0x17 leave; 'group' 0 for a general query. */
struct frame *fake_frame_igmp(
	struct fake_frame *f, const uint8_t src[NET_MAC_LEN], uint8_t type, uint32_t group);
