/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Iothreads, as the vm keeps them: real threads, their names, who comes and goes, and what is refused. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm-core/base/strutil.h"
#include "vmm-core/vm.h"

struct fixture {
	struct vm vm;
	struct vm_owner owner;
	int sandbox_error;
	int request_fd, failed_fd;
	unsigned n_settled;
	uint32_t tag;
	char failure[160];
};

static int enter_sandbox(void *opaque)
{
	struct fixture *f = opaque;

	return f->sandbox_error;
}

static void on_settled(void *opaque, uint32_t tag)
{
	struct fixture *f = opaque;

	f->n_settled++;
	f->tag = tag;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void wait_fd(int fd)
{
	uint64_t count;

	assert_int_equal(read(fd, &count, sizeof(count)), sizeof(count));
}

static void on_request(void *opaque, enum machine_request request, int arg)
{
	struct fixture *f = opaque;

	(void)arg;
	assert_int_equal(request, MACHINE_IOTHREADS);
	signal_fd(f->request_fd);
}

static const struct machine_ops machine_ops = {.request = on_request};

static void on_failed(void *opaque, const struct vcpu_failure *failure)
{
	struct fixture *f = opaque;

	memcpy(f->failure, failure->text, sizeof(f->failure));
	signal_fd(f->failed_fd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->request_fd = eventfd(0, EFD_CLOEXEC);
	f->failed_fd = eventfd(0, EFD_CLOEXEC);
	f->owner = (struct vm_owner){.iothread_settled = on_settled,
		.enter_iothread_sandbox = enter_sandbox,
		.opaque = f};
	f->vm.owner = &f->owner;
	f->vm.state = PROTO_VM_RUNNING;
	f->vm.machine.ops = &machine_ops;
	f->vm.machine.ops_opaque = f;
	f->vm.vcpu_host = (struct vcpu_host){.failed = on_failed, .opaque = f};
	f->vm.config.n_iothreads = 2;
	f->vm.config.iothreads[0] = 1;
	f->vm.config.iothreads[1] = 7;
	f->vm.config.n_disks = 1;
	(void)strcpy(f->vm.config.disks[0].target, "vda");
	f->vm.config.disks[0].iothread = 7;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vm_iothreads_free(&f->vm);
	/* As vm_free() does: again does no harm. */
	vm_iothreads_stop(&f->vm);
	vm_iothreads_free(&f->vm);
	(void)close(f->request_fd);
	(void)close(f->failed_fd);
	free(f);
	return 0;
}

/* Threads of this process that are called so; "": all of them. */
static unsigned count_threads(const char *name)
{
	DIR *dir = opendir("/proc/self/task");
	unsigned n = 0;
	struct dirent *e;

	assert_non_null(dir);
	while ((e = readdir(dir))) {
		char path[300], line[64] = "";
		int fd;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		(void)!read(fd, line, sizeof(line) - 1);
		(void)close(fd);
		line[strcspn(line, "\n")] = 0;
		n += !*name || streq(line, name);
	}
	(void)closedir(dir);
	return n;
}

static void start(struct fixture *f)
{
	char reason[PROTO_REASON_MAX] = "";

	assert_int_equal(vm_iothreads_start(&f->vm, reason), 0);
	vm_iothreads_wait(&f->vm);
}

/* The request that is under way ends, with 'tag'. */
static void settle(struct fixture *f, uint32_t tag)
{
	unsigned before = f->n_settled;

	wait_fd(f->request_fd);
	vm_collect_iothreads(&f->vm);
	assert_int_equal(f->n_settled, before + 1);
	assert_int_equal(f->tag, tag);
}

static void test_names(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_int_equal(count_threads("IO iothread1"), 1);
	assert_int_equal(count_threads("IO iothread7"), 1);
	/* And no thread beside them and this one. */
	assert_int_equal(count_threads(""), 3);
	assert_non_null(vm_iothread_loop(&f->vm, 1));
	assert_ptr_not_equal(vm_iothread_loop(&f->vm, 1), vm_iothread_loop(&f->vm, 7));
	assert_null(vm_iothread_loop(&f->vm, 0));
	assert_null(vm_iothread_loop(&f->vm, 2));
	vm_iothreads_stop(&f->vm);
	assert_int_equal(count_threads("IO iothread1"), 0);
}

static void test_come_and_go(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];

	start(f);
	assert_int_equal(vm_iothread_add(&f->vm, 9, 100, reason), 0);
	settle(f, 100);
	assert_int_equal(count_threads("IO iothread9"), 1);
	assert_non_null(vm_iothread_loop(&f->vm, 9));
	/* As many as there can be, and no more. */
	for (uint32_t id = 100; id < 100 + VM_MAX_IOTHREADS - 3; id++) {
		assert_int_equal(vm_iothread_add(&f->vm, id, id, reason), 0);
		settle(f, id);
	}
	assert_int_equal(count_threads(""), 1 + VM_MAX_IOTHREADS);
	assert_int_equal(vm_iothread_add(&f->vm, 10, 101, reason), -ENOSPC);
	assert_non_null(strstr(reason, "as many iothreads as there can be"));
	/* One that goes makes room. */
	assert_int_equal(vm_iothread_remove(&f->vm, 1, 102, reason), 0);
	settle(f, 102);
	assert_int_equal(count_threads("IO iothread1"), 0);
	assert_int_equal(count_threads(""), VM_MAX_IOTHREADS);
	assert_null(vm_iothread_loop(&f->vm, 1));
	assert_int_equal(vm_iothread_add(&f->vm, 10, 103, reason), 0);
	settle(f, 103);
	assert_int_equal(count_threads("IO iothread10"), 1);
	/* Nobody waits any more: nothing is told twice. */
	vm_collect_iothreads(&f->vm);
	assert_int_equal(f->n_settled, VM_MAX_IOTHREADS);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX];
	struct loop *loop;

	start(f);
	assert_int_equal(vm_iothread_add(&f->vm, 0, 1, reason), -EINVAL);
	assert_int_equal(vm_iothread_add(&f->vm, VM_MAX_IOTHREAD_ID + 1, 1, reason), -EINVAL);
	assert_int_equal(vm_iothread_add(&f->vm, 7, 1, reason), -EEXIST);
	assert_int_equal(vm_iothread_remove(&f->vm, 0, 1, reason), -ENOENT);
	assert_int_equal(vm_iothread_remove(&f->vm, 2, 1, reason), -ENOENT);
	assert_int_equal(vm_iothread_remove(&f->vm, 7, 1, reason), -EBUSY);
	assert_string_equal(reason, "it is used by disk 'vda'");
	/* While the thread has not ended yet. */
	loop = vm_iothread_loop(&f->vm, 1);
	loop_lock(loop);
	assert_int_equal(vm_iothread_remove(&f->vm, 1, 2, reason), 0);
	assert_int_equal(vm_iothread_remove(&f->vm, 1, 3, reason), -EBUSY);
	assert_int_equal(vm_iothread_add(&f->vm, 1, 3, reason), -EEXIST);
	vm_collect_iothreads(&f->vm);
	assert_int_equal(f->n_settled, 0);
	loop_unlock(loop);
	settle(f, 2);
	f->vm.state = PROTO_VM_STOPPED;
	assert_int_equal(vm_iothread_add(&f->vm, 3, 1, reason), -EINVAL);
}

