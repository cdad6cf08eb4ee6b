/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes of a JSON-RPC connection -> messages. Two framings, told apart by the first byte that ever comes, and kept for the
 * connection's life:
 *
 *	newline		one message a line; blank lines are skipped
 *	length		4 bytes, most significant first, then that many bytes of message. RPC_MAX_MESSAGE is less than 2^24, so the
 *			first byte is 0, with which no JSON text begins.
 *
 * What is sent goes in the framing of what came; a connection that has said nothing gets lines.
 *
 * Tested by tests/unit/test-rpc-frame.c.
 */
#pragma once

#include <stddef.h>

#include "vmm-core/base/macro.h"

/* A message with VMMD_MAX_XML_BYTES of XML as a JSON string, with room for the escapes of ordinary XML. */
#define RPC_MAX_MESSAGE (2U * 1024 * 1024)

enum rpc_framing { RPC_FRAMING_UNKNOWN, RPC_FRAMING_LINES, RPC_FRAMING_LENGTH };

struct rpc_frames {
	enum rpc_framing framing;
	size_t max; /* of one message; 0: RPC_MAX_MESSAGE */
	char *data;
	size_t size;       /* allocated */
	size_t start, end; /* what has come and is not taken */
	size_t scanned;    /* from 'start': no newline in there */
};

void rpc_frames_done(struct rpc_frames *frames);

/* Where to put what comes next: at least 1 byte. Messages handed out before are gone. Returns 0, -ENOMEM, or -EMSGSIZE: the
 * message that has begun is longer than it may be. */
int rpc_frames_room(struct rpc_frames *frames, char **ret_data, size_t *ret_size);
void rpc_frames_filled(struct rpc_frames *frames, size_t n);

/* The next whole message: 1 with 'ret', which is valid until rpc_frames_room(); 0: more must come; -EMSGSIZE: it is too long. After an
 * error the connection cannot go on. */
int rpc_frames_next(struct rpc_frames *frames, const char **ret_text, size_t *ret_len);

/* Part of a message has come, and not all of it. */
bool rpc_frames_partial(const struct rpc_frames *frames);
