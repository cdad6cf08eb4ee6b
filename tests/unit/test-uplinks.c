/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uplinks (devices/fabric/uplinks.c): frames, links, what is announced. */
#include "uplinks-fixture.h"

static void test_out_and_in(void **state)
{
	struct world *w = *state;
	const struct net_team_report *report;
	uint8_t mac[NET_MAC_LEN], bytes[2048];
	struct fake_frame f;

	start(w);
	pass_ms(w, 100);
	assert_true(w->state.guests_up);
	assert_true(w->state.members[1].flags & NET_TEAM_LINK);
	assert_int_equal(w->state.map[1], 0);
	assert_int_equal(w->state.map[3], NET_TEAM_NO_MEMBER);
	assert_int_equal(w->n_reports, 1);
	report = &w->reports[0];
	assert_int_equal(report->from, NET_TEAM_NO_MEMBER);
	assert_int_equal(report->to, 0);
	assert_int_equal(report->cause, TEAM_CAUSE_LINK);
	assert_int_equal(report->detector, TEAM_BY_POLL);
	assert_true(report->switched_ns == report->detected_ns && !report->well_ns);
	assert_int_equal(report->ports_moved, 2);
	assert_int_equal(report->macs_announced, 3);
	assert_int_equal(report->n_macs, 3);
	drain_wires(w);
	fake_mac(1, mac);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0);
	fake_mac(2, mac);
	assert_int_equal(vm_send(w, &w->nested, far, mac, 20), 0);
	assert_int_equal(wire_receive(w, 0, bytes), 64);
	assert_memory_equal(bytes + 12, ((uint8_t[]){TYPE >> 8, TYPE & 0xff}), 2);
	assert_int_equal(wire_receive(w, 0, bytes), 68);
	assert_memory_equal(bytes + 12, ((uint8_t[]){0x81, 0, 0, 20}), 4);
	assert_int_equal(wire_receive(w, 1, bytes), 0);
	/* What is announced counts as sent, too: twice so far. */
	assert_int_equal(w->counters[0].rx_packets, 2 + 2 * 3);
	/* In: by the active member, and by the other. */
	fake_mac(1, mac);
	(void)fake_frame(&f, mac, far, -1, TYPE, NULL, 50);
	wire_send(w, 0, &f);
	assert_int_equal(w->vm.n, 1);
	(void)fake_frame(&f, everybody, far, 10, TYPE, NULL, 50);
	wire_send(w, 0, &f);
	wire_send(w, 1, &f);
	assert_int_equal(w->nested.n, 1);
	assert_int_equal(w->nested.kept[0].tci, 10);
	assert_int_equal(w->vm.n, 2); /* it carries every VLAN */
	assert_int_equal(w->counters[0].tx_packets, 2);
	assert_int_equal(w->counters[1].tx_drops[NET_DROP_DUPLICATE], 1);
	(void)fake_frame(&f, everybody, mac, -1, TYPE, NULL, 50);
	wire_send(w, 0, &f);
	assert_int_equal(w->counters[0].tx_drops[NET_DROP_REFLECTED], 1);
	assert_int_equal(w->vm.n, 2);
}

/* An address behind a port that was silent for a while, and is heard from outside: it has moved there. */
static void test_moved_out(void **state)
{
	static const uint8_t inner[NET_MAC_LEN] = {2, 0, 0, 0, 7, 7};
	struct world *w = *state;
	struct fake_frame f;

	start(w);
	assert_int_equal(vm_send(w, &w->nested, far, inner, 10), 0);
	(void)fake_frame(&f, everybody, inner, 10, TYPE, NULL, 50);
	wire_send(w, 0, &f);
	assert_int_equal(w->counters[0].tx_drops[NET_DROP_REFLECTED], 1);
	assert_int_equal(w->vm.n, 0);
	loop_fake_advance(w->loop, 2 * VSWITCH_REFLECT_NS);
	wire_send(w, 0, &f);
	assert_int_equal(w->counters[0].tx_drops[NET_DROP_REFLECTED], 1);
	assert_int_equal(w->vm.n, 1);
}

