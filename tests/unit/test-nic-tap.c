/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A vNIC on a tap: nic.c and port-tap.c without a kernel's tap. A pair of packet sockets behaves like one: the other end is
 * the host's side. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/net/nic.h"
#include "devices/net/port-tap.h"

#define MAX_SEEN 256
#define LEN      64

static const uint8_t own[] = {0x52, 0x54, 0, 0, 0, 1}, peer[] = {0x52, 0x54, 0, 0, 0, 2};
static const uint8_t broadcast[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct world {
	struct loop *loop;
	struct port port; /* the guest */
	struct net_port_counters counters;
	struct net_port_config config;
	struct nic *nic;
	int host;      /* the other end of the tap */
	unsigned room; /* frames that the guest has buffers for */
	unsigned n_seen, n_flushes;
	uint8_t seen[MAX_SEEN]; /* numbers */
	int32_t seen_tci;
};

static int guest_transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct world *w = container_of(port, struct world, port);

	if (!w->room)
		return -EAGAIN;
	w->room--;
	assert_true(w->n_seen < MAX_SEEN);
	assert_int_equal(frame_copy(frame, 14, &w->seen[w->n_seen++], 1), 1);
	w->seen_tci = tci;
	return 0;
}

static void guest_flush(struct port *port)
{
	container_of(port, struct world, port)->n_flushes++;
}

static void guest_space(struct port *port)
{
	(void)port;
}

static const struct port_ops guest_ops = {.transmit = guest_transmit, .flush = guest_flush};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int pair[2];

	assert_int_equal(loop_new(&w->loop), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	memcpy(w->config.mac, own, sizeof(own));
	w->room = UINT32_MAX;
	w->port = (struct port){.ops = &guest_ops, .kind = PORT_VNIC, .counters = &w->counters};
	assert_int_equal(nic_new(w->loop, &w->config, 0, &w->port, guest_space, &w->nic), 0);
	nic_set_offloads(w->nic, UINT32_MAX);
	assert_int_equal(nic_set_tap(w->nic, pair[0]), 0);
	w->host = pair[1];
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	(void)nic_free(w->nic);
	(void)safe_close(w->host);
	(void)loop_free(w->loop);
	free(w);
	return 0;
}

static void settle(struct world *w)
{
	while (loop_run_once(w->loop, 20 * NSEC_PER_MSEC) > 0)
		;
}

static void fill(uint8_t bytes[LEN], const uint8_t *dst, const uint8_t *src, uint8_t number)
{
	memset(bytes, 0, LEN);
	memcpy(bytes, dst, 6);
	memcpy(bytes + 6, src, 6);
	bytes[12] = 0x88; /* a local experiment: no protocol of the switch's */
	bytes[13] = 0xb6;
	bytes[14] = number;
}

static void host_send(struct world *w, const uint8_t *dst, const uint8_t *src, uint8_t number)
{
	struct net_hdr hdr = {0};
	uint8_t bytes[LEN];
	struct iovec iov[2] = {{&hdr, sizeof(hdr)}, {bytes, sizeof(bytes)}};

	fill(bytes, dst, src, number);
	assert_int_equal(writev(w->host, iov, 2), sizeof(hdr) + sizeof(bytes));
}

/* What came out of the tap; -1: nothing. */
static int host_receive(struct world *w)
{
	uint8_t got[256], expect[LEN];
	static const uint8_t no_header[sizeof(struct net_hdr)];
	ssize_t n = read(w->host, got, sizeof(got));

	if (n < 0)
		return -1;
	assert_int_equal(n, sizeof(no_header) + LEN);
	assert_memory_equal(got, no_header, sizeof(no_header));
	fill(expect, got + sizeof(no_header), own, got[sizeof(no_header) + 14]);
	assert_memory_equal(got + sizeof(no_header), expect, LEN);
	return got[sizeof(no_header) + 14];
}

static void guest_send(struct world *w, const uint8_t *dst, const uint8_t *src, uint8_t number)
{
	uint8_t bytes[LEN];
	struct iovec iov = {bytes, sizeof(bytes)};
	struct frame frame;

	fill(bytes, dst, src, number);
	assert_int_equal(frame_init(&frame, NULL, &iov, 1, LEN, FRAME_MAX, -1), 0);
	assert_int_equal(nic_send(w->nic, &frame, false), 0);
	nic_flush(w->nic);
}

static void test_out(void **state)
{
	struct world *w = *state;

	guest_send(w, peer, own, 7);
	assert_int_equal(host_receive(w), 7);
	guest_send(w, broadcast, own, 8);
	assert_int_equal(host_receive(w), 8);
	assert_int_equal(w->counters.tx_packets, 2);
	/* Another's address is not for this guest to use. */
	guest_send(w, broadcast, peer, 9);
	assert_int_equal(host_receive(w), -1);
	assert_int_equal(w->counters.tx_drops[NET_DROP_SPOOF_MAC], 1);
}

static void test_in(void **state)
{
	struct world *w = *state;

	host_send(w, own, peer, 1);
	host_send(w, broadcast, peer, 2);
	/* Not for this guest; and its own, which a bridge sends back. */
	host_send(w, peer, peer, 3);
	host_send(w, broadcast, own, 4);
	settle(w);
	assert_int_equal(w->n_seen, 2);
	assert_memory_equal(w->seen, ((uint8_t[]){1, 2}), 2);
	assert_int_equal(w->n_flushes, 1); /* one interrupt for all of it */
	assert_int_equal(w->counters.rx_packets, 2);
}

