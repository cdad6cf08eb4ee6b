/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-balloon: pages that go back and come again, statistics, targets, hostile drivers, save and load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-pci.h"
#include "tests/fakes/fake-driver.h"
#include "vmm-core/proto.h"
#include "vmm-core/stats.h"

#define RAM     MIB(16)
#define PAGE    4096U
#define N_PAGES ((uint32_t)(RAM / PAGE))

enum { INFLATE, DEFLATE, STATS, GAP, REPORTING };
#define F_STATS     VIRTIO_BIT(1)
#define F_OOM       VIRTIO_BIT(2)
#define F_POISON    VIRTIO_BIT(4)
#define F_REPORTING VIRTIO_BIT(5)

struct fixture {
	struct fake_machine *f;
	struct device *root, *dev;
	struct vm_stats_page page;
	struct fake_driver d;
	int ram_fd;
};

/* Guest memory is a memory file, as the daemon makes it: only there can be seen what went back. */
static void prepare(struct fixture *fx)
{
	*fx = (struct fixture){.f = fake_machine_new(RAM)};
	fx->ram_fd = memfd_create("ram", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fx->ram_fd, RAM), 0);
	guest_mem_done(&fx->f->mem);
	assert_int_equal(guest_mem_init(&fx->f->mem, fx->ram_fd, RAM), 0);
	fx->f->config.balloon.model = VM_BALLOON_VIRTIO;
	fx->f->m.stats = &fx->page;
}

static void make_device(struct fixture *fx)
{
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(device_new(&virtio_balloon_pci_class.class, &fx->f->m, 0, &fx->dev), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx->root), 0);
	assert_true(fake_driver_probe(&fx->d, fx->f, 5));
}

static void build(struct fixture *fx)
{
	prepare(fx);
	make_device(fx);
}

static void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	assert_null(fx->f->m.balloon);
	(void)device_free(fx->root);
	(void)fake_machine_free(fx->f);
}

static uint8_t *page_of(struct fixture *fx, uint32_t pfn)
{
	return guest_mem_ptr(&fx->f->mem, GPA((uint64_t)pfn * PAGE), PAGE);
}

/* Pages of the memory file that take memory. */
static uint64_t resident(const struct fixture *fx)
{
	struct stat st;

	assert_int_equal(fstat(fx->ram_fd, &st), 0);
	return (uint64_t)st.st_blocks * 512 / PAGE;
}

static void fill(struct fixture *fx, uint32_t pfn, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		memset(page_of(fx, pfn + i), 0xa5, PAGE);
}

static bool is_zero(struct fixture *fx, uint32_t pfn)
{
	static const uint8_t zeroes[PAGE];

	return memcmp(page_of(fx, pfn), zeroes, PAGE) == 0;
}

static void send_pages(struct fixture *fx, unsigned queue, const uint32_t *pfns, uint32_t n)
{
	uint64_t at = fake_driver_alloc(&fx->d, n * 4);
	struct fake_part part = {.addr = at, .len = n * 4};

	assert_int_equal(guest_mem_write(&fx->f->mem, GPA(at), pfns, n * 4), 0);
	(void)fake_driver_add(&fx->d, queue, &part, 1);
	fake_driver_kick(&fx->d, queue);
}

static unsigned n_used(struct fixture *fx, unsigned queue)
{
	uint32_t id, len;
	unsigned n = 0;

	while (fake_driver_used(&fx->d, queue, &id, &len)) {
		assert_int_equal(len, 0);
		n++;
	}
	return n;
}

