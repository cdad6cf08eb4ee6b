/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Virtqueues: order, kicks and notifications, save and load, and a table of hostile rings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "devices/virtio/queue.h"
#include "tests/fakes/fake-driver.h"

#define RAM   MIB(4)
#define RING  UINT64_C(0x1000)
#define BUF   UINT64_C(0x8000)
#define TABLE UINT64_C(0x9000)
#define SIZE  8

#define N FAKE_NEXT
#define W FAKE_WRITE
#define I FAKE_INDIRECT

struct world {
	struct guest_mem mem;
	struct virtq q;
	struct fake_ring ring;
};

static void setup(struct world *w, unsigned flags)
{
	assert_int_equal(guest_mem_init(&w->mem, -EBADF, RAM), 0);
	fake_ring_init(&w->ring, &w->mem, RING, SIZE);
	virtq_init(&w->q, &w->mem, VIRTQ_MAX_SIZE);
	assert_true(virtq_set_size(&w->q, SIZE));
	assert_true(virtq_set_addresses(
		&w->q, GPA(w->ring.desc), GPA(w->ring.avail), GPA(w->ring.used)));
	assert_int_equal(virtq_enable(&w->q, flags), 0);
}

static void test_chain(void **state)
{
	const struct fake_part parts[] = {{BUF, 10, false}, {BUF + 100, 20, false},
		{BUF + 200, 30, true}, {BUF + 300, 40, true}};
	struct virtq_chain c;
	struct world w;
	uint32_t id, len;
	uint8_t buf[64];
	uint16_t head;

	(void)state;
	setup(&w, VIRTQ_INDIRECT);
	for (unsigned i = 0; i < 30; i++)
		((uint8_t *)guest_mem_ptr(&w.mem, GPA(BUF), 200))[i < 10 ? i : 90 + i] = (uint8_t)i;
	assert_int_equal(virtq_pop(&w.q, &c), 0);
	for (unsigned turn = 0; turn < 2; turn++) {
		head = turn ? fake_ring_add_indirect(&w.ring, TABLE, parts, 4)
			    : fake_ring_add(&w.ring, parts, 4);
		assert_int_equal(virtq_pop(&w.q, &c), 1);
		assert_int_equal(c.head, head);
		assert_int_equal(c.n_readable, 2);
		assert_int_equal(c.n_writable, 2);
		assert_int_equal(c.readable_len, 30);
		assert_int_equal(c.writable_len, 70);
		assert_int_equal(virtq_chain_read(&c, 5, buf, sizeof(buf)), 25);
		for (unsigned i = 0; i < 25; i++)
			assert_int_equal(buf[i], i + 5);
		assert_int_equal(virtq_chain_read(&c, 30, buf, 1), 0);
		assert_int_equal(virtq_chain_write(&c, 29, "ab", 2), 2);
		assert_int_equal(*(char *)guest_mem_ptr(&w.mem, GPA(BUF + 229), 1), 'a');
		assert_int_equal(*(char *)guest_mem_ptr(&w.mem, GPA(BUF + 300), 1), 'b');
		assert_int_equal(virtq_chain_write(&c, 70, "x", 1), 0);
		virtq_push(&w.q, c.head, 31);
		assert_false(fake_ring_used(&w.ring, &id, &len));
		assert_true(virtq_flush(&w.q));
		assert_false(virtq_flush(&w.q));
		assert_true(fake_ring_used(&w.ring, &id, &len));
		assert_int_equal(id, head);
		assert_int_equal(len, 31);
	}
	guest_mem_done(&w.mem);
}

