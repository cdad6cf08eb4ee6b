/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Teams in the daemon: state, reports and tests of a worker that only tells of them (tests/fakes/fake-worker.h); JSON. */
#include "daemon/network-team.h"

#include "daemon-fixture.h"
#include "daemon/network-internal.h"
#include "daemon/team-json.h"

static struct network *running(struct fixture *f)
{
	struct network *n = NULL;

	if (network_define(f->manager, "<network><name>net-uplink-team</name></network>", "n.xml",
		    0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	/* Its NICs would be the host's. */
	n->config->net.n_uplinks = 2;
	strcpy(n->config->net.uplinks[0].ifname, "eth0");
	strcpy(n->config->net.uplinks[1].ifname, "eth1");
	network_uplinks_begin(n);
	return n;
}

static struct net_team_report report_of(unsigned number)
{
	return (struct net_team_report){.number = number,
		.well_ns = 1000,
		.detected_ns = 2000,
		.switched_ns = 5000,
		.from = 0,
		.to = 1,
		.cause = TEAM_CAUSE_BEACON,
		.detector = TEAM_BY_BEACON,
		.macs_announced = 40,
		.n_macs = 1,
		.macs = {{.mac = {2, 0, 0, 0, 0, 9}, .vid = 12}}};
}

/* An event that begins so: what tests keep of one is short. */
static bool saw(const struct fixture *f, const char *text)
{
	for (unsigned i = 0; i < MIN(f->n_events, (unsigned)FIXTURE_MAX_EVENTS); i++)
		if (strncmp(f->events[i], text, strlen(text)) == 0)
			return true;
	return false;
}

static void test_reports(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f);
	struct net_team_report bad = report_of(1000);

	assert_null(network_team_report(n, 1));
	for (unsigned i = 1; i <= 70; i++) {
		struct net_team_report r = report_of(i);

		assert_true(network_team_reported(n, &r));
		/* Once more, as after HELLO: it is there already. */
		assert_true(network_team_reported(n, &r));
	}
	assert_int_equal(n->team->n_reports, 70);
	assert_null(network_team_report(n, 6));
	assert_null(network_team_report(n, 71));
	assert_int_equal(network_team_report(n, 7)->number, 7);
	assert_string_equal(network_team_report(n, 70)->from, "eth0");
	assert_string_equal(network_team_report(n, 70)->to, "eth1");
	assert_int_equal(network_team_report(n, 70)->reaction_ns, 3000);
	assert_int_equal(network_team_report(n, 70)->gap_ns, 4000);
	assert_true(saw(f, "network failover net-uplink-team beacon number=70 from=eth0 to=eth1 "));
	bad.to = 2;
	assert_false(network_team_reported(n, &bad));
	/* Another worker begins anew, and what is known stays. */
	network_team_end(n, false);
	bad = report_of(1);
	assert_true(network_team_reported(n, &bad));
	assert_int_equal(network_team_report(n, 71)->number, 71);
	n->config->net.n_uplinks = 0;
}

/* What is written can be read; what is not so is refused. */
static void test_json(void **state)
{
	static const char *const keys[] = {"number", "detected_us", "detected_by", "cause",
		"reaction_us", "frames_lost", "moved", "announced", "addresses"};
	struct network_report r = {.number = 3,
		.detected_usec = 1700000000000000,
		.reaction_ns = 5000,
		.gap_ns = 7000,
		.frames_lost = 2,
		.ports_moved = 1,
		.macs_announced = 40,
		.n_macs = 1,
		.cause = TEAM_CAUSE_PROBE,
		.detector = TEAM_BY_TARGET,
		.from = "eth0",
		.macs = {{.mac = {2, 0, 0, 0, 0, 9}, .vid = 12}}};
	struct network_report back;

	(void)state;
	for (size_t i = 0; i <= ARRAY_SIZE(keys); i++) {
		struct json_object *o = team_report_to_json(&r);

		if (i < ARRAY_SIZE(keys))
			json_object_object_add(o, keys[i], json_object_new_double(0.5));
		memset(&back, 0, sizeof(back));
		assert_int_equal(
			team_report_from_json(o, &back), i < ARRAY_SIZE(keys) ? -EBADMSG : 0);
		json_object_put(o);
	}
	assert_memory_equal(&back, &r, sizeof(r));
	assert_int_equal(team_report_from_json(NULL, &back), -EBADMSG);
}

static void test_look(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f);
	struct json_object *o, *members;

	fixture_wait(f, network_team_look(n, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	o = team_state_to_json(n);
	assert_string_equal(
		json_object_get_string(json_object_object_get(o, "policy_in_effect")), "port-id");
	members = json_object_object_get(o, "members");
	assert_int_equal(json_object_array_length(members), 2);
	assert_string_equal(json_object_get_string(json_object_object_get(
				    json_object_array_get_idx(members, 1), "not_used")),
		"link");
	json_object_put(o);
	n->config->net.n_uplinks = 0;
	assert_true(network_team_look(n, fixture_done, f, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "has no uplinks"));
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_true(network_team_look(n, fixture_done, f, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "is not active"));
}

static void test_on_purpose(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f);
	struct json_object *o;

	fixture_wait(f, network_team_test(n, "eth0", 0, false, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	o = team_test_to_json(n);
	assert_true(json_object_get_boolean(json_object_object_get(o, "came_back")));
	assert_int_equal(
		json_object_get_int(json_object_object_get(o, "back_us")), NETWORK_TEST_MS * 1000);
	assert_null(json_object_object_get(o, "first_in_us"));
	json_object_put(o);
	assert_true(network_team_test(n, "eth7", 0, false, fixture_done, f, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "has no uplink 'eth7'"));
	assert_true(network_team_test(n, "eth0", PROTO_TEST_MAX_MS + 1, false, fixture_done, f,
			    &f->error) < 0);
	/* One at a time; and one that has no end ends with the worker. */
	assert_int_equal(network_team_test(n, "eth1", 1, false, fixture_done, f, &f->error), 0);
	assert_true(network_team_test(n, "eth0", 1, false, fixture_done, f, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "goes on"));
	RUN_UNTIL(f, n->team->test_began);
	fixture_wait(f, network_destroy(n, NULL, NULL, &f->error));
	assert_int_equal(f->done_error.code, ERROR_OPERATION_FAILED);
}

/* The worker refuses what would cut the network. */
static void test_refused(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f);

	assert_int_equal(network_team_test(n, "eth1", 1, false, fixture_done, f, &f->error), 0);
	RUN_UNTIL(f, n->team->test_began);
	network_team_end(n, false);
	fixture_wait(f, network_team_test(n, "eth1", 1, false, fixture_done, f, &f->error));
	assert_non_null(strstr(f->done_error.message, "would cut it off"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reports),
		cmocka_unit_test(test_json),
		TEST(test_look),
		TEST(test_on_purpose),
		TEST(test_refused),
	};

	log_init("test", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
