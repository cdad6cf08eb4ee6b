/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-blk as a driver sees it, over real files: what it offers, requests in every layout, what a hostile driver gets, errors of the
 * host. Held to a rate: test-virtio-blk-throttle.c; stopped, saved, loaded: test-virtio-blk-state.c. */
#include "virtio-blk-fixture.h"

static void test_offer(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx,
		&(struct vm_disk){.discard = VM_DISK_DISCARD_UNMAP,
			.logical_block = 512,
			.physical_block = 4096});
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	assert_int_equal(fx.d.features,
		BIT(2) | BIT(6) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) |
			BIT(28) | BIT(29) | BIT(32));
	assert_int_equal(fake_config_read(&fx.d, 0, 8), SECTORS);
	assert_int_equal(fake_config_read(&fx.d, 12, 4), 254);
	assert_int_equal(fake_config_read(&fx.d, 20, 4), 512);
	assert_int_equal(fake_config_read(&fx.d, 24, 1), 3);
	assert_int_equal(fake_config_read(&fx.d, 32, 1), 1);
	assert_int_equal(fake_config_read(&fx.d, 34, 2), 2);
	assert_int_equal(fake_config_read(&fx.d, 40, 4), 1);
	assert_int_equal(fake_config_read(&fx.d, 52, 4), 1);
	assert_int_equal(fake_config_read(&fx.d, 56, 1), 1);
	assert_int_equal(fx.d.config_len, 60);
	assert_int_equal(fx.d.n_queues, 2);
	assert_int_equal(fx.stats->disks[0].capacity, SIZE);
	destroy(&fx);
	/* A CD is a disk that cannot be written. */
	build(&fx, &(struct vm_disk){.device = VM_DISK_DEVICE_CDROM, .queues = 1});
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(
		fx.d.features, BIT(2) | BIT(5) | BIT(6) | BIT(10) | BIT(28) | BIT(29) | BIT(32));
	assert_int_equal(request(&fx, 1, 0, NULL, 512, false), IOERR);
	assert_int_equal(request(&fx, 0, 0, NULL, 512, true), OK);
	assert_int_equal(range_request(&fx, 13, 0, 1, 0), UNSUPP);
	check_image(&fx, 0, 1);
	destroy(&fx);
}

static void test_requests(void **state)
{
	struct fixture fx;
	uint8_t buf[8192], id[20];

	(void)state;
	build(&fx, &(struct vm_disk){.discard = VM_DISK_DISCARD_UNMAP, .serial = "WD-12345"});
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(request(&fx, 0, 3, buf, 1024, true), OK);
	assert_int_equal(buf[0], 4);
	assert_int_equal(buf[1023], 5);
	memset(buf, 0xcc, sizeof(buf));
	assert_int_equal(request(&fx, 1, 10, buf, 8192, false), OK);
	check_image(&fx, 9, 10);
	check_image(&fx, 10, 0xcc);
	check_image(&fx, 25, 0xcc);
	check_image(&fx, 26, 27);
	assert_int_equal(request(&fx, 4, 0, NULL, 0, false), OK);
	assert_int_equal(request(&fx, 8, 0, id, 20, true), OK);
	assert_memory_equal(id, "WD-12345\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	memset(id, 'x', 20);
	assert_int_equal(request(&fx, 8, 0, id, 4, true), OK);
	assert_memory_equal(id, "WD-1xxxx", 8);
	assert_int_equal(range_request(&fx, 13, 12, 2, 0), OK);
	check_image(&fx, 11, 0xcc);
	check_image(&fx, 12, 0);
	check_image(&fx, 13, 0);
	check_image(&fx, 14, 0xcc);
	assert_int_equal(range_request(&fx, 13, 14, 1, 1), OK);
	check_image(&fx, 14, 0);
	assert_int_equal(range_request(&fx, 11, 16, 8, 0), OK);
	check_image(&fx, 16, 0);
	assert_int_equal(fx.stats->disks[0].rd_reqs, 1);
	assert_int_equal(fx.stats->disks[0].rd_bytes, 1024);
	assert_int_equal(fx.stats->disks[0].wr_bytes, 8192 + 3 * 512);
	assert_int_equal(fx.stats->disks[0].fl_reqs, 1);
	assert_true(fake_driver_interrupts(&fx.d, 1) >= 1);
	destroy(&fx);
}

/* The header byte by byte, data in pieces of any length, the status byte behind the data in one descriptor. */
static void test_layouts(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, &(struct vm_disk){.queues = 1});
	fake_driver_start(&fx.d, UINT64_MAX);
	for (unsigned indirect = 0; indirect < 2; indirect++) {
		for (unsigned write = 0; write < 2; write++) {
			static const uint32_t cuts[] = {1, 511, 513, 0, 7, 504};
			uint64_t at = header(&fx, write, 5), data = fake_driver_alloc(&fx.d, 1537);
			struct fake_part parts[32];
			unsigned n = 0;
			uint32_t len, pos = 0;

			for (; n < 16; n++)
				parts[n] = (struct fake_part){at + n, 1, false};
			for (unsigned i = 0; i < ARRAY_SIZE(cuts); i++) {
				/* Empty descriptors are none. */
				if (!cuts[i])
					continue;
				parts[n++] = (struct fake_part){data + pos, cuts[i], !write};
				pos += cuts[i];
			}
			assert_int_equal(pos, 1536);
			if (write)
				parts[n++] = (struct fake_part){data + pos, 1, true};
			else
				parts[n - 1].len++;
			memset(host(&fx, data), 0x77, 1536);
			*host(&fx, data + 1536) = NOTHING;
			if (indirect)
				(void)fake_ring_add_indirect(
					&fx.d.rings[0], fake_driver_alloc(&fx.d, 16 * n), parts, n);
			else
				(void)fake_driver_add(&fx.d, 0, parts, n);
			fake_driver_kick(&fx.d, 0);
			(void)wait_used(&fx, 0, &len);
			assert_int_equal(*host(&fx, data + 1536), OK);
			assert_int_equal(len, write ? 1 : 1537);
			if (write)
				check_image(&fx, 7, 0x77);
			else
				assert_int_equal(*host(&fx, data + 1535), indirect ? 0x77 : 8);
		}
	}
	destroy(&fx);
}

