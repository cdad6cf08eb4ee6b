/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's run: what its worker says, and what that means. The start is domain-start.c's, the end domain-end.c's.
 *
 * Tested by tests/unit/test-domain.c.
 */
#include <string.h>

#include "daemon/domain-internal.h"
#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/network.h"
#include "vmm-core/base/log.h"

/* The guest is gone: the process has a moment to end by itself. */
static void on_stopped(struct domain *d, uint32_t reason)
{
	static const enum domain_stop reasons[PROTO_VM_REASON_X_MAX] = {
		[PROTO_REASON_NONE] = DOMAIN_STOP_SHUTDOWN,
		[PROTO_REASON_USER] = DOMAIN_STOP_DESTROYED,
		[PROTO_REASON_GUEST_POWEROFF] = DOMAIN_STOP_SHUTDOWN,
		[PROTO_REASON_GUEST_RESET] = DOMAIN_STOP_RESET,
		[PROTO_REASON_PANICKED] = DOMAIN_STOP_PANICKED,
		[PROTO_REASON_IO_ERROR] = DOMAIN_STOP_CRASHED,
		[PROTO_REASON_CRASHED] = DOMAIN_STOP_CRASHED,
		[PROTO_REASON_DEBUG_EXIT] = DOMAIN_STOP_SHUTDOWN,
	};

	if (d->stop_seen)
		return;
	d->stop_seen = true;
	d->stop = reasons[reason];
	if (d->stop == DOMAIN_STOP_SHUTDOWN && d->reboot_pending)
		d->stop = DOMAIN_STOP_REBOOT;
	if (d->stop == DOMAIN_STOP_SHUTDOWN) {
		domain_set_state(d, DOMAIN_STATE_SHUTDOWN, DOMAIN_SHUTDOWN_UNKNOWN);
		domain_event(d, "Shutdown", "Finished");
	} else if (d->stop == DOMAIN_STOP_PANICKED) {
		domain_event(d, "Crashed", "Panicked");
	}
	if (!d->destroying)
		domain_kill_later(d, DOMAIN_QUIT_USEC);
}

static void on_paused(struct domain *d, uint32_t reason)
{
	if (reason == PROTO_REASON_PANICKED) {
		if (d->state == DOMAIN_STATE_CRASHED)
			return;
		domain_set_state(d, DOMAIN_STATE_CRASHED, DOMAIN_CRASHED_PANICKED);
		domain_event(d, "Crashed", "Panicked");
		return;
	}
	if (d->state == DOMAIN_STATE_PAUSED && d->reason != DOMAIN_PAUSED_STARTING_UP)
		return;
	domain_set_state(d, DOMAIN_STATE_PAUSED,
		reason == PROTO_REASON_IO_ERROR ? DOMAIN_PAUSED_IOERROR : DOMAIN_PAUSED_USER);
	domain_event(d, "Suspended", reason == PROTO_REASON_IO_ERROR ? "I/O Error" : "Paused");
}

static void on_state(void *opaque, const struct proto_state *s)
{
	struct domain *d = opaque;

	if (s->text[0])
		log_info("domain '%s': %s", d->name, s->text);
	if (s->state == PROTO_VM_STOPPED)
		on_stopped(d, s->reason);
	if (s->state == PROTO_VM_STOPPED || d->phase != DOMAIN_ACTIVE)
		return; /* before START's answer: that one counts */
	domain_nics_seen(d, s->nics);
	if (s->state == PROTO_VM_PAUSED)
		on_paused(d, s->reason);
	else if (d->state == DOMAIN_STATE_PAUSED || d->state == DOMAIN_STATE_CRASHED) {
		domain_set_state(d, DOMAIN_STATE_RUNNING, DOMAIN_RUNNING_UNPAUSED);
		domain_event(d, "Resumed", "Unpaused");
	}
	/* Of an adopted one: see on_adopted(). */
	domain_finish_waits(&d->start_waits, NULL);
}

