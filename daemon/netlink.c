/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* rtnetlink: see netlink.h. Tested by tests/unit/test-host-link.c and tests/unit/test-host-exclusive.c. */
#include "daemon/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm-core/base/cleanup.h"

void netlink_begin(struct netlink_request *q, unsigned type, unsigned flags, const void *body,
	size_t body_size)
{
	*q = (struct netlink_request){.header = {
					      .nlmsg_len = (uint32_t)NLMSG_LENGTH(body_size),
					      .nlmsg_type = (uint16_t)type,
					      .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
					      .nlmsg_seq = 1,
				      }};
	assert(NLMSG_SPACE(body_size) <= sizeof(q->bytes));
	memcpy(q->bytes + NLMSG_HDRLEN, body, body_size);
}

struct nlattr *netlink_put(struct netlink_request *q, unsigned type, const void *data, size_t len)
{
	size_t at = NLMSG_ALIGN(q->header.nlmsg_len), size = NLA_HDRLEN + NLA_ALIGN(len);
	struct nlattr *attribute = (void *)(q->bytes + at);

	assert(at + size <= sizeof(q->bytes));
	*attribute = (struct nlattr){
		.nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = (uint16_t)type};
	if (len)
		memcpy(q->bytes + at + NLA_HDRLEN, data, len);
	q->header.nlmsg_len = (uint32_t)(at + size);
	return attribute;
}

void netlink_put_string(struct netlink_request *q, unsigned type, const char *s)
{
	(void)netlink_put(q, type, s, strlen(s) + 1);
}

void netlink_put_u32(struct netlink_request *q, unsigned type, uint32_t value)
{
	(void)netlink_put(q, type, &value, sizeof(value));
}

struct nlattr *netlink_nest(struct netlink_request *q, unsigned type)
{
	return netlink_put(q, type | NLA_F_NESTED, NULL, 0);
}

void netlink_end_nest(struct netlink_request *q, struct nlattr *nested)
{
	nested->nla_len =
		(uint16_t)(q->bytes + NLMSG_ALIGN(q->header.nlmsg_len) - (uint8_t *)nested);
}

static int open_and_send(const struct netlink_request *q, int *ret_fd)
{
	_cleanup_(closep) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || send(fd, q, q->header.nlmsg_len, 0) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* 0: an acknowledgement. */
static int error_of(const struct nlmsghdr *m)
{
	const struct nlmsgerr *e = netlink_body(m);

	return m->nlmsg_len < NLMSG_LENGTH(sizeof(*e)) ? -EBADMSG : e->error;
}

int netlink_talk(const struct netlink_request *q, struct nlmsghdr *answer)
{
	_cleanup_(closep) int fd = -EBADF;
	int r = open_and_send(q, &fd);
	ssize_t n;

	if (r < 0)
		return r;
	/* The kernel has dealt with it: the answer is there. */
	n = recv(fd, answer, NETLINK_ANSWER_MAX, MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(*answer) || answer->nlmsg_len > (size_t)n)
		return -EBADMSG;
	return answer->nlmsg_type == NLMSG_ERROR ? error_of(answer) : (int)n;
}

int netlink_ask(const struct netlink_request *q)
{
	_cleanup_(freep) struct nlmsghdr *answer = malloc(NETLINK_ANSWER_MAX);
	int r = answer ? netlink_talk(q, answer) : -ENOMEM;

	return r > 0 ? -EBADMSG : r;
}

/* Of one piece of a list. '*ret_end': it was the last. */
static int walk(struct nlmsghdr *m, size_t n, size_t body_size,
	int (*each)(void *arg, const struct nlmsghdr *message), void *arg, bool *ret_end)
{
	int r = 0;

	for (unsigned left = (unsigned)n; r == 0 && NLMSG_OK(m, left); m = NLMSG_NEXT(m, left)) {
		*ret_end = m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR;
		if (*ret_end)
			return m->nlmsg_type == NLMSG_ERROR ? error_of(m) : 0;
		if (m->nlmsg_len >= NLMSG_SPACE(body_size))
			r = each(arg, m);
	}
	return r;
}

int netlink_list(const struct netlink_request *q, size_t body_size,
	int (*each)(void *arg, const struct nlmsghdr *message), void *arg)
{
	_cleanup_(freep) struct nlmsghdr *answer = malloc(NETLINK_ANSWER_MAX);
	_cleanup_(closep) int fd = -EBADF;
	bool end = false;
	int r;

	if (!answer)
		return -ENOMEM;
	r = open_and_send(q, &fd);
	while (r == 0 && !end) {
		/* The next piece is made while this one is fetched. */
		ssize_t n = recv(fd, answer, NETLINK_ANSWER_MAX, MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0)
			return -errno;
		if (n == 0 || n > NETLINK_ANSWER_MAX)
			return -EBADMSG;
		r = walk(answer, (size_t)n, body_size, each, arg, &end);
	}
	return r;
}

const struct nlattr *netlink_find(const void *p, size_t len, unsigned type)
{
	while (len >= NLA_HDRLEN) {
		const struct nlattr *a = p;
		size_t size;

		if (a->nla_len < NLA_HDRLEN || a->nla_len > len)
			return NULL;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		size = (size_t)NLA_ALIGN(a->nla_len);
		if (size >= len)
			return NULL;
		p = (const uint8_t *)p + size;
		len -= size;
	}
	return NULL;
}

const struct nlattr *netlink_find_nested(const struct nlattr *in, unsigned type)
{
	return in ? netlink_find((const uint8_t *)in + NLA_HDRLEN, (size_t)in->nla_len - NLA_HDRLEN,
			    type)
		  : NULL;
}

const struct nlattr *netlink_find_in(
	const struct nlmsghdr *message, size_t body_size, unsigned type)
{
	size_t front = NLMSG_SPACE(body_size);

	return message->nlmsg_len < front
		? NULL
		: netlink_find((const uint8_t *)message + front, message->nlmsg_len - front, type);
}

void netlink_copy(void *to, size_t size, const struct nlattr *a)
{
	if (a && a->nla_len >= NLA_HDRLEN + size)
		memcpy(to, (const uint8_t *)a + NLA_HDRLEN, size);
}
