/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * smbios-tool FILE [CPUS]: write the SMBIOS of a fixed machine, in the form that `dmidecode --from-dump` reads: the entry
 * point, with the table at offset 32.
 */
#include "vmm-core/smbios.h"

#include <fcntl.h>
#include <string.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/layout.h"

#define TABLE_IN_DUMP 32

static uint8_t buf[LAYOUT_SMBIOS_SIZE];
static struct vm_config config;

static void set(enum vm_smbios_field field, const char *value)
{
	(void)str_copy(config.smbios.values[field], VM_SMBIOS_VALUE_MAX, value);
}

int main(int argc, char **argv)
{
	_cleanup_(closep) int fd = -EBADF;
	uint64_t cpus = 4;
	size_t len;

	if (argc < 2 || (argc > 2 && parse_u64(argv[2], VM_MAX_VCPUS, &cpus) < 0))
		return 2;
	vm_config_init(&config);
	config.memory_kib = 5 << 20;
	config.vcpus = config.vcpus_max = (uint32_t)cpus;
	(void)uuid_parse("00112233-4455-6677-8899-aabbccddeeff", config.uuid);
	config.smbios.enabled = 1;
	set(VM_SMBIOS_SYSTEM_SERIAL, "ds=nocloud");
	set(VM_SMBIOS_BOARD_PRODUCT, "a board");
	set(VM_SMBIOS_BIOS_RELEASE, "2.11");
	config.smbios.n_oem_strings = 2;
	(void)str_copy(config.smbios.oem_strings[0], VM_SMBIOS_VALUE_MAX, "first");
	(void)str_copy(config.smbios.oem_strings[1], VM_SMBIOS_VALUE_MAX, "second");
	/* So that SMBIOS_TABLE is at 32 in the file, whose first 32 bytes are the entry point. */
	if (smbios_make(&config, TABLE_IN_DUMP - SMBIOS_TABLE, buf, sizeof(buf), &len) < 0)
		return 1;
	fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write_full(fd, buf + SMBIOS_ENTRY3, TABLE_IN_DUMP) < 0 ||
		write_full(fd, buf + SMBIOS_TABLE, len - SMBIOS_TABLE) < 0)
		return 1;
	return 0;
}
