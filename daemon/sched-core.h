/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Core scheduling: threads with the same cookie may share a core, that is run on its hyperthreads at the same time; others may not. A
 * worker that has a cookie of its own shares no core with other guests, nor with the host's programs, while it runs. By prctl(2),
 * PR_SCHED_CORE; Documentation/admin-guide/hw-vuln/core-scheduling.rst of Linux (5.14, CONFIG_SCHED_CORE).
 *
 * Tested by tests/unit/test-sched-core.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Can it be had? 0; -ENODEV: the host has no hyperthreads, so cores are not shared anyway; -EINVAL: not by this kernel. */
int sched_core_probe(void);
/* A new cookie for the calling thread: what it starts or becomes has it, too. 0 or as above. */
int sched_core_create(void);
/* Does this process's first thread have one? */
bool sched_core_is_set(pid_t pid);

/* For tests: what to call in the place of prctl(PR_SCHED_CORE, …); NULL: that. 0 or -1 with errno. */
typedef int (*sched_core_fn)(int command, pid_t pid, int scope, uint64_t *ret_cookie);
void sched_core_replace(sched_core_fn fn);
