/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ACPI tables of a machine (ACPI 6.5): RSDP, XSDT, FADT, FACS, MADT, MCFG, WAET, with cells (<cpu><numa>) SRAT and SLIT, and a DSDT made by
 * the AML writer (acpi/aml.h). They describe what the configuration asks for and nothing else; ports and bits come from
 * acpi/acpi-hw.h, addresses and interrupts from layout.h, APIC ids from cpu-topology.h.
 *
 * Guests see, in the name space:
 *
 *	\_SB.PCI0		host bridge, bus 0-255, windows, _PRT: GSI 16 + (slot + pin) % 8
 *	\_SB.PCI0.ISA.*		RTC, COM ports, pvpanic
 *	\_SB.PCI0.Sxx		slots whose cards come and go, with _SUN and _EJ0; \_GPE._E01 tells of them
 *	\_SB.MBRD		what is taken: ECAM, ACPI's ports, the keyboard controller's
 *	\_SB.CPUS.Cnnn		one ACPI0007 for each vCPU that there can be, _UID as in the MADT, with _STA, _MAT,
 *				_EJ0 and _OST, with cells _PXM; \_GPE._E02 tells of those that come and go
 *	\_SB.VGEN, \_GPE._E00	generation id and its event
 *	\_S5
 *
 * Pure: needs no KVM. Threads: any, while no vCPU runs.
 */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/guest-mem.h"

/* Write the tables into [LAYOUT_ACPI_BASE, + LAYOUT_ACPI_SIZE), RSDP first. 'config' has been validated;
 * 'pci64_base' is where the 64-bit PCI window (LAYOUT_PCI64_SIZE) begins. Sets '*ret_rsdp'; with config->acpi 0
 * nothing is written and it is GPA(0). Returns 0, -ENOSPC (tables larger than their place: cannot happen with a
 * valid configuration) or -EFAULT (the place is no RAM). */
int acpi_build(struct guest_mem *mem, const struct vm_config *config, uint64_t pci64_base,
	struct gpa *ret_rsdp);

/* The same into a buffer that stands for guest memory at 'base' (a multiple of 64, below 4 GiB). Returns 0 with the
 * length in '*ret_len', or -ENOSPC. */
int acpi_make(const struct vm_config *config, uint64_t pci64_base, uint32_t base, uint8_t *buf,
	size_t size, size_t *ret_len);
