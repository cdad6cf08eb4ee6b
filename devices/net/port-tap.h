/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A port whose owner is the kernel: a tap or macvtap device. The fd was opened by the daemon (IFF_TAP, IFF_NO_PI,
 * IFF_VNET_HDR with a header of 12 bytes, TUNSETOFFLOAD as it likes) and does not block. Frames pass whole, with their
 * offloads: the kernel segments what its other side cannot take. What the kernel refuses to take whole (-EINVAL: USO, before
 * Linux 6.2) is cut here.
 *
 * A frame that cannot be read is lost and counted (MALFORMED), and the port goes on. It ends (source is NULL) with its device,
 * or when one read after the other fails.
 *
 * What the switch has no room for is dropped and counted: the kernel retries by itself or does not care. What the kernel
 * has no room for likewise. The tap of one vNIC is 'patient' instead: the frame waits here, and those behind it in the
 * kernel's queue (which drops when it is full), until port_tap_ready(). Nothing is watched meanwhile.
 *
 * Threads: the loop's.
 */
#pragma once

#include "devices/net/offload.h"
#include "devices/net/vswitch.h"
#include "vmm-core/base/loop.h"

#define PORT_TAP_BUDGET 64 /* frames read in a turn of the loop */

struct port_tap {
	struct port port; /* first; kind, counters and cookie are the owner's to set */
	struct loop *loop;
	struct loop_source *source;
	int fd; /* not owned */
	/* NULL: frames go to the switch at once. Else the owner's: a team looks at them first. */
	void (*input)(struct port_tap *tap, struct frame *frame, uint64_t now_ns);
	/* With 'input', which has been called for all there was for now. */
	void (*input_done)(struct port_tap *tap, uint64_t now_ns);
	bool patient; /* the owner's to set; without 'input' */
	uint64_t
		poll_ns; /* likewise: the longest that the loop looks at the tap before it sleeps */
	struct loop_poller poller;
	struct net_hdr hdr;
	uint8_t *buffer;
	struct offload_scratch *scratch; /* of what is cut */
	unsigned n_bad;                  /* reads that failed, one after the other */
	uint32_t kept_len; /* of the frame in hdr and buffer that waits for room; 0: none does */
};

/* 'fd' stays the caller's. The port is the caller's to add to a switch, before frames come. 0 or -errno. */
int port_tap_init(struct port_tap *tap, struct loop *loop, int fd);
/* A receiver behind the switch has room again. Costs nothing when nothing waits. */
void port_tap_ready(struct port_tap *tap);
/* 1: the interface is up and has a carrier; 0: not; -ENODEV: it is gone, also from the namespace of the socket 'sock', which may
 * be any (-EBADF: only whether it is gone is looked at). A macvtap that is gone says so in no other way. */
int port_tap_link(const struct port_tap *tap, int sock);
/* Copes with one that was never initialised but is all zeroes. */
void port_tap_done(struct port_tap *tap);
