/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taps, ports of bridges and macvtaps, in a network namespace of the test's own. What VLANs and isolation do to frames is in
 * tests/net/test-taps.c. */
#include "daemon/host-link.h"

#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "daemon/host-net.h"
#include "link-fixture.h"

static const uint8_t mac[NET_MAC_LEN] = {0x52, 0x54, 0, 1, 2, 3};
static const uint8_t nic_mac[NET_MAC_LEN] = {2, 0, 0, 0, 0, 7};

#define REFUSED(call, text)                                                                        \
	do {                                                                                       \
		assert_true((call) < 0);                                                           \
		assert_non_null(strstr(e.message, text));                                          \
	} while (0)

static void test_tap_in_bridge(void **state)
{
	struct host_tap tap = {.ifname = "vnet0", .mac = mac, .mtu = 1400, .bridge = "br0"};
	uint8_t expect[NET_MAC_LEN];
	struct error e = {0};
	struct ifreq ifr;
	int fd, flags;

	(void)state;
	link_make_bridge("br0", 0);
	assert_int_equal(host_link_make_tap(&tap, &fd, &e), 0);
	ifr = link_query("vnet0", SIOCGIFHWADDR);
	memcpy(expect, mac, sizeof(mac));
	expect[0] = 0xfe;
	assert_memory_equal(ifr.ifr_hwaddr.sa_data, expect, NET_MAC_LEN);
	assert_int_equal(link_query("vnet0", SIOCGIFMTU).ifr_mtu, 1400);
	assert_true(link_is_up("vnet0"));
	assert_true(link_is_in("br0", "vnet0"));
	flags = fcntl(fd, F_GETFL);
	assert_true(flags & O_NONBLOCK);
	assert_int_equal(ioctl(fd, TUNGETIFF, &ifr), 0);
	assert_true(ifr.ifr_flags & IFF_VNET_HDR);
	REFUSED(host_link_make_tap(&tap, &fd, &e), "the host has an interface 'vnet0' already");
	close(fd);
	assert_int_equal(if_nametoindex("vnet0"), 0); /* it went with its fd */
	/* A vNIC that begins with fe itself must not share its address with the tap. */
	tap.mac = (const uint8_t[]){0xfe, 0x54, 0, 1, 2, 3};
	assert_int_equal(host_link_make_tap(&tap, &fd, &e), 0);
	ifr = link_query("vnet0", SIOCGIFHWADDR);
	assert_int_equal((uint8_t)ifr.ifr_hwaddr.sa_data[0], 0xfa);
	close(fd);
	link_remove_bridge("br0");
}

/* Whatever fails, there is no tap afterwards. */
static void test_tap_refusals(void **state)
{
	struct net_vlan vlan = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {42}};
	struct host_tap tap = {.ifname = "vnet0", .mac = mac, .bridge = "nosuch"};
	struct error e = {0};
	int fd;

	(void)state;
	REFUSED(host_link_make_tap(&tap, &fd, &e), "the host has no bridge 'nosuch'");
	tap.bridge = "lo";
	REFUSED(host_link_make_tap(&tap, &fd, &e), "'lo'");
	link_make_bridge("br0", 0);
	tap.bridge = "br0";
	tap.vlan = &vlan;
	REFUSED(host_link_make_tap(&tap, &fd, &e), "the bridge 'br0' does not filter VLANs");
	assert_int_equal(if_nametoindex("vnet0"), 0);
	/* Without VLANs of its own it is as the bridge likes it. */
	vlan.mode = NET_VLAN_ANY;
	assert_int_equal(host_link_make_tap(&tap, &fd, &e), 0);
	close(fd);
	link_remove_bridge("br0");
}

/* A tap that is there without us. */
static void make_persistent(const char *ifname, short flags)
{
	struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags)};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_int_equal(str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), ifname), 0);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
}

