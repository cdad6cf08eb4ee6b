/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON-RPC's arguments by signature: see rpc-args.h. */
#include "daemon/rpc-args.h"

#include <errno.h>
#include <string.h>

#include "daemon/api-signature.h"
#include "daemon/api.h"
#include "daemon/job.h"
#include "daemon/once.h"
#include "vmm-core/base/strutil.h"

static bool is_string(struct json_object *v)
{
	const char *s = json_object_get_string(v);

	return json_object_is_type(v, json_type_string) &&
		strlen(s) == (size_t)json_object_get_string_len(v);
}

static bool is_int(struct json_object *v, int64_t min, int64_t max)
{
	int64_t x = json_object_get_int64(v);

	/* Above INT64_MAX json-c answers INT64_MAX. */
	return json_object_is_type(v, json_type_int) && x >= min && x <= max &&
		!(x == INT64_MAX && json_object_get_uint64(v) > INT64_MAX);
}

static bool is_u(struct json_object *v)
{
	return is_int(v, 0, UINT32_MAX);
}

static bool is_i(struct json_object *v)
{
	return is_int(v, INT32_MIN, INT32_MAX);
}

static bool is_x(struct json_object *v)
{
	return is_int(v, INT64_MIN, INT64_MAX);
}

static bool is_t(struct json_object *v)
{
	return json_object_is_type(v, json_type_int) && json_object_get_int64(v) >= 0;
}

static bool is_bool(struct json_object *v)
{
	return json_object_is_type(v, json_type_boolean);
}

static bool is_number(struct json_object *v)
{
	return json_object_is_type(v, json_type_double) || json_object_is_type(v, json_type_int);
}

static bool is_object(struct json_object *v)
{
	return json_object_is_type(v, json_type_object);
}

static bool is_id(struct json_object *v)
{
	return is_string(v) || is_x(v);
}

static bool is_array_of(struct json_object *v, bool (*fits)(struct json_object *))
{
	if (!json_object_is_type(v, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(v); i++)
		if (!fits(json_object_array_get_idx(v, i)))
			return false;
	return true;
}

static bool is_strings(struct json_object *v)
{
	return is_array_of(v, is_string);
}

static bool is_objects(struct json_object *v)
{
	return is_array_of(v, is_object);
}

static const struct {
	const char *type;
	bool (*fits)(struct json_object *v);
	const char *what, *absent; /* the value of an argument that was left out */
} types[] = {
	{"s", is_string, "a string without NUL", "\"\""},
	{"b", is_bool, "true or false", "false"},
	{"u", is_u, "an integer from 0 to 4294967295", "0"},
	{"i", is_i, "an integer from -2147483648 to 2147483647", "0"},
	{"x", is_x, "an integer of 64 bits", "0"},
	{"t", is_t, "an integer from 0 to 18446744073709551615", "0"},
	{"d", is_number, "a number", "0"},
	{"v", is_id, "a string or an integer", "\"\""},
	{"as", is_strings, "an array of strings", "[]"},
	{"a{sv}", is_object, "an object", "{}"},
	{"aa{sv}", is_objects, "an array of objects", "[]"},
};

/* One argument: 'v' is NULL when it is not there. */
static int take(const struct api_method *method, const struct api_param *p, bool given,
	struct json_object *v, bool optional, struct json_object *in, struct error *error)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strlen(types[i].type) != p->type_len ||
			strncmp(types[i].type, p->type, p->type_len) != 0)
			continue;
		if (!given && !optional)
			return error_set(error, ERROR_INVALID_ARGUMENT,
				"%s: '%s' is missing; it is %s", method->name, p->name,
				types[i].what);
		if (given && !types[i].fits(v))
			return error_set(error, ERROR_INVALID_ARGUMENT, "%s: '%s' must be %s",
				method->name, p->name, types[i].what);
		json_object_object_add(in, p->name,
			given ? json_object_get(v) : json_tokener_parse(types[i].absent));
		return 0;
	}
	return error_set(error, ERROR_INTERNAL, "%s: '%s' is of a type that JSON has not",
		method->name, p->name);
}

