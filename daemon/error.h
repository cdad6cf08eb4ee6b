/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An error as the API tells it: a code (the last part of the D-Bus error name) and one line in libvirt's words.
 * Nouns (manager, domain, resources…) fill it, transports send it. It owns nothing, so it can live on the stack
 * and be copied.
 *
 * Tested by tests/unit/test-dbus.c.
 */
#pragma once

#include "vmm-core/base/macro.h"

#define ERROR_MESSAGE_MAX 1024

enum error_code {
	ERROR_NONE,
	ERROR_NO_DOMAIN,
	ERROR_DOMAIN_EXISTS,
	ERROR_NO_DEVICE,
	ERROR_NO_NETWORK,
	ERROR_NETWORK_EXISTS,
	ERROR_OPERATION_INVALID,
	ERROR_XML_ERROR,
	ERROR_CONFIG_UNSUPPORTED,
	ERROR_OPERATION_FAILED,
	ERROR_INVALID_ARGUMENT,
	ERROR_INTERNAL,
	ERROR_ACCESS_DENIED,
	ERROR_TIMEOUT,
	ERROR_NOT_SUPPORTED,
	ERROR_NO_SUPPORT,
	ERROR_RESOURCE_BUSY,
	ERROR_NO_MEMORY,
	ERROR_INTERRUPTED,
	ERROR_NO_JOB,
	ERROR_CANCELLED,
	ERROR_CPU_INCOMPATIBLE,
	ERROR_CODE_X_MAX
};

struct error {
	enum error_code code;
	char message[ERROR_MESSAGE_MAX]; /* valid UTF-8, one line */
};

/* Set 'error' (NULL: only the return value counts) to libvirt's prefix of 'code' and the text. Returns the code's
 * negative errno, so that `return error_set(…)` works. An older error is replaced. */
int error_set(struct error *error, enum error_code code, const char *format, ...) _printf_(3, 4);

/* An error that a system call gave: -ENOMEM becomes ERROR_NO_MEMORY, the rest ERROR_OPERATION_FAILED with the text,
 * ": " and strerror(). Returns -abs(errnum). */
int error_set_errno(struct error *error, int errnum, const char *format, ...) _printf_(3, 4);

/* What a parser of config/ answered, with its text (may be NULL): XmlError, ConfigUnsupported or NoMemory. 0 is no error.
 * Returns 0 or the code's negative errno. */
int error_set_xml(struct error *error, int r, const char *text);

/* "NoDomain", … for the D-Bus error name. */
const char *error_code_name(enum error_code code);
/* libvirt's prefix, with which a message of this code begins. */
const char *error_code_prefix(enum error_code code);
/* Its number in JSON-RPC: -32001 and down. Numbers are never given to another code. */
int error_code_rpc(enum error_code code);
/* What helps in general, as a sentence for a person. */
const char *error_code_remedy(enum error_code code);

/* Make 's' fit to be shown and sent: control characters and everything that is not UTF-8 become '?'. */
void text_clean(char *s);
