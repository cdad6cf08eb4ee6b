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

#define CHECK_NONE 1 /* struct vm_cpu, check */

struct place {
	uint32_t leaf, subleaf;
	uint8_t reg, bit;
};

/* What KVM or this file sets by itself, as the guest goes: OSXSAVE, OSPKE. */
static const struct place dynamic_features[] = {{1, 0, CPU_ECX, 27}, {7, 0, CPU_ECX, 4}};

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

/* Belong to this host, or widen what the guest reaches in it: not part of host-model. */
static const struct place unmovable_features[] = {
	{1, 0, CPU_ECX, 2},           /* dtes64 */
	{1, 0, CPU_ECX, 3},           /* monitor */
	{1, 0, CPU_ECX, 5},           /* vmx */
	{1, 0, CPU_ECX, 15},          /* pdcm */
	{1, 0, CPU_EDX, 21},          /* ds */
	{7, 0, CPU_EBX, 25},          /* intel-pt */
	{7, 0, CPU_EDX, 19},          /* arch-lbr */
	{0x80000001, 0, CPU_ECX, 2},  /* svm */
	{0x80000001, 0, CPU_ECX, 10}, /* ibs */
	{0x80000001, 0, CPU_ECX, 23}, /* perfctr_core */
	{0x80000001, 0, CPU_ECX, 24}, /* perfctr_nb */
	{0x80000001, 0, CPU_ECX, 28}, /* perfctr_llc */
	{0x80000007, 0, CPU_EDX, 8},  /* invtsc */
	{0x80000022, 0, CPU_EAX, 0},  /* perfmon-v2 */
};

/* Come with the machine, whatever the model. */
static const struct place machine_features[] = {
	{1, 0, CPU_ECX, 21},          /* x2apic */
	{1, 0, CPU_ECX, 24},          /* tsc-deadline */
	{1, 0, CPU_ECX, 31},          /* hypervisor */
	{6, 0, CPU_EAX, 2},           /* arat */
	{0x80000001, 0, CPU_ECX, 22}, /* topoext: AMD's way to tell cores from threads */
};

static const struct place arch_capabilities = {7, 0, CPU_EDX, 29};
static const struct place core_capability = {7, 0, CPU_EDX, 30};
static const struct place tsc_deadline = {1, 0, CPU_ECX, 24};

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

static void remove_places(struct cpu_feature_set *set, const struct place *places, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cpu_feature_remove(set, index_of(&places[i]));
}

/* All that the host could give. */
static struct cpu_feature_set host_features(const struct cpuid_builder *b)
{
	struct cpu_feature_set set = {0};

	for (unsigned i = 0; i < cpu_n_features; i++) {
		const struct cpu_feature *f = &cpu_features[i];
		const struct kvm_cpuid_entry2 *e = cpuid_host_find(b->host, f->leaf, f->subleaf);
		struct kvm_cpuid_entry2 copy;

		if (!e)
			continue;
		copy = *e;
		if (*cpuid_register(&copy, f->reg) >> f->bit & 1)
			cpu_feature_add(&set, i);
	}
	remove_places(&set, dynamic_features, ARRAY_SIZE(dynamic_features));
	remove_places(&set, never_features, ARRAY_SIZE(never_features));
	/* MSRs behind these: 0x10a, which some hosts offer and refuse; 0xcf, which nobody sets up. */
	if (!b->host->arch_capabilities || b->vendor == CPU_VENDOR_AMD)
		cpu_feature_remove(&set, index_of(&arch_capabilities));
	cpu_feature_remove(&set, index_of(&core_capability));
	for (unsigned i = 0; i < ARRAY_SIZE(always_there); i++)
		cpu_feature_add(&set, index_of(&always_there[i]));
	/* Old kernels say it by a capability only. */
	if (b->host->tsc_deadline)
		cpu_feature_add(&set, index_of(&tsc_deadline));
	else
		cpu_feature_remove(&set, index_of(&tsc_deadline));
	return set;
}

/* Note that the guest goes without a feature that was asked for. */
static void report_dropped(struct cpuid_builder *b, unsigned index)
{
	struct cpuid_report *r = b->report;
	size_t len = strlen(r->dropped), room = sizeof(r->dropped) - len;
	const char *name = cpu_features[index].name;

	r->n_dropped++;
	if (strlen(name) + sizeof(", , ...") < room)
		(void)snprintf(r->dropped + len, room, "%s%s", len ? ", " : "", name);
	else if (room > sizeof(", ...") && (len < 4 || !streq(r->dropped + len - 3, "...")))
		(void)snprintf(r->dropped + len, room, ", ...");
}

/* The names of up to six features of 'set'. */
static void list_names(const struct cpu_feature_set *set, char *ret, size_t size)
{
	unsigned n = 0;
	size_t len = 0;

	*ret = '\0';
	for (unsigned i = 0; i < cpu_n_features && len + CPU_FEATURE_NAME_MAX < size; i++) {
		if (!cpu_feature_in(set, i))
			continue;
		if (++n == 7) {
			(void)snprintf(ret + len, size - len, ", ...");
			return;
		}
		len += (size_t)snprintf(
			ret + len, size - len, "%s%s", len ? ", " : "", cpu_features[i].name);
	}
}

