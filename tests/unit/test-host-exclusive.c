/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NICs that the host leaves alone, in a network namespace of the test's own; the NIC is a tap. */
#include "daemon/host-exclusive.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "daemon/host-net.h"
#include "netns-fixture.h"
#include "vmm-core/base/cleanup.h"

#define TYPE 0x88b6

struct world {
	int wire;   /* the NIC's other end */
	int worker; /* what a network's worker has */
	int host;   /* a protocol of the host's stack */
};

static bool command(const char *line)
{
	return system(line) == 0;
}

static bool has(const char *what)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "tc %s", what);
	return command(line);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct sockaddr_ll sa = {.sll_family = AF_PACKET, .sll_protocol = htons(TYPE)};
	uint8_t mac[NET_MAC_LEN] = {2, 0, 0, 0, 0, 7};
	struct error e = {0};

	assert_int_equal(host_net_make_tap("eth7", mac, 0, &w->wire, &e), 0);
	assert_int_equal(host_net_open_packet("eth7", HOST_NET_ALL, &w->worker, mac, &e), 0);
	w->host = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	sa.sll_ifindex = (int)if_nametoindex("eth7");
	assert_int_equal(bind(w->host, (struct sockaddr *)&sa, sizeof(sa)), 0);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	close(w->host);
	close(w->worker);
	close(w->wire);
	free(w);
	return 0;
}

/* A frame comes in: 1: the worker has it; 2: the host; 3: both. */
static unsigned who_sees(const struct world *w)
{
	uint8_t bytes[12 + 60] = {0}, got[256];
	unsigned seen;

	memset(bytes + 12, 0xff, NET_MAC_LEN);
	bytes[12 + 6] = 2;
	bytes[12 + 12] = TYPE >> 8;
	bytes[12 + 13] = TYPE & 0xff;
	assert_int_equal(write(w->wire, bytes, sizeof(bytes)), sizeof(bytes));
	seen = recv(w->worker, got, sizeof(got), MSG_DONTWAIT) > 0;
	return seen | (unsigned)(recv(w->host, got, sizeof(got), MSG_DONTWAIT) > 0) << 1;
}

static void test_filter(void **state)
{
	struct world *w = *state;
	struct error e = {0};

	assert_int_equal(who_sees(w), 3);
	host_exclusive_end("eth7"); /* it was never begun */
	if (host_exclusive_begin("eth7", "red", &e) < 0)
		fail_msg("%s", e.message);
	assert_int_equal(who_sees(w), 1);
	assert_true(has("filter show dev eth7 ingress | grep -q 'vmmd:red.*direct-action'"));
	/* A daemon that comes after another. */
	assert_int_equal(host_exclusive_begin("eth7", "red", &e), 0);
	assert_int_equal(who_sees(w), 1);
	host_exclusive_end("eth7");
	assert_int_equal(who_sees(w), 3);
	assert_false(has("qdisc show dev eth7 | grep -q clsact"));
	host_exclusive_end("nosuch");
	assert_int_equal(host_exclusive_begin("nosuch", "red", &e), -EIO);
	assert_non_null(strstr(e.message, "the host has no network interface 'nosuch'"));
}

/* What others have put there stays. */
static void test_others(void **state)
{
	struct world *w = *state;
	struct error e = {0};

	if (!has("qdisc add dev eth7 clsact") ||
		!has("filter add dev eth7 egress prio 7 u32 match u32 0 0 classid 1:1")) {
		print_message("skipped: no tc with u32\n");
		skip();
	}
	assert_int_equal(host_exclusive_begin("eth7", "red", &e), 0);
	assert_int_equal(who_sees(w), 1);
	host_exclusive_end("eth7");
	assert_int_equal(who_sees(w), 3);
	assert_true(has("filter show dev eth7 egress | grep -q u32"));
	/* And one that is not ours at the ingress. */
	assert_true(has("filter add dev eth7 ingress prio 7 u32 match u32 0 0 classid 1:1"));
	assert_true(has("filter del dev eth7 egress"));
	assert_int_equal(host_exclusive_begin("eth7", "red", &e), 0);
	host_exclusive_end("eth7");
	assert_true(has("filter show dev eth7 ingress | grep -q u32"));
	assert_false(has("filter show dev eth7 ingress | grep -q vmmd"));
}

static void test_users(void **state)
{
	static const struct {
		const char *begin, *end, *who; /* NULL: no use of the host's */
	} uses[] = {
		{"address add 192.0.2.7/24 dev eth7", "address flush dev eth7",
			"the host uses 'eth7': it has the address 192.0.2.7/24; take that from it, "
			"or remove exclusive='yes'"},
		{"address add 2001:db8::7/64 dev eth7", "address flush dev eth7",
			"it has the address 2001:db8::7/64"},
		{"address add fe80::7/64 dev eth7", "address flush dev eth7", NULL},
		{"route add 198.51.100.0/24 dev eth7", "route del 198.51.100.0/24",
			"this route leads there: 198.51.100.0/24"},
		{"-6 route add 2001:db8:1::/48 dev eth7", "-6 route del 2001:db8:1::/48",
			"this route leads there: 2001:db8:1::/48"},
		{"link set eth7 master br7", "link set eth7 nomaster", "it is a port of 'br7'"},
		{"link add mv7 link eth7 type macvlan", "link del mv7", "'mv7' stands on it"},
	};
	struct error e = {0};
	unsigned n = 0;

	(void)state;
	assert_true(command("ip link add br7 type bridge"));
	assert_int_equal(host_exclusive_check("eth7", &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(uses); i++) {
		char line[256];

		(void)snprintf(line, sizeof(line), "ip %s 2>/dev/null", uses[i].begin);
		if (!command(line))
			continue; /* a kernel without IPv6, or macvlan */
		n++;
		assert_int_equal(host_exclusive_check("eth7", &e), uses[i].who ? -EBUSY : 0);
		if (uses[i].who)
			assert_non_null(strstr(e.message, uses[i].who));
		(void)snprintf(line, sizeof(line), "ip %s", uses[i].end);
		assert_true(command(line));
		assert_int_equal(host_exclusive_check("eth7", &e), 0);
	}
	assert_true(n >= 3);
	assert_true(host_exclusive_check("nosuch", &e) < 0);
	assert_true(command("ip link del br7"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_filter),
		TEST(test_others),
		TEST(test_users),
	};

	if (geteuid() != 0) {
		printf("skipped: programs for traffic control need root\n");
		return 77;
	}
	return netns_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
