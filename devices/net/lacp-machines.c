/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The state machines of 802.1AX-2014 6.4.12 … 6.4.17. Names are the standard's; what a state does when it is entered
 * stands in enter_*(), when it is left in lacp_*_run(). Tested by tests/unit/test-lacp.c. */
#include <string.h>

#include "devices/net/lacp-internal.h"

/* Of a port's description, what makes it the same port of the same aggregate. */
static bool same_port(const struct lacp_info *a, const struct lacp_info *b)
{
	return a->port == b->port && a->port_priority == b->port_priority &&
		a->system_priority == b->system_priority && a->key == b->key &&
		memcmp(a->system, b->system, LACP_MAC_LEN) == 0;
}

static bool is_due(const struct lacp *l, uint64_t deadline_ns)
{
	return l->now_ns >= deadline_ns;
}

/* The next beat after the one that was due at 'deadline_ns': in step with it, unless it was missed by more than
 * a period. */
static uint64_t next_beat(const struct lacp *l, uint64_t deadline_ns, uint64_t period_ns)
{
	if (is_due(l, deadline_ns) && l->now_ns - deadline_ns < period_ns)
		return deadline_ns + period_ns;
	return l->now_ns + period_ns;
}

/* Receive machine, 6.4.12. */

/* recordDefault(): nobody, who is passive and out of sync. */
static void record_default(struct lacp_member *m)
{
	m->partner = (struct lacp_info){0};
	m->loopback = false;
	lacp_set_state(&m->actor, LACP_STATE_DEFAULTED, true);
}

/* update_Selected() and update_Default_Selected(). */
static void update_selected(struct lacp_member *m, const struct lacp_info *partner)
{
	if (same_port(partner, &m->partner) &&
		!((partner->state ^ m->partner.state) & LACP_STATE_AGGREGATION))
		return;
	m->selected = LACP_UNSELECTED;
}

/* What the partner knows of us is not what we are. EXPIRED and DEFAULTED do not count: a partner that echoes them late
 * would otherwise keep both ends talking. */
static void update_ntt(struct lacp_member *m, const struct lacp_info *seen)
{
	const uint8_t bits = LACP_STATE_ACTIVITY | LACP_STATE_TIMEOUT | LACP_STATE_SYNCHRONIZATION |
		LACP_STATE_AGGREGATION;

	if (!same_port(seen, &m->actor) || ((seen->state ^ m->actor.state) & bits))
		m->ntt = true;
}

/* recordPDU(). The partner is in sync if it says so, keeps the link alive, and means this port, or wants the
 * link alone. */
static void record_pdu(struct lacp_member *m, const struct lacp_pdu *pdu)
{
	bool same = same_port(&pdu->partner, &m->actor) &&
		!((pdu->partner.state ^ m->actor.state) & LACP_STATE_AGGREGATION);
	bool individual = !(pdu->actor.state & LACP_STATE_AGGREGATION);
	bool maintained = (pdu->actor.state & LACP_STATE_ACTIVITY) ||
		(m->actor.state & pdu->partner.state & LACP_STATE_ACTIVITY);
	bool sync = pdu->actor.state & LACP_STATE_SYNCHRONIZATION;

	m->partner = pdu->actor;
	lacp_set_state(&m->partner, LACP_STATE_SYNCHRONIZATION,
		sync && maintained && (same || individual));
	lacp_set_state(&m->actor, LACP_STATE_DEFAULTED, false);
}

static void enter_initialize(struct lacp_member *m)
{
	m->rx = LACP_RX_INITIALIZE;
	m->selected = LACP_UNSELECTED;
	record_default(m);
	lacp_set_state(&m->actor, LACP_STATE_EXPIRED, false);
	m->port_moved = false;
}

/* The standard leaves it to the selection logic that a port without a link is let go; here it is done at once. */
static void enter_port_disabled(struct lacp_member *m)
{
	m->rx = LACP_RX_PORT_DISABLED;
	m->current_while_ns = LACP_NEVER;
	m->selected = LACP_UNSELECTED;
	lacp_set_state(&m->partner, LACP_STATE_SYNCHRONIZATION, false);
}

