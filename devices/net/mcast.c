/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Multicast groups: see mcast.h. */
#include "devices/net/mcast.h"

#include <errno.h>

#include "devices/net/fdb.h"
#include "devices/net/keyed-hash.h"

#define N_BUCKETS 1024 /* a power of two */

struct group {
	uint64_t key; /* address, VLAN in the upper 16 bits */
	struct group *next;
	struct list members;
	struct mcast_set set; /* the same as bits */
	uint64_t earliest_ns; /* nothing of it expires before */
};

struct member {
	struct group *group;
	unsigned port;
	uint64_t expires_ns;
	struct list in_group, in_port;
};

struct querier {
	uint64_t answered_ns; /* when all have answered the first of its queries */
	uint64_t last_ns;     /* 0: none yet */
};

struct mcast_port {
	struct list members;
	unsigned n_members;
	uint64_t router_until_ns; /* gets every group */
};

struct mcast {
	uint64_t seed[2];
	struct group *buckets[N_BUCKETS];
	unsigned n_groups;
	struct mcast_port ports[NET_MAX_PORTS];
	struct mcast_set routers;
	uint64_t routers_earliest_ns;
	struct querier queriers[2][VLAN_N_VIDS]; /* IPv4, IPv6 */
};

enum family { IPV4, IPV6, OTHER };

/* Of groups that are reported. */
static enum family family_of(uint64_t mac)
{
	uint8_t b[8];

	memcpy(b, &mac, sizeof(b));
	if (b[0] == 0x01 && b[1] == 0x00 && b[2] == 0x5e && !(b[3] & 0x80))
		return b[3] == 0 && b[4] == 0 ? OTHER : IPV4;
	if (b[0] == 0x33 && b[1] == 0x33)
		return b[2] == 0 && b[3] == 0 && b[4] == 0 && b[5] == 1 ? OTHER : IPV6;
	return OTHER;
}

static struct group **bucket_of(struct mcast *m, uint64_t key)
{
	return &m->buckets[keyed_hash(m->seed, key) & (N_BUCKETS - 1)];
}

static struct group *find_group(struct mcast *m, uint64_t mac, uint16_t vid)
{
	uint64_t key = mac | (uint64_t)vid << 48;
	struct group *g = *bucket_of(m, key);

	while (g && g->key != key)
		g = g->next;
	return g;
}

static void free_group(struct mcast *m, struct group *g)
{
	struct group **at = bucket_of(m, g->key);

	while (*at != g)
		at = &(*at)->next;
	*at = g->next;
	m->n_groups--;
	free(g);
}

/* With its group, when it was the last member. */
static void free_member(struct mcast *m, struct member *member)
{
	struct group *g = member->group;

	g->set.words[member->port / 64] &= ~(UINT64_C(1) << (member->port % 64));
	list_del(&member->in_group);
	list_del(&member->in_port);
	m->ports[member->port].n_members--;
	free(member);
	if (list_empty(&g->members))
		free_group(m, g);
}

int mcast_new(const uint64_t seed[2], struct mcast **ret_mcast)
{
	struct mcast *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->seed[0] = seed[0];
	m->seed[1] = seed[1];
	m->routers_earliest_ns = UINT64_MAX;
	for (unsigned i = 0; i < NET_MAX_PORTS; i++)
		list_init(&m->ports[i].members);
	*ret_mcast = m;
	return 0;
}

struct mcast *mcast_free(struct mcast *m)
{
	if (!m)
		return NULL;
	for (unsigned i = 0; i < NET_MAX_PORTS; i++)
		mcast_remove_port(m, i);
	free(m);
	return NULL;
}

/* What is heard. */

static void make_router(struct mcast *m, unsigned port, uint64_t until_ns)
{
	struct mcast_port *p = &m->ports[port];

	p->router_until_ns = MAX(p->router_until_ns, until_ns);
	mcast_set_add(&m->routers, port);
	m->routers_earliest_ns = MIN(m->routers_earliest_ns, p->router_until_ns);
}

static struct member *find_member(struct group *g, unsigned port)
{
	struct list *pos;

	if (!mcast_set_has(&g->set, port))
		return NULL;
	list_for_each (pos, &g->members) {
		struct member *member = list_entry(pos, struct member, in_group);

		if (member->port == port)
			return member;
	}
	return NULL;
}

