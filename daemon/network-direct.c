/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Direct links: pairs that exchange many frames get one of their own, beside the star. Its life is this:
 *
 *	PAIR event ──► ADDING ── both ends have it ──► USED ── network_drop_directs() ──► STOPPING ── both have stopped ──► REMOVING ──► gone
 *	                  └─────────── one refuses ─────▲──────────────────────────────────▲
 *	one end tells of it ──► FOUND ── so does the other ── not, or one of them does not send by it ──┘
 *
 * Both ends can receive before either sends, and both have stopped sending before either closes, so nothing is lost
 * (devices/net/nic.h says how the order is kept). A worker that has too many requests to answer (WORKER_MAX_PENDING) owes
 * the step, and is asked again; the other end waits for it.
 *
 * A daemon that starts anew asks each worker for its links. One that both ends have, each with the other's port, and by which
 * both send, is used on: its frames never notice. Any other was just being made or ended: it ends in the usual order. An end that is
 * told of is used on as it is as long as the other's worker may still answer. A worker is believed for its own ends only:
 * nobody else is asked to touch a link that he did not name himself. What a link's ends check by is what the daemon gave them: when
 * that changes, both are told to stop before it is written down anywhere, and a worker reads what was sent to it even if
 * the daemon is gone by then; so what a later daemon finds in use is of today's configuration.
 *
 * A port that has NETWORK_MAX_DIRECTS of them gets another one when a quiet one has made way (link-use.h): its workers are asked
 * what goes by each, the quiet one is stopped as any other, and when the pair is told of once more there is room.
 *
 * Tested by tests/unit/test-network-link.c and tests/net/test-daemon.c.
 */
#include <string.h>

#include "daemon/link-use.h"
#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/log.h"

#define OWED_USEC UINT64_C(100000) /* until a worker that was too busy is asked again */

enum direct_state { DIRECT_FOUND, DIRECT_ADDING, DIRECT_USED, DIRECT_STOPPING, DIRECT_REMOVING };

/* In the manager's list: it may outlive its network by the time that its ends need to let go of it. */
struct network_direct {
	struct list link;
	struct manager *manager;
	uint32_t id;
	enum direct_state state;
	unsigned n_waiting; /* answers that are to come */
	bool failed;        /* it is to end, as soon as that can be done */
	struct link_use use;
	struct {
		uint8_t domain[16];
		unsigned nic;
		bool has;    /* FOUND: its worker has told of it; else true */
		bool owed;   /* could not be asked for this step yet */
		bool in_use; /* FOUND: it sends by it */
	} ends[2];
};

static struct domain *domain_of(const struct network_direct *direct, unsigned end)
{
	struct domain *d = manager_find_uuid(direct->manager, direct->ends[end].domain);

	return d && network_can_ask(d->worker) ? d : NULL;
}

static bool is_end_of(
	const struct network_direct *direct, unsigned end, const uint8_t domain[16], unsigned nic)
{
	return direct->ends[end].nic == nic && memcmp(direct->ends[end].domain, domain, 16) == 0;
}

static bool is_end(const struct network_direct *direct, const struct network_port *port)
{
	return is_end_of(direct, 0, port->domain, port->nic) ||
		is_end_of(direct, 1, port->domain, port->nic);
}

static uint64_t now_usec(const struct manager *m)
{
	uint64_t now = 0;

	(void)sd_event_now(m->event, CLOCK_MONOTONIC, &now);
	return now;
}

static struct network_direct *direct_new(struct manager *m, uint32_t id, enum direct_state state)
{
	struct network_direct *direct = calloc(1, sizeof(*direct));

	if (!direct)
		return NULL;
	direct->manager = m;
	direct->id = id;
	direct->state = state;
	direct->use.made_usec = now_usec(m);
	list_add_tail(&m->directs, &direct->link);
	return direct;
}

static void set_end(
	struct network_direct *direct, unsigned end, const struct network_port *port, bool has)
{
	memcpy(direct->ends[end].domain, port->domain, 16);
	direct->ends[end].nic = port->nic;
	direct->ends[end].has = has;
}

static void direct_free(struct network_direct *direct)
{
	list_del(&direct->link);
	free(direct);
}

/* Steps: the same request to both ends; those that are gone need none. */

