/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs, where threads run, and what a domain may use: setvcpus, vcpucount, vcpuinfo, vcpupin, emulatorpin, schedinfo and
 * memtune, with virsh's words.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "vmm-core/base/cpuset.h"
#include "vmm-core/base/strutil.h"

#define AFFECT_LIVE   (1U << 0)
#define AFFECT_CONFIG (1U << 1)

#define VCPU_MAXIMUM (1U << 2)

#define UNLIMITED_KIB INT64_C(9007199254740988) /* libvirt's number; or more */

#define TUNE_OPTIONS                                                                               \
	FLAG("config", "affect next boot"), FLAG("live", "affect running domain"),                 \
		FLAG("current", "affect current domain")

const struct verb_option vcpucount_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("maximum", "get maximum count of vcpus"),
	FLAG("active", "get number of currently active vcpus"),
	FLAG("live", "get value from running domain"),
	FLAG("config", "get value to be used on next boot"),
	FLAG("current", "get value according to current domain state"),
	FLAG("guest", "retrieve vcpu count from the guest (there is no agent to ask)"),
	{},
};

const struct verb_option setvcpus_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	WORD("count", "number of virtual CPUs"),
	FLAG("maximum", "set maximum limit on next boot"),
	TUNE_OPTIONS,
	FLAG("guest", "modify cpu state in the guest (there is no agent to ask)"),
	FLAG("hotpluggable", "make added vcpus hot(un)pluggable (all but the first are)"),
	{},
};

const struct verb_option vcpuinfo_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("pretty", "return human readable output"),
	{},
};

const struct verb_option vcpupin_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	STRING("vcpu", "vcpu number"),
	STRING("cpulist", "host cpu number(s) to set, or omit option to query"),
	TUNE_OPTIONS,
	{},
};

const struct verb_option emulatorpin_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	STRING("cpulist", "host cpu number(s) to set, or omit option to query"),
	TUNE_OPTIONS,
	{},
};

const struct verb_option schedinfo_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	TUNE_OPTIONS,
	{.name = "set", .type = OPTION_LIST, .help = "parameter=value"},
	{},
};

const struct verb_option memtune_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	STRING("hard-limit", "Max memory, as scaled integer (default KiB); -1: unlimited"),
	STRING("soft-limit", "Memory during contention, as scaled integer (default KiB)"),
	STRING("swap-hard-limit", "Max memory plus swap, as scaled integer (default KiB)"),
	STRING("min-guarantee",
		"What the host's memory policy leaves, as scaled integer (default KiB)"),
	STRING("weight", "The heavier, the less the host's memory policy takes: 1 to 10000"),
	TUNE_OPTIONS,
	{},
};

int verb_affect_flags(struct ctl *ctl, const struct args *args, uint32_t *ret)
{
	if (ctl_exclusive(ctl, args, "current", "live") < 0 ||
		ctl_exclusive(ctl, args, "current", "config") < 0)
		return -EINVAL;
	*ret = (args_flag(args, "live") ? AFFECT_LIVE : 0) |
		(args_flag(args, "config") ? AFFECT_CONFIG : 0);
	return 0;
}

/* What a verb that also looks does before it changes something. */
static int check_writable(struct ctl *ctl, const struct args *args)
{
	if (!ctl->readonly)
		return 0;
	return ctl_error(
		ctl, "operation forbidden: read only access prevents %s", args->verb->name);
}

static bool is_invalid_operation(const struct ctl *ctl)
{
	return ctl->error_code && streq(ctl->error_code, "OperationInvalid");
}

static int list_vcpus(struct ctl *ctl, const char *domain, uint32_t flags, struct json_object **ret)
{
	return remote_call_one(ctl, "ListVcpus", ret, "su", domain, flags);
}

static int count_cpus(struct ctl *ctl, unsigned *ret)
{
	_cleanup_(json_putp) struct json_object *node = NULL;

	if (remote_call_one(ctl, "GetNodeInfo", &node, "") < 0)
		return ctl_report(ctl);
	*ret = (unsigned)json_number(node, "cpus", 0);
	return 0;
}

/* vcpucount */

