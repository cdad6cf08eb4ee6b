/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The boot loader: a kernel image, an initrd and a command line in; guest memory as a boot loader would leave it
 * and vCPU 0's first registers out. There is no firmware: ACPI (acpi/acpi.h) and SMBIOS (smbios.h) are written
 * beside it.
 *
 * Two kinds of kernel are known (boot/kernel-probe.h tells them apart):
 *
 *	bzImage	  Linux boot protocol 2.06 and later (Documentation/arch/x86/boot.rst). Entered in 64-bit mode at
 *		  +0x200 when the image says XLF_KERNEL_64, else in 32-bit protected mode at its start.
 *	PVH ELF	  ELF32 or ELF64 with the note XEN_ELFNOTE_PHYS32_ENTRY (18), entered in 32-bit protected mode with
 *		  EBX = hvm_start_info (Xen's docs/misc/pvh.pandoc). An uncompressed vmlinux is one.
 *
 * Where everything goes is in layout.h. The image is hostile: every offset and size is checked against the file,
 * against RAM and against whatever else was placed, before a byte is written there. Data go from the file straight
 * into guest memory by pread(), so an image may be loaded any number of times (each reset loads it again); what was
 * in memory before and is not overwritten stays.
 *
 * Pure: needs no KVM. Threads: any, while no vCPU runs.
 */
#pragma once

#include "vmm-core/guest-mem.h"

enum boot_kind {
	BOOT_NONE,    /* all zero: nothing was loaded */
	BOOT_PVH32,   /* PVH: protected mode, paging off */
	BOOT_LINUX32, /* Linux' 32-bit protocol: protected mode, paging off */
	BOOT_LINUX64, /* Linux' 64-bit protocol: long mode, first 4 GiB mapped one to one */
	BOOT_KIND_X_MAX
};

/* A segment register, hidden part included, in the terms of struct kvm_segment. */
struct boot_segment {
	uint64_t base;
	uint32_t limit; /* bytes - 1, granularity applied */
	uint16_t selector;
	uint8_t type, present, dpl, db, s, l, g, avl;
};

/* The registers vCPU 0 starts with. What is not named here is zero; IDT base and limit are zero. */
struct boot_entry {
	enum boot_kind kind;
	uint64_t rip, rsp, rbx, rsi, rflags;
	uint64_t cr0, cr3, cr4, efer;
	struct boot_segment code; /* CS */
	struct boot_segment data; /* DS, ES, FS, GS and SS */
	struct boot_segment task; /* TR */
	uint64_t gdt_base;
	uint16_t gdt_limit;
};

struct boot_params_in {
	int kernel_fd;       /* a regular file; not owned, its offset is neither used nor moved */
	int initrd_fd;       /* likewise; -EBADF: none */
	const char *cmdline; /* NULL or "": none */
	struct gpa rsdp;     /* GPA(0): no ACPI */
};

/* Load. Returns 0 with '*ret_entry', or -errno with one line in ret_reason[reason_size]: -ENOEXEC (not a kernel, or
 * one that cannot be booted), -E2BIG (command line longer than this kernel takes), -ENOSPC (does not fit into RAM
 * below 3 GiB, or two things overlap), -EFAULT (asks for memory that is no RAM), or an error of reading the files.
 * Memory may have been written by then. */
int boot_load(struct guest_mem *mem, const struct boot_params_in *in, struct boot_entry *ret_entry,
	char *ret_reason, size_t reason_size);
