/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs of processors by name. Tested by tests/unit/test-verbs.c. */
#include "client/verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "client/remote.h"
#include "client/verb-option.h"
#include "client/xml-file.h"
#include "vmm-core/base/strutil.h"

/* Flags of CompareCpu and BaselineCpu. */
#define COMPARE_FAIL        1U
#define COMPARE_VALID       2U
#define BASELINE_EXPAND     1U
#define BASELINE_MIGRATABLE 2U

/* What CompareCpu answers. */
enum { INCOMPATIBLE, IDENTICAL, SUPERSET };

#define CPU_FILE                                                                                   \
	{                                                                                          \
		.name = "file", .type = OPTION_DATA, .completion = COMPLETE_FILE,                  \
		.required = true, .help = "file containing an XML CPU description"                 \
	}
#define TARGET_OPTIONS                                                                             \
	NAMED_STRING("virttype", "virtualization type (/domain/@type)"),                           \
		NAMED("emulator", COMPLETE_FILE,                                                   \
			"path to emulator binary (/domain/devices/emulator)"),                     \
		NAMED_STRING("arch", "CPU architecture (/domain/os/type/@arch)"),                  \
		NAMED_STRING("machine", "machine type (/domain/os/type/@machine)")
#define COMPARE_FLAGS                                                                              \
	FLAG("error", "report error if CPUs are incompatible"),                                    \
		FLAG("validate", "validate the XML document against schema")
#define BASELINE_FLAGS                                                                             \
	FLAG("features", "Show features that are part of the CPU model type"),                     \
		FLAG("migratable", "Do not include features that block migration")

const struct verb_option cpu_compare_options[] = {CPU_FILE, COMPARE_FLAGS, {}};
const struct verb_option hypervisor_cpu_compare_options[] = {
	CPU_FILE, TARGET_OPTIONS, COMPARE_FLAGS, {}};
const struct verb_option cpu_baseline_options[] = {CPU_FILE, BASELINE_FLAGS, {}};
const struct verb_option hypervisor_cpu_baseline_options[] = {
	CPU_FILE, TARGET_OPTIONS, BASELINE_FLAGS, {}};
const struct verb_option cpu_models_options[] = {WORD("arch", "architecture"), {}};
const struct verb_option domcapabilities_options[] = {
	STRING("virttype", "virtualization type (/domain/@type)"),
	{.name = "emulatorbin",
		.type = OPTION_STRING,
		.completion = COMPLETE_FILE,
		.help = "path to emulator binary (/domain/devices/emulator)"},
	STRING("arch", "domain architecture (/domain/os/type/@arch)"),
	STRING("machine", "machine type (/domain/os/type/@machine)"),
	{},
};

/* The file, if there can be a processor in it. */
static int read_cpus(struct ctl *ctl, const char *file, char **ret_xml)
{
	int r = xml_file_read(ctl, file, ret_xml);

	if (r < 0)
		return r;
	/* vmmd reads it; what cannot be there is said as virsh says it. */
	if (strstr(*ret_xml, "<cpu"))
		return 0;
	return ctl_error(ctl,
		"File '%s' does not contain any <cpu> element or valid domain XML, host "
		"capabilities XML, or domain capabilities XML",
		file);
}

static const char *text_of(const struct args *args, const char *name)
{
	return args_string(args, name) ?: "";
}

