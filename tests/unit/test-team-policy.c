/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every policy must do, run over each of them; and what each does alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "devices/net/team-internal.h"
#include "tests/fakes/fake-team.h"

#define N_PORTS 16
#define N_FLOWS 8

static unsigned ports_of(struct fake_team *ft, unsigned member)
{
	struct net_team_state status;

	team_state(ft->team, &status);
	return status.members[member].ports;
}

static void add_ports(struct fake_team *ft, unsigned n)
{
	for (uint32_t i = 0; i < n; i++)
		fake_team_add_port(ft, i, (uint16_t)(i % 3 * 10));
}

/* The member of each port's flows. */
static void members_of(struct fake_team *ft, int ret[N_PORTS][N_FLOWS])
{
	for (uint32_t i = 0; i < N_PORTS; i++)
		for (uint16_t j = 0; j < N_FLOWS; j++)
			ret[i][j] = fake_team_send(ft, i, j);
}

/* LACP without a partner is active-backup, and must do all of this as well; with one it is an aggregate. */
static const struct policy {
	enum net_team_policy policy;
	bool by_switch; /* which delivers each frame over one member */
	bool single;
	bool partner;
} policies[] = {
	{.policy = NET_TEAM_DEFAULT},
	{.policy = NET_TEAM_PORT_ID},
	{.policy = NET_TEAM_EXPLICIT, .single = true},
	{.policy = NET_TEAM_SRC_MAC},
	{.policy = NET_TEAM_IP_HASH, .by_switch = true},
	{.policy = NET_TEAM_LOAD},
	{.policy = NET_TEAM_LACP, .single = true},
	{.policy = NET_TEAM_LACP, .by_switch = true, .partner = true},
};
static_assert(ARRAY_SIZE(policies) == NET_TEAM_POLICY_X_MAX + 1, "a row for each, and the partner");

static struct fake_team partner;

/* Start it with its links up. */
static void start(struct fake_team *ft, const struct policy *policy)
{
	fake_team_start(ft);
	if (policy->partner)
		fake_team_add_partner(ft, &partner);
}

static void up(struct fake_team *ft, const struct policy *policy, unsigned n)
{
	struct net_team_state status;

	fake_team_init(ft, policy->policy, n);
	start(ft, policy);
	for (unsigned i = 0; i < n; i++)
		fake_team_link(ft, i, true);
	fake_team_run_ms(ft, 10000);
	fake_team_clear(ft);
	team_state(ft->team, &status);
	assert_int_equal(status.n_active, policy->single ? 1 : n);
}

static void done(struct fake_team *ft)
{
	if (ft->partner)
		fake_team_done(ft->partner);
	fake_team_done(ft);
}

/* T14: what the network floods over all members is delivered once, whichever comes first. */
static void test_broadcast_once(void **state)
{
	static const unsigned sizes[] = {2, 3, 8};
	uint8_t stranger[NET_MAC_LEN];
	struct fake_team ft;

	(void)state;
	fake_mac(0xd000, stranger);
	for (unsigned p = 0; p < ARRAY_SIZE(policies); p++)
		for (unsigned k = 0; k < ARRAY_SIZE(sizes); k++) {
			if (policies[p].by_switch)
				continue;
			up(&ft, &policies[p], sizes[k]);
			for (unsigned round = 0; round < 100; round++) {
				unsigned n = 0;

				for (unsigned i = 0; i < sizes[k]; i++)
					n += fake_team_receive(&ft, (i + round) % sizes[k],
						     fake_broadcast, stranger, 0)
							.kind == TEAM_DELIVER;
				assert_int_equal(n, 1);
				ft.now_ns += 50 * NSEC_PER_MSEC;
			}
			fake_team_done(&ft);
		}
}

