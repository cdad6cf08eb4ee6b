/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processors by name, compared: is what a document describes there on a host, and what have several of them in common?
 * What libvirt's cpu-compare, cpu-baseline and their hypervisor- sisters say, by the same rules and with the same texts.
 *
 * Pure: what the host has is host-cpu.h's.
 *
 * Tested by tests/unit/test-cpu-compare.c.
 */
#pragma once

#include "config/cpu-xml.h"
#include "daemon/host-cpu.h"

/* libvirt's numbers. */
enum cpu_compare_result { CPU_INCOMPATIBLE, CPU_IDENTICAL, CPU_SUPERSET };

#define CPU_COMPARE_FAIL  (UINT32_C(1) << 0) /* what is incompatible is an error that says why */
#define CPU_COMPARE_VALID (UINT32_C(1) << 1) /* CPU_XML_VALID */

/* Does 'host' have what 'cpu' describes? Returns an enum cpu_compare_result, or a negative errno with 'error' set: a name that
 * nobody knows, or with CPU_COMPARE_FAIL -ENOTSUP. */
int cpu_compare(const struct cpu_host *host, const struct cpu_definition *cpu, uint32_t flags,
	struct error *error);

#define CPU_BASELINE_EXPAND     (UINT32_C(1) << 0) /* name the model's features, too */
#define CPU_BASELINE_MIGRATABLE (UINT32_C(1) << 1) /* without what ties a guest to a host */
#define CPU_BASELINE_GUEST      (UINT32_C(1) << 2) /* without what vmmd gives no guest */

/* What all of cpus[n] have, as a guest's processor. Returns 0 or a negative errno with 'error' set. */
int cpu_baseline(const struct cpu_definition *cpus, unsigned n, uint32_t flags, struct vm_cpu *ret,
	struct error *error);

/* 'features' of a guest, said as 'model' (NULL, or one that nobody knows: the nearest) and what it has more or less: 'ret' gets mode custom,
 * match exact, model and features; the rest stays. */
void cpu_describe(const struct cpu_feature_set *features, const char *model, enum cpu_vendor vendor,
	uint32_t signature, struct vm_cpu *ret);
