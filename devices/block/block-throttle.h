/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The throttle of one disk, or of the disks of a group: <iotune> as token buckets (base/token-bucket.h), one for
 * each limit, and the requests that wait for them.
 *
 * A block that has one puts each new request into one of two lanes, reads and the rest, so that a slow limit on one
 * does not hold up the other; within a lane the order is kept. A request leaves when all buckets that its lane pays
 * into say so, and is charged once. Lanes of all the group's disks take turns. What a request costs:
 *
 *	                      bytes    operations
 *	READ, WRITE           all      1, or len / size_iops when that is more
 *	WRITE_ZEROES          all      likewise: it may be written out
 *	FLUSH, DISCARD        none     1
 *
 * Waiting costs nothing: one loop timer, armed only while something waits that may go by itself. A lane whose block is
 * held (a pause, a reset) or stopped (an error) keeps its requests and asks for no timer. A reset does not fill the
 * buckets: a guest cannot get around its limits by resetting the device.
 *
 * Threads: as block.h's. Requests leave on the loop's thread only.
 */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/base/loop.h"

struct block_throttle;

/* The caller's is the first reference. Returns 0, -ENOENT (nothing is limited), or -ENOMEM. */
int block_throttle_new(
	struct loop *loop, const struct vm_iotune *tune, struct block_throttle **ret_throttle);
struct block_throttle *block_throttle_ref(struct block_throttle *throttle);
/* Takes NULL; answers NULL. The last one frees: no block is attached any more. */
struct block_throttle *block_throttle_unref(struct block_throttle *throttle);
DEFINE_CLEANUP(struct block_throttle *, block_throttle_unref);
