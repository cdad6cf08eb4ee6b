/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One interleaved run of vmmd against Debian's libvirtd, both running at once: figures P2, P3, P6, P17 to P20, P24 and P25.
 *
 *	DBUS_SESSION_BUS_ADDRESS=… bench-daemons DIR VMMD WORKER KERNEL [DEFINED RUNNING ALIVE ROUNDS]
 *
 * needs root, a session bus of its own and an empty folder DIR on the disk; tests/bench/run --libvirt sees to these. Without
 * /dev/kvm no machine runs, of either side, and the figures that need one are skipped, each with a line.
 * Prints tables; nothing here passes or fails. Run by hand.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/daemons.h"
#include "vmm-core/base/strutil.h"

#define MAX_CALLERS 64
#define WAIT_MS     120000

struct bench_options bench;

void daemon_kill(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

void side_wait(const struct side_ops *side)
{
	double begin = now_ms();

	for (;;) {
		struct bench_seen seen = {0};

		if (side->look(&seen) == 0)
			return;
		if (now_ms() - begin > WAIT_MS)
			die("%s does not answer", side->name);
		(void)usleep(1000);
	}
}

void bench_uuid(unsigned number, char ret[37])
{
	(void)snprintf(ret, 37, "be9c4a11-0000-4000-8000-%012x", number);
}

int bench_number(const char *uuid)
{
	unsigned number;

	return sscanf(uuid, "be9c4a11-0000-4000-8000-%12x", &number) == 1 ? (int)number : -1;
}

void bench_domain_init(struct bench_domain *ret, unsigned number, const char *cmdline)
{
	*ret = (struct bench_domain){.number = number, .memory_mib = 16, .cmdline = cmdline};
	(void)snprintf(ret->name, sizeof(ret->name), "bench-%04u", number);
}

void bench_xml(const struct bench_domain *d, bool is_vmmd, char *ret, size_t size)
{
	char uuid[37];

	bench_uuid(d->number, uuid);
	(void)snprintf(ret, size,
		"<domain type='%s'>\n"
		"  <name>%s</name>\n"
		"  <uuid>%s</uuid>\n"
		"  <title>number %u of a benchmark</title>\n"
		"  <memory unit='MiB'>%u</memory>\n"
		"  <vcpu>1</vcpu>\n"
		"  <os>\n"
		"    <type arch='x86_64' machine='q35'>hvm</type>\n"
		"    <kernel>%s</kernel>\n"
		"    <cmdline>%s</cmdline>\n"
		"  </os>\n"
		"  <features><acpi/></features>\n"
		"  <on_poweroff>destroy</on_poweroff>\n"
		"  <on_reboot>restart</on_reboot>\n"
		"  <on_crash>destroy</on_crash>\n"
		"  <devices>\n"
		"    <controller type='usb' model='none'/>\n"
		"    <serial type='pty'><target port='0'/></serial>\n"
		"    <console type='pty'><target type='serial' port='0'/></console>\n"
		"    <memballoon model='none'/>\n"
		"  </devices>\n"
		"</domain>\n",
		is_vmmd ? "kvm" : "qemu", d->name, uuid, d->number, d->memory_mib, bench.kernel,
		d->cmdline);
}

void series_add(struct series *s, double v)
{
	if (s->n < BENCH_MAX_SAMPLES)
		s->v[s->n++] = v;
}

double series_at(struct series *s, double part)
{
	struct series sorted = *s;

	if (!s->n)
		return 0;
	qsort(sorted.v, sorted.n, sizeof(sorted.v[0]), by_value);
	return sorted.v[(unsigned)(part * (sorted.n - 1) + 0.5)];
}

void table_head(const char *figure)
{
	printf("\n| %s | unit | median (min-p95) | vmmd/libvirt, medians | of each round: median "
	       "(min-max) | rounds |\n|---|---|---|---|---|---|\n",
		figure);
	(void)fflush(stdout);
}

static const char *const side_names[BENCH_MAX_SIDES] = {"vmmd, JSON-RPC", "vmmd, D-Bus", "libvirt"};

void table_rows(const char *figure, const char *unit, struct series sides[BENCH_MAX_SIDES])
{
	struct series *peer = &sides[BENCH_MAX_SIDES - 1];

	for (unsigned i = 0; i < BENCH_MAX_SIDES; i++) {
		static struct series ratios;

		if (sides[i].n == 0)
			continue;
		printf("| %s: %s | %s | %.3f (%.3f-%.3f) |", figure, side_names[i], unit,
			series_at(&sides[i], 0.5), series_at(&sides[i], 0),
			series_at(&sides[i], 0.95));
		if (i == BENCH_MAX_SIDES - 1 || peer->n == 0) {
			printf(" | | %u |\n", sides[i].n);
			continue;
		}
		ratios.n = 0;
		for (unsigned k = 0; k < MIN(sides[i].n, peer->n); k++)
			series_add(&ratios, sides[i].v[k] / peer->v[k]);
		printf(" %.4f | %.4f (%.4f-%.4f) | %u |\n",
			series_at(&sides[i], 0.5) / series_at(peer, 0.5), series_at(&ratios, 0.5),
			series_at(&ratios, 0), series_at(&ratios, 1), sides[i].n);
	}
	(void)fflush(stdout);
}

struct share {
	pthread_t thread;
	pthread_barrier_t *barrier;
	unsigned first, n;
	void (*one)(unsigned first, unsigned n, void *connection);
	void *connection;
};

static void *run_share(void *userdata)
{
	struct share *s = userdata;

	(void)pthread_barrier_wait(s->barrier);
	s->one(s->first, s->n, s->connection);
	return NULL;
}

double in_threads(unsigned first, unsigned n, unsigned callers,
	void (*one)(unsigned first, unsigned n, void *connection), void *(*connect)(void),
	void (*disconnect)(void *connection))
{
	struct share shares[MAX_CALLERS];
	pthread_barrier_t barrier;
	double begin;

	callers = MIN(callers, (unsigned)MAX_CALLERS);
	(void)pthread_barrier_init(&barrier, NULL, callers + 1);
	for (unsigned i = 0; i < callers; i++) {
		unsigned from = n * i / callers, to = n * (i + 1) / callers;

		shares[i] = (struct share){.barrier = &barrier,
			.first = first + from,
			.n = to - from,
			.one = one,
			.connection = connect()};
		if (pthread_create(&shares[i].thread, NULL, run_share, &shares[i]) != 0)
			die("no thread");
	}
	(void)pthread_barrier_wait(&barrier);
	begin = now_ms();
	for (unsigned i = 0; i < callers; i++)
		(void)pthread_join(shares[i].thread, NULL);
	begin = now_ms() - begin;
	for (unsigned i = 0; i < callers; i++)
		disconnect(shares[i].connection);
	(void)pthread_barrier_destroy(&barrier);
	return begin / 1e3;
}

static void print_load(const char *when)
{
	char load[64] = "";
	FILE *f = fopen("/proc/loadavg", "re");

	if (f) {
		(void)!fgets(load, sizeof(load), f);
		(void)fclose(f);
	}
	printf("\nLoad, %s: %.14s\n", when, load);
	(void)fflush(stdout);
}

/* The first 'n' of both, then more of vmmd alone. */
static void start_domains(unsigned from, unsigned to, bool of_libvirt)
{
	for (unsigned i = from; i < to; i++) {
		struct bench_domain d;

		bench_domain_init(&d, i, "halt");
		side_rpc.start(&d);
		if (of_libvirt)
			side_libvirt.start(&d);
	}
}

static void end_domains(unsigned n, const struct side_ops *side)
{
	for (unsigned i = 0; i < n; i++) {
		struct bench_domain d;

		bench_domain_init(&d, i, "halt");
		side->destroy(&d);
	}
}

static void open_all(void)
{
	side_rpc.open();
	side_dbus.open();
	side_libvirt.open();
}

static void close_all(void)
{
	side_rpc.close();
	side_dbus.close();
	side_libvirt.close();
}

static void run(void)
{
	char what[64];

	bench.vmmd_pid = vmmd_spawn();
	bench.libvirtd_pid = libvirtd_spawn();
	side_wait(&side_rpc);
	side_wait(&side_libvirt);
	open_all();
	figure_memory("nothing defined", 0);
	figure_start("nothing defined, none running");
	figure_define();
	figure_memory("defined", bench.defined);
	start_domains(0, bench.running, true);
	(void)snprintf(what, sizeof(what), "%u defined, %u running", bench.defined, bench.running);
	print_load(what);
	figure_memory(what, bench.defined);
	figure_start(what);
	figure_null();
	figure_lists();
	figure_fairness();
	close_all();
	figure_restart();
	open_all();
	print_load("after the restarts");
	end_domains(bench.running, &side_libvirt);
	start_domains(bench.running, bench.alive, false);
	(void)snprintf(what, sizeof(what), "%u running with vmmd, none with libvirt", bench.alive);
	if (bench.kvm)
		figure_start(what);
	end_domains(MAX(bench.alive, bench.running), &side_rpc);
	(void)snprintf(what, sizeof(what), "%u defined, none running", bench.defined);
	figure_start(what);
	close_all();
	kill_children();
}

/* What daemons-libvirt.c stops in the middle. */
static void ask_libvirt(void)
{
	side_libvirt.open();
	for (;;)
		(void)side_libvirt.stats();
}

static unsigned number_or(int argc, char **argv, int i, unsigned otherwise)
{
	return argc > i ? (unsigned)atoi(argv[i]) : otherwise;
}

int main(int argc, char **argv)
{
	if (argc == 3 && streq(argv[1], "--ask-libvirt")) {
		(void)str_copy(bench.dir, sizeof(bench.dir), argv[2]);
		ask_libvirt();
	}
	if (argc < 5 || str_copy(bench.dir, sizeof(bench.dir), argv[1]) < 0) {
		fprintf(stderr,
			"usage: bench-daemons DIR VMMD WORKER KERNEL [DEFINED RUNNING "
			"ALIVE ROUNDS]\n");
		return 1;
	}
	bench.vmmd = argv[2];
	bench.worker = argv[3];
	bench.kernel = argv[4];
	bench.defined = number_or(argc, argv, 5, 3000);
	bench.running = number_or(argc, argv, 6, 200);
	bench.alive = number_or(argc, argv, 7, 1000);
	bench.rounds = number_or(argc, argv, 8, 20);
	bench.kvm = access("/dev/kvm", R_OK | W_OK) == 0;
	if (!bench.kvm)
		bench.running = bench.alive = 0;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)signal(SIGCHLD, SIG_IGN);
	print_load("before");
	run();
	print_load("after");
	return 0;
}