/* Inflated pages are the host's, read as zeroes when they come back, and others are as they were. */
static void test_inflate(void **state)
{
	uint32_t pfns[600];
	struct fixture fx;
	uint64_t before;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 1024, 1024);
	before = resident(&fx);
	/* Every other one of a stretch, backwards, and a stretch of neighbours; more than one batch. */
	for (uint32_t i = 0; i < 100; i++)
		pfns[i] = 1224 - 2 * i;
	for (uint32_t i = 0; i < 500; i++)
		pfns[100 + i] = 1300 + i;
	send_pages(&fx, INFLATE, pfns, 600);
	assert_int_equal(n_used(&fx, INFLATE), 1);
	assert_int_equal(fx.page.balloon.given_back, 600 * PAGE);
	/* One each, one for the neighbours of the first batch, one for those of the second. */
	assert_int_equal(fx.page.balloon.calls, 100 + 2);
	/* The list itself took a page or two. */
	assert_in_range(before - resident(&fx), 595, 600);
	for (uint32_t pfn = 1024; pfn < 2048; pfn++) {
		bool is_gone =
			(pfn >= 1026 && pfn <= 1224 && pfn % 2 == 0) || (pfn >= 1300 && pfn < 1800);

		if (is_zero(&fx, pfn) != is_gone)
			fail_msg("page %u", pfn);
	}
	send_pages(&fx, DEFLATE, pfns, 600);
	assert_int_equal(n_used(&fx, DEFLATE), 1);
	fill(&fx, 1300, 500);
	assert_int_equal(fake_driver_interrupts(&fx.d, 1 + INFLATE), 1);
	assert_int_equal(fake_driver_interrupts(&fx.d, 1 + DEFLATE), 1);
	destroy(&fx);
}

/* Neighbours go by one call: the same pages in any order cost as much as one range. */
static void test_any_order(void **state)
{
	uint32_t pfns[512];
	struct fixture fx;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 2048, 256);
	/* Each twice, mixed: 167 is prime to 256. */
	for (uint32_t i = 0; i < 512; i++)
		pfns[i] = 2048 + i * 167 % 256;
	send_pages(&fx, INFLATE, pfns, 512);
	/* One range of 256 pages. */
	assert_int_equal(fx.page.balloon.calls, 1);
	assert_int_equal(fx.page.balloon.given_back, 256 * PAGE);
	for (uint32_t i = 0; i < 256; i++)
		assert_true(is_zero(&fx, 2048 + i));
	destroy(&fx);
}

/* A list that is longer than a kick's worth is worked on in pieces, and answered once. */
static void test_long_list(void **state)
{
	static uint32_t pfns[1 << 16];
	struct fixture fx;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 2048, 1024);
	for (uint32_t i = 0; i < ARRAY_SIZE(pfns); i++)
		pfns[i] = 2048 + i % 1024;
	send_pages(&fx, INFLATE, pfns, ARRAY_SIZE(pfns));
	while (n_used(&fx, INFLATE) == 0)
		fake_driver_turn(&fx.d);
	assert_int_equal(fx.page.balloon.given_back, sizeof(pfns) / 4 * PAGE);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	/* The next one begins at its beginning. */
	send_pages(&fx, INFLATE, pfns, 1);
	assert_int_equal(n_used(&fx, INFLATE), 1);
	assert_int_equal(fx.page.balloon.given_back, (sizeof(pfns) / 4 + 1) * PAGE);
	destroy(&fx);
}

