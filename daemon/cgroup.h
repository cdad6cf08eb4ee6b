/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A control group for each worker, so that it cannot outgrow its memory and threads: what can be had, in this order.
 *
 *	systemd	a transient scope vmmd-vm-ID-PID.scope in vmmd.slice, asked for when the process exists (not waited for)
 *	v2	/sys/fs/cgroup/vmmd-TAG/UUID, joined by the child before exec
 *	v1	the same below each of the memory, pids and cpu hierarchies
 *	none	a warning, once
 *
 * TAG tells instances apart (the inode of the runtime folder). Nothing here blocks and no failure stops a start: a
 * worker without a cgroup still has its rlimits.
 */
#pragma once

#include <systemd/sd-bus.h>

#include "daemon/jail.h"
#include "vmm-core/base/cleanup.h"

#define CGROUP_MEMORY_EXTRA MIB(64) /* on top of the guest's memory: the worker itself */

enum cgroup_kind { CGROUP_NONE, CGROUP_V1, CGROUP_V2, CGROUP_SYSTEMD, CGROUP_KIND_X_MAX };

struct cgroup_root;
struct cgroup;

struct cgroup_limits {
	uint64_t memory_bytes;
	unsigned pids;
};

/* 'mount' is "/sys/fs/cgroup". NULL without memory. */
struct cgroup_root *cgroup_root_new(const char *mount, uint64_t tag);
struct cgroup_root *cgroup_root_free(struct cgroup_root *root);
DEFINE_CLEANUP(struct cgroup_root *, cgroup_root_free);
enum cgroup_kind cgroup_root_kind(const struct cgroup_root *root);

/* Use the systemd that answers on 'bus' from now on; NULL: not any more. */
void cgroup_root_set_bus(struct cgroup_root *root, sd_bus *bus);

/* Before the process: make the groups and put their cgroup.procs into 'plan' (NULL: only a handle, for a process
 * that is adopted). '*ret' is NULL when there are none to be had. */
int cgroup_new(struct cgroup_root *root, const char *name, const struct cgroup_limits *limits,
	struct jail_plan *plan, struct cgroup **ret);

/* The process exists: close what the child has joined by, or ask systemd for a scope. */
void cgroup_started(struct cgroup *cgroup, int id, pid_t pid);

/* A program that is no worker, with all that it starts: ask systemd for a scope vmmd-NAME-PID.scope of its own in the
 * slice. Without systemd it stays where it was started. */
void cgroup_move(struct cgroup_root *root, const char *name, const char *description, pid_t pid);

/* 'remove': the process is gone, the groups may go. Takes NULL, answers NULL. */
struct cgroup *cgroup_free(struct cgroup *cgroup, bool remove);
