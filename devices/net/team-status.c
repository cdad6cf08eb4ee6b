/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a status command shows of a team. Tested by tests/unit/test-team.c. */
#include "devices/net/team-internal.h"

#include <string.h>

bool team_is_up(const struct team *t)
{
	return t->n_active > 0;
}

static unsigned count_ports(const struct team *t, unsigned member)
{
	unsigned n = 0;

	for (unsigned s = 0; s < TEAM_SLOTS; s++)
		n += t->map[s] == member && (!t->policy->by_port || t->slots[s].used);
	return n;
}

static void member_status(const struct team *t, unsigned i, struct team_member_status *ret)
{
	const struct team_member *m = &t->members[i];

	*ret = (struct team_member_status){
		.role = m->uplink.role ? m->uplink.role : NET_ROLE_ACTIVE,
		.state = m->state,
		.cause = m->cause,
		.since_ns = m->since_ns,
		.deadline_ns = m->deadline_ns,
		.link = m->link,
		.full_duplex = m->full_duplex,
		.active = m->active,
		.designated = t->designated == i,
		.mbps = m->mbps,
		.flaps = m->flaps,
		.ports = count_ports(t, i),
		.rx_frames = m->rx_frames,
		.tx_frames = m->tx_frames,
		.tx_bytes = m->tx_bytes,
		.tx_refused = m->tx_refused,
		.reflected = m->reflected,
		.duplicates = m->duplicates,
		.forged = m->forged,
	};
	if (m->state == TEAM_MEMBER_DOWN && m->cause == TEAM_CAUSE_TEST)
		ret->deadline_ns = m->test_until_ns;
	memcpy(ret->ifname, m->uplink.ifname, sizeof(ret->ifname));
	ret->ifname[sizeof(ret->ifname) - 1] = 0;
	if (t->config.policy == NET_TEAM_LACP)
		ret->has_lacp = lacp_status(&t->lacp, i, &ret->lacp) == 0;
}

void team_status(const struct team *t, struct team_status *ret)
{
	*ret = (struct team_status){
		.policy = t->policy->name,
		.up = team_is_up(t),
		.n_active = t->n_active,
		.n_usable = t->n_usable,
		.announcing = t->notify.n,
		.rx_reflected = t->rx_reflected,
		.rx_duplicate = t->rx_duplicate,
		.n_members = t->n_members,
		.has_report = t->has_report,
		.report = t->report,
	};
	for (unsigned i = 0; i < t->n_members; i++)
		member_status(t, i, &ret->members[i]);
}

const char *team_cause_to_string(enum team_cause cause)
{
	static const char *const words[TEAM_CAUSE_X_MAX] = {"none", "link", "send", "beacon",
		"probe", "lacp", "test", "added", "removed", "failback", "rebalance", "min-links",
		"ambiguous"};

	return cause < TEAM_CAUSE_X_MAX ? words[cause] : "unknown";
}

const char *team_member_state_to_string(enum team_member_state state)
{
	static const char *const words[TEAM_MEMBER_STATE_X_MAX] = {
		"absent", "down", "resting", "up", "failing"};

	return state < TEAM_MEMBER_STATE_X_MAX ? words[state] : "unknown";
}
