/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verbs about teams of NICs: how a network's uplinks are, what has happened to them, and a test on purpose.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

const struct verb_option team_report_options[] = {
	NETWORK_OPTION(COMPLETE_ACTIVE_NETWORK),
	NUMBER("last", "only the last so many reports"),
	{},
};

const struct verb_option team_test_options[] = {
	NETWORK_OPTION(COMPLETE_ACTIVE_NETWORK),
	STRING("member", "test this uplink only"),
	FLAG("all", "test uplinks that stand by, too"),
	NUMBER("time", "milliseconds that an uplink is out of use, instead of 2000"),
	FLAG("force", "test also where that cuts the network off"),
	{},
};

#define TEST_FORCE  1U
#define MAX_REPORTS 64
#define MAX_TEST_MS 60000

static int network_option(struct ctl *ctl, const struct args *args, const char **ret)
{
	*ret = args_string(args, "network");
	if (!*ret || !**ret)
		return ctl_error(ctl, "Failed to get option 'network': Option argument is empty");
	return 0;
}

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

/* Microseconds as "1.234 ms"; "-" if there is no such member. */
static void format_ms(struct json_object *o, const char *key, char ret[32])
{
	int64_t us = json_number(o, key, -1);

	if (us < 0)
		(void)snprintf(ret, 32, "-");
	else
		(void)snprintf(
			ret, 32, "%lld.%03lld ms", (long long)us / 1000, (long long)us % 1000);
}

/* Status. */

static int add_member(struct table *table, struct json_object *m)
{
	char speed[32] = "-", used[32], failures[32];
	struct json_object *counts = json_object_object_get(m, "failures");
	long long mbps = json_number(m, "mbps", 0), n_failures = 0;
	const char *cells[] = {json_string(m, "name", ""), json_string(m, "role", ""),
		json_flag(m, "active") ? "active" : json_string(m, "state", ""),
		json_flag(m, "link") ? "up" : "down", speed, used,
		or_dash(json_string(m, "not_used", "")), failures};

	if (counts) {
		json_object_object_foreach(counts, key, count)
		{
			(void)key;
			n_failures += json_object_get_int64(count);
		}
	}
	if (mbps)
		(void)snprintf(speed, sizeof(speed), "%lld Mbit/s", mbps);
	(void)snprintf(used, sizeof(used), "%lld",
		(long long)json_number(m, "ports", json_number(m, "n_buckets", 0)));
	(void)snprintf(failures, sizeof(failures), "%lld", n_failures);
	return table_add_row(table, cells);
}

static int add_lacp(struct table *table, struct json_object *m)
{
	struct json_object *lacp = json_object_object_get(m, "lacp"), *partner;
	char key[24];

	if (!lacp)
		return 0;
	partner = json_object_object_get(lacp, "partner");
	(void)snprintf(key, sizeof(key), "%lld", (long long)json_number(partner, "key", 0));
	return table_add_row(table,
		(const char *[]){json_string(m, "name", ""), json_string(lacp, "receive", ""),
			json_string(lacp, "selected", ""), json_string(lacp, "mux", ""),
			json_flag(lacp, "partner_heard") ? json_string(partner, "system", "") : "-",
			key});
}

static int add_port(struct table *table, struct json_object *p)
{
	return table_add_row(table,
		(const char *[]){json_string(p, "target", ""),
			or_dash(json_string(p, "domain", "")),
			or_dash(json_string(p, "member", ""))});
}

