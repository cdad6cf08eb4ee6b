/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SMBIOS as a guest walks it: both entry points, then structure by structure. */
#include "vmm-core/smbios.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "vmm-core/layout.h"

static uint8_t buf[LAYOUT_SMBIOS_SIZE];
static size_t buf_len;
static struct vm_config config;

static void config_init(unsigned vcpus)
{
	vm_config_init(&config);
	config.memory_kib = 1 << 20;
	config.vcpus = config.vcpus_max = vcpus;
	for (uint8_t i = 0; i < 16; i++)
		config.uuid[i] = (uint8_t)(i * 0x11);
}

static void make(void)
{
	assert_int_equal(
		smbios_make(&config, (uint32_t)LAYOUT_SMBIOS_BASE, buf, sizeof(buf), &buf_len), 0);
}

static unsigned get16(const uint8_t *p)
{
	return p[0] | (unsigned)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t s = 0;

	for (size_t i = 0; i < len; i++)
		s = (uint8_t)(s + p[i]);
	return s;
}

static const uint8_t *next(const uint8_t *p)
{
	const uint8_t *end = buf + buf_len;

	for (p += p[1]; p + 1 < end && (p[0] || p[1]); p++)
		;
	return p + 2;
}

/* The n-th structure of a type, or NULL; checks the whole chain on the way. */
static const uint8_t *find(unsigned type, unsigned n)
{
	const uint8_t *p = buf + SMBIOS_TABLE, *found = NULL;
	unsigned count = 0;

	for (;; p = next(p)) {
		assert_true(p + 4 < buf + buf_len);
		count++;
		if (p[0] == type && n-- == 0)
			found = p;
		if (p[0] == 127)
			break;
	}
	assert_ptr_equal(next(p), buf + buf_len);
	assert_int_equal(count, get16(buf + SMBIOS_ENTRY2 + 28));
	return found;
}

/* The string that the byte at 'offset' of a structure refers to. */
static const char *string(const uint8_t *p, unsigned offset)
{
	const char *s = (const char *)p + p[1];

	if (!p[offset])
		return "";
	for (unsigned i = 1; i < p[offset]; i++)
		s += strlen(s) + 1;
	return s;
}

static void test_entry_points(void **state)
{
	const uint8_t *e3 = buf + SMBIOS_ENTRY3, *e2 = buf + SMBIOS_ENTRY2;

	(void)state;
	config_init(2);
	make();
	assert_memory_equal(e3, "_SM3_", 5);
	assert_int_equal(sum(e3, e3[6]), 0);
	assert_int_equal(get32(e3 + 12), buf_len - SMBIOS_TABLE);
	assert_int_equal(get32(e3 + 16), LAYOUT_SMBIOS_BASE + SMBIOS_TABLE);
	assert_memory_equal(e2, "_SM_", 4);
	assert_int_equal(sum(e2, e2[5]), 0);
	assert_memory_equal(e2 + 16, "_DMI_", 5);
	assert_int_equal(sum(e2 + 16, 15), 0);
	assert_int_equal(get32(e2 + 24), LAYOUT_SMBIOS_BASE + SMBIOS_TABLE);
	assert_int_equal(get16(e2 + 22), buf_len - SMBIOS_TABLE);
}

static void test_defaults(void **state)
{
	static const uint8_t uuid[16] = {0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99,
		0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};
	const uint8_t *p;

	(void)state;
	config_init(3);
	/* Strings count only with <smbios mode='sysinfo'/>. */
	(void)strcpy(config.smbios.values[VM_SMBIOS_SYSTEM_SERIAL], "unseen");
	(void)strcpy(config.smbios.oem_strings[0], "unseen");
	config.smbios.n_oem_strings = 1;
	make();
	p = find(1, 0);
	assert_string_equal(string(p, 4), "vmmd");
	assert_string_equal(string(p, 5), "vmmd Virtual Machine");
	assert_string_equal(string(p, 7), "");
	assert_memory_equal(p + 8, uuid, 16);
	assert_null(find(2, 0));
	assert_null(find(11, 0));
	assert_non_null(find(3, 0));
	assert_non_null(find(4, 2));
	assert_null(find(4, 3));
	assert_non_null(find(32, 0));
}

