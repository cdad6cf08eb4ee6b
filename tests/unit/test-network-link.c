/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Direct links between domains: brokered, given up, and found again by another daemon. */
#include "daemon/network-internal.h"

#include <signal.h>
#include <sys/wait.h>

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

/* Two domains with a link of their own, and then another daemon. */
static void pair_and_reopen(
	struct fixture *f, const char *a, const char *b, void (*between)(struct fixture *f))
{
	struct domain *first, *second;

	(void)running(f, "net-pair");
	first = define_domain(f, "a", "net-pair", a, "");
	second = define_domain(f, "b", "net-pair", b, "");
	fixture_start(f, first);
	fixture_start(f, second);
	RUN_UNTIL(f, links_of(first)->tx_bytes == 1 && links_of(second)->tx_bytes == 1);
	if (between)
		between(f);
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
}

static struct domain *find(struct fixture *f, const char *name)
{
	return manager_find(f->manager, name, &f->error);
}

static bool has_told(struct fixture *f, const char *name)
{
	const struct domain *d = find(f, name);

	return d->worker && worker_is_connected(d->worker) && !d->links_asked;
}

static unsigned n_directs(struct fixture *f)
{
	struct list *pos;
	unsigned n = 0;

	list_for_each (pos, &f->manager->directs)
		n++;
	return n;
}

static void some_turns(struct fixture *f)
{
	for (unsigned i = 0; i < 5; i++)
		assert_true(sd_event_run(f->event, 20000) >= 0);
}

static void assert_untouched(const struct domain *d)
{
	assert_int_equal(links_of(d)->rx_packets, 1);
	assert_int_equal(links_of(d)->tx_bytes, 1);
	assert_int_equal(links_of(d)->rx_bytes, 0);
	assert_int_equal(links_of(d)->rx_multicast, 0);
}

/* A new daemon finds the direct links that are there, and they go on. They are its own from then on. */
static void test_found_again(void **state)
{
	struct fixture *f = *state;
	struct net_port_config config;
	struct domain *a, *b;

	pair_and_reopen(f, "", "", NULL);
	RUN_UNTIL(f, has_told(f, "a") && has_told(f, "b"));
	some_turns(f);
	a = find(f, "a");
	b = find(f, "b");
	assert_untouched(a);
	assert_untouched(b);
	assert_int_equal(n_directs(f), 1);
	network_pair(network_find_name(f->manager, "net-pair"), 1, 2);
	assert_int_equal(n_directs(f), 1);
	config = a->live->vm.nics[0].port;
	config.flags |= NET_PORT_LINK_DOWN;
	fixture_wait(f, network_update_port(a, 0, &config, fixture_done, f, &f->error));
	RUN_UNTIL(f, links_of(a)->rx_multicast == 1 && links_of(b)->rx_multicast == 1);
	assert_int_equal(links_of(a)->rx_bytes, 1);
	assert_int_equal(links_of(b)->rx_bytes, 1);
	RUN_UNTIL(f, list_empty(&f->manager->directs));
	network_pair(network_find_name(f->manager, "net-pair"), 1, 2);
	RUN_UNTIL(f, links_of(a)->tx_bytes == 2 && links_of(b)->tx_bytes == 2);
}

static pid_t stopped;

static void stop_b(struct fixture *f)
{
	stopped = worker_pid(find(f, "b")->worker);
	assert_int_equal(kill(stopped, SIGSTOP), 0);
}

/* One that answers late: until then its links are used as they are, and nobody makes another. */
static void test_found_late(void **state)
{
	struct fixture *f = *state;

	pair_and_reopen(f, "", "", stop_b);
	RUN_UNTIL(f, has_told(f, "a"));
	network_pair(network_find_name(f->manager, "net-pair"), 1, 2);
	some_turns(f);
	assert_false(has_told(f, "b"));
	assert_int_equal(n_directs(f), 1);
	assert_untouched(find(f, "a"));
	assert_int_equal(kill(stopped, SIGCONT), 0);
	RUN_UNTIL(f, has_told(f, "b"));
	some_turns(f);
	assert_untouched(find(f, "a"));
	assert_untouched(find(f, "b"));
	assert_int_equal(n_directs(f), 1);
}

