/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Waits for the power button by its interrupt when told "wait", then switches itself off by ACPI's S5. */
#include "guest.h"

/* The line stays up until the status is cleared: without this the interrupt comes again at its own end, over and over. */
static void mask(unsigned n)
{
	(void)n;
	ioapic_set(9, 1 << 16, 0);
}

unsigned guest_main(const struct hvm_start_info *info)
{
	if (guest_cmdline(info)[0] == 'w') {
		irq_setup();
		irq_hook = mask;
		lapic_enable();
		pic_setup(0xffff);
		ioapic_set(9, 1 << 15 | 41, 0);
		outw(0x602, 1 << 8);
		put_string("ready\n");
		while (!(inw(0x600) & 1 << 8))
			wait_irq();
		outw(0x600, 1 << 8);
	}
	outw(0x604, 1 << 13 | 5 << 10);
	for (;;)
		__asm__ volatile("hlt");
}
