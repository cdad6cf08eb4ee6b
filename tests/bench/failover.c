/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a link that fails costs: our team at its polling intervals, Open vSwitch's bond by carrier and by miimon, the kernel's
 * bond, each with two veth uplinks on two access switches (bridges) that meet in a core, behind which a peer is. All of them
 * stand at the same time, each in namespaces of its own, and are tried in turn. A frame goes each half millisecond, out (from
 * the guest) or in (to a guest that is silent itself); a trial cuts the link that carries them, and takes the time to the first
 * frame that arrives after that. Quiet, and with an interface flapping every 150 ms, for which the kernel is slow to tell of
 * carriers.
 *
 *	bench-failover WORKER [ROUNDS]
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
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/net/networker.h"
#include "tests/net/ovs.h"

#define MAX_ROUNDS 64
#define PERIOD_NS  (NSEC_PER_MSEC / 2)
#define CUT_AT     200 /* periods; before it everything has to be well */
#define GIVE_UP_MS 2000
#define SETTLE_MS  3000 /* of a link that came up: the kernel may open its queue a second later */
#define FLAP_MS    150
#define FAR_SIDE                                                                                   \
	"link set q0 up\nlink set q1 up\nlink set f1 up\n" NET_SWITCH("swa") NET_LINK("a0", "a1")  \
		NET_INTO("q0", "swa") NET_INTO("a0", "swa") NET_SWITCH("swb") NET_LINK("b0", "b1") \
			NET_INTO("q1", "swb") NET_INTO("b0", "swb") NET_SWITCH("core")             \
				NET_LINK("e0", "e1") NET_INTO("e0", "core") NET_INTO("a1", "core") \
					NET_INTO("b1", "core")

enum kind { OURS, OVS, BOND };

struct series {
	double ms[MAX_ROUNDS]; /* negative: nothing came within GIVE_UP_MS */
	unsigned n;
};

struct rival {
	const char *name;
	enum kind kind;
	unsigned poll_ms;
	const char *options;
	struct world *w;
	struct vm *vm;
	struct ovs ovs;
	struct probe *near, *peer, *wires[2];
	uint64_t settled_ns;
	struct series gaps[2][2]; /* [noisy][inwards] */
	const char *skipped;
};

static struct rival rivals[] = {
	{.name = "vmmd, polling every 10 ms", .kind = OURS, .poll_ms = 10},
	{.name = "vmmd, polling every 100 ms (default)", .kind = OURS, .poll_ms = 100},
	{.name = "Open vSwitch, carrier", .kind = OVS, .options = ""},
	{.name = "Open vSwitch, miimon 100 ms",
		.kind = OVS,
		.options = "other_config:bond-detect-mode=miimon "
			   "other_config:bond-miimon-interval=100"},
	{.name = "kernel bond, miimon 100 ms", .kind = BOND},
};
#define N_RIVALS (sizeof(rivals) / sizeof(rivals[0]))

static const uint8_t guest_mac[NET_MAC_LEN] = {0x52, 0x54, 0, 0, 0, 1};
static const uint8_t peer_mac[NET_MAC_LEN] = {2, 0, 0, 0, 0, 0x99};

/* Building them. */

static void build_ours(struct rival *r)
{
	struct net_team_config *team = &r->w->config.team;

	world_uplink(r->w, "p0");
	world_uplink(r->w, "p1");
	team->policy = NET_TEAM_EXPLICIT;
	team->failback = NET_FAILBACK_NO;
	team->poll_ms = r->poll_ms;
	team->up_delay_ms = UINT32_MAX;
	team->no_damping = 1;
	world_start(r->w);
	r->vm = world_add_vm(r->w, NULL);
}

static const char *build_ovs(struct rival *r)
{
	char command[512];

	if (!ovs_is_installed())
		return "not installed (Debian's openvswitch-switch)";
	(void)snprintf(command, sizeof(command),
		"-- add-br br0 -- set bridge br0 datapath_type=netdev -- add-port br0 v0 "
		"-- add-bond br0 bond0 p0 p1 bond_mode=active-backup %s",
		r->options);
	return ovs_start(&r->ovs) && ovs_vsctl(&r->ovs, command) ? NULL : "does not start";
}

