/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Character devices: a ring of output with one position per reader. See chardev.h.
 *
 * Output is collected: chardev_write() only copies into the ring and arms a timer, so a guest that prints byte by
 * byte costs one write(2) per FLUSH_DELAY_NS and not one per byte. Fds are watched edge-triggered with one
 * registration for their whole life; 'readable' and 'writable' remember the edges.
 *
 * Ptys. A master says EPOLLHUP while nobody has the slave open, and nothing at all when somebody opens it. So
 * output that comes while nobody is there asks again (a re-registration answers with the present state), at most
 * once per PROBE_INTERVAL_NS; the slave's first byte of input tells as well. A pty that is open and full for
 * PTY_PATIENCE_NS (somebody holds the slave and never reads) counts as nobody's until it takes bytes again. Before the
 * slave's first use (input, or a hang-up) a master looks open although nobody is there: then there is no patience.
 */
#include "vmm-core/chardev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"

#define RING_SIZE         ((uint64_t)VMMD_SCROLLBACK_BYTES)
#define FLUSH_DELAY_NS    (500 * NSEC_PER_USEC)
#define FLUSH_AT_ONCE     4096 /* bytes waiting that are worth a write by themselves */
#define PROBE_INTERVAL_NS (250 * NSEC_PER_MSEC)
#define PTY_PATIENCE_NS   (10 * NSEC_PER_SEC)
#define TURN_BUDGET       KIB(64) /* bytes per direction and endpoint before others have their turn */

static_assert((RING_SIZE & (RING_SIZE - 1)) == 0, "positions are taken modulo the ring's size");

enum endpoint_kind { ENDPOINT_FILE, ENDPOINT_STREAM, ENDPOINT_PTY };

struct endpoint {
	struct chardev *cd;
	int fd;
	enum endpoint_kind kind;
	struct loop_source *source;
	uint64_t pos;   /* total bytes of output given to it or lost on it */
	bool connected; /* somebody may read: output waits for it */
	bool readable, writable;
	bool eof;  /* the peer will send no more (stream) */
	bool gone; /* the peer will take no more (stream) */
	bool probing;
	bool used; /* pty: somebody had the slave open once */
	uint64_t probed_ns;
	uint64_t stalled_ns; /* pty: since when it takes nothing; LOOP_NEVER: it does */
};

struct chardev {
	struct loop *loop;
	const struct chardev_ops *ops;
	void *opaque;
	unsigned flags;
	uint8_t *ring;
	uint64_t head; /* total bytes of output */
	struct endpoint endpoints[2];
	int listen_fd;
	struct loop_source *listen_source;
	struct loop_timer timer;
	bool short_write, reported_connected;
};

enum { BACKEND, CONSOLE };

static void accept_client(struct chardev *cd);

static uint64_t now_ns(const struct chardev *cd)
{
	return loop_now_ns(cd->loop);
}

static uint64_t ring_base(const struct chardev *cd)
{
	return cd->head > RING_SIZE ? cd->head - RING_SIZE : 0;
}

/* Output positions. */

static uint64_t room(const struct chardev *cd)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(cd->endpoints); i++) {
		const struct endpoint *e = &cd->endpoints[i];

		if (e->fd >= 0 && e->connected)
			most = MAX(most, cd->head - e->pos);
	}
	return RING_SIZE - MIN(most, RING_SIZE);
}

static bool has_connected(const struct chardev *cd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cd->endpoints); i++)
		if (cd->endpoints[i].fd >= 0 && cd->endpoints[i].connected)
			return true;
	return false;
}

static uint64_t patience_ends(const struct endpoint *e)
{
	return e->stalled_ns + (e->used ? PTY_PATIENCE_NS : 0);
}

static void wake_at(struct chardev *cd, uint64_t deadline_ns)
{
	if (deadline_ns < cd->timer.deadline_ns)
		(void)loop_timer_set(&cd->timer, deadline_ns);
}

