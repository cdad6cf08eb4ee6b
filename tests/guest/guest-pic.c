/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The oldest way: PIT channel 0, mode 2, through the PIC to vCPU 0 as an external interrupt. Then one shot, mode 0. */
#include "guest.h"

unsigned guest_main(const struct hvm_start_info *info)
{
	(void)info;
	irq_setup();
	/* LINT0 of the local APIC passes the PIC on (ExtINT). */
	mmio_write32(LAPIC + 0xf0, 0x100 | 63);
	mmio_write32(LAPIC + 0x350, 0x700);
	pic_setup(0xfffe);
	irq_pic_eoi = true;
	outb(0x43, 0x34);
	outb(0x40, 0x00);
	outb(0x40, 0x10); /* 4096 ticks: 3.4 ms */
	while (irq_counts[0] < 3)
		wait_irq();
	outb(0x43, 0x30); /* mode 0: one interrupt, then silence */
	outb(0x40, 0x00);
	outb(0x40, 0x10);
	irq_counts[0] = 0;
	while (irq_counts[0] < 1)
		wait_irq();
	/* Masked: the request stays in the IRR. */
	outb(0x21, 0xff);
	outb(0x43, 0x30);
	outb(0x40, 0x00);
	outb(0x40, 0x02);
	for (unsigned i = 0; i < 100000 && !(inb(0x20) & 1); i++)
		outb(0x20, 0x0a);
	CHECK(inb(0x20) & 1);
	CHECK(irq_counts[0] == 1);
	return 0;
}
