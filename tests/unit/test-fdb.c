/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The address table. */
#include "devices/net/fdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/fakes/fake-port.h"

#define S   NSEC_PER_SEC
#define AGE (300 * S)

static const uint64_t seed[2] = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};

struct side {
	struct fdb_port port;
	struct vlan vlan;
};

struct fixture {
	struct fdb fdb;
	struct side a, b, c;
};

static void side_init(struct fixture *f, struct side *side, const struct net_vlan *vlan)
{
	assert_int_equal(vlan_init(&side->vlan, vlan, false), 0);
	fdb_port_init(&f->fdb, &side->port, &side->vlan);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(fdb_init(&f->fdb, seed), 0);
	side_init(f, &f->a, &(struct net_vlan){0});
	side_init(f, &f->b, &(struct net_vlan){0});
	side_init(f, &f->c, &(struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {10}});
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fdb_port_done(&f->fdb, &f->a.port);
	fdb_port_done(&f->fdb, &f->b.port);
	fdb_port_done(&f->fdb, &f->c.port);
	assert_int_equal(f->fdb.statics.n, 0);
	assert_int_equal(f->fdb.learned.n, 0);
	assert_int_equal(f->fdb.room, 0);
	fdb_done(&f->fdb);
	free(f);
	return 0;
}

static uint64_t mac_of(unsigned n)
{
	uint8_t mac[NET_MAC_LEN];

	fake_mac(n, mac);
	return fdb_mac(mac);
}

static const struct fdb_port *who(struct fixture *f, uint64_t mac, uint16_t vid, uint64_t now_ns)
{
	const struct fdb_entry *e = fdb_find(&f->fdb, mac, vid, now_ns);

	return e ? e->port : NULL;
}

static void test_static(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fdb_add_static(&f->fdb, &f->c.port, mac_of(1)), 0);
	assert_ptr_equal(who(f, mac_of(1), 10, 0), &f->c.port);
	/* In the VLANs of its port, and no others. */
	assert_null(who(f, mac_of(1), 0, 0));
	assert_null(who(f, mac_of(1), 11, 0));
	assert_null(who(f, mac_of(2), 10, 0));
	/* Once more is no harm. */
	assert_int_equal(fdb_add_static(&f->fdb, &f->c.port, mac_of(1)), 0);
	assert_int_equal(fdb_remove_static(&f->fdb, &f->c.port, mac_of(1)), 0);
	assert_int_equal(fdb_remove_static(&f->fdb, &f->c.port, mac_of(1)), -ENOENT);
	assert_null(who(f, mac_of(1), 10, 0));
	assert_int_equal(fdb_add_static(&f->fdb, &f->c.port, 0), -EINVAL);
	assert_int_equal(fdb_add_static(&f->fdb, &f->c.port, mac_of(1) | 1), -EINVAL);
}

static void test_same_address_twice(void **state)
{
	struct fixture *f = *state;
	struct side d;

	side_init(f, &d, &(struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {11}});
	assert_int_equal(fdb_add_static(&f->fdb, &f->c.port, mac_of(1)), 0);
	assert_int_equal(fdb_add_static(&f->fdb, &d.port, mac_of(1)), 0);
	assert_ptr_equal(who(f, mac_of(1), 10, 0), &f->c.port);
	assert_ptr_equal(who(f, mac_of(1), 11, 0), &d.port);
	/* A port in all VLANs is in both. */
	assert_int_equal(fdb_add_static(&f->fdb, &f->a.port, mac_of(1)), -EEXIST);
	assert_true(fdb_conflicts(&f->fdb, mac_of(1), &f->c.vlan, NULL));
	assert_false(fdb_conflicts(&f->fdb, mac_of(1), &f->c.vlan, &f->c.port));
	fdb_port_done(&f->fdb, &d.port);
	assert_ptr_equal(who(f, mac_of(1), 10, 0), &f->c.port);
	assert_null(who(f, mac_of(1), 11, 0));
}

