/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A virtqueue with split rings (virtio 1.2, 2.7) over guest memory: indirect descriptors, event
 * index, save and load. It knows no device, no transport and no eventfd; virtio.h stands on it.
 *
 * The driver is hostile. Geometry (size and addresses) is checked and latched as host pointers by
 * virtq_enable() and not looked at again, whatever the driver writes to the transport later. Each
 * ring word and each descriptor is copied once into a local, checked there, and used from there. A
 * chain has at most VIRTQ_MAX_CHAIN descriptors and VIRTQ_MAX_CHAIN_BYTES bytes, never more direct
 * descriptors than the queue has, and every byte of it is RAM (guest_mem_ptr), so DMA to a BAR is
 * impossible. At most 'size' chains are out at a time. What breaks a rule is answered once by
 * -EBADMSG; from then on the queue is broken: it gives no chains and publishes nothing until
 * virtq_reset().
 *
 * Kicks suppress themselves: while virtq_pop() answers 1 the driver is asked not to kick; the pop
 * that answers 0 has asked for the next kick and looked again afterwards, so that no chain is ever
 * forgotten. A device that stops popping before 0 gets no kick: it pops again by itself.
 *
 * Used entries are written by virtq_push() and seen by the driver only after virtq_flush(): one
 * publication and one notification decision for a whole batch.
 *
 * Threads: the device's lock held.
 */
#pragma once

#include <sys/uio.h>

#include "vmm-core/guest-mem.h"
#include "vmm-core/state.h"

#define VIRTQ_MAX_SIZE        256 /* entries of a ring */
#define VIRTQ_MAX_CHAIN       256 /* descriptors of a chain, direct and indirect together */
#define VIRTQ_MAX_CHAIN_BYTES MIB(256)

/* What was negotiated, for virtq_enable(). */
#define VIRTQ_INDIRECT  (1U << 0)
#define VIRTQ_EVENT_IDX (1U << 1)

struct virtq {
	const struct guest_mem *mem;

	/* As the driver programmed it; ignored while enabled. */
	uint16_t max_size, size;
	struct gpa desc_gpa, avail_gpa, used_gpa;

	/* Latched by virtq_enable(). */
	bool enabled, broken;
	uint16_t flags; /* VIRTQ_* */
	uint16_t latched_size;
	const uint8_t *desc, *avail;
	uint8_t *used;

	uint16_t last_avail;  /* next entry of the available ring to take */
	uint16_t avail_seen;  /* the driver's index as last read: entries up to here may be taken */
	uint16_t next_used;   /* next entry of the used ring to write */
	uint16_t used_idx;    /* published */
	uint16_t n_in_flight; /* chains popped and not pushed */
	bool kicks_off;       /* the driver was asked not to kick (without event index) */
};

/* One chain, as host memory. Only iov[0, n_readable + n_writable) is ever written, so a chain need
 * not be initialised and is cheap on the stack. The iovecs point into guest memory: copy what you
 * check. */
struct virtq_chain {
	uint16_t head;
	uint16_t n_readable,
		n_writable; /* iov: first the device-readable parts, then the writable */
	uint32_t readable_len, writable_len;
	struct iovec iov[VIRTQ_MAX_CHAIN];
};

/* 'max_size' is what the driver finds in queue_size: 1 … VIRTQ_MAX_SIZE, a power of two. */
void virtq_init(struct virtq *q, const struct guest_mem *mem, uint16_t max_size);

/* Power-on state: disabled, size = max_size, addresses 0. Chains that are out are forgotten. */
void virtq_reset(struct virtq *q);

/* Program the geometry. Ignored (answer false) while enabled. Size is only stored: virtq_enable()
 * checks it. */
bool virtq_set_size(struct virtq *q, uint16_t size);
bool virtq_set_addresses(struct virtq *q, struct gpa desc, struct gpa avail, struct gpa used);

/* Latch the geometry. Returns 0, -EINVAL (size 0, above max_size or no power of two; an address
 * that is not aligned as 2.7 wants), -EFAULT (a ring that is not RAM throughout), -EALREADY. */
int virtq_enable(struct virtq *q, unsigned flags);

/* Take the next available chain. Returns 1 with a chain that must be given back by virtq_push() or
 * virtq_unpop(), 0 if there is none (or the queue is disabled or broken), -EBADMSG if the driver
 * just broke the ring: the device is then failed. */
int virtq_pop(struct virtq *q, struct virtq_chain *ret_chain);

/* Give back the chain popped last, unused: the next pop takes it (and reads its descriptors)
 * again. */
void virtq_unpop(struct virtq *q);

/* Read the descriptors of a chain that is out once more, for a request that was kept over save and
 * load. 'head' comes from the device's own state. Returns 1 or -EBADMSG. */
int virtq_refetch(struct virtq *q, uint16_t head, struct virtq_chain *ret_chain);

/* Write the used entry of a chain that is out: 'len' bytes of its writable part were written. The
 * driver does not see it before virtq_flush(). */
void virtq_push(struct virtq *q, uint16_t head, uint32_t len);

/* Publish what was pushed. Answers true when the driver wants to be notified. */
bool virtq_flush(struct virtq *q);

/* There is something to pop, without popping. False asks for a kick, as a pop that answers 0
 * does. */
bool virtq_has_work(struct virtq *q);

void virtq_save(const struct virtq *q, struct state_writer *w);
/* Fills '*q' (which virtq_init() prepared) and latches again, with 'flags' as negotiated. Returns 0
 * or -EBADMSG with '*q' as virtq_reset() leaves it. The reader is not checked for its end. */
int virtq_load(struct virtq *q, struct state_reader *r, unsigned flags);

/* Copy from the readable part / to the writable part of a chain, from byte 'offset' of that part
 * on. Answer how many bytes were there. */
size_t virtq_chain_read(const struct virtq_chain *c, size_t offset, void *buf, size_t len);
size_t virtq_chain_write(struct virtq_chain *c, size_t offset, const void *buf, size_t len);
