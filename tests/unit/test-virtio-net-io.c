/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames of virtio-net: both directions in every layout, several queues, what a hostile driver gets. */
#include "tests/unit/virtio-net-fixture.h"

/* TCP of IPv4 to be cut: 54 bytes of headers, 1400 of data each. */
static const struct net_hdr tso = {.flags = 1,
	.gso_type = 1,
	.hdr_len = 54,
	.gso_size = 1400,
	.csum_start = 34,
	.csum_offset = 16};

static void check_sent(struct fixture *fx, unsigned i, const void *frame, uint32_t len)
{
	assert_true(i < fx->nic->n_sent);
	assert_int_equal(fx->nic->sent[i].len, len);
	assert_memory_equal(fx->nic->sent[i].data, frame, len);
}

/* Header and frame cut anywhere, in one descriptor or many, direct and indirect. */
static void test_tx_layouts(void **state)
{
	static const uint32_t cuts[][8] = {
		{HDR + 700},
		{HDR, 700},
		{1, 1, 9, 1, 700},
		{HDR + 14, 1, 20, 665},
		{5, 7 + 6, 694},
		{HDR + 192, 508},
		{HDR + 191, 2, 507},
	};
	struct fixture fx;
	uint8_t frame[700];

	(void)state;
	start(&fx, &(struct vm_nic){0}, NO_EVENTS);
	make_tcp(frame, sizeof(frame), peer_mac, own_mac, 1, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(cuts) * 2; i++) {
		struct fake_part parts[8];
		uint64_t at = fake_driver_alloc(&fx.d, HDR + 700), pos = at;
		uint32_t id, len;
		unsigned n = 0;

		memset(host(&fx, at), 0, HDR);
		memcpy(host(&fx, at + HDR), frame, 700);
		for (; n < 8 && cuts[i / 2][n]; n++) {
			parts[n] = (struct fake_part){pos, cuts[i / 2][n], false};
			pos += cuts[i / 2][n];
		}
		assert_int_equal(pos, at + HDR + 700);
		if (i % 2)
			(void)fake_ring_add_indirect(
				&fx.d.rings[1], fake_driver_alloc(&fx.d, 16 * n), parts, n);
		else
			(void)fake_driver_add(&fx.d, 1, parts, n);
		kick(&fx, 1);
		check_sent(&fx, i, frame, 700);
		assert_true(fake_driver_used(&fx.d, 1, &id, &len));
		assert_int_equal(len, 0);
		assert_int_equal(fake_driver_interrupts(&fx.d, 2), 1);
	}
	destroy(&fx);
}

/* A batch: all of it, one flush, one interrupt. */
static void test_tx_batch(void **state)
{
	struct fixture fx;
	uint8_t frame[100];

	(void)state;
	start(&fx, &(struct vm_nic){0}, NO_EVENTS);
	fx.nic->n_flushes = 0;
	for (unsigned i = 0; i < 50; i++) {
		make_tcp(frame, sizeof(frame), peer_mac, own_mac, (uint16_t)i, 2);
		offer(&fx, 0, NULL, frame, sizeof(frame));
	}
	kick(&fx, 1);
	assert_int_equal(fx.nic->n_sent, 50);
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(fx.nic->sent[i].data[35], i);
	assert_int_equal(fx.nic->n_flushes, 1);
	assert_int_equal(count_used(&fx, 1), 50);
	assert_int_equal(fake_driver_interrupts(&fx.d, 2), 1);
	destroy(&fx);
}

/* A driver that offers more than a turn's worth gets it done in several. */
static void test_tx_budget(void **state)
{
	struct fixture fx;
	uint8_t *frame = calloc(1, 65000);

	(void)state;
	start(&fx, &(struct vm_nic){0}, ALL);
	make_tcp(frame, 65000, peer_mac, own_mac, 1, 2);
	for (unsigned i = 0; i < 50; i++)
		offer(&fx, 0, &tso, frame, 65000);
	fx.nic->n_flushes = 0;
	fake_bus_write(fx.f, BUS_MMIO, fx.d.notify + fx.d.notify_multiplier, 2, 1);
	assert_true(loop_run_once(fx.f->m.loop, 0) > 0);
	assert_true(fx.nic->n_sent >= 16 && fx.nic->n_sent <= 18);
	fake_driver_turn(&fx.d);
	assert_int_equal(fx.nic->n_sent, 50);
	assert_true(fx.nic->n_flushes >= 3);
	assert_int_equal(fx.nic->sent[49].hdr.gso_type, 1);
	assert_int_equal(fx.nic->sent[49].hdr.gso_size, 1400);
	check_sent(&fx, 49, frame, 65000);
	free(frame);
	destroy(&fx);
}

