/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SMBIOS structures: see smbios.h. Section numbers are those of DSP0134 3.4. */
#include "vmm-core/smbios.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/cpu-topology.h"
#include "vmm-core/layout.h"

#define MAX_STRINGS (VM_MAX_OEM_STRINGS + 8)

#define ENTRY3_SIZE 24
#define ENTRY2_SIZE 31
#define DMI_AT      16 /* of the "_DMI_" half within the older entry point */

#define BIOS_NO_CHARACTERISTICS 0x08
#define BIOS_VIRTUAL_MACHINE    0x10
#define NO_ERROR_HANDLE         0xfffe
#define CHASSIS_OTHER           1
#define STATE_SAFE              3
#define SECURITY_UNKNOWN        2
#define CPU_CENTRAL             3
#define CPU_OTHER               1
#define CPU_POPULATED_ENABLED   0x41
#define CPU_64_BIT              0x04
#define NO_CACHE_HANDLE         0xffff
#define MEMORY_SYSTEM_BOARD     3
#define MEMORY_SYSTEM           3
#define MEMORY_ECC_UNKNOWN      2
#define FORM_DIMM               9
#define MEMORY_RAM              7
#define DETAIL_OTHER            2
#define WAKE_POWER_SWITCH       6

enum handle {
	HANDLE_BIOS = 0x0000,
	HANDLE_SYSTEM = 0x0100,
	HANDLE_BOARD = 0x0200,
	HANDLE_CHASSIS = 0x0300,
	HANDLE_CPU = 0x0400, /* one per socket, 255 at most */
	HANDLE_OEM = 0x0e00,
	HANDLE_ARRAY = 0x1000,
	HANDLE_MEMORY = 0x1100,
	HANDLE_MAP = 0x1300,
	HANDLE_BOOT = 0x2000,
	HANDLE_END = 0x7f00
};

struct smbios {
	const struct vm_config *config;
	uint8_t *data;
	size_t len, size;
	bool overflow;
	size_t start; /* of the open structure */
	unsigned n_strings;
	const char *strings[MAX_STRINGS];
	unsigned n_structures;
	size_t largest;
};

static void put(struct smbios *s, const void *data, size_t len)
{
	if (s->overflow || !range_fits(s->len, len, s->size)) {
		s->overflow = true;
		return;
	}
	memcpy(s->data + s->len, data, len);
	s->len += len;
}

static void put8(struct smbios *s, unsigned v)
{
	uint8_t b = (uint8_t)v;

	put(s, &b, sizeof(b));
}

static void put16(struct smbios *s, unsigned v)
{
	uint16_t w = (uint16_t)v;

	put(s, &w, sizeof(w));
}

static void put32(struct smbios *s, uint32_t v)
{
	put(s, &v, sizeof(v));
}

static void put64(struct smbios *s, uint64_t v)
{
	put(s, &v, sizeof(v));
}

static void begin(struct smbios *s, unsigned type, unsigned handle)
{
	s->start = s->len;
	s->n_strings = 0;
	put8(s, type);
	put8(s, 0); /* length, at end() */
	put16(s, handle);
}

/* A field that refers to a string; an empty one is "not specified". The string lives until end(). */
static void put_string(struct smbios *s, const char *string)
{
	if (!*string || s->n_strings == MAX_STRINGS) {
		put8(s, 0);
		return;
	}
	s->strings[s->n_strings++] = string;
	put8(s, s->n_strings);
}

/* The formatted part is complete: its length, then the strings, then a NUL (two if there are none). */
static void end(struct smbios *s)
{
	if (!s->overflow)
		s->data[s->start + 1] = (uint8_t)(s->len - s->start);
	for (unsigned i = 0; i < s->n_strings; i++)
		put(s, s->strings[i], strlen(s->strings[i]) + 1);
	if (!s->n_strings)
		put8(s, 0);
	put8(s, 0);
	s->n_structures++;
	s->largest = MAX(s->largest, s->len - s->start);
}

/* What the configuration says, else 'fallback'. */
static const char *text(const struct smbios *s, enum vm_smbios_field field, const char *fallback)
{
	const struct vm_smbios *smbios = &s->config->smbios;

	return smbios->enabled && *smbios->values[field] ? smbios->values[field] : fallback;
}

