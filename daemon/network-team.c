/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Teams in the daemon: see network-team.h. */
#include "daemon/network-team.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/domain-internal.h"
#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "daemon/team-json.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define REPORTS_FILE    "reports.json"
#define REPORTS_VERSION 1

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	(void)clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* NULL: no memory. */
static struct network_team *get_team(struct network *n)
{
	if (n->team)
		return n->team;
	n->team = calloc(1, sizeof(*n->team));
	if (!n->team)
		return NULL;
	list_init(&n->team->looks);
	list_init(&n->team->test_waits);
	return n->team;
}

/* Reports. */

const struct network_report *network_team_report(const struct network *n, uint64_t number)
{
	const struct network_team *t = n->team;

	if (!t || !number || number > t->n_reports || t->n_reports - number >= NETWORK_MAX_REPORTS)
		return NULL;
	return &t->reports[number % NETWORK_MAX_REPORTS];
}

static void save_reports(const struct network *n)
{
	const struct network_team *t = n->team;
	struct json_object *o = json_object_new_object(), *array = json_object_new_array();
	uint64_t first =
		t->n_reports > NETWORK_MAX_REPORTS ? t->n_reports - NETWORK_MAX_REPORTS : 0;
	int r;

	for (uint64_t i = first + 1; i <= t->n_reports; i++)
		json_object_array_add(array, team_report_to_json(network_team_report(n, i)));
	json_object_object_add(o, "version", json_object_new_int(REPORTS_VERSION));
	json_object_object_add(o, "worker", json_object_new_uint64(worker_start_time(n->worker)));
	json_object_object_add(o, "worker_number", json_object_new_uint64(t->worker_number));
	json_object_object_add(o, "reports", array);
	r = store_save_runtime(&n->manager->store->networks, n->uuid, REPORTS_FILE,
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	if (r < 0)
		(void)log_warning_errno(r,
			"cannot save the reports of network '%s' (a new daemon would not know "
			"them): %m",
			n->name);
}

static int on_save(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct network *n = userdata;

	(void)source;
	(void)usec;
	n->team->save_timer = sd_event_source_disable_unref(n->team->save_timer);
	if (n->worker)
		save_reports(n);
	return 0;
}

static void save_later(struct network *n)
{
	if (!n->team->save_timer &&
		sd_event_add_time_relative(n->manager->event, &n->team->save_timer, CLOCK_MONOTONIC,
			NETWORK_SAVE_USEC, 0, on_save, n) < 0)
		save_reports(n);
}

static void log_report(const struct network *n, const struct network_report *r)
{
	char uuid[UUID_STRING_LEN + 1];
	const struct journal_field fields[] = {
		{"VMMD_NETWORK", n->name},
		{"VMMD_NETWORK_UUID", uuid},
		{"VMMD_FROM", r->from},
		{"VMMD_TO", r->to},
		{"VMMD_CAUSE", team_cause_to_string(r->cause)},
	};

	if (r->cause == TEAM_CAUSE_AMBIGUOUS) {
		log_warning("network '%s': uplinks: %s: it cannot be said whose path fails",
			n->name, team_detector_to_string(r->detector));
		return;
	}
	uuid_format(n->uuid, uuid);
	journal_write(JOURNAL_FAILOVER, fields, ARRAY_SIZE(fields),
		"network '%s': uplinks: %s -> %s: %s (%s); switched %llu us after it was noticed, "
		"%llu frames lost, %u moved, %u addresses announced",
		n->name, *r->from ? r->from : "none", *r->to ? r->to : "none",
		team_cause_to_string(r->cause), team_detector_to_string(r->detector),
		(unsigned long long)r->reaction_ns / 1000, (unsigned long long)r->frames_lost,
		r->ports_moved, r->macs_announced);
}

/* "12.3": milliseconds. */
static void format_ms(uint64_t ns, char ret[32])
{
	(void)snprintf(ret, 32, "%llu.%llu", (unsigned long long)(ns / 1000000),
		(unsigned long long)(ns / 100000 % 10));
}

static void tell_report(struct network *n, const struct network_report *r)
{
	char number[24], reaction[32], gap[32] = "", lost[24], announced[24];
	const struct event_field fields[] = {
		{"number", number},
		{"from", r->from},
		{"to", r->to},
		{"by", team_detector_to_string(r->detector)},
		{"reaction_ms", reaction},
		{"gap_ms", gap},
		{"lost", lost},
		{"announced", announced},
	};

	static_assert(ARRAY_SIZE(fields) <= EVENT_MAX_FIELDS, "an event's fields");
	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)r->number);
	(void)snprintf(lost, sizeof(lost), "%llu", (unsigned long long)r->frames_lost);
	(void)snprintf(announced, sizeof(announced), "%u", r->macs_announced);
	format_ms(r->reaction_ns, reaction);
	if (r->gap_ns >= 0)
		format_ms((uint64_t)r->gap_ns, gap);
	manager_emit_network(n->manager, EVENT_FAILOVER, n, team_cause_to_string(r->cause), fields,
		ARRAY_SIZE(fields));
}

