/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzer of LACP: the input configures a team, moves the clock, takes links up and down, and sends frames over
 * them, bad ones and good ones. What must hold is checked after each step.
 *
 * The first byte: bits 0 … 3 active, fast, individual, fallback; 4, 5: policy; 6, 7: max_links. Then operations, a byte
 * each: the low nibble says what, bits 4 … 6 which member:
 *	0	link: down, up with one of two speeds, half-duplex (2 bits)
 *	1	time: in units of 50 ms (8 bits)
 *	2	a frame as it stands: length (8 bits), bytes
 *	3	a good LACPDU of a partner that knows us: partner (2 bits), port (8 bits), state (8 bits)
 *	4	the same, with one byte changed: where, what (8 bits each)
 *	5	the last frame that some member sent, to this one
 *	6	add, or remove if it is there: priority (8 bits), key (1 bit)
 *	7	transmit fails, or works again
 *	8	the time that the last poll asked for
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/net/lacp.h"
#include "tests/fuzz/fuzz-input.h"

#define STATE_OFFSET 32

struct world {
	struct lacp l;
	uint64_t now_ns, next_ns;
	bool fail;
	uint8_t last[LACP_FRAME_LEN];
	uint64_t lacpdu_ns[LACP_MAX_MEMBERS][LACP_MAX_TX]; /* the last ones, oldest first */
};

/* Every frame is a good one, says what the member is, and is within the limit. */
static int on_transmit(void *opaque, unsigned member, const uint8_t *frame, size_t len)
{
	static const uint8_t dst[LACP_MAC_LEN] = {0x01, 0x80, 0xc2, 0, 0, 2};
	struct world *w = opaque;
	uint64_t *times_ns = w->lacpdu_ns[member];

	expect(len == LACP_FRAME_LEN && memcmp(frame, dst, sizeof(dst)) == 0);
	expect(frame[11] == member && frame[12] == 0x88 && frame[13] == 0x09 && frame[15] == 1);
	expect(frame[14] == 1 || frame[14] == 2);
	if (frame[14] == 1) {
		expect(frame[17] == 20 && frame[37] == 20 && frame[57] == 16);
		expect(!(frame[STATE_OFFSET] & LACP_STATE_COLLECTING) ==
			!lacp_member_is_collecting(&w->l, member));
		expect(!times_ns[0] || w->now_ns - times_ns[0] >= LACP_FAST_PERIODIC_NS);
		memmove(times_ns, times_ns + 1, (LACP_MAX_TX - 1) * sizeof(*times_ns));
		times_ns[LACP_MAX_TX - 1] = w->now_ns;
	}
	memcpy(w->last, frame, len);
	return w->fail ? -ENOBUFS : 0;
}

/* Called whenever one of the two has changed, and for nothing else. */
static void on_changed(void *opaque, unsigned member)
{
	struct world *w = opaque;

	expect(member < LACP_MAX_MEMBERS && w->l.members[member].used);
}

static void on_fallback(void *opaque)
{
	struct world *w = opaque;

	expect(w->l.config.fallback != NET_LACP_FALLBACK_NONE);
}

static const struct lacp_ops ops = {
	.transmit = on_transmit, .changed = on_changed, .fallback_changed = on_fallback};

static void check_member(const struct lacp *l, unsigned i, const struct lacp_status *s)
{
	const uint8_t both = LACP_STATE_SYNCHRONIZATION | LACP_STATE_COLLECTING;

	expect(s->rx < LACP_RX_X_MAX && s->rx != LACP_RX_INITIALIZE);
	expect(s->periodic < LACP_PERIODIC_TX);
	expect(s->collecting == (s->mux >= LACP_MUX_COLLECTING));
	expect(s->distributing == (s->mux == LACP_MUX_DISTRIBUTING));
	expect(s->distributing == l->members[i].told_distributing);
	expect(s->collecting == l->members[i].told_collecting);
	expect(!s->distributing || (s->partner.state & both) == both);
	expect(!s->collecting || (s->partner.state & LACP_STATE_SYNCHRONIZATION));
	expect(s->mux < LACP_MUX_ATTACHED || s->selected == LACP_SELECTED);
	expect(s->selected == LACP_UNSELECTED || !s->loopback);
	expect(s->selected == LACP_UNSELECTED || (s->link_up && s->full_duplex));
	expect((s->rx == LACP_RX_EXPIRED) == !!(s->actor.state & LACP_STATE_EXPIRED) ||
		s->rx == LACP_RX_PORT_DISABLED);
}

/* Attached members are one group, and no more than wanted. */
static void check(struct world *w)
{
	unsigned n_attached = 0, first = 0;
	bool heard = false;

	for (unsigned i = 0; i < LACP_MAX_MEMBERS; i++) {
		const struct lacp_member *a = &w->l.members[first], *b = &w->l.members[i];
		struct lacp_status s;

		if (lacp_status(&w->l, i, &s) < 0)
			continue;
		check_member(&w->l, i, &s);
		heard |= s.heard &&
			(s.rx != LACP_RX_DEFAULTED ||
				w->l.config.fallback == NET_LACP_FALLBACK_STARTUP);
		if (s.mux < LACP_MUX_ATTACHED)
			continue;
		if (n_attached++ == 0) {
			first = i;
			continue;
		}
		expect(a->speed_mbps == b->speed_mbps && a->partner.key == b->partner.key);
		expect(a->actor.key == b->actor.key);
		expect(memcmp(a->partner.system, b->partner.system, LACP_MAC_LEN) == 0);
		expect(a->actor.state & b->actor.state & a->partner.state & b->partner.state &
			LACP_STATE_AGGREGATION);
	}
	expect(!w->l.config.max_links || n_attached <= w->l.config.max_links);
	expect(!lacp_fallback(&w->l) || !heard);
}

