/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl doctor: what vmmd finds wrong with its host and with what it runs; boot-report: where a start spent its time. Tested by tests/unit/test-verbs.c. */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <string.h>

#include "client/remote.h"
#include "client/table.h"
#include "client/verb-option.h"
#include "vmm-core/base/strutil.h"

const struct verb_option doctor_options[] = {
	FLAG("all", "show what is well, too"),
	{},
};

static void print_finding(struct ctl *ctl, struct json_object *finding)
{
	_cleanup_(freep) char *text = text_printable(json_string(finding, "text", ""), NULL);
	_cleanup_(freep) char *remedy = text_printable(json_string(finding, "remedy", ""), NULL);

	ctl_print(ctl, "%-8s %-10s %s\n", json_string(finding, "verdict", ""),
		json_string(finding, "check", ""), text ?: "");
	if (remedy && *remedy)
		ctl_print(ctl, "%-19s → %s\n", "", remedy);
}

/* Warnings are for people, problems are errors. */
int verb_doctor(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *findings = NULL;
	bool all = args_flag(args, "all");
	size_t n, n_warnings = 0, n_problems = 0;
	int r = 0;

	if (remote_call_one(ctl, "Diagnose", &findings, "") < 0)
		return ctl_report(ctl);
	n = json_object_array_length(findings);
	for (size_t i = 0; i < n; i++) {
		struct json_object *finding = json_object_array_get_idx(findings, i);
		const char *verdict = json_string(finding, "verdict", "");

		n_warnings += streq(verdict, "warning");
		n_problems += streq(verdict, "problem");
		if (!ctl->json && (all || !streq(verdict, "ok")))
			print_finding(ctl, finding);
	}
	if (ctl->json)
		r = ctl_json(ctl, TAKE_PTR(findings));
	else
		ctl_extra(ctl, "%s%zu findings: %zu problems, %zu warnings\n",
			all || n_warnings || n_problems ? "\n" : "", n, n_problems, n_warnings);
	if (r < 0 || !n_problems)
		return r;
	ctl->has_document = true;
	return ctl_error(ctl, "%zu %s to be seen to", n_problems,
		n_problems == 1 ? "problem is" : "problems are");
}

static int print_stages(struct ctl *ctl, struct json_object *stages)
{
	static const char *const headers[] = {"Stage", "Took", "At", "What it is"};
	_cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));

	for (size_t i = 0; table && i < json_object_array_length(stages); i++) {
		struct json_object *o = json_object_array_get_idx(stages, i);
		char took[32], at[32];
		const char *const cells[] = {
			json_string(o, "stage", ""), took, at, json_string(o, "about", "")};

		(void)snprintf(
			took, sizeof(took), "%.3f ms", (double)json_number(o, "took_us", 0) / 1000);
		(void)snprintf(
			at, sizeof(at), "%.3f ms", (double)json_number(o, "at_us", 0) / 1000);
		if (table_add_row(table, cells) < 0)
			table = table_free(table);
	}
	if (!table)
		return ctl_error(ctl, "out of memory");
	table_print(table, stdout, !ctl->quiet);
	return 0;
}

int verb_boot_report(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *reply = NULL;
	struct json_object *stages, *total, *o;
	const char *name;
	int r;

	r = ctl_domain_option(ctl, args, &name);
	if (r < 0)
		return r;
	if (remote_call(ctl, "GetBootReport", CTL_CALL_TIMEOUT_USEC, &reply, "s", name) < 0)
		return ctl_report_domain(ctl, name);
	stages = json_object_array_get_idx(reply, 0);
	total = json_object_array_get_idx(reply, 1);
	if (!json_object_is_type(stages, json_type_array))
		return ctl_error(ctl, "internal error: strange answer to GetBootReport");
	if (ctl->json) {
		o = json_object_new_object();
		(void)json_object_object_add(o, "domain", json_object_new_string(name));
		(void)json_object_object_add(o, "stages", json_object_get(stages));
		(void)json_object_object_add(o, "total_us", json_object_get(total));
		return ctl_json(ctl, o);
	}
	r = print_stages(ctl, stages);
	if (r == 0)
		ctl_extra(ctl, "\n%.3f ms until the guest ran\n",
			(double)json_object_get_int64(total) / 1000);
	return r;
}
