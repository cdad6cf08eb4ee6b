/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The boot loaders: images made here, good and hostile, into anonymous memory. */
#include "vmm-core/boot/boot.h"

#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/boot/kernel-probe.h"
#include "vmm-core/layout.h"

#define BZ_SETUP  (5 * 512)
#define BZ_SIZE   (BZ_SETUP + 0x3000)
#define ELF_SIZE  0x3000
#define ELF_ENTRY 0x1000100

static void put16(uint8_t *p, size_t at, uint16_t v)
{
	memcpy(p + at, &v, 2);
}

static void put32(uint8_t *p, size_t at, uint32_t v)
{
	memcpy(p + at, &v, 4);
}

static void put64(uint8_t *p, size_t at, uint64_t v)
{
	memcpy(p + at, &v, 8);
}

static uint32_t mem32(const struct guest_mem *mem, uint64_t gpa)
{
	uint32_t v = 0;

	assert_int_equal(guest_mem_read(mem, GPA(gpa), &v, sizeof(v)), 0);
	return v;
}

static uint64_t mem64(const struct guest_mem *mem, uint64_t gpa)
{
	return mem32(mem, gpa) | (uint64_t)mem32(mem, gpa + 4) << 32;
}

static int file_of(const void *data, size_t len)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, data, len), 0);
	return fd;
}

/* A bzImage of protocol 2.15 with a 64-bit entry: four set-up sectors and 12 KiB of "code". */
static void make_bzimage(uint8_t *image)
{
	memset(image, 0, BZ_SIZE);
	image[0x1f1] = 4;
	put32(image, 0x1f4, (BZ_SIZE - BZ_SETUP) / 16);
	put16(image, 0x1fe, 0xaa55);
	image[0x200] = 0xeb;
	image[0x201] = 0x6a;
	memcpy(image + 0x202, "HdrS", 4);
	put16(image, 0x206, 0x20f);
	image[0x211] = 1;
	put32(image, 0x214, 0x100000);
	put32(image, 0x22c, 0x7fffffff);
	put32(image, 0x230, 0x200000);
	image[0x234] = 1;
	put16(image, 0x236, 0x1);
	put32(image, 0x238, 2047);
	put64(image, 0x258, 0x1000000);
	put32(image, 0x260, 0x800000);
	for (size_t i = BZ_SETUP; i < BZ_SIZE; i++)
		image[i] = (uint8_t)(i * 7);
}

/* An ELF64 with one segment of 8 KiB (16 KiB in memory) at 16 MiB and a PVH note within it. */
static void make_elf(uint8_t *image)
{
	Elf64_Ehdr h = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phoff = 64,
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
	};
	Elf64_Phdr load = {.p_type = PT_LOAD,
		.p_offset = 0x1000,
		.p_paddr = 0x1000000,
		.p_filesz = 0x2000,
		.p_memsz = 0x4000};
	Elf64_Phdr note = {.p_type = PT_NOTE, .p_offset = 0x200, .p_filesz = 20, .p_align = 4};

	memset(image, 0, ELF_SIZE);
	memset(image + 0x1000, 0x90, 0x2000);
	memcpy(image, &h, sizeof(h));
	memcpy(image + 64, &load, sizeof(load));
	memcpy(image + 64 + sizeof(load), &note, sizeof(note));
	put32(image, 0x200, 4);
	put32(image, 0x204, 4);
	put32(image, 0x208, 18);
	memcpy(image + 0x20c, "Xen", 4);
	put32(image, 0x210, ELF_ENTRY);
}

struct result {
	int r;
	struct boot_entry entry;
	char reason[200];
};

static struct result load_into(
	struct guest_mem *mem, const void *kernel, size_t len, int initrd_fd, const char *cmdline)
{
	struct boot_params_in in = {
		.kernel_fd = file_of(kernel, len),
		.initrd_fd = initrd_fd,
		.cmdline = cmdline,
		.rsdp = GPA(LAYOUT_ACPI_BASE),
	};
	struct result result = {0};

