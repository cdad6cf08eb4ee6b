/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that failed, about who may not exist: see ctl-unknown.h. */
#include "client/ctl-unknown.h"

#include <errno.h>
#include <stdarg.h>

#include "client/remote.h"
#include "client/suggest.h"
#include "vmm-core/base/strutil.h"

/* "failed to get domain 'x'", if that is what happened. */
static bool report_no_domain(struct ctl *ctl, const char *name)
{
	_cleanup_(json_putp) struct json_object *list = NULL;
	struct suggestion near = {.word = name};

	if (!ctl->error_code || !streq(ctl->error_code, "NoDomain"))
		return false;
	(void)ctl_error(ctl, "failed to get domain '%s'", name);
	if (remote_list_domain_names(ctl, 0, &list) < 0) {
		/* No hint; and the error stays what it was. */
		(void)ctl_set_error(ctl, "NoDomain", "failed to get domain '%s'", name);
		return true;
	}
	for (size_t i = 0; i < json_object_array_length(list); i++)
		suggestion_try(&near, json_string(json_object_array_get_idx(list, i), "name", ""));
	if (near.best)
		ctl_note(ctl, "hint: did you mean '%s'?", near.best);
	return true;
}

int ctl_report_domain(struct ctl *ctl, const char *domain)
{
	return report_no_domain(ctl, domain) ? -EINVAL : ctl_report(ctl);
}

bool ctl_is_unknown_network(const struct ctl *ctl)
{
	return ctl->error_code && streq(ctl->error_code, "NoNetwork");
}

int ctl_report_network(struct ctl *ctl, const char *network)
{
	return ctl_is_unknown_network(ctl) ? ctl_fail(ctl, "failed to get network '%s'", network)
					   : ctl_report(ctl);
}

int ctl_fail_domain(struct ctl *ctl, const char *domain, const char *format, ...)
{
	va_list ap;

	if (report_no_domain(ctl, domain))
		return -EINVAL;
	va_start(ap, format);
	(void)ctl_verror(ctl, format, ap);
	va_end(ap);
	return ctl_report(ctl);
}
