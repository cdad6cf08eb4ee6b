/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which features the guest's processors have: mode, model and policies against what the host offers. See cpuid.h.
 *
 * Tested by tests/unit/test-cpuid.c.
 */
#include "vmm-core/cpuid.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/base/strutil.h"
#include "vmm-core/cpuid-internal.h"

struct place {
	uint32_t leaf, subleaf;
	uint8_t reg, bit;
};

/* What needs more of a monitor than this one has: AMX (a permission of the process), SGX (a memory of its own). */
static const struct place never_features[] = {
	{7, 0, CPU_EBX, 2},   /* sgx */
	{7, 0, CPU_ECX, 30},  /* sgxlc */
	{7, 0, CPU_EDX, 1},   /* sgx-keys */
	{7, 0, CPU_EDX, 22},  /* amx-bf16 */
	{7, 0, CPU_EDX, 24},  /* amx-tile */
	{7, 0, CPU_EDX, 25},  /* amx-int8 */
	{7, 1, CPU_EAX, 21},  /* amx-fp16 */
	{7, 1, CPU_EDX, 8},   /* amx-complex */
	{0xd, 1, CPU_EAX, 4}, /* xfd */
};

static const struct place arch_capabilities = {7, 0, CPU_EDX, 29};
static const struct place core_capability = {
	7, 0, CPU_EDX, 30}; /* MSR 0xcf, which nobody sets up */
static const struct place tsc_deadline = {1, 0, CPU_ECX, 24};
static const struct place invtsc = {0x80000007, 0, CPU_EDX, 8};

/* KVM gives these on every host and need not say so in KVM_GET_SUPPORTED_CPUID: that it is a hypervisor (the bit is
 * missing where the host is no guest itself), and a local APIC timer that never stops. */
static const struct place always_there[] = {{1, 0, CPU_ECX, 31}, {6, 0, CPU_EAX, 2}};

int cpuid_fail(struct cpuid_builder *b, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(b->report->text, sizeof(b->report->text), format, ap);
	va_end(ap);
	return error;
}

static unsigned index_of(const struct place *p)
{
	int i = cpu_feature_at(p->leaf, p->subleaf, p->reg, p->bit);

	assert(i >= 0);
	return (unsigned)i;
}

bool cpuid_never(unsigned index)
{
	for (size_t i = 0; i < ARRAY_SIZE(never_features); i++)
		if (index_of(&never_features[i]) == index)
			return true;
	return index == index_of(&core_capability);
}

static bool host_bit(const struct cpuid_host *host, const struct cpu_feature *f)
{
	const struct kvm_cpuid_entry2 *e = cpuid_host_find(host, f->leaf, f->subleaf);
	struct kvm_cpuid_entry2 copy = {0};

	if (f->leaf == CPU_ARCH_CAPABILITIES)
		return host->arch_capabilities_msr >> (f->reg == CPU_EDX ? 32 : 0) >> f->bit & 1;
	if (e)
		copy = *e;
	return *cpuid_register(&copy, f->reg) >> f->bit & 1;
}

void cpuid_host_features(const struct cpuid_host *host, struct cpu_feature_set *ret)
{
	*ret = (struct cpu_feature_set){0};
	for (unsigned i = 0; i < cpu_n_features; i++)
		if (!cpu_feature_follows(i) && !cpuid_never(i) && host_bit(host, &cpu_features[i]))
			cpu_feature_add(ret, i);
	/* MSR 0x10a: some hosts offer it and refuse it. */
	if (!host->arch_capabilities || cpuid_host_vendor(host) == CPU_VENDOR_AMD)
		cpu_feature_remove(ret, index_of(&arch_capabilities));
	for (unsigned i = 0; i < ARRAY_SIZE(always_there); i++)
		cpu_feature_add(ret, index_of(&always_there[i]));
	/* Old kernels say it by a capability only. */
	if (host->tsc_deadline)
		cpu_feature_add(ret, index_of(&tsc_deadline));
	else
		cpu_feature_remove(ret, index_of(&tsc_deadline));
	cpu_features_close(ret);
}

/* What <cpu> asks for. */
struct wish {
	struct cpu_feature_set required, optional, forbidden, forced, disabled;
	struct cpu_feature_set usual; /* of those that are optional: nobody has asked for them */
};

static int find_model(struct cpuid_builder *b)
{
	const struct vm_cpu *cpu = &b->config->cpu;

	b->model = cpu_model_find(cpu->model);
	if (!b->model)
		return cpuid_fail(b, -EINVAL,
			"CPU model '%s' is unknown or has no 64-bit mode; write for example "
			"x86-64-v2",
			cpu->model);
	if (!streq(b->model->name, cpu->model) && cpu->fallback_forbid)
		return cpuid_fail(b, -EINVAL,
			"CPU model '%s' is served as %s, which fallback='forbid' forbids; write "
			"the latter",
			cpu->model, b->model->name);
	return 0;
}

