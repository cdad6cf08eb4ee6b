/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPU models and look-ups: see cpu-model.h. The table of features is in cpu-features.c. */
#include "vmm-core/cpu-model.h"

#include <errno.h>
#include <string.h>

#include "vmm-core/base/strutil.h"

/* Other names of features: what Linux and QEMU call them where not even the spelling is close. */
static const struct {
	const char *name, *ours;
} other_names[] = {
	{"sse3", "pni"},
	{"pclmulqdq", "pclmuldq"},
	{"lzcnt", "abm"},
	{"clfsh", "clflush"},
	{"sha", "sha-ni"},
	{"i64", "lm"},
	{"xd", "nx"},
	{"ffxsr", "fxsr_opt"},
	{"ds-cpl", "ds_cpl"},
	{"cmp-legacy", "cmp_legacy"},
};

/* Names are the same when they differ in '-', '_' and '.' only: sse4.1, sse4_1, sse4-1. */
static bool same_name(const char *a, const char *b)
{
	for (;; a++, b++) {
		bool sep_a = *a == '-' || *a == '_' || *a == '.';
		bool sep_b = *b == '-' || *b == '_' || *b == '.';

		if (sep_a != sep_b || (!sep_a && *a != *b))
			return false;
		if (!*a)
			return true;
	}
}

int cpu_feature_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(other_names); i++)
		if (streq(name, other_names[i].name))
			name = other_names[i].ours;
	for (unsigned i = 0; i < cpu_n_features; i++)
		if (same_name(name, cpu_features[i].name))
			return (int)i;
	return -ENOENT;
}

static int compare_place(
	const struct cpu_feature *f, uint32_t leaf, uint32_t subleaf, unsigned reg, unsigned bit)
{
	if (f->leaf != leaf)
		return f->leaf < leaf ? -1 : 1;
	if (f->subleaf != subleaf)
		return f->subleaf < subleaf ? -1 : 1;
	return (int)(f->reg * 32U + f->bit) - (int)(reg * 32U + bit);
}

int cpu_feature_at(uint32_t leaf, uint32_t subleaf, enum cpu_register reg, unsigned bit)
{
	unsigned low = 0, high = cpu_n_features;

	while (low < high) {
		unsigned mid = (low + high) / 2;
		int c = compare_place(&cpu_features[mid], leaf, subleaf, reg, bit);

		if (c == 0)
			return (int)mid;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return -ENOENT;
}

static const struct cpu_model models[] = {
	{"x86-64-v1", 1, true},
	{"x86-64-v2", 2, true},
	{"x86-64-v3", 3, true},
	{"x86-64-v4", 4, true},

	{"qemu64", 1, false},
	{"kvm64", 1, false},
	{"cpu64-rhel5", 1, false},
	{"cpu64-rhel6", 1, false},
	{"core2duo", 1, false},
	{"Conroe", 1, false},
	{"Penryn", 1, false},
	{"phenom", 1, false},
	{"Opteron_G1", 1, false},
	{"Opteron_G2", 1, false},
	{"Opteron_G3", 1, false},

	{"Nehalem", 2, false},
	{"Westmere", 2, false},
	{"SandyBridge", 2, false},
	{"IvyBridge", 2, false},
	{"Opteron_G4", 2, false},
	{"Opteron_G5", 2, false},
	{"Snowridge", 2, false},

	{"Haswell", 3, false},
	{"Broadwell", 3, false},
	{"Skylake-Client", 3, false},
	{"Icelake-Client", 3, false},
	{"Dhyana", 3, false},
	{"EPYC", 3, false},
	{"EPYC-Rome", 3, false},
	{"EPYC-Milan", 3, false},

	{"Skylake-Server", 4, false},
	{"Cascadelake-Server", 4, false},
	{"Cooperlake", 4, false},
	{"Icelake-Server", 4, false},
	{"SapphireRapids", 4, false},
	{"GraniteRapids", 4, false},
	{"EPYC-Genoa", 4, false},
};

/* What libvirt and QEMU append to a model's name: "-noTSX", "-IBRS", "-IBPB", "-v2". */
static bool is_variant(const char *s)
{
	static const char *const suffixes[] = {"-noTSX", "-IBRS", "-IBPB"};

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (strncmp(s, suffixes[i], strlen(suffixes[i])) == 0)
			s += strlen(suffixes[i]);
	if (s[0] == '-' && s[1] == 'v' && s[2] >= '1' && s[2] <= '9')
		s += 3;
	return !*s;
}

const struct cpu_model *cpu_model_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++) {
		const struct cpu_model *m = &models[i];
		size_t len = strlen(m->name);

		if (strncmp(name, m->name, len) == 0 &&
			(m->exact ? !name[len] : is_variant(name + len)))
			return m;
	}
	return NULL;
}

const struct cpu_model *cpu_model_at(unsigned i)
{
	return i < ARRAY_SIZE(models) ? &models[i] : NULL;
}

