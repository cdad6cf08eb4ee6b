/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory devices of a domain (<memory model='virtio-mem'>): how much of each the guest is to have, has, and may have; and devices that are
 * attached and detached.
 *
 *	more	is there room below --memory-limit? → granted_kib → the control group's limit → the run's record → MEMORY_SET → live XML →
 *		definition. The guest then takes it when it likes; what it has is in the statistics page
 *	less	MEMORY_SET; what the guest gives back is taken off what it may have when a notice says so
 *	attach	as more; MEMORY_ADD
 *	detach	MEMORY_REMOVE of one of which the guest has nothing and is to have nothing; the worker says by MEMORIES when it is gone
 *
 * What the guest has is its worker's claim: a worker that lies about it lowers the limit that it is itself held to. No claim raises what it may have,
 * also not another daemon's idea of it, which has that from the run's record.
 *
 * Tested by tests/unit/test-domain-memory.c.
 */
#include <stdio.h>
#include <string.h>

#include "config/domain-device.h"
#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "daemon/memory-limit.h"
#include "daemon/stats-view.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

/* Which of the live configuration's devices has this number. */
static int index_of(const struct domain *d, unsigned number)
{
	for (unsigned i = 0; d->live && i < d->live->vm.n_memories; i++)
		if (d->live->memories[i].number == number)
			return (int)i;
	return -ENOENT;
}

uint64_t domain_memory_current_kib(const struct domain *d, unsigned index)
{
	unsigned number = d->live->memories[index].number;

	if (!d->stats)
		return 0;
	return MIN(stat_read(&stats_view_page(d->stats)->memories[number].plugged) / 1024,
		d->live->vm.memories[index].size_kib);
}

uint64_t domain_plugged_kib(const struct domain *d)
{
	uint64_t kib = 0;

	for (unsigned i = 0; d->live && i < d->live->vm.n_memories; i++)
		kib += domain_memory_current_kib(d, i);
	return kib;
}

#define ALIAS_MAX 32

static void format_alias(unsigned number, char ret[ALIAS_MAX])
{
	(void)snprintf(ret, ALIAS_MAX, "virtiomem%u", number);
}

static bool has_alias(unsigned number, const char *alias)
{
	char own[ALIAS_MAX];

	format_alias(number, own);
	return streq(own, alias);
}

static void emit(const struct domain *d, enum event_kind kind, unsigned number, const char *detail)
{
	char alias[ALIAS_MAX];

	format_alias(number, alias);
	manager_emit(d->manager, kind, d, detail, alias);
}

/* What it may have. */

static void on_limits_followed(void *userdata, const struct error *error)
{
	(void)userdata;
	if (error)
		log_warning("%s", error->message);
}

/* Of each: what is requested, or what it has of what was. What a worker says keeps a grant, and makes none. */
static void follow(struct domain *d)
{
	struct cgroup_limits old, new;
	struct error e = {0};

	domain_wanted_limits(d, &old);
	for (unsigned i = 0; i < d->live->vm.n_memories; i++)
		d->live->memories[i].granted_kib = MAX(d->live->vm.memories[i].requested_kib,
			MIN(domain_memory_current_kib(d, i), d->live->memories[i].granted_kib));
	domain_wanted_limits(d, &new);
	if (d->guessed || !d->cgroup || memcmp(&old, &new, sizeof(old)) == 0)
		return;
	if (cgroup_set(d->cgroup, &new, on_limits_followed, NULL, &e) < 0)
		log_warning("domain '%s': %s", d->name, e.message);
}

void domain_reset_memories(struct domain *d)
{
	d->n_memory_changes = 0;
	for (unsigned i = 0; i < d->live->vm.n_memories; i++)
		d->live->memories[i].granted_kib = d->live->vm.memories[i].requested_kib;
}

void domain_find_memories(struct domain *d)
{
	d->n_memory_changes = 0;
	for (unsigned i = 0; i < d->live->vm.n_memories; i++)
		d->live->memories[i].granted_kib = MAX(d->live->vm.memories[i].requested_kib,
			MIN(domain_memory_current_kib(d, i), d->live->memories[i].granted_kib));
}