/* F01: nobody teaches what is static; a static address added later wins too. */
static void test_static_wins(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->b.port, 8, AGE), 0);
	assert_int_equal(fdb_add_static(&f->fdb, &f->c.port, mac_of(1)), 0);
	fdb_learn(&f->fdb, &f->b.port, mac_of(1), 10, S);
	assert_ptr_equal(who(f, mac_of(1), 10, S), &f->c.port);
	assert_int_equal(f->b.port.n_learned, 0);
	/* In another VLAN it is another address. */
	fdb_learn(&f->fdb, &f->b.port, mac_of(1), 11, S);
	assert_ptr_equal(who(f, mac_of(1), 11, S), &f->b.port);

	fdb_learn(&f->fdb, &f->b.port, mac_of(2), 0, S);
	assert_ptr_equal(who(f, mac_of(2), 0, S), &f->b.port);
	assert_int_equal(fdb_add_static(&f->fdb, &f->a.port, mac_of(2)), 0);
	assert_ptr_equal(who(f, mac_of(2), 0, S), &f->a.port);
}

/* F02: a port that teaches too much pushes out its own oldest, and nobody else's. */
static void test_limit(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 4, AGE), 0);
	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->b.port, 4, AGE), 0);
	for (unsigned i = 0; i < 4; i++) {
		fdb_learn(&f->fdb, &f->a.port, mac_of(i), 0, S + i);
		fdb_learn(&f->fdb, &f->b.port, mac_of(100 + i), 0, S + i);
	}
	/* Used again: not the oldest any more. */
	fdb_learn(&f->fdb, &f->a.port, mac_of(0), 0, 3 * S);
	for (unsigned i = 10; i < 13; i++)
		fdb_learn(&f->fdb, &f->a.port, mac_of(i), 0, 3 * S + i);
	assert_ptr_equal(who(f, mac_of(0), 0, 4 * S), &f->a.port);
	for (unsigned i = 1; i < 4; i++)
		assert_null(who(f, mac_of(i), 0, 4 * S));
	for (unsigned i = 1000; i < 5000; i++)
		fdb_learn(&f->fdb, &f->a.port, mac_of(i), 0, 4 * S + i);
	assert_int_equal(f->a.port.n_learned, 4);
	for (unsigned i = 4996; i < 5000; i++)
		assert_ptr_equal(who(f, mac_of(i), 0, 5 * S), &f->a.port);
	for (unsigned i = 0; i < 4; i++)
		assert_ptr_equal(who(f, mac_of(100 + i), 0, 5 * S), &f->b.port);
	/* No limit: nothing. Nor groups and zeroes. */
	fdb_learn(&f->fdb, &f->c.port, mac_of(7), 10, S);
	fdb_learn(&f->fdb, &f->a.port, mac_of(7) | 1, 0, 5 * S);
	fdb_learn(&f->fdb, &f->a.port, 0, 0, 5 * S);
	assert_int_equal(f->fdb.learned.n, 8);
}

static void test_moves(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 4, AGE), 0);
	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->b.port, 1, AGE), 0);
	fdb_learn(&f->fdb, &f->a.port, mac_of(1), 5, S);
	fdb_learn(&f->fdb, &f->b.port, mac_of(2), 5, S);
	fdb_learn(&f->fdb, &f->b.port, mac_of(1), 5, 2 * S);
	assert_ptr_equal(who(f, mac_of(1), 5, 2 * S), &f->b.port);
	assert_null(who(f, mac_of(2), 5, 2 * S));
	assert_int_equal(f->a.port.n_learned, 0);
	fdb_forget(&f->fdb, mac_of(1), 5);
	assert_null(who(f, mac_of(1), 5, 2 * S));
	fdb_forget(&f->fdb, mac_of(1), 5);
}

