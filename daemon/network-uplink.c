/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a network's worker tells of its uplinks, and what follows: guests' links go down with the last uplink, and up again
 * with the first; a NIC that was gone is opened anew when it is back.
 *
 * Tested by tests/unit/test-network-port.c and tests/net/test-daemon.c.
 */
#include <errno.h>
#include <string.h>

#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define GONE_USEC   UINT64_C(1000000) /* how often it is looked whether a NIC is back */
#define MAX_RETRY_S 64U

/* Guests' links. */

static void tell_guests(const struct network *n)
{
	struct list *pos;

	list_for_each (pos, &n->ports) {
		const struct network_port *port = list_entry(pos, struct network_port, link);

		if (port->linked)
			network_tell_guest(port);
	}
}

/* All guests once more: that is the same as what those heard who could be told. */
static int on_guests_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	struct list *pos;

	(void)source;
	(void)usec;
	m->guests_timer = sd_event_source_disable_unref(m->guests_timer);
	list_for_each (pos, &m->networks) {
		const struct network *n = list_entry(pos, struct network, link);

		if (n->uplinks_known)
			tell_guests(n);
	}
	return 0;
}

/* Later and later, until it works or the uplinks change. */
static void tell_later(struct manager *m)
{
	if (m->guests_timer)
		return;
	m->guests_delay_s = m->guests_delay_s ? MIN(2 * m->guests_delay_s, MAX_RETRY_S) : 1;
	if (sd_event_add_time_relative(m->event, &m->guests_timer, CLOCK_MONOTONIC,
		    m->guests_delay_s * UINT64_C(1000000), 0, on_guests_timer, m) < 0)
		log_warning("a guest's link that does not follow the uplinks stays as it is");
}

/* The network may be gone by now; the manager is not. */
static void on_nic_reply(void *userdata, int error, const char *text)
{
	struct manager *m = userdata;

	/* Who has no worker (any more) is told when it has one. */
	if (error >= 0 || error == -ECONNRESET || error == -ENODEV)
		return;
	if (!m->guests_timer)
		log_warning("a guest's link does not follow the uplinks yet: %s",
			*text ? text : strerror(-error));
	tell_later(m);
}

void network_tell_guest(const struct network_port *port)
{
	struct network *n = port->network;
	const struct domain *d = manager_find_uuid(n->manager, port->domain);
	struct proto_nic message = {.nic = port->nic, .port = port->config};
	int r;

	if (!d || !d->worker)
		return;
	/* An earlier daemon's, that has not said HELLO yet. */
	if (!worker_is_connected(d->worker)) {
		tell_later(n->manager);
		return;
	}
	if (n->uplinks_down)
		message.port.flags |= NET_PORT_LINK_DOWN;
	r = worker_request(d->worker, PROTO_NIC_SET, &message, sizeof(message), NULL, 0,
		NETWORK_REQUEST_USEC, on_nic_reply, n->manager);
	if (r < 0)
		on_nic_reply(n->manager, r, "");
}

/* Who cannot be asked, or does not know how to, is announced by the team alone. */
static void announce(const struct network_port *port)
{
	const struct domain *d = manager_find_uuid(port->network->manager, port->domain);
	struct proto_nic_id message = {.nic = port->nic};

	if (port->linked && !(port->config.flags & NET_PORT_MIRROR) && d && d->worker &&
		worker_is_connected(d->worker))
		(void)worker_request(d->worker, PROTO_NIC_ANNOUNCE, &message, sizeof(message), NULL,
			0, NETWORK_REQUEST_USEC, NULL, NULL);
}

void network_announce_guests(const struct network *n)
{
	struct list *pos;

	list_for_each (pos, &n->ports)
		announce(list_entry(pos, struct network_port, link));
}

static void guests_follow(struct network *n, bool up)
{
	/* Where guests' links do not follow, the worker does not tell; but it is not believed. */
	if (n->config->net.team.guest_link_up || (n->uplinks_known && n->uplinks_down == !up))
		return;
	n->uplinks_known = true;
	n->uplinks_down = !up;
	n->manager->guests_delay_s = 0;
	tell_guests(n);
}

/* Numbers. */

void network_uplinks_begin(struct network *n)
{
	const struct net_config *net = &n->config->net;

	memset(n->members, 0, sizeof(n->members));
	n->n_members = net->n_uplinks;
	for (unsigned i = 0; i < net->n_uplinks; i++)
		memcpy(n->members[i], net->uplinks[i].ifname, NET_IFNAME_MAX);
}

const char *network_uplink_name(const struct network *n, unsigned member)
{
	return member < n->n_members ? n->members[member] : "";
}

int network_uplink_number(const struct network *n, const char *ifname)
{
	for (unsigned i = 0; i < n->n_members; i++)
		if (*ifname && streq(n->members[i], ifname))
			return (int)i;
	return -ENOENT;
}

