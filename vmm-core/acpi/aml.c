/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The AML writer: see aml.h. */
#include "vmm-core/acpi/aml.h"

#include <string.h>

#define SEG 4 /* characters of a name segment */

#define OP_NAME       0x08
#define OP_BYTE       0x0a
#define OP_WORD       0x0b
#define OP_DWORD      0x0c
#define OP_STRING     0x0d
#define OP_QWORD      0x0e
#define OP_SCOPE      0x10
#define OP_BUFFER     0x11
#define OP_PACKAGE    0x12
#define OP_METHOD     0x14
#define OP_DUAL_NAME  0x2e
#define OP_MULTI_NAME 0x2f
#define OP_EXT        0x5b
#define OP_LOCAL0     0x60
#define OP_ARG0       0x68
#define OP_IF         0xa0
#define OP_ELSE       0xa1
#define EXT_REGION    0x80
#define EXT_FIELD     0x81
#define EXT_DEVICE    0x82

#define REGION_IO           1
#define FIELD_BYTE_NO_LOCK  0x01 /* byte access, no lock, preserve */
#define FIELD_DWORD_NO_LOCK 0x03
#define METHOD_SERIALIZED   0x08
#define RES_IO              0x47
#define RES_IRQ             0x22
#define RES_MEMORY32_FIXED  0x86
#define RES_DWORD           0x87
#define RES_WORD            0x88
#define RES_QWORD           0x8a
#define RES_END             0x79
#define WINDOW_MEMORY       0
#define WINDOW_IO           1
#define WINDOW_BUS          2
#define WINDOW_FIXED        0x0c /* producer, minimum and maximum fixed, positive decode */
#define MEMORY_RW_CACHEABLE 0x03
#define MEMORY_RW           0x01
#define IO_ENTIRE_RANGE     0x03

void aml_bytes(struct aml *w, const void *data, size_t len)
{
	if (w->overflow || !range_fits(w->len, len, w->size)) {
		w->overflow = true;
		return;
	}
	memcpy(w->data + w->len, data, len);
	w->len += len;
}

void aml_u8(struct aml *w, unsigned v)
{
	uint8_t b = (uint8_t)v;

	aml_bytes(w, &b, 1);
}

void aml_u16(struct aml *w, unsigned v)
{
	aml_u8(w, v);
	aml_u8(w, v >> 8);
}

void aml_u32(struct aml *w, uint32_t v)
{
	aml_u16(w, v & 0xffff);
	aml_u16(w, v >> 16);
}

void aml_u64(struct aml *w, uint64_t v)
{
	aml_u32(w, (uint32_t)v);
	aml_u32(w, (uint32_t)(v >> 32));
}

/* A PkgLength (20.2.4) counts itself: 6 bits in one byte, or 4 bits and up to three bytes more. */
void aml_end(struct aml *w, size_t mark)
{
	size_t len = w->len - mark;
	unsigned extra;

	if (w->overflow)
		return;
	extra = len + 1 < 0x40 ? 0 : len + 2 < 0x1000 ? 1 : len + 3 < 0x100000 ? 2 : 3;
	if (!range_fits(w->len, extra + 1, w->size)) {
		w->overflow = true;
		return;
	}
	memmove(w->data + mark + extra + 1, w->data + mark, len);
	w->len += extra + 1;
	len += extra + 1;
	if (extra == 0) {
		w->data[mark] = (uint8_t)len;
		return;
	}
	w->data[mark] = (uint8_t)(extra << 6 | (len & 0xf));
	for (unsigned i = 1; i <= extra; i++)
		w->data[mark + i] = (uint8_t)(len >> (4 + 8 * (i - 1)));
}

void aml_int(struct aml *w, uint64_t v)
{
	if (v <= 1) {
		aml_u8(w, (unsigned)v);
	} else if (v <= UINT8_MAX) {
		aml_u8(w, OP_BYTE);
		aml_u8(w, (unsigned)v);
	} else if (v <= UINT16_MAX) {
		aml_u8(w, OP_WORD);
		aml_u16(w, (unsigned)v);
	} else if (v <= UINT32_MAX) {
		aml_u8(w, OP_DWORD);
		aml_u32(w, (uint32_t)v);
	} else {
		aml_u8(w, OP_QWORD);
		aml_u64(w, v);
	}
}

