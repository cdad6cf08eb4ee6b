/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between acpi.c (tables), srat.c (of nodes of memory), dsdt.c (the name space), dsdt-hotplug.c (its slots) and dsdt-cpu.c (its processors). */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/acpi/aml.h"

/* The body of the DSDT, behind its header. */
void acpi_dsdt_body(struct aml *w, const struct vm_config *config, uint64_t pci64_base);
/* Inside of PCI0: the registers, and the slots of bus 0 whose cards can come and go. */
void acpi_dsdt_slots(struct aml *w, const struct vm_config *config);
/* \_GPE._E01 */
void acpi_dsdt_slot_events(struct aml *w, const struct vm_config *config);
/* Inside of \_SB: the processors and their registers. */
void acpi_dsdt_cpus(struct aml *w, const struct vm_config *config);
/* \_GPE._E02 */
void acpi_dsdt_cpu_events(struct aml *w);
/* An entry of the MADT: a processor that is there, or that may come. */
void acpi_madt_processor(struct aml *w, uint32_t apic_id, unsigned uid, bool enabled);

/* SRAT and SLIT, behind their headers. */
void acpi_srat_body(struct aml *w, const struct vm_config *config);
void acpi_slit_body(struct aml *w, const struct vm_config *config);
/* An entry of the SRAT: RAM that belongs to a cell; 'flags' are ACPI_SRAT_*. */
void acpi_srat_memory(struct aml *w, uint64_t base, uint64_t size, unsigned cell, unsigned flags);
#define ACPI_SRAT_HOTPLUG (1U << 1) /* memory that may come later */
/* The cell of a vCPU; 0 without cells. */
unsigned acpi_cell_of(const struct vm_config *config, unsigned vcpu);
