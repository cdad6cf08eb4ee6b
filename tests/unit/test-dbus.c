/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The API end to end over a socketpair, without a bus daemon: methods, late answers, errors, fds, signals, properties,
 * introspection, and callers that go away. What a domain may have, and how that changes, is in test-dbus-tune.c. */
#include "dbus-fixture.h"

#include <poll.h>

#include "daemon/network.h"
#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/names.h"

static void test_a_domain_s_life(void **state)
{
	struct fixture *f = *state;
	const char *name;
	sd_bus_message *m;

	ok(CALL(f, "Ping", ""));
	m = CALL(f, "DefineDomain", "ssu", fixture_xml(f, "web", "", ""), "web.xml", 0);
	assert_true(sd_bus_message_read(m, "s", &name) > 0);
	assert_string_equal(name, "web");
	ok(m);
	ok(CALL(f, "StartDomain", "su", "web", 0));
	RUN_UNTIL(f, n_signals == 2);
	assert_string_equal(last_signal, "lifecycle web Started Booted");
	ok(CALL(f, "SuspendDomain", "s", "1"));
	ok(CALL(f, "ResumeDomain", "s", "web"));
	ok(CALL(f, "ResetDomain", "s", "web"));
	ok(CALL(f, "SetAutostart", "sb", "web", 1));
	ok(CALL(f, "DestroyDomain", "su", "web", 0));
	ok(CALL(f, "UndefineDomain", "su", "web", 0));
	RUN_UNTIL(f, n_signals == 6);
	assert_string_equal(last_signal, "lifecycle web Undefined Removed");
	assert_true(n_changes > 3);
}

/* What takes long is told as a job, and whose it is. */
static void test_jobs(void **state)
{
	struct fixture *f = *state;

	fixture_define(f, "web", "", "");
	fixture_define(f, "bad", "fake=fail-start", "");
	ok(CALL(f, "StartDomain", "su", "web", 0));
	sd_bus_message_unref(CALL(f, "StartDomain", "su", "bad", 0));
	RUN_UNTIL(f, n_job_signals == 4);
	assert_string_equal(job_signals,
		"1 Started job=1 operation=start domain=web\n"
		"1 Done job=1 operation=start domain=web percent=100\n"
		"2 Started job=2 operation=start domain=bad\n"
		"2 Failed job=2 operation=start domain=bad error=Internal\n");
}

static void test_errors(void **state)
{
	struct fixture *f = *state;

	fails(CALL(f, "StartDomain", "su", "no", 0), VMMD_ERROR_PREFIX "NoDomain",
		"Domain not found: no domain with matching name 'no'");
	fails(CALL(f, "DefineDomain", "ssu", "<x", "f.xml", 0), VMMD_ERROR_PREFIX "XmlError",
		"f.xml");
	fixture_define(f, "a", "fake=fail-start", "");
	fails(CALL(f, "SuspendDomain", "s", "a"), VMMD_ERROR_PREFIX "OperationInvalid",
		"Requested operation is not valid: domain is not running");
	fails(CALL(f, "StartDomain", "su", "a", 64), VMMD_ERROR_PREFIX "InvalidArgument",
		"unsupported flags (0x40)");
	fails(CALL(f, "StartDomain", "su", "a", 0), VMMD_ERROR_PREFIX "Internal",
		"KVM_CREATE_VM: Cannot allocate memory");
	fails(CALL(f, "StartDomain", "s", "a"), "org.freedesktop.DBus.Error.InvalidArgs", "");
	fails(CALL(f, "NoSuchMethod", ""), "org.freedesktop.DBus.Error.UnknownMethod", "");
}

static unsigned count_dicts(sd_bus_message *m)
{
	unsigned n = 0;

	assert_true(sd_bus_message_enter_container(m, 'a', "a{sv}") > 0);
	while (sd_bus_message_at_end(m, false) == 0) {
		assert_true(sd_bus_message_skip(m, "a{sv}") > 0);
		n++;
	}
	return n;
}

