/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IP addresses of ports: see neigh.h. */
#include "devices/net/neigh.h"

#include <errno.h>
#include <string.h>

#include "devices/net/keyed-hash.h"
#include "vmm-core/base/list.h"

#define N_BUCKETS 256 /* a power of two */

struct entry {
	struct entry *next; /* of its bucket */
	struct list link;   /* of its port: own, or heard with the oldest first */
	struct net_ip ip;
	unsigned port;
	uint16_t vid; /* of what was heard */
	bool is_static;
	uint8_t mac[NET_MAC_LEN];
	uint64_t heard_ns, told_ns;
};

struct neigh_port {
	const struct vlan *vlan; /* NULL: there is no such port */
	struct list own, heard;
	unsigned n_heard;
};

struct neigh {
	uint64_t seed[2];
	struct entry *buckets[N_BUCKETS];
	struct neigh_port ports[NET_MAX_PORTS];
};

static bool same_ip(const struct net_ip *a, const struct net_ip *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, a->family == 4 ? 4 : 16);
}

static size_t bucket_of(const struct neigh *n, const struct net_ip *ip)
{
	uint64_t words[2] = {0};

	memcpy(words, ip->bytes, ip->family == 4 ? 4 : 16);
	return keyed_hash(n->seed, keyed_hash(n->seed, words[0]) ^ words[1]) & (N_BUCKETS - 1);
}

static void insert(struct neigh *n, struct entry *e)
{
	struct entry **bucket = &n->buckets[bucket_of(n, &e->ip)];

	e->next = *bucket;
	*bucket = e;
}

static void take_out(struct neigh *n, struct entry *e)
{
	struct entry **at = &n->buckets[bucket_of(n, &e->ip)];

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	list_del(&e->link);
	if (!e->is_static)
		n->ports[e->port].n_heard--;
}

static void free_all(struct neigh *n, struct list *head)
{
	while (!list_empty(head)) {
		struct entry *e = list_entry(head->next, struct entry, link);

		take_out(n, e);
		free(e);
	}
}

int neigh_new(const uint64_t seed[2], struct neigh **ret_neigh)
{
	struct neigh *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->seed[0] = seed[0];
	n->seed[1] = seed[1];
	for (unsigned i = 0; i < NET_MAX_PORTS; i++) {
		list_init(&n->ports[i].own);
		list_init(&n->ports[i].heard);
	}
	*ret_neigh = n;
	return 0;
}

struct neigh *neigh_free(struct neigh *n)
{
	if (!n)
		return NULL;
	for (unsigned i = 0; i < NET_MAX_PORTS; i++)
		neigh_remove_port(n, i);
	free(n);
	return NULL;
}

static bool is_one_address(const struct net_ip *ip)
{
	return (ip->family == 4 && ip->prefix == 32) || (ip->family == 6 && ip->prefix == 128);
}

int neigh_set_port(struct neigh *n, unsigned port, const struct net_port_config *config,
	const struct vlan *vlan)
{
	struct neigh_port *p = &n->ports[port];

	assert(port < NET_MAX_PORTS);
	p->vlan = vlan;
	free_all(n, &p->own);
	for (unsigned i = 0; i < config->n_ips; i++) {
		struct entry *e;

		if (!is_one_address(&config->ips[i]))
			continue;
		e = calloc(1, sizeof(*e));
		if (!e) {
			free_all(n, &p->own);
			return -ENOMEM;
		}
		e->ip = config->ips[i];
		e->port = port;
		e->is_static = true;
		list_add_tail(&p->own, &e->link);
		insert(n, e);
	}
	return 0;
}

void neigh_remove_port(struct neigh *n, unsigned port)
{
	assert(port < NET_MAX_PORTS);
	free_all(n, &n->ports[port].own);
	free_all(n, &n->ports[port].heard);
	n->ports[port].vlan = NULL;
}

static struct entry *find_heard(const struct neigh *n, uint16_t vid, const struct net_ip *ip)
{
	struct entry *e = n->buckets[bucket_of(n, ip)];

