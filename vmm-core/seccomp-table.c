/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a worker may ask of the kernel: see seccomp-table.h. */
#include "vmm-core/seccomp-table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "vmm-core/proto.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define COUNT(...) (sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
#define ANY(call, why)                                                                             \
	{                                                                                          \
		.nr = __NR_##call, .name = #call, .check = SECCOMP_ANY, .reason = why              \
	}
#define ONE_OF(call, which, why, ...)                                                              \
	{                                                                                          \
		.nr = __NR_##call, .name = #call, .check = SECCOMP_ONE_OF, .arg = which,           \
		.n_values = COUNT(__VA_ARGS__), .values = {__VA_ARGS__}, .reason = why             \
	}
#define ABSENT(call, why)                                                                          \
	{                                                                                          \
		.nr = __NR_##call, .name = #call, .check = SECCOMP_ABSENT, .reason = why           \
	}
#define NO_BITS(call, which, why, bits)                                                            \
	{                                                                                          \
		.nr = __NR_##call, .name = #call, .check = SECCOMP_NO_BITS, .arg = which,          \
		.n_values = 1, .values = {bits}, .reason = why                                     \
	}

/* vm-wide requests: a guest that programs its MSI-X tables, BARs or IOAPIC causes them on a vCPU thread, a
 * reset on the loop thread. */
#define KVM_VM_REQUESTS KVM_SET_GSI_ROUTING, KVM_IRQFD, KVM_IOEVENTFD, KVM_SIGNAL_MSI

/* What glibc's mutexes and condition variables wait and wake with. */
#define FUTEX_OPS                                                                                  \
	FUTEX_WAIT_PRIVATE, FUTEX_WAKE_PRIVATE, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME
#define FUTEX_JOIN (FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME)

/* Calls that every thread needs. The last ones are abort()'s, which says what is wrong before it ends the process. */
#define COMMON_RULES                                                                               \
	ANY(rt_sigreturn, "return from the kick's signal handler"),                                \
		ANY(rt_sigprocmask, "inside pthread functions and abort()"),                       \
		ANY(restart_syscall, "the kernel's own restart of an interrupted wait"),           \
		ANY(write, "eventfds, consoles, log lines"),                                       \
		ANY(writev,                                                                        \
			"a frame to a tap or to a capture; glibc's last words before abort()"),    \
		ANY(getpid, "pthread_kill() and abort()"), ANY(gettid, "abort()")

/* Calls of device code, which runs on vCPU threads and on the loop's. */
#define DEVICE_RULES                                                                               \
	ANY(clock_gettime, "time where the vDSO cannot answer"),                                   \
		ANY(timerfd_settime, "a device programs a timer"), ANY(brk, "malloc"),             \
		NO_BITS(mmap, 2, "malloc; never executable", PROT_EXEC),                           \
		ANY(munmap, "free of what malloc mapped"), ANY(mremap, "realloc of the same"),     \
		ONE_OF(tgkill, 2, "kick a vCPU; abort()", SIGUSR1, SIGABRT)

static const struct seccomp_rule vcpu_rules[] = {
	ONE_OF(ioctl, 1, "run the guest, its registers at a reset, and vm-wide requests", KVM_RUN,
		KVM_VM_REQUESTS, KVM_INTERRUPT, KVM_NMI, KVM_KVMCLOCK_CTRL, KVM_GET_REGS,
		KVM_SET_REGS, KVM_SET_SREGS, KVM_SET_FPU, KVM_SET_MSRS, KVM_GET_LAPIC,
		KVM_SET_LAPIC, KVM_SET_MP_STATE, KVM_SET_VCPU_EVENTS, KVM_SET_XCRS,
		KVM_SET_DEBUGREGS),
	ONE_OF(futex, 1, "locks of loops, and the vCPU gate", FUTEX_OPS),
	COMMON_RULES,
	DEVICE_RULES,
	ONE_OF(madvise, 2, "its stack when it ends", MADV_DONTNEED),
	ANY(exit, "the thread ends"),
	{.name = NULL},
};

