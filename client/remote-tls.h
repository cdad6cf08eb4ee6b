/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of remote-rpc.c by TLS 1.3, to "tls://HOST[:PORT][/][?tls_dir=DIR]". HOST is a name, an IPv4 address, or an IPv6 address in [], and must
 * be in vmmd's certificate. DIR holds ca.pem, client.pem and client-key.pem, which nobody but its owner may read. Without it:
 * $VMMD_TLS_DIR, $XDG_CONFIG_HOME/vmmd/tls (~/.config/vmmd/tls) if there is a client.pem, or /etc/vmmd/tls.
 *
 * Whether vmmd takes our certificate is known only when it has answered something: in TLS 1.3 the client is done first.
 *
 * Tested by tests/unit/test-remote-tls.c.
 */
#pragma once

#include "client/ctl.h"

#define REMOTE_TLS_PREFIX     "tls://"
#define REMOTE_TLS_PORT       "16515"
#define REMOTE_TLS_CONNECT_MS 10000 /* for each address of the host */

/* How long a handshake may take; tests make it less. */
extern uint64_t remote_tls_handshake_usec;

struct remote_tls;

/* Connect, shake hands, and check whose certificate vmmd has. '*ret_fd' is what to wait for; the session closes it. Sets ctl's error. */
int remote_tls_connect(struct ctl *ctl, const char *uri, struct remote_tls **ret_tls, int *ret_fd);
struct remote_tls *remote_tls_free(struct remote_tls *tls);

/* Without waiting: bytes that have gone, -EAGAIN (the next call has to begin with the same bytes), or another errno. */
ssize_t remote_tls_send(struct remote_tls *tls, const void *data, size_t len);
/* What is there, without waiting: bytes, 0 at the end, -EAGAIN, or another errno. */
ssize_t remote_tls_recv(struct remote_tls *tls, void *data, size_t size);

/* Why the connection ended, as far as vmmd has said so. */
const char *remote_tls_why(const struct remote_tls *tls);
