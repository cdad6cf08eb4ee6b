/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* MSI-X: table, masks, pending bits, routes, and what a hostile driver writes into them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "devices/pci/pci.h"
#include "tests/fakes/fake-driver.h"

#define N_VECTORS 5
#define BAR       1
#define SLOT      1
#define ADDR      UINT64_C(0xfee01000)
#define DATA      0x50

static int thing_realize(struct device *dev)
{
	static const struct pci_id id = {.vendor = 0x1234, .class = PCI_CLASS_OTHERS};
	struct pci_device *pci = container_of(dev, struct pci_device, dev);
	int r;

	r = pci_device_init(pci, NULL, &id, (struct vm_pci_addr){.set = 1, .slot = SLOT});
	if (r < 0)
		return r;
	r = pci_add_msix(pci, BAR, N_VECTORS);
	if (r >= 0)
		pci_device_realized(pci);
	return r;
}

static void thing_unrealize(struct device *dev)
{
	pci_device_done(container_of(dev, struct pci_device, dev));
}

static void thing_reset(struct device *dev)
{
	pci_device_reset(container_of(dev, struct pci_device, dev));
}

static uint64_t thing_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	uint64_t value = 0;

	assert_true(pci_msix_bar_read(
		container_of(dev, struct pci_device, dev), region, offset, size, &value));
	return value;
}

static void thing_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	assert_true(pci_msix_bar_write(
		container_of(dev, struct pci_device, dev), region, offset, size, value));
}

static void thing_save(const struct device *dev, struct state_writer *w)
{
	pci_device_save((const struct pci_device *)(const void *)dev, w);
}

static int thing_load(struct device *dev, struct state_reader *r)
{
	struct pci_device *pci = container_of(dev, struct pci_device, dev);
	struct pci_state s;

	if (pci_state_load(pci, r, &s) < 0 || state_reader_end(r) < 0)
		return -EBADMSG;
	pci_state_apply(pci, &s);
	return 0;
}

static const struct device_ops thing_ops = {
	.realize = thing_realize,
	.unrealize = thing_unrealize,
	.reset = thing_reset,
	.read = thing_read,
	.write = thing_write,
	.save = thing_save,
	.load = thing_load,
};

static const struct device_class thing_class = {
	.name = "thing",
	.state_version = 1,
	.size = sizeof(struct pci_device),
	.ops = &thing_ops,
};

struct fixture {
	struct fake_machine *f;
	struct device *root, *dev;
	struct pci_device *pci;
	uint64_t bar;
	unsigned cap;
};

static void build(struct fixture *fx)
{
	*fx = (struct fixture){.f = fake_machine_new(MIB(4))};
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(device_new(&thing_class, &fx->f->m, 0, &fx->dev), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx->root), 0);
	fx->pci = container_of(fx->dev, struct pci_device, dev);
	fx->bar = pci_bar_address(fx->pci, BAR);
	fx->cap = (unsigned)fake_pci_read(fx->f, SLOT, 0x34, 1);
}

static void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	(void)device_free(fx->root);
	(void)fake_machine_free(fx->f);
}

static void control(struct fixture *fx, uint16_t value)
{
	fake_pci_write(fx->f, SLOT, fx->cap + 2, 2, value);
}

static void master(struct fixture *fx, bool on)
{
	fake_pci_write(fx->f, SLOT, 4, 2, on ? 6 : 2);
}

static void put(struct fixture *fx, unsigned offset, unsigned size, uint64_t value)
{
	bus_write(fx->f->m.bus, BUS_MMIO, fx->bar + offset, size, value);
}

static uint64_t get(struct fixture *fx, unsigned offset, unsigned size)
{
	return bus_read(fx->f->m.bus, BUS_MMIO, fx->bar + offset, size);
}

static void program(struct fixture *fx, unsigned n, uint64_t addr, uint32_t data, bool masked)
{
	put(fx, 16 * n + 12, 4, 1);
	put(fx, 16 * n, 8, addr);
	put(fx, 16 * n + 8, 4, data);
	put(fx, 16 * n + 12, 4, masked);
}

static void enable(struct fixture *fx)
{
	master(fx, true);
	for (unsigned i = 0; i < N_VECTORS; i++)
		program(fx, i, ADDR, DATA + i, false);
	control(fx, PCI_MSIX_ENABLE);
}

static int count(struct fixture *fx, unsigned n)
{
	return fake_msi_count(fx->f, DATA + n);
}

