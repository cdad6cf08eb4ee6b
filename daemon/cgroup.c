/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A control group for each worker: see cgroup.h. */
#include "daemon/cgroup-internal.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm-core/base/cpuset.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define LIMIT_TEXT_MAX    256 /* 64 nodes, every second one of them */
#define DEFAULT_SHARES    1024
#define DEFAULT_WEIGHT    100
#define MAX_SHARES        262144
#define MAX_WEIGHT        10000
#define DEFAULT_PERIOD_US 100000

/* v1 has a hierarchy each; all lie in one folder with v2. */
static const char *const v1_folders[] = {"memory", "pids", "cpu"};

static void format_number(uint64_t value, char ret[LIMIT_TEXT_MAX])
{
	(void)snprintf(ret, LIMIT_TEXT_MAX, "%" PRIu64 "\n", value);
}

/* "no limit" of v1 is -1, or as much as there can be. */
static void format_bytes(
	enum cgroup_kind kind, const struct cgroup_limits *l, uint64_t value, char *ret)
{
	(void)l;
	if (value && value != CGROUP_UNLIMITED)
		format_number(value, ret);
	else
		(void)snprintf(ret, LIMIT_TEXT_MAX, kind == CGROUP_V2 ? "max\n" : "-1\n");
}

static void format_pids(
	enum cgroup_kind kind, const struct cgroup_limits *l, uint64_t value, char *ret)
{
	(void)kind;
	(void)l;
	format_number(value, ret);
}

static void format_shares(
	enum cgroup_kind kind, const struct cgroup_limits *l, uint64_t value, char *ret)
{
	(void)l;
	format_number(value ?: kind == CGROUP_V2 ? DEFAULT_WEIGHT : DEFAULT_SHARES, ret);
}

static void format_period(
	enum cgroup_kind kind, const struct cgroup_limits *l, uint64_t value, char *ret)
{
	(void)kind;
	(void)l;
	format_number(value ?: DEFAULT_PERIOD_US, ret);
}

static void format_quota(
	enum cgroup_kind kind, const struct cgroup_limits *l, uint64_t value, char *ret)
{
	uint64_t period_us = l->period_us ?: DEFAULT_PERIOD_US;
	bool is_limited = value && value != CGROUP_UNLIMITED;

	if (kind == CGROUP_V1)
		format_bytes(kind, l, value, ret);
	else if (is_limited)
		(void)snprintf(ret, LIMIT_TEXT_MAX, "%" PRIu64 " %" PRIu64 "\n", value, period_us);
	else
		(void)snprintf(ret, LIMIT_TEXT_MAX, "max %" PRIu64 "\n", period_us);
}

static void format_nodes(
	enum cgroup_kind kind, const struct cgroup_limits *l, uint64_t value, char *ret)
{
	const uint64_t set[CPUSET_WORDS] = {value};
	char text[CPUSET_TEXT_MAX];

	(void)kind;
	(void)l;
	cpuset_format(set, text);
	(void)snprintf(ret, LIMIT_TEXT_MAX, "%.250s\n", text);
}

/* The limits' files. Of 'always' a new group has each, and no hierarchy is joined in which it cannot be set. */
static const struct limit_file {
	const char *v1_folder, *v1_file, *v2_file;
	size_t limit; /* offset in cgroup_limits */
	bool always;
	void (*format)(
		enum cgroup_kind kind, const struct cgroup_limits *l, uint64_t value, char *ret);
} limit_files[] = {
	{"memory", "memory.limit_in_bytes", "memory.max",
		offsetof(struct cgroup_limits, memory_bytes), true, format_bytes},
	{"memory", "memory.soft_limit_in_bytes", "memory.high",
		offsetof(struct cgroup_limits, memory_soft_bytes), false, format_bytes},
	{"memory", "memory.memsw.limit_in_bytes", "memory.swap.max",
		offsetof(struct cgroup_limits, swap_bytes), false, format_bytes},
	{"pids", "pids.max", "pids.max", offsetof(struct cgroup_limits, pids), true, format_pids},
	{"cpu", "cpu.shares", "cpu.weight", offsetof(struct cgroup_limits, shares), false,
		format_shares},
	{"cpu", "cpu.cfs_period_us", NULL, offsetof(struct cgroup_limits, period_us), false,
		format_period},
	{"cpu", "cpu.cfs_quota_us", "cpu.max", offsetof(struct cgroup_limits, quota_us), false,
		format_quota},
	{"cpuset", NULL, "cpuset.mems", offsetof(struct cgroup_limits, nodes), false, format_nodes},
};

