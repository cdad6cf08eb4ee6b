/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who gives memory up and who gets it back: tables of single looks, and guests, a hog and a host over hours of their time. */
#include "daemon/memory-share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "vmm-core/base/macro.h"

#define M(n) ((uint64_t)(n)*1024)
#define G(n) M((n)*1024)

/* What a guest is in most tests: 4 GiB, of which 1 GiB is its floor. */
static struct share_guest guest(char *name, uint64_t usable)
{
	return (struct share_guest){
		.who = name,
		.known = true,
		.ceiling = G(4),
		.floor = G(1),
		.weight = SHARE_DEFAULT_WEIGHT,
		.target = G(4),
		.has = G(4),
		.usable = usable,
	};
}

static struct share_guest *find(struct share_guest *guests, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(guests[i].who, name) == 0)
			return &guests[i];
	fail_msg("no guest '%s'", name);
	return NULL;
}

static unsigned look(const struct share_host *host, struct share_guest *guests, size_t n)
{
	struct share s = {0};

	return share_look(&s, 1000, host, guests, n);
}

static const struct share_host short_host = {.total = G(16), .available = M(700), .pressed = true};

/* One look at one guest of a host under pressure. */
static void test_table(void **state)
{
	static const struct {
		const char *what;
		uint64_t usable, floor, target, has;
		bool unknown;
		uint64_t swapped, faults;
		uint64_t wanted;
		enum share_reason reason;
		enum share_state state;
	} rows[] = {
		/* An eighth at a time, of which the host wants 512 MiB. */
		{"has plenty", G(3), G(1), G(4), G(4), false, 0, 0, G(4) - M(512), SHARE_PRESSURE,
			SHARE_STATE_TAKEN},
		{"keeps two reserves", M(600), G(1), G(4), G(4), false, 0, 0, G(4) - M(88),
			SHARE_PRESSURE, SHARE_STATE_TAKEN},
		{"uses what it has", M(512), G(1), G(4), G(4), false, 0, 0, G(4), SHARE_NONE,
			SHARE_STATE_USED},
		{"is near its floor", G(3), G(4) - M(10), G(4), G(4), false, 0, 0, G(4) - M(10),
			SHARE_PRESSURE, SHARE_STATE_FLOOR},
		{"is at its floor", G(3), G(4), G(4), G(4), false, 0, 0, G(4), SHARE_NONE,
			SHARE_STATE_USED},
		{"has a floor above all", G(3), G(9), G(4), G(4), false, 0, 0, G(4), SHARE_NONE,
			SHARE_STATE_USED},
		{"says nothing", G(3), G(1), G(4), G(4), true, 0, 0, G(4), SHARE_NONE,
			SHARE_STATE_UNKNOWN},
		{"swaps", G(3), G(1), G(4), G(4), false, 256, 0, G(4), SHARE_NONE,
			SHARE_STATE_SHORT},
		{"starts programs", G(3), G(1), G(4), G(4), false, 0, 5000, G(4) - M(512),
			SHARE_PRESSURE, SHARE_STATE_TAKEN},
		{"is short, and may have no more", M(10), G(1), G(4), G(4), false, 0, 0, G(4),
			SHARE_NONE, SHARE_STATE_SHORT},
		{"is short: up to one and a half reserves", M(200), G(1), G(2), G(2), false, 0, 0,
			G(2) + M(184), SHARE_SHORT, SHARE_STATE_SHORT},
		{"swaps: half a reserve", G(1), G(1), G(2), G(2), false, 1000, 0, G(2) + M(128),
			SHARE_SWAPS, SHARE_STATE_SHORT},
		{"has faults, and little left", M(400), G(1), G(2), G(2), false, 0, 64,
			G(2) + M(128), SHARE_SWAPS, SHARE_STATE_SHORT},
		{"is on its way: what it will have counts", M(10), G(1), G(2), G(1), false, 0, 0,
			G(2) - M(256), SHARE_PRESSURE, SHARE_STATE_TAKEN},
		{"has still to give: no more is asked for", G(3), G(1), G(2), G(4), false, 0, 0,
			G(2), SHARE_NONE, SHARE_STATE_TAKEN},
		{"was told too much", G(3), G(1), G(5), G(4), false, 0, 0, G(4), SHARE_CEILING,
			SHARE_STATE_USED},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct share_guest g = guest("g", rows[i].usable);

		g.floor = rows[i].floor;
		g.target = rows[i].target;
		g.has = rows[i].has;
		g.known = !rows[i].unknown;
		g.swapped_in = rows[i].swapped;
		g.major_faults = rows[i].faults;
		assert_int_equal(look(&short_host, &g, 1), SHARE_FAST_S);
		if (g.wanted != rows[i].wanted || g.reason != rows[i].reason ||
			g.state != rows[i].state)
			fail_msg("a guest that %s is to have %llu MiB (%s, %s)", rows[i].what,
				(unsigned long long)g.wanted / 1024, share_reason_name(g.reason),
				share_state_name(g.state));
	}
}

