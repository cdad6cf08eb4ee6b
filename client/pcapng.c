/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of captured frames: see pcapng.h. Numbers of sections are the draft's. */
#include "client/pcapng.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "build-config.h"
#include "vmm-core/base/macro.h"

/* 4.1, 4.2, 4.3, 4.6: blocks */
#define SECTION    0x0a0d0d0a
#define INTERFACE  1
#define FRAME      6
#define STATISTICS 5
#define MAGIC      0x1a2b3c4d
#define ETHERNET   1

/* Options: of any block (3.5), and each block's own. */
#define OPT_END          0
#define OPT_COMMENT      1
#define SECTION_PROGRAM  4
#define IF_NAME          2
#define IF_DESCRIPTION   3
#define IF_TIME_UNIT     9
#define IF_FILTER        11
#define FRAME_FLAGS      2
#define FRAME_LOST       4
#define STATS_LOST       5
#define STATS_DELIVERED  8
#define TIME_NANOSECONDS 9 /* 10^-9 */

struct section {
	uint32_t magic;
	uint16_t major, minor;
	int64_t len; /* -1: not said */
};

struct interface {
	uint16_t link_type, reserved;
	uint32_t snaplen;
};

struct enhanced {
	uint32_t interface, time_high, time_low, size, len;
};

struct statistics {
	uint32_t interface, time_high, time_low;
};

/* A part of a block's body; padded to 4 bytes. An option, if it has a code. */
struct part {
	uint16_t code;
	bool is_option;
	const void *data;
	size_t size;
};

static uint32_t padded(size_t size)
{
	return (uint32_t)((size + 3) & ~(size_t)3);
}

static void put(FILE *f, const void *data, size_t size)
{
	static const char zeroes[4];

	(void)fwrite(data, 1, size, f);
	(void)fwrite(zeroes, 1, padded(size) - size, f);
}

/* Parts without a size are left out; options end with their end, if there were any. */
static int put_block(FILE *f, uint32_t type, const struct part *parts, size_t n)
{
	uint32_t len = 3 * sizeof(uint32_t);
	bool has_options = false;

	for (size_t i = 0; i < n; i++) {
		if (!parts[i].size)
			continue;
		len += padded(parts[i].size) + (parts[i].is_option ? 4 : 0);
		has_options |= parts[i].is_option;
	}
	len += has_options ? 4 : 0;
	errno = 0;
	(void)fwrite(&type, 1, sizeof(type), f);
	(void)fwrite(&len, 1, sizeof(len), f);
	for (size_t i = 0; i < n; i++) {
		const uint16_t head[2] = {parts[i].code, (uint16_t)parts[i].size};

		if (parts[i].size && parts[i].is_option)
			(void)fwrite(head, 1, sizeof(head), f);
		if (parts[i].size)
			put(f, parts[i].data, parts[i].size);
	}
	if (has_options)
		(void)fwrite((const uint16_t[2]){OPT_END, 0}, 1, 4, f);
	(void)fwrite(&len, 1, sizeof(len), f);
	return ferror(f) ? -(errno ? errno : EIO) : 0;
}

static struct part body(const void *data, size_t size)
{
	return (struct part){.data = data, .size = size};
}

static struct part option(uint16_t code, const void *data, size_t size)
{
	return (struct part){.code = code, .is_option = true, .data = data, .size = size};
}

static struct part text(uint16_t code, const char *s)
{
	return option(code, s, s ? MIN(strlen(s), (size_t)PCAPNG_TEXT_MAX) : 0);
}

int pcapng_begin(FILE *f, const struct pcapng_interface *interface)
{
	static const uint8_t time_unit = TIME_NANOSECONDS;
	const struct section section = {.magic = MAGIC, .major = 1, .len = -1};
	const struct interface head = {.link_type = ETHERNET, .snaplen = interface->snaplen};
	char filter[PCAPNG_TEXT_MAX + 1] = {0}; /* first byte 0: a string follows */
	size_t filter_len = MIN(strlen(interface->filter), (size_t)PCAPNG_TEXT_MAX);
	const struct part section_parts[] = {
		body(&section, sizeof(section)), text(SECTION_PROGRAM, "vmctl " VMMD_VERSION)};
	const struct part interface_parts[] = {body(&head, sizeof(head)),
		text(IF_NAME, interface->name), text(IF_DESCRIPTION, interface->description),
		option(IF_FILTER, filter, filter_len ? filter_len + 1 : 0),
		option(IF_TIME_UNIT, &time_unit, sizeof(time_unit))};

	memcpy(filter + 1, interface->filter, filter_len);
	(void)put_block(f, SECTION, section_parts, 2);
	return put_block(f, INTERFACE, interface_parts, 5);
}

int pcapng_frame(FILE *f, const struct pcapng_frame *frame)
{
	const struct enhanced head = {.time_high = (uint32_t)(frame->time_ns >> 32),
		.time_low = (uint32_t)frame->time_ns,
		.size = frame->size,
		.len = frame->len};
	const struct part parts[] = {body(&head, sizeof(head)), body(frame->bytes, frame->size),
		option(FRAME_FLAGS, &frame->direction, frame->direction ? 4 : 0),
		option(FRAME_LOST, &frame->n_lost, frame->n_lost ? 8 : 0),
		text(OPT_COMMENT, frame->comment)};

	return put_block(f, FRAME, parts, 5);
}

int pcapng_end(FILE *f, uint64_t time_ns, uint64_t n_frames, uint64_t n_lost)
{
	const struct statistics head = {
		.time_high = (uint32_t)(time_ns >> 32), .time_low = (uint32_t)time_ns};
	const struct part parts[] = {body(&head, sizeof(head)), option(STATS_LOST, &n_lost, 8),
		option(STATS_DELIVERED, &n_frames, 8)};

	return put_block(f, STATISTICS, parts, 3);
}
