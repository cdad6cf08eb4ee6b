/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nodes of memory, once the whole document is read: the guest's own (<cpu><numa>), their pages (<hugepages>), and where the host
 * takes them from (<numatune>). Where libvirt has words for what is wrong, they are here.
 *
 * Tested by tests/unit/test-domain-numa.c.
 */
#include <errno.h>
#include <stdio.h>

#include "config/domain-rules.h"
#include "vmm-core/base/strutil.h"

static bool is_in(const uint64_t set[CPUSET_WORDS], unsigned n)
{
	return set[n / 64] >> n % 64 & 1;
}

static int find_last(const uint64_t set[CPUSET_WORDS])
{
	int n = CPUSET_MAX_CPUS;

	while (--n >= 0 && !is_in(set, (unsigned)n))
		;
	return n;
}

static bool overlap(const uint64_t a[CPUSET_WORDS], const uint64_t b[CPUSET_WORDS])
{
	for (unsigned i = 0; i < CPUSET_WORDS; i++)
		if (a[i] & b[i])
			return true;
	return false;
}

static void path_of_cell(unsigned i, const char *what, char ret[XML_PATH_MAX])
{
	(void)snprintf(ret, XML_PATH_MAX, "cpu/numa/cell[%u]%s", i + 1, what);
}

int domain_after_numa(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	const struct vm_config *vm = place->base[0];

	(void)node;
	return vm->n_cells ? 0
			   : xml_fail(p, p->report->entries[place->entry].line, place->path, NULL,
				     "NUMA topology defined without NUMA cells; write <cell>");
}

int domain_after_numa_memory(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct domain_numatune *tune = &((struct domain_config *)place->base[1])->numatune;

	(void)node;
	if (tune->mode == DOMAIN_NUMA_DEFAULT)
		tune->mode = DOMAIN_NUMA_STRICT;
	if (!tune->is_auto || cpuset_is_empty(tune->nodes))
		return 0;
	memset(tune->nodes, 0, sizeof(tune->nodes));
	return xml_verdict_path(p, "numatune/memory/@nodeset", CONTRACT_IGNORED,
		"placement='auto' leaves the choice to the host");
}

/* Cells. */

static int finish_ids(struct xml_parser *p, struct domain_config *config)
{
	char path[XML_PATH_MAX];

	for (unsigned i = 0; i < config->vm.n_cells; i++) {
		struct domain_cell *cell = &config->cells[i];
		uint8_t id = i ? (uint8_t)i : DOMAIN_CELL_ZERO;

		if (!cell->id)
			cell->id = id;
		if (cell->id == id)
			continue;
		path_of_cell(i, "/@id", path);
		return xml_fail_path(p, path,
			"Exactly one 'cell' element per guest NUMA cell allowed, non-contiguous "
			"ranges or ranges not starting from 0 are not allowed; write id='%u' here",
			i);
	}
	return 0;
}

/* vCPUs that no cell names are the first one's. */
static int finish_cpus(struct xml_parser *p, struct vm_config *vm)
{
	char path[XML_PATH_MAX];

	if (!vm->vcpus_max || vm->vcpus_max > VM_MAX_VCPUS)
		return 0; /* the validator says so */
	for (unsigned i = 0; i < vm->n_cells; i++) {
		path_of_cell(i, "/@cpus", path);
		if (find_last(vm->cells[i].cpus) >= (int)vm->vcpus_max)
			return xml_fail_path(p, path,
				"Number of CPUs in <numa> exceeds the <vcpu> count; write 0 to %u",
				vm->vcpus_max - 1);
		for (unsigned k = 0; k < i; k++)
			if (overlap(vm->cells[i].cpus, vm->cells[k].cpus))
				return xml_fail_path(p, path,
					"NUMA cells %u and %u have overlapping vCPU ids; write "
					"each vCPU in one",
					i, k);
	}
	for (unsigned cpu = 0; cpu < vm->vcpus_max; cpu++) {
		bool found = false;

		for (unsigned i = 0; i < vm->n_cells && !found; i++)
			found = is_in(vm->cells[i].cpus, cpu);
		if (!found)
			vm->cells[0].cpus[cpu / 64] |= UINT64_C(1) << cpu % 64;
	}
	return 0;
}

