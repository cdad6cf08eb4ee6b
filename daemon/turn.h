/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One more turn of the event loop, for who has more to do than one turn may cost, and lets others have theirs in between.
 *
 * sd-event serves what has been pending for longest. A source of sd_event_add_defer() counts as pending from when it was made,
 * however often it is switched on again: it would always be the first, and while it goes on nobody else is served. So each turn
 * has a source of its own, which is behind all that was pending when it was asked for.
 *
 * One thread, the loop's. Tested by tests/unit/test-rpc-rude.c.
 */
#pragma once

#include <systemd/sd-event.h>

/* Call 'fn' once, in a turn to come; nothing more if that is to be so already. '*source' (NULL at first) is the caller's, who
 * unrefs it in the end, disabled. 0; or a negative errno, and there is no such turn. Without memory the turn of a source that is
 * there already comes all the same, before others. */
int turn_ask(sd_event *event, sd_event_source **source, sd_event_handler_t fn, void *userdata);
