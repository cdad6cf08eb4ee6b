/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The switch, with fake ports and invented time: who gets what. */
#include "devices/net/vswitch.h"

#include "tests/unit/vswitch-fixture.h"

static void test_forwarding(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(unicast(f, 1, 2), B(2));
	assert_memory_equal(fake_port_last(&f->p[2])->bytes, f->buffer.bytes, 60);
	assert_int_equal(fake_port_last(&f->p[2])->len, 60);
	assert_int_equal(unicast(f, UP, 3), B(3));
	assert_int_equal(broadcast(f, 1), B(2) | B(3) | B(UP));
	/* What nobody has is outside; from outside it is nobody's. */
	assert_int_equal(unicast(f, 1, 99), B(UP));
	assert_int_equal(input(f, UP, frame_of(f, everybody, 99, -1)), 0);
	assert_int_equal(got(f), B(1) | B(2) | B(3));
	f->config[1].flags = NET_PORT_ALLOW_FORGED;
	set(f, 1);
	assert_int_equal(unicast(f, 1, 1), 0);
	assert_int_equal(tx_drops(f, 1, NET_DROP_SELF), 1);
}

static void test_counters(void **state)
{
	struct fixture *f = *state;
	struct net_port_counters *c = &f->p[1].counters;

	(void)unicast(f, 1, 2);
	(void)broadcast(f, 1);
	assert_int_equal(c->tx_packets, 2);
	assert_int_equal(c->tx_bytes, 120);
	assert_int_equal(f->p[2].counters.rx_packets, 2);
	assert_int_equal(f->p[2].counters.rx_bytes, 120);
	assert_int_equal(f->p[2].counters.rx_multicast, 1);
	vswitch_drop(&f->p[1].port, NET_DROP_MALFORMED);
	assert_int_equal(c->tx_dropped, 1);
	assert_int_equal(tx_drops(f, 1, NET_DROP_MALFORMED), 1);
	assert_int_equal(c->tx_packets, 2);
}

/* Each word of transmit() has its reason, and ends no flood. */
static void test_refusals(void **state)
{
	static const struct {
		int answer;
		enum net_drop reason;
	} rows[] = {
		{-EAGAIN, NET_DROP_FULL},
		{-ENOBUFS, NET_DROP_FULL},
		{-ENETDOWN, NET_DROP_NO_UPLINK},
		{-EMSGSIZE, NET_DROP_MTU},
		{-ENOLINK, NET_DROP_LINK_DOWN},
		{-EPIPE, NET_DROP_PEER},
		{-EIO, NET_DROP_PEER},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t was = rx_drops(f, 2, rows[i].reason), sum = f->p[2].counters.rx_dropped;

		f->p[2].answer = rows[i].answer;
		assert_int_equal(broadcast(f, 1), B(3) | B(UP));
		assert_int_equal(rx_drops(f, 2, rows[i].reason), was + 1);
		assert_int_equal(f->p[2].counters.rx_dropped, sum + 1);
		if (rows[i].answer == -EAGAIN)
			continue;
		assert_int_equal(unicast(f, 1, 2), 0);
		assert_int_equal(rx_drops(f, 2, rows[i].reason), was + 2);
	}
	assert_int_equal(f->p[1].counters.tx_dropped, 0);
}

/* A receiver without room: nothing has happened, and the frame may come again. Q05. */
static void test_again(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[NET_MAC_LEN];

	f->config[1].bandwidth.out.average = 1;
	set(f, 1);
	fake_mac(2, mac);
	f->p[2].answer = -EAGAIN;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(input(f, 1, frame_of(f, mac, 1, -1)), -EAGAIN);
		assert_int_equal(vswitch_retry_ns(&f->p[1].port), 0);
	}
	assert_int_equal(f->p[1].counters.tx_packets, 0);
	assert_int_equal(f->p[2].counters.rx_dropped, 0);
	f->p[2].answer = 0;
	assert_int_equal(unicast(f, 1, 2), B(2));
	/* Likewise the way out. */
	f->p[UP].answer = -EAGAIN;
	fake_mac(99, mac);
	f->now += S;
	assert_int_equal(input(f, 1, frame_of(f, mac, 1, -1)), -EAGAIN);
	assert_int_equal(f->p[1].counters.tx_packets, 1);
}

