/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmmd's other interface as a side of bench-daemons (daemons.h): D-Bus, by sd-bus and the daemon's own socket, as vmctl does it by default. The
 * daemon is daemons-vmmd.c's. */
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "tests/bench/daemons.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

#define WINDOW 64U

static sd_bus *bus;
static char started[64];

static int on_event(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	const char *event, *name, *uuid, *detail;

	(void)userdata;
	(void)ret_error;
	if (sd_bus_message_read(m, "ssss", &event, &name, &uuid, &detail) >= 0 &&
		streq(event, "lifecycle") && streq(detail, "Started"))
		(void)str_copy(started, sizeof(started), name);
	return 0;
}

static void dbus_close(void)
{
	bus = sd_bus_flush_close_unref(bus);
}

static sd_bus_message *new_call(const char *method)
{
	sd_bus_message *m;

	if (sd_bus_message_new_method_call(
		    bus, &m, VMMD_BUS_NAME, VMMD_BUS_PATH, VMMD_BUS_INTERFACE, method) < 0)
		die("D-Bus: out of memory");
	return m;
}

/* 'm' is taken over; the answer is the caller's. */
static sd_bus_message *call(sd_bus_message *m)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *answer;

	if (sd_bus_call(bus, m, 0, &error, &answer) < 0)
		die("D-Bus: %s: %s", sd_bus_message_get_member(m), error.message);
	sd_bus_message_unref(m);
	return answer;
}

static void call_domain(const char *method, const char *name)
{
	sd_bus_message *m = new_call(method);

	(void)sd_bus_message_append(m, "su", name, 0);
	sd_bus_message_unref(call(m));
}

static void dbus_define(const struct bench_domain *d)
{
	sd_bus_message *m = new_call("DefineDomain");
	char xml[2048];

	bench_xml(d, true, xml, sizeof(xml));
	(void)sd_bus_message_append(m, "ssu", xml, "", 0);
	sd_bus_message_unref(call(m));
}

static void dbus_undefine(const struct bench_domain *d)
{
	call_domain("UndefineDomain", d->name);
}

static void dbus_start(const struct bench_domain *d)
{
	call_domain("StartDomain", d->name);
}

static void dbus_destroy(const struct bench_domain *d)
{
	call_domain("DestroyDomain", d->name);
}

static double dbus_run(const struct bench_domain *d)
{
	sd_bus_slot *slot;
	double begin;

	if (sd_bus_match_signal(bus, &slot, VMMD_BUS_NAME, VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
		    "DomainEvent", on_event, NULL) < 0)
		die("D-Bus: no events");
	*started = 0;
	begin = now_ms();
	dbus_define(d);
	dbus_start(d);
	while (!streq(started, d->name))
		if (sd_bus_process(bus, NULL) == 0)
			(void)sd_bus_wait(bus, UINT64_MAX);
	begin = now_ms() - begin;
	sd_bus_slot_unref(slot);
	return begin;
}

static void dbus_null(void)
{
	sd_bus_message_unref(call(new_call("Ping")));
}

/* It is used at once: the bus closes connections that do not say hello. */
static void dbus_open(void)
{
	char address[300];

	(void)snprintf(
		address, sizeof(address), "unix:path=%s/vmmd-run/" VMMD_DBUS_NAME, bench.dir);
	if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_start(bus) < 0)
		die("D-Bus: cannot connect");
	dbus_null();
}

static int on_pong(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	unsigned *got = userdata;

	(void)ret_error;
	if (sd_bus_message_is_method_error(m, NULL))
		die("D-Bus: a Ping fails");
	++*got;
	return 0;
}

static double dbus_null_many(unsigned n)
{
	unsigned sent = 0, got = 0;
	double begin = now_ms();

	while (got < n) {
		while (sent < n && sent - got < WINDOW) {
			sd_bus_message *m = new_call("Ping");

			if (sd_bus_call_async(bus, NULL, m, on_pong, &got, 0) < 0)
				die("D-Bus: cannot call");
			sd_bus_message_unref(m);
			sent++;
		}
		if (sd_bus_process(bus, NULL) == 0)
			(void)sd_bus_wait(bus, UINT64_MAX);
	}
	return (now_ms() - begin) / 1e3;
}

static void dbus_info(const char *name)
{
	sd_bus_message *m = new_call("GetDomain");

	(void)sd_bus_message_append(m, "s", name);
	sd_bus_message_unref(call(m));
}

static void read_variant(sd_bus_message *m);

/* Each value is looked at, as whoever keeps them would. */
static void read_dict(sd_bus_message *m)
{
	const char *key;

	if (sd_bus_message_enter_container(m, 'a', "{sv}") < 0)
		die("D-Bus: no dictionary");
	while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
		if (sd_bus_message_read(m, "s", &key) < 0)
			die("D-Bus: no key");
		read_variant(m);
		(void)sd_bus_message_exit_container(m);
	}
	(void)sd_bus_message_exit_container(m);
}

static void read_variant(sd_bus_message *m)
{
	const char *contents;
	uint64_t value;

	if (sd_bus_message_peek_type(m, NULL, &contents) < 0 ||
		sd_bus_message_enter_container(m, 'v', contents) < 0)
		die("D-Bus: no variant");
	if (streq(contents, "a{sv}"))
		read_dict(m);
	else if (strlen(contents) == 1)
		(void)sd_bus_message_read_basic(m, *contents, &value);
	else
		(void)sd_bus_message_skip(m, contents);
	(void)sd_bus_message_exit_container(m);
}

static size_t count(sd_bus_message *answer)
{
	size_t n = 0;

	if (sd_bus_message_enter_container(answer, 'a', "a{sv}") < 0)
		die("D-Bus: no list");
	while (sd_bus_message_at_end(answer, false) == 0) {
		read_dict(answer);
		n++;
	}
	sd_bus_message_unref(answer);
	return n;
}

static size_t read_strings(sd_bus_message *answer)
{
	const char *s;
	size_t n = 0;

	if (sd_bus_message_enter_container(answer, 'a', "s") < 0)
		die("D-Bus: no list");
	while (sd_bus_message_read_basic(answer, 's', &s) > 0)
		n++;
	(void)sd_bus_message_exit_container(answer);
	return n;
}

static size_t dbus_list(void)
{
	sd_bus_message *m = new_call("ListDomainNames");
	const void *ids;
	size_t n, size;

	(void)sd_bus_message_append(m, "u", 0);
	m = call(m);
	n = read_strings(m);
	if (read_strings(m) != n || sd_bus_message_read_array(m, 'i', &ids, &size) < 0 ||
		size != n * sizeof(int32_t))
		die("D-Bus: columns of different lengths");
	sd_bus_message_unref(m);
	return n;
}

static size_t dbus_list_all(void)
{
	sd_bus_message *m = new_call("ListDomains");

	(void)sd_bus_message_append(m, "u", 0);
	return count(call(m));
}

static size_t dbus_stats(void)
{
	sd_bus_message *m = new_call("GetDomainStats");

	(void)sd_bus_message_append(m, "asu", 0, 0);
	return count(call(m));
}

const struct side_ops side_dbus = {
	.name = "vmmd, D-Bus",
	.is_vmmd = true,
	.open = dbus_open,
	.close = dbus_close,
	.run = dbus_run,
	.define = dbus_define,
	.undefine = dbus_undefine,
	.start = dbus_start,
	.destroy = dbus_destroy,
	.null = dbus_null,
	.null_many = dbus_null_many,
	.info = dbus_info,
	.list = dbus_list,
	.list_all = dbus_list_all,
	.stats = dbus_stats,
};
