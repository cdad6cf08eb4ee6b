/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Proofs about the shipped worker, from inside it: a debugger makes each of its live threads attempt what it must not be
 * able to do.
 *
 *	S1	every system call, in every thread: what goes through is what seccomp-table.c says, exactly
 *	S2	every argument check: listed values pass, perturbed ones do not
 *	S3	in the mode that ships, one forbidden call ends the process with SIGSYS
 *	S5/S6	with seccomp switched off, the other layers alone still refuse: files, sockets, signals, processes
 *	S7	inventory: capabilities, uid, fds, mounts, maps, namespaces, limits
 *
 * Needs root and /dev/kvm; else 77, with a word.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/guest/harness.h"
#include "tests/guest/jailed.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/seccomp-table.h"

#define WAIT_MS     30000
#define MAX_SYSCALL 470
#define MAX_THREADS 16
#define ALL_ONES    UINT64_MAX

static const char *worker_path, *guest_dir;

struct subject {
	struct harness h;
	struct jailed j;
	pid_t tids[MAX_THREADS]; /* the loop thread first */
	enum seccomp_role roles[MAX_THREADS];
	unsigned n_tids;
};

/* The kernel keeps threads of its own in the process (KVM's huge page recovery): they run no user code. */
static bool find_role(pid_t pid, pid_t tid, enum seccomp_role *ret)
{
	char path[64], name[32] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", pid, tid);
	f = fopen(path, "re");
	assert_non_null(f);
	assert_non_null(fgets(name, sizeof(name), f));
	(void)fclose(f);
	assert_true(strncmp(name, "CPU ", 4) == 0 || strncmp(name, "IO ", 3) == 0 ||
		strncmp(name, "kvm", 3) == 0);
	*ret = *name == 'C' ? SECCOMP_VCPU : SECCOMP_IOTHREAD;
	return *name != 'k';
}

/* An iothread's START is over when its sandbox is closed, which is shortly before it waits for something to do. */
static void wait_for_sleep(pid_t pid, pid_t tid)
{
	char path[64], text[512] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	do {
		FILE *f = fopen(path, "re");

		assert_non_null(f);
		assert_non_null(fgets(text, sizeof(text), f));
		(void)fclose(f);
		(void)sched_yield();
	} while (!strstr(text, ") S "));
}

static void start(struct subject *s, uint32_t flags, unsigned slot)
{
	static char kernel[4096];
	char path[64];
	struct dirent *e;
	DIR *d;
	int r;

	*s = (struct subject){0};
	(void)snprintf(kernel, sizeof(kernel), "%s/guest-spin.elf", guest_dir);
	harness_init(&s->h, worker_path, kernel);
	(void)strcpy(s->h.config.cmdline, "halt");
	s->h.config.vcpus = s->h.config.vcpus_max = 2;
	s->h.config.n_iothreads = s->h.config.iothreads[0] = 1;
	s->h.flags = flags;
	assert_int_equal(jailed_init(&s->j, worker_path, slot, MIB(64)), 0);
	assert_int_equal(jailed_spawn(&s->j, &s->h), 0);
	r = harness_send_start(&s->h);
	if (r < 0)
		fail_msg("START: %d: %s", r, s->h.error);
	r = harness_expect(&s->h, "spinning", WAIT_MS, NULL);
	if (r < 0)
		fail_msg("%s", s->h.error);
	s->roles[s->n_tids] = SECCOMP_LOOP;
	s->tids[s->n_tids++] = s->h.pid;
	(void)snprintf(path, sizeof(path), "/proc/%d/task", s->h.pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)) && s->n_tids < MAX_THREADS) {
		pid_t tid = atoi(e->d_name);

		if (tid > 0 && tid != s->h.pid && find_role(s->h.pid, tid, &s->roles[s->n_tids]))
			s->tids[s->n_tids++] = tid;
	}
	(void)closedir(d);
	/* The loop, an iothread, two vCPUs. */
	assert_int_equal(s->n_tids, 4);
	for (unsigned i = 0; i < s->n_tids; i++)
		if (s->roles[i] == SECCOMP_IOTHREAD)
			wait_for_sleep(s->h.pid, s->tids[i]);
}

