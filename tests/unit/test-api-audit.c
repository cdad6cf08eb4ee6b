/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Audit records of real calls by JSON-RPC and by a caller that polkit refuses: done, failed and denied, whose and what; and a flood of
 * denials. */
#include "rpc-fixture.h"
#include "journal-fixture.h"

static struct rpc *server;
static struct client c1;
static struct journald journald;
static struct rpc_conn *conn;

static int setup(void **state)
{
	struct fixture *f;

	fixture_setup(state);
	f = *state;
	assert_int_equal(rpc_new(f->manager, &(struct rpc_options){0}, &server), 0);
	assert_int_equal(connect_client(&c1, server), 0);
	conn = list_entry(server->connections.next, struct rpc_conn, link);
	fixture_define(f, "a", "",
		"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='4711'/></metadata>");
	journald_open(&journald, f->dir);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	client_done(&c1);
	server = rpc_free(server);
	RUN_UNTIL(f, fixture_n_active(f) == 0);
	journald_close(&journald);
	return fixture_teardown(state);
}

static void become(enum api_role role, uid_t uid)
{
	conn->peer.role = role;
	conn->peer.user.uid = uid;
}

static void field(const char *name, const char *wanted)
{
	const char *got = journald_field(&journald, name);

	if (wanted ? !got || !streq(got, wanted) : got != NULL)
		fail_msg("%s is '%s', not '%s' in:\n%s", name, got ? got : "", wanted ? wanted : "",
			journald.record);
}

/* The next audit record: domains that start and stop have theirs in between. */
static void expect_record(
	const char *method, const char *object, const char *result, const char *error)
{
	do
		assert_true(journald_take(&journald));
	while (!streq(journald_field(&journald, "MESSAGE_ID"), journal_message_id(JOURNAL_AUDIT)));
	field("VMMD_METHOD", method);
	field("VMMD_OBJECT", object);
	field("VMMD_RESULT", result);
	field("VMMD_ERROR", error);
	field("VMMD_TRANSPORT", "unix");
}

static void expect_none(void)
{
	while (journald_take(&journald))
		if (streq(journald_field(&journald, "MESSAGE_ID"),
			    journal_message_id(JOURNAL_AUDIT)))
			fail_msg("a record that should not be:\n%s", journald.record);
}

static void test_results(void **state)
{
	struct fixture *f = *state;
	char uid[16], pid[32], uuid[UUID_STRING_LEN + 1];

	(void)ask(f, &c1, REQUEST("1", "SetAutostart", "[\"a\",true]"));
	expect_record("SetAutostart", "a", "done", NULL);
	snprintf(uid, sizeof(uid), "%u", getuid());
	snprintf(pid, sizeof(pid), "pid %d", getpid());
	uuid_format(manager_find(f->manager, "a", NULL)->uuid, uuid);
	field("VMMD_UID", uid);
	field("VMMD_PEER", pid);
	field("VMMD_DOMAIN", "a");
	field("VMMD_DOMAIN_UUID", uuid);
	(void)ask(f, &c1, REQUEST("2", "SuspendDomain", "[\"a\"]"));
	expect_record("SuspendDomain", "a", "failed", "OperationInvalid");
	(void)ask(f, &c1, REQUEST("3", "StartDomain", "[\"gone\\nVMMD_UID=0\"]"));
	expect_record("StartDomain", NULL, "failed", "NoDomain");
	field("VMMD_CLAIMED", "gone?VMMD_UID=0");
	field("VMMD_DOMAIN", NULL);
	assert_non_null(strstr(journald_field(&journald, "MESSAGE"),
		": StartDomain gone?VMMD_UID=0 (so called): failed"));
	(void)ask(f, &c1, REQUEST("4", "StartDomain", "{\"nonsense\":1}"));
	expect_record("StartDomain", NULL, "failed", "InvalidArgument");
	/* It is done when the guest runs; and undefined, it still had a name. */
	(void)ask(f, &c1, REQUEST("5", "StartDomain", "[\"a\"]"));
	expect_record("StartDomain", "a", "done", NULL);
	(void)ask(f, &c1, REQUEST("6", "DestroyDomain", "[\"a\"]"));
	expect_record("DestroyDomain", "a", "done", NULL);
	(void)ask(f, &c1, REQUEST("7", "UndefineDomain", "[\"a\"]"));
	expect_record("UndefineDomain", "a", "done", NULL);
	(void)ask(
		f, &c1, REQUEST("8", "DefineNetwork", "[\"<network><name>red</name></network>\"]"));
	expect_record("DefineNetwork", "red", "done", NULL);
	field("VMMD_NETWORK", "red");
	field("VMMD_DOMAIN", NULL);
}

