/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest's CPUID table: see cpuid.h. */
#include "vmm-core/cpuid.h"

#include <errno.h>
#include <string.h>

#include "vmm-core/cpuid-internal.h"
#include "vmm-core/layout.h"

#define DEFAULT_PHYS_BITS 36

/* What becomes of the host's leaves. The first row that matches counts; other leaves are kept for host-passthrough
 * and maximum and dropped for the rest. */
static const struct leaf_rule {
	uint32_t first, last;
	enum { LEAF_KEEP, LEAF_DROP, LEAF_WHOLE_HOST } what;
} leaf_rules[] = {
	{0x00000000, 0x00000004, LEAF_KEEP}, /* name, features, caches */
	{0x00000006, 0x00000007, LEAF_KEEP},
	{0x00000005, 0x00000005, LEAF_WHOLE_HOST}, /* MWAIT */
	{0x0000000a, 0x0000000a, LEAF_WHOLE_HOST}, /* performance counters */
	{0x0000000b, 0x0000000b, LEAF_DROP},       /* topology: made anew */
	{0x0000000d, 0x0000000d, LEAF_KEEP},
	{0x0000000f, 0x00000010, LEAF_DROP}, /* resource director: the host's */
	{0x00000012, 0x00000012, LEAF_DROP}, /* SGX */
	{0x00000014, 0x00000014, LEAF_WHOLE_HOST},
	{0x00000015, 0x00000016, LEAF_KEEP}, /* frequencies */
	{0x00000019, 0x00000020, LEAF_DROP}, /* key locker, hybrid, AMX, topology, resets */
	{0x40000000, 0x4fffffff, LEAF_DROP}, /* made anew */
	{0x80000000, 0x80000008, LEAF_KEEP},
	{0x8000000a, 0x8000000a, LEAF_KEEP},
	{0x80000019, 0x80000019, LEAF_KEEP}, /* TLBs */
	{0x8000001d, 0x8000001d, LEAF_KEEP}, /* caches */
	{0x8000001e, 0x80000020, LEAF_DROP}, /* topology, made anew; encrypted memory, resources */
	{0x80000021, 0x80000021, LEAF_KEEP},
	{0x80000023, 0x80000026, LEAF_DROP}, /* encryption keys, topology */
	{0xc0000000, 0xcfffffff, LEAF_DROP},
};

static bool keeps_leaf(const struct cpuid_builder *b, uint32_t leaf)
{
	for (size_t i = 0; i < ARRAY_SIZE(leaf_rules); i++) {
		const struct leaf_rule *rule = &leaf_rules[i];

		if (leaf >= rule->first && leaf <= rule->last)
			return rule->what == LEAF_KEEP ||
				(rule->what == LEAF_WHOLE_HOST && b->whole_host);
	}
	return b->whole_host;
}

const struct kvm_cpuid_entry2 *cpuid_host_find(
	const struct cpuid_host *host, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < host->n_supported; i++)
		if (host->supported[i].function == leaf && host->supported[i].index == subleaf)
			return &host->supported[i];
	return NULL;
}

struct kvm_cpuid_entry2 *cpuid_entry_find(
	struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < table->n; i++)
		if (table->entries[i].function == leaf && table->entries[i].index == subleaf)
			return &table->entries[i];
	return NULL;
}

const struct kvm_cpuid_entry2 *cpuid_find(
	const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf)
{
	for (unsigned i = 0; i < table->n; i++)
		if (table->entries[i].function == leaf && table->entries[i].index == subleaf)
			return &table->entries[i];
	return NULL;
}

struct kvm_cpuid_entry2 *cpuid_entry(
	struct cpuid_builder *b, uint32_t leaf, uint32_t subleaf, bool indexed)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry_find(b->table, leaf, subleaf);

	if (e)
		return e;
	if (b->table->n == CPUID_MAX_ENTRIES)
		b->full = true;
	else
		b->table->n++;
	e = &b->table->entries[b->table->n - 1];
	*e = (struct kvm_cpuid_entry2){
		.function = leaf,
		.index = subleaf,
		.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
	};
	return e;
}

void cpuid_remove_leaf(struct cpuid_table *table, uint32_t leaf)
{
	unsigned n = 0;

	for (unsigned i = 0; i < table->n; i++)
		if (table->entries[i].function != leaf)
			table->entries[n++] = table->entries[i];
	table->n = n;
}

bool cpuid_has(const struct cpuid_builder *b, uint32_t leaf, uint32_t subleaf,
	enum cpu_register reg, unsigned bit)
{
	int i = cpu_feature_at(leaf, subleaf, reg, bit);

	return i >= 0 && cpu_feature_in(&b->features, (unsigned)i);
}

