/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Teams as JSON: see team-json.h. */
#include "daemon/team-json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/manager.h"
#include "daemon/network-internal.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/base/strutil.h"

static void add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

static void add_bool(struct json_object *o, const char *key, bool value)
{
	json_object_object_add(o, key, json_object_new_boolean(value));
}

static void add_uint(struct json_object *o, const char *key, uint64_t value)
{
	json_object_object_add(o, key, json_object_new_uint64(value));
}

/* Nanoseconds as microseconds. */
static void add_usec(struct json_object *o, const char *key, uint64_t ns)
{
	if (ns != UINT64_MAX)
		add_uint(o, key, ns / 1000);
}

static void mac_format(const uint8_t mac[NET_MAC_LEN], char ret[18])
{
	(void)snprintf(ret, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
		mac[4], mac[5]);
}

/* Reports. */

static struct json_object *macs_to_json(const struct network_report *r)
{
	struct json_object *array = json_object_new_array();

	for (unsigned i = 0; i < r->n_macs; i++) {
		struct json_object *o = json_object_new_object();
		char text[18];

		mac_format(r->macs[i].mac, text);
		add_string(o, "mac", text);
		if (r->macs[i].vid)
			add_uint(o, "vlan", r->macs[i].vid);
		json_object_array_add(array, o);
	}
	return array;
}

struct json_object *team_report_to_json(const struct network_report *r)
{
	struct json_object *o = json_object_new_object();

	add_uint(o, "number", r->number);
	json_object_object_add(o, "detected_us", json_object_new_int64(r->detected_usec));
	add_string(o, "detected_by", team_detector_to_string(r->detector));
	add_string(o, "cause", team_cause_to_string(r->cause));
	add_string(o, "from", r->from);
	add_string(o, "to", r->to);
	add_uint(o, "reaction_us", r->reaction_ns / 1000);
	if (r->gap_ns >= 0)
		add_uint(o, "gap_us", (uint64_t)r->gap_ns / 1000);
	add_uint(o, "frames_lost", r->frames_lost);
	add_uint(o, "moved", r->ports_moved);
	add_uint(o, "announced", r->macs_announced);
	json_object_object_add(o, "addresses", macs_to_json(r));
	return o;
}

static bool get_uint(struct json_object *o, const char *key, uint64_t max, uint64_t *ret)
{
	struct json_object *v;

	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_int) ||
		json_object_get_int64(v) < 0)
		return false;
	*ret = json_object_get_uint64(v);
	return *ret <= max;
}

static const char *get_string(struct json_object *o, const char *key)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string)
		? json_object_get_string(v)
		: "";
}

/* The value whose word this is; 'n' if there is none. */
static unsigned find_word(const char *word, const char *(*to_string)(unsigned), unsigned n)
{
	unsigned i = 0;

	while (i < n && !streq(to_string(i), word))
		i++;
	return i;
}

static const char *cause_word(unsigned value)
{
	return team_cause_to_string(value);
}

static const char *detector_word(unsigned value)
{
	return team_detector_to_string(value);
}

static bool macs_from_json(struct json_object *array, struct network_report *r)
{
	if (!json_object_is_type(array, json_type_array) ||
		json_object_array_length(array) > NET_TEAM_REPORT_MACS)
		return false;
	for (size_t i = 0; i < json_object_array_length(array); i++) {
		struct json_object *o = json_object_array_get_idx(array, i);
		struct net_team_address *a = &r->macs[r->n_macs];
		uint64_t vid = 0;
		int end = 0;

		if (!json_object_is_type(o, json_type_object) ||
			sscanf(get_string(o, "mac"), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n",
				&a->mac[0], &a->mac[1], &a->mac[2], &a->mac[3], &a->mac[4],
				&a->mac[5], &end) != NET_MAC_LEN ||
			end != 17)
			return false;
		if (json_object_object_get_ex(o, "vlan", NULL) &&
			!get_uint(o, "vlan", NET_VID_MAX, &vid))
			return false;
		a->vid = (uint16_t)vid;
		r->n_macs++;
	}
	return true;
}

