/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * TLS 1.3 with certificates on both sides, as the bytes of a JSON-RPC connection (rpc-io.h). No older version, no resumption (tickets, early
 * data), no authentication after the handshake: a connection's caller is known before its first byte is read, and never changes. When
 * the files do, it is looked at again, and ends if it would not be let in as the same.
 *
 * A session begins with its handshake: rpc_io_tls_handshake() whenever the fd is ready for ops->events(), until it is done. Time and
 * number of handshakes are the caller's business (rpc-tls.h). The end of the peer's bytes is his close_notify; a connection
 * that is cut without one is an error, so that nothing that was cut off is taken for whole.
 *
 * One thread. Tested by tests/unit/test-rpc-io-tls.c, fuzzed by tests/fuzz/fuzz-tls.c.
 */
#pragma once

#include "daemon/rpc-io.h"
#include "daemon/tls-store.h"

#define RPC_TLS_HANDSHAKE_BYTES                                                                    \
	(64U * 1024) /* of one message of the handshake: a chain of certificates */

/* A connected stream socket, which is taken over, also on failure. 'creds' are referenced. */
int rpc_io_new_tls(int fd, struct tls_creds *creds, struct rpc_io **ret_io);

/* 0: done, and the peer's certificate is good; -EAGAIN; -ENODATA: it went before it said anything; -EACCES: the certificate is missing or
 * not good; -EPROTO. '*ret_why' says so for people; the peer has been told by an alert. */
int rpc_io_tls_handshake(struct rpc_io *io, const char **ret_why);

/* tls_creds_peer() of a session whose handshake is done, or has failed by its certificate: then only 'peer->certificate' counts. */
int rpc_io_tls_peer(struct rpc_io *io, struct api_peer *peer, char why[TLS_WHY_MAX]);

/* Of a session that has been let in. Is there a reason to look again: other credentials, or a certificate or list that is out of date? */
bool rpc_io_tls_is_due(struct rpc_io *io, const struct tls_creds *creds);
/* Would it be let in by what 'creds' say, as the one that it is? 0, and from now on it goes by these; or -EACCES with 'why'. */
int rpc_io_tls_review(struct rpc_io *io, struct tls_creds *creds, const struct api_peer *peer,
	char why[TLS_WHY_MAX]);

/* We have said all; the peer may have more to say. */
void rpc_io_tls_bye(struct rpc_io *io);
