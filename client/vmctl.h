/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The whole of vmctl as one function, so that tests can run it in a child of theirs. Returns the exit status.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#pragma once

int vmctl_main(int argc, char **argv);