/* When the loop has to look at 'e' without being woken by its fd. */
static uint64_t next_visit(const struct endpoint *e, uint64_t now)
{
	uint64_t pending = e->cd->head - e->pos;

	if (e->fd < 0 || !pending)
		return LOOP_NEVER;
	if (e->connected && e->writable)
		return pending >= FLUSH_AT_ONCE ? now : now + FLUSH_DELAY_NS;
	if (e->kind != ENDPOINT_PTY)
		return LOOP_NEVER;
	if (e->connected)
		return e->cd->short_write && e->stalled_ns != LOOP_NEVER ? patience_ends(e)
									 : LOOP_NEVER;
	return e->probing ? LOOP_NEVER
			  : MAX(now + FLUSH_DELAY_NS, e->probed_ns + PROBE_INTERVAL_NS);
}

static void schedule(struct chardev *cd)
{
	uint64_t now = now_ns(cd);

	for (unsigned i = 0; i < ARRAY_SIZE(cd->endpoints); i++)
		wake_at(cd, next_visit(&cd->endpoints[i], now));
}

static void report_connected(struct chardev *cd)
{
	bool on = has_connected(cd);

	if (on == cd->reported_connected)
		return;
	cd->reported_connected = on;
	if (cd->ops && cd->ops->connected)
		cd->ops->connected(cd->opaque, on);
}

/* Endpoints. */

static void endpoint_event(void *opaque, uint32_t events);

static void endpoint_close(struct endpoint *e)
{
	e->source = loop_source_remove(e->source);
	e->fd = safe_close(e->fd);
	e->connected = e->readable = e->writable = false;
}

static int endpoint_open(
	struct endpoint *e, int fd, enum endpoint_kind kind, uint64_t pos, uint32_t extra_events)
{
	struct chardev *cd = e->cd;
	int r;

	*e = (struct endpoint){
		.cd = cd,
		.fd = fd,
		.kind = kind,
		.pos = pos,
		.connected = true,
		.writable = true,
		.stalled_ns = LOOP_NEVER,
	};
	if (kind == ENDPOINT_FILE)
		return 0;
	r = fd_set_nonblock(fd, true);
	if (r >= 0)
		r = loop_add_fd(cd->loop, fd, EPOLLIN | EPOLLOUT | EPOLLET | extra_events,
			endpoint_event, e, &e->source);
	if (r < 0) {
		e->fd = -EBADF;
		e->connected = false;
	}
	return r;
}

/* The peer is lost, or half of it: what is left to read is still read. */
static void endpoint_gone(struct endpoint *e)
{
	e->gone = true;
	e->connected = false;
	e->pos = e->cd->head;
	if (e->eof)
		endpoint_close(e);
}

static ssize_t endpoint_send(const struct endpoint *e, const uint8_t *data, size_t len)
{
	ssize_t n;

	do
		n = e->kind == ENDPOINT_STREAM ? send(e->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT)
					       : write(e->fd, data, len);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = EAGAIN;
	return n;
}

static void send_failed(struct endpoint *e, int error)
{
	if (e->kind == ENDPOINT_FILE) {
		/* A full disk must not stop the guest; what comes after this may fit again. */
		e->pos = e->cd->head;
		return;
	}
	e->writable = false;
	if (error == EAGAIN) {
		if (e->stalled_ns == LOOP_NEVER)
			e->stalled_ns = now_ns(e->cd);
	} else if (e->kind == ENDPOINT_STREAM) {
		endpoint_gone(e);
	}
}

/* Ask whether somebody has opened the slave meanwhile; endpoint_event() hears the answer in the next turn. */
static void probe_pty(struct endpoint *e)
{
	if (e->probing || now_ns(e->cd) < e->probed_ns + PROBE_INTERVAL_NS)
		return;
	e->probed_ns = now_ns(e->cd);
	e->probing = loop_source_set_events(e->source, EPOLLIN | EPOLLOUT | EPOLLET) >= 0;
}

static void flush_endpoint(struct endpoint *e)
{
	struct chardev *cd = e->cd;
	uint64_t budget = TURN_BUDGET;

	if (e->fd < 0 || e->gone)
		return;
	e->pos = MAX(e->pos, ring_base(cd));
	if (e->pos == cd->head)
		return;
	if (!e->connected) {
		probe_pty(e);
		return;
	}
	while (e->fd >= 0 && e->writable && e->pos < cd->head && budget) {
		uint64_t start = e->pos % RING_SIZE;
		uint64_t whole = MIN(cd->head - e->pos, RING_SIZE - start);
		ssize_t n = endpoint_send(e, cd->ring + start, MIN(whole, budget));

		if (n <= 0) {
			send_failed(e, errno);
			return;
		}
		e->pos += (uint64_t)n;
		e->stalled_ns = LOOP_NEVER;
		budget -= (uint64_t)n;
	}
	if (e->kind == ENDPOINT_PTY && !e->writable && e->stalled_ns != LOOP_NEVER &&
		cd->short_write && now_ns(cd) >= patience_ends(e)) {
		e->connected = false;
		e->probing = true; /* its next EPOLLOUT is the answer */
		e->pos = cd->head;
	}
}