/* F03, whether anybody calls fdb_age() or not. */
static void test_ageing(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fdb_deadline(&f->fdb), UINT64_MAX);
	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 4, AGE), 0);
	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->b.port, 4, 10 * S), 0);
	fdb_learn(&f->fdb, &f->a.port, mac_of(1), 0, S);
	fdb_learn(&f->fdb, &f->b.port, mac_of(2), 0, S);
	assert_int_equal(fdb_deadline(&f->fdb), 11 * S + 1);
	assert_non_null(who(f, mac_of(1), 0, S + 299 * S));
	assert_non_null(who(f, mac_of(1), 0, S + 300 * S));
	assert_null(who(f, mac_of(1), 0, S + 301 * S));
	assert_null(who(f, mac_of(2), 0, 12 * S));
	fdb_age(&f->fdb, fdb_deadline(&f->fdb) - 1);
	assert_int_equal(f->fdb.learned.n, 2);
	fdb_age(&f->fdb, fdb_deadline(&f->fdb));
	assert_int_equal(f->fdb.learned.n, 1);
	/* Seen again, it lives on. */
	fdb_learn(&f->fdb, &f->a.port, mac_of(1), 0, 200 * S);
	fdb_age(&f->fdb, 499 * S);
	assert_non_null(who(f, mac_of(1), 0, 499 * S));
	fdb_age(&f->fdb, 501 * S);
	assert_int_equal(f->fdb.learned.n, 0);
	assert_int_equal(fdb_deadline(&f->fdb), UINT64_MAX);
}

static void test_limit_changes(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 8, AGE), 0);
	for (unsigned i = 0; i < 8; i++)
		fdb_learn(&f->fdb, &f->a.port, mac_of(i), 0, S + i);
	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 3, AGE), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(who(f, mac_of(i), 0, 2 * S) != NULL, i >= 5);
	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 300, AGE), 0);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(who(f, mac_of(i), 0, 2 * S) != NULL, i >= 5);
	/* Still in order: the oldest goes first. */
	assert_int_equal(fdb_deadline(&f->fdb), S + 5 + AGE + 1);
	assert_int_equal(
		fdb_port_set_limit(&f->fdb, &f->b.port, FDB_MAX_LEARNED - 299, AGE), -ENOSPC);
	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 0, AGE), 0);
	assert_int_equal(f->fdb.learned.n, 0);
}

static void test_prune(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 8, AGE), 0);
	for (uint16_t vid = 9; vid < 12; vid++)
		fdb_learn(&f->fdb, &f->a.port, mac_of(1), vid, S);
	f->a.vlan = f->c.vlan;
	fdb_port_prune(&f->fdb, &f->a.port);
	assert_null(who(f, mac_of(1), 9, S));
	assert_ptr_equal(who(f, mac_of(1), 10, S), &f->a.port);
	assert_null(who(f, mac_of(1), 11, S));
}

/* What was looked up before is asked again after each change. */
static void test_asked_again(void **state)
{
	struct fixture *f = *state;
	/* The same memo, in two VLANs, and another address. */
	const uint64_t mac = mac_of(1), other = mac_of(1 + 256);

	assert_null(who(f, mac, 10, S));
	assert_int_equal(fdb_add_static(&f->fdb, &f->c.port, mac), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_null(who(f, other, 10, S));
		assert_ptr_equal(who(f, mac, 10, S), &f->c.port);
		assert_null(who(f, mac, 11, S));
	}
	f->c.vlan = f->a.vlan;
	fdb_port_prune(&f->fdb, &f->c.port);
	assert_ptr_equal(who(f, mac, 11, S), &f->c.port);
	assert_int_equal(fdb_remove_static(&f->fdb, &f->c.port, mac), 0);
	assert_null(who(f, mac, 11, S));
	assert_int_equal(fdb_add_static(&f->fdb, &f->a.port, mac), 0);
	assert_ptr_equal(who(f, mac, 11, S), &f->a.port);
	/* With its port. */
	fdb_port_done(&f->fdb, &f->a.port);
	assert_null(who(f, mac, 11, S));
	side_init(f, &f->a, &(struct net_vlan){0});
	/* What was nobody's can be learned, and forgotten. */
	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->b.port, 8, AGE), 0);
	fdb_learn(&f->fdb, &f->b.port, mac, 11, S);
	assert_ptr_equal(who(f, mac, 11, S), &f->b.port);
	fdb_forget(&f->fdb, mac, 11);
	assert_null(who(f, mac, 11, S));
	assert_null(who(f, 0, 0, S));
}

