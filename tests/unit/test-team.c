/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members of a team: links, delays, damping, order, failback, and what guests and reports see of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/fakes/fake-team.h"

static unsigned ports_of(struct fake_team *ft, unsigned member)
{
	struct net_team_state status;

	team_state(ft->team, &status);
	return status.members[member].ports;
}

static enum team_member_state state_of(struct fake_team *ft, unsigned member)
{
	struct net_team_state status;

	team_state(ft->team, &status);
	return status.members[member].state;
}

/* T01: active-backup when the carrier goes; idle again, nothing is armed. */
static void test_failover(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	fake_team_add_port(&ft, 1, 0);
	assert_true(team_deadline(ft.team) == UINT64_MAX);
	assert_int_equal(fake_team_send(&ft, 1, 1), 0);
	ft.result[0] = -ENOBUFS;
	assert_int_equal(fake_team_send(&ft, 1, 1), -ENOBUFS);
	ft.now_ns += 7;
	fake_team_link(&ft, 0, false);
	assert_int_equal(ft.n_reports, 1);
	assert_int_equal(ft.report.from, 0);
	assert_int_equal(ft.report.to, 1);
	assert_int_equal(ft.report.cause, TEAM_CAUSE_LINK);
	assert_int_equal(ft.report.ports_moved, 1);
	assert_int_equal(ft.report.macs_announced, 1);
	assert_int_equal(ft.report.frames_lost, 0); /* it was refused before anybody knew */
	assert_true(ft.report.detected_ns == ft.now_ns && ft.report.switched_ns == ft.now_ns);
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	/* The same again is nothing. */
	fake_team_link(&ft, 0, false);
	assert_int_equal(ft.n_reports, 1);
	fake_team_run_ms(&ft, 2000);
	assert_true(team_deadline(ft.team) == UINT64_MAX);
	assert_int_equal(ft.n_guest_changes, 0);
	fake_team_done(&ft);
}

/* A NIC that says it is down is believed before any poll. */
static void test_send_fails(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	ft.result[0] = -ENETDOWN;
	assert_int_equal(fake_team_send(&ft, 1, 1), -ENETDOWN);
	assert_true(team_deadline(ft.team) <= ft.now_ns);
	team_poll(ft.team, ft.now_ns);
	assert_int_equal(ft.report.cause, TEAM_CAUSE_SEND);
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	fake_team_done(&ft);
}

/* T02 */
static void test_up_delay(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_init(&ft, NET_TEAM_EXPLICIT, 2);
	fake_team_start(&ft);
	/* None is up: the first one at once. */
	fake_team_link(&ft, 1, true);
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	fake_team_link(&ft, 0, true);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_RESTING);
	fake_team_run_ms(&ft, 4999);
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	fake_team_run_ms(&ft, 1);
	assert_int_equal(fake_team_send(&ft, 1, 1), 0);
	/* One that rests is used at once when it is the last. */
	fake_team_run_ms(&ft, 100000);
	fake_team_link(&ft, 0, false);
	fake_team_run_ms(&ft, 10);
	fake_team_link(&ft, 0, true);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_RESTING);
	fake_team_link(&ft, 1, false);
	assert_int_equal(fake_team_send(&ft, 1, 1), 0);
	fake_team_done(&ft);
}

