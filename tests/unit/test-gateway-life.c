/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A gateway's life: another daemon, processes that die, what cannot be had, and what the programs say to the goldens
 * (gateway-world.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/gateway-world.h"
#include "vmm-core/base/fdio.h"

/* Another daemon: what runs goes on, what died meanwhile is started. */
static void test_adopt(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_NAT);
	pid_t dnsmasq, slirp;
	int fd;

	start(w, c);
	get_address(w, "192.168.122.1");
	start_servers(w);
	dnsmasq = pid_of(w, GATEWAY_DNSMASQ);
	slirp = pid_of(w, GATEWAY_SLIRP);
	w->gateway = gateway_release(w->gateway);
	assert_int_equal(kill(slirp, SIGKILL), 0);
	assert_int_equal(waitpid(slirp, NULL, 0), slirp);
	EXPECT(w, "192.0.2.77", "%s busybox nslookup vault.example.test 192.168.122.1 2>&1",
		in(w->guest));
	if (gateway_adopt(w->event, c, &w->place, &world_ops, w, &w->gateway, &w->error) < 0)
		fail_msg("%s", w->error.message);
	assert_int_equal(pid_of(w, GATEWAY_DNSMASQ), dnsmasq);
	assert_true(pid_of(w, GATEWAY_SLIRP) != slirp);
	fd = gateway_tap_fd(w->gateway);
	assert_true(fd >= 0);
	(void)safe_close(fd);
	RUN_UNTIL(w,
		strstr(output("%s ip link show dev vmmd-out", in(pid_of(w, GATEWAY_KEEPER))),
			"LOWER_UP"));
	EXPECT(w, "world", GET, in(w->guest), "TCP:203.0.113.1:7000");
	check_forwards(w);
	kill_and_wait(w, GATEWAY_DNSMASQ);
	RUN_UNTIL(w, faccessat(w->gateway->dir_fd, "dnsmasq.pid", F_OK, 0) == 0);
	check_dns(w);
	check_nothing_left(w);
	/* Nothing is there any more. */
	assert_int_equal(
		gateway_adopt(w->event, c, &w->place, &world_ops, w, &w->gateway, &w->error),
		-ESRCH);
	assert_null(w->gateway);
	assert_int_equal(gateway_remove_leases(w->place.state_fd, c->uuid), 0);
	assert_int_equal(gateway_remove_leases(w->place.state_fd, c->uuid), 0);
	assert_string_equal(output("ls '%s'", w->state), "");
	free(c);
}

static void test_failures(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_NAT);

	w->place.program_path = "/nonexistent:/dev";
	assert_true(gateway_new(w->event, c, &w->place, &world_ops, w, &w->gateway, &w->error) < 0);
	assert_non_null(strstr(w->error.message, "network 'red' needs ip: install iproute2"));
	assert_int_equal(sh("mkdir %s/bin && ln -s $(command -v ip) %s/bin", w->dir, w->dir), 0);
	w->place.program_path = strcat(w->dir, "/bin");
	assert_true(gateway_new(w->event, c, &w->place, &world_ops, w, &w->gateway, &w->error) < 0);
	assert_non_null(
		strstr(w->error.message, "network 'red' needs dnsmasq: install dnsmasq-base"));
	w->place.program_path = NULL;
	w->dir[strlen(w->dir) - 4] = 0;

	c->kind = GATEWAY_ISOLATED;
	c->n_forwards = 0;
	(void)str_copy(c->ifname, sizeof(c->ifname), "h0");
	expect_failure(w, c, "the host has an interface 'h0' already");
	(void)str_copy(c->ifname, sizeof(c->ifname), "virbr0");
	serve(w, getpid(), SOCAT("TCP-LISTEN:53", "true"));
	expect_failure(w, c, "another program has taken its addresses or ports");
	free(c);
}

/* A program that does not stay is told of as long as that lasts. */
static void test_trouble(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_NAT);
	struct gateway_process *dnsmasq;
	char text[192] = "", path[GATEWAY_TEXT_MAX];

	start(w, c);
	dnsmasq = &w->gateway->processes[GATEWAY_DNSMASQ];
	assert_false(gateway_trouble(w->gateway, text, sizeof(text)));
	memcpy(path, dnsmasq->program, sizeof(path));
	(void)str_copy(dnsmasq->program, sizeof(dnsmasq->program), "/bin/false");
	kill_and_wait(w, GATEWAY_DNSMASQ);
	RUN_UNTIL(w,
		gateway_trouble(w->gateway, text, sizeof(text)) &&
			strcmp(text, "dnsmasq ended with exit status 1") == 0);
	memcpy(dnsmasq->program, path, sizeof(path));
	RUN_UNTIL(w, dnsmasq->pid && faccessat(w->gateway->dir_fd, "dnsmasq.pid", F_OK, 0) == 0);
	/* It runs; whether it stays is known when it has. */
	assert_true(gateway_trouble(w->gateway, text, sizeof(text)));
	dnsmasq->started_usec -= GATEWAY_WELL_USEC;
	assert_false(gateway_trouble(w->gateway, text, sizeof(text)));
	check_nothing_left(w);
	free(c);
}

/* The programs themselves take everything that can be written. */
static void test_goldens_parse(void **state)
{
	(void)state;
	assert_int_equal(sh("set -e; cd " TESTS_DATA_DIR "/dnsmasq\n"
			    "for f in *.conf; do dnsmasq --test --conf-file=$f 2>/dev/null; done\n"
			    "for f in *.nft; do nft -c -f $f; done"),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_goldens_parse),
		WORLD_TEST(test_adopt),
		WORLD_TEST(test_failures),
		WORLD_TEST(test_trouble),
	};

	WORLD_MAIN(tests);
}
