/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See fake-team.h. */
#include "tests/fakes/fake-team.h"

#include <stdlib.h>
#include <string.h>

#define STEP_NS (10 * NSEC_PER_MSEC)

const uint8_t fake_broadcast[NET_MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* Numbers from 0xf000 on are of the members' NICs. */
void fake_mac(uint32_t number, uint8_t mac[NET_MAC_LEN])
{
	const uint8_t bytes[NET_MAC_LEN] = {0x52, 0x54, (uint8_t)(number >> 24),
		(uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};

	memcpy(mac, bytes, NET_MAC_LEN);
}

static bool is_local(
	void *opaque, const uint8_t mac[NET_MAC_LEN], uint16_t vid, uint32_t *ret_cookie)
{
	struct fake_team *ft = opaque;

	for (unsigned i = 0; i < ft->n_locals; i++) {
		const struct fake_local *l = &ft->locals[i];

		if (memcmp(l->mac, mac, NET_MAC_LEN) != 0 || l->vid != vid)
			continue;
		*ret_cookie = l->cookie;
		return true;
	}
	return false;
}

static void check_source(struct fake_team *ft, unsigned member, const struct frame *f)
{
	uint32_t cookie;

	if (!memcmp(frame_src(f), ft->uplinks[member].mac, NET_MAC_LEN))
		return;
	if (!is_local(ft, frame_src(f), f->vid, &cookie))
		abort();
}

static void give_pdu(struct fake_team *to, unsigned member, const struct frame *f)
{
	if (to->n_pdus == FAKE_TEAM_PDUS)
		abort();
	to->pdus[to->n_pdus].member = member;
	to->pdus[to->n_pdus++].f = *f;
}

static int transmit(void *opaque, unsigned member, const struct frame *f, int32_t tci)
{
	struct fake_team *ft = opaque;
	struct fake_sent *s = &ft->sent[ft->n_sent];

	if (member >= NET_MAX_UPLINKS)
		abort();
	if (ft->check_locals)
		check_source(ft, member, f);
	if (ft->result[member] < 0)
		return ft->result[member];
	ft->n_sent_by[member]++;
	if (ft->partner && f->ethertype == 0x8809)
		give_pdu(ft->partner, member, f);
	if (ft->hook)
		ft->hook(ft, member, f, tci);
	if (ft->n_sent == FAKE_TEAM_SENT)
		return 0;
	*s = (struct fake_sent){.member = member,
		.tci = tci,
		.at_ns = ft->now_ns,
		.ethertype = f->ethertype,
		.len = f->len};
	memcpy(s->head, f->head, sizeof(s->head));
	ft->n_sent++;
	return 0;
}

static void guest_link(void *opaque, bool up)
{
	struct fake_team *ft = opaque;

	if (up == ft->guest_up)
		abort();
	ft->guest_up = up;
	ft->n_guest_changes++;
}

static void report(void *opaque, const struct net_team_report *r)
{
	struct fake_team *ft = opaque;

	ft->report = *r;
	ft->n_reports++;
}

static uint32_t pending(void *opaque, unsigned member)
{
	struct fake_team *ft = opaque;

	return ft->pending[member];
}

static void each_address(void *opaque,
	void (*found)(void *arg, uint32_t cookie, const uint8_t mac[NET_MAC_LEN], uint16_t vid),
	void *arg)
{
	struct fake_team *ft = opaque;

	for (unsigned i = 0; i < ft->n_locals; i++)
		found(arg, ft->locals[i].cookie, ft->locals[i].mac, ft->locals[i].vid);
}

static unsigned each_ip(void *opaque, const uint8_t mac[NET_MAC_LEN], uint16_t vid,
	struct net_ip ips[TEAM_NOTIFY_IPS])
{
	struct fake_team *ft = opaque;

	(void)mac;
	(void)vid;
	ips[0] = ft->ip;
	return ft->ip.family ? 1 : 0;
}

static const struct team_ops ops = {
	.transmit = transmit,
	.guest_link = guest_link,
	.report = report,
	.pending = pending,
	.is_local = is_local,
	.each_address = each_address,
	.each_ip = each_ip,
};

void fake_team_init(struct fake_team *ft, enum net_team_policy policy, unsigned n)
{
	memset(ft, 0, sizeof(*ft));
	ft->now_ns = 1000 * NSEC_PER_SEC;
	ft->config.policy = (uint8_t)policy;
	ft->n_uplinks = n;
	for (uint32_t i = 0; i < NET_MAX_UPLINKS; i++) {
		fake_mac(0xf000 + i, ft->uplinks[i].mac);
		memcpy(ft->uplinks[i].ifname, "eth", 3);
		ft->uplinks[i].ifname[3] = (char)('0' + i);
	}
}

void fake_team_start(struct fake_team *ft)
{
	static const uint64_t seed[2] = {0x0123456789abcdef, 0xfedcba9876543210};

	ft->guest_up = ft->config.guest_link_up;
	if (team_new(&ft->config, ft->uplinks, ft->n_uplinks, seed, &ops, ft, &ft->team) < 0)
		abort();
}

void fake_team_done(struct fake_team *ft)
{
	ft->team = team_free(ft->team);
}

void fake_team_up(struct fake_team *ft, enum net_team_policy policy, unsigned n)
{
	fake_team_init(ft, policy, n);
	fake_team_start(ft);
	for (unsigned i = 0; i < n; i++)
		fake_team_link(ft, i, true);
	fake_team_run_ms(ft, 10000);
	fake_team_clear(ft);
}

static void run_until(struct fake_team *ft, uint64_t end)
{
	for (;;) {
		uint64_t next = team_poll(ft->team, ft->now_ns);

		if (next != team_deadline(ft->team) || next <= ft->now_ns)
			abort(); /* it would be polled for ever */
		if (next > end)
			break;
		ft->now_ns = next;
	}
	ft->now_ns = end;
	team_poll(ft->team, end);
}

static void read_pdus(struct fake_team *ft)
{
	unsigned n = ft->n_pdus;

	/* What is answered is the other's to read. */
	ft->n_pdus = 0;
	for (unsigned i = 0; i < n; i++)
		(void)team_input(ft->team, ft->pdus[i].member, &ft->pdus[i].f, ft->now_ns);
}

void fake_team_follow(struct fake_team *ft)
{
	struct fake_team *partner = ft->partner;

	if (team_deadline(ft->team) <= ft->now_ns)
		(void)team_poll(ft->team, ft->now_ns);
	if (!partner)
		return;
	run_until(partner, ft->now_ns);
	while (ft->n_pdus || partner->n_pdus) {
		read_pdus(ft);
		read_pdus(partner);
	}
}

void fake_team_add_partner(struct fake_team *ft, struct fake_team *partner)
{
	fake_team_init(partner, NET_TEAM_LACP, ft->n_uplinks);
	for (unsigned i = 0; i < ft->n_uplinks; i++)
		partner->uplinks[i].mac[3] = 1;
	partner->config.no_damping = ft->config.no_damping;
	partner->now_ns = ft->now_ns;
	partner->partner = ft;
	ft->partner = partner;
	fake_team_start(partner);
}

void fake_team_link(struct fake_team *ft, unsigned member, bool up)
{
	team_set_link(ft->team, member, up, 1000, true, TEAM_BY_POLL, ft->now_ns);
	if (!ft->partner)
		return;
	team_set_link(ft->partner->team, member, up, 1000, true, TEAM_BY_POLL, ft->now_ns);
	fake_team_follow(ft);
}

void fake_team_run_ms(struct fake_team *ft, uint64_t ms)
{
	uint64_t end = ft->now_ns + ms * NSEC_PER_MSEC;

	/* In small steps, so that an answer does not come late. */
	while (ft->partner && ft->now_ns + STEP_NS < end) {
		run_until(ft, ft->now_ns + STEP_NS);
		fake_team_follow(ft);
	}
	run_until(ft, end);
	fake_team_follow(ft);
}

void fake_team_clear(struct fake_team *ft)
{
	ft->n_sent = ft->n_reports = ft->n_guest_changes = 0;
	memset(ft->n_sent_by, 0, sizeof(ft->n_sent_by));
}

void fake_team_add_port(struct fake_team *ft, uint32_t cookie, uint16_t vid)
{
	struct fake_local *l = &ft->locals[ft->n_locals++];

	if (ft->n_locals > FAKE_TEAM_LOCALS)
		abort();
	l->cookie = cookie;
	l->vid = vid;
	fake_mac(cookie, l->mac);
	if (ft->team && team_port_added(ft->team, cookie) < 0)
		abort();
}

void fake_frame(struct frame *f, const uint8_t dst[NET_MAC_LEN], const uint8_t src[NET_MAC_LEN],
	uint16_t vid, uint16_t flow)
{
	memset(f, 0, sizeof(*f));
	f->len = f->head_len = 100;
	f->vid = vid;
	f->ethertype = 0x0800;
	f->flags = FRAME_IPV4 | FRAME_UDP;
	f->ip_proto = 17;
	f->l3 = 14;
	f->l4 = 34;
	memcpy(f->head, dst, NET_MAC_LEN);
	memcpy(f->head + NET_MAC_LEN, src, NET_MAC_LEN);
	f->head[12] = 8;
	memcpy(f->head + 26, src + 2, 4);
	memcpy(f->head + 30, dst + 2, 4);
	f->head[34] = f->head[36] = (uint8_t)(flow >> 8);
	f->head[35] = f->head[37] = (uint8_t)flow;
	if (dst[0] & 1)
		f->flags |= FRAME_MULTICAST;
	if (!memcmp(dst, fake_broadcast, NET_MAC_LEN))
		f->flags |= FRAME_BROADCAST;
}

void fake_frame_again(struct frame *f, const struct fake_sent *sent)
{
	uint8_t bytes[sizeof(sent->head)];
	struct iovec iov = {.iov_base = bytes, .iov_len = MIN(sent->len, (uint32_t)sizeof(bytes))};

	memcpy(bytes, sent->head, sizeof(bytes));
	if (frame_init(f, NULL, &iov, 1, (uint32_t)iov.iov_len, FRAME_MAX, sent->tci))
		abort();
	f->vid = sent->tci < 0 ? 0 : (uint16_t)(sent->tci & 0xfff);
}

int fake_team_send(struct fake_team *ft, uint32_t cookie, uint16_t flow)
{
	unsigned before[NET_MAX_UPLINKS];
	uint8_t src[NET_MAC_LEN], dst[NET_MAC_LEN];
	struct frame f;
	int r;

	memcpy(before, ft->n_sent_by, sizeof(before));
	fake_mac(cookie, src);
	fake_mac(0xe000, dst);
	fake_frame(&f, dst, src, 0, flow);
	for (unsigned i = 0; i < ft->n_locals; i++)
		if (ft->locals[i].cookie == cookie)
			f.vid = ft->locals[i].vid;
	r = team_transmit(ft->team, &f, f.vid ? f.vid : -1, cookie, ft->now_ns);
	/* The frame itself is the last thing sent: a move may announce something before. */
	for (int i = 0; r == 0 && i < NET_MAX_UPLINKS; i++)
		if (ft->n_sent_by[i] > before[i])
			return i;
	return r < 0 ? r : -1;
}

struct team_verdict fake_team_receive(struct fake_team *ft, unsigned member,
	const uint8_t dst[NET_MAC_LEN], const uint8_t src[NET_MAC_LEN], uint16_t vid)
{
	struct frame f;

	fake_frame(&f, dst, src, vid, 7);
	return team_input(ft->team, member, &f, ft->now_ns);
}
