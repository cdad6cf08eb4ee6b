/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A port on a tap: see port-tap.h. Tested by tests/unit/test-port-packet.c. */
#include "devices/net/port-tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFER_SIZE (FRAME_MAX + 4)

static int transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct port_tap *tap = container_of(port, struct port_tap, port);
	struct iovec iov[1 + FRAME_MAX_IOV];
	uint8_t scratch[4];
	struct net_hdr hdr;
	uint32_t len;
	unsigned n = frame_iov(frame, tci, scratch, iov + 1, &hdr, &len);

	iov[0] = (struct iovec){&hdr, sizeof(hdr)};
	hdr.num_buffers = 0;
	if (writev(tap->fd, iov, (int)(n + 1)) >= 0)
		return 0;
	return errno == EAGAIN ? -ENOBUFS : -errno;
}

static const struct port_ops tap_port_ops = {.transmit = transmit};

static void give(struct port_tap *tap, const struct net_hdr *hdr, uint32_t len, uint64_t now_ns)
{
	struct iovec iov = {tap->buffer, len};
	struct frame frame;
	enum net_drop reason = frame_init(&frame, hdr, &iov, 1, len, FRAME_MAX, -1);

	if (reason != NET_DROP_NONE)
		vswitch_drop(&tap->port, reason);
	else if (tap->input)
		tap->input(tap, &frame, now_ns);
	else if (vswitch_input(tap->port.sw, &tap->port, &frame, now_ns) == -EAGAIN)
		vswitch_drop(&tap->port, NET_DROP_FULL);
}

static void on_readable(void *opaque, uint32_t events)
{
	struct port_tap *tap = opaque;
	uint64_t now_ns = loop_now_ns(tap->loop);
	struct vswitch *sw = tap->port.sw;

	(void)events;
	for (unsigned i = 0; i < PORT_TAP_BUDGET; i++) {
		struct net_hdr hdr;
		struct iovec iov[2] = {{&hdr, sizeof(hdr)}, {tap->buffer, BUFFER_SIZE}};
		ssize_t n = readv(tap->fd, iov, 2);

		if (n < 0) {
			/* EIO: the interface is down; it may come up again, and then there is something to read. */
			if (errno != EAGAIN && errno != EINTR && errno != EIO)
				tap->source = loop_source_remove(tap->source);
			break;
		}
		if (n > (ssize_t)sizeof(hdr))
			give(tap, &hdr, (uint32_t)((size_t)n - sizeof(hdr)), now_ns);
	}
	if (tap->input)
		tap->input_done(tap, now_ns);
	else if (sw)
		vswitch_flush(sw);
}

int port_tap_init(struct port_tap *tap, struct loop *loop, int fd)
{
	int r;

	tap->port.ops = &tap_port_ops;
	tap->loop = loop;
	tap->fd = fd;
	tap->buffer = malloc(BUFFER_SIZE);
	if (!tap->buffer)
		return -ENOMEM;
	r = loop_add_fd(loop, fd, EPOLLIN, on_readable, tap, &tap->source);
	if (r < 0)
		port_tap_done(tap);
	return r;
}

void port_tap_done(struct port_tap *tap)
{
	tap->source = loop_source_remove(tap->source);
	free(tap->buffer);
	tap->buffer = NULL;
}
