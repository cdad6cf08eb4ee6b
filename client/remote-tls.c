/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TLS to vmmd: see remote-tls.h. */
#include "client/remote-tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define PRIORITY "NORMAL:-VERS-ALL:+VERS-TLS1.3"

uint64_t remote_tls_handshake_usec = UINT64_C(15) * 1000 * 1000;

struct remote_tls {
	int fd;
	gnutls_session_t session;
	gnutls_certificate_credentials_t cred;
	int error; /* GnuTLS' number of what ended it */
};

/* Where to, taken apart. */
struct target {
	const char *uri;
	char host[256], port[8], dir[4096];
	bool is_address;
};

struct remote_tls *remote_tls_free(struct remote_tls *tls)
{
	if (!tls)
		return NULL;
	if (tls->session) {
		(void)gnutls_bye(tls->session, GNUTLS_SHUT_WR);
		gnutls_deinit(tls->session);
	}
	if (tls->cred)
		gnutls_certificate_free_credentials(tls->cred);
	(void)safe_close(tls->fd);
	free(tls);
	return NULL;
}

static int cannot(struct ctl *ctl, const struct target *t, const char *why)
{
	return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s", t->uri, why);
}

/* "HOST[:PORT]", until 'end'. */
static int parse_authority(struct target *t, const char *s, const char *end)
{
	const char *host_end, *colon;
	uint64_t port;
	bool bracket = *s == '[';

	host_end = bracket ? memchr(s, ']', (size_t)(end - s)) : memchr(s, ':', (size_t)(end - s));
	if (bracket && !host_end)
		return -EINVAL;
	host_end = host_end ? host_end : end;
	s += bracket;
	if (host_end == s || (size_t)(host_end - s) >= sizeof(t->host))
		return -EINVAL;
	memcpy(t->host, s, (size_t)(host_end - s));
	colon = host_end + bracket;
	if (colon == end)
		return str_copy(t->port, sizeof(t->port), REMOTE_TLS_PORT);
	if (*colon != ':' || end - colon < 2 || end - colon > (int)sizeof(t->port))
		return -EINVAL;
	memcpy(t->port, colon + 1, (size_t)(end - colon) - 1);
	return parse_u64(t->port, 65535, &port) < 0 || !port || t->port[0] == '0' ? -EINVAL : 0;
}

static int parse_uri(struct ctl *ctl, const char *uri, struct target *t)
{
	static const char parameter[] = "?tls_dir=";
	const char *s = uri + strlen(REMOTE_TLS_PREFIX), *end = s + strcspn(s, "/?");
	struct in6_addr address;
	int r;

	*t = (struct target){.uri = uri};
	r = parse_authority(t, s, end);
	end += *end == '/';
	if (r == 0 && strncmp(end, parameter, strlen(parameter)) == 0)
		r = str_copy(t->dir, sizeof(t->dir), end + strlen(parameter));
	else if (r == 0 && *end)
		r = -EINVAL;
	if (r < 0)
		return cannot(
			ctl, t, "give it as tls://HOST, tls://HOST:PORT or tls://HOST?tls_dir=DIR");
	t->is_address = inet_pton(AF_INET, t->host, &address) == 1 ||
		inet_pton(AF_INET6, t->host, &address) == 1;
	return 0;
}

static int join(char *ret, size_t size, const char *dir, const char *name)
{
	int n = snprintf(ret, size, "%s/%s", dir, name);

	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* Where the certificates are, if the address does not say. */
static void choose_dir(struct target *t)
{
	const char *given = getenv("VMMD_TLS_DIR"), *config = getenv("XDG_CONFIG_HOME"),
		   *home = getenv("HOME");
	char client[sizeof(t->dir) + 16];
	int r = -EINVAL;

	if (*t->dir)
		return;
	if (given && *given && str_copy(t->dir, sizeof(t->dir), given) == 0)
		return;
	if (config && *config == '/')
		r = join(t->dir, sizeof(t->dir), config, "vmmd/tls");
	else if (home && *home == '/')
		r = join(t->dir, sizeof(t->dir), home, ".config/vmmd/tls");
	if (r == 0 && join(client, sizeof(client), t->dir, "client.pem") == 0 &&
		access(client, F_OK) == 0)
		return;
	strcpy(t->dir, VMMD_TLS_DIR);
}

static int check_key(struct ctl *ctl, const struct target *t, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s: %s", t->uri, path,
			strerror(errno));
	if (st.st_mode & 077)
		return ctl_set_error(ctl, "Connect",
			"cannot connect to '%s': %s can be read by others: chmod 600 it", t->uri,
			path);
	return 0;
}

