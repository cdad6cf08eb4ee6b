/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A port that keeps frames: see fake-port.h. */
#include "tests/fakes/fake-port.h"

#include <string.h>

static void keep(struct fake_taken *kept, const struct frame *frame, int32_t tci)
{
	struct iovec iov[FRAME_MAX_IOV];
	struct net_hdr hdr;
	uint8_t scratch[4];
	uint32_t at = 0;
	unsigned n;

	kept->frame = *frame;
	kept->tci = tci;
	n = frame_iov(frame, tci, scratch, iov, &hdr, &kept->len);
	for (unsigned i = 0; i < n && at < sizeof(kept->bytes); i++) {
		size_t size = MIN(iov[i].iov_len, sizeof(kept->bytes) - at);

		memcpy(kept->bytes + at, iov[i].iov_base, size);
		at += (uint32_t)size;
	}
}

static int transmit(struct port *p, const struct frame *frame, int32_t tci)
{
	struct fake_port *port = container_of(p, struct fake_port, port);

	port->n_tries++;
	if (port->answer < 0)
		return port->answer;
	if (!port->only_count)
		keep(&port->kept[port->n % FAKE_PORT_KEEP], frame, tci);
	port->n++;
	if (port->taken)
		port->taken(port, frame, tci);
	return 0;
}

static void flush(struct port *p)
{
	container_of(p, struct fake_port, port)->n_flushes++;
}

static const struct port_ops fake_port_ops = {.transmit = transmit, .flush = flush};

void fake_port_init(struct fake_port *port, enum port_kind kind, uint32_t cookie)
{
	memset(port, 0, sizeof(*port));
	port->port.ops = &fake_port_ops;
	port->port.counters = &port->counters;
	port->port.kind = kind;
	port->port.cookie = cookie;
}

const struct fake_taken *fake_port_last(const struct fake_port *port)
{
	return port->n ? &port->kept[(port->n - 1) % FAKE_PORT_KEEP] : NULL;
}

unsigned fake_port_new(struct fake_port *port)
{
	unsigned n = port->n - port->n_seen;

	port->n_seen = port->n;
	return n;
}

void fake_mac(unsigned n, uint8_t ret_mac[NET_MAC_LEN])
{
	const uint8_t mac[NET_MAC_LEN] = {
		0x52, 0x54, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	memcpy(ret_mac, mac, NET_MAC_LEN);
}

static uint8_t *put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
	return at + 2;
}

static uint8_t *put32(uint8_t *at, uint32_t v)
{
	return put16(put16(at, v >> 16), v & 0xffff);
}

struct frame *fake_frame(struct fake_frame *f, const uint8_t dst[NET_MAC_LEN],
	const uint8_t src[NET_MAC_LEN], int32_t tci, uint16_t ethertype, const void *payload,
	size_t size)
{
	uint8_t *at = f->bytes;
	enum net_drop reason;

	memcpy(at, dst, NET_MAC_LEN);
	memcpy(at + NET_MAC_LEN, src, NET_MAC_LEN);
	at += 2 * NET_MAC_LEN;
	if (tci >= 0)
		at = put16(put16(at, 0x8100), (unsigned)tci);
	at = put16(at, ethertype);
	assert((size_t)(at - f->bytes) + size <= sizeof(f->bytes));
	if (payload)
		memcpy(at, payload, size);
	else
		memset(at, 0, size);
	f->len = (uint32_t)(at - f->bytes + (ptrdiff_t)size);
	f->iov = (struct iovec){f->bytes, f->len};
	reason = frame_init(&f->frame, NULL, &f->iov, 1, f->len, FRAME_MAX, -1);
	assert(reason == NET_DROP_NONE);
	(void)reason;
	return &f->frame;
}

struct frame *fake_frame_arp(struct fake_frame *f, const uint8_t src[NET_MAC_LEN],
	uint32_t sender_ip, uint32_t target_ip, const uint8_t *target_mac)
{
	static const uint8_t everybody[NET_MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, target_mac ? 2 : 1};

	memcpy(arp + 8, src, NET_MAC_LEN);
	(void)put32(arp + 14, sender_ip);
	if (target_mac)
		memcpy(arp + 18, target_mac, NET_MAC_LEN);
	(void)put32(arp + 24, target_ip);
	return fake_frame(f, target_mac ?: everybody, src, -1, 0x0806, arp, sizeof(arp));
}

static unsigned checksum(const uint8_t *at, size_t size)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < size; i += 2)
		sum += (uint32_t)at[i] << 8 | at[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(sum + (sum >> 16)) & 0xffff;
}

struct frame *fake_frame_igmp(
	struct fake_frame *f, const uint8_t src[NET_MAC_LEN], uint8_t type, uint32_t group)
{
	/* IPv4 with the router alert option, RFC 2113. */
	uint8_t ip[32] = {0x46, 0xc0, 0, 32, [8] = 1, 2, [20] = 0x94, 4, 0, 0, [24] = type, 100};
	uint32_t dst = group ?: UINT32_C(0xe0000001);
	uint8_t mac[NET_MAC_LEN] = {0x01, 0x00, 0x5e};

	if (type == 0x17)
		dst = UINT32_C(0xe0000002);
	(void)put32(ip + 12, UINT32_C(0x0a000000) | src[5]);
	(void)put32(ip + 16, dst);
	(void)put16(ip + 10, checksum(ip, 24));
	(void)put32(ip + 28, group);
	(void)put16(ip + 26, checksum(ip + 24, 8));
	mac[3] = dst >> 16 & 0x7f;
	mac[4] = (uint8_t)(dst >> 8);
	mac[5] = (uint8_t)dst;
	return fake_frame(f, mac, src, -1, 0x0800, ip, sizeof(ip));
}
