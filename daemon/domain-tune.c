/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * <cputune>, <memtune> and of <numatune> what is restrictive: where the threads of a worker run, and what its control group may use.
 *
 *	pins	sched_setaffinity(2) by the daemon, on threads found below /proc/PID/task (process.h): at the start, before the guest
 *		runs, and when they change. Without a pin a thread runs where vcpu/@cpuset says
 *	limits	the control group's (cgroup.h). There is one for the whole worker, so a quota of each vCPU becomes what all
 *		that are on may have together, and those of the emulator and of each iothread are added to it
 *
 * What runs has it in its live XML, so a daemon that comes later knows. A change that needs systemd's answer is noted when that has
 * come, if the domain still runs.
 *
 * Tested by tests/unit/test-domain-tune.c.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/domain-internal.h"
#include "daemon/jail.h"
#include "daemon/manager.h"
#include "daemon/memory-limit.h"
#include "daemon/process.h"
#include "vmm-core/base/log.h"

/* Limits. */

static void add_quota(
	const struct domain_quota *q, unsigned n, uint64_t period_us, uint64_t *sum_us)
{
	uint64_t own_us = q->period_us ?: DOMAIN_PERIOD_DEFAULT_US;

	/* At most DOMAIN_QUOTA_MAX_US: 128 bits hold the product. */
	*sum_us += (uint64_t)((unsigned __int128)(uint64_t)q->quota_us * n * period_us / own_us);
}

/* The tightest of what is given, in the vCPUs' period if they have a quota, else in the global one. */
static void quota_of(const struct domain_config *config, struct cgroup_limits *ret)
{
	const struct domain_cputune *tune = &config->cputune;
	const struct domain_quota *base = tune->vcpu.quota_us > 0 ? &tune->vcpu : &tune->global;
	uint64_t sum_us = 0, global_us = 0;

	ret->period_us = base->period_us ?: DOMAIN_PERIOD_DEFAULT_US;
	if (tune->vcpu.quota_us > 0) {
		add_quota(&tune->vcpu, config->vm.vcpus, ret->period_us, &sum_us);
		if (tune->emulator.quota_us > 0)
			add_quota(&tune->emulator, 1, ret->period_us, &sum_us);
		if (tune->iothread.quota_us > 0)
			add_quota(&tune->iothread, config->vm.n_iothreads, ret->period_us, &sum_us);
	}
	if (tune->global.quota_us > 0)
		add_quota(&tune->global, 1, ret->period_us, &global_us);
	ret->quota_us = sum_us && global_us ? MIN(sum_us, global_us) : MAX(sum_us, global_us);
	if (ret->quota_us)
		ret->quota_us = MAX(ret->quota_us, (uint64_t)DOMAIN_QUOTA_MIN_US);
	else
		ret->period_us = 0;
}

static uint64_t bytes_of(uint64_t kib)
{
	if (!kib)
		return 0;
	return kib >= DOMAIN_MEMTUNE_UNLIMITED_KIB ? CGROUP_UNLIMITED : KIB(kib);
}

/* One group for all cells: what any of them may use. */
static uint64_t nodes_of(const struct domain_numatune *tune)
{
	uint64_t nodes = 0;

	if (tune->mode != DOMAIN_NUMA_RESTRICTIVE)
		return 0;
	for (uint32_t i = 0; i < tune->n_memnodes; i++)
		nodes |= tune->memnodes[i].nodes[0];
	return nodes | tune->nodes[0];
}

void domain_limits(const struct domain_config *config, const struct cgroup_root *root,
	struct cgroup_limits *ret)
{
	const struct vm_config *vm = &config->vm;
	uint64_t granted_kib = memory_granted_kib(config);

	*ret = (struct cgroup_limits){
		.memory_bytes = bytes_of(config->memtune.hard_kib)
			?: KIB(granted_kib) + cgroup_memory_extra(granted_kib),
		.pids = jail_threads(vm->vcpus_max, vm->n_disks, vm->n_iothreads),
		.memory_soft_bytes = bytes_of(config->memtune.soft_kib),
		.swap_bytes = bytes_of(config->memtune.swap_hard_kib),
		.shares = root ? MIN(config->cputune.shares, cgroup_shares_max(root))
			       : config->cputune.shares,
	};
	ret->nodes = nodes_of(&config->numatune);
	quota_of(config, ret);
}

