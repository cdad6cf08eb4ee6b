/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a TCP connection to a caller with a role: see rpc-tls.h. */
#include "daemon/rpc-tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "daemon/journal.h"
#include "daemon/listen-tcp.h"
#include "daemon/rpc-internal.h"
#include "daemon/rpc-io-tls.h"
#include "daemon/rpc-message.h"
#include "daemon/turn.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"
#include "vmm-core/base/token-bucket.h"

#define ACCEPTS         16 /* at once */
#define REVIEWS         16 /* at once */
#define NO_FDS_NS       NSEC_PER_SEC
#define LOOK_SLACK_USEC UINT64_C(1000000)
#define LINGER_BYTES    (256U * 1024)

struct rpc_tls {
	struct rpc *rpc;
	struct tls_store *store;
	char *dir;
	uint64_t handshake_usec;
	struct tls_creds *creds; /* what the files said last; NULL: nothing yet */
	struct list listeners, hellos;
	unsigned n_hellos;
	struct token_bucket accepts, refusals, records;
	unsigned n_left_out; /* records */
	uint64_t complained_ns;
	struct {
		struct sockaddr_storage address;
		uint64_t ns;
	} recent[RPC_TLS_BURST]; /* a ring: who was let begin, and when */
	unsigned n_recent;
	sd_event_source *rest;
	sd_event_source *look;   /* after RPC_TLS_LOOK_USEC, while there are connections */
	sd_event_source *review; /* of connections, some at a time */
};

struct tls_listener {
	struct list link;
	int fd;
	sd_event_source *source;
};

/* A connection whose caller has no role yet. */
struct hello {
	struct rpc_tls *tls;
	struct list link;
	struct rpc_io *io;
	sd_event_source *source, *timer;
	struct sockaddr_storage address;
	char text[sizeof(((struct api_peer *)0)->address)];
	size_t lingered;
	bool refused; /* it has been told; what it still sends is dropped */
};

static uint64_t now_ns(const struct rpc_tls *tls)
{
	uint64_t usec = 0;

	(void)sd_event_now(tls->rpc->event, CLOCK_MONOTONIC, &usec);
	return usec * 1000;
}

static struct hello *hello_free(struct hello *h)
{
	if (!h)
		return NULL;
	sd_event_source_disable_unref(h->source);
	sd_event_source_disable_unref(h->timer);
	if (h->io)
		h->io->ops->free(h->io);
	list_del(&h->link);
	h->tls->n_hellos--;
	free(h);
	return NULL;
}

/* Whoever can connect must not fill the journal. */
static void record(struct rpc_tls *tls, const char *from, const char *certificate, const char *why)
{
	const struct journal_field fields[] = {
		{"VMMD_TRANSPORT", "tls"},
		{"VMMD_PEER", from},
		{"VMMD_CERTIFICATE", certificate},
		{"VMMD_RESULT", "denied"},
	};
	uint64_t now = now_ns(tls);

	if (token_bucket_ready_ns(&tls->records, now) > now) {
		tls->n_left_out++;
		return;
	}
	token_bucket_charge(&tls->records, now, 1);
	if (tls->n_left_out)
		journal_write(JOURNAL_TLS_REFUSED, NULL, 0,
			"TLS: %u refusals were left out of the journal", tls->n_left_out);
	tls->n_left_out = 0;
	journal_write(JOURNAL_TLS_REFUSED, fields, ARRAY_SIZE(fields), "%s%s(tls %s): refused: %s",
		certificate, *certificate ? " " : "", from, why);
}

static void format_address(const struct sockaddr_storage *address, char *ret, size_t size)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)address;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
	char text[INET6_ADDRSTRLEN] = "";

	if (address->ss_family == AF_INET) {
		(void)inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		(void)snprintf(ret, size, "%s:%u", text, ntohs(in->sin_port));
	} else if (address->ss_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof(text));
		(void)snprintf(ret, size, "[%s]:%u", text, ntohs(in6->sin6_port));
	} else {
		(void)snprintf(ret, size, "a local socket");
	}
}

/* Of one host: the same address, or the same /64. */
static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	const struct sockaddr_in *a4 = (const struct sockaddr_in *)a;
	const struct sockaddr_in *b4 = (const struct sockaddr_in *)b;
	const struct in6_addr *a6 = &((const struct sockaddr_in6 *)a)->sin6_addr;
	const struct in6_addr *b6 = &((const struct sockaddr_in6 *)b)->sin6_addr;

	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
	if (a->ss_family != AF_INET6)
		return true;
	return memcmp(a6, b6, IN6_IS_ADDR_V4MAPPED(a6) ? 16 : 8) == 0;
}

