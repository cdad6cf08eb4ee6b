/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Telling kernels apart: see kernel-probe.h. The ELF half is in kernel-elf.c. */
#include "vmm-core/boot/kernel-probe.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/boot/kernel-probe-internal.h"

#define SECTOR              512
#define HEAD_SIZE           0x290 /* up to the end of the largest set-up header, and more */
#define PROTOCOL_MIN        0x206
#define PROTOCOL_PREFERRED  0x20a /* pref_address and init_size exist from here on */
#define PROTOCOL_XLOADFLAGS 0x20c

/* Offsets of the set-up header (Documentation/arch/x86/boot.rst). */
#define H_SETUP_SECTS      0x1f1
#define H_SYSSIZE          0x1f4
#define H_BOOT_FLAG        0x1fe
#define H_JUMP_LENGTH      0x201
#define H_MAGIC            0x202
#define H_VERSION          0x206
#define H_LOADFLAGS        0x211
#define H_CODE32_START     0x214
#define H_INITRD_ADDR_MAX  0x22c
#define H_KERNEL_ALIGNMENT 0x230
#define H_RELOCATABLE      0x234
#define H_XLOADFLAGS       0x236
#define H_CMDLINE_SIZE     0x238
#define H_PREF_ADDRESS     0x258
#define H_INIT_SIZE        0x260

#define LOADFLAG_LOADED_HIGH  0x01
#define XLOADFLAG_KERNEL_64   0x01
#define INITRD_ADDR_MAX_OLD   0x37ffffff
#define CMDLINE_MAX_OLD       255
#define PAYLOAD_EXPANSION_OLD 4 /* a guess at what an old kernel unpacks to */

static uint16_t head_u16(const uint8_t *head, size_t offset)
{
	return (uint16_t)(head[offset] | head[offset + 1] << 8);
}

static uint32_t head_u32(const uint8_t *head, size_t offset)
{
	return head_u16(head, offset) | (uint32_t)head_u16(head, offset + 2) << 16;
}

static uint64_t head_u64(const uint8_t *head, size_t offset)
{
	return head_u32(head, offset) | (uint64_t)head_u32(head, offset + 4) << 32;
}

static int bz_payload(const uint8_t *head, struct kernel_image *image, const struct probe_reason *r)
{
	unsigned setup_sects = head[H_SETUP_SECTS] ? head[H_SETUP_SECTS] : 4;
	uint64_t size = (uint64_t)head_u32(head, H_SYSSIZE) * 16, rest;

	image->payload_offset = (uint64_t)(setup_sects + 1) * SECTOR;
	if (image->payload_offset >= image->file_size)
		return probe_fail(r, "the kernel is cut off: the file ends within its set-up code");
	rest = image->file_size - image->payload_offset;
	/* Rounded up to 16 bytes by the kernel's build; a signature may follow. */
	if (size >= rest + 16)
		return probe_fail(r,
			"the kernel is cut off: it announces %llu bytes and the file has %llu",
			(unsigned long long)(image->payload_offset + size),
			(unsigned long long)image->file_size);
	image->payload_size = size ? MIN(size, rest) : rest;
	return 0;
}

static int bz_placement(
	const uint8_t *head, struct kernel_image *image, const struct probe_reason *r)
{
	image->relocatable = head[H_RELOCATABLE] != 0;
	image->alignment = head_u32(head, H_KERNEL_ALIGNMENT);
	if (!image->alignment && !image->relocatable)
		image->alignment = 1;
	if (!image->alignment || (image->alignment & (image->alignment - 1)))
		return probe_fail(r, "the kernel's header is damaged: alignment 0x%x",
			(unsigned)image->alignment);

	if (image->version >= PROTOCOL_PREFERRED) {
		image->preferred_base = head_u64(head, H_PREF_ADDRESS);
		image->init_size = MAX(head_u32(head, H_INIT_SIZE), image->payload_size);
	} else {
		image->preferred_base = head_u32(head, H_CODE32_START);
		image->init_size = image->payload_size * PAYLOAD_EXPANSION_OLD;
	}
	image->long_mode = image->version >= PROTOCOL_XLOADFLAGS &&
		(head_u16(head, H_XLOADFLAGS) & XLOADFLAG_KERNEL_64);
	if (image->long_mode && image->payload_size <= KERNEL_ENTRY64_OFFSET)
		return probe_fail(r, "the kernel's header is damaged: no code at its 64-bit entry");

	image->initrd_max = head_u32(head, H_INITRD_ADDR_MAX);
	if (!image->initrd_max)
		image->initrd_max = INITRD_ADDR_MAX_OLD;
	image->cmdline_max = head_u32(head, H_CMDLINE_SIZE);
	if (!image->cmdline_max)
		image->cmdline_max = CMDLINE_MAX_OLD;
	return 0;
}

