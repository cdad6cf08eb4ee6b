/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The jail around a worker: see jail.h. The steps and their order are those of SECURITY.md. */
#include "daemon/jail.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/sched-core.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/proto.h"

static void add_rlimit(struct jail_plan *plan, int resource, uint64_t value)
{
	assert(plan->n_rlimits < JAIL_MAX_RLIMITS);
	plan->rlimits[plan->n_rlimits++] = (struct jail_rlimit){resource, value};
}

int jail_plan_make(const struct jail_env *env, struct jail_plan *ret_plan)
{
	struct jail_plan plan = {0};
	bool root = env->euid == 0;
	int r;

	r = str_copy(plan.mount_dir, sizeof(plan.mount_dir), env->mount_dir);
	if (r < 0)
		return r;
	plan.user_ns = !root && env->user_ns_allowed;
	plan.namespaces = root || plan.user_ns;
	plan.empty_root = plan.namespaces && env->exe_is_static;
	plan.drop_capabilities = plan.namespaces;
	plan.own_uid = root;
	plan.core_scheduling = env->core_scheduling;
	plan.uid = root ? env->uid_base + env->slot : env->euid;
	plan.gid = root ? env->uid_base + env->slot : env->egid;

	add_rlimit(&plan, RLIMIT_CORE, 0);
	/* vCPU fds; per disk its file, ring, and an ioeventfd and an irqfd for each queue; per port two bells, and as
	 * much for each queue; iothreads' loops. */
	add_rlimit(&plan, RLIMIT_NOFILE,
		512 + 4 * env->n_vcpus + 40 * env->n_disks + 48 * env->n_ports +
			4 * VM_MAX_IOTHREADS);
	add_rlimit(&plan, RLIMIT_MEMLOCK, MIB(64) + (env->memory_locked ? env->memory_bytes : 0));
	/* Counted by uid: only meaningful with one of its own. */
	if (plan.own_uid)
		add_rlimit(&plan, RLIMIT_NPROC,
			jail_threads(env->n_vcpus, env->n_disks, env->n_iothreads));
	*ret_plan = plan;
	return 0;
}

uint64_t jail_clone_flags(const struct jail_plan *plan)
{
	uint64_t flags = 0;

	/* The cgroup namespace comes later, in the child, when it has joined its cgroup. */
	if (plan->namespaces)
		flags |= CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	if (plan->user_ns)
		flags |= CLONE_NEWUSER;
	return flags;
}

pid_t jail_clone(uint64_t flags, int *ret_pidfd)
{
	return (pid_t)syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, ret_pidfd, NULL, 0UL);
}

static int stage_errno(char *stage, size_t size, const char *what)
{
	int saved = errno;

	(void)snprintf(stage, size, "%s", what);
	return -saved;
}

static int join_cgroups(const struct jail_plan *plan)
{
	for (unsigned i = 0; i < plan->n_cgroups; i++)
		if (write(plan->cgroup_fds[i], "0\n", 2) < 0)
			return -errno;
	return 0;
}

/* Whatever happens, each of 'fds' goes on naming what it did. */
static int arrange(int fds[5])
{
	static const int places[5] = {
		PROTO_CONTROL_FD, PROTO_LISTEN_FD, STDERR_FILENO, JAIL_FD_EXE, JAIL_FD_ERROR};
	int null_fd;

	for (size_t i = 0; i < 5; i++) {
		int high;

		if (fds[i] < 0)
			continue;
		/* Out of the way of all places first. */
		high = fcntl(fds[i], F_DUPFD_CLOEXEC, 16);
		if (high < 0)
			return -errno;
		fds[i] = high;
	}
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
		dup2(null_fd, STDERR_FILENO) < 0)
		return -errno;
	for (size_t i = 0; i < 5; i++) {
		bool keep = places[i] <= PROTO_LISTEN_FD;

		if (fds[i] >= 0 && dup3(fds[i], places[i], keep ? 0 : O_CLOEXEC) < 0)
			return -errno;
	}
	if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
		syscall(SYS_close_range, JAIL_FD_ERROR + 1, ~0U, 0) < 0)
		return -errno;
	memcpy(fds, places, sizeof(places));
	return 0;
}

int jail_arrange_fds(const struct jail_plan *plan, int fds[5], char *stage, size_t size)
{
	int r = plan ? join_cgroups(plan) : 0;

	if (r < 0) {
		(void)snprintf(stage, size, "join the cgroup");
		return r;
	}
	r = arrange(fds);
	if (r < 0)
		(void)snprintf(stage, size, "arrange fds");
	return r;
}

static int write_proc(const char *path, const char *text)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int map_user(const struct jail_plan *plan, char *stage, size_t size)
{
	char map[64];
	int r;

	r = write_proc("/proc/self/setgroups", "deny");
	if (r == 0) {
		(void)snprintf(map, sizeof(map), "%u %u 1\n", plan->uid, plan->uid);
		r = write_proc("/proc/self/uid_map", map);
	}
	if (r == 0) {
		(void)snprintf(map, sizeof(map), "%u %u 1\n", plan->gid, plan->gid);
		r = write_proc("/proc/self/gid_map", map);
	}
	if (r < 0)
		(void)snprintf(stage, size, "map the user");
	return r;
}

static int empty_root(const struct jail_plan *plan, char *stage, size_t size)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return stage_errno(stage, size, "make mounts private");
	if (mount("vmmd-worker", plan->mount_dir, "tmpfs", flags, "size=4k,nr_inodes=2,mode=0555") <
		0)
		return stage_errno(stage, size, "mount the empty root");
	if (chdir(plan->mount_dir) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return stage_errno(stage, size, "pivot_root");
	if (umount2(".", MNT_DETACH) < 0)
		return stage_errno(stage, size, "leave the old root");
	if (mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | flags,
		    "size=4k,nr_inodes=2,mode=0555") < 0)
		return stage_errno(stage, size, "make the root read-only");
	if (chdir("/") < 0)
		return stage_errno(stage, size, "chdir");
	return 0;
}

