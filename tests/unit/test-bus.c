/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bus: overlap, lookup, accesses that miss. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vmm-core/bus.h"
#include "vmm-core/device.h"

struct probe {
	struct device dev;
	unsigned region;
	uint64_t offset, value;
	unsigned size, n;
};

static uint64_t probe_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	struct probe *p = container_of(dev, struct probe, dev);

	p->region = region;
	p->offset = offset;
	p->size = size;
	p->n++;
	return UINT64_C(0x1122334455667788);
}

static void probe_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	struct probe *p = container_of(dev, struct probe, dev);

	p->region = region;
	p->offset = offset;
	p->size = size;
	p->value = value;
	p->n++;
}

static const struct device_ops probe_ops = {.read = probe_read, .write = probe_write};
static const struct device_class probe_class = {
	.name = "probe", .size = sizeof(struct probe), .ops = &probe_ops};

static struct loop *make_loop(void)
{
	struct loop *loop;

	assert_int_equal(loop_new_fake(0, &loop), 0);
	return loop;
}

static void test_overlap(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = make_loop();
	struct bus *bus = bus_new(loop);
	struct probe p = {.dev.class = &probe_class};

	(void)state;
	assert_int_equal(bus_add(bus, BUS_MMIO, 0x1000, 0x100, &p.dev, 0), 0);
	assert_int_equal(bus_add(bus, BUS_MMIO, 0x1000, 0x100, &p.dev, 0), -EEXIST);
	assert_int_equal(bus_add(bus, BUS_MMIO, 0x10ff, 1, &p.dev, 0), -EEXIST);
	assert_int_equal(bus_add(bus, BUS_MMIO, 0xfff, 2, &p.dev, 0), -EEXIST);
	assert_int_equal(bus_add(bus, BUS_MMIO, 0, 0x10000, &p.dev, 0), -EEXIST);
	assert_int_equal(bus_add(bus, BUS_MMIO, 0x1100, 1, &p.dev, 0), 0);
	assert_int_equal(bus_add(bus, BUS_MMIO, 0xfff, 1, &p.dev, 0), 0);
	assert_int_equal(bus_add(bus, BUS_MMIO, UINT64_MAX, 1, &p.dev, 0), 0);
	assert_int_equal(bus_add(bus, BUS_MMIO, UINT64_MAX - 1, 3, &p.dev, 0), -EINVAL);
	assert_int_equal(bus_add(bus, BUS_MMIO, 5, 0, &p.dev, 0), -EINVAL);
	assert_int_equal(bus_add(bus, BUS_PIO, 0xffff, 2, &p.dev, 0), -EINVAL);
	assert_int_equal(bus_add(bus, BUS_PIO, 0xffff, 1, &p.dev, 0), 0);
	assert_int_equal(bus_remove(bus, BUS_MMIO, 0x1000, NULL), -ENOENT);
	assert_int_equal(bus_remove(bus, BUS_MMIO, 0x1001, &p.dev), -ENOENT);
	assert_int_equal(bus_remove(bus, BUS_MMIO, 0x1000, &p.dev), 0);
	assert_int_equal(bus_remove(bus, BUS_MMIO, 0x1000, &p.dev), -ENOENT);
	(void)bus_free(bus);
}

static void test_access(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = make_loop();
	struct bus *bus = bus_new(loop);
	struct probe a = {.dev.class = &probe_class}, b = a;

	(void)state;
	assert_int_equal(bus_add(bus, BUS_PIO, 0x60, 1, &a.dev, 3), 0);
	assert_int_equal(bus_add(bus, BUS_PIO, 0x64, 4, &b.dev, 7), 0);
	assert_int_equal(bus_read(bus, BUS_PIO, 0x60, 1), 0x88);
	assert_int_equal(a.region, 3);
	assert_int_equal(bus_read(bus, BUS_PIO, 0x65, 2), 0x7788);
	assert_int_equal(b.offset, 1);
	/* Nobody home, and over the end: all ones, and nobody is asked. */
	assert_int_equal(bus_read(bus, BUS_PIO, 0x61, 1), 0xff);
	assert_int_equal(bus_read(bus, BUS_PIO, 0x60, 2), 0xffff);
	assert_int_equal(bus_read(bus, BUS_PIO, 0x67, 2), 0xffff);
	assert_int_equal(bus_read(bus, BUS_PIO, 0x5f, 4), 0xffffffff);
	assert_true(bus_read(bus, BUS_MMIO, 0x60, 8) == UINT64_MAX);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 1);
	bus_write(bus, BUS_PIO, 0x64, 1, 0x1234);
	assert_int_equal(b.value, 0x34);
	bus_write(bus, BUS_PIO, 0x66, 4, 0x1234);
	assert_int_equal(b.n, 2);
	assert_int_equal(bus_doorbell(bus, BUS_PIO, 0x64, 2, 0, true), -ENOTSUP);
	(void)bus_free(bus);
}

static void test_full(void **state)
{
	_cleanup_(loop_freep) struct loop *loop = make_loop();
	struct bus *bus = bus_new(loop);
	struct probe p = {.dev.class = &probe_class};

	(void)state;
	/* Backwards and interleaved, so that insertion has to move. */
	for (unsigned i = 0; i < BUS_MAX_RANGES; i++)
		assert_int_equal(
			bus_add(bus, BUS_MMIO, (i * 37 % BUS_MAX_RANGES) * 16, 16, &p.dev, i), 0);
	assert_int_equal(bus_add(bus, BUS_MMIO, UINT64_C(1) << 40, 16, &p.dev, 0), -ENOSPC);
	for (unsigned i = 0; i < BUS_MAX_RANGES; i++) {
		(void)bus_read(bus, BUS_MMIO, (i * 37 % BUS_MAX_RANGES) * 16 + 5, 1);
		assert_int_equal(p.region, i);
		assert_int_equal(p.offset, 5);
	}
	(void)bus_free(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_access),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
