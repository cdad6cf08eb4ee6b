/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frame rings in shared memory: see ring.h. */
#include "devices/net/ring.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "vmm-core/base/macro.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1; C libraries learn of it late */
#endif

#define CPUID_7_EBX_ERMS (1U << 9)

#define ALIGN_TO   64
#define WRAP       UINT32_MAX
#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)
#define META_FLAGS (RING_META_TAGGED | RING_META_MARK)
/* From here on "rep movsb" is the better copy, where the processor says that it is good at it. */
#define BIG_COPY 512

/* In the data area, in front of each frame. */
struct record {
	uint32_t len; /* of the frame; WRAP: go on at the start of the data */
	uint16_t flags, vlan_tci;
	uint8_t hdr[12];
	uint32_t flow_hash;
	uint64_t cookie;
};
static_assert(sizeof(struct record) == 32, "shared layout");

static bool has_erms(void)
{
	static int known;
	unsigned a, b, c, d;

	if (!known)
		known = __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & CPUID_7_EBX_ERMS ? 1 : -1;
	return known > 0;
}

/* glibc's memcpy falls to a fifth of its speed where source and destination lie badly to each other in their pages, as
 * frames in rings often do; the processor's own string copy does not. */
static void copy(void *to, const void *from, size_t n)
{
	if (n >= BIG_COPY && has_erms())
		__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	else
		memcpy(to, from, n);
}

static uint64_t step_of(size_t len)
{
	return (sizeof(struct record) + len + ALIGN_TO - 1) & ~(uint64_t)(ALIGN_TO - 1);
}

/* Life. */

static int check_file(int fd, size_t data_size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((seals & SIZE_SEALS) != SIZE_SEALS || (size_t)st.st_size != RING_FILE_SIZE(data_size))
		return -EPERM;
	return 0;
}

int ring_open(struct ring *r, int own_fd, int peer_fd, size_t data_size)
{
	void *own, *peer;
	int error;

	*r = (struct ring){0};
	if (data_size < RING_MIN_DATA || data_size > RING_MAX_DATA || (data_size & (data_size - 1)))
		return -EINVAL;
	error = check_file(own_fd, data_size);
	if (error == 0)
		error = check_file(peer_fd, data_size);
	if (error < 0)
		return error;
	own = mmap(NULL, RING_FILE_SIZE(data_size), PROT_READ | PROT_WRITE, MAP_SHARED, own_fd, 0);
	if (own == MAP_FAILED)
		return -errno;
	peer = mmap(NULL, RING_FILE_SIZE(data_size), PROT_READ, MAP_SHARED, peer_fd, 0);
	if (peer == MAP_FAILED ||
		fcntl(own_fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0) {
		error = -errno;
		(void)munmap(own, RING_FILE_SIZE(data_size));
		if (peer != MAP_FAILED)
			(void)munmap(peer, RING_FILE_SIZE(data_size));
		return error;
	}
	r->own = own;
	r->peer = peer;
	r->out = (uint8_t *)own + RING_PAGE;
	r->in = (const uint8_t *)peer + RING_PAGE;
	r->size = data_size;
	return 0;
}

void ring_close(struct ring *r)
{
	if (r->own) {
		(void)munmap(r->own, RING_FILE_SIZE(r->size));
		(void)munmap((void *)(uintptr_t)r->peer, RING_FILE_SIZE(r->size));
	}
	*r = (struct ring){0};
}

/* Producer. */

static void see_head(struct ring *r)
{
	/* Pairs with the release of the peer's ring_release(): its reads of the space are over. */
	uint64_t head = atomic_load_explicit(&r->peer->head, memory_order_acquire);

	/* A head that goes back, or that is before its time, is no news. */
	if (head - r->peer_head <= r->tail - r->peer_head)
		r->peer_head = head;
}

static uint64_t room(const struct ring *r)
{
	/* What lies before a rewind is not waited for. */
	uint64_t used = r->tail - (r->peer_head > r->live ? r->peer_head : r->live);

	return r->size - used;
}

static void show(struct ring *r)
{
	/* Pairs with the acquire of the peer's see_tail(): it sees the records. */
	atomic_store_explicit(&r->own->tail, r->tail, memory_order_release);
	r->shown = r->tail;
	r->n_unshown = 0;
}

/* The ring is empty, and has gone some way into its memory: begin again at the start, which is warm. */
static void rewind_if_empty(struct ring *r)
{
	uint64_t offset = r->tail & (r->size - 1);

	if (offset < RING_REWIND_AFTER || r->peer_head != r->tail)
		return;
	/* Before the tail moves: whoever sees the new tail sees this, too. */
	atomic_store_explicit(&r->own->skip, r->tail, memory_order_relaxed);
	r->tail += r->size - offset;
	r->live = r->tail;
}

/* Room for a record of 'step' bytes in one piece, or -EAGAIN. */
static int reserve(struct ring *r, uint64_t step)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t to_end = r->size - (r->tail & (r->size - 1));
		uint64_t need = step <= to_end ? step : to_end + step;

		if (need <= room(r)) {
			if (step > to_end) {
				struct record *wrap = (void *)(r->out + (r->tail & (r->size - 1)));

				wrap->len = WRAP;
				r->tail += to_end;
			}
			return 0;
		}
		see_head(r);
	}
	return -EAGAIN;
}

