/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A column of an answer: see api-column.h. */
#include "daemon/api-column.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 4096

struct api_column {
	char type;
	char *data;
	size_t len, size;
};

static void column_free(struct json_object *array, void *userdata)
{
	struct api_column *c = userdata;

	(void)array;
	free(c->data);
	free(c);
}

/* What JSON says of it as it is: everything but what needs an escape. */
static bool is_plain(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] < 0x20 || s[i] == '"' || s[i] == '\\' || s[i] == '/')
			return false;
	return true;
}

static void print_string(struct printbuf *out, const char *s, size_t len, int flags)
{
	struct json_object *o;

	if (is_plain(s, len)) {
		printbuf_memappend_fast(out, "\"", 1);
		printbuf_memappend_fast(out, s, (int)len);
		printbuf_memappend_fast(out, "\"", 1);
		return;
	}
	o = json_object_new_string_len(s, (int)len);
	s = json_object_to_json_string_length(o, flags, &len);
	printbuf_memappend_fast(out, s, (int)len);
	json_object_put(o);
}

static int print_column(struct json_object *array, struct printbuf *out, int level, int flags)
{
	const struct api_column *c = json_object_get_userdata(array);

	(void)level;
	printbuf_memappend_fast(out, "[", 1);
	for (size_t at = 0; at < c->len;) {
		if (at)
			printbuf_memappend_fast(out, ",", 1);
		if (c->type == 'i') {
			char text[16];
			int32_t v;

			memcpy(&v, c->data + at, sizeof(v));
			printbuf_memappend(out, text, snprintf(text, sizeof(text), "%d", v));
			at += sizeof(v);
		} else {
			size_t len = strlen(c->data + at);

			print_string(out, c->data + at, len, flags);
			at += len + 1;
		}
	}
	printbuf_memappend_fast(out, "]", 1);
	return 0;
}

struct api_column *api_column_add(struct json_object *out, const char *name, char type)
{
	struct api_column *c = calloc(1, sizeof(*c));
	struct json_object *array = c ? json_object_new_array() : NULL;

	if (!array) {
		free(c);
		return NULL;
	}
	c->type = type;
	json_object_set_serializer(array, print_column, c, column_free);
	if (json_object_object_add(out, name, array) < 0) {
		json_object_put(array);
		return NULL;
	}
	return c;
}

static int put(struct api_column *c, const void *data, size_t len)
{
	if (c->size - c->len < len) {
		size_t size = MAX(c->size * 2, (size_t)FIRST_BYTES) + len;
		char *more = realloc(c->data, size);

		if (!more)
			return -ENOMEM;
		c->data = more;
		c->size = size;
	}
	memcpy(c->data + c->len, data, len);
	c->len += len;
	return 0;
}

int api_column_put_string(struct api_column *c, const char *value)
{
	return put(c, value, strlen(value) + 1);
}

int api_column_put_int(struct api_column *c, int32_t value)
{
	return put(c, &value, sizeof(value));
}

const struct api_column *api_column_of(struct json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_get_userdata(array) : NULL;
}

char api_column_type(const struct api_column *c)
{
	return c->type;
}

const void *api_column_data(const struct api_column *c, size_t *ret_size)
{
	*ret_size = c->len;
	return c->data;
}
