/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Virtio over PCI, with virtio-rng as the device: capabilities, registers, doorbells, interrupts, moves of the
 * BAR, and every register written in every state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "devices/virtio/virtio-pci.h"
#include "tests/fakes/fake-driver.h"

struct fixture {
	struct fake_machine *f;
	struct device *root, *dev;
	struct virtio_device *v;
	struct fake_driver d;
};

static void build_with(struct fixture *fx, uint64_t ram, bool doorbells)
{
	*fx = (struct fixture){.f = fake_machine_new(ram)};
	fx->f->config.rng.source = VM_RNG_BUILTIN;
	if (doorbells)
		fake_machine_enable_doorbells(fx->f);
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(device_new(&virtio_rng_pci_class.class, &fx->f->m, 0, &fx->dev), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx->root), 0);
	fx->v = virtio_pci_device(fx->dev);
	assert_true(fake_driver_probe(&fx->d, fx->f, 4));
}

static void build(struct fixture *fx)
{
	build_with(fx, MIB(4), false);
}

static void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	(void)device_free(fx->root);
	assert_int_equal(fx->f->n_doorbells, 0);
	(void)fake_machine_free(fx->f);
}

/* One request, and whether it was answered. */
static bool works(struct fixture *fx)
{
	struct fake_part part = {fake_driver_alloc(&fx->d, 16), 16, true};
	uint32_t id, len;

	(void)fake_driver_add(&fx->d, 0, &part, 1);
	fake_driver_kick(&fx->d, 0);
	return fake_driver_used(&fx->d, 0, &id, &len) && len == 16;
}

static void test_identity(void **state)
{
	unsigned cap, seen = 0;
	struct fixture fx;

	(void)state;
	build(&fx);
	assert_int_equal(fake_pci_read(fx.f, fx.d.slot, 0, 4), 0x10441af4);
	assert_int_equal(fake_pci_read(fx.f, fx.d.slot, 8, 1), 1);
	assert_int_equal(fx.d.notify_multiplier, 4);
	assert_int_equal(fx.d.n_msix, 2);
	assert_int_equal(fx.d.config, 0); /* entropy devices have none */
	for (cap = (unsigned)fake_pci_read(fx.f, fx.d.slot, 0x34, 1); cap;
		cap = (unsigned)fake_pci_read(fx.f, fx.d.slot, cap + 1, 1)) {
		if (fake_pci_read(fx.f, fx.d.slot, cap, 1) != 9)
			continue;
		seen |= 1U << fake_pci_read(fx.f, fx.d.slot, cap + 3, 1);
		assert_true(fake_pci_read(fx.f, fx.d.slot, cap + 2, 1) >= 16);
		assert_int_equal(fake_pci_read(fx.f, fx.d.slot, cap + 5, 1), 0);
	}
	assert_int_equal(seen, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 5);
	destroy(&fx);
}

