/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libkvm: every KVM ioctl that a worker uses, wrapped to "0 or negative errno". Nothing else but kvm-probe.h calls
 * ioctl(KVM_*). Documentation/virt/kvm/api.rst of the Linux kernel is the specification.
 *
 * Order matters (measured: 6-10 ms a start): kvm_create_vm(), then all memory slots, then
 * kvm_split_irqchip(), then vCPUs, then ioeventfds and irqfds. kvm_set_memory() after the interrupt chip
 * asserts, so that nobody breaks this unseen.
 *
 * VM and vCPU fds belong to the process that created them: the daemon passes /dev/kvm, never a VM.
 *
 * Threads: vm-wide functions from any thread; kvm_vcpu_* from the vCPU's own thread once it runs.
 *
 * Tested by tests/guest/test-guests.c.
 */
#pragma once

#include <linux/kvm.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/bus.h"
#include "vmm-core/irq.h"

#define KVM_MAX_CPUID_ENTRIES 256
#define KVM_MAX_MSRS          64

struct kvm {
	int dev_fd, vm_fd;
	int stats_fd;         /* of the vm (kvm-stats.h); -EBADF: this kernel has none */
	uint32_t run_size;    /* of a vCPU's shared page, bytes */
	bool irqchip_created; /* see "Order matters" */
	bool tsc_deadline, tsc_control, x2apic_api;
	uint32_t max_vcpus;
};

/* 'dev_fd' (/dev/kvm) is taken over. Checks the API version and the capabilities that vmmd cannot do without.
 * On failure the answer is negative and '*ret_stage' says which step it was. */
int kvm_init(struct kvm *kvm, int dev_fd, const char **ret_stage);
void kvm_done(struct kvm *kvm);
int kvm_create_vm(struct kvm *kvm, const char **ret_stage);
/* After this the process can make no further VM. */
void kvm_close_dev(struct kvm *kvm);

int kvm_set_memory(struct kvm *kvm, unsigned slot, uint64_t gpa, uint64_t size, void *host);
/* The same at any later time: slow (see "Order matters"), and not for a start. 'size' 0 removes the slot. */
int kvm_plug_memory(struct kvm *kvm, unsigned slot, uint64_t gpa, uint64_t size, void *host);
/* How long KVM looks for work at most when a vCPU halts, before the thread sleeps; else the module's halt_poll_ns. -ENOTSUP: before Linux
 * 5.11. */
int kvm_set_halt_poll(struct kvm *kvm, uint32_t us);
/* Local APICs in the kernel; PIC, PIT and IOAPIC (of 'pins' pins) are ours. 32-bit APIC ids. */
int kvm_split_irqchip(struct kvm *kvm, unsigned pins);
/* Supported CPUID leaves; *n is the array's size and becomes the count. -E2BIG: array too small. */
int kvm_supported_cpuid(struct kvm *kvm, struct kvm_cpuid_entry2 *entries, unsigned *n);
/* The frequency of a vCPU's counter, where the host can scale it (kvm->tsc_control). */
int kvm_vcpu_set_tsc_khz(int fd, uint32_t khz);
uint32_t kvm_tsc_khz(struct kvm *kvm, int vcpu_fd); /* 0: unknown */

/* The backends of irq.h and bus.h; opaque is the struct kvm. 'extint' of the former is the vm's. */
int kvm_set_routes(struct kvm *kvm, const struct irq_route *routes, unsigned n_routes);
int kvm_irqfd(struct kvm *kvm, int event_fd, uint32_t gsi, bool on);
int kvm_signal_msi(struct kvm *kvm, uint64_t address, uint32_t data);
int kvm_ioeventfd(
	struct kvm *kvm, enum bus_space space, uint64_t addr, unsigned size, int event_fd, bool on);

/* A vCPU's statistics, a file that belongs to the caller; -ENOTTY, -EINVAL: this kernel has none. */
int kvm_vcpu_stats_fd(int fd);
int kvm_vcpu_create(struct kvm *kvm, unsigned apic_id, int *ret_fd, struct kvm_run **ret_run);
int kvm_vcpu_set_cpuid(int fd, const struct kvm_cpuid_entry2 *entries, unsigned n);
/* One MSR at a time, so that one the host refuses costs nothing but itself. 0, -ENOENT (refused), -errno. */
int kvm_vcpu_set_msr(int fd, uint32_t index, uint64_t value);
int kvm_vcpu_get_msr(int fd, uint32_t index, uint64_t *ret_value);
int kvm_vcpu_get_regs(int fd, struct kvm_regs *ret);
int kvm_vcpu_set_regs(int fd, const struct kvm_regs *regs);
int kvm_vcpu_set_sregs(int fd, const struct kvm_sregs *sregs);
int kvm_vcpu_set_fpu(int fd, const struct kvm_fpu *fpu);
int kvm_vcpu_get_lapic(int fd, struct kvm_lapic_state *ret);
int kvm_vcpu_set_lapic(int fd, const struct kvm_lapic_state *lapic);
int kvm_vcpu_set_xcrs(int fd, const struct kvm_xcrs *xcrs);
int kvm_vcpu_set_debugregs(int fd, const struct kvm_debugregs *regs);
int kvm_vcpu_set_events(int fd, const struct kvm_vcpu_events *events);
int kvm_vcpu_set_mp_state(int fd, uint32_t state);
int kvm_vcpu_interrupt(int fd, uint8_t vector);
int kvm_vcpu_nmi(int fd);
/* Tell a paused guest's kvmclock watchdog that it was paused. */
int kvm_vcpu_clock_paused(int fd);
/* Run until an exit. 0, -EINTR, -EAGAIN, or -errno. */
int kvm_vcpu_run(int fd);
