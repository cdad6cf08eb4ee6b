/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What GetCapabilities says about the host: struct capabilities (config/capabilities-xml.h) filled from CPUID, /proc
 * and /sys. Read anew at each call. What cannot be read is left out; only lack of memory is an error.
 */
#pragma once

#include "config/capabilities-xml.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/cpu-model.h"

#define HOST_MAX_CPUS  4096
#define HOST_MAX_CELLS CAPABILITIES_MAX_CELLS

struct host_caps {
	struct capabilities caps; /* points into the rest */
	const char *features[CPU_FEATURE_MAX];
	struct capabilities_cpu *cpus;
	struct capabilities_cell cells[HOST_MAX_CELLS];
	uint32_t page_kib[CAPABILITIES_MAX_SIZES];
};

/* 'emulator' is the worker's path, borrowed. The caller frees the result. Returns 0 or -ENOMEM. */
int host_caps_read(const char *emulator, struct host_caps **ret_caps);
struct host_caps *host_caps_free(struct host_caps *caps);
DEFINE_CLEANUP(struct host_caps *, host_caps_free);

/* The parts, for tests. */

/* CPUID: EAX, EBX, ECX, EDX of a leaf. */
typedef void (*host_cpuid_fn)(
	void *opaque, uint32_t leaf, uint32_t subleaf, uint32_t ret[CPU_REGISTER_X_MAX]);

/* The features of a processor; without those that follow from something else (osxsave, ht). */
void host_features_read(host_cpuid_fn cpuid, void *opaque, struct cpu_feature_set *ret_features);

/* This host's processor: what it has, who made it, CPUID leaf 1 EAX. */
void host_cpu_read(
	struct cpu_feature_set *ret_features, enum cpu_vendor *ret_vendor, uint32_t *ret_signature);

/* CPUs, cells and page sizes as 'sysfs' ("/sys") tells them, into 'caps'. Returns 0 or -ENOMEM. */
int host_topology_read(const char *sysfs, struct host_caps *caps);
