/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* io_uring: transfers on registered files, and that the ring does nothing else. Skipped where the host has none. */
#include "vmm-core/base/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	int fd;
	struct uring *ring;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int r;

	f->fd = memfd_create("disk", MFD_CLOEXEC);
	assert_true(f->fd >= 0);
	assert_int_equal(ftruncate(f->fd, 1 << 20), 0);
	r = uring_new(8, &f->fd, 1, &f->ring);
	if (r == -ENOSYS || r == -EPERM || r == -EACCES)
		f->ring = NULL;
	else
		assert_int_equal(r, 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	(void)uring_free(f->ring);
	(void)safe_close(f->fd);
	free(f);
	return 0;
}

static struct fixture *need_ring(void **state)
{
	struct fixture *f = *state;

	if (!f->ring) {
		print_message("this host has no io_uring\n");
		skip();
	}
	return f;
}

/* Submit what is queued and wait for one completion. */
static int32_t run_one(struct uring *ring, uint64_t user_data)
{
	struct uring_completion c;

	assert_int_equal(uring_submit(ring), 0);
	while (uring_reap(ring, &c, 1) == 0)
		assert_int_equal(uring_wait(ring), 0);
	assert_int_equal(c.user_data, user_data);
	return c.result;
}

static struct io_uring_sqe *prepare(
	struct uring *ring, uint8_t opcode, const void *p, size_t len, uint64_t offset, uint64_t id)
{
	struct io_uring_sqe *sqe = uring_sqe(ring);

	assert_non_null(sqe);
	sqe->opcode = opcode;
	sqe->addr = (uint64_t)(uintptr_t)p;
	sqe->len = (uint32_t)len;
	sqe->off = offset;
	sqe->user_data = id;
	return sqe;
}

static void test_transfers(void **state)
{
	struct fixture *f = need_ring(state);
	char out[512], in[512] = {0};

	memset(out, 'x', sizeof(out));
	(void)prepare(f->ring, IORING_OP_WRITE, out, sizeof(out), 4096, 1);
	assert_int_equal(run_one(f->ring, 1), 512);
	(void)prepare(f->ring, IORING_OP_READ, in, sizeof(in), 4096, 2);
	assert_int_equal(run_one(f->ring, 2), 512);
	assert_memory_equal(in, out, sizeof(in));
	prepare(f->ring, IORING_OP_FSYNC, NULL, 0, 0, 3)->fsync_flags = IORING_FSYNC_DATASYNC;
	assert_int_equal(run_one(f->ring, 3), 0);
	(void)prepare(f->ring, IORING_OP_READ, in, sizeof(in), 1 << 20, 4);
	assert_int_equal(run_one(f->ring, 4), 0);
}

static void test_restrictions(void **state)
{
	struct fixture *f = need_ring(state);
	static const uint8_t forbidden[] = {IORING_OP_OPENAT, IORING_OP_SOCKET, IORING_OP_CONNECT,
		IORING_OP_ACCEPT, IORING_OP_NOP, IORING_OP_POLL_ADD, IORING_OP_READ_FIXED,
		IORING_OP_SENDMSG, IORING_OP_CLOSE, IORING_OP_URING_CMD, IORING_OP_FILES_UPDATE};
	char buf[16];

	for (size_t i = 0; i < ARRAY_SIZE(forbidden); i++) {
		(void)prepare(f->ring, forbidden[i], buf, sizeof(buf), 0, 100 + i);
		assert_int_equal(run_one(f->ring, 100 + i), -EACCES);
	}
	/* An fd that is not registered. */
	{
		struct io_uring_sqe *sqe = prepare(f->ring, IORING_OP_READ, buf, sizeof(buf), 0, 7);

		sqe->flags = 0;
		sqe->fd = f->fd;
		assert_int_equal(run_one(f->ring, 7), -EACCES);
	}
	/* A linked or drained operation, and a file beyond the table. */
	prepare(f->ring, IORING_OP_READ, buf, sizeof(buf), 0, 8)->flags |= IOSQE_IO_DRAIN;
	assert_int_equal(run_one(f->ring, 8), -EACCES);
	prepare(f->ring, IORING_OP_READ, buf, sizeof(buf), 0, 9)->fd = 1;
	assert_int_equal(run_one(f->ring, 9), -EBADF);
	/* No registration any more. */
	assert_int_equal(syscall(__NR_io_uring_register, uring_fd(f->ring), IORING_REGISTER_EVENTFD,
				 &f->fd, 1),
		-1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(syscall(__NR_io_uring_register, uring_fd(f->ring), IORING_UNREGISTER_FILES,
				 NULL, 0),
		-1);
	assert_int_equal(errno, EACCES);
}

static void test_bound_and_poll(void **state)
{
	struct fixture *f = need_ring(state);
	struct pollfd p = {.fd = uring_fd(f->ring), .events = POLLIN};
	struct uring_completion c[16];
	char buf[512];
	unsigned n = 0;

	assert_int_equal(poll(&p, 1, 0), 0);
	for (unsigned i = 0; i < uring_entries(f->ring); i++)
		(void)prepare(f->ring, IORING_OP_READ, buf, sizeof(buf), 512 * i, i);
	assert_null(uring_sqe(f->ring));
	assert_int_equal(uring_n_queued(f->ring), 8);
	assert_int_equal(uring_submit(f->ring), 0);
	assert_int_equal(uring_n_queued(f->ring), 0);
	while (n < 8) {
		assert_int_equal(poll(&p, 1, 5000), 1);
		n += uring_reap(f->ring, c, 3);
	}
	assert_int_equal(n, 8);
	assert_int_equal(uring_n_in_flight(f->ring), 0);
	assert_int_equal(uring_reap(f->ring, c, 16), 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_non_null(uring_sqe(f->ring));
}

/* The rings' counters wrap around their size many times. */
static void test_many(void **state)
{
	struct fixture *f = need_ring(state);
	uint32_t in = 0, out;

	for (uint32_t i = 0; i < 1000; i++) {
		out = i * 2654435761U;
		(void)prepare(f->ring, IORING_OP_WRITE, &out, sizeof(out), 4 * i, i);
		assert_int_equal(run_one(f->ring, i), 4);
		(void)prepare(f->ring, IORING_OP_READ, &in, sizeof(in), 4 * i, i);
		assert_int_equal(run_one(f->ring, i), 4);
		assert_int_equal(in, out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_transfers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_restrictions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bound_and_poll, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