/* Told inside of TLS, and then only dropped what it sends, so that no reset overtakes the words. */
static void refuse(struct hello *h, int code, const char *certificate, const char *why)
{
	char message[TLS_WHY_MAX + 64];
	struct json_object *o;
	const char *text;

	record(h->tls, h->text, certificate, why);
	(void)snprintf(message, sizeof(message), "vmmd refused the certificate: %s", why);
	o = rpc_error(NULL, code, code == RPC_REFUSED ? message : why, NULL);
	text = o ? json_object_to_json_string_ext(
			   o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
		 : NULL;
	/* The socket is fresh: there is room for it. */
	if (text && h->io->ops->write(h->io, text, strlen(text), -EBADF) > 0)
		(void)h->io->ops->write(h->io, "\n", 1, -EBADF);
	json_object_put(o);
	rpc_io_tls_bye(h->io);
	h->refused = true;
	(void)sd_event_source_set_io_events(h->source, EPOLLIN);
}

static void linger(struct hello *h)
{
	char data[4096];
	ssize_t n = recv(h->io->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n > 0)
		h->lingered += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || h->lingered > LINGER_BYTES)
		(void)hello_free(h);
}

static bool is_tls(const struct rpc_conn *conn)
{
	return streq(conn->peer.transport, "tls") && !conn->dead;
}

/* No certificate has all of the connections, and the last ones are administrators'. */
static bool has_tls_room(const struct rpc *rpc, const struct api_peer *peer)
{
	unsigned n = 0, own = 0, max = RPC_TLS_CONNECTIONS;
	struct list *pos;

	list_for_each (pos, &rpc->connections) {
		const struct rpc_conn *conn = list_entry(pos, struct rpc_conn, link);

		if (!is_tls(conn))
			continue;
		n++;
		own += streq(conn->peer.certificate, peer->certificate);
	}
	if (peer->role < API_ROLE_ADMINISTRATOR)
		max -= RPC_TLS_RESERVED;
	return n < max && own < RPC_TLS_CERTIFICATE;
}

static int on_review(sd_event_source *source, void *userdata);

static void review_soon(struct rpc_tls *tls)
{
	(void)turn_ask(tls->rpc->event, &tls->review, on_review, tls);
}

/* What the files say now, as tls_store_get() has it. */
static int look_at_files(struct rpc_tls *tls, struct tls_creds **ret_creds)
{
	char why[TLS_WHY_MAX];
	int r = tls_store_get(tls->store, ret_creds, why);
	uint64_t now = now_ns(tls);

	if (r >= 0 && *ret_creds != tls->creds) {
		(void)tls_creds_unref(tls->creds);
		tls->creds = tls_creds_ref(*ret_creds);
		review_soon(tls);
	}
	if (r > 0)
		log_info("TLS: certificates and roles have been read");
	/* What is wrong with the files is told once, but what passes may come with each handshake. */
	if (r < 0 && r != -ESTALE &&
		(!tls->complained_ns || now - tls->complained_ns >= NSEC_PER_SEC)) {
		log_error("TLS: nobody is let in until this is right: %s: %s", tls->dir, why);
		tls->complained_ns = now;
	}
	return r;
}

/* Not later for each that comes. */
static void look_later(struct rpc_tls *tls)
{
	if (sd_event_source_get_enabled(tls->look, NULL) > 0)
		return;
	(void)sd_event_source_set_time_relative(tls->look, RPC_TLS_LOOK_USEC);
	(void)sd_event_source_set_enabled(tls->look, SD_EVENT_ONESHOT);
}

static int on_look(sd_event_source *source, uint64_t usec, void *userdata)
{
	_cleanup_(tls_creds_unrefp) struct tls_creds *creds = NULL;
	struct rpc_tls *tls = userdata;
	struct list *pos;

	(void)source;
	(void)usec;
	list_for_each (pos, &tls->rpc->connections) {
		if (!is_tls(list_entry(pos, struct rpc_conn, link)))
			continue;
		if (look_at_files(tls, &creds) >= 0)
			review_soon(tls);
		look_later(tls);
		break;
	}
	return 0;
}