/* Columns that belong together: the running domain 'c' among those that are listed, with its id. */
static void check_names(struct fixture *f, uint32_t flags, unsigned n)
{
	sd_bus_message *m = CALL(f, "ListDomainNames", "u", flags);
	char **names = NULL, **uuids = NULL;
	const struct domain *c = manager_find_name(f->manager, "c");
	char uuid[UUID_STRING_LEN + 1];
	const int32_t *ids;
	size_t size = 0;
	bool found = false;

	uuid_format(c->uuid, uuid);
	assert_true(sd_bus_message_read_strv(m, &names) >= 0);
	assert_true(sd_bus_message_read_strv(m, &uuids) >= 0);
	assert_true(sd_bus_message_read_array(m, 'i', (const void **)&ids, &size) >= 0);
	assert_int_equal(size, n * sizeof(int32_t));
	for (unsigned i = 0; i < n; i++) {
		bool is_c = streq(names[i], "c");

		assert_int_equal(ids[i], is_c ? c->id : -1);
		assert_int_equal(streq(uuids[i], uuid), is_c);
		found |= is_c;
		free(names[i]);
		free(uuids[i]);
	}
	assert_int_equal(found, flags != 2);
	free(names);
	free(uuids);
	ok(m);
}

static void test_lists_and_reads(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t flags;
		unsigned n;
	} lists[] = {{0, 3}, {1, 1}, {2, 2}, {3, 3}};
	sd_bus_message *m;
	const char *s;
	int accepted;

	fixture_define(f, "a", "", "");
	fixture_define(f, "b", "", "");
	fixture_start(f, fixture_define(f, "c", "", ""));
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		m = CALL(f, "ListDomains", "u", lists[i].flags);
		assert_int_equal(count_dicts(m), lists[i].n);
		ok(m);
		check_names(f, lists[i].flags, lists[i].n);
	}
	m = CALL(f, "GetDomainStats", "asu", 0, 0);
	assert_int_equal(count_dicts(m), 3);
	ok(m);
	has_number(CALL(f, "GetDomainStats", "asu", 1, "c", 128), "iothread.count", 0);
	has_number(CALL(f, "GetDomainStats", "asu", 1, "c", 4), "balloon.maximum", 16384);
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 4), "balloon.rss"));
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 8), "vcpu.1.halted"));
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 8), "vcpu.0.wait"));
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 8), "vcpu.0.delay"));
	assert_false(has_key(CALL(f, "GetDomainStats", "asu", 1, "a", 8 + 4), "balloon.rss"));
	assert_false(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 256), "state.state"));
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 2048), "overhead.guest"));
	has_number(CALL(f, "GetDomainStats", "asu", 1, "c", 2048), "overhead.exits.eoi.sum", 0);
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 2048), "overhead.loop.rest"));
	assert_false(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 0), "overhead.total"));
	/* The fixture's workers have no control group: that is said. */
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 4096), "pressure.missing"));
	has_number(CALL(f, "GetDomainStats", "asu", 1, "c", 4096), "pressure.steal.time", 0);
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 4096), "cpu.core-scheduling"));
	assert_false(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 0), "pressure.missing"));
	assert_true(has_key(CALL(f, "GetDomainStats", "asu", 1, "c", 0), "vm.loop_turns.sum"));
	m = CALL(f, "GetDomainStats", "asu", 2, "a", "c", 8);
	assert_int_equal(count_dicts(m), 2);
	ok(m);
	fails(CALL(f, "GetDomainStats", "asu", 2, "a", "x", 8), VMMD_ERROR_PREFIX "NoDomain",
		"'x'");
	m = CALL(f, "CheckDomain", "ssu", "<domain/>", "c.xml", 0);
	assert_true(sd_bus_message_read(m, "bs", &accepted, &s) > 0);
	assert_false(accepted);
	assert_true(strlen(s) > 0);
	ok(m);
	m = CALL(f, "GetDomainXml", "su", "c", 0);
	assert_true(sd_bus_message_read(m, "s", &s) > 0);
	assert_non_null(strstr(s, "<name>c</name>"));
	ok(m);
	ok(CALL(f, "GetDomain", "s", "c"));
	assert_true(has_key(CALL(f, "GetBootReport", "s", "c"), "enter"));
	assert_true(has_key(CALL(f, "GetBootReport", "s", "c"), "answer"));
	fails(CALL(f, "GetBootReport", "s", "a"), VMMD_ERROR_PREFIX "OperationInvalid",
		"not running");
	ok(CALL(f, "ListDomainDisks", "su", "c", 0));
	has_number(CALL(f, "GetNodeInfo", ""), "memory_limit_kib", 0);
	has_number(CALL(f, "GetNodeInfo", ""), "domains_memory_kib", 16384 + 65536);
	ok(CALL(f, "GetVersion", ""));
	ok(CALL(f, "GetHostname", ""));
	m = CALL(f, "GetCapabilities", "");
	assert_true(sd_bus_message_read(m, "s", &s) > 0);
	assert_non_null(strstr(s, "<capabilities>"));
	ok(m);
}

