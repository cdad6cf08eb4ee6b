/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The address table: see fdb.h. */
#include "devices/net/fdb.h"

#include <errno.h>
#include <stdlib.h>

#include "devices/net/keyed-hash.h"

#define MIN_BUCKETS 64

static uint64_t learned_key(uint64_t mac, uint16_t vid)
{
	return mac | (uint64_t)vid << 48;
}

/* Tables. */

static struct fdb_entry **bucket_of(
	const struct fdb *fdb, const struct fdb_table *table, uint64_t key)
{
	return &table->buckets[keyed_hash(fdb->seed, key) & table->mask];
}

static void table_insert(struct fdb *fdb, struct fdb_table *table, struct fdb_entry *e)
{
	struct fdb_entry **bucket = bucket_of(fdb, table, e->key);

	e->next = *bucket;
	*bucket = e;
	table->n++;
}

static void table_remove(struct fdb *fdb, struct fdb_table *table, struct fdb_entry *e)
{
	struct fdb_entry **at = bucket_of(fdb, table, e->key);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	e->next = NULL;
	table->n--;
}

/* Make it large enough for 'n' entries. */
static int table_reserve(struct fdb *fdb, struct fdb_table *table, size_t n)
{
	struct fdb_table grown = {.mask = MIN_BUCKETS - 1};

	while (grown.mask + 1 < n)
		grown.mask = grown.mask * 2 + 1;
	if (table->buckets && table->mask >= grown.mask)
		return 0;
	grown.buckets = calloc(grown.mask + 1, sizeof(struct fdb_entry *));
	if (!grown.buckets)
		return -ENOMEM;
	for (uint64_t i = 0; table->buckets && i <= table->mask; i++) {
		struct fdb_entry *e, *next;

		for (e = table->buckets[i]; e; e = next) {
			next = e->next;
			table_insert(fdb, &grown, e);
		}
	}
	free(table->buckets);
	*table = grown;
	return 0;
}

int fdb_init(struct fdb *fdb, const uint64_t seed[2])
{
	int r;

	*fdb = (struct fdb){.seed = {seed[0], seed[1]}};
	list_init(&fdb->ports);
	fdb->memos = calloc(FDB_N_MEMOS, sizeof(struct fdb_memo));
	if (!fdb->memos)
		return -ENOMEM;
	r = table_reserve(fdb, &fdb->statics, 0);
	if (r == 0)
		r = table_reserve(fdb, &fdb->learned, 0);
	if (r < 0)
		fdb_done(fdb);
	return r;
}

void fdb_done(struct fdb *fdb)
{
	assert(!fdb->ports.next || list_empty(&fdb->ports));
	free(fdb->statics.buckets);
	free(fdb->learned.buckets);
	free(fdb->memos);
	*fdb = (struct fdb){0};
}

/* Looking up. */

/* A memo of zeroes is true: nobody has the address 0. */
static void forget_memos(struct fdb *fdb)
{
	memset(fdb->memos, 0, FDB_N_MEMOS * sizeof(struct fdb_memo));
}

static struct fdb_entry *find_static(const struct fdb *fdb, uint64_t mac, uint16_t vid)
{
	uint64_t key = learned_key(mac, vid);
	struct fdb_memo *memo = &fdb->memos[mac >> 40 & (FDB_N_MEMOS - 1)];
	struct fdb_entry *e;

	if (memo->key == key)
		return memo->entry;
	e = *bucket_of(fdb, &fdb->statics, mac);
	while (e && (e->key != mac || !vlan_has(e->port->vlan, vid)))
		e = e->next;
	*memo = (struct fdb_memo){key, e};
	return e;
}

static struct fdb_entry *find_learned(const struct fdb *fdb, uint64_t mac, uint16_t vid)
{
	uint64_t key = learned_key(mac, vid);
	struct fdb_entry *e = *bucket_of(fdb, &fdb->learned, key);

	while (e && e->key != key)
		e = e->next;
	return e;
}

static bool is_old(const struct fdb_entry *e, uint64_t now_ns)
{
	return now_ns - e->seen_ns > e->port->age_ns;
}

const struct fdb_entry *fdb_find(const struct fdb *fdb, uint64_t mac, uint16_t vid, uint64_t now_ns)
{
	struct fdb_entry *e = find_static(fdb, mac, vid);

	if (e || !fdb->learned.n)
		return e;
	e = find_learned(fdb, mac, vid);
	return e && !is_old(e, now_ns) ? e : NULL;
}

