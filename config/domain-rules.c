/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML, all but <devices>: rows in the order in which libvirt prints them. What a
 * row says to the user ("why") ends with what to write instead when the definition is refused.
 */
#include "config/domain-rules.h"

#include <string.h>

#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

const struct xml_namespace domain_namespaces[] = {
	{"vmmd", VMMD_XML_NS_DOMAIN},
	{"qemu", "http://libvirt.org/schemas/domain/qemu/1.0"},
	{NULL, NULL},
};

static const char *check_title(const char *title)
{
	return strchr(title, '\n') ? "contains a line break; write one line" : NULL;
}

static const struct xml_rule options_rows[] = {
	{.name = "vmmd:debug-exit", .kind = XML_FLAG, VM(debug_exit)},
	{0},
};

#define USER_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-"

/* Names as useradd(8) and directories have them. Of all digits: a uid; (uid_t)-1 is nobody's. */
static const char *check_user(const char *user)
{
	size_t len = strlen(user);
	uint64_t uid;

	if (len && len == strspn(user, "0123456789") &&
		(parse_u64(user, UINT32_MAX - 1, &uid) < 0 || (len > 1 && *user == '0')))
		return "is no uid; write a user's name, or a uid of up to 4294967294";
	if (!len || *user == '-' || len != strspn(user, USER_CHARS))
		return "is no user; write a user's name, or a uid";
	return NULL;
}

static const struct xml_rule owner_rows[] = {
	{.name = "@user",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		HOST(owner),
		.check = check_user},
	{0},
};

static bool has_owner(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct domain_config *config = place->base[1];

	(void)f;
	return *config->owner;
}

static const struct xml_rule cpu_policy_rows[] = {
	{.name = "@haltPollUs", .kind = XML_UINT, .flags = XML_ZERO_IS_MAX, VM(halt_poll_us)},
	{.name = "@coreScheduling",
		.kind = XML_ENUM,
		.names = VM_ENUM_TRISTATE,
		HOST(core_scheduling)},
	{0},
};

static const struct xml_rule memory_policy_rows[] = {
	{.name = "@weight", .kind = XML_UINT, HOST(memtune.weight)},
	{0},
};

static const struct xml_rule cpuid_rows[] = {
	{.name = "vmmd:leaf",
		.kind = XML_CUSTOM,
		.flags = XML_MANY | XML_REQUIRED,
		.parse = domain_parse_leaf,
		.format = domain_format_leaves},
	{0},
};

/* Opaque: every other namespace belongs to some other program. */
static const struct xml_rule metadata_rows[] = {
	{.name = "vmmd:owner", .kind = XML_ELEMENT, .rows = owner_rows, .print_if = has_owner},
	{.name = "vmmd:cpuPolicy", .kind = XML_ELEMENT, .rows = cpu_policy_rows},
	{.name = "vmmd:memoryPolicy", .kind = XML_ELEMENT, .rows = memory_policy_rows},
	{.name = "vmmd:cpuid", .kind = XML_ELEMENT, .rows = cpuid_rows},
	{.name = "vmmd:options", .kind = XML_ELEMENT, .rows = options_rows},
	{0},
};

static const struct xml_rule memory_rows[] = {
	{.name = "@unit", .kind = XML_UNIT},
	KEEP("@dumpCore", "vmmd writes no core dumps"),
	{0},
};
static const struct xml_rule unit_rows[] = {
	{.name = "@unit", .kind = XML_UNIT},
	{0},
};