static const struct net_uplink *find_config(const struct network *n, const char *ifname)
{
	for (unsigned i = 0; i < n->config->net.n_uplinks; i++)
		if (streq(n->config->net.uplinks[i].ifname, ifname))
			return &n->config->net.uplinks[i];
	return NULL;
}

/* NICs that were gone. */

static void look_later(struct network *n);

/* Whether it is still gone is in the worker's next words, or else looked at again. So is one that the worker has not got at
 * all. */
static void on_added(void *userdata, int error, const char *text)
{
	struct network *n = userdata;

	if (error < 0 && error != -ECONNRESET && n->team && n->team->known) {
		network_uplinks_are(n, &n->team->state);
		for (unsigned i = n->team->state.n_members; error != -EEXIST && i < n->n_members;
			i++)
			n->uplinks_gone |= *n->members[i] ? 1U << i : 0;
		look_later(n);
	}
	/* EEXIST: it never was gone. */
	if (error < 0 && error != -ECONNRESET && error != -EEXIST)
		log_warning("network '%s' did not take an uplink back: %s", n->name,
			*text ? text : strerror(-error));
}

/* True: it is not to be looked at again. */
static bool send_uplink(struct network *n, unsigned i, const struct net_uplink *uplink, int fd)
{
	struct proto_uplink message = {.index = i, .uplink = *uplink};

	return worker_request(n->worker, PROTO_UPLINK_ADD, &message, sizeof(message), &fd, 1,
		       NETWORK_REQUEST_USEC, on_added, n) == 0;
}

static bool try_uplink(struct network *n, unsigned i)
{
	const struct net_uplink *config = find_config(n, n->members[i]);
	_cleanup_(closep) int fd = -EBADF;
	struct net_uplink uplink;
	struct error e = {0};

	if (!config)
		return true; /* it was removed */
	uplink = *config;
	return network_open_uplink(n, &uplink, &fd, &e) == 0 && send_uplink(n, i, &uplink, fd);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct network *n = userdata;

	(void)source;
	(void)usec;
	for (unsigned i = 0; i < n->n_members; i++)
		if (n->uplinks_gone & 1U << i && try_uplink(n, i))
			n->uplinks_gone &= ~(1U << i);
	look_later(n);
	return 0;
}

static void look_later(struct network *n)
{
	n->uplink_timer = sd_event_source_disable_unref(n->uplink_timer);
	if (n->uplinks_gone &&
		sd_event_add_time_relative(n->manager->event, &n->uplink_timer, CLOCK_MONOTONIC,
			GONE_USEC, 0, on_look, n) < 0)
		log_warning("network '%s': uplinks that are gone are not looked for", n->name);
}

void network_uplinks_end(struct network *n)
{
	n->uplink_timer = sd_event_source_disable_unref(n->uplink_timer);
	n->uplinks_gone = 0;
	n->uplinks_down = n->uplinks_known = false;
}

void network_uplinks_are(struct network *n, const struct net_team_state *state)
{
	uint32_t gone = 0;

	for (unsigned i = 0; i < state->n_members; i++)
		if (state->members[i].state == TEAM_MEMBER_ABSENT && *network_uplink_name(n, i))
			gone |= 1U << i;
	n->uplinks_gone = gone;
	if (gone && !n->uplink_timer)
		look_later(n);
	guests_follow(n, state->guests_up);
}

/* Those that come and go. */

/* A number that was never used, if there is one: the worker may still speak of who had another. */
static unsigned free_number(const struct network *n)
{
	unsigned i = 0;

	if (n->n_members < NET_MAX_UPLINKS)
		return n->n_members;
	while (i < NET_MAX_UPLINKS - 1 && *n->members[i])
		i++;
	return i;
}

void network_uplink_add_live(struct network *n, const struct net_uplink *added, int fd)
{
	unsigned i = free_number(n);

	memcpy(n->members[i], added->ifname, NET_IFNAME_MAX);
	n->n_members = MAX(n->n_members, i + 1);
	if (send_uplink(n, i, added, fd))
		return;
	n->uplinks_gone |= 1U << i;
	look_later(n);
}

static void on_removed(void *userdata, int error, const char *text)
{
	const struct network *n = userdata;

	if (error < 0 && error != -ECONNRESET)
		log_warning("the worker of network '%s' did not let go of an uplink: %s", n->name,
			*text ? text : strerror(-error));
}

void network_uplink_remove_live(struct network *n, const struct net_uplink *removed)
{
	int i = network_uplink_number(n, removed->ifname);
	struct proto_uplink_id message = {.index = (uint32_t)i};
	int r;

	if (i < 0)
		return;
	*n->members[i] = 0;
	n->uplinks_gone &= ~(1U << i);
	r = worker_request(n->worker, PROTO_UPLINK_REMOVE, &message, sizeof(message), NULL, 0,
		NETWORK_REQUEST_USEC, on_removed, n);
	if (r < 0)
		on_removed(n, r, "");
	network_give_back_nic(n, removed);
}
