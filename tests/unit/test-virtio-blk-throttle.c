/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-blk held to a rate: when requests pass, a pause, a reset, save and load while some wait, and who shares a throttle. */
#include "virtio-blk-fixture.h"

/* One operation a second: of three writes the first passes, two wait. */
static void build_throttled(struct fixture *fx, uint64_t status[3])
{
	build(fx, &(struct vm_disk){.queues = 1, .iotune.rate[VM_IOTUNE_TOTAL_IOPS] = 1});
	fake_driver_start(&fx->d, UINT64_MAX);
	for (unsigned i = 0; i < 3; i++)
		status[i] = offer_write(fx, 8 + i);
	fake_driver_kick(&fx->d, 0);
}

static void test_throttle(void **state)
{
	struct fixture fx;
	uint64_t status[3];
	uint32_t len;

	(void)state;
	build_throttled(&fx, status);
	for (unsigned i = 0; i < 3; i++) {
		if (i)
			loop_fake_advance(fx.f->m.loop, NSEC_PER_SEC);
		(void)wait_used(&fx, 0, &len);
		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(*host(&fx, status[k]), k <= i ? OK : NOTHING);
	}
	check_image(&fx, 10, 0xab);
	/* A limit is no less than a limit after a reset. */
	reset_and_wait(&fx);
	fx.d.heap = FAKE_DRIVER_HEAP;
	fake_driver_start(&fx.d, UINT64_MAX);
	status[0] = offer_write(&fx, 12);
	fake_driver_kick(&fx.d, 0);
	(void)loop_run_once(fx.f->m.loop, 0);
	assert_int_equal(*host(&fx, status[0]), NOTHING);
	loop_fake_advance(fx.f->m.loop, NSEC_PER_SEC);
	(void)wait_used(&fx, 0, &len);
	assert_int_equal(*host(&fx, status[0]), OK);
	destroy(&fx);
}

/* A pause does not wait for the limit, and what waited goes on after it. */
static void test_pause_while_throttled(void **state)
{
	struct fixture fx;
	uint64_t status[3];
	uint32_t len;

	(void)state;
	build_throttled(&fx, status);
	(void)wait_used(&fx, 0, &len);
	turn_until_quiet(&fx);
	loop_fake_advance(fx.f->m.loop, 3600 * NSEC_PER_SEC);
	(void)loop_run_once(fx.f->m.loop, 0);
	assert_true(fx.dev->class->ops->quiesce(fx.dev));
	assert_int_equal(*host(&fx, status[1]), NOTHING);
	fx.dev->class->ops->resume(fx.dev);
	(void)wait_used(&fx, 0, &len);
	assert_int_equal(*host(&fx, status[1]), OK);
	assert_int_equal(*host(&fx, status[2]), NOTHING);
	loop_fake_advance(fx.f->m.loop, NSEC_PER_SEC);
	(void)wait_used(&fx, 0, &len);
	assert_int_equal(*host(&fx, status[2]), OK);
	destroy(&fx);
}

/* A reset by the driver or of the machine ends at once, and forgets what waited. */
static void test_reset_while_throttled(void **state)
{
	struct fixture fx;
	uint64_t status[3];
	uint32_t len;

	(void)state;
	build_throttled(&fx, status);
	(void)wait_used(&fx, 0, &len);
	reset_and_wait(&fx);
	loop_fake_advance(fx.f->m.loop, 3600 * NSEC_PER_SEC);
	(void)loop_run_once(fx.f->m.loop, 0);
	check_image(&fx, 8, 0xab);
	check_image(&fx, 9, 10);
	fx.d.heap = FAKE_DRIVER_HEAP;
	fake_driver_start(&fx.d, UINT64_MAX);
	for (unsigned i = 0; i < 3; i++)
		status[i] = offer_write(&fx, 20 + i);
	fake_driver_kick(&fx.d, 0);
	(void)wait_used(&fx, 0, &len);
	turn_until_quiet(&fx);
	device_reset(fx.dev);
	fx.dev->class->ops->resume(fx.dev);
	loop_fake_advance(fx.f->m.loop, 3600 * NSEC_PER_SEC);
	(void)loop_run_once(fx.f->m.loop, 0);
	check_image(&fx, 20, 0xab);
	check_image(&fx, 21, 22);
	assert_true(fx.dev->class->ops->quiesce(fx.dev));
	destroy(&fx);
}

/* Requests that wait for their turn are done by the machine that loads the state. */
static void test_save_load_while_throttled(void **state)
{
	struct fixture a, b;
	struct vm_disk disk;
	uint64_t status[3];
	uint32_t len;

	(void)state;
	build_throttled(&a, status);
	(void)wait_used(&a, 0, &len);
	turn_until_quiet(&a);
	disk = *a.disk;
	build_on(&b, &disk, dup(a.image));
	memcpy(b.f->m.mem->regions[0].host, a.f->m.mem->regions[0].host, RAM);
	assert_int_equal(fake_save_load(a.dev, b.dev), 0);
	move_driver(&a, &b);
	check_image(&b, 9, 10);
	assert_int_equal(*host(&b, status[1]), NOTHING);
	b.dev->class->ops->resume(b.dev);
	(void)wait_used(&b, 0, &len);
	assert_int_equal(*host(&b, status[1]), OK);
	assert_int_equal(*host(&b, status[2]), NOTHING);
	loop_fake_advance(b.f->m.loop, NSEC_PER_SEC);
	(void)wait_used(&b, 0, &len);
	assert_int_equal(*host(&b, status[2]), OK);
	check_image(&b, 9, 0xab);
	check_image(&b, 10, 0xab);
	destroy(&a);
	destroy(&b);
}

/* Who shares a throttle with whom. */
static void test_throttle_groups(void **state)
{
	static const struct {
		const char *group;
		uint64_t rate;
	} rows[] = {{"a", 5}, {"b", 5}, {"", 5}, {"a", 5}, {"", 5}, {"", 0}};
	struct fake_machine *f = fake_machine_new(RAM);
	struct device *root, *devs[ARRAY_SIZE(rows)];

	(void)state;
	f->config.n_disks = ARRAY_SIZE(rows);
	assert_int_equal(device_new(&q35_host_class, &f->m, 0, &root), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vm_iotune *tune = &f->config.disks[i].iotune;

		strcpy(tune->group, rows[i].group);
		tune->rate[VM_IOTUNE_TOTAL_IOPS] = rows[i].rate;
		f->fds.disks[i] = memfd_create("disk", MFD_CLOEXEC);
		assert_int_equal(ftruncate(f->fds.disks[i], SIZE), 0);
		assert_int_equal(device_new(&virtio_blk_pci_class.class, &f->m, i, &devs[i]), 0);
	}
	assert_ptr_equal(f->m.throttles[0], f->m.throttles[3]);
	assert_null(f->m.throttles[5]);
	for (unsigned i = 0; i < 5; i++)
		for (unsigned j = i + 1; j < 5; j++)
			if (i != 0 || j != 3)
				assert_ptr_not_equal(f->m.throttles[i], f->m.throttles[j]);
	/* The group goes with its last disk. */
	(void)device_free(devs[0]);
	assert_null(f->m.throttles[0]);
	assert_non_null(f->m.throttles[3]);
	for (unsigned i = 1; i < ARRAY_SIZE(rows); i++)
		(void)device_free(devs[i]);
	(void)device_free(root);
	(void)fake_machine_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_throttle),
		cmocka_unit_test(test_pause_while_throttled),
		cmocka_unit_test(test_reset_while_throttled),
		cmocka_unit_test(test_save_load_while_throttled),
		cmocka_unit_test(test_throttle_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
