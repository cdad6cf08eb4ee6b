/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gateways whose tap is an interface of the host: isolated, routed, open, and NAT by the kernel (gateway-world.h). What
 * the host has else is not touched: its rules are compared, and what others do to rules is done. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <linux/netlink.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/gateway-world.h"
#include "vmm-core/base/fdio.h"

#define RULES      "nft list ruleset"
#define FORWARDING "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv6/conf/all/forwarding"

/* The guest's own address outside: there is a way back to it. */
static void lead_back(struct world *w)
{
	assert_int_equal(sh("%s ip route add 192.168.122.0/24 via 203.0.113.2 && "
			    "%s ip -6 route add fd01::/64 via 2001:db8::2",
				 in(w->outside), in(w->outside)),
		0);
}

static bool reaches(struct world *w, pid_t from, const char *to)
{
	return strstr(ask(w, TRY " 2>&1", in(from), to), "world") ||
		strstr(ask(w, TRY " 2>&1", in(from), to), "guest");
}

static void end(struct world *w)
{
	w->gateway = gateway_free(w->gateway);
	w->tap_fd = safe_close(w->tap_fd);
	end_child(&w->guest);
	assert_string_equal(output("ip -o link show dev virbr0 2>/dev/null"), "");
	assert_string_equal(output("ip route show table all | grep -e 192.168.122 -e 10.66"), "");
	assert_string_equal(output("ls '%s'", w->runtime), "");
}

/* Guests reach the host, and nothing behind it, whatever the host forwards for others. */
static void test_isolated(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_ISOLATED);
	char *before = strdup(output(RULES));

	(void)str_copy(c->ifname, sizeof(c->ifname), "vmmd%d");
	start(w, c);
	assert_string_equal(gateway_ifname(w->gateway), "vmmd0");
	EXPECT(w, "192.168.122.1/24", "ip -4 addr show dev vmmd0");
	assert_string_equal(output(FORWARDING), "0\n0\n");
	assert_int_equal(sh("echo 1 >/proc/sys/net/ipv4/ip_forward; "
			    "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"),
		0);
	/* No router comes with the address. */
	get_address(w, "");
	lead_back(w);
	start_servers(w);
	EXPECT(w, "192.0.2.77", "%s busybox nslookup vault.example.test 192.168.122.1 2>&1",
		in(w->guest));
	assert_int_equal(sh("%s ip route add default via 192.168.122.1", in(w->guest)), 0);
	serve(w, getpid(), SOCAT("TCP6-LISTEN:7000,ipv6only=0", "echo the world of the host"));
	assert_true(reaches(w, w->guest, "TCP:192.168.122.1:7000"));
	assert_false(reaches(w, w->guest, "TCP:203.0.113.1:7000"));
	assert_false(reaches(w, w->guest, "TCP6:[2001:db8::1]:7000"));
	assert_false(reaches(w, w->outside, "TCP:192.168.122.5:80"));
	assert_int_equal(gateway_netns_fd(w->gateway), -EBADF);
	kill_and_wait(w, GATEWAY_DNSMASQ);
	kill_and_wait(w, GATEWAY_KEEPER);
	assert_int_equal(w->n_started, 4);
	end(w);
	assert_string_equal(output("ip -o link show dev vmmd0 2>/dev/null"), "");
	assert_string_equal(output(RULES), before);
	free(before);
	free(c);
}

static void check_routed(struct world *w)
{
	/* Each sees the other's own address. */
	EXPECT(w, "world [0000:0000:0000:0000:0000:ffff:c0a8:7a05]", GET, in(w->guest),
		"TCP:203.0.113.1:7000");
	EXPECT(w, "world [fd01:0000:0000:0000:", GET, in(w->guest), "TCP6:[2001:db8::1]:7000");
	EXPECT(w, "guest [0000:0000:0000:0000:0000:ffff:cb00:7101]", GET, in(w->outside),
		"TCP:192.168.122.5:80");
	EXPECT(w, "guest", GET, in(w->outside), "TCP6:[fd01::5]:80");
}

static void add_route(
	struct gateway_config *c, const char *net, unsigned prefix, const char *gateway)
{
	c->routes[c->n_routes++] =
		(struct gateway_route){fixture_ip(net, prefix), fixture_ip(gateway, 0), 5};
}

