/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "debug-exit": four ports; a write ends the vm with the value written as its code. For test guests, compatible with
 * QEMU's isa-debug-exit (whose process then ends with value * 2 + 1: that is left to whoever shows the code). Exists
 * only where the configuration asks for it.
 */
#include "devices/legacy/legacy.h"

struct debug_exit {
	struct device dev;
};

static uint64_t debug_exit_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	(void)dev;
	(void)region;
	(void)offset;
	(void)size;
	return 0;
}

static void debug_exit_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	(void)region;
	(void)offset;
	(void)size;
	machine_request(dev->machine, MACHINE_DEBUG_EXIT, (int)(uint32_t)value);
}

/* There is no state; the section says so. */
static void debug_exit_save(const struct device *dev, struct state_writer *w)
{
	(void)dev;
	(void)w;
}

static int debug_exit_load(struct device *dev, struct state_reader *r)
{
	(void)dev;
	return state_reader_end(r);
}

static const struct device_ops debug_exit_ops = {
	.read = debug_exit_read,
	.write = debug_exit_write,
	.save = debug_exit_save,
	.load = debug_exit_load,
};

const struct device_class debug_exit_class = {
	.name = "debug-exit",
	.state_version = 1,
	.size = sizeof(struct debug_exit),
	.ops = &debug_exit_ops,
};