/* What becomes of the header, by what was negotiated. */
static void test_tx_headers(void **state)
{
	static const struct {
		const char *name;
		uint64_t features;
		struct net_hdr hdr;
		uint8_t flags, gso_type; /* that the fabric gets */
		enum net_drop drop;
	} rows[] = {
		{"plain", ALL, {0}, 0, 0, 0},
		{"a checksum to complete", ALL, {1, 0, 0, 0, 34, 16, 0}, 1, 0, 0},
		{"the same, not negotiated", NO_OFFLOAD, {1, 0, 0, 0, 34, 16, 0}, 0, 0, 0},
		{"a guest vouches for it", ALL, {2, 0, 0, 0, 0, 0, 0}, 0, 0, 0},
		{"both", ALL, {3, 0, 0, 0, 34, 16, 0}, 1, 0, 0},
		{"unknown flags", ALL, {0xfc, 0, 0, 0, 0, 0, 0}, 0, 0, 0},
		{"num_buffers", ALL, {0, 0, 0, 0, 0, 0, 0xffff}, 0, 0, 0},
		{"a checksum outside", ALL, {1, 0, 0, 0, 0xfff0, 0xfff0, 0}, 0, 0,
			NET_DROP_MALFORMED},
		{"TSO", ALL, {1, 1, 54, 500, 34, 16, 0}, 1, 1, 0},
		{"TSO with ECN", ALL, {1, 0x81, 54, 500, 34, 16, 0}, 1, 0x81, 0},
		{"ECN, not negotiated", ~BIT(13), {1, 0x81, 54, 500, 34, 16, 0}, 0, 0,
			NET_DROP_MALFORMED},
		{"TSO, not negotiated", NO_OFFLOAD, {1, 1, 54, 500, 34, 16, 0}, 0, 0,
			NET_DROP_MALFORMED},
		{"TSO4, TSO6 only", ~BIT(11), {1, 1, 54, 500, 34, 16, 0}, 0, 0, NET_DROP_MALFORMED},
		{"TSO without a size", ALL, {1, 1, 54, 0, 34, 16, 0}, 0, 0, NET_DROP_MALFORMED},
		{"TSO without a checksum", ALL, {0, 1, 54, 500, 34, 16, 0}, 0, 0,
			NET_DROP_MALFORMED},
		{"TSO6 of IPv4", ALL, {1, 4, 54, 500, 34, 16, 0}, 0, 0, NET_DROP_MALFORMED},
		{"USO of TCP", ALL, {1, 5, 54, 500, 34, 16, 0}, 0, 0, NET_DROP_MALFORMED},
		{"type 2", ALL, {1, 2, 54, 500, 34, 16, 0}, 0, 0, NET_DROP_MALFORMED},
		{"type 7", ALL, {1, 7, 54, 500, 34, 16, 0}, 0, 0, NET_DROP_MALFORMED},
		{"type 127", ALL, {1, 127, 54, 500, 34, 16, 0}, 0, 0, NET_DROP_MALFORMED},
		{"ECN of nothing", ALL, {1, 0x80, 54, 500, 34, 16, 0}, 0, 0, NET_DROP_MALFORMED},
	};
	uint8_t frame[1400];

	(void)state;
	make_tcp(frame, sizeof(frame), peer_mac, own_mac, 1, 2);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture fx;

		start(&fx, &(struct vm_nic){0}, rows[i].features);
		offer(&fx, 0, &rows[i].hdr, frame, sizeof(frame));
		/* And a good one behind it. */
		offer(&fx, 0, NULL, frame, sizeof(frame));
		kick(&fx, 1);
		assert_int_equal(fake_driver_status(&fx.d), 0xf);
		assert_int_equal(count_used(&fx, 1), 2);
		if (fx.nic->n_sent != (rows[i].drop ? 1 : 2))
			fail_msg("%s: %u frames", rows[i].name, fx.nic->n_sent);
		assert_int_equal(fx.counters->tx_dropped, rows[i].drop ? 1 : 0);
		if (rows[i].drop)
			assert_int_equal(fx.counters->tx_drops[rows[i].drop], 1);
		check_sent(&fx, 0, frame, sizeof(frame));
		if (!rows[i].drop) {
			assert_int_equal(fx.nic->sent[0].hdr.flags, rows[i].flags);
			assert_int_equal(fx.nic->sent[0].hdr.gso_type, rows[i].gso_type);
			assert_int_equal(fx.nic->sent[0].hdr.num_buffers, 0);
		}
		destroy(&fx);
	}
}

