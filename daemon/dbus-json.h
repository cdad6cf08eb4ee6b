/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON values <-> D-Bus message bodies, by signature. Served types: s u i b x t d as ai a{sv} aa{sv}, and h towards
 * the caller. Within a{sv} the variant's type follows the JSON value: string s, boolean b, integer x (t above INT64_MAX),
 * double d, object a{sv}, array as or aa{sv} by its first element.
 *
 * 'names' is a sequence of NUL-terminated strings, one for each complete type of the signature.
 */
#pragma once

#include <json-c/json.h>
#include <systemd/sd-bus.h>

#define DBUS_JSON_MAX_DEPTH 8
#define DBUS_JSON_MAX_ITEMS 65536 /* of one array or dictionary */

/* The body of 'm' as an object whose members are 'names'. Returns 0, -ENXIO and other errors of sd-bus when the body
 * has another signature, -EMSGSIZE over a limit, -ENOTSUP for a type that is not served. */
int dbus_json_read(
	sd_bus_message *m, const char *signature, const char *names, struct json_object **ret);

/* Append 'object''s members to 'm'; 'fd' is for an 'h'. A missing member is an empty value of its type. Returns 0,
 * -EINVAL when a member is of another type than the signature says, or an error of sd-bus. */
int dbus_json_append(sd_bus_message *m, const char *signature, const char *names,
	struct json_object *object, int fd);