/* An iothread that is added while the guest runs. It begins with its maker's rules, and closes its own sandbox before it does anything. */
#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_SIGHAND | CLONE_THREAD |        \
		CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)
#define THREAD_RULES                                                                               \
	ONE_OF(clone, 0, "an iothread: a thread of this process, never a process", THREAD_FLAGS),  \
		ABSENT(clone3, "its flags lie in memory: the C library takes clone() then"),       \
		ANY(epoll_create1, "its loop"), ANY(timerfd_create, "its loop's timer"),           \
		ANY(set_robust_list, "the C library's, of a new thread"), ANY(rseq, "the same"),   \
		ONE_OF(prctl, 0, "its name", PR_SET_NAME),                                         \
		ONE_OF(seccomp, 0, "its sandbox: only more can be forbidden",                      \
			SECCOMP_SET_MODE_FILTER),                                                  \
		ANY(exit, "it ends")

static const struct seccomp_rule loop_rules[] = {
	ANY(epoll_wait, "the loop"),
	ANY(read, "eventfds, timers, consoles, an entropy source"),
	ANY(readv, "a frame from a vNIC's tap"),
	ANY(io_uring_enter, "disk requests; the ring is restricted by itself"),
	ONE_OF(ioctl, 1,
		"interrupt routes and doorbells, of a vm that is reset or a vNIC that goes; memory "
		"slots of memory devices",
		KVM_VM_REQUESTS, KVM_SET_USER_MEMORY_REGION),
	ONE_OF(madvise, 2, "memory that the guest gives back, and that it plugs in", MADV_REMOVE,
		MADV_POPULATE_WRITE),
	ANY(eventfd2, "interrupts and doorbells of a vNIC that is plugged in"),
	ONE_OF(futex, 1, "locks of loops, the vCPU gate, and the end of threads", FUTEX_OPS,
		FUTEX_JOIN),
	COMMON_RULES,
	DEVICE_RULES,
	ANY(epoll_ctl, "a console is watched or no longer"),
	ANY(close, "what is done with"),
	ONE_OF(recvmsg, 0, "requests of the daemon", PROTO_CONTROL_FD),
	ONE_OF(sendmsg, 0, "answers to the daemon", PROTO_CONTROL_FD),
	ONE_OF(dup3, 1, "a new connection of the daemon takes the old one's place",
		PROTO_CONTROL_FD),
	ONE_OF(shutdown, 1, "a connection that is given up, a capture whose source is gone",
		SHUT_RDWR),
	ONE_OF(newfstatat, 3, "fstat(): the kernel's size at a reset", AT_EMPTY_PATH),
	ANY(fstat, "the same, as newer C libraries call it"),
	ANY(accept4,
		"a restarted daemon, a client of a unix console; sockets were bound by the daemon"),
	ANY(sendto, "stream consoles"),
	ANY(pread64, "the kernel and initrd are read again at a reset; KVM's statistics"),
	ANY(getrandom, "the entropy device"),
	ONE_OF(fcntl, 1, "the flags of a console's fd; the seals of a link's ring", F_GETFL,
		F_SETFL, F_ADD_SEALS, F_GET_SEALS),
	ANY(exit_group, "the process ends"),
	THREAD_RULES,
	{.name = NULL},
};

/* A loop that disks have for a home: what only the main loop may do is handed over to it (device.h). */
static const struct seccomp_rule iothread_rules[] = {
	ANY(epoll_wait, "the loop"),
	ANY(read, "kicks, timers"),
	ANY(io_uring_enter, "disk requests; the ring is restricted by itself"),
	ONE_OF(futex, 1, "its loop's lock, the requests', and those of threads that do I/O",
		FUTEX_OPS),
	COMMON_RULES,
	ANY(clock_gettime, "time where the vDSO cannot answer"),
	ANY(timerfd_settime, "requests that wait for their turn"),
	ANY(brk, "malloc"),
	NO_BITS(mmap, 2, "malloc; never executable", PROT_EXEC),
	ANY(munmap, "free of what malloc mapped"),
	ANY(mremap, "realloc of the same"),
	ONE_OF(tgkill, 2, "abort()", SIGABRT),
	ONE_OF(madvise, 2, "its stack when it ends", MADV_DONTNEED),
	ANY(exit, "the thread ends"),
	{.name = NULL},
};

