/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uplinks (devices/fabric/uplinks.c) whose members are "taps": sockets, with the wire in the test's hands; time is invented. */
#include "devices/fabric/uplinks.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/fakes/fake-port.h"
#include "vmm-core/base/capture-record.h"

#define TYPE      0x88b6 /* IEEE 802 local experimental */
#define RARP      0x8035
#define HOUR_MS   3600000
#define MAX_EVENT 32

struct world {
	struct loop *loop;
	struct vswitch *sw;
	struct net_config config;
	struct network_fds fds;
	struct uplinks *uplinks;
	struct net_port_counters counters[NET_MAX_UPLINKS];
	struct fake_port vm, nested;
	int wires[2], netlink; /* our ends */
	bool deaf;             /* the daemon takes no events */
	struct proto_net_event events[MAX_EVENT];
	unsigned n_events;
};

static bool on_event(void *opaque, const struct proto_net_event *event)
{
	struct world *w = opaque;

	if (w->deaf)
		return false;
	assert_true(w->n_events < MAX_EVENT);
	w->events[w->n_events++] = *event;
	return true;
}

static void make_wire(int *ret_ours, int *ret_theirs)
{
	int pair[2];

	/* Packets, as a tap has them. */
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
}

static void turn(struct world *w)
{
	do
		loop_fake_advance(w->loop, 1);
	while (loop_run_once(w->loop, 0) > 0);
}

static void pass_ms(struct world *w, unsigned ms)
{
	for (unsigned i = 0; i < ms; i++) {
		loop_fake_advance(w->loop, NSEC_PER_MSEC);
		turn(w);
	}
}

static void add_vm(struct world *w, struct fake_port *vm, unsigned n, struct net_port_config config)
{
	fake_port_init(vm, PORT_VNIC, n);
	fake_mac(n, config.mac);
	assert_int_equal(vswitch_add(w->sw, &vm->port, &config), 0);
	uplinks_port_added(w->uplinks, n);
}

static void start(struct world *w)
{
	struct network_owner owner = {on_event, w};
	struct net_port_config trunk = {
		.vlan = {.mode = NET_VLAN_TRUNK, .n_tags = 2, .tags = {10, 20}},
		.flags = NET_PORT_LEARN | NET_PORT_ALLOW_FORGED};

	assert_int_equal(uplinks_new(&w->config, &w->fds, (const uint64_t[]){1, 2}, w->loop, w->sw,
				 w->counters, &owner, &w->uplinks),
		0);
	add_vm(w, &w->vm, 1, (struct net_port_config){0});
	add_vm(w, &w->nested, 2, trunk);
	turn(w);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct vswitch_config config = {.seed = {1, 2}, .mtu = 1500};

	assert_int_equal(loop_new_fake(100 * NSEC_PER_SEC, &w->loop), 0);
	assert_int_equal(vswitch_new(&config, NULL, NULL, &w->sw), 0);
	net_config_init(&w->config);
	network_fds_init(&w->fds);
	for (unsigned i = 0; i < 2; i++) {
		struct net_uplink *u = &w->config.uplinks[w->config.n_uplinks++];

		(void)snprintf(u->ifname, sizeof(u->ifname), "eth%u", i + 1);
		memcpy(u->mac, (uint8_t[]){2, 0, 0, 0, 0, (uint8_t)i}, NET_MAC_LEN);
		u->kind = NET_UPLINK_TAP;
		make_wire(&w->wires[i], &w->fds.uplinks[i]);
	}
	make_wire(&w->netlink, &w->fds.rtnetlink);
	w->config.team.policy = NET_TEAM_EXPLICIT;
	w->config.team.poll_ms = HOUR_MS;
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	w->uplinks = uplinks_free(w->uplinks);
	vswitch_remove(w->sw, &w->vm.port);
	vswitch_remove(w->sw, &w->nested.port);
	(void)vswitch_free(w->sw);
	/* Nothing is armed, nothing is watched. */
	loop_fake_advance(w->loop, HOUR_MS * NSEC_PER_MSEC);
	assert_int_equal(loop_run_once(w->loop, 0), 0);
	(void)loop_free(w->loop);
	network_fds_done(&w->fds);
	for (unsigned i = 0; i < 2; i++)
		close(w->wires[i]);
	close(w->netlink);
	free(w);
	return 0;
}

