/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs that look at one domain (dominfo, domstate, domid, …) and domstats. Tested by tests/unit/test-verbs.c. */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <string.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

const struct verb_option domblklist_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("inactive", "get inactive rather than running configuration"),
	FLAG("details", "additionally display the type and device value"),
	{},
};

const struct verb_option domstate_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("reason", "also print reason for the state"),
	{},
};

const struct verb_option domstats_options[] = {
	FLAG("state", "report domain state"),
	FLAG("cpu-total", "report domain physical cpu usage"),
	FLAG("balloon", "report domain balloon statistics"),
	FLAG("vcpu", "report domain virtual cpu information"),
	FLAG("interface", "report domain network interface information"),
	FLAG("block", "report domain block device statistics"),
	FLAG("perf", "report domain perf event statistics (there are none)"),
	FLAG("iothread", "report domain IOThread information"),
	FLAG("memory", "report domain memory usage (there is no resctrl monitor)"),
	FLAG("dirtyrate", "report domain dirty rate information (there is none)"),
	FLAG("vm", "report what the virtual machine monitor counts"),
	FLAG("overhead", "report where the host's CPU time went, and exits by cause"),
	FLAG("pressure", "report what the worker waited for, and what polling cost"),
	FLAG("mmu", "report what KVM's MMU does for it, asking each worker"),
	FLAG("list-active", "list only active domains"),
	FLAG("list-inactive", "list only inactive domains"),
	FLAG("list-persistent", "list only persistent domains"),
	FLAG("list-transient", "list only transient domains"),
	FLAG("list-running", "list only running domains"),
	FLAG("list-paused", "list only paused domains"),
	FLAG("list-shutoff", "list only shutoff domains"),
	FLAG("list-other", "list only domains in other states"),
	FLAG("raw", "do not pretty-print the fields"),
	FLAG("enforce", "enforce requested stats parameters"),
	FLAG("nowait", "report only stats that are accessible instantly (they always are)"),
	{.name = "domain",
		.type = OPTION_LIST,
		.completion = COMPLETE_DOMAIN,
		.help = "list of domains to get stats for"},
	{},
};

static int get_domain(struct ctl *ctl, const struct args *args, struct json_object **ret)
{
	const char *name;
	int r;

	r = ctl_domain_option(ctl, args, &name);
	if (r < 0)
		return r;
	if (remote_get_domain(ctl, name, ret) < 0)
		return ctl_report_domain(ctl, name);
	return 0;
}

static void print_key(struct ctl *ctl, const char *key, const char *value)
{
	ctl_print(ctl, "%-15s %s\n", key, value);
}

static void print_kib(struct ctl *ctl, const char *key, int64_t kib)
{
	ctl_print(ctl, "%-15s %lld KiB\n", key, (long long)kib);
}

int verb_dominfo(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *d = NULL;
	int64_t cpu_time;
	int r;

	r = get_domain(ctl, args, &d);
	if (r < 0)
		return r;
	if (ctl->json && json_number(d, "id", -1) < 0)
		(void)json_object_object_add(d, "id", NULL); /* as in list --json */
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(d));
	if (json_number(d, "id", -1) < 0)
		print_key(ctl, "Id:", "-");
	else
		ctl_print(ctl, "%-15s %lld\n", "Id:", (long long)json_number(d, "id", -1));
	print_key(ctl, "Name:", json_string(d, "name", ""));
	print_key(ctl, "UUID:", json_string(d, "uuid", ""));
	print_key(ctl, "OS Type:", json_string(d, "os_type", "hvm"));
	print_key(ctl, "State:", json_string(d, "state", "no state"));
	ctl_print(ctl, "%-15s %lld\n", "CPU(s):", (long long)json_number(d, "vcpus", 0));
	cpu_time = json_number(d, "cpu_time_ns", 0);
	if (cpu_time > 0)
		ctl_print(ctl, "%-15s %.1fs\n", "CPU time:", (double)cpu_time / 1e9);
	print_kib(ctl, "Max memory:", json_number(d, "memory_kib", 0));
	print_kib(ctl, "Used memory:", json_number(d, "current_memory_kib", 0));
	print_key(ctl, "Persistent:", json_flag(d, "persistent") ? "yes" : "no");
	print_key(ctl, "Autostart:", json_flag(d, "autostart") ? "enable" : "disable");
	print_key(ctl, "Managed save:", json_flag(d, "managed_save") ? "yes" : "no");
	print_key(ctl, "Security model:", "none");
	print_key(ctl, "Security DOI:", "0");
	return 0;
}

/* One value of a domain: text, or {"domain": name, key: value}. */
static int one_value(struct ctl *ctl, struct json_object *d, const char *key,
	struct json_object *value, const char *text)
{
	struct json_object *o;