int team_report_from_json(struct json_object *o, struct network_report *ret)
{
	struct network_report r = {.gap_ns = -1};
	uint64_t detected, reaction, gap, moved, announced;

	if (!json_object_is_type(o, json_type_object) ||
		!get_uint(o, "number", INT64_MAX, &r.number) ||
		!get_uint(o, "detected_us", INT64_MAX, &detected) ||
		!get_uint(o, "reaction_us", INT64_MAX / 1000, &reaction) ||
		!get_uint(o, "frames_lost", INT64_MAX, &r.frames_lost) ||
		!get_uint(o, "moved", NET_TEAM_BUCKETS, &moved) ||
		!get_uint(o, "announced", UINT32_MAX, &announced) ||
		str_copy(r.from, sizeof(r.from), get_string(o, "from")) < 0 ||
		str_copy(r.to, sizeof(r.to), get_string(o, "to")) < 0 ||
		!macs_from_json(json_object_object_get(o, "addresses"), &r))
		return -EBADMSG;
	if (get_uint(o, "gap_us", INT64_MAX / 1000, &gap))
		r.gap_ns = (int64_t)gap * 1000;
	r.detected_usec = (int64_t)detected;
	r.reaction_ns = reaction * 1000;
	r.ports_moved = (uint32_t)moved;
	r.macs_announced = (uint32_t)announced;
	r.cause = find_word(get_string(o, "cause"), cause_word, TEAM_CAUSE_X_MAX);
	r.detector = find_word(get_string(o, "detected_by"), detector_word, TEAM_DETECTOR_X_MAX);
	if (r.cause == TEAM_CAUSE_X_MAX || r.detector == TEAM_DETECTOR_X_MAX)
		return -EBADMSG;
	*ret = r;
	return 0;
}

/* State. */

static struct json_object *end_to_json(const struct lacp_info *info)
{
	static const char *const bits[8] = {"activity", "timeout", "aggregation", "synchronization",
		"collecting", "distributing", "defaulted", "expired"};
	struct json_object *o = json_object_new_object(), *state = json_object_new_array();
	char text[18];

	mac_format(info->system, text);
	add_string(o, "system", text);
	add_uint(o, "system_priority", info->system_priority);
	add_uint(o, "key", info->key);
	add_uint(o, "port", info->port);
	add_uint(o, "port_priority", info->port_priority);
	for (unsigned i = 0; i < ARRAY_SIZE(bits); i++)
		if (info->state & 1U << i)
			json_object_array_add(state, json_object_new_string(bits[i]));
	json_object_object_add(o, "state", state);
	return o;
}