/* Only flows of the failed member move, and they come back; MACs and tags are as they were. */
static void test_only_affected_move(void **state)
{
	int before[N_PORTS][N_FLOWS], during[N_PORTS][N_FLOWS], after[N_PORTS][N_FLOWS];
	struct fake_team ft;

	(void)state;
	for (unsigned p = 0; p < ARRAY_SIZE(policies); p++) {
		up(&ft, &policies[p], 3);
		add_ports(&ft, N_PORTS);
		ft.check_locals = true;
		members_of(&ft, before);
		fake_team_link(&ft, 0, false);
		members_of(&ft, during);
		fake_team_link(&ft, 0, true);
		fake_team_run_ms(&ft, 400000);
		members_of(&ft, after);
		for (unsigned i = 0; i < N_PORTS; i++)
			for (unsigned j = 0; j < N_FLOWS; j++) {
				assert_true(before[i][j] >= 0 && during[i][j] > 0);
				if (before[i][j] != 0)
					assert_int_equal(during[i][j], before[i][j]);
				/* A member that returns takes what was its own. */
				assert_int_equal(after[i][j], before[i][j]);
			}
		done(&ft);
	}
}

/* Members that take a while to send; frames carry numbers, and whoever receives them looks at these. */
#define QUEUE 4096
struct wire {
	struct {
		uint32_t cookie, flow, seq;
		uint64_t at_ns;
	} queue[NET_MAX_UPLINKS][QUEUE];
	unsigned head[NET_MAX_UPLINKS], tail[NET_MAX_UPLINKS];
	uint64_t free_ns[NET_MAX_UPLINKS]; /* when the last frame given to it will be out */
	uint64_t slow_ns[NET_MAX_UPLINKS]; /* what a frame takes */
	uint32_t seen[N_PORTS][N_FLOWS], sent[N_PORTS][N_FLOWS];
	unsigned n_received, n_held;
};

static void wire_send(struct fake_team *ft, unsigned member, const struct frame *f, int32_t tci)
{
	struct wire *w = ft->arg;
	unsigned at = w->tail[member] % QUEUE;

	(void)tci;
	if (f->ethertype != 0x0800)
		return;
	assert_true(w->tail[member] - w->head[member] < QUEUE);
	w->free_ns[member] = MAX(w->free_ns[member], ft->now_ns) + w->slow_ns[member];
	w->queue[member][at].cookie = f->head[11];
	w->queue[member][at].flow = f->head[35];
	memcpy(&w->queue[member][at].seq, f->head + 60, 4);
	w->queue[member][at].at_ns = w->free_ns[member];
	w->tail[member]++;
	ft->pending[member] += 100;
}

static void wire_receive(struct wire *w, unsigned member)
{
	unsigned at = w->head[member]++ % QUEUE;
	uint32_t *seen = &w->seen[w->queue[member][at].cookie][w->queue[member][at].flow];

	assert_true(w->queue[member][at].seq > *seen);
	*seen = w->queue[member][at].seq;
	w->n_received++;
}

/* All that is out by now, over all members in the order of time. */
static void wire_run(struct fake_team *ft)
{
	struct wire *w = ft->arg;

	for (;;) {
		unsigned best = NET_MAX_UPLINKS;

		for (unsigned i = 0; i < NET_MAX_UPLINKS; i++) {
			uint64_t at = w->queue[i][w->head[i] % QUEUE].at_ns;

			if (w->head[i] == w->tail[i] || at > ft->now_ns)
				continue;
			if (best == NET_MAX_UPLINKS ||
				at < w->queue[best][w->head[best] % QUEUE].at_ns)
				best = i;
		}
		if (best == NET_MAX_UPLINKS)
			break;
		wire_receive(w, best);
		ft->pending[best] -= 100;
	}
}

static void wire_offer(struct fake_team *ft, uint32_t cookie, uint16_t flow)
{
	struct wire *w = ft->arg;
	uint8_t src[NET_MAC_LEN], dst[NET_MAC_LEN];
	uint32_t seq = w->sent[cookie][flow] + 1;
	struct frame f;
	int r;

	fake_mac(cookie, src);
	fake_mac(0xe000, dst);
	fake_frame(&f, dst, src, (uint16_t)(cookie % 3 * 10), flow);
	memcpy(f.head + 60, &seq, 4);
	r = team_transmit(ft->team, &f, -1, cookie, ft->now_ns);
	assert_true(r == 0 || r == -EAGAIN);
	if (r == 0)
		w->sent[cookie][flow] = seq;
	else
		w->n_held++;
}

