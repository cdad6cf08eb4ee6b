/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whole reads and writes, packets that carry fds, memory files. Every fd is born O_CLOEXEC. */
#pragma once

#include <sys/types.h>

#include "vmm-core/base/macro.h"

#define FDIO_MAX_FDS 253 /* SCM_MAX_FD of Linux */

/* Write all of buf[len], going on after EINTR and short writes. Returns 0 or -errno. */
int write_full(int fd, const void *buf, size_t len);

/* The same at 'offset'; where the file is stays as it was. */
int pwrite_full(int fd, const void *buf, size_t len, uint64_t offset);

/* Read exactly 'len' bytes at 'offset'. Returns 0, -errno, or -ENODATA when the file ends first. */
int pread_full(int fd, void *buf, size_t len, uint64_t offset);

/* The file as a NUL-terminated string that the caller frees. Returns 0, -errno, -EFBIG when it holds
 * more than 'max' bytes, -EBADMSG when it contains a NUL. 'ret_len' may be NULL. */
int read_file(int dir_fd, const char *path, size_t max, char **ret_text, size_t *ret_len);

/* One packet of a SOCK_SEQPACKET socket with up to FDIO_MAX_FDS fds. Never blocks on a non-blocking
 * socket. Returns 0 or -errno (-EAGAIN: try again when writable). The fds stay the caller's. */
int send_packet(int fd, const void *buf, size_t len, const int *fds, unsigned n_fds);

/* Receive one packet. Returns its length, 0 at the end of the stream, or -errno. At most 'max_fds' fds
 * are stored in 'ret_fds' and their number in 'ret_n_fds'; a packet that carries more, or that does not
 * fit 'size', has all its fds closed and answers -EMSGSIZE. */
ssize_t recv_packet(
	int fd, void *buf, size_t size, int *ret_fds, unsigned max_fds, unsigned *ret_n_fds);

/* A memory file that holds 'data', sealed against any change (F_SEAL_WRITE, SHRINK, GROW, SEAL).
 * Returns the fd or -errno. */
int memfd_from_data(const char *name, const void *data, size_t len);

/* The whole content of a sealed memory file, copied. Returns 0, -EPERM when it is not sealed against
 * shrinking, -EFBIG when larger than 'size', -ENODATA when smaller. */
int memfd_read_sealed(int fd, void *buf, size_t size);

int fd_set_nonblock(int fd, bool on);
