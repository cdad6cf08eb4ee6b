/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NAT in a namespace of its own: out, in, names, and nothing of the host's changes (gateway-world.h). */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/unit/gateway-world.h"
#include "vmm-core/base/fdio.h"

static void check_out(struct world *w)
{
	EXPECT(w, "world", GET, in(w->guest), "TCP:203.0.113.1:7000");
	EXPECT(w, "world", GET, in(w->guest), "TCP6:[2001:db8::1]:7000");
	/* A guest that has said all it has to say still hears the answer, once. */
	assert_string_equal(
		ask(w, "echo x | %s timeout 5 socat -t 3 - TCP:203.0.113.1:7001", in(w->guest)),
		"all of it\n");
}

/* What guests must not reach. */
static void check_closed(struct world *w)
{
	pid_t server = serve(w, getpid(), SOCAT("TCP-LISTEN:9999,bind=127.0.0.1", "echo secret"));

	EXPECT(w, "secret", GET, "", "TCP:127.0.0.1:9999");
	assert_null(strstr(ask(w, TRY " 2>&1", in(w->guest), "TCP:169.254.76.2:9999"), "secret"));
	assert_null(strstr(ask(w, TRY " 2>&1", in(w->guest), "TCP:169.254.76.3:9999"), "secret"));
	assert_null(strstr(ask(w, TRY " 2>&1", in(w->guest), "TCP:169.254.77.1:9999"), "secret"));
	end_child(&server);
}

static void update(struct world *w, const struct gateway_config *c)
{
	if (gateway_update(w->gateway, c, &w->error) < 0)
		fail_msg("%s", w->error.message);
}

static unsigned n_followed;
static struct error followed;

static void on_followed(void *userdata, const struct error *error)
{
	(void)userdata;
	n_followed++;
	followed = error ? *error : (struct error){0};
}

/* The answer comes when the programs have followed. */
static void follow(struct world *w)
{
	unsigned before = n_followed;

	assert_int_equal(gateway_follow(w->gateway, on_followed, NULL, &w->error), 0);
	assert_int_equal(n_followed, before);
	RUN_UNTIL(w, n_followed > before);
}

static void update_and_follow(struct world *w, const struct gateway_config *c)
{
	update(w, c);
	follow(w);
	if (followed.code)
		fail_msg("%s", followed.message);
	assert_true(list_empty(&w->gateway->waits));
}

/* Programs that do not follow: it says which, and why. */
static void check_not_followed(struct world *w, struct gateway_config *c)
{
	pid_t thief = serve(w, getpid(), SOCAT("TCP-LISTEN:8099", "echo mine"));

	RUN_UNTIL(w, strstr(output("ss -ltn"), ":8099"));
	fixture_add_forward(c, GATEWAY_TCP, 8099, "192.168.122.5", 80);
	update(w, c);
	follow(w);
	assert_string_equal(followed.message,
		"operation failed: network 'red' is changed, but pasta ended with exit status 1; "
		"see "
		"the log gateway:red.log");
	/* Names are none of pasta's business. */
	fixture_add_dns_host(c, "192.0.2.79", "other.example.test");
	update_and_follow(w, c);
	EXPECT(w, "192.0.2.79", "%s busybox nslookup other.example.test 192.168.122.1 2>&1",
		in(w->guest));
	end_child(&thief);
	RUN_UNTIL(w, pid_of(w, GATEWAY_PASTA) > 0 && strstr(output("ss -ltn"), ":8080"));
	c->n_forwards--;
	update_and_follow(w, c);
}

/* net-update: each program notices as little as can be. */
static void check_updates(struct world *w, struct gateway_config *c)
{
	pid_t dnsmasq = pid_of(w, GATEWAY_DNSMASQ), pasta = pid_of(w, GATEWAY_PASTA);
	pid_t slirp = pid_of(w, GATEWAY_SLIRP);
	const struct gateway_lease *leases;

	/* Names: dnsmasq reads them. */
	fixture_add_dns_host(c, "192.0.2.78", "new.example.test");
	update_and_follow(w, c);
	EXPECT(w, "192.0.2.78", "%s busybox nslookup new.example.test 192.168.122.1 2>&1",
		in(w->guest));
	assert_int_equal(pid_of(w, GATEWAY_DNSMASQ), dnsmasq);
	/* Records and ranges: another dnsmasq, with the leases of the old one. */
	c->txt[c->n_txt++] = (struct gateway_txt){.name = "more.test", .value = "more of it"};
	update_and_follow(w, c);
	assert_true(pid_of(w, GATEWAY_DNSMASQ) > 0 && pid_of(w, GATEWAY_DNSMASQ) != dnsmasq);
	EXPECT(w, "more of it", "%s busybox nslookup -type=txt more.test 192.168.122.1 2>&1",
		in(w->guest));
	assert_int_equal(gateway_leases(w->gateway, &leases), 1);
	assert_string_equal(leases[0].hostname, "web");
	assert_int_equal(pid_of(w, GATEWAY_PASTA), pasta);
	/* A port forward: another pasta, the others stay. */
	fixture_add_forward(c, GATEWAY_TCP, 8088, "192.168.122.5", 80);
	update_and_follow(w, c);
	assert_non_null(strstr(output("ss -ltn"), ":8088"));
	EXPECT(w, "guest", GET, in(w->outside), "TCP:203.0.113.2:8088");
	EXPECT(w, "guest", GET, in(w->guest), "TCP:192.168.122.1:8088");
	EXPECT(w, "guest", GET, in(w->outside), "TCP:203.0.113.2:8080");
	assert_int_equal(pid_of(w, GATEWAY_SLIRP), slirp);
	c->n_forwards--;
	update_and_follow(w, c);
	assert_null(strstr(output("ss -ltn"), ":8088"));
	assert_non_null(strstr(output("ss -ltn"), ":8080"));
	/* What cannot be changes nothing. */
	fixture_add_forward(c, GATEWAY_TCP, 8080, "192.168.122.6", 80);
	assert_int_equal(gateway_update(w->gateway, c, &w->error), -EBADMSG);
	assert_non_null(strstr(w->error.message, "port 8080 is forwarded twice"));
	c->n_forwards--;
	assert_int_equal(w->gateway->config->n_forwards, c->n_forwards);
}