/* Pages that are no RAM, pages that somebody uses: nothing happens beyond the guest's own loss. */
static void test_hostile_pages(void **state)
{
	static const uint32_t pfns[] = {UINT32_MAX, 0x80000000, N_PAGES, N_PAGES - 1, N_PAGES + 1,
		LAYOUT_ECAM_BASE / PAGE, 0xfee00, 0xe0, 0xf0, 0xe0, 5, 5, 5};
	struct fake_part bad[] = {
		{.addr = 0x100000, .len = 64, .writable = true},
		{.addr = RAM - 32, .len = 64},
		{.addr = UINT64_MAX - 15, .len = 64},
		{.addr = 0x100000, .len = UINT32_MAX},
	};
	struct fixture fx;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 0xe0, 0x20);
	fill(&fx, N_PAGES - 1, 1);
	send_pages(&fx, INFLATE, pfns, ARRAY_SIZE(pfns));
	assert_int_equal(n_used(&fx, INFLATE), 1);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	assert_true(is_zero(&fx, N_PAGES - 1) && is_zero(&fx, 0xe0) && is_zero(&fx, 0xf0));
	assert_false(is_zero(&fx, 0xe1));
	assert_int_equal(fx.page.balloon.given_back, 4 * PAGE);
	/* An odd length: the rest of a number is none. */
	{
		struct fake_part part = {.addr = 0x200000, .len = 7};

		(void)fake_driver_add(&fx.d, INFLATE, &part, 1);
		fake_driver_kick(&fx.d, INFLATE);
		assert_int_equal(n_used(&fx, INFLATE), 1);
	}
	/* The page of the rings: the driver loses them, and the device finds nothing more. */
	send_pages(&fx, INFLATE,
		(const uint32_t[]){(uint32_t)(fx.d.rings[INFLATE].desc / PAGE),
			(uint32_t)(fx.d.rings[INFLATE].avail / PAGE)},
		2);
	fake_driver_start(&fx.d, UINT64_MAX);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		fake_driver_start(&fx.d, UINT64_MAX);
		(void)fake_driver_add(&fx.d, i % 2 ? DEFLATE : INFLATE, &bad[i], 1);
		fake_driver_kick(&fx.d, i % 2 ? DEFLATE : INFLATE);
		assert_int_equal(fake_driver_status(&fx.d), 0x4f);
	}
	destroy(&fx);
}

static uint16_t report_range(struct fixture *fx, unsigned queue, uint64_t addr, uint32_t len)
{
	struct fake_part part = {.addr = addr, .len = len, .writable = true};
	uint16_t head = fake_driver_add(&fx->d, queue, &part, 1);

	fake_driver_kick(&fx->d, queue);
	return head;
}

static void test_reporting(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 1024, 3072);
	/* More than a kick's worth: 10 MiB. */
	(void)report_range(&fx, REPORTING, MIB(4), (uint32_t)MIB(10));
	assert_int_equal(n_used(&fx, REPORTING), 1);
	assert_int_equal(fx.page.balloon.reported, MIB(10));
	assert_int_equal(fx.page.balloon.given_back, 0);
	for (uint32_t pfn = 1024; pfn < N_PAGES; pfn++)
		if (is_zero(&fx, pfn) != (pfn < 1024 + 2560))
			fail_msg("page %u", pfn);
	/* Parts of pages stay. */
	fill(&fx, 1024, 4);
	(void)report_range(&fx, REPORTING, MIB(4) + 8, 3 * PAGE);
	assert_false(is_zero(&fx, 1024) || is_zero(&fx, 1027));
	assert_true(is_zero(&fx, 1025) && is_zero(&fx, 1026));
	/* What is no memory, or for reading, fails the device. */
	(void)report_range(&fx, REPORTING, UINT64_C(1) << 63, 1U << 31);
	assert_int_equal(fake_driver_status(&fx.d), 0x4f);
	fake_driver_start(&fx.d, UINT64_MAX);
	(void)report_range(&fx, REPORTING, RAM - PAGE, 2 * PAGE);
	assert_int_equal(fake_driver_status(&fx.d), 0x4f);
	fake_driver_start(&fx.d, UINT64_MAX);
	(void)fake_driver_add(
		&fx.d, REPORTING, &(struct fake_part){.addr = MIB(4), .len = PAGE}, 1);
	fake_driver_kick(&fx.d, REPORTING);
	assert_int_equal(fake_driver_status(&fx.d), 0x4f);
	destroy(&fx);
}

