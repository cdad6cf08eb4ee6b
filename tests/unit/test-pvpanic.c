/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The panic port by QEMU's docs/specs/pvpanic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/one-device.h"

static int setup(void **state)
{
	return one_device_setup(state, &pvpanic_class);
}

static void test_ports(void **state)
{
	struct one_device *x = *state;

	assert_int_equal(device_read(x->dev, 0, 0, 1) & 0xff, 3);
	device_write(x->dev, 0, 0, 1, 0xfc); /* events nobody knows */
	assert_int_equal(x->f->n_requests, 0);
	device_write(x->dev, 0, 0, 1, 2);
	assert_int_equal(x->f->requests[0], MACHINE_CRASHLOADED);
	device_write(x->dev, 0, 0, 1, 1);
	assert_int_equal(x->f->requests[1], MACHINE_PANICKED);
	device_write(x->dev, 0, 0, 1, 3); /* the worse of two */
	assert_int_equal(x->f->requests[2], MACHINE_PANICKED);
	assert_int_equal(x->f->n_requests, 3);
}

static const struct fuzz_region regions[] = {{0, 1}};

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