/* A gateway that begins without port forwards gets some, and loses them. */
static void test_first_forward(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_NAT);
	unsigned n = c->n_forwards;

	c->n_forwards = 0;
	start(w, c);
	get_address(w, "192.168.122.1");
	start_servers(w);
	assert_int_equal(pid_of(w, GATEWAY_PASTA), 0);
	c->n_forwards = n;
	update(w, c);
	/* Another one before the rules are set: the last counts. */
	fixture_add_forward(c, GATEWAY_TCP, 8088, "192.168.122.5", 80);
	update_and_follow(w, c);
	assert_non_null(strstr(output("ss -ltn"), ":8088"));
	check_forwards(w);
	EXPECT(w, "guest", GET, in(w->outside), "TCP:203.0.113.2:8088");
	check_not_followed(w, c);
	c->n_forwards = 0;
	update_and_follow(w, c);
	assert_int_equal(pid_of(w, GATEWAY_PASTA), 0);
	assert_null(strstr(ask(w, TRY " 2>&1", in(w->outside), "TCP:203.0.113.2:8088"), "guest"));
	assert_null(strstr(ask(w, TRY " 2>&1", in(w->guest), "TCP:192.168.122.1:8088"), "guest"));
	check_out(w);
	update(w, c);
	assert_int_equal(gateway_follow(w->gateway, on_followed, NULL, &w->error), 0);
	check_nothing_left(w);
	assert_non_null(strstr(followed.message, "ended before its programs had followed"));
	free(c);
}

static void test_nat(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_NAT);
	char *before = strdup(output(HOST_STATE));
	const struct gateway_lease *leases;

	start(w, c);
	get_address(w, "192.168.122.1");
	start_servers(w);
	RUN_UNTIL(w, w->n_leases == 1);
	assert_int_equal(gateway_leases(w->gateway, &leases), 1);
	assert_string_equal(leases[0].hostname, "web");
	assert_int_equal(leases[0].mac[5], 5);
	check_dns(w);
	EXPECT(w, "a, \"b\" # c\\", "%s busybox nslookup -type=txt note.test 192.168.122.1 2>&1",
		in(w->guest));
	check_out(w);
	check_forwards(w);
	check_closed(w);
	assert_string_equal(output(HOST_STATE), before);

	check_updates(w, c);
	assert_string_equal(output(HOST_STATE), before);

	/* Whatever dies comes back, and serves. */
	for (unsigned kind = 0; kind <= GATEWAY_PASTA; kind++)
		kill_and_wait(w, kind);
	RUN_UNTIL(w, faccessat(w->gateway->dir_fd, "dnsmasq.pid", F_OK, 0) == 0);
	RUN_UNTIL(w, strstr(output("ss -ltn"), ":8080"));
	check_dns(w);
	check_out(w);
	check_forwards(w);
	assert_int_equal(w->n_failed, 0);
	assert_string_equal(output(HOST_STATE), before);

	check_nothing_left(w);
	assert_string_equal(output(HOST_STATE), before);
	free(before);
	free(c);
}

/* Without forwarders the host's resolvers are asked: here a server that has the first one's address. */
static void test_resolvers(void **state)
{
	struct world *w = *state;
	struct gateway_config *c = world_config(GATEWAY_NAT);
	char server[64];

	(void)str_copy(server, sizeof(server),
		output("sed -n 's/^nameserver \\([0-9.]*\\)$/\\1/p' /etc/resolv.conf | head -n 1 | "
		       "tr -d '\\n'"));
	if (!server[0]) {
		free(c);
		skip();
	}
	if (strncmp(server, "127.", 4) != 0)
		assert_int_equal(sh("ip addr add %s/32 dev lo", server), 0);
	serve(w, getpid(),
		"dnsmasq -k --conf-file=/dev/null --user=nobody --no-resolv --no-hosts --pid-file= "
		"--log-facility=- --listen-address=%s --bind-interfaces "
		"--address=/host.test/198.51.100.9 >/dev/null 2>&1",
		server);
	c->n_forwarders = 0;
	c->n_forwards = 0;
	start(w, c);
	get_address(w, "192.168.122.1");
	EXPECT(w, "198.51.100.9", "%s busybox nslookup www.host.test 192.168.122.1 2>&1",
		in(w->guest));
	free(c);
}

/* As the service is by SystemCallFilter=, and so all that it starts: that pasta has shut itself in is seen all the same. */
static bool be_filtered(void)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	const struct sock_fprog program = {1, &all};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(test_nat),
		WORLD_TEST(test_first_forward),
		WORLD_TEST(test_resolvers),
	};

	if (!be_filtered())
		printf("no filter of system calls here\n");
	WORLD_MAIN(tests);
}
