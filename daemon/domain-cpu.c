/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What processors a domain was given: told by its worker before the guest runs, kept beside the status of the run, and shown
 * in the live XML as a model with features, check='full', and leaf by leaf in <vmmd:cpuid>. That document gives the same on every host that
 * can, and is refused on others. A definition with check='full' that has no leaves gets those of its first start at each later one: they are kept
 * beside it (STATE/cpuid), with a digest of what it asked for, as it may ask for something else by then.
 *
 * Tested by tests/unit/test-domain-cpu.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "daemon/cpu-compare.h"
#include "daemon/digest.h"
#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define FILE_NAME    "cpuid.json"
#define FILE_VERSION 1
#define LEAF_NUMBERS 6

static struct json_object *leaf_to_json(const struct vm_cpuid_leaf *leaf)
{
	const uint32_t numbers[LEAF_NUMBERS] = {
		leaf->leaf, leaf->subleaf, leaf->eax, leaf->ebx, leaf->ecx, leaf->edx};
	struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < LEAF_NUMBERS; i++)
		json_object_array_add(array, json_object_new_int64(numbers[i]));
	return array;
}

static struct json_object *to_json(const struct proto_cpuid *cpuid)
{
	struct json_object *o = json_object_new_object(), *leaves = json_object_new_array();

	for (uint32_t i = 0; i < cpuid->n; i++)
		json_object_array_add(leaves, leaf_to_json(&cpuid->leaves[i]));
	json_object_object_add(o, "version", json_object_new_int(FILE_VERSION));
	json_object_object_add(o, "tsc_khz", json_object_new_int64(cpuid->tsc_khz));
	json_object_object_add(o, "leaves", leaves);
	return o;
}

/* What was asked for; not the topology, which is made anew, nor what makes no difference to leaves. */
static void digest_asked(const struct vm_config *vm, char ret[DIGEST_TEXT_SIZE])
{
	const struct vm_cpu *cpu = &vm->cpu;
	const char head[] = {(char)cpu->mode, (char)cpu->check, (char)cpu->match, vm->tsc_hz != 0};
	struct digest digest = digest_of(head, sizeof(head));

	digest = digest_more(digest, cpu->model, strlen(cpu->model) + 1);
	digest = digest_more(digest, cpu->vendor, strlen(cpu->vendor) + 1);
	for (uint32_t i = 0; i < cpu->n_features; i++) {
		const struct vm_cpu_feature *f = &cpu->features[i];
		const char policy = (char)f->policy;

		digest = digest_more(digest, f->name, strlen(f->name) + 1);
		digest = digest_more(digest, &policy, 1);
	}
	digest_format(digest, ret);
}

static bool keeps_cpuid(const struct domain *d)
{
	const struct vm_cpu *cpu = &d->live->vm.cpu;

	return cpu->mode == VM_CPU_MODE_CUSTOM && cpu->check == VM_CPU_CHECK_FULL;
}

static int save_for_later(const struct domain *d, struct json_object *o)
{
	char asked[DIGEST_TEXT_SIZE];

	if (!keeps_cpuid(d) || !domain_is_persistent(d) || d->live->vm.n_cpuid ||
		d->run->is_recalled)
		return 0;
	digest_asked(&d->live->vm, asked);
	json_object_object_add(o, "asked", json_object_new_string(asked));
	return store_save_cpuid(d->manager->store, d->uuid,
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
}

static void save(const struct domain *d, const struct proto_cpuid *cpuid)
{
	struct json_object *o = to_json(cpuid);
	int r = store_save_runtime(&d->manager->store->domains, d->uuid, FILE_NAME,
		json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));

	if (r < 0)
		(void)log_warning_errno(r,
			"cannot save what processors domain '%s' has (a new daemon would have to "
			"ask for it): %m",
			d->name);
	r = save_for_later(d, o);
	if (r < 0)
		(void)log_warning_errno(r,
			"cannot save what processors domain '%s' has (they may be others at its "
			"next "
			"start): %m",
			d->name);
	json_object_put(o);
}