/* A second poll at the same time finds nothing left to do. */
static void poll_and_check(struct world *w)
{
	struct lacp before;

	w->next_ns = lacp_poll(&w->l, w->now_ns);
	expect(w->next_ns > w->now_ns);
	check(w);
	before = w->l;
	expect(lacp_poll(&w->l, w->now_ns) == w->next_ns);
	expect(memcmp(before.members, w->l.members, sizeof(before.members)) == 0);
	expect(before.has_group == w->l.has_group && before.fallback == w->l.fallback);
	expect(before.group.individual == w->l.group.individual);
	expect(before.group.system[5] == w->l.group.system[5]);
}

static void put_info(uint8_t *tlv, uint8_t type, const struct lacp_info *info)
{
	const uint8_t bytes[17] = {type, 20, (uint8_t)(info->system_priority >> 8),
		(uint8_t)info->system_priority, info->system[0], info->system[1], info->system[2],
		info->system[3], info->system[4], info->system[5], (uint8_t)(info->key >> 8),
		(uint8_t)info->key, (uint8_t)(info->port_priority >> 8),
		(uint8_t)info->port_priority, (uint8_t)(info->port >> 8), (uint8_t)info->port,
		info->state};

	memcpy(tlv, bytes, sizeof(bytes));
}

static void send_exact(struct world *w, unsigned member, const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);

	if (len)
		memcpy(exact, bytes, len);
	lacp_input(&w->l, member, exact, len, w->now_ns);
	free(exact);
}

static void send_raw(struct world *w, unsigned member, struct input *in)
{
	size_t len = take(in, 1);

	len = MIN(len, in->len);
	send_exact(w, member, in->data, len);
	in->data += len;
	in->len -= len;
}

static void send_good(struct world *w, unsigned member, struct input *in, bool change)
{
	static const uint8_t head[16] = {1, 0x80, 0xc2, 0, 0, 2, 0, 1, 2, 3, 4, 5, 0x88, 9, 1, 1};
	uint8_t frame[LACP_FRAME_LEN] = {0}, partner = (uint8_t)take(in, 1) & 3, at, value;
	struct lacp_info info = {.system_priority = (uint16_t)(partner & 1 ? 1 : 0xf000),
		.system = {0, 1, 2, 3, 4, (uint8_t)(partner >> 1)},
		.key = 1,
		.port_priority = 7};

	info.port = (uint8_t)take(in, 1);
	info.state = (uint8_t)take(in, 1);
	memcpy(frame, head, sizeof(head));
	put_info(frame + 16, 1, &info);
	put_info(frame + 36, 2, &w->l.members[member].actor);
	frame[56] = 3;
	frame[57] = 16;
	if (change) {
		at = (uint8_t)take(in, 1);
		value = (uint8_t)take(in, 1);
		frame[at % LACP_FRAME_LEN] = value;
	}
	send_exact(w, member, frame, sizeof(frame));
}

static void add_or_remove(struct world *w, unsigned member, uint8_t priority, uint8_t key)
{
	const uint8_t mac[LACP_MAC_LEN] = {2, 0, 0, 0, 0, (uint8_t)member};

	if (w->l.members[member].used) {
		lacp_member_remove(&w->l, member, w->now_ns);
		expect(!lacp_member_is_collecting(&w->l, member));
		memset(w->lacpdu_ns[member], 0, sizeof(w->lacpdu_ns[member]));
	} else {
		expect(lacp_member_add(&w->l, member, mac, priority, key & 1) == 0);
	}
}

static void step(struct world *w, struct input *in)
{
	uint8_t op = (uint8_t)take(in, 1), arg;
	unsigned member = op >> 4 & 7;

	switch (op & 15) {
	case 0:
		arg = (uint8_t)take(in, 1) & 3;
		lacp_member_link(&w->l, member, arg, arg == 2 ? 1000 : 10000, arg != 3, w->now_ns);
		break;
	case 1:
		w->now_ns += take(in, 1) * 50 * NSEC_PER_MSEC;
		break;
	case 2:
		send_raw(w, member, in);
		break;
	case 3:
	case 4:
		send_good(w, member, in, (op & 15) == 4);
		break;
	case 5:
		send_exact(w, member, w->last, sizeof(w->last));
		break;
	case 6:
		arg = (uint8_t)take(in, 1);
		add_or_remove(w, member, arg, (uint8_t)take(in, 1));
		break;
	case 7:
		w->fail = !w->fail;
		break;
	case 8:
		if (w->next_ns != UINT64_MAX)
			w->now_ns = w->next_ns;
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	struct input in = {.data = data, .len = size};
	uint8_t bits = (uint8_t)take(&in, 1);
	const struct lacp_config config = {.system_priority = 0x8000,
		.system_mac = {2, 0, 0, 0, 0, 0xff},
		.key = 1,
		.active = bits & 1,
		.fast = bits & 2,
		.individual = bits & 4,
		.fallback = bits & 8 ? bits & 1 : NET_LACP_FALLBACK_NONE,
		.select = (bits >> 4 & 3) % LACP_SELECT_X_MAX,
		.max_links = bits >> 6};

	memset(&w, 0, sizeof(w));
	w.now_ns = NSEC_PER_SEC;
	expect(lacp_init(&w.l, &config, &ops, &w) == 0);
	for (unsigned i = 0; i < 4; i++)
		add_or_remove(&w, i, 0x80, 0);
	for (unsigned steps = 0; in.len && steps < 2048; steps++) {
		step(&w, &in);
		poll_and_check(&w);
	}
	lacp_done(&w.l);
	return 0;
}
