/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between cgroup.c (groups and their limits) and cgroup-look.c (what the kernel says of them). */
#pragma once

#include "daemon/cgroup.h"
#include "vmm-core/base/list.h"

#define CGROUP_PATH_LEN 512
#define CGROUP_SLICE    "vmmd.slice"
#define CGROUP_UNIT_MAX 64

struct cgroup_root {
	char mount[256], folder[64]; /* "vmmd-TAG" */
	enum cgroup_kind kind;       /* of the file system: V1, V2, NONE */
	sd_bus *bus;
	struct list requests; /* that 'bus' has not answered */
	bool warned;
	uint64_t slice_kills; /* of the slice's, those that are accounted for */
};

struct cgroup {
	struct cgroup_root *root;
	enum cgroup_kind kind;
	bool is_adopted; /* another daemon made it: of the root's kind, whichever that turns out to be */
	char name[64], unit[CGROUP_UNIT_MAX]; /* 'unit': the scope */
	struct cgroup_limits limits;
	pid_t pid;          /* 0: not yet */
	uint64_t oom_kills; /* before this process: the group may be older */
	unsigned n_fds;
	int fds[JAIL_MAX_CGROUPS];
};

/* Of which kind it is: an adopted one is of the root's. */
enum cgroup_kind cgroup_kind_of(const struct cgroup *cgroup);
/* How often the kernel has killed in it, and in the slice. 0 or -errno. */
int cgroup_read_kills(const struct cgroup *cgroup, uint64_t *ret);
int cgroup_read_slice_kills(const struct cgroup_root *root, uint64_t *ret);
