/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the canned vmmd (fake-vmmd.h) says of an XML file: it looks for words. */
#include "tests/fakes/fake-vmmd-internal.h"

#include <string.h>

#include "vmm-core/base/names.h"

/* What the fake makes of an XML file, by the words in it. */
static const struct {
	const char *word, *verdict, *path, *why;
} contract[] = {
	{"<name>", "honoured", "name", NULL},
	{"<emulator>", "ignored", "devices/emulator", "vmmd is its own emulator"},
	{"<address", "adapted", "devices/disk[1]/address", "the slot is taken; moved to 00:04.0"},
	{"<frobnicate", "unknown", "frobnicate", NULL},
	{"<hostdev", "refused", "devices/hostdev", "no host devices; remove it"},
};

static unsigned line_of(const char *xml, const char *at)
{
	unsigned line = 1;

	for (; xml < at; xml++)
		line += *xml == '\n';
	return line;
}

void fake_append_report(sd_bus_message *m, const char *xml)
{
	(void)sd_bus_message_open_container(m, 'a', "a{sv}");
	for (size_t i = 0; i < ARRAY_SIZE(contract); i++) {
		/* Each place where the word stands has its row. */
		for (const char *p = xml; (p = strstr(p, contract[i].word)); p++) {
			(void)sd_bus_message_open_container(m, 'a', "{sv}");
			(void)sd_bus_message_append(m, "{sv}", "verdict", "s", contract[i].verdict);
			(void)sd_bus_message_append(m, "{sv}", "path", "s", contract[i].path);
			(void)sd_bus_message_append(
				m, "{sv}", "line", "x", (int64_t)line_of(xml, p));
			(void)sd_bus_message_append(m, "{sv}", "why", "s", contract[i].why ?: "");
			(void)sd_bus_message_close_container(m);
		}
	}
	(void)sd_bus_message_close_container(m);
}

/* Sets the error for XML that vmmd would refuse. */
bool fake_refuse(const char *xml, const char *source, bool strict, sd_bus_error *error)
{
	const char *p;

	if (!strstr(xml, "<domain"))
		(void)sd_bus_error_setf(error, VMMD_ERROR_PREFIX "XmlError",
			"XML error: %s:1: Document is empty", source);
	else if ((p = strstr(xml, "<hostdev")))
		(void)sd_bus_error_setf(error, VMMD_ERROR_PREFIX "ConfigUnsupported",
			"unsupported configuration: %s:%u: devices/hostdev: no host devices; "
			"remove it",
			source, line_of(xml, p));
	else if (strict && (p = strstr(xml, "<frobnicate")))
		(void)sd_bus_error_setf(error, VMMD_ERROR_PREFIX "XmlError",
			"XML error: %s:%u: frobnicate: unknown element", source, line_of(xml, p));
	else
		return false;
	return true;
}
