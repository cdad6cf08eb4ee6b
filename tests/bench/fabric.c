/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fabric from virtqueue to virtqueue against its limits and its peers: frames and bits per second, CPU time of all
 * processes together, round trips of one frame with everybody asleep in between, and what a quiet pair costs. In turns, as
 * the other benchmarks are; prints medians, extremes and the medians of the ratios within a round. Nothing passes or fails.
 *
 *	bench-fabric [ROUNDS [PATH [SIZE]]]	default: 11, all whose name has PATH in it, all sizes; needs root (a network
 *					namespace of its own, taps); vde2 is skipped if missing
 *	bench-fabric --count direct|worker SIZE FRAMES	no clock: one process moves so many frames, for valgrind
 *					--tool=callgrind; the difference between two numbers is what frames cost
 *
 * What keeps to a window (fabric-bench.h) loses nothing; without one, a sender that is faster than its receiver drops what
 * has no room for 200 us, and the time that this took counts.
 *
 * Sizes are of the Ethernet frame without FCS; 65 000 is a TCP segment that the receiver's side may cut, as guests send
 * them (TSO), so vde_switch, which knows nothing larger than an MTU, has no figure there. See docs/benchmarks.md.
 */
#include <errno.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/fabric-bench.h"
#include "tests/bench/measure.h"
#include "vmm-core/proto.h"

#define MAX_ROUNDS 100
#define START_MS   3000 /* the longest until the first frame is through */
#define WARM_UP_MS 30
#define WINDOW_MS  200
#define IDLE_MS    3000
/* Three quarters of a ring, by what a frame takes of it. */
#define WINDOW_BYTES (PROTO_RING_DATA / 4 * 3)
#define RECORD       32
#define PING_SIZE    64
#define N_SIZES      3
#define N_PATHS      13
#define DIRECT       0
#define STAR         1
#define VDE          9

static const uint32_t sizes[N_SIZES] = {64, 1500, 65000};
static const struct path *const paths[N_PATHS] = {&vm_direct, &vm_star, &vm_direct_poll,
	&vm_star_poll, &vm_open, &peer_ring, &peer_ring_read, &peer_memcpy, &peer_bridge, &peer_vde,
	&peer_unix, &vm_taps, &vm_network_tap};

struct series {
	double v[MAX_ROUNDS]; /* by round; negative: no figure */
};

struct cell {
	struct series mpps, cpu_ns, lost;
};

static struct cell cells[N_PATHS][N_SIZES];
static struct series rtt_p50[N_PATHS], rtt_p99[N_PATHS];
static double idle[N_PATHS]; /* wake-ups per second */
static unsigned n_rounds = 11;
static uint64_t n_bad;
static const char *only = "";
static uint32_t only_size; /* 0: all */
static int bell;           /* of the window of whoever sends */
static char tmp[] = "/tmp/vmmd-bench-XXXXXX";

void bench_die(const char *what, int error)
{
	(void)fprintf(stderr, "bench-fabric: %s: %s\n", what, strerror(error < 0 ? -error : error));
	exit(1);
}

uint64_t bench_now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

void bench_fork(struct run *run, void (*work)(struct run *run, void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid < 0)
		bench_die("fork", errno);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		work(run, arg);
		_exit(0);
	}
	run->pids[run->n_pids++] = pid;
}

unsigned bench_pool_frames(uint32_t size)
{
	return MIN((unsigned)(POOL_BYTES / size), POOL_FRAMES);
}

/* Frames. */

void bench_mac(unsigned of, uint8_t mac[6])
{
	memcpy(mac, (uint8_t[]){0x52, 0x54, 0, 0xbe, 0, (uint8_t)(of + 1)}, 6);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_ip_sum(uint8_t *ip)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < 20; i += 2)
		sum += (unsigned)(ip[i] << 8 | ip[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~((sum & 0xffff) + (sum >> 16)));
}

void bench_make_frame(uint8_t hdr[HDR_LEN], uint8_t *frame, uint32_t size, unsigned from)
{
	uint8_t *ip = frame + 14, *tcp = ip + 20;

	memset(hdr, 0, HDR_LEN);
	for (uint32_t i = 0; i < size; i++)
		frame[i] = (uint8_t)(i * 7);
	memset(ip, 0, 40);
	bench_mac(!from, frame);
	bench_mac(from, frame + 6);
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, size - 14);
	ip[8] = 64;
	ip[9] = 6;
	memcpy(ip + 12, (uint8_t[]){10, 0, 0, (uint8_t)(from + 1)}, 4);
	memcpy(ip + 16, (uint8_t[]){10, 0, 0, (uint8_t)(!from + 1)}, 4);
	put_ip_sum(ip);
	put16(tcp, 1000);
	put16(tcp + 2, 2000);
	tcp[12] = 5 << 4;
	tcp[13] = 0x10;
	if (size <= 1514)
		return;
	/* virtio 1.2, 5.1.6: needs-csum, TCPv4; sizes in little-endian order. */
	memcpy(hdr, (uint8_t[]){1, 1, 54, 0, BIG_SEGMENT & 0xff, BIG_SEGMENT >> 8, 34, 0, 16, 0},
		10);
}

