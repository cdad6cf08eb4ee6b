/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PCI configuration space by port and by ECAM: the host bridge and the ISA bridge are there, nothing else answers. */
#include "guest.h"

#define ECAM 0xe0000000U

unsigned guest_main(const struct hvm_start_info *info)
{
	(void)info;
	CHECK(pci_read32(0, 0) == 0x29c08086);
	CHECK(pci_find(0x29188086, 0) == 0x1f);
	CHECK(mmio_read32(ECAM) == 0x29c08086);
	CHECK(mmio_read32(ECAM + (0x1f << 15)) == 0x29188086);
	CHECK(mmio_read16(ECAM + 2) == 0x29c0);
	CHECK(mmio_read8(ECAM + 3) == 0x29);
	CHECK(pci_read32(30, 0) == 0xffffffff);
	CHECK(mmio_read32(ECAM + (30 << 15)) == 0xffffffff);
	/* Another bus: nobody home. */
	CHECK(mmio_read32(ECAM + (1 << 20)) == 0xffffffff);
	/* Read-only words stay. */
	pci_write32(0, 0, 0x12345678);
	CHECK(pci_read32(0, 0) == 0x29c08086);
	return 0;
}
