/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Beacons: each member broadcasts one every beacon_ms, and the others should hear it. A member that is not heard, or hears
 * none, while two others hear each other, is cut off: its link is up, but somewhere behind it the path is not.
 *
 * Tested by tests/unit/test-team-detect.c.
 */
#include "devices/net/team-internal.h"

#include <endian.h>
#include <string.h>

#define MAGIC UINT32_C(0x766d6274) /* and version 1 */

/* Behind the Ethernet header. Big-endian, but for the tag, which only this team ever reads. */
struct beacon {
	uint32_t magic;
	uint32_t member;
	uint64_t team;    /* which: by the seed, so that teams of other hosts do not meddle */
	uint64_t sent_ns; /* also says which is the later one */
	uint64_t tag;     /* SipHash-2-4 of all before it */
};
static_assert(sizeof(struct beacon) == 32, "wire format");

static uint64_t team_id(const struct team *t)
{
	return team_hash(t->seed, "vmmd team", 9);
}

static uint64_t silence_ns(const struct team *t)
{
	uint32_t missed = t->config.beacon_missed ? t->config.beacon_missed : 3;

	return (uint64_t)t->config.beacon_ms * NSEC_PER_MSEC * missed;
}

static void send_beacon(struct team *t, unsigned member, uint64_t now_ns)
{
	static const uint8_t broadcast[NET_MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	struct beacon b = {.magic = htobe32(MAGIC),
		.member = htobe32(member),
		.team = htobe64(team_id(t)),
		.sent_ns = htobe64(now_ns)};
	struct team_packet p;

	b.tag = team_hash(t->seed, &b, offsetof(struct beacon, tag));
	team_packet_init(&p, broadcast, t->members[member].uplink.mac, TEAM_BEACON_TYPE);
	team_packet_put(&p, &b, sizeof(b));
	(void)team_packet_send(t, member, &p, 0);
}

uint64_t team_beacon_well_ns(const struct team_member *m)
{
	return MIN(m->beacon_rx_ns, m->beacon_tx_ns);
}

static bool is_fresh(const struct team *t, const struct team_member *m, uint64_t now_ns)
{
	return now_ns - team_beacon_well_ns(m) <= silence_ns(t);
}

/* Answers whether a verdict changed. */
static bool judge(struct team *t, uint64_t now_ns)
{
	unsigned linked = 0, fresh = 0;
	bool changed = false;

	for (unsigned i = 0; i < t->n_members; i++) {
		const struct team_member *m = &t->members[i];

		linked += team_member_linked(m, now_ns);
		fresh += team_member_linked(m, now_ns) && is_fresh(t, m, now_ns);
	}
	for (unsigned i = 0; i < t->n_members; i++) {
		struct team_member *m = &t->members[i];
		bool stale = team_member_linked(m, now_ns) && !is_fresh(t, m, now_ns);
		/* Without two that hear each other nothing is proved, and what was proved before stays. */
		bool bad = stale && (fresh >= 2 || (m->beacon_bad && linked > 1));

		changed |= bad != m->beacon_bad;
		m->beacon_bad = bad;
	}
	if (linked == 2 && !fresh)
		team_report_ambiguous(t, &t->beacon_ambiguous, TEAM_BY_BEACON, now_ns);
	else if (fresh == linked)
		t->beacon_ambiguous = false;
	return changed;
}

bool team_beacon_poll(struct team *t, uint64_t now_ns)
{
	unsigned linked = 0;
	bool changed = false;

	if (!t->config.beacon_ms)
		return false;
	for (unsigned i = 0; i < t->n_members; i++)
		linked += team_member_linked(&t->members[i], now_ns);
	if (linked < 2) {
		t->beacon_ns = TEAM_NEVER;
		for (unsigned i = 0; i < t->n_members; i++) {
			changed |= t->members[i].beacon_bad;
			t->members[i].beacon_bad = false;
		}
		return changed;
	}
	if (t->beacon_ns == TEAM_NEVER) {
		/* There is somebody to talk to again. */
		for (unsigned i = 0; i < t->n_members; i++)
			t->members[i].beacon_rx_ns = t->members[i].beacon_tx_ns = now_ns;
		t->beacon_ns = now_ns;
	}
	changed = judge(t, now_ns);
	if (now_ns < t->beacon_ns)
		return changed;
	t->beacon_ns = now_ns + (uint64_t)t->config.beacon_ms * NSEC_PER_MSEC;
	for (unsigned i = 0; i < t->n_members; i++)
		if (team_member_linked(&t->members[i], now_ns))
			send_beacon(t, i, now_ns);
	return changed;
}

/* True: it was a beacon of this team, or claimed to be. Others' are ordinary frames. */
bool team_beacon_input(struct team *t, unsigned member, const struct frame *f, uint64_t now_ns,
	struct team_verdict *ret_verdict)
{
	struct team_member *m = &t->members[member], *sender;
	uint64_t sent_ns;
	struct beacon b;
	uint32_t from;

	if (f->tagged || f->head_len < 14 + sizeof(b) || f->len < 14 + sizeof(b))
		return false;
	memcpy(&b, f->head + 14, sizeof(b));
	if (b.magic != htobe32(MAGIC) || b.team != htobe64(team_id(t)))
		return false;
	*ret_verdict = (struct team_verdict){.kind = TEAM_DROP, .reason = NET_DROP_MALFORMED};
	from = be32toh(b.member);
	sent_ns = be64toh(b.sent_ns);
	/* Forged, or an old one again. */
	if (b.tag != team_hash(t->seed, &b, offsetof(struct beacon, tag)) || from >= t->n_members ||
		sent_ns > now_ns || now_ns - sent_ns > silence_ns(t) ||
		sent_ns < m->beacon_seq[from]) {
		m->forged++;
		return true;
	}
	ret_verdict->kind = TEAM_CONSUMED;
	if (from == member)
		return true; /* a reflection proves nothing */
	sender = &t->members[from];
	m->beacon_seq[from] = sent_ns;
	m->beacon_rx_ns = now_ns;
	sender->beacon_tx_ns = MAX(sender->beacon_tx_ns, sent_ns);
	return true;
}
