/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the kernel says of a worker's control group: whether it has killed in it, and how long its processes wait. See cgroup.h.
 *
 * Tested by tests/unit/test-cgroup.c.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "daemon/cgroup-internal.h"
#include "daemon/psi.h"
#include "vmm-core/base/fdio.h"

/* How often the kernel has killed in a group, by its file. 0, or -errno of reading it. */
static int read_kills(const char *path, uint64_t *ret)
{
	_cleanup_(freep) char *text = NULL;
	const char *p;
	int r = read_file(AT_FDCWD, path, 4096, &text, NULL);

	if (r < 0)
		return r;
	*ret = 0;
	p = strstr(text, "oom_kill ");
	if (p)
		(void)sscanf(p, "oom_kill %" SCNu64, ret);
	return 0;
}

/* In the slice; what is below it counts there, too, and stays when it is gone (cgroup-v2.rst, memory.events). */
int cgroup_read_slice_kills(const struct cgroup_root *root, uint64_t *ret)
{
	char path[CGROUP_PATH_LEN];

	(void)snprintf(path, sizeof(path), "%s/" CGROUP_SLICE "/memory.events", root->mount);
	return read_kills(path, ret);
}

enum cgroup_kind cgroup_kind_of(const struct cgroup *c)
{
	return c->is_adopted ? cgroup_root_kind(c->root) : c->kind;
}

/* A file of the group, where there is one hierarchy. */
static void path_in_v2(const struct cgroup *c, const char *file, char ret[static CGROUP_PATH_LEN])
{
	const char *folder = cgroup_kind_of(c) == CGROUP_V2 ? c->root->folder : CGROUP_SLICE;
	const char *name = cgroup_kind_of(c) == CGROUP_V2 ? c->name : c->unit;

	(void)snprintf(ret, CGROUP_PATH_LEN, "%s/%s/%s/%s", c->root->mount, folder, name, file);
}

int cgroup_read_kills(const struct cgroup *c, uint64_t *ret)
{
	enum cgroup_kind kind = cgroup_kind_of(c);
	char path[CGROUP_PATH_LEN];

	if (kind == CGROUP_V1)
		(void)snprintf(path, sizeof(path), "%s/memory/%s/%s/memory.oom_control",
			c->root->mount, c->root->folder, c->name);
	else
		path_in_v2(c, "memory.events", path);
	return read_kills(path, ret);
}

/* There is a kill in the slice that is not accounted for yet. */
static bool take_slice_kill(struct cgroup_root *root)
{
	uint64_t n = 0;

	(void)cgroup_read_slice_kills(root, &n);
	if (n <= root->slice_kills) {
		root->slice_kills = n; /* the slice may be a new one */
		return false;
	}
	root->slice_kills++;
	return true;
}

bool cgroup_oom_killed(struct cgroup *c)
{
	uint64_t n;
	bool killed;

	if (!c)
		return false;
	if (cgroup_read_kills(c, &n) < 0)
		return cgroup_kind_of(c) == CGROUP_SYSTEMD && take_slice_kill(c->root);
	killed = n > c->oom_kills;
	if (killed && cgroup_kind_of(c) == CGROUP_SYSTEMD)
		(void)take_slice_kill(c->root);
	return killed;
}

int cgroup_pressure(const struct cgroup *c, const char *file, struct psi *ret)
{
	char path[CGROUP_PATH_LEN];

	if (!c)
		return -ENODATA;
	if (cgroup_kind_of(c) == CGROUP_V1)
		return -ENOSYS;
	/* systemd has not been asked yet. */
	if (cgroup_kind_of(c) == CGROUP_SYSTEMD && !*c->unit)
		return -ENODATA;
	path_in_v2(c, file, path);
	return psi_read(path, ret);
}

const char *cgroup_pressure_why_not(int error)
{
	switch (error) {
	case -ENOSYS:
		return "control groups of version 1 do not tell of pressure";
	case -ENOENT: /* with systemd no group of v2's is ours where v1 has the controllers */
		return "its control group does not tell of pressure: it is of version 1, or "
		       "pressure stall information is off";
	case -ENODATA:
		return "the worker has no control group of its own";
	default:
		return psi_why_not(error);
	}
}
