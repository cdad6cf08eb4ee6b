/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames: copy, tags, parse, and a table of offload headers that do and do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "tests/unit/frame-fixture.h"

static struct packet packet, other;
static struct frame frame;
static struct packet_iov vec;

/* Every way to cut it gives the same frame, and gives it back. */
static void test_copy(void **state)
{
	static const uint32_t lens[] = {
		14, 15, 17, 18, 60, 191, 192, 193, 196, 200, 1514, FRAME_MAX};
	static uint8_t back[FRAME_MAX + 8];
	struct iovec iov[FRAME_MAX_IOV];
	struct net_hdr hdr;
	uint8_t scratch[4];
	uint32_t len;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
		packet_eth(&packet, MAC_B, MAC_A, 0x88b5);
		packet_fill(&packet, lens[i] - 14);
		for (uint32_t step = 0; step < 30; step += 3) {
			unsigned n;
			size_t at = 0;

			packet_iov_init(&vec, &packet, step);
			assert_int_equal(
				frame_init(&frame, NULL, vec.iov, vec.n, packet.len, FRAME_MAX, -1),
				0);
			assert_int_equal(frame.len, lens[i]);
			assert_false(frame.tagged);
			assert_int_equal(frame.head_len, MIN(lens[i], (uint32_t)FRAME_HEAD_MAX));
			n = frame_iov(&frame, -1, scratch, iov, &hdr, &len);
			assert_int_equal(len, lens[i]);
			for (unsigned k = 0; k < n; at += iov[k++].iov_len)
				memcpy(back + at, iov[k].iov_base, iov[k].iov_len);
			assert_int_equal(at, len);
			assert_memory_equal(back, packet.bytes, len);
			for (uint32_t from = 0; from <= len; from += 1 + from / 3) {
				memset(back, 0, sizeof(back));
				assert_int_equal(
					frame_copy(&frame, from, back, 300), MIN(len - from, 300U));
				assert_memory_equal(
					back, packet.bytes + from, MIN(len - from, 300U));
			}
			assert_int_equal(frame_copy(&frame, len + 5, back, 1), 0);
			packet_iov_done(&vec);
		}
	}
}

static void test_lengths(void **state)
{
	struct iovec iov[FRAME_MAX_BODY + 2] = {0};

	(void)state;
	packet_eth(&packet, MAC_B, MAC_A, 0x88b5);
	packet_fill(&packet, FRAME_MAX - 14 + 5);
	iov[0] = (struct iovec){packet.bytes, packet.len};
	assert_int_equal(frame_init(&frame, NULL, iov, 1, 13, 1514, -1), NET_DROP_MALFORMED);
	assert_int_equal(frame_init(&frame, NULL, iov, 1, 14, 1514, -1), 0);
	assert_int_equal(frame.n_body, 0);
	assert_int_equal(frame_init(&frame, NULL, iov, 1, 1514, 1514, -1), 0);
	assert_int_equal(frame_init(&frame, NULL, iov, 1, 1515, 1514, -1), NET_DROP_MTU);
	assert_int_equal(frame_init(&frame, NULL, iov, 1, FRAME_MAX, FRAME_MAX, -1), 0);
	assert_int_equal(frame_init(&frame, NULL, iov, 1, FRAME_MAX + 1, FRAME_MAX + 9, -1),
		NET_DROP_MALFORMED);
	assert_int_equal(
		frame_init(&frame, NULL, iov, 1, UINT32_MAX, FRAME_MAX, -1), NET_DROP_MALFORMED);
	assert_int_equal(frame_init(&frame, NULL, iov, 0, 60, 1514, -1), NET_DROP_MALFORMED);
	/* Less memory than the length says: in the head, in the body. */
	iov[0].iov_len = 100;
	assert_int_equal(frame_init(&frame, NULL, iov, 1, 101, 1514, -1), NET_DROP_MALFORMED);
	iov[0].iov_len = 300;
	assert_int_equal(frame_init(&frame, NULL, iov, 1, 301, 1514, -1), NET_DROP_MALFORMED);
	assert_int_equal(frame_init(&frame, NULL, iov, 1, 300, 1514, -1), 0);
	/* Empty iovecs between. */
	iov[2] = (struct iovec){packet.bytes, SIZE_MAX};
	assert_int_equal(frame_init(&frame, NULL, iov, 3, 301, 1514, -1), 0);
	/* Too many of them. */
	iov[2].iov_len = 0;
	iov[FRAME_MAX_BODY + 1] = (struct iovec){packet.bytes, 1};
	assert_int_equal(frame_init(&frame, NULL, iov, FRAME_MAX_BODY + 2, 301, 1514, -1),
		NET_DROP_MALFORMED);
}

