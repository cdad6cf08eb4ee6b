/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Core scheduling: see sched-core.h. */
#include "daemon/sched-core.h"

#include <errno.h>
#include <stddef.h>
#include <sys/prctl.h>

/* Of linux/prctl.h, which may be older than the kernel. */
enum { SCHED_CORE = 62, SCHED_CORE_GET = 0, SCHED_CORE_CREATE = 1, SCHED_CORE_THREAD = 0 };

static int call_kernel(int command, pid_t pid, int scope, uint64_t *ret_cookie)
{
	return prctl(SCHED_CORE, (unsigned long)command, (unsigned long)pid, (unsigned long)scope,
		(unsigned long)ret_cookie);
}

static sched_core_fn call = call_kernel;

void sched_core_replace(sched_core_fn fn)
{
	call = fn ? fn : call_kernel;
}

int sched_core_probe(void)
{
	uint64_t cookie;

	return call(SCHED_CORE_GET, 0, SCHED_CORE_THREAD, &cookie) < 0 ? -errno : 0;
}

int sched_core_create(void)
{
	return call(SCHED_CORE_CREATE, 0, SCHED_CORE_THREAD, NULL) < 0 ? -errno : 0;
}

bool sched_core_is_set(pid_t pid)
{
	uint64_t cookie = 0;

	return call(SCHED_CORE_GET, pid, SCHED_CORE_THREAD, &cookie) == 0 && cookie;
}
