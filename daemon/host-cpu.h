/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * This host's processor: what CPUID says of it, and what KVM on it can give guests.
 *
 * Threads: the daemon's one. Nothing blocks, and nothing is kept.
 *
 * Tested by tests/unit/test-host-caps.c and tests/unit/test-cpu-compare.c.
 */
#pragma once

#include "daemon/error.h"
#include "vmm-core/cpu-model.h"
#include "vmm-core/cpuid.h"

/* What a host, or KVM on it, can give. */
struct cpu_host {
	enum cpu_vendor vendor;
	uint32_t signature; /* CPUID leaf 1, EAX */
	struct cpu_feature_set features;
};

/* This host's processor by itself ('kvm_path' NULL), or what the KVM behind 'kvm_path' gives guests. Returns 0, or -ENOTSUP with 'error'
 * set: there is no KVM. */
int cpu_host_read(const char *kvm_path, struct cpu_host *ret, struct error *error);
/* Of what KVM supports, as cpuid.h has it. */
void cpu_host_of(const struct cpuid_host *kvm, struct cpu_host *ret);

/* CPUID: EAX, EBX, ECX, EDX of a leaf. */
typedef void (*host_cpuid_fn)(
	void *opaque, uint32_t leaf, uint32_t subleaf, uint32_t ret[CPU_REGISTER_X_MAX]);

/* For tests: the features of a processor; without those that follow from something else (osxsave, ht). */
void host_features_read(host_cpuid_fn cpuid, void *opaque, struct cpu_feature_set *ret_features);
