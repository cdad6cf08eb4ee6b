/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes in: rules R1 … R3 of team.h. Nothing in this file sends the frame. */
#include "devices/net/team-internal.h"

#define TYPE_SLOW 0x8809 /* IEEE 802.3 annex 57A: LACP and markers */

static struct team_verdict drop(enum net_drop reason)
{
	return (struct team_verdict){.kind = TEAM_DROP, .reason = reason};
}

static const struct team_verdict deliver = {.kind = TEAM_DELIVER};
static const struct team_verdict consumed = {.kind = TEAM_CONSUMED};

/* Others hear what everybody should, and this one hears nothing. */
static bool is_deaf(const struct team *t, unsigned member, uint64_t now_ns)
{
	const struct team_member *m = &t->members[member];

	return now_ns - m->last_rx_ns >= TEAM_DEAF_NS &&
		t->broadcasts - m->broadcasts_mark >= TEAM_DEAF_FRAMES;
}

static void note_heard(
	struct team *t, struct team_member *m, const struct frame *f, uint64_t now_ns)
{
	m->rx_frames++;
	m->last_rx_ns = now_ns;
	t->broadcasts += (f->flags & FRAME_BROADCAST) != 0;
	m->broadcasts_mark = t->broadcasts;
}

static struct team_verdict duplicate(struct team *t, struct team_member *m)
{
	m->duplicates++;
	t->rx_duplicate++;
	return drop(NET_DROP_DUPLICATE);
}

/* R2; and R3 for addresses that are not a port's own. */
static struct team_verdict input_designated(struct team *t, unsigned member, uint64_t now_ns)
{
	struct team_member *m = &t->members[member];

	if (m->active && t->designated != member && t->designated != TEAM_NO_MEMBER &&
		is_deaf(t, t->designated, now_ns))
		t->designated = member;
	return t->designated == member ? deliver : duplicate(t, m);
}

/* R3. A frame by the wrong member means that the switch does not know, or knows better before: it is told (again). */
static struct team_verdict input_unicast(
	struct team *t, unsigned member, const struct frame *f, uint64_t now_ns)
{
	const struct team_slot *slot;
	uint32_t cookie;
	unsigned s, pinned;

	if (!t->ops->is_local(t->opaque, frame_dst(f), f->vid, &cookie))
		return input_designated(t, member, now_ns);
	s = t->policy->address_slot(t, frame_dst(f), f->vid, cookie);
	pinned = t->map[s];
	slot = &t->slots[s];
	if (t->test.phase == NET_TEST_OUT && pinned == member)
		team_test_frame(t, s, member, true, now_ns);
	if (pinned == member || pinned == TEAM_NONE || is_deaf(t, pinned, now_ns))
		return deliver;
	if (slot->moved_ns != TEAM_NEVER && now_ns - slot->moved_ns < TEAM_GRACE_NS)
		return deliver;
	if (now_ns >= t->heal_ns) {
		t->heal_ns = now_ns + NSEC_PER_SEC;
		team_notify_one(t, frame_dst(f), f->vid, cookie, now_ns);
	}
	return duplicate(t, &t->members[member]);
}

static bool input_own(struct team *t, unsigned member, const struct frame *f, uint64_t now_ns,
	struct team_verdict *ret_verdict)
{
	if (f->ethertype == TEAM_BEACON_TYPE)
		return team_beacon_input(t, member, f, now_ns, ret_verdict);
	if (f->ethertype == TYPE_SLOW && t->config.policy == NET_TEAM_LACP && !f->tagged) {
		lacp_input(&t->lacp, member, f->head, MIN(f->len, (uint32_t)f->head_len), now_ns);
		team_update(t, now_ns);
		*ret_verdict = consumed;
		return true;
	}
	*ret_verdict = consumed;
	return team_probe_input(t, member, f, now_ns);
}

struct team_verdict team_input(
	struct team *t, unsigned member, const struct frame *f, uint64_t now_ns)
{
	struct team_member *m;
	struct team_verdict verdict;
	uint32_t cookie;

	if (member >= t->n_members || !team_member_linked(&t->members[member], now_ns))
		return drop(NET_DROP_LINK_DOWN);
	m = &t->members[member];
	note_heard(t, m, f, now_ns);
	if (input_own(t, member, f, now_ns, &verdict))
		return verdict;
	if (f->flags & FRAME_RESERVED)
		return drop(NET_DROP_RESERVED);
	if (t->ops->is_local(t->opaque, frame_src(f), f->vid, &cookie)) {
		m->reflected++;
		t->rx_reflected++;
		return drop(NET_DROP_REFLECTED);
	}
	if (t->policy->negotiates && !lacp_member_is_collecting(&t->lacp, member))
		return drop(NET_DROP_LINK_DOWN);
	if (!t->policy->independent) {
		if (t->test.phase == NET_TEST_OUT && !(f->flags & FRAME_MULTICAST))
			team_test_frame(t, TEAM_SLOTS, member, true, now_ns);
		return deliver;
	}
	if (f->flags & FRAME_MULTICAST)
		return input_designated(t, member, now_ns);
	return input_unicast(t, member, f, now_ns);
}