static const char *build_bond(void)
{
	if (!try_ip("link add bond0 type bond mode active-backup miimon 100\n"))
		return "no bonding driver in this kernel";
	return try_ip("link set p0 down\nlink set p1 down\n" NET_INTO("p0", "bond0")
			       NET_INTO("p1", "bond0") "link set bond0 up\n" NET_SWITCH("br0")
				       NET_INTO("bond0", "br0") NET_INTO("v0", "br0"))
		? NULL
		: "does not start";
}

static void build(struct rival *r)
{
	char commands[512];
	int pid;

	r->w = world_new();
	world_split(r->w);
	pid = (int)r->w->other_pid;
	/* Ends of the same index look like NICs, for which the kernel does not hurry. */
	(void)snprintf(commands, sizeof(commands),
		"link add name p0 index 100 type veth peer name q0 index 100 netns %d\n"
		"link add name p1 index 101 type veth peer name q1 index 101 netns %d\n"
		"link add name f0 index 102 type veth peer name f1 index 102 netns %d\n"
		"link set p0 up\nlink set p1 up\nlink set f0 up\n" NET_LINK("v0", "v1"),
		pid, pid, pid);
	world_topology(r->w, commands);
	world_enter(r->w, true);
	world_topology(r->w, FAR_SIDE);
	r->peer = world_probe(r->w, "e1");
	r->wires[0] = world_probe(r->w, "q0");
	r->wires[1] = world_probe(r->w, "q1");
	world_enter(r->w, false);
	if (r->kind == OURS)
		build_ours(r);
	else
		r->skipped = r->kind == OVS ? build_ovs(r) : build_bond();
	r->near = world_probe(r->w, "v1");
}

/* A trial. */

static void guest_sends(struct rival *r, const uint8_t *dst, uint32_t number)
{
	if (r->kind == OURS)
		(void)vm_send(r->vm, dst, number, 60, -1);
	else
		probe_send(r->near, dst, guest_mac, number, 60, -1);
}

static void send_one(struct rival *r, bool inwards, uint32_t number)
{
	if (inwards)
		probe_send(r->peer, guest_mac, peer_mac, number, 60, -1);
	else
		guest_sends(r, peer_mac, number);
}

static const struct record *arrivals(const struct rival *r, bool inwards)
{
	if (!inwards)
		return &r->peer->record;
	return r->kind == OURS ? &r->vm->record : &r->near->record;
}

/* When the first frame of number 'from' or later arrived; 0: none did. */
static uint64_t first_since(const struct record *record, const uint8_t *src, uint32_t from)
{
	for (unsigned i = 0; i < record->n; i++) {
		const struct seen *f = &record->seen[i];

		if (f->ethertype == NET_TEST_TYPE && f->number >= from &&
			memcmp(f->src, src, NET_MAC_LEN) == 0)
			return f->at_ns;
	}
	return 0;
}

static void run_until(struct world *w, uint64_t end_ns)
{
	uint64_t now_ns;

	while ((now_ns = loop_now_ns(w->loop)) < end_ns)
		(void)loop_run_once(w->loop, end_ns - now_ns);
}

static void set_far_link(struct rival *r, unsigned member, bool up)
{
	world_enter(r->w, true);
	set_link(member ? "q1" : "q0", up);
	world_enter(r->w, false);
}

/* Tells the switches who is where. Answers the member that carries the guest's frames. */
static unsigned introduce(struct rival *r)
{
	unsigned member;

	forget_all(r->w);
	for (unsigned i = 0; i < 3; i++) {
		guest_sends(r, net_broadcast, i);
		probe_send(r->peer, net_broadcast, peer_mac, i, 60, -1);
		world_run_ms(r->w, 20);
	}
	member = first_since(&r->wires[1]->record, guest_mac, 2) > 0;
	forget_all(r->w);
	return member;
}