	while (e && (e->is_static || e->vid != vid || !same_ip(&e->ip, ip)))
		e = e->next;
	return e;
}

/* A new entry, or the port's oldest one. NULL: no memory. */
static struct entry *make_room(struct neigh *n, unsigned port)
{
	struct neigh_port *p = &n->ports[port];
	struct entry *e;

	if (p->n_heard < NEIGH_MAX_HEARD)
		return calloc(1, sizeof(*e));
	e = list_entry(p->heard.next, struct entry, link);
	take_out(n, e);
	return e;
}

static void take_over(struct neigh *n, struct entry *e, unsigned port)
{
	struct neigh_port *p = &n->ports[port];

	e->port = port;
	list_add_tail(&p->heard, &e->link);
	p->n_heard++;
	insert(n, e);
}

bool neigh_heard(struct neigh *n, unsigned port, uint16_t vid, const uint8_t mac[NET_MAC_LEN],
	const struct net_ip *ip, uint64_t now_ns)
{
	struct entry *e = find_heard(n, vid, ip);
	bool same = e && e->port == port && !memcmp(e->mac, mac, NET_MAC_LEN);

	assert(port < NET_MAX_PORTS && n->ports[port].vlan);
	if (e && e->port == port) {
		list_del(&e->link);
		list_add_tail(&n->ports[port].heard, &e->link);
	} else {
		if (e) {
			take_out(n, e);
			free(e);
		}
		e = make_room(n, port);
		if (!e)
			return true;
		*e = (struct entry){.ip = *ip, .vid = vid};
		list_init(&e->link);
		take_over(n, e, port);
	}
	memcpy(e->mac, mac, NET_MAC_LEN);
	e->heard_ns = now_ns;
	if (same && now_ns - e->told_ns < NEIGH_TELL_NS)
		return false;
	e->told_ns = now_ns;
	return true;
}

void neigh_forget(struct neigh *n, uint16_t vid, const struct net_ip *ip)
{
	struct entry *e = find_heard(n, vid, ip);

	if (e) {
		take_out(n, e);
		free(e);
	}
}

int neigh_find(const struct neigh *n, uint16_t vid, const struct net_ip *ip, uint64_t now_ns)
{
	int heard = -1;

	for (const struct entry *e = n->buckets[bucket_of(n, ip)]; e; e = e->next) {
		if (!same_ip(&e->ip, ip))
			continue;
		if (e->is_static && vlan_has(n->ports[e->port].vlan, vid))
			return (int)e->port;
		if (!e->is_static && e->vid == vid && now_ns - e->heard_ns <= NEIGH_FRESH_NS)
			heard = (int)e->port;
	}
	return heard;
}

static bool has_ip(const struct net_ip *ips, unsigned n_ips, const struct net_ip *ip)
{
	for (unsigned i = 0; i < n_ips; i++)
		if (same_ip(&ips[i], ip))
			return true;
	return false;
}

unsigned neigh_of(const struct neigh *n, unsigned port, bool is_owner,
	const uint8_t mac[NET_MAC_LEN], uint16_t vid, uint64_t now_ns, struct net_ip *ret_ips,
	unsigned max)
{
	const struct neigh_port *p = &n->ports[port];
	unsigned n_ips = 0;

	assert(port < NET_MAX_PORTS);
	if (!p->vlan)
		return 0;
	for (struct list *at = p->own.next; is_owner && vlan_has(p->vlan, vid); at = at->next) {
		if (at == &p->own || n_ips == max)
			break;
		ret_ips[n_ips++] = list_entry(at, struct entry, link)->ip;
	}
	for (struct list *at = p->heard.prev; at != &p->heard && n_ips < max; at = at->prev) {
		const struct entry *e = list_entry(at, struct entry, link);

		if (e->vid == vid && memcmp(e->mac, mac, NET_MAC_LEN) == 0 &&
			now_ns - e->heard_ns <= NEIGH_CLAIM_NS && !has_ip(ret_ips, n_ips, &e->ip))
			ret_ips[n_ips++] = e->ip;
	}
	return n_ips;
}
