/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The worker's side of proto.h: a table from message to handler, one pending answer per request, and the
 * reconnection of a restarted daemon.
 *
 * A message that is malformed (length, version, too many fds) is answered with an error where it has a number, and
 * otherwise ignored: the daemon is the worker's master, and a lost master is replaced, not obeyed blindly. When the
 * socket's buffer is full, answers wait for room, and so does what is told of a state, the last of each (control-tell.h);
 * events are lost. Those that a guest can cause at will are so few a second that a daemon which reads at all has room.
 *
 * Threads: loop thread.
 *
 * Tested by tests/guest/test-control.c, tests/unit/test-control-late.c.
 */
#pragma once

#include "vmm-core/vm.h"

struct control;

/* Takes PROTO_CONTROL_FD and PROTO_LISTEN_FD (where they are sockets) into service and sends HELLO. */
int control_new(struct loop *loop, struct control **ret_control);
struct control *control_free(struct control *control);
DEFINE_CLEANUP(struct control *, control_free);
