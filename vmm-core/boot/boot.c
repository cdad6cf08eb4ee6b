/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all loaders share: command line, initrd, memory map, descriptor table, page tables. See boot.h. */
#include "vmm-core/boot/boot.h"

#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "config/vm-config.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/boot/boot-internal.h"
#include "vmm-core/layout.h"

#define PAGE 4096

#define CR0_PE   UINT64_C(0x00000001)
#define CR0_ET   UINT64_C(0x00000010)
#define CR0_NE   UINT64_C(0x00000020)
#define CR0_PG   UINT64_C(0x80000000)
#define CR4_PAE  UINT64_C(0x20)
#define EFER_LME UINT64_C(0x100)
#define EFER_LMA UINT64_C(0x400)
#define RFLAGS_1 UINT64_C(0x2)

/* Page table entries: present, writable; large page. */
#define PTE_TABLE UINT64_C(0x3)
#define PTE_LARGE UINT64_C(0x83)

/* Selectors: Linux wants these two for code and data. */
#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TASK 0x20

int boot_fail(struct boot *b, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(b->reason, b->reason_size, format, ap);
	va_end(ap);
	return error;
}

int boot_read(
	struct boot *b, int fd, uint64_t offset, uint64_t size, uint64_t gpa, const char *what)
{
	void *to = guest_mem_ptr(b->mem, GPA(gpa), size);
	int r;

	if (!size)
		return 0;
	if (!to)
		return boot_fail(b, -EFAULT, "%s does not fit into memory", what);
	r = pread_full(fd, to, size, offset);
	if (r == -ENODATA)
		return boot_fail(b, r, "%s became shorter while it was read", what);
	if (r < 0)
		return boot_fail(b, r, "cannot read %s: %s", what, strerror(-r));
	return 0;
}

/* Move '*base' below every range that [*base, *base + size) touches. */
static bool move_down(uint64_t *base, uint64_t size, const struct boot_range *taken, unsigned n)
{
	for (unsigned i = 0; i < n;) {
		if (*base >= taken[i].base + taken[i].size || taken[i].base >= *base + size) {
			i++;
			continue;
		}
		if (taken[i].base < LAYOUT_HIMEM + size)
			return false;
		*base = ALIGN_DOWN(taken[i].base - size, PAGE);
		i = 0;
	}
	return *base >= LAYOUT_HIMEM;
}

