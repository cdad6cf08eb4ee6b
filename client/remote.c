/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connecting to vmmd and calling it: see remote.h. The answers' way to JSON is in remote-json.c. */
#include "client/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static const char *wanted_uri(const struct ctl *ctl)
{
	const char *c = ctl->connect;

	if (!c || !*c)
		return geteuid() == 0 ? "vmmd:///system" : "vmmd:///session";
	if (streq(c, "system") || streq(c, "vmmd:///system"))
		return "vmmd:///system";
	if (streq(c, "session") || streq(c, "vmmd:///session"))
		return "vmmd:///session";
	return c;
}

const char *remote_uri(const struct ctl *ctl)
{
	return wanted_uri(ctl);
}

static int open_address(const char *address, bool peer, sd_bus **ret)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	int r;

	r = sd_bus_new(&bus);
	if (r < 0)
		return r;
	r = sd_bus_set_address(bus, address);
	if (r < 0)
		return r;
	r = sd_bus_set_bus_client(bus, !peer);
	if (r < 0)
		return r;
	r = sd_bus_negotiate_fds(bus, true);
	if (r < 0)
		return r;
	r = sd_bus_start(bus);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(bus);
	return 0;
}

static int open_bus(struct ctl *ctl, const char *uri)
{
	if (streq(uri, "vmmd:///system"))
		return sd_bus_open_system(&ctl->bus);
	if (streq(uri, "vmmd:///session"))
		return sd_bus_open_user(&ctl->bus);
	ctl->peer = has_prefix(uri, "p2p:");
	return open_address(ctl->peer ? uri + strlen("p2p:") : uri, ctl->peer, &ctl->bus);
}

static bool is_address(const char *uri)
{
	return has_prefix(uri, "p2p:") || has_prefix(uri, "unix:") ||
		has_prefix(uri, "unixexec:") || has_prefix(uri, "tcp:") ||
		streq(uri, "vmmd:///system") || streq(uri, "vmmd:///session");
}

static int connect_error(struct ctl *ctl, const char *uri, int r)
{
	if (streq(uri, "vmmd:///system"))
		return ctl_set_error(
			ctl, "Connect", "no system bus: %s; is dbus running?", strerror(-r));
	if (streq(uri, "vmmd:///session"))
		return ctl_set_error(ctl, "Connect",
			"no session bus: %s; is DBUS_SESSION_BUS_ADDRESS set?", strerror(-r));
	return ctl_set_error(ctl, "Connect", "cannot connect to '%s': %s", uri, strerror(-r));
}

static int ping_error(struct ctl *ctl, const char *uri)
{
	if (!ctl->error_code || !streq(ctl->error_code, "ServiceUnknown"))
		return -ENOTCONN;
	if (streq(uri, "vmmd:///system"))
		return ctl_set_error(ctl, "Connect",
			"no vmmd on the system bus; is vmmd running? systemctl start vmmd");
	if (streq(uri, "vmmd:///session"))
		return ctl_set_error(ctl, "Connect",
			"no vmmd on the session bus; is vmmd running? vmmd --session");
	return ctl_set_error(ctl, "Connect", "no vmmd on the bus at '%s'; is vmmd running?", uri);
}

int remote_connect(struct ctl *ctl)
{
	const char *uri = wanted_uri(ctl);
	int r;

	if (!is_address(uri))
		return ctl_set_error(ctl, "Connect",
			"cannot connect to '%s': use 'system', 'session' or the address of a bus",
			uri);
	r = open_bus(ctl, uri);
	if (r < 0)
		return connect_error(ctl, uri, r);
	(void)sd_bus_set_allow_interactive_authorization(ctl->bus, true);
	r = remote_call(ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, "");
	if (r < 0) {
		if (ctl->error_code && streq(ctl->error_code, "Disconnected"))
			return connect_error(ctl, uri, -ECONNRESET);
		(void)ping_error(ctl, uri);
		return r;
	}
	return 0;
}

