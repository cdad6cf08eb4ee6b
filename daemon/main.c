/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmmd: arguments, signals, manager, bus, loop. A table of contents; everything else is in the modules.
 *
 * Tested by tests/system/inside/service.py.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "build-config.h"
#include "daemon/cgroup.h"
#include "daemon/dbus-direct.h"
#include "daemon/dbus.h"
#include "daemon/heap.h"
#include "daemon/host.h"
#include "daemon/journal.h"
#include "daemon/manager.h"
#include "daemon/memory-limit.h"
#include "daemon/metrics-server.h"
#include "daemon/network.h"
#include "daemon/rpc-tls.h"
#include "daemon/rpc.h"
#include "daemon/spawner.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define RECONNECT_USEC UINT64_C(2000000)
#define SLOW_TURN_NS   (NSEC_PER_SEC / 10)

#define MAX_TLS         8
#define TLS_SOCKET_NAME "tls" /* FileDescriptorName= of vmmd-tls.socket */

struct daemon {
	sd_event *event;
	struct manager *manager;
	sd_bus *bus;
	struct dbus *dbus;
	struct dbus_direct *direct;
	struct rpc *rpc;
	struct rpc_tls *tls;
	struct metrics_server *metrics;
	struct heap *heap;
	sd_event_source *reconnect;
	bool session;
};

struct arguments {
	struct manager_options options;
	char state_dir[4096], runtime_dir[4096], tls_dir[4096];
	int metrics_fd;       /* of --metrics; -EBADF */
	int tls_fds[MAX_TLS]; /* of --tls */
	unsigned n_tls;
	int log_level;
};

static void usage(void)
{
	printf("usage: vmmd [OPTION]…\n"
	       "The VM management service.\n\n"
	       "  --session           serve one user, on the session bus\n"
	       "  --state-dir DIR     definitions (" VMMD_STATE_DIR
	       ", with --session $XDG_STATE_HOME/vmmd)\n"
	       "  --runtime-dir DIR   what runs (" VMMD_RUNTIME_DIR
	       ", with --session $XDG_RUNTIME_DIR/vmmd)\n"
	       "  --worker PATH       the worker program (" VMMD_WORKER_PATH ")\n"
	       "  --uid-base N        first uid of the workers' range (262144)\n"
	       "  --metrics ADDRESS   serve metrics by TCP too, at an address of the loopback, "
	       "e.g. "
	       "127.0.0.1:9177\n"
	       "  --tls ADDRESS       serve JSON-RPC by TLS, at ADDRESS[:PORT] (port 16515); up to "
	       "8\n"
	       "  --tls-dir DIR       its certificates, key and map of roles (" VMMD_TLS_DIR
	       ", with --session $XDG_CONFIG_HOME/vmmd/tls)\n"
	       "  --memory-limit SIZE what domains may have of the host's memory in all: 48G, "
	       "65536M, 90%%, or none (default)\n"
	       "  --log-level LEVEL   error, warning, notice, info (default) or debug\n"
	       "  --help, --version\n");
}

static int parse_log_level(const char *s)
{
	static const struct {
		const char *name;
		int level;
	} levels[] = {
		{"error", LOG_ERR},
		{"warning", LOG_WARNING},
		{"notice", LOG_NOTICE},
		{"info", LOG_INFO},
		{"debug", LOG_DEBUG},
	};

	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (streq(s, levels[i].name))
			return levels[i].level;
	return -EINVAL;
}

enum {
	OPT_SESSION = 256,
	OPT_STATE,
	OPT_RUNTIME,
	OPT_WORKER,
	OPT_UID_BASE,
	OPT_MEMORY_LIMIT,
	OPT_METRICS,
	OPT_TLS,
	OPT_TLS_DIR,
	OPT_LOG_LEVEL,
	OPT_VERSION
};

static const struct option options[] = {
	{"session", no_argument, NULL, OPT_SESSION},
	{"state-dir", required_argument, NULL, OPT_STATE},
	{"runtime-dir", required_argument, NULL, OPT_RUNTIME},
	{"worker", required_argument, NULL, OPT_WORKER},
	{"uid-base", required_argument, NULL, OPT_UID_BASE},
	{"memory-limit", required_argument, NULL, OPT_MEMORY_LIMIT},
	{"metrics", required_argument, NULL, OPT_METRICS},
	{"tls", required_argument, NULL, OPT_TLS},
	{"tls-dir", required_argument, NULL, OPT_TLS_DIR},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPT_VERSION},
	{},
};

