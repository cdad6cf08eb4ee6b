/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The n-th ioctl of KVM fails, from the worker's first to the guest's end (each of the start's, each third of the resets',
 * which are alike): the start is refused with the step's
 * name, or the vm stops with a reason, or the guest's end is what it is without. The worker never hangs, is never killed by a
 * signal, and never says that all is well with a machine that is not whole.
 *
 *	test-kvm-faults WORKER GUESTS [STEP]	of these each STEP-th only, where a start takes long
 *
 * The worker is traced, all its threads. The ioctl that is to fail gets no file descriptor, so that the kernel refuses it, and
 * its result is replaced on the way out.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "tests/guest/guests.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "tests/unit/tally.h"

/* About as many are made before the guest resets for the first time. */
#define OF_START 130

static unsigned step = 1;

struct tracer {
	pid_t pid;
	unsigned fail_at; /* from 1 on */
	int error;
	sem_t ready;
	unsigned n;            /* ioctls of KVM so far */
	unsigned long request; /* the one that failed; 0: there were not that many */
	int status;            /* how the worker ended */
};

static void set_register(pid_t thread, size_t offset, long value)
{
	assert_int_equal(ptrace(PTRACE_POKEUSER, thread, offset, value), 0);
}

/* A call begins, or ends. */
static void on_call(struct tracer *t, pid_t thread, pid_t *victim)
{
	struct __ptrace_syscall_info info;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof(info), &info) < 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_EXIT && thread == *victim) {
		set_register(thread, offsetof(struct user_regs_struct, rax), -t->error);
		*victim = 0;
	} else if (info.op == PTRACE_SYSCALL_INFO_ENTRY && info.entry.nr == SYS_ioctl &&
		_IOC_TYPE(info.entry.args[1]) == KVMIO && ++t->n == t->fail_at) {
		t->request = (unsigned long)info.entry.args[1];
		*victim = thread;
		set_register(thread, offsetof(struct user_regs_struct, rdi), -1);
	}
}

/* ptrace() is for the thread alone that began it. */
static void *trace(void *arg)
{
	struct tracer *t = arg;
	pid_t thread, victim = 0;
	int status;

	assert_int_equal(ptrace(PTRACE_SEIZE, t->pid, NULL,
				 PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL),
		0);
	assert_int_equal(ptrace(PTRACE_INTERRUPT, t->pid, NULL, NULL), 0);
	sem_post(&t->ready);
	while ((thread = waitpid(-1, &status, __WALL)) > 0) {
		int signal = 0;

		if (!WIFSTOPPED(status)) {
			if (thread == t->pid)
				t->status = status;
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			on_call(t, thread, &victim);
		else if (status >> 16 == 0)
			signal = WSTOPSIG(status);
		(void)ptrace(PTRACE_SYSCALL, thread, NULL, (long)signal);
	}
	return NULL;
}

/* What is said of the failure, or NULL where the guest came to its own end. */
static const char *outcome(struct harness *h, int r)
{
	if (r < 0) {
		if (!*h->error || r == -ETIMEDOUT)
			fail_msg("refused with %d '%s'", r, h->error);
		return h->error;
	}
	r = harness_wait(h, PROTO_VM_STOPPED, WAIT_MS);
	if (r < 0)
		fail_msg("neither runs nor stops: %s", h->error);
	if (h->state.reason == PROTO_REASON_DEBUG_EXIT) {
		assert_int_equal(h->state.code, 0);
		return NULL;
	}
	assert_true(*h->state.text);
	return h->state.text;
}

/* Returns whether there was such an ioctl. */
static bool fail_nth(unsigned n, int error, unsigned *n_refused, unsigned *n_passed)
{
	struct tracer t = {.fail_at = n, .error = error};
	struct harness h;
	const char *text;
	pthread_t thread;
	bool made;

	prepare(&h, "reset", "");
	h.config.vcpus = h.config.vcpus_max = 2;
	assert_int_equal(sem_init(&t.ready, 0, 0), 0);
	expect_ok(&h, harness_spawn(&h));
	t.pid = h.pid;
	assert_int_equal(pthread_create(&thread, NULL, trace, &t), 0);
	assert_int_equal(sem_wait(&t.ready), 0);
	text = outcome(&h, harness_send_start(&h));
	made = t.request;
	*n_refused += made && text;
	*n_passed += made && !text;
	assert_true(made || !text);
	/* The worker ends by itself, in order. */
	h.control_fd = safe_close(h.control_fd);
	assert_int_equal(pthread_join(thread, NULL), 0);
	if (!WIFEXITED(t.status))
		fail_msg("ioctl %u (%#lx): the worker ended by signal %d", n, t.request,
			WTERMSIG(t.status));
	sem_destroy(&t.ready);
	h.pid = 0;
	harness_done(&h);
	return made;
}

static void test_each(void **state)
{
	unsigned n = 1, refused = 0, passed = 0;

	(void)state;
	while (fail_nth(n, ENOMEM, &refused, &passed))
		n += n < OF_START ? step : 3 * step;
	printf("%u ioctls failed: %u with a reason, %u did no harm\n", refused + passed, refused,
		passed);
	tally(TALLY_FAULTS, refused + passed);
	assert_true(n > OF_START);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_each)};

	if (argc > 3)
		step = MAX((unsigned)strtoul(argv[3], NULL, 10), 1U);
	return guests_main(MIN(argc, 3), argv, tests);
}