/* Somebody else's address, of a network that is not this one's. */
static void check_foreign_source(struct world *w, bool passes)
{
	assert_int_equal(sh("%s ip addr add 10.77.0.1/32 dev lo && "
			    "%s ip route replace 10.77.0.0/16 via 203.0.113.2 && "
			    "ip route replace 10.77.0.0/16 via 192.168.122.5",
				 in(w->guest), in(w->outside)),
		0);
	assert_true(reaches(w, w->guest, "TCP:203.0.113.1:7000,bind=10.77.0.1") == passes);
	assert_int_equal(sh("%s ip addr del 10.77.0.1/32 dev lo; "
			    "ip route del 10.77.0.0/16",
				 in(w->guest)),
		0);
}

static void test_route(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_ROUTE);
	char *before;

	assert_int_equal(
		sh("nft add table ip others; nft add chain ip others c '{ type filter hook "
		   "forward priority 0; }'; nft add rule ip others c counter"),
		0);
	before = strdup(output("nft -s list ruleset"));
	add_route(c, "10.66.0.0", 16, "192.168.122.5");
	start(w, c);
	get_address(w, "192.168.122.1");
	lead_back(w);
	start_servers(w);
	assert_string_equal(output(FORWARDING), "1\n1\n");
	EXPECT(w, "10.66.0.0/16 via 192.168.122.5 dev virbr0 proto static metric 5",
		"ip route show dev virbr0; ip route | grep 10.66");
	check_dns(w);
	check_routed(w);
	check_foreign_source(w, false);

	/* A network that the guest leads to. */
	assert_int_equal(sh("%s ip addr add 10.66.0.1/32 dev lo && "
			    "%s ip route add 10.66.0.0/16 via 203.0.113.2",
				 in(w->guest), in(w->outside)),
		0);
	EXPECT(w, "world", GET, in(w->guest), "TCP:203.0.113.1:7000,bind=10.66.0.1");

	/* What others do to their rules, and what dies, leaves ours. */
	(void)sh("nft flush table inet vmmd_red 2>/dev/null; nft delete table inet vmmd_red "
		 "2>/dev/null");
	kill_and_wait(w, GATEWAY_KEEPER);
	RUN_UNTIL(w, !w->gateway->keeper_source);
	check_foreign_source(w, false);
	check_routed(w);
	end(w);
	assert_string_equal(output("nft -s list ruleset"), before);
	/* Others may need it by now. */
	assert_string_equal(output(FORWARDING), "1\n1\n");
	free(before);
	free(c);
}

/* A daemon with many open files, and with the sockets of other gateways: the table's own socket is the one that is kept. */
static void test_many_sockets(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_ROUTE);
	int fds[100];

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			i % 50 ? NETLINK_ROUTE : NETLINK_NETFILTER);
		assert_true(fds[i] >= 0);
	}
	start(w, c);
	EXPECT(w, "table inet vmmd_red", "nft list tables");
	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		(void)close(fds[i]);
	EXPECT(w, "table inet vmmd_red", "nft list tables");
	end(w);
	free(c);
}

/* The table is there as long as keeper or daemon: with the last of them it goes, however they end. */
static void test_table_goes(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_ROUTE);
	pid_t keeper, dnsmasq;

	start(w, c);
	EXPECT(w, "table inet vmmd_red", RULES);
	keeper = pid_of(w, GATEWAY_KEEPER);
	dnsmasq = pid_of(w, GATEWAY_DNSMASQ);
	w->gateway = gateway_release(w->gateway);
	EXPECT(w, "table inet vmmd_red", RULES);
	if (gateway_adopt(w->event, c, &w->place, &world_ops, w, &w->gateway, &w->error) < 0)
		fail_msg("%s", w->error.message);
	EXPECT(w, "table inet vmmd_red", RULES);
	w->gateway = gateway_release(w->gateway);
	assert_int_equal(kill(keeper, SIGKILL), 0);
	assert_int_equal(kill(dnsmasq, SIGKILL), 0);
	assert_int_equal(waitpid(keeper, NULL, 0), keeper);
	assert_int_equal(waitpid(dnsmasq, NULL, 0), dnsmasq);
	assert_string_equal(output(RULES), "");
	free(c);
}

