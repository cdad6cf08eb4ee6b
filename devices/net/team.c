/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A team of NICs: what its owner calls. See team.h. */
#include "devices/net/team.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/net/team-internal.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

DEFINE_CLEANUP(struct team *, team_free);

static int lacp_send(void *opaque, unsigned member, const uint8_t *bytes, size_t len)
{
	struct team *t = opaque;
	uint8_t copy[LACP_FRAME_LEN];
	struct iovec iov = {.iov_base = copy, .iov_len = len};
	struct frame f;

	assert(len <= sizeof(copy));
	memcpy(copy, bytes, len);
	if (!t->members[member].present ||
		frame_init(&f, NULL, &iov, 1, (uint32_t)len, FRAME_MAX, -1))
		return -ENETDOWN;
	return t->ops->transmit(t->opaque, member, &f, -1);
}

static void lacp_changed(void *opaque, unsigned member)
{
	struct team *t = opaque;

	(void)member;
	t->dirty = true;
	t->n_changes++;
}

static void lacp_fallback_changed(void *opaque)
{
	struct team *t = opaque;

	t->dirty = true;
}

static const struct lacp_ops lacp_team_ops = {
	.transmit = lacp_send,
	.changed = lacp_changed,
	.fallback_changed = lacp_fallback_changed,
};

static bool has_mac(const struct net_uplink *u)
{
	static const uint8_t none[NET_MAC_LEN];

	return memcmp(u->mac, none, NET_MAC_LEN) != 0 && !(u->mac[0] & 1);
}

static int lacp_add(struct team *t, unsigned i)
{
	if (t->config.policy != NET_TEAM_LACP || t->members[i].uplink.role == NET_ROLE_UNUSED)
		return 0;
	return lacp_member_add(&t->lacp, i, t->members[i].uplink.mac, 255, 0);
}

static int lacp_start(struct team *t)
{
	struct lacp_config config = {
		.system_priority =
			t->config.lacp_system_priority ? t->config.lacp_system_priority : 65535,
		.key = t->config.lacp_key ? t->config.lacp_key : 1,
		.active = !t->config.lacp_passive,
		.fast = !t->config.lacp_slow,
		.fallback = t->config.lacp_fallback,
	};
	int r;

	if (t->config.policy != NET_TEAM_LACP)
		return 0;
	memcpy(config.system_mac, t->members[0].uplink.mac, NET_MAC_LEN);
	r = lacp_init(&t->lacp, &config, &lacp_team_ops, t);
	for (unsigned i = 0; r == 0 && i < t->n_members; i++)
		r = lacp_add(t, i);
	return r;
}

static void member_init(struct team_member *m, const struct net_uplink *uplink, uint64_t now_ns)
{
	struct team_member fresh = {.uplink = *uplink,
		.present = true,
		.state = TEAM_MEMBER_DOWN,
		.cause = TEAM_CAUSE_LINK,
		.since_ns = now_ns,
		.deadline_ns = TEAM_NEVER};

	*m = fresh;
}

int team_new(const struct net_team_config *config, const struct net_uplink *uplinks,
	unsigned n_uplinks, const uint64_t seed[2], const struct team_ops *ops, void *opaque,
	struct team **ret_team)
{
	_cleanup_(team_freep) struct team *t = NULL;
	int r;

	if (!n_uplinks || n_uplinks > NET_MAX_UPLINKS || config->policy >= NET_TEAM_POLICY_X_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < n_uplinks; i++)
		if (!has_mac(&uplinks[i]))
			return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->config = *config;
	t->policy = &team_policies[config->policy];
	memcpy(t->seed, seed, sizeof(t->seed));
	t->ops = ops;
	t->opaque = opaque;
	t->n_members = n_uplinks;
	t->designated = TEAM_NO_MEMBER;
	t->guest_up = config->guest_link_up;
	t->move_ns = t->beacon_ns = t->probe_ns = t->rebalance_ns = t->lacp_ns = TEAM_NEVER;
	memset(t->map, TEAM_NONE, sizeof(t->map));
	memset(t->target, TEAM_NONE, sizeof(t->target));
	for (unsigned i = 0; i < TEAM_SLOTS; i++)
		t->slots[i] = (struct team_slot){.home = TEAM_NONE, .moved_ns = TEAM_NEVER};
	for (unsigned i = 0; i < n_uplinks; i++)
		member_init(&t->members[i], &uplinks[i], 0);
	team_notify_init(t);
	r = lacp_start(t);
	if (r < 0)
		return r;
	*ret_team = TAKE_PTR(t);
	return 0;
}

