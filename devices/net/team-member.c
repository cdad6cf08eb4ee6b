/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The states of members, which of them are active, and what is done when that changes.
 *
 * Tested by tests/unit/test-team.c.
 */
#include "devices/net/team-internal.h"

#include <string.h>

#define DAMPING_MS 1000 /* the first delay of a flapping member without an up delay */
#define MAX_FLAPS  31

static uint32_t value_ms(uint32_t value, uint32_t otherwise)
{
	return value == UINT32_MAX ? 0 : value ? value : otherwise;
}

static bool is_unused(const struct team_member *m)
{
	return m->uplink.role == NET_ROLE_UNUSED;
}

bool team_member_linked(const struct team_member *m, uint64_t now_ns)
{
	return m->present && m->link && !m->send_failed && !is_unused(m) &&
		now_ns >= m->test_until_ns;
}

/* TEAM_CAUSE_NONE: it is well. */
static enum team_cause member_fault(const struct team_member *m, uint64_t now_ns)
{
	if (!m->present)
		return TEAM_CAUSE_REMOVED;
	if (now_ns < m->test_until_ns)
		return TEAM_CAUSE_TEST;
	if (!m->link)
		return TEAM_CAUSE_LINK;
	if (m->send_failed)
		return TEAM_CAUSE_SEND;
	if (m->beacon_bad)
		return TEAM_CAUSE_BEACON;
	return m->probe_bad ? TEAM_CAUSE_PROBE : TEAM_CAUSE_NONE;
}

static bool carries(const struct team_member *m)
{
	return m->state == TEAM_MEMBER_UP || m->state == TEAM_MEMBER_FAILING;
}

bool team_member_usable(const struct team *t, unsigned member)
{
	const struct team_member *m = &t->members[member];

	return carries(m) && !is_unused(m) &&
		(!t->policy->negotiates || lacp_member_is_distributing(&t->lacp, member));
}

static bool another_is_up(const struct team *t, const struct team_member *but)
{
	for (unsigned i = 0; i < t->n_members; i++) {
		const struct team_member *m = &t->members[i];

		if (m != but && m->state == TEAM_MEMBER_UP && !is_unused(m))
			return true;
	}
	return false;
}

/* How long a member must be well before it is used. LACP's own negotiation is delay enough. */
static uint64_t rest_ns(const struct team *t, const struct team_member *m)
{
	uint64_t ms = value_ms(t->config.up_delay_ms, 5000);

	if (t->config.policy == NET_TEAM_LACP)
		ms = value_ms(t->config.up_delay_ms, 0);
	if (m->flaps) {
		ms = ms ? ms << m->flaps : (uint64_t)DAMPING_MS << (m->flaps - 1);
		ms = MIN(ms, (uint64_t)TEAM_MAX_HOLD_MS);
	}
	return ms * NSEC_PER_MSEC;
}

static void set_state(struct team *t, struct team_member *m, enum team_member_state state,
	enum team_cause cause, uint64_t deadline_ns, uint64_t now_ns)
{
	t->n_changes++;
	m->state = state;
	m->cause = cause;
	m->since_ns = now_ns;
	m->deadline_ns = deadline_ns;
}

static void member_up(struct team *t, struct team_member *m, uint64_t now_ns)
{
	set_state(t, m, TEAM_MEMBER_UP, m->cause, TEAM_NEVER, now_ns);
	m->up_since_ns = now_ns;
	m->bench_until_ns = 0;
	if (m->was_up && t->config.failback == NET_FAILBACK_NO)
		m->bench_until_ns = TEAM_NEVER;
	else if (m->was_up && t->config.failback_ms)
		m->bench_until_ns = now_ns + t->config.failback_ms * NSEC_PER_MSEC;
	m->was_up = true;
}

static void member_down(
	struct team *t, struct team_member *m, enum team_cause fault, uint64_t now_ns)
{
	uint64_t well_ns = MAX(2 * rest_ns(t, m), TEAM_FLAP_NS);

	if (now_ns - m->up_since_ns >= well_ns || t->config.no_damping)
		m->flaps = 0;
	/* Tests and removals are somebody's will. */
	else if (fault != TEAM_CAUSE_TEST && fault != TEAM_CAUSE_REMOVED)
		m->flaps = MIN(m->flaps + 1, (uint32_t)MAX_FLAPS);
	set_state(t, m, m->present ? TEAM_MEMBER_DOWN : TEAM_MEMBER_ABSENT, fault, TEAM_NEVER,
		now_ns);
}

