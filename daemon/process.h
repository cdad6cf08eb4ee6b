/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc says about a process of another: identity and CPU time. */
#pragma once

#include <sys/types.h>

#include "vmm-core/base/cpuset.h"
#include "vmm-core/base/macro.h"

/* The start time (field 22 of /proc/PID/stat, clock ticks since boot): with the pid it names a process for ever.
 * Returns 0 or -ESRCH and other negative errnos. */
int process_start_time(pid_t pid, uint64_t *ret_ticks);

/* What a process has used, all threads together. Times go in clock ticks (10 ms); guest_ns is the part of user_ns that ran
 * a guest. */
struct process_usage {
	uint64_t user_ns, system_ns, guest_ns;
	uint64_t resident_bytes;
	unsigned threads;
};
/* Returns 0 or -errno. */
int process_usage(pid_t pid, struct process_usage *ret);

/* Of one thread, to the nanosecond: it ran; it was ready but had no CPU, as schedstat has it (delay) and as sched has it
 * (wait: 0 unless the host counts that, sysctl kernel.sched_schedstats). */
struct process_times {
	uint64_t run_ns, delay_ns, wait_ns;
};
/* Of the threads of a worker that run its vCPUs; they are called "CPU 0/KVM", "CPU 1/KVM" … (vmm-core/vcpu.c).
 * ret_times[n] is all set, 0 where there is no such thread. 'with_wait': wait_ns too, which costs the kernel more than the rest.
 * Returns 0 or -errno. */
int process_vcpu_times(pid_t pid, struct process_times *ret_times, unsigned n, bool with_wait);

/* Threads that run vCPUs, by the same names: where each may run, and where it did so last. */
struct process_vcpu {
	pid_t tid; /* 0: there is none */
	int cpu;
	uint64_t cpus[CPUSET_WORDS];
	uint64_t run_ns; /* of iothreads only */
};
/* Of a worker's vCPUs; ret_vcpus[n] is all set. Returns 0 or -errno. */
int process_vcpus(pid_t pid, struct process_vcpu *ret_vcpus, unsigned n);
/* Of its iothreads with these ids; they are called "IO iothread1", "IO iothread2" … (vmm-core/vm-iothread.c). */
int process_iothreads(
	pid_t pid, const uint32_t *ids, struct process_vcpu *ret_iothreads, unsigned n);

/* Where some threads of a worker are to run: those of one vCPU, of one iothread, or all that are neither's. */
#define PROCESS_VCPU(i)      ((uint32_t)(i))
#define PROCESS_IOTHREAD(id) (UINT32_C(0x10000) + (id))
#define PROCESS_OTHERS       UINT32_MAX
struct process_pin {
	uint32_t thread;      /* one of the above */
	const uint64_t *cpus; /* the empty set: on all; NULL: where they are */
	int result; /* 0, -ESRCH (no such thread), -EINVAL (none of the CPUs can be used), -EPERM */
};
/* Let them run there only, and say of each row whether that worked. Threads are looked up once for all, below /proc/PID/task, so
 * whatever a worker calls them they are its own; the caller holds the process (its pidfd says that it is there). Those of the kernel's
 * that cannot be moved stay. Returns 0, or -ESRCH and the like when there is no such process. */
int process_pin(pid_t pid, struct process_pin *pins, unsigned n);

/* Where a worker's CPU time went, by its threads: their sum is what its control group counts, but for threads that have
 * ended. Exact to the nanosecond, but for guest_ns, which the kernel counts in ticks where it has no better clock (then it is at most
 * what the vCPUs' threads used). */
struct process_split {
	uint64_t guest_ns; /* in the guest */
	uint64_t
		vcpu_ns; /* the rest of the vCPUs' threads: into the guest and out, and what exits ask for */
	uint64_t loop_ns;     /* the first thread: devices, switch, control */
	uint64_t iothread_ns; /* iothreads: their disks */
	uint64_t io_ns;       /* all others: workers of the kernel's for disks */
};
/* Returns 0 or -errno. */
int process_split(pid_t pid, struct process_split *ret);

/* How many fds it has open. Returns -errno on failure. */
int process_count_fds(pid_t pid);

/* pidfd_open(2). Returns the fd (close-on-exec) or -errno. */
int process_open(pid_t pid);

/* SIGKILL by pidfd. Returns 0 or -errno (-ESRCH: dead already). */
int process_kill(int pidfd);

/* Dead (a zombie counts). */
bool process_is_gone(int pidfd);
