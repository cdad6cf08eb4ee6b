/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The domains of the canned vmmd (fake-vmmd.h) and what its methods answer. */
#include "tests/fakes/fake-vmmd-internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/names.h"

static const char error_no_domain[] = VMMD_ERROR_PREFIX "NoDomain";
static const char error_invalid[] = VMMD_ERROR_PREFIX "OperationInvalid";

static void copy_text(char *dst, size_t size, const char *src, size_t len)
{
	(void)snprintf(dst, size, "%.*s", (int)MIN(len, size - 1), src);
}

static struct fake_domain *find(struct fake *f, const char *key)
{
	struct fake_domain *d;
	char id[16];

	FOREACH_ELEMENT (d, f->domains) {
		(void)snprintf(id, sizeof(id), "%d", d->id);
		if (d->used &&
			((d->id >= 0 && streq(id, key)) || streq(d->name, key) ||
				strcasecmp(d->uuid, key) == 0))
			return d;
	}
	return NULL;
}

static void emit(struct fake *f, const struct fake_domain *d, const char *event, const char *detail,
	const char *reason)
{
	f->sequence++;
	for (size_t i = 0; i < MAX_BUSES; i++)
		if (f->buses[i])
			(void)sd_bus_emit_signal(f->buses[i], VMMD_BUS_PATH, VMMD_BUS_INTERFACE,
				"DomainEvent", "ssssst", event, d->name, d->uuid, detail, reason,
				f->sequence);
}

static void set_off(struct fake *f, struct fake_domain *d, const char *reason, const char *event)
{
	d->id = -1;
	d->state = "shut off";
	d->reason = reason;
	emit(f, d, "lifecycle", "Stopped", event);
	if (!d->persistent)
		d->used = false;
}

/* "<name>x</name>" */
static bool element(const char *xml, const char *tag, char *ret, size_t size)
{
	char open[32], close[32];
	const char *a, *b;

	(void)snprintf(open, sizeof(open), "<%s>", tag);
	(void)snprintf(close, sizeof(close), "</%s>", tag);
	a = strstr(xml, open);
	b = a ? strstr(a, close) : NULL;
	if (!b)
		return false;
	a += strlen(open);
	copy_text(ret, size, a, (size_t)(b - a));
	return true;
}

struct fake_domain *fake_add(struct fake *f, const char *xml, int id)
{
	char name[64], uuid[UUID_STRING_LEN + 1];
	struct fake_domain *d;

	if (!element(xml, "name", name, sizeof(name)))
		return NULL;
	d = find(f, name);
	for (size_t i = 0; !d && i < MAX_DOMAINS; i++)
		if (!f->domains[i].used)
			d = &f->domains[i];
	if (!d)
		return NULL;
	if (!d->used)
		*d = (struct fake_domain){.used = true,
			.id = id,
			.state = id < 0 ? "shut off" : "running",
			.reason = id < 0 ? "unknown" : "booted"};
	strcpy(d->name, name);
	if (element(xml, "uuid", uuid, sizeof(uuid)))
		strcpy(d->uuid, uuid);
	else if (!d->uuid[0])
		(void)snprintf(d->uuid, sizeof(d->uuid), "00000000-0000-4000-8000-%012x",
			(unsigned)(d - f->domains));
	(void)element(xml, "title", d->title, sizeof(d->title));
	if (!element(xml, "source", d->disk, sizeof(d->disk)))
		(void)snprintf(d->disk, sizeof(d->disk), "/var/lib/vmmd/%s.img", name);
	free(d->xml);
	d->xml = strdup(xml);
	return d;
}

static int no_domain(sd_bus_error *error, const char *name)
{
	return sd_bus_error_setf(error, error_no_domain,
		"Domain not found: no domain with matching name '%s'", name);
}

struct fake_domain *fake_read_domain(struct fake *f, sd_bus_message *m, sd_bus_error *error)
{
	struct fake_domain *d;
	const char *name;

	if (sd_bus_message_read(m, "s", &name) < 0)
		return NULL;
	d = find(f, name);
	if (!d)
		(void)no_domain(error, name);
	return d;
}

static int append_string(sd_bus_message *m, const char *key, const char *value)
{
	return sd_bus_message_append(m, "{sv}", key, "s", value);
}

static int append_bool(sd_bus_message *m, const char *key, bool value)
{
	return sd_bus_message_append(m, "{sv}", key, "b", (int)value);
}

