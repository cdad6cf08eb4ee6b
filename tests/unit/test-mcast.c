/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Multicast groups. */
#include "devices/net/mcast.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "devices/net/fdb.h"

#define S NSEC_PER_SEC

static const uint64_t seed[2] = {3, 4};

#define GROUP(b3, b4, b5) fdb_mac((const uint8_t[]){0x01, 0x00, 0x5e, b3, b4, b5})
#define GROUP6(b4, b5)    fdb_mac((const uint8_t[]){0x33, 0x33, 0, 0, b4, b5})

/* Somebody asks on port 200, and all have had the time to answer. */
static int setup(void **state)
{
	struct mcast *m;

	assert_int_equal(mcast_new(seed, &m), 0);
	mcast_query(m, 200, 0, false, 10 * S, S);
	mcast_query(m, 200, 0, true, 10 * S, S);
	*state = m;
	return 0;
}

static int teardown(void **state)
{
	*state = mcast_free(*state);
	return 0;
}

/* -1: everybody; else how many get it, without the router port. */
static int members(struct mcast *m, uint64_t mac, uint16_t vid, uint64_t now_ns)
{
	struct mcast_set set;
	int n = 0;

	if (!mcast_find(m, mac, vid, now_ns, &set))
		return -1;
	for (unsigned i = 0; i < 200; i++)
		n += mcast_set_has(&set, i);
	return n;
}

static bool gets(struct mcast *m, unsigned port, uint64_t mac, uint64_t now_ns)
{
	struct mcast_set set;

	return !mcast_find(m, mac, 0, now_ns, &set) || mcast_set_has(&set, port);
}

static void test_join_and_leave(void **state)
{
	struct mcast *m = *state;
	uint64_t group = GROUP(1, 2, 3);

	assert_int_equal(members(m, group, 0, 12 * S), -1);
	mcast_join(m, 5, group, 0, 12 * S);
	mcast_join(m, 6, group, 0, 12 * S);
	assert_int_equal(members(m, group, 0, 12 * S), 2);
	assert_true(gets(m, 5, group, 12 * S));
	assert_false(gets(m, 7, group, 12 * S));
	assert_true(gets(m, 200, group, 12 * S)); /* the router */
	assert_int_equal(members(m, GROUP(1, 2, 4), 0, 12 * S), -1);
	/* Another may be behind the port: it answers within two seconds. */
	mcast_leave(m, 5, group, 0, 20 * S);
	assert_true(gets(m, 5, group, 20 * S + MCAST_LEAVE_NS - 1));
	assert_false(gets(m, 5, group, 20 * S + MCAST_LEAVE_NS));
	mcast_leave(m, 6, group, 0, 30 * S);
	mcast_join(m, 6, group, 0, 31 * S);
	assert_int_equal(members(m, group, 0, 33 * S), 1);
	/* Who is not in cannot leave. */
	mcast_leave(m, 9, group, 0, 33 * S);
	mcast_leave(m, 9, GROUP(9, 9, 9), 0, 33 * S);
	assert_int_equal(members(m, group, 0, 34 * S), 1);
}

/* M01: 260 s, whether anybody calls mcast_age() or not. */
static void test_ageing(void **state)
{
	struct mcast *m = *state;
	uint64_t group = GROUP(1, 2, 3);

	mcast_join(m, 5, group, 0, 20 * S);
	mcast_join(m, 6, group, 0, 100 * S);
	mcast_query(m, 200, 0, false, 10 * S, 250 * S);
	assert_int_equal(members(m, group, 0, 279 * S), 2);
	assert_int_equal(members(m, group, 0, 280 * S), 1);
	assert_int_equal(members(m, group, 0, 359 * S), 1);
	/* Nobody is left: unknown again. */
	assert_int_equal(members(m, group, 0, 360 * S), -1);

	mcast_join(m, 7, group, 0, 400 * S);
	assert_int_equal(mcast_deadline(m), 505 * S); /* the router */
	mcast_age(m, 505 * S);
	assert_int_equal(mcast_deadline(m), 660 * S);
	mcast_age(m, 660 * S);
	assert_int_equal(mcast_deadline(m), UINT64_MAX);
}

/* Nothing is filtered before all have answered, nor when nobody asks any more; each VLAN and IP version for itself. */
static void test_querier(void **state)
{
	struct mcast *m = *state;
	uint64_t group = GROUP(1, 2, 3), group6 = GROUP6(1, 2);

	mcast_join(m, 5, group, 0, 2 * S);
	mcast_join(m, 5, group6, 0, 2 * S);
	mcast_join(m, 5, group, 10, 2 * S);
	assert_int_equal(members(m, group, 0, 10 * S), -1);
	assert_int_equal(members(m, group, 0, 11 * S), 1);
	assert_int_equal(members(m, group6, 0, 11 * S), 1);
	assert_int_equal(members(m, group, 10, 11 * S), -1);
	mcast_query(m, 200, 10, false, 25 * S, 20 * S);
	assert_int_equal(members(m, group, 10, 44 * S), -1);
	assert_int_equal(members(m, group, 10, 45 * S), 1);
	assert_int_equal(members(m, group, 0, S + MCAST_QUERIER_NS), 1);
	assert_int_equal(members(m, group, 0, S + MCAST_QUERIER_NS + 1), -1);
	assert_int_equal(members(m, group6, 0, S + MCAST_QUERIER_NS + 1), -1);
}

