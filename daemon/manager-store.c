/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store in the daemon's loop: definitions change, what is to follow follows, and the journal begins anew when nothing else is
 * to be done. How it can fail is told here.
 *
 * Tested by tests/unit/test-manager.c and tests/unit/test-apply.c.
 */
#include <errno.h>
#include <string.h>

#include "daemon/journal.h"
#include "daemon/manager.h"
#include "vmm-core/base/log.h"

/* Definitions that come one after the other are not kept waiting by files of those before. */
#define FOLLOW_USEC (50 * UINT64_C(1000))
#define IDLE_USEC   (2 * UINT64_C(1000000))
#define RETRY_USEC  (5 * UINT64_C(1000000))

static void arm(struct manager *m, uint64_t usec)
{
	/* Without a timer, a full journal does it, or the end, or the next start. */
	(void)sd_event_source_set_time_relative(m->store_timer, usec);
	(void)sd_event_source_set_enabled(m->store_timer, SD_EVENT_ONESHOT);
}

void manager_tend_store(struct manager *m)
{
	if (m->store_fails)
		return;
	if (store_wants_turn(m->store))
		arm(m, 0);
	else if (m->store->unsettled)
		arm(m, FOLLOW_USEC);
	else if (!m->store->journal.retiring && !store_is_settled(m->store))
		arm(m, IDLE_USEC);
}

static void done(struct manager *m, int r)
{
	m->store_fails = r < 0;
	if (r < 0) {
		(void)log_error_errno(r,
			"the files of definitions do not follow; they are safe in the journal of "
			"%s: %m",
			m->store->state_dir);
		arm(m, RETRY_USEC);
	} else if (r > 0) {
		arm(m, 0);
	} else {
		manager_tend_store(m);
	}
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	int r = 0;

	(void)source;
	(void)usec;
	if (!m->store->journal.retiring && m->store->unsettled) {
		r = store_settle(m->store, STORE_SETTLE_AT_ONCE);
	} else {
		r = store_checkpoint(m->store);
		if (r == 0)
			r = store_tend(m->store);
	}
	done(m, r);
	return 0;
}

static int on_synced(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct manager *m = userdata;

	(void)source;
	(void)fd;
	(void)revents;
	manager_go_on_defining(m);
	done(m, store_tend(m->store));
	return 0;
}

int manager_watch_store(struct manager *m)
{
	int r = sd_event_add_time_relative(
		m->event, &m->store_timer, CLOCK_MONOTONIC, IDLE_USEC, 1, on_timer, m);

	if (r >= 0)
		r = sd_event_source_set_enabled(m->store_timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_io(
			m->event, &m->store_source, m->store->event_fd, EPOLLIN, on_synced, m);
	return r;
}

/* Why the journal takes nothing. */
static const char *reason(const struct store *store)
{
	return store->left_out == -EPROTONOSUPPORT
		? "is of a newer vmmd, which was killed or cannot be read by this one. Start that "
		  "one "
		  "once more, or compare the definitions and move the file away"
		: "is damaged: definitions that changed last may be old. Compare them, and move "
		  "the "
		  "file away";
}

void manager_tell_left_out(const struct manager *m)
{
	char file[4096];

	(void)snprintf(file, sizeof(file), "%s/%s", m->store->state_dir, m->store->left_out_name);
	journal_write(JOURNAL_DEFINITION_LEFT_OUT, &(struct journal_field){"VMMD_FILE", file}, 1,
		"%s is left out, and kept as it is: it %s. Until then definitions do not change",
		file, reason(m->store));
}

int manager_fail_change(struct manager *m, int r, struct error *error, const char *what)
{
	if (m->store->left_out && r == m->store->left_out)
		return error_set(error, ERROR_OPERATION_FAILED, "%s: %s/%s %s", what,
			m->store->state_dir, m->store->left_out_name, reason(m->store));
	if (r == -EFBIG)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"the definitions are more than %u bytes together; give fewer at once",
			CHANGESET_MAX_BYTES);
	return error_set_errno(error, r, "%s", what);
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