static int probe_bzimage(
	const uint8_t *head, struct kernel_image *image, const struct probe_reason *reason)
{
	uint32_t header_end = H_MAGIC + head[H_JUMP_LENGTH];
	int r;

	image->format = KERNEL_BZIMAGE;
	image->version = head_u16(head, H_VERSION);
	if (image->version < PROTOCOL_MIN)
		return probe_fail(reason,
			"the kernel speaks Linux boot protocol %u.%u; 2.6 or later is needed",
			image->version >> 8, image->version & 0xff);
	if (!(head[H_LOADFLAGS] & LOADFLAG_LOADED_HIGH))
		return probe_fail(
			reason, "the kernel is a zImage, which loads below 1 MiB; use a bzImage");

	header_end =
		MIN(header_end, (uint32_t)(KERNEL_SETUP_HEADER_OFFSET + KERNEL_SETUP_HEADER_MAX));
	if (header_end < H_CMDLINE_SIZE + 4)
		return probe_fail(reason, "the kernel's header is damaged: it ends too early");
	image->setup_header_size = header_end - KERNEL_SETUP_HEADER_OFFSET;
	memcpy(image->setup_header, head + KERNEL_SETUP_HEADER_OFFSET, image->setup_header_size);

	r = bz_payload(head, image, reason);
	if (r < 0)
		return r;
	return bz_placement(head, image, reason);
}

/* A file that is no kernel we boot: say what it looks like. */
static int refuse(const uint8_t *head, const struct probe_reason *r)
{
	static const struct {
		const char *name;
		uint8_t magic[6], len;
	} packed[] = {
		{"gzip", {0x1f, 0x8b}, 2},
		{"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6},
		{"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4},
		{"bzip2", {'B', 'Z', 'h'}, 3},
		{"lz4", {0x02, 0x21, 0x4c, 0x18}, 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(packed); i++)
		if (memcmp(head, packed[i].magic, packed[i].len) == 0)
			return probe_fail(
				r, "it is %s-compressed; unpack it first", packed[i].name);
	if (memcmp(head, "MZ", 2) == 0)
		return probe_fail(r, "it is an EFI program, but no x86 Linux kernel");
	return probe_fail(r, "it is neither a Linux bzImage nor an ELF image");
}

int kernel_probe(int fd, struct kernel_image *ret_image, char *ret_reason, size_t reason_size)
{
	const struct probe_reason reason = {ret_reason, reason_size};
	struct kernel_image image = {0};
	uint8_t head[HEAD_SIZE] = {0};
	struct stat st;
	size_t len;
	int r;

	if (fstat(fd, &st) < 0)
		return probe_fail_errno(&reason, -errno, "cannot read it");
	if (!S_ISREG(st.st_mode))
		return probe_fail(&reason, "it is no regular file");
	image.file_size = (uint64_t)st.st_size;
	len = (size_t)MIN(image.file_size, (uint64_t)sizeof(head));
	r = pread_full(fd, head, len, 0);
	if (r < 0)
		return probe_fail_errno(&reason, r, "cannot read it");

	if (image.file_size == 0)
		return probe_fail(&reason, "it is empty");
	if (memcmp(head, "\177ELF", 4) == 0)
		r = probe_elf(fd, head, len, &image, &reason);
	else if (len == sizeof(head) && head_u16(head, H_BOOT_FLAG) == 0xaa55 &&
		memcmp(head + H_MAGIC, "HdrS", 4) == 0)
		r = probe_bzimage(head, &image, &reason);
	else
		r = refuse(head, &reason);
	if (r < 0)
		return r;
	*ret_image = image;
	return 0;
}