static int64_t count_vcpus(struct json_object *list, bool all)
{
	int64_t n = 0;

	for (size_t i = 0; i < json_object_array_length(list); i++)
		n += all || json_flag(json_object_array_get_idx(list, i), "online");
	return n;
}

static int count_all(struct ctl *ctl, const char *domain)
{
	_cleanup_(json_putp) struct json_object *config = NULL, *live = NULL;
	const struct {
		const char *which, *state;
		struct json_object **list;
		bool all;
	} rows[] = {
		{"maximum", "config", &config, true},
		{"maximum", "live", &live, true},
		{"current", "config", &config, false},
		{"current", "live", &live, false},
	};
	struct json_object *o;

	if ((list_vcpus(ctl, domain, AFFECT_CONFIG, &config) < 0 && !is_invalid_operation(ctl)) ||
		(list_vcpus(ctl, domain, AFFECT_LIVE, &live) < 0 && !is_invalid_operation(ctl)))
		return ctl_report_domain(ctl, domain);
	o = json_object_new_object();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char key[32];
		int64_t n;

		if (!*rows[i].list)
			continue;
		n = count_vcpus(*rows[i].list, rows[i].all);
		(void)snprintf(key, sizeof(key), "%s_%s", rows[i].which, rows[i].state);
		(void)json_object_object_add(o, key, json_object_new_int64(n));
		ctl_print(ctl, "%-12s %-12s %3" PRId64 "\n", rows[i].which, rows[i].state, n);
	}
	if (ctl->json)
		return ctl_json(ctl, o);
	(void)json_object_put(o);
	return 0;
}

