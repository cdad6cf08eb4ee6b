/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filters that seccomp-gen made agree with seccomp-table.c: an interpreter of the few BPF instructions they use runs
 * each for every system call number and for values in and around each rule's list. What a live worker can do is
 * tests/guest/test-sandbox.c's.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "seccomp-filters.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/seccomp-table.h"

#define MAX_SYSCALL 1024

static const struct {
	const struct sock_filter *program;
	size_t len;
	uint32_t deny;
} filters[SECCOMP_ROLE_X_MAX][2] = {
	[SECCOMP_VCPU] = {{vcpu_filter, ARRAY_SIZE(vcpu_filter), SECCOMP_RET_KILL_PROCESS},
		{vcpu_filter_errno, ARRAY_SIZE(vcpu_filter_errno), SECCOMP_RET_ERRNO | EPERM}},
	[SECCOMP_LOOP] = {{loop_filter, ARRAY_SIZE(loop_filter), SECCOMP_RET_KILL_PROCESS},
		{loop_filter_errno, ARRAY_SIZE(loop_filter_errno), SECCOMP_RET_ERRNO | EPERM}},
	[SECCOMP_IO] = {{io_filter, ARRAY_SIZE(io_filter), SECCOMP_RET_KILL_PROCESS},
		{io_filter_errno, ARRAY_SIZE(io_filter_errno), SECCOMP_RET_ERRNO | EPERM}},
	[SECCOMP_IOTHREAD] = {{iothread_filter, ARRAY_SIZE(iothread_filter),
				      SECCOMP_RET_KILL_PROCESS},
		{iothread_filter_errno, ARRAY_SIZE(iothread_filter_errno),
			SECCOMP_RET_ERRNO | EPERM}},
	[SECCOMP_NETWORK] = {{network_filter, ARRAY_SIZE(network_filter), SECCOMP_RET_KILL_PROCESS},
		{network_filter_errno, ARRAY_SIZE(network_filter_errno),
			SECCOMP_RET_ERRNO | EPERM}},
};

static uint32_t run(const struct sock_filter *program, size_t len, const struct seccomp_data *data)
{
	uint32_t a = 0;

	for (size_t pc = 0; pc < len; pc++) {
		const struct sock_filter *i = &program[pc];
		bool jump;

		switch (i->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(i->k % 4 == 0 && i->k + 4 <= sizeof(*data));
			memcpy(&a, (const uint8_t *)data + i->k, sizeof(a));
			continue;
		case BPF_RET | BPF_K:
			return i->k;
		case BPF_JMP | BPF_JEQ | BPF_K:
			jump = a == i->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			jump = a >= i->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			jump = a & i->k;
			break;
		default:
			fail_msg("instruction %zu has code 0x%x", pc, i->code);
			return 0;
		}
		pc += jump ? i->jt : i->jf;
	}
	fail_msg("ran past the end");
	return 0;
}

static bool table_allows(enum seccomp_role role, const struct seccomp_data *data)
{
	for (const struct seccomp_rule *rule = seccomp_rules(role); rule->name; rule++) {
		uint32_t value = (uint32_t)data->args[rule->arg];

		if (rule->nr != data->nr)
			continue;
		if (rule->check == SECCOMP_ANY)
			return true;
		if (rule->check == SECCOMP_ABSENT)
			return false;
		if (rule->check == SECCOMP_NO_BITS)
			return !(value & rule->values[0]);
		for (unsigned i = 0; i < rule->n_values; i++)
			if (rule->values[i] == value)
				return true;
		return false;
	}
	return false;
}

static bool table_hides(enum seccomp_role role, int nr)
{
	for (const struct seccomp_rule *rule = seccomp_rules(role); rule->name; rule++)
		if (rule->nr == nr && rule->check == SECCOMP_ABSENT)
			return true;
	return false;
}

static void try_one(enum seccomp_role role, const struct seccomp_data *data)
{
	for (unsigned mode = 0; mode < 2; mode++) {
		uint32_t verdict = run(filters[role][mode].program, filters[role][mode].len, data);
		uint32_t want = table_allows(role, data) ? SECCOMP_RET_ALLOW
			: table_hides(role, data->nr)    ? SECCOMP_RET_ERRNO | ENOSYS
							 : filters[role][mode].deny;

		if (verdict != want)
			fail_msg("%s, call %d, mode %u: 0x%x and not 0x%x",
				seccomp_role_to_string(role), data->nr, mode, verdict, want);
	}
}

static struct seccomp_data call(int nr, uint64_t arg)
{
	return (struct seccomp_data){
		.nr = nr,
		.arch = AUDIT_ARCH_X86_64,
		.args = {arg, arg, arg, arg, arg, arg},
	};
}

static void test_numbers(void **state)
{
	(void)state;
	for (unsigned role = 0; role < SECCOMP_ROLE_X_MAX; role++) {
		for (int nr = -2; nr <= MAX_SYSCALL; nr++) {
			struct seccomp_data data = call(nr, UINT64_MAX);

			try_one(role, &data);
			data = call(nr, 0);
			try_one(role, &data);
		}
	}
}

static void test_values(void **state)
{
	(void)state;
	for (unsigned role = 0; role < SECCOMP_ROLE_X_MAX; role++) {
		for (const struct seccomp_rule *rule = seccomp_rules(role); rule->name; rule++) {
			for (unsigned i = 0; i < rule->n_values; i++) {
				struct seccomp_data data = call(rule->nr, rule->values[i]);

				try_one(role, &data);
				/* The upper half is not looked at: the kernel takes ints. */
				data = call(rule->nr, rule->values[i] | UINT64_C(5) << 32);
				try_one(role, &data);
				for (unsigned bit = 0; bit < 32; bit++) {
					data = call(rule->nr, rule->values[i] ^ UINT32_C(1) << bit);
					try_one(role, &data);
				}
			}
		}
	}
}

