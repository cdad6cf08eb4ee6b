/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A PCI function: header, capabilities, BARs and their moves, INTx, save and load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "devices/pci/pci.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/guest-plug.h"

#define BAR_LOW  0 /* 32-bit, 4 KiB */
#define BAR_HIGH 2 /* 64-bit, 64 KiB */
#define SLOT_A   1
#define SLOT_B   2

/* A function that answers its BARs with which one it is. */
struct thing {
	struct pci_device pci;
	unsigned n_mapped[PCI_N_BARS], n_unmapped[PCI_N_BARS];
	uint64_t addr[PCI_N_BARS];
	uint64_t written;
};

static struct thing *thing_of(struct device *dev)
{
	return container_of(dev, struct thing, pci.dev);
}

static void note_mapped(struct pci_device *pci, unsigned bar, uint64_t addr, bool on)
{
	struct thing *t = container_of(pci, struct thing, pci);

	if (on)
		t->n_mapped[bar]++;
	else
		t->n_unmapped[bar]++;
	t->addr[bar] = addr;
}

static const struct pci_ops thing_pci_ops = {.bar_mapped = note_mapped};

static int thing_realize(struct device *dev)
{
	static const struct pci_id id = {
		.vendor = 0x1234,
		.device = 0x5678,
		.subsystem_vendor = 0x9abc,
		.subsystem = 0xdef0,
		.class = PCI_CLASS_COMM_OTHER,
		.revision = 7,
		.pin = 1,
	};
	struct pci_device *pci = &thing_of(dev)->pci;
	int r;

	r = pci_device_init(pci, &thing_pci_ops, &id,
		(struct vm_pci_addr){.set = 1, .slot = (uint8_t)(SLOT_A + dev->instance)});
	if (r < 0)
		return r;
	pci_add_bar(pci, BAR_LOW, 4096, 0);
	pci_add_bar(pci, BAR_HIGH, 65536, PCI_BAR_64 | PCI_BAR_PREFETCH);
	pci_add_express_cap(pci);
	(void)pci_add_cap(pci, PCI_CAP_VENDOR, "\0\0\x08vendr", 8);
	pci_device_realized(pci);
	return 0;
}

static void thing_unrealize(struct device *dev)
{
	pci_device_done(&thing_of(dev)->pci);
}

static void thing_reset(struct device *dev)
{
	pci_device_reset(&thing_of(dev)->pci);
}

static uint64_t thing_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	(void)size;
	return (uint64_t)dev->instance << 32 | (uint64_t)region << 24 | offset;
}

static void thing_write(
	struct device *dev, unsigned region, uint64_t offset, unsigned size, uint64_t value)
{
	(void)region;
	(void)offset;
	(void)size;
	thing_of(dev)->written = value;
}

static void thing_save(const struct device *dev, struct state_writer *w)
{
	pci_device_save((const struct pci_device *)(const void *)dev, w);
}

static int thing_load(struct device *dev, struct state_reader *r)
{
	struct pci_state s;

	if (pci_state_load(&thing_of(dev)->pci, r, &s) < 0 || state_reader_end(r) < 0)
		return -EBADMSG;
	pci_state_apply(&thing_of(dev)->pci, &s);
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
	.size = sizeof(struct thing),
	.ops = &thing_ops,
};

struct fixture {
	struct fake_machine *f;
	struct device *root, *a, *b;
};

static void build(struct fixture *fx)
{
	*fx = (struct fixture){.f = fake_machine_new(MIB(4))};
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(device_new(&thing_class, &fx->f->m, 0, &fx->a), 0);
	assert_int_equal(device_new(&thing_class, &fx->f->m, 1, &fx->b), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx->root), 0);
}

static void destroy(struct fixture *fx)
{
	(void)device_free(fx->a);
	(void)device_free(fx->b);
	(void)device_free(fx->root);
	(void)fake_machine_free(fx->f);
}

static uint64_t cfg(struct fixture *fx, unsigned offset, unsigned size)
{
	return fake_pci_read(fx->f, SLOT_A, offset, size);
}

static void set_cfg(struct fixture *fx, unsigned offset, unsigned size, uint64_t value)
{
	fake_pci_write(fx->f, SLOT_A, offset, size, value);
}

static uint64_t mmio(struct fixture *fx, uint64_t addr)
{
	return bus_read(fx->f->m.bus, BUS_MMIO, addr, 8);
}

