/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who gives memory up, and who gets it back: see memory-share.h. */
#include "daemon/memory-share.h"

#include <stdlib.h>

#include "vmm-core/base/macro.h"

#define PAGE_KIB 4 /* a balloon counts in pages: less is no difference */

const char *share_reason_name(enum share_reason reason)
{
	static const char *const names[SHARE_REASON_X_MAX] = {
		[SHARE_NONE] = "",
		[SHARE_PRESSURE] = "pressure",
		[SHARE_FOR_OTHER] = "for-another",
		[SHARE_SHORT] = "short",
		[SHARE_SWAPS] = "swaps",
		[SHARE_ROOM] = "room",
		[SHARE_CEILING] = "ceiling",
	};

	return names[reason];
}

const char *share_state_name(enum share_state state)
{
	static const char *const names[SHARE_STATE_X_MAX] = {
		[SHARE_STATE_FULL] = "full",
		[SHARE_STATE_TAKEN] = "taken",
		[SHARE_STATE_FLOOR] = "floor",
		[SHARE_STATE_USED] = "used",
		[SHARE_STATE_SHORT] = "short",
		[SHARE_STATE_UNKNOWN] = "unknown",
		[SHARE_STATE_STUCK] = "stuck",
	};

	return names[state];
}

uint64_t share_default_floor(uint64_t ceiling)
{
	return MIN(MAX(ceiling / 4, (uint64_t)SHARE_MIN_FLOOR_KIB), ceiling);
}

uint64_t share_reserve(uint64_t ceiling)
{
	return MIN(MAX(ceiling / 16, (uint64_t)SHARE_MIN_RESERVE_KIB),
		(uint64_t)SHARE_MAX_RESERVE_KIB);
}

/* What is left of 'a' without 'b'. */
static uint64_t rest(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t percent(uint64_t kib, unsigned n)
{
	return kib / 100 * n;
}

static uint64_t whole(uint64_t kib)
{
	return kib / SHARE_GRAIN_KIB * SHARE_GRAIN_KIB;
}

/* More than a page below its ceiling. */
static bool is_taken(const struct share_guest *g)
{
	return g->wanted + PAGE_KIB <= g->ceiling;
}

static bool is_short(const struct share_guest *g)
{
	return g->known && (g->swaps || g->expected < share_reserve(g->ceiling));
}

/* What it would have usable, had it done as it was told; and what could be taken from it. */
static void weigh(struct share_guest *g)
{
	uint64_t reserve = share_reserve(g->ceiling), floor = MIN(g->floor, g->ceiling);
	bool follows = g->has <= g->target + SHARE_GRAIN_KIB;

	g->wanted = g->target;
	g->reason = SHARE_NONE;
	g->spare = g->part = 0;
	g->waited = follows ? 0 : MIN(g->waited + 1, (unsigned)SHARE_PATIENCE);
	g->expected = rest(g->usable + rest(g->target, g->has), rest(g->has, g->target));
	g->swaps = g->swapped_in >= SHARE_SWAPS_KIB ||
		(g->major_faults >= SHARE_SWAPS_FAULTS && g->expected < 2 * reserve);
	/* A target is whole pages, a ceiling any number of KiB. */
	if (g->target >= g->ceiling + 4) {
		g->wanted = g->ceiling;
		g->reason = SHARE_CEILING;
		return;
	}
	if (!g->known || g->waited >= SHARE_PATIENCE || g->swaps)
		return;
	g->spare = MIN(rest(g->expected, 2 * reserve), rest(g->target, floor));
	g->spare = whole(MIN(g->spare, g->target / 8));
}

/* What guests were told to give up and still have: it will come. */
static uint64_t sum_coming(const struct share_guest *guests, size_t n)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++)
		if (guests[i].waited < SHARE_PATIENCE)
			sum += rest(guests[i].has, guests[i].wanted);
	return sum;
}

/* Divide 'need' among the guests by what they can spare and by weight; what is more than one can spare is divided again. */
static void divide(uint64_t need, struct share_guest *guests, size_t n)
{
	for (size_t round = 0; need && round < n; round++) {
		unsigned __int128 sum = 0;
		uint64_t found = 0;

		for (size_t i = 0; i < n; i++)
			sum += rest(guests[i].spare, guests[i].part) * SHARE_MAX_WEIGHT /
				guests[i].weight;
		for (size_t i = 0; sum && i < n; i++) {
			struct share_guest *g = &guests[i];
			uint64_t left = rest(g->spare, g->part);
			unsigned __int128 share = left * SHARE_MAX_WEIGHT / g->weight;
			uint64_t part = (uint64_t)(share * need / sum);

			part = MIN(part, left);
			g->part += part;
			found += part;
		}
		if (!found)
			return;
		need = rest(need, found);
	}
}

static void take(uint64_t need, enum share_reason reason, struct share_guest *guests, size_t n)
{
	divide(need, guests, n);
	for (size_t i = 0; i < n; i++) {
		uint64_t part = whole(guests[i].part);

		if (!part || guests[i].reason)
			continue;
		guests[i].wanted -= part;
		guests[i].reason = reason;
	}
}

/* For qsort(): the least usable memory for its size is first, what is not known last. */
static int compare_need(const void *a, const void *b)
{
	const struct share_guest *ga = a, *gb = b;
	unsigned __int128 na = (unsigned __int128)ga->expected * share_reserve(gb->ceiling);
	unsigned __int128 nb = (unsigned __int128)gb->expected * share_reserve(ga->ceiling);

	if (ga->known != gb->known)
		return ga->known ? -1 : 1;
	return na < nb ? -1 : na > nb;
}

