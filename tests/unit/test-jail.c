/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The jail's plan as data, for each kind of instance; and, where this process may make one, a real jail looked at from
 * inside (skipped with a message where it may not). */
#include "daemon/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const struct jail_env root_env = {
	.euid = 0,
	.exe_is_static = true,
	.uid_base = 262144,
	.slot = 7,
	.mount_dir = "/tmp",
	.n_vcpus = 4,
	.n_disks = 2,
	.memory_bytes = GIB(1),
};

static uint64_t limit_of(const struct jail_plan *plan, int resource)
{
	for (unsigned i = 0; i < plan->n_rlimits; i++)
		if (plan->rlimits[i].resource == resource)
			return plan->rlimits[i].value;
	return UINT64_MAX;
}

static void test_plan_of_root(void **state)
{
	const uint64_t six =
		CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
	struct jail_env env = root_env;
	struct jail_plan plan;

	(void)state;
	assert_int_equal(jail_plan_make(&env, &plan), 0);
	assert_true(plan.own_uid && plan.namespaces && plan.empty_root && plan.drop_capabilities);
	assert_false(plan.user_ns);
	assert_int_equal(plan.uid, 262151);
	assert_int_equal(plan.gid, 262151);
	assert_int_equal(jail_clone_flags(&plan), six);
	assert_int_equal(limit_of(&plan, RLIMIT_CORE), 0);
	assert_int_equal(limit_of(&plan, RLIMIT_NPROC), 16 + 4 + 8 + 32);
	assert_int_equal(limit_of(&plan, RLIMIT_MEMLOCK), MIB(64));
	/* Raw images may be of any size. */
	assert_int_equal(limit_of(&plan, RLIMIT_FSIZE), UINT64_MAX);
	/* An iothread, and what the kernel makes for its disks. */
	env.n_iothreads = 2;
	assert_int_equal(jail_plan_make(&env, &plan), 0);
	assert_int_equal(limit_of(&plan, RLIMIT_NPROC), 16 + 4 + 8 + 32 + 2 * 8);
	env.memory_locked = true;
	env.exe_is_static = false;
	assert_int_equal(jail_plan_make(&env, &plan), 0);
	assert_int_equal(limit_of(&plan, RLIMIT_MEMLOCK), MIB(64) + GIB(1));
	assert_false(plan.empty_root);
	assert_true(plan.own_uid);
}

static void test_plan_of_a_user(void **state)
{
	struct jail_env env = root_env;
	struct jail_plan plan;

	(void)state;
	env.euid = env.egid = 1000;
	env.user_ns_allowed = true;
	assert_int_equal(jail_plan_make(&env, &plan), 0);
	assert_true(plan.user_ns && plan.namespaces && plan.empty_root && plan.drop_capabilities);
	assert_false(plan.own_uid);
	assert_int_equal(plan.uid, 1000);
	assert_true(jail_clone_flags(&plan) & CLONE_NEWUSER);
	/* By uid it would count the user's other processes. */
	assert_int_equal(limit_of(&plan, RLIMIT_NPROC), UINT64_MAX);
	env.user_ns_allowed = false;
	assert_int_equal(jail_plan_make(&env, &plan), 0);
	assert_false(plan.user_ns || plan.namespaces || plan.empty_root || plan.own_uid);
	assert_int_equal(jail_clone_flags(&plan), 0);
	assert_int_equal(limit_of(&plan, RLIMIT_CORE), 0);
}

static void test_ranges(void **state)
{
	const char *subuid = "alice:100000:65536\nbob:165536:65536\n";

	(void)state;
	assert_false(jail_range_overlaps(subuid, 262144, 65536));
	assert_true(jail_range_overlaps(subuid, 231071, 65536));
	assert_false(jail_range_overlaps(subuid, 231072, 65536));
	assert_true(jail_range_overlaps(subuid, 50000, 65536));
	assert_true(jail_range_overlaps("c:1:4000000000", 262144, 65536));
	assert_false(jail_range_overlaps("", 262144, 65536));
	assert_false(jail_range_overlaps("nonsense\n::\n", 262144, 65536));
}

static void test_static_programs(void **state)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_false(jail_exe_is_static(fd)); /* this test has an interpreter */
	close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_false(jail_exe_is_static(fd));
	close(fd);
}

