/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Listening sockets on addresses that an option of the command line names: "192.0.2.1:9000", "[2001:db8::1]:9000". Numbers only: no
 * name is looked up.
 *
 * Tested by tests/unit/test-metrics-server.c and tests/unit/test-rpc-tls.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define LISTEN_TCP_BACKLOG 128

/* 'port' is for a text that has none; 0: it must have one. Returns a listening, non-blocking fd (O_CLOEXEC); -EINVAL for what is
 * no address; -EACCES if it is to be the loopback's and is not; or the error of the system call. */
int listen_tcp(const char *text, uint16_t port, bool loopback_only);
