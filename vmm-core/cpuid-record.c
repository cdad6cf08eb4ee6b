/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table that was given before, given again: see cpuid.h. What a host must have so that it can is said leaf by leaf
 * in record_leaves[]; the reference for each is Intel SDM volume 2 (CPUID) and AMD APM volume 3 appendix E.
 *
 * Tested by tests/unit/test-cpuid-record.c.
 */
#include "vmm-core/cpuid.h"

#include <errno.h>
#include <stdio.h>

#include "vmm-core/cpuid-internal.h"

enum record_rule {
	SAME, /* this host's, and no other: sizes, offsets, counts that the processor itself goes by; but bits with names are BITS */
	BITS, /* no bit that this host lacks */
	MOST, /* phys_bits and the like: bytes, none of them more than this host's */
	FREE, /* KVM tells the guest what it is told to */
};

#define ANY UINT32_MAX

/* The first row that fits counts. What none fits is shown only to who has the whole host, and must be the same. */
static const struct record_leaf {
	uint32_t first, last, subleaf;
	uint8_t rules[CPU_REGISTER_X_MAX]; /* enum record_rule: of EAX, EBX, ECX and EDX */
} record_leaves[] = {
	{0x0, 0x0, ANY, {FREE, SAME, SAME, SAME}}, /* the last leaf; the vendor */
	{0x1, 0x1, ANY, {FREE, FREE, BITS, BITS}}, /* the model; topology, made anew */
	{0x2, 0x4, ANY, {FREE, FREE, FREE, FREE}}, /* caches */
	{0x6, 0x6, ANY, {BITS, FREE, BITS, FREE}},
	{0x7, 0x7, 0, {FREE, BITS, BITS, BITS}}, /* the last subleaf */
	{0x7, 0x7, ANY, {BITS, BITS, BITS, BITS}},
	{0xd, 0xd, 0, {BITS, FREE, FREE, BITS}}, /* sizes follow from the components */
	{0xd, 0xd, 1, {BITS, FREE, BITS, BITS}},
	{0x80000000, 0x80000000, ANY, {FREE, SAME, SAME, SAME}},
	{0x80000001, 0x80000001, ANY, {FREE, FREE, BITS, BITS}},
	{0x80000002, 0x80000006, ANY, {FREE, FREE, FREE, FREE}}, /* the name; caches */
	{0x80000007, 0x80000007, ANY, {BITS, BITS, FREE, BITS}},
	{0x80000008, 0x80000008, ANY, {MOST, BITS, FREE, FREE}}, /* ECX: topology */
	{0x8000000a, 0x8000000a, ANY, {FREE, MOST, FREE, BITS}},
	{0x80000019, 0x80000019, ANY, {FREE, FREE, FREE, FREE}}, /* TLBs */
	{0x8000001d, 0x8000001d, ANY, {FREE, FREE, FREE, FREE}}, /* caches */
	{0x80000021, 0x80000021, ANY, {BITS, FREE, BITS, BITS}},
	{CPU_ARCH_CAPABILITIES, CPU_ARCH_CAPABILITIES, ANY, {BITS, SAME, SAME, BITS}},
};

static const uint8_t *rules_of(uint32_t leaf, uint32_t subleaf)
{
	static const uint8_t same[CPU_REGISTER_X_MAX] = {SAME, SAME, SAME, SAME};

	for (size_t i = 0; i < ARRAY_SIZE(record_leaves); i++) {
		const struct record_leaf *row = &record_leaves[i];

		if (leaf >= row->first && leaf <= row->last &&
			(row->subleaf == ANY || row->subleaf == subleaf))
			return row->rules;
	}
	return same;
}

/* Of the machine, and made for each start: topology, the counter's frequency, KVM's own. */
static bool is_of_machine(uint32_t leaf)
{
	return leaf == 0xb || leaf == 0x15 || leaf == 0x16 || leaf == 0x1f || leaf == 0x8000001e ||
		(leaf >= LEAF_HYPERVISOR && leaf < LEAF_HYPERVISOR + 0x10000000);
}