#define BIT(n) (UINT32_C(1) << (n))

/* What each level adds to the one before: x86-64 psABI 1.0, table 3.1. v1 also has what the definition of long mode
 * and the machine itself imply (pae, lm, tsc, msr, apic); "usual" is what all processors of the level share beyond. */
static const struct level_row {
	uint8_t level;
	bool required;
	uint32_t leaf;
	uint8_t reg;
	uint32_t mask;
} level_rows[] = {
	/* fpu tsc msr pae cx8 apic cmov mmx fxsr sse sse2 */
	{1, true, 1, CPU_EDX,
		BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(9) | BIT(15) | BIT(23) | BIT(24) |
			BIT(25) | BIT(26)},
	/* vme de pse mce sep mtrr pge mca pat pse36 clflush */
	{1, false, 1, CPU_EDX,
		BIT(1) | BIT(2) | BIT(3) | BIT(7) | BIT(11) | BIT(12) | BIT(13) | BIT(14) |
			BIT(16) | BIT(17) | BIT(19)},
	/* syscall lm; nx */
	{1, true, 0x80000001, CPU_EDX, BIT(11) | BIT(29)},
	{1, false, 0x80000001, CPU_EDX, BIT(20)},

	/* pni ssse3 cx16 sse4.1 sse4.2 popcnt; lahf_lm; rdtscp */
	{2, true, 1, CPU_ECX, BIT(0) | BIT(9) | BIT(13) | BIT(19) | BIT(20) | BIT(23)},
	{2, true, 0x80000001, CPU_ECX, BIT(0)},
	{2, false, 0x80000001, CPU_EDX, BIT(27)},

	/* fma movbe xsave avx f16c; bmi1 avx2 bmi2; abm */
	{3, true, 1, CPU_ECX, BIT(12) | BIT(22) | BIT(26) | BIT(28) | BIT(29)},
	{3, true, 7, CPU_EBX, BIT(3) | BIT(5) | BIT(8)},
	{3, true, 0x80000001, CPU_ECX, BIT(5)},
	/* pclmuldq aes rdrand; fsgsbase smep */
	{3, false, 1, CPU_ECX, BIT(1) | BIT(25) | BIT(30)},
	{3, false, 7, CPU_EBX, BIT(0) | BIT(7)},

	/* avx512f avx512dq avx512cd avx512bw avx512vl; rdseed adx smap */
	{4, true, 7, CPU_EBX, BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31)},
	{4, false, 7, CPU_EBX, BIT(18) | BIT(19) | BIT(20)},
};

void cpu_model_features(
	unsigned level, struct cpu_feature_set *ret_required, struct cpu_feature_set *ret_usual)
{
	*ret_required = (struct cpu_feature_set){0};
	*ret_usual = (struct cpu_feature_set){0};
	for (size_t i = 0; i < ARRAY_SIZE(level_rows); i++) {
		const struct level_row *row = &level_rows[i];

		for (unsigned bit = 0; row->level <= level && bit < 32; bit++)
			if (row->mask & BIT(bit))
				cpu_feature_add(row->required ? ret_required : ret_usual,
					(unsigned)cpu_feature_at(row->leaf, 0, row->reg, bit));
	}
}

/* A bit, as one number. */
#define PLACE(leaf, subleaf, reg, bit)                                                             \
	((uint64_t)(leaf) << 32 | (uint64_t)(subleaf) << 16 | (uint64_t)(reg) << 8 | (bit))

#define XSAVE    PLACE(1, 0, CPU_ECX, 26)
#define AVX      PLACE(1, 0, CPU_ECX, 28)
#define AVX2     PLACE(7, 0, CPU_EBX, 5)
#define AVX512F  PLACE(7, 0, CPU_EBX, 16)
#define AVX512BW PLACE(7, 0, CPU_EBX, 30)
#define AVX512VL PLACE(7, 0, CPU_EBX, 31)
#define SSE2     PLACE(1, 0, CPU_EDX, 26)
#define XSAVES   PLACE(0xd, 1, CPU_EAX, 3)

