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
	struct process_times first[3] = {{9, 9, 9}, {9, 9, 9}, {9, 9, 9}}, then[3];
	struct timespec nap = {.tv_nsec = 1000000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		start(&threads[i]);
	assert_int_equal(process_vcpu_times(getpid(), first, 3, true), 0);
	assert_int_equal(first[1].run_ns, 0);
	for (unsigned i = 0; i < 5000; i++) {
		(void)nanosleep(&nap, NULL);
		assert_int_equal(process_vcpu_times(getpid(), then, 3, true), 0);
		if (then[2].run_ns > first[2].run_ns + 20000000)
			break;
	}
	assert_true(then[2].run_ns > first[2].run_ns + 20000000);
	assert_true(then[0].run_ns < then[2].run_ns);
	/* Where the host counts it, it is what the delay is. */
	assert_true(then[2].wait_ns <= 2 * then[2].delay_ns + 100000000);
	assert_int_equal(then[1].run_ns, 0);
	stop = true;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_join(threads[i].id, NULL), 0);
}

static void test_gone(void **state)
{
	struct process_usage usage;
	struct process_times a = {9, 9, 9};
	uint64_t ticks;
	pid_t pid = fork();
	int fd;

	(void)state;
	if (pid == 0) {
		pause();
		_exit(0);
	}
	assert_int_equal(process_start_time(pid, &ticks), 0);
	assert_true(ticks > 0);
	assert_int_equal(process_usage(pid, &usage), 0);
	assert_int_equal(usage.threads, 1);
	assert_int_equal(usage.guest_ns, 0);
	assert_true(usage.resident_bytes >= 4096);
	fd = process_open(pid);
	assert_true(fd >= 0);
	assert_false(process_is_gone(fd));
	assert_int_equal(process_kill(fd), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(process_is_gone(fd));
	assert_int_equal(process_kill(fd), -ESRCH);
	close(fd);
	assert_int_equal(process_start_time(pid, &ticks), -ESRCH);
	assert_int_equal(process_vcpu_times(pid, &a, 1, true), -ESRCH);
	assert_int_equal(a.run_ns, 0);
	assert_int_equal(process_usage(pid, &usage), -ESRCH);
	assert_int_equal(process_count_fds(pid), -ESRCH);
}

/* Of this process, which is not idle: resident memory as statm has it, and one fd more when one is opened. */
static void test_usage(void **state)
{
	struct process_usage usage;
	unsigned long size, resident;
	int n = process_count_fds(getpid()), fd = dup(0);
	FILE *f = fopen("/proc/self/statm", "re");

	(void)state;
	assert_true(n > 0 && fd >= 0);
	assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
	assert_int_equal(process_count_fds(getpid()), n + 2);
	fclose(f);
	close(fd);
	assert_int_equal(process_usage(getpid(), &usage), 0);
	assert_in_range(usage.resident_bytes / 4096, resident / 2, resident * 2);
	/* The threads of the test before this one worked. */
	assert_true(usage.user_ns > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vcpu_times),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
