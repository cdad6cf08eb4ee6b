/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The block layer over a backend that fails on demand: policies, cache modes, alignment, short transfers. What real
 * files do is in test-block-raw.c. */
#include "devices/block/block.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fakes/fake-block.h"

#define SIZE    KIB(1024)
#define MAX_REQ 64

struct fixture {
	struct loop *loop;
	struct vm_stats_disk stats;
	struct block_options options;
	uint8_t *image;
	struct fake_block *fake;
	struct block *block;
	unsigned n_stopped, n_sweeps;
	int stop_error;
};

struct test_request {
	struct block_request r;
	struct iovec iov[8];
	bool done;
	int error;
	unsigned order;
};

static unsigned order;

static void on_done(struct block_request *r, int error)
{
	struct test_request *t = container_of(r, struct test_request, r);

	assert_false(t->done);
	t->done = true;
	t->error = error;
	t->order = order++;
}

static void on_stopped(void *opaque, int error)
{
	struct fixture *f = opaque;

	f->n_stopped++;
	f->stop_error = error;
}

static void on_sweep(void *opaque)
{
	((struct fixture *)opaque)->n_sweeps++;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_new_fake(0, &f->loop), 0);
	f->image = aligned_alloc(4096, SIZE);
	for (uint64_t i = 0; i < SIZE; i++)
		f->image[i] = (uint8_t)(1 + i / 512);
	f->options = (struct block_options){
		.write_cache = true,
		.discard = true,
		.read_policy = VM_DISK_ERROR_REPORT,
		.write_policy = VM_DISK_ERROR_REPORT,
		.name = "vda",
		.stats = &f->stats,
		.sweep = on_sweep,
		.stopped = on_stopped,
		.opaque = f,
	};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	(void)block_free(f->block);
	(void)loop_free(f->loop);
	free(f->image);
	free(f);
	return 0;
}

static void make(struct fixture *f, uint32_t align)
{
	f->fake = fake_block_new(f->image, SIZE, align);
	assert_int_equal(
		block_new(f->loop, &f->fake->backend, SIZE, align, &f->options, &f->block), 0);
}

static int submit(struct fixture *f, struct test_request *t, enum block_op op, uint64_t offset,
	void *p, uint64_t len)
{
	*t = (struct test_request){
		.r = {.op = op, .offset = offset, .len = len, .done = on_done},
		.iov = {{.iov_base = p, .iov_len = len}},
	};
	if (op == BLOCK_READ || op == BLOCK_WRITE) {
		t->r.iov = t->iov;
		t->r.n_iov = 1;
	}
	return block_submit(f->block, &t->r);
}

/* Do one request to its end; -EINPROGRESS when it has none yet. */
static int run(struct fixture *f, enum block_op op, uint64_t offset, void *p, uint64_t len)
{
	struct test_request t;
	int r = submit(f, &t, op, offset, p, len);

	if (r < 0)
		return r;
	block_commit(f->block);
	assert_true(t.done);
	return t.error;
}

static void test_bounds(void **state)
{
	struct fixture *f = *state;
	struct test_request t;
	uint8_t buf[1024];

	make(f, 1);
	assert_int_equal(block_capacity(f->block), SIZE);
	assert_int_equal(f->stats.capacity, SIZE);
	assert_int_equal(run(f, BLOCK_READ, SIZE - 512, buf, 512), 0);
	assert_int_equal(run(f, BLOCK_READ, SIZE, buf, 512), -EINVAL);
	assert_int_equal(run(f, BLOCK_READ, SIZE - 512, buf, 1024), -EINVAL);
	assert_int_equal(run(f, BLOCK_READ, UINT64_MAX - 511, buf, 512), -EINVAL);
	assert_int_equal(run(f, BLOCK_READ, 1, buf, 512), -EINVAL);
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 511), -EINVAL);
	assert_int_equal(run(f, BLOCK_DISCARD, 0, NULL, SIZE + 512), -EINVAL);
	assert_int_equal(run(f, BLOCK_READ, 0, buf, 0), 0);
	/* Buffers that are not 'len' bytes. */
	t = (struct test_request){
		.r = {.op = BLOCK_WRITE, .len = 512, .iov = t.iov, .n_iov = 1, .done = on_done},
		.iov = {{.iov_base = buf, .iov_len = 1024}},
	};
	assert_int_equal(block_submit(f->block, &t.r), -EINVAL);
	t.iov[0].iov_len = 256;
	assert_int_equal(block_submit(f->block, &t.r), -EINVAL);
	assert_true(block_is_quiet(f->block));
}

