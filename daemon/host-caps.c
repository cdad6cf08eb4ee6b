/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host for GetCapabilities: see host-caps.h. */
#include "daemon/host-caps.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/vm-config.h"
#include "daemon/host-cpu.h"
#include "daemon/host.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define PATH_SIZE 512

/* The first line of a file below 'sysfs', without its end. Returns 0 or -errno. */
static int read_line(const char *sysfs, const char *path, char *ret, size_t size)
{
	_cleanup_(freep) char *text = NULL;
	char full[PATH_SIZE];
	int r;

	if ((size_t)snprintf(full, sizeof(full), "%s/%s", sysfs, path) >= sizeof(full))
		return -ENAMETOOLONG;
	r = read_file(AT_FDCWD, full, 65536, &text, NULL);
	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = 0;
	return str_copy(ret, size, text);
}

static unsigned read_number(const char *sysfs, const char *format, unsigned cpu)
{
	char path[128], text[32];
	uint64_t n;

	(void)snprintf(path, sizeof(path), format, cpu);
	if (read_line(sysfs, path, text, sizeof(text)) < 0 || parse_u64(text, UINT32_MAX, &n) < 0)
		return 0;
	return (unsigned)n;
}

/* Call 'each' for every number of a list such as "0-3,8"; stops at 'max' of them. */
static void each_of_list(
	const char *list, unsigned max, void (*each)(void *opaque, unsigned n), void *opaque)
{
	const char *p = list;

	while (*p && max > 0) {
		unsigned first, last;
		int used = 0;

		if (sscanf(p, "%u%n", &first, &used) != 1)
			return;
		p += used;
		last = first;
		if (*p == '-' && sscanf(p, "-%u%n", &last, &used) == 1)
			p += used;
		for (; first <= last && max > 0; first++, max--)
			each(opaque, first);
		if (*p != ',')
			return;
		p++;
	}
}

struct topology {
	const char *sysfs;
	struct host_caps *caps;
	unsigned cell; /* that is being read */
};

static void add_cpu(void *opaque, unsigned id)
{
	struct topology *t = opaque;
	struct capabilities_cpu *cpu = &t->caps->cpus[t->caps->caps.n_cpus];
	char path[128];

	if (t->caps->caps.n_cpus >= HOST_MAX_CPUS)
		return;
	*cpu = (struct capabilities_cpu){.id = id, .cell = t->cell};
#define OF_CPU "devices/system/cpu/cpu%u/topology/"
	cpu->socket = read_number(t->sysfs, OF_CPU "physical_package_id", id);
	cpu->die = read_number(t->sysfs, OF_CPU "die_id", id);
	cpu->core = read_number(t->sysfs, OF_CPU "core_id", id);
	(void)snprintf(path, sizeof(path), OF_CPU "thread_siblings_list", id);
#undef OF_CPU
	if (read_line(t->sysfs, path, cpu->siblings, sizeof(cpu->siblings)) < 0)
		(void)snprintf(cpu->siblings, sizeof(cpu->siblings), "%u", id);
	t->caps->caps.n_cpus++;
}

/* "Node 0 MemTotal:  16 kB", among other lines. */
static uint64_t read_cell_memory(const char *sysfs, unsigned cell)
{
	_cleanup_(freep) char *text = NULL;
	unsigned long long kib = 0;
	char path[PATH_SIZE];
	const char *s;

	(void)snprintf(path, sizeof(path), "%s/devices/system/node/node%u/meminfo", sysfs, cell);
	if (read_file(AT_FDCWD, path, 65536, &text, NULL) < 0)
		return 0;
	s = strstr(text, "MemTotal:");
	return s && sscanf(s, "MemTotal: %llu", &kib) == 1 ? kib : 0;
}

static void add_cell(void *opaque, unsigned id)
{
	struct topology *t = opaque;
	struct capabilities *caps = &t->caps->caps;
	char path[128], list[16384];

	if (caps->n_cells >= HOST_MAX_CELLS)
		return;
	t->caps->cells[caps->n_cells++] =
		(struct capabilities_cell){.id = id, .memory_kib = read_cell_memory(t->sysfs, id)};
	t->cell = id;
	(void)snprintf(path, sizeof(path), "devices/system/node/node%u/cpulist", id);
	if (read_line(t->sysfs, path, list, sizeof(list)) == 0)
		each_of_list(list, HOST_MAX_CPUS, add_cpu, t);
}

/* "10 21": to each node that is online, in their order. */
static void read_cell_distances(const char *sysfs, struct capabilities_cell *cell)
{
	char path[128], text[1024], *p = text;

	(void)snprintf(path, sizeof(path), "devices/system/node/node%u/distance", cell->id);
	if (read_line(sysfs, path, text, sizeof(text)) < 0)
		return;
	for (unsigned i = 0; *p && i < CAPABILITIES_MAX_CELLS; i++) {
		char *end;
		unsigned long n = strtoul(p, &end, 10);

		if (end == p)
			return;
		cell->distances[i] = (uint8_t)MIN(n, 255UL);
		p = end;
	}
}

