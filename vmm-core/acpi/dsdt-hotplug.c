/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ACPI name space's part in PCI hot-plug: see acpi.h for what a guest finds there, acpi-hw.h for the registers, and
 * devices/pci/pci-hotplug.c for who keeps their promises. Tested by tests/unit/test-acpi.c.
 */
#include "vmm-core/acpi/acpi-internal.h"

#include <stdio.h>

#include "vmm-core/acpi/acpi-hw.h"

/* Of Notify, ACPI 6.5, 5.6.6. */
#define NOTIFY_DEVICE_CHECK  1
#define NOTIFY_EJECT_REQUEST 3

#define SLOT_NAME_SIZE 16

static void slot_name(char ret[SLOT_NAME_SIZE], const char *scope, unsigned slot)
{
	(void)snprintf(ret, SLOT_NAME_SIZE, "%sS%02X", scope, slot & 0xff);
}

static void fix(uint32_t *fixed, struct vm_pci_addr pci)
{
	if (pci.set)
		*fixed |= UINT32_C(1) << (pci.slot & 31);
}

/* Slots of cards that stay for as long as the machine runs: all but interfaces. */
static uint32_t fixed_slots(const struct vm_config *config)
{
	uint32_t fixed = 0;

	for (uint32_t i = 0; i < config->n_disks; i++)
		fix(&fixed, config->disks[i].pci);
	fix(&fixed, config->rng.pci);
	fix(&fixed, config->balloon.pci);
	fix(&fixed, config->serial_controller_pci);
	return fixed;
}

static bool has_slot(const struct vm_config *config, unsigned slot)
{
	return !(fixed_slots(config) >> slot & 1);
}

/* No _STA: whether a card is there is seen in its configuration space. */
static void slot_device(struct aml *w, uint32_t slot)
{
	char name[SLOT_NAME_SIZE];
	size_t device, method;

	slot_name(name, "", slot);
	device = aml_device(w, name);
	aml_name(w, "_ADR");
	aml_int(w, slot << 16);
	aml_name(w, "_SUN");
	aml_int(w, slot);
	method = aml_method(w, "_EJ0", 1, false);
	aml_op(w, AML_STORE);
	aml_int(w, UINT32_C(1) << slot);
	aml_path(w, "PCEJ");
	aml_end(w, method);
	aml_end(w, device);
}

void acpi_dsdt_slots(struct aml *w, const struct vm_config *config)
{
	static const char *const registers[] = {"PCUP", "PCDN", "PCEJ", NULL};

	static_assert(ACPI_PCI_HOTPLUG_UP == 0 && ACPI_PCI_HOTPLUG_DOWN == 4 &&
			ACPI_PCI_HOTPLUG_EJECT == 8,
		"the fields in their order");
	aml_op_region_io(w, "PHPR", ACPI_PCI_HOTPLUG, ACPI_PCI_HOTPLUG_LEN);
	aml_field_dwords(w, "PHPR", registers);
	for (unsigned slot = VM_PCI_FIRST_SLOT; slot <= VM_PCI_LAST_SLOT; slot++)
		if (has_slot(config, slot))
			slot_device(w, slot);
}

/* Take what the register holds, and tell each slot whose bit is set. */
static void notify_slots(
	struct aml *w, const struct vm_config *config, const char *reg, unsigned event)
{
	char name[SLOT_NAME_SIZE];

	aml_op(w, AML_STORE);
	aml_path(w, reg);
	aml_local(w, 0);
	aml_op(w, AML_STORE);
	aml_local(w, 0);
	aml_path(w, reg);
	for (unsigned slot = VM_PCI_FIRST_SLOT; slot <= VM_PCI_LAST_SLOT; slot++) {
		size_t branch;

		if (!has_slot(config, slot))
			continue;
		branch = aml_if(w);
		aml_op(w, AML_AND);
		aml_local(w, 0);
		aml_int(w, UINT32_C(1) << slot);
		aml_int(w, 0); /* no target */
		aml_op(w, AML_NOTIFY);
		slot_name(name, "\\_SB.PCI0.", slot);
		aml_path(w, name);
		aml_int(w, event);
		aml_end(w, branch);
	}
}

void acpi_dsdt_slot_events(struct aml *w, const struct vm_config *config)
{
	size_t scope = aml_scope(w, "\\_GPE"), method;

	static_assert(ACPI_GPE_PCI_HOTPLUG == 1, "the method is named after it");
	method = aml_method(w, "_E01", 0, false);
	notify_slots(w, config, "\\_SB.PCI0.PCUP", NOTIFY_DEVICE_CHECK);
	notify_slots(w, config, "\\_SB.PCI0.PCDN", NOTIFY_EJECT_REQUEST);
	aml_end(w, method);
	aml_end(w, scope);
}
