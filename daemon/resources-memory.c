/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest memory: is there enough of it, and the files that it is in, one for each cell of the guest's (<cpu><numa>), each with pages of its
 * size and, by <numatune>, from nodes of the host; and one more for what memory devices may come to have. A policy belongs to the file (mbind(2), "shared policy"), so it is set here, and the
 * worker knows nothing of it.
 *
 * Huge pages are reserved: the kernel does that for all nodes together, so of pages that are bound to some (mode strict) the worker
 * takes possession at once (vm_config.memory_bound), and does not start when they are not there.
 *
 * Tested by tests/unit/test-resources-memory.c.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/memfd.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/host-numa.h"
#include "daemon/memory-limit.h"
#include "daemon/resources-internal.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

/* A part of the memory that has a file of its own. */
struct part {
	unsigned cell;
	uint64_t kib;
	uint32_t page_kib;     /* 0: ordinary ones */
	uint8_t mode;          /* enum domain_numa_mode */
	const uint64_t *nodes; /* of the host; NULL: any */
	char path[32];         /* for people: who says so */
};

static unsigned n_parts(const struct domain_config *config)
{
	return MAX(config->vm.n_cells, 1U);
}

static struct part part_of(const struct domain_config *config, unsigned cell)
{
	const struct domain_numatune *tune = &config->numatune;
	const struct vm_config *vm = &config->vm;
	struct part part = {.cell = cell,
		.kib = vm->n_cells ? vm->cells[cell].memory_kib : vm->memory_kib,
		.page_kib = vm->n_cells ? vm->cells[cell].hugepage_kib : vm->hugepage_kib,
		.mode = tune->mode,
		.nodes = cpuset_is_empty(tune->nodes) ? NULL : tune->nodes,
		.path = "numatune/memory"};

	for (uint32_t i = 0; i < tune->n_memnodes; i++) {
		if (tune->memnodes[i].cell != cell)
			continue;
		part.mode = tune->memnodes[i].mode;
		part.nodes = tune->memnodes[i].nodes;
		(void)snprintf(part.path, sizeof(part.path), "numatune/memnode[%u]", i + 1);
	}
	return part;
}

/* Addresses of memory devices. <memnode> is of cells, and these are of none in particular. */
static struct part room_of(const struct domain_config *config)
{
	const struct domain_numatune *tune = &config->numatune;

	return (struct part){.kib = vm_config_plug_room_kib(&config->vm),
		.page_kib = config->vm.hugepage_kib,
		.mode = tune->mode,
		.nodes = cpuset_is_empty(tune->nodes) ? NULL : tune->nodes,
		.path = "numatune/memory"};
}

static bool is_bound(const struct part *part)
{
	return part->nodes &&
		(part->mode == DOMAIN_NUMA_STRICT || part->mode == DOMAIN_NUMA_RESTRICTIVE);
}

static bool is_within(const uint64_t set[CPUSET_WORDS], const uint64_t other[CPUSET_WORDS])
{
	return cpuset_first_outside(set, other) < 0;
}

/* Pass 1: is it there? */

static int check_nodes(const struct domain_config *config, const struct part *part,
	const struct host_nodes *host, bool can_restrict, struct error *error)
{
	static const uint64_t first[CPUSET_WORDS] = {UINT64_MAX};
	char text[CPUSET_TEXT_MAX];
	int node = part->nodes ? cpuset_first_outside(part->nodes, host->set) : -1;

	if (node < 0 && part->mode == DOMAIN_NUMA_RESTRICTIVE && part->nodes &&
		(!can_restrict || !is_within(part->nodes, first)))
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"domain '%s': %s: mode 'restrictive' needs a cpuset controller of control "
			"groups (v2), which vmmd does not have here, and nodes below 64; write "
			"mode='strict'",
			config->vm.name, part->path);
	if (node < 0)
		return 0;
	cpuset_format(host->set, text);
	return error_set(error, ERROR_CONFIG_UNSUPPORTED,
		"domain '%s': %s: NUMA node %d is unavailable: the host has memory on %.64s",
		config->vm.name, part->path, node, text);
}

