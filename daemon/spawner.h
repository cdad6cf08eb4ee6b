/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a worker's process comes to be: clone(2) with its namespaces, its fds in their places, the jail (jail.h), exec.
 *
 * clone() copies the maps, page tables and fds of whoever calls it, and exec throws them away again: for a daemon with a thousand
 * machines that was more than half of a start. So the daemon has a *spawner*, a process that was forked off when it began and had
 * next to nothing. It gets what a worker is to be as one packet with fds, and clones with CLONE_PARENT: the worker is
 * the daemon's child, as if the daemon had cloned it, for waitid() and PR_SET_PDEATHSIG alike.
 *
 * The spawner may do what the daemon may. It has its one socket, whose other end nobody but the daemon has (it closes on exec, and
 * what is forked without exec closes all fds), and it ends with the daemon. When it is gone, or there is none, the caller
 * clones: that is the same, and takes longer. One that does not answer costs the daemon SPAWN_WAIT_S, once: it is killed, and nobody waits for it
 * to die.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-worker.c.
 */
#pragma once

#include <sys/types.h>

#include "daemon/jail.h"
#include "vmm-core/base/cleanup.h"

#define SPAWN_FDS      5
#define SPAWN_NAME_MAX 160
#define SPAWN_WAIT_S   5 /* for the spawner's answer, which takes a clone() */

struct spawner;

struct spawn_spec {
	const char *name;             /* argv[1]; shorter than SPAWN_NAME_MAX */
	int fds[SPAWN_FDS];           /* as jail_arrange_fds() has them */
	const struct jail_plan *jail; /* NULL: none (tests) */
};

/* To be called while the process is small, before it blocks signals and opens what is its own. 0 or -errno. */
int spawner_new(struct spawner **ret_spawner);
/* Workers live on. */
struct spawner *spawner_free(struct spawner *spawner);
DEFINE_CLEANUP(struct spawner *, spawner_free);

/* 'spawner' may be NULL. Returns the pid of a child of ours with its pidfd, or -errno. A child that fails before exec says why to
 * fds[4] and ends. The fds stay the caller's. */
pid_t spawner_spawn(struct spawner *spawner, const struct spawn_spec *spec, int *ret_pidfd);

pid_t spawner_pid(const struct spawner *spawner);
