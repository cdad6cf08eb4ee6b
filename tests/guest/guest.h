/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What our own test guests share: ports, memory, interrupts, a serial port for words. Freestanding 32-bit code at
 * flat addresses; ring 0 may be emulated instruction by instruction on the host, so guests keep loops short.
 *
 * guest_main() answers the exit code, which goes to the debug-exit port (0x501). 0 is success; a test guest answers
 * the line number of the check that failed (FAIL).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hvm_start_info { /* Xen public/arch-x86/hvm/start_info.h */
	uint32_t magic, version, flags, n_modules;
	uint64_t modlist, cmdline, rsdp, memmap;
	uint32_t n_memmap, pad;
};

unsigned guest_main(const struct hvm_start_info *info);

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			return __LINE__;                                                           \
	} while (0)

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
	__asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t v;

	__asm__ volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static inline uint32_t mmio_read32(uint32_t addr)
{
	return *(volatile uint32_t *)addr;
}

static inline void mmio_write32(uint32_t addr, uint32_t v)
{
	*(volatile uint32_t *)addr = v;
}

static inline void mmio_write16(uint32_t addr, uint16_t v)
{
	*(volatile uint16_t *)addr = v;
}

static inline void mmio_write8(uint32_t addr, uint8_t v)
{
	*(volatile uint8_t *)addr = v;
}

static inline uint8_t mmio_read8(uint32_t addr)
{
	return *(volatile uint8_t *)addr;
}

static inline uint16_t mmio_read16(uint32_t addr)
{
	return *(volatile uint16_t *)addr;
}

static inline void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "a"(leaf), "c"(subleaf));
}

/* Sleep until an interrupt came. */
static inline void wait_irq(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}

static inline void irq_off(void)
{
	__asm__ volatile("cli" ::: "memory");
}

void put_string(const char *s); /* on COM1 */
void put_hex(uint32_t v);
const char *guest_cmdline(const struct hvm_start_info *info);
uint32_t cmdline_number(const struct hvm_start_info *info, uint32_t otherwise);

/* Interrupts: vectors 32 … 63, counted in irq_counts[]. 'lapic_eoi' sends the local APIC's EOI from the handler. */
extern volatile uint32_t irq_counts[32];
extern bool irq_lapic_eoi, irq_pic_eoi;
extern void (*irq_hook)(unsigned n);
void irq_setup(void);
void lapic_enable(void);
/* Both PICs at vectors 32 and 40; 'mask': 1 is off. */
void pic_setup(uint16_t mask);
void ioapic_set(unsigned pin, uint32_t low, uint32_t high);
uint32_t ioapic_get(unsigned pin);

/* PCI, by port CF8. */
uint32_t pci_read32(unsigned slot, unsigned offset);
void pci_write32(unsigned slot, unsigned offset, uint32_t v);
int pci_find(uint32_t vendor_device, unsigned nth);

/* A virtio device behind PCI. */
struct guest_virtio {
	unsigned slot;
	uint32_t common, notify, isr, config; /* addresses of the register windows */
	uint32_t msix_table, msix_cap;        /* 0: it has no MSI-X */
};

/* A ring's three addresses are one struct's: desc, avail, used. */
struct guest_ring {
	uint32_t desc, avail, used;
	uint16_t size;
};

/* Find the first device of this kind and let it decode and be a bus master. False: there is none. */
bool virtio_find(struct guest_virtio *v, uint32_t vendor_device);
/* Reset, accept 'features' (bits 0 to 31) and VERSION_1, set queue 0 up, DRIVER_OK. */
void virtio_start(const struct guest_virtio *v, uint32_t features, const struct guest_ring *ring,
	uint16_t vector);
/* The same in steps, for devices with several queues. */
void virtio_negotiate(const struct guest_virtio *v, uint32_t features);
void virtio_queue(const struct guest_virtio *v, unsigned queue, const struct guest_ring *ring,
	uint16_t vector);
void virtio_go(const struct guest_virtio *v);
void virtio_kick_queue(const struct guest_virtio *v, unsigned queue);
void virtio_reset(const struct guest_virtio *v);
void virtio_kick(const struct guest_virtio *v);
uint8_t virtio_status(const struct guest_virtio *v);

#define LAPIC  0xfee00000U
#define IOAPIC 0xfec00000U
