/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-blk as a driver sees it, over real files: what it offers, requests in every layout, what a hostile driver
 * gets, errors of the host, reset with requests in flight, save and load with a request that waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/stats.h"

#define SECTORS 256
#define SIZE    (SECTORS * 512)
#define RAM     MIB(4)

/* Answers, and NEEDS_RESET. */
#define OK      0
#define IOERR   1
#define UNSUPP  2
#define FAILED  0x40
#define NOTHING 0xee

#define BIT(n) (UINT64_C(1) << (n))

struct fixture {
	struct fake_machine *f;
	struct vm_stats_page *stats;
	struct vm_disk *disk;
	struct device *root, *dev;
	struct fake_driver d;
	int image; /* a second fd of the image */
};

static void build_on(struct fixture *fx, const struct vm_disk *disk, int image)
{
	*fx = (struct fixture){.f = fake_machine_new(RAM), .image = image};
	fx->stats = calloc(1, sizeof(*fx->stats));
	fx->f->m.stats = fx->stats;
	fx->disk = &fx->f->config.disks[0];
	*fx->disk = *disk;
	strcpy(fx->disk->target, "vda");
	fx->f->config.n_disks = 1;
	fx->f->config.vcpus = 2;
	fx->f->fds.disks[0] = dup(image);
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(device_new(&virtio_blk_pci_class.class, &fx->f->m, 0, &fx->dev), 0);
	assert_int_equal(fx->f->fds.disks[0], -EBADF);
	assert_int_equal(q35_host_class.ops->machine_done(fx->root), 0);
	assert_true(fake_driver_probe(&fx->d, fx->f, 2));
}

static void build(struct fixture *fx, const struct vm_disk *disk)
{
	uint8_t sector[512];
	int image = memfd_create("disk", MFD_CLOEXEC);

	assert_true(image >= 0);
	for (unsigned i = 0; i < SECTORS; i++) {
		memset(sector, 1 + (int)i % 250, sizeof(sector));
		assert_int_equal(write(image, sector, sizeof(sector)), sizeof(sector));
	}
	build_on(fx, disk, image);
}

static void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	(void)device_free(fx->root);
	(void)fake_machine_free(fx->f);
	(void)close(fx->image);
	free(fx->stats);
}

static uint8_t *host(struct fixture *fx, uint64_t at)
{
	return guest_mem_ptr(fx->f->m.mem, GPA(at), 1);
}

static void put(struct fixture *fx, uint64_t at, const void *p, size_t len)
{
	memcpy(host(fx, at), p, len);
}

/* A header in guest memory. */
static uint64_t header(struct fixture *fx, uint32_t type, uint64_t sector)
{
	struct {
		uint32_t type, reserved;
		uint64_t sector;
	} h = {.type = type, .sector = sector};
	uint64_t at = fake_driver_alloc(&fx->d, sizeof(h));

	put(fx, at, &h, sizeof(h));
	return at;
}

/* Wait for the next used entry of queue 'q'. */
static uint32_t wait_used(struct fixture *fx, unsigned q, uint32_t *ret_len)
{
	uint32_t id = UINT32_MAX;

	for (unsigned turns = 0; turns < 2000; turns++) {
		if (fake_driver_used(&fx->d, q, &id, ret_len))
			return id;
		assert_true(loop_run_once(fx->f->m.loop, 10 * NSEC_PER_MSEC) >= 0);
	}
	fail_msg("no answer");
	return id;
}

/* One request of header, data and status; its answer. 'data' comes or goes by 'writable'. */
static unsigned request(
	struct fixture *fx, uint32_t type, uint64_t sector, void *data, uint32_t len, bool writable)
{
	uint64_t buf = fake_driver_alloc(&fx->d, len + 1), status = fake_driver_alloc(&fx->d, 1);
	struct fake_part parts[] = {
		{header(fx, type, sector), 16, false},
		{buf, len, writable},
		{status, 1, true},
	};
	uint32_t used_len = 0;

