/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LACP: the machines of one member, fallback, and the interface. */
#include "tests/unit/lacp-fixture.h"

/* L02: once a second, or every 30 s, as the partner wants it, whatever we want ourselves. */
static void test_L02_period(void **state)
{
	struct fixture *x = *state;
	struct lacp_config config = default_config();

	config.fast = false;
	start(x, &config, 1);
	bring_up(x, 1);
	advance(x, SEC);
	x->n_sent = 0;
	advance(x, 20 * SEC);
	assert_int_equal(x->n_sent, 20);
	for (unsigned i = 1; i < x->n_sent; i++)
		assert_int_equal(x->sent[i].at_ns - x->sent[i - 1].at_ns, SEC);
	assert_int_equal(status(x, 0).periodic, LACP_PERIODIC_FAST);

	config.fast = true;
	start(x, &config, 1);
	x->peers[0].state = 0x3d; /* long timeout */
	bring_up(x, 1);
	x->n_sent = 0;
	talk(x, 301);
	assert_in_range(x->n_sent, 10, 11);
	for (unsigned i = 1; i < x->n_sent; i++)
		assert_int_equal(x->sent[i].at_ns - x->sent[i - 1].at_ns, 30 * SEC);
	assert_int_equal(status(x, 0).periodic, LACP_PERIODIC_SLOW);
	/* The partner changes its mind: at once, and from then on. */
	x->n_sent = 0;
	x->peers[0].state |= 0x02;
	say(x, 0);
	assert_int_equal(x->n_sent, 1);
	talk(x, 5);
	assert_int_equal(x->n_sent, 6);
}

/* A late wake-up does not shift the beat; one missed altogether does. */
static void test_beat(void **state)
{
	struct fixture *x = *state;
	uint64_t due_ns;

	start_default(x, 1);
	bring_up(x, 1);
	advance(x, SEC);
	due_ns = x->next_ns;
	x->now_ns = due_ns + 90 * MSEC;
	x->n_sent = 0;
	poll_now(x);
	assert_int_equal(x->n_sent, 1);
	assert_int_equal(x->l.members[0].periodic_ns, due_ns + SEC);
	say(x, 0);
	x->now_ns = due_ns + 2500 * MSEC;
	poll_now(x);
	assert_int_equal(x->n_sent, 2);
	assert_int_equal(x->l.members[0].periodic_ns, due_ns + 3500 * MSEC);
}

static void check_silence(struct fixture *x, uint64_t timeout_ns)
{
	struct lacp_status s;

	bring_up(x, 1);
	advance(x, timeout_ns - 1);
	assert_int_equal(status(x, 0).rx, LACP_RX_CURRENT);
	assert_true(lacp_member_is_distributing(&x->l, 0));
	advance(x, 1);
	s = status(x, 0);
	assert_int_equal(s.rx, LACP_RX_EXPIRED);
	assert_int_equal(s.mux, LACP_MUX_ATTACHED);
	assert_false(s.collecting || s.distributing);
	assert_int_equal(s.actor.state & 0xf8, 0x88); /* in sync, expired */
	assert_int_equal(s.partner.state & 0x0a, 0x02);
	assert_int_equal(last_frame(x, 0)[32], s.actor.state);
	assert_int_equal(s.counters.n_expired, 1);
	advance(x, 3 * SEC - 1);
	assert_int_equal(status(x, 0).rx, LACP_RX_EXPIRED);
	advance(x, 1);
	s = status(x, 0);
	assert_int_equal(s.rx, LACP_RX_DEFAULTED);
	assert_int_equal(s.mux, LACP_MUX_DETACHED);
	assert_int_equal(s.selected, LACP_UNSELECTED);
	assert_int_equal(s.actor.state & 0xf8, 0x40);
	assert_int_equal(s.partner.system[1] | s.partner.key | s.partner.port | s.partner.state, 0);
	assert_int_equal(s.counters.n_defaulted, 1);
	assert_int_equal(s.counters.n_partner_changes, 0);
}

