/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings and numbers, bounded. No function here allocates unless its name says so. */
#pragma once

#include <string.h>

#include "vmm-core/base/macro.h"

#define UUID_STRING_LEN 36 /* without the final NUL */

static inline bool streq(const char *a, const char *b)
{
	return strcmp(a, b) == 0;
}

/* Copy 'src' with its NUL into dst[dst_size]. Returns 0, or -ENAMETOOLONG with dst untouched. */
int str_copy(char *dst, size_t dst_size, const char *src);

/* The whole of 's' as an unsigned number: decimal, or hexadecimal behind 0x. No sign, no blanks.
 * Returns 0, -EINVAL (not a number, empty) or -ERANGE (more than 'max'). */
int parse_u64(const char *s, uint64_t max, uint64_t *ret);

/* Like parse_u64, with a leading '-' allowed. -ERANGE outside [min, max]. */
int parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret);

/* A UUID with or without hyphens (RFC 9562; libvirt accepts both). Returns 0 or -EINVAL. */
int uuid_parse(const char *s, uint8_t ret_uuid[16]);

/* The canonical lower-case form with hyphens. */
void uuid_format(const uint8_t uuid[16], char ret_s[UUID_STRING_LEN + 1]);

/* A random version 4 UUID. Returns 0 or a negative errno of getrandom(2). */
int uuid_generate(uint8_t ret_uuid[16]);

bool uuid_is_null(const uint8_t uuid[16]);

/* The length of the UTF-8 sequence (RFC 3629) with which s[len] begins: 1 to 4, or 0 when it is malformed or cut off. */
unsigned utf8_len(const char *s, size_t len);

/* 's' is valid UTF-8 with no control characters other than tab and newline. */
bool str_is_clean_utf8(const char *s);