	*host(fx, status) = NOTHING;
	if (data && !writable)
		put(fx, buf, data, len);
	if (len) {
		(void)fake_driver_add(&fx->d, 0, parts, 3);
	} else {
		parts[1] = parts[2];
		(void)fake_driver_add(&fx->d, 0, parts, 2);
	}
	fake_driver_kick(&fx->d, 0);
	(void)wait_used(fx, 0, &used_len);
	assert_int_equal(used_len, writable ? len + 1 : 1);
	if (data && writable)
		memcpy(data, host(fx, buf), len);
	return *host(fx, status);
}

static unsigned range_request(
	struct fixture *fx, uint32_t type, uint64_t sector, uint32_t n_sectors, uint32_t flags)
{
	struct {
		uint64_t sector;
		uint32_t n, flags;
	} range = {sector, n_sectors, flags};

	return request(fx, type, 0, &range, sizeof(range), false);
}

static void check_image(const struct fixture *fx, unsigned sector, int value)
{
	uint8_t buf[512];

	assert_int_equal(pread(fx->image, buf, 512, sector * 512), 512);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(buf[i], value);
}

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

/* The status reads 0 only when nothing is in flight any more. */
static void reset_and_wait(struct fixture *fx)
{
	fake_driver_reset(&fx->d);
	for (unsigned i = 0; fake_driver_status(&fx->d) && i < 2000; i++)
		(void)loop_run_once(fx->f->m.loop, 10 * NSEC_PER_MSEC);
	assert_int_equal(fake_driver_status(&fx->d), 0);
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

static void set_file_limit(rlim_t limit)
{
	struct rlimit l;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = limit;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
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

/* Offer a write of 0xab to 'sector'; answers the address of its status. */
static uint64_t offer_write(struct fixture *fx, uint64_t sector)
{
	uint64_t data = fake_driver_alloc(&fx->d, 512), status = fake_driver_alloc(&fx->d, 1);
	struct fake_part parts[] = {
		{header(fx, 1, sector), 16, false}, {data, 512, false}, {status, 1, true}};

	memset(host(fx, data), 0xab, 512);
	*host(fx, status) = NOTHING;
	(void)fake_driver_add(&fx->d, 0, parts, 3);
	return status;
}

static void turn_until_quiet(struct fixture *fx)
{
	for (unsigned i = 0; i < 2000 && !fx->dev->class->ops->quiesce(fx->dev); i++)
		assert_true(loop_run_once(fx->f->m.loop, 10 * NSEC_PER_MSEC) >= 0);
	assert_true(fx->dev->class->ops->quiesce(fx->dev));
}

static void build_stopped(struct fixture *fx, uint64_t status[2])
{
	build(fx, &(struct vm_disk){.queues = 1, .error_policy = VM_DISK_ERROR_STOP});
	fake_driver_start(&fx->d, UINT64_MAX);
	set_file_limit(4096);
	status[0] = offer_write(fx, 8);
	status[1] = offer_write(fx, 9);
	fake_driver_kick(&fx->d, 0);
	turn_until_quiet(fx);
	set_file_limit(RLIM_INFINITY);
	assert_int_equal(fx->f->n_requests, 1);
	assert_int_equal(fx->f->requests[0], MACHINE_IO_ERROR);
	assert_int_equal(fx->f->request_args[0], 0);
	assert_int_equal(*host(fx, status[0]), NOTHING);
}

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

static void move_driver(struct fixture *a, struct fixture *b)
{
	b->d = a->d;
	b->d.f = b->f;
	for (unsigned i = 0; i < b->d.n_queues; i++)
		b->d.rings[i].mem = b->f->m.mem;
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
		cmocka_unit_test(test_error_stop),
		cmocka_unit_test(test_reset_while_stopped),
		cmocka_unit_test(test_reset_in_flight),
		cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_throttle),
		cmocka_unit_test(test_pause_while_throttled),
		cmocka_unit_test(test_reset_while_throttled),
		cmocka_unit_test(test_save_load_while_throttled),
		cmocka_unit_test(test_throttle_groups),
		cmocka_unit_test(test_corrupt_state),
		cmocka_unit_test(test_no_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
