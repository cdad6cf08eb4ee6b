/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cards that come and go: the registers, the event, what is withdrawn when, and the places of BARs of who comes later. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "devices/pci/pci.h"
#include "tests/fakes/fake-driver.h"
#include "tests/fakes/fuzz-device.h"
#include "vmm-core/acpi/acpi-hw.h"

#define UP    ACPI_PCI_HOTPLUG_UP
#define DOWN  ACPI_PCI_HOTPLUG_DOWN
#define EJECT ACPI_PCI_HOTPLUG_EJECT
#define EVENT (1U << ACPI_GPE_PCI_HOTPLUG)

/* A function with two BARs. */
struct card {
	struct pci_device pci;
	unsigned n_resets;
};

static struct card *to_card(struct device *dev)
{
	return container_of(dev, struct card, pci.dev);
}

static int card_realize(struct device *dev)
{
	static const struct pci_id id = {.vendor = 0x1234, .class = PCI_CLASS_OTHERS};
	struct pci_device *pci = &to_card(dev)->pci;
	int r = pci_device_init(pci, NULL, &id, (struct vm_pci_addr){0});

	if (r < 0)
		return r;
	pci_add_bar(pci, 0, dev->instance ? 4096 : 65536, 0);
	pci_add_bar(pci, 4, 16384, PCI_BAR_64);
	pci_device_realized(pci);
	return 0;
}

static void card_unrealize(struct device *dev)
{
	pci_device_done(&to_card(dev)->pci);
}

static void card_reset(struct device *dev)
{
	to_card(dev)->n_resets++;
	pci_device_reset(&to_card(dev)->pci);
}

static uint64_t card_read(struct device *dev, unsigned region, uint64_t offset, unsigned size)
{
	(void)offset;
	(void)size;
	return dev->instance << 8 | region;
}

static const struct device_ops card_ops = {
	.realize = card_realize,
	.unrealize = card_unrealize,
	.reset = card_reset,
	.read = card_read,
};
static const struct device_class card_class = {
	.name = "card", .size = sizeof(struct card), .ops = &card_ops};

struct fixture {
	struct fake_machine *f;
	struct device *pm, *root, *hotplug, *first;
};

static struct device *make(struct fixture *x, const struct device_class *class, unsigned instance)
{
	struct device *dev;

	assert_int_equal(device_new(class, &x->f->m, instance, &dev), 0);
	return dev;
}

/* A machine with one card in slot 1 from the start. */
static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->f = fake_machine_new(MIB(1));
	x->pm = make(x, &acpi_pm_class, 0);
	x->root = make(x, &q35_host_class, 0);
	x->hotplug = make(x, &pci_hotplug_class, 0);
	x->first = make(x, &card_class, 0);
	assert_int_equal(bus_add(x->f->m.bus, BUS_PIO, ACPI_PCI_HOTPLUG, ACPI_PCI_HOTPLUG_LEN,
				 x->hotplug, 0),
		0);
	assert_int_equal(q35_host_class.ops->machine_done(x->root), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	(void)device_free(x->first);
	(void)device_free(x->hotplug);
	assert_null(x->f->m.hotplug);
	(void)device_free(x->root);
	(void)device_free(x->pm);
	(void)fake_machine_free(x->f);
	free(x);
	return 0;
}

static uint32_t in(struct fixture *x, unsigned reg)
{
	return (uint32_t)bus_read(x->f->m.bus, BUS_PIO, ACPI_PCI_HOTPLUG + reg, 4);
}

static void out(struct fixture *x, unsigned reg, uint32_t value)
{
	bus_write(x->f->m.bus, BUS_PIO, ACPI_PCI_HOTPLUG + reg, 4, value);
}

/* The event came since the last look. */
static bool took_event(struct fixture *x)
{
	bool came = device_read(x->pm, 1, 0, 2) & EVENT;

	device_write(x->pm, 1, 0, 2, EVENT);
	return came;
}

static int plug(struct fixture *x, struct device *card)
{
	return x->f->m.hotplug_ops->plug(x->f->m.hotplug, card);
}

static void unplug(struct fixture *x, struct device *card)
{
	x->f->m.hotplug_ops->unplug(x->f->m.hotplug, card);
}

static struct device *ejected(struct fixture *x)
{
	return x->f->m.hotplug_ops->ejected(x->f->m.hotplug);
}

