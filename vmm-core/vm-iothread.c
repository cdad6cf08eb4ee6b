/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Iothreads: threads with a loop that disks have for a home (device.h). See vm.h.
 *
 * One that is added while the guest runs is made by the main loop's thread, whose sandbox lets it make threads of this process and nothing
 * else (seccomp-table.c); it begins with that thread's sandbox, gives itself its name, by which the host finds it, and closes its own
 * on top of that. Then the vm's owner hears of it; or when one that was taken away has ended. Nobody waits for either.
 *
 * A worker has made threads before, its vCPUs': at the first one the C library does what the sandbox does not allow.
 *
 * Stacks are made here, with a page below that nobody may touch: the C library would have to change the rights of its own, and that
 * (mprotect) is no thread's.
 *
 * Threads: an iothread has its loop's lock and no other; what it shares with the main loop is under that.
 *
 * Tested by tests/unit/test-vm-iothread.c, tests/unit/test-iothread-sandbox.c and tests/guest/test-guests.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmm-core/base/strutil.h"
#include "vmm-core/vm.h"

#define STACK_SIZE KIB(128)
#define GUARD_SIZE KIB(4)

static int failed(char *reason, int error, const char *text)
{
	(void)snprintf(reason, PROTO_REASON_MAX, "%s", text);
	return error;
}

/* The threads. */

static void take_name(const struct vm_iothread *t)
{
	char name[16];

	(void)snprintf(name, sizeof(name), "IO iothread%u", t->id % 10000);
	(void)prctl(PR_SET_NAME, name);
}

static void on_bell(void *opaque, uint32_t events)
{
	struct vm_iothread *t = opaque;
	uint64_t count;

	(void)events;
	(void)!read(t->bell_fd, &count, sizeof(count));
	if (t->quit)
		loop_exit(t->loop, 0);
}

/* The thread is there, or is about to end: somebody may wait for that. */
static void say(struct vm_iothread *t, bool is_there)
{
	bool settling;

	loop_lock(t->loop);
	t->is_there = is_there;
	settling = t->settling;
	loop_unlock(t->loop);
	/* From here on it may be joined, or given back: 'vm' stays. */
	if (settling)
		machine_request(&t->vm->machine, MACHINE_IOTHREADS, 0);
}

static void fail(struct vm_iothread *t, const char *what, int error)
{
	const struct vcpu_host *host = &t->vm->vcpu_host;
	struct vcpu_failure failure;

	(void)snprintf(failure.text, sizeof(failure.text), "an iothread cannot %s: error %d", what,
		-error);
	host->failed(host->opaque, &failure);
}

static void *iothread(void *arg)
{
	struct vm_iothread *t = arg;
	int r;

	take_name(t);
	r = t->vm->owner->enter_iothread_sandbox(t->vm->owner->opaque);
	if (r < 0) {
		(void)sem_post(&t->ready);
		fail(t, "close its sandbox", r);
		return NULL;
	}
	say(t, true);
	(void)sem_post(&t->ready);
	r = loop_run(t->loop);
	if (r < 0)
		fail(t, "wait for anything", r);
	say(t, false);
	return NULL;
}

static void ring(const struct vm_iothread *t)
{
	uint64_t one = 1;

	(void)!write(t->bell_fd, &one, sizeof(one));
}

/* Life. */

static int add_bell(struct vm_iothread *t)
{
	unsigned account;
	int r;

	t->bell_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->bell_fd < 0)
		return -errno;
	account = loop_set_account(t->loop, LOOP_NO_ACCOUNT);
	r = loop_add_fd(t->loop, t->bell_fd, EPOLLIN, on_bell, t, &t->bell);
	(void)loop_set_account(t->loop, account);
	return r;
}

static int make_stack(void **ret_stack)
{
	char *base = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	if (mmap(base + GUARD_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_STACK, -1, 0) == MAP_FAILED) {
		int r = -errno;

		(void)munmap(base, GUARD_SIZE + STACK_SIZE);
		return r;
	}
	*ret_stack = base;
	return 0;
}

static int make_thread(struct vm_iothread *t)
{
	pthread_attr_t attr;
	int r;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstack(&attr, (char *)t->stack + GUARD_SIZE, STACK_SIZE);
	/* Held, so that the thread finds the loop to be its own. */
	loop_lock(t->loop);
	r = pthread_create(&t->thread, &attr, iothread, t);
	if (r == 0) {
		t->started = true;
		loop_give(t->loop, t->thread);
	}
	loop_unlock(t->loop);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

static int start(struct vm_iothread *t)
{
	int r = loop_new(&t->loop);

	if (r < 0)
		return r;
	(void)sem_init(&t->ready, 0, 0);
	loop_set_locking(t->loop, true);
	if (t->vm->stats)
		loop_set_ledger(t->loop, t->vm->stats->loop_ns);
	r = add_bell(t);
	if (r == 0)
		r = make_stack(&t->stack);
	return r < 0 ? r : make_thread(t);
}

/* Its thread has ended, or was never made. */
static void give_back(struct vm_iothread *t)
{
	t->bell = loop_source_remove(t->bell);
	t->bell_fd = safe_close(t->bell_fd);
	t->loop = loop_free(t->loop);
	if (t->stack)
		(void)munmap(t->stack, GUARD_SIZE + STACK_SIZE);
	*t = (struct vm_iothread){.vm = t->vm, .bell_fd = -EBADF};
}

static void begin(struct vm *vm, struct vm_iothread *t, uint32_t id)
{
	*t = (struct vm_iothread){.vm = vm, .bell_fd = -EBADF, .id = id};
}

int vm_iothreads_start(struct vm *vm, char *ret_reason)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < vm->config.n_iothreads; i++) {
		begin(vm, &vm->iothreads[i], vm->config.iothreads[i]);
		r = start(&vm->iothreads[i]);
	}
	if (r < 0)
		(void)snprintf(ret_reason, PROTO_REASON_MAX, "an iothread: %s", strerror(-r));
	return r;
}