static unsigned count_rarp(struct world *w, unsigned i, const uint8_t *src, unsigned vid)
{
	uint8_t bytes[2048];
	unsigned n = 0;
	size_t len;

	while ((len = wire_receive(w, i, bytes)))
		n += memcmp(bytes + 6, src, NET_MAC_LEN) == 0 &&
			frame_be16(bytes + (vid ? 16 : 12)) == RARP &&
			(!vid ||
				(frame_be16(bytes + 12) == 0x8100 &&
					frame_be16(bytes + 14) == vid));
	return n;
}

static void fail_first(struct world *w)
{
	start(w);
	pass_ms(w, 700);
	drain_wires(w);
	w->n_reports = 0;
	pull(w, 0);
	assert_int_equal(state_of(w, 0), TEAM_MEMBER_ABSENT);
	assert_int_equal(w->state.members[0].failures[TEAM_BY_SOCKET], 1);
	assert_non_null(find_report(w, 0, 1));
	assert_int_equal(find_report(w, 0, 1)->cause, TEAM_CAUSE_REMOVED);
	assert_int_equal(find_report(w, 0, 1)->detector, TEAM_BY_SOCKET);
	assert_true(find_report(w, 0, 1)->well_ns > 0);
	assert_true(w->state.guests_up);
}

/* One member's frames, both ways: also those that go no further, and those that the team sends by itself. */
static void test_capture(void **state)
{
	struct proto_capture what = {1, CAPTURE_IN | CAPTURE_OUT, 1000};
	uint8_t mac[NET_MAC_LEN], packet[1500];
	struct world *w = *state;
	struct fake_frame f;
	int pair[2];

	start(w);
	what.index = 2;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(uplinks_capture(w->uplinks, &what, dup(pair[0]), -EBADF), -ENODEV);
	what.index = 1;
	assert_int_equal(uplinks_capture(w->uplinks, &what, pair[0], -EBADF), 0);
	fake_mac(1, mac);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0); /* by the other */
	(void)fake_frame(&f, everybody, far, 10, TYPE, NULL, 50);
	wire_send(w, 1, &f);
	assert_int_equal(w->counters[1].tx_drops[NET_DROP_DUPLICATE], 1);
	assert_int_equal(recv(pair[1], packet, sizeof(packet), MSG_DONTWAIT), 32 + 68);
	assert_memory_equal(packet + 32 + 12, "\x81\x00\x00\x0a", 4);
	assert_int_equal(packet[4], CAPTURE_IN);
	assert_int_equal(recv(pair[1], packet, sizeof(packet), MSG_DONTWAIT), -1);
	/* A failover: what it announces, and then what the guest sends. */
	pull(w, 0);
	assert_true(recv(pair[1], packet, sizeof(packet), MSG_DONTWAIT) > 32);
	assert_int_equal(packet[4], CAPTURE_OUT);
	close(pair[1]);
	turn(w);
}

static void test_announced(void **state)
{
	static const uint8_t inner[NET_MAC_LEN] = {2, 0, 0, 0, 7, 7};
	static const struct {
		unsigned vm, vid; /* vm 0: behind the second */
	} wanted[] = {{1, 0}, {2, 10}, {2, 20}, {0, 10}};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		struct world *w;
		uint8_t mac[NET_MAC_LEN];

		assert_int_equal(setup(state), 0);
		w = *state;
		start(w);
		assert_int_equal(vm_send(w, &w->nested, far, inner, 10), 0);
		pass_ms(w, 700);
		drain_wires(w);
		pull(w, 0);
		pass_ms(w, 700);
		fake_mac(wanted[i].vm, mac);
		assert_int_equal(count_rarp(w, 1, wanted[i].vm ? mac : inner, wanted[i].vid), 5);
		assert_int_equal(teardown(state), 0);
	}
}

