/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vNICs that come and go while the vm exists: see vm.h. How the guest learns of it is the hot-plug device's
 * (machine_hotplug_ops).
 *
 * Tested by tests/guest/test-hotplug.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/vm.h"

static int failed(char *reason, int error, const char *text)
{
	(void)snprintf(reason, PROTO_REASON_MAX, "%s", text);
	return error;
}

void vm_config_now(const struct vm *vm, struct vm_config *ret)
{
	*ret = vm->config;
	ret->n_nics = ret->n_memories = 0;
	for (unsigned i = 0; i < VM_MAX_NICS; i++)
		if (vm->machine.nics[i])
			ret->nics[ret->n_nics++] = vm->config.nics[i];
	for (unsigned i = 0; i < VM_MAX_MEMORIES; i++)
		if (vm->machine.memories[i])
			ret->memories[ret->n_memories++] = vm->config.memories[i];
}

/* With the new one behind the others: what the validator can look at. */
static int check(const struct vm *vm, const struct vm_nic *nic, char *reason)
{
	/* Static: 200 KiB are too many for a stack, and only the loop thread comes here. */
	static struct vm_config config;

	vm_config_now(vm, &config);
	/* At least one place is free: the new one's. */
	config.nics[config.n_nics++] = *nic;
	return vm_config_validate(&config, reason, PROTO_REASON_MAX);
}

/* The place in vm->config and in the statistics page is this one's from now on. */
static void take_place(struct vm *vm, unsigned number, const struct vm_nic *nic)
{
	vm->config.nics[number] = *nic;
	vm->config.n_nics = MAX(vm->config.n_nics, number + 1);
	if (vm->stats)
		memset(&vm->stats->nics[number], 0, sizeof(vm->stats->nics[number]));
}

/* Gone, or never quite there. */
void vm_drop_device(struct vm *vm, struct device *dev)
{
	unsigned i = 0;

	while (vm->devices[i] != dev)
		i++;
	vm->n_devices--;
	memmove(&vm->devices[i], &vm->devices[i + 1],
		(vm->n_devices - i) * sizeof(struct device *));
	(void)device_free(dev);
}

int vm_nic_add(
	struct vm *vm, unsigned number, const struct vm_nic *nic, int tap_fd, char *ret_reason)
{
	const struct machine_hotplug_ops *ops = vm->machine.hotplug_ops;
	_cleanup_(closep) int tap = tap_fd;
	struct device *dev;
	int r;

	if (!ops)
		return failed(ret_reason, -ENOTSUP,
			"the guest has no ACPI, by which it would learn of it");
	if (vm->state == PROTO_VM_STOPPED)
		return failed(ret_reason, -EINVAL, "the vm has stopped");
	if (number >= VM_MAX_NICS || vm->machine.nics[number])
		return failed(ret_reason, -EEXIST, "there is a vNIC of this number");
	r = check(vm, nic, ret_reason);
	if (r < 0)
		return r;
	take_place(vm, number, nic);
	vm->fds.devices.nics[number] = TAKE_FD(tap);
	r = vm_add_device(vm, "virtio-net-pci", number, &dev, ret_reason);
	/* It has the tap now, or nobody. */
	vm->fds.devices.nics[number] = safe_close(vm->fds.devices.nics[number]);
	if (r < 0)
		return r;
	r = ops->plug(vm->machine.hotplug, dev);
	if (r < 0) {
		vm_drop_device(vm, dev);
		return failed(ret_reason, r, "there is no room for its registers");
	}
	return 0;
}

int vm_nic_remove(struct vm *vm, unsigned number, char *ret_reason)
{
	if (!vm->machine.hotplug_ops)
		return failed(ret_reason, -ENOTSUP,
			"the guest has no ACPI, by which it would learn of it");
	if (number >= VM_MAX_NICS || !vm->machine.nics[number])
		return failed(ret_reason, -ENODEV, "there is no vNIC of this number");
	vm->machine.hotplug_ops->unplug(vm->machine.hotplug, vm->machine.nics[number]);
	return 0;
}

void vm_collect_ejected(struct vm *vm)
{
	const struct machine_hotplug_ops *ops = vm->machine.hotplug_ops;
	struct device *dev;
	uint32_t nics = vm_nics(vm);

	while (ops && (dev = ops->ejected(vm->machine.hotplug)))
		vm_drop_device(vm, dev);
	if (vm_nics(vm) != nics)
		vm->owner->nics_changed(vm->owner->opaque);
	if (vm_forget_memories(vm))
		vm->owner->memories_changed(vm->owner->opaque);
}

uint32_t vm_nics(const struct vm *vm)
{
	uint32_t nics = 0;

	static_assert(VM_MAX_NICS <= 32, "one bit each");
	for (unsigned i = 0; i < VM_MAX_NICS; i++)
		if (vm->machine.nics[i])
			nics |= UINT32_C(1) << i;
	return nics;
}
