/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmctl list: which domains (options to filter), in virsh's order, as a table, as bare words or as JSON.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/verbs.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

const struct verb_option list_options[] = {
	FLAG("inactive", "list inactive domains"),
	FLAG("all", "list inactive & active domains"),
	FLAG("transient", "list transient domains"),
	FLAG("persistent", "list persistent domains"),
	FLAG("state-running", "list domains in running state"),
	FLAG("state-paused", "list domains in paused state"),
	FLAG("state-shutoff", "list domains in shutoff state"),
	FLAG("state-other", "list domains in other states"),
	FLAG("autostart", "list domains with autostart enabled"),
	FLAG("no-autostart", "list domains with autostart disabled"),
	FLAG("uuid", "list uuid's only"),
	FLAG("name", "list domain names only"),
	FLAG("id", "list domain IDs only"),
	FLAG("table", "list table (default)"),
	FLAG("managed-save", "mark inactive domains with managed save state"),
	FLAG("title", "show domain title"),
	{.name = "wide",
		.type = OPTION_FLAG,
		.letter = 'w',
		.help = "-w: also show vCPUs, memory, resident memory and CPU use"},
	{},
};

#define CPU_SAMPLE_NSEC (200 * NSEC_PER_MSEC)

#define STATS_CPU     2U
#define STATS_BALLOON 4U
#define STATS_VCPU    8U

static bool is_active(struct json_object *domain)
{
	return json_number(domain, "id", -1) >= 0;
}

static bool state_wanted(const struct args *args, const char *state)
{
	bool running = args_flag(args, "state-running");
	bool paused = args_flag(args, "state-paused");
	bool off = args_flag(args, "state-shutoff");
	bool other = args_flag(args, "state-other");

	if (!running && !paused && !off && !other)
		return true;
	if (streq(state, "running"))
		return running;
	if (streq(state, "paused"))
		return paused;
	if (streq(state, "shut off"))
		return off;
	return other;
}

/* Two opposite filters: none or both given means all. */
static bool either(bool want_yes, bool want_no, bool is)
{
	return want_yes == want_no || want_yes == is;
}

static bool is_wanted(const struct args *args, struct json_object *domain)
{
	return state_wanted(args, json_string(domain, "state", "no state")) &&
		either(args_flag(args, "persistent"), args_flag(args, "transient"),
			json_flag(domain, "persistent")) &&
		either(args_flag(args, "autostart"), args_flag(args, "no-autostart"),
			json_flag(domain, "autostart"));
}

/* Active domains by id, then the others by name. */
static int compare_domains(const void *a, const void *b)
{
	struct json_object *x = *(struct json_object *const *)a;
	struct json_object *y = *(struct json_object *const *)b;
	int64_t id_x = json_number(x, "id", -1), id_y = json_number(y, "id", -1);

	if (id_x >= 0 && id_y >= 0)
		return (id_x > id_y) - (id_x < id_y);
	if ((id_x >= 0) != (id_y >= 0))
		return id_x >= 0 ? -1 : 1;
	return strcasecmp(json_string(x, "name", ""), json_string(y, "name", ""));
}

/* Names, UUIDs and ids are all that is asked for, and all that decides. */
static bool by_names(const struct ctl *ctl, const struct args *args)
{
	static const char *const others[] = {"table", "wide", "state-running", "state-paused",
		"state-shutoff", "state-other", "persistent", "transient", "autostart",
		"no-autostart"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (args_flag(args, others[i]))
			return false;
	return !ctl->json &&
		(args_flag(args, "name") || args_flag(args, "uuid") || args_flag(args, "id"));
}

static int get_domains(struct ctl *ctl, const struct args *args, struct json_object **ret)
{
	_cleanup_(json_putp) struct json_object *all = NULL, *list = json_object_new_array();
	uint32_t flags = REMOTE_LIST_ACTIVE;

	if (args_flag(args, "inactive") || args_flag(args, "state-shutoff"))
		flags = REMOTE_LIST_INACTIVE;
	if (args_flag(args, "all"))
		flags = 0;
	if (!list)
		return ctl_error(ctl, "out of memory");
	if (by_names(ctl, args) ? remote_list_domain_names(ctl, flags, &all) < 0
				: remote_list_domains(ctl, flags, &all) < 0)
		return ctl_fail(ctl, "Failed to list domains");
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *domain = json_object_array_get_idx(all, i);

		if (is_wanted(args, domain))
			(void)json_object_array_add(list, json_object_get(domain));
	}
	json_object_array_sort(list, compare_domains);
	*ret = TAKE_PTR(list);
	return 0;
}

