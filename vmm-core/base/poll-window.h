/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long it pays to look for work before going to sleep. A wake-up costs both sides some microseconds; looking burns a
 * processor. So the window follows what happened: who slept and was woken within the limit would have done better to look, and
 * looks for twice that time from now on; who looked and found nothing looks no more, and tries again only after a number of such
 * sleeps that doubles with each failure in a row, up to POLL_WINDOW_BACKOFF_MAX. Finding something forgets the failures.
 * So at most one of 64 looks is in vain, for instance where those who make the work need this processor to make it.
 *
 * Everything in nanoseconds. Threads: none of its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define POLL_WINDOW_MIN_NS      UINT64_C(2000)
#define POLL_WINDOW_BACKOFF_MAX 63U

/* All zeroes is valid: nothing is looked for yet. */
struct poll_window {
	uint64_t ns;      /* how long to look now; 0: not at all */
	unsigned backoff; /* sleeps to be passed over after the last failure */
	unsigned skip;    /* of these, still */
};

/* Work was found 'after_ns' since there was none, by looking. The window grows to twice that, up to 'max_ns'. */
void poll_window_found(struct poll_window *w, uint64_t after_ns, uint64_t max_ns);
/* Work woke a sleeper 'after_ns' since there was none; 'looked': after it had looked in vain. */
void poll_window_slept(struct poll_window *w, bool looked, uint64_t after_ns, uint64_t max_ns);
