/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc says about a process of another: identity and CPU time. */
#pragma once

#include <sys/types.h>

#include "vmm-core/base/macro.h"

/* The start time (field 22 of /proc/PID/stat, clock ticks since boot): with the pid it names a process for ever.
 * Returns 0 or -ESRCH and other negative errnos. */
int process_start_time(pid_t pid, uint64_t *ret_ticks);

/* CPU time of all threads. Returns 0 or -errno. */
int process_cpu_time(pid_t pid, uint64_t *ret_user_ns, uint64_t *ret_system_ns);

/* CPU time of the threads of a worker that run its vCPUs; they are called "CPU 0/KVM", "CPU 1/KVM" … (vmm-core/vcpu.c).
 * ret_ns[n] is all set, 0 where there is no such thread. Returns 0 or -errno. */
int process_vcpu_times(pid_t pid, uint64_t *ret_ns, unsigned n);

/* pidfd_open(2). Returns the fd (close-on-exec) or -errno. */
int process_open(pid_t pid);

/* SIGKILL by pidfd. Returns 0 or -errno (-ESRCH: dead already). */
int process_kill(int pidfd);

/* Dead (a zombie counts). */
bool process_is_gone(int pidfd);
