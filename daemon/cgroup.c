/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A control group for each worker: see cgroup.h. */
#include "daemon/cgroup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define PATH_LEN 512
#define SLICE    "vmmd.slice"

struct cgroup_root {
	char mount[256], folder[64]; /* "vmmd-TAG" */
	enum cgroup_kind kind;       /* of the file system: V1, V2, NONE */
	sd_bus *bus;
	bool warned;
};

struct cgroup {
	struct cgroup_root *root;
	enum cgroup_kind kind;
	char name[64];
	struct cgroup_limits limits;
	unsigned n_fds;
	int fds[JAIL_MAX_CGROUPS];
};

/* The limits' files. 'folder' is v1's hierarchy; all lie in one folder with v2. */
static const struct {
	const char *v1_folder, *v1_file, *v2_file;
	size_t limit; /* offset in cgroup_limits */
	size_t size;
} controllers[] = {
	{"memory", "memory.limit_in_bytes", "memory.max",
		offsetof(struct cgroup_limits, memory_bytes), sizeof(uint64_t)},
	{"pids", "pids.max", "pids.max", offsetof(struct cgroup_limits, pids), sizeof(unsigned)},
	{"cpu", NULL, NULL, 0, 0},
};

static int write_to(int dir_fd, const char *file, const char *text)
{
	_cleanup_(closep) int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write_full(fd, text, strlen(text));
}

static enum cgroup_kind find_kind(const char *mount)
{
	char path[PATH_LEN];
	struct statfs fs;

	if (statfs(mount, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
		return CGROUP_V2;
	(void)snprintf(path, sizeof(path), "%s/memory/cgroup.procs", mount);
	return access(path, W_OK) == 0 ? CGROUP_V1 : CGROUP_NONE;
}

struct cgroup_root *cgroup_root_new(const char *mount, uint64_t tag)
{
	struct cgroup_root *root = calloc(1, sizeof(*root));

	if (!root || str_copy(root->mount, sizeof(root->mount), mount) < 0) {
		free(root);
		return NULL;
	}
	(void)snprintf(root->folder, sizeof(root->folder), "vmmd-%" PRIx64, tag);
	root->kind = find_kind(mount);
	return root;
}

struct cgroup_root *cgroup_root_free(struct cgroup_root *root)
{
	char path[PATH_LEN];

	if (!root)
		return NULL;
	/* The instance's own folders, when no worker is left in them. */
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s/%s", root->mount,
			root->kind == CGROUP_V1 ? controllers[i].v1_folder : "", root->folder);
		(void)rmdir(path);
	}
	(void)sd_bus_unref(root->bus);
	free(root);
	return NULL;
}

enum cgroup_kind cgroup_root_kind(const struct cgroup_root *root)
{
	return root->bus ? CGROUP_SYSTEMD : root->kind;
}

void cgroup_root_set_bus(struct cgroup_root *root, sd_bus *bus)
{
	(void)sd_bus_unref(root->bus);
	root->bus = sd_bus_ref(bus);
}

/* The parent's folder of a hierarchy ("" for v2), then the worker's; both made if needed. */
static int open_group(const struct cgroup *c, const char *hierarchy, int *ret_fd)
{
	char path[PATH_LEN];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s/%s", c->root->mount, hierarchy, c->root->folder);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (c->kind == CGROUP_V2) {
		_cleanup_(closep) int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		/* From the top down; what is on already, or cannot be had, shows at the limits. */
		(void)write_to(parent, "../cgroup.subtree_control", "+memory +pids");
		(void)write_to(parent, "cgroup.subtree_control", "+memory +pids");
	}
	(void)snprintf(path + strlen(path), sizeof(path) - strlen(path), "/%s", c->name);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int join(struct cgroup *c, int dir_fd)
{
	int fd = openat(dir_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	c->fds[c->n_fds++] = fd;
	return 0;
}

static int limit(const struct cgroup *c, size_t i, int dir_fd)
{
	const char *file = c->kind == CGROUP_V2 ? controllers[i].v2_file : controllers[i].v1_file;
	char text[32];
	uint64_t value = 0;
	unsigned u;

	if (!file)
		return 0;
	if (controllers[i].size == sizeof(unsigned)) {
		memcpy(&u, (const char *)&c->limits + controllers[i].limit, sizeof(u));
		value = u;
	} else {
		memcpy(&value, (const char *)&c->limits + controllers[i].limit, sizeof(value));
	}
	(void)snprintf(text, sizeof(text), "%" PRIu64 "\n", value);
	return write_to(dir_fd, file, text);
}

static int make_v2(struct cgroup *c)
{
	_cleanup_(closep) int fd = -EBADF;
	int r = open_group(c, "", &fd);

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(controllers); i++) {
		int q = limit(c, i, fd);

		if (q < 0)
			log_debug("cgroup: %s cannot be set: %s", controllers[i].v2_file,
				strerror(-q));
	}
	return r < 0 ? r : join(c, fd);
}

