/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of CPU features and CPU models: libvirt's words for CPUID bits and for generations of processors, and the levels
 * x86-64-v1 ... x86-64-v4 of the x86-64 psABI. Tables and look-ups only; what the guest gets is decided in cpuid.c.
 *
 * A model is a set of features that are required, and some that are usual: added where the host has them, since
 * processors of that generation had them and libvirt's model of that name does not insist. A model means its required
 * features only: what a domain was given is said as a model and what it has more or less than that.
 *
 * Pure. Threads: any.
 */
#pragma once

#include "vmm-core/base/macro.h"

enum cpu_register { CPU_EAX, CPU_EBX, CPU_ECX, CPU_EDX, CPU_REGISTER_X_MAX };

/* One bit of CPUID; or of MSR 0x10a, as a leaf that no processor has: EAX is the lower half, EDX the upper. */
#define CPU_ARCH_CAPABILITIES UINT32_C(0xf000010a)
struct cpu_feature {
	const char *name;
	uint32_t leaf, subleaf;
	uint8_t reg; /* enum cpu_register */
	uint8_t bit;
};

#define CPU_FEATURE_NAME_MAX 32 /* with the NUL */

/* The table; sorted by leaf, subleaf, register and bit. A feature is known by its index in it. */
extern const struct cpu_feature cpu_features[];
extern const unsigned cpu_n_features;

/* The index of a feature by libvirt's name or one of its other names (QEMU's, Linux'); -ENOENT if unknown. */
int cpu_feature_find(const char *name);
/* The index of the feature that is this bit; -ENOENT. AMD's repetitions of leaf 1 in 0x80000001 EDX have none. */
int cpu_feature_at(uint32_t leaf, uint32_t subleaf, enum cpu_register reg, unsigned bit);

/* A set of features. */
#define CPU_FEATURE_MAX 320
struct cpu_feature_set {
	uint64_t words[CPU_FEATURE_MAX / 64];
};

static inline bool cpu_feature_in(const struct cpu_feature_set *set, unsigned index)
{
	return set->words[index / 64] >> (index % 64) & 1;
}

static inline void cpu_feature_add(struct cpu_feature_set *set, unsigned index)
{
	set->words[index / 64] |= UINT64_C(1) << (index % 64);
}

static inline void cpu_feature_remove(struct cpu_feature_set *set, unsigned index)
{
	set->words[index / 64] &= ~(UINT64_C(1) << (index % 64));
}

/* a | b and a & ~b; does 'a' have all of 'b'? */
void cpu_features_join(struct cpu_feature_set *a, const struct cpu_feature_set *b);
void cpu_features_cut(struct cpu_feature_set *a, const struct cpu_feature_set *b);
bool cpu_features_have(const struct cpu_feature_set *a, const struct cpu_feature_set *b);
unsigned cpu_features_count(const struct cpu_feature_set *set);
/* Names of the features of 'set', with ", " between them; ", ..." at the end if there is no room for all. */
void cpu_features_list(const struct cpu_feature_set *set, char *ret, size_t size);

/* It follows from what a guest switches on (osxsave, ospke) or from its topology (ht, cmp_legacy): nobody can ask for
 * it, and it tells nothing of the processor. */
bool cpu_feature_follows(unsigned index);
/* A domain that has it cannot move to another host without harm: it belongs to this one, or nobody saves its state. */
bool cpu_feature_unmovable(unsigned index);
/* It comes with the machine where the host has it, whatever the model. */
bool cpu_feature_of_machine(unsigned index);

enum cpu_vendor { CPU_VENDOR_OTHER, CPU_VENDOR_INTEL, CPU_VENDOR_AMD };

/* libvirt's word; NULL for another. Of a CPUID vendor string or libvirt's word: the vendor. */
const char *cpu_vendor_name(enum cpu_vendor vendor);
enum cpu_vendor cpu_vendor_find(const char *name);

/* Leaf 1, EAX (Intel SDM volume 2, CPUID): a family above 15 is split in two. */
#define CPU_SIGNATURE(family, model, stepping)                                                     \
	((uint32_t)(stepping) | ((uint32_t)(model)&0xf) << 4 |                                     \
		((family) < 15 ? (uint32_t)(family) : 15U) << 8 | ((uint32_t)(model) >> 4) << 16 | \
		((family) < 15 ? 0U : (uint32_t)(family)-15U) << 20)

struct cpu_model {
	const char *name;
	uint8_t vendor;                   /* enum cpu_vendor; OTHER: of no vendor */
	uint32_t signature;               /* CPU_SIGNATURE; 0: none */
	const char *base;                 /* has what this model has, too, ... */
	const char *adds, *drops, *usual; /* ... with more, without these; names between blanks */
	const char *
		lacks; /* what libvirt's model of that name has and a guest of vmmd never gets; NULL: nothing */
};

#define CPU_MODEL_MAX 72

/* The table (cpu-models.c). */
extern const struct cpu_model cpu_models[];
extern const unsigned cpu_n_models;

/* NULL if unknown. A version ("EPYC-Rome-v2") is the model without it: compare the names to know. */
const struct cpu_model *cpu_model_find(const char *name);

/* Features of one model; those of all, by their place in the table, at the price of about one. */
struct cpu_model_features {
	struct cpu_feature_set required, usual;
};
void cpu_model_features(const struct cpu_model *model, struct cpu_model_features *ret);
void cpu_models_features(struct cpu_model_features ret[CPU_MODEL_MAX]);

/* The highest level x86-64-vN that 'set' fulfils; 0: not even the first. */
unsigned cpu_level(const struct cpu_feature_set *set);
#define CPU_LEVELS 4

/* The model that says best what a processor has: of its vendor (or of none), with its family and model if there is one, and with the
 * shortest list of what it has more or less. 'exact' allows no model with a feature that the processor lacks. NULL: none. */
const struct cpu_model *cpu_model_nearest(const struct cpu_feature_set *set, enum cpu_vendor vendor,
	uint32_t signature, bool exact, struct cpu_feature_set *ret_required);

/* Take out of 'set' every feature that needs one that is not there (avx without xsave). */
void cpu_features_close(struct cpu_feature_set *set);
