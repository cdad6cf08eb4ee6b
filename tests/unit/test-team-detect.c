/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Paths that are broken behind a link that is up: beacons, targets; and LACP, which has its own way to know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/fakes/fake-team.h"

/* A network that floods each frame of a member to the others, but for those that are cut off. */
struct net {
	unsigned cut_tx, cut_rx; /* bits */
	struct fake_sent log[64];
	unsigned n;
};

static void net_send(struct fake_team *ft, unsigned member, const struct frame *f, int32_t tci)
{
	struct net *net = ft->arg;

	if (f->ethertype != TEAM_BEACON_TYPE || net->n == ARRAY_SIZE(net->log))
		return;
	assert_int_equal(tci, -1);
	net->log[net->n] = (struct fake_sent){
		.member = member, .tci = tci, .ethertype = f->ethertype, .len = f->len};
	memcpy(net->log[net->n].head, f->head, sizeof(net->log[0].head));
	net->n++;
}

static void net_run_ms(struct fake_team *ft, unsigned ms)
{
	struct net *net = ft->arg;

	for (unsigned k = 0; k < ms; k += 10) {
		fake_team_run_ms(ft, 10);
		for (unsigned i = 0; i < net->n; i++)
			for (unsigned m = 0; m < ft->n_uplinks; m++) {
				struct net_team_state status;
				struct frame f;

				team_state(ft->team, &status);
				fake_frame_again(&f, &net->log[i]);
				if (m == net->log[i].member ||
					!(status.members[m].flags & NET_TEAM_LINK) ||
					net->cut_tx & 1U << net->log[i].member ||
					net->cut_rx & 1U << m)
					continue;
				assert_int_equal(team_input(ft->team, m, &f, ft->now_ns).kind,
					TEAM_CONSUMED);
			}
		net->n = 0;
	}
}

static void beacons_up(struct fake_team *ft, struct net *net, unsigned n)
{
	memset(net, 0, sizeof(*net));
	fake_team_init(ft, NET_TEAM_EXPLICIT, n);
	ft->config.beacon_ms = 1000;
	ft->arg = net;
	ft->hook = net_send;
	fake_team_start(ft);
	for (unsigned i = 0; i < n; i++)
		fake_team_link(ft, i, true);
	net_run_ms(ft, 20000);
	fake_team_clear(ft);
}

/* T17: of three, the one that is cut off; in either direction; and it is used again later. */
static void test_beacons(void **state)
{
	struct fake_team ft;
	struct net net;

	(void)state;
	for (unsigned k = 1; k <= 3; k++) {
		uint64_t begin;

		beacons_up(&ft, &net, 3);
		net_run_ms(&ft, 60000);
		assert_int_equal(ft.n_reports, 0);
		net.cut_tx = k & 1;
		net.cut_rx = k >> 1;
		begin = ft.now_ns;
		net_run_ms(&ft, 4500);
		assert_int_equal(ft.n_reports, 1);
		assert_int_equal(ft.report.cause, TEAM_CAUSE_BEACON);
		assert_int_equal(ft.report.from, 0);
		assert_true(ft.report.switched_ns - begin <= 4100 * NSEC_PER_MSEC);
		assert_int_equal(fake_team_send(&ft, 1, 1), 1);
		net_run_ms(&ft, 60000);
		assert_int_equal(ft.n_reports, 1);
		net.cut_tx = net.cut_rx = 0;
		net_run_ms(&ft, 12000);
		assert_int_equal(fake_team_send(&ft, 1, 1), 0);
		fake_team_done(&ft);
	}
}

