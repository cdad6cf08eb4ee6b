/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ports of networks: refusals, numbers, what they resolve to, floors, mirrors, captures, addresses. */
#include "daemon/network.h"

#include "daemon/capture.h"
#include "network-fixture.h"
#include "vmm-core/base/capture-record.h"

static void test_domain_refusals(void **state)
{
	struct fixture *f = *state;
	struct domain *d = define_domain(f, "vm", "red", "", "");

	assert_int_equal(domain_start(d, 0, fixture_done, f, &f->error), -ENOENT);
	assert_string_equal(
		f->error.message, "Network not found: no network with matching name 'red'");
	(void)define(f, "red", "");
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	assert_string_equal(
		f->error.message, "Requested operation is not valid: network 'red' is not active");
	assert_false(domain_is_active(d));
	(void)running(f, "blue");
	d = define_domain(f, "vm2", "blue", "", "<mac address='52:54:00:00:00:01'/>");
	fixture_start(f, d);
	d = define_domain(f, "vm3", "blue", "", "<mac address='52:54:00:00:00:01'/>");
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	assert_non_null(strstr(
		f->error.message, "52:54:00:00:00:01 is in use on network 'blue' by domain 'vm2'"));
	assert_int_equal(network_n_ports(network_find_name(f->manager, "blue")), 1);
}

static void test_ports(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	struct domain *a = define_domain(f, "a", "red", "", "");
	struct domain *b = define_domain(f, "b", "red", "", "");
	const struct network_port *port;

	fixture_start(f, a);
	fixture_start(f, b);
	RUN_UNTIL(f, port_count(n, 1, false) == 1 && port_count(n, 2, false) == 1);
	RUN_UNTIL(f, links_of(a)->tx_packets == 1 && links_of(b)->tx_packets == 1);
	port = network_find_port(f->manager, a->uuid, 0);
	assert_int_equal(port->number, 1);
	assert_string_equal(port->ifname, "vnet0");
	assert_string_equal(network_find_port(f->manager, b->uuid, 0)->ifname, "vnet1");
	assert_ptr_equal(network_find_mac(f->manager, a->live->vm.nics[0].port.mac), port);
	fixture_wait(f, domain_destroy(a, 0, fixture_done, f, &f->error));
	RUN_UNTIL(f, port_count(n, 1, true) == 1);
	assert_null(network_find_port(f->manager, a->uuid, 0));
	assert_int_equal(network_n_ports(n), 1);
	/* The number and the name are free again. */
	fixture_start(f, a);
	assert_int_equal(network_find_port(f->manager, a->uuid, 0)->number, 1);
	/* A network that goes takes its links with it; the domains stay. */
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	RUN_UNTIL(f, links_of(b)->rx_multicast == 1);
	assert_true(domain_is_active(b));
	assert_null(network_find_port(f->manager, b->uuid, 0));
}

static void test_portgroups(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "red",
		"<portgroup name='eng' default='yes'><vlan><tag id='10'/></vlan></portgroup>"
		"<portgroup name='ops'><vlan><tag id='20'/></vlan></portgroup>");
	struct domain *d;

	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	d = define_domain(f, "a", "red", "", "");
	fixture_start(f, d);
	assert_int_equal(d->live->vm.nics[0].port.vlan.tags[0], 10);
	assert_int_equal(network_find_port(f->manager, d->uuid, 0)->config.vlan.tags[0], 10);
	d = define_domain(f, "b", "red' portgroup='ops", "", "");
	fixture_start(f, d);
	assert_int_equal(d->live->vm.nics[0].port.vlan.tags[0], 20);
	d = define_domain(f, "c", "red' portgroup='ops", "", "<vlan><tag id='30'/></vlan>");
	fixture_start(f, d);
	assert_int_equal(d->live->vm.nics[0].port.vlan.tags[0], 30);
	d = define_domain(f, "d", "red' portgroup='nosuch", "", "");
	assert_true(domain_start(d, 0, fixture_done, f, &f->error) < 0);
	assert_non_null(strstr(f->error.message, "network 'red' has no portgroup 'nosuch'"));
	/* Another daemon puts them together again. */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	d = manager_find(f->manager, "b", &f->error);
	assert_int_equal(d->live->vm.nics[0].port.vlan.tags[0], 20);
	assert_int_equal(network_find_port(f->manager, d->uuid, 0)->config.vlan.tags[0], 20);
}

/* Guests' links go down with the last uplink, also those of guests that come later, whatever is changed of them meanwhile. */
static void test_uplinks_down(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "net-uplink");
	struct domain *a = define_domain(f, "a", "net-uplink", "", "");
	struct domain *b = define_domain(f, "b", "net-uplink", "", "");
	struct domain *c = define_domain(f, "c", "net-uplink", "", "");
	struct net_port_config config;

	fixture_start(f, a);
	RUN_UNTIL(f, n->uplinks_down && links_of(a)->rx_gso == 1);
	/* The link that was asked for stays what it was. */
	config = a->live->vm.nics[0].port;
	assert_false(config.flags & NET_PORT_LINK_DOWN);
	fixture_wait(f, network_update_port(a, 0, &config, fixture_done, f, &f->error));
	RUN_UNTIL(f, links_of(a)->rx_gso == 2);
	assert_int_equal(links_of(a)->tx_gso, 1);
	assert_false(a->live->vm.nics[0].port.flags & NET_PORT_LINK_DOWN);
	fixture_start(f, b);
	RUN_UNTIL(f, links_of(b)->rx_gso == 1);
	fixture_start(f, c); /* the third port: the uplinks are up */
	RUN_UNTIL(f, !n->uplinks_down && links_of(a)->tx_gso == 2 && links_of(b)->tx_gso == 1);
	assert_int_equal(links_of(a)->rx_gso, 2);
}

