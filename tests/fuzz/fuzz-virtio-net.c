/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fuzzer of virtio-net: the input is a driver with small rings, the frames that come for it, and the host.
 *
 * An operation is a byte, of which the low nibble says what and the high nibble is a small number:
 *	0	write memory: address (16 bits) in the first 64 KiB, number + 1 bytes
 *	1	offer a chain to queue (number % 5): count, then for each part address (16 bits), length (16 bits, times 8 when
 *		the top bit is set), flags (1 writable, 2 indirect)
 *	2	kick queue (number % 5)
 *	3	a frame comes: flags, GSO type, GSO size (16 bits), tag (16 bits, 0xffff none), length (16 bits), a byte that
 *		says to whom
 *	4	a command: class, command, number + 1 bytes; by a proper chain
 *	5	the fabric refuses so many frames, then has room
 *	6	the host: link, address and leave of it by the number's bits; or an announcement
 *	7	pause, save, load into the same device, resume
 *	8	reset and start with these features (64 bits), as far as they are offered
 *	9	so many good frames are offered and sent
 *	10	so many receive buffers of length (16 bits) are offered
 */
#include <string.h>

#include "devices/virtio/virtio-net.h"
#include "tests/fakes/fake-nic.h"
#include "tests/fuzz/fuzz-rig.h"

#define N_QUEUES   5
#define ALL_QUEUES ((1U << N_QUEUES) - 1)
struct world {
	struct rig rig;
	struct virtio_net *net;
	struct nic *nic;
};

static void build(struct world *w)
{
	struct vm_nic *nic;

	w->rig.f = fake_machine_new(RIG_RAM);
	nic = &w->rig.f->config.nics[0];
	*nic = (struct vm_nic){
		.queues = 2, .rx_queue_size = RIG_RING_SIZE, .tx_queue_size = RIG_RING_SIZE};
	memcpy(nic->port.mac, (uint8_t[]){0x52, 0x54, 0, 1, 2, 3}, NET_MAC_LEN);
	w->rig.f->config.n_nics = 1;
	rig_build(&w->rig, &virtio_net_pci_class.class, 1);
	w->net = virtio_net_of(virtio_pci_device(w->rig.dev));
	w->nic = w->net->nic;
	rig_start(&w->rig, UINT64_MAX, ALL_QUEUES);
}

/* TCP over IPv4, or what the bytes in memory make of it. */
static void make_frame(uint8_t *buf, uint32_t len, unsigned to)
{
	static const uint8_t dsts[4][NET_MAC_LEN] = {{0x52, 0x54, 0, 1, 2, 3},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}, {2, 0, 0, 0, 0, 9}};
	static const uint8_t rest[] = {0x08, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1,
		10, 0, 0, 2, 0, 80, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50};

	memset(buf, (int)to, len);
	if (len < 54)
		return;
	memcpy(buf, dsts[to & 3], NET_MAC_LEN);
	memcpy(buf + 6, (uint8_t[]){2, 0, 0, 0, 0, 1}, NET_MAC_LEN);
	memcpy(buf + 12, rest, sizeof(rest));
	buf[16] = (uint8_t)((len - 14) >> 8);
	buf[17] = (uint8_t)(len - 14);
	buf[37] = (uint8_t)(to >> 2);
}

static void frame_comes(struct world *w, struct input *in)
{
	static uint8_t buf[UINT16_MAX];
	struct net_hdr hdr = {.flags = (uint8_t)take(in, 1),
		.gso_type = (uint8_t)take(in, 1),
		.gso_size = (uint16_t)take(in, 2),
		.csum_start = 34,
		.csum_offset = 16};
	uint16_t tci = (uint16_t)take(in, 2);
	uint32_t len = (uint32_t)take(in, 2);
	int r;

	make_frame(buf, len, (unsigned)take(in, 1));
	r = fake_nic_give(w->nic, &hdr, buf, len, tci == UINT16_MAX ? -1 : tci);
	expect(r == 0 || r == -EAGAIN || r == -EINVAL || r == -EMSGSIZE || r == -ENOBUFS ||
		r == -ENOLINK);
	w->nic->port->ops->flush(w->nic->port);
}

