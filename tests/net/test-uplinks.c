/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Uplinks with real NICs: the shipped worker as a network's, on veth pairs, with bridges for the switches. What passes, how often,
 * and what does not.
 *
 *	test-uplinks WORKER
 */
#include "tests/net/uplinks-fixture.h"

/* Frames out and in. */

static const struct seen *last_seen(const struct record *r)
{
	assert_true(r->n > 0);
	return &r->seen[r->n - 1];
}

static void expect_out(struct world *w, struct vm *vm, const struct probe *wire, size_t len,
	int32_t tci, int32_t wire_tci)
{
	forget_all(w);
	assert_int_equal(vm_send(vm, peer_mac, 7, len, tci), 0);
	expect_frames(w, &wire->record, vm->config.mac, 1);
	assert_int_equal(wire->record.n, 1);
	assert_int_equal(last_seen(&wire->record)->tci, wire_tci);
	assert_int_equal(last_seen(&wire->record)->len, len);
	assert_int_equal(last_seen(&wire->record)->number, 7);
}

static void expect_in(
	struct world *w, struct vm *vm, struct probe *wire, size_t len, int32_t tci, int32_t vm_tci)
{
	forget_all(w);
	probe_send(wire, vm->config.mac, peer_mac, 9, len, tci);
	expect_frames(w, &vm->record, peer_mac, 1);
	assert_int_equal(vm->record.n, 1);
	assert_int_equal(last_seen(&vm->record)->tci, vm_tci);
	assert_int_equal(last_seen(&vm->record)->len, len);
}

static void test_frames(void **state)
{
	struct net_port_config access = {
		.vlan = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}}};
	struct net_port_config trunk = {
		.vlan = {.mode = NET_VLAN_TRUNK, .n_tags = 2, .tags = {10, 20}}};
	struct world *w = *state;
	const struct net_port_counters *c;
	struct vm *plain, *a, *t;
	struct probe *wire;

	world_topology(w, NET_LINK("p0", "q0") "link set p0 mtu 9000\nlink set q0 mtu 9000\n");
	w->config.mtu = 9000;
	world_uplink(w, "p0");
	world_start(w);
	expect_up(w);
	wire = world_probe(w, "q0");
	plain = world_add_vm(w, NULL);
	a = world_add_vm(w, &access);
	t = world_add_vm(w, &trunk);
	expect_out(w, plain, wire, 60, -1, -1);
	expect_out(w, a, wire, 60, -1, 10);
	expect_out(w, t, wire, 100, 20, 20);
	expect_out(w, plain, wire, 9014, -1, -1);
	expect_out(w, t, wire, 9014, 0x6000 | 10, 0x6000 | 10);
	expect_in(w, plain, wire, 60, -1, -1);
	expect_in(w, a, wire, 60, 10, -1);
	expect_in(w, t, wire, 100, 20, 20);
	expect_in(w, t, wire, 9014, 0x6000 | 10, 0x6000 | 10);
	/* VLANs that are not theirs. */
	forget_all(w);
	probe_send(wire, t->config.mac, peer_mac, 1, 60, 30);
	probe_send(wire, a->config.mac, peer_mac, 1, 60, 20);
	expect_in(w, plain, wire, 9014, -1, -1);
	assert_int_equal(a->record.n + t->record.n, 0);
	c = &w->stats->uplinks[0];
	assert_int_equal(c->rx_packets, 5);
	assert_int_equal(c->rx_gso, 0);
	assert_int_equal(c->tx_packets + c->tx_dropped, 7);
}

/* 64 KiB of TCP cross in one piece, both ways. */
static void test_tso(void **state)
{
	struct world *w = *state;
	struct probe *wire;
	struct vm *vm;

	world_topology(w, NET_LINK("p0", "q0"));
	world_uplink(w, "p0");
	world_start(w);
	expect_up(w);
	wire = world_probe(w, "q0");
	vm = world_add_vm(w, NULL);
	assert_int_equal(vm_send_tso(vm, peer_mac, 65000), 0);
	world_run_ms(w, 200);
	assert_int_equal(wire->record.n, 1);
	assert_int_equal(wire->record.seen[0].len, 65000);
	assert_int_equal(wire->record.seen[0].gso_type, NET_HDR_GSO_TCPV4);
	probe_send_tso(wire, vm->config.mac, peer_mac, 65000);
	world_run_ms(w, 200);
	assert_int_equal(vm->record.n, 1);
	assert_int_equal(vm->record.seen[0].len, 65000);
	assert_int_equal(vm->record.seen[0].gso_type, NET_HDR_GSO_TCPV4);
	assert_int_equal(w->stats->uplinks[0].rx_gso, 1);
	assert_int_equal(w->stats->uplinks[0].tx_gso, 1);
}

