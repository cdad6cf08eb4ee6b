/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames: the copy of the head, the parse of it, and the checks of offload headers. See frame.h. */
#include "devices/net/frame.h"

#include <string.h>

#include "vmm-core/base/macro.h"

#define TAG_LEN    4
#define TYPE_AT    12 /* of ethertype, or of the outer tag */
#define TYPE_IPV4  0x0800
#define TYPE_ARP   0x0806
#define TYPE_VLAN  0x8100
#define TYPE_IPV6  0x86dd
#define TYPE_SVLAN 0x88a8

#define PROTO_HOP_BY_HOP 0
#define PROTO_ICMP       1
#define PROTO_IGMP       2
#define PROTO_TCP        6
#define PROTO_UDP        17
#define PROTO_ROUTING    43
#define PROTO_FRAGMENT   44
#define PROTO_AH         51
#define PROTO_ICMP6      58
#define PROTO_DEST_OPTS  60
#define PROTO_MOBILITY   135
#define PROTO_HIP        139
#define PROTO_SHIM6      140

#define IPV4_MIN 20
#define IPV6_LEN 40
#define ARP_LEN  28
#define TCP_MIN  20
#define UDP_LEN  8

/* Copy the head, and find where the body begins. The iovecs may be of any number and length; false: they hold less than
 * 'len' bytes, or those of the body are too many. */
static bool copy_head(struct frame *f, const struct iovec *iov, unsigned n_iov, uint32_t len)
{
	uint32_t want = MIN(len, (uint32_t)FRAME_HEAD_MAX), have = 0, left;
	size_t offset = 0, n;
	unsigned i = 0;

	for (; i < n_iov; i++) {
		n = MIN(iov[i].iov_len, (size_t)(want - have));
		if (!n)
			continue;
		memcpy(f->head + have, iov[i].iov_base, n);
		have += (uint32_t)n;
		offset = n;
		if (have == want)
			break;
	}
	if (have < want)
		return false;
	f->head_len = (uint16_t)have;
	f->body = iov + i;
	f->body_offset = (uint32_t)offset;
	f->n_body = 0;
	for (left = len - have; left; i++) {
		if (i == n_iov || f->n_body == FRAME_MAX_BODY)
			return false;
		left -= (uint32_t)MIN(iov[i].iov_len - offset, (size_t)left);
		offset = 0;
		f->n_body++;
	}
	return true;
}

/* Take the outer tag out of the bytes. */
static void take_tag(struct frame *f)
{
	f->tci = frame_be16(f->head + TYPE_AT + 2);
	f->tagged = 1;
	f->head_len -= TAG_LEN;
	f->len -= TAG_LEN;
	memmove(f->head + TYPE_AT, f->head + TYPE_AT + TAG_LEN, (size_t)f->head_len - TYPE_AT);
}

static void parse_l2(struct frame *f)
{
	uint32_t top = frame_be32(f->head), low = frame_be16(f->head + 4);
	uint16_t at = TYPE_AT;

	f->flags = 0;
	if (f->head[0] & 1) {
		f->flags |= FRAME_MULTICAST;
		if (top == UINT32_MAX && low == 0xffff)
			f->flags |= FRAME_BROADCAST;
		else if (top == 0x0180c200 && low < 0x10)
			f->flags |= FRAME_RESERVED;
	}
	f->ethertype = frame_be16(f->head + at);
	for (unsigned n = 0; f->ethertype == TYPE_VLAN || f->ethertype == TYPE_SVLAN; n++) {
		if (n == FRAME_MAX_TAGS || at + TAG_LEN + 2 > f->head_len)
			break;
		at += TAG_LEN;
		f->ethertype = frame_be16(f->head + at);
	}
	f->l3 = at + 2;
}

/* RFC 826, for Ethernet and IPv4. */
static void parse_arp(struct frame *f)
{
	static const uint8_t start[6] = {0, 1, 8, 0, NET_MAC_LEN, 4};

	if (f->l3 + ARP_LEN <= f->head_len && !memcmp(f->head + f->l3, start, sizeof(start)))
		f->flags |= FRAME_ARP;
}