void vm_iothreads_wait(struct vm *vm)
{
	for (unsigned i = 0; i < VM_MAX_IOTHREADS; i++)
		while (vm->iothreads[i].started && sem_wait(&vm->iothreads[i].ready) < 0 &&
			errno == EINTR)
			;
}

static void quit(struct vm_iothread *t)
{
	loop_lock(t->loop);
	t->quit = true;
	loop_unlock(t->loop);
	ring(t);
}

void vm_iothreads_stop(struct vm *vm)
{
	for (unsigned i = 0; i < VM_MAX_IOTHREADS; i++) {
		struct vm_iothread *t = &vm->iothreads[i];

		if (!t->started)
			continue;
		quit(t);
		(void)pthread_join(t->thread, NULL);
		t->started = false;
	}
}

void vm_iothreads_free(struct vm *vm)
{
	vm_iothreads_stop(vm);
	for (unsigned i = 0; i < VM_MAX_IOTHREADS; i++)
		if (vm->iothreads[i].id)
			give_back(&vm->iothreads[i]);
}

/* Which there are. 0: a free place. */

static struct vm_iothread *find(struct vm *vm, uint32_t id)
{
	for (unsigned i = 0; i < VM_MAX_IOTHREADS; i++)
		if (vm->iothreads[i].id == id)
			return &vm->iothreads[i];
	return NULL;
}

struct loop *vm_iothread_loop(struct vm *vm, uint32_t id)
{
	struct vm_iothread *t = id ? find(vm, id) : NULL;

	return t ? t->loop : NULL;
}

int vm_iothread_add(struct vm *vm, uint32_t id, uint32_t tag, char *ret_reason)
{
	struct vm_iothread *t = find(vm, 0);
	int r;

	if (vm->state == PROTO_VM_STOPPED)
		return failed(ret_reason, -EINVAL, "the vm has stopped");
	if (id < 1 || id > VM_MAX_IOTHREAD_ID)
		return failed(ret_reason, -EINVAL, "no iothread has such an id");
	if (find(vm, id))
		return failed(ret_reason, -EEXIST, "there is an iothread of this id");
	if (!t)
		return failed(ret_reason, -ENOSPC, "the vm has as many iothreads as there can be");
	begin(vm, t, id);
	t->settling = true;
	t->tag = tag;
	r = start(t);
	if (r == 0)
		return 0;
	(void)snprintf(ret_reason, PROTO_REASON_MAX, "the host makes no thread: %s", strerror(-r));
	give_back(t);
	return r;
}

int vm_iothread_remove(struct vm *vm, uint32_t id, uint32_t tag, char *ret_reason)
{
	struct vm_iothread *t = id ? find(vm, id) : NULL;
	bool settling;

	if (!t)
		return failed(ret_reason, -ENOENT, "there is no iothread of this id");
	for (uint32_t i = 0; i < vm->config.n_disks; i++)
		if (vm->config.disks[i].iothread == id) {
			(void)snprintf(ret_reason, PROTO_REASON_MAX, "it is used by disk '%s'",
				vm->config.disks[i].target);
			return -EBUSY;
		}
	loop_lock(t->loop);
	settling = t->settling;
	if (!settling) {
		t->settling = true;
		t->tag = tag;
	}
	loop_unlock(t->loop);
	if (settling)
		return failed(ret_reason, -EBUSY, "the thread comes or goes just now");
	quit(t);
	return 0;
}

/* What was asked of it is done: it has come, or gone. */
static bool has_settled(struct vm_iothread *t)
{
	bool settled;

	loop_lock(t->loop);
	settled = t->settling && t->is_there != t->quit;
	t->settling &= !settled;
	loop_unlock(t->loop);
	return settled;
}

void vm_collect_iothreads(struct vm *vm)
{
	for (unsigned i = 0; i < VM_MAX_IOTHREADS; i++) {
		struct vm_iothread *t = &vm->iothreads[i];
		uint32_t tag = t->tag;

		if (!t->started || !has_settled(t))
			continue;
		if (t->quit) {
			/* It has nothing left to do. */
			(void)pthread_join(t->thread, NULL);
			give_back(t);
		}
		vm->owner->iothread_settled(vm->owner->opaque, tag);
	}
}