static void test_flush(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 5; i++)
		(void)unicast(f, 1, 2);
	(void)unicast(f, 1, 3);
	assert_int_equal(f->p[2].n_flushes, 0);
	vswitch_flush(f->sw);
	assert_int_equal(f->p[2].n_flushes, 1);
	assert_int_equal(f->p[3].n_flushes, 1);
	assert_int_equal(f->p[1].n_flushes, 0);
	vswitch_flush(f->sw);
	assert_int_equal(f->p[2].n_flushes, 1);
}

/* Nothing goes from one uplink to another, and floods go to the default one alone. */
static void test_uplinks(void **state)
{
	struct fixture *f = *state;

	f->config[6] = (struct net_port_config){0};
	add(f, 6, PORT_UPLINK);
	assert_int_equal(broadcast(f, 1), B(2) | B(3) | B(UP));
	assert_int_equal(unicast(f, 1, 99), B(UP));
	for (unsigned up = 6; up <= UP; up++) {
		uint8_t mac[NET_MAC_LEN];

		assert_int_equal(input(f, up, frame_of(f, everybody, 98, -1)), 0);
		assert_int_equal(got(f), B(1) | B(2) | B(3));
		fake_mac(97, mac);
		assert_int_equal(input(f, up, frame_of(f, mac, 98, -1)), 0);
		assert_int_equal(got(f), 0);
		assert_int_equal(tx_drops(f, up, NET_DROP_UNKNOWN), 1);
		fake_mac(2, mac);
		assert_int_equal(input(f, up, frame_of(f, mac, 98, -1)), 0);
		assert_int_equal(got(f), B(2));
	}
	/* An address behind the other one. */
	uint8_t there[NET_MAC_LEN];

	fake_mac(50, there);
	assert_int_equal(vswitch_add_address(f->sw, &f->p[6].port, there), 0);
	assert_int_equal(unicast(f, 1, 50), B(6));
	assert_int_equal(input(f, UP, frame_of(f, there, 98, -1)), 0);
	assert_int_equal(got(f), 0);
	assert_int_equal(tx_drops(f, UP, NET_DROP_SELF), 1);
	/* Its frames may still come by the default one. */
	assert_int_equal(input(f, UP, frame_of(f, everybody, 50, -1)), 0);
	assert_int_equal(got(f), B(1) | B(2) | B(3));
	assert_int_equal(vswitch_remove_address(f->sw, &f->p[6].port, there), 0);
	assert_int_equal(vswitch_remove_address(f->sw, &f->p[6].port, there), -ENOENT);
	assert_int_equal(unicast(f, 1, 50), B(UP));
	/* Without the default one, the next takes its place. */
	vswitch_remove(f->sw, &f->p[UP].port);
	assert_int_equal(unicast(f, 1, 50), B(6));
	vswitch_remove(f->sw, &f->p[6].port);
	assert_int_equal(unicast(f, 1, 50), 0);
	assert_int_equal(tx_drops(f, 1, NET_DROP_UNKNOWN), 1);
}

/* R1: what a guest sent does not come in again. */
static void test_reflection(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(input(f, UP, frame_of(f, everybody, 2, -1)), 0);
	assert_int_equal(got(f), 0);
	assert_int_equal(tx_drops(f, UP, NET_DROP_REFLECTED), 1);
	/* Learned addresses: for a while; then they have moved out. */
	f->config[1].flags = NET_PORT_LEARN;
	set(f, 1);
	assert_int_equal(input(f, 1, frame_of(f, everybody, 60, -1)), 0);
	(void)got(f);
	assert_int_equal(input(f, UP, frame_of(f, everybody, 60, -1)), 0);
	assert_int_equal(got(f), 0);
	f->now += VSWITCH_REFLECT_NS;
	assert_int_equal(input(f, UP, frame_of(f, everybody, 60, -1)), 0);
	assert_int_equal(got(f), B(1) | B(2) | B(3));
	assert_int_equal(unicast(f, 2, 60), B(1) | B(UP));
}

