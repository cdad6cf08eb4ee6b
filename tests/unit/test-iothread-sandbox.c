/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread with the sandbox of a worker's main loop, which kills whoever does what is not allowed, makes iothreads, as many as there can be, and
 * lets them end, twice over; each closes its own sandbox. Linked as the worker is, since what the C library asks of the kernel for a thread is
 * part of it. And the same thread makes no process, and no thread with other flags.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <malloc.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm-core/sandbox.h"
#include "vmm-core/vm.h"

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			static const char text[] = #condition "\n";                                \
			(void)!write(STDERR_FILENO, text, sizeof(text) - 1);                       \
			(void)syscall(SYS_exit_group, 1);                                          \
		}                                                                                  \
	} while (0)

static struct vm vm;
static int request_fd;
static unsigned n_settled;

static int enter_sandbox(void *opaque)
{
	(void)opaque;
	return sandbox_enter_thread(SECCOMP_IOTHREAD, SANDBOX_KILL);
}

static void on_settled(void *opaque, uint32_t tag)
{
	(void)opaque;
	(void)tag;
	n_settled++;
}

static void on_request(void *opaque, enum machine_request request, int arg)
{
	uint64_t one = 1;

	(void)opaque;
	(void)request;
	(void)arg;
	(void)!write(request_fd, &one, sizeof(one));
}

static void on_failed(void *opaque, const struct vcpu_failure *failure)
{
	(void)opaque;
	(void)failure;
	CHECK(!"an iothread failed");
}

static const struct machine_ops machine_ops = {.request = on_request};
static const struct vm_owner owner = {
	.iothread_settled = on_settled, .enter_iothread_sandbox = enter_sandbox};

static void settle(unsigned n)
{
	uint64_t count;

	for (n_settled = 0; n_settled < n;) {
		CHECK(read(request_fd, &count, sizeof(count)) == sizeof(count));
		vm_collect_iothreads(&vm);
	}
}

static void come_and_go(void)
{
	char reason[PROTO_REASON_MAX];

	for (uint32_t id = 1; id <= VM_MAX_IOTHREADS; id++)
		CHECK(vm_iothread_add(&vm, id, id, reason) == 0);
	CHECK(vm_iothread_add(&vm, 100, 100, reason) == -ENOSPC);
	settle(VM_MAX_IOTHREADS);
	for (uint32_t id = 1; id <= VM_MAX_IOTHREADS; id++)
		CHECK(vm_iothread_remove(&vm, id, id, reason) == 0);
	settle(VM_MAX_IOTHREADS);
}

/* As worker-main.c does. */
static void enter_loop_sandbox(void)
{
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	CHECK(sandbox_enter_thread(SECCOMP_LOOP, SANDBOX_KILL) == 0);
}

static void *nothing(void *arg)
{
	return arg;
}

/* As a worker has vCPUs before it closes its sandbox: the C library prepares itself at the first thread. */
static void make_first_thread(void)
{
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, nothing, NULL) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

static void threads(void)
{
	(void)mallopt(M_ARENA_MAX, 1);
	request_fd = eventfd(0, EFD_CLOEXEC);
	vm.owner = &owner;
	vm.state = PROTO_VM_RUNNING;
	vm.machine.ops = &machine_ops;
	vm.vcpu_host.failed = on_failed;
	make_first_thread();
	enter_loop_sandbox();
	come_and_go();
	come_and_go();
}

static void make_process(void)
{
	enter_loop_sandbox();
	(void)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void make_other_thread(void)
{
	enter_loop_sandbox();
	(void)syscall(SYS_clone, CLONE_VM | CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0);
}

/* Its flags cannot be seen: there is none. */
static void make_by_clone3(void)
{
	enter_loop_sandbox();
	CHECK(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
}

static void make_executable(void)
{
	enter_loop_sandbox();
	(void)syscall(SYS_mprotect, &vm, 4096, 7);
}

static int run(const char *name, void (*body)(void), int killed_by)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		body();
		(void)syscall(SYS_exit_group, 0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	if (killed_by ? WIFSIGNALED(status) && WTERMSIG(status) == killed_by
		      : WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		printf("%s: as it is to be\n", name);
		return 0;
	}
	printf("%s: status 0x%x\n", name, status);
	return 1;
}

int main(void)
{
	int failed = run("iothreads come and go", threads, 0);

	failed |= run("a process", make_process, SIGSYS);
	failed |= run("a thread with other flags", make_other_thread, SIGSYS);
	failed |= run("clone3", make_by_clone3, 0);
	failed |= run("rights of memory", make_executable, SIGSYS);
	return failed;
}