/* What the bus itself answers, in our words. */
static int translate(struct ctl *ctl, const char *method, const sd_bus_error *e)
{
	static const char *const absent[] = {SD_BUS_ERROR_SERVICE_UNKNOWN,
		SD_BUS_ERROR_NAME_HAS_NO_OWNER, "org.freedesktop.DBus.Error.Spawn.ServiceNotFound"};
	static const char *const gone[] = {SD_BUS_ERROR_DISCONNECTED, "System.Error.ECONNRESET",
		"System.Error.ENOTCONN", "System.Error.EPIPE", "System.Error.ESHUTDOWN",
		/* The bus says this when the one who was to reply is gone; our own timeout has the
		 * name Timeout. */
		SD_BUS_ERROR_NO_REPLY};
	const char *const *p;

	FOREACH_ELEMENT (p, absent)
		if (sd_bus_error_has_name(e, *p))
			return ctl_set_error(ctl, "ServiceUnknown", "vmmd is not running");
	FOREACH_ELEMENT (p, gone)
		if (sd_bus_error_has_name(e, *p))
			return ctl_set_error(ctl, "Disconnected",
				"internal error: the connection to vmmd was lost");
	if (sd_bus_error_has_name(e, SD_BUS_ERROR_TIMEOUT) ||
		sd_bus_error_has_name(e, "System.Error.ETIMEDOUT"))
		return ctl_set_error(ctl, "Timeout",
			"Timed out during operation: vmmd did not answer %s", method);
	if (sd_bus_error_has_name(e, SD_BUS_ERROR_ACCESS_DENIED) ||
		sd_bus_error_has_name(e, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED))
		return ctl_set_error(
			ctl, "AccessDenied", "access denied: %s", e->message ?: method);
	if (sd_bus_error_has_name(e, SD_BUS_ERROR_UNKNOWN_METHOD))
		return ctl_set_error(ctl, "NotSupported",
			"Operation not supported: this vmmd has no %s", method);
	return ctl_set_error(
		ctl, "Internal", "internal error: %s", e->message ?: e->name ?: "unknown error");
}

static int call_failed(struct ctl *ctl, const char *method, const sd_bus_error *e)
{
	if (e->name && has_prefix(e->name, VMMD_ERROR_PREFIX))
		(void)ctl_set_error(ctl, e->name + strlen(VMMD_ERROR_PREFIX), "%s",
			e->message && *e->message ? e->message : "internal error: no message");
	else
		(void)translate(ctl, method, e);
	return -EREMOTEIO;
}

static int new_call(struct ctl *ctl, const char *method, sd_bus_message **ret)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_message_new_method_call(ctl->bus, ret, ctl->peer ? NULL : VMMD_BUS_NAME,
		VMMD_BUS_PATH, VMMD_BUS_INTERFACE, method);
	if (r >= 0)
		return 0;
	(void)sd_bus_error_set_errno(&error, r);
	return call_failed(ctl, method, &error);
}

/* -EINVAL is a string that D-Bus cannot carry: not UTF-8. */
static int append_failed(struct ctl *ctl, const char *method, int r)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

	if (r == -EINVAL)
		return ctl_set_error(
			ctl, "InvalidArgument", "invalid argument: the text is not valid UTF-8");
	(void)sd_bus_error_set_errno(&error, r);
	return call_failed(ctl, method, &error);
}

static int do_call(struct ctl *ctl, const char *method, sd_bus_message *m, uint64_t timeout_usec,
	sd_bus_message **ret_reply)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r;

	r = sd_bus_call(ctl->bus, m, timeout_usec, &error, ret_reply);
	if (r >= 0)
		return 0;
	if (!sd_bus_error_is_set(&error))
		(void)sd_bus_error_set_errno(&error, r);
	return call_failed(ctl, method, &error);
}

static int callv(struct ctl *ctl, const char *method, uint64_t timeout_usec,
	sd_bus_message **ret_reply, const char *types, va_list ap)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
	int r;

	r = new_call(ctl, method, &m);
	if (r < 0)
		return r;
	r = *types ? sd_bus_message_appendv(m, types, ap) : 0;
	if (r < 0)
		return append_failed(ctl, method, r);
	return do_call(ctl, method, m, timeout_usec, ret_reply);
}

static int bad_answer(struct ctl *ctl, const char *method, int r)
{
	return ctl_set_error(ctl, "Internal",
		"internal error: cannot read what vmmd answered to %s: %s", method, strerror(-r));
}

static int read_one(
	struct ctl *ctl, const char *method, sd_bus_message *reply, struct json_object **ret_value)
{
	_cleanup_(json_putp) struct json_object *all = NULL;
	int r;

	r = message_to_json(reply, &all);
	if (r >= 0 && json_object_array_length(all) != 1)
		r = -EBADMSG;
	if (r < 0)
		return bad_answer(ctl, method, r);
	*ret_value = json_object_get(json_object_array_get_idx(all, 0));
	return 0;
}

int remote_call(struct ctl *ctl, const char *method, uint64_t timeout_usec,
	struct json_object **ret_reply, const char *types, ...)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	va_list ap;
	int r;

	va_start(ap, types);
	r = callv(ctl, method, timeout_usec, &reply, types, ap);
	va_end(ap);
	if (r < 0 || !ret_reply)
		return r;
	r = message_to_json(reply, ret_reply);
	if (r < 0)
		return bad_answer(ctl, method, r);
	return 0;
}

