/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LACP: which members carry traffic, and when. */
#include "tests/unit/lacp-fixture.h"

/* L05: two seconds from the last one that came. */
static void test_L05_aggregate_wait(void **state)
{
	struct fixture *x = *state;
	uint64_t start_ns;

	start_default(x, 2);
	link_is(x, 0, true);
	link_is(x, 1, true);
	start_ns = x->now_ns;
	say(x, 0);
	assert_int_equal(status(x, 0).mux, LACP_MUX_WAITING);
	advance(x, 1500 * MSEC);
	say(x, 0);
	say(x, 1);
	advance(x, 2000 * MSEC - 1);
	assert_int_equal(status(x, 0).mux, LACP_MUX_WAITING);
	assert_int_equal(status(x, 0).actor.state & LACP_STATE_SYNCHRONIZATION, 0);
	advance(x, 1);
	assert_int_equal(x->now_ns - start_ns, 3500 * MSEC);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(status(x, i).mux >= LACP_MUX_ATTACHED);
		assert_true(last_frame(x, i)[32] & LACP_STATE_SYNCHRONIZATION);
	}
	/* A third one does not disturb those that are attached. */
	talk(x, 1);
	assert_int_equal(lacp_member_add(&x->l, 2, own_system, 0x80, 0), 0);
	x->peers[2] = x->peers[1];
	x->peers[2].port++;
	link_is(x, 2, true);
	talk(x, 1);
	assert_int_equal(status(x, 2).mux, LACP_MUX_WAITING);
	assert_true(lacp_member_is_distributing(&x->l, 0) && lacp_member_is_distributing(&x->l, 1));
	talk(x, 2);
	assert_true(lacp_member_is_distributing(&x->l, 2));
}

/* L05: a member whose partner or link changes all the time holds up nobody else for ever. */
static void test_L05_flapping_member(void **state)
{
	struct fixture *x = *state;

	for (unsigned flapping = 0; flapping < 4; flapping++) {
		unsigned bad = flapping & 1, good = !bad;

		start_default(x, 2);
		link_is(x, 0, true);
		link_is(x, 1, true);
		for (unsigned i = 0; i < 30; i++) {
			x->peers[bad].port ^= !(flapping & 2);
			link_is(x, bad, !(flapping & 2) || i & 1);
			say(x, good);
			say(x, bad);
			assert_int_equal(lacp_member_is_collecting(&x->l, good), i >= 20);
			assert_false(lacp_member_is_collecting(&x->l, bad));
			advance(x, 100 * MSEC);
		}
	}
}

/* L07: a cable from us to us. */
static void test_L07_loopback(void **state)
{
	struct fixture *x = *state;

	start_default(x, 2);
	memcpy(x->peers[0].system, own_system, 6);
	x->peers[0].follows = false;
	link_is(x, 0, true);
	link_is(x, 1, true);
	talk(x, 20);
	assert_true(status(x, 0).loopback);
	assert_false(status(x, 0).heard);
	assert_int_equal(status(x, 0).selected, LACP_UNSELECTED);
	assert_int_equal(status(x, 0).mux, LACP_MUX_DETACHED);
	assert_false(status(x, 1).loopback);
	assert_true(lacp_member_is_distributing(&x->l, 1));
	/* A working link that turns into a loop, and back. */
	memcpy(x->peers[1].system, own_system, 6);
	say(x, 1);
	assert_int_equal(status(x, 1).mux, LACP_MUX_DETACHED);
	assert_false(lacp_member_is_collecting(&x->l, 1));
	memcpy(x->peers[1].system, switch_system, 6);
	talk(x, 4);
	assert_true(lacp_member_is_distributing(&x->l, 1));
}

/* L13: an individual link works, alone; the other members stand by. */
static void test_L13_individual(void **state)
{
	struct fixture *x = *state;
	struct lacp_config config = default_config();
	unsigned n = 0;

	for (unsigned ours = 0; ours < 2; ours++) {
		config.individual = ours;
		start(x, &config, 3);
		for (unsigned i = 0; i < 3; i++) {
			x->peers[i].state = ours ? 0x3f : 0x3b;
			link_is(x, i, true);
		}
		talk(x, 8);
		n = 0;
		for (unsigned i = 0; i < 3; i++) {
			struct lacp_status s = status(x, i);

			n += s.distributing;
			if (!s.distributing) {
				assert_int_equal(s.selected, LACP_STANDBY);
				assert_int_equal(s.mux, LACP_MUX_WAITING);
			}
			assert_int_equal(!!(s.actor.state & 0x04), !ours);
		}
		assert_int_equal(n, 1);
		assert_true(lacp_member_is_distributing(&x->l, 0));
		/* The next one is ready and takes over at once. */
		link_is(x, 0, false);
		say(x, 1);
		assert_true(lacp_member_is_distributing(&x->l, 1));
	}
}

