/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The switch against a slow and simple one, written from vswitch.h alone: a hundred thousand random frames, and ports that
 * come, go and change, addresses that are learned and forgotten, mirrors, receivers without room. After each frame both
 * must say the same of each port: what it got, with which tag, and what was counted. The seed is fixed;
 * VSWITCH_MODEL_SEED and VSWITCH_MODEL_STEPS try others.
 */
#include "devices/net/vswitch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "devices/net/fdb.h"
#include "tests/fakes/fake-port.h"

#define S         NSEC_PER_SEC
#define N_PORTS   12
#define ANY       N_PORTS /* as the watched one of a mirror */
#define N_MACS    16      /* 0 … 9 are the ports'; the others come from anywhere */
#define N_LEARNED 128
#define N_EXTRA   3
#define REFUSED   -2

static const enum port_kind kinds[N_PORTS] = {PORT_VNIC, PORT_VNIC, PORT_VNIC, PORT_VNIC, PORT_VNIC,
	PORT_VNIC, PORT_HOST, PORT_UPLINK, PORT_UPLINK, PORT_UPLINK, PORT_MIRROR, PORT_MIRROR};
#define GUARDED 9

struct side {
	bool in;
	unsigned order; /* of coming */
	struct fake_port port;
	struct net_port_config config;
	unsigned extra[N_EXTRA]; /* numbers of MACs + 1 */
	/* What the model expects. */
	unsigned n;
	int32_t tci;
	uint64_t tx, rx, tx_drops[NET_DROP_X_MAX], rx_drops[NET_DROP_X_MAX];
};

struct learned {
	bool used;
	unsigned mac, port;
	uint16_t vid;
	uint64_t seen_ns;
	uint64_t order;
};

struct model {
	struct vswitch *sw;
	struct side sides[N_PORTS];
	struct learned learned[N_LEARNED];
	unsigned mirrors[N_PORTS + 1][N_PORTS]; /* from (ANY: all of them), to: dir */
	bool blame;
	uint64_t now, order;
	uint64_t random;
	struct fake_frame buffer;
};

/* xorshift64*: the same everywhere. */
static unsigned pick(struct model *m, unsigned n)
{
	m->random ^= m->random >> 12;
	m->random ^= m->random << 25;
	m->random ^= m->random >> 27;
	return (unsigned)((m->random * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % n;
}

/* The model: VLANs. */

static bool in_list(const struct net_vlan *v, unsigned vid)
{
	for (unsigned i = 0; i < v->n_tags; i++)
		if (v->tags[i] == vid)
			return true;
	return v->native && v->native == vid;
}

static bool is_member(const struct net_vlan *v, unsigned vid)
{
	return v->mode == NET_VLAN_ANY ? vid <= NET_VID_MAX : vid && in_list(v, vid);
}

static int vlan_in(const struct net_vlan *v, bool wire, int32_t tci)
{
	unsigned vid = tci < 0 ? 0 : tci & 0xfff;

	if (wire || v->mode == NET_VLAN_ANY)
		return is_member(v, vid) ? (int)vid : REFUSED;
	if (v->mode == NET_VLAN_ACCESS)
		return vid ? REFUSED : v->tags[0];
	if (vid)
		return in_list(v, vid) ? (int)vid : REFUSED;
	return v->native ? v->native : REFUSED;
}

static int32_t vlan_out(
	const struct net_vlan *v, bool wire, unsigned vid, int32_t tci, bool inner_tag)
{
	int32_t priority = tci < 0 ? 0 : tci & 0xf000;

	if (!is_member(v, vid))
		return REFUSED;
	if (!vid)
		return tci < 0 ? -1 : priority;
	if (!wire &&
		(v->mode == NET_VLAN_ACCESS ||
			(v->mode == NET_VLAN_TRUNK && v->native == vid && !v->native_tagged)))
		return inner_tag ? REFUSED : -1;
	return priority | (int32_t)vid;
}

static bool vlans_meet(const struct net_vlan *a, const struct net_vlan *b)
{
	for (unsigned vid = 0; vid <= NET_VID_MAX; vid++)
		if (is_member(a, vid) && is_member(b, vid))
			return true;
	return false;
}

/* The model: addresses. */

static bool is_station(unsigned port)
{
	return kinds[port] == PORT_VNIC || kinds[port] == PORT_HOST;
}

static unsigned own_mac(const struct side *s)
{
	return s->config.mac[5];
}

static bool has_static(const struct model *m, unsigned port, unsigned mac)
{
	const struct side *s = &m->sides[port];

	if (!s->in)
		return false;
	if (is_station(port) && own_mac(s) == mac)
		return true;
	for (unsigned i = 0; i < N_EXTRA; i++)
		if (s->extra[i] == mac + 1)
			return true;
	return false;
}

static bool conflicts(
	const struct model *m, unsigned mac, const struct net_vlan *vlan, unsigned except)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		if (i != except && has_static(m, i, mac) &&
			vlans_meet(vlan, &m->sides[i].config.vlan))
			return true;
	return false;
}

static int static_port(const struct model *m, unsigned mac, unsigned vid)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		if (has_static(m, i, mac) && is_member(&m->sides[i].config.vlan, vid))
			return (int)i;
	return -1;
}

