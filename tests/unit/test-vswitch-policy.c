/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The switch: what senders may do and how much of it, and what is read out of their frames. */
#include "devices/net/vswitch.h"

#include "tests/unit/vswitch-fixture.h"
#include "tests/unit/frame-fixture.h"

static void test_spoofing(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[NET_MAC_LEN];

	fake_mac(2, mac);
	assert_int_equal(input(f, 1, frame_of(f, mac, 3, -1)), 0);
	assert_int_equal(got(f), 0);
	assert_int_equal(tx_drops(f, 1, NET_DROP_SPOOF_MAC), 1);
	/* P11: between ports of one host just as well. With leave, it goes, and moves nobody's address. */
	f->config[1].flags = NET_PORT_ALLOW_FORGED | NET_PORT_LEARN;
	set(f, 1);
	assert_int_equal(input(f, 1, frame_of(f, mac, 3, -1)), 0);
	assert_int_equal(got(f), B(2));
	assert_int_equal(unicast(f, 2, 3), B(3));
	/* A group is no source. */
	mac[0] |= 1;
	assert_int_equal(
		input(f, UP, fake_frame(&f->buffer, everybody, mac, -1, 0x88b5, NULL, 46)), 0);
	assert_int_equal(got(f), 0);
	assert_int_equal(tx_drops(f, UP, NET_DROP_SPOOF_MAC), 1);
	f->config[1].flags = NET_PORT_GUARD_ARP;
	set(f, 1);
	fake_mac(1, mac);
	assert_int_equal(
		input(f, 1, fake_frame_arp(&f->buffer, mac, 0x0a000001, 0x0a000002, NULL)), 0);
	assert_int_equal(tx_drops(f, 1, NET_DROP_SPOOF_ARP), 1);
}

static int input_packet(struct fixture *f, unsigned from, const struct packet *p)
{
	struct iovec iov = {(void *)(uintptr_t)p->bytes, p->len};
	struct frame frame;

	assert_int_equal(frame_init(&frame, NULL, &iov, 1, p->len, FRAME_MAX, -1), NET_DROP_NONE);
	return input(f, from, &frame);
}

/* An address that a server gives to a port becomes its own, before the port could hear of it; without a table of
 * addresses just as well. */
static void test_learned_addresses(void **state)
{
	const struct vswitch_config config = {.mtu = 1500};
	struct packet *p = calloc(1, sizeof(*p));
	struct fixture *f = calloc(1, sizeof(*f));

	assert_true(p && f);
	assert_int_equal(vswitch_new(&config, NULL, NULL, &f->sw), 0);
	fake_port_init(&f->p[1], PORT_VNIC, 1);
	memcpy(f->config[1].mac, MAC_A, NET_MAC_LEN);
	f->config[1].flags = NET_PORT_GUARD_IP | NET_PORT_GUARD_ARP | NET_PORT_LEARN_IPS;
	assert_int_equal(vswitch_add(f->sw, &f->p[1].port, &f->config[1]), 0);
	fake_port_init(&f->p[2], PORT_HOST, 2);
	memcpy(f->config[2].mac, MAC_B, NET_MAC_LEN);
	assert_int_equal(vswitch_add(f->sw, &f->p[2].port, &f->config[2]), 0);

	packet_eth(p, MAC_B, MAC_A, 0x0800);
	packet_ipv4(p, IP4_A, IP4_B, PROTO_UDP);
	packet_udp(p, 1000, 1000);
	packet_end(p);
	assert_int_equal(input_packet(f, 1, p), 0);
	assert_int_equal(tx_drops(f, 1, NET_DROP_SPOOF_IP), 1);
	packet_dhcp(p, 5, IP4_A, 0);
	assert_int_equal(input_packet(f, 2, p), 0);
	assert_int_equal(got(f), B(1));
	packet_eth(p, MAC_B, MAC_A, 0x0800);
	packet_ipv4(p, IP4_A, IP4_B, PROTO_UDP);
	packet_udp(p, 1000, 1000);
	packet_end(p);
	assert_int_equal(input_packet(f, 1, p), 0);
	assert_int_equal(got(f), B(2));
	/* Told anew what it is, it begins anew; told the same, it does not. */
	set(f, 1);
	assert_int_equal(input_packet(f, 1, p), 0);
	assert_int_equal(got(f), B(2));
	f->config[1].n_ips = 1;
	f->config[1].ips[0] = (struct net_ip){.family = 4, .prefix = 32, .bytes = {10, 0, 0, 99}};
	set(f, 1);
	assert_int_equal(input_packet(f, 1, p), 0);
	assert_int_equal(tx_drops(f, 1, NET_DROP_SPOOF_IP), 2);
	free(p);
	*state = f;
	(void)teardown(state);
}