/* Frames that are none, or too long: dropped and counted, and nothing else happens. */
static void test_tx_lengths(void **state)
{
	static const struct {
		uint32_t len;
		enum net_drop drop;
	} rows[] = {
		{0, NET_DROP_MALFORMED},
		{1, NET_DROP_MALFORMED},
		{13, NET_DROP_MALFORMED},
		{14, 0},
		{1514, 0},
		{1515, NET_DROP_MTU},
		{9014, NET_DROP_MTU},
		{65000, NET_DROP_MTU},
		{70000, NET_DROP_MALFORMED},
		{1000000, NET_DROP_MALFORMED},
	};
	uint8_t *frame = calloc(1, 1000000);

	(void)state;
	memcpy(frame, peer_mac, 6);
	memcpy(frame + 6, own_mac, 6);
	frame[12] = 0x88;
	frame[13] = 0xb5;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture fx;

		start(&fx, &(struct vm_nic){0}, ALL);
		offer(&fx, 0, NULL, frame, rows[i].len);
		kick(&fx, 1);
		assert_int_equal(fake_driver_status(&fx.d), 0xf);
		assert_int_equal(count_used(&fx, 1), 1);
		assert_int_equal(fx.nic->n_sent, rows[i].drop ? 0 : 1);
		if (rows[i].drop)
			assert_int_equal(fx.counters->tx_drops[rows[i].drop], 1);
		destroy(&fx);
	}
	free(frame);
}

/* A tag is no part of the MTU; the fabric gets it beside the frame. */
static void test_tx_tagged(void **state)
{
	struct fixture fx;
	uint8_t frame[1518] = {0};

	(void)state;
	start(&fx, &(struct vm_nic){0}, ALL);
	memcpy(frame, peer_mac, 6);
	memcpy(frame + 6, own_mac, 6);
	memcpy(frame + 12, (uint8_t[]){0x81, 0x00, 0x20, 0x07, 0x88, 0xb5}, 6);
	offer(&fx, 0, NULL, frame, sizeof(frame));
	kick(&fx, 1);
	check_sent(&fx, 0, frame, sizeof(frame));
	assert_int_equal(fx.nic->sent[0].tci, 0x2007);
	destroy(&fx);
}

static void test_tx_hostile(void **state)
{
	static const struct {
		const char *name;
		struct fake_part parts[3];
		unsigned n;
	} rows[] = {
		{"11 bytes", {{0x400000, 11, false}}, 1},
		{"one byte", {{0x400000, 1, false}}, 1},
		{"nothing to read", {{0x400000, 1526, true}}, 1},
		{"something to write", {{0x400000, 112, false}, {0x401000, 1, true}}, 2},
		{"not memory", {{0x400000, 12, false}, {UINT64_C(1) << 40, 100, false}}, 2},
		{"writable first", {{0x400000, 12, true}, {0x401000, 100, false}}, 2},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture fx;
		uint8_t frame[100];

		start(&fx, &(struct vm_nic){0}, ALL);
		(void)fake_driver_add(&fx.d, 1, rows[i].parts, rows[i].n);
		kick(&fx, 1);
		if (!(fake_driver_status(&fx.d) & FAILED))
			fail_msg("%s: not noticed", rows[i].name);
		assert_int_equal(fx.nic->n_sent, 0);
		assert_int_equal(fx.stats->needs_reset, 1);
		make_plain(frame, sizeof(frame), own_mac);
		assert_int_equal(give(&fx, frame, sizeof(frame)), -ENOLINK);
		/* After a reset it works again. */
		fx.d.heap = FAKE_DRIVER_HEAP;
		fake_driver_start(&fx.d, ALL);
		offer(&fx, 0, NULL, frame, sizeof(frame));
		kick(&fx, 1);
		assert_int_equal(fx.nic->n_sent, 1);
		destroy(&fx);
	}
}

