/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks held to a rate, on a clock that the test moves: averages, bursts, lanes and their order, groups, and what a pause,
 * a reset and an error do to requests that wait. */
#include "devices/block/block-throttle.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

#include <cmocka.h>

#include "devices/block/block.h"
#include "tests/fakes/fake-block.h"

#define SIZE      MIB(8)
#define MAX_DEPTH 32
#define SECOND    NSEC_PER_SEC

struct fixture;

struct disk {
	struct fixture *f;
	struct fake_block *fake;
	struct block *block;
};

struct fixture {
	struct loop *loop;
	uint8_t *image;
	struct block_throttle *throttle;
	struct disk disks[2];
	unsigned n_stopped;
};

static unsigned order;

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_new_fake(5 * SECOND, &f->loop), 0);
	f->image = calloc(1, SIZE);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->throttle = block_throttle_unref(f->throttle);
	for (unsigned i = 0; i < ARRAY_SIZE(f->disks); i++)
		(void)block_free(f->disks[i].block);
	(void)loop_free(f->loop);
	free(f->image);
	free(f);
	return 0;
}

static void on_stopped(void *opaque, int error)
{
	assert_int_equal(error, -ENOSPC);
	((struct disk *)opaque)->f->n_stopped++;
}

/* A driver that answers each completion with another request. */
static void on_sweep(void *opaque)
{
	block_commit(((struct disk *)opaque)->block);
}

/* 'n' disks on one throttle; the test's reference stays until the end. */
static void make(struct fixture *f, const struct vm_iotune *tune, unsigned n)
{
	assert_int_equal(block_throttle_new(f->loop, tune, &f->throttle), 0);
	for (unsigned i = 0; i < n; i++) {
		struct disk *d = &f->disks[i];
		const struct block_options o = {
			.write_cache = true,
			.discard = true,
			.read_policy = VM_DISK_ERROR_REPORT,
			.write_policy = VM_DISK_ERROR_STOP,
			.throttle = f->throttle,
			.stopped = on_stopped,
			.sweep = on_sweep,
			.opaque = d,
		};

		d->f = f;
		d->fake = fake_block_new(f->image, SIZE, 1);
		assert_int_equal(block_new(f->loop, &d->fake->backend, SIZE, 1, &o, &d->block), 0);
	}
}

/* One request. */

struct test_request {
	struct block_request r;
	struct iovec iov;
	bool done;
	int error;
	unsigned order;
};

static void on_done(struct block_request *r, int error)
{
	struct test_request *t = container_of(r, struct test_request, r);

	assert_false(t->done);
	t->done = true;
	t->error = error;
	t->order = order++;
}

static uint8_t buffer[MIB(4)];

static void submit(struct disk *d, struct test_request *t, enum block_op op, uint64_t len)
{
	*t = (struct test_request){
		.r = {.op = op, .len = len, .done = on_done},
		.iov = {.iov_base = buffer, .iov_len = len},
	};
	if (op == BLOCK_READ || op == BLOCK_WRITE) {
		t->r.iov = &t->iov;
		t->r.n_iov = 1;
	}
	assert_int_equal(block_submit(d->block, &t->r), 0);
	block_commit(d->block);
}

/* A guest that always has 'depth' requests under way. */

struct flood {
	struct disk *disk;
	enum block_op op;
	uint64_t len, n_done;
	bool ended;
	struct flood_request {
		struct flood *flood;
		struct block_request r;
		struct iovec iov;
	} requests[MAX_DEPTH];
};

static void flood_submit(struct flood_request *q)
{
	q->iov = (struct iovec){.iov_base = buffer, .iov_len = q->flood->len};
	q->r.op = q->flood->op;
	q->r.len = q->flood->len;
	q->r.iov = &q->iov;
	q->r.n_iov = 1;
	assert_int_equal(block_submit(q->flood->disk->block, &q->r), 0);
}

