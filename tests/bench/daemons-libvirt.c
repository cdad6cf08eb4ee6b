/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Debian's libvirtd as a side of bench-daemons (daemons.h): the daemon in a mount namespace of its own, where its folders are
 * ours, and a client by libvirt's library.
 *
 * It runs as root with its defaults, but for: no security driver (there is none on such hosts), no mount namespace for each
 * QEMU, logs written without virtlogd, /dev/kvm out of its sight. Domains are of type 'qemu'. All of these make it faster.
 */
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/bench/daemons.h"
#include "vmm-core/base/strutil.h"

#define CALLERS                                                                                    \
	16 /* of null_many: threads that share a connection, which is how its library has more than one call under way */
#define FILES 8192 /* LimitNOFILE of Debian's unit */

static virConnectPtr conn;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_started = PTHREAD_COND_INITIALIZER;
static char started[64];
static pid_t stalled;

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f) != 0)
		die("%s: %m", path);
}

/* 'from', with a line more, in the place of 'from'. */
static void extend(const char *from, const char *copy, const char *line)
{
	char text[65536];
	FILE *f = fopen(from, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 256, f) : 0;

	if (f)
		(void)fclose(f);
	(void)snprintf(text + n, sizeof(text) - n, "%s\n", line);
	write_file(copy, text);
	if (mount(copy, from, NULL, MS_BIND, NULL) < 0)
		die("%s: %m", from);
}

static void own_folders(void)
{
	static const struct {
		const char *name, *path;
	} folders[] = {
		{"etc", "/etc/libvirt"},
		{"lib", "/var/lib/libvirt"},
		{"run", "/run/libvirt"},
		{"log", "/var/log/libvirt"},
		{"cache", "/var/cache/libvirt"},
	};
	char path[300];

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		(void)snprintf(path, sizeof(path), "%s/libvirt-%s", bench.dir, folders[i].name);
		if ((mkdir(path, 0755) < 0 || mkdir(folders[i].path, 0755) < 0) && errno != EEXIST)
			die("%s: %m", path);
		if (mount(path, folders[i].path, NULL, MS_BIND, NULL) < 0)
			die("%s: %m", folders[i].path);
	}
	/* What Debian's package of the system service would make. */
	(void)snprintf(path, sizeof(path), "%s/libvirt-etc/passwd", bench.dir);
	extend("/etc/passwd", path, "libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin");
	(void)snprintf(path, sizeof(path), "%s/libvirt-etc/group", bench.dir);
	extend("/etc/group", path, "libvirt-qemu:x:64055:");
	(void)snprintf(path, sizeof(path), "%s/libvirt-etc/no-kvm", bench.dir);
	write_file(path, "");
	if (access("/dev/kvm", F_OK) == 0 &&
		(chmod(path, 0) < 0 || mount(path, "/dev/kvm", NULL, MS_BIND, NULL) < 0))
		die("/dev/kvm: %m");
}

pid_t libvirtd_spawn(void)
{
	const struct rlimit files = {FILES, FILES};
	char log[300];
	pid_t pid = fork();

	if (pid)
		return pid;
	(void)signal(SIGCHLD, SIG_DFL);
	(void)snprintf(log, sizeof(log), "%s/libvirtd.log", bench.dir);
	(void)!freopen(log, "a", stderr);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		die("a mount namespace: %m");
	own_folders();
	write_file("/etc/libvirt/qemu.conf",
		"security_driver = \"none\"\nstdio_handler = \"file\"\nnamespaces = []\n");
	write_file("/etc/libvirt/libvirtd.conf", "auth_unix_rw = \"none\"\n");
	(void)setrlimit(RLIMIT_NOFILE, &files);
	(void)execl("/usr/sbin/libvirtd", "libvirtd", "--pid-file", "/run/libvirt/libvirtd.pid",
		"--config", "/etc/libvirt/libvirtd.conf", NULL);
	_exit(127);
}