static int append_number(sd_bus_message *m, const char *key, int64_t value)
{
	return sd_bus_message_append(m, "{sv}", key, "x", value);
}

static void append_domain(sd_bus_message *m, const struct fake_domain *d, bool detailed)
{
	(void)sd_bus_message_open_container(m, 'a', "{sv}");
	(void)append_string(m, "name", d->name);
	(void)append_string(m, "uuid", d->uuid);
	(void)append_number(m, "id", d->id);
	(void)append_string(m, "state", d->state);
	(void)append_string(m, "reason", d->reason);
	(void)append_bool(m, "persistent", d->persistent);
	(void)append_bool(m, "autostart", d->autostart);
	(void)append_string(m, "title", d->title);
	(void)append_bool(m, "managed_save", false);
	if (detailed) {
		(void)append_string(m, "os_type", "hvm");
		(void)append_number(m, "vcpus", 1);
		(void)append_number(m, "memory_kib", 262144);
		(void)append_number(m, "current_memory_kib", 262144);
		(void)append_number(m, "cpu_time_ns", d->id >= 0 ? 5600000000 : 0);
	}
	(void)sd_bus_message_close_container(m);
}

static int on_ping(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	(void)opaque;
	(void)error;
	return sd_bus_reply_method_return(m, "");
}