#define FORWARD(port)                                                                              \
	"<vmmd:forward xmlns:vmmd='urn:vmmd:network:1' proto='udp' port='" port "' "               \
	"to='10.9.0.5'/>"

static void test_update_network(void **state)
{
	struct fixture *f = *state;
	struct network *n = NULL;
	sd_bus_message *m;
	const char *key;

	assert_int_equal(
		network_define(f->manager,
			"<network><name>red</name><forward mode='nat'/><ip address='10.9.0.1' "
			"prefix='24'/></network>",
			"n", 0, &n, NULL, &f->error),
		0);
	ok(CALL(f, "UpdateNetwork", "suuussu", "red", 3, 1000, UINT32_MAX, FORWARD("53"), "s", 2));
	ok(CALL(f, "UpdateNetwork", "suuussu", "red", 4, 4, 0,
		"<host mac='52:54:00:00:00:01' "
		"ip='10.9.0.7'/>",
		"", 0));
	assert_int_equal(n->config->n_forwards, 1);
	assert_int_equal(n->config->ips[0].n_hosts, 1);
	fails(CALL(f, "UpdateNetwork", "suuussu", "red", 3, 4, 1, "<host/>", "s", 2),
		VMMD_ERROR_PREFIX "OperationInvalid", "no <ip> element found at index 1");
	fails(CALL(f, "UpdateNetwork", "suuussu", "red", 3, 4, 0, "<host/>", "", 2),
		VMMD_ERROR_PREFIX "XmlError", "xml:1: host/@ip: missing");
	fails(CALL(f, "UpdateNetwork", "suuussu", "red", 3, 4, 0, "<host/>", "s", 4),
		VMMD_ERROR_PREFIX "InvalidArgument", "unsupported flags (0x4)");
	fails(CALL(f, "UpdateNetwork", "suuussu", "blue", 3, 4, 0, "<host/>", "s", 0),
		VMMD_ERROR_PREFIX "NoNetwork", "blue");
	m = CALL(f, "ListNetworkForwards", "su", "red", 1);
	assert_false(sd_bus_message_is_method_error(m, NULL));
	assert_int_equal(count_dicts(m), 1);
	assert_true(sd_bus_message_rewind(m, true) >= 0);
	assert_true(sd_bus_message_enter_container(m, 'a', "a{sv}") > 0);
	assert_true(sd_bus_message_enter_container(m, 'a', "{sv}") > 0);
	assert_true(sd_bus_message_enter_container(m, 'e', "sv") > 0);
	assert_true(sd_bus_message_read(m, "s", &key) > 0);
	assert_string_equal(key, "proto");
	sd_bus_message_unref(m);
	fails(CALL(f, "ListNetworkForwards", "su", "red", 2), VMMD_ERROR_PREFIX "InvalidArgument",
		"unsupported flags");
}

static void test_console_fd(void **state)
{
	struct fixture *f = *state;
	struct pollfd p = {.events = POLLIN};
	char text[32] = "";
	sd_bus_message *m;

	fixture_start(f, fixture_define(f, "a", "", ""));
	m = CALL(f, "OpenConsole", "ssu", "a", "", 0);
	assert_true(sd_bus_message_read(m, "h", &p.fd) > 0);
	assert_int_equal(poll(&p, 1, 5000), 1);
	assert_int_equal(read(p.fd, text, sizeof(text)), 14);
	assert_string_equal(text, "fake console\r\n");
	/* The fd is the message's: the console stays attached as long as that lives. */
	fails(CALL(f, "OpenConsole", "ssu", "a", "", 0), VMMD_ERROR_PREFIX "OperationFailed",
		"Active console session exists for this domain");
	ok(CALL(f, "ResizeConsole", "ssuu", "a", "", 132, 43));
	assert_int_equal(poll(&p, 1, 5000), 1);
	memset(text, 0, sizeof(text));
	assert_true(read(p.fd, text, sizeof(text) - 1) > 0);
	assert_string_equal(text, "0 0 is 132x43\r\n");
	fails(CALL(f, "ResizeConsole", "ssuu", "a", "", 0, 43), VMMD_ERROR_PREFIX "InvalidArgument",
		"0 columns");
	ok(m);
}