/* A direct link: its peer is checked as a guest is, and the VLAN travels in the tag. */
static void test_guarded(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[NET_MAC_LEN];

	for (unsigned i = 1; i <= 3; i++) {
		f->config[i].vlan =
			(struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}};
		set(f, i);
	}
	f->config[6] = (struct net_port_config){
		.vlan = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}}};
	fake_port_init(&f->p[6], PORT_UPLINK, 6);
	f->p[6].port.guarded = true;
	fake_mac(6, f->config[6].mac);
	assert_int_equal(vswitch_add(f->sw, &f->p[6].port, &f->config[6]), 0);
	/* It never stands in for the uplink. */
	vswitch_remove(f->sw, &f->p[UP].port);
	assert_int_equal(broadcast(f, 1), B(2) | B(3));
	assert_int_equal(unicast(f, 1, 6), 0);
	fake_mac(6, mac);
	assert_int_equal(vswitch_add_address(f->sw, &f->p[6].port, mac), 0);
	assert_int_equal(unicast(f, 1, 6), B(6));
	assert_int_equal(fake_port_last(&f->p[6])->tci, 10);
	/* From there. */
	fake_mac(1, mac);
	assert_int_equal(input(f, 6, frame_of(f, mac, 6, 10)), 0);
	assert_int_equal(got(f), B(1));
	assert_int_equal(fake_port_last(&f->p[1])->tci, -1);
	assert_int_equal(input(f, 6, frame_of(f, mac, 6, -1)), 0);
	assert_int_equal(tx_drops(f, 6, NET_DROP_VLAN), 1);
	assert_int_equal(input(f, 6, frame_of(f, mac, 5, 10)), 0);
	assert_int_equal(tx_drops(f, 6, NET_DROP_SPOOF_MAC), 1);
	assert_int_equal(got(f), 0);
	/* Isolation holds from link to port. */
	f->config[6].flags = f->config[1].flags = NET_PORT_ISOLATED;
	set(f, 6);
	set(f, 1);
	assert_int_equal(input(f, 6, frame_of(f, mac, 6, 10)), 0);
	assert_int_equal(tx_drops(f, 6, NET_DROP_ISOLATED), 1);
}

static void test_vlans(void **state)
{
	struct fixture *f = *state;

	f->config[1].vlan = f->config[2].vlan =
		(struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}};
	set(f, 1);
	set(f, 2);
	f->config[3].vlan =
		(struct net_vlan){.mode = NET_VLAN_TRUNK, .n_tags = 2, .tags = {10, 20}};
	set(f, 3);
	assert_int_equal(unicast(f, 1, 2), B(2));
	assert_int_equal(fake_port_last(&f->p[2])->tci, -1);
	assert_int_equal(unicast(f, 1, 3), B(3));
	assert_int_equal(fake_port_last(&f->p[3])->tci, 10);
	assert_int_equal(send_tagged(f, 3, 1, 0x6000 | 10), B(1));
	assert_int_equal(fake_port_last(&f->p[1])->tci, -1);
	assert_int_equal(unicast(f, 1, 99), B(UP));
	assert_int_equal(fake_port_last(&f->p[UP])->tci, 10);
	assert_int_equal(send_tagged(f, 3, 1, 20), B(UP)); /* not in that VLAN: outside */
	assert_int_equal(send_tagged(f, 3, 1, 30), 0);
	assert_int_equal(send_tagged(f, 3, 1, -1), 0);
	assert_int_equal(tx_drops(f, 3, NET_DROP_VLAN), 2);
	assert_int_equal(broadcast(f, 1), B(2) | B(3) | B(UP));
	/* Live: port 2 leaves. */
	f->config[2].vlan.tags[0] = 11;
	set(f, 2);
	assert_int_equal(broadcast(f, 1), B(3) | B(UP));
	assert_int_equal(unicast(f, 1, 2), B(UP));
	/* The same address is free in another VLAN, and not in this one. */
	f->config[4] = f->config[2];
	f->config[4].vlan.tags[0] = 12;
	fake_port_init(&f->p[4], PORT_VNIC, 4);
	assert_int_equal(vswitch_add(f->sw, &f->p[4].port, &f->config[4]), 0);
	f->config[4].vlan.tags[0] = 11;
	assert_int_equal(vswitch_reconfigure(f->sw, &f->p[4].port, &f->config[4]), -EEXIST);
	f->config[2].vlan.tags[0] = 12;
	assert_int_equal(vswitch_reconfigure(f->sw, &f->p[2].port, &f->config[2]), -EEXIST);
}

