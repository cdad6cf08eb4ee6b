/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rows of an answer: see api-rows.h. */
#include "daemon/api-rows.h"

#include <errno.h>

/* As rpc-conn.c prints what is around it. */
#define PRINT_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

static void text_free(struct json_object *rows, void *userdata)
{
	(void)rows;
	printbuf_free(userdata);
}

static int print_text(struct json_object *rows, struct printbuf *out, int level, int flags)
{
	const struct printbuf *text = json_object_get_userdata(rows);

	(void)level;
	(void)flags;
	printbuf_memappend_fast(out, "[", 1);
	printbuf_memappend_fast(out, text->buf, text->bpos);
	printbuf_memappend_fast(out, "]", 1);
	return 0;
}

struct json_object *api_rows_add(
	const struct api_call *call, struct json_object *out, const char *name)
{
	struct json_object *rows = json_object_new_array();
	struct printbuf *text = NULL;

	if (rows && call->ops->is_text) {
		text = printbuf_new();
		if (text)
			json_object_set_serializer(rows, print_text, text, text_free);
	}
	if (!rows || (call->ops->is_text && !text) || json_object_object_add(out, name, rows) < 0) {
		json_object_put(rows);
		return NULL;
	}
	return rows;
}

static int put_text(struct printbuf *text, struct json_object *row)
{
	size_t len;
	const char *s = json_object_to_json_string_length(row, PRINT_FLAGS, &len);

	if (!s || (text->bpos && printbuf_memappend(text, ",", 1) < 0))
		return -ENOMEM;
	return printbuf_memappend(text, s, (int)len) < 0 ? -ENOMEM : 0;
}

int api_rows_put(struct json_object *rows, struct json_object *row)
{
	struct printbuf *text = json_object_get_userdata(rows);
	int r = !row ? -ENOMEM : text ? put_text(text, row) : 0;

	if (r == 0 && !text)
		return json_object_array_add(rows, row) < 0 ? -ENOMEM : 0;
	json_object_put(row);
	return r;
}
