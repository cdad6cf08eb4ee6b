/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ACPI fixed hardware: what the tables (vmm-core/acpi/) promise and the device model
 * (devices/legacy/acpi-pm.c) keeps. Both include this file, so that they agree.
 *
 * ACPI 6.5 section 4.8. One block of ports for PM1a and the timer, one for GPE0 (hot-plug of cards and of processors have one more each):
 *
 *	600 PM1a_STS (2)  602 PM1a_EN (2)  604 PM1a_CNT (2)  608 PM_TMR (4)
 *	620 GPE0_STS (2)  622 GPE0_EN (2)
 *
 * There is no PM1b, no PM2, no SMI command port: the machine is in ACPI mode from power-on, SCI_EN reads as one
 * and cannot be cleared (FADT: SMI_CMD, ACPI_ENABLE and ACPI_DISABLE are 0).
 */
#pragma once

#include "vmm-core/layout.h"

/* Ports: FADT blocks and their lengths in bytes. */
#define ACPI_PM_BASE     LAYOUT_ACPI_PM
#define ACPI_PM_LEN      16                    /* region 0 of acpi-pm */
#define ACPI_PM1A_EVT    (LAYOUT_ACPI_PM + 0)  /* FADT PM1a_EVT_BLK */
#define ACPI_PM1_EVT_LEN 4                     /* FADT PM1_EVT_LEN */
#define ACPI_PM1A_CNT    (LAYOUT_ACPI_PM + 4)  /* FADT PM1a_CNT_BLK */
#define ACPI_PM1_CNT_LEN 2                     /* FADT PM1_CNT_LEN */
#define ACPI_PM_TMR      (LAYOUT_ACPI_PM + 8)  /* FADT PM_TMR_BLK */
#define ACPI_PM_TMR_LEN  4                     /* FADT PM_TMR_LEN */
#define ACPI_GPE0        (LAYOUT_ACPI_PM + 32) /* FADT GPE0_BLK; region 1 of acpi-pm */
#define ACPI_GPE0_LEN    4                     /* FADT GPE0_BLK_LEN: two of status, two of enable */
#define ACPI_N_GPES      16

/* The timer counts 32 bits: FADT flag TMR_VAL_EXT (bit 8) is to be set. */
#define ACPI_PM_TMR_HZ 3579545

/* The interrupt: level-triggered, active high (MADT interrupt source override 9 -> 9, flags 0x000d). */
#define ACPI_SCI_GSI LAYOUT_GSI_SCI

/* PM1 status and enable (the same bits in both, where both exist). */
#define ACPI_PM1_TMR    (1U << 0) /* the timer's top bit changed */
#define ACPI_PM1_BM     (1U << 4) /* status only; never set */
#define ACPI_PM1_GBL    (1U << 5)
#define ACPI_PM1_PWRBTN (1U << 8)
#define ACPI_PM1_SLPBTN (1U << 9)  /* not there: FADT flag SLP_BUTTON (bit 5) is to be set */
#define ACPI_PM1_RTC    (1U << 10) /* not wired: FADT flag FIX_RTC (bit 6) is to be set */
#define ACPI_PM1_WAK    (1U << 15) /* status only */

/* PM1 control. */
#define ACPI_PM1_CNT_SCI_EN        (1U << 0)
#define ACPI_PM1_CNT_BM_RLD        (1U << 1)
#define ACPI_PM1_CNT_GBL_RLS       (1U << 2)
#define ACPI_PM1_CNT_SLP_TYP_SHIFT 10
#define ACPI_PM1_CNT_SLP_TYP       (7U << ACPI_PM1_CNT_SLP_TYP_SHIFT)
#define ACPI_PM1_CNT_SLP_EN        (1U << 13)

/* Values of SLP_TYP. \_S5 is Package () { ACPI_SLP_TYP_S5, ACPI_SLP_TYP_S5, 0, 0 }; there are no others. */
#define ACPI_SLP_TYP_S5 5

/* General-purpose events: \_GPE._Exx (edge) with these numbers. */
#define ACPI_GPE_VMGENID     0
#define ACPI_GPE_PCI_HOTPLUG 1
#define ACPI_GPE_CPU_HOTPLUG 2

/*
 * PCI hot-plug: three registers of 32 bits, a bit for each slot of bus 0 (devices/pci/pci-hotplug.c).
 *
 *	630 UP		a card came into the slot; writing ones clears
 *	634 DOWN	the card in the slot is wanted back; writing ones clears
 *	638 EJECT	write only: the guest has let go of the card (_EJ0)
 */
#define ACPI_PCI_HOTPLUG       LAYOUT_PCI_HOTPLUG
#define ACPI_PCI_HOTPLUG_LEN   12
#define ACPI_PCI_HOTPLUG_UP    0
#define ACPI_PCI_HOTPLUG_DOWN  4
#define ACPI_PCI_HOTPLUG_EJECT 8

/*
 * CPU hot-plug: four arrays of registers of 32 bits, a bit for each vCPU, and one for answers (devices/legacy/acpi-cpu.c).
 *
 *	640 PRESENT	read only: it is there
 *	660 UP		it came; writing ones clears
 *	680 DOWN	it is wanted back; writing ones clears
 *	6a0 EJECT	write only: the guest has let go of it (_EJ0)
 *	6c0 OST		write only: what became of an event (_OST): vCPU | event << 8 | status << 16, of each the low byte
 */
#define ACPI_CPU_HOTPLUG     LAYOUT_CPU_HOTPLUG
#define ACPI_CPU_BANKS       8
#define ACPI_CPU_PRESENT     0
#define ACPI_CPU_UP          (4 * ACPI_CPU_BANKS)
#define ACPI_CPU_DOWN        (8 * ACPI_CPU_BANKS)
#define ACPI_CPU_EJECT       (12 * ACPI_CPU_BANKS)
#define ACPI_CPU_OST         (16 * ACPI_CPU_BANKS)
#define ACPI_CPU_HOTPLUG_LEN (16 * ACPI_CPU_BANKS + 4)

/* Of _OST, ACPI 6.5, 6.3.5. */
#define ACPI_CPU_OST_EJECT       3    /* the event of an eject request, as it is notified */
#define ACPI_CPU_OST_IN_PROGRESS 0x84 /* a status that is no answer yet */

/* The reset register: a byte port; writing the value resets the machine (devices/pci/pci-root.c). */
#define ACPI_RESET_PORT  LAYOUT_RESET_PORT
#define ACPI_RESET_VALUE 6

/* FADT CENTURY: the index of the century in the RTC's memory (devices/legacy/mc146818.c). */
#define ACPI_RTC_CENTURY 0x32

/* Where the 16 bytes of the generation id lie: what \_SB.VGEN.ADDR answers as { low 32 bits, high 32 bits }. The
 * offset is what the "Virtual Machine Generation ID" paper asks for: 8-byte aligned, with room before it. */
#define ACPI_VMGENID_OFFSET 40
#define ACPI_VMGENID_ADDR   (LAYOUT_VMGENID + ACPI_VMGENID_OFFSET)
