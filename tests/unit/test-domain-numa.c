/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <cpu><numa>, <hugepages> and <numatune>: what becomes of them, and each thing that can be wrong, in libvirt's words where it has some. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "config/domain-xml.h"
#include "xml-fixture.h"

#define DOMAIN(x)                                                                                  \
	"<domain type='kvm'><name>n</name><memory unit='MiB'>64</memory><vcpu>4</vcpu>"            \
	"<features><acpi/></features><os><type>hvm</type><kernel>/k</kernel></os>" x "</domain>"
#define NUMA(x)  "<cpu><numa>" x "</numa></cpu>"
#define CELLS(x) DOMAIN(NUMA(x))
#define PAGES(x) "<memoryBacking><hugepages>" x "</hugepages></memoryBacking>"
#define TWO                                                                                        \
	"<cell id='0' cpus='0-1' memory='32' unit='MiB'/>"                                         \
	"<cell id='1' cpus='2-3' memory='32' unit='MiB'/>"

static struct domain_config *parse(const char *xml, struct contract_report **ret_report)
{
	struct domain_config *config = NULL;
	char *error = NULL;
	int r = domain_xml_parse(xml, strlen(xml), "f", 0, &config, ret_report, &error);

	if (r < 0)
		fail_msg("%s: %d %s", xml, r, error ? error : "");
	assert_int_equal(vm_config_validate(&config->vm, NULL, 0), 0);
	return config;
}

static void wrong(const char *xml, const char *part)
{
	struct domain_config *config = NULL;
	struct contract_report *report = NULL;
	char *error = NULL;
	int r = domain_xml_parse(xml, strlen(xml), "f", 0, &config, &report, &error);

	assert_null(config);
	xml_expect_error(xml, r, report, error, -EINVAL, part);
}

static void assert_verdict(
	const struct contract_report *report, const char *path, enum contract_verdict verdict)
{
	long i = contract_find(report, path);

	assert_true(i >= 0);
	assert_int_equal(report->entries[i].verdict, verdict);
}

/* Cells decide how much memory there is; vCPUs that none names are the first one's; distances have two ends. */
static void test_cells(void **state)
{
	struct contract_report *report = NULL;
	struct domain_config *config =
		parse(CELLS("<cell cpus='0' memory='32769'><distances><sibling id='1' value='30'/>"
			    "</distances></cell><cell cpus='2-3' memory='1' unit='MiB'/>"
			    "<cell memory='2' unit='MiB'><distances><sibling id='0' value='40'/>"
			    "</distances></cell>"),
			&report);
	const struct vm_cell *cells = config->vm.cells;

	(void)state;
	assert_int_equal(config->vm.n_cells, 3);
	assert_int_equal(cells[0].memory_kib, 32772);
	assert_int_equal(config->vm.memory_kib, 32772 + 1024 + 2048);
	assert_int_equal(config->vm.current_memory_kib, config->vm.memory_kib);
	assert_int_equal(cells[0].cpus[0], 3);
	assert_int_equal(cells[1].cpus[0], 12);
	assert_int_equal(cells[2].cpus[0], 0);
	assert_memory_equal(cells[0].distances, "\x0a\x1e\x28", 3);
	assert_memory_equal(cells[1].distances, "\x1e\x0a\x14", 3);
	assert_memory_equal(cells[2].distances, "\x28\x14\x0a", 3);
	assert_verdict(report, "memory", CONTRACT_ADAPTED);
	assert_verdict(report, "cpu/numa/cell[1]/@memory", CONTRACT_ADAPTED);
	assert_verdict(report, "cpu/numa/cell[2]/@memory", CONTRACT_HONOURED);
	contract_report_free(report);
	domain_config_free(config);

	/* More than one half of it can be wanted back, but not more than there is. */
	report = NULL;
	config = parse("<domain type='kvm'><name>n</name><memory unit='MiB'>64</memory>"
		       "<currentMemory unit='MiB'>63</currentMemory>"
		       "<os><type>hvm</type><kernel>/k</kernel></os>" NUMA(
			       "<cell memory='32' unit='MiB'/>") "</domain>",
		&report);
	assert_int_equal(config->vm.memory_kib, 32768);
	assert_int_equal(config->vm.current_memory_kib, 32768);
	assert_verdict(report, "currentMemory", CONTRACT_ADAPTED);
	assert_verdict(report, "cpu/numa", CONTRACT_ADAPTED); /* no ACPI */
	contract_report_free(report);
	domain_config_free(config);
}

