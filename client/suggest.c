/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Edit distance (optimal string alignment), three rows of the matrix at a time: see suggest.h. */
#include "client/suggest.h"

#include <limits.h>
#include <string.h>

unsigned word_distance(const char *a, const char *b)
{
	unsigned rows[3][SUGGEST_MAX_LEN + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];
	size_t n_a = strlen(a), n_b = strlen(b);

	if (n_a > SUGGEST_MAX_LEN || n_b > SUGGEST_MAX_LEN)
		return UINT_MAX;
	for (size_t j = 0; j <= n_b; j++)
		last[j] = before[j] = (unsigned)j;
	for (size_t i = 1; i <= n_a; i++) {
		unsigned *t = before;

		now[0] = (unsigned)i;
		for (size_t j = 1; j <= n_b; j++) {
			unsigned d = last[j - 1] + (a[i - 1] != b[j - 1]);

			d = MIN(d, last[j] + 1);
			d = MIN(d, now[j - 1] + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d = MIN(d, before[j - 2] + 1);
			now[j] = d;
		}
		before = last;
		last = now;
		now = t;
	}
	return last[n_b];
}

void suggestion_try(struct suggestion *s, const char *candidate)
{
	unsigned d = word_distance(s->word, candidate);
	size_t len = strlen(s->word);

	/* Two letters are near everything. */
	if (len < 3 || d > len / 3)
		return;
	if (!s->best || d < s->distance) {
		s->best = candidate;
		s->distance = d;
	}
}