static void test_with_doorbells(void **state)
{
	struct fixture fx;
	uint64_t high;

	(void)state;
	for (unsigned on = 0; on < 2; on++) {
		build_with(&fx, MIB(4), on);
		assert_int_equal(fx.f->n_doorbells, 0);
		fake_driver_start(&fx.d, UINT64_MAX);
		assert_int_equal(fx.f->n_doorbells, on);
		assert_true(works(&fx));
		/* The BAR moves, and the doorbell with it. */
		high = LAYOUT_PCI32_END - MIB(1);
		fake_pci_write(fx.f, fx.d.slot, 0x20, 4, high);
		fx.d.common = high;
		fx.d.notify = high + 0x3000;
		assert_int_equal(fx.f->n_doorbells, on);
		if (on)
			assert_int_equal(fx.f->doorbells[0].addr, high + 0x3000);
		assert_true(works(&fx));
		/* Above 4 GiB. */
		fake_pci_write(fx.f, fx.d.slot, 0x24, 4, 0x10);
		fx.d.common += UINT64_C(0x10) << 32;
		fx.d.notify += UINT64_C(0x10) << 32;
		assert_true(works(&fx));
		/* On top of RAM: it rests, and is back when the BAR is. */
		fake_pci_write(fx.f, fx.d.slot, 0x20, 4, 0);
		fake_pci_write(fx.f, fx.d.slot, 0x24, 4, 0);
		assert_int_equal(fx.f->n_doorbells, 0);
		assert_false(works(&fx));
		fake_pci_write(fx.f, fx.d.slot, 0x20, 4, high);
		fx.d.common = high;
		fx.d.notify = high + 0x3000;
		fx.d.rings[0].last_used = 0;
		fake_driver_kick(&fx.d, 0);
		assert_int_equal(fake_ring_used_idx(&fx.d.rings[0]), 4);
		fake_driver_reset(&fx.d);
		assert_int_equal(fx.f->n_doorbells, 0);
		fake_driver_start(&fx.d, UINT64_MAX);
		device_reset(fx.dev);
		assert_int_equal(fx.f->n_doorbells, 0);
		assert_true(fake_driver_probe(&fx.d, fx.f, 4));
		fake_driver_start(&fx.d, UINT64_MAX);
		assert_true(works(&fx));
		destroy(&fx);
	}
}

static void test_queue_select(void **state)
{
	static const uint16_t selects[] = {1, 2, 31, 32, 0x7fff, 0x8000, 0xffff};
	struct fixture fx;

	(void)state;
	build(&fx);
	(void)fake_driver_negotiate(&fx.d, UINT64_MAX);
	assert_int_equal(fake_common_read(&fx.d, 0x18, 2), VIRTQ_MAX_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(selects); i++) {
		fake_common_write(&fx.d, 0x16, 2, selects[i]);
		assert_int_equal(fake_common_read(&fx.d, 0x16, 2), selects[i]);
		assert_int_equal(fake_common_read(&fx.d, 0x18, 2), 0);
		for (unsigned reg = 0x18; reg < 0x38; reg += 2)
			fake_common_write(&fx.d, reg, 2, 1);
		fake_common_write(&fx.d, 0x20, 8, 0x1000);
		fake_common_write(&fx.d, 0x28, 4, 0x1000);
		assert_int_equal(fake_common_read(&fx.d, 0x1a, 2), 0xffff);
		assert_int_equal(fake_common_read(&fx.d, 0x1c, 2), 0);
		assert_int_equal(fake_common_read(&fx.d, 0x20, 8), 0);
	}
	assert_int_equal(fake_driver_status(&fx.d), 0xb);
	destroy(&fx);
}

