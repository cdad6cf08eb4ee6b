/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks that outlive their worker, and workers that outlive the daemon. */
#include <signal.h>

#include "network-fixture.h"

#define DIE_FILE "/tmp/fake-worker-net-die"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_worker_dies),
		TEST(test_dies_between_ports),
		TEST(test_adoption),
		TEST(test_died_with_the_daemon),
	};

	log_init("test", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