/* T03 */
static void test_failback(void **state)
{
	struct fake_team ft;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		fake_team_init(&ft, NET_TEAM_EXPLICIT, 3);
		ft.config.failback = i == 1 ? NET_FAILBACK_NO : NET_FAILBACK_YES;
		ft.config.failback_ms = i == 2 ? 60000 : 0;
		fake_team_start(&ft);
		for (unsigned j = 0; j < 3; j++)
			fake_team_link(&ft, j, true);
		fake_team_run_ms(&ft, 70000);
		fake_team_link(&ft, 0, false);
		assert_int_equal(fake_team_send(&ft, 1, 1), 1);
		fake_team_link(&ft, 0, true);
		fake_team_run_ms(&ft, 5000);
		assert_int_equal(fake_team_send(&ft, 1, 1), i == 0 ? 0 : 1);
		fake_team_run_ms(&ft, 1);
		if (i == 0) {
			assert_int_equal(ft.report.cause, TEAM_CAUSE_FAILBACK);
			assert_int_equal(ft.report.from, 1);
			assert_int_equal(ft.report.to, 0);
		}
		fake_team_run_ms(&ft, 59998);
		assert_int_equal(fake_team_send(&ft, 1, 1), i == 0 ? 0 : 1);
		fake_team_run_ms(&ft, 11);
		assert_int_equal(fake_team_send(&ft, 1, 1), i == 1 ? 1 : 0);
		/* Rolling: on to the next one, and the first again only when there is no other. */
		if (i == 1) {
			fake_team_link(&ft, 1, false);
			assert_int_equal(fake_team_send(&ft, 1, 1), 2);
			fake_team_link(&ft, 2, false);
			assert_int_equal(fake_team_send(&ft, 1, 1), 0);
		}
		fake_team_done(&ft);
	}
}

/* T04: each failure soon after coming up doubles the rest, up to 300 s; a long good time forgives. */
static void test_damping(void **state)
{
	static const uint64_t rests_ms[] = {10000, 20000, 40000, 80000, 160000, 300000, 300000};
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(rests_ms); i++) {
		fake_team_link(&ft, 0, false);
		fake_team_link(&ft, 0, true);
		fake_team_run_ms(&ft, rests_ms[i] - 1);
		assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_RESTING);
		fake_team_run_ms(&ft, 1);
		assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_UP);
		fake_team_run_ms(&ft, 20);
		assert_int_equal(fake_team_send(&ft, 1, 1), 0);
	}
	fake_team_run_ms(&ft, 700000);
	fake_team_link(&ft, 0, false);
	fake_team_link(&ft, 0, true);
	fake_team_run_ms(&ft, 5000);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_UP);
	fake_team_done(&ft);
}

/* A link that flaps ten times a second is used a few times in an hour. */
static void test_flapping(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	for (unsigned i = 0; i < 36000; i++) {
		fake_team_link(&ft, 0, i % 2);
		fake_team_run_ms(&ft, 100);
	}
	assert_true(ft.n_reports <= 2);
	fake_team_done(&ft);
}

/* T05 */
static void test_down_delay(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_init(&ft, NET_TEAM_EXPLICIT, 2);
	ft.config.down_delay_ms = 200;
	fake_team_start(&ft);
	fake_team_link(&ft, 0, true);
	fake_team_link(&ft, 1, true);
	fake_team_run_ms(&ft, 10000);
	fake_team_clear(&ft);
	fake_team_link(&ft, 0, false);
	fake_team_run_ms(&ft, 199);
	fake_team_link(&ft, 0, true);
	fake_team_run_ms(&ft, 1000);
	assert_int_equal(ft.n_reports, 0);
	fake_team_link(&ft, 0, false);
	ft.result[0] = -EIO;
	assert_int_equal(fake_team_send(&ft, 1, 1), -EIO);
	fake_team_run_ms(&ft, 200);
	assert_int_equal(ft.n_reports, 1);
	assert_true(ft.report.switched_ns - ft.report.detected_ns == 200 * NSEC_PER_MSEC);
	assert_int_equal(ft.report.frames_lost, 1);
	fake_team_done(&ft);
}

/* T06 */
static void test_order(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_init(&ft, NET_TEAM_EXPLICIT, 5);
	ft.uplinks[0].role = NET_ROLE_STANDBY;
	ft.uplinks[1].order = 2;
	ft.uplinks[2].order = 1;
	ft.uplinks[3].role = NET_ROLE_UNUSED;
	ft.uplinks[4].role = NET_ROLE_STANDBY;
	fake_team_start(&ft);
	for (unsigned i = 0; i < 5; i++)
		fake_team_link(&ft, i, true);
	fake_team_run_ms(&ft, 10000);
	assert_int_equal(fake_team_send(&ft, 1, 1), 2);
	fake_team_link(&ft, 2, false);
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	fake_team_link(&ft, 1, false);
	assert_int_equal(fake_team_send(&ft, 1, 1), 0);
	fake_team_link(&ft, 0, false);
	assert_int_equal(fake_team_send(&ft, 1, 1), 4);
	fake_team_link(&ft, 4, false);
	assert_int_equal(fake_team_send(&ft, 1, 1), -ENETDOWN);
	fake_team_done(&ft);
}

