/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's capabilities: features and level from a made-up CPUID, topology from a made-up /sys, then the real ones. */
#include "daemon/host-caps.h"
#include "daemon/host-cpu.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm-core/base/strutil.h"

struct fake_cpu {
	struct cpu_feature_set features;
	uint32_t max_leaf;
};

static void fake_cpuid(void *opaque, uint32_t leaf, uint32_t subleaf, uint32_t ret[4])
{
	const struct fake_cpu *cpu = opaque;

	memset(ret, 0, 4 * sizeof(*ret));
	if (leaf == 0)
		ret[CPU_EAX] = cpu->max_leaf;
	if (leaf == 0x80000000)
		ret[CPU_EAX] = 0x80000022;
	/* Beyond the last leaf: nonsense, as real processors answer. */
	if (leaf > cpu->max_leaf && leaf < 0x80000000)
		memset(ret, 0xff, 4 * sizeof(*ret));
	for (unsigned i = 0; i < cpu_n_features; i++)
		if (cpu_features[i].leaf == leaf && cpu_features[i].subleaf == subleaf &&
			cpu_feature_in(&cpu->features, i))
			ret[cpu_features[i].reg] |= UINT32_C(1) << cpu_features[i].bit;
}

static void test_features(void **state)
{
	struct cpu_model_features model;
	struct cpu_feature_set found;
	struct fake_cpu cpu = {.max_leaf = 0x1f};
	int vmx = cpu_feature_find("vmx"), osxsave = cpu_feature_find("osxsave");

	(void)state;
	for (unsigned level = 1; level <= CPU_LEVELS; level++) {
		cpu_model_features(&cpu_models[level - 1], &model);
		cpu.features = model.required;
		cpu_feature_add(&cpu.features, (unsigned)vmx);
		cpu_feature_add(&cpu.features, (unsigned)osxsave);
		host_features_read(fake_cpuid, &cpu, &found);
		assert_false(cpu_feature_in(&found, (unsigned)osxsave));
		assert_int_equal(cpu_level(&found), level);
		cpu_features_cut(&found, &model.required);
		for (unsigned i = 0; i < cpu_n_features; i++)
			assert_int_equal(cpu_feature_in(&found, i), i == (unsigned)vmx);
	}
	/* One that lacks a single feature of v3 and v4 is a v2. */
	cpu_feature_remove(&cpu.features, (unsigned)cpu_feature_find("avx2"));
	host_features_read(fake_cpuid, &cpu, &found);
	assert_int_equal(cpu_level(&found), 2);
	assert_true(cpu_feature_in(&found, (unsigned)cpu_feature_find("avx512f")));
	/* Leaves that are not there say nothing. */
	cpu.max_leaf = 6;
	host_features_read(fake_cpuid, &cpu, &found);
	assert_false(cpu_feature_in(&found, (unsigned)cpu_feature_find("smap")));
	assert_int_equal(cpu_level(&(struct cpu_feature_set){0}), 0);
}

static void put(const char *dir, const char *path, const char *text)
{
	char full[256], command[512];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", full);
	assert_int_equal(system(command), 0);
	f = fopen(full, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void test_topology(void **state)
{
	char dir[] = "/tmp/test-host-caps-XXXXXX", path[96], command[64];
	struct host_caps *caps = calloc(1, sizeof(*caps));

	(void)state;
	assert_non_null(mkdtemp(dir));
	put(dir, "devices/system/node/online", "0,2\n");
	put(dir, "devices/system/node/node0/cpulist", "0-1,4\n");
	put(dir, "devices/system/node/node0/meminfo", "Node 0 MemTotal:       8192 kB\n");
	put(dir, "devices/system/node/node2/cpulist", "\n"); /* memory only */
	put(dir, "devices/system/node/node2/meminfo", "Node 2 MemTotal:       4096 kB\n");
	put(dir, "devices/system/node/node0/distance", "10 21\n");
	put(dir, "devices/system/node/node2/distance", "21 10\n");
	put(dir, "devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "3\n");
	put(dir, "kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages", "0\n");
	put(dir, "kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
	for (unsigned i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "devices/system/cpu/cpu%u/topology/core_id", i);
		put(dir, path, "5\n");
		snprintf(path, sizeof(path),
			"devices/system/cpu/cpu%u/topology/physical_package_id", i);
		put(dir, path, "1\n");
		snprintf(path, sizeof(path),
			"devices/system/cpu/cpu%u/topology/thread_siblings_list", i);
		put(dir, path, "0-1\n");
	}
	assert_int_equal(host_topology_read(dir, caps), 0);
	assert_int_equal(caps->caps.n_cells, 2);
	assert_int_equal(caps->cells[0].memory_kib, 8192);
	assert_int_equal(caps->cells[1].id, 2);
	assert_int_equal(caps->caps.n_cpus, 3);
	assert_int_equal(caps->cpus[1].core, 5);
	assert_int_equal(caps->cpus[1].socket, 1);
	assert_string_equal(caps->cpus[1].siblings, "0-1");
	assert_int_equal(caps->cells[0].pages[0], (8192 - 3 * 2048) / 4);
	assert_int_equal(caps->cells[0].pages[1], 3);
	assert_int_equal(caps->cells[0].pages[2], 0);
	assert_int_equal(caps->cells[1].pages[0], 1024);
	assert_int_equal(caps->cells[1].distances[0], 21);
	assert_int_equal(caps->cells[1].distances[1], 10);
	/* Without a folder of its own: alone in its core. */
	assert_int_equal(caps->cpus[2].id, 4);
	assert_string_equal(caps->cpus[2].siblings, "4");
	assert_int_equal(caps->caps.n_page_sizes, 3);
	assert_int_equal(caps->page_kib[1], 2048);
	assert_int_equal(caps->page_kib[2], 1048576);
	host_caps_free(caps);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

static void test_this_host(void **state)
{
	struct host_caps *caps;
	char *xml;

	(void)state;
	assert_int_equal(host_caps_read("/usr/libexec/vmmd-worker", &caps), 0);
	assert_non_null(cpu_model_find(caps->caps.cpu_model));
	assert_true(caps->caps.n_cpus >= 1);
	assert_true(caps->caps.n_features >= 1);
	assert_int_equal(capabilities_xml_format(&caps->caps, &xml), 0);
	assert_non_null(strstr(xml, "<cells num="));
	free(xml);
	host_caps_free(caps);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_topology),
		cmocka_unit_test(test_this_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