/* P07. */
static void test_reserved(void **state)
{
	struct fixture *f = *state;
	uint8_t dst[NET_MAC_LEN] = {0x01, 0x80, 0xc2, 0, 0, 0}, src[NET_MAC_LEN];

	f->config[3].flags = NET_PORT_ALLOW_BPDU;
	set(f, 3);
	for (unsigned last = 0; last < 16; last++) {
		bool never = last == 1 || last == 2;

		dst[5] = (uint8_t)last;
		assert_int_equal(input(f, 1, frame_of(f, dst, 1, -1)), 0);
		assert_int_equal(got(f), 0);
		assert_int_equal(tx_drops(f, 1, NET_DROP_RESERVED), last + 1);
		assert_int_equal(input(f, 3, frame_of(f, dst, 3, -1)), 0);
		assert_int_equal(got(f), never ? 0 : B(UP));
		assert_int_equal(input(f, UP, frame_of(f, dst, 99, -1)), 0);
		assert_int_equal(got(f), never ? 0 : B(3));
	}
	/* Pause and LACP to whomever. */
	fake_mac(3, src);
	assert_int_equal(
		input(f, 3, fake_frame(&f->buffer, everybody, src, -1, 0x8808, NULL, 46)), 0);
	assert_int_equal(
		input(f, 3, fake_frame(&f->buffer, everybody, src, -1, 0x8809, NULL, 46)), 0);
	assert_int_equal(got(f), 0);
	assert_int_equal(tx_drops(f, 3, NET_DROP_RESERVED), 4);
}

/* P08: isolated ports reach all but each other. */
static void test_isolation(void **state)
{
	struct fixture *f = *state;

	f->config[1].flags = f->config[2].flags = NET_PORT_ISOLATED;
	set(f, 1);
	set(f, 2);
	assert_int_equal(unicast(f, 1, 2), 0);
	assert_int_equal(tx_drops(f, 1, NET_DROP_ISOLATED), 1);
	assert_int_equal(unicast(f, 1, 3), B(3));
	assert_int_equal(unicast(f, 3, 1), B(1));
	assert_int_equal(unicast(f, 1, 99), B(UP));
	assert_int_equal(broadcast(f, 1), B(3) | B(UP));
	assert_int_equal(broadcast(f, 3), B(1) | B(2) | B(UP));
	assert_int_equal(f->p[2].counters.rx_dropped, 0);
}

