/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ACPI name space: see acpi.h for what a guest finds there. Tested by tests/unit/test-acpi.c. */
#include "vmm-core/acpi/acpi-internal.h"

#include <stdio.h>

#include "vmm-core/acpi/acpi-hw.h"
#include "vmm-core/layout.h"

#define PCI_SLOTS 32
#define PCI_PINS  4

#define STA_PRESENT 0x0f /* present, enabled, shown, working */

/* What _OSC grants (PCI Firmware Specification 3.3, 4.5.1): PCIe hot-plug, PME, AER, capability structure. */
#define OSC_GRANTED      0x1d
#define OSC_BAD_UUID     0x04
#define OSC_BAD_REVISION 0x08
#define OSC_MASKED       0x10

static const uint8_t pci_osc_uuid[16] = {0x33, 0xdb, 0x4d, 0x5b, 0x1f, 0xf7, 0x40, 0x1c, 0x96, 0x57,
	0x74, 0x41, 0xc0, 0x3d, 0xd7, 0x66};

static void name_int(struct aml *w, const char *name, uint64_t v)
{
	aml_name(w, name);
	aml_int(w, v);
}

static void name_eisaid(struct aml *w, const char *name, const char *id)
{
	aml_name(w, name);
	aml_eisaid(w, id);
}

/* Or(target, bits, target) */
static void or_into(struct aml *w, const char *target, unsigned bits)
{
	aml_op(w, AML_OR);
	aml_path(w, target);
	aml_int(w, bits);
	aml_path(w, target);
}

static void dword_field(struct aml *w, unsigned offset, const char *name)
{
	aml_op(w, AML_CREATE_DWORD_FIELD);
	aml_arg(w, 3);
	aml_int(w, offset);
	aml_path(w, name);
}

/* The operating system asks which PCIe features it may drive; it learns what of them it got. */
static void pci_osc(struct aml *w)
{
	size_t method = aml_method(w, "_OSC", 4, true), branch, inner;

	dword_field(w, 0, "CDW1");
	branch = aml_if(w);
	aml_op(w, AML_EQUAL_L);
	aml_arg(w, 0);
	aml_touuid(w, pci_osc_uuid);
	dword_field(w, 8, "CDW3");
	aml_op(w, AML_AND);
	aml_path(w, "CDW3");
	aml_int(w, OSC_GRANTED);
	aml_local(w, 0);

	inner = aml_if(w);
	aml_op(w, AML_NOT_L);
	aml_op(w, AML_EQUAL_L);
	aml_arg(w, 1);
	aml_int(w, 1);
	or_into(w, "CDW1", OSC_BAD_REVISION);
	aml_end(w, inner);

	inner = aml_if(w);
	aml_op(w, AML_NOT_L);
	aml_op(w, AML_EQUAL_L);
	aml_path(w, "CDW3");
	aml_local(w, 0);
	or_into(w, "CDW1", OSC_MASKED);
	aml_end(w, inner);

	aml_op(w, AML_STORE);
	aml_local(w, 0);
	aml_path(w, "CDW3");
	aml_end(w, branch);
	branch = aml_else(w);
	or_into(w, "CDW1", OSC_BAD_UUID);
	aml_end(w, branch);
	aml_op(w, AML_RETURN);
	aml_arg(w, 3);
	aml_end(w, method);
}

/* INTx of every slot: { address, pin, no link device, GSI }. */
static void pci_prt(struct aml *w)
{
	size_t table;

	aml_name(w, "_PRT");
	table = aml_package(w, (PCI_SLOTS - 1) * PCI_PINS);
	for (uint32_t slot = 1; slot < PCI_SLOTS; slot++) {
		for (uint32_t pin = 0; pin < PCI_PINS; pin++) {
			size_t row = aml_package(w, 4);

			aml_int(w, slot << 16 | 0xffff);
			aml_int(w, pin);
			aml_int(w, 0);
			aml_int(w, LAYOUT_GSI_INTX_BASE + (slot + pin) % LAYOUT_GSI_INTX_COUNT);
			aml_end(w, row);
		}
	}
	aml_end(w, table);
}

