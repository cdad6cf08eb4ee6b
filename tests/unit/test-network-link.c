/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Direct links between domains: brokered, given up, and found again by another daemon. */
#include "daemon/network.h"

#include "config/net-addr.h"
#include "network-fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_direct_links),
		TEST(test_direct_refused),
		TEST(test_isolated_have_none),
		TEST(test_direct_links_end_with_the_daemon),
	};

	log_init("test", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
