/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Captures: see capture.h. Tested by tests/unit/test-capture.c. */
#include "devices/net/capture.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "vmm-core/base/fdio.h"

struct capture {
	struct port port; /* first; in the switch, if there is one */
	struct captures *owner;
	struct list node;
	struct capture_spec spec;
	struct loop_source *source;
	int fd;
	bool gone; /* the reader is; to be ended by flush() */
	uint64_t n_lost;
	struct net_port_counters counters;
	struct capture_counts *counts; /* the page of both, or, for want of one, 'own' */
	struct capture_counts own;
};

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		memory_order_relaxed);
}

/* Shut down, not closed alone: the daemon has a copy of the fd. */
static void end(struct capture *c, enum capture_ended why)
{
	atomic_store_explicit(&c->counts->ended, why, memory_order_relaxed);
	(void)shutdown(c->fd, SHUT_RDWR);
	if (c->counts != &c->own)
		(void)munmap(c->counts, sizeof(*c->counts));
	if (c->port.sw)
		vswitch_remove(c->port.sw, &c->port);
	c->source = loop_source_remove(c->source);
	(void)safe_close(c->fd);
	list_del(&c->node);
	c->owner->n--;
	free(c);
}

/* As many of the iovecs as 'limit' bytes need. */
static unsigned cut(struct iovec *iov, unsigned n, uint32_t limit)
{
	for (unsigned i = 0; i < n; i++) {
		if (iov[i].iov_len >= limit) {
			iov[i].iov_len = limit;
			return i + 1;
		}
		limit -= (uint32_t)iov[i].iov_len;
	}
	return n;
}

/* Without SIGPIPE, which a worker ignores, and without waiting. */
static int send_record(
	struct capture *c, unsigned direction, const struct frame *frame, int32_t tci)
{
	struct iovec iov[1 + FRAME_MAX_IOV];
	struct capture_record record;
	uint8_t scratch[4];
	struct net_hdr hdr;
	uint32_t len;
	unsigned n = frame_iov(frame, tci, scratch, iov + 1, &hdr, &len);

	record = (struct capture_record){
		.len = htobe32(len),
		.direction = (uint8_t)direction,
		.flags = hdr.flags & NET_HDR_F_NEEDS_CSUM ? CAPTURE_PARTIAL_CSUM : 0,
		.gso_type = hdr.gso_type,
		.gso_size = htobe16(hdr.gso_size),
		.time_ns = htobe64(loop_now_ns(c->owner->loop)),
		.n_lost = htobe64(c->n_lost),
	};
	iov[0] = (struct iovec){&record, sizeof(record)};
	n = cut(iov + 1, n, c->spec.snaplen);
	if (writev(c->fd, iov, (int)(n + 1)) >= 0) {
		count(&c->counts->frames, 1);
		count(&c->counts->bytes, len);
		return 0;
	}
	if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
		c->gone = true;
	c->n_lost++;
	count(&c->counts->lost, 1);
	return -ENOBUFS;
}

/* In a switch. */

static int transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct capture *c = container_of(port, struct capture, port);
	unsigned direction = 0;

	if (c->spec.port)
		direction = vswitch_sender(port->sw) == c->spec.port ? CAPTURE_OUT : CAPTURE_IN;
	return send_record(c, direction, frame, tci);
}

static void flush(struct port *port)
{
	struct capture *c = container_of(port, struct capture, port);

	if (c->gone)
		end(c, CAPTURE_ENDED_READER);
}

static const struct port_ops capture_port_ops = {.transmit = transmit, .flush = flush};

static int watch(struct capture *c)
{
	const struct net_port_config config = {.mtu = NET_MTU_MAX};
	struct vswitch *sw = c->owner->sw;
	unsigned dir = VSWITCH_MIRROR_TX;
	int r;

	if (!sw)
		return 0;
	if (c->spec.port)
		dir = VSWITCH_MIRROR_AS_SEEN |
			(c->spec.direction & CAPTURE_OUT ? VSWITCH_MIRROR_TX : 0) |
			(c->spec.direction & CAPTURE_IN ? VSWITCH_MIRROR_RX : 0);
	c->port.ops = &capture_port_ops;
	c->port.kind = PORT_MIRROR;
	c->port.counters = &c->counters;
	r = vswitch_add(sw, &c->port, &config);
	return r < 0 ? r : vswitch_mirror(sw, c->spec.port, dir, &c->port);
}

/* Without one. */

void captures_show(struct captures *captures, unsigned key, unsigned direction,
	const struct frame *frame, int32_t tci)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &captures->all) {
		struct capture *c = list_entry(pos, struct capture, node);

		if (c->spec.key != key || !(c->spec.direction & direction))
			continue;
		(void)send_record(c, direction, frame, tci);
		if (c->gone)
			end(c, CAPTURE_ENDED_READER);
	}
}

/* Coming and going. */

/* Nothing is ever read: what is told is that the reader has gone. */
static void on_event(void *opaque, uint32_t events)
{
	(void)events;
	end(opaque, CAPTURE_ENDED_READER);
}

static int check(const struct captures *captures, const struct capture_spec *spec, int fd)
{
	struct stat st;

	if (!spec->snaplen || !spec->direction || spec->direction & ~(CAPTURE_IN | CAPTURE_OUT))
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	if (captures->n >= CAPTURES_MAX)
		return -EBUSY;
	return fd_set_nonblock(fd, true);
}

/* The page is the daemon's; the worker closes its fd. */
static int map_counts(struct capture *c, int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;
	void *page;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return -EPERM;
	if ((size_t)st.st_size < sizeof(*c->counts))
		return -EMSGSIZE;
	page = mmap(NULL, sizeof(*c->counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	c->counts = page;
	return 0;
}

static int capture_new(const struct captures *captures, const struct capture_spec *spec, int fd,
	int counts_fd, struct capture **ret)
{
	struct capture *c;
	int r = check(captures, spec, fd);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->counts = &c->own;
	r = map_counts(c, counts_fd);
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

int captures_add(struct captures *captures, const struct capture_spec *spec, int fd, int counts_fd)
{
	struct capture *c;
	int r = capture_new(captures, spec, fd, counts_fd, &c);

	(void)safe_close(counts_fd);
	if (r < 0) {
		(void)safe_close(fd);
		return r;
	}
	c->owner = captures;
	c->spec = *spec;
	c->fd = fd;
	list_add_tail(&captures->all, &c->node);
	captures->n++;
	/* No events: EPOLLHUP and EPOLLERR come unasked. */
	r = loop_add_fd(captures->loop, fd, 0, on_event, c, &c->source);
	if (r == 0)
		r = watch(c);
	if (r < 0)
		end(c, CAPTURE_ENDED_SOURCE);
	return r;
}

void captures_init(struct captures *captures, struct loop *loop, struct vswitch *sw)
{
	*captures = (struct captures){.loop = loop, .sw = sw};
	list_init(&captures->all);
}

void captures_done(struct captures *captures)
{
	struct list *pos, *tmp;

	if (!captures->loop)
		return;
	list_for_each_safe (pos, tmp, &captures->all)
		end(list_entry(pos, struct capture, node), CAPTURE_ENDED_SOURCE);
}
