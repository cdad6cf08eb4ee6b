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
#include <time.h>
#include <unistd.h>

#include "daemon/jail.h"
#include "daemon/manager.h"
#include "daemon/mounts.h"
#include "daemon/process.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/log.h"
#include "vmm-core/base/strutil.h"

#define MAX_FILES (3 + VM_MAX_DISKS + 2 * (VM_MAX_SERIALS + VM_MAX_CONSOLES + VM_MAX_CHANNELS))

struct far_file {
	char *path;
	char where[320]; /* its file system: "nfs4 at /srv/images" */
};

struct reach {
	struct list link; /* manager.reaches with a child, else manager.reach_queue */
	struct manager *manager;
	sd_event_source *source, *timer;
	int pidfd; /* of the child; -EBADF: it waits for a place */
	unsigned n, next,
		n_under; /* files; the first that has not answered; how many the child touches */
	struct far_file *files;
	char owner[DOMAIN_OWNER_MAX];
	int error; /* why it is not looked at, to be told soon: -ECANCELED, of clone(2) …; 0 */
	domain_done_fn done; /* NULL: it was told */
	void *userdata;
};

/* The child. */

static uint64_t now_usec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* What is to be said is said by who opens it later: here only time counts. */
static void touch_file(const char *path)
{
	char first[4096];
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_len = 1};
	struct stat st;
	/* Not by opening it: a device or pipe would notice. */
	int fd = stat(path, &st) < 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		? -EBADF
		: open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0)
		return;
	if (S_ISREG(st.st_mode)) {
		(void)!read(fd, first, sizeof(first));
		/* Locks may be another server's (NFS 3). Only a question: none is taken. */
		(void)fcntl(fd, F_OFD_GETLK, &lock);
	}
	(void)close(fd);
}

static _noreturn_ void touch(const struct reach *r)
{
	uint64_t began;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* Nothing of the daemon's is kept alive by a child that does not end. */
	(void)syscall(SYS_close_range, 0, ~0U, 0);
	do {
		began = now_usec();
		for (unsigned i = 0; i < r->n_under; i++)
			touch_file(r->files[r->next + i].path);
	} while (now_usec() - began > REACH_QUICK_USEC);
	_exit(0);
}

/* The daemon. */

static struct reach *reach_free(struct reach *r)
{
	if (!r)
		return NULL;
	(void)sd_event_source_disable_unref(r->source);
	(void)sd_event_source_disable_unref(r->timer);
	(void)safe_close(r->pidfd);
	list_del(&r->link);
	for (unsigned i = 0; i < r->n; i++)
		free(r->files[i].path);
	free(r->files);
	free(r);
	return NULL;
}
DEFINE_CLEANUP(struct reach *, reach_free);

static void tell(struct reach *r, const struct error *error)
{
	domain_done_fn done = r->done;

	r->done = NULL;
	if (done)
		done(r->userdata, error);
}

