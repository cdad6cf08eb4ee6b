/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest memory: see guest-mem.h. */
#include "vmm-core/guest-mem.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm-core/guest-plug.h"
#include "vmm-core/layout.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define MAP_ALIGN MIB(2) /* at least: transparent huge pages */

/* One piece of address space for all files; a single one gets its place from the kernel. Returns it, or MAP_FAILED. */
static uint8_t *reserve(uint64_t size, uint64_t align)
{
	uint8_t *all = mmap(
		NULL, size + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t head;

	if (all == MAP_FAILED)
		return all;
	head = ALIGN_UP((uintptr_t)all, align) - (uintptr_t)all;
	if (head)
		(void)munmap(all, head);
	if (head < align)
		(void)munmap(all + head + size, align - head);
	return all + head;
}

static int map_file(struct guest_file *file, uint8_t *at)
{
	int flags = MAP_NORESERVE | (at ? MAP_FIXED : 0) |
		(file->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	void *host = mmap(
		at, file->size, PROT_READ | PROT_WRITE, flags, file->fd >= 0 ? file->fd : -1, 0);

	if (host == MAP_FAILED)
		return -errno;
	file->host = host;
	return 0;
}

static void unmap(struct guest_mem *mem)
{
	if (mem->n_regions)
		(void)munmap(mem->regions[0].host, mem->size);
	mem->n_regions = 0;
}

static int map_files(struct guest_mem *mem)
{
	uint64_t align = MAX(mem->page_len, MAP_ALIGN), at = 0;
	uint8_t *host = mem->n_files > 1 ? reserve(mem->size, align) : NULL;
	int r = 0;

	if (host == MAP_FAILED)
		return -errno;
	for (unsigned i = 0; r == 0 && i < mem->n_files; i++) {
		r = map_file(&mem->files[i], host ? host + at : NULL);
		at += mem->files[i].size;
	}
	if (r < 0) {
		if (host)
			(void)munmap(host, mem->size);
		return r;
	}
	host = mem->files[0].host;
	mem->regions[mem->n_regions++] =
		(struct guest_region){GPA(0), MIN(mem->size, LAYOUT_LOW_RAM_MAX), host};
	if (mem->size > LAYOUT_LOW_RAM_MAX)
		mem->regions[mem->n_regions++] = (struct guest_region){GPA(LAYOUT_HIGH_RAM_BASE),
			mem->size - LAYOUT_LOW_RAM_MAX, host + LAYOUT_LOW_RAM_MAX};
	return 0;
}

static int add_files(struct guest_mem *mem, const struct guest_file *files, unsigned n_files)
{
	for (unsigned i = 0; i < n_files; i++) {
		const struct guest_file *file = &files[i];

		if (!file->size || !IS_ALIGNED(file->size, file->page_len) ||
			!IS_ALIGNED(mem->size, file->page_len))
			return -EINVAL;
		mem->files[mem->n_files++] = *file;
		mem->size += file->size;
		mem->page_len = MAX(mem->page_len, file->page_len);
	}
	return 0;
}

int guest_mem_init_files(struct guest_mem *mem, const struct guest_file *files, unsigned n_files)
{
	int r;

	*mem = (struct guest_mem){0};
	assert(n_files >= 1 && n_files <= GUEST_MEM_MAX_FILES);
	r = add_files(mem, files, n_files);
	if (r == 0)
		r = map_files(mem);
	/* The fds are not ours: guest_mem_done() leaves them alone. */
	if (r < 0)
		*mem = (struct guest_mem){0};
	return r;
}

int guest_mem_init(struct guest_mem *mem, int fd, uint64_t size)
{
	const struct guest_file file = {.fd = fd, .size = size, .page_len = 4096};

	return guest_mem_init_files(mem, &file, 1);
}

void guest_mem_done(struct guest_mem *mem)
{
	mem->plug = guest_plug_free(mem->plug);
	unmap(mem);
	for (unsigned i = 0; i < mem->n_files; i++)
		mem->files[i].fd = safe_close(mem->files[i].fd);
	mem->n_files = 0;
}

void guest_mem_want_huge(const struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->n_files; i++)
		/* Best effort: a kernel without them says EINVAL. */
		if (mem->files[i].page_len == 4096)
			(void)madvise(mem->files[i].host, mem->files[i].size, MADV_HUGEPAGE);
}

/* Linux before 5.14: write what is there, or a zero where there is nothing yet. Nobody else has the memory now. */
static void touch(uint8_t *host, uint64_t size, uint64_t page_len)
{
	for (uint64_t at = 0; at < size; at += page_len)
		*(volatile uint8_t *)(host + at) = *(volatile uint8_t *)(host + at);
}

/* A thread's part of each file. */
struct allocator {
	const struct guest_mem *mem;
	bool huge_only;
	unsigned index, n;
	pthread_t thread;
};

static void *populate_part(void *userdata)
{
	const struct allocator *a = userdata;

	for (unsigned i = 0; i < a->mem->n_files; i++) {
		const struct guest_file *file = &a->mem->files[i];
		uint64_t part = ALIGN_UP(DIV_ROUND_UP(file->size, a->n), file->page_len);
		uint64_t from = MIN(part * a->index, file->size);
		uint64_t len = MIN(part, file->size - from);
		uint8_t *host = file->host + from;

		if (!len || (a->huge_only && file->page_len == 4096) ||
			madvise(host, len, MADV_POPULATE_WRITE) == 0)
			continue;
		if (errno != EINVAL)
			return (void *)(intptr_t)-errno;
		touch(host, len, file->page_len);
	}
	return NULL;
}

static int populate(const struct guest_mem *mem, unsigned n_threads, bool huge_only)
{
	struct allocator allocators[GUEST_MEM_MAX_THREADS];
	unsigned n = 1;
	intptr_t r = 0;

	assert(n_threads >= 1 && n_threads <= GUEST_MEM_MAX_THREADS);
	for (unsigned i = 0; i < n_threads; i++)
		allocators[i] = (struct allocator){
			.mem = mem, .huge_only = huge_only, .index = i, .n = n_threads};
	/* This thread is the first. */
	for (; n < n_threads && r == 0; n++)
		r = -pthread_create(&allocators[n].thread, NULL, populate_part, &allocators[n]);
	if (r < 0)
		n--;
	else
		r = (intptr_t)populate_part(&allocators[0]);
	for (unsigned i = 1; i < n; i++) {
		void *result;

		(void)pthread_join(allocators[i].thread, &result);
		if (r == 0)
			r = (intptr_t)result;
	}
	return (int)r;
}

int guest_mem_populate(const struct guest_mem *mem, unsigned n_threads)
{
	return populate(mem, n_threads, /* huge_only= */ false);
}

int guest_mem_populate_huge(const struct guest_mem *mem, unsigned n_threads)
{
	return populate(mem, n_threads, /* huge_only= */ true);
}

int guest_mem_lock(const struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->n_files; i++)
		/* Sanitizers make mlock() do nothing, and let this through. */
		if (mem->files[i].page_len == 4096 &&
			mlock2(mem->files[i].host, mem->files[i].size, 0) < 0)
			return -errno;
	return 0;
}