/* A standby member stands in for a failed one of several, and only for it. */
static void test_standby(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_init(&ft, NET_TEAM_PORT_ID, 3);
	ft.uplinks[2].role = NET_ROLE_STANDBY;
	fake_team_start(&ft);
	for (unsigned i = 0; i < 3; i++)
		fake_team_link(&ft, i, true);
	fake_team_run_ms(&ft, 10000);
	for (uint32_t i = 0; i < 8; i++)
		fake_team_add_port(&ft, i, 0);
	assert_int_equal(ports_of(&ft, 0), 4);
	assert_int_equal(ports_of(&ft, 2), 0);
	fake_team_link(&ft, 1, false);
	assert_int_equal(ports_of(&ft, 0), 4);
	assert_int_equal(ports_of(&ft, 2), 4);
	fake_team_link(&ft, 1, true);
	fake_team_run_ms(&ft, 20000);
	assert_int_equal(ports_of(&ft, 1), 4);
	assert_int_equal(ports_of(&ft, 2), 0);
	fake_team_done(&ft);
}

/* T19 */
static void test_all_down(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_PORT_ID, 2);
	fake_team_add_port(&ft, 1, 0);
	fake_team_link(&ft, 0, false);
	assert_true(ft.guest_up);
	fake_team_link(&ft, 1, false);
	assert_false(ft.guest_up);
	assert_false(team_is_up(ft.team));
	assert_int_equal(ft.report.to, NET_TEAM_NO_MEMBER);
	assert_int_equal(fake_team_send(&ft, 1, 1), -ENETDOWN);
	fake_team_run_ms(&ft, 100);
	fake_team_link(&ft, 1, true);
	assert_true(ft.guest_up);
	assert_int_equal(fake_team_send(&ft, 1, 1), 1);
	assert_int_equal(ft.report.from, NET_TEAM_NO_MEMBER);
	assert_int_equal(ft.report.frames_lost, 1);
	assert_int_equal(ft.n_guest_changes, 2);
	fake_team_done(&ft);

	fake_team_init(&ft, NET_TEAM_PORT_ID, 1);
	ft.config.guest_link_up = 1;
	fake_team_start(&ft);
	fake_team_link(&ft, 0, true);
	fake_team_link(&ft, 0, false);
	assert_int_equal(ft.n_guest_changes, 0);
	fake_team_done(&ft);
}

/* T20 */
static void test_min_links(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_init(&ft, NET_TEAM_SRC_MAC, 3);
	ft.config.min_links = 2;
	fake_team_start(&ft);
	fake_team_link(&ft, 0, true);
	assert_false(ft.guest_up);
	fake_team_link(&ft, 1, true);
	fake_team_run_ms(&ft, 5000);
	assert_true(ft.guest_up);
	fake_team_link(&ft, 0, false);
	assert_false(ft.guest_up);
	assert_int_equal(ft.report.cause, TEAM_CAUSE_LINK);
	fake_team_done(&ft);
}

