/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starts every other processor by INIT and SIPI and waits until as many report as CPUID and the command line say. */
#include "guest.h"

extern const uint8_t ap_trampoline[], ap_trampoline_end[];
extern volatile uint32_t ap_count;
void ap_main(void);

static volatile uint32_t reported;

void ap_main(void)
{
	__asm__ volatile("lock incl %0" : "+m"(reported)::"memory");
}

unsigned guest_main(const struct hvm_start_info *info)
{
	uint32_t n = cmdline_number(info, 1);
	uint8_t *page = (uint8_t *)0x8000;

	lapic_enable();
	for (const uint8_t *p = ap_trampoline; p < ap_trampoline_end; p++)
		page[p - ap_trampoline] = *p;
	/* All excluding self: INIT, then SIPI at page 8. */
	mmio_write32(LAPIC + 0x300, 0x000c4500);
	mmio_write32(LAPIC + 0x300, 0x000c4608);
	while (reported < n - 1)
		__asm__ volatile("pause");
	CHECK(ap_count == n - 1);
	return 0;
}