static void test_pages(void **state)
{
	struct domain_config *config =
		parse(DOMAIN(PAGES("<page size='2' unit='MiB' nodeset='1'/>") NUMA(
			      "<cell memory='32' unit='MiB'/><cell memory='33' unit='MiB'/>")),
			NULL);

	(void)state;
	assert_int_equal(config->vm.cells[0].hugepage_kib, 0);
	assert_int_equal(config->vm.cells[1].hugepage_kib, 2048);
	assert_int_equal(config->vm.cells[1].memory_kib, 34 << 10);
	assert_int_equal(config->vm.hugepage_kib, 2048);
	assert_int_equal(vm_config_ordinary_kib(&config->vm), 32 << 10);
	domain_config_free(config);
	/* What names no cell is for the rest; 4 KiB are ordinary pages. */
	config = parse(
		DOMAIN(PAGES("<page size='2048'/><page size='4' nodeset='0'/>") NUMA(TWO)), NULL);
	assert_int_equal(config->vm.cells[0].hugepage_kib, 0);
	assert_int_equal(config->vm.cells[1].hugepage_kib, 2048);
	domain_config_free(config);
	config = parse(DOMAIN("<memoryBacking><hugepages/></memoryBacking>" NUMA(TWO)), NULL);
	assert_int_equal(vm_config_ordinary_kib(&config->vm), 0);
	domain_config_free(config);
	/* Without cells all is node 0. */
	config = parse(DOMAIN(PAGES("<page size='2048' nodeset='0'/>")), NULL);
	assert_int_equal(config->vm.hugepage_kib, 2048);
	assert_int_equal(vm_config_ordinary_kib(&config->vm), 0);
	domain_config_free(config);
	config = parse(DOMAIN(""), NULL);
	assert_int_equal(vm_config_ordinary_kib(&config->vm), 64 << 10);
	domain_config_free(config);
}

static void test_numatune(void **state)
{
	struct contract_report *report = NULL;
	struct domain_config *config = parse(
		DOMAIN("<numatune><memory nodeset='1,3'/>"
		       "<memnode cellid='1' mode='preferred' nodeset='7'/></numatune>" NUMA(TWO)),
		NULL);

	(void)state;
	assert_int_equal(config->numatune.mode, DOMAIN_NUMA_STRICT);
	assert_int_equal(config->numatune.nodes[0], 10);
	assert_int_equal(config->numatune.n_memnodes, 1);
	assert_int_equal(config->numatune.memnodes[0].mode, DOMAIN_NUMA_PREFERRED);
	assert_int_equal(config->numatune.memnodes[0].nodes[0], 1 << 7);
	assert_int_equal(config->vm.memory_bound, 1);
	domain_config_free(config);
	config = parse(
		DOMAIN("<numatune><memory mode='interleave' nodeset='0-3'/></numatune>"), NULL);
	assert_int_equal(config->vm.memory_bound, 0);
	domain_config_free(config);
	config = parse(DOMAIN("<numatune><memory mode='strict' nodeset='1' placement='auto'/>"
			      "</numatune>"),
		&report);
	assert_int_equal(config->numatune.nodes[0], 0);
	assert_verdict(report, "numatune/memory/@nodeset", CONTRACT_IGNORED);
	assert_verdict(report, "numatune/memory/@placement", CONTRACT_ADAPTED);
	contract_report_free(report);
	domain_config_free(config);
}