static void test_tags(void **state)
{
	static const struct {
		const char *tags; /* as on the wire, behind the addresses */
		uint8_t n_bytes;
		int32_t beside;
		bool tagged;
		uint16_t tci, ethertype, l3;
		enum net_drop drop;
	} rows[] = {
		{"\x08\x00", 2, -1, false, 0, 0x0800, 14, 0},
		{"\x81\x00\x20\x05\x08\x00", 6, -1, true, 0x2005, 0x0800, 14, 0},
		/* Priority: VID 0. */
		{"\x81\x00\xe0\x00\x08\x00", 6, -1, true, 0xe000, 0x0800, 14, 0},
		/* Provider's tag: not ours, in the bytes. */
		{"\x88\xa8\x00\x05\x08\x00", 6, -1, false, 0, 0x0800, 18, 0},
		{"\x88\xa8\x00\x05\x81\x00\x00\x06\x86\xdd", 10, -1, false, 0, 0x86dd, 22, 0},
		{"\x81\x00\x00\x05\x81\x00\x00\x06\x08\x06", 10, -1, true, 5, 0x0806, 18, 0},
		{"\x81\x00\x00\x05\x88\xa8\x00\x06\x08\x06", 10, -1, true, 5, 0x0806, 18, 0},
		/* Beside the frame: what is in the bytes is an inner one. */
		{"\x81\x00\x00\x05\x08\x00", 6, 7, true, 7, 0x0800, 18, 0},
		{"\x08\x00", 2, 0, true, 0, 0x0800, 14, 0},
		/* Four inner ones, and one more than anybody looks behind. */
		{"\x88\xa8\0\1\x81\0\0\2\x81\0\0\3\x81\0\0\4\x08\0", 18, -1, false, 0, 0x0800, 30,
			0},
		{"\x88\xa8\0\1\x81\0\0\2\x81\0\0\3\x81\0\0\4\x81\0\0\5\x08\0", 22, -1, false, 0,
			0x8100, 30, 0},
		/* Cut off. */
		{"\x81\x00", 2, -1, true, 0, 0, 0, NET_DROP_MALFORMED},
		{"\x81\x00\x00\x05\x08", 5, -1, true, 0, 0, 0, NET_DROP_MALFORMED},
		{"\x88\xa8\x00\x05\x08", 5, -1, false, 0, 0x88a8, 14, 0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		packet.len = 0;
		packet_add(&packet, MAC_B MAC_A, 12);
		packet_add(&packet, rows[i].tags, rows[i].n_bytes);
		packet_iov_init(&vec, &packet, 0);
		assert_int_equal(
			frame_init(&frame, NULL, vec.iov, vec.n, packet.len, 1514, rows[i].beside),
			rows[i].drop);
		packet_iov_done(&vec);
		if (rows[i].drop)
			continue;
		assert_int_equal(frame.tagged, rows[i].tagged);
		assert_int_equal(frame.tci, rows[i].tci);
		assert_int_equal(frame.ethertype, rows[i].ethertype);
		assert_int_equal(frame.l3, rows[i].l3);
		assert_int_equal(
			frame.len, packet.len - (rows[i].tagged && rows[i].beside < 0 ? 4 : 0));
		assert_memory_equal(frame.head, MAC_B MAC_A, 12);
	}
}

/* A tag in, a tag out, around a body; the limit is without tags. */
static void test_tagged_body(void **state)
{
	struct iovec iov[FRAME_MAX_IOV];
	uint8_t scratch[4], back[1600];
	struct net_hdr hdr;
	uint32_t len;
	size_t at = 0;
	unsigned n;

	(void)state;
	packet_eth(&packet, MAC_B, MAC_A, 0x8100);
	packet_be16(&packet, 0x6007);
	packet_be16(&packet, 0x88b5);
	packet_fill(&packet, 1500);
	packet_iov_init(&vec, &packet, 37);
	assert_int_equal(
		frame_init(&frame, NULL, vec.iov, vec.n, packet.len, 1513, -1), NET_DROP_MTU);
	assert_int_equal(frame_init(&frame, NULL, vec.iov, vec.n, packet.len, 1514, -1), 0);
	assert_int_equal(frame.len, 1514);
	assert_int_equal(frame_copy(&frame, 14, back, 1500), 1500);
	assert_memory_equal(back, packet.bytes + 18, 1500);
	n = frame_iov(&frame, 0x6007, scratch, iov, &hdr, &len);
	for (unsigned k = 0; k < n; at += iov[k++].iov_len)
		memcpy(back + at, iov[k].iov_base, iov[k].iov_len);
	assert_int_equal(len, packet.len);
	assert_int_equal(at, len);
	assert_memory_equal(back, packet.bytes, len);
	/* An inner tag is free, one. */
	assert_int_equal(frame_init(&frame, NULL, vec.iov, vec.n, packet.len, 1514, 5), 0);
	packet_iov_done(&vec);
}

static void test_destinations(void **state)
{
	static const struct {
		const char *dst;
		uint16_t flags;
	} rows[] = {
		{MAC_B, 0},
		{MAC_ALL, FRAME_MULTICAST | FRAME_BROADCAST},
		{"\xff\xff\xff\xff\xff\xfe", FRAME_MULTICAST},
		{"\x01\x00\x5e\0\0\1", FRAME_MULTICAST},
		{"\x01\x80\xc2\0\0\0", FRAME_MULTICAST | FRAME_RESERVED},
		{"\x01\x80\xc2\0\0\x0f", FRAME_MULTICAST | FRAME_RESERVED},
		{"\x01\x80\xc2\0\0\x10", FRAME_MULTICAST},
		{"\x01\x80\xc2\0\1\0", FRAME_MULTICAST},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		packet_eth(&packet, rows[i].dst, MAC_A, 0x88b5);
		assert_int_equal(packet_frame(&packet, NULL, &vec, &frame), 0);
		assert_int_equal(frame.flags, rows[i].flags);
		packet_iov_done(&vec);
	}
}

/* One change to a good frame each, and the flags it then has. */
struct change {
	uint32_t at;
	const char *bytes;
	uint8_t n;
	uint16_t flags;
	uint8_t proto;
	uint16_t l4;
	uint32_t len; /* 0: as it is */
};

static void check_changes(const struct change *rows, size_t n)
{
	for (const struct change *c = rows; c < rows + n; c++) {
		other = packet;
		memcpy(other.bytes + c->at, c->bytes, c->n);
		other.len = c->len ? c->len : other.len;
		assert_int_equal(packet_frame(&other, NULL, &vec, &frame), 0);
		packet_iov_done(&vec);
		if (frame.flags != c->flags || frame.l4 != c->l4 || frame.ip_proto != c->proto)
			fail_msg("row %zu: flags %x l4 %u proto %u", (size_t)(c - rows),
				frame.flags, frame.l4, frame.ip_proto);
	}
}

static void test_ipv4(void **state)
{
#define V4 (FRAME_IPV4 | FRAME_FRAGMENT)
	static const struct change rows[] = {
		{0, "", 0, FRAME_IPV4 | FRAME_UDP, 17, 34, 0},
		{14, "\x44", 1, 0, 0, 0, 0},                            /* 16 bytes of header */
		{14, "\x55", 1, 0, 0, 0, 0},                            /* version */
		{14, "\x46", 1, FRAME_IPV4 | FRAME_UDP, 17, 38, 0},     /* options */
		{14, "\x4f", 1, 0, 0, 0, 0},                            /* beyond total length */
		{16, "\x00\x13", 2, 0, 0, 0, 0},                        /* total < header */
		{16, "\x00\x31", 2, 0, 0, 0, 0},                        /* total > frame */
		{16, "\x00\x1b", 2, FRAME_IPV4, 17, 34, 0},             /* 7 bytes of UDP */
		{16, "\x00\x1c", 2, FRAME_IPV4 | FRAME_UDP, 17, 34, 0}, /* 8 */
		{16, "\x00\x14", 2, FRAME_IPV4, 17, 34, 0},             /* none */
		{20, "\x20\x00", 2, V4 | FRAME_UDP, 17, 34, 0},         /* first fragment */
		{20, "\x20\x01", 2, V4 | FRAME_LATER, 17, 0, 0},        /* second */
		{20, "\x00\x01", 2, V4 | FRAME_LATER, 17, 0, 0},        /* last */
		{20, "\x40\x00", 2, FRAME_IPV4 | FRAME_UDP, 17, 34, 0}, /* DF */
		{23, "\x06", 1, FRAME_IPV4 | FRAME_TCP, 6, 34, 0},      /* TCP */
		{23, "\x02", 1, FRAME_IPV4 | FRAME_IGMP, 2, 34, 0},     /* IGMP */
		{23, "\x3a", 1, FRAME_IPV4, 58, 34, 0},                 /* ICMPv6 is not for IPv4 */
		{23, "\x00", 1, FRAME_IPV4, 0, 34, 0},                  /* no extensions here */
		{0, "", 0, 0, 0, 0, 33},                                /* cut off */
		{0, "", 0, 0, 0, 0, 34},                                /* total > frame */
	};

	(void)state;
	packet_eth(&packet, MAC_B, MAC_A, 0x0800);
	packet_ipv4(&packet, IP4_A, IP4_B, PROTO_UDP);
	packet_udp(&packet, 1000, 2000);
	packet_fill(&packet, 20);
	packet_end(&packet);
	check_changes(rows, ARRAY_SIZE(rows));
}

static void test_ipv6(void **state)
{
	static const struct change rows[] = {
		{0, "", 0, FRAME_IPV6 | FRAME_TCP, 6, 54, 0},
		{14, "\x45", 1, 0, 0, 0, 0},                          /* version */
		{18, "\x00\x7f", 2, 0, 0, 0, 0},                      /* longer than the frame */
		{18, "\x00\x13", 2, FRAME_IPV6, 6, 54, 0},            /* 19 bytes of TCP */
		{20, "\x3a", 1, FRAME_IPV6 | FRAME_ICMP6, 58, 54, 0}, /* ICMPv6 */
		{20, "\x02", 1, FRAME_IPV6, 2, 54, 0},                /* IGMP is not for IPv6 */
		{20, "\x3b", 1, FRAME_IPV6, 59, 54, 0},               /* no next header */
		{0, "", 0, 0, 0, 0, 53},                              /* cut off */
	};
	static const struct {
		const char *exts; /* the first next header, then the extensions */
		uint8_t n;
		uint16_t flags;
		uint8_t proto;
		uint16_t l4;
	} chains[] = {
		{"\x00\x11\0\0\0\0\0\0\0", 9, FRAME_UDP, 17, 62},
		{"\x00\x2b\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0", 33,
			FRAME_UDP, 17, 86},
		{"\x33\x11\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 25, FRAME_UDP, 17,
			78}, /* AH: words */
		{"\x2c\x11\0\0\1\0\0\0\0", 9, FRAME_FRAGMENT | FRAME_UDP, 17, 62},
		{"\x2c\x11\0\0\0\0\0\0\0", 9, FRAME_FRAGMENT | FRAME_UDP, 17, 62},
		{"\x2c\x11\0\0\x08\0\0\0\0", 9, FRAME_FRAGMENT | FRAME_LATER, 17, 0},
		{"\x2c\x3c\0\0\1\0\0\0\0\x11\0\0\0\0\0\0\0", 17, FRAME_FRAGMENT | FRAME_UDP, 17,
			70},
		{"\x2c\x2c\0\0\0\0\0\0\0\x11\0\0\x08\0\0\0\0", 17, FRAME_FRAGMENT, 44, 0},
		/* Longer than the packet; longer than the head. */
		{"\x00\x11\xff\0\0\0\0\0\0", 9, 0, 0, 0},
		{"\x3c\x11\x11\0\0\0\0\0\0", 9, 0, 60, 0},
		/* Eight, and nine. */
		{"\x3c\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0"
		 "\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0",
			65, FRAME_UDP, 17, 118},
		{"\x3c\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c"
		 "\0\0\0\0\0\0\0"
		 "\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0",
			73, 0, 60, 0},
	};

	(void)state;
	packet_eth(&packet, MAC_B, MAC_A, 0x86dd);
	packet_ipv6(&packet, IP6_A, IP6_B, PROTO_TCP);
	packet_tcp(&packet, 0x10);
	packet_end(&packet);
	check_changes(rows, ARRAY_SIZE(rows));
	for (unsigned i = 0; i < ARRAY_SIZE(chains); i++) {
		packet_eth(&packet, MAC_B, MAC_A, 0x86dd);
		packet_ipv6(&packet, IP6_A, IP6_B, (uint8_t)chains[i].exts[0]);
		packet_add(&packet, chains[i].exts + 1, chains[i].n - 1U);
		packet_udp(&packet, 1, 2);
		packet_fill(&packet, 120);
		packet_end(&packet);
		assert_int_equal(packet_frame(&packet, NULL, &vec, &frame), 0);
		packet_iov_done(&vec);
		if (frame.flags != (chains[i].flags | FRAME_IPV6) || frame.l4 != chains[i].l4 ||
			frame.ip_proto != chains[i].proto)
			fail_msg("chain %u: flags %x l4 %u proto %u", i, frame.flags, frame.l4,
				frame.ip_proto);
	}
}

static void test_arp(void **state)
{
	static const struct change rows[] = {
		{0, "", 0, FRAME_ARP, 0, 0, 0},
		{14, "\0\6", 2, 0, 0, 0, 0},     /* hardware */
		{16, "\x86\xdd", 2, 0, 0, 0, 0}, /* protocol */
		{18, "\x08", 1, 0, 0, 0, 0},     /* lengths */
		{19, "\x10", 1, 0, 0, 0, 0},
		{0, "", 0, 0, 0, 0, 41},
	};

	(void)state;
	packet_arp(&packet, MAC_A, 1, MAC_A, IP4_A);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct change change = rows[i];

		change.flags |= FRAME_MULTICAST | FRAME_BROADCAST;
		check_changes(&change, 1);
	}
}