/* In the child: what a worker could still do. Answers the number of the first check that fails. */
static int look_around(const struct jail_plan *plan)
{
	struct stat st;
	struct rlimit core;

	if (getuid() != plan->uid || geteuid() != plan->uid || getegid() != plan->gid)
		return 1;
	if (plan->own_uid && setuid(0) == 0)
		return 2;
	if (access("/etc", F_OK) == 0 || access("/proc", F_OK) == 0 || stat("/", &st) < 0)
		return 3;
	if ((st.st_mode & 07777) != 0555 || mkdir("/x", 0700) == 0 || errno != EROFS)
		return 4;
	if (getpid() != 1)
		return 5;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 6;
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
			return 7;
	if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
		return 8;
	if (getgroups(0, NULL) != 0 && plan->own_uid)
		return 9;
	if (syscall(SYS_unshare, CLONE_NEWNS) == 0)
		return 10;
	return 0;
}

static void test_real_jail(void **state)
{
	struct jail_env env = root_env;
	struct jail_plan plan;
	char stage[256] = "";
	int pidfd, status;
	pid_t pid;

	(void)state;
	env.euid = geteuid();
	env.egid = getegid();
	env.user_ns_allowed = env.euid != 0 && jail_probe_user_ns("/tmp");
	assert_int_equal(jail_plan_make(&env, &plan), 0);
	pid = plan.namespaces ? jail_clone(jail_clone_flags(&plan), &pidfd) : -1;
	if (pid < 0) {
		print_message("skipped: this process may make no namespaces (%s)\n",
			plan.namespaces ? strerror(errno) : "no root, no user namespaces");
		skip();
	}
	if (pid == 0) {
		int r = jail_enter(&plan, stage, sizeof(stage));

		if (r < 0)
			fprintf(stderr, "%s: %s\n", stage, strerror(-r));
		_exit(r < 0 ? 100 : look_around(&plan));
	}
	close(pidfd);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_fds_are_arranged(void **state)
{
	int pair[2], other = open("/dev/null", O_RDONLY), status;
	char stage[256];
	pid_t pid;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		int fds[5] = {pair[1], pair[0], -1, other, other}, n = 0;

		if (jail_arrange_fds(NULL, fds, stage, sizeof(stage)) < 0)
			_exit(100);
		for (int fd = 0; fd < 200; fd++)
			n += fcntl(fd, F_GETFD) >= 0;
		/* 0 to 6; the two that are the daemon's business close on exec. */
		if (n != 7 || (fcntl(3, F_GETFD) & FD_CLOEXEC) ||
			(fcntl(4, F_GETFD) & FD_CLOEXEC) ||
			!(fcntl(JAIL_FD_EXE, F_GETFD) & FD_CLOEXEC) ||
			!(fcntl(JAIL_FD_ERROR, F_GETFD) & FD_CLOEXEC))
			_exit(101);
		_exit(write(3, "x", 1) == 1 && read(4, stage, 1) == 1 ? 0 : 102);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
	close(pair[0]);
	close(pair[1]);
	close(other);
}

/* Without a free fd, and without its cgroup: who is told is the pipe, not whatever else has its later number. */
static void test_fds_of_a_failure(void **state)
{
	(void)state;
	for (int with_cgroup = 0; with_cgroup < 2; with_cgroup++) {
		struct jail_plan plan = {
			.n_cgroups = (unsigned)with_cgroup, .cgroup_fds = {-EBADF}};
		int pair[2], status;
		char stage[256];
		pid_t pid;

		assert_int_equal(pipe(pair), 0);
		pid = fork();
		if (pid == 0) {
			int other = open("/dev/null", O_RDONLY);
			int fds[5] = {other, other, -1, other, pair[1]};
			struct rlimit few = {20, 20};

			(void)dup2(other, 19);
			if (!with_cgroup && setrlimit(RLIMIT_NOFILE, &few) < 0)
				_exit(100);
			if (jail_arrange_fds(&plan, fds, stage, sizeof(stage)) >= 0)
				_exit(101);
			_exit(write(fds[4], stage, strlen(stage)) > 0 ? 0 : 102);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), 0);
		close(pair[1]);
		memset(stage, 0, sizeof(stage));
		assert_true(read(pair[0], stage, sizeof(stage) - 1) > 0);
		assert_string_equal(stage, with_cgroup ? "join the cgroup" : "arrange fds");
		close(pair[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fds_of_a_failure),
		cmocka_unit_test(test_plan_of_root),
		cmocka_unit_test(test_plan_of_a_user),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_static_programs),
		cmocka_unit_test(test_real_jail),
		cmocka_unit_test(test_fds_are_arranged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