static void test_wrong_cells(void **state)
{
	(void)state;
	wrong(DOMAIN("<cpu><numa/></cpu>"), "cpu/numa: NUMA topology defined without NUMA cells");
	wrong(CELLS("<cell cpus='0'/>"), "cpu/numa/cell[1]/@memory: missing");
	wrong(CELLS("<cell id='1' memory='65536'/>"),
		"cpu/numa/cell[1]/@id: Exactly one 'cell' element per guest NUMA cell allowed");
	wrong(CELLS("<cell id='0' memory='65536'/><cell id='0' memory='65536'/>"),
		"cpu/numa/cell[2]/@id: Exactly one");
	wrong(CELLS("<cell id='x' memory='65536'/>"), "cell[1]/@id: 'x' is wrong");
	wrong(CELLS("<cell id='255' memory='65536'/>"), "cell[1]/@id: '255' is wrong");
	wrong(CELLS("<cell cpus='0-4' memory='65536'/>"),
		"cell[1]/@cpus: Number of CPUs in <numa> exceeds the <vcpu> count; write 0 to 3");
	wrong(CELLS("<cell cpus='0-x' memory='65536'/>"),
		"cell[1]/@cpus: '0-x' is wrong; write vCPUs, for example");
	wrong(CELLS("<cell cpus='0-2' memory='65536'/><cell cpus='2-3' memory='65536'/>"),
		"cell[2]/@cpus: NUMA cells 1 and 0 have overlapping vCPU ids");
	wrong("<domain type='kvm'><name>n</name><memory>65536</memory><vcpu>4294967295</vcpu>"
	      "<os><type>hvm</type><kernel>/k</kernel></os>" NUMA(
		      "<cell cpus='0' memory='65536'/>") "</domain>",
		"vcpu: 4294967295 vCPUs");
	wrong(CELLS("<cell memory='65536'/><cell memory='0'/>"),
		"cpu/numa/cell[2]/@memory: 0 KiB is too little");
	wrong(CELLS("<cell memory='1' unit='parsec'/>"), "cell[1]/@memory: unit 'parsec' is wrong");
	wrong(CELLS("<cell memory='32' unit='TiB'/>"), "cell[1]/@memory");
	wrong(CELLS("<cell memory='16' unit='TiB'/><cell memory='1' unit='TiB'/>"), "memory: ");
	wrong(CELLS("<cell memory='1' unit='EiB'/><cell memory='16383' unit='PiB'/>"), "memory");
	wrong(CELLS("<cell memory='65536'><distances><sibling id='1' value='20'/></distances>"
		    "</cell>"),
		"cell[1]/distances/sibling[1]: 'sibling_id 1' does not refer to a valid cell "
		"within "
		"NUMA 'cell id 0'");
	wrong(CELLS("<cell memory='65536'><distances><sibling id='0' value='11'/></distances>"
		    "</cell>"),
		"'value 11' is invalid for 'sibling id 0' under NUMA 'cell id 0'");
	wrong(CELLS("<cell memory='65536'/><cell memory='65536'><distances>"
		    "<sibling id='0' value='10'/></distances></cell>"),
		"'value 10' is invalid for 'sibling id 0' under NUMA 'cell id 1'");
	wrong(CELLS("<cell memory='65536'/><cell memory='65536'><distances>"
		    "<sibling id='0' value='256'/></distances></cell>"),
		"@value: '256' is wrong");
	wrong(CELLS("<cell memory='65536'/><cell memory='65536'><distances>"
		    "<sibling id='0' value='20'/><sibling id='0' value='21'/></distances></cell>"),
		"sibling[2]: the distance to cell 0 is given twice");
	wrong(CELLS("<cell memory='65536'><distances><sibling value='20'/></distances></cell>"),
		"@id: missing");
}

static void test_too_many_cells(void **state)
{
	char xml[4096] = "<domain type='kvm'><name>n</name><memory>1</memory>"
			 "<os><type>hvm</type><kernel>/k</kernel></os><cpu><numa>";

	(void)state;
	for (unsigned i = 0; i < VM_MAX_CELLS; i++)
		strcat(xml, "<cell memory='1' unit='MiB'/>");
	strcat(xml, "<cell memory='1' unit='MiB'/></numa></cpu></domain>");
	wrong(xml, "cpu/numa/cell[17]: too many; write at most 16");
}

static void test_wrong_pages(void **state)
{
	(void)state;
	wrong(DOMAIN(PAGES("<page size='3' unit='MiB'/>")),
		"memoryBacking/hugepages/page[1]: no page of 3072 KiB; write 2048 or 1048576");
	wrong(DOMAIN(PAGES("<page/>")), "memoryBacking/hugepages/page[1]/@size: missing");
	wrong(DOMAIN(PAGES("<page size='2048' nodeset='1'/>")), "hugepages: node 1 not found");
	wrong(DOMAIN(PAGES("<page size='2048' nodeset='0,2'/>") NUMA(TWO)),
		"page[1]: hugepages: node 2 not found");
	wrong(DOMAIN(PAGES("<page size='2048' nodeset='^1'/>") NUMA(TWO)),
		"page[1]/@nodeset: '^1' is wrong; write at least one cell");
	wrong(DOMAIN(PAGES("<page size='2048'/><page size='1048576'/>") NUMA(TWO)),
		"page[2]: two master hugepages detected: 2048 and 1048576");
	wrong(DOMAIN(PAGES("<page size='2048' nodeset='0-1'/><page size='1048576' nodeset='1'/>")
			      NUMA(TWO)),
		"page[2]: nodeset attribute of hugepages of sizes 2048 and 1048576 intersect");
	/* 1 GiB pages behind 32 MiB of others. */
	wrong(DOMAIN(PAGES("<page size='1' unit='GiB' nodeset='1'/>") NUMA(TWO)),
		"cpu/numa/cell[2]: its memory begins at 32 MiB, where no page of 1024 MiB does");
}

