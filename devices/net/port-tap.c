/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A port on a tap: see port-tap.h. Tested by tests/unit/test-port-packet.c and tests/unit/test-nic-tap.c. */
#include "devices/net/port-tap.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFER_SIZE (FRAME_MAX + 4)
#define MAX_BAD     64 /* reads that fail one after the other: no longer the frames' fault */

static int send_whole(void *port, const struct frame *frame, int32_t tci)
{
	struct port_tap *tap = port;
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

static int transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct port_tap *tap = container_of(port, struct port_tap, port);

	return offload_send(frame, tci, tap->scratch, send_whole, tap);
}

static const struct port_ops tap_port_ops = {.transmit = transmit};

/* The frame in the buffer. False: it stays there, for a receiver that has no room. */
static bool give(struct port_tap *tap, uint32_t len, uint64_t now_ns)
{
	struct iovec iov = {tap->buffer, len};
	struct frame frame;
	enum net_drop reason = frame_init(&frame, &tap->hdr, &iov, 1, len, FRAME_MAX, -1);

	if (reason != NET_DROP_NONE) {
		vswitch_drop(&tap->port, reason);
		return true;
	}
	if (tap->input) {
		tap->input(tap, &frame, now_ns);
		return true;
	}
	if (vswitch_input(tap->port.sw, &tap->port, &frame, now_ns) != -EAGAIN)
		return true;
	if (tap->patient)
		return false;
	vswitch_drop(&tap->port, NET_DROP_FULL);
	return true;
}

/* After a read that gave no frame: is there to be another one? */
static bool read_on(struct port_tap *tap, ssize_t n)
{
	if (n < 0 && (errno == EINVAL || errno == EFAULT || errno == EMSGSIZE) &&
		++tap->n_bad < MAX_BAD) {
		/* The kernel could not describe it, and has thrown it away. */
		vswitch_drop(&tap->port, NET_DROP_MALFORMED);
		return true;
	}
	/* EIO: the interface is down; it may come up again, and then there is something to read. */
	if (n == 0 || (errno != EAGAIN && errno != EINTR && errno != EIO))
		tap->source = loop_source_remove(tap->source);
	else
		(void)loop_rest(&tap->poller);
	return false;
}

/* Up to the budget. What is left makes the loop come again, but for a frame that waits: then nothing is watched. */
static void read_frames(struct port_tap *tap, uint64_t now_ns)
{
	struct iovec iov[2] = {{&tap->hdr, sizeof(tap->hdr)}, {tap->buffer, BUFFER_SIZE}};

	for (unsigned i = 0; i < PORT_TAP_BUDGET; i++) {
		ssize_t n = readv(tap->fd, iov, 2);
		uint32_t len;

		if (n <= 0) {
			if (read_on(tap, n))
				continue;
			break;
		}
		tap->n_bad = 0;
		if (n <= (ssize_t)sizeof(tap->hdr))
			continue;
		len = (uint32_t)((size_t)n - sizeof(tap->hdr));
		if (!give(tap, len, now_ns)) {
			tap->kept_len = len;
			/* Removed: a source that wants no events is told of a tap that went, over and over. */
			tap->source = loop_source_remove(tap->source);
			break;
		}
	}
}

static void on_readable(void *opaque, uint32_t events)
{
	struct port_tap *tap = opaque;
	uint64_t now_ns = loop_now_ns(tap->loop);

	(void)events;
	read_frames(tap, now_ns);
	if (tap->input)
		tap->input_done(tap, now_ns);
	else if (tap->port.sw)
		vswitch_flush(tap->port.sw);
}

void port_tap_ready(struct port_tap *tap)
{
	if (!tap->kept_len || !give(tap, tap->kept_len, loop_now_ns(tap->loop)))
		return;
	tap->kept_len = 0;
	/* The loop reads on, when it has come to the others. Without memory for that the port is dead, as when its tap went. */
	(void)loop_add_fd(tap->loop, tap->fd, EPOLLIN, on_readable, tap, &tap->source);
	vswitch_flush(tap->port.sw);
}

int port_tap_init(struct port_tap *tap, struct loop *loop, int fd)
{
	int r;

	tap->port.ops = &tap_port_ops;
	tap->loop = loop;
	tap->fd = fd;
	tap->kept_len = 0;
	/* The tap tells by itself: there is nothing to look into, and nobody to ask. */
	loop_poller_init(&tap->poller, loop, tap->poll_ns, NULL, NULL);
	tap->n_bad = 0;
	tap->buffer = malloc(BUFFER_SIZE);
	tap->scratch = calloc(1, sizeof(*tap->scratch));
	if (!tap->buffer || !tap->scratch) {
		port_tap_done(tap);
		return -ENOMEM;
	}
	r = loop_add_fd(loop, fd, EPOLLIN, on_readable, tap, &tap->source);
	if (r < 0)
		port_tap_done(tap);
	return r;
}

void port_tap_done(struct port_tap *tap)
{
	tap->source = loop_source_remove(tap->source);
	loop_poller_stop(&tap->poller);
	free(tap->buffer);
	free(tap->scratch);
	tap->buffer = NULL;
	tap->scratch = NULL;
	tap->kept_len = 0;
}

int port_tap_link(const struct port_tap *tap, int sock)
{
	struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
	struct ifreq ifr = {0};

	if (!tap->source && !tap->kept_len)
		return -ENODEV;
	/* A tap says EBADFD when its interface is gone, a macvtap ENOLINK; what is no tap at all has no interface. */
	if (ioctl(tap->fd, TUNGETIFF, &ifr) < 0)
		return errno == EBADFD || errno == ENOLINK ? -ENODEV : 1;
	ifr.ifr_data = (void *)&link;
	if (sock < 0)
		return 1;
	if (ioctl(sock, SIOCETHTOOL, &ifr) < 0)
		return errno == ENODEV ? -ENODEV : 1;
	return link.data != 0;
}
