/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Character devices over socketpairs, ptys, files and listening sockets. */
#include "vmm-core/chardev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"

struct fixture {
	struct loop *loop;
	struct chardev *cd;
	size_t want;
	char input[65536];
	size_t n_input;
	unsigned n_writable, n_connects, n_disconnects;
	unsigned cols, rows;
};

static size_t can_read(void *opaque)
{
	return ((struct fixture *)opaque)->want;
}

static void on_read(void *opaque, const uint8_t *data, size_t len)
{
	struct fixture *f = opaque;

	assert_true(len <= f->want);
	assert_true(f->n_input + len <= sizeof(f->input));
	memcpy(f->input + f->n_input, data, len);
	f->n_input += len;
}

static void on_writable(void *opaque)
{
	((struct fixture *)opaque)->n_writable++;
}

static void on_connected(void *opaque, bool on)
{
	struct fixture *f = opaque;

	if (on)
		f->n_connects++;
	else
		f->n_disconnects++;
}

static void on_resized(void *opaque, uint16_t cols, uint16_t rows)
{
	struct fixture *f = opaque;

	f->cols = cols;
	f->rows = rows;
}

static const struct chardev_ops ops = {
	.can_read = can_read,
	.read = on_read,
	.writable = on_writable,
	.connected = on_connected,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	assert_int_equal(loop_new_fake(NSEC_PER_SEC, &f->loop), 0);
	f->want = 1024;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	f->cd = chardev_free(f->cd);
	f->loop = loop_free(f->loop);
	free(f);
	return 0;
}

static void open_chardev(struct fixture *f, int fd, unsigned flags)
{
	assert_int_equal(chardev_new(f->loop, fd, flags, &f->cd), 0);
	chardev_bind(f->cd, &ops, f);
}

/* Let everything that is due happen. */
static void pump(struct fixture *f)
{
	for (unsigned i = 0; i < 8; i++) {
		while (loop_run_once(f->loop, 0) > 0)
			;
		loop_fake_advance(f->loop, NSEC_PER_MSEC);
	}
}

static size_t put(struct fixture *f, const char *s)
{
	return chardev_write(f->cd, (const uint8_t *)s, strlen(s));
}

static void pair(int fds[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(fd_set_nonblock(fds[1], true), 0);
}

/* What has arrived at 'fd' is exactly 's'. */
static void assert_got(int fd, const char *s)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0)
		n = 0;
	assert_int_equal(n, strlen(s));
	assert_memory_equal(buf, s, strlen(s));
}

static size_t drain(int fd)
{
	static char buf[256 * 1024];
	size_t total = 0;
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0)
		total += (size_t)n;
	return total;
}

static void test_output_is_collected(void **state)
{
	struct fixture *f = *state;
	int s[2];

	pair(s);
	open_chardev(f, s[0], 0);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(put(f, "x"), 1);
	(void)loop_run_once(f->loop, 0);
	assert_got(s[1], "xxxxx"); /* the first look at the fd takes what is there */
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(put(f, "y"), 1);
	assert_int_equal(drain(s[1]), 0);
	loop_fake_advance(f->loop, 400 * NSEC_PER_USEC);
	assert_int_equal(drain(s[1]), 0);
	loop_fake_advance(f->loop, 200 * NSEC_PER_USEC);
	assert_int_equal(drain(s[1]), 100);
	(void)close(s[1]);
}

static void test_input_waits_for_device(void **state)
{
	struct fixture *f = *state;
	int s[2];

	pair(s);
	f->want = 0;
	open_chardev(f, s[0], 0);
	assert_int_equal(write(s[1], "hello", 5), 5);
	pump(f);
	assert_int_equal(f->n_input, 0);
	f->want = 2;
	chardev_kick_input(f->cd);
	(void)loop_run_once(f->loop, 0);
	loop_fake_advance(f->loop, 1);
	assert_int_equal(f->n_input, 5); /* two at a time */
	assert_memory_equal(f->input, "hello", 5);
	(void)close(s[1]);
}