/* T11: while members come back and ports are moved for their load, each flow stays in order, also over a slow member. */
static void test_no_reorder(void **state)
{
	static struct wire w;
	struct fake_team ft;

	(void)state;
	for (unsigned p = 0; p < ARRAY_SIZE(policies); p++) {
		uint32_t random = 12345;
		unsigned n_reports;

		memset(&w, 0, sizeof(w));
		fake_team_init(&ft, policies[p].policy, 3);
		ft.config.up_delay_ms = 50;
		ft.config.no_damping = 1;
		ft.config.rebalance_ms = 100;
		start(&ft, &policies[p]);
		add_ports(&ft, N_PORTS);
		for (unsigned i = 0; i < 3; i++)
			fake_team_link(&ft, i, true);
		ft.arg = &w;
		ft.hook = wire_send;
		for (unsigned i = 0; i < 3; i++)
			w.slow_ns[i] = (i * i * 10 + 2) * NSEC_PER_USEC;
		fake_team_run_ms(&ft, 5000);
		n_reports = ft.n_reports;
		for (unsigned step = 0; step < 200000; step++) {
			random = random * 1664525 + 1013904223;
			wire_offer(&ft, (random >> 8) % N_PORTS * (random >> 16) % N_PORTS,
				(uint16_t)((random >> 24) % N_FLOWS));
			ft.now_ns += 50 * NSEC_PER_USEC;
			wire_run(&ft);
			if (step % 5000 == 0) {
				/* With nothing under way, so that what a dead member had is not missed. */
				ft.now_ns += 100 * NSEC_PER_MSEC;
				wire_run(&ft);
				/* And what came back takes part again. */
				if (policies[p].partner)
					fake_team_run_ms(&ft, 4000);
				fake_team_link(&ft, step / 10000 % 3, step / 5000 % 2);
			}
			fake_team_follow(&ft);
		}
		assert_true(w.n_received > 150000);
		assert_true(ft.n_reports > n_reports);
		done(&ft);
	}
}

/* A member that never gets idle is given nothing new in the end, but not for long. */
static void test_busy_drain(void **state)
{
	struct fake_team ft;
	uint64_t begin;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	add_ports(&ft, 2);
	fake_team_run_ms(&ft, 700000);
	fake_team_link(&ft, 0, false);
	ft.pending[1] = 1;
	fake_team_link(&ft, 0, true);
	fake_team_run_ms(&ft, 5000);
	if (fake_team_send(&ft, 1, 1) == 0)
		fail();
	fake_team_run_ms(&ft, 5000);
	begin = ft.now_ns;
	assert_true(ft.report.cause == TEAM_CAUSE_FAILBACK);
	assert_int_equal(ft.report.switched_ns - ft.report.detected_ns, TEAM_DRAIN_NS);
	assert_int_equal(fake_team_send(&ft, 1, 1), 0);

	/* Step by step. */
	fake_team_run_ms(&ft, 700000);
	fake_team_link(&ft, 0, false);
	fake_team_link(&ft, 0, true);
	fake_team_run_ms(&ft, 5000);
	assert_true(ft.now_ns > begin);
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	fake_team_run_ms(&ft, 5);
	assert_int_equal(fake_team_send(&ft, 1, 1), -EAGAIN);
	fake_team_run_ms(&ft, 2);
	ft.pending[1] = 0;
	assert_int_equal(fake_team_send(&ft, 1, 1), 0);
	fake_team_done(&ft);
}