/* A driver that looks for its poison must find it. */
static void test_poison(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 1024, 1024);
	fake_config_write(&fx.d, 12, 4, 0xaaaaaaaa);
	assert_int_equal(fake_config_read(&fx.d, 12, 4), 0xaaaaaaaa);
	(void)report_range(&fx, REPORTING, MIB(4), (uint32_t)MIB(1));
	assert_int_equal(n_used(&fx, REPORTING), 1);
	assert_int_equal(fx.page.balloon.reported, 0);
	assert_false(is_zero(&fx, 1024));
	/* Zero is no poison. A driver without the feature has no say. */
	fake_config_write(&fx.d, 12, 4, 0);
	(void)report_range(&fx, REPORTING, MIB(4), (uint32_t)MIB(1));
	assert_true(is_zero(&fx, 1024));
	fake_driver_start(&fx.d, ~F_POISON);
	fake_config_write(&fx.d, 12, 4, 0xaaaaaaaa);
	assert_int_equal(fake_config_read(&fx.d, 12, 4), 0);
	destroy(&fx);
}

/* Hints are not offered, by bit nor by queue; a driver that takes the bit nevertheless does not come further. */
static void test_no_hints(void **state)
{
	const uint64_t hint = VIRTIO_BIT(3);
	struct fixture fx;

	(void)state;
	build(&fx);
	fake_common_write(&fx.d, 0x00, 4, 0);
	assert_int_equal(fake_common_read(&fx.d, 0x04, 4) & hint, 0);
	assert_true(fake_driver_negotiate(&fx.d, UINT64_MAX));
	for (unsigned i = 0; i < 2; i++) {
		fake_driver_reset(&fx.d);
		fake_common_write(&fx.d, 0x14, 1, 0x3);
		fake_common_write(&fx.d, 0x08, 4, 0);
		fake_common_write(&fx.d, 0x0c, 4, (uint32_t)(fx.d.features | (i ? 0 : hint)));
		fake_common_write(&fx.d, 0x08, 4, 1);
		fake_common_write(&fx.d, 0x0c, 4, (uint32_t)(fx.d.features >> 32));
		fake_common_write(&fx.d, 0x14, 1, 0xb);
		/* FEATURES_OK stays only without the bit. */
		assert_int_equal(fake_driver_status(&fx.d), i ? 0xb : 0x3);
	}
	/* Nor does it give anything back by the queue that would be theirs. */
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 1024, 1024);
	(void)report_range(&fx, 3, MIB(4), (uint32_t)MIB(1));
	assert_false(is_zero(&fx, 1024));
	assert_int_equal(fx.page.balloon.reported, 0);
	destroy(&fx);
}

/* Drivers that number their queues without gaps: reporting is queue 3, or 2. */
static void test_queue_numbers(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	for (unsigned with_stats = 0; with_stats < 2; with_stats++) {
		unsigned at = with_stats ? 3 : 2;

		fake_driver_reset(&fx.d);
		assert_true(fake_driver_negotiate(&fx.d, with_stats ? UINT64_MAX : ~F_STATS));
		for (unsigned i = 0; i <= at; i++)
			fake_driver_setup_queue(&fx.d, i, 16);
		fake_common_write(&fx.d, 0x14, 1, 0xf);
		assert_int_equal(fake_driver_status(&fx.d), 0xf);
		fill(&fx, 2048, 16);
		(void)report_range(&fx, at, MIB(8), 16 * PAGE);
		assert_int_equal(fake_driver_status(&fx.d), 0xf);
		assert_true(is_zero(&fx, 2048));
	}
	/* With the specification's numbers the queue between has no use, and takes nothing. */
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 2048, 16);
	(void)report_range(&fx, GAP, MIB(8), 16 * PAGE);
	assert_false(is_zero(&fx, 2048));
	assert_int_equal(fake_ring_used_idx(&fx.d.rings[GAP]), 0);
	destroy(&fx);
}

