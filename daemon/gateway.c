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
#include <sys/syscall.h>

#include "daemon/gateway-internal.h"
#include "daemon/process.h"
#include "daemon/worker-log.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

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
	list_init(&g->waits);
	g->ops = ops;
	g->opaque = opaque;
	g->runtime_fd = g->dir_fd = g->state_fd = g->log_fd = -EBADF;
	g->tap_fd = g->netns_fd = g->rules_fd = g->keeper_fd = -EBADF;
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

/* What the keeper sent: the tap, and for some another. */
static void take_kept(struct gateway *g, const int fds[2], unsigned n_fds)
{
	int *other = g->config->kind == GATEWAY_NAT ? &g->netns_fd : &g->rules_fd;

	(void)safe_close(g->tap_fd);
	g->tap_fd = fds[0];
	if (n_fds < 2)
		return;
	(void)safe_close(*other);
	*other = fds[1];
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
	reply.text[sizeof(reply.text) - 1] = 0;
	if (n == (ssize_t)sizeof(reply) && reply.r == 0 && n_fds == gateway_n_fds(g->config)) {
		bool first = g->tap_fd < 0;

		text_clean(reply.text);
		if (reply.text[0])
			log_warning("network '%s': %s", g->config->name, reply.text);
		take_kept(g, fds, n_fds);
		if (first)
			go_on(g);
		return 0;
	}
	for (unsigned i = 0; i < n_fds; i++)
		(void)safe_close(fds[i]);
	/* One that was to take over what there is: its death starts another. */
	if (g->tap_fd >= 0)
		return 0;
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
	if (kind == GATEWAY_DNSMASQ) {
		(void)unlinkat(g->dir_fd, "dnsmasq.pid", 0);
		g->unread = 0;
	}
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
	r = gateway_open_dirs(g, place, true);
	if (r < 0)
		return error_set_errno(error, r,
			"network '%s': cannot make the folder of its gateway", g->config->name);
	gateway_find_user(g);
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
	unsigned n_fds = 0;
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct gateway_keeper_reply reply;
	int fds[2];
	ssize_t n;

	if (fd < 0)
		return fd;
	if (poll(&p, 1, GATEWAY_ADOPT_MS) != 1)
		return -ETIMEDOUT;
	n = recv_packet(fd, &reply, sizeof(reply), fds, 2, &n_fds);
	if (n != (ssize_t)sizeof(reply) || n_fds != gateway_n_fds(g->config)) {
		for (unsigned i = 0; i < n_fds; i++)
			(void)safe_close(fds[i]);
		return n < 0 ? (int)n : -EBADMSG;
	}
	take_kept(g, fds, n_fds);
	return 0;
}

static int take_over(struct gateway *g, const struct gateway_place *place)
{
	char resolv[GATEWAY_TEXT_MAX];
	struct gateway_status status;
	int r = gateway_open_dirs(g, place, false), keeper;

	if (r == 0)
		r = gateway_load_status(g->dir_fd, &status);
	if (r < 0)
		return r == -ENOENT ? -ESRCH : r;
	open_log(g, place);
	gateway_find_user(g);
	gateway_find_resolv(g, resolv, sizeof(resolv));
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
	gateway_follow_end(g);
	(void)sd_event_source_disable_unref(g->pid_watch);
	(void)sd_event_source_disable_unref(g->setup_timer);
	(void)sd_event_source_disable_unref(g->keeper_source);
	(void)worker_log_free(g->log);
	(void)safe_close(g->keeper_fd);
	(void)safe_close(g->log_fd);
	(void)safe_close(g->tap_fd);
	(void)safe_close(g->netns_fd);
	(void)safe_close(g->rules_fd);
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
	gateway_remove_files(g);
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

bool gateway_trouble(const struct gateway *g, char *ret_text, size_t size)
{
	for (unsigned i = GATEWAY_DNSMASQ; i < GATEWAY_PROCESS_X_MAX; i++) {
		const struct gateway_process *p = &g->processes[i];

		if (!gateway_process_is_troubled(p))
			continue;
		(void)snprintf(ret_text, size, "%s %s", gateway_process_name(i), p->trouble);
		return true;
	}
	return false;
}

unsigned gateway_leases(const struct gateway *g, const struct gateway_lease **ret_leases)
{
	*ret_leases = g->leases;
	return g->n_leases;
}
