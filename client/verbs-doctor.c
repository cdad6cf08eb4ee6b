/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vmctl doctor: what vmmd finds wrong with its host and with what it runs. Tested by tests/unit/test-verbs.c. */
#include "client/verbs.h"

#include <errno.h>
#include <string.h>

#include "client/remote.h"
#include "client/table.h"
#include "vmm-core/base/strutil.h"

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
