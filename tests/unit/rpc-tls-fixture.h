/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of JSON-RPC by TLS share: a server whose map of roles knows some certificates, and peers with GnuTLS at the other
 * end of a socket pair. A peer moves only in step(), which RUN_UNTIL() calls between turns of the daemon's loop. CASE(name) is a
 * test with a server of its own.
 */
#pragma once

#include "rpc-fixture.h"
#include "journal-fixture.h"
#include "tls-fixture.h"

#include "daemon/rpc-message.h"
#include "daemon/rpc-tls.h"

struct peer {
	int fd;
	gnutls_session_t session;
	gnutls_certificate_credentials_t cred;
	bool shaken, ended;
	int error; /* that ended it; 0: close_notify */
	char buffer[256 * 1024];
	size_t len;
};

static struct pki pki;
static struct rpc *server;
static struct rpc_tls *tls;
static struct journald journald;
static struct peer p1 = {.fd = -EBADF}, p2 = {.fd = -EBADF};

static inline void open_server(struct fixture *f, const struct rpc_tls_options *options)
{
	struct rpc_tls_options o = *options;

	o.dir = pki.dir;
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(rpc_tls_new(server, &o, &tls), 0);
}

static inline int setup(void **state)
{
	char dir[96];
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	snprintf(dir, sizeof(dir), "%s/tls", f->dir);
	pki_open(&pki, dir);
	pki_write_text(&pki, "roles", 0600,
		"cn:admin = administrator\ncn:op = operator\ndns:reader.example = reader\n"
		"uri:urn:owner:1 = none alice\ncn:nobody = none\n"
		"cn:a\\, b = c = reader\n");
	journald_open(&journald, f->dir);
	open_server(f, &(struct rpc_tls_options){0});
	return 0;
}

static inline void peer_done(struct peer *p)
{
	if (p->session)
		gnutls_deinit(p->session);
	if (p->cred)
		gnutls_certificate_free_credentials(p->cred);
	p->fd = safe_close(p->fd);
	*p = (struct peer){.fd = -EBADF};
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	peer_done(&p1);
	peer_done(&p2);
	tls = rpc_tls_free(tls);
	server = rpc_free(server);
	journald_close(&journald);
	pki_done(&pki);
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	return fixture_teardown(state);
}

/* The server's end of a new connection, whose other end is p->fd. */
static inline void connect_raw(struct peer *p)
{
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*p = (struct peer){.fd = pair[1]};
	assert_int_equal(rpc_tls_accept(tls, pair[0]), 0);
}

#define TLS13 "NORMAL:-VERS-ALL:+VERS-TLS1.3"

static inline void begin_session(struct peer *p, const struct pki_pair *pair, const char *priority)
{
	assert_int_equal(
		gnutls_init(&p->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL), 0);
	assert_int_equal(gnutls_priority_set_direct(p->session, priority, NULL), 0);
	assert_int_equal(gnutls_certificate_allocate_credentials(&p->cred), 0);
	if (pair)
		assert_int_equal(gnutls_certificate_set_x509_key(p->cred,
					 (gnutls_x509_crt_t *)(uintptr_t)&pair->crt, 1, pair->key),
			0);
	assert_int_equal(gnutls_credentials_set(p->session, GNUTLS_CRD_CERTIFICATE, p->cred), 0);
	gnutls_transport_set_int(p->session, p->fd);
}

/* Handshake, and what is there to read. */
static inline void step(struct peer *p)
{
	ssize_t n = 0;

	if (!p->shaken && !p->ended) {
		int r = gnutls_handshake(p->session);

		p->shaken = r == 0;
		p->ended = r < 0 && gnutls_error_is_fatal(r);
		p->error = p->ended ? r : 0;
	}
	while (p->shaken && !p->ended) {
		n = gnutls_record_recv(
			p->session, p->buffer + p->len, sizeof(p->buffer) - 1 - p->len);
		if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
			break;
		if (n > 0)
			p->len += (size_t)n;
		else
			p->ended = true;
		p->error = n < 0 ? (int)n : 0;
		p->buffer[p->len] = 0;
		if (p->len + 1 == sizeof(p->buffer))
			break;
	}
}

static inline void connect_as(struct fixture *f, struct peer *p, const struct pki_plan *plan)
{
	struct pki_pair pair = pki_make(&pki, plan);

	connect_raw(p);
	begin_session(p, &pair, TLS13);
	RUN_UNTIL(f, (step(p), p->shaken || p->ended));
	pki_pair_done(&pair);
}

static inline bool peer_ended(struct peer *p)
{
	step(p);
	return p->ended;
}

static inline void peer_send(struct peer *p, const char *text, size_t len)
{
	assert_int_equal(gnutls_record_send(p->session, text, len), len);
}

static inline void say_to(struct peer *p, const char *text)
{
	peer_send(p, text, strlen(text));
}

static const char *peer_hear(struct fixture *f, struct peer *p)
{
	static char line[sizeof(p->buffer)];
	size_t n;

	RUN_UNTIL(f, (step(p), memchr(p->buffer, '\n', p->len)) || p->ended);
	n = strcspn(p->buffer, "\n");
	if (n >= p->len)
		fail_msg("the connection ended: %s", gnutls_strerror(p->error));
	memcpy(line, p->buffer, n);
	line[n] = 0;
	memmove(p->buffer, p->buffer + n + 1, p->len - n - 1);
	p->len -= n + 1;
	p->buffer[p->len] = 0;
	return line;
}

static const char *peer_ask(struct fixture *f, struct peer *p, const char *text)
{
	say_to(p, text);
	say_to(p, "\n");
	return peer_hear(f, p);
}

static inline struct rpc_conn *last_conn(void)
{
	return list_entry(server->connections.prev, struct rpc_conn, link);
}

#define ADMIN (&(struct pki_plan){.cn = "admin"})

/* A record of a refusal, the next one. */
static inline void expect_refused(const char *why, const char *certificate)
{
	const char *got;

	while (journald_take(&journald)) {
		if (!streq(journald_field(&journald, "MESSAGE_ID"),
			    journal_message_id(JOURNAL_TLS_REFUSED)))
			continue;
		if (!strstr(journald_field(&journald, "MESSAGE"), why))
			fail_msg("'%s', not '%s'", journald_field(&journald, "MESSAGE"), why);
		assert_string_equal(journald_field(&journald, "VMMD_RESULT"), "denied");
		got = journald_field(&journald, "VMMD_CERTIFICATE");
		if (certificate ? !got || !streq(got, certificate) : got != NULL)
			fail_msg("certificate '%s'", got ? got : "");
		return;
	}
	fail_msg("no record of '%s'", why);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
