/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which slot goes where, with as few moves as possible; and the moves, which lose no order.
 *
 * Tested by tests/unit/test-team.c.
 */
#include "devices/net/team-internal.h"

#include <string.h>

/* Slots that share their members among themselves: ports (1), and those that no port has (0). */
static bool in_group(const struct team *t, unsigned slot, bool ports)
{
	return (t->policy->by_port && t->slots[slot].used) == ports;
}

static void count_slots(const struct team *t, const uint8_t map[TEAM_SLOTS], bool ports,
	unsigned ret_counts[NET_MAX_UPLINKS])
{
	memset(ret_counts, 0, NET_MAX_UPLINKS * sizeof(*ret_counts));
	for (unsigned s = 0; s < TEAM_SLOTS; s++)
		if (map[s] != TEAM_NONE && in_group(t, s, ports))
			ret_counts[map[s]]++;
}

/* The active member of 'among' that would be least used with one more. */
static unsigned least_used(
	const struct team *t, const unsigned counts[NET_MAX_UPLINKS], unsigned among)
{
	unsigned best = TEAM_NO_MEMBER;

	for (unsigned i = 0; i < t->n_members; i++) {
		const struct team_member *m = &t->members[i];

		if (!m->active || !(among & 1U << i))
			continue;
		if (best == TEAM_NO_MEMBER ||
			(uint64_t)(counts[i] + 1) * t->members[best].weight <
				(uint64_t)(counts[best] + 1) * m->weight)
			best = i;
	}
	return best;
}

static unsigned most_used(const struct team *t, const unsigned counts[NET_MAX_UPLINKS])
{
	unsigned best = TEAM_NO_MEMBER;

	for (unsigned i = 0; i < t->n_members; i++) {
		const struct team_member *m = &t->members[i];

		if (!m->active)
			continue;
		if (best == TEAM_NO_MEMBER ||
			(uint64_t)counts[i] * t->members[best].weight >
				(uint64_t)counts[best] * m->weight)
			best = i;
	}
	return best;
}

/* A slot of 'from' that 'to' may have: rather one that belongs there. TEAM_SLOTS: none. */
static unsigned pick_slot(
	const struct team *t, const uint8_t map[TEAM_SLOTS], bool ports, unsigned from, unsigned to)
{
	unsigned any = TEAM_SLOTS;

	for (unsigned s = 0; s < TEAM_SLOTS; s++) {
		if (map[s] != from || !in_group(t, s, ports))
			continue;
		if (t->slots[s].home == to)
			return s;
		any = s;
	}
	return any;
}

/* What belongs to a member that is new here goes (back) to it as long as that makes nothing worse. */
static void send_home(const struct team *t, unsigned fresh, bool ports, uint8_t map[TEAM_SLOTS],
	unsigned counts[NET_MAX_UPLINKS])
{
	for (unsigned s = 0; s < TEAM_SLOTS; s++) {
		unsigned from = map[s], to = t->slots[s].home;

		if (!in_group(t, s, ports) || to == TEAM_NONE || from == to ||
			!(fresh & 1U << to) || !t->members[to].active)
			continue;
		if ((uint64_t)counts[from] * t->members[to].weight <
			(uint64_t)(counts[to] + 1) * t->members[from].weight)
			continue;
		map[s] = (uint8_t)to;
		counts[from]--;
		counts[to]++;
	}
}

/* Members that are new here get their share, and no other slot moves. Each move makes the greatest load less. */
static void level(const struct team *t, unsigned fresh, bool ports, uint8_t map[TEAM_SLOTS],
	unsigned counts[NET_MAX_UPLINKS])
{
	for (unsigned i = 0; i < TEAM_SLOTS; i++) {
		unsigned from = most_used(t, counts), to = least_used(t, counts, fresh), s;

		if (to == TEAM_NO_MEMBER ||
			(uint64_t)counts[from] * t->members[to].weight <=
				(uint64_t)(counts[to] + 1) * t->members[from].weight)
			break;
		s = pick_slot(t, map, ports, from, to);
		map[s] = (uint8_t)to;
		counts[from]--;
		counts[to]++;
	}
}

static void assign_group(const struct team *t, unsigned fresh, bool ports, uint8_t map[TEAM_SLOTS])
{
	unsigned counts[NET_MAX_UPLINKS];

	for (unsigned s = 0; s < TEAM_SLOTS; s++)
		if (in_group(t, s, ports) && map[s] != TEAM_NONE && !t->members[map[s]].active)
			map[s] = TEAM_NONE;
	count_slots(t, map, ports, counts);
	for (unsigned s = 0; s < TEAM_SLOTS; s++) {
		if (!in_group(t, s, ports) || map[s] != TEAM_NONE)
			continue;
		map[s] = (uint8_t)least_used(t, counts, ~0U);
		counts[map[s]]++;
	}
	send_home(t, fresh, ports, map, counts);
	level(t, fresh, ports, map, counts);
}

void team_map_assign(const struct team *t, unsigned fresh, uint8_t ret_want[TEAM_SLOTS])
{
	if (!t->n_active) {
		memset(ret_want, TEAM_NONE, TEAM_SLOTS);
		return;
	}
	for (unsigned s = 0; s < TEAM_SLOTS; s++)
		ret_want[s] = t->target[s] != TEAM_NONE ? t->target[s] : t->map[s];
	assign_group(t, fresh, false, ret_want);
	assign_group(t, fresh, true, ret_want);
}

