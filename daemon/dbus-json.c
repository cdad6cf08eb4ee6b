/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON values <-> D-Bus message bodies: see dbus-json.h. */
#include "daemon/dbus-json.h"

#include <errno.h>
#include <string.h>

#include "daemon/api-column.h"
#include "daemon/api-signature.h"
#include "vmm-core/base/macro.h"

static int read_value(
	sd_bus_message *m, const char *type, unsigned depth, struct json_object **ret);

static int read_basic(sd_bus_message *m, char type, struct json_object **ret)
{
	union {
		const char *s;
		uint32_t u;
		int32_t i;
		int b;
		int64_t x;
		uint64_t t;
		double d;
	} v = {0};
	int r = sd_bus_message_read_basic(m, type, &v);

	if (r <= 0)
		return r < 0 ? r : -ENXIO;
	switch (type) {
	case 's':
		*ret = json_object_new_string(v.s);
		break;
	case 'u':
		*ret = json_object_new_int64(v.u);
		break;
	case 'i':
		*ret = json_object_new_int(v.i);
		break;
	case 'b':
		*ret = json_object_new_boolean(v.b);
		break;
	case 'x':
		*ret = json_object_new_int64(v.x);
		break;
	case 't':
		*ret = json_object_new_uint64(v.t);
		break;
	default:
		*ret = json_object_new_double(v.d);
	}
	return *ret ? 0 : -ENOMEM;
}

static int read_array(
	sd_bus_message *m, const char *element, unsigned depth, struct json_object **ret)
{
	struct json_object *array;
	unsigned n = 0;
	int r;

	r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, element);
	if (r <= 0)
		return r < 0 ? r : -ENXIO;
	array = json_object_new_array();
	for (;;) {
		struct json_object *v = NULL;

		r = sd_bus_message_at_end(m, false);
		if (r != 0)
			break;
		r = ++n > DBUS_JSON_MAX_ITEMS ? -EMSGSIZE : read_value(m, element, depth + 1, &v);
		if (r < 0)
			break;
		json_object_array_add(array, v);
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	if (r < 0) {
		json_object_put(array);
		return r;
	}
	*ret = array;
	return 0;
}

/* One {sv} of a dictionary. */
static int read_entry(sd_bus_message *m, unsigned depth, struct json_object *object)
{
	struct json_object *v = NULL;
	const char *key, *contents;
	char type;
	int r;

	r = sd_bus_message_enter_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv");
	if (r >= 0)
		r = sd_bus_message_read_basic(m, 's', &key);
	if (r >= 0)
		r = sd_bus_message_peek_type(m, &type, &contents);
	if (r >= 0)
		r = sd_bus_message_enter_container(m, SD_BUS_TYPE_VARIANT, contents);
	if (r < 0)
		return r;
	r = read_value(m, contents, depth + 1, &v);
	if (r < 0)
		return r;
	json_object_object_add(object, key, v);
	r = sd_bus_message_exit_container(m);
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_dict(sd_bus_message *m, unsigned depth, struct json_object **ret)
{
	struct json_object *object;
	unsigned n = 0;
	int r;

	r = sd_bus_message_enter_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
	if (r <= 0)
		return r < 0 ? r : -ENXIO;
	object = json_object_new_object();
	while ((r = sd_bus_message_at_end(m, false)) == 0) {
		r = ++n > DBUS_JSON_MAX_ITEMS ? -EMSGSIZE : read_entry(m, depth, object);
		if (r < 0)
			break;
	}
	if (r >= 0)
		r = sd_bus_message_exit_container(m);
	if (r < 0) {
		json_object_put(object);
		return r;
	}
	*ret = object;
	return 0;
}

static int read_value(sd_bus_message *m, const char *type, unsigned depth, struct json_object **ret)
{
	if (depth > DBUS_JSON_MAX_DEPTH)
		return -EMSGSIZE;
	if (strncmp(type, "aa{sv}", 6) == 0)
		return read_array(m, "a{sv}", depth, ret);
	if (strncmp(type, "a{sv}", 5) == 0)
		return read_dict(m, depth, ret);
	if (strncmp(type, "as", 2) == 0)
		return read_array(m, "s", depth, ret);
	if (strncmp(type, "ai", 2) == 0)
		return read_array(m, "i", depth, ret);
	if (!*type || !strchr("suibxtd", *type))
		return -ENOTSUP;
	return read_basic(m, *type, ret);
}

int dbus_json_read(
	sd_bus_message *m, const char *signature, const char *names, struct json_object **ret)
{
	struct json_object *object = json_object_new_object();
	int r = 0;

	for (; *signature; signature += api_type_len(signature)) {
		struct json_object *v = NULL;

		r = read_value(m, signature, 0, &v);
		if (r < 0)
			break;
		json_object_object_add(object, names, v);
		names += strlen(names) + 1;
	}
	if (r >= 0 && sd_bus_message_at_end(m, true) <= 0)
		r = -ENXIO; /* more than was asked for */
	if (r < 0) {
		json_object_put(object);
		return r;
	}
	*ret = object;
	return 0;
}

static int append_dict(sd_bus_message *m, struct json_object *object, unsigned depth);

static int append_dicts(sd_bus_message *m, struct json_object *array, unsigned depth)
{
	size_t n = array ? json_object_array_length(array) : 0;
	int r;

	r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "a{sv}");
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = append_dict(m, json_object_array_get_idx(array, i), depth + 1);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_column(sd_bus_message *m, const struct api_column *column)
{
	size_t size;
	const char *data = api_column_data(column, &size);
	int r;

	if (api_column_type(column) == 'i')
		return sd_bus_message_append_array(m, 'i', data, size);
	r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "s");
	for (size_t at = 0; r >= 0 && at < size; at += strlen(data + at) + 1)
		r = sd_bus_message_append_basic(m, 's', data + at);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_strings(sd_bus_message *m, struct json_object *array)
{
	size_t n = array ? json_object_array_length(array) : 0;
	int r;

	r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "s");
	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct json_object *v = json_object_array_get_idx(array, i);

		if (!json_object_is_type(v, json_type_string))
			return -EINVAL;
		r = sd_bus_message_append_basic(m, 's', json_object_get_string(v));
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_ints(sd_bus_message *m, struct json_object *array)
{
	size_t n = array ? json_object_array_length(array) : 0;
	int r;

	r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "i");
	for (size_t i = 0; r >= 0 && i < n; i++) {
		struct json_object *v = json_object_array_get_idx(array, i);
		int32_t x = json_object_get_int(v);

		if (!json_object_is_type(v, json_type_int))
			return -EINVAL;
		r = sd_bus_message_append_basic(m, 'i', &x);
	}
	return r < 0 ? r : sd_bus_message_close_container(m);
}