/* Kicks are off while chains come, and on again when the ring is empty. */
static void test_kicks(void **state)
{
	const struct fake_part part = {BUF, 10, false};
	struct virtq_chain c;
	struct world w;

	(void)state;
	setup(&w, 0);
	(void)fake_ring_add(&w.ring, &part, 1);
	(void)fake_ring_add(&w.ring, &part, 1);
	assert_int_equal(virtq_pop(&w.q, &c), 1);
	assert_int_equal(fake_ring_used_flags(&w.ring), 1);
	assert_int_equal(virtq_pop(&w.q, &c), 1);
	assert_int_equal(virtq_pop(&w.q, &c), 0);
	assert_int_equal(fake_ring_used_flags(&w.ring), 0);
	guest_mem_done(&w.mem);

	setup(&w, VIRTQ_EVENT_IDX);
	for (unsigned i = 0; i < 3; i++)
		(void)fake_ring_add(&w.ring, &part, 1);
	assert_int_equal(virtq_pop(&w.q, &c), 1);
	assert_int_equal(fake_ring_avail_event(&w.ring), 0);
	assert_int_equal(virtq_pop(&w.q, &c), 1);
	assert_true(virtq_has_work(&w.q));
	assert_int_equal(virtq_pop(&w.q, &c), 1);
	assert_false(virtq_has_work(&w.q));
	assert_int_equal(fake_ring_avail_event(&w.ring), 3);
	assert_int_equal(fake_ring_used_flags(&w.ring), 0);
	guest_mem_done(&w.mem);
}

static void test_notifications(void **state)
{
	const struct fake_part part = {BUF, 10, true};
	struct virtq_chain c;
	struct world w;

	(void)state;
	setup(&w, 0);
	for (unsigned i = 0; i < 2; i++) {
		(void)fake_ring_add(&w.ring, &part, 1);
		assert_int_equal(virtq_pop(&w.q, &c), 1);
		virtq_push(&w.q, c.head, 0);
		fake_ring_set_avail_flags(&w.ring, (uint16_t)i);
		assert_int_equal(virtq_flush(&w.q), !i);
	}
	guest_mem_done(&w.mem);

	/* The driver waits for entry 3: only the flush that passes it notifies. All round the ring's
	 * 16-bit index. */
	setup(&w, VIRTQ_EVENT_IDX);
	for (unsigned i = 0; i < 70000; i++) {
		fake_ring_set_used_event(&w.ring, (uint16_t)(i / 4 * 4 + 3));
		(void)fake_ring_add(&w.ring, &part, 1);
		assert_int_equal(virtq_pop(&w.q, &c), 1);
		virtq_push(&w.q, c.head, 0);
		if (virtq_flush(&w.q) != (i % 4 == 3))
			fail_msg("used entry %u", i);
	}
	/* A batch that jumps over it, too. */
	fake_ring_set_used_event(&w.ring, (uint16_t)(70000 + 2));
	for (unsigned i = 0; i < 5; i++) {
		(void)fake_ring_add(&w.ring, &part, 1);
		assert_int_equal(virtq_pop(&w.q, &c), 1);
		virtq_push(&w.q, c.head, 0);
	}
	assert_true(virtq_flush(&w.q));
	guest_mem_done(&w.mem);
}

static void test_unpop(void **state)
{
	const struct fake_part parts[] = {{BUF, 10, false}, {BUF, 20, false}};
	struct virtq_chain c;
	struct world w;

	(void)state;
	setup(&w, 0);
	virtq_unpop(&w.q); /* nothing out: nothing happens */
	(void)fake_ring_add(&w.ring, &parts[0], 1);
	(void)fake_ring_add(&w.ring, &parts[1], 1);
	assert_int_equal(virtq_pop(&w.q, &c), 1);
	assert_int_equal(virtq_pop(&w.q, &c), 1);
	assert_int_equal(c.readable_len, 20);
	virtq_unpop(&w.q);
	assert_int_equal(w.q.n_in_flight, 1);
	assert_int_equal(virtq_pop(&w.q, &c), 1);
	assert_int_equal(c.readable_len, 20);
	assert_int_equal(virtq_refetch(&w.q, 0, &c), 1);
	assert_int_equal(c.readable_len, 10);
	guest_mem_done(&w.mem);
}