int verb_vcpucount(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	bool maximum = args_flag(args, "maximum"), active = args_flag(args, "active");
	bool current = args_flag(args, "current");
	const char *domain;
	uint32_t flags;
	int64_t n;

	if (ctl_exclusive(ctl, args, "live", "config") < 0 ||
		ctl_exclusive(ctl, args, "active", "maximum") < 0 ||
		ctl_exclusive(ctl, args, "guest", "config") < 0 ||
		ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (args_flag(args, "guest"))
		return ctl_error(ctl, "vmmd does not talk to guest agents: leave --guest out");
	if (!maximum && !active && !current && !args_flag(args, "live") &&
		!args_flag(args, "config"))
		return count_all(ctl, domain);
	/* Alone, --current is the old word for what --active is now. */
	if (!maximum && !active && current)
		flags = (args_flag(args, "live") ? AFFECT_LIVE : 0) |
			(args_flag(args, "config") ? AFFECT_CONFIG : 0);
	else if (verb_affect_flags(ctl, args, &flags) < 0)
		return -EINVAL;
	if (list_vcpus(ctl, domain, flags, &list) < 0)
		return ctl_report_domain(ctl, domain);
	n = count_vcpus(list, maximum);
	if (ctl->json)
		return ctl_json(ctl, json_object_new_int64(n));
	ctl_print(ctl, "%" PRId64 "\n", n);
	return 0;
}

/* setvcpus */

int verb_setvcpus(struct ctl *ctl, const struct args *args)
{
	bool maximum = args_flag(args, "maximum");
	_cleanup_(json_putp) struct json_object *done = NULL;
	const char *domain;
	uint64_t count;
	uint32_t flags;

	if (verb_affect_flags(ctl, args, &flags) < 0 ||
		ctl_exclusive(ctl, args, "guest", "config") < 0 ||
		ctl_number_option(ctl, args, "count", UINT32_MAX, 0, &count) < 0 ||
		ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (maximum && !args_flag(args, "config"))
		return ctl_error(ctl, "Option --config is required by option --maximum");
	if (args_flag(args, "guest"))
		return ctl_error(ctl,
			"vmmd does not talk to guest agents: without --guest vCPUs come and go by "
			"ACPI");
	if (!count)
		return ctl_error(ctl, "Can't set 0 processors for a VM");
	/* Said without a place, it is what runs. */
	if (!flags && !args_flag(args, "current"))
		flags = AFFECT_LIVE;
	if (remote_call_one(ctl, "SetVcpus", &done, "suu", domain, (uint32_t)count,
		    flags | (maximum ? VCPU_MAXIMUM : 0)) < 0)
		return ctl_report_domain(ctl, domain);
	if (!json_object_get_boolean(done)) {
		(void)ctl_set_error(ctl, "Timeout",
			"operation failed: vcpu unplug request timed out. Unplug result must be "
			"manually inspected in the domain");
		return ctl_report(ctl);
	}
	return ctl_changed(ctl, domain, "setvcpus", "%s", "");
}

/* vcpuinfo */

static void print_affinity(struct ctl *ctl, const char *text, unsigned n_cpus, bool pretty)
{
	uint64_t set[CPUSET_WORDS] = {0};

	ctl_print(ctl, "%-15s ", "CPU Affinity:");
	if (pretty) {
		ctl_print(ctl, "%s (out of %u)\n", text, n_cpus);
		return;
	}
	(void)cpuset_parse(text, set);
	for (unsigned i = 0; i < MIN(n_cpus, (unsigned)CPUSET_MAX_CPUS); i++)
		ctl_print(ctl, "%c", set[i / 64] >> i % 64 & 1 ? 'y' : '-');
	ctl_print(ctl, "\n");
}

static void print_vcpu(struct ctl *ctl, struct json_object *v, unsigned n_cpus, bool pretty)
{
	static const char *const states[] = {"offline", "running", "blocked"};
	int64_t state = json_number(v, "state", -1), ns = json_number(v, "cpu_time", 0);

	ctl_print(ctl, "%-15s %" PRId64 "\n", "VCPU:", json_number(v, "vcpu", 0));
	if (state < 0) {
		ctl_print(ctl, "%-15s %s\n", "CPU:", "N/A");
		ctl_print(ctl, "%-15s %s\n", "State:", "N/A");
		ctl_print(ctl, "%-15s %s\n", "CPU time", "N/A");
	} else {
		ctl_print(ctl, "%-15s %" PRId64 "\n", "CPU:", json_number(v, "cpu", 0));
		ctl_print(ctl, "%-15s %s\n",
			"State:", (size_t)state < ARRAY_SIZE(states) ? states[state] : "no state");
		if (ns > 0)
			ctl_print(ctl, "%-15s %.1fs\n", "CPU time:", (double)ns / 1e9);
	}
	print_affinity(ctl, json_string(v, "affinity", json_string(v, "pin", "")), n_cpus, pretty);
}

int verb_vcpuinfo(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	const char *domain;
	unsigned n_cpus = 0;
	bool first = true;

	if (ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (list_vcpus(ctl, domain, 0, &list) < 0)
		return ctl_report_domain(ctl, domain);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(list));
	if (count_cpus(ctl, &n_cpus) < 0)
		return -EINVAL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *v = json_object_array_get_idx(list, i);

		if (!json_flag(v, "online"))
			continue;
		if (!first)
			ctl_print(ctl, "\n");
		first = false;
		print_vcpu(ctl, v, n_cpus, args_flag(args, "pretty"));
	}
	return 0;
}

/* vcpupin, emulatorpin */

int verb_cpulist(struct ctl *ctl, const char *text, const char **ret)
{
	uint64_t set[CPUSET_WORDS] = {0};
	unsigned n_cpus = 0;

	if (count_cpus(ctl, &n_cpus) < 0)
		return -EINVAL;
	*ret = *text == 'r' ? "" : text;
	if (*text == 'r')
		return 0;
	if (cpuset_parse(text, set) < 0)
		return ctl_error(ctl, "Invalid cpulist '%s'", text);
	for (unsigned i = CPUSET_MAX_CPUS; i > n_cpus; i--)
		if (set[(i - 1) / 64] >> (i - 1) % 64 & 1)
			return ctl_error(ctl, "CPU %u in cpulist '%s' exceed the maxcpu %u", i - 1,
				text, n_cpus);
	return 0;
}

static int show_pins(struct ctl *ctl, const char *domain, uint32_t flags, bool one, uint64_t vcpu)
{
	static const char *const headers[] = {"VCPU", "CPU Affinity"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));
	_cleanup_(json_putp) struct json_object *list = NULL;
	size_t n;

	if (!table)
		return -ENOMEM;
	if (list_vcpus(ctl, domain, flags, &list) < 0) {
		if (!is_invalid_operation(ctl))
			return ctl_report_domain(ctl, domain);
		return ctl_error(ctl, "cannot get vcpupin for %s domain",
			flags & AFFECT_LIVE ? "offline" : "transient");
	}
	n = json_object_array_length(list);
	if (one && vcpu >= n)
		return ctl_error(ctl, "vcpu %" PRIu64 " is out of range of %s cpu count %zu", vcpu,
			n &&
					json_object_object_get_ex(
						json_object_array_get_idx(list, 0), "state", NULL)
				? "live"
				: "persistent",
			n);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(list));
	for (size_t i = 0; i < n; i++) {
		char number[24];

		(void)snprintf(number, sizeof(number), "%zu", i);
		if (one && vcpu != i)
			continue;
		if (table_add_row(table,
			    (const char *const[]){number,
				    json_string(json_object_array_get_idx(list, i), "pin", "")}) <
			0)
			return -ENOMEM;
	}
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

