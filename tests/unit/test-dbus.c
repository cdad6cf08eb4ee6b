/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The API end to end over a socketpair, without a bus daemon: methods, late answers, errors, fds, signals, properties,
 * introspection, and callers that go away. */
#include "daemon/dbus.h"

#include <poll.h>
#include <sys/socket.h>

#include "daemon-fixture.h"
#include "daemon/api.h"
#include "daemon/dbus-internal.h"
#include "daemon/dbus-json.h"
#include "daemon/network.h"
#include "vmm-core/base/capture-record.h"
#include "vmm-core/base/names.h"

static sd_bus *client;
static struct dbus *server;
static sd_bus *server_bus;
static unsigned n_signals, n_changes;
static char last_signal[256];

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	const char *event, *name, *uuid, *detail, *reason;
	uint64_t sequence;

	(void)userdata;
	(void)e;
	assert_true(sd_bus_message_read(
			    m, "ssssst", &event, &name, &uuid, &detail, &reason, &sequence) > 0);
	snprintf(last_signal, sizeof(last_signal), "%s %s %s %s", event, name, detail, reason);
	n_signals++;
	return 0;
}

static int on_network_signal(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	const char *event, *name, *uuid, *detail, *key, *value;

	(void)userdata;
	(void)e;
	assert_true(sd_bus_message_read(m, "ssss", &event, &name, &uuid, &detail) > 0);
	snprintf(last_signal, sizeof(last_signal), "%s %s %s", event, name, detail);
	/* An empty field is not among them. */
	assert_true(sd_bus_message_enter_container(m, 'a', "{ss}") > 0);
	while (sd_bus_message_read(m, "{ss}", &key, &value) > 0)
		snprintf(last_signal + strlen(last_signal),
			sizeof(last_signal) - strlen(last_signal), " %s=%s", key, value);
	n_signals++;
	return 0;
}

static unsigned n_job_signals;
static char job_signals[16 * 1024];

/* One line each: number, detail, fields; the number of the event stands for what is different each time. */
static int on_job_signal(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	const char *detail, *key, *value;
	uint64_t job, sequence;
	size_t n = strlen(job_signals);

	(void)userdata;
	(void)e;
	assert_true(sd_bus_message_read(m, "ts", &job, &detail) > 0);
	n += (size_t)snprintf(
		job_signals + n, sizeof(job_signals) - n, "%" PRIu64 " %s", job, detail);
	assert_true(sd_bus_message_enter_container(m, 'a', "{ss}") > 0);
	while (sd_bus_message_read(m, "{ss}", &key, &value) > 0)
		if (!streq(key, "uuid") && !streq(key, "stage"))
			n += (size_t)snprintf(
				job_signals + n, sizeof(job_signals) - n, " %s=%s", key, value);
	assert_true(sd_bus_message_exit_container(m) >= 0);
	assert_true(sd_bus_message_read(m, "t", &sequence) > 0);
	assert_true(sequence > 0);
	snprintf(job_signals + n, sizeof(job_signals) - n, "\n");
	n_job_signals++;
	return 0;
}

static int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	(void)m;
	(void)userdata;
	(void)e;
	n_changes++;
	return 0;
}

static void connect_client(struct fixture *f)
{
	sd_id128_t id;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_true(sd_id128_randomize(&id) >= 0);
	assert_true(sd_bus_new(&server_bus) >= 0);
	assert_true(sd_bus_set_fd(server_bus, pair[0], pair[0]) >= 0);
	assert_true(sd_bus_set_server(server_bus, true, id) >= 0);
	assert_true(sd_bus_negotiate_fds(server_bus, true) >= 0);
	assert_true(sd_bus_start(server_bus) >= 0);
	assert_true(sd_bus_attach_event(server_bus, f->event, 0) >= 0);
	assert_true(dbus_new(f->manager, server_bus, false, &server) >= 0);

	assert_true(sd_bus_new(&client) >= 0);
	assert_true(sd_bus_set_fd(client, pair[1], pair[1]) >= 0);
	assert_true(sd_bus_negotiate_fds(client, true) >= 0);
	assert_true(sd_bus_start(client) >= 0);
	assert_true(sd_bus_attach_event(client, f->event, 0) >= 0);
	assert_true(sd_bus_add_match(client, NULL, "type='signal',member='DomainEvent'", on_signal,
			    NULL) >= 0);
	assert_true(sd_bus_add_match(client, NULL, "type='signal',member='NetworkEvent'",
			    on_network_signal, NULL) >= 0);
	assert_true(sd_bus_add_match(client, NULL, "type='signal',member='JobEvent'", on_job_signal,
			    NULL) >= 0);
	assert_true(sd_bus_add_match(client, NULL, "type='signal',member='PropertiesChanged'",
			    on_changed, NULL) >= 0);
	n_signals = n_changes = n_job_signals = 0;
	*job_signals = 0;
}

