/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How verbs speak and fail: see ctl.h. */
#include "client/ctl.h"

#include <stdarg.h>
#include <string.h>

#include "client/args.h"
#include "client/remote-backend.h"
#include "client/table.h"
#include "vmm-core/base/strutil.h"

void ctl_done(struct ctl *ctl)
{
	if (ctl->remote)
		ctl->remote->disconnect(ctl);
	ctl->remote = NULL;
	free(ctl->error_code);
	free(ctl->error_message);
	free(ctl->said);
	ctl->error_code = ctl->error_message = ctl->said = NULL;
}

void ctl_print(struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	if (ctl->json)
		return;
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
}

void ctl_extra(struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	if (ctl->json || ctl->quiet)
		return;
	va_start(ap, format);
	(void)vprintf(format, ap);
	va_end(ap);
}

int ctl_verror(struct ctl *ctl, const char *format, va_list ap)
{
	free(ctl->said);
	if (vasprintf(&ctl->said, format, ap) < 0)
		ctl->said = NULL;
	(void)fflush(stdout);
	(void)fprintf(stderr, "error: %s\n", ctl->said ?: "out of memory");
	return -EINVAL;
}

int ctl_error(struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)ctl_verror(ctl, format, ap);
	va_end(ap);
	return -EINVAL;
}

void ctl_note(struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	if (ctl->quiet)
		return;
	(void)fflush(stdout);
	va_start(ap, format);
	(void)vfprintf(stderr, format, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

int ctl_json(struct ctl *ctl, struct json_object *document)
{
	(void)ctl;
	if (!document)
		return ctl_error(ctl, "out of memory");
	(void)printf("%s\n",
		json_object_to_json_string_ext(document,
			JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
				JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)json_object_put(document);
	return 0;
}

int ctl_changed(struct ctl *ctl, const char *domain, const char *action, const char *format, ...)
{
	struct json_object *o;
	va_list ap;

	if (!ctl->json) {
		if (ctl->quiet)
			return 0;
		va_start(ap, format);
		(void)vprintf(format, ap);
		va_end(ap);
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "domain", json_object_new_string(domain));
	(void)json_object_object_add(o, "action", json_object_new_string(action));
	return ctl_json(ctl, o);
}

int ctl_set_error(struct ctl *ctl, const char *code, const char *format, ...)
{
	char *message, *name;
	va_list ap;

	/* The arguments may be the old error. */
	va_start(ap, format);
	if (vasprintf(&message, format, ap) < 0)
		message = NULL;
	va_end(ap);
	name = strdup(code);
	free(ctl->error_code);
	free(ctl->error_message);
	ctl->error_code = name;
	ctl->error_message = message;
	return -EINVAL;
}

int ctl_report(struct ctl *ctl)
{
	return ctl_error(ctl, "%s", ctl->error_message ?: "out of memory");
}

int ctl_fail(struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	(void)ctl_verror(ctl, format, ap);
	va_end(ap);
	return ctl_report(ctl);
}

const char *json_string(struct json_object *object, const char *key, const char *fallback)
{
	struct json_object *o;

	if (!json_object_object_get_ex(object, key, &o) ||
		!json_object_is_type(o, json_type_string))
		return fallback;
	return json_object_get_string(o);
}

int64_t json_number(struct json_object *object, const char *key, int64_t fallback)
{
	struct json_object *o;

	if (!json_object_object_get_ex(object, key, &o) || !json_object_is_type(o, json_type_int))
		return fallback;
	return json_object_get_int64(o);
}

bool json_flag(struct json_object *object, const char *key)
{
	struct json_object *o;

	return json_object_object_get_ex(object, key, &o) &&
		json_object_is_type(o, json_type_boolean) && json_object_get_boolean(o);
}

int ctl_number_option(struct ctl *ctl, const struct args *args, const char *name, uint64_t max,
	uint64_t fallback, uint64_t *ret)
{
	const char *value = args_string(args, name);

	if (!value) {
		*ret = fallback;
		return 0;
	}
	if (parse_u64(value, max, ret) < 0)
		return ctl_error(ctl,
			"Numeric value '%s' for <%s> option is malformed or out of range", value,
			name);
	return 0;
}

int ctl_domain_option(struct ctl *ctl, const struct args *args, const char **ret)
{
	const char *value = args_string(args, "domain");

	if (!value || !*value)
		return ctl_error(ctl, "Failed to get option 'domain': Option argument is empty");
	*ret = value;
	return 0;
}

int ctl_exclusive(struct ctl *ctl, const struct args *args, const char *a, const char *b)
{
	if (args_flag(args, a) && args_flag(args, b))
		return ctl_error(ctl, "Options --%s and --%s are mutually exclusive", a, b);
	return 0;
}