bool network_team_reported(struct network *n, const struct net_team_report *report)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC), real_ns = clock_ns(CLOCK_REALTIME);
	struct network_team *t = get_team(n);
	struct network_report *r;

	if (!net_team_report_is_valid(report, n->n_members, now_ns))
		return false;
	/* After HELLO those that are here already come again. */
	if (!t || report->number <= t->worker_number)
		return true;
	t->worker_number = report->number;
	t->n_reports++;
	r = &t->reports[t->n_reports % NETWORK_MAX_REPORTS];
	*r = (struct network_report){
		.number = t->n_reports,
		.detected_usec = (int64_t)((real_ns - (now_ns - report->detected_ns)) / 1000),
		.reaction_ns = report->switched_ns - report->detected_ns,
		.gap_ns = report->well_ns ? (int64_t)(report->switched_ns - report->well_ns) : -1,
		.frames_lost = MIN(report->frames_lost, (uint64_t)INT64_MAX),
		.ports_moved = report->ports_moved,
		.macs_announced = report->macs_announced,
		.n_macs = report->n_macs,
		.cause = report->cause,
		.detector = report->detector,
	};
	memcpy(r->macs, report->macs, report->n_macs * sizeof(*r->macs));
	(void)str_copy(r->from, sizeof(r->from), network_uplink_name(n, report->from));
	(void)str_copy(r->to, sizeof(r->to), network_uplink_name(n, report->to));
	log_report(n, r);
	save_later(n);
	tell_report(n, r);
	if (r->macs_announced)
		network_announce_guests(n);
	return true;
}

static void load_reports(struct network_team *t, struct json_object *array)
{
	for (size_t i = 0; i < json_object_array_length(array) && i < NETWORK_MAX_REPORTS; i++) {
		struct network_report r;

		/* One after the other, or not at all. */
		if (team_report_from_json(json_object_array_get_idx(array, i), &r) < 0 ||
			(i > 0 && r.number != t->n_reports + 1) || !r.number)
			return;
		t->n_reports = r.number;
		t->reports[r.number % NETWORK_MAX_REPORTS] = r;
	}
}

void network_team_load(struct network *n, uint64_t start_time)
{
	_cleanup_(freep) char *text = NULL;
	struct json_object *o = NULL, *array, *worker, *number;
	struct network_team *t = get_team(n);

	if (!t ||
		store_load_runtime(&n->manager->store->networks, n->uuid, REPORTS_FILE,
			STORE_MAX_STATUS_BYTES * 4, &text) < 0)
		return;
	o = json_tokener_parse(text);
	if (json_object_is_type(o, json_type_object) &&
		json_object_object_get_ex(o, "reports", &array) &&
		json_object_object_get_ex(o, "worker", &worker) &&
		json_object_object_get_ex(o, "worker_number", &number) &&
		json_object_is_type(array, json_type_array)) {
		load_reports(t, array);
		if (json_object_get_uint64(worker) == start_time)
			t->worker_number = json_object_get_uint64(number);
	} else {
		log_warning("network '%s': its reports of failovers cannot be read", n->name);
	}
	json_object_put(o);
}

/* State. */

static void tell_link(struct network *n, const char *uplink, const char *word)
{
	const struct event_field field = {"uplink", uplink};

	manager_emit_network(n->manager, EVENT_LINK, n, word, &field, 1);
}

