/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host bridge and the LPC bridge: slots, CF8/CFC and ECAM, places of BARs, the reset register. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "devices/pci/pci.h"
#include "tests/fakes/fake-driver.h"

/* A function with one BAR, whose size and place the instance chooses. */
struct thing {
	struct pci_device pci;
};

static const struct {
	uint64_t size;
	struct vm_pci_addr addr;
} things[] = {
	{4096, {0}}, {MIB(1), {0}}, {16, {0}}, {65536, {.set = 1, .slot = 5}},
	{4096, {.set = 1, .slot = 5}},                /* 4: taken */
	{4096, {.set = 1, .slot = 32}},               /* 5: no such slot */
	{4096, {.set = 1, .slot = 6, .function = 1}}, /* 6: no functions */
	{GIB(1), {.set = 1, .slot = 7}},              /* 7: larger than the window */
	{16, {.set = 1, .slot = 31}},                 /* 8: the LPC bridge's */
};

static int thing_realize(struct device *dev)
{
	static const struct pci_id id = {.vendor = 0x1234, .class = PCI_CLASS_OTHERS};
	struct pci_device *pci = &container_of(dev, struct thing, pci.dev)->pci;
	unsigned i = MIN(dev->instance, (unsigned)ARRAY_SIZE(things) - 1);
	int r;

	if (dev->instance >= ARRAY_SIZE(things))
		i = 0;
	r = pci_device_init(pci, NULL, &id, things[i].addr);
	if (r < 0)
		return r;
	pci_add_bar(pci, 0, things[i].size, 0);
	pci_device_realized(pci);
	return 0;
}

static void thing_unrealize(struct device *dev)
{
	pci_device_done(&container_of(dev, struct thing, pci.dev)->pci);
}

static void thing_reset(struct device *dev)
{
	pci_device_reset(&container_of(dev, struct thing, pci.dev)->pci);
}

static const struct device_ops thing_ops = {
	.realize = thing_realize,
	.unrealize = thing_unrealize,
	.reset = thing_reset,
};

static const struct device_class thing_class = {
	.name = "thing",
	.size = sizeof(struct thing),
	.ops = &thing_ops,
};

#define MAX_DEVICES 64

struct fixture {
	struct fake_machine *f;
	struct device *devices[MAX_DEVICES];
	unsigned n;
};

static int add(struct fixture *fx, const struct device_class *class, unsigned instance)
{
	int r = device_new(class, &fx->f->m, instance, &fx->devices[fx->n]);

	if (r >= 0)
		fx->n++;
	return r;
}

static void build(struct fixture *fx)
{
	*fx = (struct fixture){.f = fake_machine_new(MIB(4))};
	assert_int_equal(add(fx, &q35_host_class, 0), 0);
	assert_int_equal(add(fx, &ich9_lpc_class, 0), 0);
}

static void destroy(struct fixture *fx)
{
	while (fx->n)
		(void)device_free(fx->devices[--fx->n]);
	(void)fake_machine_free(fx->f);
}

static void out(struct fixture *fx, uint16_t port, unsigned size, uint64_t value)
{
	bus_write(fx->f->m.bus, BUS_PIO, port, size, value);
}

static uint64_t in(struct fixture *fx, uint16_t port, unsigned size)
{
	return bus_read(fx->f->m.bus, BUS_PIO, port, size);
}

static void test_bridges(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	assert_int_equal(fake_pci_read(fx.f, 0, 0, 4), 0x29c08086);
	assert_int_equal(fake_pci_read(fx.f, 0, 0x0a, 2), 0x0600);
	assert_int_equal(fake_pci_read(fx.f, 0, 0x60, 4), LAYOUT_ECAM_BASE | 1);
	assert_int_equal(fake_pci_read(fx.f, 31, 0, 4), 0x29188086);
	assert_int_equal(fake_pci_read(fx.f, 31, 0x0a, 2), 0x0601);
	/* PIRQ registers hold a route and the disable bit; the power management base stays 0. */
	assert_int_equal(fake_pci_read(fx.f, 31, 0x60, 4), 0x80808080);
	fake_pci_write(fx.f, 31, 0x60, 4, 0xffffff0b);
	assert_int_equal(fake_pci_read(fx.f, 31, 0x60, 4), 0x8f8f8f0b);
	fake_pci_write(fx.f, 31, 0x40, 8, UINT64_MAX);
	assert_int_equal(fake_pci_read(fx.f, 31, 0x40, 8), 0);
	device_reset(fx.devices[1]);
	assert_int_equal(fake_pci_read(fx.f, 31, 0x60, 4), 0x80808080);
	/* A second root is one too many; without any there is no place. */
	assert_int_equal(add(&fx, &q35_host_class, 1), -EEXIST);
	assert_ptr_equal(fx.f->m.pci_root, fx.devices[0]);
	destroy(&fx);
	fx.f = fake_machine_new(MIB(4));
	fx.n = 0;
	assert_int_equal(add(&fx, &ich9_lpc_class, 0), -ENODEV);
	destroy(&fx);
}

