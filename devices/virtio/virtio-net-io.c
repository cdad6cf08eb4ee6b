/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames of virtio-net, in both directions: see virtio-net.h. */
#include "devices/virtio/virtio-net.h"

#include <errno.h>
#include <string.h>

#define HDR_LEN sizeof(struct net_hdr) /* VERSION_1, without hash reports */

#define TX_KICK_BYTES                                                                              \
	MIB(1) /* of one queue in one turn of the loop; and a ring's worth of frames */

/* Which pair. */

#define PAIR_MASK (NET_STEERING_SIZE - 1)
static_assert(
	VM_MAX_NIC_QUEUES <= PAIR_MASK, "a pair's number fits where the hash's low bits were");

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t load_bytes(const uint8_t *p, unsigned n)
{
	uint64_t word = 0;

	memcpy(&word, p, n);
	return word;
}

/* One end of the flow: an address of 4, 6 or 16 bytes, and its port. */
static uint64_t hash_end(
	const struct virtio_net *net, const uint8_t *addr, unsigned len, uint64_t port)
{
	uint64_t low = load_bytes(addr, MIN(len, 8U)), high = len > 8 ? load_bytes(addr + 8, 8) : 0;

	return mix(mix(low ^ net->seed[0], high ^ net->seed[1]) ^ port, net->seed[0] | 1);
}

/* Of a flow, the same in both directions (frame_hash() tells them apart). Fragments have no ports, so that they stay
 * together. */
static uint32_t flow_hash(const struct virtio_net *net, const struct frame *f)
{
	bool ports = f->l4 && f->flags & (FRAME_TCP | FRAME_UDP) && !(f->flags & FRAME_FRAGMENT);
	uint64_t from = ports ? load_bytes(f->head + f->l4, 2) : 0;
	uint64_t to = ports ? load_bytes(f->head + f->l4 + 2, 2) : 0, sum;

	if (f->flags & FRAME_IPV4)
		sum = hash_end(net, f->head + f->l3 + 12, 4, from) +
			hash_end(net, f->head + f->l3 + 16, 4, to);
	else if (f->flags & FRAME_IPV6)
		sum = hash_end(net, f->head + f->l3 + 8, 16, from) +
			hash_end(net, f->head + f->l3 + 24, 16, to);
	else
		sum = hash_end(net, frame_src(f), NET_MAC_LEN, 0) +
			hash_end(net, frame_dst(f), NET_MAC_LEN, 0);
	sum = mix(sum ^ net->seed[1], (ports ? f->ip_proto : f->ethertype) ^ net->seed[0]);
	return (uint32_t)(sum >> 32);
}

static void steer(struct virtio_net *net, const struct frame *frame, unsigned pair)
{
	uint32_t hash;

	if (net->pairs == 1)
		return;
	hash = flow_hash(net, frame);
	net->steering[hash & PAIR_MASK] = (hash & ~(uint32_t)PAIR_MASK) | (pair + 1);
}

static unsigned pick_pair(const struct virtio_net *net, const struct frame *frame)
{
	uint32_t hash, entry;
	unsigned pair;

	if (net->pairs == 1)
		return 0;
	hash = flow_hash(net, frame);
	entry = net->steering[hash & PAIR_MASK];
	pair = (entry & PAIR_MASK) - 1; /* an empty entry: no pair at all */
	if (!((entry ^ hash) & ~(uint32_t)PAIR_MASK) && pair < net->pairs)
		return pair;
	return (unsigned)((uint64_t)hash * net->pairs >> 32);
}

/* From the guest. */

static void count_drop(struct virtio_net *net, enum net_drop reason)
{
	net_count(&net->port.counters->tx_drops[reason], 1);
	net_count(&net->port.counters->tx_dropped, 1);
}

void virtio_net_apply_features(struct virtio_net *net)
{
	static const struct {
		uint8_t feature, bit;
	} rows[] = {
		{NET_F_CSUM, 0},
		{NET_F_HOST_TSO4, NET_HDR_GSO_TCPV4},
		{NET_F_HOST_UFO, NET_HDR_GSO_UDP},
		{NET_F_HOST_TSO6, NET_HDR_GSO_TCPV6},
		{NET_F_HOST_USO, NET_HDR_GSO_UDP_L4},
		{NET_F_HOST_ECN, 7},
	};

	static_assert(NET_HDR_GSO_ECN == 1U << 7, "a bit of its own");
	net->tx_allowed = 0;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (virtio_has_feature(&net->v, rows[i].feature))
			net->tx_allowed |= 1U << rows[i].bit;
}

/* What a driver must not ask for is no frame (5.1.6.2.1). Of the flags it has one; DATA_VALID, above all, is not a guest's
 * to claim. */