/* Wires: an offload header of 12 bytes, and the frame. */

static void wire_send(struct world *w, unsigned i, const struct fake_frame *f)
{
	uint8_t bytes[12 + 2048] = {0};

	memcpy(bytes + 12, f->bytes, f->len);
	assert_int_equal(write(w->wires[i], bytes, 12 + f->len), 12 + f->len);
	turn(w);
}

/* The length of the next frame there; 0: none. */
static size_t wire_receive(struct world *w, unsigned i, uint8_t bytes[2048])
{
	uint8_t buffer[12 + 2048];
	ssize_t n = read(w->wires[i], buffer, sizeof(buffer));

	if (n < 12)
		return 0;
	memcpy(bytes, buffer + 12, (size_t)n - 12);
	return (size_t)n - 12;
}

static void drain_wires(struct world *w)
{
	uint8_t bytes[2048];

	for (unsigned i = 0; i < 2; i++)
		while (wire_receive(w, i, bytes))
			;
}

static int vm_send(
	struct world *w, struct fake_port *vm, const uint8_t *dst, const uint8_t *src, int32_t tci)
{
	struct fake_frame f;
	int r = vswitch_input(w->sw, &vm->port, fake_frame(&f, dst, src, tci, TYPE, NULL, 50),
		loop_now_ns(w->loop));

	vswitch_flush(w->sw);
	return r;
}

static const uint8_t far[NET_MAC_LEN] = {2, 0, 0, 0, 9, 9};
static const uint8_t everybody[NET_MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static const struct proto_net_event *find_event(
	const struct world *w, uint32_t kind, uint32_t a, uint32_t b)
{
	for (unsigned i = 0; i < w->n_events; i++)
		if (w->events[i].kind == kind && w->events[i].a == a && w->events[i].b == b)
			return &w->events[i];
	return NULL;
}

static void test_out_and_in(void **state)
{
	struct world *w = *state;
	uint8_t mac[NET_MAC_LEN], bytes[2048];
	struct fake_frame f;

	start(w);
	assert_non_null(find_event(w, PROTO_NET_UPLINK, PROTO_UPLINK_ALL, PROTO_UPLINK_UP));
	assert_non_null(find_event(w, PROTO_NET_UPLINK, 1, PROTO_UPLINK_UP));
	assert_string_equal(find_event(w, PROTO_NET_FAILOVER, UINT32_MAX, 0)->text,
		"none -> eth1: link; detected, switched 0.0 ms later, 0 frames lost, 2 ports "
		"moved, 3 "
		"addresses announced");
	drain_wires(w);
	fake_mac(1, mac);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0);
	fake_mac(2, mac);
	assert_int_equal(vm_send(w, &w->nested, far, mac, 20), 0);
	assert_int_equal(wire_receive(w, 0, bytes), 64);
	assert_memory_equal(bytes + 12, ((uint8_t[]){TYPE >> 8, TYPE & 0xff}), 2);
	assert_int_equal(wire_receive(w, 0, bytes), 68);
	assert_memory_equal(bytes + 12, ((uint8_t[]){0x81, 0, 0, 20}), 4);
	assert_int_equal(wire_receive(w, 1, bytes), 0);
	/* What is announced counts as sent, too: three times so far. */
	assert_int_equal(w->counters[0].rx_packets, 2 + 3);
	/* In: by the active member, and by the other. */
	fake_mac(1, mac);
	(void)fake_frame(&f, mac, far, -1, TYPE, NULL, 50);
	wire_send(w, 0, &f);
	assert_int_equal(w->vm.n, 1);
	(void)fake_frame(&f, everybody, far, 10, TYPE, NULL, 50);
	wire_send(w, 0, &f);
	wire_send(w, 1, &f);
	assert_int_equal(w->nested.n, 1);
	assert_int_equal(w->nested.kept[0].tci, 10);
	assert_int_equal(w->vm.n, 2); /* it carries every VLAN */
	assert_int_equal(w->counters[0].tx_packets, 2);
	assert_int_equal(w->counters[1].tx_drops[NET_DROP_DUPLICATE], 1);
	(void)fake_frame(&f, everybody, mac, -1, TYPE, NULL, 50);
	wire_send(w, 0, &f);
	assert_int_equal(w->counters[0].tx_drops[NET_DROP_REFLECTED], 1);
	assert_int_equal(w->vm.n, 2);
}