#define INBOUND(x) "<bandwidth><inbound " x "/></bandwidth>"

/* Floors are within what the network has; a change of a vNIC is seen, and outlives the daemon. */
static void test_floors(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "red", INBOUND("average='1000'"));
	struct net_port_config config;
	struct domain *a, *b;
	char *xml = NULL;

	(void)running(f, "blue");
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	a = define_domain(
		f, "none", "blue", "", "<mac address='52:54:00:00:00:09'/>" INBOUND("floor='1'"));
	assert_int_equal(domain_start(a, 0, fixture_done, f, &f->error), -EOPNOTSUPP);
	assert_string_equal(f->error.message,
		"unsupported configuration: Invalid use of 'floor' on interface with MAC address "
		"52:54:00:00:00:09 - network 'blue' has no inbound QoS set");
	a = define_domain(
		f, "a", "red", "", "<mac address='52:54:00:00:00:01'/>" INBOUND("floor='600'"));
	fixture_start(f, a);
	b = define_domain(
		f, "b", "red", "", "<mac address='52:54:00:00:00:02'/>" INBOUND("floor='401'"));
	assert_int_equal(domain_start(b, 0, fixture_done, f, &f->error), -ENOTCONN);
	assert_non_null(strstr(f->error.message,
		"Cannot plug '52:54:00:00:00:02' interface into '' because it would overcommit "
		"'inbound average' on network 'red'"));
	/* Less for the one: the other fits. */
	config = a->live->vm.nics[0].port;
	config.bandwidth.in.floor = 599;
	config.bandwidth.out.average = 77;
	fixture_wait(f, network_update_port(a, 0, &config, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	fixture_start(f, b);
	config.bandwidth.in.floor = 600;
	assert_int_equal(network_update_port(a, 0, &config, fixture_done, f, &f->error), -ENOTCONN);
	assert_int_equal(a->live->vm.nics[0].port.bandwidth.in.floor, 599);
	assert_int_equal(network_find_port(f->manager, a->uuid, 0)->config.bandwidth.in.floor, 599);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	a = manager_find(f->manager, "a", &f->error);
	assert_int_equal(a->live->vm.nics[0].port.bandwidth.out.average, 77);
	assert_int_equal(domain_format_xml(a, false, &xml, &f->error), 0);
	assert_non_null(strstr(xml, "floor='599'"));
	free(xml);
}

/* Mirrors begin when the second of their ports comes, whichever that is; what is mirrored has no direct links. */
static void test_mirrors(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "net-pair",
		"<v:switch xmlns:v='urn:vmmd:network:1'><v:mirror from='a/net0' dir='out' "
		"to='ids/net0'/>"
		"<v:mirror from='b/net0' to='ids/net0'/><v:mirror from='ids/net0' to='ids/net0'/>"
		"</v:switch>");
	struct domain *a = define_domain(f, "a", "net-pair", "", "");
	struct domain *b = define_domain(f, "b", "net-pair", "", "");
	struct domain *ids = define_domain(f, "ids", "net-pair", "", "<vlan><tag id='7'/></vlan>");
	const struct net_port_counters *ports;

	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	fixture_start(f, a);
	fixture_start(f, ids);
	fixture_start(f, b);
	RUN_UNTIL(f, port_count(n, 3, false) == 1 && links_of(b)->tx_packets == 1);
	ports = stats_view_network(n->stats)->ports;
	assert_int_equal(ports[1].tx_gso, 0);
	assert_int_equal(ports[2].tx_gso, 1);
	assert_int_equal(ports[2].rx_gso, 100 + 20 + 2);
	assert_int_equal(ports[3].tx_gso, 1);
	assert_int_equal(ports[3].rx_gso, 300 + 20 + 3);
	/* The target is one, sees all, and every VLAN; the others are as they were. */
	assert_int_equal(ports[1].rx_multicast, 0);
	assert_int_equal(ports[2].rx_multicast, 1);
	assert_int_equal(ids->live->vm.nics[0].port.vlan.mode, NET_VLAN_ANY);
	assert_true(ids->live->vm.nics[0].port.flags & NET_PORT_PROMISCUOUS);
	assert_false(a->live->vm.nics[0].port.flags & NET_PORT_MIRROR);
	/* The worker has told of a pair three times by now. */
	for (unsigned i = 0; i < 5; i++)
		assert_true(sd_event_run(f->event, 20000) >= 0);
	assert_int_equal(links_of(a)->rx_packets + links_of(b)->rx_packets, 0);
	assert_true(list_empty(&f->manager->directs));
}

