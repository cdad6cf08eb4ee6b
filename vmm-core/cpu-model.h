/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of CPU features and CPU models: libvirt's words for CPUID bits, and the levels x86-64-v1 ... x86-64-v4 of the
 * x86-64 psABI, to which the processor models that libvirt knows by name are adapted. Tables and look-ups only; what
 * the guest gets is decided in cpuid.c.
 *
 * Pure. Threads: any.
 */
#pragma once

#include "vmm-core/base/macro.h"

enum cpu_register { CPU_EAX, CPU_EBX, CPU_ECX, CPU_EDX, CPU_REGISTER_X_MAX };

/* One bit of CPUID. */
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

#define CPU_MODEL_LEVELS 4

struct cpu_model {
	const char *name;
	uint8_t level; /* 1 ... CPU_MODEL_LEVELS: of x86-64-vN */
	bool exact;    /* the name is that of the level itself; else it was adapted to it */
};

/* NULL if unknown. */
const struct cpu_model *cpu_model_find(const char *name);
/* All of them, for lists; NULL at the end. */
const struct cpu_model *cpu_model_at(unsigned i);

/* What a level promises ('ret_required'), and what it adds where the host has it ('ret_usual': features that every
 * processor of that level has and the psABI does not mention, such as "pat"). */
void cpu_model_features(
	unsigned level, struct cpu_feature_set *ret_required, struct cpu_feature_set *ret_usual);

/* Take out of 'set' every feature that needs one that is not there (avx without xsave). */
void cpu_features_close(struct cpu_feature_set *set);
