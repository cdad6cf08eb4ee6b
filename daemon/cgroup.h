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

#include "daemon/error.h"
#include "daemon/jail.h"
#include "vmm-core/base/cleanup.h"

/* On top of the guest's memory: the worker itself, and the kernel's tables of what the guest has touched, some 25 bytes for a page of 4096
 * (the host's page table, KVM's, and the memory file's). Those of the first GiB have room in the 64 MiB. */
static inline uint64_t cgroup_memory_extra(uint64_t memory_kib)
{
	return MIB(64) + (memory_kib > MIB(1) ? KIB(memory_kib - MIB(1)) / 128 : 0);
}

enum cgroup_kind { CGROUP_NONE, CGROUP_V1, CGROUP_V2, CGROUP_SYSTEMD, CGROUP_KIND_X_MAX };

struct cgroup_root;
struct cgroup;

#define CGROUP_UNLIMITED UINT64_MAX

/* 0: not given, the host's default; but for memory_bytes and pids, which a new group always gets. */
struct cgroup_limits {
	uint64_t memory_bytes;
	uint64_t pids;
	uint64_t memory_soft_bytes;   /* above it the host takes pages back: v2's memory.high */
	uint64_t swap_bytes;          /* v1: memory and swap together; v2: swap alone */
	uint64_t shares;              /* 1 … cgroup_shares_max() */
	uint64_t quota_us, period_us; /* CPU time of all CPUs together, in each period */
	uint64_t
		nodes; /* of the host that memory comes from: bits of nodes 0 to 63; needs cgroup_has_nodes() */
};

typedef void (*cgroup_done_fn)(void *userdata, const struct error *error);

/* 'mount' is "/sys/fs/cgroup". NULL without memory. */
struct cgroup_root *cgroup_root_new(const char *mount, uint64_t tag);
struct cgroup_root *cgroup_root_free(struct cgroup_root *root);
DEFINE_CLEANUP(struct cgroup_root *, cgroup_root_free);
enum cgroup_kind cgroup_root_kind(const struct cgroup_root *root);

/* Use the systemd that answers on 'bus' from now on; NULL: not any more. What the one before it has not answered (cgroup_set()) fails. */
void cgroup_root_set_bus(struct cgroup_root *root, sd_bus *bus);

/* Before the process: make the groups and put their cgroup.procs into 'plan' (NULL: only a handle, for a process
 * that is adopted). '*ret' is NULL when there are none to be had. */
int cgroup_new(struct cgroup_root *root, const char *name, const struct cgroup_limits *limits,
	struct jail_plan *plan, struct cgroup **ret);

/* The process exists: close what the child has joined by, or ask systemd for a scope. */
void cgroup_started(struct cgroup *cgroup, int id, pid_t pid);

/* The greatest share of CPU time that this host can express, and what who asked for nothing has: v2 and systemd have weights,
 * v1 has shares. */
uint64_t cgroup_shares_max(const struct cgroup_root *root);
uint64_t cgroup_shares_default(const struct cgroup_root *root);

/* Whether memory can be held to nodes of the host: not by v1, and not without the cpuset controller. */
bool cgroup_has_nodes(const struct cgroup_root *root);

/* The process runs, in the scope that was asked for when it was started (this daemon, or one before it, asked). */
void cgroup_adopted(struct cgroup *cgroup, int id, pid_t pid);

/* Other limits from now on; what is 0 gets the host's default again, but memory_bytes and pids. Returns 1 when that is done, 0
 * when 'done' will say so, or a negative errno with 'error' set. 'done' comes in any case, also when the bus goes or systemd does not
 * answer in time; but not after cgroup_root_free(). */
int cgroup_set(struct cgroup *cgroup, const struct cgroup_limits *limits, cgroup_done_fn done,
	void *userdata, struct error *error);

/* A program that is no worker, with all that it starts: ask systemd for a scope vmmd-NAME-PID.scope of its own in the
 * slice. Without systemd it stays where it was started. */
void cgroup_move(struct cgroup_root *root, const char *name, const char *description, pid_t pid);

/* The kernel has killed in this group because the group's memory was used up: asked once, of a process that was killed and is
 * gone, before cgroup_free(). systemd may have removed the scope by then: then it is a kill in vmmd.slice that no other process
 * has accounted for (v2 alone; of two that die at one time the wrong one may be blamed). Takes NULL. */
bool cgroup_oom_killed(struct cgroup *cgroup);

/* How long the processes of this group waited: 'file' is "cpu.pressure", "memory.pressure" or "io.pressure" of cgroup v2 (psi.h). -ENOSYS:
 * v1 has none; -ENODATA: there is no group ('cgroup' NULL); and psi_read()'s. */
struct psi;
int cgroup_pressure(const struct cgroup *cgroup, const char *file, struct psi *ret);
/* Why it failed, for people. */
const char *cgroup_pressure_why_not(int error);

/* 'remove': the process is gone, the groups may go. Takes NULL, answers NULL. */
struct cgroup *cgroup_free(struct cgroup *cgroup, bool remove);
