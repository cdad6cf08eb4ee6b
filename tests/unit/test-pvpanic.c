/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The panic port by QEMU's docs/specs/pvpanic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/fuzz-device.h"

struct fixture {
	struct fake_machine *f;
	struct device *dev;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->f = fake_machine_new(MIB(1));
	assert_int_equal(device_new(&pvpanic_class, &x->f->m, 0, &x->dev), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	(void)device_free(x->dev);
	(void)fake_machine_free(x->f);
	free(x);
	return 0;
}

static void test_ports(void **state)
{
	struct fixture *x = *state;

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
	struct fixture *x = *state;
	struct device *fresh;

	assert_int_equal(device_new(&pvpanic_class, &x->f->m, 0, &fresh), 0);
	assert_save_load(x->dev, fresh);
	(void)device_free(fresh);
	assert_survives_corruption(x->dev, regions, ARRAY_SIZE(regions));
}

static void test_fuzz(void **state)
{
	struct fixture *x = *state;

	fuzz_device(x->dev, NULL, regions, ARRAY_SIZE(regions));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_ports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_save_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
