/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The worker's conversation with the daemon: see control.h and proto.h. What is asked is in control-*.c. */
#include "vmm-core/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/control-internal.h"
#include "vmm-core/proto-check.h"

/* Sending. */

static void disconnect(struct control *control)
{
	control->source = loop_source_remove(control->source);
	if (control->connected)
		(void)shutdown(PROTO_CONTROL_FD, SHUT_RDWR);
	control->connected = false;
	control->n_late = 0;
	/* Without a vm or a network there is nothing to live for. */
	if (!control->vm && !control->network)
		loop_exit(control->loop, EXIT_FAILURE);
}

int control_try(struct control *control, enum proto_type type, uint32_t seq, int error,
	const void *payload, size_t len)
{
	struct {
		struct proto_header header;
		uint8_t payload[PROTO_MAX_PAYLOAD];
	} packet = {
		.header = {.version = PROTO_VERSION,
			.type = type,
			.seq = seq,
			.len = (uint32_t)len,
			.error = error},
	};
	int r;

	if (!control->connected)
		return -ENOTCONN;
	if (len)
		memcpy(packet.payload, payload, len);
	r = send_packet(PROTO_CONTROL_FD, &packet, sizeof(packet.header) + len, NULL, 0);
	if (r >= 0 || r == -EAGAIN)
		return r;
	disconnect(control);
	return -ENOTCONN;
}

void control_send(struct control *control, enum proto_type type, uint32_t seq, int error,
	const void *payload, size_t len)
{
	if (control_try(control, type, seq, error, payload, len) == -EAGAIN)
		disconnect(control);
}

static int send_reply(
	struct control *control, uint32_t seq, int error, const struct proto_reason *reason)
{
	return control_try(control, PROTO_REPLY, seq, error, reason, error ? sizeof(*reason) : 0);
}

/* The daemon waits for it, and would take the end of the connection for the vm's. */
static void keep_reply(
	struct control *control, uint32_t seq, int error, const struct proto_reason *reason)
{
	if (control->n_late == CONTROL_MAX_LATE) {
		disconnect(control);
		return;
	}
	control->late[control->n_late].seq = seq;
	control->late[control->n_late].error = error;
	control->late[control->n_late++].reason = *reason;
	control_await_room(control);
}

void control_reply(struct control *control, uint32_t seq, int error, const char *text)
{
	struct proto_reason reason = {0};

	error = MIN(error, 0);
	if (error < 0)
		(void)snprintf(
			reason.text, sizeof(reason.text), "%s", text ? text : strerror(-error));
	if (control->n_late || send_reply(control, seq, error, &reason) == -EAGAIN)
		keep_reply(control, seq, error, &reason);
}

void control_await_room(struct control *control)
{
	(void)loop_source_set_events(control->source, EPOLLIN | EPOLLOUT);
}

/* There is room: for answers that wait, then for what is to be told. */
static void go_on(struct control *control)
{
	unsigned n = 0;

	(void)loop_source_set_events(control->source, EPOLLIN);
	while (n < control->n_late &&
		send_reply(control, control->late[n].seq, control->late[n].error,
			&control->late[n].reason) == 0)
		n++;
	if (!control->connected)
		return;
	control->n_late -= n;
	memmove(control->late, control->late + n, control->n_late * sizeof(control->late[0]));
	if (control->n_late)
		control_await_room(control);
	else
		tell_again(&control->tell);
}

int control_send_state(struct control *control, enum proto_type type)
{
	struct proto_state state = {.state = PROTO_VM_NEW, .pid = (uint32_t)getpid()};

	if (control->vm) {
		state.state = control->vm->state;
		state.reason = control->vm->reason;
		state.code = state.state == PROTO_VM_RUNNING ? vm_is_pausing(control->vm)
							     : control->vm->code;
		state.nics = vm_nics(control->vm);
		memcpy(state.text, control->vm->text, sizeof(state.text));
	} else if (control->network) {
		state.state = PROTO_VM_RUNNING;
	}
	memcpy(state.uuid, control->uuid, sizeof(state.uuid));
	return control_try(control, type, 0, 0, &state, sizeof(state));
}

/* Requests. */

int control_add_pending(struct control *control, uint32_t seq, enum vm_aim aim)
{
	for (unsigned i = 0; i < CONTROL_MAX_PENDING; i++) {
		if (control->pending[i].aim != VM_AIM_NONE)
			continue;
		control->pending[i].seq = seq;
		control->pending[i].aim = aim;
		return 0;
	}
	return -EBUSY;
}

int control_answer(struct control *control, const struct message *m, int r, const char *reason)
{
	if (r >= 0 || !*reason)
		return r < 0 ? r : 1;
	control_reply(control, m->header.seq, r, reason);
	return 0;
}

static int handle_ping(struct control *control, struct message *m)
{
	(void)control;
	(void)m;
	return 1;
}