/* Ask to be told of room; then look once more, since the peer may have made it just before it could know. */
static void ask_for_room(struct ring *r)
{
	atomic_store_explicit(&r->own->space, ++r->space_epoch, memory_order_relaxed);
	/* Pairs with the fence of the peer's ring_release(): it sees the question, or we see the room. */
	atomic_thread_fence(memory_order_seq_cst);
	see_head(r);
}

static void ask_no_more(struct ring *r)
{
	atomic_store_explicit(&r->own->space, 0, memory_order_relaxed);
}

static int reserve_or_ask(struct ring *r, uint64_t step)
{
	if (reserve(r, step) == 0)
		return 0;
	show(r);
	ask_for_room(r);
	if (reserve(r, step) < 0) {
		r->waits = true;
		return -EAGAIN;
	}
	/* Another frame may wait for more than this one needed. */
	if (!r->waits)
		ask_no_more(r);
	return 0;
}

static int put(struct ring *r, const struct record *record, const struct iovec *iov, unsigned n_iov,
	size_t len)
{
	uint64_t step = step_of(len);
	uint8_t *to;
	int error;

	if (r->poisoned)
		return -EPIPE;
	see_head(r);
	rewind_if_empty(r);
	error = reserve_or_ask(r, step);
	if (error < 0)
		return error;
	to = r->out + (r->tail & (r->size - 1));
	memcpy(to, record, sizeof(*record));
	to += sizeof(*record);
	for (unsigned i = 0; i < n_iov && len; i++) {
		size_t n = MIN(iov[i].iov_len, len);

		copy(to, iov[i].iov_base, n);
		to += n;
		len -= n;
	}
	r->tail += step;
	if (++r->n_unshown >= RING_BATCH_FRAMES || r->tail - r->shown >= RING_BATCH_BYTES)
		show(r);
	return 0;
}

int ring_put(struct ring *r, const struct ring_meta *meta, const struct iovec *iov, unsigned n_iov,
	size_t len)
{
	struct record record = {.len = (uint32_t)len,
		.flags = meta->flags & RING_META_TAGGED,
		.vlan_tci = meta->vlan_tci,
		.flow_hash = meta->flow_hash};

	if (len < RING_FRAME_MIN || len > RING_FRAME_MAX)
		return -EMSGSIZE;
	memcpy(record.hdr, meta->hdr, sizeof(record.hdr));
	return put(r, &record, iov, n_iov, len);
}

int ring_put_mark(struct ring *r, uint64_t cookie)
{
	struct record record = {.flags = RING_META_MARK, .cookie = cookie};

	return put(r, &record, NULL, 0, 0);
}

bool ring_publish(struct ring *r)
{
	uint64_t epoch;

	if (r->shown != r->tail)
		show(r);
	/* Pairs with the fence of the peer's ring_park(): it sees the tail, or we see that it sleeps. */
	atomic_thread_fence(memory_order_seq_cst);
	epoch = atomic_load_explicit(&r->peer->wake, memory_order_relaxed);
	if (!epoch || epoch == r->rung)
		return false;
	r->rung = epoch;
	return true;
}

/* Worth a bell: half of it, and the worst case, a wrap in front of the largest frame. */
static uint64_t enough_room(const struct ring *r)
{
	return MAX(r->size / 2, 2 * step_of(RING_FRAME_MAX));
}

bool ring_has_space(struct ring *r)
{
	see_head(r);
	/* The bell was for room that others of our frames have taken since: it rings once for a question. */
	if (room(r) < enough_room(r))
		ask_for_room(r);
	if (room(r) < enough_room(r))
		return false;
	r->waits = false;
	ask_no_more(r);
	return true;
}

