/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pools of huge pages, made larger or smaller by a child: see huge-pages.h. */
#include "daemon/huge-pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/host-numa.h"
#include "daemon/jail.h"
#include "daemon/manager.h"
#include "daemon/process.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define PATH_SIZE 256
#define NO_NODE   UINT_MAX

struct pool {
	unsigned node; /* NO_NODE: the whole host's */
	uint64_t wanted;
	char path[PATH_SIZE];
};

struct huge_pages {
	struct manager *manager;
	sd_event_source *source, *timer;
	int pidfd;
	bool stopped; /* it took too long */
	uint32_t size_kib;
	domain_done_fn done; /* NULL: it was told */
	void *userdata;
	unsigned n;
	struct pool pools[HOST_MAX_NODES];
};

static const char *sysfs(const struct manager *m)
{
	return m->options.sysfs ?: "/sys";
}

/* The kernel's; or what a test has for it. */
static int read_pool(const struct pool *pool, uint64_t *ret)
{
	_cleanup_(freep) char *text = NULL;
	int r = read_file(AT_FDCWD, pool->path, 64, &text, NULL);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = 0;
	return parse_u64(text, UINT64_MAX, ret);
}

static int no_size(const struct huge_pages_wish *wish, const struct pool *pool, struct error *error)
{
	if (wish->size_kib == (uint32_t)sysconf(_SC_PAGESIZE) / 1024)
		return error_set(
			error, ERROR_OPERATION_FAILED, "system page pool can't be modified");
	if (pool->node == NO_NODE)
		return error_set(error, ERROR_OPERATION_FAILED,
			"page size %" PRIu32 " is not available on this host", wish->size_kib);
	return error_set(error, ERROR_OPERATION_FAILED,
		"page size %" PRIu32 " is not available on node %u", wish->size_kib, pool->node);
}

/* Any number would do for the kernel, which then takes all that it can find, from everybody. */
static int set_wanted(const struct huge_pages_wish *wish, uint64_t memory_kib, struct pool *pool,
	struct error *error)
{
	uint64_t most = memory_kib / wish->size_kib, now = 0;
	int r = read_pool(pool, &now);

	if (r < 0)
		return no_size(wish, pool, error);
	if (!wish->add)
		now = 0;
	if (wish->count > most || now > most - wish->count)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"%" PRIu64 " pages of %" PRIu32
			" KiB are more than the memory there, %" PRIu64 " KiB",
			wish->count, wish->size_kib, memory_kib);
	pool->wanted = now + wish->count;
	return 0;
}

static int add_host_pool(struct huge_pages *h, const struct huge_pages_wish *wish,
	const struct host_nodes *nodes, struct error *error)
{
	struct pool *pool = &h->pools[h->n++];
	uint64_t memory_kib = 0;

	for (unsigned i = 0; i < nodes->n; i++)
		memory_kib += nodes->nodes[i].memory_kib;
	pool->node = NO_NODE;
	(void)snprintf(pool->path, sizeof(pool->path),
		"%.128s/kernel/mm/hugepages/hugepages-%" PRIu32 "kB/nr_hugepages",
		sysfs(h->manager), wish->size_kib);
	return set_wanted(wish, memory_kib, pool, error);
}

static int add_pools(struct huge_pages *h, const struct huge_pages_wish *wish, struct error *error)
{
	_cleanup_(freep) struct host_nodes *nodes = malloc(sizeof(*nodes));
	int outside, r = 0;

	if (!nodes)
		return error_set(error, ERROR_NO_MEMORY, "nodes");
	host_numa_read(sysfs(h->manager), nodes);
	if (cpuset_is_empty(wish->nodes))
		return add_host_pool(h, wish, nodes, error);
	outside = cpuset_first_outside(wish->nodes, nodes->set);
	if (outside >= 0)
		return error_set(error, ERROR_INVALID_ARGUMENT,
			"the host has no memory on NUMA node %d", outside);
	for (unsigned i = 0; i < nodes->n && r == 0; i++) {
		unsigned id = nodes->nodes[i].id;
		struct pool *pool = &h->pools[h->n];

		if (!(wish->nodes[id / 64] >> id % 64 & 1))
			continue;
		pool->node = id;
		(void)snprintf(pool->path, sizeof(pool->path),
			"%.128s/devices/system/node/node%u/hugepages/hugepages-%" PRIu32
			"kB/nr_hugepages",
			sysfs(h->manager), id, wish->size_kib);
		h->n++;
		r = set_wanted(wish, nodes->nodes[i].memory_kib, pool, error);
	}
	return r;
}

/* In the child. Its exit status is an errno. */
static int write_pool(const struct pool *pool)
{
	char text[24];
	int fd = open(pool->path, O_WRONLY | O_CLOEXEC);
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", pool->wanted);

	return fd < 0 || write(fd, text, (size_t)n) < 0 ? errno : 0;
}