static void test_readonly(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[512];

	f->options.readonly = true;
	make(f, 1);
	assert_int_equal(run(f, BLOCK_READ, 0, buf, 512), 0);
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 512), -EINVAL);
	assert_int_equal(run(f, BLOCK_DISCARD, 0, NULL, 512), -EINVAL);
	assert_int_equal(run(f, BLOCK_WRITE_ZEROES, 0, NULL, 512), -EINVAL);
	assert_int_equal(run(f, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_SYNC], 0);
}

static void test_cache_modes(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[512] = {0};

	make(f, 1);
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 512), 0);
	assert_int_equal(f->fake->n_dsync, 0);
	assert_int_equal(run(f, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_SYNC], 1);
	/* Off: the past becomes durable too, then each write by itself. */
	block_set_write_cache(f->block, false);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_SYNC], 2);
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 512), 0);
	assert_int_equal(f->fake->n_dsync, 1);
	assert_int_equal(run(f, BLOCK_READ, 0, buf, 512), 0);
	assert_int_equal(f->fake->n_dsync, 1);
	assert_int_equal(run(f, BLOCK_WRITE_ZEROES, 0, NULL, 512), 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_SYNC], 3);
	assert_int_equal(run(f, BLOCK_DISCARD, 0, NULL, 512), 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_SYNC], 4);
	block_set_write_cache(f->block, true);
	assert_int_equal(run(f, BLOCK_WRITE_ZEROES, 0, NULL, 512), 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_SYNC], 4);
}

static void test_unsafe(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[512] = {0};

	f->options.unsafe = true;
	make(f, 1);
	assert_int_equal(run(f, BLOCK_FLUSH, 0, NULL, 0), 0);
	block_set_write_cache(f->block, false);
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 512), 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_SYNC], 0);
	assert_int_equal(f->fake->n_dsync, 0);
	assert_true(f->n_sweeps > 0);
}

static void test_report(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[512] = {0};

	make(f, 1);
	f->fake->fail_op = BLOCK_IO_WRITE;
	f->fake->fail_count = 1;
	f->fake->fail_error = -EIO;
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 512), -EIO);
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 512), 0);
	assert_int_equal(f->stats.errors, 1);
	assert_int_equal(f->stats.wr_reqs, 1);
	assert_int_equal(f->n_stopped, 0);
}

/* The kernel reports a lost write once; we go on reporting it. */
static void test_sync_error_sticks(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[512] = {0};

	make(f, 1);
	f->fake->fail_op = BLOCK_IO_SYNC;
	f->fake->fail_count = 1;
	f->fake->fail_error = -EIO;
	assert_int_equal(run(f, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	assert_int_equal(run(f, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_SYNC], 1);
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 512), 0);
	assert_int_equal(run(f, BLOCK_READ, 0, buf, 512), 0);
	assert_int_equal(run(f, BLOCK_FLUSH, 0, NULL, 0), -EIO);
	block_set_write_cache(f->block, false);
	assert_int_equal(run(f, BLOCK_WRITE_ZEROES, 0, NULL, 512), -EIO);
}

/* `stop`: the vm is stopped once for it; after that the guest gets it. */
static void test_sync_error_stops_once(void **state)
{
	struct fixture *f = *state;
	struct test_request t;

	f->options.write_policy = VM_DISK_ERROR_STOP;
	make(f, 1);
	f->fake->fail_op = BLOCK_IO_SYNC;
	f->fake->fail_count = 1;
	f->fake->fail_error = -EIO;
	assert_int_equal(submit(f, &t, BLOCK_FLUSH, 0, NULL, 0), 0);
	block_commit(f->block);
	assert_false(t.done);
	assert_int_equal(f->n_stopped, 1);
	block_resume(f->block);
	assert_true(t.done);
	assert_int_equal(t.error, -EIO);
	assert_int_equal(f->n_stopped, 1);
	assert_int_equal(run(f, BLOCK_FLUSH, 0, NULL, 0), -EIO);
}

