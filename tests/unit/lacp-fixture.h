/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of LACP share: a team with a clock that stands until it is moved, against partners that say what
 * the test wants. Frames are written and read here byte by byte, not with the code under test. Lnn in names of tests are
 * the rows of the conformance list. */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net/lacp.h"

#define SEC      NSEC_PER_SEC
#define MSEC     NSEC_PER_MSEC
#define MAX_SENT 4096

/* State bytes of partners: A(ctive) T(imeout) G(aggregation) S(ync) C(ollecting) D(istributing). */
#define ATG    0x07
#define ATGS   0x0f
#define ATGSC  0x1f
#define ATGSCD 0x3f

struct sent {
	unsigned member;
	uint64_t at_ns;
	uint8_t bytes[LACP_FRAME_LEN];
};

struct peer {
	uint16_t system_priority, key, port_priority, port;
	uint8_t system[6];
	uint8_t state;
	bool talks;   /* once a second in talk() */
	bool follows; /* collects when we are in sync, and so on, as a real partner would */
};

struct fixture {
	struct lacp l;
	uint64_t now_ns, next_ns;
	struct sent sent[MAX_SENT];
	unsigned n_sent;
	unsigned n_changed[LACP_MAX_MEMBERS], n_fallback_changed;
	bool fail_transmit;
	struct peer peers[LACP_MAX_MEMBERS];
};

static const uint8_t own_system[6] = {0x02, 0x10, 0x20, 0x30, 0x40, 0x50};
static const uint8_t switch_system[6] = {0x00, 0x1b, 0x21, 0xaa, 0xbb, 0xcc};

static inline int on_transmit(void *opaque, unsigned member, const uint8_t *frame, size_t len)
{
	struct fixture *x = opaque;

	assert_int_equal(len, LACP_FRAME_LEN);
	if (x->fail_transmit)
		return -ENOBUFS;
	assert_in_range(x->n_sent, 0, MAX_SENT - 1);
	x->sent[x->n_sent].member = member;
	x->sent[x->n_sent].at_ns = x->now_ns;
	memcpy(x->sent[x->n_sent++].bytes, frame, len);
	return 0;
}

static inline void on_changed(void *opaque, unsigned member)
{
	struct fixture *x = opaque;

	x->n_changed[member]++;
}

static inline void on_fallback(void *opaque)
{
	struct fixture *x = opaque;

	x->n_fallback_changed++;
}

static const struct lacp_ops ops = {
	.transmit = on_transmit, .changed = on_changed, .fallback_changed = on_fallback};

static inline struct lacp_config default_config(void)
{
	struct lacp_config config = {
		.system_priority = 0x8000, .key = 0x0d, .active = true, .fast = true};

	memcpy(config.system_mac, own_system, 6);
	return config;
}

static inline void start(struct fixture *x, const struct lacp_config *config, unsigned n_members)
{
	uint8_t mac[6] = {0x52, 0x54, 0x00, 0x00, 0x01, 0x00};

	lacp_done(&x->l);
	memset(x, 0, sizeof(*x));
	x->now_ns = 1000 * SEC;
	assert_int_equal(lacp_init(&x->l, config, &ops, x), 0);
	for (unsigned i = 0; i < n_members; i++) {
		mac[5] = (uint8_t)i;
		assert_int_equal(lacp_member_add(&x->l, i, mac, (uint16_t)(0x80 + i), 0), 0);
		x->peers[i] = (struct peer){.system_priority = 0x1234,
			.key = 0x2712,
			.port_priority = 0xff,
			.port = (uint16_t)(0x71 + i),
			.state = ATGSCD,
			.talks = true,
			.follows = true};
		memcpy(x->peers[i].system, switch_system, 6);
	}
	x->next_ns = lacp_poll(&x->l, x->now_ns);
}

static inline void start_default(struct fixture *x, unsigned n_members)
{
	struct lacp_config config = default_config();

	start(x, &config, n_members);
}

static inline int setup(void **state)
{
	*state = calloc(1, sizeof(struct fixture));
	assert_non_null(*state);
	return 0;
}

static inline int teardown(void **state)
{
	free(*state);
	return 0;
}

static inline void poll_now(struct fixture *x)
{
	x->next_ns = lacp_poll(&x->l, x->now_ns);
	assert_true(x->next_ns > x->now_ns);
}

/* To 'ns' from now, with a wake-up at each deadline and none else. */
static inline void advance(struct fixture *x, uint64_t ns)
{
	uint64_t end_ns = x->now_ns + ns;

	poll_now(x);
	while (x->next_ns <= end_ns) {
		x->now_ns = x->next_ns;
		poll_now(x);
	}
	x->now_ns = end_ns;
}

