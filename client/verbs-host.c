/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs about the host and about vmmd itself. Tested by tests/unit/test-verbs.c. */
#include "client/verbs.h"

#include <errno.h>

#include "build-config.h"
#include "client/remote.h"
#include "client/verb-option.h"

const struct verb_option version_options[] = {
	FLAG("daemon", "report daemon version too"),
	{},
};

static int print_string(struct ctl *ctl, const char *key, const char *text)
{
	struct json_object *o;

	if (!ctl->json) {
		ctl_print(ctl, "%s\n", text);
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, key, json_object_new_string(text));
	return ctl_json(ctl, o);
}

static int string_method(struct ctl *ctl, const char *method, const char *key, const char *failure)
{
	_cleanup_(json_putp) struct json_object *value = NULL;

	if (remote_call_one(ctl, method, &value, "") < 0)
		return ctl_fail(ctl, "%s", failure);
	return print_string(ctl, key, json_object_get_string(value) ?: "");
}

int verb_capabilities(struct ctl *ctl, const struct args *args)
{
	(void)args;
	return string_method(ctl, "GetCapabilities", "xml", "failed to get capabilities");
}

int verb_hostname(struct ctl *ctl, const struct args *args)
{
	(void)args;
	return string_method(ctl, "GetHostname", "hostname", "failed to get hostname");
}

int verb_uri(struct ctl *ctl, const struct args *args)
{
	(void)args;
	return print_string(ctl, "uri", remote_uri(ctl));
}

#define LIST_ACTIVE 1U /* flag of ListDomains */
#define N_HOST_ROWS 7  /* what follows is shown when there is something */

static void print_node(struct ctl *ctl, struct json_object *info)
{
	static const struct {
		const char *title, *key, *unit;
	} rows[] = {{"CPU(s):", "cpus", ""}, {"CPU frequency:", "mhz", " MHz"},
		{"CPU socket(s):", "sockets", ""}, {"Core(s) per socket:", "cores", ""},
		{"Thread(s) per core:", "threads", ""}, {"NUMA cell(s):", "nodes", ""},
		{"Memory size:", "memory_kib", " KiB"},
		{"Memory of domains:", "domains_memory_kib", " KiB"},
		{"Memory limit:", "memory_limit_kib", " KiB"}};

	ctl_print(ctl, "%-20s %s\n", "CPU model:", json_string(info, "model", "x86_64"));
	if (json_object_object_get_ex(info, "paging", NULL))
		ctl_print(ctl, "%-20s %s\n", "Guests' paging:", json_string(info, "paging", ""));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		long long n = (long long)json_number(info, rows[i].key, 0);

		if (n || i < N_HOST_ROWS)
			ctl_print(ctl, "%-20s %lld%s\n", rows[i].title, n, rows[i].unit);
	}
}

int verb_nodeinfo(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *info = NULL;

	(void)args;
	if (remote_call_one(ctl, "GetNodeInfo", &info, "") < 0)
		return ctl_fail(ctl, "failed to get node information");
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(info));
	print_node(ctl, info);
	return 0;
}

/* What KVM's MMU does for all domains together, by its own names. Those whose worker cannot say add nothing. */
static const char *const mmu_names[] = {"pages_4k", "pages_2m", "pages_1g", "pf_taken"};

static int sum_mmu(struct ctl *ctl, struct json_object *info)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	int64_t sums[ARRAY_SIZE(mmu_names)] = {0};
	bool known[ARRAY_SIZE(mmu_names)] = {false};

	if (remote_list_domains(ctl, LIST_ACTIVE, &list) < 0)
		return -EINVAL;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		_cleanup_(json_putp) struct json_object *mmu = NULL;
		const char *uuid = json_string(json_object_array_get_idx(list, i), "uuid", "");

		if (remote_call_one(ctl, "GetMmuStats", &mmu, "s", uuid) < 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(mmu_names); k++) {
			known[k] |= json_object_object_get_ex(mmu, mmu_names[k], NULL);
			sums[k] += json_number(mmu, mmu_names[k], 0);
		}
	}
	for (size_t k = 0; k < ARRAY_SIZE(mmu_names); k++)
		if (known[k])
			(void)json_object_object_add(
				info, mmu_names[k], json_object_new_int64(sums[k]));
	return 0;
}

int verb_host_info(struct ctl *ctl, const struct args *args)
{
	static const char *const titles[ARRAY_SIZE(mmu_names)] = {"Mapped, 4 KiB pages:",
		"Mapped, 2 MiB pages:", "Mapped, 1 GiB pages:", "Guests' page faults:"};
	_cleanup_(json_putp) struct json_object *info = NULL;

	(void)args;
	if (remote_call_one(ctl, "GetNodeInfo", &info, "") < 0 || sum_mmu(ctl, info) < 0)
		return ctl_fail(ctl, "failed to get node information");
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(info));
	print_node(ctl, info);
	for (size_t k = 0; k < ARRAY_SIZE(mmu_names); k++)
		if (json_object_object_get_ex(info, mmu_names[k], NULL))
			ctl_print(ctl, "%-20s %lld\n", titles[k],
				(long long)json_number(info, mmu_names[k], 0));
	if (json_object_object_get_ex(info, "halt_poll_ns", NULL))
		ctl_print(ctl, "%-20s %lld ns\n",
			"Halt polling:", (long long)json_number(info, "halt_poll_ns", 0));
	ctl_print(ctl, "%-20s %s\n", "Core scheduling:", json_string(info, "core_scheduling", "-"));
	ctl_print(ctl, "%-20s %s\n", "Tells of pressure:", json_string(info, "pressure", "-"));
	return 0;
}

int verb_version(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *v = NULL;

	if (remote_call_one(ctl, "GetVersion", &v, "") < 0)
		return ctl_fail(ctl, "failed to get the hypervisor version");
	if (ctl->json) {
		(void)json_object_object_add(v, "client", json_object_new_string(VMMD_VERSION));
		return ctl_json(ctl, TAKE_PTR(v));
	}
	ctl_print(ctl, "Compiled against library: vmmd %s\n", VMMD_VERSION);
	ctl_print(ctl, "Using library: vmmd %s\n", VMMD_VERSION);
	ctl_print(ctl, "Using API: VMMD %s\n", json_string(v, "api", "unknown"));
	ctl_print(ctl, "Running hypervisor: VMMD %s\n", json_string(v, "hypervisor", "unknown"));
	if (args_flag(args, "daemon"))
		ctl_print(ctl, "Running against daemon: %s\n", json_string(v, "daemon", "unknown"));
	return 0;
}