void domain_memory_changed(struct domain *d, unsigned number)
{
	int i = index_of(d, number);
	char text[32];

	if (i < 0)
		return;
	(void)snprintf(text, sizeof(text), "%lluKiB",
		(unsigned long long)domain_memory_current_kib(d, (unsigned)i));
	emit(d, EVENT_MEMORY_DEVICE_SIZE_CHANGE, number, text);
	if (!d->n_memory_changes)
		follow(d);
}

/* A change that waits for the control group, and then for the worker. */
struct change {
	struct manager *manager;
	uint8_t uuid[16];
	int id;
	enum proto_type type;
	unsigned number;
	uint64_t kib;                 /* MEMORY_SET */
	struct domain_config *config; /* the definition's, as it will be; NULL: it stays */
	char *before;                 /* the text that it was made of */
	domain_done_fn done;
	void *userdata;
};

static struct change *change_free(struct change *change)
{
	if (!change)
		return NULL;
	(void)domain_config_free(change->config);
	free(change->before);
	free(change);
	return NULL;
}
DEFINE_CLEANUP(struct change *, change_free);

/* NULL: that run has ended. */
static struct domain *domain_of(const struct change *change)
{
	struct domain *d = manager_find_uuid(change->manager, change->uuid);

	return d && d->id == change->id && d->live ? d : NULL;
}

/* 'config' was made of the definition with the text 'before', when it was asked for: it is not put over another one. */
static int redefine(
	struct domain *d, struct domain_config *config, const char *before, struct error *error)
{
	manager_commit(d->manager);
	if (!d->definition)
		return error_set(error, ERROR_OPERATION_FAILED, "the definition is gone meanwhile");
	if (!before || !streq(d->definition->xml, before))
		return error_set(error, ERROR_OPERATION_FAILED,
			"the definition of '%s' has changed meanwhile: what runs has the change, "
			"the definition has not",
			d->name);
	return manager_redefine(d->manager, d, config, error);
}

static int edit_requested(struct domain_config *config, const void *what)
{
	const struct domain_config *live = what;

	for (unsigned i = 0; i < config->vm.n_memories; i++)
		config->vm.memories[i].requested_kib = live->vm.memories[i].requested_kib;
	return 0;
}

/* The worker does not have it (any more). */
static void drop(struct domain *d, unsigned index)
{
	_cleanup_(domain_config_freep) struct domain_config *next = NULL;
	int r = domain_device_detach(d->running->xml, DOMAIN_DEVICE_MEMORY, index, &next);

	if (r == 0)
		r = domain_replace_live(d, next, -1, (int)index);
	if (r == 0)
		(void)TAKE_PTR(next);
	else
		(void)log_error_errno(r,
			"domain '%s': a memory device is gone, but stays in its XML: %m", d->name);
	domain_save_status(d);
	manager_changed(d->manager, d);
	follow(d);
}

static int note_success(const struct change *change, struct domain *d, struct error *error)
{
	int i = index_of(d, change->number), r = 0;

	d->memories_plugging &= ~(UINT32_C(1) << change->number);
	if (i < 0)
		return error_set(
			error, ERROR_OPERATION_FAILED, "the memory device is gone meanwhile");
	if (change->type == PROTO_MEMORY_SET) {
		d->live->vm.memories[i].requested_kib = change->kib;
		r = domain_edit_running(d, edit_requested, d->live);
	} else {
		log_info("domain '%s': virtiomem%u was attached", d->name, change->number);
		emit(d, EVENT_DEVICE_ADDED, change->number, "");
	}
	manager_changed(d->manager, d);
	if (r < 0)
		return error_set_errno(error, r, "the change is not in the live XML");
	return change->config ? redefine(d, change->config, change->before, error) : 0;
}

