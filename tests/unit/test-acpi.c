/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The AML writer's encodings, and the tables as a guest walks them: RSDP, XSDT, and on from there. */
#include "vmm-core/acpi/acpi.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/acpi/acpi-hw.h"
#include "vmm-core/acpi/aml.h"
#include "vmm-core/layout.h"

static uint8_t tables[LAYOUT_ACPI_SIZE];
static size_t tables_len;

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static void config_init(struct vm_config *config, unsigned vcpus)
{
	vm_config_init(config);
	config->memory_kib = 1 << 20;
	config->vcpus = config->vcpus_max = vcpus;
	config->acpi = 1;
}

static void make(const struct vm_config *config)
{
	assert_int_equal(acpi_make(config, GIB(4), (uint32_t)LAYOUT_ACPI_BASE, tables,
				 sizeof(tables), &tables_len),
		0);
}

static void assert_sum(const uint8_t *p, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	assert_int_equal(sum, 0);
}

/* The bytes at a guest address, which must be a whole table. */
static const uint8_t *at(uint64_t gpa)
{
	assert_true(gpa >= LAYOUT_ACPI_BASE && gpa - LAYOUT_ACPI_BASE + 36 <= tables_len);
	assert_true(range_fits(
		gpa - LAYOUT_ACPI_BASE, get32(tables + (gpa - LAYOUT_ACPI_BASE) + 4), tables_len));
	return tables + (gpa - LAYOUT_ACPI_BASE);
}

/* By signature, through the RSDP. NULL if it is not listed. */
static const uint8_t *find(const char *signature)
{
	const uint8_t *xsdt = at(get64(tables + 24));

	assert_memory_equal(xsdt, "XSDT", 4);
	assert_sum(xsdt, get32(xsdt + 4));
	for (uint32_t i = 36; i < get32(xsdt + 4); i += 8) {
		const uint8_t *table = at(get64(xsdt + i));

		assert_sum(table, get32(table + 4));
		if (memcmp(table, signature, 4) == 0)
			return table;
	}
	return NULL;
}

static bool contains(const uint8_t *table, const void *what, size_t len)
{
	return memmem(table, get32(table + 4), what, len) != NULL;
}

static void test_aml_lengths(void **state)
{
	static const struct {
		size_t content;
		uint8_t bytes[4], n;
	} cases[] = {
		{0, {0x01}, 1},
		{62, {0x3f}, 1},
		{63, {0x41, 0x04}, 2},
		{0xffd, {0x4f, 0xff}, 2},
		{0xffe, {0x81, 0x00, 0x01}, 3},
		{0xffffc, {0x8f, 0xff, 0xff}, 3},
		{0xffffd, {0xc1, 0x00, 0x00, 0x01}, 4},
	};
	static uint8_t buf[0x100100], content[0x100000];

	(void)state;
	memset(content, 0xab, sizeof(content));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct aml w = {.data = buf, .size = sizeof(buf)};
		size_t mark = aml_if(&w);

		aml_bytes(&w, content, cases[i].content);
		aml_end(&w, mark);
		assert_false(w.overflow);
		assert_int_equal(w.len, 1 + cases[i].n + cases[i].content);
		assert_memory_equal(buf + 1, cases[i].bytes, cases[i].n);
		assert_memory_equal(buf + 1 + cases[i].n, content, cases[i].content);
	}
}

static void assert_written(const struct aml *w, const void *bytes, size_t len)
{
	assert_false(w->overflow);
	assert_int_equal(w->len, len);
	assert_memory_equal(w->data, bytes, len);
}