static int on_list(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct fake *f = opaque;
	struct fake_domain *d;
	uint32_t flags;

	(void)error;
	(void)sd_bus_message_read(m, "u", &flags);
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	FOREACH_ELEMENT (d, f->domains)
		if (d->used && (flags == 0 || flags & (d->id >= 0 ? 1U : 2U)))
			append_domain(reply, d, false);
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

static bool is_listed(const struct fake_domain *d, uint32_t flags)
{
	return d->used && (flags == 0 || flags & (d->id >= 0 ? 1U : 2U));
}

static int on_list_names(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct fake *f = opaque;
	struct fake_domain *d;
	uint32_t flags;

	(void)error;
	(void)sd_bus_message_read(m, "u", &flags);
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "s");
	FOREACH_ELEMENT (d, f->domains)
		if (is_listed(d, flags))
			(void)sd_bus_message_append(reply, "s", d->name);
	(void)sd_bus_message_close_container(reply);
	(void)sd_bus_message_open_container(reply, 'a', "s");
	FOREACH_ELEMENT (d, f->domains)
		if (is_listed(d, flags))
			(void)sd_bus_message_append(reply, "s", d->uuid);
	(void)sd_bus_message_close_container(reply);
	(void)sd_bus_message_open_container(reply, 'a', "i");
	FOREACH_ELEMENT (d, f->domains)
		if (is_listed(d, flags))
			(void)sd_bus_message_append(reply, "i", (int32_t)d->id);
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

static int on_get(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct fake_domain *d = fake_read_domain(opaque, m, error);

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_new_method_return(m, &reply);
	append_domain(reply, d, true);
	return sd_bus_send(NULL, reply, NULL);
}

static int on_get_xml(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_domain *d = fake_read_domain(opaque, m, error);

	return d ? sd_bus_reply_method_return(m, "s", d->xml) : -ENOENT;
}

static int on_define(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	bool create = streq(sd_bus_message_get_member(m), "CreateDomain");
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct fake *f = opaque;
	struct fake_domain *d;
	const char *xml, *source;
	uint32_t flags;

	(void)sd_bus_message_read(m, "ssu", &xml, &source, &flags);
	if (fake_refuse(xml, source, flags & 1, error))
		return -EINVAL;
	d = fake_add(f, xml, create ? ++f->last_id : -1);
	if (!d)
		return sd_bus_error_set(
			error, VMMD_ERROR_PREFIX "XmlError", "XML error: missing name");
	if (create) {
		d->state = flags & 2 ? "paused" : "running";
		emit(f, d, "lifecycle", "Started", "Booted");
	} else {
		d->persistent = true;
		emit(f, d, "lifecycle", "Defined", "Added");
	}
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_append(reply, "s", d->name);
	fake_append_report(reply, xml);
	return sd_bus_send(NULL, reply, NULL);
}

static int on_check(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_(sd_bus_error_free) sd_bus_error why = SD_BUS_ERROR_NULL;
	const char *xml, *source;
	uint32_t flags;
	bool refused;

	(void)opaque;
	(void)error;
	(void)sd_bus_message_read(m, "ssu", &xml, &source, &flags);
	refused = fake_refuse(xml, source, flags & 1, &why);
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_append(reply, "bs", !refused, why.message ?: "");
	fake_append_report(reply, xml);
	return sd_bus_send(NULL, reply, NULL);
}

static int on_undefine(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_domain *d = fake_read_domain(opaque, m, error);

	if (!d)
		return -ENOENT;
	if (d->id >= 0)
		d->persistent = false;
	else
		d->used = false;
	emit(opaque, d, "lifecycle", "Undefined", "Removed");
	return sd_bus_reply_method_return(m, "");
}

static int on_start(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake *f = opaque;
	struct fake_domain *d = fake_read_domain(f, m, error);
	uint32_t flags = 0;

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_read(m, "u", &flags);
	if (d->id >= 0)
		return sd_bus_error_set(error, error_invalid,
			"Requested operation is not valid: domain is already running");
	if (streq(d->name, "die"))
		_exit(1);
	if (streq(d->name, "mute"))
		return 1;
	d->id = ++f->last_id;
	d->state = flags & 2 ? "paused" : "running";
	d->reason = flags & 2 ? "user" : "booted";
	emit(f, d, "lifecycle", "Started", "Booted");
	return sd_bus_reply_method_return(m, "");
}

struct delayed {
	struct fake *fake;
	struct fake_domain *domain;
};

static int on_shutdown_done(sd_event_source *source, uint64_t usec, void *opaque)
{
	struct delayed *job = opaque;
	struct fake_domain *d = job->domain;

	(void)source;
	(void)usec;
	if (streq(d->name, "panicky")) {
		d->state = "crashed";
		d->reason = "panicked";
		emit(job->fake, d, "lifecycle", "Crashed", "Panicked");
	} else {
		emit(job->fake, d, "lifecycle", "Shutdown", "Finished");
		set_off(job->fake, d, "shutdown", "Shutdown");
	}
	free(job);
	return 0;
}

static int on_shutdown(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake *f = opaque;
	struct fake_domain *d = fake_read_domain(f, m, error);
	struct delayed *job;

	if (!d)
		return -ENOENT;
	if (d->id < 0)
		return sd_bus_error_set(error, error_invalid,
			"Requested operation is not valid: domain is not running");
	if (streq(d->name, "die"))
		_exit(1);
	if (!streq(d->name, "stubborn")) {
		job = calloc(1, sizeof(*job));
		if (!job)
			return -ENOMEM;
		*job = (struct delayed){f, d};
		(void)sd_event_add_time_relative(
			f->loop, NULL, CLOCK_MONOTONIC, 50 * 1000, 1, on_shutdown_done, job);
	}
	return sd_bus_reply_method_return(m, "");
}

/* Suspend, Resume, Reset, Reboot, Destroy: by the method's name. */
static int on_change(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const char *method = sd_bus_message_get_member(m);
	struct fake *f = opaque;
	struct fake_domain *d = fake_read_domain(f, m, error);

	if (!d)
		return -ENOENT;
	if (d->id < 0)
		return sd_bus_error_set(error, error_invalid,
			"Requested operation is not valid: domain is not running");
	if (streq(method, "SuspendDomain")) {
		d->state = "paused";
		d->reason = "user";
		emit(f, d, "lifecycle", "Suspended", "Paused");
	} else if (streq(method, "ResumeDomain")) {
		d->state = "running";
		d->reason = "unpaused";
		emit(f, d, "lifecycle", "Resumed", "Unpaused");
	} else if (streq(method, "DestroyDomain")) {
		set_off(f, d, "destroyed", "Destroyed");
	} else {
		emit(f, d, "reboot", "", "");
	}
	return sd_bus_reply_method_return(m, "");
}

static int on_autostart(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake_domain *d = fake_read_domain(opaque, m, error);
	int on = 0;

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_read(m, "b", &on);
	if (!d->persistent)
		return sd_bus_error_set(error, error_invalid,
			"Requested operation is not valid: cannot set autostart for transient "
			"domain");
	d->autostart = on;
	return sd_bus_reply_method_return(m, "");
}

/* The guest behind a console: says what it hears in capitals, closes at "quit". */
static int on_console_input(sd_event_source *source, int fd, uint32_t events, void *opaque)
{
	char buf[256];
	ssize_t n = read(fd, buf, sizeof(buf));
	bool quit;

	(void)events;
	(void)opaque;
	quit = n <= 0 || memmem(buf, (size_t)n, "quit", 4);
	for (ssize_t i = 0; i < n; i++)
		buf[i] = (char)toupper((unsigned char)buf[i]);
	if (n > 0)
		(void)!write(fd, buf, (size_t)n);
	if (quit) {
		(void)close(fd);
		(void)sd_event_source_disable_unref(source); /* on_console() left it to us */
	}
	return 0;
}

static int on_resize(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake *f = opaque;
	struct fake_domain *d = fake_read_domain(f, m, error);
	const char *device;
	uint32_t cols, rows;

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_read(m, "suu", &device, &cols, &rows);
	(void)dprintf(f->console_fd, "%s of %s is %ux%u\n", device, d->name, cols, rows);
	return sd_bus_reply_method_return(m, "");
}

static int on_console(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	struct fake *f = opaque;
	struct fake_domain *d = fake_read_domain(f, m, error);
	sd_event_source *source;
	int fds[2], r;
	const char *device;
	uint32_t flags;

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_read(m, "su", &device, &flags);
	if (*device && !streq(device, "serial0"))
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
			"invalid argument: no character device '%s'", device);
	if (streq(d->name, "busy") && !(flags & 1))
		return sd_bus_error_set(error, VMMD_ERROR_PREFIX "OperationFailed",
			"operation failed: Active console session exists for this domain");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	f->console_fd = fds[0];
	(void)!write(fds[0], "login: ", 7);
	(void)sd_event_add_io(f->loop, &source, fds[0], 1 /* EPOLLIN */, on_console_input, NULL);
	r = sd_bus_reply_method_return(m, "h", fds[1]);
	(void)close(fds[1]);
	return r;
}

