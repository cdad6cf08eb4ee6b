/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Gateways with the real programs, in network namespaces of the test's own:
 *
 *	guest: eth0 ─ shuttle ─ tap of the gateway … "host" (the test's namespace): h0 203.0.113.2 ─ w0 203.0.113.1: world
 *
 * Needs root, /dev/net/tun, and the programs of scripts/setup; says what is missing and is skipped otherwise.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "daemon/gateway-internal.h"
#include "daemon/host-net.h"
#include "tests/unit/gateway-fixture.h"
#include "vmm-core/base/fdio.h"

#define WAIT_USEC (20 * UINT64_C(1000000))
#define GUEST_MAC "52:54:00:00:00:05"

struct net_test {
	char dir[64];
	sd_event *event;
	struct gateway *gateway;
	struct gateway_place place;
	char runtime[96], state[96];
	unsigned n_ready, n_failed, n_leases, n_gone;
	int tap_fd;
	struct error error;
	pid_t world, guest, servers[16];
	unsigned n_servers;
};

static void on_ready(void *opaque, int tap_fd)
{
	struct net_test *t = opaque;

	t->n_ready++;
	t->tap_fd = safe_close(t->tap_fd);
	t->tap_fd = tap_fd;
}

static void on_failed(void *opaque, const struct error *error)
{
	struct net_test *t = opaque;

	t->n_failed++;
	t->error = *error;
	t->gateway = gateway_free(t->gateway);
}

static void on_lease(void *opaque, const struct gateway_lease *lease, bool gone)
{
	struct net_test *t = opaque;

	assert_true(lease->ip.family == 4 || lease->ip.family == 6);
	if (gone)
		t->n_gone++;
	else
		t->n_leases++;
}

static const struct gateway_ops ops = {.ready = on_ready, .failed = on_failed, .lease = on_lease};

static _printf_(1, 2) int sh(const char *format, ...)
{
	char command[2048];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	return system(command);
}

static _printf_(1, 2) char *output(const char *format, ...)
{
	static char text[65536];
	char command[2048];
	size_t n;
	va_list ap;
	FILE *f;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	f = popen(command, "re");
	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	(void)pclose(f);
	return text;
}

static void turn(struct net_test *t, uint64_t usec)
{
	assert_true(sd_event_run(t->event, usec) >= 0);
}

#define RUN_UNTIL(t, condition)                                                                    \
	do {                                                                                       \
		uint64_t start_ = now_usec();                                                      \
                                                                                                   \
		while (!(condition)) {                                                             \
			turn(t, 20000);                                                            \
			if (now_usec() - start_ > WAIT_USEC)                                       \
				fail_msg("%s: not within %u s (%s)", #condition,                   \
					(unsigned)(WAIT_USEC / 1000000), (t)->error.message);      \
		}                                                                                  \
	} while (0)

static uint64_t now_usec(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Frames with their offload headers, from one tap to the other and back, for ever. */
static _noreturn_ void shuttle(int a, int b)
{
	struct pollfd fds[] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
	static char frame[70000];

	for (;;) {
		(void)poll(fds, 2, -1);
		for (unsigned i = 0; i < 2; i++) {
			ssize_t n = read(fds[i].fd, frame, sizeof(frame));

			if (n > 0)
				(void)!write(fds[!i].fd, frame, (size_t)n);
		}
	}
}

static pid_t start_child(void (*run)(int tap_fd, int done_fd), int tap_fd)
{
	int pipe_fds[2];
	pid_t pid;
	char byte;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		run(tap_fd, pipe_fds[1]);
		_exit(1);
	}
	(void)safe_close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	(void)safe_close(pipe_fds[0]);
	return pid;
}

static void be_world(int tap_fd, int done_fd)
{
	(void)tap_fd;
	if (unshare(CLONE_NEWNET) < 0 || write(done_fd, "", 1) != 1)
		_exit(1);
	for (;;)
		(void)pause();
}

static void be_guest(int tap_fd, int done_fd)
{
	uint8_t mac[NET_MAC_LEN];
	struct error error;
	int fd;

	if (unshare(CLONE_NEWNET) < 0 || net_mac_parse(GUEST_MAC, mac) < 0 ||
		host_net_make_tap("eth0", mac, 1500, &fd, &error) < 0 || write(done_fd, "", 1) != 1)
		_exit(1);
	shuttle(tap_fd, fd);
}

static void end_child(pid_t *pid)
{
	if (*pid > 0) {
		(void)kill(*pid, SIGKILL);
		(void)waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

static void end_servers(struct net_test *t)
{
	for (unsigned i = 0; i < t->n_servers; i++)
		end_child(&t->servers[i]);
	t->n_servers = 0;
}

/* "nsenter … " into the namespace of a child. */
static const char *in(pid_t pid)
{
	static char text[4][64];
	static unsigned turn_;
	char *t = text[turn_++ % 4];

	(void)snprintf(t, sizeof(text[0]), "nsenter --net=/proc/%d/ns/net", (int)pid);
	return t;
}

static const char *missing(void)
{
	static const char *const programs[] = {
		"dnsmasq", "slirp4netns", "pasta", "nft", "ip", "socat", "busybox", "nsenter"};

	if (geteuid() != 0)
		return "root";
	if (access("/dev/net/tun", R_OK | W_OK) < 0)
		return "/dev/net/tun";
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (sh("command -v %s >/dev/null", programs[i]) != 0)
			return programs[i];
	return NULL;
}

static int setup(void **state)
{
	struct net_test *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	*state = t;
	t->tap_fd = -EBADF;
	(void)snprintf(t->dir, sizeof(t->dir), "/tmp/vmmd-gateway-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	(void)snprintf(t->runtime, sizeof(t->runtime), "%s/run", t->dir);
	(void)snprintf(t->state, sizeof(t->state), "%s/state of it", t->dir);
	assert_int_equal(mkdir(t->runtime, 0700), 0);
	assert_int_equal(mkdir(t->state, 0700), 0);
	t->place = (struct gateway_place){.runtime_path = t->runtime, .state_path = t->state};
	t->place.runtime_fd = open(t->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t->place.state_fd = open(t->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	t->place.log_fd = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(sd_event_new(&t->event) >= 0);
	/* The "host": nothing of the real one is touched. */
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	t->world = start_child(be_world, -1);
	/* Addresses are what they are at once, so that they can be compared. */
	assert_int_equal(sh("set -e; echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad\n"
			    "ip link set lo up\n"
			    "ip link add h0 type veth peer name w0 netns %d\n"
			    "ip addr add 203.0.113.2/24 dev h0\n"
			    "ip addr add 2001:db8::2/64 dev h0 nodad\n"
			    "ip link set h0 up\n"
			    "%s sh -e <<END\nip link set lo up\nip addr add 203.0.113.1/24 dev w0\n"
			    "ip addr add 2001:db8::1/64 dev w0 nodad\nip link set w0 up\nEND\n"
			    "ip route add default via 203.0.113.1\n"
			    "ip -6 route add default via 2001:db8::1\n",
				 (int)t->world, in(t->world)),
		0);
	return 0;
}

static int teardown(void **state)
{
	struct net_test *t = *state;

	t->gateway = gateway_free(t->gateway);
	/* What a test that failed halfway has left. */
	(void)sh("awk '{ print $2 }' '%s'/gateway/status 2>/dev/null | xargs -r kill -9",
		t->runtime);
	end_servers(t);
	end_child(&t->guest);
	end_child(&t->world);
	(void)safe_close(t->tap_fd);
	(void)safe_close(t->place.runtime_fd);
	(void)safe_close(t->place.state_fd);
	(void)safe_close(t->place.log_fd);
	sd_event_unref(t->event);
	(void)sh("rm -rf %s", t->dir);
	free(t);
	return 0;
}

static void show_log(struct net_test *t)
{
	turn(t, 100000);
	(void)sh("cat '%s'/gateway:red.log >&2", t->dir);
}

static void start(struct net_test *t, const struct gateway_config *c)
{
	if (gateway_new(t->event, c, &t->place, &ops, t, &t->gateway, &t->error) < 0)
		fail_msg("%s", t->error.message);
	RUN_UNTIL(t, t->n_ready || t->n_failed);
	if (t->n_failed) {
		show_log(t);
		fail_msg("%s", t->error.message);
	}
	t->guest = start_child(be_guest, t->tap_fd);
}

static pid_t pid_of(const struct net_test *t, enum gateway_process_kind kind)
{
	return t->gateway->processes[kind].pid;
}

/* What a command says while the daemon's loop goes on. */
static _printf_(2, 3) const char *ask(struct net_test *t, const char *format, ...)
{
	static char text[4096];
	char command[2048];
	uint64_t begin = now_usec();
	ssize_t n, len = 0;
	va_list ap;
	int fd;
	FILE *f;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	f = popen(command, "re");
	assert_non_null(f);
	fd = fileno(f);
	(void)fd_set_nonblock(fd, true);
	for (;;) {
		n = read(fd, text + len, sizeof(text) - 1 - (size_t)len);
		if (n == 0 || now_usec() - begin > WAIT_USEC)
			break;
		if (n > 0)
			len += n;
		turn(t, 5000);
	}
	text[len] = 0;
	(void)pclose(f);
	return text;
}

static void expect_text(struct net_test *t, const char *got, const char *want, int line)
{
	if (!strstr(got, want)) {
		show_log(t);
		fail_msg("line %d: no \"%s\" in \"%s\"", line, want, got);
	}
}
#define EXPECT(t, want, ...) expect_text(t, ask(t, __VA_ARGS__), want, __LINE__)

/* The guest asks for an address, and takes what it is given. */
static void get_address(struct net_test *t)
{
	char script[128];
	FILE *f;

	(void)snprintf(script, sizeof(script), "%s/udhcpc", t->dir);
	f = fopen(script, "we");
	assert_non_null(f);
	fputs("#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nip link set lo up\n"
	      "ip addr add $ip/$mask dev $interface\n"
	      "[ -z \"$router\" ] || ip route add default via $router\n"
	      "echo ip=$ip router=$router dns=$dns domain=$domain\n",
		f);
	assert_int_equal(fchmod(fileno(f), 0755), 0);
	assert_int_equal(fclose(f), 0);
	EXPECT(t, "ip=192.168.122.5 router=192.168.122.1 dns=192.168.122.1 domain=red.test",
		"%s busybox udhcpc -i eth0 -n -q -f -t 8 -T 1 -s %s 2>&1", in(t->guest), script);
	EXPECT(t, "", "%s ip addr add fd01::5/64 dev eth0 nodad", in(t->guest));
	EXPECT(t, "", "%s ip -6 route replace default via fd01::1 metric 1", in(t->guest));
}

/* A server in the namespace of 'where'; it ends with the test. Returns its pid. */
static _printf_(3, 4) pid_t serve(struct net_test *t, pid_t where, const char *format, ...)
{
	char command[1024];
	int len = snprintf(command, sizeof(command), "exec %s ", in(where));
	va_list ap;
	pid_t pid;

	va_start(ap, format);
	(void)vsnprintf(command + len, sizeof(command) - (size_t)len, format, ap);
	va_end(ap);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!freopen("/dev/null", "r+", stderr))
			_exit(127);
		(void)execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	assert_true(t->n_servers < ARRAY_SIZE(t->servers));
	t->servers[t->n_servers++] = pid;
	(void)sh("sleep 0.2");
	return pid;
}
#define SOCAT(address, what) "socat " address ",fork,reuseaddr SYSTEM:'" what "' </dev/null"

static struct gateway_config *nat_config(void)
{
	struct gateway_config *c = fixture_config(GATEWAY_NAT, "virbr0");

	fixture_add_ip(c, "192.168.122.1", 24);
	fixture_add_ip(c, "fd01::1", 64);
	fixture_add_range(c, "192.168.122.100", "192.168.122.254");
	fixture_add_host(c, GUEST_MAC, "web", "192.168.122.5");
	c->dns = true;
	(void)str_copy(c->domain, sizeof(c->domain), "red.test");
	fixture_add_dns_host(c, "192.0.2.77", "vault.example.test");
	c->txt[c->n_txt++] = (struct gateway_txt){.name = "note.test", .value = "a, \"b\" # c\\"};
	c->forwarders[c->n_forwarders++] =
		(struct gateway_forwarder){.ip = fixture_ip("203.0.113.1", 0)};
	fixture_add_forward(c, GATEWAY_TCP, 8080, "192.168.122.5", 80);
	fixture_add_forward(c, GATEWAY_TCP, 8080, "fd01::5", 80);
	fixture_add_forward(c, GATEWAY_UDP, 8053, "192.168.122.5", 5353);
	return c;
}

#define GET "%s sh -c 'sleep 0.2 | timeout 5 socat -t 2 - %s'"
/* The same without patience. */
#define TRY "%s timeout 2 socat -t 1 - %s </dev/null"
#define HOST_STATE                                                                                 \
	"nft list ruleset; ip addr; ip rule; ip -6 rule; ip route show table all; "                \
	"ip -6 route show table all; cat /proc/sys/net/ipv4/ip_forward "                           \
	"/proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/conf/all/route_localnet "       \
	"/proc/sys/net/ipv4/conf/all/rp_filter"

static void start_servers(struct net_test *t)
{
	serve(t, t->world, SOCAT("TCP6-LISTEN:7000,ipv6only=0", "echo world $SOCAT_PEERADDR"));
	serve(t, t->world, SOCAT("TCP6-LISTEN:7001,ipv6only=0", "cat >/dev/null; echo all of it"));
	serve(t, t->guest, SOCAT("TCP6-LISTEN:80,ipv6only=0", "echo guest $SOCAT_PEERADDR"));
	serve(t, t->guest, SOCAT("UDP-LISTEN:5353", "echo udp $SOCAT_PEERADDR"));
	serve(t, t->world,
		"dnsmasq -k --conf-file=/dev/null --user=nobody --no-resolv --no-hosts --pid-file= "
		"--log-facility=- --address=/outside.test/198.51.100.7 >/dev/null 2>&1");
}

static void check_dns(struct net_test *t)
{
	EXPECT(t, "192.0.2.77", "%s busybox nslookup vault.example.test 192.168.122.1 2>&1",
		in(t->guest));
	EXPECT(t, "198.51.100.7", "%s busybox nslookup www.outside.test 192.168.122.1 2>&1",
		in(t->guest));
	EXPECT(t, "192.168.122.5", "%s busybox nslookup web.red.test 192.168.122.1 2>&1",
		in(t->guest));
}

static void check_out(struct net_test *t)
{
	EXPECT(t, "world", GET, in(t->guest), "TCP:203.0.113.1:7000");
	EXPECT(t, "world", GET, in(t->guest), "TCP6:[2001:db8::1]:7000");
	/* A guest that has said all it has to say still hears the answer, once. */
	assert_string_equal(
		ask(t, "echo x | %s timeout 5 socat -t 3 - TCP:203.0.113.1:7001", in(t->guest)),
		"all of it\n");
}

static void check_forwards(struct net_test *t)
{
	/* From outside, and the guest sees who it is. */
	EXPECT(t, "203.0.113.1]", "%s true; " GET " | tr -d : | sed s/ffffcb007101/203.0.113.1/",
		in(t->world), in(t->world), "TCP:203.0.113.2:8080");
	EXPECT(t, "guest [2001:0db8", GET, in(t->world), "TCP6:[2001:db8::2]:8080");
	EXPECT(t, "udp",
		/* UDP may be lost. */
		"%s sh -c 'for i in 1 2 3 4 5; do (echo hi; sleep 1) | "
		"timeout 10 socat -t 2 - UDP:203.0.113.2:8053 | grep . && break; done'",
		in(t->world));
	/* From the host. */
	EXPECT(t, "guest", GET, "", "TCP:127.0.0.1:8080");
	/* Hairpin: by the gateway's address and by the host's. */
	EXPECT(t, "guest", GET, in(t->guest), "TCP:192.168.122.1:8080");
	EXPECT(t, "guest", GET, in(t->guest), "TCP6:[fd01::1]:8080");
	EXPECT(t, "guest", GET, in(t->guest), "TCP:203.0.113.2:8080");
}

/* What guests must not reach. */
static void check_closed(struct net_test *t)
{
	pid_t server = serve(t, getpid(), SOCAT("TCP-LISTEN:9999,bind=127.0.0.1", "echo secret"));

	EXPECT(t, "secret", GET, "", "TCP:127.0.0.1:9999");
	assert_null(strstr(ask(t, TRY " 2>&1", in(t->guest), "TCP:169.254.76.2:9999"), "secret"));
	assert_null(strstr(ask(t, TRY " 2>&1", in(t->guest), "TCP:169.254.76.3:9999"), "secret"));
	assert_null(strstr(ask(t, TRY " 2>&1", in(t->guest), "TCP:169.254.77.1:9999"), "secret"));
	end_child(&server);
}

static unsigned count_namespace(ino_t inode)
{
	return (unsigned)atoi(output(
		"readlink /proc/[0-9]*/ns/net /proc/[0-9]*/fd/* 2>/dev/null | grep -c 'net:.%lu.'",
		(unsigned long)inode));
}

static void check_nothing_left(struct net_test *t)
{
	pid_t pids[GATEWAY_PROCESS_X_MAX];
	struct stat st;

	assert_int_equal(fstat(gateway_netns_fd(t->gateway), &st), 0);
	for (unsigned i = 0; i < GATEWAY_PROCESS_X_MAX; i++)
		pids[i] = pid_of(t, i);
	t->gateway = gateway_free(t->gateway);
	t->tap_fd = safe_close(t->tap_fd);
	end_servers(t);
	end_child(&t->guest);
	for (unsigned i = 0; i < GATEWAY_PROCESS_X_MAX; i++)
		assert_true((i >= GATEWAY_PASTA && !pids[i]) ||
			(pids[i] > 0 && kill(pids[i], 0) < 0 && errno == ESRCH));
	assert_int_equal(count_namespace(st.st_ino), 0);
	assert_string_equal(output("ls '%s'", t->runtime), "");
	assert_string_equal(
		output("ls '%s'", t->state), "11111111-1111-1111-1111-111111111111.leases\n");
}

static void kill_and_wait(struct net_test *t, enum gateway_process_kind kind)
{
	pid_t old = pid_of(t, kind);

	assert_true(old > 0);
	assert_int_equal(kill(old, SIGKILL), 0);
	RUN_UNTIL(t, pid_of(t, kind) > 0 && pid_of(t, kind) != old);
}

static void update(struct net_test *t, const struct gateway_config *c)
{
	if (gateway_update(t->gateway, c, &t->error) < 0)
		fail_msg("%s", t->error.message);
}

/* net-update: each program notices as little as can be. */
static void check_updates(struct net_test *t, struct gateway_config *c)
{
	pid_t dnsmasq = pid_of(t, GATEWAY_DNSMASQ), pasta = pid_of(t, GATEWAY_PASTA);
	pid_t slirp = pid_of(t, GATEWAY_SLIRP);
	const struct gateway_lease *leases;

	/* Names: dnsmasq reads them. */
	fixture_add_dns_host(c, "192.0.2.78", "new.example.test");
	update(t, c);
	turn(t, 300000);
	EXPECT(t, "192.0.2.78", "%s busybox nslookup new.example.test 192.168.122.1 2>&1",
		in(t->guest));
	assert_int_equal(pid_of(t, GATEWAY_DNSMASQ), dnsmasq);
	/* Records and ranges: another dnsmasq, with the leases of the old one. */
	c->txt[c->n_txt++] = (struct gateway_txt){.name = "more.test", .value = "more of it"};
	update(t, c);
	RUN_UNTIL(t,
		pid_of(t, GATEWAY_DNSMASQ) > 0 && pid_of(t, GATEWAY_DNSMASQ) != dnsmasq &&
			faccessat(t->gateway->dir_fd, "dnsmasq.pid", F_OK, 0) == 0);
	EXPECT(t, "more of it", "%s busybox nslookup -type=txt more.test 192.168.122.1 2>&1",
		in(t->guest));
	assert_int_equal(gateway_leases(t->gateway, &leases), 1);
	assert_string_equal(leases[0].hostname, "web");
	assert_int_equal(pid_of(t, GATEWAY_PASTA), pasta);
	/* A port forward: another pasta, the others stay. */
	fixture_add_forward(c, GATEWAY_TCP, 8088, "192.168.122.5", 80);
	update(t, c);
	RUN_UNTIL(t, strstr(output("ss -ltn"), ":8088"));
	EXPECT(t, "guest", GET, in(t->world), "TCP:203.0.113.2:8088");
	EXPECT(t, "guest", GET, in(t->guest), "TCP:192.168.122.1:8088");
	EXPECT(t, "guest", GET, in(t->world), "TCP:203.0.113.2:8080");
	assert_int_equal(pid_of(t, GATEWAY_SLIRP), slirp);
	c->n_forwards--;
	update(t, c);
	RUN_UNTIL(t, !strstr(output("ss -ltn"), ":8088"));
	RUN_UNTIL(t, strstr(output("ss -ltn"), ":8080"));
	/* What cannot be changes nothing. */
	fixture_add_forward(c, GATEWAY_TCP, 8080, "192.168.122.6", 80);
	assert_int_equal(gateway_update(t->gateway, c, &t->error), -EBADMSG);
	assert_non_null(strstr(t->error.message, "port 8080 is forwarded twice"));
	c->n_forwards--;
	assert_int_equal(t->gateway->config->n_forwards, c->n_forwards);
}

/* A gateway that begins without port forwards gets some, and loses them. */
static void test_first_forward(void **state)
{
	struct net_test *t = *state;
	struct gateway_config *c = nat_config();
	unsigned n = c->n_forwards;

	c->n_forwards = 0;
	start(t, c);
	get_address(t);
	start_servers(t);
	assert_int_equal(pid_of(t, GATEWAY_PASTA), 0);
	c->n_forwards = n;
	update(t, c);
	/* Another one before the rules are set: the last counts. */
	fixture_add_forward(c, GATEWAY_TCP, 8088, "192.168.122.5", 80);
	update(t, c);
	RUN_UNTIL(t, strstr(output("ss -ltn"), ":8088"));
	check_forwards(t);
	EXPECT(t, "guest", GET, in(t->world), "TCP:203.0.113.2:8088");
	c->n_forwards = 0;
	update(t, c);
	RUN_UNTIL(t, pid_of(t, GATEWAY_PASTA) == 0);
	assert_null(strstr(ask(t, TRY " 2>&1", in(t->world), "TCP:203.0.113.2:8088"), "guest"));
	assert_null(strstr(ask(t, TRY " 2>&1", in(t->guest), "TCP:192.168.122.1:8088"), "guest"));
	check_out(t);
	check_nothing_left(t);
	free(c);
}

static void test_nat(void **state)
{
	struct net_test *t = *state;
	struct gateway_config *c = nat_config();
	char *before = strdup(output(HOST_STATE));
	const struct gateway_lease *leases;

	start(t, c);
	get_address(t);
	start_servers(t);
	RUN_UNTIL(t, t->n_leases == 1);
	assert_int_equal(gateway_leases(t->gateway, &leases), 1);
	assert_string_equal(leases[0].hostname, "web");
	assert_int_equal(leases[0].mac[5], 5);
	check_dns(t);
	EXPECT(t, "a, \"b\" # c\\", "%s busybox nslookup -type=txt note.test 192.168.122.1 2>&1",
		in(t->guest));
	check_out(t);
	check_forwards(t);
	check_closed(t);
	assert_string_equal(output(HOST_STATE), before);

	check_updates(t, c);
	assert_string_equal(output(HOST_STATE), before);

	/* Whatever dies comes back, and serves. */
	for (unsigned kind = 0; kind <= GATEWAY_PASTA; kind++)
		kill_and_wait(t, kind);
	RUN_UNTIL(t, faccessat(t->gateway->dir_fd, "dnsmasq.pid", F_OK, 0) == 0);
	RUN_UNTIL(t, strstr(output("ss -ltn"), ":8080"));
	check_dns(t);
	check_out(t);
	check_forwards(t);
	assert_int_equal(t->n_failed, 0);
	assert_string_equal(output(HOST_STATE), before);

	check_nothing_left(t);
	assert_string_equal(output(HOST_STATE), before);
	free(before);
	free(c);
}

/* Another daemon: what runs goes on, what died meanwhile is started. */
static void test_adopt(void **state)
{
	struct net_test *t = *state;
	struct gateway_config *c = nat_config();
	pid_t dnsmasq, slirp;
	int fd;

	start(t, c);
	get_address(t);
	start_servers(t);
	dnsmasq = pid_of(t, GATEWAY_DNSMASQ);
	slirp = pid_of(t, GATEWAY_SLIRP);
	t->gateway = gateway_release(t->gateway);
	assert_int_equal(kill(slirp, SIGKILL), 0);
	assert_int_equal(waitpid(slirp, NULL, 0), slirp);
	EXPECT(t, "192.0.2.77", "%s busybox nslookup vault.example.test 192.168.122.1 2>&1",
		in(t->guest));
	if (gateway_adopt(t->event, c, &t->place, &ops, t, &t->gateway, &t->error) < 0)
		fail_msg("%s", t->error.message);
	assert_int_equal(pid_of(t, GATEWAY_DNSMASQ), dnsmasq);
	assert_true(pid_of(t, GATEWAY_SLIRP) != slirp);
	fd = gateway_tap_fd(t->gateway);
	assert_true(fd >= 0);
	(void)safe_close(fd);
	RUN_UNTIL(t,
		strstr(output("%s ip link show dev vmmd-out", in(pid_of(t, GATEWAY_KEEPER))),
			"LOWER_UP"));
	check_out(t);
	check_forwards(t);
	kill_and_wait(t, GATEWAY_DNSMASQ);
	RUN_UNTIL(t, faccessat(t->gateway->dir_fd, "dnsmasq.pid", F_OK, 0) == 0);
	check_dns(t);
	check_nothing_left(t);
	/* Nothing is there any more. */
	assert_int_equal(
		gateway_adopt(t->event, c, &t->place, &ops, t, &t->gateway, &t->error), -ESRCH);
	assert_null(t->gateway);
	assert_int_equal(gateway_remove_leases(t->place.state_fd, c->uuid), 0);
	assert_int_equal(gateway_remove_leases(t->place.state_fd, c->uuid), 0);
	assert_string_equal(output("ls '%s'", t->state), "");
	free(c);
}

static void test_host(void **state)
{
	struct net_test *t = *state;
	struct gateway_config *c = nat_config();

	c->kind = GATEWAY_HOST;
	c->n_forwards = 0;
	(void)str_copy(c->ifname, sizeof(c->ifname), "vmmd%d");
	start(t, c);
	assert_string_equal(gateway_ifname(t->gateway), "vmmd0");
	EXPECT(t, "192.168.122.1/24", "ip -4 addr show dev vmmd0");
	get_address(t);
	EXPECT(t, "192.0.2.77", "%s busybox nslookup vault.example.test 192.168.122.1 2>&1",
		in(t->guest));
	assert_int_equal(gateway_netns_fd(t->gateway), -EBADF);
	kill_and_wait(t, GATEWAY_DNSMASQ);
	kill_and_wait(t, GATEWAY_KEEPER);
	t->gateway = gateway_free(t->gateway);
	t->tap_fd = safe_close(t->tap_fd);
	end_child(&t->guest);
	assert_string_equal(output("ip -o link show dev vmmd0 2>/dev/null"), "");
	free(c);
}

/* Without forwarders the host's resolvers are asked: here a server that has the first one's address. */
static void test_resolvers(void **state)
{
	struct net_test *t = *state;
	struct gateway_config *c = nat_config();
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
	serve(t, getpid(),
		"dnsmasq -k --conf-file=/dev/null --user=nobody --no-resolv --no-hosts --pid-file= "
		"--log-facility=- --listen-address=%s --bind-interfaces "
		"--address=/host.test/198.51.100.9 >/dev/null 2>&1",
		server);
	c->n_forwarders = 0;
	c->n_forwards = 0;
	start(t, c);
	get_address(t);
	EXPECT(t, "198.51.100.9", "%s busybox nslookup www.host.test 192.168.122.1 2>&1",
		in(t->guest));
	free(c);
}

static void expect_failure(struct net_test *t, const struct gateway_config *c, const char *want)
{
	t->n_failed = 0;
	assert_int_equal(gateway_new(t->event, c, &t->place, &ops, t, &t->gateway, &t->error), 0);
	RUN_UNTIL(t, t->n_failed || t->n_ready);
	assert_int_equal(t->n_failed, 1);
	if (!strstr(t->error.message, want))
		fail_msg("%s", t->error.message);
	assert_null(t->gateway);
	assert_string_equal(output("ls '%s'", t->runtime), "");
}

static void test_failures(void **state)
{
	struct net_test *t = *state;
	struct gateway_config *c = nat_config();

	t->place.program_path = "/nonexistent:/dev";
	assert_true(gateway_new(t->event, c, &t->place, &ops, t, &t->gateway, &t->error) < 0);
	assert_non_null(strstr(t->error.message, "network 'red' needs ip: install iproute2"));
	assert_int_equal(sh("mkdir %s/bin && ln -s $(command -v ip) $(command -v nft) %s/bin",
				 t->dir, t->dir),
		0);
	t->place.program_path = strcat(t->dir, "/bin");
	assert_true(gateway_new(t->event, c, &t->place, &ops, t, &t->gateway, &t->error) < 0);
	assert_non_null(
		strstr(t->error.message, "network 'red' needs dnsmasq: install dnsmasq-base"));
	t->place.program_path = NULL;
	t->dir[strlen(t->dir) - 4] = 0;

	c->kind = GATEWAY_HOST;
	c->n_forwards = 0;
	(void)str_copy(c->ifname, sizeof(c->ifname), "h0");
	expect_failure(t, c, "the host has an interface 'h0' already");
	(void)str_copy(c->ifname, sizeof(c->ifname), "virbr0");
	serve(t, getpid(), SOCAT("TCP-LISTEN:53", "true"));
	expect_failure(t, c, "another program has taken its addresses or ports");
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
		cmocka_unit_test_setup_teardown(test_goldens_parse, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nat, setup, teardown),
		cmocka_unit_test_setup_teardown(test_first_forward, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_host, setup, teardown),
		cmocka_unit_test_setup_teardown(test_resolvers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
	};
	const char *what = missing();

	if (what) {
		printf("skipped: needs %s\n", what);
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
