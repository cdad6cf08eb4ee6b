/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between boot.c (what all loaders share) and boot-linux.c, boot-pvh.c (one protocol each). */
#pragma once

#include "vmm-core/boot/boot.h"
#include "vmm-core/boot/kernel-probe.h"

#define BOOT_MAX_MEMMAP 16

enum boot_memory_type { BOOT_MEMORY_RAM = 1, BOOT_MEMORY_RESERVED = 2 };

struct boot_memmap_entry {
	uint64_t base, size;
	uint32_t type;
};

/* One load under way. */
struct boot {
	struct guest_mem *mem;
	const struct boot_params_in *in;
	struct kernel_image image;
	char *reason;
	size_t reason_size;
	uint64_t low_end; /* of RAM below the hole */
	unsigned n_memmap;
	struct boot_memmap_entry memmap[BOOT_MAX_MEMMAP];
	uint64_t cmdline_len;
	uint64_t initrd_base, initrd_size; /* size 0: none */
};

/* Say why; answers 'error'. */
int boot_fail(struct boot *b, int error, const char *format, ...) _printf_(3, 4);

/* Read file bytes into guest memory, which the caller has checked to be RAM. */
int boot_read(
	struct boot *b, int fd, uint64_t offset, uint64_t size, uint64_t gpa, const char *what);

/* Find a place for the initrd, as high as possible in [LAYOUT_HIMEM, min(low_end, limit)) and off the 'n' ranges
 * of 'taken' (base, size), and read it there. */
struct boot_range {
	uint64_t base, size;
};
int boot_place_initrd(struct boot *b, uint64_t limit, const struct boot_range *taken, unsigned n);

/* Protocols: load the kernel and the structures it reads; fill in the registers of its own. */
int boot_linux(struct boot *b, struct boot_entry *entry);
int boot_pvh(struct boot *b, struct boot_entry *entry);
