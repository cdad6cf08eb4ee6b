/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Uplinks with real NICs: the shipped worker as a network's, on veth pairs, with bridges for the switches. What failed links cost is
 * printed; only generous bounds are asserted, since the machine may be busy.
 *
 *	test-uplinks WORKER
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/host-net.h"
#include "tests/net/networker.h"

#define SLACK_MS 500 /* of a busy machine */
#define POLL_MS  10
#define MAX_GAP  ((POLL_MS + SLACK_MS) * NSEC_PER_MSEC)
#define N_TRIALS 4
#define FLAP_MS  150

/* Two access switches, a core, and a peer (e1) behind it; f0 and f1 are nobody's. */
#define TWO_SWITCHES MEMBERS ACCESS_A ACCESS_B CORE NET_LINK("f0", "f1")
#define MEMBERS      NET_LINK("p0", "q0") NET_LINK("p1", "q1")
#define ACCESS_A     NET_SWITCH("swa") NET_LINK("a0", "a1") NET_INTO("q0", "swa") NET_INTO("a0", "swa")
#define ACCESS_B     NET_SWITCH("swb") NET_LINK("b0", "b1") NET_INTO("q1", "swb") NET_INTO("b0", "swb")
#define CORE         PEER NET_INTO("a1", "core") NET_INTO("b1", "core")
#define PEER         NET_SWITCH("core") NET_LINK("e0", "e1") NET_INTO("e0", "core")

/* Both members on the peer's switch. */
#define ONE_SWITCH MEMBERS PEER NET_INTO("q0", "core") NET_INTO("q1", "core")

static const uint8_t peer_mac[NET_MAC_LEN] = {2, 0, 0, 0, 0, 0x99};

static int setup(void **state)
{
	*state = world_new();
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

struct wanted_frames {
	const struct record *record;
	uint16_t ethertype;
	const uint8_t *src;
	unsigned n;
};

static bool has_frames(void *arg)
{
	const struct wanted_frames *wanted = arg;

	return count_seen(wanted->record, wanted->ethertype, wanted->src) >= wanted->n;
}

/* Waits for 'n' frames of the test's from 'src'. */
static void expect_frames(
	struct world *w, const struct record *record, const uint8_t *src, unsigned n)
{
	struct wanted_frames wanted = {record, NET_TEST_TYPE, src, n};

	assert_true(world_until(w, 2000, has_frames, &wanted));
}

static void expect_up(struct world *w)
{
	assert_true(world_guests(w, 3000, true));
}

static void start_team(struct world *w, enum net_team_policy policy)
{
	world_uplink(w, "p0");
	world_uplink(w, "p1");
	w->config.team.policy = (uint8_t)policy;
	w->config.team.poll_ms = POLL_MS;
	w->config.team.up_delay_ms = UINT32_MAX;
	w->config.team.no_damping = 1;
	world_start(w);
	expect_up(w);
	assert_true(world_link(w, 1000, 1, true));
}

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

/* A stream while something happens. */

struct stream {
	struct world *world;
	struct vm *vm;
	struct probe *peer;
	bool inwards;
	bool noisy;         /* another NIC flaps all the time */
	unsigned ms, at_ms; /* its length, and when ... */
	const char *down;   /* ... this link goes */
	uint64_t down_ns;
};

/* Of the switches' side. */
static void switch_link(struct world *w, const char *ifname, bool up)
{
	bool split = w->other_pid;

	if (split)
		world_enter(w, true);
	set_link(ifname, up);
	if (split)
		world_enter(w, false);
}

static void run_stream(struct stream *s)
{
	struct world *w = s->world;
	uint64_t start_ns = loop_now_ns(w->loop);

	forget_all(w);
	for (unsigned i = 0; i < s->ms; i++) {
		uint64_t now_ns = loop_now_ns(w->loop), next_ns = start_ns + i * NSEC_PER_MSEC;

		if (next_ns > now_ns)
			world_run_ms(w, (unsigned)((next_ns - now_ns) / NSEC_PER_MSEC) + 1);
		if (s->noisy && i % FLAP_MS == 0)
			switch_link(w, "f1", i / FLAP_MS % 2);
		if (s->down && i == s->at_ms) {
			s->down_ns = loop_now_ns(w->loop);
			switch_link(w, s->down, false);
		}
		if (s->inwards)
			probe_send(s->peer, s->vm->config.mac, peer_mac, i, 60, -1);
		else
			(void)vm_send(s->vm, peer_mac, i, 60, -1);
		(void)loop_run_once(w->loop, 0);
	}
	world_run_ms(w, 50);
}

/* From when the link went to the first frame behind it that came through; '*ret_lost': numbers that never did. UINT64_MAX:
 * none came. */
static uint64_t gap_of(const struct stream *s, unsigned *ret_lost)
{
	const struct record *r = s->inwards ? &s->vm->record : &s->peer->record;
	const uint8_t *src = s->inwards ? peer_mac : s->vm->config.mac;
	uint64_t gap_ns = UINT64_MAX;
	unsigned n = 0;

	for (unsigned i = 0; i < r->n; i++) {
		const struct seen *f = &r->seen[i];

		if (f->ethertype != NET_TEST_TYPE)
			continue;
		/* Whoever sends it, it is the guest's address. */
		assert_memory_equal(f->src, src, NET_MAC_LEN);
		n++;
		if (f->number >= s->at_ms && f->at_ns >= s->down_ns && gap_ns == UINT64_MAX)
			gap_ns = f->at_ns - s->down_ns;
	}
	*ret_lost = s->ms - n;
	return gap_ns;
}

/* RARP of 'src' in VLAN 'tci', by schedule: at once, and after 50, 150, 300 and 500 ms. */
static void expect_rarp(const struct record *r, const uint8_t *src, int32_t tci, uint64_t since_ns)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n; i++) {
		const struct seen *f = &r->seen[i];

		if (f->ethertype != RARP_TYPE || memcmp(f->src, src, NET_MAC_LEN) != 0)
			continue;
		assert_int_equal(f->tci, tci);
		assert_memory_equal(f->dst, net_broadcast, NET_MAC_LEN);
		if (n++ == 0)
			assert_true(f->at_ns - since_ns <= MAX_GAP);
	}
	assert_int_equal(n, 5);
}

