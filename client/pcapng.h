/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of captured frames as Wireshark and tcpdump read them: pcapng (draft-ietf-opsawg-pcapng), one section, one interface
 * of Ethernet, times in nanoseconds, host byte order.
 *
 * Functions write to 'f' and return 0 or -errno of the stream; flushing is the caller's.
 *
 * One thread. Tested by tests/unit/test-client-capture.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define PCAPNG_TEXT_MAX 4096 /* of each text; longer ones are cut */

struct pcapng_interface {
	const char *name, *description;
	const char *filter; /* "": none */
	uint32_t snaplen;
};

struct pcapng_frame {
	uint64_t time_ns; /* since 1970 */
	uint32_t len;     /* of the frame on the wire; 'size' bytes of it are there */
	uint32_t size;
	const void *bytes;
	uint32_t direction;  /* 1 in, 2 out, 0 unknown */
	uint64_t n_lost;     /* since the last frame */
	const char *comment; /* NULL: none */
};

int pcapng_begin(FILE *f, const struct pcapng_interface *interface);
int pcapng_frame(FILE *f, const struct pcapng_frame *frame);
/* Statistics, the end: frames that were written, and lost ones. */
int pcapng_end(FILE *f, uint64_t time_ns, uint64_t n_frames, uint64_t n_lost);
