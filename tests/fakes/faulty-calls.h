/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System calls that fail when a test wants them to. The linker puts these in the place of libc's for all that is linked into the test
 * (tests/unit/meson.build, faulty_dep); what shared libraries call is left alone. Until a test arms them, they do what they always do.
 *
 *	faults_arm(n, ENOSPC, 0);	the n-th call from now on fails
 *	…
 *	if (faults_disarm()) …		it did
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum faults_flags {
	FAULTS_STICKY = 1, /* that call, and all after it */
	FAULTS_SPACE =
		2, /* only those that can need space: open to create, mkdir, write, rename, bind */
	FAULTS_FILES = 4,  /* only those that make an fd */
	FAULTS_IO = 8,     /* only those that move bytes */
	FAULTS_SHORT = 16, /* what moves bytes moves one */
	FAULTS_EVERY = 32, /* each call is first interrupted; with FAULTS_IO only */
	FAULTS_SYNC = 64,  /* only fsync and fdatasync */
};

/* A call that has worked, for who looks: the store's own, with what they were about. */
struct faults_call {
	enum faults_kind {
		FAULTS_CALL_OPEN,     /* fd: the new one, of what may have been there */
		FAULTS_CALL_CREATE,   /* the same, of what may not */
		FAULTS_CALL_WRITE,    /* data, len; at: -1 for the end */
		FAULTS_CALL_TRUNCATE, /* at: the length from now on */
		FAULTS_CALL_SYNC,
		FAULTS_CALL_RENAME, /* name, to */
		FAULTS_CALL_LINK,   /* name, to */
		FAULTS_CALL_UNLINK,
	} kind;
	int dir_fd, fd;
	const char *name, *to;
	const void *data;
	size_t len;
	long at;
};

struct faults {
	unsigned n;        /* calls since faults_arm() that could fail */
	unsigned at;       /* 0: none does */
	unsigned injected; /* since the program began */
	int error;
	unsigned flags;
	bool sync; /* syncs do what they say; the kernel's asynchronous ones are not there otherwise */
	char failed[64]; /* the name of the last one that failed */
	void (*seen)(const struct faults_call *call);
};
extern struct faults faults;

void faults_arm(unsigned at, int error, unsigned flags);
/* The call that was to fail did. */
bool faults_disarm(void);