static void test_stop_and_resume(void **state)
{
	struct fixture *f = *state;
	struct test_request t[4];
	uint8_t buf[4][512];

	f->options.write_policy = VM_DISK_ERROR_STOP;
	f->options.read_policy = VM_DISK_ERROR_STOP;
	make(f, 1);
	f->fake->hold = true;
	for (unsigned i = 0; i < 3; i++) {
		memset(buf[i], 0xa0 + (int)i, 512);
		assert_int_equal(submit(f, &t[i], BLOCK_WRITE, i * 512, buf[i], 512), 0);
	}
	block_commit(f->block);
	assert_false(block_is_quiet(f->block));
	f->fake->fail_op = BLOCK_IO_WRITE;
	f->fake->fail_count = 2;
	f->fake->fail_error = -ENOSPC;
	fake_block_finish(f->fake, 0, 3);
	assert_int_equal(f->n_stopped, 1);
	assert_int_equal(f->stop_error, -ENOSPC);
	assert_true(block_is_stopped(f->block));
	assert_true(t[2].done && !t[0].done && !t[1].done);
	/* What comes meanwhile waits behind them. */
	assert_int_equal(submit(f, &t[3], BLOCK_READ, 0, buf[3], 512), 0);
	block_commit(f->block);
	assert_int_equal(f->fake->n_committed, 0);
	assert_true(block_is_quiet(f->block));

	f->fake->hold = false;
	block_resume(f->block);
	assert_true(t[0].done && t[1].done && t[3].done);
	assert_int_equal(t[0].error | t[1].error | t[3].error, 0);
	assert_true(t[0].order < t[1].order && t[1].order < t[3].order);
	assert_int_equal(f->image[0], 0xa0);
	assert_int_equal(f->image[512], 0xa1);
	assert_int_equal(buf[3][0], 0xa0);
	assert_int_equal(f->stats.errors, 2);
	/* A second stop is told again. */
	f->fake->fail_op = BLOCK_IO_READ;
	f->fake->fail_count = 1;
	assert_int_equal(submit(f, &t[3], BLOCK_READ, 0, buf[3], 512), 0);
	block_commit(f->block);
	assert_int_equal(f->n_stopped, 2);
	block_cancel(f->block);
	assert_true(t[3].done);
	assert_int_equal(t[3].error, -ECANCELED);
	assert_false(block_is_stopped(f->block));
}

static void test_other_policies(void **state)
{
	struct fixture *f = *state;
	struct test_request t;
	uint8_t buf[512] = {0};

	f->options.read_policy = VM_DISK_ERROR_IGNORE;
	f->options.write_policy = VM_DISK_ERROR_ENOSPACE;
	make(f, 1);
	f->fake->fail_op = BLOCK_IO_READ;
	f->fake->fail_count = 1;
	f->fake->fail_error = -EIO;
	assert_int_equal(run(f, BLOCK_READ, 0, buf, 512), 0);
	f->fake->fail_op = BLOCK_IO_WRITE;
	f->fake->fail_count = 1;
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 512), -EIO);
	f->fake->fail_count = 1;
	f->fake->fail_error = -ENOSPC;
	assert_int_equal(submit(f, &t, BLOCK_WRITE, 0, buf, 512), 0);
	block_commit(f->block);
	assert_false(t.done);
	assert_int_equal(f->n_stopped, 1);
	block_resume(f->block);
	assert_true(t.done && t.error == 0);
	assert_int_equal(f->stats.errors, 3);
}