/* T16: whatever happens, what comes in never goes out, and what goes out is a local port's or the team's own. */
static void test_random(void **state)
{
	struct fake_team ft;

	(void)state;
	for (unsigned p = 0; p < ARRAY_SIZE(policies); p++) {
		uint64_t random = 88172645463325252 + p;
		uint8_t stranger[NET_MAC_LEN], local[NET_MAC_LEN];

		fake_team_init(&ft, policies[p].policy, 4);
		ft.config.beacon_ms = p % 2 ? 1000 : 0;
		ft.config.up_delay_ms = 20;
		ft.config.failback_ms = p % 3 == 1 ? 100 : 0;
		ft.config.down_delay_ms = p % 3 == 2 ? 5 : 0;
		ft.uplinks[3].role = NET_ROLE_STANDBY;
		ft.check_locals = true;
		start(&ft, &policies[p]);
		add_ports(&ft, N_PORTS);
		for (unsigned step = 0; step < 100000; step++) {
			unsigned member, what, before;

			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			member = random % 4;
			what = random >> 8 & 63;
			fake_mac((uint32_t)(0xd000 + (random >> 16) % 64), stranger);
			fake_mac((uint32_t)((random >> 24) % N_PORTS), local);
			before = ft.n_sent_by[0] + ft.n_sent_by[1] + ft.n_sent_by[2] +
				ft.n_sent_by[3];
			ft.n_sent = 0;
			if (what < 2) {
				fake_team_link(&ft, member, random >> 32 & 1);
			} else if (what == 2) {
				team_test(ft.team, member, random >> 32 & 63, random >> 40 & 1,
					ft.now_ns);
			} else if (what == 3) {
				team_member_gone(ft.team, member, TEAM_BY_POLL, ft.now_ns);
			} else if (what < 8) {
				team_member_added(ft.team, member, NULL, ft.now_ns);
			} else if (what < 10) {
				ft.pending[member] = random >> 32 & 1 ? 100 : 0;
			} else if (what < 20) {
				(void)fake_team_send(&ft, (uint32_t)(random >> 32) % N_PORTS, 1);
			} else if (what < 30) {
				fake_team_run_ms(&ft, random >> 32 & 15);
			} else {
				bool to_all = random >> 40 & 1;
				const uint16_t vid = (uint16_t)((random >> 24) % N_PORTS % 3 * 10);
				struct team_verdict v = fake_team_receive(&ft, member,
					to_all ? fake_broadcast : local,
					random >> 41 & 1 ? local : stranger, vid);

				if (random >> 41 & 1)
					assert_int_not_equal(v.kind, TEAM_DELIVER);
				assert_int_equal(before,
					ft.n_sent_by[0] + ft.n_sent_by[1] + ft.n_sent_by[2] +
						ft.n_sent_by[3]);
			}
			assert_true(ft.guest_up == team_is_up(ft.team));
		}
		done(&ft);
	}
}

/* T07 */
static void test_port_id(void **state)
{
	struct fake_team ft;
	int members[6];

	(void)state;
	fake_team_up(&ft, NET_TEAM_PORT_ID, 3);
	/* Cookies that want the same slot. */
	for (uint32_t i = 0; i < 6; i++) {
		fake_team_add_port(&ft, i * TEAM_SLOTS, 0);
		members[i] = fake_team_send(&ft, i * TEAM_SLOTS, 1);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ports_of(&ft, i), 2);
	/* The least used one is where two have left. */
	for (uint32_t i = 0; i < 6; i++)
		if (members[i] == 1)
			team_port_removed(ft.team, i * TEAM_SLOTS);
	assert_int_equal(team_port_added(ft.team, 77), 0);
	assert_int_equal(team_port_added(ft.team, 77), -EEXIST);
	assert_int_equal(fake_team_send(&ft, 77, 1), 1);
	for (uint32_t i = 0; i < 6; i++)
		if (members[i] != 1)
			assert_int_equal(fake_team_send(&ft, i * TEAM_SLOTS, 1), members[i]);
	team_port_removed(ft.team, 78);
	for (uint32_t i = 0; i < TEAM_SLOTS - 5; i++)
		assert_int_equal(team_port_added(ft.team, 1000 + i), 0);
	assert_int_equal(team_port_added(ft.team, 5000), -ENOSPC);
	fake_team_done(&ft);
}