/* "2.11" as two bytes. */
static void put_release(struct smbios *s, const char *release)
{
	char *rest;
	unsigned long major = strtoul(release, &rest, 10);
	unsigned long minor = *rest == '.' ? strtoul(rest + 1, NULL, 10) : 0;

	put8(s, (unsigned)MIN(major, 255UL));
	put8(s, (unsigned)MIN(minor, 255UL));
}

static void bios(struct smbios *s)
{
	begin(s, 0, HANDLE_BIOS); /* 7.1 */
	put_string(s, text(s, VM_SMBIOS_BIOS_VENDOR, "vmmd"));
	put_string(s, text(s, VM_SMBIOS_BIOS_VERSION, "1.0"));
	put16(s, 0); /* segment: no BIOS there */
	put_string(s, text(s, VM_SMBIOS_BIOS_DATE, "01/01/2026"));
	put8(s, 0); /* 64 KiB */
	put64(s, BIOS_NO_CHARACTERISTICS);
	put8(s, 0);
	put8(s, BIOS_VIRTUAL_MACHINE);
	put_release(s, text(s, VM_SMBIOS_BIOS_RELEASE, "1.0"));
	put16(s, 0xffff); /* no embedded controller */
	put16(s, 0);
	end(s);
}

/* 7.2.1: the first three fields little-endian. */
static void put_uuid(struct smbios *s, const uint8_t uuid[16])
{
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

	for (size_t i = 0; i < 16; i++)
		put8(s, uuid[order[i]]);
}

static void system_information(struct smbios *s)
{
	begin(s, 1, HANDLE_SYSTEM); /* 7.2 */
	put_string(s, text(s, VM_SMBIOS_SYSTEM_MANUFACTURER, "vmmd"));
	put_string(s, text(s, VM_SMBIOS_SYSTEM_PRODUCT, "vmmd Virtual Machine"));
	put_string(s, text(s, VM_SMBIOS_SYSTEM_VERSION, "1.0"));
	put_string(s, text(s, VM_SMBIOS_SYSTEM_SERIAL, ""));
	put_uuid(s, s->config->uuid);
	put8(s, WAKE_POWER_SWITCH);
	put_string(s, text(s, VM_SMBIOS_SYSTEM_SKU, ""));
	put_string(s, text(s, VM_SMBIOS_SYSTEM_FAMILY, "Virtual Machine"));
	end(s);
}

static void board(struct smbios *s)
{
	bool given = false;

	for (unsigned i = VM_SMBIOS_BOARD_MANUFACTURER; i <= VM_SMBIOS_BOARD_LOCATION; i++)
		given |= *text(s, i, "") != '\0';
	if (!given)
		return;
	begin(s, 2, HANDLE_BOARD); /* 7.3 */
	put_string(s, text(s, VM_SMBIOS_BOARD_MANUFACTURER, "vmmd"));
	put_string(s, text(s, VM_SMBIOS_BOARD_PRODUCT, ""));
	put_string(s, text(s, VM_SMBIOS_BOARD_VERSION, ""));
	put_string(s, text(s, VM_SMBIOS_BOARD_SERIAL, ""));
	put_string(s, text(s, VM_SMBIOS_BOARD_ASSET, ""));
	put8(s, 1); /* hosting board */
	put_string(s, text(s, VM_SMBIOS_BOARD_LOCATION, ""));
	put16(s, HANDLE_CHASSIS);
	put8(s, 10); /* motherboard */
	put8(s, 0);
	end(s);
}

static void chassis(struct smbios *s)
{
	begin(s, 3, HANDLE_CHASSIS); /* 7.4 */
	put_string(s, text(s, VM_SMBIOS_CHASSIS_MANUFACTURER, "vmmd"));
	put8(s, CHASSIS_OTHER);
	put_string(s, text(s, VM_SMBIOS_CHASSIS_VERSION, ""));
	put_string(s, text(s, VM_SMBIOS_CHASSIS_SERIAL, ""));
	put_string(s, text(s, VM_SMBIOS_CHASSIS_ASSET, ""));
	put8(s, STATE_SAFE); /* boot-up, power supply, thermal */
	put8(s, STATE_SAFE);
	put8(s, STATE_SAFE);
	put8(s, SECURITY_UNKNOWN);
	put32(s, 0);
	put8(s, 0); /* height */
	put8(s, 0); /* power cords */
	put8(s, 0); /* contained elements: number, length */
	put8(s, 0);
	put_string(s, text(s, VM_SMBIOS_CHASSIS_SKU, ""));
	end(s);
}

