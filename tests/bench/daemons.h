/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmmd and Debian's libvirtd, side by side: what bench-daemons does to both. Both daemons run at once, each in folders of
 * its own, on the same disk; each figure is taken of one side after the other, round by round.
 *
 * A side is a client in C as a program would write it: JSON-RPC over the unix socket with json-c, D-Bus with sd-bus, and
 * libvirt's own library. An answer counts when it is decoded.
 *
 * Whatever goes wrong ends the program (die()); what was started goes with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "tests/bench/client.h"
#include "tests/bench/measure.h"

#define BENCH_MAX_SAMPLES 4096
#define BENCH_MAX_SIDES   3

struct bench_options {
	const char *vmmd, *worker, *kernel; /* programs, and a guest that stays */
	char dir[256];                      /* everything is below this */
	unsigned rounds, defined, running, alive;
	pid_t vmmd_pid, libvirtd_pid;
	bool kvm; /* machines can run; else the figures that need one are left out, of both sides, with a line that says so */
};

/* A domain both sides can have. */
struct bench_domain {
	char name[32];
	unsigned number; /* of its UUID */
	unsigned memory_mib;
	const char *cmdline; /* "halt", "flood" */
};

struct series {
	double v[BENCH_MAX_SAMPLES];
	unsigned n;
};

/* What is known of a domain after a restart. */
struct bench_seen {
	unsigned total, running;
	bool *defined, *runs; /* by number */
	unsigned n;           /* of both arrays */
};

struct side_ops {
	const char *name;
	bool is_vmmd;
	void (*open)(void);
	void (*close)(void);
	/* From the first call to the answer and the event that it runs, whichever is later; ms. */
	double (*run)(const struct bench_domain *domain);
	void (*define)(const struct bench_domain *domain);
	void (*undefine)(const struct bench_domain *domain);
	void (*start)(const struct bench_domain *domain);
	void (*destroy)(const struct bench_domain *domain);
	/* Define numbers first … first + n - 1, by as many callers at once; seconds. */
	double (*define_many)(unsigned first, unsigned n, unsigned callers);
	void (*null)(void);
	/* n null calls, as many under way as the side allows; seconds. */
	double (*null_many)(unsigned n);
	void (*info)(const char *name); /* of one domain */
	/* Decoded; how many entries there were. list: names, UUIDs and ids, which is what libvirt's answer has; list_all: all that
	 * vmmd's list of domains says. */
	size_t (*list)(void);
	size_t (*list_all)(void);
	size_t (*stats)(void);
	/* Whatever answers, or -ECONNREFUSED. */
	int (*look)(struct bench_seen *seen);
	/* A client that asks for much and reads nothing; ended by unstall(). */
	void (*stall)(void);
	void (*unstall)(void);
};

extern const struct side_ops side_rpc, side_dbus, side_libvirt;
extern struct bench_options bench;

/* The daemons. kill: SIGKILL, and wait for its end. Domains run on. */
pid_t vmmd_spawn(void);
pid_t libvirtd_spawn(void);
void daemon_kill(pid_t pid);
/* Until it answers. */
void side_wait(const struct side_ops *side);

/* daemons-figures.c and daemons-life.c: each prints its rows. */
void figure_start(const char *what);
void figure_null(void);
void figure_define(void);
void figure_lists(void);
void figure_memory(const char *what, unsigned defined);
void figure_restart(void);
void figure_fairness(void);

void bench_domain_init(struct bench_domain *ret, unsigned number, const char *cmdline);
/* "vmmd" or "libvirt" XML of it. */
void bench_xml(const struct bench_domain *domain, bool is_vmmd, char *ret, size_t size);
void bench_uuid(unsigned number, char ret[37]);
/* The number in a UUID of ours, or -1. */
int bench_number(const char *uuid);

void series_add(struct series *s, double v);
double series_at(struct series *s, double part);
void table_head(const char *figure);
/* One row a side; then the ratio within each round, where both have as many. */
void table_rows(const char *figure, const char *unit, struct series sides[BENCH_MAX_SIDES]);
/* As above, and each caller's thread: 'one' is called with its share. */
double in_threads(unsigned first, unsigned n, unsigned callers,
	void (*one)(unsigned first, unsigned n, void *connection), void *(*connect)(void),
	void (*disconnect)(void *connection));
