/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the programs share that run our own guests: a worker with a guest in a line, and how its end is told. Their
 * arguments are the worker, the folder of the guests and, optional, a filter for names of tests.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/guest/harness.h"
#include "vmm-core/base/strutil.h"

#define WAIT_MS 30000

/* Takes the arguments and runs 'tests'. Answers what main() does: 77, with a word, where there is no /dev/kvm. */
#define guests_main(argc, argv, tests) guests_run_tests((argc), (argv), (tests), ARRAY_SIZE(tests))
int guests_run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n);

/* The folder of the guests, which can be written to. */
const char *guests_dir(void);

/* Fail with the harness' own words if 'r' is an error. */
void expect_ok(const struct harness *h, int r);

/* A harness for guest-GUEST.elf, not started; 'kernel' is any file. */
void prepare(struct harness *h, const char *guest, const char *cmdline);
void prepare_kernel(struct harness *h, const char *kernel);
/* The same, started. */
void boot(struct harness *h, const char *guest, const char *cmdline);
/* The guest ends by the debug port with 'code', the worker with success; 'h' is done. */
void expect_exit(struct harness *h, int code);
/* All of it. */
void run(const char *guest, const char *cmdline, int code);
