/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers about a domain's memory: how much it has, and what its guest says of it. Tested by tests/unit/test-dbus.c. */
#include <string.h>

#include "daemon/api.h"
#include "daemon/host.h"
#include "daemon/process.h"
#include "daemon/stats-view.h"

#define FLAG_LIVE   (1U << 0)
#define FLAG_CONFIG (1U << 1)

/* 0: what runs if the domain does, else the definition. */
static int check_flags(
	const struct api_call *call, const struct domain *d, uint32_t *ret, struct error *error)
{
	if (!d || api_check_flags(call, FLAG_LIVE | FLAG_CONFIG, error) < 0)
		return -EINVAL;
	*ret = api_arg_uint(call, "flags");
	if (!*ret)
		*ret = domain_is_active(d) ? FLAG_LIVE : FLAG_CONFIG;
	if (*ret & FLAG_LIVE && !domain_is_active(d))
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	if (*ret & FLAG_CONFIG && !d->definition)
		return error_set(error, ERROR_OPERATION_INVALID,
			"transient domains do not have any persistent config");
	return 0;
}

struct change {
	uint64_t memory_kib, max_memory_kib; /* 0: stays */
	bool has_period;
	uint32_t period_s;
};

static int change_config(
	const struct change *change, struct domain_config *config, struct error *error)
{
	struct vm_config *vm = &config->vm;
	uint64_t step = vm->hugepage_kib ? vm->hugepage_kib : 4;
	uint64_t devices_kib = vm_config_total_kib(vm) - vm->memory_kib;
	char reason[256];

	if (change->max_memory_kib && vm->n_cells)
		return error_set(error, ERROR_OPERATION_INVALID,
			"initial memory size of a domain with NUMA nodes cannot be modified with "
			"this API");
	if (change->max_memory_kib && change->max_memory_kib <= devices_kib)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"the maximum counts the memory devices, which have %llu KiB",
			(unsigned long long)devices_kib);
	if (change->max_memory_kib)
		vm->memory_kib = DIV_ROUND_UP(change->max_memory_kib - devices_kib, step) * step;
	if (change->memory_kib > vm->memory_kib + devices_kib)
		return error_set(
			error, ERROR_INVALID_ARGUMENT, "cannot set memory higher than max memory");
	if (change->memory_kib)
		vm->current_memory_kib = MIN(change->memory_kib, vm->memory_kib);
	/* As libvirt has it: what there is at most takes what there is along only downwards. */
	vm->current_memory_kib = MIN(vm->current_memory_kib, vm->memory_kib);
	if (change->has_period && vm->balloon.model == VM_BALLOON_NONE)
		return error_set(error, ERROR_OPERATION_INVALID,
			"Memory balloon model must be virtio to set the collection period");
	if (change->has_period)
		vm->balloon.stats_period_s = change->period_s;
	if (vm_config_validate(vm, reason, sizeof(reason)) < 0)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s", reason);
	return 0;
}

/* 'only_check': whether it could be made, and nothing changes. */
static int change_definition(
	struct domain *d, const struct change *change, bool only_check, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	int r;

	if (definition_parse(d->definition, &config) < 0)
		return error_set(
			error, ERROR_INTERNAL, "cannot read the definition of '%s'", d->name);
	r = change_config(change, config, error);
	return r < 0 || only_check ? r : manager_redefine(d->manager, d, config, error);
}

/* A change of what runs, which the definition is to follow. */
struct pending {
	struct api_call *call;
	struct change change;
	bool to_config;
	uint8_t uuid[16];
};

/* As it is now: it may be another one than when the worker was asked. */
static int let_definition_follow(const struct pending *p, struct error *error)
{
	struct manager *m = p->call->manager;
	struct domain *d;

	/* What was defined meanwhile comes first. */
	manager_commit(m);
	d = manager_find_uuid(m, p->uuid);
	if (!d || !d->definition)
		return error_set(error, ERROR_OPERATION_FAILED, "the definition is gone meanwhile");
	return change_definition(d, &p->change, /* only_check= */ false, error);
}

static void on_live_changed(void *userdata, const struct error *error)
{
	_cleanup_(freep) struct pending *p = userdata;
	struct error e = {0};

	if (!error && p->to_config && let_definition_follow(p, &e) < 0)
		error = &e;
	api_done(p->call, error);
}

/* What runs first: it may refuse, and then the definition stays as well. */
static int change_live(struct api_call *call, struct domain *d, const struct change *change,
	bool to_config, struct error *error)
{
	struct pending *p = malloc(sizeof(*p));
	int r;

	if (!p)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*p = (struct pending){api_call_ref(call), *change, to_config, {0}};
	memcpy(p->uuid, d->uuid, sizeof(p->uuid));
	r = change->has_period
		? domain_set_stats_period(d, change->period_s, on_live_changed, p, error)
		: domain_set_memory(d, change->memory_kib, on_live_changed, p, error);
	if (r < 0) {
		(void)api_call_unref(call);
		free(p);
	}
	return r;
}