/* L13: individual at the partner's end, which has us wrong: still in sync. With AGG it would not be. */
static void test_L13_individual_sync(void **state)
{
	struct fixture *x = *state;
	uint8_t frame[LACP_FRAME_LEN];

	for (unsigned aggregated = 0; aggregated < 2; aggregated++) {
		start_default(x, 1);
		x->peers[0].state = aggregated ? 0x3f : 0x3b;
		x->peers[0].follows = false;
		bring_up(x, 1);
		make_pdu(x, 0, frame);
		frame[51] ^= 1; /* the wrong port of ours */
		input(x, 0, frame, sizeof(frame));
		assert_int_equal(lacp_member_is_collecting(&x->l, 0), !aggregated);
	}
}

/* The cable of member 0 is put into member 1. */
static void test_port_moved(void **state)
{
	struct fixture *x = *state;

	start_default(x, 2);
	bring_up(x, 1);
	link_is(x, 0, false);
	assert_int_equal(status(x, 0).partner.port, 0x71);
	x->peers[1].port = 0x71;
	link_is(x, 1, true);
	say(x, 1);
	assert_int_equal(status(x, 0).partner.port, 0);
	assert_int_equal(status(x, 0).rx, LACP_RX_PORT_DISABLED);
	assert_true(status(x, 0).actor.state & LACP_STATE_DEFAULTED);
	talk(x, 3);
	assert_true(lacp_member_is_distributing(&x->l, 1));
	/* Two working links hear one port, which is the switch's error: nothing was moved, also when one goes then. */
	start_default(x, 2);
	bring_up(x, 2);
	x->peers[1].port = x->peers[0].port;
	say(x, 1);
	link_is(x, 0, false);
	assert_int_equal(status(x, 0).partner.port, 0x71);
}

static void test_speed_and_duplex(void **state)
{
	struct fixture *x = *state;

	start_default(x, 2);
	lacp_member_link(&x->l, 0, true, 1000, true, x->now_ns);
	lacp_member_link(&x->l, 1, true, 10000, true, x->now_ns);
	talk(x, 5);
	/* Never both: the faster one. */
	assert_false(lacp_member_is_collecting(&x->l, 0));
	assert_int_equal(status(x, 0).selected, LACP_STANDBY);
	assert_true(lacp_member_is_distributing(&x->l, 1));
	lacp_member_link(&x->l, 0, true, 10000, true, x->now_ns);
	talk(x, 3);
	assert_true(lacp_member_is_distributing(&x->l, 0));
	assert_true(lacp_member_is_distributing(&x->l, 1));
	/* A lone link of another speed is another link. */
	link_is(x, 0, false);
	lacp_member_link(&x->l, 1, true, 1000, true, x->now_ns);
	assert_int_equal(status(x, 1).mux, LACP_MUX_WAITING);
	link_is(x, 1, true);
	link_is(x, 0, true);
	talk(x, 3);
	/* LACP does not run on half-duplex links. */
	x->n_sent = 0;
	lacp_member_link(&x->l, 0, true, 10000, false, x->now_ns);
	assert_int_equal(status(x, 0).rx, LACP_RX_LACP_DISABLED);
	assert_false(lacp_member_is_collecting(&x->l, 0));
	talk(x, 10);
	for (unsigned i = 0; i < x->n_sent; i++)
		assert_int_equal(x->sent[i].member, 1);
	assert_int_equal(status(x, 0).rx, LACP_RX_LACP_DISABLED);
	link_is(x, 0, true);
	talk(x, 3);
	assert_true(lacp_member_is_distributing(&x->l, 0));
}

/* Which ones stand by is up to the system with the better ID. */
static void test_max_links(void **state)
{
	struct fixture *x = *state;
	struct lacp_config config = default_config();

	config.max_links = 2;
	config.min_links = 2;
	for (unsigned ours = 0; ours < 2; ours++) {
		config.system_priority = ours ? 1 : 0x8000;
		start(x, &config, 4);
		for (unsigned i = 0; i < 4; i++) {
			x->peers[i].port_priority = (uint16_t)(100 - i);
			link_is(x, i, true);
		}
		talk(x, 5);
		assert_distributing(x, ours ? 0x3 : 0xc);
		assert_true(lacp_is_up(&x->l));
		/* One goes, the next comes, at once. */
		link_is(x, ours ? 0 : 3, false);
		talk(x, 0);
		assert_distributing(x, 0x6);
		/* It is back, and only displaces another when it has waited: there are always two. */
		link_is(x, ours ? 0 : 3, true);
		for (unsigned ms = 0; ms < 1999; ms += 100) {
			talk(x, 0);
			assert_distributing(x, 0x6);
			advance(x, 100 * MSEC);
		}
		talk(x, 1);
		assert_distributing(x, ours ? 0x3 : 0xc);
		/* Silence gives way to one that is heard. */
		x->peers[ours ? 0 : 3].talks = false;
		talk(x, 4);
		assert_distributing(x, 0x6);
		link_is(x, 1, false);
		link_is(x, 2, false);
		assert_false(lacp_is_up(&x->l));
	}
}

