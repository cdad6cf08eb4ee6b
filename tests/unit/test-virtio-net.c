/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-net as a device: what it offers, what the host may change, save and load. */
#include <sys/eventfd.h>

#include "tests/unit/virtio-net-fixture.h"
#include "tests/fakes/fuzz-device.h"
#include "vmm-core/proto.h"

static void test_offer(void **state)
{
	static const struct {
		uint32_t off;
		uint16_t queues;
		uint64_t features;
	} rows[] = {
		{0, 0, BASE_BITS | HOST_BITS | GUEST_BITS},
		{0, 1, BASE_BITS | HOST_BITS | GUEST_BITS},
		{0, 4, BASE_BITS | HOST_BITS | GUEST_BITS | BIT(22)},
		{VM_NIC_NO_HOST_CSUM, 1, BASE_BITS | GUEST_BITS},
		{VM_NIC_NO_GUEST_CSUM, 1, BASE_BITS | HOST_BITS},
		{VM_NIC_NO_HOST_TSO4 | VM_NIC_NO_HOST_TSO6, 1,
			BASE_BITS | GUEST_BITS | BIT(0) | BIT(14) | BIT(56)},
		{VM_NIC_NO_GUEST_TSO4, 1, BASE_BITS | HOST_BITS | (GUEST_BITS & ~BIT(7))},
		{VM_NIC_NO_HOST_UFO | VM_NIC_NO_GUEST_UFO, 1,
			BASE_BITS | BIT(0) | BIT(11) | BIT(12) | BIT(13) | BIT(1) | BIT(7) |
				BIT(8) | BIT(9)},
		{VM_NIC_NO_HOST_ECN | VM_NIC_NO_GUEST_ECN, 1,
			(BASE_BITS | HOST_BITS | GUEST_BITS) & ~(BIT(13) | BIT(9))},
		{VM_NIC_OFFLOADS, 1, BASE_BITS & ~BIT(15)},
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct fixture fx;

		start(&fx, &(struct vm_nic){.offloads_off = rows[i].off, .queues = rows[i].queues},
			ALL);
		if (fx.d.features != rows[i].features)
			fail_msg("row %u: %#llx is offered", i, (unsigned long long)fx.d.features);
		assert_int_equal(fx.d.n_queues, 2 * MAX(rows[i].queues, 1) + 1);
		destroy(&fx);
	}
}

static void test_window(void **state)
{
	struct fixture fx;

	(void)state;
	start(&fx, &(struct vm_nic){.queues = 3, .rx_queue_size = 1024, .tx_queue_size = 128}, ALL);
	assert_int_equal(fx.d.config_len, 17);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(fake_config_read(&fx.d, i, 1), own_mac[i]);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 1);
	assert_int_equal(fake_config_read(&fx.d, 8, 2), 3);
	assert_int_equal(fake_config_read(&fx.d, 10, 2), 1500);
	assert_int_equal(fake_config_read(&fx.d, 12, 4), 10000);
	assert_int_equal(fake_config_read(&fx.d, 16, 1), 1);
	fake_config_write(&fx.d, 0, 4, 0);
	assert_int_equal(fake_config_read(&fx.d, 0, 1), 0x52);
	/* As long as rings can be. */
	assert_int_equal(fx.d.rings[0].size, 256);
	assert_int_equal(fx.d.rings[1].size, 128);
	assert_int_equal(fx.d.rings[6].size, 64);
	/* A network card, by its class. */
	assert_int_equal(fake_pci_read(fx.f, fx.d.slot, 9, 2) >> 8 |
			fake_pci_read(fx.f, fx.d.slot, 11, 1) << 8,
		0x0200);
	destroy(&fx);
	start(&fx, &(struct vm_nic){.port = {.mtu = 9000, .flags = NET_PORT_LINK_DOWN}}, ALL);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 0);
	assert_int_equal(fake_config_read(&fx.d, 10, 2), 9000);
	destroy(&fx);
}

/* 5.1.3.1: without what it requires, no feature. */
static void test_feature_needs(void **state)
{
	static const struct {
		uint64_t features;
		bool ok;
	} rows[] = {
		{0, true},
		{BIT(5), true},
		{BIT(0) | BIT(11), true},
		{BIT(11), false},
		{BIT(12), false},
		{BIT(0) | BIT(13), false},
		{BIT(0) | BIT(12) | BIT(13), true},
		{BIT(14), false},
		{BIT(56), false},
		{BIT(7), false},
		{BIT(8), false},
		{BIT(1) | BIT(9), false},
		{BIT(1) | BIT(8) | BIT(9), true},
		{BIT(10), false},
		{BIT(54), false},
		{BIT(55), false},
		{BIT(18), false},
		{BIT(17) | BIT(18), true},
		{BIT(19), false},
		{BIT(21), false},
		{BIT(22), false},
		{BIT(17) | BIT(22), true},
		{BIT(23), false},
	};
	struct fixture fx;

	(void)state;
	build(&fx, &(struct vm_nic){.queues = 2});
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		fake_driver_reset(&fx.d);
		if (fake_driver_negotiate(&fx.d, rows[i].features | BIT(32)) != rows[i].ok)
			fail_msg("%#llx", (unsigned long long)rows[i].features);
	}
	destroy(&fx);
}