static uint64_t bar64(struct fixture *fx, unsigned slot)
{
	return (fake_pci_read(fx->f, slot, 0x18, 4) & ~UINT64_C(15)) |
		fake_pci_read(fx->f, slot, 0x1c, 4) << 32;
}

static void test_header(void **state)
{
	struct fixture fx;
	unsigned cap;

	(void)state;
	build(&fx);
	assert_int_equal(cfg(&fx, 0, 4), 0x56781234);
	assert_int_equal(cfg(&fx, 0x2c, 4), 0xdef09abc);
	assert_int_equal(cfg(&fx, 8, 4), 0x07800007);
	assert_int_equal(cfg(&fx, 0x0e, 1), 0);
	assert_int_equal(cfg(&fx, 0x3c, 2), 0x100 | (16 + SLOT_A));
	assert_int_equal(cfg(&fx, 4, 4), 0x00100002);
	cap = (unsigned)cfg(&fx, 0x34, 1);
	assert_int_equal(cfg(&fx, cap, 1), 0x10);
	assert_int_equal(cfg(&fx, cap + 2, 2), 0x92);
	cap = (unsigned)cfg(&fx, cap + 1, 1);
	assert_int_equal(cfg(&fx, cap, 4), 0x76080009);
	assert_int_equal(cfg(&fx, cap + 1, 1), 0);
	/* Everything that is not meant to be written stays. */
	for (unsigned i = 0; i < 4096; i += 4) {
		uint64_t before = cfg(&fx, i, 4);

		if (i == 4 || (i >= 0x10 && i < 0x28))
			continue;
		set_cfg(&fx, i, 4, UINT32_MAX);
		if (i != 0x0c && i != 0x3c && i != 0x48 && cfg(&fx, i, 4) != before)
			fail_msg("register %#x changed", i);
		set_cfg(&fx, i, 4, before);
	}
	assert_int_equal(cfg(&fx, 0x3e, 2), 0);
	assert_int_equal(cfg(&fx, 0x100, 4), 0);
	assert_int_equal(cfg(&fx, 0xffc, 4), 0);
	destroy(&fx);
}

static void test_bar_sizing(void **state)
{
	struct fixture fx;
	uint64_t low, high;

	(void)state;
	build(&fx);
	low = cfg(&fx, 0x10, 4);
	high = bar64(&fx, SLOT_A);
	assert_true(low >= LAYOUT_PCI32_BASE && low + 4096 <= LAYOUT_PCI32_END);
	assert_true(high >= LAYOUT_PCI32_BASE && high + 65536 <= LAYOUT_PCI32_END);
	assert_int_equal(cfg(&fx, 0x18, 4) & 15, 0xc);
	/* As a guest does it: decode off, all ones, read, put back, decode on. */
	set_cfg(&fx, 4, 2, 0);
	set_cfg(&fx, 0x10, 4, UINT32_MAX);
	assert_int_equal(cfg(&fx, 0x10, 4), 0xfffff000);
	set_cfg(&fx, 0x18, 4, UINT32_MAX);
	set_cfg(&fx, 0x1c, 4, UINT32_MAX);
	assert_int_equal(cfg(&fx, 0x18, 4), 0xffff000c);
	assert_int_equal(cfg(&fx, 0x1c, 4), 0xffffffff);
	set_cfg(&fx, 0x14, 4, UINT32_MAX);
	assert_int_equal(cfg(&fx, 0x14, 4), 0);
	set_cfg(&fx, 0x30, 4, UINT32_MAX);
	assert_int_equal(cfg(&fx, 0x30, 4), 0);
	assert_int_equal(mmio(&fx, low), UINT64_MAX);
	set_cfg(&fx, 0x10, 4, low);
	set_cfg(&fx, 0x18, 4, high);
	set_cfg(&fx, 0x1c, 4, high >> 32);
	set_cfg(&fx, 4, 2, 2);
	assert_int_equal(mmio(&fx, low + 8), 8);
	assert_int_equal(mmio(&fx, high + 16), 0x2000010);
	/* And carelessly, with decode on. */
	set_cfg(&fx, 0x10, 4, UINT32_MAX);
	assert_int_equal(cfg(&fx, 0x10, 4), 0xfffff000);
	set_cfg(&fx, 0x10, 4, low);
	assert_int_equal(mmio(&fx, low + 8), 8);
	destroy(&fx);
}