static void test_dev(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_ROUTE);

	/* Another way to the same world, which is not to be taken. */
	assert_int_equal(sh("ip link add h1 type veth peer name w1 netns %d && "
			    "ip addr add 198.51.100.2/24 dev h1 && ip link set h1 up && "
			    "%s sh -c 'ip addr add 198.51.100.1/24 dev w1; ip link set w1 up'",
				 (int)w->outside, in(w->outside)),
		0);
	(void)str_copy(c->dev, sizeof(c->dev), "h0");
	start(w, c);
	get_address(w, "192.168.122.1");
	lead_back(w);
	start_servers(w);
	check_routed(w);
	assert_false(reaches(w, w->guest, "TCP:198.51.100.1:7000"));
	assert_int_equal(
		sh("%s ip route replace 192.168.122.0/24 via 198.51.100.2", in(w->outside)), 0);
	assert_false(reaches(w, w->outside, "TCP:192.168.122.5:80,bind=198.51.100.1"));
	end(w);
	free(c);
}

static void test_open(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_OPEN);

	start(w, c);
	get_address(w, "192.168.122.1");
	lead_back(w);
	start_servers(w);
	assert_string_equal(output(RULES), "");
	assert_string_equal(output(FORWARDING), "1\n1\n");
	check_routed(w);
	check_foreign_source(w, true);
	end(w);
	free(c);
}

/* Only what is needed: a network without IPv6 neither forwards it nor has it. */
static void test_ipv4_only(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_OPEN);

	c->n_ips = 1;
	start(w, c);
	assert_string_equal(output(FORWARDING), "1\n0\n");
	assert_string_equal(output("ip -6 addr show dev virbr0"), "");
	end(w);
	free(c);
}

static void test_masquerade(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_MASQUERADE);

	(void)str_copy(c->dev, sizeof(c->dev), "h0");
	c->nat_first = c->nat_last = fixture_ip("203.0.113.77", 0);
	c->nat_port_first = 5000;
	c->nat_port_last = 5009;
	c->nat_ipv6 = true;
	assert_int_equal(sh("ip addr add 203.0.113.77/32 dev h0"), 0);
	start(w, c);
	get_address(w, "192.168.122.1");
	start_servers(w);
	serve(w, w->outside,
		SOCAT("TCP-LISTEN:7002", "echo port=$SOCAT_PEERPORT from $SOCAT_PEERADDR"));
	check_dns(w);
	EXPECT(w, "port=500", GET, in(w->guest), "TCP:203.0.113.1:7002");
	EXPECT(w, "from 203.0.113.77", GET, in(w->guest), "TCP:203.0.113.1:7002");
	EXPECT(w, "world [2001:0db8:0000:0000:0000:0000:0000:0002]", GET, in(w->guest),
		"TCP6:[2001:db8::1]:7000");
	/* Nobody gets in but by a forward. */
	lead_back(w);
	assert_false(reaches(w, w->outside, "TCP:192.168.122.5:80"));
	EXPECT(w, "guest [0000:0000:0000:0000:0000:ffff:cb00:7101]", GET, in(w->outside),
		"TCP:203.0.113.2:8080");
	EXPECT(w, "guest", GET, in(w->outside), "TCP6:[2001:db8::2]:8080");
	EXPECT(w, "guest", GET, "", "TCP:203.0.113.2:8080");
	EXPECT(w, "guest", GET, in(w->guest), "TCP:192.168.122.1:8080");
	EXPECT(w, "guest", GET, in(w->guest), "TCP:203.0.113.2:8080");
	EXPECT(w, "guest", GET, in(w->guest), "TCP6:[fd01::1]:8080");
	/* net-update: names yes, ports no. */
	fixture_add_dns_host(c, "192.0.2.78", "new.example.test");
	assert_int_equal(gateway_update(w->gateway, c, &w->error), 0);
	c->n_forwards--;
	assert_true(gateway_update(w->gateway, c, &w->error) < 0);
	assert_non_null(strstr(w->error.message, "write --config, and start it anew"));
	end(w);
	assert_string_equal(output(RULES), "");
	free(c);
}