/* Of [at, at + len), which counts from the first file's beginning, what is of this file, which begins at 'first'. */
static int64_t discard_of(const struct guest_file *file, uint64_t first, uint64_t at, uint64_t len)
{
	uint64_t begin = at > first ? ALIGN_UP(at - first, file->page_len) : 0;
	uint64_t end = at + len > first
		? ALIGN_DOWN(MIN(at + len - first, file->size), file->page_len)
		: 0;

	/* A memory file keeps pages that nobody maps: only a hole in it frees them. */
	if (begin >= end)
		return 0;
	if (madvise(file->host + begin, end - begin, file->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED) <
		0)
		return -errno;
	return (int64_t)(end - begin);
}

int64_t guest_mem_discard(const struct guest_mem *mem, void *host, uint64_t len)
{
	uint64_t at = (uintptr_t)host - (uintptr_t)mem->files[0].host, first = 0;
	int64_t r = 0, done = 0;

	if (!range_fits(at, len, mem->size))
		return mem->plug ? guest_plug_discard_at(mem->plug, host, len) : -EFAULT;
	for (unsigned i = 0; r >= 0 && i < mem->n_files; i++) {
		r = discard_of(&mem->files[i], first, at, len);
		done += r;
		first += mem->files[i].size;
	}
	return r < 0 ? r : done;
}

static const struct guest_region *find(const struct guest_mem *mem, struct gpa gpa)
{
	for (unsigned i = 0; i < mem->n_regions; i++) {
		const struct guest_region *region = &mem->regions[i];

		if (gpa.v - region->base.v < region->size)
			return region;
	}
	return NULL;
}

uint64_t guest_mem_span(const struct guest_mem *mem, struct gpa gpa, uint64_t enough)
{
	const struct guest_region *region = find(mem, gpa);

	if (!region)
		return mem->plug ? guest_plug_span(mem->plug, gpa.v, enough) : 0;
	return region->size - (gpa.v - region->base.v);
}

void *guest_mem_ptr(const struct guest_mem *mem, struct gpa gpa, uint64_t len)
{
	const struct guest_region *region = find(mem, gpa);

	if (!region) {
		const struct guest_plug *plug = mem->plug;
		uint64_t want = MAX(len, UINT64_C(1));

		return plug && guest_plug_span(plug, gpa.v, want) >= want
			? plug->host + (gpa.v - plug->base)
			: NULL;
	}
	if (!range_fits(gpa.v - region->base.v, len, region->size))
		return NULL;
	return region->host + (gpa.v - region->base.v);
}

int guest_mem_read(const struct guest_mem *mem, struct gpa gpa, void *buf, uint64_t len)
{
	const void *p = guest_mem_ptr(mem, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

int guest_mem_write(struct guest_mem *mem, struct gpa gpa, const void *buf, uint64_t len)
{
	void *p = guest_mem_ptr(mem, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, buf, len);
	return 0;
}