static struct learned *find_learned(struct model *m, unsigned mac, unsigned vid)
{
	for (unsigned i = 0; i < N_LEARNED; i++)
		if (m->learned[i].used && m->learned[i].mac == mac && m->learned[i].vid == vid)
			return &m->learned[i];
	return NULL;
}

static uint64_t age_of(const struct model *m, unsigned port)
{
	return (m->sides[port].config.age_s ?: NET_AGE_DEFAULT) * S;
}

static bool is_old(const struct model *m, const struct learned *l)
{
	return m->now - l->seen_ns > age_of(m, l->port);
}

static unsigned limit_of(const struct net_port_config *config)
{
	return config->flags & NET_PORT_LEARN ? (config->learn_limit ?: 64) : 0;
}

static void shrink(struct model *m, unsigned port, unsigned limit)
{
	for (;;) {
		struct learned *oldest = NULL;
		unsigned n = 0;

		for (unsigned i = 0; i < N_LEARNED; i++) {
			struct learned *l = &m->learned[i];

			if (!l->used || l->port != port)
				continue;
			n++;
			if (!oldest || l->order < oldest->order)
				oldest = l;
		}
		if (n <= limit)
			return;
		oldest->used = false;
	}
}

static void learn(struct model *m, unsigned port, unsigned mac, unsigned vid)
{
	unsigned limit = limit_of(&m->sides[port].config);
	struct learned *l;

	if (!is_station(port) || !limit || static_port(m, mac, vid) >= 0)
		return;
	l = find_learned(m, mac, vid);
	if (l && l->port == port) {
		if (m->now - l->seen_ns >= FDB_REFRESH_NS) {
			l->seen_ns = m->now;
			l->order = ++m->order;
		}
		return;
	}
	if (l)
		l->used = false;
	shrink(m, port, limit - 1);
	for (l = m->learned; l->used; l++)
		;
	*l = (struct learned){true, mac, port, (uint16_t)vid, m->now, ++m->order};
}

/* The model: forwarding. */

struct sent {
	unsigned from, src, vid, size;
	int dst; /* number of the MAC; -1: everybody; -2: a group */
	int32_t tci;
	bool inner_tag;
	unsigned mirrored; /* bits */
};

static int default_uplink(const struct model *m)
{
	int best = -1;

	for (unsigned i = 0; i < N_PORTS; i++)
		if (m->sides[i].in && kinds[i] == PORT_UPLINK && i != GUARDED &&
			(best < 0 || m->sides[i].order < m->sides[best].order))
			best = (int)i;
	return best;
}