/* Whoever would not be let in any more, or as somebody else, is told so, and comes again if he may. */
static void review(struct rpc_tls *tls, struct rpc_conn *conn)
{
	char why[TLS_WHY_MAX], message[TLS_WHY_MAX + 64];

	if (rpc_io_tls_review(conn->io, tls->creds, &conn->peer, why) == 0)
		return;
	record(tls, conn->peer.address, conn->peer.certificate, why);
	(void)snprintf(message, sizeof(message), "vmmd refused the certificate: %s", why);
	rpc_conn_end(conn, rpc_error(NULL, RPC_REFUSED, message, NULL));
}

static int on_review(sd_event_source *source, void *userdata)
{
	struct rpc_tls *tls = userdata;
	unsigned left = REVIEWS;
	struct list *pos;

	(void)source;
	list_for_each (pos, &tls->rpc->connections) {
		struct rpc_conn *conn = list_entry(pos, struct rpc_conn, link);

		if (!is_tls(conn) || !rpc_io_tls_is_due(conn->io, tls->creds))
			continue;
		/* Signatures take time: others have their turn. */
		if (!left--) {
			review_soon(tls);
			break;
		}
		review(tls, conn);
	}
	return 0;
}

/* The handshake is done. */
static void admit(struct hello *h)
{
	struct rpc *rpc = h->tls->rpc;
	char why[TLS_WHY_MAX] = "";
	struct api_peer peer;
	int r = rpc_io_tls_peer(h->io, &peer, why);

	(void)str_copy(peer.address, sizeof(peer.address), h->text);
	if (r < 0) {
		refuse(h, RPC_REFUSED, peer.certificate, why);
		return;
	}
	if (!has_tls_room(rpc, &peer) || !rpc_has_room(rpc, &peer)) {
		refuse(h, RPC_OVERLOADED, peer.certificate,
			"vmmd has as many connections as it takes");
		return;
	}
	log_debug("JSON-RPC: %s from %s is %s", peer.certificate, peer.address,
		api_role_name(peer.role));
	h->source = sd_event_source_disable_unref(h->source);
	/* The files may have changed since its handshake began. */
	if (rpc_io_tls_is_due(h->io, h->tls->creds))
		review_soon(h->tls);
	if (rpc_conn_new(rpc, TAKE_PTR(h->io), &peer) >= 0)
		look_later(h->tls);
	(void)hello_free(h);
}

static int on_hello(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct hello *h = userdata;
	struct api_peer peer = {.role = API_ROLE_NONE};
	char unused[TLS_WHY_MAX];
	const char *why;
	int r;

	(void)source;
	(void)fd;
	(void)revents;
	if (h->refused) {
		linger(h);
		return 0;
	}
	r = rpc_io_tls_handshake(h->io, &why);
	if (r == -EAGAIN) {
		(void)sd_event_source_set_io_events(
			h->source, h->io->ops->events(h->io, true, false));
		return 0;
	}
	if (r == 0) {
		admit(h);
		return 0;
	}
	if (r == -EACCES)
		(void)rpc_io_tls_peer(h->io, &peer, unused);
	/* Who goes without a word has only looked whether somebody listens. */
	if (r != -ENODATA)
		record(h->tls, h->text, peer.certificate, why);
	(void)hello_free(h);
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct hello *h = userdata;

	(void)source;
	(void)usec;
	if (!h->refused)
		record(h->tls, h->text, "", "the handshake takes too long");
	(void)hello_free(h);
	return 0;
}

/* The oldest one has had the most time. */
static void make_room(struct rpc_tls *tls)
{
	struct hello *oldest = list_entry(tls->hellos.next, struct hello, link);

	if (tls->n_hellos < RPC_TLS_HANDSHAKES)
		return;
	if (!oldest->refused)
		record(tls, oldest->text, "", "too many handshakes are under way");
	(void)hello_free(oldest);
}

static bool has_address_room(const struct rpc_tls *tls, const struct sockaddr_storage *address)
{
	uint64_t now = now_ns(tls);
	struct list *pos;
	unsigned n = 0, n_recent = 0;

	list_for_each (pos, &tls->hellos)
		n += same_host(&list_entry(pos, struct hello, link)->address, address);
	if (address->ss_family != AF_INET && address->ss_family != AF_INET6)
		return n < RPC_TLS_ADDRESS;
	for (unsigned i = 0; i < ARRAY_SIZE(tls->recent) && i < tls->n_recent; i++)
		n_recent += now - tls->recent[i].ns < NSEC_PER_SEC &&
			same_host(&tls->recent[i].address, address);
	return n < RPC_TLS_ADDRESS && n_recent < RPC_TLS_ADDRESS_RATE;
}

