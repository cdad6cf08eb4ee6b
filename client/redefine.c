/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Editing a definition: see redefine.h. Tested by tests/unit/test-verbs.c. */
#include "client/redefine.h"

#include <errno.h>
#include <string.h>

#include "client/edit.h"
#include "client/remote.h"
#include "client/xml-file.h"
#include "vmm-core/base/strutil.h"

#define DEFINE_STRICT 1U
#define XML_INACTIVE  1U

int redefine_get_xml(
	struct ctl *ctl, const char *method, const char *name, uint32_t flags, char **ret)
{
	_cleanup_(json_putp) struct json_object *value = NULL;
	int r;

	r = remote_call_one(ctl, method, &value, "su", name, flags);
	if (r < 0)
		return r;
	*ret = strdup(json_object_get_string(value) ?: "");
	return *ret ? 0 : ctl_set_error(ctl, "NoMemory", "out of memory");
}

struct edit_job {
	struct ctl *ctl;
	const struct redefine_methods *methods;
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
		r = redefine_get_xml(job->ctl, job->methods->get, job->uuid, XML_INACTIVE, &now);
		if (r < 0)
			return r;
		if (!streq(now, job->original))
			return ctl_set_error(job->ctl, "OperationFailed",
				"ERROR: the XML configuration was changed by another user");
	}
	r = remote_call(job->ctl, job->methods->define, CTL_CALL_TIMEOUT_USEC, &reply, "ssu", xml,
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

int redefine(struct ctl *ctl, const struct redefine_methods *methods, const char *name,
	const char *uuid, bool strict, char **ret_name)
{
	_cleanup_(edit_file_done) struct edit_file file = {};
	_cleanup_(freep) char *xml = NULL;
	struct edit_job job = {
		.ctl = ctl, .methods = methods, .name = name, .uuid = uuid, .strict = strict};
	int r;

	if (redefine_get_xml(ctl, methods->get, uuid, XML_INACTIVE, &xml) < 0)
		return ctl_report(ctl);
	job.original = xml;
	r = edit_file_init(ctl, &file, xml);
	if (r >= 0)
		r = edit_loop(&job, &file);
	if (r < 0) {
		free(job.defined);
		return r;
	}
	*ret_name = job.defined;
	return 0;
}