static enum net_drop reach(const struct model *m, unsigned from, unsigned to)
{
	if (from == to || (kinds[from] == PORT_UPLINK && kinds[to] == PORT_UPLINK))
		return NET_DROP_SELF;
	if (m->sides[from].config.flags & m->sides[to].config.flags & NET_PORT_ISOLATED)
		return NET_DROP_ISOLATED;
	return NET_DROP_NONE;
}

static bool is_up(const struct model *m, unsigned port)
{
	return m->sides[port].in && !(m->sides[port].config.flags & NET_PORT_LINK_DOWN);
}

static void expect_mirrors(struct model *m, struct sent *sent, unsigned watched, unsigned dir)
{
	int32_t wire = sent->tci < 0 ? (sent->vid ? (int32_t)sent->vid : -1)
				     : (int32_t)((sent->tci & 0xf000) | sent->vid);

	for (unsigned to = 0; to < N_PORTS; to++) {
		unsigned dirs = m->mirrors[watched][to] | m->mirrors[ANY][to];
		struct side *s = &m->sides[to];
		int32_t tci = REFUSED;

		if (!(dirs & dir) || sent->mirrored >> to & 1 || !is_up(m, to))
			continue;
		if (dirs & VSWITCH_MIRROR_AS_SEEN)
			tci = vlan_out(&m->sides[watched].config.vlan, watched == GUARDED,
				sent->vid, sent->tci, sent->inner_tag);
		if (tci == REFUSED)
			tci = wire;
		sent->mirrored |= 1U << to;
		if (s->port.answer) {
			s->rx_drops[NET_DROP_FULL]++;
			continue;
		}
		s->n++;
		s->rx++;
		s->tci = tci;
	}
}

/* -EAGAIN: it must come again. Else 0, or why it was not given. */
static int expect(struct model *m, struct sent *sent, unsigned to, bool may_wait)
{
	struct side *s = &m->sides[to];
	int32_t tci =
		vlan_out(&s->config.vlan, to == GUARDED, sent->vid, sent->tci, sent->inner_tag);
	unsigned mtu = s->config.mtu ?: NET_MTU_DEFAULT;
	enum net_drop reason = NET_DROP_NONE;

	if (s->config.flags & NET_PORT_LINK_DOWN)
		reason = NET_DROP_LINK_DOWN;
	else if (tci == REFUSED)
		reason = NET_DROP_VLAN;
	else if (sent->size > mtu + (sent->inner_tag ? 4 : 0))
		reason = NET_DROP_MTU;
	else if (s->port.answer == -EAGAIN && may_wait)
		return -EAGAIN;
	else if (s->port.answer)
		reason = NET_DROP_FULL;
	if (reason) {
		s->rx_drops[reason]++;
		return (int)reason;
	}
	s->n++;
	s->rx++;
	s->tci = tci;
	expect_mirrors(m, sent, to, VSWITCH_MIRROR_RX);
	return 0;
}

static enum net_drop check(struct model *m, struct sent *sent)
{
	const struct side *s = &m->sides[sent->from];
	int vid, holder;

	if (kinds[sent->from] == PORT_MIRROR)
		return NET_DROP_ISOLATED;
	if (!is_up(m, sent->from))
		return NET_DROP_LINK_DOWN;
	vid = vlan_in(&s->config.vlan, sent->from == GUARDED, sent->tci);
	if (vid == REFUSED)
		return NET_DROP_VLAN;
	sent->vid = (unsigned)vid;
	if (kinds[sent->from] == PORT_UPLINK) {
		struct learned *l = find_learned(m, sent->src, sent->vid);

		holder = static_port(m, sent->src, sent->vid);
		if (holder >= 0 && kinds[holder] != PORT_UPLINK)
			return NET_DROP_REFLECTED;
		if (holder < 0 && l && !is_old(m, l)) {
			if (m->now - l->seen_ns < VSWITCH_REFLECT_NS)
				return NET_DROP_REFLECTED;
			l->used = false;
		}
		if (sent->from != GUARDED)
			return NET_DROP_NONE;
	}
	if (s->config.flags & (NET_PORT_ALLOW_FORGED | NET_PORT_LEARN))
		return NET_DROP_NONE;
	return sent->src == own_mac(s) ? NET_DROP_NONE : NET_DROP_SPOOF_MAC;
}

