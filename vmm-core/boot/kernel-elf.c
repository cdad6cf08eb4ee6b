/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ELF kernels with a PVH entry: see kernel-probe.h. Both classes are read into one form, struct kernel_segment; the
 * entry comes from a note (type 18, name "Xen") in one of the PT_NOTE segments, as Xen's docs/misc/pvh.pandoc has it.
 *
 * Tested by tests/unit/test-boot.c.
 */
#include "vmm-core/boot/kernel-probe.h"

#include <elf.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/boot/kernel-probe-internal.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define MAX_PROGRAM_HEADERS      64
#define MAX_NOTES_SIZE           KIB(64)

/* A program header of either class. */
struct phdr {
	uint32_t type;
	uint64_t offset, paddr, file_size, mem_size, align;
};

struct elf {
	int fd;
	bool is64;
	uint64_t file_size, phoff;
	unsigned phnum, phentsize;
	bool has_entry;
	uint64_t entry;
};

static int read_header(
	const uint8_t *head, size_t len, struct elf *elf, const struct probe_reason *r)
{
	unsigned machine, type;

	elf->is64 = head[EI_CLASS] == ELFCLASS64;
	if (len < (elf->is64 ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr)))
		return probe_fail(r, "the ELF image is cut off within its header");
	if ((head[EI_CLASS] != ELFCLASS64 && head[EI_CLASS] != ELFCLASS32) ||
		head[EI_DATA] != ELFDATA2LSB)
		return probe_fail(r, "it is an ELF image for another kind of processor");
	if (elf->is64) {
		Elf64_Ehdr h;

		memcpy(&h, head, sizeof(h));
		machine = h.e_machine, type = h.e_type;
		elf->phoff = h.e_phoff, elf->phnum = h.e_phnum, elf->phentsize = h.e_phentsize;
	} else {
		Elf32_Ehdr h;

		memcpy(&h, head, sizeof(h));
		machine = h.e_machine, type = h.e_type;
		elf->phoff = h.e_phoff, elf->phnum = h.e_phnum, elf->phentsize = h.e_phentsize;
	}
	if (machine != (elf->is64 ? EM_X86_64 : EM_386))
		return probe_fail(r, "it is an ELF image for another kind of processor");
	if (type != ET_EXEC && type != ET_DYN)
		return probe_fail(r, "it is an ELF object, not an executable");
	if (elf->phentsize != (elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)) || !elf->phnum)
		return probe_fail(r, "the ELF image has no usable program headers");
	if (elf->phnum > MAX_PROGRAM_HEADERS)
		return probe_fail(r, "the ELF image has %u program headers; %u are supported",
			elf->phnum, MAX_PROGRAM_HEADERS);
	return 0;
}

static int read_phdr(
	const struct elf *elf, unsigned i, struct phdr *ret, const struct probe_reason *reason)
{
	uint64_t at = elf->phoff + (uint64_t)i * elf->phentsize;
	int r;

	if (at < elf->phoff || !range_fits(at, elf->phentsize, elf->file_size))
		return probe_fail(reason, "the ELF image's program headers lie outside the file");
	if (elf->is64) {
		Elf64_Phdr p;

		r = pread_full(elf->fd, &p, sizeof(p), at);
		if (r >= 0)
			*ret = (struct phdr){
				p.p_type, p.p_offset, p.p_paddr, p.p_filesz, p.p_memsz, p.p_align};
	} else {
		Elf32_Phdr p;

		r = pread_full(elf->fd, &p, sizeof(p), at);
		if (r >= 0)
			*ret = (struct phdr){
				p.p_type, p.p_offset, p.p_paddr, p.p_filesz, p.p_memsz, p.p_align};
	}
	return r < 0 ? probe_fail_errno(reason, r, "cannot read its program headers") : 0;
}