static int load(struct ctl *ctl, struct remote_tls *tls, const struct target *t)
{
	char ca[sizeof(t->dir) + 16], cert[sizeof(t->dir) + 16], key[sizeof(t->dir) + 16];
	int r;

	(void)join(ca, sizeof(ca), t->dir, "ca.pem");
	(void)join(cert, sizeof(cert), t->dir, "client.pem");
	(void)join(key, sizeof(key), t->dir, "client-key.pem");
	r = check_key(ctl, t, key);
	if (r < 0)
		return r;
	if (gnutls_certificate_allocate_credentials(&tls->cred) < 0)
		return ctl_set_error(ctl, "NoMemory", "out of memory");
	r = gnutls_certificate_set_x509_trust_file(tls->cred, ca, GNUTLS_X509_FMT_PEM);
	if (r <= 0)
		return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s: %s", t->uri, ca,
			r < 0 ? gnutls_strerror(r) : "there is no certificate in it");
	r = gnutls_certificate_set_x509_key_file(tls->cred, cert, key, GNUTLS_X509_FMT_PEM);
	if (r < 0)
		return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s with %s: %s",
			t->uri, cert, key, gnutls_strerror(r));
	return 0;
}

/* One address of the host's: the connected socket, or -errno. */
static int connect_one(const struct addrinfo *a)
{
	_cleanup_(closep) int fd =
		socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	socklen_t len = sizeof(int);
	int error = 0, r;

	if (fd < 0)
		return -errno;
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS)
		return -errno;
	do
		r = poll(&p, 1, REMOTE_TLS_CONNECT_MS);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return -ETIMEDOUT;
	if (r < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error)
		return -error;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int));
	return TAKE_FD(fd);
}

static int connect_host(struct ctl *ctl, struct remote_tls *tls, const struct target *t)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = t->is_address ? AI_NUMERICHOST : 0};
	struct addrinfo *all = NULL;
	int r = getaddrinfo(t->host, t->port, &hints, &all);

	if (r != 0)
		return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s: %s", t->uri,
			t->host, r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
	r = -EHOSTUNREACH;
	for (const struct addrinfo *a = all; a && tls->fd < 0; a = a->ai_next) {
		r = connect_one(a);
		if (r >= 0)
			tls->fd = r;
	}
	freeaddrinfo(all);
	if (tls->fd >= 0)
		return 0;
	return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s%s", t->uri, strerror(-r),
		r == -ECONNREFUSED ? "; does vmmd serve TLS there? systemctl enable vmmd-tls.socket"
				   : "");
}

