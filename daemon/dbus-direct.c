/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* D-Bus without a bus between: see dbus-direct.h. */
#include "daemon/dbus-direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/dbus.h"
#include "daemon/rpc-io.h"
#include "vmm-core/base/log.h"

#define ACCEPTS_AT_ONCE 8

struct connection {
	struct list link;
	struct dbus_direct *direct;
	sd_bus *bus;
	struct dbus *dbus;
};

struct dbus_direct {
	struct manager *manager;
	int fd;
	int reserve_fd; /* given up to send a caller away when there is no other fd left */
	sd_event_source *source, *post;
	gid_t gids[API_ROLE_X_MAX];
	struct list connections;
	unsigned n;
};

static struct connection *connection_free(struct connection *c)
{
	if (!c)
		return NULL;
	(void)dbus_free(c->dbus);
	(void)sd_bus_close_unref(c->bus);
	list_del(&c->link);
	c->direct->n--;
	free(c);
	return NULL;
}

/* Behind all else of a turn, when no callback of a connection's runs: those that have ended go, and those that read nothing. */
static int on_post(sd_event_source *source, void *userdata)
{
	struct dbus_direct *direct = userdata;
	struct list *pos, *tmp;

	(void)source;
	list_for_each_safe (pos, tmp, &direct->connections) {
		struct connection *c = list_entry(pos, struct connection, link);
		uint64_t n = 0;

		if (sd_bus_is_open(c->bus) <= 0) {
			(void)connection_free(c);
		} else if (sd_bus_get_n_queued_write(c->bus, &n) >= 0 && n > DBUS_DIRECT_QUEUE) {
			log_warning("D-Bus: a connection is closed that takes nothing");
			(void)connection_free(c);
		}
	}
	return 0;
}

static int serve(struct connection *c, int fd, const struct api_peer *peer)
{
	sd_id128_t id;
	int r = sd_id128_randomize(&id);

	if (r >= 0)
		r = sd_bus_new(&c->bus);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	r = sd_bus_set_fd(c->bus, fd, fd);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	r = sd_bus_set_server(c->bus, true, id);
	if (r >= 0)
		r = sd_bus_negotiate_fds(c->bus, true);
	if (r >= 0)
		r = sd_bus_start(c->bus);
	if (r >= 0)
		r = dbus_new_direct(c->direct->manager, c->bus, peer, &c->dbus);
	return r < 0
		? r
		: sd_bus_attach_event(c->bus, c->direct->manager->event, SD_EVENT_PRIORITY_NORMAL);
}

int dbus_direct_accept(struct dbus_direct *direct, int fd, const struct api_peer *peer)
{
	struct connection *c;
	int r;

	if (peer->role < API_ROLE_ADMINISTRATOR || direct->n >= DBUS_DIRECT_MAX) {
		(void)close(fd);
		return direct->n >= DBUS_DIRECT_MAX ? -EBUSY : -EACCES;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		(void)close(fd);
		return -ENOMEM;
	}
	c->direct = direct;
	list_add_tail(&direct->connections, &c->link);
	direct->n++;
	r = serve(c, fd, peer);
	if (r < 0)
		(void)connection_free(c);
	return r < 0 ? r : 0;
}

static int open_reserve(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No fd is left: who waited would be told of in each turn of the loop. He takes the bus. */
static void send_away(struct dbus_direct *direct, int listener)
{
	direct->reserve_fd = safe_close(direct->reserve_fd);
	(void)safe_close(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
	direct->reserve_fd = open_reserve();
}

static int on_connection(sd_event_source *source, int listener, uint32_t revents, void *userdata)
{
	struct dbus_direct *direct = userdata;

	(void)source;
	(void)revents;
	for (unsigned i = 0; i < ACCEPTS_AT_ONCE; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		struct api_peer peer;
		int r;

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			send_away(direct, listener);
			continue;
		}
		if (fd < 0)
			break;
		rpc_io_unix_peer(fd, geteuid(), direct->gids, &peer);
		r = dbus_direct_accept(direct, fd, &peer);
		if (r < 0)
			(void)log_debug_errno(r, "D-Bus: a caller is sent away: %m");
	}
	return 0;
}

int dbus_direct_new(
	struct manager *manager, int listen_fd, gid_t admin_gid, struct dbus_direct **ret_direct)
{
	struct dbus_direct *direct = calloc(1, sizeof(*direct));
	int r;

	if (!direct) {
		(void)close(listen_fd);
		return -ENOMEM;
	}
	direct->manager = manager;
	direct->fd = listen_fd;
	direct->reserve_fd = open_reserve();
	direct->gids[API_ROLE_ADMINISTRATOR] = admin_gid;
	list_init(&direct->connections);
	r = sd_event_add_io(
		manager->event, &direct->source, listen_fd, EPOLLIN, on_connection, direct);
	if (r >= 0)
		r = sd_event_add_post(manager->event, &direct->post, on_post, direct);
	if (r < 0) {
		(void)dbus_direct_free(direct);
		return r;
	}
	*ret_direct = direct;
	return 0;
}

struct dbus_direct *dbus_direct_free(struct dbus_direct *direct)
{
	if (!direct)
		return NULL;
	while (!list_empty(&direct->connections))
		(void)connection_free(
			list_entry(direct->connections.next, struct connection, link));
	(void)sd_event_source_disable_unref(direct->source);
	(void)sd_event_source_disable_unref(direct->post);
	(void)close(direct->fd);
	(void)safe_close(direct->reserve_fd);
	free(direct);
	return NULL;
}

unsigned dbus_direct_n_connections(const struct dbus_direct *direct)
{
	return direct->n;
}