void aml_string(struct aml *w, const char *s)
{
	aml_u8(w, OP_STRING);
	aml_bytes(w, s, strlen(s) + 1);
}

static unsigned hex_digit(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

/* Three letters of five bits and four hexadecimal digits, big-endian. */
void aml_eisaid(struct aml *w, const char *id)
{
	assert(strlen(id) == 7);
	aml_u8(w, OP_DWORD);
	aml_u8(w, (unsigned)(id[0] - 0x40) << 2 | (unsigned)(id[1] - 0x40) >> 3);
	aml_u8(w, ((unsigned)(id[1] - 0x40) & 7) << 5 | (unsigned)(id[2] - 0x40));
	aml_u8(w, hex_digit(id[3]) << 4 | hex_digit(id[4]));
	aml_u8(w, hex_digit(id[5]) << 4 | hex_digit(id[6]));
}

size_t aml_package(struct aml *w, unsigned n_elements)
{
	size_t mark;

	aml_u8(w, OP_PACKAGE);
	mark = w->len;
	aml_u8(w, n_elements);
	return mark;
}

void aml_buffer(struct aml *w, const void *data, size_t len)
{
	size_t mark;

	aml_u8(w, OP_BUFFER);
	mark = w->len;
	aml_int(w, len);
	aml_bytes(w, data, len);
	aml_end(w, mark);
}

void aml_touuid(struct aml *w, const uint8_t uuid[16])
{
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
	uint8_t mixed[16];

	for (size_t i = 0; i < 16; i++)
		mixed[i] = uuid[order[i]];
	aml_buffer(w, mixed, sizeof(mixed));
}

void aml_path(struct aml *w, const char *name)
{
	unsigned n = 1;

	while (*name == '\\' || *name == '^')
		aml_u8(w, (unsigned char)*name++);
	for (const char *p = name; *p; p++)
		n += *p == '.';
	if (n == 2) {
		aml_u8(w, OP_DUAL_NAME);
	} else if (n > 2) {
		aml_u8(w, OP_MULTI_NAME);
		aml_u8(w, n);
	}
	for (;;) {
		size_t len = strcspn(name, ".");

		assert(len >= 1 && len <= SEG);
		aml_bytes(w, name, len);
		aml_bytes(w, "____", SEG - len);
		if (!name[len])
			return;
		name += len + 1;
	}
}

void aml_name(struct aml *w, const char *name)
{
	aml_u8(w, OP_NAME);
	aml_path(w, name);
}

size_t aml_scope(struct aml *w, const char *name)
{
	size_t mark;

	aml_u8(w, OP_SCOPE);
	mark = w->len;
	aml_path(w, name);
	return mark;
}

size_t aml_device(struct aml *w, const char *name)
{
	size_t mark;

	aml_u8(w, OP_EXT);
	aml_u8(w, EXT_DEVICE);
	mark = w->len;
	aml_path(w, name);
	return mark;
}

size_t aml_method(struct aml *w, const char *name, unsigned n_args, bool serialized)
{
	size_t mark;

	aml_u8(w, OP_METHOD);
	mark = w->len;
	aml_path(w, name);
	aml_u8(w, n_args | (serialized ? METHOD_SERIALIZED : 0));
	return mark;
}

void aml_op_region_io(struct aml *w, const char *name, unsigned port, unsigned len)
{
	aml_u8(w, OP_EXT);
	aml_u8(w, EXT_REGION);
	aml_path(w, name);
	aml_u8(w, REGION_IO);
	aml_int(w, port);
	aml_int(w, len);
}

void aml_field_byte(struct aml *w, const char *region, const char *field, unsigned bits)
{
	size_t mark;

	assert(bits < 0x40); /* the length of a field is one byte of PkgLength then */
	aml_u8(w, OP_EXT);
	aml_u8(w, EXT_FIELD);
	mark = w->len;
	aml_path(w, region);
	aml_u8(w, FIELD_BYTE_NO_LOCK);
	aml_path(w, field);
	aml_u8(w, bits);
	aml_end(w, mark);
}

void aml_field_dwords(struct aml *w, const char *region, const char *const *fields)
{
	size_t mark;

	aml_u8(w, OP_EXT);
	aml_u8(w, EXT_FIELD);
	mark = w->len;
	aml_path(w, region);
	aml_u8(w, FIELD_DWORD_NO_LOCK);
	for (; *fields; fields++) {
		aml_path(w, *fields);
		aml_u8(w, 32);
	}
	aml_end(w, mark);
}

void aml_op(struct aml *w, enum aml_op op)
{
	aml_u8(w, op);
}

size_t aml_if(struct aml *w)
{
	aml_u8(w, OP_IF);
	return w->len;
}

size_t aml_else(struct aml *w)
{
	aml_u8(w, OP_ELSE);
	return w->len;
}

void aml_arg(struct aml *w, unsigned n)
{
	aml_u8(w, OP_ARG0 + n);
}

void aml_local(struct aml *w, unsigned n)
{
	aml_u8(w, OP_LOCAL0 + n);
}

/* A template is a buffer whose size is known at its end: a word is reserved for it. */
size_t aml_resources(struct aml *w)
{
	size_t mark;

	aml_u8(w, OP_BUFFER);
	mark = w->len;
	aml_u8(w, OP_WORD);
	aml_u16(w, 0);
	return mark;
}

void aml_resources_end(struct aml *w, size_t mark)
{
	size_t len;

	aml_u8(w, RES_END);
	aml_u8(w, 0); /* no checksum */
	if (w->overflow)
		return;
	len = w->len - (mark + 3);
	w->data[mark + 1] = (uint8_t)len;
	w->data[mark + 2] = (uint8_t)(len >> 8);
	aml_end(w, mark);
}

void aml_res_io(struct aml *w, unsigned port, unsigned len)
{
	aml_u8(w, RES_IO);
	aml_u8(w, 1); /* decodes 16 bits */
	aml_u16(w, port);
	aml_u16(w, port);
	aml_u8(w, 1);
	aml_u8(w, len);
}

void aml_res_irq(struct aml *w, unsigned irq)
{
	aml_u8(w, RES_IRQ);
	aml_u16(w, 1U << irq);
}

void aml_res_memory32(struct aml *w, uint32_t base, uint32_t size)
{
	aml_u8(w, RES_MEMORY32_FIXED);
	aml_u16(w, 9);
	aml_u8(w, MEMORY_RW);
	aml_u32(w, base);
	aml_u32(w, size);
}

void aml_res_bus(struct aml *w, unsigned first, unsigned last)
{
	aml_u8(w, RES_WORD);
	aml_u16(w, 13);
	aml_u8(w, WINDOW_BUS);
	aml_u8(w, WINDOW_FIXED);
	aml_u8(w, 0);
	aml_u16(w, 0);
	aml_u16(w, first);
	aml_u16(w, last);
	aml_u16(w, 0);
	aml_u16(w, last - first + 1);
}

void aml_res_window_io(struct aml *w, unsigned first, unsigned last)
{
	aml_u8(w, RES_WORD);
	aml_u16(w, 13);
	aml_u8(w, WINDOW_IO);
	aml_u8(w, WINDOW_FIXED);
	aml_u8(w, IO_ENTIRE_RANGE);
	aml_u16(w, 0);
	aml_u16(w, first);
	aml_u16(w, last);
	aml_u16(w, 0);
	aml_u16(w, last - first + 1);
}

void aml_res_window32(struct aml *w, uint32_t first, uint32_t last)
{
	aml_u8(w, RES_DWORD);
	aml_u16(w, 23);
	aml_u8(w, WINDOW_MEMORY);
	aml_u8(w, WINDOW_FIXED);
	aml_u8(w, MEMORY_RW);
	aml_u32(w, 0);
	aml_u32(w, first);
	aml_u32(w, last);
	aml_u32(w, 0);
	aml_u32(w, last - first + 1);
}

void aml_res_window64(struct aml *w, uint64_t first, uint64_t last)
{
	aml_u8(w, RES_QWORD);
	aml_u16(w, 43);
	aml_u8(w, WINDOW_MEMORY);
	aml_u8(w, WINDOW_FIXED);
	aml_u8(w, MEMORY_RW_CACHEABLE);
	aml_u64(w, 0);
	aml_u64(w, first);
	aml_u64(w, last);
	aml_u64(w, 0);
	aml_u64(w, last - first + 1);
}