/* T22 */
static void test_removed_added(void **state)
{
	struct fake_team ft;
	struct net_team_state status;

	(void)state;
	fake_team_up(&ft, NET_TEAM_PORT_ID, 2);
	for (uint32_t i = 0; i < 6; i++)
		fake_team_add_port(&ft, i, 0);
	team_member_gone(ft.team, 0, TEAM_BY_POLL, ft.now_ns);
	assert_int_equal(ft.report.cause, TEAM_CAUSE_REMOVED);
	assert_int_equal(ports_of(&ft, 1), 6);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_ABSENT);
	fake_team_link(&ft, 0, true); /* of nothing */
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_ABSENT);
	assert_int_equal(team_member_added(ft.team, 1, NULL, ft.now_ns), -EEXIST);
	assert_int_equal(team_member_added(ft.team, 3, &ft.uplinks[3], ft.now_ns), -EINVAL);
	assert_int_equal(team_member_added(ft.team, 2, NULL, ft.now_ns), -EINVAL);
	assert_int_equal(team_member_added(ft.team, 2, &ft.uplinks[2], ft.now_ns), 0);
	assert_int_equal(team_member_added(ft.team, 0, NULL, ft.now_ns), 0);
	fake_team_link(&ft, 0, true);
	fake_team_link(&ft, 2, true);
	fake_team_run_ms(&ft, 20000);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ports_of(&ft, i), 2);
	team_state(ft.team, &status);
	assert_int_equal(status.n_members, 3);
	assert_int_equal(status.n_active, 3);
	fake_team_done(&ft);
}

static const struct net_team_test *test_of(struct fake_team *ft)
{
	static struct net_team_state status;

	team_state(ft->team, &status);
	return &status.test;
}

/* A member goes out of use and comes back as if nothing had been, whatever the policy of failback and delays says. */
static void test_on_purpose(void **state)
{
	static const enum net_failback failbacks[] = {NET_FAILBACK_YES, NET_FAILBACK_NO};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(failbacks); i++) {
		const struct net_team_test *test;
		struct fake_team ft;

		fake_team_init(&ft, NET_TEAM_EXPLICIT, 3);
		ft.config.failback = (uint8_t)failbacks[i];
		ft.config.failback_ms = i ? 0 : 60000;
		fake_team_start(&ft);
		for (unsigned k = 0; k < 3; k++)
			fake_team_link(&ft, k, true);
		fake_team_add_port(&ft, 1, 0);
		fake_team_run_ms(&ft, 20000);
		/* So that the first is on the bench, and the second works. */
		fake_team_link(&ft, 0, false);
		fake_team_link(&ft, 0, true);
		fake_team_run_ms(&ft, 20000);
		fake_team_clear(&ft);
		assert_int_equal(team_test(ft.team, 1, 3000, false, ft.now_ns), 0);
		assert_int_equal(ft.report.cause, TEAM_CAUSE_TEST);
		assert_int_equal(ft.report.detector, TEAM_BY_ADMIN);
		assert_int_equal(ft.report.from, 1);
		assert_true(!ft.report.well_ns);
		assert_int_equal(state_of(&ft, 1), TEAM_MEMBER_DOWN);
		test = test_of(&ft);
		assert_int_equal(test->phase, NET_TEST_OUT);
		assert_int_equal(test->moved, 1);
		assert_true(test->switched_ns == 0 && test->first_out_ns == UINT64_MAX);
		fake_team_run_ms(&ft, 7);
		assert_int_equal(fake_team_send(&ft, 1, 1), ft.report.to);
		assert_true(test_of(&ft)->first_out_ns == 7 * NSEC_PER_MSEC);
		assert_int_equal(team_test(ft.team, 2, 3000, false, ft.now_ns), -EALREADY);
		fake_team_run_ms(&ft, 2992);
		assert_int_equal(test_of(&ft)->phase, NET_TEST_OUT);
		fake_team_run_ms(&ft, 2);
		test = test_of(&ft);
		assert_int_equal(test->phase, NET_TEST_DONE);
		assert_true(test->back_ns <= 2 * NSEC_PER_MSEC);
		assert_int_equal(test->frames_lost, 0);
		assert_int_equal(state_of(&ft, 1), TEAM_MEMBER_UP);
		assert_int_equal(fake_team_send(&ft, 1, 1), 1);
		assert_int_equal(ft.n_reports, 2);
		/* Of no account for damping. */
		fake_team_link(&ft, 1, false);
		fake_team_link(&ft, 1, true);
		fake_team_run_ms(&ft, 10000);
		assert_int_equal(state_of(&ft, 1), TEAM_MEMBER_UP);
		fake_team_done(&ft);
	}
}

