/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: memory: <memory>, <maxMemory>, <memoryBacking>, <memtune>, and <memory> of <devices>.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#include "config/domain-rules.h"

#define MEM(member) XML_FIELD(0, struct vm_memory, member)

const struct xml_rule domain_unit_rows[] = {
	{.name = "@unit", .kind = XML_UNIT},
	{0},
};

const struct xml_rule domain_own_memory_rows[] = {
	{.name = "@unit", .kind = XML_UNIT},
	KEEP("@dumpCore", "vmmd writes no core dumps"),
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
const struct xml_word domain_access_words[] = {
	{.word = "shared"},
	{"private", 0, CONTRACT_ADAPTED,
		"memory is mapped shared, but no process other than the guest's worker has it"},
	{0},
};
static const struct xml_rule access_rows[] = {
	{.name = "@mode", .kind = XML_KEEP, .words = domain_access_words},
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
const struct xml_rule domain_memory_backing_rows[] = {
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

const struct xml_rule domain_memtune_rows[] = {
	{.name = "hard_limit", .kind = XML_SIZE, HOST(memtune.hard_kib), .rows = domain_unit_rows},
	{.name = "soft_limit", .kind = XML_SIZE, HOST(memtune.soft_kib), .rows = domain_unit_rows},
	{.name = "min_guarantee",
		.kind = XML_SIZE,
		HOST(memtune.min_kib),
		.rows = domain_unit_rows,
		.verdict = CONTRACT_ADAPTED,
		.why = "the host's memory policy takes nothing below it; no control group "
		       "guarantees memory"},
	{.name = "swap_hard_limit",
		.kind = XML_SIZE,
		HOST(memtune.swap_hard_kib),
		.rows = domain_unit_rows},
	{0},
};

const struct xml_rule domain_max_memory_rows[] = {
	{.name = "@slots", .kind = XML_UINT, VM(memory_slots)},
	{.name = "@unit", .kind = XML_UNIT},
	{0},
};

/* What the guest has of it is only known of one that runs. */
static void format_current(struct xml_formatter *f, const struct xml_rule *rule,
	const struct xml_place *place, unsigned depth, struct xml_buf *out)
{
	const struct domain_memory_device *memory = place->base[1];

	(void)rule;
	if (!f->user)
		return;
	xml_buf_indent(out, depth);
	xml_buf_addf(out, "<current unit='KiB'>%llu</current>\n",
		(unsigned long long)memory->current_kib);
}

static int parse_current(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	(void)node;
	return xml_verdict(p, place, CONTRACT_IGNORED, "the guest says how much it has");
}

static const struct xml_rule target_rows[] = {
	KEEP("@dynamicMemslots", "memory slots always grow with what is requested"),
	{.name = "size",
		.kind = XML_SIZE,
		.flags = XML_REQUIRED,
		MEM(size_kib),
		.rows = domain_unit_rows,
		.why = "for example <size unit='GiB'>4</size>"},
	{.name = "node", .kind = XML_UINT, MEM(node)},
	{.name = "block", .kind = XML_SIZE, MEM(block_kib), .rows = domain_unit_rows},
	{.name = "requested",
		.kind = XML_SIZE,
		.flags = XML_ALWAYS,
		MEM(requested_kib),
		.rows = domain_unit_rows},
	{.name = "current", .kind = XML_CUSTOM, .parse = parse_current, .format = format_current},
	DROP("address", "the place in the guest's addresses is chosen at each start"),
	{0},
};

#define WRITE_VIRTIO_MEM "; write model='virtio-mem'"
static const struct xml_word model_words[] = {
	{.word = "virtio-mem"},
	{"dimm", 0, CONTRACT_REFUSED,
		"there are no DIMMs that could be unplugged" WRITE_VIRTIO_MEM},
	{"nvdimm", 0, CONTRACT_REFUSED, "there is no persistent memory; use a disk"},
	{"virtio-pmem", 0, CONTRACT_REFUSED, "there is no persistent memory; use a disk"},
	{"sgx-epc", 0, CONTRACT_REFUSED, "there are no SGX enclaves; remove it"},
	{"*", 0, CONTRACT_REFUSED, "no such memory device" WRITE_VIRTIO_MEM},
	{0},
};
const struct xml_rule domain_memory_rows[] = {
	{.name = "@model",
		.kind = XML_CONST,
		.flags = XML_REQUIRED,
		.fixed = "virtio-mem",
		.words = model_words,
		.why = "model='virtio-mem'"},
	KEEP("@access",
		"memory is mapped shared, but no process other than the guest's worker has it"),
	KEEP("@discard", "memory files have no content to discard"),
	KEEP("source", "it comes from the guest's memory file: <memoryBacking> decides"),
	{.name = "target",
		.kind = XML_ELEMENT,
		.flags = XML_REQUIRED,
		.rows = target_rows,
		.why = "<target> with <size> and <requested>"},
	ALIAS("virtiomem"),
	PCI_ADDRESS(MEM(pci)),
	{0},
};
const struct xml_array domain_memories = {
	.count_offset = offsetof(struct vm_config, n_memories),
	.offset = {offsetof(struct vm_config, memories), offsetof(struct domain_config, memories)},
	.stride = {sizeof(struct vm_memory), sizeof(struct domain_memory_device)},
	.max = VM_MAX_MEMORIES,
};

int domain_after_memory(struct xml_parser *p, xmlNode *node, const struct xml_place *place)
{
	struct domain_memory_device *memory = place->base[1];

	(void)p;
	(void)node;
	memory->number = (uint8_t)place->index;
	return 0;
}
