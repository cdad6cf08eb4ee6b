/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a domain's run, and what on_poweroff, on_reboot and on_crash make of it.
 *
 * Tested by tests/unit/test-domain.c, test-reach.c.
 */
#include <string.h>

#include "daemon/cgroup.h"
#include "daemon/domain-internal.h"
#include "daemon/domain-nic.h"
#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/stats-view.h"
#include "daemon/worker-log.h"
#include "vmm-core/base/log.h"

/* What becomes of a run that ended: libvirt's words, and which action of the XML decides. */
static const struct {
	int shutoff_reason;
	const char *event_reason;
	size_t action; /* offset in struct domain_config; 0: none, it ends */
	uint8_t default_action;
} stops[DOMAIN_STOP_X_MAX] = {
	[DOMAIN_STOP_FAILED] = {DOMAIN_SHUTOFF_FAILED, "Failed", 0, 0},
	[DOMAIN_STOP_SHUTDOWN] = {DOMAIN_SHUTOFF_SHUTDOWN, "Shutdown",
		offsetof(struct domain_config, on_poweroff), DOMAIN_ACTION_DESTROY},
	[DOMAIN_STOP_RESET] = {DOMAIN_SHUTOFF_SHUTDOWN, "Shutdown",
		offsetof(struct domain_config, on_reboot), DOMAIN_ACTION_RESTART},
	[DOMAIN_STOP_REBOOT] = {DOMAIN_SHUTOFF_SHUTDOWN, "Shutdown",
		offsetof(struct domain_config, on_reboot), DOMAIN_ACTION_RESTART},
	[DOMAIN_STOP_DESTROYED] = {DOMAIN_SHUTOFF_DESTROYED, "Destroyed", 0, 0},
	[DOMAIN_STOP_PANICKED] = {DOMAIN_SHUTOFF_CRASHED, "Crashed",
		offsetof(struct domain_config, on_crash), DOMAIN_ACTION_DESTROY},
	[DOMAIN_STOP_CRASHED] = {DOMAIN_SHUTOFF_CRASHED, "Crashed",
		offsetof(struct domain_config, on_crash), DOMAIN_ACTION_DESTROY},
};

uint8_t domain_action_of(const struct domain_config *config, enum domain_stop stop)
{
	uint8_t action = DOMAIN_ACTION_DESTROY;

	if (stops[stop].action)
		memcpy(&action, (const char *)config + stops[stop].action, 1);
	return action == DOMAIN_ACTION_DEFAULT ? stops[stop].default_action : action;
}

bool domain_action_restarts(uint8_t action)
{
	return action == DOMAIN_ACTION_RESTART || action == DOMAIN_ACTION_RENAME_RESTART ||
		action == DOMAIN_ACTION_COREDUMP_RESTART;
}

void domain_end_run(struct domain *d)
{
	d->kill_timer = sd_event_source_disable_unref(d->kill_timer);
	if (d->worker)
		manager_rest_slot(d->manager, d->slot);
	domain_release_nics(d);
	d->worker = worker_free(d->worker);
	d->log = worker_log_free(d->log);
	d->stats = stats_view_free(d->stats);
	d->cgroup = cgroup_free(d->cgroup, true);
	resources_close(&d->run->resources);
	d->run->resources = (struct resources){0};
	domain_end_detaches(d);
	domain_end_vcpu_waits(d);
	domain_end_tunes(d);
	domain_end_memory_detaches(d);
	d->nics_plugging = 0;
	d->phase = DOMAIN_IDLE;
	domain_end_stats_waits(d);
	d->noted = d->degraded = false;
	(void)store_remove_runtime(&d->manager->store->domains, d->uuid);
}

static int on_kill_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct domain *d = userdata;

	(void)source;
	(void)usec;
	log_notice("domain '%s' did not end in time: killing its worker", d->name);
	worker_kill(d->worker);
	return 0;
}

void domain_kill_later(struct domain *d, uint64_t usec)
{
	d->kill_timer = sd_event_source_disable_unref(d->kill_timer);
	if (sd_event_add_time_relative(d->manager->event, &d->kill_timer, CLOCK_MONOTONIC, usec, 0,
		    on_kill_timer, d) < 0)
		worker_kill(d->worker);
}

/* True if one more restart fits the limit; counts it. */
static bool restart_allowed(struct domain *d)
{
	uint64_t now, *oldest = &d->restarts_usec[d->n_restarts % DOMAIN_RESTART_BURST];

	if (sd_event_now(d->manager->event, CLOCK_MONOTONIC, &now) < 0)
		return false;
	if (d->n_restarts >= DOMAIN_RESTART_BURST && now - *oldest < DOMAIN_RESTART_USEC) {
		log_warning("domain '%s' restarted %d times within %u s: it stays off", d->name,
			DOMAIN_RESTART_BURST, (unsigned)(DOMAIN_RESTART_USEC / 1000000));
		return false;
	}
	*oldest = now;
	d->n_restarts++;
	return true;
}