static void test_options_from_config(_unused_ void **state)
{
	struct vm_disk d = {0};
	struct block_options o;

	block_options_from_config(&d, &o);
	assert_true(o.write_cache && !o.unsafe && !o.readonly && !o.discard && !o.threads);
	assert_int_equal(o.read_policy, VM_DISK_ERROR_REPORT);
	assert_int_equal(o.write_policy, VM_DISK_ERROR_REPORT);
	d = (struct vm_disk){
		.device = VM_DISK_DEVICE_CDROM,
		.cache = VM_DISK_CACHE_DIRECTSYNC,
		.error_policy = VM_DISK_ERROR_ENOSPACE,
		.detect_zeroes = VM_DISK_DETECT_ZEROES_UNMAP,
		.io = VM_DISK_IO_THREADS,
	};
	block_options_from_config(&d, &o);
	assert_true(
		!o.write_cache && o.readonly && o.detect_zeroes && !o.detect_unmap && o.threads);
	assert_int_equal(o.read_policy, VM_DISK_ERROR_REPORT);
	d = (struct vm_disk){
		.cache = VM_DISK_CACHE_UNSAFE,
		.error_policy = VM_DISK_ERROR_STOP,
		.discard = VM_DISK_DISCARD_UNMAP,
		.detect_zeroes = VM_DISK_DETECT_ZEROES_UNMAP,
	};
	block_options_from_config(&d, &o);
	assert_true(o.unsafe && o.discard && o.detect_unmap);
	assert_int_equal(o.read_policy, VM_DISK_ERROR_STOP);
	d.rerror_policy = VM_DISK_ERROR_IGNORE;
	block_options_from_config(&d, &o);
	assert_int_equal(o.read_policy, VM_DISK_ERROR_IGNORE);
}

static void check_range(const struct fixture *f, uint64_t from, uint64_t len, bool zero)
{
	for (uint64_t i = from; i < from + len; i++)
		assert_int_equal(f->image[i], zero ? 0 : (uint8_t)(1 + i / 512));
}

static void test_zeroes(void **state)
{
	struct fixture *f = *state;
	struct test_request t;

	make(f, 1);
	assert_int_equal(run(f, BLOCK_WRITE_ZEROES, 512, NULL, 1024), 0);
	assert_int_equal(f->fake->last_mode, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	(void)submit(f, &t, BLOCK_WRITE_ZEROES, 4096, NULL, 512);
	t.r.may_unmap = true;
	block_commit(f->block);
	assert_true(t.done);
	assert_int_equal(f->fake->last_mode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	check_range(f, 512, 1024, true);
	check_range(f, 1536, 4096 - 1536, false);
	check_range(f, 4096, 512, true);
	check_range(f, 4608, 512, false);
}

/* A filesystem that cannot: zeroes are written, and it is not asked again. */
static void test_zeroes_unsupported(void **state)
{
	struct fixture *f = *state;
	struct test_request t;

	make(f, 1);
	f->fake->unsupported_modes = FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE;
	(void)submit(f, &t, BLOCK_WRITE_ZEROES, 512, NULL, 3 * BLOCK_BOUNCE_SIZE);
	t.r.may_unmap = true;
	block_commit(f->block);
	assert_true(t.done && t.error == 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_ALLOCATE], 2);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_WRITE], 3);
	check_range(f, 0, 512, false);
	check_range(f, 512, 3 * BLOCK_BOUNCE_SIZE, true);
	check_range(f, 512 + 3 * BLOCK_BOUNCE_SIZE, 512, false);
	assert_int_equal(run(f, BLOCK_WRITE_ZEROES, 0, NULL, 512), 0);
	assert_int_equal(run(f, BLOCK_DISCARD, 0, NULL, 512), 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_ALLOCATE], 2);
	check_range(f, 0, 512, true);
}

static void test_discard(void **state)
{
	struct fixture *f = *state;

	make(f, 1);
	f->fake->unsupported_modes = FALLOC_FL_PUNCH_HOLE;
	assert_int_equal(run(f, BLOCK_DISCARD, 0, NULL, 512), 0);
	check_range(f, 0, 512, false);
	f->fake->unsupported_modes = 0;
	f->fake->fail_op = BLOCK_IO_ALLOCATE;
	f->fake->fail_count = 1;
	f->fake->fail_error = -EIO;
	/* Remembered: not asked again. */
	assert_int_equal(run(f, BLOCK_DISCARD, 0, NULL, 512), 0);
	assert_int_equal(f->fake->fail_count, 1);
	/* An error of another kind is one. */
	assert_int_equal(run(f, BLOCK_WRITE_ZEROES, 0, NULL, 512), -EIO);
	check_range(f, 0, 512, false);
}

