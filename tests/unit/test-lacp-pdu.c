/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LACP: frames to the byte, good ones and bad ones, and the marker responder. */
#include "tests/unit/lacp-fixture.h"

/* Trailing zeroes are left out. */
static void test_golden_bytes(void **state)
{
	struct fixture *x = *state;

	start_default(x, 2);
	link_is(x, 1, true);
	assert_int_equal(x->n_sent, 1);
	assert_frame(x->sent[0].bytes,
		"0180c2000002 525400000101 8809 01 01"
		"01 14 8000 021020304050 000d 0081 0002 c7 000000"
		"02 14 0000 000000000000 0000 0000 0000 02 000000"
		"03 10");
	link_is(x, 1, false);
	bring_up(x, 2);
	advance(x, SEC);
	assert_frame(last_frame(x, 1),
		"0180c2000002 525400000101 8809 01 01"
		"01 14 8000 021020304050 000d 0081 0002 3f 000000"
		"02 14 1234 001b21aabbcc 2712 00ff 0072 3f 000000"
		"03 10");
	assert_int_equal(x->sent[x->n_sent - 1].at_ns, x->now_ns);
}

static void make_marker(uint8_t frame[LACP_FRAME_LEN], uint8_t type)
{
	static const uint8_t head[34] = {1, 0x80, 0xc2, 0, 0, 2, 0, 0x1b, 0x21, 1, 2, 3, 0x88, 9, 2,
		1, 1, 16, 0x12, 0x34, 0, 0x1b, 0x21, 0xaa, 0xbb, 0xcc, 0xde, 0xad, 0xbe, 0xef, 0x55,
		0x55};

	memset(frame, 0, LACP_FRAME_LEN);
	memcpy(frame, head, sizeof(head));
	frame[16] = type;
}

/* L10 */
static void test_L10_marker(void **state)
{
	struct fixture *x = *state;
	uint8_t frame[LACP_FRAME_LEN];
	struct lacp_counters c;

	start_default(x, 1);
	make_marker(frame, 1);
	input(x, 0, frame, sizeof(frame)); /* no link, no answer */
	assert_int_equal(x->n_sent, 0);
	link_is(x, 0, true);
	x->n_sent = 0;
	input(x, 0, frame, sizeof(frame));
	assert_int_equal(x->n_sent, 1);
	assert_frame(x->sent[0].bytes,
		"0180c2000002 525400000100 8809 02 01"
		"02 10 1234 001b21aabbcc deadbeef 0000 00 00");
	for (unsigned i = 0; i < 20; i++)
		input(x, 0, frame, sizeof(frame));
	assert_int_equal(x->n_sent, 5);
	c = status(x, 0).counters;
	assert_int_equal(c.rx_marker, 22);
	assert_int_equal(c.tx_marker_response, 5);
	assert_int_equal(c.marker_limited, 16);
	x->now_ns += SEC - 1;
	input(x, 0, frame, sizeof(frame));
	assert_int_equal(status(x, 0).counters.tx_marker_response, 5);
	x->now_ns += 1;
	input(x, 0, frame, sizeof(frame));
	c = status(x, 0).counters;
	assert_int_equal(c.tx_marker_response, 6);

	make_marker(frame, 2);
	input(x, 0, frame, sizeof(frame));
	make_marker(frame, 3);
	input(x, 0, frame, sizeof(frame));
	make_marker(frame, 1);
	frame[17] = 15;
	input(x, 0, frame, sizeof(frame));
	c = status(x, 0).counters;
	assert_int_equal(c.rx_marker_response, 1);
	assert_int_equal(c.rx_illegal, 2);
	assert_int_equal(c.tx_marker_response, 6);
}

/* L11: each row changes one byte of a good frame, or its length. */
static void test_L11_malformed(void **state)
{
	static const struct {
		unsigned at;
		uint8_t value;
		size_t len;
		enum { GOOD, UNKNOWN, ILLEGAL } verdict;
	} rows[] = {
		{0, 1, 124, GOOD},
		{15, 0, 124, GOOD}, /* version: not looked at */
		{15, 2, 124, GOOD},
		{15, 255, 200, GOOD}, /* longer */
		{16, 9, 124, GOOD},   /* types: not looked at */
		{36, 0, 124, GOOD},
		{56, 77, 124, GOOD},
		{33, 0xff, 124, GOOD}, /* reserved */
		{72, 4, 130, GOOD},    /* version 2 has more TLVs here */
		{14, 0, 124, ILLEGAL}, /* subtypes */
		{14, 3, 124, UNKNOWN},
		{14, 10, 124, UNKNOWN},
		{14, 11, 124, ILLEGAL},
		{14, 255, 124, ILLEGAL},
		{17, 19, 124, ILLEGAL}, /* lengths */
		{17, 0, 124, ILLEGAL},
		{37, 21, 124, ILLEGAL},
		{57, 15, 124, ILLEGAL},
		{57, 255, 124, ILLEGAL},
		{0, 1, 123, ILLEGAL}, /* short */
		{0, 1, 60, ILLEGAL},
		{0, 1, 15, ILLEGAL},
		{0, 1, 14, ILLEGAL},
		{0, 1, 1, ILLEGAL},
		{0, 1, 0, ILLEGAL},
		{12, 0x08, 124, UNKNOWN}, /* not for us */
		{13, 0x0a, 124, UNKNOWN},
		{0, 0xff, 124, UNKNOWN},
		{5, 0x0e, 124, UNKNOWN},
	};
	struct fixture *x = *state;
	uint8_t frame[256];

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct lacp_counters c;

		start_default(x, 1);
		link_is(x, 0, true);
		memset(frame, 0x5a, sizeof(frame));
		make_pdu(x, 0, frame);
		frame[rows[i].at] = rows[i].value;
		input(x, 0, frame, rows[i].len);
		c = status(x, 0).counters;
		assert_int_equal(c.rx_lacpdu, rows[i].verdict == GOOD);
		assert_int_equal(c.rx_unknown, rows[i].verdict == UNKNOWN);
		assert_int_equal(c.rx_illegal, rows[i].verdict == ILLEGAL);
		assert_int_equal(status(x, 0).rx,
			rows[i].verdict == GOOD ? LACP_RX_CURRENT : LACP_RX_EXPIRED);
		assert_int_equal(status(x, 0).partner.key, rows[i].verdict == GOOD ? 0x2712 : 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(test_golden_bytes),
		ROW(test_L10_marker),
		ROW(test_L11_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