static void receive_failed(struct endpoint *e, ssize_t n)
{
	bool again = n < 0 && (errno == EAGAIN || errno == EINTR);

	e->readable = n < 0 && errno == EINTR;
	if (again || e->kind != ENDPOINT_STREAM)
		return; /* EIO of a pty: nobody there, as EPOLLHUP said */
	e->eof = true;
	if (n < 0 || e->gone)
		endpoint_gone(e);
}

static void receive(struct endpoint *e)
{
	struct chardev *cd = e->cd;
	uint8_t buf[4096];
	uint64_t budget = TURN_BUDGET;

	while (e->fd >= 0 && e->readable && !e->eof && cd->ops) {
		size_t want = MIN(cd->ops->can_read(cd->opaque), sizeof(buf));
		ssize_t n;

		if (!want)
			return;
		if (!budget) {
			wake_at(cd, now_ns(cd));
			return;
		}
		n = read(e->fd, buf, MIN(want, budget));
		if (n <= 0) {
			receive_failed(e, n);
			continue;
		}
		budget -= (uint64_t)n;
		cd->ops->read(cd->opaque, buf, (size_t)n);
	}
}

/* Move what can be moved, tell the device, and come back when it is time. */
static void service(struct chardev *cd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cd->endpoints); i++) {
		flush_endpoint(&cd->endpoints[i]);
		receive(&cd->endpoints[i]);
	}
	if (cd->listen_source)
		accept_client(cd);
	report_connected(cd);
	if (cd->short_write && room(cd)) {
		cd->short_write = false;
		if (cd->ops && cd->ops->writable)
			cd->ops->writable(cd->opaque);
	}
	schedule(cd);
}

static void on_timer(struct loop_timer *timer, uint64_t now)
{
	(void)now;
	service(container_of(timer, struct chardev, timer));
}

static void pty_event(struct endpoint *e, uint32_t events)
{
	struct chardev *cd = e->cd;

	if (events & (EPOLLHUP | EPOLLIN))
		e->used = true;
	if (events & EPOLLHUP) {
		if (e->connected || e->probing)
			e->pos = cd->head;
		e->connected = false;
	} else if (events & EPOLLOUT || !e->probing) {
		if (!e->connected)
			e->pos = MAX(e->pos, ring_base(cd));
		e->connected = true;
	}
	e->probing = false;
}

static void endpoint_event(void *opaque, uint32_t events)
{
	struct endpoint *e = opaque;

	if (events & EPOLLOUT) {
		e->writable = true;
		e->stalled_ns = LOOP_NEVER;
	}
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		e->readable = true;
	if (e->kind == ENDPOINT_PTY)
		pty_event(e, events);
	else if (events & (EPOLLHUP | EPOLLERR) && !e->gone)
		endpoint_gone(e);
	service(e->cd);
}

/* A listening backend. */

static void accept_client(struct chardev *cd)
{
	struct endpoint *e = &cd->endpoints[BACKEND];
	int fd;

	while (e->fd < 0 || e->gone) {
		fd = accept4(cd->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return;
		/* The last client left input that nobody wants. */
		endpoint_close(e);
		if (endpoint_open(e, fd, ENDPOINT_STREAM, cd->head, EPOLLRDHUP) < 0) {
			(void)safe_close(fd);
			return;
		}
	}
}

static void on_listen(void *opaque, uint32_t events)
{
	(void)events;
	service(opaque);
}

/* Life. */

static int open_backend(struct chardev *cd, int fd)
{
	struct stat st;
	int r;

	if (cd->flags & CHARDEV_LISTENING) {
		r = fd_set_nonblock(fd, true);
		if (r < 0)
			return r;
		r = loop_add_fd(cd->loop, fd, EPOLLIN | EPOLLET, on_listen, cd, &cd->listen_source);
		if (r >= 0)
			cd->listen_fd = fd;
		return r;
	}
	if (cd->flags & CHARDEV_FILE)
		return endpoint_open(&cd->endpoints[BACKEND], fd, ENDPOINT_FILE, 0, 0);
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISSOCK(st.st_mode))
		return endpoint_open(&cd->endpoints[BACKEND], fd, ENDPOINT_STREAM, 0, EPOLLRDHUP);
	return endpoint_open(&cd->endpoints[BACKEND], fd, ENDPOINT_PTY, 0, 0);
}