static void tell_member(struct network *n, unsigned i, const struct net_team_member *before,
	const struct net_team_member *now)
{
	bool was_up = before && before->flags & NET_TEAM_LINK;
	bool was_gone = before && before->state == TEAM_MEMBER_ABSENT;
	const char *name = network_uplink_name(n, i);

	if (!*name)
		return; /* it was removed */
	if (now->state == TEAM_MEMBER_ABSENT && !was_gone) {
		log_warning("network '%s': uplink %s: the interface is gone", n->name, name);
		tell_link(n, name, "Gone");
	} else if (now->flags & NET_TEAM_LINK && !was_up) {
		log_info("network '%s': uplink %s: link up, %u Mbit/s", n->name, name, now->mbps);
		tell_link(n, name, "Up");
	} else if (now->state != TEAM_MEMBER_ABSENT && !(now->flags & NET_TEAM_LINK) &&
		(was_up || was_gone)) {
		log_warning("network '%s': uplink %s: link down", n->name, name);
		tell_link(n, name, "Down");
	}
}

static void finish_test(struct network *n, const struct error *error)
{
	struct network_team *t = n->team;

	t->test_began = false;
	t->test_timer = sd_event_source_disable_unref(t->test_timer);
	domain_finish_waits(&t->test_waits, error);
}

static void look_at_test(struct network *n)
{
	const struct net_team_test *test = &n->team->state.test;

	if (n->team->test_began && test->number == n->team->test_number &&
		test->phase == NET_TEST_DONE)
		finish_test(n, NULL);
}

bool network_team_state(struct network *n, const struct net_team_state *state)
{
	struct network_team *t = get_team(n);
	struct net_team_state before;
	bool known;

	if (!net_team_state_is_valid(state, n->n_members))
		return false;
	if (!t)
		return true;
	known = t->known;
	before = t->state;
	t->known = true;
	t->state = *state;
	t->state_ns = clock_ns(CLOCK_MONOTONIC);
	for (unsigned i = 0; i < state->n_members; i++)
		tell_member(n, i, known ? &before.members[i] : NULL, &state->members[i]);
	if (!n->config->net.team.guest_link_up &&
		(!known || before.guests_up != state->guests_up)) {
		if (state->guests_up)
			log_info("network '%s': uplinks: guests' links go up", n->name);
		else
			log_warning("network '%s': uplinks: none works, guests' links go down",
				n->name);
	}
	network_uplinks_are(n, state);
	look_at_test(n);
	return true;
}

/* Questions. */

static int check(const struct network *n, struct error *error)
{
	if (!network_is_active(n))
		return error_set(
			error, ERROR_OPERATION_INVALID, "network '%s' is not active", n->name);
	if (!n->config->net.n_uplinks)
		return error_set(error, ERROR_OPERATION_INVALID,
			"network '%s' has no uplinks; write <interface dev='…'/> into <forward "
			"mode='bridge'>",
			n->name);
	if (!n->worker || !worker_is_connected(n->worker) || n->phase != NETWORK_ACTIVE)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"the worker of network '%s' is starting; try again", n->name);
	return 0;
}

static void on_look_reply(void *userdata, int error, const char *text)
{
	struct network *n = userdata;
	struct error e = {0};

	if (error == 0 && n->team->known) {
		domain_finish_waits(&n->team->looks, NULL);
		return;
	}
	(void)error_set(&e, error == -ETIMEDOUT ? ERROR_TIMEOUT : ERROR_OPERATION_FAILED,
		"the worker of network '%s' does not tell of its uplinks%s%s", n->name,
		*text ? ": " : "", text);
	domain_finish_waits(&n->team->looks, &e);
}

int network_team_look(struct network *n, domain_done_fn done, void *userdata, struct error *error)
{
	struct network_team *t = get_team(n);
	bool is_first;
	int r = check(n, error);

	if (r < 0)
		return r;
	if (!t)
		return error_set(error, ERROR_NO_MEMORY, "team");
	/* One question at a time; who comes meanwhile gets its answer too. */
	is_first = list_empty(&t->looks);
	if (is_first) {
		r = worker_request(n->worker, PROTO_TEAM_LOOK, NULL, 0, NULL, 0,
			NETWORK_REQUEST_USEC, on_look_reply, n);
		if (r < 0)
			return error_set_errno(
				error, r, "cannot ask the worker of network '%s'", n->name);
	}
	return domain_add_wait(&t->looks, done, userdata) < 0
		? error_set(error, ERROR_NO_MEMORY, "team")
		: 0;
}

int network_team_member(const struct network *n, const char *ifname, struct error *error)
{
	int member = network_uplink_number(n, ifname);

	if (member >= 0)
		return member;
	return error_set(
		error, ERROR_INVALID_ARGUMENT, "network '%s' has no uplink '%s'", n->name, ifname);
}

