/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The MSRs of a vCPU at power-on: see cpuid.h. Tested by tests/unit/test-cpuid.c. */
#include "vmm-core/cpuid.h"

#include <asm/kvm_para.h>
#include <errno.h>
#include <stdio.h>

#include "vmm-core/cpu-model.h"

#define MSR_TSC               0x10
#define MSR_TSC_ADJUST        0x3b
#define MSR_SPEC_CTRL         0x48
#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_MISC_ENABLE       0x1a0
#define MSR_MTRR_DEF_TYPE     0x2ff
#define MSR_PAT               0x277
#define MSR_TSC_DEADLINE      0x6e0
#define MSR_XSS               0xda0
#define MSR_TSC_AUX           0xc0000103
#define MISC_FAST_STRINGS     UINT64_C(1)
#define MTRR_ON_WRITE_BACK    UINT64_C(0x806) /* enabled, no fixed or variable ranges */
#define PAT_POWER_ON          UINT64_C(0x0007040600070406)
#define KVM_POLL_CONTROL_ON   UINT64_C(1)

/* Written back to zero on a reset. */
static const uint32_t zeroed[] = {
	0x174,
	0x175,
	0x176, /* SYSENTER_CS, ESP, EIP */
	0xc0000081,
	0xc0000082,
	0xc0000083,
	0xc0000084,
	0xc0000102, /* STAR ... KERNEL_GS_BASE */
	MSR_KVM_SYSTEM_TIME_NEW,
	MSR_KVM_WALL_CLOCK_NEW,
	MSR_KVM_ASYNC_PF_EN,
	MSR_KVM_STEAL_TIME,
	MSR_KVM_PV_EOI_EN,
};

/* Fixed ranges: what firmware would have left, and Linux expects them to agree between processors. */
static const uint32_t mtrr_fixed[] = {
	0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f};

static bool has(const struct cpuid_table *table, uint32_t leaf, uint32_t subleaf, unsigned reg,
	unsigned bit)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(table, leaf, subleaf);
	uint32_t value;

	if (!e)
		return false;
	value = reg == 0 ? e->eax : reg == 1 ? e->ebx : reg == 2 ? e->ecx : e->edx;
	return value >> bit & 1;
}

#define TSC_TOLERANCE_PPM 250

int cpuid_judge_tsc(
	uint64_t wanted_hz, uint32_t host_khz, bool scaling, struct cpuid_report *ret_report)
{
	uint64_t host_hz = host_khz * UINT64_C(1000);
	uint64_t tolerance = host_hz * TSC_TOLERANCE_PPM / 1000000;
	bool near = wanted_hz >= host_hz - tolerance && wanted_hz <= host_hz + tolerance;

	*ret_report = (struct cpuid_report){0};
	if (scaling)
		return wanted_hz / 1000 != host_khz;
	if (near)
		return 0;
	(void)snprintf(ret_report->text, sizeof(ret_report->text),
		"Requested TSC frequency %llu Hz is outside tolerance range ([%llu, %llu] Hz) "
		"around host frequency %llu Hz and TSC scaling is not supported by the host CPU",
		(unsigned long long)wanted_hz, (unsigned long long)(host_hz - tolerance),
		(unsigned long long)(host_hz + tolerance), (unsigned long long)host_hz);
	return -ENOTSUP;
}

struct list {
	struct cpuid_msr *msrs;
	unsigned n;
};

static void add(struct list *l, uint32_t index, uint64_t value)
{
	assert(l->n < CPUID_MAX_MSRS);
	l->msrs[l->n++] = (struct cpuid_msr){.index = index, .value = value};
}

static void add_reset(const struct cpuid_table *table, struct list *l)
{
	for (size_t i = 0; i < ARRAY_SIZE(zeroed); i++)
		add(l, zeroed[i], 0);
	if (has(table, 0x40000001, 0, 0, KVM_FEATURE_POLL_CONTROL))
		add(l, MSR_KVM_POLL_CONTROL, KVM_POLL_CONTROL_ON);
	add(l, MSR_PAT, PAT_POWER_ON);
	for (size_t i = 0; i < ARRAY_SIZE(mtrr_fixed); i++)
		add(l, mtrr_fixed[i], 0);
	for (uint32_t i = 0x200; i < 0x210; i++)
		add(l, i, 0);
	if (has(table, 1, 0, 2, 24))
		add(l, MSR_TSC_DEADLINE, 0);
	if (has(table, 7, 0, 3, 26) || has(table, 0x80000008, 0, 1, 14))
		add(l, MSR_SPEC_CTRL, 0);
	if (has(table, 0xd, 1, 0, 3))
		add(l, MSR_XSS, 0);
	if (has(table, 0x80000001, 0, 3, 27) || has(table, 7, 0, 2, 22))
		add(l, MSR_TSC_AUX, 0);
	if (has(table, 7, 0, 1, 1))
		add(l, MSR_TSC_ADJUST, 0);
	add(l, MSR_TSC, 0); /* KVM keeps the TSCs of vCPUs together that are zeroed at one time */
}

unsigned cpuid_msrs(
	const struct cpuid_table *table, bool fresh, struct cpuid_msr ret_msrs[CPUID_MAX_MSRS])
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(table, CPU_ARCH_CAPABILITIES, 0);
	struct list l = {.msrs = ret_msrs};

	if (!fresh)
		add_reset(table, &l);
	add(&l, MSR_MISC_ENABLE, MISC_FAST_STRINGS);
	if (e)
		add(&l, MSR_ARCH_CAPABILITIES, (uint64_t)e->edx << 32 | e->eax);
	if (has(table, 1, 0, 3, 12))
		add(&l, MSR_MTRR_DEF_TYPE, MTRR_ON_WRITE_BACK);
	return l.n;
}
