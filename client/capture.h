/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A capture session: packets of a worker (vmm-core/base/capture-record.h) become a pcapng file.
 *
 * The file is flushed whenever nothing waits to be read, so that a reader of a pipe sees each frame at once. SIGINT and SIGTERM
 * end the session, and the file is whole; they are blocked for its time.
 *
 * One session per process at a time; one thread. Tested by tests/unit/test-client-capture.c.
 */
#pragma once

#include <stdint.h>

#include "client/pcapng.h"
#include "client/pump.h"

enum capture_end {
	CAPTURE_END_COUNT,  /* as many frames as were wanted */
	CAPTURE_END_TIME,   /* the time is over */
	CAPTURE_END_SIGNAL, /* the user has had enough */
	CAPTURE_END_OUTPUT, /* nobody reads the file any more */
	CAPTURE_END_SOURCE, /* the interface, its domain or its worker is gone */
	CAPTURE_END_CANCELLED, /* the source ended because somebody cancelled it; the session does not know */
	CAPTURE_END_X_MAX
};

struct capture_session {
	int fd;            /* of OpenCapture; its filter is in force */
	struct pump *pump; /* of fd */
	uint64_t
		epoch_ns; /* when the clock of its records began, since 1970; 0: CLOCK_MONOTONIC of this host */
	FILE *out;        /* SIGPIPE is ignored */
	uint64_t count;   /* frames; 0: no limit */
	uint64_t seconds; /* 0: no limit */
	/* Results. */
	enum capture_end end;
	uint64_t n_frames, n_bytes /* of the frames, as they were */, n_lost;
};

/* Returns 0, or -errno of the socket or the file (with what was captured in the results). */
int capture_run(struct capture_session *session, const struct pcapng_interface *interface);

/* "count", "time", "signal", "output", "source", "cancelled". */
const char *capture_end_to_string(enum capture_end end);