static void pci_crs(struct aml *w, uint64_t pci64_base)
{
	size_t crs;

	aml_name(w, "_CRS");
	crs = aml_resources(w);
	aml_res_bus(w, 0, 0xff);
	aml_res_io(w, LAYOUT_PCI_CF8, 8);
	aml_res_window_io(w, 0, LAYOUT_PCI_CF8 - 1);
	aml_res_window_io(w, 0xd00, 0xffff);
	aml_res_window32(w, (uint32_t)LAYOUT_PCI32_BASE, (uint32_t)(LAYOUT_PCI32_END - 1));
	aml_res_window64(w, pci64_base, pci64_base + LAYOUT_PCI64_SIZE - 1);
	aml_resources_end(w, crs);
}

static void rtc(struct aml *w)
{
	size_t device = aml_device(w, "RTC"), crs;

	name_eisaid(w, "_HID", "PNP0B00");
	aml_name(w, "_CRS");
	crs = aml_resources(w);
	aml_res_io(w, LAYOUT_RTC, 2);
	aml_res_irq(w, LAYOUT_GSI_RTC);
	aml_resources_end(w, crs);
	aml_end(w, device);
}

static void com_port(struct aml *w, unsigned port)
{
	static const struct {
		uint16_t base;
		uint8_t irq;
	} ports[VM_MAX_SERIALS] = {
		{LAYOUT_COM1, LAYOUT_GSI_COM1},
		{LAYOUT_COM2, LAYOUT_GSI_COM2},
		{LAYOUT_COM3, LAYOUT_GSI_COM1},
		{LAYOUT_COM4, LAYOUT_GSI_COM2},
	};
	char name[] = {'C', 'O', 'M', (char)('1' + port), '\0'};
	size_t device = aml_device(w, name), crs;

	name_eisaid(w, "_HID", "PNP0501");
	name_int(w, "_UID", port + 1);
	name_int(w, "_STA", STA_PRESENT);
	aml_name(w, "_CRS");
	crs = aml_resources(w);
	aml_res_io(w, ports[port].base, 8);
	aml_res_irq(w, ports[port].irq);
	aml_resources_end(w, crs);
	aml_end(w, device);
}

/* The events are written to a port: bits as in the pvpanic specification. */
static void pvpanic(struct aml *w)
{
	size_t device = aml_device(w, "PEVT"), crs, method;

	aml_name(w, "_HID");
	aml_string(w, "QEMU0001");
	name_int(w, "_STA", STA_PRESENT);
	aml_name(w, "_CRS");
	crs = aml_resources(w);
	aml_res_io(w, LAYOUT_PVPANIC, 1);
	aml_resources_end(w, crs);
	aml_op_region_io(w, "PEOR", LAYOUT_PVPANIC, 1);
	aml_field_byte(w, "PEOR", "PEPT", 8);
	method = aml_method(w, "RDPT", 0, true);
	aml_op(w, AML_RETURN);
	aml_path(w, "PEPT");
	aml_end(w, method);
	method = aml_method(w, "WRPT", 1, true);
	aml_op(w, AML_STORE);
	aml_arg(w, 0);
	aml_path(w, "PEPT");
	aml_end(w, method);
	aml_end(w, device);
}

static void isa_bridge(struct aml *w, const struct vm_config *config)
{
	size_t device = aml_device(w, "ISA");
	bool present[VM_MAX_SERIALS] = {0};

	name_int(w, "_ADR", UINT32_C(31) << 16);
	rtc(w);
	for (uint32_t i = 0; i < config->n_serials; i++)
		present[config->serials[i].port % VM_MAX_SERIALS] = true;
	for (unsigned port = 0; port < VM_MAX_SERIALS; port++)
		if (present[port])
			com_port(w, port);
	if (config->panic_isa)
		pvpanic(w);
	aml_end(w, device);
}

