/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that others answer for, touched by a child: see reach.h. */
#include "daemon/reach.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/jail.h"
#include "daemon/manager.h"
#include "daemon/mounts.h"
#include "daemon/process.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"

#define MAX_PATHS (VM_MAX_DISKS + 3)

struct reach {
	struct list link; /* manager.reaches */
	struct manager *manager;
	sd_event_source *source, *timer;
	int pidfd;
	char file[256], where[320]; /* the first that is far */
	domain_done_fn done;        /* NULL: it was told */
	void *userdata;
};

/* What is to be said is said by who opens it later: here only time counts. */
static _noreturn_ void touch(const char *const paths[], unsigned n)
{
	char first[4096];

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Nothing of the daemon's is kept alive by a child that does not end. */
	(void)syscall(SYS_close_range, 0, ~0U, 0);
	for (unsigned i = 0; i < n; i++) {
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		struct stat st;

		if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
			read(fd, first, sizeof(first)) < 0)
			continue;
	}
	_exit(0);
}

static void reach_free(struct reach *r)
{
	(void)sd_event_source_disable_unref(r->source);
	(void)sd_event_source_disable_unref(r->timer);
	(void)safe_close(r->pidfd);
	list_del(&r->link);
	r->manager->n_reaches--;
	free(r);
}

static void tell(struct reach *r, const struct error *error)
{
	domain_done_fn done = r->done;

	r->done = NULL;
	if (done)
		done(r->userdata, error);
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct reach *r = userdata;
	siginfo_t si = {0};

	(void)source;
	(void)revents;
	(void)waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG);
	tell(r, NULL);
	reach_free(r);
	return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct reach *r = userdata;
	struct error e = {0};

	(void)source;
	(void)usec;
	(void)error_set(
		&e, ERROR_TIMEOUT, "'%s': the file system (%s) does not answer", r->file, r->where);
	log_warning("%s", e.message);
	(void)process_kill(r->pidfd);
	tell(r, &e);
	return 0;
}

static int watch(struct reach *r)
{
	uint64_t usec = r->manager->options.reach_usec ?: REACH_USEC;
	int k = sd_event_add_io(r->manager->event, &r->source, r->pidfd, EPOLLIN, on_ended, r);

	return k < 0 ? k
		     : sd_event_add_time_relative(r->manager->event, &r->timer, CLOCK_MONOTONIC,
			       usec, 0, on_timeout, r);
}

/* In the order in which a start opens them. */
static unsigned collect(const struct domain_config *config, const char *paths[MAX_PATHS])
{
	unsigned n = 0;

	if (config->vm.has_kernel && config->kernel[0])
		paths[n++] = config->kernel;
	if (config->vm.has_initrd && config->initrd[0])
		paths[n++] = config->initrd;
	for (unsigned i = 0; i < config->vm.n_disks; i++)
		if (config->disks[i].path[0])
			paths[n++] = config->disks[i].path;
	if (config->vm.rng.source == VM_RNG_RANDOM && config->rng_path[0])
		paths[n++] = config->rng_path;
	return n;
}

/* Only those that are far; of the first the name is kept. */
static unsigned keep_far(struct mounts *mounts, const char *paths[], unsigned n, struct reach *r)
{
	char where[sizeof(r->where)];
	unsigned kept = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!mounts_is_far(mounts, paths[i], where, sizeof(where)))
			continue;
		if (!kept) {
			(void)snprintf(r->file, sizeof(r->file), "%.255s", paths[i]);
			memcpy(r->where, where, sizeof(where));
		}
		paths[kept++] = paths[i];
	}
	return kept;
}

int reach_domain(struct manager *m, const struct domain_config *config, domain_done_fn done,
	void *userdata, struct error *error)
{
	const char *paths[MAX_PATHS];
	unsigned n = collect(config, paths);
	struct reach *r, found = {.manager = m};
	pid_t pid;
	int k;

	n = keep_far(m->mounts, paths, n, &found);
	if (!n)
		return 0;
	if (m->n_reaches >= REACH_MAX)
		return error_set(error, ERROR_RESOURCE_BUSY,
			"'%s': %d files are waited for already; the file system (%s) may not "
			"answer",
			found.file, REACH_MAX, found.where);
	r = malloc(sizeof(*r));
	if (!r)
		return error_set(error, ERROR_NO_MEMORY, "files of others");
	*r = found;
	pid = jail_clone(0, &r->pidfd);
	if (pid == 0)
		touch(paths, n);
	if (pid < 0) {
		free(r);
		return error_set_errno(
			error, errno, "cannot make a process to open '%s'", found.file);
	}
	list_add_tail(&m->reaches, &r->link);
	m->n_reaches++;
	k = watch(r);
	if (k < 0) {
		(void)process_kill(r->pidfd);
		reach_free(r);
		return error_set_errno(error, k, "cannot wait for '%s'", found.file);
	}
	r->done = done;
	r->userdata = userdata;
	return 1;
}

void reach_end(struct manager *m)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &m->reaches) {
		struct reach *r = list_entry(pos, struct reach, link);
		siginfo_t si = {0};
		struct error e = {0};

		(void)error_set(&e, ERROR_INTERRUPTED, "vmmd ends");
		(void)process_kill(r->pidfd);
		(void)waitid(P_PIDFD, (id_t)r->pidfd, &si, WEXITED | WNOHANG);
		tell(r, &e);
		reach_free(r);
	}
}
