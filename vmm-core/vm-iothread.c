/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Iothreads: threads with a loop that disks have for a home (device.h). See vm.h.
 *
 * All that there can ever be are made at the start: the sandbox lets none be made later. So there are VM_SPARE_IOTHREADS more than were
 * asked for; one without an id is a spare, sleeps, and is all that another one is. Which one it is is said by the thread's name, by
 * which the host finds it; the thread gives it to itself, and the vm's owner hears of it then.
 *
 * Threads: an iothread has its loop's lock and no other; what it shares with the main loop is under that.
 *
 * Tested by tests/unit/test-vm-iothread.c and tests/guest/test-guests.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "vmm-core/base/strutil.h"
#include "vmm-core/vm.h"

static int failed(char *reason, int error, const char *text)
{
	(void)snprintf(reason, PROTO_REASON_MAX, "%s", text);
	return error;
}

/* The threads. */

static void take_name(struct vm_iothread *t)
{
	char name[16];

	if (t->id)
		(void)snprintf(name, sizeof(name), "IO iothread%u", t->id % 10000);
	else
		(void)snprintf(name, sizeof(name), "IO spare");
	(void)prctl(PR_SET_NAME, name);
	t->named = t->id;
}

static void on_bell(void *opaque, uint32_t events)
{
	struct vm_iothread *t = opaque;
	uint64_t count;

	(void)events;
	(void)!read(t->bell_fd, &count, sizeof(count));
	if (t->quit) {
		loop_exit(t->loop, 0);
		return;
	}
	take_name(t);
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

	loop_lock(t->loop);
	take_name(t);
	loop_unlock(t->loop);
	r = t->vm->owner->enter_iothread_sandbox(t->vm->owner->opaque);
	(void)sem_post(&t->ready);
	if (r < 0) {
		fail(t, "close its sandbox", r);
		return NULL;
	}
	r = loop_run(t->loop);
	if (r < 0)
		fail(t, "wait for anything", r);
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

static int start(struct vm_iothread *t)
{
	pthread_attr_t attr;
	int r = loop_new(&t->loop);

	if (r < 0)
		return r;
	(void)sem_init(&t->ready, 0, 0);
	loop_set_locking(t->loop, true);
	if (t->vm->stats)
		loop_set_ledger(t->loop, t->vm->stats->loop_ns);
	r = add_bell(t);
	if (r < 0)
		return r;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, KIB(128));
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

int vm_iothreads_start(struct vm *vm, char *ret_reason)
{
	unsigned n = vm->config.n_iothreads + VM_SPARE_IOTHREADS;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < n; i++) {
		struct vm_iothread *t = &vm->iothreads[i];

		*t = (struct vm_iothread){.vm = vm, .bell_fd = -EBADF, .named = UINT32_MAX};
		if (i < vm->config.n_iothreads)
			t->id = vm->config.iothreads[i];
		vm->n_iothreads = i + 1;
		r = start(t);
	}
	if (r < 0)
		(void)snprintf(ret_reason, PROTO_REASON_MAX, "an iothread: %s", strerror(-r));
	return r;
}

void vm_iothreads_wait(struct vm *vm)
{
	for (unsigned i = 0; i < vm->n_iothreads; i++)
		while (sem_wait(&vm->iothreads[i].ready) < 0 && errno == EINTR)
			;
}

void vm_iothreads_stop(struct vm *vm)
{
	for (unsigned i = 0; i < vm->n_iothreads; i++) {
		struct vm_iothread *t = &vm->iothreads[i];

		if (!t->started)
			continue;
		loop_lock(t->loop);
		t->quit = true;
		loop_unlock(t->loop);
		ring(t);
		(void)pthread_join(t->thread, NULL);
		t->started = false;
	}
}

void vm_iothreads_free(struct vm *vm)
{
	vm_iothreads_stop(vm);
	while (vm->n_iothreads) {
		struct vm_iothread *t = &vm->iothreads[--vm->n_iothreads];

		t->bell = loop_source_remove(t->bell);
		t->bell_fd = safe_close(t->bell_fd);
		t->loop = loop_free(t->loop);
	}
}

/* Which there are. */

static struct vm_iothread *find(struct vm *vm, uint32_t id)
{
	for (unsigned i = 0; i < vm->n_iothreads; i++)
		if (vm->iothreads[i].id == id)
			return &vm->iothreads[i];
	return NULL;
}

struct loop *vm_iothread_loop(struct vm *vm, uint32_t id)
{
	struct vm_iothread *t = id ? find(vm, id) : NULL;

	return t ? t->loop : NULL;
}

static void give_id(struct vm_iothread *t, uint32_t id, uint32_t tag)
{
	loop_lock(t->loop);
	t->id = id;
	t->tag = tag;
	t->settling = true;
	loop_unlock(t->loop);
	ring(t);
}

int vm_iothread_add(struct vm *vm, uint32_t id, uint32_t tag, char *ret_reason)
{
	struct vm_iothread *spare = find(vm, 0);

	if (vm->state == PROTO_VM_STOPPED)
		return failed(ret_reason, -EINVAL, "the vm has stopped");
	if (id < 1 || id > VM_MAX_IOTHREAD_ID)
		return failed(ret_reason, -EINVAL, "no iothread has such an id");
	if (find(vm, id))
		return failed(ret_reason, -EEXIST, "there is an iothread of this id");
	if (!spare)
		return failed(ret_reason, -ENOSPC,
			"the worker has no thread left: more can be there from the next start on");
	if (spare->settling)
		return failed(ret_reason, -EBUSY, "the thread is being taken away just now");
	give_id(spare, id, tag);
	return 0;
}

int vm_iothread_remove(struct vm *vm, uint32_t id, uint32_t tag, char *ret_reason)
{
	struct vm_iothread *t = id ? find(vm, id) : NULL;

	if (!t)
		return failed(ret_reason, -ENOENT, "there is no iothread of this id");
	for (uint32_t i = 0; i < vm->config.n_disks; i++)
		if (vm->config.disks[i].iothread == id) {
			(void)snprintf(ret_reason, PROTO_REASON_MAX, "it is used by disk '%s'",
				vm->config.disks[i].target);
			return -EBUSY;
		}
	if (t->settling)
		return failed(ret_reason, -EBUSY, "the thread is being added just now");
	give_id(t, 0, tag);
	return 0;
}

void vm_collect_iothreads(struct vm *vm)
{
	for (unsigned i = 0; i < vm->n_iothreads; i++) {
		struct vm_iothread *t = &vm->iothreads[i];
		bool settled;

		loop_lock(t->loop);
		settled = t->settling && t->named == t->id;
		t->settling &= !settled;
		loop_unlock(t->loop);
		if (settled)
			vm->owner->iothread_settled(vm->owner->opaque, t->tag);
	}
}
