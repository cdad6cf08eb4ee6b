/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interfaces of the host, in a network namespace of the test's own. */
#include "daemon/host-net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <cmocka.h>

#include "netns-fixture.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

static const uint8_t mac[NET_MAC_LEN] = {0x52, 0x54, 0, 1, 2, 3};

static struct ifreq query(const char *ifname, unsigned long what)
{
	_cleanup_(closep) int fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq ifr = {0};

	assert_int_equal(str_copy(ifr.ifr_name, sizeof(ifr.ifr_name), ifname), 0);
	assert_int_equal(ioctl(fd, what, &ifr), 0);
	return ifr;
}

static void test_tap(void **state)
{
	struct error e = {0};
	struct ifreq ifr;
	int fd, other;

	(void)state;
	assert_int_equal(host_net_make_tap("red0", mac, 9000, &fd, &e), 0);
	ifr = query("red0", SIOCGIFHWADDR);
	assert_memory_equal(ifr.ifr_hwaddr.sa_data, mac, NET_MAC_LEN);
	assert_int_equal(query("red0", SIOCGIFMTU).ifr_mtu, 9000);
	assert_true(query("red0", SIOCGIFFLAGS).ifr_flags & IFF_UP);
	assert_int_equal(host_net_make_tap("red0", mac, 0, &other, &e), -EIO);
	assert_string_equal(
		e.message, "operation failed: the host has an interface 'red0' already");
	close(fd);
	assert_int_equal(if_nametoindex("red0"), 0); /* it went with its fd */
	/* The kernel counts. */
	assert_int_equal(
		host_net_make_tap("red%d", (const uint8_t[NET_MAC_LEN]){0}, 0, &fd, &e), 0);
	assert_int_equal(
		host_net_make_tap("red%d", (const uint8_t[NET_MAC_LEN]){0}, 0, &other, &e), 0);
	assert_true(if_nametoindex("red0") && if_nametoindex("red1"));
	close(fd);
	close(other);
}

static void test_addresses(void **state)
{
	struct net_ip v4 = {.family = 4, .prefix = 20, .bytes = {10, 9, 16, 1}};
	struct net_ip v6 = {.family = 6, .prefix = 64, .bytes = {0xfd, 1, [15] = 1}};
	struct error e = {0};
	struct sockaddr_in sa;
	struct ifreq ifr;
	char text[256];
	FILE *file;
	int fd;

	(void)state;
	assert_int_equal(host_net_make_tap("red0", mac, 0, &fd, &e), 0);
	assert_int_equal(host_net_add_address("red0", &v4, &e), 0);
	ifr = query("red0", SIOCGIFADDR);
	memcpy(&sa, &ifr.ifr_addr, sizeof(sa));
	assert_int_equal(ntohl(sa.sin_addr.s_addr), 0x0a091001);
	ifr = query("red0", SIOCGIFNETMASK);
	memcpy(&sa, &ifr.ifr_netmask, sizeof(sa));
	assert_int_equal(ntohl(sa.sin_addr.s_addr), 0xfffff000);
	file = fopen("/proc/net/if_inet6", "re");
	if (file) {
		bool found = false;

		assert_int_equal(host_net_add_address("red0", &v6, &e), 0);
		fclose(file);
		file = fopen("/proc/net/if_inet6", "re");
		while (fgets(text, sizeof(text), file))
			found = found || strstr(text, "fd010000000000000000000000000001");
		fclose(file);
		assert_true(found);
	}
	assert_true(host_net_add_address("nosuch", &v4, &e) < 0);
	assert_non_null(strstr(e.message, "cannot give 'nosuch' the address 10.9.16.1/20"));
	close(fd);
}

