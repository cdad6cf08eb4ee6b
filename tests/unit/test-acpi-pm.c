/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ACPI fixed hardware. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/one-device.h"
#include "vmm-core/acpi/acpi-hw.h"

enum { PM, GPE };
enum { STS = 0, EN = 2, CNT = 4, TMR = 8 };

static int setup(void **state)
{
	return one_device_setup(state, &acpi_pm_class);
}

static void out(struct one_device *x, unsigned region, unsigned reg, unsigned size, uint32_t value)
{
	device_write(x->dev, region, reg, size, value);
}

static uint32_t in(struct one_device *x, unsigned region, unsigned reg, unsigned size)
{
	return (uint32_t)(device_read(x->dev, region, reg, size) & (UINT64_MAX >> (64 - 8 * size)));
}

static bool sci(struct one_device *x)
{
	return irq_line_level(x->f->m.irq, LAYOUT_GSI_SCI);
}

static void test_ports_and_numbers(void **state)
{
	(void)state;
	assert_int_equal(ACPI_PM1A_EVT, 0x600);
	assert_int_equal(ACPI_PM1A_CNT, 0x604);
	assert_int_equal(ACPI_PM_TMR, 0x608);
	assert_int_equal(ACPI_GPE0, 0x620);
}

static void test_power_button(void **state)
{
	struct one_device *x = *state;

	assert_ptr_equal(x->f->m.acpi_pm, x->dev);
	out(x, PM, EN, 2, ACPI_PM1_PWRBTN | ACPI_PM1_GBL);
	assert_int_equal(in(x, PM, EN, 2), 0x120);
	assert_false(sci(x));
	x->f->m.power_button(x->f->m.acpi_pm);
	assert_true(sci(x));
	assert_int_equal(in(x, PM, STS, 2), ACPI_PM1_PWRBTN);
	out(x, PM, STS, 2, ACPI_PM1_TMR);
	assert_true(sci(x));
	out(x, PM, STS, 2, ACPI_PM1_PWRBTN);
	assert_false(sci(x));
	assert_int_equal(in(x, PM, STS, 2), 0);
	/* Pressed while nobody listens: kept until somebody does. */
	out(x, PM, EN, 2, 0);
	acpi_pm_power_button(x->dev);
	assert_false(sci(x));
	out(x, PM, EN, 2, ACPI_PM1_PWRBTN);
	assert_true(sci(x));
	out(x, PM, STS + 1, 1, 1); /* by bytes */
	assert_false(sci(x));
}

static void test_soft_off(void **state)
{
	struct one_device *x = *state;

	assert_int_equal(in(x, PM, CNT, 2), ACPI_PM1_CNT_SCI_EN);
	out(x, PM, CNT, 2, 0);
	assert_int_equal(in(x, PM, CNT, 2), ACPI_PM1_CNT_SCI_EN); /* ACPI mode stays */
	/* Linux writes the type first, then type and enable. */
	out(x, PM, CNT, 2, 5 << 10 | 1);
	assert_int_equal(x->f->n_requests, 0);
	assert_int_equal(in(x, PM, CNT, 2), 5 << 10 | 1);
	out(x, PM, CNT, 2, 3 << 10 | 1 << 13);
	assert_int_equal(x->f->n_requests, 0);
	out(x, PM, CNT, 2, 5 << 10 | 1 << 13 | 1);
	assert_int_equal(x->f->n_requests, 1);
	assert_int_equal(x->f->requests[0], MACHINE_POWEROFF);
	assert_int_equal(in(x, PM, CNT, 2), 5 << 10 | 1); /* SLP_EN reads as zero */
}

static void test_gpe(void **state)
{
	struct one_device *x = *state;

	acpi_pm_gpe_raise(x->dev, ACPI_GPE_VMGENID);
	assert_false(sci(x));
	out(x, GPE, 2, 1, 1);
	assert_true(sci(x));
	assert_int_equal(in(x, GPE, 0, 1), 1);
	assert_int_equal(in(x, GPE, 0, 4), 0x00010001);
	out(x, GPE, 0, 1, 1);
	assert_false(sci(x));
	acpi_pm_gpe_raise(x->dev, 15);
	out(x, GPE, 3, 1, 0x80);
	assert_true(sci(x));
	out(x, GPE, 0, 2, 0x8000);
	assert_false(sci(x));
}

