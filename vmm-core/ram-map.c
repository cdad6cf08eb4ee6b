/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where RAM is: see ram-map.h. */
#include "vmm-core/ram-map.h"

#include <assert.h>

#include "vmm-core/layout.h"

unsigned ram_n_cells(const struct vm_config *config)
{
	return MAX(config->n_cells, 1U);
}

uint64_t ram_cell_size(const struct vm_config *config, unsigned cell)
{
	return KIB(config->n_cells ? config->cells[cell].memory_kib : config->memory_kib);
}

static void add(struct ram_map *map, uint64_t base, uint64_t size, unsigned cell)
{
	if (!size)
		return;
	assert(map->n < RAM_MAP_MAX);
	map->ranges[map->n++] = (struct ram_range){.base = base, .size = size, .cell = cell};
	map->size += size;
	map->end = MAX(map->end, base + size);
}

void ram_map_of(const struct vm_config *config, struct ram_map *ret)
{
	*ret = (struct ram_map){.end = LAYOUT_HIGH_RAM_BASE};
	for (unsigned i = 0; i < ram_n_cells(config); i++) {
		uint64_t size = ram_cell_size(config, i);
		uint64_t below = ret->size < LAYOUT_LOW_RAM_MAX
			? MIN(size, LAYOUT_LOW_RAM_MAX - ret->size)
			: 0;

		add(ret, ret->size, below, i);
		add(ret, LAYOUT_HIGH_RAM_BASE + ret->size - LAYOUT_LOW_RAM_MAX, size - below, i);
	}
}