/* What the host wants, what the guest has done, and how it is told. */
static void test_target(void **state)
{
	struct proto_balloon what = {.flags = PROTO_BALLOON_TARGET, .target = 1000};
	struct fixture fx;

	(void)state;
	prepare(&fx);
	fx.f->config.current_memory_kib -= 1024;
	make_device(&fx);
	assert_int_equal(fake_config_read(&fx.d, 0, 4), 256);
	assert_int_equal(fx.page.balloon.target, 256);
	fake_driver_start(&fx.d, UINT64_MAX);
	assert_int_equal(fx.f->m.balloon_ops->set(fx.f->m.balloon, &what), 0);
	assert_int_equal(fake_config_read(&fx.d, 0, 4), 1000);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 1);
	/* The same again is no news. */
	assert_int_equal(fx.f->m.balloon_ops->set(fx.f->m.balloon, &what), 0);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 0);
	/* The driver has no say in it. */
	fake_config_write(&fx.d, 0, 4, 7);
	assert_int_equal(fake_config_read(&fx.d, 0, 4), 1000);
	/* All of the memory, an unknown wish. */
	what.target = N_PAGES;
	assert_int_equal(fx.f->m.balloon_ops->set(fx.f->m.balloon, &what), -EINVAL);
	what = (struct proto_balloon){.flags = 4};
	assert_int_equal(fx.f->m.balloon_ops->set(fx.f->m.balloon, &what), -EINVAL);
	what = (struct proto_balloon){PROTO_BALLOON_PERIOD, 0, VM_MAX_BALLOON_PERIOD + 1};
	assert_int_equal(fx.f->m.balloon_ops->set(fx.f->m.balloon, &what), -EINVAL);
	/* It outlives a reset. */
	fake_driver_reset(&fx.d);
	assert_int_equal(fake_config_read(&fx.d, 0, 4), 1000);
	destroy(&fx);
}

/* The first change is told at once, then at most one a second, the last always. */
static void test_actual(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	for (unsigned i = 1; i <= 100; i++) {
		fake_config_write(&fx.d, 4, 4, i);
		assert_int_equal(fx.page.balloon.actual, i);
	}
	assert_int_equal(fx.f->n_requests, 1);
	assert_int_equal(fx.f->requests[0], MACHINE_BALLOON);
	assert_int_equal(fx.f->request_args[0], 1);
	loop_fake_advance(fx.f->m.loop, 2 * NSEC_PER_SEC);
	assert_int_equal(fx.f->n_requests, 2);
	assert_int_equal(fx.f->request_args[1], 100);
	/* No news, no wake-up. */
	loop_fake_advance(fx.f->m.loop, 100 * NSEC_PER_SEC);
	fake_config_write(&fx.d, 4, 4, 100);
	assert_int_equal(fx.f->n_requests, 2);
	/* No more than there is; other sizes are no writes. */
	fake_config_write(&fx.d, 4, 4, UINT32_MAX);
	assert_int_equal(fake_config_read(&fx.d, 4, 4), N_PAGES);
	fake_config_write(&fx.d, 4, 2, 1);
	fake_config_write(&fx.d, 6, 2, 1);
	fake_config_write(&fx.d, 2, 4, 1);
	fake_config_write(&fx.d, 8, 4, 1);
	assert_int_equal(fake_config_read(&fx.d, 4, 4), N_PAGES);
	assert_int_equal(fake_config_read(&fx.d, 8, 4), 0);
	/* A new life of the driver has everything. */
	fake_driver_reset(&fx.d);
	assert_int_equal(fx.page.balloon.actual, 0);
	destroy(&fx);
}

struct entry {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed));

static void send_stats(struct fixture *fx, const struct entry *entries, unsigned n)
{
	uint32_t len = n * (uint32_t)sizeof(*entries);
	uint64_t at = fake_driver_alloc(&fx->d, len + 1);
	struct fake_part part = {.addr = at, .len = len};

	if (len)
		assert_int_equal(guest_mem_write(&fx->f->mem, GPA(at), entries, len), 0);
	(void)fake_driver_add(&fx->d, STATS, &part, n ? 1 : 1);
	fake_driver_kick(&fx->d, STATS);
}

