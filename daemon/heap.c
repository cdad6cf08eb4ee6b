/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Free memory: see heap.h. */
#include "daemon/heap.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "vmm-core/base/log.h"

struct heap {
	sd_event_source *timer;
	uint64_t delay_usec;
	long faults; /* of the process, when nothing was left to give back */
	bool is_armed;
};

void heap_set_up(void)
{
	/* Both are what they are from now on: malloc moves its own as it sees fit. */
	(void)mallopt(M_TRIM_THRESHOLD, (int)HEAP_KEEP);
	(void)mallopt(M_MMAP_THRESHOLD, (int)HEAP_KEEP);
}

/* Pages that the process has got so far. The heap's end says less: what is free in front of a small piece that stays is given back
 * without moving it, and comes again. */
static long count_faults(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct heap *h = userdata;

	(void)source;
	(void)usec;
	h->is_armed = false;
	(void)malloc_trim(0);
	h->faults = count_faults();
	return 0;
}

int heap_new(sd_event *event, uint64_t delay_usec, struct heap **ret)
{
	_cleanup_(heap_freep) struct heap *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return -ENOMEM;
	h->delay_usec = delay_usec;
	h->faults = count_faults();
	r = sd_event_add_time_relative(
		event, &h->timer, CLOCK_MONOTONIC, delay_usec, delay_usec / 4 + 1, on_timer, h);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
	if (r >= 0)
		*ret = TAKE_PTR(h);
	return r < 0 ? r : 0;
}

struct heap *heap_free(struct heap *h)
{
	if (!h)
		return NULL;
	sd_event_source_disable_unref(h->timer);
	free(h);
	return NULL;
}

void heap_look(struct heap *h)
{
	int r;

	if (!h || h->is_armed || count_faults() - h->faults <= HEAP_PAGES)
		return;
	r = sd_event_source_set_time_relative(h->timer, h->delay_usec);
	if (r >= 0)
		r = sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
	if (r < 0)
		(void)log_error_errno(r, "memory is not given back: %m");
	h->is_armed = r >= 0;
}
