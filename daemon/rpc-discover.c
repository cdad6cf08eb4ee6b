/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rpc.discover: the method table as an OpenRPC document (specification 1.2.6). Nothing in it is written for one method but
 * the row's own sentence: types come from the signature, errors from what the arguments can be wrong about, examples from
 * the arguments' names.
 *
 * Tested by tests/unit/test-rpc.c.
 */
#include <string.h>

#include "build-config.h"
#include "daemon/api-signature.h"
#include "daemon/job.h"
#include "daemon/once.h"
#include "daemon/rpc-args.h"
#include "daemon/rpc-internal.h"
#include "daemon/rpc-message.h"
#include "vmm-core/base/strutil.h"

#define STRINGS           "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
#define INTEGERS          "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}"
#define OBJECTS           "{\"type\":\"array\",\"items\":{\"type\":\"object\"}}"
#define INTEGER(min, max) "{\"type\":\"integer\",\"minimum\":" min ",\"maximum\":" max "}"

static const struct {
	const char *type, *schema, *example;
} types[] = {
	{"s", "{\"type\":\"string\"}", "\"\""},
	{"b", "{\"type\":\"boolean\"}", "true"},
	{"u", INTEGER("0", "4294967295"), "0"},
	{"i", INTEGER("-2147483648", "2147483647"), "0"},
	{"x", INTEGER("-9223372036854775808", "9223372036854775807"), "0"},
	{"t", INTEGER("0", "18446744073709551615"), "0"},
	{"d", "{\"type\":\"number\"}", "0"},
	{"v", "{\"type\":[\"string\",\"integer\"]}", "1"},
	{"h",
		"{\"type\":\"integer\",\"const\":0,\"description\":\"the file descriptor comes "
		"with the message (SCM_RIGHTS); not in the answer to a call with 'stream'\"}",
		"0"},
	{"as", STRINGS, "[]"},
	{"ai", INTEGERS, "[]"},
	{"a{sv}", "{\"type\":\"object\"}", "{}"},
	{"aa{sv}", OBJECTS, "[]"},
};

/* Values of arguments and results that say more than their type's. */
static const struct {
	const char *name, *example;
} examples[] = {
	{"domain", "\"guest1\""},
	{"domains", "[\"guest1\"]"},
	{"network", "\"default\""},
	{"name", "\"guest1\""},
	{"interface", "\"vnet0\""},
	{"device", "\"serial0\""},
	{"hostname", "\"host1.example.org\""},
	{"xml", "\"<domain>…</domain>\""},
	{"source", "\"guest1.xml\""},
	{"columns", "80"},
	{"rows", "24"},
	{"direction", "3"},
	{"snaplen", "65535"},
	{"inbound", "\"1000,2000,64\""},
	{"job", "17"},
	{"stream", "1"},
	{"data", "\"bHMK\""},
	{"events", "[\"lifecycle\"]"},
};

static struct json_object *text(const char *json)
{
	return json_tokener_parse(json);
}

static struct json_object *schema_of(const struct api_param *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strlen(types[i].type) == p->type_len &&
			strncmp(types[i].type, p->type, p->type_len) == 0)
			return text(types[i].schema);
	return text("{}");
}

/* By the name if the value is of the type, else by the type. */
static struct json_object *example_of(const struct api_param *p)
{
	const char *by_type = "null";

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strlen(types[i].type) == p->type_len &&
			strncmp(types[i].type, p->type, p->type_len) == 0)
			by_type = types[i].example;
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++)
		if (streq(examples[i].name, p->name) && examples[i].example[0] == by_type[0])
			return text(examples[i].example);
	return text(by_type);
}

static void add_string(struct json_object *o, const char *key, const char *value)
{
	json_object_object_add(o, key, json_object_new_string(value));
}

/* What the call says of itself; not in examples. */
static void describe_options(const struct api_method *m, struct json_object *params)
{
	struct api_param p;

	for (unsigned i = 0; rpc_args_option(m, i, &p); i++) {
		struct json_object *one = json_object_new_object();

		add_string(one, "name", p.name);
		json_object_object_add(one, "required", json_object_new_boolean(false));
		json_object_object_add(one, "schema", schema_of(&p));
		json_object_array_add(params, one);
	}
}

