/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc says about a process: see process.h. */
#include "daemon/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"

#define MAX_THREADS 1024 /* that are looked at, however many a worker makes */

struct stat_fields {
	uint64_t utime, stime, start, rss_pages, guest_time;
	unsigned threads;
	int cpu;
};

/* 'path': of a process' or a thread's stat, below dir_fd. */
static int read_stat_at(int dir_fd, const char *path, struct stat_fields *ret)
{
	_cleanup_(freep) char *text = NULL;
	struct stat_fields s;
	char *p;
	int r;

	r = read_file(dir_fd, path, 4096, &text, NULL);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	/* The name may hold anything, parentheses too: the last one ends it. */
	p = strrchr(text, ')');
	if (!p ||
		sscanf(p + 1,
			" %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
			" %*d %*d %*d %*d %u %*d %" SCNu64 " %*u %" SCNu64
			" %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*u %*d %d %*u %*u %*u "
			"%" SCNu64,
			&s.utime, &s.stime, &s.threads, &s.start, &s.rss_pages, &s.cpu,
			&s.guest_time) != 7)
		return -EBADMSG;
	*ret = s;
	return 0;
}

static int read_stat(pid_t pid, struct stat_fields *ret)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	return read_stat_at(AT_FDCWD, path, ret);
}

int process_start_time(pid_t pid, uint64_t *ret_ticks)
{
	struct stat_fields s;
	int r = read_stat(pid, &s);

	if (r == 0)
		*ret_ticks = s.start;
	return r;
}

int process_usage(pid_t pid, struct process_usage *ret)
{
	uint64_t tick_ns = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	struct stat_fields s;
	int r = read_stat(pid, &s);

	if (r < 0)
		return r;
	*ret = (struct process_usage){
		.user_ns = s.utime * tick_ns,
		.system_ns = s.stime * tick_ns,
		.guest_ns = s.guest_time * tick_ns,
		.resident_bytes = s.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE),
		.threads = s.threads,
	};
	return 0;
}

/* The number in "CPU 7/KVM"; -EINVAL on another name. */
static int vcpu_of_name(const char *name, unsigned n)
{
	unsigned index;
	int used = 0;

	if (sscanf(name, "CPU %3u/KVM%n", &index, &used) != 1 || !used || name[used] != '\n' ||
		index >= n)
		return -EINVAL;
	return (int)index;
}

/* "IO iothread7" as well. PROCESS_OTHERS: neither. */
static uint32_t thread_of_name(const char *name)
{
	int vcpu = vcpu_of_name(name, UINT_MAX), used = 0;
	unsigned id;

	if (vcpu >= 0)
		return PROCESS_VCPU(vcpu);
	if (sscanf(name, "IO iothread%4u%n", &id, &used) == 1 && used && name[used] == '\n')
		return PROCESS_IOTHREAD(id);
	return PROCESS_OTHERS;
}

/* "wait_sum : 1234.567890" (milliseconds), in some kernels "se.statistics.wait_sum". */
static uint64_t read_wait(int task_fd, const char *tid)
{
	_cleanup_(freep) char *text = NULL;
	uint64_t ms, rest;
	char path[64];
	const char *p;

	(void)snprintf(path, sizeof(path), "%.20s/sched", tid);
	if (read_file(task_fd, path, 65536, &text, NULL) < 0)
		return 0;
	p = strstr(text, "wait_sum");
	if (!p || sscanf(p, "wait_sum%*[ :]%" SCNu64 ".%6" SCNu64, &ms, &rest) != 2)
		return 0;
	return ms * NSEC_PER_MSEC + rest;
}

/* A thread may end while we look: it counts as nothing. */
static void add_thread(
	int task_fd, const char *tid, struct process_times *ret_times, unsigned n, bool with_wait)
{
	_cleanup_(freep) char *name = NULL, *times = NULL;
	struct process_times t = {0};
	char path[64];
	int index;

	(void)snprintf(path, sizeof(path), "%.20s/comm", tid);
	if (read_file(task_fd, path, 256, &name, NULL) < 0)
		return;
	index = vcpu_of_name(name, n);
	(void)snprintf(path, sizeof(path), "%.20s/schedstat", tid);
	if (index < 0 || read_file(task_fd, path, 256, &times, NULL) < 0)
		return;
	if (sscanf(times, "%" SCNu64 " %" SCNu64, &t.run_ns, &t.delay_ns) != 2)
		return;
	if (with_wait)
		t.wait_ns = read_wait(task_fd, tid);
	ret_times[index] = t;
}

