/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory-policy: the host's policy that takes memory from guests while it is under pressure.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"

#define LAST_DECISIONS 10 /* that are shown without --history */

const struct verb_option memory_policy_options[] = {
	FLAG("on", "switch it on"),
	FLAG("off", "switch it off, and give back what it has taken"),
	FLAG("history", "show all decisions that vmmd remembers, not the last ten"),
	{},
};

#define NUMBER_MAX 24

/* In MiB; "-": it is not said. */
static const char *mib(struct json_object *o, const char *key, char ret[NUMBER_MAX])
{
	if (!json_object_object_get_ex(o, key, NULL))
		return "-";
	(void)snprintf(ret, NUMBER_MAX, "%lld", (long long)json_number(o, key, 0) / 1024);
	return ret;
}

static const char *percent(struct json_object *o, const char *key, char ret[NUMBER_MAX])
{
	struct json_object *value;

	if (!json_object_object_get_ex(o, key, &value))
		return "-";
	(void)snprintf(ret, NUMBER_MAX, "%.2f %%", json_object_get_double(value));
	return ret;
}

static void print_policy(struct ctl *ctl, struct json_object *o)
{
	const char *why_not = json_string(o, "why_not", "");
	bool on = json_flag(o, "on");
	char a[NUMBER_MAX], b[NUMBER_MAX];

	ctl_print(ctl, "%-17s %s%s%s\n", "Memory policy:", on ? "on" : "off",
		*why_not ? on ? ", and does nothing: " : ", and cannot be switched on: " : "",
		why_not);
	if (on && !*why_not)
		ctl_print(ctl, "%-17s %s\n", "State:",
			json_flag(o, "busy") ? "looking after guests that have given up memory"
					     : "waiting for pressure");
	if (!*why_not)
		ctl_print(ctl, "%-17s some %s, full %s\n",
			"Pressure:", percent(o, "pressure_some", a),
			percent(o, "pressure_full", b));
	ctl_print(ctl, "%-17s %s", "Available:", mib(o, "available_kib", a));
	ctl_print(ctl, " of %s MiB\n", mib(o, "total_kib", a));
	ctl_print(ctl, "%-17s %s MiB\n", "Is to have:", mib(o, "wanted_kib", a));
	ctl_print(ctl, "%-17s %s MiB\n", "Gives back from:", mib(o, "room_kib", a));
}

static int print_table(struct ctl *ctl, struct table *table)
{
	if (!table)
		return ctl_error(ctl, "out of memory");
	ctl_print(ctl, "\n");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

static int print_domains(struct ctl *ctl, struct json_object *list)
{
	static const char *const headers[] = {"Domain (MiB)", "Weight", "Floor", "May have",
		"Is to have", "Has", "Usable", "Taken"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));
	size_t n = json_object_array_length(list);

	for (size_t i = 0; table && i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		char weight[NUMBER_MAX], t[6][NUMBER_MAX];
		const char *cells[ARRAY_SIZE(headers)] = {json_string(o, "domain", ""), weight,
			mib(o, "floor_kib", t[0]), mib(o, "ceiling_kib", t[1]),
			mib(o, "target_kib", t[2]), mib(o, "current_kib", t[3]),
			mib(o, "usable_kib", t[4]), mib(o, "taken_kib", t[5])};

		(void)snprintf(
			weight, sizeof(weight), "%lld", (long long)json_number(o, "weight", 0));
		if (!json_object_object_get_ex(o, "weight", NULL)) {
			cells[1] = "-";
			cells[7] = json_string(o, "why_not", "-");
		}
		if (table_add_row(table, cells) < 0)
			table = table_free(table);
	}
	return print_table(ctl, table);
}

static int print_decisions(struct ctl *ctl, struct json_object *list, bool all)
{
	static const char *const headers[] = {
		"Time", "What", "Domain", "Why", "From (MiB)", "To", "Usable", "Host", "Pressure"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));
	size_t n = json_object_array_length(list);

	for (size_t i = all || n < LAST_DECISIONS ? 0 : n - LAST_DECISIONS; table && i < n; i++) {
		struct json_object *o = json_object_array_get_idx(list, i);
		time_t when = (time_t)(json_number(o, "time_us", 0) / 1000000);
		char date[32] = "-", t[5][NUMBER_MAX];
		const char *cells[] = {date, json_string(o, "action", ""),
			json_string(o, "domain", "-"), json_string(o, "reason", "-"),
			mib(o, "before_kib", t[0]), mib(o, "after_kib", t[1]),
			mib(o, "usable_kib", t[2]), mib(o, "available_kib", t[3]),
			percent(o, "pressure_some", t[4])};
		struct tm tm;

		if (localtime_r(&when, &tm))
			(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
		if (table_add_row(table, cells) < 0)
			table = table_free(table);
	}
	return print_table(ctl, table);
}

static int show(struct ctl *ctl, bool all)
{
	static const char *const names[] = {"policy", "domains", "decisions"};
	_cleanup_(json_putp) struct json_object *reply = NULL;
	struct json_object *parts[ARRAY_SIZE(names)], *o;
	int r;

	if (remote_call(ctl, "GetMemoryPolicy", CTL_CALL_TIMEOUT_USEC, &reply, "") < 0)
		return ctl_fail(ctl, "failed to get the memory policy");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		parts[i] = json_object_array_get_idx(reply, i);
	if (!json_object_is_type(parts[1], json_type_array) ||
		!json_object_is_type(parts[2], json_type_array))
		return ctl_error(ctl, "internal error: strange answer to GetMemoryPolicy");
	if (ctl->json) {
		o = json_object_new_object();
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			(void)json_object_object_add(o, names[i], json_object_get(parts[i]));
		return ctl_json(ctl, o);
	}
	print_policy(ctl, parts[0]);
	r = print_domains(ctl, parts[1]);
	return r < 0 ? r : print_decisions(ctl, parts[2], all);
}

int verb_memory_policy(struct ctl *ctl, const struct args *args)
{
	bool on = args_flag(args, "on");
	struct json_object *o;

	if (ctl_exclusive(ctl, args, "on", "off") < 0)
		return -EINVAL;
	if (!on && !args_flag(args, "off"))
		return show(ctl, args_flag(args, "history"));
	if (ctl->readonly)
		return ctl_error(
			ctl, "operation forbidden: read only access prevents %s", args->verb->name);
	if (remote_call(ctl, "SetMemoryPolicy", CTL_CALL_TIMEOUT_USEC, NULL, "b", (int)on) < 0)
		return ctl_fail(ctl, "failed to switch the memory policy");
	if (!ctl->json) {
		ctl_extra(ctl, "Memory policy switched %s\n", on ? "on" : "off");
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "on", json_object_new_boolean(on));
	return ctl_json(ctl, o);
}
