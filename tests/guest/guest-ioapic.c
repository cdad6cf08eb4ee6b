/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The IOAPIC: the PIT's edge on pin 2, and a level on pin 4 (the serial port's empty transmitter), which must come again
 * after each EOI until the guest takes its cause away.
 */
#include "guest.h"

#define COM1_IER 0x3f9

static volatile unsigned seen;

static void hook(unsigned n)
{
	if (n != 9)
		return;
	/* Leave the cause for two rounds: a level interrupt returns. */
	if (++seen >= 3)
		outb(COM1_IER, 0);
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

	irq_hook = hook;
	ioapic_set(4, 1 << 15 | 41, 0);
	CHECK(ioapic_get(4) == (1 << 15 | 41));
	outb(0x3fc, 8); /* OUT2 lets the interrupt out */
	outb(COM1_IER, 2);
	/* The PIT goes on ticking: should all three come before the HLT, it ends it. */
	while (seen < 3)
		wait_irq();
	ioapic_set(2, 1 << 16 | 32, 0);
	CHECK(!(ioapic_get(4) & 1 << 14));
	return 0;
}