/* What comes in, on a policy of which the switch knows nothing and on one that it knows. */
static void test_on_purpose_in(void **state)
{
	static const enum net_team_policy policies[] = {NET_TEAM_EXPLICIT, NET_TEAM_IP_HASH};
	uint8_t local[NET_MAC_LEN], stranger[NET_MAC_LEN];

	(void)state;
	fake_mac(1, local);
	fake_mac(0xd000, stranger);
	for (unsigned i = 0; i < ARRAY_SIZE(policies); i++) {
		struct fake_team ft;

		fake_team_up(&ft, policies[i], 2);
		fake_team_add_port(&ft, 1, 0);
		fake_team_run_ms(&ft, 2000);
		assert_int_equal(team_test(ft.team, 0, 1000, false, ft.now_ns), 0);
		assert_int_equal(
			fake_team_receive(&ft, 0, local, stranger, 0).reason, NET_DROP_LINK_DOWN);
		(void)fake_team_receive(&ft, 1, fake_broadcast, stranger, 0);
		assert_true(test_of(&ft)->first_in_ns == UINT64_MAX);
		fake_team_run_ms(&ft, 3);
		assert_int_equal(fake_team_receive(&ft, 1, local, stranger, 0).kind, TEAM_DELIVER);
		assert_true(test_of(&ft)->first_in_ns == 3 * NSEC_PER_MSEC);
		fake_team_done(&ft);
	}
}

/* What a test would cut, and what cannot be tested. */
static void test_on_purpose_refused(void **state)
{
	struct fake_team ft;

	(void)state;
	fake_team_init(&ft, NET_TEAM_SRC_MAC, 3);
	ft.config.min_links = 2;
	ft.uplinks[2].role = NET_ROLE_UNUSED;
	fake_team_start(&ft);
	fake_team_add_port(&ft, 1, 0);
	for (unsigned i = 0; i < 3; i++)
		fake_team_link(&ft, i, true);
	fake_team_run_ms(&ft, 20000);
	assert_int_equal(team_test(ft.team, 3, 10, false, ft.now_ns), -EINVAL);
	assert_int_equal(team_test(ft.team, 0, 0, false, ft.now_ns), -EINVAL);
	assert_int_equal(team_test(ft.team, 2, 10, true, ft.now_ns), -ENETDOWN);
	/* One is left, which is one too few. */
	assert_int_equal(team_test(ft.team, 0, 10, false, ft.now_ns), -EBUSY);
	assert_true(ft.guest_up);
	assert_int_equal(team_test(ft.team, 0, 10, true, ft.now_ns), 0);
	assert_false(ft.guest_up);
	assert_int_equal(fake_team_send(&ft, 1, 1), -ENETDOWN);
	fake_team_run_ms(&ft, 20);
	assert_true(ft.guest_up);
	assert_int_equal(test_of(&ft)->phase, NET_TEST_DONE);
	assert_int_equal(test_of(&ft)->frames_lost, 1);
	/* Ended by hand; and one whose link goes meanwhile does not come back. */
	assert_int_equal(team_test(ft.team, 0, 1000000, true, ft.now_ns), 0);
	assert_int_equal(team_test(ft.team, 1, 0, true, ft.now_ns), -EINVAL);
	assert_int_equal(team_test(ft.team, 0, 0, true, ft.now_ns), 0);
	fake_team_run_ms(&ft, 20);
	assert_int_equal(test_of(&ft)->phase, NET_TEST_DONE);
	assert_int_equal(state_of(&ft, 0), TEAM_MEMBER_UP);
	assert_int_equal(team_test(ft.team, 0, 100, true, ft.now_ns), 0);
	fake_team_link(&ft, 0, false);
	fake_team_run_ms(&ft, 101);
	assert_int_equal(test_of(&ft)->phase, NET_TEST_DONE);
	assert_true(test_of(&ft)->back_ns == UINT64_MAX);
	fake_team_done(&ft);
}