static int make_change(struct api_call *call, struct domain *d, const struct change *change,
	uint32_t flags, struct error *error)
{
	bool to_live = flags & FLAG_LIVE, to_config = flags & FLAG_CONFIG;
	int r = to_config ? change_definition(d, change, /* only_check= */ to_live, error) : 0;

	if (r == 0 && to_live)
		return change_live(call, d, change, to_config, error);
	if (r == 0)
		api_call_reply(call, NULL);
	return r;
}

int api_set_memory(struct api_call *call, struct error *error)
{
	struct change change = {.memory_kib = api_arg_uint64(call, "kib")};
	struct domain *d = api_arg_domain(call, error);
	uint32_t flags;
	int r = check_flags(call, d, &flags, error);

	if (r < 0)
		return r;
	if (!change.memory_kib)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"kib is 0; write how much memory the guest is to have");
	return make_change(call, d, &change, flags, error);
}

int api_set_max_memory(struct api_call *call, struct error *error)
{
	struct change change = {.max_memory_kib = api_arg_uint64(call, "kib")};
	struct domain *d = api_arg_domain(call, error);
	uint32_t flags;
	int r = check_flags(call, d, &flags, error);

	if (r < 0)
		return r;
	if (flags & FLAG_LIVE)
		return error_set(error, ERROR_OPERATION_INVALID,
			"cannot resize the maximum memory on an active domain");
	if (!change.max_memory_kib)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"kib is 0; write how much memory the guest may have");
	return make_change(call, d, &change, flags, error);
}

int api_set_memory_stats_period(struct api_call *call, struct error *error)
{
	struct change change = {.has_period = true, .period_s = api_arg_uint(call, "seconds")};
	struct domain *d = api_arg_domain(call, error);
	uint32_t flags;
	int r = check_flags(call, d, &flags, error);

	if (r < 0)
		return r;
	if (change.period_s > VM_MAX_BALLOON_PERIOD)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"a period of %u seconds; write at most %u", change.period_s,
			VM_MAX_BALLOON_PERIOD);
	return make_change(call, d, &change, flags, error);
}

static void add(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

static struct json_object *memory_stats(const struct domain *d)
{
	struct json_object *o = json_object_new_object();
	struct process_usage usage;
	struct domain_memory m;
	bool has_balloon = domain_read_memory_stats(d, &m);

	add(o, "actual", domain_current_memory_kib(d));
	for (size_t i = 0; i < DOMAIN_MEMORY_STATS; i++)
		if (m.known >> domain_memory_stats[i].tag & 1)
			add(o, domain_memory_stats[i].name, m.values[i]);
	if (has_balloon)
		add(o, "last_update", m.updated_s);
	if (d->worker && process_usage(worker_pid(d->worker), &usage) == 0)
		add(o, "rss", usage.resident_bytes / 1024);
	if (has_balloon) {
		add(o, "given_back", m.given_back / 1024);
		add(o, "reported", m.reported / 1024);
	}
	return o;
}

/* 'userdata' is the call: the domain is looked for anew, it may have ended. */
static void on_stats(void *userdata, const struct error *error)
{
	struct api_call *call = userdata;
	struct error e = {0};
	const struct domain *d = api_arg_domain(call, &e);
	struct json_object *out;

	(void)error;
	if (d && !domain_is_active(d))
		(void)error_set(&e, ERROR_OPERATION_INVALID, "domain is not running");
	if (e.code != ERROR_NONE) {
		api_call_fail(call, &e);
	} else {
		out = json_object_new_object();
		json_object_object_add(out, "stats", memory_stats(d));
		api_call_reply(call, out);
	}
	(void)api_call_unref(call);
}

int api_get_memory_stats(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);

	if (!d)
		return -ENOENT;
	if (!domain_is_active(d))
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	if (domain_ask_stats(d, on_stats, api_call_ref(call)) != 0)
		on_stats(call, NULL);
	return 0;
}

static struct json_object *mmu_stats(const struct domain *d)
{
	static const char *const names[VM_MMU_X_MAX] = VM_MMU_NAMES;
	const struct vm_stats_mmu *mmu = &stats_view_page(d->stats)->mmu;
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "paging", json_object_new_string(host_paging("")));
	for (unsigned i = 0; i < VM_MMU_X_MAX; i++)
		if (stat_read(&mmu->known) >> i & 1)
			add(o, names[i], stat_read(&mmu->values[i]));
	return o;
}

static void on_mmu_stats(void *userdata, const struct error *error)
{
	struct api_call *call = userdata;
	struct error e = {0};
	const struct domain *d = error ? NULL : api_arg_domain(call, &e);
	struct json_object *out;

	if (d && !d->stats)
		(void)error_set(&e, ERROR_OPERATION_INVALID, "domain is not running");
	if (error || e.code != ERROR_NONE) {
		api_call_fail(call, error ?: &e);
	} else {
		out = json_object_new_object();
		json_object_object_add(out, "stats", mmu_stats(d));
		api_call_reply(call, out);
	}
	(void)api_call_unref(call);
}

int api_get_mmu_stats(struct api_call *call, struct error *error)
{
	struct domain *d = api_arg_domain(call, error);
	int r;

	if (!d)
		return -ENOENT;
	r = domain_read_mmu_stats(d, on_mmu_stats, api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}
