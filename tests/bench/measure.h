/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the programs of benchmarks share: a clock, samples in their order, and an end that leaves nothing behind.
 */
#pragma once

#include "vmm-core/base/macro.h"

/* CLOCK_MONOTONIC, in milliseconds. */
double now_ms(void);
/* For qsort(): doubles, the smallest first. */
int by_value(const void *a, const void *b);
/* All of them, and those that come to be ours when their parents end (PR_SET_CHILD_SUBREAPER). */
void kill_children(void);
/* Whatever goes wrong ends the program so: a line that says what, kill_children(), and 1. */
_noreturn_ void die(const char *format, ...) _printf_(1, 2);