static double trial(struct rival *r, bool inwards)
{
	const uint8_t *src = inwards ? peer_mac : guest_mac;
	uint64_t start_ns, cut_ns = 0, first_ns = 0;
	unsigned member;

	world_enter(r->w, false);
	run_until(r->w, r->settled_ns);
	member = introduce(r);
	start_ns = loop_now_ns(r->w->loop);
	for (uint32_t i = 0; i < CUT_AT + GIVE_UP_MS * NSEC_PER_MSEC / PERIOD_NS && !first_ns;
		i++) {
		run_until(r->w, start_ns + i * PERIOD_NS);
		if (i == CUT_AT) {
			cut_ns = loop_now_ns(r->w->loop);
			set_far_link(r, member, false);
		}
		send_one(r, inwards, i);
		if (i > CUT_AT)
			first_ns = first_since(arrivals(r, inwards), src, CUT_AT);
	}
	set_far_link(r, member, true);
	r->settled_ns = loop_now_ns(r->w->loop) + SETTLE_MS * NSEC_PER_MSEC;
	return first_ns ? (double)(first_ns - cut_ns) / 1e6 : -1;
}

/* Of the first one's NICs that are nobody's. */
static pid_t flap(void)
{
	const struct timespec ts = {.tv_nsec = FLAP_MS * 1000000L};
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	world_enter(rivals[0].w, true);
	for (bool up = false;; up = !up) {
		set_link("f1", up);
		(void)nanosleep(&ts, NULL);
	}
}

static void run_round(bool noisy)
{
	for (unsigned inwards = 0; inwards < 2; inwards++)
		for (unsigned i = 0; i < N_RIVALS; i++) {
			struct series *s = &rivals[i].gaps[noisy][inwards];

			if (!rivals[i].skipped)
				s->ms[s->n++] = trial(&rivals[i], inwards);
		}
}

/* The table. */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	/* What never came is the longest. */
	x = x < 0 ? 1e9 : x;
	y = y < 0 ? 1e9 : y;
	return (x > y) - (x < y);
}

static void print_ms(double ms)
{
	if (ms < 0)
		printf(" > %d |", GIVE_UP_MS);
	else
		printf(" %.1f |", ms);
}

static void print_rows(struct rival *r)
{
	for (unsigned noisy = 0; noisy < 2; noisy++) {
		printf("| %s | %s |", r->name, noisy ? "flapping" : "quiet");
		for (unsigned inwards = 0; inwards < 2; inwards++) {
			struct series *s = &r->gaps[noisy][inwards];

			qsort(s->ms, s->n, sizeof(s->ms[0]), by_value);
			print_ms(s->ms[s->n / 2]);
			print_ms(s->ms[(s->n - 1) * 9 / 10]);
			print_ms(s->ms[s->n - 1]);
		}
		printf("\n");
	}
}

static void print_all(unsigned n_rounds)
{
	printf("| team or bond | host | out, ms: p50 | p90 | max | in, to a silent guest, ms: p50 "
	       "| "
	       "p90 | max |\n|---|---|---|---|---|---|---|---|\n");
	for (unsigned i = 0; i < N_RIVALS; i++)
		if (!rivals[i].skipped)
			print_rows(&rivals[i]);
	printf("\n%u trials each.\n", n_rounds);
	for (unsigned i = 0; i < N_RIVALS; i++)
		if (rivals[i].skipped)
			printf("%s was left out: %s.\n", rivals[i].name, rivals[i].skipped);
}

int main(int argc, char **argv)
{
	unsigned n_rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 11;
	pid_t flapper;

	if (argc < 2 || !n_rounds || n_rounds > MAX_ROUNDS || geteuid() != 0) {
		(void)fprintf(stderr, "usage, as root: bench-failover WORKER [ROUNDS]\n");
		return 1;
	}
	worker_path = argv[1];
	for (unsigned i = 0; i < N_RIVALS; i++)
		build(&rivals[i]);
	for (unsigned i = 0; i < N_RIVALS; i++)
		world_run_ms(rivals[i].w, SETTLE_MS / N_RIVALS);
	for (unsigned round = 0; round < n_rounds; round++)
		run_round(false);
	flapper = flap();
	for (unsigned round = 0; round < n_rounds; round++)
		run_round(true);
	(void)kill(flapper, SIGKILL);
	(void)waitpid(flapper, NULL, 0);
	print_all(n_rounds);
	for (unsigned i = 0; i < N_RIVALS; i++) {
		ovs_stop(&rivals[i].ovs);
		world_free(rivals[i].w);
	}
	return 0;
}
