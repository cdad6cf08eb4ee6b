/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Character devices' host ends: ptys, files, listening unix sockets. A pty's slave is named, never opened: the master
 * reports no hang-up until somebody opens and closes the slave, and chardev.c copes with that.
 *
 * Tested by tests/unit/test-resources.c.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "daemon/resources-internal.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/strutil.h"

struct device {
	enum proto_fd_kind kind;
	unsigned index;
	uint8_t type; /* enum vm_chardev */
	const struct domain_chardev *host;
	const char *name; /* "serial0", a channel's name */
	char *ret_path;   /* RESOURCES_PATH_MAX */
};

static int open_pty(const struct device *dev, int *ret_fd, struct error *error)
{
	_cleanup_(closep) int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	struct termios tio;
	int unlock = 0;
	unsigned n;

	if (fd < 0 || ioctl(fd, TIOCSPTLCK, &unlock) < 0 || ioctl(fd, TIOCGPTN, &n) < 0 ||
		tcgetattr(fd, &tio) < 0)
		return error_set_errno(error, errno, "cannot make a pty for %s", dev->name);
	cfmakeraw(&tio);
	if (tcsetattr(fd, TCSANOW, &tio) < 0)
		return error_set_errno(error, errno, "cannot make a pty for %s", dev->name);
	(void)snprintf(dev->ret_path, RESOURCES_PATH_MAX, "/dev/pts/%u", n);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int open_file(const struct device *dev, int *ret_fd, struct error *error)
{
	int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_APPEND;
	int fd = open(dev->host->path, flags | (dev->host->append ? 0 : O_TRUNC), 0600);

	if (fd < 0)
		return error_set_errno(
			error, errno, "cannot open '%s' for %s", dev->host->path, dev->name);
	*ret_fd = fd;
	return 0;
}

/* The folder of a socket's path, opened, so that bind() sees a short name. */
static int open_parent(const char *path, char name[108], int *ret_fd)
{
	_cleanup_(freep) char *dir = strdup(path);
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int fd;

	if (!dir)
		return -ENOMEM;
	if (!slash || !slash[1] || strlen(slash + 1) > 60)
		return -EINVAL;
	(void)snprintf(name, 108, "%s", slash + 1);
	*(slash == dir ? slash + 1 : slash) = 0;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int listen_at(int dir_fd, const char *name, int *ret_fd)
{
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;
	int n;

	if (fd < 0)
		return -errno;
	n = snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s", dir_fd, name);
	if (n < 0 || (size_t)n >= sizeof(sa.sun_path))
		return -ENAMETOOLONG;
	/* A socket that a dead run left is replaced; a live one, or anything else, is not. */
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return -EEXIST;
		if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 || errno != ECONNREFUSED)
			return -EADDRINUSE;
		(void)unlinkat(dir_fd, name, 0);
	}
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		fchmodat(dir_fd, name, 0600, 0) < 0 || listen(fd, 4) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int open_unix(
	const struct device *dev, const struct resources_env *env, int *ret_fd, struct error *error)
{
	_cleanup_(closep) int dir_fd = -EBADF;
	const char *path = dev->host->path;
	char name[108];
	int r;

	if (*path) {
		r = open_parent(path, name, &dir_fd);
	} else {
		(void)snprintf(name, sizeof(name), "%.40s-%u.sock",
			dev->kind == PROTO_FD_CHANNEL ? "channel" : dev->name, dev->index);
		dir_fd = fcntl(env->runtime_fd, F_DUPFD_CLOEXEC, 3);
		r = dir_fd < 0 ? -errno : 0;
		(void)snprintf(
			dev->ret_path, RESOURCES_PATH_MAX, "%.80s/%.40s", env->runtime_path, name);
	}
	if (r == 0)
		r = listen_at(dir_fd, name, ret_fd);
	if (r < 0)
		return error_set_errno(
			error, r, "cannot listen on '%s' for %s", *path ? path : name, dev->name);
	return 0;
}

static int make_one(struct resources *res, const struct device *dev,
	const struct resources_env *env, struct error *error)
{
	unsigned flags = 0;
	int fd = -EBADF, r;

	switch (dev->type) {
	case VM_CHARDEV_NULL:
		return 0;
	case VM_CHARDEV_FILE:
		r = open_file(dev, &fd, error);
		break;
	case VM_CHARDEV_UNIX:
		r = open_unix(dev, env, &fd, error);
		flags = PROTO_FD_LISTENING;
		break;
	default:
		r = open_pty(dev, &fd, error);
	}
	return r < 0 ? r : resources_add(res, dev->kind, dev->index, flags, fd, error);
}

static bool console_is_device(const struct vm_console *console)
{
	return console->target == VM_CONSOLE_TARGET_VIRTIO;
}

static int each_device(const struct domain_config *config, struct resources *res,
	int (*visit)(const struct device *dev, void *opaque), void *opaque)
{
	char name[32];
	int r = 0;

	for (unsigned i = 0; i < config->vm.n_serials && r == 0; i++) {
		struct device dev = {PROTO_FD_SERIAL, i, config->vm.serials[i].type,
			&config->serials[i], name, res->serial_paths[i]};

		(void)snprintf(name, sizeof(name), "serial%u", i);
		r = visit(&dev, opaque);
	}
	for (unsigned i = 0; i < config->vm.n_consoles && r == 0; i++) {
		struct device dev = {PROTO_FD_CONSOLE, i, config->vm.consoles[i].type,
			&config->consoles[i], name, res->console_paths[i]};

		(void)snprintf(name, sizeof(name), "console%u", i);
		if (console_is_device(&config->vm.consoles[i]))
			r = visit(&dev, opaque);
		else if (i == 0)
			(void)str_copy(
				res->console_paths[0], RESOURCES_PATH_MAX, res->serial_paths[0]);
	}
	for (unsigned i = 0; i < config->vm.n_channels && r == 0; i++) {
		struct device dev = {PROTO_FD_CHANNEL, i, config->vm.channels[i].type,
			&config->channels[i], config->vm.channels[i].name, res->channel_paths[i]};

		r = visit(&dev, opaque);
	}
	return r;
}

static int check_one(const struct device *dev, void *opaque)
{
	struct error *error = opaque;
	bool needs_path = dev->type == VM_CHARDEV_FILE;

	if (needs_path && !dev->host->path[0])
		return error_set(error, ERROR_CONFIG_UNSUPPORTED,
			"%s of type 'file' has no <source path='…'/>", dev->name);
	if (dev->type == VM_CHARDEV_FILE || (dev->type == VM_CHARDEV_UNIX && dev->host->path[0])) {
		_cleanup_(closep) int fd = -EBADF;
		char name[108];
		int r = open_parent(dev->host->path, name, &fd);

		if (r < 0)
			return error_set_errno(
				error, r, "cannot use '%s' for %s", dev->host->path, dev->name);
	}
	return 0;
}

int resources_check_chardevs(const struct domain_config *config, struct error *error)
{
	struct resources scratch = {0};

	return each_device(config, &scratch, check_one, error);
}

struct make {
	struct resources *res;
	const struct resources_env *env;
	struct error *error;
};

static int visit_make(const struct device *dev, void *opaque)
{
	struct make *m = opaque;

	return make_one(m->res, dev, m->env, m->error);
}

int resources_make_chardevs(struct resources *res, const struct domain_config *config,
	const struct resources_env *env, struct error *error)
{
	struct make m = {res, env, error};

	return each_device(config, res, visit_make, &m);
}