static int on_disks(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	struct fake_domain *d = fake_read_domain(opaque, m, error);

	if (!d)
		return -ENOENT;
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	(void)sd_bus_message_open_container(reply, 'a', "{sv}");
	(void)append_string(reply, "type", "file");
	(void)append_string(reply, "device", "disk");
	(void)append_string(reply, "target", "vda");
	(void)append_string(reply, "source", d->disk);
	(void)sd_bus_message_close_container(reply);
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

static void append_stats(sd_bus_message *m, const struct fake_domain *d, uint32_t groups)
{
	bool on = d->id >= 0;

	(void)sd_bus_message_open_container(m, 'a', "{sv}");
	(void)append_string(m, "name", d->name);
	(void)append_string(m, "uuid", d->uuid);
	(void)sd_bus_message_open_container(m, 'e', "sv");
	(void)sd_bus_message_append(m, "s", "stats");
	(void)sd_bus_message_open_container(m, 'v', "a{sv}");
	(void)sd_bus_message_open_container(m, 'a', "{sv}");
	if (!groups || groups & 1) {
		(void)append_number(m, "state.state", on ? 1 : 5);
		(void)append_number(m, "state.reason", 1);
	}
	if (on && (!groups || groups & 2))
		(void)append_number(m, "cpu.time", 5620000000);
	if (!groups || groups & 4) {
		(void)append_number(m, "balloon.current", 262144);
		(void)append_number(m, "balloon.maximum", 262144);
		if (on)
			(void)append_number(m, "balloon.rss", 50516);
	}
	if (!groups || groups & 8) {
		(void)append_number(m, "vcpu.current", 1);
		(void)append_number(m, "vcpu.maximum", 2);
		if (on)
			(void)append_bool(m, "vcpu.0.guest_mode.cur", false);
	}
	if (on && groups & 4096) {
		(void)append_number(m, "pressure.cpu.some.time", 1500000000);
		(void)append_number(m, "pressure.steal.time", 2500000001);
		(void)append_string(m, "pressure.missing", "it is a test's");
	}
	(void)sd_bus_message_close_container(m);
	(void)sd_bus_message_close_container(m);
	(void)sd_bus_message_close_container(m);
	(void)sd_bus_message_close_container(m);
}

static int on_stats(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	bool wanted[MAX_DOMAINS] = {}, all = true;
	struct fake *f = opaque;
	const char *name;
	uint32_t groups;

	(void)sd_bus_message_enter_container(m, 'a', "s");
	while (sd_bus_message_read(m, "s", &name) > 0) {
		struct fake_domain *d = find(f, name);

		if (!d)
			return no_domain(error, name);
		wanted[d - f->domains] = true;
		all = false;
	}
	(void)sd_bus_message_exit_container(m);
	(void)sd_bus_message_read(m, "u", &groups);
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	for (size_t i = 0; i < MAX_DOMAINS; i++)
		if (f->domains[i].used && (all || wanted[i]))
			append_stats(reply, &f->domains[i], groups);
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

static int on_host(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const char *method = sd_bus_message_get_member(m);

	(void)opaque;
	(void)error;
	if (streq(method, "GetCapabilities"))
		return sd_bus_reply_method_return(
			m, "s", "<capabilities>\n\n  <host>\n  </host>\n\n</capabilities>\n");
	if (streq(method, "GetDomainCapabilities"))
		return sd_bus_reply_method_return(m, "s", "<domainCapabilities/>\n");
	if (streq(method, "GetHostname"))
		return sd_bus_reply_method_return(m, "s", "vm");
	if (streq(method, "GetVersion"))
		return sd_bus_reply_method_return(m, "a{sv}", 3, "daemon", "s", "0.1.0", "api", "s",
			"0.1.0", "hypervisor", "s", "0.1.0");
	return sd_bus_reply_method_return(m, "a{sv}", 14, "model", "s", "x86_64", "memory_kib", "x",
		(int64_t)6252748, "cpus", "x", (int64_t)2, "mhz", "x", (int64_t)2596, "nodes", "x",
		(int64_t)1, "sockets", "x", (int64_t)1, "cores", "x", (int64_t)2, "threads", "x",
		(int64_t)1, "domains_memory_kib", "x", (int64_t)4259840, "memory_limit_kib", "x",
		(int64_t)6291456, "paging", "s", "ept", "halt_poll_ns", "x", (int64_t)200000,
		"core_scheduling", "s", "yes", "pressure", "s", "yes");
}

static int on_cpu_models(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const char *arch;

	(void)opaque;
	(void)sd_bus_message_read(m, "s", &arch);
	if (!streq(arch, "x86_64"))
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
			"invalid argument: cannot find architecture %s", arch);
	return sd_bus_reply_method_return(m, "as", 2, "x86-64-v1", "Haswell");
}

/* A host that has Haswell and all before it. */
static int on_compare_cpu(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	const char *xml;
	uint32_t flags;

	(void)opaque;
	(void)sd_bus_message_read(m, "s", &xml);
	if (streq(sd_bus_message_get_member(m), "CompareHypervisorCpu"))
		(void)sd_bus_message_skip(m, "ssss");
	(void)sd_bus_message_read(m, "u", &flags);
	if (!strstr(xml, ">EPYC<"))
		return sd_bus_reply_method_return(m, "u", strstr(xml, ">Haswell<") ? 1U : 2U);
	if (!(flags & 1))
		return sd_bus_reply_method_return(m, "u", 0U);
	return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "CpuIncompatible",
		"the CPU is incompatible with host CPU: Host CPU does not provide required "
		"features: sse4a");
}

