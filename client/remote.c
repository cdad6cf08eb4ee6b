/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calling vmmd, whatever the way to it is: see remote.h and remote-backend.h. */
#include "client/remote.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "client/remote-backend.h"
#include "vmm-core/base/strutil.h"

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

int remote_connect(struct ctl *ctl)
{
	const char *uri = wanted_uri(ctl);

	if (remote_bus_knows(uri))
		ctl->remote = &remote_bus_ops;
	else if (remote_rpc_knows(uri))
		ctl->remote = &remote_rpc_ops;
	else
		return ctl_set_error(ctl, "Connect",
			"cannot connect to '%s': use 'system', 'session', unix:PATH, ssh://HOST, "
			"tls://HOST or the address of a bus",
			uri);
	return ctl->remote->connect(ctl, uri);
}

static bool is_utf8(const char *s)
{
	size_t left = strlen(s);

	while (left) {
		unsigned n = utf8_len(s, left);

		if (n == 0)
			return false;
		s += n;
		left -= n;
	}
	return true;
}

static int collect_strings(
	struct ctl *ctl, const char *const *strings, size_t n, struct json_object **ret_array)
{
	_cleanup_(json_putp) struct json_object *array = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		if (!is_utf8(strings[i]))
			return ctl_set_error(ctl, "InvalidArgument",
				"invalid argument: the text is not valid UTF-8");
		json_object_array_add(array, json_object_new_string(strings[i]));
	}
	*ret_array = TAKE_PTR(array);
	return 0;
}

/* The arguments of a variadic call, by their types: s u t b, and as, which is an array and its length. Text that is not UTF-8 can go neither way. */
static int collect(struct ctl *ctl, const char *types, va_list ap, struct json_object **ret_args)
{
	_cleanup_(json_putp) struct json_object *args = json_object_new_array();

	for (const char *t = types; *t; t++) {
		if (*t == 's') {
			const char *s = va_arg(ap, const char *);

			if (!is_utf8(s))
				return ctl_set_error(ctl, "InvalidArgument",
					"invalid argument: the text is not valid UTF-8");
			json_object_array_add(args, json_object_new_string(s));
		} else if (*t == 'a' && t[1] == 's') {
			const char *const *strings = va_arg(ap, const char *const *);
			struct json_object *array = NULL;
			int r = collect_strings(ctl, strings, va_arg(ap, size_t), &array);

			if (r < 0)
				return r;
			json_object_array_add(args, array);
			t++;
		} else if (*t == 'u') {
			json_object_array_add(args, json_object_new_int64(va_arg(ap, uint32_t)));
		} else if (*t == 't') {
			json_object_array_add(args, json_object_new_uint64(va_arg(ap, uint64_t)));
		} else {
			assert(*t == 'b');
			json_object_array_add(args, json_object_new_boolean(va_arg(ap, int)));
		}
	}
	*ret_args = TAKE_PTR(args);
	return 0;
}

static int callv(struct ctl *ctl, const char *method, uint64_t timeout_usec,
	struct json_object **ret_reply, int *ret_fd, const char *types, va_list ap)
{
	_cleanup_(json_putp) struct json_object *args = NULL;
	int r = collect(ctl, types, ap, &args);

	if (r < 0)
		return r;
	return ctl->remote->call(ctl, method, timeout_usec, types, args, ret_reply, ret_fd);
}

int remote_call(struct ctl *ctl, const char *method, uint64_t timeout_usec,
	struct json_object **ret_reply, const char *types, ...)
{
	va_list ap;
	int r;

	va_start(ap, types);
	r = callv(ctl, method, timeout_usec, ret_reply, NULL, types, ap);
	va_end(ap);
	return r;
}

int remote_call_args(struct ctl *ctl, const char *method, uint64_t timeout_usec,
	struct json_object **ret_reply, const char *types, struct json_object *args)
{
	return ctl->remote->call(ctl, method, timeout_usec, types, args, ret_reply, NULL);
}

static int take_one(struct ctl *ctl, const char *method, struct json_object *all,
	struct json_object **ret_value)
{
	if (json_object_array_length(all) != 1)
		return ctl_set_error(ctl, "Internal",
			"internal error: cannot read what vmmd answered to %s: %s", method,
			strerror(EBADMSG));
	*ret_value = json_object_get(json_object_array_get_idx(all, 0));
	return 0;
}