static void test_suppression(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[4][NET_MAC_LEN];

	for (unsigned i = 0; i < 4; i++)
		fake_mac(i, mac[i]);
	f->config[2].n_ips = 1;
	f->config[2].ips[0] = (struct net_ip){.family = 4, .prefix = 32, .bytes = {10, 0, 0, 2}};
	set(f, 2);
	/* A configured address, one that is not known, one that was heard. */
	assert_int_equal(
		input(f, 1, fake_frame_arp(&f->buffer, mac[1], 0x0a000001, 0x0a000002, NULL)), 0);
	assert_int_equal(got(f), B(2));
	assert_int_equal(
		input(f, 2, fake_frame_arp(&f->buffer, mac[2], 0x0a000002, 0x0a000003, NULL)), 0);
	assert_int_equal(got(f), B(1) | B(3) | B(UP));
	assert_int_equal(
		input(f, 2, fake_frame_arp(&f->buffer, mac[2], 0x0a000002, 0x0a000001, NULL)), 0);
	assert_int_equal(got(f), B(1));
	/* Announcements and probes are for all. */
	assert_int_equal(
		input(f, 3, fake_frame_arp(&f->buffer, mac[3], 0x0a000001, 0x0a000001, NULL)), 0);
	assert_int_equal(got(f), B(1) | B(2) | B(UP));
	assert_int_equal(input(f, 3, fake_frame_arp(&f->buffer, mac[3], 0, 0x0a000002, NULL)), 0);
	assert_int_equal(got(f), B(1) | B(2) | B(UP));
	/* It was announced from 3, so it is there; what was configured does not move. */
	assert_int_equal(
		input(f, 2, fake_frame_arp(&f->buffer, mac[2], 0x0a000002, 0x0a000001, NULL)), 0);
	assert_int_equal(got(f), B(3));
	assert_int_equal(
		input(f, 3, fake_frame_arp(&f->buffer, mac[3], 0x0a000002, 0x0a000009, NULL)), 0);
	(void)got(f);
	assert_int_equal(
		input(f, 1, fake_frame_arp(&f->buffer, mac[1], 0x0a000001, 0x0a000002, NULL)), 0);
	assert_int_equal(got(f), B(2));
	/* Not heard for long: all are asked. */
	assert_int_equal(
		input(f, 3, fake_frame_arp(&f->buffer, mac[3], 0x0a000003, 0x0a000009, NULL)), 0);
	(void)got(f);
	f->now += 61 * S;
	assert_int_equal(
		input(f, 1, fake_frame_arp(&f->buffer, mac[1], 0x0a000001, 0x0a000003, NULL)), 0);
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
	/* Heard outside: it is there. */
	uint8_t out[NET_MAC_LEN];

	fake_mac(99, out);
	assert_int_equal(
		input(f, UP, fake_frame_arp(&f->buffer, out, 0x0a000001, 0x0a000063, NULL)), 0);
	(void)got(f);
	assert_int_equal(
		input(f, 2, fake_frame_arp(&f->buffer, mac[2], 0x0a000002, 0x0a000001, NULL)), 0);
	assert_int_equal(got(f), B(1) | B(3) | B(UP));
}

static void test_nd_suppression(void **state)
{
	struct fixture *f = *state;
	/* A neighbour solicitation for fe80::3 from fe80::1. */
	uint8_t nd[72] = {0x60, [5] = 32, 58, 255, 0xfe, 0x80, [23] = 1, 0xff, 0x02, [35] = 1,
		0xff, [39] = 3, 135, [48] = 0xfe, 0x80, [63] = 3, 1, 1};
	uint8_t dst[NET_MAC_LEN] = {0x33, 0x33, 0xff, 0, 0, 3}, src[NET_MAC_LEN];

	fake_mac(1, src);
	memcpy(nd + 66, src, NET_MAC_LEN);
	f->config[3].n_ips = 1;
	f->config[3].ips[0] =
		(struct net_ip){.family = 6, .prefix = 128, .bytes = {0xfe, 0x80, [15] = 3}};
	assert_int_equal(
		input(f, 1, fake_frame(&f->buffer, dst, src, -1, 0x86dd, nd, sizeof(nd))), 0);
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
	assert_int_equal(f->n_addresses, 1);
	assert_int_equal(f->ip.family, 6);
	assert_int_equal(f->ip.bytes[15], 1);
	set(f, 3);
	assert_int_equal(
		input(f, 1, fake_frame(&f->buffer, dst, src, -1, 0x86dd, nd, sizeof(nd))), 0);
	assert_int_equal(got(f), B(3));
	/* Is it in use? All are asked. */
	memset(nd + 8, 0, 16);
	assert_int_equal(input(f, 1, fake_frame(&f->buffer, dst, src, -1, 0x86dd, nd, 64)), 0);
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
}

