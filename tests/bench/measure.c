/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A clock, an order and an end for benchmarks: see measure.h. */
#include "tests/bench/measure.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

double now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Whoever is killed may leave us its children: until there are none, or ten seconds have passed. */
void kill_children(void)
{
	char path[64];
	int pid;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	for (unsigned turn = 0; turn < 100; turn++) {
		FILE *f = fopen(path, "re");
		unsigned n = 0;

		while (f && fscanf(f, "%d", &pid) == 1) {
			(void)kill(pid, SIGKILL);
			n++;
		}
		if (f)
			(void)fclose(f);
		if (n == 0)
			return;
		(void)usleep(100000);
	}
}

void die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)fflush(stdout);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	kill_children();
	_exit(1);
}
