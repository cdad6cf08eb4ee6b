/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thousand machines at once: P5, P7 and P25. One vmmd, N idle machines of 16 MiB, each of which has to answer in the end.
 *
 *	bench-density STATE RUN VMMD WORKER KERNEL [N ROUNDS]
 *
 * needs root, /dev/kvm, and two empty folders, STATE on a disk and RUN in memory as /run is; tests/bench/run --density sees to
 * these. Prints tables; nothing here passes or fails. Run by hand.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "tests/bench/client.h"
#include "tests/bench/measure.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

#define MAX_N       4096
#define WINDOW      8 /* starts under way */
#define IDLE_S      5
#define ANSWER_MS   10000
#define CONNECT_MS  10000
#define MEMORY_MIB  16
#define FIRST_SPARE 1000000 /* numbers of domains that come and go begin here */

static struct {
	const char *state, *run, *vmmd, *worker, *kernel;
	unsigned n, rounds;
	pid_t pid;
} bench;
static struct client rpc;

static void spawn(void)
{
	double begin = now_ms();
	char path[300];

	bench.pid = fork();
	if (bench.pid == 0) {
		(void)signal(SIGCHLD, SIG_DFL);
		(void)execl(bench.vmmd, bench.vmmd, "--session", "--state-dir", bench.state,
			"--runtime-dir", bench.run, "--worker", bench.worker, "--log-level",
			"warning", NULL);
		_exit(127);
	}
	(void)snprintf(path, sizeof(path), "%s/rpc.sock", bench.run);
	while (client_open(&rpc, path) < 0) {
		if (now_ms() - begin > CONNECT_MS)
			die("vmmd does not answer");
		(void)usleep(1000);
	}
}

/* Calls. */

static void call_domain(const char *method, unsigned number)
{
	char params[64];

	(void)snprintf(params, sizeof(params), "{\"domain\":\"dense-%04u\"}", number);
	json_object_put(client_call(&rpc, method, params));
}

static void define(unsigned number)
{
	struct json_object *params = json_object_new_object();
	char xml[2048];

	(void)snprintf(xml, sizeof(xml),
		"<domain type='kvm'>\n"
		"  <name>dense-%04u</name>\n"
		"  <memory unit='MiB'>%u</memory>\n"
		"  <vcpu>1</vcpu>\n"
		"  <os>\n"
		"    <type arch='x86_64' machine='q35'>hvm</type>\n"
		"    <kernel>%s</kernel>\n"
		"  </os>\n"
		"  <devices>\n"
		"    <serial type='pty'><target port='0'/></serial>\n"
		"  </devices>\n"
		"</domain>\n",
		number, MEMORY_MIB, bench.kernel);
	json_object_object_add(params, "xml", json_object_new_string(xml));
	json_object_put(client_call(&rpc, "DefineDomain", json_object_to_json_string(params)));
	json_object_put(params);
}

/* Of all, WINDOW at a time. */
static void call_all(const char *method)
{
	unsigned sent = 0, got = 0;
	size_t len;

	while (got < bench.n) {
		while (sent < bench.n && sent - got < WINDOW) {
			char line[160];

			(void)snprintf(line, sizeof(line),
				"{\"jsonrpc\":\"2.0\",\"id\":%u,\"method\":\"%s\",\"params\":{"
				"\"domain\":\"dense-%04u\"}}\n",
				sent, method, sent);
			client_send(&rpc, line, strlen(line));
			sent++;
		}
		if (!strstr(client_line(&rpc, &len), "\"result\""))
			die("vmmd: a %s fails", method);
		got++;
	}
}

/* What processes use. */

/* The daemon's children: workers, and the process that makes them. */
static unsigned find_children(pid_t pids[MAX_N])
{
	char path[64];
	unsigned n = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", bench.pid, bench.pid);
	f = fopen(path, "re");
	while (f && n < MAX_N && fscanf(f, "%d", &pids[n]) == 1)
		n++;
	if (f)
		(void)fclose(f);
	return n;
}

/* The sum of lines "NAME: n" in a file. */
static double sum_of(const char *path, const char *name)
{
	size_t len = strlen(name);
	double sum = 0, v;
	char line[256];
	FILE *f = fopen(path, "re");

	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, len) == 0 && line[len] == ':' &&
			sscanf(line + len + 1, "%lf", &v) == 1)
			sum += v;
	if (f)
		(void)fclose(f);
	return sum;
}

