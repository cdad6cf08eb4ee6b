/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images and their locks: see image-lock.h. */
#include "daemon/image-lock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/strutil.h"

#define SECTOR       512
#define PROBE_SIZE   4096
#define USES_BASE    100
#define FORBIDS_BASE 200
#define PERM_READ    (1U << 0)
#define PERM_WRITE   (1U << 1)
#define PERM_RESIZE  (1U << 3)
#define N_PERMS      5 /* that QEMU has or had */
#define MAX_FDINFO   65536

static void closedirp(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
	*dir = NULL;
}

/* Set the error's text and answer its code. */
static int _printf_(3, 4) explain(char **ret_error, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_error, format, ap) < 0)
		*ret_error = NULL;
	va_end(ap);
	return error;
}

/* Does /proc/PID/fdinfo/FD show a lock of a byte in [first, last]? */
static bool fdinfo_has_lock(int fdinfo_dir, const char *fd_name, unsigned first, unsigned last)
{
	_cleanup_(freep) char *text = NULL;
	char *line, *rest;

	if (read_file(fdinfo_dir, fd_name, MAX_FDINFO, &text, NULL) < 0)
		return false;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		uint64_t start, end;
		char *p;

		if (strncmp(line, "lock:", 5) != 0)
			continue;
		/* lock: 1: OFDLCK ADVISORY READ -1 fe:00:1234 100 101 */
		p = strrchr(line, ' ');
		if (!p || (!streq(p + 1, "EOF") && parse_u64(p + 1, UINT64_MAX, &end) < 0))
			continue;
		if (streq(p + 1, "EOF"))
			end = UINT64_MAX;
		*p = 0;
		p = strrchr(line, ' ');
		if (p && parse_u64(p + 1, UINT64_MAX, &start) == 0 && start <= last && end >= first)
			return true;
	}
	return false;
}