static int find_model(struct cpuid_builder *b)
{
	const struct vm_cpu *cpu = &b->config->cpu;

	b->model = cpu_model_find(cpu->model);
	if (!b->model)
		return cpuid_fail(b, -EINVAL,
			"CPU model '%s' is unknown or has no 64-bit mode; write x86-64-v1 ... "
			"x86-64-v4",
			cpu->model);
	if (!b->model->exact && cpu->fallback_forbid)
		return cpuid_fail(b, -EINVAL,
			"CPU model '%s' is adapted to x86-64-v%u, which fallback='forbid' forbids; "
			"write the latter",
			cpu->model, b->model->level);
	return 0;
}

static int custom_features(struct cpuid_builder *b, const struct cpu_feature_set *host)
{
	struct cpu_feature_set required, usual, missing = {0};
	char names[160];
	bool any = false;
	int r;

	r = find_model(b);
	if (r < 0)
		return r;
	cpu_model_features(b->model->level, &required, &usual);
	for (unsigned i = 0; i < cpu_n_features; i++) {
		bool wanted = cpu_feature_in(&required, i);

		if (!wanted && !cpu_feature_in(&usual, i))
			continue;
		if (cpu_feature_in(host, i)) {
			cpu_feature_add(&b->features, i);
		} else if (wanted) {
			cpu_feature_add(&missing, i);
			any = true;
			if (b->config->cpu.check == CHECK_NONE)
				report_dropped(b, i);
		}
	}
	if (!any || b->config->cpu.check == CHECK_NONE)
		return 0;
	list_names(&missing, names, sizeof(names));
	return cpuid_fail(b, -ENOTSUP, "this host cannot give CPU model %s; it lacks: %s",
		b->config->cpu.model, names);
}

static int mode_features(struct cpuid_builder *b, const struct cpu_feature_set *host)
{
	if (b->whole_host) {
		b->features = *host;
		return 0;
	}
	if (b->config->cpu.mode == VM_CPU_MODE_CUSTOM)
		return custom_features(b, host);
	b->features = *host;
	remove_places(&b->features, unmovable_features, ARRAY_SIZE(unmovable_features));
	return 0;
}

/* One <feature>. 'forced' and 'required' collect what must survive. */
static int apply_policy(struct cpuid_builder *b, const struct vm_cpu_feature *f,
	const struct cpu_feature_set *host, struct cpu_feature_set *required,
	struct cpu_feature_set *forced)
{
	int i = cpu_feature_find(f->name);
	bool there;

	if (i < 0)
		return cpuid_fail(b, -EINVAL, "unknown CPU feature '%s'", f->name);
	there = cpu_feature_in(host, (unsigned)i);
	cpu_feature_remove(required, (unsigned)i);
	switch (f->policy) {
	case VM_CPU_POLICY_FORCE:
		cpu_feature_add(&b->features, (unsigned)i);
		cpu_feature_add(forced, (unsigned)i);
		return 0;
	case VM_CPU_POLICY_OPTIONAL:
		if (there)
			cpu_feature_add(&b->features, (unsigned)i);
		else
			report_dropped(b, (unsigned)i);
		return 0;
	case VM_CPU_POLICY_FORBID:
		if (there)
			return cpuid_fail(b, -ENOTSUP,
				"CPU feature '%s' is forbidden, and this host has it", f->name);
		cpu_feature_remove(&b->features, (unsigned)i);
		return 0;
	case VM_CPU_POLICY_DISABLE:
		cpu_feature_remove(&b->features, (unsigned)i);
		return 0;
	default: /* require */
		if (!there)
			return cpuid_fail(b, -ENOTSUP,
				"CPU feature '%s' is required, and this host lacks it", f->name);
		cpu_feature_add(&b->features, (unsigned)i);
		cpu_feature_add(required, (unsigned)i);
		return 0;
	}
}

static int apply_policies(struct cpuid_builder *b, const struct cpu_feature_set *host)
{
	struct cpu_feature_set required = {0}, forced = {0};

	for (unsigned i = 0; i < b->config->cpu.n_features; i++) {
		int r = apply_policy(b, &b->config->cpu.features[i], host, &required, &forced);

		if (r < 0)
			return r;
	}
	cpu_features_close(&b->features);
	for (unsigned i = 0; i < cpu_n_features; i++) {
		if (cpu_feature_in(&required, i) && !cpu_feature_in(&b->features, i))
			return cpuid_fail(b, -EINVAL,
				"CPU feature '%s' is required, but one that it needs is not there",
				cpu_features[i].name);
		if (cpu_feature_in(&forced, i))
			cpu_feature_add(&b->features, i);
	}
	return 0;
}

/* <vendor> names the only kind of host that will do. */
static int check_vendor(struct cpuid_builder *b)
{
	const char *vendor = b->config->cpu.vendor;
	enum cpu_vendor wanted = streq(vendor, "Intel") ? CPU_VENDOR_INTEL
		: streq(vendor, "AMD")                  ? CPU_VENDOR_AMD
							: CPU_VENDOR_OTHER;

	if (!*vendor || (wanted != CPU_VENDOR_OTHER && wanted == b->vendor))
		return 0;
	return cpuid_fail(
		b, -ENOTSUP, "a CPU of vendor '%s' is required; this host's is another", vendor);
}

int cpuid_choose_features(struct cpuid_builder *b)
{
	struct cpu_feature_set host = host_features(b);
	int r;

	r = check_vendor(b);
	if (r < 0)
		return r;
	r = mode_features(b, &host);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(machine_features); i++)
		if (cpu_feature_in(&host, index_of(&machine_features[i])))
			cpu_feature_add(&b->features, index_of(&machine_features[i]));
	return apply_policies(b, &host);
}
