/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The metrics endpoint: see metrics-server.h. */
#include "daemon/metrics-server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/listen-tcp.h"
#include "vmm-core/base/list.h"
#include "vmm-core/base/strutil.h"

static const char *const content_types[METRICS_FORMAT_X_MAX] = {
	[METRICS_OPENMETRICS] = "application/openmetrics-text; version=1.0.0; charset=utf-8",
	[METRICS_TEXT] = "text/plain; version=0.0.4; charset=utf-8",
};

struct metrics_server {
	sd_event *event;
	struct metrics_source source;
	struct list listeners;
	/* The last text of each format; NULL: none. */
	struct MHD_Response *kept[METRICS_FORMAT_X_MAX];
	uint64_t kept_usec[METRICS_FORMAT_X_MAX];
};

struct listener {
	struct metrics_server *server;
	struct list link;
	struct MHD_Daemon *http;
	sd_event_source *io, *timer;
};

static enum metrics_format format_for(struct MHD_Connection *connection)
{
	const char *accept =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);

	return accept && !strstr(accept, "application/openmetrics-text") &&
			strstr(accept, "text/plain")
		? METRICS_TEXT
		: METRICS_OPENMETRICS;
}

static struct MHD_Response *make_response(
	const struct metrics_server *server, enum metrics_format format)
{
	struct MHD_Response *response;
	char *text;
	size_t len;

	if (metrics_format(&server->source, format, &text, &len) < 0)
		return NULL;
	response = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(text);
		return NULL;
	}
	(void)MHD_add_response_header(
		response, MHD_HTTP_HEADER_CONTENT_TYPE, content_types[format]);
	return response;
}

static struct MHD_Response *response_of(struct metrics_server *server, enum metrics_format format)
{
	struct MHD_Response **kept = &server->kept[format];
	uint64_t now = 0;

	(void)sd_event_now(server->event, CLOCK_MONOTONIC, &now);
	if (*kept && now - server->kept_usec[format] < METRICS_KEEP_USEC)
		return *kept;
	if (*kept)
		MHD_destroy_response(*kept);
	*kept = make_response(server, format);
	server->kept_usec[format] = now;
	return *kept;
}

static enum MHD_Result refuse(
	struct MHD_Connection *connection, unsigned status, const char *text, const char *allow)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	(void)MHD_add_response_header(
		response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
	if (allow)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
	r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

/* Called for the head of a request, then for each part of a body (which nobody wants), then to answer. */
static enum MHD_Result on_request(void *opaque, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *body, size_t *body_len, void **request)
{
	struct metrics_server *server = ((struct listener *)opaque)->server;
	struct MHD_Response *response;

	(void)version;
	(void)body;
	if (!*request) {
		*request = server;
		return MHD_YES;
	}
	if (*body_len) {
		*body_len = 0;
		return MHD_YES;
	}
	if (!streq(method, MHD_HTTP_METHOD_GET) && !streq(method, MHD_HTTP_METHOD_HEAD))
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
			"Only GET and HEAD are understood.\n", "GET, HEAD");
	if (!streq(url, "/metrics"))
		return refuse(
			connection, MHD_HTTP_NOT_FOUND, "There is only /metrics here.\n", NULL);
	response = response_of(server, format_for(connection));
	return response
		? MHD_queue_response(connection, MHD_HTTP_OK, response)
		: refuse(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "Out of memory.\n", NULL);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static unsigned n_connections(struct listener *l)
{
	return MHD_get_daemon_info(l->http, MHD_DAEMON_INFO_CURRENT_CONNECTIONS)->num_connections;
}

/* Let it work, and find out when it wants to at the latest. When it is full it looks away from those who wait; that a place is
 * free again it notices at the beginning of a turn. */
static void run(struct listener *l)
{
	MHD_UNSIGNED_LONG_LONG ms;
	unsigned before;

	do {
		before = n_connections(l);
		(void)MHD_run(l->http);
	} while (n_connections(l) < before);
	l->timer = sd_event_source_disable_unref(l->timer);
	if (MHD_get_timeout(l->http, &ms) == MHD_YES)
		(void)sd_event_add_time_relative(l->server->event, &l->timer, CLOCK_MONOTONIC,
			(uint64_t)ms * 1000, 0, on_timer, l);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	run(userdata);
	return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	(void)source;
	(void)fd;
	(void)revents;
	run(userdata);
	return 0;
}

static void listener_free(struct listener *l)
{
	list_del(&l->link);
	(void)sd_event_source_disable_unref(l->io);
	(void)sd_event_source_disable_unref(l->timer);
	if (l->http)
		MHD_stop_daemon(l->http); /* closes the socket */
	free(l);
}

int metrics_server_listen(struct metrics_server *server, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));
	const union MHD_DaemonInfo *info;
	int flags = fcntl(fd, F_GETFL), r = -ENOMEM;

	if (!l || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		r = l ? -errno : -ENOMEM;
		free(l);
		(void)safe_close(fd);
		return r;
	}
	l->server = server;
	list_add_tail(&server->listeners, &l->link);
	/* Without a thread of its own: epoll's fd is watched by the event loop. */
	l->http = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, l,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, METRICS_MAX_CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, METRICS_STALL_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)METRICS_CONNECTION_SIZE, MHD_OPTION_END);
	info = l->http ? MHD_get_daemon_info(l->http, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	if (info)
		r = sd_event_add_io(server->event, &l->io, info->epoll_fd, EPOLLIN, on_io, l);
	if (r < 0)
		listener_free(l);
	return r < 0 ? r : 0;
}

int metrics_server_new(
	sd_event *event, const struct metrics_source *source, struct metrics_server **ret_server)
{
	struct metrics_server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->event = sd_event_ref(event);
	server->source = *source;
	list_init(&server->listeners);
	*ret_server = server;
	return 0;
}

struct metrics_server *metrics_server_free(struct metrics_server *server)
{
	struct list *pos, *tmp;

	if (!server)
		return NULL;
	list_for_each_safe (pos, tmp, &server->listeners)
		listener_free(list_entry(pos, struct listener, link));
	for (unsigned i = 0; i < METRICS_FORMAT_X_MAX; i++)
		if (server->kept[i])
			MHD_destroy_response(server->kept[i]);
	sd_event_unref(server->event);
	free(server);
	return NULL;
}

int metrics_open_tcp(const char *text)
{
	return listen_tcp(text, /* port= */ 0, /* loopback_only= */ true);
}