enum cpu_vendor cpuid_host_vendor(const struct cpuid_host *host)
{
	const struct kvm_cpuid_entry2 *e = cpuid_host_find(host, 0, 0);
	char name[13] = "";

	if (!e)
		return CPU_VENDOR_OTHER;
	memcpy(name, &e->ebx, 4);
	memcpy(name + 4, &e->edx, 4);
	memcpy(name + 8, &e->ecx, 4);
	return cpu_vendor_find(name);
}

uint32_t cpuid_host_signature(const struct cpuid_host *host)
{
	const struct kvm_cpuid_entry2 *e = cpuid_host_find(host, 1, 0);

	return e ? e->eax : 0;
}

void cpuid_table_features(const struct cpuid_table *table, struct cpu_feature_set *ret)
{
	*ret = (struct cpu_feature_set){0};
	for (unsigned i = 0; i < cpu_n_features; i++) {
		const struct cpu_feature *f = &cpu_features[i];
		const struct kvm_cpuid_entry2 *e = cpuid_find(table, f->leaf, f->subleaf);
		struct kvm_cpuid_entry2 copy = {0};

		if (e)
			copy = *e;
		if (*cpuid_register(&copy, f->reg) >> f->bit & 1 && !cpu_feature_follows(i))
			cpu_feature_add(ret, i);
	}
}

/* Copy what is kept. An entry of zeroes is what the guest reads of a leaf that is not there. */
static void copy_host(struct cpuid_builder *b)
{
	for (unsigned i = 0; i < b->host->n_supported; i++) {
		const struct kvm_cpuid_entry2 *e = &b->host->supported[i];

		if (!(e->eax | e->ebx | e->ecx | e->edx) || !keeps_leaf(b, e->function))
			continue;
		/* The host's frequencies, which are not the guest's then. */
		if (b->config->tsc_hz && (e->function == 0x15 || e->function == 0x16))
			continue;
		*cpuid_entry(b, e->function, e->index, false) = *e;
	}
	/* An MSR that is kept as if it were a leaf. */
	if (b->whole_host && b->host->arch_capabilities_msr && cpuid_has(b, 7, 0, CPU_EDX, 29)) {
		struct kvm_cpuid_entry2 *e = cpuid_entry(b, CPU_ARCH_CAPABILITIES, 0, false);

		e->eax = (uint32_t)b->host->arch_capabilities_msr;
		e->edx = (uint32_t)(b->host->arch_capabilities_msr >> 32);
	}
}

static bool has_subleaves(uint32_t leaf)
{
	return leaf == 7 || leaf == 0xd || leaf == 0xf || leaf == 0x12 || leaf == 0x14;
}

/* Put the chosen features into their registers. Bits without a name stay for the modes that show the whole host, where
 * the register is one of features only. */
static void apply_features(struct cpuid_builder *b)
{
	for (unsigned i = 0; i < cpu_n_features;) {
		const struct cpu_feature *first = &cpu_features[i];
		uint32_t named = 0, set = 0;
		struct kvm_cpuid_entry2 *e;

		for (; i < cpu_n_features && cpu_features[i].leaf == first->leaf &&
			cpu_features[i].subleaf == first->subleaf &&
			cpu_features[i].reg == first->reg;
			i++) {
			uint32_t bit = UINT32_C(1) << cpu_features[i].bit;

			named |= bit;
			if (cpu_feature_in(&b->features, i))
				set |= bit;
		}
		e = cpuid_entry_find(b->table, first->leaf, first->subleaf);
		if (!e && !set)
			continue;
		e = cpuid_entry(b, first->leaf, first->subleaf, has_subleaves(first->leaf));
		/* Leaf 7 subleaf 0 and leaf 0x14 have counts and the like in EAX, where nothing is named. */
		*cpuid_register(e, first->reg) =
			(b->whole_host ? *cpuid_register(e, first->reg) & ~named : 0) | set;
	}
}

/* Leaves that make no sense without the feature they describe, and AMD's copies of leaf 1. */
static void follow_features(struct cpuid_builder *b)
{
	const uint32_t copies = 0x0183f3ff; /* of leaf 1 EDX in 0x80000001 EDX */
	struct kvm_cpuid_entry2 *e = cpuid_entry_find(b->table, 0x80000001, 0);
	const struct kvm_cpuid_entry2 *one = cpuid_find(b->table, 1, 0);

	if (e && one && b->vendor == CPU_VENDOR_AMD)
		e->edx = (e->edx & ~copies) | (one->edx & copies);
	if (!cpuid_has(b, 0x80000001, 0, CPU_ECX, 2)) /* svm */
		cpuid_remove_leaf(b->table, 0x8000000a);
	if (!cpuid_has(b, 7, 0, CPU_EBX, 25)) /* intel-pt */
		cpuid_remove_leaf(b->table, 0x14);
	if (!cpuid_has(b, 0x80000001, 0, CPU_ECX, 22)) /* topoext */
		cpuid_remove_leaf(b->table, 0x8000001d);
	if (!cpuid_has(b, 0x80000022, 0, CPU_EAX, 0)) /* perfmon-v2 */
		cpuid_remove_leaf(b->table, 0x80000022);
}

