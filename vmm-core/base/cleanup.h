/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ownership that is visible on the declaration.
 *
 *	_cleanup_(freep) char *name = NULL;	freed when the scope ends
 *	_cleanup_(closep) int fd = -EBADF;	closed when the scope ends
 *	*ret_name = TAKE_PTR(name);		handed over: the scope frees nothing any more
 *
 * A type with a destructor `struct foo *foo_free(struct foo *)` (takes NULL, returns NULL) gets its
 * `foo_freep` with DEFINE_CLEANUP(struct foo *, foo_free).
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

#define TAKE_PTR(p)                                                                                \
	({                                                                                         \
		__typeof__(p) *take_ = &(p);                                                       \
		__typeof__(p) take_v_ = *take_;                                                    \
		*take_ = NULL;                                                                     \
		take_v_;                                                                           \
	})

#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int *take_ = &(fd);                                                                \
		int take_v_ = *take_;                                                              \
		*take_ = -EBADF;                                                                   \
		take_v_;                                                                           \
	})

#define DEFINE_CLEANUP(type, func)                                                                 \
	static inline void func##p(type *p)                                                        \
	{                                                                                          \
		if (*p)                                                                            \
			*p = func(*p);                                                             \
	}                                                                                          \
	struct func##_needs_a_semicolon_

static inline void freep(void *p)
{
	free(*(void **)p);
	*(void **)p = NULL;
}

/* Close 'fd' if there is one, keeping errno; answers the value that stands for no fd. */
static inline int safe_close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
	}
	return -EBADF;
}

static inline void closep(int *fd)
{
	*fd = safe_close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		(void)fclose(*f);
	*f = NULL;
}