static void test_timer(void **state)
{
	struct one_device *x = *state;

	assert_int_equal(in(x, PM, TMR, 4), 0);
	loop_fake_advance(x->f->m.loop, NSEC_PER_SEC);
	assert_int_equal(in(x, PM, TMR, 4), 3579545);
	assert_int_equal(in(x, PM, TMR + 1, 2), 3579545 >> 8 & 0xffff);
	assert_int_equal(in(x, PM, 6, 4), (3579545U & 0xffff) << 16);
	out(x, PM, TMR, 4, 0);
	assert_int_equal(in(x, PM, TMR, 4), 3579545);
	loop_fake_advance(x->f->m.loop, 2000 * NSEC_PER_SEC); /* wraps at 32 bits */
	assert_int_equal(in(x, PM, TMR, 4), (uint32_t)(2001ULL * 3579545));
}

static void test_timer_event(void **state)
{
	struct one_device *x = *state;

	loop_fake_advance(x->f->m.loop, 599 * NSEC_PER_SEC);
	assert_int_equal(in(x, PM, STS, 2), 0);
	loop_fake_advance(x->f->m.loop, NSEC_PER_SEC);
	assert_int_equal(in(x, PM, STS, 2), ACPI_PM1_TMR); /* the top bit changed */
	out(x, PM, STS, 2, ACPI_PM1_TMR);
	assert_int_equal(in(x, PM, STS, 2), 0);
	out(x, PM, EN, 2, ACPI_PM1_TMR);
	assert_false(sci(x));
	loop_fake_advance(x->f->m.loop, 598 * NSEC_PER_SEC);
	assert_false(sci(x));
	loop_fake_advance(x->f->m.loop, 3 * NSEC_PER_SEC);
	assert_true(sci(x));
	out(x, PM, STS, 2, ACPI_PM1_TMR);
	assert_false(sci(x));
}

static void test_reset(void **state)
{
	struct one_device *x = *state;

	out(x, PM, EN, 2, ACPI_PM1_PWRBTN);
	acpi_pm_power_button(x->dev);
	loop_fake_advance(x->f->m.loop, NSEC_PER_SEC);
	device_reset(x->dev);
	assert_false(sci(x));
	assert_int_equal(in(x, PM, EN, 2), 0);
	assert_int_equal(in(x, PM, TMR, 4), 0);
}

static void test_save_load(void **state)
{
	struct one_device *x = *state, y;

	one_device_init(&y, &acpi_pm_class);
	loop_fake_advance(y.f->m.loop, 77 * NSEC_PER_SEC); /* another host, another clock */
	out(x, PM, EN, 2, ACPI_PM1_PWRBTN);
	out(x, GPE, 2, 2, 1);
	acpi_pm_power_button(x->dev);
	loop_fake_advance(x->f->m.loop, 1234567890);
	assert_save_load(x->dev, y.dev);
	assert_true(sci(&y));
	assert_int_equal(in(x, PM, TMR, 4), in(&y, PM, TMR, 4));
	out(&y, PM, STS, 2, 0xffff);
	assert_false(sci(&y));
	acpi_pm_gpe_raise(y.dev, 0);
	assert_true(sci(&y));
	one_device_done(&y);
}

static const struct fuzz_region regions[] = {{PM, ACPI_PM_LEN}, {PM, 6}, {GPE, ACPI_GPE0_LEN}};

static void test_corrupt_state(void **state)
{
	struct one_device *x = *state;

	out(x, PM, EN, 2, ACPI_PM1_PWRBTN | ACPI_PM1_TMR);
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
		cmocka_unit_test(test_ports_and_numbers),
		cmocka_unit_test_setup_teardown(test_power_button, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_soft_off, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_gpe, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_timer, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_timer_event, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_save_load, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_corrupt_state, setup, one_device_teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, one_device_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
