/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The processes of a gateway: started in their namespaces, watched, started again, found again, killed.
 *
 * Tested by tests/unit/test-gateway-nat.c, -host.c and -life.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "daemon/gateway-internal.h"
#include "daemon/process.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

const char *gateway_process_name(enum gateway_process_kind kind)
{
	static const char *const names[GATEWAY_PROCESS_X_MAX] = {
		[GATEWAY_KEEPER] = "keeper",
		[GATEWAY_DNSMASQ] = "dnsmasq",
		[GATEWAY_SLIRP] = "slirp4netns",
		[GATEWAY_PASTA] = "pasta",
		[GATEWAY_CHANGER] = "changer",
	};

	return names[kind];
}

/* In children. */

int gateway_child_begin(int log_fd, int keep_fd)
{
	int null_fd, oom_fd;
	sigset_t none;

	for (int sig = 1; sig < 65; sig++)
		(void)signal(sig, sig == SIGPIPE ? SIG_IGN : SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)setsid();
	(void)umask(0077);
	/* The daemon is protected from the OOM killer; these need not be. Best effort. */
	oom_fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (oom_fd >= 0)
		(void)!write(oom_fd, "0", 1);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
	if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
		dup2(log_fd >= 0 ? log_fd : null_fd, STDOUT_FILENO) < 0 ||
		dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
		return -errno;
	return syscall(SYS_close_range, keep_fd + 1, ~0U, 0) < 0 ? -errno : 0;
}