static void ignore_error(void *userdata, virErrorPtr error)
{
	(void)userdata;
	(void)error;
}

static virConnectPtr try_connect(void)
{
	char uri[400];

	virSetErrorFunc(NULL, ignore_error);
	(void)snprintf(
		uri, sizeof(uri), "qemu:///system?socket=%s/libvirt-run/libvirt-sock", bench.dir);
	return virConnectOpen(uri);
}

static void *connect_or_die(void)
{
	virConnectPtr c = try_connect();

	if (!c)
		die("libvirt: %s", virGetLastErrorMessage());
	return c;
}

static int on_event(virConnectPtr c, virDomainPtr domain, int event, int detail, void *userdata)
{
	(void)c;
	(void)detail;
	(void)userdata;
	if (event != VIR_DOMAIN_EVENT_STARTED)
		return 0;
	(void)pthread_mutex_lock(&lock);
	(void)str_copy(started, sizeof(started), virDomainGetName(domain));
	(void)pthread_cond_signal(&has_started);
	(void)pthread_mutex_unlock(&lock);
	return 0;
}

static void *event_thread(void *userdata)
{
	for (;;)
		(void)virEventRunDefaultImpl();
	return userdata;
}

static void libvirt_open(void)
{
	static bool once;
	pthread_t thread;

	if (!once) {
		once = true;
		if (virEventRegisterDefaultImpl() < 0 ||
			pthread_create(&thread, NULL, event_thread, NULL) != 0)
			die("libvirt: no event loop");
	}
	conn = connect_or_die();
}

static void libvirt_close(void)
{
	(void)virConnectClose(conn);
}

static void check(int r, const char *what)
{
	if (r < 0)
		die("libvirt: %s: %s", what, virGetLastErrorMessage());
}

static virDomainPtr find(const char *name)
{
	virDomainPtr d = virDomainLookupByName(conn, name);

	if (!d)
		die("libvirt: %s: %s", name, virGetLastErrorMessage());
	return d;
}

static void define_by(virConnectPtr c, const struct bench_domain *d)
{
	virDomainPtr domain;
	char xml[2048];

	bench_xml(d, false, xml, sizeof(xml));
	domain = virDomainDefineXML(c, xml);
	check(domain ? 0 : -1, "define");
	(void)virDomainFree(domain);
}

static void libvirt_define(const struct bench_domain *d)
{
	define_by(conn, d);
}

static void libvirt_undefine(const struct bench_domain *d)
{
	virDomainPtr domain = find(d->name);

	check(virDomainUndefine(domain), "undefine");
	(void)virDomainFree(domain);
}

static void libvirt_start(const struct bench_domain *d)
{
	virDomainPtr domain = find(d->name);

	check(virDomainCreate(domain), "start");
	(void)virDomainFree(domain);
}

static void libvirt_destroy(const struct bench_domain *d)
{
	virDomainPtr domain = find(d->name);

	check(virDomainDestroy(domain), "destroy");
	(void)virDomainFree(domain);
}

static double libvirt_run(const struct bench_domain *d)
{
	int id = virConnectDomainEventRegisterAny(conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
		VIR_DOMAIN_EVENT_CALLBACK(on_event), NULL, NULL);
	double begin;

	check(id, "events");
	(void)pthread_mutex_lock(&lock);
	*started = 0;
	(void)pthread_mutex_unlock(&lock);
	begin = now_ms();
	libvirt_define(d);
	libvirt_start(d);
	(void)pthread_mutex_lock(&lock);
	while (!streq(started, d->name))
		(void)pthread_cond_wait(&has_started, &lock);
	(void)pthread_mutex_unlock(&lock);
	begin = now_ms() - begin;
	(void)virConnectDomainEventDeregisterAny(conn, id);
	return begin;
}

static void disconnect(void *c)
{
	(void)virConnectClose(c);
}

