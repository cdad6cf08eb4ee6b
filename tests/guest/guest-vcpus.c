/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that does what ACPI's code does when processors come and go (vmm-core/acpi/acpi-hw.h): starts those that come, by INIT
 * and SIPI, refuses to give one back, gives it back, starts it again. Says each step on the serial port. In its second life
 * it finds two, and ends.
 */
#include "guest.h"

#define PRESENT     0x640
#define UP          0x660
#define DOWN        0x680
#define EJECT       0x6a0
#define OST         0x6c0
#define OST_BUSY    0x80
#define GPE0        0x620
#define GPE_HOTPLUG 4 /* bit of event 2 */

extern const uint8_t ap_trampoline[], ap_trampoline_end[];
void ap_main(void);

static volatile uint32_t reported;

void ap_main(void)
{
	__asm__ volatile("lock incl %0" : "+m"(reported)::"memory");
}

/* Until 'n' have reported in all. */
static void start_ap(unsigned id, unsigned n)
{
	mmio_write32(LAPIC + 0x310, id << 24);
	mmio_write32(LAPIC + 0x300, 0x00004500);
	mmio_write32(LAPIC + 0x310, id << 24);
	mmio_write32(LAPIC + 0x300, 0x00004608);
	while (reported < n)
		__asm__ volatile("pause");
}

static unsigned wait_for(uint16_t reg, uint32_t want)
{
	uint32_t bits;

	do
		bits = inl(reg);
	while (!bits);
	outl(reg, bits);
	CHECK(bits == want);
	CHECK(!inl(reg));
	CHECK(inw(GPE0) & GPE_HOTPLUG);
	outw(GPE0, GPE_HOTPLUG);
	return 0;
}

static unsigned refuse_and_release(void)
{
	unsigned line = wait_for(DOWN, 2);

	if (line)
		return line;
	outl(OST, 1 | 3 << 8 | OST_BUSY << 16);
	CHECK(inl(PRESENT) == 3);
	put_string("refused\n");
	line = wait_for(DOWN, 2);
	if (line)
		return line;
	outl(EJECT, 2);
	CHECK(inl(PRESENT) == 1);
	put_string("gone\n");
	return 0;
}

unsigned guest_main(const struct hvm_start_info *info)
{
	uint8_t *page = (uint8_t *)0x8000;
	unsigned line;

	(void)info;
	lapic_enable();
	for (const uint8_t *p = ap_trampoline; p < ap_trampoline_end; p++)
		page[p - ap_trampoline] = *p;
	if (inl(PRESENT) == 3) {
		start_ap(1, 1);
		CHECK(!inl(UP) && !inl(DOWN));
		put_string("again\n");
		return 0;
	}
	CHECK(inl(PRESENT) == 1 && inl(PRESENT + 28) == 0);
	put_string("one\n");
	line = wait_for(UP, 2);
	if (line)
		return line;
	CHECK(inl(PRESENT) == 3);
	start_ap(1, 1);
	/* Nobody wants it back: it stays, and we are told so. */
	outl(EJECT, 0xffffffff);
	CHECK(inl(PRESENT) == 3);
	line = wait_for(UP, 3);
	if (line)
		return line;
	put_string("came\n");
	line = refuse_and_release();
	if (line)
		return line;
	line = wait_for(UP, 6);
	if (line)
		return line;
	start_ap(1, 2);
	start_ap(2, 3);
	put_string("all\n");
	for (;;)
		__asm__ volatile("pause");
}