static void add_lacp_counters(struct json_object *o, const struct lacp_counters *c)
{
	const struct {
		const char *key;
		uint64_t value;
	} rows[] = {
		{"rx_lacpdu", c->rx_lacpdu},
		{"tx_lacpdu", c->tx_lacpdu},
		{"rx_marker", c->rx_marker},
		{"tx_marker_response", c->tx_marker_response},
		{"rx_unknown", c->rx_unknown},
		{"rx_illegal", c->rx_illegal},
		{"tx_errors", c->tx_errors},
		{"expired", c->n_expired},
		{"defaulted", c->n_defaulted},
		{"partner_changes", c->n_partner_changes},
		{"sync_changes", c->n_sync_changes},
		{"actor_churns", c->n_actor_churn},
		{"partner_churns", c->n_partner_churn},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		add_uint(o, rows[i].key, rows[i].value);
}

static struct json_object *lacp_to_json(const struct net_team_lacp *l)
{
	struct json_object *o = json_object_new_object();

	add_string(o, "receive", lacp_rx_name(l->rx));
	add_string(o, "periodic", lacp_periodic_name(l->periodic));
	add_string(o, "selected", lacp_selected_name(l->selected));
	add_string(o, "mux", lacp_mux_name(l->mux));
	add_string(o, "actor_churn", lacp_churn_name(l->actor_churn));
	add_string(o, "partner_churn", lacp_churn_name(l->partner_churn));
	add_bool(o, "loopback", l->flags & NET_TEAM_LACP_LOOPBACK);
	add_bool(o, "partner_heard", l->flags & NET_TEAM_LACP_HEARD);
	add_bool(o, "collecting", l->flags & NET_TEAM_LACP_COLLECTING);
	add_bool(o, "distributing", l->flags & NET_TEAM_LACP_DISTRIBUTING);
	json_object_object_add(o, "actor", end_to_json(&l->actor));
	json_object_object_add(o, "partner", end_to_json(&l->partner));
	add_lacp_counters(o, &l->counters);
	return o;
}

/* Buckets of a member as ranges: "0-84,170-254". */
static void add_buckets(struct json_object *o, const struct net_team_state *s, unsigned member)
{
	char text[NET_TEAM_BUCKETS * 4 + 1] = "";
	size_t len = 0;

	for (unsigned i = 0; i < NET_TEAM_BUCKETS; i++) {
		unsigned first = i;

		if (s->map[i] != member)
			continue;
		while (i + 1 < NET_TEAM_BUCKETS && s->map[i + 1] == member)
			i++;
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			i > first ? "%s%u-%u" : "%s%u", len ? "," : "", first, i);
	}
	add_string(o, "buckets", text);
}

/* Why it does not carry anything; NULL: it does. */
static const char *why_idle(const struct net_team_state *s, const struct net_team_member *m)
{
	if (m->flags & NET_TEAM_ACTIVE)
		return NULL;
	if (m->role == NET_ROLE_UNUSED)
		return "unused";
	if (m->state == TEAM_MEMBER_RESTING)
		return "resting";
	if (m->state != TEAM_MEMBER_UP)
		return team_cause_to_string(m->cause);
	if (m->flags & NET_TEAM_BENCHED)
		return "failback";
	if (s->policy == NET_TEAM_LACP && !(m->lacp.flags & NET_TEAM_LACP_DISTRIBUTING))
		return "lacp";
	return s->n_active ? "standby" : "min-links";
}

static void add_failures(struct json_object *o, const struct net_team_member *m)
{
	struct json_object *failures = json_object_new_object();

	for (unsigned i = 0; i < TEAM_DETECTOR_X_MAX; i++)
		if (m->failures[i])
			add_uint(failures, team_detector_to_string(i), m->failures[i]);
	json_object_object_add(o, "failures", failures);
}

static void add_times(
	struct json_object *o, const struct network_team *team, const struct net_team_member *m)
{
	if (m->since_ns && m->since_ns <= team->state_ns)
		add_uint(o, "for_ms", (team->state_ns - m->since_ns) / 1000000);
	if (m->deadline_ns > team->state_ns)
		add_uint(o, "remaining_ms", (m->deadline_ns - team->state_ns) / 1000000);
}

static unsigned order_of(const struct network *n, unsigned member)
{
	const struct net_config *net = &n->config->net;

	for (unsigned i = 0; i < net->n_uplinks; i++)
		if (streq(net->uplinks[i].ifname, network_uplink_name(n, member)))
			return net->uplinks[i].order;
	return 0;
}

static struct json_object *member_to_json(const struct network *n, unsigned i)
{
	const struct net_team_state *s = &n->team->state;
	const struct net_team_member *m = &s->members[i];
	struct json_object *o = json_object_new_object();
	const char *idle = why_idle(s, m);

