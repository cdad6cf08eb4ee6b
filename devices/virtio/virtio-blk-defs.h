/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virtio-blk as the specification writes it (virtio 1.2, 5.2): feature bits, requests, the configuration window.
 * Everything is little-endian. For virtio-blk.c. */
#pragma once

#include "vmm-core/base/macro.h"

#define HEADER_SIZE 16
#define ID_SIZE     20

/* 5.2.3: bit numbers */
enum {
	F_SEG_MAX = 2,
	F_RO = 5,
	F_BLK_SIZE = 6,
	F_FLUSH = 9,
	F_TOPOLOGY = 10,
	F_CONFIG_WCE = 11,
	F_MQ = 12,
	F_DISCARD = 13,
	F_WRITE_ZEROES = 14
};

/* 5.2.6: types of requests, and their answers */
enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };

enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };

/* 5.2.6 */
struct blk_header {
	uint32_t type;
	uint32_t reserved;
	uint64_t sector;
};
static_assert(sizeof(struct blk_header) == HEADER_SIZE, "virtio 1.2, 5.2.6");

struct blk_range {
	uint64_t sector;
	uint32_t num_sectors;
	uint32_t flags;
};
static_assert(sizeof(struct blk_range) == 16, "virtio 1.2, 5.2.6");
#define RANGE_UNMAP UINT32_C(1)

/* 5.2.4 */
struct blk_config {
	uint64_t capacity; /* sectors */
	uint32_t size_max, seg_max;
	uint16_t cylinders;
	uint8_t heads, sectors;
	uint32_t blk_size;
	uint8_t physical_block_exp, alignment_offset;
	uint16_t min_io_size;
	uint32_t opt_io_size;
	uint8_t writeback, unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[3];
};
static_assert(sizeof(struct blk_config) == 64, "virtio 1.2, 5.2.4 and padding");
static_assert(offsetof(struct blk_config, writeback) == 32, "virtio 1.2, 5.2.4");
static_assert(offsetof(struct blk_config, write_zeroes_may_unmap) == 56, "virtio 1.2, 5.2.4");
#define CONFIG_LEN 60