/* 'source' is seen as 'target' too, which is /run/SOMETHING of the gateway's folder. */
static int show(const struct gateway *g, const char *source, const char *target)
{
	char path[sizeof(g->dir_path) + 64];

	(void)snprintf(path, sizeof(path), "%s%s", g->dir_path, target + strlen("/run"));
	return mount(source, path, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
}

/* A mount namespace of its own: what it mounts (slirp4netns and pasta do) is nobody else's business. dnsmasq and pasta
 * have the gateway's folder as their /run. */
static int enter_mounts(const struct gateway_process *p, const char *netns)
{
	const struct gateway *g = p->gateway;
	int r = 0;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	if (p->kind == GATEWAY_SLIRP)
		return 0;
	if (p->kind == GATEWAY_PASTA)
		r = show(g, netns, GATEWAY_NETNS);
	else if (g->resolv_dir[0])
		r = show(g, g->resolv_dir, GATEWAY_RESOLV);
	if (r < 0)
		return r;
	return mount(g->dir_path, "/run", NULL, MS_BIND | MS_REC, NULL) < 0 ? -errno : 0;
}

static _noreturn_ void exec_dnsmasq(const struct gateway_process *p)
{
	static const char *const argv[] = {"dnsmasq", "-k", "--conf-file=/run/dnsmasq.conf", NULL};

	(void)execv(p->program, (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* There is a default route for IPv6: a line "0…0 00 … IFNAME" of anything but lo. */
static bool has_ipv6_route(void)
{
	_cleanup_(freep) char *text = NULL;
	char dest[33], ifname[NET_IFNAME_MAX];
	unsigned prefix;

	if (read_file(AT_FDCWD, "/proc/net/ipv6_route", MIB(4), &text, NULL) < 0)
		return false;
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (sscanf(line, "%32s %x %*s %*s %*s %*s %*s %*s %*s %15s", dest, &prefix,
			    ifname) == 3 &&
			prefix == 0 && strspn(dest, "0") == 32 && !streq(ifname, "lo"))
			return true;
	}
	return false;
}

/* By its own path: what policy the host has for it (AppArmor) holds. It shuts itself in as soon as it is ready. */
static _noreturn_ void exec_pasta(const struct gateway_process *p)
{
	struct gateway_args args;

	gateway_pasta_args(p->gateway->config, GATEWAY_NETNS, has_ipv6_route(), &args);
	/* It takes a SIGPIPE that is ignored already for an error. */
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execv(p->program, (char *const *)(uintptr_t)args.argv);
	_exit(127);
}

static _noreturn_ void exec_slirp(const struct gateway_process *p, const char *netns)
{
	struct gateway_args args;

	gateway_slirp_args(p->gateway->config, netns, &args);
	(void)execv(p->program, (char *const *)(uintptr_t)args.argv);
	_exit(127);
}

static _noreturn_ void child(const struct gateway_process *p)
{
	const struct gateway *g = p->gateway;
	char netns[64];
	int r;

	(void)snprintf(
		netns, sizeof(netns), "/proc/%d/ns/net", (int)g->processes[GATEWAY_KEEPER].pid);
	if (p->kind == GATEWAY_DNSMASQ && g->netns_fd >= 0 && setns(g->netns_fd, CLONE_NEWNET) < 0)
		_exit(126);
	r = gateway_child_begin(g->log_fd, STDERR_FILENO);
	if (r == 0)
		r = enter_mounts(p, netns);
	if (r < 0) {
		(void)dprintf(STDERR_FILENO, "vmmd: cannot prepare %s: %s\n",
			gateway_process_name(p->kind), strerror(-r));
		_exit(126);
	}
	if (p->kind == GATEWAY_DNSMASQ)
		exec_dnsmasq(p);
	else if (p->kind == GATEWAY_PASTA)
		exec_pasta(p);
	exec_slirp(p, netns);
}

/* In the daemon. */

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct gateway_process *p = userdata;

	(void)source;
	(void)usec;
	p->retry = sd_event_source_disable_unref(p->retry);
	gateway_process_start(p);
	return 0;
}

static uint64_t now_usec(const struct gateway_process *p)
{
	uint64_t now = 0;

	(void)sd_event_now(p->gateway->event, CLOCK_MONOTONIC, &now);
	return now;
}

static bool has_lived(const struct gateway_process *p)
{
	return p->started_usec && now_usec(p) - p->started_usec >= GATEWAY_WELL_USEC;
}

bool gateway_process_is_troubled(const struct gateway_process *p)
{
	return p->wanted && p->trouble[0] && !(p->pid && has_lived(p));
}

/* Again, the later the shorter it lived. */
static void retry_later(struct gateway_process *p)
{
	if (has_lived(p))
		p->delay_usec = 0;
	p->delay_usec = p->delay_usec ? MIN(2 * p->delay_usec, GATEWAY_RETRY_MAX_USEC)
				      : GATEWAY_RETRY_MIN_USEC;
	p->retry = sd_event_source_disable_unref(p->retry);
	(void)sd_event_add_time_relative(
		p->gateway->event, &p->retry, CLOCK_MONOTONIC, p->delay_usec, 0, on_retry, p);
}

static void describe(const siginfo_t *si, char *text, size_t size)
{
	if (!si->si_pid)
		(void)snprintf(text, size, "ended");
	else if (si->si_code != CLD_EXITED)
		(void)snprintf(text, size, "was killed by signal %d (%s)", si->si_status,
			strsignal(si->si_status));
	else
		(void)snprintf(text, size, "ended with exit status %d", si->si_status);
}

/* There is one for IPv4: a line "IFNAME 00000000 GATEWAY FLAGS … 00000000 …". */
static bool has_ipv4_route(void)
{
	_cleanup_(freep) char *text = NULL;
	unsigned dest, mask;

	if (read_file(AT_FDCWD, "/proc/net/route", MIB(4), &text, NULL) < 0)
		return true;
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		if (*line == '\n')
			line++;
		if (sscanf(line, "%*s %x %*s %*s %*s %*s %*s %x", &dest, &mask) == 2 && !dest &&
			!mask)
			return true;
	}
	return false;
}

/* What of the host may be why it ends: " (…)", or "". */
static const char *hint(const struct gateway_process *p)
{
	_cleanup_(freep) char *text = NULL;

	if (p->kind == GATEWAY_PASTA && !has_ipv4_route())
		return " (the host has no default route for IPv4, which port forwards need)";
	if (p->kind != GATEWAY_PASTA ||
		read_file(AT_FDCWD, "/sys/kernel/security/apparmor/profiles", MIB(1), &text, NULL) <
			0 ||
		!strstr(text, "passt (enforce)"))
		return "";
	return " (AppArmor's profile 'passt' is in force: if the kernel's log says that it denied "
	       "something, run `aa-complain passt`)";
}

/* Once: it may go on like this for days. gateway_trouble() says it to those who ask. */
static void tell_trouble(struct gateway_process *p, const char *how)
{
	bool again = !has_lived(p) && streq(p->trouble, how);

	(void)str_copy(p->trouble, sizeof(p->trouble), how);
	if (again)
		return;
	log_warning("network '%s': %s %s%s; it is started again, and less often the longer it does "
		    "not stay: see the log gateway:%s.log",
		p->gateway->config->name, gateway_process_name(p->kind), how, hint(p),
		p->gateway->config->name);
}

static int on_pidfd(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct gateway_process *p = userdata;
	bool restarting = p->restarting;
	siginfo_t si = {0};
	char how[128];

	(void)source;
	(void)fd;
	(void)revents;
	/* An adopted one is not our child: ECHILD, and nobody knows how it ended. */
	if (waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED | WNOHANG) < 0)
		si.si_pid = 0;
	describe(&si, how, sizeof(how));
	gateway_process_release(p);
	if (gateway_on_death(p->gateway, p->kind, how,
		    si.si_pid && si.si_code == CLD_EXITED ? si.si_status : -1))
		return 0;
	p->restarting = false;
	if (restarting || !p->wanted) {
		gateway_process_start(p);
		gateway_save_status(p->gateway);
		return 0;
	}
	tell_trouble(p, how);
	gateway_follow_failed(p->gateway, p->kind, how);
	retry_later(p);
	gateway_save_status(p->gateway);
	return 0;
}

