/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interface of LACP, and the order in which machines run after an event: receive machines, then selection and
 * mux in turns until nothing moves, then the owner is told, and then, when the data path is what the frames will
 * say, frames are sent.
 */
#include <errno.h>
#include <string.h>

#include "devices/net/lacp-internal.h"

/* Selection and mux: a member goes through its five states once per event, and back up to WAITING. */
#define MAX_TURNS (8 * LACP_MAX_MEMBERS)

static bool is_unicast(const uint8_t mac[LACP_MAC_LEN])
{
	static const uint8_t zero[LACP_MAC_LEN];

	return !(mac[0] & 1) && memcmp(mac, zero, LACP_MAC_LEN) != 0;
}

static struct lacp_member *member(struct lacp *l, unsigned index)
{
	return index < LACP_MAX_MEMBERS && l->members[index].used ? &l->members[index] : NULL;
}

static bool has_bit(const struct lacp *l, unsigned index, uint8_t bit)
{
	return index < LACP_MAX_MEMBERS && l->members[index].used &&
		(l->members[index].actor.state & bit);
}

/* One time for the whole team: a member whose link comes and goes must not hold it off. */
static void fallback_run(struct lacp *l)
{
	bool up = false, partner = false, silent = false;
	const struct lacp_member *m;

	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m)) {
		bool given_up = m->heard && m->rx == LACP_RX_DEFAULTED &&
			l->config.fallback != NET_LACP_FALLBACK_STARTUP;

		up |= m->link_up;
		silent |= given_up;
		partner |= m->heard && !given_up;
	}
	if (l->config.fallback == NET_LACP_FALLBACK_NONE || !up || partner) {
		l->fallback = false;
		l->fallback_ns = LACP_NEVER;
	} else if (silent) {
		l->fallback = true;
		l->fallback_ns = LACP_NEVER;
	} else if (!l->fallback && l->fallback_ns == LACP_NEVER) {
		l->fallback_ns = l->now_ns + LACP_SHORT_TIMEOUT_NS;
	} else if (l->now_ns >= l->fallback_ns) {
		l->fallback = true;
		l->fallback_ns = LACP_NEVER;
	}
}

static void tell_member(struct lacp *l, struct lacp_member *m)
{
	bool collecting = m->actor.state & LACP_STATE_COLLECTING;
	bool distributing = m->actor.state & LACP_STATE_DISTRIBUTING;

	if (collecting == m->told_collecting && distributing == m->told_distributing)
		return;
	m->told_collecting = collecting;
	m->told_distributing = distributing;
	l->ops->changed(l->opaque, lacp_index(l, m));
}

static void tell(struct lacp *l)
{
	bool was_fallback = l->fallback;
	struct lacp_member *m;

	fallback_run(l);
	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m))
		tell_member(l, m);
	if (l->fallback != was_fallback && l->ops->fallback_changed)
		l->ops->fallback_changed(l->opaque);
}

static void run(struct lacp *l)
{
	struct lacp_member *m;
	bool moved = true;

	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m))
		lacp_rx_run(l, m);
	for (unsigned turn = 0; moved && turn < MAX_TURNS; turn++) {
		moved = false;
		lacp_select(l);
		for (m = lacp_next(l, NULL); m; m = lacp_next(l, m))
			moved |= lacp_mux_run(l, m);
	}
	tell(l);
	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m)) {
		lacp_churn_run(l, m);
		lacp_periodic_run(l, m);
		lacp_transmit_run(l, m);
	}
}

static void set_now(struct lacp *l, uint64_t now_ns)
{
	l->now_ns = MAX(l->now_ns, now_ns);
}

int lacp_init(
	struct lacp *l, const struct lacp_config *config, const struct lacp_ops *ops, void *opaque)
{
	assert(l);
	assert(config);
	assert(ops && ops->transmit && ops->changed);

	if (!is_unicast(config->system_mac) || !config->key ||
		config->select >= LACP_SELECT_X_MAX ||
		config->fallback >= NET_LACP_FALLBACK_X_MAX ||
		config->min_links > LACP_MAX_MEMBERS || config->max_links > LACP_MAX_MEMBERS ||
		(config->max_links && config->min_links > config->max_links))
		return -EINVAL;
	*l = (struct lacp){
		.config = *config, .ops = ops, .opaque = opaque, .fallback_ns = LACP_NEVER};
	return 0;
}

void lacp_done(struct lacp *l)
{
	if (l)
		*l = (struct lacp){0};
}

static void init_actor(struct lacp *l, struct lacp_member *m, uint16_t port_priority, uint16_t key)
{
	const struct lacp_config *config = &l->config;

	m->actor = (struct lacp_info){
		.system_priority = config->system_priority,
		.key = key ? key : config->key,
		.port_priority = port_priority,
		.port = (uint16_t)(lacp_index(l, m) + 1),
	};
	memcpy(m->actor.system, config->system_mac, LACP_MAC_LEN);
	lacp_set_state(&m->actor, LACP_STATE_ACTIVITY, config->active);
	lacp_set_state(&m->actor, LACP_STATE_TIMEOUT, config->fast);
	lacp_set_state(&m->actor, LACP_STATE_AGGREGATION, !config->individual);
}

int lacp_member_add(struct lacp *l, unsigned index, const uint8_t port_mac[LACP_MAC_LEN],
	uint16_t port_priority, uint16_t key)
{
	struct lacp_member *m;

	if (index >= LACP_MAX_MEMBERS || !is_unicast(port_mac))
		return -EINVAL;
	m = &l->members[index];
	if (m->used)
		return -EEXIST;
	*m = (struct lacp_member){.used = true};
	memcpy(m->mac, port_mac, LACP_MAC_LEN);
	init_actor(l, m, port_priority, key);
	lacp_begin(m);
	return 0;
}