static int finish_siblings(struct xml_parser *p, struct domain_config *config, unsigned i)
{
	const struct domain_cell *cell = &config->cells[i];
	struct vm_config *vm = &config->vm;
	uint8_t *distances = vm->cells[i].distances;
	uint64_t seen = 0;
	char path[XML_PATH_MAX];

	for (unsigned k = 0; k < cell->n_siblings; k++) {
		unsigned id = cell->siblings[k].id, value = cell->siblings[k].value;
		char what[48];

		(void)snprintf(what, sizeof(what), "/distances/sibling[%u]", k + 1);
		path_of_cell(i, what, path);
		if (id >= vm->n_cells)
			return xml_fail_path(p, path,
				"'sibling_id %u' does not refer to a valid cell within NUMA 'cell "
				"id %u'; write 0 to %u",
				id, i, vm->n_cells - 1);
		if (seen >> id & 1)
			return xml_fail_path(
				p, path, "the distance to cell %u is given twice; remove one", id);
		if (id == i ? value != VM_CELL_LOCAL : value <= VM_CELL_LOCAL)
			return xml_fail_path(p, path,
				"'value %u' is invalid for 'sibling id %u' under NUMA 'cell id "
				"%u'; "
				"write %d to itself, and %d to %d to another",
				value, id, i, VM_CELL_LOCAL, VM_CELL_LOCAL + 1, VM_CELL_FARTHEST);
		seen |= UINT64_C(1) << id;
		distances[id] = (uint8_t)value;
		/* The way back is as long, unless that cell says otherwise. */
		if (!vm->cells[id].distances[i])
			vm->cells[id].distances[i] = (uint8_t)value;
	}
	return 0;
}

static int finish_distances(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	int r = 0;

	for (unsigned i = 0; r == 0 && i < vm->n_cells; i++)
		r = finish_siblings(p, config, i);
	for (unsigned i = 0; i < vm->n_cells; i++)
		for (unsigned k = 0; k < vm->n_cells; k++)
			if (!vm->cells[i].distances[k])
				vm->cells[i].distances[k] = i == k ? VM_CELL_LOCAL : VM_CELL_REMOTE;
	return r;
}

/* Pages. */

static int check_pages(struct xml_parser *p, const struct domain_config *config)
{
	int master = -1;
	char path[64];

	for (unsigned i = 0; i < config->n_pages; i++) {
		const struct domain_page *page = &config->pages[i];
		int last = find_last(page->cells);

		(void)snprintf(path, sizeof(path), "memoryBacking/hugepages/page[%u]", i + 1);
		if (page->size_kib != 4 && page->size_kib != 2048 && page->size_kib != 1048576)
			return xml_fail_path(p, path, "no page of %u KiB; write 2048 or 1048576",
				page->size_kib);
		/* Without cells all of it is node 0. */
		if (last >= (int)MAX(config->vm.n_cells, 1U))
			return xml_fail_path(p, path,
				"hugepages: node %d not found; write cells that <cpu><numa> has",
				last);
		if (last < 0 && master >= 0)
			return xml_fail_path(p, path,
				"two master hugepages detected: %u and %u; write nodeset= for one",
				config->pages[master].size_kib, page->size_kib);
		if (last < 0)
			master = (int)i;
		for (unsigned k = 0; k < i; k++)
			if (overlap(page->cells, config->pages[k].cells))
				return xml_fail_path(p, path,
					"nodeset attribute of hugepages of sizes %u and %u "
					"intersect; write each cell once",
					config->pages[k].size_kib, page->size_kib);
	}
	return 0;
}

/* Of a cell, in KiB; 0: ordinary ones. */
static uint32_t page_of(const struct domain_config *config, unsigned cell)
{
	uint32_t kib = 0;

	for (unsigned i = 0; i < config->n_pages; i++) {
		const struct domain_page *page = &config->pages[i];

		if (is_in(page->cells, cell))
			return page->size_kib == 4 ? 0 : page->size_kib;
		if (cpuset_is_empty(page->cells))
			kib = page->size_kib == 4 ? 0 : page->size_kib;
	}
	return kib;
}

/* Memory. */

static int finish_cell_memory(struct xml_parser *p, struct domain_config *config, unsigned i)
{
	struct vm_config *vm = &config->vm;
	struct vm_cell *cell = &vm->cells[i];
	uint32_t step;
	char path[XML_PATH_MAX];

	cell->hugepage_kib = page_of(config, i);
	vm->hugepage_kib = MAX(vm->hugepage_kib, cell->hugepage_kib);
	step = cell->hugepage_kib ? cell->hugepage_kib : 4;
	if (cell->memory_kib > VM_MAX_MEMORY_KIB || cell->memory_kib % step == 0)
		return 0; /* the validator says so */
	cell->memory_kib = DIV_ROUND_UP(cell->memory_kib, step) * step;
	path_of_cell(i, "/@memory", path);
	return xml_verdict_path(p, path, CONTRACT_ADAPTED, "rounded up to whole pages");
}

static int finish_sum(struct xml_parser *p, struct vm_config *vm)
{
	uint64_t sum_kib = 0;
	int r;

	for (unsigned i = 0; i < vm->n_cells; i++) {
		if (vm->cells[i].memory_kib > VM_MAX_MEMORY_KIB)
			return 0; /* the validator says so */
		sum_kib += vm->cells[i].memory_kib;
	}
	if (sum_kib == vm->memory_kib)
		return 0;
	vm->memory_kib = sum_kib;
	r = xml_verdict_path(
		p, "memory", CONTRACT_ADAPTED, "the sum of what the cells of <cpu><numa> have");
	if (r < 0 || vm->current_memory_kib <= sum_kib)
		return r;
	vm->current_memory_kib = sum_kib;
	return xml_verdict_path(p, "currentMemory", CONTRACT_ADAPTED,
		"the sum of what the cells of <cpu><numa> have");
}

