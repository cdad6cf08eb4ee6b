/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard input and output, and vmmd's socket: see bridge.h. */
#include "client/bridge.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/macro.h"
#include "vmm-core/base/names.h"

/* What is at the other side of standard input and output gets no descriptors: the daemon sees it by the socket's name. One that has none
 * works as before. */
static void name_bridge(int fd)
{
	struct sockaddr_un own = {.sun_family = AF_UNIX};
	int n = snprintf(
		own.sun_path + 1, sizeof(own.sun_path) - 1, VMMD_BRIDGE_NAME "%d", (int)getpid());

	(void)bind(fd, (struct sockaddr *)&own,
		(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n));
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
		(int)sizeof(address.sun_path))
		return -ENAMETOOLONG;
	name_bridge(fd);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* The first that can be connected to. */
static int connect_default(void)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	char session[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd = connect_to(VMMD_RPC_SOCKET);

	if (fd >= 0 || geteuid() == 0 || !runtime ||
		snprintf(session, sizeof(session), "%s/vmmd/rpc.sock", runtime) >=
			(int)sizeof(session))
		return fd;
	return connect_to(session);
}

/* What is there, from one to the other: bytes, 0 at the end, or -errno. */
static ssize_t move(int from, int to)
{
	char data[65536];
	ssize_t n = read(from, data, sizeof(data));
	int r;

	if (n <= 0)
		return n < 0 ? -errno : 0;
	r = write_full(to, data, (size_t)n);
	return r < 0 ? r : n;
}

int bridge_run(const char *path)
{
	_cleanup_(closep) int fd = path ? connect_to(path) : connect_default();
	struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
	ssize_t n;

	if (fd < 0) {
		(void)fprintf(stderr, "error: cannot connect to vmmd at %s: %s\n",
			path ? path : VMMD_RPC_SOCKET, strerror(-fd));
		return EXIT_FAILURE;
	}
	for (;;) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0 && errno != EINTR)
			return EXIT_FAILURE;
		if (p[1].revents) {
			n = move(fd, STDOUT_FILENO);
			if (n <= 0 && n != -EINTR)
				return n < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
		}
		if (!p[0].revents)
			continue;
		n = move(STDIN_FILENO, fd);
		if (n < 0 && n != -EINTR)
			return EXIT_FAILURE;
		/* What was asked is still answered. */
		if (n == 0) {
			(void)shutdown(fd, SHUT_WR);
			p[0].fd = -1;
			p[0].revents = 0;
		}
	}
}