static void on_capture_begun(
	void *userdata, struct capture *capture, int fd, const struct error *error)
{
	(void)capture;
	fixture_done_fd(userdata, fd, error);
}

static const struct capture_ops capture_ops = {.begun = on_capture_begun};

static int open_capture(struct fixture *f, struct worker *worker, const char *whose,
	const struct proto_capture *what)
{
	return capture_open(worker, whose, what, &capture_ops, f, NULL, &f->error);
}

static void test_captures(void **state)
{
	const struct proto_capture what = {3, CAPTURE_IN, 100};
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	struct domain *d = define_domain(f, "a", "red", "fake=no-capture", "");
	struct proto_capture bad = what, said;
	unsigned n_done;

	fixture_start(f, d);
	fixture_wait(f, open_capture(f, n->worker, "network 'red'", &what));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_int_equal(read(f->done_fd, &said, sizeof(said)), sizeof(said));
	assert_memory_equal(&said, &what, sizeof(said));
	/* The end is the worker's to say, though the daemon has a copy. */
	assert_int_equal(read(f->done_fd, &said, sizeof(said)), 0);
	fixture_wait(f, open_capture(f, d->worker, "domain 'a'", &what));
	assert_string_equal(f->done_error.message,
		"resource busy: domain 'a' has as many captures there as it may: end another one");
	assert_int_equal(f->done_fd, -EBADF);
	bad.direction = 4;
	assert_int_equal(open_capture(f, n->worker, "x", &bad), -EINVAL);
	assert_non_null(strstr(f->error.message, "direction 4: write 1 (in), 2 (out) or 3 (both)"));
	bad = what;
	bad.snaplen = CAPTURE_SNAPLEN_MAX + 1;
	assert_int_equal(open_capture(f, n->worker, "x", &bad), -EINVAL);
	assert_non_null(strstr(f->error.message, "snaplen 262145: write 1 to 262144"));
	assert_true(open_capture(f, NULL, "x", &what) < 0);
	/* A worker that dies before it answers. */
	assert_int_equal(open_capture(f, n->worker, "network 'red'", &what), 0);
	n_done = f->n_done;
	worker_kill(n->worker);
	RUN_UNTIL(f, f->n_done > n_done);
}

static void test_addresses(void **state)
{
	struct fixture *f = *state;
	struct network *n =
		define(f, "net-address", "<ip address='10.9.0.1' netmask='255.255.255.0'/>");
	const struct network_port *port;
	struct domain *a;

	/* Its address would be the host's, which needs rights: what is kept of it is what counts here. */
	n->config->n_ips = 0;
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	a = define_domain(f, "a", "net-address", "", "");
	fixture_start(f, a);
	port = network_find_port(f->manager, a->uuid, 0);
	RUN_UNTIL(f,
		port->n_ips == NETWORK_PORT_IPS && port->ips[NETWORK_PORT_IPS - 1].bytes[3] == 20);
	/* The last 16, the newest last. */
	for (unsigned i = 0; i < NETWORK_PORT_IPS; i++)
		assert_int_equal(port->ips[i].bytes[3], 5 + i);
	assert_int_equal(network_prefix_of(n, &port->ips[0]), 0);
	n->config->n_ips = 1;
	assert_int_equal(network_prefix_of(n, &port->ips[0]), 24);
}

/* Where addresses were announced, their owners are asked to say more; of what moves without, they hear nothing. */
static void test_guests_announce(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	struct domain *a = define_domain(f, "a", "red", "", "");
	struct domain *b = define_domain(f, "b", "red", "", "");
	struct net_team_report report = {.number = 1,
		.detected_ns = 2000,
		.switched_ns = 5000,
		.from = 0,
		.to = 1,
		.cause = TEAM_CAUSE_LACP,
		.detector = TEAM_BY_LACP};

	fixture_start(f, a);
	fixture_start(f, b);
	RUN_UNTIL(f, links_of(a)->tx_packets == 1 && links_of(b)->tx_packets == 1);
	n->n_members = 2;
	assert_true(network_team_reported(n, &report));
	report.number = 2;
	report.cause = TEAM_CAUSE_LINK;
	report.detector = TEAM_BY_POLL;
	report.macs_announced = 2;
	assert_true(network_team_reported(n, &report));
	RUN_UNTIL(f, links_of(a)->tx_dropped == 1 && links_of(b)->tx_dropped == 1);
	/* It was told before. */
	assert_true(network_team_reported(n, &report));
	report.number = 3;
	assert_true(network_team_reported(n, &report));
	RUN_UNTIL(f, links_of(a)->tx_dropped == 2 && links_of(b)->tx_dropped == 2);
	n->n_members = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_domain_refusals),
		TEST(test_ports),
		TEST(test_portgroups),
		TEST(test_uplinks_down),
		TEST(test_guests_announce),
		TEST(test_floors),
		TEST(test_mirrors),
		TEST(test_captures),
		TEST(test_addresses),
	};

	log_init("test", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
