/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of networks in the daemon share: definitions, domains with a vNIC, and what the workers count, which are
 * tests/fakes/fake-worker.h's. */
#pragma once

#include "daemon-fixture.h"
#include "daemon/network.h"
#include "daemon/stats-view.h"

static inline const char *net_xml(const char *name, const char *extra)
{
	static char xml[1024];

	(void)snprintf(xml, sizeof(xml), "<network><name>%s</name>%s</network>", name, extra);
	return xml;
}

static inline struct network *define(struct fixture *f, const char *name, const char *extra)
{
	struct network *n = NULL;

	if (network_define(f->manager, net_xml(name, extra), "net.xml", 0, &n, NULL, &f->error) < 0)
		fail_msg("%s", f->error.message);
	return n;
}

static inline struct network *running(struct fixture *f, const char *name)
{
	struct network *n = define(f, name, "");

	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	if (f->done_error.code)
		fail_msg("%s", f->done_error.message);
	return n;
}

/* A domain with one vNIC on 'network'. */
static inline struct domain *define_domain(struct fixture *f, const char *name, const char *network,
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

static inline uint64_t port_count(struct network *n, unsigned port, bool removed)
{
	const struct net_port_counters *c;

	if (!n->stats)
		return 0;
	c = &stats_view_network(n->stats)->ports[port];
	return atomic_load(removed ? &c->rx_packets : &c->tx_packets);
}

static inline const struct net_port_counters *links_of(const struct domain *d)
{
	static const struct net_port_counters none;

	return d->stats ? &stats_view_page(d->stats)->nics[0] : &none;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
