/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers of processors by name: compared, in common, and what a domain can have. Tested by tests/unit/test-dbus-cpu.c. */
#include <string.h>

#include "config/domain-capabilities-xml.h"
#include "daemon/api.h"
#include "daemon/cpu-compare.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define KVM_PATH "/dev/kvm"
#define MACHINE  "q35"

static int reply_named(struct api_call *call, const char *name, struct json_object *value)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, name, value);
	api_call_reply(call, out);
	return 0;
}

/* Emulator, architecture, machine and type of domain: there is one of each. "" is that one. */
static int check_target(const struct api_call *call, struct error *error)
{
	const char *emulator = api_arg_string(call, "emulator");
	const char *arch = api_arg_string(call, "arch");
	const char *machine = api_arg_string(call, "machine");
	const char *type = api_arg_string(call, "virttype");

	if (*arch && !streq(arch, "x86_64"))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"unknown architecture: %s; guests are x86_64", arch);
	if (*type && !streq(type, "kvm"))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"unknown virttype: %s; guests run under kvm", type);
	if (*emulator && !streq(emulator, call->manager->worker_path))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"the emulator '%s' is none of vmmd's; it is '%s'", emulator,
			call->manager->worker_path);
	if (*machine && !streq(machine, MACHINE) && strncmp(machine, "pc", 2) != 0 &&
		!streq(machine, "microvm"))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"the machine '%s' is not supported by emulator '%s'", machine,
			call->manager->worker_path);
	return 0;
}

static int parse(const char *xml, uint32_t flags, struct cpu_definition **ret, unsigned *ret_n,
	struct error *error)
{
	_cleanup_(freep) char *text = NULL;
	int r = cpu_xml_parse(xml, strlen(xml), "cpu", flags, ret, ret_n, &text);

	return error_set_xml(error, r, text);
}

static int compare(struct api_call *call, const char *kvm_path, struct error *error)
{
	_cleanup_(freep) struct cpu_definition *cpus = NULL;
	uint32_t flags = api_arg_uint(call, "flags");
	struct cpu_host host;
	unsigned n;
	int r;

	r = api_check_flags(call, CPU_COMPARE_FAIL | CPU_COMPARE_VALID, error);
	if (r == 0)
		r = parse(api_arg_string(call, "xml"),
			flags & CPU_COMPARE_VALID ? CPU_XML_VALID : 0, &cpus, &n, error);
	if (r == 0)
		r = cpu_host_read(kvm_path, &host, error);
	if (r == 0)
		r = cpu_compare(&host, &cpus[0], flags, error);
	return r < 0 ? r : reply_named(call, "result", json_object_new_int(r));
}

int api_compare_cpu(struct api_call *call, struct error *error)
{
	return compare(call, NULL, error);
}

int api_compare_hypervisor_cpu(struct api_call *call, struct error *error)
{
	int r = check_target(call, error);

	return r < 0 ? r : compare(call, KVM_PATH, error);
}

/* All processors of all documents. */
static int read_documents(const struct api_call *call, struct cpu_definition **ret, unsigned *ret_n,
	struct error *error)
{
	struct json_object *array = json_object_object_get(call->in, "documents");
	_cleanup_(freep) struct cpu_definition *all = NULL;
	unsigned n_all = 0;

	for (size_t i = 0; i < json_object_array_length(array); i++) {
		_cleanup_(freep) struct cpu_definition *cpus = NULL;
		struct cpu_definition *larger;
		unsigned n;
		int r = parse(json_object_get_string(json_object_array_get_idx(array, i)) ?: "", 0,
			&cpus, &n, error);

		if (r < 0)
			return r;
		if (n_all + n > CPU_XML_MAX)
			return error_set(error, ERROR_INVALID_ARGUMENT, "more than %d processors",
				CPU_XML_MAX);
		larger = realloc(all, (n_all + n) * sizeof(*all));
		if (!larger)
			return error_set(error, ERROR_NO_MEMORY, "cpus");
		all = larger;
		memcpy(all + n_all, cpus, n * sizeof(*all));
		n_all += n;
	}
	if (!n_all)
		return error_set(error, ERROR_INVALID_ARGUMENT, "No CPUs given");
	*ret = TAKE_PTR(all);
	*ret_n = n_all;
	return 0;
}

