/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker sends to whoever captures frames: a packet for each frame on a SOCK_SEQPACKET unix socket, this record and
 * behind it the frame's bytes, of which the packet may hold only the first.
 *
 * The kernel runs the reader's socket filter (SO_ATTACH_FILTER, socket(7)) before it queues a packet: what does not match
 * costs the reader nothing. A filter for Ethernet therefore finds each byte CAPTURE_RECORD_SIZE further on, and the frame's
 * true length, of which the packet's says nothing, in the first word: it is in network order for that. What the filter
 * returns cuts the packet.
 *
 * All numbers are in network order.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#define CAPTURE_IN  1 /* given to the port's owner */
#define CAPTURE_OUT 2 /* sent by it */

/* As in virtio's header (devices/net/frame.h): the checksum is not filled in yet; it is a frame of gso_size-byte pieces,
 * cut where it must be. */
#define CAPTURE_PARTIAL_CSUM 1

struct capture_record {
	uint32_t len;      /* of the frame, with its VLAN tag */
	uint8_t direction; /* CAPTURE_IN or OUT; 0: seen in the middle of a network */
	uint8_t flags;     /* CAPTURE_PARTIAL_CSUM */
	uint8_t gso_type;  /* 0: an ordinary frame */
	uint8_t pad[3];
	uint16_t gso_size;
	uint32_t reserved;
	uint64_t time_ns; /* CLOCK_MONOTONIC */
	uint64_t
		n_lost; /* so far, for want of room; whether the filter would have had them, nobody knows */
};
#define CAPTURE_RECORD_SIZE 32
static_assert(sizeof(struct capture_record) == CAPTURE_RECORD_SIZE, "wire format");

/*
 * Beside the socket: a page that its worker counts in and the daemon looks at (single words that only grow, relaxed stores of one
 * thread, as in vmm-core/stats.h). What the reader's own filter leaves out is counted, too: it is the kernel that knows.
 */
enum capture_ended {
	CAPTURE_GOES_ON,
	CAPTURE_ENDED_READER, /* nobody reads any more */
	CAPTURE_ENDED_SOURCE, /* what was captured is gone */
};

struct capture_counts {
	_Atomic uint64_t frames,
		bytes; /* given to the socket; of the frames as they were, not as they are cut */
	_Atomic uint64_t lost;  /* for want of room */
	_Atomic uint64_t ended; /* enum capture_ended; set before the socket ends */
};
static_assert(sizeof(struct capture_counts) == 32, "shared layout");