static int open_metrics(struct arguments *a, const char *address)
{
	int fd = metrics_open_tcp(address);

	if (fd == -EINVAL || fd == -EACCES)
		fprintf(stderr,
			"vmmd: --metrics %s: give an address of the loopback and a port, "
			"127.0.0.1:9177 or [::1]:9177\n",
			address);
	else if (fd < 0)
		fprintf(stderr, "vmmd: --metrics %s: %s\n", address, strerror(-fd));
	if (fd < 0)
		return -EINVAL;
	(void)safe_close(a->metrics_fd);
	a->metrics_fd = fd;
	return 0;
}

static int open_tls(struct arguments *a, const char *address)
{
	int fd = rpc_tls_open_socket(address);

	if (fd == -EINVAL)
		fprintf(stderr,
			"vmmd: --tls %s: give an address, and a port if it is not 16515: 0.0.0.0, "
			"192.0.2.1:16515 or [::]:16515\n",
			address);
	else if (fd < 0)
		fprintf(stderr, "vmmd: --tls %s: %s\n", address, strerror(-fd));
	else if (a->n_tls == MAX_TLS)
		fprintf(stderr, "vmmd: --tls %s: %d addresses are the most\n", address, MAX_TLS);
	if (fd < 0 || a->n_tls == MAX_TLS) {
		(void)safe_close(fd);
		return -EINVAL;
	}
	a->tls_fds[a->n_tls++] = fd;
	return 0;
}

/* One option. 0: go on; 1: end well; -EINVAL. */
static int take_option(struct arguments *a, int c)
{
	uint64_t n;

	switch (c) {
	case OPT_SESSION:
		a->options.session = true;
		return 0;
	case OPT_STATE:
		return str_copy(a->state_dir, sizeof(a->state_dir), optarg);
	case OPT_RUNTIME:
		return str_copy(a->runtime_dir, sizeof(a->runtime_dir), optarg);
	case OPT_WORKER:
		a->options.worker_path = optarg;
		return 0;
	case OPT_UID_BASE:
		if (parse_u64(optarg, INT32_MAX, &n) < 0 || n < 1000) {
			fprintf(stderr, "vmmd: --uid-base %s: give a number from 1000 up\n",
				optarg);
			return -EINVAL;
		}
		a->options.uid_base = (uint32_t)n;
		return 0;
	case OPT_MEMORY_LIMIT:
		if (memory_limit_parse(optarg, host_memory_kib(), &a->options.memory_limit_kib) <
			0) {
			fprintf(stderr,
				"vmmd: --memory-limit %s: give a size (48G, 65536M), a part of the "
				"host's memory (90%%), or none\n",
				optarg);
			return -EINVAL;
		}
		return 0;
	case OPT_METRICS:
		return open_metrics(a, optarg);
	case OPT_TLS:
		return open_tls(a, optarg);
	case OPT_TLS_DIR:
		return str_copy(a->tls_dir, sizeof(a->tls_dir), optarg);
	case OPT_LOG_LEVEL:
		a->log_level = parse_log_level(optarg);
		if (a->log_level < 0)
			fprintf(stderr, "vmmd: unknown log level '%s'\n", optarg);
		return a->log_level < 0 ? -EINVAL : 0;
	case OPT_VERSION:
		printf("vmmd %s\n", VMMD_VERSION);
		return 1;
	case 'h':
		usage();
		return 1;
	default:
		fprintf(stderr, "Try 'vmmd --help'.\n");
		return -EINVAL;
	}
}

/* $variable/vmmd, or $HOME'fallback'/vmmd. */
static int user_dir(char *ret, size_t size, const char *variable, const char *fallback)
{
	const char *base = getenv(variable), *home = getenv("HOME");
	int n = -1;

	if (base && *base == '/')
		n = snprintf(ret, size, "%s/vmmd", base);
	else if (fallback && home && *home == '/')
		n = snprintf(ret, size, "%s%s/vmmd", home, fallback);
	else if (!fallback)
		n = snprintf(ret, size, "/tmp/vmmd-%u", (unsigned)geteuid());
	if (n < 0 || (size_t)n >= size) {
		fprintf(stderr, "vmmd: neither $%s nor an option says where to keep things\n",
			variable);
		return -EINVAL;
	}
	return 0;
}