static int setup(void **state)
{
	fixture_setup(state);
	connect_client(*state);
	return 0;
}

static void disconnect(void)
{
	client = sd_bus_close_unref(client);
	server = dbus_free(server);
	server_bus = sd_bus_close_unref(server_bus);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	disconnect();
	/* Calls that are still under way let their messages go when their domains end. */
	if (f->manager)
		RUN_UNTIL(f, fixture_n_active(f) == 0);
	return fixture_teardown(state);
}

struct answer {
	sd_bus_message *m;
};

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	struct answer *a = userdata;

	(void)e;
	a->m = sd_bus_message_ref(m);
	return 0;
}

static sd_bus_message *call(struct fixture *f, const char *path, const char *interface,
	const char *method, const char *types, ...)
{
	sd_bus_message *m = NULL;
	struct answer a = {0};
	va_list ap;

	assert_true(sd_bus_message_new_method_call(client, &m, NULL, path, interface, method) >= 0);
	va_start(ap, types);
	assert_true(sd_bus_message_appendv(m, types, ap) >= 0);
	va_end(ap);
	assert_true(sd_bus_call_async(client, NULL, m, on_answer, &a, 0) >= 0);
	sd_bus_message_unref(m);
	RUN_UNTIL(f, a.m);
	return a.m;
}

#define CALL(f, method, ...) call(f, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, method, __VA_ARGS__)

static void ok(sd_bus_message *m)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);

	if (e)
		fail_msg("%s: %s", e->name, e->message);
	sd_bus_message_unref(m);
}

static void fails(sd_bus_message *m, const char *name, const char *message)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);

	assert_non_null(e);
	assert_string_equal(e->name, name);
	if (!strstr(e->message, message))
		fail_msg("'%s' has no '%s'", e->message, message);
	sd_bus_message_unref(m);
}

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

/* What the answer says, as text. The caller frees it. */
static char *dump(sd_bus_message *m)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ok(sd_bus_message_ref(m));
	assert_true(sd_bus_message_rewind(m, true) >= 0);
	assert_true(sd_bus_message_dump(m, f, SD_BUS_MESSAGE_DUMP_SUBTREE_ONLY) >= 0);
	fclose(f);
	sd_bus_message_unref(m);
	return text;
}

static bool has_key(sd_bus_message *m, const char *key)
{
	_cleanup_(freep) char *text = dump(m);
	char want[128];

	(void)snprintf(want, sizeof(want), "\"%s\"", key);
	return strstr(text, want);
}