/* Nothing the driver programs after enabling reaches the rings (CVE-2026-5747's class). */
static void test_latched(void **state)
{
	const struct fake_part part = {BUF, 10, false};
	struct virtq_chain c;
	struct world w;

	(void)state;
	setup(&w, 0);
	assert_false(virtq_set_size(&w.q, 256));
	assert_false(virtq_set_addresses(&w.q, GPA(0), GPA(0), GPA(0)));
	assert_int_equal(virtq_enable(&w.q, 0), -EALREADY);
	w.q.size = 256;
	w.q.desc_gpa = w.q.used_gpa = GPA(UINT64_MAX);
	for (unsigned i = 0; i < 3 * SIZE; i++) {
		(void)fake_ring_add(&w.ring, &part, 1);
		assert_int_equal(virtq_pop(&w.q, &c), 1);
		virtq_push(&w.q, c.head, 0);
		(void)virtq_flush(&w.q);
	}
	assert_int_equal(fake_ring_used_idx(&w.ring), 3 * SIZE);
	guest_mem_done(&w.mem);
}

struct enable_case {
	const char *name;
	uint16_t size;
	uint64_t desc, avail, used;
	int expect;
};

#define LAST_PAGE (RAM - 4096)

static const struct enable_case enable_cases[] = {
	{"honest", 8, 0x1000, 0x2000, 0x3000, 0},
	{"largest", 256, 0x1000, 0x2000, 0x3000, 0},
	{"size 1", 1, 0x1000, 0x2000, 0x3000, 0},
	{"size 0", 0, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"size 3", 3, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"size 512", 512, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"size 32768", 32768, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"size 32769", 32769, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"size 65535", 65535, 0x1000, 0x2000, 0x3000, -EINVAL},
	{"descriptors unaligned", 8, 0x1008, 0x2000, 0x3000, -EINVAL},
	{"available ring unaligned", 8, 0x1000, 0x2001, 0x3000, -EINVAL},
	{"used ring unaligned", 8, 0x1000, 0x2000, 0x3002, -EINVAL},
	{"all at 0", 8, 0, 0, 0, 0},
	{"all three overlap", 8, 0x1000, 0x1000, 0x1000, 0},
	{"descriptors end with RAM", 256, LAST_PAGE, 0x2000, 0x3000, 0},
	{"descriptors run out of RAM", 256, LAST_PAGE + 16, 0x2000, 0x3000, -EFAULT},
	{"available ring runs out of RAM", 8, 0x1000, RAM - 20, 0x3000, -EFAULT},
	{"used event is the last word of RAM", 8, 0x1000, RAM - 22, 0x3000, 0},
	{"used ring runs out of RAM", 8, 0x1000, 0x2000, RAM - 64, -EFAULT},
	{"avail event is the last word of RAM", 8, 0x1000, 0x2000, RAM - 72, 0},
	{"descriptors beyond RAM", 8, RAM, 0x2000, 0x3000, -EFAULT},
	{"available ring in the hole", 8, 0x1000, LAYOUT_PCI32_BASE, 0x3000, -EFAULT},
	{"used ring in ECAM", 8, 0x1000, 0x2000, LAYOUT_ECAM_BASE, -EFAULT},
	{"used ring in the local APIC", 8, 0x1000, 0x2000, LAYOUT_LAPIC_BASE, -EFAULT},
	{"descriptors at 2^64 - 16", 8, UINT64_MAX - 15, 0x2000, 0x3000, -EFAULT},
	{"available ring at 2^64 - 2", 8, 0x1000, UINT64_MAX - 1, 0x3000, -EFAULT},
	{"used ring at 2^63", 8, 0x1000, 0x2000, UINT64_C(1) << 63, -EFAULT},
};

