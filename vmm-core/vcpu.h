/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One virtual CPU: a thread around KVM_RUN.
 *
 * The thread runs the guest, hands port and memory exits to the bus, and comes out of the guest when somebody
 * wants its attention. All vCPUs of a vm share a gate: while it is closed they park, and the last one to park
 * tells the loop thread through an eventfd. Whoever opens or closes the gate never waits for a vCPU.
 *
 *	loop thread: vcpus_park() ... event: all parked ... (work on the machine) ... vcpus_unpark()
 *
 * A kick cannot be lost: the kicker sets 'attention', then kvm_run->immediate_exit, then sends SIGUSR1; the vCPU
 * clears immediate_exit after an interrupted run and looks at 'attention' afterwards.
 *
 * A parked vCPU is between two instructions: one that came out for a port or memory access first goes into KVM once
 * more, with immediate_exit set, to finish that (KVM's API, 5: KVM_EXIT_MMIO). Else KVM would do so after a reset and
 * write the old life's registers over the new ones.
 *
 * Threads: functions are for the loop thread, except vcpu_kick() (any thread).
 *
 * Tested by tests/unit/test-vcpu.c and tests/guest/test-guests.c.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "vmm-core/boot/boot.h"
#include "vmm-core/cpuid.h"
#include "vmm-core/device.h"
#include "vmm-core/kvm.h"
#include "vmm-core/stats.h"

#define VCPU_KICK_SIGNAL SIGUSR1

struct vcpu_gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open, quit;
	unsigned n_vcpus, n_parked;
	int event_fd; /* signalled when n_parked reaches n_vcpus; owned */
};

/* Why a vCPU cannot go on. */
struct vcpu_failure {
	char text[160];
};

struct vcpu_host {
	struct bus *bus;
	struct irq *irq;
	struct loop *loop; /* the machine's: for its lock */
	struct vcpu_gate *gate;
	/* The guest asked for something that concerns the whole machine. */
	void (*request)(void *opaque, enum machine_request request, int arg);
	/* KVM gave up. */
	void (*failed)(void *opaque, const struct vcpu_failure *failure);
	/* First thing in the thread: close the sandbox. Returns 0 or -errno; failure ends the vm. */
	int (*enter_sandbox)(void *opaque);
	void *opaque;
};

struct vcpu {
	const struct vcpu_host *host;
	unsigned index;
	uint32_t apic_id;
	int fd;
	int stats_fd; /* negative: this kernel has none */
	struct kvm_run *run;
	uint32_t run_size;
	pthread_t thread;
	bool thread_started;
	_Atomic bool attention, nmi;
	bool reset_pending; /* gate lock */
	bool reset_alone;   /* gate lock: that reset is not the whole machine's: time goes on */
	bool off; /* gate lock; written by the loop thread: not there, parked at an open gate, too */
	bool broken;     /* own thread: parked until a reset */
	bool incomplete; /* own thread: KVM has yet to finish the instruction of the last exit */
	struct boot_entry entry;
	const struct cpuid_table *cpuid; /* the vm's, for its MSRs */
	uint32_t tsc_khz;                /* 0: unknown */
	struct vm_stats_vcpu *stats;     /* may be NULL */
	stat_counter *entered; /* own thread: when it first goes into the guest; then NULL */
};

int vcpu_gate_init(struct vcpu_gate *gate, unsigned n_vcpus);
void vcpu_gate_done(struct vcpu_gate *gate);

/* Create vCPU 'index'. Returns 0 or -errno with the stage. */
int vcpu_init(struct vcpu *vcpu, struct kvm *kvm, const struct vcpu_host *host, unsigned index,
	uint32_t apic_id, const char **ret_stage);
/* The thread must have been joined. */
void vcpu_done(struct vcpu *vcpu);

enum vcpu_reset {
	VCPU_FRESH, /* it never ran; before its thread does */
	VCPU_RESET, /* with all others */
	VCPU_ALONE, /* of all it is the only one: its clocks stay as the others' are */
};
/* Power-on registers; vCPU 0 starts at 'entry', the others wait for SIPI. But for VCPU_FRESH from the thread itself. In
 * vcpu-regs.c. */
int vcpu_reset(struct vcpu *vcpu, enum vcpu_reset kind, const char **ret_stage);

/* It is there from now on, or no longer: then it is reset, waits for SIPI and is parked until it comes back. */
void vcpu_switch(struct vcpu *vcpu, bool on);

int vcpu_start_thread(struct vcpu *vcpu);

/* Make the vCPU come out of the guest and look around. */
void vcpu_kick(struct vcpu *vcpu);
void vcpu_inject_nmi(struct vcpu *vcpu);

/* The gate, for all vCPUs of a vm at once. */
void vcpus_park(struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate);
bool vcpus_all_parked(struct vcpu_gate *gate);
/* 'reset': each vCPU resets itself to 'entry' before it runs. */
void vcpus_unpark(
	struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate, const struct boot_entry *reset_to);
/* The same for the next time the gate opens; it stays closed. */
void vcpus_reset_later(
	struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate, const struct boot_entry *reset_to);
/* End and join all threads. */
void vcpus_quit(struct vcpu *vcpus, unsigned n, struct vcpu_gate *gate);