/* Leaf 0 and 0x80000000 name the last leaf of their range. */
static void set_maxima(struct cpuid_builder *b)
{
	uint32_t basic = 0, extended = LEAF_EXTENDED;

	for (unsigned i = 0; i < b->table->n; i++) {
		uint32_t leaf = b->table->entries[i].function;

		if (leaf < LEAF_HYPERVISOR)
			basic = MAX(basic, leaf);
		else if (leaf >= LEAF_EXTENDED && leaf < LEAF_EXTENDED + 0x10000)
			extended = MAX(extended, leaf);
	}
	cpuid_entry(b, 0, 0, false)->eax = basic;
	cpuid_entry(b, LEAF_EXTENDED, 0, false)->eax = extended;
}

unsigned cpuid_phys_bits(const struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(table, 0x80000008, 0);

	return e && (e->eax & 0xff) ? e->eax & 0xff : DEFAULT_PHYS_BITS;
}

/* RAM, room for more, and the 64-bit PCI window behind it must have addresses. */
static int check_memory(struct cpuid_builder *b)
{
	uint64_t size = b->config->memory_kib << 10;
	uint64_t room = vm_config_plug_room_kib(b->config) << 10;
	uint64_t end = layout_pci64_base(size, room) + LAYOUT_PCI64_SIZE;
	unsigned bits = cpuid_phys_bits(b->table);

	if (bits < 64 && end > UINT64_C(1) << bits)
		return cpuid_fail(b, -ENOTSUP,
			"%llu MiB of memory%s are too much: this host's processor has %u physical "
			"address bits",
			(unsigned long long)((size + room) >> 20),
			room ? " (with <maxMemory>)" : "", bits);
	return 0;
}

/* From what the host has and the configuration asks for. */
static int make(struct cpuid_builder *b)
{
	int r = cpuid_choose_features(b);

	if (r < 0)
		return r;
	copy_host(b);
	apply_features(b);
	cpuid_model_leaves(b);
	cpuid_topology_leaves(b);
	follow_features(b);
	cpuid_xsave_leaves(b);
	cpuid_hypervisor_leaves(b);
	return 0;
}

int cpuid_build(const struct cpuid_host *host, const struct vm_config *config,
	struct cpuid_table *ret_table, struct cpuid_report *ret_report)
{
	struct cpuid_builder b = {
		.host = host,
		.config = config,
		.topology = cpu_topology_of(config),
		.vendor = cpuid_host_vendor(host),
		.whole_host = config->cpu.mode == VM_CPU_MODE_HOST_PASSTHROUGH ||
			config->cpu.mode == VM_CPU_MODE_MAXIMUM,
		.table = ret_table,
		.report = ret_report,
	};
	int r;

	*ret_report = (struct cpuid_report){0};
	ret_table->n = 0;
	r = config->n_cpuid ? cpuid_restore(&b) : make(&b);
	if (r < 0)
		return r;
	set_maxima(&b);
	if (b.full)
		return cpuid_fail(&b, -E2BIG, "this host's CPUID has more leaves than expected");
	return check_memory(&b);
}

void cpuid_vcpu(const struct cpuid_table *table, const struct vm_config *config, unsigned index,
	struct cpuid_table *ret_table)
{
	struct cpu_topology t = cpu_topology_of(config);
	uint32_t id = cpu_apic_id(&t, index);

	ret_table->n = table->n;
	memcpy(ret_table->entries, table->entries, table->n * sizeof(table->entries[0]));
	cpuid_remove_leaf(ret_table, CPU_ARCH_CAPABILITIES);
	for (unsigned i = 0; i < ret_table->n; i++) {
		struct kvm_cpuid_entry2 *e = &ret_table->entries[i];

		switch (e->function) {
		case 1:
			e->ebx = (e->ebx & 0x00ffffff) | (id & 0xff) << 24;
			break;
		case 0xb:
		case 0x1f:
			e->edx = id;
			break;
		case 0x8000001e: {
			unsigned core = index / t.threads;

			e->eax = id;
			e->ebx = (e->ebx & ~UINT32_C(0xff)) | (core % (t.cores * t.dies) & 0xff);
			e->ecx = (e->ecx & ~UINT32_C(0xff)) | (core / t.cores & 0xff);
			break;
		}
		default:
			break;
		}
	}
}
