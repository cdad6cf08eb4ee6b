/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TLS sessions that carry JSON-RPC: see rpc-io-tls.h. */
#include "daemon/rpc-io-tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "vmm-core/base/strutil.h"

/* No finite fields: a stranger's FFDHE8192 costs the one thread more than a hundred signatures. */
#define PRIORITY     "NORMAL:-VERS-ALL:+VERS-TLS1.3:-GROUP-DH-ALL:%SERVER_PRECEDENCE"
#define RECORD_BYTES 16384
#define FLAGS        (GNUTLS_SERVER | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS)
#define DRAIN_BYTES  (256U * 1024)
#define SEALED_BYTES (256U * 1024) /* a chain of certificates; else a record, and new keys */

struct rpc_io_tls {
	struct rpc_io io;
	gnutls_session_t session;
	struct tls_creds *creds;
	unsigned status;   /* of the peer's certificate; 0: good, or not seen yet */
	int64_t expires_s; /* the certificate, in seconds since 1970 */
	bool over;         /* the session has failed: nothing more can be said */
	/* What GnuTLS has said, and the socket had no room for. GnuTLS itself never finds the socket full: one that is in the middle of a
	 * record, and reads that the peer wants new keys, sends that record twice. */
	char *sealed;
	size_t sealed_len;
	size_t taken; /* of the caller's bytes that are in there */
};

static struct rpc_io_tls *of_io(struct rpc_io *io)
{
	return container_of(io, struct rpc_io_tls, io);
}

static bool is_retry(ssize_t r)
{
	return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

/* As much as goes; -errno. */
static ssize_t send_some(const struct rpc_io_tls *t, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(t->io.fd, data + done, len - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0 && errno != EINTR)
			return -errno;
		done += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)done;
}

/* GnuTLS, with what is to be sent: all of it is taken. */
static ssize_t push(gnutls_transport_ptr_t opaque, const void *data, size_t len)
{
	struct rpc_io_tls *t = opaque;
	ssize_t n = t->sealed_len ? 0 : send_some(t, data, len);
	size_t rest = len - (n > 0 ? (size_t)n : 0);
	char *sealed = NULL;

	if (n >= 0 && rest && t->sealed_len + rest <= SEALED_BYTES)
		sealed = realloc(t->sealed, t->sealed_len + rest);
	if (sealed) {
		memcpy(sealed + t->sealed_len, (const char *)data + (len - rest), rest);
		t->sealed = sealed;
		t->sealed_len += rest;
	}
	if (n < 0 || (rest && !sealed)) {
		gnutls_transport_set_errno(t->session, n < 0 ? (int)-n : ENOBUFS);
		return -1;
	}
	return (ssize_t)len;
}

/* What was not taken before. -EAGAIN: not all goes now. */
static int send_sealed(struct rpc_io_tls *t)
{
	ssize_t n = t->sealed_len ? send_some(t, t->sealed, t->sealed_len) : 0;

	if (n < 0) {
		t->over = true;
		return -ECONNRESET;
	}
	t->sealed_len -= (size_t)n;
	if (t->sealed_len) {
		memmove(t->sealed, t->sealed + n, t->sealed_len);
		return -EAGAIN;
	}
	free(t->sealed);
	t->sealed = NULL;
	return 0;
}

/* No going on: the peer is told what GnuTLS says of it. */
static int end_session(struct rpc_io_tls *t, ssize_t error)
{
	t->over = true;
	(void)gnutls_alert_send_appropriate(t->session, (int)error);
	return -EPROTO;
}

static ssize_t tls_read(struct rpc_io *io, void *buf, size_t size)
{
	struct rpc_io_tls *t = of_io(io);
	ssize_t n;

	if (t->over)
		return -EPROTO;
	n = gnutls_record_recv(t->session, buf, size);
	if (n >= 0)
		return n;
	/* An alert that is only a warning: a byte or two, and nothing of ours. */
	if (is_retry(n) || n == GNUTLS_E_WARNING_ALERT_RECEIVED)
		return -EAGAIN;
	if (n == GNUTLS_E_PREMATURE_TERMINATION || n == GNUTLS_E_FATAL_ALERT_RECEIVED ||
		n == GNUTLS_E_PULL_ERROR) {
		t->over = true;
		return -ECONNRESET;
	}
	return end_session(t, n);
}