static void on_flood_done(struct block_request *r, int error)
{
	struct flood_request *q = container_of(r, struct flood_request, r);

	if (error == -ECANCELED)
		return;
	assert_int_equal(error, 0);
	q->flood->n_done++;
	flood_submit(q);
}

static void flood_start(
	struct flood *l, struct disk *d, enum block_op op, uint64_t len, unsigned depth)
{
	*l = (struct flood){.disk = d, .op = op, .len = len};
	for (unsigned i = 0; i < depth; i++) {
		l->requests[i].flood = l;
		l->requests[i].r.done = on_flood_done;
		flood_submit(&l->requests[i]);
	}
	block_commit(d->block);
}

/* Timers fire at their own times, the loop has a turn every 10 ms. */
static void advance(struct fixture *f, uint64_t ns)
{
	for (uint64_t step = SECOND / 100; ns; ns -= MIN(ns, step)) {
		loop_fake_advance(f->loop, MIN(ns, step));
		while (loop_run_once(f->loop, 0) > 0)
			;
	}
}

static uint64_t flood_rate(struct fixture *f, struct flood *l, unsigned seconds)
{
	uint64_t before = l->n_done;

	advance(f, seconds * SECOND);
	return (l->n_done - before) / seconds;
}

static void assert_about(uint64_t value, uint64_t expected, unsigned percent)
{
	if (value * 100 < expected * (100 - percent) || value * 100 > expected * (100 + percent))
		fail_msg("%llu is not %llu", (unsigned long long)value,
			(unsigned long long)expected);
}

static void test_rates(void **state)
{
	static const struct {
		const char *name;
		struct vm_iotune tune;
		enum block_op op;
		uint64_t len;
		unsigned depth;
		uint64_t rate; /* requests a second */
	} rows[] = {
		{"total bytes, read", {.rate[0] = 4096000}, BLOCK_READ, 4096, 8, 1000},
		{"total bytes, write", {.rate[0] = 4096000}, BLOCK_WRITE, 4096, 8, 1000},
		{"read bytes", {.rate[1] = 4096000}, BLOCK_READ, 4096, 1, 1000},
		{"write bytes", {.rate[2] = 4096000}, BLOCK_WRITE, 4096, 32, 1000},
		{"write bytes, zeroes", {.rate[2] = 4096000}, BLOCK_WRITE_ZEROES, 4096, 1, 1000},
		{"total iops", {.rate[3] = 500}, BLOCK_WRITE, 65536, 4, 500},
		{"read iops", {.rate[4] = 500}, BLOCK_READ, 512, 4, 500},
		{"write iops", {.rate[5] = 500}, BLOCK_WRITE, 512, 4, 500},
		{"write iops, flush", {.rate[5] = 500}, BLOCK_FLUSH, 0, 4, 500},
		{"write iops, discard", {.rate[5] = 500}, BLOCK_DISCARD, 65536, 4, 500},
		{"the lower of two", {.rate[0] = 4096000, .rate[4] = 300}, BLOCK_READ, 4096, 4,
			300},
		{"the other lower", {.rate[0] = 409600, .rate[4] = 300}, BLOCK_READ, 4096, 4, 100},
		/* 12 KiB at 8 KiB each is one and a half. */
		{"large operations", {.rate[3] = 600, .size_iops = 8192}, BLOCK_READ, 12288, 4,
			400},
		{"small operations", {.rate[3] = 600, .size_iops = 8192}, BLOCK_READ, 512, 4, 600},
		/* Each is larger than what the bucket holds. */
		{"on debt", {.rate[0] = 1 << 20}, BLOCK_READ, 1 << 18, 4, 4},
	};
	struct flood *l = malloc(sizeof(*l));

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t rate;

		set_up(state);
		make(*state, &rows[i].tune, 1);
		flood_start(l, &((struct fixture *)*state)->disks[0], rows[i].op, rows[i].len,
			rows[i].depth);
		/* The bucket was full. */
		(void)flood_rate(*state, l, 1);
		rate = flood_rate(*state, l, 10);
		if (rate * 100 < rows[i].rate * 98 || rate * 100 > rows[i].rate * 102)
			fail_msg("%s: %u, not %u", rows[i].name, (unsigned)rate,
				(unsigned)rows[i].rate);
		if (i + 1 < ARRAY_SIZE(rows))
			tear_down(state);
	}
	free(l);
}