/* Registers are whole, or halves of 64 bits; anything else reads as ones and writes nothing. */
static void test_access_sizes(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	(void)fake_driver_negotiate(&fx.d, UINT64_MAX);
	fake_common_write(&fx.d, 0x20, 8, UINT64_C(0x1122334455667788));
	assert_int_equal(fake_common_read(&fx.d, 0x20, 8), UINT64_C(0x1122334455667788));
	assert_int_equal(fake_common_read(&fx.d, 0x24, 4), 0x11223344);
	fake_common_write(&fx.d, 0x24, 4, 0xaabbccdd);
	assert_int_equal(fake_common_read(&fx.d, 0x20, 8), UINT64_C(0xaabbccdd55667788));
	fake_common_write(&fx.d, 0x20, 2, 0);
	fake_common_write(&fx.d, 0x22, 4, 0);
	fake_common_write(&fx.d, 0x24, 8, 0);
	assert_int_equal(fake_common_read(&fx.d, 0x20, 8), UINT64_C(0xaabbccdd55667788));
	assert_int_equal(fake_common_read(&fx.d, 0x22, 4), UINT32_MAX);
	assert_int_equal(fake_common_read(&fx.d, 0x14, 2), 0xffff);
	assert_int_equal(fake_common_read(&fx.d, 0x10, 4), UINT32_MAX);
	assert_int_equal(fake_common_read(&fx.d, 0x38, 4), UINT32_MAX);
	assert_int_equal(fake_common_read(&fx.d, 0xff8, 8), UINT64_MAX);
	/* Read-only ones. */
	fake_common_write(&fx.d, 0x04, 4, 0);
	fake_common_write(&fx.d, 0x12, 2, 9);
	fake_common_write(&fx.d, 0x15, 1, 9);
	fake_common_write(&fx.d, 0x1e, 2, 9);
	assert_int_equal(fake_common_read(&fx.d, 0x12, 2), 1);
	assert_int_equal(fake_common_read(&fx.d, 0x15, 1), 0);
	assert_int_equal(fake_common_read(&fx.d, 0x1e, 2), 0);
	/* The other windows take anything. */
	for (unsigned offset = 0; offset < VIRTIO_PCI_REGS_SIZE; offset++)
		for (unsigned size = 1; size <= 8; size *= 2) {
			if (offset + size > VIRTIO_PCI_REGS_SIZE)
				continue;
			(void)bus_read(fx.f->m.bus, BUS_MMIO, fx.d.common + offset, size);
			if (offset >= 0x1000)
				bus_write(fx.f->m.bus, BUS_MMIO, fx.d.common + offset, size,
					UINT64_MAX);
		}
	assert_int_equal(fake_driver_status(&fx.d), 0xb);
	destroy(&fx);
}

static void enter_state(struct fixture *fx, unsigned which)
{
	fake_driver_reset(&fx->d);
	fx->d.heap = FAKE_DRIVER_HEAP;
	if (which == 0)
		return;
	fake_common_write(&fx->d, 0x14, 1, which == 1 ? 1 : 3);
	if (which <= 2)
		return;
	(void)fake_driver_negotiate(&fx->d, UINT64_MAX);
	if (which == 3)
		return;
	fake_driver_setup_queue(&fx->d, 0, 16);
	if (which == 4)
		return;
	fake_common_write(&fx->d, 0x14, 1, 0xf);
	fake_driver_turn(&fx->d);
	if (which == 5)
		return;
	fake_ring_set_avail_idx(&fx->d.rings[0], 0x8000);
	fake_driver_kick(&fx->d, 0);
	assert_int_equal(fake_driver_status(&fx->d), 0x4f);
}

/* Every register, in every state, gets sixteen values. What was enabled keeps its geometry, a running device keeps
 * running, and after a reset everything is as it was (CVE-2026-5747's class). */
static void test_register_sweep(void **state)
{
	static const uint64_t values[] = {0, 1, 2, 3, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000,
		0xffff, 0x7fffffff, UINT32_MAX, UINT64_MAX};
	static const struct {
		uint8_t offset, size;
	} regs[] = {{0x00, 4}, {0x04, 4}, {0x08, 4}, {0x0c, 4}, {0x10, 2}, {0x12, 2}, {0x14, 1},
		{0x15, 1}, {0x16, 2}, {0x18, 2}, {0x1a, 2}, {0x1c, 2}, {0x1e, 2}, {0x20, 4},
		{0x24, 4}, {0x20, 8}, {0x28, 4}, {0x2c, 4}, {0x28, 8}, {0x30, 4}, {0x34, 4},
		{0x30, 8}, {0x38, 2}, {0x3a, 2}};
	struct fixture fx;

	(void)state;
	build(&fx);
	for (unsigned which = 0; which <= 6; which++)
		for (unsigned reg = 0; reg < ARRAY_SIZE(regs); reg++)
			for (unsigned i = 0; i < ARRAY_SIZE(values); i++) {
				const struct virtq *q = &fx.v->queues[0];
				struct virtq before;

				enter_state(&fx, which);
				before = *q;
				fake_common_write(
					&fx.d, regs[reg].offset, regs[reg].size, values[i]);
				fake_driver_turn(&fx.d);
				/* Nothing before FEATURES_OK. */
				if (which < 3)
					assert_memory_equal(q, &before, sizeof(before));
				/* Writing 0 to the status is the one way out. */
				if (which >= 4 &&
					!(regs[reg].offset == 0x14 && !(values[i] & 0xff)))
					assert_memory_equal(
						q, &before, offsetof(struct virtq, last_avail));
				if (which == 5 && regs[reg].offset != 0x14 && !works(&fx))
					fail_msg("register %#x, value %#llx", regs[reg].offset,
						(unsigned long long)values[i]);
				if (which == 6 && regs[reg].offset != 0x14)
					assert_int_equal(fake_driver_status(&fx.d), 0x4f);
			}
	assert_true(fx.v->ignored_writes > 0);
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_true(works(&fx));
	destroy(&fx);
}