static void test_sysinfo(void **state)
{
	const uint8_t *p;

	(void)state;
	config_init(16);
	config.cpu.sockets = 2;
	config.cpu.dies = 1;
	config.cpu.cores = 4;
	config.cpu.threads = 2;
	config.smbios.enabled = 1;
	(void)strcpy(config.smbios.values[VM_SMBIOS_SYSTEM_SERIAL], "ds=nocloud");
	(void)strcpy(config.smbios.values[VM_SMBIOS_BOARD_ASSET], "tag");
	(void)strcpy(config.smbios.values[VM_SMBIOS_BIOS_RELEASE], "4.19");
	(void)strcpy(config.smbios.values[VM_SMBIOS_CHASSIS_SKU], "sku");
	(void)strcpy(config.smbios.oem_strings[0], "a");
	(void)strcpy(config.smbios.oem_strings[1], "b");
	config.smbios.n_oem_strings = 2;
	make();
	assert_string_equal(string(find(1, 0), 7), "ds=nocloud");
	assert_string_equal(string(find(2, 0), 8), "tag");
	assert_int_equal(find(0, 0)[20], 4);
	assert_int_equal(find(0, 0)[21], 19);
	assert_string_equal(string(find(3, 0), 21), "sku");
	p = find(11, 0);
	assert_int_equal(p[4], 2);
	assert_memory_equal(p + 5, "a\0b\0\0", 5);
	p = find(4, 1);
	assert_int_equal(p[35], 4);
	assert_int_equal(p[37], 8);
	assert_null(find(4, 2));
}

static void test_memory(void **state)
{
	const uint8_t *p;

	(void)state;
	config_init(1);
	make();
	assert_int_equal(get32(find(16, 0) + 7), 1 << 20);
	assert_int_equal(get16(find(17, 0) + 12), 1024);
	assert_int_equal(get32(find(19, 0) + 8), (1 << 20) - 1);
	assert_null(find(19, 1));
	config.memory_kib = UINT64_C(5) << 30; /* 5 TiB */
	make();
	p = find(16, 0);
	assert_int_equal(get32(p + 7), 0x80000000);
	assert_int_equal(get32(p + 19), 0x500);
	p = find(17, 0);
	assert_int_equal(get16(p + 12), 0x7fff);
	assert_int_equal(get32(p + 28), 5 << 20);
	p = find(19, 1);
	assert_int_equal(get32(p + 4), UINT32_MAX);
	assert_int_equal(get32(p + 19), 1);
}

/* The largest configuration fits; smaller buffers are refused, and nothing is written behind them. */
static void test_bounds(void **state)
{
	size_t len = 0, full;

	(void)state;
	config_init(255);
	config.smbios.enabled = 1;
	for (unsigned i = 0; i < VM_SMBIOS_FIELD_X_MAX; i++)
		memset(config.smbios.values[i], 'x', VM_SMBIOS_VALUE_MAX - 1);
	config.smbios.n_oem_strings = VM_MAX_OEM_STRINGS;
	for (unsigned i = 0; i < VM_MAX_OEM_STRINGS; i++)
		memset(config.smbios.oem_strings[i], 'y', VM_SMBIOS_VALUE_MAX - 1);
	make();
	full = buf_len;
	assert_int_equal(find(4, 254)[0], 4);
	for (size_t size = 0; size < full; size += 61) {
		uint8_t *small = test_malloc(size + 1);

		small[size] = 0xa5;
		assert_int_equal(smbios_make(&config, 0xf0000, small, size, &len), -ENOSPC);
		assert_int_equal(small[size], 0xa5);
		test_free(small);
	}
}

static void test_build(void **state)
{
	struct guest_mem mem;

	(void)state;
	config_init(1);
	make();
	assert_int_equal(guest_mem_init(&mem, -EBADF, MIB(1)), 0);
	assert_int_equal(smbios_build(&mem, &config), 0);
	assert_memory_equal(guest_mem_ptr(&mem, GPA(LAYOUT_SMBIOS_BASE), buf_len), buf, buf_len);
	guest_mem_done(&mem);
	assert_int_equal(guest_mem_init(&mem, -EBADF, KIB(512)), 0);
	assert_int_equal(smbios_build(&mem, &config), -EFAULT);
	guest_mem_done(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entry_points),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_sysinfo),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_build),
	};

	return cmocka_run_group_tests_name("smbios", tests, NULL, NULL);
}
