/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The part of a worker's sandbox that only its parent can build: uid, namespaces, empty root, rlimits, capabilities.
 * (The rest, Landlock and seccomp, the worker does to itself: vmm-core/sandbox.c.)
 *
 * What will be done is decided beforehand as data (struct jail_plan, by jail_plan_make(), a pure function) and done
 * in the child between clone() and exec by jail_enter(), which names the step that failed.
 *
 *	system, or session as root	uid of its own, six namespaces, empty read-only root, no capabilities
 *	session without root		the same in a user namespace, uid the user's own
 *	session, no user namespaces	rlimits and no_new_privs only; the daemon warns once
 *
 * A program with an ELF interpreter (a sanitizer build) cannot run in an empty root: it keeps the host's, and the
 * daemon warns.
 */
#pragma once

#include <sys/types.h>

#include "config/vm-config.h"
#include "vmm-core/base/uring.h"

#define JAIL_UID_BASE    262144
#define JAIL_UID_SLOTS   65536
#define JAIL_MAX_RLIMITS 8
#define JAIL_MAX_CGROUPS 4

/* Where jail_arrange_fds() puts things; 3 and 4 are vmm-core/proto.h's. The last two close on exec. */
#define JAIL_FD_EXE   5
#define JAIL_FD_ERROR 6

struct jail_env {
	uid_t euid;
	gid_t egid;
	bool user_ns_allowed; /* jail_probe_user_ns() */
	bool exe_is_static;   /* jail_exe_is_static() */
	uint32_t uid_base, slot;
	const char *mount_dir; /* an existing folder to hang the empty root on */
	uint32_t n_vcpus, n_disks, n_iothreads;
	uint32_t n_ports; /* of networks: vNICs of a vm, ports of a network's worker */
	uint64_t memory_bytes;
	bool memory_locked;
	bool core_scheduling; /* it shares no core with others: sched-core.h */
};

/* How many threads a worker may have: vCPUs; per disk the threads that do its I/O without io_uring; each iothread with the kernel's own that
 * work on its disks, and those that may be added to a machine; the loop with its own. */
static inline uint32_t jail_threads(uint32_t n_vcpus, uint32_t n_disks, uint32_t n_iothreads)
{
	return 16 + n_vcpus + 4 * n_disks + 2 * URING_MAX_WORKERS * n_iothreads +
		(n_vcpus ? VM_MAX_IOTHREADS : 0);
}

struct jail_rlimit {
	int resource;
	uint64_t value;
};

struct jail_plan {
	bool user_ns, namespaces, empty_root, own_uid, drop_capabilities, core_scheduling;
	uid_t uid; /* what it will run as, or maps to */
	gid_t gid;
	char mount_dir[4096];
	unsigned n_rlimits;
	struct jail_rlimit rlimits[JAIL_MAX_RLIMITS];
	/* cgroup.procs files to join, opened by the parent (cgroup.c); not owned. */
	unsigned n_cgroups;
	int cgroup_fds[JAIL_MAX_CGROUPS];
};

/* Returns 0, or -ENAMETOOLONG. */
int jail_plan_make(const struct jail_env *env, struct jail_plan *ret_plan);

/* For jail_clone(). */
uint64_t jail_clone_flags(const struct jail_plan *plan);

/* fork() with namespaces and a pidfd (close-on-exec): 0 in the child, the pid in the parent, or -1 with errno. By
 * clone(2): systemd's RestrictNamespaces= answers ENOSYS to clone3(2), whose flags it cannot see. */
pid_t jail_clone(uint64_t flags, int *ret_pidfd);

/* In the child: put fds[5] = control, listen, log (or negative: /dev/null), exe, error pipe in their places, close
 * everything else, joining the plan's cgroups (NULL: none) before. Returns 0 or -errno with the step in 'stage'; fds[] says where
 * they are then, so that the last one can be told of a failure, too. */
int jail_arrange_fds(const struct jail_plan *plan, int fds[5], char *stage, size_t stage_size);

/* In the child: become what the plan says. Returns 0 or -errno with the step in 'stage'. */
int jail_enter(const struct jail_plan *plan, char *stage, size_t stage_size);

/* Try whether this user may make the namespaces: clones a child that enters a jail and ends. */
bool jail_probe_user_ns(const char *mount_dir);

/* An ELF program without an interpreter. */
bool jail_exe_is_static(int exe_fd);

/* The range [base, base + slots) overlaps what 'subuid_text' (the content of /etc/subuid) gives to users. */
bool jail_range_overlaps(const char *subuid_text, uint32_t base, uint32_t n_slots);