static struct group *add_group(struct mcast *m, uint64_t mac, uint16_t vid)
{
	uint64_t key = mac | (uint64_t)vid << 48;
	struct group **bucket = bucket_of(m, key), *g;

	if (m->n_groups >= MCAST_MAX_GROUPS)
		return NULL;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->key = key;
	list_init(&g->members);
	g->earliest_ns = UINT64_MAX;
	g->next = *bucket;
	*bucket = g;
	m->n_groups++;
	return g;
}

static struct member *add_member(struct mcast *m, unsigned port, uint64_t mac, uint16_t vid)
{
	struct mcast_port *p = &m->ports[port];
	struct member *member;
	struct group *g;

	if (p->n_members >= MCAST_MAX_JOINS)
		return NULL;
	g = find_group(m, mac, vid) ?: add_group(m, mac, vid);
	if (!g)
		return NULL;
	member = calloc(1, sizeof(*member));
	if (!member) {
		if (list_empty(&g->members))
			free_group(m, g);
		return NULL;
	}
	member->group = g;
	member->port = port;
	list_add_tail(&g->members, &member->in_group);
	list_add_tail(&p->members, &member->in_port);
	mcast_set_add(&g->set, port);
	p->n_members++;
	return member;
}

void mcast_join(struct mcast *m, unsigned port, uint64_t mac, uint16_t vid, uint64_t now_ns)
{
	struct member *member = NULL;
	struct group *g;

	assert(port < NET_MAX_PORTS);
	if (family_of(mac) == OTHER)
		return;
	g = find_group(m, mac, vid);
	if (g)
		member = find_member(g, port);
	if (!member)
		member = add_member(m, port, mac, vid);
	if (!member) {
		mcast_join_all(m, port, now_ns);
		return;
	}
	member->expires_ns = now_ns + MCAST_MEMBER_NS;
	member->group->earliest_ns = MIN(member->group->earliest_ns, member->expires_ns);
}

void mcast_leave(struct mcast *m, unsigned port, uint64_t mac, uint16_t vid, uint64_t now_ns)
{
	struct group *g = find_group(m, mac, vid);
	struct member *member;

	assert(port < NET_MAX_PORTS);
	member = g ? find_member(g, port) : NULL;
	if (!member)
		return;
	member->expires_ns = MIN(member->expires_ns, now_ns + MCAST_LEAVE_NS);
	g->earliest_ns = MIN(g->earliest_ns, member->expires_ns);
}

void mcast_join_all(struct mcast *m, unsigned port, uint64_t now_ns)
{
	assert(port < NET_MAX_PORTS);
	make_router(m, port, now_ns + MCAST_MEMBER_NS);
}

void mcast_query(struct mcast *m, unsigned port, uint16_t vid, bool ipv6, uint64_t answer_ns,
	uint64_t now_ns)
{
	struct querier *q;

	assert(port < NET_MAX_PORTS && vid < VLAN_N_VIDS);
	q = &m->queriers[ipv6 ? IPV6 : IPV4][vid];
	if (!q->last_ns || now_ns - q->last_ns > MCAST_QUERIER_NS)
		q->answered_ns = now_ns + MAX(answer_ns, MCAST_ANSWER_NS);
	q->last_ns = now_ns;
	make_router(m, port, now_ns + MCAST_QUERIER_NS);
}

void mcast_remove_port(struct mcast *m, unsigned port)
{
	struct list *pos, *tmp;

	assert(port < NET_MAX_PORTS);
	list_for_each_safe (pos, tmp, &m->ports[port].members)
		free_member(m, list_entry(pos, struct member, in_port));
	m->routers.words[port / 64] &= ~(UINT64_C(1) << (port % 64));
	m->ports[port].router_until_ns = 0;
}

void mcast_prune_port(struct mcast *m, unsigned port, const struct vlan *vlan)
{
	struct list *pos, *tmp;

	assert(port < NET_MAX_PORTS);
	list_for_each_safe (pos, tmp, &m->ports[port].members) {
		struct member *member = list_entry(pos, struct member, in_port);

		if (!vlan_has(vlan, (unsigned)(member->group->key >> 48)))
			free_member(m, member);
	}
}

/* Ageing. */

