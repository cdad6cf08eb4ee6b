/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Failover with real NICs: the shipped worker as a network's, on veth pairs, with bridges for the switches. What failed links
 * cost is printed; only generous bounds are asserted, since the machine may be busy.
 *
 *	test-failover WORKER
 */
#include "tests/net/uplinks-fixture.h"

#define N_TRIALS 4
#define FLAP_MS  150

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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_active_backup),
		TEST(test_active_backup_noisy),
		TEST(test_reverse_path),
		TEST(test_reverse_path_unannounced),
		TEST(test_all_down),
	};

	if (argc != 2)
		return 2;
	worker_path = argv[1];
	return can_run() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