/* Bases of the offload table. */
enum base { TCP4, TCP6, UDP4, UDP6, TCP6_EXT, DHCP, ICMP4, ICMP6, GRE, ARP, FRAG, TAGGED, X_MAX };

static void make_base(enum base base)
{
	bool six = base == TCP6 || base == UDP6 || base == TCP6_EXT || base == ICMP6;
	uint8_t proto = base == TCP4 || base == TCP6 || base == TAGGED || base == FRAG ? PROTO_TCP
		: base == ICMP4                                                        ? PROTO_ICMP
		: base == ICMP6                                                        ? PROTO_ICMP6
		: base == GRE                                                          ? 47
		: base == TCP6_EXT                                                     ? 60
										       : PROTO_UDP;

	packet_eth(&packet, MAC_B, MAC_A, base == TAGGED ? 0x8100 : six ? 0x86dd : 0x0800);
	if (base == TAGGED) {
		packet_be16(&packet, 5);
		packet_be16(&packet, 0x0800);
	}
	if (six)
		packet_ipv6(&packet, IP6_A, IP6_B, proto);
	else
		packet_ipv4(&packet, IP4_A, IP4_B, proto);
	if (base == TCP6_EXT)
		packet_add(&packet, "\6\0\0\0\0\0\0\0", 8);
	if (base == FRAG)
		packet.bytes[packet.l3 + 6] = 0x20;
	if (proto == PROTO_UDP)
		packet_udp(&packet, base == DHCP ? 68 : 1000, base == DHCP ? 67 : 4789);
	else if (proto == PROTO_TCP || base == TCP6_EXT)
		packet_tcp(&packet, 0x10);
	packet_fill(&packet, 3000 - packet.len);
	packet_end(&packet);
	if (base == ARP)
		packet_arp(&packet, MAC_A, 1, MAC_A, IP4_A);
}