static uint64_t value_of(const struct limit_file *file, const struct cgroup_limits *limits)
{
	uint64_t value;

	memcpy(&value, (const char *)limits + file->limit, sizeof(value));
	return value;
}

static int write_to(int dir_fd, const char *file, const char *text)
{
	_cleanup_(closep) int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write_full(fd, text, strlen(text));
}

static enum cgroup_kind find_kind(const char *mount)
{
	char path[CGROUP_PATH_LEN];

	/* Of the root folder: on a hybrid host it is a plain one, with v1's hierarchies in it. */
	(void)snprintf(path, sizeof(path), "%s/cgroup.controllers", mount);
	if (access(path, F_OK) == 0)
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
	list_init(&root->requests);
	(void)cgroup_read_slice_kills(root, &root->slice_kills);
	return root;
}

/* A change that systemd has not answered. */
struct set_request {
	struct list link;
	sd_bus_slot *slot;
	cgroup_done_fn done;
	void *userdata;
};

static void request_free(struct set_request *request)
{
	list_del(&request->link);
	(void)sd_bus_slot_unref(request->slot);
	free(request);
}

static void fail_requests(struct list *requests)
{
	struct error e = {0};

	(void)error_set(&e, ERROR_OPERATION_FAILED,
		"the bus went before systemd had changed the limits of the scope");
	while (!list_empty(requests)) {
		struct set_request *request = list_entry(requests->next, struct set_request, link);
		struct set_request copy = *request;

		request_free(request);
		copy.done(copy.userdata, &e);
	}
}

struct cgroup_root *cgroup_root_free(struct cgroup_root *root)
{
	struct list *pos, *tmp;
	char path[CGROUP_PATH_LEN];

	if (!root)
		return NULL;
	list_for_each_safe (pos, tmp, &root->requests)
		request_free(list_entry(pos, struct set_request, link));
	/* The instance's own folders, when no worker is left in them. */
	for (size_t i = 0; i < ARRAY_SIZE(v1_folders); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s/%s", root->mount,
			root->kind == CGROUP_V1 ? v1_folders[i] : "", root->folder);
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
	struct list unanswered;

	if (bus == root->bus)
		return;
	list_init(&unanswered);
	list_splice(&unanswered, &root->requests);
	(void)sd_bus_unref(root->bus);
	root->bus = sd_bus_ref(bus);
	fail_requests(&unanswered);
}