/* Run again with the same id and configuration; 'stop': why it does not run now. False if that did not work. Nobody is there who would try
 * again when its files have answered. */
static bool try_restart(struct domain *d, enum domain_stop stop)
{
	struct error e = {0};

	if (!restart_allowed(d))
		return false;
	d->restarting = true;
	d->reboot_pending = false;
	d->start_paused = false;
	d->stop = stop;
	if (domain_begin_run(d, /* patient= */ true, &e) < 0) {
		journal_domain(JOURNAL_DOMAIN_START_FAILED, d, "domain '%s' does not restart: %s",
			d->name, e.message);
		domain_end_run(d);
		return false;
	}
	if (d->run->reach)
		domain_set_state(d, DOMAIN_STATE_PAUSED, DOMAIN_PAUSED_STARTING_UP);
	else
		domain_set_state(d, DOMAIN_STATE_RUNNING, DOMAIN_RUNNING_BOOTED);
	return true;
}

/* It runs no more. 'error': for who waits for its start. */
static void stay_off(struct domain *d, enum domain_stop stop, const struct error *error)
{
	d->restarting = d->reboot_pending = false;
	domain_clear_live(d);
	d->id = -1;
	domain_set_state(d, DOMAIN_STATE_SHUTOFF, stops[stop].shutoff_reason);
	domain_event(d, "Stopped", stops[stop].event_reason);
	journal_domain(JOURNAL_DOMAIN_STOPPED, d, "domain '%s' stopped (%s)", d->name,
		domain_reason_name(d->state, d->reason));
	domain_finish_waits(&d->start_waits, error);
	domain_finish_waits(&d->stop_waits, NULL);
	if (!domain_is_persistent(d) && !domain_is_active(d))
		manager_remove(d->manager, d);
}

/* It has no worker. A restart that comes to nothing leaves it as it ended. */
void domain_fail_run(struct domain *d, const struct error *error)
{
	enum domain_stop stop = d->destroying ? DOMAIN_STOP_DESTROYED
		: d->restarting               ? d->stop
					      : DOMAIN_STOP_FAILED;

	if (!d->destroying)
		journal_domain(JOURNAL_DOMAIN_START_FAILED, d, "domain '%s' does not %s: %s",
			d->name, d->restarting ? "restart" : "start", error->message);
	domain_end_run(d);
	stay_off(d, stop, error);
}

static enum domain_stop why_stopped(const struct domain *d, bool violation)
{
	if (d->phase == DOMAIN_STARTING && !d->restarting)
		return d->destroying ? DOMAIN_STOP_DESTROYED : DOMAIN_STOP_FAILED;
	if (d->destroying)
		return DOMAIN_STOP_DESTROYED;
	return d->stop_seen && !violation ? d->stop : DOMAIN_STOP_CRASHED;
}

void domain_gone(void *opaque, const struct worker_exit *how)
{
	struct domain *d = opaque;
	enum domain_stop stop = why_stopped(d, how->violation);
	struct error e = d->run->start_error;
	bool oom = how->by_other && !d->stop_seen && cgroup_oom_killed(d->cgroup);

	/* If it said STOPPED, it said why, too. */
	if (stop == DOMAIN_STOP_CRASHED && !d->stop_seen)
		journal_domain(oom ? JOURNAL_DOMAIN_OUT_OF_MEMORY : JOURNAL_DOMAIN_CRASHED, d,
			"domain '%s' crashed: %s%s", d->name, how->text,
			oom ? ": out of memory (of its control group, or of the host)" : "");
	if (oom) {
		d->manager->n_oom_kills++;
		if (stop == DOMAIN_STOP_CRASHED)
			domain_event(d, "Crashed", "OutOfMemory");
		(void)error_set(&e, ERROR_NO_MEMORY,
			"the worker of domain '%s' used up the memory of its control group",
			d->name);
	}
	if (e.code == ERROR_NONE)
		(void)error_set(&e, ERROR_INTERNAL, "%s", how->text);
	if (stop == DOMAIN_STOP_FAILED)
		journal_domain(JOURNAL_DOMAIN_START_FAILED, d, "domain '%s' does not start: %s",
			d->name, e.message);
	domain_end_run(d);
	if (!domain_action_restarts(domain_action_of(d->live, stop)) || !try_restart(d, stop))
		stay_off(d, stop, &e);
}
