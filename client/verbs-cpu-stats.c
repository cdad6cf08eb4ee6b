/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cpu-stats: what a domain's threads used, with virsh's words, and what they waited for. Tested by tests/unit/test-verbs.c. */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <inttypes.h>

#include "client/remote.h"
#include "client/verb-option.h"

#define STATS_CPU      2U /* groups of GetDomainStats */
#define STATS_PRESSURE 4096U

const struct verb_option cpu_stats_options[] = {
	DOMAIN_OPTION(COMPLETE_ACTIVE_DOMAIN),
	FLAG("total", "Show total statistics only"),
	FLAG("pressure", "Show what the domain's threads waited for, too"),
	{},
};

static const char *const cpu_fields[][2] = {
	{"cpu_time", "cpu.time"}, {"user_time", "cpu.user"}, {"system_time", "cpu.system"}};
/* 'some': a thread waited; 'full': all that could run did. Steal is the vCPUs' own waiting for a CPU. */
static const char *const pressure_fields[][2] = {{"steal", "pressure.steal.time"},
	{"cpu_some", "pressure.cpu.some.time"}, {"cpu_full", "pressure.cpu.full.time"},
	{"memory_some", "pressure.memory.some.time"}, {"memory_full", "pressure.memory.full.time"},
	{"io_some", "pressure.io.some.time"}, {"io_full", "pressure.io.full.time"}};

static void print_seconds(
	struct ctl *ctl, struct json_object *stats, const char *const (*fields)[2], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int64_t ns = json_number(stats, fields[i][1], 0);

		if (i && fields == pressure_fields &&
			!json_object_object_get_ex(stats, fields[i][1], NULL))
			continue;
		ctl_print(ctl, "\t%-12s %9" PRId64 ".%09" PRId64 " seconds\n", fields[i][0],
			ns / 1000000000, ns % 1000000000);
	}
}

static int print_cpu_json(struct ctl *ctl, struct json_object *stats, bool pressure)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(cpu_fields); i++)
		(void)json_object_object_add(o, cpu_fields[i][0],
			json_object_new_int64(json_number(stats, cpu_fields[i][1], 0)));
	for (size_t i = 0; pressure && i < ARRAY_SIZE(pressure_fields); i++)
		if (json_object_object_get_ex(stats, pressure_fields[i][1], NULL))
			(void)json_object_object_add(o, pressure_fields[i][0],
				json_object_new_int64(
					json_number(stats, pressure_fields[i][1], 0)));
	return ctl_json(ctl, o);
}

int verb_cpu_stats(struct ctl *ctl, const struct args *args)
{
	bool pressure = args_flag(args, "pressure");
	_cleanup_(json_putp) struct json_object *list = NULL;
	struct json_object *stats;
	const char *domain, *missing;

	if (ctl_domain_option(ctl, args, &domain) < 0)
		return -EINVAL;
	if (remote_get_stats(ctl, &domain, 1, STATS_CPU | (pressure ? STATS_PRESSURE : 0), &list) <
		0)
		return ctl_fail_domain(
			ctl, domain, "Failed to retrieve CPU statistics for domain '%s'", domain);
	stats = json_object_object_get(json_object_array_get_idx(list, 0), "stats");
	if (!json_object_object_get_ex(stats, "cpu.time", NULL)) {
		(void)ctl_error(ctl, "Failed to retrieve CPU statistics for domain '%s'", domain);
		return ctl_error(ctl, "Requested operation is not valid: domain is not running");
	}
	if (ctl->json)
		return print_cpu_json(ctl, stats, pressure);
	/* Control groups no longer count by the host's CPUs. */
	if (!args_flag(args, "total"))
		ctl_print(ctl, "No per-CPU stats available\n");
	ctl_print(ctl, "Total:\n");
	print_seconds(ctl, stats, cpu_fields, ARRAY_SIZE(cpu_fields));
	if (!pressure)
		return 0;
	ctl_print(ctl, "Waiting:\n");
	print_seconds(ctl, stats, pressure_fields, ARRAY_SIZE(pressure_fields));
	missing = json_string(stats, "pressure.missing", NULL);
	if (missing)
		ctl_print(ctl, "\tno pressure: %s\n", missing);
	return 0;
}
