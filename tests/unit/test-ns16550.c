/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The serial port by its data sheet, over a socketpair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/socket.h>

#include "devices/legacy/legacy.h"
#include "tests/fakes/fuzz-device.h"
#include "vmm-core/chardev.h"

enum { RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR };

struct fixture {
	struct fake_machine *f;
	struct device *dev;
	int peer;
	unsigned n_edges; /* of GSI 4 */
};

static void count_edges(void *opaque, unsigned gsi, bool level)
{
	struct fixture *x = opaque;

	if (gsi == LAYOUT_GSI_COM1 && level)
		x->n_edges++;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	int s[2];

	assert_non_null(x);
	x->f = fake_machine_new(MIB(1));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, s), 0);
	x->peer = s[1];
	assert_int_equal(chardev_new(x->f->m.loop, s[0], 0, &x->f->m.serials[0]), 0);
	assert_int_equal(irq_add_sink(x->f->m.irq, count_edges, x), 0);
	assert_int_equal(device_new(&ns16550_class, &x->f->m, 0, &x->dev), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	(void)device_free(x->dev);
	(void)chardev_free(x->f->m.serials[0]);
	(void)close(x->peer);
	(void)fake_machine_free(x->f);
	free(x);
	return 0;
}

static void out(struct fixture *x, unsigned reg, uint8_t value)
{
	device_write(x->dev, 0, reg, 1, value);
}

static uint8_t in(struct fixture *x, unsigned reg)
{
	return (uint8_t)device_read(x->dev, 0, reg, 1);
}

static void pump(struct fixture *x)
{
	for (unsigned i = 0; i < 4; i++) {
		while (loop_run_once(x->f->m.loop, 0) > 0)
			;
		loop_fake_advance(x->f->m.loop, NSEC_PER_MSEC);
	}
}

static void send_input(struct fixture *x, const char *s)
{
	assert_int_equal(write(x->peer, s, strlen(s)), strlen(s));
	pump(x);
}

static bool line(struct fixture *x)
{
	return irq_line_level(x->f->m.irq, LAYOUT_GSI_COM1);
}

static void test_power_on(void **state)
{
	struct fixture *x = *state;

	assert_int_equal(in(x, IER), 0);
	assert_int_equal(in(x, IIR), 0x01);
	assert_int_equal(in(x, LCR), 0);
	assert_int_equal(in(x, MCR), 0);
	assert_int_equal(in(x, LSR), 0x60);
	assert_int_equal(in(x, MSR), 0xb0);
	out(x, SCR, 0x5a);
	assert_int_equal(in(x, SCR), 0x5a);
	out(x, IER, 0xff);
	assert_int_equal(in(x, IER), 0x0f);
}

static void test_divisor_latch(void **state)
{
	struct fixture *x = *state;

	out(x, LCR, 0x83);
	out(x, RBR, 0x34);
	out(x, IER, 0x12);
	assert_int_equal(in(x, RBR), 0x34);
	assert_int_equal(in(x, IER), 0x12);
	out(x, LCR, 0x03);
	assert_int_equal(in(x, IER), 0);
	assert_int_equal(in(x, LSR), 0x60); /* nothing was sent or received */
}

static void test_output(void **state)
{
	struct fixture *x = *state;
	char buf[16];

	device_write(x->dev, 0, RBR, 1, 'h');
	out(x, RBR, 'i');
	assert_int_equal(in(x, LSR), 0x60);
	pump(x);
	assert_int_equal(read(x->peer, buf, sizeof(buf)), 2);
	assert_memory_equal(buf, "hi", 2);
}

static void test_thre_interrupt(void **state)
{
	struct fixture *x = *state;

	out(x, IER, 2);
	assert_true(line(x));
	assert_int_equal(in(x, IIR), 0x02);
	assert_int_equal(in(x, IIR), 0x01); /* reading it took it back */
	assert_false(line(x));
	out(x, RBR, 'a');
	assert_true(line(x));
	assert_int_equal(in(x, IIR), 0x02);
	/* Linux's test for a lost THRE interrupt: off and on again. */
	out(x, IER, 0);
	out(x, IER, 2);
	assert_int_equal(in(x, IIR), 0x02);
}