static void pci_host(struct aml *w, const struct vm_config *config, uint64_t pci64_base)
{
	size_t device = aml_device(w, "PCI0");

	name_eisaid(w, "_HID", "PNP0A08");
	name_eisaid(w, "_CID", "PNP0A03");
	name_int(w, "_SEG", 0);
	name_int(w, "_BBN", 0);
	name_int(w, "_UID", 0);
	pci_osc(w);
	pci_crs(w, pci64_base);
	pci_prt(w);
	isa_bridge(w, config);
	acpi_dsdt_slots(w, config);
	aml_end(w, device);
}

/* What is taken and has no device of its own: ECAM, ACPI's ports, those of the keyboard controller. */
static void motherboard(struct aml *w)
{
	size_t device = aml_device(w, "MBRD"), crs;

	name_eisaid(w, "_HID", "PNP0C02");
	aml_name(w, "_CRS");
	crs = aml_resources(w);
	aml_res_io(w, LAYOUT_I8042_DATA, 1);
	aml_res_io(w, LAYOUT_I8042_STATUS, 1);
	aml_res_io(w, ACPI_PM_BASE, ACPI_PM_LEN);
	aml_res_io(w, ACPI_GPE0, ACPI_GPE0_LEN);
	aml_res_io(w, ACPI_PCI_HOTPLUG, ACPI_PCI_HOTPLUG_LEN);
	aml_res_io(w, ACPI_CPU_HOTPLUG, ACPI_CPU_HOTPLUG_LEN);
	aml_res_memory32(w, (uint32_t)LAYOUT_ECAM_BASE, (uint32_t)LAYOUT_ECAM_SIZE);
	aml_resources_end(w, crs);
	aml_end(w, device);
}

/* "Virtual Machine Generation ID" (Microsoft): where the 16 bytes are, and the event when they change. */
static void generation_id(struct aml *w)
{
	size_t scope = aml_scope(w, "\\_SB"), device = aml_device(w, "VGEN"), package, method;

	aml_name(w, "_HID");
	aml_string(w, "VMMD0001");
	aml_name(w, "_CID"); /* the paper's, and the one that fits ACPI's rules */
	package = aml_package(w, 2);
	aml_string(w, "VM_Gen_Counter");
	aml_string(w, "VMGENCTR");
	aml_end(w, package);
	aml_name(w, "_DDN");
	aml_string(w, "VM_Gen_Counter");
	aml_name(w, "ADDR");
	package = aml_package(w, 2);
	aml_int(w, (uint32_t)ACPI_VMGENID_ADDR);
	aml_int(w, ACPI_VMGENID_ADDR >> 32);
	aml_end(w, package);
	aml_end(w, device);
	aml_end(w, scope);

	scope = aml_scope(w, "\\_GPE");
	static_assert(ACPI_GPE_VMGENID == 0, "the method is named after it");
	method = aml_method(w, "_E00", 0, false);
	aml_op(w, AML_NOTIFY);
	aml_path(w, "\\_SB.VGEN");
	aml_int(w, 0x80);
	aml_end(w, method);
	aml_end(w, scope);
}

void acpi_dsdt_body(struct aml *w, const struct vm_config *config, uint64_t pci64_base)
{
	size_t scope = aml_scope(w, "\\_SB"), package;

	pci_host(w, config, pci64_base);
	motherboard(w);
	acpi_dsdt_cpus(w, config);
	aml_end(w, scope);

	aml_name(w, "\\_S5");
	package = aml_package(w, 4);
	aml_int(w, ACPI_SLP_TYP_S5);
	aml_int(w, ACPI_SLP_TYP_S5);
	aml_int(w, 0);
	aml_int(w, 0);
	aml_end(w, package);

	if (config->genid)
		generation_id(w);
	acpi_dsdt_slot_events(w, config);
	acpi_dsdt_cpu_events(w);
}
