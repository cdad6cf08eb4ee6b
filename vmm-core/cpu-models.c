/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CPU models by name: see cpu-model.h. Names are libvirt's and mean the same generations; what each has is from the
 * vendors' descriptions of it (Intel SDM volume 2, CPUID; AMD's processor programming references) and, for
 * x86-64-vN, from the x86-64 psABI 1.0, table 3.1.
 *
 * Left out of all of them, because a guest of vmmd gets them by asking only, or never: nested virtualization (vmx, svm
 * and what belongs to it), MONITOR, performance counters, MPX and Processor Trace (which the vendors gave up), AMX.
 *
 * Tested by tests/unit/test-cpu-model.c.
 */
#include "vmm-core/cpu-model.h"

#define INTEL(family, model, stepping)                                                             \
	.vendor = CPU_VENDOR_INTEL, .signature = CPU_SIGNATURE(family, model, stepping)
#define AMD(family, model, stepping)                                                               \
	.vendor = CPU_VENDOR_AMD, .signature = CPU_SIGNATURE(family, model, stepping)

/* What every processor in 64-bit mode has that an operating system was ever made for. */
#define BASE                                                                                       \
	"fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr "    \
	"sse sse2 syscall nx lm "

#define AVX512_SKYLAKE "avx512f avx512dq avx512cd avx512bw avx512vl "
#define AVX512_ICELAKE                                                                             \
	"avx512vbmi avx512vbmi2 avx512vnni avx512bitalg avx512-vpopcntdq gfni vaes vpclmulqdq "