static void test_wrong_numatune(void **state)
{
	(void)state;
	wrong(DOMAIN("<numatune><memory/></numatune>"),
		"numatune/memory: nodeset for NUMA memory tuning must be set if "
		"'placement' is 'static'");
	wrong(DOMAIN("<numatune><memory mode='nonsense' nodeset='0'/></numatune>"),
		"numatune/memory/@mode: 'nonsense' is wrong");
	wrong(DOMAIN("<numatune><memory nodeset='a'/></numatune>"),
		"numatune/memory/@nodeset: 'a' is wrong; write host nodes");
	wrong(DOMAIN("<numatune><memory nodeset='1024'/></numatune>"), "up to 1023");
	wrong(DOMAIN("<numatune><memory mode='preferred' nodeset='0-1'/></numatune>"),
		"NUMA memory tuning in 'preferred' mode only supports single node");
	wrong(DOMAIN("<numatune><memnode cellid='0' nodeset='0'/></numatune>"),
		"numatune/memnode[1]: Argument 'cellid' in memnode element must correspond to "
		"existing guest's NUMA cell");
	wrong(DOMAIN("<numatune><memnode cellid='2' nodeset='0'/></numatune>" NUMA(TWO)),
		"numatune/memnode[1]: Argument 'cellid'");
	wrong(DOMAIN("<numatune><memnode nodeset='0'/></numatune>" NUMA(TWO)), "@cellid: missing");
	wrong(DOMAIN("<numatune><memnode cellid='0'/></numatune>" NUMA(TWO)), "@nodeset: missing");
	wrong(DOMAIN("<numatune><memnode cellid='1' nodeset='0'/>"
		     "<memnode cellid='1' nodeset='0'/></numatune>" NUMA(TWO)),
		"numatune/memnode[2]: Multiple memnode elements with this cellid");
	wrong(DOMAIN("<numatune><memory placement='auto'/>"
		     "<memnode cellid='1' nodeset='0'/></numatune>" NUMA(TWO)),
		"Per-node binding is not compatible with automatic NUMA placement");
	wrong(DOMAIN("<numatune><memnode cellid='1' mode='preferred' "
		     "nodeset='0-1'/></numatune>" NUMA(TWO)),
		"numatune/memnode[1]: NUMA memory tuning in 'preferred' mode");
}

static void check_mutant(const char *xml, size_t len)
{
	struct domain_config *config = NULL;
	char *error = NULL;

	if (domain_xml_parse(xml, len, "f", 0, &config, NULL, &error) == 0) {
		assert_int_equal(vm_config_validate(&config->vm, NULL, 0), 0);
		domain_config_free(config);
	} else {
		assert_null(config);
	}
	free(error);
}

static void test_mutations(void **state)
{
	static const char *const parts[] = {"0", "1", "16", "255", "1023", "4294967295", "<cell/>",
		"id='1'", "cpus='0-3'", "memory='0'", "nodeset='1'", "<memnode/>",
		"mode='restrictive'", "2048", "", "'", NULL};

	(void)state;
	xml_mutate(
		DOMAIN(PAGES(
			"<page size='2048'/><page size='4' nodeset='0'/>") "<numatune><memory "
									   "mode='strict' "
									   "nodeset='0-1'/>"
									   "<memnode cellid='1' "
									   "mode='preferred' "
									   "nodeset='1'/></"
									   "numatune>" NUMA(
										   "<cell id='0' "
										   "cpus='0-1' "
										   "memory='32' "
										   "unit='MiB'><"
										   "distances>"
										   "<sibling "
										   "id='0' "
										   "value='10'/"
										   "><sibling "
										   "id='1' "
										   "value='31'/>"
										   "</distances></"
										   "cell>"
										   "<cell id='1' "
										   "memory='32' "
										   "unit='MiB'/>")),
		parts, 2000, check_mutant);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_numatune),
		cmocka_unit_test(test_wrong_cells),
		cmocka_unit_test(test_too_many_cells),
		cmocka_unit_test(test_wrong_pages),
		cmocka_unit_test(test_wrong_numatune),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests_name("domain-numa", tests, NULL, NULL);
}
