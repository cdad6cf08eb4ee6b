/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Mirrors of a network (<vmmd:mirror>): which port watches which, by the names of the definition. The network's worker makes
 * the copies; what is mirrored passes through it and has no direct links (network-link.c). Tested by tests/unit/test-network-port.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/strutil.h"

/* 'name' is "DOMAIN/netN", N the number of the interface. */
static bool is_interface(const char *name, const struct domain *d, unsigned nic)
{
	char alias[24];
	size_t len = strlen(d->name);

	(void)snprintf(alias, sizeof(alias), "/net%u", nic);
	return strncmp(name, d->name, len) == 0 && streq(name + len, alias);
}

static bool is_port(const char *name, const struct network_port *port)
{
	const struct domain *d = manager_find_uuid(port->network->manager, port->domain);

	return d && is_interface(name, d, port->nic);
}

bool network_is_mirror_target(const struct network *n, const struct domain *d, unsigned nic)
{
	for (unsigned i = 0; i < n->config->n_mirrors; i++)
		if (is_interface(n->config->mirrors[i].to, d, nic))
			return true;
	return false;
}

bool network_is_mirrored(const struct network_port *port)
{
	const struct network_config *config = port->network->config;

	for (unsigned i = 0; i < config->n_mirrors; i++)
		if (is_port(config->mirrors[i].from, port))
			return true;
	return false;
}

/* The linked port of that name. */
static const struct network_port *find_linked(const struct network *n, const char *name)
{
	struct list *pos;

	list_for_each (pos, &n->ports) {
		const struct network_port *port = list_entry(pos, struct network_port, link);

		if (port->linked && is_port(name, port))
			return port;
	}
	return NULL;
}

void network_fill_mirrors(const struct network_port *port, struct proto_port *message)
{
	static const uint32_t directions[] = {
		CAPTURE_IN | CAPTURE_OUT, CAPTURE_IN, CAPTURE_OUT}; /* as the definition has them */
	const struct network *n = port->network;

	message->n_mirrors = 0;
	for (unsigned i = 0; i < n->config->n_mirrors; i++) {
		const struct network_mirror *m = &n->config->mirrors[i];
		bool is_from = is_port(m->from, port), is_to = is_port(m->to, port);
		const struct network_port *other = NULL;

		/* A port that others watch is not made to watch itself. */
		if (is_from != is_to)
			other = find_linked(n, is_from ? m->to : m->from);
		if (!other)
			continue;
		message->mirrors[message->n_mirrors++] = (struct proto_mirror){
			.from = (uint16_t)(is_from ? port->number : other->number),
			.to = (uint16_t)(is_from ? other->number : port->number),
			.direction = directions[m->direction]};
	}
}
