/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host is: see host.h. */
#include "daemon/host.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define SYS_CPU "/sys/devices/system/cpu/cpu0/topology/"

/* The number of CPUs in a list such as "0-3,8". */
static unsigned count_list(const char *path)
{
	_cleanup_(freep) char *text = NULL;
	unsigned n = 0;

	if (read_file(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return 0;
	for (const char *p = text; *p && *p != '\n';) {
		unsigned first, last;
		int used = 0;

		if (sscanf(p, "%u-%u%n", &first, &last, &used) != 2 || !used) {
			if (sscanf(p, "%u%n", &first, &used) != 1)
				break;
			last = first;
		}
		if (last >= first)
			n += last - first + 1;
		p += used;
		if (*p == ',')
			p++;
	}
	return n;
}

static unsigned read_mhz(void)
{
	_cleanup_(freep) char *text = NULL;
	const char *p;
	double mhz;

	if (read_file(AT_FDCWD, "/proc/cpuinfo", 8 << 20, &text, NULL) < 0)
		return 0;
	p = strstr(text, "cpu MHz");
	p = p ? strchr(p, ':') : NULL;
	return p && sscanf(p + 1, "%lf", &mhz) == 1 ? (unsigned)mhz : 0;
}

static uint64_t read_memory(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
}

void host_info_read(struct host_info *ret)
{
	unsigned siblings = count_list(SYS_CPU "thread_siblings_list");
	unsigned package = count_list(SYS_CPU "core_siblings_list");
	struct utsname u;

	*ret = (struct host_info){0};
	if (uname(&u) == 0)
		(void)snprintf(ret->model, sizeof(ret->model), "%.31s", u.machine);
	ret->memory_kib = read_memory();
	ret->cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	ret->mhz = read_mhz();
	ret->nodes = MAX(count_list("/sys/devices/system/node/online"), 1U);
	ret->threads = MAX(siblings, 1U);
	package = MAX(package, ret->threads);
	ret->cores = package / ret->threads;
	ret->sockets = MAX(ret->cpus / package, 1U);
}
