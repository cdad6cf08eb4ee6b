/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A part of vm_build(): the guest's memory, from the files of START to KVM's slots, and the interrupt chip, which comes right
 * behind them.
 *
 * Tested by tests/guest/test-guests.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm-core/guest-plug.h"
#include "vmm-core/ram-map.h"
#include "vmm-core/vm-build.h"

/* Huge pages were reserved by the daemon and are never swapped out. */
static int lock_memory(struct vm *vm, char *reason)
{
	int r;

	if (!vm->config.memory_locked)
		return 0;
	r = guest_mem_lock(&vm->mem);
	if (r < 0)
		(void)snprintf(reason, PROTO_REASON_MAX,
			"domain '%s': cannot lock %llu KiB of guest memory: %s", vm->config.name,
			(unsigned long long)vm->config.memory_kib, strerror(-r));
	return r;
}

/* Before the sandbox, and before any vCPU has a thread: as many as will be there anyway may help. */
static int populate_memory(struct vm *vm, char *reason)
{
	unsigned n = MIN(MAX((uint32_t)vm->config.memory_allocators, 1U), vm->config.vcpus_max);
	int r;

	if (vm->config.memory_allocation == VM_ALLOCATION_IMMEDIATE)
		r = guest_mem_populate(&vm->mem, n);
	else if (vm->config.memory_bound)
		r = guest_mem_populate_huge(&vm->mem, n);
	else
		return 0;
	if (r < 0)
		(void)snprintf(reason, PROTO_REASON_MAX,
			"domain '%s': cannot allocate %llu KiB of guest memory: %s",
			vm->config.name, (unsigned long long)vm->config.memory_kib, strerror(-r));
	return r;
}

static int set_slot(void *opaque, unsigned slot, uint64_t gpa, uint64_t size, void *host)
{
	struct vm *vm = opaque;

	return kvm_plug_memory(&vm->kvm, slot, gpa, size, host);
}

static int check_ram(int fd, uint64_t size)
{
	struct stat st;

	return fstat(fd, &st) < 0 || (uint64_t)st.st_size != size ||
			!(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK)
		? -EINVAL
		: 0;
}

/* One memory file for each cell, or one for all. */
static int map_memory(struct vm *vm, char *reason)
{
	const struct vm_config *config = &vm->config;
	struct guest_file files[VM_MAX_CELLS];
	unsigned n = ram_n_cells(config);
	int r;

	for (unsigned i = 0; i < n; i++) {
		uint32_t huge_kib =
			config->n_cells ? config->cells[i].hugepage_kib : config->hugepage_kib;

		files[i] = (struct guest_file){.fd = vm->fds.ram[i],
			.size = ram_cell_size(config, i),
			.page_len = huge_kib ? KIB(huge_kib) : 4096};
		r = check_ram(files[i].fd, files[i].size);
		if (r < 0)
			return vm_build_failed(reason, r, "guest memory");
	}
	r = guest_mem_init_files(&vm->mem, files, n);
	if (r < 0)
		return vm_build_failed(reason, r, "mapping guest memory");
	for (unsigned i = 0; i < n; i++)
		(void)TAKE_FD(vm->fds.ram[i]);
	guest_mem_want_huge(&vm->mem);
	return 0;
}

/* What can be plugged in, and the slots of what is to be there from the start on. */
static int build_plug(struct vm *vm, char *reason)
{
	static const struct guest_plug_ops ops = {.set_slot = set_slot};
	const struct guest_file file = {.fd = vm->fds.plug,
		.size = KIB(vm_config_plug_room_kib(&vm->config)),
		.page_len = vm->config.hugepage_kib ? KIB(vm->config.hugepage_kib) : 4096};
	int r;

	if (!file.size)
		return 0;
	r = check_ram(file.fd, file.size);
	if (r == 0)
		r = guest_plug_init(&vm->mem, &file, &ops, vm);
	if (r < 0)
		return vm_build_failed(reason, r, "room for memory devices");
	(void)TAKE_FD(vm->fds.plug);
	for (unsigned i = 0; r >= 0 && i < vm->config.n_memories; i++)
		r = vm_memory_make(vm, i);
	return r < 0 ? vm_build_failed(reason, r, "a memory device's region") : 0;
}

int vm_build_memory(struct vm *vm, char *reason)
{
	int r = map_memory(vm, reason);

	if (r < 0)
		return r;
	r = populate_memory(vm, reason);
	if (r == 0)
		r = lock_memory(vm, reason);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < vm->mem.n_regions; i++) {
		const struct guest_region *region = &vm->mem.regions[i];

		r = kvm_set_memory(&vm->kvm, i, region->base.v, region->size, region->host);
		if (r < 0)
			return vm_build_failed(reason, r, "KVM_SET_USER_MEMORY_REGION");
	}
	r = build_plug(vm, reason);
	if (r < 0)
		return r;
	/* All slots are there: the interrupt chip may come. */
	r = kvm_split_irqchip(&vm->kvm, LAYOUT_IOAPIC_PINS);
	return r < 0 ? vm_build_failed(reason, r, "KVM_CAP_SPLIT_IRQCHIP") : 0;
}