int chardev_new(struct loop *loop, int fd, unsigned flags, struct chardev **ret_cd)
{
	_cleanup_(chardev_freep) struct chardev *cd = calloc(1, sizeof(*cd));
	int r;

	if (!cd)
		return -ENOMEM;
	cd->loop = loop;
	cd->flags = flags;
	cd->listen_fd = -EBADF;
	for (unsigned i = 0; i < ARRAY_SIZE(cd->endpoints); i++)
		cd->endpoints[i] = (struct endpoint){.cd = cd, .fd = -EBADF};
	loop_timer_init(&cd->timer, loop, on_timer);
	cd->ring = malloc(RING_SIZE);
	if (!cd->ring)
		return -ENOMEM;
	if (fd >= 0) {
		r = open_backend(cd, fd);
		if (r < 0)
			return r;
	}
	cd->reported_connected = has_connected(cd);
	*ret_cd = TAKE_PTR(cd);
	return 0;
}

struct chardev *chardev_free(struct chardev *cd)
{
	if (!cd)
		return NULL;
	loop_timer_stop(&cd->timer);
	for (unsigned i = 0; i < ARRAY_SIZE(cd->endpoints); i++) {
		/* The guest's last words, as far as they go at once. */
		flush_endpoint(&cd->endpoints[i]);
		endpoint_close(&cd->endpoints[i]);
	}
	cd->listen_source = loop_source_remove(cd->listen_source);
	(void)safe_close(cd->listen_fd);
	free(cd->ring);
	free(cd);
	return NULL;
}

void chardev_bind(struct chardev *cd, const struct chardev_ops *ops, void *opaque)
{
	cd->ops = ops;
	cd->opaque = opaque;
	cd->reported_connected = has_connected(cd);
	chardev_kick_input(cd);
}

/* Use. */

static void append(struct chardev *cd, const uint8_t *data, size_t len)
{
	uint64_t start, first;

	if (len > RING_SIZE) {
		cd->head += len - RING_SIZE;
		data += len - RING_SIZE;
		len = RING_SIZE;
	}
	start = cd->head % RING_SIZE;
	first = MIN((uint64_t)len, RING_SIZE - start);
	memcpy(cd->ring + start, data, first);
	memcpy(cd->ring, data + first, len - first);
	cd->head += len;
}

size_t chardev_write(struct chardev *cd, const uint8_t *data, size_t len)
{
	/* Nobody there: nobody is held up. */
	size_t n = has_connected(cd) ? (size_t)MIN((uint64_t)len, room(cd)) : len;

	if (n)
		append(cd, data, n);
	cd->short_write = n < len;
	schedule(cd);
	return n;
}

void chardev_kick_input(struct chardev *cd)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cd->endpoints); i++)
		if (cd->endpoints[i].fd >= 0 && cd->endpoints[i].readable)
			wake_at(cd, now_ns(cd));
}

int chardev_attach(struct chardev *cd, int fd, bool force)
{
	struct endpoint *e = &cd->endpoints[CONSOLE];
	uint64_t pos = cd->flags & CHARDEV_NO_REPLAY ? cd->head : ring_base(cd);
	int r;

	if (e->fd >= 0 && !e->gone && !force)
		return -EBUSY;
	endpoint_close(e);
	r = endpoint_open(e, fd, ENDPOINT_STREAM, pos, EPOLLRDHUP);
	report_connected(cd);
	if (r < 0)
		return r;
	wake_at(cd, now_ns(cd));
	return 0;
}

void chardev_resize(struct chardev *cd, uint16_t cols, uint16_t rows)
{
	if (cd->ops && cd->ops->resized)
		cd->ops->resized(cd->opaque, cols, rows);
}

bool chardev_is_connected(const struct chardev *cd)
{
	return has_connected(cd);
}
