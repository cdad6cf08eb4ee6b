/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Start, exit and memory figures of the shipped worker, in its full sandbox, against QEMU's microvm with the same guest and
 * the same /dev/kvm, and against raw-kvm as the floor. All in one run, interleaved (worker, QEMU, raw, worker, …), so
 * that a machine whose speed drifts treats all alike. Prints medians, extremes and ratios; nothing here passes or fails.
 *
 *	bench WORKER GUESTS RAW-KVM [ROUNDS]
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/guest/harness.h"
#include "tests/bench/measure.h"
#include "tests/guest/jailed.h"
#include "vmm-core/base/cleanup.h"

#define MAX_SAMPLES 1024
#define RAM_MIB     128
#define PIO_ROUNDS  20000

static const char *worker_path, *guest_dir, *raw_path;

struct series {
	double v[MAX_SAMPLES];
	unsigned n;
};

static void add(struct series *s, double v)
{
	if (s->n < MAX_SAMPLES)
		s->v[s->n++] = v;
}

static double at(struct series *s, double part)
{
	if (!s->n)
		return 0;
	qsort(s->v, s->n, sizeof(s->v[0]), by_value);
	return s->v[(unsigned)(part * (s->n - 1) + 0.5)];
}

static void row(const char *id, const char *unit, struct series *ours, struct series *peer,
	struct series *floor)
{
	printf("| %s | %s | %.3f (%.3f-%.3f) | %.3f | %.3f | %.3f | %.2f |\n", id, unit,
		at(ours, 0.5), at(ours, 0), at(ours, 0.95), at(peer, 0.5), at(floor, 0.5),
		peer->n ? at(ours, 0.5) / at(peer, 0.5) : 0,
		floor->n ? at(ours, 0.5) / at(floor, 0.5) : 0);
	(void)fflush(stdout);
}

static const char *guest_path(const char *name)
{
	static char path[4096];

	(void)snprintf(path, sizeof(path), "%s/guest-%s.elf", guest_dir, name);
	return path;
}

/* The worker, in the jail that the daemon would make for it. */

static struct jailed jail;

static void start_ours(struct harness *h, const char *guest, const char *cmdline)
{
	harness_init(h, worker_path, guest_path(guest));
	h->config.memory_kib = h->config.current_memory_kib = RAM_MIB * 1024;
	(void)snprintf(h->config.cmdline, sizeof(h->config.cmdline), "%s", cmdline);
	if (jailed_spawn(&jail, h) < 0 || harness_send_start(h) < 0)
		die("worker: %s", h->error);
}

static double run_ours(const char *guest, const char *cmdline)
{
	double start = now_ms();
	struct harness h;

	start_ours(&h, guest, cmdline);
	if (harness_wait(&h, PROTO_VM_STOPPED, 60000) < 0)
		die("worker: %s", h.error);
	start = now_ms() - start;
	harness_done(&h);
	return start;
}

/* The others: a process that ends with its guest. */

static pid_t spawn(char *const argv[])
{
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		(void)dup2(null, 0);
		(void)dup2(null, 1);
		(void)dup2(null, 2);
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	return pid;
}

static pid_t spawn_qemu(const char *guest, const char *cmdline)
{
	char kernel[4096], line[64], memory[16];
	char *argv[] = {(char[]){"qemu-system-x86_64"}, (char[]){"-M"}, (char[]){"microvm"},
		(char[]){"-accel"}, (char[]){"kvm"}, (char[]){"-cpu"}, (char[]){"qemu64"},
		(char[]){"-nodefaults"}, (char[]){"-no-user-config"}, (char[]){"-display"},
		(char[]){"none"}, (char[]){"-device"},
		(char[]){"isa-debug-exit,iobase=0x501,iosize=4"}, (char[]){"-m"}, memory,
		(char[]){"-kernel"}, kernel, (char[]){"-append"}, line, NULL};

	(void)snprintf(kernel, sizeof(kernel), "%s", guest_path(guest));
	(void)snprintf(line, sizeof(line), "%s", cmdline);
	(void)snprintf(memory, sizeof(memory), "%d", RAM_MIB);
	return spawn(argv);
}

static pid_t spawn_raw(const char *guest, const char *cmdline)
{
	char path[4096], kernel[4096], line[64], memory[16];
	char *argv[] = {path, kernel, memory, line, NULL};

	(void)snprintf(path, sizeof(path), "%s", raw_path);
	(void)snprintf(kernel, sizeof(kernel), "%s", guest_path(guest));
	(void)snprintf(line, sizeof(line), "%s", cmdline);
	(void)snprintf(memory, sizeof(memory), "%d", RAM_MIB);
	return spawn(argv);
}

static double run_other(pid_t (*start)(const char *guest, const char *cmdline), const char *guest,
	const char *cmdline)
{
	double begin = now_ms();
	int status;

	if (waitpid(start(guest, cmdline), &status, 0) < 0 || !WIFEXITED(status) ||
		WEXITSTATUS(status) == 127 || WEXITSTATUS(status) == 111)
		die("a peer failed (is qemu-system-x86 installed?)");
	return now_ms() - begin;
}

/* P1: exec (clone, jail) to the guest's first exit and its end. */
static void bench_start(unsigned rounds)
{
	struct series ours = {0}, peer = {0}, floor = {0};

	for (unsigned i = 0; i < rounds + 2; i++) {
		double a = run_ours("exit", "1"), b = run_other(spawn_qemu, "exit", "1"),
		       c = run_other(spawn_raw, "exit", "1");

		if (i < 2)
			continue; /* warm-up */
		add(&ours, a);
		add(&peer, b);
		add(&floor, c);
	}
	row("P1 start to first exit", "ms", &ours, &peer, &floor);
}

