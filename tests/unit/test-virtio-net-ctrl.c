/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control queue of virtio-net, and what it sets: filters, address, offloads. */
#include "tests/unit/virtio-net-fixture.h"

static void test_offloads(void **state)
{
	static const struct {
		uint64_t features;
		uint32_t takes;
	} rows[] = {
		{ALL, 1 | TAKES_TCP4 | TAKES_UFO | TAKES_TCP6 | TAKES_USO | TAKES_ECN},
		{~GUEST_BITS, 0},
		{~(GUEST_BITS & ~BIT(1)), 1},
		{~BIT(54), 1 | TAKES_TCP4 | TAKES_UFO | TAKES_TCP6 | TAKES_ECN},
		{~(BIT(7) | BIT(10)), 1 | TAKES_TCP6 | TAKES_USO | TAKES_ECN},
	};
	struct fixture fx;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		start(&fx, &(struct vm_nic){0}, rows[i].features);
		assert_int_equal(fx.nic->takes, rows[i].takes);
		fake_driver_reset(&fx.d);
		assert_int_equal(fx.nic->takes, 0);
		destroy(&fx);
	}
	start(&fx, &(struct vm_nic){0}, ~BIT(10));
	assert_int_equal(ctrl_offloads(&fx, 0), CTRL_OK);
	assert_int_equal(fx.nic->takes, 0);
	assert_int_equal(ctrl_offloads(&fx, BIT(1)), CTRL_OK);
	assert_int_equal(fx.nic->takes, 1);
	assert_int_equal(ctrl_offloads(&fx, BIT(1) | BIT(7) | BIT(9)), CTRL_OK);
	assert_int_equal(fx.nic->takes, 1 | TAKES_TCP4 | TAKES_ECN);
	/* TSO stands on checksums. */
	assert_int_equal(ctrl_offloads(&fx, BIT(7) | BIT(8)), CTRL_OK);
	assert_int_equal(fx.nic->takes, 0);
	/* Not negotiated, or no offload. */
	assert_int_equal(ctrl_offloads(&fx, BIT(1) | BIT(10)), CTRL_ERR);
	assert_int_equal(ctrl_offloads(&fx, BIT(15)), CTRL_ERR);
	assert_int_equal(ctrl_offloads(&fx, ALL), CTRL_ERR);
	assert_int_equal(fx.nic->takes, 0);
	destroy(&fx);
}

static void test_filter(void **state)
{
	struct fixture fx;

	(void)state;
	start(&fx, &(struct vm_nic){.rx_queue_size = 256}, NO_OFFLOAD & ~BIT(18) & ~BIT(20));
	check_sees(&fx, true, true, true, true);
	destroy(&fx);
	start(&fx, &(struct vm_nic){0}, ALL & ~BIT(29));
	check_sees(&fx, true, false, false, true);
	assert_int_equal(ctrl_byte(&fx, 0, 1, 1), CTRL_OK); /* all multicast */
	check_sees(&fx, true, false, true, true);
	assert_int_equal(ctrl_byte(&fx, 0, 3, 1), CTRL_OK); /* no multicast */
	check_sees(&fx, true, false, false, true);
	assert_int_equal(ctrl_byte(&fx, 0, 2, 1), CTRL_OK); /* all unicast */
	check_sees(&fx, true, true, false, true);
	assert_int_equal(ctrl_byte(&fx, 0, 4, 1), CTRL_OK); /* no unicast */
	check_sees(&fx, false, false, false, true);
	assert_int_equal(ctrl_byte(&fx, 0, 5, 1), CTRL_OK); /* no broadcast */
	check_sees(&fx, false, false, false, false);
	assert_int_equal(ctrl_byte(&fx, 0, 0, 2), CTRL_OK); /* promiscuous */
	check_sees(&fx, true, true, true, true);
	for (uint8_t i = 0; i < 6; i++)
		assert_int_equal(ctrl_byte(&fx, 0, i, 0), CTRL_OK);
	check_sees(&fx, true, false, false, true);
	assert_int_equal(ctrl_byte(&fx, 0, 6, 1), CTRL_ERR);
	/* Tables. */
	assert_int_equal(ctrl_table(&fx, 1, other_mac, 1, group_mac), CTRL_OK);
	check_sees(&fx, true, true, true, true);
	assert_int_equal(ctrl_table(&fx, 0, NULL, 64, group_mac), CTRL_OK);
	check_sees(&fx, true, false, true, true);
	assert_int_equal(ctrl_table(&fx, 64, other_mac, 0, NULL), CTRL_OK);
	check_sees(&fx, true, true, false, true);
	/* More than is kept: everything of the kind. */
	assert_int_equal(ctrl_table(&fx, 65, NULL, 0, NULL), CTRL_OK);
	check_sees(&fx, true, true, false, true);
	assert_int_equal(ctrl_table(&fx, 0, NULL, 2000, NULL), CTRL_OK);
	check_sees(&fx, true, false, true, true);
	assert_int_equal(ctrl_table(&fx, 0, NULL, 0, NULL), CTRL_OK);
	check_sees(&fx, true, false, false, true);
	/* A reset forgets it. */
	assert_int_equal(ctrl_byte(&fx, 0, 0, 1), CTRL_OK);
	fx.d.heap = FAKE_DRIVER_HEAP;
	fake_driver_start(&fx.d, ALL);
	check_sees(&fx, true, false, false, true);
	destroy(&fx);
}

