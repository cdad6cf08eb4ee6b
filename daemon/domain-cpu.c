/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What processors a domain was given: told by its worker before the guest runs, kept beside the status of the run, and shown
 * in the live XML as a model with features, check='full'. That document gives the same features on every host that can, and
 * is refused on others.
 *
 * Tested by tests/unit/test-domain-cpu.c.
 */
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "daemon/cpu-compare.h"
#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define FILE_NAME    "cpuid.json"
#define FILE_VERSION 1
#define LEAF_NUMBERS 6

/* struct vm_cpu */
#define MATCH_EXACT 2
#define CHECK_FULL  3

static struct json_object *leaf_to_json(const struct proto_leaf *leaf)
{
	const uint32_t numbers[LEAF_NUMBERS] = {
		leaf->leaf, leaf->subleaf, leaf->eax, leaf->ebx, leaf->ecx, leaf->edx};
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < LEAF_NUMBERS; i++)
		json_object_array_add(array, json_object_new_int64(numbers[i]));
	return array;
}

static int save(const struct domain *d, const struct proto_cpuid *cpuid)
{
	struct json_object *o = json_object_new_object(), *leaves = json_object_new_array();
	int r;

	for (uint32_t i = 0; i < cpuid->n; i++)
		json_object_array_add(leaves, leaf_to_json(&cpuid->leaves[i]));
	json_object_object_add(o, "version", json_object_new_int(FILE_VERSION));
	json_object_object_add(o, "tsc_khz", json_object_new_int64(cpuid->tsc_khz));
	json_object_object_add(o, "leaves", leaves);
	r = store_save_runtime(&d->manager->store->domains, d->uuid, FILE_NAME,
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	return r;
}

void domain_cpuid_told(struct domain *d, const struct proto_cpuid *cpuid)
{
	struct proto_cpuid *copy;
	int r;

	/* What it was given before the guest ran is what it has: a worker that was taken over says nothing new. */
	if (!d->run || d->run->cpuid)
		return;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return;
	memcpy(copy, cpuid, sizeof(*copy));
	d->run->cpuid = copy;
	r = save(d, copy);
	if (r < 0)
		(void)log_warning_errno(r,
			"cannot save what processors domain '%s' has (a new daemon would have to "
			"ask for it): %m",
			d->name);
}

/* A number that fits; false: it is something else. */
static bool get_u32(struct json_object *v, uint32_t *ret)
{
	int64_t n = json_object_get_int64(v);

	if (!json_object_is_type(v, json_type_int) || n < 0 || n > UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

static bool parse_leaf(struct json_object *array, struct proto_leaf *ret)
{
	uint32_t numbers[LEAF_NUMBERS];

	if (!json_object_is_type(array, json_type_array) ||
		json_object_array_length(array) != LEAF_NUMBERS)
		return false;
	for (size_t i = 0; i < LEAF_NUMBERS; i++)
		if (!get_u32(json_object_array_get_idx(array, i), &numbers[i]))
			return false;
	*ret = (struct proto_leaf){
		numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]};
	return true;
}

static bool parse(struct json_object *o, struct proto_cpuid *ret)
{
	struct json_object *leaves;
	uint32_t version;

	if (!json_object_is_type(o, json_type_object) ||
		!get_u32(json_object_object_get(o, "version"), &version) ||
		version != FILE_VERSION ||
		!get_u32(json_object_object_get(o, "tsc_khz"), &ret->tsc_khz) ||
		!json_object_object_get_ex(o, "leaves", &leaves) ||
		!json_object_is_type(leaves, json_type_array) ||
		json_object_array_length(leaves) > PROTO_MAX_LEAVES)
		return false;
	ret->n = (uint32_t)json_object_array_length(leaves);
	for (uint32_t i = 0; i < ret->n; i++)
		if (!parse_leaf(json_object_array_get_idx(leaves, i), &ret->leaves[i]))
			return false;
	return true;
}

void domain_load_cpuid(struct domain *d)
{
	_cleanup_(freep) struct proto_cpuid *cpuid = calloc(1, sizeof(*cpuid));
	_cleanup_(freep) char *text = NULL;
	struct json_object *o;

	if (!cpuid ||
		store_load_runtime(&d->manager->store->domains, d->uuid, FILE_NAME,
			STORE_MAX_STATUS_BYTES, &text) < 0)
		return;
	o = json_tokener_parse(text);
	if (parse(o, cpuid))
		d->run->cpuid = TAKE_PTR(cpuid);
	else
		log_warning("domain '%s': " FILE_NAME " cannot be read, its worker tells anew",
			d->name);
	json_object_put(o);
}

static void to_table(const struct proto_cpuid *cpuid, struct cpuid_table *ret)
{
	ret->n = MIN(cpuid->n, (uint32_t)CPUID_MAX_ENTRIES);
	for (unsigned i = 0; i < ret->n; i++) {
		const struct proto_leaf *leaf = &cpuid->leaves[i];

		ret->entries[i] = (struct kvm_cpuid_entry2){.function = leaf->leaf,
			.index = leaf->subleaf & ~PROTO_LEAF_INDEXED,
			.eax = leaf->eax,
			.ebx = leaf->ebx,
			.ecx = leaf->ecx,
			.edx = leaf->edx};
	}
}

static enum vm_cpu_policy policy_of(const struct vm_cpu *cpu, unsigned feature)
{
	for (uint32_t i = 0; i < cpu->n_features; i++)
		if (cpu_feature_find(cpu->features[i].name) == (int)feature)
			return cpu->features[i].policy;
	return VM_CPU_POLICY_DEFAULT;
}

/* What the host need not have stays so. */
static void keep_forced(const struct vm_cpu *asked, struct vm_cpu *given)
{
	for (uint32_t i = 0; i < given->n_features; i++) {
		struct vm_cpu_feature *f = &given->features[i];
		int index = cpu_feature_find(f->name);

		if (f->policy == VM_CPU_POLICY_REQUIRE && index >= 0 &&
			policy_of(asked, (unsigned)index) == VM_CPU_POLICY_FORCE)
			f->policy = VM_CPU_POLICY_FORCE;
	}
}

void domain_cpu_given(
	const struct proto_cpuid *cpuid, const struct vm_cpu *asked, struct vm_cpu *ret)
{
	struct cpu_feature_set features;
	struct cpuid_table table;
	struct cpuid_host host;
	enum cpu_vendor vendor;
	const char *name;

	*ret = *asked;
	if (!cpuid || asked->mode == VM_CPU_MODE_HOST_PASSTHROUGH ||
		asked->mode == VM_CPU_MODE_MAXIMUM)
		return;
	to_table(cpuid, &table);
	host = (struct cpuid_host){.supported = table.entries, .n_supported = table.n};
	vendor = cpuid_host_vendor(&host);
	cpuid_table_features(&table, &features);
	cpu_describe(&features, asked->mode == VM_CPU_MODE_CUSTOM ? asked->model : NULL, vendor,
		cpuid_host_signature(&host), ret);
	ret->match = MATCH_EXACT;
	ret->check = CHECK_FULL;
	ret->fallback_forbid = 1;
	keep_forced(asked, ret);
	name = cpu_vendor_name(vendor);
	if (asked->mode != VM_CPU_MODE_CUSTOM && name)
		(void)str_copy(ret->vendor, sizeof(ret->vendor), name);
}