/* Two that do not hear each other: nobody knows which, so nothing changes, and it is said once. */
static void test_beacons_two(void **state)
{
	struct fake_team ft;
	struct net net;

	(void)state;
	beacons_up(&ft, &net, 2);
	net.cut_tx = 1;
	net_run_ms(&ft, 60000);
	net.cut_rx = 1;
	net_run_ms(&ft, 60000);
	assert_int_equal(ft.n_reports, 1);
	assert_int_equal(ft.report.cause, TEAM_CAUSE_AMBIGUOUS);
	assert_int_equal(fake_team_send(&ft, 1, 1), 0);
	/* Alone there is nobody to listen to. */
	fake_team_link(&ft, 1, false);
	assert_true(team_deadline(ft.team) == UINT64_MAX);
	fake_team_done(&ft);
}

/* Each of two is broken in one direction: the third hears one and is heard by the other, and that proves nothing. */
static void test_beacons_crossed(void **state)
{
	struct fake_team ft;
	struct net net;

	(void)state;
	beacons_up(&ft, &net, 3);
	net.cut_tx = 1;
	net.cut_rx = 2;
	net_run_ms(&ft, 60000);
	assert_int_equal(ft.n_reports, 0);
	fake_team_done(&ft);
}

/* Whoever cannot make the tag is not heard; nor is an old beacon. Another's ethertype is nobody's business. */
static void test_beacons_forged(void **state)
{
	struct fake_team ft;
	struct net net;
	struct fake_sent old;
	struct frame f;
	struct net_team_state status;

	(void)state;
	beacons_up(&ft, &net, 3);
	fake_team_run_ms(&ft, 1000);
	assert_true(net.n >= 3);
	for (unsigned at = 14 + 4; at < 14 + 32; at++) {
		enum team_verdict_kind kind;

		fake_frame_again(&f, &net.log[0]);
		f.head[at] ^= 1;
		kind = team_input(ft.team, 1, &f, ft.now_ns).kind;
		if (at >= 14 + 8 && at < 14 + 16)
			assert_int_not_equal(kind, TEAM_CONSUMED); /* another team's */
		else
			assert_int_equal(kind, TEAM_DROP);
	}
	fake_frame_again(&f, &net.log[0]);
	f.head_len = f.len = 40;
	assert_int_not_equal(team_input(ft.team, 1, &f, ft.now_ns).kind, TEAM_CONSUMED);
	/* Genuine, but of long ago. */
	fake_frame_again(&f, &net.log[0]);
	assert_int_equal(team_input(ft.team, 1, &f, ft.now_ns).kind, TEAM_CONSUMED);
	assert_int_equal(
		team_input(ft.team, 1, &f, ft.now_ns + 3001 * NSEC_PER_MSEC).kind, TEAM_DROP);
	/* Genuine and young, but a later one was heard. */
	net.n = 0;
	fake_team_run_ms(&ft, 1000);
	assert_int_equal(net.log[0].member, 0);
	old = net.log[0];
	net.n = 0;
	fake_team_run_ms(&ft, 1000);
	assert_int_equal(net.log[0].member, 0);
	fake_frame_again(&f, &net.log[0]);
	assert_int_equal(team_input(ft.team, 2, &f, ft.now_ns).kind, TEAM_CONSUMED);
	fake_frame_again(&f, &old);
	assert_int_equal(team_input(ft.team, 2, &f, ft.now_ns).kind, TEAM_DROP);
	team_state(ft.team, &status);
	assert_int_equal(status.members[1].forged, 28 - 8 + 1);
	fake_team_done(&ft);
}

/* Answers to ARP and ND, from target 'which' to the member's own MAC. */
static void answer(struct fake_team *ft, unsigned member, unsigned which)
{
	const struct net_ip *ip = &ft->config.targets[which].ip;
	uint8_t router[NET_MAC_LEN] = {2, 0, 0, 0, 0, 1};
	struct fake_sent sent = {.tci = ft->config.targets[which].vid, .len = 86};
	uint8_t *head = sent.head;
	struct frame f;

	if (!sent.tci)
		sent.tci = -1;
	memcpy(head, ft->uplinks[member].mac, NET_MAC_LEN);
	memcpy(head + NET_MAC_LEN, router, NET_MAC_LEN);
	if (ip->family == 4) {
		memcpy(head + 12, "\x08\x06\0\1\x08\0\x06\x04\0\x02", 10);
		memcpy(head + 22, router, NET_MAC_LEN);
		memcpy(head + 28, ip->bytes, 4);
		memcpy(head + 32, ft->uplinks[member].mac, NET_MAC_LEN);
	} else {
		memcpy(head + 12, "\x86\xdd\x60\0\0\0\0\x20\x3a\xff", 10);
		memcpy(head + 22, ip->bytes, 16);
		head[54] = 136;
		memcpy(head + 62, ip->bytes, 16);
	}
	fake_frame_again(&f, &sent);
	assert_int_equal(team_input(ft->team, member, &f, ft->now_ns).kind, TEAM_CONSUMED);
}

