/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A vNIC over a nic that records, and its driver: for the three tests of virtio-net. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "devices/pci/pci.h"
#include "devices/virtio/virtio-net.h"
#include "tests/fakes/fake-driver.h"
#include "tests/fakes/fake-nic.h"
#include "vmm-core/stats.h"

#define RAM    MIB(8)
#define HDR    12
#define FAILED 0x40

#define BIT(n)     (UINT64_C(1) << (n))
#define CTRL_ERR   1
#define CTRL_OK    0
#define NO_EVENTS  (~BIT(29)) /* all features but the event index: interrupts are not suppressed */
#define ALL        UINT64_MAX
#define NO_OFFLOAD (BIT(32) | BIT(5) | BIT(3) | BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(20))

/* Features. */
#define HOST_BITS  (BIT(0) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(56))
#define GUEST_BITS (BIT(1) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(54) | BIT(55))
#define BASE_BITS                                                                                  \
	(BIT(2) | BIT(3) | BIT(5) | BIT(15) | BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(20) |    \
		BIT(21) | BIT(23) | BIT(63) | BIT(28) | BIT(29) | BIT(32))

/* What a guest takes, as the nic is told. */
#define TAKES_TCP4 (1U << 1)
#define TAKES_UFO  (1U << 3)
#define TAKES_TCP6 (1U << 4)
#define TAKES_USO  (1U << 5)
#define TAKES_ECN  (1U << 7)

static const uint8_t own_mac[6] = {0x52, 0x54, 0, 0x11, 0x22, 0x33};
static const uint8_t peer_mac[6] = {0x52, 0x54, 0, 0xaa, 0xbb, 0xcc};
static const uint8_t other_mac[6] = {0x52, 0x54, 0, 0x99, 0x99, 0x99};
static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t group_mac[6] = {0x01, 0x00, 0x5e, 0, 0, 0xfb};

struct fixture {
	struct fake_machine *f;
	struct vm_stats_page *stats;
	struct device *root, *dev;
	struct fake_driver d;
	struct nic *nic;
	struct net_port_counters *counters;
	uint64_t buffers[FAKE_MAX_QUEUES][VIRTQ_MAX_SIZE]; /* by head: where receive buffers are */
};

static inline void build(struct fixture *fx, const struct vm_nic *config)
{
	*fx = (struct fixture){.f = fake_machine_new(RAM)};
	fx->stats = calloc(1, sizeof(*fx->stats));
	fx->f->m.stats = fx->stats;
	fx->counters = &fx->stats->nics[0];
	fx->f->config.nics[0] = *config;
	memcpy(fx->f->config.nics[0].port.mac, own_mac, 6);
	fx->f->config.n_nics = 1;
	assert_int_equal(device_new(&q35_host_class, &fx->f->m, 0, &fx->root), 0);
	assert_int_equal(device_new(&virtio_net_pci_class.class, &fx->f->m, 0, &fx->dev), 0);
	assert_int_equal(q35_host_class.ops->machine_done(fx->root), 0);
	assert_true(fake_driver_probe(&fx->d, fx->f, 1));
	fx->nic = virtio_net_of(virtio_pci_device(fx->dev))->nic;
}

static inline void start(struct fixture *fx, const struct vm_nic *config, uint64_t features)
{
	build(fx, config);
	fake_driver_start(&fx->d, features);
	assert_int_equal(fake_driver_status(&fx->d), 0xf);
}

static inline void destroy(struct fixture *fx)
{
	(void)device_free(fx->dev);
	assert_null(fx->f->m.nics[0]);
	(void)device_free(fx->root);
	(void)fake_machine_free(fx->f);
	free(fx->stats);
}

static inline uint8_t *host(struct fixture *fx, uint64_t at)
{
	return guest_mem_ptr(fx->f->m.mem, GPA(at), 1);
}

/* Frames. */