/* Consumer. */

static int poison(struct ring *r)
{
	r->poisoned = true;
	return -EBADMSG;
}

static void see_tail(struct ring *r)
{
	/* Pairs with the release of the peer's show(): the records up to here are written. */
	r->peer_tail = atomic_load_explicit(&r->peer->tail, memory_order_acquire);
	/* It rewinds when it knows that we have read all, not before. */
	if (r->head == r->peer_tail || r->head != r->released || !(r->head & (r->size - 1)) ||
		r->head != atomic_load_explicit(&r->peer->skip, memory_order_relaxed))
		return;
	r->head += r->size - (r->head & (r->size - 1));
	r->base = r->head;
}

static bool is_valid(const struct record *record)
{
	if (record->flags & ~META_FLAGS)
		return false;
	if (record->flags & RING_META_MARK)
		return record->len == 0 && record->flags == RING_META_MARK;
	return record->len >= RING_FRAME_MIN && record->len <= RING_FRAME_MAX;
}

static void fill(
	const struct ring *r, const struct record *record, uint64_t offset, struct ring_frame *ret)
{
	ret->meta.flags = record->flags;
	ret->meta.vlan_tci = record->vlan_tci;
	memcpy(ret->meta.hdr, record->hdr, sizeof(record->hdr));
	ret->meta.flow_hash = record->flow_hash;
	ret->meta.cookie = record->cookie;
	ret->len = record->len;
	ret->data = r->in + offset + sizeof(*record);
}

int ring_get(struct ring *r, struct ring_frame *ret)
{
	if (r->poisoned)
		return 0;
	if (r->head == r->peer_tail) {
		see_tail(r);
		if (r->head == r->peer_tail)
			return 0;
	}
	/* Two rounds at most: a wrap, and what is at the start. */
	for (unsigned i = 0; i < 2; i++) {
		uint64_t left = r->peer_tail - r->head, offset = r->head & (r->size - 1), step;
		struct record record;

		/* More than we have given back would be written over what we are reading. */
		if (left > r->size || r->peer_tail - r->base > r->size || left % ALIGN_TO ||
			left == 0)
			return poison(r);
		/* Once: the peer may write another header while we look at it. */
		memcpy(&record, r->in + offset, sizeof(record));
		__asm__ volatile("" : : "m"(record) : "memory");
		if (record.len == WRAP) {
			if (offset == 0 || r->size - offset >= left)
				return poison(r);
			r->head += r->size - offset;
			continue;
		}
		if (!is_valid(&record))
			return poison(r);
		step = step_of(record.len);
		if (step > left || step > r->size - offset)
			return poison(r);
		r->next_step = (uint32_t)step;
		fill(r, &record, offset, ret);
		return 1;
	}
	return poison(r);
}

void ring_done(struct ring *r)
{
	r->head += r->next_step;
	r->next_step = 0;
}

bool ring_release(struct ring *r)
{
	uint64_t used, epoch;

	if (r->released == r->head || !r->own)
		return false;
	r->released = r->base = r->head;
	/* Pairs with the acquire of the peer's see_head(). */
	atomic_store_explicit(&r->own->head, r->head, memory_order_release);
	/* Pairs with the fence of the peer's ask_for_room(): it sees the room, or we see the question. */
	atomic_thread_fence(memory_order_seq_cst);
	epoch = atomic_load_explicit(&r->peer->space, memory_order_relaxed);
	if (!epoch || epoch == r->space_rung)
		return false;
	/* Once it is worth it. Until then there are frames left, and so another release. */
	used = atomic_load_explicit(&r->peer->tail, memory_order_relaxed) - r->head;
	if (used > r->size - enough_room(r))
		return false;
	r->space_rung = epoch;
	return true;
}

uint64_t ring_seen(struct ring *r)
{
	see_tail(r);
	return r->peer_tail;
}

bool ring_park(struct ring *r)
{
	atomic_store_explicit(&r->own->wake, ++r->wake_epoch, memory_order_relaxed);
	/* Pairs with the fence of the peer's ring_publish(): it sees that we sleep, or we see its tail. */
	atomic_thread_fence(memory_order_seq_cst);
	if (r->poisoned || atomic_load_explicit(&r->peer->tail, memory_order_relaxed) == r->head)
		return true;
	ring_unpark(r);
	return false;
}

void ring_unpark(struct ring *r)
{
	atomic_store_explicit(&r->own->wake, 0, memory_order_relaxed);
}
