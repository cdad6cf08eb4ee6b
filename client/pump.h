/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What moves the bytes of a session's fd when the kernel does not: a session that polls an fd has the pump run before each poll, and
 * polls for it, too. NULL stands for an fd that needs none.
 */
#pragma once

#include <poll.h>
#include <stddef.h>

#define PUMP_FDS 2

struct pump {
	/* Move what can be moved now, without waiting, and say what to wait for (fd -1: nothing). What becomes of the other end is
	 * seen at the session's fd. */
	void (*run)(struct pump *pump, struct pollfd fds[PUMP_FDS]);
};

static inline void pump_run(struct pump *pump, struct pollfd fds[PUMP_FDS])
{
	for (size_t i = 0; i < PUMP_FDS; i++)
		fds[i] = (struct pollfd){.fd = -1};
	if (pump)
		pump->run(pump, fds);
}
