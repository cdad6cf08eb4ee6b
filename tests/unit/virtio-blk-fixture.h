/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of virtio-blk share: a machine with one disk over a memory file of SECTORS sectors, each full of its number
 * plus 1, and a driver's requests. The loop turns only within wait_used(), reset_and_wait() and turn_until_quiet().
 */
#pragma once

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

static inline void build_on(struct fixture *fx, const struct vm_disk *disk, int image)
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

static inline void build(struct fixture *fx, const struct vm_disk *disk)
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

static inline void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	(void)device_free(fx->root);
	(void)fake_machine_free(fx->f);
	(void)close(fx->image);
	free(fx->stats);
}

static inline uint8_t *host(struct fixture *fx, uint64_t at)
{
	return guest_mem_ptr(fx->f->m.mem, GPA(at), 1);
}

static inline void put(struct fixture *fx, uint64_t at, const void *p, size_t len)
{
	memcpy(host(fx, at), p, len);
}

/* A header in guest memory. */
static inline uint64_t header(struct fixture *fx, uint32_t type, uint64_t sector)
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
static inline uint32_t wait_used(struct fixture *fx, unsigned q, uint32_t *ret_len)
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
static inline unsigned request(
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

static inline unsigned range_request(
	struct fixture *fx, uint32_t type, uint64_t sector, uint32_t n_sectors, uint32_t flags)
{
	struct {
		uint64_t sector;
		uint32_t n, flags;
	} range = {sector, n_sectors, flags};

	return request(fx, type, 0, &range, sizeof(range), false);
}

static inline void check_image(const struct fixture *fx, unsigned sector, int value)
{
	uint8_t buf[512];

	assert_int_equal(pread(fx->image, buf, 512, sector * 512), 512);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(buf[i], value);
}

/* The status reads 0 only when nothing is in flight any more. */
static inline void reset_and_wait(struct fixture *fx)
{
	fake_driver_reset(&fx->d);
	for (unsigned i = 0; fake_driver_status(&fx->d) && i < 2000; i++)
		(void)loop_run_once(fx->f->m.loop, 10 * NSEC_PER_MSEC);
	assert_int_equal(fake_driver_status(&fx->d), 0);
}

static inline void set_file_limit(rlim_t limit)
{
	struct rlimit l;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &l), 0);
	l.rlim_cur = limit;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &l), 0);
}

/* Offer a write of 0xab to 'sector'; answers the address of its status. */
static inline uint64_t offer_write(struct fixture *fx, uint64_t sector)
{
	uint64_t data = fake_driver_alloc(&fx->d, 512), status = fake_driver_alloc(&fx->d, 1);
	struct fake_part parts[] = {
		{header(fx, 1, sector), 16, false}, {data, 512, false}, {status, 1, true}};

	memset(host(fx, data), 0xab, 512);
	*host(fx, status) = NOTHING;
	(void)fake_driver_add(&fx->d, 0, parts, 3);
	return status;
}

static inline void turn_until_quiet(struct fixture *fx)
{
	for (unsigned i = 0; i < 2000 && !fx->dev->class->ops->quiesce(fx->dev); i++)
		assert_true(loop_run_once(fx->f->m.loop, 10 * NSEC_PER_MSEC) >= 0);
	assert_true(fx->dev->class->ops->quiesce(fx->dev));
}

static inline void build_stopped(struct fixture *fx, uint64_t status[2])
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

static inline void move_driver(struct fixture *a, struct fixture *b)
{
	b->d = a->d;
	b->d.f = b->f;
	for (unsigned i = 0; i < b->d.n_queues; i++)
		b->d.rings[i].mem = b->f->m.mem;
}
