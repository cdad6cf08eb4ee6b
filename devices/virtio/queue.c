/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Split virtqueues over guest memory: see queue.h. */
#include "devices/virtio/queue.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

/* struct vring_desc and its flags (2.7.5). */
struct virtq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags;
	uint16_t next;
};
static_assert(sizeof(struct virtq_desc) == 16, "virtio 1.2, 2.7.5");
static_assert(offsetof(struct virtq_desc, next) == 14, "virtio 1.2, 2.7.5");

#define DESC_NEXT     0x1
#define DESC_WRITE    0x2
#define DESC_INDIRECT 0x4

struct used_elem {
	uint32_t id;
	uint32_t len;
};
static_assert(sizeof(struct used_elem) == 8, "virtio 1.2, 2.7.8");

#define AVAIL_NO_INTERRUPT 0x1
#define USED_NO_NOTIFY     0x1

/* Both rings: flags, idx, ring[]. */
#define RING_FLAGS 0
#define RING_IDX   2
#define RING_START 4

/* One load of a word that the driver may change at any time. */
static uint16_t load16(const uint8_t *p)
{
	return le16toh(__atomic_load_n((const uint16_t *)(const void *)p, __ATOMIC_RELAXED));
}

static void store16(uint8_t *p, uint16_t v)
{
	__atomic_store_n((uint16_t *)(void *)p, htole16(v), __ATOMIC_RELAXED);
}