/* 'mask' has a bit for each target that answers, four to a member. */
static void probes_run(struct fake_team *ft, unsigned seconds, unsigned mask)
{
	for (unsigned i = 0; i < seconds * 10; i++) {
		for (unsigned m = 0; m < 2; m++)
			for (unsigned k = 0; k < 2; k++)
				if (mask & 1U << (4 * m + k))
					answer(ft, m, k);
		fake_team_run_ms(ft, 100);
	}
}

static void probes_up(struct fake_team *ft, bool all)
{
	fake_team_init(ft, NET_TEAM_EXPLICIT, 2);
	ft->config.probe_all = all;
	ft->config.n_targets = 2;
	ft->config.targets[0].ip = (struct net_ip){.family = 4, .bytes = {10, 0, 0, 1}};
	ft->config.targets[0].vid = 12;
	ft->config.targets[1].ip =
		(struct net_ip){.family = 6, .bytes = {0x20, 1, 0xd, 0xb8, [15] = 0x42}};
	fake_team_start(ft);
	fake_team_link(ft, 0, true);
	fake_team_link(ft, 1, true);
	probes_run(ft, 10, 0x33);
	fake_team_clear(ft);
}

/* T18 */
static void test_targets(void **state)
{
	struct fake_team ft;

	(void)state;
	for (unsigned all = 0; all < 2; all++) {
		probes_up(&ft, all);
		probes_run(&ft, 30, 0x33);
		assert_int_equal(ft.n_reports, 0);
		/* One of two is missed. */
		probes_run(&ft, 2, 0x32);
		assert_int_equal(ft.n_reports, 0);
		probes_run(&ft, 2, 0x32);
		assert_int_equal(ft.n_reports, all);
		assert_int_equal(fake_team_send(&ft, 1, 1), all);
		/* Both. */
		probes_run(&ft, 5, 0x30);
		assert_int_equal(ft.n_reports, 1);
		assert_int_equal(ft.report.cause, TEAM_CAUSE_PROBE);
		assert_int_equal(fake_team_send(&ft, 1, 1), 1);
		/* Now by nobody: the other one is not to blame, and the first gets no second chance by that either. */
		probes_run(&ft, 2, 0x00);
		assert_int_equal(ft.n_reports, 1);
		probes_run(&ft, 5, 0x00);
		assert_int_equal(ft.report.cause, TEAM_CAUSE_AMBIGUOUS);
		probes_run(&ft, 20, 0x00);
		assert_int_equal(ft.n_reports, 2);
		assert_int_equal(fake_team_send(&ft, 1, 1), 1);
		probes_run(&ft, 20, 0x33);
		assert_int_equal(fake_team_send(&ft, 1, 1), 0);
		fake_team_done(&ft);
	}
}