static void finish(struct subject *s)
{
	harness_done(&s->h);
	jailed_done(&s->j);
}

/* A debugger's grip on one thread. */

struct grip {
	pid_t tid;
	struct user_regs_struct saved;
	uint64_t syscall_insn; /* address of a SYSCALL instruction */
};

static void get_regs(pid_t tid, struct user_regs_struct *regs)
{
	struct iovec iov = {regs, sizeof(*regs)};

	assert_int_equal(ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &iov), 0);
}

static void set_regs(pid_t tid, struct user_regs_struct *regs)
{
	struct iovec iov = {regs, sizeof(*regs)};

	assert_int_equal(ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &iov), 0);
}

static void seize(struct grip *g, pid_t tid)
{
	int status;
	long word;

	g->tid = tid;
	assert_int_equal(ptrace(PTRACE_SEIZE, tid, 0, 0), 0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, tid, 0, 0), 0);
	assert_int_equal(waitpid(tid, &status, __WALL), tid);
	assert_true(WIFSTOPPED(status));
	get_regs(tid, &g->saved);
	/* It sat in a system call: the instruction before. */
	g->syscall_insn = g->saved.rip - 2;
	errno = 0;
	word = ptrace(PTRACE_PEEKTEXT, tid, g->syscall_insn, 0);
	assert_int_equal(errno, 0);
	assert_int_equal(word & 0xffff, 0x050f);
}

/* Returns the call's result; INT64_MIN when the thread did not come back from it. */
static int64_t inject(const struct grip *g, long nr, const uint64_t args[6])
{
	struct user_regs_struct regs = g->saved;
	int status;

	regs.rip = g->syscall_insn;
	regs.rax = (unsigned long long)nr;
	regs.orig_rax = ALL_ONES;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	set_regs(g->tid, &regs);
	assert_int_equal(ptrace(PTRACE_SINGLESTEP, g->tid, 0, 0), 0);
	if (waitpid(g->tid, &status, __WALL) != g->tid || !WIFSTOPPED(status))
		return INT64_MIN;
	get_regs(g->tid, &regs);
	return (int64_t)regs.rax;
}

static void release(struct grip *g)
{
	set_regs(g->tid, &g->saved);
	(void)ptrace(PTRACE_DETACH, g->tid, 0, 0);
}

/* A string in the thread's memory, below its stack. */
static uint64_t plant(const struct grip *g, const char *text, unsigned place)
{
	uint64_t address = (g->saved.rsp - 8192 + place * 256) & ~UINT64_C(7);
	uint64_t word;

	for (size_t i = 0; i <= strlen(text); i += 8) {
		word = 0;
		memcpy(&word, text + i, MIN(strlen(text) + 1 - i, (size_t)8));
		assert_int_equal(ptrace(PTRACE_POKEDATA, g->tid, address + i, word), 0);
	}
	return address;
}

static const struct seccomp_rule *rule_of(enum seccomp_role role, long nr)
{
	for (const struct seccomp_rule *rule = seccomp_rules(role); rule->name; rule++)
		if (rule->nr == nr)
			return rule;
	return NULL;
}

/* The kernel lets these by, whatever a filter says: they belong to its own probes (SYS_uretprobe, SYS_uprobe). */
static bool is_exempt(long nr)
{
	return nr == 335 || nr == 336;
}

/* These do not come back, or change what the debugger stands on, with any arguments. */
static bool is_special(long nr)
{
	return nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn ||
		nr == SYS_restart_syscall;
}

