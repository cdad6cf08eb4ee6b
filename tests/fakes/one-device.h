/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fixture of a unit test of a single device: a fake machine of 1 MiB with nothing but the device in it.
 *
 *	static int setup(void **state)
 *	{
 *		return one_device_setup(state, &ioapic_class);
 *	}
 *	...
 *	cmocka_unit_test_setup_teardown(test_edge, setup, one_device_teardown),
 *
 * A test finds it as `struct one_device *x = *state`, and makes a second one to load state into with
 * one_device_init(). Functions assert by cmocka; include <cmocka.h> first.
 */
#pragma once

#include <stdlib.h>

#include "tests/fakes/fuzz-device.h"

struct one_device {
	struct fake_machine *f;
	struct device *dev;
};

static inline void one_device_init(struct one_device *x, const struct device_class *class)
{
	x->f = fake_machine_new(MIB(1));
	assert_int_equal(device_new(class, &x->f->m, 0, &x->dev), 0);
}

static inline void one_device_done(struct one_device *x)
{
	x->dev = device_free(x->dev);
	x->f = fake_machine_free(x->f);
}

static inline int one_device_setup(void **state, const struct device_class *class)
{
	struct one_device *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	one_device_init(x, class);
	*state = x;
	return 0;
}

static inline int one_device_teardown(void **state)
{
	one_device_done(*state);
	free(*state);
	return 0;
}

/* fuzz_device(), with another machine's device to load into. */
static inline void one_device_fuzz(
	struct one_device *x, const struct fuzz_region *regions, unsigned n_regions)
{
	struct one_device fresh;

	one_device_init(&fresh, x->dev->class);
	fuzz_device(x->dev, fresh.dev, regions, n_regions);
	one_device_done(&fresh);
}

/* Saved and loaded it is the same, and bad state does it no harm. */
static inline void one_device_save_load(
	struct one_device *x, const struct fuzz_region *regions, unsigned n_regions)
{
	struct one_device fresh;

	one_device_init(&fresh, x->dev->class);
	assert_save_load(x->dev, fresh.dev);
	one_device_done(&fresh);
	assert_survives_corruption(x->dev, regions, n_regions);
}
