/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* LACP: two teams back to back, over links that lose, delay and reorder frames. Whatever the links did, once they
 * work the teams find together; and nobody sends to a member whose partner has not said that it collects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/net/lacp.h"

#define SEC                 NSEC_PER_SEC
#define MSEC                NSEC_PER_MSEC
#define MAX_FLYING          256
#define N_LINKS             3
#define SYNC_AND_COLLECTING (LACP_STATE_SYNCHRONIZATION | LACP_STATE_COLLECTING)

struct flying {
	bool used;
	unsigned to, member;
	uint64_t at_ns, number; /* of those at the same time, the first sent comes first */
	uint8_t bytes[LACP_FRAME_LEN];
};

struct world;

struct side {
	struct world *w;
	unsigned self; /* 0 or 1 */
	struct lacp l;
	uint64_t next_ns;
	unsigned n_sent[N_LINKS];
	uint64_t sent_ns[N_LINKS][LACP_MAX_TX];
	uint8_t heard[N_LINKS];              /* the state byte of the last frame that came in */
	uint64_t not_collecting_ns[N_LINKS]; /* since when; UINT64_MAX: it does collect */
};

struct world {
	uint64_t now_ns, random;
	unsigned loss_percent;
	uint64_t max_delay_ns, timeout_ns[2];
	struct side sides[2];
	struct flying flying[MAX_FLYING];
	unsigned n_lost;
	uint64_t n_sent;
};

/* xorshift64* */
static uint64_t draw(struct world *w, uint64_t below)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (w->random * UINT64_C(2685821657736338717) >> 11) % below;
}

static int on_transmit(void *opaque, unsigned member, const uint8_t *frame, size_t len)
{
	struct side *side = opaque;
	struct world *w = side->w;
	uint64_t *oldest_ns = &side->sent_ns[member][side->n_sent[member]++ % LACP_MAX_TX];
	struct flying *f = w->flying;

	assert_int_equal(len, LACP_FRAME_LEN);
	assert_true(!*oldest_ns || w->now_ns - *oldest_ns >= SEC);
	*oldest_ns = w->now_ns;
	if (draw(w, 100) < w->loss_percent) {
		w->n_lost++;
		return 0;
	}
	while (f < w->flying + MAX_FLYING && f->used)
		f++;
	assert_true(f < w->flying + MAX_FLYING);
	*f = (struct flying){.used = true,
		.to = !side->self,
		.member = member,
		.number = w->n_sent++,
		.at_ns = w->now_ns + draw(w, w->max_delay_ns + 1)};
	memcpy(f->bytes, frame, len);
	return 0;
}

static void on_changed(void *opaque, unsigned member)
{
	struct side *side = opaque;
	bool collecting = lacp_member_is_collecting(&side->l, member);

	if (!collecting && side->not_collecting_ns[member] == UINT64_MAX)
		side->not_collecting_ns[member] = side->w->now_ns;
	else if (collecting)
		side->not_collecting_ns[member] = UINT64_MAX;
}

static const struct lacp_ops ops = {.transmit = on_transmit, .changed = on_changed};

static void start(struct world *w, uint64_t seed, const bool active[2], const bool fast[2])
{
	memset(w, 0, sizeof(*w));
	w->random = seed * 2654435761U + 1;
	w->now_ns = SEC;
	for (unsigned i = 0; i < 2; i++) {
		struct side *side = &w->sides[i];
		struct lacp_config config = {.system_priority = 0xffff,
			.system_mac = {2, 0, 0, 0, 0, (uint8_t)i},
			.key = (uint16_t)(i + 1),
			.active = active[i],
			.fast = fast[i]};

		side->w = w;
		side->self = i;
		w->timeout_ns[i] = fast[i] ? 3 * SEC : 90 * SEC;
		assert_int_equal(lacp_init(&side->l, &config, &ops, side), 0);
		for (unsigned m = 0; m < N_LINKS; m++) {
			uint8_t mac[6] = {2, 0, 0, 0, (uint8_t)(m + 1), (uint8_t)i};

			assert_int_equal(lacp_member_add(&side->l, m, mac, 0xff, 0), 0);
		}
	}
}

static void set_link(struct world *w, unsigned member, bool up)
{
	for (unsigned i = 0; i < 2; i++)
		lacp_member_link(&w->sides[i].l, member, up, 1000, true, w->now_ns);
}

/* What holds at every moment. */
static void check(const struct world *w)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct side *side = &w->sides[i], *other = &w->sides[!i];

		for (unsigned m = 0; m < N_LINKS; m++) {
			if (!lacp_member_is_distributing(&side->l, m))
				continue;
			assert_true(lacp_member_is_collecting(&side->l, m));
			assert_int_equal(side->heard[m] & SYNC_AND_COLLECTING, SYNC_AND_COLLECTING);
			/* The last frames of before may be late, and all frames since be lost. */
			if (other->not_collecting_ns[m] != UINT64_MAX)
				assert_true(w->now_ns - other->not_collecting_ns[m] <=
					w->max_delay_ns + w->timeout_ns[i]);
		}
	}
}

static struct flying *first_flying(struct world *w)
{
	struct flying *first = NULL, *f;