static void test_reflected(void **state)
{
	struct world *w = *state;
	struct vm *vm, *other;
	struct probe *wire;

	world_topology(w, NET_LINK("p0", "q0"));
	world_uplink(w, "p0");
	world_start(w);
	expect_up(w);
	wire = world_probe(w, "q0");
	vm = world_add_vm(w, NULL);
	other = world_add_vm(w, NULL);
	probe_send(wire, net_broadcast, vm->config.mac, 1, 60, -1);
	probe_send(wire, other->config.mac, vm->config.mac, 2, 60, -1);
	probe_send(wire, vm->config.mac, peer_mac, 3, 60, -1);
	expect_frames(w, &vm->record, peer_mac, 1);
	assert_int_equal(vm->record.n, 1);
	assert_int_equal(other->record.n, 0);
	assert_int_equal(w->stats->uplinks[0].tx_drops[NET_DROP_REFLECTED], 2);
}

/* An idle network looks at its links, and does nothing else. */
static void test_idle(void **state)
{
	struct world *w = *state;
	uint64_t turns;

	world_topology(w, ONE_SWITCH);
	world_uplink(w, "p0");
	world_uplink(w, "p1");
	world_start(w);
	expect_up(w);
	(void)world_add_vm(w, NULL);
	world_run_ms(w, 1000);
	turns = w->stats->heartbeat;
	world_run_ms(w, 1000);
	turns = w->stats->heartbeat - turns;
	print_message(
		"an idle network with two uplinks wakes up %u times a second\n", (unsigned)turns);
	assert_in_range(turns, 5, 12);
}
/* Two members on one switch, which floods to both, and floods to each what came by the other. */
static void test_exactly_once(void **state)
{
	struct world *w = *state;
	struct probe *peer;
	struct vm *a, *b;

	world_topology(w, ONE_SWITCH);
	start_team(w, NET_TEAM_DEFAULT);
	a = world_add_vm(w, NULL);
	b = world_add_vm(w, NULL);
	peer = world_probe(w, "e1");
	world_run_ms(w, 700); /* announcements */
	forget_all(w);
	for (unsigned i = 0; i < 200; i++) {
		probe_send(peer, net_broadcast, peer_mac, i, 60, -1);
		(void)vm_send(a, net_broadcast, i, 60, -1);
		(void)vm_send(b, net_broadcast, i, 60, -1);
		/* The switch does not know this one, and floods it. */
		probe_send(peer, a->config.mac, (const uint8_t[]){2, 0, 0, 0, 1, (uint8_t)i}, i, 60,
			-1);
		world_run_ms(w, 1);
	}
	world_run_ms(w, 100);
	assert_int_equal(count_seen(&a->record, NET_TEST_TYPE, peer_mac), 200);
	assert_int_equal(count_seen(&b->record, NET_TEST_TYPE, peer_mac), 200);
	assert_int_equal(count_seen(&a->record, NET_TEST_TYPE, a->config.mac), 0);
	assert_int_equal(count_seen(&a->record, NET_TEST_TYPE, b->config.mac), 200);
	assert_int_equal(count_seen(&b->record, NET_TEST_TYPE, a->config.mac), 200);
	assert_int_equal(a->record.n, 600);
	assert_int_equal(count_seen(&peer->record, NET_TEST_TYPE, a->config.mac), 200);
	assert_int_equal(count_seen(&peer->record, NET_TEST_TYPE, b->config.mac), 200);
	assert_true(w->stats->uplinks[0].tx_drops[NET_DROP_REFLECTED] +
			w->stats->uplinks[1].tx_drops[NET_DROP_REFLECTED] >=
		400);
	assert_true(w->stats->uplinks[0].tx_drops[NET_DROP_DUPLICATE] +
			w->stats->uplinks[1].tx_drops[NET_DROP_DUPLICATE] >=
		200);
}

