/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members (team-member.c): what counts as another one, what waits and what does not, shares, and what a report counts. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fakes/fake-team.h"

static uint8_t stranger[NET_MAC_LEN] = {0x52, 0x54, 0, 0, 0xd0, 0};

static enum team_member_state state_of(struct fake_team *ft, unsigned member)
{
	struct net_team_state state;

	team_state(ft->team, &state);
	return state.members[member].state;
}

static void all_up(struct fake_team *ft)
{
	fake_team_start(ft);
	for (unsigned i = 0; i < ft->n_uplinks; i++)
		fake_team_link(ft, i, true);
	fake_team_run_ms(ft, 10000);
}

/* One with role unused is well, too, but nobody waits for its sake. */
static void test_unused_is_nobody(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_init(&ft, NET_TEAM_EXPLICIT, 2);
	ft.uplinks[1].role = NET_ROLE_UNUSED;
	all_up(&ft);
	fake_team_link(&ft, 0, false);
	assert_false(ft.guest_up);
	fake_team_link(&ft, 0, true);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_UP);
	assert_int_equal(fake_team_send(&ft, 1, 1), 0);
	fake_team_done(&ft);
}

/* The down delay is for links that may come back; a NIC that refuses frames or is removed is left at once, also while it runs. */
static void test_down_delay_is_for_links(void **state)
{
	static const int errors[] = {-ENETDOWN, -ENXIO, -ENODEV};
	struct fake_team ft;

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		fake_team_init(&ft, NET_TEAM_EXPLICIT, 2);
		ft.config.down_delay_ms = 1000;
		all_up(&ft);
		ft.result[0] = errors[i];
		assert_int_equal(fake_team_send(&ft, 1, 1), errors[i]);
		team_poll(ft.team, ft.now_ns);
		assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_DOWN);
		assert_int_equal(fake_team_send(&ft, 1, 1), 1);
		fake_team_done(&ft);
	}
	/* Another error is the frame's. */
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	ft.result[0] = -ENOBUFS;
	assert_int_equal(fake_team_send(&ft, 1, 1), -ENOBUFS);
	team_poll(ft.team, ft.now_ns);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_UP);
	fake_team_done(&ft);

	fake_team_init(&ft, NET_TEAM_EXPLICIT, 2);
	ft.config.down_delay_ms = 1000;
	all_up(&ft);
	fake_team_link(&ft, 0, false);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_FAILING);
	team_member_gone(ft.team, 0, TEAM_BY_POLL, ft.now_ns);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_ABSENT);
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	fake_team_done(&ft);
}

/* The end of the bench is a time to be polled. */
static void test_bench_deadline(void **state)
{
	struct fake_team ft;
	uint64_t back_ns;

	(void)state;
	fake_team_init(&ft, NET_TEAM_EXPLICIT, 2);
	ft.config.failback_ms = 60000;
	ft.config.up_delay_ms = UINT32_MAX;
	ft.config.no_damping = 1;
	all_up(&ft);
	fake_team_link(&ft, 0, false);
	back_ns = ft.now_ns;
	fake_team_link(&ft, 0, true);
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	/* Announcements come first. */
	fake_team_run_ms(&ft, 2000);
	assert_int_equal(team_deadline(ft.team), back_ns + 60000 * NSEC_PER_MSEC);
	fake_team_done(&ft);
}

/* Where any member has a weight, one without has the least. */
static void test_weight_left_out(void **state)
{
	struct fake_team ft;
	unsigned n[2] = {0};

	(void)state;
	fake_team_init(&ft, NET_TEAM_PORT_ID, 2);
	ft.uplinks[0].weight = 3;
	all_up(&ft);
	for (uint32_t i = 0; i < 16; i++) {
		fake_team_add_port(&ft, i, 0);
		n[fake_team_send(&ft, i, 1)]++;
	}
	assert_int_equal(n[0], 12);
	assert_int_equal(n[1], 4);
	fake_team_done(&ft);
}

static enum net_drop receive(struct fake_team *ft, unsigned member, const uint8_t *dst)
{
	struct team_verdict v = fake_team_receive(ft, member, dst, stranger, 0);

	return v.kind == TEAM_DROP ? v.reason : NET_DROP_NONE;
}

