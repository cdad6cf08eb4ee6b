/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Says that it panicked, through pvpanic. */
#include "guest.h"

unsigned guest_main(const struct hvm_start_info *info)
{
	(void)info;
	CHECK(inb(0x505) & 1);
	outb(0x505, 1);
	for (;;)
		__asm__ volatile("hlt");
}