struct team *team_free(struct team *t)
{
	if (!t)
		return NULL;
	team_notify_done(t);
	lacp_done(&t->lacp);
	free(t);
	return NULL;
}

void team_set_link(struct team *t, unsigned member, bool up, uint32_t mbps, bool full_duplex,
	enum team_detector by, uint64_t now_ns)
{
	struct team_member *m;

	if (member >= t->n_members || !t->members[member].present)
		return;
	m = &t->members[member];
	if (up)
		m->well_ns = now_ns;
	if (m->link == up && m->mbps == mbps && m->full_duplex == full_duplex && !m->send_failed)
		return;
	if (up && !m->link) {
		m->beacon_rx_ns = m->beacon_tx_ns = m->last_rx_ns = now_ns;
		m->broadcasts_mark = t->broadcasts;
		team_probe_reset(t, member, now_ns);
	}
	t->n_changes++;
	m->link = up;
	m->link_by = by;
	m->mbps = mbps;
	m->full_duplex = full_duplex;
	m->send_failed = false;
	team_poll(t, now_ns);
}

void team_member_gone(struct team *t, unsigned member, enum team_detector by, uint64_t now_ns)
{
	struct team_member *m;

	if (member >= t->n_members || !t->members[member].present)
		return;
	m = &t->members[member];
	m->present = m->link = m->send_failed = m->beacon_bad = m->probe_bad = false;
	m->test_until_ns = 0;
	m->link_by = by;
	t->n_changes++;
	if (t->config.policy == NET_TEAM_LACP)
		lacp_member_remove(&t->lacp, member, now_ns);
	team_poll(t, now_ns);
}

int team_member_added(
	struct team *t, unsigned member, const struct net_uplink *uplink, uint64_t now_ns)
{
	uint32_t failures[TEAM_DETECTOR_X_MAX];
	struct team_member *m;
	struct net_uplink now;
	bool was_up, is_other;

	if (member > t->n_members || member >= NET_MAX_UPLINKS ||
		(member == t->n_members && !uplink) || (uplink && !has_mac(uplink)))
		return -EINVAL;
	m = &t->members[member];
	if (m->present)
		return -EEXIST;
	is_other = uplink && !streq(uplink->ifname, m->uplink.ifname);
	was_up = m->was_up;
	memcpy(failures, m->failures, sizeof(failures));
	now = uplink ? *uplink : m->uplink;
	member_init(m, &now, now_ns);
	m->cause = TEAM_CAUSE_ADDED;
	if (!is_other) {
		m->was_up = was_up;
		memcpy(m->failures, failures, sizeof(failures));
	}
	t->n_changes++;
	t->n_members = MAX(t->n_members, member + 1);
	return lacp_add(t, member);
}

int team_port_added(struct team *t, uint32_t cookie)
{
	unsigned at = team_port_slot(t, cookie), i = 0;
	struct team_slot *slot = &t->slots[at];
	uint8_t member;

	if (slot->used && slot->cookie == cookie)
		return -EEXIST;
	for (; i < TEAM_SLOTS && t->slots[at].used; i++)
		at = (at + 1) % TEAM_SLOTS;
	if (i == TEAM_SLOTS)
		return -ENOSPC;
	slot = &t->slots[at];
	slot->used = slot->was_used = true;
	slot->cookie = cookie;
	slot->bytes = slot->rate = slot->dwell_until_ns = 0;
	if (!t->policy->by_port || t->map[at] == TEAM_NONE)
		return 0;
	/* It has sent nothing yet: no order to keep, nothing to announce. */
	if (t->target[at] != TEAM_NONE)
		t->n_moving--;
	t->target[at] = TEAM_NONE;
	slot->used = false;
	member = team_map_least(t, true);
	slot->used = true;
	t->map[at] = slot->home = member;
	slot->moved_ns = TEAM_NEVER;
	t->n_changes++;
	return 0;
}