/* T08: a fourth member takes a quarter, and nothing moves between the others. The VLAN counts. */
static void test_src_mac(void **state)
{
	struct fake_team ft;
	int before[200], after[200];
	unsigned moved = 0, differ = 0;

	(void)state;
	fake_team_up(&ft, NET_TEAM_SRC_MAC, 3);
	for (uint32_t i = 0; i < 200; i++) {
		fake_team_add_port(&ft, i, (uint16_t)i);
		before[i] = fake_team_send(&ft, i, (uint16_t)i);
		assert_int_equal(fake_team_send(&ft, i, (uint16_t)(i + 1)), before[i]);
	}
	for (unsigned i = 0; i < 3; i++)
		assert_true(ports_of(&ft, i) >= 85 && ports_of(&ft, i) <= 86);
	assert_int_equal(team_member_added(ft.team, 3, &ft.uplinks[3], ft.now_ns), 0);
	fake_team_link(&ft, 3, true);
	fake_team_run_ms(&ft, 10000);
	assert_int_equal(ports_of(&ft, 3), 64);
	assert_int_equal(ft.report.ports_moved, 64);
	for (uint32_t i = 0; i < 200; i++) {
		after[i] = fake_team_send(&ft, i, 1);
		assert_true(after[i] == before[i] || after[i] == 3);
		moved += after[i] != before[i];
	}
	assert_true(moved > 20 && moved < 90);
	for (uint32_t i = 0; i < 200; i++) {
		ft.locals[i].vid = 4000;
		differ += fake_team_send(&ft, i, 1) != after[i];
	}
	assert_true(differ > 50);
	fake_team_done(&ft);
}

/* T09 */
static void test_ip_hash(void **state)
{
	struct fake_team ft;
	uint8_t a[NET_MAC_LEN], b[NET_MAC_LEN];
	unsigned used = 0;

	(void)state;
	fake_team_up(&ft, NET_TEAM_IP_HASH, 4);
	fake_mac(1, a);
	fake_mac(2, b);
	for (uint16_t flow = 0; flow < 64; flow++) {
		struct frame there, back;
		unsigned before[4], n_to = 0;

		used |= 1U << fake_team_send(&ft, 1, flow);
		/* Both directions alike: the second frame goes where the first one went. */
		fake_frame(&there, a, b, 0, flow);
		fake_frame(&back, b, a, 0, flow);
		memcpy(before, ft.n_sent_by, sizeof(before));
		there.head[34] = back.head[36] = 0x55;
		assert_int_equal(team_transmit(ft.team, &there, -1, 1, ft.now_ns), 0);
		assert_int_equal(team_transmit(ft.team, &back, -1, 2, ft.now_ns), 0);
		/* All pieces of one packet, whatever stands where ports would be. */
		for (unsigned i = 0; i < 4; i++)
			n_to += ft.n_sent_by[i] - before[i] == 2;
		assert_int_equal(n_to, 1);
		n_to = 0;
		memcpy(before, ft.n_sent_by, sizeof(before));
		for (unsigned i = 0; i < 16; i++) {
			fake_frame(&there, a, b, 0, (uint16_t)(flow + i * 911));
			there.flags |= FRAME_FRAGMENT;
			if (i)
				there.l4 = 0;
			assert_int_equal(team_transmit(ft.team, &there, -1, 1, ft.now_ns), 0);
		}
		for (unsigned i = 0; i < 4; i++)
			n_to += ft.n_sent_by[i] - before[i] == 16;
		assert_int_equal(n_to, 1);
	}
	assert_int_equal(used, 0xf);
	fake_team_done(&ft);
}

/* Frames worth 'mbit' of one port in the next interval. */
static void load(struct fake_team *ft, const unsigned mbit[], unsigned n)
{
	struct frame f;
	uint8_t src[NET_MAC_LEN];

	for (uint32_t i = 0; i < n; i++) {
		fake_mac(i, src);
		fake_frame(&f, fake_broadcast, src, 0, 1);
		f.len = 12500; /* a tenth of a Mbit */
		for (unsigned k = 0; k < 100 * mbit[i]; k++)
			assert_int_equal(team_transmit(ft->team, &f, -1, i, ft->now_ns), 0);
	}
	fake_team_run_ms(ft, 10000);
}

