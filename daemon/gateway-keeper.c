/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The keeper: a child of the daemon that makes the tap, for GATEWAY_NAT in a network namespace of its own, configures
 * it and what it leads to, sends the fds of tap, namespace and rules to the daemon, and then holds them for as long as
 * it lives, so that they outlive daemon and network worker; the next daemon gets them by connecting to RUNTIME/gateway/keeper. It may block, which the daemon
 * may not, and when it has done its work it has no rights left.
 *
 * Tested by tests/unit/test-gateway-nat.c, -host.c and -life.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "daemon/gateway-internal.h"
#include "daemon/host-net.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

/* Run a program with 'text' as its input, and wait. What it says goes into 'error'. */
static int run(const char *program, const char *const argv[], const char *text, struct error *error)
{
	_cleanup_(closep) int in = memfd_from_data("vmmd-in", text, strlen(text));
	_cleanup_(closep) int out = memfd_create("vmmd-out", MFD_CLOEXEC);
	char said[512];
	int status = 0;
	ssize_t n;
	pid_t pid;

	if (in < 0 || out < 0)
		return error_set(error, ERROR_NO_MEMORY, "%s", argv[0]);
	(void)lseek(in, 0, SEEK_SET);
	pid = fork();
	if (pid < 0)
		return error_set_errno(error, errno, "cannot start %s", program);
	if (pid == 0) {
		if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
			dup2(out, STDERR_FILENO) >= 0)
			(void)execv(program, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	n = pread(out, said, sizeof(said) - 1, 0);
	said[MAX(n, 0)] = 0;
	said[strcspn(said, "\n")] = 0;
	return error_set(error, ERROR_OPERATION_FAILED, "%s failed (status %d): %s", program,
		WIFEXITED(status) ? WEXITSTATUS(status) : -1, said);
}

static int tap_name(int tap_fd, char ret[IFNAMSIZ], struct error *error)
{
	struct ifreq ifr = {0};

	if (ioctl(tap_fd, TUNGETIFF, &ifr) < 0)
		return error_set_errno(error, errno, "cannot ask the tap for its name");
	memcpy(ret, ifr.ifr_name, IFNAMSIZ);
	return 0;
}

static int run_ip(const struct gateway *g, const char *ifname, unsigned family, struct error *error)
{
	const char *const argv[] = {"ip", family == 4 ? "-4" : "-6", "-batch", "-", NULL};
	_cleanup_(freep) char *batch = NULL;

	if (gateway_ip_batch(g->config, ifname, family, &batch) < 0)
		return error_set(error, ERROR_NO_MEMORY, "gateway");
	return batch[0] ? run(g->ip_program, argv, batch, error) : 0;
}

/* In the host's namespace, where others may have rules too. 'said' is a warning, or left alone. */
static int configure_host(const struct gateway *g, const char *ifname, int *ret_rules,
	struct error *said, struct error *error)
{
	const struct gateway_config *c = g->config;
	_cleanup_(freep) char *rules = NULL;
	int r = gateway_set_host(c, ifname, error);

	if (r == 0)
		r = run_ip(g, ifname, 4, error);
	if (r == 0)
		r = run_ip(g, ifname, 6, error);
	if (r == 0 && gateway_has_rules(c)) {
		if (gateway_host_rules(c, ifname, &rules) < 0)
			return error_set(error, ERROR_NO_MEMORY, "gateway");
		r = gateway_load_rules(rules, ret_rules, error);
	}
	if (r == 0 &&
		!(gateway_leads_out(c) &&
			gateway_find_drop(
				"forward", ifname, said->message, sizeof(said->message))) &&
		gateway_wants_dnsmasq(c))
		(void)gateway_find_drop("input", ifname, said->message, sizeof(said->message));
	return r;
}

static int configure_inside(const struct gateway *g, const char *ifname, struct error *error)
{
	_cleanup_(freep) char *rules = NULL;
	int r = run_ip(g, ifname, 4, error);

	if (r == 0)
		r = run_ip(g, ifname, 6, error);
	if (r < 0)
		return r;
	if (gateway_nft_rules(g->config, ifname, &rules) < 0)
		return error_set(error, ERROR_NO_MEMORY, "gateway");
	return gateway_load_rules(rules, NULL, error);
}

/* What is kept: the tap, and what else there is. */
struct kept {
	int tap_fd, netns_fd, rules_fd;
};

/* Everything from nothing. */
static int set_up(
	const struct gateway *g, struct kept *ret, struct error *said, struct error *error)
{
	const struct gateway_config *c = g->config;
	char ifname[IFNAMSIZ];
	int r;

	if (!gateway_is_on_host(c)) {
		if (unshare(CLONE_NEWNET) < 0)
			return error_set_errno(error, errno, "cannot make a network namespace");
		ret->netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		if (ret->netns_fd < 0)
			return error_set_errno(error, errno, "cannot open the network namespace");
		r = gateway_set_inside(error);
		if (r < 0)
			return r;
	}
	r = host_net_make_tap(c->ifname, c->mac, c->mtu, &ret->tap_fd, error);
	if (r == 0)
		r = tap_name(ret->tap_fd, ifname, error);
	if (r < 0)
		return r;
	return gateway_is_on_host(c) ? configure_host(g, ifname, &ret->rules_fd, said, error)
				     : configure_inside(g, ifname, error);
}

static int other_fd(const struct kept *k)
{
	return k->netns_fd >= 0 ? k->netns_fd : k->rules_fd;
}

static int send_reply(int fd, int r, const char *text, const struct kept *k)
{
	struct gateway_keeper_reply reply = {.r = r};
	int fds[] = {k->tap_fd, other_fd(k)};

	(void)str_copy(reply.text, sizeof(reply.text), text);
	return send_packet(fd, &reply, sizeof(reply), fds, r < 0 ? 0 : fds[1] >= 0 ? 2 : 1);
}

/* The socket's path by its folder's fd: no limit of 108 bytes. */
static int keeper_socket(int dir_fd, struct sockaddr_un *ret)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/keeper", dir_fd);
	return fd < 0 ? -errno : fd;
}

