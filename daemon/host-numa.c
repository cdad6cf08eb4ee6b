/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The host's memory by nodes: see host-numa.h. */
#include "daemon/host-numa.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define PATH_SIZE 512

/* 0: not to be had. */
static uint64_t read_number(const char *folder, const char *file)
{
	_cleanup_(freep) char *text = NULL;
	char path[PATH_SIZE];
	uint64_t n;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", folder, file) >= sizeof(path) ||
		read_file(AT_FDCWD, path, 64, &text, NULL) < 0)
		return 0;
	text[strcspn(text, "\n")] = 0;
	return parse_u64(text, UINT64_MAX, &n) < 0 ? 0 : n;
}

static int compare_sizes(const void *a, const void *b)
{
	const struct host_pages *x = a, *y = b;

	return (x->size_kib > y->size_kib) - (x->size_kib < y->size_kib);
}

static void read_pages(const char *folder, struct host_node *node)
{
	struct dirent *e;
	DIR *dir = opendir(folder);

	while (dir && (e = readdir(dir)) && node->n_pages < HOST_MAX_PAGE_SIZES) {
		struct host_pages *pages = &node->pages[node->n_pages];
		char path[PATH_SIZE];
		int used = 0;

		if (sscanf(e->d_name, "hugepages-%" SCNu32 "kB%n", &pages->size_kib, &used) != 1 ||
			!used || e->d_name[used] ||
			(size_t)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) >=
				sizeof(path))
			continue;
		pages->total = read_number(path, "nr_hugepages");
		pages->free = read_number(path, "free_hugepages");
		node->n_pages++;
	}
	if (dir)
		(void)closedir(dir);
	qsort(node->pages, node->n_pages, sizeof(node->pages[0]), compare_sizes);
}

/* "Node 0 MemTotal:  16 kB" or, of the whole host, "MemTotal: 16 kB". */
static uint64_t find_kib(const char *text, const char *key)
{
	const char *s = strstr(text, key);
	unsigned long long kib;

	return s && sscanf(s + strlen(key), " %llu", &kib) == 1 ? kib : 0;
}

static void add_node(const char *sysfs, struct host_nodes *nodes, unsigned id)
{
	struct host_node *node = &nodes->nodes[nodes->n];
	_cleanup_(freep) char *text = NULL;
	char path[PATH_SIZE];

	*node = (struct host_node){.id = id};
	(void)snprintf(path, sizeof(path), "%s/devices/system/node/node%u/meminfo", sysfs, id);
	if (read_file(AT_FDCWD, path, 65536, &text, NULL) == 0) {
		node->memory_kib = find_kib(text, "MemTotal:");
		node->free_kib = find_kib(text, "MemFree:");
	}
	(void)snprintf(path, sizeof(path), "%s/devices/system/node/node%u/hugepages", sysfs, id);
	read_pages(path, node);
	nodes->set[id / 64] |= UINT64_C(1) << id % 64;
	nodes->n++;
}

static void add_whole_host(const char *sysfs, struct host_nodes *nodes)
{
	_cleanup_(freep) char *text = NULL;
	char path[PATH_SIZE];

	add_node(sysfs, nodes, 0);
	(void)snprintf(path, sizeof(path), "%s/kernel/mm/hugepages", sysfs);
	read_pages(path, &nodes->nodes[0]);
	if (read_file(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL) < 0)
		return;
	nodes->nodes[0].memory_kib = find_kib(text, "MemTotal:");
	nodes->nodes[0].free_kib = find_kib(text, "MemFree:");
}

void host_numa_read(const char *sysfs, struct host_nodes *ret)
{
	_cleanup_(freep) char *text = NULL;
	uint64_t set[CPUSET_WORDS];
	char path[PATH_SIZE];

	ret->n = 0;
	memset(ret->set, 0, sizeof(ret->set));
	(void)snprintf(path, sizeof(path), "%s/devices/system/node/has_memory", sysfs);
	if (read_file(AT_FDCWD, path, CPUSET_TEXT_MAX, &text, NULL) < 0 ||
		cpuset_parse(text, set) < 0) {
		add_whole_host(sysfs, ret);
		return;
	}
	for (unsigned id = 0; id < CPUSET_MAX_CPUS && ret->n < HOST_MAX_NODES; id++)
		if (set[id / 64] >> id % 64 & 1)
			add_node(sysfs, ret, id);
}

const struct host_node *host_numa_find(const struct host_nodes *nodes, unsigned id)
{
	for (unsigned i = 0; i < nodes->n; i++)
		if (nodes->nodes[i].id == id)
			return &nodes->nodes[i];
	return NULL;
}

const struct host_pages *host_numa_pages(const struct host_node *node, uint32_t size_kib)
{
	for (unsigned i = 0; i < node->n_pages; i++)
		if (node->pages[i].size_kib == size_kib)
			return &node->pages[i];
	return NULL;
}

uint64_t host_numa_unreserved(const char *sysfs, uint32_t size_kib)
{
	char folder[PATH_SIZE];
	uint64_t free_pages, reserved;

	(void)snprintf(folder, sizeof(folder), "%s/kernel/mm/hugepages/hugepages-%" PRIu32 "kB",
		sysfs, size_kib);
	free_pages = read_number(folder, "free_hugepages");
	reserved = read_number(folder, "resv_hugepages");
	return free_pages > reserved ? free_pages - reserved : 0;
}
