/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host side of a character device: where the bytes of a serial port or a virtio console port go to and
 * come from, with back-pressure in both directions and a scrollback.
 *
 * A chardev has at most one backend fd given at the start (a pty master, a file opened for appending, a stream
 * socket, or a listening socket from which one client at a time is accepted), and at most one attached console
 * (a stream socket that came with CONSOLE_ATTACH). Output goes to both; input comes from both. The last
 * VMMD_SCROLLBACK_BYTES of output are kept and replayed to a console that attaches, before live output.
 *
 * Back-pressure: output goes through the scrollback ring, each reader (backend, console) with a position of its
 * own. chardev_write() takes what every connected reader can still be given without losing a byte; a reader that
 * is gone or never connected (a pty nobody has open, no console) holds nobody up. A connected reader that takes
 * nothing stalls the guest's port and no more; when room comes back, ops->writable() is called. Input is read from
 * the fds only while ops->can_read() answers more than 0.
 *
 * Nobody is held up for ever by a pty that somebody keeps open and never reads, nor for a moment by one whose slave
 * was not used yet (the kernel does not tell whether it is open).
 *
 * Threads: the machine's lock held in all functions; callbacks come from the loop with it held.
 */
#pragma once

#include "vmm-core/base/loop.h"

struct chardev;

#define CHARDEV_LISTENING (1U << 0) /* the fd is a listening stream socket */
#define CHARDEV_FILE      (1U << 1) /* the fd is a regular file: output only, never polled */
#define CHARDEV_NO_REPLAY (1U << 2) /* keep no scrollback for replay (a channel, not a console) */

struct chardev_ops {
	/* How many bytes the device can take now. */
	size_t (*can_read)(void *opaque);
	/* At most as many bytes as can_read() said. */
	void (*read)(void *opaque, const uint8_t *data, size_t len);
	/* There is room again after a short chardev_write(). May be NULL. */
	void (*writable)(void *opaque);
	/* The backend was connected or disconnected (a listening socket's client, an attached console). May be
	 * NULL. */
	void (*connected)(void *opaque, bool on);
	/* The terminal of who is attached has this size now. NULL: a device without a size. */
	void (*resized)(void *opaque, uint16_t cols, uint16_t rows);
};

/* 'fd' is taken over on success (-EBADF: no backend). Returns 0 or -errno. */
int chardev_new(struct loop *loop, int fd, unsigned flags, struct chardev **ret_cd);
struct chardev *chardev_free(struct chardev *cd);
DEFINE_CLEANUP(struct chardev *, chardev_free);

/* The device that stands on it; 'ops' NULL unbinds. */
void chardev_bind(struct chardev *cd, const struct chardev_ops *ops, void *opaque);

/* Take as much of data[len] as the readers leave room for; answers how much. */
size_t chardev_write(struct chardev *cd, const uint8_t *data, size_t len);

/* The device can take input again. */
void chardev_kick_input(struct chardev *cd);

/* Attach a console (takes 'fd' over on success): replay, then live. -EBUSY when one is attached and 'force' is
 * not set; with it the older one is closed. */
int chardev_attach(struct chardev *cd, int fd, bool force);

/* Tell the device the size of the attached terminal; one that has no size is not told. */
void chardev_resize(struct chardev *cd, uint16_t cols, uint16_t rows);

bool chardev_is_connected(const struct chardev *cd);
