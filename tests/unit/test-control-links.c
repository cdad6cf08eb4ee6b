/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Direct links that a daemon asks for and does not read: no more than the socket takes are told, all others are refused, and the
 * connection stays: its end would be the machine's. The connection and this one handler are real, the vm has nothing but a vNIC.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/control.h"
#include "vmm-core/control-internal.h"

#define N_ASKED 30

struct packet {
	struct proto_header header;
	uint8_t payload[PROTO_MAX_PAYLOAD];
};

/* What else the two files would reach. */
#define HANDLER(name)                                                                              \
	int name(struct control *control, struct message *m)                                       \
	{                                                                                          \
		(void)control;                                                                     \
		(void)m;                                                                           \
		return -ENOSYS;                                                                    \
	}
HANDLER(control_handle_start)
HANDLER(control_handle_start_network)
HANDLER(control_handle_pause)
HANDLER(control_handle_resume)
HANDLER(control_handle_reset)
HANDLER(control_handle_quit)
HANDLER(control_handle_power_button)
HANDLER(control_handle_nmi)
HANDLER(control_handle_vcpus)
HANDLER(control_handle_iothread)
HANDLER(control_handle_console)
HANDLER(control_handle_console_resize)
HANDLER(control_handle_balloon_set)
HANDLER(control_handle_balloon_stats)
HANDLER(control_handle_mmu_stats)
HANDLER(control_handle_memory)

static int tell_nothing(void *opaque, unsigned what)
{
	(void)opaque;
	(void)what;
	return 0;
}

void control_own(struct control *control)
{
	tell_init(&control->tell, control->loop, tell_nothing, control);
}

void control_tell_cpuid(struct control *control)
{
	(void)control;
}

uint32_t vm_nics(const struct vm *vm)
{
	(void)vm;
	return 1;
}

bool vm_is_pausing(const struct vm *vm)
{
	(void)vm;
	return false;
}

struct vm *vm_free(struct vm *vm)
{
	assert_null(vm);
	return NULL;
}

int vm_nic_add(
	struct vm *vm, unsigned number, const struct vm_nic *nic, int tap_fd, char *ret_reason)
{
	(void)vm;
	(void)number;
	(void)nic;
	(void)tap_fd;
	(void)ret_reason;
	return -ENOSYS;
}

int vm_nic_remove(struct vm *vm, unsigned number, char *ret_reason)
{
	(void)vm;
	(void)number;
	(void)ret_reason;
	return -ENOSYS;
}

/* The vm. */

static void links(struct device *dev, struct proto_links *ret)
{
	(void)dev;
	ret->n = 1;
}

static const struct machine_nic_ops nic_ops = {.links = links};
static struct device nic;
static struct vm vm;

static struct loop *loop;
static struct control *control;
static int fd;

/* Its buffer has room for two or three of them. */
static int setup(void **state)
{
	int pair[2], size = 1;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	/* Neither of them in the way of the places where they belong. */
	fd = fcntl(pair[0], F_DUPFD_CLOEXEC, 16);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	assert_int_equal(dup2(pair[1], PROTO_CONTROL_FD), PROTO_CONTROL_FD);
	for (unsigned i = 0; i < 2; i++)
		if (pair[i] != PROTO_CONTROL_FD)
			close(pair[i]);
	close(PROTO_LISTEN_FD);
	assert_int_equal(fd_set_nonblock(fd, true), 0);
	assert_int_equal(loop_new(&loop), 0);
	assert_int_equal(control_new(loop, &control), 0);
	vm.state = PROTO_VM_RUNNING;
	vm.machine.nics[0] = &nic;
	vm.machine.nic_ops = &nic_ops;
	control->vm = &vm;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	control->vm = NULL;
	control_free(control);
	loop_free(loop);
	close(PROTO_CONTROL_FD);
	close(fd);
	return 0;
}

static ssize_t hear(struct packet *ret)
{
	unsigned n_fds = 0;

	return recv_packet(fd, ret, sizeof(*ret), NULL, 0, &n_fds);
}

static void test_full(void **state)
{
	struct {
		struct proto_header header;
		struct proto_nic_id id;
	} ask = {{.version = PROTO_VERSION, .type = PROTO_LINK_LIST, .len = sizeof(ask.id)},
		{.nic = 0}};
	unsigned n_answers = 0, n_links = 0, n_done = 0;
	struct packet p;

	(void)state;
	for (uint32_t i = 1; i <= N_ASKED; i++) {
		ask.header.seq = i;
		assert_int_equal(send_packet(fd, &ask, sizeof(ask), NULL, 0), 0);
		while (loop_run_once(loop, 0) > 0)
			;
		assert_true(control->connected);
	}
	while (n_answers < N_ASKED) {
		ssize_t n = hear(&p);

		if (n == -EAGAIN) {
			assert_true(loop_run_once(loop, 0) > 0);
			continue;
		}
		assert_true(n >= (ssize_t)sizeof(p.header));
		n_links += p.header.type == PROTO_LINKS;
		if (p.header.type != PROTO_REPLY)
			continue;
		assert_int_equal(p.header.seq, ++n_answers);
		assert_true(!p.header.error || p.header.error == -EAGAIN);
		n_done += !p.header.error;
		/* Who is told that it is done was told of the links before. */
		assert_int_equal(n_links, n_done);
	}
	assert_true(n_done && n_done < N_ASKED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_full, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