static int baseline(struct api_call *call, uint32_t more, struct error *error)
{
	_cleanup_(freep) struct cpu_definition *cpus = NULL;
	_cleanup_(freep) char *xml = NULL;
	struct vm_cpu cpu;
	unsigned n = 0;
	int r = api_check_flags(call, CPU_BASELINE_EXPAND | CPU_BASELINE_MIGRATABLE, error);

	if (r == 0)
		r = read_documents(call, &cpus, &n, error);
	if (r == 0)
		r = cpu_baseline(cpus, n, api_arg_uint(call, "flags") | more, &cpu, error);
	if (r < 0)
		return r;
	if (cpu_xml_format(&cpu, &xml) < 0)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	return reply_named(call, "xml", json_object_new_string(xml));
}

int api_baseline_cpu(struct api_call *call, struct error *error)
{
	return baseline(call, 0, error);
}

int api_baseline_hypervisor_cpu(struct api_call *call, struct error *error)
{
	int r = check_target(call, error);

	return r < 0 ? r : baseline(call, CPU_BASELINE_GUEST, error);
}

int api_get_cpu_models(struct api_call *call, struct error *error)
{
	const char *arch = api_arg_string(call, "arch");
	struct json_object *models;

	if (!streq(arch, "x86_64"))
		return error_set(
			error, ERROR_INVALID_ARGUMENT, "cannot find architecture %s", arch);
	models = json_object_new_array();
	for (unsigned i = 0; i < cpu_n_models; i++)
		json_object_array_add(models, json_object_new_string(cpu_models[i].name));
	return reply_named(call, "models", models);
}

/* What stands in the way of each model; their names follow each other in 'names', NULL after each model's. */
#define MAX_BLOCKERS 64
struct models {
	struct domain_capabilities_model rows[CPU_MODEL_MAX];
	const char *blockers[CPU_MODEL_MAX][MAX_BLOCKERS];
};

static void judge_models(const struct cpu_host *host, struct models *ret)
{
	struct cpu_model_features features[CPU_MODEL_MAX];

	cpu_models_features(features);
	for (unsigned i = 0; i < cpu_n_models; i++) {
		unsigned n = 0;

		for (unsigned k = 0; k < cpu_n_features && n < MAX_BLOCKERS - 1; k++)
			if (cpu_feature_in(&features[i].required, k) &&
				!cpu_feature_in(&host->features, k))
				ret->blockers[i][n++] = cpu_features[k].name;
		ret->rows[i] = (struct domain_capabilities_model){
			.name = cpu_models[i].name,
			.vendor = cpu_vendor_name(cpu_models[i].vendor),
			.blockers = ret->blockers[i],
		};
	}
}

static void host_model(const struct cpu_host *host, struct vm_cpu *ret)
{
	struct cpu_feature_set features = host->features;
	const char *vendor = cpu_vendor_name(host->vendor);

	for (unsigned i = 0; i < cpu_n_features; i++)
		if (cpu_feature_unmovable(i))
			cpu_feature_remove(&features, i);
	cpu_features_close(&features);
	*ret = (struct vm_cpu){0};
	cpu_describe(&features, NULL, host->vendor, host->signature, ret);
	(void)str_copy(ret->vendor, sizeof(ret->vendor), vendor ?: "");
}

int api_get_domain_capabilities(struct api_call *call, struct error *error)
{
	_cleanup_(freep) struct models *models = calloc(1, sizeof(*models));
	_cleanup_(freep) char *xml = NULL;
	struct domain_capabilities caps = {
		.emulator = call->manager->worker_path,
		.machine = MACHINE,
		.max_vcpus = VM_MAX_VCPUS,
		.n_models = cpu_n_models,
	};
	struct cpu_host host;
	struct vm_cpu cpu;
	int r = check_target(call, error);

	if (r == 0)
		r = api_check_flags(call, 0, error);
	if (r == 0)
		r = cpu_host_read(KVM_PATH, &host, error);
	if (r < 0)
		return r;
	if (!models)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	judge_models(&host, models);
	host_model(&host, &cpu);
	caps.models = models->rows;
	caps.host_model = &cpu;
	if (domain_capabilities_xml_format(&caps, &xml) < 0)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	return reply_named(call, "xml", json_object_new_string(xml));
}
