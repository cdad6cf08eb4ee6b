/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: <cpu>, all but <numa>.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#include "config/domain-rules.h"

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

const struct xml_rule domain_cpu_rows[] = {
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
	{.name = "numa", .kind = XML_ELEMENT, .rows = domain_numa_rows, .after = domain_after_numa},
	{0},
};