/* The questions: by each member's own MAC, in the target's VLAN. Answers to others are others' frames. */
static void test_target_frames(void **state)
{
	struct fake_team ft;
	unsigned n_arp = 0, n_nd = 0;
	struct frame f;

	(void)state;
	probes_up(&ft, false);
	probes_run(&ft, 2, 0x33);
	for (unsigned i = 0; i < ft.n_sent; i++) {
		const struct fake_sent *s = &ft.sent[i];

		assert_memory_equal(s->head + 6, ft.uplinks[s->member].mac, NET_MAC_LEN);
		if (s->ethertype == 0x0806) {
			n_arp++;
			assert_int_equal(s->tci, 12);
			assert_memory_equal(s->head + 28, "\0\0\0\0", 4);
			assert_memory_equal(s->head + 38, "\x0a\0\0\1", 4);
		} else {
			n_nd++;
			assert_int_equal(s->tci, -1);
			assert_memory_equal(s->head, "\x33\x33\xff\0\0\x42", 6);
			assert_int_equal(s->head[54], 135);
			assert_memory_equal(
				s->head + 22, "\xfe\x80\0\0\0\0\0\0\x50\x54\0\xff\xfe", 13);
		}
	}
	assert_int_equal(n_arp, 4);
	assert_int_equal(n_nd, 4);
	fake_frame(&f, fake_broadcast, ft.uplinks[1].mac, 12, 1);
	f.ethertype = 0x0806;
	f.flags = FRAME_ARP | FRAME_MULTICAST | FRAME_BROADCAST;
	f.head[21] = 2;
	memcpy(f.head + 28, "\x0a\0\0\1", 4);
	assert_int_equal(team_input(ft.team, 0, &f, ft.now_ns).kind, TEAM_DELIVER);
	fake_team_done(&ft);
}

/* The other end of an aggregate: a second team, and what it sends is what the first one hears. */
struct pair {
	struct fake_team *ends[2];
	unsigned dead; /* bits of links that carry nothing */
	struct {
		unsigned to, member;
		struct frame f;
	} queue[256];
	unsigned n;
};

static void pair_send(struct fake_team *ft, unsigned member, const struct frame *f, int32_t tci)
{
	struct pair *pair = ft->arg;

	(void)tci;
	if (f->ethertype != 0x8809 || pair->dead & 1U << member)
		return;
	assert_true(pair->n < ARRAY_SIZE(pair->queue));
	pair->queue[pair->n].to = ft == pair->ends[0];
	pair->queue[pair->n].member = member;
	pair->queue[pair->n].f = *f;
	pair->n++;
}

static void pair_run_ms(struct pair *pair, unsigned ms)
{
	for (unsigned k = 0; k < ms; k += 10) {
		for (unsigned i = 0; i < 2; i++)
			if (pair->ends[i])
				fake_team_run_ms(pair->ends[i], 10);
		for (unsigned i = 0; i < pair->n; i++) {
			struct fake_team *to = pair->ends[pair->queue[i].to];

			if (to && to->team)
				(void)team_input(to->team, pair->queue[i].member, &pair->queue[i].f,
					to->now_ns);
		}
		pair->n = 0;
	}
}

static void pair_start(struct pair *pair, struct fake_team *ft, unsigned which)
{
	fake_team_init(ft, NET_TEAM_LACP, 2);
	ft->config.failback = NET_FAILBACK_NO; /* says nothing here */
	for (unsigned i = 0; i < 2; i++)
		ft->uplinks[i].mac[4] = (uint8_t)(0xf0 + which);
	ft->arg = pair;
	ft->hook = pair_send;
	pair->ends[which] = ft;
	fake_team_start(ft);
	fake_team_link(ft, 0, true);
	fake_team_link(ft, 1, true);
}

