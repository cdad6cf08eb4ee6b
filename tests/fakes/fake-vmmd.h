/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A vmmd for the tests of vmctl: a child process that serves org.vmmd1.Manager without a bus, at an address
 * in a temporary folder, from canned domains:
 *
 *	t1	running, id 4, one disk; a console that echoes in capitals and closes at "quit"
 *	t2	shut off, one disk
 *
 * Definitions are read for their <name> and <uuid> only. What a <name> makes the fake do when the domain is
 * started or shut down: "die" it exits, "mute" it never answers, "stubborn" it ignores a shutdown, "panicky"
 * crashes during a shutdown, "busy" has its console taken.
 */
#pragma once

#include <sys/types.h>

struct fake_vmmd {
	pid_t pid, bus_pid;
	char dir[64];
	char address[128]; /* for vmctl -c */
};

int fake_vmmd_start(struct fake_vmmd *ret_fake);
/* The same behind a dbus-daemon of its own, for what only a bus has. -ENOENT when the host has none. */
int fake_vmmd_start_on_bus(struct fake_vmmd *ret_fake);
/* Ends the fake alone, the bus stays. */
void fake_vmmd_kill(struct fake_vmmd *fake);
/* Ends what was started and removes the folder. */
void fake_vmmd_stop(struct fake_vmmd *fake);