static bool hdr_allowed(const struct virtio_net *net, struct net_hdr *hdr)
{
	unsigned kind = hdr->gso_type & ~NET_HDR_GSO_ECN;

	hdr->flags &= net->tx_allowed & 1 ? NET_HDR_F_NEEDS_CSUM : 0;
	hdr->num_buffers = 0;
	if (hdr->gso_type == NET_HDR_GSO_NONE)
		return true;
	return kind && kind < 7 && net->tx_allowed >> kind & 1 &&
		!(hdr->gso_type & NET_HDR_GSO_ECN & ~net->tx_allowed);
}

/* Move the front of iov[*n_iov] by the header, which is there. */
static struct iovec *skip_hdr(struct iovec *iov, unsigned *n_iov)
{
	for (size_t left = HDR_LEN; left;) {
		size_t part = MIN(iov->iov_len, left);

		iov->iov_base = (uint8_t *)iov->iov_base + part;
		iov->iov_len -= part;
		left -= part;
		if (iov->iov_len)
			break;
		iov++;
		(*n_iov)--;
	}
	return iov;
}

/* 0: dealt with. -EAGAIN: no room now. -EPROTO: the device failed. */
static int send_chain(struct virtio_net *net, unsigned pair, struct virtq_chain *c, bool last)
{
	unsigned n_iov = c->n_readable;
	struct net_hdr hdr;
	struct frame frame;
	struct iovec *iov;
	enum net_drop reason = NET_DROP_MALFORMED;
	int r;

	if (c->n_writable || c->readable_len < HDR_LEN) {
		virtio_fail(&net->v, "a frame of %u bytes to read and %u to write", c->readable_len,
			c->writable_len);
		return -EPROTO;
	}
	(void)virtq_chain_read(c, 0, &hdr, sizeof(hdr));
	iov = skip_hdr(c->iov, &n_iov);
	if (hdr_allowed(net, &hdr))
		reason = frame_init(&frame, &hdr, iov, n_iov, c->readable_len - (uint32_t)HDR_LEN,
			net->max_frame, /* tci= */ -1);
	if (reason != NET_DROP_NONE) {
		count_drop(net, reason);
		return 0;
	}
	r = nic_send(net->nic, &frame, last);
	if (r == 0)
		steer(net, &frame, pair);
	return r;
}

void virtio_net_tx(struct virtio_net *net, unsigned pair)
{
	uint32_t bit = UINT32_C(1) << pair;
	unsigned index = virtio_net_tx_queue(pair), chains = net->v.queues[index].latched_size;
	bool last = net->tx_retry & bit;
	uint64_t bytes = TX_KICK_BYTES;
	struct virtq_chain c;

	if (net->tx_stopped & bit && !last)
		return;
	net->tx_stopped &= ~bit;
	net->tx_retry &= ~bit;
	while (chains && bytes && virtio_pop(&net->v, index, &c)) {
		int r = send_chain(net, pair, &c, last);

		if (r == -EAGAIN) {
			virtio_unpop(&net->v, index);
			net->tx_stopped |= bit;
			break;
		}
		if (r < 0)
			break;
		/* The nic has its copy. */
		virtio_push(&net->v, index, c.head, 0);
		last = false;
		chains--;
		bytes -= MIN(bytes, (uint64_t)c.readable_len);
	}
	nic_flush(net->nic);
	virtio_flush(&net->v, index);
	if ((!chains || !bytes) && virtq_has_work(&net->v.queues[index]))
		virtio_kick_later(&net->v, index);
}

void virtio_net_space(struct port *port)
{
	struct virtio_net *net = container_of(port, struct virtio_net, port);

	/* From the loop's turn, whoever found the room. */
	net->tx_retry |= net->tx_stopped;
	for (uint32_t left = net->tx_stopped; left; left &= left - 1)
		virtio_kick_later(&net->v, virtio_net_tx_queue((unsigned)__builtin_ctz(left)));
}

/* To the guest. */

/* A place in iovecs. */
struct cursor {
	const struct iovec *iov;
	size_t at;
};

static void copy_to(uint8_t *to, struct cursor *from, size_t len)
{
	while (len) {
		size_t part = MIN(from->iov->iov_len - from->at, len);

		memcpy(to, (const uint8_t *)from->iov->iov_base + from->at, part);
		to += part;
		len -= part;
		from->at += part;
		if (from->at == from->iov->iov_len) {
			from->iov++;
			from->at = 0;
		}
	}
}

/* Copy 'len' bytes, which are there on both sides, to the writable part of 'c' from byte 'offset' on. */
static void fill_chain(const struct virtq_chain *c, size_t offset, struct cursor *from, size_t len)
{
	for (const struct iovec *iov = &c->iov[c->n_readable]; len; iov++) {
		size_t part;

		if (offset >= iov->iov_len) {
			offset -= iov->iov_len;
			continue;
		}
		part = MIN(iov->iov_len - offset, len);
		copy_to((uint8_t *)iov->iov_base + offset, from, part);
		len -= part;
		offset = 0;
	}
}

