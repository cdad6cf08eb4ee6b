/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Unix sockets that carry JSON-RPC: see rpc-io.h. */
#include "daemon/rpc-io.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmm-core/base/names.h"

#define MAX_GROUPS 65536 /* NGROUPS_MAX of Linux */

static ssize_t unix_read(struct rpc_io *io, void *buf, size_t size)
{
	/* No room for fds: the kernel closes what a client passes. */
	ssize_t n = recv(io->fd, buf, size, 0);

	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	return n;
}

static ssize_t unix_write(struct rpc_io *io, const void *buf, size_t len, int pass_fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	union {
		const void *in;
		void *out;
	} data = {.in = buf};
	struct iovec iov = {.iov_base = data.out, .iov_len = len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (pass_fd >= 0) {
		m.msg_control = &control;
		m.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &pass_fd, sizeof(int));
	}
	n = sendmsg(io->fd, &m, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	return n;
}

static uint32_t unix_events(struct rpc_io *io, bool reading, bool writing)
{
	(void)io;
	return (reading ? EPOLLIN : 0U) | (writing ? EPOLLOUT : 0U);
}

static bool unix_pending(struct rpc_io *io)
{
	(void)io;
	return false;
}

static void unix_free(struct rpc_io *io)
{
	(void)safe_close(io->fd);
	free(io);
}

static const struct rpc_io_ops unix_ops = {
	.read = unix_read,
	.write = unix_write,
	.events = unix_events,
	.pending = unix_pending,
	.free = unix_free,
	.passes_fds = true,
};

static const struct rpc_io_ops bridge_ops = {
	.read = unix_read,
	.write = unix_write,
	.events = unix_events,
	.pending = unix_pending,
	.free = unix_free,
};

static bool is_bridge(int fd)
{
	struct sockaddr_un peer = {0};
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && peer.sun_path[0] == 0 &&
		strncmp(peer.sun_path + 1, VMMD_BRIDGE_NAME, strlen(VMMD_BRIDGE_NAME)) == 0;
}

struct rpc_io *rpc_io_new_unix(int fd)
{
	struct rpc_io *io = malloc(sizeof(*io));

	if (!io) {
		(void)safe_close(fd);
		return NULL;
	}
	*io = (struct rpc_io){is_bridge(fd) ? &bridge_ops : &unix_ops, fd};
	return io;
}

/* The greatest role that membership in 'gid' gives. */
static enum api_role role_of_gid(gid_t gid, const gid_t gids[API_ROLE_X_MAX])
{
	enum api_role role = API_ROLE_X_MAX - 1;

	while (role > API_ROLE_NONE && !(gids[role] && gids[role] == gid))
		role--;
	return role;
}

static enum api_role role_of_groups(int fd, gid_t primary, const gid_t gids[API_ROLE_X_MAX])
{
	_cleanup_(freep) gid_t *groups = NULL;
	enum api_role role = role_of_gid(primary, gids);
	socklen_t len = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || errno != ERANGE ||
		len > MAX_GROUPS * sizeof(gid_t))
		return role;
	groups = malloc(len);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return role;
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		role = MAX(role, role_of_gid(groups[i], gids));
	return role;
}

void rpc_io_unix_peer(int fd, uid_t own_uid, const gid_t gids[API_ROLE_X_MAX], struct api_peer *ret)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	*ret = (struct api_peer){.role = API_ROLE_NONE, .transport = "unix"};
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return;
	ret->user.uid_known = true;
	ret->user.uid = cred.uid;
	(void)snprintf(ret->address, sizeof(ret->address), "pid %d", (int)cred.pid);
	ret->role = cred.uid == 0 || cred.uid == own_uid ? API_ROLE_ADMINISTRATOR
							 : role_of_groups(fd, cred.gid, gids);
}
