/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading descriptions, printing contract reports: see xml-file.h. */
#include "client/xml-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "client/table.h"
#include "vmm-core/base/fdio.h"
#include "vmm-core/base/names.h"
#include "vmm-core/base/strutil.h"

const char *xml_file_source(const char *file)
{
	return streq(file, "-") || streq(file, "/dev/stdin") ? "stdin" : file;
}

int xml_file_read(struct ctl *ctl, const char *file, char **ret_xml)
{
	const char *path = streq(file, "-") ? "/dev/stdin" : file;
	int r;

	r = read_file(AT_FDCWD, path, VMMD_MAX_XML_BYTES, ret_xml, NULL);
	switch (r) {
	case 0:
		return 0;
	case -EFBIG:
		return ctl_error(ctl, "Failed to read file '%s': larger than %d KiB", file,
			VMMD_MAX_XML_BYTES / 1024);
	case -EBADMSG:
		return ctl_error(ctl, "Failed to read file '%s': it is not text", file);
	case -EISDIR:
		return ctl_error(ctl, "Failed to read file '%s': %s", file, strerror(-r));
	default:
		return ctl_error(ctl, "Failed to open file '%s': %s", file, strerror(-r));
	}
}

static const char *const verdicts[] = {"honoured", "adapted", "ignored", "refused", "unknown"};

static bool is_quiet_verdict(const char *verdict)
{
	return streq(verdict, "honoured");
}

void report_notes(struct ctl *ctl, struct json_object *report, const char *file)
{
	size_t n =
		json_object_is_type(report, json_type_array) ? json_object_array_length(report) : 0;
	unsigned shown = 0, left_out = 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *row = json_object_array_get_idx(report, i);
		const char *verdict = json_string(row, "verdict", "unknown");
		const char *why = json_string(row, "why", "");

		if (is_quiet_verdict(verdict))
			continue;
		if (shown == REPORT_MAX_NOTES) {
			left_out++;
			continue;
		}
		shown++;
		ctl_note(ctl, "notice: %s:%lld: %s %s%s%s", file,
			(long long)json_number(row, "line", 0), json_string(row, "path", ""),
			verdict, *why ? ": " : "", why);
	}
	if (left_out > 0)
		ctl_note(ctl, "notice: and %u more; see: vmctl check %s", left_out, file);
}

static void print_sums(struct ctl *ctl, struct json_object *report)
{
	unsigned counts[ARRAY_SIZE(verdicts)] = {};

	for (size_t i = 0; i < json_object_array_length(report); i++)
		for (size_t v = 0; v < ARRAY_SIZE(verdicts); v++)
			if (streq(json_string(json_object_array_get_idx(report, i), "verdict", ""),
				    verdicts[v]))
				counts[v]++;
	for (size_t v = 0; v < ARRAY_SIZE(verdicts); v++)
		ctl_extra(ctl, "%s%u %s", v ? ", " : "", counts[v], verdicts[v]);
	ctl_extra(ctl, "\n");
}

int report_print(struct ctl *ctl, struct json_object *report, bool all)
{
	static const char *const headers[] = {"Line", "Verdict", "Element", "Why"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));

	for (size_t i = 0; table && i < json_object_array_length(report); i++) {
		struct json_object *row = json_object_array_get_idx(report, i);
		const char *verdict = json_string(row, "verdict", "unknown");
		char line[24];

		if (!all && is_quiet_verdict(verdict))
			continue;
		(void)snprintf(line, sizeof(line), "%lld", (long long)json_number(row, "line", 0));
		if (table_add_row(table,
			    (const char *const[]){line, verdict, json_string(row, "path", ""),
				    json_string(row, "why", "")}) < 0)
			table = table_free(table);
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	ctl_extra(ctl, "\n");
	print_sums(ctl, report);
	return 0;
}