static void test_stats(void **state)
{
	static const struct entry first[] = {{4, 1000}, {5, 2000}},
				  second[] = {{0, 7}, {9, 8}, {4, 3}};
	struct fixture fx;

	(void)state;
	build(&fx);
	/* Without a driver nobody can be asked. */
	assert_int_equal(fx.f->m.balloon_ops->ask(fx.f->m.balloon), -ENODATA);
	fake_driver_start(&fx.d, UINT64_MAX);
	send_stats(&fx, first, 2);
	assert_int_equal(fx.page.balloon.updates, 1);
	assert_int_equal(fx.page.balloon.known, 0x30);
	assert_int_equal(fx.page.balloon.values[4], 1000);
	assert_int_equal(fx.page.balloon.values[5], 2000);
	/* The buffer stays, nobody asked, nothing wakes up. */
	assert_int_equal(n_used(&fx, STATS), 0);
	loop_fake_advance(fx.f->m.loop, 3600 * NSEC_PER_SEC);
	fake_driver_turn(&fx.d);
	assert_int_equal(n_used(&fx, STATS), 0);
	assert_int_equal(fx.f->n_requests, 0);
	assert_int_equal(fx.f->m.balloon_ops->ask(fx.f->m.balloon), 0);
	assert_int_equal(n_used(&fx, STATS), 1);
	/* Asked again before the driver answers: one answer is for both. */
	assert_int_equal(fx.f->m.balloon_ops->ask(fx.f->m.balloon), 0);
	assert_int_equal(n_used(&fx, STATS), 0);
	send_stats(&fx, second, 3);
	assert_int_equal(fx.f->n_requests, 1);
	assert_int_equal(fx.f->requests[0], MACHINE_BALLOON_STATS);
	assert_int_equal(fx.page.balloon.known, 0x211);
	assert_int_equal(fx.page.balloon.values[4], 3);
	assert_int_equal(fx.page.balloon.updated_ns, loop_now_ns(fx.f->m.loop));
	/* A driver that does without. */
	fake_driver_start(&fx.d, ~F_STATS);
	assert_int_equal(fx.f->m.balloon_ops->ask(fx.f->m.balloon), -ENODATA);
	destroy(&fx);
}

static void test_stats_period(void **state)
{
	struct proto_balloon what = {.flags = PROTO_BALLOON_PERIOD, .period_s = 2};
	static const struct entry entry = {4, 1};
	struct fixture fx;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	send_stats(&fx, &entry, 1);
	assert_int_equal(fx.f->m.balloon_ops->set(fx.f->m.balloon, &what), 0);
	for (unsigned i = 0; i < 3; i++) {
		loop_fake_advance(fx.f->m.loop, NSEC_PER_SEC);
		assert_int_equal(n_used(&fx, STATS), 0);
		loop_fake_advance(fx.f->m.loop, NSEC_PER_SEC);
		assert_int_equal(n_used(&fx, STATS), 1);
		send_stats(&fx, &entry, 1);
	}
	/* Nobody waits: no notice. */
	assert_int_equal(fx.f->n_requests, 0);
	/* Not while the machine is paused. */
	assert_true(fx.dev->class->ops->quiesce(fx.dev));
	loop_fake_advance(fx.f->m.loop, 10 * NSEC_PER_SEC);
	assert_int_equal(n_used(&fx, STATS), 0);
	assert_int_equal(fx.f->m.balloon_ops->ask(fx.f->m.balloon), -ENODATA);
	fx.dev->class->ops->resume(fx.dev);
	loop_fake_advance(fx.f->m.loop, 2 * NSEC_PER_SEC);
	assert_int_equal(n_used(&fx, STATS), 1);
	send_stats(&fx, &entry, 1);
	what.period_s = 0;
	assert_int_equal(fx.f->m.balloon_ops->set(fx.f->m.balloon, &what), 0);
	loop_fake_advance(fx.f->m.loop, 10 * NSEC_PER_SEC);
	assert_int_equal(n_used(&fx, STATS), 0);
	destroy(&fx);
}

