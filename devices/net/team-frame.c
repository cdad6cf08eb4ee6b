/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frames that a team makes itself: Ethernet, ARP and RARP (RFC 826, RFC 903), neighbour discovery (RFC 4861).
 *
 * Tested by tests/unit/test-team.c.
 */
#include "devices/net/team-internal.h"

#include <string.h>

#define TYPE_IPV6   0x86dd
#define IPPROTO_ND  58 /* ICMPv6 */
#define ND_SOLICIT  135
#define ND_ADVERT   136
#define ND_LEN      32 /* with the option */
#define ND_OVERRIDE UINT32_C(0x20000000)
#define OPT_SOURCE  1
#define OPT_TARGET  2

void team_packet_put(struct team_packet *p, const void *data, size_t len)
{
	assert(len <= sizeof(p->bytes) - p->len);
	memcpy(p->bytes + p->len, data, len);
	p->len += (unsigned)len;
}

void team_packet_put_be(struct team_packet *p, uint64_t value, unsigned bytes)
{
	uint8_t be[8];

	for (unsigned i = 0; i < bytes; i++)
		be[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
	team_packet_put(p, be, bytes);
}

void team_packet_init(struct team_packet *p, const uint8_t dst[NET_MAC_LEN],
	const uint8_t src[NET_MAC_LEN], uint16_t ethertype)
{
	*p = (struct team_packet){0};
	team_packet_put(p, dst, NET_MAC_LEN);
	team_packet_put(p, src, NET_MAC_LEN);
	team_packet_put_be(p, ethertype, 2);
}

/* Short ones are filled up with zeroes. 'vid' 0: untagged. */
int team_packet_send(struct team *t, unsigned member, const struct team_packet *p, uint16_t vid)
{
	struct team_packet padded = *p;
	struct iovec iov = {
		.iov_base = padded.bytes, .iov_len = MAX(p->len, (unsigned)TEAM_MIN_FRAME)};
	enum net_drop refused;
	struct frame f;

	refused = frame_init(&f, NULL, &iov, 1, (uint32_t)iov.iov_len, FRAME_MAX, -1);
	assert(!refused);
	f.vid = vid;
	return t->ops->transmit(t->opaque, member, &f, vid ? vid : -1);
}

void team_packet_arp(struct team_packet *p, const uint8_t src[NET_MAC_LEN], uint16_t ethertype,
	unsigned op, const uint8_t sender[4], const uint8_t target_mac[NET_MAC_LEN],
	const uint8_t target[4])
{
	static const uint8_t broadcast[NET_MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	team_packet_init(p, broadcast, src, ethertype);
	team_packet_put_be(p, 1, 2); /* Ethernet */
	team_packet_put_be(p, 0x0800, 2);
	team_packet_put_be(p, NET_MAC_LEN, 1);
	team_packet_put_be(p, 4, 1);
	team_packet_put_be(p, op, 2);
	team_packet_put(p, src, NET_MAC_LEN);
	team_packet_put(p, sender, 4);
	team_packet_put(p, target_mac, NET_MAC_LEN);
	team_packet_put(p, target, 4);
}

/* RFC 4443, 2.3: with the pseudo-header of RFC 8200, 8.1. 'packet' begins with the IPv6 addresses. */
static uint16_t icmp6_checksum(const uint8_t *packet, unsigned len)
{
	uint32_t sum = ND_LEN + IPPROTO_ND;

	for (unsigned i = 0; i < len; i += 2)
		sum += (uint32_t)(packet[i] << 8 | packet[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* 'type' ND_SOLICIT (with our address as the source's) or ND_ADVERT (as the target's, unsolicited, override). */
void team_packet_nd(struct team_packet *p, const uint8_t dst[NET_MAC_LEN],
	const uint8_t src[NET_MAC_LEN], const uint8_t from[16], const uint8_t to[16], unsigned type,
	const uint8_t target[16])
{
	uint16_t sum;

	team_packet_init(p, dst, src, TYPE_IPV6);
	team_packet_put_be(p, UINT32_C(6) << 28, 4);
	team_packet_put_be(p, ND_LEN, 2);
	team_packet_put_be(p, IPPROTO_ND, 1);
	team_packet_put_be(p, 255, 1); /* RFC 4861, 7.1: a router would have made it less */
	team_packet_put(p, from, 16);
	team_packet_put(p, to, 16);
	team_packet_put_be(p, type, 1);
	team_packet_put_be(p, 0, 3); /* code, checksum */
	team_packet_put_be(p, type == ND_ADVERT ? ND_OVERRIDE : 0, 4);
	team_packet_put(p, target, 16);
	team_packet_put_be(p, type == ND_ADVERT ? OPT_TARGET : OPT_SOURCE, 1);
	team_packet_put_be(p, 1, 1); /* of 8 bytes */
	team_packet_put(p, src, NET_MAC_LEN);
	sum = icmp6_checksum(p->bytes + 22, 32 + ND_LEN);
	p->bytes[56] = (uint8_t)(sum >> 8);
	p->bytes[57] = (uint8_t)sum;
}
