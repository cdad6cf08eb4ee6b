/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A part of vm_build(): the vCPUs, what processors they are, and how fast their clocks run.
 *
 * Tested by tests/guest/test-guests.c.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm-core/base/log.h"
#include "vmm-core/cpu-topology.h"
#include "vmm-core/cpuid.h"
#include "vmm-core/vm-build.h"

/* Does the host let a guest's MSR be set? KVM offers some that it then refuses. A new vCPU has what KVM supports. */
static bool msr_settable(struct vm *vm, uint32_t index, uint64_t *ret_value)
{
	*ret_value = 0;
	return kvm_vcpu_get_msr(vm->vcpus[0].fd, index, ret_value) == 0 &&
		kvm_vcpu_set_msr(vm->vcpus[0].fd, index, *ret_value) == 0;
}

static int build_cpuid(struct vm *vm, struct cpuid_table *ret_table, char *reason)
{
	struct kvm_cpuid_entry2 supported[KVM_MAX_CPUID_ENTRIES];
	struct cpuid_host host = {
		.supported = supported,
		.n_supported = KVM_MAX_CPUID_ENTRIES,
		.tsc_khz = vm->vcpus[0].tsc_khz,
		.tsc_deadline = vm->kvm.tsc_deadline,
		.msi_ext_dest_id = vm->kvm.x2apic_api,
	};
	struct cpuid_report report;
	int r;

	host.arch_capabilities = msr_settable(vm, 0x10a, &host.arch_capabilities_msr);
	r = kvm_supported_cpuid(&vm->kvm, supported, &host.n_supported);
	if (r < 0)
		return vm_build_failed(reason, r, "KVM_GET_SUPPORTED_CPUID");
	r = cpuid_build(&host, &vm->config, ret_table, &report);
	if (r < 0) {
		(void)snprintf(reason, PROTO_REASON_MAX, "cpu: %.240s", report.text);
		return r;
	}
	if (report.n_dropped)
		log_info("The host's KVM lacks these CPU features: %s", report.dropped);
	return 0;
}

/* <timer name='tsc' frequency=>; each vCPU has its counter. */
static int set_tsc(struct vm *vm, struct vcpu *vcpu, char *reason)
{
	uint64_t wanted_hz = vm->config.tsc_hz;
	struct cpuid_report report;
	int r;

	if (!wanted_hz)
		return 0;
	r = cpuid_judge_tsc(wanted_hz, vcpu->tsc_khz, vm->kvm.tsc_control, &report);
	if (r < 0)
		(void)snprintf(reason, PROTO_REASON_MAX, "cpu: %.240s", report.text);
	if (r <= 0)
		return r;
	r = kvm_vcpu_set_tsc_khz(vcpu->fd, (uint32_t)(wanted_hz / 1000));
	if (r < 0)
		return vm_build_failed(reason, r, "KVM_SET_TSC_KHZ");
	vcpu->tsc_khz = kvm_tsc_khz(&vm->kvm, vcpu->fd);
	return 0;
}

int vm_build_vcpus(struct vm *vm, char *reason)
{
	struct cpu_topology topology = cpu_topology_of(&vm->config);
	struct cpuid_table table, mine;
	unsigned n = vm->config.vcpus_max;
	const char *stage;
	int r;

	if (n > vm->kvm.max_vcpus) {
		(void)snprintf(reason, PROTO_REASON_MAX, "vcpu: this host's KVM runs at most %u",
			vm->kvm.max_vcpus);
		return -ENOTSUP;
	}
	r = vcpu_gate_init(&vm->gate, n);
	if (r < 0)
		return vm_build_failed(reason, r, "the vCPU gate");
	vm->vcpus = calloc(n, sizeof(*vm->vcpus));
	if (!vm->vcpus)
		return vm_build_failed(reason, -ENOMEM, "the vCPUs");
	vm->n_vcpus = n;
	/* What was not made is not closed when this fails. */
	for (unsigned i = 0; i < n; i++)
		vm->vcpus[i].fd = vm->vcpus[i].stats_fd = -EBADF;
	for (unsigned i = 0; i < n; i++) {
		uint32_t apic_id = cpu_apic_id(&topology, i);

		if (apic_id > 254 && !vm->kvm.x2apic_api)
			return vm_build_failed(reason, -ENOTSUP, "APIC ids above 254");
		r = vcpu_init(&vm->vcpus[i], &vm->kvm, &vm->vcpu_host, i, apic_id, &stage);
		if (r < 0)
			return vm_build_failed(reason, r, stage);
		r = set_tsc(vm, &vm->vcpus[i], reason);
		if (r < 0)
			return r;
		vm->vcpus[i].off = i >= vm->config.vcpus;
		if (vm->stats)
			vm->vcpus[i].stats = &vm->stats->vcpus[i];
		if (vm->stats && i == 0)
			vm->vcpus[i].entered = &vm->stats->boot_ns[VM_BOOT_ENTERED];
	}
	r = build_cpuid(vm, &table, reason);
	for (unsigned i = 0; r >= 0 && i < n; i++) {
		cpuid_vcpu(&table, &vm->config, i, &mine);
		r = kvm_vcpu_set_cpuid(vm->vcpus[i].fd, mine.entries, mine.n);
		if (r < 0)
			return vm_build_failed(reason, r, "KVM_SET_CPUID2");
	}
	vm->cpuid = r >= 0 ? table : (struct cpuid_table){0};
	return r;
}