/* What is done at an iothread's loop is done by that thread. */
static void on_timer(struct loop_timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	assert_true(loop_is_mine(timer->loop));
	loop_exit(timer->loop, 0);
}

static void test_loop_is_its_own(void **state)
{
	struct fixture *f = *state;
	struct loop_timer timer;
	struct loop *loop;

	start(f);
	loop = vm_iothread_loop(&f->vm, 7);
	assert_false(loop_is_mine(loop));
	loop_timer_init(&timer, loop, on_timer);
	loop_lock(loop);
	assert_int_equal(loop_timer_set(&timer, 1), 0);
	loop_unlock(loop);
	assert_int_equal(pthread_join(f->vm.iothreads[1].thread, NULL), 0);
	f->vm.iothreads[1].started = false;
}

/* It has no loop without its sandbox. */
static void test_no_sandbox(void **state)
{
	struct fixture *f = *state;
	char reason[PROTO_REASON_MAX] = "";

	f->sandbox_error = -EPERM;
	f->vm.config.n_iothreads = 1;
	assert_int_equal(vm_iothreads_start(&f->vm, reason), 0);
	vm_iothreads_wait(&f->vm);
	wait_fd(f->failed_fd);
	assert_string_equal(f->failure, "an iothread cannot close its sandbox: error 1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
		cmocka_unit_test_setup_teardown(test_come_and_go, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loop_is_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_sandbox, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