/* The parent's folder of a hierarchy ("" for v2), then the worker's; both made if needed. */
static int open_group(const struct cgroup *c, const char *hierarchy, int *ret_fd)
{
	char path[CGROUP_PATH_LEN];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s/%s", c->root->mount, hierarchy, c->root->folder);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	if (c->kind == CGROUP_V2) {
		_cleanup_(closep) int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		/* From the top down; what is on already, or cannot be had, shows at the limits. */
		(void)write_to(parent, "../cgroup.subtree_control", "+memory +pids");
		(void)write_to(parent, "../cgroup.subtree_control", "+cpu");
		(void)write_to(parent, "cgroup.subtree_control", "+memory +pids");
		(void)write_to(parent, "cgroup.subtree_control", "+cpu");
		/* It costs something: only for those who need it. */
		if (c->limits.nodes) {
			(void)write_to(parent, "../cgroup.subtree_control", "+cpuset");
			(void)write_to(parent, "cgroup.subtree_control", "+cpuset");
		}
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

/* 'folder' NULL: all, else those of this hierarchy. Tries them all, and returns the first failure of one that must be. */
static int write_limits(const struct cgroup *c, const struct cgroup_limits *limits,
	const char *folder, bool is_new, int dir_fd)
{
	char text[LIMIT_TEXT_MAX];
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(limit_files); i++) {
		const struct limit_file *f = &limit_files[i];
		const char *file = c->kind == CGROUP_V2 ? f->v2_file : f->v1_file;
		uint64_t value = value_of(f, limits);
		int r;

		if (!file || (folder && !streq(folder, f->v1_folder)))
			continue;
		if (is_new ? !value && !f->always : !value && f->always)
			continue;
		f->format(c->kind, limits, value, text);
		r = write_to(dir_fd, file, text);
		if (r < 0 && is_new && value && !f->always)
			log_warning("cgroup: %s cannot be set: %s", file, strerror(-r));
		else if (r < 0)
			log_debug("cgroup: %s cannot be set: %s", file, strerror(-r));
		/* The host's default is what a controller that is not there gives. */
		if (r < 0 && result == 0 && value && (!is_new || f->always))
			result = r;
	}
	return result;
}

static int make_v2(struct cgroup *c)
{
	_cleanup_(closep) int fd = -EBADF;
	int r = open_group(c, "", &fd);

	if (r < 0)
		return r;
	(void)write_limits(c, &c->limits, NULL, /* is_new= */ true, fd);
	return join(c, fd);
}