static void test_realize(void **state)
{
	static const struct vm_nic bad[] = {
		{.queues = VM_MAX_NIC_QUEUES + 1},
		{.rx_queue_size = 100},
		{.tx_queue_size = 3},
	};
	struct fixture fx;
	struct device *dev;

	(void)state;
	start(&fx, &(struct vm_nic){.queues = VM_MAX_NIC_QUEUES}, ALL);
	assert_int_equal(fx.d.n_queues, 17);
	assert_ptr_equal(fx.f->m.nics[0], fx.dev);
	assert_non_null(fx.f->m.nic_ops);
	assert_ptr_equal(fx.nic->port->counters, &fx.stats->nics[0]);
	assert_int_equal(device_new(&virtio_net_pci_class.class, &fx.f->m, 1, &dev), -EINVAL);
	fx.f->config.n_nics = 2;
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		fx.f->config.nics[1] = bad[i];
		assert_int_equal(
			device_new(&virtio_net_pci_class.class, &fx.f->m, 1, &dev), -EINVAL);
		assert_null(fx.f->m.nics[1]);
	}
	assert_ptr_equal(fx.f->m.nics[0], fx.dev);
	/* Nobody shares the counters. */
	fx.f->config.nics[1] = (struct vm_nic){0};
	fx.f->m.stats = NULL;
	assert_int_equal(device_new(&virtio_net_pci_class.class, &fx.f->m, 1, &dev), 0);
	assert_non_null(virtio_net_of(virtio_pci_device(dev))->nic->port->counters);
	assert_ptr_equal(fx.f->m.nics[1], dev);
	(void)device_free(dev);
	fx.f->m.stats = fx.stats;
	destroy(&fx);
}

static void test_link(void **state)
{
	struct net_port_config config;
	struct fixture fx;

	(void)state;
	start(&fx, &(struct vm_nic){0}, ALL);
	config = fx.f->config.nics[0].port;
	(void)fake_driver_interrupts(&fx.d, 0);
	config.flags |= NET_PORT_LINK_DOWN;
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), 0);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 0);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 1);
	assert_true(fx.nic->config.flags & NET_PORT_LINK_DOWN);
	/* The same again is no change. */
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), 0);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 0);
	/* A reset does not plug it in. */
	fx.d.heap = FAKE_DRIVER_HEAP;
	fake_driver_start(&fx.d, ALL);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 0);
	(void)fake_driver_interrupts(&fx.d, 0);
	config.flags = 0;
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), 0);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 1);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 1);
	/* Refused: as before. */
	fx.nic->reconfigure_error = -ENOSPC;
	config.flags = NET_PORT_LINK_DOWN;
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), -ENOSPC);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 1);
	fx.nic->reconfigure_error = 0;
	/* The MTU stays what the driver was told; 0 says the same. */
	config.flags = 0;
	config.mtu = 1500;
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), 0);
	config.mtu = 9000;
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), -ENOTSUP);
	assert_int_equal(fake_config_read(&fx.d, 10, 2), 1500);
	destroy(&fx);
}

static void test_announce(void **state)
{
	struct fixture fx;

	(void)state;
	build(&fx, &(struct vm_nic){0});
	/* Nobody to ask. */
	assert_int_equal(fx.f->m.nic_ops->announce(fx.dev), 0);
	assert_int_equal(fx.nic->n_announced, 1);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 1);
	fake_driver_start(&fx.d, ALL);
	(void)fake_driver_interrupts(&fx.d, 0);
	assert_int_equal(fx.f->m.nic_ops->announce(fx.dev), 0);
	assert_int_equal(fx.nic->n_announced, 2);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 3);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 1);
	assert_int_equal(ctrl(&fx, 3, 0, NULL, 0), CTRL_OK);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 1);
	assert_int_equal(fx.f->m.nic_ops->announce(fx.dev), 0);
	fake_driver_reset(&fx.d);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 1);
	fx.d.heap = FAKE_DRIVER_HEAP;
	fake_driver_start(&fx.d, ~BIT(21));
	assert_int_equal(fx.f->m.nic_ops->announce(fx.dev), 0);
	assert_int_equal(fake_config_read(&fx.d, 6, 2), 1);
	destroy(&fx);
}

