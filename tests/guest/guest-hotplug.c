/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that does what ACPI's code does when a card comes or goes (vmm-core/acpi/acpi-hw.h): waits for a vNIC, sets it up,
 * gives it back when it is asked to, and waits for the next. Says each step on the serial port; ends when the third came.
 */
#include "guest.h"

#define UP          0x630
#define DOWN        0x634
#define EJECT       0x638
#define GPE0        0x620
#define GPE_HOTPLUG 2 /* bit of event 1 */

#define VIRTIO_NET 0x10411af4
#define MSIX_BAR   0xd0000000U
#define REGS_BAR   0xd0004000U
#define CONFIG     (REGS_BAR + 0x2000)

static uint32_t wait_for(uint16_t reg)
{
	uint32_t slots;

	do
		slots = inl(reg);
	while (!slots);
	outl(reg, slots);
	return slots;
}

static unsigned come(unsigned *ret_slot)
{
	uint32_t slots = wait_for(UP);
	unsigned slot = 0;

	while (!(slots >> slot & 1))
		slot++;
	CHECK(slots == 1U << slot);
	CHECK(inw(GPE0) & GPE_HOTPLUG);
	outw(GPE0, GPE_HOTPLUG);
	/* As it was made: nothing decodes, nothing has a place. */
	CHECK(pci_read32(slot, 0) == VIRTIO_NET);
	CHECK((pci_read32(slot, 4) & 7) == 0);
	CHECK((pci_read32(slot, 0x14) & ~15U) == 0 && (pci_read32(slot, 0x20) & ~15U) == 0);
	pci_write32(slot, 0x14, MSIX_BAR);
	pci_write32(slot, 0x20, REGS_BAR);
	pci_write32(slot, 0x24, 0);
	pci_write32(slot, 4, 6);
	/* One pair of queues and control; the address. */
	CHECK(mmio_read16(REGS_BAR + 0x12) == 3);
	CHECK(mmio_read32(CONFIG) == 0x00005452);
	mmio_write8(REGS_BAR + 0x14, 3);
	CHECK(mmio_read8(REGS_BAR + 0x14) == 3);
	*ret_slot = slot;
	return 0;
}

static unsigned go(unsigned slot)
{
	CHECK(wait_for(DOWN) == 1U << slot);
	CHECK(inw(GPE0) & GPE_HOTPLUG);
	outw(GPE0, GPE_HOTPLUG);
	outl(EJECT, 1U << slot);
	/* At once. */
	CHECK(pci_read32(slot, 0) == 0xffffffff);
	CHECK(mmio_read16(REGS_BAR + 0x12) == 0xffff);
	return 0;
}

unsigned guest_main(const struct hvm_start_info *info)
{
	int found = pci_find(VIRTIO_NET, 0);
	unsigned slot, line;

	(void)info;
	if (found >= 0) {
		/* It came in an earlier life: now it is set up like all the others. */
		CHECK((pci_read32((unsigned)found, 4) & 7) == 2);
		CHECK(pci_read32((unsigned)found, 0x14) & ~15U);
		CHECK(pci_read32((unsigned)found, 0x20) & ~15U);
		CHECK(!inl(UP) && !inl(DOWN));
		put_string("found\n");
		pci_write32((unsigned)found, 0x14, MSIX_BAR);
		pci_write32((unsigned)found, 0x20, REGS_BAR);
		line = go((unsigned)found);
		if (line)
			return line;
		put_string("gone\n");
	}
	for (unsigned i = 0; i < 3; i++) {
		put_string("waiting\n");
		line = come(&slot);
		if (line)
			return line;
		/* Nobody wants it back: it stays. */
		outl(EJECT, 0xffffffff);
		CHECK(pci_read32(slot, 0) == VIRTIO_NET);
		put_string("came\n");
		if (i == 2)
			break;
		line = go(slot);
		if (line)
			return line;
		put_string("gone\n");
	}
	return 0;
}
