/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The figures of bench-daemons (daemons.h): one side after the other, round by round. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/daemons.h"

#define CALLERS     16
#define NULL_CALLS  2000
#define NULL_MANY   20000
#define CHUNK       50 /* definitions of a round */
#define MANY_CHUNK  160
#define START_LIMIT 1000000 /* numbers of domains that come and go begin here */

static const struct side_ops *const sides[BENCH_MAX_SIDES] = {&side_rpc, &side_dbus, &side_libvirt};

/* P2, P3 and P25: a new domain to its event, and its end to the answer. */
void figure_start(const char *what)
{
	struct series start[BENCH_MAX_SIDES] = {0}, stop[BENCH_MAX_SIDES] = {0};
	static unsigned number = START_LIMIT;

	if (!bench.kvm) {
		printf("\nskip: P2, P3 (%s): no /dev/kvm\n", what);
		return;
	}
	for (unsigned i = 0; i < bench.rounds + 1; i++)
		for (unsigned k = 0; k < BENCH_MAX_SIDES; k++) {
			struct bench_domain d;
			double ms, begin;

			bench_domain_init(&d, number++, "halt");
			d.memory_mib = 128;
			ms = sides[k]->run(&d);
			begin = now_ms();
			sides[k]->destroy(&d);
			begin = now_ms() - begin;
			sides[k]->undefine(&d);
			if (i == 0)
				continue; /* warm-up */
			series_add(&start[k], ms);
			series_add(&stop[k], begin);
		}
	table_head(what);
	table_rows("P2 define and start to the event", "ms", start);
	table_rows("P3 destroy to its answer", "ms", stop);
}

/* P17. */
void figure_null(void)
{
	struct series one[BENCH_MAX_SIDES] = {0}, many[BENCH_MAX_SIDES] = {0};

	for (unsigned i = 0; i < bench.rounds; i++)
		for (unsigned k = 0; k < BENCH_MAX_SIDES; k++) {
			double begin = now_ms();

			for (unsigned n = 0; n < NULL_CALLS; n++)
				sides[k]->null();
			series_add(&one[k], NULL_CALLS / ((now_ms() - begin) / 1e3));
			series_add(&many[k], NULL_MANY / sides[k]->null_many(NULL_MANY));
		}
	table_head("null calls");
	table_rows("P17 one after the other", "1/s", one);
	table_rows("P17 pipelined", "1/s", many);
}

/* P19: both sides get the same domains, until there are as many as there are to be. */
void figure_define(void)
{
	struct series one[BENCH_MAX_SIDES] = {0}, many[BENCH_MAX_SIDES] = {0};
	unsigned next = 0;

	while (next < bench.defined) {
		unsigned n = MIN(bench.defined - next, (unsigned)CHUNK);

		for (unsigned k = 0; k < BENCH_MAX_SIDES; k++)
			if (sides[k]->define_many)
				series_add(&one[k], n / sides[k]->define_many(next, n, 1));
		next += n;
		n = MIN(bench.defined - next, (unsigned)MANY_CHUNK);
		if (n == 0)
			break;
		for (unsigned k = 0; k < BENCH_MAX_SIDES; k++)
			if (sides[k]->define_many)
				series_add(&many[k], n / sides[k]->define_many(next, n, CALLERS));
		next += n;
	}
	table_head("durable definitions");
	table_rows("P19 one caller", "1/s", one);
	table_rows("P19 16 callers", "1/s", many);
}

/* P18. */
void figure_lists(void)
{
	struct series list[BENCH_MAX_SIDES] = {0}, all[BENCH_MAX_SIDES] = {0};
	struct series stats[BENCH_MAX_SIDES] = {0};

	for (unsigned i = 0; i < bench.rounds; i++)
		for (unsigned k = 0; k < BENCH_MAX_SIDES; k++) {
			double begin = now_ms();

			if (sides[k]->list() < bench.defined)
				die("%s: a list is too short", sides[k]->name);
			series_add(&list[k], now_ms() - begin);
			begin = now_ms();
			if (sides[k]->list_all && sides[k]->list_all() < bench.defined)
				die("%s: a list is too short", sides[k]->name);
			if (sides[k]->list_all)
				series_add(&all[k], now_ms() - begin);
			begin = now_ms();
			if (sides[k]->stats() < bench.defined)
				die("%s: statistics are too few", sides[k]->name);
			series_add(&stats[k], now_ms() - begin);
		}
	table_head("all domains");
	table_rows("P18 list: names, UUIDs, ids", "ms", list);
	table_rows("P18 list: twelve members each", "ms", all);
	table_rows("P18 all statistics", "ms", stats);
}