/* Where a guest's IP address was seen, it is announced by ARP as well, in its VLAN. */
static void test_announced_ip(void **state)
{
	static const uint8_t arp[28] = {
		0, 1, 8, 0, 6, 4, 0, 1, [14] = 10, 9, 0, 7, [24] = 10, 9, 0, 1};
	struct world *w = *state;
	uint8_t mac[NET_MAC_LEN], bytes[2048], said[28];
	unsigned n = 0, n_other = 0;
	struct fake_frame f;
	size_t len;

	start(w);
	fake_mac(2, mac);
	memcpy(said, arp, sizeof(said));
	memcpy(said + 8, mac, NET_MAC_LEN);
	(void)vswitch_input(w->sw, &w->nested.port,
		fake_frame(&f, everybody, mac, 20, 0x0806, said, sizeof(said)),
		loop_now_ns(w->loop));
	pass_ms(w, 700);
	pull(w, 0);
	pass_ms(w, 700);
	while ((len = wire_receive(w, 1, bytes))) {
		bool is_tagged = frame_be16(bytes + 12) == 0x8100;

		if (frame_be16(bytes + (is_tagged ? 16 : 12)) != 0x0806)
			continue;
		/* Sender and target are its own. */
		n += is_tagged && frame_be16(bytes + 14) == 20 && !memcmp(bytes + 6, mac, 6) &&
			!memcmp(bytes + 18 + 14, said + 14, 4) &&
			!memcmp(bytes + 18 + 24, said + 14, 4);
		n_other++;
	}
	assert_int_equal(n, 5);
	assert_int_equal(n_other, 5);
}

static void test_gone_and_back(void **state)
{
	struct world *w = *state;
	uint8_t mac[NET_MAC_LEN], bytes[2048];
	int fd;

	fail_first(w);
	drain_wires(w);
	fake_mac(1, mac);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0);
	assert_int_equal(wire_receive(w, 1, bytes), 64);
	assert_int_equal(uplinks_add(w->uplinks, 1, &w->config.uplinks[1], 0), -EEXIST);
	assert_int_equal(uplinks_add(w->uplinks, 3, &w->config.uplinks[1], 0), -EINVAL);
	memset(w->config.uplinks[0].ifname, 'x', NET_IFNAME_MAX);
	assert_int_equal(uplinks_add(w->uplinks, 0, &w->config.uplinks[0], 0), -EINVAL);
	(void)strcpy(w->config.uplinks[0].ifname, "eth1");
	make_wire(&w->wires[0], &fd);
	assert_int_equal(uplinks_add(w->uplinks, 0, &w->config.uplinks[0], fd), 0);
	close(w->fds.uplinks[0]);
	w->fds.uplinks[0] = fd;
	/* It rests while the other works. */
	pass_ms(w, 100);
	assert_null(find_report(w, 1, 0));
	pass_ms(w, 5000);
	assert_non_null(find_report(w, 1, 0));
	drain_wires(w);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0);
	assert_int_equal(wire_receive(w, 0, bytes), 64);
}