static int watch(struct gateway_process *p)
{
	return sd_event_add_io(p->gateway->event, &p->source, p->pidfd, EPOLLIN, on_pidfd, p);
}

static int spawn(struct gateway_process *p, int reply_fd)
{
	pid_t pid = (pid_t)syscall(
		SYS_clone, (unsigned long)CLONE_PIDFD | SIGCHLD, NULL, &p->pidfd, NULL, 0UL);
	int r;

	if (pid < 0) {
		p->pidfd = -EBADF;
		return -errno;
	}
	if (pid == 0) {
		if (p->kind == GATEWAY_KEEPER)
			gateway_keeper(p->gateway, reply_fd);
		if (p->kind == GATEWAY_CHANGER)
			gateway_changer(p->gateway);
		child(p);
	}
	p->pid = pid;
	p->started_usec = now_usec(p);
	r = process_start_time(pid, &p->start_time);
	if (r == 0)
		r = watch(p);
	if (r < 0)
		gateway_process_kill(p);
	else if (p->gateway->ops->started && p->kind != GATEWAY_CHANGER)
		p->gateway->ops->started(p->gateway->opaque, gateway_process_name(p->kind), pid);
	return r;
}

/* The keeper says how it went by a socket. */
static int spawn_keeper(struct gateway_process *p)
{
	struct gateway *g = p->gateway;
	int pair[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	r = spawn(p, pair[1]);
	(void)safe_close(pair[1]);
	if (r < 0) {
		(void)safe_close(pair[0]);
		return r;
	}
	g->keeper_fd = safe_close(g->keeper_fd);
	g->keeper_fd = pair[0];
	return gateway_watch_keeper(g);
}

void gateway_process_start(struct gateway_process *p)
{
	int r;

	if (!p->wanted || p->pid)
		return;
	r = p->kind == GATEWAY_KEEPER ? spawn_keeper(p) : spawn(p, -EBADF);
	if (r < 0) {
		(void)log_warning_errno(r, "network '%s': cannot start %s: %m",
			p->gateway->config->name, gateway_process_name(p->kind));
		gateway_follow_failed(p->gateway, p->kind, "cannot be started");
		retry_later(p);
	}
	gateway_save_status(p->gateway);
}

void gateway_process_restart(struct gateway_process *p, int signal)
{
	if (p->pid) {
		p->restarting = true;
		(void)syscall(SYS_pidfd_send_signal, p->pidfd, signal, NULL, 0);
		return;
	}
	p->retry = sd_event_source_disable_unref(p->retry);
	p->delay_usec = 0;
	p->trouble[0] = 0;
	gateway_process_start(p);
}

int gateway_process_adopt(struct gateway_process *p, pid_t pid, uint64_t start_time)
{
	uint64_t found;
	int r;

	p->pidfd = process_open(pid);
	if (p->pidfd < 0)
		return p->pidfd;
	/* Asked after pidfd_open: if it is the same process now, the pidfd is its. */
	r = process_start_time(pid, &found);
	if (r == 0 && (found != start_time || process_is_gone(p->pidfd)))
		r = -ESRCH;
	if (r < 0) {
		p->pidfd = safe_close(p->pidfd);
		return r;
	}
	p->pid = pid;
	p->start_time = start_time;
	p->started_usec = now_usec(p);
	r = watch(p);
	if (r < 0)
		gateway_process_release(p);
	return r;
}

void gateway_process_release(struct gateway_process *p)
{
	p->source = sd_event_source_disable_unref(p->source);
	p->retry = sd_event_source_disable_unref(p->retry);
	p->pidfd = safe_close(p->pidfd);
	p->pid = 0;
}

void gateway_process_kill(struct gateway_process *p)
{
	struct pollfd gone = {.fd = p->pidfd, .events = POLLIN};
	siginfo_t si;

	if (p->pid) {
		(void)process_kill(p->pidfd);
		/* Nothing it holds may be left when the network is started anew. */
		if (poll(&gone, 1, GATEWAY_KILL_MS) != 1)
			log_warning("network '%s': %s does not end", p->gateway->config->name,
				gateway_process_name(p->kind));
		(void)waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED | WNOHANG);
	}
	gateway_process_release(p);
}