static void test_enable(void **state)
{
	const struct enable_case *t;

	(void)state;
	FOREACH_ELEMENT (t, enable_cases) {
		struct guest_mem mem;
		struct virtq_chain c;
		struct virtq q;
		int r;

		assert_int_equal(guest_mem_init(&mem, -EBADF, RAM), 0);
		virtq_init(&q, &mem, VIRTQ_MAX_SIZE);
		(void)virtq_set_size(&q, t->size);
		(void)virtq_set_addresses(&q, GPA(t->desc), GPA(t->avail), GPA(t->used));
		r = virtq_enable(&q, VIRTQ_INDIRECT | VIRTQ_EVENT_IDX);
		if (r != t->expect)
			fail_msg("%s: %d instead of %d", t->name, r, t->expect);
		/* Whatever came out, the rest of the interface can be called. */
		(void)virtq_pop(&q, &c);
		virtq_push(&q, 0xffff, UINT32_MAX);
		(void)virtq_flush(&q);
		virtq_unpop(&q);
		guest_mem_done(&mem);
	}
}

struct raw_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* A ring that is wrong in one way. descs[] is the table of the ring, table[] the indirect one. */
struct ring_case {
	const char *name;
	int expect;        /* of the pop that counts */
	unsigned readable; /* bytes, when it is 1 */
	uint16_t head;
	bool no_offer; /* set avail idx to 'idx' instead of offering 'head' */
	uint16_t idx;
	struct raw_desc descs[SIZE + 1];
	struct raw_desc table[SIZE + 2];
};

#define BAD .expect = -EBADMSG

