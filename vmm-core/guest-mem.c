/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest memory: see guest-mem.h. */
#include "vmm-core/guest-mem.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "vmm-core/layout.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static int map_region(struct guest_mem *mem, int fd, uint64_t base, uint64_t size, uint64_t offset)
{
	int flags = MAP_NORESERVE | (fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	void *host =
		mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd >= 0 ? fd : -1, (off_t)offset);

	if (host == MAP_FAILED)
		return -errno;
	mem->regions[mem->n_regions++] = (struct guest_region){
		.base = GPA(base),
		.size = size,
		.host = host,
		.fd_offset = offset,
	};
	return 0;
}

int guest_mem_init(struct guest_mem *mem, int fd, uint64_t size)
{
	uint64_t low = MIN(size, LAYOUT_LOW_RAM_MAX);
	int r;

	*mem = (struct guest_mem){.fd = -EBADF, .size = size, .page_len = 4096};
	if (!size || !IS_ALIGNED(size, 4096))
		return -EINVAL;
	r = map_region(mem, fd, 0, low, 0);
	if (r >= 0 && size > low)
		r = map_region(mem, fd, LAYOUT_HIGH_RAM_BASE, size - low, low);
	if (r < 0) {
		guest_mem_done(mem);
		return r;
	}
	mem->fd = fd;
	return 0;
}

void guest_mem_done(struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->n_regions; i++)
		(void)munmap(mem->regions[i].host, mem->regions[i].size);
	mem->n_regions = 0;
	mem->fd = safe_close(mem->fd);
}

void guest_mem_want_huge(const struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->n_regions; i++)
		/* Best effort: a kernel without them says EINVAL. */
		(void)madvise(mem->regions[i].host, mem->regions[i].size, MADV_HUGEPAGE);
}

/* Linux before 5.14: write what is there, or a zero where there is nothing yet. Nobody else has the memory now. */
static void touch(uint8_t *host, uint64_t size, uint64_t page_len)
{
	for (uint64_t at = 0; at < size; at += page_len)
		*(volatile uint8_t *)(host + at) = *(volatile uint8_t *)(host + at);
}

/* A thread's part of each region. */
struct allocator {
	const struct guest_mem *mem;
	unsigned index, n;
	pthread_t thread;
};

static void *populate_part(void *userdata)
{
	const struct allocator *a = userdata;

	for (unsigned i = 0; i < a->mem->n_regions; i++) {
		const struct guest_region *region = &a->mem->regions[i];
		uint64_t part = ALIGN_UP(DIV_ROUND_UP(region->size, a->n), a->mem->page_len);
		uint64_t from = MIN(part * a->index, region->size);
		uint64_t len = MIN(part, region->size - from);
		uint8_t *host = region->host + from;

		if (!len || madvise(host, len, MADV_POPULATE_WRITE) == 0)
			continue;
		if (errno != EINVAL)
			return (void *)(intptr_t)-errno;
		touch(host, len, a->mem->page_len);
	}
	return NULL;
}

int guest_mem_populate(const struct guest_mem *mem, unsigned n_threads)
{
	struct allocator allocators[GUEST_MEM_MAX_THREADS];
	unsigned n = 1;
	intptr_t r = 0;

	assert(n_threads >= 1 && n_threads <= GUEST_MEM_MAX_THREADS);
	for (unsigned i = 0; i < n_threads; i++)
		allocators[i] = (struct allocator){.mem = mem, .index = i, .n = n_threads};
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

int guest_mem_lock(const struct guest_mem *mem)
{
	for (unsigned i = 0; i < mem->n_regions; i++)
		/* Sanitizers make mlock() do nothing, and let this through. */
		if (mlock2(mem->regions[i].host, mem->regions[i].size, 0) < 0)
			return -errno;
	return 0;
}

int guest_mem_discard(const struct guest_mem *mem, void *host, uint64_t len)
{
	for (unsigned i = 0; i < mem->n_regions; i++) {
		const struct guest_region *region = &mem->regions[i];
		uint64_t at = (uintptr_t)host - (uintptr_t)region->host, from, to;

		if (!range_fits(at, len, region->size))
			continue;
		from = ALIGN_UP(at, mem->page_len);
		to = ALIGN_DOWN(at + len, mem->page_len);
		/* A memory file keeps pages that nobody maps: only a hole in it frees them. */
		if (from < to &&
			madvise(region->host + from, to - from,
				mem->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED) < 0)
			return -errno;
		return 0;
	}
	return -EFAULT;
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

uint64_t guest_mem_span(const struct guest_mem *mem, struct gpa gpa)
{
	const struct guest_region *region = find(mem, gpa);

	return region ? region->size - (gpa.v - region->base.v) : 0;
}

void *guest_mem_ptr(const struct guest_mem *mem, struct gpa gpa, uint64_t len)
{
	const struct guest_region *region = find(mem, gpa);

	if (!region || !range_fits(gpa.v - region->base.v, len, region->size))
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
