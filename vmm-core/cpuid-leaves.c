/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPUID leaves that follow from others: topology and caches, XSAVE areas, the hypervisor's own, and a model's name and
 * signature. References: Intel SDM volume 2 (CPUID), volume 1 chapter 13 (XSAVE), AMD APM volume 3 appendix E,
 * Documentation/virt/kvm/x86/cpuid.rst.
 *
 * Tested by tests/unit/test-cpuid.c.
 */
#include "vmm-core/cpuid.h"

#include <asm/kvm_para.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/cpuid-internal.h"

#define LEVEL_SMT  1
#define LEVEL_CORE 2
#define LEVEL_DIE  5

#define XSAVE_LEGACY_SIZE 576 /* x87, SSE and the header */
#define XSAVE_COMPONENTS  63

#define APIC_BUS_KHZ 1000000 /* KVM's local APIC timer: 1 GHz */

static void level(struct cpuid_builder *b, uint32_t leaf, unsigned i, unsigned type, unsigned shift,
	unsigned processors)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry(b, leaf, i, true);

	e->eax = shift;
	e->ebx = processors & 0xffff;
	e->ecx = type << 8 | i;
}

/* Extended topology. Only Intel's newer leaf knows dies. */
static void extended_topology(struct cpuid_builder *b)
{
	const struct cpu_topology *t = &b->topology;
	unsigned per_die = t->threads * t->cores, per_package = per_die * t->dies;

	level(b, 0xb, 0, LEVEL_SMT, t->core_shift, t->threads);
	level(b, 0xb, 1, LEVEL_CORE, t->package_shift, per_package);
	level(b, 0xb, 2, 0, 0, 0);
	if (t->dies == 1 || b->vendor == CPU_VENDOR_AMD)
		return;
	level(b, 0x1f, 0, LEVEL_SMT, t->core_shift, t->threads);
	level(b, 0x1f, 1, LEVEL_CORE, t->die_shift, per_die);
	level(b, 0x1f, 2, LEVEL_DIE, t->package_shift, per_package);
	level(b, 0x1f, 3, 0, 0, 0);
}

/* Who shares each cache: leaf 4 (Intel) and 0x8000001d (AMD) have the same EAX, up to bits 31-26. */
static void cache_sharing(struct cpuid_builder *b)
{
	const struct cpu_topology *t = &b->topology;
	uint32_t cores =
		MIN((UINT32_C(1) << (t->package_shift - t->thread_bits)) - 1, UINT32_C(63));

	for (unsigned i = 0; i < b->table->n; i++) {
		struct kvm_cpuid_entry2 *e = &b->table->entries[i];
		unsigned cache_level = e->eax >> 5 & 7, shift;

		if ((e->function != 4 && e->function != 0x8000001d) || !(e->eax & 0x1f))
			continue;
		shift = cache_level >= 3 ? t->die_shift : t->core_shift;
		e->eax = (e->eax & 0x3fff) | MIN((UINT32_C(1) << shift) - 1, UINT32_C(0xfff)) << 14;
		if (e->function == 4)
			e->eax |= cores << 26;
	}
}

static void amd_topology(struct cpuid_builder *b, unsigned processors)
{
	const struct cpu_topology *t = &b->topology;
	struct kvm_cpuid_entry2 *e = cpuid_entry(b, 0x80000001, 0, false);

	/* CmpLegacy: several processors in one package. */
	e->ecx = (e->ecx & ~UINT32_C(2)) | (processors > 1 ? 2 : 0);
	e = cpuid_entry(b, 0x80000008, 0, false);
	e->ecx = MIN(processors - 1, 255U) | t->package_shift << 12;
	e->edx = 0;
	if (!cpuid_has(b, 0x80000001, 0, CPU_ECX, 22))
		return;
	e = cpuid_entry(b, 0x8000001e, 0, false);
	e->ebx = (t->threads - 1) << 8;
	e->ecx = MIN(t->dies - 1, 7U) << 8;
}