/* A run: processes, and windows of time on them. */

static void sleep_ms(unsigned ms)
{
	const struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	(void)nanosleep(&ts, NULL);
}

static void stop(struct run *run)
{
	for (unsigned i = 0; i < run->n_pids; i++)
		(void)kill(run->pids[i], SIGKILL);
	for (unsigned i = 0; i < run->n_pids; i++)
		(void)waitpid(run->pids[i], NULL, 0);
	run->n_pids = 0;
	(void)munmap(run->shared, sizeof(*run->shared));
}

static bool start(struct run *run, const struct path *path, enum mode mode, uint32_t size)
{
	*run = (struct run){.mode = mode,
		.size = size,
		.tmp = tmp,
		.window = UINT64_MAX,
		.window_bell = bell,
		.poll_us = path->poll_us};
	if (path->windowed)
		run->window = WINDOW_BYTES / (uint32_t)ALIGN_UP(size + RECORD, 64);
	run->shared = mmap(NULL, sizeof(*run->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run->shared == MAP_FAILED)
		bench_die("mmap", errno);
	if (strstr(path->name, only) && path->start(run))
		for (unsigned i = 0; i < START_MS; i++, sleep_ms(1))
			if (atomic_load(&run->shared->received))
				return true;
	stop(run);
	return false;
}

static uint64_t cpu_ns(const struct run *run)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < run->n_pids; i++) {
		struct timespec ts = {0};
		clockid_t clock;

		if (clock_getcpuclockid(run->pids[i], &clock) == 0)
			(void)clock_gettime(clock, &ts);
		sum += (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
	}
	return sum;
}

static uint64_t switches_of(pid_t pid)
{
	unsigned long long n = 0;
	char path[64], line[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1)
			break;
	if (f)
		(void)fclose(f);
	return n;
}

static uint64_t switches(const struct run *run)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < run->n_pids; i++)
		sum += switches_of(run->pids[i]);
	return sum;
}

static void flood(const struct path *path, struct cell *cell, uint32_t size, unsigned round)
{
	uint64_t begin_ns, begin_cpu, begin, begin_seq, ns, n, seqs;
	struct run run;

	cell->mpps.v[round] = cell->cpu_ns.v[round] = cell->lost.v[round] = -1;
	if (size > path->max_size || (only_size && size != only_size) ||
		!start(&run, path, MODE_FLOOD, size))
		return;
	sleep_ms(WARM_UP_MS);
	begin_cpu = cpu_ns(&run);
	begin = atomic_load(&run.shared->received);
	begin_seq = atomic_load(&run.shared->last_seq);
	begin_ns = bench_now_ns();
	sleep_ms(WINDOW_MS);
	n = atomic_load(&run.shared->received) - begin;
	seqs = atomic_load(&run.shared->last_seq) - begin_seq;
	ns = bench_now_ns() - begin_ns;
	if (n) {
		cell->mpps.v[round] = (double)n * 1e3 / (double)ns;
		cell->cpu_ns.v[round] = (double)(cpu_ns(&run) - begin_cpu) / (double)n;
		cell->lost.v[round] = seqs > n ? 100 * (1 - (double)n / (double)seqs) : 0;
	}
	n_bad += atomic_load(&run.shared->bad);
	stop(&run);
}

