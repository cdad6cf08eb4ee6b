/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ethernet frames made by hand, for the tests of devices/net. Include after cmocka. */
#pragma once

#include <string.h>

#include "devices/net/frame.h"
#include "vmm-core/base/macro.h"

#define PROTO_ICMP  1
#define PROTO_IGMP  2
#define PROTO_TCP   6
#define PROTO_UDP   17
#define PROTO_ICMP6 58

#define MAC_A     "\x52\x54\x00\x00\x00\x0a"
#define MAC_B     "\x52\x54\x00\x00\x00\x0b"
#define MAC_ALL   "\xff\xff\xff\xff\xff\xff"
#define IP4_A     "\x0a\x00\x00\x0a"
#define IP4_B     "\x0a\x00\x00\x0b"
#define IP4_NONE  "\0\0\0\0"
#define IP6_A     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x0a"
#define IP6_B     "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x0b"
#define IP6_NONE  "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define IP6_LL_A  "\xfe\x80\0\0\0\0\0\0\x50\x54\x00\xff\xfe\x00\x00\x0a"
#define IP6_LL_X  "\xfe\x80\0\0\0\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08"
#define IP6_NODES "\xff\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"

struct packet {
	uint32_t len;
	uint32_t l3, l4; /* of the last IP header */
	uint8_t bytes[FRAME_MAX + 64];
};

static inline uint8_t *packet_add(struct packet *p, const void *bytes, size_t n)
{
	uint8_t *at = p->bytes + p->len;

	assert_true(p->len + n <= sizeof(p->bytes));
	if (bytes)
		memcpy(at, bytes, n);
	else
		memset(at, 0, n);
	p->len += (uint32_t)n;
	return at;
}

static inline void packet_be16(struct packet *p, unsigned v)
{
	frame_put_be16(packet_add(p, NULL, 2), v);
}

/* Bytes that tell their place. */
static inline void packet_fill(struct packet *p, size_t n)
{
	uint8_t *at = packet_add(p, NULL, n);

	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)(i * 7 + i / 251);
}

static inline void packet_eth(struct packet *p, const void *dst, const void *src, unsigned type)
{
	p->len = 0;
	packet_add(p, dst, 6);
	packet_add(p, src, 6);
	packet_be16(p, type);
}

/* Lengths are filled by packet_end(). */
static inline void packet_ipv4(struct packet *p, const void *src, const void *dst, uint8_t proto)
{
	uint8_t *ip;

	p->l3 = p->len;
	ip = packet_add(p, NULL, 20);
	memcpy(ip, "\x45\0\0\0\x12\x34\x40\0\x40", 9);
	ip[9] = proto;
	memcpy(ip + 12, src, 4);
	memcpy(ip + 16, dst, 4);
	p->l4 = p->len;
}

static inline void packet_ipv6(struct packet *p, const void *src, const void *dst, uint8_t proto)
{
	uint8_t *ip;

	p->l3 = p->len;
	ip = packet_add(p, NULL, 40);
	ip[0] = 0x60;
	ip[6] = proto;
	ip[7] = 255;
	memcpy(ip + 8, src, 16);
	memcpy(ip + 24, dst, 16);
	p->l4 = p->len;
}

static inline void packet_udp(struct packet *p, unsigned from, unsigned to)
{
	p->l4 = p->len;
	packet_be16(p, from);
	packet_be16(p, to);
	packet_be16(p, 0);
	packet_be16(p, 0);
}

static inline void packet_tcp(struct packet *p, uint8_t flags)
{
	uint8_t *tcp;

	p->l4 = p->len;
	tcp = packet_add(p, "\x12\x34\x00\x50\xff\xff\xff\x00\0\0\0\0\x80\0\0\0\0\0\0\0", 20);
	tcp[13] = flags;
	/* Timestamps. */
	packet_add(p, "\x01\x01\x08\x0a\x01\x02\x03\x04\x05\x06\x07\x08", 12);
}

