/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's nodes, from a /sys of our own. */
#include "daemon/host-numa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sysfs-fixture.h"

static void test_nodes(void **state)
{
	const char *dir = *state;
	static struct host_nodes nodes;
	const struct host_node *node;

	sysfs_put(dir, "devices/system/node/has_memory", "0,2\n");
	sysfs_put(dir, "devices/system/node/node0/meminfo",
		"Node 0 MemTotal:       8192 kB\nNode 0 MemFree:        4096 kB\n");
	sysfs_put_pages(dir, 0, 1048576, 3, 1);
	sysfs_put_pages(dir, 0, 2048, 512, 500);
	sysfs_put(dir, "devices/system/node/node0/hugepages/hugepages-junk/nr_hugepages", "7\n");
	sysfs_put(dir, "devices/system/node/node2/meminfo", "Node 2 MemTotal:       1024 kB\n");
	host_numa_read(dir, &nodes);
	assert_int_equal(nodes.n, 2);
	assert_int_equal(nodes.set[0], 5);
	assert_null(host_numa_find(&nodes, 1));
	node = host_numa_find(&nodes, 0);
	assert_int_equal(node->memory_kib, 8192);
	assert_int_equal(node->free_kib, 4096);
	assert_int_equal(node->n_pages, 2);
	assert_int_equal(node->pages[0].size_kib, 2048);
	assert_int_equal(host_numa_pages(node, 2048)->free, 500);
	assert_int_equal(host_numa_pages(node, 1048576)->total, 3);
	assert_null(host_numa_pages(node, 16384));
	node = host_numa_find(&nodes, 2);
	assert_int_equal(node->memory_kib, 1024);
	assert_int_equal(node->free_kib, 0);
	assert_int_equal(node->n_pages, 0);
}

/* Reserved pages are free for those who reserved them. */
static void test_unreserved(void **state)
{
	const char *dir = *state;

	assert_int_equal(host_numa_unreserved(dir, 2048), 0);
	sysfs_put(dir, "kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "10\n");
	assert_int_equal(host_numa_unreserved(dir, 2048), 10);
	sysfs_put(dir, "kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "4\n");
	assert_int_equal(host_numa_unreserved(dir, 2048), 6);
	sysfs_put(dir, "kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "11\n");
	assert_int_equal(host_numa_unreserved(dir, 2048), 0);
}

/* A kernel without NUMA, and this host. */
static void test_one_node(void **state)
{
	const char *dir = *state;
	static struct host_nodes nodes;

	sysfs_put(dir, "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "9\n");
	host_numa_read(dir, &nodes);
	assert_int_equal(nodes.n, 1);
	assert_int_equal(nodes.set[0], 1);
	assert_true(nodes.nodes[0].memory_kib > 0);
	assert_int_equal(host_numa_pages(&nodes.nodes[0], 2048)->total, 9);
	host_numa_read("/sys", &nodes);
	assert_true(nodes.n >= 1);
	assert_true(nodes.nodes[0].memory_kib > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nodes, sysfs_setup, sysfs_teardown),
		cmocka_unit_test_setup_teardown(test_unreserved, sysfs_setup, sysfs_teardown),
		cmocka_unit_test_setup_teardown(test_one_node, sysfs_setup, sysfs_teardown),
	};

	return cmocka_run_group_tests_name("host-numa", tests, NULL, NULL);
}