/* The mux lets go and the partner hears of it while the link still counts as up; the others move up afterwards. */
static void let_go(struct lacp *l, struct lacp_member *m, uint64_t now_ns)
{
	set_now(l, now_ns);
	m->selected = LACP_UNSELECTED;
	while (lacp_mux_run(l, m))
		;
	tell_member(l, m);
	lacp_transmit_run(l, m);
}

void lacp_member_remove(struct lacp *l, unsigned index, uint64_t now_ns)
{
	struct lacp_member *m = member(l, index);

	if (!m)
		return;
	let_go(l, m, now_ns);
	*m = (struct lacp_member){0};
	run(l);
}

void lacp_member_withdraw(struct lacp *l, unsigned index, uint64_t now_ns)
{
	struct lacp_member *m = member(l, index);

	if (!m)
		return;
	if (m->link_up)
		let_go(l, m, now_ns);
	lacp_member_link(l, index, false, m->speed_mbps, m->full_duplex, now_ns);
}

void lacp_member_link(struct lacp *l, unsigned index, bool up, uint32_t speed_mbps,
	bool full_duplex, uint64_t now_ns)
{
	struct lacp_member *m = member(l, index);

	if (!m)
		return;
	set_now(l, now_ns);
	if (!up)
		m->heard = false;
	if (m->speed_mbps != speed_mbps)
		m->selected = LACP_UNSELECTED;
	m->link_up = up;
	m->speed_mbps = speed_mbps;
	m->full_duplex = full_duplex;
	run(l);
}

static void answer_marker(struct lacp *l, struct lacp_member *m, const uint8_t *frame)
{
	uint8_t answer[LACP_FRAME_LEN];

	if (!m->link_up)
		return;
	if (!lacp_limit_allows(m->marker_ns, m->marker_at, l->now_ns)) {
		m->counters.marker_limited++;
		return;
	}
	lacp_limit_note(m->marker_ns, LACP_MAX_MARKER, &m->marker_at, l->now_ns);
	lacp_marker_answer(frame, m->mac, answer);
	if (l->ops->transmit(l->opaque, lacp_index(l, m), answer, sizeof(answer)) < 0)
		m->counters.tx_errors++;
	else
		m->counters.tx_marker_response++;
}

void lacp_input(struct lacp *l, unsigned index, const uint8_t *frame, size_t len, uint64_t now_ns)
{
	struct lacp_member *m = member(l, index);
	struct lacp_pdu pdu;

	if (!m)
		return;
	set_now(l, now_ns);
	switch (lacp_frame_kind(frame, len)) {
	case LACP_FRAME_LACPDU:
		m->counters.rx_lacpdu++;
		lacp_pdu_decode(frame, &pdu);
		lacp_rx_pdu(l, m, &pdu);
		run(l);
		break;
	case LACP_FRAME_MARKER:
		m->counters.rx_marker++;
		answer_marker(l, m, frame);
		break;
	case LACP_FRAME_MARKER_RESPONSE:
		m->counters.rx_marker_response++;
		break;
	case LACP_FRAME_UNKNOWN:
		m->counters.rx_unknown++;
		break;
	case LACP_FRAME_ILLEGAL:
		m->counters.rx_illegal++;
		break;
	}
}

uint64_t lacp_poll(struct lacp *l, uint64_t now_ns)
{
	struct lacp_member *m;
	uint64_t next_ns;

	set_now(l, now_ns);
	run(l);
	next_ns = l->fallback_ns;
	for (m = lacp_next(l, NULL); m; m = lacp_next(l, m)) {
		next_ns = MIN(next_ns, m->current_while_ns);
		next_ns = MIN(next_ns, m->periodic_ns);
		next_ns = MIN(next_ns, m->wait_while_ns);
		next_ns = MIN(next_ns, m->actor_churn_ns);
		next_ns = MIN(next_ns, m->partner_churn_ns);
		next_ns = MIN(next_ns, lacp_transmit_deadline(m));
	}
	return next_ns;
}

bool lacp_member_is_collecting(const struct lacp *l, unsigned index)
{
	return has_bit(l, index, LACP_STATE_COLLECTING);
}

bool lacp_member_is_distributing(const struct lacp *l, unsigned index)
{
	return has_bit(l, index, LACP_STATE_DISTRIBUTING);
}

bool lacp_is_up(const struct lacp *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < LACP_MAX_MEMBERS; i++)
		n += lacp_member_is_distributing(l, i);
	return n >= MAX(l->config.min_links, 1U);
}

bool lacp_fallback(const struct lacp *l)
{
	return l->fallback;
}

int lacp_status(const struct lacp *l, unsigned index, struct lacp_status *ret_status)
{
	const struct lacp_member *m;

	if (index >= LACP_MAX_MEMBERS)
		return -EINVAL;
	m = &l->members[index];
	if (!m->used)
		return -ENOENT;
	*ret_status = (struct lacp_status){
		.link_up = m->link_up,
		.full_duplex = m->full_duplex,
		.loopback = m->loopback,
		.heard = m->heard,
		.collecting = lacp_member_is_collecting(l, index),
		.distributing = lacp_member_is_distributing(l, index),
		.speed_mbps = m->speed_mbps,
		.rx = m->rx,
		.periodic = m->periodic,
		.selected = m->selected,
		.mux = m->mux,
		.actor_churn = m->actor_churn,
		.partner_churn = m->partner_churn,
		.actor = m->actor,
		.partner = m->partner,
		.counters = m->counters,
	};
	return 0;
}