/* Where an argument is among those that were given. */
static bool find(
	struct json_object *params, unsigned index, const char *name, struct json_object **ret)
{
	if (json_object_is_type(params, json_type_object))
		return json_object_object_get_ex(params, name, ret);
	if (index >= (params ? json_object_array_length(params) : 0))
		return false;
	*ret = json_object_array_get_idx(params, index);
	return true;
}

static bool answers_fd(const struct api_method *method)
{
	return strchr(method->out, 'h');
}

/* What only its caller can take cannot be left for later. */
static bool detaches(const struct api_method *method)
{
	return job_takes_long(method) && !answers_fd(method);
}

static const struct {
	const char *name, *type;
	bool (*applies)(const struct api_method *method);
} options[] = {
	{"stream", "u", answers_fd},
	{"idempotency_key", "s", once_takes_key},
	{"detach", "b", detaches},
	{"timeout_ms", "u", job_takes_long},
};

bool rpc_args_option(const struct api_method *method, unsigned index, struct api_param *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		if (!options[i].applies(method) || index-- > 0)
			continue;
		*ret = (struct api_param){
			options[i].type, strlen(options[i].type), options[i].name};
		return true;
	}
	return false;
}

static int check_unknown(const struct api_method *method, struct json_object *params,
	struct json_object *in, struct json_object *own, unsigned n, struct error *error)
{
	if (json_object_is_type(params, json_type_array) && json_object_array_length(params) > n)
		return error_set(error, ERROR_INVALID_ARGUMENT, "%s takes %u arguments, not %zu",
			method->name, n, (size_t)json_object_array_length(params));
	if (!json_object_is_type(params, json_type_object))
		return 0;
	json_object_object_foreach(params, key, v)
	{
		(void)v;
		if (!json_object_object_get_ex(in, key, NULL) &&
			!json_object_object_get_ex(own, key, NULL))
			return error_set(error, ERROR_INVALID_ARGUMENT,
				"%s has no argument '%.64s'", method->name, key);
	}
	return 0;
}

/* Only those that were given. */
static int read_options(const struct api_method *method, struct json_object *params, unsigned *i,
	struct json_object *own, struct error *error)
{
	struct api_param p;
	int r = 0;

	for (unsigned k = 0; r == 0 && rpc_args_option(method, k, &p); k++, (*i)++) {
		struct json_object *v = NULL;

		if (find(params, *i, p.name, &v))
			r = take(method, &p, true, v, true, own, error);
	}
	return r;
}

static int take_options(struct json_object *own, struct rpc_call_options *ret, struct error *error)
{
	struct json_object *v;

	*ret = (struct rpc_call_options){
		.detach = json_object_get_boolean(json_object_object_get(own, "detach")),
		.timeout_ms =
			(uint32_t)json_object_get_int64(json_object_object_get(own, "timeout_ms")),
		.stream = (uint32_t)json_object_get_int64(json_object_object_get(own, "stream")),
	};
	if (!json_object_object_get_ex(own, "idempotency_key", &v))
		return 0;
	ret->key = strdup(json_object_get_string(v));
	return ret->key ? 0 : error_set(error, ERROR_NO_MEMORY, "call");
}

int rpc_args_read(const struct api_method *method, struct json_object *params,
	struct json_object **ret_in, struct rpc_call_options *ret_options, struct error *error)
{
	unsigned n = api_signature_count(method->in), i = 0;
	struct json_object *in = json_object_new_object(), *own = json_object_new_object();
	struct api_params walk = api_in(method);
	struct api_param p;
	int r = 0;

	while (r == 0 && api_params_next(&walk, &p)) {
		struct json_object *v = NULL;
		bool given = find(params, i, p.name, &v);

		r = take(method, &p, given, v, i + method->n_optional >= n, in, error);
		i++;
	}
	if (r == 0)
		r = read_options(method, params, &i, own, error);
	if (r == 0)
		r = check_unknown(method, params, in, own, i, error);
	if (r == 0)
		r = take_options(own, ret_options, error);
	json_object_put(own);
	if (r < 0) {
		json_object_put(in);
		return r;
	}
	*ret_in = in;
	return 0;
}
