/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Software offloads: sums against a reference, segments that make the whole again, and a body that changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "devices/net/offload.h"
#include "tests/unit/frame-fixture.h"

static struct packet packet;
static struct packet_iov vec;
static struct frame frame;
static struct offload_scratch scratch;

/* What came out, and where the payload goes. */
static struct {
	unsigned n, stop_at;
	uint32_t n_payload;
	uint8_t payload[FRAME_MAX];
	uint32_t len;
	uint8_t bytes[FRAME_MAX];
} out;

static int collect(void *opaque, const struct frame *f)
{
	(void)opaque;
	if (out.stop_at && out.n + 1 == out.stop_at)
		return -EAGAIN;
	out.n++;
	out.len = (uint32_t)frame_copy(f, 0, out.bytes, sizeof(out.bytes));
	assert_int_equal(out.len, f->len);
	assert_int_equal(f->hdr.flags | f->hdr.gso_type, 0);
	assert_memory_equal(out.bytes, f->head, f->head_len);
	return 0;
}

/* The checksum of the whole packet in out.bytes is right, by the reference. */
static void check_sum(uint32_t l3, uint32_t l4, uint8_t proto)
{
	uint32_t len = out.len - l4;

	if (out.bytes[l3] >> 4 == 4)
		assert_int_equal(reference_sum(out.bytes + l3, 20, 0), 0xffff);
	assert_int_equal(
		reference_sum(out.bytes + l4, len, reference_pseudo(out.bytes + l3, proto, len)),
		0xffff);
}

static void fixup(void)
{
	out.n = out.n_payload = 0;
	assert_int_equal(offload_fixup(&frame, &scratch, collect, NULL), 0);
}

/* O01: all lengths, at each parity of the start, cut at odd places. */
static void test_sum(void **state)
{
	static uint8_t bytes[1600];

	(void)state;
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 ^ i >> 3 ^ (i % 7 ? 0xff : 0));
	for (unsigned start = 0; start < 9; start++)
		for (unsigned len = 0; len <= 1500; len++)
			assert_int_equal(offload_sum(bytes + start, len, 0xfffff000 + len),
				reference_sum(bytes + start, len, 0xf000 + len));
	/* Many carries. */
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(offload_sum(bytes, sizeof(bytes), 1), 1);
	assert_int_equal(offload_sum(bytes, sizeof(bytes), 0), 0xffff);
	assert_int_equal(offload_sum(bytes, 0, 0), 0);
}

static void test_complete(void **state)
{
	(void)state;
	for (unsigned len = 0; len <= 1472; len++) {
		struct net_hdr hdr = {NET_HDR_F_NEEDS_CSUM, 0, 0, 0, 34, 6, 0};

		packet_eth(&packet, MAC_B, MAC_A, 0x0800);
		packet_ipv4(&packet, IP4_A, IP4_B, PROTO_UDP);
		packet_udp(&packet, 1000, 2000);
		packet_fill(&packet, len);
		packet_end(&packet);
		frame_put_be16(
			packet.bytes + 40, reference_pseudo(packet.bytes + 14, PROTO_UDP, len + 8));
		packet_iov_init(&vec, &packet, 13 + len % 90);
		assert_int_equal(frame_init(&frame, &hdr, vec.iov, vec.n, packet.len, 1514, -1), 0);
		fixup();
		assert_int_equal(out.n, 1);
		assert_int_equal(out.len, packet.len);
		check_sum(14, 34, PROTO_UDP);
		memcpy(packet.bytes + 40, out.bytes + 40, 2);
		assert_memory_equal(out.bytes, packet.bytes, packet.len);
		packet_iov_done(&vec);
	}
}

