/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What KVM's MMU did for a machine, when the daemon asks: see vm.h. Tested by tests/guest/test-guests.c. */
#include <errno.h>

#include "vmm-core/kvm-stats.h"
#include "vmm-core/vm.h"

#define N_OF_VCPUS (VM_MMU_X_MAX - VM_MMU_OF_VCPUS)

/* All vCPUs have the same names at the same places. */
static int find_stats(struct vm *vm)
{
	static const char *const names[VM_MMU_X_MAX] = VM_MMU_NAMES;
	int r = kvm_stats_find(vm->kvm.stats_fd, names, VM_MMU_OF_VCPUS, vm->mmu_offsets);

	if (r == 0)
		r = kvm_stats_find(vm->vcpus[0].stats_fd, names + VM_MMU_OF_VCPUS, N_OF_VCPUS,
			vm->mmu_offsets + VM_MMU_OF_VCPUS);
	vm->mmu_found = r == 0;
	return r;
}

int vm_read_mmu(struct vm *vm)
{
	uint64_t sums[VM_MMU_X_MAX] = {0}, known = 0;
	int r = 0;

	if (!vm->stats || vm->kvm.stats_fd < 0 || !vm->n_vcpus || vm->vcpus[0].stats_fd < 0)
		return -ENOTSUP;
	if (!vm->mmu_found)
		r = find_stats(vm);
	if (r == 0)
		r = kvm_stats_add(vm->kvm.stats_fd, vm->mmu_offsets, VM_MMU_OF_VCPUS, sums);
	for (unsigned i = 0; r == 0 && i < vm->n_vcpus; i++)
		r = kvm_stats_add(vm->vcpus[i].stats_fd, vm->mmu_offsets + VM_MMU_OF_VCPUS,
			N_OF_VCPUS, sums + VM_MMU_OF_VCPUS);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < VM_MMU_X_MAX; i++) {
		stat_set(&vm->stats->mmu.values[i], sums[i]);
		known |= vm->mmu_offsets[i] ? UINT64_C(1) << i : 0;
	}
	stat_set(&vm->stats->mmu.known, known);
	return 0;
}
