/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * D-Bus arguments as JSON, for what vmmd answers: a{s…} becomes an object, another array an array, a
 * variant its content. The bus library has checked signatures and nesting (at most 64 levels).
 *
 * Tested by tests/unit/test-remote.c.
 */
#include "client/remote.h"

#include <errno.h>

static int read_any(sd_bus_message *m, struct json_object **ret);

static int read_basic(sd_bus_message *m, char type, struct json_object **ret)
{
	union {
		uint8_t y;
		int b;
		int16_t n;
		uint16_t q;
		int32_t i;
		uint32_t u;
		int64_t x;
		uint64_t t;
		double d;
		const char *s;
	} v;
	int r;

	r = sd_bus_message_read_basic(m, type, &v);
	if (r < 0)
		return r;
	switch (type) {
	case 'y':
		*ret = json_object_new_int(v.y);
		break;
	case 'b':
		*ret = json_object_new_boolean(v.b);
		break;
	case 'n':
		*ret = json_object_new_int(v.n);
		break;
	case 'q':
		*ret = json_object_new_int(v.q);
		break;
	case 'i':
		*ret = json_object_new_int(v.i);
		break;
	case 'u':
		*ret = json_object_new_int64(v.u);
		break;
	case 'x':
		*ret = json_object_new_int64(v.x);
		break;
	case 't':
		*ret = json_object_new_uint64(v.t);
		break;
	case 'd':
		*ret = json_object_new_double(v.d);
		break;
	case 's':
	case 'o':
	case 'g':
		*ret = json_object_new_string(v.s);
		break;
	default:
		return -EBADMSG;
	}
	return *ret ? 0 : -ENOMEM;
}

static int read_dict(sd_bus_message *m, struct json_object **ret)
{
	_cleanup_(json_putp) struct json_object *object = json_object_new_object();
	int r;

	if (!object)
		return -ENOMEM;
	for (;;) {
		struct json_object *value = NULL;
		const char *key;

		r = sd_bus_message_enter_container(m, 0, NULL);
		if (r < 0)
			return r;
		if (r == 0)
			break;
		r = sd_bus_message_read_basic(m, 's', &key);
		if (r < 0)
			return r;
		r = read_any(m, &value);
		if (r < 0)
			return r;
		if (json_object_object_add(object, key, value) < 0) {
			(void)json_object_put(value);
			return -ENOMEM;
		}
		r = sd_bus_message_exit_container(m);
		if (r < 0)
			return r;
	}
	*ret = TAKE_PTR(object);
	return 0;
}

/* The rest of the container we are in (of the message, at the top). */
static int read_list(sd_bus_message *m, struct json_object **ret)
{
	_cleanup_(json_putp) struct json_object *array = json_object_new_array();
	int r;

	if (!array)
		return -ENOMEM;
	for (;;) {
		struct json_object *value = NULL;

		r = sd_bus_message_at_end(m, false);
		if (r < 0)
			return r;
		if (r > 0)
			break;
		r = read_any(m, &value);
		if (r < 0)
			return r;
		if (json_object_array_add(array, value) < 0) {
			(void)json_object_put(value);
			return -ENOMEM;
		}
	}
	*ret = TAKE_PTR(array);
	return 0;
}

static int read_container(
	sd_bus_message *m, char type, const char *contents, struct json_object **ret)
{
	int r;

	r = sd_bus_message_enter_container(m, type, contents);
	if (r < 0)
		return r;
	if (type == 'v')
		r = read_any(m, ret);
	else if (type == 'a' && contents[0] == '{' && contents[1] == 's')
		r = read_dict(m, ret);
	else
		r = read_list(m, ret);
	if (r < 0)
		return r;
	r = sd_bus_message_exit_container(m);
	if (r < 0) {
		json_putp(ret);
		return r;
	}
	return 0;
}

static int read_any(sd_bus_message *m, struct json_object **ret)
{
	const char *contents;
	char type;
	int r;

	r = sd_bus_message_peek_type(m, &type, &contents);
	if (r < 0)
		return r;
	if (r == 0)
		return -EBADMSG;
	if (type == 'a' || type == 'v' || type == 'r' || type == 'e')
		return read_container(m, type, contents, ret);
	return read_basic(m, type, ret);
}

int message_to_json(sd_bus_message *m, struct json_object **ret_array)
{
	return read_list(m, ret_array);
}
