/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The metrics endpoint: HTTP/1.1 (libmicrohttpd), GET and HEAD of /metrics, on a unix socket and, when asked for, on a TCP
 * address of the loopback. A reader that accepts application/openmetrics-text, or does not say what it accepts, gets OpenMetrics;
 * one that wants text/plain, Prometheus' older format.
 *
 * It may be read by who may connect: members of the readers' group (role.h) on the unix socket, every local user by TCP, which is why
 * that is off by default. There is nothing to write. A text is kept for METRICS_KEEP_USEC: readers that are in a hurry get it
 * again, so that they cost nothing.
 *
 * Threads: the daemon's one; libmicrohttpd makes none. Tested by tests/unit/test-metrics-server.c.
 */
#pragma once

#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/metrics.h"
#include "vmm-core/base/cleanup.h"

#define METRICS_SOCKET          "metrics.sock" /* in the folder of what runs */
#define METRICS_MAX_CONNECTIONS 8              /* of each socket */
#define METRICS_CONNECTION_SIZE 16384          /* request and headers; more is refused */
#define METRICS_STALL_S         10             /* a reader that neither asks nor takes is dropped */
#define METRICS_KEEP_USEC       UINT64_C(1000000)

struct metrics_server;

/* What 'source' points to must outlive the server. */
int metrics_server_new(
	sd_event *event, const struct metrics_source *source, struct metrics_server **ret_server);
struct metrics_server *metrics_server_free(struct metrics_server *server);
DEFINE_CLEANUP(struct metrics_server *, metrics_server_free);

/* Serve a listening stream socket, which is taken over, also on failure. */
int metrics_server_listen(struct metrics_server *server, int fd);

/* Listen at "127.0.0.1:9177" or "[::1]:9177". Returns the fd; -EINVAL: that is no such address; -EACCES: it is not of the
 * loopback; or another errno. */
int metrics_open_tcp(const char *address);
