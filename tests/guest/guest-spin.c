/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Never ends: halts for good with interrupts off ("halt"), writes to its serial port ("flood"), or spins. For pause, resume,
 * kill and idle tests. */
#include "guest.h"

unsigned guest_main(const struct hvm_start_info *info)
{
	put_string("spinning\n");
	if (guest_cmdline(info)[0] == 'h')
		for (;;)
			__asm__ volatile("cli; hlt");
	while (guest_cmdline(info)[0] == 'f')
		put_string("a line that nobody asked for\n");
	for (;;)
		__asm__ volatile("pause");
}