/* What a feature's policy or the guest's own doing makes of a bit, whatever the host has. */
static bool is_excused(const struct cpuid_builder *b, unsigned feature)
{
	const struct vm_cpu *cpu = &b->config->cpu;

	if (cpu_feature_follows(feature))
		return true;
	for (uint32_t i = 0; i < cpu->n_features; i++)
		if (cpu->features[i].policy == VM_CPU_POLICY_FORCE &&
			cpu_feature_find(cpu->features[i].name) == (int)feature)
			return true;
	return false;
}

static uint32_t host_register(
	const struct cpuid_builder *b, const struct kvm_cpuid_entry2 *entry, enum cpu_register reg)
{
	const struct kvm_cpuid_entry2 *e = cpuid_host_find(b->host, entry->function, entry->index);
	struct kvm_cpuid_entry2 copy = {0};

	if (entry->function == CPU_ARCH_CAPABILITIES)
		return (uint32_t)(b->host->arch_capabilities_msr >> (reg == CPU_EDX ? 32 : 0));
	if (e)
		copy = *e;
	return *cpuid_register(&copy, reg);
}

#define REFUSAL "operation failed: guest CPU doesn't match what it was given before: "

static const char register_names[CPU_REGISTER_X_MAX][4] = {"EAX", "EBX", "ECX", "EDX"};

static int refuse(
	struct cpuid_builder *b, const struct kvm_cpuid_entry2 *e, unsigned reg, const char *what)
{
	if (e->function == CPU_ARCH_CAPABILITIES)
		return cpuid_fail(b, -ENOTSUP,
			REFUSAL "this host's KVM lacks MSR 0x10a, %s half: %s",
			reg == CPU_EDX ? "upper" : "lower", what);
	return cpuid_fail(b, -ENOTSUP,
		REFUSAL "this host's KVM lacks leaf 0x%x, subleaf %u, %s: %s", e->function,
		e->index, register_names[reg], what);
}

static int check_bits(struct cpuid_builder *b, const struct kvm_cpuid_entry2 *e, unsigned reg,
	uint32_t wanted, const struct cpu_feature_set *host)
{
	uint32_t there = host_register(b, e, reg);

	for (unsigned bit = 0; bit < 32; bit++) {
		int feature = cpu_feature_at(e->function, e->index, reg, bit);
		char what[64];

		if (!(wanted >> bit & 1))
			continue;
		if (feature < 0 ? there >> bit & 1
				: cpu_feature_in(host, (unsigned)feature) ||
					is_excused(b, (unsigned)feature))
			continue;
		(void)snprintf(what, sizeof(what), "bit %u%s%s%s", bit, feature < 0 ? "" : " (",
			feature < 0 ? "" : cpu_features[feature].name, feature < 0 ? "" : ")");
		return refuse(b, e, reg, what);
	}
	return 0;
}

static bool is_at_most(uint32_t wanted, uint32_t there)
{
	for (unsigned shift = 0; shift < 32; shift += 8)
		if ((wanted >> shift & 0xff) > (there >> shift & 0xff))
			return false;
	return true;
}

static uint32_t named_bits(const struct kvm_cpuid_entry2 *e, unsigned reg)
{
	uint32_t named = 0;

	for (unsigned bit = 0; bit < 32; bit++)
		if (cpu_feature_at(e->function, e->index, reg, bit) >= 0)
			named |= UINT32_C(1) << bit;
	return named;
}

static int check_register(struct cpuid_builder *b, struct kvm_cpuid_entry2 *e, unsigned reg,
	enum record_rule rule, const struct cpu_feature_set *host)
{
	uint32_t wanted = *cpuid_register(e, reg), there = host_register(b, e, reg);
	uint32_t named = rule == SAME ? named_bits(e, reg) : 0;
	char what[64];

