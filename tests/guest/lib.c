/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared by the test guests: see guest.h. */
#include "guest.h"

volatile uint32_t irq_counts[32];
bool irq_lapic_eoi, irq_pic_eoi;
void (*irq_hook)(unsigned n);

void irq_handler(unsigned n);
void ap_main(void) __attribute__((weak));

extern const uint8_t irq_entries[];
extern const uint8_t exception_entry[];

void put_string(const char *s)
{
	for (; *s; s++)
		outb(0x3f8, (uint8_t)*s);
}

void put_hex(uint32_t v)
{
	for (int shift = 28; shift >= 0; shift -= 4)
		outb(0x3f8, (uint8_t) "0123456789abcdef"[v >> shift & 15]);
}

const char *guest_cmdline(const struct hvm_start_info *info)
{
	return info->cmdline ? (const char *)(uintptr_t)info->cmdline : "";
}

uint32_t cmdline_number(const struct hvm_start_info *info, uint32_t otherwise)
{
	const char *s = guest_cmdline(info);
	uint32_t v = 0;

	if (*s < '0' || *s > '9')
		return otherwise;
	for (; *s >= '0' && *s <= '9'; s++)
		v = v * 10 + (uint32_t)(*s - '0');
	return v;
}

void irq_handler(unsigned n)
{
	irq_counts[n]++;
	if (irq_hook)
		irq_hook(n);
	if (irq_pic_eoi) {
		if (n >= 8)
			outb(0xa0, 0x20);
		outb(0x20, 0x20);
	}
	if (irq_lapic_eoi)
		mmio_write32(LAPIC + 0xb0, 0);
}

static struct {
	uint16_t low, selector, flags, high;
} idt[64];

static const struct {
	uint16_t limit;
	uint32_t base;
} __attribute__((packed)) idtr = {sizeof(idt) - 1, (uint32_t)(uintptr_t)idt};

void irq_setup(void)
{
	uint16_t cs;

	__asm__ volatile("mov %%cs, %0" : "=r"(cs));
	for (unsigned i = 0; i < 64; i++) {
		uint32_t entry = i < 32 ? (uint32_t)(uintptr_t)exception_entry
					: (uint32_t)(uintptr_t)irq_entries + (i - 32) * 32;

		idt[i].low = (uint16_t)entry;
		idt[i].selector = cs;
		idt[i].flags = 0x8e00;
		idt[i].high = (uint16_t)(entry >> 16);
	}
	__asm__ volatile("lidt %0" ::"m"(idtr));
}

void lapic_enable(void)
{
	mmio_write32(LAPIC + 0xf0, 0x100 | 63);
	irq_lapic_eoi = true;
}

void pic_setup(uint16_t mask)
{
	outb(0x20, 0x11);
	outb(0xa0, 0x11);
	outb(0x21, 32);
	outb(0xa1, 40);
	outb(0x21, 4);
	outb(0xa1, 2);
	outb(0x21, 1);
	outb(0xa1, 1);
	outb(0x21, (uint8_t)mask);
	outb(0xa1, (uint8_t)(mask >> 8));
}

void ioapic_set(unsigned pin, uint32_t low, uint32_t high)
{
	mmio_write32(IOAPIC, 0x11 + 2 * pin);
	mmio_write32(IOAPIC + 0x10, high);
	mmio_write32(IOAPIC, 0x10 + 2 * pin);
	mmio_write32(IOAPIC + 0x10, low);
}

uint32_t ioapic_get(unsigned pin)
{
	mmio_write32(IOAPIC, 0x10 + 2 * pin);
	return mmio_read32(IOAPIC + 0x10);
}

uint32_t pci_read32(unsigned slot, unsigned offset)
{
	outl(0xcf8, 0x80000000U | slot << 11 | (offset & 0xfc));
	return inl(0xcfc);
}

void pci_write32(unsigned slot, unsigned offset, uint32_t v)
{
	outl(0xcf8, 0x80000000U | slot << 11 | (offset & 0xfc));
	outl(0xcfc, v);
}

int pci_find(uint32_t vendor_device, unsigned nth)
{
	for (unsigned slot = 0; slot < 32; slot++)
		if (pci_read32(slot, 0) == vendor_device && nth-- == 0)
			return (int)slot;
	return -1;
}