static void test_peer_closes(void **state)
{
	struct fixture *f = *state;
	int s[2];

	pair(s);
	open_chardev(f, s[0], 0);
	assert_true(chardev_is_connected(f->cd));
	assert_int_equal(write(s[1], "bye", 3), 3);
	(void)close(s[1]);
	pump(f);
	assert_memory_equal(f->input, "bye", 3);
	assert_int_equal(f->n_input, 3);
	assert_false(chardev_is_connected(f->cd));
	assert_int_equal(f->n_disconnects, 1);
	for (unsigned i = 0; i < 3 * VMMD_SCROLLBACK_BYTES / 16; i++)
		assert_int_equal(put(f, "0123456789abcdef"), 16);
	pump(f);
}

static void test_half_close_keeps_output(void **state)
{
	struct fixture *f = *state;
	int s[2];

	pair(s);
	open_chardev(f, s[0], 0);
	assert_int_equal(write(s[1], "in", 2), 2);
	assert_int_equal(shutdown(s[1], SHUT_WR), 0);
	pump(f);
	assert_int_equal(f->n_input, 2);
	assert_true(chardev_is_connected(f->cd));
	assert_int_equal(put(f, "out"), 3);
	pump(f);
	assert_got(s[1], "out");
	(void)close(s[1]);
	pump(f);
	assert_false(chardev_is_connected(f->cd));
}

static void test_reader_that_never_reads(void **state)
{
	struct fixture *f = *state;
	static uint8_t block[1000];
	uint64_t taken = 0;
	size_t n, seen = 0;
	int s[2];

	pair(s);
	open_chardev(f, s[0], 0);
	for (unsigned i = 0; i < 5000; i++) {
		for (unsigned j = 0; j < sizeof(block); j++)
			block[j] = (uint8_t)((taken + j) % 251);
		n = chardev_write(f->cd, block, sizeof(block));
		taken += n;
		(void)loop_run_once(f->loop, 0);
		loop_fake_advance(f->loop, NSEC_PER_MSEC);
		if (n < sizeof(block))
			break;
	}
	assert_true(n < sizeof(block));
	f->n_writable = 0;
	loop_fake_advance(f->loop, 60 * NSEC_PER_SEC);
	assert_int_equal(chardev_write(f->cd, block, 1), 0); /* a socket is waited for */
	assert_int_equal(f->n_writable, 0);
	for (unsigned i = 0; i < 1000 && seen < taken; i++) {
		uint8_t buf[4096];
		ssize_t got = read(s[1], buf, sizeof(buf));

		for (ssize_t j = 0; j < got; j++)
			assert_int_equal(buf[j], (seen + (size_t)j) % 251);
		if (got > 0)
			seen += (size_t)got;
		pump(f);
	}
	assert_int_equal(seen, taken);
	assert_int_equal(f->n_writable, 1);
	assert_int_equal(put(f, "z"), 1);
	(void)close(s[1]);
}

static void test_replay_then_live(void **state)
{
	struct fixture *f = *state;
	int s[2];

	pair(s);
	open_chardev(f, -EBADF, 0);
	assert_int_equal(put(f, "boot log "), 9);
	pump(f);
	assert_int_equal(chardev_attach(f->cd, s[0], false), 0);
	assert_int_equal(f->n_connects, 1);
	assert_int_equal(put(f, "live"), 4);
	pump(f);
	assert_got(s[1], "boot log live");
	assert_int_equal(write(s[1], "key", 3), 3);
	pump(f);
	assert_memory_equal(f->input, "key", 3);
	(void)close(s[1]);
}