static void test_s1_sweep(void **state)
{
	static const uint64_t ones[6] = {
		ALL_ONES, ALL_ONES, ALL_ONES, ALL_ONES, ALL_ONES, ALL_ONES};
	struct subject s;
	unsigned wrong = 0;

	(void)state;
	start(&s, PROTO_START_SECCOMP_ERRNO, 1);
	for (unsigned t = 0; t < s.n_tids; t++) {
		struct grip g;

		seize(&g, s.tids[t]);
		for (long nr = 0; nr <= MAX_SYSCALL; nr++) {
			const struct seccomp_rule *rule = rule_of(s.roles[t], nr);
			/* All ones are in no list of values and have every bit. */
			bool allowed = rule && rule->check == SECCOMP_ANY;
			int64_t result;

			if (is_exempt(nr))
				continue;
			/* Tried only where they are refused; test-seccomp has the rest. */
			if (is_special(nr) && allowed)
				continue;
			result = inject(&g, nr, ones);
			if (rule && rule->check == SECCOMP_ABSENT) {
				assert_int_equal(result, -ENOSYS);
				continue;
			}
			if ((result == -EPERM) == allowed) {
				print_error("thread %u: system call %ld: result %lld, %s\n", t, nr,
					(long long)result, allowed ? "should pass" : "should not");
				wrong++;
			}
		}
		release(&g);
	}
	assert_int_equal(wrong, 0);
	/* And it still works. */
	assert_int_equal(harness_request(&s.h, PROTO_PAUSE, WAIT_MS), 0);
	finish(&s);
}

static bool is_listed(const struct seccomp_rule *rule, uint32_t value)
{
	if (rule->check == SECCOMP_NO_BITS)
		return !(value & rule->values[0]);
	for (unsigned i = 0; i < rule->n_values; i++)
		if (rule->values[i] == value)
			return true;
	return false;
}

static void try_value(const struct grip *g, const struct seccomp_rule *rule, uint32_t value)
{
	/* Arguments that make a call that goes through fail: no fd, no address. */
	uint64_t args[6] = {ALL_ONES, ALL_ONES, ALL_ONES, ALL_ONES, ALL_ONES, ALL_ONES};
	int64_t result;

	args[rule->arg] = value;
	/* fds in the list are real ones: an address that faults stops them. */
	result = inject(g, rule->nr, args);
	if ((result == -EPERM) == is_listed(rule, value))
		fail_msg("%s with argument %u = 0x%x: %lld", rule->name, rule->arg, value,
			(long long)result);
}

static void test_s2_arguments(void **state)
{
	struct subject s;
	uint32_t random = 1;
	unsigned n_checked = 0;

	(void)state;
	start(&s, PROTO_START_SECCOMP_ERRNO, 2);
	for (unsigned t = 0; t < s.n_tids; t++) {
		const struct seccomp_rule *rule = seccomp_rules(s.roles[t]);
		struct grip g;

		seize(&g, s.tids[t]);
		for (; rule->name; rule++) {
			if (rule->check == SECCOMP_ANY || rule->check == SECCOMP_ABSENT)
				continue;
			n_checked++;
			for (unsigned i = 0; i < rule->n_values; i++) {
				/* A thread that comes of it stands on its maker's stack: test-iothread-sandbox makes real ones. */
				if (rule->check == SECCOMP_ONE_OF && rule->nr != SYS_clone)
					try_value(&g, rule, rule->values[i]);
				for (unsigned bit = 0; bit < 32; bit++)
					if (!is_listed(rule, rule->values[i] ^ UINT32_C(1) << bit))
						try_value(&g, rule,
							rule->values[i] ^ UINT32_C(1) << bit);
			}
			for (unsigned i = 0; i < 200; i++) {
				random = random * 1664525 + 1013904223;
				if (!is_listed(rule, random))
					try_value(&g, rule, random);
			}
		}
		release(&g);
	}
	assert_true(n_checked > 10);
	finish(&s);
}

static void test_s3_kill(void **state)
{
	(void)state;
	for (unsigned t = 0; t < 2; t++) {
		const uint64_t args[6] = {AF_INET, SOCK_STREAM};
		struct subject s;
		struct grip g;
		int status;

		start(&s, 0, 3);
		seize(&g, s.tids[t]);
		assert_true(inject(&g, SYS_socket, args) == INT64_MIN);
		/* The leader is reported last. */
		while (waitpid(s.h.pid, &status, __WALL) == s.h.pid && !WIFEXITED(status) &&
			!WIFSIGNALED(status))
			(void)ptrace(PTRACE_CONT, s.h.pid, 0, 0);
		if (t > 0) {
			assert_true(WIFSIGNALED(status));
			assert_int_equal(WTERMSIG(status), SIGSYS);
		}
		s.h.pid = 0;
		finish(&s);
	}
}