static void processor(struct smbios *s, unsigned socket, const struct cpu_topology *t)
{
	unsigned cores = t->dies * t->cores, threads = cores * t->threads;
	char name[16];

	(void)snprintf(name, sizeof(name), "CPU %u", socket);
	begin(s, 4, HANDLE_CPU + socket); /* 7.5 */
	put_string(s, name);
	put8(s, CPU_CENTRAL);
	put8(s, CPU_OTHER); /* family */
	put_string(s, "vmmd");
	put64(s, 0); /* id */
	put_string(s, "1.0");
	put8(s, 0); /* voltage */
	put16(s, 0);
	put16(s, 0);
	put16(s, 0);
	put8(s, CPU_POPULATED_ENABLED);
	put8(s, CPU_OTHER); /* upgrade */
	put16(s, NO_CACHE_HANDLE);
	put16(s, NO_CACHE_HANDLE);
	put16(s, NO_CACHE_HANDLE);
	put_string(s, "");
	put_string(s, "");
	put_string(s, "");
	put8(s, MIN(cores, 255U));
	put8(s, MIN(cores, 255U));
	put8(s, MIN(threads, 255U));
	put16(s, CPU_64_BIT);
	put16(s, CPU_OTHER); /* family, wide */
	put16(s, cores);
	put16(s, cores);
	put16(s, threads);
	end(s);
}

static void oem_strings(struct smbios *s)
{
	const struct vm_smbios *smbios = &s->config->smbios;

	if (!smbios->enabled || !smbios->n_oem_strings)
		return;
	begin(s, 11, HANDLE_OEM); /* 7.12 */
	put8(s, smbios->n_oem_strings);
	for (unsigned i = 0; i < smbios->n_oem_strings; i++)
		s->strings[s->n_strings++] = smbios->oem_strings[i];
	end(s);
}

static void memory_array(struct smbios *s)
{
	uint64_t kib = s->config->memory_kib;
	bool large = kib >= 0x80000000;

	begin(s, 16, HANDLE_ARRAY); /* 7.17 */
	put8(s, MEMORY_SYSTEM_BOARD);
	put8(s, MEMORY_SYSTEM);
	put8(s, MEMORY_ECC_UNKNOWN);
	put32(s, large ? 0x80000000 : (uint32_t)kib);
	put16(s, NO_ERROR_HANDLE);
	put16(s, 1); /* devices */
	put64(s, large ? kib << 10 : 0);
	end(s);
}

static void memory_device(struct smbios *s)
{
	uint64_t mib = s->config->memory_kib >> 10;
	bool large = mib >= 0x7fff;

	begin(s, 17, HANDLE_MEMORY); /* 7.18 */
	put16(s, HANDLE_ARRAY);
	put16(s, NO_ERROR_HANDLE);
	put16(s, 0xffff); /* widths: unknown */
	put16(s, 0xffff);
	put16(s, large ? 0x7fff : (unsigned)mib);
	put8(s, FORM_DIMM);
	put8(s, 0);
	put_string(s, "DIMM 0");
	put_string(s, "");
	put8(s, MEMORY_RAM);
	put16(s, DETAIL_OTHER);
	put16(s, 0); /* speed */
	put_string(s, "vmmd");
	put_string(s, "");
	put_string(s, "");
	put_string(s, "");
	put8(s, 0); /* rank */
	put32(s, large ? (uint32_t)mib : 0);
	put16(s, 0); /* configured speed, voltages */
	put16(s, 0);
	put16(s, 0);
	put16(s, 0);
	end(s);
}

