/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interfaces attached to a domain and detached from it: what changes where, what a failure leaves, and what another daemon
 * finds. The worker is tests/fakes/fake-worker.h. */
#include "daemon/domain-internal.h"

#include <signal.h>

#include "config/net-addr.h"
#include "daemon-fixture.h"
#include "daemon/stats-view.h"

#define BOTH (DOMAIN_AFFECT_LIVE | DOMAIN_AFFECT_CONFIG)

static struct network *start_network(struct fixture *f, const char *name, const char *extra)
{
	struct network *n = NULL;
	char xml[512];

	(void)snprintf(xml, sizeof(xml), "<network><name>%s</name>%s</network>", name, extra);
	if (network_define(f->manager, xml, "net.xml", 0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	assert_int_equal(f->done_error.code, 0);
	return n;
}

#define NIC(rest) "<interface type='network'><source network='red'/>" rest "</interface>"
#define MAC(last) "<mac address='52:54:00:00:00:" last "'/>"

/* A domain that runs with one interface, on network 'red', and told 'cmdline'. */
static struct domain *start_domain(struct fixture *f, const char *name, const char *cmdline)
{
	struct domain *d;

	f->devices = NIC("");
	d = fixture_define(f, name, cmdline, "<features><acpi/></features>");
	f->devices = NULL;
	fixture_start(f, d);
	return d;
}

static int attach(struct fixture *f, struct domain *d, const char *xml, unsigned flags)
{
	f->error = (struct error){0};
	return domain_attach_device(d, xml, "nic.xml", flags, fixture_done, f, NULL, &f->error);
}

static void attach_ok(struct fixture *f, struct domain *d, const char *xml, unsigned flags)
{
	unsigned n = f->n_done;
	int r = attach(f, d, xml, flags);

	if (r < 0)
		fail_msg("%s", f->error.message);
	if (r == 0)
		RUN_UNTIL(f, f->n_done > n);
	if (r == 0 && f->done_error.code)
		fail_msg("%s", f->done_error.message);
}

static bool gone;

static void on_detached(void *userdata, bool is_gone, const struct error *error)
{
	gone = is_gone;
	fixture_done(userdata, error);
}

static int detach(struct fixture *f, struct domain *d, const char *xml, unsigned flags)
{
	f->error = (struct error){0};
	gone = false;
	return domain_detach_device(d, xml, "nic.xml", flags, on_detached, f, &f->error);
}

static void detach_ok(struct fixture *f, struct domain *d, const char *xml, unsigned flags)
{
	unsigned n = f->n_done;
	int r = detach(f, d, xml, flags);

	if (r < 0)
		fail_msg("%s", f->error.message);
	if (r == 0)
		RUN_UNTIL(f, f->n_done > n);
	if (r == 0 && f->done_error.code)
		fail_msg("%s", f->done_error.message);
}

static bool has(const struct domain *d, bool inactive, const char *text)
{
	_cleanup_(freep) char *xml = NULL;

	assert_int_equal(domain_format_xml(d, inactive, &xml, NULL), 0);
	return strstr(xml, text);
}

static uint64_t count(_Atomic uint64_t *const counter)
{
	return atomic_load(counter);
}

static struct net_port_counters *nic_stats(const struct domain *d, unsigned number)
{
	return (struct net_port_counters *)(uintptr_t)&stats_view_page(d->stats)->nics[number];
}

static void reopen(struct fixture *f)
{
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
}

static void type_line(struct fixture *f, struct domain *d, const char *line)
{
	fixture_wait(f,
		domain_open_console(
			d, "serial0", DOMAIN_CONSOLE_FORCE, fixture_done_fd, f, &f->error));
	assert_true(f->done_fd >= 0);
	assert_int_equal(write(f->done_fd, line, strlen(line)), (ssize_t)strlen(line));
}

static void test_live(void **state)
{
	struct fixture *f = *state;
	struct network *n = start_network(f, "red", "");
	struct domain *d = start_domain(f, "a", "");
	const struct network_port *port;

	attach_ok(f, d, NIC(MAC("01")), DOMAIN_AFFECT_LIVE);
	assert_int_equal(d->live->vm.n_nics, 2);
	assert_int_equal(d->live->nics[1].number, 1);
	assert_true(has(d, false, "52:54:00:00:00:01") && has(d, false, "<alias name='net1'/>"));
	assert_false(has(d, true, "52:54:00:00:00:01"));
	assert_true(fixture_saw(f, "device-added a  net1"));
	port = network_find_port(f->manager, d->uuid, 1);
	assert_non_null(port);
	assert_true(port->linked);
	assert_int_equal(network_n_ports(n), 2);
	RUN_UNTIL(f, count(&nic_stats(d, 1)->tx_packets) == 1); /* its star */
	/* The first goes: the second keeps its number, and all that hangs on it. */
	detach_ok(
		f, d, "<interface type='network'><address type='pci' slot='0x01'/></interface>", 0);
	assert_true(gone);
	assert_true(fixture_saw(f, "device-removed a  net0"));
	assert_int_equal(d->live->vm.n_nics, 1);
	assert_int_equal(domain_nic_index(d, 1), 0);
	assert_int_equal(domain_nic_index(d, 0), -ENOENT);
	assert_true(has(d, false, "<alias name='net1'/>"));
	assert_null(network_find_port(f->manager, d->uuid, 0));
	assert_ptr_equal(network_find_port(f->manager, d->uuid, 1), port);
	assert_int_equal(network_n_ports(n), 1);
	fixture_wait(f,
		network_update_port(d, 1,
			&(struct net_port_config){
				.mac = {0x52, 0x54, 0, 0, 0, 1}, .flags = NET_PORT_LINK_DOWN},
			fixture_done, f, &f->error));
	assert_true(d->live->vm.nics[0].port.flags & NET_PORT_LINK_DOWN);
	RUN_UNTIL(f, count(&nic_stats(d, 1)->rx_gso) == 1);
	/* The next one gets the free number. */
	attach_ok(f, d, NIC(MAC("02")), 0);
	assert_int_equal(d->live->nics[1].number, 0);
	assert_true(d->live->vm.nics[0].port.flags & NET_PORT_LINK_DOWN);
	assert_false(d->live->vm.nics[1].port.flags & NET_PORT_LINK_DOWN);
	/* What is in the definition is as before, and what starts next is that. */
	assert_int_equal(d->definition->n_nics, 1);
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	assert_int_equal(network_n_ports(n), 0);
	fixture_start(f, d);
	assert_int_equal(d->live->vm.n_nics, 1);
}

/* An interface without an address gets one that nobody has, and the same in both. */
static void test_both(void **state)
{
	struct fixture *f = *state;
	struct domain *d, *idle;
	char mac[NET_MAC_STRING_SIZE], want[96];
	uint8_t taken[NET_MAC_LEN];

	(void)start_network(f, "red", "");
	d = start_domain(f, "a", "");
	/* The addresses that would come next are another's: one in a definition, in capitals. */
	net_mac_derive(d->uuid, 1, taken);
	(void)snprintf(want, sizeof(want), NIC("<mac address='%02X:%02X:%02X:%02X:%02X:%02X'/>"),
		taken[0], taken[1], taken[2], taken[3], taken[4], taken[5]);
	f->devices = want;
	idle = fixture_define(f, "b", "", "");
	f->devices = NULL;
	attach_ok(f, d, NIC(""), BOTH);
	assert_memory_not_equal(d->live->vm.nics[1].port.mac, taken, NET_MAC_LEN);
	assert_memory_not_equal(
		d->live->vm.nics[1].port.mac, d->live->vm.nics[0].port.mac, NET_MAC_LEN);
	net_mac_format(d->live->vm.nics[1].port.mac, mac);
	assert_memory_equal(mac, "52:54:00", 8);
	assert_true(has(d, false, mac) && has(d, true, mac));
	/* The same place, so that the guest calls it the same after it was started anew. */
	(void)snprintf(want, sizeof(want), "slot='0x%02x'", d->live->vm.nics[1].pci.slot);
	assert_true(has(d, false, want) && has(d, true, want));
	/* Durable. */
	reopen(f);
	d = manager_find_name(f->manager, "a");
	idle = manager_find_name(f->manager, "b");
	assert_true(has(d, true, mac));
	RUN_UNTIL(f, d->worker && worker_is_connected(d->worker));
	(void)snprintf(want, sizeof(want),
		"<interface type='network'><mac address='%s'/></interface>", mac);
	detach_ok(f, d, want, BOTH);
	assert_true(gone);
	assert_false(has(d, false, mac) || has(d, true, mac));
	assert_int_equal(d->definition->n_nics, 1);
	/* Inactive: the definition, whether it is said or not. */
	attach_ok(f, idle, NIC(MAC("07")), 0);
	assert_true(has(idle, true, "52:54:00:00:00:07"));
	detach_ok(f, idle, NIC(MAC("07")), DOMAIN_AFFECT_CONFIG);
	assert_false(has(idle, true, "52:54:00:00:00:07"));
}

static void expect(struct fixture *f, int r, enum error_code code, const char *part)
{
	assert_true(r < 0);
	assert_int_equal(f->error.code, code);
	if (!strstr(f->error.message, part))
		fail_msg("'%s' is not in: %s", part, f->error.message);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	struct network *n = start_network(f, "red", "");
	struct domain *d = start_domain(f, "a", ""), *other = start_domain(f, "b", ""), *idle,
		      *born;
	_cleanup_(freep) char *before = NULL, *after = NULL;
	unsigned n_fds;

	idle = fixture_define(f, "c", "", "");
	if (manager_create(f->manager, fixture_xml(f, "d", "", ""), "x", 0, 0, fixture_done, f,
		    &born, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	RUN_UNTIL(f, born->phase == DOMAIN_ACTIVE);
	assert_int_equal(domain_format_xml(d, false, &before, NULL), 0);
	n_fds = fixture_count_fds();
	expect(f, attach(f, idle, NIC(""), DOMAIN_AFFECT_LIVE), ERROR_OPERATION_INVALID,
		"domain is not running");
	expect(f, detach(f, idle, NIC(""), BOTH), ERROR_OPERATION_INVALID, "domain is not running");
	expect(f, attach(f, born, NIC(""), BOTH), ERROR_OPERATION_INVALID,
		"transient domains do not have any persistent config");
	expect(f, attach(f, d, "<disk type='file'/>", 0), ERROR_CONFIG_UNSUPPORTED,
		"nic.xml:1: <disk>: only an <interface> or a <memory>");
	expect(f, detach(f, d, "<rng/>", 0), ERROR_CONFIG_UNSUPPORTED,
		"<rng>: only an <interface> or a <memory>");
	expect(f, attach(f, d, "<interface type='network'>", 0), ERROR_XML_ERROR, "nic.xml:1");
	expect(f, attach(f, d, "<interface type='network'/>", 0), ERROR_XML_ERROR,
		"interface/source/@network");
	expect(f, attach(f, d, NIC("<mac address='1'/>"), BOTH), ERROR_XML_ERROR,
		"interface/mac/@address");
	expect(f, attach(f, d, NIC("<model type='e1000'/>"), 0), ERROR_CONFIG_UNSUPPORTED,
		"there is no such card");
	expect(f, attach(f, d, "<interface type='network'><source network='blue'/></interface>", 0),
		ERROR_NO_NETWORK, "'blue'");
	expect(f, attach(f, d, "<interface type='bridge'><source bridge='nosuch'/></interface>", 0),
		ERROR_OPERATION_FAILED, "nosuch");
	expect(f, attach(f, d, NIC("<address type='pci' slot='0x01'/>"), 0), ERROR_XML_ERROR,
		"0x01");
	/* An address that another domain uses there. */
	{
		char mac[NET_MAC_STRING_SIZE], xml[256];

		net_mac_format(other->live->vm.nics[0].port.mac, mac);
		(void)snprintf(xml, sizeof(xml), NIC("<mac address='%s'/>"), mac);
		expect(f, attach(f, d, xml, 0), ERROR_OPERATION_FAILED, "by domain 'b'");
	}
	expect(f, detach(f, d, NIC(MAC("99")), 0), ERROR_NO_DEVICE,
		"no device matching MAC address 52:54:00:00:00:99 found");
	/* In the one, but not in the other: neither changes. */
	attach_ok(f, d, NIC(MAC("01")), DOMAIN_AFFECT_CONFIG);
	expect(f, detach(f, d, NIC(MAC("01")), BOTH), ERROR_NO_DEVICE, "00:01");
	expect(f, detach(f, d, NIC(MAC("01")), DOMAIN_AFFECT_LIVE), ERROR_NO_DEVICE, "00:01");
	assert_true(has(d, true, "52:54:00:00:00:01"));
	assert_int_equal(domain_format_xml(d, false, &after, NULL), 0);
	assert_string_equal(before, after);
	assert_int_equal(network_n_ports(n), 2);
	assert_int_equal(fixture_count_fds(), n_fds);
}

/* As many as there can be, and one more. */
static void test_limit(void **state)
{
	struct fixture *f = *state;
	struct domain *d;

	(void)start_network(f, "red", "");
	d = start_domain(f, "a", "");
	for (unsigned i = 1; i < VM_MAX_NICS; i++)
		attach_ok(f, d, NIC(""), BOTH);
	assert_int_equal(d->live->vm.n_nics, VM_MAX_NICS);
	expect(f, attach(f, d, NIC(""), 0), ERROR_XML_ERROR, "too many; write at most 16");
}

/* The worker does not take it: everything is as it was, also in the store. */
static void test_worker_refuses(void **state)
{
	struct fixture *f = *state;
	struct network *n = start_network(f, "red", "");
	struct domain *d = start_domain(f, "a", "fake=refuse-nics");
	_cleanup_(freep) char *before = NULL, *after = NULL;
	unsigned n_fds;

	assert_int_equal(domain_format_xml(d, false, &before, NULL), 0);
	n_fds = fixture_count_fds();
	fixture_wait(f, attach(f, d, NIC(MAC("01")), BOTH));
	assert_int_equal(f->done_error.code, ERROR_OPERATION_FAILED);
	assert_non_null(strstr(f->done_error.message, "told to refuse"));
	assert_int_equal(domain_format_xml(d, false, &after, NULL), 0);
	assert_string_equal(before, after);
	assert_int_equal(network_n_ports(n), 1);
	assert_int_equal(d->nics_plugging, 0);
	assert_false(has(d, true, "52:54:00:00:00:01"));
	assert_int_equal(fixture_count_fds(), n_fds);
	assert_false(
		fixture_saw(f, "device-added a  net1") || fixture_saw(f, "device-removed a  net1"));
	reopen(f);
	d = manager_find_name(f->manager, "a");
	assert_false(has(d, true, "52:54:00:00:00:01") || has(d, false, "52:54:00:00:00:01"));
}

static void test_worker_dies(void **state)
{
	struct fixture *f = *state;
	struct network *n = start_network(f, "red", "");
	struct domain *d = start_domain(f, "a", "fake=nics-crash");

	fixture_wait(f, attach(f, d, NIC(MAC("01")), BOTH));
	assert_int_equal(f->done_error.code, ERROR_OPERATION_FAILED);
	assert_non_null(strstr(f->done_error.message, "ended before the interface was attached"));
	RUN_UNTIL(f, !domain_is_active(d));
	assert_int_equal(network_n_ports(n), 0);
	assert_false(has(d, true, "52:54:00:00:00:01"));
	assert_int_equal(d->nics_plugging, 0);
}

/* While one comes it cannot be asked to go; a change of the definition meanwhile is not undone. */
static void test_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct domain *d;
	unsigned n;

	(void)start_network(f, "red", "");
	d = start_domain(f, "a", "fake=refuse-nics");
	n = f->n_done;
	assert_int_equal(attach(f, d, NIC(MAC("01")), BOTH), 0);
	expect(f, detach(f, d, NIC(MAC("01")), DOMAIN_AFFECT_LIVE), ERROR_RESOURCE_BUSY,
		"just being attached");
	attach_ok(f, d, NIC(MAC("02")), DOMAIN_AFFECT_CONFIG);
	RUN_UNTIL(f, f->n_done > n);
	assert_int_equal(f->done_error.code, ERROR_OPERATION_FAILED);
	assert_true(has(d, true, "52:54:00:00:00:02"));
	assert_false(has(d, false, "52:54:00:00:00:01"));
}

/* Neither is one that happens to lie where the one with the attached interface lay: an allocator may do that, here it is done by hand. */
static void test_same_address(void **state)
{
	struct fixture *f = *state;
	struct domain *d;
	const char *mac;
	unsigned n;

	(void)start_network(f, "red", "");
	d = start_domain(f, "a", "fake=refuse-nics");
	n = f->n_done;
	assert_int_equal(attach(f, d, NIC(MAC("01")), BOTH), 0);
	mac = strstr(d->definition->xml, "52:54:00:00:00:01");
	assert_non_null(mac);
	memcpy((void *)(uintptr_t)mac, "52:54:00:00:00:02", strlen("52:54:00:00:00:02"));
	RUN_UNTIL(f, f->n_done > n);
	assert_int_equal(f->done_error.code, ERROR_OPERATION_FAILED);
	assert_true(has(d, true, "52:54:00:00:00:02"));
}

/* A guest that does not let go: the answer comes all the same, and the interface goes when it does. */
static void test_guest_keeps_it(void **state)
{
	struct fixture *f = *state;
	struct network *n = start_network(f, "red", "");
	struct domain *d = start_domain(f, "a", "fake=keep-nics");

	attach_ok(f, d, NIC(MAC("01")), BOTH);
	detach_ok(f, d, NIC(MAC("01")), BOTH);
	assert_false(gone);
	assert_true(has(d, false, "52:54:00:00:00:01"));
	assert_false(has(d, true, "52:54:00:00:00:01"));
	assert_int_equal(network_n_ports(n), 2);
	assert_true(list_empty(&d->detaches));
	type_line(f, d, "release\n");
	RUN_UNTIL(f, fixture_saw(f, "device-removed a  net1"));
	assert_false(has(d, false, "52:54:00:00:00:01"));
	assert_int_equal(network_n_ports(n), 1);
	/* Two who wait, and a domain that ends: both are told. */
	attach_ok(f, d, NIC(MAC("03")), 0);
	assert_int_equal(detach(f, d, NIC(MAC("03")), 0), 0);
	assert_int_equal(detach(f, d, NIC(MAC("03")), 0), 0);
	{
		unsigned done = f->n_done;

		worker_kill(d->worker);
		RUN_UNTIL(f, f->n_done == done + 2);
		assert_non_null(strstr(f->done_error.message, "ended before"));
	}
	RUN_UNTIL(f, !domain_is_active(d));
	assert_true(list_empty(&d->detaches));
}

/* A daemon that comes later knows which numbers the interfaces have, what hangs on them, and what went meanwhile. */
static void test_another_daemon(void **state)
{
	struct fixture *f = *state;
	const struct network_port *port;
	struct network *n;
	struct domain *d;
	int fd;

	n = start_network(f, "red", "<portgroup name='p'><vlan><tag id='7'/></vlan></portgroup>");
	d = start_domain(f, "a", "");
	attach_ok(f, d, NIC(MAC("01")), 0);
	attach_ok(f, d,
		"<interface type='network'><source network='red' portgroup='p'/>" MAC(
			"02") "</interface>",
		0);
	detach_ok(f, d, NIC(MAC("01")), 0);
	reopen(f);
	d = manager_find_name(f->manager, "a");
	n = network_find_name(f->manager, "red");
	RUN_UNTIL(f, d->worker && worker_is_connected(d->worker) && worker_is_connected(n->worker));
	assert_int_equal(d->live->vm.n_nics, 2);
	assert_int_equal(d->live->nics[0].number, 0);
	assert_int_equal(d->live->nics[1].number, 2);
	assert_true(has(d, false, "<alias name='net2'/>"));
	port = network_find_port(f->manager, d->uuid, 2);
	assert_non_null(port);
	/* What its group says is in force for the next change, too. */
	assert_int_equal(port->config.vlan.n_tags, 1);
	assert_int_equal(d->live->vm.nics[1].port.vlan.n_tags, 1);
	attach_ok(f, d, NIC(MAC("03")), 0);
	assert_int_equal(d->live->nics[2].number, 1);
	assert_int_equal(network_n_ports(n), 3);
	/* The guest lets go of two while no daemon is there. */
	fixture_wait(f, domain_destroy(d, 0, fixture_done, f, &f->error));
	d = start_domain(f, "b", "fake=keep-nics");
	attach_ok(f, d, NIC(MAC("04")), 0);
	assert_int_equal(detach(f, d, NIC(MAC("04")), 0), 0);
	type_line(f, d, "rele"); /* after it, so that the worker has been asked by now */
	fd = TAKE_FD(f->done_fd);
	f->manager = manager_free(f->manager);
	assert_int_equal(write(fd, "ase\n", 4), 4);
	(void)close(fd);
	fixture_open_manager(f);
	d = manager_find_name(f->manager, "b");
	n = network_find_name(f->manager, "red");
	RUN_UNTIL(f, d->live->vm.n_nics == 1);
	assert_int_equal(network_n_ports(n), 1);
	assert_true(fixture_saw(f, "device-removed b  net1"));
	assert_false(has(d, false, "52:54:00:00:00:04"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_live),
		TEST(test_both),
		TEST(test_refusals),
		TEST(test_limit),
		TEST(test_worker_refuses),
		TEST(test_worker_dies),
		TEST(test_meanwhile),
		TEST(test_same_address),
		TEST(test_guest_keeps_it),
		TEST(test_another_daemon),
	};

	(void)signal(SIGPIPE, SIG_IGN);
	log_init("test", LOG_CRIT, false);
	return cmocka_run_group_tests_name("domain-plug", tests, NULL, NULL);
}
