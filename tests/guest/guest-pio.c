/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a port as often as the command line says: the cost of an exit and its dispatch. */
#include "guest.h"

unsigned guest_main(const struct hvm_start_info *info)
{
	uint32_t n = cmdline_number(info, 1000);

	while (n--)
		(void)inb(0x505);
	return 0;
}
