/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which guest-physical addresses are RAM, and which cell of the guest's (<cpu><numa>) they belong to: what the SRAT tells, and what
 * guest-mem.h maps. Cells lie one behind the other, around the hole below 4 GiB.
 *
 * Pure. Threads: any.
 *
 * Tested by tests/unit/test-ram-map.c.
 */
#pragma once

#include "config/vm-config.h"

#define RAM_MAP_MAX (VM_MAX_CELLS + 1) /* one of them is on both sides of the hole */

struct ram_range {
	uint64_t base, size; /* bytes */
	unsigned cell;
};

struct ram_map {
	unsigned n;
	struct ram_range ranges[RAM_MAP_MAX]; /* ascending, none empty */
	uint64_t size;                        /* of all together */
	uint64_t end;                         /* behind the last, at least 4 GiB */
};

/* From a validated configuration; without cells all is cell 0. */
void ram_map_of(const struct vm_config *config, struct ram_map *ret);

/* How many bytes cell i has; without cells: cell 0. */
uint64_t ram_cell_size(const struct vm_config *config, unsigned cell);
/* How many cells there are: at least one. */
unsigned ram_n_cells(const struct vm_config *config);
