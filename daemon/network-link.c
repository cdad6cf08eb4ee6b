/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Links: what the frames of a port go by. The star of each port leads to the network's worker; pairs that exchange many
 * frames get a direct link of their own, whose life is this:
 *
 *	PAIR event ──► ADDING ── both ends have it ──► USED ── network_drop_directs() ──► STOPPING ── both have stopped ──► gone
 *	                  └─────────── one refuses ───────────────────────────────────────────▲
 *
 * Both ends can receive before either sends, and both have stopped sending before either closes, so nothing is lost
 * (devices/net/nic.h says how the order is kept).
 *
 * A daemon that starts anew ends the direct links that it finds (network_sweep_directs()), one domain after the other: it does not
 * know them, and could not say when a peer is gone. Frames that a peer sends in between are lost, once. Pairs that still need a
 * link get another.
 *
 * Tested by tests/unit/test-network-link.c.
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

/* End 0 is the network's, or the first domain's; end 1 the (other) domain's. */
struct link_fds {
	int own[2], peer[2], bell[2];
};

static void link_fds_close(struct link_fds *fds)
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

static int link_fds_make(struct link_fds *ret)
{
	struct link_fds fds = {{-EBADF, -EBADF}, {-EBADF, -EBADF}, {-EBADF, -EBADF}};
	int r = 0;

	for (unsigned i = 0; i < 2 && r == 0; i++) {
		r = make_ring(&fds.own[i], &fds.peer[!i]);
		fds.bell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (r == 0 && fds.bell[i] < 0)
			r = -errno;
	}
	if (r < 0) {
		link_fds_close(&fds);
		return r;
	}
	*ret = fds;
	return 0;
}

static void end_of(const struct link_fds *fds, unsigned end, int ret[PROTO_LINK_FDS])
{
	ret[0] = fds->own[end];
	ret[1] = fds->peer[end];
	ret[2] = fds->bell[end];
	ret[3] = fds->bell[!end];
}

static bool can_talk(const struct worker *worker)
{
	return worker && worker_is_connected(worker);
}

/* Stars. */

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

static int send_port_add(struct network_port *port, const struct link_fds *fds)
{
	struct proto_port message = {
		.port = port->number, .ring_data = PROTO_RING_DATA, .config = port->config};
	int end[PROTO_LINK_FDS];

	network_fill_mirrors(port, &message);
	end_of(fds, 0, end);
	return worker_request(port->network->worker, PROTO_PORT_ADD, &message, sizeof(message), end,
		PROTO_LINK_FDS, NETWORK_REQUEST_USEC, on_port_reply, port->network);
}

static int send_star(struct domain *d, struct network_port *port, const struct link_fds *fds)
{
	struct proto_link message = {
		.nic = port->nic, .id = PROTO_LINK_STAR, .ring_data = PROTO_RING_DATA};
	int end[PROTO_LINK_FDS];

	end_of(fds, 1, end);
	return worker_request(d->worker, PROTO_LINK_ADD, &message, sizeof(message), end,
		PROTO_LINK_FDS, NETWORK_REQUEST_USEC, on_link_reply, d);
}

/* 0, or -EBUSY: later. Other failures are logged. */
static int link_port(struct network_port *port)
{
	struct network *n = port->network;
	struct domain *d = manager_find_uuid(n->manager, port->domain);
	struct link_fds fds;
	int r;

	if (n->phase != NETWORK_ACTIVE || !d || !can_talk(d->worker))
		return 0; /* whichever comes last links them */
	r = link_fds_make(&fds);
	if (r == 0) {
		/* The network first: when the domain sends, somebody listens. */
		r = send_port_add(port, &fds);
		port->linked = r == 0;
		if (r == 0)
			r = send_star(d, port, &fds);
		if (r == 0 && n->uplinks_down)
			network_tell_guest(port);
		link_fds_close(&fds);
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
			network_save_status(n);
	}
}

void network_link_all(struct network *n)
{
	struct list *pos;

	list_for_each (pos, &n->ports)
		list_entry(pos, struct network_port, link)->linked = false;
	link_waiting(n);
	network_save_status(n);
}