static void on_answer(void *userdata, const struct error *error)
{
	_cleanup_(change_freep) struct change *change = userdata;
	struct domain *d = domain_of(change);
	struct error e = {0};

	if (d && d->n_memory_changes)
		d->n_memory_changes--;
	if (!error && !d)
		(void)error_set(
			&e, ERROR_OPERATION_FAILED, "the domain ended before the change was made");
	else if (!error)
		(void)note_success(change, d, &e);
	else if (d && change->type == PROTO_MEMORY_ADD && index_of(d, change->number) >= 0) {
		d->memories_plugging &= ~(UINT32_C(1) << change->number);
		drop(d, (unsigned)index_of(d, change->number));
	}
	if (d && !d->n_memory_changes)
		follow(d);
	if (!error && e.code != ERROR_NONE)
		error = &e;
	change->done(change->userdata, error);
}

static int send_change(struct change *change, struct domain *d, struct error *error)
{
	int i = index_of(d, change->number);
	struct proto_memory_set set = {.number = change->number, .kib = change->kib};
	struct proto_memory_add add = {.number = change->number};

	if (i < 0)
		return error_set(
			error, ERROR_OPERATION_FAILED, "the memory device is gone meanwhile");
	/* The next daemon must not give it less than it may have by then. */
	if (change->type == PROTO_MEMORY_SET &&
		change->kib > d->live->vm.memories[i].requested_kib && domain_save_status(d) < 0)
		return error_set(error, ERROR_OPERATION_FAILED,
			"cannot note what domain '%s' may have", d->name);
	if (change->type == PROTO_MEMORY_SET)
		return domain_request(d, change->type, "change its memory device", &set,
			sizeof(set), on_answer, change, error);
	add.config = d->live->vm.memories[i];
	return domain_request(d, change->type, "take the memory device", &add, sizeof(add),
		on_answer, change, error);
}

/* The limit is as high as it must be. */
static void on_limits(void *userdata, const struct error *error)
{
	struct change *change = userdata;
	struct domain *d = domain_of(change);
	struct error e = {0};

	if (!error && d && send_change(change, d, &e) == 0)
		return;
	if (!error && !d)
		(void)error_set(
			&e, ERROR_OPERATION_FAILED, "the domain ended before the change was made");
	on_answer(change, error ? error : &e);
}

/* It may be used from now on: by the host's limit and by the control group's. Takes '*change' when it returns 0. */
static int grant(struct domain *d, unsigned index, struct change **change, struct error *error)
{
	struct domain_memory_device *m = &d->live->memories[index];
	uint64_t requested = d->live->vm.memories[index].requested_kib, before = m->granted_kib;
	uint64_t wanted = (*change)->type == PROTO_MEMORY_SET ? (*change)->kib : requested;
	struct cgroup_limits old, new;
	uint64_t has = MAX(requested, before);
	int r;

	/* Of one that is attached, that was asked before. */
	r = memory_limit_check_more(d->manager, d->live, wanted - MIN(wanted, has), error);
	if (r < 0)
		return r;
	domain_wanted_limits(d, &old);
	if ((*change)->type == PROTO_MEMORY_ADD)
		old.memory_bytes = 0;
	m->granted_kib = MAX(before, wanted);
	domain_wanted_limits(d, &new);
	d->n_memory_changes++;
	r = d->guessed || !d->cgroup || memcmp(&old, &new, sizeof(old)) == 0
		? 1
		: cgroup_set(d->cgroup, &new, on_limits, *change, error);
	if (r > 0)
		r = send_change(*change, d, error);
	if (r < 0) {
		d->n_memory_changes--;
		m->granted_kib = before;
		return r;
	}
	(void)TAKE_PTR(*change);
	return 0;
}

static struct change *change_new(struct domain *d, enum proto_type type, unsigned number,
	uint64_t kib, domain_done_fn done, void *userdata)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		return NULL;
	*change = (struct change){.manager = d->manager,
		.id = d->id,
		.type = type,
		.number = number,
		.kib = kib,
		.done = done,
		.userdata = userdata};
	memcpy(change->uuid, d->uuid, sizeof(change->uuid));
	return change;
}