/* What comes with the mode, or the model, before any <feature>. */
static int wish_of_mode(
	struct cpuid_builder *b, const struct cpu_feature_set *host, struct wish *ret)
{
	const struct vm_cpu *cpu = &b->config->cpu;
	bool custom = cpu->mode == VM_CPU_MODE_CUSTOM;
	/* With match='minimum' it is a lower bound. */
	bool as_written =
		custom && cpu->check == VM_CPU_CHECK_FULL && cpu->match != VM_CPU_MATCH_MINIMUM;
	struct cpu_model_features model;
	int r;

	*ret = (struct wish){0};
	if (custom) {
		r = find_model(b);
		if (r < 0)
			return r;
		cpu_model_features(b->model, &model);
		ret->required = model.required;
		if (!as_written)
			ret->optional = ret->usual = model.usual;
	}
	for (unsigned i = 0; i < cpu_n_features; i++) {
		if (!cpu_feature_in(host, i) || as_written)
			continue;
		if (b->whole_host || cpu_feature_of_machine(i) ||
			((!custom || cpu->match == VM_CPU_MATCH_MINIMUM) &&
				!cpu_feature_unmovable(i)))
			cpu_feature_add(&ret->optional, i);
	}
	if (b->whole_host && cpu->migratable != VM_TRISTATE_NO)
		cpu_feature_remove(&ret->optional, index_of(&invtsc));
	return 0;
}

/* One <feature>: the last that names a feature counts. */
static int wish_feature(struct cpuid_builder *b, const struct vm_cpu_feature *f, struct wish *wish)
{
	struct cpu_feature_set *const sets[] = {
		&wish->required, &wish->optional, &wish->forbidden, &wish->forced, &wish->disabled};
	struct cpu_feature_set *into = f->policy == VM_CPU_POLICY_FORCE ? &wish->forced
		: f->policy == VM_CPU_POLICY_OPTIONAL                   ? &wish->optional
		: f->policy == VM_CPU_POLICY_FORBID                     ? &wish->forbidden
		: f->policy == VM_CPU_POLICY_DISABLE                    ? &wish->disabled
									: &wish->required;
	int i = cpu_feature_find(f->name);

	if (i < 0)
		return cpuid_fail(b, -EINVAL, "unknown CPU feature '%s'", f->name);
	if (cpu_feature_follows((unsigned)i))
		return 0;
	for (size_t k = 0; k < ARRAY_SIZE(sets); k++)
		cpu_feature_remove(sets[k], (unsigned)i);
	cpu_feature_remove(&wish->usual, (unsigned)i);
	cpu_feature_add(into, (unsigned)i);
	return 0;
}

static bool is_empty(const struct cpu_feature_set *set)
{
	return !cpu_features_count(set);
}

#define LIST_SIZE 176

static int refuse(struct cpuid_builder *b, const char *why, const struct cpu_feature_set *features)
{
	char names[LIST_SIZE];

	cpu_features_list(features, names, sizeof(names));
	return cpuid_fail(b, -ENOTSUP, "%s: %s", why, names);
}

/* The guest goes without these, though they were asked for. */
static void report_dropped(struct cpuid_builder *b, const struct cpu_feature_set *dropped)
{
	b->report->n_dropped = cpu_features_count(dropped);
	cpu_features_list(dropped, b->report->dropped, sizeof(b->report->dropped));
}

static int check_host(struct cpuid_builder *b, const struct cpu_feature_set *host,
	const struct wish *wish, struct cpu_feature_set *missing)
{
	struct cpu_feature_set unwanted = wish->forbidden, extra = *host;
	const struct vm_cpu *cpu = &b->config->cpu;

	*missing = wish->required;
	cpu_features_cut(missing, host);
	for (size_t i = 0; i < ARRAY_SIZE(unwanted.words); i++)
		unwanted.words[i] &= host->words[i];
	if (cpu->check == VM_CPU_CHECK_NONE)
		return 0;
	if (!is_empty(missing))
		return refuse(b,
			cpu->check == VM_CPU_CHECK_FULL
				? "operation failed: guest CPU doesn't match specification: "
				  "missing features"
				: "the CPU is incompatible with host CPU: Host CPU does not "
				  "provide required features",
			missing);
	if (!is_empty(&unwanted))
		return refuse(b,
			"the CPU is incompatible with host CPU: Host CPU provides forbidden "
			"features",
			&unwanted);
	cpu_features_cut(&extra, &wish->required);
	cpu_features_cut(&extra, &wish->optional);
	cpu_features_cut(&extra, &wish->forced);
	if (cpu->mode == VM_CPU_MODE_CUSTOM && cpu->match == VM_CPU_MATCH_STRICT &&
		!is_empty(&extra))
		return refuse(b,
			"the CPU is incompatible with host CPU: Host CPU does not strictly match "
			"guest CPU: Extra features",
			&extra);
	return 0;
}