/* Returns what it got. */
static uint64_t give(struct share_guest *g, uint64_t kib, enum share_reason reason)
{
	kib = MIN(DIV_ROUND_UP(kib, SHARE_GRAIN_KIB) * SHARE_GRAIN_KIB, g->ceiling - g->target);
	g->wanted = g->target + kib;
	g->reason = reason;
	g->spare = 0;
	return kib;
}

/* As long as the host has something, or others can spare it. Returns what they got. */
static uint64_t help_short(const struct share_host *host, struct share_guest *guests, size_t n)
{
	uint64_t left = rest(host->available, percent(host->total, 1)), sum = 0;

	for (size_t i = 0; i < n; i++)
		left += guests[i].spare;
	for (size_t i = 0; i < n && left; i++) {
		struct share_guest *g = &guests[i];
		uint64_t reserve = share_reserve(g->ceiling), kib;

		if (g->reason || !is_taken(g) || !is_short(g))
			continue;
		kib = MAX(rest(reserve + reserve / 2, g->expected), reserve / 2);
		kib = give(g, MIN(kib, left), g->swaps ? SHARE_SWAPS : SHARE_SHORT);
		left = rest(left, kib);
		sum += kib;
	}
	return sum;
}

/* A little of the room at a time, the neediest first. */
static bool give_room(const struct share_host *host, struct share_guest *guests, size_t n)
{
	uint64_t room = rest(host->available, percent(host->total, SHARE_ROOM_PERCENT));
	uint64_t left = whole(MIN(room / 2, host->total / 32));
	bool any = false;

	for (size_t i = 0; i < n && left; i++) {
		struct share_guest *g = &guests[i];

		if (g->reason || !is_taken(g))
			continue;
		left = rest(left,
			give(g, MIN(left, whole(g->ceiling / 8) + SHARE_GRAIN_KIB), SHARE_ROOM));
		any = true;
	}
	return any;
}

/* Pressure has come back soon after memory was given: next time it is given later. */
static void note_pressure(struct share *s, uint64_t now_s)
{
	unsigned calm_s = s->calm_s ?: SHARE_MIN_CALM_S;

	if (s->given_s && now_s - s->given_s <= 4 * (uint64_t)calm_s && !s->returned) {
		s->calm_s = MIN(2 * calm_s, (unsigned)SHARE_MAX_CALM_S);
		s->returned = true;
	} else if (s->given_s && now_s - s->given_s > 4 * (uint64_t)SHARE_MAX_CALM_S) {
		s->calm_s = SHARE_MIN_CALM_S;
	}
	s->pressed_s = now_s;
}

static void set_state(struct share_guest *g)
{
	if (!g->known)
		g->state = SHARE_STATE_UNKNOWN;
	else if (g->waited >= SHARE_PATIENCE)
		g->state = SHARE_STATE_STUCK;
	else if (is_short(g))
		g->state = SHARE_STATE_SHORT;
	else if (g->wanted <= MIN(g->floor, g->ceiling) + SHARE_GRAIN_KIB && is_taken(g))
		g->state = SHARE_STATE_FLOOR;
	else if (is_taken(g))
		g->state = SHARE_STATE_TAKEN;
	else
		g->state = g->spare ? SHARE_STATE_FULL : SHARE_STATE_USED;
}

bool share_is_foreign(const struct share_host *host)
{
	return host->available >= percent(host->total, SHARE_FOREIGN_PERCENT);
}

/* What has to be taken because of pressure: while it is there something, whatever is available; and not all at once. */
static uint64_t needed(const struct share_host *host, const struct share_guest *guests, size_t n)
{
	uint64_t step = host->total / 64;
	uint64_t lacks = rest(percent(host->total, SHARE_WANTED_PERCENT), host->available);

	if (host->pressed)
		lacks = MAX(lacks, step);
	return rest(MIN(lacks, 2 * step), sum_coming(guests, n));
}

unsigned share_look(struct share *s, uint64_t now_s, const struct share_host *host,
	struct share_guest *guests, size_t n)
{
	uint64_t low = percent(host->total, SHARE_WANTED_PERCENT) / 4, given;
	bool pressed, calm, taken = false;

	if (host->pressed && !share_is_foreign(host))
		note_pressure(s, now_s);
	s->foreign = host->pressed && share_is_foreign(host);
	pressed = s->pressed_s && now_s - s->pressed_s < SHARE_PRESSED_S;
	calm = !s->foreign &&
		(!s->pressed_s || now_s - s->pressed_s >= (s->calm_s ?: SHARE_MIN_CALM_S));
	s->returned &= pressed;
	for (size_t i = 0; i < n; i++)
		weigh(&guests[i]);
	qsort(guests, n, sizeof(*guests), compare_need);
	given = help_short(host, guests, n);
	if (pressed && !share_is_foreign(host))
		take(needed(host, guests, n) + given, SHARE_PRESSURE, guests, n);
	else if (given > rest(host->available, low))
		take(given - rest(host->available, low), SHARE_FOR_OTHER, guests, n);
	else if (calm && give_room(host, guests, n))
		s->given_s = now_s;
	for (size_t i = 0; i < n; i++) {
		set_state(&guests[i]);
		taken |= is_taken(&guests[i]) || guests[i].reason;
	}
	if (pressed || given)
		return SHARE_FAST_S;
	return taken ? SHARE_SLOW_S : 0;
}
