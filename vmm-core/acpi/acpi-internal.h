/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between acpi.c (tables), dsdt.c (the name space), dsdt-hotplug.c (its slots) and dsdt-cpu.c (its processors). */
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
