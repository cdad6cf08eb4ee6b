/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between kernel-probe.c (files, bzImage) and kernel-elf.c (ELF): how to fail, and what each half offers. */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/boot/kernel-probe.h"

struct probe_reason {
	char *text;
	size_t size;
};

/* Format the reason; answers -ENOEXEC. */
static inline int probe_fail(const struct probe_reason *r, const char *format, ...) _printf_(2, 3);
static inline int probe_fail(const struct probe_reason *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(r->text, r->size, format, ap);
	va_end(ap);
	return -ENOEXEC;
}

/* The same for an error of reading, which is answered. */
static inline int probe_fail_errno(const struct probe_reason *r, int error, const char *what)
{
	if (error == -ENODATA)
		(void)snprintf(r->text, r->size, "%s: the file ends too early", what);
	else
		(void)snprintf(r->text, r->size, "%s: %s", what, strerror(-error));
	return error;
}

/* head[len] is the file's beginning and starts with ELF's magic; image->file_size is set. */
int probe_elf(int fd, const uint8_t *head, size_t len, struct kernel_image *image,
	const struct probe_reason *reason);
