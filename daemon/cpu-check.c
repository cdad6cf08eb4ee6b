/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of CPU models and features: see cpu-check.h. */
#include "daemon/cpu-check.h"

#include <errno.h>
#include <stdio.h>

#include "vmm-core/base/strutil.h"
#include "vmm-core/cpu-model.h"

/* Only an entry of exactly this path gets a verdict: one around it speaks of more. */
static int set_verdict(struct contract_report *report, const char *path,
	enum contract_verdict verdict, const char *why)
{
	long entry = contract_find(report, path);

	if (entry < 0 || !streq(report->entries[entry].path, path))
		return 0;
	return contract_set(report, (size_t)entry, verdict, why);
}

/* Refuse; the first refusal is the error. */
static int refuse(struct contract_report *report, const char *source, const char *path,
	const char *why, char **ret_error)
{
	long entry = contract_find(report, path);
	unsigned line = entry < 0 ? 1 : report->entries[entry].line;

	if (set_verdict(report, path, CONTRACT_REFUSED, why) < 0)
		return -ENOMEM;
	if (!*ret_error && asprintf(ret_error, "%s:%u: %s: %s", source, line, path, why) < 0) {
		*ret_error = NULL;
		return -ENOMEM;
	}
	return -EOPNOTSUPP;
}

/* Only the XML of a running domain has an id. */
static bool is_live(const struct contract_report *report)
{
	return contract_find(report, "@id") >= 0;
}

static int check_model(
	struct vm_cpu *cpu, const char *source, struct contract_report *report, char **ret_error)
{
	const struct cpu_model *model = cpu_model_find(cpu->model);
	char why[192];

	if (cpu->mode != VM_CPU_MODE_CUSTOM)
		return 0;
	if (!model) {
		(void)snprintf(why, sizeof(why),
			"CPU model '%s' is unknown or has no 64-bit mode; write one that 'vmctl "
			"cpu-models x86_64' lists, or mode='host-model'",
			cpu->model);
		return refuse(report, source, "cpu/model", why, ret_error);
	}
	if (streq(model->name, cpu->model)) {
		if (!model->lacks)
			return 0;
		(void)snprintf(why, sizeof(why), "without %s", model->lacks);
		return set_verdict(report, "cpu/model", CONTRACT_ADAPTED, why);
	}
	if (cpu->fallback_forbid && is_live(report)) {
		cpu->fallback_forbid = 0;
		if (set_verdict(report, "cpu/model/@fallback", CONTRACT_ADAPTED,
			    "'allow': 'forbid' is what libvirt writes while a domain runs") < 0)
			return -ENOMEM;
	}
	if (cpu->fallback_forbid) {
		(void)snprintf(why, sizeof(why),
			"CPU model '%s' is served as %s, which fallback='forbid' forbids; write "
			"%s, or fallback='allow'",
			cpu->model, model->name, model->name);
		return refuse(report, source, "cpu/model", why, ret_error);
	}
	(void)snprintf(why, sizeof(why), "the guest gets %s", model->name);
	return set_verdict(report, "cpu/model", CONTRACT_ADAPTED, why);
}

static int check_feature(const struct vm_cpu_feature *feature, unsigned i, const char *source,
	struct contract_report *report, char **ret_error)
{
	int known = cpu_feature_find(feature->name);
	char path[32], why[192];

	(void)snprintf(path, sizeof(path), "cpu/feature[%u]", i + 1);
	if (known >= 0 && cpu_feature_follows((unsigned)known))
		return set_verdict(report, path, CONTRACT_IGNORED,
			"follows from what the guest switches on, or from its topology");
	if (known >= 0)
		return 0;
	(void)snprintf(why, sizeof(why),
		"unknown CPU feature '%s'; write libvirt's name of one (vmctl capabilities lists "
		"this host's), or remove it",
		feature->name);
	return refuse(report, source, path, why, ret_error);
}

int cpu_check(
	struct vm_cpu *cpu, const char *source, struct contract_report *report, char **ret_error)
{
	int result = check_model(cpu, source, report, ret_error);

	for (unsigned i = 0; i < cpu->n_features && result != -ENOMEM; i++) {
		int r = check_feature(&cpu->features[i], i, source, report, ret_error);

		if (r < 0)
			result = r;
	}
	return result;
}