/* Another architecture ends the process whatever the mode; x32 numbers are refused. */
static void test_other_doors(void **state)
{
	static const uint32_t archs[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, 0, UINT32_MAX};

	(void)state;
	for (unsigned role = 0; role < SECCOMP_ROLE_X_MAX; role++) {
		for (unsigned mode = 0; mode < 2; mode++) {
			const struct sock_filter *p = filters[role][mode].program;
			size_t len = filters[role][mode].len;

			for (unsigned i = 0; i < ARRAY_SIZE(archs); i++) {
				struct seccomp_data data = call(SYS_write, 0);

				data.arch = archs[i];
				assert_int_equal(run(p, len, &data), SECCOMP_RET_KILL_PROCESS);
			}
			for (int nr = 0; nr <= MAX_SYSCALL; nr++) {
				struct seccomp_data data = call(nr | 0x40000000, 0);

				assert_int_equal(run(p, len, &data), filters[role][mode].deny);
			}
		}
	}
}

/* The main loop makes iothreads, which close their own sandboxes: threads and nothing else, and filters that forbid more. */
static bool makes_iothreads(enum seccomp_role role, const struct seccomp_rule *rule)
{
	const uint32_t thread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
		CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
	bool is_one = rule->check == SECCOMP_ONE_OF && rule->arg == 0 && rule->n_values == 1;

	if (role != SECCOMP_LOOP)
		return false;
	return (rule->nr == SYS_clone3 && rule->check == SECCOMP_ABSENT) ||
		(rule->nr == SYS_clone && is_one && rule->values[0] == thread) ||
		(rule->nr == SYS_seccomp && is_one && rule->values[0] == SECCOMP_SET_MODE_FILTER);
}

/* The table itself: each call once a role, each with its reason, and none of what a worker must never have. */
static void test_table(void **state)
{
	static const int never[] = {SYS_open, SYS_openat, SYS_openat2, SYS_socket, SYS_connect,
		SYS_bind, SYS_listen, SYS_execve, SYS_execveat, SYS_clone, SYS_clone3, SYS_fork,
		SYS_vfork, SYS_kill, SYS_tkill, SYS_ptrace, SYS_process_vm_readv,
		SYS_process_vm_writev, SYS_mprotect, SYS_pkey_mprotect, SYS_memfd_create,
		SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_register, SYS_bpf,
		SYS_perf_event_open, SYS_keyctl, SYS_add_key, SYS_mount, SYS_umount2,
		SYS_pivot_root, SYS_unshare, SYS_setns, SYS_setuid, SYS_setgid, SYS_seccomp,
		SYS_prlimit64, SYS_rt_sigaction, SYS_ftruncate, SYS_pidfd_getfd};

	(void)state;
	for (unsigned role = 0; role < SECCOMP_ROLE_X_MAX; role++) {
		const struct seccomp_rule *rules = seccomp_rules(role);

		for (const struct seccomp_rule *rule = rules; rule->name; rule++) {
			assert_true(rule->reason && *rule->reason);
			assert_true(rule->check < SECCOMP_CHECK_X_MAX && rule->arg < 6);
			assert_true(rule->check == SECCOMP_ANY || rule->check == SECCOMP_ABSENT
					? !rule->n_values
					: rule->n_values && rule->n_values <= SECCOMP_MAX_VALUES);
			/* One value is all that SECCOMP_NO_BITS has a meaning for. */
			assert_true(rule->check != SECCOMP_NO_BITS || rule->n_values == 1);
			for (const struct seccomp_rule *other = rules; other < rule; other++)
				assert_int_not_equal(other->nr, rule->nr);
			for (unsigned i = 0; i < ARRAY_SIZE(never); i++)
				if (rule->nr == never[i] && !makes_iothreads(role, rule))
					fail_msg("%s may call %s", seccomp_role_to_string(role),
						rule->name);
			if (rule->nr == SYS_mmap)
				assert_true(rule->check == SECCOMP_NO_BITS && rule->arg == 2 &&
					rule->values[0] & PROT_EXEC);
			if (rule->nr == SYS_ioctl)
				assert_true(rule->check == SECCOMP_ONE_OF && rule->arg == 1);
			/* A thread's name, and nothing else. */
			if (rule->nr == SYS_prctl)
				assert_true(rule->check == SECCOMP_ONE_OF && rule->arg == 0 &&
					rule->n_values == 1 && rule->values[0] == PR_SET_NAME);
		}
	}
}

/* The kernel takes each program, and it does what the interpreter says. */
static void test_kernel(void **state)
{
	(void)state;
	for (unsigned role = 0; role < SECCOMP_ROLE_X_MAX; role++) {
		int status;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			struct sock_fprog prog = {.len = (unsigned short)filters[role][1].len};

			memcpy(&prog.filter, &filters[role][1].program, sizeof(prog.filter));
			if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
				syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0)
				_exit(2);
			/* getpid() is everybody's, sockets are nobody's. */
			if (syscall(SYS_getpid) > 0 && syscall(SYS_socket, 1, 1, 0) == -1 &&
				errno == EPERM)
				(void)!write(STDERR_FILENO, "", 0);
			else
				(void)*(volatile int *)NULL;
			/* Each list has one of the two. */
			(void)syscall(SYS_exit_group, 0);
			(void)syscall(SYS_exit, 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_other_doors),
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