static void test_hostile_stats(void **state)
{
	static struct entry many[200];
	static const struct entry absurd[] = {{16, 1}, {0xffff, 2}, {3, UINT64_MAX}, {3, 9}};
	struct fixture fx;
	uint32_t id, len;

	(void)state;
	build(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	send_stats(&fx, absurd, 4);
	assert_int_equal(fx.page.balloon.known, 8);
	assert_int_equal(fx.page.balloon.values[3], 9);
	/* A second buffer: the older one comes back. */
	send_stats(&fx, many, 200);
	assert_int_equal(n_used(&fx, STATS), 1);
	assert_int_equal(fx.page.balloon.known, 1);
	/* A part of an entry, none at all. */
	{
		struct fake_part part = {.addr = 0x100000, .len = 9};

		(void)fake_driver_add(&fx.d, STATS, &part, 1);
		fake_driver_kick(&fx.d, STATS);
		assert_int_equal(n_used(&fx, STATS), 1);
		assert_int_equal(fx.page.balloon.known, 0);
	}
	/* More at once than a kick takes: all but the last come back. */
	for (unsigned i = 0; i < 40; i++) {
		struct fake_part part = {.addr = 0x100000, .len = 10};

		(void)fake_driver_add(&fx.d, STATS, &part, 1);
	}
	fake_driver_kick(&fx.d, STATS);
	assert_int_equal(n_used(&fx, STATS), 40);
	(void)report_range(&fx, STATS, 0x100000, 10);
	assert_int_equal(fake_driver_status(&fx.d), 0x4f);
	assert_false(fake_driver_used(&fx.d, STATS, &id, &len));
	destroy(&fx);
}

/* What the configuration switches. */
static void test_features(void **state)
{
	static const struct {
		uint8_t autodeflate, reporting, locked;
		uint32_t hugepage_kib;
		uint64_t features;
	} cases[] = {
		{0, 0, 0, 0, F_STATS | F_POISON | F_REPORTING},
		{VM_TRISTATE_YES, 0, 0, 0, F_STATS | F_OOM | F_POISON | F_REPORTING},
		{VM_TRISTATE_NO, VM_TRISTATE_NO, 0, 0, F_STATS},
		/* Memory that somebody wants to have for certain. */
		{0, 0, 1, 0, F_STATS},
		{0, VM_TRISTATE_YES, 1, 0, F_STATS},
		{0, 0, 0, 2048, F_STATS},
		{0, 0, 1, 2048, F_STATS},
		{0, VM_TRISTATE_YES, 0, 2048, F_STATS | F_POISON | F_REPORTING},
	};

	struct fixture one;

	(void)state;
	/* What was allocated at once is not given back, page by page, as soon as the guest has booted. */
	prepare(&one);
	one.f->config.memory_allocation = VM_ALLOCATION_IMMEDIATE;
	make_device(&one);
	fake_common_write(&one.d, 0, 4, 0);
	assert_int_equal(fake_common_read(&one.d, 4, 4) & 0xffffff, F_STATS);
	destroy(&one);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture fx;

		prepare(&fx);
		fx.f->config.balloon.autodeflate = cases[i].autodeflate;
		fx.f->config.balloon.reporting = cases[i].reporting;
		fx.f->config.memory_locked = cases[i].locked;
		fx.f->config.hugepage_kib = cases[i].hugepage_kib;
		make_device(&fx);
		fake_common_write(&fx.d, 0, 4, 0);
		assert_int_equal(fake_common_read(&fx.d, 4, 4) & 0xffffff, cases[i].features);
		destroy(&fx);
	}
}

