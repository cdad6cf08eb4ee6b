/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The smallest guest: its first instruction that leaves it is the exit. Also the one that start-up is measured with. */
#include "guest.h"

unsigned guest_main(const struct hvm_start_info *info)
{
	return cmdline_number(info, 42);
}
