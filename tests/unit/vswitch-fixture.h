/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A switch with three VNICs (1, 2, 3), an uplink (7) and room for more fake ports, for its tests. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/fakes/fake-port.h"

#define S  NSEC_PER_SEC
#define N  8 /* ports 1 … 7 */
#define UP 7

static const uint8_t everybody[NET_MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct fixture {
	struct vswitch *sw;
	struct fake_port p[N];
	struct net_port_config config[N];
	struct fake_frame buffer;
	uint64_t now;
	unsigned n_addresses, n_pairs;
	struct net_ip ip;
	uint8_t last_of_mac;
	struct port *a, *b;
};

static inline void on_address(
	void *opaque, struct port *port, const uint8_t mac[NET_MAC_LEN], const struct net_ip *ip)
{
	struct fixture *f = opaque;

	f->n_addresses++;
	f->last_of_mac = mac[5];
	f->ip = *ip;
	f->a = port;
}

static inline void on_pair(void *opaque, struct port *a, struct port *b)
{
	struct fixture *f = opaque;

	f->n_pairs++;
	f->a = a;
	f->b = b;
}

static inline void add(struct fixture *f, unsigned n, enum port_kind kind)
{
	fake_port_init(&f->p[n], kind, n);
	fake_mac(n, f->config[n].mac);
	assert_int_equal(vswitch_add(f->sw, &f->p[n].port, &f->config[n]), 0);
}

static inline struct fixture *start(const struct vswitch_config *config)
{
	static const struct vswitch_ops ops = {.address = on_address, .pair = on_pair};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->now = 1000 * S;
	assert_int_equal(vswitch_new(config, &ops, f, &f->sw), 0);
	return f;
}

/* Three VNICs (1, 2, 3) and an uplink (7). */
static inline int setup(void **state)
{
	const struct vswitch_config config = {
		.seed = {1, 2}, .arp_suppress = true, .snoop_multicast = true};
	struct fixture *f = start(&config);

	for (unsigned i = 1; i <= 3; i++)
		add(f, i, PORT_VNIC);
	add(f, UP, PORT_UPLINK);
	*state = f;
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < N; i++)
		if (f->p[i].port.sw)
			vswitch_remove(f->sw, &f->p[i].port);
	vswitch_free(f->sw);
	free(f);
	return 0;
}

static inline void set(struct fixture *f, unsigned n)
{
	assert_int_equal(vswitch_reconfigure(f->sw, &f->p[n].port, &f->config[n]), 0);
}

static inline int input(struct fixture *f, unsigned from, struct frame *frame)
{
	return vswitch_input(f->sw, &f->p[from].port, frame, f->now);
}

static inline struct frame *frame_of(
	struct fixture *f, const uint8_t *dst, unsigned src, int32_t tci)
{
	uint8_t mac[NET_MAC_LEN];

	fake_mac(src, mac);
	return fake_frame(&f->buffer, dst, mac, tci, 0x88b5, NULL, 46);
}

/* Who got it, as bits; from port 'from', with its own address. */
static inline unsigned got(struct fixture *f)
{
	unsigned bits = 0;

	for (unsigned i = 0; i < N; i++) {
		unsigned n = fake_port_new(&f->p[i]);

		assert_true(n <= 1);
		bits |= n << i;
	}
	return bits;
}

static inline unsigned send_tagged(struct fixture *f, unsigned from, unsigned to, int32_t tci)
{
	uint8_t mac[NET_MAC_LEN];

	fake_mac(to, mac);
	assert_int_equal(input(f, from, frame_of(f, mac, from, tci)), 0);
	return got(f);
}

static inline unsigned unicast(struct fixture *f, unsigned from, unsigned to)
{
	return send_tagged(f, from, to, -1);
}

static inline unsigned broadcast(struct fixture *f, unsigned from)
{
	assert_int_equal(input(f, from, frame_of(f, everybody, from, -1)), 0);
	return got(f);
}

static inline uint64_t tx_drops(struct fixture *f, unsigned n, enum net_drop reason)
{
	return f->p[n].counters.tx_drops[reason];
}

static inline uint64_t rx_drops(struct fixture *f, unsigned n, enum net_drop reason)
{
	return f->p[n].counters.rx_drops[reason];
}

#define B(n) (1U << (n))