/* RFC 1071, word by word. */
static inline uint16_t reference_sum(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

static inline uint16_t reference_pseudo(const uint8_t *ip, uint8_t proto, uint32_t len)
{
	uint32_t sum = ip[0] >> 4 == 4 ? reference_sum(ip + 12, 8, proto)
				       : reference_sum(ip + 8, 32, proto);

	sum += len;
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

/* IP's length and checksum, UDP's length. */
static inline void packet_end(struct packet *p)
{
	uint8_t *ip = p->bytes + p->l3;
	uint8_t proto = ip[0] >> 4 == 4 ? ip[9] : ip[6];

	if (ip[0] >> 4 == 4) {
		frame_put_be16(ip + 2, p->len - p->l3);
		frame_put_be16(ip + 10, 0);
		frame_put_be16(ip + 10, (uint16_t)~reference_sum(ip, (ip[0] & 15U) * 4, 0));
	} else {
		frame_put_be16(ip + 4, p->len - p->l3 - 40);
	}
	if (proto == PROTO_UDP && p->len >= p->l4 + 8)
		frame_put_be16(p->bytes + p->l4 + 4, p->len - p->l4);
}

static inline void packet_arp(
	struct packet *p, const void *src, uint8_t op, const void *sha, const void *spa)
{
	packet_eth(p, MAC_ALL, src, 0x0806);
	packet_add(p, "\0\1\x08\0\6\4\0", 7);
	packet_add(p, &op, 1);
	packet_add(p, sha, 6);
	packet_add(p, spa, 4);
	packet_add(p, NULL, 6);
	packet_add(p, IP4_B, 4);
}

/* An ICMPv6 message 'type' of 'size' bytes; 'target' (may be NULL) at 8. */
static inline uint8_t *packet_icmp6(
	struct packet *p, const void *src_ip, uint8_t type, size_t size, const void *target)
{
	uint8_t *icmp;

	packet_eth(p, "\x33\x33\0\0\0\1", MAC_A, 0x86dd);
	packet_ipv6(p, src_ip, IP6_NODES, PROTO_ICMP6);
	icmp = packet_add(p, NULL, size);
	icmp[0] = type;
	if (target)
		memcpy(icmp + 8, target, 16);
	packet_end(p);
	return icmp;
}

/* A link-layer address option of ND. */
static inline void packet_lla(struct packet *p, uint8_t type, const void *mac)
{
	packet_add(p, &type, 1);
	packet_add(p, "\1", 1);
	packet_add(p, mac, 6);
	packet_end(p);
}

/* A DHCP message from a server to MAC_A, with type 'type' behind 'pad' bytes of other options. */
static inline void packet_dhcp(struct packet *p, uint8_t type, const void *yiaddr, uint8_t pad)
{
	uint8_t *dhcp;

	packet_eth(p, MAC_A, MAC_B, 0x0800);
	packet_ipv4(p, IP4_B, yiaddr, PROTO_UDP);
	packet_udp(p, 67, 68);
	dhcp = packet_add(p, NULL, 236);
	memcpy(dhcp, "\2\1\6", 3);
	memcpy(dhcp + 16, yiaddr, 4);
	memcpy(dhcp + 28, MAC_A, 6);
	packet_add(p, "\x63\x82\x53\x63", 4);
	if (pad) {
		packet_add(p, "\x0c", 1);
		packet_add(p, &pad, 1);
		packet_fill(p, pad);
	}
	packet_add(p, "\x35\x01", 2);
	packet_add(p, &type, 1);
	packet_add(p, "\xff", 1);
	packet_end(p);
}

/* The packet in iovecs of 'step' bytes (0: one); each is memory of its own, exactly as long, so that ASan sees a read
 * beyond. */
struct packet_iov {
	unsigned n;
	struct iovec iov[FRAME_MAX_BODY];
};

static inline void packet_iov_init(struct packet_iov *v, const struct packet *p, uint32_t step)
{
	uint32_t part;

	v->n = 0;
	if (!step || p->len / step >= FRAME_MAX_BODY)
		step = step ? DIV_ROUND_UP(p->len, FRAME_MAX_BODY) : p->len;
	for (uint32_t at = 0; at < p->len; at += part) {
		part = MIN(step, p->len - at);
		v->iov[v->n] = (struct iovec){malloc(part), part};
		assert_non_null(v->iov[v->n].iov_base);
		memcpy(v->iov[v->n++].iov_base, p->bytes + at, part);
	}
}

static inline void packet_iov_done(struct packet_iov *v)
{
	for (unsigned i = 0; i < v->n; i++)
		free(v->iov[i].iov_base);
	v->n = 0;
}

/* The frame of the packet; without a limit. */
static inline enum net_drop packet_frame(
	const struct packet *p, const struct net_hdr *hdr, struct packet_iov *v, struct frame *f)
{
	packet_iov_init(v, p, 0);
	return frame_init(f, hdr, v->iov, v->n, p->len, FRAME_MAX, -1);
}