static void test_L03_silence(void **state)
{
	struct fixture *x = *state;
	struct lacp_config config = default_config();

	start_default(x, 1);
	check_silence(x, 3 * SEC);
	config.fast = false;
	start(x, &config, 1);
	check_silence(x, 90 * SEC);
	/* Back again: the aggregate wait, then as before. */
	talk(x, 1);
	assert_int_equal(status(x, 0).mux, LACP_MUX_WAITING);
	talk(x, 1);
	assert_true(lacp_member_is_distributing(&x->l, 0));
}

/* L04: whatever the partner does, three frames in any second. */
static void test_L04_storm(void **state)
{
	struct fixture *x = *state;
	uint8_t frame[LACP_FRAME_LEN];

	start_default(x, 1);
	bring_up(x, 1);
	x->n_sent = 0;
	for (unsigned ms = 0; ms < 10000; ms++) {
		make_pdu(x, 0, frame);
		frame[52] ^= (uint8_t)(ms & 1 ? 0x08 : 0x01); /* it has us wrong, again and again */
		input(x, 0, frame, sizeof(frame));
		advance(x, MSEC);
	}
	assert_in_range(x->n_sent, 28, 33);
	for (unsigned i = 3; i < x->n_sent; i++)
		assert_true(x->sent[i].at_ns - x->sent[i - 3].at_ns >= SEC);
	assert_true(status(x, 0).counters.tx_limited > 5);
	assert_true(lacp_member_is_distributing(&x->l, 0));
	/* What had to wait is sent as soon as it may be, and then there is peace. */
	x->n_sent = 0;
	advance(x, SEC);
	assert_in_range(x->n_sent, 1, 3);
	say(x, 0);
	advance(x, SEC);
	x->n_sent = 0;
	advance(x, SEC);
	assert_int_equal(x->n_sent, 1);
}

/* L06: what is behind the link is another one. */
static void test_L06_partner_changes(void **state)
{
	struct fixture *x = *state;

	for (unsigned what = 0; what < 6; what++) {
		start_default(x, 1);
		bring_up(x, 1);
		advance(x, 500 * MSEC);
		x->n_sent = 0;
		x->n_changed[0] = 0;
		x->peers[0].key ^= what == 0;
		x->peers[0].system[5] ^= what == 1;
		x->peers[0].system_priority ^= what == 2;
		x->peers[0].port ^= what == 3;
		x->peers[0].port_priority ^= what == 4;
		x->peers[0].state ^= what == 5 ? LACP_STATE_AGGREGATION : 0;
		say(x, 0);
		assert_int_equal(status(x, 0).mux, LACP_MUX_WAITING);
		assert_false(lacp_member_is_collecting(&x->l, 0));
		assert_int_equal(x->n_changed[0], 1);
		assert_int_equal(x->n_sent, 1); /* out of sync */
		assert_int_equal(x->sent[0].bytes[32] & 0x38, 0);
		assert_int_equal(status(x, 0).counters.n_partner_changes, 1);
		advance(x, 2 * SEC);
		talk(x, 1);
		assert_true(lacp_member_is_distributing(&x->l, 0));
	}
}

/* L08 */
static void test_L08_churn(void **state)
{
	struct fixture *x = *state;
	struct lacp_status s;

	start_default(x, 1);
	link_is(x, 0, true);
	advance(x, 60 * SEC - 1);
	s = status(x, 0);
	assert_int_equal(s.actor_churn, LACP_CHURN_MONITOR);
	assert_int_equal(s.partner_churn, LACP_CHURN_MONITOR);
	advance(x, 1);
	s = status(x, 0);
	assert_int_equal(s.actor_churn, LACP_CHURN);
	assert_int_equal(s.partner_churn, LACP_CHURN);
	/* A partner that never gets in sync. */
	x->peers[0].follows = false;
	x->peers[0].state = ATG;
	talk(x, 4);
	s = status(x, 0);
	assert_int_equal(s.mux, LACP_MUX_ATTACHED);
	assert_int_equal(s.actor_churn, LACP_CHURN_NONE);
	assert_int_equal(s.partner_churn, LACP_CHURN);
	say_state(x, 0, ATGSCD);
	assert_int_equal(status(x, 0).partner_churn, LACP_CHURN_NONE);
	talk(x, 100);
	say_state(x, 0, ATG);
	talk(x, 59);
	assert_int_equal(status(x, 0).partner_churn, LACP_CHURN_MONITOR);
	talk(x, 1);
	s = status(x, 0);
	assert_int_equal(s.partner_churn, LACP_CHURN);
	assert_int_equal(s.counters.n_partner_churn, 2);
	assert_int_equal(s.counters.n_actor_churn, 1);
	link_is(x, 0, false);
	assert_int_equal(status(x, 0).partner_churn, LACP_CHURN_MONITOR);
	assert_int_equal(x->next_ns, UINT64_MAX);
}

