/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A disk whose requests are in flight when the driver's life ends: by a reset of the machine ("machine") or of the
 * device ("device"). Each life begins with a look at what the one before left: what was answered and flushed is on
 * the disk, and nothing of the rest comes into memory that is somebody else's by now. Counts lives and those that
 * really left requests behind in the clock's memory, which a reset spares.
 *
 * Or ("busy") one that is never left alone: vCPU 0 reads and writes, vCPU 1 does to the device's registers and its configuration what
 * does no harm. Says so each time it has done some of it, until somebody ends it.
 *
 * The disk: 16 MiB of PATTERN, 16 MiB to write to, and the block that is kept. The lives: LIVES; the kept block has
 * the number of the last.
 */
#include "guest.h"

#define VIRTIO_BLK 0x10421af4
#define F_FLUSH    (1U << 9)
#define NO_VECTOR  0xffff

#define LIVES      8
#define N_REQUESTS 64 /* in flight at the end of a life: reads and writes by turns */
#define LEN        0x80000U
#define PATTERN    0xa5a5a5a5U
#define MARK       0x5a5a5a5aU
#define PAGE_LEN   4096U

/* Of the disk, in sectors. */
#define AT_SCRATCH (16U << 11)
#define AT_KEPT    (32U << 11)

/* Of memory: where the reads go, and from where the writes come. No image is loaded there. */
#define MEM_READS  0x01000000U
#define MEM_WRITES 0x02000000U

#define CMOS_LIFE 0x50
#define CMOS_LEFT 0x51 /* lives that left requests behind */

enum { OP_READ, OP_WRITE, OP_FLUSH = 4 };

#define RING_SIZE 256

static struct {
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
} ring __attribute__((aligned(16)));

static struct {
	uint32_t type, reserved;
	uint64_t sector;
} headers[N_REQUESTS];
static uint8_t statuses[N_REQUESTS];
static uint32_t kept[PAGE_LEN / 4] __attribute__((aligned(4096)));
static struct guest_virtio blk;