static int set_limits(struct domain *d, const struct domain_config *config, cgroup_done_fn done,
	void *userdata, struct error *error)
{
	const struct cgroup_root *root = d->manager->cgroup_root;
	uint64_t shares = config->cputune.shares;
	struct cgroup_limits old, new;

	if (d->guessed)
		return error_set(error, ERROR_OPERATION_INVALID,
			"what the domain runs with could not be read: its limits stay as they are");
	/* What it was started with may be more than this host can express (then it has the most); what is asked for now may not. */
	if (root && shares != d->live->cputune.shares && shares > cgroup_shares_max(root))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"cpu_shares %llu: control groups of this host take 1 to %llu",
			(unsigned long long)shares, (unsigned long long)cgroup_shares_max(root));
	domain_limits(d->live, root, &old);
	domain_limits(config, root, &new);
	if (memcmp(&old, &new, sizeof(new)) == 0)
		return 1;
	if (!d->cgroup)
		return error_set(error, ERROR_OPERATION_INVALID,
			"the domain has no control group that vmmd could change");
	return cgroup_set(d->cgroup, &new, done, userdata, error);
}

static void on_limits_followed(void *userdata, const struct error *error)
{
	(void)userdata;
	if (error)
		log_warning("%s", error->message);
}

void domain_limits_changed(struct domain *d)
{
	struct cgroup_limits limits;
	struct error e = {0};

	if (d->guessed)
		return;
	domain_limits(d->live, d->manager->cgroup_root, &limits);
	if (d->cgroup && d->live->cputune.vcpu.quota_us > 0 &&
		cgroup_set(d->cgroup, &limits, on_limits_followed, NULL, &e) < 0)
		log_warning("domain '%s': %s", d->name, e.message);
}

/* Pins. */

static const uint64_t *own_pin(const struct domain_config *config, uint32_t thread)
{
	const struct domain_cputune *tune = &config->cputune;

	if (thread == PROCESS_OTHERS)
		return cpuset_is_empty(tune->emulator_pin) ? NULL : tune->emulator_pin;
	for (uint32_t i = 0; i < tune->n_pins; i++)
		if (PROCESS_VCPU(tune->pins[i].vcpu) == thread)
			return tune->pins[i].cpus;
	for (uint32_t i = 0; i < tune->n_iothread_pins; i++)
		if (PROCESS_IOTHREAD(tune->iothread_pins[i].iothread) == thread)
			return tune->iothread_pins[i].cpus;
	return NULL;
}

const uint64_t *domain_pin_of(const struct domain_config *config, uint32_t thread)
{
	return own_pin(config, thread) ?: config->vm.cpuset;
}

#define MAX_PINS (VM_MAX_VCPUS + VM_MAX_IOTHREADS + 1)

/* A row for each thread that this configuration has. */
static unsigned list_threads(const struct vm_config *vm, struct process_pin pins[MAX_PINS])
{
	unsigned n = 0;

	pins[n++] = (struct process_pin){.thread = PROCESS_OTHERS};
	for (uint32_t i = 0; i < MIN(vm->vcpus_max, (uint32_t)VM_MAX_VCPUS); i++)
		pins[n++] = (struct process_pin){.thread = PROCESS_VCPU(i)};
	for (uint32_t i = 0; i < MIN(vm->n_iothreads, (uint32_t)VM_MAX_IOTHREADS); i++)
		pins[n++] = (struct process_pin){.thread = PROCESS_IOTHREAD(vm->iothreads[i])};
	return n;
}

bool domain_has_pins(const struct domain_config *config)
{
	struct process_pin pins[MAX_PINS];
	unsigned n = list_threads(&config->vm, pins);
	bool any = false;

	for (unsigned i = 0; i < n && !any; i++)
		any = own_pin(config, pins[i].thread);
	return any;
}