static void test_plug(void **state)
{
	struct fixture *x = *state;
	struct device *card = make(x, &card_class, 1);
	uint32_t place;

	assert_int_equal(in(x, UP), 0);
	assert_false(took_event(x));
	assert_int_equal(plug(x, card), 0);
	assert_true(took_event(x));
	assert_int_equal(in(x, UP), 1U << 2);
	/* The guest finds it as nobody has set it up, and gives it a place itself. */
	assert_int_equal(fake_pci_read(x->f, 2, 0, 2), 0x1234);
	assert_int_equal(fake_pci_read(x->f, 2, PCI_REG_COMMAND, 2), 0);
	assert_int_equal(fake_pci_read(x->f, 2, 0x10, 4), 0);
	fake_pci_write(x->f, 2, 0x10, 4, 0xd0000000);
	fake_pci_write(x->f, 2, PCI_REG_COMMAND, 2, PCI_CMD_MEMORY);
	assert_int_equal(bus_read(x->f->m.bus, BUS_MMIO, 0xd0000000, 4), 1 << 8);
	/* After a reset it has a place of its own, among those that the others had all along. */
	device_reset(card);
	assert_int_equal(fake_pci_read(x->f, 2, PCI_REG_COMMAND, 2), PCI_CMD_MEMORY);
	place = fake_pci_read(x->f, 2, 0x10, 4);
	assert_true(place >= LAYOUT_PCI32_BASE && place < LAYOUT_PCI32_END);
	for (unsigned bar = 0x10; bar <= 0x20; bar += 0x10)
		assert_int_not_equal(place, fake_pci_read(x->f, 1, bar, 4) & ~0xfU);
	assert_int_equal(bus_read(x->f->m.bus, BUS_MMIO, place, 4), 1 << 8);
	/* Its word is taken once, and only by whole words. */
	bus_write(x->f->m.bus, BUS_PIO, ACPI_PCI_HOTPLUG + UP, 1, 0xff);
	out(x, UP, 1U << 3);
	assert_int_equal(in(x, UP), 1U << 2);
	out(x, UP, 1U << 2);
	assert_int_equal(in(x, UP), 0);
	(void)device_free(card);
}

static void test_unplug(void **state)
{
	struct fixture *x = *state;
	struct device *card = make(x, &card_class, 1);
	unsigned n_resets;

	assert_int_equal(plug(x, card), 0);
	out(x, UP, in(x, UP));
	(void)took_event(x);
	/* Nobody asked for it: nothing happens. */
	out(x, EJECT, UINT32_MAX);
	assert_int_equal(fake_pci_read(x->f, 2, 0, 2), 0x1234);
	assert_int_equal(x->f->n_requests, 0);
	unplug(x, card);
	assert_true(took_event(x));
	assert_int_equal(in(x, DOWN), 1U << 2);
	out(x, DOWN, 1U << 2);
	assert_int_equal(in(x, DOWN), 0);
	/* Asked again, the guest is told again. */
	unplug(x, card);
	assert_true(took_event(x));
	assert_int_equal(in(x, DOWN), 1U << 2);
	assert_int_equal(fake_pci_read(x->f, 2, 0, 2), 0x1234);
	/* Another slot's bit is not its. */
	out(x, EJECT, 1U << 1 | 1U << 3);
	assert_int_equal(x->f->n_requests, 0);
	fake_pci_write(x->f, 2, 0x10, 4, 0xd0000000);
	fake_pci_write(x->f, 2, PCI_REG_COMMAND, 2, PCI_CMD_MEMORY);
	n_resets = to_card(card)->n_resets;
	out(x, EJECT, 1U << 2);
	/* Silent at once, whatever the guest had it do; freed later, by the vm. */
	assert_int_equal(x->f->n_requests, 1);
	assert_int_equal(x->f->requests[0], MACHINE_EJECT);
	assert_int_equal(to_card(card)->n_resets, n_resets + 1);
	assert_int_equal(fake_pci_read(x->f, 2, 0, 4), UINT32_MAX);
	fake_pci_write(x->f, 2, PCI_REG_COMMAND, 2, PCI_CMD_MEMORY);
	assert_int_equal(bus_read(x->f->m.bus, BUS_MMIO, 0xd0000000, 4), UINT32_MAX);
	device_reset(card);
	for (unsigned bar = 0; bar < PCI_N_BARS; bar++)
		assert_false(to_card(card)->pci.bars[bar].mapped);
	assert_int_equal(in(x, DOWN), 0);
	assert_false(pci_hotplug_class.ops->quiesce(x->hotplug));
	unplug(x, card); /* nothing more to be asked for */
	assert_int_equal(in(x, DOWN), 0);
	assert_ptr_equal(ejected(x), card);
	assert_null(ejected(x));
	assert_true(pci_hotplug_class.ops->quiesce(x->hotplug));
	(void)device_free(card);
	/* The slot and the places are free again. */
	card = make(x, &card_class, 1);
	assert_int_equal(to_card(card)->pci.slot, 2);
	assert_int_equal(plug(x, card), 0);
	(void)device_free(card);
}

