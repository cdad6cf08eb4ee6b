/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Telling switches where addresses are now: for each that moved, in each of its VLANs, a RARP request and, where its IP
 * addresses are known, a gratuitous ARP or an unsolicited neighbour advertisement. Several rounds, as any frame may be lost
 * while a network rearranges itself; paced, so that a host with many guests floods nobody.
 *
 * Tested by tests/unit/test-team.c.
 */
#include "devices/net/team-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_ARP       0x0806
#define TYPE_RARP      0x8035
#define ARP_REQUEST    1
#define RARP_REQUEST   3
#define ND_ADVERT      136
#define DEFAULT_ROUNDS 5
#define FIRST_SIZE     16

int team_notify_init(struct team *t)
{
	t->notify.next_ns = TEAM_NEVER;
	token_bucket_init(&t->notify.pace,
		&(struct token_limit){
			.rate = TEAM_NOTIFY_PPS - TEAM_NOTIFY_BURST, .burst = TEAM_NOTIFY_BURST});
	return 0;
}

void team_notify_done(struct team *t)
{
	free(t->notify.entries);
	t->notify.entries = NULL;
}

static unsigned n_rounds(const struct team *t)
{
	if (t->config.no_notify || !t->policy->independent)
		return 0;
	return t->config.notify_rounds ? t->config.notify_rounds : DEFAULT_ROUNDS;
}