void network_unlink_port(struct network_port *port)
{
	struct proto_port_id id = {.port = port->number};

	network_drop_directs(port);
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

		network_drop_directs(port);
		if (d && can_talk(d->worker))
			(void)worker_request(d->worker, PROTO_LINK_REMOVE, &id, sizeof(id), NULL, 0,
				NETWORK_REQUEST_USEC, NULL, NULL);
		network_port_free(port);
	}
}

/* Direct links. */

enum direct_state { DIRECT_ADDING, DIRECT_USED, DIRECT_STOPPING };

/* In the manager's list: it may outlive its network by the time that its ends need to let go of it. */
struct network_direct {
	struct list link;
	struct manager *manager;
	uint32_t id;
	enum direct_state state;
	unsigned n_waiting; /* answers that are to come */
	bool failed;
	struct {
		uint8_t domain[16];
		unsigned nic;
	} ends[2];
};

static struct domain *domain_of(const struct network_direct *direct, unsigned end)
{
	struct domain *d = manager_find_uuid(direct->manager, direct->ends[end].domain);

	return d && can_talk(d->worker) ? d : NULL;
}

static void direct_free(struct network_direct *direct)
{
	list_del(&direct->link);
	free(direct);
}

static void on_direct_reply(void *userdata, int error, const char *text);

/* The same request to both ends; those that are gone need none. */
static void to_both(struct network_direct *direct, enum proto_type type, uint32_t flags)
{
	/* A fast answer must not find the count at 0. */
	for (unsigned end = 0; end < 2; end++) {
		struct proto_link_id id = {
			.nic = direct->ends[end].nic, .id = direct->id, .flags = flags};
		struct domain *d = domain_of(direct, end);

		if (d &&
			worker_request(d->worker, type, &id, sizeof(id), NULL, 0,
				NETWORK_REQUEST_USEC, on_direct_reply, direct) == 0)
			direct->n_waiting++;
		else if (type == PROTO_LINK_USE && flags)
			direct->failed = true;
	}
}

static void remove_direct(struct network_direct *direct)
{
	for (unsigned end = 0; end < 2; end++) {
		struct proto_link_id id = {.nic = direct->ends[end].nic, .id = direct->id};
		struct domain *d = domain_of(direct, end);

		if (d)
			(void)worker_request(d->worker, PROTO_LINK_REMOVE, &id, sizeof(id), NULL, 0,
				NETWORK_REQUEST_USEC, NULL, NULL);
	}
	direct_free(direct);
}

static void stop_direct(struct network_direct *direct)
{
	if (direct->state == DIRECT_STOPPING)
		return;
	direct->state = DIRECT_STOPPING;
	to_both(direct, PROTO_LINK_USE, 0);
	if (!direct->n_waiting)
		remove_direct(direct);
}

static void on_direct_reply(void *userdata, int error, const char *text)
{
	struct network_direct *direct = userdata;

	(void)text;
	direct->n_waiting--;
	direct->failed = direct->failed || error < 0;
	if (direct->n_waiting)
		return;
	if (direct->state == DIRECT_STOPPING) {
		remove_direct(direct);
	} else if (direct->failed) {
		stop_direct(direct);
	} else if (direct->state == DIRECT_ADDING) {
		direct->state = DIRECT_USED;
		to_both(direct, PROTO_LINK_USE, PROTO_LINK_ON);
		if (direct->failed && !direct->n_waiting)
			stop_direct(direct);
	}
}

static bool is_end(const struct network_direct *direct, const struct network_port *port)
{
	for (unsigned end = 0; end < 2; end++)
		if (direct->ends[end].nic == port->nic &&
			memcmp(direct->ends[end].domain, port->domain, 16) == 0)
			return true;
	return false;
}

void network_drop_directs(const struct network_port *port)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &port->network->manager->directs) {
		struct network_direct *direct = list_entry(pos, struct network_direct, link);

		if (is_end(direct, port))
			stop_direct(direct);
	}
}

static unsigned count_directs(const struct network_port *port)
{
	struct list *pos;
	unsigned n = 0;

	list_for_each (pos, &port->network->manager->directs)
		n += is_end(list_entry(pos, struct network_direct, link), port);
	return n;
}

