/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PVH boot protocol for ELF images (Xen's docs/misc/pvh.pandoc; struct hvm_start_info version 1 of
 * xen/include/public/arch-x86/hvm/start_info.h).
 *
 * Tested by tests/unit/test-boot.c.
 */
#include "vmm-core/boot/boot-internal.h"

#include <errno.h>
#include <string.h>

#include "vmm-core/layout.h"

#define START_MAGIC   0x336ec578
#define START_VERSION 1 /* has the memory map */

struct start_info {
	uint32_t magic, version, flags, n_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t memmap_entries, reserved;
};
static_assert(sizeof(struct start_info) == 56, "layout");

struct start_module {
	uint64_t base, size, cmdline, reserved;
};
static_assert(sizeof(struct start_module) == 32, "layout");

struct start_memory {
	uint64_t base, size;
	uint32_t type, reserved;
};
static_assert(sizeof(struct start_memory) == 24, "layout");
static_assert(
	LAYOUT_BOOT_MEMMAP + BOOT_MAX_MEMMAP * sizeof(struct start_memory) <= LAYOUT_BOOT_PARAMS,
	"the memory map runs into hvm_start_info");

/* All segments are checked before the first byte is written. */
static int check_segments(struct boot *b)
{
	for (unsigned i = 0; i < b->image.n_segments; i++) {
		const struct kernel_segment *s = &b->image.segments[i];

		if (s->paddr < LAYOUT_HIMEM)
			return boot_fail(b, -EFAULT,
				"the kernel wants to be loaded at 0x%llx; below 1 MiB is not "
				"possible",
				(unsigned long long)s->paddr);
		if (!guest_mem_ptr(b->mem, GPA(s->paddr), s->mem_size))
			return boot_fail(b, -EFAULT,
				"the kernel wants %llu KiB at 0x%llx, where this vm has no memory; "
				"give the vm more memory",
				(unsigned long long)DIV_ROUND_UP(s->mem_size, KIB(1)),
				(unsigned long long)s->paddr);
	}
	return 0;
}

static int load_segments(struct boot *b)
{
	for (unsigned i = 0; i < b->image.n_segments; i++) {
		const struct kernel_segment *s = &b->image.segments[i];
		uint8_t *host = guest_mem_ptr(b->mem, GPA(s->paddr), s->mem_size);
		int r;

		r = boot_read(b, b->in->kernel_fd, s->offset, s->file_size, s->paddr, "the kernel");
		if (r < 0)
			return r;
		memset(host + s->file_size, 0, s->mem_size - s->file_size);
	}
	return 0;
}

static int write_start_info(struct boot *b)
{
	struct start_memory memmap[BOOT_MAX_MEMMAP] = {0};
	struct start_module initrd = {.base = b->initrd_base, .size = b->initrd_size};
	struct start_info info = {
		.magic = START_MAGIC,
		.version = START_VERSION,
		.n_modules = b->initrd_size ? 1 : 0,
		.modlist = b->initrd_size ? LAYOUT_BOOT_MODLIST : 0,
		.cmdline = LAYOUT_CMDLINE,
		.rsdp = b->in->rsdp.v,
		.memmap = LAYOUT_BOOT_MEMMAP,
		.memmap_entries = b->n_memmap,
	};
	int r;

	for (unsigned i = 0; i < b->n_memmap; i++)
		memmap[i] = (struct start_memory){.base = b->memmap[i].base,
			.size = b->memmap[i].size,
			.type = b->memmap[i].type};
	r = guest_mem_write(b->mem, GPA(LAYOUT_BOOT_MODLIST), &initrd, sizeof(initrd));
	if (r >= 0)
		r = guest_mem_write(
			b->mem, GPA(LAYOUT_BOOT_MEMMAP), memmap, b->n_memmap * sizeof(memmap[0]));
	if (r >= 0)
		r = guest_mem_write(b->mem, GPA(LAYOUT_BOOT_PARAMS), &info, sizeof(info));
	return r;
}

int boot_pvh(struct boot *b, struct boot_entry *entry)
{
	struct boot_range taken[KERNEL_MAX_SEGMENTS];
	int r;

	r = check_segments(b);
	if (r < 0)
		return r;
	r = load_segments(b);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < b->image.n_segments; i++)
		taken[i] = (struct boot_range){
			.base = b->image.segments[i].paddr, .size = b->image.segments[i].mem_size};
	r = boot_place_initrd(b, LAYOUT_LOW_RAM_MAX, taken, b->image.n_segments);
	if (r < 0)
		return r;

	entry->kind = BOOT_PVH32;
	entry->rip = b->image.entry;
	entry->rbx = LAYOUT_BOOT_PARAMS;
	return write_start_info(b);
}