/* 3000 operations a second for two seconds, then 1000; after a pause again. */
static void test_burst(void **state)
{
	struct fixture *f = *state;
	struct flood *l = malloc(sizeof(*l));

	make(f,
		&(struct vm_iotune){.rate[VM_IOTUNE_TOTAL_IOPS] = 1000,
			.max[VM_IOTUNE_TOTAL_IOPS] = 3000,
			.max_length_s[VM_IOTUNE_TOTAL_IOPS] = 2},
		1);
	flood_start(l, &f->disks[0], BLOCK_READ, 512, 8);
	advance(f, 2 * SECOND);
	/* And what the bucket holds without a burst. */
	assert_about(l->n_done, 2 * 3000 + 100, 1);
	assert_about(flood_rate(f, l, 10), 1000, 2);
	block_cancel(f->disks[0].block);
	advance(f, 10 * SECOND);
	flood_start(l, &f->disks[0], BLOCK_READ, 512, 8);
	advance(f, 2 * SECOND);
	assert_about(l->n_done, 2 * 3000 + 100, 1);
	assert_about(flood_rate(f, l, 10), 1000, 2);
	block_cancel(f->disks[0].block);
	free(l);
}

/* Reads do not wait for writes; within each the order is kept; what moves no bytes pays for none. */
static void test_lanes(void **state)
{
	struct fixture *f = *state;
	struct disk *d = &f->disks[0];
	struct test_request w[4], r[4], flush;

	make(f, &(struct vm_iotune){.rate[VM_IOTUNE_WRITE_BYTES] = 65536}, 1);
	order = 0;
	for (unsigned i = 0; i < 3; i++)
		submit(d, &w[i], BLOCK_WRITE, 65536);
	for (unsigned i = 0; i < 4; i++)
		submit(d, &r[i], BLOCK_READ, 65536);
	submit(d, &flush, BLOCK_FLUSH, 0);
	assert_true(w[0].done);
	assert_false(w[1].done);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(r[i].order, 1 + i);
	/* Behind the writes that came before it, and with the last of them. */
	assert_false(flush.done);
	advance(f, SECOND);
	assert_true(w[1].done);
	assert_false(w[2].done);
	advance(f, SECOND);
	assert_true(w[2].done && flush.done);
	assert_true(w[1].order < w[2].order && w[2].order < flush.order);
	/* Alone it does not wait, whatever the writes owe. */
	submit(d, &flush, BLOCK_FLUSH, 0);
	assert_true(flush.done);
	submit(d, &flush, BLOCK_DISCARD, 65536);
	assert_true(flush.done);
	submit(d, &w[3], BLOCK_WRITE, 512);
	assert_false(w[3].done);
	advance(f, SECOND);
	assert_true(w[3].done);
}

static void test_hold(void **state)
{
	struct fixture *f = *state;
	struct disk *d = &f->disks[0];
	struct test_request t[3];

	make(f, &(struct vm_iotune){.rate[VM_IOTUNE_TOTAL_IOPS] = 1}, 1);
	d->fake->hold = true;
	for (unsigned i = 0; i < 3; i++)
		submit(d, &t[i], BLOCK_WRITE, 512);
	assert_int_equal(d->fake->n_committed, 1);
	/* What is under way ends, what waits stays, however long. */
	block_hold(d->block);
	assert_false(block_is_quiet(d->block));
	fake_block_finish(d->fake, 0, 1);
	d->fake->hold = false;
	assert_true(block_is_quiet(d->block));
	advance(f, 3600 * SECOND / 100);
	block_commit(d->block);
	assert_true(block_is_quiet(d->block));
	assert_true(t[0].done && !t[1].done);
	block_resume(d->block);
	assert_true(t[1].done && !t[2].done);
	assert_false(block_is_quiet(d->block));
	advance(f, SECOND);
	assert_true(t[2].done);
	assert_true(block_is_quiet(d->block));
}

