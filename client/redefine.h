/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Editing a definition: fetch its XML, let the user change it, define it anew, and ask what to do when that fails. The same
 * for everything that is defined by XML. Tested by test-edit and the goldens of test-verbs. */
#pragma once

#include "client/ctl.h"

struct redefine_methods {
	const char *get;    /* s name, u flags -> s xml */
	const char *define; /* s xml, s source, u flags -> s name, aa{sv} report */
};

/* 'uuid' is what the definition is asked for by, 'name' what messages call it; 'strict': unknown elements are refused, until
 * the user says otherwise. 0 with the name that the definition now has (the caller frees it), or NULL when nothing was
 * changed; or -EINVAL, printed. */
int redefine(struct ctl *ctl, const struct redefine_methods *methods, const char *name,
	const char *uuid, bool strict, char **ret_name);

/* The XML of 'name'; the caller frees it. 0 or -errno, not printed. */
int redefine_get_xml(
	struct ctl *ctl, const char *method, const char *name, uint32_t flags, char **ret_xml);