/* Among the children's places: one for those of the same file system, and of the same owner. */
static bool has_place(const struct reach *r)
{
	unsigned of_mount = 0, of_owner = 0;
	struct list *pos;

	if (r->manager->n_reaches >= REACH_MAX)
		return false;
	list_for_each (pos, &r->manager->reaches) {
		const struct reach *other = list_entry(pos, struct reach, link);

		of_mount += streq(other->files[other->next].where, r->files[r->next].where);
		of_owner += *r->owner && streq(other->owner, r->owner);
	}
	return of_mount < REACH_PER_MOUNT && of_owner < REACH_PER_OWNER;
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* The next file system's files. 'r' has a place. */
static int begin(struct reach *r)
{
	pid_t pid;
	int k;

	r->n_under = 1;
	while (r->next + r->n_under < r->n &&
		streq(r->files[r->next + r->n_under].where, r->files[r->next].where))
		r->n_under++;
	pid = jail_clone(0, &r->pidfd);
	if (pid == 0)
		touch(r);
	if (pid < 0) {
		r->pidfd = -EBADF;
		return -errno;
	}
	list_del(&r->link);
	list_add_tail(&r->manager->reaches, &r->link);
	r->manager->n_reaches++;
	k = sd_event_add_io(r->manager->event, &r->source, r->pidfd, EPOLLIN, on_ended, r);
	return MIN(k, 0);
}

/* To be told, and its child killed, from the loop. */
static void give_up(struct reach *r, int error)
{
	if (!r->error)
		r->error = error;
	(void)sd_event_source_set_time(r->timer, 0);
	(void)sd_event_source_set_enabled(r->timer, SD_EVENT_ONESHOT);
}

static void begin_more(struct manager *m)
{
	struct list *pos, *tmp;

	list_for_each_safe (pos, tmp, &m->reach_queue) {
		struct reach *r = list_entry(pos, struct reach, link);
		int k;

		if (m->n_reaches >= REACH_MAX)
			return;
		if (r->error || !has_place(r))
			continue;
		k = begin(r);
		if (k < 0)
			give_up(r, k);
	}
}

/* By itself, having touched all. */
static bool child_succeeded(int pidfd)
{
	siginfo_t si = {0};

	return waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG) == 0 &&
		si.si_code == CLD_EXITED && si.si_status == 0;
}

static int on_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct reach *r = userdata;
	struct manager *m = r->manager;
	bool succeeded = child_succeeded(fd);

	(void)source;
	(void)revents;
	r->source = sd_event_source_disable_unref(r->source);
	r->pidfd = safe_close(r->pidfd);
	list_del(&r->link);
	m->n_reaches--;
	if (!succeeded && r->done)
		give_up(r, -ECHILD);
	if (r->done && r->error) {
		list_add_tail(&m->reach_queue, &r->link);
	} else if (r->done && r->next + r->n_under < r->n) {
		r->next += r->n_under;
		list_add_tail(&m->reach_queue, &r->link);
	} else {
		tell(r, NULL);
		(void)reach_free(r);
	}
	begin_more(m);
	return 0;
}

static void set_error(const struct reach *r, struct error *error)
{
	const struct far_file *file = &r->files[r->next];

	if (r->error == -ECANCELED)
		(void)error_set(
			error, ERROR_CANCELLED, "nobody waits for '%.255s' any longer", file->path);
	else if (r->error == -ECHILD)
		(void)error_set(error, ERROR_INTERNAL,
			"the process that looked at '%.255s' was killed", file->path);
	else if (r->error)
		(void)error_set_errno(
			error, r->error, "cannot make a process to open '%.255s'", file->path);
	else
		(void)error_set(error, ERROR_TIMEOUT,
			"'%.255s': the file system (%s) does not answer in time", file->path,
			file->where);
}

/* Too late, or given up. */
static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct reach *r = userdata;
	struct error e = {0};

	(void)source;
	(void)usec;
	set_error(r, &e);
	if (!r->error)
		log_warning("%s", e.message);
	if (r->pidfd >= 0)
		(void)process_kill(r->pidfd);
	tell(r, &e);
	if (r->pidfd < 0)
		(void)reach_free(r);
	return 0;
}

/* Finding out what is far. */

static int add(struct reach *r, const char *path)
{
	struct far_file *file = &r->files[r->n];

	if (!*path || !mounts_is_far(r->manager->mounts, path, file->where, sizeof(file->where)))
		return 0;
	file->path = strdup(path);
	if (!file->path)
		return -ENOMEM;
	r->n++;
	return 0;
}

/* What is made by its name: in a folder. */
static int add_chardev(struct reach *r, uint8_t type, const struct domain_chardev *host)
{
	_cleanup_(freep) char *dir = NULL;
	char *slash;
	int k;

	if (type != VM_CHARDEV_FILE && type != VM_CHARDEV_UNIX)
		return 0;
	dir = strdup(host->path);
	if (!dir)
		return -ENOMEM;
	slash = strrchr(dir, '/');
	if (!slash)
		return 0;
	*(slash == dir ? slash + 1 : slash) = 0;
	k = add(r, dir);
	return k < 0 ? k : add(r, host->path);
}

