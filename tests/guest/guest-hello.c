/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Greets on COM1, echoes what comes in until a newline, ends. */
#include "guest.h"

unsigned guest_main(const struct hvm_start_info *info)
{
	uint8_t c;

	CHECK(info->magic == 0x336ec578);
	put_string("hello ");
	put_string(guest_cmdline(info));
	put_string("\n");
	do {
		while (!(inb(0x3fd) & 1))
			;
		c = inb(0x3f8);
		outb(0x3f8, c);
	} while (c != '\n');
	return 0;
}
