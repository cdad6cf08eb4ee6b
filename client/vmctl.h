/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole of vmctl as one function, so that tests can run it in a child of theirs. Returns the exit status.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#pragma once

#include <stddef.h>

int vmctl_main(int argc, char **argv);

struct ctl;

/* One verb with its words, over the connection that is there (made when it is first needed). Returns 0 or -errno, told already. */
int vmctl_run(struct ctl *ctl, char **words, size_t n);
/* With --json: the error of a verb that failed without a document of its own. */
void vmctl_print_json_error(struct ctl *ctl);