static int make_v1(struct cgroup *c)
{
	int result = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		_cleanup_(closep) int fd = -EBADF;
		int r = open_group(c, controllers[i].v1_folder, &fd);

		if (r == 0)
			r = limit(c, i, fd);
		if (r == 0)
			r = join(c, fd);
		if (r < 0)
			log_debug("cgroup: no %s controller: %s", controllers[i].v1_folder,
				strerror(-r));
		else
			result = 0;
	}
	return result;
}

static void close_fds(struct cgroup *c)
{
	while (c->n_fds)
		(void)safe_close(c->fds[--c->n_fds]);
}

static void warn_once(struct cgroup_root *root, const char *why)
{
	if (!root->warned)
		log_warning("workers run without a control group: %s", why);
	root->warned = true;
}

int cgroup_new(struct cgroup_root *root, const char *name, const struct cgroup_limits *limits,
	struct jail_plan *plan, struct cgroup **ret)
{
	struct cgroup *c;
	int r = 0;

	if (cgroup_root_kind(root) == CGROUP_NONE) {
		/* An adopted worker has what it was given; the bus may not be there yet. */
		if (plan)
			warn_once(root, "this user may make none here");
		*ret = NULL;
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->root = root;
	c->kind = cgroup_root_kind(root);
	c->limits = *limits;
	(void)snprintf(c->name, sizeof(c->name), "%.63s", name);
	if (plan && c->kind == CGROUP_V2)
		r = make_v2(c);
	else if (plan && c->kind == CGROUP_V1)
		r = make_v1(c);
	if (r < 0) {
		warn_once(root, strerror(-r));
		*ret = cgroup_free(c, true);
		return 0;
	}
	if (plan) {
		memcpy(plan->cgroup_fds, c->fds, sizeof(c->fds));
		plan->n_cgroups = c->n_fds;
	}
	*ret = c;
	return 0;
}

static int on_scope(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	(void)userdata;
	(void)error;
	if (sd_bus_message_is_method_error(m, NULL))
		log_warning("systemd makes no scope: %s", sd_bus_message_get_error(m)->message);
	return 0;
}

/* 'limits' may be NULL. */
static void ask_for_scope(struct cgroup_root *root, const char *unit, const char *description,
	const struct cgroup_limits *limits, pid_t pid)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(root->bus, &m, "org.freedesktop.systemd1",
		"/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
		"StartTransientUnit");

	if (r >= 0)
		r = sd_bus_message_append(m, "ss", unit, "fail");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)", "Description", "s", description,
			"Slice", "s", SLICE, "PIDs", "au", 1, (uint32_t)pid, "CollectMode", "s",
			"inactive-or-failed");
	if (r >= 0 && limits)
		r = sd_bus_message_append(m, "(sv)(sv)", "MemoryMax", "t", limits->memory_bytes,
			"TasksMax", "t", (uint64_t)limits->pids);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	/* The answer is for the log only: no slot, so it may come when nobody asks any more. */
	if (r >= 0)
		r = sd_bus_call_async(root->bus, NULL, m, on_scope, NULL, 0);
	sd_bus_message_unref(m);
	if (r < 0)
		(void)log_warning_errno(r, "cannot ask systemd for a scope: %m");
}

void cgroup_started(struct cgroup *c, int id, pid_t pid)
{
	char unit[64];

	if (!c)
		return;
	close_fds(c);
	if (c->kind != CGROUP_SYSTEMD)
		return;
	(void)snprintf(unit, sizeof(unit), "vmmd-vm-%d-%d.scope", id, (int)pid);
	ask_for_scope(c->root, unit, "vmmd worker", &c->limits, pid);
}

void cgroup_move(struct cgroup_root *root, const char *name, const char *description, pid_t pid)
{
	char unit[96];

	if (cgroup_root_kind(root) != CGROUP_SYSTEMD)
		return;
	(void)snprintf(unit, sizeof(unit), "vmmd-%s-%d.scope", name, (int)pid);
	ask_for_scope(root, unit, description, NULL, pid);
}

struct cgroup *cgroup_free(struct cgroup *c, bool remove)
{
	char path[PATH_LEN];

	if (!c)
		return NULL;
	close_fds(c);
	for (size_t i = 0; remove && i < ARRAY_SIZE(controllers); i++) {
		const char *hierarchy = c->kind == CGROUP_V1 ? controllers[i].v1_folder : "";

		if (c->kind == CGROUP_SYSTEMD)
			break;
		(void)snprintf(path, sizeof(path), "%s/%s/%s/%s", c->root->mount, hierarchy,
			c->root->folder, c->name);
		(void)rmdir(path);
	}
	free(c);
	return NULL;
}