static void memory_map(struct smbios *s, unsigned i, uint64_t base, uint64_t size)
{
	uint64_t last_kib = (base + size - 1) >> 10;
	bool large = last_kib >= UINT32_MAX;

	begin(s, 19, HANDLE_MAP + i); /* 7.20 */
	put32(s, large ? UINT32_MAX : (uint32_t)(base >> 10));
	put32(s, large ? UINT32_MAX : (uint32_t)last_kib);
	put16(s, HANDLE_ARRAY);
	put8(s, 1); /* partition width */
	put64(s, large ? base : 0);
	put64(s, large ? base + size - 1 : 0);
	end(s);
}

static void structures(struct smbios *s)
{
	static const uint8_t reserved[6];
	struct cpu_topology t = cpu_topology_of(s->config);
	uint64_t memory = s->config->memory_kib << 10, low = MIN(memory, LAYOUT_LOW_RAM_MAX);

	bios(s);
	system_information(s);
	board(s);
	chassis(s);
	for (unsigned i = 0; i < t.sockets; i++)
		processor(s, i, &t);
	oem_strings(s);
	memory_array(s);
	memory_device(s);
	memory_map(s, 0, 0, low);
	if (memory > low)
		memory_map(s, 1, LAYOUT_HIGH_RAM_BASE, memory - low);
	begin(s, 32, HANDLE_BOOT); /* 7.33 */
	put(s, reserved, sizeof(reserved));
	put8(s, 0); /* no errors */
	end(s);
	begin(s, 127, HANDLE_END);
	end(s);
}

static uint8_t checksum(const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + data[i]);
	return (uint8_t)-sum;
}

/* 5.2.2 */
static void write_entry3(uint8_t *e, uint64_t table, uint32_t table_len)
{
	memset(e, 0, ENTRY3_SIZE);
	memcpy(e, "_SM3_", 5);
	e[6] = ENTRY3_SIZE;
	e[7] = 3; /* version 3.4.0 */
	e[8] = 4;
	e[10] = 1; /* entry point revision */
	memcpy(e + 12, &table_len, sizeof(table_len));
	memcpy(e + 16, &table, sizeof(table));
	e[5] = checksum(e, ENTRY3_SIZE);
}

/* 5.2.1 */
static void write_entry2(uint8_t *e, uint32_t table, const struct smbios *s)
{
	uint16_t largest = (uint16_t)s->largest, len = (uint16_t)(s->len - SMBIOS_TABLE);
	uint16_t n = (uint16_t)s->n_structures;

	memset(e, 0, ENTRY2_SIZE);
	memcpy(e, "_SM_", 4);
	e[5] = ENTRY2_SIZE;
	e[6] = 2; /* version 2.8 */
	e[7] = 8;
	memcpy(e + 8, &largest, sizeof(largest));
	memcpy(e + DMI_AT, "_DMI_", 5);
	memcpy(e + 22, &len, sizeof(len));
	memcpy(e + 24, &table, sizeof(table));
	memcpy(e + 28, &n, sizeof(n));
	e[30] = 0x28;
	e[21] = checksum(e + DMI_AT, ENTRY2_SIZE - DMI_AT);
	e[4] = checksum(e, ENTRY2_SIZE);
}

int smbios_make(
	const struct vm_config *config, uint32_t base, uint8_t *buf, size_t size, size_t *ret_len)
{
	struct smbios s = {.config = config, .data = buf, .len = SMBIOS_TABLE, .size = size};

	if (size < SMBIOS_TABLE)
		return -ENOSPC;
	structures(&s);
	if (s.overflow || s.len > UINT16_MAX)
		return -ENOSPC;
	memset(buf, 0, SMBIOS_TABLE);
	write_entry3(buf + SMBIOS_ENTRY3, base + SMBIOS_TABLE, (uint32_t)(s.len - SMBIOS_TABLE));
	write_entry2(buf + SMBIOS_ENTRY2, base + SMBIOS_TABLE, &s);
	*ret_len = s.len;
	return 0;
}

int smbios_build(struct guest_mem *mem, const struct vm_config *config)
{
	uint8_t *buf = guest_mem_ptr(mem, GPA(LAYOUT_SMBIOS_BASE), LAYOUT_SMBIOS_SIZE);
	size_t len;

	if (!buf)
		return -EFAULT;
	return smbios_make(config, (uint32_t)LAYOUT_SMBIOS_BASE, buf, LAYOUT_SMBIOS_SIZE, &len);
}
