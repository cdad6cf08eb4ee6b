/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verbs about the description of a domain: define, check, dumpxml, edit. Tested by tests/unit/test-verbs.c. */
#include "client/verbs.h"

#include <errno.h>
#include <string.h>

#include "client/edit.h"
#include "client/remote.h"
#include "client/xml-file.h"
#include "vmm-core/base/strutil.h"

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

static int get_xml(struct ctl *ctl, const char *name, uint32_t flags, char **ret)
{
	_cleanup_(json_putp) struct json_object *value = NULL;
	int r;

	r = remote_call_one(ctl, "GetDomainXml", &value, "su", name, flags);
	if (r < 0)
		return r;
	*ret = strdup(json_object_get_string(value) ?: "");
	return *ret ? 0 : ctl_set_error(ctl, "NoMemory", "out of memory");
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
	if (get_xml(ctl, name, args_flag(args, "inactive") ? XML_INACTIVE : 0, &xml) < 0)
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

struct edit_job {
	struct ctl *ctl;
	const char *uuid, *name, *original;
	char *defined; /* the name that the definition has now */
	bool strict;
};

/* Try to define what the editor left. */
static int apply_edit(struct edit_job *job, const char *xml, bool check_changed)
{
	_cleanup_(json_putp) struct json_object *reply = NULL;
	_cleanup_(freep) char *now = NULL;
	int r;

	if (check_changed) {
		r = get_xml(job->ctl, job->uuid, XML_INACTIVE, &now);
		if (r < 0)
			return r;
		if (!streq(now, job->original))
			return ctl_set_error(job->ctl, "OperationFailed",
				"ERROR: the XML configuration was changed by another user");
	}
	r = remote_call(job->ctl, "DefineDomain", CTL_CALL_TIMEOUT_USEC, &reply, "ssu", xml,
		job->name, job->strict ? DEFINE_STRICT : 0);
	if (r < 0)
		return r;
	job->defined =
		strdup(json_object_get_string(json_object_array_get_idx(reply, 0)) ?: job->name);
	report_notes(job->ctl, json_object_array_get_idx(reply, 1), job->name);
	return 0;
}

/* Edit, apply, and on failure ask what to do. Returns 0 (see job->defined) or -EINVAL (printed). */
static int edit_loop(struct edit_job *job, struct edit_file *file)
{
	_cleanup_(freep) char *xml = NULL;
	bool edit = true, force = false;

	for (;;) {
		if (edit) {
			freep(&xml);
			if (edit_file_run(job->ctl, file) < 0 ||
				xml_file_read(job->ctl, file->path, &xml) < 0)
				return -EINVAL;
			if (streq(xml, job->original))
				return 0;
		}
		if (apply_edit(job, xml, !force) >= 0)
			return job->defined ? 0 : ctl_error(job->ctl, "out of memory");
		(void)ctl_report(job->ctl);
		switch (edit_ask(job->ctl, "Failed.", job->strict)) {
		case EDIT_AGAIN:
			edit = true;
			break;
		case EDIT_RELAX:
			job->strict = edit = false;
			break;
		case EDIT_FORCE:
			force = true;
			edit = false;
			break;
		case EDIT_GIVE_UP:
			return -EINVAL;
		}
	}
}

static int edit_domain(struct edit_job *job)
{
	_cleanup_(edit_file_done) struct edit_file file = {};
	int r;

	r = edit_file_init(job->ctl, &file, job->original);
	if (r >= 0)
		r = edit_loop(job, &file);
	if (r < 0)
		return r;
	if (!job->defined)
		return ctl_changed(job->ctl, job->name, "unchanged",
			"Domain '%s' XML configuration not changed.\n", job->name);
	return ctl_changed(job->ctl, job->defined, "edited",
		"Domain '%s' XML configuration edited.\n", job->defined);
}

int verb_edit(struct ctl *ctl, const struct args *args)
{
	_cleanup_(json_putp) struct json_object *d = NULL;
	_cleanup_(freep) char *xml = NULL;
	struct edit_job job = {.ctl = ctl, .strict = !args_flag(args, "skip-validate")};
	const char *name;
	int r;

	r = ctl_domain_option(ctl, args, &name);
	if (r < 0)
		return r;
	if (remote_get_domain(ctl, name, &d) < 0)
		return ctl_report_domain(ctl, name);
	job.name = json_string(d, "name", name);
	job.uuid = json_string(d, "uuid", name);
	if (get_xml(ctl, job.uuid, XML_INACTIVE, &xml) < 0)
		return ctl_report_domain(ctl, name);
	job.original = xml;
	r = edit_domain(&job);
	free(job.defined);
	return r;
}