static void enter_lacp_disabled(struct lacp_member *m)
{
	m->rx = LACP_RX_LACP_DISABLED;
	m->current_while_ns = LACP_NEVER;
	m->selected = LACP_UNSELECTED;
	record_default(m);
	lacp_set_state(&m->actor, LACP_STATE_EXPIRED, false);
}

static void enter_expired(struct lacp *l, struct lacp_member *m)
{
	m->rx = LACP_RX_EXPIRED;
	lacp_set_state(&m->partner, LACP_STATE_SYNCHRONIZATION, false);
	lacp_set_state(&m->partner, LACP_STATE_TIMEOUT, true);
	m->current_while_ns = l->now_ns + LACP_SHORT_TIMEOUT_NS;
	lacp_set_state(&m->actor, LACP_STATE_EXPIRED, true);
}

static void enter_defaulted(struct lacp_member *m)
{
	const struct lacp_info nobody = {0};

	m->rx = LACP_RX_DEFAULTED;
	m->current_while_ns = LACP_NEVER;
	update_selected(m, &nobody);
	record_default(m);
	lacp_set_state(&m->actor, LACP_STATE_EXPIRED, false);
	m->counters.n_defaulted++;
}

static void enter_current(struct lacp *l, struct lacp_member *m, const struct lacp_pdu *pdu)
{
	bool was_selected = m->selected != LACP_UNSELECTED;

	m->rx = LACP_RX_CURRENT;
	update_selected(m, &pdu->actor);
	m->counters.n_partner_changes += was_selected && m->selected == LACP_UNSELECTED;
	update_ntt(m, &pdu->partner);
	record_pdu(m, pdu);
	m->current_while_ns = l->now_ns +
		(m->actor.state & LACP_STATE_TIMEOUT ? LACP_SHORT_TIMEOUT_NS
						     : LACP_LONG_TIMEOUT_NS);
	lacp_set_state(&m->actor, LACP_STATE_EXPIRED, false);
}

/* Another member hears the port that this one, whose link is down, had last heard: the cable was moved. */
static void find_moved(struct lacp *l, const struct lacp_member *heard)
{
	struct lacp_member *m;

	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m))
		if (m != heard && m->rx == LACP_RX_PORT_DISABLED &&
			!(m->actor.state & LACP_STATE_DEFAULTED) &&
			m->partner.port == heard->partner.port &&
			memcmp(m->partner.system, heard->partner.system, LACP_MAC_LEN) == 0)
			m->port_moved = true;
}

void lacp_rx_pdu(struct lacp *l, struct lacp_member *m, const struct lacp_pdu *pdu)
{
	if (m->rx < LACP_RX_EXPIRED)
		return;
	enter_current(l, m, pdu);
	m->loopback = memcmp(m->partner.system, m->actor.system, LACP_MAC_LEN) == 0;
	if (m->loopback)
		return;
	m->heard = true;
	find_moved(l, m);
}

void lacp_rx_run(struct lacp *l, struct lacp_member *m)
{
	if (!m->link_up) {
		if (m->port_moved)
			enter_initialize(m);
		if (m->rx != LACP_RX_PORT_DISABLED)
			enter_port_disabled(m);
		return;
	}
	if (!lacp_enabled(m)) {
		if (m->rx != LACP_RX_LACP_DISABLED)
			enter_lacp_disabled(m);
		return;
	}
	if (m->rx < LACP_RX_EXPIRED) {
		enter_expired(l, m);
		m->ntt = true; /* do not wait for the first beat */
	} else if (is_due(l, m->current_while_ns)) {
		if (m->rx == LACP_RX_EXPIRED) {
			enter_defaulted(m);
			return;
		}
		enter_expired(l, m);
		m->counters.n_expired++;
	}
}

/* Periodic machine, 6.4.13. */

static bool wants_periodic(const struct lacp_member *m)
{
	return lacp_enabled(m) && ((m->actor.state | m->partner.state) & LACP_STATE_ACTIVITY);
}

static void enter_periodic(struct lacp *l, struct lacp_member *m, enum lacp_periodic_state state)
{
	m->periodic = state;
	m->periodic_ns = next_beat(l, m->periodic_ns,
		state == LACP_PERIODIC_FAST ? LACP_FAST_PERIODIC_NS : LACP_SLOW_PERIODIC_NS);
}