/* Learned addresses. */

static void forget(struct fdb *fdb, struct fdb_entry *e)
{
	struct fdb_port *port = e->port;

	table_remove(fdb, &fdb->learned, e);
	list_del(&e->link);
	list_add_tail(&port->unused, &e->link);
	e->port = NULL;
	port->n_learned--;
}

/* There is room: the port's limit is not reached. */
static void remember(struct fdb *fdb, struct fdb_port *port, uint64_t key, uint64_t seen_ns)
{
	struct fdb_entry *e = list_entry(port->unused.next, struct fdb_entry, link);

	list_del(&e->link);
	e->key = key;
	e->port = port;
	e->seen_ns = seen_ns;
	list_add_tail(&port->seen, &e->link);
	table_insert(fdb, &fdb->learned, e);
	port->n_learned++;
}

static struct fdb_entry *oldest(const struct fdb_port *port)
{
	return list_entry(port->seen.next, struct fdb_entry, link);
}

void fdb_learn(struct fdb *fdb, struct fdb_port *port, uint64_t mac, uint16_t vid, uint64_t now_ns)
{
	struct fdb_entry *e;

	if (!port->limit || !fdb_mac_is_unicast(mac) || find_static(fdb, mac, vid))
		return;
	e = find_learned(fdb, mac, vid);
	if (e && e->port == port) {
		if (now_ns - e->seen_ns < FDB_REFRESH_NS)
			return;
		e->seen_ns = now_ns;
		list_del(&e->link);
		list_add_tail(&port->seen, &e->link);
		return;
	}
	if (e)
		forget(fdb, e);
	if (port->n_learned == port->limit)
		forget(fdb, oldest(port));
	remember(fdb, port, learned_key(mac, vid), now_ns);
}

void fdb_forget(struct fdb *fdb, uint64_t mac, uint16_t vid)
{
	struct fdb_entry *e = find_learned(fdb, mac, vid);

	if (e)
		forget(fdb, e);
}

void fdb_age(struct fdb *fdb, uint64_t now_ns)
{
	struct list *pos;

	list_for_each (pos, &fdb->ports) {
		struct fdb_port *port = list_entry(pos, struct fdb_port, link);

		while (port->n_learned && is_old(oldest(port), now_ns))
			forget(fdb, oldest(port));
	}
}

uint64_t fdb_deadline(const struct fdb *fdb)
{
	uint64_t deadline_ns = UINT64_MAX;
	struct list *pos;

	if (!fdb->learned.n)
		return UINT64_MAX;
	list_for_each (pos, &fdb->ports) {
		struct fdb_port *port = list_entry(pos, struct fdb_port, link);

		if (port->n_learned)
			deadline_ns = MIN(deadline_ns, oldest(port)->seen_ns + port->age_ns + 1);
	}
	return deadline_ns;
}

/* Ports. */

void fdb_port_init(struct fdb *fdb, struct fdb_port *port, const struct vlan *vlan)
{
	*port = (struct fdb_port){.vlan = vlan};
	list_init(&port->statics);
	list_init(&port->seen);
	list_init(&port->unused);
	list_add_tail(&fdb->ports, &port->link);
}

static void free_static(struct fdb *fdb, struct fdb_entry *e)
{
	table_remove(fdb, &fdb->statics, e);
	forget_memos(fdb);
	list_del(&e->link);
	free(e);
}

void fdb_port_done(struct fdb *fdb, struct fdb_port *port)
{
	struct list *pos, *tmp;

	if (!port->link.next)
		return;
	list_for_each_safe (pos, tmp, &port->statics)
		free_static(fdb, list_entry(pos, struct fdb_entry, link));
	while (port->n_learned)
		forget(fdb, oldest(port));
	fdb->room -= port->limit;
	free(port->slab);
	list_del(&port->link);
	*port = (struct fdb_port){0};
}