static void has_number(sd_bus_message *m, const char *key, int64_t value)
{
	_cleanup_(freep) char *text = dump(m);
	char want[128], *at;

	(void)snprintf(want, sizeof(want), "\"%s\"", key);
	at = strstr(text, want);
	assert_non_null(at);
	(void)snprintf(want, sizeof(want), "INT64 %lld;", (long long)value);
	at = strstr(at, "INT64");
	assert_non_null(at);
	assert_memory_equal(at, want, strlen(want));
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

static void tune(
	struct fixture *f, const char *key, const char *in, const char *out, unsigned flags)
{
	ok(CALL(f, "SetInterfaceTune", "ssssu", "vm", key, in, out, flags));
}

static void test_tune(void **state)
{
	static const char mac[] = "52:54:00:00:00:07";
	struct fixture *f = *state;
	struct network *n = NULL;
	const struct net_bandwidth *b;
	struct domain *d;

	f->devices = "<interface type='network'><mac address='52:54:00:00:00:07'/><source "
		     "network='red'/><model type='virtio'/></interface>";
	d = fixture_define(f, "vm", "", "");
	/* The definition: by the address. */
	tune(f, mac, "100,200,,", "", 0);
	assert_non_null(strstr(d->definition->xml, "<inbound average='100' peak='200'/>"));
	assert_null(strstr(d->definition->xml, "<outbound"));
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "1", "", 1),
		VMMD_ERROR_PREFIX "OperationInvalid", "domain is not running");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", "vnet0", "1", "", 0),
		VMMD_ERROR_PREFIX "InvalidArgument",
		"the definition of 'vm' has no interface 'vnet0'");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "1,2,3,4,5", "", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "write AVERAGE,PEAK,BURST,FLOOR");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "-1", "", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "write AVERAGE,PEAK,BURST,FLOOR");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "", "1,,,1", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "only inbound has a floor");
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", mac, "", "1", 4),
		VMMD_ERROR_PREFIX "InvalidArgument", "unsupported flags");
	/* What runs, by the target; and both. */
	assert_int_equal(network_define(f->manager, "<network><name>red</name></network>", "n", 0,
				 &n, NULL, &f->error),
		0);
	fixture_wait(f, network_start(n, fixture_done, f, &f->error));
	fixture_start(f, d);
	tune(f, "vnet0", "", "7,8,9", 0);
	b = &d->live->vm.nics[0].port.bandwidth;
	assert_true(b->in.average == 100 && b->out.average == 7 && b->out.peak == 8 &&
		b->out.burst == 9);
	assert_non_null(strstr(d->running->xml, "<outbound average='7' peak='8' burst='9'/>"));
	assert_null(strstr(d->definition->xml, "<outbound"));
	tune(f, "vnet0", "0", "11", 3);
	assert_true(b->in.average == 0 && b->in.peak == 0 && b->out.average == 11);
	assert_null(strstr(d->definition->xml, "<inbound"));
	assert_non_null(strstr(d->definition->xml, "<outbound average='11'/>"));
	fails(CALL(f, "SetInterfaceTune", "ssssu", "vm", "vnet9", "1", "", 1),
		VMMD_ERROR_PREFIX "InvalidArgument", "domain 'vm' has no interface 'vnet9'");
}

/* The answer's first value, which the caller frees. */
static struct json_object *value_of(sd_bus_message *m, const char *signature)
{
	struct json_object *all, *value;
	const sd_bus_error *e = sd_bus_message_get_error(m);

	if (e)
		fail_msg("%s: %s", e->name, e->message);
	assert_int_equal(dbus_json_read(m, signature, "x", &all), 0);
	value = json_object_get(json_object_object_get(all, "x"));
	json_object_put(all);
	sd_bus_message_unref(m);
	return value;
}

static void expect_number(struct json_object *o, const char *key, int64_t want)
{
	struct json_object *v;

	assert_true(json_object_object_get_ex(o, key, &v));
	assert_int_equal(json_object_get_int64(v), want);
}

static const char *text_of(struct json_object *o, const char *key)
{
	return json_object_get_string(json_object_object_get(o, key));
}