/* Which device is meant: an alias is of one run, or of one reading of a definition. */

static int select_device(const struct domain_config *config, const struct domain_memory_wish *wish,
	unsigned *ret_index, uint64_t *ret_kib, struct error *error)
{
	struct vm_memory written;
	unsigned n = 0;
	char *text;
	int r;

	if (wish->xml) {
		r = domain_device_find_memory(&config->vm, wish->xml, strlen(wish->xml),
			wish->source, ret_index, &written, &text);
		if (r == 0)
			*ret_kib = written.requested_kib;
		return domain_device_error(r, text, error);
	}
	for (unsigned i = 0; i < config->vm.n_memories; i++) {
		if ((*wish->alias && !has_alias(config->memories[i].number, wish->alias)) ||
			(wish->node >= 0 && config->vm.memories[i].node != (unsigned)wish->node))
			continue;
		*ret_index = i;
		n++;
	}
	if (n == 1) {
		*ret_kib = wish->kib;
		return 0;
	}
	return error_set(error, n ? ERROR_OPERATION_FAILED : ERROR_NO_DEVICE, "%s",
		!n ? "no memory device found: its alias is virtiomem0 and so on (vmctl dumpxml)"
		   : "multiple memory devices found, use --alias or --node to select one");
}

/* Its number is of a run, and what is requested changes. */
static bool is_alike(const struct vm_memory *a, const struct vm_memory *b)
{
	return a->size_kib == b->size_kib && a->block_kib == b->block_kib && a->node == b->node &&
		a->pci.set == b->pci.set && (!a->pci.set || a->pci.slot == b->pci.slot);
}

/* The device of the definition that is number 'index' of what runs. Of several that are alike, the one in the same place among them, while
 * there are as many of them here as there. */
static int find_defined(const struct domain *d, unsigned index, const struct domain_config *config,
	unsigned *ret_index, struct error *error)
{
	const struct vm_config *live = &d->live->vm, *defined = &config->vm;
	const struct vm_memory *m = &live->memories[index];
	unsigned number = d->live->memories[index].number, n_live = 0, n_defined = 0, place = 0;

	for (unsigned i = 0; i < live->n_memories; i++) {
		place += i < index && is_alike(&live->memories[i], m);
		n_live += is_alike(&live->memories[i], m);
	}
	for (unsigned i = 0; i < defined->n_memories; i++)
		if (is_alike(&defined->memories[i], m) && n_defined++ == place)
			*ret_index = i;
	if (n_defined == n_live)
		return 0;
	return error_set(error, n_defined ? ERROR_OPERATION_FAILED : ERROR_NO_DEVICE,
		"%s virtiomem%u of the running domain '%s' (%llu KiB in blocks of %u KiB, node "
		"%u)%s: "
		"change what runs (--live) and the definition (--config) one after the other",
		n_defined ? "which device of the definition is"
			  : "the definition has no device like",
		number, d->name, (unsigned long long)m->size_kib, m->block_kib, m->node,
		n_defined ? " is not clear: several are alike, and not as many there as here" : "");
}

static int check_requested(const struct vm_memory *m, uint64_t kib, struct error *error)
{
	if (kib % m->block_kib)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"requested size must be an integer multiple of block size: %llu KiB, and "
			"the "
			"block has %u KiB",
			(unsigned long long)kib, m->block_kib);
	if (kib > m->size_kib)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"requested size must be smaller than or equal to the size: %llu KiB, and "
			"the "
			"device has %llu KiB",
			(unsigned long long)kib, (unsigned long long)m->size_kib);
	return 0;
}

/* 'live': the index of the device in what runs; negative: it is not to change there. */
static int select_defined(const struct domain *d, const struct domain_memory_wish *wish, int live,
	const struct domain_config *config, unsigned *ret_index, uint64_t *ret_kib,
	struct error *error)
{
	return live >= 0 ? find_defined(d, (unsigned)live, config, ret_index, error)
			 : select_device(config, wish, ret_index, ret_kib, error);
}

