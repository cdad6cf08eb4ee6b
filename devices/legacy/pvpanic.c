/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "pvpanic": the guest tells that it crashed (QEMU's docs/specs/pvpanic). One port: reading gives the events that are
 * understood, writing one of them reports it. The specification reserves all other bits.
 */
#include "devices/legacy/legacy.h"

#define EVENT_PANICKED    0x01
#define EVENT_CRASHLOADED 0x02

struct pvpanic {
	struct device dev;
};

static uint64_t pvpanic_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	(void)dev;
	(void)region;
	(void)offset;
	(void)size;
	return EVENT_PANICKED | EVENT_CRASHLOADED;
}

static void pvpanic_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	(void)region;
	(void)offset;
	(void)size;
	if (value & EVENT_PANICKED)
		machine_request(dev->machine, MACHINE_PANICKED, 0);
	else if (value & EVENT_CRASHLOADED)
		machine_request(dev->machine, MACHINE_CRASHLOADED, 0);
}

/* There is no state; the section says so. */
static void pvpanic_save(const struct device *dev, struct state_writer *w)
{
	(void)dev;
	(void)w;
}

static int pvpanic_load(struct device *dev, struct state_reader *r)
{
	(void)dev;
	return state_reader_end(r);
}

static const struct device_ops pvpanic_ops = {
	.read = pvpanic_read,
	.write = pvpanic_write,
	.save = pvpanic_save,
	.load = pvpanic_load,
};

const struct device_class pvpanic_class = {
	.name = "pvpanic",
	.state_version = 1,
	.size = sizeof(struct pvpanic),
	.ops = &pvpanic_ops,
};
