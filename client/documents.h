/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files and directories of definitions, for verbs that take many: a directory means its *.xml, in the order of their names; those whose
 * names begin with a dot are left out, and directories in it are not entered.
 *
 * Tested by tests/unit/test-verbs.c.
 */
#pragma once

#include "client/ctl.h"

/* As in daemon/plan.h. */
#define DOCUMENTS_MAX       4096
#define DOCUMENTS_MAX_BYTES (16 * 1024 * 1024)

/* Two arrays of as many texts: what the 'n' named files and directories hold, and what to call each. 0; or -EINVAL, printed: one cannot
 * be read, is no text, there is none, or there are too many. The caller puts both. */
int documents_read(struct ctl *ctl, const char *const *names, size_t n,
	struct json_object **ret_documents, struct json_object **ret_sources);
