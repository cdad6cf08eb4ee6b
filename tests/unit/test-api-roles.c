/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every method of the table, called by everybody: without a role to administrator, with and without a domain of his own, about that one
 * and another's; as a caller whose role the transport knows, and as one that polkit is asked about. What must become of each is in
 * tests/data/roles.golden. Handlers are replaced by one that counts; the filters of real ones are tested behind that.
 */
#include "daemon-fixture.h"
#include "polkit-fixture.h"

#include "daemon/api-signature.h"
#include "daemon/rpc-internal.h"

#define OWNER    4711
#define STRANGER 4712

enum about { NOTHING_OWNED, OWN, OTHERS };
static const char *const whose[] = {[NOTHING_OWNED] = "hers", [OWN] = "his", [OTHERS] = "hers"};

/* What became of the one call at a time. */
static struct {
	unsigned reads, runs, replies, releases;
	bool own_only;
	enum error_code error;
	char message[ERROR_MESSAGE_MAX];
	const char *domain;
	struct json_object *out;
} seen;

static struct polkit polkit;
static struct auth auth;

static int read_args(struct api_call *call, struct json_object **ret_in, struct error *error)
{
	(void)call;
	(void)error;
	seen.reads++;
	*ret_in = json_object_new_object();
	json_object_object_add(*ret_in, "domain", json_object_new_string(seen.domain));
	json_object_object_add(*ret_in, "domains", json_object_new_array());
	return 0;
}

static void on_reply(struct api_call *call, struct json_object *out, int fd)
{
	(void)call;
	(void)fd;
	seen.replies++;
	json_object_put(seen.out);
	seen.out = json_object_get(out);
}

static void on_fail(struct api_call *call, const struct error *error)
{
	(void)call;
	seen.replies++;
	seen.error = error->code;
	snprintf(seen.message, sizeof(seen.message), "%s", error->message);
}

static void on_release(struct api_call *call)
{
	(void)call;
	seen.releases++;
}

static const struct api_call_ops ops = {
	.read_args = read_args, .reply = on_reply, .fail = on_fail, .release = on_release};

static int count_run(struct api_call *call, struct error *error)
{
	(void)error;
	seen.runs++;
	seen.own_only = call->own_only;
	api_call_reply(call, NULL);
	return 0;
}

static void dispatch(struct fixture *f, const struct api_method *method, const char *domain,
	const struct api_peer *peer)
{
	struct api_call *call = api_call_new(method, f->manager, &ops, NULL);

	json_object_put(seen.out);
	memset(&seen, 0, sizeof(seen));
	seen.domain = domain;
	call->peer = *peer;
	api_dispatch(call, &auth);
	RUN_UNTIL(f, seen.releases == 1);
	assert_int_equal(seen.replies, 1);
}

static int setup(void **state)
{
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	polkit_open(&polkit, f->event);
	auth = (struct auth){.bus = polkit.daemon, .own_uid = 500};
	fixture_define(f, "his", "",
		"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='4711'/></metadata>");
	fixture_define(f, "hers", "",
		"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='4713'/></metadata>");
	fixture_define(f, "nobodys", "", "");
	return 0;
}

static int teardown(void **state)
{
	json_object_put(seen.out);
	seen.out = NULL;
	polkit_close(&polkit);
	return fixture_teardown(state);
}

/* As the golden file writes it. */
static char outcome(void)
{
	if (seen.runs)
		return seen.own_only && seen.domain == NULL ? '=' : '+';
	if (seen.error == ERROR_NO_DOMAIN)
		return '0';
	assert_int_equal(seen.error, ERROR_ACCESS_DENIED);
	return seen.reads ? '~' : '-';
}

static struct api_peer peer_of(bool ask, enum api_role role, enum about about)
{
	struct api_peer peer = {.role = ask ? API_ROLE_ASK : role,
		.user = {.uid_known = true, .uid = about == NOTHING_OWNED ? STRANGER : OWNER}};

	if (ask)
		strcpy(peer.sender, ":1.7");
	polkit.grants = role;
	polkit.uid = peer.user.uid;
	return peer;
}

static void check(struct fixture *f, const struct api_method *row, enum about about,
	enum api_role role, bool ask, char wanted)
{
	struct api_method method = *row;
	const struct api_peer peer = peer_of(ask, role, about);
	char got;