static int prepare_update(struct domain *d, const struct domain_memory_wish *wish, int live,
	uint64_t kib, struct domain_config **ret, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	unsigned index = 0;
	int r;

	if (definition_parse(d->definition, &config) < 0)
		return error_set(
			error, ERROR_INTERNAL, "cannot read the definition of '%s'", d->name);
	r = select_defined(d, wish, live, config, &index, &kib, error);
	if (r == 0)
		r = check_requested(&config->vm.memories[index], kib, error);
	if (r < 0)
		return r;
	config->vm.memories[index].requested_kib = kib;
	*ret = TAKE_PTR(config);
	return 0;
}

int domain_update_memory(struct domain *d, const struct domain_memory_wish *wish, unsigned flags,
	domain_done_fn done, void *userdata, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	_cleanup_(change_freep) struct change *change = NULL;
	bool to_live, to_config;
	unsigned index = 0;
	uint64_t kib = 0;
	int r = domain_settle_flags(d, flags, &to_live, &to_config, error);

	if (r == 0 && to_live && d->guessed)
		return error_set(error, ERROR_OPERATION_INVALID,
			"what the domain runs with could not be read: its memory devices stay as "
			"they are");
	if (r == 0 && to_live)
		r = select_device(d->live, wish, &index, &kib, error);
	if (r == 0 && to_live)
		r = check_requested(&d->live->vm.memories[index], kib, error);
	if (r == 0 && to_config)
		r = prepare_update(d, wish, to_live ? (int)index : -1, kib, &config, error);
	if (r < 0)
		return r;
	if (!to_live) {
		r = manager_redefine(d->manager, d, config, error);
		return r < 0 ? r : 1;
	}
	change = change_new(
		d, PROTO_MEMORY_SET, d->live->memories[index].number, kib, done, userdata);
	if (!change)
		return error_set(error, ERROR_NO_MEMORY, "request");
	change->before = config ? strdup(d->definition->xml) : NULL;
	change->config = TAKE_PTR(config);
	return grant(d, index, &change, error);
}

/* Attaching. */

static int parse_attach(const struct definition *base, const struct domain_memory_wish *wish,
	struct domain_device_defaults *defaults, struct domain_config **ret,
	struct contract_report **report, struct error *error)
{
	char *text;
	int r = domain_device_attach(base->xml, wish->xml, strlen(wish->xml), wish->source,
		defaults, ret, report, &text);

	if (r < 0)
		return domain_device_error(r, text, error);
	defaults->pci = (*ret)->vm.memories[(*ret)->vm.n_memories - 1].pci;
	return 0;
}

static int choose_number(const struct domain *d)
{
	for (unsigned number = 0; number < VM_MAX_MEMORIES; number++)
		if (index_of(d, number) < 0)
			return (int)number;
	return -ENOSPC; /* the validator has said so before */
}

static int attach_live(struct domain *d, struct domain_config **live, struct domain_config **config,
	domain_done_fn done, void *userdata, struct error *error)
{
	_cleanup_(change_freep) struct change *change = NULL;
	unsigned index = (*live)->vm.n_memories - 1;
	int number = choose_number(d), r;

	change = change_new(d, PROTO_MEMORY_ADD, (unsigned)MAX(number, 0), 0, done, userdata);
	if (!change || number < 0)
		return error_set(error, ERROR_NO_MEMORY, "request");
	r = memory_limit_check_more(
		d->manager, d->live, (*live)->vm.memories[index].requested_kib, error);
	if (r < 0)
		return r;
	(*live)->memories[index].number = (uint8_t)number;
	r = domain_replace_live(d, *live, -1, -1);
	if (r < 0)
		return error_set_errno(error, r, "cannot note the memory device");
	(void)TAKE_PTR(*live);
	d->memories_plugging |= UINT32_C(1) << number;
	domain_save_status(d);
	change->before = *config ? strdup(d->definition->xml) : NULL;
	change->config = TAKE_PTR(*config);
	r = grant(d, index, &change, error);
	if (r < 0) {
		d->memories_plugging &= ~(UINT32_C(1) << number);
		drop(d, index);
	}
	return r;
}

