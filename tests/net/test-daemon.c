/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon with the shipped worker. Uplinks, in its jail and with a veth pair as NIC: a network starts on one, sees it go,
 * and takes the next one of that name. Direct links, with domains that are tests/net/nic-worker.c: they outlive a daemon that is
 * killed, and no frame is lost or overtaken.
 *
 *	test-daemon WORKER NIC-WORKER
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "config/network-update.h"
#include "daemon/host-exclusive.h"
#include "daemon/network-internal.h"
#include "daemon/stats-view.h"
#include "tests/net/networker.h"
#include "tests/unit/daemon-fixture.h"

#define NIC2 "link add name p1 type veth peer name q1\nlink set p1 up\nlink set q1 up\n"
#define NIC  "link add name p0 type veth peer name q0\nlink set p0 up\nlink set q0 up\n"

/* With the shipped worker in its jail. */
static void use_worker(struct fixture *f)
{
	free(f->manager->worker_path);
	f->manager->worker_path = strdup(worker_path);
	f->manager->options.no_jail = false;
	f->manager->options.start_flags = START_FLAGS;
}

static int setup(void **state)
{
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(fixture_setup(state), 0);
	use_worker(*state);
	return 0;
}

static void test_uplink(void **state)
{
	struct fixture *f = *state;
	struct network *n = NULL;

	assert_true(try_ip(NIC));
	if (network_define(f->manager,
		    "<network><name>red</name><forward mode='bridge'><interface dev='p0'/>"
		    "</forward></network>",
		    "red.xml", 0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	if (f->done_error.code)
		fail_msg("%s", f->done_error.message);
	RUN_UNTIL(f, n->uplinks_known && !n->uplinks_down);
	assert_true(try_ip("link set q0 down\n"));
	RUN_UNTIL(f, n->uplinks_down);
	assert_true(fixture_saw(f, "network link red Down uplink=p0"));
	assert_true(try_ip("link set q0 up\n"));
	RUN_UNTIL(f, !n->uplinks_down);
	assert_true(try_ip("link del p0\n"));
	RUN_UNTIL(f, n->uplinks_down && n->uplinks_gone == 1);
	assert_true(fixture_saw(f, "network link red Up uplink=p0"));
	assert_true(fixture_saw(f, "network link red Gone uplink=p0"));
	assert_true(try_ip(NIC));
	RUN_UNTIL(f, !n->uplinks_down && n->uplinks_gone == 0);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	/* Without it there is no start. */
	assert_true(try_ip("link del p0\n"));
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_non_null(strstr(f->done_error.message, "the host has no network interface 'p0'"));
}

/* Reports outlive the daemon, and the next one goes on with their numbers. */
static void test_reports(void **state)
{
	struct fixture *f = *state;
	const struct network_report *r;
	struct network *n = NULL;
	int64_t detected_usec;
	uint64_t number;

	assert_true(try_ip(NIC "link add name p1 type veth peer name q1\nlink set p1 up\n"
			       "link set q1 up\n"));
	if (network_define(f->manager,
		    "<network><name>red</name><forward mode='bridge'><interface dev='p0'/>"
		    "<interface dev='p1'/></forward>"
		    "<t:team xmlns:t='urn:vmmd:network:1' policy='explicit'/></network>",
		    "red.xml", 0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	RUN_UNTIL(f, n->team && n->team->known && n->team->state.n_active);
	number = n->team->n_reports;
	assert_true(try_ip("link set q0 down\n"));
	RUN_UNTIL(f, n->team->n_reports > number);
	number = n->team->n_reports;
	r = network_team_report(n, number);
	assert_string_equal(r->from, "p0");
	assert_string_equal(r->to, "p1");
	detected_usec = r->detected_usec;
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	use_worker(f);
	n = network_find_name(f->manager, "red");
	RUN_UNTIL(f, n->worker && worker_is_connected(n->worker) && n->team && n->team->known);
	RUN_UNTIL(f, n->team->n_reports >= number);
	assert_int_equal(n->team->n_reports, number);
	r = network_team_report(n, number);
	assert_string_equal(r->from, "p0");
	assert_string_equal(r->to, "p1");
	/* Read from the file, or told again by the worker and reckoned anew. */
	assert_true(llabs(r->detected_usec - detected_usec) < 1000000);
	assert_true(try_ip("link set q1 down\n"));
	RUN_UNTIL(f, n->team->n_reports > number);
	r = network_team_report(n, number + 1);
	assert_int_equal(r->number, number + 1);
	assert_string_equal(r->from, "p1");
}

#define TAP "tuntap add dev t0 mode tap\nlink set t0 up\n"

static struct network *define_on(struct fixture *f, const char *dev, const char *more)
{
	struct network *n = NULL;
	char xml[512];

	(void)snprintf(xml, sizeof(xml),
		"<network><name>red</name><forward mode='bridge'><interface dev='%s'/></forward>%s"
		"</network>",
		dev, more);
	if (network_define(f->manager, xml, "red.xml", 0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	return n;
}

/* A tap of somebody else's as the uplink: the host is what is at its other end. */
static void test_tap(void **state)
{
	struct fixture *f = *state;
	struct network *n = define_on(f, "t0", "");

	assert_true(try_ip(TAP));
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	if (f->done_error.code)
		fail_msg("%s", f->done_error.message);
	RUN_UNTIL(f, n->uplinks_known && !n->uplinks_down);
	/* It has its carrier by the worker, and without it none. */
	assert_true(try_ip("link set t0 down\n"));
	RUN_UNTIL(f, n->uplinks_down && !n->uplinks_gone);
	assert_true(try_ip("link set t0 up\n"));
	RUN_UNTIL(f, !n->uplinks_down);
	assert_true(try_ip("link del t0\n"));
	RUN_UNTIL(f, n->uplinks_down && n->uplinks_gone == 1);
	assert_true(try_ip(TAP));
	RUN_UNTIL(f, !n->uplinks_down && n->uplinks_gone == 0);
	/* A worker that dies lets go of it; the next one has it. */
	(void)kill(worker_pid(n->worker), SIGKILL);
	RUN_UNTIL(f, n->phase != NETWORK_ACTIVE);
	RUN_UNTIL(f, n->phase == NETWORK_ACTIVE && n->uplinks_known && !n->uplinks_down);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_int_equal(network_undefine(n, &f->error), 0);
	n = define_on(f, "t0", "<t:team xmlns:t='urn:vmmd:network:1' exclusive='yes'/>");
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_non_null(strstr(f->done_error.message, "'t0' is a tap"));
	assert_true(try_ip("link del t0\n"));
}

/* A macvtap that has its NIC alone: exclusive without a filter, and its link is the NIC's. */
static void test_macvtap(void **state)
{
	struct fixture *f = *state;
	struct network *n =
		define_on(f, "m0", "<t:team xmlns:t='urn:vmmd:network:1' exclusive='yes'/>");

	if (!try_ip(NIC "link add link p0 name m0 type macvtap mode passthru\nlink set m0 up\n"))
		skip();
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	if (f->done_error.code)
		fail_msg("%s", f->done_error.message);
	RUN_UNTIL(f, n->uplinks_known && !n->uplinks_down);
	assert_true(try_ip("link set q0 down\n"));
	RUN_UNTIL(f, n->uplinks_down && !n->uplinks_gone);
	assert_true(try_ip("link set q0 up\n"));
	RUN_UNTIL(f, !n->uplinks_down);
	/* Its device says nothing of its end. */
	assert_true(try_ip("link del m0\n"));
	RUN_UNTIL(f, n->uplinks_down && n->uplinks_gone == 1);
	assert_true(
		try_ip("link add link p0 name m0 type macvtap mode passthru\nlink set m0 up\n"));
	RUN_UNTIL(f, !n->uplinks_down && n->uplinks_gone == 0);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_true(try_ip("link del p0\n"));
}

static int update_uplink(struct fixture *f, struct network *n, unsigned command, const char *dev)
{
	char xml[64];
	struct network_update update = {.command = command,
		.section = NETWORK_SECTION_FORWARD_INTERFACE,
		.parent_index = -1,
		.xml = xml,
		.source = "update.xml"};

	(void)snprintf(xml, sizeof(xml), "<interface dev='%s'/>", dev);
	update.len = strlen(xml);
	return network_update_section(
		n, &update, NETWORK_UPDATE_LIVE | NETWORK_UPDATE_CONFIG, &f->error);
}

static bool has_link(const struct network *n, const char *dev)
{
	int i = network_uplink_number(n, dev);

	return i >= 0 && n->team && n->team->known && (unsigned)i < n->team->state.n_members &&
		n->team->state.members[i].flags & NET_TEAM_LINK;
}

/* net-update: uplinks come and go while the network runs, and whoever looks after it knows which are which. */
static void test_update(void **state)
{
	struct fixture *f = *state;
	struct network *n = define_on(f, "p0", "");
	pid_t worker;

	assert_true(try_ip(NIC NIC2));
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	RUN_UNTIL(f, has_link(n, "p0"));
	worker = worker_pid(n->worker);
	assert_true(update_uplink(f, n, NETWORK_UPDATE_ADD_LAST, "nosuch") < 0);
	assert_non_null(strstr(f->error.message, "the host has no network interface 'nosuch'"));
	assert_int_equal(n->config->net.n_uplinks, 1);
	assert_int_equal(update_uplink(f, n, NETWORK_UPDATE_ADD_FIRST, "p1"), 0);
	RUN_UNTIL(f, has_link(n, "p1"));
	assert_true(update_uplink(f, n, NETWORK_UPDATE_ADD_LAST, "p1") < 0);
	assert_int_equal(n->config->net.n_uplinks, 2);
	assert_non_null(strstr(n->xml, "<interface dev='p1'/>"));
	/* It fails and comes back as the others do. */
	assert_true(try_ip("link del p1\n"));
	RUN_UNTIL(f, n->uplinks_gone == 2);
	assert_true(try_ip(NIC2));
	RUN_UNTIL(f, n->uplinks_gone == 0 && has_link(n, "p1"));
	assert_int_equal(update_uplink(f, n, NETWORK_UPDATE_DELETE, "p0"), 0);
	RUN_UNTIL(f, n->team->state.members[0].state == TEAM_MEMBER_ABSENT);
	assert_int_equal(n->uplinks_gone, 0);
	assert_false(n->uplinks_down);
	assert_true(update_uplink(f, n, NETWORK_UPDATE_DELETE, "p1") < 0); /* the last */
	/* Another daemon. */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	use_worker(f);
	n = network_find_name(f->manager, "red");
	RUN_UNTIL(f, n->worker && worker_is_connected(n->worker) && has_link(n, "p1"));
	assert_int_equal(worker_pid(n->worker), worker);
	assert_int_equal(network_uplink_number(n, "p0"), -ENOENT);
	assert_int_equal(network_uplink_number(n, "p1"), 1);
	/* Another worker has the one uplink that there is. */
	(void)kill(worker, SIGKILL);
	RUN_UNTIL(f, n->phase != NETWORK_ACTIVE);
	RUN_UNTIL(f, n->phase == NETWORK_ACTIVE && has_link(n, "p1"));
	assert_int_equal(network_uplink_number(n, "p1"), 0);
	assert_int_equal(update_uplink(f, n, NETWORK_UPDATE_ADD_LAST, "p0"), 0);
	RUN_UNTIL(f, has_link(n, "p0"));
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_true(try_ip("link del p0\nlink del p1\n"));
}

static bool host_is_kept_out_of(const char *dev)
{
	char command[128];

	(void)snprintf(
		command, sizeof(command), "tc filter show dev %s ingress | grep -q vmmd:red", dev);
	return system(command) == 0;
}

static bool host_is_kept_out(void)
{
	return host_is_kept_out_of("p0");
}

/* A NIC that the host uses is not taken from it; one that was is given back, by whichever daemon. */
static void test_exclusive(void **state)
{
	struct fixture *f = *state;
	struct network *n = NULL;

	assert_true(try_ip(NIC "address add 192.0.2.1/24 dev p0\n"));
	if (network_define(f->manager,
		    "<network><name>red</name><forward mode='bridge'><interface dev='p0'/>"
		    "</forward><t:team xmlns:t='urn:vmmd:network:1' exclusive='yes'/></network>",
		    "red.xml", 0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_non_null(strstr(
		f->done_error.message, "the host uses 'p0': it has the address 192.0.2.1/24"));
	assert_false(host_is_kept_out());
	assert_true(try_ip("address flush dev p0\n"));
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	if (f->done_error.code)
		fail_msg("%s", f->done_error.message);
	assert_true(host_is_kept_out());
	f->manager = manager_free(f->manager);
	assert_true(host_is_kept_out());
	fixture_open_manager(f);
	use_worker(f);
	n = network_find_name(f->manager, "red");
	assert_non_null(n);
	RUN_UNTIL(f, n->worker && worker_is_connected(n->worker));
	assert_true(host_is_kept_out());
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_false(host_is_kept_out());
	/* As a daemon leaves it that is killed within a start. */
	assert_int_equal(host_exclusive_begin("p0", "red", &f->error), 0);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	assert_false(host_is_kept_out());
}

#define UPLINK_XML "<interface dev='p1'/>"

/* A NIC that comes in the end not to be an uplink is the host's as before. */
static void test_exclusive_refused(void **state)
{
	struct fixture *f = *state;
	struct network_update update = {.command = NETWORK_UPDATE_ADD_LAST,
		.section = NETWORK_SECTION_FORWARD_INTERFACE,
		.parent_index = -1,
		.xml = UPLINK_XML,
		.len = sizeof(UPLINK_XML) - 1,
		.source = "update.xml"};
	struct network *n;

	assert_true(try_ip(NIC NIC2));
	n = define_on(f, "p0", "<t:team xmlns:t='urn:vmmd:network:1' exclusive='yes'/>");
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_true(host_is_kept_out());
	/* The definition has it already. */
	assert_int_equal(network_update_section(n, &update, NETWORK_UPDATE_CONFIG, &f->error), 0);
	assert_true(network_update_section(n, &update, NETWORK_UPDATE_LIVE | NETWORK_UPDATE_CONFIG,
			    &f->error) < 0);
	assert_int_equal(n->config->net.n_uplinks, 1);
	assert_false(host_is_kept_out_of("p1"));
	assert_int_equal(network_update_section(n, &update, NETWORK_UPDATE_LIVE, &f->error), 0);
	assert_true(host_is_kept_out_of("p1"));
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_true(try_ip("link del p0\nlink del p1\n"));
}

/* A network that was given no name for its interface shows the one that was chosen, as long as it runs. */
static void test_bridge_name(void **state)
{
	struct fixture *f = *state;
	struct network *n = NULL;
	char *xml = NULL;

	assert_true(try_ip("link set lo up\n"));
	if (network_define(f->manager,
		    "<network><name>red</name><ip address='10.9.0.1' netmask='255.255.255.0'/>"
		    "<dns enable='no'/></network>",
		    "red.xml", 0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	assert_string_equal(network_bridge(n), "");
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	if (f->done_error.code)
		fail_msg("%s", f->done_error.message);
	assert_string_equal(network_bridge(n), "vmmd0");
	assert_int_equal(network_format_xml(n, false, &xml, &f->error), 0);
	assert_non_null(strstr(xml, "<bridge name='vmmd0'"));
	free(xml);
	assert_int_equal(network_format_xml(n, true, &xml, &f->error), 0);
	assert_null(strstr(xml, "vmmd0"));
	free(xml);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_string_equal(network_bridge(n), "");
}

/* Direct links. */

static const char *nic_worker_path;

static struct domain *partner(struct fixture *f, unsigned i)
{
	return manager_find(f->manager, i ? "b" : "a", &f->error);
}

static const struct net_port_counters *counts(struct fixture *f, unsigned i)
{
	const struct domain *d = partner(f, i);

	return &stats_view_page(d->stats)->nics[0];
}

/* Frames that both were given. */
static uint64_t received(struct fixture *f)
{
	return MIN(counts(f, 0)->rx_packets, counts(f, 1)->rx_packets);
}

static uint64_t by_star(struct fixture *f)
{
	const struct net_stats_page *stats =
		stats_view_network(network_find_name(f->manager, "red")->stats);

	return stats->ports[1].rx_packets + stats->ports[2].rx_packets;
}

static void receive_more(struct fixture *f)
{
	uint64_t until = received(f) + 1000;

	RUN_UNTIL(f, received(f) >= until);
}

static void wait_for_direct(struct fixture *f)
{
	uint64_t before;

	do {
		before = by_star(f);
		receive_more(f);
	} while (by_star(f) != before);
}

static void start_partners(struct fixture *f)
{
	struct network *n = NULL;

	assert_int_equal(network_define(f->manager, "<network><name>red</name></network>",
				 "red.xml", 0, &n, NULL, &f->error),
		0);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	for (unsigned i = 0; i < 2; i++) {
		char nic[160];

		(void)snprintf(nic, sizeof(nic),
			"<interface type='network'><source network='red'/>"
			"<mac address='52:54:00:00:00:0%u'/></interface>",
			i + 1);
		f->devices = nic;
		fixture_start(f, fixture_define(f, i ? "b" : "a", "", ""));
	}
	f->devices = NULL;
}

static void open_daemon(struct fixture *f)
{
	fixture_open_manager(f);
	free(f->manager->worker_path);
	f->manager->worker_path = strdup(nic_worker_path);
	f->manager->options.start_flags = START_FLAGS;
}

/* A daemon of its own, which says how many frames went by the star when none does any more. */
static void run_daemon(struct fixture *f, int report_fd)
{
	uint64_t n;

	if (sd_event_new(&f->event) < 0)
		_exit(1);
	open_daemon(f);
	start_partners(f);
	wait_for_direct(f);
	n = by_star(f);
	(void)!write(report_fd, &n, sizeof(n));
	for (;;)
		(void)sd_event_run(f->event, UINT64_MAX);
}

static void test_daemon_killed(void **state)
{
	struct fixture *f = *state;
	uint64_t star;
	int report[2];
	pid_t pid;

	f->manager = manager_free(f->manager);
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		run_daemon(f, report[1]);
		_exit(1);
	}
	(void)close(report[1]);
	assert_int_equal(read(report[0], &star, sizeof(star)), sizeof(star));
	(void)close(report[0]);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	open_daemon(f);
	for (unsigned i = 0; i < 2; i++)
		RUN_UNTIL(f,
			worker_is_connected(partner(f, i)->worker) && !partner(f, i)->links_asked);
	receive_more(f);
	assert_false(list_empty(&f->manager->directs));
	assert_true(by_star(f) == star);
	/* It is the new daemon's to end, and to make anew. */
	network_drop_directs(network_find_port(f->manager, partner(f, 0)->uuid, 0));
	RUN_UNTIL(f, by_star(f) > star + 100);
	wait_for_direct(f);
	assert_false(list_empty(&f->manager->directs));
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(counts(f, i)->rx_gso, 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_uplink, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_reports, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_tap, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_macvtap, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_update, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_exclusive, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_exclusive_refused, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_bridge_name, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_daemon_killed, setup, fixture_teardown),
	};

	if (argc != 3)
		return 2;
	worker_path = argv[1];
	nic_worker_path = argv[2];
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || !try_ip(NIC)) {
		printf("skipped: no network namespace with veth to be had here: %s\n",
			geteuid() ? "not root" : strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