static void test_hostile(void **state)
{
	static const struct {
		const char *name;
		uint32_t type;
		uint64_t sector;
		uint32_t header_len, data_len, status_len;
		bool writable;
		unsigned answer;
	} rows[] = {
		{"read behind the end", 0, SECTORS, 16, 512, 1, true, IOERR},
		{"read over the end", 0, SECTORS - 1, 16, 1024, 1, true, IOERR},
		{"last sector there is", 0, UINT64_MAX, 16, 512, 1, true, IOERR},
		{"sector whose bytes wrap", 0, UINT64_C(1) << 55, 16, 512, 1, true, IOERR},
		{"sector that wraps to 0", 0, (UINT64_C(1) << 55) + 0, 16, 512, 1, true, IOERR},
		{"sector 2^63", 1, UINT64_C(1) << 63, 16, 512, 1, false, IOERR},
		{"write behind the end", 1, SECTORS, 16, 512, 1, false, IOERR},
		{"511 bytes to read", 0, 0, 16, 511, 1, true, IOERR},
		{"513 bytes to write", 1, 0, 16, 513, 1, false, IOERR},
		{"one byte to write", 1, 0, 16, 1, 1, false, IOERR},
		{"nothing to read", 0, 0, 16, 0, 1, true, OK},
		{"nothing to write", 1, 0, 16, 0, 1, false, OK},
		{"a read without room", 0, 0, 16, 512, 1, false, OK}, /* reads nothing */
		{"type 2 (SCSI)", 2, 0, 16, 512, 1, true, UNSUPP},
		{"type 14 (secure erase)", 14, 0, 16, 16, 1, false, UNSUPP},
		{"type 0xffffffff", UINT32_MAX, 0, 16, 512, 1, true, UNSUPP},
		{"discard not offered", 11, 0, 16, 16, 1, false, UNSUPP},
		{"zeroes without a range", 13, 0, 16, 0, 1, false, IOERR},
		{"zeroes with half a range", 13, 0, 16, 8, 1, false, IOERR},
		{"zeroes with two ranges", 13, 0, 16, 32, 1, false, IOERR},
		{"flush with a sector", 4, UINT64_MAX, 16, 0, 1, false, OK},
		{"id without room", 8, 0, 16, 0, 1, true, OK},
		{"no header", 0, 0, 0, 512, 1, true, FAILED},
		{"15 bytes of header", 0, 0, 15, 512, 1, true, FAILED},
		{"no status", 1, 0, 16, 512, 0, false, FAILED},
		{"a flush without status", 4, 0, 16, 0, 0, false, FAILED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture fx;
		struct fake_part parts[3];
		uint64_t status;
		unsigned n = 0, answer;
		uint32_t len;

		build(&fx, &(struct vm_disk){.queues = 1});
		fake_driver_start(&fx.d, UINT64_MAX);
		status = fake_driver_alloc(&fx.d, 1);
		*host(&fx, status) = NOTHING;
		if (rows[i].header_len)
			parts[n++] = (struct fake_part){header(&fx, rows[i].type, rows[i].sector),
				rows[i].header_len, false};
		if (rows[i].data_len)
			parts[n++] = (struct fake_part){fake_driver_alloc(&fx.d, rows[i].data_len),
				rows[i].data_len, rows[i].writable};
		if (rows[i].status_len)
			parts[n++] = (struct fake_part){status, rows[i].status_len, true};
		(void)fake_driver_add(&fx.d, 0, parts, n);
		fake_driver_kick(&fx.d, 0);
		if (rows[i].answer != FAILED)
			(void)wait_used(&fx, 0, &len);
		answer = *host(&fx, status);
		if (fake_driver_status(&fx.d) & FAILED)
			answer = FAILED;
		if (answer != rows[i].answer)
			fail_msg("%s: %u, not %u", rows[i].name, answer, rows[i].answer);
		for (unsigned s = 0; s < SECTORS; s++)
			check_image(&fx, s, 1 + (int)s % 250);
		/* After a reset it works again. */
		fx.d.heap = FAKE_DRIVER_HEAP;
		fake_driver_start(&fx.d, UINT64_MAX);
		assert_int_equal(fake_driver_status(&fx.d), 0xf);
		assert_int_equal(request(&fx, 0, 0, NULL, 512, true), OK);
		destroy(&fx);
	}
}

static void test_hostile_ranges(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		uint32_t n, flags;
		unsigned answer;
	} rows[] = {
		{11, 0, 0, 0, OK},
		{11, SECTORS, 0, 0, OK},
		{11, SECTORS, 1, 0, IOERR},
		{11, 0, SECTORS + 1, 0, IOERR},
		{11, 0, UINT32_MAX, 0, IOERR},
		{11, UINT64_MAX, 2, 0, IOERR},
		{11, UINT64_C(1) << 55, 1, 0, IOERR},
		{11, 0, 1, 1, UNSUPP}, /* unmap means nothing here */
		{11, 0, 1, UINT32_C(1) << 31, UNSUPP},
		{13, 0, 1, 2, UNSUPP},
		{13, 0, 0x400000, 0, IOERR},
		{13, SECTORS - 1, 2, 1, IOERR},
	};
	struct fixture fx;

	(void)state;
	build(&fx, &(struct vm_disk){.queues = 1, .discard = VM_DISK_DISCARD_UNMAP});
	fake_driver_start(&fx.d, UINT64_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		unsigned answer =
			range_request(&fx, rows[i].type, rows[i].sector, rows[i].n, rows[i].flags);

		if (answer != rows[i].answer)
			fail_msg("row %zu: %u", i, answer);
	}
	for (unsigned s = 0; s < SECTORS; s++)
		check_image(&fx, s, 1 + (int)s % 250);
	destroy(&fx);
}