/* One more while it runs, and one less; the number of that is free for another. */
static void test_add_and_remove(void **state)
{
	struct world *w = *state;
	struct net_uplink third = w->config.uplinks[1];
	uint8_t mac[NET_MAC_LEN], bytes[2048];
	int wire, fd;

	start(w);
	pass_ms(w, 700);
	third.mac[5] = 7;
	(void)strcpy(third.ifname, "eth3");
	make_wire(&wire, &fd);
	assert_int_equal(uplinks_add(w->uplinks, 3, &third, fd), -EINVAL);
	assert_int_equal(uplinks_add(w->uplinks, 2, &third, fd), 0);
	assert_int_equal(uplinks_add(w->uplinks, 2, &third, fd), -EEXIST);
	pass_ms(w, 6000);
	assert_int_equal(w->state.n_members, 3);
	assert_int_equal(state_of(w, 2), TEAM_MEMBER_UP);
	/* The first two go: it carries. */
	w->n_reports = 0;
	assert_int_equal(uplinks_remove(w->uplinks, 3), -EINVAL);
	assert_int_equal(uplinks_remove(w->uplinks, 0), 0);
	assert_int_equal(uplinks_remove(w->uplinks, 1), 0);
	assert_int_equal(uplinks_remove(w->uplinks, 1), 0);
	pass_ms(w, 100);
	assert_non_null(find_report(w, 0, 1));
	assert_int_equal(find_report(w, 0, 1)->cause, TEAM_CAUSE_REMOVED);
	assert_int_equal(find_report(w, 0, 1)->detector, TEAM_BY_ADMIN);
	assert_non_null(find_report(w, 1, 2));
	assert_int_equal(state_of(w, 0), TEAM_MEMBER_ABSENT);
	fake_mac(1, mac);
	drain_wires(w);
	while (read(wire, bytes, sizeof(bytes)) > 0)
		;
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0);
	assert_int_equal(read(wire, bytes, sizeof(bytes)), 12 + 64);
	assert_int_equal(wire_receive(w, 0, bytes) + wire_receive(w, 1, bytes), 0);
	/* What they bring in, or lose, is nobody's any more. */
	assert_int_equal(write(w->wires[0], bytes, 76), 76);
	turn(w);
	assert_int_equal(w->vm.n, 0);
	/* Another in the place of the first begins with nothing of its past. */
	assert_true(w->counters[0].rx_packets > 0);
	(void)strcpy(third.ifname, "eth4");
	assert_int_equal(uplinks_add(w->uplinks, 0, &third, w->fds.uplinks[0]), 0);
	assert_int_equal(w->counters[0].rx_packets, 0);
	pass_ms(w, 100);
	assert_int_equal(w->state.members[0].failures[TEAM_BY_ADMIN], 0);
	assert_int_equal(uplinks_remove(w->uplinks, 2), 0);
	pass_ms(w, 100);
	assert_true(w->state.members[0].flags & NET_TEAM_ACTIVE);
	close(wire);
	close(fd);
}

static void test_all_gone(void **state)
{
	struct world *w = *state;
	uint8_t mac[NET_MAC_LEN];
	uint64_t lost;

	fail_first(w);
	pull(w, 1);
	pass_ms(w, 100);
	assert_false(w->state.guests_up);
	assert_int_equal(w->state.n_active, 0);
	lost = w->counters[0].rx_drops[NET_DROP_NO_UPLINK] +
		w->counters[1].rx_drops[NET_DROP_NO_UPLINK];
	fake_mac(1, mac);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0);
	assert_int_equal(w->counters[0].rx_drops[NET_DROP_NO_UPLINK] +
			w->counters[1].rx_drops[NET_DROP_NO_UPLINK],
		lost + 1);
}

static void test_guests_stay_up(void **state)
{
	struct world *w = *state;

	w->config.team.guest_link_up = 1;
	fail_first(w);
	pull(w, 1);
	pass_ms(w, 100);
	assert_int_equal(w->state.n_active, 0);
	assert_true(w->state.guests_up);
}

static void send_netlink(struct world *w, const char *ifname, unsigned type)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
		struct rtattr attr;
		char name[NET_IFNAME_MAX];
	} m = {.header = {.nlmsg_type = (uint16_t)type},
		.attr = {.rta_type = IFLA_IFNAME,
			.rta_len = (uint16_t)(RTA_LENGTH(0) + strlen(ifname) + 1)}};

	(void)snprintf(m.name, sizeof(m.name), "%s", ifname);
	m.header.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(m.info)) + m.attr.rta_len);
	assert_true(write(w->netlink, &m, m.header.nlmsg_len) > 0);
	turn(w);
}

