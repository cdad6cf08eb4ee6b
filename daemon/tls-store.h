/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What TLS is done with: a folder that holds
 *
 *	ca.pem		whose certificates are believed; more than one is allowed
 *	server.pem	the daemon's certificate, and those between it and its CA
 *	server-key.pem	its key, not encrypted; nobody but its owner may read it
 *	crl.pem		what the CAs have revoked; may be missing. One that is out of date lets nobody in
 *	roles		who may do what (tls-roles.h)
 *
 * Whoever can write these files is as good as root: the folder and the files must belong to root or to the daemon's user, and be
 * writable by nobody else. The files are read when they are wanted and have changed since: a reload needs no signal. If they are wrong
 * then, nobody is let in until they are right; connections that are there go on with what they have. An error that says nothing about the
 * files (no file descriptor, no memory) is one of this reading only: the next one tries again.
 *
 * Credentials are counted: sessions use them as long as they live. One thread, the daemon's.
 *
 * Tested by tests/unit/test-tls-store.c.
 */
#pragma once

#include <gnutls/gnutls.h>

#include "daemon/api.h"
#include "daemon/tls-roles.h"

#define TLS_FILE_MAX     (512U * 1024)
#define TLS_CRL_MAX      (4U * 1024 * 1024)
#define TLS_NAMES_MAX    64 /* of one certificate that are looked at; one with more is refused */
#define TLS_VERIFY_DEPTH 5
#define TLS_VERIFY_BITS  8200
#define TLS_DEFAULT_PORT 16515
#define TLS_FILE_CA      "ca.pem"
#define TLS_FILE_CERT    "server.pem"
#define TLS_FILE_KEY     "server-key.pem"
#define TLS_FILE_CRL     "crl.pem"
#define TLS_FILE_ROLES   "roles"

struct tls_creds {
	unsigned n_ref;
	gnutls_certificate_credentials_t cred;
	struct tls_roles *roles;
	int64_t expires_s;   /* of the daemon's certificate, in seconds since 1970 */
	int64_t crl_until_s; /* when the list of what is revoked must have been replaced; 0: never */
};

struct tls_creds *tls_creds_ref(struct tls_creds *creds);
struct tls_creds *tls_creds_unref(struct tls_creds *creds);
DEFINE_CLEANUP(struct tls_creds *, tls_creds_unref);

/* Read the folder. -EINVAL or another errno with 'why', which names the file. */
int tls_creds_load(const char *dir, struct tls_creds **ret_creds, char why[TLS_WHY_MAX]);

/* Is the chain that the peer of 'session' has shown good, for a client? Returns GnuTLS' status, 0: it is. */
unsigned tls_creds_verify(const struct tls_creds *creds, gnutls_session_t session);
/* The same for a session that was let in by others. */
unsigned tls_creds_verify_again(const struct tls_creds *creds, gnutls_session_t session);
/* A CA of ours has signed the certificate, whatever else is wrong with it: its names are somebody's. */
bool tls_status_vouches(unsigned status);
/* What is wrong, for people; and the alert that says so. */
const char *tls_status_text(unsigned status, gnutls_alert_description_t *ret_alert);

/* Who the holder of the certificate is, by the map: his role, user and certificate's name into 'peer'. -EACCES with 'why': the map does
 * not have it; it is not clear what the map says; or the certificate cannot be read. 'peer->certificate' is set whenever there is a name. */
int tls_creds_peer(const struct tls_creds *creds, gnutls_session_t session, struct api_peer *peer,
	char why[TLS_WHY_MAX]);

struct tls_store;

int tls_store_new(const char *dir, struct tls_store **ret_store);
struct tls_store *tls_store_free(struct tls_store *store);
DEFINE_CLEANUP(struct tls_store *, tls_store_free);

/* What is in the folder now (the caller's reference): 1: it has been read anew; 0: it is as it was; or a negative errno with 'why',
 * -ESTALE when it is as wrong as it was the last time. */
int tls_store_get(struct tls_store *store, struct tls_creds **ret_creds, char why[TLS_WHY_MAX]);