	result.r = boot_load(mem, &in, &result.entry, result.reason, sizeof(result.reason));
	assert_true((result.r < 0) == (result.reason[0] != '\0'));
	(void)close(in.kernel_fd);
	return result;
}

static struct result load(const void *kernel, size_t len, uint64_t mem_size)
{
	struct guest_mem mem;
	struct result result;

	assert_int_equal(guest_mem_init(&mem, -EBADF, mem_size), 0);
	result = load_into(&mem, kernel, len, -EBADF, "");
	guest_mem_done(&mem);
	return result;
}

static void assert_refused(struct result result, int error, const char *word)
{
	if (result.r != error || !strstr(result.reason, word))
		fail_msg("%d \"%s\", expected %d \"...%s...\"", result.r, result.reason, error,
			word);
}

static void test_linux64(void **state)
{
	static uint8_t image[BZ_SIZE], initrd[5000];
	struct guest_mem mem;
	struct result res;
	int initrd_fd;

	(void)state;
	make_bzimage(image);
	memset(initrd, 0x5a, sizeof(initrd));
	initrd_fd = file_of(initrd, sizeof(initrd));
	assert_int_equal(guest_mem_init(&mem, -EBADF, MIB(64)), 0);
	res = load_into(&mem, image, sizeof(image), initrd_fd, "console=ttyS0");

	assert_int_equal(res.r, 0);
	assert_int_equal(res.entry.kind, BOOT_LINUX64);
	assert_int_equal(res.entry.rip, 0x1000200);
	assert_int_equal(res.entry.rsi, LAYOUT_BOOT_PARAMS);
	assert_int_equal(res.entry.cr0 & 0x80000001, 0x80000001);
	assert_int_equal(res.entry.efer, 0x500);
	assert_int_equal(res.entry.cr3, LAYOUT_BOOT_PML4);
	assert_int_equal(res.entry.code.l, 1);
	assert_int_equal(res.entry.code.selector, 0x10);
	assert_memory_equal(guest_mem_ptr(&mem, GPA(0x1000000), BZ_SIZE - BZ_SETUP),
		image + BZ_SETUP, BZ_SIZE - BZ_SETUP);
	/* zero page */
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 0x202), 0x53726448);
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 0x210) & 0xff, 0xff);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PARAMS + 0x70), LAYOUT_ACPI_BASE);
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 0x228), LAYOUT_CMDLINE);
	assert_string_equal(guest_mem_ptr(&mem, GPA(LAYOUT_CMDLINE), 20), "console=ttyS0");
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 0x218), MIB(64) - 8192);
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 0x21c), sizeof(initrd));
	assert_memory_equal(
		guest_mem_ptr(&mem, GPA(MIB(64) - 8192), sizeof(initrd)), initrd, sizeof(initrd));
	/* e820: low, reserved, RAM, ECAM */
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 0x1e8) & 0xff, 4);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PARAMS + 0x2d0 + 8), LAYOUT_EBDA);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PARAMS + 0x2d0 + 40), LAYOUT_HIMEM);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PARAMS + 0x2d0 + 48), MIB(63));
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 0x2d0 + 60 + 16), 2);
	/* tables: 3 GiB + 5 is mapped to itself */
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PML4), LAYOUT_BOOT_PML4 + 0x1003);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PML4 + 0x1000 + 24), LAYOUT_BOOT_PML4 + 0x5003);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PML4 + 0x5000), 0xc0000083);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_GDT + 0x10), 0x00af9b000000ffff);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_GDT + 0x18), 0x00cf93000000ffff);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_GDT + 0x20), 0x00008b0000000067);
	guest_mem_done(&mem);
	(void)close(initrd_fd);
}

