/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* System calls that fail when told to: see faulty-calls.h. */
#include "tests/fakes/faulty-calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct faults faults;

void faults_arm(unsigned at, int error, unsigned flags)
{
	faults.n = 0;
	faults.at = at;
	faults.error = error;
	faults.flags = flags;
	faults.failed[0] = 0;
}

bool faults_disarm(void)
{
	bool struck = faults.failed[0];

	faults.at = 0;
	return struck;
}

#define MASK (FAULTS_SPACE | FAULTS_FILES | FAULTS_IO | FAULTS_SYNC)

/* 'kind': what the call is of FAULTS_SPACE, _FILES, _IO. */
static bool strikes(const char *name, unsigned kind)
{
	unsigned mask = faults.flags & MASK;

	if (!faults.at || (mask && !(mask & kind)))
		return false;
	faults.n++;
	if (faults.flags & FAULTS_EVERY) {
		if (faults.n % 2 == 0)
			return false;
	} else if (faults.n < faults.at ||
		(faults.n > faults.at && !(faults.flags & FAULTS_STICKY))) {
		return false;
	}
	faults.injected++;
	if (!faults.failed[0])
		(void)snprintf(faults.failed, sizeof(faults.failed), "%s", name);
	if (faults.flags & FAULTS_SHORT)
		return false;
	errno = faults.error;
	return true;
}

/* What is there needs no space. */
static unsigned of_new(int dir_fd, const char *name)
{
	int error = errno;
	bool is_there = faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;

	errno = error;
	return is_there ? 0 : FAULTS_SPACE;
}

static size_t shorter(size_t n)
{
	if (!(faults.flags & FAULTS_SHORT) || n < 2 || !faults.at)
		return n;
	return 1;
}

static void tell(const struct faults_call *call)
{
	if (faults.seen)
		faults.seen(call);
}

#define WRAP_TO(ret, failure, name, kind, params, args)                                            \
	ret __real_##name params;                                                                  \
	ret __wrap_##name params;                                                                  \
	ret __wrap_##name params                                                                   \
	{                                                                                          \
		return strikes(#name, kind) ? failure : __real_##name args;                        \
	}
#define WRAP(ret, name, kind, params, args) WRAP_TO(ret, (ret)-1, name, kind, params, args)

/* clang-format off */
WRAP(int, socket, FAULTS_FILES, (int a, int b, int c), (a, b, c))
WRAP(int, socketpair, FAULTS_FILES, (int a, int b, int c, int *d), (a, b, c, d))
WRAP(int, bind, FAULTS_SPACE, (int a, const struct sockaddr *b, socklen_t c), (a, b, c))
WRAP(int, listen, 0, (int a, int b), (a, b))
WRAP(int, connect, 0, (int a, const struct sockaddr *b, socklen_t c), (a, b, c))
WRAP(int, accept4, FAULTS_FILES, (int a, struct sockaddr *b, socklen_t *c, int d), (a, b, c, d))
WRAP(int, pipe2, FAULTS_FILES, (int *a, int b), (a, b))
WRAP(int, memfd_create, FAULTS_FILES, (const char *a, unsigned b), (a, b))
WRAP(int, mkdir, of_new(AT_FDCWD, a), (const char *a, mode_t b), (a, b))
WRAP(int, mkdirat, of_new(a, b), (int a, const char *b, mode_t c), (a, b, c))
WRAP(int, flock, 0, (int a, int b), (a, b))
WRAP(int, fstat64, 0, (int a, void *b), (a, b))
WRAP(int, chmod, 0, (const char *a, mode_t b), (a, b))
WRAP(int, scandirat64, FAULTS_FILES, (int a, const char *b, void *c, void *d, void *e), (a, b, c, d, e))
WRAP_TO(void *, NULL, opendir, FAULTS_FILES, (const char *a), (a))
WRAP(void *, mmap64, 0, (void *a, size_t b, int c, int d, int e, off_t f), (a, b, c, d, e, f))
WRAP(ssize_t, sendmsg, FAULTS_IO, (int a, const struct msghdr *b, int c), (a, b, c))
WRAP(ssize_t, read, FAULTS_IO, (int a, void *b, size_t c), (a, b, shorter(c)))
WRAP(ssize_t, pread64, FAULTS_IO, (int a, void *b, size_t c, off_t d), (a, b, shorter(c), d))
WRAP(ssize_t, send, FAULTS_IO, (int a, const void *b, size_t c, int d), (a, b, shorter(c), d))
WRAP(ssize_t, recv, FAULTS_IO, (int a, void *b, size_t c, int d), (a, b, shorter(c), d))
/* clang-format on */

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len)
{
	ssize_t n;

	if (strikes("write", FAULTS_IO | FAULTS_SPACE))
		return -1;
	n = __real_write(fd, data, shorter(len));
	if (n >= 0)
		tell(&(struct faults_call){
			FAULTS_CALL_WRITE, .fd = fd, .data = data, .len = (size_t)n, .at = -1});
	return n;
}