/* No room in the fabric: the frame stays where it is, its queue rests, and goes on in order. */
static void test_tx_full(void **state)
{
	struct fixture fx;

	(void)state;
	start(&fx, &(struct vm_nic){0}, ALL);
	offer_numbered(&fx, 0, 5);
	fx.nic->refuse = 1;
	fx.nic->n_flushes = 0;
	kick(&fx, 1);
	assert_int_equal(fx.nic->n_sends, 1);
	assert_int_equal(fx.nic->n_flushes, 1);
	assert_int_equal(count_used(&fx, 1), 0);
	/* Kicks do not start it again. */
	kick(&fx, 1);
	assert_int_equal(fx.nic->n_sends, 1);
	fx.nic->space(fx.nic->port);
	fake_driver_turn(&fx.d);
	assert_int_equal(fx.nic->n_sent, 5);
	assert_int_equal(count_used(&fx, 1), 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(fx.nic->sent[i].data[35], i);
		/* Only the one that waited is sent for the last time. */
		assert_int_equal(fx.nic->sent[i].last, i == 0);
	}
	/* Room that nobody waits for. */
	fx.nic->space(fx.nic->port);
	fake_driver_turn(&fx.d);
	assert_int_equal(fx.nic->n_sends, 6);
	destroy(&fx);
}

/* Refused even the last time (a rate's limit), then a reset: nothing of it is left. */
static void test_tx_refused_again(void **state)
{
	struct fixture fx;

	(void)state;
	start(&fx, &(struct vm_nic){.queues = 2}, ALL);
	assert_int_equal(ctrl_pairs(&fx, 2), CTRL_OK);
	offer_numbered(&fx, 0, 2);
	offer_numbered(&fx, 1, 2);
	fx.nic->refuse = 4;
	fx.nic->refuse_last = true;
	kick(&fx, 1);
	kick(&fx, 3);
	assert_int_equal(fx.nic->n_sends, 2);
	fx.nic->space(fx.nic->port);
	fake_driver_turn(&fx.d);
	assert_int_equal(fx.nic->n_sends, 4);
	assert_int_equal(fx.nic->n_sent, 0);
	fx.nic->space(fx.nic->port);
	fake_driver_turn(&fx.d);
	assert_int_equal(fx.nic->n_sent, 4);
	fx.nic->refuse = 1;
	offer_numbered(&fx, 0, 1);
	kick(&fx, 1);
	fake_nic_clear(fx.nic);
	fx.d.heap = FAKE_DRIVER_HEAP;
	fake_driver_start(&fx.d, ALL);
	fx.nic->space(fx.nic->port);
	offer_numbered(&fx, 0, 3);
	kick(&fx, 1);
	assert_int_equal(fx.nic->n_sent, 3);
	assert_false(fx.nic->sent[0].last);
	destroy(&fx);
}

/* A pause while a queue waits. */
static void test_tx_full_and_paused(void **state)
{
	struct fixture fx;

	(void)state;
	start(&fx, &(struct vm_nic){0}, ALL);
	offer_numbered(&fx, 0, 3);
	fx.nic->refuse = 1;
	kick(&fx, 1);
	assert_true(fx.dev->class->ops->quiesce(fx.dev));
	fx.nic->space(fx.nic->port);
	fake_driver_turn(&fx.d);
	assert_int_equal(fx.nic->n_sent, 0);
	fx.dev->class->ops->resume(fx.dev);
	fake_driver_turn(&fx.d);
	assert_int_equal(fx.nic->n_sent, 3);
	assert_int_equal(count_used(&fx, 1), 3);
	destroy(&fx);
}

static void check_received(
	struct fixture *fx, unsigned pair, unsigned buffers, const void *frame, uint32_t len)
{
	static uint8_t buf[FRAME_MAX + 4];
	struct net_hdr hdr;

	assert_int_equal(take_frame(fx, pair, &hdr, buf), len);
	assert_memory_equal(buf, frame, len);
	assert_int_equal(hdr.num_buffers, buffers);
	assert_int_equal(hdr.flags, 0);
	assert_int_equal(hdr.gso_type, 0);
}

static void test_rx(void **state)
{
	static const uint64_t features[] = {NO_EVENTS, NO_EVENTS & ~BIT(15)};
	uint8_t frame[1514];

	(void)state;
	make_plain(frame, sizeof(frame), own_mac);
	for (unsigned i = 0; i < ARRAY_SIZE(features); i++) {
		struct fixture fx;

		start(&fx, &(struct vm_nic){0}, features[i]);
		(void)fake_driver_interrupts(&fx.d, 1);
		/* No buffer: the nic waits, and hears of the next one. */
		assert_int_equal(give(&fx, frame, sizeof(frame)), -EAGAIN);
		fx.nic->n_ready = 0;
		give_buffer(&fx, 0, 1526);
		kick(&fx, 0);
		assert_true(fx.nic->n_ready >= 1);
		assert_int_equal(give(&fx, frame, sizeof(frame)), 0);
		check_received(&fx, 0, 1, frame, sizeof(frame));
		assert_int_equal(give(&fx, frame, sizeof(frame)), -EAGAIN);
		(void)fake_driver_interrupts(&fx.d, 1);
		/* A batch: one interrupt, and nothing is seen before the flush. */
		for (unsigned n = 0; n < 20; n++)
			give_buffer(&fx, 0, 2048);
		for (unsigned n = 0; n < 20; n++)
			assert_int_equal(fake_nic_give(fx.nic, NULL, frame, 60 + n, -1), 0);
		assert_int_equal(fake_driver_interrupts(&fx.d, 1), 0);
		assert_int_equal(count_used(&fx, 0), 0);
		fx.nic->port->ops->flush(fx.nic->port);
		assert_int_equal(fake_driver_interrupts(&fx.d, 1), 1);
		assert_int_equal(count_used(&fx, 0), 20);
		destroy(&fx);
	}
}