static const struct {
	enum proto_type type;
	uint32_t flags;
} steps[] = {
	[DIRECT_USED] = {PROTO_LINK_USE, PROTO_LINK_ON},
	[DIRECT_STOPPING] = {PROTO_LINK_USE, 0},
	[DIRECT_REMOVING] = {PROTO_LINK_REMOVE, 0},
};

static void on_direct_reply(void *userdata, int error, const char *text);

static void ask_end(struct network_direct *direct, unsigned end)
{
	struct proto_link_id id = {.nic = direct->ends[end].nic,
		.id = direct->id,
		.flags = steps[direct->state].flags};
	struct domain *d = domain_of(direct, end);
	int r = d ? worker_request(d->worker, steps[direct->state].type, &id, sizeof(id), NULL, 0,
			    NETWORK_REQUEST_USEC, on_direct_reply, direct)
		  : -ENOTCONN;

	direct->ends[end].owed = r == -EBUSY || r == -EAGAIN;
	if (r == 0)
		direct->n_waiting++;
	else if (!direct->ends[end].owed)
		direct->failed = true;
}

static int on_owed_timer(sd_event_source *source, uint64_t usec, void *userdata);

static void ask_owed(struct network_direct *direct)
{
	struct manager *m = direct->manager;

	for (unsigned end = 0; end < 2; end++)
		if (direct->ends[end].owed)
			ask_end(direct, end);
	if ((direct->ends[0].owed || direct->ends[1].owed) && !m->directs_timer)
		(void)sd_event_add_time_relative(m->event, &m->directs_timer, CLOCK_MONOTONIC,
			OWED_USEC, 0, on_owed_timer, m);
}

static void begin(struct network_direct *direct, enum direct_state state)
{
	direct->state = state;
	direct->failed = false;
	for (unsigned end = 0; end < 2; end++)
		direct->ends[end].owed = direct->ends[end].has;
	ask_owed(direct);
}

/* The next step, when both have done this one. May free it. */
static void advance(struct network_direct *direct)
{
	while (!direct->n_waiting && !direct->ends[0].owed && !direct->ends[1].owed) {
		if (direct->state == DIRECT_REMOVING) {
			direct_free(direct);
			return;
		}
		if (direct->state == DIRECT_STOPPING)
			begin(direct, DIRECT_REMOVING);
		else if (direct->failed)
			begin(direct, DIRECT_STOPPING);
		else if (direct->state == DIRECT_ADDING)
			begin(direct, DIRECT_USED);
		else
			return;
	}
}

static int on_owed_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *m = userdata;
	struct list *pos, *tmp;

	(void)source;
	(void)usec;
	m->directs_timer = sd_event_source_disable_unref(m->directs_timer);
	list_for_each_safe (pos, tmp, &m->directs) {
		struct network_direct *direct = list_entry(pos, struct network_direct, link);

		ask_owed(direct);
		advance(direct);
	}
	return 0;
}

static void on_direct_reply(void *userdata, int error, const char *text)
{
	struct network_direct *direct = userdata;

	(void)text;
	direct->n_waiting--;
	direct->failed = direct->failed || error < 0;
	advance(direct);
}

static void stop_direct(struct network_direct *direct)
{
	if (direct->state >= DIRECT_STOPPING)
		return;
	begin(direct, DIRECT_STOPPING);
	advance(direct);
}

/* Lookup. */

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

static bool have_id(const struct manager *m, uint32_t id)
{
	struct list *pos;

	list_for_each (pos, &m->directs)
		if (list_entry(pos, struct network_direct, link)->id == id)
			return true;
	return false;
}

/* An earlier daemon's links are still to be told. */
static bool may_tell(struct manager *m, const uint8_t domain[16], unsigned nic)
{
	const struct domain *d = manager_find_uuid(m, domain);

	return d && d->worker &&
		(!worker_is_connected(d->worker) || d->links_asked & UINT32_C(1) << nic);
}

/* New ones. */

static int send_direct(struct network_direct *direct, const struct network_port *const ports[2],
	unsigned end, const struct network_link_fds *fds)
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
	network_link_end(fds, end, fds_of_end);
	r = worker_request(d->worker, PROTO_LINK_ADD, &message, sizeof(message), fds_of_end,
		PROTO_LINK_FDS, NETWORK_REQUEST_USEC, on_direct_reply, direct);
	if (r == 0)
		direct->n_waiting++;
	return r;
}