static const char *status_text(unsigned status)
{
	static const struct {
		unsigned bit;
		const char *text;
	} rows[] = {
		{GNUTLS_CERT_SIGNER_NOT_FOUND, "is not of a CA in ca.pem"},
		{GNUTLS_CERT_EXPIRED, "has expired"},
		{GNUTLS_CERT_NOT_ACTIVATED, "is not valid yet"},
		{GNUTLS_CERT_REVOKED, "was revoked"},
		{GNUTLS_CERT_PURPOSE_MISMATCH, "is not for servers"},
		{GNUTLS_CERT_INSECURE_ALGORITHM, "uses algorithms that are too weak"},
		{GNUTLS_CERT_UNEXPECTED_OWNER, "is not for this name"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (status & rows[i].bit)
			return rows[i].text;
	return "is not valid";
}

static int handshake_failed(struct ctl *ctl, struct remote_tls *tls, const struct target *t, int r)
{
	tls->error = r;
	if (r == GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR || r == GNUTLS_E_CERTIFICATE_ERROR)
		return ctl_set_error(ctl, "Connect",
			"cannot connect to '%s': the certificate of %s %s", t->uri, t->host,
			status_text(gnutls_session_get_verify_cert_status(tls->session)));
	return cannot(ctl, t, remote_tls_why(tls));
}

static uint64_t now_usec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Until the session can go on; 0, or -ETIMEDOUT. */
static int wait_for(struct remote_tls *tls, uint64_t end_usec)
{
	struct pollfd p = {.fd = tls->fd,
		.events = gnutls_record_get_direction(tls->session) ? POLLOUT : POLLIN};
	uint64_t now = now_usec();

	if (now >= end_usec)
		return -ETIMEDOUT;
	(void)poll(&p, 1, (int)MIN((end_usec - now) / 1000 + 1, UINT64_C(3600000)));
	return 0;
}

/* 'wanted' must stay as long as the handshake lasts. */
static int set_up(struct remote_tls *tls, struct target *t, gnutls_typed_vdata_st wanted[2])
{
	int r = gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL);

	if (r < 0)
		return r;
	wanted[0] = (gnutls_typed_vdata_st){
		.type = GNUTLS_DT_DNS_HOSTNAME, .data = (unsigned char *)t->host};
	wanted[1] = (gnutls_typed_vdata_st){.type = GNUTLS_DT_KEY_PURPOSE_OID,
		.data = (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_SERVER};
	gnutls_session_set_verify_cert2(tls->session, wanted, 2, 0);
	if (!t->is_address)
		(void)gnutls_server_name_set(
			tls->session, GNUTLS_NAME_DNS, t->host, strlen(t->host));
	gnutls_handshake_set_timeout(tls->session, 0);
	gnutls_transport_set_int(tls->session, tls->fd);
	r = gnutls_priority_set_direct(tls->session, PRIORITY, NULL);
	return r < 0 ? r : gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->cred);
}

static int handshake(struct ctl *ctl, struct remote_tls *tls, struct target *t)
{
	uint64_t end_usec = now_usec() + remote_tls_handshake_usec;
	gnutls_typed_vdata_st wanted[2];
	int r = set_up(tls, t, wanted);

	while (r >= 0) {
		r = gnutls_handshake(tls->session);
		if (r == GNUTLS_E_SUCCESS)
			return 0;
		if (gnutls_error_is_fatal(r))
			break;
		r = 0;
		if (wait_for(tls, end_usec) < 0)
			return cannot(ctl, t, "vmmd does not finish the handshake in time");
	}
	return handshake_failed(ctl, tls, t, r);
}

int remote_tls_connect(struct ctl *ctl, const char *uri, struct remote_tls **ret_tls, int *ret_fd)
{
	struct remote_tls *tls = calloc(1, sizeof(*tls));
	struct target t;
	int r;

	if (!tls)
		return ctl_set_error(ctl, "NoMemory", "out of memory");
	tls->fd = -EBADF;
	r = parse_uri(ctl, uri, &t);
	if (r >= 0) {
		choose_dir(&t);
		r = load(ctl, tls, &t);
	}
	if (r >= 0)
		r = connect_host(ctl, tls, &t);
	if (r >= 0)
		r = handshake(ctl, tls, &t);
	if (r < 0) {
		(void)remote_tls_free(tls);
		return r;
	}
	*ret_fd = tls->fd;
	*ret_tls = tls;
	return 0;
}

static bool is_retry(ssize_t r)
{
	return r == GNUTLS_E_AGAIN || r == GNUTLS_E_INTERRUPTED;
}

ssize_t remote_tls_send(struct remote_tls *tls, const void *data, size_t len)
{
	ssize_t n = gnutls_record_send(tls->session, data, len);
	char unused;

	if (n > 0)
		return n;
	if (n == 0 || is_retry(n))
		return -EAGAIN;
	/* The alert that says why may still be there to be read. */
	(void)remote_tls_recv(tls, &unused, 1);
	return -EPIPE;
}

ssize_t remote_tls_recv(struct remote_tls *tls, void *data, size_t size)
{
	ssize_t n = gnutls_record_recv(tls->session, data, size);

	if (n >= 0)
		return n;
	if (is_retry(n) || !gnutls_error_is_fatal((int)n))
		return -EAGAIN;
	tls->error = (int)n;
	return -ECONNRESET;
}

const char *remote_tls_why(const struct remote_tls *tls)
{
	static const struct {
		gnutls_alert_description_t alert;
		const char *text;
	} rows[] = {
		{GNUTLS_A_CERTIFICATE_EXPIRED,
			"vmmd refused the certificate: it has expired, or is not valid yet"},
		{GNUTLS_A_CERTIFICATE_REVOKED, "vmmd refused the certificate: it was revoked"},
		{GNUTLS_A_UNKNOWN_CA, "vmmd refused the certificate: it is not of vmmd's CA"},
		{GNUTLS_A_UNSUPPORTED_CERTIFICATE,
			"vmmd refused the certificate: it is not for clients, or too weak"},
		{GNUTLS_A_BAD_CERTIFICATE, "vmmd refused the certificate: it is not valid"},
		{GNUTLS_A_CERTIFICATE_UNKNOWN,
			"vmmd refused the certificate: its journal says why"},
		{GNUTLS_A_CERTIFICATE_REQUIRED, "vmmd wants a certificate"},
		{GNUTLS_A_PROTOCOL_VERSION, "the other side does not speak TLS 1.3"},
		{GNUTLS_A_HANDSHAKE_FAILURE, "the other side does not speak TLS 1.3"},
	};

	if (tls->error == GNUTLS_E_UNEXPECTED_PACKET_LENGTH ||
		tls->error == GNUTLS_E_UNEXPECTED_PACKET)
		return "the other side does not speak TLS";
	if (tls->error == GNUTLS_E_PREMATURE_TERMINATION || tls->error == GNUTLS_E_PULL_ERROR)
		return "the connection was closed";
	if (tls->error != GNUTLS_E_FATAL_ALERT_RECEIVED)
		return tls->error ? gnutls_strerror(tls->error) : "the connection was closed";
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].alert == gnutls_alert_get(tls->session))
			return rows[i].text;
	return gnutls_strerror(tls->error);
}