/* Who has twice the weight loses half as much of what he can spare; who cannot lose his part leaves it to the others. */
static void test_weights(void **state)
{
	struct share_host host = {.total = G(32), .available = G(3), .pressed = true};
	struct share_guest guests[3] = {guest("a", G(3)), guest("b", G(3)), guest("c", G(3))};
	uint64_t a, b, c;

	(void)state;
	guests[1].weight = 2 * SHARE_DEFAULT_WEIGHT;
	(void)look(&host, guests, 2);
	a = G(4) - find(guests, 2, "a")->wanted;
	b = G(4) - find(guests, 2, "b")->wanted;
	/* A sixty-fourth of 32 GiB. */
	assert_in_range(a + b, M(510), M(512));
	assert_in_range(a, 2 * b - M(2), 2 * b + M(2));
	/* A heavy one beside one that has next to nothing to spare. */
	guests[0] = guest("a", G(3));
	guests[1] = guest("b", M(522));
	guests[2] = guest("c", G(3));
	guests[0].weight = SHARE_MAX_WEIGHT;
	guests[1].weight = guests[2].weight = 1;
	host.available = M(10);
	(void)look(&host, guests, 3);
	a = G(4) - find(guests, 3, "a")->wanted;
	b = G(4) - find(guests, 3, "b")->wanted;
	c = G(4) - find(guests, 3, "c")->wanted;
	assert_int_equal(b, M(10));
	assert_int_equal(c, M(512));
	assert_in_range(a, M(500), M(502)); /* of a GiB that the host lacks */
}

/* What others have been told to give counts as there, unless they never do it. */
static void test_waiting(void **state)
{
	struct share_guest guests[2];
	struct share s = {0};
	uint64_t now = 100;

	(void)state;
	guests[0] = guest("slow", G(3));
	guests[0].target = G(3);
	guests[1] = guest("other", G(3));
	(void)share_look(&s, now, &short_host, guests, 2);
	assert_int_equal(find(guests, 2, "other")->wanted, G(4));
	for (unsigned i = 0; i < SHARE_PATIENCE; i++)
		(void)share_look(&s, ++now, &short_host, guests, 2);
	assert_int_equal(find(guests, 2, "other")->wanted, G(4) - M(512));
	assert_int_equal(find(guests, 2, "slow")->state, SHARE_STATE_STUCK);
	assert_int_equal(find(guests, 2, "slow")->wanted, G(3));
}