static void add_direct(struct network *n, const struct network_port *const ports[2])
{
	struct network_direct *direct;
	struct network_link_fds fds;
	uint32_t id;
	int r;

	do
		id = manager_take_link_id(n->manager);
	while (have_id(n->manager, id));
	direct = direct_new(n->manager, id, DIRECT_ADDING);
	if (!direct)
		return; /* they go on by the star */
	for (unsigned end = 0; end < 2; end++)
		set_end(direct, end, ports[end], true);
	r = network_link_fds_make(&fds);
	if (r == 0) {
		r = send_direct(direct, ports, 0, &fds);
		if (r == 0)
			r = send_direct(direct, ports, 1, &fds);
		network_link_fds_close(&fds);
	}
	direct->failed = r < 0;
	if (direct->failed && !direct->n_waiting)
		direct_free(direct);
}

/* Questions. */

static void on_list_reply(void *userdata, int error, const char *text)
{
	const struct domain *d = userdata;

	/* A vNIC that was not asked successfully gets no direct links: it may have some. */
	if (error < 0 && error != -ECONNRESET)
		log_warning("domain '%s' does not tell of its direct links: %s", d->name,
			*text ? text : strerror(-error));
}

static int ask_links(struct domain *d, unsigned nic)
{
	struct proto_nic_id id = {.nic = nic};
	int r = worker_request(d->worker, PROTO_LINK_LIST, &id, sizeof(id), NULL, 0,
		NETWORK_REQUEST_USEC, on_list_reply, d);

	if (r == 0)
		d->links_asked |= UINT32_C(1) << nic;
	return r;
}

/* Room. */

/* The one of a port's that may make way; NULL: none is known to be quiet. */
static struct network_direct *quietest(const struct network_port *port)
{
	struct manager *m = port->network->manager;
	struct network_direct *found = NULL;
	struct list *pos;

	list_for_each (pos, &m->directs) {
		struct network_direct *direct = list_entry(pos, struct network_direct, link);

		if (direct->state == DIRECT_USED && is_end(direct, port) &&
			link_use_is_quiet(&direct->use, now_usec(m)) &&
			(!found || link_use_is_less(&direct->use, &found->use)))
			found = direct;
	}
	return found;
}

/* Ask what goes by the links of a port that has as many as it may. */
static void look(struct network_port *port)
{
	struct domain *d = manager_find_uuid(port->network->manager, port->domain);
	uint64_t now = now_usec(port->network->manager);

	if (!d || !network_can_ask(d->worker) || now - port->looked_usec < LINK_USE_LOOK_USEC)
		return;
	port->looked_usec = now;
	(void)ask_links(d, port->nic);
}

/* False: not yet. Either both ends find room, or nothing makes way. */
static bool have_room(struct network_port *const ports[2])
{
	struct network_direct *quiet[2] = {NULL, NULL};
	bool full[2], go = true;

	for (unsigned i = 0; i < 2; i++) {
		full[i] = count_directs(ports[i]) >= NETWORK_MAX_DIRECTS;
		if (!full[i])
			continue;
		quiet[i] = quietest(ports[i]);
		go = go && quiet[i];
		if (!quiet[i])
			look(ports[i]);
	}
	for (unsigned i = 0; go && i < 2; i++)
		if (quiet[i] && (i == 0 || quiet[1] != quiet[0]))
			stop_direct(quiet[i]);
	return !full[0] && !full[1];
}

void network_pair(struct network *n, unsigned a, unsigned b)
{
	struct network_port *ports[2] = {network_find_number(n, a), network_find_number(n, b)};

	/* Isolated ports do not reach each other; a machine's own two vNICs go by the star, and what is mirrored must. */
	if (!ports[0] || !ports[1] || a == b || !ports[0]->linked || !ports[1]->linked ||
		(ports[0]->config.flags & ports[1]->config.flags & NET_PORT_ISOLATED) ||
		memcmp(ports[0]->domain, ports[1]->domain, 16) == 0 ||
		network_is_mirrored(ports[0]) || network_is_mirrored(ports[1]))
		return;
	for (unsigned i = 0; i < 2; i++)
		if (may_tell(n->manager, ports[i]->domain, ports[i]->nic))
			return;
	if (!have_direct(ports[0], ports[1]) && have_room(ports))
		add_direct(n, (const struct network_port *const *)ports);
}

/* Those that an earlier daemon made. */

