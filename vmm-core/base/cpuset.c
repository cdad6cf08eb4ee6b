/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of host CPUs: see cpuset.h. */
#include "vmm-core/base/cpuset.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/base/macro.h"

static bool has(const uint64_t set[CPUSET_WORDS], unsigned cpu)
{
	return set[cpu / 64] >> cpu % 64 & 1;
}

static void put(uint64_t set[CPUSET_WORDS], unsigned cpu, bool in)
{
	uint64_t bit = UINT64_C(1) << cpu % 64;

	if (in)
		set[cpu / 64] |= bit;
	else
		set[cpu / 64] &= ~bit;
}

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t\r\n");
}

/* A number at '*s', which moves behind it and the blanks that follow. */
static int take_number(const char **s, unsigned *ret)
{
	unsigned n = 0;

	if (!isdigit((unsigned char)**s))
		return -EINVAL;
	for (; isdigit((unsigned char)**s); (*s)++)
		n = MIN(n * 10 + (unsigned)(**s - '0'), (unsigned)CPUSET_MAX_CPUS);
	*s = skip_blanks(*s);
	*ret = n;
	return n < CPUSET_MAX_CPUS ? 0 : -ERANGE;
}

/* "N", "N-M" or "^N" at '*s'. */
static int take_item(const char **s, uint64_t set[CPUSET_WORDS])
{
	bool in = **s != '^';
	unsigned first, last;
	int r;

	if (!in)
		(*s)++;
	r = take_number(s, &first);
	last = first;
	if (r == 0 && in && **s == '-') {
		*s = skip_blanks(*s + 1);
		r = take_number(s, &last);
	}
	if (r < 0)
		return r;
	if (last < first)
		return -EINVAL;
	for (unsigned cpu = first; cpu <= last; cpu++)
		put(set, cpu, in);
	return 0;
}

int cpuset_parse(const char *text, uint64_t ret_set[CPUSET_WORDS])
{
	uint64_t set[CPUSET_WORDS] = {0};

	for (const char *s = skip_blanks(text);; s = skip_blanks(s + 1)) {
		int r = take_item(&s, set);

		if (r < 0)
			return r;
		if (!*s)
			break;
		if (*s != ',')
			return -EINVAL;
	}
	if (cpuset_is_empty(set))
		return -ENODATA;
	memcpy(ret_set, set, sizeof(set));
	return 0;
}

void cpuset_format(const uint64_t set[CPUSET_WORDS], char ret_text[CPUSET_TEXT_MAX])
{
	size_t len = 0;

	*ret_text = 0;
	for (unsigned cpu = 0; cpu < CPUSET_MAX_CPUS; cpu++) {
		unsigned first = cpu;

		if (!has(set, cpu))
			continue;
		while (cpu + 1 < CPUSET_MAX_CPUS && has(set, cpu + 1))
			cpu++;
		len += (size_t)snprintf(ret_text + len, CPUSET_TEXT_MAX - len,
			cpu == first ? "%s%u" : "%s%u-%u", len ? "," : "", first, cpu);
		assert(len < CPUSET_TEXT_MAX);
	}
}

bool cpuset_is_empty(const uint64_t set[CPUSET_WORDS])
{
	for (unsigned i = 0; i < CPUSET_WORDS; i++)
		if (set[i])
			return false;
	return true;
}

int cpuset_first_outside(const uint64_t set[CPUSET_WORDS], const uint64_t other[CPUSET_WORDS])
{
	for (unsigned i = 0; i < CPUSET_WORDS; i++)
		if (set[i] & ~other[i])
			return (int)(i * 64) + __builtin_ctzll(set[i] & ~other[i]);
	return -1;
}

int cpuset_apply(const uint64_t set[CPUSET_WORDS])
{
	return cpuset_is_empty(set) ? -EINVAL : cpuset_apply_thread(0, set);
}

int cpuset_apply_thread(int tid, const uint64_t set[CPUSET_WORDS])
{
	bool any = cpuset_is_empty(set);
	cpu_set_t cpus;

	static_assert(CPU_SETSIZE == CPUSET_MAX_CPUS, "cpu_set_t holds a cpuset");
	CPU_ZERO(&cpus);
	for (unsigned cpu = 0; cpu < CPUSET_MAX_CPUS; cpu++)
		if (any || has(set, cpu))
			CPU_SET(cpu, &cpus);
	return sched_setaffinity(tid, sizeof(cpus), &cpus) < 0 ? -errno : 0;
}

int cpuset_of_thread(int tid, uint64_t ret_set[CPUSET_WORDS])
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	if (sched_getaffinity(tid, sizeof(cpus), &cpus) < 0)
		return -errno;
	memset(ret_set, 0, CPUSET_WORDS * sizeof(*ret_set));
	for (unsigned cpu = 0; cpu < CPUSET_MAX_CPUS; cpu++)
		if (CPU_ISSET(cpu, &cpus))
			ret_set[cpu / 64] |= UINT64_C(1) << cpu % 64;
	return 0;
}
