/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Processors that come and go: the registers, the event, what is obeyed and what is not, and hostile writes. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/fuzz-device.h"
#include "vmm-core/acpi/acpi-hw.h"

#define N_VCPUS 70 /* the third bank is used, and not full */
#define EVENT   (1U << ACPI_GPE_CPU_HOTPLUG)

struct fixture {
	struct fake_machine *f;
	struct device *pm, *cpu;
};

static const struct fuzz_region regions[] = {{0, ACPI_CPU_HOTPLUG_LEN}};

static void make(struct fixture *x)
{
	x->f = fake_machine_new(MIB(1));
	x->f->config.vcpus = 2;
	x->f->config.vcpus_max = N_VCPUS;
	assert_int_equal(device_new(&acpi_pm_class, &x->f->m, 0, &x->pm), 0);
	assert_int_equal(device_new(&acpi_cpu_class, &x->f->m, 0, &x->cpu), 0);
}

static void drop(struct fixture *x)
{
	(void)device_free(x->cpu);
	assert_null(x->f->m.cpu_ops);
	(void)device_free(x->pm);
	(void)fake_machine_free(x->f);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	make(x);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	drop(*state);
	free(*state);
	return 0;
}

static uint32_t in(struct fixture *x, unsigned reg, unsigned bank)
{
	return (uint32_t)device_read(x->cpu, 0, reg + 4 * bank, 4);
}

static void out(struct fixture *x, unsigned reg, unsigned bank, uint32_t value)
{
	device_write(x->cpu, 0, reg + 4 * bank, 4, value);
}

/* The event came since the last look. */
static bool took_event(struct fixture *x)
{
	bool came = device_read(x->pm, 1, 0, 2) & EVENT;

	device_write(x->pm, 1, 0, 2, EVENT);
	return came;
}

static void set(struct fixture *x, unsigned n)
{
	x->f->m.cpu_ops->set(x->f->m.cpu_hotplug, n);
}

static bool is_present(struct fixture *x, unsigned i)
{
	return x->f->m.cpu_ops->is_present(x->f->m.cpu_hotplug, i);
}

/* Requests of this kind since the last look. */
static unsigned took_requests(struct fixture *x, enum machine_request what)
{
	unsigned n = 0;

	for (unsigned i = 0; i < x->f->n_requests; i++)
		n += x->f->requests[i] == what;
	x->f->n_requests = 0;
	return n;
}

static void test_more(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 3);
	assert_false(took_event(x));
	set(x, 4);
	assert_true(took_event(x));
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 0xf);
	assert_int_equal(in(x, ACPI_CPU_UP, 0), 0xc);
	assert_true(is_present(x, 3) && !is_present(x, 4));
	out(x, ACPI_CPU_UP, 0, 4);
	assert_int_equal(in(x, ACPI_CPU_UP, 0), 8);
	/* Over banks; the guest is told again of what it has not taken. */
	set(x, N_VCPUS);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), UINT32_MAX);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 2), 0x3f);
	assert_int_equal(in(x, ACPI_CPU_UP, 0), ~UINT32_C(7));
	assert_int_equal(in(x, ACPI_CPU_UP, 2), 0x3f);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 7), 0);
	/* Nobody writes PRESENT, and 16 bits are none. */
	out(x, ACPI_CPU_PRESENT, 0, 0);
	device_write(x->cpu, 0, ACPI_CPU_UP, 2, UINT16_MAX);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), UINT32_MAX);
	assert_int_equal(in(x, ACPI_CPU_UP, 0), ~UINT32_C(7));
}

static void test_fewer(void **state)
{
	struct fixture *x = *state;

	set(x, 4);
	out(x, ACPI_CPU_UP, 0, UINT32_MAX);
	(void)took_event(x);
	/* What nobody wants back stays. */
	out(x, ACPI_CPU_EJECT, 0, UINT32_MAX);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 0xf);
	assert_int_equal(took_requests(x, MACHINE_VCPUS), 0);
	out(x, ACPI_CPU_UP, 0, UINT32_MAX);
	(void)took_event(x);
	set(x, 2);
	assert_true(took_event(x));
	assert_int_equal(in(x, ACPI_CPU_DOWN, 0), 0xc);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 0xf);
	out(x, ACPI_CPU_DOWN, 0, 0xc);
	assert_int_equal(in(x, ACPI_CPU_DOWN, 0), 0);
	out(x, ACPI_CPU_EJECT, 0, 8);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 7);
	assert_false(is_present(x, 3));
	assert_int_equal(took_requests(x, MACHINE_VCPUS), 1);
	/* Asked again it is told again; taken back, it cannot be ejected. */
	set(x, 2);
	assert_int_equal(in(x, ACPI_CPU_DOWN, 0), 4);
	set(x, 3);
	assert_int_equal(in(x, ACPI_CPU_DOWN, 0), 0);
	out(x, ACPI_CPU_EJECT, 0, UINT32_MAX);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 7);
	/* Never the first. */
	set(x, 1);
	out(x, ACPI_CPU_EJECT, 0, UINT32_MAX);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 1);
}