/* Asked for, and then wanted again: neither the guest's late answer nor a reset takes it away. */
static void test_keep(void **state)
{
	struct fixture *x = *state;
	const struct machine_hotplug_ops *ops = x->f->m.hotplug_ops;

	assert_int_equal(ops->keep(x->hotplug, x->first), 0);
	unplug(x, x->first);
	assert_int_equal(ops->keep(x->hotplug, x->first), 0);
	assert_int_equal(in(x, DOWN), 0);
	out(x, EJECT, 1U << 1);
	device_reset(x->hotplug);
	assert_int_equal(x->f->n_requests, 0);
	assert_int_equal(fake_pci_read(x->f, 1, 0, 2), 0x1234);
	/* It can be asked for again; once it is gone it is too late. */
	unplug(x, x->first);
	out(x, EJECT, 1U << 1);
	assert_int_equal(ops->keep(x->hotplug, x->first), -ENODEV);
	assert_ptr_equal(ejected(x), x->first);
}

/* The guest that was asked is gone: what it did not answer is done. */
static void test_reset(void **state)
{
	struct fixture *x = *state;
	struct device *card = make(x, &card_class, 1);

	assert_int_equal(plug(x, card), 0);
	device_reset(x->hotplug);
	assert_int_equal(in(x, UP), 0);
	assert_int_equal(x->f->n_requests, 0);
	assert_int_equal(fake_pci_read(x->f, 2, 0, 2), 0x1234);
	unplug(x, card);
	unplug(x, x->first);
	device_reset(x->hotplug);
	device_reset(card);
	assert_int_equal(in(x, DOWN), 0);
	assert_int_equal(x->f->n_requests, 1);
	assert_int_equal(fake_pci_read(x->f, 1, 0, 4), UINT32_MAX);
	assert_int_equal(fake_pci_read(x->f, 2, 0, 4), UINT32_MAX);
	assert_ptr_equal(ejected(x), x->first);
	assert_ptr_equal(ejected(x), card);
	assert_null(ejected(x));
	(void)device_free(card);
}

/* As many times as one likes: nothing of a card that went stays. */
static void test_again_and_again(void **state)
{
	struct fixture *x = *state;

	for (unsigned i = 0; i < 1000; i++) {
		struct device *card = make(x, &card_class, 1);

		assert_int_equal(plug(x, card), 0);
		device_reset(card);
		unplug(x, card);
		out(x, EJECT, in(x, DOWN));
		assert_ptr_equal(ejected(x), card);
		(void)device_free(card);
	}
}

static void test_no_room(void **state)
{
	struct fixture *x = *state;
	struct device *card = make(x, &card_class, 1);

	to_card(card)->pci.bars[0].size = GIB(1);
	assert_int_equal(plug(x, card), -ENOSPC);
	assert_int_equal(in(x, UP), 0);
	assert_false(took_event(x));
	(void)device_free(card);
}

static void test_save_load(void **state)
{
	struct fixture *a = *state, *b;
	const struct fuzz_region region = {0, ACPI_PCI_HOTPLUG_LEN};
	struct fake_machine *bare = fake_machine_new(MIB(1));
	struct device *lone;
	void *other;

	(void)setup(&other);
	b = other;
	assert_int_equal(plug(a, a->first), 0);
	unplug(a, a->first);
	assert_save_load(a->hotplug, b->hotplug);
	assert_int_equal(in(b, UP), 2);
	/* What was asked for there is answered here. */
	out(b, EJECT, 2);
	assert_ptr_equal(ejected(b), b->first);
	assert_survives_corruption(a->hotplug, &region, 1);
	/* A card that is asked for has to be there. */
	unplug(a, a->first);
	assert_int_equal(device_new(&pci_hotplug_class, &bare->m, 0, &lone), 0);
	assert_int_equal(fake_save_load(a->hotplug, lone), -EBADMSG);
	(void)device_free(lone);
	(void)fake_machine_free(bare);
	(void)teardown(&other);
}

static void test_fuzz(void **state)
{
	struct fixture *x = *state, *b;
	const struct fuzz_region region = {0, ACPI_PCI_HOTPLUG_LEN};
	void *other;

	(void)setup(&other);
	b = other;
	assert_int_equal(plug(x, x->first), 0);
	fuzz_device(x->hotplug, b->hotplug, &region, 1);
	assert_null(ejected(x));
	(void)teardown(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_plug),
		TEST(test_unplug),
		TEST(test_keep),
		TEST(test_reset),
		TEST(test_again_and_again),
		TEST(test_no_room),
		TEST(test_save_load),
		TEST(test_fuzz),
	};

	return cmocka_run_group_tests_name("pci-hotplug", tests, NULL, NULL);
}
