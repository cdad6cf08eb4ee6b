/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc says of a process: this one, with threads named as a worker names its own. */
#include "daemon/process.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

struct thread {
	pthread_t id;
	const char *name;
	bool busy;
};

static atomic_bool stop;

static void *work(void *arg)
{
	const struct thread *t = arg;
	struct timespec nap = {.tv_nsec = 1000000};

	while (!stop)
		if (!t->busy)
			(void)nanosleep(&nap, NULL);
	return NULL;
}

static void start(struct thread *t)
{
	assert_int_equal(pthread_create(&t->id, NULL, work, t), 0);
	assert_int_equal(pthread_setname_np(t->id, t->name), 0);
}

static void test_vcpu_times(void **state)
{
	struct thread threads[] = {
		{.name = "CPU 2/KVM", .busy = true},
		{.name = "CPU 0/KVM"},
		{.name = "CPU 7/KVM", .busy = true}, /* no such vCPU */
		{.name = "CPU 1/KVM2", .busy = true},
		{.name = "CPU -1/KVM"},
	};
	uint64_t first[3] = {9, 9, 9}, then[3];
	struct timespec nap = {.tv_nsec = 1000000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		start(&threads[i]);
	assert_int_equal(process_vcpu_times(getpid(), first, 3), 0);
	assert_int_equal(first[1], 0);
	for (unsigned i = 0; i < 5000; i++) {
		(void)nanosleep(&nap, NULL);
		assert_int_equal(process_vcpu_times(getpid(), then, 3), 0);
		if (then[2] > first[2] + 20000000)
			break;
	}
	assert_true(then[2] > first[2] + 20000000);
	assert_true(then[0] < then[2]);
	assert_int_equal(then[1], 0);
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_join(threads[i].id, NULL), 0);
}

static void test_gone(void **state)
{
	uint64_t a, b, ticks;
	pid_t pid = fork();
	int fd;

	(void)state;
	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(process_start_time(pid, &ticks), 0);
	assert_true(ticks > 0);
	assert_int_equal(process_cpu_time(pid, &a, &b), 0);
	fd = process_open(pid);
	assert_true(fd >= 0);
	assert_false(process_is_gone(fd));
	assert_int_equal(process_kill(fd), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(process_is_gone(fd));
	assert_int_equal(process_kill(fd), -ESRCH);
	close(fd);
	assert_int_equal(process_start_time(pid, &ticks), -ESRCH);
	assert_int_equal(process_vcpu_times(pid, &a, 1), -ESRCH);
	assert_int_equal(a, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vcpu_times),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
