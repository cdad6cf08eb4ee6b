/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-blk stopped by an error of the host's, reset with requests in flight, saved and loaded with some that wait; and states that
 * cannot be. */
#include "virtio-blk-fixture.h"

static void test_error_stop(void **state)
{
	struct fixture fx;
	uint64_t status[2];
	uint32_t len;

	(void)state;
	build_stopped(&fx, status);
	fx.dev->class->ops->resume(fx.dev);
	(void)wait_used(&fx, 0, &len);
	(void)wait_used(&fx, 0, &len);
	assert_int_equal(*host(&fx, status[0]), OK);
	assert_int_equal(*host(&fx, status[1]), OK);
	check_image(&fx, 8, 0xab);
	check_image(&fx, 9, 0xab);
	destroy(&fx);
}

/* A reset while requests wait forgets them. */
static void test_reset_while_stopped(void **state)
{
	struct fixture fx;
	uint64_t status[2];

	(void)state;
	build_stopped(&fx, status);
	fx.dev->class->ops->resume(fx.dev);
	turn_until_quiet(&fx);
	fx.dev->class->ops->resume(fx.dev);
	set_file_limit(4096);
	status[0] = offer_write(&fx, 10);
	fake_driver_kick(&fx.d, 0);
	turn_until_quiet(&fx);
	set_file_limit(RLIM_INFINITY);
	fx.d.heap = FAKE_DRIVER_HEAP;
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	fx.dev->class->ops->resume(fx.dev);
	check_image(&fx, 10, 11);
	assert_int_equal(request(&fx, 0, 0, NULL, 512, true), OK);
	destroy(&fx);
}

/* After a reset with requests in flight nothing is answered. */
static void test_reset_in_flight(void **state)
{
	struct fixture fx;
	uint32_t id, len;

	(void)state;
	build(&fx, &(struct vm_disk){.queues = 1, .io = VM_DISK_IO_THREADS});
	for (unsigned round = 0; round < 200; round++) {
		fx.d.heap = FAKE_DRIVER_HEAP;
		fake_driver_start(&fx.d, UINT64_MAX);
		for (unsigned i = 0; i < 20; i++)
			(void)offer_write(&fx, i);
		fake_bus_write(fx.f, BUS_MMIO, fx.d.notify, 2, 0);
		(void)loop_run_once(fx.f->m.loop, 0);
		reset_and_wait(&fx);
		while (fake_driver_used(&fx.d, 0, &id, &len))
			;
		fake_driver_turn(&fx.d);
		assert_false(fake_driver_used(&fx.d, 0, &id, &len));
	}
	destroy(&fx);
}

/* Two requests wait for the host; they are done by the machine that loads the state. */
static void test_save_load(void **state)
{
	struct fixture a, b;
	struct vm_disk disk;
	uint64_t status[2];
	uint32_t len;

	(void)state;
	build_stopped(&a, status);
	disk = *a.disk;
	build_on(&b, &disk, dup(a.image));
	fake_config_write(&a.d, 32, 1, 0);
	turn_until_quiet(&a);
	memcpy(b.f->m.mem->regions[0].host, a.f->m.mem->regions[0].host, RAM);
	assert_int_equal(fake_save_load(a.dev, b.dev), 0);
	move_driver(&a, &b);
	check_image(&b, 8, 9);
	b.dev->class->ops->resume(b.dev);
	(void)wait_used(&b, 0, &len);
	(void)wait_used(&b, 0, &len);
	assert_int_equal(*host(&b, status[0]), OK);
	assert_int_equal(*host(&b, status[1]), OK);
	check_image(&b, 8, 0xab);
	check_image(&b, 9, 0xab);
	assert_int_equal(fake_config_read(&b.d, 32, 1), 0);
	assert_int_equal(request(&b, 0, 20, NULL, 512, true), OK);
	destroy(&a);
	destroy(&b);
}

/* What a state may not say. The model's part is the payload's end: capacity, cache bits, count, pairs. */
static void test_corrupt_state(void **state)
{
	static const struct {
		unsigned from_end; /* offset of the byte, counted from the end */
		uint8_t xor ;
	} rows[] = {
		{20, 0x01}, /* capacity */
		{12, 0x02}, /* writeback 3 */
		{11, 0x02}, /* cache 3 */
		{10, 0x01}, /* 3 requests, and nothing behind */
		{10, 0x03}, /* 1 request, and bytes left over */
		{9, 0x80},  /* 32770 requests */
		{8, 0x01},  /* queue 1 */
		{4, 0x20},  /* queue 32 */
		{1, 0xff},  /* a head beyond the ring */
	};
	struct fixture a, b;
	struct vm_disk disk;
	uint64_t status[2];
	struct state_writer w;

	(void)state;
	build_stopped(&a, status);
	disk = *a.disk;
	build_on(&b, &disk, dup(a.image));
	memcpy(b.f->m.mem->regions[0].host, a.f->m.mem->regions[0].host, RAM);
	state_writer_init(&w);
	assert_int_equal(device_save(a.dev, &w), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct state_reader r;
		size_t offset = 0;
		uint8_t *copy;

		assert_int_equal(state_next(w.data, w.len, &offset, &r), 1);
		copy = malloc(r.len);
		memcpy(copy, r.data, r.len);
		copy[r.len - rows[i].from_end] ^= rows[i].xor ;
		r.data = copy;
		if (device_load(b.dev, &r) != -EBADMSG)
			fail_msg("row %zu was taken", i);
		free(copy);
	}
	/* The same chain twice. */
	{
		struct state_reader r;
		size_t offset = 0;
		uint8_t *copy;

		assert_int_equal(state_next(w.data, w.len, &offset, &r), 1);
		copy = malloc(r.len);
		memcpy(copy, r.data, r.len);
		memcpy(copy + r.len - 4, copy + r.len - 8, 4);
		r.data = copy;
		assert_int_equal(device_load(b.dev, &r), -EBADMSG);
		free(copy);
	}
	/* The refusals left nothing behind. */
	assert_int_equal(fake_save_load(a.dev, b.dev), 0);
	state_writer_done(&w);
	destroy(&a);
	destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_stop),
		cmocka_unit_test(test_reset_while_stopped),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_corrupt_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