static void test_detect_zeroes(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[1024] = {0};

	f->options.detect_zeroes = true;
	f->options.detect_unmap = true;
	make(f, 1);
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 1024), 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_WRITE], 0);
	assert_int_equal(f->fake->last_mode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
	check_range(f, 0, 1024, true);
	buf[1023] = 1;
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 1024), 0);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_WRITE], 1);
	assert_int_equal(f->image[1023], 1);
	assert_int_equal(f->stats.wr_reqs, 2);
	assert_int_equal(f->stats.wr_bytes, 2048);
}

/* Somebody cut the image short. */
static void test_truncated_image(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[1024];

	make(f, 1);
	f->fake->size = SIZE - 512;
	assert_int_equal(run(f, BLOCK_READ, SIZE - 1024, buf, 1024), -EIO);
	assert_int_equal(run(f, BLOCK_READ, SIZE - 1024, buf, 512), 0);
}

static void test_interrupted(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[4096];

	make(f, 1);
	f->fake->max_bytes = 100;
	f->fake->fail_op = BLOCK_IO_READ;
	f->fake->fail_count = 3;
	f->fake->fail_error = -EINTR;
	assert_int_equal(run(f, BLOCK_READ, 1024, buf, 4096), 0);
	assert_memory_equal(buf, f->image + 1024, 4096);
	assert_int_equal(f->fake->n_ops[BLOCK_IO_READ], 3 + 41);
	/* Not for ever. */
	f->fake->fail_count = 1000000;
	assert_int_equal(run(f, BLOCK_READ, 1024, buf, 4096), -EINTR);
}

static void test_full_backend(void **state)
{
	struct fixture *f = *state;
	struct test_request t[20];
	uint8_t buf[20][512];

	make(f, 1);
	f->fake->depth = 3;
	f->fake->hold = true;
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(submit(f, &t[i], BLOCK_READ, i * 512, buf[i], 512), 0);
	block_commit(f->block);
	assert_int_equal(f->fake->n_committed, 3);
	f->fake->hold = false;
	fake_block_finish(f->fake, 2, 1);
	block_commit(f->block);
	for (unsigned i = 0; i < 20; i++) {
		assert_true(t[i].done);
		assert_memory_equal(buf[i], f->image + i * 512, 512);
	}
	assert_int_equal(f->stats.rd_reqs, 20);
	assert_int_equal(f->stats.rd_bytes, 20 * 512);
}

/* A write of part of a block is read, patched and written while nothing else is under way. */
static void test_patch_is_alone(void **state)
{
	struct fixture *f = *state;
	struct test_request t[3];
	uint8_t *p = aligned_alloc(4096, 3 * 4096);

	make(f, 4096);
	f->fake->hold = true;
	memset(p, 0xee, 3 * 4096);
	assert_int_equal(submit(f, &t[0], BLOCK_WRITE, 0, p, 4096), 0);
	assert_int_equal(submit(f, &t[1], BLOCK_WRITE, 512, p + 4096, 512), 0);
	memset(p + 4096, 0xdd, 512);
	memset(p + 8192, 0xcc, 4096);
	assert_int_equal(submit(f, &t[2], BLOCK_WRITE, 0, p + 8192, 4096), 0);
	block_commit(f->block);
	assert_int_equal(f->fake->n_committed, 1);
	fake_block_finish(f->fake, 0, 1);
	block_commit(f->block);
	assert_true(t[0].done);
	assert_int_equal(f->fake->n_committed, 1); /* the read */
	fake_block_finish(f->fake, 0, 1);
	block_commit(f->block);
	assert_int_equal(f->fake->n_committed, 1); /* the write */
	assert_false(t[1].done);
	fake_block_finish(f->fake, 0, 1);
	assert_true(t[1].done);
	assert_int_equal(f->image[511], 0xee);
	assert_int_equal(f->image[512], 0xdd);
	assert_int_equal(f->image[1023], 0xdd);
	assert_int_equal(f->image[1024], 0xee);
	block_commit(f->block);
	fake_block_finish(f->fake, 0, 1);
	assert_true(t[2].done);
	assert_int_equal(f->image[512], 0xcc);
	free(p);
}

