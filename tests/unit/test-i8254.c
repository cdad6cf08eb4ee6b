/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interval timer by its data sheet, with a clock that stands until it is moved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/fuzz-device.h"

#define HZ 1193182

struct fixture {
	struct fake_machine *f;
	struct device *dev;
	unsigned n_edges;
	uint64_t last_edge_ns;
};

static void count_edges(void *opaque, unsigned gsi, bool level)
{
	struct fixture *x = opaque;

	if (gsi != 0 || !level)
		return;
	x->n_edges++;
	x->last_edge_ns = machine_now_ns(&x->f->m);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->f = fake_machine_new(MIB(1));
	assert_int_equal(irq_add_sink(x->f->m.irq, count_edges, x), 0);
	assert_int_equal(device_new(&i8254_class, &x->f->m, 0, &x->dev), 0);
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

static void out(struct fixture *x, unsigned port, uint8_t value)
{
	device_write(x->dev, 0, port, 1, value);
}

static uint8_t in(struct fixture *x, unsigned port)
{
	return (uint8_t)device_read(x->dev, 0, port, 1);
}

static void program(struct fixture *x, unsigned channel, unsigned mode, unsigned count)
{
	out(x, 3, (uint8_t)(channel << 6 | 0x30 | mode << 1));
	out(x, channel, (uint8_t)count);
	out(x, channel, (uint8_t)(count >> 8));
}

static unsigned latched_count(struct fixture *x, unsigned channel)
{
	unsigned low;

	out(x, 3, (uint8_t)(channel << 6));
	low = in(x, channel);
	return low | (unsigned)in(x, channel) << 8;
}

static uint8_t status(struct fixture *x, unsigned channel)
{
	out(x, 3, (uint8_t)(0xe0 | 2U << channel));
	return in(x, channel);
}

/* Move on by so many ticks of the chip. */
static void ticks(struct fixture *x, uint64_t n)
{
	uint64_t ns = (n * NSEC_PER_SEC + HZ - 1) / HZ;

	loop_fake_advance(x->f->m.loop, ns);
}

static void set_port61(struct fixture *x, uint8_t value)
{
	device_write(x->dev, 1, 0, 1, value);
}

static uint8_t port61(struct fixture *x)
{
	return (uint8_t)device_read(x->dev, 1, 0, 1);
}

static void test_mode_2_periodic(void **state)
{
	struct fixture *x = *state;
	uint64_t start_ns;

	program(x, 0, 2, 11932); /* Linux: HZ=100 */
	x->n_edges = 0;
	start_ns = machine_now_ns(&x->f->m);
	loop_fake_advance(x->f->m.loop, 10 * NSEC_PER_SEC);
	assert_int_equal(x->n_edges, 10ULL * HZ / 11932);
	/* Still in phase with the load: the k-th edge is at k periods, to the nanosecond. */
	assert_int_equal(x->last_edge_ns - start_ns, (999ULL * 11932 * NSEC_PER_SEC + HZ - 1) / HZ);
	assert_int_equal(status(x, 0), 0xb4);
}

static void test_counts_down(void **state)
{
	struct fixture *x = *state;

	program(x, 0, 2, 1000);
	assert_int_equal(latched_count(x, 0), 1000);
	ticks(x, 1);
	assert_int_equal(latched_count(x, 0), 999);
	ticks(x, 998);
	assert_int_equal(latched_count(x, 0), 1);
	assert_int_equal(status(x, 0) & 0x80, 0); /* low for the last tick */
	ticks(x, 1);
	assert_int_equal(latched_count(x, 0), 1000);
}

static void test_mode_3(void **state)
{
	struct fixture *x = *state;

	program(x, 0, 3, 1000);
	x->n_edges = 0;
	ticks(x, 100);
	assert_int_equal(latched_count(x, 0), 800); /* by twos */
	assert_int_equal(status(x, 0), 0xb6);
	ticks(x, 450);
	assert_int_equal(status(x, 0), 0x36);
	assert_int_equal(latched_count(x, 0), 900);
	ticks(x, 450);
	assert_int_equal(x->n_edges, 1);
	program(x, 0, 3, 0); /* 65536 */
	x->n_edges = 0;
	loop_fake_advance(x->f->m.loop, 10 * NSEC_PER_SEC);
	assert_int_equal(x->n_edges, 182);
}

static void test_mode_0_one_shot(void **state)
{
	struct fixture *x = *state;

	program(x, 0, 0, 5000);
	assert_false(irq_line_level(x->f->m.irq, 0));
	assert_int_equal(status(x, 0), 0x30);
	ticks(x, 4999);
	assert_int_equal(x->n_edges, 0);
	ticks(x, 2);
	assert_int_equal(x->n_edges, 1);
	assert_true(irq_line_level(x->f->m.irq, 0));
	assert_int_equal(status(x, 0), 0xb0);
	assert_in_range(latched_count(x, 0), 0xff00, 0xffff); /* goes on through zero */
	loop_fake_advance(x->f->m.loop, 10 * NSEC_PER_SEC);
	assert_int_equal(x->n_edges, 1);
}

/* How Linux switches the timer off, and asks for single shots. */
static void test_linux_oneshot_and_shutdown(void **state)
{
	struct fixture *x = *state;

	out(x, 3, 0x38); /* mode 4 */
	x->n_edges = 0;
	for (unsigned i = 0; i < 3; i++) {
		out(x, 0, 0x10);
		out(x, 0, 0x27);
		ticks(x, 10002);
		assert_int_equal(x->n_edges, i + 1);
	}
	loop_fake_advance(x->f->m.loop, NSEC_PER_SEC);
	assert_int_equal(x->n_edges, 3);
	program(x, 0, 2, 1000);
	program(x, 0, 0, 0);
	x->n_edges = 0;
	loop_fake_advance(x->f->m.loop, 10 * NSEC_PER_SEC);
	assert_int_equal(x->n_edges, 1);
}

static void test_new_count_at_end_of_period(void **state)
{
	struct fixture *x = *state;
	uint64_t start_ns;

	program(x, 0, 2, 10000);
	start_ns = machine_now_ns(&x->f->m);
	ticks(x, 5000);
	out(x, 0, 0xe8);
	out(x, 0, 0x03);                      /* 1000 */
	assert_int_equal(status(x, 0), 0xf4); /* null count */
	assert_in_range(latched_count(x, 0), 4990, 5000);
	x->n_edges = 0;
	ticks(x, 5001);
	assert_int_equal(x->n_edges, 1);
	assert_int_equal(x->last_edge_ns - start_ns, (10000ULL * NSEC_PER_SEC + HZ - 1) / HZ);
	assert_int_equal(status(x, 0), 0xb4);
	ticks(x, 1000);
	assert_int_equal(x->n_edges, 2);
}

/* A period below 100 µs is thinned out to whole multiples: a guest cannot keep the host busy. */
static void test_tiny_period(void **state)
{
	struct fixture *x = *state;

	program(x, 0, 2, 2);
	x->n_edges = 0;
	loop_fake_advance(x->f->m.loop, NSEC_PER_SEC);
	assert_int_equal(x->n_edges, HZ / 120);
}

static void test_speaker_channel(void **state)
{
	struct fixture *x = *state;

	/* Linux's and SeaBIOS's calibration: mode 0, gate on, wait for the output. */
	set_port61(x, 0x00);
	program(x, 2, 0, 2000);
	ticks(x, 5000);
	assert_int_equal(latched_count(x, 2), 2000); /* the gate is shut */
	assert_int_equal(port61(x) & 0x2f, 0x00);
	set_port61(x, 0x01);
	ticks(x, 1000);
	set_port61(x, 0x00);
	ticks(x, 5000);
	assert_in_range(latched_count(x, 2), 998, 1000);
	set_port61(x, 0x01);
	ticks(x, 998);
	assert_int_equal(port61(x) & 0x20, 0x00);
	ticks(x, 3);
	assert_int_equal(port61(x) & 0x2f, 0x21);
	assert_int_equal(x->n_edges, 0);
	set_port61(x, 0xff);
	assert_int_equal(port61(x) & 0xcf, 0x0f);
}

static void test_gate_triggers(void **state)
{
	struct fixture *x = *state;

	program(x, 2, 1, 100); /* one-shot by hardware */
	assert_int_equal(port61(x) & 0x20, 0x20);
	set_port61(x, 0x01);
	assert_int_equal(port61(x) & 0x20, 0x00);
	ticks(x, 50);
	set_port61(x, 0x00);
	set_port61(x, 0x01); /* again */
	ticks(x, 99);
	assert_int_equal(port61(x) & 0x20, 0x00);
	ticks(x, 2);
	assert_int_equal(port61(x) & 0x20, 0x20);

	program(x, 2, 3, 100);
	set_port61(x, 0x00); /* stops the square wave high */
	ticks(x, 70);
	assert_int_equal(port61(x) & 0x20, 0x20);
	set_port61(x, 0x01);
	ticks(x, 70);
	assert_int_equal(port61(x) & 0x20, 0x00);
}

static void test_refresh_toggles(void **state)
{
	struct fixture *x = *state;
	unsigned n = 0;
	uint8_t last = port61(x) & 0x10;

	for (unsigned i = 0; i < 1000; i++) {
		loop_fake_advance(x->f->m.loop, 1000);
		if ((port61(x) & 0x10) != last)
			n++;
		last = port61(x) & 0x10;
	}
	assert_in_range(n, 65, 67); /* each 15 µs */
}

static void test_access_modes_and_bcd(void **state)
{
	struct fixture *x = *state;

	out(x, 3, 0x94); /* channel 2, low byte only, mode 2 */
	set_port61(x, 1);
	out(x, 2, 0x80);
	assert_int_equal(in(x, 2), 0x80);
	assert_int_equal(in(x, 2), 0x80);
	out(x, 3, 0xa4); /* high byte only */
	out(x, 2, 0x12);
	assert_int_equal(in(x, 2), 0x12);
	out(x, 3, 0xb5); /* both, BCD */
	out(x, 2, 0x00);
	out(x, 2, 0x10); /* 1000 */
	ticks(x, 1);
	out(x, 3, 0x80);
	assert_int_equal(in(x, 2), 0x99);
	assert_int_equal(in(x, 2), 0x09);
	out(x, 3, 0xb4);
	out(x, 2, 0x34);
	out(x, 2, 0x12);
	assert_int_equal(in(x, 2), 0x34); /* not latched: low, high, low … */
	assert_int_equal(in(x, 2), 0x12);
	assert_int_equal(in(x, 2), 0x34);
}

static void test_read_back(void **state)
{
	struct fixture *x = *state;

	program(x, 0, 2, 0x1234);
	program(x, 1, 3, 0x5678);
	out(x, 3, 0xc6); /* count and status of channels 0 and 1 */
	ticks(x, 100);
	out(x, 3, 0xc6); /* a second latch is ignored */
	assert_int_equal(in(x, 0), 0xb4);
	assert_int_equal(in(x, 0), 0x34);
	assert_int_equal(in(x, 0), 0x12);
	assert_int_equal(in(x, 1), 0xb6);
	assert_int_equal(in(x, 1), 0x78);
	assert_int_equal(in(x, 1), 0x56);
	assert_int_equal(in(x, 3), 0xff);
}

static void test_reset(void **state)
{
	struct fixture *x = *state;

	program(x, 0, 2, 1000);
	device_reset(x->dev);
	x->n_edges = 0;
	loop_fake_advance(x->f->m.loop, NSEC_PER_SEC);
	assert_int_equal(x->n_edges, 0);
	assert_int_equal(status(x, 0) & 0x40, 0x40);
}

static void test_save_load(void **state)
{
	struct fixture *x = *state;
	struct fake_machine *f = fake_machine_new(MIB(1));
	struct fixture y = {.f = f};

	assert_int_equal(irq_add_sink(f->m.irq, count_edges, &y), 0);
	assert_int_equal(device_new(&i8254_class, &f->m, 0, &y.dev), 0);
	program(x, 0, 2, 10000);
	set_port61(x, 1);
	program(x, 2, 3, 5000);
	loop_fake_advance(x->f->m.loop, 12345678);
	out(x, 3, 0x00); /* half-way through reading */
	(void)in(x, 0);
	assert_save_load(x->dev, y.dev);
	assert_int_equal(in(x, 0), in(&y, 0));
	x->n_edges = y.n_edges = 0;
	loop_fake_advance(x->f->m.loop, 100 * NSEC_PER_MSEC);
	loop_fake_advance(f->m.loop, 100 * NSEC_PER_MSEC);
	assert_int_equal(x->n_edges, y.n_edges);
	assert_int_equal(latched_count(x, 0), latched_count(&y, 0));
	assert_int_equal(latched_count(x, 2), latched_count(&y, 2));
	(void)device_free(y.dev);
	(void)fake_machine_free(f);
}

static const struct fuzz_region regions[] = {{0, 4}, {0, 4}, {0, 4}, {1, 1}};

static void test_corrupt_state(void **state)
{
	struct fixture *x = *state;

	program(x, 0, 2, 10000);
	program(x, 2, 3, 5000);
	assert_survives_corruption(x->dev, regions, ARRAY_SIZE(regions));
}

static void test_fuzz(void **state)
{
	struct fixture *x = *state;
	struct fake_machine *f = fake_machine_new(MIB(1));
	struct device *fresh;
	uint64_t before_ns = machine_now_ns(&x->f->m), span_ms;

	assert_int_equal(device_new(&i8254_class, &f->m, 0, &fresh), 0);
	fuzz_device(x->dev, fresh, regions, ARRAY_SIZE(regions));
	/* Ten interrupts a millisecond, and one for each write, are the most a guest gets. */
	span_ms = (machine_now_ns(&x->f->m) - before_ns) / NSEC_PER_MSEC;
	assert_true(x->n_edges <= 10 * span_ms + FUZZ_ROUNDS);
	(void)device_free(fresh);
	(void)fake_machine_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mode_2_periodic, setup, teardown),
		cmocka_unit_test_setup_teardown(test_counts_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mode_3, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mode_0_one_shot, setup, teardown),
		cmocka_unit_test_setup_teardown(test_linux_oneshot_and_shutdown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_new_count_at_end_of_period, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tiny_period, setup, teardown),
		cmocka_unit_test_setup_teardown(test_speaker_channel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gate_triggers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refresh_toggles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_access_modes_and_bcd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_read_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_save_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_corrupt_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
