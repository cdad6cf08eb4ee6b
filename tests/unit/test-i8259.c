/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pair of interrupt controllers by their data sheet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/one-device.h"

enum { MASTER, SLAVE, ELCR };

static void out(struct one_device *x, unsigned region, unsigned port, uint8_t value)
{
	device_write(x->dev, region, port, 1, value);
}

static uint8_t in(struct one_device *x, unsigned region, unsigned port)
{
	return (uint8_t)device_read(x->dev, region, port, 1);
}

/* As Linux does: vectors 0x30 and 0x38, everything unmasked. */
static void init_pics(struct one_device *x, uint8_t icw4)
{
	out(x, MASTER, 0, 0x11);
	out(x, MASTER, 1, 0x30);
	out(x, MASTER, 1, 0x04);
	out(x, MASTER, 1, icw4);
	out(x, SLAVE, 0, 0x11);
	out(x, SLAVE, 1, 0x38);
	out(x, SLAVE, 1, 0x02);
	out(x, SLAVE, 1, 0x01);
}

static int setup_uninitialised(void **state)
{
	return one_device_setup(state, &i8259_class);
}

static int setup(void **state)
{
	(void)setup_uninitialised(state);
	init_pics(*state, 0x01);
	return 0;
}

static void set_line(struct one_device *x, unsigned gsi, bool level)
{
	irq_set_line(x->f->m.irq, gsi, 0, level);
}

static void pulse(struct one_device *x, unsigned gsi)
{
	set_line(x, gsi, false);
	set_line(x, gsi, true);
}

static int ack(struct one_device *x)
{
	return irq_extint_ack(x->f->m.irq);
}

static void eoi(struct one_device *x, unsigned region)
{
	out(x, region, 0, 0x20);
}

static void test_probe_before_init(void **state)
{
	struct one_device *x = *state;

	/* Linux's probe_8259A() */
	out(x, SLAVE, 1, 0xff);
	out(x, MASTER, 1, 0xfb);
	assert_int_equal(in(x, MASTER, 1), 0xfb);
	out(x, MASTER, 1, 0);
	pulse(x, 1);
	assert_false(x->f->extint);
}

static void test_one_interrupt(void **state)
{
	struct one_device *x = *state;

	pulse(x, 1);
	assert_true(x->f->extint);
	assert_int_equal(in(x, MASTER, 0), 0x02); /* IRR */
	assert_int_equal(ack(x), 0x31);
	assert_false(x->f->extint);
	out(x, MASTER, 0, 0x0b);
	assert_int_equal(in(x, MASTER, 0), 0x02); /* ISR */
	pulse(x, 1);
	assert_false(x->f->extint); /* in service */
	eoi(x, MASTER);
	assert_true(x->f->extint);
	assert_int_equal(ack(x), 0x31);
	eoi(x, MASTER);
	assert_int_equal(ack(x), -ENOENT);
}

static void test_priority_and_nesting(void **state)
{
	struct one_device *x = *state;

	pulse(x, 4);
	assert_int_equal(ack(x), 0x34);
	pulse(x, 6);
	assert_false(x->f->extint);
	pulse(x, 1);
	assert_int_equal(ack(x), 0x31);
	eoi(x, MASTER); /* non-specific: the one of highest priority, 1 */
	assert_false(x->f->extint);
	out(x, MASTER, 0, 0x64); /* specific: 4 */
	assert_int_equal(ack(x), 0x36);
}

static void test_mask(void **state)
{
	struct one_device *x = *state;

	out(x, MASTER, 1, 0x02);
	pulse(x, 1);
	assert_false(x->f->extint);
	out(x, MASTER, 1, 0x00); /* an edge is kept behind the mask */
	assert_int_equal(ack(x), 0x31);
}

static void test_cascade(void **state)
{
	struct one_device *x = *state;

	pulse(x, 12);
	assert_int_equal(in(x, MASTER, 0), 0x04);
	assert_int_equal(ack(x), 0x3c);
	pulse(x, 8); /* higher on the slave, but the master has 2 in service */
	assert_false(x->f->extint);
	eoi(x, SLAVE);
	eoi(x, MASTER);
	assert_int_equal(ack(x), 0x38);
	pulse(x, 3); /* below the cascade */
	assert_false(x->f->extint);
	pulse(x, 0);
	assert_int_equal(ack(x), 0x30);
}

static void test_special_fully_nested(void **state)
{
	struct one_device *x = *state;

	init_pics(x, 0x11);
	pulse(x, 12);
	assert_int_equal(ack(x), 0x3c);
	pulse(x, 8);
	assert_int_equal(ack(x), 0x38);
	pulse(x, 14);
	assert_false(x->f->extint);
}

static void test_auto_eoi_and_rotation(void **state)
{
	struct one_device *x = *state;

	init_pics(x, 0x03);
	out(x, MASTER, 0, 0x80); /* rotate in automatic EOI mode */
	pulse(x, 0);
	pulse(x, 1);
	assert_int_equal(ack(x), 0x30);
	pulse(x, 0); /* now of lowest priority */
	assert_int_equal(ack(x), 0x31);
	assert_int_equal(ack(x), 0x30);
	out(x, MASTER, 0, 0x0b);
	assert_int_equal(in(x, MASTER, 0), 0);
}

