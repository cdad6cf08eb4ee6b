/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strings and numbers: see strutil.h. */
#include "vmm-core/base/strutil.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

int str_copy(char *dst, size_t dst_size, const char *src)
{
	size_t len = strlen(src);

	if (len >= dst_size)
		return -ENAMETOOLONG;
	memcpy(dst, src, len + 1);
	return 0;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	unsigned base = 10;
	uint64_t value = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	if (!*s)
		return -EINVAL;
	for (bool over = false;; s++) {
		int d;

		if (!*s) {
			if (over || value > max)
				return -ERANGE;
			*ret = value;
			return 0;
		}
		d = digit_of(*s);
		if (d < 0 || (unsigned)d >= base)
			return -EINVAL;
		over |= __builtin_mul_overflow(value, (uint64_t)base, &value);
		over |= __builtin_add_overflow(value, (uint64_t)d, &value);
	}
}

int parse_i64(const char *s, int64_t min, int64_t max, int64_t *ret)
{
	bool negative = *s == '-';
	uint64_t magnitude;
	int64_t value;
	int r;

	r = parse_u64(s + negative, (uint64_t)INT64_MAX + negative, &magnitude);
	if (r < 0)
		return r;
	value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	if (value < min || value > max)
		return -ERANGE;
	*ret = value;
	return 0;
}

int uuid_parse(const char *s, uint8_t ret_uuid[16])
{
	uint8_t uuid[16];

	for (unsigned i = 0; i < 16; i++) {
		int hi, lo;

		if (i && *s == '-')
			s++;
		hi = digit_of(s[0]);
		if (hi < 0)
			return -EINVAL;
		lo = digit_of(s[1]);
		if (lo < 0)
			return -EINVAL;
		uuid[i] = (uint8_t)(hi << 4 | lo);
		s += 2;
	}
	if (*s)
		return -EINVAL;
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return 0;
}

void uuid_format(const uint8_t uuid[16], char ret_s[UUID_STRING_LEN + 1])
{
	static const char hex[] = "0123456789abcdef";
	char *p = ret_s;

	for (unsigned i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[uuid[i] >> 4];
		*p++ = hex[uuid[i] & 15];
	}
	*p = 0;
}

int uuid_generate(uint8_t ret_uuid[16])
{
	uint8_t uuid[16];

	if (getrandom(uuid, sizeof(uuid), 0) != sizeof(uuid))
		return -errno;
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
	memcpy(ret_uuid, uuid, sizeof(uuid));
	return 0;
}

bool uuid_is_null(const uint8_t uuid[16])
{
	static const uint8_t null_uuid[16];

	return memcmp(uuid, null_uuid, 16) == 0;
}

unsigned utf8_len(const char *str, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)str;
	unsigned n = len == 0           ? 0
		: s[0] < 0x80           ? 1
		: (s[0] & 0xe0) == 0xc0 ? 2
		: (s[0] & 0xf0) == 0xe0 ? 3
		: (s[0] & 0xf8) == 0xf0 ? 4
					: 0;
	uint32_t c;

	if (n <= 1 || n > len)
		return n > len ? 0 : n;
	c = s[0] & (0x7fU >> n);
	for (unsigned i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	return n;
}

bool str_is_clean_utf8(const char *str)
{
	const char *end = str + strlen(str);

	while (str < end) {
		unsigned n = utf8_len(str, (size_t)(end - str));
		unsigned char c = (unsigned char)*str;

		if (!n || (c < ' ' && c != '\t' && c != '\n') || c == 0x7f)
			return false;
		str += n;
	}
	return true;
}