void network_find_directs(struct domain *d)
{
	d->links_asked = 0;
	for (unsigned i = 0; d->live && network_can_ask(d->worker) && i < d->live->vm.n_nics; i++)
		if (ask_links(d, d->live->nics[i].number) < 0)
			log_warning("domain '%s' cannot be asked for its direct links", d->name);
}

/* The other end of a link that is found has told of the same: it is known whole. */
static bool complete(struct network_direct *direct, const struct network_port *port,
	const struct proto_link_state *told)
{
	const struct network_port *first =
		network_find_port(direct->manager, direct->ends[0].domain, direct->ends[0].nic);

	if (direct->state != DIRECT_FOUND || direct->id != told->id || direct->ends[1].has ||
		!is_end_of(direct, 1, port->domain, port->nic) || !first ||
		first->network != port->network || first->number != told->peer_port)
		return false;
	direct->ends[1].has = true;
	direct->ends[1].in_use = told->flags & PROTO_LINK_ON;
	if (direct->failed || !direct->ends[0].in_use || !direct->ends[1].in_use)
		stop_direct(direct);
	else
		direct->state = DIRECT_USED;
	return true;
}

/* The one of this end that we know. */
static struct network_direct *find_known(
	const struct domain *d, unsigned nic, const struct proto_link_state *told)
{
	struct list *pos;

	list_for_each (pos, &d->manager->directs) {
		struct network_direct *direct = list_entry(pos, struct network_direct, link);

		for (unsigned end = 0; end < 2; end++)
			if (direct->id == told->id && direct->ends[end].has &&
				is_end_of(direct, end, d->uuid, nic))
				return direct;
	}
	return NULL;
}

static void find_one(struct domain *d, unsigned nic, const struct proto_link_state *told)
{
	const struct network_port *port = network_find_port(d->manager, d->uuid, nic), *peer;
	struct network_direct *direct = find_known(d, nic, told);
	struct list *pos;

	if (direct) {
		link_use_told(&direct->use, told->frames, now_usec(d->manager));
		return;
	}
	list_for_each (pos, &d->manager->directs)
		if (port && complete(list_entry(pos, struct network_direct, link), port, told))
			return;
	direct = direct_new(d->manager, told->id, DIRECT_FOUND);
	if (!direct)
		return;
	memcpy(direct->ends[0].domain, d->uuid, 16);
	direct->ends[0].nic = nic;
	direct->ends[0].has = true;
	direct->ends[0].in_use = told->flags & PROTO_LINK_ON;
	peer = port ? network_find_number(port->network, told->peer_port) : NULL;
	if (peer)
		set_end(direct, 1, peer, false);
	if (!peer || !may_tell(d->manager, peer->domain, peer->nic))
		stop_direct(direct);
}

bool network_links_told(struct domain *d, const struct proto_links *links)
{
	struct list *pos, *tmp;

	if (!(d->links_asked & UINT32_C(1) << links->nic))
		return false;
	d->links_asked &= ~(UINT32_C(1) << links->nic);
	for (unsigned i = 0; i < links->n; i++)
		find_one(d, links->nic, &links->links[i]);
	/* What others have with this one, and it did not name. */
	list_for_each_safe (pos, tmp, &d->manager->directs) {
		struct network_direct *direct = list_entry(pos, struct network_direct, link);

		if (direct->state == DIRECT_FOUND && is_end_of(direct, 1, d->uuid, links->nic))
			stop_direct(direct);
	}
	return true;
}

/* Ends. */

static void drop_directs(const struct network_port *port, bool may_wait)
{
	struct manager *m = port->network->manager;
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &m->directs) {
		struct network_direct *direct = list_entry(pos, struct network_direct, link);

		if (!is_end(direct, port))
			continue;
		/* In order, that is when the other end is known as well. */
		if (may_wait && direct->state == DIRECT_FOUND)
			direct->failed = true;
		else
			stop_direct(direct);
	}
}

void network_drop_directs(const struct network_port *port)
{
	drop_directs(port, true);
}

void network_end_directs(const struct network_port *port)
{
	drop_directs(port, false);
}

void network_free_directs(struct manager *m)
{
	struct list *pos, *tmp;

	m->directs_timer = sd_event_source_disable_unref(m->directs_timer);
	list_for_each_safe (pos, tmp, &m->directs)
		direct_free(list_entry(pos, struct network_direct, link));
}
