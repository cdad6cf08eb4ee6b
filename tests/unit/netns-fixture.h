/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network namespace for a test that makes interfaces: the process moves into one of its own, with a user namespace where it
 * is not root. Include <cmocka.h> first. */
#pragma once

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* False, printed: this machine does not allow it. The tests of the program are then to be skipped. */
static inline bool netns_enter(void)
{
	int flags = CLONE_NEWNET | (geteuid() == 0 ? 0 : CLONE_NEWUSER);

	if (unshare(flags) == 0 && access("/dev/net/tun", R_OK | W_OK) == 0)
		return true;
	printf("skipped: no network namespace with a tap to be had here: %s\n", strerror(errno));
	return false;
}
