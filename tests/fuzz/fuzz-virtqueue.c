/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzer of the split virtqueue: the input is a driver. It writes guest memory between the device's
 * steps, so that every word of the rings can change at any time, and places the rings where it
 * likes.
 *
 * An operation is a byte, of which the low three bits say what and the rest how much:
 *	0	write: address (16 bits), then (rest + 1) bytes of memory
 *	1	pop (rest + 1) chains, check them, keep their heads
 *	2	push what is out, oldest first, at most rest + 1
 *	3	flush
 *	4	unpop, or fetch the newest head again
 *	5	save, load into a fresh queue, go on with that
 *	6	reset and enable: flags, log2 of the size, three addresses (16 bits each, times 4)
 *	7	descriptor: a table (16 bits, times 16), index, address (16 bits), length (16 bits), flags, next
 */
#include <stdlib.h>
#include <string.h>

#include "devices/virtio/queue.h"
#include "tests/fuzz/fuzz-input.h"

#define RAM KIB(64)

struct world {
	struct guest_mem mem;
	struct virtq q;
	struct virtq_chain c;
	uint16_t out[VIRTQ_MAX_SIZE];
	unsigned n_out;
};

/* What virtq_pop() promises of a chain; and every byte of it can be touched. */
static void check_chain(struct world *w)
{
	const struct virtq_chain *c = &w->c;
	uint64_t lens[2] = {0, 0};
	uint8_t byte;

	expect(c->n_readable + c->n_writable <= VIRTQ_MAX_CHAIN);
	expect(c->n_readable + c->n_writable > 0 && c->head < w->q.latched_size);
	for (unsigned i = 0; i < c->n_readable + c->n_writable; i++) {
		const struct iovec *iov = &c->iov[i];
		uint64_t offset = (uint64_t)((uint8_t *)iov->iov_base - w->mem.regions[0].host);

		expect(iov->iov_len && range_fits(offset, iov->iov_len, RAM));
		lens[i >= c->n_readable] += iov->iov_len;
	}
	expect(lens[0] == c->readable_len && lens[1] == c->writable_len);
	expect(virtq_chain_read(c, 0, &byte, 1) == (c->readable_len != 0));
	expect(virtq_chain_read(c, c->readable_len, &byte, 1) == 0);
	if (c->writable_len)
		expect(virtq_chain_write(&w->c, c->writable_len - 1, "x", 2) == 1);
}

static void pop(struct world *w, unsigned n)
{
	while (n--) {
		bool broken = w->q.broken;
		int r = virtq_pop(&w->q, &w->c);

		expect(r == 1 || r == 0 || (r == -EBADMSG && !broken && w->q.broken));
		if (r != 1)
			return;
		check_chain(w);
		expect(w->n_out < w->q.latched_size);
		w->out[w->n_out++] = w->c.head;
	}
}

static void push(struct world *w, unsigned n)
{
	while (n-- && w->n_out) {
		virtq_push(&w->q, w->out[0], n);
		memmove(w->out, w->out + 1, --w->n_out * sizeof(w->out[0]));
	}
	/* A push that nobody waits for. */
	if (!w->n_out)
		virtq_push(&w->q, 0, 0);
}

static void unpop(struct world *w, unsigned rest)
{
	if (!w->n_out || w->q.broken)
		return;
	if (rest & 1) {
		if (virtq_refetch(&w->q, w->out[w->n_out - 1], &w->c) == 1)
			check_chain(w);
		return;
	}
	virtq_unpop(&w->q);
	w->n_out--;
}

static void reload(struct world *w)
{
	unsigned flags = w->q.flags;
	struct state_writer writer;
	struct state_reader r;
	size_t offset = 0;
	struct virtq fresh;

	state_writer_init(&writer);
	state_begin(&writer, "queue", 0, 1);
	virtq_save(&w->q, &writer);
	state_end(&writer);
	expect(state_next(writer.data, writer.len, &offset, &r) == 1);
	virtq_init(&fresh, &w->mem, VIRTQ_MAX_SIZE);
	expect(virtq_load(&fresh, &r, flags) == 0 && state_reader_end(&r) == 0);
	state_writer_done(&writer);
	expect(fresh.n_in_flight == w->q.n_in_flight && fresh.broken == w->q.broken);
	w->q = fresh;
}

static void enable(struct world *w, struct input *in)
{
	uint8_t how = (uint8_t)take(in, 1);
	uint64_t addrs[3];

	virtq_reset(&w->q);
	w->n_out = 0;
	(void)virtq_set_size(
		&w->q, how & 0x80 ? (uint16_t)take(in, 2) : (uint16_t)(1U << (how >> 2 & 15)));
	for (unsigned i = 0; i < 3; i++)
		addrs[i] = take(in, 2) * 4;
	(void)virtq_set_addresses(&w->q, GPA(addrs[0] * 4), GPA(addrs[1]), GPA(addrs[2]));
	(void)virtq_enable(&w->q, how & 3);
}

static void set_desc(struct world *w, struct input *in)
{
	uint64_t table = take(in, 2) * 16 % RAM, at = table + 16 * take(in, 1);
	uint64_t addr = take(in, 2);
	uint32_t len = (uint16_t)take(in, 2);
	uint16_t flags = (uint8_t)take(in, 1), next = (uint8_t)take(in, 1);

	/* A few bits of the flags make the fields large. */
	addr |= flags & 0x80 ? UINT64_MAX << 16 : 0;
	len |= flags & 0x40 ? UINT32_MAX << 16 : 0;
	flags &= 0x0f;
	(void)guest_mem_write(&w->mem, GPA(at), &addr, 8);
	(void)guest_mem_write(&w->mem, GPA(at + 8), &len, 4);
	(void)guest_mem_write(&w->mem, GPA(at + 12), &flags, 2);
	(void)guest_mem_write(&w->mem, GPA(at + 14), &next, 2);
}

static void step(struct world *w, struct input *in)
{
	uint8_t op = (uint8_t)take(in, 1), rest = op >> 3;
	uint64_t addr;

	switch (op & 7) {
	case 0:
		addr = take(in, 2);
		for (unsigned i = 0; i <= rest; i++) {
			uint8_t byte = (uint8_t)take(in, 1);

			(void)guest_mem_write(&w->mem, GPA(addr + i), &byte, 1);
		}
		break;
	case 1:
		pop(w, rest + 1U);
		break;
	case 2:
		push(w, rest + 1U);
		break;
	case 3:
		(void)virtq_flush(&w->q);
		(void)virtq_has_work(&w->q);
		break;
	case 4:
		unpop(w, rest);
		break;
	case 5:
		reload(w);
		break;
	case 6:
		enable(w, in);
		break;
	case 7:
		set_desc(w, in);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {.data = data, .len = size};
	struct world *w = calloc(1, sizeof(*w));

	if (!w || guest_mem_init(&w->mem, -EBADF, RAM) < 0)
		abort();
	virtq_init(&w->q, &w->mem, VIRTQ_MAX_SIZE);
	for (unsigned steps = 0; in.len && steps < 4096; steps++) {
		step(w, &in);
		expect(w->q.n_in_flight <= w->q.latched_size);
		expect(w->q.broken || w->q.n_in_flight == w->n_out);
	}
	guest_mem_done(&w->mem);
	free(w);
	return 0;
}