static int pin_failed(const struct domain *d, const struct process_pin *pin, struct error *error)
{
	char text[CPUSET_TEXT_MAX], who[32] = "its other threads";

	if (pin->thread < PROCESS_IOTHREAD(0))
		(void)snprintf(who, sizeof(who), "vCPU %u", pin->thread);
	else if (pin->thread != PROCESS_OTHERS)
		(void)snprintf(who, sizeof(who), "iothread %u", pin->thread - PROCESS_IOTHREAD(0));
	cpuset_format(pin->cpus, text);
	return error_set(error, ERROR_OPERATION_FAILED,
		"domain '%s': %s cannot be pinned to host CPUs %.64s: %s", d->name, who, text,
		pin->result == -EINVAL ? "none of them can be used" : strerror(-pin->result));
}

/* Those that are to run elsewhere than before ('old' NULL: wherever vcpu/@cpuset allows). How many. */
static unsigned plan_moves(const struct domain_config *old, const struct domain_config *new,
	struct process_pin *pins, unsigned n)
{
	unsigned n_moves = 0;

	for (unsigned i = 0; i < n; i++) {
		const uint64_t *from = old ? domain_pin_of(old, pins[i].thread) : new->vm.cpuset;
		const uint64_t *to = domain_pin_of(new, pins[i].thread);
		bool moves = memcmp(from, to, CPUSET_WORDS * sizeof(*to)) != 0;

		pins[i].cpus = moves ? to : NULL;
		n_moves += moves;
	}
	return n_moves;
}

/* Those that were moved go back. */
static void move_back(const struct domain *d, const struct domain_config *old,
	struct process_pin *pins, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		pins[i].cpus = pins[i].cpus && pins[i].result == 0
			? domain_pin_of(old, pins[i].thread)
			: NULL;
	(void)process_pin(worker_pid(d->worker), pins, n);
}

/* All of them, or (but at the start, which fails then) none. */
static int move_all(const struct domain *d, const struct domain_config *old,
	const struct domain_config *new, struct error *error)
{
	struct process_pin pins[MAX_PINS];
	unsigned n = list_threads(&new->vm, pins);
	int r;

	if (!plan_moves(old, new, pins, n))
		return 0;
	r = process_pin(worker_pid(d->worker), pins, n);
	if (r < 0)
		return error_set_errno(error, r, "cannot look at the threads of '%s'", d->name);
	for (unsigned i = 0; r == 0 && i < n; i++)
		if (pins[i].result < 0)
			r = pin_failed(d, &pins[i], error);
	if (r < 0 && old)
		move_back(d, old, pins, n);
	return r;
}

int domain_pin_all(const struct domain *d, struct error *error)
{
	return move_all(d, NULL, d->live, error);
}

/* Reading and changing. */

int domain_read_config(const struct domain *d, unsigned flags, struct domain_config **ret_owned,
	const struct domain_config **ret_config, struct error *error)
{
	bool active = domain_is_active(d);

	if ((flags & DOMAIN_AFFECT_LIVE) && (flags & DOMAIN_AFFECT_CONFIG))
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"what runs (flag 1) and the definition (flag 2) are asked for together");
	if ((flags & DOMAIN_AFFECT_LIVE) && !active)
		return error_set(error, ERROR_OPERATION_INVALID, "domain is not running");
	if (active && !(flags & DOMAIN_AFFECT_CONFIG)) {
		*ret_config = d->live;
		return 0;
	}
	if (!d->definition)
		return error_set(error, ERROR_OPERATION_INVALID,
			"transient domains do not have any persistent config");
	if (definition_parse(d->definition, ret_owned) < 0)
		return error_set(
			error, ERROR_INTERNAL, "cannot read the definition of '%s'", d->name);
	*ret_config = *ret_owned;
	return 0;
}

/* A change under way. */
struct tune {
	struct manager *manager;
	uint8_t uuid[16];
	int id;
	struct domain_config *live, *config; /* as they will be; NULL: not to be changed */
	domain_done_fn done;
	void *userdata;
};

static struct tune *tune_free(struct tune *tune)
{
	if (!tune)
		return NULL;
	(void)domain_config_free(tune->live);
	(void)domain_config_free(tune->config);
	free(tune);
	return NULL;
}
DEFINE_CLEANUP(struct tune *, tune_free);

