/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a port may say: a table of spoofed frames per guard, and learning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "devices/net/guard.h"
#include "tests/unit/frame-fixture.h"

#define G_ARP  NET_PORT_GUARD_ARP
#define G_IP   NET_PORT_GUARD_IP
#define G_DHCP NET_PORT_GUARD_DHCP
#define G_RA   NET_PORT_GUARD_RA

static struct packet packet;
static struct packet_iov vec;
static struct frame frame;
static struct net_port_config config;
static struct guard_learned learned;

static void make_frame(void)
{
	assert_int_equal(packet_frame(&packet, NULL, &vec, &frame), 0);
}

/* MAC_A, 10.0.0.10, 10.1.0.0/20, 2001:db8::a. */
static enum net_drop check(uint32_t flags)
{
	enum net_drop drop;

	config = (struct net_port_config){.flags = flags, .n_ips = 3};
	memcpy(config.mac, MAC_A, 6);
	config.ips[0] = (struct net_ip){.family = 4, .prefix = 32};
	memcpy(config.ips[0].bytes, IP4_A, 4);
	config.ips[1] = (struct net_ip){.family = 4, .prefix = 20};
	memcpy(config.ips[1].bytes, "\x0a\x01\x00\x00", 4);
	config.ips[2] = (struct net_ip){.family = 6, .prefix = 128};
	memcpy(config.ips[2].bytes, IP6_A, 16);
	make_frame();
	drop = guard_check(&config, NULL, &frame);
	packet_iov_done(&vec);
	return drop;
}

/* P01 */
static void test_mac(void **state)
{
	(void)state;
	packet_eth(&packet, MAC_B, MAC_A, 0x88b5);
	assert_int_equal(check(0), 0);
	packet_eth(&packet, MAC_A, MAC_B, 0x88b5);
	assert_int_equal(check(0), NET_DROP_SPOOF_MAC);
	assert_int_equal(check(NET_PORT_LEARN), NET_DROP_SPOOF_MAC);
	assert_int_equal(check(NET_PORT_ALLOW_FORGED), 0);
	packet_eth(&packet, MAC_A, "\x53\x54\0\0\0\x0a", 0x88b5);
	assert_int_equal(check(NET_PORT_ALLOW_FORGED), NET_DROP_SPOOF_MAC);
	packet_eth(&packet, MAC_A, "\0\0\0\0\0\0", 0x88b5);
	assert_int_equal(check(NET_PORT_ALLOW_FORGED), NET_DROP_SPOOF_MAC);
}

/* P07 */
static void test_reserved(void **state)
{
	static const struct {
		const char *dst;
		uint16_t type;
	} rows[] = {
		{"\x01\x80\xc2\0\0\0", 0x0027},   /* spanning tree */
		{"\x01\x80\xc2\0\0\1", 0x8808},   /* pause */
		{"\x01\x80\xc2\0\0\2", 0x8809},   /* LACP */
		{"\x01\x80\xc2\0\0\x0e", 0x88cc}, /* LLDP */
		{MAC_B, 0x8808},
		{MAC_B, 0x8809},
		{"\x01\x00\x0c\xcc\xcc\xcc", 0x0027},
		{"\x01\x00\x0c\xcc\xcc\xcd", 0x0032},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		packet_eth(&packet, rows[i].dst, MAC_A, rows[i].type);
		packet_fill(&packet, 46);
		assert_int_equal(check(0), NET_DROP_RESERVED);
		assert_int_equal(check(NET_PORT_ALLOW_BPDU), 0);
	}
	packet_eth(&packet, "\x01\x00\x0c\xcc\xcc\xce", MAC_A, 0x88b5);
	assert_int_equal(check(0), 0);
}