/* [{name, required, schema}], and the same as an example: [{name, value}]. */
static void describe_params(
	const struct api_method *m, struct json_object *method, struct json_object *example)
{
	struct json_object *params = json_object_new_array(), *values = json_object_new_array();
	struct api_params walk = api_in(m);
	unsigned left = api_signature_count(m->in);
	struct api_param p;

	while (api_params_next(&walk, &p)) {
		struct json_object *one = json_object_new_object(), *v = json_object_new_object();

		add_string(one, "name", p.name);
		json_object_object_add(
			one, "required", json_object_new_boolean(left-- > m->n_optional));
		json_object_object_add(one, "schema", schema_of(&p));
		json_object_array_add(params, one);
		add_string(v, "name", p.name);
		json_object_object_add(v, "value", example_of(&p));
		json_object_array_add(values, v);
	}
	describe_options(m, params);
	json_object_object_add(method, "params", params);
	json_object_object_add(example, "params", values);
}

/* In the place of a descriptor, for who asked so. */
static void describe_stream(const struct api_method *m, struct json_object *properties)
{
	if (!strchr(m->out, 'h'))
		return;
	json_object_object_add(properties, "stream", text(INTEGER("1", "4294967295")));
	json_object_object_add(properties, "window", text(INTEGER("0", "4294967295")));
	json_object_object_add(properties, "packets", text("{\"type\":\"boolean\"}"));
	json_object_object_add(properties, "epoch_ns", text("{\"type\":\"integer\"}"));
}

/* The results are members of one object. */
static void describe_result(
	const struct api_method *m, struct json_object *method, struct json_object *example)
{
	struct json_object *result = json_object_new_object(),
			   *schema = text("{\"type\":\"object\"}");
	struct json_object *properties = json_object_new_object();
	struct json_object *value = json_object_new_object(), *shown = json_object_new_object();
	struct api_params walk = api_out(m);
	struct api_param p;

	while (api_params_next(&walk, &p)) {
		json_object_object_add(properties, p.name, schema_of(&p));
		json_object_object_add(value, p.name, example_of(&p));
	}
	describe_stream(m, properties);
	json_object_object_add(schema, "properties", properties);
	add_string(result, "name", "result");
	json_object_object_add(result, "schema", schema);
	json_object_object_add(method, "result", result);
	add_string(shown, "name", "result");
	json_object_object_add(shown, "value", value);
	json_object_object_add(example, "result", shown);
}

static bool has_argument(const struct api_method *m, const char *name)
{
	struct api_params walk = api_in(m);
	struct api_param p;

	while (api_params_next(&walk, &p))
		if (streq(p.name, name))
			return true;
	return false;
}

static bool takes_part(const struct api_method *m, const char *argument)
{
	return has_argument(m, argument) &&
		(has_argument(m, "domain") || has_argument(m, "network"));
}

/* Of processors: it reads documents, and keeps nothing of them. */
static bool reads_cpus(const struct api_method *m)
{
	return m->role == API_ROLE_READER &&
		(has_argument(m, "xml") || has_argument(m, "documents"));
}

static bool may_fail_with(const struct api_method *m, enum error_code code)
{
	bool changes = m->role > API_ROLE_READER;

	switch (code) {
	case ERROR_NO_DOMAIN:
		return has_argument(m, "domain") || has_argument(m, "domains");
	case ERROR_NO_NETWORK:
		return has_argument(m, "network");
	case ERROR_NO_DEVICE:
		return takes_part(m, "interface") || takes_part(m, "device") ||
			takes_part(m, "xml") || takes_part(m, "uplink") || takes_part(m, "member");
	case ERROR_NO_JOB:
		return has_argument(m, "job");
	case ERROR_CANCELLED:
		return job_takes_long(m);
	case ERROR_INTERRUPTED:
		return once_takes_key(m);
	case ERROR_DOMAIN_EXISTS:
	case ERROR_NETWORK_EXISTS:
		return changes && has_argument(m, "xml");
	case ERROR_XML_ERROR:
	case ERROR_CONFIG_UNSUPPORTED:
		return has_argument(m, "xml") || reads_cpus(m);
	case ERROR_CPU_INCOMPATIBLE:
		return reads_cpus(m) || (changes && !has_argument(m, "network"));
	case ERROR_NOT_SUPPORTED:
		return changes || has_argument(m, "virttype");
	case ERROR_OPERATION_FAILED:
		return changes || reads_cpus(m);
	case ERROR_ACCESS_DENIED:
		return m->role > API_ROLE_NONE;
	case ERROR_RESOURCE_BUSY:
		return m->role > API_ROLE_NONE || has_argument(m, "data");
	case ERROR_OPERATION_INVALID:
		return changes || has_argument(m, "data") || reads_cpus(m);
	case ERROR_INTERNAL:
	case ERROR_NO_MEMORY:
		return true;
	case ERROR_INVALID_ARGUMENT:
		return *m->in;
	default:
		return changes;
	}
}

