/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports on taps (port-tap.c) and on NICs (port-packet.c), in a network namespace of the test's own. The NIC is a tap, too: its
 * other end is the wire. */
#include "devices/net/port-packet.h"

#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <cmocka.h>

#include "daemon/host-net.h"
#include "devices/net/port-tap.h"
#include "netns-fixture.h"
#include "tests/fakes/fake-port.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"

#define TYPE 0x88b6 /* IEEE 802 local experimental: nothing of the kernel's */

struct world {
	struct loop *loop;
	struct vswitch *sw;
	struct fake_port vm;
	struct net_port_counters counters;
	int wire, fd;
	bool is_tap;
	struct port_tap tap;
	struct port_packet packet;
};

static struct port *port_of(struct world *w)
{
	return w->is_tap ? &w->tap.port : &w->packet.port;
}

static void open_world(struct world *w)
{
	struct vswitch_config config = {.seed = {1, 2}, .mtu = 1500};
	struct net_port_config port = {0}, vm = {.mac = {2, 0, 0, 0, 0, 1}};
	uint8_t mac[NET_MAC_LEN];
	struct error e = {0};

	assert_int_equal(loop_new(&w->loop), 0);
	assert_int_equal(vswitch_new(&config, NULL, NULL, &w->sw), 0);
	assert_int_equal(
		host_net_make_tap("wire0", (const uint8_t[NET_MAC_LEN]){0}, 0, &w->wire, &e), 0);
	*port_of(w) = (struct port){.kind = PORT_UPLINK, .counters = &w->counters};
	if (w->is_tap) {
		w->fd = w->wire;
		assert_int_equal(port_tap_init(&w->tap, w->loop, w->fd), 0);
	} else {
		assert_int_equal(host_net_open_packet("wire0", HOST_NET_ALL, &w->fd, mac, &e), 0);
		assert_int_equal(port_packet_init(&w->packet, w->loop, w->fd, "wire0"), 0);
	}
	assert_int_equal(vswitch_add(w->sw, port_of(w), &port), 0);
	fake_port_init(&w->vm, PORT_VNIC, 1);
	assert_int_equal(vswitch_add(w->sw, &w->vm.port, &vm), 0);
}

static int setup_packet(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	open_world(w);
	*state = w;
	return 0;
}

static int setup_tap(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->is_tap = true;
	open_world(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	vswitch_remove(w->sw, &w->vm.port);
	vswitch_remove(w->sw, port_of(w));
	if (w->is_tap) {
		port_tap_done(&w->tap);
	} else {
		port_packet_done(&w->packet);
		close(w->fd);
	}
	close(w->wire);
	(void)vswitch_free(w->sw);
	(void)loop_free(w->loop);
	free(w);
	return 0;
}

static void turn(struct world *w)
{
	while (loop_run_once(w->loop, 50 * NSEC_PER_MSEC) > 0)
		;
}

/* Onto the wire: an offload header of 12 bytes, and the frame. */
static void wire_send(struct world *w, const struct net_hdr *hdr, const uint8_t *bytes, size_t len)
{
	struct iovec iov[2] = {
		{(void *)(uintptr_t)hdr, sizeof(*hdr)}, {(void *)(uintptr_t)bytes, len}};

	assert_int_equal(writev(w->wire, iov, 2), (ssize_t)(sizeof(*hdr) + len));
}

/* The next frame of ours on the wire; the kernel's own (neighbour discovery) are passed over. */
static size_t wire_receive(struct world *w, struct net_hdr *hdr, uint8_t *bytes, size_t size)
{
	for (unsigned i = 0; i < 50; i++) {
		struct iovec iov[2] = {{hdr, sizeof(*hdr)}, {bytes, size}};
		struct pollfd p = {.fd = w->wire, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&p, 1, 5000), 1);
		n = readv(w->wire, iov, 2);
		if (n > (ssize_t)sizeof(*hdr) + 14 && bytes[6] == 2)
			return (size_t)n - sizeof(*hdr);
	}
	fail_msg("nothing came");
	return 0;
}

static const uint8_t to_vm[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, TYPE >> 8, TYPE & 0xff};
static const uint8_t from_vm[] = {2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, TYPE >> 8, TYPE & 0xff};

static void test_receive(void **state)
{
	struct world *w = *state;
	struct net_hdr none = {0};
	uint8_t bytes[1514];

	memset(bytes, 0x5a, sizeof(bytes));
	memcpy(bytes, to_vm, sizeof(to_vm));
	wire_send(w, &none, bytes, sizeof(bytes));
	wire_send(w, &none, bytes, 60);
	turn(w);
	assert_int_equal(w->vm.n, 2);
	assert_int_equal(w->vm.kept[0].len, sizeof(bytes));
	assert_memory_equal(w->vm.kept[0].bytes, bytes, sizeof(bytes));
	assert_int_equal(w->vm.kept[1].len, 60);
}

