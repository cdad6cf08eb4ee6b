/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads, writes, packets with fds: see fdio.h. */
#include "vmm-core/base/fdio.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "vmm-core/base/cleanup.h"

int write_full(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int pwrite_full(int fd, const void *buf, size_t len, uint64_t offset)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, (off_t)offset);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int pread_full(int fd, void *buf, size_t len, uint64_t offset)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, (off_t)offset);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			return -ENODATA;
		p += n;
		offset += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int read_file(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_len)
{
	_cleanup_(closep) int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	_cleanup_(freep) char *text = NULL;
	size_t used = 0, size = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		if (used + 1 >= size) {
			size_t bigger = MIN(MAX(size * 2, (size_t)4096), max + 2);
			char *p;

			if (used > max)
				return -EFBIG;
			p = realloc(text, bigger);
			if (!p)
				return -ENOMEM;
			text = p;
			size = bigger;
		}
		n = read(fd, text + used, size - used - 1);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		used += (size_t)n;
	}
	if (used > max)
		return -EFBIG;
	if (memchr(text, 0, used))
		return -EBADMSG;
	text[used] = 0;
	*ret_text = TAKE_PTR(text);
	if (ret_len)
		*ret_len = used;
	return 0;
}

int send_packet(int fd, const void *buf, size_t len, const int *fds, unsigned n_fds)
{
	char control[CMSG_SPACE(sizeof(int) * FDIO_MAX_FDS)];
	/* sendmsg() only reads the buffer; the interface has no const. */
	struct iovec iov = {.iov_len = len};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	memcpy(&iov.iov_base, &buf, sizeof(buf));
	if (n_fds > FDIO_MAX_FDS)
		return -EMSGSIZE;
	if (n_fds) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	for (;;) {
		if (sendmsg(fd, &msg, MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

/* Move the fds of 'msg' to ret_fds; what does not fit is closed and makes the answer false. */
static bool take_fds(struct msghdr *msg, int *ret_fds, unsigned max_fds, unsigned *ret_n_fds)
{
	bool fit = true;
	unsigned n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (n < max_fds) {
				ret_fds[n++] = fd;
			} else {
				(void)safe_close(fd);
				fit = false;
			}
		}
	}
	*ret_n_fds = n;
	return fit;
}

ssize_t recv_packet(
	int fd, void *buf, size_t size, int *ret_fds, unsigned max_fds, unsigned *ret_n_fds)
{
	char control[CMSG_SPACE(sizeof(int) * FDIO_MAX_FDS)];
	struct iovec iov = {.iov_base = buf, .iov_len = size};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	unsigned n_fds = 0;
	ssize_t n;

	do
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!take_fds(&msg, ret_fds, max_fds, &n_fds) ||
		(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		for (unsigned i = 0; i < n_fds; i++)
			ret_fds[i] = safe_close(ret_fds[i]);
		*ret_n_fds = 0;
		return -EMSGSIZE;
	}
	*ret_n_fds = n_fds;
	return n;
}

int memfd_from_data(const char *name, const void *data, size_t len)
{
	_cleanup_(closep) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = write_full(fd, data, len);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int memfd_read_sealed(int fd, void *buf, size_t size)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (seals < 0)
		return -errno;
	if (!(seals & F_SEAL_SHRINK))
		return -EPERM;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size > size)
		return -EFBIG;
	if ((uint64_t)st.st_size < size)
		return -ENODATA;
	return pread_full(fd, buf, size, 0);
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (fcntl(fd, F_SETFL, flags) < 0)
		return -errno;
	return 0;
}