/* Buffers in pieces, and a tag that is put in. */
static void test_rx_layouts(void **state)
{
	struct fixture fx;
	uint8_t frame[300], tagged[304];
	uint64_t at;

	(void)state;
	start(&fx, &(struct vm_nic){0}, ALL & ~BIT(19));
	make_plain(frame, sizeof(frame), own_mac);
	memcpy(tagged, frame, 12);
	memcpy(tagged + 12, (uint8_t[]){0x81, 0, 0x60, 0x05}, 4);
	memcpy(tagged + 16, frame + 12, 288);
	at = fake_driver_alloc(&fx.d, 400);
	for (unsigned i = 0; i < 2; i++) {
		const struct fake_part parts[] = {{at, 1, true}, {at + 1, 10, true},
			{at + 11, 2, true}, {at + 13, 200, true}, {at + 213, 187, true}};
		struct net_hdr hdr;
		uint32_t id, len;

		memset(host(&fx, at), 0xee, 400);
		(void)fake_driver_add(&fx.d, 0, parts, ARRAY_SIZE(parts));
		assert_int_equal(fake_nic_give(fx.nic, NULL, frame, 300, i ? 0x6005 : -1), 0);
		fx.nic->port->ops->flush(fx.nic->port);
		assert_true(fake_driver_used(&fx.d, 0, &id, &len));
		assert_int_equal(len, HDR + 300 + 4 * i);
		memcpy(&hdr, host(&fx, at), HDR);
		assert_int_equal(hdr.num_buffers, 1);
		assert_memory_equal(host(&fx, at + HDR), i ? tagged : frame, 300 + 4 * i);
		assert_int_equal(*host(&fx, at + HDR + 300 + 4 * i), 0xee);
	}
	destroy(&fx);
}

static void test_mergeable(void **state)
{
	uint8_t *frame = malloc(60000), *buf = malloc(FRAME_MAX);
	struct net_hdr hdr;
	struct fixture fx;
	uint32_t id, len;

	(void)state;
	start(&fx, &(struct vm_nic){0}, ALL);
	make_plain(frame, 60000, own_mac);
	/* 12 + 60000 bytes over buffers of 1536: 40. One less is not enough, and nothing is taken. */
	for (unsigned i = 0; i < 39; i++)
		give_buffer(&fx, 0, 1536);
	assert_int_equal(fake_nic_give(fx.nic, &tso, frame, 60000, -1), -EAGAIN);
	fx.nic->port->ops->flush(fx.nic->port);
	assert_int_equal(count_used(&fx, 0), 0);
	fx.nic->n_ready = 0;
	give_buffer(&fx, 0, 1536);
	kick(&fx, 0);
	assert_true(fx.nic->n_ready >= 1);
	assert_int_equal(fake_nic_give(fx.nic, &tso, frame, 60000, -1), 0);
	fx.nic->port->ops->flush(fx.nic->port);
	assert_int_equal(take_frame(&fx, 0, &hdr, buf), 60000);
	assert_memory_equal(buf, frame, 60000);
	assert_int_equal(hdr.num_buffers, 40);
	assert_int_equal(hdr.flags, 1);
	assert_int_equal(hdr.gso_type, 1);
	assert_int_equal(hdr.gso_size, 1400);
	assert_int_equal(hdr.csum_start, 34);
	assert_int_equal(hdr.csum_offset, 16);
	assert_true(hdr.hdr_len >= 54);
	/* Every buffer but the last is full: also one that holds the header alone. */
	make_plain(frame, 100, own_mac);
	give_buffer(&fx, 0, HDR);
	give_buffer(&fx, 0, 60);
	give_buffer(&fx, 0, 60);
	assert_int_equal(give(&fx, frame, 100), 0);
	assert_true(fake_driver_used(&fx.d, 0, &id, &len));
	assert_int_equal(len, HDR);
	assert_true(fake_driver_used(&fx.d, 0, &id, &len));
	assert_int_equal(len, 60);
	assert_true(fake_driver_used(&fx.d, 0, &id, &len));
	assert_int_equal(len, 40);
	free(frame);
	free(buf);
	destroy(&fx);
}

