/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures of frames, for clients: a socket whose one end goes to a worker, which sends frames there
 * (vmm-core/base/capture-record.h), and the other to the client. The daemon looks at no frame and is not needed for them: a capture goes on
 * when the daemon ends, and ends with its client or its worker. While the daemon is there it has a copy of the worker's end, to see when
 * the capture is over and to end it, and the page that the worker counts in.
 *
 *	capture_open ──► asked for ──begun──► goes on ──ended──► (freed)
 *	                     └──begun (error)──► (freed)
 *
 * The worker's send buffer bounds what waits for a slow client; the kernel charges it to the worker. Counts are the worker's word, for people.
 *
 * Ownership: a capture frees itself after 'ended', and after 'begun' with an error. Threads: the daemon's one. Tested by
 * tests/unit/test-network-port.c, tests/unit/test-dbus.c and tests/unit/test-job-capture.c.
 */
#pragma once

#include "daemon/domain.h"

struct capture;
struct worker;

#define CAPTURE_BUFFER      (1024 * 1024) /* bytes; the kernel counts its own in and doubles it */
#define CAPTURE_SNAPLEN_MAX 262144        /* as tcpdump has it: more than any frame */

enum capture_why {
	CAPTURE_WHY_READER,  /* its reader has had enough */
	CAPTURE_WHY_SOURCE,  /* what was captured is gone, or its worker is */
	CAPTURE_WHY_STOPPED, /* capture_stop() */
};

struct capture_ops {
	/* The worker has answered: 'fd' is the client's end, and the callee's; or 'error'. */
	void (*begun)(void *userdata, struct capture *capture, int fd, const struct error *error);
	/* It is over; never before 'begun'. Look at the counts now: the capture is freed then. NULL: nobody wants to know. */
	void (*ended)(void *userdata, struct capture *capture, enum capture_why why);
};

/* So far; of the reader's own filter nobody knows. */
struct capture_totals {
	uint64_t frames, bytes; /* of the frames as they were, not as they are cut */
	uint64_t lost;          /* for want of room in the socket */
};

/* Ask 'worker' for 'what'. 'whose' ("domain 'foo'") is for messages. Returns 0 and calls 'ops' later, or a negative errno with 'error' set
 * and never calls them: -EINVAL (direction, snaplen). '*ret_capture' (may be NULL) stays the capture's own. */
int capture_open(struct worker *worker, const char *whose, const struct proto_capture *what,
	const struct capture_ops *ops, void *userdata, struct capture **ret_capture,
	struct error *error);

/* From now on; and what it is called in messages. */
void capture_set_userdata(struct capture *capture, void *userdata);
const char *capture_whose(const struct capture *capture);

void capture_look(const struct capture *capture, struct capture_totals *ret);

/* End it: the reader gets what is on its way, and then the end. ops->ended() comes from within; of one that was only asked for,
 * ops->begun() with an error (Cancelled). */
void capture_stop(struct capture *capture);

/* The daemon ends; the capture goes on without it. No op is called. Only of one that has begun, or whose worker is freed. */
struct capture *capture_free(struct capture *capture);