/* L09 */
static void test_L09_fallback(void **state)
{
	struct fixture *x = *state;
	struct lacp_config config = default_config();

	config.fallback = NET_LACP_FALLBACK_STARTUP;
	start(x, &config, 3);
	advance(x, 100 * SEC);
	assert_false(lacp_fallback(&x->l)); /* no link: nothing to fall back to */
	link_is(x, 0, true);
	advance(x, 3 * SEC - 1);
	assert_false(lacp_fallback(&x->l));
	advance(x, 1);
	assert_true(lacp_fallback(&x->l));
	assert_int_equal(x->n_fallback_changed, 1);
	/* Others that come up and listen do not end it, nor does the first one's going down, nor our own frames. */
	link_is(x, 1, true);
	assert_true(lacp_fallback(&x->l));
	link_is(x, 0, false);
	assert_true(lacp_fallback(&x->l));
	memcpy(x->peers[1].system, own_system, 6);
	say(x, 1);
	assert_true(lacp_fallback(&x->l));
	assert_int_equal(x->n_fallback_changed, 1);
	memcpy(x->peers[1].system, switch_system, 6);
	say(x, 1);
	assert_false(lacp_fallback(&x->l));
	assert_int_equal(x->n_fallback_changed, 2);
	/* Silence afterwards is another matter, as it was asked for; a link that was down is a new beginning. */
	advance(x, 100 * SEC);
	assert_int_equal(status(x, 1).rx, LACP_RX_DEFAULTED);
	assert_false(lacp_fallback(&x->l));
	link_is(x, 1, false);
	link_is(x, 1, true);
	advance(x, 3 * SEC);
	assert_true(lacp_fallback(&x->l));
	link_is(x, 1, false);
	assert_false(lacp_fallback(&x->l));
	assert_int_equal(x->n_fallback_changed, 4);
}

/* L09: a link that flaps does not hold it off; without the option there is none. */
static void test_L09_fallback_flap(void **state)
{
	struct fixture *x = *state;
	struct lacp_config config = default_config();

	for (unsigned on = 0; on < 3; on++) {
		config.fallback = (enum net_lacp_fallback[]){NET_LACP_FALLBACK_NONE,
			NET_LACP_FALLBACK_STARTUP, NET_LACP_FALLBACK_DEFAULT}[on];
		start(x, &config, 2);
		link_is(x, 0, true);
		for (unsigned i = 0; i < 30; i++) {
			link_is(x, 1, i & 1);
			advance(x, 100 * MSEC);
		}
		assert_int_equal(lacp_fallback(&x->l), on > 0);
	}
}

