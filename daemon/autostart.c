/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Domains that start with the host. The host has just started, and those who answer for their files perhaps not yet: they have more time
 * than a caller would give them (reach.h), and nobody waits for them but the domains that need them.
 *
 * Tested by tests/unit/test-reach.c and tests/unit/test-manager.c.
 */
#include "daemon/manager.h"
#include "daemon/network.h"

static void on_autostarted(void *userdata, const struct error *error)
{
	(void)userdata;
	(void)error; /* domain-start.c has logged it */
}

void manager_autostart(struct manager *m)
{
	struct list *pos;

	if (!store_first_start(m->store))
		return;
	network_autostart_all(m);
	list_for_each (pos, &m->domains) {
		struct domain *d = list_entry(pos, struct domain, link);
		struct error e = {0};

		if (d->autostart && !domain_is_active(d))
			(void)domain_start(d, DOMAIN_START_PATIENT, on_autostarted, NULL, &e);
	}
}
