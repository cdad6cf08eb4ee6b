/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's part of uplinks, with the shipped worker in its jail and a veth pair as NIC: a network starts on it, sees it go,
 * and takes the next one of that name.
 *
 *	test-daemon WORKER
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "daemon/host-exclusive.h"
#include "tests/net/networker.h"
#include "tests/unit/daemon-fixture.h"

#define NIC "link add name p0 type veth peer name q0\nlink set p0 up\nlink set q0 up\n"

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

static bool host_is_kept_out(void)
{
	return system("tc filter show dev p0 ingress | grep -q vmmd:red") == 0;
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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_uplink, setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_exclusive, setup, fixture_teardown),
	};

	if (argc != 2)
		return 2;
	worker_path = argv[1];
	if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0 || !try_ip(NIC)) {
		printf("skipped: no network namespace with veth to be had here: %s\n",
			geteuid() ? "not root" : strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