static void test_offload_header(void **state)
{
#define CSUM NET_HDR_F_NEEDS_CSUM
#define ECN  NET_HDR_GSO_ECN
#define NO   NET_DROP_MALFORMED
	static const struct {
		enum base base;
		uint8_t flags, gso;
		uint16_t size, start, offset;
		enum net_drop drop;
		uint16_t hdr_len; /* by our parse */
	} rows[] = {
		{TCP4, CSUM, 0, 0, 34, 16, NET_DROP_MTU, 0}, /* 3000 bytes, not segmented */
		{TCP4, CSUM, 1, 1448, 34, 16, 0, 66},
		{TCP4, CSUM, 1 | ECN, 1448, 34, 16, 0, 66},
		{TCP6, CSUM, 4, 1428, 54, 16, 0, 86},
		{TCP6_EXT, CSUM, 4, 1400, 62, 16, 0, 94},
		{UDP4, CSUM, 5, 1400, 34, 6, 0, 42},
		{UDP6, CSUM, 5, 1400, 54, 6, 0, 62},
		{UDP4, CSUM, 3, 1480, 34, 6, 0, 42},
		{UDP6, CSUM, 3, 1448, 54, 6, 0, 62},
		{TAGGED, CSUM, 1, 1448, 38, 16, 0, 66},
		/* The kind is not what is there. */
		{TCP4, CSUM, 4, 1448, 34, 16, NO, 0},
		{TCP6, CSUM, 1, 1448, 54, 16, NO, 0},
		{TCP4, CSUM, 5, 1448, 34, 16, NO, 0},
		{TCP4, CSUM, 3, 1448, 34, 16, NO, 0},
		{UDP4, CSUM, 1, 1448, 34, 6, NO, 0},
		{UDP6, CSUM, 4, 1448, 54, 6, NO, 0},
		{ICMP4, 0, 1, 1448, 0, 0, NO, 0},
		{ARP, 0, 1, 1448, 0, 0, NO, 0},
		{FRAG, CSUM, 1, 1448, 34, 16, NO, 0},
		/* No such kind; ECN without TCP. */
		{TCP4, CSUM, 2, 1448, 34, 16, NO, 0},
		{TCP4, CSUM, 6, 1448, 34, 16, NO, 0},
		{TCP4, CSUM, 0x7f, 1448, 34, 16, NO, 0},
		{TCP4, CSUM, ECN, 1448, 34, 16, NO, 0},
		{UDP4, CSUM, 5 | ECN, 1400, 34, 6, NO, 0},
		{UDP4, CSUM, 3 | ECN, 1400, 34, 6, NO, 0},
		/* Sizes: none; more than 1024 segments; longer than the MTU. */
		{TCP4, CSUM, 1, 0, 34, 16, NO, 0},
		{TCP4, CSUM, 1, 2, 34, 16, NO, 0},
		{TCP4, CSUM, 1, 3, 34, 16, 0, 66},
		{UDP4, CSUM, 3, 7, 34, 6, NO, 0},
		{TCP4, CSUM, 1, 1449, 34, 16, NET_DROP_MTU, 0},
		{UDP4, CSUM, 5, 1473, 34, 6, NET_DROP_MTU, 0},
		{UDP4, CSUM, 3, 1487, 34, 6, 0, 42}, /* 1480 */
		{UDP4, CSUM, 3, 1488, 34, 6, NET_DROP_MTU, 0},
		{UDP6, CSUM, 3, 1456, 54, 6, NET_DROP_MTU, 0}, /* and a fragment header */
		{TCP4, CSUM, 1, 65535, 34, 16, NET_DROP_MTU, 0},
		/* Segmentation needs the checksum, and at its place. */
		{TCP4, 0, 1, 1448, 34, 16, NO, 0},
		{TCP4, CSUM, 1, 1448, 34, 6, NO, 0},
		{TCP4, CSUM, 1, 1448, 38, 16, NO, 0},
		{TAGGED, CSUM, 1, 1448, 34, 16, NO, 0},
		{TAGGED, CSUM, 1, 1448, 3, 16, NO, 0},
		/* Checksums (the frames are too long: MTU is "accepted"). */
		{UDP4, CSUM, 0, 0, 34, 6, NET_DROP_MTU, 0},
		{UDP6, CSUM, 0, 0, 54, 6, NET_DROP_MTU, 0},
		{ICMP6, CSUM, 0, 0, 54, 2, NET_DROP_MTU, 0},
		{UDP4, CSUM, 0, 0, 100, 16, NET_DROP_MTU, 0}, /* in a tunnel */
		{GRE, CSUM, 0, 0, 34, 4, NET_DROP_MTU, 0},
		{UDP4, CSUM, 0, 0, 2990, 8, NET_DROP_MTU, 0}, /* the last two bytes */
		{UDP4, CSUM, 0, 0, 2990, 9, NO, 0},           /* beyond */
		{UDP4, CSUM, 0, 0, 65535, 65535, NO, 0},
		{UDP4, CSUM, 0, 0, 34, 65535, NO, 0},
		{TCP4, CSUM, 0, 0, 0, 6, NO, 0},   /* the source address of Ethernet */
		{TCP4, CSUM, 0, 0, 14, 12, NO, 0}, /* of IP */
		{TCP4, CSUM, 0, 0, 34, 0, NO, 0},  /* a port */
		{UDP4, CSUM, 0, 0, 34, 0, NO, 0},
		{UDP4, CSUM, 0, 0, 34, 8, NO, 0},
		{UDP4, CSUM, 0, 0, 35, 0, NO, 0},
		{UDP4, CSUM, 0, 0, 41, 0, NO, 0},
		{DHCP, CSUM, 0, 0, 34, 6, NET_DROP_MTU, 0},
		{DHCP, CSUM, 0, 0, 42, 0, NO, 0}, /* the operation of DHCP */
		{ICMP4, CSUM, 0, 0, 34, 2, NO, 0},
		{ICMP6, CSUM, 0, 0, 54, 0, NO, 0}, /* the type */
		{ICMP6, CSUM, 0, 0, 62, 0, NO, 0}, /* the target */
		{FRAG, CSUM, 0, 0, 34, 16, NO, 0},
		{ARP, CSUM, 0, 0, 14, 8, NO, 0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct net_hdr hdr = {rows[i].flags | 0x84, rows[i].gso, 0xffff, rows[i].size,
			rows[i].start, rows[i].offset, 7};
		enum net_drop drop;

		make_base(rows[i].base);
		packet_iov_init(&vec, &packet, 0);
		drop = frame_init(&frame, &hdr, vec.iov, vec.n, packet.len, 1514, -1);
		packet_iov_done(&vec);
		if (drop != rows[i].drop || (!drop && frame.hdr.hdr_len != rows[i].hdr_len))
			fail_msg("row %u: %d, headers %u", i, drop, frame.hdr.hdr_len);
		if (drop)
			continue;
		assert_int_equal(frame.hdr.flags, CSUM);
		assert_int_equal(frame.hdr.num_buffers, 0);
		assert_int_equal(frame.hdr.csum_start, frame.l4);
	}
}

/* TCP and UDP that lie about their lengths, padding behind IP, and what fits one segment. */
static void test_offload_lies(void **state)
{
	struct net_hdr hdr = {CSUM, 1, 0, 1448, 34, 16, 0};

	(void)state;
	make_base(TCP4);
	packet.bytes[46] = 0x40; /* 16 bytes of header */
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), NO);
	packet_iov_done(&vec);
	make_base(TCP4);
	packet.len -= 1;
	packet_end(&packet);
	packet.len += 1;
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), NO);
	packet_iov_done(&vec);
	make_base(TCP4);
	packet.len = 66; /* no payload */
	packet_end(&packet);
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), NO);
	packet_iov_done(&vec);
	packet.len = 66 + 1448;
	packet_end(&packet);
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), 0);
	assert_int_equal(frame.hdr.gso_type, 0);
	assert_int_equal(frame.hdr.gso_size, 0);
	assert_int_equal(frame.hdr.hdr_len, 0);
	assert_int_equal(frame.hdr.flags, CSUM);
	packet_iov_done(&vec);
	make_base(UDP4);
	packet.bytes[39]++;
	hdr = (struct net_hdr){CSUM, 5, 0, 1400, 34, 6, 0};
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), NO);
	packet_iov_done(&vec);
	/* Headers that do not fit the head. */
	packet_eth(&packet, MAC_B, MAC_A, 0x86dd);
	packet_ipv6(&packet, IP6_A, IP6_B, 60);
	memcpy(packet_add(&packet, NULL, 112), "\6\x0d", 2);
	packet_tcp(&packet, 0x10);
	packet_fill(&packet, 2000);
	packet_end(&packet);
	hdr = (struct net_hdr){CSUM, 4, 0, 1000, (uint16_t)packet.l4, 16, 0};
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), NO);
	assert_int_equal(frame.flags, FRAME_IPV6 | FRAME_TCP);
	packet_iov_done(&vec);
}