static void test_vlan_filter(void **state)
{
	struct fixture fx;

	(void)state;
	start(&fx, &(struct vm_nic){0}, ALL);
	assert_true(sees(&fx, own_mac, -1));
	assert_true(sees(&fx, own_mac, 0xe000)); /* a priority alone */
	assert_false(sees(&fx, own_mac, 7));
	assert_int_equal(ctrl_vlan(&fx, 0, 7), CTRL_OK);
	assert_int_equal(ctrl_vlan(&fx, 0, 4095), CTRL_OK);
	assert_true(sees(&fx, own_mac, 0x6007));
	assert_true(sees(&fx, own_mac, 4095));
	assert_false(sees(&fx, own_mac, 8));
	assert_false(sees(&fx, other_mac, 7));
	assert_int_equal(ctrl_vlan(&fx, 1, 7), CTRL_OK);
	assert_false(sees(&fx, own_mac, 7));
	assert_int_equal(ctrl_vlan(&fx, 0, 4096), CTRL_ERR);
	assert_int_equal(ctrl_vlan(&fx, 1, 0xffff), CTRL_ERR);
	assert_int_equal(ctrl_byte(&fx, 0, 0, 1), CTRL_OK);
	assert_true(sees(&fx, own_mac, 7));
	destroy(&fx);
	start(&fx, &(struct vm_nic){0}, ~BIT(19));
	assert_true(sees(&fx, own_mac, 7));
	assert_int_equal(ctrl_vlan(&fx, 0, 7), CTRL_ERR);
	destroy(&fx);
}

static void test_mac(void **state)
{
	static const uint8_t zero[6];
	struct fixture fx;
	struct net_port_config config;

	(void)state;
	/* Not allowed: only its own. */
	start(&fx, &(struct vm_nic){0}, ALL);
	assert_int_equal(ctrl_mac(&fx, other_mac), CTRL_ERR);
	assert_int_equal(ctrl_mac(&fx, own_mac), CTRL_OK);
	check_mac(&fx, own_mac);
	destroy(&fx);

	start(&fx, &(struct vm_nic){.port = {.flags = NET_PORT_ALLOW_MAC}}, ALL);
	assert_int_equal(ctrl_mac(&fx, zero), CTRL_ERR);
	assert_int_equal(ctrl_mac(&fx, group_mac), CTRL_ERR);
	assert_int_equal(ctrl_mac(&fx, everybody), CTRL_ERR);
	fx.nic->reconfigure_error = -EEXIST;
	assert_int_equal(ctrl_mac(&fx, other_mac), CTRL_ERR);
	fx.nic->reconfigure_error = 0;
	check_mac(&fx, own_mac);
	(void)fake_driver_interrupts(&fx.d, 0);
	assert_int_equal(ctrl_mac(&fx, other_mac), CTRL_OK);
	check_mac(&fx, other_mac);
	assert_false(sees(&fx, own_mac, -1));
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 0);
	/* The host changes something else: the guest's address stays. */
	config = fx.f->config.nics[0].port;
	config.broadcast_pps = 100;
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), 0);
	check_mac(&fx, other_mac);
	assert_int_equal(fx.nic->config.broadcast_pps, 100);
	/* It takes the leave back: so it is the host's again, and the guest is told. */
	config.flags = 0;
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), 0);
	assert_int_equal(fake_driver_interrupts(&fx.d, 0), 1);
	check_mac(&fx, own_mac);
	/* Another address of the host's counts in any case. */
	config.flags = NET_PORT_ALLOW_MAC;
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), 0);
	assert_int_equal(ctrl_mac(&fx, other_mac), CTRL_OK);
	memcpy(config.mac, peer_mac, 6);
	assert_int_equal(fx.f->m.nic_ops->set(fx.dev, &config), 0);
	check_mac(&fx, peer_mac);
	/* A reset gives the host's back. */
	assert_int_equal(ctrl_mac(&fx, other_mac), CTRL_OK);
	fx.d.heap = FAKE_DRIVER_HEAP;
	fake_driver_start(&fx.d, ALL);
	check_mac(&fx, peer_mac);
	destroy(&fx);
}