static int finish_cells(struct xml_parser *p, struct domain_config *config)
{
	struct vm_config *vm = &config->vm;
	int r = finish_ids(p, config);

	if (r == 0)
		r = finish_cpus(p, vm);
	if (r == 0)
		r = finish_distances(p, config);
	for (unsigned i = 0; r == 0 && i < vm->n_cells; i++)
		r = finish_cell_memory(p, config, i);
	if (r == 0)
		r = finish_sum(p, vm);
	if (r == 0 && !vm->acpi)
		r = xml_verdict_path(p, "cpu/numa", CONTRACT_ADAPTED,
			"without <features><acpi/> the guest is not told");
	return r;
}

/* Where it is taken from. */

static int count_nodes(const uint64_t set[CPUSET_WORDS])
{
	int n = 0;

	for (unsigned i = 0; i < CPUSET_WORDS; i++)
		n += __builtin_popcountll(set[i]);
	return n;
}

/* What is wrong with it, and in which element; NULL: nothing. */
static const char *check_memnode(const struct domain_config *config, unsigned i)
{
	const struct domain_numatune *tune = &config->numatune;
	const struct domain_memnode *node = &tune->memnodes[i];
	bool restrictive = node->mode == DOMAIN_NUMA_RESTRICTIVE;

	if (node->cell >= config->vm.n_cells)
		return "Argument 'cellid' in memnode element must correspond to existing guest's "
		       "NUMA cell; write one that <cpu><numa> has";
	for (unsigned k = 0; k < i; k++)
		if (tune->memnodes[k].cell == node->cell)
			return "Multiple memnode elements with this cellid; remove one";
	if (tune->is_auto)
		return "Per-node binding is not compatible with automatic NUMA placement.";
	if (restrictive && tune->mode != DOMAIN_NUMA_RESTRICTIVE)
		return "'restrictive' mode is required in memory element when mode is "
		       "'restrictive' in memnode element";
	if (!restrictive && tune->mode == DOMAIN_NUMA_RESTRICTIVE)
		return "'restrictive' mode is required in memnode element when mode is "
		       "'restrictive' in memory element";
	if (node->mode == DOMAIN_NUMA_PREFERRED && count_nodes(node->nodes) > 1)
		return "NUMA memory tuning in 'preferred' mode only supports single node; write "
		       "one node";
	return NULL;
}

static const char *check_memory(const struct domain_numatune *tune)
{
	if (tune->mode != DOMAIN_NUMA_DEFAULT && !tune->is_auto && cpuset_is_empty(tune->nodes))
		return "nodeset for NUMA memory tuning must be set if 'placement' is 'static'; "
		       "write for example 0-1";
	if (tune->mode == DOMAIN_NUMA_PREFERRED && count_nodes(tune->nodes) > 1)
		return "NUMA memory tuning in 'preferred' mode only supports single node; write "
		       "one node";
	return NULL;
}

int domain_numatune_check(const struct domain_config *config, char *ret_reason, size_t reason_size)
{
	const char *problem = check_memory(&config->numatune);

	if (problem)
		(void)snprintf(ret_reason, reason_size, "numatune/memory: %s", problem);
	for (unsigned i = 0; !problem && i < config->numatune.n_memnodes; i++) {
		problem = check_memnode(config, i);
		if (problem)
			(void)snprintf(ret_reason, reason_size, "numatune/memnode[%u]: %s", i + 1,
				problem);
	}
	return problem ? -EINVAL : 0;
}

static int finish_numatune(struct xml_parser *p, struct domain_config *config)
{
	struct domain_numatune *tune = &config->numatune;
	char reason[256], *colon;

	config->vm.memory_bound = tune->mode == DOMAIN_NUMA_STRICT && !tune->is_auto;
	for (unsigned i = 0; i < tune->n_memnodes; i++) {
		if (tune->memnodes[i].mode == DOMAIN_NUMA_DEFAULT)
			tune->memnodes[i].mode = DOMAIN_NUMA_STRICT;
		config->vm.memory_bound |= tune->memnodes[i].mode == DOMAIN_NUMA_STRICT;
	}
	if (domain_numatune_check(config, reason, sizeof(reason)) == 0)
		return 0;
	colon = strstr(reason, ": ");
	*colon = 0;
	return xml_fail_path(p, reason, "%s", colon + 2);
}

int domain_finish_numa(struct xml_parser *p, struct domain_config *config)
{
	int r = check_pages(p, config);

	if (r == 0 && config->vm.n_cells)
		r = finish_cells(p, config);
	else if (r == 0)
		config->vm.hugepage_kib = page_of(config, 0);
	return r == 0 ? finish_numatune(p, config) : r;
}