static void test_pins(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "fake=threads", "");
	uint64_t online[CPUSET_WORDS] = {0};
	char all[CPUSET_TEXT_MAX], text[16];
	struct json_object *vcpus, *v;
	unsigned cpu = 0;

	assert_int_equal(resources_host_cpus(online), 0);
	cpuset_format(online, all);
	while (!(online[cpu / 64] >> cpu % 64 & 1))
		cpu++;
	(void)snprintf(text, sizeof(text), "%u", cpu);
	/* The definition. */
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 1, text, 0));
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 0, text, 0));
	ok(CALL(f, "SetEmulatorPin", "ssu", "vm", text, 2));
	assert_int_equal(
		strncmp(strstr(d->definition->xml, "<vcpupin"), "<vcpupin vcpu='0'", 17), 0);
	assert_non_null(strstr(d->definition->xml, "<vcpupin vcpu='1'"));
	assert_non_null(strstr(d->definition->xml, "<emulatorpin"));
	vcpus = value_of(CALL(f, "ListVcpus", "su", "vm", 0), "aa{sv}");
	assert_int_equal(json_object_array_length(vcpus), 2);
	v = json_object_array_get_idx(vcpus, 1);
	expect_number(v, "vcpu", 1);
	assert_string_equal(text_of(v, "pin"), text);
	assert_false(json_object_object_get_ex(v, "state", NULL));
	json_object_put(vcpus);
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 1, "", 0));
	assert_null(strstr(d->definition->xml, "<vcpupin vcpu='1'"));
	fails(CALL(f, "SetVcpuPin", "susu", "vm", 2, text, 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"vcpu 2 is out of range of persistent cpu count 2");
	fails(CALL(f, "SetVcpuPin", "susu", "vm", 0, "1-", 0), VMMD_ERROR_PREFIX "InvalidArgument",
		"'1-' are no host CPUs");
	fails(CALL(f, "SetVcpuPin", "susu", "vm", 0, "1023", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "the host has no CPU 1023");
	fails(CALL(f, "SetEmulatorPin", "ssu", "vm", text, 1), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");
	fails(CALL(f, "SetEmulatorPin", "ssu", "vm", text, 4), VMMD_ERROR_PREFIX "InvalidArgument",
		"unsupported flags");
	fails(CALL(f, "ListVcpus", "su", "vm", 3), VMMD_ERROR_PREFIX "InvalidArgument",
		"asked for together");
	fails(CALL(f, "ListVcpus", "su", "vm", 1), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");
	/* What runs. */
	fixture_start(f, d);
	ok(CALL(f, "SetVcpuPin", "susu", "vm", 0, "", 1));
	vcpus = value_of(CALL(f, "ListVcpus", "su", "vm", 0), "aa{sv}");
	v = json_object_array_get_idx(vcpus, 0);
	expect_number(v, "state", 1);
	expect_number(v, "online", 1);
	assert_string_equal(text_of(v, "pin"), all);
	assert_non_null(text_of(v, "affinity"));
	assert_true(json_object_object_get_ex(v, "cpu", NULL));
	assert_true(json_object_object_get_ex(v, "cpu_time", NULL));
	json_object_put(vcpus);
	assert_non_null(strstr(d->definition->xml, "<vcpupin vcpu='0'"));
	assert_null(strstr(d->running->xml, "<vcpupin"));
	fails(CALL(f, "SetVcpuPin", "susu", "vm", 7, text, 3), VMMD_ERROR_PREFIX "InvalidArgument",
		"vcpu 7 is out of range of live cpu count 2");
}

static void set_vcpus(struct fixture *f, unsigned n, unsigned flags, bool done)
{
	struct json_object *v = value_of(CALL(f, "SetVcpus", "suu", "vm", n, flags), "b");

	assert_int_equal(json_object_get_boolean(v), done);
	json_object_put(v);
}

/* The bits of those that are online. */
static unsigned online_vcpus(struct fixture *f, unsigned flags)
{
	struct json_object *vcpus = value_of(CALL(f, "ListVcpus", "su", "vm", flags), "aa{sv}");
	unsigned bits = 0;

	for (size_t i = 0; i < json_object_array_length(vcpus); i++)
		bits |= (unsigned)json_object_get_boolean(json_object_object_get(
				json_object_array_get_idx(vcpus, i), "online"))
			<< i;
	json_object_put(vcpus);
	return bits;
}

static void test_vcpus(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "fake=refuse-vcpus", "");

	set_vcpus(f, 4, 6, true);
	assert_int_equal(online_vcpus(f, 0), 3);
	set_vcpus(f, 1, 0, true);
	assert_int_equal(online_vcpus(f, 0), 1);
	fails(CALL(f, "SetVcpus", "suu", "vm", 1, 1), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");
	fails(CALL(f, "SetVcpus", "suu", "vm", 1, 8), VMMD_ERROR_PREFIX "InvalidArgument",
		"unsupported flags");
	fixture_start(f, d);
	set_vcpus(f, 3, 0, true);
	assert_int_equal(online_vcpus(f, 1), 7);
	assert_int_equal(online_vcpus(f, 2), 1);
	fails(CALL(f, "SetVcpus", "suu", "vm", 5, 1), VMMD_ERROR_PREFIX "InvalidArgument",
		"max allowable vcpus for the live domain: 5 > 4");
	fails(CALL(f, "SetVcpus", "suu", "vm", 1, 0), VMMD_ERROR_PREFIX "OperationFailed",
		"vcpu unplug request was refused: the guest does not release vCPU 2");
	assert_int_equal(online_vcpus(f, 0), 7);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	struct json_object *tune;

	ok(CALL(f, "SetCpuTune", "sasu", "vm", 3, "cpu_shares=200", "vcpu_quota=50000",
		"global_period=200000", 0));
	ok(CALL(f, "SetMemoryTune", "sasu", "vm", 2, "soft_limit=1024", "swap_hard_limit=-1", 2));
	assert_non_null(strstr(d->definition->xml, "<shares>200</shares>"));
	assert_non_null(strstr(d->definition->xml, "<quota>50000</quota>"));
	tune = value_of(CALL(f, "GetCpuTune", "su", "vm", 2), "a{sv}");
	expect_number(tune, "cpu_shares", 200);
	expect_number(tune, "vcpu_quota", 50000);
	expect_number(tune, "global_period", 200000);
	expect_number(tune, "global_quota", 0);
	json_object_put(tune);
	tune = value_of(CALL(f, "GetMemoryTune", "su", "vm", 0), "a{sv}");
	expect_number(tune, "hard_limit", (int64_t)DOMAIN_MEMTUNE_UNLIMITED_KIB);
	expect_number(tune, "soft_limit", 1024);
	expect_number(tune, "swap_hard_limit", (int64_t)DOMAIN_MEMTUNE_UNLIMITED_KIB);
	json_object_put(tune);
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "vcpu_period=999", 0),
		VMMD_ERROR_PREFIX "InvalidArgument",
		"value of 'vcpu_period' is out of range [1000, 1000000]");
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "vcpu_quotas=1", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "'vcpu_quotas=1' is no setting");
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "vcpu_quota", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "'vcpu_quota' is no setting");
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "vcpu_quota=x", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "has no number");
	fails(CALL(f, "SetMemoryTune", "sasu", "vm", 2, "hard_limit=2048", "swap_hard_limit=1024",
		      0),
		VMMD_ERROR_PREFIX "InvalidArgument", "lower than or equal to swap_hard_limit");
	fails(CALL(f, "SetMemoryTune", "sasu", "vm", 1, "hard_limit=-2", 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "out of range");
	assert_null(strstr(d->definition->xml, "hard_limit unit='KiB'>2048"));
	/* What runs has the host's defaults; this worker has no control group. */
	ok(CALL(f, "SetCpuTune", "sasu", "vm", 3, "cpu_shares=0", "vcpu_quota=0", "global_period=0",
		0));
	assert_null(strstr(d->definition->xml, "cputune"));
	fixture_start(f, d);
	tune = value_of(CALL(f, "GetCpuTune", "su", "vm", 0), "a{sv}");
	expect_number(tune, "vcpu_period", DOMAIN_PERIOD_DEFAULT_US);
	expect_number(tune, "global_quota", -1);
	assert_non_null(text_of(tune, "emulator_pin"));
	json_object_put(tune);
	tune = value_of(CALL(f, "GetMemoryTune", "su", "vm", 1), "a{sv}");
	expect_number(tune, "hard_limit", (16 + 64) * 1024);
	json_object_put(tune);
	fails(CALL(f, "SetCpuTune", "sasu", "vm", 1, "cpu_shares=5", 0),
		VMMD_ERROR_PREFIX "OperationInvalid", "no control group");
}

