/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The I/O APIC by its data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/one-device.h"

#define LEVEL  0x8000U
#define MASKED 0x10000U

static int setup(void **state)
{
	return one_device_setup(state, &ioapic_class);
}

static void write_reg(struct one_device *x, unsigned index, uint32_t value)
{
	device_write(x->dev, 0, 0x00, 4, index);
	device_write(x->dev, 0, 0x10, 4, value);
}

static uint32_t read_reg(struct one_device *x, unsigned index)
{
	device_write(x->dev, 0, 0x00, 1, index);
	return (uint32_t)device_read(x->dev, 0, 0x10, 4);
}

static void write_rte(struct one_device *x, unsigned pin, uint64_t rte)
{
	write_reg(x, 0x11 + 2 * pin, (uint32_t)(rte >> 32));
	write_reg(x, 0x10 + 2 * pin, (uint32_t)rte);
}

static void set_line(struct one_device *x, unsigned gsi, bool level)
{
	irq_set_line(x->f->m.irq, gsi, 0, level);
}

static void test_registers(void **state)
{
	struct one_device *x = *state;

	assert_int_equal(read_reg(x, 1), 0x00170020);
	write_reg(x, 0, 0xffffffff);
	assert_int_equal(read_reg(x, 0), 0x0f000000);
	write_reg(x, 1, 0);
	assert_int_equal(read_reg(x, 1), 0x00170020);
	for (unsigned pin = 0; pin < 24; pin++) {
		assert_int_equal(read_reg(x, 0x10 + 2 * pin), MASKED);
		assert_int_equal(read_reg(x, 0x11 + 2 * pin), 0);
	}
	assert_int_equal(read_reg(x, 0x40), 0xffffffff);
	write_reg(x, 0x40, 1);
	write_rte(x, 5,
		UINT64_MAX); /* delivery status and remote IRR are read-only, the rest of 17-48 reserved */
	assert_int_equal(read_reg(x, 0x1a), 0x1afff);
	assert_int_equal(read_reg(x, 0x1b), 0xfffe0000);
}

static void test_edge(void **state)
{
	struct one_device *x = *state;

	write_rte(x, 4, 0x31 | 3ULL << 56);
	set_line(x, 4, true);
	assert_int_equal(x->f->n_msis, 1);
	assert_int_equal(x->f->msis[0].address, 0xfee03000);
	assert_int_equal(x->f->msis[0].data, 0x31);
	irq_eoi(x->f->m.irq, 0x31);
	assert_int_equal(x->f->n_msis, 1);
	set_line(x, 4, false);
	set_line(x, 4, true);
	assert_int_equal(x->f->n_msis, 2);
	assert_int_equal(x->f->n_routes, 0); /* edges ask for no EOI */
}

static void test_masked_edge_is_lost(void **state)
{
	struct one_device *x = *state;

	write_rte(x, 4, 0x31 | MASKED);
	set_line(x, 4, true);
	write_rte(x, 4, 0x31);
	assert_int_equal(x->f->n_msis, 0);
}

static void test_level(void **state)
{
	struct one_device *x = *state;

	write_rte(x, 9, 0x41 | LEVEL | 1ULL << 56);
	assert_int_equal(x->f->n_routes, 1);
	assert_int_equal(x->f->routes[0].gsi, 9);
	assert_int_equal(x->f->routes[0].data, 0xc041);
	set_line(x, 9, true);
	assert_int_equal(x->f->n_msis, 1);
	assert_int_equal(read_reg(x, 0x22), 0xc041); /* remote IRR */
	set_line(x, 9, false);
	set_line(x, 9, true);
	assert_int_equal(x->f->n_msis, 1); /* in service */
	irq_eoi(x->f->m.irq, 0x42);
	assert_int_equal(x->f->n_msis, 1);
	irq_eoi(x->f->m.irq, 0x41);
	assert_int_equal(x->f->n_msis, 2); /* still asserted: sent again */
	set_line(x, 9, false);
	device_write(x->dev, 0, 0x40, 4, 0x41); /* the EOI register does the same */
	assert_int_equal(x->f->n_msis, 2);
	assert_int_equal(read_reg(x, 0x22), 0x8041);
}

static void test_level_masked_then_unmasked(void **state)
{
	struct one_device *x = *state;

	write_rte(x, 17, 0x51 | LEVEL | MASKED);
	set_line(x, 17, true);
	assert_int_equal(x->f->n_msis, 0);
	write_reg(x, 0x10 + 34, 0x51 | LEVEL);
	assert_int_equal(x->f->n_msis, 1);
	/* Masked while in service: the route stays, so that the EOI is seen. */
	write_reg(x, 0x10 + 34, 0x51 | LEVEL | MASKED);
	assert_int_equal(x->f->n_routes, 1);
	irq_eoi(x->f->m.irq, 0x51);
	assert_int_equal(read_reg(x, 0x10 + 34), 0x18051);
	assert_int_equal(x->f->n_msis, 1);
}