static int set_rlimits(const struct jail_plan *plan, char *stage, size_t size)
{
	for (unsigned i = 0; i < plan->n_rlimits; i++) {
		__rlimit_resource_t resource = (__rlimit_resource_t)plan->rlimits[i].resource;
		struct rlimit limit = {plan->rlimits[i].value, plan->rlimits[i].value}, old;

		if (setrlimit(resource, &limit) == 0)
			continue;
		if (errno != EPERM || getrlimit(resource, &old) < 0)
			return stage_errno(stage, size, "setrlimit");
		/* Raising needs CAP_SYS_RESOURCE; without it the worker lives with what there is. */
		limit.rlim_cur = limit.rlim_max = MIN(limit.rlim_max, old.rlim_max);
		if (setrlimit(resource, &limit) < 0)
			return stage_errno(stage, size, "setrlimit");
	}
	return 0;
}

static int drop_bounding_set(char *stage, size_t size)
{
	for (unsigned long cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				break;
			return stage_errno(stage, size, "drop the bounding set");
		}
	if (prctl(PR_SET_SECUREBITS,
		    SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
			    SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED |
			    SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED,
		    0, 0, 0) < 0)
		return stage_errno(stage, size, "lock the securebits");
	return 0;
}

static int drop_privileges(const struct jail_plan *plan, char *stage, size_t size)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	int r;

	if (plan->drop_capabilities) {
		r = drop_bounding_set(stage, size);
		if (r < 0)
			return r;
	}
	if (plan->own_uid) {
		if (setgroups(0, NULL) < 0)
			return stage_errno(stage, size, "setgroups");
		if (setresgid(plan->gid, plan->gid, plan->gid) < 0)
			return stage_errno(stage, size, "setresgid");
		if (setresuid(plan->uid, plan->uid, plan->uid) < 0)
			return stage_errno(stage, size, "setresuid");
	}
	/* Explicitly: with NO_SETUID_FIXUP the kernel keeps them over setresuid(). */
	if (plan->drop_capabilities && syscall(SYS_capset, &header, data) < 0)
		return stage_errno(stage, size, "capset");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return stage_errno(stage, size, "no_new_privs");
	return 0;
}

/* The daemon's signal handling must not be the worker's. SIGPIPE is ignored: its log's reader may go away. */
static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < 65; sig++)
		(void)signal(sig, sig == SIGPIPE ? SIG_IGN : SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int jail_enter(const struct jail_plan *plan, char *stage, size_t size)
{
	int r;

	stage[0] = 0;
	reset_signals();
	(void)setsid();
	(void)umask(0077);
	/* A daemon protected from the OOM killer must not protect its guests. Best effort. */
	(void)write_proc("/proc/self/oom_score_adj", "0");
	/* No hyperthreads: no core is shared. */
	r = plan->core_scheduling ? sched_core_create() : 0;
	if (r < 0 && r != -ENODEV) {
		(void)snprintf(stage, size, "core scheduling");
		return r;
	}
	if (plan->user_ns) {
		r = map_user(plan, stage, size);
		if (r < 0)
			return r;
	}
	if (plan->namespaces && unshare(CLONE_NEWCGROUP) < 0)
		return stage_errno(stage, size, "unshare the cgroup namespace");
	if (plan->empty_root) {
		r = empty_root(plan, stage, size);
		if (r < 0)
			return r;
	}
	r = set_rlimits(plan, stage, size);
	if (r < 0)
		return r;
	return drop_privileges(plan, stage, size);
}

bool jail_probe_user_ns(const char *mount_dir)
{
	struct jail_env env = {
		.euid = geteuid(),
		.egid = getegid(),
		.user_ns_allowed = true,
		.exe_is_static = true,
		.mount_dir = mount_dir,
		.n_vcpus = 1,
	};
	struct jail_plan plan;
	char stage[64];
	int pidfd = -EBADF, status;
	pid_t pid;

	if (jail_plan_make(&env, &plan) < 0)
		return false;
	pid = jail_clone(jail_clone_flags(&plan), &pidfd);
	if (pid == 0)
		_exit(jail_enter(&plan, stage, sizeof(stage)) < 0 ? 1 : 0);
	(void)safe_close(pidfd);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		WEXITSTATUS(status) == 0;
}

bool jail_exe_is_static(int exe_fd)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph;

	if (pread_full(exe_fd, &eh, sizeof(eh), 0) < 0 ||
		memcmp(eh.e_ident, ELFMAG, SELFMAG) != 0 || eh.e_ident[EI_CLASS] != ELFCLASS64 ||
		eh.e_phentsize != sizeof(ph))
		return false;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		if (pread_full(exe_fd, &ph, sizeof(ph), eh.e_phoff + i * sizeof(ph)) < 0)
			return false;
		if (ph.p_type == PT_INTERP)
			return false;
	}
	return true;
}

bool jail_range_overlaps(const char *subuid_text, uint32_t base, uint32_t n_slots)
{
	for (const char *line = subuid_text; line && *line; line = strchr(line, '\n')) {
		unsigned long long start, count;
		char user[64];

		if (*line == '\n')
			line++;
		if (sscanf(line, "%63[^:\n]:%llu:%llu", user, &start, &count) == 3 &&
			start < (unsigned long long)base + n_slots && base < start + count)
			return true;
	}
	return false;
}
