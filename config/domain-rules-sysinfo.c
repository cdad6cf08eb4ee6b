/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: <sysinfo>: each string is one <entry name='…'>.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#include "config/domain-rules.h"

#define ENTRY(word, which)                                                                         \
	{                                                                                          \
		.name = "entry", .kind = XML_STRING, .when = "name=" word,                         \
		VM(smbios.values[which])                                                           \
	}
static const struct xml_rule bios_rows[] = {
	ENTRY("vendor", VM_SMBIOS_BIOS_VENDOR),
	ENTRY("version", VM_SMBIOS_BIOS_VERSION),
	ENTRY("date", VM_SMBIOS_BIOS_DATE),
	ENTRY("release", VM_SMBIOS_BIOS_RELEASE),
	{0},
};
static const struct xml_rule system_rows[] = {
	ENTRY("manufacturer", VM_SMBIOS_SYSTEM_MANUFACTURER),
	ENTRY("product", VM_SMBIOS_SYSTEM_PRODUCT),
	ENTRY("version", VM_SMBIOS_SYSTEM_VERSION),
	ENTRY("serial", VM_SMBIOS_SYSTEM_SERIAL),
	ENTRY("uuid", VM_SMBIOS_SYSTEM_UUID),
	ENTRY("sku", VM_SMBIOS_SYSTEM_SKU),
	ENTRY("family", VM_SMBIOS_SYSTEM_FAMILY),
	{0},
};
static const struct xml_rule board_rows[] = {
	ENTRY("manufacturer", VM_SMBIOS_BOARD_MANUFACTURER),
	ENTRY("product", VM_SMBIOS_BOARD_PRODUCT),
	ENTRY("version", VM_SMBIOS_BOARD_VERSION),
	ENTRY("serial", VM_SMBIOS_BOARD_SERIAL),
	ENTRY("asset", VM_SMBIOS_BOARD_ASSET),
	ENTRY("location", VM_SMBIOS_BOARD_LOCATION),
	{0},
};
static const struct xml_rule chassis_rows[] = {
	ENTRY("manufacturer", VM_SMBIOS_CHASSIS_MANUFACTURER),
	ENTRY("version", VM_SMBIOS_CHASSIS_VERSION),
	ENTRY("serial", VM_SMBIOS_CHASSIS_SERIAL),
	ENTRY("asset", VM_SMBIOS_CHASSIS_ASSET),
	ENTRY("sku", VM_SMBIOS_CHASSIS_SKU),
	{0},
};
static const struct xml_rule oem_string_rows[] = {
	{.name = ".", .kind = XML_STRING, .size = VM_SMBIOS_VALUE_MAX},
	{0},
};
static const struct xml_array oem_strings = {
	.count_offset = offsetof(struct vm_config, smbios.n_oem_strings),
	.offset = {offsetof(struct vm_config, smbios.oem_strings)},
	.stride = {VM_SMBIOS_VALUE_MAX},
	.max = VM_MAX_OEM_STRINGS,
};
static const struct xml_rule oem_rows[] = {
	{.name = "entry", .kind = XML_ARRAY, .array = &oem_strings, .rows = oem_string_rows},
	{0},
};
const struct xml_rule domain_sysinfo_rows[] = {
	{.name = "bios", .kind = XML_ELEMENT, .rows = bios_rows},
	{.name = "system", .kind = XML_ELEMENT, .rows = system_rows},
	{.name = "baseBoard", .kind = XML_ELEMENT, .flags = XML_FIRST, .rows = board_rows},
	{.name = "chassis", .kind = XML_ELEMENT, .rows = chassis_rows},
	{.name = "oemStrings", .kind = XML_ELEMENT, .rows = oem_rows},
	KEEP("processor", "describes a host, not a guest"),
	KEEP("memory_device", "describes a host, not a guest"),
	{0},
};
