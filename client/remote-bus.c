/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way to vmmd by D-Bus: see remote-backend.h. The answers' way to JSON is in remote-json.c.
 *
 * Tested by tests/unit/test-remote.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "client/remote-backend.h"
#include "client/remote.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

static bool has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
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

/* Straight to the daemon, where its socket lets us. */
static bool open_direct(struct ctl *ctl)
{
	ctl->peer = open_address("unix:path=" VMMD_DBUS_SOCKET, true, &ctl->bus) >= 0;
	return ctl->peer;
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

bool remote_bus_knows(const char *uri)
{
	return has_prefix(uri, "p2p:") || has_prefix(uri, "unix:path=") ||
		has_prefix(uri, "unix:abstract=") || has_prefix(uri, "unix:runtime=") ||
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

/* A vmmd that sends us away, or ends just now, is there on the bus, or is started by it. */
static bool connect_direct(struct ctl *ctl)
{
	if (!open_direct(ctl))
		return false;
	if (remote_call(ctl, "Ping", CTL_CALL_TIMEOUT_USEC, NULL, "") >= 0)
		return true;
	ctl->bus = sd_bus_flush_close_unref(ctl->bus);
	ctl->peer = false;
	return false;
}

static int bus_connect(struct ctl *ctl, const char *uri)
{
	int r;

	if (streq(uri, "vmmd:///system") && connect_direct(ctl))
		return 0;
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

static int append_strings(sd_bus_message *m, struct json_object *list)
{
	int r = sd_bus_message_open_container(m, 'a', "s");

	for (size_t i = 0; r >= 0 && i < json_object_array_length(list); i++)
		r = sd_bus_message_append_basic(
			m, 's', json_object_get_string(json_object_array_get_idx(list, i)));
	return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append(sd_bus_message *m, const char *types, struct json_object *args)
{
	int r = 0;

	for (size_t i = 0; *types && r >= 0; types++, i++) {
		struct json_object *v = json_object_array_get_idx(args, i);
		uint32_t u = (uint32_t)json_object_get_int64(v);
		uint64_t t = json_object_get_uint64(v);
		int b = json_object_get_boolean(v);

		if (*types == 'a') {
			r = append_strings(m, v);
			types++;
		} else {
			r = sd_bus_message_append_basic(m, *types,
				*types == 's'           ? (const void *)json_object_get_string(v)
					: *types == 'u' ? (const void *)&u
					: *types == 't' ? (const void *)&t
							: (const void *)&b);
		}
	}
	return r;
}

/* The descriptor of an answer, which is the message's, as the caller's; '*ret_rest' (may be NULL): what comes behind it. */
static int take_fd(
	struct ctl *ctl, sd_bus_message *reply, struct json_object **ret_rest, int *ret_fd)
{
	int fd, r = sd_bus_message_read(reply, "h", &fd);

	if (r >= 0) {
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		r = fd < 0 ? -errno : 0;
	}
	if (r < 0)
		return ctl_set_error(ctl, "Internal", "internal error: no file descriptor came: %s",
			strerror(-r));
	if (ret_rest)
		r = message_to_json(reply, ret_rest);
	if (r < 0) {
		(void)safe_close(fd);
		return ctl_set_error(
			ctl, "Internal", "internal error: strange answer: %s", strerror(-r));
	}
	*ret_fd = fd;
	return 0;
}

static int bad_answer(struct ctl *ctl, const char *method, int r)
{
	return ctl_set_error(ctl, "Internal",
		"internal error: cannot read what vmmd answered to %s: %s", method, strerror(-r));
}

static int bus_call(struct ctl *ctl, const char *method, uint64_t timeout_usec, const char *types,
	struct json_object *args, struct json_object **ret_reply, int *ret_fd)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
	int r;

	r = new_call(ctl, method, &m);
	if (r < 0)
		return r;
	r = append(m, types, args);
	if (r < 0)
		return append_failed(ctl, method, r);
	r = do_call(ctl, method, m, timeout_usec, &reply);
	if (r < 0)
		return r;
	if (ret_fd)
		return take_fd(ctl, reply, ret_reply, ret_fd);
	r = ret_reply ? message_to_json(reply, ret_reply) : 0;
	return r < 0 ? bad_answer(ctl, method, r) : 0;
}

static void bus_post(
	struct ctl *ctl, const char *method, const char *types, struct json_object *args)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

	/* What an earlier one left unsent, and what came meanwhile. */
	while (sd_bus_process(ctl->bus, NULL) > 0)
		;
	if (sd_bus_message_new_method_call(ctl->bus, &m, ctl->peer ? NULL : VMMD_BUS_NAME,
		    VMMD_BUS_PATH, VMMD_BUS_INTERFACE, method) < 0 ||
		append(m, types, args) < 0)
		return;
	/* Nobody is asked for a password because a window changed. */
	(void)sd_bus_message_set_allow_interactive_authorization(m, false);
	(void)sd_bus_message_set_expect_reply(m, false);
	(void)sd_bus_send(ctl->bus, m, NULL);
}

static void bus_disconnect(struct ctl *ctl)
{
	ctl->bus = sd_bus_flush_close_unref(ctl->bus);
}

const struct remote_ops remote_bus_ops = {
	.connect = bus_connect,
	.call = bus_call,
	.post = bus_post,
	.disconnect = bus_disconnect,
};
