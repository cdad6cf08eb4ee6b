/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Handlers around teams of NICs. Tested by tests/unit/test-dbus.c and tests/unit/test-network-team.c. */
#include "daemon/api.h"
#include "daemon/network.h"
#include "daemon/team-json.h"

#define TEST_FORCE (1U << 0)

static struct network *arg_network(const struct api_call *call, struct error *error)
{
	return network_find(call->manager, api_arg_string(call, "network"), error);
}

static struct json_object *wrap(const char *name, struct json_object *value)
{
	struct json_object *out = json_object_new_object();

	json_object_object_add(out, name, value);
	return out;
}

/* A call that waits for the worker's word of the network: found again by its name, which may be another's by then. */
static void answer(void *userdata, const struct error *error, const char *name,
	struct json_object *(*to_json)(const struct network *network))
{
	_cleanup_(api_call_unrefp) struct api_call *call = userdata;
	struct error e = {0};
	const struct network *n = error ? NULL : arg_network(call, &e);

	if (!error && n && n->team && n->team->known) {
		api_call_reply(call, wrap(name, to_json(n)));
		return;
	}
	if (!error && e.code == ERROR_NONE)
		(void)error_set(&e, ERROR_OPERATION_FAILED, "the network has stopped");
	api_call_fail(call, error ? error : &e);
}

static void on_state(void *userdata, const struct error *error)
{
	answer(userdata, error, "team", team_state_to_json);
}

int api_get_team(struct api_call *call, struct error *error)
{
	struct network *n = arg_network(call, error);
	int r;

	if (!n)
		return -ENOENT;
	r = network_team_look(n, on_state, api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}

int api_get_team_reports(struct api_call *call, struct error *error)
{
	const struct network *n = arg_network(call, error);
	uint64_t last = api_arg_uint(call, "last"), number = 1;
	struct json_object *array;

	if (!n)
		return -ENOENT;
	if (!network_is_active(n))
		return error_set(
			error, ERROR_OPERATION_INVALID, "network '%s' is not active", n->name);
	if (!last || last > NETWORK_MAX_REPORTS)
		last = NETWORK_MAX_REPORTS;
	if (n->team && n->team->n_reports > last)
		number = n->team->n_reports - last + 1;
	array = json_object_new_array();
	for (const struct network_report *r; (r = network_team_report(n, number)); number++)
		json_object_array_add(array, team_report_to_json(r));
	api_call_reply(call, wrap("reports", array));
	return 0;
}

static void on_tested(void *userdata, const struct error *error)
{
	answer(userdata, error, "result", team_test_to_json);
}

int api_test_team(struct api_call *call, struct error *error)
{
	struct network *n = arg_network(call, error);
	int r;

	if (!n || api_check_flags(call, TEST_FORCE, error) < 0)
		return -EINVAL;
	r = network_team_test(n, api_arg_string(call, "member"), api_arg_uint(call, "ms"),
		api_arg_uint(call, "flags") & TEST_FORCE, on_tested, api_call_ref(call), error);
	if (r < 0)
		(void)api_call_unref(call);
	return r;
}
