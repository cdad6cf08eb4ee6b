/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a team says of itself: net-team.h's struct net_team_state. Tested by tests/unit/test-team.c. */
#include "devices/net/team-internal.h"

#include <string.h>

bool team_is_up(const struct team *t)
{
	return t->n_active > 0;
}

uint64_t team_n_changes(const struct team *t)
{
	return t->n_changes;
}

static unsigned count_ports(const struct team *t, unsigned member)
{
	unsigned n = 0;

	for (unsigned s = 0; s < TEAM_SLOTS; s++)
		n += t->map[s] == member && (!t->policy->by_port || t->slots[s].used);
	return n;
}

static uint64_t or_none(uint64_t deadline_ns)
{
	return deadline_ns == TEAM_NEVER ? 0 : deadline_ns;
}

static uint64_t deadline_of(const struct team_member *m)
{
	if (m->state == TEAM_MEMBER_DOWN && m->cause == TEAM_CAUSE_TEST)
		return m->test_until_ns;
	if (m->state == TEAM_MEMBER_UP && !m->active && m->bench_until_ns)
		return or_none(m->bench_until_ns);
	return or_none(m->deadline_ns);
}

static void set_flag(uint8_t *flags, uint8_t bit, bool is)
{
	*flags |= is ? bit : 0;
}

static void lacp_state(const struct team *t, unsigned i, struct net_team_lacp *ret)
{
	struct lacp_status s;

	if (lacp_status(&t->lacp, i, &s) < 0)
		return;
	*ret = (struct net_team_lacp){.rx = (uint8_t)s.rx,
		.periodic = (uint8_t)s.periodic,
		.selected = (uint8_t)s.selected,
		.mux = (uint8_t)s.mux,
		.actor_churn = (uint8_t)s.actor_churn,
		.partner_churn = (uint8_t)s.partner_churn,
		.actor = s.actor,
		.partner = s.partner,
		.counters = s.counters};
	set_flag(&ret->flags, NET_TEAM_LACP_LOOPBACK, s.loopback);
	set_flag(&ret->flags, NET_TEAM_LACP_HEARD, s.heard);
	set_flag(&ret->flags, NET_TEAM_LACP_COLLECTING, s.collecting);
	set_flag(&ret->flags, NET_TEAM_LACP_DISTRIBUTING, s.distributing);
}

static void member_state(const struct team *t, unsigned i, struct net_team_member *ret)
{
	const struct team_member *m = &t->members[i];

	*ret = (struct net_team_member){
		.state = (uint8_t)m->state,
		.cause = (uint8_t)m->cause,
		.role = m->uplink.role ? m->uplink.role : NET_ROLE_ACTIVE,
		.mbps = m->mbps,
		.flaps = m->flaps,
		.ports = count_ports(t, i),
		.since_ns = m->since_ns,
		.deadline_ns = deadline_of(m),
		.rx_frames = m->rx_frames,
		.tx_frames = m->tx_frames,
		.tx_bytes = m->tx_bytes,
		.tx_refused = m->tx_refused,
		.reflected = m->reflected,
		.duplicates = m->duplicates,
		.forged = m->forged,
	};
	memcpy(ret->failures, m->failures, sizeof(m->failures));
	set_flag(&ret->flags, NET_TEAM_LINK, m->link);
	set_flag(&ret->flags, NET_TEAM_FULL_DUPLEX, m->full_duplex);
	set_flag(&ret->flags, NET_TEAM_ACTIVE, m->active);
	set_flag(&ret->flags, NET_TEAM_DESIGNATED, t->designated == i);
	set_flag(&ret->flags, NET_TEAM_BENCHED, !m->active && m->bench_until_ns);
	if (t->config.policy != NET_TEAM_LACP || m->uplink.role == NET_ROLE_UNUSED)
		return;
	set_flag(&ret->flags, NET_TEAM_HAS_LACP, true);
	lacp_state(t, i, &ret->lacp);
}

/* Of ports: by number; of hashes: by bucket. */
static void copy_map(const struct team *t, uint8_t ret[NET_TEAM_BUCKETS])
{
	memset(ret, NET_TEAM_NO_MEMBER, NET_TEAM_BUCKETS);
	for (unsigned s = 0; s < TEAM_SLOTS; s++) {
		if (!t->policy->by_port)
			ret[s] = t->map[s];
		else if (t->slots[s].used && t->slots[s].cookie < NET_TEAM_BUCKETS)
			ret[t->slots[s].cookie] = t->map[s];
	}
}

void team_state(const struct team *t, struct net_team_state *ret)
{
	unsigned policy = (unsigned)(t->policy - team_policies);

	*ret = (struct net_team_state){
		.policy = (uint8_t)(policy == NET_TEAM_DEFAULT ? NET_TEAM_PORT_ID : policy),
		.n_members = (uint8_t)t->n_members,
		.guests_up = t->guest_up,
		.by_port = t->policy->by_port,
		.n_active = t->n_active,
		.n_usable = t->n_usable,
		.announcing = t->notify.n,
		.rx_reflected = t->rx_reflected,
		.rx_duplicate = t->rx_duplicate,
		.n_reports = t->n_reports,
		.test = t->test,
	};
	copy_map(t, ret->map);
	for (unsigned i = 0; i < t->n_members; i++)
		member_state(t, i, &ret->members[i]);
}
