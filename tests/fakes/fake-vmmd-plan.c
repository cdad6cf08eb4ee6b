/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the canned vmmd (fake-vmmd.h) says of documents that are planned and applied: it looks for words in them. */
#include "tests/fakes/fake-vmmd-internal.h"

#include <stdlib.h>
#include <string.h>

#include "vmm-core/base/cleanup.h"
#include "vmm-core/base/names.h"

enum { OBJECT, NAME, UUID, SOURCE, ACTION, PATH, OLD, NEW, WHEN, REASON, OUTCOME, N_KEYS };
static const char *const keys[N_KEYS] = {"object", "name", "uuid", "source", "action", "path",
	"old", "new", "when", "reason", "outcome"};

/* What a document with the word is answered by; "": by its source. */
static const struct {
	const char *word, *values[N_KEYS];
} rows[] = {
	{"<new", {"domain", "web", "", "", "create", "", "", "", "now"}},
	{"<changed",
		{"domain", "db", "u", "", "change", "memory", "1048576 KiB", "2097152 KiB",
			"next boot"}},
	{"<changed",
		{"domain", "db", "u", "", "change", "devices/interface[52:54:00:00:00:01]/link", "",
			"state='down'", "now"}},
	{"<changed",
		{"domain", "db", "u", "", "change", "devices/interface[52:54:00:00:00:02]",
			"type='network'", "", "now"}},
	{"<changed", {"domain", "db", "u", "", "change", "vcpu", "1", "2", "pending"}},
	{"<same", {"network", "red", "u", "", "same"}},
	{"<same", {"network", "red", "u", "", "same", "mtu", "1500", "9000", "pending"}},
	{"<refused",
		{"domain", "", "", "", "refuse", "", "", "", "refused",
			"XML error: memory: no number"}},
	{"<fails",
		{"domain", "lame", "u", "", "change", "devices/interface[52:54:00:00:00:03]", "",
			"type='network'", "now", "no such network"}},
	{"PRUNE", {"domain", "old", "u", "", "delete", "", "", "", "now"}},
	{"PRUNE", {"domain", "runs", "u", "", "keep", "", "", "", "", "it is active"}},
};

static void append_row(sd_bus_message *m, size_t row, const char *source, bool applied)
{
	const char *const *values = rows[row].values;
	bool one_sided = *(values[PATH] ?: "");

	(void)sd_bus_message_open_container(m, 'a', "{sv}");
	for (size_t k = 0; k < N_KEYS; k++) {
		const char *value = values[k] ?: "";

		if (k == SOURCE)
			value = source;
		if (k == OUTCOME && applied && *(values[WHEN] ?: ""))
			value = streq(rows[row].word, "<fails")  ? "failed"
				: streq(values[WHEN], "pending") ? ""
								 : "done";
		if (k == REASON && !applied && streq(rows[row].word, "<fails"))
			value = "";
		(void)sd_bus_message_append(m, "{sv}", keys[k], "s", value);
	}
	(void)sd_bus_message_append(m, "{sv}", "added", "b", one_sided && !*(values[OLD] ?: ""));
	(void)sd_bus_message_append(m, "{sv}", "removed", "b", one_sided && !*(values[NEW] ?: ""));
	(void)sd_bus_message_close_container(m);
}

static void append_rows(sd_bus_message *m, const char *xml, const char *source, bool applied)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (strstr(xml, rows[i].word))
			append_row(m, i, source, applied);
}

static int on_documents(sd_bus_message *m, bool apply, sd_bus_error *error)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
	_cleanup_(freep) char **documents = NULL, **sources = NULL;
	const char *digest = "";
	uint32_t flags;

	(void)sd_bus_message_read_strv(m, &documents);
	(void)sd_bus_message_read_strv(m, &sources);
	(void)sd_bus_message_read(m, apply ? "us" : "u", &flags, &digest);
	(void)sd_bus_message_new_method_return(m, &reply);
	(void)sd_bus_message_open_container(reply, 'a', "a{sv}");
	for (size_t i = 0; documents && documents[i]; i++) {
		if (apply && strstr(documents[i], "<refused"))
			return sd_bus_error_setf(error, VMMD_ERROR_PREFIX "OperationInvalid",
				"Requested operation is not valid: nothing has changed: 1 of the "
				"documents are refused; '%s': XML error: memory: no number",
				sources[i]);
		append_rows(reply, documents[i], sources[i], apply);
		free(documents[i]);
		free(sources[i]);
	}
	if (flags & 2)
		append_rows(reply, "PRUNE", "", apply);
	(void)sd_bus_message_close_container(reply);
	if (!apply)
		(void)sd_bus_message_append(reply, "s", "0123");
	return sd_bus_send(NULL, reply, NULL);
}

int fake_on_plan(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	(void)opaque;
	return on_documents(m, false, error);
}

int fake_on_apply(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
	(void)opaque;
	return on_documents(m, true, error);
}
