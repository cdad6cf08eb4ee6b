/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IP addresses of ports. */
#include "devices/net/neigh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fakes/fake-port.h"

#define S NSEC_PER_SEC

struct fixture {
	struct neigh *n;
	struct vlan any, ten;
	uint8_t mac[NET_MAC_LEN];
};

static struct net_ip ip4(unsigned last)
{
	return (struct net_ip){
		.family = 4, .prefix = 32, .bytes = {10, 0, (uint8_t)(last >> 8), (uint8_t)last}};
}

static int setup(void **state)
{
	const uint64_t seed[2] = {7, 8};
	const struct net_vlan access = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}};
	const struct net_port_config none = {0};
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(vlan_init(&f->any, &(struct net_vlan){0}, false), 0);
	assert_int_equal(vlan_init(&f->ten, &access, false), 0);
	assert_int_equal(neigh_new(seed, &f->n), 0);
	for (unsigned port = 1; port <= 3; port++)
		assert_int_equal(neigh_set_port(f->n, port, &none, &f->any), 0);
	fake_mac(1, f->mac);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	neigh_free(f->n);
	free(f);
	return 0;
}

static bool heard(struct fixture *f, unsigned port, uint16_t vid, unsigned last, uint64_t now_ns)
{
	struct net_ip ip = ip4(last);

	return neigh_heard(f->n, port, vid, f->mac, &ip, now_ns);
}

static int find(struct fixture *f, uint16_t vid, unsigned last, uint64_t now_ns)
{
	struct net_ip ip = ip4(last);

	return neigh_find(f->n, vid, &ip, now_ns);
}

static void test_heard(void **state)
{
	struct fixture *f = *state;
	struct net_ip ip = ip4(1);

	assert_int_equal(find(f, 0, 1, S), -1);
	assert_true(heard(f, 1, 0, 1, S));
	assert_false(heard(f, 1, 0, 1, S));
	assert_int_equal(find(f, 0, 1, S), 1);
	/* Each VLAN for itself. */
	assert_int_equal(find(f, 10, 1, S), -1);
	assert_true(heard(f, 2, 10, 1, S));
	assert_int_equal(find(f, 0, 1, S), 1);
	assert_int_equal(find(f, 10, 1, S), 2);
	/* News again: after a while, with another MAC, behind another port. */
	assert_false(heard(f, 1, 0, 1, 60 * S));
	assert_true(heard(f, 1, 0, 1, 61 * S));
	f->mac[5]++;
	assert_true(heard(f, 1, 0, 1, 61 * S));
	assert_true(heard(f, 3, 0, 1, 61 * S));
	assert_int_equal(find(f, 0, 1, 61 * S), 3);
	/* Fresh for a minute. */
	assert_int_equal(find(f, 0, 1, 61 * S + NEIGH_FRESH_NS), 3);
	assert_int_equal(find(f, 0, 1, 61 * S + NEIGH_FRESH_NS + 1), -1);
	neigh_forget(f->n, 0, &ip);
	neigh_forget(f->n, 0, &ip);
	assert_int_equal(find(f, 0, 1, 61 * S), -1);
	neigh_remove_port(f->n, 2);
	assert_int_equal(find(f, 10, 1, S), -1);
}

static void test_own(void **state)
{
	struct fixture *f = *state;
	struct net_port_config config = {.n_ips = 3, .ips = {ip4(1), ip4(2), ip4(0)}};
	struct net_ip six = {.family = 6, .prefix = 128, .bytes = {10, 0, 0, 1}};

	config.ips[1].prefix = 24; /* a net is nobody's address */
	config.ips[2] = six;
	assert_int_equal(neigh_set_port(f->n, 1, &config, &f->ten), 0);
	assert_int_equal(find(f, 10, 1, S), 1);
	assert_int_equal(find(f, 10, 2, S), -1);
	assert_int_equal(find(f, 0, 1, S), -1);
	assert_int_equal(neigh_find(f->n, 10, &six, S), 1);
	/* What others claim does not move it, and it does not age. */
	assert_true(heard(f, 2, 10, 1, S));
	assert_int_equal(find(f, 10, 1, S), 1);
	assert_int_equal(find(f, 10, 1, 1000 * S), 1);
	config.n_ips = 0;
	assert_int_equal(neigh_set_port(f->n, 1, &config, &f->ten), 0);
	assert_int_equal(find(f, 10, 1, S), 2);
}

/* Who claims many addresses loses its own oldest claims, and nobody else's. */
static void test_limit(void **state)
{
	struct fixture *f = *state;

	assert_true(heard(f, 2, 0, 5000, S));
	for (unsigned i = 0; i < 1000; i++) {
		assert_true(heard(f, 1, 0, i, S));
		assert_false(heard(f, 1, 0, 0, S) && i < NEIGH_MAX_HEARD);
	}
	assert_int_equal(find(f, 0, 5000, S), 2);
	assert_int_equal(find(f, 0, 999, S), 1);
	assert_int_equal(find(f, 0, 0, S), 1); /* heard again and again */
	assert_int_equal(find(f, 0, 1, S), -1);
	assert_int_equal(find(f, 0, 1000 - NEIGH_MAX_HEARD, S), -1);
	assert_int_equal(find(f, 0, 1001 - NEIGH_MAX_HEARD, S), 1);
}

/* What an address of layer 2 uses: its own ones, and what it was heard to claim lately, the newest first. */
static void test_of(void **state)
{
	struct net_port_config own = {.n_ips = 1, .ips = {ip4(1)}};
	struct fixture *f = *state;
	uint8_t other[NET_MAC_LEN];
	struct net_ip ips[4];

	fake_mac(2, other);
	assert_int_equal(neigh_set_port(f->n, 2, &own, &f->ten), 0);
	assert_true(heard(f, 2, 10, 7, S));
	assert_true(heard(f, 2, 10, 8, 2 * S));
	assert_true(heard(f, 2, 0, 9, 2 * S));
	assert_false(heard(f, 2, 10, 7, 3 * S));
	assert_int_equal(neigh_of(f->n, 2, true, f->mac, 10, 3 * S, ips, 4), 3);
	assert_int_equal(ips[0].bytes[3], 1);
	assert_int_equal(ips[1].bytes[3], 7);
	assert_int_equal(ips[2].bytes[3], 8);
	/* Heard and configured: once. */
	assert_true(heard(f, 2, 10, 1, 3 * S));
	assert_int_equal(neigh_of(f->n, 2, true, f->mac, 10, 3 * S, ips, 4), 3);
	assert_int_equal(neigh_of(f->n, 2, true, f->mac, 10, 3 * S, ips, 2), 2);
	assert_int_equal(neigh_of(f->n, 2, false, f->mac, 0, 3 * S, ips, 4), 1);
	assert_int_equal(ips[0].bytes[3], 9);
	assert_int_equal(neigh_of(f->n, 2, false, other, 10, 3 * S, ips, 4), 0);
	assert_int_equal(neigh_of(f->n, 9, true, f->mac, 10, 3 * S, ips, 4), 0);
	/* In a VLAN that is not the port's nothing is its own. */
	assert_int_equal(neigh_of(f->n, 2, true, f->mac, 11, 3 * S, ips, 4), 0);
	assert_int_equal(
		neigh_of(f->n, 2, false, f->mac, 10, 2 * S + NEIGH_CLAIM_NS + 1, ips, 4), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(test_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_of, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
