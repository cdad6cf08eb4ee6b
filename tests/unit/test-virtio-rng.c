/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-rng: answers, limits, hostile buffers, save and load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"
#include "tests/fakes/fake-driver.h"

struct fixture {
	struct fake_machine *f;
	struct device *root, *dev;
	struct fake_driver d;
	int write_fd; /* the other end of the source */
};

static void build(struct fixture *fx, bool with_source)
{
	*fx = (struct fixture){.f = fake_machine_new(MIB(4)), .write_fd = -EBADF};
	fx->f->config.rng.source = with_source ? VM_RNG_RANDOM : VM_RNG_BUILTIN;
	if (with_source) {
		int fds[2];

		assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
		fx->f->fds.rng = fds[0];
		fx->write_fd = fds[1];
	}
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(device_new(&virtio_rng_pci_class.class, &fx->f->m, 0, &fx->dev), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx->root), 0);
	assert_true(fake_driver_probe(&fx->d, fx->f, 4));
}

static void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	(void)device_free(fx->root);
	(void)safe_close(fx->f->fds.rng);
	(void)safe_close(fx->write_fd);
	(void)fake_machine_free(fx->f);
}

static uint64_t offer(struct fixture *fx, uint32_t len)
{
	uint64_t at = fake_driver_alloc(&fx->d, len);
	struct fake_part part = {.addr = at, .len = len, .writable = true};

	(void)fake_driver_add(&fx->d, 0, &part, 1);
	return at;
}

static void test_builtin(void **state)
{
	static const uint8_t zeroes[64];
	struct fixture fx;
	uint32_t id, len;
	uint64_t at;

	(void)state;
	build(&fx, false);
	fake_driver_start(&fx.d, UINT64_MAX);
	at = offer(&fx, 64);
	fake_driver_kick(&fx.d, 0);
	assert_true(fake_driver_used(&fx.d, 0, &id, &len));
	assert_int_equal(len, 64);
	assert_memory_not_equal(guest_mem_ptr(fx.f->m.mem, GPA(at), 64), zeroes, 64);
	assert_int_equal(fake_driver_interrupts(&fx.d, 1), 1);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 0);
	destroy(&fx);
}

static void test_source(void **state)
{
	struct fixture fx;
	uint32_t id, len;
	uint64_t at;

	(void)state;
	build(&fx, true);
	fake_driver_start(&fx.d, UINT64_MAX);
	at = offer(&fx, 64);
	fake_driver_kick(&fx.d, 0);
	/* Nothing there yet: the buffer stays out, and nobody waited. */
	assert_false(fake_driver_used(&fx.d, 0, &id, &len));
	assert_int_equal(write(fx.write_fd, "entropy", 7), 7);
	loop_fake_advance(fx.f->m.loop, 20 * NSEC_PER_MSEC);
	fake_driver_turn(&fx.d);
	assert_true(fake_driver_used(&fx.d, 0, &id, &len));
	assert_int_equal(len, 7);
	assert_memory_equal(guest_mem_ptr(fx.f->m.mem, GPA(at), 7), "entropy", 7);
	destroy(&fx);
}

static uint32_t drain(struct fixture *fx)
{
	uint32_t id, len, sum = 0;

	while (fake_driver_used(&fx->d, 0, &id, &len))
		sum += len;
	return sum;
}

static void test_rate(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, false);
	fx.f->config.rng.rate_bytes = 100;
	fx.f->config.rng.rate_period_ms = 1000;
	fake_driver_start(&fx.d, UINT64_MAX);
	for (unsigned i = 0; i < 10; i++)
		(void)offer(&fx, 64);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(drain(&fx), 100);
	loop_fake_advance(fx.f->m.loop, 500 * NSEC_PER_MSEC);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(drain(&fx), 0);
	/* A reset does not give a new allowance. */
	fake_driver_start(&fx.d, UINT64_MAX);
	(void)offer(&fx, 64);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(drain(&fx), 0);
	loop_fake_advance(fx.f->m.loop, 600 * NSEC_PER_MSEC);
	fake_driver_turn(&fx.d);
	assert_int_equal(drain(&fx), 64);
	destroy(&fx);
}

