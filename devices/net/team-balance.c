/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports are moved from the busiest member to the idlest: seldom, one at a time, and only if that gains something.
 *
 * Tested by tests/unit/test-team-policy.c.
 */
#include "devices/net/team-internal.h"

static uint64_t interval_ns(const struct team *t)
{
	return (t->config.rebalance_ms ? t->config.rebalance_ms : 10000) * NSEC_PER_MSEC;
}

void team_balance_count(struct team *t, unsigned slot, uint32_t len, uint64_t now_ns)
{
	t->slots[slot].bytes += len;
	if (t->policy->balances && t->rebalance_ns == TEAM_NEVER &&
		t->config.rebalance_ms != UINT32_MAX)
		t->rebalance_ns = now_ns + interval_ns(t);
}

/* Half of the last interval, half of all before. Answers whether there is anything to look at next time. */
static bool smooth(struct team *t, uint64_t ret_loads[NET_MAX_UPLINKS])
{
	bool any = false;

	for (unsigned i = 0; i < NET_MAX_UPLINKS; i++)
		ret_loads[i] = 0;
	for (unsigned s = 0; s < TEAM_SLOTS; s++) {
		struct team_slot *slot = &t->slots[s];

		slot->rate = (slot->rate + slot->bytes) / 2;
		slot->bytes = 0;
		any |= slot->rate != 0;
		if (t->map[s] != TEAM_NONE)
			ret_loads[t->map[s]] += slot->rate;
	}
	return any;
}

/* Loads are compared as bytes for each unit of weight, without a division. */
static bool busier(const struct team *t, unsigned a, uint64_t load_a, unsigned b, uint64_t load_b)
{
	return (unsigned __int128)load_a * t->members[b].weight >
		(unsigned __int128)load_b * t->members[a].weight;
}

/* 'from' is busier by rebalance_gain per cent, and by what is worth a move. */
static bool is_worth(const struct team *t, unsigned from, unsigned to, const uint64_t *loads)
{
	uint32_t gain = t->config.rebalance_gain ? t->config.rebalance_gain : 10;
	uint64_t floor = TEAM_MIN_LOAD_BPS / 8 * interval_ns(t) / NSEC_PER_SEC;
	unsigned __int128 a = (unsigned __int128)loads[from] * t->members[to].weight;
	unsigned __int128 b = (unsigned __int128)loads[to] * t->members[from].weight;

	return a > b && (a - b) * 100 >= a * gain &&
		a - b >= (unsigned __int128)floor * t->members[to].weight;
}

/* The busiest port whose move leaves the new member less busy than the old one was. */
static unsigned pick_port(
	const struct team *t, unsigned from, unsigned to, const uint64_t *loads, uint64_t now_ns)
{
	unsigned best = TEAM_SLOTS;

	for (unsigned s = 0; s < TEAM_SLOTS; s++) {
		const struct team_slot *slot = &t->slots[s];

		if (t->map[s] != from || !slot->used || now_ns < slot->dwell_until_ns ||
			!slot->rate)
			continue;
		if (!busier(t, from, loads[from], to, loads[to] + slot->rate))
			continue;
		if (best == TEAM_SLOTS || slot->rate > t->slots[best].rate)
			best = s;
	}
	return best;
}

static void move_port(struct team *t, unsigned s, unsigned to, uint64_t now_ns)
{
	const struct team_reason reason = {
		.cause = TEAM_CAUSE_REBALANCE, .detected_ns = now_ns, .lost_mark = UINT64_MAX};
	uint8_t want[TEAM_SLOTS];

	for (unsigned i = 0; i < TEAM_SLOTS; i++)
		want[i] = t->target[i] != TEAM_NONE ? t->target[i] : t->map[i];
	want[s] = (uint8_t)to;
	t->slots[s].home = (uint8_t)to;
	t->slots[s].dwell_until_ns = now_ns + TEAM_DWELL_NS;
	team_map_apply(t, want, &reason, now_ns);
}

void team_balance_poll(struct team *t, uint64_t now_ns)
{
	uint64_t loads[NET_MAX_UPLINKS];
	unsigned from = TEAM_NO_MEMBER, to = TEAM_NO_MEMBER, s;

	if (now_ns < t->rebalance_ns)
		return;
	t->rebalance_ns = smooth(t, loads) ? now_ns + interval_ns(t) : TEAM_NEVER;
	if (!t->policy->balances || t->n_active < 2 || t->n_moving)
		return;
	for (unsigned i = 0; i < t->n_members; i++) {
		if (!t->members[i].active)
			continue;
		if (from == TEAM_NO_MEMBER || busier(t, i, loads[i], from, loads[from]))
			from = i;
		if (to == TEAM_NO_MEMBER || busier(t, to, loads[to], i, loads[i]))
			to = i;
	}
	if (from == to || !is_worth(t, from, to, loads))
		return;
	s = pick_port(t, from, to, loads, now_ns);
	if (s < TEAM_SLOTS)
		move_port(t, s, to, now_ns);
}