static ssize_t tls_write(struct rpc_io *io, const void *buf, size_t len, int pass_fd)
{
	struct rpc_io_tls *t = of_io(io);
	ssize_t n;
	int r;

	assert(pass_fd < 0);
	if (t->over)
		return -EPROTO;
	if (!t->taken) {
		/* No more than a record goes at once; a key update would copy all of it. */
		n = send_sealed(t) < 0
			? GNUTLS_E_AGAIN
			: gnutls_record_send(t->session, buf, MIN(len, (size_t)RECORD_BYTES));
		if (is_retry(n) && !t->over)
			return -EAGAIN;
		t->over |= n <= 0;
		if (n <= 0)
			return -ECONNRESET;
		t->taken = (size_t)n;
	}
	r = send_sealed(t);
	if (r < 0)
		return r;
	n = (ssize_t)t->taken;
	t->taken = 0;
	return n;
}

static uint32_t tls_events(struct rpc_io *io, bool reading, bool writing)
{
	/* What is left is sent with the next that is written, or the next step of the handshake. */
	if (of_io(io)->sealed_len)
		writing = true;
	return (reading ? EPOLLIN : 0U) | (writing ? EPOLLOUT : 0U);
}

static bool tls_pending(struct rpc_io *io)
{
	return gnutls_record_check_pending(of_io(io)->session) > 0;
}

/* What nobody has read makes the kernel send a reset, which can overtake our last words: take what is there. */
static void drain(int fd)
{
	char data[4096];

	(void)shutdown(fd, SHUT_WR);
	for (size_t left = DRAIN_BYTES; left; left -= sizeof(data))
		if (recv(fd, data, sizeof(data), MSG_DONTWAIT) <= 0)
			break;
}

void rpc_io_tls_bye(struct rpc_io *io)
{
	struct rpc_io_tls *t = of_io(io);

	if (!t->over)
		(void)gnutls_bye(t->session, GNUTLS_SHUT_WR);
	t->over = true;
	(void)send_sealed(t);
	(void)shutdown(io->fd, SHUT_WR);
}

static void tls_free(struct rpc_io *io)
{
	struct rpc_io_tls *t = of_io(io);

	if (t->session) {
		rpc_io_tls_bye(io);
		gnutls_deinit(t->session);
	}
	drain(io->fd);
	(void)tls_creds_unref(t->creds);
	(void)safe_close(io->fd);
	free(t->sealed);
	free(t);
}

static const struct rpc_io_ops tls_ops = {
	.read = tls_read,
	.write = tls_write,
	.events = tls_events,
	.pending = tls_pending,
	.free = tls_free,
};

/* GnuTLS, in the handshake: whoever is refused here has proved nothing yet. */
static int on_certificate(gnutls_session_t session)
{
	struct rpc_io_tls *t = gnutls_session_get_ptr(session);

	t->status = tls_creds_verify(t->creds, session);
	return t->status ? GNUTLS_E_CERTIFICATE_ERROR : 0;
}

static int set_up(struct rpc_io_tls *t)
{
	int r = gnutls_init(&t->session, FLAGS);

	if (r < 0)
		return r;
	gnutls_session_set_ptr(t->session, t);
	gnutls_session_set_verify_function(t->session, on_certificate);
	gnutls_certificate_server_set_request(t->session, GNUTLS_CERT_REQUIRE);
	/* Names of CAs are not sent: a client with another CA's certificate sends it, and is told what is wrong. */
	gnutls_certificate_send_x509_rdn_sequence(t->session, 1);
	gnutls_handshake_set_max_packet_length(t->session, RPC_TLS_HANDSHAKE_BYTES);
	gnutls_handshake_set_timeout(t->session, 0);
	gnutls_transport_set_ptr2(t->session, (gnutls_transport_ptr_t)(intptr_t)t->io.fd, t);
	gnutls_transport_set_push_function(t->session, push);
	r = gnutls_priority_set_direct(t->session, PRIORITY, NULL);
	return r < 0 ? r
		     : gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, t->creds->cred);
}

int rpc_io_new_tls(int fd, struct tls_creds *creds, struct rpc_io **ret_io)
{
	struct rpc_io_tls *t = calloc(1, sizeof(*t));

	if (!t) {
		(void)safe_close(fd);
		return -ENOMEM;
	}
	t->io = (struct rpc_io){&tls_ops, fd};
	t->creds = tls_creds_ref(creds);
	if (set_up(t) < 0) {
		t->over = true;
		tls_free(&t->io);
		return -ENOMEM;
	}
	*ret_io = &t->io;
	return 0;
}