/* A NIC is pulled out and another of its name comes. */
static void test_member_gone(void **state)
{
	struct proto_uplink back = {.index = 0};
	struct world *w = *state;
	struct error e = {0};
	struct probe *peer, *wire;
	unsigned before;
	struct vm *vm;
	int fd;

	world_topology(w, TWO_SWITCHES);
	start_team(w, NET_TEAM_EXPLICIT);
	vm = world_add_vm(w, NULL);
	peer = world_probe(w, "e1");
	back.uplink = w->config.uplinks[0];
	before = w->n_reports;
	/* Gone and back within a poll: the old socket must not be taken for the new NIC. */
	world_topology(w, "link del p0\n" NET_LINK("p0", "q0") NET_INTO("q0", "swa"));
	assert_non_null(world_report(w, before, 1000, 0, 1));
	assert_true(world_link(w, 1000, 0, false));
	assert_int_equal(w->state.members[0].state, TEAM_MEMBER_ABSENT);
	forget_all(w);
	(void)vm_send(vm, peer_mac, 1, 60, -1);
	expect_frames(w, &peer->record, vm->config.mac, 1);
	assert_int_equal(host_net_open_packet("p0", HOST_NET_ALL, &fd, back.uplink.mac, &e), 0);
	before = w->n_reports;
	assert_int_equal(world_request(w, PROTO_UPLINK_ADD, &back, sizeof(back), &fd, 1), 0);
	assert_int_equal(world_request(w, PROTO_UPLINK_ADD, &back, sizeof(back), &fd, 1), -EEXIST);
	back.index = 3;
	assert_int_equal(world_request(w, PROTO_UPLINK_ADD, &back, sizeof(back), &fd, 1), -EINVAL);
	close(fd);
	assert_non_null(world_report(w, before, 1000, 1, 0));
	wire = world_probe(w, "q0");
	for (unsigned i = 0; i < 200 && !count_seen(&wire->record, NET_TEST_TYPE, NULL); i++) {
		(void)vm_send(vm, peer_mac, i, 60, -1);
		world_run_ms(w, 10);
	}
	assert_true(count_seen(&wire->record, NET_TEST_TYPE, vm->config.mac) > 0);
}

/* A network without uplinks: nothing of what its machines send each other is on any wire. */
static void test_isolated(void **state)
{
	static const char *const nics[] = {
		"p0", "q0", "p1", "q1", "a0", "a1", "b0", "b1", "e0", "e1", "swa", "core"};
	struct world *w = *state;
	unsigned sent = 0, got = 0;
	struct vm *vms[3];

	world_topology(w, TWO_SWITCHES);
	world_start(w);
	for (unsigned i = 0; i < ARRAY_SIZE(nics); i++)
		(void)world_probe(w, nics[i]);
	for (unsigned i = 0; i < 3; i++)
		vms[i] = world_add_vm(w, NULL);
	while (sent < 100000) {
		struct vm *from = vms[sent % 3], *to = vms[(sent + 1 + sent / 3 % 2) % 3];

		if (vm_send(from, sent % 100 ? to->config.mac : net_broadcast, sent, 200, -1) == 0)
			sent++;
		else
			world_run_ms(w, 1);
		if (sent % 16 == 0)
			while (loop_run_once(w->loop, 0) > 0)
				;
	}
	/* To somebody who is nowhere. */
	(void)vm_send(vms[0], peer_mac, 1, 60, -1);
	world_run_ms(w, 300);
	for (unsigned i = 0; i < 3; i++)
		got += vms[i]->record.total;
	print_message("isolated: %u frames sent, %u received\n", sent, got);
	assert_true(got > 90000);
	for (unsigned i = 0; i < w->n_probes; i++)
		assert_int_equal(w->probes[i]->record.total, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_frames),
		TEST(test_tso),
		TEST(test_reflected),
		TEST(test_idle),
		TEST(test_exactly_once),
		TEST(test_member_gone),
		TEST(test_isolated),
	};

	if (argc != 2)
		return 2;
	worker_path = argv[1];
	return can_run() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
