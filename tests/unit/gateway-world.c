/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See gateway-world.h. */
#include "tests/unit/gateway-world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/host-net.h"
#include "vmm-core/base/fdio.h"

static void on_ready(void *opaque, int tap_fd)
{
	struct world *w = opaque;

	w->n_ready++;
	w->tap_fd = safe_close(w->tap_fd);
	w->tap_fd = tap_fd;
}

static void on_failed(void *opaque, const struct error *error)
{
	struct world *w = opaque;

	w->n_failed++;
	w->error = *error;
	w->gateway = gateway_free(w->gateway);
}

static void on_lease(void *opaque, const struct gateway_lease *lease, bool gone)
{
	struct world *w = opaque;

	assert_true(lease->ip.family == 4 || lease->ip.family == 6);
	if (gone)
		w->n_gone++;
	else
		w->n_leases++;
}

static void on_started(void *opaque, const char *program, pid_t pid)
{
	struct world *w = opaque;

	assert_non_null(program);
	assert_true(pid > 0);
	w->n_started++;
}

const struct gateway_ops world_ops = {
	.ready = on_ready, .failed = on_failed, .lease = on_lease, .started = on_started};

int sh(const char *format, ...)
{
	char command[2048];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(command, sizeof(command), format, ap);
	va_end(ap);
	return system(command);
}

char *output(const char *format, ...)
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

void turn(struct world *w, uint64_t usec)
{
	assert_true(sd_event_run(w->event, usec) >= 0);
}

uint64_t now_usec(void)
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
		/* What a gateway holds is its own. */
		for (int fd = 3; fd < 256; fd++)
			if (fd != tap_fd && fd != pipe_fds[1])
				(void)close(fd);
		run(tap_fd, pipe_fds[1]);
		_exit(1);
	}
	(void)safe_close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
	(void)safe_close(pipe_fds[0]);
	return pid;
}

static void be_outside(int tap_fd, int done_fd)
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

	if (unshare(CLONE_NEWNET) < 0 || net_mac_parse(WORLD_GUEST_MAC, mac) < 0 ||
		host_net_make_tap("eth0", mac, 1500, &fd, &error) < 0 || write(done_fd, "", 1) != 1)
		_exit(1);
	shuttle(tap_fd, fd);
}

void end_child(pid_t *pid)
{
	if (*pid > 0) {
		(void)kill(*pid, SIGKILL);
		(void)waitpid(*pid, NULL, 0);
	}
	*pid = 0;
}

void end_servers(struct world *w)
{
	for (unsigned i = 0; i < w->n_servers; i++)
		end_child(&w->servers[i]);
	w->n_servers = 0;
}

/* "nsenter … " into the namespace of a child. */
const char *in(pid_t pid)
{
	static char text[4][64];
	static unsigned turn_;
	char *t = text[turn_++ % 4];

	(void)snprintf(t, sizeof(text[0]), "nsenter --net=/proc/%d/ns/net", (int)pid);
	return t;
}

const char *world_missing(void)
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

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	*state = w;
	w->tap_fd = -EBADF;
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/vmmd-gateway-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->runtime, sizeof(w->runtime), "%s/run", w->dir);
	(void)snprintf(w->state, sizeof(w->state), "%s/state of it", w->dir);
	assert_int_equal(mkdir(w->runtime, 0700), 0);
	assert_int_equal(mkdir(w->state, 0700), 0);
	w->place = (struct gateway_place){.runtime_path = w->runtime, .state_path = w->state};
	w->place.runtime_fd = open(w->runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->place.state_fd = open(w->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->place.log_fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(sd_event_new(&w->event) >= 0);
	/* The "host": nothing of the real one is touched. */
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	w->outside = start_child(be_outside, -1);
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
				 (int)w->outside, in(w->outside)),
		0);
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;

	w->gateway = gateway_free(w->gateway);
	/* What a test that failed halfway has left. */
	(void)sh(
		"awk '{ print $2 }' '%s'/gateway/status 2>/dev/null | xargs -r kill -9 2>/dev/null",
		w->runtime);
	end_servers(w);
	end_child(&w->guest);
	end_child(&w->outside);
	(void)safe_close(w->tap_fd);
	(void)safe_close(w->place.runtime_fd);
	(void)safe_close(w->place.state_fd);
	(void)safe_close(w->place.log_fd);
	sd_event_unref(w->event);
	(void)sh("rm -rf %s", w->dir);
	free(w);
	return 0;
}