static void test_links(void **state)
{
	struct proto_link link = {
		.id = 7, .ring_data = 65536, .peer_port = 3, .peer = {.mtu = 1400}};
	struct proto_link_id id = {.id = 7, .flags = PROTO_LINK_ON};
	const struct proto_capture capture = {.direction = 2, .snaplen = 96};
	const struct machine_nic_ops *ops;
	struct proto_links links;
	struct fixture fx;
	int fds[4];

	(void)state;
	build(&fx, &(struct vm_nic){0});
	ops = fx.f->m.nic_ops;
	for (unsigned i = 0; i < 4; i++)
		fds[i] = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(ops->link_add(fx.dev, &link, fds), 0);
	assert_int_equal(fx.nic->link.id, 7);
	assert_int_equal(fx.nic->link.ring_data, 65536);
	assert_int_equal(fx.nic->link.peer_port, 3);
	assert_int_equal(fx.nic->link.peer.mtu, 1400);
	assert_int_equal(fx.nic->link.own_ring, fds[0]);
	assert_int_equal(fx.nic->link.peer_ring, fds[1]);
	assert_int_equal(fx.nic->link.own_bell, fds[2]);
	assert_int_equal(fx.nic->link.peer_bell, fds[3]);
	assert_int_equal(ops->link_use(fx.dev, &id), 0);
	assert_true(fx.nic->used_on);
	ops->links(fx.dev, &links);
	assert_int_equal(links.n, 1);
	assert_int_equal(links.links[0].id, 7);
	assert_int_equal(links.links[0].peer_port, 3);
	assert_int_equal(links.links[0].flags, PROTO_LINK_ON);
	assert_int_equal(links.links[0].frames, 77);
	id.flags = 0;
	assert_int_equal(ops->link_use(fx.dev, &id), 0);
	assert_false(fx.nic->used_on);
	ops->links(fx.dev, &links);
	assert_int_equal(links.links[0].flags, 0);
	assert_int_equal(ops->link_remove(fx.dev, 8), -ENOENT);
	assert_int_equal(ops->link_remove(fx.dev, 7), 0);
	assert_int_equal(ops->capture(fx.dev, &capture, eventfd(0, EFD_CLOEXEC), -EBADF), 0);
	assert_int_equal(fx.nic->capture_direction, 2);
	assert_int_equal(fx.nic->capture_snaplen, 96);
	destroy(&fx);
}

static void build_used(struct fixture *fx)
{
	start(fx, &(struct vm_nic){.queues = 4, .port = {.flags = NET_PORT_ALLOW_MAC}}, ALL);
	assert_int_equal(ctrl_pairs(fx, 3), CTRL_OK);
	assert_int_equal(ctrl_mac(fx, other_mac), CTRL_OK);
	assert_int_equal(ctrl_vlan(fx, 0, 7), CTRL_OK);
	assert_int_equal(ctrl_table(fx, 1, peer_mac, 1, group_mac), CTRL_OK);
	assert_int_equal(ctrl_byte(fx, 0, 5, 1), CTRL_OK);
	assert_int_equal(ctrl_offloads(fx, BIT(1) | BIT(7)), CTRL_OK);
	assert_int_equal(fx->f->m.nic_ops->announce(fx->dev), 0);
	/* A frame that waits for room, and buffers. */
	offer_numbered(fx, 2, 2);
	fx->nic->refuse = 1;
	kick(fx, 5);
	fill_queues(fx, 3, 8);
	assert_true(fx->dev->class->ops->quiesce(fx->dev));
}

static void move_driver(struct fixture *a, struct fixture *b)
{
	memcpy(b->f->m.mem->regions[0].host, a->f->m.mem->regions[0].host, RAM);
	memcpy(b->buffers, a->buffers, sizeof(b->buffers));
	b->d = a->d;
	b->d.f = b->f;
	for (unsigned i = 0; i < b->d.n_queues; i++)
		b->d.rings[i].mem = b->f->m.mem;
}