	if (!ctl->json) {
		(void)json_object_put(value);
		ctl_print(ctl, "%s\n", text);
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(
		o, "domain", json_object_new_string(json_string(d, "name", "")));
	(void)json_object_object_add(o, key, value);
	return ctl_json(ctl, o);
}

int verb_domstate(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *d = NULL;
	struct json_object *o;
	const char *state, *reason;
	int r;

	r = get_domain(ctl, args, &d);
	if (r < 0)
		return r;
	state = json_string(d, "state", "no state");
	reason = json_string(d, "reason", "unknown");
	if (ctl->json) {
		o = json_object_new_object();
		(void)json_object_object_add(
			o, "domain", json_object_new_string(json_string(d, "name", "")));
		(void)json_object_object_add(o, "state", json_object_new_string(state));
		(void)json_object_object_add(o, "reason", json_object_new_string(reason));
		return ctl_json(ctl, o);
	}
	if (args_flag(args, "reason"))
		ctl_print(ctl, "%s (%s)\n", state, reason);
	else
		ctl_print(ctl, "%s\n", state);
	return 0;
}

int verb_domid(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *d = NULL;
	char text[24] = "-";
	int64_t id;
	int r;

	r = get_domain(ctl, args, &d);
	if (r < 0)
		return r;
	id = json_number(d, "id", -1);
	if (id >= 0)
		(void)snprintf(text, sizeof(text), "%lld", (long long)id);
	return one_value(ctl, d, "id", id < 0 ? NULL : json_object_new_int64(id), text);
}

static int string_verb(struct ctl *ctl, const struct args *args, const char *key)
{
	_cleanup_(json_putp) struct json_object *d = NULL;
	const char *text;
	int r;

	r = get_domain(ctl, args, &d);
	if (r < 0)
		return r;
	text = json_string(d, key, "");
	return one_value(ctl, d, key, json_object_new_string(text), text);
}

int verb_domuuid(struct ctl *ctl, const struct args *args)
{
	return string_verb(ctl, args, "uuid");
}

int verb_domname(struct ctl *ctl, const struct args *args)
{
	return string_verb(ctl, args, "name");
}

static const char *text_or_dash(struct json_object *disk, const char *key)
{
	const char *s = json_string(disk, key, "");

	return *s ? s : "-";
}

static int print_disks(struct ctl *ctl, struct json_object *disks, bool details)
{
	static const char *const headers[] = {"Type", "Device", "Target", "Source"};
	size_t first = details ? 0 : 2;
	_cleanup_(table_freep) struct table *table = table_new(headers + first, 4 - first);

	for (size_t i = 0; table && i < json_object_array_length(disks); i++) {
		struct json_object *disk = json_object_array_get_idx(disks, i);
		const char *const cells[] = {json_string(disk, "type", ""),
			json_string(disk, "device", ""), json_string(disk, "target", ""),
			text_or_dash(disk, "source")};

		if (table_add_row(table, cells + first) < 0)
			table = table_free(table);
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

int verb_domblklist(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *disks = NULL;
	const char *name;
	int r;

	r = ctl_domain_option(ctl, args, &name);
	if (r < 0)
		return r;
	if (remote_call_one(ctl, "ListDomainDisks", &disks, "su", name,
		    (uint32_t)args_flag(args, "inactive")) < 0)
		return ctl_report_domain(ctl, name);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(disks));
	return print_disks(ctl, disks, args_flag(args, "details"));
}

#define STATS_NOTHING 256U       /* perf: there is none */
#define STATS_MMU     (1U << 31) /* no group of GetDomainStats: it would have to wait for workers */

static const struct {
	const char *option;
	uint32_t bit;
} stats_groups[] = {{"state", 1}, {"cpu-total", 2}, {"balloon", 4}, {"vcpu", 8}, {"interface", 16},
	{"block", 32}, {"vm", 64}, {"iothread", 128}, {"perf", 256}, {"memory", 512},
	{"dirtyrate", 1024}, {"overhead", 2048}, {"pressure", 4096}, {"mmu", STATS_MMU}};

/* Which domains domstats is to show: a filter on the list, when one was asked for. */
static bool stats_filtered(const struct args *args)
{
	static const char *const filters[] = {"list-active", "list-inactive", "list-persistent",
		"list-transient", "list-running", "list-paused", "list-shutoff", "list-other"};
	const char *const *f;

	FOREACH_ELEMENT (f, filters)
		if (args_flag(args, *f))
			return true;
	return false;
}

static bool stats_wanted(const struct args *args, struct json_object *d)
{
	bool active = json_number(d, "id", -1) >= 0, persistent = json_flag(d, "persistent");
	const char *state = json_string(d, "state", "no state");
	bool running = streq(state, "running"), paused = streq(state, "paused");
	bool off = streq(state, "shut off");
	bool by_state = args_flag(args, "list-running") || args_flag(args, "list-paused") ||
		args_flag(args, "list-shutoff") || args_flag(args, "list-other");

	if (args_flag(args, "list-active") != args_flag(args, "list-inactive") &&
		args_flag(args, "list-active") != active)
		return false;
	if (args_flag(args, "list-persistent") != args_flag(args, "list-transient") &&
		args_flag(args, "list-persistent") != persistent)
		return false;
	if (!by_state)
		return true;
	return (running && args_flag(args, "list-running")) ||
		(paused && args_flag(args, "list-paused")) ||
		(off && args_flag(args, "list-shutoff")) ||
		(!running && !paused && !off && args_flag(args, "list-other"));
}

static bool list_has_uuid(struct json_object *list, const char *uuid, const struct args *args)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *d = json_object_array_get_idx(list, i);

		if (streq(json_string(d, "uuid", ""), uuid))
			return stats_wanted(args, d);
	}
	return false;
}