int remote_call_one(
	struct ctl *ctl, const char *method, struct json_object **ret_value, const char *types, ...)
{
	_cleanup_(json_putp) struct json_object *all = NULL;
	va_list ap;
	int r;

	va_start(ap, types);
	r = callv(ctl, method, CTL_CALL_TIMEOUT_USEC, &all, NULL, types, ap);
	va_end(ap);
	return r < 0 ? r : take_one(ctl, method, all, ret_value);
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

int remote_list_domain_names(struct ctl *ctl, uint32_t flags, struct json_object **ret_list)
{
	static const char *const keys[] = {"name", "uuid", "id"};
	_cleanup_(json_putp) struct json_object *columns = NULL;
	_cleanup_(json_putp) struct json_object *list = json_object_new_array();
	int r = remote_call(ctl, "ListDomainNames", CTL_CALL_TIMEOUT_USEC, &columns, "u", flags);

	if (r < 0)
		return r;
	for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
		struct json_object *column = json_object_array_get_idx(columns, k);

		if (!json_object_is_type(column, json_type_array) ||
			(k && json_object_array_length(column) != json_object_array_length(list)))
			return ctl_set_error(ctl, "Internal",
				"internal error: strange answer to ListDomainNames");
		for (size_t i = 0; i < json_object_array_length(column); i++) {
			if (k == 0)
				(void)json_object_array_add(list, json_object_new_object());
			(void)json_object_object_add(json_object_array_get_idx(list, i), keys[k],
				json_object_get(json_object_array_get_idx(column, i)));
		}
	}
	*ret_list = TAKE_PTR(list);
	return 0;
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
	_cleanup_(json_putp) struct json_object *value = NULL;
	int r = remote_call_one(ctl, "GetDomainStats", &value, "asu", domains, n_domains, groups);

	if (r < 0)
		return r;
	return check_type(ctl, "GetDomainStats", &value, json_type_array, ret_stats);
}

static int call_fd(struct ctl *ctl, const char *method, const char *what, int *ret_fd,
	struct json_object **ret_rest, const char *types, ...)
{
	int fd = -EBADF, r;
	va_list ap;

	va_start(ap, types);
	r = callv(ctl, method, CTL_CALL_TIMEOUT_USEC, ret_rest, &fd, types, ap);
	va_end(ap);
	if (r < 0)
		return r;
	if (fd < 0)
		return ctl_set_error(ctl, "NoSupport",
			"this function is not supported by the connection driver: a %s cannot come "
			"over "
			"this connection",
			what);
	*ret_fd = fd;
	return 0;
}

int remote_open_console(
	struct ctl *ctl, const char *domain, const char *device, uint32_t flags, int *ret_fd)
{
	return call_fd(ctl, "OpenConsole", "console", ret_fd, NULL, "ssu", domain, device, flags);
}

int remote_open_capture(struct ctl *ctl, const char *method, const char *subject, const char *part,
	uint32_t direction, uint32_t snaplen, int *ret_fd, uint64_t *ret_job)
{
	_cleanup_(json_putp) struct json_object *rest = NULL;
	int r = call_fd(
		ctl, method, "capture", ret_fd, &rest, "ssuu", subject, part, direction, snaplen);

	if (r < 0)
		return r;
	*ret_job = json_object_get_uint64(json_object_array_get_idx(rest, 0));
	return 0;
}

struct pump *remote_pump(const struct ctl *ctl)
{
	return remote_rpc_pump(ctl);
}

uint64_t remote_epoch_ns(const struct ctl *ctl)
{
	return remote_rpc_epoch_ns(ctl);
}

int remote_close(struct ctl *ctl, int fd)
{
	int r = remote_rpc_end_stream(ctl);

	(void)safe_close(fd);
	return r;
}

static void post(struct ctl *ctl, const char *method, const char *types, ...)
{
	_cleanup_(json_putp) struct json_object *args = NULL;
	va_list ap;
	int r;

	va_start(ap, types);
	r = collect(ctl, types, ap, &args);
	va_end(ap);
	if (r >= 0)
		ctl->remote->post(ctl, method, types, args);
}

void remote_resize_console(
	struct ctl *ctl, const char *domain, const char *device, unsigned cols, unsigned rows)
{
	post(ctl, "ResizeConsole", "ssuu", domain, device, (uint32_t)cols, (uint32_t)rows);
}
