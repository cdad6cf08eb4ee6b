/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain's balloon: how much memory its guest has, is to have, and what the guest says of it.
 *
 * Numbers are read from the page that the worker shares; only fresh statistics need the guest, and whoever wants them waits for at
 * most DOMAIN_STATS_USEC.
 *
 * Tested by tests/unit/test-dbus.c.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "daemon/stats-view.h"
#include "vmm-core/base/log.h"

#define PAGE_KIB 4

/* NULL: there is no balloon, or nothing to be read of it. */
static const struct vm_stats_balloon *stats_of(const struct domain *d)
{
	if (!d->live || d->live->vm.balloon.model == VM_BALLOON_NONE || !d->stats)
		return NULL;
	return &stats_view_page(d->stats)->balloon;
}

uint64_t domain_current_memory_kib(const struct domain *d)
{
	const struct vm_stats_balloon *stats = stats_of(d);
	const struct definition *current = domain_current(d);
	uint64_t given_up;

	if (!d->live)
		return current->current_memory_kib;
	given_up = stats ? MIN(stat_read(&stats->actual), d->live->vm.memory_kib / PAGE_KIB) : 0;
	return d->live->vm.memory_kib - given_up * PAGE_KIB + domain_plugged_kib(d);
}

static int edit_balloon(struct domain_config *config, const void *what)
{
	const struct vm_config *live = what;

	config->vm.current_memory_kib = live->current_memory_kib;
	config->vm.balloon.stats_period_s = live->balloon.stats_period_s;
	return 0;
}

static void note_wish(struct domain *d)
{
	int r = domain_edit_running(d, edit_balloon, &d->live->vm);

	if (r < 0)
		log_warning("domain '%s': a change of its balloon is not in its XML: %s", d->name,
			strerror(-r));
}

struct wish {
	struct domain *domain;
	uint64_t kib;      /* 0: stays */
	uint32_t period_s; /* without 'kib' */
	bool passing;      /* what runs does not remember it */
	domain_done_fn done;
	void *userdata;
};

static void on_set(void *userdata, const struct error *error)
{
	struct wish *wish = userdata;
	struct vm_config *vm = wish->domain->live ? &wish->domain->live->vm : NULL;

	if (!wish->passing)
		wish->domain->n_balloon_wishes--;
	if (!error && vm && !wish->passing) {
		if (wish->kib)
			vm->current_memory_kib = wish->kib;
		else
			vm->balloon.stats_period_s = wish->period_s;
		note_wish(wish->domain);
	}
	wish->done(wish->userdata, error);
	free(wish);
}

static int set(const struct wish *wish, const struct proto_balloon *what, struct error *error)
{
	struct domain *d = wish->domain;
	struct wish *copy;
	int r;

	if (d->live && d->live->vm.balloon.model == VM_BALLOON_NONE)
		return error_set(error, ERROR_OPERATION_INVALID,
			"Unable to change memory of active domain without the balloon device and "
			"guest OS balloon driver");
	copy = malloc(sizeof(*copy));
	if (!copy)
		return error_set(error, ERROR_NO_MEMORY, "request");
	*copy = *wish;
	r = domain_request(d, PROTO_BALLOON_SET, "change its balloon", what, sizeof(*what), on_set,
		copy, error);
	if (r < 0)
		free(copy);
	else if (!wish->passing)
		d->n_balloon_wishes++;
	return r;
}

int domain_set_memory(
	struct domain *d, uint64_t kib, domain_done_fn done, void *userdata, struct error *error)
{
	struct wish wish = {.domain = d, .done = done, .userdata = userdata};
	struct proto_balloon what = {.flags = PROTO_BALLOON_TARGET};
	uint64_t plugged_kib = domain_plugged_kib(d);

	if (d->live && kib > d->live->vm.memory_kib + plugged_kib)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			d->live->vm.n_memories
				? "cannot set memory higher than max memory: what memory devices "
				  "have beyond that comes by vmctl update-memory-device"
				: "cannot set memory higher than max memory");
	/* The balloon takes from the rest. */
	wish.kib = kib -= MIN(plugged_kib, kib);
	if (kib < PAGE_KIB)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"a guest cannot do without all of its memory");
	if (d->live)
		what.target = (uint32_t)((d->live->vm.memory_kib - kib) / PAGE_KIB);
	return set(&wish, &what, error);
}

int domain_set_balloon(
	struct domain *d, uint64_t kib, domain_done_fn done, void *userdata, struct error *error)
{
	struct wish wish = {.domain = d, .passing = true, .done = done, .userdata = userdata};
	struct proto_balloon what = {.flags = PROTO_BALLOON_TARGET};

	if (!d->live || kib < PAGE_KIB || kib > d->live->vm.current_memory_kib)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"a balloon leaves a guest some of its memory, and at most <currentMemory>");
	what.target = (uint32_t)((d->live->vm.memory_kib - kib) / PAGE_KIB);
	return set(&wish, &what, error);
}