	if (rule == BITS)
		return check_bits(b, e, reg, wanted, host);
	if (rule == FREE || wanted == there || (rule == MOST && is_at_most(wanted, there)))
		return 0;
	/* Features can be disabled and forced wherever they are. */
	if (rule == SAME && !((wanted ^ there) & ~named))
		return check_bits(b, e, reg, wanted & named, host);
	(void)snprintf(what, sizeof(what), "0x%x (it has 0x%x)", wanted, there);
	return refuse(b, e, reg, what);
}

static int check_entry(
	struct cpuid_builder *b, struct kvm_cpuid_entry2 *e, const struct cpu_feature_set *host)
{
	const uint8_t *rules = rules_of(e->function, e->index);
	int r = 0;

	for (unsigned reg = 0; reg < CPU_REGISTER_X_MAX && r == 0; reg++)
		r = check_register(b, e, reg, rules[reg], host);
	return r;
}

/* KVM tells it only with the MSR: the guest is not to have the one without the other. */
static int check_arch_capabilities(struct cpuid_builder *b)
{
	if (!cpuid_find(b->table, CPU_ARCH_CAPABILITIES, 0) || b->host->arch_capabilities)
		return 0;
	return cpuid_fail(b, -ENOTSUP, REFUSAL "this host's KVM lacks MSR 0x10a");
}

static void take_record(struct cpuid_builder *b)
{
	for (uint32_t i = 0; i < b->config->n_cpuid; i++) {
		const struct vm_cpuid_leaf *leaf = &b->config->cpuid[i];
		bool indexed = leaf->subleaf & VM_CPUID_INDEXED;
		uint32_t subleaf = leaf->subleaf & ~VM_CPUID_INDEXED;
		struct kvm_cpuid_entry2 *e;

		if (is_of_machine(leaf->leaf))
			continue;
		e = cpuid_entry(b, leaf->leaf, subleaf, indexed);
		e->eax = leaf->eax;
		e->ebx = leaf->ebx;
		e->ecx = leaf->ecx;
		e->edx = leaf->edx;
	}
}

static const struct vm_cpuid_leaf *find_leaf(const struct vm_config *config, uint32_t number)
{
	for (uint32_t i = 0; i < config->n_cpuid; i++)
		if (config->cpuid[i].leaf == number)
			return &config->cpuid[i];
	return NULL;
}

/* The frequencies are this host's; that there are such leaves is the record's. */
static void machine_leaves(struct cpuid_builder *b)
{
	const struct vm_cpuid_leaf *kvm = find_leaf(b->config, LEAF_KVM_FEATURES);
	struct kvm_cpuid_entry2 *e;

	for (uint32_t leaf = 0x15; leaf <= 0x16; leaf++) {
		const struct kvm_cpuid_entry2 *host = cpuid_host_find(b->host, leaf, 0);

		if (!find_leaf(b->config, leaf))
			continue;
		e = cpuid_entry(b, leaf, 0, false);
		if (host && !b->config->tsc_hz)
			*e = *host;
	}
	cpuid_topology_leaves(b);
	cpuid_hypervisor_leaves(b);
	e = cpuid_entry_find(b->table, LEAF_KVM_FEATURES, 0);
	if (e && kvm)
		e->eax &= kvm->eax;
}

int cpuid_restore(struct cpuid_builder *b)
{
	struct cpu_feature_set told, host;
	int r;

	take_record(b);
	cpuid_table_features(b->table, &told);
	r = cpuid_choose_recorded(b, &told);
	cpuid_host_features(b->host, &host);
	for (unsigned i = 0; i < b->table->n && r == 0; i++)
		r = check_entry(b, &b->table->entries[i], &host);
	if (r == 0)
		r = check_arch_capabilities(b);
	if (r == 0)
		machine_leaves(b);
	return r;
}