static void fail_over(struct world *w, struct vm *vm, struct vm *tagged, struct probe *peer,
	struct probe *wires[2], unsigned from, bool noisy)
{
	struct stream s = {.world = w,
		.vm = vm,
		.peer = peer,
		.noisy = noisy,
		.ms = 900,
		.at_ms = 200,
		.down = from ? "q1" : "q0"};
	unsigned before = w->n_reports, lost;
	const struct net_team_report *report;
	uint64_t gap_ns;

	run_stream(&s);
	gap_ns = gap_of(&s, &lost);
	report = world_report(w, before, 1000, from, !from);
	assert_non_null(report);
	print_message(
		"%s: gap %.1f ms, %u frames lost; %s (%s), gap at most %.1f ms by the report\n",
		noisy ? "noisy" : "quiet", (double)gap_ns / 1e6, lost,
		team_cause_to_string(report->cause), team_detector_to_string(report->detector),
		(double)(report->switched_ns - report->well_ns) / 1e6);
	assert_true(gap_ns <= MAX_GAP);
	assert_int_equal(report->cause, TEAM_CAUSE_LINK);
	assert_true(report->well_ns && report->well_ns <= report->detected_ns);
	assert_int_equal(report->ports_moved, 2);
	assert_int_equal(report->macs_announced, 2);
	assert_int_equal(report->n_macs, 2);
	expect_rarp(&wires[!from]->record, vm->config.mac, -1, s.down_ns);
	expect_rarp(&wires[!from]->record, tagged->config.mac, 10, s.down_ns);
	switch_link(w, s.down, true);
	world_run_ms(w, 700);
}

/* As TWO_SWITCHES, with the switches in the other namespace. */
static void split_topology(struct world *w)
{
	char commands[512];
	int pid;

	world_split(w);
	pid = (int)w->other_pid;
	(void)snprintf(commands, sizeof(commands),
		"link add name p0 index 100 type veth peer name q0 index 100 netns %d\n"
		"link add name p1 index 101 type veth peer name q1 index 101 netns %d\n"
		"link add name f0 index 102 type veth peer name f1 index 102 netns %d\n"
		"link set p0 up\nlink set p1 up\nlink set f0 up\n",
		pid, pid, pid);
	world_topology(w, commands);
	world_enter(w, true);
	world_topology(
		w, "link set q0 up\nlink set q1 up\nlink set f1 up\n" ACCESS_A ACCESS_B CORE);
	world_enter(w, false);
}

static void active_backup(struct world *w, bool noisy)
{
	struct net_port_config access = {
		.vlan = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}}};
	struct probe *peer, *wires[2];
	struct vm *vm, *tagged;

	split_topology(w);
	w->config.team.failback = NET_FAILBACK_NO;
	start_team(w, NET_TEAM_EXPLICIT);
	vm = world_add_vm(w, NULL);
	tagged = world_add_vm(w, &access);
	world_enter(w, true);
	peer = world_probe(w, "e1");
	wires[0] = world_probe(w, "q0");
	wires[1] = world_probe(w, "q1");
	world_enter(w, false);
	for (unsigned i = 0; i < N_TRIALS; i++)
		fail_over(w, vm, tagged, peer, wires, i % 2, noisy);
}