static int on_baseline_cpu(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	char **documents = NULL;
	uint32_t flags;
	bool good;

	(void)opaque;
	if (streq(sd_bus_message_get_member(m), "BaselineHypervisorCpu"))
		(void)sd_bus_message_skip(m, "ssss");
	(void)sd_bus_message_read_strv(m, &documents);
	(void)sd_bus_message_read(m, "u", &flags);
	good = documents && documents[0] && strstr(documents[0], "<model>");
	for (size_t i = 0; documents && documents[i]; i++)
		free(documents[i]);
	free(documents);
	if (!good)
		return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "InvalidArgument",
			"invalid argument: no CPU model specified at index 0");
	return sd_bus_reply_method_return(m, "s",
		flags & 1 ? "<cpu>\n  <feature policy='require' name='fpu'/>\n</cpu>\n"
			  : "<cpu>\n</cpu>\n");
}

static int on_boot_report(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	static const struct {
		const char *stage, *about;
		uint64_t took, at;
	} stages[] = {{"resources", "images and such", 4200, 4200}, {"enter", "guest", 31, 4231}};
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

	if (!fake_read_domain(opaque, m, error))
		return -ENOENT;
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
		(void)sd_bus_message_append(reply, "a{sv}", 4, "stage", "s", stages[i].stage,
			"about", "s", stages[i].about, "took_us", "t", stages[i].took, "at_us", "t",
			stages[i].at);
	(void)sd_bus_message_close_container(reply);
	(void)sd_bus_message_append(reply, "t", UINT64_C(4231));
	return sd_bus_send(NULL, reply, NULL);
}

