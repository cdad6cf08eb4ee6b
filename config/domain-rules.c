/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: the whole document, rows in the order in which libvirt prints them. What a
 * row says to the user ("why") ends with what to write instead when the definition is refused.
 *
 * Tested by tests/unit/test-domain-xml.c.
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
		.rows = domain_own_memory_rows,
		.why = "for example <memory unit='MiB'>512</memory>"},
	{.name = "currentMemory",
		.kind = XML_SIZE,
		VM(current_memory_kib),
		.rows = domain_unit_rows},
	KEEP("blkiotune", "disks are limited one by one: write <iotune> in <disk>"),
	{.name = "memtune", .kind = XML_ELEMENT, .rows = domain_memtune_rows},
	{.name = "memoryBacking", .kind = XML_ELEMENT, .rows = domain_memory_backing_rows},
	{.name = "vcpu",
		.kind = XML_UINT,
		VM(vcpus_max),
		.rows = domain_vcpu_rows,
		.after = domain_after_vcpu},
	DROP("vcpus",
		"vCPUs come in their order, and all but the first can go: vcpu/@current says how "
		"many are there"),
	{.name = "iothreads", .kind = XML_UINT, HOST(iothreads)},
	{.name = "iothreadids",
		.kind = XML_ELEMENT,
		.rows = domain_iothreadids_rows,
		.after = domain_after_iothreadids,
		.print_if = domain_has_iothreadids},
	KEEP("defaultiothread", "the worker's own loop has no pool of threads"),
	{.name = "cputune", .kind = XML_ELEMENT, .rows = domain_cputune_rows},
	{.name = "numatune", .kind = XML_ELEMENT, .rows = domain_numatune_rows},
	KEEP("resource", "domains live in vmmd.slice"),
	{.name = "sysinfo",
		.kind = XML_ELEMENT,
		.when = "type=smbios",
		.rows = domain_sysinfo_rows},
	REFUSE("sysinfo", "there is no fw_cfg device; write type='smbios'"),
	REFUSE("bootloader", "Xen only; add <os><kernel> instead"),
	REFUSE("bootloader_args", "Xen only; add <os><cmdline> instead"),
	{.name = "os",
		.kind = XML_ELEMENT,
		.flags = XML_REQUIRED | XML_ALWAYS,
		.rows = domain_os_rows,
		.why = "<os><type arch='x86_64' machine='q35'>hvm</type></os>"},
	KEEP("idmap", "containers only"),
	{.name = "features", .kind = XML_ELEMENT, .rows = domain_feature_rows},
	{.name = "cpu", .kind = XML_ELEMENT, .rows = domain_cpu_rows, .after = domain_after_cpu},
	{.name = "clock", .kind = XML_ELEMENT, .flags = XML_ALWAYS, .rows = domain_clock_rows},
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