int process_vcpu_times(pid_t pid, struct process_times *ret_times, unsigned n, bool with_wait)
{
	unsigned left = MAX_THREADS;
	struct dirent *e;
	char path[64];
	DIR *dir;

	memset(ret_times, 0, n * sizeof(*ret_times));
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (left-- && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			add_thread(dirfd(dir), e->d_name, ret_times, n, with_wait);
	(void)closedir(dir);
	return 0;
}

/* 'thread': which one it is by its name. */
typedef void visit_thread(int task_fd, const char *tid, uint32_t thread, void *opaque);

static int for_each_thread(pid_t pid, visit_thread *visit, void *opaque)
{
	unsigned left = MAX_THREADS;
	struct dirent *e;
	char path[64];
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (left-- && (e = readdir(dir))) {
		_cleanup_(freep) char *name = NULL;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%.20s/comm", e->d_name);
		if (read_file(dirfd(dir), path, 256, &name, NULL) == 0)
			visit(dirfd(dir), e->d_name, thread_of_name(name), opaque);
	}
	(void)closedir(dir);
	return 0;
}

struct vcpu_walk {
	const uint32_t *ids; /* NULL: vCPUs 0 … n - 1 */
	struct process_vcpu *threads;
	unsigned n;
};

/* The place of a thread among those that are wanted. */
static struct process_vcpu *find_wanted(const struct vcpu_walk *walk, uint32_t thread)
{
	for (unsigned i = 0; i < walk->n; i++)
		if (thread == (walk->ids ? PROCESS_IOTHREAD(walk->ids[i]) : PROCESS_VCPU(i)))
			return &walk->threads[i];
	return NULL;
}

static uint64_t read_run_ns(int task_fd, const char *tid)
{
	_cleanup_(freep) char *times = NULL;
	uint64_t ns;
	char path[64];

	(void)snprintf(path, sizeof(path), "%.20s/schedstat", tid);
	if (read_file(task_fd, path, 256, &times, NULL) < 0 || sscanf(times, "%" SCNu64, &ns) != 1)
		return 0;
	return ns;
}

static void note_thread(int task_fd, const char *tid, uint32_t thread, void *opaque)
{
	const struct vcpu_walk *walk = opaque;
	struct process_vcpu v = {.tid = (pid_t)strtol(tid, NULL, 10)}, *place;
	struct stat_fields s;
	char path[64];

	place = find_wanted(walk, thread);
	(void)snprintf(path, sizeof(path), "%.20s/stat", tid);
	if (!place || read_stat_at(task_fd, path, &s) < 0 || cpuset_of_thread(v.tid, v.cpus) < 0)
		return;
	v.cpu = s.cpu;
	if (walk->ids)
		v.run_ns = read_run_ns(task_fd, tid);
	*place = v;
}

int process_iothreads(
	pid_t pid, const uint32_t *ids, struct process_vcpu *ret_iothreads, unsigned n)
{
	struct vcpu_walk walk = {ids, ret_iothreads, n};

	memset(ret_iothreads, 0, n * sizeof(*ret_iothreads));
	return for_each_thread(pid, note_thread, &walk);
}

int process_vcpus(pid_t pid, struct process_vcpu *ret_vcpus, unsigned n)
{
	struct vcpu_walk walk = {NULL, ret_vcpus, n};

	memset(ret_vcpus, 0, n * sizeof(*ret_vcpus));
	return for_each_thread(pid, note_thread, &walk);
}

struct pin_walk {
	struct process_pin *pins;
	unsigned n;
};

static void pin_thread(int task_fd, const char *tid, uint32_t thread, void *opaque)
{
	const struct pin_walk *walk = opaque;
	struct process_pin *pin = NULL;
	int r;

	(void)task_fd;
	for (unsigned i = 0; i < walk->n && !pin; i++)
		if (walk->pins[i].thread == thread)
			pin = &walk->pins[i];
	if (!pin || !pin->cpus)
		return;
	r = cpuset_apply_thread((int)strtol(tid, NULL, 10), pin->cpus);
	/* One that could be moved counts: of those that come and go, or are the kernel's, nobody promised anything. */
	if (pin->result < 0)
		pin->result = r;
}

int process_pin(pid_t pid, struct process_pin *pins, unsigned n)
{
	struct pin_walk walk = {pins, n};

	for (unsigned i = 0; i < n; i++)
		pins[i].result = pins[i].cpus ? -ESRCH : 0;
	return for_each_thread(pid, pin_thread, &walk);
}

/* A thread may end while we look: it counts as nothing. */
static void split_thread(int task_fd, const char *tid, pid_t pid, struct process_split *ret)
{
	_cleanup_(freep) char *name = NULL, *times = NULL;
	uint32_t thread;
	uint64_t tick_ns = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK), ns, guest_ns;
	struct stat_fields s;
	char path[64];

	(void)snprintf(path, sizeof(path), "%.20s/comm", tid);
	if (read_file(task_fd, path, 256, &name, NULL) < 0)
		return;
	(void)snprintf(path, sizeof(path), "%.20s/stat", tid);
	if (read_stat_at(task_fd, path, &s) < 0)
		return;
	(void)snprintf(path, sizeof(path), "%.20s/schedstat", tid);
	if (read_file(task_fd, path, 256, &times, NULL) < 0 || sscanf(times, "%" SCNu64, &ns) != 1)
		return;
	thread = thread_of_name(name);
	if (thread < PROCESS_IOTHREAD(0)) {
		guest_ns = MIN(s.guest_time * tick_ns, ns);
		ret->guest_ns += guest_ns;
		ret->vcpu_ns += ns - guest_ns;
	} else if (strtol(tid, NULL, 10) == pid) {
		ret->loop_ns += ns;
	} else if (thread != PROCESS_OTHERS) {
		ret->iothread_ns += ns;
	} else {
		ret->io_ns += ns;
	}
}

int process_split(pid_t pid, struct process_split *ret)
{
	struct process_split split = {0};
	unsigned left = MAX_THREADS;
	struct dirent *e;
	char path[64];
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (left-- && (e = readdir(dir)))
		if (e->d_name[0] != '.')
			split_thread(dirfd(dir), e->d_name, pid, &split);
	(void)closedir(dir);
	*ret = split;
	return 0;
}

int process_count_fds(pid_t pid)
{
	struct dirent *e;
	char path[64];
	int n = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	(void)closedir(dir);
	/* Not the one that looks. */
	return n - (pid == getpid());
}

int process_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}

int process_kill(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}

bool process_is_gone(int pidfd)
{
	struct pollfd p = {.fd = pidfd, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}
