/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LACP with partners that are not ours: Open vSwitch in user space, and the kernel's bonding driver where there is one. The
 * shipped worker has a team of two veth uplinks; a guest's traffic crosses it both ways while the partner does what partners do.
 *
 *	test-lacp WORKER
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/net/networker.h"
#include "tests/net/ovs.h"

#define POLL_MS   10
#define N_FLOWS   64
#define STEP_MS   100
#define LONG_MS   20000 /* for what takes seconds: a busy machine has its time */
#define BOTH      3U
#define TEXT_SIZE 8192
#define TOPOLOGY  NET_LINK("p0", "q0") NET_LINK("p1", "q1") NET_LINK("e0", "e1")

struct setting {
	struct world *w;
	struct ovs ovs;
	struct vm *vm;
	struct probe *wires[2], *peer;
};

static int setup(void **state)
{
	struct setting *s = calloc(1, sizeof(*s));

	s->w = world_new();
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct setting *s = *state;

	ovs_stop(&s->ovs);
	world_free(s->w);
	free(s);
	return 0;
}

static void start_team(struct setting *s, const char *peer)
{
	struct world *w = s->w;

	world_uplink(w, "p0");
	world_uplink(w, "p1");
	w->config.team.policy = NET_TEAM_LACP;
	w->config.team.poll_ms = POLL_MS;
	w->config.team.up_delay_ms = UINT32_MAX;
	w->config.team.no_damping = 1;
	world_start(w);
	s->vm = world_add_vm(w, NULL);
	s->wires[0] = world_probe(w, "q0");
	s->wires[1] = world_probe(w, "q1");
	s->peer = world_probe(w, peer);
}

#define BOND  "-- add-bond br0 bond0 q0 q1 bond_mode=balance-tcp "
#define PLAIN "-- add-port br0 q0 -- add-port br0 q1 "
#define FAST  " other_config:lacp-time=fast"

/* A switch with these ports to our uplinks. The peer is behind it, at e1. */
static void start(struct setting *s, const char *ports)
{
	char command[512];

	if (!ovs_is_installed()) {
		print_message("skipped: Open vSwitch is not installed\n");
		skip();
	}
	world_topology(s->w, TOPOLOGY);
	assert_true(ovs_start(&s->ovs));
	(void)snprintf(command, sizeof(command),
		"-- add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 e0 %s",
		ports);
	assert_true(ovs_vsctl(&s->ovs, command));
	start_team(s, "e1");
}

/* Many flows, there and back. */

static void send_flows(struct setting *s)
{
	forget_all(s->w);
	for (unsigned i = 0; i < N_FLOWS; i++) {
		const uint8_t other[NET_MAC_LEN] = {2, 0, 0, 0, 2, (uint8_t)i};

		(void)vm_send(s->vm, other, i, 60, -1);
		probe_send(s->peer, s->vm->config.mac, other, i, 60, -1);
	}
	world_run_ms(s->w, STEP_MS);
}

static unsigned n_guest(const struct setting *s, const struct probe *p)
{
	return count_seen(&p->record, NET_TEST_TYPE, s->vm->config.mac);
}

/* A bit for each member that the guest's frames used. */
static unsigned used(const struct setting *s)
{
	return (n_guest(s, s->wires[0]) > 0) | (unsigned)(n_guest(s, s->wires[1]) > 0) << 1;
}

/* All flows arrived once, both ways, from the guest's own address, by these members. */
static bool all_well(const struct setting *s, unsigned members)
{
	unsigned in = count_seen(&s->vm->record, NET_TEST_TYPE, NULL), out = n_guest(s, s->peer);

	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < s->wires[k]->record.n; i++) {
			const struct seen *f = &s->wires[k]->record.seen[i];

			/* The guest's frames are those to the others' addresses. */
			if (f->ethertype == NET_TEST_TYPE && f->dst[4] == 2)
				assert_memory_equal(f->src, s->vm->config.mac, NET_MAC_LEN);
		}
	return in == N_FLOWS && out == N_FLOWS && used(s) == members;
}

