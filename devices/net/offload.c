/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Checksums and segmentation in software: see offload.h. */
#include "devices/net/offload.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vmm-core/base/macro.h"

#define PROTO_TCP      6
#define PROTO_UDP      17
#define PROTO_FRAGMENT 44

#define IPV4_MORE 0x2000
#define IPV6_LEN  40
#define FRAG_LEN  8
#define UDP_LEN   8

#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

/* One's complement: the carry comes in again below. */
static inline uint64_t add_word(uint64_t sum, const uint8_t *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	sum += word;
	return sum + (sum < word);
}

static inline uint64_t halves(uint64_t sum)
{
	return (sum & UINT32_MAX) + (sum >> 32);
}

uint16_t offload_sum(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;
	uint64_t a = 0, b = 0, c = 0, d = 0;
	uint8_t rest[8] = {0};

	/* In memory order, as RFC 1071, 2(B) allows; four sums, so that none waits for another. */
	for (; len >= 32; len -= 32, p += 32) {
		a = add_word(a, p);
		b = add_word(b, p + 8);
		c = add_word(c, p + 16);
		d = add_word(d, p + 24);
	}
	for (; len >= 8; len -= 8, p += 8)
		a = add_word(a, p);
	memcpy(rest, p, len);
	b = add_word(b, rest);
	a = halves(a) + halves(b) + halves(c) + halves(d);
	while (a >> 16)
		a = (a & 0xffff) + (a >> 16);
	a = be16toh((uint16_t)a) + (uint64_t)sum;
	while (a >> 16)
		a = (a & 0xffff) + (a >> 16);
	return (uint16_t)a;
}

/* What goes into the field: never 0, which says "none" in UDP and is the same number elsewhere. */
static uint16_t finish(uint16_t sum)
{
	return sum == 0xffff ? 0xffff : (uint16_t)~sum;
}

/* One frame to come: a copy of the headers, and 'n' bytes of the scratch from 'at' on. */
struct cut {
	const struct frame *frame;
	struct offload_scratch *scratch;
	int (*emit)(void *opaque, const struct frame *frame);
	void *opaque;
	uint32_t hdr_len; /* of the headers that each one gets */
};

static void out_begin(const struct cut *cut, uint32_t at, uint32_t n)
{
	const struct frame *f = cut->frame;
	struct frame *out = &cut->scratch->out;

	memcpy(out, f, offsetof(struct frame, head));
	memcpy(out->head, f->head, cut->hdr_len);
	out->hdr = (struct net_hdr){0};
	out->head_len = (uint16_t)cut->hdr_len;
	out->len = cut->hdr_len + n;
	out->body = &cut->scratch->body;
	out->n_body = n ? 1 : 0;
	out->body_offset = 0;
	cut->scratch->body = (struct iovec){cut->scratch->bytes + at, n};
}

static void ipv4_finish(struct frame *out, uint16_t id)
{
	uint8_t *ip = out->head + out->l3;

	frame_put_be16(ip + 2, out->len - out->l3);
	frame_put_be16(ip + 4, id);
	frame_put_be16(ip + 10, 0);
	frame_put_be16(ip + 10, (uint16_t)~offload_sum(ip, (ip[0] & 15U) * 4, 0));
}

/* The length and, in IPv4, identification ('n' behind the frame's own) and checksum of a segment. */
static void ip_finish(struct frame *out, unsigned n)
{
	uint8_t *ip = out->head + out->l3;

	if (out->flags & FRAME_IPV4)
		ipv4_finish(out, (uint16_t)(frame_be16(ip + 4) + n));
	else
		frame_put_be16(ip + 4, out->len - out->l3 - IPV6_LEN);
}

/* The sum of the pseudo header of 'len' bytes of TCP or UDP. Behind extension headers the destination need not be the one
 * in the header (RFC 8200, 8.1: routing): there the sender's own sum is moved to the new length. */
static uint32_t pseudo_sum(const struct frame *f, uint32_t len)
{
	const uint8_t *ip = f->head + f->l3;

	if (f->flags & FRAME_IPV4)
		return f->ip_proto + len + offload_sum(ip + 12, 8, 0);
	if (f->l4 == f->l3 + IPV6_LEN)
		return f->ip_proto + len + offload_sum(ip + 8, 32, 0);
	return frame_be16(f->head + f->l4 + f->hdr.csum_offset) + len +
		(uint16_t) ~(f->len - f->l4);
}

/* Fill the checksum of the TCP or UDP segment that is in 'out' and in its body. */
static void l4_finish(const struct cut *cut, uint8_t *field)
{
	struct frame *out = &cut->scratch->out;
	const struct iovec *body = &cut->scratch->body;
	uint32_t sum = pseudo_sum(cut->frame, out->len - out->l4);

	frame_put_be16(field, 0);
	sum = offload_sum(out->head + out->l4, (size_t)out->head_len - out->l4, sum);
	frame_put_be16(field, finish(offload_sum(body->iov_base, body->iov_len, sum)));
}

static int cut_tcp(const struct cut *cut)
{
	const struct frame *f = cut->frame;
	struct frame *out = &cut->scratch->out;
	uint32_t size = f->hdr.gso_size, n, seq = frame_be32(f->head + f->l4 + 4);
	uint8_t *tcp = out->head + f->l4;
	unsigned i = 0;
	int r;

	for (uint32_t at = cut->hdr_len; at < f->len; at += n, i++) {
		n = MIN(size, f->len - at);
		out_begin(cut, at, n);
		ip_finish(out, i);
		frame_put_be32(tcp + 4, seq + i * size);
		if (at + n < f->len)
			tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
		if (i && f->hdr.gso_type & NET_HDR_GSO_ECN)
			tcp[13] &= (uint8_t)~TCP_CWR;
		l4_finish(cut, tcp + 16);
		r = cut->emit(cut->opaque, out);
		if (r < 0)
			return r;
	}
	return 0;
}