void lacp_periodic_run(struct lacp *l, struct lacp_member *m)
{
	bool fast = m->partner.state & LACP_STATE_TIMEOUT;

	if (!wants_periodic(m)) {
		m->periodic = LACP_PERIODIC_NONE;
		m->periodic_ns = LACP_NEVER;
		return;
	}
	if (m->periodic == LACP_PERIODIC_NONE)
		enter_periodic(l, m, LACP_PERIODIC_FAST);
	if (m->periodic == LACP_PERIODIC_FAST && !fast && !is_due(l, m->periodic_ns))
		enter_periodic(l, m, LACP_PERIODIC_SLOW);
	if (is_due(l, m->periodic_ns) || (m->periodic == LACP_PERIODIC_SLOW && fast)) {
		m->periodic = LACP_PERIODIC_TX;
		m->ntt = true;
		enter_periodic(l, m, fast ? LACP_PERIODIC_FAST : LACP_PERIODIC_SLOW);
	}
}

/* Mux machine with independent control, 6.4.15. */

static void set_sync(struct lacp_member *m, bool on)
{
	if (on != !!(m->actor.state & LACP_STATE_SYNCHRONIZATION))
		m->counters.n_sync_changes++;
	lacp_set_state(&m->actor, LACP_STATE_SYNCHRONIZATION, on);
}

static void enter_mux(struct lacp *l, struct lacp_member *m, enum lacp_mux_state state)
{
	m->mux = state;
	m->ready_n = false;
	m->wait_while_ns = LACP_NEVER;
	if (state == LACP_MUX_WAITING) {
		m->wait_while_ns = l->now_ns + LACP_AGGREGATE_WAIT_NS;
		return;
	}
	set_sync(m, state >= LACP_MUX_ATTACHED);
	lacp_set_state(&m->actor, LACP_STATE_COLLECTING, state >= LACP_MUX_COLLECTING);
	lacp_set_state(&m->actor, LACP_STATE_DISTRIBUTING, state == LACP_MUX_DISTRIBUTING);
	if (state != LACP_MUX_DISTRIBUTING)
		m->ntt = true;
}

/* A member that is selected anew does not hold up those that are ready for ever: whenever its wait begins again, it has
 * been unselected, and they go. */
static enum lacp_mux_state waiting_next(struct lacp *l, struct lacp_member *m)
{
	if (m->selected == LACP_UNSELECTED)
		return LACP_MUX_DETACHED;
	if (is_due(l, m->wait_while_ns)) {
		m->ready_n = true;
		m->wait_while_ns = LACP_NEVER;
	}
	return m->selected == LACP_SELECTED && m->ready_n && lacp_select_ready(l)
		? LACP_MUX_ATTACHED
		: LACP_MUX_WAITING;
}

/* Where to go from here: one step, or to stay. */
static enum lacp_mux_state mux_next(struct lacp *l, struct lacp_member *m)
{
	bool selected = m->selected == LACP_SELECTED;
	bool sync = m->partner.state & LACP_STATE_SYNCHRONIZATION;
	bool collecting = m->partner.state & LACP_STATE_COLLECTING;

	switch (m->mux) {
	case LACP_MUX_DETACHED:
		return m->selected == LACP_UNSELECTED ? LACP_MUX_DETACHED : LACP_MUX_WAITING;
	case LACP_MUX_WAITING:
		return waiting_next(l, m);
	case LACP_MUX_ATTACHED:
		if (!selected)
			return LACP_MUX_DETACHED;
		return sync ? LACP_MUX_COLLECTING : LACP_MUX_ATTACHED;
	case LACP_MUX_COLLECTING:
		if (!selected || !sync)
			return LACP_MUX_ATTACHED;
		return collecting ? LACP_MUX_DISTRIBUTING : LACP_MUX_COLLECTING;
	default: /* LACP_MUX_DISTRIBUTING */
		return selected && sync && collecting ? LACP_MUX_DISTRIBUTING : LACP_MUX_COLLECTING;
	}
}

bool lacp_mux_run(struct lacp *l, struct lacp_member *m)
{
	bool was_ready = m->ready_n;
	enum lacp_mux_state next = mux_next(l, m);

	if (next == m->mux)
		return m->ready_n != was_ready;
	enter_mux(l, m, next);
	return true;
}