static void test_linux_placement(void **state)
{
	static uint8_t image[BZ_SIZE];
	struct result res;

	(void)state;
	make_bzimage(image);
	/* Its favourite place does not exist: it moves. */
	res = load(image, sizeof(image), MIB(16));
	assert_int_equal(res.r, 0);
	assert_int_equal(res.entry.rip, 0x200200);
	image[0x234] = 0;
	assert_refused(load(image, sizeof(image), MIB(16)), -ENOSPC, "needs 8 MiB");
	assert_refused(load(image, sizeof(image), MIB(1)), -ENOSPC, "too little");

	/* No 64-bit entry; an old header without a preferred address. */
	put16(image, 0x236, 0);
	res = load(image, sizeof(image), MIB(64));
	assert_int_equal(res.r, 0);
	assert_int_equal(res.entry.kind, BOOT_LINUX32);
	assert_int_equal(res.entry.rip, 0x1000000);
	assert_int_equal(res.entry.cr0 & 0x80000001, 1);
	assert_int_equal(res.entry.code.db, 1);
	put16(image, 0x206, 0x206);
	res = load(image, sizeof(image), MIB(64));
	assert_int_equal(res.r, 0);
	assert_int_equal(res.entry.rip, 0x100000);
}

static void test_linux_limits(void **state)
{
	static uint8_t image[BZ_SIZE], initrd[5000];
	static char cmdline[3000];
	int initrd_fd = file_of(initrd, sizeof(initrd)), empty_fd = file_of("", 0);
	struct guest_mem mem;

	(void)state;
	make_bzimage(image);
	assert_int_equal(guest_mem_init(&mem, -EBADF, MIB(24)), 0);
	memset(cmdline, 'x', 2047);
	assert_int_equal(load_into(&mem, image, sizeof(image), -EBADF, cmdline).r, 0);
	cmdline[2047] = 'x';
	assert_refused(load_into(&mem, image, sizeof(image), -EBADF, cmdline), -E2BIG, "2047");
	assert_refused(load_into(&mem, image, sizeof(image), empty_fd, ""), -EINVAL, "empty");
	/* The kernel takes [16, 24) MiB for itself: below it there is room. */
	assert_int_equal(load_into(&mem, image, sizeof(image), initrd_fd, "").r, 0);
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 0x218), MIB(16) - 8192);
	/* Below the limit the kernel names. */
	put32(image, 0x22c, 0x7fffff);
	assert_int_equal(load_into(&mem, image, sizeof(image), initrd_fd, "").r, 0);
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 0x218), MIB(8) - 8192);
	put32(image, 0x22c, 0x100fff);
	assert_refused(load_into(&mem, image, sizeof(image), initrd_fd, ""), -ENOSPC, "initrd");
	guest_mem_done(&mem);
	(void)close(initrd_fd);
	(void)close(empty_fd);
}

static void test_linux_hostile(void **state)
{
	static uint8_t image[BZ_SIZE];

	(void)state;
	make_bzimage(image);
	put16(image, 0x206, 0x205);
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOEXEC, "protocol 2.5");
	make_bzimage(image);
	image[0x211] = 0;
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOEXEC, "zImage");
	make_bzimage(image);
	assert_refused(load(image, sizeof(image) - 64, MIB(64)), -ENOEXEC, "cut off");
	assert_refused(load(image, BZ_SETUP, MIB(64)), -ENOEXEC, "cut off");
	assert_refused(load(image, 0x28f, MIB(64)), -ENOEXEC, "neither");
	image[0x1f1] = 255;
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOEXEC, "cut off");
	make_bzimage(image);
	put32(image, 0x230, 0x300000);
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOEXEC, "alignment");
	make_bzimage(image);
	image[0x201] = 2;
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOEXEC, "too early");
	make_bzimage(image);
	put32(image, 0x260, UINT32_MAX);
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOSPC, "needs 4096 MiB");
	put64(image, 0x258, UINT64_MAX - 0x1fffff);
	image[0x234] = 0;
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOSPC, "needs");
	put64(image, 0x258, 0);
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOSPC, "needs");
}