static const struct xml_rule page_rows[] = {
	{.name = "@size",
		.kind = XML_SIZE,
		.flags = XML_REQUIRED,
		XML_FIELD(1, struct domain_page, size_kib)},
	{.name = "@unit", .kind = XML_UNIT},
	{.name = "@nodeset",
		.kind = XML_CPUSET,
		XML_FIELD(1, struct domain_page, cells),
		.fixed = "cell"},
	{0},
};
static const struct xml_array pages = {
	.count_offset = offsetof(struct domain_config, n_pages),
	.count_base = 1,
	.offset = {0, offsetof(struct domain_config, pages)},
	.stride = {0, sizeof(struct domain_page)},
	.max = VM_MAX_CELLS,
};
static const struct xml_rule hugepages_rows[] = {
	{.name = "page", .kind = XML_ARRAY, .array = &pages, .rows = page_rows},
	{0},
};
static const struct xml_word source_words[] = {
	{.word = "memfd"},
	{"anonymous", 0, CONTRACT_ADAPTED, "a memory file (memfd), which has no name either"},
	{"file", 0, CONTRACT_ADAPTED,
		"a memory file (memfd): it is not kept in a folder, and gone with the guest"},
	{0},
};
static const struct xml_rule source_rows[] = {
	{.name = "@type", .kind = XML_KEEP, .words = source_words},
	{0},
};
static const struct xml_word access_words[] = {
	{.word = "shared"},
	{"private", 0, CONTRACT_ADAPTED,
		"memory is mapped shared, but no process other than the guest's worker has it"},
	{0},
};
static const struct xml_rule access_rows[] = {
	{.name = "@mode", .kind = XML_KEEP, .words = access_words},
	{0},
};
static const struct xml_word allocation_words[] = {
	{.word = "immediate", .value = VM_ALLOCATION_IMMEDIATE},
	{.word = "ondemand", .value = VM_ALLOCATION_ON_DEMAND},
	{0},
};
static const struct xml_rule allocation_rows[] = {
	{.name = "@mode",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		VM(memory_allocation),
		.words = allocation_words},
	{.name = "@threads", .kind = XML_UINT, VM(memory_allocators)},
	{0},
};
static const struct xml_rule memory_backing_rows[] = {
	{.name = "hugepages",
		.kind = XML_ELEMENT,
		.rows = hugepages_rows,
		.after = domain_after_hugepages},
	{.name = "nosharepages",
		.kind = XML_FLAG,
		VM(memory_nosharepages),
		.why = "always so: KSM merges anonymous memory only, guests have memory files"},
	{.name = "locked", .kind = XML_FLAG, VM(memory_locked)},
	{.name = "source", .kind = XML_ELEMENT, .rows = source_rows},
	{.name = "access", .kind = XML_ELEMENT, .rows = access_rows},
	{.name = "allocation", .kind = XML_ELEMENT, .rows = allocation_rows},
	KEEP("discard", "memory files have no content to discard"),
	{0},
};

static bool has_current_vcpus(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return vm->vcpus != vm->vcpus_max;
}

static const struct xml_word placement_words[] = {
	{.word = "static"},
	{"auto", 0, CONTRACT_ADAPTED, "vCPUs are placed by the host's scheduler: static"},
	{0},
};
static const struct xml_rule vcpu_rows[] = {
	{.name = "@placement", .kind = XML_CONST, .fixed = "static", .words = placement_words},
	{.name = "@cpuset", .kind = XML_CPUSET, VM(cpuset)},
	{.name = "@current", .kind = XML_UINT, VM(vcpus), .print_if = has_current_vcpus},
	{0},
};

#define ONE_QUOTA "one limit for the whole worker: what all vCPUs that are on may have together"

static const struct xml_rule pin_rows[] = {
	{.name = "@vcpu",
		.kind = XML_UINT,
		.flags = XML_REQUIRED | XML_ALWAYS,
		XML_FIELD(1, struct domain_pin, vcpu)},
	{.name = "@cpuset",
		.kind = XML_CPUSET,
		.flags = XML_REQUIRED,
		XML_FIELD(1, struct domain_pin, cpus)},
	{0},
};
static const struct xml_array pins = {
	.count_offset = offsetof(struct domain_config, cputune.n_pins),
	.count_base = 1,
	.offset = {0, offsetof(struct domain_config, cputune.pins)},
	.stride = {0, sizeof(struct domain_pin)},
	.max = VM_MAX_VCPUS,
};
static const struct xml_rule emulatorpin_rows[] = {
	{.name = "@cpuset", .kind = XML_CPUSET, .flags = XML_REQUIRED, HOST(cputune.emulator_pin)},
	{0},
};
static const struct xml_rule iothreadpin_rows[] = {
	{.name = "@iothread",
		.kind = XML_UINT,
		.flags = XML_REQUIRED,
		XML_FIELD(1, struct domain_iothread_pin, iothread)},
	{.name = "@cpuset",
		.kind = XML_CPUSET,
		.flags = XML_REQUIRED,
		XML_FIELD(1, struct domain_iothread_pin, cpus)},
	{0},
};
static const struct xml_array iothread_pins = {
	.count_offset = offsetof(struct domain_config, cputune.n_iothread_pins),
	.count_base = 1,
	.offset = {0, offsetof(struct domain_config, cputune.iothread_pins)},
	.stride = {0, sizeof(struct domain_iothread_pin)},
	.max = VM_MAX_IOTHREADS,
};

