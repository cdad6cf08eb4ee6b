/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What frames tell of addresses and groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "devices/net/snoop.h"
#include "tests/unit/frame-fixture.h"

static struct packet packet;
static struct packet_iov vec;
static struct frame frame;
static struct snoop_result seen;
static struct snoop_groups groups;

static bool address(void)
{
	bool r;

	assert_int_equal(packet_frame(&packet, NULL, &vec, &frame), 0);
	r = snoop_address(&frame, &seen);
	packet_iov_done(&vec);
	return r;
}

static void expect(enum snoop_source source, const char *mac, uint8_t family, const char *ip)
{
	assert_true(address());
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.addresses[0].source, source);
	assert_memory_equal(seen.addresses[0].mac, mac, 6);
	assert_int_equal(seen.addresses[0].ip.family, family);
	assert_int_equal(seen.addresses[0].ip.prefix, family == 4 ? 32 : 128);
	assert_memory_equal(seen.addresses[0].ip.bytes, ip, family == 4 ? 4 : 16);
}

static void test_arp(void **state)
{
	static const char *const bad[] = {
		IP4_NONE, "\xe0\0\0\1", "\xff\xff\xff\xff", "\x7f\0\0\1", "\0\0\0\1"};

	(void)state;
	packet_arp(&packet, MAC_A, 1, MAC_A, IP4_A);
	expect(SNOOP_ARP, MAC_A, 4, IP4_A);
	packet_arp(&packet, MAC_A, 2, MAC_B, IP4_B);
	expect(SNOOP_ARP, MAC_B, 4, IP4_B);
	packet_arp(&packet, MAC_A, 3, MAC_A, IP4_A);
	assert_false(address());
	packet_arp(&packet, MAC_A, 1, MAC_ALL, IP4_A);
	assert_false(address());
	packet_arp(&packet, MAC_A, 1, "\0\0\0\0\0\0", IP4_A);
	assert_false(address());
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		packet_arp(&packet, MAC_A, 1, MAC_A, bad[i]);
		assert_false(address());
	}
}

static void test_nd(void **state)
{
	(void)state;
	packet_icmp6(&packet, IP6_A, 135, 24, IP6_B);
	assert_false(address());
	packet_lla(&packet, 1, MAC_A);
	expect(SNOOP_ND, MAC_A, 6, IP6_A);
	packet.bytes[21] = 254; /* came from elsewhere */
	assert_false(address());
	packet_icmp6(&packet, IP6_NONE, 135, 24, IP6_A);
	expect(SNOOP_DAD, MAC_A, 6, IP6_A);
	packet_icmp6(&packet, IP6_LL_A, 136, 24, IP6_A);
	expect(SNOOP_ND, MAC_A, 6, IP6_A);
	packet_lla(&packet, 2, MAC_B);
	expect(SNOOP_ND, MAC_B, 6, IP6_A);
	packet_icmp6(&packet, IP6_LL_A, 136, 24, IP6_NODES);
	assert_false(address());
	packet_icmp6(&packet, IP6_LL_A, 133, 8, NULL);
	packet_lla(&packet, 1, MAC_A);
	expect(SNOOP_ND, MAC_A, 6, IP6_LL_A);
	packet_icmp6(&packet, IP6_LL_A, 134, 16, NULL);
	packet_lla(&packet, 5, MAC_B); /* another option before it */
	packet_lla(&packet, 1, MAC_A);
	expect(SNOOP_ND, MAC_A, 6, IP6_LL_A);
	packet.bytes[packet.len - 15] = 0; /* of no length */
	assert_false(address());
	packet_icmp6(&packet, IP6_LL_A, 137, 40, IP6_A);
	packet_lla(&packet, 2, MAC_A);
	assert_false(address());
	packet_icmp6(&packet, IP6_LL_A, 136, 23, NULL);
	assert_false(address());
}

static void test_dhcp(void **state)
{
	(void)state;
	packet_dhcp(&packet, 5, IP4_A, 0);
	expect(SNOOP_DHCP, MAC_A, 4, IP4_A);
	packet_dhcp(&packet, 5, IP4_A, 200);
	expect(SNOOP_DHCP, MAC_A, 4, IP4_A);
	packet_dhcp(&packet, 2, IP4_A, 0); /* an offer */
	assert_false(address());
	packet_dhcp(&packet, 5, IP4_NONE, 0); /* of an INFORM */
	assert_false(address());
	packet_dhcp(&packet, 5, IP4_A, 0);
	packet.bytes[42] = 1; /* a request */
	assert_false(address());
	packet_dhcp(&packet, 5, IP4_A, 0);
	packet.bytes[42 + 236] = 0; /* no cookie */
	assert_false(address());
	packet_dhcp(&packet, 5, IP4_A, 0);
	packet.bytes[42 + 241] = 250; /* an option beyond the end */
	assert_false(address());
	packet_dhcp(&packet, 5, IP4_A, 0);
	packet.len = 42 + 240;
	packet_end(&packet);
	assert_false(address());
	packet_dhcp(&packet, 5, IP4_A, 0);
	packet.bytes[20] = 0x20; /* a fragment */
	assert_false(address());
}

