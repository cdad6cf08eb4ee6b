/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guest memory that comes and goes: see guest-plug.h. */
#include "vmm-core/guest-plug.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "vmm-core/layout.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define LINUX_BLOCK      MIB(128) /* Linux's memory blocks, … */
#define LINUX_BIG_BLOCK  GIB(2)   /* and those of large machines */
#define LINUX_BIG_MEMORY GIB(64)

static_assert(VM_MEMORY_ALIGN_KIB * 1024 == LAYOUT_PLUG_ALIGN, "one number");

int guest_plug_init(struct guest_mem *mem, const struct guest_file *file,
	const struct guest_plug_ops *ops, void *opaque)
{
	int flags = MAP_NORESERVE | (file->fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS);
	_cleanup_(freep) _Atomic uint64_t *units = NULL;
	_cleanup_(freep) struct guest_plug *plug = NULL;
	void *host;

	assert(!mem->plug);
	if (!file->size || !IS_ALIGNED(file->size, LAYOUT_PLUG_ALIGN))
		return -EINVAL;
	plug = calloc(1, sizeof(*plug));
	units = calloc(file->size / GUEST_PLUG_UNIT / 64, sizeof(*units));
	if (!plug || !units)
		return -ENOMEM;
	host = mmap(NULL, file->size, PROT_READ | PROT_WRITE, flags, MAX(file->fd, -1), 0);
	if (host == MAP_FAILED)
		return -errno;
	if (file->page_len == 4096)
		/* Best effort, as for RAM. */
		(void)madvise(host, file->size, MADV_HUGEPAGE);
	*plug = (struct guest_plug){
		.fd = file->fd,
		.base = layout_plug_base(mem->size),
		.room = file->size,
		.page_len = file->page_len,
		.host = host,
		.units = TAKE_PTR(units),
		.ops = ops,
		.opaque = opaque,
	};
	mem->plug = TAKE_PTR(plug);
	return 0;
}

/* The first device at 'from' or above; NULL: there is none. */
static const struct guest_plug_device *next_device(const struct guest_plug *plug, uint64_t from)
{
	const struct guest_plug_device *next = NULL;

	for (unsigned i = 0; i < VM_MAX_MEMORIES; i++) {
		const struct guest_plug_device *d = &plug->devices[i];

		if (d->size && d->base >= from && (!next || d->base < next->base))
			next = d;
	}
	return next;
}

/* The first place that is free. 0: there is none. */
static uint64_t find_place(const struct guest_plug *plug, uint64_t size)
{
	uint64_t at = plug->base, end = plug->base + plug->room;

	for (;;) {
		const struct guest_plug_device *next = next_device(plug, at);

		if (range_fits(at, size, next ? next->base : end))
			return at;
		if (!next)
			return 0;
		at = ALIGN_UP(next->base + next->size, LAYOUT_PLUG_ALIGN);
	}
}

static uint64_t choose_extent(uint64_t ram, uint64_t size, uint64_t block_len)
{
	uint64_t extent = ram >= LINUX_BIG_MEMORY ? LINUX_BIG_BLOCK : LINUX_BLOCK;
	uint64_t least = ALIGN_UP(DIV_ROUND_UP(size, (uint64_t)GUEST_PLUG_MAX_SLOTS), extent);

	return ALIGN_UP(MAX(extent, least), block_len);
}

int guest_plug_add(struct guest_mem *mem, unsigned number, uint64_t size, uint64_t block_len)
{
	struct guest_plug *plug = mem->plug;
	struct guest_plug_device *d;
	uint64_t base;

	assert(number < VM_MAX_MEMORIES && size && size % block_len == 0);
	if (!plug)
		return -ENOSPC;
	d = &plug->devices[number];
	if (d->size)
		return -EEXIST;
	base = find_place(plug, size);
	if (!base)
		return -ENOSPC;
	*d = (struct guest_plug_device){
		.base = base,
		.size = size,
		.block_len = block_len,
		.extent = choose_extent(mem->size, size, block_len),
	};
	return 0;
}

static struct guest_plug_device *get(const struct guest_mem *mem, unsigned number)
{
	struct guest_plug_device *d =
		mem->plug && number < VM_MAX_MEMORIES ? &mem->plug->devices[number] : NULL;

	return d && d->size ? d : NULL;
}

const struct guest_plug_device *guest_plug_find(const struct guest_mem *mem, unsigned number)
{
	return get(mem, number);
}

void guest_plug_remove(struct guest_mem *mem, unsigned number)
{
	struct guest_plug_device *d = get(mem, number);
	uint64_t n;

	if (!d)
		return;
	n = d->size / d->block_len;
	guest_plug_mark(mem, number, 0, n, false);
	guest_plug_shrink(mem, number, 0);
	(void)guest_plug_discard(mem, number, 0, n);
	*d = (struct guest_plug_device){0};
}

struct guest_plug *guest_plug_free(struct guest_plug *plug)
{
	if (!plug)
		return NULL;
	/* Slots and pages go with the vm and the file. */
	(void)munmap(plug->host, plug->room);
	(void)safe_close(plug->fd);
	free(plug->units);
	free(plug);
	return NULL;
}

/* The host address of a device's byte 'at'. */
static uint8_t *host_of(const struct guest_mem *mem, const struct guest_plug_device *d, uint64_t at)
{
	return mem->plug->host + (d->base - mem->plug->base) + at;
}

/* Slots. */