#define NO_POLLING "an iothread sleeps until there is something to do"

static const struct xml_rule iothread_rows[] = {
	{.name = "@id", .kind = XML_UINT, .flags = XML_REQUIRED, .size = sizeof(uint32_t)},
	KEEP("@thread_pool_min", "io_uring needs no pool of threads"),
	KEEP("@thread_pool_max", "io_uring needs no pool of threads"),
	KEEP("poll", NO_POLLING),
	{0},
};
static const struct xml_array iothread_array = {
	.count_offset = offsetof(struct vm_config, n_iothreads),
	.offset = {offsetof(struct vm_config, iothreads)},
	.stride = {sizeof(uint32_t)},
	.max = VM_MAX_IOTHREADS,
};
static const struct xml_rule iothreadids_rows[] = {
	{.name = "iothread", .kind = XML_ARRAY, .array = &iothread_array, .rows = iothread_rows},
	{0},
};

/* Ids that do not go without saying. */
static bool has_iothreadids(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];
	const struct domain_config *config = place->base[1];

	(void)f;
	for (uint32_t i = 0; i < vm->n_iothreads; i++)
		if (vm->iothreads[i] != i + 1)
			return true;
	return config->own_iothreadids;
}

static const struct xml_rule cputune_rows[] = {
	{.name = "shares", .kind = XML_UINT, HOST(cputune.shares)},
	{.name = "period", .kind = XML_UINT, HOST(cputune.vcpu.period_us)},
	{.name = "quota",
		.kind = XML_INT,
		HOST(cputune.vcpu.quota_us),
		.verdict = CONTRACT_ADAPTED,
		.why = ONE_QUOTA},
	{.name = "global_period", .kind = XML_UINT, HOST(cputune.global.period_us)},
	{.name = "global_quota", .kind = XML_INT, HOST(cputune.global.quota_us)},
	{.name = "emulator_period", .kind = XML_UINT, HOST(cputune.emulator.period_us)},
	{.name = "emulator_quota",
		.kind = XML_INT,
		HOST(cputune.emulator.quota_us),
		.verdict = CONTRACT_ADAPTED,
		.why = "added to the vCPUs' quota: one limit for the whole worker"},
	{.name = "iothread_period", .kind = XML_UINT, HOST(cputune.iothread.period_us)},
	{.name = "iothread_quota",
		.kind = XML_INT,
		HOST(cputune.iothread.quota_us),
		.verdict = CONTRACT_ADAPTED,
		.why = "of each, added to the vCPUs' quota: one limit for the whole worker"},
	{.name = "vcpupin", .kind = XML_ARRAY, .array = &pins, .rows = pin_rows},
	{.name = "emulatorpin", .kind = XML_ELEMENT, .rows = emulatorpin_rows},
	{.name = "iothreadpin",
		.kind = XML_ARRAY,
		.array = &iothread_pins,
		.rows = iothreadpin_rows},
	KEEP("vcpusched", "threads have the host's ordinary scheduler"),
	KEEP("emulatorsched", "threads have the host's ordinary scheduler"),
	KEEP("iothreadsched", "threads have the host's ordinary scheduler"),
	KEEP("cachetune", "the host's caches are not partitioned"),
	KEEP("memorytune", "the host's memory bandwidth is not partitioned"),
	{0},
};

