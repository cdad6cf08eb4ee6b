/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Look-ups, and what features have to do with each other: see cpu-model.h. The tables are in cpu-features.c and
 * cpu-models.c. */
#include "vmm-core/cpu-model.h"

#include <errno.h>
#include <stdio.h>
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
		if (*name == *other_names[i].name && streq(name, other_names[i].name))
			name = other_names[i].ours;
	for (unsigned i = 0; i < cpu_n_features; i++)
		if (*name == *cpu_features[i].name && same_name(name, cpu_features[i].name))
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

void cpu_features_join(struct cpu_feature_set *a, const struct cpu_feature_set *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->words); i++)
		a->words[i] |= b->words[i];
}

void cpu_features_cut(struct cpu_feature_set *a, const struct cpu_feature_set *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->words); i++)
		a->words[i] &= ~b->words[i];
}

bool cpu_features_have(const struct cpu_feature_set *a, const struct cpu_feature_set *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(a->words); i++)
		if (b->words[i] & ~a->words[i])
			return false;
	return true;
}

unsigned cpu_features_count(const struct cpu_feature_set *set)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(set->words); i++)
		n += (unsigned)__builtin_popcountll(set->words[i]);
	return n;
}

void cpu_features_list(const struct cpu_feature_set *set, char *ret, size_t size)
{
	static const char more[] = ", ...";
	size_t len = 0;

	*ret = '\0';
	for (unsigned i = 0; i < cpu_n_features; i++) {
		const char *name = cpu_features[i].name;

		if (!cpu_feature_in(set, i))
			continue;
		if (len + 2 + strlen(name) + sizeof(more) > size) {
			if (len + sizeof(more) <= size)
				memcpy(ret + len, more, sizeof(more));
			return;
		}
		len += (size_t)snprintf(ret + len, size - len, "%s%s", len ? ", " : "", name);
	}
}

/* Vendors: libvirt's word, and what CPUID says. */
static const struct {
	enum cpu_vendor vendor;
	const char *name, *cpuid;
} vendors[] = {
	{CPU_VENDOR_INTEL, "Intel", "GenuineIntel"},
	{CPU_VENDOR_AMD, "AMD", "AuthenticAMD"},
	{CPU_VENDOR_AMD, "Hygon", "HygonGenuine"},
};

const char *cpu_vendor_name(enum cpu_vendor vendor)
{
	for (size_t i = 0; i < ARRAY_SIZE(vendors); i++)
		if (vendors[i].vendor == vendor)
			return vendors[i].name;
	return NULL;
}

enum cpu_vendor cpu_vendor_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(vendors); i++)
		if (streq(name, vendors[i].name) || streq(name, vendors[i].cpuid))
			return vendors[i].vendor;
	return CPU_VENDOR_OTHER;
}

/* "-v2" at the end of a name is QEMU's version of a model. */
static bool is_version(const char *s)
{
	return s[0] == '-' && s[1] == 'v' && s[2] >= '1' && s[2] <= '9' && !s[3];
}

const struct cpu_model *cpu_model_find(const char *name)
{
	for (unsigned i = 0; i < cpu_n_models; i++) {
		const struct cpu_model *m = &cpu_models[i];
		size_t len = strlen(m->name);

		if (strncmp(name, m->name, len) == 0 &&
			(!name[len] || (m->vendor && is_version(name + len))))
			return m;
	}
	return NULL;
}

/* Call 'each' for every feature of a list of names. */
static void each_name(const char *names, struct cpu_feature_set *set,
	void (*each)(struct cpu_feature_set *set, unsigned index))
{
	char name[CPU_FEATURE_NAME_MAX];

	for (const char *s = names ? names : ""; *s;) {
		size_t len = strcspn(s, " ");
		int i;

		assert(len < sizeof(name));
		memcpy(name, s, len);
		name[len] = '\0';
		s += len + strspn(s + len, " ");
		i = cpu_feature_find(name);
		assert(i >= 0);
		each(set, (unsigned)i);
	}
}

/* 'ret' has the features of the base. */
static void add_own(const struct cpu_model *model, struct cpu_model_features *ret)
{
	each_name(model->drops, &ret->required, cpu_feature_remove);
	each_name(model->adds, &ret->required, cpu_feature_add);
	each_name(model->usual, &ret->usual, cpu_feature_add);
	cpu_features_cut(&ret->usual, &ret->required);
}

void cpu_model_features(const struct cpu_model *model, struct cpu_model_features *ret)
{
	const struct cpu_model *base = model->base ? cpu_model_find(model->base) : NULL;

	assert(!model->base || (base && base < model));
	if (base)
		cpu_model_features(base, ret);
	else
		*ret = (struct cpu_model_features){0};
	add_own(model, ret);
}

void cpu_models_features(struct cpu_model_features ret[CPU_MODEL_MAX])
{
	for (unsigned i = 0; i < cpu_n_models; i++) {
		const char *base = cpu_models[i].base;

		ret[i] = base ? ret[cpu_model_find(base) - cpu_models]
			      : (struct cpu_model_features){0};
		add_own(&cpu_models[i], &ret[i]);
	}
}