static void note_recent(struct rpc_tls *tls, const struct sockaddr_storage *address)
{
	unsigned i = tls->n_recent++ % ARRAY_SIZE(tls->recent);

	tls->recent[i].address = *address;
	tls->recent[i].ns = now_ns(tls);
	/* The ring stays full. */
	if (tls->n_recent == 2 * ARRAY_SIZE(tls->recent))
		tls->n_recent = ARRAY_SIZE(tls->recent);
}

/* A peer that is gone without a word is noticed, in some two minutes. */
static void set_up_socket(int fd)
{
	static const struct {
		int level, name, value;
	} rows[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, 60},
		{IPPROTO_TCP, TCP_KEEPINTVL, 15},
		{IPPROTO_TCP, TCP_KEEPCNT, 4},
		{IPPROTO_TCP, TCP_NODELAY, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		(void)setsockopt(
			fd, rows[i].level, rows[i].name, &rows[i].value, sizeof(rows[i].value));
}

static int begin(struct hello *h, int fd)
{
	_cleanup_(tls_creds_unrefp) struct tls_creds *creds = NULL;
	struct rpc_tls *tls = h->tls;
	int r = look_at_files(tls, &creds);

	if (r < 0) {
		(void)safe_close(fd);
		return r;
	}
	r = rpc_io_new_tls(fd, creds, &h->io);
	if (r >= 0)
		r = sd_event_add_io(tls->rpc->event, &h->source, h->io->fd, EPOLLIN, on_hello, h);
	if (r >= 0)
		r = sd_event_add_time_relative(tls->rpc->event, &h->timer, CLOCK_MONOTONIC,
			tls->handshake_usec, 0, on_deadline, h);
	return r;
}

int rpc_tls_accept(struct rpc_tls *tls, int fd)
{
	struct sockaddr_storage address = {0};
	socklen_t len = sizeof(address);
	struct hello *h;
	int r;

	if (getpeername(fd, (struct sockaddr *)&address, &len) < 0 ||
		!has_address_room(tls, &address)) {
		(void)safe_close(fd);
		return -EBUSY;
	}
	note_recent(tls, &address);
	make_room(tls);
	h = calloc(1, sizeof(*h));
	if (!h) {
		(void)safe_close(fd);
		return -ENOMEM;
	}
	h->tls = tls;
	h->address = address;
	format_address(&address, h->text, sizeof(h->text));
	list_add_tail(&tls->hellos, &h->link);
	tls->n_hellos++;
	set_up_socket(fd);
	r = begin(h, fd);
	if (r < 0)
		(void)hello_free(h);
	return r < 0 ? r : 0;
}

static void enable_listeners(struct rpc_tls *tls, bool on)
{
	struct list *pos;

	list_for_each (pos, &tls->listeners)
		(void)sd_event_source_set_enabled(
			list_entry(pos, struct tls_listener, link)->source,
			on ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_rested(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	enable_listeners(userdata, true);
	return 0;
}

/* Whoever connects meanwhile waits in the kernel. */
static void rest(struct rpc_tls *tls, uint64_t until_ns)
{
	enable_listeners(tls, false);
	(void)sd_event_source_set_time(tls->rest, (until_ns + 999) / 1000);
	(void)sd_event_source_set_enabled(tls->rest, SD_EVENT_ONESHOT);
}

/* One address that connects again and again costs the others none of theirs: it is sent away, at a rate of its own. */
static void charge(struct rpc_tls *tls, int accepted, uint64_t now)
{
	token_bucket_charge(accepted == -EBUSY ? &tls->refusals : &tls->accepts, now, 1);
}

static int on_connection(sd_event_source *source, int listener, uint32_t revents, void *userdata)
{
	struct rpc_tls *tls = userdata;
	uint64_t now = now_ns(tls);

	(void)source;
	(void)revents;
	for (unsigned i = 0; i < ACCEPTS; i++) {
		uint64_t ready = MAX(token_bucket_ready_ns(&tls->accepts, now),
			token_bucket_ready_ns(&tls->refusals, now));
		int fd;

		if (ready > now) {
			rest(tls, ready);
			break;
		}
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			charge(tls, rpc_tls_accept(tls, fd), now);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			errno == ENOBUFS) {
			rest(tls, now + NO_FDS_NS);
			break;
		} else if (errno != ECONNABORTED && errno != EINTR) {
			break;
		}
	}
	return 0;
}

static struct tls_listener *listener_free(struct tls_listener *l)
{
	list_del(&l->link);
	sd_event_source_disable_unref(l->source);
	(void)safe_close(l->fd);
	free(l);
	return NULL;
}

int rpc_tls_listen(struct rpc_tls *tls, int fd)
{
	struct tls_listener *l = calloc(1, sizeof(*l));
	int r = l ? fd_set_nonblock(fd, true) : -ENOMEM;

	if (r < 0) {
		free(l);
		(void)safe_close(fd);
		return r;
	}
	l->fd = fd;
	list_add_tail(&tls->listeners, &l->link);
	r = sd_event_add_io(tls->rpc->event, &l->source, fd, EPOLLIN, on_connection, tls);
	if (r < 0)
		(void)listener_free(l);
	return r < 0 ? r : 0;
}

int rpc_tls_new(struct rpc *rpc, const struct rpc_tls_options *options, struct rpc_tls **ret_tls)
{
	_cleanup_(rpc_tls_freep) struct rpc_tls *tls = calloc(1, sizeof(*tls));
	int r;

	if (!tls)
		return -ENOMEM;
	tls->rpc = rpc;
	tls->handshake_usec =
		options->handshake_usec ? options->handshake_usec : RPC_TLS_HANDSHAKE_USEC;
	list_init(&tls->listeners);
	list_init(&tls->hellos);
	token_bucket_init(
		&tls->accepts, &(struct token_limit){.rate = RPC_TLS_RATE, .burst = RPC_TLS_BURST});
	token_bucket_init(&tls->refusals,
		&(struct token_limit){.rate = RPC_TLS_REFUSALS, .burst = RPC_TLS_REFUSALS});
	token_bucket_init(&tls->records,
		&(struct token_limit){.rate = RPC_TLS_RECORD_RATE, .burst = RPC_TLS_RECORDS});
	tls->dir = strdup(options->dir);
	r = tls->dir ? tls_store_new(options->dir, &tls->store) : -ENOMEM;
	if (r >= 0)
		r = sd_event_add_time(
			rpc->event, &tls->rest, CLOCK_MONOTONIC, 0, 0, on_rested, tls);
	if (r >= 0)
		r = sd_event_source_set_enabled(tls->rest, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time(
			rpc->event, &tls->look, CLOCK_MONOTONIC, 0, LOOK_SLACK_USEC, on_look, tls);
	if (r >= 0)
		r = sd_event_source_set_enabled(tls->look, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_defer(rpc->event, &tls->review, on_review, tls);
	if (r >= 0)
		r = sd_event_source_set_enabled(tls->review, SD_EVENT_OFF);
	if (r < 0)
		return r;
	*ret_tls = TAKE_PTR(tls);
	return 0;
}

struct rpc_tls *rpc_tls_free(struct rpc_tls *tls)
{
	struct list *pos, *tmp;

	if (!tls)
		return NULL;
	list_for_each_safe (pos, tmp, &tls->listeners)
		(void)listener_free(list_entry(pos, struct tls_listener, link));
	list_for_each_safe (pos, tmp, &tls->hellos)
		(void)hello_free(list_entry(pos, struct hello, link));
	sd_event_source_disable_unref(tls->rest);
	sd_event_source_disable_unref(tls->look);
	sd_event_source_disable_unref(tls->review);
	(void)tls_creds_unref(tls->creds);
	(void)tls_store_free(tls->store);
	free(tls->dir);
	free(tls);
	return NULL;
}

int rpc_tls_check(struct rpc_tls *tls, char why[TLS_WHY_MAX])
{
	_cleanup_(tls_creds_unrefp) struct tls_creds *creds = NULL;
	int r = tls_store_get(tls->store, &creds, why);

	return r < 0 ? r : 0;
}

int rpc_tls_open_socket(const char *text)
{
	return listen_tcp(text, TLS_DEFAULT_PORT, /* loopback_only= */ false);
}