/* T10 */
static void test_load(void **state)
{
	/* Ports 0 and 2 begin on member 0, 1 and 3 on member 1. */
	static const unsigned even[] = {20, 20, 20, 19}, heavy[] = {60, 2, 40, 3};
	struct fake_team ft;
	unsigned moves;

	(void)state;
	fake_team_up(&ft, NET_TEAM_LOAD, 2);
	for (uint32_t i = 0; i < 4; i++)
		fake_team_add_port(&ft, i, 0);
	for (unsigned i = 0; i < 10; i++)
		load(&ft, even, 4);
	assert_int_equal(ft.n_reports, 0);
	load(&ft, heavy, 4);
	load(&ft, heavy, 4);
	assert_int_equal(ft.n_reports, 1);
	assert_int_equal(ft.report.cause, TEAM_CAUSE_REBALANCE);
	assert_int_equal(ft.report.ports_moved, 1);
	assert_int_equal(ports_of(&ft, 0) + ports_of(&ft, 1), 4);
	for (unsigned i = 0; i < 20; i++)
		load(&ft, heavy, 4);
	moves = ft.n_reports;
	assert_true(moves <= 3);
	/* Settled, and silent when nobody sends. */
	for (unsigned i = 0; i < 20; i++)
		load(&ft, heavy, 4);
	assert_int_equal(ft.n_reports, moves);
	fake_team_run_ms(&ft, 1000000);
	assert_true(team_deadline(ft.team) == UINT64_MAX);
	fake_team_done(&ft);
}

/* A port that was moved stays where it is for TEAM_DWELL_NS, whatever its load. */
static void test_load_dwell(void **state)
{
	static const unsigned first[] = {80, 0, 70, 0}, then[] = {90, 60, 0, 50};
	struct fake_team ft;
	int member;

	(void)state;
	fake_team_up(&ft, NET_TEAM_LOAD, 2);
	for (uint32_t i = 0; i < 4; i++)
		fake_team_add_port(&ft, i, 0);
	load(&ft, first, 4);
	fake_team_run_ms(&ft, 1);
	assert_int_equal(ft.n_reports, 1);
	member = fake_team_send(&ft, 0, 1);
	assert_int_equal(member, 1);
	/* It is the one that would gain most; another goes instead. */
	load(&ft, then, 4);
	fake_team_run_ms(&ft, 1);
	assert_int_equal(ft.n_reports, 2);
	assert_int_equal(fake_team_send(&ft, 0, 1), member);
	fake_team_done(&ft);
}

/* T21: shares by speed, or by weights. */
static void test_weights(void **state)
{
	struct fake_team ft;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		fake_team_init(&ft, i ? NET_TEAM_IP_HASH : NET_TEAM_SRC_MAC, 2);
		fake_team_start(&ft);
		team_set_link(ft.team, 0, true, 10000, true, TEAM_BY_POLL, ft.now_ns);
		team_set_link(ft.team, 1, true, 1000, true, TEAM_BY_POLL, ft.now_ns);
		fake_team_run_ms(&ft, 10000);
		assert_true(ports_of(&ft, 0) >= 232 && ports_of(&ft, 0) <= 234);
		/* Negotiated anew. */
		team_set_link(ft.team, 0, true, 1000, true, TEAM_BY_POLL, ft.now_ns);
		fake_team_run_ms(&ft, 100);
		assert_int_equal(ports_of(&ft, 0), 128);
		fake_team_done(&ft);

		fake_team_init(&ft, i ? NET_TEAM_IP_HASH : NET_TEAM_SRC_MAC, 2);
		ft.uplinks[0].weight = 1;
		ft.uplinks[1].weight = 3;
		fake_team_start(&ft);
		team_set_link(ft.team, 0, true, 10000, true, TEAM_BY_POLL, ft.now_ns);
		team_set_link(ft.team, 1, true, 0, true, TEAM_BY_POLL, ft.now_ns);
		fake_team_run_ms(&ft, 10000);
		assert_int_equal(ports_of(&ft, 0), 64);
		fake_team_done(&ft);
	}
}

/* SipHash-2-4 as the paper has it: its appendix A. */
static void test_hash(void **state)
{
	static const uint64_t seed[2] = {
		UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
	uint8_t data[15];

	(void)state;
	for (uint8_t i = 0; i < sizeof(data); i++)
		data[i] = i;
	assert_true(team_hash(seed, data, sizeof(data)) == UINT64_C(0xa129ca6149be45e5));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hash),
		cmocka_unit_test(test_broadcast_once),
		cmocka_unit_test(test_only_affected_move),
		cmocka_unit_test(test_no_reorder),
		cmocka_unit_test(test_busy_drain),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_port_id),
		cmocka_unit_test(test_src_mac),
		cmocka_unit_test(test_ip_hash),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_load_dwell),
		cmocka_unit_test(test_weights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
