/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Targets: addresses that every member must reach. Each asks for them by its own MAC, by ARP (with no sender address, as
 * RFC 5227 asks) or neighbour solicitation (from its link-local address), so that the answer comes back by the way it
 * judges.
 *
 * Tested by tests/unit/test-team-detect.c.
 */
#include "devices/net/team-internal.h"

#include <string.h>

#define TYPE_ARP    0x0806
#define ARP_REQUEST 1
#define ARP_REPLY   2
#define ND_SOLICIT  135
#define ND_ADVERT   136

static uint64_t period_ns(const struct team *t)
{
	return (t->config.probe_ms ? t->config.probe_ms : 1000) * NSEC_PER_MSEC;
}

static uint64_t silence_ns(const struct team *t)
{
	return period_ns(t) * (t->config.probe_missed ? t->config.probe_missed : 3);
}

static unsigned n_targets(const struct team *t)
{
	return MIN(t->config.n_targets, (uint32_t)NET_MAX_TARGETS);
}

void team_probe_reset(struct team *t, unsigned member, uint64_t now_ns)
{
	for (unsigned i = 0; i < NET_MAX_TARGETS; i++)
		t->members[member].target_ns[i] = now_ns;
}

static void probe_ip4(struct team *t, unsigned member, const struct net_ip *ip, uint16_t vid)
{
	static const uint8_t nobody[NET_MAC_LEN], no_ip[4];
	struct team_packet p;

	team_packet_arp(
		&p, t->members[member].uplink.mac, TYPE_ARP, ARP_REQUEST, no_ip, nobody, ip->bytes);
	(void)team_packet_send(t, member, &p, vid);
}

static void probe_ip6(struct team *t, unsigned member, const struct net_ip *ip, uint16_t vid)
{
	const uint8_t *mac = t->members[member].uplink.mac;
	/* RFC 4291, 2.5.6 and appendix A; 2.7.1 for the group of a target. */
	const uint8_t from[16] = {
		0xfe, 0x80, [8] = mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]};
	const uint8_t to[16] = {
		0xff, 2, [11] = 1, 0xff, ip->bytes[13], ip->bytes[14], ip->bytes[15]};
	const uint8_t dst[NET_MAC_LEN] = {
		0x33, 0x33, 0xff, ip->bytes[13], ip->bytes[14], ip->bytes[15]};
	struct team_packet p;

	team_packet_nd(&p, dst, mac, from, to, ND_SOLICIT, ip->bytes);
	(void)team_packet_send(t, member, &p, vid);
}

uint64_t team_probe_well_ns(const struct team *t, const struct team_member *m)
{
	uint64_t first = UINT64_MAX, last = 0;

	for (unsigned i = 0; i < n_targets(t); i++) {
		first = MIN(first, m->target_ns[i]);
		last = MAX(last, m->target_ns[i]);
	}
	return t->config.probe_all ? first : last;
}

static bool passes(const struct team *t, const struct team_member *m, uint64_t now_ns)
{
	return now_ns - team_probe_well_ns(t, m) <= silence_ns(t);
}

static bool judge(struct team *t, uint64_t now_ns)
{
	unsigned linked = 0, good = 0;
	bool changed = false;

	for (unsigned i = 0; i < t->n_members; i++) {
		const struct team_member *m = &t->members[i];

		linked += team_member_linked(m, now_ns);
		good += team_member_linked(m, now_ns) && passes(t, m, now_ns);
	}
	for (unsigned i = 0; i < t->n_members; i++) {
		struct team_member *m = &t->members[i];
		bool fails = team_member_linked(m, now_ns) && !passes(t, m, now_ns);
		/* When all fail, nothing new is proved, and what was proved before stays. */
		bool bad = fails && (good > 0 || (m->probe_bad && linked > 1));

		changed |= bad != m->probe_bad;
		m->probe_bad = bad;
	}
	if (linked && !good)
		team_report_ambiguous(t, &t->probe_ambiguous, TEAM_BY_TARGET, now_ns);
	else if (good == linked)
		t->probe_ambiguous = false;
	return changed;
}

bool team_probe_poll(struct team *t, uint64_t now_ns)
{
	unsigned linked = 0;
	bool changed;

	if (!n_targets(t))
		return false;
	for (unsigned i = 0; i < t->n_members; i++)
		linked += team_member_linked(&t->members[i], now_ns);
	changed = judge(t, now_ns);
	if (!linked)
		t->probe_ns = TEAM_NEVER;
	else if (t->probe_ns == TEAM_NEVER)
		t->probe_ns = now_ns;
	if (now_ns < t->probe_ns)
		return changed;
	t->probe_ns = now_ns + period_ns(t);
	for (unsigned i = 0; i < t->n_members; i++) {
		if (!team_member_linked(&t->members[i], now_ns))
			continue;
		for (unsigned j = 0; j < n_targets(t); j++) {
			const struct net_ip *ip = &t->config.targets[j].ip;

			(ip->family == 4 ? probe_ip4 : probe_ip6)(
				t, i, ip, t->config.targets[j].vid);
		}
	}
	return changed;
}

static const uint8_t *answered_ip(const struct frame *f, uint8_t *ret_family)
{
	const uint8_t *p = f->head + f->l3;

	*ret_family = 4;
	if (f->flags & FRAME_ARP && f->head_len >= f->l3 + 28)
		return p[6] == 0 && p[7] == ARP_REPLY ? p + 14 : NULL;
	*ret_family = 6;
	if (!(f->flags & FRAME_ICMP6) || f->head_len < f->l4 + 24 || p[7] != 255)
		return NULL;
	p = f->head + f->l4;
	return p[0] == ND_ADVERT && p[1] == 0 ? p + 8 : NULL;
}

/* Only what is for the member's own MAC: an answer to it, and nobody else's frame. */
bool team_probe_input(struct team *t, unsigned member, const struct frame *f, uint64_t now_ns)
{
	struct team_member *m = &t->members[member];
	const uint8_t *ip;
	uint8_t family;
	bool found = false;

	if (!n_targets(t) || memcmp(frame_dst(f), m->uplink.mac, NET_MAC_LEN))
		return false;
	ip = answered_ip(f, &family);
	for (unsigned i = 0; ip && i < n_targets(t); i++) {
		const struct net_ip *target = &t->config.targets[i].ip;

		if (target->family != family || t->config.targets[i].vid != f->vid ||
			memcmp(target->bytes, ip, family == 4 ? 4 : 16))
			continue;
		m->target_ns[i] = now_ns;
		found = true;
	}
	return found;
}
