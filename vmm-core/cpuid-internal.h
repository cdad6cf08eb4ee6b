/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between cpuid-features.c (which features), cpuid.c (the table) and cpuid-leaves.c (leaves that follow from others). */
#pragma once

#include "vmm-core/cpu-model.h"
#include "vmm-core/cpu-topology.h"
#include "vmm-core/cpuid.h"

#define LEAF_HYPERVISOR      0x40000000
#define LEAF_KVM_FEATURES    0x40000001
#define LEAF_HYPERVISOR_FREQ 0x40000010
#define LEAF_EXTENDED        0x80000000

/* A table under construction. */
struct cpuid_builder {
	const struct cpuid_host *host;
	const struct vm_config *config;
	struct cpu_topology topology;
	enum cpu_vendor vendor;
	bool whole_host;                 /* host-passthrough or maximum */
	const struct cpu_model *model;   /* asked for, or the nearest; whole_host: none */
	struct cpu_feature_set features; /* what the guest gets */
	struct cpuid_table *table;
	struct cpuid_report *report;
	bool full; /* the table overflowed */
};

/* The host's entry; NULL if none. */
const struct kvm_cpuid_entry2 *cpuid_host_find(
	const struct cpuid_host *host, uint32_t leaf, uint32_t subleaf);

/* The table's entry, made if need be; never NULL (a table that is full gives a scrap entry and sets 'full'). */
struct kvm_cpuid_entry2 *cpuid_entry(
	struct cpuid_builder *b, uint32_t leaf, uint32_t subleaf, bool indexed);
struct kvm_cpuid_entry2 *cpuid_entry_find(
	struct cpuid_table *table, uint32_t leaf, uint32_t subleaf);
void cpuid_remove_leaf(struct cpuid_table *table, uint32_t leaf);

static inline uint32_t *cpuid_register(struct kvm_cpuid_entry2 *e, unsigned reg)
{
	return reg == CPU_EAX    ? &e->eax
		: reg == CPU_EBX ? &e->ebx
		: reg == CPU_ECX ? &e->ecx
				 : &e->edx;
}

/* Is the feature at this place among those the guest gets? */
bool cpuid_has(const struct cpuid_builder *b, uint32_t leaf, uint32_t subleaf,
	enum cpu_register reg, unsigned bit);

/* cpuid-features.c: decide b->features. Returns 0, -EINVAL or -ENOTSUP with the report's text. */
int cpuid_choose_features(struct cpuid_builder *b);
/* The same of what a vm was given before, 'told': it is what <cpu> may have come to, and the host has what must be there. */
int cpuid_choose_recorded(struct cpuid_builder *b, const struct cpu_feature_set *told);
int cpuid_fail(struct cpuid_builder *b, int error, const char *format, ...) _printf_(3, 4);

/* cpuid-record.c: the whole table, but for the last leaves' numbers, as config->cpuid has it. Returns 0, or as cpuid_build(). */
int cpuid_restore(struct cpuid_builder *b);

/* cpuid-leaves.c */
void cpuid_topology_leaves(struct cpuid_builder *b);
void cpuid_xsave_leaves(struct cpuid_builder *b);
void cpuid_hypervisor_leaves(struct cpuid_builder *b);
void cpuid_model_leaves(struct cpuid_builder *b);