static void test_save_load(void **state)
{
	struct fixture a, b;
	uint8_t frame[100];
	unsigned n = 0;

	(void)state;
	build_used(&a);
	build(&b, &(struct vm_nic){.queues = 4, .port = {.flags = NET_PORT_ALLOW_MAC}});
	move_driver(&a, &b);
	assert_int_equal(fake_save_load(a.dev, b.dev), 0);
	b.dev->class->ops->resume(b.dev);
	fake_driver_turn(&b.d);
	/* What waited is sent there. */
	assert_int_equal(b.nic->n_sent, 2);
	assert_int_equal(b.nic->sent[0].data[35], 0);
	assert_int_equal(b.nic->takes, 1 | TAKES_TCP4);
	assert_true(b.nic->n_ready >= 3);
	assert_int_equal(fake_config_read(&b.d, 6, 2), 3);
	assert_int_equal(ctrl(&b, 3, 0, NULL, 0), CTRL_OK);
	assert_int_equal(fake_config_read(&b.d, 6, 2), 1);
	check_mac(&b, other_mac);
	assert_true(sees(&b, peer_mac, -1));
	assert_false(sees(&b, own_mac, -1));
	assert_true(sees(&b, other_mac, 7));
	assert_false(sees(&b, other_mac, 8));
	assert_true(sees(&b, group_mac, -1));
	assert_false(sees(&b, everybody, -1));
	for (unsigned i = 0; i < 6; i++) {
		make_tcp(frame, sizeof(frame), other_mac, peer_mac, (uint16_t)(77 * i), 80);
		assert_int_equal(give(&b, frame, sizeof(frame)), 0);
	}
	for (unsigned q = 0; q < 3; q++)
		n += count_used(&b, 2 * q);
	assert_int_equal(n, 6);
	destroy(&a);
	destroy(&b);
}

/* Hosts that differ. */
static void test_load_elsewhere(void **state)
{
	static const struct vm_nic hosts[] = {
		{.queues = 4},                                        /* no leave for its address */
		{.queues = 3, .port = {.flags = NET_PORT_ALLOW_MAC}}, /* fewer queues */
		{.queues = 4,
			.port = {.flags = NET_PORT_ALLOW_MAC},
			.offloads_off = VM_NIC_NO_GUEST_TSO4},
	};
	static const struct vm_nic same = {.queues = 4, .port = {.flags = NET_PORT_ALLOW_MAC}};
	struct fixture a, b;

	(void)state;
	build_used(&a);
	for (unsigned i = 0; i <= ARRAY_SIZE(hosts); i++) {
		bool taken = i == ARRAY_SIZE(hosts); /* the address is another's there */

		build(&b, taken ? &same : &hosts[i]);
		if (taken)
			b.nic->reconfigure_error = -EEXIST;
		move_driver(&a, &b);
		assert_int_equal(fake_save_load(a.dev, b.dev), -EBADMSG);
		assert_int_equal(fake_driver_status(&b.d), 0);
		assert_memory_equal(b.nic->config.mac, own_mac, 6);
		assert_int_equal(b.nic->takes, 0);
		destroy(&b);
	}
	destroy(&a);
}

/* What a state may not say. The model's part is the payload's end: address, announce, pairs, offloads, mode, tables of one
 * address each, VLANs. */
static void test_corrupt_state(void **state)
{
	enum {
		VLANS = 512,
		MULTI = VLANS + 8,
		UNI = MULTI + 8,
		MODE = UNI + 1,
		OFFLOADS = MODE + 8
	};
	static const struct {
		unsigned from_end;
		uint8_t flip;
	} rows[] = {
		{OFFLOADS + 9, 0x01}, /* a group's address */
		{OFFLOADS + 3, 0x02}, /* announce 3 */
		{OFFLOADS + 2, 0x03}, /* no pairs */
		{OFFLOADS + 2, 0x04}, /* 7 pairs */
		{OFFLOADS + 1, 0x01}, /* 259 pairs */
		{OFFLOADS, 0x01},     /* an offload that is none */
		{MULTI, 0x02},        /* 3 addresses, and too little behind */
		{MULTI, 0x01},        /* none, and bytes left over */
		{UNI, 0x40},          /* 65 addresses */
		{UNI - 1, 0x80},      /* 32769 */
	};
	struct state_writer w;
	struct fixture a, b;

	(void)state;
	build_used(&a);
	build(&b, &(struct vm_nic){.queues = 4, .port = {.flags = NET_PORT_ALLOW_MAC}});
	move_driver(&a, &b);
	state_writer_init(&w);
	assert_int_equal(device_save(a.dev, &w), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		struct state_reader r;
		size_t offset = 0;
		uint8_t *copy;

		assert_int_equal(state_next(w.data, w.len, &offset, &r), 1);
		copy = malloc(r.len);
		memcpy(copy, r.data, r.len);
		copy[r.len - rows[i].from_end] ^= rows[i].flip;
		r.data = copy;
		if (device_load(b.dev, &r) != -EBADMSG)
			fail_msg("row %u is taken", i);
		assert_int_equal(fake_driver_status(&b.d), 0);
		free(copy);
	}
	state_writer_done(&w);
	/* And whatever else. */
	assert_survives_corruption(a.dev, NULL, 0);
	destroy(&a);
	destroy(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_feature_needs),
		cmocka_unit_test(test_realize),
		cmocka_unit_test(test_link),
		cmocka_unit_test(test_announce),
		cmocka_unit_test(test_links),
		cmocka_unit_test(test_save_load),
		cmocka_unit_test(test_load_elsewhere),
		cmocka_unit_test(test_corrupt_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