/* P02 */
static void test_arp(void **state)
{
	static const struct {
		uint8_t op;
		const char *sha, *spa;
		bool good;
	} rows[] = {
		{1, MAC_A, IP4_A, true},
		{2, MAC_A, IP4_A, true},
		{1, MAC_A, "\x0a\x01\x0f\xff", true},  /* within the prefix */
		{1, MAC_A, "\x0a\x01\x10\x00", false}, /* next to it */
		{1, MAC_A, IP4_B, false},
		{2, MAC_A, IP4_B, false},
		{1, MAC_B, IP4_A, false},
		{1, MAC_A, IP4_NONE, true}, /* probe */
		{2, MAC_A, IP4_NONE, false},
		{3, MAC_A, IP4_A, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		packet_arp(&packet, MAC_A, rows[i].op, rows[i].sha, rows[i].spa);
		assert_int_equal(check(G_ARP), rows[i].good ? 0 : NET_DROP_SPOOF_ARP);
		assert_int_equal(check(G_IP | G_DHCP | G_RA), 0);
	}
	packet.bytes[15] = 6; /* another hardware */
	assert_int_equal(check(G_ARP), NET_DROP_SPOOF_ARP);
	assert_int_equal(check(G_ARP | G_IP), NET_DROP_SPOOF_ARP);
	packet_arp(&packet, MAC_A, 1, MAC_A, IP4_B);
	memmove(packet.bytes + 16, packet.bytes + 12, packet.len - 12);
	memcpy(packet.bytes + 12, "\x88\xa8\0\0", 4); /* in a provider's tag */
	packet.len += 4;
	assert_int_equal(check(G_ARP), NET_DROP_SPOOF_ARP);
	/* RARP: about itself only. */
	packet_arp(&packet, MAC_A, 3, MAC_A, IP4_NONE);
	memcpy(packet.bytes + 12, "\x80\x35", 2);
	assert_int_equal(check(G_ARP), NET_DROP_SPOOF_ARP);
	memcpy(packet.bytes + 32, MAC_A, 6);
	assert_int_equal(check(G_ARP), 0);
	memcpy(packet.bytes + 22, MAC_B, 6);
	assert_int_equal(check(G_ARP), NET_DROP_SPOOF_ARP);
}

/* P03 */
static void test_nd(void **state)
{
	static const struct {
		const char *src;
		uint8_t type, size;
		const char *target;
		uint8_t option;
		const char *mac;
		bool good;
	} rows[] = {
		{IP6_A, 135, 24, IP6_B, 1, MAC_A, true}, {IP6_A, 135, 24, IP6_B, 0, NULL, true},
		{IP6_LL_A, 135, 24, IP6_B, 1, MAC_A, true},
		{IP6_A, 135, 24, IP6_B, 1, MAC_B, false}, {IP6_B, 135, 24, IP6_A, 1, MAC_A, false},
		{IP6_LL_X, 135, 24, IP6_A, 1, MAC_A, false},
		{IP6_NONE, 135, 24, IP6_A, 0, NULL, true}, /* DAD */
		{IP6_NONE, 135, 24, IP6_LL_A, 0, NULL, true},
		{IP6_NONE, 135, 24, IP6_B, 0, NULL, false},
		{IP6_A, 135, 23, NULL, 0, NULL, false}, /* short */
		{IP6_A, 136, 24, IP6_A, 2, MAC_A, true}, {IP6_A, 136, 24, IP6_LL_A, 2, MAC_A, true},
		{IP6_A, 136, 24, IP6_B, 2, MAC_A, false}, {IP6_A, 136, 24, IP6_A, 2, MAC_B, false},
		{IP6_NONE, 136, 24, IP6_A, 2, MAC_A, false},
		{IP6_B, 136, 24, IP6_A, 2, MAC_A, false}, {IP6_NONE, 133, 8, NULL, 0, NULL, true},
		{IP6_LL_A, 133, 8, NULL, 1, MAC_A, true}, {IP6_LL_A, 133, 8, NULL, 1, MAC_B, false},
		{IP6_LL_A, 134, 16, NULL, 1, MAC_A, true},
		{IP6_LL_X, 134, 16, NULL, 1, MAC_A, false},
		{IP6_NONE, 134, 16, NULL, 1, MAC_A, false},
		{IP6_LL_X, 137, 40, NULL, 0, NULL, false},
		{IP6_B, 128, 24, NULL, 0, NULL, true}, /* echo: not ND */
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		packet_icmp6(&packet, rows[i].src, rows[i].type, rows[i].size, rows[i].target);
		if (rows[i].mac)
			packet_lla(&packet, rows[i].option, rows[i].mac);
		if (check(G_ARP) != (rows[i].good ? NET_DROP_NONE : NET_DROP_SPOOF_ARP))
			fail_msg("row %u", i);
	}
	/* A second option, of no length, cut off. */
	packet_icmp6(&packet, IP6_A, 135, 24, IP6_B);
	packet_lla(&packet, 1, MAC_A);
	packet_lla(&packet, 1, MAC_B);
	assert_int_equal(check(G_ARP), NET_DROP_SPOOF_ARP);
	memcpy(packet.bytes + packet.len - 8, "\x0e\0", 2);
	assert_int_equal(check(G_ARP), NET_DROP_SPOOF_ARP);
	memcpy(packet.bytes + packet.len - 8, "\x0e\2", 2);
	assert_int_equal(check(G_ARP), NET_DROP_SPOOF_ARP);
	memcpy(packet.bytes + packet.len - 8, "\x0e\1", 2);
	assert_int_equal(check(G_ARP), 0);
	/* Options beyond the head cannot be judged. */
	packet_add(&packet, "\x0e\x20", 2);
	packet_add(&packet, NULL, 254);
	packet_end(&packet);
	assert_int_equal(check(G_ARP), NET_DROP_SPOOF_ARP);
}

/* P04 */
static void test_ip(void **state)
{
	static const struct {
		const char *src;
		bool six;
		uint8_t proto;
		uint16_t from, to;
		bool good;
	} rows[] = {
		{IP4_A, false, PROTO_UDP, 1, 2, true},
		{IP4_B, false, PROTO_UDP, 1, 2, false},
		{"\x0a\x01\x0f\xff", false, PROTO_UDP, 1, 2, true},
		{"\x0a\x01\x1f\xff", false, PROTO_UDP, 1, 2, false},
		{"\xff\xff\xff\xff", false, PROTO_UDP, 1, 2, false},
		{IP4_NONE, false, PROTO_UDP, 68, 67, true},
		{IP4_NONE, false, PROTO_UDP, 68, 53, false},
		{IP4_NONE, false, PROTO_IGMP, 0x1600, 0, true},
		{IP4_NONE, false, PROTO_TCP, 1, 2, false},
		{IP4_B, false, PROTO_UDP, 68, 67, false},
		{IP6_A, true, PROTO_UDP, 1, 2, true},
		{IP6_B, true, PROTO_UDP, 1, 2, false},
		{IP6_LL_A, true, PROTO_UDP, 1, 2, true},
		{IP6_LL_X, true, PROTO_UDP, 1, 2, false},
		{IP6_NONE, true, PROTO_UDP, 1, 2, false},
		{IP6_NONE, true, PROTO_ICMP6, 135 << 8, 0, true},
		{IP6_NONE, true, PROTO_ICMP6, 133 << 8, 0, true},
		{IP6_NONE, true, PROTO_ICMP6, 143 << 8, 0, true},
		{IP6_NONE, true, PROTO_ICMP6, 128 << 8, 0, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		packet_eth(&packet, MAC_B, MAC_A, rows[i].six ? 0x86dd : 0x0800);
		if (rows[i].six)
			packet_ipv6(&packet, rows[i].src, IP6_B, rows[i].proto);
		else
			packet_ipv4(&packet, rows[i].src, IP4_B, rows[i].proto);
		packet_udp(&packet, rows[i].from, rows[i].to);
		packet_fill(&packet, 20);
		packet_end(&packet);
		if (check(G_IP) != (rows[i].good ? NET_DROP_NONE : NET_DROP_SPOOF_IP))
			fail_msg("row %u", i);
		assert_int_equal(check(0), 0);
	}
}

/* P05 */
static void test_dhcp(void **state)
{
	static const struct {
		bool six;
		uint16_t from, to;
		bool good;
	} rows[] = {
		{false, 68, 67, true},
		{false, 67, 68, false},
		{false, 67, 67, false},  /* a relay */
		{false, 999, 68, false}, /* clients look at their own port only */
		{false, 546, 547, true},
		{false, 547, 546, true}, /* not DHCPv4's */
		{true, 546, 547, true},
		{true, 547, 546, false},
		{true, 547, 9, false},
		{true, 9, 546, false},
		{true, 67, 68, true},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		for (unsigned fragment = 0; fragment < 2; fragment++) {
			packet_eth(&packet, MAC_B, MAC_A, rows[i].six ? 0x86dd : 0x0800);
			if (rows[i].six)
				packet_ipv6(&packet, IP6_A, IP6_B, fragment ? 44 : PROTO_UDP);
			else
				packet_ipv4(&packet, IP4_A, IP4_B, PROTO_UDP);
			if (fragment && rows[i].six)
				packet_add(&packet, "\x11\0\0\1\0\0\0\1", 8);
			else if (fragment)
				packet.bytes[20] = 0x20;
			packet_udp(&packet, rows[i].from, rows[i].to);
			packet_fill(&packet, 240);
			packet_end(&packet);
			if (check(G_DHCP) != (rows[i].good ? NET_DROP_NONE : NET_DROP_DHCP_GUARD))
				fail_msg("row %u, %u", i, fragment);
			assert_int_equal(check(G_RA), 0);
		}
	}
}

/* P06: advertisements in any wrapping. */
static void test_ra(void **state)
{
	static const struct {
		const char *exts; /* the first next header, then the extensions */
		uint8_t n;
		enum net_drop drop;
	} rows[] = {
		{"\x3a", 1, NET_DROP_RA_GUARD},
		{"\x3c\x3a\0\0\0\0\0\0\0", 9, NET_DROP_RA_GUARD},
		{"\x00\x3a\0\0\0\0\0\0\0", 9, NET_DROP_RA_GUARD},
		{"\x2c\x3a\0\0\1\0\0\0\1", 9, NET_DROP_RA_GUARD},
		{"\x2c\x3c\0\0\1\0\0\0\1\x3a\0\0\0\0\0\0\0", 17, NET_DROP_RA_GUARD},
		/* First fragments without the upper header, and fragments in fragments. */
		{"\x2c\x3c\0\0\1\0\0\0\1\x3a\x30\0\0\0\0\0\0", 17, NET_DROP_RA_GUARD},
		{"\x2c\x2c\0\0\0\0\0\0\1\x3a\0\0\x08\0\0\0\1", 17, NET_DROP_RA_GUARD},
		/* A later fragment alone. */
		{"\x2c\x3a\0\0\x08\0\0\0\1", 9, 0},
		/* Nine extensions. */
		{"\x3c\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c"
		 "\0\0\0\0\0\0\0"
		 "\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3c\0\0\0\0\0\0\0\x3a\0\0\0\0\0\0\0",
			73, NET_DROP_RA_GUARD},
	};
	static const uint8_t types[] = {134, 137};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows) * 2; i++) {
		uint8_t *icmp;

		packet_eth(&packet, MAC_ALL, MAC_A, 0x86dd);
		packet_ipv6(&packet, IP6_LL_A, IP6_NODES, (uint8_t)rows[i / 2].exts[0]);
		packet_add(&packet, rows[i / 2].exts + 1, rows[i / 2].n - 1U);
		icmp = packet_add(&packet, NULL, 40);
		icmp[0] = types[i % 2];
		packet_end(&packet);
		if (check(G_RA) != rows[i / 2].drop)
			fail_msg("row %u", i / 2);
		assert_int_equal(check(0), 0);
		/* ND in fragments is nobody's. */
		if (icmp == packet.bytes + 62 && packet.bytes[20] == 44)
			assert_int_equal(check(G_ARP), rows[i / 2].drop ? NET_DROP_SPOOF_ARP : 0);
	}
	packet_icmp6(&packet, IP6_LL_A, 128, 40, NULL);
	assert_int_equal(check(G_RA), 0);
}