static void test_ports(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	assert_int_equal(in(&fx, 0xcf8, 4), 0);
	assert_int_equal(in(&fx, 0xcfc, 4), UINT32_MAX);
	out(&fx, 0xcf8, 4, UINT32_MAX);
	assert_int_equal(in(&fx, 0xcf8, 4), 0x80fffffc);
	assert_int_equal(in(&fx, 0xcfc, 4), UINT32_MAX);
	/* Only a whole word is an address. */
	out(&fx, 0xcf8, 4, 0x80000000);
	out(&fx, 0xcf8, 1, 0xff);
	out(&fx, 0xcf8, 2, 0xffff);
	out(&fx, 0xcfa, 2, 0xffff);
	assert_int_equal(in(&fx, 0xcf8, 4), 0x80000000);
	assert_int_equal(in(&fx, 0xcfc, 4), 0x29c08086);
	assert_int_equal(in(&fx, 0xcfe, 2), 0x29c0);
	assert_int_equal(in(&fx, 0xcff, 1), 0x29);
	assert_int_equal(in(&fx, 0xcfc, 8), UINT64_MAX);
	assert_int_equal(in(&fx, 0xcff, 2), 0xffff);
	/* The LPC bridge; another bus; another function; an empty slot; not enabled. */
	out(&fx, 0xcf8, 4, 0x80000000 | 31 << 11 | 0x60);
	assert_int_equal(in(&fx, 0xcfc, 4), 0x80808080);
	out(&fx, 0xcfd, 1, 0x05);
	assert_int_equal(in(&fx, 0xcfc, 4), 0x80800580);
	out(&fx, 0xcf8, 4, 0x80010000);
	assert_int_equal(in(&fx, 0xcfc, 4), UINT32_MAX);
	out(&fx, 0xcfc, 4, 0);
	out(&fx, 0xcf8, 4, 0x80000100);
	assert_int_equal(in(&fx, 0xcfc, 4), UINT32_MAX);
	out(&fx, 0xcf8, 4, 0x80000000 | 9 << 11);
	assert_int_equal(in(&fx, 0xcfc, 4), UINT32_MAX);
	out(&fx, 0xcf8, 4, 0);
	assert_int_equal(in(&fx, 0xcfc, 4), UINT32_MAX);
	destroy(&fx);
}

static void test_reset_register(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	out(&fx, 0xcf9, 1, 0x02);
	assert_int_equal(in(&fx, 0xcf9, 1), 0x02);
	assert_int_equal(fx.f->n_requests, 0);
	out(&fx, 0xcf9, 1, 0x06);
	assert_int_equal(fx.f->n_requests, 1);
	assert_int_equal(fx.f->requests[0], MACHINE_RESET);
	device_reset(fx.devices[0]);
	assert_int_equal(in(&fx, 0xcf9, 1), 0);
	out(&fx, 0xcf9, 1, 0x0e);
	assert_int_equal(fx.f->n_requests, 2);
	/* The address register is another thing. */
	out(&fx, 0xcf8, 4, 0x80000600);
	assert_int_equal(fx.f->n_requests, 2);
	destroy(&fx);
}

static void test_ecam(void **state)
{
	static const uint64_t empty[] = {
		0x1000,                   /* function 1 */
		0x8000,                   /* slot 1 */
		MIB(1),                   /* bus 1 */
		MIB(255) + 0x1f * 0x8000, /* the last bus */
	};
	struct fixture fx;

	(void)state;
	build(&fx);
	for (unsigned i = 0; i < ARRAY_SIZE(empty); i++) {
		assert_int_equal(bus_read(fx.f->m.bus, BUS_MMIO, LAYOUT_ECAM_BASE + empty[i], 4),
			UINT32_MAX);
		bus_write(fx.f->m.bus, BUS_MMIO, LAYOUT_ECAM_BASE + empty[i], 4, 0);
	}
	assert_int_equal(fake_pci_read(fx.f, 0, 0, 8), UINT64_C(0x0000000029c08086));
	assert_int_equal(fake_pci_read(fx.f, 0, 1, 2), 0xc080);
	/* Over the end of a function: nobody. At the end of what it keeps: the rest is 0. */
	assert_int_equal(fake_pci_read(fx.f, 0, 0xffd, 4), UINT32_MAX);
	assert_int_equal(fake_pci_read(fx.f, 0, 0xfff, 2), 0xffff);
	assert_int_equal(fake_pci_read(fx.f, 0, 0xffc, 8), UINT64_MAX);
	assert_int_equal(fake_pci_read(fx.f, 0, 0xfc, 8), 0);
	assert_int_equal(fake_pci_read(fx.f, 0, 0xfe, 4), 0);
	fake_pci_write(fx.f, 0, 0xfe, 4, UINT32_MAX);
	fake_pci_write(fx.f, 0, 0xffe, 4, UINT32_MAX);
	fake_pci_write(fx.f, 0, 0xfc, 8, UINT64_MAX);
	destroy(&fx);
}