/* A thread that reads and writes disks where io_uring is not to be had. */
static const struct seccomp_rule io_rules[] = {
	ANY(preadv2, "a disk"),
	ANY(pwritev2, "a disk"),
	ANY(fdatasync, "a disk"),
	ONE_OF(fallocate, 1, "discard and zeroes, never the file's size",
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE),
	ONE_OF(futex, 1, "its queue", FUTEX_OPS),
	COMMON_RULES,
	ONE_OF(tgkill, 2, "abort()", SIGABRT),
	ONE_OF(madvise, 2, "its stack when it ends", MADV_DONTNEED),
	ANY(exit, "the thread ends"),
	{.name = NULL},
};

/* A network's worker: rings in shared memory, sockets and taps that the daemon opened. */
static const struct seccomp_rule network_rules[] = {
	ANY(epoll_wait, "the loop"),
	ANY(epoll_ctl, "a port comes or goes"),
	ANY(read, "bells, timers, taps, link changes"),
	ANY(readv, "a frame from a tap"),
	ONE_OF(recvmsg, 0, "requests of the daemon", PROTO_CONTROL_FD),
	ANY(recvmmsg, "frames from an uplink"),
	ANY(recvfrom, "link changes; is an uplink's NIC still there"),
	ANY(sendmsg, "answers to the daemon, a frame to an uplink"),

	ONE_OF(ioctl, 1, "an uplink's link state; what its socket has not sent yet", SIOCETHTOOL,
		SIOCOUTQ, TUNGETIFF),
	COMMON_RULES,
	ANY(clock_gettime, "time where the vDSO cannot answer"),
	ANY(timerfd_settime, "ageing, beacons, LACP"),
	ANY(brk, "malloc"),
	NO_BITS(mmap, 2, "malloc, rings; never executable", PROT_EXEC),
	ANY(munmap, "a port goes; free of what malloc mapped"),
	ANY(mremap, "realloc of the same"),
	ONE_OF(fcntl, 1, "the seals of a port's ring; the flags of a capture's socket", F_GETFL,
		F_SETFL, F_ADD_SEALS, F_GET_SEALS),
	ONE_OF(newfstatat, 3, "fstat(): the size of a port's ring", AT_EMPTY_PATH),
	ANY(fstat, "the same, as newer C libraries call it"),
	ANY(close, "what is done with"),
	ONE_OF(dup3, 1, "a new connection of the daemon takes the old one's place",
		PROTO_CONTROL_FD),
	ONE_OF(shutdown, 1, "a connection that is given up, a capture whose source is gone",
		SHUT_RDWR),
	ANY(accept4, "a restarted daemon; the socket was bound by the daemon"),
	ANY(getrandom, "keys of hash tables"),
	ONE_OF(tgkill, 2, "abort()", SIGABRT),
	ANY(exit_group, "the process ends"),
	{.name = NULL},
};

static const struct {
	const char *name;
	const struct seccomp_rule *rules;
} roles[SECCOMP_ROLE_X_MAX] = {
	[SECCOMP_VCPU] = {"vcpu", vcpu_rules},
	[SECCOMP_LOOP] = {"loop", loop_rules},
	[SECCOMP_IO] = {"io", io_rules},
	[SECCOMP_IOTHREAD] = {"iothread", iothread_rules},
	[SECCOMP_NETWORK] = {"network", network_rules},
};

const struct seccomp_rule *seccomp_rules(enum seccomp_role role)
{
	return roles[role].rules;
}

const char *seccomp_role_to_string(enum seccomp_role role)
{
	return roles[role].name;
}