static void test_aml_objects(void **state)
{
	static const uint8_t uuid[16] = {0x33, 0xdb, 0x4d, 0x5b, 0x1f, 0xf7, 0x40, 0x1c, 0x96, 0x57,
		0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};
	uint8_t buf[64];
	struct aml w = {.data = buf, .size = sizeof(buf)};
	size_t mark;

	(void)state;
	aml_int(&w, 0);
	aml_int(&w, 1);
	aml_int(&w, 0xff);
	aml_int(&w, 0x100);
	aml_int(&w, 0x10000);
	aml_int(&w, UINT64_C(0x100000000));
	assert_written(&w,
		"\x00\x01\x0a\xff\x0b\x00\x01\x0c\x00\x00\x01\x00\x0e\x00\x00\x00\x00\x01\x00\x00"
		"\x00",
		21);
	w.len = 0;
	aml_path(&w, "\\_SB.VGEN");
	aml_path(&w, "^X");
	aml_path(&w, "A.B.CDEF");
	assert_written(&w,
		"\\\x2e_SB_VGEN^X___\x2f\x03"
		"A___B___CDEF",
		29);
	w.len = 0;
	aml_eisaid(&w, "PNP0A08");
	assert_written(&w, "\x0c\x41\xd0\x0a\x08", 5);
	w.len = 0;
	aml_touuid(&w, uuid);
	assert_written(&w,
		"\x11\x13\x0a\x10\x5b\x4d\xdb\x33\xf7\x1f\x1c\x40\x96\x57\x74\x41\xc0\x3d\xd7\x66",
		20);
	w.len = 0;
	mark = aml_resources(&w);
	aml_res_io(&w, 0x3f8, 8);
	aml_res_irq(&w, 4);
	aml_resources_end(&w, mark);
	assert_written(
		&w, "\x11\x11\x0b\x0d\x00\x47\x01\xf8\x03\xf8\x03\x01\x08\x22\x10\x00\x79\x00", 18);
}

/* Whatever the buffer's size, nothing is written behind it. */
static void test_overflow(void **state)
{
	struct vm_config config;
	size_t len = 0;

	(void)state;
	config_init(&config, 4);
	config.genid = config.panic_isa = 1;
	make(&config);
	for (size_t size = 0; size < tables_len; size += 7) {
		uint8_t *buf = test_malloc(size + 1);

		buf[size] = 0xa5;
		assert_int_equal(
			acpi_make(&config, GIB(4), (uint32_t)LAYOUT_ACPI_BASE, buf, size, &len),
			-ENOSPC);
		assert_int_equal(buf[size], 0xa5);
		test_free(buf);
	}
	assert_int_equal(
		acpi_make(&config, GIB(4), (uint32_t)LAYOUT_ACPI_BASE, tables, tables_len, &len),
		0);
}

static void test_rsdp(void **state)
{
	struct vm_config config;

	(void)state;
	config_init(&config, 2);
	make(&config);
	assert_memory_equal(tables, "RSD PTR ", 8);
	assert_int_equal(tables[15], 2);
	assert_int_equal(get32(tables + 20), 36);
	assert_sum(tables, 20);
	assert_sum(tables, 36);
}

static void test_fadt(void **state)
{
	struct vm_config config;
	const uint8_t *fadt, *dsdt, *facs;

	(void)state;
	config_init(&config, 2);
	make(&config);
	fadt = find("FACP");
	assert_non_null(fadt);
	assert_int_equal(get32(fadt + 4), 276);
	assert_int_equal(fadt[8], 6);
	assert_int_equal(fadt[46], 9);             /* SCI */
	assert_int_equal(get32(fadt + 48), 0);     /* SMI_CMD */
	assert_int_equal(get32(fadt + 56), 0x600); /* PM1a event */
	assert_int_equal(get32(fadt + 64), 0x604); /* PM1a control */
	assert_int_equal(get32(fadt + 76), 0x608); /* timer */
	assert_int_equal(get32(fadt + 80), 0x620); /* GPE0 */
	assert_int_equal(fadt[88], 4);
	assert_int_equal(fadt[89], 2);
	assert_int_equal(fadt[91], 4);
	assert_int_equal(fadt[92], 4);
	assert_int_equal(fadt[108], 0x32); /* century */
	assert_int_equal(fadt[109], 0x15); /* no 8042 (bit 1) */
	assert_int_equal(
		get32(fadt + 112) & (1U << 4 | 1U << 20), 0); /* power button fixed; not reduced */
	assert_int_equal(get32(fadt + 112) & (1U << 8 | 1U << 10), 1U << 8 | 1U << 10);
	assert_int_equal(get32(fadt + 112) & 1U << 19, 0);
	assert_int_equal(fadt[116], 1);
	assert_int_equal(get64(fadt + 120), 0xcf9);
	assert_int_equal(fadt[128], 6);
	assert_int_equal(get64(fadt + 140), get32(fadt + 40));
	assert_int_equal(fadt[148], 1);
	assert_int_equal(get64(fadt + 152), 0x600);
	assert_int_equal(get64(fadt + 176), 0x604);
	assert_int_equal(get64(fadt + 212), 0x608);
	assert_int_equal(get64(fadt + 224), 0x620);
	facs = at(get32(fadt + 36));
	assert_memory_equal(facs, "FACS", 4);
	assert_int_equal(get32(fadt + 36) % 64, 0);
	dsdt = at(get32(fadt + 40));
	assert_memory_equal(dsdt, "DSDT", 4);
	assert_sum(dsdt, get32(dsdt + 4));
	/* \_S5 = { 5, 5, 0, 0 } */
	assert_true(contains(dsdt, "\x08\\_S5_\x12\x08\x04\x0a\x05\x0a\x05\x00\x00", 15));
	config_init(&config, 9);
	make(&config);
	assert_int_not_equal(get32(find("FACP") + 112) & 1U << 19, 0);
}

