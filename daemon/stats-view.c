/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The daemon's view of a statistics page: see stats-view.h. */
#include "daemon/stats-view.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define NEED_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

const struct stats_exit stats_exits[STATS_EXIT_CAUSES] = {
	{"io", offsetof(struct vm_stats_vcpu, pio_exits)},
	{"mmio", offsetof(struct vm_stats_vcpu, mmio_exits)},
	{"irq-window", offsetof(struct vm_stats_vcpu, irq_window_exits)},
	{"eoi", offsetof(struct vm_stats_vcpu, eoi_exits)},
	{"signal", offsetof(struct vm_stats_vcpu, signal_exits)},
	{"other", offsetof(struct vm_stats_vcpu, other_exits)},
};

static const struct {
	const char *name, *link; /* of the memory file, and how /proc shows it */
	size_t size;
} pages[STATS_KIND_X_MAX] = {
	[STATS_VM] = {"vmmd-stats", "/memfd:vmmd-stats (deleted)", sizeof(struct vm_stats_page)},
	[STATS_NETWORK] = {"vmmd-net-stats", "/memfd:vmmd-net-stats (deleted)",
		sizeof(struct net_stats_page)},
};

struct stats_view {
	enum stats_kind kind;
	void *page;
};

int stats_view_create(enum stats_kind kind)
{
	_cleanup_(closep) int fd = memfd_create(pages[kind].name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)pages[kind].size) < 0 ||
		fcntl(fd, F_ADD_SEALS, NEED_SEALS | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int stats_view_map(enum stats_kind kind, int fd, struct stats_view **ret_view)
{
	struct stats_view *view;
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	void *page;

	if (seals < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((seals & NEED_SEALS) != NEED_SEALS)
		return -EPERM;
	if ((size_t)st.st_size != pages[kind].size)
		return -EINVAL;
	view = calloc(1, sizeof(*view));
	if (!view)
		return -ENOMEM;
	page = mmap(NULL, pages[kind].size, PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED) {
		free(view);
		return -errno;
	}
	view->kind = kind;
	view->page = page;
	*ret_view = view;
	return 0;
}

/* Look through /proc/PID/'folder' for a link to a page. */
static int find_in(
	enum stats_kind kind, pid_t pid, const char *folder, struct stats_view **ret_view)
{
	char path[64];
	struct dirent *e;
	int r = -ENOENT;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, folder);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (r < 0 && (e = readdir(dir))) {
		_cleanup_(closep) int fd = -EBADF;
		char link[64];
		ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link));

		if (n != (ssize_t)strlen(pages[kind].link) ||
			memcmp(link, pages[kind].link, (size_t)n) != 0)
			continue;
		fd = openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -errno : stats_view_map(kind, fd, ret_view);
	}
	(void)closedir(dir);
	return r;
}

int stats_view_find(enum stats_kind kind, pid_t pid, struct stats_view **ret_view)
{
	int r = find_in(kind, pid, "fd", ret_view);

	return r == 0 ? 0 : find_in(kind, pid, "map_files", ret_view);
}

struct stats_view *stats_view_free(struct stats_view *view)
{
	if (!view)
		return NULL;
	(void)munmap(view->page, pages[view->kind].size);
	free(view);
	return NULL;
}

const struct vm_stats_page *stats_view_page(const struct stats_view *view)
{
	return view->page;
}

const struct net_stats_page *stats_view_network(const struct stats_view *view)
{
	return view->page;
}

uint64_t ledger_shares(const stat_counter *accounts, uint64_t loop_ns, uint64_t *ret_ns)
{
	unsigned __int128 sum = 0;
	uint64_t left = loop_ns;

	for (unsigned i = 0; i < VM_LEDGER_X_MAX; i++) {
		ret_ns[i] = stat_read(&accounts[i]);
		sum += ret_ns[i];
	}
	for (unsigned i = 0; i < VM_LEDGER_X_MAX; i++) {
		if (sum > loop_ns)
			ret_ns[i] = (uint64_t)((unsigned __int128)ret_ns[i] * loop_ns / sum);
		left -= ret_ns[i];
	}
	return left;
}
