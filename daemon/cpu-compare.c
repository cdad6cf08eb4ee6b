/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processors compared: see cpu-compare.h. */
#include "daemon/cpu-compare.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/base/strutil.h"

#define MATCH_STRICT 3

/* What a <cpu> says of each feature. */
struct wanted {
	struct cpu_feature_set required, optional, forced, disabled, forbidden;
};

static int add_features(const struct vm_cpu *cpu, struct wanted *w, struct error *error)
{
	struct cpu_feature_set *const sets[] = {[VM_CPU_POLICY_DEFAULT] = &w->required,
		[VM_CPU_POLICY_FORCE] = &w->forced,
		[VM_CPU_POLICY_REQUIRE] = &w->required,
		[VM_CPU_POLICY_OPTIONAL] = &w->optional,
		[VM_CPU_POLICY_DISABLE] = &w->disabled,
		[VM_CPU_POLICY_FORBID] = &w->forbidden};

	for (uint32_t i = 0; i < cpu->n_features; i++) {
		const struct vm_cpu_feature *f = &cpu->features[i];
		int index = cpu_feature_find(f->name);

		if (index < 0)
			return error_set(error, ERROR_XML_ERROR, "Unknown CPU feature %s", f->name);
		if (cpu_feature_follows((unsigned)index))
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(sets); k++)
			cpu_feature_remove(sets[k], (unsigned)index);
		cpu_feature_add(sets[f->policy], (unsigned)index);
	}
	return 0;
}

static int read_wanted(const struct cpu_definition *def, struct wanted *ret,
	const struct cpu_model **ret_model, struct error *error)
{
	struct cpu_model_features features;

	*ret = (struct wanted){0};
	if (!*def->cpu.model)
		return error_set(error, ERROR_OPERATION_INVALID, "no CPU model specified");
	*ret_model = cpu_model_find(def->cpu.model);
	if (!*ret_model)
		return error_set(error, ERROR_XML_ERROR, "Unknown CPU model %s", def->cpu.model);
	cpu_model_features(*ret_model, &features);
	ret->required = features.required;
	return add_features(&def->cpu, ret, error);
}

static int incompatible(uint32_t flags, struct error *error, const char *format, ...)
	_printf_(3, 4);

static int incompatible(uint32_t flags, struct error *error, const char *format, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list ap;

	if (!(flags & CPU_COMPARE_FAIL))
		return CPU_INCOMPATIBLE;
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	return error_set(error, ERROR_CPU_INCOMPATIBLE, "%s", text);
}

static void intersect(struct cpu_feature_set *a, const struct cpu_feature_set *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->words); i++)
		a->words[i] &= b->words[i];
}

int cpu_compare(const struct cpu_host *host, const struct cpu_definition *cpu, uint32_t flags,
	struct error *error)
{
	struct cpu_feature_set missing, unwanted, extra = host->features;
	const struct cpu_model *model;
	struct wanted w;
	char names[512];
	int r;

	if (*cpu->arch && !streq(cpu->arch, "x86_64"))
		return incompatible(
			flags, error, "CPU arch %s does not match host arch", cpu->arch);
	r = read_wanted(cpu, &w, &model, error);
	if (r < 0)
		return r;
	if (*cpu->cpu.vendor && cpu_vendor_find(cpu->cpu.vendor) != host->vendor)
		return incompatible(flags, error,
			"host CPU vendor does not match required CPU vendor %s", cpu->cpu.vendor);
	unwanted = w.forbidden;
	intersect(&unwanted, &host->features);
	cpu_features_list(&unwanted, names, sizeof(names));
	if (*names)
		return incompatible(
			flags, error, "Host CPU provides forbidden features: %s", names);
	missing = w.required;
	cpu_features_cut(&missing, &host->features);
	cpu_features_list(&missing, names, sizeof(names));
	if (*names)
		return incompatible(
			flags, error, "Host CPU does not provide required features: %s", names);
	cpu_features_cut(&extra, &w.required);
	cpu_features_cut(&extra, &w.optional);
	cpu_features_cut(&extra, &w.disabled);
	cpu_features_cut(&extra, &w.forced);
	cpu_features_list(&extra, names, sizeof(names));
	if (*names && cpu->cpu.match == MATCH_STRICT)
		return incompatible(flags, error,
			"Host CPU does not strictly match guest CPU: Extra features: %s", names);
	return *names ? CPU_SUPERSET : CPU_IDENTICAL;
}

