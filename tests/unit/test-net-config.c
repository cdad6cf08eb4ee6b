/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Addresses, words, and the validators of ports and networks: each rule broken alone, and bytes of noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/net-addr.h"
#include "vmm-core/base/macro.h"

static struct net_port_config port;
static struct net_config net;

static struct net_ip ip(const char *s)
{
	struct net_ip ip;

	assert_int_equal(net_ip_parse(s, &ip), 0);
	return ip;
}

static void good_port(struct net_port_config *p)
{
	*p = (struct net_port_config){.mac = {0x52, 0x54, 0, 1, 2, 3}, .mtu = 9000};
	p->flags = NET_PORT_GUARD_ARP | NET_PORT_ISOLATED;
	p->vlan = (struct net_vlan){.mode = NET_VLAN_TRUNK,
		.native = 20,
		.native_tagged = 1,
		.n_tags = 2,
		.tags = {10, 20}};
	p->n_ips = 2;
	p->ips[0] = ip("192.0.2.1");
	p->ips[1] = ip("2001:db8::");
	p->ips[1].prefix = 64;
	p->bandwidth.in =
		(struct net_rate){.average = 1000, .peak = 2000, .burst = 64, .floor = 10};
	p->bandwidth.out = (struct net_rate){.average = 1000};
}

static void good_net(struct net_config *n)
{
	net_config_init(n);
	strcpy(n->name, "lan");
	n->n_uplinks = 3;
	for (unsigned i = 0; i < 3; i++)
		sprintf(n->uplinks[i].ifname, "eth%u", i);
	n->uplinks[2].role = NET_ROLE_STANDBY;
	n->has_host_port = 1;
	good_port(&n->host_port);
	n->team.policy = NET_TEAM_LOAD;
	n->team.up_delay_ms = UINT32_MAX;
	n->team.poll_ms = 10;
	n->team.n_targets = 1;
	n->team.targets[0].ip = ip("192.0.2.254");
	n->team.targets[0].vid = 10;
}

static void check(int r, const char *reason, const char *part)
{
	if (!part ? r != 0 || *reason
		  : r != -EINVAL || !strstr(reason, part) || strchr(reason, '\n'))
		fail_msg("expected '%s', got %d '%s'", part ? part : "", r, reason);
}

#define PORT(change, part)                                                                         \
	do {                                                                                       \
		char reason[256] = "";                                                             \
		good_port(&port);                                                                  \
		change;                                                                            \
		check(net_port_config_validate(&port, reason, sizeof(reason)), reason, part);      \
		assert_int_equal(net_port_config_validate(&port, NULL, 0), *reason ? -EINVAL : 0); \
	} while (0)

#define NET(change, part)                                                                          \
	do {                                                                                       \
		char reason[256] = "";                                                             \
		good_net(&net);                                                                    \
		change;                                                                            \
		check(net_config_validate(&net, reason, sizeof(reason)), reason, part);            \
	} while (0)

static void test_port(void **state)
{
	(void)state;
	PORT((void)0, NULL);
	PORT(memset(&port, 0, sizeof(port)), NULL);
	PORT(port.mac[0] = 0x53, "mac/@address: 53:54:00:01:02:03 is a group's address");
	PORT(memset(port.mac, 0xff, 6), "mac/@address");
	PORT(port.mtu = 67, "mtu/@size: 67; write 68 to 65535");
	PORT(port.mtu = 68, NULL);
	PORT(port.mtu = 65535, NULL);
	PORT(port.flags = NET_PORT_FLAGS, NULL);
	PORT(port.flags |= NET_PORT_FLAGS + 1, "unknown flags 0x2000");
	PORT(port.n_ips = 17, "filterref/parameter: 17");
	PORT(port.n_ips = 3, "filterref/parameter/@value: malformed");
	PORT(port.ips[0].family = 5, "malformed");
	PORT(port.ips[0].pad[1] = 1, "malformed");
	PORT(port.ips[0].prefix = 33, "prefix 33; write 1 to 32");
	PORT(port.ips[0].prefix = 0, "prefix 0");
	PORT(port.ips[1].prefix = 129, "write 1 to 128");
	PORT(port.ips[0] = ip("0.0.0.0"), "not the address of one host");
	PORT(port.ips[0] = ip("::"), "not the address of one host");
	PORT(port.ips[0] = ip("224.0.0.1"), "not the address of one host");
	PORT(port.ips[0] = ip("255.255.255.255"), "not the address of one host");
	PORT(port.ips[0] = ip("ff02::1"), "not the address of one host");
	PORT(port.learn_limit = 4097, "learnLimit: 4097");
}