static const struct xml_word numa_mode_words[] = {
	{.word = "strict", .value = DOMAIN_NUMA_STRICT},
	{.word = "preferred", .value = DOMAIN_NUMA_PREFERRED},
	{.word = "interleave", .value = DOMAIN_NUMA_INTERLEAVE},
	{.word = "restrictive", .value = DOMAIN_NUMA_RESTRICTIVE},
	{0},
};
static const struct xml_word numa_placement_words[] = {
	{.word = "static", .value = 0},
	{"auto", 1, CONTRACT_ADAPTED,
		"memory is placed by the host's kernel, near to who uses it first"},
	{0},
};
static const struct xml_rule numa_memory_rows[] = {
	{.name = "@mode",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		HOST(numatune.mode),
		.words = numa_mode_words},
	{.name = "@nodeset", .kind = XML_CPUSET, HOST(numatune.nodes), .fixed = "host node"},
	{.name = "@placement",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		HOST(numatune.is_auto),
		.words = numa_placement_words},
	{0},
};
static const struct xml_rule memnode_rows[] = {
	{.name = "@cellid",
		.kind = XML_UINT,
		.flags = XML_REQUIRED | XML_ALWAYS,
		XML_FIELD(1, struct domain_memnode, cell)},
	{.name = "@mode",
		.kind = XML_WORD,
		.flags = XML_NOT_ZERO,
		XML_FIELD(1, struct domain_memnode, mode),
		.words = numa_mode_words},
	{.name = "@nodeset",
		.kind = XML_CPUSET,
		.flags = XML_REQUIRED,
		XML_FIELD(1, struct domain_memnode, nodes),
		.fixed = "host node"},
	{0},
};
static const struct xml_array memnodes = {
	.count_offset = offsetof(struct domain_config, numatune.n_memnodes),
	.count_base = 1,
	.offset = {0, offsetof(struct domain_config, numatune.memnodes)},
	.stride = {0, sizeof(struct domain_memnode)},
	.max = VM_MAX_CELLS,
};
static const struct xml_rule numatune_rows[] = {
	{.name = "memory",
		.kind = XML_ELEMENT,
		.rows = numa_memory_rows,
		.after = domain_after_numa_memory},
	{.name = "memnode", .kind = XML_ARRAY, .array = &memnodes, .rows = memnode_rows},
	{0},
};

static const struct xml_rule memtune_rows[] = {
	{.name = "hard_limit", .kind = XML_SIZE, HOST(memtune.hard_kib), .rows = unit_rows},
	{.name = "soft_limit", .kind = XML_SIZE, HOST(memtune.soft_kib), .rows = unit_rows},
	{.name = "min_guarantee",
		.kind = XML_SIZE,
		HOST(memtune.min_kib),
		.rows = unit_rows,
		.verdict = CONTRACT_ADAPTED,
		.why = "the host's memory policy takes nothing below it; no control group "
		       "guarantees memory"},
	{.name = "swap_hard_limit",
		.kind = XML_SIZE,
		HOST(memtune.swap_hard_kib),
		.rows = unit_rows},
	{0},
};

/* <sysinfo>: each string is one <entry name='…'>. */
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
static const struct xml_rule sysinfo_rows[] = {
	{.name = "bios", .kind = XML_ELEMENT, .rows = bios_rows},
	{.name = "system", .kind = XML_ELEMENT, .rows = system_rows},
	{.name = "baseBoard", .kind = XML_ELEMENT, .flags = XML_FIRST, .rows = board_rows},
	{.name = "chassis", .kind = XML_ELEMENT, .rows = chassis_rows},
	{.name = "oemStrings", .kind = XML_ELEMENT, .rows = oem_rows},
	KEEP("processor", "describes a host, not a guest"),
	KEEP("memory_device", "describes a host, not a guest"),
	{0},
};

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

