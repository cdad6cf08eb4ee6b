/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much direct links are used, so that room for another one can be made: a port has at most NETWORK_MAX_DIRECTS.
 *
 * The worker tells how many frames went by each (LINK_LIST) when it is asked, which is while somebody wants another link. Two
 * answers that are near enough make a rate. What makes way is the link with the lowest rate, and only one that is quiet: it
 * carries less than a tenth of what asks for a link (VSWITCH_PAIR_FRAMES in VSWITCH_PAIR_NS, 640 frames a second), and has
 * lived for a while. So equals never replace each other, however many there are: who came first keeps his link, and the rest goes by
 * the star. And one that bursts costs a replacement in LINK_USE_LIFE_USEC at most.
 *
 * Pure: the caller passes the time (CLOCK_MONOTONIC, in µs). Threads: the daemon's one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LINK_USE_LIFE_USEC  UINT64_C(5000000) /* before it makes way */
#define LINK_USE_LOOK_USEC  UINT64_C(1000000) /* between two looks, at least */
#define LINK_USE_FRESH_USEC UINT64_C(3000000) /* so long a look says something */
#define LINK_USE_QUIET      64                /* frames a second, at most */

struct link_use {
	uint64_t made_usec;
	uint64_t told_usec; /* when 'frames' was told; 0: not yet */
	uint64_t frames;
	uint64_t rate; /* frames a second between the last two looks */
	bool has_rate;
};

void link_use_told(struct link_use *use, uint64_t frames, uint64_t now_usec);
/* It may make way. */
bool link_use_is_quiet(const struct link_use *use, uint64_t now_usec);
/* 'a' makes way before 'b': the lower rate, then the older. */
bool link_use_is_less(const struct link_use *a, const struct link_use *b);