/* Who asks whether an address is free does not get the questions for who has it. */
static void test_dad(void **state)
{
	struct fixture *f = *state;
	/* A solicitation for fe80::2; the source follows. */
	uint8_t nd[72] = {0x60, [5] = 32, 58, 255, [24] = 0xff, 0x02, [35] = 1, 0xff, [39] = 2,
		135, [48] = 0xfe, 0x80, [63] = 2, 1, 1};
	uint8_t dst[NET_MAC_LEN] = {0x33, 0x33, 0xff, 0, 0, 2}, src[NET_MAC_LEN];

	for (unsigned i = 2; i <= 3; i++) {
		/* 2 takes it; then 3 would like to. */
		fake_mac(i, src);
		nd[5] = 24;
		assert_int_equal(
			input(f, i, fake_frame(&f->buffer, dst, src, -1, 0x86dd, nd, 64)), 0);
		assert_int_equal(got(f), B(1) | B(5 - i) | B(UP));
	}
	fake_mac(1, src);
	memcpy(nd + 66, src, NET_MAC_LEN);
	nd[5] = 32;
	nd[8] = 0xfe;
	nd[9] = 0x80;
	nd[23] = 1;
	assert_int_equal(
		input(f, 1, fake_frame(&f->buffer, dst, src, -1, 0x86dd, nd, sizeof(nd))), 0);
	assert_int_equal(got(f), B(2));
}

static void test_addresses(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[NET_MAC_LEN];

	fake_mac(1, mac);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(
			input(f, 1, fake_frame_arp(&f->buffer, mac, 0x0a000001, 0x0a000009, NULL)),
			0);
	assert_int_equal(f->n_addresses, 1);
	assert_int_equal(f->ip.family, 4);
	assert_int_equal(f->ip.bytes[3], 1);
	assert_int_equal(f->last_of_mac, 1);
	assert_ptr_equal(f->a, &f->p[1].port);
	f->now += 59 * S;
	assert_int_equal(
		input(f, 1, fake_frame_arp(&f->buffer, mac, 0x0a000001, 0x0a000009, NULL)), 0);
	assert_int_equal(f->n_addresses, 1);
	f->now += S;
	assert_int_equal(
		input(f, 1, fake_frame_arp(&f->buffer, mac, 0x0a000001, 0x0a000009, NULL)), 0);
	assert_int_equal(f->n_addresses, 2);
	/* Not from outside. */
	fake_mac(99, mac);
	assert_int_equal(
		input(f, UP, fake_frame_arp(&f->buffer, mac, 0x0a000063, 0x0a000009, NULL)), 0);
	assert_int_equal(f->n_addresses, 2);
}

static void test_multicast(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[4][NET_MAC_LEN], out[NET_MAC_LEN], group[NET_MAC_LEN] = {1, 0, 0x5e, 1, 2, 3};

	for (unsigned i = 0; i < 4; i++)
		fake_mac(i, mac[i]);
	fake_mac(99, out);
	assert_int_equal(input(f, UP, fake_frame_igmp(&f->buffer, out, 0x11, 0)), 0);
	assert_int_equal(got(f), B(1) | B(2) | B(3));
	/* Only the router hears reports: another member that did would keep quiet. */
	assert_int_equal(input(f, 2, fake_frame_igmp(&f->buffer, mac[2], 0x16, 0xe1010203)), 0);
	assert_int_equal(got(f), B(UP));
	f->now += 11 * S;
	assert_int_equal(input(f, 1, frame_of(f, group, 1, -1)), 0);
	assert_int_equal(got(f), B(2) | B(UP));
	assert_int_equal(input(f, UP, frame_of(f, group, 99, -1)), 0);
	assert_int_equal(got(f), B(2));
	f->config[3].flags = NET_PORT_PROMISCUOUS;
	set(f, 3);
	assert_int_equal(input(f, 1, frame_of(f, group, 1, -1)), 0);
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
	f->config[3].flags = 0;
	set(f, 3);
	assert_int_equal(input(f, 2, fake_frame_igmp(&f->buffer, mac[2], 0x17, 0xe1010203)), 0);
	(void)got(f);
	f->now += 3 * S;
	assert_int_equal(input(f, 1, frame_of(f, group, 1, -1)), 0);
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
}