/* What the host can give of it, without what needs something that is not there. */
static int grant(struct cpuid_builder *b, const struct cpu_feature_set *host, struct wish *wish)
{
	struct cpu_feature_set missing, lost;
	int r = check_host(b, host, wish, &missing);

	if (r < 0)
		return r;
	b->features = wish->required;
	cpu_features_join(&b->features, &wish->optional);
	lost = b->features;
	for (size_t i = 0; i < ARRAY_SIZE(lost.words); i++)
		b->features.words[i] &= host->words[i];
	cpu_features_join(&b->features, &wish->forced);
	cpu_features_close(&b->features);
	cpu_features_cut(&lost, &b->features);
	cpu_features_cut(&lost, &wish->usual);
	cpu_features_cut(&wish->required, &missing);
	cpu_features_cut(&wish->required, &b->features);
	if (!is_empty(&wish->required) && b->config->cpu.check != VM_CPU_CHECK_NONE)
		return refuse(
			b, "CPU features that need others which are not there", &wish->required);
	cpu_features_join(&b->features, &wish->forced);
	report_dropped(b, &lost);
	return 0;
}

/* <vendor> names the only kind of host that will do. */
static int check_vendor(struct cpuid_builder *b)
{
	const char *vendor = b->config->cpu.vendor;
	enum cpu_vendor wanted = cpu_vendor_find(vendor);

	if (!*vendor || b->config->cpu.check == VM_CPU_CHECK_NONE ||
		(wanted != CPU_VENDOR_OTHER && wanted == b->vendor))
		return 0;
	return cpuid_fail(b, -ENOTSUP,
		"the CPU is incompatible with host CPU: host CPU vendor does not match required "
		"CPU vendor %s",
		vendor);
}

static int read_wish(struct cpuid_builder *b, const struct cpu_feature_set *host, struct wish *ret)
{
	const struct vm_cpu *cpu = &b->config->cpu;
	int r = check_vendor(b);

	if (r == 0)
		r = wish_of_mode(b, host, ret);
	for (unsigned i = 0; r == 0 && i < cpu->n_features; i++)
		r = wish_feature(b, &cpu->features[i], ret);
	return r;
}

/* Is this what 'wish' could have come to, on some host? */
static int check_told(
	struct cpuid_builder *b, const struct wish *wish, const struct cpu_feature_set *told)
{
	static const char why[] =
		"operation failed: metadata/vmmd:cpuid is not of what <cpu> says, remove it";
	struct cpu_feature_set lost = wish->required, more = *told;

	cpu_features_cut(&lost, told);
	/* Unchecked, the host need not have had all that is asked for. */
	if (!is_empty(&lost) && b->config->cpu.check != VM_CPU_CHECK_NONE)
		return refuse(b, why, &lost);
	cpu_features_cut(&more, &wish->required);
	cpu_features_cut(&more, &wish->optional);
	cpu_features_cut(&more, &wish->forced);
	return is_empty(&more) ? 0 : refuse(b, why, &more);
}

int cpuid_choose_recorded(struct cpuid_builder *b, const struct cpu_feature_set *told)
{
	struct cpu_feature_set host, missing;
	struct wish wish;
	int r;

	b->features = *told;
	if (b->config->cpu.mode != VM_CPU_MODE_CUSTOM)
		return 0;
	cpuid_host_features(b->host, &host);
	r = read_wish(b, &host, &wish);
	if (r == 0)
		r = check_host(b, &host, &wish, &missing);
	return r < 0 ? r : check_told(b, &wish, told);
}

int cpuid_choose_features(struct cpuid_builder *b)
{
	struct cpu_feature_set host, required;
	struct wish wish;
	int r;

	cpuid_host_features(b->host, &host);
	r = read_wish(b, &host, &wish);
	if (r == 0)
		r = grant(b, &host, &wish);
	if (r < 0)
		return r;
	if (!b->whole_host && !b->model)
		b->model = cpu_model_nearest(
			&b->features, b->vendor, cpuid_host_signature(b->host), false, &required);
	return 0;
}
