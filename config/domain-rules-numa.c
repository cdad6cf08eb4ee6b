/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: nodes of memory: <numatune>, and <numa> of <cpu>. What they have to do with each other is
 * domain-numa.c's.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#include "config/domain-rules.h"

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
const struct xml_rule domain_numatune_rows[] = {
	{.name = "memory",
		.kind = XML_ELEMENT,
		.rows = numa_memory_rows,
		.after = domain_after_numa_memory},
	{.name = "memnode", .kind = XML_ARRAY, .array = &memnodes, .rows = memnode_rows},
	{0},
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
	{.name = "@memAccess", .kind = XML_KEEP, .words = domain_access_words},
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
const struct xml_rule domain_numa_rows[] = {
	{.name = "cell", .kind = XML_ARRAY, .array = &cells, .rows = cell_rows},
	KEEP("interconnects", "latencies and bandwidths are not told: distances are"),
	{0},
};
