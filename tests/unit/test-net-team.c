/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker says of a team (config/net-team.h): the words, and what is not believed. */
#include "config/net-team.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "vmm-core/base/macro.h"
#include "vmm-core/base/strutil.h"

#define N_UPLINKS 3
#define NOW_NS    UINT64_C(5000)

/* Every value has a word of its own, and what lies beyond has one too. */
static void check_words(const char *(*word)(unsigned), unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_string_not_equal(word(i), "unknown");
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(word(i), word(k));
	}
	assert_string_equal(word(n), "unknown");
	assert_string_equal(word(255), "unknown");
}

#define WORDS(name, function)                                                                      \
	static const char *name(unsigned value)                                                    \
	{                                                                                          \
		return function(value);                                                            \
	}
WORDS(cause, team_cause_to_string)
WORDS(detector, team_detector_to_string)
WORDS(member_state, team_member_state_to_string)
WORDS(rx, lacp_rx_name)
WORDS(periodic, lacp_periodic_name)
WORDS(selected, lacp_selected_name)
WORDS(mux, lacp_mux_name)
WORDS(churn, lacp_churn_name)

static void test_words(void **state)
{
	(void)state;
	check_words(cause, TEAM_CAUSE_X_MAX);
	check_words(detector, TEAM_DETECTOR_X_MAX);
	check_words(member_state, TEAM_MEMBER_STATE_X_MAX);
	check_words(rx, LACP_RX_X_MAX);
	check_words(periodic, LACP_PERIODIC_X_MAX);
	check_words(selected, LACP_SELECTED_X_MAX);
	check_words(mux, LACP_MUX_X_MAX);
	check_words(churn, LACP_CHURN_X_MAX);
	assert_string_equal(cause(TEAM_CAUSE_MIN_LINKS), "min-links");
	assert_string_equal(detector(TEAM_BY_ADMIN), "administrator");
	assert_string_equal(member_state(TEAM_MEMBER_RESTING), "resting");
	assert_string_equal(rx(LACP_RX_CURRENT), "current");
	assert_string_equal(periodic(LACP_PERIODIC_SLOW), "slow-periodic");
	assert_string_equal(selected(LACP_STANDBY), "standby");
	assert_string_equal(mux(LACP_MUX_DISTRIBUTING), "distributing");
	assert_string_equal(churn(LACP_CHURN), "churn");
}

static struct net_team_report good_report(void)
{
	return (struct net_team_report){.number = 1,
		.well_ns = 1000,
		.detected_ns = 2000,
		.switched_ns = 3000,
		.from = 0,
		.to = 2,
		.cause = TEAM_CAUSE_LINK,
		.detector = TEAM_BY_POLL,
		.ports_moved = NET_TEAM_BUCKETS,
		.macs_announced = 4,
		.n_macs = 1,
		.macs = {{.mac = {2, 0, 0, 0, 0, 1}, .vid = NET_VID_MAX}}};
}

/* A byte, or a number of eight, set to what cannot be. */
struct corruption {
	size_t offset, size;
	uint64_t value;
};
#define BAD(type, member, value)                                                                   \
	{                                                                                          \
		offsetof(type, member), sizeof(((type *)NULL)->member), value                      \
	}

static void corrupt(void *object, const struct corruption *c)
{
	/* Little-endian hosts only, as the project. */
	memcpy((uint8_t *)object + c->offset, &c->value, c->size);
}

static void test_report(void **state)
{
#define REPORT(member, value) BAD(struct net_team_report, member, value)
	static const struct corruption bad[] = {
		REPORT(number, 0),
		REPORT(well_ns, 2001),
		REPORT(detected_ns, 3001),
		REPORT(switched_ns, NOW_NS + 1),
		REPORT(from, N_UPLINKS),
		REPORT(to, N_UPLINKS),
		REPORT(cause, TEAM_CAUSE_NONE),
		REPORT(cause, TEAM_CAUSE_X_MAX),
		REPORT(detector, TEAM_DETECTOR_X_MAX),
		REPORT(ports_moved, NET_TEAM_BUCKETS + 1),
		REPORT(n_macs, 5),
		REPORT(macs[0].mac[0], 3),
		REPORT(macs[0].vid, NET_VID_MAX + 1),
	};
	struct net_team_report r = good_report();

	(void)state;
	assert_true(net_team_report_is_valid(&r, N_UPLINKS, NOW_NS));
	r.from = r.to = NET_TEAM_NO_MEMBER;
	assert_true(net_team_report_is_valid(&r, N_UPLINKS, NOW_NS));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		r = good_report();
		corrupt(&r, &bad[i]);
		assert_false(net_team_report_is_valid(&r, N_UPLINKS, NOW_NS));
	}
	r = good_report();
	r.macs_announced = 1000;
	r.n_macs = NET_TEAM_REPORT_MACS + 1;
	for (unsigned i = 0; i < NET_TEAM_REPORT_MACS; i++)
		r.macs[i] = r.macs[0];
	assert_false(net_team_report_is_valid(&r, N_UPLINKS, NOW_NS));
	r.n_macs--;
	assert_true(net_team_report_is_valid(&r, N_UPLINKS, NOW_NS));
}