static double private_kib(pid_t pid)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	return sum_of(path, "Private_Clean") + sum_of(path, "Private_Dirty");
}

/* Of its mappings of the guest's memory. */
static double private_ram_kib(pid_t pid)
{
	char path[64], line[256];
	bool is_ram = false;
	double sum = 0, v;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		unsigned long lo, hi;

		if (sscanf(line, "%lx-%lx ", &lo, &hi) == 2)
			is_ram = strstr(line, "memfd:vmmd-ram");
		else if (is_ram &&
			(sscanf(line, "Private_Clean: %lf", &v) == 1 ||
				sscanf(line, "Private_Dirty: %lf", &v) == 1))
			sum += v;
	}
	if (f)
		(void)fclose(f);
	return sum;
}

/* How often its threads have got a processor. */
static double switches(pid_t pid)
{
	char path[320];
	double sum = 0;
	struct dirent *e;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		if (*e->d_name == '.')
			continue;
		(void)snprintf(
			path, sizeof(path), "/proc/%d/task/%.16s/status", (int)pid, e->d_name);
		sum += sum_of(path, "voluntary_ctxt_switches") +
			sum_of(path, "nonvoluntary_ctxt_switches");
	}
	if (dir)
		(void)closedir(dir);
	return sum;
}

/* CPU of the daemon, of its children that have ended, and of the one that makes workers. */
static double cpu_ms(pid_t pid, bool with_children)
{
	unsigned long user, system, children_user, children_system;
	char path[64], text[1024] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	(void)!fread(text, 1, sizeof(text) - 1, f);
	(void)fclose(f);
	if (sscanf(strrchr(text, ')') + 1,
		    " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &user, &system,
		    &children_user, &children_system) != 4)
		return 0;
	if (with_children)
		system += children_user + children_system;
	return (double)(user + system) * 1e3 / (double)sysconf(_SC_CLK_TCK);
}

static double start_cpu_ms(void)
{
	static pid_t pids[MAX_N];
	unsigned n = find_children(pids);

	/* The first child is the one that makes the others. */
	return cpu_ms(bench.pid, true) + (n ? cpu_ms(pids[0], false) : 0);
}

static double available_mib(void)
{
	return sum_of("/proc/meminfo", "MemAvailable") / 1024;
}

/* Figures. */

/* P25: from StartDomain to its answer, of machines that come and go. */
static void figure_start(const char *what)
{
	static unsigned number = FIRST_SPARE;
	double ms[256], cpu = 0;
	unsigned n = MIN(bench.rounds, (unsigned)ARRAY_SIZE(ms));

	for (unsigned i = 0; i < n + 1; i++, number++) {
		if (i == 1)
			cpu = start_cpu_ms(); /* the first is a warm-up */
		define(number);
		ms[i ? i - 1 : 0] = -now_ms();
		call_domain("StartDomain", number);
		ms[i ? i - 1 : 0] += now_ms();
		call_domain("DestroyDomain", number);
		call_domain("UndefineDomain", number);
	}
	cpu = (start_cpu_ms() - cpu) / n;
	qsort(ms, n, sizeof(ms[0]), by_value);
	printf("| StartDomain to its answer, %s | ms, median (min-p95) | %.2f (%.2f-%.2f) |\n"
	       "| CPU of a definition, start and end, %s | ms | %.2f |\n",
		what, ms[n / 2], ms[0], ms[(unsigned)(0.95 * (n - 1) + 0.5)], what, cpu);
	(void)fflush(stdout);
}

static void figure_memory(double available_before)
{
	static pid_t pids[MAX_N];
	double workers = 0, ram, daemon = private_kib(bench.pid);
	unsigned n = find_children(pids), n_workers = n ? n - 1 : 0;

	for (unsigned i = 1; i < n; i++)
		workers += private_kib(pids[i]);
	ram = n > 1 ? private_ram_kib(pids[1]) : 0;
	printf("| P7 private memory of all processes | MiB | %.1f |\n"
	       "| of a worker | KiB | %.0f, of which the guest's memory %.0f |\n"
	       "| of the daemon | MiB | %.1f |\n"
	       "| the host's available memory, less than before | MiB | %.0f |\n",
		(workers + daemon + (n ? private_kib(pids[0]) : 0)) / 1024,
		n_workers ? workers / n_workers : 0, ram, daemon / 1024,
		available_before - available_mib());
	if (n_workers != bench.n)
		die("%u workers", n_workers);
	(void)fflush(stdout);
}