/* What the other layers refuse when seccomp is off. */
static void test_s6_other_layers(void **state)
{
	static const char *const files[] = {"/etc/passwd", "/proc/1/mem", "/dev/kvm", "/dev/null",
		"/proc/self/fd/3", "/sys/kernel", "/", ".", "new-file"};
	struct subject s;
	struct grip g;

	(void)state;
	start(&s, PROTO_START_SECCOMP_OFF, 4);
	seize(&g, s.tids[0]);
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		uint64_t path = plant(&g, files[i], 0);

		for (unsigned how = 0; how < 3; how++) {
			static const int flags[] = {O_RDONLY, O_RDWR, O_WRONLY | O_CREAT};
			const uint64_t args[6] = {
				(uint64_t)AT_FDCWD, path, (uint64_t)flags[how], 0600};
			int64_t r = inject(&g, SYS_openat, args);

			if (r >= 0)
				fail_msg("opened %s", files[i]);
		}
	}
	{
		const uint64_t root = plant(&g, "/", 0), x = plant(&g, "x", 1),
			       iov = plant(&g, "not an iovec at all, but long", 2);
		const struct {
			const char *what;
			long nr;
			uint64_t args[6];
		} acts[] = {
			{"mkdir", SYS_mkdir, {x, 0700}},
			{"mknod", SYS_mknod, {x, S_IFCHR | 0666, 0x10a}},
			{"mount", SYS_mount, {x, root, x, 0, 0}},
			{"umount", SYS_umount2, {root, 0}},
			{"chroot", SYS_chroot, {root}},
			{"setuid 0", SYS_setuid, {0}},
			{"setgid 0", SYS_setgid, {0}},
			{"unshare", SYS_unshare, {0x20000}},
			{"kill 1 of the host, which is not in sight", SYS_kill,
				{(uint64_t)getpid(), 0}},
			{"ptrace", SYS_ptrace, {PTRACE_ATTACH, (uint64_t)getpid()}},
			{"process_vm_readv", SYS_process_vm_readv,
				{(uint64_t)getpid(), iov, 1, iov, 1, 0}},
			{"executable memory", SYS_mmap,
				{0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
					MAP_PRIVATE | MAP_ANONYMOUS, ALL_ONES, 0}},
			{"execve", SYS_execve, {root, 0, 0}},
			{"bpf", SYS_bpf, {5, x, 120}},
			{"init_module", SYS_init_module, {x, 1, x}},
			{"reboot", SYS_reboot, {0xfee1dead, 672274793, 0x1234567}},
			{"raw socket", SYS_socket, {AF_INET, SOCK_RAW, 1}},
			{"packet socket", SYS_socket, {AF_PACKET, SOCK_RAW, 0}},
			{"setns", SYS_setns, {3, 0}},
			{"prlimit of another", SYS_prlimit64, {(uint64_t)getpid(), 7, 0, x}},
		};

		for (unsigned i = 0; i < ARRAY_SIZE(acts); i++) {
			int64_t r = inject(&g, acts[i].nr, acts[i].args);

			if (r >= 0)
				fail_msg("%s went through: %lld", acts[i].what, (long long)r);
		}
	}
	release(&g);
	assert_int_equal(harness_request(&s.h, PROTO_PAUSE, WAIT_MS), 0);
	finish(&s);
}

/* S7. */