/* The shortest is first, and where the host has nothing the others pay. */
static void test_short(void **state)
{
	struct share_host host = {.total = G(16), .available = M(600)};
	struct share_guest guests[3] = {
		guest("rich", G(3)), guest("poor", M(100)), guest("poorest", M(20))};

	(void)state;
	guests[1].target = guests[1].has = G(2);
	guests[2].target = guests[2].has = G(2);
	/* No pressure: the host has 600 MiB, of which 400 are its own. */
	assert_int_equal(look(&host, guests, 3), SHARE_FAST_S);
	assert_string_equal(guests[0].who, "poorest");
	assert_int_equal(guests[0].wanted, G(2) + M(384 - 20));
	assert_int_equal(guests[0].reason, SHARE_SHORT);
	assert_int_equal(guests[1].wanted, G(2) + M(384 - 100));
	assert_int_equal(find(guests, 3, "rich")->reason, SHARE_FOR_OTHER);
	assert_in_range(G(4) - find(guests, 3, "rich")->wanted, M(648 - 200) - M(2), M(648 - 190));
	/* Nothing anywhere: what there is goes to the poorest. */
	host.available = M(16 * 1024 / 100 + 50);
	guests[0] = guest("poor", M(100));
	guests[1] = guest("poorest", M(20));
	guests[0].target = guests[0].has = guests[1].target = guests[1].has = G(2);
	(void)look(&host, guests, 2);
	assert_int_equal(guests[0].wanted, G(2) + M(50));
	assert_int_equal(guests[1].wanted, G(2));
	assert_int_equal(guests[1].state, SHARE_STATE_SHORT);
}

/* Pressure that no guest has made, and a host of which nothing is known: nobody loses anything. */
static void test_foreign(void **state)
{
	struct share_host host = {.total = G(16), .available = G(8), .pressed = true},
			  none = {.pressed = true};
	struct share_guest g = guest("g", G(3));
	struct share s = {0};

	(void)state;
	assert_int_equal(share_look(&s, 10, &host, &g, 1), 0);
	assert_true(s.foreign);
	assert_int_equal(g.wanted, G(4));
	assert_int_equal(share_look(&s, 11, &none, &g, 1), 0);
	assert_int_equal(g.wanted, G(4));
	/* What is taken is watched, and not given back before it is calm. */
	g.target = g.has = G(2);
	assert_int_equal(share_look(&s, 12, &host, &g, 1), SHARE_SLOW_S);
	assert_int_equal(g.wanted, G(2));
}

/* Only what is calm gets its memory back, in steps, also who says nothing; then it is over. */
static void test_room(void **state)
{
	struct share_host host = {.total = G(16), .available = G(8)};
	struct share_guest guests[2] = {guest("a", G(1)), guest("mute", 0)};
	struct share s = {.pressed_s = 100};
	uint64_t now = 100 + SHARE_MIN_CALM_S;
	unsigned n = 0;

	(void)state;
	guests[0].target = guests[0].has = guests[1].target = guests[1].has = G(2) + 4;
	guests[1].known = false;
	assert_int_equal(share_look(&s, now - 1, &host, guests, 2), SHARE_SLOW_S);
	assert_int_equal(guests[0].wanted, G(2) + 4);
	while (share_look(&s, now, &host, guests, 2)) {
		assert_int_equal(s.given_s, now);
		for (size_t i = 0; i < 2; i++) {
			assert_true(guests[i].wanted <= guests[i].target + M(513));
			assert_true(guests[i].wanted <= G(4));
			guests[i].target = guests[i].has = guests[i].wanted;
		}
		now += SHARE_SLOW_S;
		assert_true(++n < 30);
	}
	assert_int_equal(guests[0].wanted, G(4));
	assert_int_equal(guests[1].wanted, G(4));
	/* A host that is not short and has no room either leaves all as it is. */
	host.available = G(16) / 100 * 14;
	guests[0].target = guests[0].has = G(2);
	assert_int_equal(share_look(&s, now, &host, guests, 2), SHARE_SLOW_S);
	assert_int_equal(guests[0].reason + guests[1].reason, SHARE_NONE);
}

/* A host with guests, second by second. */

#define MAX_GUESTS 4

struct sim_guest {
	char name[8];
	uint64_t ceiling, floor, uses; /* 'uses': what it cannot do without */
	unsigned weight;
	bool caches, obeys; /* fills what it has with its cache; does as it is told */
	/* What became of it. */
	uint64_t target, has, touched, lowest;
	unsigned waited, turns, short_s, longest_short_s;
	int direction;
};