/* Locked memory stays; of huge pages only whole ones go. */
static void test_kept(void **state)
{
	const uint32_t pfns[] = {2048, 2049};
	struct fixture fx;

	(void)state;
	prepare(&fx);
	fx.f->config.memory_locked = 1;
	make_device(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 2048, 2);
	send_pages(&fx, INFLATE, pfns, 2);
	assert_int_equal(n_used(&fx, INFLATE), 1);
	assert_false(is_zero(&fx, 2048));
	assert_int_equal(fx.page.balloon.given_back, 0);
	destroy(&fx);

	prepare(&fx);
	fx.f->config.hugepage_kib = 2048;
	fx.f->config.balloon.reporting = VM_TRISTATE_YES;
	fx.f->mem.page_len = fx.f->mem.files[0].page_len = MIB(2);
	make_device(&fx);
	fake_driver_start(&fx.d, UINT64_MAX);
	fill(&fx, 1024, 3072);
	send_pages(&fx, INFLATE, pfns, 2);
	assert_false(is_zero(&fx, 2048));
	assert_int_equal(fx.page.balloon.given_back, 0);
	assert_int_equal(fx.page.balloon.calls, 0);
	(void)report_range(&fx, REPORTING, MIB(7), (uint32_t)MIB(4));
	assert_int_equal(fx.page.balloon.reported, MIB(2));
	for (uint32_t pfn = 1024; pfn < N_PAGES; pfn++)
		if (is_zero(&fx, pfn) != (pfn >= 2048 && pfn < 2560))
			fail_msg("page %u", pfn);
	destroy(&fx);
}

static void test_save_load(void **state)
{
	struct proto_balloon what = {
		.flags = PROTO_BALLOON_TARGET | PROTO_BALLOON_PERIOD, .target = 99, .period_s = 5};
	static const struct entry entry = {4, 1};
	struct fixture a, b;

	(void)state;
	build(&a);
	build(&b);
	fake_driver_start(&a.d, UINT64_MAX);
	assert_int_equal(a.f->m.balloon_ops->set(a.f->m.balloon, &what), 0);
	fake_config_write(&a.d, 4, 4, 50);
	fake_config_write(&a.d, 12, 4, 3);
	send_stats(&a, &entry, 1);
	assert_true(a.dev->class->ops->quiesce(a.dev));
	memcpy(b.f->m.mem->regions[0].host, a.f->m.mem->regions[0].host, RAM);
	assert_int_equal(fake_save_load(a.dev, b.dev), 0);
	b.dev->class->ops->resume(b.dev);
	b.d = a.d;
	b.d.f = b.f;
	for (unsigned i = 0; i < 5; i++)
		b.d.rings[i].mem = b.f->m.mem;
	assert_int_equal(fake_driver_status(&b.d), 0xf);
	assert_int_equal(fake_config_read(&b.d, 0, 4), 99);
	assert_int_equal(fake_config_read(&b.d, 4, 4), 50);
	assert_int_equal(fake_config_read(&b.d, 12, 4), 3);
	assert_int_equal(b.page.balloon.actual, 50);
	/* The buffer of statistics went along, and the period goes on. */
	loop_fake_advance(b.f->m.loop, 5 * NSEC_PER_SEC);
	assert_int_equal(n_used(&b, STATS), 1);
	destroy(&a);
	destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_inflate),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_long_list),
		cmocka_unit_test(test_hostile_pages),
		cmocka_unit_test(test_reporting),
		cmocka_unit_test(test_poison),
		cmocka_unit_test(test_no_hints),
		cmocka_unit_test(test_queue_numbers),
		cmocka_unit_test(test_target),
		cmocka_unit_test(test_actual),
		cmocka_unit_test(test_stats),
		cmocka_unit_test(test_stats_period),
		cmocka_unit_test(test_hostile_stats),
		cmocka_unit_test(test_features),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_save_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