	method.handler = count_run;
	dispatch(f, &method, whose[about], &peer);
	if (row->owner == API_OWNER_LIST)
		seen.domain = NULL;
	got = outcome();
	if (got != wanted)
		fail_msg("%s by %s, %s (%s): '%c', and '%c' is right: %s", row->name,
			api_role_name(role),
			about == OWN              ? "own"
				: about == OTHERS ? "other's"
						  : "owns none",
			ask ? "polkit" : "known", got, wanted, seen.message);
	if (got != '+' && got != '=')
		assert_int_equal(seen.runs, 0);
	/* Who is refused learns the same of what is there and what is not. */
	if (got == '0' || got == '~' || got == '-') {
		enum error_code code = seen.error;
		char message[ERROR_MESSAGE_MAX], *name;

		strcpy(message, seen.message);
		dispatch(f, &method, "gone", &peer);
		assert_int_equal(seen.error, code);
		while ((name = strstr(message, "'hers'")))
			memcpy(name, "'gone'", 6);
		assert_string_equal(seen.message, message);
	}
}

static const struct api_method *find(const char *name)
{
	for (size_t i = 0; i < n_rpc_methods; i++)
		if (streq(rpc_methods[i].name, name))
			return &rpc_methods[i];
	return api_find_method(name);
}

static void test_matrix(void **state)
{
	struct fixture *f = *state;
	FILE *file = fopen(TESTS_DATA_DIR "/roles.golden", "re");
	char line[256], name[64], c[12];
	unsigned events = f->n_events;
	size_t n = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		const struct api_method *row;

		if (*line == '#')
			continue;
		if (sscanf(line, "%63s %c %c %c %c %c %c %c %c %c %c %c %c", name, &c[0], &c[1],
			    &c[2], &c[3], &c[4], &c[5], &c[6], &c[7], &c[8], &c[9], &c[10],
			    &c[11]) != 13)
			fail_msg("roles.golden: '%s'", line);
		row = find(name);
		if (!row)
			fail_msg("roles.golden has '%s', which is no method", name);
		for (unsigned i = 0; i < 12; i++)
			for (unsigned ask = 0; ask < 2; ask++)
				check(f, row, (enum about)(i / 4), API_ROLE_NONE + i % 4, ask,
					c[i]);
		n++;
	}
	fclose(file);
	/* Each method has its line. */
	assert_int_equal(n, n_api_methods + n_rpc_methods);
	assert_int_equal(f->n_events, events);
}

/* Root and the daemon's own user, with polkit saying no; and callers that nobody vouches for. */
static void test_outside_the_roles(void **state)
{
	struct fixture *f = *state;
	struct api_method method = *api_find_method("UndefineDomain");
	struct api_peer peer = peer_of(true, API_ROLE_NONE, OWN);

	method.handler = count_run;
	peer.user.uid = 0;
	dispatch(f, &method, "hers", &peer);
	assert_int_equal(seen.runs, 1);
	peer.user.uid = 500;
	dispatch(f, &method, "hers", &peer);
	assert_int_equal(seen.runs, 1);
	assert_int_equal(polkit.asked, 0);
	/* A uid that is not known is not the owner's. */
	method = *api_find_method("StartDomain");
	method.handler = count_run;
	peer.user = (struct user){.uid = OWNER};
	dispatch(f, &method, "his", &peer);
	assert_int_equal(seen.runs + seen.reads, 0);
	/* And an owner's machine is started without asking for anything. */
	peer.user.uid_known = true;
	dispatch(f, &method, "his", &peer);
	assert_int_equal(seen.runs, 1);
	assert_int_equal(polkit.asked, 0);
}

/* The caller goes at any time while polkit is asked about him: nothing is done for him unless the bus has said, after polkit's yes, that
 * he was there. */
static void test_gone_while_asked(void **state)
{
	struct fixture *f = *state;
	struct api_method method = *api_find_method("StartDomain");
	unsigned done = 0;

	method.handler = count_run;
	for (unsigned i = 0; i < 1000; i++) {
		const struct api_peer peer = peer_of(true, API_ROLE_OPERATOR, NOTHING_OWNED);
		struct api_call *call = api_call_new(&method, f->manager, &ops, NULL);

		memset(&seen, 0, sizeof(seen));
		seen.domain = "hers";
		polkit.gone = false;
		polkit.vouched = 0;
		call->peer = peer;
		api_dispatch(call, &auth);
		for (unsigned turns = i % 8; turns && !seen.releases; turns--)
			assert_true(sd_event_run(f->event, 10000) >= 0);
		polkit.gone = true;
		RUN_UNTIL(f, seen.releases == 1);
		assert_int_equal(seen.runs, polkit.vouched);
		assert_int_equal(seen.error, seen.runs ? 0 : ERROR_ACCESS_DENIED);
		done += seen.runs;
	}
	/* Both have happened. */
	assert_in_range(done, 1, 999);
}

