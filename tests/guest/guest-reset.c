/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Resets itself in each way there is and counts in the clock's battery-backed memory; ends when all came back. With
 * "forever" it does nothing but reset. */
#include "guest.h"

static uint8_t cmos_read(uint8_t index)
{
	outb(0x70, index);
	return inb(0x71);
}

static void cmos_write(uint8_t index, uint8_t v)
{
	outb(0x70, index);
	outb(0x71, v);
}

/* Written by the image, not by us: a reset loads the image again. */
static volatile uint32_t in_image = 0x12345678;

unsigned guest_main(const struct hvm_start_info *info)
{
	static const struct {
		uint16_t limit;
		uint32_t base;
	} __attribute__((packed)) no_idt = {0, 0};
	uint8_t round = cmos_read(0x50);

	while (guest_cmdline(info)[0] == 'f')
		outb(0xcf9, 6);
	CHECK(in_image == 0x12345678);
	in_image = 0;
	cmos_write(0x50, round + 1);
	put_string("round\n");
	switch (round) {
	case 0:
		outb(0x64, 0xfe);
		break;
	case 1:
		outb(0xcf9, 6);
		break;
	case 2:
		/* Divide by zero without a handler: a triple fault. */
		__asm__ volatile("lidt %0; xorl %%edx, %%edx; divl %%edx" ::"m"(no_idt)
				 : "eax", "edx");
		break;
	default:
		return round == 3 ? 0 : round;
	}
	for (;;)
		__asm__ volatile("hlt");
}
