/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guests' images on real file systems (XFS and ext4 on loop devices) that lose their power, or are full.
 *
 * Power: a child writes blocks with numbers in them through struct block, several at a time, and flushes now and then. What it was
 * told is durable it says through a pipe. In the middle of that the file system loses its power. What is found after the next
 * mount is, of each block, the last version that was said to be durable, or one that was written later; never an older
 * one, never parts of two.
 *
 * Needs what loop-fs.h needs; what cannot be had is skipped, and said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "devices/block/block.h"
#include "tests/disk/loop-fs.h"
#include "tests/unit/tally.h"

#define BLOCK_LEN   4096
#define N_BLOCKS    64
#define AT_ONCE     8   /* writes under way */
#define FLUSH_EVERY 20  /* writes */
#define MAX_WRITES  400 /* the power goes somewhere among them */
#define CUTS        5   /* of each way to write */
#define IMAGE_LEN   (N_BLOCKS * BLOCK_LEN)
#define TURN_NSEC   (10 * NSEC_PER_SEC)

static struct loop_fs fs;

static const struct way {
	const char *name;
	bool write_cache, threads;
	int flags;
} ways[] = {
	{"write-back", true, false, 0},
	{"write-back by threads", true, true, 0},
	{"write-through", false, false, 0},
	{"write-through by threads", false, true, 0},
	{"direct", true, false, O_DIRECT},
	{"direct by threads", true, true, O_DIRECT},
};

struct world {
	struct loop *loop;
	struct block *block;
	unsigned n_stopped;
	int stopped_error;
};

struct request {
	struct block_request r;
	struct iovec iov;
	uint8_t *data;
	uint32_t number;
	bool busy;
	int error;
};

static void on_done(struct block_request *r, int error)
{
	struct request *t = container_of(r, struct request, r);

	t->busy = false;
	t->error = error;
}

static void on_stopped(void *opaque, int error)
{
	struct world *w = opaque;

	w->n_stopped++;
	w->stopped_error = error;
}

static int world_init(struct world *w, const struct way *way, enum vm_disk_error_policy policy)
{
	struct block_options options = {
		.write_cache = way->write_cache,
		.threads = way->threads,
		.read_policy = VM_DISK_ERROR_REPORT,
		.write_policy = (uint8_t)policy,
		.name = "vda",
		.stopped = on_stopped,
		.opaque = w,
	};
	char path[128];
	int fd;

	*w = (struct world){0};
	(void)snprintf(path, sizeof(path), "%s/disk.img", fs.mount);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | way->flags, 0600);
	if (fd < 0 || ftruncate(fd, IMAGE_LEN) < 0 || loop_new(&w->loop) < 0)
		return -EIO;
	loop_set_locking(w->loop, true);
	return block_open(w->loop, fd, &options, &w->block);
}

static void world_done(struct world *w)
{
	(void)block_free(w->block);
	(void)loop_free(w->loop);
}

static void submit(struct world *w, struct request *t, enum block_op op, uint64_t offset)
{
	t->iov = (struct iovec){t->data, BLOCK_LEN};
	t->r = (struct block_request){.op = op,
		.offset = op == BLOCK_FLUSH ? 0 : offset,
		.len = op == BLOCK_FLUSH ? 0 : BLOCK_LEN,
		.iov = &t->iov,
		.n_iov = op == BLOCK_FLUSH ? 0 : 1,
		.done = on_done};
	t->busy = true;
	loop_lock(w->loop);
	assert_int_equal(block_submit(w->block, &t->r), 0);
	block_commit(w->block);
	loop_unlock(w->loop);
}

static uint32_t where(unsigned seed, uint32_t number)
{
	return (number * 2654435761U ^ seed * 40503U) >> 8 & (N_BLOCKS - 1);
}

static void fill(uint8_t *data, uint32_t number)
{
	for (uint32_t i = 0; i < BLOCK_LEN / 4; i++)
		((uint32_t *)data)[i] = number * 0x9e3779b1U + i;
}

/* What the child's life is made of. Exits when the power is gone. */
struct writer {
	struct world w;
	struct request writes[AT_ONCE], flush;
	unsigned seed;
	int said_fd, cut_fd;
	uint32_t n, durable;
};

static bool block_is_busy(const struct writer *c, uint32_t at)
{
	for (unsigned i = 0; i < AT_ONCE; i++)
		if (c->writes[i].busy && where(c->seed, c->writes[i].number) == at)
			return true;
	return false;
}

static void say(struct writer *c, uint32_t durable)
{
	if (write(c->said_fd, &durable, sizeof(durable)) != sizeof(durable))
		_exit(5);
}

static void turn(struct writer *c)
{
	if (loop_run_once(c->w.loop, TURN_NSEC) < 0)
		_exit(6);
}

static unsigned n_busy(const struct writer *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < AT_ONCE; i++)
		n += c->writes[i].busy;
	return n;
}

/* Of write-through, what is answered is durable: when all are, so are all numbers up to the last. */
static void flush(struct writer *c, const struct way *way)
{
	while (n_busy(c))
		turn(c);
	if (way->write_cache) {
		submit(&c->w, &c->flush, BLOCK_FLUSH, 0);
		while (c->flush.busy)
			turn(c);
		if (c->flush.error)
			_exit(7);
	}
	say(c, c->n);
}