static void test_mtu(void **state)
{
	struct fixture *f = *state;
	uint8_t dst[NET_MAC_LEN], src[NET_MAC_LEN], tag[1504] = {0, 20, 8, 0};
	struct frame *frame;

	f->config[2].mtu = 1000;
	set(f, 2);
	fake_mac(1, src);
	fake_mac(2, dst);
	assert_int_equal(input(f, 1, fake_frame(&f->buffer, dst, src, -1, 0x88b5, NULL, 1000)), 0);
	assert_int_equal(got(f), B(2));
	assert_int_equal(input(f, 1, fake_frame(&f->buffer, dst, src, -1, 0x88b5, NULL, 1001)), 0);
	assert_int_equal(got(f), 0);
	assert_int_equal(rx_drops(f, 2, NET_DROP_MTU), 1);
	/* A tag is not in the count, nor is a second one. */
	assert_int_equal(input(f, 1, fake_frame(&f->buffer, dst, src, 5, 0x8100, tag, 1004)), 0);
	assert_int_equal(got(f), B(2));
	assert_int_equal(input(f, 1, fake_frame(&f->buffer, dst, src, 5, 0x8100, tag, 1005)), 0);
	assert_int_equal(got(f), 0);
	/* What is still to be cut is whole. */
	frame = fake_frame(&f->buffer, dst, src, -1, 0x88b5, NULL, 9000);
	frame->hdr.gso_type = NET_HDR_GSO_TCPV4;
	frame->hdr.gso_size = 900;
	assert_int_equal(input(f, 1, frame), 0);
	assert_int_equal(got(f), B(2));
	assert_int_equal(f->p[2].counters.rx_gso, 1);
	assert_int_equal(f->p[1].counters.tx_gso, 1);
	/* Also with a tag, which stays in front of it. */
	frame = fake_frame(&f->buffer, dst, src, 5, 0x88b5, NULL, 9000);
	frame->hdr.gso_type = NET_HDR_GSO_TCPV4;
	frame->hdr.gso_size = 900;
	assert_int_equal(input(f, 1, frame), 0);
	assert_int_equal(got(f), B(2));
	assert_int_equal(fake_port_last(&f->p[2])->tci, 5);
	/* The others have the network's. */
	assert_int_equal(
		input(f, 1, fake_frame(&f->buffer, everybody, src, -1, 0x88b5, NULL, 1500)), 0);
	assert_int_equal(got(f), B(3) | B(UP));
	assert_int_equal(
		input(f, 1, fake_frame(&f->buffer, everybody, src, -1, 0x88b5, NULL, 1501)), 0);
	assert_int_equal(got(f), 0);
}

static void test_link_down(void **state)
{
	struct fixture *f = *state;

	f->config[2].flags = NET_PORT_LINK_DOWN;
	set(f, 2);
	assert_int_equal(unicast(f, 1, 2), 0);
	assert_int_equal(rx_drops(f, 2, NET_DROP_LINK_DOWN), 1);
	assert_int_equal(unicast(f, 2, 1), 0);
	assert_int_equal(tx_drops(f, 2, NET_DROP_LINK_DOWN), 1);
	assert_int_equal(broadcast(f, 1), B(3) | B(UP));
	f->config[2].flags = 0;
	set(f, 2);
	assert_int_equal(unicast(f, 1, 2), B(2));
}

static void test_promiscuous(void **state)
{
	struct fixture *f = *state;

	f->config[3].flags = NET_PORT_PROMISCUOUS;
	set(f, 3);
	assert_int_equal(unicast(f, 1, 2), B(2) | B(3));
	assert_int_equal(unicast(f, 1, 3), B(3));
	assert_int_equal(unicast(f, 1, 99), B(UP) | B(3));
	assert_int_equal(broadcast(f, 1), B(2) | B(3) | B(UP));
	/* Its lack of room stops nobody. */
	f->p[3].answer = -EAGAIN;
	assert_int_equal(unicast(f, 1, 2), B(2));
	assert_int_equal(rx_drops(f, 3, NET_DROP_FULL), 1);
	f->p[3].answer = 0;
	f->config[3].vlan = (struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}};
	set(f, 3);
	assert_int_equal(unicast(f, 1, 2), B(2));
}