/* Who notices this kind of fault. */
static enum team_detector detector_of(const struct team_member *m, enum team_cause fault)
{
	static const enum team_detector detectors[TEAM_CAUSE_X_MAX] = {
		[TEAM_CAUSE_SEND] = TEAM_BY_SEND,
		[TEAM_CAUSE_BEACON] = TEAM_BY_BEACON,
		[TEAM_CAUSE_PROBE] = TEAM_BY_TARGET,
		[TEAM_CAUSE_LACP] = TEAM_BY_LACP,
		[TEAM_CAUSE_TEST] = TEAM_BY_ADMIN,
	};

	if (fault == TEAM_CAUSE_LINK || fault == TEAM_CAUSE_REMOVED)
		return m->link_by;
	return detectors[fault];
}

/* The last sign that it had worked, as far as this fault is concerned; a test is none. */
static uint64_t well_ns(
	const struct team *t, const struct team_member *m, enum team_cause fault, uint64_t now_ns)
{
	uint64_t ns = MAX(m->well_ns, m->last_rx_ns);

	if (fault == TEAM_CAUSE_TEST)
		return 0;
	if (fault == TEAM_CAUSE_BEACON)
		ns = team_beacon_well_ns(m);
	else if (fault == TEAM_CAUSE_PROBE)
		ns = team_probe_well_ns(t, m);
	else if (fault == TEAM_CAUSE_LACP)
		ns = m->last_rx_ns;
	return MIN(ns, now_ns);
}

static void count_failure(
	struct team *t, struct team_member *m, enum team_cause fault, uint64_t now_ns)
{
	m->detected_ns = now_ns;
	m->failed_well_ns = well_ns(t, m, fault, now_ns);
	m->lost_mark = m->tx_refused;
	m->failures[detector_of(m, fault)]++;
}

static void member_fails(
	struct team *t, struct team_member *m, enum team_cause fault, uint64_t now_ns)
{
	uint64_t delay_ns = value_ms(t->config.down_delay_ms, 0) * NSEC_PER_MSEC;

	count_failure(t, m, fault, now_ns);
	if (delay_ns && fault == TEAM_CAUSE_LINK)
		set_state(t, m, TEAM_MEMBER_FAILING, fault, now_ns + delay_ns, now_ns);
	else
		member_down(t, m, fault, now_ns);
}

/* Answers whether the state changed. */
static bool member_step(struct team *t, struct team_member *m, uint64_t now_ns)
{
	enum team_cause fault = member_fault(m, now_ns);
	enum team_member_state before = m->state;

	switch (m->state) {
	case TEAM_MEMBER_ABSENT:
	case TEAM_MEMBER_DOWN:
		if (fault) {
			m->state = m->present ? TEAM_MEMBER_DOWN : TEAM_MEMBER_ABSENT;
			t->n_changes += m->cause != fault || m->state != before;
			m->cause = fault;
		} else if (m->cause == TEAM_CAUSE_TEST) {
			/* As if nothing had been. */
			set_state(t, m, TEAM_MEMBER_UP, m->cause, TEAM_NEVER, now_ns);
		} else if (another_is_up(t, m) && rest_ns(t, m)) {
			set_state(t, m, TEAM_MEMBER_RESTING, m->cause, now_ns + rest_ns(t, m),
				now_ns);
		} else {
			member_up(t, m, now_ns);
		}
		break;
	case TEAM_MEMBER_RESTING:
		if (fault)
			set_state(t, m, m->present ? TEAM_MEMBER_DOWN : TEAM_MEMBER_ABSENT, fault,
				TEAM_NEVER, now_ns);
		else if (now_ns >= m->deadline_ns || !another_is_up(t, m))
			member_up(t, m, now_ns);
		break;
	case TEAM_MEMBER_UP:
		if (fault)
			member_fails(t, m, fault, now_ns);
		break;
	case TEAM_MEMBER_FAILING:
		if (!fault)
			set_state(t, m, TEAM_MEMBER_UP, m->cause, TEAM_NEVER, now_ns);
		else if (now_ns >= m->deadline_ns || fault != TEAM_CAUSE_LINK)
			member_down(t, m, fault, now_ns);
		break;
	case TEAM_MEMBER_STATE_X_MAX:
		assert(false);
	}
	return m->state != before;
}

static void tell_lacp(struct team *t, uint64_t now_ns)
{
	if (t->config.policy != NET_TEAM_LACP)
		return;
	for (unsigned i = 0; i < t->n_members; i++) {
		struct team_member *m = &t->members[i];
		bool link = carries(m) && !is_unused(m);

		/* Out of use for another reason than its link: the partner is told, or would go on sending by it. */
		if (!link && m->lacp_link && m->present && m->link && !m->send_failed)
			lacp_member_withdraw(&t->lacp, i, now_ns);
		else if (link || m->lacp_link)
			lacp_member_link(&t->lacp, i, link, m->mbps, m->full_duplex, now_ns);
		m->lacp_link = link;
	}
	t->lacp_ns = lacp_poll(&t->lacp, now_ns);
	t->policy = &team_policies[lacp_fallback(&t->lacp) ? NET_TEAM_EXPLICIT : NET_TEAM_LACP];
}

