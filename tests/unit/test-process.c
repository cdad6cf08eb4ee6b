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

/* One row of a table; the others stay where they are. */
static int pin(pid_t pid, uint32_t thread, const uint64_t *cpus)
{
	struct process_pin pins[] = {{.thread = PROCESS_OTHERS},
		{.thread = PROCESS_VCPU(0), .result = 7}, {.thread = PROCESS_VCPU(1)},
		{.thread = PROCESS_VCPU(2)}, {.thread = PROCESS_IOTHREAD(2)},
		{.thread = PROCESS_IOTHREAD(3)}};
	int r, result = 1;

	for (unsigned i = 0; i < ARRAY_SIZE(pins); i++)
		if (pins[i].thread == thread)
			pins[i].cpus = cpus;
	r = process_pin(pid, pins, ARRAY_SIZE(pins));
	for (unsigned i = 0; r == 0 && i < ARRAY_SIZE(pins); i++) {
		if (pins[i].thread == thread)
			result = pins[i].result;
		else
			assert_int_equal(pins[i].result, 0);
	}
	return r < 0 ? r : result;
}

/* vCPUs 0 and 2 have threads, of which 2's is 'thread'. The first CPU that we may use is one that they may. */
static void check_pins(pthread_t thread)
{
	uint64_t mine[CPUSET_WORDS], one[CPUSET_WORDS] = {0}, none[CPUSET_WORDS] = {0};
	struct process_vcpu v[3] = {{.tid = 9}, {.tid = 9}, {.tid = 9}};
	uint64_t other[CPUSET_WORDS] = {0};
	unsigned cpu = 0;
	cpu_set_t set;

	assert_int_equal(cpuset_of_thread(0, mine), 0);
	while (!(mine[cpu / 64] >> cpu % 64 & 1))
		cpu++;
	one[cpu / 64] = UINT64_C(1) << cpu % 64;
	assert_int_equal(pin(getpid(), PROCESS_VCPU(2), one), 0);
	assert_int_equal(process_vcpus(getpid(), v, 3), 0);
	assert_true(v[0].tid > 0 && !v[1].tid && v[2].tid > 0 && v[0].tid != v[2].tid);
	assert_memory_equal(v[2].cpus, one, sizeof(one));
	assert_memory_equal(v[0].cpus, mine, sizeof(mine));
	assert_int_equal(pthread_getaffinity_np(thread, sizeof(set), &set), 0);
	assert_true(CPU_COUNT(&set) == 1 && CPU_ISSET(cpu, &set));
	/* All others: this one too, and what looks like a vCPU's and is none. */
	assert_int_equal(pin(getpid(), PROCESS_OTHERS, one), 0);
	assert_int_equal(cpuset_of_thread(0, other), 0);
	assert_memory_equal(other, one, sizeof(one));
	assert_int_equal(process_vcpus(getpid(), v, 3), 0);
	assert_memory_equal(v[0].cpus, mine, sizeof(mine));
	/* Iothread 2 has no number that a vCPU has, and is not among the others either. */
	assert_int_equal(process_iothreads(getpid(), (uint32_t[]){3, 2}, v, 2), 0);
	assert_true(!v[0].tid && v[1].tid > 0 && v[1].run_ns > 0);
	assert_memory_equal(v[1].cpus, mine, sizeof(mine));
	assert_int_equal(pin(getpid(), PROCESS_IOTHREAD(2), one), 0);
	assert_int_equal(process_iothreads(getpid(), (uint32_t[]){2}, v, 1), 0);
	assert_memory_equal(v[0].cpus, one, sizeof(one));
	assert_int_equal(pin(getpid(), PROCESS_IOTHREAD(3), one), -ESRCH);
	/* The empty set is any CPU. */
	assert_int_equal(pin(getpid(), PROCESS_OTHERS, none), 0);
	assert_int_equal(pin(getpid(), PROCESS_VCPU(2), none), 0);
	assert_int_equal(cpuset_of_thread(0, other), 0);
	assert_int_equal(cpuset_first_outside(mine, other), -1);
	assert_int_equal(pin(getpid(), PROCESS_VCPU(1), one), -ESRCH);
	none[CPUSET_WORDS - 1] = UINT64_C(1) << 63;
	assert_int_equal(pin(getpid(), PROCESS_VCPU(0), none), -EINVAL);
}

static void test_vcpu_times(void **state)
{
	struct thread threads[] = {
		{.name = "CPU 2/KVM", .busy = true},
		{.name = "CPU 0/KVM"},
		{.name = "CPU 7/KVM", .busy = true}, /* no such vCPU */
		{.name = "CPU 1/KVM2", .busy = true},
		{.name = "CPU -1/KVM"},
		{.name = "IO iothread2", .busy = true},
		{.name = "IO iothread"},
		{.name = "IO iothread3x"},
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
	check_pins(threads[0].id);
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
	assert_int_equal(pin(pid, PROCESS_OTHERS, (uint64_t[CPUSET_WORDS]){1}), -ESRCH);
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

/* A process with threads as a worker has them, for as long as 'pipe' is open. */
static void be_worker(int fd)
{
	struct thread threads[] = {{.name = "CPU 0/KVM", .busy = true},
		{.name = "IO iothread1", .busy = true}, {.name = "iou-wrk-1", .busy = true}};
	char c;

	stop = false;
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		start(&threads[i]);
	_exit((int)read(fd, &c, 1));
}

/* Each thread's time is in one of the parts, and their sum is the process' within 3 %. */
static void test_split(void **state)
{
	struct process_split s = {0};
	uint64_t before = 0, after = 0, sum = 0;
	int fds[2], status;
	struct timespec ts;
	clockid_t clock;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		close(fds[1]);
		be_worker(fds[0]);
	}
	close(fds[0]);
	assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
	for (unsigned i = 0; i < 10000 &&
		(s.vcpu_ns < 100000000 || s.io_ns < 100000000 || s.iothread_ns < 50000000);
		i++) {
		(void)usleep(1000);
		assert_int_equal(clock_gettime(clock, &ts), 0);
		before = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
		assert_int_equal(process_split(pid, &s), 0);
		assert_int_equal(clock_gettime(clock, &ts), 0);
		after = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
		sum = s.guest_ns + s.vcpu_ns + s.loop_ns + s.iothread_ns + s.io_ns;
	}
	assert_true(s.vcpu_ns >= 100000000 && s.io_ns >= 100000000 && s.iothread_ns >= 50000000);
	assert_true(s.loop_ns > 0 && s.loop_ns < s.vcpu_ns);
	assert_int_equal(s.guest_ns, 0);
	/* /proc counts a running thread up to its last tick. */
	assert_in_range(sum, before - before * 3 / 100 - 2 * 10000000, after + after * 3 / 100);
	close(fds[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(process_split(pid, &s), -ESRCH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vcpu_times),
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