static const struct xml_rule os_rows[] = {
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

#define NOT_ON_X86 "not a feature of x86 machines"

static const struct xml_rule apic_rows[] = {
	KEEP("@eoi", "the guest is always offered paravirtual end-of-interrupt"),
	{0},
};
static const struct xml_rule feature_rows[] = {
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

static const struct xml_word match_words[] = {
	{.word = "minimum", .value = 1},
	{.word = "exact", .value = 2},
	{.word = "strict", .value = 3},
	{0},
};
static const struct xml_word check_words[] = {
	{.word = "none", .value = 1},
	{.word = "partial", .value = 2},
	{.word = "full", .value = 3},
	{0},
};
static const struct xml_word fallback_words[] = {
	{.word = "allow", .value = 0},
	{.word = "forbid", .value = 1},
	{0},
};

static const struct xml_word migratable_words[] = {
	{.word = "on", .value = VM_TRISTATE_YES},
	{.word = "off", .value = VM_TRISTATE_NO},
	{0},
};

static bool has_model(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return *vm->cpu.model || vm->cpu.fallback_forbid;
}

static const struct xml_rule model_rows[] = {
	{.name = "@fallback", .kind = XML_WORD, VM(cpu.fallback_forbid), .words = fallback_words},
	KEEP("@vendor_id", "the guest sees the vendor of the host's CPU"),
	{0},
};
static const struct xml_rule topology_rows[] = {
	{.name = "@sockets", .kind = XML_UINT, .flags = XML_REQUIRED, VM(cpu.sockets)},
	{.name = "@dies", .kind = XML_UINT, VM(cpu.dies)},
	{.name = "@cores", .kind = XML_UINT, .flags = XML_REQUIRED, VM(cpu.cores)},
	{.name = "@threads", .kind = XML_UINT, .flags = XML_REQUIRED, VM(cpu.threads)},
	{0},
};
static const struct xml_rule cpu_feature_rows[] = {
	{.name = "@policy",
		.kind = XML_ENUM,
		.flags = XML_FIXED_IF_EMPTY,
		.fixed = "require",
		.names = VM_ENUM_CPU_POLICY,
		XML_FIELD(0, struct vm_cpu_feature, policy)},
	{.name = "@name",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct vm_cpu_feature, name)},
	{0},
};
static const struct xml_array cpu_features = {
	.count_offset = offsetof(struct vm_config, cpu.n_features),
	.offset = {offsetof(struct vm_config, cpu.features)},
	.stride = {sizeof(struct vm_cpu_feature)},
	.max = VM_MAX_CPU_FEATURES,
};
static const struct xml_rule sibling_rows[] = {
	{.name = "@id",
		.kind = XML_UINT,
		.flags = XML_REQUIRED | XML_ALWAYS,
		XML_FIELD(1, struct domain_sibling, id)},
	{.name = "@value",
		.kind = XML_UINT,
		.flags = XML_REQUIRED | XML_ALWAYS,
		XML_FIELD(1, struct domain_sibling, value)},
	{0},
};
static const struct xml_array siblings = {
	.count_offset = offsetof(struct domain_cell, n_siblings),
	.count_base = 1,
	.offset = {0, offsetof(struct domain_cell, siblings)},
	.stride = {0, sizeof(struct domain_sibling)},
	.max = VM_MAX_CELLS,
};
static const struct xml_rule distances_rows[] = {
	{.name = "sibling", .kind = XML_ARRAY, .array = &siblings, .rows = sibling_rows},
	{0},
};
static const struct xml_rule cell_rows[] = {
	{.name = "@id",
		.kind = XML_UINT,
		.flags = XML_ZERO_IS_MAX,
		XML_FIELD(1, struct domain_cell, id)},
	{.name = "@cpus", .kind = XML_CPUSET, XML_FIELD(0, struct vm_cell, cpus), .fixed = "vCPU"},
	{.name = "@memory",
		.kind = XML_SIZE,
		.flags = XML_REQUIRED,
		XML_FIELD(0, struct vm_cell, memory_kib)},
	{.name = "@unit", .kind = XML_UNIT},
	{.name = "@memAccess", .kind = XML_KEEP, .words = access_words},
	KEEP("@discard", "memory files have no content to discard"),
	{.name = "distances", .kind = XML_ELEMENT, .rows = distances_rows},
	KEEP("cache", "the guest sees the host's caches"),
	{0},
};
static const struct xml_array cells = {
	.count_offset = offsetof(struct vm_config, n_cells),
	.offset = {offsetof(struct vm_config, cells), offsetof(struct domain_config, cells)},
	.stride = {sizeof(struct vm_cell), sizeof(struct domain_cell)},
	.max = VM_MAX_CELLS,
};
static const struct xml_rule numa_rows[] = {
	{.name = "cell", .kind = XML_ARRAY, .array = &cells, .rows = cell_rows},
	KEEP("interconnects", "latencies and bandwidths are not told: distances are"),
	{0},
};
static const struct xml_rule cpu_rows[] = {
	{.name = "@mode", .kind = XML_ENUM, .names = VM_ENUM_CPU_MODE, VM(cpu.mode)},
	{.name = "@match", .kind = XML_WORD, VM(cpu.match), .words = match_words},
	{.name = "@check", .kind = XML_WORD, VM(cpu.check), .words = check_words},
	{.name = "@migratable", .kind = XML_WORD, VM(cpu.migratable), .words = migratable_words},
	{.name = "model",
		.kind = XML_STRING,
		VM(cpu.model),
		.rows = model_rows,
		.print_if = has_model},
	{.name = "vendor", .kind = XML_STRING, VM(cpu.vendor)},
	{.name = "topology",
		.kind = XML_ELEMENT,
		.rows = topology_rows,
		.after = domain_after_topology},
	KEEP("cache", "the guest sees the host's caches"),
	KEEP("maxphysaddr", "the guest sees the host's address width"),
	{.name = "feature", .kind = XML_ARRAY, .array = &cpu_features, .rows = cpu_feature_rows},
	{.name = "numa", .kind = XML_ELEMENT, .rows = numa_rows, .after = domain_after_numa},
	{0},
};

static const struct xml_word offset_words[] = {
	{"timezone", 0, CONTRACT_REFUSED,
		"time zones are not known; write offset='variable' with adjustment="},
	{0},
};
static const struct xml_word basis_words[] = {
	{.word = "utc", .value = 0},
	{.word = "localtime", .value = 1},
	{0},
};
static const struct xml_word adjustment_words[] = {
	{"reset", 0, CONTRACT_ADAPTED, "what the guest changed is not kept over a restart: 0"},
	{0},
};

static bool is_variable(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return vm->clock_offset == VM_CLOCK_VARIABLE;
}

static bool is_absolute(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return vm->clock_offset == VM_CLOCK_ABSOLUTE;
}

#define TIMER(word, which, present_words)                                                          \
	{                                                                                          \
		.name = "timer", .kind = XML_ELEMENT, .when = "name=" word,                        \
		.rows = (const struct xml_rule[])                                                  \
		{                                                                                  \
			KEEP("@track", "the timer follows the guest's clock"),                     \
				KEEP("@tickpolicy", "late ticks are delivered as time allows"),    \
				KEEP("@frequency", "the host's frequency is the guest's"),         \
				KEEP("@mode", "the host's KVM decides"),                           \
				{.name = "@present",                                               \
					.kind = XML_ENUM,                                          \
					.names = VM_ENUM_TRISTATE,                                 \
					VM(timers[which]),                                         \
					.words = (present_words)},                                 \
				KEEP("catchup", "late ticks are delivered as time allows"),        \
			{                                                                          \
				0                                                                  \
			}                                                                          \
		}                                                                                  \
	}
static const struct xml_word always_words[] = {
	{"no", VM_TRISTATE_NO, CONTRACT_IGNORED, "every guest has this clock"},
	{0},
};
static const struct xml_word hpet_words[] = {
	{"yes", VM_TRISTATE_YES, CONTRACT_ADAPTED,
		"there is no HPET: guests use kvm-clock and the local APIC's timer"},
	{0},
};
static const struct xml_word tsc_mode_words[] = {
	{.word = "auto", .value = 1},
	{.word = "native", .value = 2},
	{"emulate", 0, CONTRACT_REFUSED,
		"a guest reads the processor's counter itself; write mode='native'"},
	{"paravirt", 0, CONTRACT_REFUSED,
		"a guest reads the processor's counter itself; write mode='native'"},
	{"smpsafe", 0, CONTRACT_REFUSED,
		"a guest reads the processor's counter itself; write mode='native'"},
	{0},
};
static const struct xml_rule tsc_rows[] = {
	KEEP("@track", "the timer follows the guest's clock"),
	KEEP("@tickpolicy", "late ticks are delivered as time allows"),
	{.name = "@frequency", .kind = XML_UINT, VM(tsc_hz)},
	{.name = "@mode", .kind = XML_WORD, VM(tsc_mode), .words = tsc_mode_words},
	{.name = "@present",
		.kind = XML_ENUM,
		.names = VM_ENUM_TRISTATE,
		VM(timers[VM_TIMER_TSC]),
		.words = always_words},
	KEEP("catchup", "late ticks are delivered as time allows"),
	{0},
};
static const struct xml_rule clock_rows[] = {
	{.name = "@offset",
		.kind = XML_ENUM,
		.flags = XML_FIXED_IF_EMPTY,
		.fixed = "utc",
		.names = VM_ENUM_CLOCK_OFFSET,
		VM(clock_offset),
		.words = offset_words},
	{.name = "@adjustment",
		.kind = XML_INT,
		.flags = XML_ALWAYS,
		VM(clock_adjustment_s),
		.words = adjustment_words,
		.print_if = is_variable},
	{.name = "@basis",
		.kind = XML_WORD,
		VM(clock_basis_localtime),
		.words = basis_words,
		.print_if = is_variable},
	{.name = "@start",
		.kind = XML_INT,
		.flags = XML_ALWAYS,
		VM(clock_start_s),
		.print_if = is_absolute},
	TIMER("rtc", VM_TIMER_RTC, always_words),
	TIMER("pit", VM_TIMER_PIT, always_words),
	TIMER("hpet", VM_TIMER_HPET, hpet_words),
	TIMER("kvmclock", VM_TIMER_KVMCLOCK, NULL),
	{.name = "timer", .kind = XML_ELEMENT, .when = "name=tsc", .rows = tsc_rows},
	KEEP_WHEN("timer", "name=hypervclock", "Hyper-V enlightenments are not offered yet"),
	KEEP_WHEN("timer", "name=platform", "Xen only"),
	KEEP_WHEN("timer", "name=armvtimer", NOT_ON_X86),
	{0},
};

static const struct xml_word action_words[] = {
	{.word = "destroy", .value = DOMAIN_ACTION_DESTROY},
	{.word = "restart", .value = DOMAIN_ACTION_RESTART},
	{"preserve", DOMAIN_ACTION_PRESERVE, CONTRACT_ADAPTED,
		"only a crashed guest's memory is kept: destroy"},
	{"rename-restart", DOMAIN_ACTION_RENAME_RESTART, CONTRACT_ADAPTED,
		"the domain restarts under its own name"},
	{0},
};
static const struct xml_word crash_words[] = {
	{.word = "destroy", .value = DOMAIN_ACTION_DESTROY},
	{.word = "restart", .value = DOMAIN_ACTION_RESTART},
	{.word = "preserve", .value = DOMAIN_ACTION_PRESERVE},
	{"rename-restart", DOMAIN_ACTION_RENAME_RESTART, CONTRACT_ADAPTED,
		"the domain restarts under its own name"},
	{"coredump-destroy", DOMAIN_ACTION_COREDUMP_DESTROY, CONTRACT_ADAPTED,
		"vmmd writes no core dumps: destroy"},
	{"coredump-restart", DOMAIN_ACTION_COREDUMP_RESTART, CONTRACT_ADAPTED,
		"vmmd writes no core dumps: restart"},
	{0},
};

static const struct xml_word domain_type_words[] = {
	{.word = "kvm"},
	{"qemu", 0, CONTRACT_ADAPTED, "runs under KVM: hardware virtualisation, not emulation"},
	{"*", 0, CONTRACT_REFUSED, "vmmd runs KVM guests only; write type='kvm'"},
	{0},
};

static bool has_genid(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];

	(void)f;
	return vm->genid;
}

