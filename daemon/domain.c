/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain's birth, death and state: see domain.h. */
#include "daemon/domain.h"

#include <string.h>

#include "daemon/cgroup.h"
#include "daemon/domain-internal.h"
#include "daemon/domain-nic.h"
#include "daemon/manager.h"
#include "daemon/reach.h"
#include "daemon/stats-view.h"
#include "daemon/worker-log.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

struct domain *domain_new(struct manager *manager, const uint8_t uuid[16], const char *name)
{
	struct domain *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->manager = manager;
	list_init(&d->link);
	list_init(&d->name_link);
	list_init(&d->uuid_link);
	memcpy(d->uuid, uuid, 16);
	if (str_copy(d->name, sizeof(d->name), name) < 0) {
		free(d);
		return NULL;
	}
	d->id = -1;
	d->state = DOMAIN_STATE_SHUTOFF;
	list_init(&d->start_waits);
	list_init(&d->stop_waits);
	list_init(&d->stats_waits);
	list_init(&d->detaches);
	list_init(&d->nic_changes);
	list_init(&d->vcpu_waits);
	list_init(&d->tunes);
	list_init(&d->memory_detaches);
	return d;
}

void domain_drop_waits(struct list *waits)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, waits)
		free(list_entry(pos, struct domain_wait, link));
	list_init(waits);
}

int domain_set_live(struct domain *d, struct domain_config *config)
{
	struct definition *running;
	struct domain_run *run;
	int r = definition_new(config, &running);

	if (r < 0)
		return r;
	run = calloc(1, sizeof(*run));
	if (!run) {
		(void)definition_free(running);
		return -ENOMEM;
	}
	domain_clear_live(d);
	d->run = run;
	domain_take_live(d, config, running);
	domain_note_owner(d);
	return 0;
}

void domain_take_live(struct domain *d, struct domain_config *config, struct definition *running)
{
	(void)domain_config_free(d->live);
	(void)definition_free(d->running);
	d->live = config;
	d->running = running;
}

void domain_note_owner(struct domain *d)
{
	const struct definition *from = d->definition ? d->definition : d->running;

	if (from)
		d->owner = from->owner;
}

void domain_clear_live(struct domain *d)
{
	d->live = domain_config_free(d->live);
	d->running = definition_free(d->running);
	if (d->run) {
		reach_drop(d->run->reach);
		resources_close(&d->run->resources);
		free(d->run->cpuid);
	}
	free(d->run);
	d->run = NULL;
}

int domain_edit_running(struct domain *d, domain_edit_fn edit, const void *what)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL, *again = NULL;
	_cleanup_(definition_freep) struct definition *running = NULL;
	int r = definition_parse(d->running, &config);

	if (r == 0)
		r = edit(config, what);
	if (r == 0)
		r = definition_new(config, &running);
	/* What the next daemon could not read is never written. */
	if (r == 0)
		r = definition_parse(running, &again);
	if (r < 0)
		return r;
	(void)definition_free(d->running);
	d->running = TAKE_PTR(running);
	domain_save_status(d);
	return 0;
}

struct domain *domain_free(struct domain *d)
{
	if (!d)
		return NULL;
	domain_drop_waits(&d->start_waits);
	domain_drop_waits(&d->stop_waits);
	domain_drop_waits(&d->stats_waits);
	d->stats_timer = sd_event_source_disable_unref(d->stats_timer);
	(void)sd_event_source_disable_unref(d->kill_timer);
	(void)worker_free(d->worker);
	domain_drop_detaches(d);
	domain_drop_vcpu_waits(d);
	domain_drop_tunes(d);
	domain_drop_memory_detaches(d);
	(void)worker_log_free(d->log);
	(void)stats_view_free(d->stats);
	(void)cgroup_free(d->cgroup, false);
	(void)definition_free(d->definition);
	domain_clear_live(d);
	list_del(&d->link);
	list_del(&d->name_link);
	list_del(&d->uuid_link);
	free(d);
	return NULL;
}

void domain_set_state(struct domain *d, enum domain_state state, int reason)
{
	if (d->state == state && d->reason == reason)
		return;
	log_debug("domain '%s': %s (%s)", d->name, domain_state_name(state),
		domain_reason_name(state, reason));
	d->state = state;
	d->reason = reason;
	manager_changed(d->manager, d);
	if (domain_is_active(d))
		domain_save_status(d);
}

void domain_event(struct domain *d, const char *detail, const char *reason)
{
	manager_emit(d->manager, EVENT_LIFECYCLE, d, detail, reason);
}

int domain_add_wait(struct list *waits, domain_done_fn done, void *userdata)
{
	struct domain_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->done = done;
	w->userdata = userdata;
	list_add_tail(waits, &w->link);
	return 0;
}

void domain_finish_waits(struct list *waits, const struct error *error)
{
	/* A callback may add a wait of a later operation: only those that are here now. */
	struct list *last = waits->prev;

	while (!list_empty(waits)) {
		struct list *first = waits->next;
		struct domain_wait *w = list_entry(first, struct domain_wait, link);

		list_del(first);
		if (w->done)
			w->done(w->userdata, error);
		free(w);
		if (first == last)
			break;
	}
}

/* What runs, with the processors that it was given. 'live' itself stays as it was asked for: that is what a document is compared with. */
static int format_given(const struct domain *d, struct domain_live *live, char **ret_xml)
{
	_cleanup_(freep) struct vm_config *given = NULL;

	if (d->run->cpuid) {
		given = malloc(sizeof(*given));
		if (!given)
			return -ENOMEM;
		*given = d->live->vm;
		domain_machine_given(d->run->cpuid, given);
		live->given = given;
	}
	return domain_xml_format(d->live, live, ret_xml);
}

int domain_format_xml(const struct domain *d, bool inactive, char **ret_xml, struct error *error)
{
	const struct definition *at_rest =
		inactive && d->definition ? d->definition : domain_current(d);
	struct domain_live live = {.id = d->id, .current_memory_kib = domain_current_memory_kib(d)};

	if (inactive || !d->live) {
		*ret_xml = at_rest ? strdup(at_rest->xml) : NULL;
		return *ret_xml ? 0 : error_set(error, ERROR_NO_MEMORY, "xml");
	}
	for (unsigned i = 0; i < d->live->vm.n_memories; i++) {
		live.memories[i].number = d->live->memories[i].number;
		live.memories[i].current_kib = domain_memory_current_kib(d, i);
	}
	for (size_t i = 0; i < VM_MAX_SERIALS; i++)
		if (d->run->resources.serial_paths[i][0])
			live.serial_paths[i] = d->run->resources.serial_paths[i];
	for (size_t i = 0; i < VM_MAX_CONSOLES; i++)
		if (d->run->resources.console_paths[i][0])
			live.console_paths[i] = d->run->resources.console_paths[i];
	for (size_t i = 0; i < VM_MAX_CHANNELS; i++)
		if (d->run->resources.channel_paths[i][0])
			live.channel_paths[i] = d->run->resources.channel_paths[i];
	for (unsigned i = 0; i < d->live->vm.n_nics; i++) {
		const char *target = domain_nic_target(d, d->live->nics[i].number);

		live.nics[i].target = *target ? target : NULL;
	}
	return format_given(d, &live, ret_xml) < 0 ? error_set(error, ERROR_NO_MEMORY, "xml") : 0;
}