static void format_id(struct json_object *domain, char ret[24])
{
	int64_t id = json_number(domain, "id", -1);

	if (id < 0)
		strcpy(ret, "-");
	else
		(void)snprintf(ret, 24, "%lld", (long long)id);
}

static const char *shown_state(const struct args *args, struct json_object *domain)
{
	if (args_flag(args, "managed-save") && !is_active(domain) &&
		json_flag(domain, "managed_save"))
		return "saved";
	return json_string(domain, "state", "no state");
}

static int print_table(struct ctl *ctl, const struct args *args, struct json_object *list)
{
	static const char *const headers[] = {"Id", "Name", "State", "Title"};
	_cleanup_(table_freep) struct table *table =
		table_new(headers, args_flag(args, "title") ? 4 : 3);

	for (size_t i = 0; table && i < json_object_array_length(list); i++) {
		struct json_object *domain = json_object_array_get_idx(list, i);
		char id[24];

		format_id(domain, id);
		if (table_add_row(table,
			    (const char *const[]){id, json_string(domain, "name", ""),
				    shown_state(args, domain), json_string(domain, "title", "")}) <
			0)
			table = table_free(table);
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

static void print_words(struct ctl *ctl, const struct args *args, struct json_object *list)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *domain = json_object_array_get_idx(list, i);
		const char *separator = "";
		char id[24];

		if (args_flag(args, "uuid")) {
			ctl_print(ctl, "%s", json_string(domain, "uuid", ""));
			separator = " ";
		}
		if (args_flag(args, "id")) {
			format_id(domain, id);
			ctl_print(ctl, "%s%s", separator, id);
			separator = " ";
		}
		if (args_flag(args, "name"))
			ctl_print(ctl, "%s%s", separator, json_string(domain, "name", ""));
		ctl_print(ctl, "\n");
	}
}

/* The statistics of all domains by UUID, with "t" (ns) beside them. */
static int get_stats(struct ctl *ctl, struct json_object **ret)
{
	_cleanup_(json_putp) struct json_object *all = NULL, *by_uuid = json_object_new_object();
	struct timespec now;
	int r;

	r = remote_get_stats(ctl, NULL, 0, STATS_CPU | STATS_BALLOON | STATS_VCPU, &all);
	if (r < 0)
		return r;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	for (size_t i = 0; i < json_object_array_length(all); i++) {
		struct json_object *row = json_object_array_get_idx(all, i), *stats;

		if (!json_object_object_get_ex(row, "stats", &stats))
			continue;
		(void)json_object_object_add(stats, "t",
			json_object_new_int64(
				(int64_t)now.tv_sec * (int64_t)NSEC_PER_SEC + now.tv_nsec));
		(void)json_object_object_add(
			by_uuid, json_string(row, "uuid", ""), json_object_get(stats));
	}
	*ret = TAKE_PTR(by_uuid);
	return 0;
}

static void format_cpu(
	struct json_object *before, struct json_object *after, char *ret, size_t size)
{
	int64_t used = json_number(after, "cpu.time", -1) - json_number(before, "cpu.time", 0);
	int64_t elapsed = json_number(after, "t", 0) - json_number(before, "t", 0);

	if (!before || json_number(after, "cpu.time", -1) < 0 || used < 0 || elapsed <= 0)
		strcpy(ret, "-");
	else
		(void)snprintf(ret, size, "%.1f%%", 100.0 * (double)used / (double)elapsed);
}

static void format_number(struct json_object *stats, const char *key, unsigned divisor,
	const char *unit, char *ret, size_t size)
{
	int64_t n = json_number(stats, key, -1);

	if (n < 0)
		strcpy(ret, "-");
	else
		(void)snprintf(ret, size, "%lld%s", (long long)n / divisor, unit);
}

static int print_wide_rows(struct ctl *ctl, const struct args *args, struct json_object *list,
	struct json_object *before, struct json_object *after)
{
	static const char *const headers[] = {
		"Id", "Name", "State", "vCPU", "Memory", "Resident", "CPU", "Title"};
	_cleanup_(table_freep) struct table *table =
		table_new(headers, args_flag(args, "title") ? 8 : 7);