static void test_learning(void **state)
{
	struct fixture *f = *state;

	f->config[1].flags = NET_PORT_LEARN;
	f->config[1].learn_limit = 2;
	f->config[1].age_s = 10;
	set(f, 1);
	/* Before it is known: outside, or behind the port that learns. */
	assert_int_equal(unicast(f, 2, 60), B(1) | B(UP));
	assert_int_equal(input(f, 1, frame_of(f, everybody, 60, -1)), 0);
	assert_int_equal(got(f), B(2) | B(3) | B(UP));
	assert_int_equal(unicast(f, 2, 60), B(1));
	assert_int_equal(unicast(f, 2, 1), B(1));
	assert_int_equal(vswitch_deadline(f->sw), f->now + 10 * S + 1);
	f->now += 10 * S + 1;
	assert_int_equal(unicast(f, 2, 60), B(1) | B(UP));
	vswitch_poll(f->sw, f->now);
	assert_int_equal(vswitch_deadline(f->sw), UINT64_MAX);
	/* From outside too, where nobody else could have it. */
	uint8_t mac[NET_MAC_LEN];

	fake_mac(61, mac);
	assert_int_equal(input(f, UP, frame_of(f, mac, 99, -1)), 0);
	assert_int_equal(got(f), B(1));
}

static void test_mirrors(void **state)
{
	struct fixture *f = *state;

	add(f, 5, PORT_MIRROR);
	add(f, 6, PORT_MIRROR);
	assert_int_equal(vswitch_mirror(f->sw, &f->p[1].port, VSWITCH_MIRROR_TX, &f->p[5].port), 0);
	assert_int_equal(unicast(f, 1, 2), B(2) | B(5));
	assert_int_equal(unicast(f, 2, 1), B(1));
	assert_int_equal(vswitch_mirror(f->sw, &f->p[1].port, 3, &f->p[5].port), 0);
	assert_int_equal(vswitch_mirror(f->sw, &f->p[2].port, 3, &f->p[5].port), 0);
	/* Seen at both ends and once. */
	assert_int_equal(unicast(f, 2, 1), B(1) | B(5));
	assert_int_equal(broadcast(f, 3), B(1) | B(2) | B(5) | B(UP));
	assert_int_equal(vswitch_mirror(f->sw, &f->p[2].port, VSWITCH_MIRROR_RX, &f->p[6].port), 0);
	assert_int_equal(unicast(f, 1, 2), B(2) | B(5) | B(6));
	/* It delays nothing. */
	f->p[5].answer = -EAGAIN;
	assert_int_equal(unicast(f, 1, 2), B(2) | B(6));
	assert_int_equal(rx_drops(f, 5, NET_DROP_FULL), 1);
	f->p[5].answer = 0;
	/* The VLAN is in the tag; what is refused was not sent. */
	f->config[1].vlan = (struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}};
	set(f, 1);
	assert_int_equal(unicast(f, 1, 99), B(UP) | B(5));
	assert_int_equal(fake_port_last(&f->p[5])->tci, 10);
	assert_int_equal(send_tagged(f, 1, 2, 20), 0);
	/* It may not speak. */
	assert_int_equal(unicast(f, 5, 2), 0);
	assert_int_equal(tx_drops(f, 5, NET_DROP_ISOLATED), 1);
	assert_int_equal(vswitch_mirror(f->sw, &f->p[1].port, 3, &f->p[2].port), -EINVAL);
	assert_int_equal(vswitch_mirror(f->sw, &f->p[5].port, 3, &f->p[6].port), -EINVAL);
	assert_int_equal(vswitch_mirror(f->sw, &f->p[1].port, 8, &f->p[5].port), -EINVAL);
	assert_int_equal(vswitch_mirror(f->sw, &f->p[1].port, 0, &f->p[5].port), 0);
	assert_int_equal(vswitch_mirror(f->sw, &f->p[1].port, 0, &f->p[5].port), 0);
	assert_int_equal(unicast(f, 1, 99), B(UP));
	vswitch_remove(f->sw, &f->p[5].port);
	assert_int_equal(unicast(f, 2, 3), B(3));
}

