/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: <os> and <features>.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#include "config/domain-rules.h"

static const struct xml_word arch_words[] = {
	{.word = "x86_64"},
	{"*", 0, CONTRACT_REFUSED, "vmmd runs x86-64 guests only; write arch='x86_64'"},
	{0},
};
static const struct xml_word machine_words[] = {
	{.word = "q35"},
	{"pc-q35*", 0, CONTRACT_ADAPTED, "served by vmmd's one machine, q35"},
	{"pc*", 0, CONTRACT_ADAPTED, "served by vmmd's one machine, q35: PCI Express, no IDE"},
	{"microvm", 0, CONTRACT_ADAPTED, "served by vmmd's one machine, q35"},
	{"*", 0, CONTRACT_REFUSED, "no such machine; write machine='q35'"},
	{0},
};
static const struct xml_word os_type_words[] = {
	{.word = "hvm"},
	{"*", 0, CONTRACT_REFUSED, "vmmd runs fully virtual machines only; write hvm"},
	{0},
};
static const struct xml_rule os_type_rows[] = {
	{.name = "@arch", .kind = XML_CONST, .fixed = "x86_64", .words = arch_words},
	{.name = "@machine", .kind = XML_CONST, .fixed = "q35", .words = machine_words},
	{0},
};

#define DIRECT_BOOT "vmmd boots kernels directly; "

static const struct xml_word firmware_words[] = {
	{"*", 0, CONTRACT_REFUSED,
		DIRECT_BOOT "remove firmware= and add <kernel> (and <initrd>, <cmdline>)"},
	{0},
};
static const struct xml_word smbios_words[] = {
	{.word = "emulate", .value = 0},
	{.word = "sysinfo", .value = 1},
	{"host", 0, CONTRACT_REFUSED,
		"the host's own strings are not given to guests; write mode='sysinfo'"},
	{0},
};
static const struct xml_rule smbios_rows[] = {
	{.name = "@mode", .kind = XML_WORD, VM(smbios.enabled), .words = smbios_words},
	{0},
};

static bool has_sysinfo(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return vm->smbios.enabled;
}

const struct xml_rule domain_os_rows[] = {
	{.name = "@firmware", .kind = XML_KEEP, .words = firmware_words},
	{.name = "type",
		.kind = XML_CONST,
		.flags = XML_REQUIRED | XML_ALWAYS,
		.fixed = "hvm",
		.words = os_type_words,
		.rows = os_type_rows,
		.why = "<type arch='x86_64' machine='q35'>hvm</type>"},
	REFUSE("firmware", DIRECT_BOOT "remove <firmware> and add <kernel>"),
	REFUSE("loader", DIRECT_BOOT "remove <loader> and add <kernel>"),
	REFUSE("nvram", DIRECT_BOOT "remove <nvram> and add <kernel>"),
	{.name = "kernel", .kind = XML_STRING, HOST(kernel), .check = xml_check_path},
	{.name = "initrd", .kind = XML_STRING, HOST(initrd), .check = xml_check_path},
	{.name = "cmdline", .kind = XML_STRING, VM(cmdline)},
	REFUSE("dtb", "x86 guests have no device tree; remove it"),
	REFUSE("acpi", "the guest's ACPI tables are vmmd's own; remove it"),
	{.name = "boot", .kind = XML_KEEP, .flags = XML_MANY, .after = domain_after_boot},
	KEEP("bootmenu", DIRECT_BOOT "there is no menu"),
	KEEP("bios", DIRECT_BOOT "there is no BIOS"),
	{.name = "smbios", .kind = XML_ELEMENT, .rows = smbios_rows, .print_if = has_sysinfo},
	{0},
};

static const struct xml_rule apic_rows[] = {
	KEEP("@eoi", "the guest is always offered paravirtual end-of-interrupt"),
	{0},
};
const struct xml_rule domain_feature_rows[] = {
	{.name = "acpi", .kind = XML_FLAG, VM(acpi)},
	{.name = "apic", .kind = XML_FLAG, VM(apic), .rows = apic_rows},
	{.name = "pae", .kind = XML_FLAG, VM(pae)},
	KEEP("hap", "the host's KVM decides about nested paging"),
	KEEP("viridian", "Xen only"),
	KEEP("privnet", "containers only"),
	KEEP("hyperv", "Hyper-V enlightenments are not offered yet"),
	KEEP("kvm", "the guest always sees that it runs under KVM"),
	KEEP("xen", "Xen only"),
	KEEP("pvspinlock", "the host's KVM decides about paravirtual spinlocks"),
	KEEP("capabilities", "containers only"),
	KEEP("pmu", "the guest has no performance counters"),
	KEEP("vmport", "there is no VMware port"),
	KEEP("gic", NOT_ON_X86),
	KEEP("smm", "there is no system management mode"),
	KEEP("ioapic", "the IOAPIC is always in the worker"),
	KEEP("hpt", NOT_ON_X86),
	KEEP("vmcoreinfo", "there is no vmcoreinfo device"),
	KEEP("htm", NOT_ON_X86),
	KEEP("nested-hv", NOT_ON_X86),
	KEEP("msrs", "unknown MSRs always fault, as on hardware"),
	KEEP("ccf-assist", NOT_ON_X86),
	KEEP("cfpc", NOT_ON_X86),
	KEEP("sbbc", NOT_ON_X86),
	KEEP("ibs", NOT_ON_X86),
	KEEP("tcg", "guests run under KVM"),
	{0},
};
