/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keyboard controller without a keyboard. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/one-device.h"

enum { DATA, COMMAND };

static int setup(void **state)
{
	return one_device_setup(state, &i8042_class);
}

static void command(struct one_device *x, uint8_t value)
{
	device_write(x->dev, COMMAND, 0, 1, value);
}

static void data(struct one_device *x, uint8_t value)
{
	device_write(x->dev, DATA, 0, 1, value);
}

static uint8_t status(struct one_device *x)
{
	return (uint8_t)device_read(x->dev, COMMAND, 0, 1);
}

static uint8_t answer(struct one_device *x)
{
	uint8_t value;

	assert_int_equal(status(x) & 1, 1);
	value = (uint8_t)device_read(x->dev, DATA, 0, 1);
	assert_int_equal(status(x) & 1, 0);
	return value;
}

/* What Linux's i8042 driver does to find out what is there. */
static void test_linux_probe(void **state)
{
	struct one_device *x = *state;
	uint8_t ctr;

	assert_int_equal(status(x), 0x14); /* nothing to flush */
	command(x, 0xaa);
	assert_int_equal(answer(x), 0x55);
	command(x, 0x20);
	ctr = answer(x);
	command(x, 0x20);
	assert_int_equal(answer(x), ctr);
	command(x, 0x60);
	data(x, ctr | 0x30);
	/* Is there an auxiliary port? The loop answers, but not from there; the test fails. */
	command(x, 0xd3);
	data(x, 0x5a);
	assert_int_equal(status(x) & 0x21, 0x01);
	assert_int_equal(answer(x), 0x5a);
	command(x, 0xa9);
	assert_int_equal(answer(x), 0x01);
	command(x, 0xab);
	assert_int_equal(answer(x), 0x01);
}

static void test_missing_keyboard(void **state)
{
	struct one_device *x = *state;

	command(x, 0x60);
	data(x, 0x01);
	data(x, 0xf2);
	assert_true(irq_line_level(x->f->m.irq, LAYOUT_GSI_I8042));
	assert_int_equal(status(x) & 0x41, 0x41); /* timeout */
	assert_int_equal(answer(x), 0xfe);
	assert_int_equal(status(x) & 0x40, 0);
	assert_false(irq_line_level(x->f->m.irq, LAYOUT_GSI_I8042));
	command(x, 0xd4);
	data(x, 0xf2);
	assert_int_equal(answer(x), 0xfe);
}

static void test_reset_pulse(void **state)
{
	struct one_device *x = *state;

	command(x, 0xff);
	command(x, 0xfd);
	assert_int_equal(x->f->n_requests, 0);
	command(x, 0xfe);
	assert_int_equal(x->f->n_requests, 1);
	assert_int_equal(x->f->requests[0], MACHINE_RESET);
	command(x, 0xd1);
	data(x, 0x02);
	assert_int_equal(x->f->n_requests, 2);
}

static void test_a20(void **state)
{
	struct one_device *x = *state;

	command(x, 0xd0);
	assert_int_equal(answer(x), 0x03); /* open */
	command(x, 0xd1);
	data(x, 0xdd);
	command(x, 0xd0);
	assert_int_equal(answer(x), 0xdd);
	command(x, 0xdf);
	command(x, 0xd0);
	assert_int_equal(answer(x), 0xdf);
	command(x, 0xdd);
	command(x, 0xd0);
	assert_int_equal(answer(x), 0xdd);
}

static void test_ram_and_command_byte(void **state)
{
	struct one_device *x = *state;

	command(x, 0x75);
	data(x, 0x99);
	command(x, 0x35);
	assert_int_equal(answer(x), 0x99);
	command(x, 0x60);
	data(x, 0xff);
	command(x, 0x20);
	assert_int_equal(answer(x), 0x77);
	command(x, 0xae);
	command(x, 0xa8);
	command(x, 0x20);
	assert_int_equal(answer(x), 0x47);
	command(x, 0x60);
	data(x, 0x00);
	assert_int_equal(status(x) & 4, 0);
	command(x, 0xad);
	assert_int_equal(status(x) & 8, 8);
	data(x, 0);
	assert_int_equal(status(x) & 8, 0);
	device_reset(x->dev);
	assert_int_equal(status(x), 0x14);
}

static void test_save_load(void **state)
{
	struct one_device *x = *state, y;

	one_device_init(&y, &i8042_class);
	command(x, 0x60);
	data(x, 0x01);
	command(x, 0xd2);
	data(x, 0x1c);
	command(x, 0x70);
	assert_save_load(x->dev, y.dev);
	assert_true(irq_line_level(y.f->m.irq, LAYOUT_GSI_I8042));
	assert_int_equal(answer(&y), 0x1c);
	data(&y, 0x42); /* the byte that command 70 waits for */
	command(&y, 0x30);
	assert_int_equal(answer(&y), 0x42);
	one_device_done(&y);
}

static const struct fuzz_region regions[] = {{DATA, 1}, {COMMAND, 1}};

static void test_corrupt_state(void **state)
{
	struct one_device *x = *state;

	assert_survives_corruption(x->dev, regions, ARRAY_SIZE(regions));
}

static void test_fuzz(void **state)
{
	struct one_device *x = *state;

	one_device_fuzz(x, regions, ARRAY_SIZE(regions));
	for (unsigned i = 0; i < x->f->n_requests; i++)
		assert_int_equal(x->f->requests[i], MACHINE_RESET);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_linux_probe, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_missing_keyboard, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_reset_pulse, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_a20, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(
			test_ram_and_command_byte, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_save_load, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_corrupt_state, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, one_device_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