void show_log(struct world *w)
{
	turn(w, 100000);
	(void)sh("cat '%s'/gateway:red.log >&2", w->dir);
}

void start(struct world *w, const struct gateway_config *c)
{
	if (gateway_new(w->event, c, &w->place, &world_ops, w, &w->gateway, &w->error) < 0)
		fail_msg("%s", w->error.message);
	RUN_UNTIL(w, w->n_ready || w->n_failed);
	if (w->n_failed) {
		show_log(w);
		fail_msg("%s", w->error.message);
	}
	w->guest = start_child(be_guest, w->tap_fd);
}

pid_t pid_of(const struct world *w, enum gateway_process_kind kind)
{
	return w->gateway->processes[kind].pid;
}

/* What a command says while the daemon's loop goes on. */
const char *ask(struct world *w, const char *format, ...)
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
		if (n == 0 || now_usec() - begin > WORLD_WAIT_USEC)
			break;
		if (n > 0)
			len += n;
		turn(w, 5000);
	}
	text[len] = 0;
	(void)pclose(f);
	return text;
}

void expect_text(struct world *w, const char *got, const char *want, const char *file, int line)
{
	if (!strstr(got, want)) {
		show_log(w);
		fail_msg("%s:%d: no \"%s\" in \"%s\"", file, line, want, got);
	}
}
/* The guest asks for an address, and takes what it is given. */
void get_address(struct world *w, const char *router)
{
	char script[128], want[128];
	FILE *f;

	(void)snprintf(script, sizeof(script), "%s/udhcpc", w->dir);
	f = fopen(script, "we");
	assert_non_null(f);
	fputs("#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nip link set lo up\n"
	      "ip addr add $ip/$mask dev $interface\n"
	      "[ -z \"$router\" ] || ip route add default via $router\n"
	      "echo ip=$ip router=$router dns=$dns domain=$domain\n",
		f);
	assert_int_equal(fchmod(fileno(f), 0755), 0);
	assert_int_equal(fclose(f), 0);
	(void)snprintf(want, sizeof(want),
		"ip=192.168.122.5 router=%s dns=192.168.122.1 domain=red.test", router);
	EXPECT(w, want, "%s busybox udhcpc -i eth0 -n -q -f -t 8 -T 1 -s %s 2>&1", in(w->guest),
		script);
	EXPECT(w, "", "%s ip addr add fd01::5/64 dev eth0 nodad", in(w->guest));
	EXPECT(w, "", "%s ip -6 route replace default via fd01::1 metric 1", in(w->guest));
}

/* A server in the namespace of 'where'; it ends with the test. Returns its pid. */
pid_t serve(struct world *w, pid_t where, const char *format, ...)
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
	assert_true(w->n_servers < ARRAY_SIZE(w->servers));
	w->servers[w->n_servers++] = pid;
	(void)sh("sleep 0.2");
	return pid;
}
struct gateway_config *world_config(enum gateway_kind kind)
{
	struct gateway_config *c = fixture_config(kind, "virbr0");

	fixture_add_ip(c, "192.168.122.1", 24);
	fixture_add_ip(c, "fd01::1", 64);
	fixture_add_range(c, "192.168.122.100", "192.168.122.254");
	fixture_add_host(c, WORLD_GUEST_MAC, "web", "192.168.122.5");
	c->dns = true;
	(void)str_copy(c->domain, sizeof(c->domain), "red.test");
	fixture_add_dns_host(c, "192.0.2.77", "vault.example.test");
	c->txt[c->n_txt++] = (struct gateway_txt){.name = "note.test", .value = "a, \"b\" # c\\"};
	c->forwarders[c->n_forwarders++] =
		(struct gateway_forwarder){.ip = fixture_ip("203.0.113.1", 0)};
	if (kind != GATEWAY_NAT && kind != GATEWAY_MASQUERADE)
		return c;
	fixture_add_forward(c, GATEWAY_TCP, 8080, "192.168.122.5", 80);
	fixture_add_forward(c, GATEWAY_TCP, 8080, "fd01::5", 80);
	fixture_add_forward(c, GATEWAY_UDP, 8053, "192.168.122.5", 5353);
	return c;
}