static int add_chardevs(struct reach *r, const struct domain_config *config)
{
	const struct vm_config *vm = &config->vm;
	int k = 0;

	for (unsigned i = 0; i < vm->n_serials && k == 0; i++)
		k = add_chardev(r, vm->serials[i].type, &config->serials[i]);
	for (unsigned i = 0; i < vm->n_consoles && k == 0; i++)
		k = add_chardev(r, vm->consoles[i].type, &config->consoles[i]);
	for (unsigned i = 0; i < vm->n_channels && k == 0; i++)
		k = add_chardev(r, vm->channels[i].type, &config->channels[i]);
	return k;
}

/* In the order in which a start opens them. */
static int add_all(struct reach *r, const struct domain_config *config)
{
	int k = config->vm.has_kernel ? add(r, config->kernel) : 0;

	if (k == 0 && config->vm.has_initrd)
		k = add(r, config->initrd);
	for (unsigned i = 0; i < config->vm.n_disks && k == 0; i++)
		k = add(r, config->disks[i].path);
	if (k == 0 && config->vm.rng.source == VM_RNG_RANDOM)
		k = add(r, config->rng_path);
	return k < 0 ? k : add_chardevs(r, config);
}

static struct reach *reach_new(struct manager *m, const struct domain_config *config,
	const char *owner, domain_done_fn done, void *userdata)
{
	_cleanup_(reach_freep) struct reach *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct reach){.manager = m, .pidfd = -EBADF, .done = done, .userdata = userdata};
	list_init(&r->link);
	(void)snprintf(r->owner, sizeof(r->owner), "%.63s", owner);
	r->files = calloc(MAX_FILES, sizeof(*r->files));
	return r->files && add_all(r, config) == 0 ? TAKE_PTR(r) : NULL;
}

int reach_domain(struct manager *m, const struct domain_config *config, const char *owner,
	uint64_t usec, domain_done_fn done, void *userdata, struct reach **ret, struct error *error)
{
	_cleanup_(reach_freep) struct reach *r = NULL;
	int k;

	if (!mounts_any_far(m->mounts))
		return 0;
	r = reach_new(m, config, owner, done, userdata);
	if (!r)
		return error_set(error, ERROR_NO_MEMORY, "files of others");
	if (!r->n)
		return 0;
	if (m->options.reach_usec)
		usec = m->options.reach_usec;
	k = sd_event_add_time_relative(
		m->event, &r->timer, CLOCK_MONOTONIC, usec, 0, on_timeout, r);
	if (k < 0)
		return error_set_errno(error, k, "cannot wait for '%s'", r->files->path);
	*ret = r;
	list_add_tail(&m->reach_queue, &r->link);
	(void)TAKE_PTR(r);
	/* Those before it had no place. */
	begin_more(m);
	return 1;
}

void reach_cancel(struct reach *r)
{
	give_up(r, -ECANCELED);
}

void reach_drop(struct reach *r)
{
	if (!r)
		return;
	r->done = NULL;
	if (r->pidfd < 0)
		(void)reach_free(r);
	else
		(void)process_kill(r->pidfd);
}

void reach_end(struct manager *m)
{
	struct list *pos, *tmp;

	list_splice(&m->reaches, &m->reach_queue);
	list_for_each_safe (pos, tmp, &m->reaches) {
		struct reach *r = list_entry(pos, struct reach, link);

		if (r->pidfd >= 0)
			(void)process_kill(r->pidfd);
		if (r->pidfd >= 0)
			(void)child_succeeded(r->pidfd);
		(void)reach_free(r);
	}
}
