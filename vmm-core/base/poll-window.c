/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long it pays to look for work: see poll-window.h. */
#include "vmm-core/base/poll-window.h"

#include "vmm-core/base/macro.h"

static uint64_t twice(uint64_t after_ns, uint64_t max_ns)
{
	uint64_t ns = after_ns > max_ns / 2 ? max_ns : MAX(2 * after_ns, POLL_WINDOW_MIN_NS);

	return MIN(ns, max_ns);
}

void poll_window_found(struct poll_window *w, uint64_t after_ns, uint64_t max_ns)
{
	uint64_t ns = twice(after_ns, max_ns);

	w->ns = w->ns > max_ns ? max_ns : MAX(w->ns, ns);
	w->backoff = w->skip = 0;
}

void poll_window_slept(struct poll_window *w, bool looked, uint64_t after_ns, uint64_t max_ns)
{
	if (looked) {
		w->backoff = MIN(2 * w->backoff + 1, POLL_WINDOW_BACKOFF_MAX);
		w->skip = w->backoff;
		w->ns = 0;
	} else if (after_ns > max_ns) {
		w->ns = 0;
	} else if (w->skip) {
		w->skip--;
	} else {
		w->ns = twice(after_ns, max_ns);
	}
}
