/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A frame on its way through a switch: a checked copy of its beginning, and the rest where the sender has it.
 *
 * The sender is hostile and may change its memory at any time. So the first FRAME_HEAD_MAX bytes are copied once, by
 * frame_init(); every decision (addresses, VLAN, ARP, IP, ports) is made on the copy, and the copy is what receivers get.
 * Behind it lies the body: borrowed memory that is only ever copied on, never believed (frame_copy() for what must look
 * deeper).
 *
 * The outer 802.1Q tag is not in the bytes: frame_init() takes it out into 'tci', frame_iov() puts one in again.
 * Offloads stay with the frame as in virtio 1.2, 5.1.6: a frame of 64 KiB that the receiver may segment crosses in one
 * piece. frame_init() checks that they fit the frame, so that no receiver is made to compute outside of it.
 *
 * Threads: none of its own. A frame lives on its sender's stack for one vswitch_input() and owns nothing.
 */
#pragma once

#include <sys/uio.h>

#include "config/net-config.h"

#define FRAME_HEAD_MAX                                                                             \
	192               /* Ethernet, a second tag, IPv6 with a few extensions, TCP with options */
#define FRAME_MIN      14 /* without padding and FCS: rings carry none */
#define FRAME_MAX      65553 /* 65 535 of IP, Ethernet, one inner tag */
#define FRAME_MAX_BODY 256   /* iovecs */
#define FRAME_MAX_IOV  (FRAME_MAX_BODY + 3)
#define FRAME_MAX_SEGS 1024 /* that a receiver can be made to cut one frame into */
#define FRAME_MAX_TAGS 4    /* inner tags that are looked behind; more: ethertype is a tag's */
#define FRAME_MAX_EXTS 8    /* IPv6 extension headers likewise: then l4 is 0 */

