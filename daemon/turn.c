/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One more turn of the loop: see turn.h. */
#include "daemon/turn.h"

#include <stddef.h>

int turn_ask(sd_event *event, sd_event_source **source, sd_event_handler_t fn, void *userdata)
{
	sd_event_source *next;
	int r;

	if (*source && sd_event_source_get_enabled(*source, NULL) > 0)
		return 0;
	r = sd_event_add_defer(event, &next, fn, userdata);
	if (r < 0 && *source)
		return sd_event_source_set_enabled(*source, SD_EVENT_ONESHOT);
	if (r < 0)
		return r;
	(void)sd_event_source_disable_unref(*source);
	*source = next;
	return 0;
}
