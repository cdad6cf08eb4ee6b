/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard input and output, and vmmd's socket: see bridge.h. */
#include "client/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
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

/* One way through the bridge. Each is read only while its own buffer has room, and neither waits for the other: who is at one end may
 * read no more before he is rid of what he has to say. */
struct lane {
	int from, to;
	size_t begin, end; /* of what is in 'data' */
	bool at_end;       /* no more comes */
	char data[65536];
};

static bool has_room(const struct lane *l)
{
	return !l->at_end && l->end < sizeof(l->data);
}

static bool is_empty(const struct lane *l)
{
	return l->begin == l->end;
}

/* 0, or -errno. */
static int lane_read(struct lane *l)
{
	ssize_t n = read(l->from, l->data + l->end, sizeof(l->data) - l->end);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	l->end += (size_t)n;
	l->at_end = n == 0;
	return 0;
}

static int lane_write(struct lane *l)
{
	ssize_t n = write(l->to, l->data + l->begin, l->end - l->begin);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	l->begin += (size_t)n;
	if (is_empty(l))
		l->begin = l->end = 0;
	return 0;
}

/* Nobody takes what this one brings. */
static void lane_close(struct lane *l)
{
	l->begin = l->end = 0;
	l->at_end = true;
}

/* From standard input to vmmd. Its end is the end of what is asked: that is still answered. */
static int move_up(struct lane *up, short in, short out)
{
	int r = in ? lane_read(up) : 0;
	bool ended = r == 0 && up->at_end;

	if (r < 0)
		return r;
	/* When vmmd takes no more, it may have said why. */
	if (out && !is_empty(up) && lane_write(up) < 0)
		lane_close(up);
	if (ended && is_empty(up))
		(void)shutdown(up->to, SHUT_WR);
	return 0;
}

static int move_down(struct lane *down, short in, short out)
{
	int r = in ? lane_read(down) : 0;

	if (r == 0 && out && !is_empty(down))
		r = lane_write(down);
	return r;
}

/* Until vmmd has closed, and all of it is written: 0, or -errno. */
static int move_all(struct lane *up, struct lane *down)
{
	while (!down->at_end || !is_empty(down)) {
		short in = has_room(down) ? POLLIN : 0, out = is_empty(up) ? 0 : POLLOUT;
		struct pollfd p[] = {
			{.fd = has_room(up) ? up->from : -1, .events = POLLIN},
			{.fd = in || out ? up->to : -1, .events = (short)(in | out)},
			{.fd = is_empty(down) ? -1 : down->to, .events = POLLOUT},
		};
		int r = 0;

		if (poll(p, ARRAY_SIZE(p), -1) < 0) {
			if (errno != EINTR)
				return -errno;
			continue;
		}
		r = move_down(down, in ? p[1].revents : 0, p[2].revents);
		if (r == 0)
			r = move_up(up, p[0].revents, out ? p[1].revents : 0);
		if (r < 0)
			return r;
	}
	return 0;
}

int bridge_run(const char *path)
{
	static struct lane up, down;
	_cleanup_(closep) int fd = path ? connect_to(path) : connect_default();
	int in_flags = fcntl(STDIN_FILENO, F_GETFL), out_flags = fcntl(STDOUT_FILENO, F_GETFL), r;

	if (fd < 0) {
		(void)fprintf(stderr, "error: cannot connect to vmmd at %s: %s\n",
			path ? path : VMMD_RPC_SOCKET, strerror(-fd));
		return EXIT_FAILURE;
	}
	(void)signal(SIGPIPE, SIG_IGN);
	(void)fd_set_nonblock(fd, true);
	(void)fd_set_nonblock(STDIN_FILENO, true);
	(void)fd_set_nonblock(STDOUT_FILENO, true);
	up = (struct lane){.from = STDIN_FILENO, .to = fd};
	down = (struct lane){.from = fd, .to = STDOUT_FILENO};
	r = move_all(&up, &down);
	/* They may be others', too. */
	(void)fcntl(STDIN_FILENO, F_SETFL, in_flags);
	(void)fcntl(STDOUT_FILENO, F_SETFL, out_flags);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
