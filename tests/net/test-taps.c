/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vNICs on bridges and NICs of the host's: the vNIC's own switch on a tap or macvtap that the daemon's host-link.c made, with
 * a real bridge, veth pairs as NICs, and what VLANs, isolation and macvtap's modes do to frames. (A vm's worker in its
 * filter does it in tests/system: it needs a guest.)
 */
#include <errno.h>
#include <linux/if_link.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/host-link.h"
#include "tests/net/networker.h"

#define MAX_VNICS 4
#define TSO_LEN   40054

struct vnic {
	struct port port; /* first */
	struct net_port_counters counters;
	struct net_port_config config;
	struct nic *nic;
	char macvtap[NET_IFNAME_MAX], lower[NET_IFNAME_MAX]; /* "": a tap */
	unsigned n_seen;                                     /* frames of the tests' type */
	uint32_t len;                                        /* of the last */
	int32_t tci;
	uint8_t gso_type;
};

struct host {
	struct loop *loop;
	struct vnic vnics[MAX_VNICS];
	unsigned n;
};

static int vnic_transmit(struct port *port, const struct frame *frame, int32_t tci)
{
	struct vnic *v = container_of(port, struct vnic, port);

	if (frame->ethertype != NET_TEST_TYPE && frame->hdr.gso_type == NET_HDR_GSO_NONE)
		return 0; /* the kernel's own */
	v->n_seen++;
	v->len = frame->len;
	v->tci = tci;
	v->gso_type = frame->hdr.gso_type;
	return 0;
}

static void vnic_space(struct port *port)
{
	(void)port;
}

static const struct port_ops vnic_ops = {.transmit = vnic_transmit};

static int setup(void **state)
{
	struct host *h = calloc(1, sizeof(*h));

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(loop_new(&h->loop), 0);
	*state = h;
	return 0;
}

/* macvtaps do not go by themselves; and their files in /dev are named by numbers that the next namespace has too. */
static void remove_all(struct host *h)
{
	for (unsigned i = 0; i < h->n; i++) {
		struct vnic *v = &h->vnics[i];

		(void)nic_free(v->nic);
		if (*v->macvtap)
			assert_int_equal(
				host_link_remove_macvtap(v->macvtap, v->lower, v->config.mac), 0);
		*v = (struct vnic){0};
	}
	h->n = 0;
}

static int teardown(void **state)
{
	struct host *h = *state;

	remove_all(h);
	(void)loop_free(h->loop);
	free(h);
	return 0;
}

static struct vnic *add(struct host *h, const struct net_port_config *config, int fd)
{
	struct vnic *v = &h->vnics[h->n++];

	v->config = *config;
	v->port = (struct port){.ops = &vnic_ops, .kind = PORT_VNIC, .counters = &v->counters};
	assert_int_equal(nic_new(h->loop, &v->config, 0, &v->port, vnic_space, &v->nic), 0);
	nic_set_offloads(v->nic, UINT32_MAX);
	assert_int_equal(nic_set_tap(v->nic, fd), 0);
	return v;
}

static struct net_port_config numbered(const struct host *h)
{
	return (struct net_port_config){.mac = {0x52, 0x54, 0, 0, 0, (uint8_t)(h->n + 1)}};
}

/* A vNIC in the bridge br0, as the daemon does it. */
static struct vnic *add_bridged(struct host *h, uint32_t flags, const struct net_vlan *vlan)
{
	struct net_port_config config = numbered(h);
	char name[NET_IFNAME_MAX];
	struct host_tap tap = {.ifname = name,
		.mac = config.mac,
		.bridge = "br0",
		.isolated = flags & NET_PORT_ISOLATED,
		.vlan = vlan};
	struct error e = {0};
	int fd;

	config.flags = flags;
	if (vlan)
		config.vlan = *vlan;
	(void)snprintf(name, sizeof(name), "vnet%u", h->n);
	if (host_link_make_tap(&tap, &fd, &e) < 0)
		fail_msg("%s", e.message);
	return add(h, &config, fd);
}

static struct vnic *add_direct(struct host *h, const char *lower, uint32_t mode)
{
	struct net_port_config config = numbered(h);
	char name[NET_IFNAME_MAX];
	struct host_macvtap macvtap = {name, lower, config.mac, 0, mode};
	struct error e = {0};
	struct vnic *v;
	int fd;

