/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bus: which device answers at which port or guest-physical address.
 *
 * A device is attached by ranges; it sees a region number and an offset, never its base address. Ranges may
 * not overlap. Nobody home: reads give all-ones, writes vanish.
 *
 * Threads: bus_read() and bus_write() are called by vCPU threads; they take the lock of the machine's loop and, for a
 * device of an iothread, that of its loop as well (device.h). bus_add()/bus_remove() are for set-up and for callers
 * that hold the machine's lock (a BAR that moves). Lookup is a binary search over a sorted array that only the
 * lock's holder changes.
 */
#pragma once

#include "vmm-core/base/macro.h"

struct device;
struct bus;
struct loop;

enum bus_space { BUS_PIO, BUS_MMIO, BUS_SPACE_X_MAX };

#define BUS_MAX_RANGES 1024 /* per space */

/* 'loop' is the machine's, which outlives the bus. Returns NULL without memory. */
struct bus *bus_new(struct loop *loop);
struct bus *bus_free(struct bus *bus);

/* Let 'dev' answer [base, base + len) as its region 'region'. Returns 0, -EEXIST (overlap), -EINVAL (empty or
 * wrapping range, or beyond 64 KiB for ports), -ENOSPC (BUS_MAX_RANGES). */
int bus_add(struct bus *bus, enum bus_space space, uint64_t base, uint64_t len, struct device *dev,
	unsigned region);

/* Remove the range that starts at 'base' and belongs to 'dev'. Returns 0 or -ENOENT. */
int bus_remove(struct bus *bus, enum bus_space space, uint64_t base, struct device *dev);

/* One access of 'size' bytes (1, 2, 4 or 8). An access that runs over the end of a range goes nowhere. Takes
 * the locks. bus_read gives the value in the low 'size' bytes. */
uint64_t bus_read(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size);
void bus_write(struct bus *bus, enum bus_space space, uint64_t addr, unsigned size, uint64_t value);

/* Doorbells: a write of 'size' bytes (0: any) at 'addr' signals 'event_fd' inside the kernel and never reaches
 * the device. 'ops' is given once by the machine (KVM or a fake); without it the functions answer -ENOTSUP and
 * the device's write handler does the work. The device's lock is enough. */
struct bus_doorbell_ops {
	int (*set)(void *opaque, enum bus_space space, uint64_t addr, unsigned size, int event_fd,
		bool on);
};
void bus_set_doorbell_ops(struct bus *bus, const struct bus_doorbell_ops *ops, void *opaque);
int bus_doorbell(
	struct bus *bus, enum bus_space space, uint64_t addr, unsigned size, int event_fd, bool on);