static void test_replay_is_bounded(void **state)
{
	struct fixture *f = *state;
	uint8_t *data = malloc(200000);
	int s[2], size = 1 << 20;

	assert_non_null(data);
	for (unsigned i = 0; i < 200000; i++)
		data[i] = (uint8_t)(i % 251);
	pair(s);
	assert_int_equal(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	open_chardev(f, -EBADF, 0);
	assert_int_equal(chardev_write(f->cd, data, 200000), 200000);
	assert_int_equal(chardev_attach(f->cd, s[0], false), 0);
	pump(f);
	for (size_t i = 200000 - VMMD_SCROLLBACK_BYTES; i < 200000;) {
		uint8_t buf[1024];
		ssize_t n = read(s[1], buf, sizeof(buf));

		assert_true(n > 0);
		assert_memory_equal(buf, data + i, (size_t)n);
		i += (size_t)n;
	}
	assert_int_equal(drain(s[1]), 0);
	free(data);
	(void)close(s[1]);
}

static void test_channel_has_no_replay(void **state)
{
	struct fixture *f = *state;
	int s[2];

	pair(s);
	open_chardev(f, -EBADF, CHARDEV_NO_REPLAY);
	assert_int_equal(put(f, "old"), 3);
	assert_int_equal(chardev_attach(f->cd, s[0], false), 0);
	assert_int_equal(put(f, "new"), 3);
	pump(f);
	assert_got(s[1], "new");
	(void)close(s[1]);
}

static void test_force_attach(void **state)
{
	struct fixture *f = *state;
	int a[2], b[2];
	char c;

	pair(a);
	pair(b);
	open_chardev(f, -EBADF, 0);
	assert_int_equal(chardev_attach(f->cd, a[0], false), 0);
	pump(f);
	assert_int_equal(chardev_attach(f->cd, b[0], false), -EBUSY);
	assert_int_equal(chardev_attach(f->cd, b[0], true), 0);
	assert_int_equal(read(a[1], &c, 1), 0); /* the older one is closed */
	assert_int_equal(put(f, "hi"), 2);
	pump(f);
	assert_got(b[1], "hi");
	(void)close(a[1]);
	(void)close(b[1]);
	pump(f);
	pair(a);
	assert_int_equal(chardev_attach(f->cd, a[0], false), 0);
	(void)close(a[1]);
}

/* A console that left input nobody wants does not keep the next one out. */
static void test_gone_console_is_replaced(void **state)
{
	struct fixture *f = *state;
	int a[2], b[2];

	pair(a);
	pair(b);
	f->want = 0;
	open_chardev(f, -EBADF, 0);
	assert_int_equal(chardev_attach(f->cd, a[0], false), 0);
	assert_int_equal(write(a[1], "x", 1), 1);
	(void)close(a[1]);
	pump(f);
	assert_int_equal(chardev_attach(f->cd, b[0], false), 0);
	(void)close(b[1]);
}

static void test_backend_and_console(void **state)
{
	struct fixture *f = *state;
	int a[2], b[2];

	pair(a);
	pair(b);
	open_chardev(f, a[0], 0);
	assert_int_equal(put(f, "1"), 1);
	pump(f);
	assert_int_equal(chardev_attach(f->cd, b[0], false), 0);
	assert_int_equal(put(f, "2"), 1);
	pump(f);
	assert_got(a[1], "12");
	assert_got(b[1], "12");
	assert_int_equal(write(a[1], "A", 1), 1);
	pump(f);
	assert_int_equal(write(b[1], "B", 1), 1);
	pump(f);
	assert_memory_equal(f->input, "AB", 2);
	(void)close(a[1]);
	(void)close(b[1]);
}

static void test_file(void **state)
{
	struct fixture *f = *state;
	char path[] = "/tmp/test-chardev-XXXXXX", buf[16];
	int fd = mkstemp(path), fd2;

	assert_true(fd >= 0);
	fd2 = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd2 >= 0);
	assert_int_equal(unlink(path), 0);
	open_chardev(f, fd, CHARDEV_FILE);
	assert_int_equal(put(f, "one "), 4);
	pump(f);
	assert_int_equal(put(f, "two"), 3);
	f->cd = chardev_free(f->cd); /* the last words are written */
	assert_int_equal(read(fd2, buf, sizeof(buf)), 7);
	assert_memory_equal(buf, "one two", 7);
	(void)close(fd2);
}

static void test_full_disk_holds_nobody_up(void **state)
{
	struct fixture *f = *state;
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	open_chardev(f, fd, CHARDEV_FILE);
	for (unsigned i = 0; i < 3 * VMMD_SCROLLBACK_BYTES / 16; i++) {
		assert_int_equal(put(f, "0123456789abcdef"), 16);
		loop_fake_advance(f->loop, NSEC_PER_MSEC);
	}
}

