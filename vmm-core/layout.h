/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The map of the machine: who lives at which guest-physical address, port and interrupt line. A "q35-like"
 * PC; the numbers that a guest can discover (ACPI, PCI) come from here too, so that both agree.
 */
#pragma once

#include "vmm-core/base/macro.h"

/* Guest-physical memory. */
#define LAYOUT_LOW_RAM_MAX   GIB(3)               /* RAM below the hole */
#define LAYOUT_PCI32_BASE    UINT64_C(0xc0000000) /* 32-bit BARs … */
#define LAYOUT_PCI32_END     UINT64_C(0xe0000000)
#define LAYOUT_ECAM_BASE     UINT64_C(0xe0000000) /* 256 buses, 1 MiB each */
#define LAYOUT_ECAM_SIZE     MIB(256)
#define LAYOUT_IOAPIC_BASE   UINT64_C(0xfec00000)
#define LAYOUT_LAPIC_BASE    UINT64_C(0xfee00000)
#define LAYOUT_HIGH_RAM_BASE GIB(4)
#define LAYOUT_PCI64_SIZE    GIB(32) /* 64-bit BARs start at layout_pci64_base() */
#define LAYOUT_PLUG_ALIGN    GIB(2)  /* of memory devices, as VM_MEMORY_ALIGN_KIB */

/* Below 1 MiB. */
#define LAYOUT_BOOT_PARAMS  UINT64_C(0x7000) /* Linux zero page or hvm_start_info */
#define LAYOUT_BOOT_GDT     UINT64_C(0x500)
#define LAYOUT_BOOT_PML4    UINT64_C(0x9000) /* identity map, 6 pages */
#define LAYOUT_BOOT_MODLIST UINT64_C(0x6000)
#define LAYOUT_BOOT_MEMMAP  UINT64_C(0x6400)
#define LAYOUT_CMDLINE      UINT64_C(0x20000) /* VM_CMDLINE_MAX bytes */
#define LAYOUT_EBDA         UINT64_C(0x9fc00) /* end of usable low memory */
#define LAYOUT_ACPI_BASE    UINT64_C(0xe0000) /* RSDP first */
#define LAYOUT_ACPI_SIZE    KIB(64)
#define LAYOUT_SMBIOS_BASE  UINT64_C(0xf0000)
#define LAYOUT_SMBIOS_SIZE  KIB(60)
#define LAYOUT_VMGENID      UINT64_C(0xff000) /* one page, reserved */
#define LAYOUT_HIMEM        UINT64_C(0x100000)

/* Ports. */
#define LAYOUT_PIC_MASTER   0x20
#define LAYOUT_PIC_SLAVE    0xa0
#define LAYOUT_PIC_ELCR     0x4d0
#define LAYOUT_PIT          0x40
#define LAYOUT_PORT61       0x61
#define LAYOUT_I8042_DATA   0x60
#define LAYOUT_I8042_STATUS 0x64
#define LAYOUT_RTC          0x70
#define LAYOUT_COM1         0x3f8
#define LAYOUT_COM2         0x2f8
#define LAYOUT_COM3         0x3e8
#define LAYOUT_COM4         0x2e8
#define LAYOUT_DEBUG_EXIT   0x501
#define LAYOUT_PVPANIC      0x505
#define LAYOUT_ACPI_PM      0x600 /* PM1a event 600, control 604, timer 608, GPE0 620 */
#define LAYOUT_PCI_HOTPLUG  0x630
#define LAYOUT_CPU_HOTPLUG  0x640
#define LAYOUT_RESET_PORT   0xcf9
#define LAYOUT_PCI_CF8      0xcf8
#define LAYOUT_PCI_CFC      0xcfc

/* Global system interrupts. 0-23 are pins of the IOAPIC, 0-15 of the PICs as well. */
#define LAYOUT_GSI_PIT        0 /* IOAPIC pin 2 by an MADT override */
#define LAYOUT_GSI_I8042      1
#define LAYOUT_GSI_COM1       4
#define LAYOUT_GSI_COM2       3
#define LAYOUT_GSI_RTC        8
#define LAYOUT_GSI_SCI        9
#define LAYOUT_GSI_INTX_BASE  16 /* PCI INTx: 16 + (slot + pin) % 8 */
#define LAYOUT_GSI_INTX_COUNT 8
#define LAYOUT_IOAPIC_PINS    24
#define LAYOUT_GSI_MSI_BASE   24 /* allocated by irq.c */
#define LAYOUT_GSI_MAX        1024

/* Where memory that can be plugged in begins. */
static inline uint64_t layout_plug_base(uint64_t ram_bytes)
{
	uint64_t high = ram_bytes > LAYOUT_LOW_RAM_MAX ? ram_bytes - LAYOUT_LOW_RAM_MAX : 0;

	return ALIGN_UP(LAYOUT_HIGH_RAM_BASE + high, LAYOUT_PLUG_ALIGN);
}

/* Where 64-bit BARs begin in a machine with this much RAM, and this much room for more (vm_config_plug_room_kib()). */
static inline uint64_t layout_pci64_base(uint64_t ram_bytes, uint64_t plug_room)
{
	uint64_t high = ram_bytes > LAYOUT_LOW_RAM_MAX ? ram_bytes - LAYOUT_LOW_RAM_MAX : 0;

	if (plug_room)
		return layout_plug_base(ram_bytes) + plug_room;
	return ALIGN_UP(LAYOUT_HIGH_RAM_BASE + high, GIB(1));
}