/* A 'base' comes before what is built on it. */
const struct cpu_model cpu_models[] = {
	{.name = "x86-64-v1",
		.adds = "fpu tsc msr pae cx8 apic cmov mmx fxsr sse sse2 syscall lm",
		.usual = "vme de pse mce sep mtrr pge mca pat pse36 clflush nx"},
	{.name = "x86-64-v2",
		.base = "x86-64-v1",
		.adds = "pni ssse3 cx16 sse4.1 sse4.2 popcnt lahf_lm",
		.usual = "rdtscp"},
	{.name = "x86-64-v3",
		.base = "x86-64-v2",
		.adds = "fma movbe xsave avx f16c bmi1 avx2 bmi2 abm",
		.usual = "pclmuldq aes rdrand fsgsbase smep"},
	{.name = "x86-64-v4",
		.base = "x86-64-v3",
		.adds = AVX512_SKYLAKE,
		.usual = "rdseed adx smap"},

	{.name = "qemu64", .adds = BASE "pni cx16 lahf_lm", .usual = "abm popcnt sse4a"},
	{.name = "kvm64", .adds = BASE "pni cx16"},
	{.name = "cpu64-rhel5", .adds = BASE "pni"},
	{.name = "cpu64-rhel6", .adds = BASE "pni cx16 lahf_lm"},

	{.name = "core2duo", INTEL(6, 15, 11), .adds = BASE "vme pni ssse3"},
	{.name = "Conroe", INTEL(6, 15, 3), .adds = BASE "pni ssse3 lahf_lm", .usual = "vme"},
	{.name = "Penryn", INTEL(6, 23, 3), .base = "Conroe", .adds = "cx16 sse4.1"},
	{.name = "Nehalem", INTEL(6, 26, 3), .base = "Penryn", .adds = "sse4.2 popcnt"},
	{.name = "Nehalem-IBRS", INTEL(6, 26, 3), .base = "Nehalem", .adds = "spec-ctrl"},
	{.name = "Westmere",
		INTEL(6, 44, 1),
		.base = "Nehalem",
		.adds = "aes",
		.usual = "pclmuldq arat"},
	{.name = "Westmere-IBRS", INTEL(6, 44, 1), .base = "Westmere", .adds = "spec-ctrl"},
	{.name = "SandyBridge",
		INTEL(6, 42, 1),
		.base = "Westmere",
		.adds = "pclmuldq x2apic tsc-deadline xsave avx rdtscp",
		.usual = "xsaveopt"},
	{.name = "SandyBridge-IBRS", INTEL(6, 42, 1), .base = "SandyBridge", .adds = "spec-ctrl"},
	{.name = "IvyBridge",
		INTEL(6, 58, 9),
		.base = "SandyBridge",
		.adds = "vme f16c rdrand fsgsbase smep erms"},
	{.name = "IvyBridge-IBRS", INTEL(6, 58, 9), .base = "IvyBridge", .adds = "spec-ctrl"},
	{.name = "Haswell-noTSX",
		INTEL(6, 60, 1),
		.base = "IvyBridge",
		.adds = "fma pcid movbe bmi1 avx2 bmi2 invpcid",
		.drops = "vme f16c rdrand",
		.usual = "vme f16c rdrand abm"},
	{.name = "Haswell-noTSX-IBRS",
		INTEL(6, 60, 1),
		.base = "Haswell-noTSX",
		.adds = "spec-ctrl"},
	{.name = "Haswell", INTEL(6, 60, 4), .base = "Haswell-noTSX", .adds = "hle rtm"},
	{.name = "Haswell-IBRS", INTEL(6, 60, 4), .base = "Haswell", .adds = "spec-ctrl"},
	{.name = "Broadwell-noTSX",
		INTEL(6, 61, 2),
		.base = "Haswell-noTSX",
		.adds = "rdseed adx smap 3dnowprefetch"},
	{.name = "Broadwell-noTSX-IBRS",
		INTEL(6, 61, 2),
		.base = "Broadwell-noTSX",
		.adds = "spec-ctrl"},
	{.name = "Broadwell", INTEL(6, 61, 2), .base = "Broadwell-noTSX", .adds = "hle rtm"},
	{.name = "Broadwell-IBRS", INTEL(6, 61, 2), .base = "Broadwell", .adds = "spec-ctrl"},
	{.name = "Skylake-Client",
		INTEL(6, 94, 3),
		.base = "Broadwell",
		.adds = "vme f16c rdrand abm arat xsaveopt xsavec xgetbv1"},
	{.name = "Skylake-Client-IBRS",
		INTEL(6, 94, 3),
		.base = "Skylake-Client",
		.adds = "spec-ctrl"},
	{.name = "Skylake-Client-noTSX-IBRS",
		INTEL(6, 94, 3),
		.base = "Skylake-Client-IBRS",
		.drops = "hle rtm"},
	{.name = "Skylake-Server",
		INTEL(6, 85, 4),
		.base = "Skylake-Client",
		.adds = AVX512_SKYLAKE "clwb pdpe1gb",
		.usual = "clflushopt pku"},
	{.name = "Skylake-Server-IBRS",
		INTEL(6, 85, 4),
		.base = "Skylake-Server",
		.adds = "spec-ctrl"},
	{.name = "Skylake-Server-noTSX-IBRS",
		INTEL(6, 85, 4),
		.base = "Skylake-Server-IBRS",
		.drops = "hle rtm"},
	{.name = "Cascadelake-Server",
		INTEL(6, 85, 6),
		.base = "Skylake-Server",
		.adds = "clflushopt avx512vnni spec-ctrl ssbd"},
	{.name = "Cascadelake-Server-noTSX",
		INTEL(6, 85, 6),
		.base = "Cascadelake-Server",
		.drops = "hle rtm"},
	{.name = "Cooperlake",
		INTEL(6, 85, 10),
		.base = "Cascadelake-Server",
		.adds = "pku stibp avx512-bf16 arch-capabilities rdctl-no ibrs-all "
			"skip-l1dfl-vmentry mds-no pschange-mc-no taa-no"},
	{.name = "Icelake-Client",
		INTEL(6, 126, 0),
		.base = "Skylake-Client",
		.adds = "umip pku gfni vaes vpclmulqdq wbnoinvd spec-ctrl ssbd",
		.lacks = "AVX-512, which it is said to have in part only"},
	{.name = "Icelake-Client-noTSX",
		INTEL(6, 126, 0),
		.base = "Icelake-Client",
		.drops = "hle rtm",
		.lacks = "AVX-512, which it is said to have in part only"},
	{.name = "Icelake-Server",
		INTEL(6, 106, 0),
		.base = "Skylake-Server",
		.adds = AVX512_ICELAKE "clflushopt umip pku la57 wbnoinvd spec-ctrl ssbd"},
	{.name = "Icelake-Server-noTSX",
		INTEL(6, 106, 0),
		.base = "Icelake-Server",
		.drops = "hle rtm"},
	{.name = "SapphireRapids",
		INTEL(6, 143, 4),
		.base = "Icelake-Server",
		.adds = "avx512ifma sha-ni rdpid bus-lock-detect fsrm serialize tsx-ldtrk "
			"avx512-fp16 avx-vnni avx512-bf16 fzrm fsrs fsrc arch-capabilities "
			"rdctl-no ibrs-all skip-l1dfl-vmentry mds-no pschange-mc-no taa-no",
		.lacks = "AMX"},
	{.name = "GraniteRapids",
		INTEL(6, 173, 0),
		.base = "SapphireRapids",
		.adds = "prefetchiti mcdt-no sbdr-ssdp-no fbsdp-no psdp-no pbrsb-no",
		.lacks = "AMX"},
	{.name = "Snowridge",
		INTEL(6, 134, 1),
		.base = "Westmere",
		.adds = "vme pclmuldq movbe x2apic tsc-deadline xsave rdrand rdtscp pdpe1gb "
			"3dnowprefetch fsgsbase smep erms rdseed smap clflushopt clwb sha-ni umip "
			"gfni cldemote movdiri movdir64b spec-ctrl ssbd arch-capabilities xsaveopt "
			"xsavec xgetbv1 arat",
		.lacks = "split-lock detection"},

	{.name = "phenom",
		AMD(16, 2, 3),
		.adds = BASE "pni mmxext fxsr_opt 3dnowext 3dnow",
		.usual = "cx16 popcnt lahf_lm abm sse4a"},
	{.name = "Opteron_G1", AMD(15, 6, 1), .adds = BASE "pni", .usual = "vme"},
	{.name = "Opteron_G2",
		AMD(15, 6, 1),
		.base = "Opteron_G1",
		.adds = "cx16 lahf_lm",
		.usual = "rdtscp"},
	{.name = "Opteron_G3",
		AMD(16, 2, 3),
		.base = "Opteron_G2",
		.adds = "popcnt abm sse4a misalignsse"},
	{.name = "Opteron_G4",
		AMD(21, 1, 2),
		.base = "Opteron_G3",
		.adds = "pclmuldq ssse3 sse4.1 sse4.2 aes xsave avx 3dnowprefetch xop fma4 pdpe1gb "
			"rdtscp"},
	{.name = "Opteron_G5", AMD(21, 2, 0), .base = "Opteron_G4", .adds = "fma f16c tbm"},
	{.name = "EPYC",
		AMD(23, 1, 2),
		.adds = BASE
		"vme pni pclmuldq ssse3 fma cx16 sse4.1 sse4.2 movbe popcnt aes xsave avx f16c "
		"rdrand arat fsgsbase bmi1 avx2 smep bmi2 rdseed adx smap clflushopt sha-ni "
		"xsaveopt xsavec xgetbv1 lahf_lm cr8legacy abm sse4a misalignsse 3dnowprefetch "
		"osvw mmxext fxsr_opt pdpe1gb rdtscp"},
	{.name = "EPYC-IBPB", AMD(23, 1, 2), .base = "EPYC", .adds = "ibpb"},
	{.name = "Dhyana", AMD(24, 0, 1), .base = "EPYC-IBPB", .drops = "aes pclmuldq sha-ni"},
	{.name = "EPYC-Rome",
		AMD(23, 49, 0),
		.base = "EPYC-IBPB",
		.adds = "umip rdpid clwb clzero xsaveerptr wbnoinvd amd-stibp"},
	{.name = "EPYC-Milan",
		AMD(25, 1, 1),
		.base = "EPYC-Rome",
		.adds = "pcid erms invpcid pku fsrm xsaves ibrs amd-ssbd"},
	{.name = "EPYC-Genoa",
		AMD(25, 17, 0),
		.base = "EPYC-Milan",
		.adds = AVX512_SKYLAKE AVX512_ICELAKE
		"avx512ifma avx512-bf16 la57 stibp-always-on amd-psfd no-nested-data-bp "
		"lfence-always-serializing null-sel-clr-base auto-ibrs"},
	{.name = "EPYC-Turin",
		AMD(26, 0, 0),
		.base = "EPYC-Genoa",
		.adds = "avx-vnni movdiri movdir64b avx512-vp2intersect"},
};

const unsigned cpu_n_models = ARRAY_SIZE(cpu_models);
static_assert(ARRAY_SIZE(cpu_models) <= CPU_MODEL_MAX, "struct cpu_model_sets is too small");
