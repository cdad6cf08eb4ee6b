/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a network's worker tells of its uplinks, and what follows: guests' links go down with the last uplink, and up again
 * with the first; a NIC that was gone is opened anew when it is back.
 *
 * Tested by tests/unit/test-network.c and tests/net/test-daemon.c.
 */
#include <errno.h>
#include <string.h>

#include "daemon/domain-internal.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/log.h"

#define GONE_USEC UINT64_C(1000000) /* how often it is looked whether a NIC is back */

/* Guests' links. */

static void on_nic_reply(void *userdata, int error, const char *text)
{
	const struct network *n = userdata;

	if (error < 0 && error != -ECONNRESET)
		log_warning("network '%s': a guest's link does not follow the uplinks: %s", n->name,
			*text ? text : strerror(-error));
}

void network_tell_guest(const struct network_port *port)
{
	struct network *n = port->network;
	const struct domain *d = manager_find_uuid(n->manager, port->domain);
	struct proto_nic message = {.nic = port->nic, .port = port->config};
	int r;

	if (!d || !d->worker || !worker_is_connected(d->worker))
		return;
	if (n->uplinks_down)
		message.port.flags |= NET_PORT_LINK_DOWN;
	r = worker_request(d->worker, PROTO_NIC_SET, &message, sizeof(message), NULL, 0,
		NETWORK_REQUEST_USEC, on_nic_reply, n);
	if (r < 0)
		on_nic_reply(n, r, "");
}

static void guests_follow(struct network *n, bool up)
{
	struct list *pos;

	/* Where guests' links do not follow, the worker does not tell; but it is not believed. */
	if (n->config->net.team.guest_link_up || (n->uplinks_known && n->uplinks_down == !up))
		return;
	n->uplinks_known = true;
	n->uplinks_down = !up;
	list_for_each (pos, &n->ports) {
		const struct network_port *port = list_entry(pos, struct network_port, link);

		if (port->linked)
			network_tell_guest(port);
	}
}

/* NICs that were gone. */

static void on_added(void *userdata, int error, const char *text)
{
	const struct network *n = userdata;

	/* EEXIST: it never was gone. */
	if (error < 0 && error != -ECONNRESET && error != -EEXIST)
		log_warning("network '%s' did not take an uplink back: %s", n->name,
			*text ? text : strerror(-error));
}

/* True: it is not to be looked at again. */
static bool try_uplink(struct network *n, unsigned i)
{
	struct proto_uplink message = {.index = i, .uplink = n->config->net.uplinks[i]};
	_cleanup_(closep) int fd = -EBADF;
	struct error e = {0};

	if (network_open_uplink(n, &message.uplink, &fd, &e) < 0)
		return false;
	return worker_request(n->worker, PROTO_UPLINK_ADD, &message, sizeof(message), &fd, 1,
		       NETWORK_REQUEST_USEC, on_added, n) == 0;
}

static void look_later(struct network *n);

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct network *n = userdata;

	(void)source;
	(void)usec;
	for (unsigned i = 0; i < n->config->net.n_uplinks; i++)
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

void network_uplinks_reconnected(struct network *n)
{
	/* Which of them went while no daemon looked? The worker refuses those that it has. */
	n->uplinks_gone = (1U << n->config->net.n_uplinks) - 1;
	look_later(n);
}

void network_uplinks_end(struct network *n)
{
	n->uplink_timer = sd_event_source_disable_unref(n->uplink_timer);
	n->uplinks_gone = 0;
	n->uplinks_down = n->uplinks_known = false;
}

static void tell_link(struct network *n, unsigned uplink, unsigned state)
{
	static const char *const words[] = {[PROTO_UPLINK_UP] = "Up",
		[PROTO_UPLINK_DOWN] = "Down",
		[PROTO_UPLINK_GONE] = "Gone"};
	const struct event_field field = {"uplink", n->config->net.uplinks[uplink].ifname};

	if (state < ARRAY_SIZE(words) && words[state])
		manager_emit_network(n->manager, EVENT_LINK, n, words[state], &field, 1);
}

void network_uplink_event(struct network *n, const struct proto_net_event *e)
{
	if (e->a < n->config->net.n_uplinks)
		tell_link(n, e->a, e->b);
	if (e->a == PROTO_UPLINK_ALL) {
		guests_follow(n, e->b == PROTO_UPLINK_UP);
	} else if (e->a < n->config->net.n_uplinks && e->b == PROTO_UPLINK_GONE) {
		n->uplinks_gone |= 1U << e->a;
		look_later(n);
	}
	if (e->b == PROTO_UPLINK_UP)
		log_info("network '%s': %s", n->name, e->text);
	else
		log_warning("network '%s': %s", n->name, e->text);
}