/* Where an empty buffer lies does not matter: no bounce buffer, hence no short cut into 4 at a time. */
static void test_empty_buffers(void **state)
{
	struct fixture *f = *state;
	struct test_request t[8];
	uint8_t *p = aligned_alloc(4096, 8 * 4096);

	make(f, 4096);
	f->fake->hold = true;
	for (unsigned i = 0; i < 8; i++) {
		t[i] = (struct test_request){
			.r = {.op = BLOCK_READ,
				.len = 4096,
				.iov = t[i].iov,
				.n_iov = 3,
				.done = on_done},
			.iov = {{p + 1, 0}, {p + i * 4096, 4096}, {p + 77, 0}},
		};
		assert_int_equal(block_submit(f->block, &t[i].r), 0);
	}
	block_commit(f->block);
	assert_int_equal(f->fake->n_committed, 8);
	fake_block_finish(f->fake, 0, 8);
	for (unsigned i = 0; i < 8; i++) {
		assert_true(t[i].done && t[i].error == 0);
		assert_memory_equal(p + i * 4096, f->image, 4096);
	}
	free(p);
}

static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

struct slot {
	struct test_request t;
	bool busy;
	uint64_t offset, len;
	uint8_t *buf; /* 64 KiB and some */
	uint8_t *expect;
};

static bool overlaps(const struct slot *slots, uint64_t offset, uint64_t len)
{
	for (unsigned i = 0; i < MAX_REQ; i++)
		if (slots[i].busy && offset < slots[i].offset + slots[i].len &&
			slots[i].offset < offset + len)
			return true;
	return false;
}

/* Fill a slot with a random request on the model image; requests in flight do not overlap. */
static void random_request(
	struct fixture *f, struct slot *slots, struct slot *s, uint8_t *model, uint64_t *seed)
{
	uint64_t sectors = 1 + next_random(seed) % (next_random(seed) % 8 ? 16 : 128);
	uint64_t offset = (next_random(seed) % (SIZE / 512 - sectors + 1)) * 512;
	enum block_op op =
		next_random(seed) % 3 ? (enum block_op)(next_random(seed) % 2) : BLOCK_WRITE_ZEROES;
	size_t skew = next_random(seed) % 4 ? 0 : next_random(seed) % 16;
	uint64_t len = sectors * 512, left = len, cut;
	uint8_t *p = s->buf + skew;

	if (overlaps(slots, offset, len))
		return;
	s->t = (struct test_request){
		.r = {.op = op, .offset = offset, .len = len, .done = on_done, .iov = s->t.iov},
	};
	s->t.r.may_unmap = next_random(seed) % 2;
	if (op != BLOCK_WRITE_ZEROES) {
		while (left) {
			cut = s->t.r.n_iov == 7 ? left : MIN(left, 1 + next_random(seed) % 8192);
			s->t.iov[s->t.r.n_iov++] = (struct iovec){.iov_base = p, .iov_len = cut};
			p += cut;
			left -= cut;
		}
	}
	if (op == BLOCK_WRITE) {
		for (uint64_t i = 0; i < len; i++)
			s->buf[skew + i] = (uint8_t)next_random(seed);
		memcpy(model + offset, s->buf + skew, len);
	} else if (op == BLOCK_WRITE_ZEROES) {
		memset(model + offset, 0, len);
	} else {
		memset(s->buf, 0xff, KIB(65));
	}
	s->expect = s->buf + skew;
	s->busy = true;
	s->offset = offset;
	s->len = len;
	assert_int_equal(block_submit(f->block, &s->t.r), 0);
}

static void collect(struct slot *slots, const uint8_t *model)
{
	for (unsigned i = 0; i < MAX_REQ; i++) {
		struct slot *s = &slots[i];

		if (!s->busy || !s->t.done)
			continue;
		assert_int_equal(s->t.error, 0);
		if (s->t.r.op == BLOCK_READ)
			assert_memory_equal(s->expect, model + s->offset, s->len);
		s->busy = false;
	}
}