static unsigned expect_watchers(struct model *m, struct sent *sent, int except, bool unknown)
{
	unsigned n = 0;

	for (unsigned i = 0; i < N_PORTS; i++) {
		uint32_t flags = m->sides[i].config.flags;

		if (!is_station(i) || !is_up(m, i) || (int)i == except || reach(m, sent->from, i) ||
			!is_member(&m->sides[i].config.vlan, sent->vid))
			continue;
		if (!(flags & NET_PORT_PROMISCUOUS) && !(unknown && flags & NET_PORT_LEARN))
			continue;
		(void)expect(m, sent, i, false);
		n++;
	}
	return n;
}

/* -EAGAIN, NET_DROP_NONE or the reason. */
static int expect_unicast(struct model *m, struct sent *sent)
{
	int to = static_port(m, (unsigned)sent->dst, sent->vid), up = default_uplink(m);
	struct learned *l = find_learned(m, (unsigned)sent->dst, sent->vid);
	enum net_drop reason;
	int lost = 0;
	unsigned n;

	if (to < 0 && l && !is_old(m, l))
		to = (int)l->port;
	if (to >= 0) {
		reason = reach(m, sent->from, (unsigned)to);
		if (reason)
			return (int)reason;
		lost = expect(m, sent, (unsigned)to, true);
		if (lost == -EAGAIN)
			return lost;
		(void)expect_watchers(m, sent, to, false);
		return m->blame ? lost : NET_DROP_NONE;
	}
	if (up >= 0 &&
		(reach(m, sent->from, (unsigned)up) ||
			!is_member(&m->sides[up].config.vlan, sent->vid)))
		up = -1;
	if (up >= 0)
		lost = expect(m, sent, (unsigned)up, true);
	if (lost == -EAGAIN)
		return lost;
	n = expect_watchers(m, sent, up, true);
	if (up < 0 && !n)
		return NET_DROP_UNKNOWN;
	return m->blame && !n ? lost : NET_DROP_NONE;
}

static int expect_flood(struct model *m, struct sent *sent)
{
	int up = default_uplink(m), lost = 0, r;

	for (unsigned i = 0; i < N_PORTS; i++) {
		if (!is_up(m, i) || (!is_station(i) && (int)i != up) || reach(m, sent->from, i) ||
			!is_member(&m->sides[i].config.vlan, sent->vid))
			continue;
		r = expect(m, sent, i, false);
		if ((int)i == up)
			lost = r;
	}
	return m->blame ? lost : NET_DROP_NONE;
}

static int expect_frame(struct model *m, struct sent *sent)
{
	struct side *s = &m->sides[sent->from];
	int r = (int)check(m, sent);

	if (r == NET_DROP_NONE) {
		learn(m, sent->from, sent->src, sent->vid);
		if (sent->dst < 0)
			r = expect_flood(m, sent);
		else
			r = expect_unicast(m, sent);
	}
	if (r == -EAGAIN)
		return r;
	if (r) {
		s->tx_drops[r]++;
		return 0;
	}
	s->tx++;
	expect_mirrors(m, sent, sent->from, VSWITCH_MIRROR_TX);
	return 0;
}

/* Both. */

