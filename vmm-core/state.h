/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Saved state: a stream of sections, each with the name of the device model that wrote it, an instance, a
 * version, a length and a CRC-32. All numbers are little-endian. Snapshots and migration stand on it; nothing
 * in it is trusted when it comes back.
 *
 * Writing appends to a growing buffer and never fails until state_writer_finish() tells (-ENOMEM sticks).
 * Reading is sticky too: after the first short or wrong read every further one gives 0, and
 * state_reader_end() answers -EBADMSG. A load function therefore reads all its fields, then checks
 * state_reader_end(), then the values, and only then changes the device.
 */
#pragma once

#include "vmm-core/base/macro.h"

#define STATE_NAME_MAX    32
#define STATE_SECTION_MAX MIB(16)

struct state_writer {
	uint8_t *data;
	size_t len, size;
	size_t section; /* start of the open section's header */
	int error;
};

void state_writer_init(struct state_writer *w);
void state_writer_done(struct state_writer *w);
void state_begin(struct state_writer *w, const char *name, uint32_t instance, uint32_t version);
void state_end(struct state_writer *w);
void state_put_u8(struct state_writer *w, uint8_t v);
void state_put_u16(struct state_writer *w, uint16_t v);
void state_put_u32(struct state_writer *w, uint32_t v);
void state_put_u64(struct state_writer *w, uint64_t v);
void state_put_bytes(struct state_writer *w, const void *data, size_t len);
int state_writer_error(const struct state_writer *w);

/* One section's payload. */
struct state_reader {
	const uint8_t *data;
	size_t len, pos;
	uint32_t version, instance;
	char name[STATE_NAME_MAX];
	bool bad;
};

/* Open the section at *offset of data[len] and move *offset behind it. Returns 1, 0 at the end of the stream, or
 * -EBADMSG (truncated, over STATE_SECTION_MAX, wrong checksum, name not terminated). */
int state_next(const uint8_t *data, size_t len, size_t *offset, struct state_reader *ret_r);
uint8_t state_get_u8(struct state_reader *r);
uint16_t state_get_u16(struct state_reader *r);
uint32_t state_get_u32(struct state_reader *r);
uint64_t state_get_u64(struct state_reader *r);
void state_get_bytes(struct state_reader *r, void *ret_data, size_t len);
/* 0 when everything was there and nothing is left over, else -EBADMSG. */
int state_reader_end(const struct state_reader *r);