int verb_vcpupin(struct ctl *ctl, const struct args *args)
{
	const char *list = args_string(args, "cpulist"), *domain;
	bool one = args_string(args, "vcpu");
	uint64_t vcpu = 0;
	uint32_t flags;

	if (verb_affect_flags(ctl, args, &flags) < 0 ||
		(!list && ctl_exclusive(ctl, args, "live", "config") < 0) ||
		ctl_number_option(ctl, args, "vcpu", UINT32_MAX, 0, &vcpu) < 0)
		return -EINVAL;
	if (list && !one)
		return ctl_error(ctl, "vcpupin: Missing vCPU number in pin mode.");
	if (ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (!list)
		return show_pins(ctl, domain, flags, one, vcpu);
	if (check_writable(ctl, args) < 0 || verb_cpulist(ctl, list, &list) < 0)
		return -EINVAL;
	if (remote_call(ctl, "SetVcpuPin", CTL_CALL_TIMEOUT_USEC, NULL, "susu", domain,
		    (uint32_t)vcpu, list, flags) < 0)
		return ctl_report_domain(ctl, domain);
	return ctl_changed(ctl, domain, "pin", "%s", "");
}

int verb_emulatorpin(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *tune = NULL;
	const char *list = args_string(args, "cpulist"), *domain;
	uint32_t flags;

	if (verb_affect_flags(ctl, args, &flags) < 0 || ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (list) {
		/* Said without a place, it is what runs. */
		if (!flags && !args_flag(args, "current"))
			flags = AFFECT_LIVE;
		if (check_writable(ctl, args) < 0 || verb_cpulist(ctl, list, &list) < 0)
			return -EINVAL;
		if (remote_call(ctl, "SetEmulatorPin", CTL_CALL_TIMEOUT_USEC, NULL, "ssu", domain,
			    list, flags) < 0)
			return ctl_report_domain(ctl, domain);
		return ctl_changed(ctl, domain, "pin", "%s", "");
	}
	if (remote_call_one(ctl, "GetCpuTune", &tune, "su", domain, flags) < 0)
		return ctl_report_domain(ctl, domain);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(tune));
	ctl_extra(ctl, "emulator: CPU Affinity\n----------------------------------\n       *: ");
	ctl_print(ctl, "%s\n", json_string(tune, "emulator_pin", ""));
	return 0;
}

/* schedinfo, memtune */

static const char *const sched_names[] = {"cpu_shares", "vcpu_period", "vcpu_quota",
	"emulator_period", "emulator_quota", "global_period", "global_quota", "iothread_period",
	"iothread_quota"};
static const char *const memory_names[] = {
	"hard_limit", "soft_limit", "swap_hard_limit", "min_guarantee", "weight"};
#define N_LIMITS 3 /* that virsh shows, and always */

static void print_numbers(
	struct ctl *ctl, struct json_object *tune, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t value = json_number(tune, names[i], 0);

		if (names == memory_names && i >= N_LIMITS && !value)
			continue;
		if (names == memory_names && value >= UNLIMITED_KIB)
			ctl_print(ctl, "%-15s: unlimited\n", names[i]);
		else
			ctl_print(ctl, "%-15s: %" PRId64 "\n", names[i], value);
	}
}