/* L09: partners that fall silent while their links are up. Given up is the last of them, 3 s after it has expired. */
static void test_L09_fallback_silent(void **state)
{
	struct fixture *x = *state;
	struct lacp_config config = default_config();

	config.fallback = NET_LACP_FALLBACK_DEFAULT;
	start(x, &config, 3);
	bring_up(x, 2);
	advance(x, SEC);
	say(x, 1);
	/* The first is DEFAULTED, the second EXPIRED. */
	advance(x, 5 * SEC);
	assert_int_equal(status(x, 0).rx, LACP_RX_DEFAULTED);
	assert_int_equal(status(x, 1).rx, LACP_RX_EXPIRED);
	assert_false(lacp_fallback(&x->l));
	advance(x, SEC - 1);
	assert_false(lacp_fallback(&x->l));
	advance(x, 1);
	assert_true(lacp_fallback(&x->l));
	assert_int_equal(x->n_fallback_changed, 1);
	/* One that never heard anybody changes nothing; nor do those that did, while they are down. */
	link_is(x, 2, true);
	assert_true(lacp_fallback(&x->l));
	link_is(x, 0, false);
	link_is(x, 1, false);
	assert_true(lacp_fallback(&x->l));
	link_is(x, 1, true);
	advance(x, 10 * SEC);
	assert_true(lacp_fallback(&x->l));
	assert_int_equal(x->n_fallback_changed, 1);
	/* It is back. */
	say(x, 1);
	assert_false(lacp_fallback(&x->l));
	for (unsigned i = 0; i < 5; i++) {
		advance(x, SEC);
		say(x, 1);
	}
	assert_false(lacp_fallback(&x->l));
	assert_distributing(x, 1U << 1);
	/* Silent again, and gone with its link: the third, which never heard one, waits its own time. */
	advance(x, 3 * SEC);
	link_is(x, 1, false);
	advance(x, 3 * SEC - 1);
	assert_false(lacp_fallback(&x->l));
	advance(x, 1);
	assert_true(lacp_fallback(&x->l));
	link_is(x, 2, false);
	assert_false(lacp_fallback(&x->l));
}

/* L12: a partner whose frames come every 2 … 3.2 s and that echoes our EXPIRED late. Each gap costs what it must, the
 * link is never let go, no frames are exchanged because of the echo, and what is sent keeps its beat. */
static void test_L12_expired_echo(void **state)
{
	struct fixture *x = *state;
	uint8_t frame[LACP_FRAME_LEN];
	unsigned n_expired = 0;
	struct lacp_status s;

	start_default(x, 1);
	bring_up(x, 1);
	advance(x, 10 * MSEC);
	s = status(x, 0);
	make_pdu(x, 0, frame);
	x->n_sent = 0;
	frame[52] |= 0xc0; /* our EXPIRED and DEFAULTED, seen late */
	input(x, 0, frame, sizeof(frame));
	assert_int_equal(x->n_sent, 0);

	for (unsigned i = 0; i < 93; i++) {
		uint64_t gap_ns = 2 * SEC + i * 7 % 13 * 100 * MSEC;

		advance(x, gap_ns);
		make_pdu(x, 0, frame);
		frame[32] |= status(x, 0).actor.state & 0x80; /* it sends back what it got */
		n_expired += status(x, 0).rx == LACP_RX_EXPIRED;
		input(x, 0, frame, sizeof(frame));
		assert_true(status(x, 0).mux >= LACP_MUX_COLLECTING);
	}
	assert_true(n_expired > 10);
	assert_int_equal(status(x, 0).counters.n_expired, n_expired);
	assert_int_equal(status(x, 0).counters.n_sync_changes, s.counters.n_sync_changes);
	assert_int_equal(status(x, 0).counters.n_partner_changes, 0);
	assert_int_equal(status(x, 0).actor_churn, LACP_CHURN_NONE);
	for (unsigned i = 1; i < x->n_sent; i++)
		assert_true(x->sent[i].at_ns - x->sent[i - 1].at_ns <= SEC);
}

/* L14, L15: collecting when both are in sync, distributing when the partner collects; and all ways back. */
static void test_L14_L15_order(void **state)
{
	struct fixture *x = *state;

	start_default(x, 1);
	assert_false(lacp_member_is_collecting(&x->l, 0));
	link_is(x, 0, true);
	say_state(x, 0, ATGSCD);
	talk(x, 1);
	assert_false(lacp_member_is_collecting(&x->l, 0)); /* we are not in sync */
	x->peers[0].state = ATG;
	talk(x, 3);
	assert_int_equal(status(x, 0).mux, LACP_MUX_ATTACHED);
	assert_false(lacp_member_is_collecting(&x->l, 0));
	say_state(x, 0, ATGS);
	assert_int_equal(status(x, 0).mux, LACP_MUX_COLLECTING);
	assert_true(lacp_member_is_collecting(&x->l, 0));
	assert_false(lacp_member_is_distributing(&x->l, 0));
	talk(x, 10);
	assert_false(lacp_member_is_distributing(&x->l, 0));
	say_state(x, 0, ATG | 0x10); /* collecting, out of sync */
	assert_false(lacp_member_is_distributing(&x->l, 0));
	say_state(x, 0, ATGSC);
	assert_true(lacp_member_is_distributing(&x->l, 0));
	assert_true(lacp_is_up(&x->l));
	say_state(x, 0, ATGS);
	assert_int_equal(status(x, 0).mux, LACP_MUX_COLLECTING);
	say_state(x, 0, ATGSCD);
	assert_true(lacp_member_is_distributing(&x->l, 0));
	say_state(x, 0, ATG);
	assert_int_equal(status(x, 0).mux, LACP_MUX_ATTACHED);
	assert_false(lacp_member_is_collecting(&x->l, 0));
	assert_false(lacp_is_up(&x->l));
}