static int grow(struct team_notify *n)
{
	unsigned size = n->size ? 2 * n->size : FIRST_SIZE;
	struct team_address *entries;

	if (n->n < n->size)
		return 0;
	if (size > TEAM_MAX_NOTIFY)
		return -ENOSPC;
	entries = reallocarray(n->entries, size, sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	n->entries = entries;
	n->size = size;
	return 0;
}

struct moved_arg {
	struct team *t;
	const bool *moved;
	uint64_t now_ns;
	unsigned n;
	struct net_team_report *report; /* NULL: none */
};

static void found_address(
	void *opaque, uint32_t cookie, const uint8_t mac[NET_MAC_LEN], uint16_t vid)
{
	struct moved_arg *arg = opaque;
	struct team *t = arg->t;
	struct team_notify *n = &t->notify;

	if (!arg->moved[t->policy->address_slot(t, mac, vid, cookie)] || grow(n) < 0)
		return;
	n->entries[n->n] =
		(struct team_address){.vid = vid, .cookie = cookie, .next_ns = arg->now_ns};
	memcpy(n->entries[n->n].mac, mac, NET_MAC_LEN);
	n->n++;
	if (arg->report && arg->n < NET_TEAM_REPORT_MACS) {
		struct net_team_address *named = &arg->report->macs[arg->report->n_macs++];

		memcpy(named->mac, mac, NET_MAC_LEN);
		named->vid = vid;
	}
	arg->n++;
}

/* Keeps the order, which is that of turns. */
static void drop_entry(struct team_notify *n, unsigned at)
{
	n->n--;
	memmove(n->entries + at, n->entries + at + 1, (n->n - at) * sizeof(*n->entries));
}

static void drop_moved(struct team *t, const bool moved[TEAM_SLOTS])
{
	struct team_notify *n = &t->notify;
	unsigned kept = 0;

	for (unsigned i = 0; i < n->n; i++) {
		const struct team_address *a = &n->entries[i];

		if (!moved[t->policy->address_slot(t, a->mac, a->vid, a->cookie)])
			n->entries[kept++] = *a;
	}
	n->n = kept;
}

void team_notify_moved(struct team *t, const bool moved[TEAM_SLOTS], struct net_team_report *report,
	uint64_t now_ns)
{
	struct team_notify *n = &t->notify;
	struct moved_arg arg = {.t = t, .moved = moved, .now_ns = now_ns, .report = report};

	if (!n_rounds(t) || !t->n_active)
		return;
	/* Those that are at it begin again. */
	drop_moved(t, moved);
	t->ops->each_address(t->opaque, found_address, &arg);
	if (arg.n)
		n->next_ns = now_ns;
	report->macs_announced = arg.n;
}

void team_notify_one(struct team *t, const uint8_t mac[NET_MAC_LEN], uint16_t vid, uint32_t cookie,
	uint64_t now_ns)
{
	struct team_notify *n = &t->notify;
	bool all[TEAM_SLOTS];
	struct moved_arg arg = {.t = t, .moved = all, .now_ns = now_ns};

	for (unsigned i = 0; i < n->n; i++)
		if (!memcmp(n->entries[i].mac, mac, NET_MAC_LEN) && n->entries[i].vid == vid)
			return;
	memset(all, true, sizeof(all));
	if (n_rounds(t))
		found_address(&arg, cookie, mac, vid);
	/* Once is enough: the next stray frame brings the next. */
	if (arg.n) {
		n->entries[n->n - 1].round = n_rounds(t) - 1;
		n->next_ns = MIN(n->next_ns, now_ns);
	}
}

static void announce_ip(struct team *t, unsigned member, const struct team_address *a,
	const struct net_ip *ip, uint64_t now_ns)
{
	static const uint8_t nobody[NET_MAC_LEN];
	static const uint8_t nodes_mac[NET_MAC_LEN] = {0x33, 0x33, 0, 0, 0, 1};
	static const uint8_t nodes[16] = {0xff, 2, [15] = 1};
	struct team_packet p;

	if (ip->family == 4)
		team_packet_arp(&p, a->mac, TYPE_ARP, ARP_REQUEST, ip->bytes, nobody, ip->bytes);
	else
		team_packet_nd(&p, nodes_mac, a->mac, ip->bytes, nodes, ND_ADVERT, ip->bytes);
	(void)team_packet_send(t, member, &p, a->vid);
	token_bucket_charge(&t->notify.pace, now_ns, 1);
}

static void announce(struct team *t, unsigned member, const struct team_address *a, uint64_t now_ns)
{
	static const uint8_t no_ip[4];
	struct net_ip ips[TEAM_NOTIFY_IPS];
	struct team_packet p;
	unsigned n_ips = 0;

	team_packet_arp(&p, a->mac, TYPE_RARP, RARP_REQUEST, no_ip, a->mac, no_ip);
	(void)team_packet_send(t, member, &p, a->vid);
	token_bucket_charge(&t->notify.pace, now_ns, 1);
	if (t->ops->each_ip)
		n_ips = MIN(
			t->ops->each_ip(t->opaque, a->mac, a->vid, ips), (unsigned)TEAM_NOTIFY_IPS);
	for (unsigned i = 0; i < n_ips; i++)
		announce_ip(t, member, a, &ips[i], now_ns);
}

/* One entry's turn. Answers whether it is still wanted. */
static bool entry_step(struct team *t, struct team_address *a, uint64_t now_ns)
{
	unsigned member;
	uint32_t cookie;

	/* The guest may have gone, and the address with it: to another host, even. */
	if (!n_rounds(t) || !t->ops->is_local(t->opaque, a->mac, a->vid, &cookie))
		return false;
	a->cookie = cookie;
	member = t->map[t->policy->address_slot(t, a->mac, a->vid, cookie)];
	if (member == TEAM_NONE)
		return false;
	announce(t, member, a, now_ns);
	a->round++;
	a->next_ns = now_ns + MIN(a->round * TEAM_NOTIFY_STEP_NS, TEAM_NOTIFY_MAX_NS);
	return a->round < n_rounds(t);
}

void team_notify_poll(struct team *t, uint64_t now_ns)
{
	struct team_notify *n = &t->notify;
	uint64_t next = TEAM_NEVER;

	if (now_ns < n->next_ns)
		return;
	/* In turns, so that a slow pace lets each have its rounds. */
	for (unsigned left = n->n; left > 0 && n->n > 0; left--) {
		if (n->at >= n->n)
			n->at = 0;
		if (n->entries[n->at].next_ns > now_ns) {
			n->at++;
		} else if (token_bucket_ready_ns(&n->pace, now_ns) > now_ns) {
			break;
		} else if (entry_step(t, &n->entries[n->at], now_ns)) {
			n->at++;
		} else {
			drop_entry(n, n->at);
		}
	}
	for (unsigned i = 0; i < n->n; i++)
		next = MIN(next, n->entries[i].next_ns);
	n->next_ns = next == TEAM_NEVER ? next : MAX(next, token_bucket_ready_ns(&n->pace, now_ns));
}