/* Does the process with this folder in /proc hold such a lock on the file 'st', other than by our own 'own_fd'? */
static bool process_holds(int proc_dir, const char *pid_name, const struct stat *st, int own_fd,
	unsigned first, unsigned last, unsigned *budget)
{
	_cleanup_(closep) int pid_dir =
		openat(proc_dir, pid_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closep) int info_dir =
		openat(pid_dir, "fdinfo", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int fd_dir = openat(pid_dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(closedirp) DIR *dir = fd_dir < 0 ? NULL : fdopendir(fd_dir);
	bool is_self = strtol(pid_name, NULL, 10) == (long)getpid();
	const struct dirent *e;

	if (!dir) {
		(void)safe_close(fd_dir);
		return false;
	}
	while (*budget && (e = readdir(dir))) {
		struct stat other;

		if (!isdigit((unsigned char)e->d_name[0]) ||
			(is_self && strtol(e->d_name, NULL, 10) == (long)own_fd))
			continue;
		(*budget)--;
		if (fstatat(dirfd(dir), e->d_name, &other, 0) == 0 && other.st_ino == st->st_ino &&
			other.st_dev == st->st_dev &&
			fdinfo_has_lock(info_dir, e->d_name, first, last))
			return true;
	}
	return false;
}

/* The process that holds a lock in [first, last]; 0 when it cannot be found. */
static pid_t find_holder(int fd, unsigned first, unsigned last)
{
	_cleanup_(closedirp) DIR *dir = opendir("/proc");
	unsigned budget = IMAGE_MAX_HOLDER_FILES;
	const struct dirent *e;
	struct stat st;

	if (!dir || fstat(fd, &st) < 0)
		return 0;
	while (budget && (e = readdir(dir)))
		if (isdigit((unsigned char)e->d_name[0]) &&
			process_holds(dirfd(dir), e->d_name, &st, fd, first, last, &budget))
			return (pid_t)strtol(e->d_name, NULL, 10);
	return 0;
}

static void process_name(pid_t pid, char ret_name[32])
{
	_cleanup_(freep) char *comm = NULL;
	char path[64];

	ret_name[0] = 0;
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (read_file(AT_FDCWD, path, 64, &comm, NULL) < 0)
		return;
	comm[strcspn(comm, "\n")] = 0;
	if (str_is_clean_utf8(comm))
		(void)snprintf(ret_name, 32, "%s", comm);
}

/* Returns 0, or the byte among base + 'perms' that somebody else has locked, and who if that is known. */
static unsigned find_conflict(int fd, unsigned base, unsigned perms, pid_t *ret_pid)
{
	for (unsigned i = 0; i < N_PERMS; i++) {
		struct flock fl = {
			.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = base + i, .l_len = 1};

		if ((perms & (1U << i)) && fcntl(fd, F_OFD_GETLK, &fl) == 0 &&
			fl.l_type != F_UNLCK) {
			*ret_pid = fl.l_pid;
			return base + i;
		}
	}
	return 0;
}

/* Somebody's lock on 'byte' contradicts ours. */
static int explain_holder(int fd, const char *path, unsigned byte, pid_t pid,
	const struct image_names *names, char **ret_error)
{
	const char *domain = NULL, *what;
	char name[32];
	pid_t writer;

	what = find_conflict(fd, USES_BASE, PERM_WRITE, &writer) ? "in use for writing by"
								 : "in use by";
	if (pid <= 0)
		pid = find_holder(fd, byte, byte);
	if (pid > 0 && names && names->domain_of_pid)
		domain = names->domain_of_pid(names->opaque, pid);
	if (domain)
		return explain(ret_error, -EBUSY, "image '%s' is %s domain '%s' (process %d)", path,
			what, domain, (int)pid);
	if (pid <= 0)
		return explain(ret_error, -EBUSY, "image '%s' is %s another process", path, what);
	process_name(pid, name);
	return explain(ret_error, -EBUSY, "image '%s' is %s process %d (%s)", path, what, (int)pid,
		name[0] ? name : "?");
}

static int lock_bytes(int fd, unsigned base, unsigned perms)
{
	for (unsigned i = 0; i < N_PERMS; i++) {
		struct flock fl = {
			.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = base + i, .l_len = 1};

		if ((perms & (1U << i)) && fcntl(fd, F_OFD_SETLK, &fl) < 0)
			return -errno;
	}
	return 0;
}

static int lock_image(int fd, const char *path, unsigned flags, const struct image_names *names,
	bool *ret_locked, char **ret_error)
{
	unsigned uses = PERM_READ | (flags & IMAGE_READONLY ? 0 : PERM_WRITE);
	unsigned forbids = flags & IMAGE_SHARED ? 0 : PERM_WRITE | PERM_RESIZE;
	unsigned byte;
	pid_t pid = 0;
	int r;

	r = lock_bytes(fd, USES_BASE, uses);
	if (r == 0)
		r = lock_bytes(fd, FORBIDS_BASE, forbids);
	/* Somebody who does not speak the protocol has a write lock on it. */
	if (r == -EAGAIN || r == -EACCES) {
		byte = find_conflict(fd, USES_BASE, uses, &pid);
		if (!byte)
			byte = find_conflict(fd, FORBIDS_BASE, forbids, &pid);
		return explain_holder(fd, path, byte ?: USES_BASE, pid, names, ret_error);
	}
	*ret_locked = r == 0;
	if (r == -EINVAL || r == -ENOLCK || r == -EOPNOTSUPP || r == -ENOSYS)
		return 0;
	if (r < 0)
		return explain(ret_error, r, "cannot lock '%s': %s", path, strerror(-r));

	byte = find_conflict(fd, USES_BASE, forbids, &pid);
	if (!byte)
		byte = find_conflict(fd, FORBIDS_BASE, uses, &pid);
	if (byte)
		return explain_holder(fd, path, byte, pid, names, ret_error);
	return 0;
}

/* Which format's magic number stands at the start. */
static const char *find_magic(int fd)
{
	static const struct {
		const char *magic;
		size_t len;
		const char *name;
	} known[] = {
		{"QFI\xfb", 4, "qcow2"},
		{"KDMV", 4, "vmdk"},
		{"vhdxfile", 8, "vhdx"},
		{"conectix", 8, "vpc"},
		{"QED", 4, "qed"},
		{"LUKS\xba\xbe", 6, "luks"},
	};
	/* As direct I/O wants it. */
	_cleanup_(freep) char *block = aligned_alloc(PROBE_SIZE, PROBE_SIZE);

	if (!block || pread(fd, block, PROBE_SIZE, 0) < 8)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (memcmp(block, known[i].magic, known[i].len) == 0)
			return known[i].name;
	return NULL;
}

static int check_size(
	int fd, const char *path, const struct stat *st, struct image_info *info, char **ret_error)
{
	uint64_t size = (uint64_t)st->st_size;

	if (S_ISBLK(st->st_mode) && ioctl(fd, BLKGETSIZE64, &size) < 0)
		return explain(ret_error, -errno, "cannot get the size of '%s': %m", path);
	info->is_block_device = S_ISBLK(st->st_mode);
	info->size = ALIGN_DOWN(size, (uint64_t)SECTOR);
	info->cut_off = (uint32_t)(size - info->size);
	if (!info->size)
		return explain(ret_error, -EINVAL,
			"image '%s' holds %" PRIu64 " bytes: a disk needs at least %d", path, size,
			SECTOR);
	return 0;
}

static const char *type_name(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return "a folder";
	case S_IFCHR:
		return "a character device";
	case S_IFIFO:
		return "a pipe";
	case S_IFSOCK:
		return "a socket";
	default:
		return "something else";
	}
}

/* Find out what 'path' is before opening it for I/O: opening has side effects on some devices and blocks on pipes. */
static int open_checked(
	const char *path, unsigned flags, int *ret_fd, struct stat *ret_st, char **ret_error)
{
	_cleanup_(closep) int path_fd = open(path, O_PATH | O_CLOEXEC);
	int open_flags = (flags & IMAGE_READONLY ? O_RDONLY : O_RDWR) |
		(flags & IMAGE_DIRECT ? O_DIRECT : 0) | O_CLOEXEC | O_NOCTTY;
	char self[64];
	int fd;

	if (path_fd < 0 || fstat(path_fd, ret_st) < 0)
		return explain(ret_error, -errno, "cannot open '%s': %m", path);
	if (!S_ISREG(ret_st->st_mode) && !S_ISBLK(ret_st->st_mode))
		return explain(ret_error, -EMEDIUMTYPE,
			"'%s' is %s: a disk needs a regular file or a block device", path,
			type_name(ret_st->st_mode));
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", path_fd);
	fd = open(self, open_flags);
	if (fd < 0 && errno == EINVAL && (flags & IMAGE_DIRECT))
		return explain(ret_error, -EINVAL,
			"cannot open '%s': its filesystem has no direct I/O, use cache='writeback'",
			path);
	if (fd < 0)
		return explain(ret_error, -errno, "cannot open '%s': %m", path);
	*ret_fd = fd;
	return 0;
}

int image_open_named(const char *path, unsigned flags, const struct image_names *names, int *ret_fd,
	struct image_info *ret_info, char **ret_error)
{
	struct image_info info = {0};
	_cleanup_(closep) int fd = -EBADF;
	struct stat st;
	int r;

	r = open_checked(path, flags, &fd, &st, ret_error);
	if (r < 0)
		return r;

	r = lock_image(fd, path, flags, names, &info.is_locked, ret_error);
	if (r < 0)
		return r;

	/* After the lock: nobody resizes it any more. */
	if (fstat(fd, &st) < 0)
		return explain(ret_error, -errno, "cannot open '%s': %m", path);

	r = check_size(fd, path, &st, &info, ret_error);
	if (r < 0)
		return r;

	info.looks_like = find_magic(fd);
	*ret_info = info;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int image_open(const char *path, unsigned flags, int *ret_fd, struct image_info *ret_info,
	char **ret_error)
{
	return image_open_named(path, flags, NULL, ret_fd, ret_info, ret_error);
}