static size_t longest_chain(const struct fdb_table *table)
{
	size_t longest = 0;

	for (uint64_t i = 0; i <= table->mask; i++) {
		size_t n = 0;

		for (const struct fdb_entry *e = table->buckets[i]; e; e = e->next)
			n++;
		longest = MAX(longest, n);
	}
	return longest;
}

/* F07: addresses that meet in one bucket under one key do not under another; and whatever the pattern, chains stay
 * short. */
static void test_collisions(void **state)
{
	struct fixture *f = *state;
	struct fdb other;
	struct side d;
	uint64_t other_seed[2] = {1, 2}, attack[512];
	size_t n = 0;

	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 4096, AGE), 0);
	/* The attacker knows this key: all into bucket 0. */
	for (unsigned i = 1; n < ARRAY_SIZE(attack); i++) {
		fdb_learn(&f->fdb, &f->a.port, mac_of(i), 0, S);
		if (f->fdb.learned.buckets[0] && f->fdb.learned.buckets[0]->key == mac_of(i))
			attack[n++] = mac_of(i);
	}
	assert_int_equal(fdb_init(&other, other_seed), 0);
	assert_int_equal(vlan_init(&d.vlan, &(struct net_vlan){0}, false), 0);
	fdb_port_init(&other, &d.port, &d.vlan);
	assert_int_equal(fdb_port_set_limit(&other, &d.port, 4096, AGE), 0);
	for (size_t i = 0; i < n; i++)
		fdb_learn(&other, &d.port, attack[i], 0, S);
	assert_true(longest_chain(&other.learned) < 8);
	/* The same address in each VLAN; then addresses in a row. */
	for (uint16_t vid = 0; vid < 4090; vid++)
		fdb_learn(&other, &d.port, mac_of(1), vid, 2 * S);
	assert_true(longest_chain(&other.learned) < 12);
	for (unsigned i = 0; i < 4096; i++)
		fdb_learn(&other, &d.port, mac_of(i << 8), 0, 3 * S);
	assert_true(longest_chain(&other.learned) < 12);
	fdb_port_done(&other, &d.port);
	fdb_done(&other);
}

static void test_many_static(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < FDB_MAX_STATIC; i++)
		assert_int_equal(fdb_add_static(&f->fdb, &f->a.port, mac_of(i)), 0);
	assert_int_equal(fdb_add_static(&f->fdb, &f->a.port, mac_of(FDB_MAX_STATIC)), -ENOSPC);
	for (unsigned i = 0; i < FDB_MAX_STATIC; i++)
		assert_ptr_equal(who(f, mac_of(i), (uint16_t)(i % 4095), 0), &f->a.port);
	assert_true(longest_chain(&f->fdb.statics) < 12);
}

static void count(void *opaque, const struct fdb_entry *entry)
{
	unsigned *n = opaque;

	n[entry->is_static]++;
	if (!entry->is_static) {
		assert_int_equal(fdb_entry_vid(entry), 7);
		assert_true(fdb_entry_mac(entry) == mac_of(2));
	}
}

static void test_walk(void **state)
{
	struct fixture *f = *state;
	unsigned n[2] = {0};

	assert_int_equal(fdb_port_set_limit(&f->fdb, &f->a.port, 8, AGE), 0);
	assert_int_equal(fdb_add_static(&f->fdb, &f->c.port, mac_of(1)), 0);
	fdb_learn(&f->fdb, &f->a.port, mac_of(3), 7, S);
	fdb_learn(&f->fdb, &f->a.port, mac_of(2), 7, 200 * S);
	/* What is too old is not there. */
	fdb_each(&f->fdb, 400 * S, count, n);
	assert_int_equal(n[0], 1);
	assert_int_equal(n[1], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_static, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_address_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_static_wins, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ageing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limit_changes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_prune, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asked_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_collisions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_static, setup, teardown),
		cmocka_unit_test_setup_teardown(test_walk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