/* What of the memory must come from within 'nodes' (NULL: from anywhere), in pages of this size. */
static uint64_t need_within(
	const struct domain_config *config, const uint64_t *nodes, uint32_t page_kib)
{
	uint64_t kib = 0;

	for (unsigned i = 0; i < n_parts(config); i++) {
		struct part part = part_of(config, i);

		if (part.page_kib == page_kib &&
			(!nodes || (is_bound(&part) && is_within(part.nodes, nodes))))
			kib += part.kib;
	}
	/* What memory devices are to have at once comes from anywhere. */
	if (!nodes && page_kib == config->vm.hugepage_kib)
		kib += vm_config_requested_kib(&config->vm) - config->vm.memory_kib;
	return kib;
}

static uint64_t huge_within(const struct host_nodes *host, const uint64_t *nodes, uint32_t page_kib)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < host->n; i++) {
		const struct host_node *node = &host->nodes[i];
		const struct host_pages *pages = host_numa_pages(node, page_kib);

		if (pages && nodes[node->id / 64] >> node->id % 64 & 1)
			n += pages->free;
	}
	return n;
}

static uint64_t memory_within(const struct host_nodes *host, const uint64_t *nodes)
{
	uint64_t kib = 0;

	for (unsigned i = 0; i < host->n; i++)
		if (nodes[host->nodes[i].id / 64] >> host->nodes[i].id % 64 & 1)
			kib += host->nodes[i].memory_kib;
	return kib;
}

static int missing_pages(const struct domain_config *config, uint32_t page_kib, uint64_t need,
	uint64_t have, const uint64_t *nodes, struct error *error)
{
	char text[CPUSET_TEXT_MAX] = "", where[96] = "the host";

	if (nodes) {
		cpuset_format(nodes, text);
		(void)snprintf(where, sizeof(where), "NUMA node %.64s of the host", text);
	}
	return error_set(error, ERROR_OPERATION_FAILED,
		"domain '%s' needs %" PRIu64 " free huge pages of %" PRIu32 " KiB, %s has %" PRIu64
		": %" PRIu64 " are missing",
		config->vm.name, need, page_kib, where, have, need - have);
}

static int check_bound(const struct domain_config *config, const struct part *part,
	const struct host_nodes *host, struct error *error)
{
	uint64_t need_kib = need_within(config, part->nodes, part->page_kib), have;
	char text[CPUSET_TEXT_MAX];

	if (part->page_kib) {
		have = huge_within(host, part->nodes, part->page_kib);
		return need_kib / part->page_kib > have
			? missing_pages(config, part->page_kib, need_kib / part->page_kib, have,
				  part->nodes, error)
			: 0;
	}
	have = memory_within(host, part->nodes);
	if (!have || need_kib <= have)
		return 0;
	cpuset_format(part->nodes, text);
	return error_set(error, ERROR_OPERATION_FAILED,
		"domain '%s': %s: %" PRIu64
		" MiB are to come from NUMA node %.64s of the host, which "
		"has %" PRIu64 " MiB in all",
		config->vm.name, part->path, need_kib / 1024, text, have / 1024);
}

static int check_huge(const struct domain_config *config, const char *sysfs, uint32_t page_kib,
	struct error *error)
{
	uint64_t need = need_within(config, NULL, page_kib) / page_kib, have;

	if (!need)
		return 0;
	have = host_numa_unreserved(sysfs, page_kib);
	return need > have ? missing_pages(config, page_kib, need, have, NULL, error) : 0;
}

static int check_ordinary(
	const struct domain_config *config, const struct resources_env *env, struct error *error)
{
	uint64_t kib = memory_ordinary_kib(config);

	if (env->available_kib && kib > env->available_kib)
		return error_set(error, ERROR_OPERATION_FAILED,
			"domain '%s' asks for %" PRIu64 " KiB of memory, the host has %" PRIu64
			" KiB available",
			config->vm.name, kib, env->available_kib);
	if (config->vm.memory_locked && kib > env->memlock_kib)
		return error_set(error, ERROR_OPERATION_FAILED,
			"domain '%s': cannot lock %" PRIu64 " KiB of guest memory: RLIMIT_MEMLOCK "
			"allows this user %" PRIu64 " KiB; raise it (limits.conf(5)), or remove "
			"<locked/>",
			config->vm.name, kib, env->memlock_kib);
	return 0;
}