static void test_active_backup(void **state)
{
	active_backup(*state, false);
}

/* The kernel tells of changes once a second then: the polls must find them. */
static void test_active_backup_noisy(void **state)
{
	active_backup(*state, true);
}

/* Towards a guest that says nothing itself. */
static uint64_t reverse_path(struct world *w, bool notify)
{
	struct stream s = {.world = w, .inwards = true, .ms = 1500, .at_ms = 200, .down = "q0"};
	uint64_t gap_ns;
	unsigned lost;

	world_topology(w, TWO_SWITCHES);
	w->config.team.no_notify = !notify;
	start_team(w, NET_TEAM_EXPLICIT);
	s.vm = world_add_vm(w, NULL);
	s.peer = world_probe(w, "e1");
	/* The switches know where each is. */
	assert_int_equal(vm_send(s.vm, net_broadcast, 1, 60, -1), 0);
	probe_send(s.peer, net_broadcast, peer_mac, 1, 60, -1);
	world_run_ms(w, 50);
	run_stream(&s);
	gap_ns = gap_of(&s, &lost);
	print_message("reverse path, %s: %u of %u frames lost\n",
		notify ? "announced" : "not announced", lost, s.ms);
	assert_true(lost < s.ms - s.at_ms + 100);
	return gap_ns;
}

static void test_reverse_path(void **state)
{
	uint64_t gap_ns = reverse_path(*state, true);

	print_message(
		"reverse path of an idle guest restored after %.1f ms\n", (double)gap_ns / 1e6);
	assert_true(gap_ns <= MAX_GAP);
}

static void test_reverse_path_unannounced(void **state)
{
	assert_true(reverse_path(*state, false) == UINT64_MAX);
}

static void test_all_down(void **state)
{
	struct world *w = *state;
	struct probe *peer;
	unsigned before;
	struct vm *vm;

	world_topology(w, TWO_SWITCHES);
	/* The default delay: it does not count while nothing works. */
	start_team(w, NET_TEAM_EXPLICIT);
	vm = world_add_vm(w, NULL);
	peer = world_probe(w, "e1");
	before = w->n_reports;
	set_link("q0", false);
	assert_non_null(world_report(w, before, 1000, 0, 1));
	set_link("q1", false);
	assert_true(world_guests(w, 1000, false));
	forget_all(w);
	assert_int_equal(vm_send(vm, peer_mac, 1, 60, -1), 0);
	world_run_ms(w, 50);
	assert_int_equal(peer->record.n, 0);
	assert_int_equal(w->stats->uplinks[0].rx_drops[NET_DROP_NO_UPLINK] +
			w->stats->uplinks[1].rx_drops[NET_DROP_NO_UPLINK],
		1);
	before = w->n_reports;
	set_link("q1", true);
	assert_true(world_guests(w, 1000, true));
	assert_non_null(world_report(w, before, 1000, NET_TEAM_NO_MEMBER, 1));
	/* The switch's own port may need a moment. */
	for (unsigned i = 0; i < 200 && !count_seen(&peer->record, NET_TEST_TYPE, NULL); i++) {
		(void)vm_send(vm, peer_mac, i, 60, -1);
		world_run_ms(w, 10);
	}
	assert_true(count_seen(&peer->record, NET_TEST_TYPE, vm->config.mac) > 0);
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
	back.index = 2;
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

static bool can_run(void)
{
	if (geteuid() != 0) {
		printf("skipped: network namespaces with NICs need root\n");
		return false;
	}
	if (unshare(CLONE_NEWNET) < 0 || !try_ip(NET_LINK("p0", "q0") NET_SWITCH("swa"))) {
		printf("skipped: no network namespace with veth and bridges to be had here: %s\n",
			strerror(errno));
		return false;
	}
	return true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_frames),
		TEST(test_tso),
		TEST(test_reflected),
		TEST(test_idle),
		TEST(test_active_backup),
		TEST(test_active_backup_noisy),
		TEST(test_reverse_path),
		TEST(test_reverse_path_unannounced),
		TEST(test_all_down),
		TEST(test_exactly_once),
		TEST(test_member_gone),
		TEST(test_isolated),
	};

	if (argc != 2)
		return 2;
	worker_path = argv[1];
	return can_run() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
