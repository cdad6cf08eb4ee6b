/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Drives the shipped worker over its own protocol, without a daemon: for guest tests, the sandbox proofs and the
 * benchmarks.
 *
 *	struct harness h;
 *	harness_init(&h, "vmmd-worker", "guest-hello.elf");
 *	h.config.… = …;
 *	harness_start(&h);                          a worker runs the guest
 *	harness_wait(&h, PROTO_VM_STOPPED, 10000);  h.state tells how it ended
 *	harness_done(&h);                           nothing is left
 *
 * The functions answer 0 or -errno; h.error has a line for people.
 */
#pragma once

#include <sys/types.h>

#include "config/vm-config.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

struct harness {
	struct vm_config config; /* 64 MiB, one vCPU, a serial port, pvpanic, debug exit */
	const char *worker, *kernel, *initrd;
	uint32_t flags; /* PROTO_START_… */
	int disks[VM_MAX_DISKS];
	int ram;  /* guest memory, once it is started */
	int plug; /* room for memory devices, likewise */

	pid_t pid;
	int control_fd, listen_fd;
	int serial_fd; /* our end of COM1 */
	uint32_t seq;
	struct proto_state state; /* the last HELLO or STATE */
	struct proto_vcpus vcpus; /* the last VCPUS */
	struct proto_cpuid cpuid; /* the last CPUID */
	struct proto_memories memories;
	struct proto_notice notices[16];
	unsigned n_notices;
	struct vm_stats_page *stats;
	char error[512];
};

void harness_init(struct harness *h, const char *worker, const char *kernel);
/* Kills the worker if it still runs. */
void harness_done(struct harness *h);

/* Start the worker and wait for its answer to START. */
int harness_start(struct harness *h);
/* The same in two steps, for start-up measurements. */
int harness_spawn(struct harness *h);
int harness_send_start(struct harness *h);

/* Send a request without payload and wait for its answer: 0, or the worker's -errno. */
int harness_request(struct harness *h, enum proto_type type, int timeout_ms);
int harness_send(struct harness *h, enum proto_type type, const void *payload, size_t len,
	const int *fds, unsigned n_fds, uint32_t *ret_seq);
int harness_wait_reply(struct harness *h, uint32_t seq, int timeout_ms);

/* Receive until the vm is in 'state' (0) or the time is over (-ETIMEDOUT) or the worker is gone (-EPIPE). */
int harness_wait(struct harness *h, enum proto_vm_state state, int timeout_ms);

/* The same until 'n' notices of this kind came. */
int harness_wait_notice(struct harness *h, enum proto_notice_kind kind, unsigned n, int timeout_ms);

/* The same until the vm has these vNICs. */
int harness_wait_nics(struct harness *h, uint32_t nics, int timeout_ms);

/* The same until it has these of the first 32 vCPUs. */
int harness_wait_vcpus(struct harness *h, uint32_t vcpus, int timeout_ms);

/* Read from the serial port until 'needle' was seen; '*ret' (caller frees) has all of it. */
int harness_expect(struct harness *h, const char *needle, int timeout_ms, char **ret);

/* The worker's exit status as of waitpid(), after it ended. */
int harness_reap(struct harness *h, int timeout_ms, int *ret_status);
