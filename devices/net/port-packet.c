/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A port on a NIC: see port-packet.h. */
#include "devices/net/port-packet.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "devices/net/offload.h"
#include "vmm-core/base/strutil.h"

#define BUFFER_SIZE (FRAME_MAX + 4)
#define HDR_SIZE    10 /* struct virtio_net_hdr, without num_buffers */

struct port_packet_slots {
	struct mmsghdr messages[PORT_PACKET_BATCH];
	struct slot {
		struct net_hdr hdr;
		struct iovec iov[2];
		union {
			char bytes[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
			struct cmsghdr align;
		} control;
		uint8_t data[BUFFER_SIZE];
	} slots[PORT_PACKET_BATCH];
	struct offload_scratch scratch; /* of what is cut */
};

static int send_whole(void *port, const struct frame *frame, int32_t tci)
{
	struct port_packet *packet = port;
	struct iovec iov[1 + FRAME_MAX_IOV];
	uint8_t scratch[4];
	struct net_hdr hdr;
	uint32_t len;
	unsigned n = frame_iov(frame, tci, scratch, iov + 1, &hdr, &len);
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = n + 1};

	iov[0] = (struct iovec){&hdr, HDR_SIZE};
	if (sendmsg(packet->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EAGAIN ? -ENOBUFS : -errno;
}

static int transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct port_packet *packet = container_of(port, struct port_packet, port);

	return offload_send(frame, tci, &packet->slots->scratch, send_whole, packet);
}

static const struct port_ops packet_port_ops = {.transmit = transmit};

static int32_t tag_of(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		struct tpacket_auxdata aux;

		if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
			c->cmsg_len < CMSG_LEN(sizeof(aux)))
			continue;
		memcpy(&aux, CMSG_DATA(c), sizeof(aux));
		if (aux.tp_status & TP_STATUS_VLAN_VALID)
			return aux.tp_vlan_tci;
	}
	return -1;
}

static void give(struct port_packet *packet, struct slot *slot, struct mmsghdr *m, uint64_t now_ns)
{
	struct iovec iov = {slot->data, BUFFER_SIZE};
	struct frame frame;
	enum net_drop reason;

	if (m->msg_len <= HDR_SIZE || m->msg_hdr.msg_flags & MSG_TRUNC) {
		vswitch_drop(&packet->port, NET_DROP_MALFORMED);
		return;
	}
	slot->hdr.num_buffers = 0;
	reason = frame_init(
		&frame, &slot->hdr, &iov, 1, m->msg_len - HDR_SIZE, FRAME_MAX, tag_of(&m->msg_hdr));
	if (reason != NET_DROP_NONE)
		vswitch_drop(&packet->port, reason);
	else if (packet->input)
		packet->input(packet, &frame, now_ns);
	else if (vswitch_input(packet->port.sw, &packet->port, &frame, now_ns) == -EAGAIN)
		vswitch_drop(&packet->port, NET_DROP_FULL);
}

static void prepare(struct port_packet_slots *s)
{
	for (unsigned i = 0; i < PORT_PACKET_BATCH; i++) {
		struct slot *slot = &s->slots[i];

		slot->iov[0] = (struct iovec){&slot->hdr, HDR_SIZE};
		slot->iov[1] = (struct iovec){slot->data, BUFFER_SIZE};
		s->messages[i].msg_hdr = (struct msghdr){.msg_iov = slot->iov,
			.msg_iovlen = 2,
			.msg_control = slot->control.bytes,
			.msg_controllen = sizeof(slot->control.bytes)};
	}
}

static void on_readable(void *opaque, uint32_t events)
{
	struct port_packet *packet = opaque;
	uint64_t now_ns = loop_now_ns(packet->loop);
	struct vswitch *sw = packet->port.sw;
	int n;

	(void)events;
	prepare(packet->slots);
	n = recvmmsg(packet->fd, packet->slots->messages, PORT_PACKET_BATCH, MSG_DONTWAIT, NULL);
	/* ENETDOWN: told once when the NIC goes down; ENODEV: it is gone for good. */
	if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENETDOWN)
		packet->source = loop_source_remove(packet->source);
	for (int i = 0; i < n; i++)
		give(packet, &packet->slots->slots[i], &packet->slots->messages[i], now_ns);
	if (packet->input)
		packet->input_done(packet, now_ns);
	else if (sw)
		vswitch_flush(sw);
}

int port_packet_init(struct port_packet *packet, struct loop *loop, int fd, const char *ifname)
{
	int r;

	packet->port.ops = &packet_port_ops;
	packet->loop = loop;
	packet->fd = fd;
	(void)str_copy(packet->ifname, sizeof(packet->ifname), ifname);
	packet->slots = calloc(1, sizeof(*packet->slots));
	if (!packet->slots)
		return -ENOMEM;
	r = loop_add_fd(loop, fd, EPOLLIN, on_readable, packet, &packet->source);
	if (r < 0)
		port_packet_done(packet);
	return r;
}

void port_packet_done(struct port_packet *packet)
{
	packet->source = loop_source_remove(packet->source);
	free(packet->slots);
	packet->slots = NULL;
}

static int ethtool(const struct port_packet *packet, void *command)
{
	struct ifreq ifr = {0};

	memcpy(ifr.ifr_name, packet->ifname, sizeof(ifr.ifr_name));
	ifr.ifr_data = command;
	return ioctl(packet->fd, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
}

/* The socket knows the NIC by its index, ethtool by its name: both must be there. */
static bool is_bound(const struct port_packet *packet)
{
	uint8_t byte;

	return recv(packet->fd, &byte, 0, MSG_PEEK | MSG_DONTWAIT) >= 0 || errno != ENODEV;
}

int port_packet_link(const struct port_packet *packet, uint32_t *ret_mbps)
{
	struct ethtool_value link = {.cmd = ETHTOOL_GLINK};
	int r = is_bound(packet) ? ethtool(packet, &link) : -ENODEV;

	if (r < 0)
		return r;
	if (ret_mbps && link.data) {
		/* The old request: one call where the new one needs two, and good for a weight. */
		struct ethtool_cmd speed = {.cmd = ETHTOOL_GSET};

		*ret_mbps = 0;
		if (ethtool(packet, &speed) == 0 &&
			ethtool_cmd_speed(&speed) != (uint32_t)SPEED_UNKNOWN)
			*ret_mbps = ethtool_cmd_speed(&speed);
	}
	return link.data != 0;
}

uint32_t port_packet_pending(const struct port_packet *packet)
{
	int bytes = 0;

	return ioctl(packet->fd, SIOCOUTQ, &bytes) < 0 || bytes < 0 ? 0 : (uint32_t)bytes;
}