static const struct ring_case ring_cases[] = {
	{.name = "honest", .expect = 1, .readable = 16, .descs = {{BUF, 16, 0, 0}}},
	{.name = "next without its flag is ignored",
		.expect = 1,
		.readable = 16,
		.descs = {{BUF, 16, 0, 0xffff}}},
	{.name = "unknown flags are ignored",
		.expect = 1,
		.readable = 16,
		.descs = {{BUF, 16, 0xfff8, 0}}},
	{.name = "idx + size: all entries are head 0",
		.expect = 1,
		.readable = 16,
		.no_offer = true,
		.idx = SIZE,
		.descs = {{BUF, 16, 0, 0}}},
	{.name = "idx + size + 1",
		BAD,
		.no_offer = true,
		.idx = SIZE + 1,
		.descs = {{BUF, 16, 0, 0}}},
	{.name = "idx + 0x8000", BAD, .no_offer = true, .idx = 0x8000, .descs = {{BUF, 16, 0, 0}}},
	{.name = "idx backwards", BAD, .no_offer = true, .idx = 0xffff, .descs = {{BUF, 16, 0, 0}}},
	{.name = "head = size", BAD, .head = SIZE, .descs = {{BUF, 16, 0, 0}}},
	{.name = "head = 0xffff", BAD, .head = 0xffff, .descs = {{BUF, 16, 0, 0}}},
	{.name = "next = size", BAD, .descs = {{BUF, 16, N, SIZE}}},
	{.name = "next = 0xffff", BAD, .descs = {{BUF, 16, N, 0xffff}}},
	{.name = "loop of one", BAD, .descs = {{BUF, 16, N, 0}}},
	{.name = "loop of two", BAD, .descs = {{BUF, 16, N, 1}, {BUF, 16, N, 0}}},
	{.name = "loop of all",
		BAD,
		.descs = {{BUF, 1, N, 1}, {BUF, 1, N, 2}, {BUF, 1, N, 3}, {BUF, 1, N, 4},
			{BUF, 1, N, 5}, {BUF, 1, N, 6}, {BUF, 1, N, 7}, {BUF, 1, N, 0}}},
	{.name = "loop of writable ones", BAD, .descs = {{BUF, 16, N | W, 0}}},
	{.name = "loop that leaves out the head",
		BAD,
		.descs = {{BUF, 1, N, 1}, {BUF, 1, N, 2}, {BUF, 1, N, 1}}},
	{.name = "a chain of all",
		.expect = 1,
		.readable = 8,
		.descs = {{BUF, 1, N, 1}, {BUF, 1, N, 2}, {BUF, 1, N, 3}, {BUF, 1, N, 4},
			{BUF, 1, N, 5}, {BUF, 1, N, 6}, {BUF, 1, N, 7}, {BUF, 1, 0, 0}}},
	{.name = "readable after writable", BAD, .descs = {{BUF, 16, N | W, 1}, {BUF, 16, 0, 0}}},
	{.name = "readable, writable, readable",
		BAD,
		.descs = {{BUF, 16, N, 1}, {BUF, 16, N | W, 2}, {BUF, 16, 0, 0}}},
	{.name = "length 0", BAD, .descs = {{BUF, 0, 0, 0}}},
	{.name = "length 0 in the middle",
		BAD,
		.descs = {{BUF, 16, N, 1}, {BUF, 0, N, 2}, {BUF, 16, 0, 0}}},
	{.name = "length 2^32 - 1", BAD, .descs = {{0, UINT32_MAX, 0, 0}}},
	{.name = "length 2^31", BAD, .descs = {{BUF, 1U << 31, W, 0}}},
	{.name = "all of RAM", .expect = 1, .readable = RAM, .descs = {{0, RAM, 0, 0}}},
	{.name = "all of RAM and one byte", BAD, .descs = {{0, RAM + 1, 0, 0}}},
	{.name = "the last byte of RAM", .expect = 1, .readable = 1, .descs = {{RAM - 1, 1, 0, 0}}},
	{.name = "over the end of RAM", BAD, .descs = {{RAM - 1, 2, 0, 0}}},
	{.name = "beyond RAM", BAD, .descs = {{RAM, 1, 0, 0}}},
	{.name = "wraps around", BAD, .descs = {{UINT64_MAX - 7, 16, 0, 0}}},
	{.name = "address 2^64 - 1", BAD, .descs = {{UINT64_MAX, 1, 0, 0}}},
	{.name = "a BAR", BAD, .descs = {{LAYOUT_PCI32_BASE, 16, 0, 0}}},
	{.name = "a BAR, writable", BAD, .descs = {{LAYOUT_PCI32_BASE, 16, W, 0}}},
	{.name = "ECAM", BAD, .descs = {{LAYOUT_ECAM_BASE, 16, W, 0}}},
	{.name = "the IOAPIC", BAD, .descs = {{LAYOUT_IOAPIC_BASE, 16, W, 0}}},
	{.name = "the local APIC", BAD, .descs = {{LAYOUT_LAPIC_BASE, 16, W, 0}}},
	{.name = "above 4 GiB without RAM there", BAD, .descs = {{LAYOUT_HIGH_RAM_BASE, 16, 0, 0}}},
	{.name = "the ring itself as buffer",
		.expect = 1,
		.readable = 16,
		.descs = {{RING, 16, 0, 0}}},
	{.name = "the second of two is bad", BAD, .descs = {{BUF, 16, N, 1}, {RAM, 16, 0, 0}}},
	{.name = "indirect",
		.expect = 1,
		.readable = 32,
		.descs = {{TABLE, 32, I, 0}},
		.table = {{BUF, 16, N, 1}, {BUF, 16, 0, 0}}},
	{.name = "indirect after a direct one",
		.expect = 1,
		.readable = 48,
		.descs = {{BUF, 16, N, 1}, {TABLE, 32, I, 0}},
		.table = {{BUF, 16, N, 1}, {BUF, 16, 0, 0}}},
	{.name = "indirect, longer than the ring",
		.expect = 1,
		.readable = 9,
		.descs = {{TABLE, 160, I, 0}},
		.table = {{BUF, 1, N, 1}, {BUF, 1, N, 2}, {BUF, 1, N, 3}, {BUF, 1, N, 4},
			{BUF, 1, N, 5}, {BUF, 1, N, 6}, {BUF, 1, N, 7}, {BUF, 1, N, 8},
			{BUF, 1, 0, 0}}},
	{.name = "indirect, the write flag of the table is ignored",
		.expect = 1,
		.readable = 16,
		.descs = {{TABLE, 16, I | W, 0}},
		.table = {{BUF, 16, 0, 0}}},
	{.name = "indirect, unaligned table",
		.expect = 1,
		.readable = 0,
		.descs = {{TABLE + 8, 16, I, 0}},
		/* Read from offset 8, the fields of two descriptors make one. */
		.table = {{0, 0x8000, 0, 0}, {0x0000000200000010, 0, 0, 0}}},
	{.name = "indirect, length 0", BAD, .descs = {{TABLE, 0, I, 0}}},
	{.name = "indirect, length 8", BAD, .descs = {{TABLE, 8, I, 0}}},
	{.name = "indirect, length 17", BAD, .descs = {{TABLE, 17, I, 0}}},
	{.name = "indirect, length 2^32 - 1", BAD, .descs = {{TABLE, UINT32_MAX, I, 0}}},
	{.name = "indirect, length 2^32 - 16", BAD, .descs = {{TABLE, UINT32_MAX - 15, I, 0}}},
	{.name = "indirect, table over the end of RAM", BAD, .descs = {{RAM - 16, 32, I, 0}}},
	{.name = "indirect, table in a BAR", BAD, .descs = {{LAYOUT_PCI32_BASE, 32, I, 0}}},
	{.name = "indirect, table at 2^64 - 16", BAD, .descs = {{UINT64_MAX - 15, 32, I, 0}}},
	{.name = "indirect with next",
		BAD,
		.descs = {{TABLE, 16, I | N, 1}, {BUF, 16, 0, 0}},
		.table = {{BUF, 16, 0, 0}}},
	{.name = "indirect in indirect",
		BAD,
		.descs = {{TABLE, 32, I, 0}},
		.table = {{TABLE + 16, 16, I, 0}, {BUF, 16, 0, 0}}},
	{.name = "indirect that names itself",
		BAD,
		.descs = {{TABLE, 16, I, 0}},
		.table = {{TABLE, 16, I, 0}}},
	{.name = "indirect that names the ring's table", BAD, .descs = {{RING, 16, I, 0}}},
	{.name = "indirect, loop of one",
		BAD,
		.descs = {{TABLE, 16, I, 0}},
		.table = {{BUF, 16, N, 0}}},
	{.name = "indirect, loop of two",
		BAD,
		.descs = {{TABLE, 32, I, 0}},
		.table = {{BUF, 16, N, 1}, {BUF, 16, N, 0}}},
	{.name = "indirect, next outside of the table",
		BAD,
		.descs = {{TABLE, 32, I, 0}},
		.table = {{BUF, 16, N, 2}, {BUF, 16, 0, 0}, {BUF, 16, 0, 0}}},
	{.name = "indirect, next = 0xffff in a table of 64 Ki",
		BAD,
		.descs = {{TABLE, 0x100000, I, 0}},
		.table = {{BUF, 16, N, 0xffff}}},
	{.name = "indirect, length 0 inside",
		BAD,
		.descs = {{TABLE, 16, I, 0}},
		.table = {{BUF, 0, 0, 0}}},
	{.name = "indirect, readable after writable",
		BAD,
		.descs = {{TABLE, 32, I, 0}},
		.table = {{BUF, 16, N | W, 1}, {BUF, 16, 0, 0}}},
	{.name = "indirect, readable after a direct writable",
		BAD,
		.descs = {{BUF, 16, N | W, 1}, {TABLE, 16, I, 0}},
		.table = {{BUF, 16, 0, 0}}},
	{.name = "indirect, beyond RAM inside",
		BAD,
		.descs = {{TABLE, 16, I, 0}},
		.table = {{RAM, 16, 0, 0}}},
};