static void test_notify(void **state)
{
	struct fixture fx;
	struct fake_part part;

	(void)state;
	build(&fx);
	/* Before anything is enabled, and for queues there are not. */
	for (unsigned i = 0; i < 1024; i++)
		bus_write(fx.f->m.bus, BUS_MMIO, fx.d.notify + 4 * i, 2, i);
	fake_driver_turn(&fx.d);
	/* Rung before DRIVER_OK: answered after it. */
	(void)fake_driver_negotiate(&fx.d, UINT64_MAX);
	fake_driver_setup_queue(&fx.d, 0, 16);
	part = (struct fake_part){fake_driver_alloc(&fx.d, 16), 16, true};
	(void)fake_driver_add(&fx.d, 0, &part, 1);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[0]), 0);
	fake_common_write(&fx.d, 0x14, 1, 0xf);
	fake_driver_turn(&fx.d);
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[0]), 1);
	/* Without bus mastering nothing is read or written; later it is made up for. */
	fake_pci_write(fx.f, fx.d.slot, 4, 2, 2);
	(void)fake_driver_add(&fx.d, 0, &part, 1);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[0]), 1);
	fake_pci_write(fx.f, fx.d.slot, 4, 2, 6);
	fake_driver_turn(&fx.d);
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[0]), 2);
	destroy(&fx);
}

static void test_vectors(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, ~VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
	(void)fake_driver_interrupts(&fx.d, 1);
	assert_true(works(&fx));
	assert_int_equal(fake_driver_interrupts(&fx.d, 1), 1);
	fake_common_write(&fx.d, 0x1a, 2, 2); /* beyond the table */
	assert_int_equal(fake_common_read(&fx.d, 0x1a, 2), 0xffff);
	assert_true(works(&fx));
	assert_int_equal(fake_driver_interrupts(&fx.d, 1), 0);
	fake_common_write(&fx.d, 0x1a, 2, 0);
	assert_true(works(&fx));
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 1);
	fake_common_write(&fx.d, 0x10, 2, 0xfffe);
	assert_int_equal(fake_common_read(&fx.d, 0x10, 2), 0xffff);
	/* A failure without a vector: no interrupt, nothing else. */
	fake_ring_set_avail_idx(&fx.d.rings[0], 0x8000);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(fake_driver_status(&fx.d), 0x4f);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 0);
	/* MSI-X never raises the line. */
	assert_false(irq_line_level(fx.f->m.irq, LAYOUT_GSI_INTX_BASE + fx.d.slot));
	destroy(&fx);
}