/* Answers the milliseconds that it took, in steps. */
static unsigned expect_flows(struct setting *s, unsigned members)
{
	char text[TEXT_SIZE] = "";

	for (unsigned ms = 0; ms < LONG_MS; ms += STEP_MS) {
		send_flows(s);
		if (all_well(s, members))
			return ms;
	}
	if (s->ovs.vswitchd)
		(void)ovs_ask(&s->ovs, "lacp/show bond0", text, sizeof(text));
	fail_msg("out: %u by members %u, in: %u, of %u flows\n%s", n_guest(s, s->peer), used(s),
		count_seen(&s->vm->record, NET_TEST_TYPE, NULL), N_FLOWS, text);
	return 0;
}

/* A frame each millisecond each way while 'q0' goes down after a while: all but those of a moment arrive. */
static void cut_a_member(struct setting *s)
{
	unsigned n_out = 0, n_in = 0, n = 600;

	forget_all(s->w);
	for (unsigned i = 0; i < n; i++) {
		const uint8_t other[NET_MAC_LEN] = {2, 0, 0, 0, 2, (uint8_t)(i % N_FLOWS)};

		if (i == n / 3)
			set_link("q0", false);
		(void)vm_send(s->vm, other, i, 60, -1);
		probe_send(s->peer, s->vm->config.mac, other, i, 60, -1);
		world_run_ms(s->w, 1);
	}
	world_run_ms(s->w, STEP_MS);
	n_out = n_guest(s, s->peer);
	n_in = count_seen(&s->vm->record, NET_TEST_TYPE, NULL);
	print_message("a member's link cut: of %u frames %u were lost on the way out, %u in\n", n,
		n - n_out, n - n_in);
	assert_in_range(n_out, n / 2, n);
	assert_in_range(n_in, n / 2, n);
	(void)expect_flows(s, 2);
	set_link("q0", true);
	(void)expect_flows(s, BOTH);
}

static void expect_negotiated(struct setting *s)
{
	char text[TEXT_SIZE];

	print_message("both members carry traffic after %u ms\n", expect_flows(s, BOTH));
	assert_true(ovs_ask(&s->ovs, "lacp/show bond0", text, sizeof(text)));
	assert_non_null(strstr(text, "status: "));
	assert_non_null(strstr(text, "negotiated"));
	assert_non_null(strstr(text, "member: q0: current attached"));
	assert_non_null(strstr(text, "member: q1: current attached"));
}

static void test_fast(void **state)
{
	struct setting *s = *state;

	start(s, BOND "lacp=active" FAST);
	expect_negotiated(s);
	cut_a_member(s);
}

static void test_slow(void **state)
{
	struct setting *s = *state;
	char text[TEXT_SIZE];

	s->w->config.team.lacp_slow = 1;
	start(s, BOND "lacp=active other_config:lacp-time=slow");
	expect_negotiated(s);
	assert_true(ovs_ask(&s->ovs, "lacp/show bond0", text, sizeof(text)));
	/* What each asks of the other has arrived there. */
	assert_non_null(strstr(text, "lacp_time: slow"));
	assert_non_null(strstr(text, "partner state: activity aggregation synchronized"));
	cut_a_member(s);
}

static void test_we_are_passive(void **state)
{
	struct setting *s = *state;
	char text[TEXT_SIZE];

	s->w->config.team.lacp_passive = 1;
	start(s, BOND "lacp=active" FAST);
	expect_negotiated(s);
	assert_true(ovs_ask(&s->ovs, "lacp/show bond0", text, sizeof(text)));
	assert_non_null(strstr(text, "partner state: timeout aggregation synchronized"));
}

static void test_partner_is_passive(void **state)
{
	struct setting *s = *state;

	start(s, BOND "lacp=passive" FAST);
	expect_negotiated(s);
	cut_a_member(s);
}

/* The partner says no more on one member, whose carrier stays: LACP alone tells. */
static void test_silent_member(void **state)
{
	struct setting *s = *state;

	start(s, BOND "lacp=active" FAST);
	expect_negotiated(s);
	assert_true(ovs_vsctl(&s->ovs, "del-bond-iface bond0 q0"));
	print_message("a silent member is left after about %u ms\n", expect_flows(s, 2));
	/* Nothing but LACP has ever failed it. */
	for (unsigned i = 0; i < s->w->config.n_uplinks; i++) {
		assert_true(s->w->state.members[i].flags & NET_TEAM_LINK);
		assert_int_equal(s->w->state.members[i].failures[TEAM_BY_POLL], 0);
		assert_int_equal(s->w->state.members[i].failures[TEAM_BY_NETLINK], 0);
	}
	assert_true(s->w->state.members[0].failures[TEAM_BY_LACP] > 0);
	assert_true(ovs_vsctl(&s->ovs, "add-bond-iface bond0 q0"));
	(void)expect_flows(s, BOTH);
}

