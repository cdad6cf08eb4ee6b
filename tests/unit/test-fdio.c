/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets with fds (and with too many), memory files, bounded reads of files. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_packets(void **state)
{
	int pair[2], fds[8], got[2];
	unsigned n_fds, before;
	char buf[16];

	(void)state;
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	for (unsigned i = 0; i < 8; i++)
		fds[i] = pair[0];
	assert_int_equal(recv_packet(pair[1], buf, sizeof(buf), got, 2, &n_fds), -EAGAIN);
	assert_int_equal(send_packet(pair[0], "hello", 5, fds, 2), 0);
	assert_int_equal(recv_packet(pair[1], buf, sizeof(buf), got, 2, &n_fds), 5);
	assert_int_equal(n_fds, 2);
	assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
	(void)close(got[0]);
	(void)close(got[1]);
	/* Too many fds, too many bytes: refused, nothing leaks, the next packet is whole. */
	before = count_fds();
	assert_int_equal(send_packet(pair[0], "x", 1, fds, 8), 0);
	assert_int_equal(recv_packet(pair[1], buf, sizeof(buf), got, 2, &n_fds), -EMSGSIZE);
	assert_int_equal(send_packet(pair[0], "0123456789abcdefg", 17, fds, 1), 0);
	assert_int_equal(recv_packet(pair[1], buf, sizeof(buf), got, 2, &n_fds), -EMSGSIZE);
	assert_int_equal(n_fds, 0);
	assert_int_equal(count_fds(), before);
	assert_int_equal(send_packet(pair[0], "y", 1, NULL, 0), 0);
	assert_int_equal(recv_packet(pair[1], buf, sizeof(buf), got, 2, &n_fds), 1);
	assert_int_equal(send_packet(pair[0], "y", 1, fds, FDIO_MAX_FDS + 1), -EMSGSIZE);
	(void)close(pair[0]);
	assert_int_equal(recv_packet(pair[1], buf, sizeof(buf), got, 2, &n_fds), 0);
	assert_int_equal(send_packet(pair[1], "y", 1, NULL, 0), -EPIPE);
	(void)close(pair[1]);
}

static void test_memfd(void **state)
{
	_cleanup_(closep) int fd = memfd_from_data("t", "abcdef", 6);
	_cleanup_(closep) int plain = memfd_create("p", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	char buf[8];

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(memfd_read_sealed(fd, buf, 6), 0);
	assert_memory_equal(buf, "abcdef", 6);
	assert_int_equal(memfd_read_sealed(fd, buf, 5), -EFBIG);
	assert_int_equal(memfd_read_sealed(fd, buf, 8), -ENODATA);
	assert_int_equal(memfd_read_sealed(plain, buf, 0), -EPERM);
}

static void test_read_file(void **state)
{
	char path[] = "/tmp/test-fdio-XXXXXX";
	_cleanup_(closep) int fd = mkstemp(path);
	_cleanup_(freep) char *text = NULL;
	size_t len;
	char buf[4];

	(void)state;
	assert_int_equal(write_full(fd, "0123456789", 10), 0);
	assert_int_equal(read_file(AT_FDCWD, path, 10, &text, &len), 0);
	assert_int_equal(len, 10);
	assert_string_equal(text, "0123456789");
	freep(&text);
	assert_int_equal(read_file(AT_FDCWD, path, 9, &text, &len), -EFBIG);
	assert_int_equal(pread_full(fd, buf, 4, 6), 0);
	assert_memory_equal(buf, "6789", 4);
	assert_int_equal(pread_full(fd, buf, 4, 7), -ENODATA);
	assert_int_equal(write_full(fd, "\0", 1), 0);
	assert_int_equal(read_file(AT_FDCWD, path, 100, &text, &len), -EBADMSG);
	(void)unlink(path);
	assert_int_equal(read_file(AT_FDCWD, path, 100, &text, &len), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets),
		cmocka_unit_test(test_memfd),
		cmocka_unit_test(test_read_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