/* A row of each object of the array. */
static int print_table(struct ctl *ctl, struct json_object *array, const char *const *headers,
	size_t n_headers, int (*add)(struct table *table, struct json_object *o))
{
	_cleanup_(table_freep) struct table *table = table_new(headers, n_headers);

	for (size_t i = 0; table && array && i < json_object_array_length(array); i++)
		if (add(table, json_object_array_get_idx(array, i)) < 0)
			return ctl_error(ctl, "out of memory");
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

static bool has_lacp(struct json_object *members)
{
	for (size_t i = 0; i < json_object_array_length(members); i++)
		if (json_object_object_get(json_object_array_get_idx(members, i), "lacp"))
			return true;
	return false;
}

static int print_status(struct ctl *ctl, struct json_object *team)
{
	static const char *const members_headers[] = {
		"Member", "Role", "State", "Link", "Speed", "Used by", "Not used", "Failures"};
	static const char *const lacp_headers[] = {
		"Member", "Receive", "Selected", "Mux", "Partner", "Key"};
	static const char *const port_headers[] = {"Interface", "Domain", "Member"};
	struct json_object *members = json_object_object_get(team, "members");
	struct json_object *ports = json_object_object_get(team, "ports");
	const char *policy = json_string(team, "policy", "");
	const char *effect = json_string(team, "policy_in_effect", "");
	int r;

	ctl_print(ctl, "%-15s %s\n", "Network:", json_string(team, "network", ""));
	ctl_print(ctl, "%-15s %s%s%s%s\n", "Policy:", policy, streq(policy, effect) ? "" : " (now ",
		streq(policy, effect) ? "" : effect, streq(policy, effect) ? "" : ")");
	ctl_print(ctl, "%-15s %s\n", "State:", json_flag(team, "up") ? "up" : "down");
	ctl_print(ctl, "%-15s %s\n",
		"Guests' links:", json_flag(team, "guest_links") ? "up" : "down");
	ctl_print(ctl, "%-15s %lld\n\n", "Reports:", (long long)json_number(team, "reports", 0));
	r = print_table(ctl, members, members_headers, ARRAY_SIZE(members_headers), add_member);
	if (r == 0 && members && has_lacp(members)) {
		ctl_print(ctl, "\n");
		r = print_table(ctl, members, lacp_headers, ARRAY_SIZE(lacp_headers), add_lacp);
	}
	if (r == 0 && ports) {
		ctl_print(ctl, "\n");
		r = print_table(ctl, ports, port_headers, ARRAY_SIZE(port_headers), add_port);
	}
	return r;
}

static int get_team(struct ctl *ctl, const char *name, struct json_object **ret)
{
	return remote_call_one(ctl, "GetTeam", ret, "s", name) < 0 ? ctl_report_network(ctl, name)
								   : 0;
}

int verb_team_status(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *team = NULL;
	const char *name;
	int r = network_option(ctl, args, &name);

	if (r == 0)
		r = get_team(ctl, name, &team);
	if (r < 0)
		return r;
	return ctl->json ? ctl_json(ctl, TAKE_PTR(team)) : print_status(ctl, team);
}

/* Reports. */

static int add_report(struct table *table, struct json_object *o)
{
	int64_t us = json_number(o, "detected_us", 0);
	time_t seconds = (time_t)(us / 1000000);
	char number[24], when[64] = "-", reaction[32], gap[32], lost[24], announced[24];
	struct tm tm;

	if (localtime_r(&seconds, &tm)) {
		size_t len = strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);

		(void)snprintf(
			when + len, sizeof(when) - len, ".%03lld", (long long)(us / 1000 % 1000));
	}
	(void)snprintf(number, sizeof(number), "%lld", (long long)json_number(o, "number", 0));
	(void)snprintf(lost, sizeof(lost), "%lld", (long long)json_number(o, "frames_lost", 0));
	(void)snprintf(
		announced, sizeof(announced), "%lld", (long long)json_number(o, "announced", 0));
	format_ms(o, "reaction_us", reaction);
	format_ms(o, "gap_us", gap);
	return table_add_row(table,
		(const char *[]){number, when, json_string(o, "cause", ""),
			json_string(o, "detected_by", ""), or_dash(json_string(o, "from", "")),
			or_dash(json_string(o, "to", "")), reaction, gap, lost, announced});
}

int verb_team_report(struct ctl *ctl, const struct args *args)
{
	static const char *const headers[] = {"Number", "Detected", "Cause", "By", "From", "To",
		"Switched after", "Gap", "Lost", "Announced"};
	_cleanup_(json_putp) struct json_object *reports = NULL;
	const char *name;
	uint64_t last;
	int r = network_option(ctl, args, &name);

	if (r == 0)
		r = ctl_number_option(ctl, args, "last", MAX_REPORTS, 0, &last);
	if (r < 0)
		return r;
	if (args_flag(args, "last") && last == 0)
		return ctl_error(ctl, "invalid number 0 of reports: at least one");
	if (remote_call_one(ctl, "GetTeamReports", &reports, "su", name, (uint32_t)last) < 0)
		return ctl_report_network(ctl, name);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(reports));
	return print_table(ctl, reports, headers, ARRAY_SIZE(headers), add_report);
}