static void test_objects(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");
	char path[API_PATH_MAX];
	sd_bus_message *m;
	const char *s;

	api_domain_path(d, path);
	m = call(f, path, "org.freedesktop.DBus.Properties", "Get", "ss", VMMD_DOMAIN_IFACE,
		"State");
	assert_true(sd_bus_message_read(m, "v", "s", &s) > 0);
	assert_string_equal(s, "shut off");
	ok(m);
	m = call(f, VMMD_DOMAIN_PATH, "org.freedesktop.DBus.Introspectable", "Introspect", "");
	assert_true(sd_bus_message_read(m, "s", &s) > 0);
	assert_non_null(strstr(s, path + strlen(VMMD_DOMAIN_PATH) + 1));
	ok(m);
	fails(call(f, VMMD_DOMAIN_PATH "/none", "org.freedesktop.DBus.Properties", "Get", "ss",
		      VMMD_DOMAIN_IFACE, "State"),
		"org.freedesktop.DBus.Error.UnknownObject", "");
	/* Introspection comes from the table: names and signatures. */
	m = call(f, VMMD_BUS_PATH, "org.freedesktop.DBus.Introspectable", "Introspect", "");
	assert_true(sd_bus_message_read(m, "s", &s) > 0);
	for (size_t i = 0; i < n_api_methods; i++)
		assert_non_null(strstr(s, api_methods[i].name));
	assert_non_null(strstr(s, "<arg type=\"aa{sv}\" name=\"report\" direction=\"out\"/>"));
	ok(m);
}

/* The caller goes away while its start is under way; the start goes on, the answer is dropped. */
static void test_caller_goes_away(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "", "");
	struct answer never = {0};

	assert_true(sd_bus_call_method_async(client, NULL, NULL, VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
			    "StartDomain", on_answer, &never, "su", "a", 0) >= 0);
	RUN_UNTIL(f, d->phase == DOMAIN_STARTING);
	disconnect();
	RUN_UNTIL(f, d->phase == DOMAIN_ACTIVE);
	sd_bus_message_unref(never.m);
	connect_client(f);
	ok(CALL(f, "SuspendDomain", "s", "a"));
}

static void test_network_event(void **state)
{
	const struct event_field fields[] = {
		{"ip", "10.9.0.5"}, {"hostname", ""}, {"mac", "52:54:00:00:00:01"}};
	const struct network n = {.name = "red"};
	struct fixture *f = *state;

	manager_emit_network(f->manager, EVENT_LEASE, &n, "Assigned", fields, 3);
	RUN_UNTIL(f, n_signals == 1);
	assert_string_equal(last_signal, "lease red Assigned ip=10.9.0.5 mac=52:54:00:00:00:01");
}

/* What a capture's worker is asked for, as the fake one gives it back. */
static struct proto_capture captured(sd_bus_message *m)
{
	struct proto_capture what = {0};
	uint64_t job;
	int fd;

	ok(sd_bus_message_ref(m));
	assert_true(sd_bus_message_read(m, "ht", &fd, &job) > 0);
	assert_true(job > 0);
	assert_int_equal(read(fd, &what, sizeof(what)), sizeof(what));
	sd_bus_message_unref(m);
	return what;
}

/* A reply has 'key' with this number. */
/* What the network's end of the cable could not give is among what an interface has lost. */
static void test_drops(void **state)
{
	struct fixture *f = *state;

	ok(CALL(f, "CreateNetwork", "ssu", "<network><name>red</name></network>", "red.xml", 0));
	f->devices = "<interface type='network'><source network='red'/></interface>";
	fixture_start(f, fixture_define(f, "a", "", ""));
	RUN_UNTIL(f,
		network_port_counters(
			network_find_port(f->manager, manager_find(f->manager, "a", NULL)->uuid, 0))
				->rx_dropped == 3);
	has_number(CALL(f, "ListDomainInterfaces", "su", "a", 0), "rx_drop_full", 3);
	has_number(CALL(f, "ListDomainInterfaces", "su", "a", 0), "rx_dropped", 3);
	has_number(CALL(f, "ListNetworkPorts", "s", "red"), "rx_drop_full", 3);
	has_number(CALL(f, "GetDomainStats", "asu", 0, 16), "net.0.rx.drop", 3);
}