ssize_t __real_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *data, size_t len, off_t at)
{
	ssize_t n;

	if (strikes("pwrite", FAULTS_IO | FAULTS_SPACE))
		return -1;
	n = __real_pwrite64(fd, data, shorter(len), at);
	if (n >= 0)
		tell(&(struct faults_call){
			FAULTS_CALL_WRITE, .fd = fd, .data = data, .len = (size_t)n, .at = at});
	return n;
}

int __real_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len);
int __wrap_ftruncate64(int fd, off_t len)
{
	int r = strikes("ftruncate64", FAULTS_SPACE) ? -1 : __real_ftruncate64(fd, len);

	if (r == 0)
		tell(&(struct faults_call){FAULTS_CALL_TRUNCATE, .fd = fd, .at = len});
	return r;
}

/* Unless a test cuts the power of the file system nothing is gained by waiting for its disk. */
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
	if (strikes("fsync", FAULTS_SYNC) || (faults.sync && __real_fsync(fd) < 0))
		return -1;
	tell(&(struct faults_call){FAULTS_CALL_SYNC, .fd = fd});
	return 0;
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd)
{
	if (strikes("fdatasync", FAULTS_SYNC) || (faults.sync && __real_fdatasync(fd) < 0))
		return -1;
	tell(&(struct faults_call){FAULTS_CALL_SYNC, .fd = fd});
	return 0;
}

int __real_openat64(int dir_fd, const char *name, int flags, ...);
int __wrap_openat64(int dir_fd, const char *name, int flags, ...);
int __wrap_openat64(int dir_fd, const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;
	int fd;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	if (strikes("openat", FAULTS_FILES | (flags & O_CREAT ? of_new(dir_fd, name) : 0)))
		return -1;
	fd = __real_openat64(dir_fd, name, flags, mode);
	if (fd >= 0)
		tell(&(struct faults_call){flags & O_CREAT ? FAULTS_CALL_CREATE : FAULTS_CALL_OPEN,
			.dir_fd = dir_fd, .fd = fd, .name = name});
	return fd;
}

int __real_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...);
int __wrap_open64(const char *name, int flags, ...)
{
	mode_t mode = 0;
	va_list ap;

	va_start(ap, flags);
	if (flags & O_CREAT)
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return strikes("open", FAULTS_FILES | (flags & O_CREAT ? of_new(AT_FDCWD, name) : 0))
		? -1
		: __real_open64(name, flags, mode);
}

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
	unsigned kind =
		command == F_DUPFD_CLOEXEC ? (unsigned)FAULTS_FILES : 0; /* the rest takes a long */
	va_list ap;
	long arg;

	va_start(ap, command);
	arg = va_arg(ap, long);
	va_end(ap);
	return strikes("fcntl", kind) ? -1 : __real_fcntl64(fd, command, arg);
}

int __real_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to);
int __wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	int r = strikes("renameat", FAULTS_SPACE) ? -1 : __real_renameat(from_fd, from, to_fd, to);

	if (r == 0)
		tell(&(struct faults_call){
			FAULTS_CALL_RENAME, .dir_fd = from_fd, .name = from, .to = to});
	return r;
}

int __real_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags);
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
	int r = strikes("linkat", FAULTS_SPACE) ? -1
						: __real_linkat(from_fd, from, to_fd, to, flags);

	if (r == 0)
		tell(&(struct faults_call){
			FAULTS_CALL_LINK, .dir_fd = from_fd, .name = from, .to = to});
	return r;
}

int __real_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags);
int __wrap_unlinkat(int dir_fd, const char *name, int flags)
{
	int r = strikes("unlinkat", 0) ? -1 : __real_unlinkat(dir_fd, name, flags);

	if (r == 0)
		tell(&(struct faults_call){FAULTS_CALL_UNLINK, .dir_fd = dir_fd, .name = name});
	return r;
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	char name[32];
	long a[6];
	va_list ap;

	va_start(ap, number);
	for (size_t i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	(void)snprintf(name, sizeof(name), "syscall %ld", number);
	/* Syncs that nobody looks at, and that take their time. */
	if (number == SYS_io_setup && !faults.sync) {
		errno = ENOSYS;
		return -1;
	}
	/* A signal to a process of our own is always sent. */
	if (number != SYS_pidfd_send_signal &&
		strikes(number == SYS_clone ? "clone" : name,
			number == SYS_pidfd_open ? FAULTS_FILES : 0))
		return -1;
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