/* The first bytes behind IP, at l4; 'end' is where IP ends. */
static void parse_l4(struct frame *f, uint32_t end)
{
	uint32_t have = MIN(end, (uint32_t)f->head_len) - f->l4;

	if (f->ip_proto == PROTO_TCP && have >= TCP_MIN)
		f->flags |= FRAME_TCP;
	else if (f->ip_proto == PROTO_UDP && have >= UDP_LEN)
		f->flags |= FRAME_UDP;
	else if (f->ip_proto == PROTO_ICMP6 && have >= 4 && f->flags & FRAME_IPV6)
		f->flags |= FRAME_ICMP6;
	else if (f->ip_proto == PROTO_IGMP && have >= 8 && f->flags & FRAME_IPV4)
		f->flags |= FRAME_IGMP;
}

/* RFC 791, 3.1. A header that lies about a length leaves FRAME_IPV4 clear. */
static void parse_ipv4(struct frame *f)
{
	const uint8_t *ip = f->head + f->l3;
	uint32_t header, total;
	uint16_t fragment;

	if (f->l3 + IPV4_MIN > f->head_len || ip[0] >> 4 != 4)
		return;
	header = (ip[0] & 15U) * 4;
	total = frame_be16(ip + 2);
	if (header < IPV4_MIN || total < header || f->l3 + header > f->head_len ||
		total > f->len - f->l3)
		return;
	f->flags |= FRAME_IPV4;
	f->ip_proto = ip[9];
	fragment = frame_be16(ip + 6);
	if (fragment & 0x3fff)
		f->flags |= FRAME_FRAGMENT;
	if (fragment & 0x1fff) {
		f->flags |= FRAME_LATER;
		return;
	}
	f->l4 = (uint16_t)(f->l3 + header);
	parse_l4(f, f->l3 + total);
}

static bool is_extension(uint8_t proto)
{
	switch (proto) {
	case PROTO_HOP_BY_HOP:
	case PROTO_ROUTING:
	case PROTO_FRAGMENT:
	case PROTO_AH:
	case PROTO_DEST_OPTS:
	case PROTO_MOBILITY:
	case PROTO_HIP:
	case PROTO_SHIM6:
		return true;
	default:
		return false;
	}
}

/* RFC 8200, 4: to the header that is none of the extensions, if it begins in the head and there are few of them. */
static void parse_ipv6(struct frame *f)
{
	const uint8_t *ip = f->head + f->l3, *ext;
	uint32_t at = f->l3 + IPV6_LEN, end, limit;

	if (at > f->head_len || ip[0] >> 4 != 6)
		return;
	end = at + frame_be16(ip + 4);
	if (end > f->len)
		return;
	f->flags |= FRAME_IPV6;
	f->ip_proto = ip[6];
	limit = MIN(end, (uint32_t)f->head_len);
	for (unsigned n = 0; is_extension(f->ip_proto); n++) {
		ext = f->head + at;
		if (n == FRAME_MAX_EXTS || at + 8 > limit)
			return;
		if (f->ip_proto == PROTO_FRAGMENT) {
			/* Fragments of fragments are nobody's. */
			if (f->flags & FRAME_FRAGMENT)
				return;
			f->flags |= FRAME_FRAGMENT;
			if (frame_be16(ext + 2) & 0xfff8) {
				f->flags |= FRAME_LATER;
				f->ip_proto = ext[0];
				return;
			}
			at += 8;
		} else {
			at += f->ip_proto == PROTO_AH ? (ext[1] + 2U) * 4 : (ext[1] + 1U) * 8;
		}
		if (at > limit)
			return;
		f->ip_proto = ext[0];
	}
	f->l4 = (uint16_t)at;
	parse_l4(f, end);
}

static void parse(struct frame *f)
{
	f->l4 = 0;
	f->ip_proto = 0;
	parse_l2(f);
	if (f->ethertype == TYPE_IPV4)
		parse_ipv4(f);
	else if (f->ethertype == TYPE_IPV6)
		parse_ipv6(f);
	else if (f->ethertype == TYPE_ARP)
		parse_arp(f);
}

/* May the two bytes at start + offset be computed by somebody else? */
static bool csum_fits(const struct frame *f, uint32_t start, uint32_t offset)
{
	uint32_t header = 0;

	/* A receiver may get a tag in front: the start still has to fit its 16 bits. */
	if (!f->l4 || f->flags & FRAME_FRAGMENT || start + offset + 2 > f->len ||
		start + TAG_LEN > UINT16_MAX)
		return false;
	if (start == f->l4) {
		if (f->flags & FRAME_TCP)
			return offset == 16;
		if (f->flags & FRAME_UDP)
			return offset == 6;
		if (f->flags & FRAME_ICMP6)
			return offset == 2;
	}
	/* What is no header of its own may be a tunnel with a packet in it; not what guards and snooping read. */
	switch (f->ip_proto) {
	case PROTO_UDP:
		header = UDP_LEN;
		for (unsigned i = 0; i < 4; i += 2) {
			uint16_t number = frame_be16(f->head + f->l4 + i);

			if (!(f->flags & FRAME_UDP) || number == 67 || number == 68 ||
				number == 546 || number == 547)
				return false;
		}
		break;
	case PROTO_ICMP:
	case PROTO_IGMP:
	case PROTO_TCP:
	case PROTO_ICMP6:
		return false;
	}
	return start >= f->l4 + header;
}