/* Without <nat ipv6='yes'> IPv6 is routed, as libvirt does. */
static void test_masquerade_ipv4(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_MASQUERADE);

	start(w, c);
	get_address(w, "192.168.122.1");
	lead_back(w);
	start_servers(w);
	EXPECT(w, "world [0000:0000:0000:0000:0000:ffff:cb00:7102]", GET, in(w->guest),
		"TCP:203.0.113.1:7000");
	EXPECT(w, "world [fd01:0000:0000:0000:", GET, in(w->guest), "TCP6:[2001:db8::1]:7000");
	end(w);
	free(c);
}

/* The host would lose its own way out. */
static void test_advertised_routes(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_ROUTE);

	assert_int_equal(sh("ip -6 route del default"), 0);
	serve(w, w->outside,
		"dnsmasq -k --conf-file=/dev/null --user=nobody --port=0 --pid-file= "
		"--log-facility=- "
		"--leasefile-ro --interface=w0 --enable-ra --ra-param=w0,4,1800 "
		"--dhcp-range=2001:db8::,ra-only,64 >/dev/null 2>&1");
	RUN_UNTIL(w, strstr(output("ip -6 route show default"), "proto ra"));
	expect_failure(w, c, "set net.ipv6.conf.h0.accept_ra=2 first");
	assert_int_equal(sh("echo 2 >/proc/sys/net/ipv6/conf/h0/accept_ra"), 0);
	start(w, c);
	EXPECT(w, "proto ra", "ip -6 route show default");
	end(w);
	free(c);
}

/* Others drop what they have no rule for: that is said, and nothing is done about it. */
static void test_foreign_drop(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_ROUTE);
	char text[512];

	assert_false(gateway_find_drop("forward", "virbr0", text, sizeof(text)));
	assert_int_equal(
		sh("nft add table inet wall; nft add chain inet wall through '{ type filter hook "
		   "forward priority 0; policy drop; }'"),
		0);
	assert_true(gateway_find_drop("forward", "virbr0", text, sizeof(text)));
	start(w, c);
	get_address(w, "192.168.122.1");
	lead_back(w);
	start_servers(w);
	assert_false(reaches(w, w->guest, "TCP:203.0.113.1:7000"));
	/* What it says to write is right. */
	assert_non_null(strstr(text, "nft insert rule inet wall through iifname virbr0 accept"));
	assert_int_equal(sh("nft insert rule inet wall through iifname virbr0 accept; "
			    "nft insert rule inet wall through oifname virbr0 accept"),
		0);
	check_routed(w);
	end(w);
	free(c);
}

/* dnsmasq does not see the host's /run; what the host's resolv.conf is a link to there, it does. The last test: it
 * leaves the mounts. */
static void test_resolv_in_run(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_ROUTE);

	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(sh("set -e; mount --make-rprivate /; mount -t tmpfs tmpfs /run\n"
			    "mkdir /run/resolver %s/etc; cp /etc/passwd /etc/group %s/etc\n"
			    "echo nameserver 203.0.113.1 >/run/resolver/stub.conf\n"
			    "ln -s /run/resolver/stub.conf %s/etc/resolv.conf\n"
			    "mount --bind %s/etc /etc",
				 w->dir, w->dir, w->dir, w->dir),
		0);
	c->n_forwarders = 0;
	start(w, c);
	get_address(w, "192.168.122.1");
	start_servers(w);
	EXPECT(w, "198.51.100.7", "%s busybox nslookup www.outside.test 192.168.122.1 2>&1",
		in(w->guest));
	end(w);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_isolated),
		WORLD_TEST(test_route),
		WORLD_TEST(test_many_sockets),
		WORLD_TEST(test_table_goes),
		WORLD_TEST(test_dev),
		WORLD_TEST(test_open),
		WORLD_TEST(test_ipv4_only),
		WORLD_TEST(test_masquerade),
		WORLD_TEST(test_masquerade_ipv4),
		WORLD_TEST(test_advertised_routes),
		WORLD_TEST(test_foreign_drop),
		WORLD_TEST(test_resolv_in_run),
	};

	WORLD_MAIN(tests);
}