	add_string(o, "name", network_uplink_name(n, i));
	add_string(o, "role", net_enum_to_string(NET_ENUM_ROLE, m->role));
	add_uint(o, "order", order_of(n, i));
	add_string(o, "state", team_member_state_to_string(m->state));
	if (idle)
		add_string(o, "not_used", idle);
	add_bool(o, "link", m->flags & NET_TEAM_LINK);
	add_bool(o, "active", m->flags & NET_TEAM_ACTIVE);
	add_bool(o, "designated", m->flags & NET_TEAM_DESIGNATED);
	add_uint(o, "mbps", m->mbps);
	add_times(o, n->team, m);
	add_uint(o, "flaps", m->flaps);
	add_failures(o, m);
	add_uint(o, s->by_port ? "ports" : "n_buckets", m->ports);
	if (!s->by_port)
		add_buckets(o, s, i);
	add_uint(o, "rx_frames", m->rx_frames);
	add_uint(o, "tx_frames", m->tx_frames);
	add_uint(o, "tx_bytes", m->tx_bytes);
	add_uint(o, "tx_refused", m->tx_refused);
	add_uint(o, "reflected", m->reflected);
	add_uint(o, "duplicates", m->duplicates);
	add_uint(o, "forged", m->forged);
	if (m->flags & NET_TEAM_HAS_LACP)
		json_object_object_add(o, "lacp", lacp_to_json(&m->lacp));
	return o;
}

/* By port: which of them goes by which member. */
static struct json_object *ports_to_json(const struct network *n)
{
	struct json_object *array = json_object_new_array();
	struct list *pos;

	list_for_each (pos, &n->ports) {
		const struct network_port *port = list_entry(pos, struct network_port, link);
		const struct domain *d = manager_find_uuid(n->manager, port->domain);
		struct json_object *o = json_object_new_object();

		add_uint(o, "port", port->number);
		add_string(o, "domain", d ? d->name : "");
		add_string(o, "target", port->ifname);
		add_string(o, "member", network_uplink_name(n, n->team->state.map[port->number]));
		json_object_array_add(array, o);
	}
	return array;
}

struct json_object *team_test_to_json(const struct network *n)
{
	static const char *const phases[NET_TEST_PHASE_X_MAX] = {
		"none", "out", "returning", "done"};
	const struct net_team_test *t = &n->team->state.test;
	struct json_object *o = json_object_new_object();

	add_string(o, "phase", phases[t->phase]);
	if (t->phase == NET_TEST_NONE)
		return o;
	add_string(o, "member", network_uplink_name(n, t->member));
	add_bool(o, "was_active", t->was_active);
	add_uint(o, "moved", t->moved);
	add_usec(o, "switched_us", t->switched_ns);
	add_usec(o, "first_out_us", t->first_out_ns);
	add_usec(o, "first_in_us", t->first_in_ns);
	add_uint(o, "frames_lost", t->frames_lost);
	if (t->phase == NET_TEST_DONE)
		add_bool(o, "came_back", t->back_ns != UINT64_MAX);
	add_usec(o, "back_us", t->back_ns);
	return o;
}

struct json_object *team_state_to_json(const struct network *n)
{
	const struct net_team_config *config = &n->config->net.team;
	const struct net_team_state *s = &n->team->state;
	struct json_object *o = json_object_new_object(), *members = json_object_new_array();
	unsigned policy = config->policy ? config->policy : NET_TEAM_PORT_ID;

	add_string(o, "network", n->name);
	add_string(o, "policy", net_enum_to_string(NET_ENUM_TEAM_POLICY, policy));
	add_string(o, "policy_in_effect", net_enum_to_string(NET_ENUM_TEAM_POLICY, s->policy));
	add_bool(o, "up", s->n_active > 0);
	add_bool(o, "guest_links", s->guests_up);
	add_uint(o, "active", s->n_active);
	add_uint(o, "usable", s->n_usable);
	add_uint(o, "announcing", s->announcing);
	add_uint(o, "rx_reflected", s->rx_reflected);
	add_uint(o, "rx_duplicate", s->rx_duplicate);
	add_uint(o, "reports", n->team->n_reports);
	/* Without those that were removed. */
	for (unsigned i = 0; i < s->n_members; i++)
		if (*network_uplink_name(n, i))
			json_object_array_add(members, member_to_json(n, i));
	json_object_object_add(o, "members", members);
	if (s->by_port)
		json_object_object_add(o, "ports", ports_to_json(n));
	json_object_object_add(o, "test", team_test_to_json(n));
	return o;
}
