/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stars: what links a port to the network's worker. Direct links between two domains are network-direct.c's.
 *
 * Tested by tests/unit/test-network-port.c and tests/unit/test-network-life.c.
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/log.h"

void network_link_fds_close(struct network_link_fds *fds)
{
	for (unsigned i = 0; i < 2; i++) {
		(void)safe_close(fds->own[i]);
		(void)safe_close(fds->peer[i]);
		(void)safe_close(fds->bell[i]);
	}
}

/* A memory file of one end, and the read-only fd by which the other end sees it. */
static int make_ring(int *ret_own, int *ret_peer)
{
	_cleanup_(closep) int own = memfd_create("vmmd-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char path[64];
	int peer;

	if (own < 0 || ftruncate(own, PROTO_RING_FILE) < 0 ||
		fcntl(own, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", own);
	peer = open(path, O_RDONLY | O_CLOEXEC);
	if (peer < 0)
		return -errno;
	*ret_own = TAKE_FD(own);
	*ret_peer = peer;
	return 0;
}

int network_link_fds_make(struct network_link_fds *ret)
{
	struct network_link_fds fds = {{-EBADF, -EBADF}, {-EBADF, -EBADF}, {-EBADF, -EBADF}};
	int r = 0;

	for (unsigned i = 0; i < 2 && r == 0; i++) {
		r = make_ring(&fds.own[i], &fds.peer[!i]);
		fds.bell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (r == 0 && fds.bell[i] < 0)
			r = -errno;
	}
	if (r < 0) {
		network_link_fds_close(&fds);
		return r;
	}
	*ret = fds;
	return 0;
}

void network_link_end(const struct network_link_fds *fds, unsigned end, int ret[PROTO_LINK_FDS])
{
	ret[0] = fds->own[end];
	ret[1] = fds->peer[end];
	ret[2] = fds->bell[end];
	ret[3] = fds->bell[!end];
}

static void link_waiting(struct network *n);

static void on_port_reply(void *userdata, int error, const char *text)
{
	struct network *n = userdata;

	if (error < 0 && error != -ECONNRESET)
		log_warning("network '%s' did not take a port: %s", n->name,
			*text ? text : strerror(-error));
	/* As many requests at a time as the worker may have pending: now there is room for one more. */
	link_waiting(n);
}

static void on_link_reply(void *userdata, int error, const char *text)
{
	const struct domain *d = userdata;

	if (error < 0 && error != -ECONNRESET)
		log_warning("domain '%s' did not take a link to its network: %s", d->name,
			*text ? text : strerror(-error));
}

static int send_port_add(struct network_port *port, const struct network_link_fds *fds)
{
	struct proto_port message = {
		.port = port->number, .ring_data = PROTO_RING_DATA, .config = port->config};
	int end[PROTO_LINK_FDS];

	network_fill_mirrors(port, &message);
	network_link_end(fds, 0, end);
	return worker_request(port->network->worker, PROTO_PORT_ADD, &message, sizeof(message), end,
		PROTO_LINK_FDS, NETWORK_REQUEST_USEC, on_port_reply, port->network);
}

static int send_star(
	struct domain *d, struct network_port *port, const struct network_link_fds *fds)
{
	struct proto_link message = {
		.nic = port->nic, .id = PROTO_LINK_STAR, .ring_data = PROTO_RING_DATA};
	int end[PROTO_LINK_FDS];

	network_link_end(fds, 1, end);
	return worker_request(d->worker, PROTO_LINK_ADD, &message, sizeof(message), end,
		PROTO_LINK_FDS, NETWORK_REQUEST_USEC, on_link_reply, d);
}

/* 0, or -EBUSY: later. Other failures are logged. */
static int link_port(struct network_port *port)
{
	struct network *n = port->network;
	struct domain *d = manager_find_uuid(n->manager, port->domain);
	struct network_link_fds fds;
	int r;

	if (n->phase != NETWORK_ACTIVE || !d || !network_can_ask(d->worker))
		return 0; /* whichever comes last links them */
	r = network_link_fds_make(&fds);
	if (r == 0) {
		/* The network first: when the domain sends, somebody listens. */
		r = send_port_add(port, &fds);
		port->linked = r == 0;
		if (r == 0)
			r = send_star(d, port, &fds);
		if (r == 0 && n->uplinks_down)
			network_tell_guest(port);
		network_link_fds_close(&fds);
	}
	if (r < 0 && r != -EBUSY)
		(void)log_warning_errno(
			r, "cannot link domain '%s' to network '%s': %m", d->name, n->name);
	return r;
}

static void link_waiting(struct network *n)
{
	struct list *pos;

	list_for_each (pos, &n->ports) {
		struct network_port *port = list_entry(pos, struct network_port, link);

		if (!port->linked && link_port(port) == -EBUSY)
			break;
	}
}

void network_link_port(struct network_port *port)
{
	if (!port->linked)
		(void)link_port(port);
}

void network_link_domain(struct domain *d)
{
	struct list *net, *pos;

	d->links_asked = 0; /* a worker that is new has none */
	list_for_each (net, &d->manager->networks) {
		struct network *n = list_entry(net, struct network, link);
		bool changed = false;

		list_for_each (pos, &n->ports) {
			struct network_port *port = list_entry(pos, struct network_port, link);

			if (memcmp(port->domain, d->uuid, 16) != 0)
				continue;
			(void)link_port(port);
			changed = true;
		}
		if (changed)
			(void)network_save_status(n);
	}
}

void network_link_all(struct network *n)
{
	struct list *pos;

	list_for_each (pos, &n->ports)
		list_entry(pos, struct network_port, link)->linked = false;
	link_waiting(n);
	(void)network_save_status(n);
}

void network_unlink_port(struct network_port *port)
{
	struct proto_port_id id = {.port = port->number};

	network_end_directs(port);
	if (port->linked && port->network->phase == NETWORK_ACTIVE)
		(void)worker_request(port->network->worker, PROTO_PORT_REMOVE, &id, sizeof(id),
			NULL, 0, NETWORK_REQUEST_USEC, NULL, NULL);
	port->linked = false;
}

void network_unlink_all(struct network *n)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &n->ports) {
		struct network_port *port = list_entry(pos, struct network_port, link);
		struct domain *d = manager_find_uuid(n->manager, port->domain);
		struct proto_link_id id = {.nic = port->nic, .id = PROTO_LINK_STAR};

		network_end_directs(port);
		if (d && network_can_ask(d->worker))
			(void)worker_request(d->worker, PROTO_LINK_REMOVE, &id, sizeof(id), NULL, 0,
				NETWORK_REQUEST_USEC, NULL, NULL);
		network_port_free(port);
	}
}