/* Tests. */

static int add_result(struct table *table, struct json_object *o)
{
	char moved[24], switched[32], out[32], in[32], lost[24], back[32];

	(void)snprintf(moved, sizeof(moved), "%lld", (long long)json_number(o, "moved", 0));
	(void)snprintf(lost, sizeof(lost), "%lld", (long long)json_number(o, "frames_lost", 0));
	format_ms(o, "switched_us", switched);
	format_ms(o, "first_out_us", out);
	format_ms(o, "first_in_us", in);
	format_ms(o, "back_us", back);
	return table_add_row(table,
		(const char *[]){json_string(o, "member", ""), moved, switched, out, in, lost,
			json_flag(o, "came_back") ? back : "no"});
}

struct test {
	const char *network;
	uint32_t ms, flags;
	struct json_object *results;
};

static int test_member(struct ctl *ctl, struct test *test, const char *member)
{
	struct json_object *args = NULL, *result;

	if (remote_call(ctl, "TestTeam", CTL_START_TIMEOUT_USEC, &args, "ssuu", test->network,
		    member, test->ms, test->flags) < 0)
		return ctl_is_unknown_network(ctl)
			? ctl_report_network(ctl, test->network)
			: ctl_fail(ctl, "Failed to test uplink %s", member);
	result = json_object_get(json_object_array_get_idx(args, 0));
	json_putp(&args);
	if (!result || json_object_array_add(test->results, result) < 0)
		return ctl_error(ctl, "out of memory");
	return 0;
}

/* The active members in turn, or ('all') all that work. */
static int test_members(struct ctl *ctl, struct test *test, bool all)
{
	_cleanup_(json_putp) struct json_object *team = NULL;
	struct json_object *members;
	int r = get_team(ctl, test->network, &team);

	members = json_object_object_get(team, "members");
	for (size_t i = 0; r == 0 && members && i < json_object_array_length(members); i++) {
		struct json_object *m = json_object_array_get_idx(members, i);

		if (json_flag(m, "active") ||
			(all && streq(json_string(m, "state", ""), "up") &&
				!streq(json_string(m, "role", ""), "unused")))
			r = test_member(ctl, test, json_string(m, "name", ""));
	}
	if (r == 0 && json_object_array_length(test->results) == 0)
		return ctl_error(ctl, "network '%s' has no uplink that works", test->network);
	return r;
}

/* Has it moved what it carried, and come back? */
static int check_result(struct ctl *ctl, struct json_object *o)
{
	const char *member = json_string(o, "member", "");

	if (!json_flag(o, "came_back"))
		return ctl_error(ctl, "uplink '%s' did not come back", member);
	if (json_flag(o, "was_active") && json_number(o, "moved", 0) > 0 &&
		json_number(o, "switched_us", -1) < 0)
		return ctl_error(ctl, "what uplink '%s' carried did not move", member);
	return 0;
}

int verb_team_test(struct ctl *ctl, const struct args *args)
{
	static const char *const headers[] = {"Member", "Moved", "Switched after",
		"First frame out", "First frame in", "Lost", "Back after"};
	_cleanup_(json_putp) struct json_object *results = json_object_new_array();
	const char *member = args_string(args, "member");
	struct test test = {.flags = args_flag(args, "force") ? TEST_FORCE : 0, .results = results};
	uint64_t ms;
	int r = network_option(ctl, args, &test.network);

	if (r == 0)
		r = ctl_exclusive(ctl, args, "member", "all");
	if (r == 0)
		r = ctl_number_option(ctl, args, "time", MAX_TEST_MS, 0, &ms);
	if (r < 0 || !results)
		return -EINVAL;
	test.ms = (uint32_t)ms;
	r = member ? test_member(ctl, &test, member)
		   : test_members(ctl, &test, args_flag(args, "all"));
	if (r < 0)
		return r;
	if (ctl->json)
		r = ctl_json(ctl, json_object_get(results));
	else
		r = print_table(ctl, results, headers, ARRAY_SIZE(headers), add_result);
	for (size_t i = 0; r == 0 && i < json_object_array_length(results); i++)
		r = check_result(ctl, json_object_array_get_idx(results, i));
	return r;
}
