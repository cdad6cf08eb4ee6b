/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker takes away from itself. The daemon's jail (daemon/jail.c) did what only a parent can do: uid,
 * namespaces, an empty root, no capabilities, resource limits, cgroup. The rest, in this order:
 *
 *	sandbox_enter_process()  first thing in main(): no_new_privs, not dumpable, no executable memory from now on
 *	                         (MDWE), no file system at all (Landlock), no TCP, no signals and no abstract sockets
 *	                         outside (Landlock scopes, where the kernel has them), no fd beyond the agreed ones
 *	sandbox_enter_thread()   in each thread, when it needs nothing any more but its own work: seccomp
 *
 * What the kernel is too old for is left out and named in '*ret_missing', so that somebody can say so.
 *
 * Tested by tests/guest/test-sandbox.c.
 */
#pragma once

#include "vmm-core/seccomp-table.h"

enum sandbox_mode {
	SANDBOX_KILL,  /* a forbidden call ends the process */
	SANDBOX_ERRNO, /* a forbidden call fails with EPERM: tests */
	SANDBOX_OFF,   /* no filter: tests */
};

#define SANDBOX_NO_LANDLOCK (1U << 0)
#define SANDBOX_NO_MDWE     (1U << 1)

/* 0, or -errno with '*ret_stage'. '*ret_missing': SANDBOX_NO_… bits. */
int sandbox_enter_process(const char **ret_stage, unsigned *ret_missing);

/* The calling thread only. 0 or -errno. */
int sandbox_enter_thread(enum seccomp_role role, enum sandbox_mode mode);