bool domain_read_balloon(const struct domain *d, struct domain_balloon *ret)
{
	const struct vm_stats_balloon *stats = stats_of(d);
	const struct vm_config *vm;
	uint64_t has_kib;

	*ret = (struct domain_balloon){0};
	if (!stats)
		return false;
	vm = &d->live->vm;
	ret->ceiling_kib = MIN(vm->current_memory_kib ?: vm->memory_kib, vm->memory_kib);
	ret->target_kib = vm->memory_kib -
		MIN(stat_read(&stats->target), vm->memory_kib / PAGE_KIB) * PAGE_KIB;
	/* Of its boot memory: what is plugged in beside it is no balloon's. */
	has_kib = domain_current_memory_kib(d);
	ret->has_kib = has_kib - MIN(domain_plugged_kib(d), has_kib);
	return true;
}

int domain_set_stats_period(struct domain *d, uint32_t period_s, domain_done_fn done,
	void *userdata, struct error *error)
{
	struct wish wish = {.domain = d, .period_s = period_s, .done = done, .userdata = userdata};
	struct proto_balloon what = {.flags = PROTO_BALLOON_PERIOD, .period_s = period_s};

	return set(&wish, &what, error);
}

/* Statistics of now. */

void domain_end_stats_waits(struct domain *d)
{
	d->stats_timer = sd_event_source_disable_unref(d->stats_timer);
	domain_finish_waits(&d->stats_waits, NULL);
}

static int on_stats_late(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	domain_end_stats_waits(userdata);
	return 0;
}

static void on_stats_asked(void *userdata, int error, const char *text)
{
	(void)text;
	/* The guest has no driver for it: what there is counts. */
	if (error < 0)
		domain_end_stats_waits(userdata);
}

int domain_ask_stats(struct domain *d, domain_done_fn done, void *userdata)
{
	bool first = list_empty(&d->stats_waits);

	if (d->phase != DOMAIN_ACTIVE || d->degraded || d->state != DOMAIN_STATE_RUNNING ||
		!stats_of(d) || domain_add_wait(&d->stats_waits, done, userdata) < 0)
		return 1;
	if (!first)
		return 0;
	if (sd_event_add_time_relative(d->manager->event, &d->stats_timer, CLOCK_MONOTONIC,
		    DOMAIN_STATS_USEC, 0, on_stats_late, d) >= 0 &&
		worker_request(d->worker, PROTO_BALLOON_STATS, NULL, 0, NULL, 0,
			DOMAIN_REQUEST_USEC, on_stats_asked, d) == 0)
		return 0;
	d->stats_timer = sd_event_source_disable_unref(d->stats_timer);
	domain_drop_waits(&d->stats_waits);
	return 1;
}

/* libvirt's names, in its order. */
const struct domain_memory_stat domain_memory_stats[DOMAIN_MEMORY_STATS] = {
	{"swap_in", 0, 1024},
	{"swap_out", 1, 1024},
	{"major_fault", 2, 1},
	{"minor_fault", 3, 1},
	{"unused", 4, 1024},
	{"available", 5, 1024},
	{"usable", 6, 1024},
	{"disk_caches", 7, 1024},
	{"hugetlb_pgalloc", 8, 1},
	{"hugetlb_pgfail", 9, 1},
};

bool domain_read_memory_stats(const struct domain *d, struct domain_memory *ret)
{
	const struct vm_stats_balloon *stats = stats_of(d);
	uint64_t updated_ns;
	struct timespec now, wall;

	*ret = (struct domain_memory){0};
	if (!stats)
		return false;
	ret->given_back = stat_read(&stats->given_back);
	ret->reported = stat_read(&stats->reported);
	updated_ns = ret->updated_ns = stat_read(&stats->updated_ns);
	ret->known = (uint32_t)stat_read(&stats->known);
	for (size_t i = 0; i < DOMAIN_MEMORY_STATS; i++)
		ret->values[i] = stat_read(&stats->values[domain_memory_stats[i].tag]) /
			domain_memory_stats[i].unit;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	(void)clock_gettime(CLOCK_REALTIME, &wall);
	if (updated_ns && updated_ns / NSEC_PER_SEC <= (uint64_t)now.tv_sec)
		ret->updated_s =
			(uint64_t)wall.tv_sec - ((uint64_t)now.tv_sec - updated_ns / NSEC_PER_SEC);
	return true;
}

void domain_balloon_changed(struct domain *d, uint32_t pages)
{
	uint64_t max = d->live ? d->live->vm.memory_kib : 0;
	char text[32];

	if (!d->live || d->live->vm.balloon.model == VM_BALLOON_NONE)
		return;
	(void)snprintf(text, sizeof(text), "%lluKiB",
		(unsigned long long)(max - MIN((uint64_t)pages * PAGE_KIB, max) +
			domain_plugged_kib(d)));
	manager_emit(d->manager, EVENT_BALLOON_CHANGE, d, text, "");
}

int domain_read_mmu_stats(
	struct domain *d, domain_done_fn done, void *userdata, struct error *error)
{
	return domain_request(
		d, PROTO_MMU_STATS, "tell what KVM's MMU does", NULL, 0, done, userdata, error);
}