/* Anywhere behind the headers, in head and body and across the border, at odd starts. */
static void test_complete_anywhere(void **state)
{
	static const uint16_t rows[][2] = {{42, 0}, {43, 7}, {101, 3}, {150, 41}, {150, 40},
		{191, 0}, {192, 1}, {201, 33}, {600, 98}, {698, 0}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct net_hdr hdr = {NET_HDR_F_NEEDS_CSUM, 0, 0, 0, rows[i][0], rows[i][1], 0};
		uint32_t at = rows[i][0] + rows[i][1];
		uint16_t sum;

		packet_eth(&packet, MAC_B, MAC_A, 0x0800);
		packet_ipv4(&packet, IP4_A, IP4_B, PROTO_UDP);
		packet_udp(&packet, 1000, 4789);
		packet_fill(&packet, 700 - packet.len);
		packet_end(&packet);
		assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), 0);
		fixup();
		sum = (uint16_t)~reference_sum(packet.bytes + rows[i][0], 700U - rows[i][0], 0);
		frame_put_be16(packet.bytes + at, sum ? sum : 0xffff);
		assert_int_equal(out.len, 700);
		assert_memory_equal(out.bytes, packet.bytes, 700);
		packet_iov_done(&vec);
	}
}

/* A sum of 0 is sent as ffff. */
static void test_zero(void **state)
{
	struct net_hdr hdr = {NET_HDR_F_NEEDS_CSUM, 0, 0, 0, 34, 6, 0};

	(void)state;
	packet_eth(&packet, MAC_B, MAC_A, 0x0800);
	packet_ipv4(&packet, IP4_A, IP4_B, PROTO_UDP);
	packet_udp(&packet, 0, 0);
	packet_add(&packet, "\xff\xf5", 2); /* and the length, 10 */
	packet_end(&packet);
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), 0);
	fixup();
	assert_int_equal(frame_be16(out.bytes + 40), 0xffff);
	packet_iov_done(&vec);
}

static void make(bool six, uint8_t proto, uint8_t tcp_flags, uint32_t payload)
{
	packet_eth(&packet, MAC_B, MAC_A, six ? 0x86dd : 0x0800);
	if (six)
		packet_ipv6(&packet, IP6_A, IP6_B, proto);
	else
		packet_ipv4(&packet, IP4_A, IP4_B, proto);
	if (proto == PROTO_TCP)
		packet_tcp(&packet, tcp_flags);
	else
		packet_udp(&packet, 1000, 2000);
	packet_fill(&packet, payload);
	packet_end(&packet);
}

/* O02, O03: each segment, as it comes. */
static int check_tcp(void *opaque, const struct frame *f)
{
	const struct net_hdr *hdr = opaque;
	uint32_t payload, hdr_len = packet.l4 + 32, total = packet.len - hdr_len;
	const uint8_t *tcp = out.bytes + packet.l4;
	uint8_t flags = packet.bytes[packet.l4 + 13];
	bool first = !out.n_payload, last;

	assert_int_equal(collect(NULL, f), 0);
	payload = out.len - hdr_len;
	last = out.n_payload + payload == total;
	assert_int_equal(payload, last ? total - out.n_payload : hdr->gso_size);
	assert_memory_equal(out.bytes, packet.bytes, packet.l3);
	check_sum(packet.l3, packet.l4, PROTO_TCP);
	assert_int_equal(
		frame_be32(tcp + 4), frame_be32(packet.bytes + packet.l4 + 4) + out.n_payload);
	assert_memory_equal(tcp, packet.bytes + packet.l4, 4);
	assert_memory_equal(tcp + 8, packet.bytes + packet.l4 + 8, 5);
	assert_memory_equal(tcp + 14, packet.bytes + packet.l4 + 14, 2);
	assert_memory_equal(tcp + 18, packet.bytes + packet.l4 + 18, 14);
	if (!last)
		flags &= 0xf6;
	if (!first && hdr->gso_type & NET_HDR_GSO_ECN)
		flags &= 0x7f;
	assert_int_equal(tcp[13], flags);
	if (f->flags & FRAME_IPV4) {
		assert_int_equal(frame_be16(out.bytes + packet.l3 + 2), out.len - packet.l3);
		assert_int_equal(
			frame_be16(out.bytes + packet.l3 + 4), (0x1234 + out.n - 1) & 0xffff);
		assert_memory_equal(out.bytes + packet.l3 + 6, packet.bytes + packet.l3 + 6, 4);
		assert_memory_equal(out.bytes + packet.l3 + 12, packet.bytes + packet.l3 + 12, 8);
	} else {
		assert_int_equal(frame_be16(out.bytes + packet.l3 + 4), out.len - packet.l3 - 40);
		assert_memory_equal(out.bytes + packet.l3 + 6, packet.bytes + packet.l3 + 6, 34);
	}
	memcpy(out.payload + out.n_payload, out.bytes + hdr_len, payload);
	out.n_payload += payload;
	return 0;
}

