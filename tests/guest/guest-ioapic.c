/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The IOAPIC: the PIT's edge on pin 2, and the level-triggered SCI on pin 9, raised by the PM timer's overflow
 * (every 2.3 s), which must come again after each EOI until the guest clears its cause.
 */
#include "guest.h"

#define PM1_STS 0x600
#define PM1_EN  0x602

static volatile unsigned sci_seen;

static void hook(unsigned n)
{
	if (n != 9)
		return;
	/* Leave the cause for two rounds: a level interrupt returns. */
	if (++sci_seen >= 3)
		outw(PM1_STS, 1);
}

unsigned guest_main(const struct hvm_start_info *info)
{
	(void)info;
	irq_setup();
	lapic_enable();
	pic_setup(0xffff);
	mmio_write32(IOAPIC, 1);
	CHECK((mmio_read32(IOAPIC + 0x10) >> 16 & 0xff) == 23);
	ioapic_set(2, 32, 0);
	outb(0x43, 0x34);
	outb(0x40, 0x00);
	outb(0x40, 0x10);
	while (irq_counts[0] < 3)
		wait_irq();
	ioapic_set(2, 1 << 16 | 32, 0);

	irq_hook = hook;
	ioapic_set(9, 1 << 15 | 41, 0);
	CHECK(ioapic_get(9) == (1 << 15 | 41));
	outw(PM1_EN, 1);
	while (sci_seen < 3)
		wait_irq();
	CHECK(!(ioapic_get(9) & 1 << 14));
	return 0;
}
