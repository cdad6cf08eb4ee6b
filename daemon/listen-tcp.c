/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Listening sockets: see listen-tcp.h. */
#include "daemon/listen-tcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

struct address {
	struct sockaddr_storage storage;
	socklen_t len;
	bool loopback;
};

static int parse(const char *text, uint16_t default_port, struct address *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ret->storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->storage;
	const char *close = strrchr(text, ']'), *colon = strrchr(close ? close : text, ':');
	size_t n = colon ? (size_t)(colon - text) : strlen(text);
	char host[INET6_ADDRSTRLEN + 2];
	uint64_t port = default_port;

	*ret = (struct address){0};
	if (!n || n >= sizeof(host) || (colon && parse_u64(colon + 1, 65535, &port) < 0) || !port)
		return -EINVAL;
	memcpy(host, text, n);
	host[n] = 0;
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		ret->len = sizeof(*in);
		ret->loopback = ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
		return 0;
	}
	if (host[0] != '[' || host[n - 1] != ']')
		return -EINVAL;
	host[n - 1] = 0;
	if (inet_pton(AF_INET6, host + 1, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons((uint16_t)port);
	ret->len = sizeof(*in6);
	ret->loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	return 0;
}

int listen_tcp(const char *text, uint16_t port, bool loopback_only)
{
	struct address address;
	int r = parse(text, port, &address);
	_cleanup_(closep) int fd = -EBADF;

	if (r < 0)
		return r;
	if (loopback_only && !address.loopback)
		return -EACCES;
	fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
		bind(fd, (struct sockaddr *)&address.storage, address.len) < 0 ||
		listen(fd, LISTEN_TCP_BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}