/* A guest without buffers: nothing is lost, and nothing turns meanwhile. */
static void test_patience(void **state)
{
	struct world *w = *state;
	unsigned n_flushes;

	w->room = 0;
	for (uint8_t i = 0; i < 5; i++)
		host_send(w, own, peer, i);
	settle(w);
	assert_int_equal(loop_run_once(w->loop, 100 * NSEC_PER_MSEC), 0);
	nic_ready(w->nic); /* too early */
	assert_int_equal(w->n_seen, 0);
	w->room = 1;
	n_flushes = w->n_flushes;
	nic_ready(w->nic);
	assert_int_equal(w->n_seen, 1);
	assert_int_equal(w->n_flushes, n_flushes + 1);
	settle(w);
	assert_int_equal(w->n_seen, 1);
	assert_int_equal(loop_run_once(w->loop, 100 * NSEC_PER_MSEC), 0);
	w->room = 100;
	nic_ready(w->nic);
	settle(w);
	assert_int_equal(w->n_seen, 5);
	assert_memory_equal(w->seen, ((uint8_t[]){0, 1, 2, 3, 4}), 5);
	assert_int_equal(w->counters.rx_dropped, 0);
	/* Nothing waits now, and nothing comes twice. */
	nic_ready(w->nic);
	assert_int_equal(w->n_seen, 5);
	/* It goes on as before. */
	host_send(w, own, peer, 5);
	settle(w);
	assert_int_equal(w->n_seen, 6);
}

/* More than a turn's worth comes in several turns, all of it. */
static void test_many(void **state)
{
	struct world *w = *state;

	for (unsigned i = 0; i < PORT_TAP_BUDGET + 10; i++)
		host_send(w, own, peer, (uint8_t)i);
	assert_int_equal(loop_run_once(w->loop, 0), 1);
	assert_int_equal(w->n_seen, PORT_TAP_BUDGET);
	settle(w);
	assert_int_equal(w->n_seen, PORT_TAP_BUDGET + 10);
}

static void test_link_down(void **state)
{
	struct world *w = *state;
	struct net_port_config down = w->config;

	down.flags |= NET_PORT_LINK_DOWN;
	assert_int_equal(nic_reconfigure(w->nic, &down), 0);
	guest_send(w, peer, own, 1);
	assert_int_equal(host_receive(w), -1);
	host_send(w, own, peer, 2);
	settle(w);
	assert_int_equal(w->n_seen, 0);
	assert_int_equal(nic_reconfigure(w->nic, &w->config), 0);
	guest_send(w, peer, own, 3);
	assert_int_equal(host_receive(w), 3);
	host_send(w, own, peer, 4);
	settle(w);
	assert_int_equal(w->n_seen, 1);
}

/* The bridge's port is of the vNIC's VLAN: neither side sees a tag. */
static void test_vlan(void **state)
{
	struct world *w = *state;
	struct net_port_config access = w->config;

	access.vlan = (struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {42}};
	assert_int_equal(nic_reconfigure(w->nic, &access), 0);
	guest_send(w, peer, own, 1);
	assert_int_equal(host_receive(w), 1);
	host_send(w, own, peer, 2);
	settle(w);
	assert_int_equal(w->n_seen, 1);
	assert_int_equal(w->seen_tci, -1);
}

static void test_only_one(void **state)
{
	struct world *w = *state;
	int fds[5];
	struct nic_link link = {.id = NIC_STAR, .ring_data = 65536};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	link.own_ring = fds[0];
	link.peer_ring = fds[1];
	link.own_bell = fds[2];
	link.peer_bell = fds[3];
	assert_int_equal(nic_link_add(w->nic, &link), -EEXIST);
	assert_int_equal(nic_set_tap(w->nic, fds[4]), -EEXIST);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), -1);
	/* The one it has still works. */
	guest_send(w, peer, own, 1);
	assert_int_equal(host_receive(w), 1);
}

/* The tap went away, while the guest has room and while it has none: the loop rests. */
static void test_gone(void **state)
{
	struct world *w = *state;

	w->room = 0;
	host_send(w, own, peer, 1);
	settle(w);
	w->host = safe_close(w->host);
	assert_int_equal(loop_run_once(w->loop, 100 * NSEC_PER_MSEC), 0);
	w->room = 10;
	nic_ready(w->nic);
	settle(w);
	assert_int_equal(w->n_seen, 1);
	assert_int_equal(loop_run_once(w->loop, 100 * NSEC_PER_MSEC), 0);
}

static void test_idle(void **state)
{
	struct world *w = *state;

	guest_send(w, peer, own, 1);
	host_send(w, own, peer, 2);
	settle(w);
	assert_int_equal(loop_run_once(w->loop, 300 * NSEC_PER_MSEC), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_out),
		TEST(test_in),
		TEST(test_patience),
		TEST(test_many),
		TEST(test_link_down),
		TEST(test_vlan),
		TEST(test_only_one),
		TEST(test_gone),
		TEST(test_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