/* The tuning alone: the rest may have changed while the change was made. */
static int edit_tuning(struct domain_config *config, const void *what)
{
	const struct domain_config *tuned = what;

	config->cputune = tuned->cputune;
	config->memtune = tuned->memtune;
	config->numatune = tuned->numatune;
	return 0;
}

/* What runs is so now. */
static int note_live(struct domain *d, const struct domain_config *config)
{
	int r = domain_edit_running(d, edit_tuning, config);

	if (r < 0)
		return r;
	(void)edit_tuning(d->live, config);
	manager_changed(d->manager, d);
	return 0;
}

/* The worker has it: the rest is bookkeeping. */
static int finish(struct tune *tune, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct domain *d = manager_find_uuid(tune->manager, tune->uuid);
	int r;

	if (tune->live && (!d || d->id != tune->id || !d->live))
		return error_set(error, ERROR_OPERATION_FAILED,
			"the domain ended before the change was made");
	if (tune->live) {
		r = note_live(d, tune->live);
		if (r < 0)
			return error_set_errno(error, r, "the change is not in the live XML");
	}
	if (!tune->config)
		return 0;
	if (!d || !d->definition)
		return error_set(error, ERROR_OPERATION_FAILED, "the definition is gone meanwhile");
	/* What was defined meanwhile comes first. */
	manager_commit(tune->manager);
	r = definition_parse(d->definition, &config);
	if (r == 0)
		r = edit_tuning(config, tune->config);
	if (r < 0)
		return error_set_errno(error, r, "cannot read the definition of '%s'", d->name);
	return manager_redefine(tune->manager, d, config, error);
}

/* The threads have been moved, the limits could not be changed: nothing of it is to stay. */
static void undo_moves(const struct domain *d, const struct tune *tune)
{
	struct error e = {0};

	if (move_all(d, tune->live, d->live, &e) < 0)
		log_warning("%s", e.message);
}

static void on_limits_set(void *userdata, const struct error *error)
{
	_cleanup_(tune_freep) struct tune *tune = userdata;
	const struct domain *d = manager_find_uuid(tune->manager, tune->uuid);
	struct error e = {0};

	if (error && d && d->id == tune->id && d->live)
		undo_moves(d, tune);
	if (!error && finish(tune, &e) < 0)
		error = &e;
	tune->done(tune->userdata, error);
}

/* 'ret' is the configuration behind 'definition', changed. */
static int prepare(const struct domain *d, const struct definition *definition, bool is_live,
	domain_change_fn change, const void *what, struct domain_config **ret, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	int r;

	if (definition_parse(definition, &config) < 0)
		return error_set(error, ERROR_INTERNAL, "cannot read the %s of '%s'",
			is_live ? "live XML" : "definition", d->name);
	r = change(config, is_live, what, error);
	if (r == 0)
		*ret = TAKE_PTR(config);
	return r;
}

/* Returns as domain_tune(). */
static int apply(struct domain *d, struct tune **tune, struct error *error)
{
	const struct domain_config *live = (*tune)->live;
	int r = live ? move_all(d, d->live, live, error) : 0;

	if (r < 0)
		return r;
	r = live ? set_limits(d, live, on_limits_set, *tune, error) : 1;
	if (r < 0)
		undo_moves(d, *tune);
	if (r == 0)
		(void)TAKE_PTR(*tune);
	if (r > 0 && finish(*tune, error) < 0)
		return -EIO;
	return r;
}

int domain_tune(struct domain *d, unsigned flags, domain_change_fn change, const void *what,
	domain_done_fn done, void *userdata, struct error *error)
{
	_cleanup_(tune_freep) struct tune *tune = NULL;
	bool to_live, to_config;
	int r = domain_settle_flags(d, flags, &to_live, &to_config, error);

	if (r < 0)
		return r;
	tune = calloc(1, sizeof(*tune));
	if (!tune)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*tune = (struct tune){
		.manager = d->manager, .id = d->id, .done = done, .userdata = userdata};
	memcpy(tune->uuid, d->uuid, sizeof(tune->uuid));
	if (to_live)
		r = prepare(d, d->running, true, change, what, &tune->live, error);
	if (r == 0 && to_config)
		r = prepare(d, d->definition, false, change, what, &tune->config, error);
	return r < 0 ? r : apply(d, &tune, error);
}