/* virtio 1.2, 5.1.6: struct virtio_net_hdr with num_buffers, in host order (x86: little-endian). */
#define NET_HDR_F_NEEDS_CSUM 1
#define NET_HDR_F_DATA_VALID 2
#define NET_HDR_GSO_NONE     0
#define NET_HDR_GSO_TCPV4    1
#define NET_HDR_GSO_UDP      3 /* UFO: fragments */
#define NET_HDR_GSO_TCPV6    4
#define NET_HDR_GSO_UDP_L4   5 /* USO: datagrams */
#define NET_HDR_GSO_ECN      0x80
struct net_hdr {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
static_assert(sizeof(struct net_hdr) == 12, "wire format");

#define FRAME_IPV4      (1U << 0)  /* l3 is a whole IPv4 header, its lengths fit the frame */
#define FRAME_IPV6      (1U << 1)  /* likewise IPv6 */
#define FRAME_ARP       (1U << 2)  /* l3 is a whole Ethernet/IPv4 ARP packet */
#define FRAME_FRAGMENT  (1U << 3)  /* IP fragment; l4 only in the first one */
#define FRAME_LATER     (1U << 11) /* … and not the first one */
#define FRAME_TCP       (1U << 4)  /* l4 has its fixed header */
#define FRAME_UDP       (1U << 5)
#define FRAME_ICMP6     (1U << 6) /* l4 has its first 4 bytes */
#define FRAME_IGMP      (1U << 7) /* l4 has its first 8 bytes */
#define FRAME_MULTICAST (1U << 8) /* the group bit: broadcast too */
#define FRAME_BROADCAST (1U << 9)
#define FRAME_RESERVED  (1U << 10) /* to 01:80:c2:00:00:00 … 0f */

struct frame {
	struct net_hdr hdr; /* csum_start and hdr_len without the outer tag */
	uint32_t len;       /* of the Ethernet frame, without its outer tag */
	uint16_t tci;       /* the outer tag; VID in the low 12 bits */
	uint8_t tagged;     /* there is one */
	uint8_t ip_proto;   /* of l4, behind extension headers; without l4 where the walk ended */
	uint16_t vid;       /* the VLAN it travels in: the switch's, by the port's rules */
	uint16_t ethertype; /* host order, behind all tags */
	uint16_t flags;     /* FRAME_* */
	uint16_t l3, l4;   /* offsets into head, of what is behind ethertype and IP; 0: not there */
	uint16_t head_len; /* FRAME_HEAD_MAX, or less: never rely on more */
	uint16_t n_body;
	uint32_t hash; /* of the flow, see frame_hash(); 0: not computed */
	const struct iovec *body;
	uint32_t body_offset; /* bytes of body[0] that are in the head */
	uint8_t head[FRAME_HEAD_MAX];
};

static inline const uint8_t *frame_dst(const struct frame *f)
{
	return f->head;
}

static inline const uint8_t *frame_src(const struct frame *f)
{
	return f->head + NET_MAC_LEN;
}

static inline uint16_t frame_be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void frame_put_be16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline uint32_t frame_be32(const uint8_t *p)
{
	return (uint32_t)frame_be16(p) << 16 | frame_be16(p + 2);
}

static inline void frame_put_be32(uint8_t *p, uint32_t v)
{
	frame_put_be16(p, v >> 16);
	frame_put_be16(p + 2, v & 0xffff);
}

/* Where IP's packet ends, by its own length: at most len. Only with FRAME_IPV4 or FRAME_IPV6. */
static inline uint32_t frame_ip_end(const struct frame *f)
{
	const uint8_t *ip = f->head + f->l3;

	return f->flags & FRAME_IPV4 ? f->l3 + (uint32_t)frame_be16(ip + 2)
				     : f->l3 + 40 + (uint32_t)frame_be16(ip + 4);
}

/* Make a frame of iov[n_iov] ('len' bytes are used; the iovecs stay the caller's and must outlive the frame) and an
 * offload header ('hdr' NULL: none). 'max_frame' limits a frame that is not segmented, and each segment of one that is,
 * without tags (MTU + 14). 'tci': a tag that the sender carries beside the frame (-1: none); else an outer tag (0x8100
 * only) is looked for in the bytes. Returns 0, or the reason it was refused (MALFORMED, MTU).
 *
 * Follows virtio 1.2, 5.1.6.2 for what a device must check of the header. Needs-csum: the field is the one that TCP, UDP
 * or ICMPv6 have in this frame, or lies behind the header of what may carry another packet (UDP, tunnels), so that
 * whoever completes it changes nothing that was looked at here. GSO: with needs-csum, for the protocol that is really
 * there, all of its headers in the head and their lengths right; gso_size is not 0 and makes at most FRAME_MAX_SEGS. What
 * fits one segment becomes an ordinary frame. hdr_len is by our own parse, 0 without GSO; num_buffers is 0, flags that
 * are not NET_HDR_F_* are gone. (DATA_VALID from a guest says nothing: the device takes it out before.) */
enum net_drop frame_init(struct frame *f, const struct net_hdr *hdr, const struct iovec *iov,
	unsigned n_iov, uint32_t len, uint32_t max_frame, int32_t tci);

/* The frame as iovecs, with tag 'tci' put in (-1: untagged); 'scratch' (4 bytes) holds the tag. '*ret_hdr' is the offload
 * header for it, moved by 4 with a tag. Returns the number of iovecs; '*ret_len' their bytes. */
unsigned frame_iov(const struct frame *f, int32_t tci, uint8_t scratch[4],
	struct iovec iov[FRAME_MAX_IOV], struct net_hdr *ret_hdr, uint32_t *ret_len);

/* Copy up to 'size' bytes from 'offset' on (without the outer tag). Answers how many there were. What comes from
 * behind the head may differ from one call to the next. */
size_t frame_copy(const struct frame *f, uint32_t offset, void *buf, size_t size);

/* The flow's hash: addresses, protocol and ports of IP (fragments: without ports, so that they stay together), else
 * source, destination and type of Ethernet; both directions of a flow differ. 'seed' is random per boot. Keyed, so that
 * a guest cannot aim (SipHash-2-4 halved to 32 bits, or as good). Kept in f->hash. */
uint32_t frame_hash(struct frame *f, const uint64_t seed[2]);
