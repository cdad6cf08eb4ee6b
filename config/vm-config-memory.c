/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The validator of struct vm_config: memory that is plugged in.
 *
 * Tested by tests/unit/test-vm-config.c.
 */
#include <stdio.h>

#include "config/vm-check.h"

#define ELEMENT_MAX 64

uint64_t vm_config_total_kib(const struct vm_config *config)
{
	uint64_t kib = config->memory_kib;

	for (uint32_t i = 0; i < config->n_memories; i++)
		kib += config->memories[i].size_kib;
	return kib;
}

uint64_t vm_config_requested_kib(const struct vm_config *config)
{
	uint64_t kib = config->memory_kib;

	for (uint32_t i = 0; i < config->n_memories; i++)
		kib += config->memories[i].requested_kib;
	return kib;
}

uint64_t vm_config_plug_room_kib(const struct vm_config *config)
{
	uint64_t n = MIN(config->memory_slots, (uint32_t)VM_MAX_MEMORIES);
	uint64_t kib = config->max_memory_kib - MIN(config->memory_kib, config->max_memory_kib);

	/* What is lost before each device but the first. */
	return kib && n ? ALIGN_UP(kib, VM_MEMORY_ALIGN_KIB) + (n - 1) * VM_MEMORY_ALIGN_KIB : 0;
}

static int check_block(const struct vm_check *c, const char *element, const struct vm_memory *m)
{
	uint32_t block = m->block_kib, page = c->config->hugepage_kib;

	if (block < VM_MIN_MEMORY_BLOCK || block > VM_MAX_MEMORY_BLOCK || block & (block - 1))
		return vm_check_fail(c,
			"%starget/block: %u KiB; write a power of two from %u to %u KiB", element,
			block, VM_MIN_MEMORY_BLOCK, VM_MAX_MEMORY_BLOCK);
	if (block < page)
		return vm_check_fail(c,
			"%starget/block: %u KiB are less than a huge page; write at least %u KiB",
			element, block, page);
	return 0;
}

static int check_memory_device(
	const struct vm_check *c, const char *element, const struct vm_memory *m)
{
	int r = check_block(c, element, m);

	if (r < 0)
		return r;
	if (!m->size_kib || m->size_kib > VM_MAX_MEMORY_KIB || m->size_kib % m->block_kib)
		return vm_check_fail(c,
			"%starget/size: %llu KiB; write a multiple of the block, %u KiB", element,
			(unsigned long long)m->size_kib, m->block_kib);
	if (m->size_kib / m->block_kib > VM_MAX_MEMORY_BLOCKS)
		return vm_check_fail(c,
			"%starget/block: %llu blocks of %u KiB are too many; write a larger block",
			element, (unsigned long long)(m->size_kib / m->block_kib), m->block_kib);
	if (m->requested_kib % m->block_kib)
		return vm_check_fail(c,
			"%starget/requested: %llu KiB; write a multiple of the block, %u KiB",
			element, (unsigned long long)m->requested_kib, m->block_kib);
	if (m->requested_kib > m->size_kib)
		return vm_check_fail(c,
			"%starget/requested: %llu KiB are more than the size; write at most %llu",
			element, (unsigned long long)m->requested_kib,
			(unsigned long long)m->size_kib);
	if (m->node && m->node >= c->config->n_cells)
		return vm_check_fail(c,
			"%starget/node: the guest has no NUMA node %u; write one of its cells, or "
			"remove it",
			element, m->node);
	return 0;
}

static int check_max_memory(const struct vm_check *c)
{
	const struct vm_config *config = c->config;

	if (!config->max_memory_kib != !config->memory_slots)
		return vm_check_fail(c,
			"maxMemory/@slots: a size and a number of slots belong together, and "
			"neither is 0; write for example <maxMemory slots='8' "
			"unit='GiB'>16</maxMemory>");
	if (!config->max_memory_kib)
		return 0;
	if (config->memory_slots > VM_MAX_MEMORY_SLOTS)
		return vm_check_fail(c, "maxMemory/@slots: %u; write at most %d",
			config->memory_slots, VM_MAX_MEMORY_SLOTS);
	if (config->max_memory_kib > VM_MAX_MEMORY_KIB || config->max_memory_kib % 4)
		return vm_check_fail(c, "maxMemory: %llu KiB; write a multiple of 4 up to %llu KiB",
			(unsigned long long)config->max_memory_kib,
			(unsigned long long)VM_MAX_MEMORY_KIB);
	if (config->max_memory_kib < config->memory_kib)
		return vm_check_fail(c, "maxMemory: less than memory; write at least %llu KiB",
			(unsigned long long)config->memory_kib);
	return 0;
}

static int check_sum(const struct vm_check *c)
{
	const struct vm_config *config = c->config;
	uint64_t total = vm_config_total_kib(config);

	if (config->max_memory_kib && total > config->max_memory_kib)
		return vm_check_fail(c,
			"maxMemory: less than memory with its devices; write at least %llu KiB",
			(unsigned long long)total);
	if (config->n_memories && config->memory_locked && !config->hugepage_kib)
		return vm_check_fail(c,
			"memoryBacking/locked: memory devices give memory back, and locked memory "
			"stays; remove one of them");
	return 0;
}

int vm_check_memories(const struct vm_check *c)
{
	const struct vm_config *config = c->config;
	uint32_t max = MIN(config->memory_slots, (uint32_t)VM_MAX_MEMORIES);
	int r = check_max_memory(c);

	if (r < 0)
		return r;
	if (config->n_memories && !config->max_memory_kib)
		return vm_check_fail(c,
			"devices/memory: there is no <maxMemory>; write how much memory there may "
			"be in all, for example <maxMemory slots='8' unit='GiB'>8</maxMemory>");
	if (config->n_memories > max)
		return vm_check_fail(c,
			"devices/memory: %u memory devices; write at most %u (maxMemory/@slots, "
			"and %d)",
			config->n_memories, max, VM_MAX_MEMORIES);
	for (uint32_t i = 0; i < config->n_memories; i++) {
		char element[ELEMENT_MAX];

		(void)snprintf(element, sizeof(element), "devices/memory[%u]/", i + 1);
		r = check_memory_device(c, element, &config->memories[i]);
		if (r < 0)
			return r;
	}
	return check_sum(c);
}