static void test_delivery(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	assert_int_equal(fake_pci_read(fx.f, SLOT, fx.cap, 1), 0x11);
	assert_int_equal(fake_pci_read(fx.f, SLOT, fx.cap + 2, 2), N_VECTORS - 1);
	assert_int_equal(fake_pci_read(fx.f, SLOT, fx.cap + 4, 4), BAR);
	assert_int_equal(fake_pci_read(fx.f, SLOT, fx.cap + 8, 4), PCI_MSIX_PBA | BAR);
	assert_int_equal(get(&fx, 12, 4), 1);
	/* Off: nothing, and nothing pending either. */
	pci_msix_raise(fx.pci, 0);
	enable(&fx);
	assert_int_equal(count(&fx, 0), 0);
	for (unsigned i = 0; i < N_VECTORS; i++) {
		pci_msix_raise(fx.pci, i);
		for (unsigned k = 0; k < N_VECTORS; k++)
			assert_int_equal(count(&fx, k), k == i);
	}
	/* Vectors that are not there. */
	pci_msix_raise(fx.pci, N_VECTORS);
	pci_msix_raise(fx.pci, 0xffff);
	pci_msix_raise(fx.pci, UINT32_MAX);
	destroy(&fx);
}

static void test_masks(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	enable(&fx);
	/* A vector's own mask. */
	put(&fx, 16 * 2 + 12, 4, 1);
	pci_msix_raise(fx.pci, 2);
	pci_msix_raise(fx.pci, 2);
	assert_int_equal(count(&fx, 2), 0);
	assert_int_equal(get(&fx, PCI_MSIX_PBA, 8), 1 << 2);
	assert_int_equal(get(&fx, PCI_MSIX_PBA, 4), 1 << 2);
	/* Pending bits are read-only. */
	put(&fx, PCI_MSIX_PBA, 8, 0);
	assert_int_equal(get(&fx, PCI_MSIX_PBA, 8), 1 << 2);
	put(&fx, 16 * 2 + 12, 4, 0);
	assert_int_equal(count(&fx, 2), 1);
	assert_int_equal(get(&fx, PCI_MSIX_PBA, 8), 0);
	/* The mask of all. */
	control(&fx, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
	pci_msix_raise(fx.pci, 0);
	pci_msix_raise(fx.pci, 4);
	assert_int_equal(count(&fx, 0), 0);
	control(&fx, PCI_MSIX_ENABLE);
	assert_int_equal(count(&fx, 0), 1);
	assert_int_equal(count(&fx, 4), 1);
	/* Without bus mastering no message leaves. */
	master(&fx, false);
	pci_msix_raise(fx.pci, 0);
	master(&fx, true);
	assert_int_equal(count(&fx, 0), 0);
	/* A masked vector whose message changes goes to the new place. */
	program(&fx, 1, ADDR, DATA + 1, true);
	pci_msix_raise(fx.pci, 1);
	program(&fx, 1, ADDR, DATA + 20, true);
	put(&fx, 16 + 12, 4, 0);
	assert_int_equal(count(&fx, 1), -1);
	assert_int_equal(count(&fx, 20), 1);
	/* Reset: all masked, nothing pending, off. */
	device_reset(fx.dev);
	assert_int_equal(get(&fx, 12, 4), 1);
	assert_false(pci_msix_enabled(fx.pci));
	destroy(&fx);
}

/* A storm of masking costs no route: KVM is only told what is new. */
static void test_mask_storm(void **state)
{
	struct fixture fx;
	unsigned commits;

	(void)state;
	build(&fx);
	enable(&fx);
	commits = fx.f->n_route_commits;
	for (unsigned i = 0; i < 10000; i++) {
		put(&fx, 12, 4, 1);
		put(&fx, 12, 4, 0);
		control(&fx, PCI_MSIX_ENABLE | PCI_MSIX_MASK_ALL);
		control(&fx, PCI_MSIX_ENABLE);
		program(&fx, 0, ADDR, DATA, false);
	}
	assert_int_equal(fx.f->n_route_commits, commits);
	destroy(&fx);
}

static void test_hostile_entries(void **state)
{
	static const uint64_t addresses[] = {
		0,
		0x1000,
		LAYOUT_ECAM_BASE,
		LAYOUT_PCI32_BASE,
		LAYOUT_IOAPIC_BASE,
		0xfed00000,
		0xfef00000,
		0xfffffffc,
		UINT64_MAX,
	};
	struct fixture fx;

	(void)state;
	build(&fx);
	enable(&fx);
	for (unsigned i = 0; i < ARRAY_SIZE(addresses); i++) {
		program(&fx, 0, addresses[i], DATA, false);
		pci_msix_raise(fx.pci, 0);
		assert_int_equal(get(&fx, 0, 8), addresses[i] & ~UINT64_C(3));
		assert_true(count(&fx, 0) <= 0);
	}
	/* Back to sense, and it works. */
	program(&fx, 0, ADDR, DATA, false);
	pci_msix_raise(fx.pci, 0);
	assert_int_equal(count(&fx, 0), 1);
	/* KVM refuses a route: the vector is lost, nothing else; it is tried again. */
	program(&fx, 0, ADDR, DATA, true);
	put(&fx, 8, 4, DATA + 9);
	fx.f->fail_next = -EINVAL;
	put(&fx, 12, 4, 0);
	pci_msix_raise(fx.pci, 0);
	assert_int_equal(count(&fx, 9), 1);
	/* Beyond the table, half registers, crooked ones. */
	put(&fx, 16 * N_VECTORS, 4, UINT32_MAX);
	put(&fx, 16 * N_VECTORS + 12, 4, 0);
	put(&fx, 4088, 8, UINT64_MAX);
	put(&fx, 12, 1, 0xff);
	put(&fx, 13, 2, 0xffff);
	put(&fx, 6, 4, 0xffffffff);
	put(&fx, 12, 8, UINT64_MAX);
	assert_int_equal(get(&fx, 16 * N_VECTORS, 4), 0);
	assert_int_equal(get(&fx, 4088, 8), 0);
	assert_int_equal(get(&fx, 0, 8), ADDR);
	assert_int_equal(get(&fx, 12, 4), 0);
	put(&fx, 12, 4, UINT32_MAX);
	assert_int_equal(get(&fx, 12, 4), 1);
	destroy(&fx);
}

static void test_storm(void **state)
{
	struct fixture fx;
	uint32_t seed = 7;

	(void)state;
	build(&fx);
	enable(&fx);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned size, offset;

		seed = seed * 1664525 + 1013904223;
		size = 1U << (seed >> 30);
		offset = (seed >> 8) & (seed & 0x80 ? 4095 : 127);
		if (seed & 0x40)
			put(&fx, offset, size, seed * UINT64_C(0x9e3779b97f4a7c15));
		else
			(void)get(&fx, offset, size);
		if (!(seed & 0x38))
			control(&fx, (uint16_t)seed);
		if ((seed & 0x3f) == 0x3f)
			pci_msix_raise(fx.pci, seed >> 16 & 7);
	}
	device_reset(fx.dev);
	enable(&fx);
	pci_msix_raise(fx.pci, 3);
	assert_int_equal(count(&fx, 3), 1);
	destroy(&fx);
}

