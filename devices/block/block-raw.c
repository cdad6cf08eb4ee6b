/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening a raw image: its capacity, what O_DIRECT wants of it, its backend, and what a disk's configuration means
 * for it. See block.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/block/block-internal.h"
#include "vmm-core/base/log.h"

void block_options_from_config(const struct vm_disk *disk, struct block_options *ret_options)
{
	bool readonly = disk->readonly || disk->device == VM_DISK_DEVICE_CDROM;
	bool discard = disk->discard == VM_DISK_DISCARD_UNMAP;
	uint8_t write_policy = disk->error_policy ?: VM_DISK_ERROR_REPORT;
	uint8_t read_policy = disk->rerror_policy;

	/* Reading never runs out of space: `enospace` leaves the policy for reads at its default. */
	if (!read_policy)
		read_policy = write_policy == VM_DISK_ERROR_ENOSPACE ? VM_DISK_ERROR_REPORT
								     : write_policy;
	*ret_options = (struct block_options){
		.readonly = readonly,
		.write_cache = disk->cache != VM_DISK_CACHE_WRITETHROUGH &&
			disk->cache != VM_DISK_CACHE_DIRECTSYNC,
		.unsafe = disk->cache == VM_DISK_CACHE_UNSAFE,
		.discard = discard,
		.detect_zeroes = disk->detect_zeroes == VM_DISK_DETECT_ZEROES_ON ||
			disk->detect_zeroes == VM_DISK_DETECT_ZEROES_UNMAP,
		.detect_unmap = disk->detect_zeroes == VM_DISK_DETECT_ZEROES_UNMAP && discard,
		.threads = disk->io == VM_DISK_IO_THREADS,
		.read_policy = read_policy,
		.write_policy = write_policy,
	};
}

static int find_capacity(int fd, const struct stat *st, uint64_t *ret_capacity)
{
	uint64_t size;

	if (S_ISREG(st->st_mode)) {
		size = (uint64_t)st->st_size;
	} else if (S_ISBLK(st->st_mode)) {
		if (ioctl(fd, BLKGETSIZE64, &size) < 0)
			return -errno;
	} else {
		return -EMEDIUMTYPE;
	}
	*ret_capacity = ALIGN_DOWN(size, (uint64_t)BLOCK_SECTOR);
	return 0;
}

/* The smallest alignment with which a read succeeds, as filesystems say nothing before Linux 6.1. */
static uint32_t probe_align(int fd)
{
	uint8_t *p = aligned_alloc(BLOCK_MAX_ALIGN, 2 * BLOCK_MAX_ALIGN);
	uint32_t align = BLOCK_SECTOR;

	while (p && align < BLOCK_MAX_ALIGN && pread(fd, p + align, align, 0) < 0)
		align *= 2;
	free(p);
	return p ? align : BLOCK_MAX_ALIGN;
}

/* What O_DIRECT wants of ranges and buffers; 0: it does not work here. */
static uint32_t direct_align(int fd, const struct stat *st)
{
	struct statx stx = {0};
	int sector;

	if (S_ISBLK(st->st_mode) && ioctl(fd, BLKSSZGET, &sector) == 0)
		return (uint32_t)sector;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
		(stx.stx_mask & STATX_DIOALIGN))
		return stx.stx_dio_offset_align
			? MAX(stx.stx_dio_mem_align, stx.stx_dio_offset_align)
			: 0;
	return probe_align(fd);
}

/* Make the fd's flags what we need, and find the alignment to use. Where O_DIRECT cannot serve the whole disk, it is given up rather than the disk's end. */
static int prepare_fd(
	int fd, const struct stat *st, uint64_t capacity, const char *name, uint32_t *ret_align)
{
	int flags = fcntl(fd, F_GETFL);
	uint32_t align;

	if (flags < 0)
		return -errno;
	/* io_uring would answer -EAGAIN for what has to wait. */
	if ((flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags &= ~O_NONBLOCK) < 0)
		return -errno;
	*ret_align = 1;
	if (!(flags & O_DIRECT))
		return 0;
	align = direct_align(fd, st);
	if (align && align <= BLOCK_MAX_ALIGN && IS_ALIGNED(capacity, (uint64_t)align)) {
		*ret_align = MAX(align, (uint32_t)BLOCK_SECTOR);
		return 0;
	}
	log_warning("disk %s: the image's size is no multiple of the %u bytes that direct I/O "
		    "needs, using the host's cache",
		name ?: "?", align);
	return fcntl(fd, F_SETFL, flags & ~O_DIRECT) < 0 ? -errno : 0;
}

static int make_backend(struct loop *loop, int fd, const struct block_options *o,
	struct block_backend **ret_backend)
{
	int r = o->threads ? -ENOSYS : block_uring_new(loop, fd, ret_backend);

	if (r != -ENOSYS && r != -EPERM && r != -EACCES)
		return r;
	return block_threads_new(loop, fd, o->enter_thread, o->enter_thread_opaque, ret_backend);
}

int block_open(
	struct loop *loop, int fd, const struct block_options *options, struct block **ret_block)
{
	_cleanup_(block_backend_freep) struct block_backend *backend = NULL;
	uint64_t capacity = 0;
	uint32_t align = 1;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;

	r = find_capacity(fd, &st, &capacity);
	if (r < 0)
		return r;
	if (!options->readonly && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDWR)
		return -EBADF;

	r = prepare_fd(fd, &st, capacity, options->name, &align);
	if (r < 0)
		return r;

	r = make_backend(loop, fd, options, &backend);
	if (r < 0)
		return r;

	r = block_new(loop, backend, capacity, align, options, ret_block);
	if (r < 0)
		return r;

	(void)TAKE_PTR(backend);
	(*ret_block)->fd = fd;
	return 0;
}