static bool have_direct(const struct network_port *a, const struct network_port *b)
{
	struct list *pos;

	list_for_each (pos, &a->network->manager->directs) {
		const struct network_direct *direct = list_entry(pos, struct network_direct, link);

		if (is_end(direct, a) && is_end(direct, b))
			return true;
	}
	return false;
}

static int send_direct(struct network_direct *direct, const struct network_port *const ports[2],
	unsigned end, const struct link_fds *fds)
{
	struct proto_link message = {.nic = direct->ends[end].nic,
		.id = direct->id,
		.ring_data = PROTO_RING_DATA,
		.peer_port = ports[!end]->number,
		.peer = ports[!end]->config};
	struct domain *d = domain_of(direct, end);
	int fds_of_end[PROTO_LINK_FDS], r;

	if (!d)
		return -ENOTCONN;
	end_of(fds, end, fds_of_end);
	r = worker_request(d->worker, PROTO_LINK_ADD, &message, sizeof(message), fds_of_end,
		PROTO_LINK_FDS, NETWORK_REQUEST_USEC, on_direct_reply, direct);
	if (r == 0)
		direct->n_waiting++;
	return r;
}

static void add_direct(struct network *n, const struct network_port *const ports[2])
{
	struct network_direct *direct = calloc(1, sizeof(*direct));
	struct link_fds fds;
	int r;

	if (!direct)
		return; /* they go on by the star */
	direct->manager = n->manager;
	direct->id = manager_take_link_id(n->manager);
	for (unsigned end = 0; end < 2; end++) {
		memcpy(direct->ends[end].domain, ports[end]->domain, 16);
		direct->ends[end].nic = ports[end]->nic;
	}
	list_add_tail(&n->manager->directs, &direct->link);
	r = link_fds_make(&fds);
	if (r == 0) {
		r = send_direct(direct, ports, 0, &fds);
		if (r == 0)
			r = send_direct(direct, ports, 1, &fds);
		link_fds_close(&fds);
	}
	direct->failed = r < 0;
	if (direct->failed && !direct->n_waiting)
		direct_free(direct);
}

void network_sweep_directs(struct domain *d)
{
	struct list *pos;

	list_for_each (pos, &d->manager->networks) {
		struct network *n = list_entry(pos, struct network, link);
		struct list *p;

		list_for_each (p, &n->ports) {
			struct network_port *port = list_entry(p, struct network_port, link);

			if (memcmp(port->domain, d->uuid, 16) == 0)
				network_drop_directs(port);
		}
	}
	for (unsigned i = 0; d->live && can_talk(d->worker) && i < d->live->vm.n_nics; i++) {
		struct proto_link_id id = {.nic = d->live->nics[i].number, .id = PROTO_LINK_ALL};

		(void)worker_request(d->worker, PROTO_LINK_USE, &id, sizeof(id), NULL, 0,
			NETWORK_REQUEST_USEC, NULL, NULL);
		(void)worker_request(d->worker, PROTO_LINK_REMOVE, &id, sizeof(id), NULL, 0,
			NETWORK_REQUEST_USEC, NULL, NULL);
	}
}

void network_pair(struct network *n, unsigned a, unsigned b)
{
	const struct network_port *ports[2] = {
		network_find_number(n, a), network_find_number(n, b)};

	/* Isolated ports do not reach each other; a machine's own two vNICs go by the star, and what is mirrored must. */
	if (!ports[0] || !ports[1] || a == b || !ports[0]->linked || !ports[1]->linked ||
		(ports[0]->config.flags & ports[1]->config.flags & NET_PORT_ISOLATED) ||
		memcmp(ports[0]->domain, ports[1]->domain, 16) == 0 ||
		network_is_mirrored(ports[0]) || network_is_mirrored(ports[1]))
		return;
	for (unsigned i = 0; i < 2; i++)
		if (count_directs(ports[i]) >= NETWORK_MAX_DIRECTS)
			return;
	if (!have_direct(ports[0], ports[1]))
		add_direct(n, ports);
}

void network_free_directs(struct manager *m)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &m->directs)
		direct_free(list_entry(pos, struct network_direct, link));
}
