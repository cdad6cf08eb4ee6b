/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of uplinks with real NICs share: veth pairs, with bridges for the switches, and a team of two on them. */
#pragma once

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "daemon/host-net.h"
#include "tests/net/networker.h"

#define SLACK_MS 500 /* of a busy machine */
#define POLL_MS  10
#define MAX_GAP  ((POLL_MS + SLACK_MS) * NSEC_PER_MSEC)

/* Two access switches, a core, and a peer (e1) behind it; f0 and f1 are nobody's. */
#define TWO_SWITCHES MEMBERS ACCESS_A ACCESS_B CORE NET_LINK("f0", "f1")
#define MEMBERS      NET_LINK("p0", "q0") NET_LINK("p1", "q1")
#define ACCESS_A     NET_SWITCH("swa") NET_LINK("a0", "a1") NET_INTO("q0", "swa") NET_INTO("a0", "swa")
#define ACCESS_B     NET_SWITCH("swb") NET_LINK("b0", "b1") NET_INTO("q1", "swb") NET_INTO("b0", "swb")
#define CORE         PEER NET_INTO("a1", "core") NET_INTO("b1", "core")
#define PEER         NET_SWITCH("core") NET_LINK("e0", "e1") NET_INTO("e0", "core")

/* Both members on the peer's switch. */
#define ONE_SWITCH MEMBERS PEER NET_INTO("q0", "core") NET_INTO("q1", "core")

static const uint8_t peer_mac[NET_MAC_LEN] = {2, 0, 0, 0, 0, 0x99};

static inline int setup(void **state)
{
	*state = world_new();
	return 0;
}

static inline int teardown(void **state)
{
	world_free(*state);
	return 0;
}
struct wanted_frames {
	const struct record *record;
	uint16_t ethertype;
	const uint8_t *src;
	unsigned n;
};

static inline bool has_frames(void *arg)
{
	const struct wanted_frames *wanted = arg;

	return count_seen(wanted->record, wanted->ethertype, wanted->src) >= wanted->n;
}

/* Waits for 'n' frames of the test's from 'src'. */
static inline void expect_frames(
	struct world *w, const struct record *record, const uint8_t *src, unsigned n)
{
	struct wanted_frames wanted = {record, NET_TEST_TYPE, src, n};

	assert_true(world_until(w, 2000, has_frames, &wanted));
}

static inline void expect_up(struct world *w)
{
	assert_true(world_guests(w, 3000, true));
}

static inline void start_team(struct world *w, enum net_team_policy policy)
{
	world_uplink(w, "p0");
	world_uplink(w, "p1");
	w->config.team.policy = (uint8_t)policy;
	w->config.team.poll_ms = POLL_MS;
	w->config.team.up_delay_ms = UINT32_MAX;
	w->config.team.no_damping = 1;
	world_start(w);
	expect_up(w);
	assert_true(world_link(w, 1000, 1, true));
}

static inline bool can_run(void)
{
	if (geteuid() != 0) {
		printf("skipped: network namespaces with NICs need root\n");
		return false;
	}
	if (unshare(CLONE_NEWNET) < 0 || !try_ip(NET_LINK("p0", "q0") NET_SWITCH("swa"))) {
		printf("skipped: no network namespace with veth and bridges to be had here: %s\n",
			strerror(errno));
		return false;
	}
	return true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