static bool group(void)
{
	bool r;

	assert_int_equal(packet_frame(&packet, NULL, &vec, &frame), 0);
	r = snoop_group(&frame, &groups);
	packet_iov_done(&vec);
	return r;
}

static void make_igmp(const void *bytes, size_t n)
{
	packet_eth(&packet, "\x01\x00\x5e\0\0\x16", MAC_A, 0x0800);
	packet_ipv4(&packet, IP4_A, "\xe0\0\0\x16", PROTO_IGMP);
	packet_add(&packet, bytes, n);
	packet_end(&packet);
}

static void make_mld(const char *src, const void *bytes, size_t n)
{
	packet_eth(&packet, "\x33\x33\0\0\0\x16", MAC_A, 0x86dd);
	packet_ipv6(&packet, src, IP6_NODES, 0);
	packet.bytes[21] = 1;
	packet_add(&packet, "\x3a\0\5\2\0\0\1\0", 8); /* router alert */
	packet_add(&packet, bytes, n);
	packet_end(&packet);
}

static void test_igmp(void **state)
{
	static const struct {
		const char *bytes;
		uint8_t n;
		bool query, join;
		unsigned n_groups;
		uint32_t ms;
	} rows[] = {
		{"\x12\0\0\0\xef\x81\2\3", 8, false, true, 1, 0},
		{"\x16\0\0\0\xef\x81\2\3", 8, false, true, 1, 0},
		{"\x17\0\0\0\xef\x81\2\3", 8, false, false, 1, 0},
		{"\x11\0\0\0\0\0\0\0", 8, true, false, 0, 10000},
		{"\x11\x64\0\0\0\0\0\0", 8, true, false, 0, 10000},
		{"\x11\x0a\0\0\xef\x81\2\3", 8, true, false, 1, 1000},
		{"\x11\xff\0\0\0\0\0\0\2\x7d\0\0", 12, true, false, 0, (0x1f << 10) * 100},
		{"\x11\x80\0\0\0\0\0\0\2\x7d\0\0", 12, true, false, 0, 12800},
		/* IGMPv3: each type, without and with a source. */
		{"\x22\0\0\0\0\0\0\1\1\0\0\0\xef\x81\2\3", 16, false, false, 1, 0},
		{"\x22\0\0\0\0\0\0\1\2\0\0\0\xef\x81\2\3", 16, false, true, 1, 0},
		{"\x22\0\0\0\0\0\0\1\3\0\0\0\xef\x81\2\3", 16, false, false, 1, 0},
		{"\x22\0\0\0\0\0\0\1\4\0\0\0\xef\x81\2\3", 16, false, true, 1, 0},
		{"\x22\0\0\0\0\0\0\1\5\0\0\0\xef\x81\2\3", 16, false, false, 0, 0},
		{"\x22\0\0\0\0\0\0\1\1\0\0\1\xef\x81\2\3\1\2\3\4", 20, false, true, 1, 0},
		{"\x22\0\0\0\0\0\0\1\3\0\0\1\xef\x81\2\3\1\2\3\4", 20, false, true, 1, 0},
		{"\x22\0\0\0\0\0\0\1\5\0\0\1\xef\x81\2\3\1\2\3\4", 20, false, true, 1, 0},
		{"\x22\0\0\0\0\0\0\1\6\0\0\1\xef\x81\2\3\1\2\3\4", 20, false, false, 0, 0},
		/* Sources and auxiliary data are passed over. */
		{"\x22\0\0\0\0\0\0\2\4\1\0\1\xef\x81\2\3\1\2\3\4\0\0\0\0\4\0\0\0\xef\x81\2\3", 32,
			false, true, 2, 0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		make_igmp(rows[i].bytes, rows[i].n);
		if (!group() ||
			groups.kind != (rows[i].query ? SNOOP_GROUP_QUERY : SNOOP_GROUP_REPORT) ||
			groups.n != rows[i].n_groups || groups.response_ms != rows[i].ms ||
			groups.truncated)
			fail_msg("row %u", i);
		for (unsigned k = 0; k < groups.n; k++) {
			assert_int_equal(groups.groups[k].join, rows[i].join);
			assert_int_equal(groups.groups[k].ip.family, 4);
			assert_memory_equal(groups.groups[k].ip.bytes, "\xef\x81\2\3", 4);
			assert_memory_equal(groups.groups[k].mac, "\x01\x00\x5e\x01\2\3", 6);
		}
	}
	make_igmp("\x16\0\0\0\x0a\0\0\1", 8); /* no group */
	assert_false(group());
	make_igmp("\x13\0\0\0\xef\x81\2\3", 8); /* DVMRP */
	assert_false(group());
	make_igmp("\x16\0\0\0\xef\x81\2", 7);
	assert_false(group());
	make_igmp("\x16\0\0\0\xef\x81\2\3", 8);
	packet.bytes[20] = 0x20;
	assert_false(group());
}

/* Reports that are longer than the head, than the list, and that lie. */
static void test_igmp_long(void **state)
{
	static uint8_t bytes[8 + 8 * 200] = {0x22};

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		memcpy(bytes + 8 + 8 * i, (uint8_t[]){4, 0, 0, 0, 0xef, 0, 0, (uint8_t)i}, 8);
	bytes[7] = 60;
	make_igmp(bytes, 8 + 60 * 8);
	assert_true(group());
	assert_int_equal(groups.n, 60);
	assert_false(groups.truncated);
	assert_int_equal(groups.groups[59].ip.bytes[3], 59);
	bytes[7] = 61;
	make_igmp(bytes, 8 + 60 * 8);
	assert_true(group());
	assert_int_equal(groups.n, 60);
	assert_true(groups.truncated);
	bytes[7] = 65;
	make_igmp(bytes, 8 + 65 * 8);
	assert_true(group());
	assert_int_equal(groups.n, SNOOP_MAX_GROUPS);
	assert_true(groups.truncated);
	bytes[6] = bytes[10] = 0xff; /* 65 thousand sources */
	make_igmp(bytes, 8 + 65 * 8);
	assert_true(group());
	assert_int_equal(groups.n, 1);
	assert_true(groups.truncated);
}

static void test_mld(void **state)
{
#define GROUP "\xff\x0e\0\0\0\0\0\0\0\0\0\0\1\2\3\4"
	static const struct {
		const char *src, *bytes;
		uint8_t n;
		bool good, query, join;
		unsigned n_groups;
		uint32_t ms;
	} rows[] = {
		{IP6_LL_A, "\x83\0\0\0\0\0\0\0" GROUP, 24, true, false, true, 1, 0},
		{IP6_NONE, "\x83\0\0\0\0\0\0\0" GROUP, 24, true, false, true, 1, 0},
		{IP6_LL_A, "\x84\0\0\0\0\0\0\0" GROUP, 24, true, false, false, 1, 0},
		{IP6_LL_A, "\x82\0\0\0\x27\x10\0\0" IP6_NONE, 24, true, true, false, 0, 10000},
		{IP6_LL_A, "\x82\0\0\0\x03\xe8\0\0" GROUP, 24, true, true, false, 1, 1000},
		{IP6_LL_A, "\x82\0\0\0\x90\0\0\0" IP6_NONE "\2\x7d\0\0", 28, true, true, false, 0,
			65536},
		{IP6_LL_A, "\x8f\0\0\0\0\0\0\1\4\0\0\0" GROUP, 28, true, false, true, 1, 0},
		{IP6_LL_A, "\x8f\0\0\0\0\0\0\1\3\0\0\0" GROUP, 28, true, false, false, 1, 0},
		{IP6_NONE, "\x8f\0\0\0\0\0\0\2\4\0\0\1" GROUP IP6_A "\2\0\0\0" GROUP, 64, true,
			false, true, 2, 0},
		/* Not from the link, a query from nobody, short, no group, no message. */
		{IP6_A, "\x83\0\0\0\0\0\0\0" GROUP, 24, false, false, false, 0, 0},
		{IP6_NONE, "\x82\0\0\0\x27\x10\0\0" IP6_NONE, 24, false, false, false, 0, 0},
		{IP6_LL_A, "\x83\0\0\0\0\0\0\0" GROUP, 23, false, false, false, 0, 0},
		{IP6_LL_A, "\x83\0\0\0\0\0\0\0" IP6_A, 24, false, false, false, 0, 0},
		{IP6_LL_A, "\x80\0\0\0\0\0\0\0" GROUP, 24, false, false, false, 0, 0},
		{IP6_LL_A, "\x8f\0\0\0", 4, false, false, false, 0, 0},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		make_mld(rows[i].src, rows[i].bytes, rows[i].n);
		if (group() != rows[i].good)
			fail_msg("row %u", i);
		if (!rows[i].good)
			continue;
		if (groups.kind != (rows[i].query ? SNOOP_GROUP_QUERY : SNOOP_GROUP_REPORT) ||
			groups.n != rows[i].n_groups || groups.response_ms != rows[i].ms ||
			groups.truncated)
			fail_msg("row %u", i);
		for (unsigned k = 0; k < groups.n; k++) {
			assert_int_equal(groups.groups[k].join, rows[i].join);
			assert_int_equal(groups.groups[k].ip.family, 6);
			assert_memory_equal(groups.groups[k].ip.bytes, GROUP, 16);
			assert_memory_equal(groups.groups[k].mac, "\x33\x33\1\2\3\4", 6);
		}
		packet.bytes[21] = 2; /* the hop limit */
		assert_false(group());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_nd),
		cmocka_unit_test(test_dhcp),
		cmocka_unit_test(test_igmp),
		cmocka_unit_test(test_igmp_long),
		cmocka_unit_test(test_mld),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
