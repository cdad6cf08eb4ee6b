/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Links: ports of a switch whose owner is another process. A link is a ring pair (ring.h) and two bells (eventfds); what
 * the peer puts into its ring enters our switch at the link's port, what the switch sends to the port goes into our ring.
 * The links of one switch share a struct links, which drains them fairly and remembers who waits for room.
 *
 * The peer is hostile: a ring that breaks its rules is closed, the link stays as a port that takes nothing, and its
 * owner is told (broken()); every frame is checked anew by frame_init(), on a copy of its beginning, and the policy of the
 * port's configuration is enforced here, by the receiver.
 *
 * Room. When the switch answers -EAGAIN (a receiver behind it is full) the frame stays in the ring and the link is blocked
 * until that receiver has room (links_retry()) or LINK_HOLD_NS have passed; then the receiver counts as congested and
 * drops until it has room again, so that one that never reads delays the others once and not for each frame.
 *
 * Bells are rung once per sleep of the peer, at the end of a batch. A link that is quiet costs nothing: no timer, no
 * polling; the ring is parked. One that has run empty just now may rest on the loop first, as long as links_init()
 * says: the loop looks into the ring, which is not parked meanwhile, and so the peer rings no bell.
 *
 * Threads: the loop's (with the machine's lock, where there is one).
 */
#pragma once

#include "devices/net/ring.h"
#include "devices/net/vswitch.h"
#include "vmm-core/base/loop.h"

#define LINK_HOLD_NS UINT64_C(200000)
/* Of one link in a turn, then the next link's: as many frames as a queue of a guest has, and bytes that are copied in less
 * than LINK_HOLD_NS. */
#define LINK_BUDGET       256
#define LINK_BUDGET_BYTES (1024 * 1024)

struct link;

struct links_ops {
	/* The peer broke its ring; the link is dead. It may be removed later, not in here. */
	void (*broken)(void *opaque, struct link *link);
	/* The peer put a mark: all that it sent before has been delivered. 1: go on; 0: nothing more of this link for now,
	 * as if a receiver had no room; -EAGAIN: the same, and the mark comes again. May call link_hold(), link_drain(). */
	int (*mark)(void *opaque, struct link *link, uint64_t cookie);
	/* Some link has room again: sends that were refused may be tried. May be NULL. */
	void (*space)(void *opaque);
	/* A link with is_last is about to be drained, up to what is in it now: deliver first what must come before. False:
	 * that has no room, so this must wait as well. May close other links. May be NULL. */
	bool (*before)(void *opaque);
};

struct links {
	struct loop *loop;
	struct vswitch *sw;
	const struct links_ops *ops;
	void *opaque;
	struct list all;
	struct loop_timer timer; /* armed while something is blocked */
	unsigned n_blocked;
	uint64_t
		poll_ns; /* the longest that a ring is looked into before its end sleeps; 0: not at all */
	/* The owner's: receivers that are no links (a guest) say themselves when they have room again, however late. */
	bool patient;
};

struct link_fds {
	int own_ring, peer_ring, own_bell, peer_bell;
};

struct link {
	struct port port; /* first; the owner sets kind, counters and cookie */
	struct links *links;
	struct list node;
	struct ring ring;
	struct loop_source *source;
	struct loop_poller poller;
	int own_bell, peer_bell;
	uint32_t id;
	bool open;              /* the ring is usable */
	bool is_last;           /* the owner's: frames of the other links go first */
	bool held;              /* frames wait: the owner has not let them go yet */
	bool blocked;           /* the first frame's receiver has no room */
	bool full;              /* our ring has no room, and the peer knows that we wait */
	struct ring_frame next; /* the first in the ring */
	uint64_t full_until_ns; /* afterwards frames to it are dropped at once */
};

void links_init(struct links *links, struct loop *loop, struct vswitch *sw, uint64_t poll_ns,
	const struct links_ops *ops, void *opaque);
/* All links must have been removed. */
void links_done(struct links *links);

/* Map the rings, watch the bell; the port is the caller's to add to the switch. 'fds' are taken over, whatever the answer:
 * what ring_open() says, -ENOMEM. */
int link_open(struct link *link, struct links *links, uint32_t id, size_t ring_data,
	const struct link_fds *fds);
/* After the port was removed from the switch. Copes with a link that was never opened. */
void link_close(struct link *link);

/* Deliver what is in the ring (up to the budget), or all of what was there when it was called ('all'). */
void link_drain(struct link *link, bool all);
/* Hold frames back, or let those go that were held (link_drain() delivers them). */
void link_hold(struct link *link, bool hold);
/* There is nothing in the ring that has not been delivered. */
bool link_is_empty(struct link *link);
/* Put a mark behind what was sent so far. -EAGAIN: no room now; -ENOBUFS: none for LINK_HOLD_NS; -EPIPE. */
int link_mark(struct link *link, uint64_t cookie);
/* A receiver behind the switch has room again. Costs nothing when nothing is blocked. */
void links_retry(struct links *links);