static void test_tcp(void **state)
{
	static const struct {
		uint32_t payload;
		uint16_t size;
	} rows[] = {{2, 1}, {1449, 1448}, {2896, 1448}, {2897, 1448}, {65000, 1448}, {65000, 8948},
		{1024, 1}, {65000, 64}, {777, 97}};
	static const uint8_t kinds[] = {NET_HDR_GSO_TCPV4, NET_HDR_GSO_TCPV4 | NET_HDR_GSO_ECN,
		NET_HDR_GSO_TCPV6, NET_HDR_GSO_TCPV6 | NET_HDR_GSO_ECN};
	static const uint8_t flags[] = {0x10, 0x19, 0x98, 0xd9};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows) * ARRAY_SIZE(kinds) * ARRAY_SIZE(flags); i++) {
		unsigned row = i / 16;
		uint8_t kind = kinds[i / 4 % 4];
		bool six = (kind & 0x7f) == NET_HDR_GSO_TCPV6;
		struct net_hdr hdr = {
			NET_HDR_F_NEEDS_CSUM, kind, 0, rows[row].size, six ? 54 : 34, 16, 0};

		make(six, PROTO_TCP, flags[i % 4], rows[row].payload);
		packet_iov_init(&vec, &packet, 4099);
		assert_int_equal(
			frame_init(&frame, &hdr, vec.iov, vec.n, packet.len, FRAME_MAX, -1), 0);
		out.n = out.n_payload = 0;
		assert_int_equal(offload_fixup(&frame, &scratch, check_tcp, &hdr), 0);
		assert_int_equal(out.n, DIV_ROUND_UP(rows[row].payload, rows[row].size));
		assert_int_equal(out.n_payload, rows[row].payload);
		assert_memory_equal(out.payload, packet.bytes + packet.l4 + 32, out.n_payload);
		packet_iov_done(&vec);
	}
}

/* Behind extension headers the sender's own sum counts: here that of a packet routed by way of IP6_B. */
static void test_tcp_routed(void **state)
{
	struct net_hdr hdr = {NET_HDR_F_NEEDS_CSUM, NET_HDR_GSO_TCPV6, 0, 1000, 78, 16, 0};
	uint32_t sum = PROTO_TCP + 2532;

	(void)state;
	packet_eth(&packet, MAC_B, MAC_A, 0x86dd);
	packet_ipv6(&packet, IP6_A, IP6_B, 43);
	packet_add(&packet, "\6\2\2\1\0\0\0\0" IP6_LL_X, 24);
	packet_tcp(&packet, 0x10);
	packet_fill(&packet, 2500);
	packet_end(&packet);
	sum = reference_sum((const uint8_t *)IP6_A, 16, sum);
	frame_put_be16(packet.bytes + 78 + 16, reference_sum((const uint8_t *)IP6_LL_X, 16, sum));
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), 0);
	fixup();
	assert_int_equal(out.n, 3);
	assert_int_equal(out.len, 78 + 32 + 500);
	sum = reference_sum((const uint8_t *)IP6_A, 16, PROTO_TCP + 532);
	sum = reference_sum((const uint8_t *)IP6_LL_X, 16, sum);
	assert_int_equal(reference_sum(out.bytes + 78, 532, sum), 0xffff);
	packet_iov_done(&vec);
}