static void test_intx(void **state)
{
	struct fixture fx;
	unsigned gsi, cap;

	(void)state;
	build(&fx);
	gsi = LAYOUT_GSI_INTX_BASE + fx.d.slot % LAYOUT_GSI_INTX_COUNT;
	fake_driver_start(&fx.d, ~VIRTIO_BIT(VIRTIO_F_EVENT_IDX));
	/* MSI-X off. */
	cap = container_of(fx.dev, struct virtio_pci, pci.dev)->pci.msix.cap;
	fake_pci_write(fx.f, fx.d.slot, cap + 2, 2, 0);
	assert_true(works(&fx));
	assert_true(irq_line_level(fx.f->m.irq, gsi));
	assert_int_equal(bus_read(fx.f->m.bus, BUS_MMIO, fx.d.isr, 1), 1);
	assert_false(irq_line_level(fx.f->m.irq, gsi));
	assert_int_equal(bus_read(fx.f->m.bus, BUS_MMIO, fx.d.isr, 1), 0);
	fake_ring_set_avail_idx(&fx.d.rings[0], 0x8000);
	fake_driver_kick(&fx.d, 0);
	assert_true(irq_line_level(fx.f->m.irq, gsi));
	assert_int_equal(bus_read(fx.f->m.bus, BUS_MMIO, fx.d.isr, 1), 2);
	fake_driver_reset(&fx.d);
	assert_false(irq_line_level(fx.f->m.irq, gsi));
	destroy(&fx);
}

/* The window in configuration space reaches the same registers. */
static void test_cfg_window(void **state)
{
	struct fixture fx;
	unsigned cap;

	(void)state;
	build(&fx);
	cap = fx.d.cfg_cap;
	assert_true(cap != 0);
	fake_pci_write(fx.f, fx.d.slot, cap + 4, 1, 4);
	fake_pci_write(fx.f, fx.d.slot, cap + 8, 4, 0x14);
	fake_pci_write(fx.f, fx.d.slot, cap + 12, 4, 1);
	fake_pci_write(fx.f, fx.d.slot, cap + 16, 1, 3);
	assert_int_equal(fake_driver_status(&fx.d), 3);
	assert_int_equal(fake_pci_read(fx.f, fx.d.slot, cap + 16, 1), 3);
	assert_int_equal(fake_pci_read(fx.f, fx.d.slot, cap + 16, 4), 3);
	fake_pci_write(fx.f, fx.d.slot, cap + 8, 4, 0x18);
	fake_pci_write(fx.f, fx.d.slot, cap + 12, 4, 2);
	assert_int_equal(fake_pci_read(fx.f, fx.d.slot, cap + 16, 2), VIRTQ_MAX_SIZE);
	/* Crooked, too long, beyond the end, another BAR: nothing happens. */
	static const struct {
		uint32_t bar, offset, len;
	} bad[] = {{4, 0x14, 0}, {4, 0x14, 3}, {4, 0x14, 8}, {4, 0x14, UINT32_MAX}, {4, 0x15, 2},
		{4, 0x4000, 1}, {4, 0x3fff, 2}, {4, UINT32_MAX, 1}, {4, UINT32_MAX - 3, 4},
		{0, 0x14, 1}, {1, 0x14, 1}, {5, 0x14, 1}, {255, 0x14, 1}};
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_pci_write(fx.f, fx.d.slot, cap + 4, 1, bad[i].bar);
		fake_pci_write(fx.f, fx.d.slot, cap + 8, 4, bad[i].offset);
		fake_pci_write(fx.f, fx.d.slot, cap + 12, 4, bad[i].len);
		fake_pci_write(fx.f, fx.d.slot, cap + 16, 4, 0);
		(void)fake_pci_read(fx.f, fx.d.slot, cap + 16, 4);
		assert_int_equal(fake_driver_status(&fx.d), 3);
	}
	destroy(&fx);
}

/* Rings and buffers above 4 GiB. */
static void test_high_memory(void **state)
{
	struct fixture fx;

	(void)state;
	build_with(&fx, GIB(3) + MIB(16), true);
	fx.d.heap = LAYOUT_HIGH_RAM_BASE;
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_true(fx.v->queues[0].desc_gpa.v >= GIB(4));
	assert_true(works(&fx));
	destroy(&fx);
}

