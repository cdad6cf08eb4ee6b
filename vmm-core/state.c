/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Saved state: sections of little-endian fields with a checksum. See state.h. */
#include "vmm-core/state.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm-core/base/strutil.h"

#define SECTION_MAGIC UINT32_C(0x53644d56)

/* On-disk form of a section's header; the payload follows. */
struct section_header {
	uint32_t magic;
	uint32_t version;
	uint32_t instance;
	uint32_t crc; /* CRC-32 (IEEE 802.3) of the payload */
	uint64_t len;
	char name[STATE_NAME_MAX];
};
static_assert(sizeof(struct section_header) == 24 + STATE_NAME_MAX, "file format");
static_assert(offsetof(struct section_header, name) == 24, "file format");

static uint32_t crc32_ieee(const uint8_t *data, size_t len)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= data[i];
		for (unsigned bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
	}
	return ~crc;
}

void state_writer_init(struct state_writer *w)
{
	*w = (struct state_writer){0};
}

void state_writer_done(struct state_writer *w)
{
	free(w->data);
	state_writer_init(w);
}

static void put(struct state_writer *w, const void *data, size_t len)
{
	if (w->error)
		return;
	if (w->size - w->len < len) {
		size_t size = MAX(w->size * 2, w->len + len + 256);
		void *p = realloc(w->data, size);

		if (!p) {
			w->error = -ENOMEM;
			return;
		}
		w->data = p;
		w->size = size;
	}
	if (len)
		memcpy(w->data + w->len, data, len);
	w->len += len;
}

void state_begin(struct state_writer *w, const char *name, uint32_t instance, uint32_t version)
{
	struct section_header h = {
		.magic = htole32(SECTION_MAGIC),
		.version = htole32(version),
		.instance = htole32(instance),
	};

	w->section = w->len;
	if (str_copy(h.name, sizeof(h.name), name) < 0)
		w->error = -EINVAL;
	put(w, &h, sizeof(h));
}

void state_end(struct state_writer *w)
{
	struct section_header h;
	size_t payload = w->section + sizeof(h);

	if (w->error)
		return;
	memcpy(&h, w->data + w->section, sizeof(h));
	h.len = htole64(w->len - payload);
	h.crc = htole32(crc32_ieee(w->data + payload, w->len - payload));
	memcpy(w->data + w->section, &h, sizeof(h));
}

void state_put_u8(struct state_writer *w, uint8_t v)
{
	put(w, &v, sizeof(v));
}

void state_put_u16(struct state_writer *w, uint16_t v)
{
	v = htole16(v);
	put(w, &v, sizeof(v));
}

void state_put_u32(struct state_writer *w, uint32_t v)
{
	v = htole32(v);
	put(w, &v, sizeof(v));
}

void state_put_u64(struct state_writer *w, uint64_t v)
{
	v = htole64(v);
	put(w, &v, sizeof(v));
}

void state_put_bytes(struct state_writer *w, const void *data, size_t len)
{
	put(w, data, len);
}

int state_writer_error(const struct state_writer *w)
{
	return w->error;
}

int state_next(const uint8_t *data, size_t len, size_t *offset, struct state_reader *ret_r)
{
	struct section_header h;
	size_t left = len - *offset;
	uint64_t payload;

	if (!left)
		return 0;
	if (left < sizeof(h))
		return -EBADMSG;
	memcpy(&h, data + *offset, sizeof(h));
	payload = le64toh(h.len);
	if (le32toh(h.magic) != SECTION_MAGIC || payload > STATE_SECTION_MAX ||
		payload > left - sizeof(h) || !memchr(h.name, 0, sizeof(h.name)))
		return -EBADMSG;
	if (crc32_ieee(data + *offset + sizeof(h), payload) != le32toh(h.crc))
		return -EBADMSG;
	*ret_r = (struct state_reader){
		.data = data + *offset + sizeof(h),
		.len = payload,
		.version = le32toh(h.version),
		.instance = le32toh(h.instance),
	};
	memcpy(ret_r->name, h.name, sizeof(h.name));
	*offset += sizeof(h) + payload;
	return 1;
}

void state_get_bytes(struct state_reader *r, void *ret_data, size_t len)
{
	if (r->bad || r->len - r->pos < len) {
		r->bad = true;
		memset(ret_data, 0, len);
		return;
	}
	memcpy(ret_data, r->data + r->pos, len);
	r->pos += len;
}

uint8_t state_get_u8(struct state_reader *r)
{
	uint8_t v;

	state_get_bytes(r, &v, sizeof(v));
	return v;
}

uint16_t state_get_u16(struct state_reader *r)
{
	uint16_t v;

	state_get_bytes(r, &v, sizeof(v));
	return le16toh(v);
}

uint32_t state_get_u32(struct state_reader *r)
{
	uint32_t v;

	state_get_bytes(r, &v, sizeof(v));
	return le32toh(v);
}

uint64_t state_get_u64(struct state_reader *r)
{
	uint64_t v;

	state_get_bytes(r, &v, sizeof(v));
	return le64toh(v);
}

int state_reader_end(const struct state_reader *r)
{
	return r->bad || r->pos != r->len ? -EBADMSG : 0;
}