static void test_captures(void **state)
{
	static const char *const wrong[] = {"vnet7", "52:54:00:00:00:99", ""};
	struct fixture *f = *state;
	struct proto_capture what;

	ok(CALL(f, "CreateNetwork", "ssu", "<network><name>red</name></network>", "red.xml", 0));
	f->devices =
		"<interface type='network'><mac address='52:54:00:00:00:01'/><source "
		"network='red'/>"
		"</interface><interface type='network'><mac address='52:54:00:00:00:02'/><source "
		"network='red'/></interface>";
	fixture_start(f, fixture_define(f, "a", "", ""));
	what = captured(CALL(f, "OpenCapture", "ssuu", "a", "vnet1", 1, 96));
	assert_int_equal(what.index, 1);
	assert_int_equal(what.direction, CAPTURE_IN);
	assert_int_equal(what.snaplen, 96);
	what = captured(CALL(f, "OpenCapture", "ssuu", "a", "52:54:00:00:00:01", 3, 1));
	assert_int_equal(what.index, 0);
	what = captured(CALL(f, "OpenNetworkCapture", "ssuu", "red", "", 3, 1));
	assert_int_equal(what.index, PROTO_CAPTURE_SWITCH);
	fails(CALL(f, "OpenNetworkCapture", "ssuu", "red", "eth7", 3, 1),
		VMMD_ERROR_PREFIX "InvalidArgument", "network 'red' has no uplink 'eth7'");
	fails(CALL(f, "OpenCapture", "ssuu", "a", "vnet1", 0, 96),
		VMMD_ERROR_PREFIX "InvalidArgument", "direction 0: write 1 (in)");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
		fails(CALL(f, "OpenCapture", "ssuu", "a", wrong[i], 3, 96),
			VMMD_ERROR_PREFIX "InvalidArgument", "domain 'a' has no interface");
	ok(CALL(f, "DestroyDomain", "su", "a", 0));
	fails(CALL(f, "OpenCapture", "ssuu", "a", "vnet1", 3, 96),
		VMMD_ERROR_PREFIX "OperationInvalid", "domain is not running");
	ok(CALL(f, "DefineNetwork", "ssu", "<network><name>blue</name></network>", "x", 0));
	fails(CALL(f, "OpenNetworkCapture", "ssuu", "blue", "", 3, 1),
		VMMD_ERROR_PREFIX "OperationInvalid", "network 'blue' is not active");
}

static int on_any_answer(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	const sd_bus_error *error = sd_bus_message_get_error(m);

	(void)e;
	if (error && streq(error->name, VMMD_ERROR_PREFIX "ResourceBusy"))
		(*(unsigned *)userdata)++;
	return 0;
}

/* A user whose calls hang does not take the room of others. */
static void test_calls_of_one_user(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "a", "fake=ignore-quit",
		"<metadata><v:owner xmlns:v='urn:vmmd:domain:1' user='4711'/></metadata>");
	unsigned busy = 0;

	fixture_start(f, d);
	server->peer_uid = 4711;
	for (unsigned i = 0; i < DBUS_MAX_UID_CALLS + 3; i++)
		assert_true(sd_bus_call_method_async(client, NULL, NULL, VMMD_BUS_PATH,
				    VMMD_BUS_INTERFACE, "DestroyDomain", on_any_answer, &busy, "su",
				    "a", 0) >= 0);
	RUN_UNTIL(f, busy == 3);
	server->peer_uid = 4712;
	fails(CALL(f, "UndefineDomain", "su", "a", 0), VMMD_ERROR_PREFIX "AccessDenied",
		"administrator");
	server->peer_uid = 0;
	ok(CALL(f, "GetDomain", "s", "a"));
	assert_int_equal(busy, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_a_domain_s_life),
		T(test_network_event),
		T(test_jobs),
		T(test_errors),
		T(test_lists_and_reads),
		T(test_update_network),
		T(test_console_fd),
		T(test_captures),
		T(test_drops),
		T(test_objects),
		T(test_caller_goes_away),
		T(test_calls_of_one_user),
	};

	log_init("test-dbus", LOG_CRIT, false);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