static int connect_to(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)addr, sizeof(*addr)), 0);
	return fd;
}

static void test_listening(void **state)
{
	struct fixture *f = *state;
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), a, b;

	(void)snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "test-chardev-%d", getpid());
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 4), 0);
	open_chardev(f, fd, CHARDEV_LISTENING);
	assert_false(chardev_is_connected(f->cd));
	assert_int_equal(put(f, "unheard"), 7);
	pump(f);
	a = connect_to(&addr);
	b = connect_to(&addr);
	pump(f);
	assert_true(chardev_is_connected(f->cd));
	assert_int_equal(put(f, "first"), 5);
	pump(f);
	assert_got(a, "first");
	assert_got(b, "");
	f->want = 0;
	assert_int_equal(write(a, "left over", 9), 9);
	(void)close(a);
	pump(f); /* one client at a time: now the next */
	assert_int_equal(put(f, "second"), 6);
	pump(f);
	assert_got(b, "second");
	(void)close(b);
	pump(f);
	assert_false(chardev_is_connected(f->cd));
}

/* The kernel moves the bytes of ptys in a thread of its own: real time passes. */
static void pump_pty(struct fixture *f)
{
	for (unsigned i = 0; i < 4; i++) {
		(void)usleep(2000);
		pump(f);
	}
}

/* Exactly 's' arrives at 'fd' sooner or later. */
static void assert_will_get(struct fixture *f, int fd, const char *s)
{
	char buf[64];
	size_t len = 0;

	for (unsigned i = 0; i < 500 && len < strlen(s); i++) {
		ssize_t n = read(fd, buf + len, sizeof(buf) - len);

		if (n > 0)
			len += (size_t)n;
		else
			pump_pty(f);
	}
	assert_int_equal(len, strlen(s));
	assert_memory_equal(buf, s, len);
}

static void assert_will_be_connected(struct fixture *f, bool on)
{
	for (unsigned i = 0; i < 500 && chardev_is_connected(f->cd) != on; i++)
		pump_pty(f);
	assert_int_equal(chardev_is_connected(f->cd), on);
}

static void assert_will_have_input(struct fixture *f, size_t n)
{
	for (unsigned i = 0; i < 500 && f->n_input < n; i++)
		pump_pty(f);
	assert_int_equal(f->n_input, n);
}

static int open_pty(char name[64])
{
	struct termios raw;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, name, 64), 0);
	slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(slave, TCSANOW, &raw), 0);
	(void)close(slave);
	return master;
}

static void test_pty_with_nobody(void **state)
{
	struct fixture *f = *state;
	char name[64];
	int slave;

	open_chardev(f, open_pty(name), 0);
	assert_will_be_connected(f, false);
	for (unsigned i = 0; i < 4 * VMMD_SCROLLBACK_BYTES / 16; i++) {
		assert_int_equal(put(f, "0123456789abcdef"), 16);
		if (i % 64 == 0)
			pump(f);
	}
	pump_pty(f);
	loop_fake_advance(f->loop, NSEC_PER_SEC);
	pump_pty(f);
	/* Nothing to say: no timer keeps the loop awake. */
	loop_fake_advance(f->loop, NSEC_PER_SEC);
	assert_int_equal(loop_run_once(f->loop, 0), 0);

	/* Somebody comes: the next output finds out, and loses nothing on the way. */
	slave = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_true(slave >= 0);
	assert_int_equal(put(f, "hello"), 5);
	for (unsigned i = 0; i < 50; i++)
		pump(f);
	assert_will_be_connected(f, true);
	assert_will_get(f, slave, "hello");
	assert_int_equal(write(slave, "typed", 5), 5);
	assert_will_have_input(f, 5);
	assert_memory_equal(f->input, "typed", 5);
	(void)close(slave);
	assert_will_be_connected(f, false);

	/* Or types first. */
	slave = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_int_equal(write(slave, "!", 1), 1);
	assert_will_be_connected(f, true);
	(void)close(slave);
}