/* Afterwards nothing of the group is older than 'now_ns'; the group may be gone. */
static void expire_group(struct mcast *m, struct group *g, uint64_t now_ns)
{
	struct list *pos, *tmp;
	uint64_t earliest_ns = UINT64_MAX;
	size_t n_left = 0;

	list_for_each (pos, &g->members) {
		struct member *member = list_entry(pos, struct member, in_group);

		if (member->expires_ns > now_ns) {
			earliest_ns = MIN(earliest_ns, member->expires_ns);
			n_left++;
		}
	}
	g->earliest_ns = earliest_ns;
	/* The last member takes the group with it: then the list's head is not to be looked at again. */
	list_for_each_safe (pos, tmp, &g->members) {
		struct member *member = list_entry(pos, struct member, in_group);
		bool last = n_left == 0 && tmp == &g->members;

		if (member->expires_ns <= now_ns)
			free_member(m, member);
		if (last)
			return;
	}
}

static void expire_routers(struct mcast *m, uint64_t now_ns)
{
	m->routers_earliest_ns = UINT64_MAX;
	for (unsigned i = 0; i < NET_MAX_PORTS; i++) {
		uint64_t until_ns = m->ports[i].router_until_ns;

		if (!mcast_set_has(&m->routers, i))
			continue;
		if (until_ns <= now_ns)
			m->routers.words[i / 64] &= ~(UINT64_C(1) << (i % 64));
		else
			m->routers_earliest_ns = MIN(m->routers_earliest_ns, until_ns);
	}
}

void mcast_age(struct mcast *m, uint64_t now_ns)
{
	if (m->routers_earliest_ns <= now_ns)
		expire_routers(m, now_ns);
	for (unsigned i = 0; i < N_BUCKETS; i++) {
		struct group *g, *next;

		for (g = m->buckets[i]; g; g = next) {
			next = g->next;
			if (g->earliest_ns <= now_ns)
				expire_group(m, g, now_ns);
		}
	}
}

uint64_t mcast_deadline(const struct mcast *m)
{
	uint64_t deadline_ns = m->routers_earliest_ns;

	for (unsigned i = 0; m->n_groups && i < N_BUCKETS; i++)
		for (const struct group *g = m->buckets[i]; g; g = g->next)
			deadline_ns = MIN(deadline_ns, g->earliest_ns);
	return deadline_ns;
}

/* Looking up. */

static const struct querier *querier_of(
	const struct mcast *m, enum family family, uint16_t vid, uint64_t now_ns)
{
	const struct querier *q;

	if (family == OTHER || vid >= VLAN_N_VIDS)
		return NULL;
	q = &m->queriers[family][vid];
	return q->last_ns && now_ns - q->last_ns <= MCAST_QUERIER_NS ? q : NULL;
}

bool mcast_find(
	struct mcast *m, uint64_t mac, uint16_t vid, uint64_t now_ns, struct mcast_set *ret_set)
{
	const struct querier *q = querier_of(m, family_of(mac), vid, now_ns);
	struct group *g;

	if (!q || now_ns < q->answered_ns)
		return false;
	g = find_group(m, mac, vid);
	if (g && g->earliest_ns <= now_ns) {
		expire_group(m, g, now_ns);
		g = find_group(m, mac, vid);
	}
	if (!g)
		return false;
	if (m->routers_earliest_ns <= now_ns)
		expire_routers(m, now_ns);
	for (size_t i = 0; i < ARRAY_SIZE(ret_set->words); i++)
		ret_set->words[i] = g->set.words[i] | m->routers.words[i];
	return true;
}

bool mcast_routers(
	struct mcast *m, uint16_t vid, bool ipv6, uint64_t now_ns, struct mcast_set *ret_set)
{
	if (!querier_of(m, ipv6 ? IPV6 : IPV4, vid, now_ns))
		return false;
	if (m->routers_earliest_ns <= now_ns)
		expire_routers(m, now_ns);
	*ret_set = m->routers;
	return true;
}

void mcast_each(const struct mcast *m,
	void (*found)(void *opaque, uint64_t mac, uint16_t vid, unsigned port, uint64_t expires_ns),
	void *opaque)
{
	for (unsigned i = 0; i < NET_MAX_PORTS; i++) {
		struct list *pos;

		list_for_each (pos, &m->ports[i].members) {
			struct member *member = list_entry(pos, struct member, in_port);
			uint64_t key = member->group->key;

			found(opaque, key & UINT64_C(0xffffffffffff), (uint16_t)(key >> 48), i,
				member->expires_ns);
		}
	}
}
