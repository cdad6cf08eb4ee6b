/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UpdateNetwork over JSON-RPC with a real dnsmasq, in a network namespace of the test's own: its answer waits for it, as a job, and
 * nothing else does. What the programs themselves do is test-gateway-nat's. Needs root, /dev/net/tun, iproute2 and dnsmasq. */
#include "job-fixture.h"

#include <sched.h>
#include <signal.h>

#include "daemon/gateway-internal.h"

#define NETWORK                                                                                    \
	"<network><name>red</name><dns enable='yes'/><ip address='10.9.0.1' prefix='24'><dhcp>"    \
	"<range start='10.9.0.10' end='10.9.0.20'/></dhcp></ip></network>"
#define UPDATE(n, flags, options)                                                                  \
	REQUEST("1", "UpdateNetwork",                                                              \
		"{\"network\":\"red\",\"command\":3,\"section\":4,\"parent\":0,\"source\":\"\","   \
		"\"flags\":" flags ",\"xml\":\"<host mac='52:54:00:00:00:0" n "' ip='10.9.0.3" n   \
		"'/>\"" options "}")

static struct network *start(struct fixture *f)
{
	expect(f, REQUEST("1", "DefineNetwork", "{\"xml\":\"" NETWORK "\"}"),
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\"");
	expect(f, REQUEST("1", "StartNetwork", "[\"red\"]"), RESULT("1", "{}"));
	return network_find(f->manager, "red", NULL);
}

static void test_waits(void **state)
{
	struct fixture *f = *state;
	struct network *n = start(f);
	struct json_object *info;
	pid_t dnsmasq = n->gateway->processes[GATEWAY_DNSMASQ].pid;

	assert_true(dnsmasq > 0);
	expect(f, UPDATE("1", "0", ""), RESULT("1", "{}"));
	assert_int_equal(n->gateway->unread, 0);
	expect_state(f, 2, "done");
	/* One that reads nothing. State is answered all the same. */
	assert_int_equal(kill(dnsmasq, SIGSTOP), 0);
	expect(f, UPDATE("2", "0", ",\"detach\":true"), RESULT("1", "{\"job\":3}"));
	info = job(f, "GetJob", 3);
	assert_string_equal(word(info, "operation"), "net-update");
	assert_string_equal(word(info, "network"), "red");
	assert_string_equal(word(info, "state"), "running");
	assert_string_equal(word(info, "stage"), "gateway");
	assert_string_equal(word(info, "cancellable"), "false");
	json_object_put(info);
	assert_non_null(strstr(
		ask(f, &c2, REQUEST("2", "GetNetworkXml", "[\"red\",0]")), "52:54:00:00:00:02"));
	/* What changes the definition alone is nothing that dnsmasq has to do with. */
	expect(f, UPDATE("5", "2", ""), RESULT("1", "{}"));
	/* Who has no time is told so; that goes on. */
	expect(f, UPDATE("3", "0", ",\"timeout_ms\":50"), FAILED("1", "-32013"));
	assert_int_equal(kill(dnsmasq, SIGCONT), 0);
	expect_state(f, 3, "done");
	expect_state(f, 4, "done");
}

/* It ends instead: which has not followed is said. */
static void test_fails(void **state)
{
	struct fixture *f = *state;
	struct network *n = start(f);
	struct json_object *info;

	assert_int_equal(kill(n->gateway->processes[GATEWAY_DNSMASQ].pid, SIGSTOP), 0);
	expect(f, UPDATE("1", "0", ",\"detach\":true"), RESULT("1", "{\"job\":2}"));
	assert_int_equal(kill(n->gateway->processes[GATEWAY_DNSMASQ].pid, SIGKILL), 0);
	info = job(f, "WaitJob", 2);
	assert_string_equal(word(info, "state"), "failed");
	assert_non_null(strstr(word(info, "message"),
		"network 'red' is changed, but dnsmasq was killed by signal 9"));
	json_object_put(info);
	/* So it is when the network ends. */
	RUN_UNTIL(f,
		n->gateway->processes[GATEWAY_DNSMASQ].pid &&
			faccessat(n->gateway->dir_fd, "dnsmasq.pid", F_OK, 0) == 0);
	assert_int_equal(kill(n->gateway->processes[GATEWAY_DNSMASQ].pid, SIGSTOP), 0);
	expect(f, UPDATE("2", "0", ",\"detach\":true"), RESULT("1", "{\"job\":3}"));
	expect(f, REQUEST("1", "DestroyNetwork", "[\"red\"]"), RESULT("1", "{}"));
	expect_state(f, 3, "failed");
}

static int teardown_network(void **state)
{
	struct fixture *f = *state;
	struct network *n = network_find(f->manager, "red", NULL);

	if (n && network_is_active(n))
		(void)ask(f, &c2, REQUEST("1", "DestroyNetwork", "[\"red\"]"));
	return teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits, setup, teardown_network),
		cmocka_unit_test_setup_teardown(test_fails, setup, teardown_network),
	};

	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0 ||
		access("/usr/sbin/dnsmasq", X_OK) < 0 || unshare(CLONE_NEWNET) < 0) {
		printf("skipped: needs root, /dev/net/tun and dnsmasq\n");
		return 77;
	}
	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
