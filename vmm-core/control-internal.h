/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the parts of the conversation with the daemon (control.h):
 *
 *	control.c		the connection, and the table of requests
 *	control-start.c		START
 *	control-vm.c		requests about a vm
 *	control-memory.c	about its memory devices
 *	control-net.c		about its vNICs and their links, and about a network's ports and uplinks
 *	control-events.c	what is told without being asked
 *	control-tell.c		until it is heard
 *
 * A request is checked by proto_check() before its handler sees it: its length, its number of fds, what its numbers may be.
 *
 * Threads: loop thread, but for the sandboxes that control-events.c closes, which are each thread's own.
 */
#pragma once

#include "vmm-core/control-tell.h"
#include "vmm-core/network.h"
#include "vmm-core/proto.h"
#include "vmm-core/sandbox.h"
#include "vmm-core/vm.h"

/* Requests that wait for a change of state; the daemon has a few at most. */
#define CONTROL_MAX_PENDING 16
/* Answers for which there was no room: more than the daemon waits for (daemon/worker.h). */
#define CONTROL_MAX_LATE 64

struct control {
	struct loop *loop;
	struct loop_source *source, *listen_source;
	bool connected;
	/* One of the two, from START on. */
	struct vm *vm;
	struct network *network;
	uint8_t uuid[16];
	struct vm_owner owner;
	struct network_owner network_owner;
	enum sandbox_mode sandbox_mode;
	struct tell tell;
	uint32_t balloon_pages; /* that are given up now */
	struct {
		uint32_t seq;
		int32_t error;
		struct proto_reason reason;
	} late[CONTROL_MAX_LATE]; /* the oldest first */
	unsigned n_late;
	struct {
		uint32_t seq;
		enum vm_aim aim; /* VM_AIM_NONE: free */
	} pending[CONTROL_MAX_PENDING];
	uint32_t iothread_seqs
		[CONTROL_MAX_PENDING]; /* likewise, for an iothread to be named; 0: free */
};

/* A request, checked by proto_check(). A handler that takes fds over sets n_fds to 0, or an fd to -EBADF; the others are
 * closed. */
struct message {
	struct proto_header header;
	uint8_t payload[PROTO_MAX_PAYLOAD];
	int fds[PROTO_MAX_FDS];
	unsigned n_fds;
};

/* Sending. 0, -ENOTCONN or -EAGAIN: no room now, and nothing has happened. */
int control_try(struct control *control, enum proto_type type, uint32_t seq, int error,
	const void *payload, size_t len);
/* After -EAGAIN: answers that wait, and what is to be told, are sent when there is room. */
void control_await_room(struct control *control);
/* What comes with a new connection, or with START: a daemon that has no room for it is given up. */
void control_send(struct control *control, enum proto_type type, uint32_t seq, int error,
	const void *payload, size_t len);
/* With an error goes 'text', or what strerror() says of it. Waits for room. */
void control_reply(struct control *control, uint32_t seq, int error, const char *text);
/* PROTO_HELLO or PROTO_STATE; as control_try(). */
int control_send_state(struct control *control, enum proto_type type);

/* A request that 'aim' will answer (vm_owner.settled). -EBUSY: too many wait. */
int control_add_pending(struct control *control, uint32_t seq, enum vm_aim aim);
/* What a handler returns whose work ended with 'r' (>= 0, or -errno) and, where there is more to say than the number, a
 * reason. */
int control_answer(struct control *control, const struct message *m, int r, const char *reason);

/* Makes control->owner and network_owner: events become messages from then on. */
void control_own(struct control *control);
/* What a (new) daemon is told, too. Without a vm nothing is. */
void control_tell_cpuid(struct control *control);

/* Handlers. 0: answered, or answered later, or no answer is due; 1: to be answered with success; -errno: with failure, for
 * example -ENODEV when there is no such device, or nothing started. */
typedef int control_handler(struct control *control, struct message *m);
control_handler control_handle_start, control_handle_start_network;
control_handler control_handle_pause, control_handle_resume, control_handle_reset,
	control_handle_quit;
control_handler control_handle_power_button, control_handle_nmi;
control_handler control_handle_vcpus, control_handle_iothread;
control_handler control_handle_console, control_handle_console_resize;
control_handler control_handle_balloon_set, control_handle_balloon_stats, control_handle_mmu_stats;
control_handler control_handle_memory;
control_handler control_handle_nic, control_handle_links, control_handle_network,
	control_handle_capture;