/* The configuration changes before the other end is known: both stop before either closes. */
static void test_changed_before_it_is_known(void **state)
{
	struct fixture *f = *state;
	struct domain *a, *b;

	pair_and_reopen(f, "", "", stop_b);
	RUN_UNTIL(f, has_told(f, "a"));
	a = find(f, "a");
	b = find(f, "b");
	network_drop_directs(network_find_port(f->manager, b->uuid, 0));
	some_turns(f);
	assert_untouched(a);
	assert_int_equal(kill(stopped, SIGCONT), 0);
	RUN_UNTIL(f, links_of(a)->rx_multicast == 1 && links_of(b)->rx_multicast == 1);
	assert_int_equal(links_of(a)->rx_bytes, 1);
	assert_int_equal(links_of(b)->rx_bytes, 1);
	RUN_UNTIL(f, list_empty(&f->manager->directs));
}

static void kill_b(struct fixture *f)
{
	pid_t pid = worker_pid(find(f, "b")->worker);

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* What only one end has is ended there, and the other is not asked. */
static void test_one_sided(void **state)
{
	struct fixture *f = *state;
	struct domain *a, *b;

	pair_and_reopen(f, "", "fake=forget-links", NULL);
	a = find(f, "a");
	b = find(f, "b");
	RUN_UNTIL(f, links_of(a)->rx_bytes == 1 && links_of(a)->rx_multicast == 1);
	RUN_UNTIL(f, has_told(f, "b") && list_empty(&f->manager->directs));
	assert_untouched(b);
	/* None is made while it may have one that is not known yet. */
	a->links_asked = 1;
	network_pair(network_find_name(f->manager, "net-pair"), 1, 2);
	assert_int_equal(n_directs(f), 0);
	a->links_asked = 0;
	network_pair(network_find_name(f->manager, "net-pair"), 1, 2);
	RUN_UNTIL(f, links_of(a)->tx_bytes == 2 && links_of(b)->tx_bytes == 2);
}

static void test_peer_died_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct domain *a;

	pair_and_reopen(f, "", "", kill_b);
	a = find(f, "a");
	RUN_UNTIL(f, links_of(a)->rx_bytes == 1 && links_of(a)->rx_multicast == 1);
	RUN_UNTIL(f, list_empty(&f->manager->directs));
}

/* It was just being made, or ended: both have it, and not both send by it. */
static void test_half_made(void **state)
{
	struct fixture *f = *state;
	struct domain *a, *b;

	pair_and_reopen(f, "", "fake=unused-links", NULL);
	a = find(f, "a");
	b = find(f, "b");
	RUN_UNTIL(f, links_of(a)->rx_multicast == 1 && links_of(b)->rx_multicast == 1);
	assert_int_equal(links_of(a)->rx_bytes, 1);
	assert_int_equal(links_of(b)->rx_bytes, 1);
	RUN_UNTIL(f, list_empty(&f->manager->directs));
}

/* Whatever a worker claims, others keep their links. */
static void test_lies(void **state)
{
	struct fixture *f = *state;
	struct domain *c;

	pair_and_reopen(f, "", "fake=lie-links", NULL);
	RUN_UNTIL(f, !domain_is_active(find(f, "b")));
	RUN_UNTIL(f, links_of(find(f, "a"))->rx_multicast == 1);
	fixture_wait(f, domain_destroy(find(f, "a"), 0, fixture_done, f, &f->error));
	fixture_start(f, define_domain(f, "a2", "net-pair", "", ""));
	fixture_start(f, define_domain(f, "b2", "net-pair", "fake=other-links", ""));
	c = define_domain(f, "c", "net-pair", "", "");
	fixture_start(f, c);
	RUN_UNTIL(f, links_of(find(f, "b2"))->tx_bytes == 1);
	network_pair(network_find_name(f->manager, "net-pair"), 1, 3);
	RUN_UNTIL(f, links_of(c)->tx_bytes == 1);
	/* b2 says that what it has with a2 (ports 2 and 1) is with c (port 3). */
	f->manager = manager_free(f->manager);
	fixture_open_manager(f);
	RUN_UNTIL(f, has_told(f, "a2") && has_told(f, "b2") && has_told(f, "c"));
	RUN_UNTIL(f, n_directs(f) == 1);
	RUN_UNTIL(f, links_of(find(f, "a2"))->rx_multicast == 1);
	RUN_UNTIL(f, links_of(find(f, "b2"))->rx_multicast == 1);
	assert_untouched(find(f, "c"));
}