/* Look for the entry in the notes at data[len]. */
static void scan_notes(struct elf *elf, const uint8_t *data, size_t len, uint64_t align)
{
	size_t at = 0;

	align = align == 8 ? 8 : 4;
	while (range_fits(at, sizeof(Elf64_Nhdr), len)) {
		Elf64_Nhdr note; /* the same in both classes */
		uint64_t name = at + sizeof(note), desc, end;

		memcpy(&note, data + at, sizeof(note));
		desc = ALIGN_UP(name + note.n_namesz, align);
		end = ALIGN_UP(desc + note.n_descsz, align);
		if (desc + note.n_descsz > len)
			return;
		if (note.n_type == XEN_ELFNOTE_PHYS32_ENTRY && note.n_namesz == 4 &&
			memcmp(data + name, "Xen", 4) == 0 &&
			(note.n_descsz == 4 || note.n_descsz == 8)) {
			elf->entry = 0;
			memcpy(&elf->entry, data + desc, note.n_descsz);
			elf->has_entry = true;
			return;
		}
		at = end;
	}
}

static int add_notes(struct elf *elf, const struct phdr *p, const struct probe_reason *reason)
{
	_cleanup_(freep) uint8_t *data = NULL;
	int r;

	if (elf->has_entry || p->file_size == 0 || p->file_size > MAX_NOTES_SIZE ||
		!range_fits(p->offset, p->file_size, elf->file_size))
		return 0; /* notes of no use to us */
	data = malloc(p->file_size);
	if (!data)
		return probe_fail_errno(reason, -ENOMEM, "cannot read its notes");
	r = pread_full(elf->fd, data, p->file_size, p->offset);
	if (r < 0)
		return probe_fail_errno(reason, r, "cannot read its notes");
	scan_notes(elf, data, p->file_size, p->align);
	return 0;
}

static int add_segment(
	struct kernel_image *image, const struct phdr *p, const struct probe_reason *r)
{
	struct kernel_segment *s;

	if (p->mem_size == 0)
		return 0;
	if (p->file_size > p->mem_size || !range_fits(p->offset, p->file_size, image->file_size))
		return probe_fail(r, "the ELF image is cut off: a segment lies outside the file");
	if (p->paddr > UINT64_MAX - p->mem_size)
		return probe_fail(r, "the ELF image is damaged: a segment ends behind all memory");
	for (unsigned i = 0; i < image->n_segments; i++) {
		s = &image->segments[i];
		if (p->paddr < s->paddr + s->mem_size && s->paddr < p->paddr + p->mem_size)
			return probe_fail(r, "the ELF image is damaged: its segments overlap");
	}
	if (image->n_segments == KERNEL_MAX_SEGMENTS)
		return probe_fail(
			r, "the ELF image has more than %u segments", KERNEL_MAX_SEGMENTS);
	image->segments[image->n_segments++] = (struct kernel_segment){
		.offset = p->offset,
		.file_size = p->file_size,
		.paddr = p->paddr,
		.mem_size = p->mem_size,
	};
	return 0;
}

static bool has_code_at(const struct kernel_image *image, uint64_t addr)
{
	for (unsigned i = 0; i < image->n_segments; i++) {
		const struct kernel_segment *s = &image->segments[i];

		if (addr >= s->paddr && addr - s->paddr < s->file_size)
			return true;
	}
	return false;
}

int probe_elf(int fd, const uint8_t *head, size_t len, struct kernel_image *image,
	const struct probe_reason *reason)
{
	struct elf elf = {.fd = fd, .file_size = image->file_size};
	int r;

	image->format = KERNEL_PVH_ELF;
	image->cmdline_max = UINT32_MAX;
	r = read_header(head, len, &elf, reason);
	if (r < 0)
		return r;

	for (unsigned i = 0; i < elf.phnum; i++) {
		struct phdr p = {0};

		r = read_phdr(&elf, i, &p, reason);
		if (r >= 0 && p.type == PT_LOAD)
			r = add_segment(image, &p, reason);
		else if (r >= 0 && p.type == PT_NOTE)
			r = add_notes(&elf, &p, reason);
		if (r < 0)
			return r;
	}
	if (!elf.has_entry)
		return probe_fail(reason,
			"the ELF image has no PVH entry; use a bzImage, or a Linux built with "
			"CONFIG_PVH=y");
	if (elf.entry > UINT32_MAX || !has_code_at(image, elf.entry))
		return probe_fail(reason,
			"the ELF image is damaged: its PVH entry lies outside its segments");
	image->entry = (uint32_t)elf.entry;
	return 0;
}