static void test_bar_moves(void **state)
{
	static const uint64_t taken[] = {
		0,                           /* RAM */
		0xf000,                      /* RAM */
		MIB(4) - 0x10000,            /* the end of RAM */
		LAYOUT_ECAM_BASE,            /* ECAM */
		LAYOUT_ECAM_BASE + MIB(255), /* ECAM */
		LAYOUT_LAPIC_BASE,           /* the local APICs, which no range of the bus shows */
		LAYOUT_LAPIC_BASE - 0x10000 + 4096, /* is rounded down: free */
		UINT64_MAX - 0xffff,                /* the last 64 KiB there are: free */
	};
	struct fixture fx;
	struct thing *t;

	(void)state;
	build(&fx);
	t = thing_of(fx.a);
	for (unsigned i = 0; i < ARRAY_SIZE(taken); i++) {
		bool is_free = i >= 6;
		uint64_t addr = taken[i] & ~UINT64_C(0xffff);

		set_cfg(&fx, 0x18, 4, (uint32_t)taken[i]);
		set_cfg(&fx, 0x1c, 4, taken[i] >> 32);
		assert_int_equal(bar64(&fx, SLOT_A), addr);
		assert_int_equal(t->pci.bars[BAR_HIGH].mapped, is_free);
		if (is_free)
			assert_int_equal(mmio(&fx, addr), 0x2000000);
	}
	/* ECAM itself still works, and the root still answers. */
	assert_int_equal(fake_pci_read(fx.f, 0, 0, 4), 0x29c08086);
	assert_int_equal(t->n_mapped[BAR_HIGH], t->n_unmapped[BAR_HIGH] + 1);
	destroy(&fx);
}

/* Where memory can be plugged in, the guest would find one or the other, by what is usable just then. */
static void test_bar_on_plugged(void **state)
{
	const struct guest_file room = {.fd = -EBADF, .size = GIB(2), .page_len = 4096};
	struct fixture fx;
	struct thing *t;

	(void)state;
	build(&fx);
	t = thing_of(fx.a);
	assert_int_equal(guest_plug_init(&fx.f->mem, &room, NULL, NULL), 0);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t addr = layout_plug_base(MIB(4)) + i * (GIB(1) - 0x8000);

		addr = ALIGN_DOWN(addr, UINT64_C(0x10000));
		set_cfg(&fx, 0x18, 4, (uint32_t)addr);
		set_cfg(&fx, 0x1c, 4, addr >> 32);
		assert_int_equal(bar64(&fx, SLOT_A), addr);
		assert_false(t->pci.bars[BAR_HIGH].mapped);
	}
	set_cfg(&fx, 0x18, 4, (uint32_t)layout_pci64_base(MIB(4), room.size));
	set_cfg(&fx, 0x1c, 4, layout_pci64_base(MIB(4), room.size) >> 32);
	assert_true(t->pci.bars[BAR_HIGH].mapped);
	destroy(&fx);
}

/* On top of another BAR: the first one keeps the place; when it leaves, the second gets it. */
static void test_bar_on_bar(void **state)
{
	struct fixture fx;
	uint64_t place, free_place = 0xd0000000;

	(void)state;
	build(&fx);
	place = bar64(&fx, SLOT_B);
	set_cfg(&fx, 0x18, 4, place);
	assert_false(thing_of(fx.a)->pci.bars[BAR_HIGH].mapped);
	assert_int_equal(mmio(&fx, place), UINT64_C(1) << 32 | 0x2000000);
	fake_pci_write(fx.f, SLOT_B, 0x18, 4, free_place);
	assert_int_equal(mmio(&fx, place), 0x2000000);
	assert_int_equal(mmio(&fx, free_place), UINT64_C(1) << 32 | 0x2000000);
	/* Its own two BARs on one place: the lower one wins. */
	set_cfg(&fx, 0x10, 4, 0xd8000000);
	set_cfg(&fx, 0x18, 4, 0xd8000000);
	assert_int_equal(mmio(&fx, 0xd8000000), 0);
	set_cfg(&fx, 0x10, 4, 0xd9000000);
	assert_int_equal(mmio(&fx, 0xd8000000), 0x2000000);
	/* A reset of A takes it back to where B now sits... */
	fake_pci_write(fx.f, SLOT_B, 0x18, 4, pci_get32(thing_of(fx.a)->pci.initial + 0x18));
	device_reset(fx.a);
	assert_false(thing_of(fx.a)->pci.bars[BAR_HIGH].mapped);
	/* ... and the reset of B leaves everything as at the start. */
	device_reset(fx.b);
	assert_int_equal(mmio(&fx, bar64(&fx, SLOT_A)), 0x2000000);
	assert_int_equal(mmio(&fx, place), UINT64_C(1) << 32 | 0x2000000);
	destroy(&fx);
}