/* 4096-byte blocks: nothing smaller is answered. */
static void test_large_blocks(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, &(struct vm_disk){.queues = 1, .logical_block = 4096});
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(fake_config_read(&fx.d, 20, 4), 4096);
	assert_int_equal(request(&fx, 0, 0, NULL, 512, true), IOERR);
	assert_int_equal(request(&fx, 0, 1, NULL, 4096, true), IOERR);
	assert_int_equal(request(&fx, 0, 8, NULL, 4096, true), OK);
	destroy(&fx);
}

/* More than the pool and the backend hold, in one kick. */
static void test_flood(void **state)
{
	struct fixture fx;
	uint64_t h, data, status;
	uint32_t len;

	(void)state;
	build(&fx, &(struct vm_disk){.queues = 4, .io = VM_DISK_IO_THREADS});
	fake_driver_start(&fx.d, UINT64_MAX);
	h = header(&fx, 0, 7);
	data = fake_driver_alloc(&fx.d, 512);
	status = fake_driver_alloc(&fx.d, 4 * 256);
	memset(host(&fx, status), NOTHING, 4 * 256);
	for (unsigned i = 0; i < 4 * 85; i++) {
		struct fake_part parts[] = {
			{h, 16, false}, {data, 512, true}, {status + i, 1, true}};

		(void)fake_driver_add(&fx.d, i % 4, parts, 3);
	}
	for (unsigned q = 0; q < 4; q++)
		fake_bus_write(fx.f, BUS_MMIO, fx.d.notify + 4 * q, 2, q);
	for (unsigned i = 0; i < 4 * 85; i++)
		(void)wait_used(&fx, i % 4, &len);
	for (unsigned i = 0; i < 4 * 85; i++)
		assert_int_equal(host(&fx, status)[i], OK);
	assert_int_equal(*host(&fx, data), 8);
	destroy(&fx);
}

/* The pool is used up by reads that wait for their turn, but for a few; those serve a queue whose requests end while they are begun.
 * What did not fit is not forgotten. */