/* TCP over IPv4 between two ports, 'len' bytes in all. */
static inline void make_tcp(uint8_t *buf, uint32_t len, const uint8_t dst[6], const uint8_t src[6],
	uint16_t from, uint16_t to)
{
	uint8_t a = src[5], b = dst[5];

	memset(buf, 0, len);
	memcpy(buf, dst, 6);
	memcpy(buf + 6, src, 6);
	memcpy(buf + 12, (uint8_t[]){0x08, 0x00, 0x45, 0}, 4);
	buf[16] = (uint8_t)((len - 14) >> 8);
	buf[17] = (uint8_t)(len - 14);
	memcpy(buf + 22, (uint8_t[]){64, 6, 0, 0, 10, 0, 0, a, 10, 0, 0, b}, 12);
	memcpy(buf + 34, (uint8_t[]){from >> 8, from & 0xff, to >> 8, to & 0xff}, 4);
	buf[46] = 5 << 4;
	for (uint32_t i = 54; i < len; i++)
		buf[i] = (uint8_t)(i * 7);
}

static inline void make_plain(uint8_t *buf, uint32_t len, const uint8_t dst[6])
{
	make_tcp(buf, len, dst, peer_mac, 1000, 80);
}

/* To the device: a header and a frame in two descriptors; not kicked. */
static inline void offer(struct fixture *fx, unsigned pair, const struct net_hdr *hdr,
	const void *frame, uint32_t len)
{
	uint64_t at = fake_driver_alloc(&fx->d, HDR + len + 1);
	struct fake_part parts[] = {{at, HDR, false}, {at + HDR, len, false}};

	memset(host(fx, at), 0, HDR);
	if (hdr)
		memcpy(host(fx, at), hdr, HDR);
	memcpy(host(fx, at + HDR), frame, len);
	(void)fake_driver_add(&fx->d, 2 * pair + 1, parts, len ? 2 : 1);
}

static inline void kick(struct fixture *fx, unsigned queue)
{
	fake_driver_kick(&fx->d, queue);
}

static inline unsigned count_used(struct fixture *fx, unsigned queue)
{
	uint32_t id, len;
	unsigned n = 0;

	while (fake_driver_used(&fx->d, queue, &id, &len))
		n++;
	return n;
}

/* From the device. */

static inline void give_buffer(struct fixture *fx, unsigned pair, uint32_t len)
{
	uint64_t at = fake_driver_alloc(&fx->d, len);
	struct fake_part part = {at, len, true};

	memset(host(fx, at), 0xee, len);
	fx->buffers[2 * pair][fake_driver_add(&fx->d, 2 * pair, &part, 1)] = at;
}

/* The next frame of a pair's queue: its bytes behind the header; the answer is how many, 0: none. */
static inline uint32_t take_frame(
	struct fixture *fx, unsigned pair, struct net_hdr *hdr, uint8_t *buf)
{
	uint32_t id, len, total = 0;
	unsigned n = 1;

	for (unsigned i = 0; i < n; i++) {
		const uint8_t *p;
		uint32_t skip = i ? 0 : HDR;

		if (!fake_driver_used(&fx->d, 2 * pair, &id, &len)) {
			assert_int_equal(i, 0);
			return 0;
		}
		p = host(fx, fx->buffers[2 * pair][id]);
		if (!i) {
			memcpy(hdr, p, HDR);
			n = hdr->num_buffers;
			assert_true(n >= 1);
		}
		memcpy(buf + total, p + skip, len - skip);
		total += len - skip;
	}
	return total;
}

static inline int give(struct fixture *fx, const void *frame, uint32_t len)
{
	int r = fake_nic_give(fx->nic, NULL, frame, len, -1);

	fx->nic->port->ops->flush(fx->nic->port);
	return r;
}

/* One control command; its answer. */
static inline unsigned ctrl(
	struct fixture *fx, uint8_t class, uint8_t command, const void *data, uint32_t len)
{
	unsigned queue = fx->d.features & BIT(22) ? fx->d.n_queues - 1 : 2;
	uint64_t at = fake_driver_alloc(&fx->d, 2 + len), ack = fake_driver_alloc(&fx->d, 1);
	struct fake_part parts[] = {{at, 2 + len, false}, {ack, 1, true}};
	uint32_t id, used;

