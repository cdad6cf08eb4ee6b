/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shape of the guest's processors, and the APIC ids that follow from it. CPUID (cpuid.h), the MADT and the code
 * that creates vCPUs all ask here, so that they agree.
 *
 * vCPU i is thread i % threads of core (i / threads) % cores of die ... of socket ...: an APIC id is these numbers
 * side by side, each in as many bits as its count needs. Ids therefore have gaps when a count is no power of two, and
 * may pass 254, where only x2APIC reaches.
 *
 * Pure. Threads: any.
 *
 * Tested by tests/unit/test-cpuid.c.
 */
#pragma once

#include "config/vm-config.h"

struct cpu_topology {
	unsigned sockets, dies, cores, threads; /* each per the one before; product = vcpus_max */
	unsigned thread_bits, core_bits, die_bits;     /* widths */
	unsigned core_shift, die_shift, package_shift; /* where each field begins in an APIC id */
};

/* From a validated configuration; all zero there means one socket per vCPU. */
struct cpu_topology cpu_topology_of(const struct vm_config *config);

/* The (x2)APIC id of vCPU 'index' (< vcpus_max). */
uint32_t cpu_apic_id(const struct cpu_topology *t, unsigned index);