static void compare(struct model *m, const struct sent *sent)
{
	for (unsigned i = 0; i < N_PORTS; i++) {
		struct side *s = &m->sides[i];
		const struct net_port_counters *c = &s->port.counters;

		if (!s->in)
			continue;
		/* In so many words: once, never back, never from one uplink to another. */
		assert_true(s->n <= 1);
		if (s->n) {
			assert_true(i != sent->from);
			assert_false(kinds[i] == PORT_UPLINK && kinds[sent->from] == PORT_UPLINK);
		}
		assert_int_equal(fake_port_new(&s->port), s->n);
		if (s->n) {
			assert_int_equal(fake_port_last(&s->port)->tci, s->tci);
			assert_memory_equal(
				fake_port_last(&s->port)->bytes, m->buffer.bytes, 2 * NET_MAC_LEN);
		}
		s->n = 0;
		assert_int_equal(c->tx_packets, s->tx);
		assert_int_equal(c->rx_packets, s->rx);
		for (unsigned reason = 0; reason < NET_DROP_X_MAX; reason++) {
			assert_int_equal(c->tx_drops[reason], s->tx_drops[reason]);
			assert_int_equal(c->rx_drops[reason], s->rx_drops[reason]);
		}
	}
}

static int32_t random_tci(struct model *m)
{
	static const uint16_t vids[] = {0, 10, 10, 20, 30, 4094, 4095};

	if (pick(m, 2))
		return -1;
	return (int32_t)(pick(m, 3) << 13 | vids[pick(m, ARRAY_SIZE(vids))]);
}

