/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the worker believes of a packet from the daemon (proto.h), before a handler sees it: the table of requests with
 * their lengths and fds, and where each fd of START belongs. No system calls, no state: control.c and control-start.c ask, and so do the
 * unit test and the fuzzer.
 *
 * The daemon is the worker's master, but it may be of another version, and what can be checked is checked.
 *
 * Pure. Threads: any.
 */
#pragma once

#include "vmm-core/network.h"
#include "vmm-core/proto.h"
#include "vmm-core/vm.h"

/* Check a packet of 'len' bytes, header first, that came with 'n_fds' fds. Returns
 *   0         a request: header.type is one, its payload has the type's length and the fds are as many as it takes;
 *   -EBADMSG  no message of this protocol: nothing in it can be answered;
 *   -ENOSYS   no request that this worker knows;
 *   -EINVAL   a request with a payload of another length, or another number of fds. */
int proto_check(const struct proto_header *header, size_t len, unsigned n_fds);

/* Check START's fds and flags, and put fds[1] … fds[n_fds - 1] into their places in 'places' (all of which are empty,
 * that is negative, before). fds[0], the configuration, stays in fds[]; each fd that was placed is -EBADF there
 * afterwards, so that with success or without each is in exactly one of the two.
 * Returns 0, or -EINVAL with a line in ret_reason[PROTO_REASON_MAX]: another number of fds than START says, the first
 * is not the configuration, an unknown kind, an index or flag out of range, a place taken twice. */
int proto_place_fds(const struct proto_start *start, int *fds, unsigned n_fds,
	struct vm_fds *places, char *ret_reason);
/* The same for START_NETWORK. */
int proto_place_network_fds(const struct proto_start *start, int *fds, unsigned n_fds,
	struct network_fds *places, char *ret_reason);
