/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains that start with the host: those at once that lie on the host's own file systems, the others when those who must answer for
 * their files have answered, some at a time (reach.h). One that gets no answer is tried again, for minutes: others may still be starting.
 *
 * Tested by tests/unit/test-reach.c and tests/unit/test-manager.c.
 */
#include <stdlib.h>
#include <string.h>

#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/mounts.h"
#include "daemon/network.h"
#include "daemon/reach.h"

#define AUTOSTART_TRIES 30 /* of REACH_USEC each */

static void on_autostarted(void *userdata, const struct error *error)
{
	(void)userdata;
	(void)error; /* domain-run.c has logged it */
}

/* Domains whose files others must answer for, as far as these can be looked for at one time. */
struct autostart {
	struct list link; /* manager.autostarts; of none that is looked for */
	struct manager *manager;
	uint8_t uuid[16];
	unsigned tries;
};

static void autostart_more(struct manager *m);

static void on_autostart_reached(void *userdata, const struct error *error)
{
	struct autostart *a = userdata;
	struct manager *m = a->manager;
	struct domain *d = manager_find_uuid(m, a->uuid);
	struct error e = {0};

	if (d && error && error->code == ERROR_TIMEOUT && ++a->tries < AUTOSTART_TRIES) {
		list_add_tail(&m->autostarts, &a->link);
	} else {
		if (d && error)
			journal_domain(JOURNAL_DOMAIN_START_FAILED, d,
				"domain '%s' does not start: %s", d->name, error->message);
		else if (d && !domain_is_active(d))
			(void)domain_start(d, 0, on_autostarted, NULL, &e);
		free(a);
	}
	/* Those that end with the daemon are not followed by others. */
	if (!error || error->code == ERROR_TIMEOUT)
		autostart_more(m);
}

static void autostart_one(struct manager *m, struct autostart *a)
{
	_cleanup_(domain_config_freep) struct domain_config *config = NULL;
	struct domain *d = manager_find_uuid(m, a->uuid);
	struct error e = {0};
	int r;

	if (!d || domain_is_active(d) || definition_parse(d->definition, &config) < 0) {
		free(a);
		return;
	}
	r = reach_domain(m, config, on_autostart_reached, a, &e);
	if (r > 0)
		return;
	if (r < 0)
		journal_domain(JOURNAL_DOMAIN_START_FAILED, d, "domain '%s' does not start: %s",
			d->name, e.message);
	else
		(void)domain_start(d, 0, on_autostarted, NULL, &e);
	free(a);
}

/* Half of all places: callers want some, too. */
static void autostart_more(struct manager *m)
{
	while (!list_empty(&m->autostarts) && m->n_reaches < REACH_MAX / 2) {
		struct autostart *a = list_entry(m->autostarts.next, struct autostart, link);

		list_del(&a->link);
		autostart_one(m, a);
	}
}

void manager_forget_autostart(struct manager *m)
{
	while (!list_empty(&m->autostarts)) {
		struct autostart *a = list_entry(m->autostarts.next, struct autostart, link);

		list_del(&a->link);
		free(a);
	}
}

/* The host has just started, and others perhaps not yet: nobody waits for them but the domains that need them. */
static void autostart(struct manager *m, struct domain *d)
{
	struct autostart *a = mounts_any_far(m->mounts) ? calloc(1, sizeof(*a)) : NULL;
	struct error e = {0};

	if (!a) {
		(void)domain_start(d, 0, on_autostarted, NULL, &e);
		return;
	}
	a->manager = m;
	memcpy(a->uuid, d->uuid, 16);
	list_add_tail(&m->autostarts, &a->link);
}

void manager_autostart(struct manager *m)
{
	struct list *pos;

	if (!store_first_start(m->store))
		return;
	network_autostart_all(m);
	list_for_each (pos, &m->domains) {
		struct domain *d = list_entry(pos, struct domain, link);

		if (d->autostart && !domain_is_active(d))
			autostart(m, d);
	}
	autostart_more(m);
}