static void test_existing_tap(void **state)
{
	struct error e = {0};
	struct ifreq before, after;
	int fd, other;

	(void)state;
	make_persistent("mine", 0);
	before = link_query("mine", SIOCGIFHWADDR);
	assert_int_equal(host_link_open_tap("mine", &fd, &e), 0);
	after = link_query("mine", SIOCGIFHWADDR);
	assert_memory_equal(before.ifr_hwaddr.sa_data, after.ifr_hwaddr.sa_data, NET_MAC_LEN);
	assert_false(link_is_up("mine"));
	assert_int_equal(ioctl(fd, TUNGETIFF, &after), 0);
	assert_true(after.ifr_flags & IFF_VNET_HDR);
	REFUSED(host_link_open_tap("mine", &other, &e), "the tap 'mine' is in use by another");
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
	close(fd);
	make_persistent("many", IFF_MULTI_QUEUE);
	assert_int_equal(host_link_open_tap("many", &fd, &e), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 0), 0);
	close(fd);
	REFUSED(host_link_open_tap("many", &fd, &e), "the host has no tap 'many'; make it");
	REFUSED(host_link_open_tap("lo", &fd, &e), "'lo' is not a tap");
}

static void test_mtu(void **state)
{
	struct error e = {0};
	unsigned mtu;

	(void)state;
	assert_int_equal(host_link_mtu("interface", "lo", &mtu, &e), 0);
	assert_int_equal(mtu, 65536);
	assert_int_equal(host_link_mtu("bridge", "nosuch", &mtu, &e), -EIO);
	assert_non_null(strstr(e.message, "the host has no bridge 'nosuch'"));
}

/* A NIC for macvtaps to be on: a tap, too. False: this kernel has no macvtap. */
static bool make_nic(int *ret_fd)
{
	struct host_macvtap m = {"probe0", "eth7", mac, 0, MACVLAN_MODE_BRIDGE};
	struct error e = {0};
	int fd;

	assert_int_equal(host_net_make_tap("eth7", nic_mac, 0, ret_fd, &e), 0);
	if (host_link_make_macvtap(&m, &fd, &e) == 0) {
		close(fd);
		assert_int_equal(host_link_remove_macvtap("probe0", "eth7", mac), 0);
		return true;
	}
	print_message("skipped: %s\n", e.message);
	close(*ret_fd);
	return false;
}

static void test_macvtap(void **state)
{
	struct host_macvtap m = {"macvtap0", "eth7", mac, 1400, MACVLAN_MODE_VEPA};
	static const uint8_t other[NET_MAC_LEN] = {2, 9};
	struct error e = {0};
	struct ifreq ifr;
	int nic, fd;

	(void)state;
	if (!make_nic(&nic))
		skip();
	assert_int_equal(host_link_make_macvtap(&m, &fd, &e), 0);
	ifr = link_query("macvtap0", SIOCGIFHWADDR);
	assert_memory_equal(ifr.ifr_hwaddr.sa_data, mac, NET_MAC_LEN);
	assert_int_equal(link_query("macvtap0", SIOCGIFMTU).ifr_mtu, 1400);
	assert_true(link_is_up("macvtap0"));
	assert_int_equal(ioctl(fd, TUNGETIFF, &ifr), 0);
	assert_true(ifr.ifr_flags & IFF_VNET_HDR);
	REFUSED(host_link_make_macvtap(&m, &fd, &e), "an interface 'macvtap0' already");
	close(fd);
	/* It stays, and only what is that very one is removed. */
	assert_int_equal(host_link_remove_macvtap("macvtap0", "eth7", other), -EEXIST);
	assert_int_equal(host_link_remove_macvtap("macvtap0", "lo", mac), -EEXIST);
	assert_int_equal(host_link_remove_macvtap("eth7", "eth7", nic_mac), -EEXIST);
	assert_true(if_nametoindex("macvtap0"));
	assert_int_equal(host_link_remove_macvtap("macvtap0", "eth7", mac), 0);
	assert_int_equal(if_nametoindex("macvtap0"), 0);
	assert_int_equal(host_link_remove_macvtap("macvtap0", "eth7", mac), 0);
	m.lower = "nosuch";
	REFUSED(host_link_make_macvtap(&m, &fd, &e), "the host has no network interface 'nosuch'");
	close(nic);
}