struct used_buffer {
	uint16_t head;
	uint32_t len;
};

/* Put the frame's 'len' bytes, behind a header, into buffers of queue 'index'. They are given back when there are not
 * enough of them; what was written there by then is not seen. */
static int put_frame(struct virtio_net *net, unsigned index, struct net_hdr *hdr,
	const struct iovec *iov, uint32_t len)
{
	struct virtio_device *v = &net->v;
	bool merge = virtio_has_feature(v, NET_F_MRG_RXBUF);
	unsigned n = 0, max = merge ? v->queues[index].latched_size : 1;
	struct cursor from = {.iov = iov};
	struct used_buffer used[VIRTQ_MAX_SIZE];
	struct virtq_chain first, more;
	int r = 0;

	while (len && r == 0) {
		struct virtq_chain *c = n ? &more : &first;
		uint32_t skip = n ? 0 : HDR_LEN, room;

		if (n == max) {
			r = -ENOBUFS;
			break;
		}
		if (!virtio_pop(v, index, c)) {
			r = -EAGAIN;
			break;
		}
		n++;
		if (c->n_readable || c->writable_len < HDR_LEN) {
			virtio_fail(v, "a receive buffer of %u bytes to read and %u to write",
				c->readable_len, c->writable_len);
			return -ENOLINK;
		}
		room = MIN(c->writable_len - skip, len);
		if (room < len && !merge)
			r = -ENOBUFS;
		else
			fill_chain(c, skip, &from, room);
		used[n - 1] = (struct used_buffer){.head = c->head, .len = skip + room};
		len -= room;
	}
	if (r < 0) {
		while (n--)
			virtio_unpop(v, index);
		return virtio_is_running(v) ? r : -ENOLINK;
	}
	hdr->num_buffers = (uint16_t)n;
	(void)virtq_chain_write(&first, 0, hdr, HDR_LEN);
	for (unsigned i = 0; i < n; i++)
		virtio_push(v, index, used[i].head, used[i].len);
	return 0;
}

/* May frames be written to the guest's memory now? 0, -EAGAIN (soon again: a pause) or -ENOLINK. */
static int receiving(const struct virtio_net *net)
{
	const struct virtio_device *v = &net->v;
	const struct virtio_pci *vp = v->transport_dev;

	if (virtio_is_running(v))
		/* Kicks come when it is allowed, and with them nic_ready(). */
		return pci_bus_master(&vp->pci) ? 0 : -EAGAIN;
	return v->held && v->status & VIRTIO_STATUS_DRIVER_OK && !v->resetting &&
			!(v->status & VIRTIO_STATUS_NEEDS_RESET)
		? -EAGAIN
		: -ENOLINK;
}

/* -EMSGSIZE: longer than the MTU. -ENOBUFS: longer than what the guest's buffers can ever hold. -ENOLINK: nobody is
 * there. */
static int net_transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct virtio_net *net = container_of(port, struct virtio_net, port);
	struct iovec iov[FRAME_MAX_IOV];
	uint8_t scratch[4];
	struct net_hdr hdr;
	unsigned pair;
	uint32_t len;
	int r;

	r = receiving(net);
	if (r < 0)
		return r;
	if (!virtio_net_wants(net, frame, tci))
		return 0;
	/* 5.1.4.1; one inner tag is free, as when it was sent. */
	if (frame->hdr.gso_type == NET_HDR_GSO_NONE &&
		frame->len > net->max_frame + (frame->l3 > FRAME_MIN ? 4 : 0))
		return -EMSGSIZE;
	(void)frame_iov(frame, tci, scratch, iov, &hdr, &len);
	/* That checksums are complete where the guest does not take others is the nic's work. */
	if (!(net->offloads & VIRTIO_BIT(NET_F_GUEST_CSUM)))
		hdr.flags = 0;
	pair = pick_pair(net, frame);
	r = put_frame(net, virtio_net_rx_queue(pair), &hdr, iov, len);
	if (r == 0)
		net->rx_pushed |= UINT32_C(1) << pair;
	return r;
}

static void net_flush(struct port *port)
{
	struct virtio_net *net = container_of(port, struct virtio_net, port);

	for (; net->rx_pushed; net->rx_pushed &= net->rx_pushed - 1)
		virtio_flush(&net->v, virtio_net_rx_queue((unsigned)__builtin_ctz(net->rx_pushed)));
}

const struct port_ops virtio_net_port_ops = {.transmit = net_transmit, .flush = net_flush};
