/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store in the daemon's loop: definitions change, what is to follow follows, and the journal begins anew when nothing else is
 * to be done. What fails is tried again later, and later each time; while nothing is to be done there is no timer.
 *
 * Tested by tests/unit/test-manager-store.c, tests/unit/test-manager.c and tests/unit/test-apply.c.
 */
#include <string.h>

#include "daemon/manager-store.h"

/* Definitions that come one after the other are not kept waiting by files of those before. */
#define FOLLOW_USEC (50 * UINT64_C(1000))
#define IDLE_USEC   (2 * UINT64_C(1000000))

static void arm(sd_event_source *timer, uint64_t usec)
{
	/* Without a timer, a full journal does it, or the end, or the next start. */
	(void)sd_event_source_set_time_relative(timer, usec);
	(void)sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

/* What failed is tried again after a while that doubles each time, until nothing fails. */
static void arm_retry(struct manager *m)
{
	int enabled = SD_EVENT_OFF;

	if (!m->store->stuck && !m->store->journal.failure)
		m->store_delay_usec = 0;
	if (!store_wants_retry(m->store)) {
		(void)sd_event_source_set_enabled(m->store_retry_timer, SD_EVENT_OFF);
		return;
	}
	if (sd_event_source_get_enabled(m->store_retry_timer, &enabled) > 0)
		return;
	m->store_delay_usec = m->store_delay_usec
		? MIN(2 * m->store_delay_usec, MANAGER_STORE_RETRY_MAX_USEC)
		: MANAGER_STORE_RETRY_USEC;
	arm(m->store_retry_timer, m->store_delay_usec);
}

void manager_tend_store(struct manager *m)
{
	const struct store *store = m->store;

	manager_tell_stuck(m);
	arm_retry(m);
	if (store_wants_turn(store))
		arm(m->store_timer, 0);
	else if (store->unsettled)
		arm(m->store_timer, FOLLOW_USEC);
	else if (!store->journal.retiring && !store->journal.is_held && !store_is_settled(store))
		arm(m->store_timer, IDLE_USEC);
}

/* The disk has answered definitions that are on their way. Whoever tends the store takes that with all else that it says, and no event tells
 * of it any more. */
static bool is_answered(const struct manager *m)
{
	return m->n_committing && !m->store->commit.wait.n_left;
}

static void done(struct manager *m, int r, bool was_carrying)
{
	manager_tend_store(m);
	if (r > 0)
		arm(m->store_timer, 0);
	/* Definitions may have waited for that. */
	if ((was_carrying && !store_is_carrying(m->store)) || is_answered(m))
		manager_go_on_defining(m);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	const bool was_carrying = store_is_carrying(m->store);
	int r;

	(void)source;
	(void)usec;
	/* What goes wrong with it is the store's to remember, and told below. */
	if (m->store->unsettled && !store_wants_turn(m->store)) {
		r = store_settle(m->store, STORE_SETTLE_AT_ONCE);
	} else {
		r = store_checkpoint(m->store);
		if (r == 0)
			r = store_tend(m->store);
	}
	done(m, r, was_carrying);
	return 0;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;

	(void)source;
	(void)usec;
	store_retry(m->store);
	manager_tend_store(m);
	return 0;
}

static int on_synced(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct manager *m = userdata;
	bool was_carrying;

	(void)source;
	(void)fd;
	(void)revents;
	manager_go_on_defining(m);
	was_carrying = store_is_carrying(m->store);
	done(m, store_tend(m->store), was_carrying);
	return 0;
}

static int add_timer(struct manager *m, sd_event_source **ret, sd_event_time_handler_t run)
{
	int r = sd_event_add_time_relative(m->event, ret, CLOCK_MONOTONIC, IDLE_USEC, 1, run, m);

	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int manager_watch_store(struct manager *m)
{
	int r = add_timer(m, &m->store_timer, on_timer);

	if (r >= 0)
		r = add_timer(m, &m->store_retry_timer, on_retry);
	if (r >= 0)
		r = sd_event_add_io(
			m->event, &m->store_source, m->store->event_fd, EPOLLIN, on_synced, m);
	return r;
}

int manager_change(struct manager *m, enum changeset_verb verb, enum changeset_kind kind,
	const uint8_t uuid[16], const char *name, const char *xml, struct error *error)
{
	static const char *const verbs[CHANGESET_VERB_X_MAX] = {"save the definition",
		"delete the definition", "save the autostart flag", "save the autostart flag"};
	struct changeset_item item = {.verb = verb, .kind = kind, .xml = xml};
	char what[128 + VM_NAME_MAX];
	int r;

	memcpy(item.uuid, uuid, sizeof(item.uuid));
	manager_commit(m);
	r = store_change(m->store, &item, 1);
	manager_tend_store(m);
	if (r == 0)
		return 0;
	(void)snprintf(what, sizeof(what), "cannot %s of %s'%s'", verbs[verb],
		kind == CHANGESET_NETWORKS ? "network " : "", name);
	return manager_fail_change(m, r, error, what);
}