/* An address behind a port that was silent for a while, and is heard from outside: it has moved there. */
static void test_moved_out(void **state)
{
	static const uint8_t inner[NET_MAC_LEN] = {2, 0, 0, 0, 7, 7};
	struct world *w = *state;
	struct fake_frame f;

	start(w);
	assert_int_equal(vm_send(w, &w->nested, far, inner, 10), 0);
	(void)fake_frame(&f, everybody, inner, 10, TYPE, NULL, 50);
	wire_send(w, 0, &f);
	assert_int_equal(w->counters[0].tx_drops[NET_DROP_REFLECTED], 1);
	assert_int_equal(w->vm.n, 0);
	loop_fake_advance(w->loop, 2 * VSWITCH_REFLECT_NS);
	wire_send(w, 0, &f);
	assert_int_equal(w->counters[0].tx_drops[NET_DROP_REFLECTED], 1);
	assert_int_equal(w->vm.n, 1);
}

/* The interface is gone: the kernel says so once. */
static void pull(struct world *w, unsigned i)
{
	/* What nobody read, before its reader goes, resets the connection. */
	drain_wires(w);
	assert_int_equal(write(w->fds.uplinks[i], "x", 1), 1);
	close(w->wires[i]);
	w->wires[i] = -1;
	turn(w);
}

static unsigned count_rarp(struct world *w, unsigned i, const uint8_t *src, unsigned vid)
{
	uint8_t bytes[2048];
	unsigned n = 0;
	size_t len;

	while ((len = wire_receive(w, i, bytes)))
		n += memcmp(bytes + 6, src, NET_MAC_LEN) == 0 &&
			frame_be16(bytes + (vid ? 16 : 12)) == RARP &&
			(!vid ||
				(frame_be16(bytes + 12) == 0x8100 &&
					frame_be16(bytes + 14) == vid));
	return n;
}

static void fail_first(struct world *w)
{
	start(w);
	pass_ms(w, 700);
	drain_wires(w);
	w->n_events = 0;
	pull(w, 0);
	assert_non_null(find_event(w, PROTO_NET_UPLINK, 0, PROTO_UPLINK_GONE));
	assert_non_null(find_event(w, PROTO_NET_FAILOVER, 0, 1));
	assert_null(find_event(w, PROTO_NET_UPLINK, PROTO_UPLINK_ALL, PROTO_UPLINK_DOWN));
}

/* One member's frames, both ways: also those that go no further, and those that the team sends by itself. */
static void test_capture(void **state)
{
	struct proto_capture what = {1, CAPTURE_IN | CAPTURE_OUT, 1000};
	uint8_t mac[NET_MAC_LEN], packet[1500];
	struct world *w = *state;
	struct fake_frame f;
	int pair[2];

	start(w);
	what.index = 2;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(uplinks_capture(w->uplinks, &what, dup(pair[0])), -ENODEV);
	what.index = 1;
	assert_int_equal(uplinks_capture(w->uplinks, &what, pair[0]), 0);
	fake_mac(1, mac);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0); /* by the other */
	(void)fake_frame(&f, everybody, far, 10, TYPE, NULL, 50);
	wire_send(w, 1, &f);
	assert_int_equal(w->counters[1].tx_drops[NET_DROP_DUPLICATE], 1);
	assert_int_equal(recv(pair[1], packet, sizeof(packet), MSG_DONTWAIT), 32 + 68);
	assert_memory_equal(packet + 32 + 12, "\x81\x00\x00\x0a", 4);
	assert_int_equal(packet[4], CAPTURE_IN);
	assert_int_equal(recv(pair[1], packet, sizeof(packet), MSG_DONTWAIT), -1);
	/* A failover: what it announces, and then what the guest sends. */
	pull(w, 0);
	assert_true(recv(pair[1], packet, sizeof(packet), MSG_DONTWAIT) > 32);
	assert_int_equal(packet[4], CAPTURE_OUT);
	close(pair[1]);
	turn(w);
}