static struct json_object *describe_errors(const struct api_method *m)
{
	struct json_object *errors = json_object_new_array();

	for (enum error_code code = ERROR_NONE + 1; code < ERROR_CODE_X_MAX; code++) {
		struct json_object *one;
		char ref[128];

		if (!may_fail_with(m, code))
			continue;
		(void)snprintf(ref, sizeof(ref), "#/components/errors/%s", error_code_name(code));
		one = json_object_new_object();
		add_string(one, "$ref", ref);
		json_object_array_add(errors, one);
	}
	return errors;
}

static const char *const owners[] = {
	[API_OWNER_NOTHING] = "",
	[API_OWNER_DOMAIN] = "domain",
	[API_OWNER_LIST] = "list",
};

static struct json_object *describe(const struct api_method *m)
{
	struct json_object *method = json_object_new_object();
	struct json_object *example = json_object_new_object(), *list = json_object_new_array();

	add_string(method, "name", m->name);
	add_string(method, "summary", m->about);
	add_string(method, "paramStructure", "either");
	add_string(example, "name", m->name);
	describe_params(m, method, example);
	describe_result(m, method, example);
	json_object_object_add(method, "errors", describe_errors(m));
	json_object_array_add(list, example);
	json_object_object_add(method, "examples", list);
	add_string(method, "x-role", api_role_name(m->role));
	add_string(method, "x-owner", owners[m->owner]);
	return method;
}

static struct json_object *all_errors(void)
{
	struct json_object *errors = json_object_new_object();

	for (enum error_code code = ERROR_NONE + 1; code < ERROR_CODE_X_MAX; code++) {
		struct json_object *e = json_object_new_object();
		struct json_object *data = json_object_new_object();

		json_object_object_add(e, "code", json_object_new_int(error_code_rpc(code)));
		add_string(e, "message", error_code_prefix(code));
		add_string(data, "class", error_code_name(code));
		json_object_object_add(data, "object", json_object_new_object());
		add_string(data, "reason", "");
		add_string(data, "remedy", error_code_remedy(code));
		json_object_object_add(e, "data", data);
		json_object_object_add(errors, error_code_name(code), e);
	}
	return errors;
}

struct json_object *rpc_openrpc(void)
{
	struct json_object *document = json_object_new_object(), *info = json_object_new_object();
	struct json_object *methods = json_object_new_array(), *parts = json_object_new_object();

	add_string(document, "openrpc", "1.2.6");
	add_string(info, "title", "vmmd");
	add_string(info, "version", API_VERSION);
	add_string(info, "description", "The VM management service, version " VMMD_VERSION);
	json_object_object_add(document, "info", info);
	for (size_t i = 0; i < n_api_methods; i++)
		json_object_array_add(methods, describe(&api_methods[i]));
	for (size_t i = 0; i < n_rpc_methods; i++)
		json_object_array_add(methods, describe(&rpc_methods[i]));
	json_object_object_add(document, "methods", methods);
	json_object_object_add(parts, "errors", all_errors());
	json_object_object_add(document, "components", parts);
	return document;
}

int rpc_discover(struct api_call *call, struct error *error)
{
	(void)error;
	api_call_reply(call, rpc_openrpc());
	return 0;
}