/* A report says who noticed, when it still worked, who was announced; the state counts it. */
static void test_report(void **state)
{
	struct net_team_state status;
	uint64_t well_ns, changes;
	uint8_t mac[NET_MAC_LEN];
	struct fake_team ft;

	(void)state;
	fake_team_up(&ft, NET_TEAM_EXPLICIT, 2);
	for (uint32_t i = 0; i < 40; i++)
		fake_team_add_port(&ft, i, (uint16_t)(i % 2 * 7));
	fake_team_run_ms(&ft, 1000);
	well_ns = ft.now_ns;
	changes = team_n_changes(ft.team);
	fake_team_link(&ft, 0, true); /* looked at, and the same */
	assert_true(team_n_changes(ft.team) == changes);
	fake_team_run_ms(&ft, 70);
	team_set_link(ft.team, 0, false, 0, true, TEAM_BY_NETLINK, ft.now_ns);
	assert_true(team_n_changes(ft.team) > changes);
	assert_int_equal(ft.report.detector, TEAM_BY_NETLINK);
	assert_true(ft.report.well_ns == well_ns && ft.report.detected_ns == ft.now_ns);
	assert_int_equal(ft.report.macs_announced, 40);
	assert_int_equal(ft.report.n_macs, NET_TEAM_REPORT_MACS);
	fake_mac(3, mac);
	assert_memory_equal(ft.report.macs[3].mac, mac, NET_MAC_LEN);
	assert_int_equal(ft.report.macs[3].vid, 7);
	assert_true(net_team_report_is_valid(&ft.report, 2, ft.now_ns));
	team_state(ft.team, &status);
	assert_true(net_team_state_is_valid(&status, 2));
	assert_int_equal(status.members[0].failures[TEAM_BY_NETLINK], 1);
	assert_int_equal(status.n_reports, ft.report.number);
	assert_int_equal(status.by_port, 1);
	for (unsigned i = 0; i < NET_TEAM_BUCKETS; i++)
		assert_int_equal(status.map[i], i < 40 ? 1 : NET_TEAM_NO_MEMBER);
	/* A frame that comes in shows as well that it works. */
	fake_team_run_ms(&ft, 500);
	(void)fake_team_receive(&ft, 1, fake_broadcast, (uint8_t[]){2, 1, 1, 1, 1, 1}, 0);
	well_ns = ft.now_ns;
	fake_team_run_ms(&ft, 500);
	fake_team_link(&ft, 1, false);
	assert_true(ft.report.well_ns == well_ns);
	fake_team_done(&ft);
}

static void test_bad_config(void **state)
{
	static const uint64_t seed[2];
	struct net_team_config config = {0};
	struct net_uplink uplink = {0};
	struct team *team = NULL;

	(void)state;
	assert_int_equal(team_new(&config, &uplink, 1, seed, NULL, NULL, &team), -EINVAL);
	uplink.mac[0] = 2;
	assert_int_equal(team_new(&config, &uplink, 0, seed, NULL, NULL, &team), -EINVAL);
	assert_int_equal(team_new(&config, &uplink, 9, seed, NULL, NULL, &team), -EINVAL);
	config.policy = NET_TEAM_POLICY_X_MAX;
	assert_int_equal(team_new(&config, &uplink, 1, seed, NULL, NULL, &team), -EINVAL);
	assert_null(team_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failover),
		cmocka_unit_test(test_send_fails),
		cmocka_unit_test(test_up_delay),
		cmocka_unit_test(test_failback),
		cmocka_unit_test(test_damping),
		cmocka_unit_test(test_flapping),
		cmocka_unit_test(test_down_delay),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_standby),
		cmocka_unit_test(test_all_down),
		cmocka_unit_test(test_min_links),
		cmocka_unit_test(test_removed_added),
		cmocka_unit_test(test_on_purpose),
		cmocka_unit_test(test_on_purpose_in),
		cmocka_unit_test(test_on_purpose_refused),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_bad_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
