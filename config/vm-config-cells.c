/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The validator of struct vm_config: the nodes of a guest's memory. Tested by tests/unit/test-vm-config.c. */
#include "config/vm-check.h"

static bool has_cpu(const struct vm_cell *cell, unsigned cpu)
{
	return cell->cpus[cpu / 64] >> cpu % 64 & 1;
}

static unsigned long long mib(uint64_t kib)
{
	return (unsigned long long)(kib / 1024);
}

static int check_memory(const struct vm_check *c, unsigned i, uint64_t begins_kib)
{
	const struct vm_cell *cell = &c->config->cells[i];
	uint32_t page = cell->hugepage_kib ? cell->hugepage_kib : 4;

	if (cell->memory_kib < VM_MIN_MEMORY_KIB)
		return vm_check_fail(c,
			"cpu/numa/cell[%u]/@memory: %llu KiB is too little; write at least %u",
			i + 1, (unsigned long long)cell->memory_kib, VM_MIN_MEMORY_KIB);
	if (page != 4 && page != 2048 && page != 1048576)
		return vm_check_fail(c,
			"cpu/numa/cell[%u]: no page of %u KiB; write 2048 or 1048576", i + 1, page);
	if (cell->memory_kib > VM_MAX_MEMORY_KIB || cell->memory_kib % page)
		return vm_check_fail(c,
			"cpu/numa/cell[%u]/@memory: %llu KiB are not whole pages of %u KiB; write "
			"a multiple of them",
			i + 1, (unsigned long long)cell->memory_kib, page);
	if (begins_kib % page)
		return vm_check_fail(c,
			"cpu/numa/cell[%u]: its memory begins at %llu MiB, where no page of %u MiB "
			"does; make the cells before it multiples of that",
			i + 1, mib(begins_kib), page / 1024);
	return 0;
}

static int check_distances(const struct vm_check *c, unsigned from)
{
	const struct vm_config *config = c->config;

	for (unsigned to = 0; to < config->n_cells; to++) {
		unsigned d = config->cells[from].distances[to];

		if (to == from ? d != VM_CELL_LOCAL : d <= VM_CELL_LOCAL)
			return vm_check_fail(c,
				"cpu/numa/cell[%u]/distances: %u to cell %u; write %d to itself, "
				"and %d to %d to another",
				from + 1, d, to, VM_CELL_LOCAL, VM_CELL_LOCAL + 1,
				VM_CELL_FARTHEST);
	}
	return 0;
}

/* Each vCPU that there can be is in one cell, and there are no others. */
static int check_vcpus(const struct vm_check *c)
{
	const struct vm_config *config = c->config;

	for (unsigned cpu = 0; cpu < CPUSET_MAX_CPUS; cpu++) {
		unsigned n = 0;

		for (unsigned i = 0; i < config->n_cells; i++)
			n += has_cpu(&config->cells[i], cpu);
		if (n && cpu >= config->vcpus_max)
			return vm_check_fail(c,
				"cpu/numa: vCPU %u: Number of CPUs in <numa> exceeds the <vcpu> "
				"count; write 0 to %u",
				cpu, config->vcpus_max - 1);
		if (n != 1 && cpu < config->vcpus_max)
			return vm_check_fail(
				c, "cpu/numa: vCPU %u is in %u cells; write it in one", cpu, n);
	}
	return 0;
}

static int check_sum(const struct vm_check *c)
{
	const struct vm_config *config = c->config;
	uint64_t sum_kib = 0;
	uint32_t page = 0;

	for (unsigned i = 0; i < config->n_cells; i++) {
		int r = check_memory(c, i, sum_kib);

		if (r < 0)
			return r;
		sum_kib += config->cells[i].memory_kib;
		page = MAX(page, config->cells[i].hugepage_kib);
	}
	if (sum_kib != config->memory_kib)
		return vm_check_fail(c,
			"cpu/numa: the cells have %llu KiB of memory, and <memory> %llu KiB; make "
			"both equal",
			(unsigned long long)sum_kib, (unsigned long long)config->memory_kib);
	if (page != config->hugepage_kib)
		return vm_check_fail(c,
			"memoryBacking/hugepages: pages of %u KiB, and %u KiB in the cells; make "
			"both equal",
			config->hugepage_kib, page);
	return 0;
}

int vm_check_cells(const struct vm_check *c)
{
	const struct vm_config *config = c->config;
	int r = 0;

	if (config->n_cells > VM_MAX_CELLS)
		return vm_check_fail(
			c, "cpu/numa: %u cells; write at most %d", config->n_cells, VM_MAX_CELLS);
	if (!config->n_cells)
		return 0;
	r = check_sum(c);
	if (r == 0)
		r = check_vcpus(c);
	for (unsigned i = 0; r == 0 && i < config->n_cells; i++)
		r = check_distances(c, i);
	return r;
}

uint64_t vm_config_ordinary_kib(const struct vm_config *config)
{
	uint64_t kib = 0;

	if (!config->n_cells)
		return config->hugepage_kib ? 0 : config->memory_kib;
	for (unsigned i = 0; i < MIN(config->n_cells, (uint32_t)VM_MAX_CELLS); i++)
		if (!config->cells[i].hugepage_kib)
			kib += config->cells[i].memory_kib;
	return kib;
}
