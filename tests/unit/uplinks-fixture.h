/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of uplinks share: two members, which are "taps": sockets, with the wire in the test's hands; a switch with
 * two vNICs, of which the second has VLANs and others behind it; the daemon's ears. Time is invented.
 */
#pragma once

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

#include "devices/fabric/team-news.h"
#include "tests/fakes/fake-port.h"
#include "vmm-core/base/capture-record.h"

#define TYPE        0x88b6 /* IEEE 802 local experimental */
#define RARP        0x8035
#define HOUR_MS     3600000
#define MAX_REPORTS 64

struct world {
	struct loop *loop;
	struct vswitch *sw;
	struct net_config config;
	struct network_fds fds;
	struct uplinks *uplinks;
	struct net_port_counters counters[NET_MAX_UPLINKS];
	struct fake_port vm, nested;
	int wires[2], netlink; /* our ends */
	int refuse;            /* what the daemon answers to news: 0, -ENOTCONN or -EAGAIN */
	struct net_team_state state;
	struct net_team_report reports[MAX_REPORTS];
	unsigned n_states, n_reports, n_refused;
};

static inline bool on_event(void *opaque, const struct proto_net_event *event)
{
	(void)opaque;
	(void)event;
	fail();
	return false;
}

static inline int on_team(void *opaque, enum proto_type type, const void *payload, size_t len)
{
	struct world *w = opaque;

	w->n_refused += w->refuse != 0;
	if (w->refuse)
		return w->refuse;
	if (type == PROTO_TEAM_STATE) {
		assert_int_equal(len, sizeof(w->state));
		memcpy(&w->state, payload, len);
		assert_true(net_team_state_is_valid(&w->state, NET_MAX_UPLINKS));
		w->n_states++;
		return 0;
	}
	assert_int_equal(type, PROTO_TEAM_REPORT);
	assert_int_equal(len, sizeof(w->reports[0]));
	assert_true(w->n_reports < MAX_REPORTS);
	memcpy(&w->reports[w->n_reports], payload, len);
	assert_true(net_team_report_is_valid(
		&w->reports[w->n_reports++], NET_MAX_UPLINKS, loop_now_ns(w->loop)));
	return 0;
}

static inline void make_wire(int *ret_ours, int *ret_theirs)
{
	int pair[2];

	/* Packets, as a tap has them. */
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	*ret_ours = pair[0];
	*ret_theirs = pair[1];
}

static inline void turn(struct world *w)
{
	do
		loop_fake_advance(w->loop, 1);
	while (loop_run_once(w->loop, 0) > 0);
}

static inline void pass_ms(struct world *w, unsigned ms)
{
	for (unsigned i = 0; i < ms; i++) {
		loop_fake_advance(w->loop, NSEC_PER_MSEC);
		turn(w);
	}
}

static inline void add_vm(
	struct world *w, struct fake_port *vm, unsigned n, struct net_port_config config)
{
	fake_port_init(vm, PORT_VNIC, n);
	fake_mac(n, config.mac);
	assert_int_equal(vswitch_add(w->sw, &vm->port, &config), 0);
	uplinks_port_added(w->uplinks, n);
}

static inline void start(struct world *w)
{
	struct network_owner owner = {on_event, on_team, w};
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

/* With an owner who wants to know of addresses the switch remembers them. */
static inline void on_address(
	void *opaque, struct port *port, const uint8_t mac[NET_MAC_LEN], const struct net_ip *ip)
{
	(void)opaque;
	(void)port;
	(void)mac;
	(void)ip;
}

static inline int setup(void **state)
{
	static const struct vswitch_ops ops = {.address = on_address};
	struct world *w = calloc(1, sizeof(*w));
	struct vswitch_config config = {.seed = {1, 2}, .mtu = 1500};

	assert_int_equal(loop_new_fake(100 * NSEC_PER_SEC, &w->loop), 0);
	assert_int_equal(vswitch_new(&config, &ops, NULL, &w->sw), 0);
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

static inline int teardown(void **state)
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

static inline void wire_send(struct world *w, unsigned i, const struct fake_frame *f)
{
	uint8_t bytes[12 + 2048] = {0};

	memcpy(bytes + 12, f->bytes, f->len);
	assert_int_equal(write(w->wires[i], bytes, 12 + f->len), 12 + f->len);
	turn(w);
}

/* The length of the next frame there; 0: none. */
static inline size_t wire_receive(struct world *w, unsigned i, uint8_t bytes[2048])
{
	uint8_t buffer[12 + 2048];
	ssize_t n = read(w->wires[i], buffer, sizeof(buffer));

	if (n < 12)
		return 0;
	memcpy(bytes, buffer + 12, (size_t)n - 12);
	return (size_t)n - 12;
}

static inline void drain_wires(struct world *w)
{
	uint8_t bytes[2048];

	for (unsigned i = 0; i < 2; i++)
		while (wire_receive(w, i, bytes))
			;
}

static inline int vm_send(
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

static inline const struct net_team_report *find_report(
	const struct world *w, unsigned from, unsigned to)
{
	for (unsigned i = 0; i < w->n_reports; i++)
		if (w->reports[i].from == from && w->reports[i].to == to)
			return &w->reports[i];
	return NULL;
}

static inline enum team_member_state state_of(const struct world *w, unsigned i)
{
	return w->state.members[i].state;
}

/* The interface is gone: the kernel says so once. */
static inline void pull(struct world *w, unsigned i)
{
	/* What nobody read, before its reader goes, resets the connection. */
	drain_wires(w);
	assert_int_equal(write(w->fds.uplinks[i], "x", 1), 1);
	close(w->wires[i]);
	w->wires[i] = -1;
	turn(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
