/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between acpi.c (tables), dsdt.c (the name space) and dsdt-hotplug.c (its slots). */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/acpi/aml.h"

/* The body of the DSDT, behind its header. */
void acpi_dsdt_body(struct aml *w, const struct vm_config *config, uint64_t pci64_base);
/* Inside of PCI0: the registers, and the slots of bus 0 whose cards can come and go. */
void acpi_dsdt_slots(struct aml *w, const struct vm_config *config);
/* \_GPE._E01 */
void acpi_dsdt_slot_events(struct aml *w, const struct vm_config *config);
