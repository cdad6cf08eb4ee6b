/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks in the daemon: definitions, the worker's life, ports and links, with a worker that only counts
 * (tests/fakes/fake-worker.c says what). */
#include "daemon/network.h"

#include <signal.h>

#include "config/net-addr.h"
#include "config/network-update.h"
#include "daemon-fixture.h"
#include "daemon/capture.h"
#include "daemon/stats-view.h"
#include "vmm-core/base/capture-record.h"

#define DIE_FILE "/tmp/fake-worker-net-die"

static const char *net_xml(const char *name, const char *extra)
{
	static char xml[1024];

	(void)snprintf(xml, sizeof(xml), "<network><name>%s</name>%s</network>", name, extra);
	return xml;
}

static struct network *define(struct fixture *f, const char *name, const char *extra)
{
	struct network *n = NULL;

	if (network_define(f->manager, net_xml(name, extra), "net.xml", 0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	return n;
}

static struct network *running(struct fixture *f, const char *name)
{
	struct network *n = define(f, name, "");

	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	if (f->done_error.code)
		fail_msg("%s", f->done_error.message);
	return n;
}

/* A domain with one vNIC on 'network'. */
static struct domain *define_domain(struct fixture *f, const char *name, const char *network,
	const char *cmdline, const char *nic)
{
	struct domain *d = NULL;
	char xml[2048];

	(void)snprintf(xml, sizeof(xml),
		"<domain type='kvm'><name>%s</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
		"<os><type arch='x86_64' machine='q35'>hvm</type><kernel>%s</kernel>"
		"<cmdline>%s</cmdline></os><devices><interface type='network'><source "
		"network='%s'/>%s</interface></devices></domain>",
		name, f->kernel, cmdline, network, nic);
	if (manager_define(f->manager, xml, "test.xml", 0, &d, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	return d;
}

static uint64_t port_count(struct network *n, unsigned port, bool removed)
{
	const struct net_port_counters *c;

	if (!n->stats)
		return 0;
	c = &stats_view_network(n->stats)->ports[port];
	return atomic_load(removed ? &c->rx_packets : &c->tx_packets);
}

static const struct net_port_counters *links_of(const struct domain *d)
{
	static const struct net_port_counters none;

	return d->stats ? &stats_view_page(d->stats)->nics[0] : &none;
}

static void test_definitions(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "red", ""), *other;
	char uuid[UUID_STRING_LEN + 1], extra[96], want[160];

	uuid_format(n->uuid, uuid);
	assert_ptr_equal(network_find(f->manager, "red", &f->error), n);
	assert_ptr_equal(network_find(f->manager, uuid, &f->error), n);
	assert_null(network_find(f->manager, "blue", &f->error));
	assert_string_equal(
		f->error.message, "Network not found: no network with matching name 'blue'");
	assert_int_equal(f->error.code, ERROR_NO_NETWORK);
	/* The name under another UUID, the UUID under another name. */
	assert_int_equal(
		network_define(f->manager,
			net_xml("red", "<uuid>11111111-1111-1111-1111-111111111111</uuid>"), "x", 0,
			&other, NULL, &f->error),
		-EEXIST);
	(void)snprintf(want, sizeof(want),
		"operation failed: network 'red' already exists with uuid %s", uuid);
	assert_string_equal(f->error.message, want);
	(void)snprintf(extra, sizeof(extra), "<uuid>%s</uuid>", uuid);
	assert_int_equal(
		network_define(f->manager, net_xml("blue", extra), "x", 0, &other, NULL, &f->error),
		-EEXIST);
	assert_true(network_define(f->manager, "<network/>", "x", 0, &other, NULL, &f->error) < 0);
	assert_int_equal(f->manager->n_networks, 1);
	assert_int_equal(network_set_autostart(n, true, &f->error), 0);
	/* All of it survives the daemon. */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	n = network_find(f->manager, "red", &f->error);
	assert_non_null(n);
	assert_true(n->autostart);
	assert_false(network_is_active(n));
	assert_int_equal(network_undefine(n, &f->error), 0);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	assert_int_equal(f->manager->n_networks, 0);
}

static void test_start_and_destroy(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");

	assert_true(network_is_active(n));
	assert_true(fixture_saw(f, "network lifecycle red Started"));
	assert_int_equal(network_start(n, fixture_done, f, &f->error), -ENOTCONN);
	assert_string_equal(
		f->error.message, "Requested operation is not valid: network is already active");
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_false(network_is_active(n));
	assert_true(fixture_saw(f, "network lifecycle red Stopped"));
	assert_int_equal(network_destroy(n, fixture_done, f, &f->error), -ENOTCONN);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_true(network_is_active(n));
}

static void test_start_fails(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "net-fail", "");

	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_non_null(strstr(f->done_error.message, "the switch: Cannot allocate memory"));
	assert_false(network_is_active(n));
	assert_false(fixture_saw(f, "network lifecycle net-fail Started"));
}

static void test_transient(void **state)
{
	struct fixture *f = *state;
	struct network *n = NULL;

	fixture_wait(f,
		network_create(f->manager, net_xml("t", ""), "t.xml", 0, fixture_done, f, &n, NULL,
			&f->error));
	assert_false(network_is_persistent(n));
	assert_int_equal(network_undefine(n, &f->error), -ENOTCONN);
	assert_int_equal(network_set_autostart(n, true, &f->error), -ENOTCONN);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_int_equal(f->manager->n_networks, 0);
	/* Undefined while it runs: transient from then. */
	n = running(f, "p");
	assert_int_equal(network_undefine(n, &f->error), 0);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_int_equal(f->manager->n_networks, 0);
}

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

/* The network's worker dies: another comes, and every port is linked anew. */
static void test_worker_dies(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	struct domain *a = define_domain(f, "a", "red", "", "");
	pid_t before = worker_pid(n->worker);

	fixture_start(f, a);
	RUN_UNTIL(f, links_of(a)->tx_packets == 1);
	assert_int_equal(kill(before, SIGKILL), 0);
	RUN_UNTIL(f, n->phase == NETWORK_ACTIVE && worker_pid(n->worker) != before);
	RUN_UNTIL(f, links_of(a)->tx_packets == 2 && port_count(n, 1, false) == 1);
	assert_true(domain_is_active(a));
	assert_false(fixture_saw(f, "network lifecycle red Stopped"));
	/* Not for ever. */
	for (unsigned i = 0; i < NETWORK_RESTART_BURST - 1; i++) {
		before = worker_pid(n->worker);
		assert_int_equal(kill(before, SIGKILL), 0);
		RUN_UNTIL(f, n->phase == NETWORK_ACTIVE && worker_pid(n->worker) != before);
	}
	assert_int_equal(kill(worker_pid(n->worker), SIGKILL), 0);
	RUN_UNTIL(f, fixture_saw(f, "network lifecycle red Stopped"));
	assert_false(network_is_active(n));
	assert_true(domain_is_active(a));
}

static void test_dies_between_ports(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "net-die");
	struct domain *a = define_domain(f, "a", "net-die", "", "");
	struct domain *b = define_domain(f, "b", "net-die", "", "");

	fclose(fopen(DIE_FILE, "w"));
	fixture_start(f, a);
	fixture_start(f, b);
	RUN_UNTIL(f, access(DIE_FILE, F_OK) < 0);
	RUN_UNTIL(f,
		n->phase == NETWORK_ACTIVE && port_count(n, 1, false) == 1 &&
			port_count(n, 2, false) == 1);
	RUN_UNTIL(f, links_of(a)->tx_packets == 2);
}

/* Whoever watches heard that the link of this domain's NIC has another state. */
static bool saw_link(struct fixture *f, const struct domain *d, const char *state)
{
	char uuid[UUID_STRING_LEN + 1], mac[NET_MAC_STRING_SIZE], event[192];

	uuid_format(d->uuid, uuid);
	net_mac_format(d->live->vm.nics[0].port.mac, mac);
	snprintf(event, sizeof(event), "network link net-pair %s domain=%s mac=%s", state, uuid,
		mac);
	return fixture_saw(f, event);
}

static void test_direct_links(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "net-pair");
	struct domain *a = define_domain(f, "a", "net-pair", "", "");
	struct domain *b = define_domain(f, "b", "net-pair", "", "");
	struct net_port_config config;