static _noreturn_ void child(const struct way *way, unsigned seed, unsigned last, int said_fd)
{
	struct writer c = {.seed = seed, .said_fd = said_fd};

	c.cut_fd = open(fs.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (world_init(&c.w, way, VM_DISK_ERROR_REPORT) < 0)
		_exit(4);
	for (unsigned i = 0; i < AT_ONCE; i++)
		c.writes[i].data = aligned_alloc(4096, BLOCK_LEN);
	while (c.n < last) {
		struct request *t = &c.writes[++c.n % AT_ONCE];

		while (t->busy || block_is_busy(&c, where(seed, c.n)))
			turn(&c);
		if (t->error)
			_exit(8);
		t->number = c.n;
		fill(t->data, c.n);
		submit(&c.w, t, BLOCK_WRITE, (uint64_t)where(seed, c.n) * BLOCK_LEN);
		if (c.n % FLUSH_EVERY == 0)
			flush(&c, way);
	}
	_exit(loop_fs_cut(c.cut_fd) < 0 ? 3 : 42);
}

/* Each block has the number of a write to it, not before 'durable' asks for. */
static void look(const struct way *way, unsigned seed, uint32_t durable, uint32_t last)
{
	uint8_t *data = aligned_alloc(4096, BLOCK_LEN), want[BLOCK_LEN];
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/disk.img", fs.mount);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	for (uint32_t at = 0; at < N_BLOCKS; at++) {
		uint32_t found = 0, n = last;

		assert_int_equal(pread(fd, data, BLOCK_LEN, (off_t)at * BLOCK_LEN), BLOCK_LEN);
		for (; n && !found; n--) {
			if (where(seed, n) != at)
				continue;
			fill(want, n);
			if (memcmp(data, want, BLOCK_LEN) == 0)
				found = n;
			else if (n <= durable)
				fail_msg("%s, %s: block %u: write %u was durable (as all to %u) "
					 "and is "
					 "not there",
					fs.type, way->name, at, n, durable);
		}
	}
	free(data);
	(void)close(fd);
}

static uint32_t last_said(int fd)
{
	uint32_t n, last = 0;

	while (read(fd, &n, sizeof(n)) == sizeof(n))
		last = n;
	return last;
}

static uint32_t cut(const struct way *way, unsigned seed)
{
	unsigned last = 1 + (unsigned)rand_r(&seed) % MAX_WRITES;
	uint32_t durable;
	int status, pair[2];
	pid_t pid;

	(void)loop_fs_run("rm -f %s/disk.img; sync -f %s", fs.mount, fs.mount);
	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(way, seed, last, pair[1]);
	(void)close(pair[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	durable = last_said(pair[0]);
	(void)close(pair[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
		fail_msg("%s, %s: status %#x", fs.type, way->name, (unsigned)status);
	assert_int_equal(durable, last / FLUSH_EVERY * FLUSH_EVERY);
	loop_fs_unmount(&fs);
	assert_true(loop_fs_mount(&fs));
	if (durable)
		look(way, seed, durable, last);
	return durable;
}

static void test_power(void **state)
{
	unsigned seed = 1, n = 0, durable = 0;

	(void)state;
	alarm(250);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		for (unsigned k = 0; k < CUTS; k++, n++)
			durable += cut(&ways[i], ++seed);
	print_message("%s: %u power cuts under guests' writes, %u writes were durable\n", fs.type,
		n, durable);
	tally(TALLY_FAULTS, n);
	assert_true(durable > 0);
}

/* Nothing more fits. */
static void fill_up(void)
{
	char path[128];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/filler", fs.mount);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (off_t at = 0, step = 64 << 20; step >= BLOCK_LEN;)
		if (fallocate(fd, 0, at, step) == 0)
			at += step;
		else
			step /= 2;
	(void)close(fd);
}

static void make_room(void)
{
	(void)loop_fs_run("rm -f %s/filler", fs.mount);
}

static void wait_for(struct world *w, const bool *busy)
{
	while (*busy && !w->n_stopped)
		assert_true(loop_run_once(w->loop, TURN_NSEC) >= 0);
}

static void full(const struct way *way, enum vm_disk_error_policy policy)
{
	uint8_t *in = aligned_alloc(4096, BLOCK_LEN), *out = aligned_alloc(4096, BLOCK_LEN);
	struct request t = {.data = out};
	struct world w;

	(void)loop_fs_run("rm -f %s/disk.img", fs.mount);
	assert_int_equal(world_init(&w, way, policy), 0);
	fill_up();
	fill(out, 1);
	submit(&w, &t, BLOCK_WRITE, 0);
	wait_for(&w, &t.busy);
	if (policy == VM_DISK_ERROR_REPORT) {
		assert_false(t.busy);
		assert_int_equal(t.error, -ENOSPC);
		make_room();
		submit(&w, &t, BLOCK_WRITE, 0);
	} else {
		/* Kept: the vm would be paused now. */
		assert_true(t.busy && w.n_stopped == 1);
		assert_int_equal(w.stopped_error, -ENOSPC);
		make_room();
		w.n_stopped = 0;
		loop_lock(w.loop);
		block_resume(w.block);
		loop_unlock(w.loop);
	}
	wait_for(&w, &t.busy);
	assert_false(t.busy);
	assert_int_equal(t.error, 0);
	submit(&w, &t, BLOCK_FLUSH, 0);
	wait_for(&w, &t.busy);
	assert_int_equal(t.error, 0);
	t.data = in;
	submit(&w, &t, BLOCK_READ, 0);
	wait_for(&w, &t.busy);
	assert_int_equal(t.error, 0);
	assert_memory_equal(in, out, BLOCK_LEN);
	world_done(&w);
	free(in);
	free(out);
}

static void test_full(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		full(&ways[i], VM_DISK_ERROR_REPORT);
		full(&ways[i], VM_DISK_ERROR_ENOSPACE);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_power), cmocka_unit_test(test_full)};
	int r;

	if (!loop_fs_new(&fs, argc > 1 ? argv[1] : "ext4"))
		return 77;
	r = cmocka_run_group_tests(tests, NULL, NULL);
	loop_fs_done(&fs);
	return r;
}
