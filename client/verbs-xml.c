/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs about the description of a domain: define, check, dumpxml, edit. Tested by tests/unit/test-verbs.c. */
#include "client/ctl-unknown.h"
#include "client/verbs.h"

#include <errno.h>
#include <string.h>

#include "client/redefine.h"
#include "client/remote.h"
#include "client/verb-option.h"
#include "client/xml-file.h"
#include "vmm-core/base/strutil.h"

const struct verb_option check_options[] = {
	{.name = "file",
		.type = OPTION_DATA,
		.completion = COMPLETE_FILE,
		.required = true,
		.help = "file containing an XML domain description; - for standard input"},
	FLAG("all", "show the honoured elements too"),
	{},
};

const struct verb_option define_options[] = {
	{.name = "file",
		.type = OPTION_DATA,
		.completion = COMPLETE_FILE,
		.required = true,
		.help = "file containing an XML domain description; - for standard input"},
	FLAG("validate", "refuse elements that vmmd does not know"),
	{},
};

const struct verb_option dumpxml_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("inactive", "show inactive defined XML"),
	FLAG("security-info", "include security sensitive information in XML dump"),
	{},
};

const struct verb_option edit_options[] = {
	DOMAIN_OPTION(COMPLETE_DOMAIN),
	FLAG("skip-validate", "accept elements that vmmd does not know"),
	{},
};

#define DEFINE_STRICT 1U
#define XML_INACTIVE  1U

static int define_json(struct ctl *ctl, const char *name, struct json_object *report)
{
	struct json_object *o = json_object_new_object();

	(void)json_object_object_add(o, "domain", json_object_new_string(name));
	(void)json_object_object_add(o, "action", json_object_new_string("defined"));
	(void)json_object_object_add(o, "report", json_object_get(report));
	return ctl_json(ctl, o);
}

int verb_define(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *reply = NULL;
	_cleanup_(freep) char *xml = NULL;
	const char *file = args_string(args, "file"), *name;
	int r;

	r = xml_file_read(ctl, file, &xml);
	if (r < 0)
		return r;
	r = remote_call(ctl, "DefineDomain", CTL_CALL_TIMEOUT_USEC, &reply, "ssu", xml,
		xml_file_source(file), args_flag(args, "validate") ? DEFINE_STRICT : 0);
	if (r < 0)
		return ctl_fail(ctl, "Failed to define domain from %s", file);
	name = json_object_get_string(json_object_array_get_idx(reply, 0)) ?: "";
	if (ctl->json)
		return define_json(ctl, name, json_object_array_get_idx(reply, 1));
	report_notes(ctl, json_object_array_get_idx(reply, 1), file);
	ctl_extra(ctl, "Domain '%s' defined from %s\n", name, file);
	return 0;
}

static int check_json(struct ctl *ctl, bool accepted, const char *error, struct json_object *report)
{
	struct json_object *o = json_object_new_object();

	(void)json_object_object_add(o, "accepted", json_object_new_boolean(accepted));
	(void)json_object_object_add(o, "error", *error ? json_object_new_string(error) : NULL);
	(void)json_object_object_add(o, "report", json_object_get(report));
	return ctl_json(ctl, o);
}

int verb_check(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *reply = NULL;
	_cleanup_(freep) char *xml = NULL;
	const char *file = args_string(args, "file"), *error;
	struct json_object *report;
	bool accepted;
	int r;

	r = xml_file_read(ctl, file, &xml);
	if (r < 0)
		return r;
	r = remote_call(ctl, "CheckDomain", CTL_CALL_TIMEOUT_USEC, &reply, "ssu", xml,
		xml_file_source(file), 0);
	if (r < 0)
		return ctl_fail(ctl, "Failed to check %s", file);
	accepted = json_object_get_boolean(json_object_array_get_idx(reply, 0));
	error = json_object_get_string(json_object_array_get_idx(reply, 1)) ?: "";
	report = json_object_array_get_idx(reply, 2);
	if (!json_object_is_type(report, json_type_array))
		return ctl_error(ctl, "internal error: strange answer to CheckDomain");
	if (ctl->json)
		r = check_json(ctl, accepted, error, report);
	else
		r = report_print(ctl, report, args_flag(args, "all"));
	if (r < 0 || accepted)
		return r;
	ctl->has_document = true;
	return ctl_error(ctl, "%s", *error ? error : "the description would be refused");
}

int verb_dumpxml(struct ctl *ctl, const struct args *args)
{
	_cleanup_(freep) char *xml = NULL;
	struct json_object *o;
	const char *name;
	int r;

	r = ctl_domain_option(ctl, args, &name);
	if (r < 0)
		return r;
	if (redefine_get_xml(ctl, "GetDomainXml", name,
		    args_flag(args, "inactive") ? XML_INACTIVE : 0, &xml) < 0)
		return ctl_report_domain(ctl, name);
	if (!ctl->json) {
		ctl_print(ctl, "%s", xml);
		return 0;
	}
	o = json_object_new_object();
	(void)json_object_object_add(o, "domain", json_object_new_string(name));
	(void)json_object_object_add(o, "xml", json_object_new_string(xml));
	return ctl_json(ctl, o);
}

int verb_edit(struct ctl *ctl, const struct args *args)
{
	static const struct redefine_methods methods = {"GetDomainXml", "DefineDomain"};
	_cleanup_(json_putp) struct json_object *d = NULL;
	_cleanup_(freep) char *defined = NULL;
	const char *name;
	int r;

	r = ctl_domain_option(ctl, args, &name);
	if (r < 0)
		return r;
	if (remote_get_domain(ctl, name, &d) < 0)
		return ctl_report_domain(ctl, name);
	name = json_string(d, "name", name);
	r = redefine(ctl, &methods, name, json_string(d, "uuid", name),
		!args_flag(args, "skip-validate"), &defined);
	if (r < 0)
		return r;
	if (!defined)
		return ctl_changed(ctl, name, "unchanged",
			"Domain '%s' XML configuration not changed.\n", name);
	return ctl_changed(
		ctl, defined, "edited", "Domain '%s' XML configuration edited.\n", defined);
}