	fixture_start(f, a);
	fixture_start(f, b);
	/* Both have it before either uses it. */
	RUN_UNTIL(f, links_of(a)->tx_bytes == 1 && links_of(b)->tx_bytes == 1);
	assert_int_equal(links_of(a)->rx_packets, 1);
	assert_int_equal(links_of(b)->rx_packets, 1);
	/* Another configuration: the peers must not go on with the old one. It comes again, since the worker says so. */
	config = a->live->vm.nics[0].port;
	config.flags |= NET_PORT_LINK_DOWN;
	fixture_wait(f, network_update_port(a, 0, &config, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	RUN_UNTIL(f, links_of(b)->rx_multicast == 1 && links_of(b)->rx_bytes == 1);
	assert_true(a->live->vm.nics[0].port.flags & NET_PORT_LINK_DOWN);
	assert_true(saw_link(f, a, "Down"));
	RUN_UNTIL(f, stats_view_network(n->stats)->ports[1].tx_bytes == 1);
	/* A domain that ends takes its direct links with it. */
	fixture_wait(f, domain_destroy(b, 0, fixture_done, f, &f->error));
	RUN_UNTIL(f, links_of(a)->rx_multicast >= 1);
}

static void test_direct_refused(void **state)
{
	struct fixture *f = *state;
	(void)running(f, "net-pair");
	struct domain *a = define_domain(f, "a", "net-pair", "", "");
	struct domain *b = define_domain(f, "b", "net-pair", "fake=refuse-direct", "");

	fixture_start(f, a);
	fixture_start(f, b);
	/* One end does not take it: the other gives it up, and nobody used it. */
	RUN_UNTIL(f, links_of(a)->rx_multicast >= 1);
	assert_int_equal(links_of(a)->tx_bytes, 0);
	RUN_UNTIL(f, list_empty(&f->manager->directs));
}

static void test_isolated_have_none(void **state)
{
	struct fixture *f = *state;
	(void)running(f, "net-pair");
	struct domain *a = define_domain(f, "a", "net-pair", "", "<port isolated='yes'/>");
	struct domain *b = define_domain(f, "b", "net-pair", "", "<port isolated='yes'/>");

	fixture_start(f, a);
	fixture_start(f, b);
	RUN_UNTIL(f, links_of(b)->tx_packets == 1);
	for (unsigned i = 0; i < 5; i++)
		assert_true(sd_event_run(f->event, 20000) >= 0);
	assert_int_equal(links_of(a)->rx_packets + links_of(b)->rx_packets, 0);
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

static void test_captures(void **state)
{
	const struct proto_capture what = {3, CAPTURE_IN, 100};
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	struct domain *d = define_domain(f, "a", "red", "fake=no-capture", "");
	struct proto_capture bad = what, said;
	unsigned n_done;

	fixture_start(f, d);
	fixture_wait(
		f, capture_open(n->worker, "network 'red'", &what, fixture_done_fd, f, &f->error));
	assert_int_equal(f->done_error.code, ERROR_NONE);
	assert_int_equal(read(f->done_fd, &said, sizeof(said)), sizeof(said));
	assert_memory_equal(&said, &what, sizeof(said));
	/* Both ends were the worker's and ours alone. */
	assert_int_equal(read(f->done_fd, &said, sizeof(said)), 0);
	fixture_wait(
		f, capture_open(d->worker, "domain 'a'", &what, fixture_done_fd, f, &f->error));
	assert_string_equal(f->done_error.message,
		"resource busy: domain 'a' has as many captures there as it may: end another one");
	assert_int_equal(f->done_fd, -EBADF);
	bad.direction = 4;
	assert_int_equal(
		capture_open(n->worker, "x", &bad, fixture_done_fd, f, &f->error), -EINVAL);
	assert_non_null(strstr(f->error.message, "direction 4: write 1 (in), 2 (out) or 3 (both)"));
	bad = what;
	bad.snaplen = CAPTURE_SNAPLEN_MAX + 1;
	assert_int_equal(
		capture_open(n->worker, "x", &bad, fixture_done_fd, f, &f->error), -EINVAL);
	assert_non_null(strstr(f->error.message, "snaplen 262145: write 1 to 262144"));
	assert_true(capture_open(NULL, "x", &what, fixture_done_fd, f, &f->error) < 0);
	/* A worker that dies before it answers. */
	assert_int_equal(
		capture_open(n->worker, "network 'red'", &what, fixture_done_fd, f, &f->error), 0);
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

/* The daemon goes and comes: networks and ports are as they were; what ended meanwhile is given back. */
static void test_adoption(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	struct domain *a = define_domain(f, "a", "red", "", "");
	struct domain *b = define_domain(f, "b", "red", "", "");
	pid_t worker = worker_pid(n->worker), dying;
	uint8_t uuid[16];

	fixture_start(f, a);
	fixture_start(f, b);
	RUN_UNTIL(f, links_of(a)->tx_packets == 1 && links_of(b)->tx_packets == 1);
	memcpy(uuid, a->uuid, 16);
	dying = worker_pid(b->worker);
	f->manager = manager_free(f->manager);
	assert_int_equal(kill(dying, SIGKILL), 0);
	assert_int_equal(waitpid(dying, NULL, 0), dying);
	fixture_open_manager(f);
	n = network_find(f->manager, "red", &f->error);
	assert_true(network_is_active(n));
	assert_int_equal(worker_pid(n->worker), worker);
	RUN_UNTIL(f, port_count(n, 2, true) == 1);
	assert_int_equal(network_n_ports(n), 1);
	assert_non_null(network_find_port(f->manager, uuid, 0));
	/* And it goes on working. */
	b = manager_find(f->manager, "b", &f->error);
	fixture_start(f, b);
	RUN_UNTIL(f, port_count(n, 2, false) == 2);
}

/* A new daemon does not know the direct links that are there, so they end: first nobody sends, then they go. */
static void test_direct_links_end_with_the_daemon(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "net-pair");
	struct domain *a = define_domain(f, "a", "net-pair", "", "");
	struct domain *b = define_domain(f, "b", "net-pair", "", "");

	(void)n;
	fixture_start(f, a);
	fixture_start(f, b);
	RUN_UNTIL(f, links_of(a)->tx_bytes == 1 && links_of(b)->tx_bytes == 1);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	a = manager_find(f->manager, "a", &f->error);
	b = manager_find(f->manager, "b", &f->error);
	RUN_UNTIL(f, links_of(a)->rx_multicast == 1 && links_of(b)->rx_multicast == 1);
	assert_int_equal(links_of(a)->rx_bytes, 1);
	assert_int_equal(links_of(b)->rx_bytes, 1);
}

static void test_died_with_the_daemon(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	struct domain *a = define_domain(f, "a", "red", "", "");
	pid_t worker = worker_pid(n->worker);

	fixture_start(f, a);
	RUN_UNTIL(f, links_of(a)->tx_packets == 1);
	f->manager = manager_free(f->manager);
	assert_int_equal(kill(worker, SIGKILL), 0);
	assert_int_equal(waitpid(worker, NULL, 0), worker);
	fixture_open_manager(f);
	n = network_find(f->manager, "red", &f->error);
	a = manager_find(f->manager, "a", &f->error);
	RUN_UNTIL(f, n->phase == NETWORK_ACTIVE && links_of(a)->tx_packets == 2);
}

static void test_redefined_while_active(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	char uuid[UUID_STRING_LEN + 1], extra[128], *xml;

	uuid_format(n->uuid, uuid);
	(void)snprintf(extra, sizeof(extra), "<uuid>%s</uuid><mtu size='9000'/>", uuid);
	assert_ptr_equal(define(f, "red", extra), n);
	assert_int_equal(network_format_xml(n, false, &xml, &f->error), 0);
	assert_null(strstr(xml, "9000"));
	free(xml);
	assert_int_equal(network_format_xml(n, true, &xml, &f->error), 0);
	assert_non_null(strstr(xml, "9000"));
	free(xml);
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_int_equal(network_format_xml(n, false, &xml, &f->error), 0);
	assert_non_null(strstr(xml, "9000"));
	free(xml);
}

static int update(
	struct fixture *f, struct network *n, unsigned section, const char *xml, unsigned flags)
{
	const struct network_update u = {
		NETWORK_UPDATE_ADD_LAST, section, -1, xml, strlen(xml), "u"};

	return network_update_section(n, &u, flags, &f->error);
}

static bool has(const struct network *n, bool inactive, const char *part)
{
	struct error e = {0};
	char *xml = NULL;
	bool found;

	assert_int_equal(network_format_xml(n, inactive, &xml, &e), 0);
	found = strstr(xml, part);
	free(xml);
	return found;
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

#define GROUP(name) "<portgroup name='" name "'/>"

static void test_update(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "red", "");
	unsigned section = NETWORK_SECTION_PORTGROUP;

	assert_int_equal(update(f, n, section, GROUP("a"), NETWORK_UPDATE_LIVE), -ENOTCONN);
	assert_string_equal(
		f->error.message, "Requested operation is not valid: network is not running");
	/* Inactive: "current" is the definition. */
	assert_int_equal(update(f, n, section, GROUP("a"), 0), 0);
	assert_true(has(n, true, "name='a'") && has(n, false, "name='a'"));
	assert_true(fixture_saw(f, "network lifecycle red Changed"));
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	/* Active: what runs, the definition, or both. */
	assert_int_equal(update(f, n, section, GROUP("live"), 0), 0);
	assert_true(has(n, false, "'live'") && !has(n, true, "'live'"));
	assert_int_equal(update(f, n, section, GROUP("kept"), NETWORK_UPDATE_CONFIG), 0);
	assert_true(!has(n, false, "'kept'") && has(n, true, "'kept'"));
	/* Both or none: it is there in one of them. */
	assert_int_equal(
		update(f, n, section, GROUP("kept"), NETWORK_UPDATE_LIVE | NETWORK_UPDATE_CONFIG),
		-ENOTCONN);
	assert_false(has(n, false, "'kept'"));
	assert_int_equal(
		update(f, n, section, GROUP("b"), NETWORK_UPDATE_LIVE | NETWORK_UPDATE_CONFIG), 0);
	assert_true(has(n, false, "'b'") && has(n, true, "'b'"));
	/* Both survive the daemon. */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	n = network_find(f->manager, "red", &f->error);
	RUN_UNTIL(f, n->worker && worker_is_connected(n->worker));
	assert_true(has(n, false, "'live'") && !has(n, true, "'live'"));
	assert_true(!has(n, false, "'kept'") && has(n, true, "'kept'"));
	/* A domain can have it at once. */
	fixture_start(f, define_domain(f, "vm", "red", "", "<mac address='52:54:00:00:00:01'/>"));
	fixture_wait(f, network_destroy(n, fixture_done, f, &f->error));
	assert_true(has(n, false, "'kept'") && !has(n, false, "'live'"));
}

static int fail_rename(void *opaque, enum store_step step)
{
	(void)opaque;
	return step == STORE_STEP_RENAME ? -ENOSPC : 0;
}

static void test_update_refused(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red"), *t = NULL;
	unsigned both = NETWORK_UPDATE_LIVE | NETWORK_UPDATE_CONFIG;

	assert_int_equal(
		update(f, n, NETWORK_SECTION_FORWARD_INTERFACE, "<interface dev='eth1'/>", 0),
		-ENOTSUP);
	assert_string_equal(f->error.message,
		"Operation not supported: network 'red' keeps the uplinks that it was started "
		"with; "
		"write --config, and start it anew");
	assert_int_equal(update(f, n, NETWORK_SECTION_BRIDGE, "<bridge name='x'/>", 0), -ENOSYS);
	assert_string_equal(f->error.message,
		"this function is not supported by the connection driver: can't update 'bridge' "
		"section of network 'red'");
	assert_int_equal(f->error.code, ERROR_NO_SUPPORT);
	assert_int_equal(update(f, n, NETWORK_SECTION_PORTGROUP, "<portgroup/>", 0), -EBADMSG);
	assert_int_equal(f->error.code, ERROR_XML_ERROR);
	/* The disk is full: what runs goes back. */
	f->manager->store->fault = fail_rename;
	assert_int_equal(update(f, n, NETWORK_SECTION_PORTGROUP, GROUP("a"), both), -ENOSPC);
	f->manager->store->fault = NULL;
	assert_false(has(n, false, "'a'") || has(n, true, "'a'"));
	fixture_wait(f,
		network_create(f->manager, net_xml("t", ""), "t.xml", 0, fixture_done, f, &t, NULL,
			&f->error));
	assert_int_equal(update(f, t, NETWORK_SECTION_PORTGROUP, GROUP("a"), both), -ENOTCONN);
	assert_string_equal(f->error.message,
		"Requested operation is not valid: cannot change persistent config of a transient "
		"network");
	assert_int_equal(update(f, t, NETWORK_SECTION_PORTGROUP, GROUP("a"), 0), 0);
	assert_true(has(t, false, "'a'"));
}

#define DEFAULT_XML TESTS_SOURCE_DIR "/daemon/default-network.xml"

static void reopen(struct fixture *f)
{
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	network_define_default(f->manager, DEFAULT_XML);
}

static void test_default_network(void **state)
{
	struct fixture *f = *state;
	const struct network_config *c;
	struct network *n;

	/* A package without it, then one with it. */
	network_define_default(f->manager, "/nonexistent/default.xml");
	assert_int_equal(f->manager->n_networks, 0);
	network_define_default(f->manager, DEFAULT_XML);
	n = network_find(f->manager, "default", &f->error);
	assert_non_null(n);
	assert_true(n->autostart && network_is_persistent(n));
	c = n->config;
	assert_int_equal(c->forward, NETWORK_NAT);
	assert_string_equal(c->bridge, "virbr0");
	assert_int_equal(c->n_ips, 1);
	assert_memory_equal(c->ips[0].ip.bytes, "\xc0\xa8\x7a\x01", 4);
	assert_int_equal(c->ips[0].ip.prefix, 24);
	assert_int_equal(c->ips[0].ranges[0].start.bytes[3], 2);
	assert_int_equal(c->ips[0].ranges[0].end.bytes[3], 254);
	reopen(f);
	assert_int_equal(f->manager->n_networks, 1);
	n = network_find(f->manager, "default", &f->error);
	assert_true(n && n->autostart);
	/* Whoever removes it does not get it back. */
	assert_int_equal(network_undefine(n, &f->error), 0);
	reopen(f);
	assert_int_equal(f->manager->n_networks, 0);
}

static void test_no_default_beside_others(void **state)
{
	struct fixture *f = *state;
	struct network *n = define(f, "red", "");

	reopen(f);
	assert_int_equal(f->manager->n_networks, 1);
	n = network_find(f->manager, "red", &f->error);
	assert_false(n->autostart);
	assert_int_equal(network_undefine(n, &f->error), 0);
	reopen(f);
	assert_int_equal(f->manager->n_networks, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_definitions),
		TEST(test_floors),
		TEST(test_update),
		TEST(test_update_refused),
		TEST(test_default_network),
		TEST(test_no_default_beside_others),
		TEST(test_start_and_destroy),
		TEST(test_start_fails),
		TEST(test_transient),
		TEST(test_domain_refusals),
		TEST(test_ports),
		TEST(test_portgroups),
		TEST(test_uplinks_down),
		TEST(test_worker_dies),
		TEST(test_dies_between_ports),
		TEST(test_direct_links),
		TEST(test_direct_refused),
		TEST(test_isolated_have_none),
		TEST(test_mirrors),
		TEST(test_captures),
		TEST(test_addresses),
		TEST(test_adoption),
		TEST(test_direct_links_end_with_the_daemon),
		TEST(test_died_with_the_daemon),
		TEST(test_redefined_while_active),
	};

	log_init("test", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