static void command(struct world *w, unsigned n, struct input *in)
{
	unsigned queue = w->rig.d.features & VIRTIO_BIT(NET_F_MQ) ? N_QUEUES - 1 : 2;
	const struct fake_part parts[] = {{0xf000, n + 2, false}, {0xf800, 1, true}};
	uint8_t bytes[2 + 16];

	for (unsigned i = 0; i < n + 2; i++)
		bytes[i] = (uint8_t)take(in, 1);
	expect(guest_mem_write(w->rig.f->m.mem, GPA(0xf000), bytes, n + 2) >= 0);
	(void)fake_driver_add(&w->rig.d, queue, parts, 2);
	fake_driver_kick(&w->rig.d, queue);
}

static void host_acts(struct world *w, unsigned n)
{
	struct net_port_config config = w->rig.f->config.nics[0].port;

	if (n == 15) {
		expect(w->rig.f->m.nic_ops->announce(w->rig.dev) == 0);
		return;
	}
	config.flags = (n & 1 ? NET_PORT_LINK_DOWN : 0) | (n & 2 ? NET_PORT_ALLOW_MAC : 0);
	config.mac[5] ^= n & 4;
	w->nic->reconfigure_error = n & 8 ? -EEXIST : 0;
	expect(w->rig.f->m.nic_ops->set(w->rig.dev, &config) == (n & 8 ? -EEXIST : 0));
	w->nic->reconfigure_error = 0;
	/* Nobody but a guest with leave has another address. */
	expect((n & 8) || !memcmp(w->net->place.mac, config.mac, NET_MAC_LEN));
}

static void send_good(struct world *w, unsigned n)
{
	uint8_t buf[12 + 100] = {0};
	const struct fake_part part = {0xe000, sizeof(buf), false};

	make_frame(buf + 12, 100, n);
	expect(guest_mem_write(w->rig.f->m.mem, GPA(0xe000), buf, sizeof(buf)) >= 0);
	for (unsigned i = 0; i <= n; i++)
		(void)fake_driver_add(&w->rig.d, 1, &part, 1);
	fake_driver_kick(&w->rig.d, 1);
}

static void step(struct world *w, struct input *in)
{
	unsigned op = (unsigned)take(in, 1), n = op >> 4;
	uint64_t addr;

	switch (op & 15) {
	case 0:
		rig_poke(&w->rig, n + 1, in);
		break;
	case 1:
		if (w->rig.ready)
			rig_offer(&w->rig, n % N_QUEUES, in);
		break;
	case 2:
		fake_driver_kick(&w->rig.d, n % N_QUEUES);
		break;
	case 3:
		frame_comes(w, in);
		break;
	case 4:
		if (w->rig.ready)
			command(w, n, in);
		break;
	case 5:
		w->nic->refuse = n;
		w->nic->refuse_last = n & 1;
		w->nic->space(w->nic->port);
		fake_driver_turn(&w->rig.d);
		break;
	case 6:
		host_acts(w, n);
		break;
	case 7:
		expect(rig_reload(&w->rig) == 0);
		break;
	case 8:
		rig_start(&w->rig, take(in, 8), ALL_QUEUES);
		break;
	case 9:
		if (w->rig.ready)
			send_good(w, n);
		break;
	case 10:
		addr = take(in, 2);
		for (unsigned i = 0; w->rig.ready && i <= n; i++) {
			const struct fake_part part = {0x1000, (uint32_t)addr, true};

			(void)fake_driver_add(&w->rig.d, 0, &part, 1);
		}
		break;
	}
}

/* Between two operations nothing is under way, whatever the driver does. */
static void check(const struct world *w)
{
	const struct virtio_device *v = &w->net->v;

	expect(w->net->pairs >= 1 && w->net->pairs <= w->net->max_pairs);
	expect(!w->net->rx_pushed);
	expect(!(w->net->offloads & ~v->driver_features));
	expect(w->net->filter.uni.n <= NET_MAX_FILTER_MACS &&
		w->net->filter.multi.n <= NET_MAX_FILTER_MACS);
	if (!(v->status & VIRTIO_STATUS_NEEDS_RESET))
		for (unsigned i = 0; i < v->n_queues; i++)
			expect(!v->queues[i].n_in_flight &&
				v->queues[i].used_idx == v->queues[i].next_used);
	for (unsigned i = 0; i < MIN(w->nic->n_sent, (unsigned)FAKE_NIC_MAX_SENT); i++)
		expect(!(w->nic->sent[i].hdr.flags & ~NET_HDR_F_NEEDS_CSUM));
	fake_nic_clear(w->nic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {.data = data, .len = size};
	struct world w = {0};

	build(&w);
	for (unsigned steps = 0; in.len && steps < 1024; steps++) {
		step(&w, &in);
		check(&w);
	}
	rig_done(&w.rig);
	return 0;
}