/* A partner is only in sync if somebody keeps the link alive. */
static void test_passive_both(void **state)
{
	struct fixture *x = *state;
	struct lacp_config config = default_config();

	config.active = false;
	start(x, &config, 1);
	link_is(x, 0, true);
	advance(x, 200 * SEC);
	assert_int_equal(x->n_sent, 0);
	assert_int_equal(x->next_ns, UINT64_MAX);
	say_state(x, 0, 0x3e);
	talk(x, 5);
	assert_int_equal(x->n_sent, 0);
	assert_int_equal(status(x, 0).partner.state & 0x08, 0);
	assert_false(lacp_member_is_collecting(&x->l, 0));
	say_state(x, 0, 0x3f);
	assert_int_equal(x->n_sent, 1);
	talk(x, 3);
	assert_true(lacp_member_is_distributing(&x->l, 0));
}

static void test_link_down(void **state)
{
	struct fixture *x = *state;
	struct lacp_status s;

	start_default(x, 2);
	bring_up(x, 2);
	x->n_changed[0] = x->n_changed[1] = 0;
	x->n_sent = 0;
	link_is(x, 0, false);
	s = status(x, 0);
	assert_int_equal(s.rx, LACP_RX_PORT_DISABLED);
	assert_int_equal(s.mux, LACP_MUX_DETACHED);
	assert_false(s.collecting || s.distributing);
	assert_int_equal(s.partner.state & LACP_STATE_SYNCHRONIZATION, 0);
	assert_int_equal(x->n_changed[0], 1);
	assert_int_equal(x->n_changed[1], 0);
	assert_int_equal(x->n_sent, 0);
	say(x, 0); /* a frame that was still under way */
	assert_int_equal(status(x, 0).rx, LACP_RX_PORT_DISABLED);
	talk(x, 10);
	assert_true(lacp_member_is_distributing(&x->l, 1));
	/* Up again: the partner is remembered, the wait begins at once. */
	link_is(x, 0, true);
	assert_int_equal(status(x, 0).mux, LACP_MUX_WAITING);
	talk(x, 1);
	assert_false(lacp_member_is_distributing(&x->l, 0));
	talk(x, 1);
	assert_true(lacp_member_is_distributing(&x->l, 0));
	link_is(x, 0, false);
	link_is(x, 1, false);
	assert_int_equal(x->next_ns, UINT64_MAX);
}

static void test_remove(void **state)
{
	struct fixture *x = *state;
	struct lacp_status s;

	start_default(x, 2);
	bring_up(x, 2);
	advance(x, SEC / 2);
	x->n_sent = 0;
	x->n_changed[0] = 0;
	lacp_member_remove(&x->l, 0, x->now_ns);
	assert_int_equal(x->n_changed[0], 1);
	assert_int_equal(x->n_sent, 1); /* a good-bye: out of sync */
	assert_int_equal(x->sent[0].bytes[32] & 0x3c, 0x04);
	assert_int_equal(lacp_status(&x->l, 0, &s), -ENOENT);
	assert_int_equal(lacp_status(&x->l, LACP_MAX_MEMBERS, &s), -EINVAL);
	assert_false(lacp_member_is_collecting(&x->l, 0));
	assert_false(lacp_member_is_distributing(&x->l, LACP_MAX_MEMBERS));
	talk(x, 5);
	assert_distributing(x, 0x2);
	lacp_member_remove(&x->l, 0, x->now_ns);
	lacp_member_remove(&x->l, 99, x->now_ns);
	lacp_member_link(&x->l, 99, true, 1, true, x->now_ns);
	lacp_input(&x->l, 99, NULL, 0, x->now_ns);
	/* The same place again. */
	assert_int_equal(lacp_member_add(&x->l, 0, own_system, 1, 0), 0);
	link_is(x, 0, true);
	talk(x, 4);
	assert_distributing(x, 0x3);
	lacp_member_remove(&x->l, 0, x->now_ns);
	lacp_member_remove(&x->l, 1, x->now_ns);
	poll_now(x);
	assert_int_equal(x->next_ns, UINT64_MAX);
}

