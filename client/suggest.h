/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "Did you mean": the candidate nearest to a mistyped word. No allocation; any thread. */
#pragma once

#include "vmm-core/base/macro.h"

#define SUGGEST_MAX_LEN 64 /* longer words are never near anything */

/* The number of insertions, removals, replacements and swaps of neighbours that turn 'a' into 'b';
 * UINT_MAX when either is longer than SUGGEST_MAX_LEN bytes. */
unsigned word_distance(const char *a, const char *b);

/* Keeps the nearest of the candidates it is shown. Start with { .word = … }. */
struct suggestion {
	const char *word;
	const char *best; /* borrowed from the caller; NULL: none is near enough */
	unsigned distance;
};

void suggestion_try(struct suggestion *s, const char *candidate);