/* An adopted worker answers at last: its state is the truth, quietly. */
static void on_adopted(struct domain *d, const struct proto_state *s)
{
	struct error e = {0};

	if (d->degraded)
		log_notice(
			"domain '%s': its worker %d is back", d->name, (int)worker_pid(d->worker));
	d->degraded = false;
	if (s->state == PROTO_VM_NEW) {
		(void)error_set(&e, ERROR_INTERNAL, "the daemon ended before it had sent START");
		domain_fail_start(d, &e);
		return;
	}
	d->phase = DOMAIN_ACTIVE;
	if (s->state == PROTO_VM_RUNNING && d->state != DOMAIN_STATE_RUNNING)
		domain_set_state(d, DOMAIN_STATE_RUNNING,
			d->reason == DOMAIN_PAUSED_STARTING_UP ? DOMAIN_RUNNING_BOOTED
							       : DOMAIN_RUNNING_UNPAUSED);
	else if (s->state != PROTO_VM_RUNNING)
		on_state(d, s);
	if (s->state != PROTO_VM_STOPPED)
		domain_nics_seen(d, s->nics);
	if (s->state != PROTO_VM_STOPPED && domain_pin_all(d, &e) < 0)
		log_warning("%s", e.message);
	network_find_directs(d);
	manager_changed(d->manager, d);
	/* A pause that is under way is waited for: then its state is the truth. */
	if (s->state != PROTO_VM_RUNNING || !s->code)
		domain_finish_waits(&d->start_waits, NULL);
}

static void on_hello(void *opaque, const struct proto_state *s)
{
	struct domain *d = opaque;

	if (d->phase == DOMAIN_STARTING)
		domain_send_start(d);
	else
		on_adopted(d, s);
}

static void on_notice(void *opaque, const struct proto_notice *n)
{
	struct domain *d = opaque;

	switch (n->kind) {
	case PROTO_NOTICE_GUEST_RESET:
		manager_emit(d->manager, EVENT_REBOOT, d, "", "");
		break;
	case PROTO_NOTICE_IO_ERROR:
		manager_emit(d->manager, EVENT_IO_ERROR, d, "",
			d->live && n->index < d->live->vm.n_disks
				? d->live->vm.disks[n->index].target
				: "");
		break;
	case PROTO_NOTICE_BALLOON:
		domain_balloon_changed(d, n->index);
		break;
	case PROTO_NOTICE_BALLOON_STATS:
		domain_end_stats_waits(d);
		break;
	case PROTO_NOTICE_MEMORY:
		domain_memory_changed(d, n->index);
		break;
	case PROTO_NOTICE_VCPU_REFUSED:
		domain_vcpu_refused(d, n->index);
		break;
	default:
		log_info("domain '%s': %s", d->name, n->text);
	}
}

static void on_net_event(void *opaque, const struct proto_net_event *e)
{
	const struct domain *d = opaque;

	if (e->kind == PROTO_NET_LINK_BROKEN)
		log_warning("domain '%s': the ring of vNIC %u's link %u was broken by its peer",
			d->name, e->a, e->b);
}

static bool on_vcpus(void *opaque, const struct proto_vcpus *vcpus)
{
	return domain_vcpus_seen(opaque, vcpus->bits);
}

static bool on_memories(void *opaque, const struct proto_memories *memories)
{
	return domain_memories_seen(opaque, memories->bits);
}

static void on_cpuid(void *opaque, const struct proto_cpuid *cpuid)
{
	domain_cpuid_told(opaque, cpuid);
}

static bool on_links(void *opaque, const struct proto_links *links)
{
	return network_links_told(opaque, links);
}

static void on_silent(void *opaque)
{
	struct domain *d = opaque;
	struct error e = {0};

	if (d->phase != DOMAIN_ACTIVE)
		return;
	d->degraded = true;
	journal_domain(JOURNAL_DOMAIN_SILENT, d,
		"domain '%s': its worker %d lives but does not answer; it is left alone", d->name,
		(int)worker_pid(d->worker));
	manager_changed(d->manager, d);
	(void)error_set(
		&e, ERROR_RESOURCE_BUSY, "the worker of domain '%s' does not answer", d->name);
	domain_finish_waits(&d->start_waits, &e);
}

static void on_hung(void *opaque, bool hung)
{
	struct domain *d = opaque;

	d->degraded = hung;
	if (hung)
		journal_domain(JOURNAL_DOMAIN_SILENT, d,
			"domain '%s': its worker %d lives but does not answer; it is left alone",
			d->name, (int)worker_pid(d->worker));
	else
		log_notice("domain '%s': its worker %d answers again", d->name,
			(int)worker_pid(d->worker));
	manager_changed(d->manager, d);
}

const struct worker_ops domain_worker_ops = {
	.hello = on_hello,
	.state = on_state,
	.notice = on_notice,
	.net_event = on_net_event,
	.links = on_links,
	.vcpus = on_vcpus,
	.memories = on_memories,
	.cpuid = on_cpuid,
	.hung = on_hung,
	.silent = on_silent,
	.gone = domain_gone,
};
