/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The block layer on real files: io_uring and threads, buffered and direct, and what is refused. */
#include "devices/block/block.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "vmm-core/base/strutil.h"

#define SIZE KIB(1024)

struct fixture {
	struct loop *loop;
	struct block_options options;
	struct block *block;
	unsigned n_entered;
};

struct test_request {
	struct block_request r;
	struct iovec iov[4];
	bool done;
	int error;
};

static void on_done(struct block_request *r, int error)
{
	struct test_request *t = container_of(r, struct test_request, r);

	t->done = true;
	t->error = error;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(loop_new(&f->loop), 0);
	loop_set_locking(f->loop, true);
	f->options = (struct block_options){
		.write_cache = true,
		.discard = true,
		.read_policy = VM_DISK_ERROR_REPORT,
		.write_policy = VM_DISK_ERROR_REPORT,
		.name = "vda",
	};
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	(void)block_free(f->block);
	(void)loop_free(f->loop);
	free(f);
	return 0;
}

static int memory_file(uint64_t size)
{
	int fd = memfd_create("disk", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* An unlinked file on a filesystem, with 'flags'; -errno where they do not work. */
static int disk_file(int flags, uint64_t size)
{
	char path[] = "/var/tmp/vmmd-test-XXXXXX";
	int fd = mkostemp(path, flags | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	(void)unlink(path);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void wait_done(struct fixture *f, const struct test_request *t)
{
	/* A turn may find nothing: the kernel's task work interrupts it. */
	for (unsigned turns = 0; !t->done && turns < 10000; turns++)
		assert_true(loop_run_once(f->loop, 10 * NSEC_PER_SEC) >= 0);
	assert_true(t->done);
}

static int run(struct fixture *f, enum block_op op, uint64_t offset, void *p, uint64_t len)
{
	struct test_request t = {
		.r = {.op = op, .offset = offset, .len = len, .done = on_done},
		.iov = {{.iov_base = p, .iov_len = len}},
	};
	int r;

	t.r.iov = t.iov;
	t.r.n_iov = op == BLOCK_READ || op == BLOCK_WRITE;
	loop_lock(f->loop);
	r = block_submit(f->block, &t.r);
	if (r == 0)
		block_commit(f->block);
	loop_unlock(f->loop);
	if (r < 0)
		return r;
	wait_done(f, &t);
	return t.error;
}

/* Everything a guest can ask, on whatever the block stands on. */
static void exercise(struct fixture *f, unsigned skew)
{
	_cleanup_(freep) uint8_t *raw = aligned_alloc(4096, KIB(256)), *raw2 = NULL;
	uint8_t *out = raw + skew, *in;

	raw2 = aligned_alloc(4096, KIB(256));
	in = raw2 + skew;
	for (unsigned i = 0; i < KIB(128); i++)
		out[i] = (uint8_t)(i * 7 + i / 512);
	assert_int_equal(run(f, BLOCK_WRITE, 512, out, KIB(128)), 0);
	assert_int_equal(run(f, BLOCK_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(run(f, BLOCK_READ, 512, in, KIB(128)), 0);
	assert_memory_equal(in, out, KIB(128));
	assert_int_equal(run(f, BLOCK_WRITE_ZEROES, 1024, NULL, 1536), 0);
	memset(out + 512, 0, 1536);
	assert_int_equal(run(f, BLOCK_DISCARD, 4096 + 512, NULL, 4096), 0);
	memset(out + 4096, 0, 4096);
	assert_int_equal(run(f, BLOCK_READ, 512, in, KIB(128)), 0);
	assert_memory_equal(in, out, KIB(128));
	assert_int_equal(run(f, BLOCK_WRITE, SIZE - 512, out + 600, 512), 0);
	assert_int_equal(run(f, BLOCK_READ, SIZE - 1024, in, 1024), 0);
	assert_memory_equal(in + 512, out + 600, 512);
	block_set_write_cache(f->block, false);
	assert_int_equal(run(f, BLOCK_WRITE, 0, out, 512), 0);
	assert_int_equal(run(f, BLOCK_WRITE_ZEROES, 0, NULL, 512), 0);
	assert_int_equal(run(f, BLOCK_FLUSH, 0, NULL, 0), 0);
}

static void test_memory_file(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(block_open(f->loop, memory_file(SIZE), &f->options, &f->block), 0);
	assert_int_equal(block_capacity(f->block), SIZE);
	assert_int_equal(block_align(f->block), 1);
	exercise(f, 1);
}

static void test_file(void **state)
{
	struct fixture *f = *state;
	int fd = disk_file(0, SIZE);

	assert_true(fd >= 0);
	assert_int_equal(block_open(f->loop, fd, &f->options, &f->block), 0);
	exercise(f, 0);
}

static void check_direct(struct fixture *f, unsigned skew)
{
	int fd = disk_file(O_DIRECT, SIZE);

	if (fd == -EINVAL) {
		print_message("/var/tmp has no direct I/O\n");
		skip();
	}
	assert_true(fd >= 0);
	assert_int_equal(block_open(f->loop, fd, &f->options, &f->block), 0);
	assert_true(block_align(f->block) >= 512);
	exercise(f, skew);
}

static void test_direct(void **state)
{
	check_direct(*state, 0);
}

static void test_direct_unaligned_buffers(void **state)
{
	check_direct(*state, 3);
}

static void test_threads(void **state)
{
	struct fixture *f = *state;

	f->options.threads = true;
	assert_int_equal(block_open(f->loop, disk_file(0, SIZE), &f->options, &f->block), 0);
	assert_true(streq(block_backend_name(f->block), "threads"));
	exercise(f, 0);
}

static int enter_thread(void *opaque)
{
	struct fixture *f = opaque;

	return __atomic_add_fetch(&f->n_entered, 1, __ATOMIC_SEQ_CST) > BLOCK_THREADS ? 0 : -EPERM;
}

/* A thread that could not close its sandbox does nothing. */
static void test_threads_that_fail(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[512];

	f->options.threads = true;
	f->options.enter_thread = enter_thread;
	f->options.enter_thread_opaque = f;
	assert_int_equal(block_open(f->loop, memory_file(SIZE), &f->options, &f->block), 0);
	assert_int_equal(run(f, BLOCK_READ, 0, buf, 512), -EIO);
	assert_true(f->n_entered >= 1);
}

/* Many at once, in both backends; more than fit. */
static void check_many(struct fixture *f)
{
	enum { N = 600 };
	struct test_request *t = calloc(N, sizeof(*t));
	uint8_t *buf = malloc(N * 512);

	for (unsigned pass = 0; pass < 2; pass++) {
		loop_lock(f->loop);
		for (unsigned i = 0; i < N; i++) {
			memset(buf + i * 512, pass ? 0 : (int)(i % 251), 512);
			t[i] = (struct test_request){
				.r = {.op = pass ? BLOCK_READ : BLOCK_WRITE,
					.offset = i * 1024,
					.len = 512,
					.iov = t[i].iov,
					.n_iov = 2,
					.done = on_done},
				.iov = {{buf + i * 512, 100}, {buf + i * 512 + 100, 412}},
			};
			assert_int_equal(block_submit(f->block, &t[i].r), 0);
		}
		block_commit(f->block);
		assert_false(f->options.threads && block_is_quiet(f->block));
		loop_unlock(f->loop);
		for (unsigned i = 0; i < N; i++) {
			wait_done(f, &t[i]);
			assert_int_equal(t[i].error, 0);
			assert_int_equal(buf[i * 512 + 511], i % 251);
		}
		assert_true(block_is_quiet(f->block));
	}
	free(buf);
	free(t);
}

static void test_many(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(block_open(f->loop, memory_file(SIZE), &f->options, &f->block), 0);
	check_many(f);
}

static void test_many_threads(void **state)
{
	struct fixture *f = *state;

	f->options.threads = true;
	assert_int_equal(block_open(f->loop, memory_file(SIZE), &f->options, &f->block), 0);
	check_many(f);
}

struct other {
	struct fixture *f;
	struct test_request t;
};

static void *commit_elsewhere(void *opaque)
{
	struct other *o = opaque;

	loop_lock(o->f->loop);
	assert_int_equal(block_submit(o->f->block, &o->t.r), 0);
	block_commit(o->f->block);
	assert_false(o->t.done);
	loop_unlock(o->f->loop);
	return NULL;
}

/* From a vCPU thread the I/O is started on the loop's. */
static void test_other_thread(void **state)
{
	struct fixture *f = *state;
	struct other o = {.f = f, .t.r = {.op = BLOCK_FLUSH, .done = on_done}};
	pthread_t thread;

	assert_int_equal(block_open(f->loop, memory_file(SIZE), &f->options, &f->block), 0);
	assert_int_equal(pthread_create(&thread, NULL, commit_elsewhere, &o), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	wait_done(f, &o.t);
	assert_int_equal(o.t.error, 0);
}

static void test_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_(closep) int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	_cleanup_(closep) int rw = memory_file(SIZE);
	_cleanup_(closep) int ro = -EBADF;
	char path[64];
	int fd;

	assert_int_equal(block_open(f->loop, dir, &f->options, &f->block), -EMEDIUMTYPE);
	assert_int_equal(block_open(f->loop, null, &f->options, &f->block), -EMEDIUMTYPE);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", rw);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	assert_int_equal(block_open(f->loop, ro, &f->options, &f->block), -EBADF);
	/* Read-only is enough for a read-only disk; non-blocking it must not be. */
	f->options.readonly = true;
	assert_int_equal(fcntl(ro, F_SETFL, O_NONBLOCK), 0);
	fd = ro;
	assert_int_equal(block_open(f->loop, TAKE_FD(ro), &f->options, &f->block), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
}

static void test_odd_sizes(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[512];
	int fd;

	assert_int_equal(block_open(f->loop, memory_file(1000), &f->options, &f->block), 0);
	assert_int_equal(block_capacity(f->block), 512);
	assert_int_equal(run(f, BLOCK_READ, 0, buf, 512), 0);
	assert_int_equal(run(f, BLOCK_READ, 512, buf, 512), -EINVAL);
	f->block = block_free(f->block);
	/* Direct I/O would lose the last sectors: the cache serves them. */
	fd = disk_file(O_DIRECT, 4096 + 512);
	if (fd < 0)
		return;
	assert_int_equal(block_open(f->loop, fd, &f->options, &f->block), 0);
	assert_int_equal(block_capacity(f->block), 4096 + 512);
	assert_int_equal(run(f, BLOCK_WRITE, 4096, buf, 512), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 4096 + 512);
}

/* The host's error arrives: a file size limit (EFBIG) as a stand-in for a full filesystem. */
static void test_host_error(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, limit;
	uint8_t buf[512] = {0};

	f->options.threads = true;
	assert_int_equal(block_open(f->loop, disk_file(0, SIZE), &f->options, &f->block), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	limit = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(run(f, BLOCK_WRITE, 8192, buf, 512), -EFBIG);
	assert_int_equal(run(f, BLOCK_WRITE, 0, buf, 512), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(run(f, BLOCK_WRITE, 8192, buf, 512), 0);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		ROW(test_memory_file),
		ROW(test_file),
		ROW(test_direct),
		ROW(test_direct_unaligned_buffers),
		ROW(test_threads),
		ROW(test_threads_that_fail),
		ROW(test_many),
		ROW(test_many_threads),
		ROW(test_other_thread),
		ROW(test_refused),
		ROW(test_odd_sizes),
		ROW(test_host_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
