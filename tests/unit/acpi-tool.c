/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * acpi-tool DIR VCPUS: write the ACPI tables of a machine with every device that they can describe into DIR, one file
 * per table, for check-acpi to compare and to have compiled.
 */
#include "vmm-core/acpi/acpi.h"

#include <fcntl.h>
#include <string.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/layout.h"

static uint8_t tables[LAYOUT_ACPI_SIZE];

static int write_table(const char *dir, const uint8_t *table, uint32_t len)
{
	_cleanup_(closep) int fd = -EBADF;
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/%.4s.aml", dir, (const char *)table);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	return write_full(fd, table, len);
}

int main(int argc, char **argv)
{
	static struct vm_config config;
	uint64_t vcpus = 0;
	size_t len;

	if (argc != 3 || parse_u64(argv[2], VM_MAX_VCPUS, &vcpus) < 0) {
		(void)fprintf(stderr, "usage: acpi-tool DIR VCPUS\n");
		return 2;
	}
	vm_config_init(&config);
	config.memory_kib = 6 << 20;
	/* Two cells, of which one is on both sides of the hole. */
	config.n_cells = 2;
	for (unsigned i = 0; i < 2; i++) {
		config.cells[i].memory_kib = UINT64_C(2) << 20 << i;
		memcpy(config.cells[i].distances, i ? "\x1f\x0a" : "\x0a\x15", 2);
	}
	for (unsigned i = 0; i < vcpus; i++)
		config.cells[i % 2].cpus[i / 64] |= UINT64_C(1) << i % 64;
	config.vcpus = config.vcpus_max = (uint32_t)vcpus;
	config.acpi = config.genid = config.panic_isa = 1;
	config.n_serials = VM_MAX_SERIALS;
	for (uint8_t i = 0; i < VM_MAX_SERIALS; i++)
		config.serials[i].port = i;
	if (acpi_make(&config, GIB(4), (uint32_t)LAYOUT_ACPI_BASE, tables, sizeof(tables), &len) <
		0)
		return 1;
	for (size_t at = 0; at + 36 <= len; at += 16) {
		uint32_t size;

		memcpy(&size, tables + at + 4, sizeof(size));
		if (memcmp(tables + at + 10, "VMMD  VMMDACPI", 14) == 0 && size <= len - at &&
			write_table(argv[1], tables + at, size) < 0)
			return 1;
	}
	return 0;
}
