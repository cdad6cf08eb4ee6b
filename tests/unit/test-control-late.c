/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shipped worker, and a daemon that asks much and reads late: each answer comes, in order, and the connection stays. Needs no KVM: nothing
 * is started. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <linux/sockios.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/proto.h"

#define N_PINGS 60

struct packet {
	struct proto_header header;
	uint8_t payload[PROTO_MAX_PAYLOAD];
};

static pid_t worker;
static int fd;

/* Its buffer has room for a few answers. */
static int setup(void **state)
{
	const struct timeval wait = {.tv_sec = 30};
	int pair[2], size = 1;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	assert_int_equal(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)), 0);
	worker = fork();
	if (worker == 0) {
		(void)dup2(pair[1], PROTO_CONTROL_FD);
		(void)close(PROTO_LISTEN_FD);
		(void)execl(VMMD_WORKER, "vmmd-worker", "test", NULL);
		_exit(127);
	}
	assert_true(worker > 0);
	close(pair[1]);
	fd = pair[0];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)kill(worker, SIGKILL);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
	close(fd);
	return 0;
}

static void ping(uint32_t seq)
{
	const struct proto_header header = {
		.version = PROTO_VERSION, .type = PROTO_PING, .seq = seq};

	assert_int_equal(send_packet(fd, &header, sizeof(header), NULL, 0), 0);
}

static void hear(struct packet *ret)
{
	unsigned n_fds = 0;
	ssize_t n = recv_packet(fd, ret, sizeof(*ret), NULL, 0, &n_fds);

	if (n < (ssize_t)sizeof(ret->header))
		fail_msg("the worker is gone: %d", (int)n);
}

/* It has read all that it was sent. */
static bool has_read_all(void)
{
	int left = 1;

	for (unsigned i = 0; i < 3000 && left; i++) {
		assert_int_equal(ioctl(fd, SIOCOUTQ, &left), 0);
		if (left)
			(void)poll(NULL, 0, 10);
	}
	return !left;
}

static void test_answers_wait(void **state)
{
	struct packet p;

	(void)state;
	hear(&p);
	assert_int_equal(p.header.type, PROTO_HELLO);
	/* And once more: what waited is gone. */
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 1; i <= N_PINGS; i++)
			ping(i);
		assert_true(has_read_all());
		for (unsigned i = 1; i <= N_PINGS; i++) {
			hear(&p);
			assert_int_equal(p.header.type, PROTO_REPLY);
			assert_int_equal(p.header.seq, i);
			assert_int_equal(p.header.error, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_answers_wait, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