static bool tcp_gso_fits(const struct frame *f, unsigned family, uint32_t *ret_hdr_len)
{
	uint32_t header;

	if (!(f->flags & family) || !(f->flags & FRAME_TCP))
		return false;
	header = (f->head[f->l4 + 12] >> 4) * 4U;
	if (header < TCP_MIN || f->l4 + header > f->head_len)
		return false;
	*ret_hdr_len = f->l4 + header;
	return true;
}

static bool udp_gso_fits(const struct frame *f, uint32_t *ret_hdr_len)
{
	if (!(f->flags & FRAME_UDP) || frame_be16(f->head + f->l4 + 4) != f->len - f->l4)
		return false;
	*ret_hdr_len = f->l4 + UDP_LEN;
	return true;
}

/* Size and number of the segments; what fits one is an ordinary frame. '*ret_max' is the longest. */
static bool segments_fit(struct frame *f, uint32_t hdr_len, uint32_t *ret_max)
{
	bool ufo = f->hdr.gso_type == NET_HDR_GSO_UDP;
	uint32_t size = f->hdr.gso_size, fixed = hdr_len;

	if (ufo) {
		/* UFO cuts what IP carries, at multiples of 8; IPv6 needs a header for it, which has its place only when
		 * there are no other extensions. */
		if (f->flags & FRAME_IPV6 && f->l4 != f->l3 + IPV6_LEN)
			return false;
		fixed = f->l4;
		size = ALIGN_DOWN(size, 8U);
	}
	if (!size || hdr_len >= f->len || DIV_ROUND_UP(f->len - fixed, size) > FRAME_MAX_SEGS)
		return false;
	f->hdr.hdr_len = (uint16_t)hdr_len;
	*ret_max = fixed + size;
	if (*ret_max >= f->len) {
		f->hdr.gso_type = NET_HDR_GSO_NONE;
		*ret_max = f->len;
	} else if (ufo && f->flags & FRAME_IPV6) {
		*ret_max += 8;
	}
	return true;
}

/* Does the segmentation that the header asks for fit the frame? '*ret_max' is the longest segment. */
static bool gso_fits(struct frame *f, uint32_t *ret_max)
{
	uint32_t hdr_len;

	if (!(f->flags & (FRAME_IPV4 | FRAME_IPV6)) || f->flags & FRAME_FRAGMENT ||
		frame_ip_end(f) != f->len || !(f->hdr.flags & NET_HDR_F_NEEDS_CSUM) ||
		f->hdr.csum_start != f->l4)
		return false;
	switch (f->hdr.gso_type) {
	case NET_HDR_GSO_TCPV4:
	case NET_HDR_GSO_TCPV4 | NET_HDR_GSO_ECN:
		if (!tcp_gso_fits(f, FRAME_IPV4, &hdr_len))
			return false;
		break;
	case NET_HDR_GSO_TCPV6:
	case NET_HDR_GSO_TCPV6 | NET_HDR_GSO_ECN:
		if (!tcp_gso_fits(f, FRAME_IPV6, &hdr_len))
			return false;
		break;
	case NET_HDR_GSO_UDP:
	case NET_HDR_GSO_UDP_L4:
		if (!udp_gso_fits(f, &hdr_len))
			return false;
		break;
	default:
		return false;
	}
	return segments_fit(f, hdr_len, ret_max);
}

/* Copy and check the offload header; 'moved': bytes that were taken out in front of what it speaks of. */
static bool take_hdr(struct frame *f, const struct net_hdr *hdr, uint32_t moved, uint32_t *ret_max)
{
	*ret_max = f->len;
	if (!hdr || (!hdr->gso_type && !(hdr->flags & NET_HDR_F_NEEDS_CSUM))) {
		f->hdr = (struct net_hdr){.flags = hdr ? hdr->flags & NET_HDR_F_DATA_VALID : 0};
		return true;
	}
	f->hdr = *hdr;
	f->hdr.hdr_len = f->hdr.num_buffers = 0;
	f->hdr.flags &= NET_HDR_F_NEEDS_CSUM;
	if (f->hdr.flags) {
		if (f->hdr.csum_start < moved ||
			!csum_fits(f, f->hdr.csum_start - moved, f->hdr.csum_offset))
			return false;
		f->hdr.csum_start -= (uint16_t)moved;
	}
	if (f->hdr.gso_type && !gso_fits(f, ret_max))
		return false;
	if (!f->hdr.gso_type)
		f->hdr.gso_size = f->hdr.hdr_len = 0;
	return true;
}