	FOREACH_ELEMENT (f, w->flying)
		if (f->used &&
			(!first || f->at_ns < first->at_ns ||
				(f->at_ns == first->at_ns && f->number < first->number)))
			first = f;
	return first;
}

static void deliver(struct world *w, struct flying *f)
{
	struct side *side = &w->sides[f->to];

	f->used = false;
	if (side->l.members[f->member].link_up)
		side->heard[f->member] = f->bytes[32];
	lacp_input(&side->l, f->member, f->bytes, sizeof(f->bytes), w->now_ns);
}

static void run_for(struct world *w, uint64_t ns)
{
	uint64_t end_ns = w->now_ns + ns;

	for (;;) {
		struct flying *f;
		uint64_t next_ns = UINT64_MAX;

		for (unsigned i = 0; i < 2; i++) {
			w->sides[i].next_ns = lacp_poll(&w->sides[i].l, w->now_ns);
			assert_true(w->sides[i].next_ns > w->now_ns);
			next_ns = MIN(next_ns, w->sides[i].next_ns);
		}
		check(w);
		f = first_flying(w);
		if (MIN(f ? f->at_ns : UINT64_MAX, next_ns) > end_ns)
			break;
		if (f && f->at_ns <= next_ns) {
			w->now_ns = f->at_ns;
			deliver(w, f);
		} else {
			w->now_ns = next_ns;
		}
	}
	w->now_ns = end_ns;
}

static bool all_work(const struct world *w)
{
	for (unsigned i = 0; i < 2; i++)
		for (unsigned m = 0; m < N_LINKS; m++)
			if (!lacp_member_is_distributing(&w->sides[i].l, m))
				return false;
	return true;
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	return w;
}

/* L01: every combination of active and passive, fast and slow, over perfect links. */
static void test_L01_combinations(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (unsigned bits = 0; bits < 16; bits++) {
		const bool active[2] = {bits & 1, bits & 2}, fast[2] = {bits & 4, bits & 8};

		start(w, bits, active, fast);
		for (unsigned m = 0; m < N_LINKS; m++)
			set_link(w, m, true);
		run_for(w, 2 * SEC - 1);
		assert_false(all_work(w));
		run_for(w, SEC);
		assert_int_equal(all_work(w), active[0] || active[1]);
		run_for(w, 1000 * SEC);
		assert_int_equal(all_work(w), active[0] || active[1]);
		for (unsigned i = 0; i < 2; i++) {
			/* As often as the other end wants, plus the few of the beginning. */
			unsigned n = fast[!i] ? 1003 : 34;
			unsigned sent = w->sides[i].n_sent[0];

			if (active[0] || active[1])
				assert_in_range(sent, n - 2, n + 4);
			else
				assert_int_equal(sent, 0);
		}
	}
	free(w);
}

static void ordeal(struct world *w, uint64_t seed)
{
	const bool active[2] = {true, seed & 1}, fast[2] = {seed & 2, seed & 4};

	start(w, seed, active, fast);
	w->loss_percent = (unsigned)draw(w, 60);
	w->max_delay_ns = draw(w, 900 * MSEC);
	for (unsigned m = 0; m < N_LINKS; m++)
		set_link(w, m, true);
	for (unsigned i = 0; i < 20; i++) {
		run_for(w, draw(w, 20 * SEC));
		if (draw(w, 2)) /* both ends see it, or one */
			set_link(w, (unsigned)draw(w, N_LINKS), draw(w, 3));
		else
			lacp_member_link(&w->sides[draw(w, 2)].l, (unsigned)draw(w, N_LINKS),
				draw(w, 3), 1000, true, w->now_ns);
	}
	/* The links work again, although they are still slow. */
	w->loss_percent = 0;
	for (unsigned m = 0; m < N_LINKS; m++)
		set_link(w, m, true);
	run_for(w, 135 * SEC);
	assert_true(all_work(w));
	for (unsigned i = 0; i < 200; i++) {
		run_for(w, SEC);
		assert_true(all_work(w));
	}
}

static void test_loss_delay_reordering(void **state)
{
	struct world *w = world_new();
	unsigned n_lost = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 300; seed++) {
		ordeal(w, seed);
		n_lost += w->n_lost;
	}
	assert_true(n_lost > 10000);
	free(w);
}

/* One direction of a link is dead and nobody's carrier is: after the timeout both ends have stopped. */
static void test_one_way(void **state)
{
	const bool both[2] = {true, true};
	struct world *w = world_new();
	uint64_t end_ns;

	(void)state;
	start(w, 7, both, both);
	set_link(w, 0, true);
	run_for(w, 10 * SEC);
	assert_true(lacp_member_is_distributing(&w->sides[0].l, 0));
	for (end_ns = w->now_ns + 8 * SEC; w->now_ns < end_ns;) {
		struct flying *f;

		run_for(w, MSEC);
		FOREACH_ELEMENT (f, w->flying)
			f->used &= f->to != 1;
		w->max_delay_ns = 2 * MSEC; /* so that there is something to catch */
	}
	for (unsigned i = 0; i < 2; i++)
		assert_false(lacp_member_is_distributing(&w->sides[i].l, 0));
	free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_L01_combinations),
		cmocka_unit_test(test_loss_delay_reordering),
		cmocka_unit_test(test_one_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