static void add_feature(struct vm_cpu *cpu, unsigned index, enum vm_cpu_policy policy)
{
	struct vm_cpu_feature *f = &cpu->features[cpu->n_features];

	if (cpu->n_features == VM_MAX_CPU_FEATURES)
		return;
	(void)str_copy(f->name, sizeof(f->name), cpu_features[index].name);
	f->policy = (uint8_t)policy;
	cpu->n_features++;
}

void cpu_describe(const struct cpu_feature_set *features, const char *name, enum cpu_vendor vendor,
	uint32_t signature, struct vm_cpu *ret)
{
	const struct cpu_model *model = name ? cpu_model_find(name) : NULL;
	struct cpu_feature_set required;
	struct cpu_model_features own;

	if (model) {
		cpu_model_features(model, &own);
		required = own.required;
	} else {
		model = cpu_model_nearest(features, vendor, signature, false, &required);
	}
	ret->mode = VM_CPU_MODE_CUSTOM;
	ret->match = 2; /* exact */
	ret->n_features = 0;
	assert(model); /* levels are of no vendor */
	(void)str_copy(ret->model, sizeof(ret->model), model->name);
	for (unsigned pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < cpu_n_features; i++)
			if (cpu_feature_in(pass ? &required : features, i) &&
				!cpu_feature_in(pass ? features : &required, i))
				add_feature(ret, i,
					pass ? VM_CPU_POLICY_DISABLE : VM_CPU_POLICY_REQUIRE);
}

/* The vendor that all of them are of, OTHER when none is said. */
static int common_vendor(const struct cpu_definition *def, const struct cpu_model *model,
	enum cpu_vendor *vendor, struct error *error)
{
	enum cpu_vendor own = model->vendor;
	const char *name = def->cpu.vendor;

	if (*name && cpu_vendor_find(name) == CPU_VENDOR_OTHER)
		return error_set(error, ERROR_OPERATION_FAILED, "Unknown CPU vendor %s", name);
	if (*name && own != CPU_VENDOR_OTHER && cpu_vendor_find(name) != own)
		return error_set(error, ERROR_OPERATION_FAILED,
			"CPU vendor %s of model %s differs from vendor %s", cpu_vendor_name(own),
			model->name, name);
	if (*name)
		own = cpu_vendor_find(name);
	if (own != CPU_VENDOR_OTHER && *vendor != CPU_VENDOR_OTHER && own != *vendor)
		return error_set(error, ERROR_OPERATION_FAILED, "CPU vendors do not match");
	if (own != CPU_VENDOR_OTHER)
		*vendor = own;
	return 0;
}

static void limit(struct cpu_feature_set *common, uint32_t flags)
{
	for (unsigned i = 0; i < cpu_n_features; i++)
		if ((flags & CPU_BASELINE_MIGRATABLE && cpu_feature_unmovable(i)) ||
			(flags & CPU_BASELINE_GUEST && cpuid_never(i)))
			cpu_feature_remove(common, i);
	cpu_features_close(common);
}

/* Every feature by its name, and not only what the model does not say. */
static void expand(struct vm_cpu *cpu, const struct cpu_feature_set *features)
{
	cpu->n_features = 0;
	for (unsigned i = 0; i < cpu_n_features; i++)
		if (cpu_feature_in(features, i))
			add_feature(cpu, i, VM_CPU_POLICY_REQUIRE);
}

int cpu_baseline(const struct cpu_definition *cpus, unsigned n, uint32_t flags, struct vm_cpu *ret,
	struct error *error)
{
	enum cpu_vendor vendor = CPU_VENDOR_OTHER;
	const struct cpu_model *model = NULL;
	struct cpu_feature_set common = {0};
	bool says_vendor = false;

	*ret = (struct vm_cpu){0};
	for (unsigned i = 0; i < n; i++) {
		struct wanted w;
		int r;

		if (!*cpus[i].cpu.model)
			return error_set(error, ERROR_INVALID_ARGUMENT,
				"no CPU model specified at index %u", i);
		r = read_wanted(&cpus[i], &w, &model, error);
		if (r == 0)
			r = common_vendor(&cpus[i], model, &vendor, error);
		if (r < 0)
			return r;
		says_vendor |= *cpus[i].cpu.vendor;
		cpu_features_join(&w.required, &w.forced);
		if (i == 0)
			common = w.required;
		intersect(&common, &w.required);
	}
	limit(&common, flags);
	if (!cpu_features_count(&common))
		return error_set(error, ERROR_OPERATION_FAILED, "CPUs are incompatible");
	cpu_describe(&common, NULL, vendor, 0, ret);
	if (flags & CPU_BASELINE_EXPAND)
		expand(ret, &common);
	if (says_vendor)
		(void)str_copy(ret->vendor, sizeof(ret->vendor), cpu_vendor_name(vendor));
	return 0;
}