static bool saw_signal(const char *part)
{
	return strstr(last_signal, part);
}

/* How much memory a guest has: definition, what runs, dumpxml, statistics, the event. */
static void test_memory(void **state)
{
	struct fixture *f = *state;
	struct domain *d = fixture_define(f, "vm", "", "");
	_cleanup_(freep) char *xml = NULL;

	ok(CALL(f, "SetMemory", "stu", "vm", UINT64_C(8192), 0));
	assert_non_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>8192<"));
	ok(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_C(32767), 0));
	assert_non_null(strstr(d->definition->xml, "<memory unit='KiB'>32768<"));
	assert_non_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>8192<"));
	ok(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_C(4096), 2));
	assert_non_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>4096<"));
	ok(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_C(16384), 2));
	ok(CALL(f, "SetMemoryStatsPeriod", "suu", "vm", 7, 0));
	assert_non_null(strstr(d->definition->xml, "<stats period='7'/>"));
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(16385), 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "cannot set memory higher than max memory");
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(0), 0),
		VMMD_ERROR_PREFIX "InvalidArgument", "kib is 0");
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(1), 1),
		VMMD_ERROR_PREFIX "OperationInvalid", "domain is not running");
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(1), 4),
		VMMD_ERROR_PREFIX "InvalidArgument", "unsupported flags");
	fails(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_MAX, 2),
		VMMD_ERROR_PREFIX "InvalidArgument", "memory: ");
	fails(CALL(f, "SetMemoryStatsPeriod", "suu", "vm", 86401, 2),
		VMMD_ERROR_PREFIX "InvalidArgument", "write at most 86400");
	fails(CALL(f, "GetMemoryStats", "s", "vm"), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");
	fails(CALL(f, "GetMmuStats", "s", "vm"), VMMD_ERROR_PREFIX "OperationInvalid",
		"domain is not running");

	fixture_start(f, d);
	has_number(CALL(f, "GetMemoryStats", "s", "vm"), "actual", 16384);
	ok(CALL(f, "SetMemory", "stu", "vm", UINT64_C(12288), 3));
	RUN_UNTIL(f, saw_signal("balloon-change vm 12288KiB"));
	assert_non_null(strstr(d->definition->xml, "<currentMemory unit='KiB'>12288<"));
	/* It survives a daemon and a restart of the guest. */
	assert_non_null(strstr(d->running->xml, "<currentMemory unit='KiB'>12288<"));
	assert_int_equal(d->live->vm.current_memory_kib, 12288);
	assert_int_equal(domain_format_xml(d, false, &xml, &f->error), 0);
	assert_non_null(strstr(xml, "<currentMemory unit='KiB'>12288<"));
	has_number(CALL(f, "GetDomain", "s", "vm"), "current_memory_kib", 12288);
	has_number(CALL(f, "GetDomainStats", "asu", 1, "vm", 4), "balloon.current", 12288);
	has_number(CALL(f, "GetMemoryStats", "s", "vm"), "unused", 1000);
	has_number(CALL(f, "GetMemoryStats", "s", "vm"), "available", 2000);
	has_number(CALL(f, "GetMemoryStats", "s", "vm"), "major_fault", 3);
	assert_true(has_key(CALL(f, "GetMmuStats", "s", "vm"), "paging"));
	has_number(CALL(f, "GetMmuStats", "s", "vm"), "pages_4k", 300);
	has_number(CALL(f, "GetMmuStats", "s", "vm"), "pf_taken", 3000);
	assert_false(has_key(CALL(f, "GetMmuStats", "s", "vm"), "pages_1g"));
	assert_true(has_key(CALL(f, "GetMemoryStats", "s", "vm"), "last_update"));
	assert_false(has_key(CALL(f, "GetMemoryStats", "s", "vm"), "swap_in"));
	has_number(CALL(f, "GetDomainStats", "asu", 1, "vm", 4), "balloon.available", 2000);
	ok(CALL(f, "SetMemoryStatsPeriod", "suu", "vm", 9, 1));
	assert_non_null(strstr(d->running->xml, "<stats period='9'/>"));
	assert_non_null(strstr(d->definition->xml, "<stats period='7'/>"));
	fails(CALL(f, "SetMemory", "stu", "vm", UINT64_C(16388), 1),
		VMMD_ERROR_PREFIX "InvalidArgument", "cannot set memory higher than max memory");
	fails(CALL(f, "SetMaxMemory", "stu", "vm", UINT64_C(32768), 0),
		VMMD_ERROR_PREFIX "OperationInvalid",
		"cannot resize the maximum memory on an active domain");
}

