/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * No memory: the daemon ends, with a word in the log. systemd starts it again, and what runs goes on, as it does when the daemon is killed.
 *
 * That is for the daemon with all of its libraries, for which these take the place of the C library's functions. They cannot be trusted
 * with the alternative: json-c takes a value that it could not make for "null", in what it reads, too, so that something else would be
 * stored or done than was meant, and libxml2 follows a pointer that is none. The daemon's own code goes on to look at what it gets: for
 * the tests, which have the C library's malloc(), and for the kernel's ENOMEM.
 *
 * Part of vmmd, not of the daemon's library. Tested by tests/unit/test-no-memory.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "vmm-core/base/log.h"
#include "vmm-core/base/macro.h"

/* glibc's own. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static void *checked(void *p)
{
	if (p)
		return p;
	log_error("out of memory: vmmd ends, and what runs goes on");
	_exit(EXIT_FAILURE);
}

void *malloc(size_t size)
{
	return checked(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
	return checked(__libc_calloc(n, size));
}

void *realloc(void *p, size_t size)
{
	void *new = __libc_realloc(p, size);

	/* It has freed 'p', as it was told. */
	return p && !size ? new : checked(new);
}

void *reallocarray(void *p, size_t n, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(n, size, &bytes) ? checked(NULL) : realloc(p, bytes);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return checked(__libc_memalign(alignment, size));
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
	if (alignment % sizeof(void *) != 0 || !alignment || alignment & (alignment - 1))
		return EINVAL;
	*ret = checked(__libc_memalign(alignment, size));
	return 0;
}