/* The uplink gets every group, whether anybody asks there or not; who asks in here does too. */
static void test_multicast_router(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[4][NET_MAC_LEN], group[NET_MAC_LEN] = {1, 0, 0x5e, 1, 2, 3};

	add(f, 4, PORT_VNIC);
	for (unsigned i = 0; i < 4; i++)
		fake_mac(i, mac[i]);
	assert_int_equal(input(f, 3, fake_frame_igmp(&f->buffer, mac[3], 0x11, 0)), 0);
	assert_int_equal(got(f), B(1) | B(2) | B(4) | B(UP));
	assert_int_equal(input(f, 2, fake_frame_igmp(&f->buffer, mac[2], 0x16, 0xe1010203)), 0);
	assert_int_equal(got(f), B(3) | B(UP));
	f->now += 11 * S;
	assert_int_equal(input(f, 1, frame_of(f, group, 1, -1)), 0);
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
}

/* P10: one class for itself, per second. */
static void test_storm(void **state)
{
	struct fixture *f = *state;
	uint8_t group[NET_MAC_LEN] = {1, 0, 0x5e, 1, 2, 3};
	unsigned n = 0;

	f->config[1].broadcast_pps = 100;
	set(f, 1);
	for (unsigned i = 0; i < 10000; i++) {
		n += broadcast(f, 1) != 0;
		f->now += S / 1000;
	}
	assert_in_range(n, 1000, 1012);
	assert_int_equal(tx_drops(f, 1, NET_DROP_STORM), 10000 - n);
	assert_int_equal(f->p[1].counters.tx_packets, n);
	assert_int_equal(unicast(f, 1, 2), B(2));
	assert_int_equal(input(f, 1, frame_of(f, group, 1, -1)), 0);
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
	f->config[1].multicast_pps = 1;
	set(f, 1);
	(void)input(f, 1, frame_of(f, group, 1, -1));
	(void)input(f, 1, frame_of(f, group, 1, -1));
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
	/* Unknown addresses: what goes out is not a storm, what is shown to others is. */
	f->config[1].unknown_pps = 1;
	f->config[3].flags = NET_PORT_LEARN;
	set(f, 1);
	set(f, 3);
	assert_int_equal(unicast(f, 1, 99), B(UP) | B(3));
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(unicast(f, 1, 99), B(UP));
	vswitch_remove(f->sw, &f->p[UP].port);
	assert_int_equal(unicast(f, 1, 99), 0);
	assert_int_equal(tx_drops(f, 1, NET_DROP_STORM), 10000 - n + 2);
}

/* What guests may not answer and announce is counted as what it was. */
static void test_guards(void **state)
{
	struct packet *p = calloc(1, sizeof(*p));
	struct fixture *f = *state;

	assert_non_null(p);
	memcpy(f->config[1].mac, MAC_A, NET_MAC_LEN);
	memcpy(f->config[2].mac, MAC_B, NET_MAC_LEN);
	f->config[1].flags = NET_PORT_GUARD_RA;
	f->config[2].flags = NET_PORT_GUARD_DHCP;
	set(f, 1);
	set(f, 2);
	packet_icmp6(p, IP6_LL_A, 134, 40, NULL);
	assert_int_equal(input_packet(f, 1, p), 0);
	packet_dhcp(p, 2, IP4_A, 0);
	assert_int_equal(input_packet(f, 2, p), 0);
	assert_int_equal(got(f), 0);
	assert_int_equal(tx_drops(f, 1, NET_DROP_RA_GUARD), 1);
	assert_int_equal(tx_drops(f, 2, NET_DROP_DHCP_GUARD), 1);
	/* With leave, both go. */
	f->config[1].flags = f->config[2].flags = 0;
	set(f, 1);
	set(f, 2);
	packet_icmp6(p, IP6_LL_A, 134, 40, NULL);
	assert_int_equal(input_packet(f, 1, p), 0);
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
	packet_dhcp(p, 2, IP4_A, 0);
	assert_int_equal(input_packet(f, 2, p), 0);
	assert_int_equal(got(f), B(1));
	free(p);
}