static int on_test_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct network *n = userdata;
	struct error e = {0};

	(void)source;
	(void)usec;
	(void)error_set(&e, ERROR_TIMEOUT,
		"the worker of network '%s' does not tell that the test of '%s' ended", n->name,
		n->team->test_name);
	finish_test(n, &e);
	return 0;
}

static void on_test_reply(void *userdata, int error, const char *text)
{
	struct network *n = userdata;
	struct network_team *t = n->team;
	struct error e = {0};

	if (list_empty(&t->test_waits))
		return;
	if (error == 0) {
		t->test_began = true;
		t->test_number = t->state.test.number;
		look_at_test(n);
		return;
	}
	if (error == -EBUSY)
		(void)error_set(&e, ERROR_OPERATION_INVALID,
			"without '%s' no uplink of network '%s' could be used: the test would cut "
			"it "
			"off; force it if that is wanted",
			t->test_name, n->name);
	else if (error == -ENETDOWN)
		(void)error_set(&e, ERROR_OPERATION_INVALID,
			"uplink '%s' of network '%s' does not work: there is nothing to test (see "
			"team-status)",
			t->test_name, n->name);
	else if (error == -EALREADY)
		(void)error_set(&e, ERROR_RESOURCE_BUSY,
			"another test of network '%s' goes on; try again when it is over", n->name);
	else
		(void)error_set(&e, ERROR_OPERATION_FAILED,
			"uplink '%s' of network '%s' cannot be tested: %s", t->test_name, n->name,
			*text ? text : strerror(-error));
	finish_test(n, &e);
}

int network_team_test(struct network *n, const char *member, uint32_t ms, bool force,
	domain_done_fn done, void *userdata, struct error *error)
{
	struct proto_team_test test = {
		.ms = ms ? ms : NETWORK_TEST_MS, .flags = force ? PROTO_TEST_FORCE : 0};
	struct network_team *t = get_team(n);
	int r = check(n, error), i;

	if (r < 0)
		return r;
	if (!t)
		return error_set(error, ERROR_NO_MEMORY, "team");
	if (test.ms > PROTO_TEST_MAX_MS)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"a test of %u ms is too long; at most %u", ms, PROTO_TEST_MAX_MS);
	i = network_team_member(n, member, error);
	if (i < 0)
		return i;
	if (!list_empty(&t->test_waits))
		return error_set(error, ERROR_RESOURCE_BUSY,
			"another test of network '%s' goes on; try again when it is over", n->name);
	test.member = (uint32_t)i;
	(void)str_copy(t->test_name, sizeof(t->test_name), member);
	r = worker_request(n->worker, PROTO_TEAM_TEST, &test, sizeof(test), NULL, 0,
		NETWORK_REQUEST_USEC, on_test_reply, n);
	if (r < 0)
		return error_set_errno(error, r, "cannot ask the worker of network '%s'", n->name);
	if (domain_add_wait(&t->test_waits, done, userdata) < 0)
		return error_set(error, ERROR_NO_MEMORY, "team");
	t->test_began = false;
	if (sd_event_add_time_relative(n->manager->event, &t->test_timer, CLOCK_MONOTONIC,
		    NETWORK_TEST_USEC + test.ms * UINT64_C(1000), 0, on_test_timeout, n) < 0)
		log_warning("network '%s': a test without an end will not be noticed", n->name);
	return 0;
}

/* Life. */

void network_team_end(struct network *n, bool over)
{
	struct network_team *t = n->team;
	struct error e = {0};

	if (!t)
		return;
	(void)error_set(&e, ERROR_OPERATION_FAILED, "network '%s' lost its worker", n->name);
	domain_finish_waits(&t->looks, &e);
	finish_test(n, &e);
	t->known = false;
	/* The next worker counts its reports from 1. */
	t->worker_number = 0;
	if (over)
		network_team_free(n);
}

void network_team_free(struct network *n)
{
	struct network_team *t = n->team;

	if (!t)
		return;
	domain_drop_waits(&t->looks);
	domain_drop_waits(&t->test_waits);
	t->save_timer = sd_event_source_disable_unref(t->save_timer);
	t->test_timer = sd_event_source_disable_unref(t->test_timer);
	free(t);
	n->team = NULL;
}
