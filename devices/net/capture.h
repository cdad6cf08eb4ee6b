/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Captures: copies of frames for a reader outside, each a packet (vmm-core/base/capture-record.h) on a socket that the daemon
 * made. Of a switch's port, of all its ports, or of what has no port in a switch (an uplink of a team).
 *
 * In a switch a capture is a MIRROR port (vswitch.h), so it sees what the checks let pass, costs a frame nothing while there
 * is none, and delays nobody: a packet that does not fit into the socket is lost and counted, there and in the records that
 * follow. The socket's send buffer, which the daemon chose, bounds the memory.
 *
 * A capture ends when its reader goes away, and when what it watches does: then the reader sees the end of the stream, though the
 * daemon holds a copy of this end of it; with that it can end the stream, too, for both. The daemon counts along on a page beside the
 * socket (struct capture_counts).
 *
 * Threads: as the switch's.
 */
#pragma once

#include "devices/net/vswitch.h"
#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/loop.h"

#define CAPTURES_MAX 4 /* of one owner: vNIC, network, team */

struct captures {
	struct loop *loop;
	struct vswitch *sw; /* NULL: frames come by captures_show() */
	struct list all;
	unsigned n;
};

struct capture_spec {
	struct port *port; /* of the switch; NULL: all of them */
	unsigned key;      /* without a switch: captures_show()'s */
	/* CAPTURE_IN and OUT. For all ports of a switch there is no direction: each frame is seen once, with either. */
	uint32_t direction;
	uint32_t snaplen; /* bytes of a frame that are sent, from 1 */
};

void captures_init(struct captures *captures, struct loop *loop, struct vswitch *sw);
/* Ends all of them. Copes with one that was never initialised but is all zeroes. */
void captures_done(struct captures *captures);

/* The fds are taken over, whatever the answer; without counts_fd (negative) nobody counts along. Returns 0, -EINVAL (spec), -ENOTSOCK,
 * -EBUSY (CAPTURES_MAX), -ENOSPC (ports or mirrors of the switch), -EPERM (the page could shrink), -EMSGSIZE (it is too short), -ENOMEM. */
int captures_add(struct captures *captures, const struct capture_spec *spec, int fd, int counts_fd);

/* Without a switch: 'frame' passes 'key', with tag 'tci' (-1: none). Call it only if there are any (captures.n). */
void captures_show(struct captures *captures, unsigned key, unsigned direction,
	const struct frame *frame, int32_t tci);
