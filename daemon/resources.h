/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A configuration turned into open files: everything a worker will use is opened here, by the daemon, and goes with
 * START. Two passes: the first opens what exists and refuses (missing disk, image in use, no kernel, no /dev/kvm, too
 * little memory); only when all of it is there, the second makes things (memory files, ptys, sockets). So a refused
 * start changes nothing.
 */
#pragma once

#include <sys/types.h>

#include "config/domain-config.h"
#include "daemon/error.h"
#include "vmm-core/proto.h"

#define RESOURCES_PATH_MAX 128

struct resources_env {
	const char *kvm_path;      /* "/dev/kvm"; NULL: the vm gets none (tests) */
	int runtime_fd;            /* folder for sockets without a path of their own */
	const char *runtime_path;  /* its name, for the XML */
	uint64_t available_kib;    /* memory that may be used; 0: do not check */
	uint64_t memlock_kib;      /* memory that a worker may lock */
	const uint64_t *host_cpus; /* those that are online (base/cpuset.h); NULL: do not check */
	const char *sysfs;         /* NULL: "/sys" */
	bool can_restrict;         /* the worker's control group can hold its memory to nodes */
	/* Names the domain that runs as 'pid', for "is in use by"; may be NULL. */
	const char *(*domain_of_pid)(void *opaque, pid_t pid);
	void *opaque;
};

struct resources {
	struct proto_fd what[PROTO_MAX_FDS];
	int fds[PROTO_MAX_FDS];
	unsigned n;
	int stats_fd; /* one of fds, not owned by this field */
	int64_t wall_offset_s;
	/* What the live XML shows: "/dev/pts/3"; "": nothing. */
	char serial_paths[VM_MAX_SERIALS][RESOURCES_PATH_MAX];
	char console_paths[VM_MAX_CONSOLES][RESOURCES_PATH_MAX];
	char channel_paths[VM_MAX_CHANNELS][RESOURCES_PATH_MAX];
};

/* '*ret' is written only on success. The error names the file and what is wrong with it. */
int resources_open(const struct domain_config *config, const struct resources_env *env,
	struct resources *ret, struct error *error);

/* Close the fds; the names stay. Takes an all-zero struct. */
void resources_close(struct resources *resources);

/* MemAvailable of /proc/meminfo in KiB, 0 if unknown. */
uint64_t resources_available_kib(void);

/* How much memory a worker of ours can lock, by our hard RLIMIT_MEMLOCK; UINT64_MAX: any amount. */
uint64_t resources_memlock_kib(void);

/* The host's CPUs that are online. Returns 0, or -errno when the kernel does not say, or there are more than fit. */
int resources_host_cpus(uint64_t ret_set[CPUSET_WORDS]);
