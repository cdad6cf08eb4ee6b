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
 * come, if that run has not ended. Until then a second one waits behind it, and is made of what the first one has left; whatever else
 * sends limits meanwhile sends those that are being set (domain_wanted_limits()), for systemd keeps what came last.
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
static void quota_of(
	const struct vm_config *vm, const struct domain_cputune *tune, struct cgroup_limits *ret)
{
	const struct domain_quota *base = tune->vcpu.quota_us > 0 ? &tune->vcpu : &tune->global;
	uint64_t sum_us = 0, global_us = 0;

	ret->period_us = base->period_us ?: DOMAIN_PERIOD_DEFAULT_US;
	if (tune->vcpu.quota_us > 0) {
		add_quota(&tune->vcpu, vm->vcpus, ret->period_us, &sum_us);
		if (tune->emulator.quota_us > 0)
			add_quota(&tune->emulator, 1, ret->period_us, &sum_us);
		if (tune->iothread.quota_us > 0)
			add_quota(&tune->iothread, vm->n_iothreads, ret->period_us, &sum_us);
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

/* Of 'tuned' the tuning, of 'config' what it is for. */
static void limits_of(const struct domain_config *config, const struct domain_config *tuned,
	const struct cgroup_root *root, struct cgroup_limits *ret)
{
	const struct vm_config *vm = &config->vm;
	uint64_t granted_kib = memory_granted_kib(config);

	*ret = (struct cgroup_limits){
		.memory_bytes = bytes_of(tuned->memtune.hard_kib)
			?: KIB(granted_kib) + cgroup_memory_extra(granted_kib),
		.pids = jail_threads(vm->vcpus_max, vm->n_disks, vm->n_iothreads),
		.memory_soft_bytes = bytes_of(tuned->memtune.soft_kib),
		.swap_bytes = bytes_of(tuned->memtune.swap_hard_kib),
		.shares = root ? MIN(tuned->cputune.shares, cgroup_shares_max(root))
			       : tuned->cputune.shares,
	};
	ret->nodes = nodes_of(&tuned->numatune);
	quota_of(vm, &tuned->cputune, ret);
}

void domain_limits(const struct domain_config *config, const struct cgroup_root *root,
	struct cgroup_limits *ret)
{
	limits_of(config, config, root, ret);
}

/* A change of what runs, of its definition, or of both. */
struct tune {
	struct list
		link; /* of domain->tunes: the first one is being made, the others wait for it */
	struct domain *domain; /* NULL: its run is over, and who asked has been answered */
	unsigned flags;        /* DOMAIN_AFFECT_*, never 0 */
	domain_change_fn change;
	void *what;
	bool asked; /* systemd; its answer comes with this */
	struct domain_config
		*live; /* what runs as it is to be; NULL: not known yet, or not to be changed */
	domain_done_fn done;
	void *userdata;
};

static struct tune *tune_free(struct tune *tune)
{
	if (!tune)
		return NULL;
	list_del(&tune->link);
	(void)domain_config_free(tune->live);
	free(tune->what);
	free(tune);
	return NULL;
}
DEFINE_CLEANUP(struct tune *, tune_free);

static struct tune *first_tune(const struct domain *d)
{
	return list_empty(&d->tunes) ? NULL : list_entry(d->tunes.next, struct tune, link);
}

const struct domain_config *domain_tuned(const struct domain *d)
{
	const struct tune *tune = first_tune(d);

	return tune && tune->live ? tune->live : d->live;
}

void domain_wanted_limits(const struct domain *d, struct cgroup_limits *ret)
{
	limits_of(d->live, domain_tuned(d), d->manager->cgroup_root, ret);
}

static int set_limits(struct domain *d, const struct domain_config *tuned, cgroup_done_fn done,
	void *userdata, struct error *error)
{
	const struct cgroup_root *root = d->manager->cgroup_root;
	uint64_t shares = tuned->cputune.shares;
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
	limits_of(d->live, tuned, root, &new);
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

static void send_limits(struct domain *d, const struct cgroup_limits *limits)
{
	struct error e = {0};

	if (d->cgroup && cgroup_set(d->cgroup, limits, on_limits_followed, NULL, &e) < 0)
		log_warning("domain '%s': %s", d->name, e.message);
}

void domain_limits_changed(struct domain *d)
{
	struct cgroup_limits limits;

	if (d->guessed || domain_tuned(d)->cputune.vcpu.quota_us <= 0)
		return;
	domain_wanted_limits(d, &limits);
	send_limits(d, &limits);
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

/* Making a change. */

/* The tuning alone: the rest may have changed while the change was made. */
static int edit_tuning(struct domain_config *config, const void *what)
{
	const struct domain_config *tuned = what;

	config->cputune = tuned->cputune;
	config->memtune = tuned->memtune;
	config->numatune = tuned->numatune;
	return 0;
}

/* 'ret' is the configuration behind 'definition', changed. */
static int prepare(const struct tune *tune, const struct definition *definition, bool is_live,
	struct domain_config **ret, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	int r;

	if (definition_parse(definition, &config) < 0)
		return error_set(error, ERROR_INTERNAL, "cannot read the %s of '%s'",
			is_live ? "live XML" : "definition", tune->domain->name);
	r = tune->change(config, is_live, tune->what, error);
	if (r == 0)
		*ret = TAKE_PTR(config);
	return r;
}

/* What runs is so now: the change is made once more, in what an iothread or the like has made of it meanwhile. */
static int note_live(const struct tune *tune, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct domain *d = tune->domain;
	int r = prepare(tune, d->running, true, &config, error);

	if (r < 0)
		return r;
	r = domain_edit_running(d, edit_tuning, config);
	if (r < 0)
		return error_set_errno(error, r, "the change is not in the live XML");
	(void)edit_tuning(d->live, config);
	manager_changed(d->manager, d);
	return 0;
}

static int note_definition(const struct tune *tune, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct domain *d = tune->domain;
	int r;

	/* What was defined meanwhile comes first. */
	manager_commit(d->manager);
	if (!d->definition)
		return error_set(error, ERROR_OPERATION_FAILED, "the definition is gone meanwhile");
	r = prepare(tune, d->definition, false, &config, error);
	return r < 0 ? r : manager_redefine(d->manager, d, config, error);
}

/* The threads have been moved, the rest could not be done: nothing of it is to stay. */
static void undo_moves(const struct tune *tune)
{
	struct error e = {0};

	if (move_all(tune->domain, tune->live, tune->domain->live, &e) < 0)
		log_warning("%s", e.message);
}

/* systemd may have done it in spite of an error (no answer came in time), and others may have sent these limits, too. */
static void undo(const struct tune *tune)
{
	struct cgroup_limits limits;

	undo_moves(tune);
	domain_limits(tune->domain->live, tune->domain->manager->cgroup_root, &limits);
	send_limits(tune->domain, &limits);
}

/* The worker has it, and its group: the rest is bookkeeping. */
static int finish(const struct tune *tune, struct error *error)
{
	int r = tune->live ? note_live(tune, error) : 0;

	if (r < 0)
		undo(tune);
	return r < 0 || !(tune->flags & DOMAIN_AFFECT_CONFIG) ? r : note_definition(tune, error);
}

static void answer(struct tune *tune, const struct error *error)
{
	if (tune->done)
		tune->done(tune->userdata, error);
	tune->done = NULL;
}

static void go_on(struct domain *d);

static void on_limits_set(void *userdata, const struct error *error)
{
	_cleanup_(tune_freep) struct tune *tune = userdata;
	struct domain *d = tune->domain;
	struct error e = {0};

	if (!d)
		return;
	if (error)
		undo(tune);
	else if (finish(tune, &e) < 0)
		error = &e;
	list_del(&tune->link);
	answer(tune, error);
	go_on(d);
}

/* Returns as domain_tune(). */
static int apply_live(struct tune *tune, struct error *error)
{
	struct domain *d = tune->domain;
	int r = move_all(d, d->live, tune->live, error);

	if (r < 0)
		return r;
	r = set_limits(d, tune->live, on_limits_set, tune, error);
	if (r < 0)
		undo_moves(tune);
	tune->asked = r == 0;
	return r;
}

/* Its turn has come. Returns as domain_tune(). */
static int begin(struct tune *tune, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct domain *d = tune->domain;
	bool to_live, to_config;
	int r = domain_settle_flags(d, tune->flags, &to_live, &to_config, error);

	if (r == 0 && to_live)
		r = prepare(tune, d->running, true, &tune->live, error);
	/* Neither is changed if the other one cannot be. */
	if (r == 0 && to_live && to_config)
		r = prepare(tune, d->definition, false, &config, error);
	if (r < 0)
		return r;
	r = to_live ? apply_live(tune, error) : 1;
	return r > 0 && finish(tune, error) < 0 ? -EIO : r;
}

/* Those that waited: until one of them needs an answer, too. */
static void go_on(struct domain *d)
{
	struct tune *tune;

	while ((tune = first_tune(d)) && !tune->asked) {
		struct error e = {0};
		int r = begin(tune, &e);

		if (r == 0)
			return;
		list_del(&tune->link);
		answer(tune, r < 0 ? &e : NULL);
		(void)tune_free(tune);
	}
}

/* Nobody of them is heard of any more but systemd. */
static void end_tunes(struct domain *d, const struct error *error)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &d->tunes) {
		struct tune *tune = list_entry(pos, struct tune, link);

		list_del(&tune->link);
		tune->domain = NULL;
		if (error)
			answer(tune, error);
		if (!tune->asked)
			(void)tune_free(tune);
	}
}

void domain_end_tunes(struct domain *d)
{
	struct error e = {0};

	(void)error_set(&e, ERROR_OPERATION_FAILED, "domain '%s' ended before the change was made",
		d->name);
	end_tunes(d, &e);
}

void domain_drop_tunes(struct domain *d)
{
	end_tunes(d, NULL);
}

static struct tune *tune_new(struct domain *d, domain_change_fn change, const void *what,
	size_t what_size, domain_done_fn done, void *userdata)
{
	_cleanup_(tune_freep) struct tune *tune = calloc(1, sizeof(*tune));

	if (!tune)
		return NULL;
	*tune = (struct tune){.domain = d, .change = change, .done = done, .userdata = userdata};
	list_init(&tune->link);
	tune->what = malloc(what_size + 1);
	if (!tune->what)
		return NULL;
	if (what_size)
		memcpy(tune->what, what, what_size);
	return TAKE_PTR(tune);
}

static unsigned count_tunes(const struct domain *d)
{
	const struct list *pos;
	unsigned n = 0;

	list_for_each (pos, &d->tunes)
		n++;
	return n;
}

int domain_tune(struct domain *d, unsigned flags, domain_change_fn change, const void *what,
	size_t what_size, domain_done_fn done, void *userdata, struct error *error)
{
	_cleanup_(tune_freep) struct tune *tune = NULL;
	bool to_live, to_config;
	int r = domain_settle_flags(d, flags, &to_live, &to_config, error);

	if (r < 0)
		return r;
	if (count_tunes(d) >= DOMAIN_MAX_TUNES)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"as many changes of domain '%s' as can wait are waiting; try again",
			d->name);
	tune = tune_new(d, change, what, what_size, done, userdata);
	if (!tune)
		return error_set(error, ERROR_NO_MEMORY, "request");
	tune->flags = (to_live ? DOMAIN_AFFECT_LIVE : 0) | (to_config ? DOMAIN_AFFECT_CONFIG : 0);
	list_add_tail(&d->tunes, &tune->link);
	/* The definition alone waits for nobody: what is under way is made again in what it is then. */
	r = !to_live || first_tune(d) == tune ? begin(tune, error) : 0;
	if (r == 0) {
		(void)TAKE_PTR(tune);
		return 0;
	}
	list_del(&tune->link);
	go_on(d);
	return r;
}