void cpuid_topology_leaves(struct cpuid_builder *b)
{
	const struct cpu_topology *t = &b->topology;
	unsigned processors = t->threads * t->cores * t->dies;
	struct kvm_cpuid_entry2 *e = cpuid_entry(b, 1, 0, false);
	const uint32_t htt = UINT32_C(1) << 28;

	/* Addressable ids in a package; the id itself comes with cpuid_vcpu(). */
	e->ebx = (e->ebx & 0xff00) | MIN(UINT32_C(1) << t->package_shift, UINT32_C(255)) << 16;
	e->edx = (e->edx & ~htt) | (processors > 1 ? htt : 0);
	cache_sharing(b);
	extended_topology(b);
	if (b->vendor == CPU_VENDOR_AMD)
		amd_topology(b, processors);
}

/* The state components that the guest's features bring with them. */
static uint64_t allowed_components(const struct cpuid_builder *b)
{
	uint64_t mask = 0x3; /* x87, SSE */

	if (cpuid_has(b, 1, 0, CPU_ECX, 28)) /* avx */
		mask |= 0x4;
	if (cpuid_has(b, 7, 0, CPU_EBX, 14)) /* mpx */
		mask |= 0x18;
	if (cpuid_has(b, 7, 0, CPU_EBX, 16)) /* avx512f */
		mask |= 0xe0;
	if (cpuid_has(b, 7, 0, CPU_ECX, 3)) /* pku */
		mask |= 0x200;
	return mask;
}

static uint64_t allowed_supervisor(const struct cpuid_builder *b)
{
	uint64_t mask = 0;

	if (!cpuid_has(b, 0xd, 1, CPU_EAX, 3)) /* xsaves */
		return 0;
	if (cpuid_has(b, 7, 0, CPU_EBX, 25)) /* intel-pt */
		mask |= 0x100;
	if (cpuid_has(b, 7, 0, CPU_ECX, 7) || cpuid_has(b, 7, 0, CPU_EDX, 20)) /* shstk, ibt */
		mask |= 0x1800;
	return mask;
}

void cpuid_xsave_leaves(struct cpuid_builder *b)
{
	struct kvm_cpuid_entry2 *e = cpuid_entry_find(b->table, 0xd, 0);
	struct cpuid_table *table = b->table;
	uint64_t user, supervisor = 0;
	uint32_t size = XSAVE_LEGACY_SIZE;
	unsigned n = 0;

	if (!e || !cpuid_has(b, 1, 0, CPU_ECX, 26)) {
		cpuid_remove_leaf(table, 0xd);
		return;
	}
	user = (e->eax | (uint64_t)e->edx << 32) & allowed_components(b);
	e = cpuid_entry_find(table, 0xd, 1);
	if (e) {
		supervisor = (e->ecx | (uint64_t)e->edx << 32) & allowed_supervisor(b);
		e->ecx = (uint32_t)supervisor;
		e->edx = (uint32_t)(supervisor >> 32);
	}
	/* Drop the components that are gone; the area ends where the last that is left ends. */
	for (unsigned i = 0; i < table->n; i++) {
		e = &table->entries[i];
		if (e->function == 0xd && e->index >= 2) {
			if (e->index >= XSAVE_COMPONENTS || !((user | supervisor) >> e->index & 1))
				continue;
			if (user >> e->index & 1)
				size = MAX(size, e->ebx + e->eax);
		}
		table->entries[n++] = *e;
	}
	table->n = n;
	e = cpuid_entry(b, 0xd, 0, true);
	e->eax = (uint32_t)user;
	e->edx = (uint32_t)(user >> 32);
	e->ecx = size;
	e->ebx = XSAVE_LEGACY_SIZE; /* follows XCR0: KVM keeps it */
}

