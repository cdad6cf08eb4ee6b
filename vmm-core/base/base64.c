/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Base64: see base64.h. */
#include "vmm-core/base/base64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(const void *data, size_t size, char *ret_text)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i += 3) {
		size_t left = size - i;
		uint32_t bits = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			(left > 2 ? p[i + 2] : 0U);

		*ret_text++ = alphabet[bits >> 18];
		*ret_text++ = alphabet[bits >> 12 & 63];
		*ret_text++ = left > 1 ? alphabet[bits >> 6 & 63] : '=';
		*ret_text++ = left > 2 ? alphabet[bits & 63] : '=';
	}
}

static unsigned n_padding(const char *text, size_t len)
{
	return len == 0 || text[len - 1] != '=' ? 0 : text[len - 2] == '=' ? 2 : 1;
}

size_t base64_size(const char *text, size_t len)
{
	return len % 4 ? 0 : len / 4 * 3 - n_padding(text, len);
}

static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -EINVAL;
}

int base64_decode(const char *text, size_t len, void *ret_data)
{
	size_t size = base64_size(text, len), n_chars = len - n_padding(text, len);
	uint8_t *p = ret_data;
	uint32_t bits = 0;

	if (len % 4)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		int value = i < n_chars ? value_of(text[i]) : 0;

		if (value < 0)
			return value;
		bits = bits << 6 | (uint32_t)value;
		if (i % 4 != 3)
			continue;
		for (unsigned k = 0; k < 3; k++, bits <<= 8)
			if (size) {
				*p++ = (uint8_t)(bits >> 16);
				size--;
			} else if (bits >> 16 & 0xff) {
				return -EINVAL;
			}
		bits = 0;
	}
	return 0;
}