/* Asked for, and taken back when the guest is about to obey: it obeys, and is told at once that the vCPU is there. */
static void test_taken_back(void **state)
{
	struct fixture *x = *state;

	set(x, 4);
	out(x, ACPI_CPU_UP, 0, UINT32_MAX);
	set(x, 3);
	out(x, ACPI_CPU_DOWN, 0, 8);
	set(x, 4);
	(void)took_event(x);
	assert_int_equal(in(x, ACPI_CPU_UP, 0), 0);
	out(x, ACPI_CPU_EJECT, 0, 8);
	assert_true(took_event(x));
	assert_int_equal(in(x, ACPI_CPU_UP, 0), 8);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 0xf);
	assert_int_equal(took_requests(x, MACHINE_VCPUS), 0);
	/* What is not there is no news. */
	out(x, ACPI_CPU_UP, 0, 8);
	out(x, ACPI_CPU_EJECT, 0, 0x10);
	assert_false(took_event(x));
	assert_int_equal(in(x, ACPI_CPU_UP, 0), 0);
}

static void test_refused(void **state)
{
	struct fixture *x = *state;

	/* Nobody has asked. */
	out(x, ACPI_CPU_OST, 0, 1 | 3 << 8 | 0x80 << 16);
	assert_int_equal(took_requests(x, MACHINE_VCPU_REFUSED), 0);
	set(x, 1);
	out(x, ACPI_CPU_OST, 0, 1 | 3 << 8);              /* success */
	out(x, ACPI_CPU_OST, 0, 1 | 3 << 8 | 0x84 << 16); /* not yet */
	out(x, ACPI_CPU_OST, 0, 1 | 1 << 8 | 0x80 << 16); /* of another event */
	out(x, ACPI_CPU_OST, 0, 0 | 3 << 8 | 0x80 << 16); /* of one that is not asked for */
	out(x, ACPI_CPU_OST, 0, 0xff | 3 << 8 | 0x80 << 16);
	assert_int_equal(took_requests(x, MACHINE_VCPU_REFUSED), 0);
	out(x, ACPI_CPU_OST, 0, 1 | 3 << 8 | 0x80 << 16);
	assert_int_equal(took_requests(x, MACHINE_VCPU_REFUSED), 1);
	/* It may still think better of it. */
	out(x, ACPI_CPU_EJECT, 0, 2);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 1);
}

/* The next guest finds what there is to be. */
static void test_reset(void **state)
{
	struct fixture *x = *state;

	set(x, 5);
	set(x, 3);
	device_reset(x->cpu);
	assert_int_equal(in(x, ACPI_CPU_PRESENT, 0), 7);
	assert_int_equal(in(x, ACPI_CPU_UP, 0), 0);
	assert_int_equal(in(x, ACPI_CPU_DOWN, 0), 0);
	assert_int_equal(took_requests(x, MACHINE_VCPUS), 1);
}

static void test_state(void **state)
{
	struct fixture *x = *state, fresh;

	set(x, 40);
	set(x, 38);
	out(x, ACPI_CPU_DOWN, 1, 1U << 6);
	make(&fresh);
	assert_save_load(x->cpu, fresh.cpu);
	assert_int_equal(in(&fresh, ACPI_CPU_PRESENT, 1), 0xff);
	assert_int_equal(in(&fresh, ACPI_CPU_DOWN, 1), 1U << 7);
	drop(&fresh);
	assert_survives_corruption(x->cpu, regions, ARRAY_SIZE(regions));
}

static void test_fuzz(void **state)
{
	struct fixture *x = *state, fresh;

	set(x, 40);
	set(x, 3);
	make(&fresh);
	fuzz_device(x->cpu, fresh.cpu, regions, ARRAY_SIZE(regions));
	drop(&fresh);
	assert_true(is_present(x, 0));
	for (unsigned i = 40; i < 256; i++)
		assert_false(is_present(x, i));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_more),
		T(test_fewer),
		T(test_taken_back),
		T(test_refused),
		T(test_reset),
		T(test_state),
		T(test_fuzz),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