static void test_storm(void **state)
{
	struct fixture fx;
	uint32_t seed = 1;

	(void)state;
	build(&fx);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned slot, offset, size;

		seed = seed * 1664525 + 1013904223;
		slot = seed >> 28 & 3;
		offset = seed >> 16 & (seed & 0x8000 ? 0xfff : 0xff);
		size = 1U << (seed >> 13 & 3);
		if (seed & 0x1000)
			fake_pci_write(fx.f, slot, offset, size, seed * UINT64_C(0x100000001));
		else
			(void)fake_pci_read(fx.f, slot, offset, size);
	}
	device_reset(fx.a);
	device_reset(fx.b);
	assert_int_equal(mmio(&fx, bar64(&fx, SLOT_A)), 0x2000000);
	destroy(&fx);
}

static void test_intx(void **state)
{
	struct fixture fx;
	unsigned gsi = LAYOUT_GSI_INTX_BASE + SLOT_A;
	struct pci_device *pci;

	(void)state;
	build(&fx);
	pci = &thing_of(fx.a)->pci;
	pci_set_intx(pci, true);
	assert_true(irq_line_level(fx.f->m.irq, gsi));
	assert_int_equal(cfg(&fx, 6, 2), 0x18);
	set_cfg(&fx, 4, 2, PCI_CMD_INTX_DISABLE | PCI_CMD_MEMORY);
	assert_false(irq_line_level(fx.f->m.irq, gsi));
	assert_int_equal(cfg(&fx, 6, 2), 0x18);
	set_cfg(&fx, 4, 2, PCI_CMD_MEMORY);
	assert_true(irq_line_level(fx.f->m.irq, gsi));
	pci_set_intx(pci, false);
	assert_false(irq_line_level(fx.f->m.irq, gsi));
	assert_int_equal(cfg(&fx, 6, 2), 0x10);
	pci_set_intx(pci, true);
	device_reset(fx.a);
	assert_false(irq_line_level(fx.f->m.irq, gsi));
	pci_set_intx(pci, true);
	fx.a = device_free(fx.a);
	assert_false(irq_line_level(fx.f->m.irq, gsi));
	destroy(&fx);
}

static void test_save_load(void **state)
{
	struct fixture a, b;

	(void)state;
	build(&a);
	build(&b);
	set_cfg(&a, 0x10, 4, 0xd0000000);
	set_cfg(&a, 0x0c, 1, 0x10);
	pci_set_intx(&thing_of(a.a)->pci, true);
	assert_int_equal(fake_save_load(a.a, b.a), 0);
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(cfg(&a, i, 1), cfg(&b, i, 1));
	assert_int_equal(mmio(&b, 0xd0000000), 0);
	assert_true(irq_line_level(b.f->m.irq, LAYOUT_GSI_INTX_BASE + SLOT_A));
	destroy(&a);
	destroy(&b);
}

static void test_load_corrupt(void **state)
{
	struct fixture fx;
	struct state_writer w;
	struct state_reader good, r;
	size_t offset = 0;
	uint8_t *payload;

	(void)state;
	build(&fx);
	state_writer_init(&w);
	assert_int_equal(device_save(fx.a, &w), 0);
	assert_int_equal(state_next(w.data, w.len, &offset, &good), 1);
	payload = w.data + (good.data - w.data);
	for (unsigned i = 0; i < 256; i++) {
		uint8_t fixed = (uint8_t)~thing_of(fx.a)->pci.wmask[i];

		if (!fixed || i == PCI_REG_STATUS)
			continue;
		payload[i] ^= fixed;
		r = good;
		assert_int_equal(device_load(fx.a, &r), -EBADMSG);
		payload[i] ^= fixed;
	}
	payload[256] = 2; /* intx */
	r = good;
	assert_int_equal(device_load(fx.a, &r), -EBADMSG);
	payload[256] = 0;
	payload[257] = 1; /* a pending bit, without MSI-X */
	r = good;
	assert_int_equal(device_load(fx.a, &r), -EBADMSG);
	payload[257] = 0;
	r = good;
	assert_int_equal(device_load(fx.a, &r), 0);
	state_writer_done(&w);
	destroy(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_bar_sizing),
		cmocka_unit_test(test_bar_moves),
		cmocka_unit_test(test_bar_on_plugged),
		cmocka_unit_test(test_bar_on_bar),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_intx),
		cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_load_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