/* A reset answers what waits, ends the hold, and gives nothing for free. */
static void test_cancel(void **state)
{
	struct fixture *f = *state;
	struct disk *d = &f->disks[0];
	struct test_request t[3];

	make(f, &(struct vm_iotune){.rate[VM_IOTUNE_TOTAL_IOPS] = 1}, 1);
	for (unsigned i = 0; i < 3; i++)
		submit(d, &t[i], i == 1 ? BLOCK_READ : BLOCK_WRITE, 512);
	block_hold(d->block);
	block_cancel(d->block);
	assert_int_equal(t[0].error, 0);
	assert_int_equal(t[1].error, -ECANCELED);
	assert_int_equal(t[2].error, -ECANCELED);
	assert_true(block_is_quiet(d->block));
	submit(d, &t[0], BLOCK_WRITE, 512);
	assert_false(t[0].done);
	advance(f, SECOND);
	assert_true(t[0].done);
	assert_int_equal(d->fake->n_ops[BLOCK_IO_WRITE], 2);
}

/* A request that failed is done again and not paid again; what waits behind it stays. */
static void test_error_stop(void **state)
{
	struct fixture *f = *state;
	struct disk *d = &f->disks[0];
	struct test_request t[3];

	make(f, &(struct vm_iotune){.rate[VM_IOTUNE_TOTAL_IOPS] = 10}, 1);
	d->fake->fail_op = BLOCK_IO_WRITE;
	d->fake->fail_count = 1;
	d->fake->fail_error = -ENOSPC;
	d->fake->hold = true;
	for (unsigned i = 0; i < 3; i++)
		submit(d, &t[i], BLOCK_WRITE, 512);
	assert_int_equal(d->fake->n_committed, 2);
	fake_block_finish(d->fake, 0, 2);
	d->fake->hold = false;
	assert_int_equal(f->n_stopped, 1);
	assert_true(t[1].done && !t[0].done && !t[2].done);
	assert_true(block_is_stopped(d->block) && block_is_quiet(d->block));
	advance(f, 10 * SECOND);
	assert_false(t[2].done);
	/* Both tokens are there: had the first paid again, the third would wait. */
	block_resume(d->block);
	assert_true(t[0].done && t[2].done);
}

/* Two disks of a group have one rate between them, and each its half. */
static void test_group(void **state)
{
	struct fixture *f = *state;
	struct flood *l = calloc(2, sizeof(*l));
	struct test_request t;
	uint64_t before;

	make(f, &(struct vm_iotune){.rate[VM_IOTUNE_TOTAL_IOPS] = 1000, .group = "g"}, 2);
	flood_start(&l[0], &f->disks[0], BLOCK_WRITE, 4096, 16);
	flood_start(&l[1], &f->disks[1], BLOCK_WRITE, 4096, 2);
	advance(f, SECOND);
	before = l[1].n_done;
	assert_about(flood_rate(f, &l[0], 10), 500, 2);
	assert_about((l[1].n_done - before) / 10, 500, 2);
	/* A read of the second has its turn among all these writes. */
	submit(&f->disks[1], &t, BLOCK_READ, 512);
	advance(f, SECOND / 100);
	assert_true(t.done);
	/* One that is held leaves all of it to the other. */
	block_hold(f->disks[1].block);
	before = l[1].n_done;
	assert_about(flood_rate(f, &l[0], 10), 1000, 2);
	assert_true(l[1].n_done - before <= 2);
	/* One that goes, with requests that wait, takes nobody along. */
	f->disks[1].block = block_free(f->disks[1].block);
	assert_about(flood_rate(f, &l[0], 10), 1000, 2);
	block_cancel(f->disks[0].block);
	free(l);
}