/* Fill until the chardev takes no more, or 'limit' bytes. */
static uint64_t fill(struct fixture *f, uint64_t limit)
{
	uint64_t taken = 0;

	while (taken < limit && put(f, "0123456789abcdef") == 16) {
		taken += 16;
		if (taken % 1024 == 0)
			pump(f);
	}
	return taken;
}

static void test_pty_that_is_held_and_never_read(void **state)
{
	struct fixture *f = *state;
	char name[64];
	int master = open_pty(name), slave = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	assert_true(slave >= 0);
	open_chardev(f, master, 0);
	assert_will_be_connected(f, true);
	assert_int_equal(write(slave, "x", 1), 1);
	assert_will_have_input(f, 1);
	assert_in_range(fill(f, 1000000), VMMD_SCROLLBACK_BYTES, 200000);
	f->n_writable = 0;
	loop_fake_advance(f->loop, 9 * NSEC_PER_SEC);
	assert_int_equal(f->n_writable, 0);
	loop_fake_advance(f->loop, 2 * NSEC_PER_SEC);
	assert_int_equal(f->n_writable, 1);
	assert_int_equal(fill(f, 1000000), 1000000);
	/* It reads again: it is served again. */
	for (unsigned i = 0; i < 500 && !chardev_is_connected(f->cd); i++) {
		(void)drain(slave);
		pump_pty(f);
	}
	for (unsigned i = 0; i < 10; i++) {
		(void)drain(slave);
		pump_pty(f);
	}
	assert_int_equal(put(f, "back"), 4);
	assert_will_get(f, slave, "back");
	(void)close(slave);
}

/* As the daemon makes them: the kernel shows the master as open. It fills, and holds nobody up all the same. */
static void test_pty_never_opened(void **state)
{
	struct fixture *f = *state;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	struct termios raw;
	uint64_t taken = 0;
	char name[64];

	assert_true(master >= 0);
	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, name, sizeof(name)), 0);
	assert_int_equal(tcgetattr(master, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(master, TCSANOW, &raw), 0);
	open_chardev(f, master, 0);
	for (unsigned i = 0; i < 4 && taken < 1000000; i++) {
		taken += fill(f, 1000000 - taken);
		loop_fake_advance(f->loop, 2 * NSEC_PER_MSEC);
	}
	assert_int_equal(taken, 1000000);
	assert_false(chardev_is_connected(f->cd));
	slave = open(name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_true(slave >= 0);
	for (unsigned i = 0; i < 500 && !chardev_is_connected(f->cd); i++) {
		assert_int_equal(tcflush(slave, TCIFLUSH), 0);
		pump_pty(f);
	}
	assert_will_be_connected(f, true);
	(void)close(slave);
}

/* A serial port has no size, and an unbound chardev no device. */
static void test_size(void **state)
{
	struct chardev_ops sized = ops;
	struct fixture *f = *state;

	open_chardev(f, -EBADF, 0);
	chardev_resize(f->cd, 132, 43);
	sized.resized = on_resized;
	chardev_bind(f->cd, &sized, f);
	assert_int_equal(f->cols, 0);
	chardev_resize(f->cd, UINT16_MAX, 43);
	assert_int_equal(f->cols, UINT16_MAX);
	assert_int_equal(f->rows, 43);
	chardev_bind(f->cd, NULL, NULL);
	chardev_resize(f->cd, 1, 1);
	assert_int_equal(f->rows, 43);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_output_is_collected, setup, teardown),
		cmocka_unit_test_setup_teardown(test_input_waits_for_device, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peer_closes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_half_close_keeps_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_that_never_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replay_then_live, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replay_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_channel_has_no_replay, setup, teardown),
		cmocka_unit_test_setup_teardown(test_force_attach, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_console_is_replaced, setup, teardown),
		cmocka_unit_test_setup_teardown(test_backend_and_console, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk_holds_nobody_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listening, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pty_with_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_pty_that_is_held_and_never_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pty_never_opened, setup, teardown),
		cmocka_unit_test_setup_teardown(test_size, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