static int filter_stats(struct ctl *ctl, const struct args *args, struct json_object **stats)
{
	_cleanup_(json_putp) struct json_object *list = NULL, *kept = json_object_new_array();

	if (remote_list_domains(ctl, 0, &list) < 0)
		return ctl_report(ctl);
	for (size_t i = 0; i < json_object_array_length(*stats); i++) {
		struct json_object *row = json_object_array_get_idx(*stats, i);

		if (list_has_uuid(list, json_string(row, "uuid", ""), args))
			(void)json_object_array_add(kept, json_object_get(row));
	}
	json_putp(stats);
	*stats = TAKE_PTR(kept);
	return 0;
}

static const char *stats_value(struct json_object *value)
{
	if (json_object_is_type(value, json_type_boolean))
		return json_object_get_boolean(value) ? "yes" : "no";
	return json_object_get_string(value);
}

static int get_stats(struct ctl *ctl, const struct args *args, struct json_object **ret)
{
	uint32_t groups = 0;

	for (size_t i = 0; i < ARRAY_SIZE(stats_groups); i++)
		if (args_flag(args, stats_groups[i].option))
			groups |= stats_groups[i].bit;
	for (size_t i = 0; i < args->n_list; i++) {
		_cleanup_(json_putp) struct json_object *d = NULL;

		/* The list is refused as a whole; ask one by one, to name the one that is unknown. */
		if (remote_get_domain(ctl, args->list[i], &d) < 0)
			return ctl_report_domain(ctl, args->list[i]);
	}
	/* Only --mmu: no group would be all. */
	if (remote_get_stats(ctl, args->list, args->n_list,
		    groups == STATS_MMU ? STATS_NOTHING : groups & ~STATS_MMU, ret) < 0)
		return ctl_report(ctl);
	return 0;
}

/* "mmu.pages_4k" and so on; of domains that do not run, or whose kernel does not say, there is nothing. */
static void add_mmu(struct ctl *ctl, struct json_object *row)
{
	_cleanup_(json_putp) struct json_object *mmu = NULL;
	struct json_object *stats = json_object_object_get(row, "stats");
	char name[64];

	if (!stats ||
		remote_call_one(ctl, "GetMmuStats", &mmu, "s", json_string(row, "uuid", "")) < 0)
		return;
	json_object_object_foreach(mmu, key, value)
	{
		(void)snprintf(name, sizeof(name), "mmu.%.56s", key);
		(void)json_object_object_add(stats, name, json_object_get(value));
	}
}

int verb_domstats(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *stats = NULL;
	int r;

	r = get_stats(ctl, args, &stats);
	if (r >= 0 && stats_filtered(args))
		r = filter_stats(ctl, args, &stats);
	if (r < 0)
		return r;
	for (size_t i = 0; args_flag(args, "mmu") && i < json_object_array_length(stats); i++)
		add_mmu(ctl, json_object_array_get_idx(stats, i));
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(stats));
	for (size_t i = 0; i < json_object_array_length(stats); i++) {
		struct json_object *row = json_object_array_get_idx(stats, i), *values;

		ctl_print(ctl, "%sDomain: '%s'\n", i ? "\n" : "", json_string(row, "name", ""));
		if (!json_object_object_get_ex(row, "stats", &values))
			continue;
		json_object_object_foreach(values, key, value)
			ctl_print(ctl, "  %s=%s\n", key, stats_value(value));
	}
	return 0;
}