void cpuid_hypervisor_leaves(struct cpuid_builder *b)
{
	/* Not asynchronous page faults (10, 4, 14), nor what ends in an exit to us (16) or is about moving encrypted
	 * memory (17). PV EOI is safe with a split interrupt chip: KVM does not use it for level-triggered lines. */
	const uint32_t wanted = 1U << KVM_FEATURE_CLOCKSOURCE | 1U << KVM_FEATURE_NOP_IO_DELAY |
		1U << KVM_FEATURE_CLOCKSOURCE2 | 1U << KVM_FEATURE_STEAL_TIME |
		1U << KVM_FEATURE_PV_EOI | 1U << KVM_FEATURE_PV_UNHALT |
		1U << KVM_FEATURE_PV_TLB_FLUSH | 1U << KVM_FEATURE_PV_SEND_IPI |
		1U << KVM_FEATURE_POLL_CONTROL | 1U << KVM_FEATURE_PV_SCHED_YIELD |
		1U << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT;
	const uint32_t clock = 1U << KVM_FEATURE_CLOCKSOURCE | 1U << KVM_FEATURE_CLOCKSOURCE2 |
		1U << KVM_FEATURE_CLOCKSOURCE_STABLE_BIT;
	const struct kvm_cpuid_entry2 *host = cpuid_host_find(b->host, LEAF_KVM_FEATURES, 0);
	struct kvm_cpuid_entry2 *e;

	if (!cpuid_has(b, 1, 0, CPU_ECX, 31)) /* hypervisor: disabled by policy */
		return;
	e = cpuid_entry(b, LEAF_HYPERVISOR, 0, false);
	e->eax = b->host->tsc_khz ? LEAF_HYPERVISOR_FREQ : LEAF_KVM_FEATURES;
	memcpy(&e->ebx, "KVMK", 4);
	memcpy(&e->ecx, "VMKV", 4);
	memcpy(&e->edx, "M\0\0\0", 4);
	e = cpuid_entry(b, LEAF_KVM_FEATURES, 0, false);
	e->eax = host ? host->eax & wanted : 0;
	if (b->config->timers[VM_TIMER_KVMCLOCK] == VM_TRISTATE_NO)
		e->eax &= ~clock;
	if (b->host->msi_ext_dest_id)
		e->eax |= 1U << KVM_FEATURE_MSI_EXT_DEST_ID;
	if (!b->host->tsc_khz)
		return;
	e = cpuid_entry(b, LEAF_HYPERVISOR_FREQ, 0, false);
	e->eax = b->host->tsc_khz;
	e->ebx = APIC_BUS_KHZ;
}

/* Of a real processor of that level, so that guests treat it as such. */
static uint32_t level_signature(const struct cpuid_builder *b)
{
	static const uint32_t amd[] = {CPU_SIGNATURE(15, 107, 1), CPU_SIGNATURE(15, 107, 1),
		CPU_SIGNATURE(23, 1, 2), CPU_SIGNATURE(25, 17, 1)};
	static const uint32_t intel[] = {CPU_SIGNATURE(6, 15, 11), CPU_SIGNATURE(6, 26, 3),
		CPU_SIGNATURE(6, 60, 4), CPU_SIGNATURE(6, 85, 4)};
	struct cpu_model_features features;
	unsigned level;

	cpu_model_features(b->model, &features);
	level = MAX(cpu_level(&features.required), 1U);
	return b->vendor == CPU_VENDOR_AMD ? amd[level - 1] : intel[level - 1];
}

/* The vendor is always the host's: a guest chooses by it how it enters its kernel. */
void cpuid_model_leaves(struct cpuid_builder *b)
{
	char name[49] = "";
	uint32_t eax;

	if (!b->model)
		return;
	eax = b->model->signature && b->model->vendor == b->vendor ? b->model->signature
								   : level_signature(b);
	cpuid_entry(b, 1, 0, false)->eax = eax;
	if (cpuid_host_find(b->host, 0x80000001, 0) && b->vendor == CPU_VENDOR_AMD)
		cpuid_entry(b, 0x80000001, 0, false)->eax = eax;
	(void)snprintf(name, sizeof(name), "vmmd Virtual CPU %s", b->model->name);
	for (unsigned i = 0; i < 3; i++) {
		struct kvm_cpuid_entry2 *e = cpuid_entry(b, 0x80000002 + i, 0, false);

		memcpy(&e->eax, name + (size_t)i * 16, 4);
		memcpy(&e->ebx, name + (size_t)i * 16 + 4, 4);
		memcpy(&e->ecx, name + (size_t)i * 16 + 8, 4);
		memcpy(&e->edx, name + (size_t)i * 16 + 12, 4);
	}
}