struct sim {
	struct share share;
	uint64_t now, next, total, hog, available;
	size_t n;
	struct sim_guest guests[MAX_GUESTS];
	unsigned n_looks, pressed_percent; /* the available memory below which there is pressure */
	bool pressed;
};

static void sim_guest_second(struct sim_guest *g)
{
	uint64_t wants;

	/* A balloon that grows takes half a GiB a second; one that shrinks is done at once. */
	if (g->target >= g->has)
		g->has = g->target;
	else if (g->obeys)
		g->has -= MIN(g->has - g->target, M(512));
	wants = g->caches ? g->has : MIN(g->uses + M(100), g->has);
	/* What it touched once stays touched, as long as it has it. */
	g->touched = MIN(g->touched, g->has);
	if (wants > g->touched)
		g->touched = MIN(g->touched + M(200), wants);
	g->short_s = g->has < g->uses + M(8) ? g->short_s + 1 : 0;
	g->longest_short_s = MAX(g->longest_short_s, g->short_s);
	g->lowest = MIN(g->lowest, g->target);
}

static void sim_turn(struct sim_guest *g, int direction)
{
	g->turns += g->direction && g->direction != direction;
	g->direction = direction;
}

static void sim_apply(struct sim *s, const struct share_guest *guests)
{
	for (size_t i = 0; i < s->n; i++) {
		struct sim_guest *g = guests[i].who;

		g->waited = guests[i].waited;
		if (guests[i].wanted != g->target)
			sim_turn(g, guests[i].wanted > g->target ? 1 : -1);
		g->target = guests[i].wanted;
		assert_true(g->target <= g->ceiling);
		assert_true(g->target >= MIN(g->floor, g->ceiling));
	}
}

static void sim_look(struct sim *s)
{
	struct share_host host = {
		.total = s->total, .available = s->available, .pressed = s->pressed};
	struct share_guest guests[MAX_GUESTS];
	unsigned after;

	for (size_t i = 0; i < s->n; i++) {
		struct sim_guest *g = &s->guests[i];

		guests[i] = (struct share_guest){
			.who = g,
			.known = true,
			.ceiling = g->ceiling,
			.floor = g->floor,
			.weight = g->weight,
			.target = g->target,
			.has = g->has,
			.usable = g->has - MIN(g->uses, g->has),
			.swapped_in = g->uses > g->has ? M(10) : 0,
			.waited = g->waited,
		};
	}
	after = share_look(&s->share, s->now, &host, guests, s->n);
	sim_apply(s, guests);
	s->pressed = false;
	s->next = after ? s->now + after : 0;
	s->n_looks++;
}

static void sim_second(struct sim *s)
{
	uint64_t sum = s->hog;

	s->now++;
	for (size_t i = 0; i < s->n; i++) {
		sim_guest_second(&s->guests[i]);
		sum += s->guests[i].touched;
	}
	s->available = s->total - MIN(sum, s->total);
	/* The trigger, at most every other second. */
	if (s->available < s->total / 100 * s->pressed_percent && s->now % 2 == 0) {
		s->pressed = true;
		s->next = s->next ?: s->now;
	}
	if (s->next && s->now >= s->next)
		sim_look(s);
}

static void sim_init(struct sim *s, uint64_t total, size_t n)
{
	*s = (struct sim){.now = 1, .total = total, .n = n, .pressed_percent = 5};
	for (size_t i = 0; i < n; i++) {
		struct sim_guest *g = &s->guests[i];

		*g = (struct sim_guest){.ceiling = G(4),
			.floor = G(1),
			.weight = SHARE_DEFAULT_WEIGHT,
			.uses = M(700),
			.caches = true,
			.obeys = true};
		snprintf(g->name, sizeof(g->name), "g%zu", i);
		g->target = g->has = g->lowest = g->ceiling;
	}
}