/* Tokens that one disk finds are also for what waits at the other. */
static void test_group_wakes(void **state)
{
	struct fixture *f = *state;
	struct test_request a, b;

	make(f, &(struct vm_iotune){.rate[VM_IOTUNE_TOTAL_IOPS] = 10}, 2);
	block_hold(f->disks[0].block);
	submit(&f->disks[0], &a, BLOCK_READ, 512);
	submit(&f->disks[1], &b, BLOCK_READ, 512);
	assert_true(b.done && !a.done);
	f->disks[0].fake->hold = false;
	block_resume(f->disks[0].block);
	assert_true(a.done);
	submit(&f->disks[0], &a, BLOCK_READ, 512);
	assert_false(a.done);
	submit(&f->disks[1], &b, BLOCK_READ, 512);
	assert_false(b.done);
	advance(f, SECOND / 5);
	assert_true(a.done && b.done);
}

static bool timer_is_armed(struct loop *loop)
{
	struct itimerspec left;

	assert_int_equal(timerfd_gettime(loop_timer_fd(loop), &left), 0);
	return left.it_value.tv_sec || left.it_value.tv_nsec;
}

/* On a real clock: the loop has no deadline while nothing waits. */
static void test_idle(void **state)
{
	struct fixture *f = *state;
	struct test_request t[2];

	f->loop = loop_free(f->loop);
	assert_int_equal(loop_new(&f->loop), 0);
	make(f, &(struct vm_iotune){.rate[VM_IOTUNE_TOTAL_IOPS] = 50}, 1);
	for (unsigned i = 0; i < 5; i++)
		submit(&f->disks[0], &t[0], BLOCK_READ, 512);
	assert_false(timer_is_armed(f->loop));
	for (unsigned i = 0; i < 100 && t[0].done; i++)
		submit(&f->disks[0], &t[0], BLOCK_READ, 512);
	assert_true(timer_is_armed(f->loop));
	while (!t[0].done)
		assert_true(loop_run_once(f->loop, LOOP_NEVER) >= 0);
	assert_false(timer_is_armed(f->loop));
	/* Nor does it wake for what is held. */
	do {
		submit(&f->disks[0], &t[1], BLOCK_READ, 512);
	} while (t[1].done);
	block_hold(f->disks[0].block);
	block_commit(f->disks[0].block);
	assert_false(timer_is_armed(f->loop));
	block_cancel(f->disks[0].block);
	assert_true(t[1].done);
}

/* Turning the write cache off flushes for the host's sake: no limit of the guest's is in its way. */
static void test_cache_flush(void **state)
{
	struct fixture *f = *state;
	struct disk *d = &f->disks[0];
	struct test_request t[2];

	make(f, &(struct vm_iotune){.rate[VM_IOTUNE_TOTAL_IOPS] = 1}, 1);
	submit(d, &t[0], BLOCK_WRITE, 512);
	submit(d, &t[1], BLOCK_WRITE, 512);
	assert_false(t[1].done);
	block_set_write_cache(d->block, false);
	assert_int_equal(d->fake->n_ops[BLOCK_IO_SYNC], 1);
	block_cancel(d->block);
}

static void test_nothing_limited(void **state)
{
	struct fixture *f = *state;
	struct block_throttle *t = NULL;

	assert_int_equal(block_throttle_new(f->loop, &(struct vm_iotune){0}, &t), -ENOENT);
	assert_null(t);
	assert_null(block_throttle_unref(NULL));
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_rates, tear_down),
		ROW(test_burst),
		ROW(test_lanes),
		ROW(test_hold),
		ROW(test_cancel),
		ROW(test_error_stop),
		ROW(test_group),
		ROW(test_group_wakes),
		ROW(test_idle),
		ROW(test_cache_flush),
		ROW(test_nothing_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