static void test_overlap(void **state)
{
	static const struct {
		struct net_ip ip;
		bool overlaps;
	} rows[] = {
		{{.family = 4, .prefix = 24, .bytes = {10, 9, 17, 1}}, true},
		{{.family = 4, .prefix = 8, .bytes = {10, 200, 0, 1}}, true}, /* holds it */
		{{.family = 4, .prefix = 24, .bytes = {10, 9, 32, 1}}, false},
		{{.family = 4, .prefix = 8, .bytes = {127, 0, 0, 1}},
			false}, /* lo's own business */
		{{.family = 6, .prefix = 64, .bytes = {10, 9, 17, 1}}, false},
	};
	struct net_ip v4 = {.family = 4, .prefix = 20, .bytes = {10, 9, 16, 1}};
	char ifname[NET_IFNAME_MAX];
	struct error e = {0};
	int fd;

	(void)state;
	assert_int_equal(host_net_make_tap("red0", mac, 0, &fd, &e), 0);
	assert_int_equal(host_net_find_overlap(&rows[0].ip, ifname), -ENOENT);
	assert_int_equal(host_net_add_address("lo", &rows[3].ip, &e), 0);
	assert_int_equal(host_net_add_address("red0", &v4, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int r = host_net_find_overlap(&rows[i].ip, ifname);

		assert_int_equal(r, rows[i].overlaps ? 0 : -ENOENT);
		if (r == 0)
			assert_string_equal(ifname, "red0");
	}
	close(fd);
}

static void test_packet_sockets(void **state)
{
	uint8_t found[NET_MAC_LEN];
	struct error e = {0};
	int tap, fd;

	(void)state;
	assert_int_equal(host_net_make_tap("eth7", mac, 0, &tap, &e), 0);
	assert_int_equal(host_net_open_packet("eth7", HOST_NET_ALL, &fd, found, &e), 0);
	assert_memory_equal(found, mac, NET_MAC_LEN);
	close(fd);
	assert_true(host_net_open_packet("nosuch", HOST_NET_ALL, &fd, found, &e) < 0);
	assert_string_equal(
		e.message, "operation failed: the host has no network interface 'nosuch'");
	assert_true(host_net_open_packet("lo", HOST_NET_ALL, &fd, found, &e) < 0);
	assert_string_equal(
		e.message, "unsupported configuration: 'lo' is not an Ethernet interface");
	close(tap);
}

/* Frames that come in over the tap 'wire'. Answers a bit for each that the socket shows. */
static unsigned seen_of(int wire, int fd)
{
	static const struct {
		uint8_t dst[NET_MAC_LEN];
		uint8_t ethertype[2], at_20[2], at_54;
		bool tagged;
	} frames[] = {
		{{0x52, 0x54, 0, 1, 2, 3}, {0x08, 0x00}, {0, 0}, 0, false}, /* to the NIC */
		{{0x52, 0x54, 0, 1, 2, 4}, {0x08, 0x00}, {0, 0}, 0, false},
		{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x08, 0x06}, {0, 1}, 0, false},
		{{0x01, 0x80, 0xc2, 0, 0, 2}, {0x88, 0x09}, {0, 0}, 0, false},
		{{0x52, 0x54, 0, 1, 2, 3}, {0x08, 0x06}, {0, 1}, 0, false},
		{{0x52, 0x54, 0, 1, 2, 3}, {0x08, 0x06}, {0, 2}, 0, false}, /* ARP reply */
		{{0x52, 0x54, 0, 1, 2, 3}, {0x08, 0x06}, {0, 2}, 0, true},
		{{0x52, 0x54, 0, 1, 2, 3}, {0x86, 0xdd}, {58, 255}, 135, false},
		{{0x52, 0x54, 0, 1, 2, 3}, {0x86, 0xdd}, {58, 255}, 136, false}, /* ND answer */
		{{0x52, 0x54, 0, 1, 2, 3}, {0x86, 0xdd}, {17, 255}, 136, false},
		{{0x52, 0x54, 0, 1, 2, 3}, {0x08, 0x00}, {0, 0}, 0, true},
		{{0x52, 0x54, 0, 1, 2, 4}, {0x08, 0x00}, {0, 0}, 0, true},
	};
	uint8_t got[256];
	unsigned seen = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(frames); i++) {
		/* virtio's header of 12 bytes; in front of the type, maybe a tag. */
		uint8_t bytes[12 + 100] = {0}, *p = bytes + 12;

		memcpy(p, frames[i].dst, NET_MAC_LEN);
		p[6] = 2;
		if (frames[i].tagged) {
			memcpy(p + 12, (const uint8_t[]){0x81, 0, 0, 5}, 4);
			p += 4;
		}
		memcpy(p + 12, frames[i].ethertype, 2);
		memcpy(p + 20, frames[i].at_20, 2);
		p[54] = frames[i].at_54;
		assert_int_equal(write(wire, bytes, sizeof(bytes)), sizeof(bytes));
		/* The kernel's own frames are outgoing, and not seen. */
		if (recv(fd, got, sizeof(got), MSG_DONTWAIT) > 0)
			seen |= 1U << i;
	}
	return seen;
}

/* What the network's worker sees of the host's own frames: nothing, or what its team asks for. */
static void test_views(void **state)
{
	static const unsigned want[] = {
		[HOST_NET_OTHERS] = 0x80e, [HOST_NET_ANSWERS] = 0x96e, [HOST_NET_ALL] = 0xfff};
	static const struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, UINT32_MAX)};
	struct sock_fprog other = {.len = 1};
	struct sock_filter rows[1];
	uint8_t found[NET_MAC_LEN];
	struct error e = {0};
	int wire, fd;

	(void)state;
	memcpy(rows, all, sizeof(rows));
	other.filter = rows;
	assert_int_equal(host_net_make_tap("eth7", mac, 0, &wire, &e), 0);
	for (enum host_net_view view = 0; view < HOST_NET_VIEW_X_MAX; view++) {
		assert_int_equal(host_net_open_packet("eth7", view, &fd, found, &e), 0);
		assert_int_equal(seen_of(wire, fd), want[view]);
		/* Nobody gives it another filter, or takes it away. */
		assert_int_equal(
			setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &other, sizeof(other)), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(
			setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &other, sizeof(other)), -1);
		close(fd);
	}
	close(wire);
}

static void test_bridges(void **state)
{
	struct error e = {0};
	int tap;

	(void)state;
	assert_int_equal(host_net_make_tap("red0", mac, 0, &tap, &e), 0);
	assert_true(host_net_join_bridge(tap, "nosuch", &e) < 0);
	assert_string_equal(e.message, "operation failed: the host has no bridge 'nosuch'");
	assert_true(host_net_join_bridge(tap, "lo", &e) < 0);
	assert_non_null(strstr(e.message, "'lo'"));
	close(tap);
}

/* A link that changes is heard of. */
static void test_rtnetlink(void **state)
{
	struct error e = {0};
	char buf[8192];
	int fd, tap;

	(void)state;
	assert_int_equal(host_net_open_rtnetlink(&fd, &e), 0);
	assert_int_equal(host_net_make_tap("red0", mac, 0, &tap, &e), 0);
	assert_true(recv(fd, buf, sizeof(buf), 0) >= (ssize_t)sizeof(struct nlmsghdr));
	close(tap);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tap),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_packet_sockets),
		cmocka_unit_test(test_views),
		cmocka_unit_test(test_bridges),
		cmocka_unit_test(test_rtnetlink),
	};

	return netns_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