/* Members by preference: active ones, then standby, each in their order. */
static void sort_members(const struct team *t, unsigned ret_order[NET_MAX_UPLINKS])
{
	for (unsigned i = 0; i < t->n_members; i++) {
		const struct net_uplink *u = &t->members[i].uplink;
		bool standby = u->role == NET_ROLE_STANDBY;
		unsigned at = i;

		for (; at > 0; at--) {
			const struct net_uplink *v = &t->members[ret_order[at - 1]].uplink;
			bool v_standby = v->role == NET_ROLE_STANDBY;

			if (v_standby < standby || (v_standby == standby && v->order <= u->order))
				break;
			ret_order[at] = ret_order[at - 1];
		}
		ret_order[at] = i;
	}
}

/* How many are to be active, if so many can be used. */
static unsigned n_wanted(const struct team *t)
{
	unsigned n = 0;

	if (t->policy->single)
		return 1;
	if (t->policy->negotiates)
		return NET_MAX_UPLINKS;
	for (unsigned i = 0; i < t->n_members; i++)
		n += t->members[i].uplink.role <= NET_ROLE_ACTIVE;
	return MAX(n, 1U);
}

static unsigned count_usable(const struct team *t)
{
	unsigned n = 0;

	for (unsigned i = 0; i < t->n_members; i++)
		n += team_member_usable(t, i);
	return n;
}

/* The bits of the members that are to be active. Benched ones come only in place of those that were; but LACP's partner
 * decides with us, and uses them already. */
static unsigned select_active(
	struct team *t, const unsigned order[NET_MAX_UPLINKS], uint64_t now_ns)
{
	unsigned want = n_wanted(t), n = 0, chosen = 0;

	t->n_usable = count_usable(t);
	for (unsigned i = 0; i < t->n_members; i++)
		if (t->members[i].bench_until_ns <= now_ns)
			t->members[i].bench_until_ns = 0;
	if (t->n_usable < value_ms(t->config.min_links, 1))
		return 0;
	for (unsigned i = 0; i < t->n_members && n < want; i++) {
		if (!team_member_usable(t, order[i]) ||
			(t->members[order[i]].bench_until_ns && !t->policy->negotiates))
			continue;
		chosen |= 1U << order[i];
		n++;
	}
	want = MIN(want, MAX(t->n_active, 1U));
	for (unsigned i = 0; i < t->n_members && n < want; i++) {
		if (!team_member_usable(t, order[i]) || chosen & 1U << order[i])
			continue;
		chosen |= 1U << order[i];
		t->members[order[i]].bench_until_ns = 0;
		n++;
	}
	return chosen;
}

/* Shares of the load. Answers whether one of a member that was active before has changed. */
static bool set_weights(struct team *t, unsigned chosen)
{
	bool by_weight = false, by_speed = true, changed = false;

	for (unsigned i = 0; i < t->n_members; i++) {
		if (!(chosen & 1U << i))
			continue;
		by_weight |= t->members[i].uplink.weight != 0;
		by_speed &= t->members[i].mbps != 0;
	}
	for (unsigned i = 0; i < t->n_members; i++) {
		struct team_member *m = &t->members[i];
		uint32_t weight = by_weight ? MAX(m->uplink.weight, (uint8_t)1)
			: by_speed          ? m->mbps
					    : 1;

		if (!(chosen & 1U << i))
			continue;
		changed |= m->active && m->weight != weight;
		m->weight = weight;
	}
	return changed;
}

static void choose_designated(struct team *t, const unsigned order[NET_MAX_UPLINKS])
{
	if (t->designated != TEAM_NO_MEMBER && t->members[t->designated].active)
		return;
	t->designated = TEAM_NO_MEMBER;
	for (unsigned i = 0; i < t->n_members && t->designated == TEAM_NO_MEMBER; i++)
		if (t->members[order[i]].active)
			t->designated = order[i];
}

/* Why the active members are others than before: a member that failed is the reason if there is one, of several the last. */
static const struct team_member *blame(const struct team *t, unsigned before, unsigned chosen)
{
	const struct team_member *failed = NULL;

	for (unsigned i = 0; i < t->n_members; i++) {
		const struct team_member *m = &t->members[i];

		if (before & ~chosen & 1U << i && !carries(m) &&
			(!failed || m->since_ns > failed->since_ns))
			failed = m;
	}
	return failed;
}

