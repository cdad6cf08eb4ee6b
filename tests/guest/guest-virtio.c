/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A virtio entropy device from a guest's side: capabilities, negotiation, a queue, the doorbell,
 * and the answer by MSI-X, then by the interrupt line.
 */
#include "guest.h"

#define VIRTIO_RNG  0x10441af4
#define MSIX_VECTOR 33 /* irq_counts[1] */
#define LINE_VECTOR 34
#define QUEUE_SIZE  4
#define BUF_LEN     64

static struct {
	struct {
		uint64_t addr;
		uint32_t len;
		uint16_t flags, next;
	} desc[QUEUE_SIZE];
	uint16_t avail_flags, avail_idx, avail[QUEUE_SIZE], used_event, pad;
	uint16_t used_flags, used_idx;
	struct {
		uint32_t id, len;
	} used[QUEUE_SIZE];
	uint16_t avail_event;
} ring __attribute__((aligned(16)));

static uint8_t buf[BUF_LEN];
static struct guest_virtio rng;

static void start_device(uint16_t vector)
{
	const struct guest_ring where = {(uint32_t)&ring.desc, (uint32_t)&ring.avail_flags,
		(uint32_t)&ring.used_flags, QUEUE_SIZE};

	ring.avail_idx = ring.used_idx = 0;
	virtio_start(&rng, 0, &where, vector);
}

static void ask(void)
{
	for (unsigned i = 0; i < BUF_LEN; i++)
		buf[i] = 0;
	ring.desc[0].addr = (uint32_t)buf;
	ring.desc[0].len = BUF_LEN;
	ring.desc[0].flags = 2;
	ring.avail[ring.avail_idx % QUEUE_SIZE] = 0;
	__asm__ volatile("" ::: "memory");
	ring.avail_idx++;
	__asm__ volatile("" ::: "memory");
	virtio_kick(&rng);
}

static bool answered(uint16_t n)
{
	unsigned zeroes = 0;

	for (unsigned i = 0; i < BUF_LEN; i++)
		zeroes += ((volatile uint8_t *)buf)[i] == 0;
	return *(volatile uint16_t *)&ring.used_idx == n && ring.used[n - 1].len == BUF_LEN &&
		zeroes < BUF_LEN / 2;
}

/* Reading the ISR takes the line down. */
static void hook(unsigned n)
{
	if (n == LINE_VECTOR - 32)
		(void)mmio_read8(rng.isr);
}

unsigned guest_main(const struct hvm_start_info *info)
{
	(void)info;
	irq_setup();
	lapic_enable();
	pic_setup(0xffff);
	CHECK(virtio_find(&rng, VIRTIO_RNG) && rng.msix_table);
	CHECK(mmio_read16(rng.common + 0x12) == 1);

	/* By message. */
	mmio_write32(rng.msix_table + 16, LAPIC);
	mmio_write32(rng.msix_table + 20, 0);
	mmio_write32(rng.msix_table + 24, MSIX_VECTOR);
	mmio_write32(rng.msix_table + 28, 0);
	pci_write32(rng.slot, rng.msix_cap, 0x80000000);
	start_device(1);
	CHECK(virtio_status(&rng) == 15);
	for (uint16_t i = 1; i <= 3; i++) {
		ask();
		while (irq_counts[MSIX_VECTOR - 32] < i)
			wait_irq();
		CHECK(answered(i));
	}

	/* By line: level, and low again once the ISR was read. */
	pci_write32(rng.slot, rng.msix_cap, 0);
	irq_hook = hook;
	ioapic_set(16 + rng.slot % 8, 1 << 15 | LINE_VECTOR, 0);
	start_device(0xffff);
	for (uint16_t i = 1; i <= 3; i++) {
		ask();
		while (irq_counts[LINE_VECTOR - 32] < i)
			wait_irq();
		CHECK(answered(i));
	}
	CHECK(irq_counts[LINE_VECTOR - 32] == 3);
	CHECK(irq_counts[MSIX_VECTOR - 32] == 3);

	/* A broken ring: the device says so and the machine goes on. */
	ring.avail_idx += 1000;
	virtio_kick(&rng);
	while (!(virtio_status(&rng) & 0x40))
		;
	virtio_reset(&rng);
	return 0;
}