static int cut_datagrams(const struct cut *cut)
{
	const struct frame *f = cut->frame;
	struct frame *out = &cut->scratch->out;
	uint8_t *udp = out->head + f->l4;
	uint32_t n;
	unsigned i = 0;
	int r;

	for (uint32_t at = cut->hdr_len; at < f->len; at += n, i++) {
		n = MIN(f->hdr.gso_size, f->len - at);
		out_begin(cut, at, n);
		ip_finish(out, i);
		frame_put_be16(udp + 4, UDP_LEN + n);
		l4_finish(cut, udp + 6);
		r = cut->emit(cut->opaque, out);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Make 'out' a fragment: 'offset' bytes of IP's payload lie before it. RFC 791, 2.3; RFC 8200, 4.5. */
static void fragment_finish(struct frame *out, uint32_t offset, bool more, uint32_t id)
{
	uint8_t *ip = out->head + out->l3, *ext = ip + IPV6_LEN;

	out->flags |= FRAME_FRAGMENT | (offset ? FRAME_LATER : 0);
	out->flags &= (uint16_t)~FRAME_UDP;
	out->l4 = 0;
	if (out->flags & FRAME_IPV4) {
		frame_put_be16(ip + 6, offset / 8 | (more ? IPV4_MORE : 0));
		ipv4_finish(out, frame_be16(ip + 4));
		return;
	}
	ext[0] = ip[6];
	ext[1] = 0;
	frame_put_be16(ext + 2, offset | more);
	frame_put_be32(ext + 4, id);
	ip[6] = PROTO_FRAGMENT;
	out->head_len += FRAG_LEN;
	out->len += FRAG_LEN;
	frame_put_be16(ip + 4, out->len - out->l3 - IPV6_LEN);
}

static int cut_fragments(const struct cut *cut)
{
	const struct frame *f = cut->frame;
	struct frame *out = &cut->scratch->out;
	uint32_t size = ALIGN_DOWN(f->hdr.gso_size, 8U), n, sum, id = 0;
	uint8_t *udp = cut->scratch->bytes + f->l4;
	int r;

	if (f->flags & FRAME_IPV6)
		id = cut->scratch->next_id++;
	sum = pseudo_sum(f, f->len - f->l4);
	frame_put_be16(udp + 6, 0);
	frame_put_be16(udp + 6, finish(offload_sum(udp, f->len - f->l4, sum)));
	for (uint32_t at = f->l4; at < f->len; at += n) {
		n = MIN(size, f->len - at);
		out_begin(cut, at, n);
		fragment_finish(out, at - f->l4, at + n < f->len, id);
		r = cut->emit(cut->opaque, out);
		if (r < 0)
			return r;
	}
	return 0;
}

/* The field may be anywhere, also in the body; its old value is part of the sum (virtio 1.2, 5.1.6.2). */
static int complete(const struct cut *cut)
{
	const struct frame *f = cut->frame;
	uint8_t *start = cut->scratch->bytes + f->hdr.csum_start;

	if (f->hdr.flags & NET_HDR_F_NEEDS_CSUM)
		frame_put_be16(start + f->hdr.csum_offset,
			finish(offload_sum(start, f->len - f->hdr.csum_start, 0)));
	out_begin(cut, cut->hdr_len, f->len - cut->hdr_len);
	memcpy(cut->scratch->out.head, cut->scratch->bytes, cut->hdr_len);
	return cut->emit(cut->opaque, &cut->scratch->out);
}

int offload_fixup(const struct frame *frame, struct offload_scratch *scratch,
	int (*emit)(void *opaque, const struct frame *frame), void *opaque)
{
	struct cut cut = {frame, scratch, emit, opaque, frame->hdr.hdr_len};

	/* The only look at the body. */
	(void)frame_copy(frame, 0, scratch->bytes, sizeof(scratch->bytes));
	switch (frame->hdr.gso_type & ~NET_HDR_GSO_ECN) {
	case NET_HDR_GSO_TCPV4:
	case NET_HDR_GSO_TCPV6:
		return cut_tcp(&cut);
	case NET_HDR_GSO_UDP_L4:
		return cut_datagrams(&cut);
	case NET_HDR_GSO_UDP:
		cut.hdr_len = frame->l4;
		return cut_fragments(&cut);
	default:
		cut.hdr_len = frame->head_len;
		return complete(&cut);
	}
}

struct sending {
	int (*send)(void *port, const struct frame *frame, int32_t tci);
	void *port;
	int32_t tci;
};

static int send_segment(void *opaque, const struct frame *frame)
{
	const struct sending *sending = opaque;

	return sending->send(sending->port, frame, sending->tci);
}

int offload_send(const struct frame *frame, int32_t tci, struct offload_scratch *scratch,
	int (*send)(void *port, const struct frame *frame, int32_t tci), void *port)
{
	struct sending sending = {send, port, tci};
	int r = send(port, frame, tci);

	if (r != -EINVAL || !frame->hdr.gso_type)
		return r;
	return offload_fixup(frame, scratch, send_segment, &sending);
}