static int default_dirs(struct arguments *a)
{
	int r = 0;

	if (!a->options.session) {
		if (!a->state_dir[0])
			strcpy(a->state_dir, VMMD_STATE_DIR);
		if (!a->runtime_dir[0])
			strcpy(a->runtime_dir, VMMD_RUNTIME_DIR);
		if (!a->tls_dir[0])
			strcpy(a->tls_dir, VMMD_TLS_DIR);
		return 0;
	}
	if (!a->state_dir[0])
		r = user_dir(a->state_dir, sizeof(a->state_dir), "XDG_STATE_HOME", "/.local/state");
	if (r == 0 && !a->runtime_dir[0])
		r = user_dir(a->runtime_dir, sizeof(a->runtime_dir), "XDG_RUNTIME_DIR", NULL);
	if (r < 0 || a->tls_dir[0])
		return r;
	r = user_dir(
		a->tls_dir, sizeof(a->tls_dir) - sizeof("/tls"), "XDG_CONFIG_HOME", "/.config");
	if (r == 0)
		strcat(a->tls_dir, "/tls");
	return r;
}

static int parse_arguments(struct arguments *a, int argc, char **argv)
{
	int c, r;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0) {
		r = take_option(a, c);
		if (r != 0)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "vmmd: unexpected argument '%s'\n", argv[optind]);
		return -EINVAL;
	}
	r = default_dirs(a);
	a->options.state_dir = a->state_dir;
	a->options.runtime_dir = a->runtime_dir;
	a->options.tls_dir = a->tls_dir;
	return r;
}

static int connect_bus(struct daemon *d);
static void reconnect_later(struct daemon *d);

static int on_reconnect(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct daemon *d = userdata;

	(void)source;
	(void)usec;
	d->reconnect = sd_event_source_disable_unref(d->reconnect);
	d->dbus = dbus_free(d->dbus);
	if (d->manager->cgroup_root)
		cgroup_root_set_bus(d->manager->cgroup_root, NULL);
	d->bus = sd_bus_flush_close_unref(d->bus);
	if (connect_bus(d) >= 0) {
		log_notice("the bus is back");
		return 0;
	}
	d->bus = sd_bus_flush_close_unref(d->bus);
	reconnect_later(d);
	return 0;
}

static void reconnect_later(struct daemon *d)
{
	d->reconnect = sd_event_source_disable_unref(d->reconnect);
	(void)sd_event_add_time_relative(
		d->event, &d->reconnect, CLOCK_MONOTONIC, RECONNECT_USEC, 0, on_reconnect, d);
}

/* Domains run on without a bus; it is tried again until it is there. */
static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	struct daemon *d = userdata;

	(void)m;
	(void)ret_error;
	log_warning("the bus is gone");
	reconnect_later(d);
	return 0;
}

static int connect_bus(struct daemon *d)
{
	int r = d->session ? sd_bus_open_user(&d->bus) : sd_bus_open_system(&d->bus);

	if (r < 0)
		return r;
	(void)sd_bus_set_exit_on_disconnect(d->bus, false);
	r = dbus_new(d->manager, d->bus, !d->session, &d->dbus);
	if (r >= 0)
		r = sd_bus_match_signal(d->bus, NULL, "org.freedesktop.DBus.Local",
			"/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local", "Disconnected",
			on_disconnected, d);
	if (r >= 0)
		r = sd_bus_attach_event(d->bus, d->event, SD_EVENT_PRIORITY_NORMAL);
	if (r < 0)
		return log_error_errno(r, "cannot serve the bus: %m");
	r = sd_bus_request_name(d->bus, VMMD_BUS_NAME, 0);
	if (r < 0)
		return log_error_errno(r, "cannot take the name " VMMD_BUS_NAME ": %m");
	/* A private session bus has no systemd behind it: such an instance makes its groups itself, or none. */
	if (!d->session && sd_booted() > 0 && d->manager->cgroup_root)
		cgroup_root_set_bus(d->manager->cgroup_root, d->bus);
	return 0;
}

/* At the start. Without a bus JSON-RPC is served all the same; a name that another has is a mistake of whoever starts us. */
static int start_bus(struct daemon *d)
{
	int r = connect_bus(d);

	if (r >= 0 || d->bus)
		return r;
	(void)log_warning_errno(r,
		"there is no %s bus (%m): it is tried again until there is one; JSON-RPC is served",
		d->session ? "session" : "system");
	reconnect_later(d);
	return 0;
}