static int check_datagram(void *opaque, const struct frame *f)
{
	const struct net_hdr *hdr = opaque;
	uint32_t payload, hdr_len = packet.l4 + 8, total = packet.len - hdr_len;

	assert_int_equal(collect(NULL, f), 0);
	payload = out.len - hdr_len;
	assert_int_equal(payload, MIN(total - out.n_payload, hdr->gso_size));
	check_sum(packet.l3, packet.l4, PROTO_UDP);
	assert_memory_equal(out.bytes + packet.l4, packet.bytes + packet.l4, 4);
	assert_int_equal(frame_be16(out.bytes + packet.l4 + 4), payload + 8);
	assert_int_not_equal(frame_be16(out.bytes + packet.l4 + 6), 0);
	memcpy(out.payload + out.n_payload, out.bytes + hdr_len, payload);
	out.n_payload += payload;
	return 0;
}

static int check_fragment(void *opaque, const struct frame *f)
{
	const struct net_hdr *hdr = opaque;
	bool six = f->flags & FRAME_IPV6;
	uint32_t payload, hdr_len = packet.l4 + (six ? 8 : 0), total = packet.len - packet.l4;
	const uint8_t *ip = out.bytes + packet.l3;
	uint16_t where;

	assert_int_equal(collect(NULL, f), 0);
	payload = out.len - hdr_len;
	assert_int_equal(
		payload, MIN(total - out.n_payload, (uint32_t)ALIGN_DOWN(hdr->gso_size, 8)));
	where = frame_be16(six ? ip + 42 : ip + 6);
	if (six) {
		assert_int_equal(ip[6], 44);
		assert_int_equal(ip[40], PROTO_UDP);
		assert_int_equal(frame_be32(ip + 44), 0xfffffffe);
		assert_int_equal(where & 0xfff8, out.n_payload);
		assert_int_equal(where & 7, out.n_payload + payload < total);
		assert_int_equal(frame_be16(ip + 4), payload + 8);
	} else {
		assert_int_equal(frame_be16(ip + 4), 0x1234);
		assert_int_equal((where & 0x1fff) * 8, out.n_payload);
		assert_int_equal(where >> 13, out.n_payload + payload < total);
		assert_int_equal(frame_be16(ip + 2), payload + 20);
		assert_int_equal(reference_sum(ip, 20, 0), 0xffff);
	}
	assert_int_equal(f->flags & (FRAME_UDP | FRAME_FRAGMENT), FRAME_FRAGMENT);
	assert_int_equal(!!(f->flags & FRAME_LATER), out.n_payload > 0);
	memcpy(out.payload + out.n_payload, out.bytes + hdr_len, payload);
	out.n_payload += payload;
	return 0;
}

