/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the host is: CPUs, memory, name. Read anew at each call; nothing here can fail, unknown is 0 or "".
 *
 * Tested by tests/unit/test-dbus.c.
 */
#pragma once

#include <sys/types.h>

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

/* What KVM's polling for work in the place of sleep cost the vCPUs of process 'pid', in ns: polls that found some, and that did not. As KVM
 * counts it in debugfs, where that is mounted and may be read. 'root' "". 0 or -ENOENT. */
struct host_halt_poll {
	uint64_t success_ns, fail_ns;
};
int host_halt_poll_times(const char *root, pid_t pid, struct host_halt_poll *ret);
/* The longest poll of machines that do not say otherwise, in ns: module kvm's halt_poll_ns. 0 or -ENOENT. */
int host_halt_poll_max(const char *root, uint64_t *ret_ns);

void host_info_read(struct host_info *ret);
uint64_t host_memory_kib(void);
/* Of /proc/meminfo, wherever it is: what there is, and what could be had without swapping. 0 or -errno. */
#define HOST_MEMINFO "/proc/meminfo"
int host_read_meminfo(const char *path, uint64_t *ret_total_kib, uint64_t *ret_available_kib);
/* host_info.paging; 'root' "" */
const char *host_paging(const char *root);