unsigned cpu_level(const struct cpu_feature_set *set)
{
	struct cpu_model_features features;
	unsigned level = 0;

	static_assert(CPU_LEVELS <= CPU_MODEL_MAX, "the levels are the first models");
	for (; level < CPU_LEVELS; level++) {
		cpu_model_features(&cpu_models[level], &features);
		if (!cpu_features_have(set, &features.required))
			break;
	}
	return level;
}

/* Two features that a processor has more or less than a model says: one line each. */
static unsigned distance(const struct cpu_feature_set *a, const struct cpu_feature_set *b)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(a->words); i++)
		n += (unsigned)__builtin_popcountll(a->words[i] ^ b->words[i]);
	return n;
}

const struct cpu_model *cpu_model_nearest(const struct cpu_feature_set *set, enum cpu_vendor vendor,
	uint32_t signature, bool exact, struct cpu_feature_set *ret_required)
{
	struct cpu_model_features features[CPU_MODEL_MAX];
	const struct cpu_model *best = NULL;
	unsigned best_distance = 0;
	bool best_family = false;

	cpu_models_features(features);
	for (unsigned i = 0; i < cpu_n_models; i++) {
		const struct cpu_model *m = &cpu_models[i];
		unsigned d = distance(set, &features[i].required);
		/* Family and model; the stepping says little. */
		bool family = m->signature && !((m->signature ^ signature) & ~UINT32_C(0xf));

		if ((m->vendor != CPU_VENDOR_OTHER && m->vendor != vendor) ||
			(exact && !cpu_features_have(set, &features[i].required)) ||
			(best &&
				(best_family ? !family || d >= best_distance
					     : !family && d >= best_distance)))
			continue;
		best = m;
		best_distance = d;
		best_family = family;
		*ret_required = features[i].required;
	}
	return best;
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

/* osxsave, ospke, ht, cmp_legacy */
static const uint64_t following[] = {PLACE(1, 0, CPU_ECX, 27), PLACE(7, 0, CPU_ECX, 4),
	PLACE(1, 0, CPU_EDX, 28), PLACE(0x80000001, 0, CPU_ECX, 1)};

/* Belong to this host, or widen what the guest reaches in it. */
static const uint64_t unmovable[] = {
	PLACE(1, 0, CPU_ECX, 2),           /* dtes64 */
	PLACE(1, 0, CPU_ECX, 3),           /* monitor */
	PLACE(1, 0, CPU_ECX, 5),           /* vmx */
	PLACE(1, 0, CPU_ECX, 15),          /* pdcm */
	PLACE(1, 0, CPU_EDX, 21),          /* ds */
	PLACE(7, 0, CPU_EBX, 25),          /* intel-pt */
	PLACE(7, 0, CPU_EDX, 19),          /* arch-lbr */
	PLACE(0x80000001, 0, CPU_ECX, 2),  /* svm */
	PLACE(0x80000001, 0, CPU_ECX, 10), /* ibs */
	PLACE(0x80000001, 0, CPU_ECX, 23), /* perfctr_core */
	PLACE(0x80000001, 0, CPU_ECX, 24), /* perfctr_nb */
	PLACE(0x80000001, 0, CPU_ECX, 28), /* perfctr_llc */
	PLACE(0x80000007, 0, CPU_EDX, 8),  /* invtsc */
	PLACE(0x80000022, 0, CPU_EAX, 0),  /* perfmon-v2 */
};

static const uint64_t of_machine[] = {
	PLACE(1, 0, CPU_ECX, 21),          /* x2apic */
	PLACE(1, 0, CPU_ECX, 24),          /* tsc-deadline */
	PLACE(1, 0, CPU_ECX, 31),          /* hypervisor */
	PLACE(6, 0, CPU_EAX, 2),           /* arat */
	PLACE(0x80000001, 0, CPU_ECX, 22), /* topoext: AMD's way to tell cores from threads */
};

static bool is_among(unsigned index, const uint64_t *places, size_t n)
{
	const struct cpu_feature *f = &cpu_features[index];

	for (size_t i = 0; i < n; i++)
		if (places[i] == PLACE(f->leaf, f->subleaf, f->reg, f->bit))
			return true;
	return false;
}

bool cpu_feature_follows(unsigned index)
{
	return is_among(index, following, ARRAY_SIZE(following));
}

bool cpu_feature_unmovable(unsigned index)
{
	return is_among(index, unmovable, ARRAY_SIZE(unmovable));
}

bool cpu_feature_of_machine(unsigned index)
{
	return is_among(index, of_machine, ARRAY_SIZE(of_machine));
}

static unsigned index_of(uint64_t place)
{
	int i = cpu_feature_at(place >> 32, place >> 16 & 0xffff, place >> 8 & 0xff, place & 0xff);

	assert(i >= 0);
	return (unsigned)i;
}

void cpu_features_close(struct cpu_feature_set *set)
{
	const unsigned arch_capabilities = index_of(PLACE(7, 0, CPU_EDX, 29));
	bool changed;

	for (unsigned i = 0; i < cpu_n_features && !cpu_feature_in(set, arch_capabilities); i++)
		if (cpu_features[i].leaf == CPU_ARCH_CAPABILITIES)
			cpu_feature_remove(set, i);
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
