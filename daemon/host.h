/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the host is: CPUs, memory, name. Read anew at each call; nothing here can fail, unknown is 0 or "".
 *
 * Tested by tests/unit/test-dbus.c.
 */
#pragma once

#include "vmm-core/base/macro.h"

struct host_info {
	char model[32]; /* "x86_64" */
	uint64_t memory_kib;
	unsigned cpus, mhz, nodes, sockets, cores, threads; /* cores per socket, threads per core */
	uint8_t uuid
		[16]; /* made from the machine id: the host's own, but not the machine id itself */
	char cpu_vendor[16]; /* "Intel", "AMD" */
	unsigned cpu_family, cpu_model, cpu_stepping, physaddr_bits;
	uint64_t microcode;
	const char *
		paging; /* of guests: "ept", "npt", "shadow", "unknown" (no KVM, or one of another kind) */
};

void host_info_read(struct host_info *ret);
uint64_t host_memory_kib(void);
/* Of /proc/meminfo, wherever it is: what there is, and what could be had without swapping. 0 or -errno. */
#define HOST_MEMINFO "/proc/meminfo"
int host_read_meminfo(const char *path, uint64_t *ret_total_kib, uint64_t *ret_available_kib);
/* host_info.paging; 'root' "" */
const char *host_paging(const char *root);