static void test_ipv4_router(void **state)
{
	static const uint8_t types[][2] = {{5, 1}, {9, 1}, {8, 0}, {0, 0}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		packet_eth(&packet, MAC_B, MAC_A, 0x0800);
		packet_ipv4(&packet, IP4_A, IP4_B, PROTO_ICMP);
		packet_add(&packet, NULL, 8)[0] = types[i][0];
		packet_end(&packet);
		assert_int_equal(check(G_RA), types[i][1] ? NET_DROP_RA_GUARD : 0);
	}
}

/* What cannot be judged. */
static void test_unreadable(void **state)
{
	static const struct {
		uint32_t flags;
		enum net_drop drop;
	} guards[] = {{G_IP, NET_DROP_SPOOF_IP}, {G_ARP, NET_DROP_SPOOF_ARP},
		{G_DHCP, NET_DROP_DHCP_GUARD}, {G_RA, NET_DROP_RA_GUARD}, {0, 0}};
	static const struct {
		const char *bytes;
		uint8_t n;
	} rows[] = {
		{"\x08\x00\x55", 3},
		{"\x08\x06\x00\x01", 4},
		{"\x86\xdd\x60", 3},
		/* SNAP, with IPv6 in it; with a false length. */
		{"\x00\x40\xaa\xaa\x03\0\0\0\x86\xdd", 10},
		{"\x05\xff\xaa\xaa\x03\0\0\0\x81\0", 10},
		{"\x88\xa8\0\0\x81\0\0\0\x81\0\0\0\x81\0\0\0\x81\0\0\0\x86\xdd", 22},
		{"\x88\xa8\0\0", 4},
		/* 4 bytes of UDP, of ICMPv6. */
		{"\x08\0\x45\0\0\x18\0\0\0\0\x40\x11\0\0\x0a\0\0\x0a\x0a\0\0\x0b\0\x43\0\x44", 26},
		{"\x86\xdd\x60\0\0\0\0\3\x3a\xff" IP6_A IP6_B "\x86\0\0", 45},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(guards); i++) {
		packet_eth(&packet, MAC_B, MAC_A, 0);
		packet.len = 12;
		packet_add(&packet, rows[i / 5].bytes, rows[i / 5].n);
		if (check(guards[i % 5].flags) != guards[i % 5].drop)
			fail_msg("row %u, guard %u", i / 5, i % 5);
	}
	/* LLC that is no SNAP is. */
	packet_eth(&packet, MAC_B, MAC_A, 38);
	packet_add(&packet, "\xe0\xe0\x03", 3);
	assert_int_equal(check(G_IP | G_ARP | G_RA), 0);
}

