/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where RAM is, and whose: without cells, and with cells on both sides of the hole. */
#include "vmm-core/ram-map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/layout.h"

static struct vm_config config;

static void make(unsigned n, const uint64_t *gibs)
{
	vm_config_init(&config);
	config.n_cells = n;
	for (unsigned i = 0; i < n; i++) {
		config.cells[i].memory_kib = gibs[i] << 20;
		config.memory_kib += gibs[i] << 20;
	}
}

static void assert_range(
	const struct ram_map *map, unsigned i, uint64_t base, uint64_t size, unsigned cell)
{
	assert_true(i < map->n);
	assert_int_equal(map->ranges[i].base, base);
	assert_int_equal(map->ranges[i].size, size);
	assert_int_equal(map->ranges[i].cell, cell);
}

static void test_plain(void **state)
{
	struct ram_map map;

	(void)state;
	vm_config_init(&config);
	config.memory_kib = 1 << 20;
	ram_map_of(&config, &map);
	assert_int_equal(map.n, 1);
	assert_range(&map, 0, 0, GIB(1), 0);
	assert_int_equal(map.end, GIB(4));
	config.memory_kib = 5 << 20;
	ram_map_of(&config, &map);
	assert_int_equal(map.n, 2);
	assert_range(&map, 0, 0, GIB(3), 0);
	assert_range(&map, 1, GIB(4), GIB(2), 0);
	assert_int_equal(map.end, GIB(6));
	assert_int_equal(map.size, GIB(5));
}

static void test_cells(void **state)
{
	static const uint64_t even[] = {3, 1}, over[] = {2, 4, 1};
	uint64_t most[VM_MAX_CELLS];
	struct ram_map map;

	(void)state;
	/* One ends where the hole begins. */
	make(2, even);
	ram_map_of(&config, &map);
	assert_int_equal(map.n, 2);
	assert_range(&map, 0, 0, GIB(3), 0);
	assert_range(&map, 1, GIB(4), GIB(1), 1);
	/* One is on both sides. */
	make(3, over);
	ram_map_of(&config, &map);
	assert_int_equal(map.n, 4);
	assert_range(&map, 0, 0, GIB(2), 0);
	assert_range(&map, 1, GIB(2), GIB(1), 1);
	assert_range(&map, 2, GIB(4), GIB(3), 1);
	assert_range(&map, 3, GIB(7), GIB(1), 2);
	assert_int_equal(map.end, GIB(8));
	/* As many as there can be. */
	for (unsigned i = 0; i < VM_MAX_CELLS; i++)
		most[i] = 2;
	make(VM_MAX_CELLS, most);
	ram_map_of(&config, &map);
	assert_int_equal(map.n, RAM_MAP_MAX);
	assert_int_equal(map.size, GIB(2 * VM_MAX_CELLS));
	assert_int_equal(map.end, LAYOUT_HIGH_RAM_BASE + GIB(2 * VM_MAX_CELLS - 3));
	for (unsigned i = 1; i < map.n; i++)
		assert_true(map.ranges[i].base >= map.ranges[i - 1].base + map.ranges[i - 1].size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_cells),
	};

	return cmocka_run_group_tests_name("ram-map", tests, NULL, NULL);
}
