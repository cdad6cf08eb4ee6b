/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzer of TLS sessions: what a hostile peer sends, in pieces whose size the second byte says. The first byte says where it
 * begins:
 *
 *	0	at the beginning: the bytes are the peer's whole side of the connection
 *	1	behind a handshake, on the wire: records that are forged, or cut
 *	2	behind a handshake, as what a good peer has encrypted: comes out as it went in
 *
 * The session never waits, never says that a stranger is somebody, and ends.
 */
#include "../unit/tls-fixture.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "daemon/rpc-io-tls.h"
#include "tests/fuzz/fuzz-input.h"

#define MAX_STEPS 4096

static struct pki pki;
static struct pki_pair holder;
static struct tls_creds *creds;
static char top[64];

static void remove_files(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", top);
	(void)!system(command);
	creds = tls_creds_unref(creds);
	pki_pair_done(&holder);
	pki_done(&pki);
}

static void make_files(void)
{
	char dir[96], why[TLS_WHY_MAX];

	strcpy(top, "/tmp/fuzz-tls-XXXXXX");
	expect(mkdtemp(top));
	snprintf(dir, sizeof(dir), "%s/tls", top);
	pki_open(&pki, dir);
	pki_write_text(&pki, "roles", 0600, "cn:a = reader\n");
	holder = pki_make(&pki, &(struct pki_plan){.cn = "a"});
	expect(tls_creds_load(pki.dir, &creds, why) == 0);
	expect(atexit(remove_files) == 0);
}

/* The server's half: handshake, then bytes, as often as something has come. */
static int step(struct rpc_io *io, bool *shaken, char *buf, size_t size)
{
	struct api_peer peer;
	char why[TLS_WHY_MAX];
	const char *text = NULL;
	int r;

	if (!*shaken) {
		r = rpc_io_tls_handshake(io, &text);
		if (r < 0) {
			expect(r == -EAGAIN || text);
			return r;
		}
		*shaken = true;
		expect(rpc_io_tls_peer(io, &peer, why) == 0 && peer.role == API_ROLE_READER);
	}
	return (int)io->ops->read(io, buf, size);
}

static gnutls_session_t open_client(int fd, gnutls_certificate_credentials_t *ret_cred)
{
	gnutls_session_t session;

	expect(gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL) == 0);
	expect(gnutls_set_default_priority(session) == 0);
	expect(gnutls_certificate_allocate_credentials(ret_cred) == 0);
	expect(gnutls_certificate_set_x509_key(*ret_cred, &holder.crt, 1, holder.key) == 0);
	expect(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, *ret_cred) == 0);
	gnutls_transport_set_int(session, fd);
	return session;
}

static void shake(struct rpc_io *io, gnutls_session_t client, bool *shaken)
{
	bool done = false;
	char buf[16];

	for (unsigned i = 0; i < 16 && !(done && *shaken); i++) {
		done = done || gnutls_handshake(client) == 0;
		expect(step(io, shaken, buf, sizeof(buf)) == -EAGAIN);
	}
	expect(done && *shaken);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned mode = size > 2 ? data[0] % 3 : 0;
	size_t piece = size > 2 ? data[1] * 16 + 1U : 1, at = 2, n_out = 0;
	gnutls_certificate_credentials_t cred = NULL;
	gnutls_session_t client = NULL;
	struct rpc_io *io;
	bool shaken = false;
	int pair[2], r = -EAGAIN;
	char buf[4096];

	if (!creds)
		make_files();
	expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
	expect(rpc_io_new_tls(pair[0], creds, &io) == 0);
	if (mode) {
		client = open_client(pair[1], &cred);
		shake(io, client, &shaken);
	}
	for (unsigned i = 0; i < MAX_STEPS && at < size && (r == -EAGAIN || r > 0); i++) {
		size_t n = size - at < piece ? size - at : piece;
		ssize_t k = mode == 2 ? gnutls_record_send(client, data + at, n)
				      : send(pair[1], data + at, n, MSG_NOSIGNAL);

		at += k > 0 ? (size_t)k : 0;
		r = step(io, &shaken, buf, sizeof(buf));
		expect(mode || !shaken);
		expect(mode == 2 || r <= 0);
		if (r > 0)
			expect(memcmp(buf, data + 2 + n_out, (size_t)r) == 0);
		n_out += r > 0 ? (size_t)r : 0;
	}
	io->ops->free(io);
	if (client)
		gnutls_deinit(client);
	if (cred)
		gnutls_certificate_free_credentials(cred);
	close(pair[1]);
	return 0;
}