static void test_large(void **state)
{
	struct fixture fx;
	uint32_t id, len;

	(void)state;
	build(&fx, false);
	fake_driver_start(&fx.d, UINT64_MAX);
	/* A megabyte is a legal wish; one read's worth is a legal answer. */
	(void)offer(&fx, (uint32_t)MIB(1));
	fake_driver_kick(&fx.d, 0);
	assert_true(fake_driver_used(&fx.d, 0, &id, &len));
	assert_in_range(len, 1, 4096);
	/* 200 at once are more than one kick's budget; all are answered, over several turns. */
	for (unsigned i = 0; i < 200; i++)
		(void)offer(&fx, 4096);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(drain(&fx), 200 * 4096);
	destroy(&fx);
}

static void test_hostile(void **state)
{
	static const struct fake_part cases[] = {
		{.addr = 0x1000, .len = 64, .writable = false},
		{.addr = 0x1000, .len = 0, .writable = true},
		{.addr = MIB(4) - 32, .len = 64, .writable = true},
		{.addr = MIB(4), .len = 64, .writable = true},
		{.addr = UINT64_MAX - 15, .len = 64, .writable = true},
		{.addr = 0x1000, .len = 1U << 30, .writable = true},
		{.addr = 0x1000, .len = UINT32_MAX, .writable = true},
		{.addr = LAYOUT_ECAM_BASE, .len = 64, .writable = true},
		{.addr = LAYOUT_PCI32_BASE, .len = 64, .writable = true},
	};
	struct fixture fx;

	(void)state;
	build(&fx, false);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		fake_driver_start(&fx.d, UINT64_MAX);
		assert_int_equal(fake_driver_status(&fx.d), 0xf);
		(void)fake_driver_add(&fx.d, 0, &cases[i], 1);
		fake_driver_kick(&fx.d, 0);
		assert_int_equal(fake_driver_status(&fx.d), 0x4f);
		assert_int_equal(fake_driver_interrupts(&fx.d, 0), 1);
		assert_int_equal(fake_ring_used_idx(&fx.d.rings[0]), 0);
	}
	/* And it works again after a reset. */
	fake_driver_start(&fx.d, UINT64_MAX);
	(void)offer(&fx, 64);
	fake_driver_kick(&fx.d, 0);
	assert_int_equal(drain(&fx), 64);
	destroy(&fx);
}

static void test_save_load(void **state)
{
	struct fixture a, b;

	(void)state;
	build(&a, false);
	build(&b, false);
	a.f->config.rng.rate_bytes = b.f->config.rng.rate_bytes = 100;
	a.f->config.rng.rate_period_ms = b.f->config.rng.rate_period_ms = 1000;
	fake_driver_start(&a.d, UINT64_MAX);
	(void)offer(&a, 90);
	fake_driver_kick(&a.d, 0);
	assert_int_equal(drain(&a), 90);
	assert_true(a.dev->class->ops->quiesce(a.dev));
	memcpy(b.f->m.mem->regions[0].host, a.f->m.mem->regions[0].host, MIB(4));
	assert_int_equal(fake_save_load(a.dev, b.dev), 0);
	b.dev->class->ops->resume(b.dev);
	/* The driver goes on with the other machine and finds all as it left it. */
	b.d = a.d;
	b.d.f = b.f;
	b.d.rings[0].mem = b.f->m.mem;
	assert_int_equal(fake_driver_status(&b.d), 0xf);
	(void)offer(&b, 64);
	fake_driver_kick(&b.d, 0);
	assert_int_equal(drain(&b), 10);
	assert_int_equal(fake_driver_interrupts(&b.d, 1), 1);
	loop_fake_advance(b.f->m.loop, NSEC_PER_SEC);
	(void)offer(&b, 64);
	fake_driver_kick(&b.d, 0);
	assert_int_equal(drain(&b), 64);
	destroy(&a);
	destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_builtin),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_save_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