/* Guests that do not answer, or have no balloon. */
static void test_no_memory_stats(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, fixture_define(f, "deaf", "fake=no-stats", ""));
	fixture_start(f, fixture_define(f, "blind", "fake=no-mmu", ""));
	fails(CALL(f, "GetMmuStats", "s", "blind"), VMMD_ERROR_PREFIX "NotSupported",
		"cannot tell what KVM's MMU does");
	has_number(CALL(f, "GetMemoryStats", "s", "deaf"), "last_update", 0);
	fixture_start(f, fixture_define(f, "mute", "fake=mute-stats", ""));
	has_number(CALL(f, "GetMemoryStats", "s", "mute"), "last_update", 0);
	f->devices = "<memballoon model='none'/>";
	fixture_start(f, fixture_define(f, "none", "", ""));
	assert_false(has_key(CALL(f, "GetMemoryStats", "s", "none"), "last_update"));
	has_number(CALL(f, "GetMemoryStats", "s", "none"), "actual", 16384);
	fails(CALL(f, "SetMemory", "stu", "none", UINT64_C(8192), 0),
		VMMD_ERROR_PREFIX "OperationInvalid", "without the balloon device");
	fails(CALL(f, "SetMemoryStatsPeriod", "suu", "none", 1, 2),
		VMMD_ERROR_PREFIX "OperationInvalid", "must be virtio");
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
	int fd;

	ok(sd_bus_message_ref(m));
	assert_true(sd_bus_message_read(m, "h", &fd) > 0);
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
		T(test_tune),
		T(test_pins),
		T(test_vcpus),
		T(test_limits),
		T(test_memory),
		T(test_no_memory_stats),
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
