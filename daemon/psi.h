/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pressure stall information: for how long some, or all, tasks waited for a CPU, for memory or for I/O, of the host (/proc/pressure) or of a
 * control group (cgroup v2's cpu.pressure, …). Format: Documentation/accounting/psi.rst of Linux.
 *
 * Who wants to know when there is pressure opens a trigger and polls it for POLLPRI: nothing wakes up before. The kernel's window is of
 * two seconds, which who has no CAP_SYS_RESOURCE may ask for, too (Linux 6.5).
 *
 * Tested by tests/unit/test-psi.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PSI_HOST_MEMORY "/proc/pressure/memory"
#define PSI_WINDOW_US   2000000

enum psi_kind { PSI_SOME, PSI_FULL, PSI_KIND_X_MAX };

/* What may be waited for, as files are called: "cpu", "memory", "io". */
#define PSI_RESOURCES 3
extern const char *const psi_resources[PSI_RESOURCES];

struct psi_line {
	bool known; /* "full" is not there for a host's CPUs, before Linux 5.13 nowhere for CPUs */
	uint32_t avg10;    /* hundredths of a percent, of the last 10 s */
	uint64_t total_us; /* since the host booted, or the group was made */
};

struct psi {
	struct psi_line lines[PSI_KIND_X_MAX];
};

/* 0 or -EBADMSG. */
int psi_parse(const char *text, struct psi *ret);
/* 0; -ENOENT, -EOPNOTSUPP (PSI is switched off) and others. */
int psi_read(const char *path, struct psi *ret);

/* An fd that is readable by POLLPRI when some task had to wait for 'stall_us' of PSI_WINDOW_US, at most once in each window. An errno as above,
 * or -EPERM, -EINVAL (this kernel has no triggers for who has no CAP_SYS_RESOURCE). */
int psi_open_trigger(const char *path, uint64_t stall_us);

/* Why there is none: a sentence for people; 'error' is what the functions above returned. */
const char *psi_why_not(int error);