/* A guest that spoofs, storms and floods the table of addresses: two others, and who is behind one of them, have lost
 * nothing, and are shown no more of it than its limits allow. */
static void test_bad_neighbour(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[NET_MAC_LEN], own[NET_MAC_LEN], other[NET_MAC_LEN];
	unsigned n_broadcast = 0, n_shown = 0;

	f->config[1].flags = f->config[2].flags = NET_PORT_LEARN;
	f->config[1].learn_limit = 16;
	f->config[1].broadcast_pps = 10;
	f->config[1].unknown_pps = 10;
	set(f, 1);
	set(f, 2);
	/* 70 … 79 are behind port 2. */
	for (unsigned i = 70; i < 80; i++) {
		fake_mac(i, mac);
		fake_mac(3, other);
		assert_int_equal(
			input(f, 2, fake_frame(&f->buffer, other, mac, -1, 0x88b5, NULL, 46)), 0);
		assert_int_equal(got(f), B(3));
	}
	for (unsigned i = 0; i < 20000; i++) {
		/* Any source, also those of the others; any destination, and everybody. */
		fake_mac(i % 3 ? 10000 + i : 2 + i % 2, own);
		fake_mac(i % 2 ? 50000 + i : 1, mac);
		(void)input(f, 1,
			fake_frame(&f->buffer, i % 4 ? mac : everybody, own, -1, 0x88b5, NULL, 46));
		n_broadcast += (got(f) & B(3)) != 0;
		fake_mac(70 + i % 10, mac);
		fake_mac(3, own);
		assert_int_equal(
			input(f, 3, fake_frame(&f->buffer, mac, own, -1, 0x88b5, NULL, 46)), 0);
		assert_int_equal(got(f), B(2));
		assert_int_equal(unicast(f, 2, 3), B(3));
		f->now += S / 1000;
	}
	n_shown = f->p[2].counters.rx_packets - 20000;
	/* 20 s of 10 a second, and a bucket of each. */
	assert_in_range(n_broadcast, 150, 220);
	assert_in_range(n_shown, 150, 2 * 220);
	assert_int_equal(f->p[2].counters.rx_dropped + f->p[3].counters.rx_dropped, 0);
	assert_true(tx_drops(f, 1, NET_DROP_STORM) > 4000);
}

static int input_large(struct fixture *f, unsigned from, unsigned to, size_t size)
{
	uint8_t dst[NET_MAC_LEN], src[NET_MAC_LEN];
	struct frame *frame;

	fake_mac(to, dst);
	fake_mac(from, src);
	frame = fake_frame(&f->buffer, dst, src, -1, 0x88b5, NULL, size - FRAME_MIN);
	frame->hdr.gso_type = NET_HDR_GSO_TCPV4;
	frame->hdr.gso_size = 1400;
	return input(f, from, frame);
}

static void forget_all(struct fixture *f)
{
	for (unsigned i = 0; i < N; i++)
		(void)fake_port_new(&f->p[i]);
}

/* Frames of 'size' as fast as they go for 'duration', coming again when told to. Answers bytes; 0: of this moment alone. */
static uint64_t bytes_sent(
	struct fixture *f, unsigned from, unsigned to, size_t size, uint64_t duration)
{
	uint64_t end = f->now + duration, bytes = 0;