uint8_t team_map_least(const struct team *t, bool by_port)
{
	uint8_t map[TEAM_SLOTS];
	unsigned counts[NET_MAX_UPLINKS];

	if (!t->n_active)
		return TEAM_NONE;
	for (unsigned s = 0; s < TEAM_SLOTS; s++)
		map[s] = t->target[s] != TEAM_NONE ? t->target[s] : t->map[s];
	count_slots(t, map, by_port, counts);
	return (uint8_t)least_used(t, counts, ~0U);
}

static unsigned most_of(const unsigned counts[NET_MAX_UPLINKS + 1])
{
	unsigned best = NET_MAX_UPLINKS;

	for (unsigned i = 0; i < NET_MAX_UPLINKS; i++)
		if (counts[i] > (best == NET_MAX_UPLINKS ? 0 : counts[best]))
			best = i;
	return best == NET_MAX_UPLINKS ? TEAM_NONE : best;
}

/* All that was to move has moved, or another change begins: tell, announce. */
static void event_end(struct team *t, uint64_t now_ns)
{
	struct team_event *e = &t->event;
	struct net_team_report *r = &e->report;

	if (!e->going)
		return;
	e->going = false;
	if (!e->n_moved)
		return;
	r->switched_ns = now_ns;
	r->from = (uint8_t)most_of(e->from);
	r->to = (uint8_t)most_of(e->to);
	if (r->from == TEAM_NONE)
		r->frames_lost = t->lost - e->lost_mark;
	else if (e->lost_mark != UINT64_MAX)
		r->frames_lost = t->members[r->from].tx_refused - e->lost_mark;
	team_notify_moved(t, e->moved, r, now_ns);
	team_test_switched(t, r);
	team_report(t, r);
	if (r->from == TEAM_NONE)
		t->lost = 0;
}

static void event_begin(
	struct team *t, const struct team_reason *reason, uint64_t lost_mark, uint64_t now_ns)
{
	event_end(t, now_ns);
	memset(&t->event, 0, sizeof(t->event));
	t->event.going = true;
	t->event.lost_mark = lost_mark;
	t->event.report.cause = (uint8_t)reason->cause;
	t->event.report.detector = (uint8_t)reason->detector;
	t->event.report.well_ns = reason->well_ns;
	t->event.report.detected_ns = reason->detected_ns;
}

static unsigned index_of(uint8_t member)
{
	return member == TEAM_NONE ? NET_MAX_UPLINKS : member;
}

static void commit(struct team *t, unsigned s, uint8_t to, uint64_t now_ns)
{
	struct team_event *e = &t->event;

	if (t->target[s] != TEAM_NONE)
		t->n_moving--;
	e->moved[s] = true;
	e->n_moved++;
	e->from[index_of(t->map[s])]++;
	e->to[index_of(to)]++;
	e->report.ports_moved += !t->policy->by_port || t->slots[s].used;
	t->target[s] = TEAM_NONE;
	t->map[s] = to;
	t->slots[s].moved_ns = now_ns;
	t->n_changes++;
}

void team_map_apply(struct team *t, const uint8_t want[TEAM_SLOTS],
	const struct team_reason *reason, uint64_t now_ns)
{
	/* From nowhere: all that was lost counts. */
	uint64_t lost_mark =
		t->map[0] == TEAM_NONE && reason->lost_mark == UINT64_MAX ? 0 : reason->lost_mark;
	bool changed = false;

	for (unsigned s = 0; s < TEAM_SLOTS; s++)
		changed |= t->map[s] != want[s] || t->target[s] != TEAM_NONE;
	if (!changed)
		return;
	event_begin(t, reason, lost_mark, now_ns);
	for (unsigned s = 0; s < TEAM_SLOTS; s++) {
		uint8_t from = t->map[s];

		if (from == want[s]) {
			t->n_moving -= t->target[s] != TEAM_NONE;
			t->target[s] = TEAM_NONE;
		} else if (from == TEAM_NONE || want[s] == TEAM_NONE ||
			!team_member_usable(t, from)) {
			commit(t, s, want[s], now_ns);
		} else {
			t->n_moving += t->target[s] == TEAM_NONE;
			if (t->target[s] == TEAM_NONE)
				t->slots[s].drain_ns = now_ns;
			t->target[s] = want[s];
			t->slots[s].home = want[s];
		}
		if (t->slots[s].home == TEAM_NONE)
			t->slots[s].home = want[s];
	}
	t->move_ns = now_ns + TEAM_MOVE_STEP_NS;
	if (!t->n_moving)
		event_end(t, now_ns);
}

static bool may_commit(const struct team *t, unsigned s, uint64_t now_ns)
{
	return now_ns >= t->slots[s].drain_ns + TEAM_DRAIN_NS || !team_member_usable(t, t->map[s]);
}

bool team_move_step(struct team *t, unsigned s, uint64_t now_ns)
{
	if (may_commit(t, s, now_ns) || !t->ops->pending(t->opaque, t->map[s])) {
		commit(t, s, t->target[s], now_ns);
		if (!t->n_moving)
			event_end(t, now_ns);
		return false;
	}
	return now_ns >= t->slots[s].drain_ns + TEAM_HOLD_NS;
}

void team_move_poll(struct team *t, uint64_t now_ns)
{
	bool idle[NET_MAX_UPLINKS];

	if (!t->n_moving || now_ns < t->move_ns)
		return;
	t->move_ns = now_ns + TEAM_MOVE_STEP_NS;
	for (unsigned i = 0; i < t->n_members; i++)
		idle[i] = !t->members[i].present || !t->ops->pending(t->opaque, i);
	for (unsigned s = 0; s < TEAM_SLOTS; s++)
		if (t->target[s] != TEAM_NONE && (idle[t->map[s]] || may_commit(t, s, now_ns)))
			commit(t, s, t->target[s], now_ns);
	if (!t->n_moving)
		event_end(t, now_ns);
}
