/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that comes and goes while the vm exists: see vm.h and guest-plug.h. The device plugs blocks (devices/virtio/virtio-mem.c);
 * here devices come and go, by the hot-plug device (machine_hotplug_ops).
 *
 * Tested by tests/unit/test-vm-memory.c and tests/guest/test-hotplug.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/guest-plug.h"
#include "vmm-core/vm.h"

static int failed(char *reason, int error, const char *text)
{
	(void)snprintf(reason, PROTO_REASON_MAX, "%s", text);
	return error;
}

int vm_memory_make(struct vm *vm, unsigned number)
{
	const struct vm_memory *memory = &vm->config.memories[number];
	int r = guest_plug_add(
		&vm->mem, number, KIB(memory->size_kib), KIB((uint64_t)memory->block_kib));

	if (r < 0)
		return r;
	r = guest_plug_grow(&vm->mem, number, KIB(memory->requested_kib));
	if (r < 0)
		guest_plug_remove(&vm->mem, number);
	return r;
}

/* With the new one behind the others: what the validator can look at. */
static int check(const struct vm *vm, const struct vm_memory *memory, char *reason)
{
	/* Static: as in vm-plug.c. */
	static struct vm_config config;

	vm_config_now(vm, &config);
	config.memories[config.n_memories++] = *memory;
	return vm_config_validate(&config, reason, PROTO_REASON_MAX);
}

static int make_device(struct vm *vm, unsigned number, char *reason)
{
	struct device *dev;
	int r = vm_add_device(vm, "virtio-mem-pci", number, &dev, reason);

	if (r < 0)
		return r;
	r = vm->machine.hotplug_ops->plug(vm->machine.hotplug, dev);
	if (r < 0) {
		vm_drop_device(vm, dev);
		return failed(reason, r, "there is no room for its registers");
	}
	return 0;
}

int vm_memory_add(struct vm *vm, unsigned number, const struct vm_memory *memory, char *ret_reason)
{
	int r;

	if (!vm->machine.hotplug_ops)
		return failed(ret_reason, -ENOTSUP,
			"the guest has no ACPI, by which it would learn of it");
	if (vm->state == PROTO_VM_STOPPED)
		return failed(ret_reason, -EINVAL, "the vm has stopped");
	if (number >= VM_MAX_MEMORIES || vm->machine.memories[number])
		return failed(ret_reason, -EEXIST, "there is a memory device of this number");
	r = check(vm, memory, ret_reason);
	if (r < 0)
		return r;
	vm->config.memories[number] = *memory;
	vm->config.n_memories = MAX(vm->config.n_memories, number + 1);
	if (vm->stats)
		memset(&vm->stats->memories[number], 0, sizeof(vm->stats->memories[number]));
	vm->memories_told[number] = 0;
	r = vm_memory_make(vm, number);
	if (r < 0)
		return failed(ret_reason, r,
			r == -ENOSPC ? "there is no room for it in the guest's addresses"
				     : "its memory slots cannot be made");
	r = make_device(vm, number, ret_reason);
	if (r < 0)
		guest_plug_remove(&vm->mem, number);
	return r;
}

static struct device *find(const struct vm *vm, unsigned number)
{
	return number < VM_MAX_MEMORIES ? vm->machine.memories[number] : NULL;
}

int vm_memory_set(struct vm *vm, unsigned number, uint64_t kib, char *ret_reason)
{
	struct device *dev = find(vm, number);
	int r;

	if (!dev)
		return failed(ret_reason, -ENODEV, "there is no memory device of this number");
	if (kib > VM_MAX_MEMORY_KIB)
		return -EINVAL;
	r = vm->machine.memory_ops->set(dev, KIB(kib));
	if (r < 0)
		return r;
	/* What the guest is to have some of is not taken away with it at the next reset, though somebody wanted it back before. */
	if (kib && vm->machine.hotplug_ops &&
		vm->machine.hotplug_ops->keep(vm->machine.hotplug, dev) < 0)
		return failed(
			ret_reason, -ENODEV, "the guest has just let go of the memory device");
	vm->config.memories[number].requested_kib = kib;
	return 0;
}

int vm_memory_remove(struct vm *vm, unsigned number, char *ret_reason)
{
	struct device *dev = find(vm, number);

	if (!vm->machine.hotplug_ops)
		return failed(ret_reason, -ENOTSUP,
			"the guest has no ACPI, by which it would learn of it");
	if (!dev)
		return failed(ret_reason, -ENODEV, "there is no memory device of this number");
	if (vm->config.memories[number].requested_kib || vm->machine.memory_ops->size(dev))
		return failed(
			ret_reason, -EBUSY, "the guest has some of its memory, or is to have some");
	vm->machine.hotplug_ops->unplug(vm->machine.hotplug, dev);
	return 0;
}

void vm_collect_memories(struct vm *vm)
{
	for (unsigned i = 0; i < VM_MAX_MEMORIES; i++) {
		const struct device *dev = vm->machine.memories[i];
		uint64_t size = dev ? vm->machine.memory_ops->size(dev) : 0;

		if (!dev || size == vm->memories_told[i])
			continue;
		vm->memories_told[i] = size;
		vm->owner->notice(vm->owner->opaque, PROTO_NOTICE_MEMORY, i, "");
	}
}

bool vm_forget_memories(struct vm *vm)
{
	bool any = false;

	for (unsigned i = 0; i < VM_MAX_MEMORIES; i++) {
		if (vm->machine.memories[i] || !guest_plug_find(&vm->mem, i))
			continue;
		guest_plug_remove(&vm->mem, i);
		any = true;
	}
	return any;
}

uint32_t vm_memories(const struct vm *vm)
{
	uint32_t memories = 0;

	for (unsigned i = 0; i < VM_MAX_MEMORIES; i++)
		if (vm->machine.memories[i])
			memories |= UINT32_C(1) << i;
	return memories;
}