/* A driver that fills the FIFO after looking at IIR gets one edge; one that never looks gets one for each byte. */
static void test_edges(void **state)
{
	struct fixture *x = *state;

	out(x, IIR, 0x01);
	out(x, IER, 2);
	assert_int_equal(x->n_edges, 1);
	for (unsigned i = 0; i < 16; i++)
		out(x, RBR, 'n');
	assert_int_equal(x->n_edges, 17);
	assert_int_equal(in(x, IIR), 0xc2);
	for (unsigned i = 0; i < 16; i++)
		out(x, RBR, 'y');
	assert_int_equal(x->n_edges, 18);
}

static void test_input_fifo(void **state)
{
	struct fixture *x = *state;

	out(x, IIR, 0x81); /* FIFO, trigger 8 */
	out(x, IER, 1);
	send_input(x, "abc");
	assert_true(line(x));
	assert_int_equal(in(x, IIR), 0xcc); /* below the trigger: timeout */
	send_input(x, "defgh");
	assert_int_equal(in(x, IIR), 0xc4);
	for (const char *p = "abcdefgh"; *p; p++) {
		assert_int_equal(in(x, LSR), 0x61);
		assert_int_equal(in(x, RBR), *p);
	}
	assert_int_equal(in(x, LSR), 0x60);
	assert_int_equal(in(x, IIR), 0xc1);
	assert_false(line(x));
	assert_int_equal(in(x, RBR), 0);
}

static void test_input_back_pressure(void **state)
{
	struct fixture *x = *state;
	const char *text = "The quick brown fox jumps over the lazy dog";
	unsigned n = 0;

	out(x, IIR, 0x01);
	send_input(x, text);
	for (unsigned i = 0; i < 200 && text[n]; i++) {
		if (in(x, LSR) & 1)
			assert_int_equal(in(x, RBR), text[n++]);
		else
			pump(x);
	}
	assert_int_equal(n, strlen(text)); /* not a byte was lost */
}

static void test_output_back_pressure(void **state)
{
	struct fixture *x = *state;
	uint64_t sent = 0, seen = 0;
	uint8_t buf[4096];
	ssize_t n;

	out(x, IIR, 0x01);
	while (in(x, LSR) & 0x20) {
		out(x, RBR, (uint8_t)(sent % 251));
		sent++;
		if (sent % 64 == 0)
			pump(x);
		assert_true(sent < 10000000);
	}
	out(x, IER, 2);
	assert_int_equal(in(x, IIR), 0xc1); /* not empty: no interrupt */
	for (unsigned i = 1; i < 16; i++, sent++)
		out(x, RBR, (uint8_t)(sent % 251));
	for (unsigned i = 0; i < 1000; i++) {
		while ((n = read(x->peer, buf, sizeof(buf))) > 0)
			for (ssize_t j = 0; j < n; j++, seen++)
				assert_int_equal(buf[j], seen % 251);
		pump(x);
	}
	assert_int_equal(seen, sent);
	assert_int_equal(in(x, LSR), 0x60);
	assert_true(line(x));
	assert_int_equal(in(x, IIR), 0xc2);
}

static void test_loopback(void **state)
{
	struct fixture *x = *state;
	char c;

	out(x, MCR, 0x10);
	assert_int_equal(in(x, MSR) & 0xf0, 0);
	out(x, MCR, 0x1a); /* Linux's presence test: RTS and OUT2 */
	assert_int_equal(in(x, MSR), 0x90 | 0x09);
	out(x, MCR, 0x14);
	(void)in(x, MSR);
	out(x, MCR, 0x10);
	assert_int_equal(in(x, MSR), 0x04); /* the ring ended */
	out(x, RBR, 'x');
	assert_int_equal(in(x, LSR), 0x61);
	out(x, RBR, 'y');
	out(x, IER, 4);
	assert_int_equal(in(x, IIR), 0x06);
	assert_int_equal(in(x, LSR), 0x63); /* overrun without FIFO */
	assert_int_equal(in(x, IIR), 0x01);
	assert_int_equal(in(x, RBR), 'x');
	pump(x);
	assert_int_equal(read(x->peer, &c, 1), -1);
}