static void test_pvh(void **state)
{
	static uint8_t image[ELF_SIZE], initrd[100];
	int initrd_fd = file_of(initrd, sizeof(initrd));
	struct guest_mem mem;
	struct result res;

	(void)state;
	make_elf(image);
	assert_int_equal(guest_mem_init(&mem, -EBADF, GIB(5)), 0);
	memset(guest_mem_ptr(&mem, GPA(0x1000000), 0x4000), 0xcc, 0x4000);
	res = load_into(&mem, image, sizeof(image), initrd_fd, "quiet");
	assert_int_equal(res.r, 0);
	assert_int_equal(res.entry.kind, BOOT_PVH32);
	assert_int_equal(res.entry.rip, ELF_ENTRY);
	assert_int_equal(res.entry.rbx, LAYOUT_BOOT_PARAMS);
	assert_int_equal(res.entry.cr0, 0x11);
	assert_int_equal(res.entry.cr4, 0);
	assert_int_equal(res.entry.efer, 0);
	assert_int_equal(res.entry.code.db, 1);
	assert_int_equal(res.entry.task.limit, 0x67);
	/* file bytes, then zeroes over what was there */
	assert_int_equal(mem32(&mem, 0x1001ffc), 0x90909090);
	assert_int_equal(mem32(&mem, 0x1002000), 0);
	assert_int_equal(mem32(&mem, 0x1003ffc), 0);
	/* hvm_start_info, modules, memory map */
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS), 0x336ec578);
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 4), 1);
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 12), 1);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PARAMS + 16), LAYOUT_BOOT_MODLIST);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PARAMS + 24), LAYOUT_CMDLINE);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PARAMS + 32), LAYOUT_ACPI_BASE);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_PARAMS + 40), LAYOUT_BOOT_MEMMAP);
	assert_int_equal(mem32(&mem, LAYOUT_BOOT_PARAMS + 48), 5);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_MODLIST), GIB(3) - 4096);
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_MODLIST + 8), sizeof(initrd));
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_MEMMAP + 4 * 24), GIB(4));
	assert_int_equal(mem64(&mem, LAYOUT_BOOT_MEMMAP + 4 * 24 + 8), GIB(2));
	guest_mem_done(&mem);
	(void)close(initrd_fd);
}

static void test_pvh_elf32(void **state)
{
	static uint8_t image[ELF_SIZE];
	Elf32_Ehdr h = {
		.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1},
		.e_type = ET_EXEC,
		.e_machine = EM_386,
		.e_phoff = 64,
		.e_phentsize = sizeof(Elf32_Phdr),
		.e_phnum = 2,
	};
	Elf32_Phdr phdrs[2] = {
		{.p_type = PT_LOAD,
			.p_offset = 0x1000,
			.p_paddr = 0x1000000,
			.p_filesz = 0x2000,
			.p_memsz = 0x2000},
		{.p_type = PT_NOTE, .p_offset = 0x200, .p_filesz = 20},
	};
	struct result res;

	(void)state;
	make_elf(image);
	memcpy(image, &h, sizeof(h));
	memcpy(image + 64, phdrs, sizeof(phdrs));
	res = load(image, sizeof(image), MIB(32));
	assert_int_equal(res.r, 0);
	assert_int_equal(res.entry.rip, ELF_ENTRY);
}