static int by_ns(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void ping(unsigned p, unsigned round)
{
	static uint32_t ns[MAX_RTTS];
	unsigned n;
	struct run run;

	rtt_p50[p].v[round] = rtt_p99[p].v[round] = -1;
	if (!paths[p]->ping || !start(&run, paths[p], MODE_PING, PING_SIZE))
		return;
	sleep_ms(WINDOW_MS);
	n = MIN(atomic_load(&run.shared->n_rtts), (uint32_t)MAX_RTTS);
	memcpy(ns, run.shared->rtt_ns, sizeof(ns));
	stop(&run);
	if (!n)
		return;
	qsort(ns, n, sizeof(ns[0]), by_ns);
	rtt_p50[p].v[round] = ns[n / 2] / 1e3;
	rtt_p99[p].v[round] = ns[n * 99 / 100] / 1e3;
}

static void rest(unsigned p)
{
	struct run run;
	uint64_t begin;

	idle[p] = -1;
	if (!paths[p]->ping || !start(&run, paths[p], MODE_IDLE, PING_SIZE))
		return;
	sleep_ms(WINDOW_MS);
	begin = switches(&run);
	sleep_ms(IDLE_MS);
	idle[p] = (double)(switches(&run) - begin) / (IDLE_MS / 1e3);
	stop(&run);
}

/* The tables. */

/* 'part' of the way through those that there are; negative: there are none. */
static double at(const struct series *s, double part)
{
	double v[MAX_ROUNDS];
	unsigned n = 0;

	for (unsigned i = 0; i < n_rounds; i++)
		if (s->v[i] >= 0)
			v[n++] = s->v[i];
	if (!n)
		return -1;
	qsort(v, n, sizeof(v[0]), by_value);
	return v[(unsigned)(part * (n - 1) + 0.5)];
}

static double ratio(const struct series *a, const struct series *b)
{
	struct series s;

	for (unsigned i = 0; i < n_rounds; i++)
		s.v[i] = a->v[i] >= 0 && b->v[i] > 0 ? a->v[i] / b->v[i] : -1;
	return at(&s, 0.5);
}

static void print_ratio(double r)
{
	if (r < 0)
		printf(" | -");
	else
		printf(r < 10 ? " | %.2f" : " | %.0f", r);
}

static void print_row(unsigned p, unsigned s)
{
	const struct cell *c = &cells[p][s];
	double mpps = at(&c->mpps, 0.5);

	if (!strstr(paths[p]->name, only) || (only_size && sizes[s] != only_size))
		return;
	if (mpps < 0) {
		printf("| %s | %u | - | - | - | - | - | - |\n", paths[p]->name, sizes[s]);
		return;
	}
	printf("| %s | %u | %.3f (%.3f-%.3f) | %.1f | %.0f | %.1f", paths[p]->name, sizes[s], mpps,
		at(&c->mpps, 0), at(&c->mpps, 0.95), mpps * sizes[s] * 8 / 1e3, at(&c->cpu_ns, 0.5),
		at(&c->lost, 0.5));
	for (unsigned ours = DIRECT; ours <= STAR; ours++)
		print_ratio(ratio(&cells[ours][s].mpps, &c->mpps));
	printf(" |\n");
}

static void print_throughput(void)
{
	printf("| path | bytes | Mpps median (min-p95) | Gbit/s | CPU ns per frame | lost %% | "
	       "direct "
	       "link / this | worker / this |\n|---|---|---|---|---|---|---|---|\n");
	for (unsigned s = 0; s < N_SIZES; s++)
		for (unsigned p = 0; p < N_PATHS; p++)
			print_row(p, s);
}

static void print_latency(void)
{
	printf("\n| path | round trip of %u bytes, us: p50 | p99 | wake-ups/s when idle |\n"
	       "|---|---|---|---|\n",
		PING_SIZE);
	for (unsigned p = 0; p < N_PATHS; p++)
		if (paths[p]->ping && at(&rtt_p50[p], 0.5) >= 0)
			printf("| %s | %.1f (%.1f-%.1f) | %.1f | %.2f |\n", paths[p]->name,
				at(&rtt_p50[p], 0.5), at(&rtt_p50[p], 0), at(&rtt_p50[p], 0.95),
				at(&rtt_p99[p], 0.5), idle[p]);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static bool pings(void)
{
	return !only_size || only_size == PING_SIZE;
}

static int count(char **args)
{
	struct run run = {
		.mode = MODE_FLOOD, .size = (uint32_t)atoi(args[1]), .window = UINT64_MAX};
	uint64_t n;

	run.shared = mmap(NULL, sizeof(*run.shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (run.shared == MAP_FAILED || run.size < PING_SIZE || run.size > sizes[N_SIZES - 1])
		bench_die("--count", EINVAL);
	n = bench_count_vm(&run, strcmp(args[0], "worker") == 0, strtoull(args[2], NULL, 10));
	printf("%llu frames\n", (unsigned long long)n);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "--count") == 0)
		return count(argv + 2);
	if (argc > 1)
		n_rounds = (unsigned)atoi(argv[1]);
	if (argc > 2)
		only = argv[2];
	if (argc > 3)
		only_size = (uint32_t)atoi(argv[3]);
	if (!n_rounds || n_rounds > MAX_ROUNDS)
		bench_die("rounds", EINVAL);
	bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell < 0)
		bench_die("eventfd", errno);
	if (!mkdtemp(tmp))
		bench_die(tmp, errno);
	if (unshare(CLONE_NEWNET) < 0)
		bench_die("a network namespace (run as root)", errno);
	for (unsigned round = 0; round < n_rounds; round++) {
		for (unsigned s = 0; s < N_SIZES; s++)
			for (unsigned p = 0; p < N_PATHS; p++)
				flood(paths[p], &cells[p][s], sizes[s], round);
		for (unsigned p = 0; p < N_PATHS && pings(); p++)
			ping(p, round);
	}
	for (unsigned p = 0; p < N_PATHS && pings(); p++)
		rest(p);
	print_throughput();
	if (pings())
		print_latency();
	if (!*only && at(&cells[VDE][0].mpps, 0.5) < 0)
		printf("\nvde_switch was left out: it is not installed (Debian's vde2).\n");
	if (n_bad)
		printf("\n**%llu frames were out of order or damaged.**\n",
			(unsigned long long)n_bad);
	(void)nftw(tmp, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return 0;
}