/* Of all ports: each frame once; and with the tag that the watched port sees. */
static void test_mirror_of_all(void **state)
{
	struct fixture *f = *state;

	add(f, 5, PORT_MIRROR);
	add(f, 6, PORT_MIRROR);
	assert_int_equal(vswitch_mirror(f->sw, NULL, VSWITCH_MIRROR_TX, &f->p[5].port), 0);
	assert_int_equal(unicast(f, 1, 2), B(2) | B(5));
	assert_int_equal(broadcast(f, 3), B(1) | B(2) | B(5) | B(UP));
	assert_int_equal(unicast(f, UP, 2), B(2) | B(5));
	f->config[1].vlan = (struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}};
	set(f, 1);
	assert_int_equal(vswitch_mirror(f->sw, &f->p[1].port,
				 VSWITCH_MIRROR_TX | VSWITCH_MIRROR_AS_SEEN, &f->p[6].port),
		0);
	assert_int_equal(unicast(f, 1, 99), B(UP) | B(5) | B(6));
	assert_int_equal(fake_port_last(&f->p[5])->tci, 10);
	assert_int_equal(fake_port_last(&f->p[6])->tci, -1);
	assert_int_equal(vswitch_mirror(f->sw, &f->p[1].port,
				 VSWITCH_MIRROR_RX | VSWITCH_MIRROR_AS_SEEN, &f->p[6].port),
		0);
	assert_int_equal(send_tagged(f, UP, 1, 10), B(1) | B(5) | B(6));
	assert_int_equal(fake_port_last(&f->p[5])->tci, 10);
	assert_int_equal(fake_port_last(&f->p[6])->tci, -1);
	/* Neither direction is none at all. */
	assert_int_equal(vswitch_mirror(f->sw, NULL, 0, &f->p[5].port), 0);
	assert_int_equal(
		vswitch_mirror(f->sw, &f->p[1].port, VSWITCH_MIRROR_AS_SEEN, &f->p[6].port), 0);
	assert_int_equal(unicast(f, 1, 99), B(UP));
}

/* Refusals beyond the limit, among three mirrors of four ports. */
static void test_mirror_limit(void **state)
{
	struct fixture *f = *state;

	static const unsigned watched[] = {1, 2, 3, UP};

	for (unsigned i = 4; i <= 6; i++)
		add(f, i, PORT_MIRROR);
	for (unsigned i = 0; i < VSWITCH_MAX_MIRRORS; i++)
		assert_int_equal(
			vswitch_mirror(f->sw, &f->p[watched[i / 3]].port, 3, &f->p[4 + i % 3].port),
			0);
	assert_int_equal(vswitch_mirror(f->sw, NULL, 3, &f->p[4].port), -ENOSPC);
	vswitch_remove(f->sw, &f->p[1].port);
	assert_int_equal(vswitch_mirror(f->sw, NULL, 3, &f->p[4].port), 0);
}

static void test_pairs(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < VSWITCH_PAIR_FRAMES; i++) {
		assert_int_equal(f->n_pairs, 0);
		(void)unicast(f, i & 1 ? 1 : 2, i & 1 ? 2 : 1);
		(void)unicast(f, 1, 99);
		(void)broadcast(f, 1);
	}
	assert_int_equal(f->n_pairs, 1);
	assert_true(f->a == &f->p[1].port && f->b == &f->p[2].port);
	for (unsigned i = 0; i < 1000; i++)
		(void)unicast(f, 1, 2);
	assert_int_equal(f->n_pairs, 1);
	f->now += VSWITCH_PAIR_TELL_NS;
	for (unsigned i = 0; i < 2 * VSWITCH_PAIR_FRAMES; i++)
		(void)unicast(f, 1, 2);
	assert_int_equal(f->n_pairs, 2);
	/* Slowly: never. */
	f->now += 10 * S;
	for (unsigned i = 0; i < 1000; i++) {
		f->now += VSWITCH_PAIR_NS / 32;
		(void)unicast(f, 3, 2);
	}
	assert_int_equal(f->n_pairs, 2);
	/* Who takes a place that was another's begins anew, even right after the other was told of. */
	for (unsigned i = 0; i < VSWITCH_PAIR_FRAMES; i++)
		(void)unicast(f, 2, 1);
	assert_int_equal(f->n_pairs, 3);
	vswitch_remove(f->sw, &f->p[2].port);
	add(f, 2, PORT_VNIC);
	for (unsigned i = 0; i < VSWITCH_PAIR_FRAMES; i++)
		(void)unicast(f, 2, 1);
	assert_int_equal(f->n_pairs, 4);
}

