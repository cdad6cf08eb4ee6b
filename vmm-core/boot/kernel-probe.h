/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What kind of kernel a file is: its headers, read once and checked. Used by the boot loader (boot/boot.h), and by
 * the daemon to refuse "a kernel that is no kernel" before anything is created. Stands on vmm-core/base only; the
 * meson dependency for the daemon is kernel_probe_dep.
 *
 * After a successful probe every offset and size in struct kernel_image lies within the file as it was then; the
 * file may change later, so a loader copes with short reads.
 *
 * Tested by tests/unit/test-boot.c.
 */
#pragma once

#include <sys/types.h>

#include "vmm-core/base/macro.h"

#define KERNEL_MAX_SEGMENTS 32

enum kernel_format { KERNEL_BZIMAGE, KERNEL_PVH_ELF, KERNEL_FORMAT_X_MAX };

/* The part of a bzImage's first sectors that begins at offset 0x1f1: copied into the zero page. */
#define KERNEL_ENTRY64_OFFSET      0x200 /* of the 64-bit entry, within the protected-mode part */
#define KERNEL_SETUP_HEADER_OFFSET 0x1f1
#define KERNEL_SETUP_HEADER_MAX    0x90 /* ends where the jump at 0x200 may reach: 0x281 */

struct kernel_segment {
	uint64_t offset, file_size; /* in the file */
	uint64_t paddr,
		mem_size; /* in guest memory; mem_size >= file_size, not zero, no overflow */
};

struct kernel_image {
	enum kernel_format format;
	uint64_t file_size;

	/* bzImage */
	uint16_t version;        /* of the boot protocol: 0x20c is 2.12 */
	bool relocatable;        /* may be loaded elsewhere than at preferred_base */
	bool long_mode;          /* has the 64-bit entry */
	uint64_t payload_offset; /* the protected-mode part, to the end of the file */
	uint64_t payload_size;
	uint64_t preferred_base;
	uint32_t alignment;   /* a power of two */
	uint64_t init_size;   /* memory it needs from its base on; >= payload_size */
	uint64_t initrd_max;  /* highest address an initrd may occupy */
	uint32_t cmdline_max; /* characters, without the NUL */
	uint32_t setup_header_size;
	uint8_t setup_header[KERNEL_SETUP_HEADER_MAX];

	/* PVH ELF */
	uint32_t entry;
	unsigned n_segments;
	struct kernel_segment segments[KERNEL_MAX_SEGMENTS];
};

/* Returns 0, -ENOEXEC with one line in ret_reason[reason_size] (which does not name the file: the caller does), or
 * an error of reading, with a reason too. */
int kernel_probe(int fd, struct kernel_image *ret_image, char *ret_reason, size_t reason_size);