static size_t n_listed(
	struct fixture *f, const char *method, const char *member, const struct api_peer *peer)
{
	struct json_object *out;
	size_t n;

	dispatch(f, api_find_method(method), "", peer);
	assert_int_equal(seen.error, 0);
	/* By its text: a column (api-column.h) shows no elements. */
	out = json_tokener_parse(json_object_to_json_string(seen.out));
	n = json_object_array_length(json_object_object_get(out, member));
	json_object_put(out);
	return n;
}

static void test_lists(void **state)
{
	struct fixture *f = *state;

	for (unsigned ask = 0; ask < 2; ask++) {
		struct api_peer peer = peer_of(ask, API_ROLE_NONE, OWN);

		assert_int_equal(n_listed(f, "ListDomainNames", "ids", &peer), 1);
		assert_int_equal(n_listed(f, "ListDomains", "domains", &peer), 1);
		assert_non_null(strstr(json_object_to_json_string(seen.out), "\"his\""));
		assert_int_equal(n_listed(f, "GetDomainStats", "stats", &peer), 1);
		peer = peer_of(ask, API_ROLE_NONE, NOTHING_OWNED);
		assert_int_equal(n_listed(f, "ListDomains", "domains", &peer), 0);
		assert_int_equal(n_listed(f, "ListDomainNames", "names", &peer), 0);
		assert_int_equal(n_listed(f, "GetDomainStats", "stats", &peer), 0);
		peer = peer_of(ask, API_ROLE_READER, OWN);
		assert_int_equal(n_listed(f, "ListDomains", "domains", &peer), 3);
		assert_int_equal(n_listed(f, "GetDomainStats", "stats", &peer), 3);
	}
}

/* A foreign domain hides none of the caller's: not by its id, which is another's name. */
static void test_no_shadow(void **state)
{
	struct fixture *f = *state;
	const struct api_peer peer = peer_of(false, API_ROLE_NONE, OWN);
	struct domain *hers = manager_find(f->manager, "hers", &f->error);
	char id[16];

	fixture_start(f, hers);
	snprintf(id, sizeof(id), "%d", hers->id);
	fixture_define(f, id, "",
		"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='4711'/></metadata>");
	dispatch(f, api_find_method("GetDomain"), id, &peer);
	assert_int_equal(seen.error, 0);
	assert_string_equal(json_object_get_string(json_object_object_get(
				    json_object_object_get(seen.out, "info"), "owner")),
		"4711");
}

/* Another definition is another owner at once, whatever still runs; what is undefined belongs to who is in what runs. */
static void test_changes_of_owner(void **state)
{
	struct fixture *f = *state;
	struct domain *d = manager_find(f->manager, "his", &f->error);
	struct api_peer peer = peer_of(false, API_ROLE_NONE, OWN);
	char uuid[UUID_STRING_LEN + 1], extra[256], *xml = NULL;

	fixture_start(f, d);
	uuid_format(d->uuid, uuid);
	snprintf(extra, sizeof(extra),
		"<uuid>%s</uuid><metadata><v:owner xmlns:v='urn:vmmd:domain:1' "
		"user='4713'/></metadata>",
		uuid);
	fixture_define(f, "his", "", extra);
	assert_int_equal(n_listed(f, "ListDomains", "domains", &peer), 0);
	dispatch(f, api_find_method("DestroyDomain"), "his", &peer);
	assert_int_equal(seen.error, ERROR_ACCESS_DENIED);
	assert_true(domain_is_active(d));
	assert_int_equal(domain_format_xml(d, false, &xml, &f->error), 0);
	assert_non_null(strstr(xml, "user='4711'"));
	free(xml);
	assert_int_equal(manager_undefine(f->manager, d, &f->error), 0);
	assert_int_equal(n_listed(f, "ListDomains", "domains", &peer), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_matrix, setup, teardown),
		cmocka_unit_test_setup_teardown(test_outside_the_roles, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone_while_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_shadow, setup, teardown),
		cmocka_unit_test_setup_teardown(test_changes_of_owner, setup, teardown),
	};

	log_init("test", LOG_CRIT, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