static void test_vlan(void **state)
{
	(void)state;
	PORT(port.vlan.mode = 3, "vlan: unknown mode");
	PORT(port.vlan.native_tagged = 2, "vlan: unknown mode");
	PORT(port.vlan.n_tags = 33, "vlan/tag: 33 tags");
	PORT(port.vlan.tags[1] = 10, "vlan/tag[2]/@id: 10 is given twice");
	PORT(port.vlan.tags[0] = 0, "vlan/tag[1]/@id: 0; write 1 to 4094");
	PORT(port.vlan.tags[0] = 4095, "vlan/tag[1]/@id: 4095");
	PORT(port.vlan.tags[0] = 4094, NULL);
	PORT(port.vlan.native = 30, "VLAN 30 is not in the list");
	PORT(port.vlan.native = 0, "of no VLAN");
	PORT(port.vlan.n_tags = 0, "vlan/tag: missing");
	PORT(port.vlan.mode = NET_VLAN_ACCESS, "vlan: 2 tags");
	PORT((port.vlan.mode = NET_VLAN_ACCESS, port.vlan.n_tags = 1), "only a trunk");
	PORT((port.vlan = (struct net_vlan){.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {7}}),
		NULL);
	PORT(port.vlan.mode = NET_VLAN_ANY, "tags without a mode");
	PORT((port.vlan = (struct net_vlan){.native = 1}), "only a trunk");
}

static void test_bandwidth(void **state)
{
	(void)state;
	PORT(port.bandwidth.in.average = 0, "bandwidth/inbound/@average: missing");
	PORT(port.bandwidth.in.peak = 999, "bandwidth/inbound/@peak: less than the average");
	PORT(port.bandwidth.in.floor = 1001, "bandwidth/inbound/@floor: more than");
	PORT((port.bandwidth.in = (struct net_rate){.floor = 1001}), NULL);
	PORT(port.bandwidth.out.floor = 1, "bandwidth/outbound/@floor: only inbound");
	PORT(port.bandwidth.out.burst = UINT64_C(1) << 32, "bandwidth/outbound: too much");
	PORT(port.bandwidth.in.average = UINT64_MAX, "bandwidth/inbound: too much");
}

static void test_net(void **state)
{
	(void)state;
	NET((void)0, NULL);
	NET(net_config_init(&net), NULL);
	NET(net.magic++, "bad magic");
	NET(net.version = 9, "version 9");
	NET(memset(net.name, 'n', sizeof(net.name)), "name: too long");
	NET(strcpy(net.name, "a/b"), "name: the name contains '/'");
	NET(net.mtu = 67, "mtu/@size");
	NET(net.has_host_port = 2, "bridge: flag");
	NET(net.poll_us = 1000, NULL);
	NET(net.poll_us = 1001, "vmmd:switch/@pollUs: 1001 microseconds; write at most 1000");
	NET(net.host_port.mac[0] = 1, "mac/@address");
	NET(net.bandwidth.out.peak = 1, "bandwidth/outbound/@average");
	NET(net.n_uplinks = 9, "forward/interface: 9");
	NET(net.n_uplinks = 4, "forward/interface[4]/@dev: no name");
	NET(strcpy(net.uplinks[1].ifname, "eth0"), "forward/interface[2]/@dev: 'eth0' is used");
	NET(strcpy(net.uplinks[1].ifname, "../x"), "no name");
	NET(strcpy(net.uplinks[1].ifname, ".."), "no name");
	NET(strcpy(net.uplinks[1].ifname, "a b"), "no name");
	NET(memset(net.uplinks[1].ifname, 'e', NET_IFNAME_MAX), "no name");
	NET(net.uplinks[1].mac[0] = 1, "forward/interface[2]: 01:00:00");
	NET(net.uplinks[1].kind = 2, "forward/interface[2]: malformed");
	NET(net.uplinks[1].role = 4, "malformed");
	NET(net.uplinks[1].exclusive = 2, "malformed");
	NET(net.team.policy = NET_TEAM_IP_HASH, "forward/interface[3]: the switch");
	NET((net.uplinks[0].role = net.uplinks[1].role = net.uplinks[2].role = NET_ROLE_UNUSED),
		"every member is unused");
	NET((net.uplinks[2].role = NET_ROLE_UNUSED, net.team.min_links = 3), "3 of 2 members");
}

