/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest memory that comes and goes: room behind the machine's RAM, and in it memory devices (devices/virtio/virtio-mem.c), each a
 * region of guest memory in blocks that are plugged or not.
 *
 *	room		addresses from layout_plug_base() on, mapped once from a memory file of its own. Nothing of it takes
 *			memory before somebody writes to it
 *	device		'size' bytes of the room; guest_mem_ptr() answers for what is plugged of the room, and for nothing else
 *	usable		the beginning of the device, up to which blocks can be plugged, and which the guest can reach: only that has
 *			memory slots (guest_plug_ops), of an extent each; a guest that goes beyond finds nothing there. It grows with
 *			what the host wants the guest to have, and shrinks only when nothing is plugged
 *
 * So a guest that does not keep to what is plugged can use what is usable, which is what the host once wanted it to have, rounded up to an
 * extent; the worker's control group holds it to less (daemon/memory-limit.h).
 *
 * An extent is a whole number of a Linux guest's memory blocks (128 MiB, or 2 GiB in a guest of 64 GiB or more), so that it can use all of
 * it; larger for devices that would have more than GUEST_PLUG_MAX_SLOTS.
 *
 * Threads: set up before the vCPUs run; changed by the loop thread with the machine's lock held; what is plugged is read by any.
 */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/guest-mem.h"

#define GUEST_PLUG_MAX_SLOTS 32 /* of one device */
/* The first slot that may be used: those before belong to RAM. KVM had 509 in all before Linux 5.12. */
#define GUEST_PLUG_FIRST_SLOT 16

struct guest_plug_ops {
	/* The guest is to find [gpa, gpa + size) at 'host'; size 0: it finds nothing there any more. 0 or -errno. */
	int (*set_slot)(void *opaque, unsigned slot, uint64_t gpa, uint64_t size, void *host);
};

struct guest_plug_device {
	uint64_t base; /* guest address */
	uint64_t size; /* bytes, as all of these; 0: there is no such device */
	uint64_t block_len, extent;
	uint64_t usable, plugged;
};

/* What is plugged is noted by units: the smallest blocks that there are. */
#define GUEST_PLUG_UNIT KIB(VM_MIN_MEMORY_BLOCK)

struct guest_plug {
	int fd; /* owned; -EBADF: anonymous memory (tests) */
	uint64_t base, room;
	uint64_t page_len; /* bytes: 4096, or what huge pages have */
	uint8_t *host;
	_Atomic uint64_t *units; /* of the whole room, a bit each */
	const struct guest_plug_ops *ops;
	void *opaque;
	struct guest_plug_device devices[VM_MAX_MEMORIES];
};

enum guest_plug_state { GUEST_PLUGGED, GUEST_UNPLUGGED, GUEST_PLUG_MIXED };

/* Make the room of 'file' (all but its 'host'; the fd is taken over on success). 'ops' may be NULL (tests). Returns 0, -ENOMEM, -EINVAL
 * (no size, or no multiple of LAYOUT_PLUG_ALIGN), or mmap's error. */
int guest_plug_init(struct guest_mem *mem, const struct guest_file *file,
	const struct guest_plug_ops *ops, void *opaque);
/* guest_mem_done()'s. Takes NULL; answers NULL. */
struct guest_plug *guest_plug_free(struct guest_plug *plug);
/* guest_mem_ptr()'s: how many bytes from 'gpa' on are plugged; at 'enough' it counts no further. */
uint64_t guest_plug_span(const struct guest_plug *plug, uint64_t gpa, uint64_t enough);
/* guest_mem_discard()'s. */
int64_t guest_plug_discard_at(const struct guest_plug *plug, const void *host, uint64_t len);

/* A device of 'size' bytes in the first place that is free for it: nothing is plugged or usable. Returns 0, -EEXIST, -ENOSPC (no
 * room), -ENOMEM. */
int guest_plug_add(struct guest_mem *mem, unsigned number, uint64_t size, uint64_t block_len);
/* It and all that is plugged of it go. Copes with one that is not there. */
void guest_plug_remove(struct guest_mem *mem, unsigned number);
/* NULL: there is none. */
const struct guest_plug_device *guest_plug_find(const struct guest_mem *mem, unsigned number);

/* At least 'len' bytes are to be usable: whole extents. -errno: a slot could not be made, and as much is usable as before. */
int guest_plug_grow(struct guest_mem *mem, unsigned number, uint64_t len);
/* No more than that; nothing is plugged. */
void guest_plug_shrink(struct guest_mem *mem, unsigned number, uint64_t len);

/* Of blocks [first, first + n), which lie in the device; n is not 0. */
enum guest_plug_state guest_plug_state(
	const struct guest_mem *mem, unsigned number, uint64_t first, uint64_t n);
/* They are plugged from now on, or no longer; what is in them is not touched. All were the opposite, or any may be when they go. */
void guest_plug_mark(
	struct guest_mem *mem, unsigned number, uint64_t first, uint64_t n, bool plugged);
/* Give their memory back. They are not plugged. Returns 0 or madvise's error. */
int guest_plug_discard(struct guest_mem *mem, unsigned number, uint64_t first, uint64_t n);
/* Give them memory now. 0 (also where the kernel cannot: they then get it when they are touched), -ENOMEM, or -errno. */
int guest_plug_populate(struct guest_mem *mem, unsigned number, uint64_t first, uint64_t n);