static void test_configuration(void **state)
{
	struct fixture *f = *state;
	struct net_port_config bad[6] = {0}, was = f->config[1];

	bad[0].mac[0] = 1;
	bad[1].flags = NET_PORT_FLAGS + 1;
	bad[2].mtu = NET_MTU_MIN - 1;
	bad[3].n_ips = NET_MAX_PORT_IPS + 1;
	bad[4].learn_limit = NET_LEARN_MAX + 1;
	bad[5].vlan.mode = NET_VLAN_X_MAX;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(vswitch_reconfigure(f->sw, &f->p[1].port, &bad[i]), -EINVAL);
	/* Another's address. */
	fake_mac(2, f->config[1].mac);
	assert_int_equal(vswitch_reconfigure(f->sw, &f->p[1].port, &f->config[1]), -EEXIST);
	fake_port_init(&f->p[4], PORT_HOST, 4);
	assert_int_equal(vswitch_add(f->sw, &f->p[4].port, &was), -EEXIST);
	assert_null(f->p[4].port.sw);
	/* None of it changed anything. */
	assert_int_equal(unicast(f, 2, 1), B(1));
	assert_int_equal(unicast(f, 1, 2), B(2));
	/* A new one of its own. */
	fake_mac(77, f->config[1].mac);
	set(f, 1);
	assert_int_equal(unicast(f, 2, 77), B(1));
	assert_int_equal(unicast(f, 2, 1), B(UP));
}

/* A change that fails half-way, since all room for learned addresses is taken, leaves no half. */
static void test_no_room(void **state)
{
	struct fixture *f = *state;
	struct net_port_config config = {.flags = NET_PORT_LEARN, .learn_limit = NET_LEARN_MAX};
	struct fake_port *ports = calloc(16, sizeof(*ports));

	assert_non_null(ports);
	for (unsigned i = 0; i < 16; i++) {
		fake_port_init(&ports[i], PORT_VNIC, i);
		ports[i].only_count = true;
		fake_mac(1000 + i, config.mac);
		assert_int_equal(vswitch_add(f->sw, &ports[i].port, &config), 0);
	}
	config.vlan = (struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}};
	fake_mac(77, config.mac);
	assert_int_equal(vswitch_reconfigure(f->sw, &f->p[1].port, &config), -ENOSPC);
	fake_port_init(&f->p[4], PORT_VNIC, 4);
	assert_int_equal(vswitch_add(f->sw, &f->p[4].port, &config), -ENOSPC);
	assert_int_equal(unicast(f, 2, 1), B(1));
	assert_int_equal(unicast(f, 1, 2), B(2));
	assert_int_equal(unicast(f, 2, 77), B(UP));
	for (unsigned i = 0; i < 16; i++)
		vswitch_remove(f->sw, &ports[i].port);
	free(ports);
	assert_int_equal(vswitch_reconfigure(f->sw, &f->p[1].port, &config), 0);
}

static void test_many_ports(void **state)
{
	struct fixture *f = *state;
	struct fake_port *ports = calloc(NET_MAX_PORTS, sizeof(*ports));
	struct net_port_config config = {.flags = NET_PORT_LEARN, .learn_limit = 256};
	unsigned n = 0;

	assert_non_null(ports);
	for (unsigned i = 0; i < NET_MAX_PORTS; i++) {
		int r;

		fake_port_init(&ports[i], PORT_VNIC, i);
		ports[i].only_count = true;
		fake_mac(1000 + i, config.mac);
		r = vswitch_add(f->sw, &ports[i].port, &config);
		assert_int_equal(r, i < NET_MAX_PORTS - 4 ? 0 : -ENOSPC);
		n += r == 0;
	}
	assert_int_equal(broadcast(f, 1), B(2) | B(3) | B(UP));
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(ports[i].n, 1);
		vswitch_remove(f->sw, &ports[i].port);
	}
	free(ports);
}

struct found {
	unsigned n_static, n_learned, n_members;
};

static void on_entry(void *opaque, const struct vswitch_entry *e)
{
	struct found *found = opaque;

	found->n_static += e->is_static;
	if (e->is_static)
		return;
	assert_int_equal(e->port->cookie, 1);
	assert_int_equal(e->mac[5], 60);
	assert_int_equal(e->age_ns, 5 * S);
	found->n_learned++;
}

