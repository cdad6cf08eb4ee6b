/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between remote.c, watch.c and the two ways to vmmd: D-Bus (remote-bus.c) and JSON-RPC (remote-rpc.c). A way is a table of
 * functions; what it needs of its own is its member of struct ctl.
 *
 * All functions set ctl's error when they fail.
 */
#pragma once

#include "client/ctl.h"

/* One event, as both ways tell it: of a domain (reason) or of a network (fields: an object of texts, borrowed). */
struct watch_event;

struct remote_ops {
	int (*connect)(struct ctl *ctl, const char *uri);
	/* 'args' is an array of one value for each of 'types' (s u t b as). '*ret_reply' (the caller puts it; the pointer may be NULL)
	 * is an array of the results; beside a descriptor it has the job's number, if that came; '*ret_fd' (the pointer may be NULL) the descriptor that came,
	 * or -EBADF. */
	int (*call)(struct ctl *ctl, const char *method, uint64_t timeout_usec, const char *types,
		struct json_object *args, struct json_object **ret_reply, int *ret_fd);
	/* A call that nobody waits for; failures are nobody's business. */
	void (*post)(
		struct ctl *ctl, const char *method, const char *types, struct json_object *args);
	void (*disconnect)(struct ctl *ctl);
};

extern const struct remote_ops remote_bus_ops, remote_rpc_ops;

/* The addresses of each. */
bool remote_bus_knows(const char *uri);
bool remote_rpc_knows(const char *uri);

/* What moves the bytes of the descriptor that the last call answered: NULL where the kernel does. */
struct pump *remote_rpc_pump(const struct ctl *ctl);
/* When the clock of what comes by it began, in ns since 1970; 0: it is this host's. */
uint64_t remote_rpc_epoch_ns(const struct ctl *ctl);
/* Nobody uses that descriptor any more. 0, or -errno with ctl's error set: its stream had not ended as it should. */
int remote_rpc_end_stream(struct ctl *ctl);

/* JSON-RPC's events. Ask for them; what has come is kept until it is taken. */
int remote_rpc_subscribe(struct ctl *ctl);
/* What to wait for when nothing is kept. */
int remote_rpc_fd(const struct ctl *ctl);
/* The next event or gap (the notification's object, the caller puts it), without waiting: 1, 0 (none), or -errno: the connection
 * is lost. */
int remote_rpc_take_event(struct ctl *ctl, struct json_object **ret_message);