static void test_save_load(void **state)
{
	struct fixture a, b;
	struct state_writer w;
	struct state_reader good, r;
	size_t offset = 0;
	uint8_t *entry;

	(void)state;
	build(&a);
	build(&b);
	enable(&a);
	put(&a, 12, 4, 1);
	pci_msix_raise(a.pci, 0);
	assert_int_equal(fake_save_load(a.dev, b.dev), 0);
	pci_msix_raise(b.pci, 1);
	assert_int_equal(count(&b, 1), 1);
	assert_int_equal(get(&b, PCI_MSIX_PBA, 8), 1);
	put(&b, 12, 4, 0);
	assert_int_equal(count(&b, 0), 1);
	/* A pending bit of a vector that is not there, and crooked entries. */
	state_writer_init(&w);
	assert_int_equal(device_save(a.dev, &w), 0);
	assert_int_equal(state_next(w.data, w.len, &offset, &good), 1);
	entry = w.data + (good.data - w.data) + 257;
	entry[0] |= 1 << N_VECTORS;
	r = good;
	assert_int_equal(device_load(b.dev, &r), -EBADMSG);
	entry[0] &= (uint8_t) ~(1 << N_VECTORS);
	entry[8] |= 2; /* address, below its alignment */
	r = good;
	assert_int_equal(device_load(b.dev, &r), -EBADMSG);
	entry[8] &= (uint8_t)~2;
	entry[8 + 12] |= 2; /* reserved bit of the control word */
	r = good;
	assert_int_equal(device_load(b.dev, &r), -EBADMSG);
	state_writer_done(&w);
	destroy(&a);
	destroy(&b);
}

/* GSIs run out half-way: realize fails and gives back what it had. */
static void test_exhaustion(void **state)
{
	struct irq_msi *msis[LAYOUT_GSI_MAX] = {0};
	struct fake_machine *f = fake_machine_new(MIB(4));
	struct device *root, *dev;
	unsigned n = 0;

	(void)state;
	assert_int_equal(device_new(&q35_host_class, &f->m, 0, &root), 0);
	while (irq_msi_new(f->m.irq, &msis[n]) == 0)
		n++;
	msis[0] = irq_msi_free(msis[0]);
	msis[1] = irq_msi_free(msis[1]);
	assert_true(device_new(&thing_class, &f->m, 0, &dev) < 0);
	assert_int_equal(irq_msi_new(f->m.irq, &msis[0]), 0);
	assert_int_equal(irq_msi_new(f->m.irq, &msis[1]), 0);
	for (unsigned i = 0; i < LAYOUT_GSI_MAX; i++)
		(void)irq_msi_free(msis[i]);
	assert_int_equal(device_new(&thing_class, &f->m, 0, &dev), 0);
	(void)device_free(dev);
	(void)device_free(root);
	(void)fake_machine_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_delivery),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_mask_storm),
		cmocka_unit_test(test_hostile_entries),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_exhaustion),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