static int listen_for_daemons(int dir_fd)
{
	struct sockaddr_un sa;
	_cleanup_(closep) int fd = keeper_socket(dir_fd, &sa);

	if (fd < 0)
		return fd;
	(void)unlinkat(dir_fd, "keeper", 0);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 4) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int gateway_ask_keeper(int dir_fd)
{
	struct sockaddr_un sa;
	_cleanup_(closep) int fd = keeper_socket(dir_fd, &sa);

	if (fd < 0)
		return fd;
	(void)fd_set_nonblock(fd, true);
	return connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ? -errno : TAKE_FD(fd);
}

static void drop_rights(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)syscall(SYS_capset, &header, data);
	(void)!chdir("/");
}

/* Nothing of the daemon's stays open but what is kept: 3 the tap, 4 the socket, 5 namespace or rules. */
static int arrange(const struct kept *k, int listen_fd)
{
	int other = other_fd(k);

	if (dup2(k->tap_fd, 3) < 0 || dup2(listen_fd, 4) < 0 || (other >= 0 && dup2(other, 5) < 0))
		return -errno;
	return gateway_child_begin(-EBADF, other >= 0 ? 5 : 4);
}

/* Whoever may reach the socket (root) gets what is kept. */
static _noreturn_ void serve(bool has_other)
{
	const struct kept kept = {3, -EBADF, has_other ? 5 : -EBADF};

	for (;;) {
		int fd = accept4(4, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			continue;
		(void)send_reply(fd, 0, "", &kept);
		(void)safe_close(fd);
	}
}

static int out_of_the_way(int fd)
{
	return fd < 0 ? -EBADF : fcntl(fd, F_DUPFD_CLOEXEC, 16);
}

/* A low number may be one of the places. */
static void move_out(struct kept *k)
{
	k->tap_fd = out_of_the_way(k->tap_fd);
	k->netns_fd = out_of_the_way(k->netns_fd);
	k->rules_fd = out_of_the_way(k->rules_fd);
}

void gateway_keeper(const struct gateway *g, int reply_fd)
{
	struct kept k = {g->tap_fd, g->netns_fd, g->rules_fd};
	struct error error = {0}, said = {0};
	int listen_fd, r = 0;

	(void)prctl(PR_SET_NAME, "vmmd-gateway", 0, 0, 0);
	(void)umask(0077);
	reply_fd = out_of_the_way(reply_fd);
	move_out(&k);
	listen_fd = listen_for_daemons(g->dir_fd);
	listen_fd = listen_fd < 0 ? listen_fd : out_of_the_way(listen_fd);
	if (listen_fd < 0)
		r = error_set_errno(&error, listen_fd, "cannot make the keeper's socket");
	else if (k.tap_fd < 0)
		r = set_up(g, &k, &said, &error);
	else if (k.netns_fd >= 0 && setns(k.netns_fd, CLONE_NEWNET) < 0)
		r = error_set_errno(&error, errno, "cannot enter the network namespace");
	move_out(&k);
	drop_rights();
	if (send_reply(reply_fd, r, r < 0 ? error.message : said.message, &k) < 0 || r < 0 ||
		arrange(&k, listen_fd) < 0)
		_exit(1);
	serve(other_fd(&k) >= 0);
}

/* What leads in may be there from before: the rules decide whether it worked. */
static int change(const struct gateway *g, struct error *error)
{
	_cleanup_(freep) char *rules = NULL, *all = NULL;

	for (unsigned family = 4; g->config->n_forwards && family <= 6; family += 2) {
		const char *const ip[] = {
			"ip", family == 4 ? "-4" : "-6", "-force", "-batch", "-", NULL};
		_cleanup_(freep) char *batch = NULL;

		if (gateway_ip_batch_in(g->config, family, &batch) < 0)
			return error_set(error, ERROR_NO_MEMORY, "gateway");
		(void)run(g->ip_program, ip, batch, NULL);
	}
	if (gateway_nft_rules(g->config, g->config->ifname, &rules) < 0 ||
		asprintf(&all, "table inet vmmd\ndelete table inet vmmd\n%s", rules) < 0)
		return error_set(error, ERROR_NO_MEMORY, "gateway");
	return gateway_load_rules(all, NULL, error);
}

void gateway_changer(const struct gateway *g)
{
	struct error error = {0};
	int r = setns(g->netns_fd, CLONE_NEWNET) < 0 ? -errno : 0;

	if (r == 0)
		r = gateway_child_begin(g->log_fd, STDERR_FILENO);
	if (r == 0)
		r = change(g, &error);
	if (r < 0)
		(void)dprintf(STDERR_FILENO, "vmmd: cannot set the rules of port forwards: %s\n",
			error.message[0] ? error.message : strerror(-r));
	_exit(r < 0);
}