int verb_schedinfo(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *tune = NULL;
	const char *domain;
	uint32_t flags;

	if (verb_affect_flags(ctl, args, &flags) < 0 || ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	for (size_t i = 0; i < args->n_list; i++) {
		size_t len = strcspn(args->list[i], "="), k = 0;

		while (k < ARRAY_SIZE(sched_names) &&
			(strlen(sched_names[k]) != len ||
				strncmp(sched_names[k], args->list[i], len) != 0))
			k++;
		if (!args->list[i][len])
			return ctl_error(ctl, "Invalid syntax for --set, expecting name=value");
		if (k == ARRAY_SIZE(sched_names))
			return ctl_error(
				ctl, "invalid scheduler option: %.*s", (int)len, args->list[i]);
	}
	if (args->n_list && check_writable(ctl, args) < 0)
		return -EINVAL;
	if (args->n_list &&
		remote_call(ctl, "SetCpuTune", CTL_CALL_TIMEOUT_USEC, NULL, "sasu", domain,
			args->list, args->n_list, flags) < 0)
		return ctl_report_domain(ctl, domain);
	/* After a change of both, what runs. */
	if (flags == (AFFECT_LIVE | AFFECT_CONFIG))
		flags = AFFECT_LIVE;
	if (remote_call_one(ctl, "GetCpuTune", &tune, "su", domain, flags) < 0)
		return ctl_report_domain(ctl, domain);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(tune));
	ctl_print(ctl, "%-15s: %s\n", "Scheduler", "posix");
	print_numbers(ctl, tune, sched_names, ARRAY_SIZE(sched_names));
	return 0;
}

/* "-1" is no limit; else a size, as of setmem. What is no size is a number. */
static int parse_limit(
	struct ctl *ctl, const char *name, bool is_size, const char *text, int64_t *ret)
{
	uint64_t n;

	if (is_size && streq(text, "-1")) {
		*ret = -1;
		return 0;
	}
	if ((is_size ? verb_read_size(text, &n) : parse_u64(text, INT64_MAX, &n)) < 0 ||
		n > (uint64_t)UNLIMITED_KIB)
		return ctl_error(ctl, "Unable to parse integer parameter '%s'", name);
	*ret = (int64_t)n;
	return 0;
}

int verb_memtune(struct ctl *ctl, const struct args *args)
{
	static const char *const options[ARRAY_SIZE(memory_names)] = {
		"hard-limit", "soft-limit", "swap-hard-limit", "min-guarantee", "weight"};
	_cleanup_(json_putp) struct json_object *tune = NULL;
	char texts[ARRAY_SIZE(options)][64];
	const char *settings[ARRAY_SIZE(options)], *domain;
	size_t n = 0;
	uint32_t flags;

	if (verb_affect_flags(ctl, args, &flags) < 0 || ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		const char *text = args_string(args, options[i]);
		int64_t kib = 0;

		if (!text)
			continue;
		if (parse_limit(ctl, options[i], !streq(options[i], "weight"), text, &kib) < 0)
			return -EINVAL;
		(void)snprintf(texts[n], sizeof(texts[n]), "%s=%" PRId64, memory_names[i], kib);
		settings[n] = texts[n];
		n++;
	}
	if (!n) {
		if (remote_call_one(ctl, "GetMemoryTune", &tune, "su", domain, flags) < 0)
			return ctl_fail_domain(ctl, domain, "Unable to get memory parameters");
		if (ctl->json)
			return ctl_json(ctl, TAKE_PTR(tune));
		print_numbers(ctl, tune, memory_names, ARRAY_SIZE(memory_names));
		return 0;
	}
	if (check_writable(ctl, args) < 0)
		return -EINVAL;
	if (remote_call(ctl, "SetMemoryTune", CTL_CALL_TIMEOUT_USEC, NULL, "sasu", domain, settings,
		    n, flags) < 0)
		return ctl_fail_domain(ctl, domain, "Unable to change memory parameters");
	return ctl_changed(ctl, domain, "tune", "%s", "");
}