/* It stops altogether: one member goes on without it; or, if that is asked for, nothing is sent to somebody who may still take
 * both links for one. Until it goes on. */
static void silent_partner(struct setting *s, enum net_lacp_fallback fallback)
{
	s->w->config.team.lacp_fallback = (uint8_t)fallback;
	start(s, BOND "lacp=active" FAST);
	expect_negotiated(s);
	assert_int_equal(kill(s->ovs.vswitchd, SIGSTOP), 0);
	assert_true(world_guests(s->w, LONG_MS, false));
	if (fallback == NET_LACP_FALLBACK_STARTUP) {
		world_run_ms(s->w, 5000);
		assert_false(s->w->state.guests_up);
	} else {
		assert_true(world_guests(s->w, LONG_MS, true));
		assert_int_equal(s->w->state.policy, NET_TEAM_EXPLICIT);
		assert_int_equal(s->w->state.n_active, 1);
	}
	assert_int_equal(kill(s->ovs.vswitchd, SIGCONT), 0);
	expect_negotiated(s);
	(void)expect_flows(s, BOTH);
}

static void test_silent_partner(void **state)
{
	silent_partner(*state, NET_LACP_FALLBACK_DEFAULT);
}

static void test_silent_partner_startup(void **state)
{
	silent_partner(*state, NET_LACP_FALLBACK_STARTUP);
}

/* A switch whose ports are not aggregated is used by one member, until they are. */
static void test_fallback(void **state)
{
	struct setting *s = *state;

	start(s, PLAIN);
	print_message("fallback after about %u ms\n", expect_flows(s, 1));
	set_link("q0", false);
	(void)expect_flows(s, 2);
	set_link("q0", true);
	assert_true(ovs_vsctl(&s->ovs, "-- del-port q0 -- del-port q1 " BOND "lacp=active" FAST));
	expect_negotiated(s);
}

static void test_no_fallback(void **state)
{
	struct setting *s = *state;

	s->w->config.team.lacp_fallback = NET_LACP_FALLBACK_NONE;
	start(s, PLAIN);
	world_run_ms(s->w, 5000);
	send_flows(s);
	assert_int_equal(used(s), 0);
}

/* The kernel's own LACP as partner. */
static void test_kernel_bond(void **state)
{
	struct setting *s = *state;

	if (!try_ip("link add name bond0 type bond mode 802.3ad miimon 50 lacp_rate fast "
		    "xmit_hash_policy layer2\n")) {
		print_message("skipped: this kernel has no bonding\n");
		skip();
	}
	world_topology(s->w,
		"link add name p0 type veth peer name q0\nlink add name p1 type veth peer name "
		"q1\n" NET_INTO("q0", "bond0") NET_INTO("q1",
			"bond0") "link set p0 up\nlink set p1 up\nlink set q0 up\nlink set q1 up\n"
				 "link set bond0 up\n");
	start_team(s, "bond0");
	print_message("both members carry traffic after %u ms\n", expect_flows(s, BOTH));
	cut_a_member(s);
}

static bool can_run(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || !try_ip(NET_LINK("p0", "q0"))) {
		printf("skipped: no network namespace with veth to be had here: %s\n",
			geteuid() ? "not root" : strerror(errno));
		return false;
	}
	return true;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fast),
		TEST(test_slow),
		TEST(test_we_are_passive),
		TEST(test_partner_is_passive),
		TEST(test_silent_member),
		TEST(test_silent_partner),
		TEST(test_silent_partner_startup),
		TEST(test_fallback),
		TEST(test_no_fallback),
		TEST(test_kernel_bond),
	};

	if (argc != 2)
		return 2;
	worker_path = argv[1];
	return can_run() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
