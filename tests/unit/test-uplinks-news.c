/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemon is told of uplinks (devices/fabric/team-news.c), and tests on purpose. */
#include "uplinks-fixture.h"

/* News that cannot be told now are told later; while nobody listens nothing is armed, and who comes gets all. */
static void test_told_until_heard(void **state)
{
	struct world *w = *state;
	unsigned refused;

	w->refuse = -EAGAIN;
	start(w);
	pass_ms(w, 1000);
	assert_in_range(w->n_refused, 9, 11);
	w->refuse = 0;
	pass_ms(w, 100);
	assert_true(w->state.guests_up);
	assert_int_equal(w->n_reports, 1);
	w->refuse = -ENOTCONN;
	refused = w->n_refused;
	pull(w, 0);
	pull(w, 1);
	pass_ms(w, 1000);
	assert_int_equal(w->n_refused, refused + 1);
	assert_true(w->state.guests_up);
	w->refuse = 0;
	w->n_reports = 0;
	pass_ms(w, 1000);
	assert_int_equal(w->n_reports, 0);
	uplinks_connected(w->uplinks);
	/* The first of these it has had, which it knows by the number. */
	assert_int_equal(w->n_reports, 3);
	assert_int_equal(w->reports[0].number, 1);
	assert_int_equal(w->reports[2].number, 3);
	assert_false(w->state.guests_up);
	assert_int_equal(w->state.n_reports, 3);
}

/* Of many changes the last is told, soon, and few others; reports are all told, as long as there is room for them. */
static void test_told_together(void **state)
{
	struct proto_team_test test = {.member = 0, .ms = 1};
	struct world *w = *state;
	unsigned n;

	w->config.team.up_delay_ms = UINT32_MAX;
	start(w);
	pass_ms(w, 1000);
	n = w->n_states;
	for (unsigned i = 0; i < 100; i++) {
		uplinks_port_added(w->uplinks, 7);
		pass_ms(w, 1);
		uplinks_port_removed(w->uplinks, 7);
		pass_ms(w, 1);
	}
	uplinks_port_added(w->uplinks, 7);
	pass_ms(w, 100);
	assert_in_range(w->n_states - n, 2, 4);
	assert_int_not_equal(w->state.map[7], NET_TEAM_NO_MEMBER);
	uplinks_port_removed(w->uplinks, 7);
	for (unsigned i = 0; i < 12; i++) {
		assert_int_equal(uplinks_test(w->uplinks, &test), 0);
		assert_int_equal(w->state.test.phase, NET_TEST_OUT);
		assert_int_equal(uplinks_test(w->uplinks, &test), -EALREADY);
		pass_ms(w, 5);
	}
	pass_ms(w, 1000);
	assert_int_equal(w->n_reports, 1 + 2 * 12);
	for (unsigned i = 0; i < w->n_reports; i++)
		assert_int_equal(w->reports[i].number, i + 1);
	assert_int_equal(w->state.test.phase, NET_TEST_DONE);
	n = w->n_states;
	pass_ms(w, 1000);
	assert_int_equal(w->n_states, n);
}

/* Nobody took them: the last ones are kept. */
static void test_reports_kept(void **state)
{
	struct proto_team_test test = {.member = 0, .ms = 1};
	struct world *w = *state;

	w->config.team.up_delay_ms = UINT32_MAX;
	start(w);
	w->refuse = -ENOTCONN;
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(uplinks_test(w->uplinks, &test), -ENOTCONN);
		pass_ms(w, 5);
	}
	w->refuse = 0;
	w->n_reports = 0;
	uplinks_connected(w->uplinks);
	assert_int_equal(w->n_reports, NEWS_BURST);
	pass_ms(w, 1000);
	assert_int_equal(w->n_reports, NEWS_REPORTS);
	for (unsigned i = 0; i < NEWS_REPORTS; i++)
		assert_int_equal(w->reports[i].number, 81 - NEWS_REPORTS + 1 + i);
	assert_int_equal(w->state.n_reports, 81);
}

static void test_bad_tests(void **state)
{
	static const struct proto_team_test bad[] = {
		{.member = 2, .ms = 1},
		{.ms = PROTO_TEST_MAX_MS + 1},
		{.ms = 1, .flags = 2},
		{.ms = PROTO_TEST_STOP_MS},
	};
	struct proto_team_test test = {.member = 0, .ms = 1};
	struct world *w = *state;

	start(w);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(uplinks_test(w->uplinks, &bad[i]), -EINVAL);
	assert_int_equal(w->state.test.phase, NET_TEST_NONE);
	pull(w, 1);
	assert_int_equal(uplinks_test(w->uplinks, &test), -EBUSY);
	test.flags = PROTO_TEST_FORCE;
	assert_int_equal(uplinks_test(w->uplinks, &test), 0);
	assert_false(w->state.guests_up);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_told_until_heard),
		TEST(test_told_together),
		TEST(test_reports_kept),
		TEST(test_bad_tests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