void team_port_removed(struct team *t, uint32_t cookie)
{
	unsigned at = team_port_slot(t, cookie);
	struct team_slot *slot = &t->slots[at];

	if (!slot->used || slot->cookie != cookie)
		return;
	slot->used = false;
	slot->bytes = slot->rate = 0;
	t->n_changes++;
	/* Lookups need not go on behind the last one of a row. */
	while (!t->slots[at].used && t->slots[at].was_used &&
		!t->slots[(at + 1) % TEAM_SLOTS].was_used) {
		t->slots[at].was_used = false;
		at = (at + TEAM_SLOTS - 1) % TEAM_SLOTS;
	}
}

int team_transmit(
	struct team *t, const struct frame *f, int32_t tci, uint32_t cookie, uint64_t now_ns)
{
	unsigned s = t->policy->slot(t, f, cookie);
	struct team_member *m;
	int r;

	/* A frame to a group cannot wait for its caller. It goes before the move then, and so in order. */
	if (t->target[s] != TEAM_NONE && team_move_step(t, s, now_ns) &&
		!(f->flags & FRAME_MULTICAST))
		return -EAGAIN;
	if (t->map[s] == TEAM_NONE) {
		t->lost++;
		t->test.frames_lost += t->test.phase == NET_TEST_OUT;
		return -ENETDOWN;
	}
	m = &t->members[t->map[s]];
	r = t->ops->transmit(t->opaque, t->map[s], f, tci);
	if (r < 0) {
		m->tx_refused++;
		t->test.frames_lost += t->test.phase == NET_TEST_OUT && r != -EAGAIN;
		if ((r == -ENETDOWN || r == -ENXIO || r == -ENODEV) && !m->send_failed) {
			m->send_failed = true;
			t->dirty = true;
		}
		return r;
	}
	m->tx_frames++;
	m->tx_bytes += f->len;
	team_balance_count(t, s, f->len, now_ns);
	if (t->test.phase == NET_TEST_OUT)
		team_test_frame(t, s, t->map[s], false, now_ns);
	return 0;
}

uint64_t team_poll(struct team *t, uint64_t now_ns)
{
	bool changed;

	team_test_poll(t, now_ns);
	do {
		team_update(t, now_ns);
		changed = team_beacon_poll(t, now_ns);
		changed |= team_probe_poll(t, now_ns);
	} while (changed);
	team_move_poll(t, now_ns);
	team_test_poll(t, now_ns);
	team_balance_poll(t, now_ns);
	team_notify_poll(t, now_ns);
	return team_deadline(t);
}

uint64_t team_deadline(const struct team *t)
{
	uint64_t next = MIN(t->beacon_ns, t->probe_ns);

	if (t->dirty)
		return 0;
	next = MIN(next, t->notify.next_ns);
	next = MIN(next, t->rebalance_ns);
	next = MIN(next, t->lacp_ns);
	next = MIN(next, team_test_deadline(t));
	if (t->n_moving)
		next = MIN(next, t->move_ns);
	return MIN(next, team_member_deadline(t));
}

void team_report(struct team *t, struct net_team_report *report)
{
	report->number = ++t->n_reports;
	t->n_changes++;
	t->ops->report(t->opaque, report);
}

void team_report_ambiguous(struct team *t, bool *said, enum team_detector detector, uint64_t now_ns)
{
	struct net_team_report report = {.detected_ns = now_ns,
		.switched_ns = now_ns,
		.from = NET_TEAM_NO_MEMBER,
		.to = NET_TEAM_NO_MEMBER,
		.cause = TEAM_CAUSE_AMBIGUOUS,
		.detector = (uint8_t)detector};

	if (*said)
		return;
	*said = true;
	team_report(t, &report);
}