/* A host whose clock is wrong and that has no KVM. */
static int on_diagnose(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	static const char *const findings[][4] = {
		{"kvm", "problem", "there is no /dev/kvm: no domain can start",
			"Switch on virtualization."},
		{"clock", "warning", "the host's clock is not synchronised", "Run a time service."},
		{"space", "ok", "what runs: 100 MiB are free", ""},
	};
	static const char *const keys[] = {"check", "verdict", "text", "remedy"};
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

	(void)opaque;
	(void)error;
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	for (size_t i = 0; i < ARRAY_SIZE(findings); i++) {
		(void)sd_bus_message_open_container(reply, 'a', "{sv}");
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			(void)append_string(reply, keys[k], findings[i][k]);
		(void)sd_bus_message_close_container(reply);
	}
	(void)sd_bus_message_close_container(reply);
	return sd_bus_send(NULL, reply, NULL);
}

#define METHOD(name, in, out, handler)                                                             \
	SD_BUS_METHOD(name, in, out, handler, SD_BUS_VTABLE_UNPRIVILEGED)

const sd_bus_vtable fake_vtable[] = {
	SD_BUS_VTABLE_START(0),
	METHOD("Ping", "", "", on_ping),
	METHOD("ListDomains", "u", "aa{sv}", on_list),
	METHOD("ListDomainNames", "u", "asasai", on_list_names),
	METHOD("GetDomain", "s", "a{sv}", on_get),
	METHOD("GetDomainXml", "su", "s", on_get_xml),
	METHOD("DefineDomain", "ssu", "saa{sv}", on_define),
	METHOD("CreateDomain", "ssu", "saa{sv}", on_define),
	METHOD("CheckDomain", "ssu", "bsaa{sv}", on_check),
	METHOD("PlanDefinitions", "asasu", "aa{sv}s", fake_on_plan),
	METHOD("ApplyDefinitions", "asasus", "aa{sv}", fake_on_apply),
	METHOD("UndefineDomain", "su", "", on_undefine),
	METHOD("StartDomain", "su", "", on_start),
	METHOD("ShutdownDomain", "s", "", on_shutdown),
	METHOD("RebootDomain", "s", "", on_change),
	METHOD("ResetDomain", "s", "", on_change),
	METHOD("DestroyDomain", "su", "", on_change),
	METHOD("SuspendDomain", "s", "", on_change),
	METHOD("ResumeDomain", "s", "", on_change),
	METHOD("SetAutostart", "sb", "", on_autostart),
	METHOD("OpenConsole", "ssu", "h", on_console),
	METHOD("ResizeConsole", "ssuu", "", on_resize),
	METHOD("OpenCapture", "ssuu", "ht", fake_on_capture),
	METHOD("OpenNetworkCapture", "ssuu", "ht", fake_on_capture),
	METHOD("ListDomainDisks", "su", "aa{sv}", on_disks),
	METHOD("GetDomainStats", "asu", "aa{sv}", on_stats),
	METHOD("GetCapabilities", "", "s", on_host),
	METHOD("GetDomainCapabilities", "ssssu", "s", on_host),
	METHOD("GetCpuModels", "s", "as", on_cpu_models),
	METHOD("CompareCpu", "su", "u", on_compare_cpu),
	METHOD("CompareHypervisorCpu", "sssssu", "u", on_compare_cpu),
	METHOD("BaselineCpu", "asu", "s", on_baseline_cpu),
	METHOD("BaselineHypervisorCpu", "ssssasu", "s", on_baseline_cpu),
	METHOD("GetHostname", "", "s", on_host),
	METHOD("GetVersion", "", "a{sv}", on_host),
	METHOD("GetBootReport", "s", "aa{sv}t", on_boot_report),
	METHOD("Diagnose", "", "aa{sv}", on_diagnose),
	METHOD("GetNodeInfo", "", "a{sv}", on_host),
	METHOD("ListNetworks", "", "aa{sv}", fake_on_list_networks),
	METHOD("GetNetwork", "s", "a{sv}", fake_on_get_network),
	METHOD("GetNetworkXml", "su", "s", fake_on_get_network),
	METHOD("DefineNetwork", "ssu", "saa{sv}", fake_on_define_network),
	METHOD("CreateNetwork", "ssu", "saa{sv}", fake_on_define_network),
	METHOD("UndefineNetwork", "s", "", fake_on_change_network),
	METHOD("StartNetwork", "s", "", fake_on_change_network),
	METHOD("DestroyNetwork", "s", "", fake_on_change_network),
	METHOD("SetNetworkAutostart", "sb", "", fake_on_change_network),
	METHOD("UpdateNetwork", "suuussu", "", fake_on_update_network),
	METHOD("ListNetworkForwards", "su", "aa{sv}", fake_on_list_forwards),
	METHOD("ListNetworkPorts", "s", "aa{sv}", fake_on_list_ports),
	METHOD("GetTeam", "s", "a{sv}", fake_on_team),
	METHOD("GetTeamReports", "su", "aa{sv}", fake_on_team),
	METHOD("TestTeam", "ssuu", "a{sv}", fake_on_team),
	METHOD("ListNetworkLeases", "s", "aa{sv}", fake_on_list_leases),
	METHOD("AttachDevice", "sssu", "aa{sv}", fake_on_attach),
	METHOD("DetachDevice", "sssu", "b", fake_on_detach),
	METHOD("ListDomainInterfaces", "su", "aa{sv}", fake_on_list_interfaces),
	METHOD("ListInterfaceAddresses", "s", "aa{sv}", fake_on_list_addresses),
	METHOD("SetInterfaceLink", "ssb", "", fake_on_set_link),
	METHOD("SetInterfaceTune", "ssssu", "", fake_on_set_tune),
	METHOD("UpdateDevice", "sssu", "", fake_on_update_memory),
	METHOD("UpdateMemoryDevice", "ssutu", "", fake_on_update_memory),
	METHOD("SetMemory", "stu", "", fake_on_set_memory),
	METHOD("SetMaxMemory", "stu", "", fake_on_set_memory),
	METHOD("SetMemoryStatsPeriod", "suu", "", fake_on_set_stats_period),
	METHOD("GetMemoryStats", "s", "a{sv}", fake_on_memory_stats),
	METHOD("GetNumaTune", "su", "a{sv}", fake_on_get_numa_tune),
	METHOD("SetNumaTune", "sasu", "", fake_on_set_numa_tune),
	METHOD("AllocPages", "utsu", "", fake_on_alloc_pages),
	METHOD("GetNodeMemory", "", "a{sv}", fake_on_node_memory),
	METHOD("GetMmuStats", "s", "a{sv}", fake_on_mmu_stats),
	METHOD("GetMemoryPolicy", "", "a{sv}aa{sv}aa{sv}", fake_on_get_policy),
	METHOD("SetMemoryPolicy", "b", "", fake_on_set_policy),
	METHOD("ListVcpus", "su", "aa{sv}", fake_on_list_vcpus),
	METHOD("SetVcpus", "suu", "b", fake_on_set_vcpus),
	METHOD("SetVcpuPin", "susu", "", fake_on_set_pin),
	METHOD("SetEmulatorPin", "ssu", "", fake_on_set_pin),
	METHOD("ListIothreads", "su", "aa{sv}", fake_on_list_iothreads),
	METHOD("AddIothread", "suu", "", fake_on_set_iothread),
	METHOD("DeleteIothread", "suu", "", fake_on_set_iothread),
	METHOD("SetIothreadPin", "susu", "", fake_on_set_iothread),
	METHOD("GetCpuTune", "su", "a{sv}", fake_on_get_tune),
	METHOD("SetCpuTune", "sasu", "", fake_on_set_cpu_tune),
	METHOD("GetMemoryTune", "su", "a{sv}", fake_on_get_tune),
	METHOD("SetMemoryTune", "sasu", "", fake_on_set_cpu_tune),
	METHOD("ListJobs", "u", "aa{sv}", fake_on_list_jobs),
	METHOD("GetJob", "t", "a{sv}", fake_on_job),
	METHOD("WaitJob", "tu", "a{sv}", fake_on_job),
	METHOD("CancelJob", "t", "", fake_on_cancel_job),
	SD_BUS_SIGNAL("DomainEvent", "ssssst", 0),
	SD_BUS_VTABLE_END,
};