static void fill(struct world *w, const struct ring_case *t)
{
	for (unsigned i = 0; i < SIZE; i++)
		fake_ring_set_desc(&w->ring, w->ring.desc, i, t->descs[i].addr, t->descs[i].len,
			t->descs[i].flags, t->descs[i].next);
	for (unsigned i = 0; i < ARRAY_SIZE(t->table); i++)
		fake_ring_set_desc(&w->ring, TABLE, i, t->table[i].addr, t->table[i].len,
			t->table[i].flags, t->table[i].next);
	if (t->no_offer)
		fake_ring_set_avail_idx(&w->ring, t->idx);
	else
		fake_ring_offer(&w->ring, t->head);
}

static void test_hostile_rings(void **state)
{
	const struct ring_case *t;

	(void)state;
	FOREACH_ELEMENT (t, ring_cases) {
		struct virtq_chain c;
		struct world w;
		int r;

		setup(&w, VIRTQ_INDIRECT);
		fill(&w, t);
		r = virtq_pop(&w.q, &c);
		if (r != t->expect)
			fail_msg("%s: %d instead of %d", t->name, r, t->expect);
		if (r == 1 && t->readable && c.readable_len != t->readable)
			fail_msg(
				"%s: %u bytes instead of %u", t->name, c.readable_len, t->readable);
		if (r < 0) {
			/* Said once; then silence until a reset, whatever the ring says. */
			assert_int_equal(virtq_pop(&w.q, &c), 0);
			assert_false(virtq_has_work(&w.q));
			virtq_push(&w.q, 0, 0);
			assert_false(virtq_flush(&w.q));
			assert_int_equal(fake_ring_used_idx(&w.ring), 0);
			virtq_reset(&w.q);
			assert_false(w.q.enabled || w.q.broken);
			assert_int_equal(w.q.size, VIRTQ_MAX_SIZE);
		}
		guest_mem_done(&w.mem);
	}
	assert_true(ARRAY_SIZE(ring_cases) >= 60);
}

