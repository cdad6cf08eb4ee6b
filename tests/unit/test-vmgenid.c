/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The generation id, with the ACPI hardware that announces it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/fuzz-device.h"
#include "vmm-core/acpi/acpi-hw.h"

static const uint8_t first[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
	0xbb, 0xcc, 0xdd, 0xee, 0xff};
static const uint8_t first_guid[16] = {0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99,
	0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff};

struct fixture {
	struct fake_machine *f;
	struct device *pm, *dev;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->f = fake_machine_new(MIB(2));
	memcpy(x->f->config.genid_uuid, first, sizeof(first));
	assert_int_equal(device_new(&acpi_pm_class, &x->f->m, 0, &x->pm), 0);
	assert_int_equal(device_new(&vmgenid_class, &x->f->m, 0, &x->dev), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	(void)device_free(x->dev);
	(void)device_free(x->pm);
	(void)fake_machine_free(x->f);
	free(x);
	return 0;
}

static void assert_in_memory(struct fixture *x, const uint8_t guid[16])
{
	uint8_t buf[16];

	assert_int_equal(guest_mem_read(&x->f->mem, GPA(ACPI_VMGENID_ADDR), buf, sizeof(buf)), 0);
	assert_memory_equal(buf, guid, sizeof(buf));
}

static void test_written_at_start_and_reset(void **state)
{
	struct fixture *x = *state;
	uint8_t zero[16] = {0};

	assert_int_equal(ACPI_VMGENID_ADDR, LAYOUT_VMGENID + 40);
	assert_in_memory(x, first_guid);
	assert_int_equal(
		guest_mem_write(&x->f->mem, GPA(ACPI_VMGENID_ADDR), zero, sizeof(zero)), 0);
	device_reset(x->dev);
	assert_in_memory(x, first_guid);
	assert_int_equal(device_read(x->pm, 1, 0, 1), 0); /* no change, no event */
}

static void test_change_is_announced(void **state)
{
	struct fixture *x = *state;
	uint8_t next[16];

	memset(next, 0x5a, sizeof(next));
	device_write(x->pm, 1, 2, 1, 1U << ACPI_GPE_VMGENID);
	vmgenid_set(x->dev, next);
	assert_in_memory(x, next);
	assert_true(irq_line_level(x->f->m.irq, LAYOUT_GSI_SCI));
	device_reset(x->dev);
	assert_in_memory(x, next);
}

static void test_without_acpi(void **state)
{
	struct fake_machine *f = fake_machine_new(MIB(2));
	struct device *dev;

	(void)state;
	assert_int_equal(device_new(&vmgenid_class, &f->m, 0, &dev), 0);
	vmgenid_set(dev, first);
	(void)device_free(dev);
	(void)fake_machine_free(f);
	f = fake_machine_new(KIB(512)); /* the page is not there */
	assert_int_equal(device_new(&vmgenid_class, &f->m, 0, &dev), -EFAULT);
	(void)fake_machine_free(f);
}

static void test_save_load(void **state)
{
	struct fixture *x = *state;
	struct fake_machine *f = fake_machine_new(MIB(2));
	struct device *fresh;

	assert_int_equal(device_new(&vmgenid_class, &f->m, 0, &fresh), 0);
	assert_save_load(x->dev, fresh);
	device_reset(fresh);
	assert_in_memory(&(struct fixture){.f = f}, first_guid);
	assert_survives_corruption(x->dev, NULL, 0);
	(void)device_free(fresh);
	(void)fake_machine_free(f);
}

static void test_fuzz(void **state)
{
	struct fixture *x = *state;
	const struct fuzz_region regions[] = {{0, 16}};

	fuzz_device(x->dev, NULL, regions, ARRAY_SIZE(regions)); /* it has no registers */
	assert_in_memory(x, first_guid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_written_at_start_and_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_change_is_announced, setup, teardown),
		cmocka_unit_test(test_without_acpi),
		cmocka_unit_test_setup_teardown(test_save_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