/* Links that would only stand by are no weight. */
static void test_max_links_weight(void **state)
{
	struct fixture *x = *state;
	struct lacp_config config = default_config();

	config.max_links = 1;
	config.select = LACP_SELECT_BANDWIDTH;
	start(x, &config, 3);
	for (unsigned i = 0; i < 3; i++) {
		x->peers[i].system[5] = i < 2 ? 1 : 2;
		lacp_member_link(&x->l, i, true, i < 2 ? 1000 : 1500, true, x->now_ns);
	}
	talk(x, 5);
	assert_distributing(x, 0x4);
}

/* Two switches; members 0, 1 at one of them, 2 … 4 at the other. */
static void start_two_groups(struct fixture *x, enum lacp_select_policy policy)
{
	struct lacp_config config = default_config();

	config.select = policy;
	start(x, &config, 5);
	for (unsigned i = 0; i < 5; i++) {
		x->peers[i].system[5] = i < 2 ? 1 : 2;
		if (i < 2)
			link_is(x, i, true);
	}
	talk(x, 5);
	assert_distributing(x, 0x3);
	for (unsigned i = 2; i < 5; i++)
		lacp_member_link(&x->l, i, true, policy == LACP_SELECT_COUNT ? 1000 : 10000, true,
			x->now_ns);
	talk(x, 1);
	assert_distributing(x, 0x3);
}

static void test_policies(void **state)
{
	struct fixture *x = *state;

	start_two_groups(x, LACP_SELECT_STABLE);
	talk(x, 10);
	assert_distributing(x, 0x03);
	link_is(x, 0, false);
	talk(x, 1);
	assert_distributing(x, 0x02);
	link_is(x, 1, false);
	talk(x, 1);
	assert_distributing(x, 0x1c);
	link_is(x, 0, true);
	link_is(x, 1, true);
	talk(x, 5);
	assert_distributing(x, 0x1c);

	/* Silence is reason enough to leave, before its end is certain. */
	start_two_groups(x, LACP_SELECT_STABLE);
	x->peers[0].talks = x->peers[1].talks = false;
	talk(x, 5);
	assert_int_equal(status(x, 0).rx, LACP_RX_EXPIRED);
	assert_distributing(x, 0x1c);

	start_two_groups(x, LACP_SELECT_BANDWIDTH);
	talk(x, 5);
	assert_distributing(x, 0x1c);
	link_is(x, 2, false);
	talk(x, 5);
	assert_distributing(x, 0x18); /* as good as the other: stays */
	link_is(x, 3, false);
	talk(x, 1);
	assert_distributing(x, 0x03);

	start_two_groups(x, LACP_SELECT_COUNT);
	talk(x, 5);
	assert_distributing(x, 0x1c);
}

/* Different keys on our side are different groups. */
static void test_keys(void **state)
{
	struct fixture *x = *state;
	uint8_t mac[6] = {0x52, 0x54, 0, 0, 2, 1};

	start_default(x, 1);
	assert_int_equal(lacp_member_add(&x->l, 1, mac, 0x80, 0x77), 0);
	x->peers[1] = x->peers[0];
	x->peers[1].port++;
	link_is(x, 0, true);
	link_is(x, 1, true);
	talk(x, 5);
	assert_distributing(x, 0x1);
	assert_int_equal(status(x, 1).actor.key, 0x77);
	/* So are two partners that differ in nothing but their priority. */
	start_default(x, 2);
	x->peers[1].system_priority++;
	link_is(x, 0, true);
	link_is(x, 1, true);
	talk(x, 5);
	assert_distributing(x, 0x1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_L05_aggregate_wait),
		ROW(test_L05_flapping_member),
		ROW(test_L07_loopback),
		ROW(test_L13_individual),
		ROW(test_L13_individual_sync),
		ROW(test_port_moved),
		ROW(test_speed_and_duplex),
		ROW(test_max_links),
		ROW(test_max_links_weight),
		ROW(test_policies),
		ROW(test_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
