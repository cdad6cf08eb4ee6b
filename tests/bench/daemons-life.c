/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The figures of bench-daemons (daemons.h) that are of the daemons themselves: memory, restarts, fairness. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/daemons.h"

#define RESTARTS    5
#define RESTART_MS  60000
#define FAIR_CALLS  500
#define FAIR_NUMBER 2000000

static double resident_kib(pid_t pid)
{
	char path[64], line[256];
	double kib = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	if (!f)
		die("%s: %m", path);
	while (fgets(line, sizeof(line), f))
		(void)sscanf(line, "VmRSS: %lf", &kib);
	(void)fclose(f);
	return kib;
}

/* P6. */
void figure_memory(const char *what, unsigned defined)
{
	static double base[2];
	double now[2] = {resident_kib(bench.vmmd_pid), resident_kib(bench.libvirtd_pid)};

	if (!defined)
		memcpy(base, now, sizeof(base));
	printf("\nP6 resident, %s: vmmd %.1f MiB, libvirtd %.1f MiB (%.3f)", what, now[0] / 1024,
		now[1] / 1024, now[0] / now[1]);
	if (defined)
		printf("; for each definition %.2f KiB and %.2f KiB (%.3f)",
			(now[0] - base[0]) / defined, (now[1] - base[1]) / defined,
			(now[0] - base[0]) / (now[1] - base[1]));
	printf("\n");
	(void)fflush(stdout);
}

static void seen_init(struct bench_seen *seen)
{
	*seen = (struct bench_seen){.n = bench.defined};
	seen->defined = calloc(seen->n, sizeof(bool));
	seen->runs = calloc(seen->n, sizeof(bool));
	if (!seen->defined || !seen->runs)
		die("out of memory");
}

static void seen_done(struct bench_seen *seen)
{
	free(seen->defined);
	free(seen->runs);
}

/* How many that were there (or ran) are not there (or do not run) any more. */
static unsigned lost(const struct bench_seen *before, const struct bench_seen *after)
{
	unsigned n = 0;

	for (unsigned i = 0; i < before->n; i++)
		n += (before->defined[i] && !after->defined[i]) ||
			(before->runs[i] && !after->runs[i]);
	return n;
}

/* SIGKILL, a new daemon, and the list with everything that was there; ms. '*ret_first': until it answers at all. */
static double restart(const struct side_ops *side, double *ret_first, unsigned *ret_lost)
{
	pid_t *pid = side->is_vmmd ? &bench.vmmd_pid : &bench.libvirtd_pid;
	struct bench_seen before, after;
	double begin, now;

	seen_init(&before);
	seen_init(&after);
	if (side->look(&before) < 0)
		die("%s does not answer", side->name);
	begin = now_ms();
	daemon_kill(*pid);
	*pid = side->is_vmmd ? vmmd_spawn() : libvirtd_spawn();
	*ret_first = 0;
	do {
		after.total = after.running = 0;
		if (side->look(&after) < 0)
			(void)usleep(500);
		else if (!*ret_first)
			*ret_first = now_ms() - begin;
		now = now_ms();
	} while ((after.total < before.total || after.running < before.running) &&
		now - begin < RESTART_MS);
	*ret_lost = lost(&before, &after);
	seen_done(&before);
	seen_done(&after);
	return now - begin;
}

/* P20. */
void figure_restart(void)
{
	static const struct side_ops *const both[] = {&side_rpc, NULL, &side_libvirt};
	struct series all[BENCH_MAX_SIDES] = {0}, first[BENCH_MAX_SIDES] = {0};
	unsigned n_lost[BENCH_MAX_SIDES] = {0};

	for (unsigned i = 0; i < RESTARTS; i++)
		for (unsigned k = 0; k < BENCH_MAX_SIDES; k++) {
			double ms, until_first;
			unsigned n;

			if (!both[k])
				continue;
			ms = restart(both[k], &until_first, &n);
			series_add(&all[k], ms);
			series_add(&first[k], until_first);
			n_lost[k] += n;
		}
	table_head("SIGKILL of the daemon");
	table_rows("P20 to its first answer", "ms", first);
	table_rows("P20 to the whole list, all running", "ms", all);
	printf("\nLost in %d restarts, each of %u definitions and %u running domains looked for: "
	       "vmmd "
	       "%u, libvirt %u\n",
		RESTARTS, bench.defined, bench.running, n_lost[0], n_lost[2]);
}

/* The p99 of FAIR_CALLS calls about the domain 'name'. */
static double p99(const struct side_ops *side, const char *name)
{
	static struct series s;

	s.n = 0;
	for (unsigned i = 0; i < FAIR_CALLS; i++) {
		double begin = now_ms();

		side->info(name);
		series_add(&s, now_ms() - begin);
	}
	return series_at(&s, 0.99);
}

/* P24: alone, then with a domain that writes to its serial port without end (where machines can run) and a caller that takes
 * no answers. */
void figure_fairness(void)
{
	static const struct side_ops *const both[] = {&side_rpc, NULL, &side_libvirt};
	struct series alone[BENCH_MAX_SIDES] = {0}, loaded[BENCH_MAX_SIDES] = {0};
	struct series ratio[BENCH_MAX_SIDES] = {0};

	for (unsigned i = 0; i < bench.rounds; i++)
		for (unsigned k = 0; k < BENCH_MAX_SIDES; k++) {
			struct bench_domain d, quiet;
			double a, b;

			if (!both[k])
				continue;
			bench_domain_init(&quiet, 0, "halt");
			bench_domain_init(&d, FAIR_NUMBER + i, "flood");
			a = p99(both[k], quiet.name);
			if (bench.kvm)
				(void)both[k]->run(&d);
			both[k]->stall();
			b = p99(both[k], quiet.name);
			both[k]->unstall();
			if (bench.kvm) {
				both[k]->destroy(&d);
				both[k]->undefine(&d);
			}
			series_add(&alone[k], a);
			series_add(&loaded[k], b);
			series_add(&ratio[k], b / a);
		}
	table_head("p99 of calls");
	table_rows("P24 alone", "ms", alone);
	table_rows(
		bench.kvm ? "P24 with a flood and a stalled caller" : "P24 with a stalled caller",
		"ms", loaded);
	table_rows("P24 with / alone, of each round", "", ratio);
}