static void say_arp(const char *ip)
{
	packet_arp(&packet, MAC_A, 1, MAC_A, ip);
	make_frame();
}

static enum net_drop learn_and_check(void)
{
	enum net_drop drop;

	(void)guard_learn(&learned, &config, &frame);
	drop = guard_check(&config, &learned, &frame);
	packet_iov_done(&vec);
	return drop;
}

static bool tell_dhcp(uint8_t type, const char *ip)
{
	bool r;

	packet_dhcp(&packet, type, ip, 0);
	make_frame();
	r = guard_learn_dhcp(&learned, &config, &frame);
	packet_iov_done(&vec);
	return r;
}

static void test_learn(void **state)
{
	(void)state;
	config = (struct net_port_config){.flags = G_ARP | G_IP};
	memcpy(config.mac, MAC_A, 6);
	learned = (struct guard_learned){0};
	/* Not asked to. */
	say_arp(IP4_A);
	assert_int_equal(learn_and_check(), NET_DROP_SPOOF_ARP);
	assert_false(tell_dhcp(5, IP4_A));
	config.flags |= NET_PORT_LEARN_IPS;
	/* Probes teach nothing; the first address does, a second does not. */
	say_arp(IP4_NONE);
	assert_int_equal(learn_and_check(), 0);
	assert_int_equal(learned.n, 0);
	say_arp(IP4_A);
	assert_int_equal(learn_and_check(), 0);
	say_arp(IP4_A);
	assert_int_equal(learn_and_check(), 0);
	assert_int_equal(learned.n, 1);
	say_arp(IP4_B);
	assert_int_equal(learn_and_check(), NET_DROP_SPOOF_ARP);
	/* DHCP: only acknowledgements, for this port; then it takes the place, and ARP has no say any more. */
	assert_false(tell_dhcp(2, IP4_B));
	config.mac[5]++;
	assert_false(tell_dhcp(5, IP4_B));
	config.mac[5]--;
	assert_true(tell_dhcp(5, IP4_B));
	assert_false(tell_dhcp(5, IP4_B));
	assert_int_equal(learned.n, 1);
	say_arp(IP4_B);
	assert_int_equal(learn_and_check(), 0);
	say_arp(IP4_A);
	assert_int_equal(learn_and_check(), NET_DROP_SPOOF_ARP);
	/* Others' frames teach nothing. */
	packet_arp(&packet, MAC_B, 1, MAC_B, IP4_A);
	make_frame();
	assert_int_equal(learn_and_check(), NET_DROP_SPOOF_MAC);
	/* Addresses of a family that is configured are not learned. */
	learned = (struct guard_learned){0};
	config.n_ips = 1;
	config.ips[0] = (struct net_ip){.family = 4, .prefix = 32, .bytes = {1, 2, 3, 4}};
	say_arp(IP4_A);
	assert_int_equal(learn_and_check(), NET_DROP_SPOOF_ARP);
	assert_false(tell_dhcp(5, IP4_B));
}

