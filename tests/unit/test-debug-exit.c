/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The port that ends test guests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/one-device.h"

static int setup(void **state)
{
	return one_device_setup(state, &debug_exit_class);
}

static void test_ports(void **state)
{
	struct one_device *x = *state;

	assert_int_equal(device_read(x->dev, 0, 0, 4), 0);
	device_write(x->dev, 0, 0, 1, 0x2a);
	assert_int_equal(x->f->requests[0], MACHINE_DEBUG_EXIT);
	assert_int_equal(x->f->request_args[0], 0x2a);
	device_write(x->dev, 0, 0, 4, 0x12345678);
	assert_int_equal(x->f->request_args[1], 0x12345678);
	assert_int_equal(x->f->n_requests, 2);
}

static const struct fuzz_region regions[] = {{0, 4}};

static void test_save_load(void **state)
{
	struct one_device *x = *state;

	one_device_save_load(x, regions, ARRAY_SIZE(regions));
}

static void test_fuzz(void **state)
{
	struct one_device *x = *state;

	fuzz_device(x->dev, NULL, regions, ARRAY_SIZE(regions));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ports, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_save_load, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, one_device_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
