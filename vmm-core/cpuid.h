/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's CPUID: from what KVM supports and what the configuration asks for to each vCPU's table.
 *
 *	cpuid_build()	once per vm: features by mode, model and policies; topology, caches, XSAVE sizes and
 *			hypervisor leaves made consistent with them
 *	cpuid_vcpu()	per vCPU: a copy with its APIC id
 *	cpuid_msrs()	the MSRs to set on a vCPU that has this table
 *
 * Modes. host-passthrough and maximum: all that KVM supports, invtsc with migratable='off' only. host-model: all of it
 * that has a name in cpu-features.c and can be moved to another host (no invtsc, no performance counters), as the model
 * that is nearest. custom: the model's features, those that are usual with it where the host has them, and with
 * match='minimum' all that host-model would have. To all of them come hypervisor, x2apic, tsc-deadline, arat and topoext
 * where KVM has them, since they belong to the machine. AMX is never offered: a process must ask the kernel for it,
 * and the worker does not.
 *
 * check. 'partial' (and nothing written): what is required, by the model or a <feature>, must be there, what is forbidden must not,
 * and <vendor> must be the host's. 'full': the same, and with mode='custom' nothing comes to it, by usage or with the machine: the
 * processor has what the model and the <feature>s say, no less and no more, on every host that can give it. 'none': nothing is checked, what is
 * missing is left out. An error names the features; what was left out is listed in the report.
 *
 * A record (config->n_cpuid): a vm that was given a table before is given the same again, leaf for leaf and bit for bit, whatever else this host's
 * KVM has; a host that cannot is refused, with the leaf, the register and the bit, and the feature's name where it has one. Not
 * compared, and made for each start, is what belongs to one machine by nature:
 *
 *	APIC ids, and how many processors share what	1 EBX and HTT, 4 and 0x8000001d EAX, 0xb, 0x1f, 0x80000001 CmpLegacy,
 *							0x80000008 ECX, 0x8000001e
 *	frequencies of the counter and the bus		0x15, 0x16, 0x40000010
 *	KVM's own leaves				0x40000000 and on; but no paravirtual feature that was not there before
 *	what follows from the guest's own doing		OSXSAVE, OSPKE; the sizes in 0xd EBX
 *
 * Caches, TLBs, names, family and model are given as they were, since no host has to have the same; physical address bits, as they were, need
 * at least as many here; the parts of the XSAVE area must lie where they lie here. With mode='custom' the record must be of what <cpu> says.
 *
 * Pure: works on tables; the caller talks to KVM. Threads: any.
 */
#pragma once

#include <linux/kvm.h>

#include "config/vm-config.h"
#include "vmm-core/cpu-model.h"

#define CPUID_MAX_ENTRIES 160
#define CPUID_MAX_MSRS    64

/* What the host has to offer. */
struct cpuid_host {
	const struct kvm_cpuid_entry2 *supported; /* KVM_GET_SUPPORTED_CPUID */
	unsigned n_supported;
	uint32_t tsc_khz;               /* of the guest's TSC; 0: unknown, no frequency leaf */
	bool tsc_deadline;              /* KVM_CAP_TSC_DEADLINE_TIMER */
	bool arch_capabilities;         /* MSR 0x10a can be set */
	uint64_t arch_capabilities_msr; /* the bits of it that KVM supports */
	bool msi_ext_dest_id; /* interrupt routes understand bits 5-11 of the MSI address */
};

/* MSR 0x10a, where the guest has it, is kept as if it were leaf CPU_ARCH_CAPABILITIES. */
struct cpuid_table {
	unsigned n;
	struct kvm_cpuid_entry2 entries[CPUID_MAX_ENTRIES];
};

struct cpuid_report {
	char text[256]; /* the error, or "" */
	/* Names of features that were asked for (model, policy "optional") and are not there because the host lacks
	 * them. Cut off with "..." if there are many. */
	char dropped[512];
	unsigned n_dropped;
};

struct cpuid_msr {
	uint32_t index;
	uint64_t value;
};

/* 'config' has been validated. Returns 0; -EINVAL (unknown model or feature name), -ENOTSUP (the host lacks a required
 * feature, has a forbidden one, or too few physical address bits for this much memory) with the reason in
 * ret_report->text; -E2BIG (more entries than fit). 'ret_report' is always set. */
int cpuid_build(const struct cpuid_host *host, const struct vm_config *config,
	struct cpuid_table *ret_table, struct cpuid_report *ret_report);

/* 'table' as vCPU 'index' sees it: leaves only. */
void cpuid_vcpu(const struct cpuid_table *table, const struct vm_config *config, unsigned index,
	struct cpuid_table *ret_table);

/* May a guest's counter run at 'wanted_hz' (not 0) on a host where it runs at 'host_khz' by itself (0: unknown)? 0: it does, closely
 * enough (250 ppm, as libvirt has it); 1: when KVM is told to; -ENOTSUP with the reason: it cannot ('scaling':
 * KVM_CAP_TSC_CONTROL). */
int cpuid_judge_tsc(
	uint64_t wanted_hz, uint32_t host_khz, bool scaling, struct cpuid_report *ret_report);

/* All that the host could give, by name; who makes it; and leaf 1, EAX. */
void cpuid_host_features(const struct cpuid_host *host, struct cpu_feature_set *ret);
enum cpu_vendor cpuid_host_vendor(const struct cpuid_host *host);
uint32_t cpuid_host_signature(const struct cpuid_host *host);
/* Nobody gets this feature, whatever the host has. */
bool cpuid_never(unsigned index);
/* What the guest was given, without what follows from its own doing. */
void cpuid_table_features(const struct cpuid_table *table, struct cpu_feature_set *ret);

/* The entry of a leaf; NULL if the table has none. */
const struct kvm_cpuid_entry2 *cpuid_find(
	const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf);

/* The guest's physical address bits, 36 if the table does not say. */
unsigned cpuid_phys_bits(const struct cpuid_table *table);

/* The MSRs of a vCPU at power-on, at most CPUID_MAX_MSRS, in the order to set them. Each is optional: one that the host
 * refuses is skipped. 'fresh': the vCPU was just created, so that only what differs from KVM's own defaults is listed;
 * else (a reset) all that a guest may have changed. Returns their number. */
unsigned cpuid_msrs(
	const struct cpuid_table *table, bool fresh, struct cpuid_msr ret_msrs[CPUID_MAX_MSRS]);