/* The extent that begins at 'at' of device 'number'. */
static int set_slot(const struct guest_mem *mem, unsigned number, uint64_t at, bool on)
{
	const struct guest_plug_device *d = &mem->plug->devices[number];
	unsigned slot =
		GUEST_PLUG_FIRST_SLOT + number * GUEST_PLUG_MAX_SLOTS + (unsigned)(at / d->extent);

	if (!mem->plug->ops)
		return 0;
	return mem->plug->ops->set_slot(mem->plug->opaque, slot, d->base + at,
		on ? MIN(d->extent, d->size - at) : 0, host_of(mem, d, at));
}

int guest_plug_grow(struct guest_mem *mem, unsigned number, uint64_t len)
{
	struct guest_plug_device *d = get(mem, number);
	uint64_t before;

	assert(d && len <= d->size);
	before = d->usable;
	while (d->usable < len) {
		int r = set_slot(mem, number, d->usable, true);

		if (r < 0) {
			guest_plug_shrink(mem, number, before);
			return r;
		}
		d->usable = MIN(d->usable + d->extent, d->size);
	}
	return 0;
}

void guest_plug_shrink(struct guest_mem *mem, unsigned number, uint64_t len)
{
	struct guest_plug_device *d = get(mem, number);
	uint64_t target = MIN(DIV_ROUND_UP(len, d->extent) * d->extent, d->size);

	while (d->usable > target) {
		d->usable = (d->usable - 1) / d->extent * d->extent;
		/* Removing one cannot fail; if it did, the control group remains. */
		(void)set_slot(mem, number, d->usable, false);
	}
}

/* Blocks. */

static bool is_plugged(const struct guest_plug *plug, uint64_t unit)
{
	return atomic_load_explicit(&plug->units[unit / 64], memory_order_relaxed) >> unit % 64 & 1;
}

uint64_t guest_plug_span(const struct guest_plug *plug, uint64_t gpa, uint64_t enough)
{
	uint64_t at = gpa - plug->base, unit = at / GUEST_PLUG_UNIT;
	uint64_t end = MIN(enough, plug->room);

	if (gpa < plug->base || at >= plug->room)
		return 0;
	end = MIN(at + end, plug->room);
	while (unit * GUEST_PLUG_UNIT < end && is_plugged(plug, unit))
		unit++;
	return unit * GUEST_PLUG_UNIT > at ? unit * GUEST_PLUG_UNIT - at : 0;
}

/* The units of blocks [first, first + n): '*n' of them. */
static uint64_t units_of(
	const struct guest_mem *mem, const struct guest_plug_device *d, uint64_t first, uint64_t *n)
{
	uint64_t each = d->block_len / GUEST_PLUG_UNIT;

	assert(range_fits(first, *n, d->size / d->block_len));
	*n *= each;
	return (d->base - mem->plug->base) / GUEST_PLUG_UNIT + first * each;
}

enum guest_plug_state guest_plug_state(
	const struct guest_mem *mem, unsigned number, uint64_t first, uint64_t n)
{
	uint64_t unit = units_of(mem, get(mem, number), first, &n);
	bool is = is_plugged(mem->plug, unit);

	for (uint64_t i = 1; i < n; i++)
		if (is_plugged(mem->plug, unit + i) != is)
			return GUEST_PLUG_MIXED;
	return is ? GUEST_PLUGGED : GUEST_UNPLUGGED;
}

void guest_plug_mark(
	struct guest_mem *mem, unsigned number, uint64_t first, uint64_t n, bool plugged)
{
	struct guest_plug_device *d = get(mem, number);
	uint64_t unit = units_of(mem, d, first, &n);

	for (uint64_t i = unit; i < unit + n; i++) {
		uint64_t bit = UINT64_C(1) << i % 64;

		if (is_plugged(mem->plug, i) == plugged)
			continue;
		/* One writer. */
		atomic_fetch_xor_explicit(&mem->plug->units[i / 64], bit, memory_order_relaxed);
		d->plugged += plugged ? GUEST_PLUG_UNIT : -GUEST_PLUG_UNIT;
	}
}

int64_t guest_plug_discard_at(const struct guest_plug *plug, const void *host, uint64_t len)
{
	uint64_t at = (uintptr_t)host - (uintptr_t)plug->host, from, to;

	if (!range_fits(at, len, plug->room))
		return -EFAULT;
	from = ALIGN_UP(at, plug->page_len);
	to = ALIGN_DOWN(at + len, plug->page_len);
	/* As guest_mem_discard(). */
	if (from >= to)
		return 0;
	if (madvise(plug->host + from, to - from, plug->fd >= 0 ? MADV_REMOVE : MADV_DONTNEED) < 0)
		return -errno;
	return (int64_t)(to - from);
}

int guest_plug_discard(struct guest_mem *mem, unsigned number, uint64_t first, uint64_t n)
{
	const struct guest_plug_device *d = get(mem, number);
	int64_t r = guest_mem_discard(mem, host_of(mem, d, first * d->block_len), n * d->block_len);

	return r < 0 ? (int)r : 0;
}

int guest_plug_populate(struct guest_mem *mem, unsigned number, uint64_t first, uint64_t n)
{
	const struct guest_plug_device *d = get(mem, number);
	uint8_t *host = host_of(mem, d, first * d->block_len);

	if (madvise(host, n * d->block_len, MADV_POPULATE_WRITE) == 0 || errno == EINVAL)
		return 0;
	return errno == EFAULT ? -ENOMEM : -errno;
}