/* What comes on the control queue of a driver that does not know what it does. */
static void test_ctrl_garbage(void **state)
{
	static const struct {
		uint8_t bytes[24];
		uint32_t len;
	} rows[] = {
		{{0}, 0},
		{{0}, 1},
		{{0, 0}, 2},
		{{1, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 10},
		{{1, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 10},
		{{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 11},
		{{1, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 10},
		{{1, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 10},
		{{1, 0, 0xab, 0xaa, 0xaa, 0x2a, 0, 0, 0, 0, 0, 0, 0}, 13}, /* 6 n wraps to 2 */
		{{1, 1, 2, 3, 4, 5, 6}, 7},
		{{1, 2, 2, 2, 3, 4, 5, 6}, 8},
		{{2, 0, 7}, 3},
		{{2, 2, 7, 0}, 4},
		{{3, 1}, 2},
		{{4, 0, 1}, 3},
		{{4, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 12},
		{{5, 0, 0, 0, 0, 0, 0, 0, 0}, 9},
		{{5, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 10},
		{{6, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 10},
		{{0xff, 0xff, 0xff, 0xff}, 4},
	};
	struct fixture fx;
	struct fake_part part;

	(void)state;
	start(&fx, &(struct vm_nic){.queues = 2}, ALL);
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		uint64_t at = fake_driver_alloc(&fx.d, 64), ack = fake_driver_alloc(&fx.d, 4);
		struct fake_part parts[3];
		unsigned n = 0;
		uint32_t id, len;

		memcpy(host(&fx, at), rows[i].bytes, 24);
		memset(host(&fx, ack), 0xee, 4);
		if (rows[i].len > 1)
			parts[n++] = (struct fake_part){at, 1, false};
		if (rows[i].len) {
			parts[n] = (struct fake_part){at + n, rows[i].len - n, false};
			n++;
		}
		parts[n++] = (struct fake_part){ack, 4, true};
		(void)fake_driver_add(&fx.d, 4, parts, n);
		kick(&fx, 4);
		assert_true(fake_driver_used(&fx.d, 4, &id, &len));
		if (*host(&fx, ack) != CTRL_ERR)
			fail_msg("row %u: %u", i, *host(&fx, ack));
		assert_int_equal(len, 1);
		assert_int_equal(*host(&fx, ack + 1), 0xee);
	}
	assert_int_equal(fake_driver_status(&fx.d), 0xf);
	check_sees(&fx, true, false, false, true);
	/* No room for the answer. */
	part = (struct fake_part){fake_driver_alloc(&fx.d, 8), 8, false};
	(void)fake_driver_add(&fx.d, 4, &part, 1);
	kick(&fx, 4);
	assert_true(fake_driver_status(&fx.d) & FAILED);
	destroy(&fx);
}

/* A command whose feature the driver did not take. */
static void test_ctrl_features(void **state)
{
	struct fixture fx;
	uint64_t none = 0;

	(void)state;
	start(&fx, &(struct vm_nic){.queues = 2}, BIT(32) | BIT(17));
	assert_int_equal(ctrl_byte(&fx, 0, 0, 1), CTRL_ERR);
	assert_int_equal(ctrl_byte(&fx, 0, 3, 1), CTRL_ERR);
	assert_int_equal(ctrl_table(&fx, 0, NULL, 0, NULL), CTRL_ERR);
	assert_int_equal(ctrl_mac(&fx, own_mac), CTRL_ERR);
	assert_int_equal(ctrl_vlan(&fx, 0, 1), CTRL_ERR);
	assert_int_equal(ctrl(&fx, 3, 0, NULL, 0), CTRL_ERR);
	assert_int_equal(ctrl_pairs(&fx, 1), CTRL_ERR);
	assert_int_equal(ctrl(&fx, 5, 0, &none, 8), CTRL_ERR);
	destroy(&fx);
	/* No control queue: nothing reads it. */
	start(&fx, &(struct vm_nic){0}, BIT(32));
	offer_numbered(&fx, 0, 1);
	kick(&fx, 2);
	kick(&fx, 1);
	assert_int_equal(fx.nic->n_sent, 1);
	destroy(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offloads),
		cmocka_unit_test(test_filter),
		cmocka_unit_test(test_vlan_filter),
		cmocka_unit_test(test_mac),
		cmocka_unit_test(test_ctrl_garbage),
		cmocka_unit_test(test_ctrl_features),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
