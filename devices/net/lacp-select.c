/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Selection logic (802.1AX-2014 6.4.14), for a system with one aggregator: of the groups of members that could be one
 * link, the team's is chosen, and of its members those that fit into max_links (6.7.1). A change of partner
 * has set a member to UNSELECTED (lacp-machines.c); it is looked at again when its mux has let go.
 *
 * A member is firm when it is attached or has waited long enough to be: a better one that still has to wait does
 * not displace it.
 */
#include <string.h>

#include "devices/net/lacp-internal.h"

struct weight {
	unsigned n; /* members that hear their partner */
	uint64_t mbps;
};

static bool is_attached(const struct lacp_member *m)
{
	return m->mux >= LACP_MUX_ATTACHED;
}

static bool is_firm(const struct lacp_member *m)
{
	return is_attached(m) || m->ready_n;
}

/* There is a partner, and it may be aggregated with. The partner of a link that has just come up, or has
 * fallen silent, is still taken for the one that was there before. */
static bool is_candidate(const struct lacp_member *m)
{
	return lacp_enabled(m) && (m->rx == LACP_RX_CURRENT || m->rx == LACP_RX_EXPIRED) &&
		!(m->actor.state & LACP_STATE_DEFAULTED) && !m->loopback;
}

static struct lacp_group group_of(const struct lacp *l, const struct lacp_member *m)
{
	struct lacp_group group = {
		.system_priority = m->partner.system_priority,
		.partner_key = m->partner.key,
		.actor_key = m->actor.key,
		.speed_mbps = m->speed_mbps,
	};

	memcpy(group.system, m->partner.system, LACP_MAC_LEN);
	if (!(m->actor.state & m->partner.state & LACP_STATE_AGGREGATION))
		group.individual = (uint8_t)(lacp_index(l, m) + 1);
	return group;
}

static bool same_group(const struct lacp_group *a, const struct lacp_group *b)
{
	return a->system_priority == b->system_priority && a->partner_key == b->partner_key &&
		a->actor_key == b->actor_key && a->individual == b->individual &&
		a->speed_mbps == b->speed_mbps && memcmp(a->system, b->system, LACP_MAC_LEN) == 0;
}

static bool in_group(
	const struct lacp *l, const struct lacp_member *m, const struct lacp_group *group)
{
	struct lacp_group own = group_of(l, m);

	return is_candidate(m) && same_group(&own, group);
}

static unsigned max_links(const struct lacp *l)
{
	return l->config.max_links ? l->config.max_links : LACP_MAX_MEMBERS;
}

/* Members that hear their partner count; with 'only_firm', those that could work at once. */
static struct weight weigh(struct lacp *l, const struct lacp_group *group, bool only_firm)
{
	struct lacp_member *m;
	struct weight w = {0};

	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m)) {
		if (!in_group(l, m, group) || m->rx != LACP_RX_CURRENT ||
			(only_firm && !is_firm(m)) || w.n == max_links(l))
			continue;
		w.n++;
		w.mbps += m->speed_mbps;
	}
	return w;
}

static bool is_heavier(const struct lacp *l, struct weight a, struct weight b)
{
	if (l->config.select == LACP_SELECT_COUNT)
		return a.n != b.n ? a.n > b.n : a.mbps > b.mbps;
	return a.mbps != b.mbps ? a.mbps > b.mbps : a.n > b.n;
}

/* The group carries traffic, or could as soon as the partner agrees. */
static bool is_running(struct lacp *l, const struct lacp_group *group)
{
	struct lacp_member *m;
	bool attached = false, hears = false;

	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m)) {
		if (!in_group(l, m, group))
			continue;
		attached |= is_attached(m);
		hears |= m->rx == LACP_RX_CURRENT;
	}
	return attached && hears;
}

/* Ties go to the present group, then to the least index. */
static void choose_group(struct lacp *l)
{
	bool running = l->has_group && is_running(l, &l->group);
	struct lacp_group best = l->group;
	bool has_best = false;
	struct weight most = {0};
	struct lacp_member *m;

	if (running && l->config.select == LACP_SELECT_STABLE)
		return;
	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m))
		if (l->has_group && in_group(l, m, &l->group))
			has_best = true;
	if (has_best)
		most = weigh(l, &best, false);
	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m)) {
		struct lacp_group group = group_of(l, m);
		struct weight w;

		if (!is_candidate(m))
			continue;
		w = weigh(l, &group, running);
		if (has_best && !is_heavier(l, w, most))
			continue;
		best = group;
		most = w;
		has_best = true;
	}
	l->has_group = has_best;
	l->group = has_best ? best : (struct lacp_group){0};
}

/* Less is better. The system with the better ID decides, by its ports' priorities (6.7.1). */
static uint64_t rank(const struct lacp_member *m)
{
	bool silent = m->rx != LACP_RX_CURRENT;
	int system = m->actor.system_priority != m->partner.system_priority
		? (m->actor.system_priority < m->partner.system_priority ? -1 : 1)
		: memcmp(m->actor.system, m->partner.system, LACP_MAC_LEN);
	const struct lacp_info *by = system < 0 ? &m->actor : &m->partner;

	return (uint64_t)silent << 32 | (uint64_t)by->port_priority << 16 | by->port;
}

/* The members of the team's group, best first. */
static unsigned sort_members(struct lacp *l, struct lacp_member *ret_sorted[LACP_MAX_MEMBERS])
{
	struct lacp_member *m;
	unsigned n = 0, at;

	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m)) {
		if (!l->has_group || !in_group(l, m, &l->group))
			continue;
		for (at = n++; at > 0 && rank(ret_sorted[at - 1]) > rank(m); at--)
			ret_sorted[at] = ret_sorted[at - 1];
		ret_sorted[at] = m;
	}
	return n;
}

/* UNSELECTED is only left when the mux is DETACHED. */
static void set_selected(struct lacp_member *m, enum lacp_selected selected)
{
	if (selected != LACP_UNSELECTED && m->selected == LACP_UNSELECTED &&
		m->mux != LACP_MUX_DETACHED)
		return;
	m->selected = selected;
}

void lacp_select(struct lacp *l)
{
	struct lacp_member *sorted[LACP_MAX_MEMBERS], *m;
	unsigned n, n_firm = 0;

	choose_group(l);
	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m))
		if (!is_candidate(m))
			set_selected(m, LACP_UNSELECTED);
		else if (!in_group(l, m, &l->group))
			set_selected(m, LACP_STANDBY);
	n = sort_members(l, sorted);
	for (unsigned i = 0; i < n; i++) {
		bool fits = i < max_links(l) || (is_firm(sorted[i]) && n_firm < max_links(l));

		set_selected(sorted[i], fits ? LACP_SELECTED : LACP_STANDBY);
		n_firm += is_firm(sorted[i]);
	}
}

bool lacp_select_ready(struct lacp *l)
{
	const struct lacp_member *m;

	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m))
		if (m->selected == LACP_SELECTED && m->mux == LACP_MUX_WAITING && !m->ready_n)
			return false;
	return true;
}
