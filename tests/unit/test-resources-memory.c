/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest memory as resources: a file for each cell, bound to nodes of the host; what a host with several nodes refuses, with which
 * words (its /sys is ours); and what the kernel says of the policy of a file. */
#include "resources-fixture.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "sysfs-fixture.h"

static char *sysfs;

static int setup(void **state)
{
	sysfs_setup((void **)&sysfs);
	resources_setup(state);
	config->vm.memory_kib = 8192;
	return 0;
}

static int teardown(void **state)
{
	sysfs_teardown((void **)&sysfs);
	return resources_teardown(state);
}

static int ram_of(unsigned cell)
{
	int at = find(PROTO_FD_RAM, cell);

	return at < 0 ? -EBADF : res.fds[at];
}

static void add_cells(unsigned n, uint64_t kib)
{
	config->vm.n_cells = n;
	config->vm.memory_kib = n * kib;
	for (unsigned i = 0; i < n; i++)
		config->vm.cells[i].memory_kib = kib;
}

static void add_memnode(uint8_t cell, uint8_t mode, const char *nodes)
{
	struct domain_memnode *node = &config->numatune.memnodes[config->numatune.n_memnodes++];

	*node = (struct domain_memnode){.cell = cell, .mode = mode};
	assert_int_equal(cpuset_parse(nodes, node->nodes), 0);
}

static void set_memory_node(uint8_t mode, const char *nodes)
{
	config->numatune.mode = mode;
	assert_int_equal(cpuset_parse(nodes, config->numatune.nodes), 0);
}

/* Two nodes: 64 MiB and 32 MiB, with 8 and 4 huge pages, of which 9 are reserved by nobody. */
static void make_host(void)
{
	env.sysfs = sysfs;
	sysfs_put(sysfs, "devices/system/node/has_memory", "0-1\n");
	sysfs_put(sysfs, "devices/system/node/node0/meminfo", "Node 0 MemTotal: 65536 kB\n");
	sysfs_put(sysfs, "devices/system/node/node1/meminfo", "Node 1 MemTotal: 32768 kB\n");
	sysfs_put_pages(sysfs, 0, 2048, 16, 8);
	sysfs_put_pages(sysfs, 1, 2048, 16, 4);
	sysfs_put(sysfs, "kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "12\n");
	sysfs_put(sysfs, "kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "3\n");
}

static int policy_of(int fd, uint64_t *ret_nodes)
{
	uint64_t nodes[CPUSET_WORDS] = {0};
	int mode = -1;
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	if (syscall(SYS_get_mempolicy, &mode, nodes, CPUSET_MAX_CPUS + 1, p, MPOL_F_ADDR) < 0)
		mode = -errno;
	munmap(p, 4096);
	*ret_nodes = nodes[0];
	return mode == -ENOSYS ? mode : mode & ~MPOL_MODE_FLAGS;
}

/* Each has its file and its policy, which is there without anybody's mapping. Every host has a node 0. */
static void test_files(void **state)
{
	static const int modes[] = {MPOL_BIND, MPOL_PREFERRED, MPOL_INTERLEAVE, MPOL_DEFAULT};
	struct stat st;
	uint64_t nodes;

	(void)state;
	add_cells(4, 2048);
	config->vm.cells[2].memory_kib = 4096;
	config->vm.memory_kib += 2048;
	set_memory_node(DOMAIN_NUMA_STRICT, "0");
	add_memnode(1, DOMAIN_NUMA_PREFERRED, "0");
	add_memnode(2, DOMAIN_NUMA_INTERLEAVE, "0");
	add_memnode(3, DOMAIN_NUMA_RESTRICTIVE, "0");
	refused("domain 'test': numatune/memnode[3]: mode 'restrictive' needs a cpuset controller");
	env.can_restrict = true;
	open_ok();
	for (unsigned i = 0; i < 4; i++) {
		int mode;

		assert_int_equal(fstat(ram_of(i), &st), 0);
		assert_int_equal(st.st_size, i == 2 ? MIB(4) : MIB(2));
		assert_int_equal(st.st_blocks, 0);
		assert_true(fcntl(ram_of(i), F_GET_SEALS) & F_SEAL_SHRINK);
		mode = policy_of(ram_of(i), &nodes);
		if (mode == -ENOSYS)
			continue;
		assert_int_equal(mode, modes[i]);
		assert_int_equal(nodes, mode == MPOL_DEFAULT ? 0 : 1);
	}
	assert_int_equal(ram_of(4), -EBADF);
}

static void test_nodes(void **state)
{
	(void)state;
	make_host();
	set_memory_node(DOMAIN_NUMA_INTERLEAVE, "0-2");
	refused("domain 'test': numatune/memory: NUMA node 2 is unavailable: the host has memory "
		"on "
		"0-1");
	add_cells(2, 4096);
	set_memory_node(DOMAIN_NUMA_STRICT, "0");
	add_memnode(1, DOMAIN_NUMA_PREFERRED, "9");
	refused("domain 'test': numatune/memnode[1]: NUMA node 9 is unavailable");
	/* More than a node has in all can never come from it; a preferred one need not have it. */
	config->numatune.n_memnodes = 0;
	add_cells(2, 16388);
	set_memory_node(DOMAIN_NUMA_STRICT, "1");
	refused("domain 'test': numatune/memory: 32 MiB are to come from NUMA node 1 of the host, "
		"which has 32 MiB in all");
	config->numatune.nodes[0] = 1;
	add_memnode(0, DOMAIN_NUMA_PREFERRED, "0");
	add_memnode(1, DOMAIN_NUMA_PREFERRED, "0");
	config->vm.cells[0].memory_kib = config->vm.cells[1].memory_kib = 1 << 20;
	open_ok();
}

/* How many are missing, and where. */
static void test_huge_pages(void **state)
{
	(void)state;
	make_host();
	config->vm.hugepage_kib = 2048;
	config->vm.memory_kib = 10 * 2048;
	refused("domain 'test' needs 10 free huge pages of 2048 KiB, the host has 9: 1 are "
		"missing");
	config->vm.memory_kib = 5 * 2048;
	set_memory_node(DOMAIN_NUMA_STRICT, "1");
	refused("domain 'test' needs 5 free huge pages of 2048 KiB, NUMA node 1 of the host has 4: "
		"1 "
		"are missing");
	/* Each has enough alone, not both together; nor those of both nodes with what is reserved. */
	add_cells(2, 3 * 2048);
	config->vm.cells[0].hugepage_kib = config->vm.cells[1].hugepage_kib = 2048;
	add_memnode(0, DOMAIN_NUMA_STRICT, "1");
	refused("needs 6 free huge pages of 2048 KiB, NUMA node 1 of the host has 4: 2 are "
		"missing");
	config->vm.cells[1].memory_kib = 7 * 2048;
	config->numatune.nodes[0] = 3;
	refused("needs 10 free huge pages of 2048 KiB, the host has 9: 1 are missing");
	config->vm.cells[1].hugepage_kib = 1048576;
	config->vm.cells[1].memory_kib = 1048576;
	refused("needs 1 free huge pages of 1048576 KiB, NUMA node 0-1 of the host has 0: 1 are "
		"missing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge_pages, setup, teardown),
	};

	return cmocka_run_group_tests_name("resources-memory", tests, NULL, NULL);
}