static void test_routers(void **state)
{
	struct mcast *m = *state;
	uint64_t group = GROUP(1, 2, 3);

	mcast_join(m, 5, group, 0, 100 * S);
	mcast_query(m, 9, 0, false, 10 * S, 100 * S);
	assert_true(gets(m, 9, group, 110 * S));
	assert_true(gets(m, 200, group, 255 * S));
	assert_false(gets(m, 200, group, 256 * S));
	assert_true(gets(m, 9, group, 354 * S));
	mcast_remove_port(m, 9);
	assert_false(gets(m, 9, group, 300 * S));
}

static void test_reports(void **state)
{
	struct mcast *m = *state;
	struct mcast_set set;

	assert_true(mcast_routers(m, 0, false, 2 * S, &set));
	assert_true(mcast_set_has(&set, 200));
	assert_false(mcast_set_has(&set, 5));
	assert_true(mcast_routers(m, 0, true, 2 * S, &set));
	assert_false(mcast_routers(m, 10, false, 2 * S, &set));
	assert_false(mcast_routers(m, 0, false, S + MCAST_QUERIER_NS + 1, &set));
}

static void test_never_filtered(void **state)
{
	struct mcast *m = *state;
	const uint64_t never[] = {
		GROUP(0, 0, 1),
		GROUP(0, 0, 251), /* 224.0.0.x */
		GROUP6(0, 1),     /* ff02::1 */
		fdb_mac((const uint8_t[]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
		fdb_mac((const uint8_t[]){0x01, 0x80, 0xc2, 0, 0, 0x0e}),
		fdb_mac((const uint8_t[]){0x01, 0x00, 0x5e, 0x80, 1, 1}), /* MPLS */
		fdb_mac((const uint8_t[]){0x52, 0x54, 0, 1, 2, 3}),
	};

	for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
		mcast_join(m, 5, never[i], 0, 20 * S);
		assert_int_equal(members(m, never[i], 0, 20 * S), -1);
	}
}

/* Limits: who wants more than there is room for gets all, and the groups of others are not touched. */
static void test_limits(void **state)
{
	struct mcast *m = *state;
	uint64_t group = GROUP(1, 2, 3), other = GROUP(1, 2, 4);

	mcast_join(m, 1, group, 0, 20 * S);
	mcast_join(m, 1, other, 0, 20 * S);
	for (unsigned i = 0; i <= MCAST_MAX_JOINS; i++) {
		assert_false(gets(m, 5, group, 20 * S));
		mcast_join(m, 5, GROUP(9, i >> 8, i & 255), 0, 20 * S);
	}
	assert_true(gets(m, 5, group, 20 * S));
	assert_true(gets(m, 5, other, 20 * S));
	assert_false(gets(m, 6, group, 20 * S));
	/* A report that names more than was read. */
	mcast_join_all(m, 6, 20 * S);
	assert_true(gets(m, 6, group, 20 * S));

	for (unsigned port = 10; port < 20; port++)
		for (unsigned i = 0; i < MCAST_MAX_JOINS; i++)
			mcast_join(m, port, GROUP(port, 1, i), 0, 20 * S);
	/* The table is full. */
	assert_true(gets(m, 19, group, 20 * S));
	assert_int_equal(members(m, GROUP(19, 1, 5), 0, 20 * S), -1);
	assert_true(gets(m, 1, group, 20 * S));
	assert_false(gets(m, 150, group, 20 * S));
	for (unsigned port = 0; port < NET_MAX_PORTS; port++)
		mcast_remove_port(m, port);
	mcast_join(m, 3, group, 0, 20 * S);
	assert_int_equal(members(m, group, 0, 20 * S), 1);
}

static void found(void *opaque, uint64_t mac, uint16_t vid, unsigned port, uint64_t expires_ns)
{
	assert_true(mac == GROUP(1, 2, 3));
	assert_int_equal(vid, 11);
	assert_int_equal(port, 5);
	assert_int_equal(expires_ns, 280 * S);
	(*(unsigned *)opaque)++;
}

static void test_prune(void **state)
{
	const struct net_vlan config = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {11}};
	struct mcast *m = *state;
	struct vlan vlan;
	unsigned n = 0;

	assert_int_equal(vlan_init(&vlan, &config, false), 0);
	for (uint16_t vid = 10; vid < 13; vid++)
		mcast_join(m, 5, GROUP(1, 2, 3), vid, 20 * S);
	mcast_prune_port(m, 5, &vlan);
	mcast_each(m, found, &n);
	assert_int_equal(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_join_and_leave, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ageing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_querier, setup, teardown),
		cmocka_unit_test_setup_teardown(test_routers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reports, setup, teardown),
		cmocka_unit_test_setup_teardown(test_never_filtered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prune, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
