/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What KVM offered on two hosts, as leaves, and hosts that are like them but lack something. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "vmm-core/cpuid.h"

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX
#define E(leaf, sub, f, a, b, c, d)                                                                \
	{                                                                                          \
		.function = (leaf), .index = (sub), .flags = (f), .eax = (a), .ebx = (b),          \
		.ecx = (c), .edx = (d)                                                             \
	}

/* A paravirtual KVM on EPYC: few features, an XSAVE leaf without XSAVE. */
static const struct kvm_cpuid_entry2 amd[] = {
	E(0x00000000, 0, 0, 0x0000001c, 0x68747541, 0x444d4163, 0x69746e65),
	E(0x00000001, 0, 0, 0x00a10f11, 0x01020800, 0x81202000, 0x078bfbff),
	E(0x00000006, 0, 0, 0x00000004, 0, 0, 0),
	E(0x00000007, 0, INDEXED, 0x00000001, 0x01800002, 0x00000104, 0x20000000),
	E(0x00000007, 1, INDEXED, 0, 0, 0, 0),
	E(0x0000000b, 0, INDEXED, 0, 0, 0, 1),
	E(0x0000000d, 0, INDEXED, 0x000000e7, 0x00000980, 0x00000980, 0),
	E(0x0000000d, 2, INDEXED, 0x00000100, 0x00000240, 0, 0),
	E(0x40000000, 0, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x0000004d),
	E(0x40000001, 0, 0, 0x01007efb, 0, 0, 0),
	E(0x80000000, 0, 0, 0x80000021, 0x68747541, 0x444d4163, 0x69746e65),
	E(0x80000001, 0, 0, 0x00a10f11, 0x40000000, 0x00400393, 0x23d3fbff),
	E(0x80000005, 0, 0, 0xff48ff40, 0xff48ff40, 0x20080140, 0x20080140),
	E(0x80000007, 0, 0, 0, 0, 0, 0x00000100),
	E(0x80000008, 0, 0, 0x00003030, 0x50020005, 0x00007001, 0),
	E(0x8000001d, 0, INDEXED, 0x00000121, 0x01c0003f, 0x0000003f, 0),
	E(0x8000001d, 3, INDEXED, 0x00004163, 0x03c0003f, 0x00007fff, 1),
	E(0x80000021, 0, 0, 0x00000204, 0, 0x00000006, 0),
};

/* A Skylake server with everything that v4 asks for, AVX-512, PKU, AMX in XSAVE, counters, nested VMX. */
static const struct kvm_cpuid_entry2 intel[] = {
	E(0x00000000, 0, 0, 0x0000001f, 0x756e6547, 0x6c65746e, 0x49656e69),
	E(0x00000001, 0, 0, 0x00050654, 0x00400800, 0xfffa3223, 0x1f8bfbff),
	E(0x00000004, 0, INDEXED, 0x1c004121, 0x01c0003f, 0x0000003f, 0),
	E(0x00000004, 3, INDEXED, 0x1c03c163, 0x0280003f, 0x0000dfff, 4),
	E(0x00000006, 0, 0, 0x00000004, 0, 0, 0),
	E(0x00000007, 0, INDEXED, 0x00000000, 0xd19f27eb, 0x0000000c, 0xbd000400),
	E(0x0000000a, 0, 0, 0x07300404, 0, 0, 0x00000603),
	E(0x0000000d, 0, INDEXED, 0x000602e7, 0x00000a88, 0x00002b00, 0),
	E(0x0000000d, 1, INDEXED, 0x0000000f, 0x00000a08, 0x00000100, 0),
	E(0x0000000d, 2, INDEXED, 0x00000100, 0x00000240, 0, 0),
	E(0x0000000d, 5, INDEXED, 0x00000040, 0x00000440, 0, 0),
	E(0x0000000d, 6, INDEXED, 0x00000200, 0x00000480, 0, 0),
	E(0x0000000d, 7, INDEXED, 0x00000400, 0x00000680, 0, 0),
	E(0x0000000d, 8, INDEXED, 0x00000080, 0, 1, 0),
	E(0x0000000d, 9, INDEXED, 0x00000008, 0x00000a80, 0, 0),
	E(0x0000000d, 17, INDEXED, 0x00000040, 0x00000ac0, 2, 0),
	E(0x0000000d, 18, INDEXED, 0x00002000, 0x00000b00, 6, 0),
	E(0x00000015, 0, 0, 2, 160, 25000000, 0),
	E(0x00000023, 0, 0, 1, 0, 0, 0),
	E(0x40000001, 0, 0, 0x01007efb, 0, 0, 0),
	E(0x80000000, 0, 0, 0x80000008, 0, 0, 0),
	E(0x80000001, 0, 0, 0, 0, 0x00000121, 0x2c100800),
	E(0x80000008, 0, 0, 0x0000302e, 0, 0, 0),
};

static const struct cpuid_host amd_host = {
	.supported = amd, .n_supported = ARRAY_SIZE(amd), .tsc_khz = 2596132, .tsc_deadline = true};
static const struct cpuid_host intel_host = {.supported = intel,
	.n_supported = ARRAY_SIZE(intel),
	.tsc_deadline = true,
	.arch_capabilities = true};

/* A host with features of its own: the copy of another, without some of them. */
struct host_copy {
	struct kvm_cpuid_entry2 entries[64];
	struct cpuid_host host;
};

/* 'names' are between blanks. */
static inline void host_without(
	const struct cpuid_host *host, const char *names, struct host_copy *ret)
{
	char word[2 * CPU_FEATURE_NAME_MAX], list[512];

	assert(host->n_supported <= ARRAY_SIZE(ret->entries));
	(void)snprintf(list, sizeof(list), " %s ", names);
	memcpy(ret->entries, host->supported, host->n_supported * sizeof(ret->entries[0]));
	ret->host = *host;
	ret->host.supported = ret->entries;
	for (unsigned i = 0; i < cpu_n_features; i++) {
		const struct cpu_feature *f = &cpu_features[i];

		(void)snprintf(word, sizeof(word), " %s ", f->name);
		for (unsigned k = 0; strstr(list, word) && k < host->n_supported; k++) {
			struct kvm_cpuid_entry2 *e = &ret->entries[k];
			uint32_t *registers[] = {&e->eax, &e->ebx, &e->ecx, &e->edx};

			if (e->function == f->leaf && e->index == f->subleaf)
				*registers[f->reg] &= ~(UINT32_C(1) << f->bit);
		}
	}
}
