/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON-RPC's framings: see rpc-frame.h. */
#include "daemon/rpc-frame.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH_SIZE 4
#define FIRST_SIZE  4096
#define KEEP_SIZE   (64 * 1024) /* a larger buffer is given back when it is empty */

static size_t max_message(const struct rpc_frames *f)
{
	return f->max ? f->max : RPC_MAX_MESSAGE;
}

void rpc_frames_done(struct rpc_frames *f)
{
	free(f->data);
	*f = (struct rpc_frames){0};
}

static void move_to_front(struct rpc_frames *f)
{
	f->end -= f->start;
	if (f->start && f->end)
		memmove(f->data, f->data + f->start, f->end);
	f->start = 0;
	if (f->end == 0 && f->size > KEEP_SIZE) {
		free(f->data);
		f->data = NULL;
		f->size = 0;
	}
}

int rpc_frames_room(struct rpc_frames *f, char **ret_data, size_t *ret_size)
{
	move_to_front(f);
	if (f->end == f->size) {
		size_t size =
			MIN(f->size ? f->size * 2 : FIRST_SIZE, LENGTH_SIZE + max_message(f) + 1);
		char *data;

		if (size == f->size)
			return -EMSGSIZE;
		data = realloc(f->data, size);
		if (!data)
			return -ENOMEM;
		f->data = data;
		f->size = size;
	}
	*ret_data = f->data + f->end;
	*ret_size = f->size - f->end;
	return 0;
}

void rpc_frames_filled(struct rpc_frames *f, size_t n)
{
	assert(n <= f->size - f->end);
	f->end += n;
	if (f->framing == RPC_FRAMING_UNKNOWN && f->end > f->start)
		f->framing = f->data[f->start] == 0 ? RPC_FRAMING_LENGTH : RPC_FRAMING_LINES;
}

static bool is_blank(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] != ' ' && s[i] != '\t' && s[i] != '\r')
			return false;
	return true;
}

static int next_line(struct rpc_frames *f, const char **ret_text, size_t *ret_len)
{
	for (;;) {
		char *text = f->data + f->start;
		size_t have = f->end - f->start, len;
		char *newline = have > f->scanned
			? memchr(text + f->scanned, '\n', have - f->scanned)
			: NULL;

		if (!newline) {
			f->scanned = have;
			return have > max_message(f) ? -EMSGSIZE : 0;
		}
		len = (size_t)(newline - text);
		f->start += len + 1;
		f->scanned = 0;
		if (len > max_message(f))
			return -EMSGSIZE;
		if (is_blank(text, len))
			continue;
		*ret_text = text;
		*ret_len = len;
		return 1;
	}
}

static int next_counted(struct rpc_frames *f, const char **ret_text, size_t *ret_len)
{
	size_t have = f->end - f->start;
	uint32_t len;

	if (have < LENGTH_SIZE)
		return 0;
	memcpy(&len, f->data + f->start, LENGTH_SIZE);
	len = be32toh(len);
	if (len > max_message(f))
		return -EMSGSIZE;
	if (have - LENGTH_SIZE < len)
		return 0;
	*ret_text = f->data + f->start + LENGTH_SIZE;
	*ret_len = len;
	f->start += LENGTH_SIZE + len;
	return 1;
}

int rpc_frames_next(struct rpc_frames *f, const char **ret_text, size_t *ret_len)
{
	switch (f->framing) {
	case RPC_FRAMING_LINES:
		return next_line(f, ret_text, ret_len);
	case RPC_FRAMING_LENGTH:
		return next_counted(f, ret_text, ret_len);
	default:
		return 0;
	}
}

bool rpc_frames_partial(const struct rpc_frames *f)
{
	return f->end > f->start;
}