/* What can never fit is lost, not waited for; the buffers stay. */
static void test_rx_never_fits(void **state)
{
	uint8_t frame[1514], *large = calloc(1, 60000);
	struct fixture fx;

	(void)state;
	make_plain(frame, sizeof(frame), own_mac);
	make_plain(large, 60000, own_mac);
	start(&fx, &(struct vm_nic){0}, ALL & ~BIT(15));
	give_buffer(&fx, 0, 1525);
	assert_int_equal(give(&fx, frame, sizeof(frame)), -ENOBUFS);
	assert_int_equal(count_used(&fx, 0), 0);
	assert_int_equal(give(&fx, frame, 1513), 0);
	check_received(&fx, 0, 1, frame, 1513);
	destroy(&fx);
	/* A whole ring of small ones. */
	start(&fx, &(struct vm_nic){.rx_queue_size = 16}, ALL);
	for (unsigned i = 0; i < 16; i++)
		give_buffer(&fx, 0, 1536);
	assert_int_equal(fake_nic_give(fx.nic, &tso, large, 60000, -1), -ENOBUFS);
	fx.nic->port->ops->flush(fx.nic->port);
	assert_int_equal(count_used(&fx, 0), 0);
	assert_int_equal(give(&fx, frame, 1514), 0);
	check_received(&fx, 0, 1, frame, 1514);
	/* Longer than the MTU that the guest was told. */
	memset(large + 12, 0, 2);
	assert_int_equal(give(&fx, large, 1514), 0);
	assert_int_equal(give(&fx, large, 1515), -EMSGSIZE);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	destroy(&fx);
	free(large);
}

static void test_rx_hostile(void **state)
{
	static const struct {
		const char *name;
		struct fake_part parts[2];
		unsigned n;
		uint64_t features;
	} rows[] = {
		{"11 bytes", {{0x400000, 11, true}}, 1, ALL},
		{"11 bytes, not merged", {{0x400000, 11, true}}, 1, ~BIT(15)},
		{"to read", {{0x400000, 2000, false}}, 1, ALL},
		{"to read and to write", {{0x400000, 12, false}, {0x401000, 2000, true}}, 2, ALL},
		{"not memory", {{UINT64_C(1) << 40, 2000, true}}, 1, ALL},
		{"over the end of memory", {{RAM - 100, 2000, true}}, 1, ALL},
	};
	uint8_t frame[200];

	(void)state;
	make_plain(frame, sizeof(frame), own_mac);
	for (unsigned i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		struct fixture fx;

		start(&fx, &(struct vm_nic){0}, rows[i / 2].features);
		/* First, or behind a good one that is not enough. */
		if (i % 2)
			give_buffer(&fx, 0, 100);
		(void)fake_driver_add(&fx.d, 0, rows[i / 2].parts, rows[i / 2].n);
		if (i % 2 && !(rows[i / 2].features & BIT(15)))
			assert_int_equal(give(&fx, frame, 50), 0);
		assert_int_equal(give(&fx, frame, sizeof(frame)), -ENOLINK);
		if (!(fake_driver_status(&fx.d) & FAILED))
			fail_msg("%s: not noticed", rows[i / 2].name);
		assert_int_equal(give(&fx, frame, sizeof(frame)), -ENOLINK);
		fx.d.heap = FAKE_DRIVER_HEAP;
		fake_driver_start(&fx.d, ALL);
		give_buffer(&fx, 0, 2000);
		assert_int_equal(give(&fx, frame, sizeof(frame)), 0);
		check_received(&fx, 0, 1, frame, sizeof(frame));
		destroy(&fx);
	}
}