	(void)snprintf(name, sizeof(name), "macvtap%u", h->n);
	if (host_link_make_macvtap(&macvtap, &fd, &e) < 0)
		fail_msg("%s", e.message);
	v = add(h, &config, fd);
	memcpy(v->macvtap, name, sizeof(name));
	(void)snprintf(v->lower, sizeof(v->lower), "%s", lower);
	return v;
}

static void settle(struct host *h)
{
	while (loop_run_once(h->loop, 50 * NSEC_PER_MSEC) > 0)
		;
}

static void send_frame(
	struct vnic *from, const uint8_t *dst, const struct net_hdr *hdr, size_t len, int32_t tci)
{
	static uint8_t bytes[TSO_LEN];
	static const uint8_t ip[] = {0x45, 0, (TSO_LEN - 14) >> 8, (TSO_LEN - 14) & 0xff, 0, 1,
		0x40, 0, 64, 6, 0x8a, 0x8c, 10, 0, 0, 1, 10, 0, 0, 2};
	struct iovec iov = {bytes, len};
	struct frame frame;

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, dst, NET_MAC_LEN);
	memcpy(bytes + NET_MAC_LEN, from->config.mac, NET_MAC_LEN);
	bytes[12] = hdr ? 8 : NET_TEST_TYPE >> 8;
	bytes[13] = hdr ? 0 : NET_TEST_TYPE & 0xff;
	if (hdr) {
		memcpy(bytes + 14, ip, sizeof(ip));
		bytes[34 + 12] = 0x50;
		bytes[34 + 13] = 0x10;
	}
	assert_int_equal(frame_init(&frame, hdr, &iov, 1, (uint32_t)len, FRAME_MAX, tci), 0);
	assert_int_equal(nic_send(from->nic, &frame, false), 0);
	nic_flush(from->nic);
}

/* Does a frame of one come to the other? */
static bool reaches_tagged(struct host *h, struct vnic *from, struct vnic *to, int32_t tci)
{
	unsigned before = to->n_seen;

	send_frame(from, to->config.mac, NULL, 64, tci);
	settle(h);
	return to->n_seen > before;
}

static bool reaches(struct host *h, struct vnic *from, struct vnic *to)
{
	return reaches_tagged(h, from, to, -1);
}

static const struct net_hdr tso = {.flags = NET_HDR_F_NEEDS_CSUM,
	.gso_type = NET_HDR_GSO_TCPV4,
	.hdr_len = 54,
	.gso_size = 1460,
	.csum_start = 34,
	.csum_offset = 16};

static void test_bridge(void **state)
{
	struct host *h = *state;
	struct vnic *a, *b, *c;

	assert_true(try_ip("link add name br0 type bridge\nlink set br0 up\n"));
	a = add_bridged(h, 0, NULL);
	b = add_bridged(h, 0, NULL);
	c = add_bridged(h, 0, NULL);
	settle(h);
	assert_true(reaches(h, a, b));
	assert_true(reaches(h, b, a));
	/* The first frame was flooded by the bridge; it was not for c. */
	assert_int_equal(c->n_seen, 0);
	assert_int_equal(a->n_seen, 1);
	/* A segment passes whole. */
	send_frame(a, b->config.mac, &tso, TSO_LEN, -1);
	settle(h);
	assert_int_equal(b->len, TSO_LEN);
	assert_int_equal(b->gso_type, NET_HDR_GSO_TCPV4);
}

static void test_isolated(void **state)
{
	struct host *h = *state;
	struct vnic *a, *b, *c;

	assert_true(try_ip("link add name br0 type bridge\nlink set br0 up\n"));
	a = add_bridged(h, NET_PORT_ISOLATED, NULL);
	b = add_bridged(h, NET_PORT_ISOLATED, NULL);
	c = add_bridged(h, 0, NULL);
	settle(h);
	assert_true(reaches(h, a, c));
	assert_true(reaches(h, c, b));
	assert_false(reaches(h, a, b));
	assert_false(reaches(h, b, a));
}

/* False, printed: the kernel's bridges know no VLANs. */
static bool make_vlan_bridge(void)
{
	if (try_ip("link add name br0 type bridge vlan_filtering 1\nlink set br0 up\n"))
		return true;
	print_message("skipped: the kernel's bridges do not filter VLANs\n");
	return false;
}

