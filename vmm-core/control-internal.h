/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between control.c (the conversation), control-net.c (requests about vNICs and networks) and control-memory.c (memory devices). */
#pragma once

#include "vmm-core/network.h"
#include "vmm-core/proto.h"
#include "vmm-core/vm.h"

/* A request, checked by proto_check(). A handler that takes fds over sets n_fds to 0; the others are closed. */
struct message {
	struct proto_header header;
	uint8_t payload[PROTO_MAX_PAYLOAD];
	int fds[PROTO_MAX_FDS];
	unsigned n_fds;
};

/* 0, or -errno: -ENODEV when there is no such vNIC. 'ret_reason' (of PROTO_REASON_MAX bytes) is written where there is more
 * to say than the number. */
int control_vm_nic(struct vm *vm, struct message *m, char *ret_reason);
/* The same for memory devices. */
int control_vm_memory(struct vm *vm, const struct message *m, char *ret_reason);
/* LINK_LIST: 0, with what is to be told before the answer, or -ENODEV. */
int control_vm_links(const struct vm *vm, const struct message *m, struct proto_links *ret);
/* control_vm_nic() for a network's ports and uplinks. */
int control_network(struct network *network, struct message *m);
