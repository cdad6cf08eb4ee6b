/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a device's register again and again, so that a reset from outside comes while an access is under way. */
#include "guest.h"

unsigned guest_main(const struct hvm_start_info *info)
{
	(void)info;
	put_string("reading\n");
	for (;;)
		(void)mmio_read32(IOAPIC + 0x10);
}