static void on_member(void *opaque, const struct vswitch_entry *e)
{
	assert_int_equal(e->port->cookie, 2);
	assert_int_equal(e->age_ns, 255 * S);
	((struct found *)opaque)->n_members++;
}

static void test_walks(void **state)
{
	struct fixture *f = *state;
	struct found found = {0};
	uint8_t mac[NET_MAC_LEN];

	fake_mac(2, mac);
	f->config[1].flags = NET_PORT_LEARN;
	set(f, 1);
	assert_int_equal(input(f, 1, frame_of(f, everybody, 60, -1)), 0);
	assert_int_equal(input(f, 2, fake_frame_igmp(&f->buffer, mac, 0x16, 0xe1010203)), 0);
	f->now += 5 * S;
	vswitch_each_address(f->sw, f->now, on_entry, &found);
	vswitch_each_group(f->sw, f->now, on_member, &found);
	assert_int_equal(found.n_static, 3);
	assert_int_equal(found.n_learned, 1);
	assert_int_equal(found.n_members, 1);
}

static void count_any(void *opaque, const struct vswitch_entry *e)
{
	assert_true(e->port->cookie != 4);
	(*(unsigned *)opaque)++;
}

/* A port that goes between batches leaves nothing that points at it: its memory is gone, and everything that could
 * remember it is used. */
static void test_remove(void **state)
{
	struct fixture *f = *state;
	uint8_t mac[NET_MAC_LEN], group[NET_MAC_LEN] = {1, 0, 0x5e, 1, 2, 3};

	add(f, 5, PORT_MIRROR);
	fake_mac(60, mac);
	for (unsigned round = 0; round < 3; round++) {
		struct fake_port *p = calloc(1, sizeof(*p));
		struct net_port_config config = {.flags = NET_PORT_LEARN | NET_PORT_PROMISCUOUS};
		struct fake_frame *buffer = calloc(1, sizeof(*buffer));

		assert_true(p && buffer);
		fake_port_init(p, PORT_VNIC, 4);
		fake_mac(4, config.mac);
		assert_int_equal(vswitch_add(f->sw, &p->port, &config), 0);
		assert_int_equal(vswitch_mirror(f->sw, &p->port, 3, &f->p[5].port), 0);
		assert_int_equal(vswitch_mirror(f->sw, &f->p[1].port, 3, &f->p[5].port), 0);
		(void)vswitch_input(
			f->sw, &p->port, fake_frame_arp(buffer, mac, 0x0a000004, 1, NULL), f->now);
		(void)vswitch_input(f->sw, &p->port,
			fake_frame_igmp(buffer, config.mac, 0x16, 0xe1010203), f->now);
		(void)vswitch_input(
			f->sw, &p->port, fake_frame_igmp(buffer, config.mac, 0x11, 0), f->now);
		assert_int_equal(input(f, 1, frame_of(f, mac, 1, -1)), 0);
		assert_true(p->port.dirty);
		vswitch_remove(f->sw, &p->port);
		assert_null(p->port.sw);
		memset(p, 0xa5, sizeof(*p));
		free(p);
		free(buffer);
		vswitch_flush(f->sw);
		f->now += 11 * S;
		assert_int_equal(input(f, 1, frame_of(f, mac, 1, -1)), 0);
		assert_int_equal(input(f, 1, frame_of(f, group, 1, -1)), 0);
		fake_mac(1, mac);
		assert_int_equal(
			input(f, 1, fake_frame_arp(&f->buffer, mac, 5, 0x0a000004, NULL)), 0);
		fake_mac(60, mac);
		unsigned n_members = 0, n_addresses = 0;

		vswitch_each_group(f->sw, f->now, count_any, &n_members);
		vswitch_each_address(f->sw, f->now, count_any, &n_addresses);
		assert_int_equal(n_members, 0);
		assert_int_equal(n_addresses, 3);
		vswitch_poll(f->sw, f->now);
		vswitch_flush(f->sw);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_forwarding, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush, setup, teardown),
		cmocka_unit_test_setup_teardown(test_uplinks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reflection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_guarded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vlans, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mtu, setup, teardown),
		cmocka_unit_test_setup_teardown(test_link_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_promiscuous, setup, teardown),
		cmocka_unit_test_setup_teardown(test_learning, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirrors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirror_of_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mirror_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pairs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_configuration, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_walks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