/* Count the MADT's entries of a type; the last one goes to '*ret_last'. */
static unsigned madt_entries(unsigned type, const uint8_t **ret_last)
{
	const uint8_t *madt = find("APIC");
	unsigned n = 0;

	assert_non_null(madt);
	for (uint32_t i = 44; i < get32(madt + 4); i += madt[i + 1]) {
		assert_true(madt[i + 1] >= 6);
		if (madt[i] == type) {
			n++;
			*ret_last = madt + i;
		}
	}
	return n;
}

static unsigned count(const uint8_t *table, const void *what, size_t len)
{
	const uint8_t *end = table + get32(table + 4), *p = table;
	unsigned n = 0;

	while ((p = memmem(p, (size_t)(end - p), what, len))) {
		n++;
		p += len;
	}
	return n;
}

/* Each vCPU that there can be asks for its own bit and gives it back; but for the first, which stays. */
static void test_processors(void **state)
{
	struct vm_config config;
	const uint8_t *dsdt;

	(void)state;
	config_init(&config, 40);
	config.vcpus = 2;
	make(&config);
	dsdt = at(get32(find("FACP") + 40));
	assert_true(contains(dsdt,
		"\x5b\x80"
		"CPHR\x01\x0b\x40\x06\x0a\x84",
		12));
	assert_true(contains(dsdt,
		"CPP0\x20"
		"CPP1\x20",
		10));
	assert_true(contains(dsdt,
		"CPE7\x20"
		"CPST\x20",
		10));
	assert_int_equal(count(dsdt, "ACPI0007", 8), 40);
	assert_int_equal(count(dsdt, "_MAT", 4), 40);
	/* And those of the slots. */
	assert_int_equal(count(dsdt, "_OST", 4), 39);
	/* Of number 33: If (CPP1 & 2), Store (2, CPE1); and its entry of the MADT, enabled. */
	assert_true(contains(dsdt, "_STA\x00\xa0\x0c{CPP1\x0a\x02\x00\xa4\x0a\x0f\xa4\x00", 19));
	assert_true(contains(dsdt,
		"_EJ0\x01\x70\x0a\x02"
		"CPE1",
		12));
	assert_true(contains(dsdt, "_MAT\x11\x0b\x0a\x08\x00\x08\x21\x21\x01\x00\x00\x00", 16));
	/* The event. */
	assert_true(contains(dsdt, "_E02\x00\\/\x03_SB_CPUSCSCN", 20));
	assert_int_equal(count(dsdt,
				 "\x86"
				 "C027",
				 5),
		2);
	assert_int_equal(count(dsdt,
				 "\x86"
				 "C028",
				 5),
		0);
}

static void test_madt(void **state)
{
	const uint8_t *e = NULL;
	struct vm_config config;

	(void)state;
	config_init(&config, 255);
	config.vcpus = 3;
	make(&config);
	/* Those that are there are enabled, the others may come. */
	assert_int_equal(madt_entries(0, &e), 255);
	assert_int_equal(e[2], 254);
	assert_int_equal(e[3], 254);
	assert_int_equal(get32(e + 4), 2);
	e = find("APIC") + 44;
	assert_int_equal(get32(e + 2 * 8 + 4), 1);
	assert_int_equal(get32(e + 3 * 8 + 4), 2);
	assert_int_equal(madt_entries(9, &e), 0);
	assert_int_equal(madt_entries(1, &e), 1);
	assert_int_equal(get32(e + 4), 0xfec00000);
	assert_int_equal(madt_entries(2, &e), 2);
	assert_memory_equal(e, "\x02\x0a\x00\x09\x09\x00\x00\x00\x0d\x00", 10);
	assert_int_equal(madt_entries(4, &e), 1);
	/* 28 sockets of three cores of three threads: ids up to 442. */
	config_init(&config, 252);
	config.cpu.sockets = 28;
	config.cpu.dies = 1;
	config.cpu.cores = config.cpu.threads = 3;
	make(&config);
	assert_int_equal(madt_entries(0, &e), 144);
	assert_int_equal(madt_entries(9, &e), 108);
	assert_int_equal(get32(e + 4), 442);
	assert_int_equal(get32(e + 12), 251);
	assert_int_equal(madt_entries(0xa, &e), 1);
}

