/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The verdict table of domain XML: the worker's threads: <vcpu>, <iothreadids> and <cputune>.
 *
 * Tested by tests/unit/test-domain-xml.c.
 */
#include "config/domain-rules.h"

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
const struct xml_rule domain_vcpu_rows[] = {
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
const struct xml_rule domain_iothreadids_rows[] = {
	{.name = "iothread", .kind = XML_ARRAY, .array = &iothread_array, .rows = iothread_rows},
	{0},
};

/* Ids that do not go without saying. */
bool domain_has_iothreadids(const struct xml_place *place, const struct xml_formatter *f)
{
	const struct vm_config *vm = place->base[0];
	const struct domain_config *config = place->base[1];

	(void)f;
	for (uint32_t i = 0; i < vm->n_iothreads; i++)
		if (vm->iothreads[i] != i + 1)
			return true;
	return config->own_iothreadids;
}

const struct xml_rule domain_cputune_rows[] = {
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