/* DATA_VALID stays where nothing else is asked; a tag moves what points into the frame. */
static void test_header_out(void **state)
{
	struct net_hdr hdr = {NET_HDR_F_DATA_VALID, 0, 9, 9, 9, 9, 9}, out;
	struct iovec iov[FRAME_MAX_IOV];
	uint8_t scratch[4];
	uint32_t len;

	(void)state;
	make_base(TAGGED);
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), 0);
	assert_int_equal(frame.hdr.flags, NET_HDR_F_DATA_VALID);
	assert_int_equal(frame.hdr.csum_start | frame.hdr.hdr_len | frame.hdr.gso_size, 0);
	(void)frame_iov(&frame, 9, scratch, iov, &out, &len);
	assert_int_equal(out.csum_start | out.hdr_len, 0);
	packet_iov_done(&vec);
	hdr = (struct net_hdr){CSUM, 1, 0, 1448, 38, 16, 0};
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), 0);
	assert_int_equal(frame.hdr.csum_start, 34);
	(void)frame_iov(&frame, -1, scratch, iov, &out, &len);
	assert_memory_equal(&out, &frame.hdr, sizeof(out));
	(void)frame_iov(&frame, 9, scratch, iov, &out, &len);
	assert_int_equal(out.csum_start, 38);
	assert_int_equal(out.hdr_len, 70);
	assert_int_equal(len, packet.len);
	packet_iov_done(&vec);
}