static unsigned slot_of(struct device *dev)
{
	return container_of(dev, struct thing, pci.dev)->pci.slot;
}

static void test_slots(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	/* Slot 2 is promised to a disk, 1 and 3 are free. */
	fx.f->config.n_disks = 1;
	fx.f->config.disks[0].pci = (struct vm_pci_addr){.set = 1, .slot = 2};
	assert_int_equal(add(&fx, &thing_class, 0), 0);
	assert_int_equal(slot_of(fx.devices[2]), 1);
	assert_int_equal(add(&fx, &thing_class, 1), 0);
	assert_int_equal(slot_of(fx.devices[3]), 3);
	assert_int_equal(add(&fx, &thing_class, 3), 0);
	assert_int_equal(slot_of(fx.devices[4]), 5);
	assert_int_equal(add(&fx, &thing_class, 4), -EEXIST);
	assert_int_equal(add(&fx, &thing_class, 5), -EINVAL);
	assert_int_equal(add(&fx, &thing_class, 6), -EINVAL);
	assert_int_equal(add(&fx, &thing_class, 8), -EEXIST);
	/* Until the bus is full: 30 slots less the promised one. */
	while (add(&fx, &thing_class, 100) >= 0)
		;
	assert_int_equal(fx.n, 2 + 29);
	assert_int_equal(add(&fx, &thing_class, 100), -ENOSPC);
	/* One leaves, its place is free again. */
	(void)device_free(fx.devices[--fx.n]);
	assert_int_equal(add(&fx, &thing_class, 100), 0);
	destroy(&fx);
}

static void test_places(void **state)
{
	struct fixture fx;
	uint64_t end[3], start[3];

	(void)state;
	build(&fx);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(add(&fx, &thing_class, i), 0);
	/* No BAR decodes before the root gave it a place. */
	assert_int_equal(fake_pci_read(fx.f, 1, 4, 2), 0);
	assert_int_equal(fake_pci_read(fx.f, 1, 0x10, 4), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx.devices[0]), 0);
	for (unsigned i = 0; i < 3; i++) {
		start[i] = fake_pci_read(fx.f, i + 1, 0x10, 4);
		end[i] = start[i] + things[i].size;
		assert_true(start[i] >= LAYOUT_PCI32_BASE && end[i] <= LAYOUT_PCI32_END);
		assert_int_equal(start[i] % things[i].size, 0);
		assert_int_equal(fake_pci_read(fx.f, i + 1, 4, 2), 2);
		for (unsigned k = 0; k < i; k++)
			assert_true(end[k] <= start[i] || end[i] <= start[k]);
	}
	/* A reset brings the places back. */
	fake_pci_write(fx.f, 1, 0x10, 4, 0);
	fake_pci_write(fx.f, 1, 4, 2, 0);
	device_reset(fx.devices[2]);
	assert_int_equal(fake_pci_read(fx.f, 1, 0x10, 4), start[0]);
	assert_int_equal(fake_pci_read(fx.f, 1, 4, 2), 2);
	/* More than the window holds. */
	assert_int_equal(add(&fx, &thing_class, 7), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx.devices[0]), -ENOSPC);
	destroy(&fx);
}

/* The root goes first: who is left holds nothing any more. */
static void test_teardown_order(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	assert_int_equal(add(&fx, &thing_class, 0), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx.devices[0]), 0);
	fx.devices[0] = device_free(fx.devices[0]);
	assert_null(fx.f->m.pci_root);
	assert_int_equal(bus_read(fx.f->m.bus, BUS_MMIO, LAYOUT_PCI32_BASE, 4), UINT32_MAX);
	destroy(&fx);
}

static void test_save_load(void **state)
{
	struct fixture a, b;
	struct state_writer w;
	struct state_reader r;
	size_t offset = 0;

	(void)state;
	build(&a);
	build(&b);
	out(&a, 0xcf8, 4, 0x80000000 | 31 << 11 | 0x60);
	out(&a, 0xcfc, 1, 0x0b);
	out(&a, 0xcf9, 1, 0x02);
	assert_int_equal(fake_save_load(a.devices[0], b.devices[0]), 0);
	assert_int_equal(fake_save_load(a.devices[1], b.devices[1]), 0);
	assert_int_equal(in(&b, 0xcfc, 4), 0x8080800b);
	assert_int_equal(in(&b, 0xcf9, 1), 0x02);
	/* Bits of the address register that do not exist. */
	state_writer_init(&w);
	assert_int_equal(device_save(a.devices[0], &w), 0);
	assert_int_equal(state_next(w.data, w.len, &offset, &r), 1);
	w.data[w.len - 5] |= 1;
	assert_int_equal(device_load(b.devices[0], &r), -EBADMSG);
	state_writer_done(&w);
	destroy(&a);
	destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bridges),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_reset_register),
		cmocka_unit_test(test_ecam),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_teardown_order),
		cmocka_unit_test(test_save_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
