/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pair of frame rings in shared memory between two processes that do not trust each other. It knows records and cursors;
 * what is in a frame, and the doorbells, are its caller's (link.h).
 *
 * Each end owns one memory file: the daemon makes it with exactly RING_FILE_SIZE() bytes, sealed against changing its size.
 * The owner maps it read-write, and seals it against any further writable mapping; the peer has a read-only fd. So what one
 * end writes, its cursors and the frames it sends, the other can read and never change:
 *
 *	page 0	struct ring_words: how far I have written (tail), read (head), whether I sleep or wait for room
 *	data	my frames for the peer: records of 64 bytes' alignment, each in one piece
 *
 * The consumer believes nothing: every word of the peer is read once and checked, a record's header is copied once to memory
 * of our own. What breaks a rule poisons this ring for good (-EBADMSG, -EPIPE), and nothing else. The bytes of a frame stay the
 * peer's, who may change them at any time until ring_done(): copy what you check.
 *
 * Wake-ups are counted by epochs, since the producer cannot clear a flag in the consumer's page: ring_park() writes a new
 * epoch, the producer remembers the last one that it rang for. So there is at most one kick for each sleep, and none while
 * the consumer is awake. The same for room. (64 bits: an epoch never comes again.)
 *
 * A ring that runs empty begins again at its start, when it has gone RING_REWIND_AFTER bytes into its memory: a quiet link
 * keeps a few pages warm, whatever its size.
 *
 * Threads: one at each end; in a worker, the loop's.
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define RING_PAGE         4096
#define RING_MIN_DATA     (256 * 1024)
#define RING_MAX_DATA     (16 * 1024 * 1024)
#define RING_FRAME_MIN    14
#define RING_FRAME_MAX    65553
#define RING_REWIND_AFTER (16 * 1024)
/* The producer shows what it has written at the latest after so much; the caller's publish() shows the rest. */
#define RING_BATCH_FRAMES 32
#define RING_BATCH_BYTES  (16 * 1024)

#define RING_FILE_SIZE(data_size) (RING_PAGE + (size_t)(data_size))

/* Flags of a record. The others are refused. */
#define RING_META_TAGGED (1U << 0) /* vlan_tci is the frame's outer tag */
#define RING_META_MARK   (1U << 1) /* no frame: a cookie that stands for a moment */

/* What travels with a frame. */
struct ring_meta {
	uint16_t flags;
	uint16_t vlan_tci;
	uint8_t hdr[12]; /* struct virtio_net_hdr with num_buffers, as virtio 1.2, 5.1.6 has it */
	uint32_t flow_hash;
	uint64_t cookie; /* of a mark */
};

struct ring_frame {
	struct ring_meta meta;
	uint32_t len;
	const uint8_t *data; /* the peer's: may change under us */
};

/* One end's words. Each line has one writer, its owner. */
struct ring_words {
	_Alignas(64) _Atomic uint64_t tail; /* bytes written since the beginning */
	_Atomic uint64_t
		skip; /* the ring was empty here: what comes next is at the start of the data */
	_Alignas(64) _Atomic uint64_t head; /* bytes of the peer's that are done with */
	_Alignas(64) _Atomic uint64_t wake; /* not 0: I sleep, kick me; a new number each time */
	_Atomic uint64_t space;             /* not 0: I wait for room */
};
static_assert(sizeof(struct ring_words) <= RING_PAGE, "shared layout");
static_assert(offsetof(struct ring_words, head) == 64, "shared layout");
static_assert(offsetof(struct ring_words, wake) == 128, "shared layout");

struct ring {
	struct ring_words *own;
	const struct ring_words *peer;
	uint8_t *out;      /* own data */
	const uint8_t *in; /* peer's data */
	uint64_t size;     /* of each data area: a power of two */
	bool poisoned;

	/* Producer. */
	uint64_t tail, shown; /* written; and published */
	uint64_t live;        /* nothing before this is of use: behind the last rewind */
	uint64_t peer_head;   /* as last seen */
	uint64_t rung, space_epoch;
	unsigned n_unshown;
	bool waits; /* a frame found no room, and the peer was asked to tell */
	/* Consumer. */
	uint64_t head, released;
	uint64_t
		base; /* the peer's tail is at most 'size' ahead of this: released, or rewound to */
	uint64_t peer_tail; /* as last seen */
	uint32_t next_step; /* bytes to the record behind the one that was got */
	uint64_t wake_epoch, space_rung;
};

/* Map both files; the fds stay the caller's and may be closed. 'data_size' is a power of two from RING_MIN_DATA to
 * RING_MAX_DATA. Returns 0, -EINVAL (size), -EPERM (a file that is not sealed against changing its size, or of another
 * size), -errno of mmap or fcntl. */
int ring_open(struct ring *ring, int own_fd, int peer_fd, size_t data_size);
/* Copes with one that was never opened but is all zeroes. */
void ring_close(struct ring *ring);

/* Producer. */

/* Copy a frame in. 0; -EAGAIN: no room now, and the peer knows that we wait; -EMSGSIZE; -EPIPE: poisoned. The peer sees it
 * with the next ring_publish(), or earlier. */
int ring_put(struct ring *ring, const struct ring_meta *meta, const struct iovec *iov,
	unsigned n_iov, size_t len);
/* A mark, with 'cookie'. Otherwise the same. */
int ring_put_mark(struct ring *ring, uint64_t cookie);
/* Show all that was put. True: the peer sleeps, ring its bell. */
bool ring_publish(struct ring *ring);
/* There is room for a frame of any size, and half of the ring at least: what the peer's bell says. False: it will ring
 * (again). */
bool ring_has_space(struct ring *ring);

/* Consumer. */

/* Look at the first frame: 1, 0 (none), -EBADMSG (the peer has broken the ring; from now on 0). The same frame again
 * until ring_done(). */
int ring_get(struct ring *ring, struct ring_frame *ret);
/* The frame that ring_get() gave is done with. */
void ring_done(struct ring *ring);
/* Give back what is done with. True: the peer waits for room and has enough of it now, ring its bell: once, not for each
 * few frames. */
bool ring_release(struct ring *ring);
/* How far the peer has written, and how far we have read: to stop at a moment. */
uint64_t ring_seen(struct ring *ring);
static inline uint64_t ring_position(const struct ring *ring)
{
	return ring->head;
}
/* About to sleep. False: something has come, go on. */
bool ring_park(struct ring *ring);
void ring_unpark(struct ring *ring);
