/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last RPC_LOG_EVENTS events of this daemon, as JSON, for all subscriptions together. A subscription is a place in this log: a
 * reader that is slow, or was away, goes on from where it was, and is told which numbers are gone when the log has
 * moved past it. So a subscription costs no queue of its own.
 *
 * Numbers (the manager's) go up by one for each event, within one run of the daemon: 'instance' tells runs apart.
 *
 * Tested by tests/unit/test-rpc-log.c.
 */
#pragma once

#include "config/vm-config.h"
#include "daemon/event.h"
#include "daemon/owner.h"
#include "vmm-core/base/macro.h"

#define RPC_LOG_EVENTS 4096

struct rpc_logged {
	uint64_t sequence;
	enum event_kind kind;
	bool of_network;
	struct domain_owner owner; /* the domain's, when it happened */
	uint8_t uuid[16];
	char name[VM_NAME_MAX];
	char *text; /* the members of an object, without the brace before them: "sequence":1,…} */
};

struct rpc_log {
	char instance[37];
	uint64_t first, last; /* numbers that have been added; 0: none yet */
	struct rpc_logged ring[RPC_LOG_EVENTS];
};

/* Which events: a set of kinds (bit: enum event_kind; 0: all), and of one thing's (name or UUID; "": all). 'own_only': of 'user's
 * domains, and none of networks. */
struct rpc_filter {
	unsigned kinds;
	bool own_only;
	struct user user;
	char domain[VM_NAME_MAX], network[VM_NAME_MAX];
};

int rpc_log_new(struct rpc_log **ret_log);
struct rpc_log *rpc_log_free(struct rpc_log *log);
/* 0 or -ENOMEM: the event is a gap then. */
int rpc_log_add(struct rpc_log *log, const struct event *event);

/* The first event after 'after' that 'filter' lets through: 1 with 'ret' (good until the next rpc_log_add()); 0: there is none,
 * and 'ret_next' is the number to go on from; -ENODATA: what came after 'after' is gone, up to and with 'ret_next'. */
int rpc_log_next(const struct rpc_log *log, uint64_t after, const struct rpc_filter *filter,
	const struct rpc_logged **ret, uint64_t *ret_next);