static void test_vlans(void **state)
{
	static const struct net_vlan red = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {42}};
	static const struct net_vlan blue = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {43}};
	static const struct net_vlan both = {
		.mode = NET_VLAN_TRUNK, .native = 43, .n_tags = 2, .tags = {42, 43}};
	struct host *h = *state;
	struct vnic *a, *b, *c, *trunk;

	if (!make_vlan_bridge())
		skip();
	a = add_bridged(h, 0, &red);
	b = add_bridged(h, 0, &red);
	c = add_bridged(h, 0, &blue);
	trunk = add_bridged(h, 0, &both);
	settle(h);
	assert_true(reaches(h, a, b));
	assert_int_equal(b->tci, -1);
	assert_false(reaches(h, a, c));
	assert_false(reaches(h, c, b));
	/* The trunk sees 42 tagged, its native 43 without. */
	assert_true(reaches(h, a, trunk));
	assert_int_equal(trunk->tci & 0xfff, 42);
	assert_true(reaches(h, c, trunk));
	assert_int_equal(trunk->tci, -1);
	assert_true(reaches_tagged(h, trunk, a, 42));
	assert_true(reaches(h, trunk, c));
	assert_false(reaches_tagged(h, trunk, a, 43));
}

/* The kernel alone keeps VLANs and isolation, if the vNIC's switch did not. */
static void test_kernel_alone(void **state)
{
	static const struct net_vlan red = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {42}};
	static const struct net_vlan blue = {.mode = NET_VLAN_ACCESS, .n_tags = 1, .tags = {43}};
	struct host *h = *state;
	struct vnic *a, *b;

	if (!make_vlan_bridge())
		skip();
	a = add_bridged(h, 0, &red);
	b = add_bridged(h, 0, &blue);
	a->config.vlan = b->config.vlan = (struct net_vlan){0};
	assert_int_equal(nic_reconfigure(a->nic, &a->config), 0);
	assert_int_equal(nic_reconfigure(b->nic, &b->config), 0);
	settle(h);
	assert_false(reaches(h, a, b));
	assert_false(reaches_tagged(h, a, b, 43));
	assert_false(reaches_tagged(h, a, b, 42));
	assert_false(reaches_tagged(h, a, b, 1));
}

#define NICS                                                                                       \
	"link add name p0 type veth peer name q0\nlink set p0 up\nlink add name br0 type bridge\n" \
	"link set q0 master br0 up\nlink set br0 up\n"

static void test_direct(void **state)
{
	static const struct {
		uint32_t mode;
		bool each_other;
	} rows[] = {
		{MACVLAN_MODE_BRIDGE, true},
		{MACVLAN_MODE_PRIVATE, false},
		{MACVLAN_MODE_VEPA, false},
	};
	struct host *h = *state;

	assert_true(try_ip(NICS));
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct vnic *a, *b, *out;

		a = add_direct(h, "p0", rows[i].mode);
		b = add_direct(h, "p0", rows[i].mode);
		out = add_bridged(h, 0, NULL);
		settle(h);
		assert_int_equal(reaches(h, a, b), rows[i].each_other);
		/* The world behind the NIC, both ways. */
		assert_true(reaches(h, a, out));
		assert_true(reaches(h, out, b));
		send_frame(a, out->config.mac, &tso, TSO_LEN, -1);
		settle(h);
		assert_int_equal(out->len, TSO_LEN);
		remove_all(h);
	}
}

static void test_passthrough(void **state)
{
	struct host *h = *state;
	struct vnic *a, *out;

	assert_true(try_ip(NICS));
	a = add_direct(h, "p0", MACVLAN_MODE_PASSTHRU);
	out = add_bridged(h, 0, NULL);
	settle(h);
	assert_true(reaches(h, a, out));
	assert_true(reaches(h, out, a));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest taps[] = {
		TEST(test_bridge),
		TEST(test_isolated),
		TEST(test_vlans),
		TEST(test_kernel_alone),
	};
	const struct CMUnitTest direct[] = {
		TEST(test_direct),
		TEST(test_passthrough),
	};
	int failed;

	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 ||
		!try_ip("link add name br0 type bridge\n")) {
		printf("skipped: no network namespace with a bridge to be had here: %s\n",
			geteuid() ? "not root" : strerror(errno));
		return 77;
	}
	failed = cmocka_run_group_tests(taps, NULL, NULL);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	if (try_ip(NICS "link add link p0 name m0 type macvtap\nlink del m0\n"))
		failed += cmocka_run_group_tests(direct, NULL, NULL);
	else
		printf("skipped: the kernel has no macvtap\n");
	return failed;
}