	for (size_t i = 0; table && i < json_object_array_length(list); i++) {
		struct json_object *domain = json_object_array_get_idx(list, i);
		struct json_object *a = NULL, *b = NULL;
		char id[24], vcpus[24], memory[24], resident[24], cpu[32];

		(void)json_object_object_get_ex(after, json_string(domain, "uuid", ""), &a);
		(void)json_object_object_get_ex(before, json_string(domain, "uuid", ""), &b);
		format_id(domain, id);
		format_number(a, "vcpu.current", 1, "", vcpus, sizeof(vcpus));
		format_number(a, "balloon.maximum", 1024, " MiB", memory, sizeof(memory));
		format_number(a, "balloon.rss", 1024, " MiB", resident, sizeof(resident));
		format_cpu(b, a, cpu, sizeof(cpu));
		if (table_add_row(table,
			    (const char *const[]){id, json_string(domain, "name", ""),
				    shown_state(args, domain), vcpus, memory, resident, cpu,
				    json_string(domain, "title", "")}) < 0)
			table = table_free(table);
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

static int print_wide(struct ctl *ctl, const struct args *args, struct json_object *list)
{
	_cleanup_(json_putp) struct json_object *before = NULL, *after = NULL;
	struct timespec pause = {.tv_nsec = CPU_SAMPLE_NSEC};

	/* CPU use is what was used between two looks. */
	if (get_stats(ctl, &before) < 0)
		return ctl_fail(ctl, "Failed to get statistics");
	(void)nanosleep(&pause, NULL);
	if (get_stats(ctl, &after) < 0)
		return ctl_fail(ctl, "Failed to get statistics");
	return print_wide_rows(ctl, args, list, before, after);
}

/* Stable keys, whatever vmmd adds to its answer. */
static struct json_object *domain_json(struct json_object *domain)
{
	struct json_object *o = json_object_new_object();
	int64_t id = json_number(domain, "id", -1);

	(void)json_object_object_add(o, "id", id < 0 ? NULL : json_object_new_int64(id));
	(void)json_object_object_add(
		o, "name", json_object_new_string(json_string(domain, "name", "")));
	(void)json_object_object_add(
		o, "uuid", json_object_new_string(json_string(domain, "uuid", "")));
	(void)json_object_object_add(
		o, "state", json_object_new_string(json_string(domain, "state", "no state")));
	(void)json_object_object_add(
		o, "reason", json_object_new_string(json_string(domain, "reason", "unknown")));
	(void)json_object_object_add(
		o, "persistent", json_object_new_boolean(json_flag(domain, "persistent")));
	(void)json_object_object_add(
		o, "autostart", json_object_new_boolean(json_flag(domain, "autostart")));
	(void)json_object_object_add(
		o, "managed_save", json_object_new_boolean(json_flag(domain, "managed_save")));
	(void)json_object_object_add(
		o, "title", json_object_new_string(json_string(domain, "title", "")));
	return o;
}

static int print_json(struct ctl *ctl, struct json_object *list)
{
	struct json_object *out = json_object_new_array();

	for (size_t i = 0; i < json_object_array_length(list); i++)
		(void)json_object_array_add(out, domain_json(json_object_array_get_idx(list, i)));
	return ctl_json(ctl, out);
}

int verb_list(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	bool words = args_flag(args, "name") || args_flag(args, "uuid") || args_flag(args, "id");

	if (ctl_exclusive(ctl, args, "table", "name") < 0 ||
		ctl_exclusive(ctl, args, "table", "uuid") < 0 ||
		ctl_exclusive(ctl, args, "table", "id") < 0 ||
		ctl_exclusive(ctl, args, "wide", "name") < 0 ||
		ctl_exclusive(ctl, args, "wide", "uuid") < 0 ||
		ctl_exclusive(ctl, args, "wide", "id") < 0)
		return -EINVAL;
	if (get_domains(ctl, args, &list) < 0)
		return -EINVAL;
	if (ctl->json)
		return print_json(ctl, list);
	if (args_flag(args, "wide"))
		return print_wide(ctl, args, list);
	if (!words)
		return print_table(ctl, args, list);
	print_words(ctl, args, list);
	return 0;
}
