/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON-RPC messages: see rpc-message.h. */
#include "daemon/rpc-message.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "vmm-core/base/strutil.h"

/* Where in the text we are. */
struct lexer {
	bool in_string, escaped;
	unsigned depth;
};

/* What json-c would let pass: control characters in strings, UTF-8 that is none, words other than true, false and null, comments, quotes of
 * other kinds; and what is too deep, before anything is allocated for it. */
static const char *check_byte(struct lexer *l, unsigned char c)
{
	if (l->in_string) {
		if (c < 0x20)
			return "a control character in a string";
		if (l->escaped)
			l->escaped = false;
		else if (c == '\\')
			l->escaped = true;
		else if (c == '"')
			l->in_string = false;
		return NULL;
	}
	if (c == '"')
		l->in_string = true;
	else if (c == '{' || c == '[') {
		if (++l->depth > RPC_MAX_DEPTH)
			return "nested too deeply";
	} else if (c == '}' || c == ']')
		l->depth -= l->depth > 0;
	else if (c == 0 || !strchr("0123456789+-.eEtrufalsn:, \t\r\n", c))
		return "not JSON";
	return NULL;
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t skip_digits(const char *s, size_t i, size_t len)
{
	while (i < len && is_digit(s[i]))
		i++;
	return i;
}

/* RFC 8259, section 6: the number that begins at s[i]. Its end, or 0: it is none. */
static size_t number_end(const char *s, size_t i, size_t len)
{
	size_t start;

	if (s[i] == '-')
		i++;
	start = i;
	i = skip_digits(s, i, len);
	if (i == start || (s[start] == '0' && i > start + 1))
		return 0;
	if (i < len && s[i] == '.') {
		start = ++i;
		i = skip_digits(s, i, len);
		if (i == start)
			return 0;
	}
	if (i < len && (s[i] == 'e' || s[i] == 'E')) {
		i++;
		if (i < len && (s[i] == '+' || s[i] == '-'))
			i++;
		start = i;
		i = skip_digits(s, i, len);
		if (i == start)
			return 0;
	}
	return i;
}

/* Integers are of 64 bits: json-c would make the nearest one of what is larger. */
static bool integer_fits(const char *s, size_t len)
{
	char text[24];
	uint64_t u;
	int64_t i;

	for (size_t k = 0; k < len; k++)
		if (strchr(".eE", s[k]))
			return true;
	if (len >= sizeof(text))
		return false;
	memcpy(text, s, len);
	text[len] = 0;
	return *text == '-' ? parse_i64(text, INT64_MIN, INT64_MAX, &i) == 0
			    : parse_u64(text, UINT64_MAX, &u) == 0;
}

static const char *check_text(const char *text, size_t len)
{
	struct lexer l = {0};

	for (size_t i = 0; i < len; i++) {
		const char *why = check_byte(&l, (unsigned char)text[i]);
		unsigned n = utf8_len(text + i, len - i);
		size_t end;

		if (why)
			return why;
		if (n == 0)
			return "not UTF-8";
		i += n - 1;
		if (l.in_string || !(is_digit(text[i]) || strchr("+-.", text[i])))
			continue;
		end = number_end(text, i, len);
		if (end == 0 || (end < len && strchr("0123456789+-.eE", text[end])))
			return "not a number of JSON";
		if (!integer_fits(text + i, end - i))
			return "an integer of more than 64 bits";
		i = end - 1;
	}
	return NULL;
}

/* Doubles that overflowed. The depth is bounded by now. */
static bool all_finite(struct json_object *v)
{
	switch (json_object_get_type(v)) {
	case json_type_double:
		return isfinite(json_object_get_double(v));
	case json_type_array:
		for (size_t i = 0; i < json_object_array_length(v); i++)
			if (!all_finite(json_object_array_get_idx(v, i)))
				return false;
		return true;
	case json_type_object: {
		json_object_object_foreach(v, key, child)
		{
			(void)key;
			if (!all_finite(child))
				return false;
		}
		return true;
	}
	default:
		return true;
	}
}

int rpc_parse(const char *text, size_t len, struct json_object **ret_value, const char **ret_why)
{
	struct json_tokener *tok;
	struct json_object *value;
	enum json_tokener_error e;

	*ret_why = check_text(text, len);
	if (*ret_why)
		return RPC_PARSE_ERROR;
	tok = json_tokener_new_ex(RPC_MAX_DEPTH + 1);
	if (!tok) {
		*ret_why = "out of memory";
		return RPC_PARSE_ERROR;
	}
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	value = json_tokener_parse_ex(tok, text, (int)len);
	e = json_tokener_get_error(tok);
	/* A number, or a word, at the very end: only what follows tells json-c that it is whole. */
	if (e == json_tokener_continue) {
		value = json_tokener_parse_ex(tok, "\n", 1);
		e = json_tokener_get_error(tok);
	}
	json_tokener_free(tok);
	if (e == json_tokener_success && all_finite(value)) {
		*ret_value = value;
		return 0;
	}
	*ret_why = e == json_tokener_success ? "a number is too large"
		: e == json_tokener_continue ? "the text ends too early"
					     : json_tokener_error_desc(e);
	json_object_put(value);
	return RPC_PARSE_ERROR;
}

/* 4: a string, a number (we take whole ones, which come back as they were), or null. */
static bool take_id(struct json_object *value, struct rpc_request *ret)
{
	struct json_object *id = NULL;

	ret->notification = !json_object_object_get_ex(value, "id", &id);
	switch (json_object_get_type(id)) {
	case json_type_null:
		return true;
	case json_type_string:
		if (json_object_get_string_len(id) > RPC_MAX_ID_LEN)
			return false;
		break;
	case json_type_int:
		break;
	default:
		return false;
	}
	ret->id = id;
	return true;
}

int rpc_read_request(struct json_object *value, struct rpc_request *ret, const char **ret_why)
{
	struct json_object *version = NULL, *method = NULL;

	*ret = (struct rpc_request){0};
	*ret_why = "a request is an object";
	if (!json_object_is_type(value, json_type_object))
		return RPC_INVALID_REQUEST;
	*ret_why = "'id' is a string of at most 256 bytes, an integer or null";
	if (!take_id(value, ret)) {
		ret->notification = false;
		return RPC_INVALID_REQUEST;
	}
	*ret_why = "'jsonrpc' is \"2.0\"";
	(void)json_object_object_get_ex(value, "jsonrpc", &version);
	if (!json_object_is_type(version, json_type_string) ||
		!streq(json_object_get_string(version), "2.0"))
		return RPC_INVALID_REQUEST;
	*ret_why = "'method' is a string";
	(void)json_object_object_get_ex(value, "method", &method);
	if (!json_object_is_type(method, json_type_string))
		return RPC_INVALID_REQUEST;
	ret->method = json_object_get_string(method);
	*ret_why = "'params' is an object or an array";
	if (json_object_object_get_ex(value, "params", &ret->params) &&
		!json_object_is_type(ret->params, json_type_object) &&
		!json_object_is_type(ret->params, json_type_array))
		return RPC_INVALID_REQUEST;
	return 0;
}

static struct json_object *answer(struct json_object *id, const char *key, struct json_object *v)
{
	struct json_object *o = json_object_new_object();

	if (!o) {
		json_object_put(v);
		return NULL;
	}
	json_object_object_add(o, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(o, "id", json_object_get(id));
	json_object_object_add(o, key, v);
	return o;
}

struct json_object *rpc_result(struct json_object *id, struct json_object *result)
{
	return answer(id, "result", result);
}

struct json_object *rpc_error(
	struct json_object *id, int code, const char *message, struct json_object *data)
{
	struct json_object *e = json_object_new_object();

	if (!e) {
		json_object_put(data);
		return NULL;
	}
	json_object_object_add(e, "code", json_object_new_int(code));
	json_object_object_add(e, "message", json_object_new_string(message));
	if (data)
		json_object_object_add(e, "data", data);
	return answer(id, "error", e);
}

struct json_object *rpc_api_error(
	struct json_object *id, int code, const struct error *error, struct json_object *object)
{
	struct json_object *data = json_object_new_object();
	const char *prefix = error_code_prefix(error->code), *reason = error->message;
	size_t n = strlen(prefix);

	if (strncmp(reason, prefix, n) == 0 && reason[n])
		reason += n;
	json_object_object_add(data, "class", json_object_new_string(error_code_name(error->code)));
	json_object_object_add(data, "object", object ? object : json_object_new_object());
	json_object_object_add(data, "reason", json_object_new_string(reason));
	json_object_object_add(
		data, "remedy", json_object_new_string(error_code_remedy(error->code)));
	return rpc_error(id, code, error->message, data);
}

struct json_object *rpc_notification(const char *method, struct json_object *params)
{
	struct json_object *o = json_object_new_object();

	if (!o) {
		json_object_put(params);
		return NULL;
	}
	json_object_object_add(o, "jsonrpc", json_object_new_string("2.0"));
	json_object_object_add(o, "method", json_object_new_string(method));
	json_object_object_add(o, "params", params);
	return o;
}