/* Limits that need more than a handful of descriptors. */
static void test_limits(void **state)
{
	const struct fake_part part = {BUF, 1, false};
	struct virtq_chain c;
	struct world w;

	(void)state;
	/* Indirect: exactly VIRTQ_MAX_CHAIN descriptors, then one more. */
	for (unsigned n = VIRTQ_MAX_CHAIN; n <= VIRTQ_MAX_CHAIN + 1; n++) {
		setup(&w, VIRTQ_INDIRECT);
		for (unsigned i = 0; i < n; i++)
			fake_ring_set_desc(
				&w.ring, TABLE, i, BUF, 1, i + 1 < n ? N : 0, (uint16_t)(i + 1));
		fake_ring_set_desc(&w.ring, w.ring.desc, 0, TABLE, 16 * n, I, 0);
		fake_ring_offer(&w.ring, 0);
		assert_int_equal(virtq_pop(&w.q, &c), n > VIRTQ_MAX_CHAIN ? -EBADMSG : 1);
		guest_mem_done(&w.mem);
	}
	/* Bytes: 64 times all of RAM is the limit. */
	for (unsigned n = 64; n <= 65; n++) {
		setup(&w, VIRTQ_INDIRECT);
		for (unsigned i = 0; i < n; i++)
			fake_ring_set_desc(
				&w.ring, TABLE, i, 0, RAM, i + 1 < n ? N : 0, (uint16_t)(i + 1));
		fake_ring_set_desc(&w.ring, w.ring.desc, 0, TABLE, 16 * n, I, 0);
		fake_ring_offer(&w.ring, 0);
		assert_int_equal(virtq_pop(&w.q, &c), n > 64 ? -EBADMSG : 1);
		guest_mem_done(&w.mem);
	}
	/* Not negotiated: an indirect descriptor is an error. */
	setup(&w, 0);
	(void)fake_ring_add_indirect(&w.ring, TABLE, &part, 1);
	assert_int_equal(virtq_pop(&w.q, &c), -EBADMSG);
	guest_mem_done(&w.mem);
	/* The same head again and again: at most 'size' chains are out. */
	setup(&w, 0);
	for (unsigned i = 0; i < SIZE; i++) {
		fake_ring_set_desc(&w.ring, w.ring.desc, 0, BUF, 1, 0, 0);
		fake_ring_offer(&w.ring, 0);
		assert_int_equal(virtq_pop(&w.q, &c), 1);
	}
	fake_ring_offer(&w.ring, 0);
	assert_int_equal(virtq_pop(&w.q, &c), -EBADMSG);
	guest_mem_done(&w.mem);
}