void start_servers(struct world *w)
{
	serve(w, w->outside, SOCAT("TCP6-LISTEN:7000,ipv6only=0", "echo world $SOCAT_PEERADDR"));
	serve(w, w->outside,
		SOCAT("TCP6-LISTEN:7001,ipv6only=0", "cat >/dev/null; echo all of it"));
	serve(w, w->guest, SOCAT("TCP6-LISTEN:80,ipv6only=0", "echo guest $SOCAT_PEERADDR"));
	serve(w, w->guest, SOCAT("UDP-LISTEN:5353", "echo udp $SOCAT_PEERADDR"));
	serve(w, w->outside,
		"dnsmasq -k --conf-file=/dev/null --user=nobody --no-resolv --no-hosts --pid-file= "
		"--log-facility=- --address=/outside.test/198.51.100.7 >/dev/null 2>&1");
}

void check_dns(struct world *w)
{
	EXPECT(w, "192.0.2.77", "%s busybox nslookup vault.example.test 192.168.122.1 2>&1",
		in(w->guest));
	EXPECT(w, "198.51.100.7", "%s busybox nslookup www.outside.test 192.168.122.1 2>&1",
		in(w->guest));
	EXPECT(w, "192.168.122.5", "%s busybox nslookup web.red.test 192.168.122.1 2>&1",
		in(w->guest));
}

void kill_and_wait(struct world *w, enum gateway_process_kind kind)
{
	pid_t old = pid_of(w, kind);

	assert_true(old > 0);
	assert_int_equal(kill(old, SIGKILL), 0);
	RUN_UNTIL(w, pid_of(w, kind) > 0 && pid_of(w, kind) != old);
}

void expect_failure(struct world *w, const struct gateway_config *c, const char *want)
{
	w->n_failed = 0;
	assert_int_equal(
		gateway_new(w->event, c, &w->place, &world_ops, w, &w->gateway, &w->error), 0);
	RUN_UNTIL(w, w->n_failed || w->n_ready);
	assert_int_equal(w->n_failed, 1);
	if (!strstr(w->error.message, want))
		fail_msg("%s", w->error.message);
	w->n_failed = 0;
	assert_null(w->gateway);
	assert_string_equal(output("ls '%s'", w->runtime), "");
}

static unsigned count_namespace(ino_t inode)
{
	return (unsigned)atoi(output(
		"readlink /proc/[0-9]*/ns/net /proc/[0-9]*/fd/* 2>/dev/null | grep -c 'net:.%lu.'",
		(unsigned long)inode));
}

void check_nothing_left(struct world *w)
{
	pid_t pids[GATEWAY_PROCESS_X_MAX];
	struct stat st;

	assert_int_equal(fstat(gateway_netns_fd(w->gateway), &st), 0);
	for (unsigned i = 0; i < GATEWAY_PROCESS_X_MAX; i++)
		pids[i] = pid_of(w, i);
	w->gateway = gateway_free(w->gateway);
	w->tap_fd = safe_close(w->tap_fd);
	end_servers(w);
	end_child(&w->guest);
	for (unsigned i = 0; i < GATEWAY_PROCESS_X_MAX; i++)
		assert_true((i >= GATEWAY_PASTA && !pids[i]) ||
			(pids[i] > 0 && kill(pids[i], 0) < 0 && errno == ESRCH));
	assert_int_equal(count_namespace(st.st_ino), 0);
	assert_string_equal(output("ls '%s'", w->runtime), "");
	assert_string_equal(
		output("ls '%s'", w->state), "11111111-1111-1111-1111-111111111111.leases\n");
}

void check_forwards(struct world *w)
{
	/* From outside, and the guest sees who it is. */
	EXPECT(w, "203.0.113.1]", "%s true; " GET " | tr -d : | sed s/ffffcb007101/203.0.113.1/",
		in(w->outside), in(w->outside), "TCP:203.0.113.2:8080");
	EXPECT(w, "guest [2001:0db8", GET, in(w->outside), "TCP6:[2001:db8::2]:8080");
	EXPECT(w, "udp",
		/* UDP may be lost. */
		"%s sh -c 'for i in 1 2 3 4 5; do (echo hi; sleep 1) | "
		"timeout 10 socat -t 2 - UDP:203.0.113.2:8053 | grep . && break; done'",
		in(w->outside));
	/* From the host. */
	EXPECT(w, "guest", GET, "", "TCP:127.0.0.1:8080");
	/* Hairpin: by the gateway's address and by the host's. */
	EXPECT(w, "guest", GET, in(w->guest), "TCP:192.168.122.1:8080");
	EXPECT(w, "guest", GET, in(w->guest), "TCP6:[fd01::1]:8080");
	EXPECT(w, "guest", GET, in(w->guest), "TCP:203.0.113.2:8080");
}
