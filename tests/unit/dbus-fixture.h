/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the D-Bus transport share: a server and a client at the two ends of a socketpair, without a bus daemon;
 * calls whose answers are waited for, and the signals that came. */
#pragma once

#include "daemon/dbus.h"

#include <sys/socket.h>

#include "daemon-fixture.h"
#include "daemon/api.h"
#include "daemon/dbus-internal.h"
#include "daemon/dbus-json.h"

static sd_bus *client;
static struct dbus *server;
static sd_bus *server_bus;
static unsigned n_signals, n_changes;
static char last_signal[256];

static inline int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *e)
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

static inline int on_network_signal(sd_bus_message *m, void *userdata, sd_bus_error *e)
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
static inline int on_job_signal(sd_bus_message *m, void *userdata, sd_bus_error *e)
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

static inline int on_changed(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	(void)m;
	(void)userdata;
	(void)e;
	n_changes++;
	return 0;
}

static inline void connect_client(struct fixture *f)
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

static inline int setup(void **state)
{
	fixture_setup(state);
	connect_client(*state);
	return 0;
}

static inline void disconnect(void)
{
	client = sd_bus_close_unref(client);
	server = dbus_free(server);
	server_bus = sd_bus_close_unref(server_bus);
}

static inline int teardown(void **state)
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

static inline int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *e)
{
	struct answer *a = userdata;

	(void)e;
	a->m = sd_bus_message_ref(m);
	return 0;
}

static inline sd_bus_message *call(struct fixture *f, const char *path, const char *interface,
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

static inline void ok(sd_bus_message *m)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);

	if (e)
		fail_msg("%s: %s", e->name, e->message);
	sd_bus_message_unref(m);
}

static inline void fails(sd_bus_message *m, const char *name, const char *message)
{
	const sd_bus_error *e = sd_bus_message_get_error(m);

	assert_true(e && streq(e->name, name));
	if (!e->message || !strstr(e->message, message))
		fail_msg("'%s' has no '%s'", e->message ?: "", message);
	sd_bus_message_unref(m);
}

/* What the answer says, as text. The caller frees it. Not inline: gcc 12 then takes the text for a local variable. */
static __attribute__((noinline, unused)) char *dump(sd_bus_message *m)
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

static inline bool has_key(sd_bus_message *m, const char *key)
{
	_cleanup_(freep) char *text = dump(m);
	char want[128];

	(void)snprintf(want, sizeof(want), "\"%s\"", key);
	return strstr(text, want);
}

static inline void has_number(sd_bus_message *m, const char *key, int64_t value)
{
	char *text = dump(m), *at, want[128];
	bool same;

	(void)snprintf(want, sizeof(want), "\"%s\"", key);
	at = strstr(text, want);
	if (at)
		at = strstr(at, "INT64");
	(void)snprintf(want, sizeof(want), "INT64 %lld;", (long long)value);
	same = at && strncmp(at, want, strlen(want)) == 0;
	free(text);
	assert_true(same);
}

/* The answer's first value, which the caller frees. */
static inline struct json_object *value_of(sd_bus_message *m, const char *signature)
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

static inline void expect_number(struct json_object *o, const char *key, int64_t want)
{
	struct json_object *v;

	assert_true(json_object_object_get_ex(o, key, &v));
	assert_int_equal(json_object_get_int64(v), want);
}

static inline const char *text_of(struct json_object *o, const char *key)
{
	return json_object_get_string(json_object_object_get(o, key));
}

static inline bool saw_signal(const char *part)
{
	return strstr(last_signal, part);
}