static enum team_cause cause_of(const struct team *t, unsigned before, unsigned chosen)
{
	unsigned fresh = chosen & ~before;

	if (!chosen)
		return t->n_usable ? TEAM_CAUSE_MIN_LINKS : TEAM_CAUSE_LACP;
	if (!before)
		return t->config.policy == NET_TEAM_LACP ? TEAM_CAUSE_LACP : TEAM_CAUSE_LINK;
	return t->policy->negotiates && !fresh ? TEAM_CAUSE_LACP : TEAM_CAUSE_FAILBACK;
}

/* Members that LACP took out of use while their links are up. */
static void count_lacp(struct team *t, unsigned before, unsigned chosen, uint64_t now_ns)
{
	for (unsigned i = 0; i < t->n_members && t->policy->negotiates; i++)
		if (before & ~chosen & 1U << i && carries(&t->members[i]))
			count_failure(t, &t->members[i], TEAM_CAUSE_LACP, now_ns);
}

/* The first of 'members' (bits). */
static const struct team_member *first_of(const struct team *t, unsigned members)
{
	return &t->members[__builtin_ctz(members)];
}

static struct team_reason reason_of(
	const struct team *t, unsigned before, unsigned chosen, uint64_t now_ns)
{
	const struct team_member *failed = blame(t, before, chosen);
	struct team_reason reason = {.detected_ns = now_ns, .lost_mark = UINT64_MAX};

	if (failed) {
		reason.cause = failed->cause;
		reason.well_ns = failed->failed_well_ns;
		reason.detected_ns = failed->detected_ns;
		reason.lost_mark = failed->lost_mark;
		reason.detector = detector_of(failed, failed->cause);
		return reason;
	}
	reason.cause = cause_of(t, before, chosen);
	if (reason.cause == TEAM_CAUSE_LACP) {
		reason.detector = TEAM_BY_LACP;
		if (before & ~chosen)
			reason.well_ns = first_of(t, before & ~chosen)->failed_well_ns;
	} else if (reason.cause == TEAM_CAUSE_LINK) {
		reason.detector = first_of(t, chosen)->link_by;
	}
	return reason;
}

static void set_guest_link(struct team *t)
{
	bool up = t->n_active || t->config.guest_link_up;

	if (up == t->guest_up)
		return;
	t->guest_up = up;
	t->n_changes++;
	if (t->ops->guest_link)
		t->ops->guest_link(t->opaque, up);
}

static void update_active(struct team *t, const struct team_policy_ops *was, uint64_t now_ns)
{
	unsigned order[NET_MAX_UPLINKS], before = 0, chosen;
	struct team_reason reason;
	uint8_t want[TEAM_SLOTS];
	bool reweighed;

	for (unsigned i = 0; i < t->n_members; i++)
		before |= (unsigned)t->members[i].active << i;
	sort_members(t, order);
	chosen = select_active(t, order, now_ns);
	reweighed = set_weights(t, chosen);
	if (chosen == before && !reweighed && t->policy == was)
		return;
	t->n_changes++;
	t->n_active = (unsigned)__builtin_popcount(chosen);
	for (unsigned i = 0; i < t->n_members; i++)
		t->members[i].active = chosen & 1U << i;
	choose_designated(t, order);
	count_lacp(t, before, chosen, now_ns);
	reason = reason_of(t, before, chosen, now_ns);
	team_map_assign(t, reweighed || t->policy != was ? chosen : chosen & ~before, want);
	team_map_apply(t, want, &reason, now_ns);
	set_guest_link(t);
}

void team_update(struct team *t, uint64_t now_ns)
{
	const struct team_policy_ops *was = t->policy;
	bool changed;

	/* Each pass moves a member on, and none goes round within one moment: those that fail first. */
	do {
		changed = false;
		for (unsigned i = 0; i < t->n_members; i++)
			changed |= member_step(t, &t->members[i], now_ns);
	} while (changed);
	tell_lacp(t, now_ns);
	t->dirty = false;
	update_active(t, was, now_ns);
}

uint64_t team_member_deadline(const struct team *t)
{
	uint64_t next = TEAM_NEVER;

	for (unsigned i = 0; i < t->n_members; i++) {
		const struct team_member *m = &t->members[i];

		next = MIN(next, m->deadline_ns);
		if (m->state == TEAM_MEMBER_DOWN && m->cause == TEAM_CAUSE_TEST)
			next = MIN(next, m->test_until_ns);
		if (carries(m) && !m->active && m->bench_until_ns)
			next = MIN(next, m->bench_until_ns);
	}
	return next;
}