/* Requests, as proto-check.c knows them. */
static control_handler *const handlers[PROTO_TYPE_X_MAX] = {
	[PROTO_START] = control_handle_start,
	[PROTO_PAUSE] = control_handle_pause,
	[PROTO_RESUME] = control_handle_resume,
	[PROTO_RESET] = control_handle_reset,
	[PROTO_POWER_BUTTON] = control_handle_power_button,
	[PROTO_QUIT] = control_handle_quit,
	[PROTO_CONSOLE_ATTACH] = control_handle_console,
	[PROTO_INJECT_NMI] = control_handle_nmi,
	[PROTO_NIC_SET] = control_handle_nic,
	[PROTO_NIC_ANNOUNCE] = control_handle_nic,
	[PROTO_LINK_ADD] = control_handle_nic,
	[PROTO_LINK_USE] = control_handle_nic,
	[PROTO_LINK_REMOVE] = control_handle_nic,
	[PROTO_LINK_LIST] = control_handle_links,
	[PROTO_START_NETWORK] = control_handle_start_network,
	[PROTO_PORT_ADD] = control_handle_network,
	[PROTO_PORT_SET] = control_handle_network,
	[PROTO_PORT_REMOVE] = control_handle_network,
	[PROTO_UPLINK_ADD] = control_handle_network,
	[PROTO_UPLINK_REMOVE] = control_handle_network,
	[PROTO_CAPTURE] = control_handle_capture,
	[PROTO_TEAM_LOOK] = control_handle_network,
	[PROTO_TEAM_TEST] = control_handle_network,
	[PROTO_CONSOLE_RESIZE] = control_handle_console_resize,
	[PROTO_VCPU_SET] = control_handle_vcpus,
	[PROTO_NIC_ADD] = control_handle_nic,
	[PROTO_NIC_REMOVE] = control_handle_nic,
	[PROTO_BALLOON_SET] = control_handle_balloon_set,
	[PROTO_BALLOON_STATS] = control_handle_balloon_stats,
	[PROTO_PING] = handle_ping,
	[PROTO_MMU_STATS] = control_handle_mmu_stats,
	[PROTO_IOTHREAD] = control_handle_iothread,
	[PROTO_MEMORY_SET] = control_handle_memory,
	[PROTO_MEMORY_ADD] = control_handle_memory,
	[PROTO_MEMORY_REMOVE] = control_handle_memory,
};

static void handle(struct control *control, struct message *m, size_t len)
{
	int r = proto_check(&m->header, len, m->n_fds);

	if (r == -EBADMSG)
		return;
	if (r == 0) {
		assert(handlers[m->header.type]);
		r = handlers[m->header.type](control, m);
	}
	if (r != 0)
		control_reply(control, m->header.seq, MIN(r, 0), NULL);
}

static void on_control(void *opaque, uint32_t events)
{
	struct control *control = opaque;
	struct message m;
	ssize_t n;

	if (events & EPOLLOUT) {
		go_on(control);
		return;
	}
	m.n_fds = 0;
	n = recv_packet(PROTO_CONTROL_FD, &m.header, sizeof(m.header) + sizeof(m.payload), m.fds,
		PROTO_MAX_FDS, &m.n_fds);
	if (n == -EAGAIN || n == -EMSGSIZE)
		return;
	if (n > 0)
		handle(control, &m, (size_t)n);
	else
		disconnect(control);
	for (unsigned i = 0; i < m.n_fds; i++)
		(void)safe_close(m.fds[i]);
}

static int connect_control(struct control *control)
{
	int r;

	r = loop_add_fd(
		control->loop, PROTO_CONTROL_FD, EPOLLIN, on_control, control, &control->source);
	if (r < 0)
		return r;
	control->connected = true;
	if (control_send_state(control, PROTO_HELLO) == -EAGAIN)
		disconnect(control);
	tell_forget(&control->tell, UINT32_C(1) << TELL_STATE);
	tell_changed(&control->tell, TELL_VCPUS);
	if (control->vm && control->vm->mem.plug)
		tell_changed(&control->tell, TELL_MEMORIES);
	control_tell_cpuid(control);
	if (control->network)
		network_connected(control->network);
	if (control->vm && control->vm->state == PROTO_VM_STOPPED && control->connected)
		loop_exit(control->loop, EXIT_SUCCESS);
	return 0;
}

/* A (new) daemon is there: it takes the place of the old one, whose answers nobody waits for any more. */
static void on_listen(void *opaque, uint32_t events)
{
	struct control *control = opaque;
	_cleanup_(closep) int fd = -EBADF;

	(void)events;
	fd = accept4(PROTO_LISTEN_FD, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		/* Not a listening socket, or one that broke: looking at it again would only burn a processor. */
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			control->listen_source = loop_source_remove(control->listen_source);
		return;
	}
	disconnect(control);
	memset(control->pending, 0, sizeof(control->pending));
	memset(control->iothread_seqs, 0, sizeof(control->iothread_seqs));
	if (dup3(fd, PROTO_CONTROL_FD, O_CLOEXEC) < 0)
		return;
	(void)connect_control(control);
}

static bool is_socket(int fd)
{
	struct stat st;

	return fstat(fd, &st) >= 0 && S_ISSOCK(st.st_mode);
}

int control_new(struct loop *loop, struct control **ret_control)
{
	_cleanup_(control_freep) struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return -ENOMEM;
	control->loop = loop;
	control_own(control);
	r = fd_set_nonblock(PROTO_CONTROL_FD, true);
	if (r < 0)
		return r;
	if (is_socket(PROTO_LISTEN_FD)) {
		r = fd_set_nonblock(PROTO_LISTEN_FD, true);
		if (r < 0)
			return r;
		r = loop_add_fd(loop, PROTO_LISTEN_FD, EPOLLIN, on_listen, control,
			&control->listen_source);
		if (r < 0)
			return r;
	}
	r = connect_control(control);
	if (r < 0)
		return r;
	*ret_control = TAKE_PTR(control);
	return 0;
}

struct control *control_free(struct control *control)
{
	if (!control)
		return NULL;
	(void)vm_free(control->vm);
	(void)network_free(control->network);
	tell_done(&control->tell);
	control->source = loop_source_remove(control->source);
	control->listen_source = loop_source_remove(control->listen_source);
	free(control);
	return NULL;
}