/* The kernel takes tags out of what a packet socket receives; they are put back. */
static void test_receive_tagged(void **state)
{
	static const uint8_t tag[] = {0x81, 0, 0x60, 42};
	struct world *w = *state;
	struct net_hdr none = {0};
	uint8_t bytes[64] = {0};

	memcpy(bytes, to_vm, 12);
	memcpy(bytes + 12, tag, 4);
	memcpy(bytes + 16, to_vm + 12, 2);
	wire_send(w, &none, bytes, sizeof(bytes));
	turn(w);
	assert_int_equal(w->vm.n, 1);
	assert_int_equal(w->vm.kept[0].tci, 0x6000 | 42);
	assert_int_equal(w->vm.kept[0].frame.len, 60);
}

static void send_vm(
	struct world *w, const struct net_hdr *hdr, const uint8_t *bytes, size_t len, int32_t tci)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	struct frame frame;

	assert_int_equal(frame_init(&frame, hdr, &iov, 1, (uint32_t)len, FRAME_MAX, tci), 0);
	assert_int_equal(vswitch_input(w->sw, &w->vm.port, &frame, 1), 0);
	vswitch_flush(w->sw);
}

static void test_send(void **state)
{
	struct world *w = *state;
	uint8_t bytes[1514] = {0}, got[2048];
	struct net_hdr hdr;

	memcpy(bytes, from_vm, sizeof(from_vm));
	bytes[1513] = 0x77;
	send_vm(w, NULL, bytes, sizeof(bytes), -1);
	assert_int_equal(wire_receive(w, &hdr, got, sizeof(got)), sizeof(bytes));
	assert_memory_equal(got, bytes, sizeof(bytes));
	send_vm(w, NULL, bytes, 60, 42);
	assert_int_equal(wire_receive(w, &hdr, got, sizeof(got)), 64);
	assert_memory_equal(got + 12, ((uint8_t[]){0x81, 0, 0, 42}), 4);
	assert_int_equal(w->counters.rx_packets, 2);
	assert_int_equal(port_packet_pending(&w->packet), 0);
}

/* TCP of 40 000 bytes passes in one piece, with what the NIC is to do to it. */
static void test_send_whole(void **state)
{
	static uint8_t bytes[40054], got[65600];
	struct net_hdr hdr = {.flags = NET_HDR_F_NEEDS_CSUM,
		.gso_type = NET_HDR_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1460,
		.csum_start = 34,
		.csum_offset = 16};
	static const uint8_t ip[] = {0x45, 0, 40040 >> 8, 40040 & 0xff, 0, 1, 0x40, 0, 64, 6, 0, 0,
		10, 0, 0, 1, 10, 0, 0, 2};
	struct world *w = *state;
	struct net_hdr out;

	memcpy(bytes, from_vm, 12);
	bytes[12] = 8;
	memcpy(bytes + 14, ip, sizeof(ip));
	bytes[34 + 12] = 0x50;
	bytes[34 + 13] = 0x10;
	send_vm(w, &hdr, bytes, sizeof(bytes), -1);
	assert_int_equal(wire_receive(w, &out, got, sizeof(got)), sizeof(bytes));
	assert_int_equal(out.gso_type, NET_HDR_GSO_TCPV4);
	assert_int_equal(out.gso_size, 1460);
	assert_int_equal(w->counters.rx_gso, 1);
}

static void test_link(void **state)
{
	struct world *w = *state;
	uint32_t mbps = 0;

	assert_int_equal(port_packet_link(&w->packet, &mbps), 1);
	/* The NIC is gone: that is said, and the port rests. */
	close(w->wire);
	w->wire = -1;
	turn(w);
	assert_int_equal(port_packet_link(&w->packet, &mbps), -ENODEV);
	assert_int_equal(loop_run_once(w->loop, 50 * NSEC_PER_MSEC), 0);
}

/* A tap: what the kernel sends out of its interface is for us, and what we send is for the kernel. A packet socket on the
 * interface is the kernel's side here. */