static void test_lacp(void **state)
{
	static struct fake_team a, b;
	static struct pair pair;
	struct net_team_state status;
	unsigned used = 0;
	uint8_t stranger[NET_MAC_LEN] = {2, 0, 0, 0, 0, 9};

	(void)state;
	memset(&pair, 0, sizeof(pair));
	pair_start(&pair, &a, 0);
	fake_team_add_port(&a, 1, 0);
	/* Nobody there: as active-backup. */
	pair_run_ms(&pair, 5000);
	team_state(a.team, &status);
	assert_int_equal(status.policy, NET_TEAM_EXPLICIT);
	assert_int_equal(status.n_active, 1);
	/* A partner: both are used, and nothing is announced. */
	pair_start(&pair, &b, 1);
	b.now_ns = a.now_ns;
	pair_run_ms(&pair, 10000);
	fake_team_clear(&a);
	team_state(a.team, &status);
	assert_int_equal(status.policy, NET_TEAM_LACP);
	assert_int_equal(status.n_active, 2);
	assert_true(status.members[1].flags & NET_TEAM_HAS_LACP);
	assert_true(status.members[1].lacp.flags & NET_TEAM_LACP_DISTRIBUTING);
	for (uint16_t flow = 0; flow < 64; flow++)
		used |= 1U << fake_team_send(&a, 1, flow);
	assert_int_equal(used, 3);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
			fake_team_receive(&a, i, fake_broadcast, stranger, 0).kind, TEAM_DELIVER);
	/* Out of use for a test: the partner is told and goes by the other, until it is over. */
	assert_int_equal(team_test(a.team, 1, 2000, false, a.now_ns), 0);
	pair_run_ms(&pair, 300);
	for (uint16_t flow = 0; flow < 64; flow++)
		assert_int_equal(fake_team_send(&b, 1, flow), 0);
	pair_run_ms(&pair, 10000);
	team_state(b.team, &status);
	assert_int_equal(status.n_active, 2);
	team_state(a.team, &status);
	assert_int_equal(status.n_active, 2);
	assert_int_equal(status.test.phase, NET_TEST_DONE);
	fake_team_clear(&a);
	/* Silence: noticed after 3 s, and what comes in over it is dropped. */
	pair.dead = 2;
	pair_run_ms(&pair, 3500);
	assert_int_equal(a.report.from, 1);
	assert_int_equal(a.report.to, 0);
	assert_int_equal(a.report.cause, TEAM_CAUSE_LACP);
	assert_int_equal(a.report.macs_announced, 0);
	assert_int_equal(
		fake_team_receive(&a, 1, fake_broadcast, stranger, 0).reason, NET_DROP_LINK_DOWN);
	for (uint16_t flow = 0; flow < 64; flow++)
		assert_int_equal(fake_team_send(&a, 1, flow), 0);
	for (unsigned i = 0; i < a.n_sent; i++)
		assert_true(a.sent[i].ethertype != 0x8035);
	/* And a link that goes down, at once. */
	pair.dead = 0;
	pair_run_ms(&pair, 10000);
	fake_team_link(&a, 0, false);
	assert_int_equal(fake_team_send(&a, 1, 1), 1);
	team_member_gone(a.team, 1, TEAM_BY_POLL, a.now_ns);
	assert_false(a.guest_up);
	assert_int_equal(team_member_added(a.team, 1, NULL, a.now_ns), 0);
	fake_team_link(&a, 1, true);
	pair_run_ms(&pair, 10000);
	assert_true(a.guest_up);
	fake_team_link(&a, 0, true);
	pair_run_ms(&pair, 20000);
	team_state(a.team, &status);
	assert_int_equal(status.n_active, 2);
	/* The partner is silent on both: one of them goes on without it. */
	pair.dead = 3;
	pair_run_ms(&pair, 3500);
	assert_false(a.guest_up);
	pair_run_ms(&pair, 3500);
	assert_true(a.guest_up);
	team_state(a.team, &status);
	assert_int_equal(status.policy, NET_TEAM_EXPLICIT);
	assert_int_equal(status.n_active, 1);
	assert_int_equal(a.report.from, NET_TEAM_NO_MEMBER);
	assert_int_equal(a.report.cause, TEAM_CAUSE_LACP);
	assert_int_equal(a.report.detector, TEAM_BY_LACP);
	fake_team_done(&a);
	fake_team_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beacons),
		cmocka_unit_test(test_beacons_two),
		cmocka_unit_test(test_beacons_crossed),
		cmocka_unit_test(test_beacons_forged),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_target_frames),
		cmocka_unit_test(test_lacp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