/* Churn detection, 6.4.17; the same for both ends, with the SYNC bit of each. */

static void churn_run(struct lacp *l, const struct lacp_member *m, bool sync,
	enum lacp_churn_state *state, uint64_t *deadline_ns, uint64_t *n_churn)
{
	if (!m->link_up) {
		*state = LACP_CHURN_MONITOR;
		*deadline_ns = LACP_NEVER;
		return;
	}
	if (sync) {
		*state = LACP_CHURN_NONE;
		*deadline_ns = LACP_NEVER;
		return;
	}
	if (*state == LACP_CHURN_NONE ||
		(*state == LACP_CHURN_MONITOR && *deadline_ns == LACP_NEVER)) {
		*state = LACP_CHURN_MONITOR;
		*deadline_ns = l->now_ns + LACP_CHURN_NS;
	} else if (*state == LACP_CHURN_MONITOR && is_due(l, *deadline_ns)) {
		*state = LACP_CHURN;
		*deadline_ns = LACP_NEVER;
		(*n_churn)++;
	}
}

void lacp_churn_run(struct lacp *l, struct lacp_member *m)
{
	churn_run(l, m, m->actor.state & LACP_STATE_SYNCHRONIZATION, &m->actor_churn,
		&m->actor_churn_ns, &m->counters.n_actor_churn);
	churn_run(l, m, m->partner.state & LACP_STATE_SYNCHRONIZATION, &m->partner_churn,
		&m->partner_churn_ns, &m->counters.n_partner_churn);
}

/* Transmit machine, 6.4.16. */

/* Times in the ring are one late, so that 0 is never. */
bool lacp_limit_allows(const uint64_t *ring, uint8_t at, uint64_t now_ns)
{
	return !ring[at] || now_ns - (ring[at] - 1) >= LACP_FAST_PERIODIC_NS;
}

void lacp_limit_note(uint64_t *ring, uint8_t n, uint8_t *at, uint64_t now_ns)
{
	ring[*at] = now_ns + 1;
	*at = (uint8_t)((*at + 1) % n);
}

uint64_t lacp_transmit_deadline(const struct lacp_member *m)
{
	uint64_t allowed_ns =
		m->tx_ns[m->tx_at] ? m->tx_ns[m->tx_at] - 1 + LACP_FAST_PERIODIC_NS : 0;

	return m->ntt ? MAX(allowed_ns, m->tx_retry_ns) : LACP_NEVER;
}

static void transmit(struct lacp *l, struct lacp_member *m)
{
	const struct lacp_pdu pdu = {.actor = m->actor, .partner = m->partner};
	uint8_t frame[LACP_FRAME_LEN];

	lacp_pdu_encode(&pdu, m->mac, frame);
	lacp_limit_note(m->tx_ns, LACP_MAX_TX, &m->tx_at, l->now_ns);
	if (l->ops->transmit(l->opaque, lacp_index(l, m), frame, sizeof(frame)) < 0) {
		m->counters.tx_errors++;
		m->tx_retry_ns = l->now_ns + LACP_FAST_PERIODIC_NS / LACP_MAX_TX;
		m->ntt_limited = true; /* it waits for that, not for the limit */
		return;
	}
	m->counters.tx_lacpdu++;
	m->ntt = m->ntt_limited = false;
	m->tx_retry_ns = 0;
}

void lacp_transmit_run(struct lacp *l, struct lacp_member *m)
{
	if (m->periodic == LACP_PERIODIC_NONE)
		m->ntt = m->ntt_limited = false;
	if (!m->ntt)
		return;
	if (is_due(l, lacp_transmit_deadline(m))) {
		transmit(l, m);
		return;
	}
	if (!m->ntt_limited)
		m->counters.tx_limited++;
	m->ntt_limited = true;
}

void lacp_begin(struct lacp_member *m)
{
	enter_initialize(m);
	enter_port_disabled(m);
	m->periodic = LACP_PERIODIC_NONE;
	m->mux = LACP_MUX_DETACHED;
	m->actor_churn = m->partner_churn = LACP_CHURN_MONITOR;
	m->current_while_ns = m->periodic_ns = m->wait_while_ns = LACP_NEVER;
	m->actor_churn_ns = m->partner_churn_ns = LACP_NEVER;
}
