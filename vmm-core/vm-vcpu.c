/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs that come and go while the vm exists: see vm.h. All that there can ever be are made at the start, with their threads: the
 * sandbox lets none be made later. Those that are not there are parked. How the guest learns of it is the hot-plug device's
 * (machine_cpu_ops).
 *
 * Tested by tests/unit/test-vm-vcpu.c and tests/guest/test-vcpus.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/vm.h"

static int failed(char *reason, int error, const char *text)
{
	(void)snprintf(reason, PROTO_REASON_MAX, "%s", text);
	return error;
}

int vm_vcpus_set(struct vm *vm, unsigned n, char *ret_reason)
{
	if (!vm->machine.cpu_ops)
		return failed(ret_reason, -ENOTSUP,
			"the guest has no ACPI, by which it would learn of it");
	if (vm->state == PROTO_VM_STOPPED)
		return failed(ret_reason, -EINVAL, "the vm has stopped");
	if (n < 1 || n > vm->config.vcpus_max)
		return failed(ret_reason, -EINVAL, "there are not so many vCPUs");
	/* After a reset these are there, and no others: the tables are made from it. */
	vm->config.vcpus = n;
	vm->machine.cpu_ops->set(vm->machine.cpu_hotplug, n);
	vm_collect_vcpus(vm);
	return 0;
}

void vm_collect_vcpus(struct vm *vm)
{
	bool any = false;

	for (unsigned i = 0; vm->machine.cpu_ops && i < vm->n_vcpus; i++) {
		bool on = vm->machine.cpu_ops->is_present(vm->machine.cpu_hotplug, i);

		if (vm->vcpus[i].off != on)
			continue;
		vcpu_switch(&vm->vcpus[i], on);
		any = true;
	}
	if (any)
		vm->owner->vcpus_changed(vm->owner->opaque);
}

void vm_vcpus(const struct vm *vm, uint32_t ret_vcpus[PROTO_VCPU_WORDS])
{
	memset(ret_vcpus, 0, PROTO_VCPU_WORDS * sizeof(*ret_vcpus));
	for (unsigned i = 0; i < vm->n_vcpus; i++)
		if (!vm->vcpus[i].off)
			ret_vcpus[i / 32] |= UINT32_C(1) << i % 32;
}