void domain_cpuid_told(struct domain *d, const struct proto_cpuid *cpuid)
{
	struct proto_cpuid *copy;

	/* What it was given before the guest ran is what it has: a worker that was taken over says nothing new. */
	if (!d->run || d->run->cpuid)
		return;
	copy = malloc(sizeof(*copy));
	if (!copy)
		return;
	memcpy(copy, cpuid, sizeof(*copy));
	d->run->cpuid = copy;
	save(d, copy);
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

static bool parse_leaf(struct json_object *array, struct vm_cpuid_leaf *ret)
{
	uint32_t numbers[LEAF_NUMBERS];

	if (!json_object_is_type(array, json_type_array) ||
		json_object_array_length(array) != LEAF_NUMBERS)
		return false;
	for (size_t i = 0; i < LEAF_NUMBERS; i++)
		if (!get_u32(json_object_array_get_idx(array, i), &numbers[i]))
			return false;
	*ret = (struct vm_cpuid_leaf){
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
		json_object_array_length(leaves) > VM_MAX_CPUID_LEAVES)
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

static void set_leaves(struct vm_config *vm, const struct proto_cpuid *cpuid)
{
	vm->n_cpuid = cpuid->n;
	memcpy(vm->cpuid, cpuid->leaves, cpuid->n * sizeof(vm->cpuid[0]));
}

void domain_end_recall(struct domain *d)
{
	if (d->run->is_recalled)
		d->live->vm.n_cpuid = 0;
}

static int load_kept(const struct domain *d, struct proto_cpuid *ret)
{
	_cleanup_(freep) char *text = NULL;
	char asked[DIGEST_TEXT_SIZE];
	struct json_object *o;
	const char *had;
	int r = store_load_cpuid(d->manager->store, d->uuid, &text);

	if (r < 0)
		return r;
	digest_asked(&d->live->vm, asked);
	o = json_tokener_parse(text);
	had = json_object_get_string(json_object_object_get(o, "asked"));
	r = !parse(o, ret) || !had ? -EUCLEAN : streq(had, asked) ? 0 : -ESTALE;
	json_object_put(o);
	return r;
}

void domain_recall_cpuid(struct domain *d)
{
	_cleanup_(freep) struct proto_cpuid *had = d->run->cpuid;
	int r = 0;

	d->run->cpuid = NULL;
	d->run->is_recalled = false;
	if (d->live->vm.n_cpuid || (!keeps_cpuid(d) && !(d->restarting && had)))
		return;
	if (!had || !d->restarting) {
		free(had);
		had = malloc(sizeof(*had));
		r = had ? load_kept(d, had) : -ENOMEM;
	}
	d->run->is_recalled = r == 0;
	if (r == 0)
		set_leaves(&d->live->vm, had);
	else if (r != -ENOENT && r != -ESTALE)
		(void)log_warning_errno(r,
			"cannot read what processors domain '%s' had: it gets them anew: %m",
			d->name);
}

static void to_table(const struct proto_cpuid *cpuid, struct cpuid_table *ret)
{
	ret->n = MIN(cpuid->n, (uint32_t)CPUID_MAX_ENTRIES);
	for (unsigned i = 0; i < ret->n; i++) {
		const struct vm_cpuid_leaf *leaf = &cpuid->leaves[i];

		ret->entries[i] = (struct kvm_cpuid_entry2){.function = leaf->leaf,
			.index = leaf->subleaf & ~VM_CPUID_INDEXED,
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
	ret->match = VM_CPU_MATCH_EXACT;
	ret->check = VM_CPU_CHECK_FULL;
	ret->fallback_forbid = 1;
	keep_forced(asked, ret);
	name = cpu_vendor_name(vendor);
	if (asked->mode != VM_CPU_MODE_CUSTOM && name)
		(void)str_copy(ret->vendor, sizeof(ret->vendor), name);
}

void domain_machine_given(const struct proto_cpuid *cpuid, struct vm_config *vm)
{
	struct vm_cpu asked = vm->cpu;

	domain_cpu_given(cpuid, &asked, &vm->cpu);
	vm->n_cpuid = 0;
	if (vm->cpu.mode == VM_CPU_MODE_CUSTOM && vm->cpu.check == VM_CPU_CHECK_FULL)
		set_leaves(vm, cpuid);
}