static void thread_define(unsigned first, unsigned n, void *c)
{
	for (unsigned i = first; i < first + n; i++) {
		struct bench_domain d;

		bench_domain_init(&d, i, "halt");
		define_by(c, &d);
	}
}

static double libvirt_define_many(unsigned first, unsigned n, unsigned callers)
{
	return in_threads(first, n, callers, thread_define, connect_or_die, disconnect);
}

/* A call that the daemon answers from memory. */
static void libvirt_null(void)
{
	unsigned long version;

	check(virConnectGetLibVersion(conn, &version), "version");
}

static void *the_connection(void)
{
	return conn;
}

static void keep(void *c)
{
	(void)c;
}

static void thread_null(unsigned first, unsigned n, void *c)
{
	(void)first;
	(void)c;
	for (unsigned i = 0; i < n; i++)
		libvirt_null();
}

static double libvirt_null_many(unsigned n)
{
	return in_threads(0, n, CALLERS, thread_null, the_connection, keep);
}

static void libvirt_info(const char *name)
{
	virDomainPtr domain = find(name);
	virDomainInfo info;

	check(virDomainGetInfo(domain, &info), "info");
	(void)virDomainFree(domain);
}

static size_t libvirt_list(void)
{
	virDomainPtr *domains;
	int n = virConnectListAllDomains(conn, &domains, 0);

	check(n, "list");
	for (int i = 0; i < n; i++)
		(void)virDomainFree(domains[i]);
	free(domains);
	return (size_t)n;
}

static size_t libvirt_stats(void)
{
	virDomainStatsRecordPtr *records;
	int n = virConnectGetAllDomainStats(conn, 0, &records, 0);

	check(n, "statistics");
	virDomainStatsRecordListFree(records);
	return (size_t)n;
}

static int libvirt_look(struct bench_seen *seen)
{
	virConnectPtr c = try_connect();
	virDomainPtr *domains;
	int n = c ? virConnectListAllDomains(c, &domains, 0) : -1, state, reason;
	char uuid[VIR_UUID_STRING_BUFLEN];

	if (n < 0) {
		if (c)
			(void)virConnectClose(c);
		return -ECONNREFUSED;
	}
	for (int i = 0; i < n; i++) {
		bool runs = virDomainGetID(domains[i]) != (unsigned)-1 &&
			virDomainGetState(domains[i], &state, &reason, 0) == 0 &&
			state == VIR_DOMAIN_RUNNING;
		int number =
			virDomainGetUUIDString(domains[i], uuid) == 0 ? bench_number(uuid) : -1;

		seen->total++;
		seen->running += runs;
		if (number >= 0 && (unsigned)number < seen->n) {
			seen->defined[number] = true;
			seen->runs[number] = runs;
		}
		(void)virDomainFree(domains[i]);
	}
	free(domains);
	(void)virConnectClose(c);
	return 0;
}

/* A process that asks for all statistics in a loop, and is stopped in the middle of it. */
static void libvirt_stall(void)
{
	stalled = fork();
	if (stalled == 0) {
		(void)execl("/proc/self/exe", "bench-daemons", "--ask-libvirt", bench.dir, NULL);
		_exit(127);
	}
	(void)usleep(500000);
	(void)kill(stalled, SIGSTOP);
}

static void libvirt_unstall(void)
{
	daemon_kill(stalled);
}

const struct side_ops side_libvirt = {
	.name = "libvirt",
	.open = libvirt_open,
	.close = libvirt_close,
	.run = libvirt_run,
	.define = libvirt_define,
	.undefine = libvirt_undefine,
	.start = libvirt_start,
	.destroy = libvirt_destroy,
	.define_many = libvirt_define_many,
	.null = libvirt_null,
	.null_many = libvirt_null_many,
	.info = libvirt_info,
	.list = libvirt_list,
	.stats = libvirt_stats,
	.look = libvirt_look,
	.stall = libvirt_stall,
	.unstall = libvirt_unstall,
};