static int reload(const struct virtq *q, struct virtq *to, unsigned flags)
{
	struct state_writer w;
	struct state_reader r = {0};
	size_t offset = 0;
	int ret;

	state_writer_init(&w);
	state_begin(&w, "queue", 0, 1);
	virtq_save(q, &w);
	state_end(&w);
	assert_int_equal(state_next(w.data, w.len, &offset, &r), 1);
	virtq_init(to, q->mem, VIRTQ_MAX_SIZE);
	ret = virtq_load(to, &r, flags);
	if (ret == 0)
		assert_int_equal(state_reader_end(&r), 0);
	state_writer_done(&w);
	return ret;
}

static void test_save_load(void **state)
{
	const struct fake_part part = {BUF, 1, true};
	struct virtq_chain c;
	struct virtq fresh;
	struct world w;
	uint32_t id, len;

	(void)state;
	setup(&w, VIRTQ_EVENT_IDX);
	for (unsigned i = 0; i < 3; i++)
		(void)fake_ring_add(&w.ring, &part, 1);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(virtq_pop(&w.q, &c), 1);
	virtq_push(&w.q, 0, 1);
	(void)virtq_flush(&w.q);
	assert_int_equal(reload(&w.q, &fresh, VIRTQ_EVENT_IDX), 0);
	/* Chain 1 is still out, chain 2 still to come. */
	assert_int_equal(fresh.n_in_flight, 1);
	assert_int_equal(virtq_refetch(&fresh, 1, &c), 1);
	assert_int_equal(virtq_pop(&fresh, &c), 1);
	assert_int_equal(c.head, 2);
	virtq_push(&fresh, 1, 7);
	(void)virtq_flush(&fresh);
	assert_true(fake_ring_used(&w.ring, &id, &len));
	assert_true(fake_ring_used(&w.ring, &id, &len));
	assert_int_equal(id, 1);
	assert_int_equal(len, 7);
	/* A disabled one stays disabled. */
	virtq_reset(&w.q);
	assert_int_equal(reload(&w.q, &fresh, 0), 0);
	assert_false(fresh.enabled);
	guest_mem_done(&w.mem);
}

/* Saved when all was taken and the driver was asked not to kick: it is asked to by the pop that finds nothing. */
static void test_kicks_after_load(void **state)
{
	const struct fake_part part = {BUF, 1, true};
	struct virtq_chain c;
	struct virtq fresh;
	struct world w;

	(void)state;
	setup(&w, 0);
	(void)fake_ring_add(&w.ring, &part, 1);
	assert_int_equal(virtq_pop(&w.q, &c), 1);
	assert_int_equal(fake_ring_used_flags(&w.ring), 1);
	assert_int_equal(reload(&w.q, &fresh, 0), 0);
	assert_int_equal(virtq_pop(&fresh, &c), 0);
	assert_int_equal(fake_ring_used_flags(&w.ring), 0);
	guest_mem_done(&w.mem);
}

static void test_load_corrupt(void **state)
{
	struct virtq bad, fresh;
	struct world w;

	(void)state;
	setup(&w, 0);
	bad = w.q;
	bad.latched_size = 3;
	assert_int_equal(reload(&bad, &fresh, 0), -EBADMSG);
	bad = w.q;
	bad.desc_gpa = GPA(RAM);
	assert_int_equal(reload(&bad, &fresh, 0), -EBADMSG);
	bad = w.q;
	bad.last_avail = 100;
	assert_int_equal(reload(&bad, &fresh, 0), -EBADMSG);
	bad = w.q;
	bad.enabled = false;
	bad.broken = true;
	assert_int_equal(reload(&bad, &fresh, 0), -EBADMSG);
	assert_false(fresh.enabled || fresh.broken || fresh.n_in_flight);
	guest_mem_done(&w.mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_kicks),
		cmocka_unit_test(test_notifications),
		cmocka_unit_test(test_unpop),
		cmocka_unit_test(test_latched),
		cmocka_unit_test(test_enable),
		cmocka_unit_test(test_hostile_rings),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_kicks_after_load),
		cmocka_unit_test(test_load_corrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
