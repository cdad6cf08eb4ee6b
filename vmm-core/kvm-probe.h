/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What KVM offers of this host's processors, before there is any VM: for who tells people which models a guest can have.
 * The worker asks for itself (kvm.h).
 *
 * Threads: any.
 *
 * Tested by tests/unit/test-cpu-compare.c.
 */
#pragma once

#include "vmm-core/cpuid.h"

#define KVM_PROBE_ENTRIES 256

struct kvm_probe {
	struct cpuid_host host; /* points into 'entries'; the frequency is not known */
	struct kvm_cpuid_entry2 entries[KVM_PROBE_ENTRIES];
	bool tsc_scaling; /* a guest's counter can have another frequency than the host's */
};

/* 'dev_fd' is /dev/kvm, and stays the caller's. Returns 0 or -errno. */
int kvm_probe(int dev_fd, struct kvm_probe *ret);
