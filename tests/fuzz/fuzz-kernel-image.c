/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernel images. The first byte says what is beside them (bit 0: an initrd, bit 1: ACPI; bits 2-4: how much memory), the
 * rest is the file. Whatever it is, loading answers an error with a reason, or an entry that lies in RAM, and the same
 * again when it is repeated as for a reset.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/boot/boot.h"
#include "vmm-core/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static int file_of(const uint8_t *data, size_t size)
{
	int fd = memfd_create("kernel", MFD_CLOEXEC);

	check(fd >= 0 && write_full(fd, data, size) == 0);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t flags = size ? data[0] : 0;
	uint64_t memory = MIB(1) << (flags >> 2 & 7);
	struct boot_entry entry, again;
	struct boot_params_in in = {.cmdline = "console=ttyS0 root=/dev/vda1", .initrd_fd = -EBADF};
	struct guest_mem mem;
	char reason[200] = "";
	int r;

	if (!size)
		return 0;
	check(guest_mem_init(&mem, -EBADF, MIN(memory, MIB(16))) == 0);
	in.kernel_fd = file_of(data + 1, size - 1);
	if (flags & 1)
		in.initrd_fd = in.kernel_fd;
	if (flags & 2)
		in.rsdp = GPA(LAYOUT_ACPI_BASE);
	r = boot_load(&mem, &in, &entry, reason, sizeof(reason));
	check(r <= 0 && (r == 0) == (reason[0] == '\0'));
	if (r == 0) {
		check(entry.kind > BOOT_NONE && entry.kind < BOOT_KIND_X_MAX);
		check(guest_mem_ptr(&mem, GPA(entry.rip), 1) && entry.rip >= LAYOUT_HIMEM);
		check(entry.cr0 & 1);
		check(boot_load(&mem, &in, &again, reason, sizeof(reason)) == 0);
		check(memcmp(&entry, &again, sizeof(entry)) == 0);
	}
	(void)close(in.kernel_fd);
	guest_mem_done(&mem);
	return 0;
}