static void test_storm(void **state)
{
	struct fixture fx;
	uint32_t seed = 3;

	(void)state;
	build_with(&fx, MIB(4), true);
	for (unsigned i = 0; i < 300000; i++) {
		unsigned size, offset;

		seed = seed * 1664525 + 1013904223;
		size = 1U << (seed >> 30);
		offset = (seed >> 8) & (seed & 0x80 ? 0x3fff : 0x3f);
		if (offset + size > VIRTIO_PCI_REGS_SIZE)
			continue;
		if (seed & 0x40)
			fake_bus_write(fx.f, BUS_MMIO, fx.d.common + offset, size,
				seed & 0x20 ? seed >> 24 : seed * UINT64_C(0x9e3779b97f4a7c15));
		else
			(void)bus_read(fx.f->m.bus, BUS_MMIO, fx.d.common + offset, size);
		if (!(seed & 0x1f))
			fake_driver_turn(&fx.d);
	}
	fx.d.heap = FAKE_DRIVER_HEAP;
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_true(works(&fx));
	destroy(&fx);
}

static void test_save_load(void **state)
{
	struct fixture a, b;

	(void)state;
	build_with(&a, MIB(4), true);
	build_with(&b, MIB(4), true);
	fake_driver_start(&a.d, UINT64_MAX);
	assert_true(works(&a));
	fake_pci_write(a.f, a.d.slot, 0x20, 4, LAYOUT_PCI32_END - MIB(1));
	fake_common_write(&a.d, 0x00, 4, 1);
	assert_true(a.dev->class->ops->quiesce(a.dev));
	memcpy(b.f->m.mem->regions[0].host, a.f->m.mem->regions[0].host, MIB(4));
	assert_int_equal(fake_save_load(a.dev, b.dev), 0);
	b.dev->class->ops->resume(b.dev);
	b.d = a.d;
	b.d.f = b.f;
	b.d.rings[0].mem = b.f->m.mem;
	b.d.common = LAYOUT_PCI32_END - MIB(1);
	b.d.notify = b.d.common + 0x3000;
	assert_int_equal(b.f->n_doorbells, 1);
	assert_int_equal(b.f->doorbells[0].addr, b.d.notify);
	assert_true(works(&b));
	assert_true(fake_driver_interrupts(&b.d, 1) >= 1);
	destroy(&a);
	destroy(&b);
}

/* A bad section leaves the device as it was, running. Each byte is changed once. */
static void test_load_corrupt(void **state)
{
	struct fixture a, b;
	struct state_writer w;
	struct state_reader good, r;
	size_t offset = 0;
	uint8_t *payload;

	(void)state;
	build(&a);
	build(&b);
	fake_driver_start(&a.d, UINT64_MAX);
	assert_true(a.dev->class->ops->quiesce(a.dev));
	state_writer_init(&w);
	assert_int_equal(device_save(a.dev, &w), 0);
	assert_int_equal(state_next(w.data, w.len, &offset, &good), 1);
	payload = w.data + (good.data - w.data);
	for (size_t i = 0; i < good.len; i++) {
		uint8_t saved = payload[i];

		if (fake_driver_status(&b.d) != 0xf)
			fake_driver_start(&b.d, UINT64_MAX);
		payload[i] ^= 0xff;
		r = good;
		if (device_load(b.dev, &r) < 0) {
			assert_int_equal(fake_driver_status(&b.d), 0xf);
			b.d.heap = MIB(1);
			assert_true(works(&b));
		} else {
			/* Possible, and different: a queue elsewhere, another vector. */
			b.dev->class->ops->resume(b.dev);
			fake_driver_turn(&b.d);
			device_reset(b.dev);
			assert_true(fake_driver_probe(&b.d, b.f, 4));
		}
		payload[i] = saved;
	}
	state_writer_done(&w);
	destroy(&a);
	destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity),
		cmocka_unit_test(test_with_doorbells),
		cmocka_unit_test(test_queue_select),
		cmocka_unit_test(test_access_sizes),
		cmocka_unit_test(test_register_sweep),
		cmocka_unit_test(test_notify),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_cfg_window),
		cmocka_unit_test(test_high_memory),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_load_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
