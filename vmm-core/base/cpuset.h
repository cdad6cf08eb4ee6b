/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sets of host CPUs: a bit each, in an array of CPUSET_WORDS words that is part of its owner's struct, and libvirt's text
 * for them: numbers and ranges with commas between, "^N" for "but not N", read from left to right: "0-3,^2,7".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CPUSET_MAX_CPUS 1024 /* libvirt's number as well */
#define CPUSET_WORDS    (CPUSET_MAX_CPUS / 64)
#define CPUSET_TEXT_MAX 4096 /* enough for any set, with the NUL */

/* Returns 0, -EINVAL (no such text), -ERANGE (a number of CPUSET_MAX_CPUS or more) or -ENODATA (no CPU is left).
 * Blanks around numbers are allowed. */
int cpuset_parse(const char *text, uint64_t ret_set[CPUSET_WORDS]);

/* The shortest text, as libvirt prints it: "0-1,3,7-9"; "" for the empty set. */
void cpuset_format(const uint64_t set[CPUSET_WORDS], char ret_text[CPUSET_TEXT_MAX]);

bool cpuset_is_empty(const uint64_t set[CPUSET_WORDS]);
/* The first CPU that is in 'set' and not in 'other'; -1: there is none. */
int cpuset_first_outside(const uint64_t set[CPUSET_WORDS], const uint64_t other[CPUSET_WORDS]);

/* Let the calling thread, and the threads it makes from now on, run on these CPUs only: those of them that are there and
 * that its cpuset cgroup has. Returns 0, or -EINVAL when that is none. */
int cpuset_apply(const uint64_t set[CPUSET_WORDS]);
/* The same for a thread of another process; the empty set: any CPU. Also -ESRCH and -EPERM. */
int cpuset_apply_thread(int tid, const uint64_t set[CPUSET_WORDS]);
/* Where a thread may run. Returns 0 or -errno. */
int cpuset_of_thread(int tid, uint64_t ret_set[CPUSET_WORDS]);
