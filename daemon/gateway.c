/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A gateway's life: see gateway.h. */
#include "daemon/gateway.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "daemon/gateway-internal.h"
#include "daemon/process.h"
#include "daemon/worker-log.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define DIR_NAME "gateway"

/* What is in the folder, for removing it. */
static const char *const files[] = {"dnsmasq.conf", "dnsmasq.conf.new", "hosts", "hosts.new",
	"dhcp-hosts", "dhcp-hosts.new", "dnsmasq.pid", "pasta", "pasta.new", "pasta.avx2",
	"pasta.avx2.new", "status", "status.new", "log", "keeper"};

static int find_program(const struct gateway_place *place, const char *name, char *ret, size_t size)
{
	const char *p = place->program_path ? place->program_path : GATEWAY_PROGRAM_PATH;

	while (*p) {
		size_t len = strcspn(p, ":");

		if (len && (size_t)snprintf(ret, size, "%.*s/%s", (int)len, p, name) < size &&
			access(ret, X_OK) == 0)
			return 0;
		p += len + (p[len] == ':');
	}
	ret[0] = 0;
	return -ENOENT;
}

static int find_programs(struct gateway *g, const struct gateway_place *place, struct error *error)
{
	struct gateway_process *all = g->processes;
	bool nat = g->config->kind == GATEWAY_NAT, in = nat && g->config->n_forwards;
	const struct {
		bool wanted;
		const char *name, *package;
		char *path;
	} programs[] = {
		{g->config->n_ips > 0 || nat, "ip", "iproute2", g->ip_program},
		{nat, "nft", "nftables", g->nft_program},
		{all[GATEWAY_DNSMASQ].wanted, "dnsmasq", "dnsmasq-base",
			all[GATEWAY_DNSMASQ].program},
		{nat, "slirp4netns", "slirp4netns", all[GATEWAY_SLIRP].program},
		{in, "pasta", "passt", all[GATEWAY_PASTA].program},
	};

	/* Port forwards may come later. */
	if (nat)
		(void)find_program(place, "pasta", all[GATEWAY_PASTA].program, GATEWAY_TEXT_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (programs[i].wanted &&
			find_program(place, programs[i].name, programs[i].path, GATEWAY_TEXT_MAX) <
				0)
			return error_set(error, ERROR_OPERATION_FAILED,
				"network '%s' needs %s: install %s", g->config->name,
				programs[i].name, programs[i].package);
	return 0;
}

/* The user that dnsmasq becomes: its own where the package has made it. */
static void find_user(struct gateway *g)
{
	_cleanup_(freep) char *text = NULL;
	bool own = read_file(AT_FDCWD, "/etc/passwd", MIB(1), &text, NULL) == 0 &&
		(strncmp(text, "dnsmasq:", 8) == 0 || strstr(text, "\ndnsmasq:"));

	(void)str_copy(g->dnsmasq_user, sizeof(g->dnsmasq_user), own ? "dnsmasq" : "nobody");
}

static int open_dirs(struct gateway *g, const struct gateway_place *place, bool create)
{
	g->runtime_fd = fcntl(place->runtime_fd, F_DUPFD_CLOEXEC, 3);
	g->state_fd = fcntl(place->state_fd, F_DUPFD_CLOEXEC, 3);
	if (g->runtime_fd < 0 || g->state_fd < 0)
		return -errno;
	if ((size_t)snprintf(g->dir_path, sizeof(g->dir_path), "%s/" DIR_NAME,
		    place->runtime_path) >= sizeof(g->dir_path) ||
		str_copy(g->state_path, sizeof(g->state_path), place->state_path) < 0)
		return -ENAMETOOLONG;
	if (create && mkdirat(g->runtime_fd, DIR_NAME, 0755) < 0 && errno != EEXIST)
		return -errno;
	g->dir_fd =
		openat(g->runtime_fd, DIR_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (g->dir_fd < 0)
		return -errno;
	return create && fchmod(g->dir_fd, 0755) < 0 ? -errno : 0;
}

static void open_log(struct gateway *g, const struct gateway_place *place)
{
	char name[NET_NAME_MAX + 16];
	int r;

	if (place->log_fd < 0)
		return;
	(void)snprintf(name, sizeof(name), "gateway:%s", g->config->name);
	r = worker_log_open(g->event, place->log_fd, name, g->dir_fd, &g->log, &g->log_fd);
	if (r < 0)
		(void)log_warning_errno(
			r, "network '%s': its gateway has no log: %m", g->config->name);
}

static struct gateway *allocate(sd_event *event, const struct gateway_config *config,
	const struct gateway_ops *ops, void *opaque)
{
	struct gateway *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->event = sd_event_ref(event);
	g->ops = ops;
	g->opaque = opaque;
	g->runtime_fd = g->dir_fd = g->state_fd = g->log_fd = -EBADF;
	g->tap_fd = g->netns_fd = g->keeper_fd = -EBADF;
	for (unsigned i = 0; i < GATEWAY_PROCESS_X_MAX; i++)
		g->processes[i] = (struct gateway_process){
			.gateway = g, .kind = (enum gateway_process_kind)i, .pidfd = -EBADF};
	g->config = malloc(sizeof(*config));
	if (!g->config)
		return gateway_release(g);
	*g->config = *config;
	g->processes[GATEWAY_KEEPER].wanted = true;
	g->processes[GATEWAY_DNSMASQ].wanted = gateway_wants_dnsmasq(config);
	g->processes[GATEWAY_SLIRP].wanted = config->kind == GATEWAY_NAT;
	g->processes[GATEWAY_PASTA].wanted = config->kind == GATEWAY_NAT && config->n_forwards;
	return g;
}

static int write_hosts(const struct gateway *g, const struct gateway_config *c)
{
	_cleanup_(freep) char *hosts = NULL, *dhcp_hosts = NULL;
	int r;

	r = gateway_dnsmasq_hosts(c, &hosts);
	if (r == 0)
		r = gateway_dnsmasq_dhcp_hosts(c, &dhcp_hosts);
	if (r == 0)
		r = gateway_write_file(g->dir_fd, "hosts", hosts, 0644);
	return r == 0 ? gateway_write_file(g->dir_fd, "dhcp-hosts", dhcp_hosts, 0644) : r;
}

int gateway_format_conf(struct gateway *g, const struct gateway_config *c, char **ret_text)
{
	char name[UUID_STRING_LEN + 16], leases[sizeof(g->state_path) + sizeof(name) + 1];

	gateway_lease_name(c->uuid, name, sizeof(name));
	(void)snprintf(leases, sizeof(leases), "%s/%s", g->state_path, name);
	return gateway_dnsmasq_conf(c, "/run", leases, g->dnsmasq_user, ret_text);
}

int gateway_write_files(struct gateway *g, const struct gateway_config *c)
{
	_cleanup_(freep) char *conf = NULL;
	int r = gateway_format_conf(g, c, &conf);

	if (r == 0)
		r = gateway_write_file(g->dir_fd, "dnsmasq.conf", conf, 0644);
	if (r == 0)
		r = gateway_write_file(g->dir_fd, "pasta", "", 0644);
	if (r == 0)
		r = gateway_write_file(g->dir_fd, "pasta.avx2", "", 0644);
	return r == 0 ? write_hosts(g, c) : r;
}

/* Answers nothing that may be touched any more. */
static void fail(struct gateway *g, const struct error *error)
{
	const struct gateway_ops *ops = g->ops;

	g->setup_timer = sd_event_source_disable_unref(g->setup_timer);
	log_warning("%s", error->message);
	ops->failed(g->opaque, error);
}

static void become_ready(struct gateway *g)
{
	int fd = gateway_tap_fd(g);

	g->ready = true;
	g->setup_timer = sd_event_source_disable_unref(g->setup_timer);
	if (fd >= 0) {
		g->ops->ready(g->opaque, fd);
		return;
	}
	fail(g, &(struct error){.code = ERROR_NO_MEMORY, .message = "no fd for the gateway's tap"});
}

void gateway_check_ready(struct gateway *g)
{
	bool dnsmasq = g->processes[GATEWAY_DNSMASQ].wanted;

	if (!g->ready && g->tap_fd >= 0 &&
		(!dnsmasq || faccessat(g->dir_fd, "dnsmasq.pid", F_OK, 0) == 0))
		become_ready(g);
}

/* dnsmasq writes its pid when it has opened everything. */
static int on_dir(sd_event_source *source, const struct inotify_event *change, void *userdata)
{
	(void)source;
	(void)change;
	gateway_check_ready(userdata);
	return 0;
}

static int on_setup_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct gateway *g = userdata;
	struct error error;

	(void)source;
	(void)usec;
	(void)error_set(&error, ERROR_TIMEOUT, "network '%s': its gateway is not ready after %u s",
		g->config->name, (unsigned)(GATEWAY_SETUP_USEC / 1000000));
	fail(g, &error);
	return 0;
}

/* The name that the tap has got. */
static int learn_ifname(struct gateway *g)
{
	struct ifreq ifr = {0};

	if (ioctl(g->tap_fd, TUNGETIFF, &ifr) < 0)
		return -errno;
	return str_copy(g->config->ifname, sizeof(g->config->ifname), ifr.ifr_name);
}

static void go_on(struct gateway *g)
{
	struct error error;
	int r = learn_ifname(g);

	if (r == 0)
		r = gateway_write_files(g, g->config);
	if (r < 0) {
		(void)error_set_errno(&error, r,
			"network '%s': cannot write the files of its gateway", g->config->name);
		fail(g, &error);
		return;
	}
	for (unsigned i = GATEWAY_DNSMASQ; i < GATEWAY_PROCESS_X_MAX; i++)
		gateway_process_start(&g->processes[i]);
	gateway_check_ready(g);
}

static int on_keeper(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	static const char prefix[] = "operation failed: ";
	struct gateway *g = userdata;
	struct gateway_keeper_reply reply = {0};
	struct error error;
	unsigned n_fds = 0;
	int fds[2];
	const char *text = reply.text;
	ssize_t n;

	(void)source;
	(void)revents;
	n = recv_packet(fd, &reply, sizeof(reply), fds, 2, &n_fds);
	g->keeper_source = sd_event_source_disable_unref(g->keeper_source);
	g->keeper_fd = safe_close(g->keeper_fd);
	if (n == (ssize_t)sizeof(reply) && reply.r == 0 &&
		n_fds == (g->config->kind == GATEWAY_NAT ? 2U : 1U)) {
		bool first = g->tap_fd < 0;

		(void)safe_close(g->tap_fd);
		g->tap_fd = fds[0];
		if (n_fds > 1) {
			(void)safe_close(g->netns_fd);
			g->netns_fd = fds[1];
		}
		if (first)
			go_on(g);
		return 0;
	}
	for (unsigned i = 0; i < n_fds; i++)
		(void)safe_close(fds[i]);
	/* One that was to take over what there is: its death starts another. */
	if (g->tap_fd >= 0)
		return 0;
	reply.text[sizeof(reply.text) - 1] = 0;
	/* error_set() says it again. */
	if (strncmp(text, prefix, strlen(prefix)) == 0)
		text += strlen(prefix);
	if (n == (ssize_t)sizeof(reply))
		(void)error_set(&error, ERROR_OPERATION_FAILED, "network '%s': %.900s",
			g->config->name, text);
	else
		(void)error_set(&error, ERROR_OPERATION_FAILED,
			"network '%s': its gateway cannot be made", g->config->name);
	text_clean(error.message);
	fail(g, &error);
	return 0;
}

int gateway_watch_keeper(struct gateway *g)
{
	int r;

	g->keeper_source = sd_event_source_disable_unref(g->keeper_source);
	r = sd_event_add_io(g->event, &g->keeper_source, g->keeper_fd, EPOLLIN, on_keeper, g);
	if (r < 0)
		return r;
	/* Before its death: last words first. */
	return sd_event_source_set_priority(g->keeper_source, SD_EVENT_PRIORITY_NORMAL - 1);
}

bool gateway_on_death(
	struct gateway *g, enum gateway_process_kind kind, const char *how, int status)
{
	const char *why = "";
	struct error error;

	/* Why, its socket has said. */
	if (kind == GATEWAY_KEEPER && g->tap_fd < 0)
		return true;
	if (kind == GATEWAY_CHANGER)
		return gateway_rules_changed(g, status);
	if (kind == GATEWAY_DNSMASQ)
		(void)unlinkat(g->dir_fd, "dnsmasq.pid", 0);
	if (kind != GATEWAY_DNSMASQ || g->ready)
		return false;
	if (status == 2)
		why = " (another program has taken its addresses or ports)";
	else if (status == 3)
		why = " (its files cannot be used)";
	(void)error_set(&error, ERROR_OPERATION_FAILED,
		"network '%s': dnsmasq %s%s; see the log gateway:%s.log", g->config->name, how, why,
		g->config->name);
	fail(g, &error);
	return true;
}

static int begin(struct gateway *g, const struct gateway_place *place, struct error *error)
{
	int r = find_programs(g, place, error);

	if (r < 0)
		return r;
	r = open_dirs(g, place, true);
	if (r < 0)
		return error_set_errno(error, r,
			"network '%s': cannot make the folder of its gateway", g->config->name);
	find_user(g);
	open_log(g, place);
	(void)unlinkat(g->dir_fd, "dnsmasq.pid", 0);
	r = gateway_leases_watch(g);
	if (r == 0)
		r = sd_event_add_inotify(g->event, &g->pid_watch, g->dir_path,
			IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR, on_dir, g);
	if (r == 0)
		r = sd_event_add_time_relative(g->event, &g->setup_timer, CLOCK_MONOTONIC,
			GATEWAY_SETUP_USEC, 0, on_setup_timer, g);
	if (r < 0)
		return error_set_errno(
			error, r, "network '%s': cannot watch its gateway", g->config->name);
	gateway_process_start(&g->processes[GATEWAY_KEEPER]);
	return 0;
}

int gateway_new(sd_event *event, const struct gateway_config *config,
	const struct gateway_place *place, const struct gateway_ops *ops, void *opaque,
	struct gateway **ret_gateway, struct error *error)
{
	_cleanup_(gateway_freep) struct gateway *g = NULL;
	int r = gateway_config_validate(config, error);

	if (r < 0)
		return r;
	g = allocate(event, config, ops, opaque);
	if (!g)
		return error_set(error, ERROR_NO_MEMORY, "gateway");
	r = begin(g, place, error);
	if (r < 0)
		return r;
	*ret_gateway = TAKE_PTR(g);
	return 0;
}

/* The keeper gives back what it keeps. */
static int take_fds(struct gateway *g)
{
	_cleanup_(closep) int fd = gateway_ask_keeper(g->dir_fd);
	unsigned n_fds = 0, n_wanted = g->config->kind == GATEWAY_NAT ? 2 : 1;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct gateway_keeper_reply reply;
	int fds[2];
	ssize_t n;

	if (fd < 0)
		return fd;
	if (poll(&p, 1, GATEWAY_ADOPT_MS) != 1)
		return -ETIMEDOUT;
	n = recv_packet(fd, &reply, sizeof(reply), fds, 2, &n_fds);
	if (n != (ssize_t)sizeof(reply) || n_fds != n_wanted) {
		for (unsigned i = 0; i < n_fds; i++)
			(void)safe_close(fds[i]);
		return n < 0 ? (int)n : -EBADMSG;
	}
	g->tap_fd = fds[0];
	g->netns_fd = n_fds > 1 ? fds[1] : -EBADF;
	return 0;
}

static int take_over(struct gateway *g, const struct gateway_place *place)
{
	struct gateway_status status;
	int r = open_dirs(g, place, false), keeper;

	if (r == 0)
		r = gateway_load_status(g->dir_fd, &status);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	open_log(g, place);
	find_user(g);
	keeper = -ESRCH;
	for (unsigned i = 0; i < GATEWAY_PROCESS_X_MAX; i++) {
		r = status.pids[i] ? gateway_process_adopt(&g->processes[i], status.pids[i],
					     status.start_times[i])
				   : -ESRCH;
		if (i == GATEWAY_KEEPER)
			keeper = r;
	}
	if (keeper < 0)
		return -ESRCH;
	/* Rules that were set while no daemon ran: pasta has not followed. */
	if (status.pids[GATEWAY_CHANGER] && !g->processes[GATEWAY_CHANGER].pid)
		gateway_process_restart(&g->processes[GATEWAY_PASTA], SIGKILL);
	r = take_fds(g);
	if (r == 0)
		r = learn_ifname(g);
	if (r == 0)
		r = gateway_leases_watch(g);
	return r;
}

int gateway_adopt(sd_event *event, const struct gateway_config *config,
	const struct gateway_place *place, const struct gateway_ops *ops, void *opaque,
	struct gateway **ret_gateway, struct error *error)
{
	_cleanup_(gateway_freep) struct gateway *g = NULL;
	int r = gateway_config_validate(config, error);

	if (r < 0)
		return r;
	g = allocate(event, config, ops, opaque);
	if (!g)
		return error_set(error, ERROR_NO_MEMORY, "gateway");
	r = find_programs(g, place, error);
	if (r < 0)
		return r;
	r = take_over(g, place);
	if (r < 0)
		return error_set_errno(error, r, "network '%s': its gateway cannot be taken over",
			g->config->name);
	g->ready = true;
	for (unsigned i = GATEWAY_DNSMASQ; i < GATEWAY_PROCESS_X_MAX; i++) {
		if (g->processes[i].wanted && !g->processes[i].pid)
			log_notice("network '%s': %s ended while no vmmd ran; it is started again",
				g->config->name, gateway_process_name(i));
		gateway_process_start(&g->processes[i]);
	}
	*ret_gateway = TAKE_PTR(g);
	return 0;
}

struct gateway *gateway_release(struct gateway *g)
{
	if (!g)
		return NULL;
	for (unsigned i = 0; i < GATEWAY_PROCESS_X_MAX; i++)
		gateway_process_release(&g->processes[i]);
	gateway_leases_done(g);
	(void)sd_event_source_disable_unref(g->pid_watch);
	(void)sd_event_source_disable_unref(g->setup_timer);
	(void)sd_event_source_disable_unref(g->keeper_source);
	(void)worker_log_free(g->log);
	(void)safe_close(g->keeper_fd);
	(void)safe_close(g->log_fd);
	(void)safe_close(g->tap_fd);
	(void)safe_close(g->netns_fd);
	(void)safe_close(g->dir_fd);
	(void)safe_close(g->state_fd);
	(void)safe_close(g->runtime_fd);
	sd_event_unref(g->event);
	free(g->config);
	free(g);
	return NULL;
}

struct gateway *gateway_free(struct gateway *g)
{
	if (!g)
		return NULL;
	/* The keeper last: what the others hold is inside what it holds. */
	for (unsigned i = GATEWAY_PROCESS_X_MAX; i-- > 0;)
		gateway_process_kill(&g->processes[i]);
	if (g->dir_fd >= 0) {
		for (size_t i = 0; i < ARRAY_SIZE(files); i++)
			(void)unlinkat(g->dir_fd, files[i], 0);
		(void)unlinkat(g->runtime_fd, DIR_NAME, AT_REMOVEDIR);
	}
	return gateway_release(g);
}

int gateway_tap_fd(const struct gateway *g)
{
	int fd = g->tap_fd >= 0 ? fcntl(g->tap_fd, F_DUPFD_CLOEXEC, 3) : -1;

	return fd >= 0 ? fd : g->tap_fd < 0 ? -EAGAIN : -errno;
}

int gateway_netns_fd(const struct gateway *g)
{
	return g->netns_fd;
}

const char *gateway_ifname(const struct gateway *g)
{
	return g->config->ifname;
}

unsigned gateway_leases(const struct gateway *g, const struct gateway_lease **ret_leases)
{
	*ret_leases = g->leases;
	return g->n_leases;
}