int boot_place_initrd(struct boot *b, uint64_t limit, const struct boot_range *taken, unsigned n)
{
	uint64_t top = MIN(b->low_end, limit), base;
	struct stat st;

	if (b->in->initrd_fd < 0)
		return 0;
	if (fstat(b->in->initrd_fd, &st) < 0)
		return boot_fail(b, -errno, "cannot read the initrd: %s", strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return boot_fail(b, -EINVAL, "the initrd is %s",
			S_ISREG(st.st_mode) ? "empty" : "no regular file");

	b->initrd_size = (uint64_t)st.st_size;
	if (!range_fits(LAYOUT_HIMEM, b->initrd_size, top))
		goto too_large;
	base = ALIGN_DOWN(top - b->initrd_size, PAGE);
	if (!move_down(&base, b->initrd_size, taken, n))
		goto too_large;
	b->initrd_base = base;
	return boot_read(b, b->in->initrd_fd, 0, b->initrd_size, base, "the initrd");

too_large:
	return boot_fail(b, -ENOSPC,
		"the initrd of %llu MiB does not fit beside the kernel into %llu MiB of memory; "
		"give the vm more memory",
		(unsigned long long)DIV_ROUND_UP(b->initrd_size, MIB(1)),
		(unsigned long long)(top >> 20));
}

static int load_cmdline(struct boot *b)
{
	uint64_t max = MIN((uint64_t)b->image.cmdline_max, (uint64_t)VM_CMDLINE_MAX - 1);
	const char *cmdline = b->in->cmdline ? b->in->cmdline : "";

	b->cmdline_len = strlen(cmdline);
	if (b->cmdline_len > max)
		return boot_fail(b, -E2BIG,
			"the kernel command line has %llu characters; this kernel takes %llu",
			(unsigned long long)b->cmdline_len, (unsigned long long)max);
	return guest_mem_write(b->mem, GPA(LAYOUT_CMDLINE), cmdline, b->cmdline_len + 1);
}

static void add_memory(struct boot *b, uint64_t base, uint64_t end, enum boot_memory_type type)
{
	if (end > base && b->n_memmap < BOOT_MAX_MEMMAP)
		b->memmap[b->n_memmap++] =
			(struct boot_memmap_entry){.base = base, .size = end - base, .type = type};
}

static void make_memmap(struct boot *b)
{
	add_memory(b, 0, LAYOUT_EBDA, BOOT_MEMORY_RAM);
	/* ACPI, SMBIOS, generation id; not for the guest to take. */
	add_memory(b, LAYOUT_EBDA, LAYOUT_HIMEM, BOOT_MEMORY_RESERVED);
	add_memory(b, LAYOUT_HIMEM, b->low_end, BOOT_MEMORY_RAM);
	/* Linux uses ECAM only where the map reserves it. */
	add_memory(b, LAYOUT_ECAM_BASE, LAYOUT_ECAM_BASE + LAYOUT_ECAM_SIZE, BOOT_MEMORY_RESERVED);
	for (unsigned i = 0; i < b->mem->n_regions; i++) {
		const struct guest_region *region = &b->mem->regions[i];

		if (region->base.v >= LAYOUT_HIGH_RAM_BASE)
			add_memory(
				b, region->base.v, region->base.v + region->size, BOOT_MEMORY_RAM);
	}
}

/* A descriptor as the processor reads it (Intel SDM volume 3, 3.4.5). */
static uint64_t descriptor(const struct boot_segment *s)
{
	uint64_t limit = s->g ? s->limit >> 12 : s->limit;

	return (limit & 0xffff) | (s->base & 0xffffff) << 16 | (uint64_t)s->type << 40 |
		(uint64_t)s->s << 44 | (uint64_t)s->dpl << 45 | (uint64_t)s->present << 47 |
		(limit >> 16 & 0xf) << 48 | (uint64_t)s->avl << 52 | (uint64_t)s->l << 53 |
		(uint64_t)s->db << 54 | (uint64_t)s->g << 55 | (s->base >> 24 & 0xff) << 56;
}

static int set_segments(struct boot *b, struct boot_entry *e, bool long_mode)
{
	uint64_t gdt[6] = {0}; /* a task descriptor has 16 bytes in long mode */

	e->code = (struct boot_segment){
		.limit = UINT32_MAX,
		.selector = SELECTOR_CODE,
		.type = 11, /* execute, read, accessed */
		.present = 1,
		.s = 1,
		.g = 1,
		.l = long_mode,
		.db = !long_mode,
	};
	e->data = (struct boot_segment){
		.limit = UINT32_MAX,
		.selector = SELECTOR_DATA,
		.type = 3, /* read, write, accessed */
		.present = 1,
		.s = 1,
		.g = 1,
		.db = 1,
	};
	e->task = (struct boot_segment){
		.limit = 0x67,
		.selector = SELECTOR_TASK,
		.type = 11, /* busy TSS */
		.present = 1,
	};
	gdt[SELECTOR_CODE / 8] = descriptor(&e->code);
	gdt[SELECTOR_DATA / 8] = descriptor(&e->data);
	gdt[SELECTOR_TASK / 8] = descriptor(&e->task);
	e->gdt_base = LAYOUT_BOOT_GDT;
	e->gdt_limit = sizeof(gdt) - 1;
	return guest_mem_write(b->mem, GPA(LAYOUT_BOOT_GDT), gdt, sizeof(gdt));
}

/* The first 4 GiB one to one in pages of 2 MiB: PML4, PDPT and four page directories in a row. */
static int make_page_tables(struct boot *b)
{
	uint64_t *pml4 = guest_mem_ptr(b->mem, GPA(LAYOUT_BOOT_PML4), 6 * PAGE);
	uint64_t *pdpt = pml4 + 512, *pd = pml4 + 2 * 512;

	if (!pml4)
		return -EFAULT;
	memset(pml4, 0, 2 * PAGE);
	pml4[0] = (LAYOUT_BOOT_PML4 + PAGE) | PTE_TABLE;
	for (uint64_t i = 0; i < 4; i++)
		pdpt[i] = (LAYOUT_BOOT_PML4 + (2 + i) * PAGE) | PTE_TABLE;
	for (uint64_t i = 0; i < UINT64_C(4) * 512; i++)
		pd[i] = i * MIB(2) | PTE_LARGE;
	return 0;
}

static int set_processor(struct boot *b, struct boot_entry *e)
{
	bool long_mode = e->kind == BOOT_LINUX64;
	int r;

	e->rflags = RFLAGS_1;
	e->cr0 = CR0_PE | CR0_ET;
	if (long_mode) {
		e->cr0 |= CR0_PG | CR0_NE;
		e->cr3 = LAYOUT_BOOT_PML4;
		e->cr4 = CR4_PAE;
		e->efer = EFER_LME | EFER_LMA;
		r = make_page_tables(b);
		if (r < 0)
			return r;
	}
	return set_segments(b, e, long_mode);
}

int boot_load(struct guest_mem *mem, const struct boot_params_in *in, struct boot_entry *ret_entry,
	char *ret_reason, size_t reason_size)
{
	struct boot b = {.mem = mem, .in = in, .reason = ret_reason, .reason_size = reason_size};
	struct boot_entry entry = {0};
	char why[160];
	int r;

	b.low_end = guest_mem_span(mem, GPA(0), UINT64_MAX);
	if (b.low_end <= LAYOUT_HIMEM)
		return boot_fail(&b, -ENOSPC, "%llu KiB of memory are too little to boot a kernel",
			(unsigned long long)(b.low_end >> 10));
	r = kernel_probe(in->kernel_fd, &b.image, why, sizeof(why));
	if (r < 0)
		return boot_fail(&b, r, "cannot boot this kernel: %s", why);

	make_memmap(&b);
	r = load_cmdline(&b);
	if (r < 0)
		return r;
	r = b.image.format == KERNEL_BZIMAGE ? boot_linux(&b, &entry) : boot_pvh(&b, &entry);
	if (r >= 0)
		r = set_processor(&b, &entry);
	if (r < 0)
		return r;
	*ret_entry = entry;
	return 0;
}
