/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest memory: which guest-physical addresses are RAM and where the host has them.
 *
 * RAM is one memory file, or one for each cell of the guest's (ram-map.h), side by side in one piece of this process's addresses, so that nothing
 * that is contiguous for the guest is broken here. It appears in one or two regions around the hole below 4 GiB that belongs to PCI,
 * IOAPIC and local APICs (names in vmm-core/layout.h). struct gpa is a guest-physical address that the
 * compiler will neither add to nor dereference by accident; guest_mem_ptr() is the only way from one to a
 * host pointer, and it answers NULL for anything that is not RAM throughout. A device can therefore never
 * reach MMIO (its own BAR included) by DMA.
 *
 * What the guest can write may change at any time: copy once into a local, check the local, use the local.
 *
 * Beside RAM there may be room for memory that is plugged in (guest-plug.h), of which what is plugged is answered for as RAM is.
 *
 * Threads: set up before the vCPUs run, constant afterwards but for what is plugged, so reading needs no lock. Who asks while a
 * block is unplugged may still be given it: it is mapped as before, and what is written there is lost sooner or later.
 */
#pragma once

#include "config/vm-config.h"
#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/macro.h"

#define GUEST_MEM_MAX_REGIONS 8
#define GUEST_MEM_MAX_FILES   (VM_MAX_CELLS + 1)
#define GUEST_MEM_MAX_THREADS 256

struct gpa {
	uint64_t v;
};

#define GPA(x) ((struct gpa){.v = (x)})

struct guest_region {
	struct gpa base;
	uint64_t size; /* bytes, a multiple of the page size */
	uint8_t *host;
};

struct guest_file {
	int fd; /* owned; -EBADF: anonymous memory (tests) */
	uint64_t size;
	uint64_t page_len; /* bytes: 4096, or what huge pages have */
	uint8_t *host;
};

struct guest_mem {
	uint64_t size;
	uint64_t page_len; /* the longest of its files' */
	unsigned n_files, n_regions;
	struct guest_file files[GUEST_MEM_MAX_FILES]; /* in the order of the guest's addresses */
	struct guest_region regions[GUEST_MEM_MAX_REGIONS]; /* ascending, no overlap */
	struct guest_plug *plug; /* owned; NULL: nothing can be plugged in */
};

/* Map these files (at least one, and not more than GUEST_MEM_MAX_FILES; their 'fd', 'size' and 'page_len'; the fds are taken over on success), one
 * behind the other, as low RAM [0, LAYOUT_LOW_RAM_MAX) and, beyond that, from 4 GiB on. No page is touched. Returns 0, -EINVAL (a
 * size 0 or not a multiple of its page, or a file that would begin within a page of its size), or mmap's error. */
int guest_mem_init_files(struct guest_mem *mem, const struct guest_file *files, unsigned n_files);
/* The same with one file of ordinary pages; 'fd' -EBADF: anonymous memory. */
int guest_mem_init(struct guest_mem *mem, int fd, uint64_t size);
void guest_mem_done(struct guest_mem *mem);

/* Ask for transparent huge pages, where there are ordinary ones. A memory file has them only where the host's
 * /sys/kernel/mm/transparent_hugepage/shmem_enabled is advise, within_size, always or force: elsewhere nothing happens. */
void guest_mem_want_huge(const struct guest_mem *mem);

/* Give pages to all of it now, cleared and mapped, by 'n_threads' threads (1 … GUEST_MEM_MAX_THREADS), which are gone when it returns;
 * what is in it stays. Takes a processor up to a second for each GiB. Returns 0, -ENOMEM (the host has no more; a control group that has no more kills
 * instead), -EAGAIN (no thread to be had), or -errno. */
int guest_mem_populate(const struct guest_mem *mem, unsigned n_threads);

/* The pages of its huge page files only: what is bound to nodes of the host (resources-memory.c) is reserved for all nodes together, so only
 * pages that are there are sure. Returns as guest_mem_populate(). */
int guest_mem_populate_huge(const struct guest_mem *mem, unsigned n_threads);

/* Bring what of it is in ordinary pages (huge ones always are) into the host's memory and keep it there (mlock(2)): takes about a second for 4 GiB. Returns 0,
 * -ENOMEM (RLIMIT_MEMLOCK is lower, or there is not that much), -EPERM, or -EAGAIN. */
int guest_mem_lock(const struct guest_mem *mem);

/* The host address of [gpa, gpa + len), or NULL when any byte of it is not RAM or it crosses a region.
 * len 0 is answered as for len 1. */
void *guest_mem_ptr(const struct guest_mem *mem, struct gpa gpa, uint64_t len);

/* Give [host, host + len) back to the host: it reads as zeroes from then on, and costs memory again when it is written
 * to. 'host' is from guest_mem_ptr() with at least that length, or a chain's (virtq_pop()). Only whole pages (of
 * its file's page_len) within are given back, the rest stays as it is. Returns how many bytes these were, -EFAULT when it is no guest
 * memory, -EINVAL when that is locked, or -errno. */
int64_t guest_mem_discard(const struct guest_mem *mem, void *host, uint64_t len);

/* How many bytes from 'gpa' on lie in the same region; 0 when it is no RAM. At 'enough' it need not count further, which may take long
 * where blocks are plugged: the answer may be less than there is then, but not less than that. */
uint64_t guest_mem_span(const struct guest_mem *mem, struct gpa gpa, uint64_t enough);

/* Copy between host and guest. Returns 0, or -EFAULT when the range is not RAM (nothing is copied then). */
int guest_mem_read(const struct guest_mem *mem, struct gpa gpa, void *buf, uint64_t len);
int guest_mem_write(struct guest_mem *mem, struct gpa gpa, const void *buf, uint64_t len);