static void test_udp(void **state)
{
	static const struct {
		uint32_t payload;
		uint16_t size;
	} rows[] = {
		{33, 32}, {3000, 1472}, {3001, 1472}, {64000, 1400}, {64000, 1404}, {64000, 63}};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows) * 4; i++) {
		bool six = i & 1, ufo = i & 2;
		struct net_hdr hdr = {NET_HDR_F_NEEDS_CSUM,
			ufo ? NET_HDR_GSO_UDP : NET_HDR_GSO_UDP_L4, 0, rows[i / 4].size,
			six ? 54 : 34, 6, 0};

		make(six, PROTO_UDP, 0, rows[i / 4].payload);
		packet_iov_init(&vec, &packet, 4099);
		if (ufo && hdr.gso_size == 63) {
			assert_int_equal(
				frame_init(&frame, &hdr, vec.iov, vec.n, packet.len, FRAME_MAX, -1),
				NET_DROP_MALFORMED);
			packet_iov_done(&vec);
			continue;
		}
		assert_int_equal(
			frame_init(&frame, &hdr, vec.iov, vec.n, packet.len, FRAME_MAX, -1), 0);
		out.n = out.n_payload = 0;
		scratch.next_id = 0xfffffffe;
		assert_int_equal(offload_fixup(&frame, &scratch,
					 ufo ? check_fragment : check_datagram, &hdr),
			0);
		if (ufo) {
			assert_int_equal(scratch.next_id, six ? 0xffffffff : 0xfffffffe);
			assert_int_equal(out.n_payload, packet.len - packet.l4);
			assert_memory_equal(out.payload, packet.bytes + packet.l4, 6);
			assert_memory_equal(
				out.payload + 8, packet.bytes + packet.l4 + 8, out.n_payload - 8);
			assert_int_equal(reference_sum(out.payload, out.n_payload,
						 reference_pseudo(packet.bytes + packet.l3,
							 PROTO_UDP, out.n_payload)),
				0xffff);
		} else {
			assert_int_equal(out.n_payload, rows[i / 4].payload);
			assert_memory_equal(
				out.payload, packet.bytes + packet.l4 + 8, out.n_payload);
		}
		packet_iov_done(&vec);
	}
}

/* A receiver that takes nothing that is to be cut, or nothing at all. */
static struct {
	unsigned n_whole, n_cut;
	int cut_answer, whole_answer;
	int32_t tci;
} receiver;

static int receive(void *port, const struct frame *f, int32_t tci)
{
	assert_ptr_equal(port, &receiver);
	receiver.tci = tci;
	if (f->hdr.gso_type) {
		receiver.n_whole++;
		return receiver.whole_answer;
	}
	receiver.n_cut++;
	return receiver.cut_answer;
}

static void send_to(int whole_answer, int cut_answer, int expect, unsigned n_cut)
{
	memset(&receiver, 0, sizeof(receiver));
	receiver.whole_answer = whole_answer;
	receiver.cut_answer = cut_answer;
	assert_int_equal(offload_send(&frame, 42, &scratch, receive, &receiver), expect);
	assert_int_equal(receiver.n_whole, 1);
	assert_int_equal(receiver.n_cut, n_cut);
	assert_int_equal(receiver.tci, 42);
}

static void test_send(void **state)
{
	struct net_hdr hdr = {NET_HDR_F_NEEDS_CSUM, NET_HDR_GSO_UDP_L4, 0, 1000, 34, 6, 0};

	(void)state;
	make(false, PROTO_UDP, 0, 3500);
	packet_iov_init(&vec, &packet, 4099);
	assert_int_equal(frame_init(&frame, &hdr, vec.iov, vec.n, packet.len, FRAME_MAX, -1), 0);
	send_to(0, 0, 0, 0);
	send_to(-EINVAL, 0, 0, 4);
	/* No room is no refusal; and what then happens to a segment is what is said. */
	send_to(-ENOBUFS, 0, -ENOBUFS, 0);
	send_to(-EINVAL, -ENOBUFS, -ENOBUFS, 1);
	packet_iov_done(&vec);
	/* Of what is not to be cut there is nothing else to send. */
	make(false, PROTO_UDP, 0, 100);
	assert_int_equal(packet_frame(&packet, NULL, &vec, &frame), 0);
	memset(&receiver, 0, sizeof(receiver));
	receiver.cut_answer = -EINVAL;
	assert_int_equal(offload_send(&frame, -1, &scratch, receive, &receiver), -EINVAL);
	assert_int_equal(receiver.n_cut, 1);
	packet_iov_done(&vec);
}