/* More than a worker may have to answer at a time: what it owes, it is asked again, and the order is kept. */
static void test_busy(void **state)
{
	const struct proto_nic_id id = {.nic = 0};
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	struct domain *hub = define_domain(f, "hub", "red", "", "");
	pid_t pid;

	fixture_start(f, hub);
	for (unsigned i = 0; i < NETWORK_MAX_DIRECTS; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "peer%u", i);
		fixture_start(f, define_domain(f, name, "red", "", ""));
		network_pair(n, 1, i + 2);
	}
	RUN_UNTIL(f, links_of(hub)->tx_bytes == NETWORK_MAX_DIRECTS);
	pid = worker_pid(hub->worker);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(worker_request(hub->worker, PROTO_NIC_ANNOUNCE, &id, sizeof(id),
					 NULL, 0, NETWORK_REQUEST_USEC, NULL, NULL),
			0);
	network_drop_directs(network_find_port(f->manager, hub->uuid, 0));
	some_turns(f);
	assert_int_equal(n_directs(f), NETWORK_MAX_DIRECTS);
	assert_int_equal(links_of(find(f, "peer31"))->rx_multicast, 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	RUN_UNTIL(f, list_empty(&f->manager->directs));
	assert_int_equal(links_of(hub)->rx_bytes, NETWORK_MAX_DIRECTS);
	RUN_UNTIL(f, links_of(hub)->rx_multicast == NETWORK_MAX_DIRECTS);
	RUN_UNTIL(f, links_of(find(f, "peer31"))->rx_multicast == 1);
	assert_int_equal(links_of(find(f, "peer31"))->rx_bytes, 1);
}

/* One more than a port may have: the quiet one makes way, in order; the busy ones stay. */
static void test_room(void **state)
{
	struct fixture *f = *state;
	struct network *n = running(f, "red");
	struct domain *hub = define_domain(f, "hub", "red", "fake=busy-links", ""), *late;
	const struct domain *quiet;

	fixture_start(f, hub);
	for (unsigned i = 0; i < NETWORK_MAX_DIRECTS; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "peer%u", i);
		fixture_start(f, define_domain(f, name, "red", "", ""));
		network_pair(n, 1, i + 2);
		RUN_UNTIL(f, links_of(hub)->tx_bytes == i + 1);
	}
	late = define_domain(f, "late", "red", "", "");
	fixture_start(f, late);
	quiet = find(f, "peer31");
	RUN_UNTIL(f, (network_pair(n, 1, NETWORK_MAX_DIRECTS + 2), links_of(late)->tx_bytes == 1));
	assert_int_equal(links_of(hub)->rx_multicast, 1);
	assert_int_equal(links_of(quiet)->rx_bytes, 1);
	assert_int_equal(links_of(quiet)->rx_multicast, 1);
	assert_int_equal(n_directs(f), NETWORK_MAX_DIRECTS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_direct_links),
		TEST(test_direct_refused),
		TEST(test_isolated_have_none),
		TEST(test_found_again),
		TEST(test_found_late),
		TEST(test_changed_before_it_is_known),
		TEST(test_one_sided),
		TEST(test_peer_died_meanwhile),
		TEST(test_half_made),
		TEST(test_lies),
		TEST(test_busy),
		TEST(test_room),
	};

	log_init("test", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