static _noreturn_ void write_pools(const struct huge_pages *h)
{
	int error = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)syscall(SYS_close_range, 0, ~0U, 0);
	for (unsigned i = 0; i < h->n && !error; i++)
		error = write_pool(&h->pools[i]);
	_exit(error);
}

static void tell(struct huge_pages *h, const struct error *error)
{
	domain_done_fn done = h->done;

	h->done = NULL;
	if (done)
		done(h->userdata, error);
}

static void huge_pages_free(struct huge_pages *h)
{
	(void)sd_event_source_disable_unref(h->source);
	(void)sd_event_source_disable_unref(h->timer);
	(void)safe_close(h->pidfd);
	h->manager->huge_pages = NULL;
	free(h);
}

/* The first pool that has not what it was to have. */
static int find_shortage(const struct huge_pages *h, struct error *error)
{
	for (unsigned i = 0; i < h->n; i++) {
		const struct pool *pool = &h->pools[i];
		char where[32] = "";
		uint64_t now = 0;

		if (read_pool(pool, &now) == 0 && now == pool->wanted)
			continue;
		if (pool->node != NO_NODE)
			(void)snprintf(where, sizeof(where), " on node %u", pool->node);
		if (now > pool->wanted)
			return error_set(error, ERROR_OPERATION_FAILED,
				"Unable to free pages%s: %" PRIu64 " of %" PRIu32
				" KiB are left, as they are in use",
				where, now, h->size_kib);
		return error_set(error, ERROR_OPERATION_FAILED,
			"Unable to allocate %" PRIu64 " pages%s. Allocated only %" PRIu64 "%s",
			pool->wanted, where, now, h->stopped ? " before the time was up" : "");
	}
	return 0;
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct huge_pages *h = userdata;
	siginfo_t si = {0};
	struct error e = {0};
	int r = 0;

	(void)source;
	(void)revents;
	(void)waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG);
	if (si.si_code == CLD_EXITED && si.si_status)
		r = error_set_errno(&e, si.si_status,
			"cannot change the pool of %" PRIu32 " KiB pages", h->size_kib);
	if (r == 0)
		r = find_shortage(h, &e);
	if (r < 0)
		log_warning("%s", e.message);
	tell(h, r < 0 ? &e : NULL);
	huge_pages_free(h);
	return 0;
}

/* It says how far it came when it has ended, which it does as soon as the kernel looks. */
static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct huge_pages *h = userdata;

	(void)source;
	(void)usec;
	h->stopped = true;
	(void)process_kill(h->pidfd);
	return 0;
}

static int watch(struct huge_pages *h)
{
	uint64_t usec = h->manager->options.huge_pages_usec ?: HUGE_PAGES_USEC;
	int r = sd_event_add_io(h->manager->event, &h->source, h->pidfd, EPOLLIN, on_ended, h);

	return r < 0 ? r
		     : sd_event_add_time_relative(h->manager->event, &h->timer, CLOCK_MONOTONIC,
			       usec, 0, on_timeout, h);
}

static int begin(struct huge_pages *h, struct error *error)
{
	pid_t pid = jail_clone(0, &h->pidfd);
	int r;

	if (pid == 0)
		write_pools(h);
	if (pid < 0) {
		h->pidfd = -EBADF;
		return error_set_errno(error, errno, "cannot make a process for huge pages");
	}
	r = watch(h);
	if (r < 0) {
		(void)process_kill(h->pidfd);
		return error_set_errno(error, r, "cannot wait for huge pages");
	}
	return 0;
}

int huge_pages_set(struct manager *m, const struct huge_pages_wish *wish, domain_done_fn done,
	void *userdata, struct error *error)
{
	struct huge_pages *h;
	int r;

	if (!wish->size_kib)
		return error_set(error, ERROR_INVALID_ARGUMENT, "pages of 0 KiB");
	if (m->huge_pages)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"another change of the host's huge pages is under way");
	h = calloc(1, sizeof(*h));
	if (!h)
		return error_set(error, ERROR_NO_MEMORY, "huge pages");
	h->manager = m;
	h->pidfd = -EBADF;
	h->size_kib = wish->size_kib;
	r = add_pools(h, wish, error);
	if (r == 0)
		r = begin(h, error);
	if (r < 0) {
		huge_pages_free(h);
		return r;
	}
	h->done = done;
	h->userdata = userdata;
	m->huge_pages = h;
	return 0;
}

void huge_pages_end(struct manager *m)
{
	struct huge_pages *h = m->huge_pages;
	struct error e = {0};
	siginfo_t si = {0};

	if (!h)
		return;
	(void)error_set(&e, ERROR_INTERRUPTED, "vmmd ends");
	(void)process_kill(h->pidfd);
	(void)waitid(P_PIDFD, (id_t)h->pidfd, &si, WEXITED | WNOHANG);
	tell(h, &e);
	huge_pages_free(h);
}
