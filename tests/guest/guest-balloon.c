/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A balloon from a guest's side. Marks PAGES pages of memory, gives up as many as it is told to, checks when it may have them
 * again that they are zero and hold what is written, and reports free memory in the end. In between it answers every question for
 * statistics: 'free memory' is the number of the answer.
 *
 * Says on the serial port: "filled", "inflated", "deflated", "reported".
 *
 * With a number as command line it measures instead: so many times BENCH_PAGES pages are touched and then given up, neighbours in
 * lists of LIST as Linux's driver has them, or with "all" behind the number in one; "go" and "end" are around the latter. This part runs on any virtio-balloon over PCI.
 */
#include "guest.h"

#define VIRTIO_BALLOON 0x10451af4
#define FEATURES       (1U << 1 | 1U << 4 | 1U << 5) /* statistics, poison, reporting */
#define NO_VECTOR      0xffff

#define PAGES    2048U
#define PAGE_LEN 4096U
#define MEM      0x01000000U /* where they are: no image is loaded there */
#define MARK     0x5a5a0000U

#define BENCH_PAGES 16384U
#define LIST        256U

#define RING_SIZE 4

enum { INFLATE, DEFLATE, STATS, REPORTING = 4, N_QUEUES };

struct ring {
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[RING_SIZE];
	uint16_t avail_flags, avail_idx, avail[RING_SIZE], used_event, pad;
	uint16_t used_flags, used_idx;
	struct {
		uint32_t id, len;
	} used[RING_SIZE];
	uint16_t avail_event;
} __attribute__((aligned(16)));

static struct ring rings[N_QUEUES];
static uint32_t pfns[BENCH_PAGES];
static struct {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed)) stats[2] = {{5, 64 << 20}, {4, 0}};
static struct guest_virtio balloon;

static volatile uint32_t *page(unsigned i)
{
	return (volatile uint32_t *)(MEM + i * PAGE_LEN);
}

static void send(unsigned queue, uint32_t addr, uint32_t len, bool writable)
{
	struct ring *r = &rings[queue];

	r->desc[0].addr = addr;
	r->desc[0].len = len;
	r->desc[0].flags = writable ? 2 : 0;
	r->avail[r->avail_idx % RING_SIZE] = 0;
	__asm__ volatile("" ::: "memory");
	r->avail_idx++;
	__asm__ volatile("" ::: "memory");
	virtio_kick_queue(&balloon, queue);
}

static bool is_answered(unsigned queue)
{
	return *(volatile uint16_t *)&rings[queue].used_idx == rings[queue].avail_idx;
}

static void send_and_wait(unsigned queue, uint32_t addr, uint32_t len, bool writable)
{
	send(queue, addr, len, writable);
	while (!is_answered(queue))
		;
}

/* Until so many pages are to be given up. */
static void wait_for_target(uint32_t target)
{
	while (mmio_read32(balloon.config) != target) {
		if (!is_answered(STATS))
			continue;
		stats[1].value++;
		send(STATS, (uint32_t)stats, sizeof(stats), false);
	}
}

static void set_queue(unsigned queue)
{
	struct ring *r = &rings[queue];
	const struct guest_ring where = {
		(uint32_t)&r->desc, (uint32_t)&r->avail_flags, (uint32_t)&r->used_flags, RING_SIZE};

	virtio_queue(&balloon, queue, &where, NO_VECTOR);
}

static void start(void)
{
	virtio_negotiate(&balloon, FEATURES);
	for (unsigned i = 0; i < N_QUEUES; i++)
		if (i != REPORTING - 1)
			set_queue(i);
	virtio_go(&balloon);
	send(STATS, (uint32_t)stats, sizeof(stats), false);
}

static void mark(void)
{
	for (unsigned i = 0; i < PAGES; i++)
		*page(i) = MARK + i;
}

static unsigned bench(unsigned rounds, unsigned list)
{
	virtio_negotiate(&balloon, 0);
	set_queue(INFLATE);
	set_queue(DEFLATE);
	virtio_go(&balloon);
	CHECK(virtio_status(&balloon) == 15);
	for (unsigned i = 0; i < BENCH_PAGES; i++)
		pfns[i] = MEM / PAGE_LEN + i;
	while (rounds--) {
		for (unsigned i = 0; i < BENCH_PAGES; i++)
			*page(i) = MARK;
		put_string("go\n");
		for (unsigned i = 0; i < BENCH_PAGES; i += list)
			send_and_wait(INFLATE, (uint32_t)&pfns[i], list * sizeof(*pfns), false);
		put_string("end\n");
		for (unsigned i = 0; i < BENCH_PAGES; i += list)
			send_and_wait(DEFLATE, (uint32_t)&pfns[i], list * sizeof(*pfns), false);
	}
	return 0;
}

unsigned guest_main(const struct hvm_start_info *info)
{
	uint32_t rounds = cmdline_number(info, 0);

	CHECK(virtio_find(&balloon, VIRTIO_BALLOON) && balloon.config);
	if (rounds)
		return bench(rounds, guest_cmdline(info)[1] == ' ' ? BENCH_PAGES : LIST);
	start();
	CHECK(virtio_status(&balloon) == 15);
	mark();
	put_string("filled\n");

	/* Every other page first, and all of it from the end: the device is to find out what lies together. */
	wait_for_target(PAGES);
	for (unsigned i = 0; i < PAGES / 2; i++) {
		pfns[i] = MEM / PAGE_LEN + PAGES - 1 - 2 * i;
		pfns[PAGES / 2 + i] = pfns[i] - 1;
	}
	send_and_wait(INFLATE, (uint32_t)pfns, PAGES * sizeof(*pfns), false);
	mmio_write32(balloon.config + 4, PAGES);
	put_string("inflated\n");

	wait_for_target(0);
	send_and_wait(DEFLATE, (uint32_t)pfns, PAGES * sizeof(*pfns), false);
	mmio_write32(balloon.config + 4, 0);
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(*page(i) == 0);
	mark();
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(*page(i) == MARK + i);
	put_string("deflated\n");

	wait_for_target(1);
	send_and_wait(REPORTING, MEM, PAGES * PAGE_LEN, true);
	put_string("reported\n");
	wait_for_target(2);
	for (unsigned i = 0; i < PAGES; i++)
		CHECK(*page(i) == 0);
	CHECK(virtio_status(&balloon) == 15);
	return 0;
}