static int refuse(
	struct rpc_io_tls *t, gnutls_alert_description_t alert, const char *why, const char **ret)
{
	*ret = why;
	t->over = true;
	(void)gnutls_alert_send(t->session, GNUTLS_AL_FATAL, alert);
	return -EACCES;
}

/* A handshake that has failed, by GnuTLS' number. */
static int judge(struct rpc_io_tls *t, int error, const char **ret_why)
{
	gnutls_alert_description_t alert;
	const char *text;

	switch (error) {
	case GNUTLS_E_CERTIFICATE_ERROR:
		text = tls_status_text(t->status, &alert);
		return refuse(t, alert, text, ret_why);
	case GNUTLS_E_NO_CERTIFICATE_FOUND:
	case GNUTLS_E_CERTIFICATE_REQUIRED:
		return refuse(
			t, GNUTLS_A_CERTIFICATE_REQUIRED, "no certificate was shown", ret_why);
	case GNUTLS_E_PREMATURE_TERMINATION:
	case GNUTLS_E_PULL_ERROR:
	case GNUTLS_E_PUSH_ERROR:
		*ret_why = "the connection was closed within the handshake";
		t->over = true;
		return -ENODATA;
	case GNUTLS_E_FATAL_ALERT_RECEIVED:
		text = gnutls_alert_get_name(gnutls_alert_get(t->session));
		*ret_why = text ? text : "an alert that is not known";
		t->over = true;
		return -EPROTO;
	case GNUTLS_E_UNSUPPORTED_VERSION_PACKET:
	case GNUTLS_E_NO_CIPHER_SUITES:
		*ret_why = "no TLS 1.3, or none that vmmd speaks";
		break;
	case GNUTLS_E_UNEXPECTED_PACKET_LENGTH:
	case GNUTLS_E_UNEXPECTED_PACKET:
		*ret_why = "no TLS";
		break;
	default:
		*ret_why = gnutls_strerror(error);
	}
	return end_session(t, error);
}

int rpc_io_tls_handshake(struct rpc_io *io, const char **ret_why)
{
	struct rpc_io_tls *t = of_io(io);
	int r;

	if (t->over) {
		*ret_why = "it is over";
		return -EPROTO;
	}
	r = gnutls_handshake(t->session);
	(void)send_sealed(t);
	if (r == GNUTLS_E_SUCCESS)
		return 0;
	if (is_retry(r) || !gnutls_error_is_fatal(r))
		return -EAGAIN;
	return judge(t, r, ret_why);
}

int rpc_io_tls_peer(struct rpc_io *io, struct api_peer *peer, char why[TLS_WHY_MAX])
{
	struct rpc_io_tls *t = of_io(io);

	*peer = (struct api_peer){.role = API_ROLE_NONE, .transport = "tls"};
	if (!tls_status_vouches(t->status))
		return -EACCES;
	t->expires_s = gnutls_certificate_expiration_time_peers(t->session);
	if (t->expires_s < 0)
		t->expires_s = INT64_MAX;
	return tls_creds_peer(t->creds, t->session, peer, why);
}

bool rpc_io_tls_is_due(struct rpc_io *io, const struct tls_creds *creds)
{
	const struct rpc_io_tls *t = of_io(io);
	int64_t now_s = time(NULL);

	return t->creds != creds || now_s >= t->expires_s ||
		(creds->crl_until_s && now_s > creds->crl_until_s);
}

int rpc_io_tls_review(struct rpc_io *io, struct tls_creds *creds, const struct api_peer *peer,
	char why[TLS_WHY_MAX])
{
	struct rpc_io_tls *t = of_io(io);
	gnutls_alert_description_t alert;
	struct api_peer now = {.role = API_ROLE_NONE};
	unsigned status = tls_creds_verify_again(creds, t->session);
	int r;

	if (status) {
		(void)snprintf(why, TLS_WHY_MAX, "%s", tls_status_text(status, &alert));
		return -EACCES;
	}
	r = tls_creds_peer(creds, t->session, &now, why);
	if (r < 0)
		return r;
	if (now.role != peer->role || !streq(now.user.name, peer->user.name) ||
		!streq(now.certificate, peer->certificate)) {
		(void)snprintf(
			why, TLS_WHY_MAX, "'" TLS_FILE_ROLES "' says something else of it now");
		return -EACCES;
	}
	(void)tls_creds_unref(t->creds);
	t->creds = tls_creds_ref(creds);
	/* It is good, whatever the clock says: once is enough. */
	if (time(NULL) >= t->expires_s)
		t->expires_s = INT64_MAX;
	return 0;
}