/* When the link of the first member was last looked at, to be read from the report of its end. */
static uint64_t last_look_ns(struct world *w)
{
	pull(w, 0);
	pass_ms(w, 100);
	return find_report(w, 0, 1)->well_ns;
}

/* Netlink's word about one of our NICs, and only that, has the links looked at. */
static void test_netlink(void **state)
{
	static const struct {
		const char *ifname;
		unsigned type;
		bool ours;
	} words[] = {
		{"eth", RTM_NEWLINK, false},
		{"eth11", RTM_NEWLINK, false},
		{"eth1", RTM_NEWADDR, false},
		{"eth1", RTM_NEWLINK, true},
		{"eth2", RTM_DELLINK, true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct world *w;
		uint64_t then_ns;

		assert_int_equal(setup(state), 0);
		w = *state;
		start(w);
		pass_ms(w, 200);
		then_ns = loop_now_ns(w->loop);
		send_netlink(w, words[i].ifname, words[i].type);
		pass_ms(w, 100);
		assert_int_equal(last_look_ns(w) > then_ns, words[i].ours);
		assert_int_equal(teardown(state), 0);
	}
}

/* Netlink that makes no sense does no harm; one too long is a hint. */
static void test_netlink_garbage(void **state)
{
	static uint8_t bytes[20000];
	struct world *w = *state;
	uint64_t then_ns;

	start(w);
	pass_ms(w, 200);
	memset(bytes, 0xff, sizeof(bytes));
	for (size_t len = 1; len < 128; len++) {
		assert_int_equal(write(w->netlink, bytes, len), len);
		turn(w);
	}
	/* Lengths that lie: of the message, of the attribute. */
	memcpy(bytes, &(struct nlmsghdr){.nlmsg_len = 17, .nlmsg_type = RTM_NEWLINK},
		sizeof(struct nlmsghdr));
	assert_int_equal(write(w->netlink, bytes, 100), 100);
	memcpy(bytes, &(struct nlmsghdr){.nlmsg_len = 100, .nlmsg_type = RTM_NEWLINK},
		sizeof(struct nlmsghdr));
	assert_int_equal(write(w->netlink, bytes, 100), 100);
	turn(w);
	pass_ms(w, 100);
	/* The last look was the one at the start, 300 ms ago; it is the next one that this makes. */
	then_ns = loop_now_ns(w->loop);
	assert_int_equal(write(w->netlink, bytes, sizeof(bytes)), sizeof(bytes));
	turn(w);
	assert_true(last_look_ns(w) >= then_ns);
}

/* What is no hint. */
static void test_netlink_nothing(void **state)
{
	static uint8_t bytes[128];
	struct world *w = *state;
	uint64_t then_ns;

	start(w);
	pass_ms(w, 200);
	then_ns = loop_now_ns(w->loop);
	memset(bytes, 0xff, sizeof(bytes));
	for (size_t len = 1; len < sizeof(bytes); len++) {
		assert_int_equal(write(w->netlink, bytes, len), len);
		turn(w);
	}
	assert_true(last_look_ns(w) < then_ns);
}

static void test_no_fd(void **state)
{
	struct network_owner owner = {on_event, on_team, *state};
	struct world *w = *state;
	int fd = w->fds.uplinks[1];

	w->fds.uplinks[1] = -EBADF;
	assert_int_equal(uplinks_new(&w->config, &w->fds, (const uint64_t[]){1, 2}, w->loop, w->sw,
				 w->counters, &owner, &w->uplinks),
		-EBADF);
	w->fds.uplinks[1] = fd;
	start(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_out_and_in),
		TEST(test_capture),
		TEST(test_moved_out),
		cmocka_unit_test(test_announced),
		TEST(test_announced_ip),
		TEST(test_gone_and_back),
		TEST(test_add_and_remove),
		TEST(test_all_gone),
		TEST(test_guests_stay_up),
		cmocka_unit_test(test_netlink),
		TEST(test_netlink_garbage),
		TEST(test_netlink_nothing),
		TEST(test_no_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
