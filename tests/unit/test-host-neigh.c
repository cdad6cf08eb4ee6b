/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's neighbours, in a network namespace of the test's own. */
#include "daemon/host-neigh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "netns-fixture.h"

static const uint8_t mac[NET_MAC_LEN] = {0x52, 0x54, 0, 0, 0, 1};

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("%s", command);
}

static bool has(const struct net_ip *ips, int n, uint8_t family, const uint8_t *bytes)
{
	for (int i = 0; i < n; i++)
		if (ips[i].family == family && ips[i].prefix == 0 &&
			memcmp(ips[i].bytes, bytes, family == 4 ? 4 : 16) == 0)
			return true;
	return false;
}

static void test_find(void **state)
{
	static const uint8_t v6[16] = {0xfd, [15] = 5};
	struct net_ip ips[4];
	int n;

	(void)state;
	assert_int_equal(host_neigh_find(mac, ips, 4), 0);
	run("ip link add br0 type bridge && ip link set br0 up");
	run("ip neigh add 10.0.0.5 lladdr 52:54:00:00:00:01 dev br0 nud reachable");
	run("ip neigh add 10.0.0.6 lladdr 52:54:00:00:00:01 dev br0 nud stale");
	run("ip neigh add fd00::5 lladdr 52:54:00:00:00:01 dev br0 nud permanent");
	/* Others, and those that were not there when they were asked. */
	run("ip neigh add 10.0.0.7 lladdr 52:54:00:00:00:02 dev br0 nud reachable");
	run("ip neigh add 10.0.0.8 lladdr 52:54:00:00:00:01 dev br0 nud noarp");
	run("ip neigh add 10.0.0.9 lladdr 52:54:00:00:00:01 dev br0 nud failed");
	n = host_neigh_find(mac, ips, 4);
	assert_int_equal(n, 3);
	assert_true(has(ips, n, 4, (const uint8_t[]){10, 0, 0, 5}));
	assert_true(has(ips, n, 4, (const uint8_t[]){10, 0, 0, 6}));
	assert_true(has(ips, n, 6, v6));
	assert_int_equal(host_neigh_find(mac, ips, 2), 2);
	assert_int_equal(host_neigh_find(mac, ips, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
	};

	return netns_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