/* Random requests against a model, with random order of completion, short transfers, interruptions, errors that stop,
 * and every alignment. */
static void check_random(struct fixture *f, uint32_t align, int unsupported)
{
	struct slot *slots = calloc(MAX_REQ, sizeof(*slots));
	uint8_t *model = malloc(SIZE);
	uint64_t seed = 42 + align;

	f->options.write_policy = VM_DISK_ERROR_STOP;
	f->options.read_policy = VM_DISK_ERROR_STOP;
	make(f, align);
	f->fake->hold = true;
	f->fake->depth = 16;
	f->fake->unsupported_modes = unsupported;
	memcpy(model, f->image, SIZE);
	for (unsigned i = 0; i < MAX_REQ; i++)
		slots[i].buf = aligned_alloc(4096, KIB(68));
	for (unsigned round = 0; round < 3000; round++) {
		struct slot *s = &slots[next_random(&seed) % MAX_REQ];

		if (!s->busy)
			random_request(f, slots, s, model, &seed);
		f->fake->max_bytes =
			next_random(&seed) % 3 ? 0 : align * (1 + next_random(&seed) % 9);
		f->fake->fail_op = (enum block_io_op)(next_random(&seed) % BLOCK_IO_OP_X_MAX);
		f->fake->fail_count = next_random(&seed) % 4 == 0;
		f->fake->fail_error = next_random(&seed) % 2 ? -EINTR : -ENOSPC;
		block_commit(f->block);
		if (f->fake->n_committed)
			fake_block_finish(f->fake, next_random(&seed) % f->fake->n_committed,
				next_random(&seed) % 3);
		if (next_random(&seed) % 4 == 0)
			block_resume(f->block);
		collect(slots, model);
	}
	f->fake->hold = false;
	f->fake->fail_count = 0;
	while (f->fake->n_committed)
		fake_block_finish(f->fake, 0, f->fake->n_committed);
	block_resume(f->block);
	block_commit(f->block);
	collect(slots, model);
	assert_true(block_is_quiet(f->block));
	assert_memory_equal(f->image, model, SIZE);
	for (unsigned i = 0; i < MAX_REQ; i++) {
		assert_false(slots[i].busy);
		free(slots[i].buf);
	}
	free(slots);
	free(model);
}

static void test_random_buffered(void **state)
{
	check_random(*state, 1, 0);
}

static void test_random_512(void **state)
{
	check_random(*state, 512, FALLOC_FL_ZERO_RANGE);
}

static void test_random_4096(void **state)
{
	check_random(*state, 4096, FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE);
}

/* Freeing a block with requests under way leaks nothing and calls nobody. */
static void test_free_while_busy(void **state)
{
	struct fixture *f = *state;
	struct test_request t[2];
	uint8_t buf[2][512];

	make(f, 512);
	f->fake->hold = true;
	assert_int_equal(submit(f, &t[0], BLOCK_READ, 0, buf[0] + 1 - 1, 512), 0);
	block_commit(f->block);
	assert_int_equal(submit(f, &t[1], BLOCK_READ, 0, buf[1], 512), 0);
	f->block = block_free(f->block);
	assert_false(t[0].done || t[1].done);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(test_bounds),
		ROW(test_readonly),
		ROW(test_cache_modes),
		ROW(test_unsafe),
		ROW(test_report),
		ROW(test_sync_error_sticks),
		ROW(test_sync_error_stops_once),
		ROW(test_stop_and_resume),
		ROW(test_other_policies),
		ROW(test_options_from_config),
		ROW(test_zeroes),
		ROW(test_zeroes_unsupported),
		ROW(test_discard),
		ROW(test_detect_zeroes),
		ROW(test_truncated_image),
		ROW(test_interrupted),
		ROW(test_full_backend),
		ROW(test_patch_is_alone),
		ROW(test_empty_buffers),
		ROW(test_random_buffered),
		ROW(test_random_512),
		ROW(test_random_4096),
		ROW(test_free_while_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