static void sim_run(struct sim *s, unsigned seconds)
{
	while (seconds--)
		sim_second(s);
}

/* Three guests whose caches fill all they have, a hog that comes and goes. */
static void test_hog(void **state)
{
	struct sim s;
	uint64_t lowest;

	(void)state;
	sim_init(&s, G(16), 3);
	s.guests[0].floor = G(3);
	s.guests[2].weight = 2 * SHARE_DEFAULT_WEIGHT;
	sim_run(&s, 600);
	/* Nobody looks while nothing is the matter. */
	assert_int_equal(s.n_looks, 0);
	s.hog = G(6);
	sim_run(&s, 60);
	/* The hog has its memory, and so has the host. */
	assert_true(s.available >= s.total / 20);
	assert_in_range(s.guests[0].lowest, G(3), G(3) + M(64));
	/* The heavier one keeps more than the lighter. */
	assert_true(s.guests[1].target < s.guests[2].target);
	assert_true(s.guests[2].target < G(4));
	lowest = s.guests[1].lowest;
	sim_run(&s, 1200);
	assert_true(s.available >= s.total / 20);
	/* Nothing swings while nothing changes: it takes no more, and gives at most once what it then leaves. */
	for (size_t i = 0; i < s.n; i++)
		assert_true(s.guests[i].turns <= 2);
	assert_true(s.guests[1].lowest + M(512) >= lowest);
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(s.guests[i].longest_short_s, 0);
	/* The hog goes: all have all again, and nobody looks any longer. */
	s.hog = 0;
	sim_run(&s, 600);
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(s.guests[i].target, G(4));
	assert_int_equal(s.next, 0);
}

/* A guest whose use grows when most of its memory was taken: it has it again before it is short for long, though the host has none. */
static void test_growth(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, G(16), 3);
	s.hog = G(7);
	sim_run(&s, 120);
	assert_true(s.guests[0].target < G(3));
	/* 100 MiB a second, up to what it may have. */
	for (unsigned i = 0; i < 25; i++) {
		s.guests[0].uses += M(100);
		sim_run(&s, 1);
	}
	sim_run(&s, 60);
	assert_true(s.guests[0].target >= s.guests[0].uses + share_reserve(G(4)));
	assert_true(s.guests[0].longest_short_s <= 3);
	assert_true(s.guests[1].target < G(3) && s.guests[1].target >= G(1));
	assert_true(s.available >= s.total / 25);
}

/* A host whose pressure begins before there is room that is given back: what is given back comes back as pressure, ever more seldom. */
static void test_no_swing(void **state)
{
	struct sim s;
	unsigned first, second;

	(void)state;
	sim_init(&s, G(11), 3);
	s.pressed_percent = SHARE_ROOM_PERCENT + 3;
	sim_run(&s, 3600);
	first = s.guests[0].turns + s.guests[1].turns + s.guests[2].turns;
	sim_run(&s, 3600);
	second = s.guests[0].turns + s.guests[1].turns + s.guests[2].turns - first;
	assert_true(first <= 30);
	assert_true(second <= 24);
	for (size_t i = 0; i < s.n; i++) {
		assert_int_equal(s.guests[i].longest_short_s, 0);
		/* Alike in all, they are treated alike. */
		assert_in_range(s.guests[i].lowest, s.guests[0].lowest - M(128),
			s.guests[0].lowest + M(128));
	}
}

/* One that never does as it is told costs the others its part, and nothing more. */
static void test_disobedient(void **state)
{
	struct sim s;

	(void)state;
	sim_init(&s, G(16), 3);
	s.guests[0].obeys = false;
	s.hog = G(6);
	sim_run(&s, 120);
	assert_true(s.available >= s.total / 20);
	assert_true(s.guests[0].has == G(4));
	assert_true(s.guests[1].target < G(3) && s.guests[2].target < G(3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_short),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_hog),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_no_swing),
		cmocka_unit_test(test_disobedient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