int domain_attach_memory(struct domain *d, const struct domain_memory_wish *wish, unsigned flags,
	domain_done_fn done, void *userdata, struct contract_report **ret_report,
	struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *live = NULL, *config = NULL;
	struct domain_device_defaults defaults = {0};
	bool to_live, to_config;
	int r = domain_settle_flags(d, flags, &to_live, &to_config, error);

	if (r == 0 && to_live && d->guessed)
		return error_set(error, ERROR_OPERATION_INVALID,
			"what the domain runs with could not be read: its memory devices stay as "
			"they are");
	if (r == 0 && to_live)
		r = parse_attach(d->running, wish, &defaults, &live, ret_report, error);
	if (r == 0 && to_config)
		r = parse_attach(d->definition, wish, &defaults, &config,
			to_live ? NULL : ret_report, error);
	if (r < 0)
		return r;
	if (to_live)
		return attach_live(d, &live, &config, done, userdata, error);
	r = manager_redefine(d->manager, d, config, error);
	return r < 0 ? r : 1;
}

/* Detaching. */

/* Somebody waits for the guest to let go. */
struct detach {
	struct list link;
	struct domain *domain;
	unsigned number;
	bool asked; /* the worker has answered */
	struct domain_config *config;
	char *before; /* the text that it was made of */
	sd_event_source *timer;
	domain_detached_fn done;
	void *userdata;
};

static void detach_free(struct detach *detach)
{
	list_del(&detach->link);
	(void)sd_event_source_disable_unref(detach->timer);
	(void)domain_config_free(detach->config);
	free(detach->before);
	free(detach);
}

static void finish_detach(struct detach *detach, bool gone, const struct error *error)
{
	if (detach->done)
		detach->done(detach->userdata, gone, error);
	/* The worker's answer may yet come for this. */
	detach->done = NULL;
	detach->timer = sd_event_source_disable_unref(detach->timer);
	if (detach->asked)
		detach_free(detach);
}

void domain_end_memory_detaches(struct domain *d)
{
	struct list *pos, *tmp;
	struct error e = {0};

	(void)error_set(&e, ERROR_OPERATION_FAILED,
		"domain '%s' ended before the guest had released the memory device", d->name);
	list_for_each_safe (pos, tmp, &d->memory_detaches)
		finish_detach(list_entry(pos, struct detach, link), false, &e);
	d->memories_plugging = 0;
}

void domain_drop_memory_detaches(struct domain *d)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &d->memory_detaches)
		detach_free(list_entry(pos, struct detach, link));
}

bool domain_memories_seen(struct domain *d, uint32_t present)
{
	struct list *pos, *tmp;

	for (unsigned number = 0; number < VM_MAX_MEMORIES; number++) {
		int i = index_of(d, number);

		if (i < 0 || (present | d->memories_plugging) >> number & 1)
			continue;
		log_info("domain '%s': virtiomem%u was detached", d->name, number);
		drop(d, (unsigned)i);
		emit(d, EVENT_DEVICE_REMOVED, number, "");
		list_for_each_safe (pos, tmp, &d->memory_detaches) {
			struct detach *detach = list_entry(pos, struct detach, link);

			if (detach->number == number)
				finish_detach(detach, true, NULL);
		}
	}
	return !(present >> VM_MAX_MEMORIES);
}

static int on_detach_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	finish_detach(userdata, false, NULL);
	return 0;
}

