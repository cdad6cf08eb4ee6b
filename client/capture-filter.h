/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A filter of pcap-filter(7) on the reader's end of a capture (vmm-core/base/capture-record.h): compiled by libpcap, moved behind the
 * record, and given to the kernel, which drops what does not match before it is queued.
 *
 * One thread. Tested by tests/unit/test-client-capture.c.
 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#define CAPTURE_FILTER_MAX       4096 /* instructions: the kernel's limit */
#define CAPTURE_FILTER_ERROR_MAX 512

struct capture_filter {
	struct sock_filter code[CAPTURE_FILTER_MAX];
	unsigned short n;
};

/* 'expression' ("": all frames) for Ethernet; of a frame that matches, the record and its first 'snaplen' bytes remain. Returns 0,
 * or -EINVAL with one line in ret_error: not understood, too long, or it asks for what the bytes of a frame do not tell
 * ("inbound"). */
int capture_filter_compile(const char *expression, uint32_t snaplen,
	struct capture_filter *ret_filter, char ret_error[CAPTURE_FILTER_ERROR_MAX]);

/* From now on only what matches comes out of 'fd'; what is queued already is thrown away. 0 or -errno. */
int capture_filter_attach(int fd, const struct capture_filter *filter);