/* The D-Bus type that carries 'v' in a variant. */
static const char *variant_type(struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_string:
		return "s";
	case json_type_boolean:
		return "b";
	case json_type_int:
		return json_object_get_int64(v) == INT64_MAX &&
				json_object_get_uint64(v) > INT64_MAX
			? "t"
			: "x";
	case json_type_double:
		return "d";
	case json_type_object:
		return "a{sv}";
	case json_type_array:
		return json_object_is_type(json_object_array_get_idx(v, 0), json_type_object)
			? "aa{sv}"
			: "as";
	default:
		return NULL;
	}
}

static int append_basic(sd_bus_message *m, char type, struct json_object *v)
{
	int64_t x = json_object_get_int64(v);
	uint64_t t = json_object_get_uint64(v);
	double d = json_object_get_double(v);
	uint32_t u = (uint32_t)x;
	int32_t i = (int32_t)x;
	int b = json_object_get_boolean(v);
	const struct {
		char type;
		enum json_type json;
		const void *p;
	} basics[] = {
		{'x', json_type_int, &x},
		{'t', json_type_int, &t},
		{'u', json_type_int, &u},
		{'i', json_type_int, &i},
		{'d', json_type_double, &d},
		{'b', json_type_boolean, &b},
	};

	if (type == 's') {
		if (v && !json_object_is_type(v, json_type_string))
			return -EINVAL;
		return sd_bus_message_append_basic(m, 's', v ? json_object_get_string(v) : "");
	}
	for (size_t k = 0; k < ARRAY_SIZE(basics); k++)
		if (basics[k].type == type) {
			if (v && !json_object_is_type(v, basics[k].json))
				return -EINVAL;
			return sd_bus_message_append_basic(m, type, basics[k].p);
		}
	return -ENOTSUP;
}

static int append_value(sd_bus_message *m, const char *type, struct json_object *v, unsigned depth)
{
	const struct api_column *column;

	if (depth > DBUS_JSON_MAX_DEPTH)
		return -EMSGSIZE;
	if (strncmp(type, "a{sv}", 5) == 0) {
		if (v && !json_object_is_type(v, json_type_object))
			return -EINVAL;
		return append_dict(m, v, depth);
	}
	if (*type == 'a') {
		if (v && !json_object_is_type(v, json_type_array))
			return -EINVAL;
		column = api_column_of(v);
		if (column)
			return api_column_type(column) == type[1] ? append_column(m, column)
								  : -EINVAL;
		return type[1] == 's'    ? append_strings(m, v)
			: type[1] == 'i' ? append_ints(m, v)
					 : append_dicts(m, v, depth);
	}
	return append_basic(m, *type, v);
}

static int append_entry(sd_bus_message *m, const char *key, struct json_object *v, unsigned depth)
{
	const char *type = variant_type(v);
	int r;

	if (!type)
		return 0; /* null: not there */
	r = sd_bus_message_open_container(m, SD_BUS_TYPE_DICT_ENTRY, "sv");
	if (r >= 0)
		r = sd_bus_message_append_basic(m, 's', key);
	if (r >= 0)
		r = sd_bus_message_open_container(m, SD_BUS_TYPE_VARIANT, type);
	if (r >= 0)
		r = append_value(m, type, v, depth + 1);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_dict(sd_bus_message *m, struct json_object *object, unsigned depth)
{
	int r;

	if (object && !json_object_is_type(object, json_type_object))
		return -EINVAL;
	r = sd_bus_message_open_container(m, SD_BUS_TYPE_ARRAY, "{sv}");
	if (r < 0)
		return r;
	if (object) {
		json_object_object_foreach(object, key, v)
		{
			r = append_entry(m, key, v, depth);
			if (r < 0)
				return r;
		}
	}
	return sd_bus_message_close_container(m);
}

int dbus_json_append(sd_bus_message *m, const char *signature, const char *names,
	struct json_object *object, int fd)
{
	int r = 0;

	for (; *signature && r >= 0; signature += api_type_len(signature)) {
		struct json_object *v = NULL;

		if (object)
			(void)json_object_object_get_ex(object, names, &v);
		if (*signature == 'h')
			r = sd_bus_message_append_basic(m, 'h', &fd);
		else
			r = append_value(m, signature, v, 0);
		names += strlen(names) + 1;
	}
	return r < 0 ? r : 0;
}