/* Nobody there: lost. A pause, or no bus mastering: later. */
static void test_rx_states(void **state)
{
	struct fixture fx;
	uint8_t frame[100];

	(void)state;
	make_plain(frame, sizeof(frame), own_mac);
	build(&fx, &(struct vm_nic){0});
	assert_int_equal(give(&fx, frame, sizeof(frame)), -ENOLINK);
	fake_driver_start(&fx.d, ALL);
	give_buffer(&fx, 0, 1536);
	assert_true(fx.dev->class->ops->quiesce(fx.dev));
	assert_int_equal(give(&fx, frame, sizeof(frame)), -EAGAIN);
	fx.nic->n_ready = 0;
	fx.dev->class->ops->resume(fx.dev);
	fake_driver_turn(&fx.d);
	assert_true(fx.nic->n_ready >= 1);
	fake_pci_write(fx.f, fx.d.slot, 4, 2, 0x2);
	assert_int_equal(give(&fx, frame, sizeof(frame)), -EAGAIN);
	fx.nic->n_ready = 0;
	fake_pci_write(fx.f, fx.d.slot, 4, 2, 0x6);
	fake_driver_turn(&fx.d);
	assert_true(fx.nic->n_ready >= 1);
	assert_int_equal(give(&fx, frame, sizeof(frame)), 0);
	check_received(&fx, 0, 1, frame, sizeof(frame));
	fake_driver_reset(&fx.d);
	assert_int_equal(give(&fx, frame, sizeof(frame)), -ENOLINK);
	destroy(&fx);
}

/* What is said of checksums: nothing that the sender did not say, and nothing to who did not ask. */
static void test_rx_flags(void **state)
{
	static const struct {
		uint64_t features;
		uint8_t flags, seen;
	} rows[] = {
		{ALL, 0, 0},
		{ALL, 1, 1},
		{ALL, 2, 2},
		{~GUEST_BITS, 0, 0},
		{~GUEST_BITS, 2, 0},
	};
	uint8_t frame[100], buf[200];

	(void)state;
	make_plain(frame, sizeof(frame), own_mac);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct net_hdr hdr = {.flags = rows[i].flags, .csum_start = 34, .csum_offset = 16};
		struct fixture fx;

		start(&fx, &(struct vm_nic){0}, rows[i].features);
		give_buffer(&fx, 0, 1536);
		assert_int_equal(fake_nic_give(fx.nic, &hdr, frame, sizeof(frame), -1), 0);
		fx.nic->port->ops->flush(fx.nic->port);
		assert_int_equal(take_frame(&fx, 0, &hdr, buf), sizeof(frame));
		assert_int_equal(hdr.flags, rows[i].seen);
		destroy(&fx);
	}
}

static void test_pairs(void **state)
{
	struct fixture fx;
	uint8_t frame[100];

	(void)state;
	start(&fx, &(struct vm_nic){.queues = 4}, ALL);
	fill_queues(&fx, 4, 64);
	/* One pair until the driver asks. */
	for (unsigned i = 0; i < 32; i++) {
		make_tcp(frame, sizeof(frame), own_mac, peer_mac, (uint16_t)i, 80);
		assert_int_equal(give(&fx, frame, sizeof(frame)), 0);
	}
	assert_int_equal(count_used(&fx, 0), 32);
	offer_numbered(&fx, 3, 1);
	kick(&fx, 7);
	assert_int_equal(fx.nic->n_sent, 0);
	assert_int_equal(ctrl_pairs(&fx, 0), CTRL_ERR);
	assert_int_equal(ctrl_pairs(&fx, 5), CTRL_ERR);
	assert_int_equal(ctrl_pairs(&fx, 0x8000), CTRL_ERR);
	assert_int_equal(ctrl_pairs(&fx, 0xffff), CTRL_ERR);
	assert_int_equal(ctrl_pairs(&fx, 4), CTRL_OK);
	/* What waited in a queue that rested. */
	assert_int_equal(fx.nic->n_sent, 1);
	for (unsigned i = 0; i < 64; i++) {
		make_tcp(frame, sizeof(frame), own_mac, peer_mac, (uint16_t)(i * 257), 80);
		assert_int_equal(give(&fx, frame, sizeof(frame)), 0);
	}
	for (unsigned q = 0, sum = 0; q < 4; q++) {
		unsigned n = count_used(&fx, 2 * q);

		assert_true(n > 0);
		sum += n;
		if (q == 3)
			assert_int_equal(sum, 64);
	}
	/* Fewer again: the others rest. */
	for (unsigned i = 0; i < 16; i++)
		give_buffer(&fx, 0, 200);
	assert_int_equal(ctrl_pairs(&fx, 1), CTRL_OK);
	for (unsigned i = 0; i < 16; i++) {
		make_tcp(frame, sizeof(frame), own_mac, peer_mac, (uint16_t)(i * 257), 80);
		assert_int_equal(give(&fx, frame, sizeof(frame)), 0);
	}
	assert_int_equal(count_used(&fx, 0), 16);
	destroy(&fx);
}