static void figure_idle(void)
{
	static pid_t pids[MAX_N];
	unsigned n = find_children(pids);
	double workers = 0, daemon = -switches(bench.pid);

	for (unsigned i = 0; i < n; i++)
		workers -= switches(pids[i]);
	(void)sleep(IDLE_S);
	daemon += switches(bench.pid);
	for (unsigned i = 0; i < n; i++)
		workers += switches(pids[i]);
	printf("| wake-ups of all workers, idle | 1/s | %.1f |\n"
	       "| of the daemon | 1/s | %.1f |\n",
		workers / IDLE_S, daemon / IDLE_S);
	(void)fflush(stdout);
}

/* The terminal of a machine's serial port. */
static int open_serial(unsigned number)
{
	struct json_object *answer;
	struct termios mode;
	char params[64], path[64] = "";
	const char *xml, *at;
	int fd;

	(void)snprintf(params, sizeof(params), "{\"domain\":\"dense-%04u\"}", number);
	answer = client_call(&rpc, "GetDomainXml", params);
	xml = json_object_get_string(json_object_object_get(answer, "xml"));
	at = xml ? strstr(xml, "/dev/pts/") : NULL;
	if (at)
		(void)sscanf(at, "%63[^'\"<]", path);
	json_object_put(answer);
	fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || tcgetattr(fd, &mode) < 0)
		die("domain %u: its terminal '%s': %m", number, path);
	cfmakeraw(&mode);
	(void)tcsetattr(fd, TCSANOW, &mode);
	return fd;
}

/* A byte there and back, through the guest's interrupt handler. */
static bool answers(unsigned number)
{
	_cleanup_(closep) int fd = open_serial(number);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte = (char)('A' + number % 26), got = 0;

	if (write(fd, &byte, 1) != 1)
		return false;
	return poll(&p, 1, ANSWER_MS) == 1 && read(fd, &got, 1) == 1 && got == byte;
}

static void figure_answers(void)
{
	double begin = now_ms();
	unsigned n = 0;

	for (unsigned i = 0; i < bench.n; i++)
		n += answers(i);
	printf("| machines that answer | | %u of %u, in %.1f s |\n", n, bench.n,
		(now_ms() - begin) / 1e3);
	(void)fflush(stdout);
}

static void run(void)
{
	double available, begin;
	char alive[64];

	(void)snprintf(alive, sizeof(alive), "%u running", bench.n);
	printf("| %u machines of %u MiB | unit | |\n|---|---|---|\n", bench.n, MEMORY_MIB);
	spawn();
	figure_start("nothing defined");
	for (unsigned i = 0; i < bench.n; i++)
		define(i);
	figure_start("none running");
	available = available_mib();
	begin = now_ms();
	call_all("StartDomain");
	printf("| P7 time to start all | s | %.1f |\n", (now_ms() - begin) / 1e3);
	(void)sleep(2); /* what comes after a start has an end, too */
	figure_idle();
	figure_memory(available);
	figure_answers();
	figure_start(alive);
	begin = now_ms();
	call_all("DestroyDomain");
	printf("| time to end all | s | %.1f |\n", (now_ms() - begin) / 1e3);
	figure_start("none running any more");
	client_close(&rpc);
	kill_children();
}

int main(int argc, char **argv)
{
	if (argc < 6) {
		fprintf(stderr, "usage: bench-density STATE RUN VMMD WORKER KERNEL [N ROUNDS]\n");
		return 1;
	}
	bench.state = argv[1];
	bench.run = argv[2];
	bench.vmmd = argv[3];
	bench.worker = argv[4];
	bench.kernel = argv[5];
	bench.n = argc > 6 ? (unsigned)atoi(argv[6]) : 1000;
	bench.rounds = argc > 7 ? (unsigned)atoi(argv[7]) : 20;
	if (bench.n == 0 || bench.n >= MAX_N || bench.rounds == 0)
		die("from 1 to %d machines, and a round at least", MAX_N - 1);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	(void)signal(SIGCHLD, SIG_IGN);
	run();
	return 0;
}
