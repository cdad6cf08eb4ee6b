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

static uint32_t bar_address(unsigned slot, unsigned bar)
{
	return pci_read32(slot, 0x10 + 4 * bar) & ~15U;
}

bool virtio_find(struct guest_virtio *v, uint32_t vendor_device)
{
	int slot = pci_find(vendor_device, 0);

	if (slot <= 0)
		return false;
	v->slot = (unsigned)slot;
	pci_write32(v->slot, 4, 6);
	for (unsigned cap = pci_read32(v->slot, 0x34) & 0xff; cap;) {
		uint32_t head = pci_read32(v->slot, cap);
		uint32_t where = bar_address(v->slot, pci_read32(v->slot, cap + 4) & 7);

		if ((head & 0xff) == 9) {
			where += pci_read32(v->slot, cap + 8);
			if (head >> 24 == 1)
				v->common = where;
			if (head >> 24 == 2)
				v->notify = where;
			if (head >> 24 == 3)
				v->isr = where;
			if (head >> 24 == 4)
				v->config = where;
		}
		if ((head & 0xff) == 0x11) {
			v->msix_cap = cap;
			v->msix_table = where;
		}
		cap = head >> 8 & 0xff;
	}
	return v->common && v->notify && v->isr;
}

uint8_t virtio_status(const struct guest_virtio *v)
{
	return mmio_read8(v->common + 0x14);
}

void virtio_reset(const struct guest_virtio *v)
{
	mmio_write8(v->common + 0x14, 0);
	while (virtio_status(v))
		;
}

void virtio_negotiate(const struct guest_virtio *v, uint32_t features)
{
	virtio_reset(v);
	mmio_write8(v->common + 0x14, 3);
	mmio_write32(v->common + 0x08, 0);
	mmio_write32(v->common + 0x0c, features);
	mmio_write32(v->common + 0x08, 1);
	mmio_write32(v->common + 0x0c, 1); /* VERSION_1 */
	mmio_write8(v->common + 0x14, 11);
}

void virtio_queue(const struct guest_virtio *v, unsigned queue, const struct guest_ring *ring,
	uint16_t vector)
{
	mmio_write16(v->common + 0x16, (uint16_t)queue);
	mmio_write16(v->common + 0x18, ring->size);
	mmio_write16(v->common + 0x1a, vector);
	mmio_write32(v->common + 0x20, ring->desc);
	mmio_write32(v->common + 0x28, ring->avail);
	mmio_write32(v->common + 0x30, ring->used);
	mmio_write16(v->common + 0x1c, 1);
}

void virtio_go(const struct guest_virtio *v)
{
	mmio_write8(v->common + 0x14, 15);
}

void virtio_start(const struct guest_virtio *v, uint32_t features, const struct guest_ring *ring,
	uint16_t vector)
{
	virtio_negotiate(v, features);
	virtio_queue(v, 0, ring, vector);
	virtio_go(v);
}

void virtio_kick_queue(const struct guest_virtio *v, unsigned queue)
{
	mmio_write16(v->notify + 4 * queue, (uint16_t)queue);
}

void virtio_kick(const struct guest_virtio *v)
{
	mmio_write16(v->notify, 0);
}
