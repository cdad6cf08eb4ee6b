/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Base64 as RFC 4648 has it in section 4: the alphabet with '+' and '/', padded, without blanks or line breaks.
 *
 * Tested by tests/unit/test-base64.c.
 */
#pragma once

#include "vmm-core/base/macro.h"

/* The length of the text of 'size' bytes, without a NUL. */
#define BASE64_LEN(size) (((size) + 2) / 3 * 4)

/* Write BASE64_LEN(size) characters, and no NUL. */
void base64_encode(const void *data, size_t size, char *ret_text);

/* How many bytes the text stands for, by its length and its padding: at most len / 4 * 3. 0 for a text whose length is wrong. */
size_t base64_size(const char *text, size_t len);

/* Write base64_size() bytes. Returns 0, or -EINVAL: a character that is none of the alphabet's, a length that is no multiple of 4, or
 * bits behind the last byte that are not 0. */
int base64_decode(const char *text, size_t len, void *ret_data);
