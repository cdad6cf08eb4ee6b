/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus: two sorted arrays of ranges. See bus.h. */
#include "vmm-core/bus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/device.h"

struct range {
	uint64_t base, len;
	struct device *dev;
	unsigned region;
};

struct bus {
	struct loop *loop;
	const struct bus_doorbell_ops *doorbell_ops;
	void *doorbell_opaque;
	unsigned n_ranges[BUS_SPACE_X_MAX];
	struct range ranges[BUS_SPACE_X_MAX][BUS_MAX_RANGES];
};

struct bus *bus_new(struct loop *loop)
{
	struct bus *bus = calloc(1, sizeof(*bus));

	if (bus)
		bus->loop = loop;
	return bus;
}

struct bus *bus_free(struct bus *bus)
{
	free(bus);
	return NULL;
}

/* The first range whose end lies beyond 'addr'; n_ranges if there is none. */
static unsigned lower_bound(const struct bus *bus, enum bus_space space, uint64_t addr)
{
	unsigned lo = 0, hi = bus->n_ranges[space];

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct range *range = &bus->ranges[space][mid];

		/* The last byte, since an end may be 2^64. */
		if (range->base + (range->len - 1) < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int bus_add(struct bus *bus, enum bus_space space, uint64_t base, uint64_t len, struct device *dev,
	unsigned region)
{
	struct range *ranges = bus->ranges[space];
	unsigned n = bus->n_ranges[space], i;

	if (!len || base + (len - 1) < base)
		return -EINVAL;
	if (space == BUS_PIO && !range_fits(base, len, KIB(64)))
		return -EINVAL;
	i = lower_bound(bus, space, base);
	if (i < n && ranges[i].base <= base + (len - 1))
		return -EEXIST;
	if (n == BUS_MAX_RANGES)
		return -ENOSPC;
	memmove(&ranges[i + 1], &ranges[i], (n - i) * sizeof(*ranges));
	ranges[i] = (struct range){.base = base, .len = len, .dev = dev, .region = region};
	bus->n_ranges[space]++;
	return 0;
}

int bus_remove(struct bus *bus, enum bus_space space, uint64_t base, struct device *dev)
{
	struct range *ranges = bus->ranges[space];
	unsigned i = lower_bound(bus, space, base);

	if (i == bus->n_ranges[space] || ranges[i].base != base || ranges[i].dev != dev)
		return -ENOENT;
	bus->n_ranges[space]--;
	memmove(&ranges[i], &ranges[i + 1], (bus->n_ranges[space] - i) * sizeof(*ranges));
	return 0;
}

static const struct range *find(
	const struct bus *bus, enum bus_space space, uint64_t addr, unsigned size)
{
	unsigned i = lower_bound(bus, space, addr);
	const struct range *range = &bus->ranges[space][i];

	if (i == bus->n_ranges[space] || addr < range->base)
		return NULL;
	return range_fits(addr - range->base, size, range->len) ? range : NULL;
}

uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size)
{
	uint64_t all_ones = UINT64_MAX >> (64 - 8 * size), value = all_ones;
	const struct range *range;

	loop_lock(bus->loop);
	range = find(bus, space, addr, size);
	if (range)
		value = device_read(range->dev, range->region, addr - range->base, size) & all_ones;
	loop_unlock(bus->loop);
	return value;
}

void bus_write(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size, uint64_t value)
{
	const struct range *range;

	loop_lock(bus->loop);
	range = find(bus, space, addr, size);
	if (range)
		device_write(range->dev, range->region, addr - range->base, size,
			value & (UINT64_MAX >> (64 - 8 * size)));
	loop_unlock(bus->loop);
}

void bus_set_doorbell_ops(struct bus *bus, const struct bus_doorbell_ops *ops, void *opaque)
{
	bus->doorbell_ops = ops;
	bus->doorbell_opaque = opaque;
}

int bus_doorbell(
	struct bus *bus, enum bus_space space, uint64_t addr, unsigned size, int event_fd, bool on)
{
	if (!bus->doorbell_ops)
		return -ENOTSUP;
	return bus->doorbell_ops->set(bus->doorbell_opaque, space, addr, size, event_fd, on);
}