static const struct xml_rule domain_rows[] = {
	{.name = "@type",
		.kind = XML_CONST,
		.flags = XML_REQUIRED,
		.fixed = "kvm",
		.words = domain_type_words,
		.why = "type='kvm'"},
	{.name = "@id",
		.kind = XML_CUSTOM,
		.format = domain_format_id,
		.why = "the id is given at each start"},
	{.name = "name",
		.kind = XML_STRING,
		.flags = XML_REQUIRED,
		VM(name),
		.check = vm_name_check,
		.why = "<name>"},
	{.name = "uuid", .kind = XML_UUID, VM(uuid)},
	{.name = "genid",
		.kind = XML_UUID,
		VM(genid_uuid),
		.after = domain_after_genid,
		.print_if = has_genid},
	{.name = "title", .kind = XML_STRING, HOST(title), .check = check_title},
	{.name = "description", .kind = XML_STRING, HOST(description)},
	{.name = "metadata", .kind = XML_ELEMENT, .flags = XML_OPAQUE, .rows = metadata_rows},
	{.name = "maxMemory", .kind = XML_SIZE, VM(max_memory_kib), .rows = domain_max_memory_rows},
	{.name = "memory",
		.kind = XML_SIZE,
		.flags = XML_REQUIRED,
		VM(memory_kib),
		.rows = memory_rows,
		.why = "for example <memory unit='MiB'>512</memory>"},
	{.name = "currentMemory", .kind = XML_SIZE, VM(current_memory_kib), .rows = unit_rows},
	KEEP("blkiotune", "disks are limited one by one: write <iotune> in <disk>"),
	{.name = "memtune", .kind = XML_ELEMENT, .rows = memtune_rows},
	{.name = "memoryBacking", .kind = XML_ELEMENT, .rows = memory_backing_rows},
	{.name = "vcpu",
		.kind = XML_UINT,
		VM(vcpus_max),
		.rows = vcpu_rows,
		.after = domain_after_vcpu},
	DROP("vcpus",
		"vCPUs come in their order, and all but the first can go: vcpu/@current says how "
		"many are there"),
	{.name = "iothreads", .kind = XML_UINT, HOST(iothreads)},
	{.name = "iothreadids",
		.kind = XML_ELEMENT,
		.rows = iothreadids_rows,
		.after = domain_after_iothreadids,
		.print_if = has_iothreadids},
	KEEP("defaultiothread", "the worker's own loop has no pool of threads"),
	{.name = "cputune", .kind = XML_ELEMENT, .rows = cputune_rows},
	{.name = "numatune", .kind = XML_ELEMENT, .rows = numatune_rows},
	KEEP("resource", "domains live in vmmd.slice"),
	{.name = "sysinfo", .kind = XML_ELEMENT, .when = "type=smbios", .rows = sysinfo_rows},
	REFUSE("sysinfo", "there is no fw_cfg device; write type='smbios'"),
	REFUSE("bootloader", "Xen only; add <os><kernel> instead"),
	REFUSE("bootloader_args", "Xen only; add <os><cmdline> instead"),
	{.name = "os",
		.kind = XML_ELEMENT,
		.flags = XML_REQUIRED | XML_ALWAYS,
		.rows = os_rows,
		.why = "<os><type arch='x86_64' machine='q35'>hvm</type></os>"},
	KEEP("idmap", "containers only"),
	{.name = "features", .kind = XML_ELEMENT, .rows = feature_rows},
	{.name = "cpu", .kind = XML_ELEMENT, .rows = cpu_rows, .after = domain_after_cpu},
	{.name = "clock", .kind = XML_ELEMENT, .flags = XML_ALWAYS, .rows = clock_rows},
	{.name = "on_poweroff", .kind = XML_WORD, HOST(on_poweroff), .words = action_words},
	{.name = "on_reboot", .kind = XML_WORD, HOST(on_reboot), .words = action_words},
	{.name = "on_crash", .kind = XML_WORD, HOST(on_crash), .words = crash_words},
	KEEP("on_lockfailure", "images are locked before the start"),
	KEEP("pm", "the guest has no sleep states"),
	KEEP("perf", "the host's performance events are not collected"),
	{.name = "devices", .kind = XML_ELEMENT, .rows = domain_device_rows},
	KEEP("seclabel", "each worker runs as a user of its own, whatever the label"),
	KEEP("keywrap", NOT_ON_X86),
	REFUSE("launchSecurity", "encrypted guests are not supported; remove it"),
	REFUSE("throttlegroups", "I/O is not throttled; remove it"),
	REFUSE("qemu:commandline", "there is no QEMU to pass this to; use libvirt's elements"),
	REFUSE("qemu:override", "there is no QEMU to pass this to; use libvirt's elements"),
	REFUSE("qemu:capabilities", "there is no QEMU to pass this to; remove it"),
	KEEP("qemu:deprecation", "there is no QEMU to pass this to"),
	{0},
};

const struct xml_rule domain_root = {.name = "domain", .kind = XML_ELEMENT, .rows = domain_rows};
