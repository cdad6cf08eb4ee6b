/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The system calls a worker may make, per thread role: data, with a reason on each line. seccomp-gen.c turns it
 * into BPF at build time; the sandbox tests compare it with what a live worker can really do.
 *
 * Anything not listed kills the process (SIGSYS), as does any architecture but x86-64 and the x32 calls.
 *
 * Tested by tests/unit/test-seccomp.c.
 */
#pragma once

#include <stdint.h>

enum seccomp_role {
	SECCOMP_VCPU,
	SECCOMP_LOOP,
	SECCOMP_IO,
	SECCOMP_IOTHREAD,
	SECCOMP_NETWORK, /* the one thread of a network's worker */
	SECCOMP_ROLE_X_MAX
};

enum seccomp_check {
	SECCOMP_ANY,     /* any arguments */
	SECCOMP_ONE_OF,  /* argument 'arg', low 32 bits, is one of values[] */
	SECCOMP_NO_BITS, /* argument 'arg', low 32 bits, has no bit of values[0] */
	SECCOMP_ABSENT,  /* never: ENOSYS, as of an older kernel, for who then does without */
	SECCOMP_CHECK_X_MAX
};

#define SECCOMP_MAX_VALUES 40

struct seccomp_rule {
	int nr;
	const char *name;
	enum seccomp_check check;
	unsigned arg;
	unsigned n_values;
	uint32_t values[SECCOMP_MAX_VALUES];
	const char *reason;
};

/* Ends with a row whose name is NULL. */
const struct seccomp_rule *seccomp_rules(enum seccomp_role role);
const char *seccomp_role_to_string(enum seccomp_role role);
