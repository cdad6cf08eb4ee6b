/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between acpi.c (tables) and dsdt.c (the name space). */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/acpi/aml.h"

/* The body of the DSDT, behind its header. */
void acpi_dsdt_body(struct aml *w, const struct vm_config *config, uint64_t pci64_base);