static void test_level_nobody_takes(void **state)
{
	struct one_device *x = *state;

	write_rte(x, 9, 0x41 | LEVEL);
	x->f->fail_next = -EINVAL;
	set_line(x, 9, true);
	assert_int_equal(read_reg(x, 0x22), 0x8041); /* no remote IRR: no EOI will come */
	write_rte(x, 9, 0x41 | LEVEL);
	assert_int_equal(x->f->n_msis, 1);
}

static void test_edge_switch_clears_remote_irr(void **state)
{
	struct one_device *x = *state;

	write_rte(x, 9, 0x41 | LEVEL);
	set_line(x, 9, true);
	write_rte(x, 9, 0x41 | MASKED);
	assert_int_equal(read_reg(x, 0x22), 0x10041);
	assert_int_equal(x->f->n_routes, 0);
	write_rte(x, 9, 0x41 | LEVEL);
	assert_int_equal(x->f->n_msis, 2);
}

static void test_line_0_is_pin_2(void **state)
{
	struct one_device *x = *state;

	write_rte(x, 2, 0x30);
	write_rte(x, 0, 0x29);
	set_line(x, 0, true);
	assert_int_equal(x->f->n_msis, 1);
	assert_int_equal(x->f->msis[0].data, 0x30);
	set_line(x, 2, true);
	assert_int_equal(x->f->n_msis, 1);
}

static void test_message_format(void **state)
{
	struct one_device *x = *state;

	/* Logical, lowest priority, APIC id 0x1234: low 8 bits in 56-63, the rest in 49-55. */
	write_rte(x, 1, 0x61 | 1 << 8 | 1 << 11 | 0x34ULL << 56 | 0x12ULL << 49);
	set_line(x, 1, true);
	assert_int_equal(x->f->msis[0].address, 0xfee34000 | 0x12 << 5 | 4);
	assert_int_equal(x->f->msis[0].data, 0x161);
}

static void test_partial_accesses(void **state)
{
	struct one_device *x = *state;

	write_reg(x, 0x10, 0x1234 & 0xff);
	device_write(x->dev, 0, 0x10, 1, 0x77); /* the window takes words */
	assert_int_equal(read_reg(x, 0x10), 0x34);
	assert_int_equal(device_read(x->dev, 0, 0x00, 4), 0x10);
	device_write(x->dev, 0, 0x00, 4, 1);
	assert_int_equal(device_read(x->dev, 0, 0x12, 2) & 0xffff, 0x17);
	assert_int_equal(device_read(x->dev, 0, 0x20, 4), 0);
}

static void test_reset(void **state)
{
	struct one_device *x = *state;

	write_rte(x, 9, 0x41 | LEVEL);
	set_line(x, 9, true);
	device_reset(x->dev);
	assert_int_equal(read_reg(x, 0x22), MASKED);
	assert_int_equal(x->f->n_routes, 0);
	write_rte(x, 9, 0x41 | LEVEL); /* the line is still up */
	assert_int_equal(x->f->n_msis, 2);
}

static void test_save_load(void **state)
{
	struct one_device *x = *state, y;

	one_device_init(&y, &ioapic_class);
	write_rte(x, 9, 0x41 | LEVEL);
	write_rte(x, 4, 0x31);
	set_line(x, 9, true);
	set_line(x, 4, true);
	assert_save_load(x->dev, y.dev);
	assert_int_equal(y.f->n_routes, 1);
	/* The devices drive their lines again when they are loaded: nothing new happens. */
	irq_set_line(y.f->m.irq, 9, 0, true);
	irq_set_line(y.f->m.irq, 4, 0, true);
	assert_int_equal(y.f->n_msis, 0);
	irq_eoi(y.f->m.irq, 0x41);
	assert_int_equal(y.f->n_msis, 1);
	one_device_done(&y);
}

static const struct fuzz_region regions[] = {{0, 0x44}, {0, 0x14}, {0, 0x1000}};

static void test_corrupt_state(void **state)
{
	struct one_device *x = *state;

	write_rte(x, 9, 0x41 | LEVEL);
	set_line(x, 9, true);
	assert_survives_corruption(x->dev, regions, ARRAY_SIZE(regions));
}

static void test_fuzz(void **state)
{
	struct one_device *x = *state;

	one_device_fuzz(x, regions, ARRAY_SIZE(regions));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_registers, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_edge, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_masked_edge_is_lost, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_level, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_level_masked_then_unmasked, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_level_nobody_takes, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_edge_switch_clears_remote_irr, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_line_0_is_pin_2, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_message_format, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_partial_accesses, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_save_load, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_corrupt_state, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, one_device_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