/* What the port has learned goes to an array of another size, oldest first. */
static void move_to(struct fdb *fdb, struct fdb_port *port, struct fdb_entry *slab, size_t limit)
{
	size_t n = 0;

	while (port->n_learned > limit)
		forget(fdb, oldest(port));
	while (port->n_learned) {
		struct fdb_entry *e = oldest(port);

		slab[n].key = e->key;
		slab[n++].seen_ns = e->seen_ns;
		forget(fdb, e);
	}
	free(port->slab);
	fdb->room = fdb->room - port->limit + limit;
	port->slab = slab;
	port->limit = limit;
	list_init(&port->unused);
	for (size_t i = 0; i < limit; i++)
		list_add_tail(&port->unused, &slab[i].link);
	/* Each takes the first one that is not in use: itself. */
	for (size_t i = 0; i < n; i++)
		remember(fdb, port, slab[i].key, slab[i].seen_ns);
}

int fdb_port_set_limit(struct fdb *fdb, struct fdb_port *port, size_t limit, uint64_t age_ns)
{
	size_t room = fdb->room - port->limit + limit;
	struct fdb_entry *slab = NULL;
	int r;

	if (limit != port->limit) {
		if (room > FDB_MAX_LEARNED)
			return -ENOSPC;
		r = table_reserve(fdb, &fdb->learned, room);
		if (r < 0)
			return r;
		if (limit) {
			slab = calloc(limit, sizeof(struct fdb_entry));
			if (!slab)
				return -ENOMEM;
		}
		move_to(fdb, port, slab, limit);
	}
	port->age_ns = age_ns;
	return 0;
}

void fdb_port_prune(struct fdb *fdb, struct fdb_port *port)
{
	struct list *pos, *tmp;

	forget_memos(fdb);
	list_for_each_safe (pos, tmp, &port->seen) {
		struct fdb_entry *e = list_entry(pos, struct fdb_entry, link);

		if (!vlan_has(port->vlan, fdb_entry_vid(e)))
			forget(fdb, e);
	}
}

/* Static addresses. */

bool fdb_conflicts(
	const struct fdb *fdb, uint64_t mac, const struct vlan *vlan, const struct fdb_port *except)
{
	for (const struct fdb_entry *e = *bucket_of(fdb, &fdb->statics, mac); e; e = e->next)
		if (e->key == mac && e->port != except && vlan_overlaps(e->port->vlan, vlan))
			return true;
	return false;
}

static struct fdb_entry *static_of(const struct fdb *fdb, const struct fdb_port *port, uint64_t mac)
{
	struct fdb_entry *e = *bucket_of(fdb, &fdb->statics, mac);

	while (e && (e->key != mac || e->port != port))
		e = e->next;
	return e;
}

int fdb_add_static(struct fdb *fdb, struct fdb_port *port, uint64_t mac)
{
	struct fdb_entry *e;
	int r;

	if (!fdb_mac_is_unicast(mac))
		return -EINVAL;
	if (static_of(fdb, port, mac))
		return 0;
	if (fdb_conflicts(fdb, mac, port->vlan, port))
		return -EEXIST;
	if (fdb->statics.n >= FDB_MAX_STATIC)
		return -ENOSPC;
	r = table_reserve(fdb, &fdb->statics, fdb->statics.n + 1);
	if (r < 0)
		return r;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->key = mac;
	e->port = port;
	e->is_static = true;
	list_add_tail(&port->statics, &e->link);
	table_insert(fdb, &fdb->statics, e);
	forget_memos(fdb);
	return 0;
}

int fdb_remove_static(struct fdb *fdb, struct fdb_port *port, uint64_t mac)
{
	struct fdb_entry *e = static_of(fdb, port, mac);

	if (!e)
		return -ENOENT;
	free_static(fdb, e);
	return 0;
}

/* The walk. */

static void each_of(struct list *head, bool aged, uint64_t now_ns,
	void (*found)(void *opaque, const struct fdb_entry *entry), void *opaque)
{
	struct list *pos;

	list_for_each (pos, head) {
		const struct fdb_entry *e = list_entry(pos, struct fdb_entry, link);

		if (!aged || !is_old(e, now_ns))
			found(opaque, e);
	}
}

void fdb_each(const struct fdb *fdb, uint64_t now_ns,
	void (*found)(void *opaque, const struct fdb_entry *entry), void *opaque)
{
	struct list *pos;

	list_for_each (pos, &fdb->ports) {
		struct fdb_port *port = list_entry(pos, struct fdb_port, link);

		each_of(&port->statics, false, now_ns, found, opaque);
		each_of(&port->seen, true, now_ns, found, opaque);
	}
}