/* Broadcasts are taken from the one that they are taken from, as long as that works: not from a better one that is back. */
static void test_designated_stays(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_PORT_ID, 2);
	fake_team_link(&ft, 0, false);
	assert_int_equal(receive(&ft, 1, fake_broadcast), NET_DROP_NONE);
	fake_team_link(&ft, 0, true);
	fake_team_run_ms(&ft, 100000);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_UP);
	assert_int_equal(receive(&ft, 1, fake_broadcast), NET_DROP_NONE);
	assert_int_equal(receive(&ft, 0, fake_broadcast), NET_DROP_DUPLICATE);
	fake_team_done(&ft);
}

/* Only an active one takes the place of one that seems deaf; and only what everybody hears says that it is. */
static void test_deaf(void **state)
{
	static const uint8_t group[NET_MAC_LEN] = {1, 0, 0x5e, 1, 2, 3};
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	for (unsigned i = 0; i < 10; i++) {
		ft.now_ns += 500 * NSEC_PER_MSEC;
		assert_int_equal(receive(&ft, 1, fake_broadcast), NET_DROP_DUPLICATE);
	}
	fake_team_done(&ft);
	fake_team_up(&ft, NET_TEAM_PORT_ID, 2);
	for (unsigned i = 0; i < 10; i++) {
		ft.now_ns += 500 * NSEC_PER_MSEC;
		assert_int_equal(receive(&ft, 1, group), NET_DROP_DUPLICATE);
	}
	fake_team_done(&ft);
}

/* LACP is between neighbours and has no tag; with one it is somebody's frame. */
static void test_tagged_slow(void **state)
{
	struct fake_team ft;
	struct frame f;

	(void)state;
	fake_team_up(&ft, NET_TEAM_LACP, 2);
	fake_frame(&f, fake_broadcast, stranger, 0, 1);
	f.ethertype = 0x8809;
	assert_int_equal(team_input(ft.team, 0, &f, ft.now_ns).kind, TEAM_CONSUMED);
	f.tagged = 1;
	assert_int_not_equal(team_input(ft.team, 0, &f, ft.now_ns).kind, TEAM_CONSUMED);
	fake_team_done(&ft);
}

/* Each report of an outage counts what that one cost. */
static void test_lost_again(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_init(&ft, NET_TEAM_EXPLICIT, 1);
	ft.config.no_damping = 1;
	all_up(&ft);
	for (unsigned n = 5; n > 2; n--) {
		fake_team_link(&ft, 0, false);
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(fake_team_send(&ft, 1, 1), -ENETDOWN);
		fake_team_link(&ft, 0, true);
		assert_int_equal(ft.report.from, NET_TEAM_NO_MEMBER);
		assert_int_equal(ft.report.frames_lost, n);
	}
	fake_team_done(&ft);
}

/* The last flow that moves may do so by a frame: the report does not wait for a poll. */
static void test_moved_by_frame(void **state)
{
	struct fake_team ft;
	unsigned n;

	(void)state;
	fake_team_init(&ft, NET_TEAM_EXPLICIT, 2);
	ft.config.up_delay_ms = UINT32_MAX;
	ft.config.no_damping = 1;
	all_up(&ft);
	fake_team_link(&ft, 0, false);
	ft.pending[1] = 1;
	fake_team_link(&ft, 0, true);
	n = ft.n_reports;
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	/* One frame for each slot: a port without a number has the slot of its cookie. */
	ft.pending[1] = 0;
	for (uint32_t i = 0; i < TEAM_SLOTS; i++) {
		assert_int_equal(ft.n_reports, n);
		assert_int_equal(fake_team_send(&ft, i, 1), 0);
	}
	assert_int_equal(ft.n_reports, n + 1);
	assert_int_equal(ft.report.cause, TEAM_CAUSE_FAILBACK);
	fake_team_done(&ft);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unused_is_nobody),
		cmocka_unit_test(test_down_delay_is_for_links),
		cmocka_unit_test(test_bench_deadline),
		cmocka_unit_test(test_weight_left_out),
		cmocka_unit_test(test_designated_stays),
		cmocka_unit_test(test_deaf),
		cmocka_unit_test(test_tagged_slow),
		cmocka_unit_test(test_lost_again),
		cmocka_unit_test(test_moved_by_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
