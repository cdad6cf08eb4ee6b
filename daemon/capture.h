/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures of frames, for clients: a socket whose one end goes to a worker, which sends frames there
 * (vmm-core/base/capture-record.h), and the other to the client. The daemon keeps neither: a capture goes on when the daemon
 * ends, and ends with its client or its worker.
 *
 * The worker's send buffer bounds what waits for a slow client; the kernel charges it to the worker.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-network-port.c and tests/unit/test-dbus.c.
 */
#pragma once

#include "daemon/domain.h"

struct worker;

#define CAPTURE_BUFFER      (1024 * 1024) /* bytes; the kernel counts its own in and doubles it */
#define CAPTURE_SNAPLEN_MAX 262144        /* as tcpdump has it: more than any frame */

/* Ask 'worker' for 'what'. 'whose' ("domain 'foo'") is for messages. Returns 0 and calls 'done' later with the client's end, or
 * a negative errno with 'error' set and never calls it: -EINVAL (direction, snaplen). */
int capture_open(struct worker *worker, const char *whose, const struct proto_capture *what,
	domain_fd_fn done, void *userdata, struct error *error);