int remote_call_one(
	struct ctl *ctl, const char *method, struct json_object **ret_value, const char *types, ...)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	va_list ap;
	int r;

	va_start(ap, types);
	r = callv(ctl, method, CTL_CALL_TIMEOUT_USEC, &reply, types, ap);
	va_end(ap);
	return r < 0 ? r : read_one(ctl, method, reply, ret_value);
}

static int check_type(struct ctl *ctl, const char *method, struct json_object **value,
	enum json_type type, struct json_object **ret)
{
	if (!json_object_is_type(*value, type))
		return ctl_set_error(
			ctl, "Internal", "internal error: strange answer to %s", method);
	*ret = TAKE_PTR(*value);
	return 0;
}

int remote_list_domains(struct ctl *ctl, uint32_t flags, struct json_object **ret_list)
{
	_cleanup_(json_putp) struct json_object *value = NULL;
	int r;

	r = remote_call_one(ctl, "ListDomains", &value, "u", flags);
	if (r < 0)
		return r;
	return check_type(ctl, "ListDomains", &value, json_type_array, ret_list);
}

int remote_get_domain(struct ctl *ctl, const char *domain, struct json_object **ret_domain)
{
	_cleanup_(json_putp) struct json_object *value = NULL;
	int r;

	r = remote_call_one(ctl, "GetDomain", &value, "s", domain);
	if (r < 0)
		return r;
	return check_type(ctl, "GetDomain", &value, json_type_object, ret_domain);
}

int remote_get_stats(struct ctl *ctl, const char *const *domains, size_t n_domains, uint32_t groups,
	struct json_object **ret_stats)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	_cleanup_(json_putp) struct json_object *value = NULL;
	int r;

	r = new_call(ctl, "GetDomainStats", &m);
	if (r < 0)
		return r;
	r = sd_bus_message_open_container(m, 'a', "s");
	for (size_t i = 0; r >= 0 && i < n_domains; i++)
		r = sd_bus_message_append_basic(m, 's', domains[i]);
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "u", groups);
	if (r < 0)
		return append_failed(ctl, "GetDomainStats", r);
	r = do_call(ctl, "GetDomainStats", m, CTL_CALL_TIMEOUT_USEC, &reply);
	if (r >= 0)
		r = read_one(ctl, "GetDomainStats", reply, &value);
	if (r < 0)
		return r;
	return check_type(ctl, "GetDomainStats", &value, json_type_array, ret_stats);
}

static int call_message(
	struct ctl *ctl, const char *method, sd_bus_message **ret_reply, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = callv(ctl, method, CTL_CALL_TIMEOUT_USEC, ret_reply, types, ap);
	va_end(ap);
	return r;
}

/* The fd of an answer, which is the message's, as the caller's. */
static int take_fd(struct ctl *ctl, sd_bus_message *reply, const char *what, int *ret_fd)
{
	int fd, r = sd_bus_message_read(reply, "h", &fd);

	if (r >= 0) {
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		r = fd < 0 ? -errno : 0;
	}
	if (r < 0)
		return ctl_set_error(
			ctl, "Internal", "internal error: no %s came: %s", what, strerror(-r));
	*ret_fd = fd;
	return 0;
}

int remote_open_console(
	struct ctl *ctl, const char *domain, const char *device, uint32_t flags, int *ret_fd)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r = call_message(ctl, "OpenConsole", &reply, "ssu", domain, device, flags);

	return r < 0 ? r : take_fd(ctl, reply, "console", ret_fd);
}

int remote_open_capture(struct ctl *ctl, const char *method, const char *subject, const char *part,
	uint32_t direction, uint32_t snaplen, int *ret_fd)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	int r = call_message(ctl, method, &reply, "ssuu", subject, part, direction, snaplen);

	return r < 0 ? r : take_fd(ctl, reply, "capture", ret_fd);
}

void remote_resize_console(
	struct ctl *ctl, const char *domain, const char *device, unsigned cols, unsigned rows)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

	/* What an earlier one left unsent, and what came meanwhile. */
	while (sd_bus_process(ctl->bus, NULL) > 0)
		;
	if (new_call(ctl, "ResizeConsole", &m) < 0 ||
		sd_bus_message_append(m, "ssuu", domain, device, cols, rows) < 0)
		return;
	/* Nobody is asked for a password because a window changed. */
	(void)sd_bus_message_set_allow_interactive_authorization(m, false);
	(void)sd_bus_message_set_expect_reply(m, false);
	(void)sd_bus_send(ctl->bus, m, NULL);
}