static void test_team(void **state)
{
	(void)state;
	NET(net.team.policy = 7, "vmmd:team/@policy");
	NET(net.team.failback = 3, "vmmd:team/@failback");
	NET(net.team.no_damping = 2, "vmmd:team/vmmd:detect/@damping");
	NET(net.team.lacp_slow = 2, "vmmd:lacp/@rate");
	NET(net.team.poll_ms = 9, "@pollMs: 9; write 10 to 60000");
	NET(net.team.poll_ms = UINT32_MAX, "@pollMs");
	NET(net.team.down_delay_ms = 86400001, "@downDelayMs");
	NET(net.team.failback_ms = UINT32_MAX, NULL);
	NET(net.team.min_links = 9, "@minLinks: 9; write 1 to 8");
	NET(net.team.beacon_missed = 101, "@missed");
	NET(net.team.rebalance_ms = 999, "@intervalMs: 999; write 1000");
	NET(net.team.rebalance_ms = UINT32_MAX, NULL);
	NET(net.team.rebalance_gain = 101, "@minGain");
	NET(net.team.n_targets = 17, "17 targets");
	NET(net.team.n_targets = 2, "@target: malformed");
	NET(net.team.targets[0].ip.prefix = 24, "@target: a network");
	NET(net.team.targets[0].vid = 4095, "@vlan: 4095");
}

static void test_words(void **state)
{
	(void)state;
	assert_string_equal(net_enum_to_string(NET_ENUM_TEAM_POLICY, NET_TEAM_LACP), "lacp");
	assert_null(net_enum_to_string(NET_ENUM_TEAM_POLICY, NET_TEAM_DEFAULT));
	assert_null(net_enum_to_string(NET_ENUM_TEAM_POLICY, NET_TEAM_POLICY_X_MAX));
	assert_null(net_enum_to_string(NET_ENUM_X_MAX, 1));
	assert_int_equal(net_enum_from_string(NET_ENUM_ROLE, "standby"), NET_ROLE_STANDBY);
	assert_int_equal(net_enum_from_string(NET_ENUM_ROLE, "yes"), -EINVAL);
	assert_int_equal(net_enum_from_string(NET_ENUM_ROLE, NULL), -EINVAL);
	for (unsigned kind = 0; kind < NET_ENUM_X_MAX; kind++)
		for (unsigned v = 0; v < 10; v++)
			if (net_enum_to_string(kind, v))
				assert_int_equal(
					net_enum_from_string(kind, net_enum_to_string(kind, v)), v);
	for (unsigned i = 0; i < NET_DROP_X_MAX; i++)
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(net_drop_to_string(i), net_drop_to_string(j));
	assert_string_equal(net_drop_to_string(NET_DROP_SPOOF_MAC), "spoofed-mac");
	assert_string_equal(net_drop_to_string(99), "unknown");
}