/* SRAT entries of a type; 'at' is the last one. */
static unsigned srat_entries(uint8_t type, const uint8_t **at)
{
	const uint8_t *srat = find("SRAT");
	unsigned n = 0;

	assert_non_null(srat);
	for (uint32_t i = 48; i < get32(srat + 4); i += srat[i + 1]) {
		assert_true(srat[i + 1] > 0);
		if (srat[i] != type)
			continue;
		n++;
		*at = srat + i;
	}
	return n;
}

/* 252 processors in the most cells: ids on both sides of 254, those that are not there yet as well. */
static void test_cells(void **state)
{
	const uint8_t *e = NULL, *slit, *dsdt;
	struct vm_config config;

	(void)state;
	config_init(&config, 252);
	make(&config);
	assert_null(find("SRAT"));
	assert_null(find("SLIT"));
	assert_int_equal(count(at(get32(find("FACP") + 40)), "_PXM", 4), 0);
	config.vcpus = 3;
	config.cpu.sockets = 28;
	config.cpu.dies = 1;
	config.cpu.cores = config.cpu.threads = 3;
	config.n_cells = VM_MAX_CELLS;
	for (unsigned i = 0; i < VM_MAX_CELLS; i++) {
		config.cells[i].memory_kib = i == 15 ? 5 << 20 : 1 << 16;
		memset(config.cells[i].distances, 20 + (int)i, VM_MAX_CELLS);
		config.cells[i].distances[i] = 10;
	}
	for (unsigned i = 0; i < 252; i++)
		config.cells[i % VM_MAX_CELLS].cpus[i / 64] |= UINT64_C(1) << i % 64;
	make(&config);
	assert_int_equal(srat_entries(0, &e), 144);
	assert_int_equal(e[1], 16);
	assert_int_equal(e[2], 143 % VM_MAX_CELLS);
	assert_int_equal(get32(e + 4), 1);
	assert_int_equal(srat_entries(2, &e), 108);
	assert_int_equal(e[1], 24);
	assert_int_equal(get32(e + 4), 251 % VM_MAX_CELLS);
	assert_int_equal(get32(e + 8), 442);
	assert_int_equal(get32(e + 12), 1);
	/* The last one lies around the hole. */
	assert_int_equal(srat_entries(1, &e), VM_MAX_CELLS + 1);
	assert_int_equal(get32(e + 2), 15);
	assert_int_equal(get64(e + 8), GIB(4));
	assert_int_equal(get64(e + 16), GIB(5) + 15 * MIB(64) - GIB(3));
	assert_int_equal(get32(e + 28), 1);
	slit = find("SLIT");
	assert_non_null(slit);
	assert_int_equal(get64(slit + 36), VM_MAX_CELLS);
	assert_int_equal(get32(slit + 4), 44 + VM_MAX_CELLS * VM_MAX_CELLS);
	assert_int_equal(slit[44], 10);
	assert_int_equal(slit[44 + 1], 20);
	assert_int_equal(slit[44 + VM_MAX_CELLS], 21);
	/* And each processor says it itself. */
	dsdt = at(get32(find("FACP") + 40));
	assert_int_equal(count(dsdt, "_PXM", 4), 252);
	assert_true(contains(dsdt,
		"_MAT\x11\x0b\x0a\x08\x00\x08\x21\x38\x01\x00\x00\x00"
		"\x08_PXM\x01",
		22));
}

static void test_devices(void **state)
{
	const uint8_t *dsdt, *mcfg;
	struct vm_config config;

	(void)state;
	config_init(&config, 1);
	make(&config);
	dsdt = at(get32(find("FACP") + 40));
	assert_false(contains(dsdt, "COM1", 4) || contains(dsdt, "QEMU0001", 8) ||
		contains(dsdt, "VGEN", 4));
	mcfg = find("MCFG");
	assert_int_equal(get64(mcfg + 44), LAYOUT_ECAM_BASE);
	assert_int_equal(mcfg[55], 255);

	config.n_serials = 2;
	config.serials[1].port = 2;
	config.panic_isa = config.genid = 1;
	make(&config);
	dsdt = at(get32(find("FACP") + 40));
	assert_true(contains(dsdt, "COM1", 4) && contains(dsdt, "COM3", 4) &&
		contains(dsdt, "QEMU0001", 8));
	assert_false(contains(dsdt, "COM2", 4) || contains(dsdt, "COM4", 4));
	assert_true(contains(dsdt, "VM_Gen_Counter", 14) && contains(dsdt, "_E00", 4));
	/* _PRT, slot 3, INTC: GSI 16 + (3 + 2) % 8 */
	assert_true(contains(dsdt, "\x0c\xff\xff\x03\x00\x0a\x02\x00\x0a\x15", 10));
}