static void test_pool_is_free_again(void **state)
{
	struct fixture fx;
	uint64_t data, status;

	(void)state;
	build(&fx,
		&(struct vm_disk){.queues = 3,
			.cache = VM_DISK_CACHE_UNSAFE,
			.iotune.rate[VM_IOTUNE_READ_IOPS] = 1});
	fake_driver_start(&fx.d, UINT64_MAX);
	data = fake_driver_alloc(&fx.d, 513);
	status = fake_driver_alloc(&fx.d, 20);
	memset(host(&fx, status), NOTHING, 20);
	for (unsigned i = 0; i < 2 * 127; i++) {
		struct fake_part read[] = {{header(&fx, 0, 7), 16, false}, {data, 513, true}};

		(void)fake_driver_add(&fx.d, i % 2, read, 2);
	}
	fake_driver_kick(&fx.d, 0);
	fake_driver_kick(&fx.d, 1);
	for (unsigned i = 0; i < 20; i++) {
		struct fake_part flush[] = {{header(&fx, 4, 0), 16, false}, {status + i, 1, true}};

		(void)fake_driver_add(&fx.d, 2, flush, 2);
	}
	fake_driver_kick(&fx.d, 2);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(host(&fx, status)[i], OK);
	destroy(&fx);
}

/* What the driver negotiates decides about the write cache. */
static void test_write_cache(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, &(struct vm_disk){.queues = 1});
	fake_driver_start(&fx.d, UINT64_MAX);
	fake_config_write(&fx.d, 32, 1, 0);
	assert_int_equal(fake_config_read(&fx.d, 32, 1), 0);
	fake_config_write(&fx.d, 32, 1, 0xff);
	assert_int_equal(fake_config_read(&fx.d, 32, 1), 1);
	fake_config_write(&fx.d, 0, 8, 0);
	fake_config_write(&fx.d, 32, 4, 0);
	assert_int_equal(fake_config_read(&fx.d, 0, 8), SECTORS);
	assert_int_equal(fake_config_read(&fx.d, 32, 1), 1);
	fake_config_write(&fx.d, 32, 1, 0);
	reset_and_wait(&fx);
	assert_int_equal(fake_config_read(&fx.d, 32, 1), 1);
	/* Not negotiated: not writable. */
	fake_driver_start(&fx.d, ~BIT(11));
	fake_config_write(&fx.d, 32, 1, 0);
	assert_int_equal(fake_config_read(&fx.d, 32, 1), 1);
	destroy(&fx);
	build(&fx, &(struct vm_disk){.queues = 1, .cache = VM_DISK_CACHE_WRITETHROUGH});
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(fake_config_read(&fx.d, 32, 1), 0);
	assert_int_equal(request(&fx, 1, 0, NULL, 512, false), OK);
	destroy(&fx);
}

/* The host cannot write (a size limit stands in for a full filesystem). */
static void test_error_report(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, &(struct vm_disk){.queues = 1});
	fake_driver_start(&fx.d, UINT64_MAX);
	set_file_limit(4096);
	/* The vm is told, but not of each. */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(request(&fx, 1, 8, NULL, 512, false), IOERR);
		assert_int_equal(fx.f->n_requests, 1);
	}
	assert_int_equal(fx.f->requests[0], MACHINE_DISK_ERRORS);
	assert_int_equal(fx.f->request_args[0], 1);
	loop_fake_advance(fx.f->m.loop, NSEC_PER_SEC);
	assert_int_equal(request(&fx, 1, 8, NULL, 512, false), IOERR);
	assert_int_equal(fx.f->n_requests, 2);
	set_file_limit(RLIM_INFINITY);
	assert_int_equal(request(&fx, 1, 8, NULL, 512, false), OK);
	assert_int_equal(fx.f->n_requests, 2);
	assert_int_equal(fx.stats->disks[0].errors, 4);
	destroy(&fx);
}

static void test_no_fd(void **state)
{
	struct fake_machine *f = fake_machine_new(RAM);
	struct device *root, *dev;

	(void)state;
	f->config.n_disks = 1;
	assert_int_equal(device_new(&q35_host_class, &f->m, 0, &root), 0);
	assert_int_equal(device_new(&virtio_blk_pci_class.class, &f->m, 0, &dev), -EBADF);
	assert_int_equal(device_new(&virtio_blk_pci_class.class, &f->m, 1, &dev), -EINVAL);
	f->fds.disks[0] = STDIN_FILENO;
	(void)device_free(root);
	(void)fake_machine_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_layouts),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_hostile_ranges),
		cmocka_unit_test(test_large_blocks),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_pool_is_free_again),
		cmocka_unit_test(test_write_cache),
		cmocka_unit_test(test_error_report),
		cmocka_unit_test(test_no_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