static int compare(struct ctl *ctl, const struct args *args, bool hypervisor)
{
	static const char *const sentences[][2][2] = {
		[INCOMPATIBLE] = {{"CPU described in ", " is incompatible with host CPU"},
			{"CPU described in ",
				" is incompatible with the CPU provided by hypervisor on the "
				"host"}},
		[IDENTICAL] = {{"CPU described in ", " is identical to host CPU"},
			{"CPU described in ",
				" is identical to the CPU provided by hypervisor on the host"}},
		[SUPERSET] = {{"Host CPU is a superset of CPU described in ", ""},
			{"The CPU provided by hypervisor on the host is a superset of CPU "
			 "described in ",
				""}},
	};
	static const char *const words[] = {"incompatible", "identical", "superset"};
	_cleanup_(json_putp) struct json_object *value = NULL;
	const char *file = args_string(args, "file");
	_cleanup_(freep) char *xml = NULL;
	uint32_t flags = (args_flag(args, "error") ? COMPARE_FAIL : 0) |
		(args_flag(args, "validate") ? COMPARE_VALID : 0);
	int64_t result;
	int r = read_cpus(ctl, file, &xml);

	if (r < 0)
		return r;
	r = hypervisor ? remote_call_one(ctl, "CompareHypervisorCpu", &value, "sssssu", xml,
				 text_of(args, "emulator"), text_of(args, "arch"),
				 text_of(args, "machine"), text_of(args, "virttype"), flags)
		       : remote_call_one(ctl, "CompareCpu", &value, "su", xml, flags);
	if (r < 0)
		return ctl_fail(ctl, "Failed to compare %s CPU with %s",
			hypervisor ? "hypervisor" : "host", file);
	result = json_object_get_int64(value);
	if (result < INCOMPATIBLE || result > SUPERSET)
		return ctl_error(ctl, "vmmd answered nonsense");
	if (ctl->json) {
		struct json_object *o = json_object_new_object();

		(void)json_object_object_add(o, "result", json_object_new_string(words[result]));
		(void)ctl_json(ctl, o);
		ctl->has_document = true;
	} else {
		ctl_print(ctl, "%s%s%s\n", sentences[result][hypervisor][0], file,
			sentences[result][hypervisor][1]);
	}
	return result == INCOMPATIBLE ? -EINVAL : 0;
}

int verb_cpu_compare(struct ctl *ctl, const struct args *args)
{
	return compare(ctl, args, false);
}

int verb_hypervisor_cpu_compare(struct ctl *ctl, const struct args *args)
{
	return compare(ctl, args, true);
}

/* A document that vmmd answers. */
static int print_xml(struct ctl *ctl, struct json_object *value, bool newline)
{
	const char *xml = json_object_get_string(value) ?: "";
	struct json_object *o;

	if (!ctl->json) {
		ctl_print(ctl, "%s%s", xml, newline ? "\n" : "");
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "xml", json_object_new_string(xml));
	return ctl_json(ctl, o);
}

static int baseline(struct ctl *ctl, const struct args *args, bool hypervisor)
{
	_cleanup_(json_putp) struct json_object *value = NULL;
	_cleanup_(freep) char *xml = NULL;
	uint32_t flags = (args_flag(args, "features") ? BASELINE_EXPAND : 0) |
		(args_flag(args, "migratable") ? BASELINE_MIGRATABLE : 0);
	const char *documents[1];
	int r = read_cpus(ctl, args_string(args, "file"), &xml);

	if (r < 0)
		return r;
	documents[0] = xml;
	r = hypervisor
		? remote_call_one(ctl, "BaselineHypervisorCpu", &value, "ssssasu",
			  text_of(args, "emulator"), text_of(args, "arch"),
			  text_of(args, "machine"), text_of(args, "virttype"), documents, (size_t)1,
			  flags)
		: remote_call_one(ctl, "BaselineCpu", &value, "asu", documents, (size_t)1, flags);
	return r < 0 ? ctl_report(ctl) : print_xml(ctl, value, false);
}

int verb_cpu_baseline(struct ctl *ctl, const struct args *args)
{
	return baseline(ctl, args, false);
}

int verb_hypervisor_cpu_baseline(struct ctl *ctl, const struct args *args)
{
	return baseline(ctl, args, true);
}

int verb_cpu_models(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *models = NULL;

	if (remote_call_one(ctl, "GetCpuModels", &models, "s", args_string(args, "arch")) < 0)
		return ctl_report(ctl);
	if (ctl->json)
		return ctl_json(ctl, TAKE_PTR(models));
	for (size_t i = 0; i < json_object_array_length(models); i++)
		ctl_print(ctl, "%s\n",
			json_object_get_string(json_object_array_get_idx(models, i)) ?: "");
	return 0;
}

int verb_domcapabilities(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *value = NULL;

	if (remote_call_one(ctl, "GetDomainCapabilities", &value, "ssssu",
		    text_of(args, "emulatorbin"), text_of(args, "arch"), text_of(args, "machine"),
		    text_of(args, "virttype"), 0U) < 0)
		return ctl_fail(ctl, "failed to get emulator capabilities");
	return print_xml(ctl, value, true);
}