/* Slots: Device (S0A_) { _ADR, _SUN, _EJ0 { PCEJ = 1 << 10 } }, and the event that tells them. */
static void test_slots(void **state)
{
	static const char device[] = "\x5b\x82\x25S0A_\x08_ADR\x0c\x00\x00\x0a\x00\x08_SUN\x0a\x0a"
				     "\x14\x0e_EJ0\x01\x70\x0b\x00\x04PCEJ";
	static const char fields[] = "\x5b\x80PHPR\x01\x0b\x30\x06\x0a\x0c"
				     "\x5b\x81\x15PHPR\x03PCUP\x20PCDN\x20PCEJ\x20";
	static const char take[] = "\x70\\\x2f\x03_SB_PCI0PCUP\x60\x70\x60\\\x2f\x03_SB_PCI0PCUP";
	static const char check[] =
		"\xa0\x18\x7b\x60\x0b\x00\x04\x00\x86\\\x2f\x03_SB_PCI0S0A_\x01";
	static const char remove[] =
		"\xa0\x19\x7b\x60\x0b\x00\x04\x00\x86\\\x2f\x03_SB_PCI0S0A_\x0a\x03";
	struct vm_config config;
	const uint8_t *dsdt;

	(void)state;
	config_init(&config, 1);
	config.n_nics = 1;
	config.nics[0].pci = (struct vm_pci_addr){.set = 1, .slot = 10};
	make(&config);
	dsdt = at(get32(find("FACP") + 40));
	assert_true(contains(dsdt, device, sizeof(device) - 1));
	assert_true(contains(dsdt, fields, sizeof(fields) - 1));
	assert_true(contains(dsdt, "_E01", 4));
	assert_true(contains(dsdt, take, sizeof(take) - 1));
	assert_true(contains(dsdt, check, sizeof(check) - 1));
	assert_true(contains(dsdt, remove, sizeof(remove) - 1));
	assert_true(contains(dsdt, "S01_", 4) && contains(dsdt, "S1E_", 4));
	assert_false(contains(dsdt, "S00_", 4) || contains(dsdt, "S1F_", 4));
	/* Disks, the entropy device, the balloon and the serial controller stay where they are. */
	config.n_disks = 1;
	config.disks[0].pci = (struct vm_pci_addr){.set = 1, .slot = 1};
	config.rng.pci = (struct vm_pci_addr){.set = 1, .slot = 2};
	config.balloon.pci = (struct vm_pci_addr){.set = 1, .slot = 4};
	config.serial_controller_pci = (struct vm_pci_addr){.set = 1, .slot = 30};
	make(&config);
	dsdt = at(get32(find("FACP") + 40));
	assert_false(contains(dsdt, "S01_", 4) || contains(dsdt, "S02_", 4) ||
		contains(dsdt, "S04_", 4) || contains(dsdt, "S1E_", 4));
	assert_true(contains(dsdt, "S03_", 4) && contains(dsdt, "S0A_", 4));
}

static void test_build(void **state)
{
	struct vm_config config;
	struct guest_mem mem;
	struct gpa rsdp = GPA(1);

	(void)state;
	config_init(&config, 1);
	make(&config);
	assert_int_equal(guest_mem_init(&mem, -EBADF, MIB(1)), 0);
	assert_int_equal(acpi_build(&mem, &config, GIB(4), &rsdp), 0);
	assert_int_equal(rsdp.v, LAYOUT_ACPI_BASE);
	assert_memory_equal(guest_mem_ptr(&mem, rsdp, tables_len), tables, tables_len);
	config.acpi = 0;
	assert_int_equal(acpi_build(&mem, &config, GIB(4), &rsdp), 0);
	assert_int_equal(rsdp.v, 0);
	guest_mem_done(&mem);
	config.acpi = 1;
	assert_int_equal(guest_mem_init(&mem, -EBADF, KIB(512)), 0);
	assert_int_equal(acpi_build(&mem, &config, GIB(4), &rsdp), -EFAULT);
	guest_mem_done(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aml_lengths),
		cmocka_unit_test(test_aml_objects),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_rsdp),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt),
		cmocka_unit_test(test_processors),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_build),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
