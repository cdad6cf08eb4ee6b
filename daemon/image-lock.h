/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opening a disk's image so that nobody else can use it in a way that does not go together with ours.
 *
 * The locks are open-file-description locks on the fd that goes to the worker. They last as long as anybody holds
 * that description: past the daemon's death, until the worker's. No path is looked at twice: what was opened is
 * what was checked, locked and passed on. Symbolic links are followed; images often are.
 *
 * The protocol is QEMU's, so that QEMU and qemu-img keep away from our images and we from theirs. Each permission
 * has a number n (read 0, write 1, resize 3). Who uses a permission holds a read lock on byte 100 + n; who does
 * not allow others to use it holds one on byte 200 + n. First the locks are taken, then one looks for locks of
 * others that contradict them.
 *
 *	                   uses           does not allow others
 *	read-write         read, write    write, resize
 *	read-only          read           write, resize
 *	shared             read (, write) -
 *
 * Never blocks on a lock. Uses vmm-core/base only.
 */
#pragma once

#include <sys/types.h>

#include "vmm-core/base/macro.h"

#define IMAGE_READONLY (1U << 0)
#define IMAGE_SHARED   (1U << 1) /* <shareable/>: others may write, too */
#define IMAGE_DIRECT   (1U << 2) /* O_DIRECT */

/* How many open files of other processes are looked at to find out who holds an image. */
#define IMAGE_MAX_HOLDER_FILES 50000

struct image_info {
	uint64_t size;    /* bytes, a multiple of 512: what the guest can have */
	uint32_t cut_off; /* bytes behind it that are no whole sector: worth a notice */
	bool is_block_device;
	bool is_locked; /* false: the filesystem has no locks (worth a notice) */
	const char *
		looks_like; /* NULL, or the image format whose magic number stands at the start: worth a warning, since
				 * the guest may have written it there. Formats are never guessed. */
};

/* Who may know more about a process than its name: answers the name of the domain whose worker it is, or NULL. */
struct image_names {
	const char *(*domain_of_pid)(void *opaque, pid_t pid);
	void *opaque;
};

/* Open, check and lock 'path'. Returns 0 with an fd (O_CLOEXEC, blocking) that the caller owns; or, with one line in
 * '*ret_error' that names the file (the caller frees it; NULL without memory):
 *	-EBUSY       somebody uses it: the line says who, as far as can be found out
 *	-EMEDIUMTYPE neither a regular file nor a block device
 *	-EINVAL      smaller than a sector; or IMAGE_DIRECT where there is no direct I/O
 *	-errno       of open(2). */
int image_open(const char *path, unsigned flags, int *ret_fd, struct image_info *ret_info,
	char **ret_error);

/* The same, with names for workers. 'names' may be NULL. */
int image_open_named(const char *path, unsigned flags, const struct image_names *names, int *ret_fd,
	struct image_info *ret_info, char **ret_error);