/* P3 (the worker's share): SIGKILL to reaped, of an idle running guest. */
static void bench_stop(unsigned rounds)
{
	struct series ours = {0}, peer = {0}, floor = {0};

	for (unsigned i = 0; i < rounds; i++) {
		struct harness h;
		pid_t pid;
		double t;

		start_ours(&h, "spin", "halt");
		(void)usleep(50000);
		t = now_ms();
		(void)kill(h.pid, SIGKILL);
		(void)waitpid(h.pid, NULL, 0);
		add(&ours, now_ms() - t);
		h.pid = 0;
		harness_done(&h);
		pid = spawn_qemu("spin", "halt");
		(void)usleep(200000);
		t = now_ms();
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		add(&peer, now_ms() - t);
		pid = spawn_raw("spin", "halt");
		(void)usleep(50000);
		t = now_ms();
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		add(&floor, now_ms() - t);
	}
	row("P3 kill to reaped", "ms", &ours, &peer, &floor);
}

/* P4: starts per second, two at a time. */
static double rate(double (*one)(void), unsigned n)
{
	double begin = now_ms();
	pid_t pids[2];

	for (unsigned p = 0; p < 2; p++) {
		pids[p] = fork();
		if (pids[p] == 0) {
			for (unsigned i = 0; i < n / 2; i++)
				(void)one();
			_exit(0);
		}
	}
	for (unsigned p = 0; p < 2; p++)
		(void)waitpid(pids[p], NULL, 0);
	return n / ((now_ms() - begin) / 1e3);
}

static double one_ours(void)
{
	return run_ours("exit", "1");
}

static double one_qemu(void)
{
	return run_other(spawn_qemu, "exit", "1");
}

static double one_raw(void)
{
	return run_other(spawn_raw, "exit", "1");
}

static void bench_rate(void)
{
	struct series ours = {0}, peer = {0}, floor = {0};

	for (unsigned i = 0; i < 4; i++) {
		add(&ours, rate(one_ours, 100));
		add(&peer, rate(one_qemu, 20));
		add(&floor, rate(one_raw, 100));
	}
	row("P4 starts per second, 2 at a time", "1/s", &ours, &peer, &floor);
}

/* P5: private memory without the guest's RAM. */
static double private_mib(pid_t pid)
{
	char path[64], line[512];
	bool ram = false;
	long kib = 0, v;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	f = fopen(path, "re");
	if (!f)
		die("%s: %m", path);
	while (fgets(line, sizeof(line), f)) {
		unsigned long lo, hi;

		if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
			ram = hi - lo == (unsigned long)MIB(RAM_MIB);
		else if (!ram &&
			(sscanf(line, "Private_Clean: %ld", &v) == 1 ||
				sscanf(line, "Private_Dirty: %ld", &v) == 1))
			kib += v;
	}
	(void)fclose(f);
	return (double)kib / 1024;
}

static void bench_memory(unsigned rounds)
{
	struct series ours = {0}, peer = {0}, floor = {0};

	for (unsigned i = 0; i < rounds; i++) {
		struct harness h;
		pid_t pid;

		start_ours(&h, "spin", "halt");
		(void)usleep(200000);
		add(&ours, private_mib(h.pid));
		harness_done(&h);
		pid = spawn_qemu("spin", "halt");
		(void)usleep(400000);
		add(&peer, private_mib(pid));
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		pid = spawn_raw("spin", "halt");
		(void)usleep(100000);
		add(&floor, private_mib(pid));
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	row("P5 private memory, idle", "MiB", &ours, &peer, &floor);
}

/* P8: one port read, there and back: the difference between many and one. */
static void bench_pio(unsigned rounds)
{
	struct series ours = {0}, peer = {0}, floor = {0};
	char many[16];

	(void)snprintf(many, sizeof(many), "%d", PIO_ROUNDS + 1);
	for (unsigned i = 0; i < rounds; i++) {
		add(&ours, (run_ours("pio", many) - run_ours("pio", "1")) * 1e3 / PIO_ROUNDS);
		add(&peer,
			(run_other(spawn_qemu, "pio", many) - run_other(spawn_qemu, "pio", "1")) *
				1e3 / PIO_ROUNDS);
		add(&floor,
			(run_other(spawn_raw, "pio", many) - run_other(spawn_raw, "pio", "1")) *
				1e3 / PIO_ROUNDS);
	}
	row("P8 port exit, guest to monitor and back", "us", &ours, &peer, &floor);
}

int main(int argc, char **argv)
{
	unsigned rounds = argc > 4 ? (unsigned)atoi(argv[4]) : 20;

	if (argc < 4)
		die("usage: bench WORKER GUESTS RAW-KVM [ROUNDS]");
	worker_path = argv[1];
	guest_dir = argv[2];
	raw_path = argv[3];
	(void)signal(SIGPIPE, SIG_IGN);
	if (jailed_init(&jail, worker_path, 0, MIB(RAM_MIB)) < 0)
		die("cannot plan the jail (run as root): %m");
	printf("| figure | unit | vmmd median (min-p95) | QEMU microvm | raw KVM | vmmd/QEMU | "
	       "vmmd/raw |\n");
	printf("|---|---|---|---|---|---|---|\n");
	bench_start(rounds);
	bench_stop(rounds / 2);
	bench_rate();
	bench_memory(MIN(rounds, 5U));
	bench_pio(rounds / 2);
	jailed_done(&jail);
	return 0;
}