/* A frame that could not be sent is sent soon, not in a tight loop. */
static void test_transmit_fails(void **state)
{
	struct fixture *x = *state;

	start_default(x, 1);
	x->fail_transmit = true;
	link_is(x, 0, true);
	assert_int_equal(status(x, 0).counters.tx_errors, 1);
	advance(x, SEC);
	assert_in_range(status(x, 0).counters.tx_errors, 3, 4);
	x->fail_transmit = false;
	advance(x, SEC / 2);
	assert_in_range(x->n_sent, 1, 2);
	assert_int_equal(status(x, 0).counters.tx_lacpdu, x->n_sent);
}

/* A step back of the clock is none. */
static void test_clock_back(void **state)
{
	struct fixture *x = *state;

	start_default(x, 1);
	bring_up(x, 1);
	(void)lacp_poll(&x->l, 5);
	assert_true(lacp_member_is_distributing(&x->l, 0));
	assert_int_equal(x->l.now_ns, x->now_ns);
}

static void test_arguments(void **state)
{
	static const uint8_t multicast[6] = {1, 2, 3, 4, 5, 6}, zero[6];
	struct fixture *x = *state;
	struct lacp_config config = default_config();

	assert_int_equal(lacp_init(&x->l, &config, &ops, x), 0);
	assert_int_equal(lacp_member_add(&x->l, 0, multicast, 1, 0), -EINVAL);
	assert_int_equal(lacp_member_add(&x->l, 0, zero, 1, 0), -EINVAL);
	assert_int_equal(lacp_member_add(&x->l, LACP_MAX_MEMBERS, own_system, 1, 0), -EINVAL);
	assert_int_equal(lacp_member_add(&x->l, 0, own_system, 1, 0), 0);
	assert_int_equal(lacp_member_add(&x->l, 0, own_system, 1, 0), -EEXIST);
	assert_int_equal(lacp_poll(&x->l, 1), UINT64_MAX);
	for (unsigned what = 0; what < 7; what++) {
		config = default_config();
		config.key = what == 0 ? 0 : 1;
		if (what == 1)
			memcpy(config.system_mac, zero, 6);
		if (what == 2)
			memcpy(config.system_mac, multicast, 6);
		config.select = what == 3 ? LACP_SELECT_X_MAX : LACP_SELECT_STABLE;
		config.min_links = what == 4 ? LACP_MAX_MEMBERS + 1 : what == 6 ? 3 : 0;
		config.max_links = what == 5 ? LACP_MAX_MEMBERS + 1 : what == 6 ? 2 : 0;
		assert_int_equal(lacp_init(&x->l, &config, &ops, x), -EINVAL);
	}
	lacp_done(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_L02_period),
		ROW(test_beat),
		ROW(test_L03_silence),
		ROW(test_L04_storm),
		ROW(test_L06_partner_changes),
		ROW(test_L08_churn),
		ROW(test_L09_fallback),
		ROW(test_L09_fallback_flap),
		ROW(test_L09_fallback_silent),
		ROW(test_L12_expired_echo),
		ROW(test_L14_L15_order),
		ROW(test_passive_both),
		ROW(test_link_down),
		ROW(test_remove),
		ROW(test_transmit_fails),
		ROW(test_clock_back),
		ROW(test_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