static void test_learn_bounded(void **state)
{
	char ip[17] = IP6_A;

	(void)state;
	config = (struct net_port_config){.flags = G_ARP | G_IP | NET_PORT_LEARN_IPS};
	memcpy(config.mac, MAC_A, 6);
	learned = (struct guard_learned){0};
	/* The link-local address of the MAC address takes no room. */
	packet_icmp6(&packet, IP6_NONE, 135, 24, IP6_LL_A);
	make_frame();
	assert_int_equal(learn_and_check(), 0);
	assert_int_equal(learned.n, 0);
	for (int i = 0; i < 40; i++) {
		ip[15] = (char)(i + 1);
		packet_icmp6(&packet, IP6_NONE, 135, 24, ip);
		make_frame();
		assert_int_equal(learn_and_check(), i < 15 ? 0 : NET_DROP_SPOOF_ARP);
	}
	assert_int_equal(learned.n, 15);
	assert_true(tell_dhcp(5, IP4_A));
	assert_int_equal(learned.n, GUARD_MAX_LEARNED);
	assert_true(tell_dhcp(5, IP4_B));
	assert_int_equal(learned.n, GUARD_MAX_LEARNED);
	say_arp(IP4_B);
	assert_int_equal(learn_and_check(), 0);
	/* Switched off again: the configuration alone. */
	config.flags &= ~NET_PORT_LEARN_IPS;
	say_arp(IP4_B);
	assert_int_equal(learn_and_check(), NET_DROP_SPOOF_ARP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mac),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_nd),
		cmocka_unit_test(test_ip),
		cmocka_unit_test(test_dhcp),
		cmocka_unit_test(test_ra),
		cmocka_unit_test(test_ipv4_router),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_learn),
		cmocka_unit_test(test_learn_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
