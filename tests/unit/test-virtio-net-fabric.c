/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two guests' drivers, their vNICs with real switches, and a ring pair between them: what a frame goes through from one
 * guest's memory to the other's. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "devices/net/ring.h"
#include "tests/unit/virtio-net-fixture.h"
#include "vmm-core/proto.h"

#define RING MIB(1)

struct pair {
	struct fixture a, b;
};

static void turn(struct pair *p)
{
	for (unsigned i = 0; i < 8; i++) {
		fake_driver_turn(&p->a.d);
		fake_driver_turn(&p->b.d);
		/* Timers for the next turn. */
		loop_fake_advance(p->a.f->m.loop, 1);
		loop_fake_advance(p->b.f->m.loop, 1);
	}
}

/* Each is the other's star. */
static void connect_pair(struct pair *p)
{
	struct proto_link link = {.id = PROTO_LINK_STAR, .ring_data = RING};
	int own[2], peer[2], bell[2];

	for (unsigned i = 0; i < 2; i++) {
		char path[64];

		own[i] = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
		assert_int_equal(ftruncate(own[i], RING_FILE_SIZE(RING)), 0);
		assert_int_equal(fcntl(own[i], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", own[i]);
		peer[!i] = open(path, O_RDONLY | O_CLOEXEC);
		bell[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	for (unsigned i = 0; i < 2; i++) {
		struct fixture *fx = i ? &p->b : &p->a;
		int fds[PROTO_LINK_FDS] = {own[i], peer[i], dup(bell[i]), dup(bell[!i])};

		assert_int_equal(fx->f->m.nic_ops->link_add(fx->dev, &link, fds), 0);
	}
	(void)close(bell[0]);
	(void)close(bell[1]);
}

static void pair_init(
	struct pair *p, const struct vm_nic *config, uint64_t features_a, uint64_t features_b)
{
	struct net_port_config port;

	start(&p->a, config, features_a);
	start(&p->b, config, features_b);
	port = p->b.f->config.nics[0].port;
	memcpy(port.mac, peer_mac, 6);
	assert_int_equal(p->b.f->m.nic_ops->set(p->b.dev, &port), 0);
	connect_pair(p);
	turn(p);
}

static void pair_done(struct pair *p)
{
	destroy(&p->a);
	destroy(&p->b);
}

static void send(struct pair *p, const struct net_hdr *hdr, const uint8_t *frame, uint32_t len)
{
	offer(&p->a, 0, hdr, frame, len);
	kick(&p->a, 1);
	turn(p);
}

static void test_frames(void **state)
{
	uint8_t frame[1514], buf[2048];
	struct net_hdr hdr;
	struct pair p;

	(void)state;
	pair_init(&p, &(struct vm_nic){0}, NO_EVENTS, NO_EVENTS);
	for (unsigned i = 0; i < 20; i++)
		give_buffer(&p.b, 0, 1536);
	(void)fake_driver_interrupts(&p.b.d, 1);
	for (unsigned i = 0; i < 20; i++) {
		make_tcp(frame, 60 + 70 * i, peer_mac, own_mac, (uint16_t)i, 80);
		offer(&p.a, 0, NULL, frame, 60 + 70 * i);
	}
	kick(&p.a, 1);
	turn(&p);
	assert_int_equal(count_used(&p.a, 1), 20);
	for (unsigned i = 0; i < 20; i++) {
		make_tcp(frame, 60 + 70 * i, peer_mac, own_mac, (uint16_t)i, 80);
		assert_int_equal(take_frame(&p.b, 0, &hdr, buf), 60 + 70 * i);
		assert_memory_equal(buf, frame, 60 + 70 * i);
		assert_int_equal(hdr.flags, 0);
	}
	/* One batch all the way. */
	assert_int_equal(fake_driver_interrupts(&p.b.d, 1), 1);
	assert_int_equal(p.a.counters->tx_packets, 20);
	assert_int_equal(p.b.counters->rx_packets, 20);
	assert_int_equal(p.b.counters->rx_bytes, 20 * 60 + 70 * 190);
	assert_int_equal(p.b.counters->rx_dropped, 0);
	pair_done(&p);
}

/* Whole to who takes it, else in pieces with their checksums. */
static void test_segmentation(void **state)
{
	const struct net_hdr tso = {.flags = 1,
		.gso_type = 1,
		.hdr_len = 54,
		.gso_size = 1400,
		.csum_start = 34,
		.csum_offset = 16};
	uint8_t *frame = malloc(20000), *buf = malloc(20000);
	struct net_hdr hdr;
	uint32_t len, done = 54;
	struct pair p;

	(void)state;
	make_tcp(frame, 20000, peer_mac, own_mac, 1, 2);
	pair_init(&p, &(struct vm_nic){0}, ALL, ALL);
	for (unsigned i = 0; i < 20; i++)
		give_buffer(&p.b, 0, 1536);
	send(&p, &tso, frame, 20000);
	assert_int_equal(take_frame(&p.b, 0, &hdr, buf), 20000);
	assert_memory_equal(buf, frame, 20000);
	assert_int_equal(hdr.gso_type, 1);
	assert_int_equal(hdr.flags, 1);
	assert_int_equal(hdr.num_buffers, 14);
	pair_done(&p);

	pair_init(&p, &(struct vm_nic){0}, ALL, ~GUEST_BITS);
	for (unsigned i = 0; i < 20; i++)
		give_buffer(&p.b, 0, 1536);
	send(&p, &tso, frame, 20000);
	while ((len = take_frame(&p.b, 0, &hdr, buf))) {
		assert_int_equal(hdr.flags, 0);
		assert_int_equal(hdr.gso_type, 0);
		assert_true(len > 54 && len <= 1454);
		assert_true(buf[50] || buf[51]);
		assert_memory_equal(buf + 54, frame + done, len - 54);
		done += len - 54;
	}
	assert_int_equal(done, 20000);
	pair_done(&p);
	free(frame);
	free(buf);
}

/* Frames wait in the ring until the receiver has buffers. */
static void test_waiting(void **state)
{
	uint8_t frame[100], buf[200];
	struct net_hdr hdr;
	struct pair p;

	(void)state;
	pair_init(&p, &(struct vm_nic){0}, ALL, ALL);
	for (unsigned i = 0; i < 4; i++) {
		make_tcp(frame, sizeof(frame), peer_mac, own_mac, (uint16_t)i, 80);
		send(&p, NULL, frame, sizeof(frame));
	}
	assert_int_equal(count_used(&p.a, 1), 4);
	assert_int_equal(p.b.counters->rx_packets, 0);
	for (unsigned i = 0; i < 4; i++)
		give_buffer(&p.b, 0, 200);
	kick(&p.b, 0);
	turn(&p);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(take_frame(&p.b, 0, &hdr, buf), sizeof(frame));
		assert_int_equal(buf[35], i);
	}
	assert_int_equal(p.b.counters->rx_packets, 4);
	assert_int_equal(p.b.counters->rx_dropped, 0);
	pair_done(&p);
}

/* A ring that is full stops the sender's queue, for a while. Each frame is taken from the driver once, and then received or
 * counted as lost. */
static void test_full_ring(void **state)
{
	static uint8_t frame[1514];
	uint64_t heap_a, heap_b, received = 0, lost;
	struct pair p;

	(void)state;
	make_tcp(frame, sizeof(frame), peer_mac, own_mac, 1, 2);
	pair_init(&p, &(struct vm_nic){0}, ALL, ALL);
	heap_a = p.a.d.heap;
	heap_b = p.b.d.heap;
	/* More than the ring has room for, a turn's worth each time. */
	for (unsigned round = 0; round < 10; round++) {
		p.a.d.heap = heap_a;
		for (unsigned i = 0; i < 120; i++)
			offer(&p.a, 0, NULL, frame, sizeof(frame));
		kick(&p.a, 1);
		for (unsigned i = 0; i < 4; i++) {
			loop_fake_advance(p.a.f->m.loop, NIC_HOLD_NS);
			fake_driver_turn(&p.a.d);
		}
		assert_int_equal(count_used(&p.a, 1), 120);
	}
	lost = p.a.counters->tx_drops[NET_DROP_FULL];
	assert_true(lost > 0 && lost < 1200 - 500);
	/* Sent or lost, never both. */
	assert_int_equal(p.a.counters->tx_packets + lost, 1200);
	assert_int_equal(p.a.counters->tx_dropped, lost);
	for (unsigned round = 0; round < 10; round++) {
		p.b.d.heap = heap_b;
		for (unsigned i = 0; i < 120; i++)
			give_buffer(&p.b, 0, 1536);
		kick(&p.b, 0);
		turn(&p);
		received += count_used(&p.b, 0);
	}
	assert_int_equal(received, p.b.counters->rx_packets);
	assert_int_equal(received + lost + p.b.counters->rx_dropped, 1200);
	pair_done(&p);
}

/* What the host says of the vNIC holds for what the driver does. */
static void test_policy(void **state)
{
	struct net_port_config config;
	uint8_t frame[100];
	struct pair p;

	(void)state;
	pair_init(&p, &(struct vm_nic){.port = {.flags = NET_PORT_ALLOW_MAC}}, ALL, ALL);
	for (unsigned i = 0; i < 8; i++)
		give_buffer(&p.b, 0, 200);
	make_tcp(frame, sizeof(frame), peer_mac, other_mac, 1, 2);
	send(&p, NULL, frame, sizeof(frame));
	assert_int_equal(p.a.counters->tx_drops[NET_DROP_SPOOF_MAC], 1);
	/* Its own address, by leave. */
	assert_int_equal(ctrl_mac(&p.a, other_mac), CTRL_OK);
	send(&p, NULL, frame, sizeof(frame));
	assert_int_equal(count_used(&p.b, 0), 1);
	config = p.b.f->config.nics[0].port;
	memcpy(config.mac, peer_mac, 6);
	config.flags |= NET_PORT_LINK_DOWN;
	assert_int_equal(p.b.f->m.nic_ops->set(p.b.dev, &config), 0);
	send(&p, NULL, frame, sizeof(frame));
	assert_int_equal(count_used(&p.b, 0), 0);
	assert_int_equal(p.b.counters->rx_drops[NET_DROP_LINK_DOWN], 1);
	/* And a driver that is gone is a link that is down. */
	config.flags &= ~NET_PORT_LINK_DOWN;
	assert_int_equal(p.b.f->m.nic_ops->set(p.b.dev, &config), 0);
	fake_driver_reset(&p.b.d);
	send(&p, NULL, frame, sizeof(frame));
	assert_int_equal(p.b.counters->rx_drops[NET_DROP_LINK_DOWN], 2);
	pair_done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_segmentation),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_full_ring),
		cmocka_unit_test(test_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
