/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a worker tells of itself that is a state, not an event: it is told as it is when there is room for it, however often it has changed
 * meanwhile. A daemon that reads slowly, or a guest that changes much, costs changes in between, and never the last one.
 *
 * Those that a guest changes as often as it likes go by a rate, which they share with events (tell_may_notice()): an event that is
 * over it is lost, a state waits for the next second.
 *
 * Threads: the loop's.
 */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/base/loop.h"

#define TELL_MAX_NOTICES 16 /* a second */

enum {
	TELL_STATE, /* PROTO_STATE */
	TELL_VCPUS,
	TELL_MEMORIES,
	TELL_LIMITED, /* this one and the others go by the rate */
	TELL_BALLOON = TELL_LIMITED,
	TELL_BALLOON_STATS,
	TELL_MEMORY, /* the size of device 0; the others follow */
	TELL_X_MAX = TELL_MEMORY + VM_MAX_MEMORIES
};

struct tell {
	struct loop *loop;
	struct loop_timer timer;
	uint64_t since_ns; /* begin of the second in which n_notices were sent */
	unsigned n_notices;
	uint32_t untold; /* bits */
	/* Say how it is now. 0, -EAGAIN: no room, tell_again() is called when there is; -ENOTCONN: nobody is there. */
	int (*send)(void *opaque, unsigned what);
	void *opaque;
};

/* Embedded. */
void tell_init(struct tell *tell, struct loop *loop, int (*send)(void *opaque, unsigned what),
	void *opaque);
void tell_done(struct tell *tell);

/* It has changed. */
void tell_changed(struct tell *tell, unsigned what);
/* There is room again, or somebody new. */
void tell_again(struct tell *tell);
/* He was told these (bits) already. */
void tell_forget(struct tell *tell, uint32_t told);
/* One more message of those that the guest causes: false, it is over the rate. */
bool tell_may_notice(struct tell *tell);