static void on_asked(void *userdata, int error, const char *text)
{
	struct detach *detach = userdata;
	struct domain *d = detach->domain;
	struct error e = {0};
	int r = 0;

	detach->asked = true;
	if (error == 0 && detach->config && d->definition)
		r = redefine(d, detach->config, detach->before, &e);
	if (error < 0)
		r = error_set(&e, error == -ETIMEDOUT ? ERROR_TIMEOUT : ERROR_OPERATION_FAILED,
			"domain '%s': the memory device cannot be detached: %s", d->name,
			*text ? text : strerror(-error));
	if (r == 0 && detach->done)
		return;
	finish_detach(detach, false, r < 0 ? &e : NULL);
}

static int ask_to_detach(struct domain *d, struct detach *detach, struct error *error)
{
	struct proto_memory_id id = {detach->number};
	int r = sd_event_add_time_relative(d->manager->event, &detach->timer, CLOCK_MONOTONIC,
		DOMAIN_DETACH_USEC, 0, on_detach_timer, detach);

	if (r >= 0)
		r = worker_request(d->worker, PROTO_MEMORY_REMOVE, &id, sizeof(id), NULL, 0,
			DOMAIN_REQUEST_USEC, on_asked, detach);
	return r < 0
		? error_set(error, ERROR_RESOURCE_BUSY,
			  "the worker of domain '%s' takes no requests: %s", d->name, strerror(-r))
		: 0;
}

static int detach_live(struct domain *d, unsigned index, struct domain_config **config,
	domain_detached_fn done, void *userdata, struct error *error)
{
	const struct vm_memory *m = &d->live->vm.memories[index];
	unsigned number = d->live->memories[index].number;
	uint64_t current = domain_memory_current_kib(d, index);
	struct detach *detach;
	int r;

	if (d->memories_plugging >> number & 1)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"virtiomem%u of domain '%s' is just being attached", number, d->name);
	if (m->requested_kib || current)
		return error_set(error, ERROR_OPERATION_INVALID,
			"virtiomem%u cannot be detached while the guest has some of its memory: it "
			"has %llu KiB and is to have %llu KiB; request 0 first (vmctl "
			"update-memory-device --requested-size 0)",
			number, (unsigned long long)current, (unsigned long long)m->requested_kib);
	detach = calloc(1, sizeof(*detach));
	if (!detach)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*detach = (struct detach){.domain = d,
		.number = number,
		.before = *config ? strdup(d->definition->xml) : NULL,
		.done = done,
		.userdata = userdata};
	detach->config = TAKE_PTR(*config);
	list_add_tail(&d->memory_detaches, &detach->link);
	r = ask_to_detach(d, detach, error);
	if (r < 0)
		detach_free(detach);
	return r;
}

int domain_detach_memory(struct domain *d, const struct domain_memory_wish *wish, unsigned flags,
	domain_detached_fn done, void *userdata, struct error *error)
{
	_cleanup_(domain_config_freep) struct domain_config *old = NULL, *config = NULL;
	bool from_live, from_config;
	unsigned index = 0, i = 0;
	uint64_t kib;
	int r = domain_settle_flags(d, flags, &from_live, &from_config, error);

	if (r == 0 && from_live && d->guessed)
		return error_set(error, ERROR_OPERATION_INVALID,
			"what the domain runs with could not be read: its memory devices stay as "
			"they are");
	if (r == 0 && from_live)
		r = select_device(d->live, wish, &index, &kib, error);
	if (r == 0 && from_config && definition_parse(d->definition, &old) < 0)
		return error_set(
			error, ERROR_INTERNAL, "cannot read the definition of '%s'", d->name);
	if (r == 0 && from_config)
		r = select_defined(d, wish, from_live ? (int)index : -1, old, &i, &kib, error);
	if (r == 0 && from_config) {
		r = domain_device_detach(d->definition->xml, DOMAIN_DEVICE_MEMORY, i, &config);
		if (r < 0)
			return error_set_errno(
				error, r, "cannot change the definition of '%s'", d->name);
	}
	if (r < 0)
		return r;
	if (from_live)
		return detach_live(d, index, &config, done, userdata, error);
	r = manager_redefine(d->manager, d, config, error);
	return r < 0 ? r : 1;
}