static void test_announced(void **state)
{
	static const uint8_t inner[NET_MAC_LEN] = {2, 0, 0, 0, 7, 7};
	static const struct {
		unsigned vm, vid; /* vm 0: behind the second */
	} wanted[] = {{1, 0}, {2, 10}, {2, 20}, {0, 10}};

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		struct world *w;
		uint8_t mac[NET_MAC_LEN];

		assert_int_equal(setup(state), 0);
		w = *state;
		start(w);
		assert_int_equal(vm_send(w, &w->nested, far, inner, 10), 0);
		pass_ms(w, 700);
		drain_wires(w);
		pull(w, 0);
		pass_ms(w, 700);
		fake_mac(wanted[i].vm, mac);
		assert_int_equal(count_rarp(w, 1, wanted[i].vm ? mac : inner, wanted[i].vid), 5);
		assert_int_equal(teardown(state), 0);
	}
}

static void test_gone_and_back(void **state)
{
	struct world *w = *state;
	uint8_t mac[NET_MAC_LEN], bytes[2048];
	int fd;

	fail_first(w);
	drain_wires(w);
	fake_mac(1, mac);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0);
	assert_int_equal(wire_receive(w, 1, bytes), 64);
	assert_int_equal(uplinks_add(w->uplinks, 1, &w->config.uplinks[1], 0), -EEXIST);
	assert_int_equal(uplinks_add(w->uplinks, 2, &w->config.uplinks[1], 0), -EINVAL);
	memset(w->config.uplinks[0].ifname, 'x', NET_IFNAME_MAX);
	assert_int_equal(uplinks_add(w->uplinks, 0, &w->config.uplinks[0], 0), -EINVAL);
	(void)strcpy(w->config.uplinks[0].ifname, "eth1");
	make_wire(&w->wires[0], &fd);
	assert_int_equal(uplinks_add(w->uplinks, 0, &w->config.uplinks[0], fd), 0);
	close(w->fds.uplinks[0]);
	w->fds.uplinks[0] = fd;
	/* It rests while the other works. */
	pass_ms(w, 100);
	assert_null(find_event(w, PROTO_NET_FAILOVER, 1, 0));
	pass_ms(w, 5000);
	assert_non_null(find_event(w, PROTO_NET_FAILOVER, 1, 0));
	drain_wires(w);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0);
	assert_int_equal(wire_receive(w, 0, bytes), 64);
}

static void test_all_gone(void **state)
{
	struct world *w = *state;
	uint8_t mac[NET_MAC_LEN];
	uint64_t lost;

	fail_first(w);
	pull(w, 1);
	assert_non_null(find_event(w, PROTO_NET_UPLINK, PROTO_UPLINK_ALL, PROTO_UPLINK_DOWN));
	lost = w->counters[0].rx_drops[NET_DROP_NO_UPLINK] +
		w->counters[1].rx_drops[NET_DROP_NO_UPLINK];
	fake_mac(1, mac);
	assert_int_equal(vm_send(w, &w->vm, far, mac, -1), 0);
	assert_int_equal(w->counters[0].rx_drops[NET_DROP_NO_UPLINK] +
			w->counters[1].rx_drops[NET_DROP_NO_UPLINK],
		lost + 1);
}