static uint8_t cmos_read(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void cmos_write(uint8_t index, uint8_t v)
{
	outb(0x70, index);
	outb(0x71, v);
}

static uint16_t used_idx(void)
{
	return *(volatile uint16_t *)&ring.used_idx;
}

static void start_device(void)
{
	const struct guest_ring where = {(uint32_t)&ring.desc, (uint32_t)&ring.avail_flags,
		(uint32_t)&ring.used_flags, RING_SIZE};

	virtio_start(&blk, F_FLUSH, &where, NO_VECTOR);
}

/* Make request 'n' available. 'len' 0: without data. */
static void add(unsigned n, uint32_t op, uint32_t sector, uint32_t addr, uint32_t len)
{
	unsigned d = 3 * n, last = len ? d + 2 : d + 1;

	headers[n].type = op;
	headers[n].sector = sector;
	statuses[n] = 0xff;
	ring.desc[d].addr = (uint32_t)&headers[n];
	ring.desc[d].len = sizeof(headers[n]);
	ring.desc[d].flags = 1;
	ring.desc[d].next = (uint16_t)(d + 1);
	ring.desc[d + 1].addr = addr;
	ring.desc[d + 1].len = len;
	ring.desc[d + 1].flags = op == OP_READ ? 3 : 1;
	ring.desc[d + 1].next = (uint16_t)(d + 2);
	ring.desc[last].addr = (uint32_t)&statuses[n];
	ring.desc[last].len = 1;
	ring.desc[last].flags = 2;
	ring.avail[ring.avail_idx % RING_SIZE] = (uint16_t)d;
	__asm__ volatile("" ::: "memory");
	ring.avail_idx++;
	__asm__ volatile("" ::: "memory");
}

/* One request, alone and to its end. */
static bool transfer(uint32_t op, uint32_t sector, void *data, uint32_t len)
{
	uint16_t before = used_idx();

	add(0, op, sector, (uint32_t)data, len);
	virtio_kick(&blk);
	while (used_idx() == before)
		;
	return *(volatile uint8_t *)&statuses[0] == 0 && used_idx() == before + 1;
}

static void fill_kept(uint32_t v)
{
	for (unsigned i = 0; i < PAGE_LEN / 4; i++)
		kept[i] = v;
}

static bool kept_is(uint32_t v)
{
	for (unsigned i = 0; i < PAGE_LEN / 4; i++)
		if (((volatile uint32_t *)kept)[i] != v)
			return false;
	return true;
}

/* Both ends of where a read of the life before would go. */
static volatile uint32_t *read_end(unsigned n, unsigned end)
{
	return (volatile uint32_t *)(MEM_READS + n * LEN + (end ? LEN - 4 : 0));
}

/* All that belonged to the life before is ours, and empty. */
static void take_memory(void)
{
	for (unsigned i = 0; i < sizeof(ring) / 4; i++)
		((volatile uint32_t *)&ring)[i] = 0;
	for (unsigned i = 0; i < N_REQUESTS; i++)
		statuses[i] = 0xee;
	for (unsigned i = 0; i < N_REQUESTS / 2; i++)
		*read_end(i, 0) = *read_end(i, 1) = MARK;
}

/* The disk works, has what it should, and memory has only what this life asked for. */
static unsigned look(uint8_t life)
{
	uint16_t used = 0;

	for (unsigned i = 0; i < 4; i++, used++) {
		fill_kept(MARK);
		CHECK(transfer(OP_READ, AT_KEPT, kept, PAGE_LEN));
		CHECK(kept_is(life));
	}
	fill_kept(MARK);
	CHECK(transfer(OP_READ, (4U << 11) * (life % 4), kept, PAGE_LEN));
	CHECK(kept_is(PATTERN));
	used++;
	for (unsigned i = 0; i < 200; i++)
		(void)virtio_status(&blk); /* some time */
	CHECK(used_idx() == used);
	for (unsigned i = used; i < RING_SIZE; i++)
		CHECK(!ring.used[i].id && !ring.used[i].len);
	for (unsigned i = 1; i < N_REQUESTS; i++)
		CHECK(statuses[i] == 0xee);
	for (unsigned i = 0; i < N_REQUESTS / 2; i++)
		CHECK(*read_end(i, 0) == MARK && *read_end(i, 1) == MARK);
	return 0;
}

/* Leave the number of the next life on the disk, and then a lot of requests in flight. */
static unsigned live(uint8_t life)
{
	uint16_t before;

	fill_kept(life + 1U);
	CHECK(transfer(OP_WRITE, AT_KEPT, kept, PAGE_LEN));
	CHECK(transfer(OP_FLUSH, 0, NULL, 0));
	cmos_write(CMOS_LIFE, life + 1);
	before = used_idx();
	for (unsigned i = 0; i < N_REQUESTS; i++) {
		uint32_t at = i / 2 * LEN;

		if (i % 2)
			add(i, OP_WRITE, AT_SCRATCH + at / 512, MEM_WRITES + at, LEN);
		else
			add(i, OP_READ, at / 512, MEM_READS + at, LEN);
	}
	virtio_kick(&blk);
	if (used_idx() != (uint16_t)(before + N_REQUESTS))
		cmos_write(CMOS_LEFT, cmos_read(CMOS_LEFT) + 1);
	return 0;
}

static void reset_machine(uint8_t life)
{
	if (life % 2)
		outb(0x64, 0xfe);
	else
		outb(0xcf9, 6);
	for (;;)
		__asm__ volatile("hlt");
}

/* The other processor. */

extern const uint8_t ap_trampoline[], ap_trampoline_end[];
void ap_main(void);

static volatile uint32_t rounds;

void ap_main(void)
{
	for (;;) {
		uint32_t command = pci_read32(blk.slot, 4);

		pci_write32(blk.slot, 4, command);
		(void)mmio_read32(blk.config);
		mmio_write8(blk.config + 32,
			rounds & 1); /* the write cache: not negotiated, so refused */
		(void)virtio_status(&blk);
		(void)mmio_read8(blk.isr);
		/* Vector 1 is masked, moved and unmasked. */
		mmio_write32(blk.msix_table + 16 + 12, 1);
		mmio_write32(blk.msix_table + 16, LAPIC);
		mmio_write32(blk.msix_table + 16 + 8, 0x40 + (rounds & 7));
		mmio_write32(blk.msix_table + 16 + 12, 0);
		rounds++;
	}
}

static void start_hammering(void)
{
	uint8_t *page = (uint8_t *)0x8000;

	lapic_enable();
	for (const uint8_t *p = ap_trampoline; p < ap_trampoline_end; p++)
		page[p - ap_trampoline] = *p;
	mmio_write32(LAPIC + 0x300, 0x000c4500);
	mmio_write32(LAPIC + 0x300, 0x000c4608);
}

static unsigned be_busy(void)
{
	take_memory();
	start_device();
	start_hammering();
	for (uint32_t n = 1;; n++) {
		uint32_t before = rounds, at = n % 32 * LEN / 512;

		*read_end(0, 0) = *read_end(0, 1) = MARK;
		CHECK(transfer(OP_READ, at, (void *)read_end(0, 0), LEN));
		CHECK(*read_end(0, 0) == PATTERN && *read_end(0, 1) == PATTERN);
		fill_kept(n);
		CHECK(transfer(OP_WRITE, AT_KEPT, kept, PAGE_LEN));
		fill_kept(MARK);
		CHECK(transfer(OP_READ, AT_KEPT, kept, PAGE_LEN));
		CHECK(kept_is(n));
		while (rounds == before)
			__asm__ volatile("pause");
		if (n % 4 == 0)
			put_string("busy\n");
	}
}

unsigned guest_main(const struct hvm_start_info *info)
{
	bool machine = guest_cmdline(info)[0] == 'm';
	unsigned failed = 0;

	CHECK(virtio_find(&blk, VIRTIO_BLK));
	if (guest_cmdline(info)[0] == 'b')
		return be_busy();
	for (uint8_t life = cmos_read(CMOS_LIFE); !failed; life++) {
		take_memory();
		start_device();
		failed = look(life);
		if (failed || life == LIVES)
			break;
		failed = live(life);
		if (!failed && machine)
			reset_machine(life);
		virtio_reset(&blk);
	}
	CHECK(failed || cmos_read(CMOS_LEFT) > LIVES / 2);
	return failed;
}
