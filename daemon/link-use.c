/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much direct links are used: see link-use.h. Tested by tests/unit/test-link-use.c. */
#include "daemon/link-use.h"

void link_use_told(struct link_use *use, uint64_t frames, uint64_t now_usec)
{
	uint64_t usec = now_usec - use->told_usec, more = frames - use->frames;

	/* A worker may say what it likes: a count that went back, or asked twice at once, is the begin of another. */
	use->has_rate =
		use->told_usec && usec && usec <= LINK_USE_FRESH_USEC && frames >= use->frames;
	use->rate = !use->has_rate            ? 0
		: more > UINT64_MAX / 1000000 ? UINT64_MAX
					      : more * 1000000 / usec;
	use->frames = frames;
	use->told_usec = now_usec;
}

bool link_use_is_quiet(const struct link_use *use, uint64_t now_usec)
{
	return use->has_rate && use->rate <= LINK_USE_QUIET &&
		now_usec - use->told_usec <= LINK_USE_FRESH_USEC &&
		now_usec - use->made_usec >= LINK_USE_LIFE_USEC;
}

bool link_use_is_less(const struct link_use *a, const struct link_use *b)
{
	return a->rate != b->rate ? a->rate < b->rate : a->made_usec < b->made_usec;
}