static uint32_t hash_of(const uint64_t seed[2])
{
	uint32_t hash;

	assert_int_equal(packet_frame(&packet, NULL, &vec, &frame), 0);
	hash = frame_hash(&frame, seed);
	assert_int_not_equal(hash, 0);
	assert_int_equal(frame.hash, hash);
	packet_iov_done(&vec);
	return hash;
}

static void test_hash(void **state)
{
	const uint64_t seed[2] = {1, 2}, seed2[2] = {1, 3};
	static const enum base bases[] = {TCP4, TCP6, UDP4, UDP6};
	uint32_t first, counts[16] = {0};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
		make_base(bases[i]);
		first = hash_of(seed);
		packet.bytes[packet.len - 1]++; /* payload */
		packet.bytes[0] += 2;           /* Ethernet */
		assert_int_equal(hash_of(seed), first);
		assert_int_not_equal(hash_of(seed2), first);
		packet.bytes[packet.l4 + 1]++; /* port */
		assert_int_not_equal(hash_of(seed), first);
		packet.bytes[packet.l4 + 1]--;
		packet.bytes[packet.l4 - 1]++; /* destination */
		assert_int_not_equal(hash_of(seed), first);
	}
	/* Fragments stay together: the first with ports, a later one with other bytes there. */
	make_base(FRAG);
	first = hash_of(seed);
	packet.bytes[packet.l3 + 7] = 9;
	packet.bytes[packet.l4]++;
	assert_int_equal(hash_of(seed), first);
	packet.bytes[packet.l3 + 6] = 0x40;
	packet.bytes[packet.l3 + 7] = 0;
	assert_int_not_equal(hash_of(seed), first);
	/* Other protocols: addresses and type. */
	packet_eth(&packet, MAC_B, MAC_A, 0x88b5);
	first = hash_of(seed);
	packet_eth(&packet, MAC_A, MAC_B, 0x88b5);
	assert_int_not_equal(hash_of(seed), first);
	packet_eth(&packet, MAC_B, MAC_A, 0x88b6);
	assert_int_not_equal(hash_of(seed), first);
	/* Ports spread evenly: 4096 flows over 16. */
	make_base(TCP4);
	for (unsigned i = 0; i < 4096; i++) {
		frame_put_be16(packet.bytes + packet.l4, i);
		counts[hash_of(seed) & 15]++;
	}
	for (unsigned i = 0; i < 16; i++)
		assert_in_range(counts[i], 192, 320);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_tagged_body),
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_offload_header),
		cmocka_unit_test(test_offload_lies),
		cmocka_unit_test(test_header_out),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
