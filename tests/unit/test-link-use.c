/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much direct links are used, and what makes way: by itself, and in a model of one machine among many. */
#include "daemon/link-use.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/network.h"

#define SEC UINT64_C(1000000)

static void test_rates(void **state)
{
	struct link_use use = {.made_usec = 10 * SEC}, other = {.made_usec = 11 * SEC};

	(void)state;
	/* One look says nothing. */
	link_use_told(&use, 5000, 20 * SEC);
	assert_false(link_use_is_quiet(&use, 20 * SEC));
	link_use_told(&use, 5000 + LINK_USE_QUIET, 21 * SEC);
	assert_int_equal(use.rate, LINK_USE_QUIET);
	assert_true(link_use_is_quiet(&use, 21 * SEC));
	link_use_told(&use, 5000 + LINK_USE_QUIET + 2 * (LINK_USE_QUIET + 1), 23 * SEC);
	assert_false(link_use_is_quiet(&use, 23 * SEC));
	/* What was told long ago says nothing of now, nor of what came between. */
	link_use_told(&use, 5200, 24 * SEC);
	assert_true(link_use_is_quiet(&use, 24 * SEC + LINK_USE_FRESH_USEC));
	assert_false(link_use_is_quiet(&use, 24 * SEC + LINK_USE_FRESH_USEC + 1));
	link_use_told(&use, 5200, 25 * SEC + LINK_USE_FRESH_USEC);
	assert_false(link_use_is_quiet(&use, 25 * SEC + LINK_USE_FRESH_USEC));
	/* Lies: back, far, and twice at once. */
	link_use_told(&use, 1, 29 * SEC);
	assert_false(use.has_rate);
	link_use_told(&use, UINT64_MAX, 30 * SEC);
	assert_true(use.has_rate && use.rate == UINT64_MAX);
	link_use_told(&use, UINT64_MAX, 30 * SEC);
	assert_false(use.has_rate);
	/* A young one stays, however quiet. */
	use = (struct link_use){.made_usec = 100 * SEC};
	link_use_told(&use, 0, 101 * SEC);
	link_use_told(&use, 0, 102 * SEC);
	assert_false(link_use_is_quiet(&use, 100 * SEC + LINK_USE_LIFE_USEC - 1));
	assert_true(link_use_is_quiet(&use, 100 * SEC + LINK_USE_LIFE_USEC));
	assert_true(link_use_is_less(&other, &use));
	other.rate = 1;
	assert_true(link_use_is_less(&use, &other));
	assert_false(link_use_is_less(&other, &use));
}

/* A machine with PEERS others on its network, for RUN_S seconds: each second the pairs without a link that exchange enough
 * ask for one, and the looks are as the daemon's. 'rate' says what a peer exchanges in a second. */
#define PEERS 63
#define RUN_S 120

struct model {
	struct link_use uses[PEERS];
	bool has[PEERS];
	unsigned n_links, n_replaced;
	uint64_t frames[PEERS];
};

static int make_way(const struct model *m, uint64_t now)
{
	int found = -1;

	for (int i = 0; i < PEERS; i++)
		if (m->has[i] && link_use_is_quiet(&m->uses[i], now) &&
			(found < 0 || link_use_is_less(&m->uses[i], &m->uses[found])))
			found = i;
	return found;
}

static void ask(struct model *m, unsigned peer, uint64_t now)
{
	if (m->n_links == NETWORK_MAX_DIRECTS) {
		int quiet = make_way(m, now);

		if (quiet < 0)
			return;
		m->has[quiet] = false;
		m->n_links--;
		m->n_replaced++;
	}
	m->has[peer] = true;
	m->n_links++;
	m->frames[peer] = 0;
	m->uses[peer] = (struct link_use){.made_usec = now};
}

static void run(struct model *m, uint64_t (*rate)(unsigned peer, unsigned second))
{
	for (unsigned s = 1; s <= RUN_S; s++) {
		for (unsigned i = 0; i < PEERS; i++) {
			if (m->has[i]) {
				m->frames[i] += rate(i, s);
				link_use_told(&m->uses[i], m->frames[i], s * SEC);
			}
		}
		for (unsigned i = 0; i < PEERS; i++)
			if (!m->has[i] && rate(i, s) >= 640)
				ask(m, i, s * SEC);
		assert_true(m->n_links <= NETWORK_MAX_DIRECTS);
	}
}

static uint64_t all_busy(unsigned peer, unsigned second)
{
	return 700 + 13 * ((peer * 7 + second) % 50);
}

/* All talk to all: nobody's link is taken from him. */
static void test_equals_stay(void **state)
{
	struct model m = {0};

	(void)state;
	run(&m, all_busy);
	assert_int_equal(m.n_links, NETWORK_MAX_DIRECTS);
	assert_int_equal(m.n_replaced, 0);
}

/* For a minute the one half, then the other. */
static uint64_t halves(unsigned peer, unsigned second)
{
	return (peer < NETWORK_MAX_DIRECTS) == (second <= RUN_S / 2) ? 10000 : 1 + peer;
}

static void test_the_busy_get_them(void **state)
{
	struct model m = {0};

	(void)state;
	run(&m, halves);
	for (unsigned i = NETWORK_MAX_DIRECTS; i < PEERS; i++)
		assert_true(m.has[i]);
	/* The one that is left is the least quiet of those before. */
	assert_true(m.has[NETWORK_MAX_DIRECTS - 1]);
	assert_int_equal(m.n_replaced, PEERS - NETWORK_MAX_DIRECTS);
}

/* Each bursts for a second and is silent for two. */
static uint64_t bursts(unsigned peer, unsigned second)
{
	return (peer + second) % 3 == 0 ? 2000 : 0;
}

static void test_bursts_cost_little(void **state)
{
	struct model m = {0};

	(void)state;
	run(&m, bursts);
	assert_int_equal(m.n_links, NETWORK_MAX_DIRECTS);
	assert_true(m.n_replaced <= NETWORK_MAX_DIRECTS * RUN_S * SEC / LINK_USE_LIFE_USEC);
	assert_true(m.n_replaced > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_equals_stay),
		cmocka_unit_test(test_the_busy_get_them),
		cmocka_unit_test(test_bursts_cost_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