/* One change to a good ELF image, and the word its refusal contains. */
static const struct hostile_elf {
	size_t at;
	unsigned size;
	uint64_t value;
	int error;
	const char *word;
} hostile_elfs[] = {
	{4, 1, 3, -ENOEXEC, "kind of processor"},
	{5, 1, 2, -ENOEXEC, "kind of processor"},
	{18, 2, EM_AARCH64, -ENOEXEC, "kind of processor"},
	{16, 2, ET_REL, -ENOEXEC, "object"},
	{32, 8, UINT64_MAX, -ENOEXEC, "outside"},
	{32, 8, 0x2ff0, -ENOEXEC, "outside"},
	{32, 8, INT64_MAX, -ENOEXEC, "outside"},
	{54, 2, 8, -ENOEXEC, "program headers"},
	{56, 2, 0, -ENOEXEC, "program headers"},
	{56, 2, 65, -ENOEXEC, "65 program headers"},
	{72, 8, 0x2000, -ENOEXEC, "cut off"},
	{72, 8, UINT64_MAX, -ENOEXEC, "cut off"},
	{96, 8, UINT64_MAX, -ENOEXEC, "cut off"},
	{104, 8, 0x1000, -ENOEXEC, "cut off"},
	{104, 8, UINT64_MAX, -ENOEXEC, "behind all memory"},
	{104, 8, MIB(64), -EFAULT, "no memory"},
	{88, 8, 0x8000, -ENOEXEC, "entry lies outside"},
	{0x20c, 1, 'x', -ENOEXEC, "no PVH entry"},
	{0x208, 4, 17, -ENOEXEC, "no PVH entry"},
	{0x200, 4, UINT32_MAX, -ENOEXEC, "no PVH entry"},
	{0x204, 4, UINT32_MAX, -ENOEXEC, "no PVH entry"},
	{0x204, 4, 5, -ENOEXEC, "no PVH entry"},
	{0x210, 4, 0x2000000, -ENOEXEC, "entry lies outside"},
	{120 + 8, 8, UINT64_MAX - 8, -ENOEXEC, "no PVH entry"},
	{120 + 32, 8, MIB(1), -ENOEXEC, "no PVH entry"},
};

static void test_pvh_hostile(void **state)
{
	static uint8_t image[ELF_SIZE];
	Elf64_Phdr twin;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hostile_elfs); i++) {
		const struct hostile_elf *h = &hostile_elfs[i];

		make_elf(image);
		memcpy(image + h->at, &h->value, h->size);
		assert_refused(load(image, sizeof(image), MIB(64)), h->error, h->word);
	}
	/* Below 1 MiB is ours. */
	make_elf(image);
	put64(image, 88, 0x8000);
	put32(image, 0x210, 0x8100);
	assert_refused(load(image, sizeof(image), MIB(64)), -EFAULT, "below 1 MiB");
	/* Two segments at one place. */
	make_elf(image);
	memcpy(&twin, image + 64, sizeof(twin));
	twin.p_paddr += 0x3fff;
	memcpy(image + 64 + 2 * sizeof(twin), &twin, sizeof(twin));
	put16(image, 56, 3);
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOEXEC, "overlap");
	/* A header and nothing else. */
	make_elf(image);
	assert_refused(load(image, 20, MIB(64)), -ENOEXEC, "cut off");
}

static void test_no_kernel(void **state)
{
	static uint8_t image[4096];
	struct kernel_image probed;
	char reason[100];

	(void)state;
	assert_refused(load("", 0, MIB(64)), -ENOEXEC, "empty");
	assert_refused(load("#!/bin/sh\n", 10, MIB(64)), -ENOEXEC, "neither");
	memcpy(image, "\x1f\x8b\x08", 3);
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOEXEC, "gzip");
	memcpy(image, "MZ", 3);
	assert_refused(load(image, sizeof(image), MIB(64)), -ENOEXEC, "EFI");
	assert_int_equal(kernel_probe(-EBADF, &probed, reason, sizeof(reason)), -EBADF);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_linux64),
		cmocka_unit_test(test_linux_placement),
		cmocka_unit_test(test_linux_limits),
		cmocka_unit_test(test_linux_hostile),
		cmocka_unit_test(test_pvh),
		cmocka_unit_test(test_pvh_elf32),
		cmocka_unit_test(test_pvh_hostile),
		cmocka_unit_test(test_no_kernel),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
