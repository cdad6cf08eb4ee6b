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

#include "tests/net/networker.h"
#include "tests/unit/daemon-fixture.h"

#define NIC "link add name p0 type veth peer name q0\nlink set p0 up\nlink set q0 up\n"

static int setup(void **state)
{
	struct fixture *f;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(fixture_setup(state), 0);
	f = *state;
	free(f->manager->worker_path);
	f->manager->worker_path = strdup(worker_path);
	f->manager->options.no_jail = false;
	f->manager->options.start_flags = START_FLAGS;
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

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_uplink, setup, fixture_teardown),
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