static uint16_t load_avail_idx(const struct virtq *q)
{
	uint16_t idx = load16(q->avail + RING_IDX);

	/* Pairs with the driver's write barrier between filling entries and raising idx. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return idx;
}

static const uint8_t *used_event(const struct virtq *q)
{
	return q->avail + RING_START + 2 * (size_t)q->latched_size;
}

static uint8_t *avail_event(const struct virtq *q)
{
	return q->used + RING_START + sizeof(struct used_elem) * (size_t)q->latched_size;
}

void virtq_init(struct virtq *q, const struct guest_mem *mem, uint16_t max_size)
{
	assert(max_size && max_size <= VIRTQ_MAX_SIZE && !(max_size & (max_size - 1)));
	*q = (struct virtq){.mem = mem, .max_size = max_size, .size = max_size};
}

void virtq_reset(struct virtq *q)
{
	virtq_init(q, q->mem, q->max_size);
}

bool virtq_set_size(struct virtq *q, uint16_t size)
{
	if (q->enabled)
		return false;
	q->size = size;
	return true;
}

bool virtq_set_addresses(struct virtq *q, struct gpa desc, struct gpa avail, struct gpa used)
{
	if (q->enabled)
		return false;
	q->desc_gpa = desc;
	q->avail_gpa = avail;
	q->used_gpa = used;
	return true;
}

int virtq_enable(struct virtq *q, unsigned flags)
{
	uint64_t n = q->size;
	const uint8_t *desc, *avail;
	uint8_t *used;

	if (q->enabled)
		return -EALREADY;
	if (!n || n > q->max_size || n & (n - 1))
		return -EINVAL;
	if (!IS_ALIGNED(q->desc_gpa.v, 16) || !IS_ALIGNED(q->avail_gpa.v, 2) ||
		!IS_ALIGNED(q->used_gpa.v, 4))
		return -EINVAL;
	desc = guest_mem_ptr(q->mem, q->desc_gpa, sizeof(struct virtq_desc) * n);
	avail = guest_mem_ptr(q->mem, q->avail_gpa, RING_START + 2 * n + 2);
	used = guest_mem_ptr(q->mem, q->used_gpa, RING_START + sizeof(struct used_elem) * n + 2);
	if (!desc || !avail || !used)
		return -EFAULT;
	q->desc = desc;
	q->avail = avail;
	q->used = used;
	q->latched_size = (uint16_t)n;
	q->flags = (uint16_t)flags;
	q->enabled = true;
	return 0;
}

/* Look for entries; when there are none, ask for a kick and look again. 1, 0 or -EBADMSG. */
static int refresh(struct virtq *q)
{
	if (q->last_avail != q->avail_seen)
		return 1;
	for (unsigned turn = 0; turn < 2; turn++) {
		uint16_t idx = load_avail_idx(q);

		if ((uint16_t)(idx - q->last_avail) > q->latched_size)
			return -EBADMSG;
		q->avail_seen = idx;
		if (idx != q->last_avail)
			return 1;
		if (turn)
			break;
		if (q->flags & VIRTQ_EVENT_IDX)
			store16(avail_event(q), q->last_avail);
		else if (q->kicks_off)
			store16(q->used + RING_FLAGS, 0);
		q->kicks_off = false;
		/* Pairs with the driver's full barrier between raising idx and reading avail_event
		 * or flags: either it sees our wish, or we see its entry. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	}
	return 0;
}

static void suppress_kicks(struct virtq *q)
{
	/* With the event index, an old avail_event does it. */
	if (q->kicks_off || q->flags & VIRTQ_EVENT_IDX)
		return;
	store16(q->used + RING_FLAGS, USED_NO_NOTIFY);
	q->kicks_off = true;
}

/* One copy of a descriptor; the fence keeps the compiler from reading guest memory a second
 * time. */
static struct virtq_desc load_desc(const uint8_t *table, unsigned index)
{
	struct virtq_desc d;

	memcpy(&d, table + sizeof(d) * (size_t)index, sizeof(d));
	__asm__ volatile("" : : : "memory");
	return (struct virtq_desc){
		.addr = le64toh(d.addr),
		.len = le32toh(d.len),
		.flags = le16toh(d.flags),
		.next = le16toh(d.next),
	};
}

static int add_buffer(const struct virtq *q, const struct virtq_desc *d, struct virtq_chain *c)
{
	unsigned n = c->n_readable + c->n_writable;
	bool writable = d->flags & DESC_WRITE;
	void *p;

	if (!d->len || n == VIRTQ_MAX_CHAIN || (!writable && c->n_writable))
		return -EBADMSG;
	if (d->len > VIRTQ_MAX_CHAIN_BYTES - c->readable_len - c->writable_len)
		return -EBADMSG;
	p = guest_mem_ptr(q->mem, GPA(d->addr), d->len);
	if (!p)
		return -EBADMSG;
	c->iov[n] = (struct iovec){.iov_base = p, .iov_len = d->len};
	if (writable) {
		c->n_writable++;
		c->writable_len += d->len;
	} else {
		c->n_readable++;
		c->readable_len += d->len;
	}
	return 0;
}

/* Follow a chain from its head. Ends because a direct chain has at most as many descriptors as the
 * ring, an indirect table is entered once, and add_buffer() counts. */
static int walk(const struct virtq *q, uint16_t head, struct virtq_chain *c)
{
	const uint8_t *table = q->desc;
	uint32_t n = q->latched_size, index = head, seen = 0;
	bool indirect = false;

	c->head = head;
	c->n_readable = c->n_writable = 0;
	c->readable_len = c->writable_len = 0;
	for (;;) {
		struct virtq_desc d;

		if (index >= n || seen++ == MIN(n, (uint32_t)VIRTQ_MAX_CHAIN))
			return -EBADMSG;
		d = load_desc(table, index);
		if (d.flags & DESC_INDIRECT) {
			if (indirect || !(q->flags & VIRTQ_INDIRECT) || d.flags & DESC_NEXT)
				return -EBADMSG;
			if (!d.len || d.len % sizeof(d))
				return -EBADMSG;
			table = guest_mem_ptr(q->mem, GPA(d.addr), d.len);
			if (!table)
				return -EBADMSG;
			n = d.len / sizeof(d);
			index = seen = 0;
			indirect = true;
			continue;
		}
		if (add_buffer(q, &d, c) < 0)
			return -EBADMSG;
		if (!(d.flags & DESC_NEXT))
			return 1;
		index = d.next;
	}
}

int virtq_pop(struct virtq *q, struct virtq_chain *ret_chain)
{
	uint16_t head;
	int r;

	if (!q->enabled || q->broken)
		return 0;
	r = refresh(q);
	if (r == 0)
		return 0;
	if (r == 1) {
		suppress_kicks(q);
		head = load16(q->avail + RING_START +
			2 * (size_t)(q->last_avail & (q->latched_size - 1)));
		r = q->n_in_flight == q->latched_size ? -EBADMSG : walk(q, head, ret_chain);
	}
	if (r < 0) {
		q->broken = true;
		return r;
	}
	q->last_avail++;
	q->n_in_flight++;
	return 1;
}

void virtq_unpop(struct virtq *q)
{
	if (!q->n_in_flight)
		return;
	q->last_avail--;
	q->n_in_flight--;
}

int virtq_refetch(struct virtq *q, uint16_t head, struct virtq_chain *ret_chain)
{
	if (!q->enabled || q->broken)
		return -EBADMSG;
	return walk(q, head, ret_chain);
}

void virtq_push(struct virtq *q, uint16_t head, uint32_t len)
{
	struct used_elem e = {.id = htole32(head), .len = htole32(len)};

	if (!q->enabled || q->broken || !q->n_in_flight)
		return;
	memcpy(q->used + RING_START + sizeof(e) * (size_t)(q->next_used & (q->latched_size - 1)),
		&e, sizeof(e));
	q->next_used++;
	q->n_in_flight--;
}

bool virtq_flush(struct virtq *q)
{
	uint16_t old = q->used_idx, new = q->next_used;

	if (!q->enabled || q->broken || old == new)
		return false;
	/* Pairs with the driver's read barrier between reading idx and the entries below it. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	store16(q->used + RING_IDX, new);
	q->used_idx = new;
	/* Pairs with the driver's full barrier between writing used_event (or flags) and looking at
	 * idx again: either it sees our entries, or we see its wish. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (q->flags & VIRTQ_EVENT_IDX)
		return (uint16_t)(new - load16(used_event(q)) - 1) < (uint16_t)(new - old);
	return !(load16(q->avail + RING_FLAGS) & AVAIL_NO_INTERRUPT);
}

bool virtq_has_work(struct virtq *q)
{
	/* A broken ring is work too: the next pop tells. */
	return q->enabled && !q->broken && refresh(q) != 0;
}

void virtq_save(const struct virtq *q, struct state_writer *w)
{
	state_put_u8(w, q->enabled);
	state_put_u8(w, q->broken);
	state_put_u16(w, q->enabled ? q->latched_size : q->size);
	state_put_u64(w, q->desc_gpa.v);
	state_put_u64(w, q->avail_gpa.v);
	state_put_u64(w, q->used_gpa.v);
	state_put_u16(w, q->last_avail);
	state_put_u16(w, q->next_used);
	state_put_u16(w, q->used_idx);
}

int virtq_load(struct virtq *q, struct state_reader *r, unsigned flags)
{
	uint8_t enabled = state_get_u8(r), broken = state_get_u8(r);
	uint16_t in_flight;

	virtq_reset(q);
	q->size = state_get_u16(r);
	q->desc_gpa = GPA(state_get_u64(r));
	q->avail_gpa = GPA(state_get_u64(r));
	q->used_gpa = GPA(state_get_u64(r));
	q->last_avail = q->avail_seen = state_get_u16(r);
	q->next_used = state_get_u16(r);
	q->used_idx = state_get_u16(r);
	q->broken = broken;
	/* Each chain that was popped is pushed once, so the distance is what is still out. */
	in_flight = (uint16_t)(q->last_avail - q->next_used);
	q->n_in_flight = in_flight;
	if (!r->bad && enabled <= 1 && broken <= enabled && in_flight <= q->size &&
		(!enabled || virtq_enable(q, flags) == 0) &&
		(enabled || (!q->last_avail && !q->next_used && !q->used_idx))) {
		/* The driver may have been asked not to kick, and what it waits for may be in use already. */
		q->kicks_off = enabled && !(flags & VIRTQ_EVENT_IDX);
		return 0;
	}
	virtq_reset(q);
	return -EBADMSG;
}

size_t virtq_chain_read(const struct virtq_chain *c, size_t offset, void *buf, size_t len)
{
	uint8_t *to = buf;
	size_t done = 0;

	for (unsigned i = 0; i < c->n_readable && done < len; i++) {
		const struct iovec *iov = &c->iov[i];
		size_t n;

		if (offset >= iov->iov_len) {
			offset -= iov->iov_len;
			continue;
		}
		n = MIN(iov->iov_len - offset, len - done);
		memcpy(to + done, (const uint8_t *)iov->iov_base + offset, n);
		done += n;
		offset = 0;
	}
	return done;
}

size_t virtq_chain_write(struct virtq_chain *c, size_t offset, const void *buf, size_t len)
{
	const uint8_t *from = buf;
	size_t done = 0;

	for (unsigned i = 0; i < c->n_writable && done < len; i++) {
		const struct iovec *iov = &c->iov[c->n_readable + i];
		size_t n;

		if (offset >= iov->iov_len) {
			offset -= iov->iov_len;
			continue;
		}
		n = MIN(iov->iov_len - offset, len - done);
		memcpy((uint8_t *)iov->iov_base + offset, from + done, n);
		done += n;
		offset = 0;
	}
	return done;
}