/* How many pages of each size a cell has; what is in no huge page is in ordinary ones. */
static void read_cell_pages(
	const char *sysfs, struct host_caps *caps, struct capabilities_cell *cell)
{
	uint64_t huge_kib = 0;
	char path[128], text[32];

	for (unsigned i = 1; i < caps->caps.n_page_sizes; i++) {
		(void)snprintf(path, sizeof(path),
			"devices/system/node/node%u/hugepages/hugepages-%ukB/nr_hugepages",
			cell->id, caps->page_kib[i]);
		if (read_line(sysfs, path, text, sizeof(text)) == 0)
			(void)parse_u64(text, UINT32_MAX, &cell->pages[i]);
		huge_kib += cell->pages[i] * caps->page_kib[i];
	}
	cell->pages[0] = (cell->memory_kib - MIN(huge_kib, cell->memory_kib)) / caps->page_kib[0];
}

static int compare_sizes(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The ordinary page, and each size of huge pages that the kernel offers. */
static void read_page_sizes(const char *sysfs, struct host_caps *caps)
{
	unsigned n = 0, kib;
	char path[PATH_SIZE];
	struct dirent *e;
	DIR *dir;

	caps->page_kib[n++] = (uint32_t)sysconf(_SC_PAGESIZE) / 1024;
	(void)snprintf(path, sizeof(path), "%s/kernel/mm/hugepages", sysfs);
	dir = opendir(path);
	while (dir && (e = readdir(dir)) && n < ARRAY_SIZE(caps->page_kib))
		if (sscanf(e->d_name, "hugepages-%ukB", &kib) == 1)
			caps->page_kib[n++] = kib;
	if (dir)
		(void)closedir(dir);
	qsort(caps->page_kib, n, sizeof(caps->page_kib[0]), compare_sizes);
	caps->caps.page_kib = caps->page_kib;
	caps->caps.n_page_sizes = n;
}

int host_topology_read(const char *sysfs, struct host_caps *caps)
{
	struct topology t = {.sysfs = sysfs, .caps = caps};
	char list[16384];

	caps->cpus = calloc(HOST_MAX_CPUS, sizeof(*caps->cpus));
	if (!caps->cpus)
		return -ENOMEM;
	if (read_line(sysfs, "devices/system/node/online", list, sizeof(list)) == 0)
		each_of_list(list, HOST_MAX_CELLS, add_cell, &t);
	else if (read_line(sysfs, "devices/system/cpu/online", list, sizeof(list)) == 0)
		each_of_list(list, HOST_MAX_CPUS, add_cpu, &t); /* a kernel without NUMA */
	caps->caps.cpus = caps->cpus;
	caps->caps.cells = caps->cells;
	read_page_sizes(sysfs, caps);
	for (unsigned i = 0; i < caps->caps.n_cells; i++) {
		read_cell_pages(sysfs, caps, &caps->cells[i]);
		read_cell_distances(sysfs, &caps->cells[i]);
	}
	return 0;
}

static void set_cpu(struct host_caps *caps, const struct host_info *h)
{
	struct cpu_feature_set required;
	struct cpu_host host;
	struct capabilities *c = &caps->caps;
	const struct cpu_model *model;

	(void)cpu_host_read(NULL, &host, NULL);
	model = cpu_model_nearest(&host.features, host.vendor, host.signature, true, &required);
	if (model) {
		(void)str_copy(c->cpu_model, sizeof(c->cpu_model), model->name);
		cpu_features_cut(&host.features, &required);
	}
	for (unsigned i = 0; i < cpu_n_features; i++)
		if (cpu_feature_in(&host.features, i))
			caps->features[c->n_features++] = cpu_features[i].name;
	c->features = caps->features;
	(void)str_copy(c->cpu_vendor, sizeof(c->cpu_vendor), h->cpu_vendor);
	c->family = h->cpu_family;
	c->model = h->cpu_model;
	c->stepping = h->cpu_stepping;
	c->microcode = h->microcode;
	c->maxphysaddr_bits = h->physaddr_bits;
	c->sockets = h->sockets;
	c->dies = 1;
	c->cores = h->cores;
	c->threads = h->threads;
}

int host_caps_read(const char *emulator, struct host_caps **ret_caps)
{
	_cleanup_(host_caps_freep) struct host_caps *caps = calloc(1, sizeof(*caps));
	struct host_info h;

	if (!caps || host_topology_read("/sys", caps) < 0)
		return -ENOMEM;
	host_info_read(&h);
	memcpy(caps->caps.host_uuid, h.uuid, sizeof(h.uuid));
	caps->caps.memory_kib = h.memory_kib;
	caps->caps.has_kvm = access("/dev/kvm", F_OK) == 0;
	caps->caps.max_vcpus = VM_MAX_VCPUS;
	caps->caps.emulator = emulator;
	set_cpu(caps, &h);
	*ret_caps = TAKE_PTR(caps);
	return 0;
}

struct host_caps *host_caps_free(struct host_caps *caps)
{
	if (caps)
		free(caps->cpus);
	free(caps);
	return NULL;
}