static void send_frame(struct model *m)
{
	static const uint8_t everybody[NET_MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t group[NET_MAC_LEN] = {0x01, 0, 0x5e, 1, 2, 3};
	static const uint8_t inner[500] = {0, 20, 0x88, 0xb5};
	struct sent sent = {.from = pick(m, N_PORTS), .dst = (int)pick(m, N_MACS + 6)};
	struct side *s = &m->sides[sent.from];
	uint8_t dst[NET_MAC_LEN], src[NET_MAC_LEN];
	struct frame *frame;
	int r;

	if (!s->in)
		return;
	sent.src = kinds[sent.from] != PORT_UPLINK && pick(m, 3) ? own_mac(s) : 1 + pick(m, N_MACS);
	if (sent.dst >= N_MACS)
		sent.dst = pick(m, 2) ? -1 : -2;
	else
		sent.dst++;
	sent.tci = random_tci(m);
	sent.inner_tag = !pick(m, 10);
	/* frame_init() takes the outer tag: an inner one needs one before it. */
	if (sent.inner_tag && sent.tci < 0)
		sent.tci = 0;
	sent.size = pick(m, 2) ? 46 : 300 + pick(m, 6);
	fake_mac(sent.src, src);
	fake_mac((unsigned)sent.dst, dst);
	frame = fake_frame(&m->buffer,
		sent.dst == -1           ? everybody
			: sent.dst == -2 ? group
					 : dst,
		src, sent.tci, sent.inner_tag ? 0x8100 : 0x88b5, inner, sent.size);
	r = expect_frame(m, &sent);
	assert_int_equal(vswitch_input(m->sw, &s->port.port, frame, m->now), r);
	compare(m, &sent);
}

static void random_config(struct model *m, unsigned port, struct net_port_config *ret)
{
	static const uint32_t flags[] = {NET_PORT_ALLOW_FORGED, NET_PORT_PROMISCUOUS,
		NET_PORT_ISOLATED, NET_PORT_LEARN, NET_PORT_LINK_DOWN};
	struct net_port_config config = {0};

	fake_mac(1 + (pick(m, 8) ? port : pick(m, 10)), config.mac);
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (!pick(m, flags[i] == NET_PORT_LINK_DOWN ? 12 : 4))
			config.flags |= flags[i];
	config.mtu = pick(m, 3) ? 0 : 302;
	config.learn_limit = (uint16_t)pick(m, 5);
	config.age_s = (uint16_t)pick(m, 20);
	config.vlan.mode = (uint8_t)pick(m, NET_VLAN_X_MAX);
	if (config.vlan.mode == NET_VLAN_ACCESS) {
		config.vlan.n_tags = 1;
		config.vlan.tags[0] = pick(m, 2) ? 10 : 20;
	} else if (config.vlan.mode == NET_VLAN_TRUNK) {
		config.vlan.n_tags = 1 + pick(m, 2);
		config.vlan.tags[0] = 20;
		config.vlan.tags[1] = 4094;
		config.vlan.native = pick(m, 2) ? 10 : 0;
		config.vlan.native_tagged = (uint8_t)pick(m, 2);
	}
	*ret = config;
}

static int expect_config(struct model *m, unsigned port, const struct net_port_config *config)
{
	struct side *s = &m->sides[port];

	if (is_station(port) && conflicts(m, config->mac[5], &config->vlan, port))
		return -EEXIST;
	for (unsigned i = 0; s->in && i < N_EXTRA; i++)
		if (s->extra[i] && conflicts(m, s->extra[i] - 1, &config->vlan, port))
			return -EEXIST;
	s->config = *config;
	shrink(m, port, is_station(port) ? limit_of(config) : 0);
	for (unsigned i = 0; i < N_LEARNED; i++)
		if (m->learned[i].used && m->learned[i].port == port &&
			!is_member(&config->vlan, m->learned[i].vid))
			m->learned[i].used = false;
	return 0;
}

static void add_or_change(struct model *m, unsigned port)
{
	struct side *s = &m->sides[port];
	struct net_port_config config;
	int r;

	random_config(m, port, &config);
	r = expect_config(m, port, &config);
	if (s->in) {
		assert_int_equal(vswitch_reconfigure(m->sw, &s->port.port, &config), r);
		return;
	}
	fake_port_init(&s->port, kinds[port], port);
	s->port.port.guarded = port == GUARDED;
	assert_int_equal(vswitch_add(m->sw, &s->port.port, &config), r);
	if (r < 0)
		return;
	s->in = true;
	s->order = (unsigned)++m->order;
	s->tx = s->rx = 0;
	memset(s->tx_drops, 0, sizeof(s->tx_drops));
	memset(s->rx_drops, 0, sizeof(s->rx_drops));
}

static void remove_port(struct model *m, unsigned port)
{
	struct side *s = &m->sides[port];

	if (!s->in)
		return;
	vswitch_remove(m->sw, &s->port.port);
	/* Whoever still looks at it is found. */
	memset(&s->port, 0xa5, sizeof(s->port));
	s->in = false;
	memset(s->extra, 0, sizeof(s->extra));
	shrink(m, port, 0);
	for (unsigned i = 0; i < N_PORTS; i++)
		m->mirrors[port][i] = m->mirrors[i][port] = 0;
	m->mirrors[ANY][port] = 0;
}

static void change_address(struct model *m)
{
	unsigned port = 7 + pick(m, 3), mac = 1 + pick(m, N_MACS), i = pick(m, N_EXTRA);
	struct side *s = &m->sides[port];
	uint8_t bytes[NET_MAC_LEN];
	int r = 0;

	if (!s->in)
		return;
	fake_mac(mac, bytes);
	if (s->extra[i]) {
		fake_mac(s->extra[i] - 1, bytes);
		assert_int_equal(vswitch_remove_address(m->sw, &s->port.port, bytes), 0);
		s->extra[i] = 0;
		return;
	}
	if (has_static(m, port, mac))
		return;
	if (conflicts(m, mac, &s->config.vlan, port))
		r = -EEXIST;
	assert_int_equal(vswitch_add_address(m->sw, &s->port.port, bytes), r);
	if (r == 0)
		s->extra[i] = mac + 1;
}

static void change_mirror(struct model *m)
{
	unsigned from = pick(m, 12) ?: ANY, to = 10 + pick(m, 2), dir = pick(m, 4), n = 0;
	int r;

	if (from != ANY && kinds[from] == PORT_MIRROR)
		from = ANY;
	if ((from != ANY && !m->sides[from].in) || !m->sides[to].in)
		return;
	/* One of the two sees it as its sender does: receivers may differ, and who comes first is not said. */
	if (dir && to == 11)
		dir = VSWITCH_MIRROR_TX | VSWITCH_MIRROR_AS_SEEN;
	for (unsigned i = 0; i <= ANY; i++)
		n += (m->mirrors[i][10] != 0) + (m->mirrors[i][11] != 0);
	r = dir && !m->mirrors[from][to] && n == VSWITCH_MAX_MIRRORS ? -ENOSPC : 0;
	assert_int_equal(vswitch_mirror(m->sw, from == ANY ? NULL : &m->sides[from].port.port, dir,
				 &m->sides[to].port.port),
		r);
	if (r == 0)
		m->mirrors[from][to] = dir;
}

static void age(struct model *m)
{
	vswitch_poll(m->sw, m->now);
	for (unsigned i = 0; i < N_LEARNED; i++)
		if (m->learned[i].used && is_old(m, &m->learned[i]))
			m->learned[i].used = false;
}

static void count_entry(void *opaque, const struct vswitch_entry *e)
{
	unsigned *n = opaque;

	n[e->is_static]++;
}

/* The walk tells as many as the model knows. */
static void compare_addresses(struct model *m)
{
	unsigned n[2] = {0}, expected[2] = {0};

	vswitch_each_address(m->sw, m->now, count_entry, n);
	for (unsigned i = 0; i < N_LEARNED; i++)
		expected[0] += m->learned[i].used && !is_old(m, &m->learned[i]);
	for (unsigned port = 0; port < N_PORTS; port++)
		for (unsigned mac = 0; mac < 2 * N_MACS; mac++)
			expected[1] += has_static(m, port, mac);
	assert_int_equal(n[0], expected[0]);
	assert_int_equal(n[1], expected[1]);
}

static void step(struct model *m)
{
	unsigned port = pick(m, N_PORTS), what = pick(m, 1000);

	if (what < 8)
		add_or_change(m, port);
	else if (what < 11)
		remove_port(m, port);
	else if (what < 20)
		change_address(m);
	else if (what < 25)
		change_mirror(m);
	else if (what < 35)
		m->sides[port].port.answer = pick(m, 3) ? 0 : pick(m, 2) ? -EAGAIN : -ENOBUFS;
	else if (what < 70)
		m->now += pick(m, 2 * S);
	else if (what < 75)
		age(m);
	else if (what < 80)
		compare_addresses(m);
	else if (what < 100)
		vswitch_flush(m->sw);
	else
		send_frame(m);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : otherwise;
}

static void run_model(bool blame)
{
	const struct vswitch_config config = {.seed = {5, 6}, .blame_sender = blame};
	uint64_t seed = number_of("VSWITCH_MODEL_SEED", 20240229);
	uint64_t steps = number_of("VSWITCH_MODEL_STEPS", 150000);
	struct model *m = calloc(1, sizeof(*m));
	uint64_t tx = 0;

	assert_non_null(m);
	m->blame = blame;
	m->random = seed | 1;
	m->now = 1000 * S;
	assert_int_equal(vswitch_new(&config, NULL, NULL, &m->sw), 0);
	for (unsigned i = 0; i < N_PORTS; i++)
		add_or_change(m, i);
	for (uint64_t i = 0; i < steps; i++) {
		step(m);
		for (unsigned p = 0; !(i % 1000) && p < N_PORTS; p++)
			if (!m->sides[p].in)
				add_or_change(m, p);
	}
	for (unsigned i = 0; i < N_PORTS; i++) {
		tx += m->sides[i].in ? m->sides[i].tx : 0;
		remove_port(m, i);
	}
	assert_true(tx > 0);
	vswitch_free(m->sw);
	free(m);
}

static void test_model(void **state)
{
	(void)state;
	run_model(false);
}

/* As in a vNIC's own switch: what an uplink cannot take is its sender's loss. */
static void test_model_of_a_nic(void **state)
{
	(void)state;
	run_model(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_model_of_a_nic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