static void test_modem_interrupt(void **state)
{
	struct fixture *x = *state;

	out(x, IER, 8);
	assert_int_equal(in(x, IIR), 0x01);
	out(x, MCR, 0x10);
	assert_int_equal(in(x, IIR), 0x00);
	assert_true(line(x));
	(void)in(x, MSR);
	assert_false(line(x));
}

static void test_fifo_control(void **state)
{
	struct fixture *x = *state;

	out(x, IIR, 0x01);
	send_input(x, "abc");
	out(x, IIR, 0x03);
	assert_int_equal(in(x, LSR), 0x60);
	send_input(x, "d");
	out(x, IIR, 0x00); /* switching the FIFO off empties it */
	assert_int_equal(in(x, LSR), 0x60);
	assert_int_equal(in(x, IIR), 0x01);
}

static void test_wide_access_is_bytes(void **state)
{
	struct fixture *x = *state;

	device_write(x->dev, 0, LCR, 2, 0x1013); /* LCR 13, MCR 10 */
	assert_int_equal(in(x, LCR), 0x13);
	assert_int_equal(in(x, MCR), 0x10);
	assert_int_equal(device_read(x->dev, 0, LCR, 2), 0x1013);
}

static void test_null_backend(void **state)
{
	struct fixture *x = *state;
	struct device *dev;

	x->f->config.serials[1].port = 1;
	assert_int_equal(device_new(&ns16550_class, &x->f->m, 1, &dev), 0);
	device_write(dev, 0, IER, 1, 2);
	assert_true(irq_line_level(x->f->m.irq, LAYOUT_GSI_COM2));
	device_write(dev, 0, RBR, 1, 'x');
	assert_int_equal(device_read(dev, 0, LSR, 1), 0x60);
	(void)device_free(dev);
	assert_false(irq_line_level(x->f->m.irq, LAYOUT_GSI_COM2));
}

static void test_reset(void **state)
{
	struct fixture *x = *state;

	out(x, IER, 2);
	assert_true(line(x));
	device_reset(x->dev);
	assert_false(line(x));
	test_power_on(state);
}

static void test_save_load(void **state)
{
	struct fixture *x = *state;
	struct fake_machine *f = fake_machine_new(MIB(1));
	struct device *fresh;

	assert_int_equal(device_new(&ns16550_class, &f->m, 0, &fresh), 0);
	out(x, IIR, 0xc1);
	out(x, IER, 1);
	send_input(x, "save me");
	assert_save_load(x->dev, fresh);
	assert_true(irq_line_level(f->m.irq, LAYOUT_GSI_COM1));
	assert_int_equal(device_read(fresh, 0, IIR, 1), 0xcc);
	for (const char *p = "save me"; *p; p++)
		assert_int_equal(device_read(fresh, 0, RBR, 1), *p);
	assert_false(irq_line_level(f->m.irq, LAYOUT_GSI_COM1));
	(void)device_free(fresh);
	(void)fake_machine_free(f);
}

static const struct fuzz_region regions[] = {{0, 8}};

static void test_corrupt_state(void **state)
{
	struct fixture *x = *state;

	out(x, IIR, 0x01);
	send_input(x, "0123456789abcdef");
	assert_survives_corruption(x->dev, regions, ARRAY_SIZE(regions));
}

static void test_fuzz(void **state)
{
	struct fixture *x = *state;
	struct fake_machine *f = fake_machine_new(MIB(1));
	struct device *fresh;
	char buf[4096];

	assert_int_equal(device_new(&ns16550_class, &f->m, 0, &fresh), 0);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(write(x->peer, "fuzz", 4), 4);
	pump(x);
	fuzz_device(x->dev, NULL, regions, ARRAY_SIZE(regions));
	while (read(x->peer, buf, sizeof(buf)) > 0)
		pump(x);
	fuzz_device(fresh, x->dev, regions, ARRAY_SIZE(regions));
	(void)device_free(fresh);
	(void)fake_machine_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_power_on, setup, teardown),
		cmocka_unit_test_setup_teardown(test_divisor_latch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_thre_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_fifo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_back_pressure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_output_back_pressure, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loopback, setup, teardown),
		cmocka_unit_test_setup_teardown(test_modem_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fifo_control, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wide_access_is_bytes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_null_backend, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_save_load, setup, teardown),
		cmocka_unit_test_setup_teardown(test_corrupt_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fuzz, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