static char *slurp(pid_t pid, pid_t tid, const char *name)
{
	static char text[65536];
	char path[128];
	size_t n;
	FILE *f;

	if (tid)
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	else
		(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	f = fopen(path, "re");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	(void)fclose(f);
	return text;
}

static const char *field(const char *text, const char *key)
{
	static char value[256];
	const char *p = strstr(text, key);

	assert_non_null(p);
	p += strlen(key);
	p += strspn(p, " \t");
	(void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(p, "\n"), p);
	/* "Groups:" ends in a blank. */
	if (*value && value[strlen(value) - 1] == ' ')
		value[strlen(value) - 1] = 0;
	return value;
}

static void check_maps(pid_t pid)
{
	char *save = NULL;

	for (char *line = strtok_r(slurp(pid, 0, "maps"), "\n", &save); line;
		line = strtok_r(NULL, "\n", &save)) {
		char perms[5];

		assert_int_equal(sscanf(line, "%*s %4s", perms), 1);
		if (perms[1] == 'w' && perms[2] == 'x')
			fail_msg("writable and executable: %s", line);
	}
}

static void check_fds(pid_t pid)
{
	static const char *const known[] = {"socket:", "anon_inode:[eventfd]",
		"anon_inode:[eventpoll]", "anon_inode:[timerfd]", "anon_inode:kvm-vm",
		"anon_inode:kvm-vcpu", "/memfd:", "/null", "guest-spin.elf",
		"anon_inode:[io_uring]"};
	char path[300], target[256];
	struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		bool found = false;
		ssize_t n;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%.16s", pid, e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		assert_true(n > 0);
		target[n] = 0;
		for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
			found |= strstr(target, known[i]) != NULL;
		if (!found)
			fail_msg("fd %s is %s", e->d_name, target);
		/* The device that could make another vm is gone. */
		assert_null(strstr(target, "/dev/kvm"));
	}
	(void)closedir(d);
}

static ino_t ns_of(pid_t pid, const char *name)
{
	char path[64];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static void test_s7_inventory(void **state)
{
	static const char *const namespaces[] = {"mnt", "pid", "net", "ipc", "uts", "cgroup"};
	struct subject s;
	char *text;
	unsigned lines = 0;

	(void)state;
	start(&s, 0, 7);
	for (unsigned t = 0; t < s.n_tids; t++) {
		char uid[64];

		text = slurp(s.h.pid, s.tids[t], "status");
		assert_string_equal(field(text, "CapEff:"), "0000000000000000");
		assert_string_equal(field(text, "CapPrm:"), "0000000000000000");
		assert_string_equal(field(text, "CapBnd:"), "0000000000000000");
		assert_string_equal(field(text, "CapAmb:"), "0000000000000000");
		assert_string_equal(field(text, "NoNewPrivs:"), "1");
		assert_string_equal(field(text, "Seccomp:"), "2");
		assert_string_equal(field(text, "Groups:"), "");
		(void)snprintf(uid, sizeof(uid), "%u\t%u\t%u\t%u", JAIL_UID_BASE + 7,
			JAIL_UID_BASE + 7, JAIL_UID_BASE + 7, JAIL_UID_BASE + 7);
		assert_string_equal(field(text, "Uid:"), uid);
		assert_string_equal(field(text, "Gid:"), uid);
	}
	for (const char *p = slurp(s.h.pid, 0, "mountinfo"); *p; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 1);
	assert_non_null(strstr(slurp(s.h.pid, 0, "mountinfo"), " ro,"));
	for (unsigned i = 0; i < ARRAY_SIZE(namespaces); i++)
		assert_true(ns_of(s.h.pid, namespaces[i]) != ns_of(getpid(), namespaces[i]));
	check_maps(s.h.pid);
	check_fds(s.h.pid);
	text = slurp(s.h.pid, 0, "limits");
	assert_non_null(strstr(text, "Max core file size        0 "));
	finish(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_s1_sweep),
		cmocka_unit_test(test_s2_arguments),
		cmocka_unit_test(test_s3_kill),
		cmocka_unit_test(test_s6_other_layers),
		cmocka_unit_test(test_s7_inventory),
	};

	if (argc < 3) {
		fprintf(stderr, "usage: test-sandbox WORKER GUESTS [FILTER]\n");
		return 2;
	}
	worker_path = argv[1];
	guest_dir = argv[2];
	if (access("/dev/kvm", R_OK | W_OK) < 0 || geteuid() != 0) {
		printf("needs root and /dev/kvm\n");
		return 77;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
