/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a test has inflicted, in numbers that are added up: scripts/tally sums these lines of all tests of a run, and holds
 * the sums to what SECURITY.md says of a run.
 */
#pragma once

#include <stdio.h>

#define TALLY_FAULTS    "faults"    /* calls, processes, disks and clocks that failed */
#define TALLY_MALFORMED "malformed" /* inputs that no honest peer sends */

static inline void tally(const char *kind, unsigned long long n)
{
	printf("tally %s %llu\n", kind, n);
	(void)fflush(stdout);
}