static void test_tap(void **state)
{
	struct world *w = *state;
	uint8_t bytes[200] = {0}, got[2048], mac[NET_MAC_LEN];
	struct net_hdr none = {0};
	struct error e = {0};
	struct pollfd p = {.events = POLLIN};
	unsigned found = 0;
	ssize_t n;
	int kernel;

	assert_int_equal(host_net_open_packet("wire0", HOST_NET_ALL, &kernel, mac, &e), 0);
	memcpy(bytes, to_vm, sizeof(to_vm));
	{
		struct iovec iov[2] = {{&none, 10}, {bytes, sizeof(bytes)}};

		assert_int_equal(writev(kernel, iov, 2), 10 + (ssize_t)sizeof(bytes));
	}
	turn(w);
	/* The kernel may have announced itself as well. */
	for (unsigned i = 0; i < MIN(w->vm.n, (unsigned)FAKE_PORT_KEEP); i++)
		found +=
			w->vm.kept[i].frame.ethertype == TYPE && w->vm.kept[i].len == sizeof(bytes);
	assert_int_equal(found, 1);
	memcpy(bytes, from_vm, sizeof(from_vm));
	send_vm(w, NULL, bytes, 100, 7);
	p.fd = kernel;
	do {
		assert_int_equal(poll(&p, 1, 5000), 1);
		n = read(kernel, got, sizeof(got));
	} while (n > 16 && got[10 + 6] != 2);
	/* Without the header of 10 bytes; the kernel tells the tag beside the frame. */
	assert_int_equal(n, 110);
	close(kernel);
}

/* Onto the kernel's side of the tap, 'n' times. */
static void kernel_send(unsigned n)
{
	uint8_t bytes[60] = {0}, mac[NET_MAC_LEN];
	struct net_hdr none = {0};
	struct iovec iov[2] = {{&none, 10}, {bytes, sizeof(bytes)}};
	struct error e = {0};
	int fd;

	memcpy(bytes, to_vm, sizeof(to_vm));
	assert_int_equal(host_net_open_packet("wire0", HOST_NET_ALL, &fd, mac, &e), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(writev(fd, iov, 2), 10 + (ssize_t)sizeof(bytes));
	close(fd);
}

static unsigned count_ours(const struct world *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < MIN(w->vm.n, (unsigned)FAKE_PORT_KEEP); i++)
		n += w->vm.kept[i].frame.ethertype == TYPE;
	return n;
}

/* Frames that the kernel cannot hand out cost themselves; a device that does nothing else ends the port. A header that is
 * longer than all that is read makes them so. */
static void test_tap_bad(void **state)
{
	int longer = 70000, usual = sizeof(struct net_hdr);
	struct world *w = *state;
	uint64_t lost;

	turn(w);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(ioctl(w->fd, TUNSETVNETHDRSZ, &longer), 0);
		kernel_send(20);
		turn(w);
		lost = w->counters.tx_drops[NET_DROP_MALFORMED];
		assert_true(lost >= 20 * (i + 1));
		assert_non_null(w->tap.source);
		assert_int_equal(ioctl(w->fd, TUNSETVNETHDRSZ, &usual), 0);
		kernel_send(1);
		turn(w);
		assert_int_equal(count_ours(w), i + 1);
	}
	assert_int_equal(w->counters.tx_drops[NET_DROP_MALFORMED], lost);
	assert_int_equal(ioctl(w->fd, TUNSETVNETHDRSZ, &longer), 0);
	kernel_send(100);
	turn(w);
	assert_null(w->tap.source);
	assert_int_equal(port_tap_link(&w->tap, -EBADF), -ENODEV);
	assert_int_equal(loop_run_once(w->loop, 50 * NSEC_PER_MSEC), 0);
}

static void set_interface(const char *ifname, bool up)
{
	struct ifreq ifr = {.ifr_flags = up ? IFF_UP : 0};
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)strcpy(ifr.ifr_name, ifname);
	assert_int_equal(ioctl(sock, SIOCSIFFLAGS, &ifr), 0);
	close(sock);
}

static void test_tap_link(void **state)
{
	struct world *w = *state;
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(port_tap_link(&w->tap, sock), 1);
	set_interface("wire0", false);
	assert_int_equal(port_tap_link(&w->tap, sock), 0);
	assert_int_equal(port_tap_link(&w->tap, -EBADF), 1);
	/* It stays, and goes on when it is up again. */
	turn(w);
	set_interface("wire0", true);
	assert_int_equal(port_tap_link(&w->tap, sock), 1);
	turn(w);
	kernel_send(1);
	turn(w);
	assert_int_equal(count_ours(w), 1);
	/* Removed by somebody else, while the fd is open. */
	assert_int_equal(system("ip link del wire0"), 0);
	assert_int_equal(port_tap_link(&w->tap, sock), -ENODEV);
	assert_int_equal(port_tap_link(&w->tap, -EBADF), -ENODEV);
	turn(w);
	assert_null(w->tap.source);
	close(sock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_packet, teardown)
#define TAP(name)  cmocka_unit_test_setup_teardown(name, setup_tap, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_receive),
		TEST(test_receive_tagged),
		TEST(test_send),
		TEST(test_send_whole),
		TEST(test_link),
		TAP(test_tap),
		TAP(test_tap_bad),
		TAP(test_tap_link),
	};

	return netns_enter() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
