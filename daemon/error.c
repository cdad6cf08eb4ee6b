/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Errors as the API tells them: see error.h. One table: code -> name, libvirt's prefix, errno. */
#include "daemon/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm-core/base/strutil.h"

static const struct {
	const char *name, *prefix;
	int error;
} codes[ERROR_CODE_X_MAX] = {
	[ERROR_NONE] = {"None", "", 0},
	[ERROR_NO_DOMAIN] = {"NoDomain", "Domain not found: ", ENOENT},
	[ERROR_DOMAIN_EXISTS] = {"DomainExists", "operation failed: ", EEXIST},
	[ERROR_NO_DEVICE] = {"NoDevice", "device not found: ", ENODEV},
	[ERROR_NO_NETWORK] = {"NoNetwork", "Network not found: ", ENOENT},
	[ERROR_NETWORK_EXISTS] = {"NetworkExists", "operation failed: ", EEXIST},
	[ERROR_OPERATION_INVALID] = {"OperationInvalid",
		"Requested operation is not valid: ", ENOTCONN},
	[ERROR_XML_ERROR] = {"XmlError", "XML error: ", EBADMSG},
	[ERROR_CONFIG_UNSUPPORTED] = {"ConfigUnsupported",
		"unsupported configuration: ", EOPNOTSUPP},
	[ERROR_OPERATION_FAILED] = {"OperationFailed", "operation failed: ", EIO},
	[ERROR_INVALID_ARGUMENT] = {"InvalidArgument", "invalid argument: ", EINVAL},
	[ERROR_INTERNAL] = {"Internal", "internal error: ", EPROTO},
	[ERROR_ACCESS_DENIED] = {"AccessDenied", "access denied: ", EACCES},
	[ERROR_TIMEOUT] = {"Timeout", "Timed out during operation: ", ETIMEDOUT},
	[ERROR_NOT_SUPPORTED] = {"NotSupported", "Operation not supported: ", ENOTSUP},
	[ERROR_NO_SUPPORT] = {"NoSupport",
		"this function is not supported by the connection driver: ", ENOSYS},
	[ERROR_RESOURCE_BUSY] = {"ResourceBusy", "resource busy: ", EBUSY},
	[ERROR_NO_MEMORY] = {"NoMemory", "out of memory", ENOMEM},
};

static void set_v(struct error *error, enum error_code code, const char *format, va_list ap)
{
	char text[ERROR_MESSAGE_MAX];

	/* Into a buffer of its own first: an argument may be the old message. */
	(void)vsnprintf(text, sizeof(text), format, ap);
	error->code = code;
	if (code == ERROR_NO_MEMORY)
		text[0] = 0;
	(void)snprintf(
		error->message, sizeof(error->message), "%s%.900s", codes[code].prefix, text);
	text_clean(error->message);
}

int error_set(struct error *error, enum error_code code, const char *format, ...)
{
	assert(code > ERROR_NONE && code < ERROR_CODE_X_MAX);
	if (error) {
		va_list ap;

		va_start(ap, format);
		set_v(error, code, format, ap);
		va_end(ap);
	}
	return -codes[code].error;
}

int error_set_errno(struct error *error, int errnum, const char *format, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list ap;

	errnum = errnum < 0 ? -errnum : errnum;
	if (errnum == ENOMEM)
		return error_set(error, ERROR_NO_MEMORY, "out of memory");
	va_start(ap, format);
	(void)vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	(void)error_set(error, ERROR_OPERATION_FAILED, "%s: %s", text, strerror(errnum));
	return -errnum;
}

int error_set_xml(struct error *error, int r, const char *text)
{
	if (r >= 0)
		return 0;
	if (r == -ENOMEM)
		return error_set(error, ERROR_NO_MEMORY, "xml");
	return error_set(error, r == -EOPNOTSUPP ? ERROR_CONFIG_UNSUPPORTED : ERROR_XML_ERROR, "%s",
		text ? text : strerror(-r));
}

const char *error_code_name(enum error_code code)
{
	return code < ERROR_CODE_X_MAX ? codes[code].name : "Internal";
}

/* Length of the well-formed UTF-8 sequence at 's', 0 if there is none. */
static size_t utf8_sequence(const char *s)
{
	for (size_t n = 2; n <= 4; n++) {
		char part[5] = {0};

		memcpy(part, s, strnlen(s, n));
		if (strlen(part) == n && str_is_clean_utf8(part))
			return n;
	}
	return 0;
}

void text_clean(char *s)
{
	while (*s) {
		size_t n = 1;

		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
		else if ((unsigned char)*s >= 0x80) {
			n = utf8_sequence(s);
			if (n == 0) {
				*s = '?';
				n = 1;
			}
		}
		s += n;
	}
}
