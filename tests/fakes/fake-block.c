/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A block backend in memory: see fake-block.h. */
#include "tests/fakes/fake-block.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static int64_t transfer(struct fake_block *f, const struct block_io *io)
{
	uint64_t limit = f->max_bytes ?: UINT64_MAX, at = io->offset, done = 0;

	for (unsigned i = 0; i < io->n_iov; i++) {
		uint64_t bits =
			io->offset | io->iov[i].iov_len | (uint64_t)(uintptr_t)io->iov[i].iov_base;

		if (f->align > 1 && io->iov[i].iov_len && !IS_ALIGNED(bits, (uint64_t)f->align))
			return -EINVAL;
	}
	for (unsigned i = 0; i < io->n_iov && done < limit && at < f->size; i++) {
		uint64_t room = MIN(limit - done, f->size - at);
		size_t n = MIN((uint64_t)io->iov[i].iov_len, room);

		if (io->op == BLOCK_IO_WRITE)
			memcpy(f->image + at, io->iov[i].iov_base, n);
		else
			memcpy(io->iov[i].iov_base, f->image + at, n);
		at += n;
		done += n;
	}
	return (int64_t)done;
}

static int64_t perform(struct fake_block *f, const struct block_io *io)
{
	f->n_ops[io->op]++;
	f->n_dsync += io->dsync;
	if (f->fail_count && f->fail_op == io->op) {
		f->fail_count--;
		return f->fail_error;
	}
	switch (io->op) {
	case BLOCK_IO_READ:
	case BLOCK_IO_WRITE:
		return transfer(f, io);
	case BLOCK_IO_SYNC:
		return 0;
	case BLOCK_IO_ALLOCATE:
		f->last_mode = io->mode;
		if (io->mode & f->unsupported_modes)
			return -EOPNOTSUPP;
		assert(range_fits(io->offset, io->len, f->size));
		memset(f->image + io->offset, 0, io->len);
		return 0;
	case BLOCK_IO_OP_X_MAX:
		break;
	}
	abort();
}

void fake_block_finish(struct fake_block *f, unsigned first, unsigned n)
{
	bool any = false;

	for (; n && first < f->n_committed; n--) {
		struct list *pos = f->committed.next;
		struct block_io *io;

		for (unsigned i = 0; i < first; i++)
			pos = pos->next;
		io = list_entry(pos, struct block_io, link);
		list_del(pos);
		f->n_committed--;
		f->backend.done(f->backend.opaque, io, perform(f, io));
		any = true;
	}
	if (any)
		f->backend.sweep(f->backend.opaque);
}

static int fake_submit(struct block_backend *backend, struct block_io *io)
{
	struct fake_block *f = container_of(backend, struct fake_block, backend);

	if (f->n_queued + f->n_committed >= f->depth)
		return -EAGAIN;
	list_add_tail(&f->queued, &io->link);
	f->n_queued++;
	return 0;
}

static void fake_commit(struct block_backend *backend)
{
	struct fake_block *f = container_of(backend, struct fake_block, backend);

	do {
		struct list *pos, *tmp;

		list_for_each_safe (pos, tmp, &f->queued) {
			list_del(pos);
			list_add_tail(&f->committed, pos);
			f->n_committed++;
		}
		f->n_queued = 0;
		if (!f->hold)
			fake_block_finish(f, 0, f->n_committed);
	} while (f->n_queued);
}

static void fake_free(struct block_backend *backend)
{
	free(container_of(backend, struct fake_block, backend));
}

static const struct block_backend_ops fake_ops = {
	.name = "fake",
	.submit = fake_submit,
	.commit = fake_commit,
	.free = fake_free,
};

struct fake_block *fake_block_new(uint8_t *image, uint64_t size, uint32_t align)
{
	struct fake_block *f = calloc(1, sizeof(*f));

	if (!f)
		abort();
	f->backend.ops = &fake_ops;
	f->image = image;
	f->size = size;
	f->align = align;
	f->depth = BLOCK_DEPTH;
	list_init(&f->queued);
	list_init(&f->committed);
	return f;
}
