/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What block.c (life of a request, policies), block-step.c (its steps) and block-throttle.c share. */
#pragma once

#include "devices/block/block.h"
#include "devices/block/block-throttle.h"

/* The step a request is at. */
enum block_stage {
	STAGE_NEW,         /* nothing decided */
	STAGE_DATA,        /* the guest's buffers as they are */
	STAGE_BOUNCE_READ, /* a window of the image into the bounce buffer, for the guest */
	STAGE_PATCH_READ,  /* the same, because the guest writes only part of it */
	STAGE_BOUNCE_WRITE,
	STAGE_ALLOCATE,
	STAGE_SYNC,
	STAGE_FINISHED
};

/* What is done for it; starts out as the request's op. */
enum block_effect {
	EFFECT_READ,
	EFFECT_WRITE,
	EFFECT_FLUSH,
	EFFECT_PUNCH,      /* deallocate; failing that, nothing (DISCARD) */
	EFFECT_PUNCH_ZERO, /* deallocate; failing that, the next two */
	EFFECT_ZERO_RANGE,
	EFFECT_ZERO_WRITE
};

enum { BLOCK_LANE_READ, BLOCK_LANE_WRITE, BLOCK_LANES };

/* Requests that the throttle has not let go yet, in their order. */
struct block_lane {
	struct list link; /* the throttle's */
	struct list requests;
	struct block *block;
};

struct block {
	struct loop *loop;
	struct block_backend *backend;
	struct block_options options;
	struct vm_stats_disk *stats, own_stats;
	uint64_t capacity;
	uint32_t align;
	int fd;      /* the image; -EBADF when made by block_new() */
	int wake_fd; /* eventfd: another thread wants a commit */
	struct loop_source *wake_source;

	struct list pending;             /* accepted, not started, or put back between two steps */
	struct list kept;                /* failed, waiting for block_resume() */
	struct block_throttle *throttle; /* a reference; NULL: no limits, and no lanes */
	struct block_lane lanes[BLOCK_LANES];
	bool let_go;            /* the throttle put something into 'pending' */
	bool held;              /* nothing leaves the lanes before block_resume() */
	unsigned n_in_flight;   /* requests with an operation at the backend */
	unsigned n_done;        /* answered since the last sweep */
	bool stopped;           /* the owner was told */
	bool pumping, in_sweep; /* guards against re-entry */

	int sync_error;               /* the first failed fdatasync: sticky */
	bool sync_told;               /* somebody got it, or the vm was stopped for it */
	bool no_punch, no_zero_range; /* the image cannot: remembered */
	struct block_request
		*exclusive; /* nothing else may be started while it reads and writes back */

	uint8_t *bounce[BLOCK_MAX_BOUNCE]; /* NULL: not needed so far */
	bool bounce_busy[BLOCK_MAX_BOUNCE];

	struct block_request cache_flush; /* of block_set_write_cache() */
	bool cache_flush_busy;
};

/* block.c */

/* Have block_commit() called by the loop. Any thread. */
void block_wake(struct block *block);

/* block-throttle.c; but for attach() only for blocks that have a throttle. */

void block_throttle_attach(struct block_throttle *throttle, struct block *block);
/* Forgets what is in the lanes; nothing happens without a throttle. */
void block_throttle_detach(struct block *block);
/* A new request: into its lane. */
void block_throttle_queue(struct block *block, struct block_request *req);
/* Move what may go from the lanes to 'pending', and see to it that the rest goes in time. Loop's thread. */
void block_throttle_run(struct block *block);

/* block-step.c */

/* Start the next step of 'req'. Returns 0 (an operation is at the backend), 1 (there is nothing left to do), -EAGAIN
 * (not now: keep it first in the queue), or the error to finish it with. */
int block_step_start(struct block *block, struct block_request *req);
/* An operation was answered. Returns 1 when another step follows (start it), 0 when the request is done, or the error
 * to finish it with. */
int block_step_done(struct block *block, struct block_request *req, int64_t result);
/* Give back what the steps hold. */
void block_step_release(struct block *block, struct block_request *req);