/* A flow comes in where it goes out. */
static void test_steering(void **state)
{
	struct fixture fx;
	uint8_t out[100], in[100];

	(void)state;
	start(&fx, &(struct vm_nic){.queues = 4}, ALL);
	assert_int_equal(ctrl_pairs(&fx, 4), CTRL_OK);
	fill_queues(&fx, 4, 32);
	for (unsigned i = 0; i < 32; i++) {
		unsigned pair = i % 4;

		make_tcp(out, sizeof(out), peer_mac, own_mac, (uint16_t)(5000 + i), 443);
		offer(&fx, pair, NULL, out, sizeof(out));
		kick(&fx, 2 * pair + 1);
		make_tcp(in, sizeof(in), own_mac, peer_mac, 443, (uint16_t)(5000 + i));
		assert_int_equal(give(&fx, in, sizeof(in)), 0);
		assert_int_equal(count_used(&fx, 2 * pair), 1);
		/* It moves with its sender. */
		offer(&fx, 3 - pair, NULL, out, sizeof(out));
		kick(&fx, 2 * (3 - pair) + 1);
		assert_int_equal(give(&fx, in, sizeof(in)), 0);
		assert_int_equal(count_used(&fx, 2 * (3 - pair)), 1);
	}
	/* To a pair that is gone, no more. */
	assert_int_equal(ctrl_pairs(&fx, 2), CTRL_OK);
	for (unsigned i = 0; i < 16; i++) {
		make_tcp(in, sizeof(in), own_mac, peer_mac, 443, (uint16_t)(5000 + i));
		assert_int_equal(give(&fx, in, sizeof(in)), 0);
	}
	assert_int_equal(count_used(&fx, 0) + count_used(&fx, 2), 16);
	/* What is not IP has a flow too. */
	memset(out, 0, sizeof(out));
	memcpy(out, own_mac, 6);
	memcpy(out + 6, peer_mac, 6);
	out[12] = 0x88;
	out[13] = 0xb5;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(give(&fx, out, sizeof(out)), 0);
	assert_int_equal(MAX(count_used(&fx, 0), count_used(&fx, 2)), 4);
	destroy(&fx);
}

/* A driver that does not know several queues has its control queue behind the first pair. */
static void test_without_mq(void **state)
{
	struct fixture fx;

	(void)state;
	start(&fx, &(struct vm_nic){.queues = 4}, ~BIT(22));
	assert_int_equal(fx.d.n_queues, 9);
	assert_int_equal(ctrl_byte(&fx, 0, 0, 1), CTRL_OK);
	assert_int_equal(ctrl_pairs(&fx, 1), CTRL_ERR);
	/* The last queue is nothing then. */
	offer_numbered(&fx, 1, 1);
	kick(&fx, 3);
	kick(&fx, 8);
	assert_int_equal(fx.nic->n_sent, 0);
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	destroy(&fx);
}

/* Pairs whose queues the driver never enabled. */
static void test_pairs_not_ready(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, &(struct vm_nic){.queues = 4});
	fake_driver_enable_msix(&fx.d);
	assert_true(fake_driver_negotiate(&fx.d, ALL));
	for (unsigned i = 0; i < 9; i++)
		if (i != 5)
			fake_driver_setup_queue(&fx.d, i, 0);
	fake_common_write(&fx.d, 0x14, 1, 0xf);
	fake_driver_turn(&fx.d);
	assert_int_equal(ctrl_pairs(&fx, 2), CTRL_OK);
	assert_int_equal(ctrl_pairs(&fx, 3), CTRL_ERR);
	assert_int_equal(ctrl_pairs(&fx, 4), CTRL_ERR);
	destroy(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tx_layouts),
		cmocka_unit_test(test_tx_batch),
		cmocka_unit_test(test_tx_budget),
		cmocka_unit_test(test_tx_headers),
		cmocka_unit_test(test_tx_lengths),
		cmocka_unit_test(test_tx_tagged),
		cmocka_unit_test(test_tx_hostile),
		cmocka_unit_test(test_tx_full),
		cmocka_unit_test(test_tx_refused_again),
		cmocka_unit_test(test_tx_full_and_paused),
		cmocka_unit_test(test_rx),
		cmocka_unit_test(test_rx_layouts),
		cmocka_unit_test(test_mergeable),
		cmocka_unit_test(test_rx_never_fits),
		cmocka_unit_test(test_rx_hostile),
		cmocka_unit_test(test_rx_states),
		cmocka_unit_test(test_rx_flags),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_steering),
		cmocka_unit_test(test_without_mq),
		cmocka_unit_test(test_pairs_not_ready),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
