/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The JSON-RPC server: listening sockets, who is let in, and events for all. See rpc.h. */
#include "daemon/rpc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/rpc-internal.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define BACKLOG        128
#define ACCEPTS        16 /* at once */
#define WARN_EACH_USEC UINT64_C(1000000)

struct listener {
	struct rpc *rpc;
	struct list link;
	int fd;
	sd_event_source *source;
};

struct rpc_count *rpc_count_ref(struct rpc_count *count)
{
	count->n_ref++;
	return count;
}

void rpc_count_unref(struct rpc_count *count)
{
	if (count && --count->n_ref == 0)
		free(count);
}

static void on_event(struct event_sink *sink, const struct event *event)
{
	struct rpc *rpc = container_of(sink, struct rpc, sink);
	struct list *pos;

	(void)rpc_log_add(rpc->log, event);
	list_for_each (pos, &rpc->connections)
		rpc_feed(list_entry(pos, struct rpc_conn, link));
}

static int on_clock(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	(void)userdata;
	return 0;
}

static int open_clock(struct rpc *rpc)
{
	int r = sd_event_add_time(rpc->event, &rpc->clock, CLOCK_MONOTONIC, 0, 0, on_clock, rpc);

	return r < 0 ? r : sd_event_source_set_enabled(rpc->clock, SD_EVENT_OFF);
}

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* A line for who is sent away. The socket is fresh: there is room for it. */
static void refuse(struct rpc *rpc, int fd, const char *why)
{
	char text[256];
	uint64_t now = 0;
	int n = snprintf(text, sizeof(text),
		"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32050,\"message\":\"%s\"}}"
		"\n",
		why);

	(void)send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)close(fd);
	(void)sd_event_now(rpc->event, CLOCK_MONOTONIC, &now);
	if (now - rpc->warned_usec >= WARN_EACH_USEC) {
		rpc->warned_usec = now;
		log_warning("JSON-RPC: a caller is sent away: %s", why);
	}
}

static bool same_caller(const struct api_peer *a, const struct api_peer *b)
{
	return a->user.uid == b->user.uid && streq(a->certificate, b->certificate);
}

/* Callers without a role share a part of the connections, and no one of them has all of that. */
bool rpc_has_room(const struct rpc *rpc, const struct api_peer *peer)
{
	struct list *pos;
	unsigned n = 0;

	if (rpc->n_connections >= rpc->options.max_connections)
		return false;
	if (peer->role > API_ROLE_NONE)
		return true;
	list_for_each (pos, &rpc->connections) {
		const struct rpc_conn *conn = list_entry(pos, struct rpc_conn, link);

		n += conn->plain && same_caller(&conn->peer, peer);
	}
	return rpc->n_plain < RPC_PLAIN_CONNECTIONS && n < RPC_PLAIN_UID_CONNECTIONS;
}

int rpc_accept(struct rpc *rpc, int fd)
{
	struct api_peer peer;
	struct rpc_io *io;

	rpc_io_unix_peer(fd, rpc->auth.own_uid, rpc->options.gids, &peer);
	if (!rpc_has_room(rpc, &peer)) {
		refuse(rpc, fd, "vmmd has as many connections as it takes");
		return -EBUSY;
	}
	io = rpc_io_new_unix(fd);
	return io ? rpc_conn_new(rpc, io, &peer) : -ENOMEM;
}

/* No fd is left: the one in reserve lets us say so to those who wait. */
static void accept_without_fds(struct rpc *rpc, int listener)
{
	int fd;

	rpc->reserve_fd = safe_close(rpc->reserve_fd);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		refuse(rpc, fd, "vmmd has no file descriptor left");
	rpc->reserve_fd = open_reserve();
}

static int on_connection(sd_event_source *source, int listener, uint32_t revents, void *userdata)
{
	struct listener *l = userdata;

	(void)source;
	(void)revents;
	for (unsigned i = 0; i < ACCEPTS; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			(void)rpc_accept(l->rpc, fd);
		else if (errno == EMFILE || errno == ENFILE)
			accept_without_fds(l->rpc, listener);
		else if (errno != ECONNABORTED && errno != EINTR)
			break;
	}
	return 0;
}

