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
	int error, rpc;
	const char *remedy;
} codes[ERROR_CODE_X_MAX] = {
	[ERROR_NONE] = {"None", "", 0, 0, ""},
	[ERROR_NO_DOMAIN] = {"NoDomain", "Domain not found: ", ENOENT, -32001,
		"ListDomains tells which domains there are."},
	[ERROR_DOMAIN_EXISTS] = {"DomainExists", "operation failed: ", EEXIST, -32002,
		"Take another name or UUID, or undefine the other domain."},
	[ERROR_NO_DEVICE] = {"NoDevice", "device not found: ", ENODEV, -32003,
		"GetDomainXml tells which devices the domain has."},
	[ERROR_NO_NETWORK] = {"NoNetwork", "Network not found: ", ENOENT, -32004,
		"ListNetworks tells which networks there are."},
	[ERROR_NETWORK_EXISTS] = {"NetworkExists", "operation failed: ", EEXIST, -32005,
		"Take another name or UUID, or undefine the other network."},
	[ERROR_OPERATION_INVALID] = {"OperationInvalid",
		"Requested operation is not valid: ", ENOTCONN, -32006,
		"Look at the state of the domain or network, and change it first."},
	[ERROR_XML_ERROR] = {"XmlError", "XML error: ", EBADMSG, -32007,
		"Correct the XML at the line that the reason names."},
	[ERROR_CONFIG_UNSUPPORTED] = {"ConfigUnsupported",
		"unsupported configuration: ", EOPNOTSUPP, -32008,
		"Leave out what the reason names; the manual of the XML says what is served."},
	[ERROR_OPERATION_FAILED] = {"OperationFailed", "operation failed: ", EIO, -32009,
		"The reason names what failed; the daemon's log has more."},
	[ERROR_INVALID_ARGUMENT] = {"InvalidArgument", "invalid argument: ", EINVAL, -32010,
		"Correct the argument that the reason names."},
	[ERROR_INTERNAL] = {"Internal", "internal error: ", EPROTO, -32011,
		"This is a fault of vmmd: please report it with the daemon's log."},
	[ERROR_ACCESS_DENIED] = {"AccessDenied", "access denied: ", EACCES, -32012,
		"Ask an administrator of the host for the right."},
	[ERROR_TIMEOUT] = {"Timeout", "Timed out during operation: ", ETIMEDOUT, -32013,
		"Look at the state: it may have happened meanwhile."},
	[ERROR_NOT_SUPPORTED] = {"NotSupported", "Operation not supported: ", ENOTSUP, -32014,
		"This host, or this configuration, cannot do it."},
	[ERROR_NO_SUPPORT] = {"NoSupport",
		"this function is not supported by the connection driver: ", ENOSYS, -32015,
		"This version of vmmd does not have it."},
	[ERROR_RESOURCE_BUSY] = {"ResourceBusy", "resource busy: ", EBUSY, -32016,
		"Try again when what the reason names is free."},
	[ERROR_NO_MEMORY] = {"NoMemory", "out of memory", ENOMEM, -32017,
		"Free memory of the host, and try again."},
	[ERROR_INTERRUPTED] = {"Interrupted", "operation failed: ", EINTR, -32018,
		"Look at the state; if it did not happen, call again with another key."},
	[ERROR_NO_JOB] = {"NoJob", "job not found: ", ENOENT, -32019,
		"ListJobs tells which jobs there are; what is over is kept for ten minutes."},
	[ERROR_CANCELLED] = {"Cancelled", "operation aborted: ", ECANCELED, -32020,
		"Somebody has cancelled it; start it again if it is still wanted."},
	[ERROR_CPU_INCOMPATIBLE] = {"CpuIncompatible",
		"the CPU is incompatible with host CPU: ", ENOTSUP, -32021,
		"Take a model that the host can give: GetDomainCapabilities tells which."},
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

const char *error_code_prefix(enum error_code code)
{
	return codes[code < ERROR_CODE_X_MAX ? code : ERROR_INTERNAL].prefix;
}

int error_code_rpc(enum error_code code)
{
	return codes[code < ERROR_CODE_X_MAX ? code : ERROR_INTERNAL].rpc;
}

const char *error_code_remedy(enum error_code code)
{
	return codes[code < ERROR_CODE_X_MAX ? code : ERROR_INTERNAL].remedy;
}

void text_clean(char *s)
{
	size_t left = strlen(s);

	while (left) {
		size_t n = utf8_len(s, left);

		if (n == 0 || (unsigned char)*s < ' ' || *s == 0x7f) {
			*s = '?';
			n = 1;
		}
		s += n;
		left -= n;
	}
}
