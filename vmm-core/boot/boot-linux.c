/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The Linux boot protocol for bzImages (Documentation/arch/x86/boot.rst, zero-page.rst): the protected-mode part
 * where it likes to be, the zero page with the memory map. Real-mode set-up code is not run.
 *
 * Tested by tests/unit/test-boot.c.
 */
#include "vmm-core/boot/boot-internal.h"

#include <errno.h>
#include <string.h>

#include "vmm-core/layout.h"

#define LOADER_UNDEFINED 0xff
#define VID_MODE_NORMAL  0xffff
#define E820_MAX         128

struct e820_entry {
	uint64_t base, size;
	uint32_t type;
} __attribute__((packed));
static_assert(sizeof(struct e820_entry) == 20, "layout");

/* struct boot_params of the kernel: only what is filled in has a name. */
struct zero_page {
	uint8_t pad0[0x070];
	uint64_t acpi_rsdp_addr;
	uint8_t pad1[0x1e8 - 0x078];
	uint8_t e820_entries;
	uint8_t pad2[0x1f1 - 0x1e9];
	uint8_t header0[0x1fa - 0x1f1];
	uint16_t vid_mode;
	uint8_t header1[0x210 - 0x1fc];
	uint8_t type_of_loader;
	uint8_t loadflags;
	uint16_t setup_move_size;
	uint32_t code32_start;
	uint32_t ramdisk_image;
	uint32_t ramdisk_size;
	uint8_t header2[0x228 - 0x220];
	uint32_t cmd_line_ptr;
	uint8_t header3[0x250 - 0x22c];
	uint64_t setup_data;
	uint8_t header4[0x2d0 - 0x258];
	struct e820_entry e820[E820_MAX];
	uint8_t pad3[4096 - 0x2d0 - E820_MAX * 20];
} __attribute__((packed));
static_assert(sizeof(struct zero_page) == 4096, "layout");
static_assert(offsetof(struct zero_page, acpi_rsdp_addr) == 0x70, "layout");
static_assert(offsetof(struct zero_page, e820_entries) == 0x1e8, "layout");
static_assert(offsetof(struct zero_page, vid_mode) == 0x1fa, "layout");
static_assert(offsetof(struct zero_page, type_of_loader) == 0x210, "layout");
static_assert(offsetof(struct zero_page, cmd_line_ptr) == 0x228, "layout");
static_assert(offsetof(struct zero_page, setup_data) == 0x250, "layout");
static_assert(offsetof(struct zero_page, e820) == 0x2d0, "layout");

/* The kernel lives in [base, base + init_size) until it knows the memory map. */
static int choose_base(struct boot *b, uint64_t *ret_base)
{
	const struct kernel_image *image = &b->image;
	uint64_t base = image->preferred_base;

	if (base >= LAYOUT_HIMEM && (!image->relocatable || IS_ALIGNED(base, image->alignment)) &&
		range_fits(base, image->init_size, b->low_end)) {
		*ret_base = base;
		return 0;
	}
	base = ALIGN_UP(LAYOUT_HIMEM, (uint64_t)image->alignment);
	if (image->relocatable && range_fits(base, image->init_size, b->low_end)) {
		*ret_base = base;
		return 0;
	}
	return boot_fail(b, -ENOSPC,
		"the kernel needs %llu MiB of memory from address 0x%llx on; this vm has %llu MiB "
		"below 3 GiB",
		(unsigned long long)DIV_ROUND_UP(image->init_size, MIB(1)),
		(unsigned long long)(image->relocatable ? base : image->preferred_base),
		(unsigned long long)(b->low_end >> 20));
}

static int write_zero_page(struct boot *b, uint64_t base)
{
	struct zero_page *zp = guest_mem_ptr(b->mem, GPA(LAYOUT_BOOT_PARAMS), sizeof(*zp));

	if (!zp)
		return -EFAULT;
	memset(zp, 0, sizeof(*zp));
	memcpy((uint8_t *)zp + KERNEL_SETUP_HEADER_OFFSET, b->image.setup_header,
		b->image.setup_header_size);
	zp->type_of_loader = LOADER_UNDEFINED;
	zp->vid_mode = VID_MODE_NORMAL;
	zp->code32_start = (uint32_t)base;
	zp->setup_data = 0;
	zp->cmd_line_ptr = LAYOUT_CMDLINE;
	zp->ramdisk_image = (uint32_t)b->initrd_base;
	zp->ramdisk_size = (uint32_t)b->initrd_size;
	zp->acpi_rsdp_addr = b->in->rsdp.v;
	zp->e820_entries = (uint8_t)b->n_memmap;
	for (unsigned i = 0; i < b->n_memmap; i++)
		zp->e820[i] = (struct e820_entry){
			b->memmap[i].base, b->memmap[i].size, b->memmap[i].type};
	return 0;
}

int boot_linux(struct boot *b, struct boot_entry *entry)
{
	const struct kernel_image *image = &b->image;
	struct boot_range kernel;
	uint64_t base = 0;
	int r;

	r = choose_base(b, &base);
	if (r < 0)
		return r;
	kernel = (struct boot_range){.base = base, .size = image->init_size};
	r = boot_read(b, b->in->kernel_fd, image->payload_offset, image->payload_size, base,
		"the kernel");
	if (r < 0)
		return r;
	r = boot_place_initrd(b, image->initrd_max + 1, &kernel, 1);
	if (r < 0)
		return r;

	entry->kind = image->long_mode ? BOOT_LINUX64 : BOOT_LINUX32;
	entry->rip = base + (image->long_mode ? KERNEL_ENTRY64_OFFSET : 0);
	entry->rsi = LAYOUT_BOOT_PARAMS;
	return write_zero_page(b, base);
}