static void test_macs(void **state)
{
	static const char *const bad[] = {"", "52", "52:54:00:01:02", "52:54:00:01:02:03:04",
		"52-54-00-01-02-03", "52:54:00:01:02:", "5g:54:00:01:02:03", "152:54:00:01:02:03",
		" 52:54:00:01:02:03", "52:54:00:01:02:03 "};
	const uint8_t uuid[16] = {1}, other[16] = {2};
	uint8_t mac[6], again[6];
	char s[NET_MAC_STRING_SIZE];

	(void)state;
	assert_int_equal(net_mac_parse("52:54:0:aB:Cd:03", mac), 0);
	net_mac_format(mac, s);
	assert_string_equal(s, "52:54:00:ab:cd:03");
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(net_mac_parse(bad[i], mac), -EINVAL);
	assert_int_equal(mac[3], 0xab); /* untouched */

	net_mac_derive(uuid, 0, mac);
	net_mac_derive(uuid, 0, again);
	assert_memory_equal(mac, again, 6);
	assert_memory_equal(mac, "\x52\x54\x00", 3);
	net_mac_derive(uuid, 1, again);
	assert_memory_not_equal(mac, again, 6);
	net_mac_derive(other, 0, again);
	assert_memory_not_equal(mac, again, 6);
}

static void test_ips(void **state)
{
	static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4/24",
		":::", "fe80::1%eth0", "01.2.3.x", "::12345"};
	static const char *const same[] = {"192.0.2.1", "2001:db8::1", "::", "::ffff:1.2.3.4"};
	struct net_ip a, b;
	char s[NET_IP_STRING_SIZE];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(net_ip_parse(bad[i], &a), -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		a = ip(same[i]);
		net_ip_format(&a, s);
		assert_string_equal(s, same[i]);
	}
	a = (struct net_ip){0};
	net_ip_format(&a, s);
	assert_string_equal(s, "");

	a = ip("192.168.122.200");
	b = ip("192.168.122.1");
	assert_false(net_ip_within(&a, &b));
	b.prefix = 24;
	assert_true(net_ip_within(&a, &b));
	b.prefix = 25;
	assert_false(net_ip_within(&a, &b));
	b.prefix = 33;
	assert_false(net_ip_within(&a, &b));
	assert_true(net_ip_compare(&a, &b) > 0);
	b = ip("::1");
	assert_false(net_ip_within(&a, &b));

	a = ip("255.255.255.0");
	assert_int_equal(net_ip_netmask_prefix(&a), 24);
	a = ip("0.0.0.0");
	assert_int_equal(net_ip_netmask_prefix(&a), 0);
	a = ip("255.255.255.255");
	assert_int_equal(net_ip_netmask_prefix(&a), 32);
	a = ip("255.0.255.0");
	assert_int_equal(net_ip_netmask_prefix(&a), -EINVAL);
	a = ip("ffff::");
	assert_int_equal(net_ip_netmask_prefix(&a), -EINVAL);
}

/* Whatever the bytes, the answer is 0 or a reason, and no byte outside is read (run under ASan). */
static void test_noise(void **state)
{
	struct net_config *noisy = malloc(sizeof(*noisy));
	unsigned seed = 1;

	(void)state;
	assert_non_null(noisy);
	for (int round = 0; round < 5000; round++) {
		char reason[128];

		good_net(noisy);
		for (int i = 0; i < 1 + round % 8; i++)
			((uint8_t *)noisy)[(unsigned)rand_r(&seed) % sizeof(*noisy)] =
				(uint8_t)rand_r(&seed);
		if (net_config_validate(noisy, reason, sizeof(reason)) < 0)
			assert_true(strlen(reason) > 0);
		memset(noisy, 1 + rand_r(&seed) % 255, sizeof(*noisy));
		noisy->magic = NET_CONFIG_MAGIC;
		noisy->version = NET_CONFIG_VERSION;
		assert_int_equal(net_config_validate(noisy, reason, sizeof(reason)), -EINVAL);
	}
	free(noisy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port),
		cmocka_unit_test(test_vlan),
		cmocka_unit_test(test_bandwidth),
		cmocka_unit_test(test_net),
		cmocka_unit_test(test_team),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_macs),
		cmocka_unit_test(test_ips),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
