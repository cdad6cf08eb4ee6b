/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interrupt lines as an OR of sources, MSIs and their routes, failures of the backend. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fakes/fake-machine.h"

static unsigned n_changes, last_gsi;
static bool last_level;

static void changed(void *opaque, unsigned gsi, bool level)
{
	(void)opaque;
	n_changes++;
	last_gsi = gsi;
	last_level = level;
}

static void test_lines(void **state)
{
	_cleanup_(fake_machine_freep) struct fake_machine *f = fake_machine_new(MIB(1));

	(void)state;
	n_changes = 0;
	assert_int_equal(irq_add_sink(f->m.irq, changed, NULL), 0);
	irq_set_line(f->m.irq, 16, 0, true);
	irq_set_line(f->m.irq, 16, 3, true);
	irq_set_line(f->m.irq, 16, 0, false);
	assert_int_equal(n_changes, 1);
	assert_true(irq_line_level(f->m.irq, 16));
	irq_set_line(f->m.irq, 16, 3, false);
	assert_int_equal(n_changes, 2);
	assert_int_equal(last_gsi, 16);
	assert_false(last_level);
	irq_set_line(f->m.irq, 16, 3, false);
	assert_int_equal(n_changes, 2);
	assert_false(irq_line_level(f->m.irq, LAYOUT_IOAPIC_PINS));
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(irq_add_sink(f->m.irq, changed, NULL), 0);
	assert_int_equal(irq_add_sink(f->m.irq, changed, NULL), -ENOSPC);
}

static void test_msi(void **state)
{
	_cleanup_(fake_machine_freep) struct fake_machine *f = fake_machine_new(MIB(1));
	struct irq_msi *a, *b;

	(void)state;
	assert_int_equal(irq_msi_new(f->m.irq, &a), 0);
	assert_int_equal(irq_msi_new(f->m.irq, &b), 0);
	/* Nothing goes to the backend before there is a message. */
	assert_int_equal(f->n_route_commits, 0);
	assert_int_equal(irq_msi_set(a, 0xfee00000, 0x41), 0);
	assert_int_equal(irq_msi_set(a, 0xfee00000, 0x41), 0);
	assert_int_equal(f->n_route_commits, 1);
	assert_int_equal(f->n_routes, 1);
	assert_int_equal(irq_msi_set(b, 0xfee01000, 0x42), 0);
	assert_int_equal(f->n_routes, 2);
	irq_msi_raise(b);
	irq_msi_raise(b);
	assert_int_equal(fake_msi_count(f, 0x42), 2);
	assert_int_equal(fake_msi_count(f, 0x41), 0);
	/* A refused change leaves the old route. */
	f->fail_next = -ENOMEM;
	assert_int_equal(irq_msi_set(a, 0xfee00000, 0x99), -ENOMEM);
	assert_int_equal(irq_msi_set(a, 0xfee00000, 0x41), 0);
	a = irq_msi_free(a);
	assert_int_equal(f->n_routes, 1);
	assert_int_equal(f->routes[0].data, 0x42);
	/* The GSI is free again. */
	assert_int_equal(irq_msi_new(f->m.irq, &a), 0);
	assert_int_equal(irq_msi_set(a, 0xfee00000, 1), 0);
	assert_int_equal(f->n_routes, 2);
	(void)irq_msi_free(a);
	(void)irq_msi_free(b);
	assert_int_equal(f->n_routes, 0);
}

static void test_ioapic_route(void **state)
{
	_cleanup_(fake_machine_freep) struct fake_machine *f = fake_machine_new(MIB(1));

	(void)state;
	assert_int_equal(irq_ioapic_route(f->m.irq, 5, 0xfee00000, 0x35, true), 0);
	assert_int_equal(f->routes[0].gsi, 5);
	assert_int_equal(irq_ioapic_route(f->m.irq, 5, 0, 0, false), 0);
	assert_int_equal(f->n_routes, 0);
	assert_int_equal(irq_ioapic_route(f->m.irq, 5, 1, 2, false), 0);
	assert_int_equal(f->n_route_commits, 2);
	assert_int_equal(irq_signal_msi(f->m.irq, 0xfee00000, 7), 1);
	assert_int_equal(f->msis[0].data, 7);
}

static int acked;

static int ack(void *opaque)
{
	irq_extint_set(opaque, false, ack, opaque);
	acked++;
	return 0x30;
}

static void test_extint(void **state)
{
	_cleanup_(fake_machine_freep) struct fake_machine *f = fake_machine_new(MIB(1));

	(void)state;
	acked = 0;
	assert_int_equal(irq_extint_ack(f->m.irq), -ENOENT);
	irq_extint_set(f->m.irq, true, ack, f->m.irq);
	irq_extint_set(f->m.irq, true, ack, f->m.irq);
	assert_int_equal(f->n_extint_changes, 1);
	assert_true(irq_extint_pending(f->m.irq));
	assert_int_equal(irq_extint_ack(f->m.irq), 0x30);
	assert_int_equal(acked, 1);
	assert_false(f->extint);
	assert_int_equal(irq_extint_ack(f->m.irq), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_msi),
		cmocka_unit_test(test_ioapic_route),
		cmocka_unit_test(test_extint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