static void test_guests_stay_up(void **state)
{
	struct world *w = *state;

	w->config.team.guest_link_up = 1;
	fail_first(w);
	pull(w, 1);
	assert_null(find_event(w, PROTO_NET_UPLINK, PROTO_UPLINK_ALL, PROTO_UPLINK_DOWN));
}

static void send_netlink(struct world *w, const char *ifname, unsigned type)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
		struct rtattr attr;
		char name[NET_IFNAME_MAX];
	} m = {.header = {.nlmsg_type = (uint16_t)type},
		.attr = {.rta_type = IFLA_IFNAME,
			.rta_len = (uint16_t)(RTA_LENGTH(0) + strlen(ifname) + 1)}};

	(void)snprintf(m.name, sizeof(m.name), "%s", ifname);
	m.header.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(m.info)) + m.attr.rta_len);
	assert_true(write(w->netlink, &m, m.header.nlmsg_len) > 0);
	turn(w);
}

/* The guests' link is told until somebody hears it: with each poll, of which netlink's word about our NICs is one. */
static void test_told_until_heard(void **state)
{
	struct world *w = *state;

	w->deaf = true;
	start(w);
	w->deaf = false;
	send_netlink(w, "eth", RTM_NEWLINK);
	send_netlink(w, "eth11", RTM_NEWLINK);
	send_netlink(w, "eth1", RTM_NEWADDR);
	assert_int_equal(w->n_events, 0);
	send_netlink(w, "eth1", RTM_NEWLINK);
	assert_non_null(find_event(w, PROTO_NET_UPLINK, PROTO_UPLINK_ALL, PROTO_UPLINK_UP));
	assert_int_equal(w->n_events, 1);
	/* And by time. */
	w->deaf = true;
	pull(w, 0);
	pull(w, 1);
	w->deaf = false;
	loop_fake_advance(w->loop, HOUR_MS * NSEC_PER_MSEC);
	assert_non_null(find_event(w, PROTO_NET_UPLINK, PROTO_UPLINK_ALL, PROTO_UPLINK_DOWN));
}

/* Netlink that makes no sense does no harm; one too long is a hint. */
static void test_netlink_garbage(void **state)
{
	static uint8_t bytes[20000];
	struct world *w = *state;

	w->deaf = true;
	start(w);
	w->deaf = false;
	memset(bytes, 0xff, sizeof(bytes));
	for (size_t len = 1; len < 128; len++) {
		assert_int_equal(write(w->netlink, bytes, len), len);
		turn(w);
	}
	/* Lengths that lie: of the message, of the attribute. */
	memcpy(bytes, &(struct nlmsghdr){.nlmsg_len = 17, .nlmsg_type = RTM_NEWLINK},
		sizeof(struct nlmsghdr));
	assert_int_equal(write(w->netlink, bytes, 100), 100);
	memcpy(bytes, &(struct nlmsghdr){.nlmsg_len = 100, .nlmsg_type = RTM_NEWLINK},
		sizeof(struct nlmsghdr));
	assert_int_equal(write(w->netlink, bytes, 100), 100);
	turn(w);
	assert_int_equal(w->n_events, 0);
	assert_int_equal(write(w->netlink, bytes, sizeof(bytes)), sizeof(bytes));
	turn(w);
	assert_int_equal(w->n_events, 1);
}

static void test_no_fd(void **state)
{
	struct network_owner owner = {on_event, *state};
	struct world *w = *state;
	int fd = w->fds.uplinks[1];

	w->fds.uplinks[1] = -EBADF;
	assert_int_equal(uplinks_new(&w->config, &w->fds, (const uint64_t[]){1, 2}, w->loop, w->sw,
				 w->counters, &owner, &w->uplinks),
		-EBADF);
	w->fds.uplinks[1] = fd;
	start(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_out_and_in),
		TEST(test_capture),
		TEST(test_moved_out),
		cmocka_unit_test(test_announced),
		TEST(test_gone_and_back),
		TEST(test_all_gone),
		TEST(test_guests_stay_up),
		TEST(test_told_until_heard),
		TEST(test_netlink_garbage),
		TEST(test_no_fd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