int resources_check_memory(
	const struct domain_config *config, const struct resources_env *env, struct error *error)
{
	static const uint32_t sizes[] = {2048, 1048576};
	const char *sysfs = env->sysfs ? env->sysfs : "/sys";
	_cleanup_(freep) struct host_nodes *host = malloc(sizeof(*host));
	int r;

	if (!host)
		return error_set(error, ERROR_NO_MEMORY, "nodes");
	host_numa_read(sysfs, host);
	r = check_ordinary(config, env, error);
	for (unsigned i = 0; r == 0 && i < n_parts(config); i++) {
		struct part part = part_of(config, i);

		r = check_nodes(config, &part, host, env->can_restrict, error);
		if (r == 0 && is_bound(&part))
			r = check_bound(config, &part, host, error);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(sizes); i++)
		r = check_huge(config, sysfs, sizes[i], error);
	return r;
}

/* Pass 2: the files. */

/* Restrictive is the control group's, not the file's. */
static int bind_to_nodes(void *p, size_t size, const struct part *part)
{
	static const int modes[DOMAIN_NUMA_X_MAX] = {
		[DOMAIN_NUMA_STRICT] = MPOL_BIND,
		[DOMAIN_NUMA_PREFERRED] = MPOL_PREFERRED,
		[DOMAIN_NUMA_INTERLEAVE] = MPOL_INTERLEAVE,
	};
	int mode = modes[part->mode];

	if (!part->nodes || !mode)
		return 0;
	/* The numbers are the host's whatever our own cpuset is; the last argument but one counts bits, and one more. */
	if (syscall(SYS_mbind, p, size, mode | MPOL_F_STATIC_NODES, part->nodes,
		    CPUSET_MAX_CPUS + 1, 0) == 0)
		return 0;
	/* A kernel without NUMA has node 0 only, which check_nodes() made sure of. */
	return errno == ENOSYS ? 0 : -errno;
}

/* A shared mapping reserves the file's huge pages, and they stay reserved with it: the guest cannot run into SIGBUS later, and
 * nothing has to be cleared now. A policy stays with the file as well. */
static int prepare(int fd, const struct part *part, struct error *error)
{
	size_t size = KIB(part->kib);
	void *p;
	int r;

	if (!part->page_kib && !part->nodes)
		return 0;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_SHARED | (part->page_kib ? 0 : MAP_NORESERVE), fd, 0);
	if (p == MAP_FAILED)
		return error_set_errno(error, errno, "cannot reserve %" PRIu64 " KiB of %spages",
			part->kib, part->page_kib ? "huge " : "");
	r = bind_to_nodes(p, size, part);
	(void)munmap(p, size);
	return r < 0 ? error_set_errno(error, -r, "%s: cannot bind guest memory", part->path) : 0;
}

/* Reserves nothing, and takes nothing before the guest plugs it in. */
static int prepare_room(int fd, const struct part *part, struct error *error)
{
	size_t size = KIB(part->kib);
	void *p;
	int r;

	if (!part->nodes)
		return 0;
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED)
		return error_set_errno(error, errno, "cannot map room for memory devices");
	r = bind_to_nodes(p, size, part);
	(void)munmap(p, size);
	return r < 0 ? error_set_errno(error, -r, "%s: cannot bind memory devices", part->path) : 0;
}

static int make_file(struct resources *res, const struct part *part, enum proto_fd_kind kind,
	struct error *error)
{
	unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	_cleanup_(closep) int fd = -EBADF;
	int r;

	if (part->page_kib)
		flags |= MFD_HUGETLB |
			(unsigned)(__builtin_ctz(part->page_kib) + 10) << MFD_HUGE_SHIFT;
	fd = memfd_create("vmmd-ram", flags);
	if (fd < 0 || ftruncate(fd, (off_t)KIB(part->kib)) < 0)
		return error_set_errno(
			error, errno, "cannot make %" PRIu64 " KiB of guest memory", part->kib);
	r = kind == PROTO_FD_PLUG ? prepare_room(fd, part, error) : prepare(fd, part, error);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return error_set_errno(error, errno, "cannot seal the guest's memory");
	return resources_add(res, kind, part->cell, 0, TAKE_FD(fd), error);
}

int resources_make_memory(
	struct resources *res, const struct domain_config *config, struct error *error)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < n_parts(config); i++) {
		struct part part = part_of(config, i);

		r = make_file(res, &part, PROTO_FD_RAM, error);
	}
	if (r == 0 && room_of(config).kib) {
		struct part room = room_of(config);

		r = make_file(res, &room, PROTO_FD_PLUG, error);
	}
	return r;
}