enum net_drop frame_init(struct frame *f, const struct net_hdr *hdr, const struct iovec *iov,
	unsigned n_iov, uint32_t len, uint32_t max_frame, int32_t tci)
{
	uint32_t moved = 0, longest;

	if (len < FRAME_MIN || len > FRAME_MAX + TAG_LEN || !copy_head(f, iov, n_iov, len))
		return NET_DROP_MALFORMED;
	f->len = len;
	f->vid = 0;
	f->hash = 0;
	if (tci >= 0) {
		f->tci = (uint16_t)tci;
		f->tagged = 1;
	} else if (frame_be16(f->head + TYPE_AT) == TYPE_VLAN) {
		if (len < FRAME_MIN + TAG_LEN)
			return NET_DROP_MALFORMED;
		take_tag(f);
		moved = TAG_LEN;
	} else {
		f->tci = 0;
		f->tagged = 0;
	}
	if (f->len > FRAME_MAX)
		return NET_DROP_MALFORMED;
	parse(f);
	if (!take_hdr(f, hdr, moved, &longest))
		return NET_DROP_MALFORMED;
	/* One inner tag is free: what is in it has the MTU of the network as well. */
	if (f->l3 > FRAME_MIN)
		longest -= TAG_LEN;
	return longest > max_frame ? NET_DROP_MTU : NET_DROP_NONE;
}

unsigned frame_iov(const struct frame *f, int32_t tci, uint8_t scratch[4],
	struct iovec iov[FRAME_MAX_IOV], struct net_hdr *ret_hdr, uint32_t *ret_len)
{
	uint8_t *head = (uint8_t *)(uintptr_t)f->head; /* iovecs know no const */
	uint32_t left = f->len - f->head_len;
	size_t offset = f->body_offset;
	unsigned n = 0;

	*ret_hdr = f->hdr;
	*ret_len = f->len;
	if (tci < 0) {
		iov[n++] = (struct iovec){head, f->head_len};
	} else {
		frame_put_be16(scratch, TYPE_VLAN);
		frame_put_be16(scratch + 2, (uint16_t)tci);
		iov[n++] = (struct iovec){head, TYPE_AT};
		iov[n++] = (struct iovec){scratch, TAG_LEN};
		iov[n++] = (struct iovec){head + TYPE_AT, (size_t)f->head_len - TYPE_AT};
		*ret_len += TAG_LEN;
		if (f->hdr.flags & NET_HDR_F_NEEDS_CSUM)
			ret_hdr->csum_start += TAG_LEN;
		if (f->hdr.gso_type)
			ret_hdr->hdr_len += TAG_LEN;
	}
	for (unsigned i = 0; i < f->n_body; i++) {
		size_t part = MIN(f->body[i].iov_len - offset, (size_t)left);

		if (part)
			iov[n++] = (struct iovec){(uint8_t *)f->body[i].iov_base + offset, part};
		left -= (uint32_t)part;
		offset = 0;
	}
	return n;
}

size_t frame_copy(const struct frame *f, uint32_t offset, void *buf, size_t size)
{
	uint8_t *to = buf;
	size_t skip, done = 0, part;

	if (offset >= f->len)
		return 0;
	size = MIN(size, (size_t)(f->len - offset));
	if (offset < f->head_len) {
		done = MIN(size, (size_t)(f->head_len - offset));
		memcpy(to, f->head + offset, done);
		skip = f->body_offset;
	} else {
		skip = f->body_offset + (size_t)(offset - f->head_len);
	}
	for (unsigned i = 0; i < f->n_body && done < size; i++) {
		if (skip >= f->body[i].iov_len) {
			skip -= f->body[i].iov_len;
			continue;
		}
		part = MIN(f->body[i].iov_len - skip, size - done);
		memcpy(to + done, (const uint8_t *)f->body[i].iov_base + skip, part);
		done += part;
		skip = 0;
	}
	return done;
}