	*host(fx, at) = class;
	*host(fx, at + 1) = command;
	if (len)
		memcpy(host(fx, at + 2), data, len);
	*host(fx, ack) = 0xee;
	(void)fake_driver_add(&fx->d, queue, parts, 2);
	kick(fx, queue);
	assert_true(fake_driver_used(&fx->d, queue, &id, &used));
	assert_int_equal(used, 1);
	return *host(fx, ack);
}

static inline unsigned ctrl_byte(struct fixture *fx, uint8_t class, uint8_t command, uint8_t value)
{
	return ctrl(fx, class, command, &value, 1);
}

static inline unsigned ctrl_pairs(struct fixture *fx, uint16_t n)
{
	return ctrl(fx, 4, 0, &n, 2);
}

static inline unsigned ctrl_vlan(struct fixture *fx, uint8_t command, uint16_t vid)
{
	return ctrl(fx, 2, command, &vid, 2);
}

static inline unsigned ctrl_offloads(struct fixture *fx, uint64_t bits)
{
	return ctrl(fx, 5, 0, &bits, 8);
}

static inline unsigned ctrl_mac(struct fixture *fx, const uint8_t mac[6])
{
	return ctrl(fx, 1, 1, mac, 6);
}

static inline void offer_numbered(struct fixture *fx, unsigned pair, unsigned n)
{
	uint8_t frame[100];

	for (unsigned i = 0; i < n; i++) {
		make_tcp(frame, sizeof(frame), peer_mac, own_mac, (uint16_t)i, 2);
		offer(fx, pair, NULL, frame, sizeof(frame));
	}
}

static inline void fill_queues(struct fixture *fx, unsigned pairs, unsigned n)
{
	for (unsigned q = 0; q < pairs; q++)
		for (unsigned i = 0; i < n; i++)
			give_buffer(fx, q, 200);
}

/* Does a frame to 'dst' come through, by whatever queue? */
static inline bool sees(struct fixture *fx, const uint8_t dst[6], int32_t tci)
{
	uint8_t frame[100];
	unsigned n = 0;

	make_plain(frame, sizeof(frame), dst);
	give_buffer(fx, 0, 200);
	assert_int_equal(fake_nic_give(fx->nic, NULL, frame, sizeof(frame), tci), 0);
	fx->nic->port->ops->flush(fx->nic->port);
	for (unsigned q = 0; q < fx->d.n_queues / 2; q++)
		n += count_used(fx, 2 * q);
	return n == 1;
}

static inline unsigned ctrl_table(struct fixture *fx, unsigned n_uni, const uint8_t *uni,
	unsigned n_multi, const uint8_t *multi)
{
	static uint8_t data[8 + 6 * 2000];
	uint32_t n = n_uni, at = 4;

	memset(data, 0, sizeof(data));
	memcpy(data, &n, 4);
	if (uni)
		memcpy(data + at, uni, 6);
	at += 6 * n_uni;
	n = n_multi;
	memcpy(data + at, &n, 4);
	if (multi)
		memcpy(data + at + 4, multi, 6);
	return ctrl(fx, 1, 0, data, at + 4 + 6 * n_multi);
}

static inline void check_sees(struct fixture *fx, bool own, bool other, bool group, bool all)
{
	assert_int_equal(sees(fx, own_mac, -1), own);
	assert_int_equal(sees(fx, other_mac, -1), other);
	assert_int_equal(sees(fx, group_mac, -1), group);
	assert_int_equal(sees(fx, everybody, -1), all);
}

static inline void check_mac(struct fixture *fx, const uint8_t mac[6])
{
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(fake_config_read(&fx->d, i, 1), mac[i]);
	assert_memory_equal(fx->nic->config.mac, mac, 6);
	assert_true(sees(fx, mac, -1));
}
