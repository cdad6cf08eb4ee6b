/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The vocabulary of teams: see net-team.h. */
#include "config/net-team.h"

#include "vmm-core/base/macro.h"

/* Names. */

static const char *name_of(const char *const *names, size_t n, size_t value)
{
	return value < n && names[value] ? names[value] : "unknown";
}

const char *team_cause_to_string(enum team_cause cause)
{
	static const char *const names[TEAM_CAUSE_X_MAX] = {"none", "link", "send", "beacon",
		"probe", "lacp", "test", "added", "removed", "failback", "rebalance", "min-links",
		"ambiguous"};

	return name_of(names, ARRAY_SIZE(names), cause);
}

const char *team_detector_to_string(enum team_detector detector)
{
	static const char *const names[TEAM_DETECTOR_X_MAX] = {"team", "poll", "netlink", "socket",
		"send", "beacon", "target", "lacp", "administrator"};

	return name_of(names, ARRAY_SIZE(names), detector);
}

const char *team_member_state_to_string(enum team_member_state state)
{
	static const char *const names[TEAM_MEMBER_STATE_X_MAX] = {
		"absent", "down", "resting", "up", "failing"};

	return name_of(names, ARRAY_SIZE(names), state);
}

const char *lacp_rx_name(enum lacp_rx_state state)
{
	static const char *const names[LACP_RX_X_MAX] = {
		[LACP_RX_INITIALIZE] = "initialize",
		[LACP_RX_PORT_DISABLED] = "port-disabled",
		[LACP_RX_LACP_DISABLED] = "lacp-disabled",
		[LACP_RX_EXPIRED] = "expired",
		[LACP_RX_DEFAULTED] = "defaulted",
		[LACP_RX_CURRENT] = "current",
	};

	return name_of(names, ARRAY_SIZE(names), state);
}

const char *lacp_periodic_name(enum lacp_periodic_state state)
{
	static const char *const names[LACP_PERIODIC_X_MAX] = {
		[LACP_PERIODIC_NONE] = "no-periodic",
		[LACP_PERIODIC_FAST] = "fast-periodic",
		[LACP_PERIODIC_SLOW] = "slow-periodic",
		[LACP_PERIODIC_TX] = "periodic-tx",
	};

	return name_of(names, ARRAY_SIZE(names), state);
}

const char *lacp_selected_name(enum lacp_selected selected)
{
	static const char *const names[LACP_SELECTED_X_MAX] = {
		[LACP_UNSELECTED] = "unselected",
		[LACP_STANDBY] = "standby",
		[LACP_SELECTED] = "selected",
	};

	return name_of(names, ARRAY_SIZE(names), selected);
}

const char *lacp_mux_name(enum lacp_mux_state state)
{
	static const char *const names[LACP_MUX_X_MAX] = {
		[LACP_MUX_DETACHED] = "detached",
		[LACP_MUX_WAITING] = "waiting",
		[LACP_MUX_ATTACHED] = "attached",
		[LACP_MUX_COLLECTING] = "collecting",
		[LACP_MUX_DISTRIBUTING] = "distributing",
	};

	return name_of(names, ARRAY_SIZE(names), state);
}

const char *lacp_churn_name(enum lacp_churn_state state)
{
	static const char *const names[LACP_CHURN_X_MAX] = {
		[LACP_CHURN_MONITOR] = "monitor",
		[LACP_CHURN_NONE] = "no-churn",
		[LACP_CHURN] = "churn",
	};

	return name_of(names, ARRAY_SIZE(names), state);
}

/* Checks. */

static bool is_member(uint8_t member, unsigned n)
{
	return member < n || member == NET_TEAM_NO_MEMBER;
}

static bool is_mac(const uint8_t mac[NET_MAC_LEN])
{
	uint8_t any = 0;

	for (unsigned i = 0; i < NET_MAC_LEN; i++)
		any |= mac[i];
	return any && !(mac[0] & 1);
}

bool net_team_report_is_valid(const struct net_team_report *r, unsigned n_uplinks, uint64_t now_ns)
{
	if (!r->number || !is_member(r->from, n_uplinks) || !is_member(r->to, n_uplinks) ||
		r->cause == TEAM_CAUSE_NONE || r->cause >= TEAM_CAUSE_X_MAX ||
		r->detector >= TEAM_DETECTOR_X_MAX)
		return false;
	if (r->well_ns > r->detected_ns || r->detected_ns > r->switched_ns ||
		r->switched_ns > now_ns)
		return false;
	if (r->ports_moved > NET_TEAM_BUCKETS || r->n_macs > NET_TEAM_REPORT_MACS ||
		r->n_macs > r->macs_announced)
		return false;
	for (unsigned i = 0; i < r->n_macs; i++)
		if (!is_mac(r->macs[i].mac) || r->macs[i].vid > NET_VID_MAX)
			return false;
	return true;
}

static bool lacp_is_valid(const struct net_team_lacp *l)
{
	return l->rx < LACP_RX_X_MAX && l->periodic < LACP_PERIODIC_X_MAX &&
		l->selected < LACP_SELECTED_X_MAX && l->mux < LACP_MUX_X_MAX &&
		l->actor_churn < LACP_CHURN_X_MAX && l->partner_churn < LACP_CHURN_X_MAX &&
		!(l->flags & ~NET_TEAM_LACP_FLAGS);
}

static bool member_is_valid(const struct net_team_member *m)
{
	return m->state < TEAM_MEMBER_STATE_X_MAX && m->cause < TEAM_CAUSE_X_MAX &&
		m->role > NET_ROLE_DEFAULT && m->role < NET_ROLE_X_MAX &&
		!(m->flags & ~NET_TEAM_FLAGS) && m->ports <= NET_TEAM_BUCKETS &&
		lacp_is_valid(&m->lacp);
}

static bool test_is_valid(const struct net_team_test *t, unsigned n)
{
	if (t->phase >= NET_TEST_PHASE_X_MAX || t->was_active > 1 || t->moved > NET_TEAM_BUCKETS)
		return false;
	return t->phase == NET_TEST_NONE || t->member < n;
}

bool net_team_state_is_valid(const struct net_team_state *s, unsigned max_uplinks)
{
	unsigned n_uplinks = s->n_members;

	if (s->policy == NET_TEAM_DEFAULT || s->policy >= NET_TEAM_POLICY_X_MAX ||
		n_uplinks > MIN(max_uplinks, (unsigned)NET_MAX_UPLINKS) || s->guests_up > 1 ||
		s->by_port > 1 || s->n_active > n_uplinks || s->n_usable > n_uplinks ||
		!test_is_valid(&s->test, n_uplinks))
		return false;
	for (unsigned i = 0; i < NET_TEAM_BUCKETS; i++)
		if (!is_member(s->map[i], n_uplinks))
			return false;
	for (unsigned i = 0; i < n_uplinks; i++)
		if (!member_is_valid(&s->members[i]))
			return false;
	return true;
}