static void find_groups(gid_t gids[API_ROLE_X_MAX])
{
	for (enum api_role role = API_ROLE_NONE + 1; role < API_ROLE_X_MAX; role++) {
		const struct group *group = getgrnam(api_role_group(role));

		gids[role] = group ? group->gr_gid : 0;
	}
}

/* JSON-RPC by TLS at a listening socket, which is taken over. What is wrong with its files is said now; it is served when they are right. */
static void serve_tls(struct daemon *d, int fd)
{
	const struct rpc_tls_options tls = {.dir = d->manager->options.tls_dir};
	char why[TLS_WHY_MAX];
	int r = d->tls ? 0 : rpc_tls_new(d->rpc, &tls, &d->tls);

	if (r < 0)
		(void)safe_close(fd);
	else
		r = rpc_tls_listen(d->tls, fd);
	if (r < 0)
		(void)log_error_errno(r, "cannot serve JSON-RPC by TLS: %m");
	else if (rpc_tls_check(d->tls, why) < 0)
		log_error("TLS: nobody is let in until this is right: %s: %s", tls.dir, why);
	else
		log_info("JSON-RPC is served by TLS, with the certificates and roles of %s",
			tls.dir);
}

/* One of systemd's. Returns 1 if JSON-RPC's own callers come by it. */
static int serve_passed(struct daemon *d, int fd, const char *name)
{
	int r;

	if (streq(name, TLS_SOCKET_NAME) && sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0) {
		serve_tls(d, fd);
		return 0;
	}
	if (sd_is_socket(fd, AF_UNIX, SOCK_STREAM, 1) > 0) {
		r = rpc_listen(d->rpc, fd);
		return r < 0 ? r : 1;
	}
	log_warning("socket '%s' of systemd's is no listening unix stream socket, nor called '%s'",
		name, TLS_SOCKET_NAME);
	return 0;
}

/* The sockets that systemd passes, or one in the folder of what runs; and those of --tls. Without any of them the bus is still there. */
static void serve_rpc(struct daemon *d, const struct arguments *a)
{
	struct rpc_options rpc = {0};
	char path[4096 + sizeof(RPC_SOCKET)], **names = NULL;
	bool served = false;
	int r, n, fd;

	if (!d->session)
		find_groups(rpc.gids);
	r = rpc_new(d->manager, &rpc, &d->rpc);
	n = sd_listen_fds_with_names(true, &names);
	for (int i = 0; i < n; i++) {
		if (r >= 0)
			r = serve_passed(d, SD_LISTEN_FDS_START + i, names[i]);
		served |= r > 0;
		free(names[i]);
	}
	free(names);
	if (r >= 0 && !served) {
		(void)snprintf(
			path, sizeof(path), "%s/" RPC_SOCKET, d->manager->options.runtime_dir);
		/* Whoever has no role is served nothing that is not his. */
		fd = rpc_open_socket(path, d->session ? 0600 : 0666, 0);
		r = fd < 0 ? fd : rpc_listen(d->rpc, fd);
	}
	if (r < 0)
		(void)log_error_errno(r, "cannot serve JSON-RPC: %m");
	for (unsigned i = 0; i < a->n_tls && d->rpc; i++)
		serve_tls(d, a->tls_fds[i]);
}

/* D-Bus for administrators without the bus between. Without it there is the bus. */
static void serve_dbus(struct daemon *d)
{
	const struct group *group =
		d->session ? NULL : getgrnam(api_role_group(API_ROLE_ADMINISTRATOR));
	gid_t gid = group ? group->gr_gid : 0;
	char path[4096 + sizeof(VMMD_DBUS_NAME)];
	int r;

	(void)snprintf(path, sizeof(path), "%s/" VMMD_DBUS_NAME, d->manager->options.runtime_dir);
	r = rpc_open_socket(path, group ? 0660 : 0600, gid);
	if (r >= 0)
		r = dbus_direct_new(d->manager, r, gid, &d->direct);
	if (r < 0)
		(void)log_error_errno(r, "cannot serve D-Bus without a bus: %m");
}

