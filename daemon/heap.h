/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's free memory: kept while it is wanted again and again, and given back when it is not.
 *
 * An answer about thousands of domains takes megabytes for some milliseconds. To have the kernel's pages for each costs more than
 * all else that is done for it, so malloc keeps up to HEAP_KEEP of them; and HEAP_DELAY_USEC after the process has got more than HEAP_PAGES,
 * what is free by then goes back. The timer is armed by that alone: a daemon at rest is not woken.
 *
 * Threads: the daemon's one. Tested by tests/unit/test-heap.c.
 */
#pragma once

#include <systemd/sd-event.h>

#include "vmm-core/base/cleanup.h"

#define HEAP_KEEP       (16U * 1024 * 1024)
#define HEAP_PAGES      256
#define HEAP_DELAY_USEC UINT64_C(2000000)

struct heap;

/* How malloc is to behave, for the whole process: once, before much of it is used. */
void heap_set_up(void);

int heap_new(sd_event *event, uint64_t delay_usec, struct heap **ret);
struct heap *heap_free(struct heap *heap);
DEFINE_CLEANUP(struct heap *, heap_free);

/* After each turn of the loop: has it grown? One system call. */
void heap_look(struct heap *heap);