	while (f->now < end || !duration) {
		if (input_large(f, from, to, size) == 0) {
			bytes += size;
			continue;
		}
		assert_true(vswitch_retry_ns(&f->p[from].port) > f->now);
		if (!duration)
			break;
		f->now = vswitch_retry_ns(&f->p[from].port);
	}
	forget_all(f);
	return bytes;
}

#define KB(x) ((uint64_t)(x)*1000)

/* Q01 - Q05. */
static void test_rate_out(void **state)
{
	struct fixture *f = *state;

	f->config[1].bandwidth.out.average = 1000;
	f->config[1].bandwidth.out.burst = 64;
	set(f, 1);
	/* Ten seconds: within 2 per cent of the average, with the burst on top. */
	assert_in_range(bytes_sent(f, 1, 2, 1500, 10 * S), KB(10000), KB(10000) + KIB(64) + 3000);
	assert_int_equal(f->p[1].counters.tx_dropped, 0);
	f->now += 10 * S;
	/* The burst at once, then at the average. */
	assert_in_range(bytes_sent(f, 1, 2, 1024, 0), KIB(64), KIB(65));
	assert_in_range(bytes_sent(f, 1, 2, 1024, S), KB(990), KB(1010));
	/* Q04: 64 KiB through a bucket of 1 KiB. */
	f->config[1].bandwidth.out.burst = 1;
	set(f, 1);
	f->now += 10 * S;
	assert_in_range(bytes_sent(f, 1, 2, 64000, 10 * S), KB(9800), KB(10200));
	/* Q03: no more than the peak, even within the burst. */
	f->config[1].bandwidth.out =
		(struct net_rate){.average = 1000, .peak = 2000, .burst = 4000};
	set(f, 1);
	f->now += 10 * S;
	assert_in_range(bytes_sent(f, 1, 2, 1500, S), KB(1950), KB(2250));
	/* Floods wait like all else. */
	f->config[1].bandwidth.out = (struct net_rate){.average = 1, .burst = 1};
	set(f, 1);
	assert_int_equal(bytes_sent(f, 1, 2, 60000, 0), 60000);
	assert_int_equal(input(f, 1, frame_of(f, everybody, 1, -1)), -EAGAIN);
	assert_true(vswitch_retry_ns(&f->p[1].port) > f->now + 50 * S);
}

static void test_rate_in(void **state)
{
	struct fixture *f = *state;
	uint64_t was = 0;

	f->config[2].bandwidth.in.average = 100;
	f->config[2].bandwidth.in.burst = 10;
	set(f, 2);
	for (unsigned i = 0; i < 10000; i++) {
		(void)unicast(f, 1, 2);
		(void)unicast(f, 1, 3);
		f->now += S / 5000;
	}
	was = f->p[2].counters.rx_bytes;
	assert_in_range(was, KB(200), KB(200) + KIB(12));
	assert_int_equal(rx_drops(f, 2, NET_DROP_RATE), 10000 - f->p[2].counters.rx_packets);
	assert_int_equal(f->p[3].counters.rx_packets, 10000);
}

