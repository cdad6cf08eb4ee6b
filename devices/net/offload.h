/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Offloads in software: what a frame needs that a receiver does not take itself. Checksums that the sender left to
 * others are completed; TCP (TSO), UDP datagrams (USO) and one datagram for IP fragments (UFO) are cut.
 *
 * The frame comes from frame_init(), which has checked that its offload header fits, and that all headers are in the
 * head. The body is its sender's memory and may change at any time: each byte of it is read once, into the scratch
 * memory, and only copied and summed there; nothing is decided by it. What comes out is made of the head and the scratch
 * alone. A sender that changes its memory sends a frame with other bytes, no more.
 *
 * Each frame that comes out is at most as long as frame_init() allowed its sender.
 *
 * Threads: none of its own. A scratch belongs to one caller at a time.
 */
#pragma once

#include "devices/net/frame.h"

/* What a receiver takes: 1 << NET_HDR_GSO_* for each kind of segmentation, and these. Who takes any takes checksums. */
#define OFFLOAD_TAKES_CSUM (1U << NET_HDR_GSO_NONE)
#define OFFLOAD_TAKES_ECN  ((uint32_t)NET_HDR_GSO_ECN) /* TCP segmentation with CWR set */

/* Large: part of a long-lived struct, not of a stack. All zeroes is valid; 'next_id' had better be random: the
 * identification of the next datagram that becomes IPv6 fragments. */
struct offload_scratch {
	uint32_t next_id;
	struct iovec body;
	struct frame out;
	uint8_t bytes[FRAME_MAX];
};

/* Is there anything in the frame that such a receiver does not take? Cheap: asked for each frame. */
static inline bool offload_needs_fixup(const struct frame *frame, uint32_t takes)
{
	uint32_t needs = frame->hdr.flags & NET_HDR_F_NEEDS_CSUM ? OFFLOAD_TAKES_CSUM : 0;

	if (frame->hdr.gso_type)
		needs |= 1U << (frame->hdr.gso_type & ~NET_HDR_GSO_ECN) |
			(frame->hdr.gso_type & OFFLOAD_TAKES_ECN);
	return needs & ~takes;
}

/* Give 'emit' the frames that stand for 'frame' with all offloads done, in order: one, or the segments, at most
 * FRAME_MAX_SEGS. Each is valid until emit() returns; its head holds at least what is in front of UDP, and all of TCP. A negative answer of emit()
 * ends it and is returned: what came before is out. Otherwise 0.
 *
 * Segments: IPv4 identification counts up (UFO: one for all), FIN and PSH only in the last, CWR only in the first when the
 * frame says ECN (without it CWR is no signal of RFC 3168, and stays as it is: RFC 9768). DF is cleared from fragments. */
int offload_fixup(const struct frame *frame, struct offload_scratch *scratch,
	int (*emit)(void *opaque, const struct frame *frame), void *opaque);

/* For a receiver that says what it does not take: send() is given the frame whole, and, if it answers -EINVAL to one that is to
 * be cut, what offload_fixup() makes of it. Returns what send() does. Kernels refuse USO so, before Linux 6.2. */
int offload_send(const struct frame *frame, int32_t tci, struct offload_scratch *scratch,
	int (*send)(void *port, const struct frame *frame, int32_t tci), void *port);

/* RFC 1071: the sum (not inverted, folded, in the order of the wire) of 'len' bytes and of 'sum', which may be any sum
 * of 16-bit words in host order. */
uint16_t offload_sum(const void *data, size_t len, uint32_t sum);