static void test_rotation(void **state)
{
	struct one_device *x = *state;

	pulse(x, 4);
	assert_int_equal(ack(x), 0x34);
	out(x, MASTER, 0, 0xa0); /* rotate on non-specific EOI: 5 is highest now */
	pulse(x, 0);
	pulse(x, 5);
	assert_int_equal(ack(x), 0x35);
	out(x, MASTER, 0, 0x65);
	assert_int_equal(ack(x), 0x30);
	out(x, MASTER, 0, 0x60);
	out(x, MASTER, 0, 0xc2); /* set priority: 2 lowest, 3 highest */
	pulse(x, 0);
	pulse(x, 3);
	assert_int_equal(ack(x), 0x33);
	out(x, MASTER, 0, 0xe3); /* rotate on specific EOI */
	assert_int_equal(ack(x), 0x30);
}

static void test_special_mask(void **state)
{
	struct one_device *x = *state;

	pulse(x, 1);
	assert_int_equal(ack(x), 0x31);
	pulse(x, 4);
	assert_false(x->f->extint);
	out(x, MASTER, 1, 0x02);
	out(x, MASTER, 0, 0x68); /* special mask mode: 1, masked, holds nobody up */
	assert_int_equal(ack(x), 0x34);
	out(x, MASTER, 0, 0x48);
	pulse(x, 5);
	assert_false(x->f->extint);
}

static void test_poll(void **state)
{
	struct one_device *x = *state;

	out(x, MASTER, 0, 0x0c);
	assert_int_equal(in(x, MASTER, 0), 0);
	pulse(x, 6);
	out(x, MASTER, 0, 0x0c);
	assert_int_equal(in(x, MASTER, 0), 0x86);
	assert_false(x->f->extint); /* acknowledged */
	eoi(x, MASTER);
	assert_int_equal(in(x, MASTER, 0), 0);
}

static void test_level(void **state)
{
	struct one_device *x = *state;

	out(x, ELCR, 0, 0xff);
	out(x, ELCR, 1, 0xff);
	assert_int_equal(in(x, ELCR, 0), 0xf8);
	assert_int_equal(in(x, ELCR, 1), 0xde);
	set_line(x, 9, true);
	assert_int_equal(ack(x), 0x39);
	eoi(x, SLAVE);
	eoi(x, MASTER);
	assert_true(x->f->extint); /* still asserted */
	set_line(x, 9, false);
	assert_false(x->f->extint);
	assert_int_equal(ack(x), -ENOENT);
}

static void test_slave_request_vanishes(void **state)
{
	struct one_device *x = *state;

	out(x, ELCR, 1, 0x02);
	set_line(x, 9, true);
	assert_true(x->f->extint);
	set_line(x, 9, false);
	assert_false(x->f->extint);
}

static void test_init_forgets_edges(void **state)
{
	struct one_device *x = *state;

	pulse(x, 1);
	out(x, MASTER, 1, 0xff);
	init_pics(x, 0x01);
	assert_int_equal(in(x, MASTER, 1), 0);
	assert_false(x->f->extint); /* the line is high, but no edge comes */
	pulse(x, 1);
	assert_int_equal(ack(x), 0x31);
	device_reset(x->dev);
	assert_int_equal(in(x, MASTER, 1), 0xff);
	pulse(x, 1);
	assert_false(x->f->extint);
}

static void test_save_load(void **state)
{
	struct one_device *x = *state, y;

	one_device_init(&y, &i8259_class);
	out(x, ELCR, 1, 0x02);
	pulse(x, 12);
	assert_int_equal(ack(x), 0x3c);
	pulse(x, 1);
	set_line(x, 9, true);
	assert_save_load(x->dev, y.dev);
	assert_true(y.f->extint);
	set_line(&y, 1, true); /* driven again by its device: no new edge */
	set_line(&y, 9, true);
	assert_int_equal(ack(&y), 0x31);
	eoi(&y, MASTER);
	assert_int_equal(ack(&y), -ENOENT);
	eoi(&y, SLAVE);
	eoi(&y, MASTER);
	assert_int_equal(ack(&y), 0x39);
	one_device_done(&y);
}

static const struct fuzz_region regions[] = {{MASTER, 2}, {SLAVE, 2}, {ELCR, 2}};

static void test_corrupt_state(void **state)
{
	struct one_device *x = *state;

	pulse(x, 1);
	assert_survives_corruption(x->dev, regions, ARRAY_SIZE(regions));
}

static void test_fuzz(void **state)
{
	struct one_device *x = *state;
	uint64_t seed = 12345;

	one_device_fuzz(x, regions, ARRAY_SIZE(regions));
	/* Whatever the chip was told: an asserted output has a vector to give. */
	for (unsigned i = 0; i < FUZZ_ROUNDS; i++) {
		uint64_t dice = fuzz_random(&seed);

		out(x, dice & 1, dice >> 1 & 1, (uint8_t)(dice >> 8));
		set_line(x, (unsigned)(dice >> 16) & 15, dice >> 20 & 1);
		if (irq_extint_pending(x->f->m.irq))
			assert_in_range(ack(x), 0, 255);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_probe_before_init, setup_uninitialised, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_one_interrupt, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_priority_and_nesting, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_mask, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_cascade, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_special_fully_nested, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_auto_eoi_and_rotation, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_special_mask, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_poll, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_level, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_slave_request_vanishes, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_init_forgets_edges, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_save_load, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_corrupt_state, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, one_device_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