/* O06: what a receiver takes. */
static void test_needs(void **state)
{
	static const struct {
		uint8_t flags, gso;
		uint32_t takes;
		bool needs;
	} rows[] = {
		{0, 0, 0, false},
		{NET_HDR_F_DATA_VALID, 0, 0, false},
		{NET_HDR_F_NEEDS_CSUM, 0, 0, true},
		{NET_HDR_F_NEEDS_CSUM, 0, 1, false},
		{NET_HDR_F_NEEDS_CSUM, 1, 1, true},
		{NET_HDR_F_NEEDS_CSUM, 1, 3, false},
		{NET_HDR_F_NEEDS_CSUM, 1, 2, true},
		{NET_HDR_F_NEEDS_CSUM, 1 | 0x80, 3, true},
		{NET_HDR_F_NEEDS_CSUM, 1 | 0x80, 0x83, false},
		{NET_HDR_F_NEEDS_CSUM, 4, 0x83, true},
		{NET_HDR_F_NEEDS_CSUM, 4, 1 | 1 << 4, false},
		{NET_HDR_F_NEEDS_CSUM, 3, 1 | 1 << 3, false},
		{NET_HDR_F_NEEDS_CSUM, 5, 1 | 1 << 3, true},
		{NET_HDR_F_NEEDS_CSUM, 5, 1 | 1 << 5, false},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		frame.hdr = (struct net_hdr){.flags = rows[i].flags, .gso_type = rows[i].gso};
		assert_int_equal(offload_needs_fixup(&frame, rows[i].takes), rows[i].needs);
	}
}

/* O04: an answer of DHCP with a partial checksum, as dnsmasq's kernel makes it. */
static void test_dhcp(void **state)
{
	struct net_hdr hdr = {NET_HDR_F_NEEDS_CSUM, 0, 0, 0, 34, 6, 0};

	(void)state;
	packet_dhcp(&packet, 5, IP4_A, 60);
	frame_put_be16(
		packet.bytes + 40, reference_pseudo(packet.bytes + 14, PROTO_UDP, packet.len - 34));
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), 0);
	assert_true(offload_needs_fixup(&frame, 0));
	fixup();
	check_sum(14, 34, PROTO_UDP);
	packet_iov_done(&vec);
}

/* The receiver's refusal ends it. */
static void test_refused(void **state)
{
	struct net_hdr hdr = {NET_HDR_F_NEEDS_CSUM, 1, 0, 1000, 34, 16, 0};

	(void)state;
	make(false, PROTO_TCP, 0x10, 5000);
	assert_int_equal(packet_frame(&packet, &hdr, &vec, &frame), 0);
	for (out.stop_at = 1; out.stop_at <= 5; out.stop_at++) {
		out.n = 0;
		assert_int_equal(offload_fixup(&frame, &scratch, collect, NULL), -EAGAIN);
		assert_int_equal(out.n, out.stop_at - 1);
	}
	out.stop_at = 0;
	packet_iov_done(&vec);
}

/* The sender rewrites all of its memory between segments: they go on as they were read. */
static int rewrite(void *opaque, const struct frame *f)
{
	for (unsigned i = 0; i < vec.n; i++)
		memset(vec.iov[i].iov_base, 0xee, vec.iov[i].iov_len);
	return check_tcp(opaque, f);
}

static void test_hostile_body(void **state)
{
	struct net_hdr hdr = {NET_HDR_F_NEEDS_CSUM, 1, 0, 1000, 34, 16, 0};

	(void)state;
	make(false, PROTO_TCP, 0x19, 5000);
	packet_iov_init(&vec, &packet, 50);
	assert_int_equal(frame_init(&frame, &hdr, vec.iov, vec.n, packet.len, FRAME_MAX, -1), 0);
	out.n = out.n_payload = 0;
	assert_int_equal(offload_fixup(&frame, &scratch, rewrite, &hdr), 0);
	assert_int_equal(out.n_payload, 5000);
	assert_memory_equal(out.payload, packet.bytes + 66, 5000);
	packet_iov_done(&vec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sum),
		cmocka_unit_test(test_complete),
		cmocka_unit_test(test_complete_anywhere),
		cmocka_unit_test(test_zero),
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_tcp_routed),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_needs),
		cmocka_unit_test(test_dhcp),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_hostile_body),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