/* The NIC has the vNIC's address as long as there is a macvtap, and nobody else may have one. */
static void test_passthrough(void **state)
{
	struct host_macvtap m = {"macvtap0", "eth7", mac, 0, MACVLAN_MODE_PASSTHRU};
	struct host_macvtap second = {"macvtap1", "eth7", nic_mac, 0, MACVLAN_MODE_BRIDGE};
	struct error e = {0};
	int nic, fd, other;

	(void)state;
	if (!make_nic(&nic))
		skip();
	assert_int_equal(host_link_make_macvtap(&m, &fd, &e), 0);
	assert_memory_equal(link_query("eth7", SIOCGIFHWADDR).ifr_hwaddr.sa_data, mac, NET_MAC_LEN);
	REFUSED(host_link_make_macvtap(&second, &other, &e), "'eth7' cannot have a macvtap");
	assert_int_equal(if_nametoindex("macvtap1"), 0);
	close(fd);
	assert_int_equal(host_link_remove_macvtap("macvtap0", "eth7", mac), 0);
	assert_memory_equal(
		link_query("eth7", SIOCGIFHWADDR).ifr_hwaddr.sa_data, nic_mac, NET_MAC_LEN);
	close(nic);
}

/* Uplinks: a tap that nobody holds has its other end here; one that somebody holds is a NIC as any other. */
static void test_uplink_tap(void **state)
{
	struct host_uplink u;
	struct error e = {0};
	struct ifreq ifr;
	int holder;

	(void)state;
	make_persistent("up0", 0);
	ifr = link_query("up0", SIOCGIFHWADDR);
	assert_int_equal(host_link_open_uplink("up0", &u, &e), 0);
	assert_true(u.is_tap && !u.is_exclusive);
	assert_int_equal(ioctl(u.fd, TUNGETIFF, &ifr), 0);
	assert_true(ifr.ifr_flags & IFF_VNET_HDR);
	ifr = link_query("up0", SIOCGIFHWADDR);
	assert_int_equal(u.mac[0], 0xfe);
	assert_memory_equal(u.mac + 1, ifr.ifr_hwaddr.sa_data + 1, NET_MAC_LEN - 1);
	assert_false(link_is_up("up0"));
	holder = u.fd;
	assert_int_equal(host_link_open_uplink("up0", &u, &e), 0);
	assert_false(u.is_tap);
	assert_int_equal(u.fd, -EBADF);
	assert_int_equal(ioctl(holder, TUNSETPERSIST, 0), 0);
	close(holder);
	/* With room for more queues, too. */
	make_persistent("up1", IFF_MULTI_QUEUE);
	assert_int_equal(host_link_open_uplink("up1", &u, &e), 0);
	assert_true(u.is_tap);
	holder = u.fd;
	assert_int_equal(host_link_open_uplink("up1", &u, &e), 0);
	assert_false(u.is_tap);
	assert_int_equal(ioctl(holder, TUNSETPERSIST, 0), 0);
	close(holder);
	assert_int_equal(host_link_open_uplink("lo", &u, &e), 0);
	assert_false(u.is_tap);
	REFUSED(host_link_open_uplink("up0", &u, &e), "the host has no network interface 'up0'");
}

static void test_uplink_macvtap(void **state)
{
	struct host_macvtap m = {"up0", "eth7", mac, 0, MACVLAN_MODE_VEPA};
	struct host_uplink u;
	struct error e = {0};
	struct ifreq ifr;
	int nic, fd;

	(void)state;
	if (!make_nic(&nic))
		skip();
	assert_int_equal(host_link_make_macvtap(&m, &fd, &e), 0);
	REFUSED(host_link_open_uplink("up0", &u, &e), "its own address only");
	close(fd);
	assert_int_equal(host_link_remove_macvtap("up0", "eth7", mac), 0);
	m.mode = MACVLAN_MODE_PASSTHRU;
	assert_int_equal(host_link_make_macvtap(&m, &fd, &e), 0);
	close(fd);
	assert_int_equal(host_link_open_uplink("up0", &u, &e), 0);
	assert_true(u.is_tap && u.is_exclusive);
	assert_memory_equal(u.mac, mac, NET_MAC_LEN);
	assert_int_equal(ioctl(u.fd, TUNGETIFF, &ifr), 0);
	assert_string_equal(ifr.ifr_name, "up0");
	close(u.fd);
	assert_int_equal(host_link_remove_macvtap("up0", "eth7", mac), 0);
	close(nic);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tap_in_bridge),
		cmocka_unit_test(test_tap_refusals),
		cmocka_unit_test(test_existing_tap),
		cmocka_unit_test(test_mtu),
		cmocka_unit_test(test_macvtap),
		cmocka_unit_test(test_passthrough),
		cmocka_unit_test(test_uplink_tap),
		cmocka_unit_test(test_uplink_macvtap),
	};

	return netns_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
