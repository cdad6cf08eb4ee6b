/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON-RPC for other hosts: listening TCP sockets, and what is between a connection's first byte and its first request. Each goes through
 * a handshake (rpc-io-tls.h) and is then looked up in the map (tls-roles.h); whoever has no line there is told so by a JSON-RPC error
 * with RPC_REFUSED and no id, inside of TLS, and the connection ends. The others become connections like all (rpc.h), with their role.
 *
 * Nothing that a stranger does costs more than this: RPC_TLS_HANDSHAKES at a time, each for RPC_TLS_HANDSHAKE_USEC from its first byte to its
 * role; when there are as many, the oldest makes room, so that no crowd of silent ones keeps others out. RPC_TLS_ADDRESS of them are of
 * one address, which begins RPC_TLS_ADDRESS_RATE a second; what is more is closed at once, and counts for nobody else. Connections are taken
 * at RPC_TLS_RATE a second (each is a signature, in the daemon's one thread); the rest wait in the kernel. Of the connections
 * RPC_TLS_CERTIFICATE are one certificate's, and RPC_TLS_RESERVED only administrators'. A refusal leaves a record in the journal, RPC_TLS_RECORDS at once and then RPC_TLS_RECORD_RATE a second; the next one
 * says how many were left out.
 *
 * The files are looked at with each handshake, and every RPC_TLS_LOOK_USEC while there are connections. When they have changed, or a
 * certificate or the list of what is revoked has run out, connections are judged again: who would not be let in, or as somebody else, is told
 * so and ends. Files that are wrong end nobody.
 *
 * One thread. Tested by tests/unit/test-rpc-tls.c.
 */
#pragma once

#include "daemon/rpc.h"
#include "daemon/tls-store.h"

#define RPC_TLS_HANDSHAKES     64
#define RPC_TLS_ADDRESS        16
#define RPC_TLS_HANDSHAKE_USEC (10 * UINT64_C(1000000))
#define RPC_TLS_RATE           50
#define RPC_TLS_BURST          100
#define RPC_TLS_ADDRESS_RATE   32  /* handshakes a second of one address */
#define RPC_TLS_REFUSALS       500 /* of those that are sent away at once, a second */
#define RPC_TLS_CONNECTIONS    512 /* with a role or without, of RPC_MAX_CONNECTIONS */
#define RPC_TLS_CERTIFICATE    64  /* of one name */
#define RPC_TLS_RESERVED       32  /* for administrators */
#define RPC_TLS_LOOK_USEC      (60 * UINT64_C(1000000))
#define RPC_TLS_RECORDS        20
#define RPC_TLS_RECORD_RATE    2

struct rpc_tls_options {
	const char *dir;         /* of certificates, key and map */
	uint64_t handshake_usec; /* 0: RPC_TLS_HANDSHAKE_USEC */
};

struct rpc_tls;

/* Reads nothing yet. The server must outlive it; connections that have their role are the server's. */
int rpc_tls_new(struct rpc *rpc, const struct rpc_tls_options *options, struct rpc_tls **ret_tls);
struct rpc_tls *rpc_tls_free(struct rpc_tls *tls);
DEFINE_CLEANUP(struct rpc_tls *, rpc_tls_free);

/* Read the files, to say now what is wrong with them. */
int rpc_tls_check(struct rpc_tls *tls, char why[TLS_WHY_MAX]);

/* Accept connections of a listening stream socket, which is taken over, also on failure. */
int rpc_tls_listen(struct rpc_tls *tls, int fd);
/* Begin the handshake with one that is connected, which is taken over. */
int rpc_tls_accept(struct rpc_tls *tls, int fd);

/* Listen at "ADDRESS:PORT", "[IPV6]:PORT", or either without ":PORT", for TLS_DEFAULT_PORT. Returns the fd; -EINVAL: that is
 * no such address; or another errno. */
int rpc_tls_open_socket(const char *address);
