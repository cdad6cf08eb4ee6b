/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What GetCapabilities says about the host: struct capabilities (config/capabilities-xml.h) filled from CPUID
 * (host-cpu.h), /proc and /sys. Read anew at each call. What cannot be read is left out; only lack of memory is an error.
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

/* A part, for tests. */

/* CPUs, cells and page sizes as 'sysfs' ("/sys") tells them, into 'caps'. Returns 0 or -ENOMEM. */
int host_topology_read(const char *sysfs, struct host_caps *caps);