/* 'feature' is of no use, and confuses some guests, without 'needs'. */
static const struct {
	uint64_t feature, needs;
} dependencies[] = {
	{PLACE(1, 0, CPU_EDX, 25), PLACE(1, 0, CPU_EDX, 24)},              /* sse: fxsr */
	{SSE2, PLACE(1, 0, CPU_EDX, 25)}, {PLACE(1, 0, CPU_ECX, 0), SSE2}, /* pni */
	{PLACE(1, 0, CPU_ECX, 9), PLACE(1, 0, CPU_ECX, 0)},                /* ssse3: pni */
	{PLACE(1, 0, CPU_ECX, 19), PLACE(1, 0, CPU_ECX, 9)},               /* sse4.1: ssse3 */
	{PLACE(1, 0, CPU_ECX, 20), PLACE(1, 0, CPU_ECX, 19)},              /* sse4.2: sse4.1 */
	{PLACE(1, 0, CPU_ECX, 25), SSE2},                                  /* aes */
	{PLACE(1, 0, CPU_ECX, 1), SSE2},                                   /* pclmuldq */
	{PLACE(7, 0, CPU_EBX, 29), SSE2},                                  /* sha-ni */
	{PLACE(7, 0, CPU_ECX, 8), SSE2},                                   /* gfni */
	{PLACE(0xd, 1, CPU_EAX, 0), XSAVE},                                /* xsaveopt */
	{PLACE(0xd, 1, CPU_EAX, 1), XSAVE},                                /* xsavec */
	{PLACE(0xd, 1, CPU_EAX, 2), XSAVE},                                /* xgetbv1 */
	{XSAVES, PLACE(0xd, 1, CPU_EAX, 1)}, {PLACE(0xd, 1, CPU_EAX, 4), XSAVE}, /* xfd */
	{PLACE(7, 0, CPU_EBX, 14), XSAVE},                                       /* mpx */
	{PLACE(7, 0, CPU_ECX, 3), XSAVE},                                        /* pku */
	{AVX, XSAVE}, {PLACE(1, 0, CPU_ECX, 12), AVX},                           /* fma */
	{PLACE(1, 0, CPU_ECX, 29), AVX},                                         /* f16c */
	{PLACE(0x80000001, 0, CPU_ECX, 11), AVX},                                /* xop */
	{PLACE(0x80000001, 0, CPU_ECX, 16), AVX},                                /* fma4 */
	{AVX2, AVX}, {PLACE(7, 0, CPU_ECX, 9), AVX},                             /* vaes */
	{PLACE(7, 0, CPU_ECX, 10), AVX},                                         /* vpclmulqdq */
	{PLACE(7, 1, CPU_EAX, 4), AVX2},                                         /* avx-vnni */
	{PLACE(7, 1, CPU_EAX, 23), AVX2},                                        /* avx-ifma */
	{PLACE(7, 1, CPU_EDX, 4), AVX2},                                         /* avx-vnni-int8 */
	{PLACE(7, 1, CPU_EDX, 5), AVX2},                      /* avx-ne-convert */
	{PLACE(7, 1, CPU_EDX, 10), AVX2},                     /* avx-vnni-int16 */
	{AVX512F, AVX2}, {PLACE(7, 0, CPU_EBX, 17), AVX512F}, /* avx512dq */
	{PLACE(7, 0, CPU_EBX, 21), AVX512F},                  /* avx512ifma */
	{PLACE(7, 0, CPU_EBX, 26), AVX512F},                  /* avx512pf */
	{PLACE(7, 0, CPU_EBX, 27), AVX512F},                  /* avx512er */
	{PLACE(7, 0, CPU_EBX, 28), AVX512F},                  /* avx512cd */
	{AVX512BW, AVX512F}, {AVX512VL, AVX512F},
	{PLACE(7, 0, CPU_ECX, 1), AVX512BW},  /* avx512vbmi */
	{PLACE(7, 0, CPU_ECX, 6), AVX512BW},  /* avx512vbmi2 */
	{PLACE(7, 0, CPU_ECX, 11), AVX512F},  /* avx512vnni */
	{PLACE(7, 0, CPU_ECX, 12), AVX512BW}, /* avx512bitalg */
	{PLACE(7, 0, CPU_ECX, 14), AVX512F},  /* avx512-vpopcntdq */
	{PLACE(7, 0, CPU_EDX, 2), AVX512F},   /* avx512-4vnniw */
	{PLACE(7, 0, CPU_EDX, 3), AVX512F},   /* avx512-4fmaps */
	{PLACE(7, 0, CPU_EDX, 8), AVX512F},   /* avx512-vp2intersect */
	{PLACE(7, 0, CPU_EDX, 23), AVX512BW}, /* avx512-fp16 */
	{PLACE(7, 1, CPU_EAX, 5), AVX512BW},  /* avx512-bf16 */
	{PLACE(7, 0, CPU_ECX, 7), XSAVES},    /* shstk */
	{PLACE(7, 0, CPU_EDX, 20), XSAVES},   /* ibt */
};

static unsigned index_of(uint64_t place)
{
	int i = cpu_feature_at(place >> 32, place >> 16 & 0xffff, place >> 8 & 0xff, place & 0xff);

	assert(i >= 0);
	return (unsigned)i;
}

void cpu_features_close(struct cpu_feature_set *set)
{
	bool changed;

	do {
		changed = false;
		for (size_t i = 0; i < ARRAY_SIZE(dependencies); i++) {
			unsigned feature = index_of(dependencies[i].feature);

			if (!cpu_feature_in(set, feature) ||
				cpu_feature_in(set, index_of(dependencies[i].needs)))
				continue;
			cpu_feature_remove(set, feature);
			changed = true;
		}
	} while (changed);
}