/* Q07: the network's limit is on what comes in and goes out, for all together. */
static void test_rate_shared(void **state)
{
	const struct vswitch_config config = {.bandwidth = {.in = {.average = 100, .burst = 10},
						      .out = {.average = 10, .burst = 1}}};
	struct fixture *f = start(&config);
	uint8_t mac[NET_MAC_LEN];

	for (unsigned i = 1; i <= 3; i++)
		add(f, i, PORT_VNIC);
	add(f, 6, PORT_HOST);
	add(f, UP, PORT_UPLINK);
	for (unsigned i = 0; i < 2000; i++)
		assert_int_equal(unicast(f, 1, 2), B(2));
	assert_in_range(bytes_sent(f, 1, 99, 1500, 10 * S), KB(98), KB(103));
	/* Nothing is left for port 2, nor to the host. */
	fake_mac(6, mac);
	(void)bytes_sent(f, 2, 6, 60000, 0);
	assert_int_equal(input(f, 2, frame_of(f, mac, 2, -1)), -EAGAIN);
	assert_int_equal(broadcast(f, 2), B(1) | B(3));
	assert_int_equal(rx_drops(f, UP, NET_DROP_RATE), 1);
	/* In: dropped at the receiver. */
	for (unsigned i = 0; i < 1000; i++) {
		fake_mac(1 + i % 2, mac);
		assert_int_equal(input(f, UP, frame_of(f, mac, 99, -1)), 0);
		(void)got(f);
	}
	assert_int_equal(rx_drops(f, 1, NET_DROP_RATE) + rx_drops(f, 2, NET_DROP_RATE),
		1000 - (f->p[1].counters.rx_packets - 1) - (f->p[2].counters.rx_packets - 2000));
	assert_true(rx_drops(f, 1, NET_DROP_RATE) > 300 && rx_drops(f, 2, NET_DROP_RATE) > 300);
	/* The host and the world are not limited. */
	fake_mac(99, mac);
	assert_int_equal(input(f, 6, frame_of(f, mac, 6, -1)), 0);
	assert_int_equal(got(f), B(UP));
	*state = f;
	(void)teardown(state);
}

/* Q06: what a port is promised it gets, however much another takes. */
static void test_rate_floor(void **state)
{
	const struct vswitch_config config = {.bandwidth = {.in = {.average = 100, .burst = 10}}};
	struct fixture *f = start(&config);
	uint8_t mac[NET_MAC_LEN], world[NET_MAC_LEN];

	fake_mac(99, world);
	for (unsigned i = 1; i <= 2; i++)
		add(f, i, PORT_VNIC);
	add(f, UP, PORT_UPLINK);
	f->config[1].bandwidth.in.floor = 40;
	set(f, 1);
	/* Ten seconds: 10 times as much for port 2 as there is, and then something for port 1. */
	for (unsigned i = 0; i < 10000; i++) {
		fake_mac(i % 10 == 9 ? 1 : 2, mac);
		assert_int_equal(input(f, UP, frame_of(f, mac, 99, -1)), 0);
		f->now += S / 1000;
		(void)got(f);
	}
	/* 1000 frames of 60 bytes are less than the floor. */
	assert_int_equal(rx_drops(f, 1, NET_DROP_RATE), 0);
	/* Far more than the floor: that much, and the others have the rest. */
	forget_all(f);
	f->now += 100 * S;
	f->p[1].counters.rx_bytes = f->p[2].counters.rx_bytes = 0;
	for (unsigned i = 0; i < 20000; i++) {
		fake_mac(1 + i % 2, mac);
		assert_int_equal(
			input(f, UP, fake_frame(&f->buffer, mac, world, -1, 0x88b5, NULL, 1000)),
			0);
		f->now += S / 2000;
		(void)got(f);
	}
	assert_true(f->p[1].counters.rx_bytes >= KB(395));
	assert_in_range(f->p[1].counters.rx_bytes + f->p[2].counters.rx_bytes, KB(980),
		KB(1000) + KIB(10) + KB(10));
	*state = f;
	(void)teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_spoofing, setup, teardown),
		cmocka_unit_test(test_learned_addresses),
		cmocka_unit_test_setup_teardown(test_reserved, setup, teardown),
		cmocka_unit_test_setup_teardown(test_isolation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_suppression, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nd_suppression, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dad, setup, teardown),
		cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_multicast, setup, teardown),
		cmocka_unit_test_setup_teardown(test_multicast_router, setup, teardown),
		cmocka_unit_test_setup_teardown(test_storm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guards, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_neighbour, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate_out, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rate_in, setup, teardown),
		cmocka_unit_test(test_rate_shared),
		cmocka_unit_test(test_rate_floor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
