/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Requests to rtnetlink(7) and what it answers. The kernel deals with a request within send(2) and has its answer ready:
 * nothing here blocks.
 *
 * Each call uses a socket of its own. Threads: any.
 */
#pragma once

#include <linux/netlink.h>
#include <stdint.h>

#include "vmm-core/base/macro.h"

#define NETLINK_REQUEST_MAX 1024
#define NETLINK_ANSWER_MAX  32768 /* one interface, all that there is to say; or a piece of a list */

struct netlink_request {
	union {
		struct nlmsghdr header;
		uint8_t bytes[NETLINK_REQUEST_MAX];
	};
};

/* 'body' is the message's own struct (ifinfomsg, tcmsg, …). NLM_F_REQUEST is there; add NLM_F_ACK for netlink_ask(). */
void netlink_begin(struct netlink_request *q, unsigned type, unsigned flags, const void *body,
	size_t body_size);
/* Attributes. Their sum must fit: NETLINK_REQUEST_MAX. */
struct nlattr *netlink_put(struct netlink_request *q, unsigned type, const void *data, size_t len);
void netlink_put_string(struct netlink_request *q, unsigned type, const char *s);
void netlink_put_u32(struct netlink_request *q, unsigned type, uint32_t value);
struct nlattr *netlink_nest(struct netlink_request *q, unsigned type);
void netlink_end_nest(struct netlink_request *q, struct nlattr *nested);

/* Send it; 'answer' (NETLINK_ANSWER_MAX bytes) holds what came. Returns its length, 0 for a bare acknowledgement, or the
 * kernel's -errno. */
int netlink_talk(const struct netlink_request *q, struct nlmsghdr *answer);
/* One that is answered by an acknowledgement: 0 or the kernel's -errno. */
int netlink_ask(const struct netlink_request *q);
/* One that is answered by a list (begun with NLM_F_DUMP): 'each' gets every message, with at least 'body_size' bytes of its
 * own struct, until it answers other than 0. Returns that, 0 at the list's end, or -errno. */
int netlink_list(const struct netlink_request *q, size_t body_size,
	int (*each)(void *arg, const struct nlmsghdr *message), void *arg);

/* A message's own struct. */
static inline const void *netlink_body(const struct nlmsghdr *message)
{
	return (const uint8_t *)message + NLMSG_HDRLEN;
}

/* The first attribute of this type within [p, p + len), or within another; NULL: none. */
const struct nlattr *netlink_find(const void *p, size_t len, unsigned type);
const struct nlattr *netlink_find_nested(const struct nlattr *in, unsigned type);
/* Of a message whose own struct has 'body_size' bytes. */
const struct nlattr *netlink_find_in(
	const struct nlmsghdr *message, size_t body_size, unsigned type);
/* The value, if there is one of that size or more; else 'to' stays as it is. 'a' may be NULL. */
void netlink_copy(void *to, size_t size, const struct nlattr *a);