static struct listener *listener_free(struct listener *l)
{
	list_del(&l->link);
	sd_event_source_disable_unref(l->source);
	(void)safe_close(l->fd);
	free(l);
	return NULL;
}

int rpc_listen(struct rpc *rpc, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));
	int flags = fcntl(fd, F_GETFL), r;

	if (!l || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		r = l ? -errno : -ENOMEM;
		free(l);
		(void)safe_close(fd);
		return r;
	}
	l->rpc = rpc;
	l->fd = fd;
	list_add_tail(&rpc->listeners, &l->link);
	r = sd_event_add_io(rpc->event, &l->source, fd, EPOLLIN, on_connection, l);
	if (r < 0)
		(void)listener_free(l);
	return r < 0 ? r : 0;
}

/* Somebody listens at the address: 0; nobody does any more: -ECONNREFUSED; nothing is there: -ENOENT. */
static int try_connect(const struct sockaddr_un *address)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
		return 0;
	return -errno;
}

int rpc_open_socket(const char *path, mode_t mode, gid_t gid)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	mode_t mask;
	gid_t own;
	int r;

	if (fd < 0)
		return -errno;
	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
		(int)sizeof(address.sun_path))
		return -ENAMETOOLONG;
	r = try_connect(&address);
	if (r == 0)
		return -EADDRINUSE;
	if (r == -ECONNREFUSED && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && unlink(path) < 0)
		return -errno;
	/* Nobody connects before it has its group and mode. It is made with its group: to give it away later takes CAP_CHOWN, which the
	 * service has not. */
	own = gid ? (gid_t)setfsgid(gid) : 0;
	mask = umask(0177);
	r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (gid)
		(void)setfsgid(own);
	if (r < 0)
		return r;
	if ((gid && chown(path, (uid_t)-1, gid) < 0) || chmod(path, mode) < 0 ||
		listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int rpc_new(struct manager *manager, const struct rpc_options *options, struct rpc **ret_rpc)
{
	_cleanup_(rpc_freep) struct rpc *rpc = calloc(1, sizeof(*rpc));
	int r;

	if (!rpc)
		return -ENOMEM;
	rpc->manager = manager;
	rpc->event = manager->event;
	rpc->options = *options;
	if (!rpc->options.stall_usec)
		rpc->options.stall_usec = RPC_STALL_USEC;
	if (!rpc->options.max_connections)
		rpc->options.max_connections = RPC_MAX_CONNECTIONS;
	rpc->auth = (struct auth){.own_uid = geteuid()};
	rpc->reserve_fd = open_reserve();
	list_init(&rpc->listeners);
	list_init(&rpc->connections);
	list_init(&rpc->sink.link);
	rpc->count = calloc(1, sizeof(*rpc->count));
	if (!rpc->count)
		return -ENOMEM;
	rpc->count->n_ref = 1;
	r = rpc_log_new(&rpc->log);
	if (r >= 0)
		r = open_clock(rpc);
	if (r < 0)
		return r;
	rpc->log->last = manager->sequence;
	rpc->log->first = manager->sequence + 1;
	rpc->sink.event = on_event;
	list_add_tail(&manager->sinks, &rpc->sink.link);
	*ret_rpc = TAKE_PTR(rpc);
	return 0;
}

unsigned rpc_n_connections(const struct rpc *rpc)
{
	return rpc->n_connections;
}

unsigned rpc_n_subscriptions(const struct rpc *rpc)
{
	struct list *pos;
	unsigned n = 0;

	list_for_each (pos, &rpc->connections)
		n += list_entry(pos, struct rpc_conn, link)->n_subscriptions;
	return n;
}

struct rpc *rpc_free(struct rpc *rpc)
{
	struct list *pos, *tmp;

	if (!rpc)
		return NULL;
	list_del(&rpc->sink.link);
	list_for_each_safe (pos, tmp, &rpc->listeners)
		(void)listener_free(list_entry(pos, struct listener, link));
	list_for_each_safe (pos, tmp, &rpc->connections)
		(void)rpc_conn_free(list_entry(pos, struct rpc_conn, link));
	sd_event_source_disable_unref(rpc->clock);
	(void)rpc_log_free(rpc->log);
	rpc_count_unref(rpc->count);
	(void)safe_close(rpc->reserve_fd);
	free(rpc);
	return NULL;
}