/* What only looks leaves none, whoever asks. */
static void test_reads(void **state)
{
	struct fixture *f = *state;

	(void)ask(f, &c1, REQUEST("1", "ListDomains", "[]"));
	(void)ask(f, &c1, REQUEST("2", "GetDomain", "[\"a\"]"));
	(void)ask(f, &c1, REQUEST("3", "CheckDomain", "[\"<domain/>\"]"));
	(void)ask(f, &c1, REQUEST("4", "ResizeConsole", "[\"a\",\"\",80,24]"));
	become(API_ROLE_NONE, 4712);
	(void)ask(f, &c1, REQUEST("5", "GetDomain", "[\"a\"]"));
	expect_none();
}

static void test_denials(void **state)
{
	struct fixture *f = *state;

	become(API_ROLE_READER, 4712);
	(void)ask(f, &c1, REQUEST("1", "StartDomain", "[\"a\"]"));
	/* The arguments have not been looked at. */
	expect_record("StartDomain", NULL, "denied", "AccessDenied");
	field("VMMD_UID", "4712");
	become(API_ROLE_NONE, 4711);
	(void)ask(f, &c1, REQUEST("2", "StartDomain", "[\"b\"]"));
	expect_record("StartDomain", NULL, "denied", "AccessDenied");
	field("VMMD_CLAIMED", "b");
	field("VMMD_DOMAIN", NULL);
	field("VMMD_UID", "4711");
	(void)ask(f, &c1, REQUEST("3", "UndefineDomain", "[\"a\"]"));
	expect_record("UndefineDomain", NULL, "denied", "AccessDenied");
	(void)ask(f, &c1, REQUEST("4", "StartDomain", "[\"a\"]"));
	expect_record("StartDomain", "a", "done", NULL);
	field("VMMD_UID", "4711");
}

static void test_name_of_a_certificate(void **state)
{
	struct fixture *f = *state;

	become(API_ROLE_OPERATOR, 0);
	conn->peer.user = (struct user){.name = "alice"};
	conn->peer.transport = "tls";
	snprintf(conn->peer.address, sizeof(conn->peer.address), "192.0.2.1:4000");
	(void)ask(f, &c1, REQUEST("1", "SetAutostart", "[\"a\",true]"));
	assert_true(journald_take(&journald));
	field("VMMD_UID", NULL);
	field("VMMD_USER", "alice");
	field("VMMD_PEER", "192.0.2.1:4000");
	field("VMMD_TRANSPORT", "tls");
	field("MESSAGE", "user alice (tls 192.0.2.1:4000): SetAutostart a: done");
}

/* A flood of denials costs a bounded number of records, and hides neither others' nor what is done. */
static void test_flood(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	become(API_ROLE_READER, 4712);
	for (unsigned i = 0; i < 3 * AUDIT_DENIED_BURST; i++) {
		(void)ask(f, &c1, REQUEST("1", "StartDomain", "[\"a\"]"));
		n += journald_take(&journald);
	}
	assert_int_equal(n, AUDIT_DENIED_BURST);
	become(API_ROLE_READER, 4713);
	(void)ask(f, &c1, REQUEST("2", "StartDomain", "[\"a\"]"));
	expect_record("StartDomain", NULL, "denied", "AccessDenied");
	become(API_ROLE_OPERATOR, 4712);
	(void)ask(f, &c1, REQUEST("3", "SetAutostart", "[\"a\",true]"));
	expect_record("SetAutostart", "a", "done", NULL);
	/* Later, it is said how many there were. */
	become(API_ROLE_READER, 4712);
	for (unsigned i = 0; i < AUDIT_MAX_CALLERS; i++)
		if (f->manager->audit.callers[i].uid == 4712)
			f->manager->audit.callers[i].since_usec -= AUDIT_DENIED_USEC;
	(void)ask(f, &c1, REQUEST("4", "StartDomain", "[\"a\"]"));
	assert_true(journald_take(&journald));
	field("MESSAGE", "uid 4712: 40 denials left out");
	expect_record("StartDomain", NULL, "denied", "AccessDenied");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_results, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_denials, setup, teardown),
		cmocka_unit_test_setup_teardown(test_name_of_a_certificate, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
	};

	log_init("test", LOG_ERR, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