static inline void link_is(struct fixture *x, unsigned member, bool up)
{
	lacp_member_link(&x->l, member, up, 10000, true, x->now_ns);
	poll_now(x);
}

static inline struct lacp_status status(struct fixture *x, unsigned member)
{
	struct lacp_status s;

	assert_int_equal(lacp_status(&x->l, member, &s), 0);
	return s;
}

static inline void put16(uint8_t *to, unsigned value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static inline void put_info(uint8_t *tlv, uint8_t type, const struct peer *p, uint8_t state)
{
	tlv[0] = type;
	tlv[1] = 20;
	put16(tlv + 2, p->system_priority);
	memcpy(tlv + 4, p->system, 6);
	put16(tlv + 10, p->key);
	put16(tlv + 12, p->port_priority);
	put16(tlv + 14, p->port);
	tlv[16] = state;
}

/* What the partner of 'member' would send now; it knows us as we are at this moment. */
static inline void make_pdu(struct fixture *x, unsigned member, uint8_t frame[LACP_FRAME_LEN])
{
	static const uint8_t head[16] = {
		1, 0x80, 0xc2, 0, 0, 2, 0, 0x1b, 0x21, 1, 2, 3, 0x88, 9, 1, 1};
	struct lacp_status s = status(x, member);
	struct peer *p = &x->peers[member];
	struct peer us = {.system_priority = s.actor.system_priority,
		.key = s.actor.key,
		.port_priority = s.actor.port_priority,
		.port = s.actor.port};

	memcpy(us.system, s.actor.system, 6);
	if (p->follows)
		p->state = (uint8_t)((p->state & 0x07) | 0x08 | (s.actor.state & 0x08 ? 0x10 : 0) |
			((s.actor.state & 0x18) == 0x18 ? 0x20 : 0));
	memset(frame, 0, LACP_FRAME_LEN);
	memcpy(frame, head, sizeof(head));
	put_info(frame + 16, 1, p, p->state);
	put_info(frame + 36, 2, &us, s.actor.state);
	frame[56] = 3;
	frame[57] = 16;
}

static inline void input(struct fixture *x, unsigned member, const uint8_t *frame, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1); /* ASan sees a read beyond */

	assert_non_null(exact);
	memcpy(exact, frame, len);
	lacp_input(&x->l, member, exact, len, x->now_ns);
	free(exact);
	poll_now(x);
}

static inline void say(struct fixture *x, unsigned member)
{
	uint8_t frame[LACP_FRAME_LEN];

	make_pdu(x, member, frame);
	input(x, member, frame, sizeof(frame));
}

static inline void say_state(struct fixture *x, unsigned member, uint8_t state)
{
	x->peers[member].follows = false;
	x->peers[member].state = state;
	say(x, member);
}

/* Time goes by, and partners that talk do so once a second, first of all now. */
static inline void talk(struct fixture *x, unsigned seconds)
{
	for (unsigned s = 0; s <= seconds; s++) {
		for (unsigned i = 0; i < LACP_MAX_MEMBERS; i++)
			if (x->l.members[i].used && x->l.members[i].link_up && x->peers[i].talks)
				say(x, i);
		if (s < seconds)
			advance(x, SEC);
	}
}

static inline void bring_up(struct fixture *x, unsigned n_members)
{
	for (unsigned i = 0; i < n_members; i++)
		link_is(x, i, true);
	talk(x, 4);
	for (unsigned i = 0; i < n_members; i++) {
		assert_true(lacp_member_is_collecting(&x->l, i));
		assert_true(lacp_member_is_distributing(&x->l, i));
	}
}

/* Bit i of 'set': member i. */
static inline void assert_distributing(struct fixture *x, unsigned set)
{
	for (unsigned i = 0; i < LACP_MAX_MEMBERS; i++)
		assert_int_equal(lacp_member_is_distributing(&x->l, i), set >> i & 1);
}

static inline const uint8_t *last_frame(struct fixture *x, unsigned member)
{
	for (unsigned i = x->n_sent; i-- > 0;)
		if (x->sent[i].member == member)
			return x->sent[i].bytes;
	fail_msg("nothing was sent on %u", member);
	return NULL;
}

static inline void assert_frame(const uint8_t *frame, const char *hex)
{
	for (unsigned i = 0; i < LACP_FRAME_LEN; i++) {
		unsigned byte;

		while (*hex == ' ')
			hex++;
		byte = *hex ? (unsigned)strtoul((char[]){hex[0], hex[1], 0}, NULL, 16) : 0;
		hex += *hex ? 2 : 0;
		if (frame[i] != byte)
			fail_msg("byte %u is %02x, not %02x", i, frame[i], byte);
	}
	assert_int_equal(*hex, 0);
}

#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