static int make_v1(struct cgroup *c)
{
	int result = -ENOENT;

	for (size_t i = 0; i < ARRAY_SIZE(v1_folders); i++) {
		_cleanup_(closep) int fd = -EBADF;
		int r = open_group(c, v1_folders[i], &fd);

		if (r == 0)
			r = write_limits(c, &c->limits, v1_folders[i], /* is_new= */ true, fd);
		if (r == 0)
			r = join(c, fd);
		if (r < 0)
			log_debug("cgroup: no %s controller: %s", v1_folders[i], strerror(-r));
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

	/* An adopted worker has what it was given, though the bus may not be there yet. */
	if (plan && cgroup_root_kind(root) == CGROUP_NONE) {
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
	if (c->kind != CGROUP_SYSTEMD)
		(void)cgroup_read_kills(c, &c->oom_kills);
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

static int append_nodes(sd_bus_message *m, uint64_t nodes)
{
	uint8_t bytes[8];
	size_t n = 0;
	int r;

	for (; nodes; nodes >>= 8)
		bytes[n++] = (uint8_t)nodes;
	r = sd_bus_message_open_container(m, 'r', "sv");
	if (r >= 0)
		r = sd_bus_message_append(m, "s", "AllowedMemoryNodes");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'v', "ay");
	if (r >= 0)
		r = sd_bus_message_append_array(m, 'y', bytes, n);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* 'all': also what is not given, as systemd's default; but for nodes, which who has them never loses. */
static int append_limits(
	sd_bus_message *m, const struct cgroup_root *root, const struct cgroup_limits *l, bool all)
{
	bool has_quota = l->quota_us && l->quota_us != CGROUP_UNLIMITED;
	uint64_t period_us = l->period_us ?: DEFAULT_PERIOD_US;
	const struct {
		const char *name;
		bool is_given, has_default;
		uint64_t value;
	} rows[] = {
		{"MemoryMax", l->memory_bytes, false, l->memory_bytes},
		{"TasksMax", l->pids, false, l->pids},
		{"MemoryHigh", l->memory_soft_bytes, true, l->memory_soft_bytes},
		{"MemorySwapMax", l->swap_bytes, true, l->swap_bytes},
		{root->kind == CGROUP_V1 ? "CPUShares" : "CPUWeight", l->shares, true, l->shares},
		{"CPUQuotaPeriodUSec", has_quota, true, period_us},
		{"CPUQuotaPerSecUSec", has_quota, true,
			has_quota ? (uint64_t)((double)l->quota_us * 1e6 / (double)period_us) : 0},
	};
	int r = 0;

	/* Bytes, the first of which has nodes 0 to 7. */
	if (l->nodes)
		r = append_nodes(m, l->nodes);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(rows); i++)
		if (rows[i].is_given || (all && rows[i].has_default))
			r = sd_bus_message_append(m, "(sv)", rows[i].name, "t",
				rows[i].is_given ? rows[i].value : UINT64_MAX);
	return r;
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
			"Slice", "s", CGROUP_SLICE, "PIDs", "au", 1, (uint32_t)pid, "CollectMode",
			"s", "inactive-or-failed");
	if (r >= 0 && limits)
		r = append_limits(m, root, limits, /* all= */ false);
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

static void name_scope(struct cgroup *c, int id, pid_t pid)
{
	(void)snprintf(c->unit, sizeof(c->unit), "vmmd-vm-%d-%d.scope", id, (int)pid);
}

void cgroup_started(struct cgroup *c, int id, pid_t pid)
{
	if (!c)
		return;
	close_fds(c);
	c->pid = pid;
	name_scope(c, id, pid);
	if (c->kind != CGROUP_SYSTEMD)
		return;
	/* What was killed before it was no worker's, or has been told of. */
	(void)cgroup_read_slice_kills(c->root, &c->root->slice_kills);
	ask_for_scope(c->root, c->unit, "vmmd worker", &c->limits, pid);
}

void cgroup_adopted(struct cgroup *c, int id, pid_t pid)
{
	if (!c)
		return;
	c->pid = pid;
	name_scope(c, id, pid);
	c->is_adopted = true;
}

uint64_t cgroup_shares_max(const struct cgroup_root *root)
{
	return root->kind == CGROUP_V1 ? MAX_SHARES : MAX_WEIGHT;
}

uint64_t cgroup_shares_default(const struct cgroup_root *root)
{
	return root->kind == CGROUP_V1 ? DEFAULT_SHARES : DEFAULT_WEIGHT;
}

bool cgroup_has_nodes(const struct cgroup_root *root)
{
	_cleanup_(freep) char *text = NULL;
	char path[CGROUP_PATH_LEN];

	if (root->kind != CGROUP_V2)
		return false;
	(void)snprintf(path, sizeof(path), "%s/cgroup.controllers", root->mount);
	return read_file(AT_FDCWD, path, 4096, &text, NULL) == 0 && strstr(text, "cpuset");
}

/* Other limits for a group that exists. */

static bool has_line(const char *text, long number)
{
	char *end;

	for (; *text; text = *end ? end + 1 : end)
		if (strtol(text, &end, 10) == number)
			return true;
		else if (end == text)
			return false;
	return false;
}

/* The worker's folder of a hierarchy, made by nobody now. -ESRCH: the worker is not in it, so its limits are nobody's. */
static int open_joined(const struct cgroup *c, const char *hierarchy, int *ret_fd)
{
	_cleanup_(closep) int fd = -EBADF;
	_cleanup_(freep) char *members = NULL;
	char path[CGROUP_PATH_LEN];
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s/%s/%s", c->root->mount, hierarchy,
		c->root->folder, c->name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	r = read_file(fd, "cgroup.procs", 65536, &members, NULL);
	if (r < 0)
		return r;
	if (!c->pid || !has_line(members, c->pid))
		return -ESRCH;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Something is to be limited by it. How many threads there may be never changes. */
static bool is_needed(const struct cgroup_limits *limits, const char *folder)
{
	for (size_t i = 0; i < ARRAY_SIZE(limit_files); i++)
		if ((!folder || streq(folder, limit_files[i].v1_folder)) &&
			!streq(limit_files[i].v1_folder, "pids") &&
			value_of(&limit_files[i], limits))
			return true;
	return false;
}

/* One per hierarchy, -EBADF where nothing is to be limited. */
static int open_all_joined(const struct cgroup *c, const struct cgroup_limits *limits,
	int ret_fds[ARRAY_SIZE(v1_folders)])
{
	for (size_t i = 0; i < ARRAY_SIZE(v1_folders); i++) {
		const char *folder = c->kind == CGROUP_V1 ? v1_folders[i] : NULL;
		int r = folder || i == 0 ? open_joined(c, folder ?: "", &ret_fds[i]) : 0;

		if (r < 0 && (r != -ESRCH || is_needed(limits, folder)))
			return r;
	}
	return 0;
}

static int set_files(struct cgroup *c, const struct cgroup_limits *limits, struct error *error)
{
	int fds[ARRAY_SIZE(v1_folders)] = {-EBADF, -EBADF, -EBADF};
	int r = open_all_joined(c, limits, fds);

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (r == 0 && fds[i] >= 0)
			r = write_limits(c, limits, c->kind == CGROUP_V1 ? v1_folders[i] : NULL,
				/* is_new= */ false, fds[i]);
		(void)safe_close(fds[i]);
	}
	if (r == -ESRCH)
		return error_set(error, ERROR_OPERATION_INVALID,
			"the worker is in no control group that vmmd could change%s",
			c->is_adopted ? " now: systemd may have it, which cannot be reached" : "");
	if (r < 0)
		return error_set_errno(error, r, "cannot change the limits of the control group");
	return 1;
}

static int on_set(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct set_request *request = userdata, copy = *request;
	struct error e = {0};

	(void)ret_error;
	request_free(request);
	if (sd_bus_message_is_method_error(m, NULL))
		(void)error_set(&e, ERROR_OPERATION_FAILED,
			"systemd does not change the limits of the scope: %s",
			sd_bus_message_get_error(m)->message);
	copy.done(copy.userdata, e.code == ERROR_NONE ? NULL : &e);
	return 0;
}

static int ask_to_set(
	const struct cgroup *c, const struct cgroup_limits *limits, struct set_request *request)
{
	sd_bus_message *m = NULL;
	int r = sd_bus_message_new_method_call(c->root->bus, &m, "org.freedesktop.systemd1",
		"/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
		"SetUnitProperties");

	if (r >= 0)
		r = sd_bus_message_append(m, "sb", c->unit, /* runtime= */ 1);
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0)
		r = append_limits(m, c->root, limits, /* all= */ true);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_call_async(c->root->bus, &request->slot, m, on_set, request, 0);
	sd_bus_message_unref(m);
	return r;
}

int cgroup_set(struct cgroup *c, const struct cgroup_limits *limits, cgroup_done_fn done,
	void *userdata, struct error *error)
{
	struct set_request *request;
	int r;

	if (c->is_adopted)
		c->kind = cgroup_root_kind(c->root);
	if (c->kind == CGROUP_NONE)
		return error_set(error, ERROR_OPERATION_INVALID,
			"the domain has no control group that vmmd could change");
	if (c->kind != CGROUP_SYSTEMD)
		return set_files(c, limits, error);
	if (!c->root->bus)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"systemd, which has the limits of domains, cannot be reached");
	request = malloc(sizeof(*request));
	if (!request)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*request = (struct set_request){.done = done, .userdata = userdata};
	list_add_tail(&c->root->requests, &request->link);
	r = ask_to_set(c, limits, request);
	if (r < 0) {
		request_free(request);
		return error_set_errno(error, r, "cannot ask systemd to change limits");
	}
	return 0;
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
	char path[CGROUP_PATH_LEN];

	if (!c)
		return NULL;
	close_fds(c);
	for (size_t i = 0; remove && i < ARRAY_SIZE(v1_folders); i++) {
		const char *hierarchy = c->kind == CGROUP_V1 ? v1_folders[i] : "";

		if (c->kind == CGROUP_SYSTEMD)
			break;
		(void)snprintf(path, sizeof(path), "%s/%s/%s/%s", c->root->mount, hierarchy,
			c->root->folder, c->name);
		(void)rmdir(path);
	}
	free(c);
	return NULL;
}