static struct net_team_state good_state(void)
{
	struct net_team_state s = {.policy = NET_TEAM_LACP, .n_members = N_UPLINKS};

	memset(s.map, NET_TEAM_NO_MEMBER, sizeof(s.map));
	s.map[0] = N_UPLINKS - 1;
	s.test.phase = NET_TEST_OUT;
	for (unsigned i = 0; i < N_UPLINKS; i++)
		s.members[i].role = NET_ROLE_ACTIVE;
	return s;
}

static void test_state(void **state)
{
#define STATE(member, value) BAD(struct net_team_state, member, value)
	static const struct corruption bad[] = {
		STATE(policy, NET_TEAM_DEFAULT),
		STATE(policy, NET_TEAM_POLICY_X_MAX),
		STATE(n_members, N_UPLINKS - 1), /* of which map[0] is none */
		STATE(n_members, N_UPLINKS + 1),
		STATE(guests_up, 2),
		STATE(by_port, 2),
		STATE(n_active, N_UPLINKS + 1),
		STATE(n_usable, N_UPLINKS + 1),
		STATE(map[255], N_UPLINKS),
		STATE(test.phase, NET_TEST_PHASE_X_MAX),
		STATE(test.member, N_UPLINKS),
		STATE(test.was_active, 2),
		STATE(test.moved, NET_TEAM_BUCKETS + 1),
		STATE(members[2].state, TEAM_MEMBER_STATE_X_MAX),
		STATE(members[2].cause, TEAM_CAUSE_X_MAX),
		STATE(members[2].role, NET_ROLE_DEFAULT),
		STATE(members[2].role, NET_ROLE_X_MAX),
		STATE(members[2].flags, NET_TEAM_FLAGS + 1),
		STATE(members[2].ports, NET_TEAM_BUCKETS + 1),
		STATE(members[2].lacp.rx, LACP_RX_X_MAX),
		STATE(members[2].lacp.periodic, LACP_PERIODIC_X_MAX),
		STATE(members[2].lacp.selected, LACP_SELECTED_X_MAX),
		STATE(members[2].lacp.mux, LACP_MUX_X_MAX),
		STATE(members[2].lacp.actor_churn, LACP_CHURN_X_MAX),
		STATE(members[2].lacp.partner_churn, LACP_CHURN_X_MAX),
		STATE(members[2].lacp.flags, NET_TEAM_LACP_FLAGS + 1),
	};
	struct net_team_state s = good_state();

	(void)state;
	assert_true(net_team_state_is_valid(&s, N_UPLINKS));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		s = good_state();
		corrupt(&s, &bad[i]);
		assert_false(net_team_state_is_valid(&s, N_UPLINKS));
	}
	/* What nobody has is not looked at. */
	s = good_state();
	s.test.phase = NET_TEST_NONE;
	s.test.member = 200;
	memset(&s.members[N_UPLINKS], 0xff, sizeof(s.members[0]));
	assert_true(net_team_state_is_valid(&s, N_UPLINKS));
	/* The worker has not heard of the last one yet. */
	s.map[0] = 0;
	s.n_members = N_UPLINKS - 1;
	s.members[N_UPLINKS - 1].role = NET_ROLE_DEFAULT;
	assert_true(net_team_state_is_valid(&s, N_UPLINKS));
	s.n_members = NET_MAX_UPLINKS + 1;
	assert_false(net_team_state_is_valid(&s, NET_MAX_UPLINKS + 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_report),
		cmocka_unit_test(test_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