/* On a socket in the folder of what runs, and by TCP if that was asked for. Without it everything else works. */
static void serve_metrics(struct daemon *d, int tcp_fd)
{
	const struct group *group = d->session ? NULL : getgrnam(api_role_group(API_ROLE_READER));
	struct metrics_source source = {.manager = d->manager, .rpc = d->rpc};
	char path[4096 + sizeof(METRICS_SOCKET)];
	int r = metrics_server_new(d->event, &source, &d->metrics), fd;

	if (r >= 0) {
		(void)snprintf(
			path, sizeof(path), "%s/" METRICS_SOCKET, d->manager->options.runtime_dir);
		fd = rpc_open_socket(path, group ? 0660 : 0600, group ? group->gr_gid : 0);
		r = fd < 0 ? fd : metrics_server_listen(d->metrics, fd);
	}
	if (r < 0)
		(void)log_error_errno(r, "cannot serve metrics: %m");
	if (tcp_fd >= 0 && d->metrics) {
		r = metrics_server_listen(d->metrics, tcp_fd);
		if (r < 0)
			(void)log_error_errno(r, "cannot serve metrics by TCP: %m");
	}
}

/* sd_event_loop(), and what its turns take: a turn is what all callers wait for. */
static int loop(struct daemon *d)
{
	int r = 0, code;

	while (r >= 0 && sd_event_get_state(d->event) != SD_EVENT_FINISHED) {
		uint64_t begin = 0, end = 0;
		struct timespec now;

		r = sd_event_prepare(d->event);
		if (r == 0)
			r = sd_event_wait(d->event, UINT64_MAX);
		if (r <= 0)
			continue;
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		begin = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
		r = sd_event_dispatch(d->event);
		(void)clock_gettime(CLOCK_MONOTONIC, &now);
		end = (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
		d->manager->loop.turns++;
		d->manager->loop.busy_ns += end - begin;
		d->manager->loop.slow_turns += end - begin > SLOW_TURN_NS;
		heap_look(d->heap);
	}
	return r >= 0 && sd_event_get_exit_code(d->event, &code) >= 0 ? code : r;
}

static int set_up_process(struct daemon *d)
{
	struct rlimit files;
	sigset_t mask;
	int r;

	heap_set_up();
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGTERM);
	(void)sigaddset(&mask, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	r = sd_event_default(&d->event);
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(d->event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = sd_event_set_watchdog(d->event, true);
	return r < 0 ? log_error_errno(r, "cannot set up the event loop: %m") : 0;
}

static int run(struct arguments *a)
{
	struct daemon d = {.session = a->options.session};
	_cleanup_(spawner_freep) struct spawner *spawner = NULL;
	struct error e = {0};
	int r = spawner_new(&spawner);

	if (r < 0)
		(void)log_warning_errno(
			r, "cannot make the process that makes workers: starts take longer: %m");
	a->options.spawner = spawner;
	r = set_up_process(&d);
	if (r >= 0) {
		r = manager_new(d.event, &a->options, &d.manager, &e);
		if (r >= 0)
			r = manager_load(d.manager, &e);
		if (r < 0)
			log_error("%s", e.message);
	}
	if (r >= 0)
		r = start_bus(&d);
	if (r >= 0) {
		serve_rpc(&d, a);
		serve_dbus(&d);
		serve_metrics(&d, a->metrics_fd);
		if (!d.session) {
			network_define_default(d.manager, VMMD_DEFAULT_NETWORK);
			manager_autostart(d.manager);
		}
		if (heap_new(d.event, HEAP_DELAY_USEC, &d.heap) < 0)
			log_warning("free memory is not given back");
		(void)sd_notify(false, "READY=1");
		r = loop(&d);
		(void)sd_notify(false, "STOPPING=1");
	}
	(void)heap_free(d.heap);
	(void)sd_event_source_disable_unref(d.reconnect);
	(void)metrics_server_free(d.metrics);
	(void)rpc_tls_free(d.tls);
	(void)rpc_free(d.rpc);
	(void)dbus_direct_free(d.direct);
	(void)dbus_free(d.dbus);
	(void)manager_free(d.manager);
	(void)sd_bus_flush_close_unref(d.bus);
	(void)sd_event_unref(d.event);
	return r;
}

/* Is what we write on standard error read by journald? Whoever is started by a service of systemd's inherits the variable, too. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
		fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

int main(int argc, char **argv)
{
	static struct arguments a = {.metrics_fd = -EBADF, .log_level = LOG_INFO};
	bool in_journal;
	int r;

	a.options.worker_path = VMMD_WORKER_PATH;
	r = parse_arguments(&a, argc, argv);
	if (r != 0)
		return r < 0 ? 2 : 0;
	in_journal = stderr_is_journal();
	log_init("vmmd", a.log_level, in_journal);
	journal_open(in_journal ? JOURNAL_SOCKET : NULL);
	return run(&a) < 0 ? 1 : 0;
}
